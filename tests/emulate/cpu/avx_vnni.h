/* src/cpu/avx_vnni.h for machines without AVX-VNNI, in plain C. */
#ifndef MEBI_TESTS_EMULATE_AVX_VNNI_H
#define MEBI_TESTS_EMULATE_AVX_VNNI_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/* The first factor is unsigned, the second signed; nothing saturates. */
__attribute__((noinline, unused)) static void add_fours_vnni(__m256i *s, __m256i u, const unsigned char *q) {
    int32_t sum[8];
    uint8_t x[32];
    int8_t y[32];
    memcpy(sum, s, sizeof sum);
    memcpy(x, &u, sizeof x);
    memcpy(y, q, sizeof y);
    for (int i = 0; i < 32; i++) sum[i / 4] += (int32_t)x[i] * y[i];
    memcpy(s, sum, sizeof sum);
}

#endif

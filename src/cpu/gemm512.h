/* What linear and attention share on AVX-512. */
#ifndef MEBI_CPU_GEMM512_H
#define MEBI_CPU_GEMM512_H

#include "cpu/gemm.h"

#include <string.h>

extern const mebi__tiles mebi__tiles_avx512;
extern const mebi__tiles mebi__tiles_bf16_avx512; /* of bf16 weights; needs BF16 */

/* to[k / 2][16] = pairs of the first k elements of 16 rows of w, the last pair filled up with zero; rows
 * from `count` on become zeros. stride in elements. */
void mebi__pairs_avx512(const uint16_t *w, int64_t stride, int count, int64_t k, float *to);

/* One row: scale * from[k] as pairs of bf16, the last filled up with zero. to may be from. */
void mebi__narrow_avx512(const float *from, int64_t k, float scale, float *to);

#endif

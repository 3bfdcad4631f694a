/* The one instruction of AVX-VNNI that kernels use, as assembly: files that include this are compiled
 * without it. Tests put a header of this name before it, which does the same on a machine that lacks it.
 */
#ifndef MEBI_CPU_AVX_VNNI_H
#define MEBI_CPU_AVX_VNNI_H

#include <immintrin.h>

/* s += u * q in fours of u8 and i8; q is 32-aligned. */
static inline __attribute__((always_inline)) void add_fours_vnni(__m256i *s, __m256i u,
                                                                 const unsigned char *q) {
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(*s) : "x"(u), "m"(*(const __m256i *)(const void *)q));
}

#endif

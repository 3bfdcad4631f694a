/* AVX-512 for the kernels of this folder: its intrinsics, and the few instructions that are written as
 * assembly. Files that include this are compiled for F, BW, DQ and VL only; what VNNI and BF16 add is
 * reached through the functions here and nowhere else, so no compiler can use it where it is missing.
 *
 * Tests put a header of this name before it, which does the same on a machine without AVX-512.
 */
#ifndef MEBI_CPU_AVX512_H
#define MEBI_CPU_AVX512_H

#include <immintrin.h>

/* In assembly because gcc 12 otherwise picks forms that need copies of the sums, and more registers than
 * there are. */

/* s += v * b. */
static inline __attribute__((always_inline)) void add_product(__m512 *s, __m512 v, __m512 b) {
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(*s) : "v"(v), "v"(b));
}

/* s += v * b in pairs of bf16. Needs BF16. */
static inline __attribute__((always_inline)) void add_bf16(__m512 *s, __m512 v, __m512 b) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(*s) : "v"(v), "v"(b));
}

/* s += u * q in fours of u8 and i8. Needs VNNI. */
static inline __attribute__((always_inline)) void add_fours(__m512i *s, __m512i u, __m512i q) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*s) : "v"(u), "v"(q));
}

/* The same without VNNI, if the products of two neighbours together fit 16 bits; ones: 1 in all of them. */
static inline __attribute__((always_inline)) void add_fours_plain(__m512i *s, __m512i u, __m512i q,
                                                                  __m512i ones) {
    __m512i t;
    __asm__("vpmaddubsw %3, %2, %1\n\tvpmaddwd %4, %1, %1\n\tvpaddd %1, %0, %0"
            : "+v"(*s), "=&v"(t)
            : "v"(u), "v"(q), "v"(ones));
}

/* To bf16, nearest even; subnormals become zeros. Needs BF16. */
static inline __attribute__((always_inline)) __m256i to_bf16(__m512 v) {
    __m256i r;
    __asm__("vcvtneps2bf16 %1, %0" : "=v"(r) : "v"(v));
    return r;
}

/* The first n of 16 lanes, n >= 0. */
static inline __mmask16 first_lanes(int64_t n) {
    return n >= 16 ? 0xffff : n > 0 ? (__mmask16)((1u << n) - 1) : 0;
}

#endif

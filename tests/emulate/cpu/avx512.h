/* src/cpu/avx512.h for machines without AVX-512: the same functions in AVX2 and plain C, written from the
 * instructions' published descriptions. A 512-bit register is two halves. Slow, and right to the bit but
 * for two freedoms: products of bf16 are added in the order that Intel documents, and NaNs' payloads are
 * whatever comes. Only what the kernels use is here: anything else doesn't compile.
 */
#ifndef MEBI_TESTS_EMULATE_AVX512_H
#define MEBI_TESTS_EMULATE_AVX512_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Inlined hundreds of times these take compilers minutes. */
#define APART __attribute__((noinline, unused))

typedef struct wide_f32 {
    __m256 half[2];
} wide_f32;
typedef struct wide_int {
    __m256i half[2];
} wide_int;
typedef union lanes {
    wide_f32 wide;
    wide_int integers;
    float f[16];
    int32_t i[16];
    uint32_t u[16];
    int16_t s16[32];
    uint16_t u16[32];
    int8_t s8[64];
    uint8_t u8[64];
} lanes;

#define __m512 wide_f32
#define __m512i wide_int

static inline wide_f32 of_f32(lanes l) {
    return l.wide;
}
static inline wide_int of_int(lanes l) {
    return l.integers;
}
static inline lanes lanes_f32(wide_f32 v) {
    return (lanes){.wide = v};
}
static inline lanes lanes_int(wide_int v) {
    return (lanes){.integers = v};
}

/* Instructions that are two of AVX2's. */
#define BINARY_F32(name, half_name)                                                                \
    static inline wide_f32 wide_##name(wide_f32 a, wide_f32 b) {                                   \
        return (wide_f32){                                                                         \
            {half_name(a.half[0], b.half[0]), half_name(a.half[1], b.half[1])}};                   \
    }
#define BINARY_INT(name, half_name)                                                                \
    static inline wide_int wide_##name(wide_int a, wide_int b) {                                   \
        return (wide_int){                                                                         \
            {half_name(a.half[0], b.half[0]), half_name(a.half[1], b.half[1])}};                   \
    }
BINARY_F32(add_ps, _mm256_add_ps)
BINARY_F32(sub_ps, _mm256_sub_ps)
BINARY_F32(mul_ps, _mm256_mul_ps)
BINARY_F32(max_ps, _mm256_max_ps)
BINARY_F32(unpacklo_ps, _mm256_unpacklo_ps)
BINARY_F32(unpackhi_ps, _mm256_unpackhi_ps)
BINARY_INT(add_epi32, _mm256_add_epi32)
BINARY_INT(or_si512, _mm256_or_si256)
BINARY_INT(maddubs_epi16, _mm256_maddubs_epi16)
BINARY_INT(madd_epi16, _mm256_madd_epi16)
#define _mm512_add_ps wide_add_ps
#define _mm512_sub_ps wide_sub_ps
#define _mm512_mul_ps wide_mul_ps
#define _mm512_max_ps wide_max_ps
#define _mm512_unpacklo_ps wide_unpacklo_ps
#define _mm512_unpackhi_ps wide_unpackhi_ps
#define _mm512_add_epi32 wide_add_epi32
#define _mm512_or_si512 wide_or_si512

#undef _mm512_shuffle_ps
#define _mm512_shuffle_ps(a, b, i)                                                                 \
    ((wide_f32){{_mm256_shuffle_ps((a).half[0], (b).half[0], i),                                   \
                 _mm256_shuffle_ps((a).half[1], (b).half[1], i)}})
#undef _mm512_roundscale_ps
/* Only to whole numbers: the immediate's upper bits are zero. */
#define _mm512_roundscale_ps(a, i)                                                                 \
    ((wide_f32){{_mm256_round_ps((a).half[0], i), _mm256_round_ps((a).half[1], i)}})
#undef _mm512_slli_epi32
#define _mm512_slli_epi32(a, n)                                                                    \
    ((wide_int){{_mm256_slli_epi32((a).half[0], n), _mm256_slli_epi32((a).half[1], n)}})

static inline wide_f32 wide_fmadd_ps(wide_f32 a, wide_f32 b, wide_f32 c) {
    return (wide_f32){{_mm256_fmadd_ps(a.half[0], b.half[0], c.half[0]),
                       _mm256_fmadd_ps(a.half[1], b.half[1], c.half[1])}};
}
#define _mm512_fmadd_ps wide_fmadd_ps

static inline wide_f32 wide_set1_ps(float v) {
    return (wide_f32){{_mm256_set1_ps(v), _mm256_set1_ps(v)}};
}
#define _mm512_set1_ps wide_set1_ps
static inline wide_int wide_set1_epi32(int32_t v) {
    return (wide_int){{_mm256_set1_epi32(v), _mm256_set1_epi32(v)}};
}
#define _mm512_set1_epi32 wide_set1_epi32
static inline wide_int wide_set1_epi16(int16_t v) {
    return (wide_int){{_mm256_set1_epi16(v), _mm256_set1_epi16(v)}};
}
#define _mm512_set1_epi16 wide_set1_epi16
#define _mm512_setzero_ps() wide_set1_ps(0)
#define _mm512_setzero_si512() wide_set1_epi32(0)

static inline wide_f32 wide_loadu_ps(const void *p) {
    lanes l;
    memcpy(&l, p, sizeof l);
    return of_f32(l);
}
#define _mm512_loadu_ps wide_loadu_ps
static inline wide_int wide_loadu_si512(const void *p) {
    lanes l;
    memcpy(&l, p, sizeof l);
    return of_int(l);
}
#define _mm512_loadu_si512 wide_loadu_si512
static inline void wide_storeu_ps(void *p, wide_f32 v) {
    memcpy(p, &v, sizeof v);
}
#define _mm512_storeu_ps wide_storeu_ps

/* Masked lanes are not touched in memory. */
APART static wide_f32 wide_maskz_loadu_ps(__mmask16 mask, const void *p) {
    lanes l;
    memset(&l, 0, sizeof l);
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1) memcpy(&l.f[i], (const char *)p + 4 * i, 4);
    return of_f32(l);
}
#define _mm512_maskz_loadu_ps wide_maskz_loadu_ps
APART static void wide_mask_storeu_ps(void *p, __mmask16 mask, wide_f32 v) {
    lanes l = lanes_f32(v);
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1) memcpy((char *)p + 4 * i, &l.f[i], 4);
}
#define _mm512_mask_storeu_ps wide_mask_storeu_ps
APART static void half_mask_storeu_epi32(void *p, __mmask8 mask, __m256i v) {
    int32_t l[8];
    memcpy(l, &v, sizeof l);
    for (int i = 0; i < 8; i++)
        if (mask >> i & 1) memcpy((char *)p + 4 * i, &l[i], 4);
}
#define _mm256_mask_storeu_epi32 half_mask_storeu_epi32

static inline wide_int wide_castps_si512(wide_f32 v) {
    return of_int(lanes_f32(v));
}
#define _mm512_castps_si512 wide_castps_si512
static inline wide_f32 wide_castsi512_ps(wide_int v) {
    return of_f32(lanes_int(v));
}
#define _mm512_castsi512_ps wide_castsi512_ps
/* The upper lanes are undefined: made of something that shows. */
static inline wide_int wide_castsi128_si512(__m128i v) {
    lanes l;
    memset(&l, 0xa5, sizeof l);
    memcpy(&l, &v, sizeof v);
    return of_int(l);
}
#define _mm512_castsi128_si512 wide_castsi128_si512
static inline wide_int wide_inserti32x4(wide_int a, __m128i v, int at) {
    lanes l = lanes_int(a);
    memcpy(&l.i[4 * at], &v, sizeof v);
    return of_int(l);
}
#undef _mm512_inserti32x4
#define _mm512_inserti32x4 wide_inserti32x4

static inline wide_int wide_cvtps_epi32(wide_f32 v) {
    return (wide_int){{_mm256_cvtps_epi32(v.half[0]), _mm256_cvtps_epi32(v.half[1])}};
}
#define _mm512_cvtps_epi32 wide_cvtps_epi32
static inline wide_f32 wide_cvtepi32_ps(wide_int v) {
    return (wide_f32){{_mm256_cvtepi32_ps(v.half[0]), _mm256_cvtepi32_ps(v.half[1])}};
}
#define _mm512_cvtepi32_ps wide_cvtepi32_ps
static inline wide_int wide_cvtepu16_epi32(__m256i v) {
    return (wide_int){{_mm256_cvtepu16_epi32(_mm256_castsi256_si128(v)),
                       _mm256_cvtepu16_epi32(_mm256_extracti128_si256(v, 1))}};
}
#define _mm512_cvtepu16_epi32 wide_cvtepu16_epi32

/* In the order of the compilers' own: halves, then quarters, then neighbours. */
static inline float wide_reduce_add_ps(wide_f32 v) {
    __m256 a = _mm256_add_ps(v.half[1], v.half[0]);
    __m128 b = _mm_add_ps(_mm256_extractf128_ps(a, 1), _mm256_castps256_ps128(a));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(b) + _mm_cvtss_f32(_mm_movehdup_ps(b));
}
#define _mm512_reduce_add_ps wide_reduce_add_ps
static inline float wide_reduce_max_ps(wide_f32 v) {
    lanes l = lanes_f32(v);
    float m = l.f[0];
    for (int i = 1; i < 16; i++) m = l.f[i] > m ? l.f[i] : m;
    return m;
}
#define _mm512_reduce_max_ps wide_reduce_max_ps

/* ---- what src/cpu/avx512.h has as assembly ---- */

static inline void add_product(wide_f32 *s, wide_f32 v, wide_f32 b) {
    *s = wide_fmadd_ps(v, b, *s);
}

/* Subnormals count as zeros, before and after. */
static inline float flushed(float v) {
    return fabsf(v) < 0x1p-126f ? copysignf(0, v) : v;
}

static inline float from_bf16(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float v;
    memcpy(&v, &wide, sizeof v);
    return flushed(v);
}

APART static void add_bf16(wide_f32 *s, wide_f32 v, wide_f32 b) {
    lanes sum = lanes_f32(*s), x = lanes_f32(v), y = lanes_f32(b);
    for (int i = 0; i < 16; i++)
        for (int j = 1; j >= 0; j--)
            sum.f[i] = flushed(fmaf(from_bf16(x.u16[2 * i + j]), from_bf16(y.u16[2 * i + j]),
                                    flushed(sum.f[i])));
    *s = of_f32(sum);
}

/* The first factor is unsigned, the second signed; nothing saturates. */
APART static void add_fours(wide_int *s, wide_int u, wide_int q) {
    lanes sum = lanes_int(*s), x = lanes_int(u), y = lanes_int(q);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 4; j++) sum.i[i] += (int32_t)x.u8[4 * i + j] * y.s8[4 * i + j];
    *s = of_int(sum);
}

/* Pairs saturate to 16 bits, as they would. */
APART static void add_fours_plain(wide_int *s, wide_int u, wide_int q, wide_int ones) {
    *s = wide_add_epi32(*s, wide_madd_epi16(wide_maddubs_epi16(u, q), ones));
}

APART static __m256i to_bf16(wide_f32 v) {
    lanes l = lanes_f32(v);
    uint16_t out[16];
    for (int i = 0; i < 16; i++) {
        uint32_t bits = l.u[i];
        if (isnan(l.f[i])) bits |= 0x400000u;
        else if (fabsf(l.f[i]) < 0x1p-126f) bits &= 0x80000000u;
        else bits += 0x7fffu + (bits >> 16 & 1);
        out[i] = (uint16_t)(bits >> 16);
    }
    __m256i r;
    memcpy(&r, out, sizeof r);
    return r;
}

static inline __mmask16 first_lanes(int64_t n) {
    return n >= 16 ? 0xffff : n > 0 ? (__mmask16)((1u << n) - 1) : 0;
}

#endif

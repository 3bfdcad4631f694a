/* int8 products with AVX2: vpmaddubsw adds two products of u8 and i8 in 16 bits, vpmaddwd two of those in
 * 32; where AVX-VNNI is, vpdpbusd does all of that. Must give the bits of ref_int8.c. */
#include "cpu/avx2.h"
#include "cpu/avx_vnni.h"
#include "cpu/int8.h"

#include <math.h>
#include <string.h>

enum { TILE_ROWS = 4 };

/* s += x . b, four products to a sum. In assembly so that b stays in memory and every product is three
 * instructions whatever the compiler: what bounds this loop next to the multipliers is how many
 * instructions a core can start. */
static inline __attribute__((always_inline)) void accumulate(const int vnni, __m256i *s, __m256i x,
                                                             const unsigned char *b, __m256i ones) {
    __m256i t;
    if (vnni) {
        add_fours_vnni(s, x, b);
        return;
    }
    __asm__("vpmaddubsw %4, %2, %1\n\tvpmaddwd %3, %1, %1\n\tvpaddd %1, %0, %0"
            : "+x"(*s), "=&x"(t)
            : "x"(x), "x"(ones), "m"(*(const __m256i *)(const void *)b));
}

/* Row r, the four k at `at`. */
#define ROW(r, at)                                                                                 \
    if (rows > r) {                                                                                \
        const __m256i v = _mm256_set1_epi32(*(const int32_t *)(const void *)(x##r + k + at));      \
        accumulate(vnni, &s##r, v, q + 16 * at, ones);                                             \
        accumulate(vnni, &t##r, v, q + 16 * at + 32, ones);                                        \
    }
#define FOUR_K(at) ROW(0, at) ROW(1, at) ROW(2, at) ROW(3, at)

/* y (+)= sum * scale_w * scale_x for one row. */
static inline __attribute__((always_inline)) void finish(const mebi__int8_block *b, int r, __m256i s,
                                                         __m256i t, const float *scale) {
    const __m256 sx = _mm256_broadcast_ss(
        (const float *)(const void *)((const unsigned char *)b->scale_x + (size_t)r * b->x_stride));
    float *y = b->y + r * b->y_stride;
    __m256 low = b->first ? _mm256_setzero_ps() : _mm256_loadu_ps(y);
    __m256 high = b->first ? _mm256_setzero_ps() : _mm256_loadu_ps(y + 8);
    __m256 u = _mm256_mul_ps(_mm256_cvtepi32_ps(s), _mm256_load_ps(scale));
    __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(t), _mm256_load_ps(scale + 8));
    _mm256_storeu_ps(y, _mm256_fmadd_ps(u, sx, low));
    _mm256_storeu_ps(y + 8, _mm256_fmadd_ps(v, sx, high));
}

static inline __attribute__((always_inline)) void tile(const int vnni, const int rows,
                                                       const mebi__int8_block *b) {
    const unsigned char *x0 = b->x, *x1 = x0 + (rows > 1 ? b->x_stride : 0),
                        *x2 = x1 + (rows > 2 ? b->x_stride : 0),
                        *x3 = x2 + (rows > 3 ? b->x_stride : 0);
    const unsigned char *q = b->block;
    const float *scale = (const float *)(const void *)(q + MEBI__INT8_PANEL * b->group);
    const __m256i *correction = (const __m256i *)(const void *)(scale + MEBI__INT8_PANEL);
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i s0 = _mm256_load_si256(correction), t0 = _mm256_load_si256(correction + 1);
    __m256i s1 = s0, s2 = s0, s3 = s0, t1 = t0, t2 = t0, t3 = t0;
    for (int64_t k = 0; k < b->group; k += 16, q += 256) {
        FOUR_K(0)
        FOUR_K(4)
        FOUR_K(8)
        FOUR_K(12)
    }
    finish(b, 0, s0, t0, scale);
    if (rows > 1) finish(b, 1, s1, t1, scale);
    if (rows > 2) finish(b, 2, s2, t2, scale);
    if (rows > 3) finish(b, 3, s3, t3, scale);
}

static void prefetch(const mebi__int8_block *b, int64_t done, int64_t of) {
    const int64_t lines = (int64_t)mebi__int8_block_bytes(b->group) / 64;
    if (!b->next) return;
    for (int64_t i = lines * done / of; i < lines * (done + 1) / of; i++)
        _mm_prefetch((const char *)b->next + 64 * i, _MM_HINT_T0);
}

/* The sums that this tile will be added to, and the rows of the next. */
static void prefetch_rows(const mebi__int8_block *b, int64_t rows) {
    for (int64_t r = 0; r < rows && r < TILE_ROWS; r++)
        _mm_prefetch((const char *)(b->y + r * b->y_stride), _MM_HINT_T0);
    for (int64_t r = TILE_ROWS; r < rows && r < 2 * TILE_ROWS; r++)
        for (int64_t k = 0; k < b->group; k += 64)
            _mm_prefetch((const char *)b->x + (size_t)r * b->x_stride + k, _MM_HINT_T0);
}

static inline __attribute__((always_inline)) void multiply_rows(const int vnni, int64_t rows,
                                                                const mebi__int8_block *block) {
    mebi__int8_block b = *block;
    const int64_t tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    for (int64_t i = 0; i < tiles; i++, rows -= TILE_ROWS) {
        prefetch(&b, i, tiles);
        prefetch_rows(&b, rows);
        switch (rows) {
        case 1: tile(vnni, 1, &b); break;
        case 2: tile(vnni, 2, &b); break;
        case 3: tile(vnni, 3, &b); break;
        default: tile(vnni, 4, &b); break;
        }
        b.x += TILE_ROWS * b.x_stride;
        b.scale_x = (const float *)(const void *)((const unsigned char *)b.scale_x +
                                                  TILE_ROWS * b.x_stride);
        b.y += TILE_ROWS * b.y_stride;
    }
}

static void multiply_plain(int64_t rows, const mebi__int8_block *b) {
    multiply_rows(0, rows, b);
}

static void multiply_vnni(int64_t rows, const mebi__int8_block *b) {
    multiply_rows(1, rows, b);
}

static void linear_plain(const mebi__cpu_call *call) {
    mebi__int8_linear(call, multiply_plain, MEBI__INT8_PANEL);
}

static void linear_vnni(const mebi__cpu_call *call) {
    mebi__int8_linear(call, multiply_vnni, MEBI__INT8_PANEL);
}

/* ---- rotation and rounding of activations ---- */

/* Butterflies at distance 1, 2 and 4 within eight values. */
static inline __m256 rotate_eight(__m256 v) {
    __m256 o = _mm256_permute_ps(v, 0xb1);
    v = _mm256_blend_ps(_mm256_add_ps(v, o), _mm256_sub_ps(o, v), 0xaa);
    o = _mm256_permute_ps(v, 0x4e);
    v = _mm256_blend_ps(_mm256_add_ps(v, o), _mm256_sub_ps(o, v), 0xcc);
    o = _mm256_permute2f128_ps(v, v, 1);
    return _mm256_blend_ps(_mm256_add_ps(v, o), _mm256_sub_ps(o, v), 0xf0);
}

/* Butterflies between v[0..count) at distances 1, 2, ..., count / 2. */
static inline __attribute__((always_inline)) void rotate_vectors(__m256 *v, const int count) {
    for (int by = 1; by < count; by *= 2)
        for (int i = 0; i < count; i += 2 * by)
            for (int j = i; j < i + by; j++) {
                __m256 a = v[j], b = v[j + by];
                v[j] = _mm256_add_ps(a, b);
                v[j + by] = _mm256_sub_ps(a, b);
            }
}

static inline __m256 larger(__m256 m, __m256 v) {
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    return _mm256_castsi256_ps(_mm256_max_epu32(
        _mm256_castps_si256(m), _mm256_and_si256(_mm256_castps_si256(v), magnitude)));
}

/* As bits, so that infinity and NaN come out on top. */
static inline float top_of(__m256 v) {
    __m256i i = _mm256_castps_si256(v);
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return _mm_cvtss_f32(_mm_castsi128_ps(m));
}

/* One group, rotated, to `to`; returns its largest magnitude. In two passes through `to`, of 8 vectors and
 * of what is left between those: registers are few. */
static inline __attribute__((always_inline)) float rotate_group(const float *x, const int64_t group,
                                                                float *to) {
    enum { CHUNK = 8 };
    const int vectors = (int)(group / 8), chunk = vectors < CHUNK ? vectors : CHUNK;
    const int chunks = vectors / chunk;
    __m256 top = _mm256_setzero_ps();
    for (int c = 0; c < chunks; c++) {
        __m256 v[CHUNK];
        for (int i = 0; i < chunk; i++)
            v[i] = rotate_eight(_mm256_loadu_ps(x + 8 * (c * chunk + i)));
        if (chunk == 4) rotate_vectors(v, 4);
        else rotate_vectors(v, 8);
        for (int i = 0; i < chunk; i++) {
            if (chunks == 1) top = larger(top, v[i]);
            _mm256_store_ps(to + 8 * (c * chunk + i), v[i]);
        }
    }
    for (int i = 0; chunks > 1 && i < chunk; i++) {
        __m256 v[4];
        for (int c = 0; c < chunks; c++) v[c] = _mm256_load_ps(to + 8 * (c * chunk + i));
        if (chunks == 2) rotate_vectors(v, 2);
        else rotate_vectors(v, 4);
        for (int c = 0; c < chunks; c++) {
            top = larger(top, v[c]);
            _mm256_store_ps(to + 8 * (c * chunk + i), v[c]);
        }
    }
    return top_of(top);
}

static float rotate_any(const float *x, int64_t group, float *to) {
    switch (group) {
    case 32: return rotate_group(x, 32, to);
    case 64: return rotate_group(x, 64, to);
    case 128: return rotate_group(x, 128, to);
    default: return rotate_group(x, 256, to);
    }
}

static inline __m256i rounded(const float *x, __m256 inverse) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_load_ps(x), inverse));
}

/* Eight at a time four times: 32 values to q + 110. */
static inline void round_32(const float *x, __m256 inverse, unsigned char *to) {
    __m256i a = _mm256_packs_epi32(rounded(x, inverse), rounded(x + 8, inverse));
    __m256i b = _mm256_packs_epi32(rounded(x + 16, inverse), rounded(x + 24, inverse));
    __m256i c = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b),
                                            _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    c = _mm256_add_epi8(c, _mm256_set1_epi8(MEBI__INT8_LIMIT));
    _mm256_storeu_si256((__m256i *)(void *)to, c);
}

float mebi__int8_quantize_avx2(float *x, int64_t group, unsigned char *to) {
    _Alignas(32) float rotated[MEBI__INT8_GROUP];
    float m = rotate_any(x, group, rotated);
    if (!isfinite(m) || m < MEBI__INT8_TINY) {
        memset(to, MEBI__INT8_LIMIT, (size_t)group);
        return isfinite(m) ? 0 : NAN;
    }
    const __m256 inverse = _mm256_set1_ps((float)MEBI__INT8_LIMIT / m);
    for (int64_t i = 0; i < group; i += 32) round_32(rotated + i, inverse, to + i);
    return m / (float)MEBI__INT8_LIMIT;
}

static void quantize_rows(const mebi__cpu_call *call, int64_t first, int64_t end) {
    const int64_t k = call->op->x.shape.dim[1], group = mebi__int8_group(k);
    float *x = (float *)mebi__cpu_data(call->op->x) + first * k, *scale;
    for (; first < end; first++) {
        unsigned char *row = mebi__int8_row(call->op, first, &scale);
        for (int64_t g = 0; g < k / group; g++, x += group)
            scale[g] = mebi__int8_quantize_avx2(x, group, row + g * group);
    }
}

static void quantize(const mebi__cpu_call *call) {
    const int64_t *dim = call->op->x.shape.dim;
    run_spans(call, dim[0], rows_per_share(dim[1]), quantize_rows);
}

void mebi__cpu_init_int8_avx2(mebi__cpu_kernels *table, int vnni) {
    table->run[MEBI__OP_LINEAR_INT8] = vnni ? linear_vnni : linear_plain;
    table->scratch[MEBI__OP_LINEAR_INT8] = mebi__int8_linear_scratch;
    table->run[MEBI__OP_QUANTIZE] = quantize;
}

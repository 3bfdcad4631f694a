/* linear and conv2d on AVX-512: a tile of 12 x 32 sums in 24 registers, of f32 or of pairs of bf16, and
 * what packs such pairs. The loops around it are cpu/gemm.h's.
 *
 * Every sum is one chain in ascending k, whatever the tile's shape; a tile at an edge must give the same
 * bits as one in the middle. */
#include "cpu/avx512.h"
#include "cpu/gemm512.h"

enum { ROWS = 12, COLUMNS = 32 };

/* Row r of one unit: it times the units of 16 columns of one or two panels. The registers have names of
 * their own because gcc 12 keeps an array of them in memory. */
#define ROW(r, base, step)                                                                         \
    if (rows > r) {                                                                                \
        const __m512 v = _mm512_set1_ps((base)[step * stride + u]);                                   \
        accumulate(bf16, &s##r, v, b0);                                                            \
        if (panels > 1) accumulate(bf16, &t##r, v, b1);                                            \
    }
#define ONE_UNIT(offset)                                                                           \
    do {                                                                                           \
        enum { u = offset };                                                                       \
        const __m512 b0 = _mm512_loadu_ps(b + 16 * u);                                             \
        const __m512 b1 = panels > 1 ? _mm512_loadu_ps(c + 16 * u) : b0;                           \
        ROW(0, a0, 0)                                                                              \
        ROW(1, a0, 1)                                                                              \
        ROW(2, a0, 2)                                                                              \
        ROW(3, a3, 0)                                                                              \
        ROW(4, a3, 1)                                                                              \
        ROW(5, a3, 2)                                                                              \
        ROW(6, a6, 0)                                                                              \
        ROW(7, a6, 1)                                                                              \
        ROW(8, a6, 2)                                                                              \
        ROW(9, a9, 0)                                                                              \
        ROW(10, a9, 1)                                                                             \
        ROW(11, a9, 2)                                                                             \
    } while (0)
#define FINISH(r)                                                                                  \
    if (rows > r) {                                                                                \
        finish(t, r, 0, first, s##r);                                                              \
        if (panels > 1) finish(t, r, 16, second, t##r);                                            \
    }

static inline __attribute__((always_inline)) void accumulate(const int bf16, __m512 *s, __m512 v,
                                                             __m512 b) {
    if (bf16) add_bf16(s, v, b);
    else add_product(s, v, b);
}

static inline __attribute__((always_inline)) void finish(const mebi__tile *t, int r, int column,
                                                         __mmask16 mask, __m512 v) {
    if (t->row) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, t->row + column));
    if (t->add)
        v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, t->add + r * t->add_stride + column));
    _mm512_mask_storeu_ps(t->c + r * t->c_stride + column, mask, v);
}

static inline __attribute__((always_inline)) void multiply(const int bf16, const int rows,
                                                           const int panels, int columns,
                                                           const mebi__tile *t) {
    const float *a0 = t->a, *a3 = a0 + 3 * t->a_stride, *a6 = a0 + 6 * t->a_stride,
                *a9 = a0 + 9 * t->a_stride, *b = t->b, *c = b + t->b_stride;
    const int64_t stride = t->a_stride;
    const __mmask16 first = first_lanes(columns), second = first_lanes(columns - 16);
    __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0,
           s8 = s0, s9 = s0, s10 = s0, s11 = s0;
    __m512 t0 = s0, t1 = s0, t2 = s0, t3 = s0, t4 = s0, t5 = s0, t6 = s0, t7 = s0, t8 = s0, t9 = s0,
           t10 = s0, t11 = s0;
    for (int r = 0; t->add && r < rows; r++) {
        _mm_prefetch((const char *)(t->add + r * t->add_stride), _MM_HINT_T0);
        _mm_prefetch((const char *)(t->add + r * t->add_stride + columns - 1), _MM_HINT_T0);
    }
    /* Opaque, or clang 14 computes all addresses from a0 by chains of additions. */
    __asm__("" : "+r"(a3), "+r"(a6), "+r"(a9), "+r"(c));
    int64_t k = t->k;
    for (; k >= 2; k -= 2, a0 += 2, a3 += 2, a6 += 2, a9 += 2, b += 32, c += 32) {
        ONE_UNIT(0);
        ONE_UNIT(1);
    }
    if (k > 0) ONE_UNIT(0);
    FINISH(0)
    FINISH(1)
    FINISH(2)
    FINISH(3)
    FINISH(4)
    FINISH(5)
    FINISH(6)
    FINISH(7)
    FINISH(8)
    FINISH(9)
    FINISH(10)
    FINISH(11)
}

#define CASE(n)                                                                                    \
    case n:                                                                                        \
        if (columns > 16) multiply(bf16, n, 2, columns, t);                                        \
        else multiply(bf16, n, 1, columns, t);                                                     \
        break;

static inline __attribute__((always_inline)) void multiply_tile(const int bf16, int rows, int columns,
                                                                const mebi__tile *t) {
    switch (rows) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
    default:
        if (columns > 16) multiply(bf16, ROWS, 2, columns, t);
        else multiply(bf16, ROWS, 1, columns, t);
        break;
    }
}

static void prefetch_rows(const mebi__tile *tile, int64_t first, int64_t end) {
    for (int64_t r = first; r < end; r++)
        for (int64_t i = 0; i < tile->next_bytes; i += 64)
            _mm_prefetch((const char *)tile->next + r * tile->next_stride + i, _MM_HINT_T1);
}

static inline __attribute__((always_inline)) void multiply_rows(const int bf16, int64_t rows,
                                                                int columns, const mebi__tile *tile) {
    mebi__tile t = *tile;
    const int64_t n = (rows + ROWS - 1) / ROWS;
    for (int64_t i = 0; i < n; i++) {
        if (t.next) prefetch_rows(&t, i * COLUMNS / n, (i + 1) * COLUMNS / n);
        /* Even shares: tiles of few rows are bound by latency. */
        int share = (int)((rows + n - i - 1) / (n - i));
        multiply_tile(bf16, share, columns, &t);
        rows -= share;
        t.a += share * t.a_stride;
        t.c += share * t.c_stride;
        if (t.add) t.add += share * t.add_stride;
    }
}

static void multiply_f32(int64_t rows, int columns, const mebi__tile *tile) {
    multiply_rows(0, rows, columns, tile);
}

static void multiply_bf16(int64_t rows, int columns, const mebi__tile *tile) {
    multiply_rows(1, rows, columns, tile);
}

/* ---- pairs of bf16 ---- */

/* 4 units of 16 rows to [4][16]. */
static inline void transpose_units(const unsigned char *w, size_t stride, float *to) {
    __m512 v[4];
    for (size_t i = 0; i < 4; i++) {
        const unsigned char *p = w + i * stride;
        __m512i u = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)p));
        u = _mm512_inserti32x4(u, _mm_loadu_si128((const void *)(p + 4 * stride)), 1);
        u = _mm512_inserti32x4(u, _mm_loadu_si128((const void *)(p + 8 * stride)), 2);
        u = _mm512_inserti32x4(u, _mm_loadu_si128((const void *)(p + 12 * stride)), 3);
        v[i] = _mm512_castsi512_ps(u);
    }
    __m512 a = _mm512_unpacklo_ps(v[0], v[1]), b = _mm512_unpackhi_ps(v[0], v[1]);
    __m512 c = _mm512_unpacklo_ps(v[2], v[3]), d = _mm512_unpackhi_ps(v[2], v[3]);
    _mm512_storeu_ps(to, _mm512_shuffle_ps(a, c, 0x44));
    _mm512_storeu_ps(to + 16, _mm512_shuffle_ps(a, c, 0xee));
    _mm512_storeu_ps(to + 32, _mm512_shuffle_ps(b, d, 0x44));
    _mm512_storeu_ps(to + 48, _mm512_shuffle_ps(b, d, 0xee));
}

void mebi__pairs_avx512(const uint16_t *w, int64_t stride, int count, int64_t k, float *to) {
    int64_t i = 0;
    for (; count == MEBI__TILE_COLUMNS && i + 8 <= k; i += 8)
        transpose_units((const unsigned char *)(w + i), (size_t)stride * sizeof *w, to + i / 2 * 16);
    for (; i < k; i += 2)
        for (int r = 0; r < MEBI__TILE_COLUMNS; r++) {
            uint16_t pair[2] = {0, 0};
            if (r < count) pair[0] = w[r * stride + i];
            if (r < count && i + 1 < k) pair[1] = w[r * stride + i + 1];
            memcpy(to + i / 2 * 16 + r, pair, sizeof pair);
        }
}

static void panel_pairs(const void *w, mebi__dtype type, int64_t stride, int count, int64_t k,
                        float *to) {
    (void)type;
    mebi__pairs_avx512(w, stride, count, k, to);
}

/* A step reads all it writes over: 16 f32 become the first half of their own memory or lie before. */
void mebi__narrow_avx512(const float *from, int64_t k, float scale, float *to) {
    const __m512 factor = _mm512_set1_ps(scale);
    for (int64_t i = 0; i < k; i += 16) {
        __m512 v = _mm512_maskz_loadu_ps(first_lanes(k - i), from + i);
        __m256i b = to_bf16(_mm512_mul_ps(v, factor));
        int64_t pairs = k - i >= 16 ? 8 : (k - i + 1) / 2;
        _mm256_mask_storeu_epi32(to + i / 2, (__mmask8)first_lanes(pairs), b);
    }
}

static void narrow_rows(const float *from, int64_t stride, int64_t rows, int64_t k, float *to) {
    for (int64_t r = 0; r < rows; r++)
        mebi__narrow_avx512(from + r * stride, k, 1, to + r * MEBI__ROW_STRIDE);
}

/* ---- operations ---- */

const mebi__tiles mebi__tiles_avx512 = {.rows = ROWS,
                                        .columns = COLUMNS,
                                        .unit = 1,
                                        .multiply = multiply_f32,
                                        .panel = mebi__panel_avx2,
                                        .panel_decode = mebi__panel_decode_avx2};
/* Only for weights that are bf16 as they lie: it has no panel_decode. */
const mebi__tiles mebi__tiles_bf16_avx512 = {.rows = ROWS,
                                             .columns = COLUMNS,
                                             .unit = 2,
                                             .multiply = multiply_bf16,
                                             .panel = panel_pairs,
                                             .narrow = narrow_rows};

static void linear_f32(const mebi__cpu_call *call) {
    mebi__linear_tiled(call, &mebi__tiles_avx512);
}

static void linear_bf16(const mebi__cpu_call *call) {
    const mebi__view *w = &call->op->w;
    int pairs = w->dtype == MEBI__BF16 && w->scale == 0;
    mebi__linear_tiled(call, pairs ? &mebi__tiles_bf16_avx512 : &mebi__tiles_avx512);
}

static void conv2d(const mebi__cpu_call *call) {
    mebi__conv2d_tiled(call, &mebi__tiles_avx512);
}

/* Scratch is as AVX2's. */
void mebi__cpu_init_gemm_avx512(mebi__cpu_kernels *table, int bf16) {
    table->run[MEBI__OP_LINEAR] = bf16 ? linear_bf16 : linear_f32;
    table->run[MEBI__OP_CONV2D] = conv2d;
}

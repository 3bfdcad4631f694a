/* int8 products on AVX-512: a tile of 12 x 32 sums in 24 registers. With VNNI one instruction adds four
 * products to each sum; without, three do as on AVX2. Must give the bits of ref_int8.c. */
#include "cpu/avx512.h"
#include "cpu/int8.h"

enum { ROWS = 12 };

/* Row r, the four k at `at`; base is the row's, or that of the row `step` before it. */
#define ROW(r, base, step, at)                                                                     \
    if (rows > r) {                                                                                \
        const __m512i v = four_of(base + step * stride + at);                                      \
        accumulate(vnni, &s##r, v, b0, ones);                                                      \
        if (panels > 1) accumulate(vnni, &t##r, v, b1, ones);                                      \
    }
#define FOUR_K(at)                                                                                 \
    do {                                                                                           \
        const __m512i b0 = _mm512_loadu_si512(q + 16 * at);                                        \
        const __m512i b1 = panels > 1 ? _mm512_loadu_si512(p + 16 * at) : b0;                      \
        ROW(0, x0, 0, at)                                                                          \
        ROW(1, x0, 1, at)                                                                          \
        ROW(2, x0, 2, at)                                                                          \
        ROW(3, x3, 0, at)                                                                          \
        ROW(4, x3, 1, at)                                                                          \
        ROW(5, x3, 2, at)                                                                          \
        ROW(6, x6, 0, at)                                                                          \
        ROW(7, x6, 1, at)                                                                          \
        ROW(8, x6, 2, at)                                                                          \
        ROW(9, x9, 0, at)                                                                          \
        ROW(10, x9, 1, at)                                                                         \
        ROW(11, x9, 2, at)                                                                         \
    } while (0)
#define FINISH(r)                                                                                  \
    if (rows > r) {                                                                                \
        finish(b, r, 0, s##r, b->block);                                                           \
        if (panels > 1) finish(b, r, 16, t##r, b->right);                                          \
    }

static inline __attribute__((always_inline)) __m512i four_of(const unsigned char *x) {
    return _mm512_set1_epi32(*(const int32_t *)(const void *)x);
}

/* s += x . q, four products to a sum. The products of two neighbours fit 16 bits: tensor/int8.h. */
static inline __attribute__((always_inline)) void accumulate(const int vnni, __m512i *s, __m512i x,
                                                             __m512i q, __m512i ones) {
    if (vnni) add_fours(s, x, q);
    else add_fours_plain(s, x, q, ones);
}

/* y (+)= sum * scale_w * scale_x for one row of one block. */
static inline __attribute__((always_inline)) void finish(const mebi__int8_block *b, int r, int column,
                                                         __m512i sum, const unsigned char *block) {
    const __m512 sx = _mm512_set1_ps(
        *(const float *)(const void *)((const unsigned char *)b->scale_x + (size_t)r * b->x_stride));
    const __m512 sw = _mm512_loadu_ps(block + MEBI__INT8_PANEL * b->group);
    float *y = b->y + r * b->y_stride + column;
    __m512 before = b->first ? _mm512_setzero_ps() : _mm512_loadu_ps(y);
    __m512 v = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), sw);
    _mm512_storeu_ps(y, _mm512_fmadd_ps(v, sx, before));
}

static inline __m512i correction_of(const mebi__int8_block *b, const unsigned char *block) {
    return _mm512_loadu_si512(block + MEBI__INT8_PANEL * ((size_t)b->group + sizeof(float)));
}

static inline __attribute__((always_inline)) void tile(const int vnni, const int rows,
                                                       const int panels, const mebi__int8_block *b) {
    const size_t stride = b->x_stride;
    const unsigned char *x0 = b->x, *x3 = x0 + 3 * stride, *x6 = x0 + 6 * stride,
                        *x9 = x0 + 9 * stride, *q = b->block, *p = panels > 1 ? b->right : q;
    const __m512i ones = _mm512_set1_epi16(1);
    __m512i s0 = correction_of(b, q), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0,
            s8 = s0, s9 = s0, s10 = s0, s11 = s0;
    __m512i t0 = correction_of(b, p), t1 = t0, t2 = t0, t3 = t0, t4 = t0, t5 = t0, t6 = t0, t7 = t0,
            t8 = t0, t9 = t0, t10 = t0, t11 = t0;
    /* Opaque, or clang 14 computes all addresses from x0 by chains of additions. */
    __asm__("" : "+r"(x3), "+r"(x6), "+r"(x9), "+r"(p));
    for (int64_t k = 0; k < b->group; k += 8, x0 += 8, x3 += 8, x6 += 8, x9 += 8, q += 128, p += 128) {
        FOUR_K(0);
        FOUR_K(4);
    }
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
        if (b->right) tile(vnni, n, 2, b);                                                         \
        else tile(vnni, n, 1, b);                                                                  \
        break;

static inline __attribute__((always_inline)) void tile_of(const int vnni, int rows,
                                                          const mebi__int8_block *b) {
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
        if (b->right) tile(vnni, ROWS, 2, b);
        else tile(vnni, ROWS, 1, b);
        break;
    }
}

static void prefetch_block(const mebi__int8_block *b, int64_t done, int64_t of) {
    const int64_t lines = (int64_t)mebi__int8_block_bytes(b->group) / 64;
    if (!b->next) return;
    for (int64_t i = lines * done / of; i < lines * (done + 1) / of; i++) {
        _mm_prefetch((const char *)b->next + 64 * i, _MM_HINT_T1);
        if (b->right) _mm_prefetch((const char *)b->next + (b->right - b->block) + 64 * i, _MM_HINT_T1);
    }
}

/* The sums that this tile will be added to, and the rows of the next. */
static void prefetch_rows(const mebi__int8_block *b, int64_t rows, int64_t share) {
    for (int64_t r = 0; !b->first && r < share; r++) {
        _mm_prefetch((const char *)(b->y + r * b->y_stride), _MM_HINT_T0);
        if (b->right) _mm_prefetch((const char *)(b->y + r * b->y_stride + 16), _MM_HINT_T0);
    }
    for (int64_t r = share; r < rows && r < 2 * share; r++)
        for (int64_t k = 0; k < b->group; k += 64)
            _mm_prefetch((const char *)b->x + (size_t)r * b->x_stride + k, _MM_HINT_T0);
}

static inline __attribute__((always_inline)) void multiply_rows(const int vnni, int64_t rows,
                                                                const mebi__int8_block *block) {
    mebi__int8_block b = *block;
    const int64_t n = (rows + ROWS - 1) / ROWS;
    for (int64_t i = 0; i < n; i++) {
        /* Even shares: tiles of few rows are bound by latency. */
        int64_t share = (rows + n - i - 1) / (n - i);
        prefetch_block(&b, i, n);
        prefetch_rows(&b, rows, share);
        tile_of(vnni, (int)share, &b);
        rows -= share;
        b.x += (size_t)share * b.x_stride;
        b.scale_x = (const float *)(const void *)((const unsigned char *)b.scale_x +
                                                  (size_t)share * b.x_stride);
        b.y += share * b.y_stride;
    }
}

static void multiply_vnni(int64_t rows, const mebi__int8_block *b) {
    multiply_rows(1, rows, b);
}

static void multiply_plain(int64_t rows, const mebi__int8_block *b) {
    multiply_rows(0, rows, b);
}

static void linear_vnni(const mebi__cpu_call *call) {
    mebi__int8_linear(call, multiply_vnni, 2 * MEBI__INT8_PANEL);
}

static void linear_plain(const mebi__cpu_call *call) {
    mebi__int8_linear(call, multiply_plain, 2 * MEBI__INT8_PANEL);
}

/* Scratch is as AVX2's, and so is rounding of activations. */
void mebi__cpu_init_int8_avx512(mebi__cpu_kernels *table, int vnni) {
    table->run[MEBI__OP_LINEAR_INT8] = vnni ? linear_vnni : linear_plain;
}

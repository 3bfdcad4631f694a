/* The inner product of everything: a tile of 6 x 16 sums in twelve registers, and the packing of
 * weights into the panels it reads.
 *
 * Every sum is one chain of fused multiply-adds in ascending k, whatever the tile's shape; a tile
 * at an edge must give the same bits as one in the middle. */
#include "cpu/gemm.h"

#include <immintrin.h>

/* s += v * b. In assembly because gcc 12 otherwise picks forms that need copies: 7 % slower. */
static inline __attribute__((always_inline)) void accumulate(__m256 *s, __m256 v, __m256 b) {
    __asm__("vfmadd231ps %2, %1, %0" : "+x"(*s) : "x"(v), "x"(b));
}

/* Row r of one k: its element times 16 of b. The registers have names of their own because gcc 12
 * keeps an array of them in memory. */
#define ROW(r, base, step)                                                                         \
    if (rows > r) {                                                                                \
        v = _mm256_broadcast_ss((base) + step * stride + u);                                       \
        accumulate(&s##r, v, b0);                                                                  \
        accumulate(&t##r, v, b1);                                                                  \
    }
#define ONE_K(offset)                                                                              \
    do {                                                                                           \
        enum { u = offset };                                                                       \
        __m256 v, b0 = _mm256_load_ps(b + 16 * u), b1 = _mm256_load_ps(b + 16 * u + 8);            \
        ROW(0, a, 0)                                                                               \
        ROW(1, a, 1)                                                                               \
        ROW(2, a, 2)                                                                               \
        ROW(3, a3, 0)                                                                              \
        ROW(4, a3, 1)                                                                              \
        ROW(5, a3, 2)                                                                              \
    } while (0)

static inline __attribute__((always_inline)) void finish(const mebi__tile *t, int r, __m256 low,
                                                         __m256 high) {
    if (t->row) {
        low = _mm256_add_ps(low, _mm256_loadu_ps(t->row));
        high = _mm256_add_ps(high, _mm256_loadu_ps(t->row + 8));
    }
    if (t->add) {
        low = _mm256_add_ps(low, _mm256_loadu_ps(t->add + r * t->add_stride));
        high = _mm256_add_ps(high, _mm256_loadu_ps(t->add + r * t->add_stride + 8));
    }
    _mm256_storeu_ps(t->c + r * t->c_stride, low);
    _mm256_storeu_ps(t->c + r * t->c_stride + 8, high);
}

static inline __attribute__((always_inline)) void multiply(const int rows, const mebi__tile *t) {
    const float *a = t->a, *a3 = a + 3 * t->a_stride, *b = t->b;
    const int64_t stride = t->a_stride;
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0;
    __m256 t0 = s0, t1 = s0, t2 = s0, t3 = s0, t4 = s0, t5 = s0;
    for (int r = 0; t->add && r < rows; r++)
        _mm_prefetch((const char *)(t->add + r * t->add_stride), _MM_HINT_T0);
    int64_t k = t->k;
    for (; k >= 4; k -= 4, a += 4, a3 += 4, b += 64) {
        ONE_K(0);
        ONE_K(1);
        ONE_K(2);
        ONE_K(3);
    }
    for (; k > 0; k--, a++, a3++, b += 16) ONE_K(0);
    finish(t, 0, s0, t0);
    if (rows > 1) finish(t, 1, s1, t1);
    if (rows > 2) finish(t, 2, s2, t2);
    if (rows > 3) finish(t, 3, s3, t3);
    if (rows > 4) finish(t, 4, s4, t4);
    if (rows > 5) finish(t, 5, s5, t5);
}

void mebi__tile_avx2(int rows, const mebi__tile *tile) {
    switch (rows) {
    case 1: multiply(1, tile); break;
    case 2: multiply(2, tile); break;
    case 3: multiply(3, tile); break;
    case 4: multiply(4, tile); break;
    case 5: multiply(5, tile); break;
    default: multiply(6, tile); break;
    }
}

/* Fewer than 16 columns: the sums take a detour, so that nothing beyond c's edge is touched. */
static void tile_at_edge(int rows, int columns, const mebi__tile *tile) {
    float sum[MEBI__TILE_ROWS * MEBI__TILE_COLUMNS];
    mebi__tile t = *tile;
    t.row = t.add = NULL;
    t.c = sum;
    t.c_stride = MEBI__TILE_COLUMNS;
    mebi__tile_avx2(rows, &t);
    for (int r = 0; r < rows; r++) {
        for (int j = 0; j < columns; j++) {
            float v = sum[r * MEBI__TILE_COLUMNS + j];
            if (tile->row) v += tile->row[j];
            if (tile->add) v += tile->add[r * tile->add_stride + j];
            tile->c[r * tile->c_stride + j] = v;
        }
    }
}

static void prefetch_rows(const mebi__tile *tile, int64_t first, int64_t end) {
    for (int64_t r = first; r < end; r++)
        for (int64_t i = 0; i < tile->next_bytes; i += 64)
            _mm_prefetch((const char *)tile->next + r * tile->next_stride + i, _MM_HINT_T1);
}

void mebi__tile_rows_avx2(int64_t rows, int columns, const mebi__tile *tile) {
    mebi__tile t = *tile;
    int64_t tiles = (rows + MEBI__TILE_ROWS - 1) / MEBI__TILE_ROWS;
    for (int64_t n = tiles, i = 0; tiles > 0; tiles--, i++) {
        if (t.next) prefetch_rows(&t, i * MEBI__TILE_COLUMNS / n, (i + 1) * MEBI__TILE_COLUMNS / n);
        /* Even shares: tiles of few rows are bound by latency. */
        int share = (int)((rows + tiles - 1) / tiles);
        if (columns == MEBI__TILE_COLUMNS) mebi__tile_avx2(share, &t);
        else tile_at_edge(share, columns, &t);
        rows -= share;
        t.a += share * t.a_stride;
        t.c += share * t.c_stride;
        if (t.add) t.add += share * t.add_stride;
    }
}

/* 4 columns of 8 rows: v[i] holds 4 elements of row i, and of row i + 4 in its upper half. */
static inline void transpose(__m256 v[4]) {
    __m256 a = _mm256_unpacklo_ps(v[0], v[1]), b = _mm256_unpackhi_ps(v[0], v[1]);
    __m256 c = _mm256_unpacklo_ps(v[2], v[3]), d = _mm256_unpackhi_ps(v[2], v[3]);
    v[0] = _mm256_shuffle_ps(a, c, 0x44);
    v[1] = _mm256_shuffle_ps(a, c, 0xee);
    v[2] = _mm256_shuffle_ps(b, d, 0x44);
    v[3] = _mm256_shuffle_ps(b, d, 0xee);
}

static inline __m256 load_pair(const void *low, const void *high) {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
}

/* 16 rows, 8 k. */
static inline void pack_f32(const float *w, int64_t stride, float *to) {
    for (int h = 0; h < 2; h++) {
        for (int q = 0; q < 2; q++) {
            const float *from = w + 8 * h * stride + 4 * q;
            __m256 v[4];
            for (int i = 0; i < 4; i++)
                v[i] = load_pair(from + i * stride, from + (i + 4) * stride);
            transpose(v);
            for (int i = 0; i < 4; i++) _mm256_store_ps(to + (4 * q + i) * 16 + 8 * h, v[i]);
        }
    }
}

/* 16 rows, 8 k: neighbours in k travel as one 32-bit element and are parted after. */
static inline void pack_bf16(const uint16_t *w, int64_t stride, float *to) {
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000u);
    for (int h = 0; h < 2; h++) {
        const uint16_t *from = w + 8 * h * stride;
        __m256 v[4];
        for (int i = 0; i < 4; i++) v[i] = load_pair(from + i * stride, from + (i + 4) * stride);
        transpose(v);
        for (int i = 0; i < 4; i++) {
            __m256i pair = _mm256_castps_si256(v[i]);
            float *at = to + 2 * i * 16 + 8 * h;
            _mm256_store_ps(at, _mm256_castsi256_ps(_mm256_slli_epi32(pair, 16)));
            _mm256_store_ps(at + 16, _mm256_castsi256_ps(_mm256_and_si256(pair, upper)));
        }
    }
}

/* Elements [k0, k) of `count` rows, one at a time, zeros for the others. */
static void pack_plain(const void *w, mebi__dtype type, int64_t stride, int count, int64_t k0,
                       int64_t k, float *to) {
    for (int r = 0; r < MEBI__TILE_COLUMNS; r++) {
        for (int64_t i = k0; i < k; i++) {
            float v = 0;
            if (r < count)
                v = type == MEBI__F32 ? ((const float *)w)[r * stride + i]
                                      : mebi__bf16_to_f32(((const uint16_t *)w)[r * stride + i]);
            to[i * MEBI__TILE_COLUMNS + r] = v;
        }
    }
}

void mebi__panel_avx2(const void *w, mebi__dtype type, int64_t stride, int count, int64_t k,
                      float *to) {
    int64_t i = 0;
    if (count == MEBI__TILE_COLUMNS && type == MEBI__F32)
        for (; i + 8 <= k; i += 8) pack_f32((const float *)w + i, stride, to + i * 16);
    else if (count == MEBI__TILE_COLUMNS)
        for (; i + 8 <= k; i += 8) pack_bf16((const uint16_t *)w + i, stride, to + i * 16);
    pack_plain(w, type, stride, count, i, k, to);
}

void mebi__panel_decode_avx2(const void *w, mebi__dtype type, size_t stride, int count, int64_t k,
                             float scale, float *to) {
    float rows[MEBI__TILE_COLUMNS * MEBI__ROW_STRIDE];
    for (int r = 0; r < count; r++) {
        float *row = rows + r * MEBI__ROW_STRIDE;
        mebi__convert_to_f32(type, (const unsigned char *)w + (size_t)r * stride, (size_t)k, row);
        for (int64_t i = 0; scale != 0 && i < k; i++) row[i] *= scale;
    }
    mebi__panel_avx2(rows, MEBI__F32, MEBI__ROW_STRIDE, count, k, to);
}

const mebi__tiles mebi__tiles_avx2 = {.rows = MEBI__TILE_ROWS,
                                      .columns = MEBI__TILE_COLUMNS,
                                      .unit = 1,
                                      .multiply = mebi__tile_rows_avx2,
                                      .panel = mebi__panel_avx2,
                                      .panel_decode = mebi__panel_decode_avx2};

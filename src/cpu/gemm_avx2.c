/* Linear layers: the blocked product over tiles, and the single row, which memory alone decides.
 *
 * Weights are converted panel by panel, 16 rows by 256 of k: never a whole f32 copy. The division
 * into tasks may follow the number of threads because no sum depends on it (cpu/gemm.h). The loops
 * serve AVX-512's tiles too. */
#include "cpu/division.h"
#include "cpu/gemm.h"

#include <immintrin.h>
#include <string.h>

/* Up to here the rows are read where they lie and each panel is multiplied while it is in L1. */
enum { FEW_ROWS = 64, VECTOR_ROWS = 64 };

typedef struct division {
    const mebi__gemm *g;
    unsigned char *scratch;
    mebi__grid grid;
} division;

static size_t thread_scratch(int64_t n) {
    int64_t panels = (n + MEBI__TILE_COLUMNS - 1) / MEBI__TILE_COLUMNS;
    int64_t most = MEBI__GEMM_COLUMNS / MEBI__TILE_COLUMNS;
    if (panels > most) panels = most;
    return sizeof(float) * (size_t)(panels * MEBI__TILE_COLUMNS * MEBI__GEMM_K +
                                    MEBI__GEMM_ROWS * MEBI__ROW_STRIDE);
}

size_t mebi__gemm_scratch(int64_t n, int threads) {
    return thread_scratch(n) * (size_t)threads;
}

/* Bytes of k elements of a row; k is whole blocks, as g->k is and every multiple of MEBI__GEMM_K. */
static size_t bytes_of(const mebi__gemm *g, int64_t k) {
    size_t bytes = 0;
    if (k > 0) (void)mebi__row_bytes(g->type, k, &bytes);
    return bytes;
}

static const void *weights_at(const mebi__gemm *g, int64_t row, int64_t k) {
    return (const unsigned char *)g->w + (size_t)row * bytes_of(g, g->k) + bytes_of(g, k);
}

/* Types whose elements the kernels read themselves; the others are decoded first. */
static int is_direct(const mebi__gemm *g) {
    return (g->type == MEBI__F32 || g->type == MEBI__BF16) && g->scale == 0;
}

static void pack_panel(const mebi__gemm *g, int64_t row, int columns, int64_t k0, int64_t count,
                       float *panel) {
    const void *w = weights_at(g, row, k0);
    if (is_direct(g)) g->tiles->panel(w, g->type, g->k, columns, count, panel);
    else g->tiles->panel_decode(w, g->type, bytes_of(g, g->k), columns, count, g->scale, panel);
}

/* The weights that are packed after those of column j: their neighbours, or the first ones'
 * continuation. */
static void expect_next(const mebi__gemm *g, int64_t j, int64_t n0, int64_t n1, int64_t k0,
                        mebi__tile *t) {
    if (j + g->tiles->columns < n1) j += g->tiles->columns;
    else j = n0, k0 += MEBI__GEMM_K;
    if (k0 >= g->k || j + g->tiles->columns > g->n) return;
    t->next = weights_at(g, j, k0);
    t->next_stride = (int64_t)bytes_of(g, g->k);
    t->next_bytes = (int64_t)bytes_of(g, smaller(g->k - k0, MEBI__GEMM_K));
}

/* Elements [k0, k0 + count) of a block of rows as the tiles read them; in `gathered`, or where they lie. */
static void place_rows(const mebi__gemm *g, int64_t m0, int64_t rows, int64_t k0, int64_t count,
                       float *gathered, mebi__tile *t) {
    const float *from = gathered;
    int64_t stride = MEBI__ROW_STRIDE;
    if (g->x) from = g->x + m0 * g->k + k0, stride = g->k;
    else g->gather(g, m0, rows, k0, count, gathered);
    if (g->tiles->narrow) {
        g->tiles->narrow(from, stride, rows, count, gathered);
    } else if (g->x && rows <= FEW_ROWS) {
        t->a = from;
        t->a_stride = stride;
        return;
    } else if (g->x) {
        for (int64_t r = 0; r < rows; r++)
            memcpy(gathered + r * MEBI__ROW_STRIDE, from + r * stride, (size_t)count * sizeof(float));
    }
    t->a = gathered;
    t->a_stride = MEBI__ROW_STRIDE;
}

static int64_t stride_of(const mebi__gemm *g) {
    return g->run > 0 ? g->y_stride : g->n;
}

/* Where row m of y and of the residual begins. */
static int64_t offset_of(const mebi__gemm *g, int64_t m) {
    return g->run > 0 ? m / g->run * g->run_stride + m % g->run * g->y_stride : m * g->n;
}

/* Rows of the next block: within one run. */
static int64_t rows_from(const mebi__gemm *g, int64_t m, int64_t m1) {
    int64_t rows = smaller(m1 - m, MEBI__GEMM_ROWS);
    return g->run > 0 ? smaller(rows, g->run - m % g->run) : rows;
}

/* One block of rows against the columns [n0, n1), for `count` of k from k0 on. The panels are
 * packed by the first block that uses them. */
static void multiply_rows(const mebi__gemm *g, int64_t m0, int64_t rows, int64_t n0, int64_t n1,
                          int64_t k0, int pack, float *panels, float *gathered) {
    int64_t count = smaller(g->k - k0, MEBI__GEMM_K);
    mebi__tile t = {.k = (count + g->tiles->unit - 1) / g->tiles->unit,
                    .b_stride = MEBI__TILE_COLUMNS * MEBI__GEMM_K,
                    .c_stride = stride_of(g),
                    .add_stride = stride_of(g)};
    place_rows(g, m0, rows, k0, count, gathered, &t);
    for (int64_t j = n0; j < n1; j += g->tiles->columns) {
        int64_t end = smaller(n1, j + g->tiles->columns);
        t.b = panels + (j - n0) * MEBI__GEMM_K;
        t.next = NULL;
        if (pack) expect_next(g, j, n0, n1, k0, &t);
        for (int64_t p = j; pack && p < end; p += MEBI__TILE_COLUMNS)
            pack_panel(g, p, (int)smaller(end - p, MEBI__TILE_COLUMNS), k0, count,
                       panels + (p - n0) * MEBI__GEMM_K);
        t.c = g->y + offset_of(g, m0) + j;
        t.row = k0 == 0 && g->bias ? g->bias + j : NULL;
        t.add = k0 > 0 ? t.c : g->residual ? g->residual + offset_of(g, m0) + j : NULL;
        g->tiles->multiply(rows, (int)(end - j), &t);
    }
}

static void multiply_block(const mebi__gemm *g, int64_t m0, int64_t m1, int64_t n0, int64_t n1,
                           float *panels, float *gathered) {
    for (int64_t k = 0; k < g->k; k += MEBI__GEMM_K)
        for (int64_t m = m0, rows; m < m1; m += rows) {
            rows = rows_from(g, m, m1);
            multiply_rows(g, m, rows, n0, n1, k, m == m0, panels, gathered);
        }
}

static void run_task(void *context, int task, int thread) {
    const division *d = context;
    const mebi__gemm *g = d->g;
    float *panels = (float *)(d->scratch + thread_scratch(g->n) * (size_t)thread);
    float *gathered = panels + (thread_scratch(g->n) / sizeof(float) -
                                (size_t)(MEBI__GEMM_ROWS * MEBI__ROW_STRIDE));
    const mebi__grid_task t = grid_task(&d->grid, task);
    if (t.n0 == t.n1) return;
    if (g->x && !g->tiles->narrow && t.m1 - t.m0 <= FEW_ROWS) {
        /* Weights stream from memory once: along their rows, as the prefetcher likes it. */
        for (int64_t n = t.n0; n < t.n1; n += g->tiles->columns)
            multiply_block(g, t.m0, t.m1, n, smaller(t.n1, n + g->tiles->columns), panels, gathered);
    } else {
        multiply_block(g, t.m0, t.m1, t.n0, t.n1, panels, gathered);
    }
}

/* Large blocks amortize packing; then smaller ones until every thread has several. */
static mebi__grid divide(const mebi__gemm *g, int threads) {
    const int rows = g->tiles->rows, columns = g->tiles->columns;
    mebi__grid d = {.m = g->m,
                    .n = g->n,
                    .m_block = block_of(g->m, (g->m + 1151) / 1152, rows),
                    .n_block = block_of(g->n, (g->n + MEBI__GEMM_COLUMNS - 1) / MEBI__GEMM_COLUMNS,
                                        columns),
                    .unit = columns,
                    .threads = threads};
    while (threads > 1 && grid_blocks(&d) < 8 * threads) {
        if (d.m_block > 2 * d.n_block && d.m_block >= 2 * MEBI__GEMM_ROWS)
            d.m_block = block_of(d.m_block, 2, rows);
        else if (d.n_block >= 4 * columns)
            d.n_block = block_of(d.n_block, 2, columns);
        else break;
    }
    return d;
}

void mebi__gemm_run(const mebi__gemm *g, mebi__pool *pool, unsigned char *scratch) {
    division d = {g, scratch, divide(g, mebi__pool_threads(pool))};
    mebi__pool_run(pool, grid_tasks(&d.grid), run_task, &d);
}

static inline __m256 load_weights(const void *w, mebi__dtype type, int64_t i) {
    if (type == MEBI__F32) return _mm256_loadu_ps((const float *)w + i);
    __m128i bits = _mm_loadu_si128((const __m128i *)((const uint16_t *)w + i));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

static inline float sum_of(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

/* x[k] . w[k] in 32 partial sums. */
static inline float dot(const float *x, const void *w, mebi__dtype type, int64_t k) {
    __m256 s[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                   _mm256_setzero_ps()};
    int64_t i = 0;
    for (; i + 32 <= k; i += 32)
        for (int u = 0; u < 4; u++)
            s[u] = _mm256_fmadd_ps(_mm256_loadu_ps(x + i + 8 * u), load_weights(w, type, i + 8 * u),
                                   s[u]);
    for (; i + 8 <= k; i += 8)
        s[0] = _mm256_fmadd_ps(_mm256_loadu_ps(x + i), load_weights(w, type, i), s[0]);
    float sum = sum_of(_mm256_add_ps(_mm256_add_ps(s[0], s[1]), _mm256_add_ps(s[2], s[3])));
    for (; i < k; i++)
        sum += x[i] * (type == MEBI__F32 ? ((const float *)w)[i]
                                         : mebi__bf16_to_f32(((const uint16_t *)w)[i]));
    return sum;
}

/* The same for weights that are decoded first, MEBI__GEMM_K at a time. */
static float dot_decoded(const mebi__gemm *g, const unsigned char *w) {
    float values[MEBI__GEMM_K], sum = 0;
    size_t step = bytes_of(g, MEBI__GEMM_K);
    for (int64_t k = 0; k < g->k; k += MEBI__GEMM_K, w += step) {
        int64_t count = smaller(g->k - k, MEBI__GEMM_K);
        mebi__convert_to_f32(g->type, w, (size_t)count, values);
        sum += dot(g->x + k, values, MEBI__F32, count);
    }
    return g->scale != 0 ? sum * g->scale : sum;
}

/* One row: a dot product for each output. */
static void run_vector(void *context, int task, int thread) {
    (void)thread;
    const mebi__gemm *g = context;
    int64_t end = smaller(g->n, (task + 1) * (int64_t)VECTOR_ROWS);
    for (int64_t n = task * (int64_t)VECTOR_ROWS; n < end; n++) {
        const void *w = weights_at(g, n, 0);
        float v = !is_direct(g)          ? dot_decoded(g, w)
                  : g->type == MEBI__F32 ? dot(g->x, w, MEBI__F32, g->k)
                                         : dot(g->x, w, MEBI__BF16, g->k);
        g->y[n] = g->bias ? v + g->bias[n] : v;
    }
}

void mebi__linear_tiled(const mebi__cpu_call *call, const mebi__tiles *tiles) {
    const mebi__op *op = call->op;
    mebi__gemm g = {.tiles = tiles,
                    .m = op->x.shape.dim[0],
                    .n = op->w.shape.dim[0],
                    .k = op->w.shape.dim[1],
                    .w = mebi__cpu_data(op->w),
                    .type = op->w.dtype,
                    .scale = op->w.scale,
                    .bias = op->b.buffer ? mebi__cpu_data(op->b) : NULL,
                    .y = mebi__cpu_data(op->y),
                    .x = mebi__cpu_data(op->x)};
    if (g.m > 1) mebi__gemm_run(&g, call->pool, call->scratch);
    else mebi__pool_run(call->pool, (int)((g.n + VECTOR_ROWS - 1) / VECTOR_ROWS), run_vector, &g);
}

static void linear(const mebi__cpu_call *call) {
    mebi__linear_tiled(call, &mebi__tiles_avx2);
}

static void conv2d(const mebi__cpu_call *call) {
    mebi__conv2d_tiled(call, &mebi__tiles_avx2);
}

static size_t linear_scratch(const mebi__op *op, int threads) {
    return op->x.shape.dim[0] > 1 ? mebi__gemm_scratch(op->w.shape.dim[0], threads) : 0;
}

void mebi__cpu_init_gemm_avx2(mebi__cpu_kernels *table) {
    table->run[MEBI__OP_LINEAR] = linear;
    table->scratch[MEBI__OP_LINEAR] = linear_scratch;
    table->run[MEBI__OP_CONV2D] = conv2d;
    table->scratch[MEBI__OP_CONV2D] = mebi__conv2d_scratch;
}

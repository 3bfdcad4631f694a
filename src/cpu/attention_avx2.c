/* Attention with an online softmax: a block of queries of one head meets the keys block by block.
 *
 * Scores of one block only ever exist (never Sq x Sk), in base 2: queries are scaled by
 * log2(e) / sqrt(head_dim) once. Each task owns its queries' outputs and takes the keys in
 * ascending order, so nothing depends on the division into tasks or the number of threads. The
 * products are cpu/gemm.h's tiles.
 *
 * Packed keys and values stay in L2 while all the task's queries meet them, a part at a time, whose
 * scores then fit beside them.
 *
 *   m = running maximum, l = running sum, o = running sum of p v, of each query
 *   s = q k^T;  m' = max(m, s);  p = 2^(s - m');  l, o *= 2^(m - m');  l += sum p;  o += p v
 */
#include "cpu/division.h"
#include "cpu/gemm.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum { QUERIES = 1152, PART = 96, KEYS = 256, AHEAD = 8 };

typedef struct layout {
    int64_t head_dim, padded; /* padded: to whole tiles */
    int64_t row_stride;       /* of queries and outputs in scratch */
    int64_t queries;          /* most of one task */
    int64_t keys;             /* of a block */
    int64_t score_stride;
    size_t at_keys, at_values, at_scores, at_outputs, at_state; /* offsets in floats */
    size_t floats;                                              /* in all */
} layout;

typedef struct attention {
    const mebi__op *op;
    unsigned char *scratch;
    layout at;
    int64_t blocks; /* of queries */
} attention;

/* One task's view of its scratch. */
typedef struct block {
    float *queries, *keys, *values, *scores, *outputs, *maximum, *sum;
    int64_t first, count;             /* queries */
    int64_t first_key, keys_in_block; /* keys */
} block;

static int64_t whole(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit * unit;
}

static int64_t whole_tiles(int64_t n) {
    return whole(n, MEBI__TILE_COLUMNS);
}

/* Queries of a task: large blocks amortize packing; with few heads there are several for each thread. */
static int64_t step_of(const mebi__op *op, int threads) {
    int64_t queries = op->x.shape.dim[0], heads = op->heads, blocks = (queries + QUERIES - 1) / QUERIES;
    if (blocks * heads < 32 * threads && threads > 1) {
        int64_t even = whole(blocks * heads, 4 * threads);
        blocks = smaller((even + heads - 1) / heads, (queries + PART - 1) / PART);
    }
    int64_t step = whole((queries + blocks - 1) / blocks, MEBI__TILE_ROWS);
    return smaller(step, smaller(QUERIES, queries));
}

static layout layout_of(const mebi__op *op, int threads) {
    layout at = {.head_dim = op->x.shape.dim[1] / op->heads};
    at.padded = whole_tiles(at.head_dim);
    at.row_stride = at.padded + 16;
    at.queries = step_of(op, threads);
    at.keys = smaller(KEYS, whole_tiles(op->a1.shape.dim[0]));
    at.score_stride = at.keys + 16;
    at.at_keys = (size_t)whole_tiles(at.queries * at.row_stride);
    at.at_values = at.at_keys + (size_t)(at.keys * at.head_dim);
    at.at_scores = at.at_values + (size_t)(at.keys * at.padded);
    at.at_outputs = at.at_scores + (size_t)(PART * at.score_stride);
    at.at_state = at.at_outputs + (size_t)(at.queries * at.row_stride);
    at.floats = (size_t)whole_tiles((int64_t)at.at_state + 2 * at.queries);
    return at;
}

static size_t scratch_bytes(const mebi__op *op, int threads) {
    return layout_of(op, threads).floats * sizeof(float) * (size_t)threads;
}

/* 2^x for x <= 0, relative error 1.7e-7 down to 2^-126; 0 from x = -127 on. NaN stays NaN. The
 * polynomial is fitted to 2^f for |f| <= 1/2 with 1 at 0 (error 9.2e-8). */
static inline __m256 exp2_of(__m256 x) {
    x = _mm256_max_ps(_mm256_set1_ps(-127.0f), x);
    __m256 n = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 f = _mm256_sub_ps(x, n);
    __m256 p = _mm256_set1_ps(1.326472731e-3f);
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(9.671512991e-3f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(5.550733581e-2f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(2.402224243e-1f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(6.931470037e-1f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0f));
    __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
}

static inline float max_of(__m256 v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

static inline float sum_of(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline float max_score(const float *s, int64_t count) {
    __m256 a = _mm256_loadu_ps(s), b = a;
    for (int64_t i = 0; i < count; i += 16) {
        a = _mm256_max_ps(a, _mm256_loadu_ps(s + i));
        b = _mm256_max_ps(b, _mm256_loadu_ps(s + i + 8));
    }
    return max_of(_mm256_max_ps(a, b));
}

/* s = 2^(s - m); returns the sum. */
static inline float exponentials(float *s, int64_t count, float m) {
    const __m256 top = _mm256_set1_ps(m);
    __m256 a = _mm256_setzero_ps(), b = a;
    for (int64_t i = 0; i < count; i += 16) {
        __m256 p = exp2_of(_mm256_sub_ps(_mm256_loadu_ps(s + i), top));
        __m256 q = exp2_of(_mm256_sub_ps(_mm256_loadu_ps(s + i + 8), top));
        _mm256_storeu_ps(s + i, p);
        _mm256_storeu_ps(s + i + 8, q);
        a = _mm256_add_ps(a, p);
        b = _mm256_add_ps(b, q);
    }
    return sum_of(_mm256_add_ps(a, b));
}

static void scale_row(float *row, int64_t width, float factor) {
    const __m256 f = _mm256_set1_ps(factor);
    for (int64_t i = 0; i < width; i += 8)
        _mm256_storeu_ps(row + i, _mm256_mul_ps(_mm256_loadu_ps(row + i), f));
}

/* Scores of query r of the block become weights; keys it may not see weigh nothing. */
static void soften_row(const attention *c, const block *b, int64_t r, float *s) {
    int64_t seen = b->keys_in_block, padded = whole_tiles(seen);
    if (c->op->flag) seen = smaller(seen, b->first + r - b->first_key + 1);
    if (seen <= 0) {
        memset(s, 0, (size_t)padded * sizeof(float));
        return;
    }
    for (int64_t i = seen; i < padded; i++) s[i] = -INFINITY;
    float m = max_score(s, padded);
    if (b->maximum[r] > m) m = b->maximum[r];
    if (m != b->maximum[r]) {
        float down = exp2f(b->maximum[r] - m);
        b->sum[r] *= down;
        scale_row(b->outputs + r * c->at.row_stride, c->at.padded, down);
    }
    b->maximum[r] = m;
    b->sum[r] += exponentials(s, padded, m);
}

/* Rows of one head lie far apart: no prefetcher of the hardware's follows them. */
static inline void expect_rows(const float *p, int64_t rows, int64_t stride, int64_t width) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < width; i += 16)
            _mm_prefetch((const char *)(p + r * stride + i), _MM_HINT_T0);
}

static void pack_queries(const attention *c, const block *b, int64_t head) {
    const mebi__op *op = c->op;
    const int64_t width = op->x.shape.dim[1], head_dim = c->at.head_dim;
    const float *q = (const float *)mebi__cpu_data(op->x) + b->first * width + head * head_dim;
    const float scale = 1.44269504f / sqrtf((float)head_dim);
    for (int64_t r = 0; r < b->count; r++) {
        if (r + AHEAD < b->count) expect_rows(q + (r + AHEAD) * width, 1, width, head_dim);
        for (int64_t i = 0; i < head_dim; i++)
            b->queries[r * c->at.row_stride + i] = q[r * width + i] * scale;
    }
}

static void pack_keys(const attention *c, const block *b, int64_t head) {
    const mebi__op *op = c->op;
    const int64_t width = op->a1.shape.dim[1], head_dim = c->at.head_dim;
    const float *k = (const float *)mebi__cpu_data(op->a1) + b->first_key * width + head * head_dim;
    for (int64_t i = 0; i < b->keys_in_block; i += MEBI__TILE_COLUMNS) {
        int64_t count = b->keys_in_block - i;
        if (count >= 2 * MEBI__TILE_COLUMNS)
            expect_rows(k + MEBI__TILE_COLUMNS * width, MEBI__TILE_COLUMNS, width, head_dim);
        mebi__panel_avx2(k, MEBI__F32, width, (int)smaller(count, MEBI__TILE_COLUMNS), head_dim,
                         b->keys + i * head_dim);
        k += MEBI__TILE_COLUMNS * width;
    }
}

/* Panels of 16 of the head's dimensions, [key][16] each. */
static void pack_values(const attention *c, const block *b, int64_t head) {
    const mebi__op *op = c->op;
    const int64_t width = op->a2.shape.dim[1], head_dim = c->at.head_dim;
    const int64_t panel = c->at.keys * MEBI__TILE_COLUMNS;
    const float *v = (const float *)mebi__cpu_data(op->a2) + b->first_key * width + head * head_dim;
    for (int64_t r = 0; r < b->keys_in_block; r++, v += width) {
        float *to = b->values + r * MEBI__TILE_COLUMNS;
        int64_t i = 0;
        if (r + AHEAD < b->keys_in_block) expect_rows(v + AHEAD * width, 1, width, head_dim);
        for (; i + 16 <= head_dim; i += 16, to += panel) {
            _mm256_store_ps(to, _mm256_loadu_ps(v + i));
            _mm256_store_ps(to + 8, _mm256_loadu_ps(v + i + 8));
        }
        for (int64_t j = i; j < c->at.padded; j++) to[j - i] = j < head_dim ? v[j] : 0;
    }
}

/* `count` queries from r on meet the packed keys. */
static void meet_keys(const attention *c, const block *b, int64_t r, int64_t count) {
    const layout *at = &c->at;
    mebi__tile t = {.k = at->head_dim,
                    .a = b->queries + r * at->row_stride,
                    .a_stride = at->row_stride,
                    .c_stride = at->score_stride};
    for (int64_t j = 0; j < b->keys_in_block; j += MEBI__TILE_COLUMNS) {
        t.b = b->keys + j * at->head_dim;
        t.c = b->scores + j;
        mebi__tile_rows_avx2(count, MEBI__TILE_COLUMNS, &t);
    }
    for (int64_t i = 0; i < count; i++) soften_row(c, b, r + i, b->scores + i * at->score_stride);
    t = (mebi__tile){.k = b->keys_in_block,
                     .a = b->scores,
                     .a_stride = at->score_stride,
                     .c_stride = at->row_stride,
                     .add_stride = at->row_stride};
    for (int64_t i = 0; i < at->padded; i += MEBI__TILE_COLUMNS) {
        t.b = b->values + i * at->keys;
        t.add = t.c = b->outputs + r * at->row_stride + i;
        mebi__tile_rows_avx2(count, MEBI__TILE_COLUMNS, &t);
    }
}

static void write_outputs(const attention *c, const block *b, int64_t head) {
    const int64_t width = c->op->y.shape.dim[1], head_dim = c->at.head_dim;
    float *o = (float *)mebi__cpu_data(c->op->y) + b->first * width + head * head_dim;
    for (int64_t r = 0; r < b->count; r++) {
        float share = 1.0f / b->sum[r];
        if (r + AHEAD < b->count) expect_rows(o + (r + AHEAD) * width, 1, width, head_dim);
        for (int64_t i = 0; i < head_dim; i++)
            o[r * width + i] = b->outputs[r * c->at.row_stride + i] * share;
    }
}

/* A task is one head's block of queries. */
static void run_task(void *context, int task, int thread) {
    const attention *c = context;
    const mebi__op *op = c->op;
    const layout *at = &c->at;
    float *scratch = (float *)c->scratch + at->floats * (size_t)thread;
    int64_t head = task / c->blocks, kv_head = head / (op->heads / op->kv_heads);
    int64_t queries = op->x.shape.dim[0], keys = op->a1.shape.dim[0];
    block b = {scratch,
               scratch + at->at_keys,
               scratch + at->at_values,
               scratch + at->at_scores,
               scratch + at->at_outputs,
               scratch + at->at_state,
               scratch + at->at_state + at->queries,
               .first = task % c->blocks * at->queries};
    b.count = smaller(queries - b.first, at->queries);
    if (op->flag) keys = b.first + b.count;
    memset(b.outputs, 0, (size_t)(b.count * at->row_stride) * sizeof(float));
    for (int64_t r = 0; r < b.count; r++) b.maximum[r] = -INFINITY, b.sum[r] = 0;
    pack_queries(c, &b, head);
    for (; b.first_key < keys; b.first_key += at->keys) {
        b.keys_in_block = smaller(keys - b.first_key, at->keys);
        pack_keys(c, &b, kv_head);
        pack_values(c, &b, kv_head);
        for (int64_t r = 0; r < b.count; r += PART)
            meet_keys(c, &b, r, smaller(b.count - r, PART));
    }
    write_outputs(c, &b, head);
}

static void attention_avx2(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    attention c = {
        .op = op, .scratch = call->scratch, .at = layout_of(op, mebi__pool_threads(call->pool))};
    c.blocks = (op->x.shape.dim[0] + c.at.queries - 1) / c.at.queries;
    mebi__pool_run(call->pool, (int)(c.blocks * op->heads), run_task, &c);
}

void mebi__cpu_init_attention_avx2(mebi__cpu_kernels *table) {
    table->run[MEBI__OP_ATTENTION] = attention_avx2;
    table->scratch[MEBI__OP_ATTENTION] = scratch_bytes;
}

/* Attention with an online softmax: a block of queries of one head meets the keys block by block.
 *
 * Scores of one block only ever exist (never Sq x Sk), in base 2: queries are scaled by
 * log2(e) / sqrt(head_dim) once. Each task owns its queries' outputs and takes the keys in
 * ascending order, so nothing depends on the number of threads. The products are cpu/gemm.h's
 * tiles.
 *
 *   m = running maximum, l = running sum, o = running sum of p v, of each query
 *   s = q k^T;  m' = max(m, s);  p = 2^(s - m');  l, o *= 2^(m - m');  l += sum p;  o += p v
 */
#include "cpu/gemm.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum { QUERIES = 96, KEYS = 128, SCORE_STRIDE = KEYS + 16 };

typedef struct layout {
    int64_t head_dim, padded; /* padded: to whole tiles */
    int64_t row_stride;       /* of queries and outputs in scratch */
    size_t queries, keys, values, scores, outputs, state, floats; /* offsets in floats; total */
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

static int64_t whole_tiles(int64_t n) {
    return (n + MEBI__TILE_COLUMNS - 1) / MEBI__TILE_COLUMNS * MEBI__TILE_COLUMNS;
}

static layout layout_of(const mebi__op *op) {
    layout at = {.head_dim = op->x.shape.dim[1] / op->heads};
    at.padded = whole_tiles(at.head_dim);
    at.row_stride = at.padded + 16;
    at.keys = (size_t)(QUERIES * at.row_stride);
    at.values = at.keys + (size_t)(KEYS * at.head_dim);
    at.scores = at.values + (size_t)(KEYS * at.padded);
    at.outputs = at.scores + (size_t)(QUERIES * SCORE_STRIDE);
    at.state = at.outputs + (size_t)(QUERIES * at.row_stride);
    at.floats = at.state + 2 * QUERIES;
    return at;
}

static size_t scratch_bytes(const mebi__op *op, int threads) {
    return layout_of(op).floats * sizeof(float) * (size_t)threads;
}

/* 2^x for x <= 0, relative error 1e-7 down to 2^-126; 0 from x = -127 on. NaN stays NaN. */
static inline __m256 exp2_of(__m256 x) {
    x = _mm256_max_ps(_mm256_set1_ps(-127.0f), x);
    __m256 whole = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 f = _mm256_sub_ps(x, whole);
    __m256 p = _mm256_set1_ps(1.5353362e-4f);
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.3398875e-3f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(9.618437e-3f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(5.5503324e-2f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(2.4022648e-1f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(6.931472e-1f));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0f));
    __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(whole), 23);
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

/* One query's scores against this block become weights; keys it may not see weigh nothing. */
static void soften_row(const attention *c, const block *b, int64_t r) {
    float *s = b->scores + r * SCORE_STRIDE;
    int64_t seen = b->keys_in_block, padded = whole_tiles(seen);
    if (c->op->flag && b->first + r - b->first_key + 1 < seen)
        seen = b->first + r - b->first_key + 1;
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

static void pack_queries(const attention *c, const block *b, int64_t head) {
    const mebi__op *op = c->op;
    const int64_t width = op->x.shape.dim[1], head_dim = c->at.head_dim;
    const float *q = (const float *)mebi__cpu_data(op->x) + b->first * width + head * head_dim;
    const float scale = 1.44269504f / sqrtf((float)head_dim);
    for (int64_t r = 0; r < b->count; r++)
        for (int64_t i = 0; i < head_dim; i++)
            b->queries[r * c->at.row_stride + i] = q[r * width + i] * scale;
}

static void pack_keys(const attention *c, const block *b, int64_t head) {
    const mebi__op *op = c->op;
    const int64_t width = op->a1.shape.dim[1], head_dim = c->at.head_dim;
    const float *k = (const float *)mebi__cpu_data(op->a1) + b->first_key * width + head * head_dim;
    for (int64_t i = 0; i < b->keys_in_block; i += MEBI__TILE_COLUMNS) {
        int64_t count = b->keys_in_block - i;
        mebi__panel_avx2(k + i * width, MEBI__F32, width,
                         count < MEBI__TILE_COLUMNS ? (int)count : MEBI__TILE_COLUMNS, head_dim,
                         b->keys + i * head_dim);
    }
}

/* Panels of 16 of the head's dimensions, [key][16] each. */
static void pack_values(const attention *c, const block *b, int64_t head) {
    const mebi__op *op = c->op;
    const int64_t width = op->a2.shape.dim[1], head_dim = c->at.head_dim;
    const float *v = (const float *)mebi__cpu_data(op->a2) + b->first_key * width + head * head_dim;
    for (int64_t r = 0; r < b->keys_in_block; r++, v += width) {
        float *to = b->values + r * MEBI__TILE_COLUMNS;
        int64_t i = 0;
        for (; i + 16 <= head_dim; i += 16, to += KEYS * MEBI__TILE_COLUMNS) {
            _mm256_store_ps(to, _mm256_loadu_ps(v + i));
            _mm256_store_ps(to + 8, _mm256_loadu_ps(v + i + 8));
        }
        for (int64_t j = i; j < c->at.padded; j++) to[j - i] = j < head_dim ? v[j] : 0;
    }
}

static void meet_keys(const attention *c, const block *b) {
    mebi__tile t = {.k = c->at.head_dim,
                    .a = b->queries,
                    .a_stride = c->at.row_stride,
                    .c_stride = SCORE_STRIDE};
    for (int64_t j = 0; j < b->keys_in_block; j += MEBI__TILE_COLUMNS) {
        t.b = b->keys + j * c->at.head_dim;
        t.c = b->scores + j;
        mebi__tile_rows_avx2(b->count, MEBI__TILE_COLUMNS, &t);
    }
    for (int64_t r = 0; r < b->count; r++) soften_row(c, b, r);
    t = (mebi__tile){.k = b->keys_in_block,
                     .a = b->scores,
                     .a_stride = SCORE_STRIDE,
                     .c_stride = c->at.row_stride,
                     .add_stride = c->at.row_stride};
    for (int64_t i = 0; i < c->at.padded; i += MEBI__TILE_COLUMNS) {
        t.b = b->values + i * KEYS;
        t.add = t.c = b->outputs + i;
        mebi__tile_rows_avx2(b->count, MEBI__TILE_COLUMNS, &t);
    }
}

static void write_outputs(const attention *c, const block *b, int64_t head) {
    const int64_t width = c->op->y.shape.dim[1], head_dim = c->at.head_dim;
    float *o = (float *)mebi__cpu_data(c->op->y) + b->first * width + head * head_dim;
    for (int64_t r = 0; r < b->count; r++) {
        float share = 1.0f / b->sum[r];
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
    block b = {scratch + at->queries,         scratch + at->keys,
               scratch + at->values,          scratch + at->scores,
               scratch + at->outputs,         scratch + at->state,
               scratch + at->state + QUERIES, .first = task % c->blocks * QUERIES};
    b.count = queries - b.first < QUERIES ? queries - b.first : QUERIES;
    if (op->flag) keys = b.first + b.count;
    memset(b.outputs, 0, (size_t)(b.count * at->row_stride) * sizeof(float));
    for (int64_t r = 0; r < b.count; r++) b.maximum[r] = -INFINITY, b.sum[r] = 0;
    pack_queries(c, &b, head);
    for (; b.first_key < keys; b.first_key += KEYS) {
        b.keys_in_block = keys - b.first_key < KEYS ? keys - b.first_key : KEYS;
        pack_keys(c, &b, kv_head);
        pack_values(c, &b, kv_head);
        meet_keys(c, &b);
    }
    write_outputs(c, &b, head);
}

static void attention_avx2(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    attention c = {op, call->scratch, layout_of(op), (op->x.shape.dim[0] + QUERIES - 1) / QUERIES};
    mebi__pool_run(call->pool, (int)(c.blocks * op->heads), run_task, &c);
}

void mebi__cpu_init_attention_avx2(mebi__cpu_kernels *table) {
    table->run[MEBI__OP_ATTENTION] = attention_avx2;
    table->scratch[MEBI__OP_ATTENTION] = scratch_bytes;
}

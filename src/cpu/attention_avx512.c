/* Attention with an online softmax on AVX-512, as attention_avx2.c, with products of f32 or of bf16: then
 * queries, keys, values and the softmax's weights are rounded to bf16; all sums, the scores and the softmax
 * stay f32.
 *
 * Each task owns its queries' outputs and takes the keys in ascending order: nothing depends on the
 * division into tasks or the number of threads. Rows and panels are of units (cpu/gemm.h). */
#include "cpu/avx512.h"
#include "cpu/division.h"
#include "cpu/gemm512.h"

#include <math.h>

enum { QUERIES = 384, PART = 96, KEYS = 256, WIDE_KEYS = 128, WIDE = 256 };

typedef struct layout {
    int64_t head_dim, padded;  /* padded: to whole panels */
    int64_t units;             /* of a query or key */
    int64_t row_stride;        /* of queries and outputs */
    int64_t queries;           /* most of one task */
    int64_t keys, key_units;   /* of a block; key_units: of one value panel */
    int64_t score_stride;
    size_t at_keys, at_values, at_scores, at_outputs, at_state, at_rows, floats;
} layout;

typedef struct attention {
    const mebi__op *op;
    const mebi__tiles *tiles;
    unsigned char *scratch;
    layout at;
    int64_t blocks, step; /* of queries */
} attention;

/* One task's view of its scratch. */
typedef struct block {
    float *queries, *keys, *values, *scores, *outputs, *maximum, *sum, *rows;
    int64_t first, count;             /* queries */
    int64_t first_key, keys_in_block; /* keys */
} block;

static int64_t whole(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit * unit;
}

static layout layout_of(const mebi__op *op, int unit) {
    layout at = {.head_dim = op->x.shape.dim[1] / op->heads};
    at.padded = whole(at.head_dim, 16);
    at.units = (at.head_dim + unit - 1) / unit;
    at.row_stride = at.padded + 16;
    at.queries = smaller(QUERIES, whole(op->x.shape.dim[0], 12));
    at.keys = smaller(at.padded > WIDE ? WIDE_KEYS : KEYS, whole(op->a1.shape.dim[0], 16));
    at.key_units = at.keys / unit;
    at.score_stride = at.keys + 16;
    at.at_keys = (size_t)(at.queries * at.row_stride);
    at.at_values = at.at_keys + (size_t)whole(at.keys * at.units, 16);
    at.at_scores = at.at_values + (size_t)(at.key_units * at.padded);
    at.at_outputs = at.at_scores + (size_t)(PART * at.score_stride);
    at.at_state = at.at_outputs + (size_t)(at.queries * at.row_stride);
    at.at_rows = at.at_state + (size_t)whole(2 * at.queries, 16);
    at.floats = at.at_rows + (size_t)(16 * at.units);
    return at;
}

/* 2^x for x <= 0, as attention_avx2.c's, with its polynomial. */
static inline __m512 exp2_of(__m512 x) {
    /* max gives its second operand when one is NaN. */
    x = _mm512_max_ps(_mm512_set1_ps(-127.0f), x);
    __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 f = _mm512_sub_ps(x, n);
    __m512 p = _mm512_set1_ps(1.326472731e-3f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.671512991e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.550733581e-2f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.402224243e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.931470037e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    __m512i exponent = _mm512_slli_epi32(_mm512_cvtps_epi32(n), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), exponent));
}

/* count is a multiple of 16. */
static inline float max_score(const float *s, int64_t count) {
    __m512 m = _mm512_loadu_ps(s);
    for (int64_t i = 16; i < count; i += 16) m = _mm512_max_ps(m, _mm512_loadu_ps(s + i));
    return _mm512_reduce_max_ps(m);
}

/* s = 2^(s - m); returns the sum. */
static inline float exponentials(float *s, int64_t count, float m) {
    const __m512 top = _mm512_set1_ps(m);
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < count; i += 16) {
        __m512 p = exp2_of(_mm512_sub_ps(_mm512_loadu_ps(s + i), top));
        _mm512_storeu_ps(s + i, p);
        sum = _mm512_add_ps(sum, p);
    }
    return _mm512_reduce_add_ps(sum);
}

static void scale_row(float *row, int64_t width, float factor) {
    const __m512 f = _mm512_set1_ps(factor);
    for (int64_t i = 0; i < width; i += 16)
        _mm512_storeu_ps(row + i, _mm512_mul_ps(_mm512_loadu_ps(row + i), f));
}

/* Scores of query r of the block become weights; keys it may not see weigh nothing. */
static void soften_row(const attention *c, const block *b, int64_t r, float *s) {
    int64_t seen = b->keys_in_block, padded = whole(seen, 16);
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
    if (c->tiles->narrow) mebi__narrow_avx512(s, padded, 1, s);
}

static void pack_queries(const attention *c, const block *b, int64_t head) {
    const mebi__op *op = c->op;
    const int64_t width = op->x.shape.dim[1], head_dim = c->at.head_dim;
    const float *q = (const float *)mebi__cpu_data(op->x) + b->first * width + head * head_dim;
    const float scale = 1.44269504f / sqrtf((float)head_dim);
    for (int64_t r = 0; r < b->count; r++, q += width) {
        float *to = b->queries + r * c->at.row_stride;
        if (c->tiles->narrow) mebi__narrow_avx512(q, head_dim, scale, to);
        else
            for (int64_t i = 0; i < head_dim; i++) to[i] = q[i] * scale;
    }
}

/* Rows of one head lie far apart: no prefetcher of the hardware's follows them. */
static inline void expect_rows(const float *p, int64_t rows, int64_t stride, int64_t width) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < width; i += 16)
            _mm_prefetch((const char *)(p + r * stride + i), _MM_HINT_T0);
}

static void pack_keys(const attention *c, const block *b, int64_t head) {
    const mebi__op *op = c->op;
    const int64_t width = op->a1.shape.dim[1], head_dim = c->at.head_dim, units = c->at.units;
    const float *k = (const float *)mebi__cpu_data(op->a1) + b->first_key * width + head * head_dim;
    for (int64_t i = 0; i < b->keys_in_block; i += 16, k += 16 * width) {
        int count = (int)smaller(b->keys_in_block - i, 16);
        float *to = b->keys + i * units;
        if (b->keys_in_block - i >= 32) expect_rows(k + 16 * width, 16, width, head_dim);
        if (!c->tiles->narrow) {
            mebi__panel_avx2(k, MEBI__F32, width, count, head_dim, to);
            continue;
        }
        for (int r = 0; r < count; r++)
            mebi__narrow_avx512(k + r * width, head_dim, 1, b->rows + r * units);
        mebi__pairs_avx512((const uint16_t *)(const void *)b->rows, 2 * units, count, head_dim, to);
    }
}

/* 16 of the head's dimensions of a key, or of it and the next in pairs; n of them exist. */
static inline __m512 value_units(const float *v, const float *next, int64_t n, int pairs) {
    const __mmask16 mask = first_lanes(n);
    const __m512 a = _mm512_maskz_loadu_ps(mask, v);
    if (!pairs) return a;
    __m512i u = _mm512_cvtepu16_epi32(to_bf16(a));
    if (next) {
        __m512i w = _mm512_cvtepu16_epi32(to_bf16(_mm512_maskz_loadu_ps(mask, next)));
        u = _mm512_or_si512(u, _mm512_slli_epi32(w, 16));
    }
    return _mm512_castsi512_ps(u);
}

/* Panels of 16 of the head's dimensions. */
static void pack_values(const attention *c, const block *b, int64_t head) {
    enum { AHEAD = 8 };
    const mebi__op *op = c->op;
    const int64_t width = op->a2.shape.dim[1], head_dim = c->at.head_dim, unit = c->tiles->unit;
    const float *v = (const float *)mebi__cpu_data(op->a2) + b->first_key * width + head * head_dim;
    for (int64_t r = 0; r < b->keys_in_block; r += unit, v += unit * width) {
        const float *next = r + 1 < b->keys_in_block ? v + width : NULL;
        float *to = b->values + r / unit * 16;
        if (r + AHEAD + unit <= b->keys_in_block)
            expect_rows(v + AHEAD * width, unit, width, head_dim);
        for (int64_t i = 0; i < head_dim; i += 16, to += c->at.key_units * 16)
            _mm512_storeu_ps(
                to, value_units(v + i, next ? next + i : NULL, head_dim - i, unit == 2));
    }
}

/* `count` queries from r on meet the packed keys. */
static void meet_keys(const attention *c, const block *b, int64_t r, int64_t count) {
    const layout *at = &c->at;
    const int64_t columns = whole(b->keys_in_block, 16);
    mebi__tile t = {.k = at->units,
                    .a = b->queries + r * at->row_stride,
                    .a_stride = at->row_stride,
                    .b_stride = 16 * at->units,
                    .c_stride = at->score_stride};
    for (int64_t j = 0; j < columns; j += c->tiles->columns) {
        t.b = b->keys + j * at->units;
        t.c = b->scores + j;
        c->tiles->multiply(count, (int)smaller(columns - j, c->tiles->columns), &t);
    }
    for (int64_t i = 0; i < count; i++) soften_row(c, b, r + i, b->scores + i * at->score_stride);
    t = (mebi__tile){.k = (b->keys_in_block + c->tiles->unit - 1) / c->tiles->unit,
                     .a = b->scores,
                     .a_stride = at->score_stride,
                     .b_stride = 16 * at->key_units,
                     .c_stride = at->row_stride,
                     .add_stride = at->row_stride};
    for (int64_t i = 0; i < at->padded; i += c->tiles->columns) {
        t.b = b->values + i * at->key_units;
        t.add = t.c = b->outputs + r * at->row_stride + i;
        c->tiles->multiply(count, (int)smaller(at->padded - i, c->tiles->columns), &t);
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
    block b = {.queries = scratch,
               .keys = scratch + at->at_keys,
               .values = scratch + at->at_values,
               .scores = scratch + at->at_scores,
               .outputs = scratch + at->at_outputs,
               .maximum = scratch + at->at_state,
               .sum = scratch + at->at_state + at->queries,
               .rows = scratch + at->at_rows,
               .first = task % c->blocks * c->step};
    b.count = smaller(queries - b.first, c->step);
    if (op->flag) keys = smaller(keys, b.first + b.count);
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

/* Large blocks amortize packing; with few heads there are several for each thread. */
static void divide(attention *c, int threads) {
    const int64_t queries = c->op->x.shape.dim[0], heads = c->op->heads;
    int64_t few = (16 * threads + heads - 1) / heads, most = (queries + PART - 1) / PART;
    c->blocks = (queries + QUERIES - 1) / QUERIES;
    if (threads > 1 && c->blocks < smaller(few, most)) c->blocks = smaller(few, most);
    c->step = whole((queries + c->blocks - 1) / c->blocks, 12);
    c->step = smaller(c->step, c->at.queries);
    c->blocks = (queries + c->step - 1) / c->step;
}

static void run(const mebi__cpu_call *call, const mebi__tiles *tiles) {
    const mebi__op *op = call->op;
    attention c = {.op = op,
                   .tiles = tiles,
                   .scratch = call->scratch,
                   .at = layout_of(op, tiles->unit)};
    divide(&c, mebi__pool_threads(call->pool));
    mebi__pool_run(call->pool, (int)(c.blocks * op->heads), run_task, &c);
}

static void attention_f32(const mebi__cpu_call *call) {
    run(call, &mebi__tiles_avx512);
}

static void attention_bf16(const mebi__cpu_call *call) {
    run(call, &mebi__tiles_bf16_avx512);
}

/* Enough for either: units of bf16 are fewer. */
static size_t scratch_bytes(const mebi__op *op, int threads) {
    return layout_of(op, 1).floats * sizeof(float) * (size_t)threads;
}

void mebi__cpu_init_attention_avx512(mebi__cpu_kernels *table, int bf16) {
    table->run[MEBI__OP_ATTENTION] = bf16 ? attention_bf16 : attention_f32;
    table->scratch[MEBI__OP_ATTENTION] = scratch_bytes;
}

/* AVX2 kernels: moving data. No arithmetic beyond widening bf16. */
#include "cpu/avx2.h"

#include <string.h>

enum { TILE = 64 };

static void copy_span(const mebi__cpu_call *call, int64_t first, int64_t end) {
    memcpy((char *)mebi__cpu_data(call->op->y) + first,
           (const char *)mebi__cpu_data(call->op->x) + first, (size_t)(end - first));
}

static void copy_avx2(const mebi__cpu_call *call) {
    run_spans(call, (int64_t)mebi__view_bytes(&call->op->y), 4 * MEBI__SHARE, copy_span);
}

static void fill_rows_span(const mebi__cpu_call *call, int64_t first, int64_t end) {
    const float *row = mebi__cpu_data(call->op->x);
    int64_t width = call->op->y.shape.dim[1];
    float *y = mebi__cpu_data(call->op->y);
    for (; first < end; first++) memcpy(y + first * width, row, (size_t)width * sizeof *y);
}

static void fill_rows_avx2(const mebi__cpu_call *call) {
    const int64_t *dim = call->op->y.shape.dim;
    run_spans(call, dim[0], rows_per_share(dim[1]), fill_rows_span);
}

static void widen_bf16(const uint16_t *x, int64_t n, float *y) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m128i half = _mm_loadu_si128((const __m128i *)(const void *)(x + i));
        __m256i wide = _mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16);
        _mm256_storeu_ps(y + i, _mm256_castsi256_ps(wide));
    }
    for (; i < n; i++) y[i] = mebi__bf16_to_f32(x[i]);
}

static void embed_span(const mebi__cpu_call *call, int64_t t, int64_t end) {
    const mebi__op *op = call->op;
    const int32_t *ids = mebi__cpu_data(op->x);
    int64_t width = op->y.shape.dim[1];
    float *y = (float *)mebi__cpu_data(op->y) + t * width;
    const unsigned char *w = mebi__cpu_data(op->w);
    size_t row_bytes = 0;
    (void)mebi__row_bytes(op->w.dtype, width, &row_bytes);
    for (; t < end; t++, y += width) {
        const unsigned char *row = w + (size_t)(ids[t] < 0 ? 0 : ids[t]) * row_bytes;
        if (ids[t] < 0 || ids[t] >= op->w.shape.dim[0]) memset(y, 0, (size_t)width * sizeof *y);
        else if (op->w.dtype == MEBI__BF16) widen_bf16((const uint16_t *)row, width, y);
        else mebi__convert_to_f32(op->w.dtype, row, (size_t)width, y);
        for (int64_t i = 0; op->w.scale != 0 && i < width; i++) y[i] *= op->w.scale;
    }
}

static void embed_avx2(const mebi__cpu_call *call) {
    const int64_t *dim = call->op->y.shape.dim;
    run_spans(call, dim[0], rows_per_share(dim[1]), embed_span);
}

/* A permutation with dims of 1 dropped and neighbours merged that are one in x as well. */
typedef struct gather {
    int rank;
    int64_t dim[6], from[6], to[6]; /* to: strides in y */
} gather;

static gather simplify(const mebi__permute_params *p) {
    gather g = {.rank = 0};
    for (int i = 0; i < 6; i++) {
        int last = g.rank - 1;
        if (p->dim[i] == 1) continue;
        if (g.rank && g.from[last] == p->dim[i] * p->stride[i]) {
            g.dim[last] *= p->dim[i];
            g.from[last] = p->stride[i];
            continue;
        }
        g.dim[g.rank] = p->dim[i];
        g.from[g.rank++] = p->stride[i];
    }
    if (g.rank == 0) g = (gather){.rank = 1, .dim = {1}, .from = {1}};
    int64_t step = 1;
    for (int i = g.rank - 1; i >= 0; step *= g.dim[i--]) g.to[i] = step;
    return g;
}

/* The dim beside the last that is contiguous in x: the pair is then a transposition. -1: none. */
static int contiguous_dim(const gather *g) {
    for (int i = g->rank - 2; i >= 0; i--)
        if (g->from[i] == 1) return i;
    return -1;
}

static void transpose_8x8(const float *x, int64_t from, float *y, int64_t to) {
    __m256 r[8], t[8];
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(x + i * from);
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(y + i * to, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(y + (i + 4) * to, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}

/* y[a * to + b] = x[a + b * from] for a < rows, b < columns. */
static void transpose_tile(const float *x, int64_t from, float *y, int64_t to, int64_t rows,
                           int64_t columns) {
    int64_t a = 0;
    for (; a + 8 <= rows; a += 8) {
        int64_t b = 0;
        for (; b + 8 <= columns; b += 8) transpose_8x8(x + a + b * from, from, y + a * to + b, to);
        for (; b < columns; b++)
            for (int64_t i = a; i < a + 8; i++) y[i * to + b] = x[i + b * from];
    }
    for (; a < rows; a++)
        for (int64_t b = 0; b < columns; b++) y[a * to + b] = x[a + b * from];
}

/* One outer index of y after another; `inner` does what lies below it. */
typedef struct gather_job {
    const float *x;
    float *y;
    gather outer;             /* the dims stepped through one by one */
    int64_t rows, row_to;     /* transposition: the dim contiguous in x */
    int64_t columns, from;    /* the last dim and its stride in x */
    int64_t row_tiles, tiles; /* tiles of one outer index */
    int64_t total, step;      /* pieces in all, pieces a task */
} gather_job;

static void offsets_of(const gather *g, int64_t index, int64_t *from, int64_t *to) {
    *from = *to = 0;
    for (int i = g->rank - 1; i >= 0; i--) {
        *from += index % g->dim[i] * g->from[i];
        *to += index % g->dim[i] * g->to[i];
        index /= g->dim[i];
    }
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static void transpose_task(void *context, int task, int thread) {
    const gather_job *job = context;
    int64_t end = least((task + 1) * job->step, job->total);
    (void)thread;
    for (int64_t i = task * job->step; i < end; i++) {
        int64_t from, to, tile = i % job->tiles;
        int64_t a = tile % job->row_tiles * TILE, b = tile / job->row_tiles * TILE;
        offsets_of(&job->outer, i / job->tiles, &from, &to);
        transpose_tile(job->x + from + a + b * job->from, job->from,
                       job->y + to + a * job->row_to + b, job->row_to, least(TILE, job->rows - a),
                       least(TILE, job->columns - b));
    }
}

static void transpose_pair(const mebi__cpu_call *call, gather_job *job, gather g, int dim) {
    job->rows = g.dim[dim];
    job->row_to = g.to[dim];
    for (int i = dim; i + 2 < g.rank; i++) {
        g.dim[i] = g.dim[i + 1], g.from[i] = g.from[i + 1], g.to[i] = g.to[i + 1];
    }
    g.rank -= 2;
    job->outer = g;
    job->row_tiles = (job->rows + TILE - 1) / TILE;
    job->tiles = job->row_tiles * ((job->columns + TILE - 1) / TILE);
    job->total = job->total / job->rows * job->tiles; /* total counted the rows too */
    job->step = rows_per_share(least(job->rows, TILE) * least(job->columns, TILE));
    mebi__pool_run(call->pool, (int)((job->total + job->step - 1) / job->step), transpose_task,
                   job);
}

/* Runs of the last dim, contiguous or strided in x. */
static void runs_task(void *context, int task, int thread) {
    const gather_job *job = context;
    int64_t end = least((task + 1) * job->step, job->total), n = job->columns;
    (void)thread;
    for (int64_t i = task * job->step; i < end; i++) {
        int64_t from, to;
        offsets_of(&job->outer, i, &from, &to);
        const float *x = job->x + from;
        float *y = job->y + to;
        if (job->from == 1 && n > TILE) memcpy(y, x, (size_t)n * sizeof *y);
        else if (job->from == 1)
            for (int64_t k = 0; k < n; k += 8) store_part(y + k, load_part(x + k, n - k), n - k);
        else
            for (int64_t k = 0; k < n; k++) y[k] = x[k * job->from];
    }
}

static void permute_avx2(const mebi__cpu_call *call) {
    gather g = simplify(&call->op->permute);
    gather_job job = {.x = mebi__cpu_data(call->op->x), .y = mebi__cpu_data(call->op->y)};
    job.columns = g.dim[g.rank - 1];
    job.from = g.from[g.rank - 1];
    job.total = 1;
    for (int i = 0; i + 1 < g.rank; i++) job.total *= g.dim[i];
    int dim = contiguous_dim(&g);
    if (job.from != 1 && dim >= 0) {
        transpose_pair(call, &job, g, dim);
        return;
    }
    g.rank--;
    job.outer = g;
    job.step = rows_per_share(job.columns);
    mebi__pool_run(call->pool, (int)((job.total + job.step - 1) / job.step), runs_task, &job);
}

void mebi__cpu_init_move_avx2(mebi__cpu_kernels *table) {
    table->run[MEBI__OP_COPY] = copy_avx2;
    table->run[MEBI__OP_FILL_ROWS] = fill_rows_avx2;
    table->run[MEBI__OP_EMBED] = embed_avx2;
    table->run[MEBI__OP_PERMUTE] = permute_avx2;
}

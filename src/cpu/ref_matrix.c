/* Reference kernels: matrix product, convolution, attention. f64 sums over f32 values (weights of
 * other types are decoded to f32).
 *
 * Whole test suites run on these, so the loops are arranged to stay in cache and outputs are shared
 * out to the pool; that never changes a result, since each output is one sum of its own. */
#include "cpu/ref.h"

#include <math.h>
#include <string.h>

enum { OUTPUTS = 16, LANES = 8, CONV_ROWS = 16 };

/* Sum of products in eight interleaved sums, which the compiler may put into vector registers. */
static double dot(const float *a, const float *b, size_t n) {
    double lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += (double)a[i + l] * (double)b[i + l];
    for (; i < n; i++) lane[i % LANES] += (double)a[i] * (double)b[i];
    return ((lane[0] + lane[4]) + (lane[1] + lane[5])) +
           ((lane[2] + lane[6]) + (lane[3] + lane[7]));
}

static int blocks_of(int64_t n, int64_t size) {
    return (int)((n + size - 1) / size);
}

/* Widens rows [first, first + count) of a weight whose rows have k elements. */
static void widen_rows(mebi__view w, int64_t first, int64_t count, size_t k, float *out) {
    const unsigned char *data = mebi__cpu_data(w);
    size_t row_bytes = 0;
    (void)mebi__row_bytes(w.dtype, (int64_t)k, &row_bytes);
    mebi__convert_to_f32(w.dtype, data + (size_t)first * row_bytes, (size_t)count * k, out);
    for (size_t i = 0; w.scale != 0 && i < (size_t)count * k; i++) out[i] *= w.scale;
}

size_t mebi__linear_scratch_ref(const mebi__op *op, int threads) {
    return (size_t)threads * OUTPUTS * (size_t)op->w.shape.dim[1] * sizeof(float);
}

/* All rows of y, OUTPUTS columns of it. */
static void linear_task(void *context, int task, int thread) {
    const mebi__cpu_call *call = context;
    const mebi__op *op = call->op;
    size_t k = (size_t)op->w.shape.dim[1];
    int64_t n = op->w.shape.dim[0], first = (int64_t)task * OUTPUTS;
    int64_t count = n - first < OUTPUTS ? n - first : OUTPUTS;
    float *w = (float *)call->scratch + (size_t)thread * OUTPUTS * k;
    const float *x = mebi__cpu_data(op->x);
    const float *bias = op->b.buffer ? mebi__cpu_data(op->b) : NULL;
    float *y = mebi__cpu_data(op->y);
    widen_rows(op->w, first, count, k, w);
    for (int64_t m = 0; m < op->x.shape.dim[0]; m++)
        for (int64_t j = 0; j < count; j++)
            y[m * n + first + j] = (float)(dot(x + (size_t)m * k, w + (size_t)j * k, k) +
                                           (bias ? (double)bias[first + j] : 0));
}

void mebi__linear_ref(const mebi__cpu_call *call) {
    mebi__pool_run(call->pool, blocks_of(call->op->w.shape.dim[0], OUTPUTS), linear_task,
                   (void *)call);
}

/* Elements under one output: kh * kw * Ci. */
static size_t patch_size(const mebi__op *op) {
    const int64_t *w = op->w.shape.dim;
    return (size_t)(w[1] * w[2] * w[3]);
}

size_t mebi__conv2d_scratch_ref(const mebi__op *op, int threads) {
    return (size_t)threads * (OUTPUTS + 1) * patch_size(op) * sizeof(float);
}

/* The patch under output (row, column), zeros outside the image. */
static void gather_patch(const mebi__op *op, int64_t row, int64_t column, float *patch) {
    const mebi__conv_params *p = &op->conv;
    int64_t h = op->x.shape.dim[0] * p->upsample, w = op->x.shape.dim[1] * p->upsample;
    size_t ci = (size_t)op->x.shape.dim[2];
    const float *x = mebi__cpu_data(op->x);
    for (int64_t i = 0; i < op->w.shape.dim[1]; i++) {
        int64_t r = row * p->stride + i - p->top;
        for (int64_t j = 0; j < op->w.shape.dim[2]; j++, patch += ci) {
            int64_t c = column * p->stride + j - p->left;
            if (r < 0 || r >= h || c < 0 || c >= w) {
                memset(patch, 0, ci * sizeof *patch);
                continue;
            }
            int64_t pixel = r / p->upsample * op->x.shape.dim[1] + c / p->upsample;
            memcpy(patch, x + (size_t)pixel * ci, ci * sizeof *patch);
        }
    }
}

/* CONV_ROWS rows of y, OUTPUTS channels of it. */
static void conv2d_task(void *context, int task, int thread) {
    const mebi__cpu_call *call = context;
    const mebi__op *op = call->op;
    size_t k = patch_size(op);
    int64_t height = op->y.shape.dim[0], width = op->y.shape.dim[1], co = op->y.shape.dim[2];
    int bands = blocks_of(height, CONV_ROWS);
    int64_t first = (int64_t)(task / bands) * OUTPUTS, row = (int64_t)(task % bands) * CONV_ROWS;
    int64_t count = co - first < OUTPUTS ? co - first : OUTPUTS;
    int64_t end = row + CONV_ROWS < height ? row + CONV_ROWS : height;
    float *w = (float *)call->scratch + (size_t)thread * (OUTPUTS + 1) * k;
    float *patch = w + OUTPUTS * k;
    const float *bias = mebi__cpu_data(op->b);
    const float *residual = op->a1.buffer ? mebi__cpu_data(op->a1) : NULL;
    float *y = mebi__cpu_data(op->y);
    widen_rows(op->w, first, count, k, w);
    for (; row < end; row++)
        for (int64_t column = 0; column < width; column++) {
            size_t at = (size_t)((row * width + column) * co + first);
            gather_patch(op, row, column, patch);
            for (int64_t j = 0; j < count; j++)
                y[at + (size_t)j] = (float)(dot(patch, w + (size_t)j * k, k) + bias[first + j] +
                                            (residual ? (double)residual[at + (size_t)j] : 0));
        }
}

void mebi__conv2d_ref(const mebi__cpu_call *call) {
    const int64_t *y = call->op->y.shape.dim;
    mebi__pool_run(call->pool, blocks_of(y[2], OUTPUTS) * blocks_of(y[0], CONV_ROWS), conv2d_task,
                   (void *)call);
}

/* Per thread: the scores of one query and the sum of values. */
static size_t attention_row(const mebi__op *op) {
    return (size_t)(op->a1.shape.dim[0] + op->x.shape.dim[1] / op->heads);
}

size_t mebi__attention_scratch_ref(const mebi__op *op, int threads) {
    return (size_t)threads * attention_row(op) * sizeof(double);
}

/* o = softmax(q k^T / sqrt(hd)) v for one query and head; k and v step by `stride`. */
static void attend(const float *q, const float *k, const float *v, int64_t keys, size_t hd,
                   size_t stride, double *score, float *o) {
    double *sum = score + keys, top = -INFINITY, total = 0;
    for (int64_t i = 0; i < keys; i++) {
        score[i] = dot(q, k + (size_t)i * stride, hd) / sqrt((double)hd);
        if (score[i] > top) top = score[i];
    }
    for (size_t d = 0; d < hd; d++) sum[d] = 0;
    for (int64_t i = 0; i < keys; i++) {
        double p = exp(score[i] - top);
        total += p;
        for (size_t d = 0; d < hd; d++) sum[d] += p * v[(size_t)i * stride + d];
    }
    for (size_t d = 0; d < hd; d++) o[d] = (float)(sum[d] / total);
}

/* One query, all heads. */
static void attention_task(void *context, int task, int thread) {
    const mebi__cpu_call *call = context;
    const mebi__op *op = call->op;
    size_t width = (size_t)op->x.shape.dim[1], hd = width / (size_t)op->heads;
    size_t stride = (size_t)op->a1.shape.dim[1], share = (size_t)(op->heads / op->kv_heads);
    const float *q = (const float *)mebi__cpu_data(op->x) + (size_t)task * width;
    const float *k = mebi__cpu_data(op->a1), *v = mebi__cpu_data(op->a2);
    float *o = (float *)mebi__cpu_data(op->y) + (size_t)task * width;
    double *score = (double *)(void *)call->scratch + (size_t)thread * attention_row(op);
    int64_t keys = op->flag ? (int64_t)task + 1 : op->a1.shape.dim[0];
    for (size_t h = 0; h < (size_t)op->heads; h++)
        attend(q + h * hd, k + h / share * hd, v + h / share * hd, keys, hd, stride, score,
               o + h * hd);
}

void mebi__attention_ref(const mebi__cpu_call *call) {
    mebi__pool_run(call->pool, (int)call->op->x.shape.dim[0], attention_task, (void *)call);
}

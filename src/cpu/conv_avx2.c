/* Convolution as a product: a row is one output pixel's patch, gathered while it is packed.
 *
 * Weights [Co,kh,kw,Ci] are rows of kh*kw*Ci, so everything else is cpu/gemm.h's. The image of all
 * patches never exists; a thread holds those of one block of rows and of k.
 *
 * After doubling, a 3x3 kernel sees each input pixel once or twice: of a side's three taps two fall on
 * the same one. Outputs of one parity in y and in x so have a 2x2 kernel of summed weights over the small
 * image, 4/9 of the work, and the four parities are four products. So too for a strip of rows that is not
 * padded above or below. */
#include "cpu/gemm.h"

#include <string.h>

/* Where a pixel's patch starts, padding counted: may be negative. */
typedef struct patch {
    int64_t y, x;
} patch;

/* Elements [k, end) of one patch. Coordinates are those of the enlarged input. */
static void gather_patch(const mebi__op *op, const float *image, patch at, int64_t k, int64_t end,
                         float *to) {
    const int64_t width = op->w.shape.dim[2], channels = op->w.shape.dim[3];
    const int64_t up = op->conv.upsample;
    const int64_t rows = op->x.shape.dim[0] * up, columns = op->x.shape.dim[1] * up;
    int64_t tap = k / channels, skip = k % channels;
    for (; k < end; tap++, skip = 0) {
        int64_t count = channels - skip < end - k ? channels - skip : end - k;
        int64_t y = at.y + tap / width, x = at.x + tap % width;
        if (y < 0 || y >= rows || x < 0 || x >= columns)
            memset(to, 0, (size_t)count * sizeof(float));
        else
            memcpy(to, image + (y / up * op->x.shape.dim[1] + x / up) * channels + skip,
                   (size_t)count * sizeof(float));
        to += count;
        k += count;
    }
}

static void gather(const mebi__gemm *g, int64_t m0, int64_t rows, int64_t k0, int64_t count,
                   float *to) {
    const mebi__op *op = g->op;
    const float *image = mebi__cpu_data(op->x);
    const int64_t columns = op->y.shape.dim[1];
    for (int64_t r = 0; r < rows; r++) {
        patch at = {(m0 + r) / columns * op->conv.stride - op->conv.top,
                    (m0 + r) % columns * op->conv.stride - op->conv.left};
        gather_patch(op, image, at, k0, k0 + count, to + r * MEBI__ROW_STRIDE);
    }
}

/* The product of a convolution of op->x as it lies, with weights w. */
static mebi__gemm product_of(const mebi__op *op, const mebi__tiles *tiles, const void *w,
                             mebi__dtype type) {
    const int64_t *dim = op->w.shape.dim, *y = op->y.shape.dim;
    return (mebi__gemm){.tiles = tiles,
                        .m = y[0] * y[1],
                        .n = dim[0],
                        .k = dim[1] * dim[2] * dim[3],
                        .w = w,
                        .type = type,
                        .bias = mebi__cpu_data(op->b),
                        .residual = op->a1.buffer ? mebi__cpu_data(op->a1) : NULL,
                        .y = mebi__cpu_data(op->y),
                        .gather = gather,
                        .op = op};
}

static int doubles(const mebi__op *op) {
    const mebi__conv_params *p = &op->conv;
    return p->upsample == 2 && p->stride == 1 && p->top <= 1 && p->left == 1 && p->bottom <= 1 &&
           p->right == 1 && op->w.shape.dim[1] == 3 && op->w.shape.dim[2] == 3;
}

static size_t folded_bytes(const mebi__op *op) {
    return doubles(op) ? (size_t)(op->w.shape.dim[0] * 4 * op->w.shape.dim[3]) * sizeof(float) : 0;
}

typedef struct fold_job {
    const mebi__op *op;
    int odd_y, odd_x; /* parity of the outputs */
    float *to;        /* [Co,2,2,Ci] */
} fold_job;

static float weight_at(const mebi__op *op, int64_t i) {
    const void *w = mebi__cpu_data(op->w);
    return op->w.dtype == MEBI__F32 ? ((const float *)w)[i]
                                    : mebi__bf16_to_f32(((const uint16_t *)w)[i]);
}

/* Even outputs see tap 0 alone on their first pixel, odd ones taps 0 and 1. */
static void fold_task(void *context, int task, int thread) {
    const fold_job *job = context;
    const int64_t channels = job->op->w.shape.dim[3];
    (void)thread;
    for (int part = 0; part < 4; part++) {
        int y0 = part < 2 ? 0 : 1 + job->odd_y, y1 = part < 2 ? 1 + job->odd_y : 3;
        int x0 = part % 2 == 0 ? 0 : 1 + job->odd_x, x1 = part % 2 == 0 ? 1 + job->odd_x : 3;
        float *to = job->to + (task * (int64_t)4 + part) * channels;
        memset(to, 0, (size_t)channels * sizeof *to);
        for (int y = y0; y < y1; y++)
            for (int x = x0; x < x1; x++) {
                int64_t from = (task * (int64_t)9 + y * 3 + x) * channels;
                for (int64_t c = 0; c < channels; c++) to[c] += weight_at(job->op, from + c);
            }
    }
}

/* One parity: outputs around the enlarged input's pixels (2i + odd_y, 2j + odd_x), of which the first row
 * is left out if nothing is padded above, and the last if nothing is below. */
static void run_parity(const mebi__cpu_call *call, const mebi__tiles *tiles, int odd_y, int odd_x,
                       float *folded) {
    const mebi__op *op = call->op;
    const int64_t *x = op->x.shape.dim, n = op->w.shape.dim[0];
    const int top = op->conv.top, bottom = op->conv.bottom;
    const int64_t rows = x[0] - 1 + (odd_y ? bottom : top);
    if (rows == 0) return;
    fold_job job = {op, odd_y, odd_x, folded};
    mebi__pool_run(call->pool, (int)n, fold_task, &job);
    mebi__op small = *op;
    small.w.shape = (mebi__shape){4, {n, 2, 2, x[2]}};
    small.y.shape = (mebi__shape){3, {rows, x[1], n}};
    small.conv = (mebi__conv_params){
        .stride = 1, .top = odd_y ? 0 : top, .left = 1 - odd_x, .upsample = 1};
    mebi__gemm g = product_of(&small, tiles, folded, MEBI__F32);
    int64_t first = ((odd_y ? top : 1 - top) * 2 * x[1] + odd_x) * n;
    g.y += first;
    if (g.residual) g.residual += first;
    g.run = x[1];
    g.run_stride = 4 * x[1] * n;
    g.y_stride = 2 * n;
    mebi__gemm_run(&g, call->pool, call->scratch);
}

void mebi__conv2d_tiled(const mebi__cpu_call *call, const mebi__tiles *tiles) {
    const mebi__op *op = call->op;
    if (doubles(op)) {
        size_t before = mebi__gemm_scratch(op->w.shape.dim[0], mebi__pool_threads(call->pool));
        float *folded = (float *)(void *)(call->scratch + before);
        for (int parity = 0; parity < 4; parity++)
            run_parity(call, tiles, parity / 2, parity % 2, folded);
        return;
    }
    mebi__gemm g = product_of(op, tiles, mebi__cpu_data(op->w), op->w.dtype);
    mebi__gemm_run(&g, call->pool, call->scratch);
}

size_t mebi__conv2d_scratch(const mebi__op *op, int threads) {
    return mebi__gemm_scratch(op->w.shape.dim[0], threads) + folded_bytes(op);
}

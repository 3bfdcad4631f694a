/* Convolution as a product: a row is one output pixel's patch, gathered while it is packed.
 *
 * Weights [Co,kh,kw,Ci] are rows of kh*kw*Ci, so everything else is cpu/gemm.h's. The image of all
 * patches never exists; a thread holds those of one block of rows and of k. */
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

void mebi__conv2d_tiled(const mebi__cpu_call *call, const mebi__tiles *tiles) {
    const mebi__op *op = call->op;
    const int64_t *w = op->w.shape.dim, *y = op->y.shape.dim;
    mebi__gemm g = {.tiles = tiles,
                    .m = y[0] * y[1],
                    .n = w[0],
                    .k = w[1] * w[2] * w[3],
                    .w = mebi__cpu_data(op->w),
                    .type = op->w.dtype,
                    .bias = mebi__cpu_data(op->b),
                    .residual = op->a1.buffer ? mebi__cpu_data(op->a1) : NULL,
                    .y = mebi__cpu_data(op->y),
                    .gather = gather,
                    .op = op};
    mebi__gemm_run(&g, call->pool, call->scratch);
}

size_t mebi__conv2d_scratch(const mebi__op *op, int threads) {
    return mebi__gemm_scratch(op->w.shape.dim[0], threads);
}

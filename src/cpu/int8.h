/* Products of int8 operands: what all instruction sets share. Formats: tensor/int8.h.
 *
 * The integers, and with them every f32 operation after, are the same everywhere; a faster path must give
 * the reference's bits.
 */
#ifndef MEBI_CPU_INT8_H
#define MEBI_CPU_INT8_H

#include "cpu/kernels.h"
#include "tensor/int8.h"

#include <string.h>

/* Some rows times one block (a group of 16 columns):
 *   y[r,c] (+)= (float)(sum of x[r,k] * q[k,c] + correction[c]) * scale_w[c] * scale_x[r]
 * as fma((float)sum * scale_w, scale_x, y), y = 0 for the first group. */
typedef struct mebi__int8_block {
    int64_t group;
    const unsigned char *x; /* first row's elements of this group; rows are x_stride bytes apart */
    const float *scale_x;   /* first row's scale of this group; likewise x_stride bytes apart */
    size_t x_stride;
    const unsigned char *block;
    const unsigned char *right; /* the block of the next 16 columns, taken as well; NULL: none */
    float *y;                   /* 16 columns, or 32; y_stride in elements */
    int64_t y_stride;
    int first;                 /* y is written, not added to */
    const unsigned char *next; /* the block after (its neighbour lies as far from it as `right` from
                                  `block`), brought near meanwhile; NULL: none */
} mebi__int8_block;

typedef void (*mebi__int8_rows)(int64_t rows, const mebi__int8_block *b);

/* linear_int8 by blocks, given the instruction set's tile and its columns: 16, or 32 where it takes pairs of
 * blocks. Scratch as the function says. */
void mebi__int8_linear(const mebi__cpu_call *call, mebi__int8_rows multiply, int columns);
size_t mebi__int8_linear_scratch(const mebi__op *op, int threads);

/* One group of a row: rotates x[group] (the plain-C form in place, the other not), writes its q + 110 to
 * `to` and returns its scale. For kernels whose results are quantized at once. */
float mebi__int8_quantize_ref(float *x, int64_t group, unsigned char *to);
float mebi__int8_quantize_avx2(float *x, int64_t group, unsigned char *to);

/* Row m of an INT8_ROWS result: where its elements and its scales lie. Zeros the padding. */
static inline unsigned char *mebi__int8_row(const mebi__op *op, int64_t m, float **scale) {
    const int64_t k = op->y.shape.dim[1];
    const size_t bytes = mebi__int8_row_bytes(k), used = (size_t)k + 4 * (size_t)(k / mebi__int8_group(k));
    unsigned char *row = (unsigned char *)mebi__cpu_data(op->y) + (size_t)m * bytes;
    memset(row + used, 0, bytes - used);
    *scale = (float *)(void *)(row + mebi__int8_scales_at(k));
    return row;
}

/* In place: Hadamard's matrix times each group, not normalized: butterflies at distance 1, 2, 4, ... */
void mebi__int8_rotate(float *x, int64_t k, int64_t group);

/* The largest magnitude of n values; infinity or NaN if there is one. */
float mebi__int8_magnitude(const float *x, int64_t n);

/* mebi__device_table's pack, in parallel. */
MEBI_MUST_USE mebi_status mebi__int8_pack(const mebi__rows_source *w, mebi__pool *pool,
                                          unsigned char *to, mebi_error *err);

#endif

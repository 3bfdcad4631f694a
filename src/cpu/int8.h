/* Products of int8 operands: what all instruction sets share. Formats: tensor/int8.h.
 *
 * The integers, and with them every f32 operation after, are the same everywhere; a faster path must give
 * the reference's bits.
 */
#ifndef MEBI_CPU_INT8_H
#define MEBI_CPU_INT8_H

#include "cpu/kernels.h"
#include "tensor/int8.h"

/* Some rows times one block (a group of 16 columns):
 *   y[r,c] (+)= (float)(sum of x[r,k] * q[k,c] + correction[c]) * scale_w[c] * scale_x[r]
 * as fma((float)sum * scale_w, scale_x, y), y = 0 for the first group. */
typedef struct mebi__int8_block {
    int64_t group;
    const unsigned char *x; /* first row's elements of this group; rows are x_stride bytes apart */
    const float *scale_x;   /* first row's scale of this group; likewise x_stride bytes apart */
    size_t x_stride;
    const unsigned char *block;
    float *y; /* 16 columns; y_stride in elements */
    int64_t y_stride;
    int first;                 /* y is written, not added to */
    const unsigned char *next; /* the block after, brought near meanwhile; NULL: none */
} mebi__int8_block;

typedef void (*mebi__int8_rows)(int64_t rows, const mebi__int8_block *b);

/* linear_int8 by blocks, given the instruction set's tile. Scratch as the function says. */
void mebi__int8_linear(const mebi__cpu_call *call, mebi__int8_rows multiply);
size_t mebi__int8_linear_scratch(const mebi__op *op, int threads);

/* In place: Hadamard's matrix times each group, not normalized: butterflies at distance 1, 2, 4, ... */
void mebi__int8_rotate(float *x, int64_t k, int64_t group);

/* The largest magnitude of n values; infinity or NaN if there is one. */
float mebi__int8_magnitude(const float *x, int64_t n);

/* mebi__device_table's pack, in parallel. */
MEBI_MUST_USE mebi_status mebi__int8_pack(const mebi__rows_source *w, mebi__pool *pool,
                                          unsigned char *to, mebi_error *err);

#endif

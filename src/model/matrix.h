/* The matrices that do a model's arithmetic, in the precisions a job may run them in.
 *
 * A matrix always has its plain form, in place in the model's file, which costs no memory until it is read.
 * A model loaded in int8 has a packed form besides. A stream marked `exact` uses the plain ones: it is the
 * way out when a packed product comes out as not a number, and what an audit compares with.
 */
#ifndef MEBI_MODEL_MATRIX_H
#define MEBI_MODEL_MATRIX_H

#include "compute/ops.h"

typedef struct mebi__matrix {
    mebi__view plain;  /* [N, K] as the file has it */
    mebi__view packed; /* [N, K] INT8_PANELS, or none */
} mebi__matrix;

/* Rows [M, K] ready for products with matrices in the form of w: x itself, or its quantization. Several
 * matrices share one. Given back with mebi__rows_give. */
mebi__view mebi__rows_take(mebi__stream *s, const mebi__matrix *w, mebi__view x);
/* Where an operation that can quantize its result puts rows for a matrix like w: x itself, to be written
 * over, or quantized rows of x's shape. */
mebi__view mebi__rows_over(mebi__stream *s, const mebi__matrix *w, mebi__view x);
/* The weight of the norm that makes such rows: its own, or ones where packed matrices have it folded in. */
mebi__view mebi__rows_norm(mebi__view rows, mebi__view norm, mebi__view ones);
void mebi__rows_give(mebi__stream *s, mebi__view *rows);

/* y[M,N] = x w^T, for rows taken for a matrix like w. */
void mebi__product(mebi__stream *s, mebi__view rows, const mebi__matrix *w, mebi__view y);

#endif

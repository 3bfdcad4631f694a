/* The kernels that are timed: each operation at shapes that the published model has. */
#ifndef MEBI_BENCH_KERNEL_LIST_H
#define MEBI_BENCH_KERNEL_LIST_H

#include "compute/ops.h"

/* One kernel and its shape. Only the fields its kind uses are set. */
typedef struct mebi__bench_shape {
    mebi__op_kind kind;
    mebi__dtype type;         /* of the weights */
    int64_t rows, in, out;    /* tokens; widths or channels */
    int heads, kv_heads, causal;
    int64_t side;             /* of an image */
    int window, upsample;     /* of a convolution */
} mebi__bench_shape;

/* Fills shapes[capacity], returns how many there are. */
int mebi__bench_list_kernels(mebi__bench_shape *shapes, int capacity);
/* The same kernel at a size that plain C does in no time. */
mebi__bench_shape mebi__bench_smaller(const mebi__bench_shape *shape);
void mebi__bench_kernel_name(const mebi__bench_shape *shape, char *text, size_t bytes);

#endif

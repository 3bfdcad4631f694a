/* What calibration measures: operations of each class at some sizes. Used by calibrate.c only. */
#ifndef MEBI_PLAN_CALIBRATE_OPS_H
#define MEBI_PLAN_CALIBRATE_OPS_H

#include "plan/rates.h"

/* Sizes of a class: rows and columns of its table, not those of the operation alone. */
typedef struct mebi__sample_sizes {
    int rows, columns;
} mebi__sample_sizes;
mebi__sample_sizes mebi__sample_sizes_of(int class_index);

/* 1: every model needs it; products' types depend on the model. */
int mebi__sample_is_usual(int class_index);

/* One operation, on tensors that lie one after the other from the beginning of memory. */
typedef struct mebi__sample {
    mebi__op op;
    size_t bytes; /* of memory that its tensors take */
} mebi__sample;

/* The operation at a place of the class's table. MEBI_INTERNAL: an operation that can't be. memory: of any
 * size, only its address is used. */
MEBI_MUST_USE mebi_status mebi__sample_of(int class_index, int row, int column, mebi__buffer *memory,
                                          mebi__sample *out, mebi_error *err);

#endif

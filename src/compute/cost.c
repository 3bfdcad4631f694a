/* What an operation costs: arithmetic and bytes, counted from its shapes. */
#include "compute/ops.h"

static double elements(const mebi__view *v) {
    return v->buffer ? (double)mebi__view_elements(v) : 0;
}

static double bytes_of(const mebi__view *v) {
    return v->buffer ? (double)mebi__view_bytes(v) : 0;
}

/* Query-key pairs of one head. */
static double attention_pairs(const mebi__op *op) {
    double queries = (double)op->x.shape.dim[0], keys = (double)op->a1.shape.dim[0];
    return op->flag ? queries * (queries + 1) / 2 : queries * keys;
}

static double operations_of(const mebi__op *op) {
    switch (op->kind) {
    case MEBI__OP_LINEAR:
    case MEBI__OP_LINEAR_INT8: return 2 * elements(&op->y) * (double)op->w.shape.dim[1];
    case MEBI__OP_CONV2D:
        return 2 * elements(&op->y) * elements(&op->w) / (double)op->w.shape.dim[0];
    case MEBI__OP_ATTENTION: return 4 * attention_pairs(op) * (double)op->x.shape.dim[1];
    /* Rough counts of the rest: memory decides their time. */
    case MEBI__OP_QUANTIZE: return 20 * elements(&op->x);
    case MEBI__OP_RMS_NORM:
    case MEBI__OP_LAYER_NORM:
    case MEBI__OP_GATED_RESIDUAL:
    case MEBI__OP_NORM_ROPE:
    case MEBI__OP_GROUP_NORM: return 8 * elements(&op->x);
    case MEBI__OP_GROUP_SUMS: return 4 * elements(&op->x);
    case MEBI__OP_SWIGLU:
    case MEBI__OP_SILU: return 10 * elements(&op->x);
    case MEBI__OP_COMBINE:
    case MEBI__OP_AFFINE:
    case MEBI__OP_GUIDE:
    case MEBI__OP_TO_PIXELS: return 3 * elements(&op->x);
    case MEBI__OP_CHECK_FINITE: return elements(&op->x);
    case MEBI__OP_EMBED:
    case MEBI__OP_PERMUTE:
    case MEBI__OP_COPY:
    case MEBI__OP_FILL_ROWS:
    case MEBI__OP_COUNT: break;
    }
    return 0;
}

void mebi__op_cost(const mebi__op *op, double *operations, double *bytes) {
    const mebi__view *all[] = {&op->x, &op->w, &op->b, &op->y, &op->a1, &op->a2};
    *operations = operations_of(op);
    *bytes = 0;
    for (int i = 0; i < 6; i++) *bytes += bytes_of(all[i]);
    /* Only the rows looked up are read. */
    if (op->kind == MEBI__OP_EMBED)
        *bytes += bytes_of(&op->w) * ((double)op->y.shape.dim[0] / (double)op->w.shape.dim[0] - 1);
}

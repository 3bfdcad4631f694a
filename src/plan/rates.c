/* Classes of operations and the seconds they take. Must never call anything: a dry run asks here with tensors
 * that don't exist. */
#include "plan/rates.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CONVS = MEBI__DTYPE_COUNT, OTHERS = CONVS + MEBI__RATE_CONVS };

static const char *const window_names[] = {"1x1", "3x3", "doubling"};

/* Two older laptop cores; a conservative guess, for what was never measured. Mapped files: a solid-state disk
 * behind a page cache read ahead gives 0.5 to 3 GB/s, and one asked in vain is worse than one that surprises. */
void mebi__rates_init(mebi__rates *r) {
    *r = (mebi__rates){.roofline = {.int8 = 150e9,
                                    .bf16 = 60e9,
                                    .f32 = 60e9,
                                    .bytes = 8e9,
                                    .file_bytes = 1e9,
                                    .call = 3e-6}};
}

/* ---- classes ---- */

mebi__rate_name mebi__rate_name_of(int i) {
    mebi__rate_name name;
    if (i < CONVS)
        snprintf(name.text, sizeof name.text, "LINEAR:%s", mebi__dtype_name((mebi__dtype)i));
    else if (i < OTHERS)
        snprintf(name.text, sizeof name.text, "CONV2D:%s:%s", window_names[(i - CONVS) / 2],
                 (i - CONVS) % 2 ? "BF16" : "F32");
    else
        snprintf(name.text, sizeof name.text, "%s%s", mebi__op_name((mebi__op_kind)((i - OTHERS) / 2)),
                 (i - OTHERS) % 2 ? ":INT8" : "");
    return name;
}

static int class_of_conv(const mebi__op *op) {
    int window = op->conv.upsample > 1 ? 2 : op->w.shape.dim[1] > 1 || op->w.shape.dim[2] > 1;
    return CONVS + 2 * window + (op->w.dtype == MEBI__BF16);
}

mebi__rate_place mebi__rate_place_of(const mebi__op *op) {
    mebi__rate_place p = {.of = OTHERS + 2 * (int)op->kind + (op->y.dtype == MEBI__INT8_ROWS)};
    double operations, bytes;
    mebi__op_cost(op, &operations, &bytes);
    switch (op->kind) {
    case MEBI__OP_LINEAR: p.of = (int)op->w.dtype; /* fall through */
    case MEBI__OP_LINEAR_INT8:
        p.row = (double)op->x.shape.dim[0];
        p.column = (double)op->w.shape.dim[0] * (double)op->w.shape.dim[1];
        p.work = operations;
        break;
    case MEBI__OP_CONV2D:
        p.of = class_of_conv(op);
        p.row = (double)op->y.shape.dim[0] * (double)op->y.shape.dim[1];
        p.column = (double)op->w.shape.dim[0] * (double)op->w.shape.dim[3];
        p.work = operations;
        break;
    case MEBI__OP_ATTENTION:
        p.row = (double)op->a1.shape.dim[0];
        p.column = (double)op->x.shape.dim[1] / op->heads;
        p.work = operations;
        break;
    default: /* memory decides */
        p.row = p.work = bytes;
        p.column = 1;
        break;
    }
    return p;
}

/* ---- tables ---- */

/* Where x stands among n rising values: *at and its successor, *share of the way. */
static void find(const double *value, int n, double x, int *at, double *share) {
    *at = 0;
    *share = 0;
    if (n < 2 || !(x > value[0])) return;
    while (*at < n - 2 && x > value[*at + 1]) ++*at;
    double t = log(x / value[*at]) / log(value[*at + 1] / value[*at]);
    *share = t < 1 ? t : 1;
}

double mebi__rate_at(const mebi__rate *r, double row, double column) {
    int i, j;
    double a, b;
    find(r->row, r->rows, row, &i, &a);
    find(r->column, r->columns, column, &j, &b);
    double sum = 0;
    for (int dj = 0; dj < 2; dj++)
        for (int di = 0; di < 2; di++) {
            double share = (di ? a : 1 - a) * (dj ? b : 1 - b);
            if (share > 0) sum += share * log(r->seconds[j + dj][i + di]);
        }
    return exp(sum);
}

/* ---- the roofline ---- */

static double peak_of(const mebi__roofline *r, const mebi__op *op) {
    if (op->kind == MEBI__OP_LINEAR_INT8) return r->int8;
    int product = op->kind == MEBI__OP_LINEAR || op->kind == MEBI__OP_CONV2D;
    return (product && op->w.dtype == MEBI__BF16) || op->kind == MEBI__OP_ATTENTION ? r->bf16 : r->f32;
}

static double by_roofline(const mebi__roofline *r, const mebi__op *op) {
    double operations, bytes;
    mebi__op_cost(op, &operations, &bytes);
    return fmax(operations / peak_of(r, op), bytes / r->bytes);
}

double mebi__rates_seconds(void *rates, const mebi__op *op) {
    mebi__rates *r = rates;
    mebi__rate_place p = mebi__rate_place_of(op);
    const mebi__rate *rate = &r->of[p.of];
    r->asked[p.of] = 1;
    double seconds = rate->rows ? p.work * mebi__rate_at(rate, p.row, p.column) : by_roofline(&r->roofline, op);
    return fmax(seconds, r->roofline.call);
}

int mebi__rates_missing(const mebi__rates *r) {
    int n = 0;
    for (int i = 0; i < MEBI__RATE_CLASSES; i++) n += r->asked[i] && !r->of[i].rows;
    return n;
}

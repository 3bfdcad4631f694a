/* Which form of a matrix a product uses. */
#include "model/matrix.h"

mebi__view mebi__rows_over(mebi__stream *s, const mebi__matrix *w, mebi__view x) {
    if (!w->packed.buffer || s->exact) return x;
    return mebi__take(s, MEBI__INT8_ROWS, 2, x.shape.dim);
}

mebi__view mebi__rows_norm(mebi__view rows, mebi__view norm, mebi__view ones) {
    return rows.dtype == MEBI__INT8_ROWS ? ones : norm;
}

mebi__view mebi__rows_take(mebi__stream *s, const mebi__matrix *w, mebi__view x) {
    mebi__view rows = mebi__rows_over(s, w, x);
    if (rows.dtype == MEBI__INT8_ROWS) mebi__quantize(s, x, rows);
    return rows;
}

void mebi__rows_give(mebi__stream *s, mebi__view *rows) {
    if (rows->dtype == MEBI__INT8_ROWS) mebi__give(s, rows);
    else *rows = (mebi__view){0};
}

void mebi__product(mebi__stream *s, mebi__view rows, const mebi__matrix *w, mebi__view y) {
    mebi__linear(s, rows, rows.dtype == MEBI__INT8_ROWS ? w->packed : w->plain, (mebi__view){0}, y);
}

/* A stream: tensors from the job's arena, submission, sticky errors. */
#include "compute/ops.h"

#include <string.h>

mebi__view mebi__take(mebi__stream *s, mebi__dtype type, int rank, const int64_t *dim) {
    mebi__view v = {.dtype = type, .shape = {.rank = rank}};
    memcpy(v.shape.dim, dim, sizeof *dim * (size_t)rank);
    if (s->status != MEBI_OK) return v;
    size_t bytes;
    char text[96];
    if (!mebi__shape_bytes(&v.shape, type, &bytes))
        s->status = mebi__fail(s->err, MEBI_NO_MEMORY, "A tensor of shape %s can't exist.",
                               mebi__shape_text(&v.shape, text, sizeof text));
    else s->status = mebi__arena_take(&s->arena, bytes, &v.offset, s->err);
    if (s->status == MEBI_OK) v.buffer = s->memory;
    return v;
}

mebi__view mebi__take1(mebi__stream *s, mebi__dtype type, int64_t d0) {
    return mebi__take(s, type, 1, (int64_t[]){d0});
}

mebi__view mebi__take2(mebi__stream *s, mebi__dtype type, int64_t d0, int64_t d1) {
    return mebi__take(s, type, 2, (int64_t[]){d0, d1});
}

mebi__view mebi__take3(mebi__stream *s, mebi__dtype type, int64_t d0, int64_t d1, int64_t d2) {
    return mebi__take(s, type, 3, (int64_t[]){d0, d1, d2});
}

void mebi__give(mebi__stream *s, mebi__view *v) {
    if (v->buffer) mebi__arena_give(&s->arena, v->offset);
    memset(v, 0, sizeof *v);
}

mebi_status mebi__stream_submit(mebi__stream *s) {
    if (s->status == MEBI_OK && s->cancelled && s->cancelled(s->cancel_context))
        s->status = mebi__fail(s->err, MEBI_CANCELLED, "Cancelled.");
    if (s->status == MEBI_OK) s->status = s->device->table->submit(s->device, s->err);
    return s->status;
}

mebi_status mebi__stream_wait(mebi__stream *s) {
    mebi__stream_submit(s);
    /* Also after an error: what was submitted before must have ended when this returns. */
    mebi_status waited = s->device->table->wait(s->device, s->err);
    if (s->status == MEBI_OK) s->status = waited;
    return s->status;
}

/* A transfer's tensor exists and lies inside its buffer. */
static int is_inside(mebi__stream *s, const mebi__view *v, const char *what) {
    size_t bytes, end;
    if (s->status != MEBI_OK) return 0;
    if (!v->buffer)
        s->status = mebi__fail(s->err, MEBI_INTERNAL, "%s: a tensor is missing.", what);
    else if (!mebi__shape_bytes(&v->shape, v->dtype, &bytes) ||
             __builtin_add_overflow(v->offset, bytes, &end) || end > v->buffer->bytes)
        s->status = mebi__fail(s->err, MEBI_INTERNAL, "%s: a tensor reaches beyond its buffer.", what);
    return s->status == MEBI_OK;
}

void mebi__upload(mebi__stream *s, mebi__view to, const void *from) {
    if (is_inside(s, &to, "Upload"))
        s->status = s->device->table->upload(s->device, to, from, s->err);
}

void mebi__download(mebi__stream *s, mebi__view from, void *to) {
    if (is_inside(s, &from, "Download"))
        s->status = s->device->table->download(s->device, from, to, s->err);
}

void mebi__stage(mebi__stream *s, const char *stage, int index, mebi__view view) {
    if (s->observe && s->status == MEBI_OK) s->observe(s->observe_context, s, stage, index, view);
}

void mebi__turn(mebi__stream *s, int layer, int next) {
    if (s->turn && s->status == MEBI_OK) s->turn(s->turn_context, layer, next);
}

/* Passes of one part in two precisions, compared stage by stage. Must compare what the model's own
 * forward functions compute, by observing them. */
#include "bench/audit.h"

#include "compute/dry.h"

#include <math.h>
#include <stdio.h>

enum {
    PASS_EXACT, /* keeps each stage's result */
    PASS_WHOLE, /* compares */
    PASS_APART, /* compares, then puts the exact result in its place */
    PASS_LAST,  /* compares the last stage only */
    PASS_FLOOR, /* with plain matrices, each stage's result rounded to bf16; compares the last */
};

/* ---- one stage ---- */

static void keep(mebi__audit_passes *p, mebi__stream *s, const char *stage, int index,
                 mebi__view view) {
    if (p->stages == MEBI_AUDIT_LINES) {
        s->status =
            mebi__fail(s->err, MEBI_UNSUPPORTED, "The model has over %d stages.", MEBI_AUDIT_LINES);
        return;
    }
    mebi__audit_stage *to = &p->stage[p->stages];
    mebi_audit_line *line = &p->result->line[p->stages];
    to->count = mebi__view_elements(&view);
    to->exact = mebi__alloc_array(MEBI__TAG_GENERAL, to->count, sizeof *to->exact);
    if (!to->exact) {
        s->status = mebi__fail(s->err, MEBI_NO_MEMORY, "No memory to keep %zu values of %s.",
                               to->count, stage);
        return;
    }
    p->stages++;
    if (to->count > p->most) p->most = to->count;
    if (index < 0) snprintf(line->stage, sizeof line->stage, "%s", stage);
    else snprintf(line->stage, sizeof line->stage, "%s.%d", stage, index);
    mebi__download(s, view, to->exact);
    if (mebi__stream_wait(s) != MEBI_OK) return;
    for (size_t i = 0; i < to->count; i++)
        if (!(fabsf(to->exact[i]) <= line->largest)) line->largest = fabs((double)to->exact[i]);
    if (!isfinite(line->largest))
        s->status = mebi__fail(s->err, MEBI_NUMERIC,
                               "%s is not a number with plain matrices: nothing to compare with.",
                               line->stage);
}

/* Norm of the difference over that of the exact values; NaN if one isn't finite. */
static double compare(const mebi__audit_stage *to, const float *now, double *furthest) {
    double off = 0, all = 0, most = 0;
    for (size_t i = 0; i < to->count; i++) {
        double exact = (double)to->exact[i], d = (double)now[i] - exact;
        off += d * d;
        all += exact * exact;
        if (!(fabs(d) <= most)) most = fabs(d);
    }
    if (furthest) *furthest = most;
    if (!isfinite(off)) return NAN;
    return off > 0 ? sqrt(off / all) : 0;
}

static void round_to_bf16(float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = mebi__bf16_to_f32(mebi__f32_to_bf16(x[i]));
}

static void observe(void *context, mebi__stream *s, const char *stage, int index, mebi__view view) {
    mebi__audit_passes *p = context;
    if (p->kind == PASS_EXACT) {
        keep(p, s, stage, index, view);
        return;
    }
    int i = p->next++;
    if (i >= p->stages || mebi__view_elements(&view) != p->stage[i].count) {
        s->status =
            mebi__fail(s->err, MEBI_INTERNAL, "%s is not a stage of the exact pass.", stage);
        return;
    }
    int last = i == p->stages - 1;
    if (p->kind == PASS_LAST && !last) return;
    mebi__download(s, view, p->now);
    if (mebi__stream_wait(s) != MEBI_OK) return;
    if (p->kind == PASS_FLOOR && !last) {
        round_to_bf16(p->now, p->stage[i].count);
        mebi__upload(s, view, p->now);
        return;
    }
    mebi_audit_line *line = &p->result->line[i];
    p->last_error = compare(&p->stage[i], p->now, p->kind == PASS_WHOLE ? &line->furthest : NULL);
    if (p->kind == PASS_WHOLE) line->error = p->last_error;
    if (p->kind != PASS_APART) return;
    line->added = p->last_error;
    mebi__upload(s, view, p->stage[i].exact);
}

/* ---- one pass ---- */

static void nothing(mebi__bench_work *w) {
    (void)w;
}

static mebi_status plan(const mebi__audit_passes *p, int exact, size_t *arena, size_t *scratch) {
    mebi__device *dry;
    mebi__bench_work w = *p->work;
    mebi__buffer boundless = {.bytes = SIZE_MAX};
    MEBI_TRY(mebi__dry_create(p->device, &dry, p->err));
    mebi__stream s = {.device = dry, .memory = &boundless, .err = p->err, .exact = exact};
    mebi__arena_init(&s.arena, SIZE_MAX / 2);
    mebi__bench_pass(&s, &w);
    *arena = s.arena.peak;
    *scratch = mebi__dry_report_of(dry)->scratch_bytes;
    mebi__device_destroy(&dry);
    return s.status;
}

static mebi_status pass(mebi__audit_passes *p, int kind) {
    mebi__device *d = p->device;
    mebi__stream s = {.device = d,
                      .err = p->err,
                      .exact = kind == PASS_EXACT || kind == PASS_FLOOR,
                      .observe = observe,
                      .observe_context = p};
    size_t arena, scratch;
    p->kind = kind;
    p->next = 0;
    p->work->passes = 1;
    p->work->begin = p->work->end = nothing;
    MEBI_TRY(plan(p, s.exact, &arena, &scratch));
    mebi__arena_init(&s.arena, arena);
    MEBI_TRY(d->table->scratch_reserve(d, scratch, p->err));
    MEBI_TRY(d->table->buffer_create(d, MEBI__TAG_ACTIVATIONS, arena, &s.memory, p->err));
    mebi__bench_pass(&s, p->work);
    d->table->buffer_destroy(d, s.memory);
    if (s.status == MEBI_OK && kind != PASS_EXACT && p->next != p->stages)
        return mebi__fail(p->err, MEBI_INTERNAL, "%d stages where the exact pass had %d.", p->next,
                          p->stages);
    return s.status;
}

mebi_status mebi__audit_exact(mebi__audit_passes *p) {
    MEBI_TRY(pass(p, PASS_EXACT));
    if (p->stages == 0)
        return mebi__fail(p->err, MEBI_INTERNAL, "The part has no stages to compare.");
    p->now = mebi__alloc_array(MEBI__TAG_GENERAL, p->most, sizeof *p->now);
    if (!p->now) return mebi__fail(p->err, MEBI_NO_MEMORY, "No memory to compare with.");
    MEBI_TRY(pass(p, PASS_FLOOR));
    p->result->floor = p->last_error;
    return MEBI_OK;
}

mebi_status mebi__audit_quantized(mebi__audit_passes *p) {
    MEBI_TRY(pass(p, PASS_WHOLE));
    p->result->error = p->last_error;
    MEBI_TRY(pass(p, PASS_APART));
    p->result->lines = p->stages;
    return MEBI_OK;
}

void mebi__audit_release(mebi__audit_passes *p) {
    for (int i = 0; i < p->stages; i++) mebi__free(p->stage[i].exact);
    mebi__free(p->now);
    p->now = NULL;
    p->stages = 0;
}

/* ---- one kind of matrix at a time ---- */

enum { BLOCK_MATRICES = 7 };

/* A feed-forward's three belong together: their packed forms are smoothed against each other. */
static const char *const kind_names[MEBI_AUDIT_KINDS] = {"q k v", "out", "w1 w2 w3"};
static const int kind_of[BLOCK_MATRICES] = {0, 0, 0, 1, 2, 2, 2};

static int blocks_of(const mebi__bench_work *w) {
    if (w->stage == MEBI_BENCH_ENCODE) return w->model.encoder.config.layers - 1;
    return w->model.dit.config.layers +
           w->model.dit.config.refiner_layers; /* noise refiners follow */
}

static void matrices_of(const mebi__bench_work *w, int block, mebi__matrix *out[BLOCK_MATRICES]) {
    if (w->stage == MEBI_BENCH_ENCODE) {
        mebi__qwen3_layer *l = &w->model.encoder.layer[block];
        mebi__matrix *all[] = {&l->q, &l->k, &l->v, &l->o, &l->gate, &l->up, &l->down};
        memcpy(out, all, sizeof all);
        return;
    }
    mebi__dit_block *b = &w->model.dit.layer[block];
    mebi__matrix *all[] = {&b->q, &b->k, &b->v, &b->o, &b->w1, &b->w3, &b->w2};
    memcpy(out, all, sizeof all);
}

/* Leaves the packed forms of one kind, or (-1) gives all back. */
static void select_kind(const mebi__bench_work *w, int kind, mebi__view *saved) {
    mebi__matrix *m[BLOCK_MATRICES];
    for (int b = 0; b < blocks_of(w); b++) {
        matrices_of(w, b, m);
        for (int i = 0; i < BLOCK_MATRICES; i++, saved++)
            m[i]->packed = kind < 0 || kind_of[i] == kind ? *saved : (mebi__view){0};
    }
}

mebi_status mebi__audit_kinds(mebi__audit_passes *p) {
    const mebi__bench_work *w = p->work;
    size_t count = (size_t)blocks_of(w) * BLOCK_MATRICES;
    if (count == 0) return MEBI_OK;
    mebi__view *saved = mebi__alloc_array(MEBI__TAG_GENERAL, count, sizeof *saved), *at = saved;
    if (!saved) return mebi__fail(p->err, MEBI_NO_MEMORY, "No memory to compare with.");
    for (int b = 0; b < blocks_of(w); b++) {
        mebi__matrix *m[BLOCK_MATRICES];
        matrices_of(w, b, m);
        for (int i = 0; i < BLOCK_MATRICES; i++) *at++ = m[i]->packed;
    }
    mebi_status status = MEBI_OK;
    for (int k = 0; k < MEBI_AUDIT_KINDS && status == MEBI_OK; k++) {
        select_kind(w, k, saved);
        status = pass(p, PASS_LAST);
        p->result->kind[k] = (mebi_audit_kind){kind_names[k], p->last_error};
    }
    select_kind(w, -1, saved);
    mebi__free(saved);
    if (status == MEBI_OK) p->result->kinds = MEBI_AUDIT_KINDS;
    return status;
}

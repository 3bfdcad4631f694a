/* Structs as the API shows them. Must never show what the contract does not know of, and never a
 * path. */
#include "server/view.h"

#include "server/moment.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

json_t *mebi__view_seconds(double seconds) {
    return seconds >= 0 && isfinite(seconds) ? json_real(seconds) : json_null();
}

json_t *mebi__view_number(float number) {
    char text[40];
    snprintf(text, sizeof text, "%.7g", (double)number);
    double d = strtod(text, NULL);
    return d == floor(d) && fabs(d) < 1e9 ? json_integer((json_int_t)d) : json_real(d);
}

static json_t *bytes(size_t n) {
    return json_integer((json_int_t)n);
}

json_t *mebi__view_moment(int64_t ms) {
    char text[MEBI__MOMENT_BYTES];
    if (!ms) return json_null();
    mebi__moment_text(ms, text);
    return json_string(text);
}

/* Older rows may hold anything. */
static json_t *text_or_empty(const char *text) {
    json_t *s = text ? json_string(text) : NULL;
    return s ? s : json_string("");
}

json_t *mebi__view_request(const mebi_request *r) {
    return json_pack("{s:o, s:o, s:i, s:i, s:i, s:o, s:I, s:i, s:i, s:s, s:i, s:o, s:o}", "prompt",
                     text_or_empty(r->prompt), "negative_prompt", text_or_empty(r->negative_prompt),
                     "width", r->width, "height", r->height, "steps", r->steps, "cfg",
                     mebi__view_number(r->cfg), "seed", (json_int_t)r->seed, "count", r->count,
                     "draft", r->draft, "decode", mebi_decode_way_name(r->decode), "preview_every",
                     r->preview_every, "cfg_truncation", mebi__view_number(r->cfg_truncation),
                     "cfg_normalization", mebi__view_number(r->cfg_normalization));
}

/* ---- plans ---- */

static json_t *memory(const mebi_plan *p) {
    const size_t *m = p->memory;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "dit", bytes(m[MEBI_MEMORY_DIT]), "encoder",
                     bytes(m[MEBI_MEMORY_ENCODER]), "vae", bytes(m[MEBI_MEMORY_VAE]), "activations",
                     bytes(m[MEBI_MEMORY_ACTIVATIONS]), "output", bytes(m[MEBI_MEMORY_OUTPUT]),
                     "other", bytes(m[MEBI_MEMORY_OTHER]));
}

static json_t *stages(const mebi_plan *p) {
    const double *s = p->seconds;
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "take", mebi__view_seconds(s[MEBI_STAGE_TAKE]),
                     "encode", mebi__view_seconds(s[MEBI_STAGE_ENCODE]), "denoise",
                     mebi__view_seconds(s[MEBI_STAGE_STEP]), "decode",
                     mebi__view_seconds(s[MEBI_STAGE_DECODE]), "save",
                     mebi__view_seconds(s[MEBI_STAGE_SAVE]));
}

static json_t *alternatives(const mebi_plan *p) {
    json_t *all = json_array();
    for (int i = 0; i < p->alternatives && i < MEBI_ALTERNATIVES; i++) {
        const mebi_alternative *a = &p->alternative[i];
        json_array_append_new(
            all, json_pack("{s:i, s:i, s:i, s:o, s:s, s:o, s:o}", "width", a->width, "height",
                           a->height, "count", a->count, "cfg", mebi__view_number(a->cfg),
                           "verdict", mebi_verdict_name(a->verdict), "need_bytes",
                           bytes(a->need_bytes), "seconds", mebi__view_seconds(a->seconds)));
    }
    return all;
}

json_t *mebi__view_plan(const mebi_plan *p, const mebi_request *r) {
    return json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:i, s:i, s:i, s:i, s:o}",
        "verdict", mebi_verdict_name(p->verdict), "peak_bytes", bytes(p->peak_bytes), "need_bytes",
        bytes(p->need_bytes), "budget_bytes", bytes(p->budget_bytes), "file_bytes",
        bytes(p->file_bytes), "seconds", mebi__view_seconds(p->total_seconds), "strategy",
        text_or_empty(p->strategy), "why", text_or_empty(p->why), "estimate", p->estimate, "memory",
        memory(p), "stage_seconds", stages(p), "alternatives", alternatives(p), "width", r->width,
        "height", r->height, "count", r->count, "steps", r->steps, "cfg",
        mebi__view_number(r->cfg));
}

/* ---- jobs ---- */

json_t *mebi__view_progress(const mebi__job_progress *p) {
    const mebi_progress *a = &p->at;
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:f, s:f, s:o, s:o}", "stage",
                     mebi_stage_name(a->stage), "image", a->image, "count", a->count, "step",
                     a->step, "steps", a->steps, "fraction", a->fraction, "seconds", a->seconds,
                     "seconds_left", mebi__view_seconds(a->seconds_left), "memory_bytes",
                     bytes(p->memory_bytes));
}

static json_t *notices(const mebi__job *j) {
    json_t *all = json_array();
    for (int i = 0; i < j->notices && i < MEBI__JOB_NOTICES; i++)
        json_array_append_new(all, text_or_empty(j->notice[i]));
    return all;
}

static json_t *images(const mebi__images *list) {
    json_t *all = json_array();
    for (int i = 0; i < list->count; i++)
        json_array_append_new(all, mebi__view_image(&list->image[i]));
    return all;
}

static json_t *failure(const mebi__job *j) {
    if (j->state != MEBI__JOB_FAILED) return json_null();
    return json_pack("{s:s, s:o}", "code", j->code, "message", text_or_empty(j->message));
}

static json_t *preview(const mebi__job *j) {
    if (!j->preview) return json_null();
    return json_sprintf("/api/v1/jobs/%s/preview?n=%d", j->id, j->preview);
}

json_t *mebi__view_job(const mebi__job *j) {
    json_t *o = json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:i, s:o, s:o}", "id", j->id, "state",
        mebi__job_state_name(j->state), "request", mebi__view_request(&j->request), "created",
        mebi__view_moment(j->created_ms), "started", mebi__view_moment(j->started_ms), "finished",
        mebi__view_moment(j->finished_ms), "position", j->position, "seconds_left",
        mebi__view_seconds(j->state == MEBI__JOB_QUEUED    ? j->queue_seconds
                           : j->state == MEBI__JOB_RUNNING ? j->progress.at.seconds_left
                                                           : 0),
        "progress", mebi__view_progress(&j->progress));
    json_t *rest = json_pack("{s:o, s:o, s:o, s:o, s:o, s:i}", "plan",
                             j->planned ? mebi__view_plan(&j->plan, &j->request) : json_null(),
                             "images", images(&j->images), "error", failure(j), "notices",
                             notices(j), "preview", preview(j), "priority", j->priority);
    if (o && rest) json_object_update(o, rest);
    json_decref(rest);
    return o;
}

/* ---- pictures ---- */

static json_t *draft(const mebi__image *i) {
    if (!i->draft) return json_null();
    return json_pack("{s:i, s:i, s:i}", "factor", i->draft, "width", i->draft_width, "height",
                     i->draft_height);
}

json_t *mebi__view_image(const mebi__image *i) {
    json_t *o = json_pack("{s:s, s:s, s:i, s:i, s:i, s:I, s:o, s:o, s:i, s:o}", "id", i->id, "job",
                          i->job, "index", i->index, "width", i->width, "height", i->height, "seed",
                          (json_int_t)i->seed, "prompt", text_or_empty(i->prompt),
                          "negative_prompt", text_or_empty(i->negative_prompt), "steps", i->steps,
                          "cfg", mebi__view_number(i->cfg));
    json_t *rest =
        json_pack("{s:o, s:o, s:o, s:I, s:b, s:b, s:o, s:o, s:o, s:o}", "created",
                  mebi__view_moment(i->created_ms), "model", text_or_empty(i->model), "model_hash",
                  text_or_empty(i->model_hash), "bytes", (json_int_t)i->bytes, "favourite",
                  i->favourite, "trashed", i->trashed, "draft", draft(i), "file",
                  json_sprintf("/api/v1/images/%s/file", i->id), "thumbnail",
                  json_sprintf("/api/v1/images/%s/thumbnail", i->id), "parameters",
                  text_or_empty(i->parameters));
    if (o && rest) json_object_update(o, rest);
    json_decref(rest);
    return o;
}

json_t *mebi__view_queue(const mebi__queue *q) {
    return json_pack("{s:i, s:i, s:i, s:o}", "queued", q->queued, "running", q->running, "limit",
                     q->limit, "seconds_left", mebi__view_seconds(q->seconds_left));
}

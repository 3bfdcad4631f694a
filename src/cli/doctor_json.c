/* The self-check as one JSON object. */
#include "cli/doctor_print.h"
#include "cli/plain.h"
#include "mebi/mebi.h"

#include <jansson.h>
#include <stdio.h>

static json_t *checks(const mebi__findings *all) {
    json_t *list = json_array();
    char measured[3 * sizeof all->at->measured], advice[3 * sizeof all->at->advice];
    for (int i = 0; i < all->count; i++) {
        const mebi__finding *f = &all->at[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "section",
                                              mebi__section_name(f->section), "check", f->check,
                                              "verdict", mebi__verdict_name(f->verdict), "measured",
                                              plain_utf8(f->measured, measured, sizeof measured),
                                              "expected", f->expected, "advice",
                                              plain_utf8(f->advice, advice, sizeof advice)));
    }
    return list;
}

static json_t *machine_object(const mebi__machine *m) {
    return json_pack(
        "{s:s, s:i, s:i, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:s}", "processor", m->name, "cores",
        m->cores, "processors", m->processors, "quota", m->quota, "load", m->load, "memory_bytes",
        (json_int_t)m->memory_bytes, "available_bytes", (json_int_t)m->available_bytes,
        "group_limit_bytes", (json_int_t)m->group_bytes, "swap_bytes", (json_int_t)m->swap_bytes,
        "swap_used_bytes", (json_int_t)m->swap_used_bytes, "best_instruction_set", m->best);
}

static json_t *model_object(const mebi_engine_info *i) {
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:s}", "hash", i->model_hash, "instruction_set",
                     i->cpu, "precision", mebi_precision_name(i->precision), "threads", i->threads,
                     "native_side", i->native_side, "unused_tensors", i->unused_tensors);
}

static json_t *run_object(const mebi__doctor *d, const mebi__run *r) {
    const mebi__vitals *v = &r->vitals;
    json_t *steps = json_array();
    for (int i = 0; i < r->steps; i++) json_array_append_new(steps, json_real(r->step_seconds[i]));
    json_t *o = json_pack("{s:i, s:i, s:i, s:f, s:b, s:f, s:f, s:f, s:f, s:o}", "width",
                          r->request.width, "height", r->request.height, "steps", r->request.steps,
                          "cfg", (double)r->request.cfg, "finished", r->state == MEBI__RUN_DONE,
                          "seconds", r->report.total_seconds, "planned_seconds",
                          r->plan.total_seconds, "operations", r->plan.operations, "decode_seconds",
                          r->report.seconds[MEBI_STAGE_DECODE], "step_seconds", steps);
    json_t *more = json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "peak_bytes",
                             (json_int_t)r->report.peak_bytes, "planned_bytes",
                             (json_int_t)r->report.plan.peak_bytes, "processor_share",
                             mebi__own_share(v, d->info.threads), "clock_kept", v->clock,
                             "major_faults", v->major_faults, "swapped_pages", v->swapped,
                             "throttled_seconds", v->throttled, "stalled_seconds", v->stalled);
    if (o && more) json_object_update(o, more);
    json_decref(more);
    return o;
}

static json_t *curve_array(const mebi__doctor *d) {
    json_t *list = json_array();
    for (int i = 0; i < d->samples; i++) {
        const mebi__sample *s = &d->sample[i];
        const char *stage = s->stage < MEBI_STAGE_COUNT ? mebi_stage_name(s->stage) : "end";
        json_array_append_new(list, json_pack("{s:f, s:I, s:i, s:s, s:i}", "seconds", s->seconds,
                                              "bytes", (json_int_t)s->bytes, "run", s->run + 1,
                                              "stage", stage, "step", s->step));
    }
    return list;
}

void doctor_print_json(const mebi__machine *machine, const mebi__doctor *d,
                       const mebi__findings *all) {
    json_t *o = json_pack("{s:s, s:i, s:i, s:i, s:o}", "verdict",
                          mebi__verdict_name(mebi__findings_worst(all, MEBI__SECTIONS)), "ok",
                          mebi__findings_count(all, MEBI__OK), "warn",
                          mebi__findings_count(all, MEBI__WARN), "fail",
                          mebi__findings_count(all, MEBI__FAIL), "checks", checks(all));
    json_object_set_new(o, "version", json_string(mebi_version()));
    if (machine) json_object_set_new(o, "machine", machine_object(machine));
    if (d && d->engine) json_object_set_new(o, "model", model_object(&d->info));
    if (d && d->samples) {
        json_t *runs = json_array();
        for (int i = 0; i < MEBI__RUNS; i++)
            if (d->run[i].state >= MEBI__RUN_DONE)
                json_array_append_new(runs, run_object(d, &d->run[i]));
        json_object_set_new(o, "runs", runs);
        json_object_set_new(o, "memory", curve_array(d));
    }
    if (o) json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(o);
}

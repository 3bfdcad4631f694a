/* What a job took, beside what was planned. */
#include "cli/generate_print.h"

#include "cli/terminal.h"

#include <stdio.h>

void generate_print_summary(const mebi_report *r, double total) {
    char t[6][24], b[2][24];
    printf("%s: load %s, encode %s, denoise %s, decode %s; peak memory %s (planned %s)\n",
           seconds_text(total, t[0], sizeof t[0]),
           seconds_text(r->seconds[MEBI_STAGE_LOAD], t[1], sizeof t[1]),
           seconds_text(r->seconds[MEBI_STAGE_ENCODE], t[2], sizeof t[2]),
           seconds_text(r->seconds[MEBI_STAGE_STEP], t[3], sizeof t[3]),
           seconds_text(r->seconds[MEBI_STAGE_DECODE], t[4], sizeof t[4]),
           bytes_text((double)r->peak_bytes, b[0], sizeof b[0]),
           bytes_text((double)r->plan.peak_bytes, b[1], sizeof b[1]));
    /* Only what is out of the ordinary: time far from the plan, or work done in parts. */
    double real = r->total_seconds, planned = r->plan.total_seconds;
    if (planned > 0 && real > 2 && (real > 1.25 * planned || planned > 1.25 * real))
        printf("planned: %s; another load on the machine, or heat, makes such a difference\n",
               seconds_text(planned, t[5], sizeof t[5]));
    if (r->plan.verdict != MEBI_FITS && r->plan.strategy[0]) printf("%s\n", r->plan.strategy);
}

/* null for what is not known. */
static json_t *seconds_json(double seconds) {
    return seconds < 0 ? json_null() : json_real(seconds);
}

static json_t *plan_json(const mebi_plan *p) {
    json_t *seconds = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o}", "take", seconds_json(p->seconds[MEBI_STAGE_TAKE]), "encode", seconds_json(p->seconds[MEBI_STAGE_ENCODE]),
        "denoise", seconds_json(p->seconds[MEBI_STAGE_STEP]), "decode",
        seconds_json(p->seconds[MEBI_STAGE_DECODE]), "save",
        seconds_json(p->seconds[MEBI_STAGE_SAVE]), "total", seconds_json(p->total_seconds));
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:o}", "verdict",
        mebi_verdict_name(p->verdict), "strategy", p->strategy, "why", p->why, "precision",
        mebi_precision_name(p->precision), "weights", mebi_weights_way_name(p->weights), "decode",
        mebi_decode_way_name(p->decode), "peak_bytes", (json_int_t)p->peak_bytes, "file_bytes",
        (json_int_t)p->file_bytes, "need_bytes", (json_int_t)p->need_bytes, "budget_bytes",
        (json_int_t)p->budget_bytes, "estimate", p->estimate, "seconds", seconds);
}

void generate_print_json(json_t *images, const mebi_report *r, double total) {
    json_t *o = json_pack(
        "{s:O, s:{s:f, s:f, s:f, s:f, s:f, s:f, s:f}, s:I, s:I, s:o}", "images", images, "seconds",
        "load", r->seconds[MEBI_STAGE_LOAD], "take", r->seconds[MEBI_STAGE_TAKE], "encode", r->seconds[MEBI_STAGE_ENCODE], "denoise",
        r->seconds[MEBI_STAGE_STEP], "decode", r->seconds[MEBI_STAGE_DECODE], "save",
        r->seconds[MEBI_STAGE_SAVE], "total", total, "peak_bytes", (json_int_t)r->peak_bytes,
        "planned_bytes", (json_int_t)r->plan.peak_bytes, "plan", plan_json(&r->plan));
    if (o) json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(o);
}

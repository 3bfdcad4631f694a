/* Tables at most 100 columns wide, and JSON, of what was measured. */
#include "cli/bench_print.h"
#include "cli/terminal.h"

#include <jansson.h>
#include <stdio.h>

/* The stages of one size, in the order a picture takes them. */
typedef struct stages {
    const mebi_bench_result *of[MEBI_BENCH_STAGES];
} stages;

static stages stages_of(const mebi_bench_report *r, int size) {
    return (stages){{&r->encode, &r->step[size], &r->decode[size]}};
}

static int was_run(const mebi_bench_result *r) {
    return r->seconds > 0;
}

/* ---- tables ---- */

/* "12.9 T", "421 G" */
static const char *count_text(double n, char text[16]) {
    static const struct {
        double unit;
        const char *name;
    } units[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}, {1, ""}};
    int i = 0;
    while (i < 4 && n < units[i].unit) i++;
    double v = n / units[i].unit;
    snprintf(text, 16, "%.*f %s", v < 10 ? 2 : v < 100 ? 1 : 0, v, units[i].name);
    return text;
}

static void print_peaks(const mebi_bench_peaks *p) {
    printf("This machine's best, all threads: int8 %.0f, bf16 %.0f, f32 %.0f GOP/s; reading %.1f "
           "GB/s.\n",
           p->int8 * 1e-9, p->bf16 * 1e-9, p->f32 * 1e-9, p->read * 1e-9);
}

static void print_stage(int width, int height, int tokens, mebi_bench_stage stage,
                        const mebi_bench_result *r) {
    char what[24], operations[16], bytes[16], planned[24], peak[24], weights[24];
    if (stage == MEBI_BENCH_ENCODE) snprintf(what, sizeof what, "%d tokens", tokens);
    else snprintf(what, sizeof what, "%dx%d", width, height);
    printf("%-7s %-10s %9.3f %7s %7s %7.1f %6.1f %6.1f %6.1f %8s %8s %8s\n",
           mebi_bench_stage_name(stage), what, r->seconds, count_text(r->operations, operations),
           count_text(r->bytes, bytes), r->operations / r->seconds * 1e-9, 100 * r->roofline_share,
           100 * r->share_of_best, 100 * r->bound_seconds / r->seconds,
           bytes_text((double)r->weight_bytes, weights, sizeof weights),
           bytes_text((double)r->planned_bytes, planned, sizeof planned),
           bytes_text((double)r->peak_bytes, peak, sizeof peak));
}

static void print_lines(const mebi_bench_result *r) {
    printf("%-18s %-5s %6s %10s %9s %9s %8s %7s %7s %7s\n", "  operation", "in", "calls", "ops",
           "bytes", "seconds", "of time", "GOP/s", "GB/s", "share");
    for (int i = 0; i < r->lines; i++) {
        const mebi_bench_line *l = &r->line[i];
        char operations[16], bytes[16];
        if (l->seconds < 0.0005 * r->seconds) continue;
        printf("  %-16s %-5s %6ld %10s %9s %9.3f %7.1f%% %7.1f %7.1f %6.1f%%\n", l->operation,
               l->arithmetic, l->calls, count_text(l->operations, operations),
               count_text(l->bytes, bytes), l->seconds, 100 * l->seconds / r->seconds,
               l->operations / l->seconds * 1e-9, l->bytes / l->seconds * 1e-9, 100 * l->share);
    }
}

static void print_legend(const mebi_bench_params *p, const mebi_bench_report *r) {
    printf("\nseconds: the median of %d run%s. share: the time of the operations at the peaks of the\n"
           "precisions they ran in, as they were while the stage was at work, over the measured time; best:\n"
           "the same at the best peaks of the whole run; bound: share with the time to read the weights\n"
           "where that is larger. weights: held in memory of their own. planned, measured: the process's\n"
           "memory at most, mapped model files not counted.\n",
           p->runs, p->runs > 1 ? "s" : "");
    if (r->step[0].int8_part > 0)
        printf("Of a step's arithmetic outside attention %.1f %% ran in int8.\n",
               100 * r->step[0].int8_part);
}

void bench_print_tables(const mebi_bench_params *p, const mebi_bench_report *r) {
    printf("%s weights, precision %s, %s, %d thread%s.\n", r->random ? "Random" : "The model's",
           mebi_precision_name(r->precision), r->cpu, r->threads, r->threads > 1 ? "s" : "");
    if (p->decode != MEBI_DECODE_AUTO) printf("Decoding: %s.\n", mebi_decode_way_name(p->decode));
    print_peaks(&r->peaks);
    printf("\n%-7s %-10s %9s %7s %7s %7s %6s %6s %6s %8s %8s %8s\n", "stage", "", "seconds", "ops",
           "bytes", "GOP/s", "share%", "best%", "bound%", "weights", "planned", "measured");
    for (int stage = 0; stage < MEBI_BENCH_STAGES; stage++)
        for (int i = 0; i < (stage == MEBI_BENCH_ENCODE ? 1 : p->sizes); i++) {
            const mebi_bench_result *one = stages_of(r, i).of[stage];
            if (was_run(one))
                print_stage(p->size[i].width, p->size[i].height, p->tokens,
                            (mebi_bench_stage)stage, one);
        }
    for (int stage = 0; stage < MEBI_BENCH_STAGES && p->sizes == 1; stage++) {
        const mebi_bench_result *one = stages_of(r, 0).of[stage];
        if (!was_run(one)) continue;
        printf("\n%s\n", mebi_bench_stage_name((mebi_bench_stage)stage));
        print_lines(one);
    }
    print_legend(p, r);
}

void bench_print_kernels(const mebi_bench_kernels *k) {
    printf("%s, %d thread%s.\n", k->cpu, k->threads, k->threads > 1 ? "s" : "");
    print_peaks(&k->peaks);
    printf("\n%-40s %-5s %10s %8s %7s %7s %7s %9s\n", "kernel", "in", "ms", "GOP/s", "GB/s",
           "share%", "bound%", "error");
    for (int i = 0; i < k->count; i++) {
        const mebi_bench_kernel *one = &k->kernel[i];
        printf("%-40s %-5s %10.3f %8.1f %7.1f %7.1f %7.1f %9.1e\n", one->name, one->arithmetic,
               1e3 * one->seconds, one->operations / one->seconds * 1e-9,
               one->bytes / one->seconds * 1e-9, 100 * one->share, 100 * one->bound_share,
               one->error);
    }
    printf("\nms: the fastest of some calls. share: of the peak of the precision. bound: of what the\n"
           "peak and, for data that no cache holds, the speed of memory allow. error: against plain C\n"
           "on a smaller shape, relative to the largest value there.\n");
}

/* ---- JSON ---- */

static json_t *peaks_json(const mebi_bench_peaks *p) {
    return json_pack("{s:f, s:f, s:f, s:f}", "int8", p->int8 * 1e-9, "bf16", p->bf16 * 1e-9, "f32",
                     p->f32 * 1e-9, "read", p->read * 1e-9);
}

static json_t *lines_json(const mebi_bench_result *r) {
    json_t *all = json_array();
    for (int i = 0; i < r->lines; i++) {
        const mebi_bench_line *l = &r->line[i];
        json_array_append_new(
            all, json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:f}", "operation", l->operation,
                           "precision", l->arithmetic, "calls", (json_int_t)l->calls, "operations",
                           l->operations, "bytes", l->bytes, "seconds", l->seconds, "gops",
                           l->seconds > 0 ? l->operations / l->seconds * 1e-9 : 0.0, "share",
                           l->share));
    }
    return all;
}

static json_t *stage_json(const mebi_bench_result *r) {
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:o}",
                     "seconds", r->seconds, "fastest", r->fastest, "slowest", r->slowest,
                     "operations", r->operations, "bytes", r->bytes, "gops",
                     r->operations / r->seconds * 1e-9, "peaks", peaks_json(&r->peaks),
                     "roofline_share", r->roofline_share, "share_of_best", r->share_of_best,
                     "bound_seconds", r->bound_seconds, "int8_part", r->int8_part, "load_seconds",
                     r->load_seconds, "weight_bytes", (json_int_t)r->weight_bytes, "arena_bytes",
                     (json_int_t)r->arena_bytes, "scratch_bytes", (json_int_t)r->scratch_bytes,
                     "peak_bytes", (json_int_t)r->peak_bytes, "planned_bytes",
                     (json_int_t)r->planned_bytes, "lines", lines_json(r));
}

static json_t *number_or_null(double value, int known) {
    return known ? json_real(value) : json_null();
}

static void print_size_json(const mebi_bench_params *p, const mebi_bench_report *r, int size) {
    const mebi_bench_result *step = &r->step[size];
    stages all = stages_of(r, size);
    size_t peak = 0, planned = 0;
    json_t *each = json_object();
    for (int i = 0; i < MEBI_BENCH_STAGES; i++) {
        const mebi_bench_result *one = all.of[i];
        if (!was_run(one)) continue;
        if (one->peak_bytes > peak) peak = one->peak_bytes;
        if (one->planned_bytes > planned) planned = one->planned_bytes;
        json_object_set_new(each, mebi_bench_stage_name((mebi_bench_stage)i), stage_json(one));
    }
    json_t *o = json_pack(
        "{s:i, s:i, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:s, s:o}",
        "width", p->size[size].width, "height", p->size[size].height, "precision",
        mebi_precision_name(r->precision), "weights", r->random ? "random" : "model", "decode",
        mebi_decode_way_name(p->decode == MEBI_DECODE_AUTO ? MEBI_DECODE_WHOLE : p->decode), "cpu", r->cpu,
        "threads", r->threads, "tokens", p->tokens, "layers", p->layers ? p->layers : 30, "runs", p->runs,
        "peaks", peaks_json(was_run(step) ? &step->peaks : &r->peaks), "best_peaks",
        peaks_json(&r->peaks), "operations", number_or_null(step->operations, was_run(step)), "step_seconds",
        number_or_null(step->seconds, was_run(step)), "roofline_share",
        number_or_null(step->roofline_share, was_run(step)), "share_of_best",
        number_or_null(step->share_of_best, was_run(step)), "encode_seconds",
        number_or_null(r->encode.seconds, was_run(&r->encode)), "decode_seconds",
        number_or_null(r->decode[size].seconds, was_run(&r->decode[size])), "peak_bytes",
        (json_int_t)peak, "planned_bytes", (json_int_t)planned, "units",
        "peaks in GOP/s (read in GB/s), operations counted one by one, a multiply-add as 2", "stages",
        each);
    if (o) json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(7));
    putchar('\n');
    json_decref(o);
}

void bench_print_json(const mebi_bench_params *p, const mebi_bench_report *r) {
    for (int i = 0; i < p->sizes; i++) print_size_json(p, r, i);
}

void bench_print_kernels_json(const mebi_bench_kernels *k) {
    json_t *all = json_array();
    for (int i = 0; i < k->count; i++) {
        const mebi_bench_kernel *one = &k->kernel[i];
        json_array_append_new(
            all, json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "name", one->name,
                           "precision", one->arithmetic, "operations", one->operations, "bytes",
                           one->bytes, "seconds", one->seconds, "gops",
                           one->operations / one->seconds * 1e-9, "gbs",
                           one->bytes / one->seconds * 1e-9, "share", one->share, "bound_share",
                           one->bound_share, "error", one->error));
    }
    json_t *o = json_pack("{s:s, s:i, s:o, s:s, s:o}", "cpu", k->cpu, "threads", k->threads, "peaks",
                          peaks_json(&k->peaks), "units",
                          "peaks and gops in GOP/s, gbs and read in GB/s", "kernels", all);
    if (o) json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(7));
    putchar('\n');
    json_decref(o);
}

/* mebi bench: the same pictures at several sizes with a model. Must never overwrite a report. */
#include "cli/bench_sizes.h"

#include "base/error.h"
#include "base/writer.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/size.h"
#include "cli/terminal.h"
#include "mebi/mebi.h"
#include "sweep/sweep.h"

#include <string.h>
#include <unistd.h>

typedef struct arguments {
    model_options model;
    const char *sizes, *html;
    int64_t steps, prompts, seeds, runs;
    int json, progress_json, quiet, help;
} arguments;

enum { OWN_OPTIONS = 10 };

static int list_options(arguments *a, option *all) {
    int count = model_options_list(&a->model, all);
    const option own[OWN_OPTIONS] = {
        {0, "sizes", OPTION_TEXT, &a->sizes, "LIST",
         "256,512,1024x768 and so on; default: five around the\nmodel's native size", 0, 0, NULL},
        {0, "steps", OPTION_INTEGER, &a->steps, "N", "passes through the model; default 8", 1, 120,
         NULL},
        {0, "prompts", OPTION_INTEGER, &a->prompts, "N",
         "how many of the built-in prompts; default 3", 1, MEBI__SWEEP_PROMPTS, NULL},
        {0, "seeds", OPTION_INTEGER, &a->seeds, "N", "of each prompt: 1, 2, ...; default 2", 1,
         MEBI__SWEEP_SEEDS, NULL},
        {0, "runs", OPTION_INTEGER, &a->runs, "N",
         "one picture N times in a row, before the rest: memory and\npicture of the last must be "
         "the first's; "
         "default 3, 0: none",
         0, MEBI__SWEEP_RUNS, NULL},
        {0, "html", OPTION_TEXT, &a->html, "FILE", "a report as one page, with plots and pictures",
         0, 0, NULL},
        {0, "json", OPTION_FLAG, &a->json, NULL, "print one JSON object instead of tables", 0, 0,
         NULL},
        {0, "progress-json", OPTION_FLAG, &a->progress_json, NULL,
         "progress as JSON on standard error, an object a line", 0, 0, NULL},
        {'q', "quiet", OPTION_FLAG, &a->quiet, NULL, "no progress", 0, 0, NULL},
        {'h', "help", OPTION_FLAG, &a->help, NULL, "this text", 0, 0, NULL},
    };
    memcpy(all + count, own, sizeof own);
    return count + OWN_OPTIONS;
}

static void print_help(const option *options, int count) {
    printf(
        "usage: mebi bench [-m MODEL] [OPTIONS]\n       mebi bench --full-size [OPTIONS]\n"
        "       mebi bench --kernels [OPTIONS]\n\n"
        "Makes the same pictures at several sizes and tells what each size takes (seconds and\n"
        "memory, planned and measured) and gives (quality by measure), what one size more brings,\n"
        "and the sweet spot that follows. --full-size and --kernels measure speed beside the\n"
        "machine's peaks instead; see their --help. Let nothing else run meanwhile.\n\n");
    options_print(stdout, options, count);
    printf(
        "\n  mebi bench -m models/mini --html report.html\n"
        "  mebi bench --sizes 512,1024 --prompts 1 --seeds 1 --json\n\n"
        "Exit codes: 0 done, 1 failed, or memory or pictures of the runs in a row differ, 2 bad\n"
        "arguments, 3 no size fits into memory, 130 interrupted.\n");
}

static mebi_status read_sizes(const char *text, const mebi_engine_info *info, mebi__sweep_params *p,
                              mebi_error *err) {
    char one[48];
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, ",");
        if (length >= sizeof one || p->sizes == MEBI__SWEEP_SIZES)
            return mebi__fail(err, MEBI_BAD_ARGUMENT,
                              "--sizes takes up to %d sizes with commas between, not '%.60s'.",
                              MEBI__SWEEP_SIZES, text);
        memcpy(one, at, length);
        one[length] = 0;
        MEBI_TRY(size_parse(one, info->native_side, info->size_multiple, &p->size[p->sizes].width,
                            &p->size[p->sizes].height, err));
        for (int i = 0; i < p->sizes; i++)
            if (p->size[i].width == p->size[p->sizes].width &&
                p->size[i].height == p->size[p->sizes].height)
                return mebi__fail(err, MEBI_BAD_ARGUMENT, "--sizes has %dx%d twice.",
                                  p->size[i].width, p->size[i].height);
        p->sizes++;
        at += length;
        if (!*at) return MEBI_OK;
    }
}

/* ---- the report's file ---- */

static mebi_status open_report(const char *path, mebi__writer *writer, mebi_error *err) {
    if (!*path) return mebi__fail(err, MEBI_BAD_ARGUMENT, "--html is given an empty name.");
    if (access(path, F_OK) == 0)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "%.300s exists and is not overwritten. Take another name.", path);
    return mebi__writer_open(path, writer, err);
}

typedef struct sink {
    mebi__writer *writer;
    mebi_error *err;
} sink;

static ssize_t sink_write(void *context, const char *from, size_t bytes) {
    sink *s = context;
    return mebi__writer_append(s->writer, from, bytes, s->err) == MEBI_OK ? (ssize_t)bytes : 0;
}

static mebi_status write_report(const mebi__sweep *sweep, mebi__writer *writer, mebi_error *err) {
    sink s = {writer, err};
    FILE *to = fopencookie(&s, "w", (cookie_io_functions_t){.write = sink_write});
    if (!to) return mebi__fail(err, MEBI_NO_MEMORY, "No memory to write the report.");
    mebi_status status = mebi__sweep_html(sweep, to, err);
    if (fclose(to) != 0 && status == MEBI_OK)
        status = mebi__fail(err, MEBI_IO, "The report can't be written.");
    return status == MEBI_OK ? mebi__writer_finish(writer, NULL, err) : status;
}

/* ---- the work ---- */

static void on_notice(void *context, const char *text) {
    terminal_notice(context, text);
}

static int anything_fits(const mebi__sweep *s) {
    for (int i = 0; i < s->params.sizes; i++)
        if (s->row[i].plan.verdict != MEBI_TOO_BIG) return 1;
    return 0;
}

static mebi_status make(const arguments *a, mebi__sweep *s, terminal *t, mebi__writer *writer,
                        mebi_error *err) {
    mebi_callbacks callbacks = {.context = t,
                                .progress = terminal_progress,
                                .cancelled = interrupt_came,
                                .notice = on_notice};
    const mebi__row *least = &s->row[0];
    char need[24], budget[24];
    if (!anything_fits(s))
        return mebi__fail(err, MEBI_NO_MEMORY,
                          "None of the sizes fits into memory: %dx%d needs %s, and there are %s.",
                          least->width, least->height,
                          bytes_text((double)least->plan.need_bytes, need, sizeof need),
                          bytes_text((double)least->plan.budget_bytes, budget, sizeof budget));
    mebi_status status = mebi__sweep_run(s, &callbacks, err);
    terminal_clear(t);
    MEBI_TRY(status);
    if (a->json) MEBI_TRY(mebi__sweep_json(s, stdout, err));
    else mebi__sweep_print(s, stdout);
    if (writer->temporary) MEBI_TRY(write_report(s, writer, err));
    if (s->runs > 1 && (!s->steady || !s->same))
        return mebi__fail(err, MEBI_INTERNAL,
                          "%d runs of the same request differ in %s: peaks %zu and %zu bytes.",
                          s->runs, s->same ? "memory" : "their pictures", s->run_peak[0],
                          s->run_peak[s->runs - 1]);
    return MEBI_OK;
}

static mebi_status run(arguments *a, terminal *t, mebi__writer *writer, mebi_error *err) {
    mebi_engine_params params;
    mebi_engine *engine = NULL;
    mebi__sweep *sweep = NULL;
    mebi__sweep_params how = mebi__sweep_params_default();
    MEBI_TRY(model_options_resolve(&a->model, &params, err));
    params.calibrate = 1;
    if (a->html) MEBI_TRY(open_report(a->html, writer, err));
    mebi_callbacks loading = {.context = t,
                              .progress = terminal_progress,
                              .cancelled = interrupt_came,
                              .notice = on_notice};
    mebi_status status = mebi_engine_open(&params, &loading, &engine, err);
    how.model = model_options_name(&params);
    how.steps = (int)a->steps;
    how.prompts = (int)a->prompts;
    how.seeds = (int)a->seeds;
    how.runs = (int)a->runs;
    if (status == MEBI_OK && a->sizes) {
        mebi_engine_info info = mebi_engine_describe(engine);
        status = read_sizes(a->sizes, &info, &how, err);
    }
    if (status == MEBI_OK) status = mebi__sweep_open(engine, &how, &sweep, err);
    if (status == MEBI_OK) status = make(a, sweep, t, writer, err);
    mebi__sweep_close(&sweep);
    mebi_engine_close(&engine);
    return status;
}

int bench_sizes(int argc, char **argv) {
    static arguments a; /* too large for a stack that others may have made small */
    a = (arguments){.steps = 8, .prompts = 3, .seeds = 2, .runs = 3};
    option options[MODEL_OPTIONS + OWN_OPTIONS];
    mebi_error err = {0};
    mebi__writer writer = {.fd = -1};
    int count = list_options(&a, options), rest;
    mebi_status status = options_parse(options, count, argc, argv, NULL, 0, &rest, &err);
    if (status == MEBI_OK && a.help) {
        print_help(options, count);
        return EXIT_OK;
    }
    terminal t = terminal_open(a.quiet);
    t.json = a.progress_json;
    interrupt_watch();
    if (status == MEBI_OK) status = run(&a, &t, &writer, &err);
    terminal_clear(&t);
    mebi__writer_abandon(&writer);
    model_options_end(&a.model);
    if (status == MEBI_OK) return EXIT_OK;
    if (status != MEBI_CANCELLED) return report_failure(status, &err);
    fputs("mebi: Interrupted.\n", stderr);
    return 128 + interrupt_number();
}

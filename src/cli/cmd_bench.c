/* mebi bench: what this machine can do, and what the model's stages and kernels make of it. */
#include "base/error.h"
#include "cli/bench_print.h"
#include "cli/bench_sizes.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/size.h"
#include "mebi/mebi.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct arguments {
    int kernels, full_size, json, help, outliers;
    const char *model, *sizes, *stage, *precision, *decode, *only;
    int64_t tokens, runs, threads, layers;
    double seconds;
    int kernels_only, full_size_only; /* an option of the one was given */
} arguments;

enum { OPTIONS = 16 };

static void list_options(arguments *a, option *o) {
    const option all[OPTIONS] = {
        {0, "full-size", OPTION_FLAG, &a->full_size, NULL,
         "time one denoising step, encoding and decoding", 0, 0, NULL},
        {0, "kernels", OPTION_FLAG, &a->kernels, NULL,
         "time each kernel at the model's shapes, and check it against plain C", 0, 0, NULL},
        {'m', "model", OPTION_TEXT, &a->model, "FOLDER",
         "a model's own weights; else random ones of the published shapes", 0, 0,
         &a->full_size_only},
        {0, "size", OPTION_TEXT, &a->sizes, "LIST",
         "512 (default), 1024x768, or several with commas: 256,512,1024", 0, 0, &a->full_size_only},
        {0, "stage", OPTION_TEXT, &a->stage, "NAME", "all (default), step, encode or decode", 0, 0,
         &a->full_size_only},
        {0, "precision", OPTION_TEXT, &a->precision, "TYPE", "int8 (default), bf16 or f32", 0, 0,
         &a->full_size_only},
        {0, "decode", OPTION_TEXT, &a->decode, "WAY", "whole (default), strips or tiled", 0, 0,
         &a->full_size_only},
        {0, "tokens", OPTION_INTEGER, &a->tokens, "N", "of the prompt: 61", 1, 512,
         &a->full_size_only},
        {0, "runs", OPTION_INTEGER, &a->runs, "N", "of each stage, the median counts: 3", 1, 99,
         &a->full_size_only},
        {0, "layers", OPTION_INTEGER, &a->layers, "N",
         "a transformer of so many of its 30 (alike) layers", 1, 30, &a->full_size_only},
        {0, "outliers", OPTION_FLAG, &a->outliers, NULL,
         "random weights with channels far above the rest", 0, 0, &a->full_size_only},
        {0, "only", OPTION_TEXT, &a->only, "TEXT", "kernels whose name contains this", 0, 0,
         &a->kernels_only},
        {0, "seconds", OPTION_NUMBER, &a->seconds, "S", "for each kernel: 0.3", 0.001, 60,
         &a->kernels_only},
        {0, "threads", OPTION_INTEGER, &a->threads, "N", "default: one for each physical core", 1, 256,
         NULL},
        {0, "json", OPTION_FLAG, &a->json, NULL, "print JSON: one object a line, one line a size", 0, 0,
         NULL},
        {'h', "help", OPTION_FLAG, &a->help, NULL, "this text", 0, 0, NULL},
    };
    memcpy(o, all, sizeof all);
}

static void print_help(const option *options) {
    printf("usage: mebi bench --full-size [OPTIONS]\n       mebi bench --kernels [OPTIONS]\n\n"
           "Measures speed beside this machine's own peaks, taken in the same run: seconds,\n"
           "operations, bytes, and the share of the peak of the precision that the work ran in.\n"
           "No model is needed. Let nothing else run meanwhile.\n\n");
    options_print(stdout, options, OPTIONS);
    printf("\n  mebi bench --full-size --size 512x512 --precision int8 --json\n"
           "  mebi bench --full-size --stage step --size 256,512,768,1024   # cost as work grows\n"
           "  mebi bench --kernels --only linear\n");
}

/* Progress goes where no table is: to a person at a terminal. */
static void say(void *context, const char *text) {
    (void)context;
    fprintf(stderr, "\r\033[K%s", text);
}

static void (*teller(void))(void *, const char *) {
    return isatty(STDERR_FILENO) ? say : NULL;
}

static void end_telling(void) {
    if (teller()) fputs("\r\033[K", stderr);
}

/* ---- --full-size ---- */

static mebi_status read_sizes(const char *text, mebi_bench_params *p, mebi_error *err) {
    char one[48];
    p->sizes = 0;
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, ",");
        if (length >= sizeof one || p->sizes == MEBI_BENCH_SIZES)
            return mebi__fail(err, MEBI_BAD_ARGUMENT,
                              "--size takes up to %d sizes with commas between, not '%.60s'.",
                              MEBI_BENCH_SIZES, text);
        memcpy(one, at, length);
        one[length] = 0;
        MEBI_TRY(size_parse(one, 1024, 16, &p->size[p->sizes].width, &p->size[p->sizes].height, err));
        p->sizes++;
        at += length;
        if (!*at) return MEBI_OK;
    }
}

static mebi_status read_stage(const char *text, unsigned *stages, mebi_error *err) {
    if (strcmp(text, "all") == 0) return MEBI_OK;
    for (int i = 0; i < MEBI_BENCH_STAGES; i++)
        if (strcmp(text, mebi_bench_stage_name((mebi_bench_stage)i)) == 0) {
            *stages = 1u << i;
            return MEBI_OK;
        }
    return mebi__fail(err, MEBI_BAD_ARGUMENT,
                      "--stage takes all, step, encode or decode, not '%.60s'.", text);
}

static mebi_status read_precision(const char *text, mebi_precision *out, mebi_error *err) {
    for (int i = 0; i < MEBI_PRECISION_COUNT; i++)
        if (i != MEBI_PRECISION_AUTO && strcmp(text, mebi_precision_name((mebi_precision)i)) == 0) {
            *out = (mebi_precision)i;
            return MEBI_OK;
        }
    return mebi__fail(err, MEBI_BAD_ARGUMENT, "--precision takes int8, bf16 or f32, not '%.60s'.",
                      text);
}

static mebi_status read_decode(const char *text, mebi_decode_way *out, mebi_error *err) {
    for (int i = 0; i < MEBI_DECODE_COUNT; i++)
        if (i != MEBI_DECODE_AUTO && strcmp(text, mebi_decode_way_name((mebi_decode_way)i)) == 0) {
            *out = (mebi_decode_way)i;
            return MEBI_OK;
        }
    return mebi__fail(err, MEBI_BAD_ARGUMENT, "--decode takes whole, strips or tiled, not '%.60s'.", text);
}

static int full_size(const arguments *a) {
    mebi_error err = {0};
    mebi_bench_params p = mebi_bench_params_default();
    mebi_status status = MEBI_OK;
    p.engine.model = a->model;
    p.engine.threads = (int)a->threads;
    p.engine.precision = MEBI_PRECISION_INT8;
    p.tokens = (int)a->tokens;
    p.runs = (int)a->runs;
    p.layers = (int)a->layers;
    p.outliers = a->outliers;
    p.progress = teller();
    if (a->sizes) status = read_sizes(a->sizes, &p, &err);
    if (status == MEBI_OK && a->stage) status = read_stage(a->stage, &p.stages, &err);
    if (status == MEBI_OK && a->precision)
        status = read_precision(a->precision, &p.engine.precision, &err);
    if (status == MEBI_OK && a->decode) status = read_decode(a->decode, &p.decode, &err);
    mebi_bench_report *report = status == MEBI_OK ? calloc(1, sizeof *report) : NULL;
    if (status == MEBI_OK && !report)
        status = mebi__fail(&err, MEBI_NO_MEMORY, "No memory for the figures.");
    if (status == MEBI_OK) status = mebi_bench_full_size(&p, report, &err);
    if (report) end_telling();
    if (status == MEBI_OK && a->json) bench_print_json(&p, report);
    else if (status == MEBI_OK) bench_print_tables(&p, report);
    free(report);
    return status == MEBI_OK ? EXIT_OK : report_failure(status, &err);
}

/* ---- --kernels ---- */

static int kernels(const arguments *a) {
    mebi_error err = {0};
    mebi_bench_kernels *found = calloc(1, sizeof *found);
    mebi_status status = MEBI_OK;
    if (!found) status = mebi__fail(&err, MEBI_NO_MEMORY, "No memory for the figures.");
    else
        status = mebi_bench_run_kernels((int)a->threads, a->only, a->seconds, teller(), NULL, found,
                                        &err);
    end_telling();
    if (found && found->count > 0) {
        if (a->json) bench_print_kernels_json(found);
        else bench_print_kernels(found);
    }
    free(found);
    return status == MEBI_OK ? EXIT_OK : report_failure(status, &err);
}

static mebi_status check(const arguments *a, mebi_error *err) {
    if (a->kernels == a->full_size)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "What is to be measured? %s",
                          a->kernels ? "Give --kernels or --full-size, not both."
                                     : "Give --full-size or --kernels; see --help.");
    if (a->kernels && a->full_size_only)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "--model, --size, --stage, --precision, --decode, --tokens, --runs and --outliers "
                          "belong to --full-size; --kernels has shapes of its own.");
    if (a->full_size && a->kernels_only)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "--only and --seconds belong to --kernels.");
    return MEBI_OK;
}

static int asks_for_peaks(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--full-size") == 0 || strcmp(argv[i], "--kernels") == 0) return 1;
    return 0;
}

int cmd_bench(int argc, char **argv) {
    if (!asks_for_peaks(argc, argv)) return bench_sizes(argc, argv);
    arguments a = {.tokens = 61, .runs = 3, .seconds = 0.3};
    option options[OPTIONS];
    const char *rest;
    int rest_count;
    mebi_error err = {0};
    list_options(&a, options);
    mebi_status status = options_parse(options, OPTIONS, argc, argv, &rest, 0, &rest_count, &err);
    if (status == MEBI_OK && a.help) {
        print_help(options);
        return EXIT_OK;
    }
    if (status == MEBI_OK) status = check(&a, &err);
    if (status != MEBI_OK) return report_failure(status, &err);
    return a.kernels ? kernels(&a) : full_size(&a);
}

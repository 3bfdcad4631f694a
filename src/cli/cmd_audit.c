/* mebi audit: what a precision costs in accuracy, layer by layer. */
#include "base/error.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/size.h"
#include "mebi/audit.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct arguments {
    const char *model, *size, *part, *precision;
    int full_size, outliers, json, help;
    int64_t tokens, threads;
    double limit; /* percent */
} arguments;

enum { OPTIONS = 11 };

static void list_options(arguments *a, option *o) {
    const option all[OPTIONS] = {
        {'m', "model", OPTION_TEXT, &a->model, "FOLDER", "the model", 0, 0, NULL},
        {0, "full-size", OPTION_FLAG, &a->full_size, NULL,
         "instead: random weights of the published model's shapes; takes 14 GB,\n"
         "with 21 GB each kind of matrix is looked at as well",
         0, 0, NULL},
        {0, "outliers", OPTION_FLAG, &a->outliers, NULL,
         "with channels 50 times the rest, and values to 100000", 0, 0, NULL},
        {0, "precision", OPTION_TEXT, &a->precision, "TYPE", "int8 (default)", 0, 0, NULL},
        {0, "part", OPTION_TEXT, &a->part, "NAME", "all (default), transformer or encoder", 0, 0,
         NULL},
        {0, "size", OPTION_TEXT, &a->size, "SIZE", "of the picture: 256 (default), 1024x768", 0, 0,
         NULL},
        {0, "tokens", OPTION_INTEGER, &a->tokens, "N", "of the prompt: 61", 1, 512, NULL},
        {0, "limit", OPTION_NUMBER, &a->limit, "PERCENT",
         "largest error of a part's result that passes: 3", 0, 100, NULL},
        {0, "threads", OPTION_INTEGER, &a->threads, "N", "default: one for each physical core", 1,
         256, NULL},
        {0, "json", OPTION_FLAG, &a->json, NULL, "print one JSON object", 0, 0, NULL},
        {'h', "help", OPTION_FLAG, &a->help, NULL, "this text", 0, 0, NULL},
    };
    memcpy(o, all, sizeof all);
}

static void print_help(const option *options) {
    printf("usage: mebi audit -m FOLDER [OPTIONS]\n       mebi audit --full-size [OPTIONS]\n\n"
           "Runs one input through the model twice, quantized and with plain matrices, and tells "
           "of each\n"
           "layer how far the results are apart (error), and how far when what the layer reads is "
           "exact\n"
           "(added). Ends with 0 if every part's result is within the limit, else with 1.\n\n");
    options_print(stdout, options, OPTIONS);
    printf("\n  mebi audit -m models/mini\n"
           "  mebi audit --full-size --outliers --part transformer --size 512x512\n");
}

static void say(void *context, const char *text) {
    (void)context;
    fprintf(stderr, "\r\033[K%s", text);
}

/* ---- reading ---- */

static mebi_status read_part(const char *text, unsigned *parts, mebi_error *err) {
    if (!text || strcmp(text, "all") == 0) return MEBI_OK;
    for (int i = 0; i < MEBI_AUDIT_PARTS; i++)
        if (strcmp(text, mebi_audit_part_name((mebi_audit_part)i)) == 0) {
            *parts = 1u << i;
            return MEBI_OK;
        }
    return mebi__fail(err, MEBI_BAD_ARGUMENT,
                      "--part takes all, transformer or encoder, not '%.60s'.", text);
}

static mebi_status read_params(const arguments *a, mebi_audit_params *p, mebi_error *err) {
    *p = mebi_audit_params_default();
    p->engine.model = a->model;
    p->engine.threads = (int)a->threads;
    p->outliers = a->outliers;
    p->tokens = (int)a->tokens;
    p->progress = isatty(STDERR_FILENO) ? say : NULL;
    if (!a->model == !a->full_size)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "What is to be audited? Give %s.",
                          a->model ? "--model or --full-size, not both" : "--model or --full-size");
    if (a->model && !*a->model)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "--model is given an empty name.");
    if (a->precision && strcmp(a->precision, "int8") != 0)
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "--precision takes int8, not '%.60s': it is compared with the weights' own "
            "type.",
            a->precision);
    MEBI_TRY(read_part(a->part, &p->parts, err));
    return a->size ? size_parse(a->size, 256, 16, &p->width, &p->height, err) : MEBI_OK;
}

/* ---- telling ---- */

static void print_table(const mebi_audit_report *r) {
    for (int part = 0; part < MEBI_AUDIT_PARTS; part++) {
        const mebi_audit_result *result = &r->part[part];
        if (result->lines == 0) continue;
        printf("%-28s %10s %10s %12s %12s\n", mebi_audit_part_name((mebi_audit_part)part), "error",
               "added", "furthest", "largest");
        for (int i = 0; i < result->lines; i++) {
            const mebi_audit_line *l = &result->line[i];
            printf("%-28s %8.3f %% %8.3f %% %12.4g %12.4g\n", l->stage, 100 * l->error,
                   100 * l->added, l->furthest, l->largest);
        }
        for (int k = 0; k < result->kinds; k++)
            printf("only %-23s %8.3f %%\n", result->kind[k].name, 100 * result->kind[k].error);
        printf("bf16 between layers, no more    %5.3f %%\n", 100 * result->floor);
        printf("%s in %s: error of the result %.3f %%\n\n",
               mebi_audit_part_name((mebi_audit_part)part), mebi_precision_name(r->precision),
               100 * result->error);
    }
}

/* JSON has no NaN. */
static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *result_json(const mebi_audit_result *result) {
    json_t *lines = json_array(), *kinds = json_object();
    for (int i = 0; i < result->lines; i++) {
        const mebi_audit_line *l = &result->line[i];
        json_array_append_new(lines,
                              json_pack("{s:s, s:o, s:o, s:o, s:o}", "stage", l->stage, "error",
                                        number(l->error), "added", number(l->added), "furthest",
                                        number(l->furthest), "largest", number(l->largest)));
    }
    for (int k = 0; k < result->kinds; k++)
        json_object_set_new(kinds, result->kind[k].name, number(result->kind[k].error));
    return json_pack("{s:o, s:o, s:o, s:o}", "error", number(result->error), "bf16_between_layers",
                     number(result->floor), "stages", lines, "only", kinds);
}

static void print_json(const mebi_audit_params *p, const mebi_audit_report *r, double limit) {
    json_t *o = json_pack("{s:s, s:s, s:i, s:b, s:b, s:i, s:i, s:i, s:f}", "precision",
                          mebi_precision_name(r->precision), "cpu", r->cpu, "threads", r->threads,
                          "random", r->random, "outliers", p->outliers, "width", p->width, "height",
                          p->height, "tokens", p->tokens, "limit", limit);
    for (int part = 0; part < MEBI_AUDIT_PARTS; part++)
        if (o && r->part[part].lines)
            json_object_set_new(o, mebi_audit_part_name((mebi_audit_part)part),
                                result_json(&r->part[part]));
    if (o) json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(o);
}

static mebi_status judge(const mebi_audit_report *r, double limit, mebi_error *err) {
    for (int part = 0; part < MEBI_AUDIT_PARTS; part++)
        if (r->part[part].lines && !(r->part[part].error <= limit))
            return mebi__fail(err, MEBI_NUMERIC,
                              "The %s's result is %.3f %% off; %.3g %% is the limit.",
                              mebi_audit_part_name((mebi_audit_part)part),
                              100 * r->part[part].error, 100 * limit);
    return MEBI_OK;
}

/* ---- the command ---- */

int cmd_audit(int argc, char **argv) {
    arguments a = {.tokens = 61, .limit = 3};
    option options[OPTIONS];
    mebi_audit_params params;
    mebi_error err = {0};
    int rest;
    list_options(&a, options);
    mebi_status status = options_parse(options, OPTIONS, argc, argv, NULL, 0, &rest, &err);
    if (status == MEBI_OK && a.help) {
        print_help(options);
        return EXIT_OK;
    }
    if (status == MEBI_OK) status = read_params(&a, &params, &err);
    mebi_audit_report *report = status == MEBI_OK ? calloc(1, sizeof *report) : NULL;
    if (status == MEBI_OK && !report)
        status = mebi__fail(&err, MEBI_NO_MEMORY, "No memory for the figures.");
    if (status == MEBI_OK) status = mebi_audit(&params, report, &err);
    if (report && params.progress) fputs("\r\033[K", stderr);
    if (status == MEBI_OK && a.json) print_json(&params, report, a.limit / 100);
    else if (status == MEBI_OK) print_table(report);
    if (status == MEBI_OK) status = judge(report, a.limit / 100, &err);
    free(report);
    return status == MEBI_OK ? EXIT_OK : report_failure(status, &err);
}

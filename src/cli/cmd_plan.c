/* mebi plan: what a request takes, before it is made, here or on another machine. Must never load a
 * model. */
#include "base/error.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/plain.h"
#include "cli/plan_print.h"
#include "cli/size.h"
#include "config/budget.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct command {
    model_options model;
    mebi_engine_params params;
    const char *device;
    int json, all, profiles, devices, help;
    int every_precision;
    mebi_engine *engine;
    plan_words words;
    char run[800], name[300];
    json_t *rows; /* of --json */
    int printed, ran;
} command;

enum { OPTIONS = 40 };

static int print_usage(const option *options, int count) {
    printf("usage: mebi plan [-m MODEL] [--size SIZE] [OPTIONS]\n\n"
           "Tells what pictures take before any is made: memory, time, and the way they would be\n"
           "done. Without --size, for the usual sizes. Without a model, for Z-Image-Turbo as\n"
           "published, whose files need not be there. Nothing is loaded.\n\n");
    options_print(stdout, options, count);
    printf("\nExit codes: 0 it can be made (of a table: some of it), 1 failed, 2 bad arguments,\n"
           "3 too big.\n");
    return EXIT_OK;
}

static mebi_status parse(int argc, char **argv, command *c, mebi_error *err) {
    option o[OPTIONS];
    int n = 0, rest;
    const mebi__setting_id settings[] = {MEBI__SET_SIZE, MEBI__SET_COUNT, MEBI__SET_STEPS,
                                         MEBI__SET_CFG, MEBI__SET_DECODE};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        o[n++] = setting_option(&c->model, settings[i]);
    n += model_options_list(&c->model, o + n);
    for (int i = 0; i < n; i++)
        if (strcmp(o[i].name, "model") == 0)
            o[i].help = "model folder (diffusers layout); default: the published\n"
                        "Z-Image-Turbo, of which no file is needed";
    o[n++] = (option){0, "device", OPTION_TEXT, &c->device, "NAME",
                      "plan for this machine instead, from its datasheet: \"RTX 3060\"; an\n"
                      "estimate. --precision all compares precisions",
                      0, 0, NULL};
    o[n++] = (option){.name = "devices", .kind = OPTION_FLAG, .value = &c->devices,
                      .help = "list the machines --device knows"};
    o[n++] = (option){.name = "profiles", .kind = OPTION_FLAG, .value = &c->profiles,
                      .help = "what machines with 8 to 48 GB can do, in each precision"};
    o[n++] = (option){.name = "all", .kind = OPTION_FLAG, .value = &c->all,
                      .help = "a table of 1 to 4 pictures too"};
    o[n++] = (option){.name = "json", .kind = OPTION_FLAG, .value = &c->json,
                      .help = "one JSON object for --size, else an array"};
    o[n++] = (option){.letter = 'h', .name = "help", .kind = OPTION_FLAG, .value = &c->help,
                      .help = "this text"};
    MEBI_TRY(options_parse(o, n, argc, argv, NULL, 0, &rest, err));
    if (c->help) print_usage(o, n);
    return MEBI_OK;
}

/* ---- settings ---- */

static const char *text_of(const command *c, mebi__setting_id id) {
    return mebi__config_text(&c->model.config, id);
}

static int names_a_model(const command *c) {
    return *text_of(c, MEBI__SET_MODEL) || *text_of(c, MEBI__SET_DIFFUSION_MODEL) ||
           *text_of(c, MEBI__SET_TEXT_ENCODER) || *text_of(c, MEBI__SET_VAE);
}

static mebi_status resolve(command *c, mebi_error *err) {
    const char **precision = &c->model.given[MEBI__SET_PRECISION];
    if (*precision && strcmp(*precision, "all") == 0) {
        c->every_precision = 1;
        *precision = NULL;
    }
    MEBI_TRY(model_options_resolve(&c->model, &c->params, err));
    c->params.plan_only = 1;
    c->params.planned_device = c->device;
    if (!names_a_model(c)) c->params.model = NULL;
    return MEBI_OK;
}

/* Adds an option as a shell takes it. */
static void add_word(char *to, size_t bytes, const char *flag, const char *value) {
    size_t used = strlen(to);
    int plain = value[strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    "/._-+%,:=@")] == 0;
    if (!*value) return;
    if (used < bytes)
        snprintf(to + used, bytes - used, plain || strchr(value, '\'') ? " %s %s" : " %s '%s'",
                 flag, value);
}

/* What is run again with another size keeps all else that was given. */
static void find_words(command *c) {
    static const mebi__setting_id ids[] = {
        MEBI__SET_MODEL,     MEBI__SET_DIFFUSION_MODEL, MEBI__SET_TEXT_ENCODER, MEBI__SET_VAE,
        MEBI__SET_TOKENIZER, MEBI__SET_THREADS,         MEBI__SET_PRECISION,    MEBI__SET_QUALITY,
        MEBI__SET_BUDGET,    MEBI__SET_WEIGHTS};
    int only_plans = c->device || !names_a_model(c);
    snprintf(c->run, sizeof c->run, "mebi %s", only_plans ? "plan" : "generate");
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char flag[40];
        snprintf(flag, sizeof flag, "--%s", mebi__settings[ids[i]].flag);
        if (c->model.given[ids[i]]) add_word(c->run, sizeof c->run, flag, c->model.given[ids[i]]);
    }
    if (c->device) add_word(c->run, sizeof c->run, "--device", c->device);
    if (!only_plans) add_word(c->run, sizeof c->run, "-p", "a red apple");
    snprintf(c->name, sizeof c->name, "%s",
             names_a_model(c) ? model_options_name(&c->params)
                              : "Z-Image-Turbo as published (no model is named)");
    c->words = (plan_words){c->run, c->name, "this machine"};
}

/* ---- planning ---- */

static mebi_status open_model(command *c, mebi_error *err) {
    mebi_engine_close(&c->engine);
    return mebi_engine_open(&c->params, NULL, &c->engine, err);
}

static mebi_status first_plan(command *c, mebi_plan *plan, mebi_error *err) {
    mebi_request request = mebi_request_default(c->engine);
    return mebi_plan_request(c->engine, &request, plan, err);
}

/* Opens the model; measures this machine if that has not been done; a budget in % of another machine is of
 * its memory. */
static mebi_status prepare(command *c, mebi_error *err) {
    mebi_plan plan;
    const char *budget = text_of(c, MEBI__SET_BUDGET);
    int share = c->device && strchr(budget, '%');
    if (share) c->params.budget_bytes = 0;
    MEBI_TRY(open_model(c, err));
    MEBI_TRY(first_plan(c, &plan, err));
    if (c->device) c->words.machine = mebi_engine_describe(c->engine).planned_device;
    if (share) {
        MEBI_TRY(mebi__budget_parse("The budget", budget, plan.budget_bytes, &c->params.budget_bytes,
                                    err));
        MEBI_TRY(open_model(c, err));
    }
    c->params.calibrate = !c->device; /* other precisions may have other rates */
    if (c->device || !plan.estimate) return MEBI_OK;
    if (isatty(STDERR_FILENO)) fputs("measuring this machine, once: about 4 s ...", stderr);
    MEBI_TRY(open_model(c, err));
    mebi_status status = first_plan(c, &plan, err);
    if (isatty(STDERR_FILENO)) fputs("\r\033[K", stderr);
    return status;
}

static mebi_status default_request(const command *c, const char *size, mebi_request *r,
                                   mebi_error *err) {
    mebi_engine_info info = mebi_engine_describe(c->engine);
    const mebi__config *config = &c->model.config;
    *r = mebi_request_default(c->engine);
    r->steps = (int)mebi__config_integer(config, MEBI__SET_STEPS);
    r->cfg = (float)mebi__config_number(config, MEBI__SET_CFG);
    r->cfg_truncation = (float)mebi__config_number(config, MEBI__SET_CFG_TRUNCATION);
    r->cfg_normalization = (float)mebi__config_number(config, MEBI__SET_CFG_NORMALIZATION);
    r->count = (int)mebi__config_integer(config, MEBI__SET_COUNT);
    r->decode = (mebi_decode_way)mebi__config_word(config, MEBI__SET_DECODE);
    if (strcmp(size, "auto") == 0) return MEBI_OK;
    return size_parse(size, info.native_side, info.size_multiple, &r->width, &r->height, err);
}

/* Plans one request as a row of the table. */
static mebi_status add_row(command *c, const mebi_request *r, int with_precision, mebi_error *err) {
    planned p = {.request = *r};
    MEBI_TRY(mebi_plan_request(c->engine, r, &p.plan, err));
    c->ran |= p.plan.verdict != MEBI_TOO_BIG;
    if (c->rows) json_array_append_new(c->rows, plan_json(&p, &c->words));
    else {
        if (!c->printed) plan_print_head(&c->words, &p.plan);
        plan_print_row(&p, with_precision);
    }
    c->printed = 1;
    return MEBI_OK;
}

/* The sizes of one count and one guidance. */
static mebi_status add_sizes(command *c, int count, float cfg, int with_precision, mebi_error *err) {
    static const char *const sizes[] = {"512",  "768",  "1024", "1280",
                                        "1536", "2048", "16:9", "9:16"};
    int largest = mebi_engine_describe(c->engine).largest_side;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        mebi_request r;
        MEBI_TRY(default_request(c, sizes[i], &r, err));
        r.count = count;
        r.cfg = cfg;
        if (r.width > largest || r.height > largest) continue;
        MEBI_TRY(add_row(c, &r, with_precision, err));
    }
    return MEBI_OK;
}

static mebi_status plan_table(command *c, int with_precision, mebi_error *err) {
    const mebi__config *config = &c->model.config;
    int count = (int)mebi__config_integer(config, MEBI__SET_COUNT);
    float cfg = (float)mebi__config_number(config, MEBI__SET_CFG);
    int last = c->all && count < 4 ? 4 : count;
    for (; count <= last; count++) {
        if (!c->model.given[MEBI__SET_CFG]) {
            MEBI_TRY(add_sizes(c, count, 0, with_precision, err));
            MEBI_TRY(add_sizes(c, count, cfg > 0 ? cfg : 4, with_precision, err));
        } else MEBI_TRY(add_sizes(c, count, cfg, with_precision, err));
    }
    return MEBI_OK;
}

static mebi_status plan_one(command *c, mebi_error *err) {
    planned p;
    MEBI_TRY(default_request(c, text_of(c, MEBI__SET_SIZE), &p.request, err));
    MEBI_TRY(mebi_plan_request(c->engine, &p.request, &p.plan, err));
    c->ran = p.plan.verdict != MEBI_TOO_BIG;
    if (!c->json) {
        plan_print_one(&p, &c->words);
        return MEBI_OK;
    }
    json_t *o = plan_json(&p, &c->words);
    if (o) json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(o);
    return MEBI_OK;
}

/* In each precision, in this budget. */
static mebi_status plan_precisions(command *c, mebi_error *err) {
    for (int p = MEBI_PRECISION_F32; p < MEBI_PRECISION_COUNT; p++) {
        mebi_request r;
        c->params.precision = (mebi_precision)p;
        MEBI_TRY(open_model(c, err));
        if (!c->model.given[MEBI__SET_SIZE]) {
            MEBI_TRY(add_sizes(c, 1, 0, 1, err));
            continue;
        }
        MEBI_TRY(default_request(c, text_of(c, MEBI__SET_SIZE), &r, err));
        MEBI_TRY(add_row(c, &r, 1, err));
    }
    return MEBI_OK;
}

/* ---- profiles ---- */

/* The largest square that can be made; 0 if none. */
static mebi_status largest_square(command *c, mebi_request *r, mebi_error *err) {
    static const int sides[] = {2048, 1536, 1280, 1024, 768, 512, 256};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        mebi_plan plan;
        r->width = r->height = sides[i];
        MEBI_TRY(mebi_plan_request(c->engine, r, &plan, err));
        if (plan.verdict != MEBI_TOO_BIG) return MEBI_OK;
    }
    return MEBI_OK;
}

static mebi_status plan_profiles(command *c, mebi_error *err) {
    static const struct {
        int gigabytes;
        const char *class;
    } machines[] = {{8, "12 GB and less"}, {12, NULL}, {16, "16 to 24 GB"}, {24, NULL},
                    {48, "40 GB and more"}};
    if (!c->rows) {
        printf("%s; times of %s%s\n\n", c->words.model, c->words.machine, c->device ? " (estimates)" : "");
        plan_print_columns();
    }
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        if (!c->rows && machines[i].class)
            printf("\n%s\n", machines[i].class);
        c->params.budget_bytes = (size_t)machines[i].gigabytes * 1000000000;
        if (!c->rows) printf("  %d GB\n", machines[i].gigabytes);
        c->printed = 1;
        for (int p = MEBI_PRECISION_F32; p < MEBI_PRECISION_COUNT; p++) {
            mebi_request native, largest;
            c->params.precision = (mebi_precision)p;
            MEBI_TRY(open_model(c, err));
            MEBI_TRY(default_request(c, "auto", &native, err));
            largest = native;
            MEBI_TRY(add_row(c, &native, 1, err));
            MEBI_TRY(largest_square(c, &largest, err));
            if (largest.width > native.width) MEBI_TRY(add_row(c, &largest, 1, err));
        }
    }
    return MEBI_OK;
}

static int list_devices(void) {
    for (int i = 0; mebi_device_name(i); i++) printf("%s\n", mebi_device_name(i));
    return EXIT_OK;
}

static mebi_status run(command *c, mebi_error *err) {
    MEBI_TRY(resolve(c, err));
    find_words(c);
    MEBI_TRY(prepare(c, err));
    int one = c->model.given[MEBI__SET_SIZE] && !c->every_precision && !c->profiles;
    if (one) return plan_one(c, err);
    if (c->json) c->rows = json_array();
    mebi_status status = c->profiles          ? plan_profiles(c, err)
                         : c->every_precision ? plan_precisions(c, err)
                                              : plan_table(c, 0, err);
    if (c->rows && status == MEBI_OK) {
        json_dumpf(c->rows, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
        putchar('\n');
    }
    return status;
}

int cmd_plan(int argc, char **argv) {
    command c = {0};
    mebi_error err = {0};
    mebi_status status = parse(argc, argv, &c, &err);
    if (status == MEBI_OK && (c.help || c.devices)) return c.devices && !c.help ? list_devices() : EXIT_OK;
    if (status == MEBI_OK) status = run(&c, &err);
    mebi_engine_close(&c.engine);
    json_decref(c.rows);
    model_options_end(&c.model);
    if (status != MEBI_OK) return report_failure(status, &err);
    return c.ran ? EXIT_OK : EXIT_TOO_BIG;
}

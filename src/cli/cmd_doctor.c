/* mebi doctor: whether machine, model and build are in order. Must never leave a file behind that
 * was not asked for. */
#include "base/error.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/doctor_print.h"
#include "cli/interrupt.h"
#include "cli/model_options.h"
#include "cli/options.h"
#include "cli/plain.h"
#include "cli/terminal.h"
#include "mebi/mebi.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    model_options model;
    const char *only, *picture, *keep, *folder;
    int quick, full, json, progress_json, quiet, help;
} arguments;

typedef struct command {
    arguments args;
    terminal terminal;
    int wanted[MEBI__SECTIONS];
    mebi__machine machine;
    mebi__findings found;
    mebi__doctor *doctor;
    mebi_engine *engine;
} command;

enum { OPTIONS = MODEL_OPTIONS + 10 };
static const double most_seconds = 170;
static const double least_cache = 1e9; /* bytes of the disk */

static int list_options(arguments *a, option *o) {
    int count = model_options_list(&a->model, o);
    const option own[] = {
        {0, "quick", OPTION_FLAG, &a->quick, NULL, "10 and 8 steps instead of 40 and 30", 0, 0,
         NULL},
        {0, "full", OPTION_FLAG, &a->full, NULL,
         "all steps at the full size, however long that takes", 0, 0, NULL},
        {0, "only", OPTION_TEXT, &a->only, "LIST",
         "parts of it, with commas: machine, speed, memory, picture", 0, 0, NULL},
        {0, "picture", OPTION_TEXT, &a->picture, "FILE",
         "judge this PNG and nothing else. Colours are judged if the file\nsays that it shows the "
         "check's own prompt",
         0, 0, NULL},
        {0, "keep", OPTION_TEXT, &a->keep, "DIR", "save the check's pictures there", 0, 0, NULL},
        {0, "json", OPTION_FLAG, &a->json, NULL, "print one JSON object", 0, 0, NULL},
        {0, "progress-json", OPTION_FLAG, &a->progress_json, NULL,
         "progress as JSON on standard error, an object a line", 0, 0, NULL},
        {'q', "quiet", OPTION_FLAG, &a->quiet, NULL, "no progress", 0, 0, NULL},
        {'h', "help", OPTION_FLAG, &a->help, NULL, "this text", 0, 0, NULL},
    };
    memcpy(o + count, own, sizeof own);
    return count + (int)(sizeof own / sizeof *own);
}

static void print_help(const option *options, int count) {
    printf(
        "usage: mebi doctor [-m MODEL] [OPTIONS]\n       mebi doctor --picture FILE.png\n\n"
        "Checks in three steps whether machine and model are in order:\n\n"
        "  speed    the prompt " MEBI__DOCTOR_PROMPT " with seed %d and guidance 7.5 at the\n"
        "           model's own size with 40 and with 30 steps, and at three quarters of the "
        "side:\n"
        "           seconds against the plan's and against each other\n"
        "  memory   from the start to the end, against the plan; nothing may stay behind\n"
        "  picture  white background, no blotches or noise, sharp edges, red: with guidance and\n"
        "           at the 8 steps without it that the model's authors advise\n\n"
        "Each line is ok, warn or fail, with what was measured, what was expected and what to do.\n"
        "What would take more than 3 minutes is done with fewer steps, then smaller; --full does\n"
        "all of it.\n\n",
        MEBI__DOCTOR_SEED);
    options_print(stdout, options, count);
    printf("\n  mebi doctor --quick\n"
           "  mebi doctor -m ~/models/Z-Image-Turbo --only machine,picture\n"
           "  mebi doctor --picture outputs/apple.png\n\n"
           "Exit codes: 0 ok, also with warnings; 1 something failed; 2 bad arguments;\n"
           "130 interrupted.\n");
}

static mebi_status read_only(command *c, mebi_error *err) {
    const char *at = c->args.only;
    for (int i = 0; i < MEBI__SECTIONS; i++) c->wanted[i] = !at;
    while (at) {
        size_t length = strcspn(at, ",");
        int i = 0;
        while (i < MEBI__SECTIONS &&
               (strlen(mebi__section_name((mebi__section)i)) != length ||
                strncmp(at, mebi__section_name((mebi__section)i), length) != 0))
            i++;
        if (i == MEBI__SECTIONS)
            return mebi__fail(
                err, MEBI_BAD_ARGUMENT,
                "--only takes machine, speed, memory and picture, with commas between, "
                "not '%.60s'.",
                c->args.only);
        c->wanted[i] = 1;
        at = at[length] ? at + length + 1 : NULL;
    }
    return MEBI_OK;
}

static mebi_status check(const arguments *a, mebi_error *err) {
    if (a->quick && a->full)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "Give --quick or --full, not both.");
    if (a->picture && (a->quick || a->full || a->only || a->keep))
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "--picture judges a file; --quick, --full, --only and --keep belong to a check "
            "with a model.");
    if (a->picture && !*a->picture)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "--picture is given an empty name.");
    if (a->keep && !*a->keep)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "--keep is given an empty name.");
    return MEBI_OK;
}

/* ---- a picture of the user's ---- */

static const char *find_text(const mebi_png_text *texts, int count, const char *keyword) {
    for (int i = 0; i < count; i++)
        if (strcmp(texts[i].keyword, keyword) == 0) return texts[i].text;
    return NULL;
}

/* The guidance that mebi's own entry tells of, else AUTOMATIC1111's text, whose scale is one more;
 * negative: neither does. */
static double guidance_of(const mebi_png_text *texts, int count) {
    const char *own = find_text(texts, count, "mebi"),
               *parameters = find_text(texts, count, "parameters"),
               *scale = parameters ? strstr(parameters, "CFG scale: ") : NULL;
    json_t *o = own ? json_loads(own, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const json_t *cfg = json_object_get(o, "cfg");
    double guidance = -1;
    if (json_is_number(cfg)) guidance = json_number_value(cfg);
    else if (scale) guidance = strtod(scale + 11, NULL) > 1 ? strtod(scale + 11, NULL) - 1 : 0;
    json_decref(o);
    return guidance;
}

/* By what the file says: the check's prompt, with guidance or without; anything else is of unknown
 * prompt. */
static mebi__picture_kind kind_of(const mebi_png_text *texts, int count) {
    const char *parameters = find_text(texts, count, "parameters");
    double guidance = guidance_of(texts, count);
    if (!parameters || guidance < 0 ||
        strncmp(parameters, MEBI__DOCTOR_PROMPT "\n", strlen(MEBI__DOCTOR_PROMPT "\n")) != 0)
        return MEBI__PICTURE_ANY;
    return guidance > 0 ? MEBI__PICTURE_GUIDED : MEBI__PICTURE_AUTHORS;
}

static mebi_status judge_file(command *c, mebi_error *err) {
    const char *path = c->args.picture, *slash = strrchr(path, '/');
    mebi_png_text *texts;
    int width, height, count;
    mebi_image image = {0};
    MEBI_TRY(mebi_png_read_texts(path, &width, &height, &texts, &count, err));
    mebi__picture_kind kind = kind_of(texts, count);
    mebi_png_texts_free(texts);
    MEBI_TRY(mebi_png_load(path, &image, err));
    mebi__judge_picture(&image, kind, slash ? slash + 1 : path, &c->found);
    mebi_image_release(&image);
    return MEBI_OK;
}

/* ---- with a model ---- */

/* As JSON it is that of all runs, whose names on_notice has told. */
static void on_progress(void *context, const mebi_progress *p) {
    command *c = context;
    double left = 0;
    if (c->terminal.json && p->stage != MEBI_STAGE_LOAD) {
        double fraction = mebi__doctor_fraction(c->doctor, p->fraction, &left);
        terminal_tell(&c->terminal, fraction, left, NULL);
    } else terminal_progress(&c->terminal, p);
}

/* Each run begins with one: its progress then starts anew. */
static void on_notice(void *context, const char *text) {
    command *c = context;
    terminal_notice(&c->terminal, text);
    c->terminal.told = 0;
}

/* A model that can't be opened is a finding, not an end. */
static mebi_status open_model(command *c, const mebi_engine_params *params, mebi_error *err) {
    mebi_callbacks callbacks = {
        .context = c, .progress = on_progress, .cancelled = interrupt_came, .notice = on_notice};
    mebi_error own = {0};
    mebi_status status = mebi_engine_open(params, &callbacks, &c->engine, &own);
    if (status == MEBI_OK) return status;
    if (status == MEBI_CANCELLED || status == MEBI_BAD_ARGUMENT)
        return mebi__fail(err, status, "%s", own.text);
    mebi__finding *f = mebi__finding_add(&c->found, MEBI__SECTION_MACHINE, MEBI__FAIL, "model");
    mebi__finding_say(f->measured, "it can't be opened: %s", mebi_status_text(status));
    mebi__finding_say(f->advice, "%s", own.text);
    return MEBI_OK;
}

static mebi_status keep_pictures(const command *c, mebi_error *err) {
    MEBI_TRY(mebi__make_directories(c->args.keep, err));
    for (int i = 0; i < MEBI__RUNS; i++) {
        const mebi__run *r = &c->doctor->run[i];
        char path[4096];
        if (r->state != MEBI__RUN_DONE) continue;
        int length =
            snprintf(path, sizeof path, "%s/doctor_%dx%d_%d_cfg%g.png", c->args.keep,
                     r->request.width, r->request.height, r->request.steps, (double)r->request.cfg);
        if (length < 0 || (size_t)length >= sizeof path)
            return mebi__fail(err, MEBI_BAD_ARGUMENT, "--keep's folder has too long a name.");
        MEBI_TRY(mebi_png_save(path, &r->picture, NULL, 0, NULL, err));
    }
    return MEBI_OK;
}

static void tell_extent(const command *c) {
    const mebi__doctor *d = c->doctor;
    char seconds[24], text[200];
    snprintf(text, sizeof text, "about %s%s%s",
             seconds_text(d->seconds_planned, seconds, sizeof seconds),
             d->scaled ? "; less than the whole check, which --full does" : "",
             d->sparing ? ", and still longer than it should take" : "");
    on_notice((command *)(uintptr_t)c, text);
}

static mebi_status do_runs(command *c, mebi_error *err) {
    mebi__doctor *d = c->doctor;
    d->how = (mebi__doctor_how){.quick = c->args.quick,
                                .full = c->args.full,
                                .speed = c->wanted[MEBI__SECTION_SPEED],
                                .memory = c->wanted[MEBI__SECTION_MEMORY],
                                .pictures = c->wanted[MEBI__SECTION_PICTURE],
                                .most_seconds = most_seconds};
    MEBI_TRY(mebi__doctor_plan(d, err));
    if (d->how.speed) mebi__facts_rates(&d->run[MEBI__RUN_FIRST].plan, &c->found);
    tell_extent(c);
    MEBI_TRY(mebi__doctor_run(d, err));
    terminal_clear(&c->terminal);
    if (d->how.speed) mebi__judge_time(d, &c->machine, &c->found);
    if (d->how.memory) mebi__judge_memory(d, &c->found);
    if (d->how.pictures) mebi__judge_pictures(d, &c->found);
    return c->args.keep ? keep_pictures(c, err) : MEBI_OK;
}

static mebi_status check_model(command *c, mebi_error *err) {
    mebi_engine_params params;
    mebi__doctor *d = c->doctor = mebi__doctor_create(err);
    if (!d) return MEBI_NO_MEMORY;
    d->start_bytes = mebi__memory_own();
    MEBI_TRY(model_options_resolve(&c->args.model, &params, err));
    mebi__machine_read(&c->machine);
    mebi__facts_machine(&c->machine, &c->found);
    mebi__facts_cache(params.cache, least_cache, &c->found);
    mebi__facts_output(c->args.keep
                           ? c->args.keep
                           : mebi__config_text(&c->args.model.config, MEBI__SET_OUTPUT_DIR),
                       &c->found);
    int runs = c->wanted[MEBI__SECTION_SPEED] || c->wanted[MEBI__SECTION_MEMORY] ||
               c->wanted[MEBI__SECTION_PICTURE];
    params.calibrate = c->wanted[MEBI__SECTION_SPEED];
    MEBI_TRY(open_model(c, &params, err));
    if (!c->engine) return MEBI_OK;
    d->engine = c->engine;
    d->info = mebi_engine_describe(c->engine);
    mebi__facts_engine(&c->machine, &d->info, &c->found);
    d->user = (mebi_callbacks){
        .context = c, .progress = on_progress, .cancelled = interrupt_came, .notice = on_notice};
    return runs ? do_runs(c, err) : MEBI_OK;
}

/* ---- the end ---- */

static void print_found(const command *c) {
    paper p = paper_of_output();
    if (c->args.json) {
        doctor_print_json(c->args.picture ? NULL : &c->machine, c->doctor, &c->found);
        return;
    }
    for (int i = 0; i < MEBI__SECTIONS; i++) {
        doctor_print_section(&p, (mebi__section)i, &c->found);
        if (i == MEBI__SECTION_MEMORY && c->wanted[i] && c->doctor)
            doctor_print_curve(&p, c->doctor);
    }
    doctor_print_verdict(&p, &c->found);
}

static int run(command *c) {
    mebi_error err = {0};
    mebi_status status = check(&c->args, &err);
    if (status == MEBI_OK) status = read_only(c, &err);
    if (status == MEBI_OK && c->args.picture) status = judge_file(c, &err);
    else if (status == MEBI_OK) status = check_model(c, &err);
    terminal_clear(&c->terminal);
    /* What was found before a failure is worth telling too. */
    if (c->found.count && status != MEBI_CANCELLED && status != MEBI_BAD_ARGUMENT) print_found(c);
    if (status == MEBI_CANCELLED) {
        fputs("mebi: Interrupted.\n", stderr);
        return 128 + interrupt_number();
    }
    if (status != MEBI_OK) return report_failure(status, &err);
    return mebi__findings_worst(&c->found, MEBI__SECTIONS) == MEBI__FAIL ? EXIT_FAILED : EXIT_OK;
}

int cmd_doctor(int argc, char **argv) {
    static command c; /* too large for a stack that others may have made small */
    option options[OPTIONS];
    int rest;
    mebi_error err = {0};
    c = (command){0};
    int count = list_options(&c.args, options);
    mebi_status status = options_parse(options, count, argc, argv, NULL, 0, &rest, &err);
    if (status != MEBI_OK) return report_failure(status, &err);
    if (c.args.help) {
        print_help(options, count);
        return EXIT_OK;
    }
    interrupt_watch();
    c.terminal = terminal_open(c.args.quiet);
    c.terminal.json = c.args.progress_json;
    int code = run(&c);
    mebi__doctor_destroy(&c.doctor);
    mebi_engine_close(&c.engine);
    model_options_end(&c.args.model);
    return code;
}

/* mebi generate: from the command line to files. Must never lose a finished picture. */
#include "base/error.h"
#include "base/memory.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/draft.h"
#include "cli/generate_print.h"
#include "cli/interrupt.h"
#include "image/metadata.h"
#include "cli/model_options.h"
#include "cli/output.h"
#include "cli/plain.h"
#include "cli/prompt.h"
#include "cli/size.h"
#include "cli/terminal.h"
#include "config/value.h"
#include "mebi/mebi.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The command line, as given; the rest is in model_options. */
typedef struct arguments {
    const char *prompt, *negative, *output, *draft, *from_draft;
    int64_t width, height;
    int json, quiet, help;
    int width_given, height_given;
} arguments;

/* A job under way, for the callbacks. */
typedef struct command {
    arguments args;
    model_options model;
    draft source; /* of --from-draft; freed at the end */
    mebi_engine_params params;
    mebi_request request;
    terminal terminal;
    mebi__metadata about;
    char pattern[PATH_BYTES];
    char *prompt, *negative; /* read from stdin; freed at the end */
    naming_facts facts;
    mebi_callbacks callbacks;
    json_t *images; /* those saved */
    int elsewhere;  /* how many of them are not where they were wanted */
} command;

static int print_usage(const option *options, int count) {
    printf("usage: mebi generate [-m MODEL] -p PROMPT [OPTIONS]\n\n"
           "Makes pictures from a prompt (Chinese, English) and saves them as PNG.\n\n");
    options_print(stdout, options, count);
    printf(
        "\nThe model's authors advise 8 steps without guidance; more steps and guidance cost time\n"
        "(guidance doubles it). What is not given comes from the environment and config.yaml:\n"
        "`mebi config` shows it. The environment's MEBI_CPU=ref, avx2 or avx512 limits the\n"
        "instructions used.\n\nExit codes: 0 done, 1 failed, 2 bad arguments, 3 does not fit into "
        "memory, 130 interrupted\n(Ctrl-C; finished pictures are kept), 143 ended by SIGTERM.\n");
    return EXIT_OK;
}

/* Copies options behind those that are there. */
#define ADD(all, count, ...)                                                                       \
    do {                                                                                           \
        const option more_[] = {__VA_ARGS__};                                                      \
        memcpy((all) + (count), more_, sizeof more_);                                              \
        (count) += (int)(sizeof more_ / sizeof *more_);                                            \
    } while (0)

enum { OPTIONS = 40 };

/* What and where; returns how many. */
static int picture_options(command *c, option *out) {
    arguments *a = &c->args;
    int count = 0;
    ADD(out, count,
        {'p', "prompt", OPTION_TEXT, &a->prompt, "TEXT",
         "what to draw; - reads it from standard input", 0, 0, NULL},
        {'n', "negative", OPTION_TEXT, &a->negative, "TEXT",
         "what to keep out; works only with --cfg above 0", 0, 0, NULL});
    out[count++] = setting_option(&c->model, MEBI__SET_SIZE);
    ADD(out, count,
        {'W', "width", OPTION_INTEGER, &a->width, "PIXELS",
         "a multiple of 16; default: the model's own", 1, 16384, &a->width_given},
        {'H', "height", OPTION_INTEGER, &a->height, "PIXELS", "the same", 1, 16384,
         &a->height_given});
    for (int id = MEBI__SET_STEPS; id <= MEBI__SET_COUNT; id++)
        out[count++] = setting_option(&c->model, (mebi__setting_id)id);
    ADD(out, count,
        {'o', "output", OPTION_TEXT, &a->output, "FILE",
         "where to save; %seed, %i (1, 2, ...), %date, %time, %size, %steps,\n"
         "%cfg and %model are replaced, %% is %. Never overwrites.\n"
         "default: outputs/mebi_%date%time_%seed.png",
         0, 0, NULL},
        {0, "draft", OPTION_MAYBE, &a->draft, "N",
         "a quick preview, N (2 to 8, default 2) times smaller on each\nside than the size says", 0,
         0, NULL},
        {0, "from-draft", OPTION_TEXT, &a->from_draft, "FILE",
         "the large picture of a draft, with all that its PNG says;\nother options change it", 0, 0,
         NULL});
    return count;
}

static mebi_status parse(int argc, char **argv, command *c, int *shown, mebi_error *err) {
    arguments *a = &c->args;
    option options[OPTIONS];
    int count = picture_options(c, options), rest;
    count += model_options_list(&c->model, options + count);
    options[count++] = setting_option(&c->model, MEBI__SET_DECODE);
    ADD(options, count,
        {0, "json", OPTION_FLAG, &a->json, NULL,
         "print one JSON object about the result on standard output", 0, 0, NULL},
        {'q', "quiet", OPTION_FLAG, &a->quiet, NULL, "no progress; only the result and errors", 0,
         0, NULL},
        {'h', "help", OPTION_FLAG, &a->help, NULL, "this text", 0, 0, NULL});
    MEBI_TRY(options_parse(options, count, argc, argv, NULL, 0, &rest, err));
    *shown = a->help;
    if (a->help) print_usage(options, count);
    return MEBI_OK;
}

/* ---- settings in effect ---- */

static int64_t integer(const command *c, mebi__setting_id id) {
    return mebi__config_integer(&c->model.config, id);
}

static double number(const command *c, mebi__setting_id id) {
    return mebi__config_number(&c->model.config, id);
}

/* ---- prompts ---- */

static mebi_status read_prompts(command *c, mebi_error *err) {
    arguments *a = &c->args;
    if (!a->prompt && !c->source.prompt)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "There is no prompt. Say what to draw: -p \"a red apple on a white "
                          "background\".");
    int from_input = a->prompt && strcmp(a->prompt, "-") == 0;
    if (from_input && a->negative && strcmp(a->negative, "-") == 0)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "Only one of prompt and negative prompt can come from standard input.");
    if (a->prompt) MEBI_TRY(prompt_read("prompt", &a->prompt, &c->prompt, interrupt_came, err));
    if (a->negative)
        MEBI_TRY(prompt_read("negative prompt", &a->negative, &c->negative, interrupt_came, err));
    /* A draft's are what was read then: a - is no more than that. */
    if (!a->prompt) a->prompt = c->source.prompt;
    if (!a->negative) a->negative = c->source.negative;
    if (a->negative && *a->negative && number(c, MEBI__SET_CFG) == 0 && !a->quiet)
        fprintf(stderr, "mebi: the negative prompt has no effect without guidance (--cfg).\n");
    return MEBI_OK;
}

/* ---- the request ---- */

/* 0: no draft is wanted. */
static mebi_status read_draft_factor(const arguments *a, int *factor, mebi_error *err) {
    int64_t n = 2;
    if (a->draft && a->from_draft)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "Give either --draft or --from-draft.");
    if (a->draft && *a->draft) MEBI_TRY(mebi__integer_read("--draft", a->draft, 2, 8, &n, err));
    *factor = a->draft ? (int)n : 0;
    return MEBI_OK;
}

/* What can be said of the size without the model. */
static mebi_status check_size(const command *c, mebi_error *err) {
    const arguments *a = &c->args;
    if (c->model.given[MEBI__SET_SIZE] && (a->width_given || a->height_given))
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "Give either --size or --width and --height.");
    return MEBI_OK;
}

static mebi_status choose_size(const command *c, const mebi_engine_info *info, mebi_request *r,
                               mebi_error *err) {
    const char *size = mebi__config_text(&c->model.config, MEBI__SET_SIZE);
    int multiple = info->size_multiple * (r->draft ? r->draft : 1);
    if (strcmp(size, "auto") != 0)
        MEBI_TRY(size_parse(size, info->native_side, multiple, &r->width, &r->height, err));
    if (c->args.width_given) r->width = (int)c->args.width;
    if (c->args.height_given) r->height = (int)c->args.height;
    return MEBI_OK;
}

static mebi_status make_request(command *c, const mebi_engine *engine, mebi_error *err) {
    mebi_engine_info info = mebi_engine_describe(engine);
    mebi_request *r = &c->request;
    *r = mebi_request_default(engine);
    r->prompt = c->args.prompt;
    r->negative_prompt = c->args.negative;
    r->steps = (int)integer(c, MEBI__SET_STEPS);
    r->cfg = (float)number(c, MEBI__SET_CFG);
    r->cfg_truncation = (float)number(c, MEBI__SET_CFG_TRUNCATION);
    r->cfg_normalization = (float)number(c, MEBI__SET_CFG_NORMALIZATION);
    r->seed = integer(c, MEBI__SET_SEED);
    r->count = (int)integer(c, MEBI__SET_COUNT);
    /* The schema has words in the enumeration's order. */
    r->decode = (mebi_decode_way)mebi__config_word(&c->model.config, MEBI__SET_DECODE);
    MEBI_TRY(read_draft_factor(&c->args, &r->draft, err));
    return choose_size(c, &info, r, err);
}

/* ---- output ---- */

/* A picture's line on standard output, or its entry in the JSON object. */
static void tell_image(command *c, const char *path, int64_t seed, const mebi_image *image) {
    static char text[3 * PATH_BYTES];
    json_array_append_new(c->images,
                          json_pack("{s:s, s:I, s:i, s:i}", "path",
                                    plain_utf8(path, text, sizeof text), "seed", (json_int_t)seed,
                                    "width", image->width, "height", image->height));
    if (c->args.json) return;
    terminal_clear(&c->terminal);
    printf("%s  %dx%d  seed %" PRId64 "\n", path, image->width, image->height, seed);
    fflush(stdout);
}

static mebi_status on_image(void *context, int index, int64_t seed, const mebi_image *image,
                            mebi_error *err) {
    command *c = context;
    char path[PATH_BYTES];
    mebi_error trouble = {0};
    naming_facts *facts = &c->facts;
    facts->seed = seed, facts->i = index + 1;
    facts->width = c->about.width = image->width;
    facts->height = c->about.height = image->height;
    char *parameters = mebi__metadata_parameters(&c->about, seed), *json = mebi__metadata_json(&c->about, seed);
    /* Without words the picture is still a picture. */
    mebi_png_text texts[] = {{"parameters", parameters ? parameters : ""},
                             {"mebi", json ? json : ""}};
    mebi_status status = output_save(c->pattern, facts, image, texts, 2, path, &trouble, err);
    free(parameters);
    free(json);
    if (status != MEBI_OK) return status;
    tell_image(c, path, seed, image);
    if (trouble.status != MEBI_OK) {
        terminal_clear(&c->terminal);
        report_failure(trouble.status, &trouble);
        fprintf(stderr, "mebi: The picture was kept as %s instead.\n", path);
        c->elsewhere++;
    }
    return MEBI_OK;
}

static void on_progress(void *context, const mebi_progress *progress) {
    terminal_progress(&((command *)context)->terminal, progress);
}

static void on_notice(void *context, const char *text) {
    command *c = context;
    if (c->args.quiet) return;
    terminal_clear(&c->terminal);
    fprintf(stderr, "mebi: %s\n", text);
}

/* ---- the job ---- */

static void tell(const command *c, const char *text) {
    if (!c->args.quiet) fprintf(stderr, "mebi: %s\n", text);
}

static mebi_status open_model(command *c, mebi_engine **engine, mebi_error *err) {
    MEBI_TRY(mebi_engine_open(&c->params, &c->callbacks, engine, err));
    mebi_engine_info info = mebi_engine_describe(*engine);
    terminal_clear(&c->terminal);
    if (*info.unused_tensors && !c->args.quiet) {
        fputs("mebi: the model's files hold tensors that are not used: ", stderr);
        plain_print(stderr, info.unused_tensors);
        fputc('\n', stderr);
    }
    if (c->source.model_hash && strcmp(c->source.model_hash, info.model_hash) != 0)
        tell(c, "the draft was made with another model; the picture will be another one, too.");
    return MEBI_OK;
}

static mebi_status make_pictures(command *c, mebi_engine *engine, double began, mebi_error *err) {
    mebi_report report = {0};
    MEBI_TRY(make_request(c, engine, err));
    c->about = (mebi__metadata){.request = &c->request,
                          .model = model_options_name(&c->params),
                          .model_hash = mebi_engine_describe(engine).model_hash};
    mebi_status status = mebi_generate(engine, &c->request, &c->callbacks, &report, err);
    double total = mebi__now_seconds() - began;
    terminal_clear(&c->terminal);
    if (c->args.json && (status == MEBI_OK || json_array_size(c->images)))
        generate_print_json(c->images, &report, total);
    else if (!c->args.json && status == MEBI_OK && !c->args.quiet)
        generate_print_summary(&report, total);
    return status;
}

/* Before the model is opened, which may take long. */
static mebi_status choose_output(command *c, mebi_error *err) {
    const mebi__config *config = &c->model.config;
    char named[PATH_BYTES];
    int count = (int)integer(c, MEBI__SET_COUNT);
    c->facts = (naming_facts){.seed = integer(c, MEBI__SET_SEED),
                              .steps = (int)integer(c, MEBI__SET_STEPS),
                              .cfg = number(c, MEBI__SET_CFG),
                              .model = model_options_name(&c->params)};
    if (c->args.output) return output_choose(c->args.output, &c->facts, count, c->pattern, err);
    MEBI_TRY(naming_join(mebi__config_text(config, MEBI__SET_OUTPUT_DIR),
                         mebi__config_text(config, MEBI__SET_OUTPUT_NAMING), named, sizeof named,
                         err));
    return output_choose(named, &c->facts, count, c->pattern, err);
}

/* All that can be known to be wrong before the model is opened. */
static mebi_status prepare(command *c, mebi_error *err) {
    int factor;
    MEBI_TRY(model_options_resolve(&c->model, &c->params, err));
    MEBI_TRY(read_draft_factor(&c->args, &factor, err));
    if (c->args.from_draft)
        MEBI_TRY(draft_read(c->args.from_draft, &c->model.config, &c->source, err));
    if (model_options_notice(&c->model)) tell(c, model_options_notice(&c->model));
    MEBI_TRY(check_size(c, err));
    MEBI_TRY(choose_output(c, err));
    return read_prompts(c, err);
}

static mebi_status run(command *c, mebi_error *err) {
    MEBI_TRY(prepare(c, err));
    double began = mebi__now_seconds();
    mebi_engine *engine = NULL;
    mebi_status status = open_model(c, &engine, err);
    if (status == MEBI_OK) status = make_pictures(c, engine, began, err);
    mebi_engine_close(&engine);
    if (status == MEBI_OK && c->elsewhere)
        return mebi__fail(err, MEBI_IO, "%d of the pictures could not be saved where asked.",
                          c->elsewhere);
    return status;
}

/* ---- the end ---- */

static void tell_kept(const command *c) {
    size_t kept = json_array_size(c->images), i;
    json_t *image;
    if (kept == 0) fputs("mebi: No picture was finished.\n", stderr);
    else fprintf(stderr, "mebi: %zu of %d pictures finished and kept:\n", kept, c->request.count);
    json_array_foreach(c->images, i, image)
        fprintf(stderr, "  %s\n", json_string_value(json_object_get(image, "path")));
}

/* The exit code, after everything has been said. */
static int conclude(const command *c, mebi_status status, mebi_error *err) {
    int lost = fflush(stdout) != 0 || ferror(stdout);
    if (lost && status == MEBI_OK)
        status = mebi__fail(err, MEBI_IO, "Standard output can't be written.");
    if (status == MEBI_OK) return EXIT_OK;
    if (status == MEBI_CANCELLED) fputs("mebi: Interrupted.\n", stderr);
    else report_failure(status, err);
    if (status == MEBI_CANCELLED || lost || json_array_size(c->images)) tell_kept(c);
    return status == MEBI_CANCELLED ? 128 + interrupt_number() : exit_code(status);
}

int cmd_generate(int argc, char **argv) {
    static command c; /* too large for a stack that others may have made small */
    c = (command){.elsewhere = 0};
    mebi_error err = {0};
    int shown = 0;
    mebi_status status = parse(argc, argv, &c, &shown, &err);
    if (shown) return EXIT_OK;
    if (status != MEBI_OK) return report_failure(status, &err);
    interrupt_watch();
    c.terminal = terminal_open(c.args.quiet);
    c.images = json_array();
    c.callbacks = (mebi_callbacks){.context = &c,
                                   .progress = on_progress,
                                   .image = on_image,
                                   .cancelled = interrupt_came,
                                   .notice = on_notice};
    status = run(&c, &err);
    terminal_clear(&c.terminal);
    int code = conclude(&c, status, &err);
    json_decref(c.images);
    mebi__free(c.prompt);
    mebi__free(c.negative);
    draft_free(&c.source);
    model_options_end(&c.model);
    return code;
}

/* mebi generate: from the command line to files. Must never lose a finished picture. */
#include "base/error.h"
#include "base/memory.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/metadata.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/plain.h"
#include "cli/prompt.h"
#include "cli/size.h"
#include "cli/terminal.h"
#include "mebi/mebi.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The command line, as given. */
typedef struct arguments {
    const char *model, *diffusion_model, *text_encoder, *vae, *tokenizer;
    const char *prompt, *negative, *size, *output;
    int64_t width, height, steps, seed, count, threads;
    double cfg, truncation, normalization;
    const char *precision_name;
    mebi_precision precision;
    int json, quiet, help;
    int width_given, height_given, size_given, steps_given;
} arguments;

/* A job under way, for the callbacks. */
typedef struct command {
    arguments args;
    terminal terminal;
    metadata about;
    char pattern[PATH_BYTES];
    char *prompt, *negative; /* read from stdin; freed at the end */
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
        "(guidance doubles it). The environment's MEBI_CPU=ref, avx2 or avx512 limits the\n"
        "instructions used.\n\nExit codes: 0 done, 1 failed, 2 bad arguments, 3 does not fit into "
        "memory, 130 interrupted\n(Ctrl-C; finished pictures are kept), 143 ended by SIGTERM.\n");
    return EXIT_OK;
}

static mebi_status parse(int argc, char **argv, arguments *a, int *shown, mebi_error *err) {
    const option options[] = {
        {'m', "model", OPTION_TEXT, &a->model, "DIR",
         "model folder (diffusers layout); default: the environment's\nMEBI_MODEL, else "
         "models/mini",
         0, 0, NULL},
        {0, "diffusion-model", OPTION_TEXT, &a->diffusion_model, "FILE",
         "one part from a .safetensors or .gguf file, or a folder, of its own", 0, 0, NULL},
        {0, "text-encoder", OPTION_TEXT, &a->text_encoder, "FILE", "the same", 0, 0, NULL},
        {0, "vae", OPTION_TEXT, &a->vae, "FILE", "the same", 0, 0, NULL},
        {0, "tokenizer", OPTION_TEXT, &a->tokenizer, "DIR",
         "the same: a folder or a tokenizer.json;\nof a text encoder in GGUF: its own", 0, 0, NULL},
        {'p', "prompt", OPTION_TEXT, &a->prompt, "TEXT",
         "what to draw; - reads it from standard input", 0, 0, NULL},
        {'n', "negative", OPTION_TEXT, &a->negative, "TEXT",
         "what to keep out; works only with --cfg above 0", 0, 0, NULL},
        {0, "size", OPTION_TEXT, &a->size, "SIZE",
         "1024x768, 1024 (square), or a shape: 16:9, 9:16, 4:3, ...\ndefault: the model's own size",
         0, 0, &a->size_given},
        {'W', "width", OPTION_INTEGER, &a->width, "PIXELS",
         "a multiple of 16; default: the model's own", 1, 16384, &a->width_given},
        {'H', "height", OPTION_INTEGER, &a->height, "PIXELS", "the same", 1, 16384,
         &a->height_given},
        {0, "steps", OPTION_INTEGER, &a->steps, "N",
         "passes through the model, 1 to 120; default 8", 1, 120, &a->steps_given},
        {0, "cfg", OPTION_NUMBER, &a->cfg, "SCALE", "guidance, 0 (none, the default) to 100", 0,
         100, NULL},
        {0, "cfg-truncation", OPTION_NUMBER, &a->truncation, "T",
         "no guidance in the part of the way beyond T, 0 to 1; default 1", 0, 1, NULL},
        {0, "cfg-normalization", OPTION_NUMBER, &a->normalization, "F",
         "guided velocity at most F times as long as without;\ndefault 0: no limit", 0, 1000, NULL},
        {0, "seed", OPTION_INTEGER, &a->seed, "N",
         "the same seed gives the same picture; default -1: random", -1, 9007199254740992.0, NULL},
        {0, "count", OPTION_INTEGER, &a->count, "N",
         "pictures, 1 to 64, with the seeds seed, seed + 1, ...; default 1", 1, 64, NULL},
        {'o', "output", OPTION_TEXT, &a->output, "FILE",
         "where to save; %seed and %i (1, 2, ...) are replaced, %% is %.\n"
         "Never overwrites. default: outputs/mebi_YYYYMMDDHHMMSS_%seed.png",
         0, 0, NULL},
        {0, "threads", OPTION_INTEGER, &a->threads, "N",
         "1 to 256; default: one for each physical core", 1, 256, NULL},
        {0, "precision", OPTION_TEXT, &a->precision_name, "TYPE",
         "auto, f32, bf16 or int8: of the large matrix products.\n"
         "int8 is about twice as fast, at an error near 2 %; default auto:\n"
         "int8 for models of over half a billion weights, else f32",
         0, 0, NULL},
        {0, "json", OPTION_FLAG, &a->json, NULL,
         "print one JSON object about the result on standard output", 0, 0, NULL},
        {'q', "quiet", OPTION_FLAG, &a->quiet, NULL, "no progress; only the result and errors", 0,
         0, NULL},
        {'h', "help", OPTION_FLAG, &a->help, NULL, "this text", 0, 0, NULL},
    };
    const int count = sizeof options / sizeof *options;
    int rest;
    MEBI_TRY(options_parse(options, count, argc, argv, NULL, 0, &rest, err));
    *shown = a->help;
    if (a->help) print_usage(options, count);
    return MEBI_OK;
}

/* ---- prompts ---- */

static mebi_status read_prompts(command *c, mebi_error *err) {
    arguments *a = &c->args;
    if (!a->prompt)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "There is no prompt. Say what to draw: -p \"a red apple on a white "
                          "background\".");
    int from_input = strcmp(a->prompt, "-") == 0;
    if (from_input && a->negative && strcmp(a->negative, "-") == 0)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "Only one of prompt and negative prompt can come from standard input.");
    MEBI_TRY(prompt_read("prompt", &a->prompt, &c->prompt, interrupt_came, err));
    if (a->negative)
        MEBI_TRY(prompt_read("negative prompt", &a->negative, &c->negative, interrupt_came, err));
    if (a->negative && *a->negative && a->cfg == 0 && !a->quiet)
        fprintf(stderr, "mebi: the negative prompt has no effect without guidance (--cfg).\n");
    return MEBI_OK;
}

/* ---- the request ---- */

/* What can be said of the size without the model. */
static mebi_status check_size(const arguments *a, mebi_error *err) {
    int width, height;
    if (!a->size_given) return MEBI_OK;
    if (a->width_given || a->height_given)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "Give either --size or --width and --height.");
    return size_parse(a->size, 1024, 16, &width, &height, err);
}

static mebi_status choose_size(const arguments *a, const mebi_engine_info *info, mebi_request *r,
                               mebi_error *err) {
    if (a->size_given)
        return size_parse(a->size, info->native_side, info->size_multiple, &r->width, &r->height,
                          err);
    if (a->width_given) r->width = (int)a->width;
    if (a->height_given) r->height = (int)a->height;
    return MEBI_OK;
}

static mebi_status make_request(const arguments *a, const mebi_engine *engine, mebi_request *r,
                                mebi_error *err) {
    mebi_engine_info info = mebi_engine_describe(engine);
    *r = mebi_request_default(engine);
    r->prompt = a->prompt;
    r->negative_prompt = a->negative;
    if (a->steps_given) r->steps = (int)a->steps;
    r->cfg = (float)a->cfg;
    r->cfg_truncation = (float)a->truncation;
    r->cfg_normalization = (float)a->normalization;
    r->seed = a->seed;
    r->count = (int)a->count;
    return choose_size(a, &info, r, err);
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
    char *parameters = metadata_parameters(&c->about, seed), *json = metadata_json(&c->about, seed);
    /* Without words the picture is still a picture. */
    mebi_png_text texts[] = {{"parameters", parameters ? parameters : ""},
                             {"mebi", json ? json : ""}};
    mebi_status status =
        output_save(c->pattern, seed, index + 1, image, texts, 2, path, &trouble, err);
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

static void print_summary(const mebi_report *r, double total) {
    char t[5][24], b[2][24];
    printf("%s: load %s, encode %s, denoise %s, decode %s; peak memory %s (planned %s)\n",
           seconds_text(total, t[0], sizeof t[0]),
           seconds_text(r->seconds[MEBI_STAGE_LOAD], t[1], sizeof t[1]),
           seconds_text(r->seconds[MEBI_STAGE_ENCODE], t[2], sizeof t[2]),
           seconds_text(r->seconds[MEBI_STAGE_STEP], t[3], sizeof t[3]),
           seconds_text(r->seconds[MEBI_STAGE_DECODE], t[4], sizeof t[4]),
           bytes_text((double)r->peak_bytes, b[0], sizeof b[0]),
           bytes_text((double)r->plan.peak_bytes, b[1], sizeof b[1]));
}

static void print_json(command *c, const mebi_report *r, double total) {
    json_t *o = json_pack(
        "{s:O, s:{s:f, s:f, s:f, s:f, s:f, s:f}, s:I, s:I}", "images", c->images, "seconds", "load",
        r->seconds[MEBI_STAGE_LOAD], "encode", r->seconds[MEBI_STAGE_ENCODE], "denoise",
        r->seconds[MEBI_STAGE_STEP], "decode", r->seconds[MEBI_STAGE_DECODE], "save",
        r->seconds[MEBI_STAGE_SAVE], "total", total, "peak_bytes", (json_int_t)r->peak_bytes,
        "planned_bytes", (json_int_t)r->plan.peak_bytes);
    if (o) json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(o);
}

/* The last component of the model's folder or file: a name for people. */
static const char *model_name(const arguments *a) {
    static char name[256];
    const char *path = a->diffusion_model ? a->diffusion_model : a->model ? a->model : "unknown";
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    size_t from = length;
    while (from > 0 && path[from - 1] != '/') from--;
    char own[200];
    snprintf(own, sizeof own, "%.*s", (int)(length - from), path + from);
    return plain_utf8(own, name, sizeof name);
}

static const char *default_model(void) {
    const char *named = getenv("MEBI_MODEL");
    if (named && *named) return named;
    return mebi__is_directory("models/mini") ? "models/mini" : MEBI_DATADIR "/models/mini";
}

static mebi_status read_precision(const char *text, mebi_precision *out, mebi_error *err) {
    *out = MEBI_PRECISION_AUTO;
    if (!text) return MEBI_OK;
    for (int i = 0; i < MEBI_PRECISION_COUNT; i++)
        if (strcmp(text, mebi_precision_name((mebi_precision)i)) == 0) {
            *out = (mebi_precision)i;
            return MEBI_OK;
        }
    return mebi__fail(err, MEBI_BAD_ARGUMENT, "--precision takes auto, f32, bf16 or int8, not '%.60s'.",
                      text);
}

/* ---- the job ---- */

static mebi_status open_model(command *c, mebi_engine **engine, mebi_error *err) {
    arguments *a = &c->args;
    int all_parts = a->diffusion_model && a->text_encoder && a->vae;
    if (!a->model && !all_parts) a->model = default_model();
    mebi_engine_params params = mebi_engine_params_default();
    params.model = a->model;
    params.diffusion_model = a->diffusion_model;
    params.text_encoder = a->text_encoder;
    params.vae = a->vae;
    params.tokenizer = a->tokenizer;
    params.threads = (int)a->threads;
    params.precision = a->precision;
    MEBI_TRY(mebi_engine_open(&params, &c->callbacks, engine, err));
    mebi_engine_info info = mebi_engine_describe(*engine);
    if (*info.unused_tensors && !a->quiet) {
        terminal_clear(&c->terminal);
        fputs("mebi: the model's files hold tensors that are not used: ", stderr);
        plain_print(stderr, info.unused_tensors);
        fputc('\n', stderr);
    }
    return MEBI_OK;
}

static mebi_status make_pictures(command *c, mebi_engine *engine, double began, mebi_error *err) {
    mebi_request request;
    mebi_report report = {0};
    MEBI_TRY(make_request(&c->args, engine, &request, err));
    c->about = (metadata){.request = &request,
                          .model = model_name(&c->args),
                          .model_hash = mebi_engine_describe(engine).model_hash};
    mebi_status status = mebi_generate(engine, &request, &c->callbacks, &report, err);
    double total = mebi__now_seconds() - began;
    terminal_clear(&c->terminal);
    if (c->args.json && (status == MEBI_OK || json_array_size(c->images)))
        print_json(c, &report, total);
    else if (!c->args.json && status == MEBI_OK && !c->args.quiet) print_summary(&report, total);
    return status;
}

/* An empty name is mostly a script's unset variable. */
static mebi_status check_paths(const arguments *a, mebi_error *err) {
    const char *const path[] = {a->model, a->diffusion_model, a->text_encoder, a->vae,
                                a->tokenizer};
    const char *const name[] = {"model", "diffusion-model", "text-encoder", "vae", "tokenizer"};
    for (size_t i = 0; i < sizeof path / sizeof *path; i++)
        if (path[i] && !*path[i])
            return mebi__fail(err, MEBI_BAD_ARGUMENT, "--%s is given an empty name.", name[i]);
    return MEBI_OK;
}

static mebi_status run(command *c, mebi_error *err) {
    const arguments *a = &c->args;
    MEBI_TRY(read_precision(a->precision_name, &c->args.precision, err));
    MEBI_TRY(check_paths(a, err));
    MEBI_TRY(check_size(a, err));
    MEBI_TRY(output_choose(a->output, a->seed, (int)a->count, c->pattern, err));
    MEBI_TRY(read_prompts(c, err));
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
    else fprintf(stderr, "mebi: %zu of %d pictures finished and kept:\n", kept, (int)c->args.count);
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
    c = (command){.args = {.seed = -1, .count = 1, .truncation = 1}};
    mebi_error err = {0};
    int shown = 0;
    mebi_status status = parse(argc, argv, &c.args, &shown, &err);
    if (shown) return EXIT_OK;
    if (status != MEBI_OK) return report_failure(status, &err);
    interrupt_watch();
    c.terminal = terminal_open(c.args.quiet);
    c.images = json_array();
    c.callbacks = (mebi_callbacks){
        .context = &c, .progress = on_progress, .image = on_image, .cancelled = interrupt_came,
        .notice = on_notice};
    status = run(&c, &err);
    terminal_clear(&c.terminal);
    int code = conclude(&c, status, &err);
    json_decref(c.images);
    mebi__free(c.prompt);
    mebi__free(c.negative);
    return code;
}

/* mebi generate: from the command line to files. Must never lose a finished picture. */
#include "base/error.h"
#include "base/memory.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/metadata.h"
#include "cli/naming.h"
#include "cli/options.h"
#include "cli/size.h"
#include "cli/terminal.h"
#include "mebi/mebi.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROMPT_BYTES = 1 << 20, PATH_BYTES = 4096 };

/* The command line, as given. */
typedef struct arguments {
    const char *model, *diffusion_model, *text_encoder, *vae, *tokenizer;
    const char *prompt, *negative, *size, *output;
    int64_t width, height, steps, seed, count, threads;
    double cfg, truncation, normalization;
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
    json_t *images;
} command;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
    interrupted = 1;
    signal(number, SIG_DFL); /* the second one ends at once */
}

static int is_interrupted(void *context) {
    (void)context;
    return interrupted != 0;
}

static int print_usage(const option *options, int count) {
    printf("usage: mebi generate [-m MODEL] -p PROMPT [OPTIONS]\n\n"
           "Makes pictures from a prompt (Chinese, English) and saves them as PNG.\n\n");
    options_print(stdout, options, count);
    printf("\nThe model's authors advise 8 steps without guidance; more steps and guidance cost time\n"
           "(guidance doubles it). Exit codes: 0 done, 1 failed, 2 bad arguments, 3 does not fit\n"
           "into memory, 130 interrupted.\n");
    return EXIT_OK;
}

static mebi_status parse(int argc, char **argv, arguments *a, int *shown, mebi_error *err) {
    const option options[] = {
        {'m', "model", OPTION_TEXT, &a->model, "DIR",
         "model folder (diffusers layout); default: the environment's\nMEBI_MODEL, else models/mini", 0, 0, NULL},
        {0, "diffusion-model", OPTION_TEXT, &a->diffusion_model, "FILE",
         "a single .safetensors file or folder for one part,", 0, 0, NULL},
        {0, "text-encoder", OPTION_TEXT, &a->text_encoder, "FILE", "instead of the model folder's", 0, 0, NULL},
        {0, "vae", OPTION_TEXT, &a->vae, "FILE", "(the same)", 0, 0, NULL},
        {0, "tokenizer", OPTION_TEXT, &a->tokenizer, "DIR", "(the same) a folder or a tokenizer.json", 0, 0, NULL},
        {'p', "prompt", OPTION_TEXT, &a->prompt, "TEXT", "what to draw; - reads it from standard input", 0, 0, NULL},
        {'n', "negative", OPTION_TEXT, &a->negative, "TEXT",
         "what to keep out; works only with --cfg above 0", 0, 0, NULL},
        {0, "size", OPTION_TEXT, &a->size, "SIZE",
         "1024x768, 1024 (square), or a shape: 16:9, 9:16, 4:3, ...\ndefault: the model's own size", 0, 0,
         &a->size_given},
        {'W', "width", OPTION_INTEGER, &a->width, "PIXELS", "multiples of 16", 1, 16384, &a->width_given},
        {'H', "height", OPTION_INTEGER, &a->height, "PIXELS", "", 1, 16384, &a->height_given},
        {0, "steps", OPTION_INTEGER, &a->steps, "N", "passes through the model, 1 to 120; default 8", 1, 120,
         &a->steps_given},
        {0, "cfg", OPTION_NUMBER, &a->cfg, "SCALE", "guidance, 0 (none, the default) to 100", 0, 100, NULL},
        {0, "cfg-truncation", OPTION_NUMBER, &a->truncation, "T",
         "no guidance in the part of the way beyond T, 0 to 1; default 1", 0, 1, NULL},
        {0, "cfg-normalization", OPTION_NUMBER, &a->normalization, "F",
         "guided velocity at most F times as long as without; 0: no limit", 0, 1000, NULL},
        {0, "seed", OPTION_INTEGER, &a->seed, "N", "-1: random (the default). The same seed gives the same picture", -1,
         9007199254740992.0, NULL},
        {0, "count", OPTION_INTEGER, &a->count, "N", "pictures, with seeds seed, seed + 1, ...; 1 to 64", 1, 64, NULL},
        {'o', "output", OPTION_TEXT, &a->output, "FILE",
         "where to save; %seed and %i (1, 2, ...) are replaced. Never overwrites.\n"
         "default: outputs/mebi_YYYYMMDDHHMMSS_%seed.png", 0, 0, NULL},
        {0, "threads", OPTION_INTEGER, &a->threads, "N", "default: one for each physical core", 1, 256, NULL},
        {0, "json", OPTION_FLAG, &a->json, NULL, "print one JSON object about the result on standard output", 0, 0, NULL},
        {'q', "quiet", OPTION_FLAG, &a->quiet, NULL, "no progress; only the result and errors", 0, 0, NULL},
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

/* All of standard input without the line ends at its end. */
static mebi_status read_input(char **out, mebi_error *err) {
    char *text = mebi__alloc(MEBI__TAG_GENERAL, PROMPT_BYTES + 1);
    if (!text) return mebi__fail(err, MEBI_NO_MEMORY, "No memory to read a prompt.");
    size_t length = fread(text, 1, PROMPT_BYTES + 1, stdin);
    mebi_status status = MEBI_OK;
    if (ferror(stdin)) status = mebi__fail(err, MEBI_IO, "Standard input can't be read.");
    else if (length > PROMPT_BYTES)
        status = mebi__fail(err, MEBI_BAD_ARGUMENT, "The prompt on standard input has over %d bytes.",
                            PROMPT_BYTES);
    else if (memchr(text, 0, length))
        status = mebi__fail(err, MEBI_BAD_ARGUMENT, "The prompt on standard input has a zero byte.");
    while (status == MEBI_OK && length && (text[length - 1] == '\n' || text[length - 1] == '\r'))
        length--;
    if (status != MEBI_OK) mebi__free(text);
    else text[length] = 0, *out = text;
    return status;
}

static mebi_status read_prompts(command *c, mebi_error *err) {
    arguments *a = &c->args;
    if (!a->prompt)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "There is no prompt. Say what to draw: -p \"a red apple on a white "
                          "background\".");
    int from_input = strcmp(a->prompt, "-") == 0, negative_too = a->negative && strcmp(a->negative, "-") == 0;
    if (from_input && negative_too)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "Only one of prompt and negative prompt can come from standard input.");
    if (from_input) {
        MEBI_TRY(read_input(&c->prompt, err));
        a->prompt = c->prompt;
    }
    if (negative_too) {
        MEBI_TRY(read_input(&c->negative, err));
        a->negative = c->negative;
    }
    return MEBI_OK;
}

/* ---- the request ---- */

static mebi_status choose_size(const arguments *a, const mebi_engine_info *info, mebi_request *r,
                               mebi_error *err) {
    if (a->size_given && (a->width_given || a->height_given))
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "Give either --size or --width and --height.");
    if (a->size_given)
        return size_parse(a->size, info->native_side, info->size_multiple, &r->width, &r->height, err);
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

static mebi_status make_folder_of(const char *path, mebi_error *err) {
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path) return MEBI_OK;
    char *folder = mebi__copy_string(path, (size_t)(slash - path));
    if (!folder) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    mebi_status status = mebi__make_directories(folder, err);
    mebi__free(folder);
    return status;
}

/* Makes the output's folder and sees that files can be written there: before the work, so that no
 * picture is lost for a reason that could have been known. */
static mebi_status prepare_folder_of(const char *path, mebi_error *err) {
    MEBI_TRY(make_folder_of(path, err));
    const char *slash = strrchr(path, '/');
    size_t length = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
    char *folder = length ? mebi__copy_string(path, length) : mebi__copy_string(".", 1);
    if (!folder) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    mebi_status status = MEBI_OK;
    if (access(folder, W_OK | X_OK) != 0)
        status = mebi__fail(err, MEBI_IO, "The folder %s can't be written to: %s.", folder, strerror(errno));
    mebi__free(folder);
    return status;
}


static mebi_status choose_output(command *c, mebi_error *err) {
    char path[PATH_BYTES];
    const arguments *a = &c->args;
    if (!a->output) {
        naming_default(c->pattern, sizeof c->pattern);
        return prepare_folder_of(c->pattern, err);
    }
    if (strlen(a->output) >= sizeof c->pattern)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "The output's name is longer than %d bytes.", PATH_BYTES);
    strcpy(c->pattern, a->output);
    MEBI_TRY(naming_expand(c->pattern, a->seed, 1, path, sizeof path, err));
    if (!naming_is_distinct(c->pattern, (int)a->count))
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "%d pictures can't all be called %s. Put %%i or %%seed into the name.",
                          (int)a->count, c->pattern);
    MEBI_TRY(prepare_folder_of(path, err));
    if (naming_is_distinct(c->pattern, 2)) return MEBI_OK;
    if (mebi__is_file(path) || mebi__is_directory(path))
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "%s exists and is not overwritten. Take another name, or put %%seed into it.",
                          path);
    return MEBI_OK;
}

/* Saves under the name wanted, or name_2, name_3, ... where that is taken; *path is what it got. */
static mebi_status save(const char *wanted, const mebi_image *image, const mebi_png_text *texts,
                        int count, char *path, size_t bytes, mebi_error *err) {
    MEBI_TRY(make_folder_of(wanted, err));
    snprintf(path, bytes, "%s", wanted);
    for (int n = 2;; n++) {
        mebi_error own = {0};
        int exists = 0;
        mebi_status status = mebi_png_save(path, image, texts, count, &exists, &own);
        if (status == MEBI_OK || !exists || n > 9999) {
            if (status != MEBI_OK && err && err->status == MEBI_OK) *err = own;
            return status;
        }
        MEBI_TRY(naming_variant(wanted, n, path, bytes, err));
    }
}

/* A finished picture whose place can't be written goes to the system's temporary folder. */
static mebi_status save_or_rescue(const char *wanted, const mebi_image *image,
                                  const mebi_png_text *texts, int count, char *path, size_t bytes,
                                  mebi_error *err) {
    mebi_error first = {0};
    if (save(wanted, image, texts, count, path, bytes, &first) == MEBI_OK) return MEBI_OK;
    const char *folder = getenv("TMPDIR"), *slash = strrchr(wanted, '/');
    char elsewhere[PATH_BYTES];
    int length = snprintf(elsewhere, sizeof elsewhere, "%s/%s", folder && *folder ? folder : "/tmp",
                          slash ? slash + 1 : wanted);
    if (length < (int)sizeof elsewhere &&
        save(elsewhere, image, texts, count, path, bytes, NULL) == MEBI_OK) {
        fprintf(stderr, "mebi: %s The picture was kept as %s instead.\n", first.text, path);
        return MEBI_OK;
    }
    if (err && err->status == MEBI_OK) *err = first;
    return first.status;
}

static mebi_status on_image(void *context, int index, int64_t seed, const mebi_image *image,
                            mebi_error *err) {
    command *c = context;
    char wanted[PATH_BYTES], path[PATH_BYTES];
    char *parameters = metadata_parameters(&c->about, seed), *json = metadata_json(&c->about, seed);
    mebi_png_text texts[] = {{"parameters", parameters}, {"mebi", json}};
    mebi_status status = parameters && json
                             ? naming_expand(c->pattern, seed, index + 1, wanted, sizeof wanted, err)
                             : mebi__fail(err, MEBI_NO_MEMORY, "No memory to describe a picture.");
    if (status == MEBI_OK)
        status = save_or_rescue(wanted, image, texts, 2, path, sizeof path, err);
    free(parameters);
    free(json);
    if (status != MEBI_OK) return status;
    terminal_clear(&c->terminal);
    if (c->args.json)
        json_array_append_new(c->images, json_pack("{s:s, s:I, s:i, s:i}", "path", path, "seed",
                                                   (json_int_t)seed, "width", image->width, "height",
                                                   image->height));
    else {
        printf("%s  %dx%d  seed %" PRId64 "\n", path, image->width, image->height, seed);
        fflush(stdout);
    }
    return MEBI_OK;
}

static void on_progress(void *context, const mebi_progress *progress) {
    terminal_progress(&((command *)context)->terminal, progress);
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
    json_t *o = json_pack("{s:O, s:{s:f, s:f, s:f, s:f, s:f, s:f}, s:I, s:I}", "images", c->images,
                          "seconds", "load", r->seconds[MEBI_STAGE_LOAD], "encode",
                          r->seconds[MEBI_STAGE_ENCODE], "denoise", r->seconds[MEBI_STAGE_STEP],
                          "decode", r->seconds[MEBI_STAGE_DECODE], "save",
                          r->seconds[MEBI_STAGE_SAVE], "total", total, "peak_bytes",
                          (json_int_t)r->peak_bytes, "planned_bytes",
                          (json_int_t)r->plan.peak_bytes);
    json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(o);
}

/* The model's folder, and its last component as a name for people. */
static const char *model_name(const arguments *a) {
    const char *path = a->diffusion_model ? a->diffusion_model : a->model ? a->model : "unknown";
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static const char *default_model(void) {
    const char *named = getenv("MEBI_MODEL");
    if (named && *named) return named;
    return mebi__is_directory("models/mini") ? "models/mini" : MEBI_DATADIR "/models/mini";
}

static mebi_status check_environment(mebi_error *err) {
    static const char *const known[] = {"ref", "avx2", "avx512"};
    const char *level = getenv("MEBI_CPU");
    for (int i = 0; level && i < 3; i++)
        if (strcmp(level, known[i]) == 0) return MEBI_OK;
    if (!level || !*level) return MEBI_OK;
    return mebi__fail(err, MEBI_BAD_ARGUMENT,
                      "The environment variable MEBI_CPU is '%.40s'; it takes ref, avx2 or avx512, or "
                      "is left unset.",
                      level);
}

static mebi_status run(command *c, mebi_error *err) {
    arguments *a = &c->args;
    double began = mebi__now_seconds();
    MEBI_TRY(check_environment(err));
    MEBI_TRY(read_prompts(c, err));
    MEBI_TRY(choose_output(c, err));
    int all_parts = a->diffusion_model && a->text_encoder && a->vae && a->tokenizer;
    if (!a->model && !all_parts) a->model = default_model();
    mebi_engine_params params = mebi_engine_params_default();
    params.model = a->model;
    params.diffusion_model = a->diffusion_model;
    params.text_encoder = a->text_encoder;
    params.vae = a->vae;
    params.tokenizer = a->tokenizer;
    params.threads = (int)a->threads;
    mebi_callbacks callbacks = {
        .context = c, .progress = on_progress, .image = on_image, .cancelled = is_interrupted};
    mebi_engine *engine;
    MEBI_TRY(mebi_engine_open(&params, &callbacks, &engine, err));
    mebi_engine_info info = mebi_engine_describe(engine);
    if (*info.unused_tensors && !a->quiet)
        fprintf(stderr, "mebi: the model's files hold tensors that are not used: %s\n", info.unused_tensors);
    mebi_request request;
    mebi_report report;
    mebi_status status = make_request(a, engine, &request, err);
    c->about = (metadata){.request = &request, .model = model_name(a), .model_hash = info.model_hash};
    if (status == MEBI_OK) {
        status = mebi_generate(engine, &request, &callbacks, &report, err);
        terminal_clear(&c->terminal);
        double total = mebi__now_seconds() - began;
        if (a->json && (status == MEBI_OK || report.images)) print_json(c, &report, total);
        else if (status == MEBI_OK && !a->quiet) print_summary(&report, total);
    }
    mebi_engine_close(&engine);
    return status;
}

int cmd_generate(int argc, char **argv) {
    static command c; /* too large for a stack that others may have made small */
    c = (command){.args = {.seed = -1, .count = 1, .truncation = 1}};
    mebi_error err = {0};
    int shown = 0;
    mebi_status status = parse(argc, argv, &c.args, &shown, &err);
    if (shown) return EXIT_OK;
    if (status == MEBI_OK) {
        struct sigaction action = {.sa_handler = on_interrupt};
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        c.terminal = terminal_open(c.args.quiet);
        c.images = json_array();
        status = run(&c, &err);
        terminal_clear(&c.terminal);
        json_decref(c.images);
        mebi__free(c.prompt);
        mebi__free(c.negative);
    }
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == MEBI_OK)
        status = mebi__fail(&err, MEBI_IO, "Standard output can't be written.");
    return status == MEBI_OK ? EXIT_OK : report_failure(status, &err);
}

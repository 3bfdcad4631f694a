/* mebi convert: model files in other forms. Must never touch the files it reads. */
#include "base/error.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/plain.h"
#include "cli/terminal.h"
#include "mebi/mebi.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

typedef struct arguments {
    const char *to;
    mebi_convert_params params;
    int64_t threads;
    int json, quiet, help;
} arguments;

typedef struct telling {
    terminal terminal;
    double told_at;
} telling;

static void on_progress(void *context, const mebi_convert_progress *p) {
    telling *t = context;
    double now = mebi__now_seconds(), pause = t->terminal.is_terminal ? 0.1 : 10;
    char left[24] = "?";
    if (t->terminal.quiet || now - t->told_at < pause) return;
    t->told_at = now;
    if (p->seconds_left >= 0) seconds_text(p->seconds_left, left, sizeof left);
    if (t->terminal.is_terminal) fputs("\r\033[K", stderr);
    fprintf(stderr, "%3.0f %%, %s left  ", 100 * p->fraction, left);
    if (t->terminal.is_terminal) {
        plain_print(stderr, p->tensor);
        fflush(stderr);
        t->terminal.shown = 1;
    } else fputc('\n', stderr);
}

static void print_usage(const option *options, int count) {
    printf("usage: mebi convert --to TYPE (-m MODEL | --diffusion-model FILE | --text-encoder "
           "FILE) -o "
           "OUT\n\n"
           "Writes a model's files in another form: smaller, or one that other programs read. OUT "
           "is a\n"
           "file ending in .gguf or .safetensors; with -m, a new folder in the same layout, to be "
           "used\n"
           "as one. Sources may be of any form that `mebi generate` reads.\n\n"
           "  bf16   .safetensors or .gguf   2 bytes a weight\n"
           "  int8   .safetensors            1 byte and a scale for each row\n"
           "  q8_0   .gguf                   1.06 bytes, a scale for each 32 weights\n"
           "  q4_k   .gguf                   0.56 bytes, in blocks of 256\n\n"
           "Matrices of the layers get the type. Norms, biases, embedders and the final layer keep "
           "f32\n"
           "(bf16 in safetensors); modulation and token embeddings never go below 8 bits.\n\n");
    options_print(stdout, options, count);
}

static mebi_status parse(int argc, char **argv, arguments *a, mebi_error *err) {
    mebi_convert_params *p = &a->params;
    const option options[] = {
        {0, "to", OPTION_TEXT, &a->to, "TYPE", "bf16, int8, q8_0 or q4_k", 0, 0, NULL},
        {'m', "model", OPTION_TEXT, &p->model, "DIR", "a model folder: all of it", 0, 0, NULL},
        {0, "diffusion-model", OPTION_TEXT, &p->diffusion_model, "FILE",
         "a .safetensors or .gguf file, or a folder", 0, 0, NULL},
        {0, "text-encoder", OPTION_TEXT, &p->text_encoder, "FILE", "the same", 0, 0, NULL},
        {0, "tokenizer", OPTION_TEXT, &p->tokenizer, "DIR",
         "what a text encoder in GGUF is to hold: a folder or a\n"
         "tokenizer.json; default: the one beside it, if there is one",
         0, 0, NULL},
        {'o', "output", OPTION_TEXT, &p->output, "OUT", "the new file or folder", 0, 0, NULL},
        {0, "threads", OPTION_INTEGER, &a->threads, "N",
         "1 to 256; default: one for each physical core", 1, 256, NULL},
        {0, "json", OPTION_FLAG, &a->json, NULL, "print one JSON object about the result", 0, 0,
         NULL},
        {'q', "quiet", OPTION_FLAG, &a->quiet, NULL, "no progress", 0, 0, NULL},
        {'h', "help", OPTION_FLAG, &a->help, NULL, "this text", 0, 0, NULL},
    };
    const int count = sizeof options / sizeof *options;
    int rest;
    MEBI_TRY(options_parse(options, count, argc, argv, NULL, 0, &rest, err));
    if (a->help) print_usage(options, count);
    p->threads = (int)a->threads;
    return MEBI_OK;
}

static mebi_status read_type(const char *text, mebi_convert_type *out, mebi_error *err) {
    for (int i = 0; text && i < MEBI_CONVERT_COUNT; i++)
        if (strcmp(text, mebi_convert_type_name((mebi_convert_type)i)) == 0) {
            *out = (mebi_convert_type)i;
            return MEBI_OK;
        }
    return mebi__fail(err, MEBI_BAD_ARGUMENT, "--to takes bf16, int8, q8_0 or q4_k, not '%.60s'.",
                      text ? text : "");
}

static mebi_status check_paths(const mebi_convert_params *p, mebi_error *err) {
    const char *const path[] = {p->model, p->diffusion_model, p->text_encoder, p->tokenizer};
    const char *const name[] = {"model", "diffusion-model", "text-encoder", "tokenizer"};
    for (size_t i = 0; i < sizeof path / sizeof *path; i++)
        if (path[i] && !*path[i])
            return mebi__fail(err, MEBI_BAD_ARGUMENT, "--%s is given an empty name.", name[i]);
    return MEBI_OK;
}

static void print_json(const char *path, const mebi_convert_report *r) {
    static char utf8[8192];
    json_t *o =
        json_pack("{s:s, s:i, s:I, s:I, s:b, s:f}", "path", plain_utf8(path, utf8, sizeof utf8),
                  "tensors", r->tensors, "bytes_before", (json_int_t)r->bytes_before, "bytes_after",
                  (json_int_t)r->bytes_after, "tokenizer", r->has_tokenizer, "seconds", r->seconds);
    if (o) json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(o);
}

static void tell_result(const arguments *a, const mebi_convert_report *r) {
    char before[24], after[24], seconds[24];
    const char *end = strrchr(a->params.output, '.');
    if (a->params.text_encoder && end && strcmp(end, ".gguf") == 0 && !r->has_tokenizer &&
        !a->quiet)
        fprintf(stderr, "mebi: no tokenizer was found beside the text encoder, so the file holds "
                        "none; --tokenizer names one.\n");
    if (a->json) {
        print_json(a->params.output, r);
        return;
    }
    plain_print(stdout, a->params.output);
    printf("  %d tensors, %s instead of %s, %s\n", r->tensors,
           bytes_text((double)r->bytes_after, after, sizeof after),
           bytes_text((double)r->bytes_before, before, sizeof before),
           seconds_text(r->seconds, seconds, sizeof seconds));
}

int cmd_convert(int argc, char **argv) {
    arguments a = {0};
    mebi_error err = {0};
    mebi_convert_report report;
    mebi_status status = parse(argc, argv, &a, &err);
    if (status == MEBI_OK && a.help) return EXIT_OK;
    if (status == MEBI_OK) status = read_type(a.to, &a.params.type, &err);
    if (status == MEBI_OK) status = check_paths(&a.params, &err);
    if (status == MEBI_OK) {
        telling t = {.terminal = terminal_open(a.quiet), .told_at = mebi__now_seconds()};
        mebi_convert_callbacks callbacks = {&t, on_progress, interrupt_came};
        interrupt_watch();
        status = mebi_convert(&a.params, &callbacks, &report, &err);
        terminal_clear(&t.terminal);
    }
    if (status == MEBI_OK) tell_result(&a, &report);
    else report_failure(status, &err);
    return status == MEBI_CANCELLED ? 128 + interrupt_number() : exit_code(status);
}

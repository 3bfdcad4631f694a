/* mebi info: what a PNG says about how it was made, or what a model file holds. The file may come from
 * anywhere. */
#include "base/error.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/plain.h"
#include "mebi/file.h"
#include "mebi/mebi.h"

#include <jansson.h>
#include <string.h>

static void print_plain(const char *path, int width, int height, const mebi_png_text *texts,
                        int count) {
    printf("%s  %dx%d\n", path, width, height);
    if (count == 0) printf("It says nothing about how it was made.\n");
    for (int i = 0; i < count; i++) {
        printf("\n%s:\n", texts[i].keyword);
        plain_print(stdout, texts[i].text);
        putchar('\n');
    }
}

static void print_json(const char *path, int width, int height, const mebi_png_text *texts,
                       int count) {
    static char utf8[8192];
    json_t *all = json_object();
    for (int i = 0; i < count; i++) {
        /* Our own entry is JSON already. */
        json_t *value = strcmp(texts[i].keyword, "mebi") == 0
                            ? json_loads(texts[i].text, JSON_REJECT_DUPLICATES, NULL)
                            : NULL;
        json_object_set_new(all, texts[i].keyword, value ? value : json_string(texts[i].text));
    }
    json_t *o = json_pack("{s:s, s:i, s:i, s:o}", "path", plain_utf8(path, utf8, sizeof utf8),
                          "width", width, "height", height, "texts", all);
    if (o) json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(o);
}

static void print_model_plain(const char *path, const mebi_file_info *info) {
    printf("%s  %s", path, info->format);
    if (info->architecture[0]) {
        fputs(", ", stdout);
        plain_print(stdout, info->architecture);
    }
    printf("\n%d tensors, %.3g million values, %.1f MB\n", info->tensors,
           (double)info->elements * 1e-6, (double)info->bytes * 1e-6);
    for (int i = 0; i < info->types; i++)
        printf("%s%s %d%s", i ? ", " : "", info->type[i].name, info->type[i].tensors,
               info->type[i].readable ? "" : " (not readable)");
    putchar('\n');
}

static void print_model_json(const char *path, const mebi_file_info *info) {
    static char utf8[8192], architecture[256];
    json_t *types = json_object();
    for (int i = 0; i < info->types; i++)
        json_object_set_new(types, info->type[i].name, json_integer(info->type[i].tensors));
    json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:I, s:I, s:o}", "path",
                          plain_utf8(path, utf8, sizeof utf8), "format", info->format,
                          "architecture",
                          plain_utf8(info->architecture, architecture, sizeof architecture),
                          "tensors", info->tensors, "values", (json_int_t)info->elements, "bytes",
                          (json_int_t)info->bytes, "types", types);
    if (o) json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(o);
}

static int print_model(const char *path, int json) {
    mebi_error err = {0};
    mebi_file_info info;
    mebi_status status = mebi_file_describe(path, &info, &err);
    if (status != MEBI_OK) return report_failure(status, &err);
    if (json) print_model_json(path, &info);
    else print_model_plain(path, &info);
    return EXIT_OK;
}

static int is_model(const char *path) {
    static const char *const tails[] = {".gguf", ".safetensors"};
    size_t length = strlen(path);
    for (int i = 0; i < 2; i++) {
        size_t tail = strlen(tails[i]);
        if (length > tail && strcmp(path + length - tail, tails[i]) == 0) return 1;
    }
    return 0;
}

static int print_file(const char *path, int json) {
    if (is_model(path)) return print_model(path, json);
    mebi_error err = {0};
    mebi_png_text *texts;
    int width, height, count;
    mebi_status status = mebi_png_read_texts(path, &width, &height, &texts, &count, &err);
    if (status != MEBI_OK) return report_failure(status, &err);
    if (json) print_json(path, width, height, texts, count);
    else print_plain(path, width, height, texts, count);
    mebi_png_texts_free(texts);
    return EXIT_OK;
}

int cmd_info(int argc, char **argv) {
    int json = 0, help = 0, rest_count;
    const char *path;
    const option options[] = {
        {0, "json", OPTION_FLAG, &json, NULL, "print one JSON object", 0, 0, NULL},
        {'h', "help", OPTION_FLAG, &help, NULL, "this text", 0, 0, NULL},
    };
    mebi_error err = {0};
    mebi_status status = options_parse(options, 2, argc, argv, &path, 1, &rest_count, &err);
    if (status == MEBI_OK && help) {
        printf("usage: mebi info [--json] FILE\n\n"
               "Prints a PNG's size and what it says about how it was made; of a model file (.gguf,\n"
               ".safetensors) how many tensors it holds of which types.\n\n");
        options_print(stdout, options, 2);
        return EXIT_OK;
    }
    if (status == MEBI_OK && rest_count != 1)
        status =
            mebi__fail(&err, MEBI_BAD_ARGUMENT, "Which file? usage: mebi info [--json] FILE.png");
    return status == MEBI_OK ? print_file(path, json) : report_failure(status, &err);
}

/* mebi info: what a PNG says about how it was made. The file may come from anywhere. */
#include "base/error.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/plain.h"
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

static int print_file(const char *path, int json) {
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
        printf("usage: mebi info [--json] FILE.png\n\n"
               "Prints a PNG's size and what it says about how it was made.\n\n");
        options_print(stdout, options, 2);
        return EXIT_OK;
    }
    if (status == MEBI_OK && rest_count != 1)
        status =
            mebi__fail(&err, MEBI_BAD_ARGUMENT, "Which file? usage: mebi info [--json] FILE.png");
    return status == MEBI_OK ? print_file(path, json) : report_failure(status, &err);
}

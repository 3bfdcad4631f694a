/* mebi cache: what the cache of prepared weights holds, and clearing it. Must never touch a file
 * that is not the cache's. */
#include "base/cache.h"
#include "base/error.h"
#include "base/memory.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/plain.h"

#include <jansson.h>
#include <time.h>

static uint64_t total_of(const mebi__cache_item *items, int count) {
    uint64_t total = 0;
    for (int i = 0; i < count; i++) total += items[i].bytes;
    return total;
}

/* Local time, or UTC as ISO 8601 has it. */
static const char *time_text(int64_t seconds, int utc, char text[32]) {
    time_t t = (time_t)seconds;
    struct tm tm;
    size_t length = 0;
    if (utc ? gmtime_r(&t, &tm) : localtime_r(&t, &tm))
        length = strftime(text, 32, utc ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d %H:%M", &tm);
    text[length] = 0;
    return text;
}

static void print_plain(const char *folder, const mebi__cache_item *items, int count) {
    char text[32];
    for (int i = 0; i < count; i++)
        printf("%10.1f MB  %16s  %s\n", 1e-6 * (double)items[i].bytes,
               time_text(items[i].used, 0, text), items[i].key);
    if (count > 0) printf("%10.1f MB in all, in ", 1e-6 * (double)total_of(items, count));
    else printf("The cache is empty: ");
    plain_print(stdout, folder);
    putchar('\n');
}

static void print_json(const char *folder, const mebi__cache_item *items, int count) {
    static char utf8[8192];
    char text[32];
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:s}", "key", items[i].key, "bytes",
                                              (json_int_t)items[i].bytes, "last_used",
                                              time_text(items[i].used, 1, text)));
    json_t *o = json_pack("{s:s, s:I, s:o}", "folder", plain_utf8(folder, utf8, sizeof utf8),
                          "total_bytes", (json_int_t)total_of(items, count), "entries", list);
    if (o) json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(o);
}

static mebi_status list_cache(const char *folder, int json, mebi_error *err) {
    mebi__cache_item *items;
    int count;
    MEBI_TRY(mebi__cache_list(folder, &items, &count, err));
    if (json) print_json(folder, items, count);
    else print_plain(folder, items, count);
    mebi__free(items);
    return MEBI_OK;
}

static mebi_status clear_cache(const char *folder, int json, mebi_error *err) {
    int count;
    uint64_t bytes;
    MEBI_TRY(mebi__cache_clear(folder, &count, &bytes, err));
    if (json) printf("{\"removed\":%d,\"bytes\":%llu}\n", count, (unsigned long long)bytes);
    else
        printf("Removed %d %s, %.1f MB.\n", count, count == 1 ? "entry" : "entries",
               1e-6 * (double)bytes);
    return MEBI_OK;
}

static void print_usage(const option *options, int count) {
    printf(
        "usage: mebi cache [--clear] [--json]\n\n"
        "Lists the weights that mebi has prepared for this machine and keeps, so that the next\n"
        "start is a quick one: size, last use, name. Any of it can be removed at any time; it is\n"
        "made again when it is needed. The folder is $MEBI_CACHE_DIR, $XDG_CACHE_HOME/mebi or\n"
        "~/.cache/mebi. It grows to 64 GiB or half of the disk's room, whichever is less; then\n"
        "what was unused for longest goes.\n\n");
    options_print(stdout, options, count);
}

int cmd_cache(int argc, char **argv) {
    int clear = 0, json = 0, help = 0, rest_count;
    const option options[] = {
        {0, "clear", OPTION_FLAG, &clear, NULL, "remove everything", 0, 0, NULL},
        {0, "json", OPTION_FLAG, &json, NULL, "print one JSON object", 0, 0, NULL},
        {'h', "help", OPTION_FLAG, &help, NULL, "this text", 0, 0, NULL},
    };
    enum { OPTIONS = sizeof options / sizeof *options };
    mebi_error err = {0};
    char *folder = NULL;
    mebi_status status = options_parse(options, OPTIONS, argc, argv, NULL, 0, &rest_count, &err);
    if (status == MEBI_OK && help) {
        print_usage(options, OPTIONS);
        return EXIT_OK;
    }
    if (status == MEBI_OK) status = mebi__cache_folder(&folder, &err);
    if (status == MEBI_OK)
        status = clear ? clear_cache(folder, json, &err) : list_cache(folder, json, &err);
    mebi__free(folder);
    return status == MEBI_OK ? EXIT_OK : report_failure(status, &err);
}

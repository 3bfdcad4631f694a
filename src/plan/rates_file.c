/* A machine's rates in the cache folder. Must never believe a number of the file that it has not checked, nor
 * leave half a file: what is there is whole or gone. */
#include "plan/rates.h"

#include "base/cache_folder.h"
#include "base/hash.h"
#include "base/writer.h"
#include "weights/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORMAT = 1, FILE_BYTES = 1 << 20, MACHINE = 200 };

/* ---- which machine ---- */

/* The processor's name as the system tells it; "unknown" otherwise. */
static void processor(char *name, size_t bytes) {
    char line[256];
    snprintf(name, bytes, "unknown");
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(name, bytes, "%s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    if (f) fclose(f);
}

static void describe(const mebi__rates_how *how, char machine[MACHINE]) {
    char name[120];
    processor(name, sizeof name);
    for (char *c = name; *c; c++)
        if (*c < 32 || *c > 126) *c = '?';
    snprintf(machine, MACHINE, "%s, %.32s, %d threads", name, how->device, how->threads);
}

/* <folder>/rates-<version>-<hash of the machine>.json */
static mebi_status path_of(const mebi__rates_how *how, const char *machine, char **path, mebi_error *err) {
    char name[96], *folder = NULL;
    *path = NULL;
    snprintf(name, sizeof name, "rates-%.24s-%016" PRIx64 ".json", how->version,
             mebi__hash(FORMAT, machine, strlen(machine)));
    for (char *c = name; *c; c++)
        if (*c == '/') *c = '_';
    if (!how->folder) MEBI_TRY(mebi__cache_folder(&folder, err));
    *path = mebi__join_path(folder ? folder : how->folder, name);
    mebi__free(folder);
    return *path ? MEBI_OK : mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
}

/* Of this user, or root's: others could plant numbers. */
static int is_ours(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_uid == geteuid() || st.st_uid == 0);
}

/* ---- reading ---- */

/* 0 if it isn't a number within the bounds. */
static int number(const json_t *object, const char *key, double low, double high, double *out) {
    const json_t *v = json_object_get(object, key);
    if (!json_is_number(v)) return 0;
    double x = json_number_value(v);
    if (!(x >= low && x <= high)) return 0;
    *out = x;
    return 1;
}

/* Numbers within the bounds, rising if asked; -1 if they aren't, or too many. */
static int numbers(const json_t *list, int most, double low, double high, int rising, double *out) {
    int n = (int)json_array_size(list);
    if (n < 1 || n > most) return -1;
    for (int i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, (size_t)i);
        out[i] = json_is_number(v) ? json_number_value(v) : -1;
        if (!(out[i] >= low && out[i] <= high) || (rising && i > 0 && out[i] <= out[i - 1])) return -1;
    }
    return n;
}

static int class_named(const char *name) {
    for (int i = 0; name && i < MEBI__RATE_CLASSES; i++)
        if (strcmp(mebi__rate_name_of(i).text, name) == 0) return i;
    return -1;
}

static void read_rate(const json_t *entry, mebi__rates *r) {
    mebi__rate rate = {0};
    int of = class_named(json_string_value(json_object_get(entry, "class")));
    const json_t *seconds = json_object_get(entry, "seconds");
    rate.rows = numbers(json_object_get(entry, "rows"), MEBI__RATE_ROWS, 1, 1e15, 1, rate.row);
    rate.columns = numbers(json_object_get(entry, "columns"), MEBI__RATE_COLUMNS, 1, 1e15, 1, rate.column);
    if (of < 0 || rate.rows < 1 || rate.columns < 1 || (int)json_array_size(seconds) != rate.columns) return;
    for (int j = 0; j < rate.columns; j++)
        if (numbers(json_array_get(seconds, (size_t)j), MEBI__RATE_ROWS, 1e-18, 1, 0, rate.seconds[j]) !=
            rate.rows)
            return;
    r->of[of] = rate;
}

static int read_learned(const json_t *entry, mebi__learned *l) {
    const char *name = json_string_value(json_object_get(entry, "name"));
    double stage, variant, age;
    if (!name || !*name || strlen(name) >= sizeof l->name) return 0;
    if (!number(entry, "stage", 0, 100, &stage) || !number(entry, "variant", 0, 1e6, &variant) ||
        !number(entry, "size", 0, 100, &l->size) || !number(entry, "factor", -2, 2, &l->factor) ||
        !number(entry, "count", 1, 1000, &l->count) || !number(entry, "age", 0, 1e15, &age))
        return 0;
    snprintf(l->name, sizeof l->name, "%s", name);
    l->stage = (int)stage;
    l->variant = (int)variant;
    l->age = (int64_t)age;
    return 1;
}

static void read_all_learned(const json_t *list, mebi__rates *r) {
    int n = 0;
    for (size_t i = 0; i < json_array_size(list) && n < MEBI__LEARNED; i++) {
        mebi__learned l = {0};
        if (!read_learned(json_array_get(list, i), &l)) continue;
        r->learned[n++] = l;
        if (l.age > r->clock) r->clock = l.age;
    }
}

static void read_roofline(const json_t *o, mebi__rates *r) {
    mebi__roofline *f = &r->roofline;
    number(o, "int8", 1e6, 1e18, &f->int8);
    number(o, "bf16", 1e6, 1e18, &f->bf16);
    number(o, "f32", 1e6, 1e18, &f->f32);
    number(o, "bytes", 1e6, 1e15, &f->bytes);
    number(o, "call", 0, 1e-2, &f->call);
    r->file_known = number(o, "file_bytes", 1e6, 1e12, &f->file_bytes);
}

int mebi__rates_load(const mebi__rates_how *how, mebi__rates *r) {
    char machine[MACHINE], *path = NULL, *text = NULL;
    size_t bytes;
    json_t *root = NULL;
    int found = 0;
    mebi__rates_init(r);
    describe(how, machine);
    if (how->folder && !*how->folder) return 0;
    if (path_of(how, machine, &path, NULL) == MEBI_OK && is_ours(path) &&
        mebi__read_file(path, FILE_BYTES, &text, &bytes, NULL) == MEBI_OK &&
        mebi__json_parse("rates", text, bytes, &root, NULL) == MEBI_OK) {
        const char *of = json_string_value(json_object_get(root, "machine"));
        double format = 0;
        found = number(root, "format", FORMAT, FORMAT, &format) && of && strcmp(of, machine) == 0;
    }
    if (found) {
        const json_t *rates = json_object_get(root, "rates");
        read_roofline(json_object_get(root, "roofline"), r);
        for (size_t i = 0; i < json_array_size(rates); i++) read_rate(json_array_get(rates, i), r);
        read_all_learned(json_object_get(root, "learned"), r);
    }
    json_decref(root);
    mebi__free(text);
    mebi__free(path);
    return found;
}

/* ---- writing ---- */

/* Values given to jansson's _new functions are theirs, also when they fail; a NULL fails in turn. */
static json_t *list_of(const double *value, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, json_real(value[i]));
    return list;
}

static json_t *rate_json(int of, const mebi__rate *rate) {
    json_t *entry = json_object(), *seconds = json_array();
    for (int j = 0; j < rate->columns; j++)
        json_array_append_new(seconds, list_of(rate->seconds[j], rate->rows));
    json_object_set_new(entry, "class", json_string(mebi__rate_name_of(of).text));
    json_object_set_new(entry, "rows", list_of(rate->row, rate->rows));
    json_object_set_new(entry, "columns", list_of(rate->column, rate->columns));
    json_object_set_new(entry, "seconds", seconds);
    return entry;
}

static json_t *learned_json(const mebi__learned *l) {
    return json_pack("{s:s, s:i, s:i, s:f, s:f, s:f, s:I}", "name", l->name, "stage", l->stage, "variant",
                     l->variant, "size", l->size, "factor", l->factor, "count", l->count, "age",
                     (json_int_t)l->age);
}

static json_t *roofline_json(const mebi__rates *r) {
    const mebi__roofline *f = &r->roofline;
    json_t *o = json_pack("{s:f, s:f, s:f, s:f, s:f}", "int8", f->int8, "bf16", f->bf16, "f32", f->f32,
                          "bytes", f->bytes, "call", f->call);
    if (r->file_known) json_object_set_new(o, "file_bytes", json_real(f->file_bytes));
    return o;
}

static json_t *rates_json(const mebi__rates *r, const char *machine) {
    json_t *root = json_object(), *rates = json_array(), *learned = json_array();
    for (int i = 0; i < MEBI__RATE_CLASSES; i++)
        if (r->of[i].rows) json_array_append_new(rates, rate_json(i, &r->of[i]));
    for (int i = 0; i < MEBI__LEARNED; i++)
        if (r->learned[i].name[0]) json_array_append_new(learned, learned_json(&r->learned[i]));
    json_object_set_new(root, "format", json_integer(FORMAT));
    json_object_set_new(root, "machine", json_string(machine));
    json_object_set_new(root, "roofline", roofline_json(r));
    json_object_set_new(root, "rates", rates);
    json_object_set_new(root, "learned", learned);
    return root;
}

/* The folder, by the cache's rules: made private if it is missing. */
static mebi_status make_folder(const char *folder, mebi_error *err) {
    int fd;
    MEBI_TRY(mebi__cache_folder_open(folder, 1, &fd, err));
    close(fd);
    return MEBI_OK;
}

mebi_status mebi__rates_save(const mebi__rates_how *how, const mebi__rates *r, mebi_error *err) {
    char machine[MACHINE], *path = NULL, *text = NULL;
    mebi__writer writer = {.fd = -1};
    if (how->folder && !*how->folder) return MEBI_OK;
    describe(how, machine);
    MEBI_TRY(make_folder(how->folder, err));
    MEBI_TRY(path_of(how, machine, &path, err));
    json_t *root = rates_json(r, machine);
    text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    mebi_status status =
        text ? MEBI_OK : mebi__fail(err, MEBI_NO_MEMORY, "No memory to write the machine's rates.");
    if (status == MEBI_OK) status = mebi__writer_open(path, &writer, err);
    if (status == MEBI_OK) status = mebi__writer_append(&writer, text, strlen(text), err);
    if (status == MEBI_OK) status = mebi__writer_replace(&writer, err);
    mebi__writer_abandon(&writer);
    free(text);
    json_decref(root);
    mebi__free(path);
    return status;
}

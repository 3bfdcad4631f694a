/* Names of output files. Must never let a fact of a picture choose a folder. */
#include "cli/naming.h"

#include "base/error.h"
#include "config/naming.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum { FACT_BYTES = 64 };

static mebi_status append(char *path, size_t bytes, size_t *used, const char *text, size_t length,
                          mebi_error *err) {
    if (*used + length >= bytes)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "The output's name is longer than %zu bytes.",
                          bytes);
    memcpy(path + *used, text, length);
    *used += length;
    path[*used] = 0;
    return MEBI_OK;
}

/* text as a part of a file's name, which neither begins with a dot nor has a slash. */
static void plain_name(const char *text, char *out, size_t bytes) {
    snprintf(out, bytes, "%s", text);
    if (*out == '.') *out = '_';
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f || strchr("/\\:*?\"<>|", *p)) *p = '_';
}

static void stamp(const char *format, char *text) {
    time_t now = time(NULL);
    struct tm t;
    text[0] = 0;
    if (localtime_r(&now, &t)) strftime(text, FACT_BYTES, format, &t);
}

/* What a part becomes. */
static void fact_text(mebi__name_part part, const naming_facts *f, char *text) {
    const size_t bytes = FACT_BYTES;
    switch (part) {
    case MEBI__NAME_SEED: snprintf(text, bytes, "%" PRId64, f->seed); break;
    case MEBI__NAME_INDEX: snprintf(text, bytes, "%d", f->i); break;
    case MEBI__NAME_SIZE: snprintf(text, bytes, "%dx%d", f->width, f->height); break;
    case MEBI__NAME_STEPS: snprintf(text, bytes, "%d", f->steps); break;
    case MEBI__NAME_CFG: snprintf(text, bytes, "%g", f->cfg); break;
    case MEBI__NAME_MODEL: plain_name(f->model, text, bytes); break;
    case MEBI__NAME_DATE: stamp("%Y%m%d", text); break;
    case MEBI__NAME_TIME: stamp("%H%M%S", text); break;
    default: snprintf(text, bytes, "%%");
    }
}

/* The part of the pattern at *p, which begins with %, moved over. */
static mebi_status read_part(const char *pattern, const char **p, mebi__name_part *part,
                             mebi_error *err) {
    size_t length;
    *part = mebi__name_part_read(*p, &length);
    if (*part == MEBI__NAME_UNKNOWN)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "The output's name '%.100s' has a %% that is not %s.", pattern,
                          MEBI__NAME_PARTS_TEXT);
    *p += length;
    return MEBI_OK;
}

/* facts NULL: date and time only, the others stay as they are. */
static mebi_status replace(const char *pattern, const naming_facts *facts, char *path, size_t bytes,
                           mebi_error *err) {
    size_t used = 0;
    path[0] = 0;
    for (const char *p = pattern; *p;) {
        char text[FACT_BYTES];
        mebi__name_part part;
        size_t plain = strcspn(p, "%");
        MEBI_TRY(append(path, bytes, &used, p, plain, err));
        p += plain;
        if (!*p) break;
        const char *begin = p;
        MEBI_TRY(read_part(pattern, &p, &part, err));
        int known = facts || part == MEBI__NAME_DATE || part == MEBI__NAME_TIME;
        if (known) fact_text(part, facts, text);
        MEBI_TRY(append(path, bytes, &used, known ? text : begin,
                        known ? strlen(text) : (size_t)(p - begin), err));
    }
    return MEBI_OK;
}

mebi_status naming_stamp(const char *pattern, char *stamped, size_t bytes, mebi_error *err) {
    return replace(pattern, NULL, stamped, bytes, err);
}

mebi_status naming_expand(const char *pattern, const naming_facts *facts, char *path, size_t bytes,
                          mebi_error *err) {
    MEBI_TRY(replace(pattern, facts, path, bytes, err));
    size_t used = strlen(path);
    if (used == 0)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "The output has an empty name. Give one, such as -o picture.png.");
    if (path[used - 1] == '/')
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "'%.100s' is a folder; the output needs a file name, such as %.100s%%seed.png.",
            pattern, pattern);
    return MEBI_OK;
}

int naming_is_distinct(const char *pattern, int count) {
    for (const char *p = pattern; count > 1 && (p = strchr(p, '%')); p++) {
        if (strncmp(p, "%seed", 5) == 0 || strncmp(p, "%i", 2) == 0) return 1;
        if (p[1] == '%') p++;
    }
    return count == 1;
}

mebi_status naming_join(const char *folder, const char *name, char *pattern, size_t bytes,
                        mebi_error *err) {
    size_t used = 0, length = strlen(name);
    int ends = length > 4 && strcasecmp(name + length - 4, ".png") == 0;
    pattern[0] = 0;
    for (const char *p = folder; *p; p++)
        MEBI_TRY(append(pattern, bytes, &used, *p == '%' ? "%%" : p, *p == '%' ? 2 : 1, err));
    if (used && pattern[used - 1] != '/') MEBI_TRY(append(pattern, bytes, &used, "/", 1, err));
    MEBI_TRY(append(pattern, bytes, &used, name, length, err));
    return append(pattern, bytes, &used, ".png", ends ? 0 : 4, err);
}

mebi_status naming_variant(const char *path, int n, char *out, size_t bytes, mebi_error *err) {
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    if (!dot || (slash && dot < slash)) dot = path + strlen(path);
    int length = snprintf(out, bytes, "%.*s_%d%s", (int)(dot - path), path, n, dot);
    if (length < 0 || (size_t)length >= bytes)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "The output's name is longer than %zu bytes.",
                          bytes);
    return MEBI_OK;
}

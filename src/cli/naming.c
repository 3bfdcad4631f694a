/* Names of output files. */
#include "cli/naming.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

mebi_status naming_expand(const char *pattern, int64_t seed, int i, char *path, size_t bytes,
                          mebi_error *err) {
    size_t used = 0;
    path[0] = 0;
    for (const char *p = pattern; *p;) {
        char number[32];
        size_t plain = strcspn(p, "%");
        MEBI_TRY(append(path, bytes, &used, p, plain, err));
        p += plain;
        if (!*p) break;
        if (strncmp(p, "%seed", 5) == 0) snprintf(number, sizeof number, "%" PRId64, seed), p += 5;
        else if (strncmp(p, "%i", 2) == 0) snprintf(number, sizeof number, "%d", i), p += 2;
        else if (strncmp(p, "%%", 2) == 0) snprintf(number, sizeof number, "%%"), p += 2;
        else
            return mebi__fail(
                err, MEBI_BAD_ARGUMENT,
                "The output's name '%.100s' has a %% that is not %%seed, %%i or %%%%.", pattern);
        MEBI_TRY(append(path, bytes, &used, number, strlen(number), err));
    }
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

void naming_default(char *pattern, size_t bytes) {
    time_t now = time(NULL);
    struct tm t;
    char stamp[32] = "";
    if (localtime_r(&now, &t)) strftime(stamp, sizeof stamp, "%Y%m%d%H%M%S", &t);
    snprintf(pattern, bytes, "outputs/mebi_%s_%%seed.png", stamp);
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

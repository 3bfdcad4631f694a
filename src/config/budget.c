/* Amounts of memory. Must never take a number without its unit: 12 is not 12 GB to everyone. */
#include "config/budget.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DIGITS = 15 }; /* as many as a double holds exactly */

/* 1000^n or 1024^n of "K", "KB", "KiB", ...; 0 for anything else. */
static double unit_bytes(const char *text) {
    static const char letters[] = "KMGT";
    const char *letter = *text ? strchr(letters, toupper((unsigned char)*text)) : NULL;
    if (!letter) return 0;
    const char *tail = text + 1;
    double base = strcasecmp(tail, "iB") == 0 ? 1024 : 1000, unit = base;
    if (*tail && base < 1024 && strcasecmp(tail, "B") != 0) return 0;
    for (const char *l = letters; l < letter; l++) unit *= base;
    return unit;
}

/* "12" or "1.5" at the text's begin; negative if there is none, or one too long. */
static double amount(const char *text, const char **end) {
    size_t whole = strspn(text, "0123456789"), part = 0;
    if (text[whole] == '.') part = 1 + strspn(text + whole + 1, "0123456789");
    *end = text + whole + part;
    if (whole == 0 || part == 1 || whole + part > DIGITS) return -1;
    return strtod(text, NULL);
}

mebi_status mebi__budget_parse(const char *name, const char *text, size_t total_bytes,
                               size_t *bytes, mebi_error *err) {
    const char *unit;
    if (strcmp(text, "auto") == 0) {
        *bytes = 0;
        return MEBI_OK;
    }
    double n = amount(text, &unit), found = 0;
    while (*unit == ' ') unit++;
    int share = n >= 0 && strcmp(unit, "%") == 0;
    if (share) found = n / 100 * (double)total_bytes;
    else if (n >= 0) found = n * unit_bytes(unit);
    if (n > 0 && !*unit)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "%s is an amount of memory and needs a unit: %.40sG, 800M or 80%%, not "
                          "'%.40s'.",
                          name, text, text);
    if (share && (n > 100 || found < 1))
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "%s takes a share of this machine's memory above 0%% and up to 100%%, not '%.40s'.",
            name, text);
    if (!share && (found < 1 || found > 1e15 || found > (double)(SIZE_MAX / 2)))
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "%s takes an amount of memory up to 1000T, such as 12G, 800M or 80%%, or auto, "
            "not '%.40s'.",
            name, text);
    *bytes = (size_t)found;
    return MEBI_OK;
}

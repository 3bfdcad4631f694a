/* Values of settings. Must never take a value that only looks like one: 0x10, 1_000, nan, " 8". */
#include "config/value.h"

#include "config/budget.h"
#include "config/naming.h"
#include "config/size.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- numbers ---- */

mebi_status mebi__integer_read(const char *subject, const char *text, double minimum,
                               double maximum, int64_t *n, mebi_error *err) {
    char *end;
    errno = 0;
    long long found = strtoll(text, &end, 10);
    if (!*text || isspace((unsigned char)*text) || *end || errno || (double)found < minimum ||
        (double)found > maximum)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "%s takes a whole number from %.0f to %.0f, not '%.60s'.", subject,
                          minimum, maximum, text);
    *n = found;
    return MEBI_OK;
}

mebi_status mebi__number_read(const char *subject, const char *text, double minimum, double maximum,
                              double *n, mebi_error *err) {
    char *end;
    double found = strtod(text, &end);
    /* strtod also takes hexadecimal, "inf" and "nan". */
    int plain = *text && text[strspn(text, "0123456789+-.eE")] == 0;
    if (!plain || *end || !isfinite(found) || found < minimum || found > maximum)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%s takes a number from %g to %g, not '%.60s'.",
                          subject, minimum, maximum, text);
    *n = found;
    return MEBI_OK;
}

/* ---- words ---- */

/* YAML writes truth in many ways; other words are as they are. */
static const char *plain_truth(const char *text) {
    static const char *const same[][2] = {{"true", "true"},   {"yes", "true"}, {"on", "true"},
                                          {"false", "false"}, {"no", "false"}, {"off", "false"}};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (strcasecmp(text, same[i][0]) == 0) return same[i][1];
    return text;
}

int mebi__word_index(const char *const *words, const char *text) {
    const char *plain = plain_truth(text);
    for (int i = 0; words[i]; i++)
        if (strcmp(plain, words[i]) == 0) return i;
    return -1;
}

void mebi__words_text(const char *const *words, char *out, size_t bytes) {
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; words[i] && used < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%s",
                                 i == 0         ? ""
                                 : words[i + 1] ? ", "
                                                : " or ",
                                 words[i]);
}

static mebi_status check_word(const mebi__setting *s, const char *subject, const char *text,
                              mebi_error *err) {
    char words[120];
    if (mebi__word_index(s->words, text) >= 0) return MEBI_OK;
    mebi__words_text(s->words, words, sizeof words);
    return mebi__fail(err, MEBI_BAD_ARGUMENT, "%s takes %s, not '%.60s'.", subject, words, text);
}

/* ---- names ---- */

static mebi_status check_naming(const char *subject, const char *text, mebi_error *err) {
    size_t length;
    for (const char *p = text; (p = strchr(p, '%')); p += length)
        if (mebi__name_part_read(p, &length) == MEBI__NAME_UNKNOWN)
            return mebi__fail(err, MEBI_BAD_ARGUMENT, "%s: '%.100s' has a %% that is not %s.",
                              subject, text, MEBI__NAME_PARTS_TEXT);
    if (!*text || text[strlen(text) - 1] == '/')
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "%s takes a name such as mebi_%%seed, not '%.100s'.", subject, text);
    return MEBI_OK;
}

static mebi_status check_size(const char *subject, const char *text, mebi_error *err) {
    int a, b;
    if (mebi__size_read(text, &a, &b)) return MEBI_OK;
    return mebi__fail(
        err, MEBI_BAD_ARGUMENT,
        "%s: '%.40s' is not a size. Write 1024x768, 1024 for a square, or a shape such as 16:9.",
        subject, text);
}

/* ---- all ---- */

static mebi_status check(const mebi__setting *s, const char *subject, const char *text,
                         mebi_error *err) {
    int64_t integer;
    double number;
    size_t bytes;
    switch (s->kind) {
    case MEBI__KIND_PATH:
    case MEBI__KIND_TEXT:
        if (*text) return MEBI_OK;
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%s is given an empty name.", subject);
    case MEBI__KIND_WORD: return check_word(s, subject, text, err);
    case MEBI__KIND_INTEGER:
        return mebi__integer_read(subject, text, s->minimum, s->maximum, &integer, err);
    case MEBI__KIND_NUMBER:
        return mebi__number_read(subject, text, s->minimum, s->maximum, &number, err);
    /* Of which machine a share is makes no difference here. */
    case MEBI__KIND_BUDGET: return mebi__budget_parse(subject, text, (size_t)1 << 32, &bytes, err);
    case MEBI__KIND_SIZE: return check_size(subject, text, err);
    case MEBI__KIND_NAMING: return check_naming(subject, text, err);
    }
    return MEBI_OK;
}

mebi_status mebi__value_check(const mebi__setting *s, const char *subject, const char *text,
                              char *out, mebi_error *err) {
    int word = s->words[0] ? mebi__word_index(s->words, text) : -1;
    if (strlen(text) >= MEBI__VALUE_BYTES)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%s has %zu bytes; at most %d are taken.",
                          subject, strlen(text), MEBI__VALUE_BYTES - 1);
    if (word < 0) MEBI_TRY(check(s, subject, text, err));
    strcpy(out, word < 0 ? text : s->words[word]);
    return MEBI_OK;
}

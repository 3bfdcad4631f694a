/* Option parsing. Must never guess: a word that is not understood is an error with a suggestion. */
#include "cli/options.h"

#include "base/error.h"
#include "config/nearest.h"
#include "config/value.h"

#include <assert.h>
#include <string.h>

static const option *find_name(const option *o, int count, const char *name, size_t length) {
    for (int i = 0; i < count; i++)
        if (strlen(o[i].name) == length && strncmp(o[i].name, name, length) == 0) return &o[i];
    return NULL;
}

static const option *find_letter(const option *o, int count, char letter) {
    for (int i = 0; i < count; i++)
        if (o[i].letter && o[i].letter == letter) return &o[i];
    return NULL;
}

static mebi_status unknown(const option *o, int count, const char *word, mebi_error *err) {
    char name[32];
    snprintf(name, sizeof name, "%.31s", word + strspn(word, "-"));
    name[strcspn(name, "=")] = 0;
    mebi__nearest n = mebi__nearest_begin(name);
    for (int i = 0; i < count; i++) mebi__nearest_offer(&n, o[i].name);
    return mebi__fail(err, MEBI_BAD_ARGUMENT, "There is no option %.60s.%s%s%s See --help.", word,
                      n.best ? " Is --" : "", n.best ? n.best : "", n.best ? " meant?" : "");
}

static mebi_status store(const option *o, const char *text, mebi_error *err) {
    char subject[64];
    snprintf(subject, sizeof subject, "--%s", o->name);
    if (o->given) *o->given = 1;
    switch (o->kind) {
    case OPTION_FLAG: *(int *)o->value = 1; return MEBI_OK;
    case OPTION_MAYBE:
    case OPTION_TEXT: *(const char **)o->value = text; return MEBI_OK;
    case OPTION_INTEGER:
        return mebi__integer_read(subject, text, o->minimum, o->maximum, o->value, err);
    case OPTION_NUMBER:
        return mebi__number_read(subject, text, o->minimum, o->maximum, o->value, err);
    }
    return MEBI_OK;
}

/* The option that a word names, and the argument that the word itself holds ("--size=512",
 * "-W512"). */
static const option *match(const option *options, int count, const char *word, const char **value) {
    *value = NULL;
    if (word[1] != '-') {
        if (word[1] && word[2]) *value = word + 2;
        return find_letter(options, count, word[1]);
    }
    size_t length = strcspn(word + 2, "=");
    if (word[2 + length] == '=') *value = word + 3 + length;
    return find_name(options, count, word + 2, length);
}

/* The argument in the next word. Not a known option: there the argument has been forgotten. */
static mebi_status next_word(const option *options, int count, const option *o, const char *word,
                             const char **value, mebi_error *err) {
    const char *inside;
    if (!word)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "--%s needs an argument: %s.", o->name,
                          o->argument);
    int is_option =
        word[0] == '-' && match(options, count, word, &inside) && (word[1] == '-' || !inside);
    if (is_option)
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "--%s needs an argument (%s) and is followed by the option %.60s. If that is "
            "the argument, write --%s=%.60s.",
            o->name, o->argument, word, o->name, word);
    *value = word;
    return MEBI_OK;
}

/* One option word, and the next one if it is its argument; *i moves over what was used. seen has a
 * bit for each option that had an argument already. */
static mebi_status parse_word(const option *options, int count, char **argv, int *i, uint64_t *seen,
                              mebi_error *err) {
    const char *value;
    const option *o = match(options, count, argv[*i], &value);
    if (!o) return unknown(options, count, argv[*i], err);
    if (o->kind == OPTION_FLAG) {
        if (!value) return store(o, NULL, err);
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "--%s takes no argument, and has '%.60s'.",
                          o->name, value);
    }
    uint64_t bit = (uint64_t)1 << (o - options);
    if (*seen & bit)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "--%s is given twice. Give it once.", o->name);
    *seen |= bit;
    if (!value && o->kind == OPTION_MAYBE) return store(o, "", err);
    if (!value) MEBI_TRY(next_word(options, count, o, argv[++*i], &value, err));
    return store(o, value, err);
}

mebi_status options_parse(const option *options, int count, int argc, char **argv,
                          const char **rest, int limit, int *rest_count, mebi_error *err) {
    int only_rest = 0;
    uint64_t seen = 0;
    assert(count <= 64);
    *rest_count = 0;
    for (int i = 1; i < argc; i++) {
        if (!only_rest && strcmp(argv[i], "--") == 0) only_rest = 1;
        else if (only_rest || argv[i][0] != '-' || !argv[i][1]) {
            if (*rest_count == limit)
                return mebi__fail(
                    err, MEBI_BAD_ARGUMENT,
                    "'%.60s' is one argument too many. A prompt comes after -p, a text "
                    "of several words in quotation marks. See --help.",
                    argv[i]);
            rest[(*rest_count)++] = argv[i];
        } else MEBI_TRY(parse_word(options, count, argv, &i, &seen, err));
    }
    return MEBI_OK;
}

void options_print(FILE *to, const option *options, int count) {
    for (int i = 0; i < count; i++) {
        const option *o = &options[i];
        char left[64];
        char letter[8] = "    ";
        if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
        const char *between = !o->argument ? "" : o->kind == OPTION_MAYBE ? "[=" : " ";
        snprintf(left, sizeof left, "%s--%s%s%s%s", letter, o->name, between,
                 o->argument ? o->argument : "", o->kind == OPTION_MAYBE ? "]" : "");
        fprintf(to, "  %-27s ", left);
        for (const char *p = o->help; *p; p++) {
            fputc(*p, to);
            if (*p == '\n') fprintf(to, "%*s", 30, "");
        }
        fputc('\n', to);
    }
}

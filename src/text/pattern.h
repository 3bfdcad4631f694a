/* The regular expression that cuts a text into words before BPE. */
#ifndef MEBI_TEXT_PATTERN_H
#define MEBI_TEXT_PATTERN_H

#include "base/error.h"

#include <stddef.h>

/* Qwen2's, for files that do not bring their own. */
extern const char mebi__qwen2_pattern[];

typedef struct mebi__pattern mebi__pattern;

/* Compiles an expression in the syntax of tokenizer.json (Oniguruma's). Of that syntax the part is
 * taken that means the same everywhere, or can be translated exactly; the rest is
 * MEBI_UNSUPPORTED with a sentence. name is the file's, for messages. */
MEBI_MUST_USE mebi_status mebi__pattern_compile(const char *name, const char *expression,
                                                size_t bytes, mebi__pattern **out, mebi_error *err);
void mebi__pattern_free(mebi__pattern **pattern);

/* A search through one text; one thread's. Ended by mebi__search_end, also after failure. */
typedef struct mebi__search {
    const mebi__pattern *pattern;
    const char *text;
    size_t bytes, at;              /* at: end of what was handed out */
    size_t from;                   /* where the next match may begin */
    size_t match_begin, match_end; /* a match found but not handed out yet */
    int pending;
    void *data, *context, *stack; /* PCRE2's */
} mebi__search;

MEBI_MUST_USE mebi_status mebi__search_begin(const mebi__pattern *pattern, mebi__search *search,
                                             mebi_error *err);
/* Sets the text: valid UTF-8 that outlives the search. */
void mebi__search_set(mebi__search *search, const char *text, size_t bytes);
/* The next word: each match, and each stretch between matches. *word is NULL at the end. */
MEBI_MUST_USE mebi_status mebi__search_next(mebi__search *search, const char **word, size_t *bytes,
                                            mebi_error *err);
void mebi__search_end(mebi__search *search);

#endif

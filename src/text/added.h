/* Added tokens: texts that are one token wherever they stand, found before anything else is done.
 */
#ifndef MEBI_TEXT_ADDED_H
#define MEBI_TEXT_ADDED_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { MEBI__ADDED_BYTES = 256, MEBI__ADDED_COUNT = 16384 }; /* longest text; most tokens */

typedef struct mebi__added_token {
    char *content; /* mebi__free */
    size_t bytes;  /* 1 to MEBI__ADDED_BYTES */
    int32_t id;
    int left_strip, right_strip; /* takes the white space on that side with it */
    int single_word;             /* not inside a word */
    int normalized;              /* looked for in normalized text, and itself normalized */
} mebi__added_token;

/* A set that is searched; ascending by bytes of content. */
typedef struct mebi__added_set {
    mebi__added_token *token;
    int count, room;
    unsigned char begins[256]; /* 1: some token begins with this byte */
} mebi__added_set;

/* Takes content over on success. MEBI_BAD_FILE if there are too many. */
MEBI_MUST_USE mebi_status mebi__added_append(mebi__added_set *set, mebi__added_token token,
                                             mebi_error *err);
/* Sorts the set for searching. Returns a token that is there twice, or NULL. */
const mebi__added_token *mebi__added_sort(mebi__added_set *set);
void mebi__added_release(mebi__added_set *set);
/* NULL if there is none. Works on sorted sets. */
const mebi__added_token *mebi__added_lookup(const mebi__added_set *set, const char *content);

/* Walks a text; start with zeros. */
typedef struct mebi__added_walk {
    size_t from;       /* the next match may begin here */
    size_t taken;      /* end of the last token handed out, its stripped space included */
    size_t begin, end; /* the token found, stripped space included */
    int32_t id;
} mebi__added_walk;

/* Finds the next token, leftmost-longest; 0 if there is none. Then what lies between the former
 * `taken` (kept by the caller) and `begin` is ordinary text. */
int mebi__added_next(const mebi__added_set *set, const char *text, size_t bytes,
                     mebi__added_walk *walk);

#endif

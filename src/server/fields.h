/* JSON bodies: one way to read them, and tables of what they may hold. */
#ifndef MEBI_SERVER_FIELDS_H
#define MEBI_SERVER_FIELDS_H

#include "server/answer.h"

#include <jansson.h>
#include <stddef.h>

enum { MEBI__BODY_DEPTH = 32, MEBI__FIELD_WORDS = 6 };

typedef enum mebi__field_kind {
    MEBI__FIELD_INT,    /* int, within minimum..maximum */
    MEBI__FIELD_WIDE,   /* int64_t */
    MEBI__FIELD_NUMBER, /* float */
    MEBI__FIELD_BOOL,   /* int, 0 or 1 */
    MEBI__FIELD_WORD,   /* int: the place among words */
    MEBI__FIELD_TEXT,   /* const char *, of at most maximum bytes; the JSON's own memory */
    MEBI__FIELD_JSON,   /* json_t *, borrowed */
} mebi__field_kind;

typedef struct mebi__field {
    const char *name;
    mebi__field_kind kind;
    size_t offset; /* in the structure that is filled */
    double minimum, maximum;
    const char *words[MEBI__FIELD_WORDS]; /* ended by NULL */
} mebi__field;

/* The request's body as a JSON object; NULL: *answer says what is wrong with it. */
json_t *mebi__body_read(const mebi__http_request *request, mebi__http_answer *answer);
/* 1 if brackets nest at most so deep; looks at bytes alone. */
int mebi__body_is_flat(const char *text, size_t bytes, int depth);

/* What a table's reading found to say. message is "" where all is well. */
typedef struct mebi__fields_fault {
    char field[64], message[300];
} mebi__fields_fault;

/* Fills what the object has of the table; null is as if it were not there. 0: *fault says what is
 * wrong. Names that are in no table become sentences in `warnings` (an array, or NULL: they are
 * errors). */
int mebi__fields_read(const mebi__field *table, int count, const json_t *object, void *structure,
                      json_t *warnings, mebi__fields_fault *fault);

#endif

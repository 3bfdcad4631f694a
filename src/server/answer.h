/* Answers as handlers write them. Each of these sets the whole answer; the last one counts, and
 * what an earlier one held is released. */
#ifndef MEBI_SERVER_ANSWER_H
#define MEBI_SERVER_ANSWER_H

#include "server/http.h"

#include <jansson.h>

/* What went wrong, for programs; the HTTP status follows from it. */
typedef enum mebi__error_code {
    MEBI__ERROR_BAD_REQUEST,  /* 400 */
    MEBI__ERROR_UNAUTHORIZED, /* 401 */
    MEBI__ERROR_FORBIDDEN,    /* 403 */
    MEBI__ERROR_NOT_FOUND,    /* 404 */
    MEBI__ERROR_CONFLICT,     /* 409 */
    MEBI__ERROR_TOO_BIG,      /* 409, with a plan */
    MEBI__ERROR_QUEUE_FULL,   /* 429 */
    MEBI__ERROR_INTERNAL,     /* 500 */
    MEBI__ERROR_UNAVAILABLE,  /* 503 */
    MEBI__ERROR_CODES
} mebi__error_code;

const char *mebi__error_code_name(mebi__error_code code);

/* Takes the reference. NULL: out of memory, answered as such. */
void mebi__answer_json(mebi__http_answer *a, int status, json_t *json);
/* Bytes that live as long as the program. */
void mebi__answer_static(mebi__http_answer *a, int status, const char *type, const void *data,
                         size_t bytes);
/* Bytes that release frees, also when the answer is never sent. */
void mebi__answer_owned(mebi__http_answer *a, int status, const char *type, void *data,
                        size_t bytes, void (*release)(void *data));
void mebi__answer_empty(mebi__http_answer *a, int status);

/* {"error":{"code","message"}}, status 0: the code's own. */
__attribute__((format(printf, 4, 5))) void mebi__answer_error(mebi__http_answer *a, int status,
                                                              mebi__error_code code,
                                                              const char *format, ...);
/* The same with "field" and "plan", each may be NULL; takes plan's reference. */
void mebi__answer_error_about(mebi__http_answer *a, int status, mebi__error_code code,
                              const char *message, const char *field, json_t *plan);
/* For a failure that is not the client's: its sentence, as 500, 503 or, of MEBI_BAD_ARGUMENT, 400.
 */
void mebi__answer_failure(mebi__http_answer *a, mebi_status status, const mebi_error *err);

/* One more header. name is static; a value that does not fit is cut. */
__attribute__((format(printf, 3, 4))) void
mebi__answer_header(mebi__http_answer *a, const char *name, const char *format, ...);
/* Lets go of what an answer holds that will not be sent. */
void mebi__answer_drop(mebi__http_answer *a);

#endif

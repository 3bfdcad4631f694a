/* What the other programs' APIs (OpenAI's, AUTOMATIC1111's) have in common: orders that are waited
 * for, warnings, and errors in the shape their clients know. */
#ifndef MEBI_SERVER_OTHERS_H
#define MEBI_SERVER_OTHERS_H

#include "jobs/jobs.h"
#include "server/fields.h"
#include "server/http.h"

#include <jansson.h>

/* An error answer of /v1/... or /sdapi/... comes to have its API's shape; any other is left alone.
 * Headers stay. */
void mebi__others_reshape(const char *path, mebi__http_answer *answer);

/* One more sentence. */
__attribute__((format(printf, 2, 3))) void mebi__others_warn(json_t *warnings, const char *format,
                                                             ...);
/* All of them in the header X-Mebi-Warning, in plain ASCII, cut at its room. */
void mebi__others_warned(mebi__http_answer *answer, const json_t *warnings);

/* What is waited for. */
typedef struct mebi__others_order {
    char job[MEBI__JOB_ID];
    int64_t after; /* an event before its first */
} mebi__others_order;

/* Before the address, in the client of jobs that came over AUTOMATIC1111's API: an interrupt there
 * is meant for these. */
#define MEBI__OTHERS_SDAPI_CLIENT "sdapi "

/* Submits. 0: *answer says why not, and what would fit. */
int mebi__others_submit(mebi__server *server, const mebi__http_request *request,
                        const mebi_request *wanted, mebi__others_order *order,
                        mebi__http_answer *answer);

/* Writes the answer of a job that has ended as done, or cancelled with pictures. `about` is what
 * the handler wanted to remember, with an array "warnings". */
typedef void (*mebi__others_finish)(mebi__server *server, const mebi__job *job, json_t *about,
                                    mebi__http_answer *answer);

/* The answer comes when the job has ended; when the client goes away before, it is cancelled, and
 * when the server ends, it is kept. Takes about's reference. */
void mebi__others_wait(mebi__server *server, const mebi__others_order *order,
                       mebi__others_finish finish, json_t *about, mebi__http_answer *answer);

/* Its client has gone: cancels the job, unless it is only the server that ends. */
void mebi__others_give_up(mebi__server *server, const char *job);
/* What a job that brought no pictures is answered with. */
void mebi__others_failed(mebi__http_answer *answer, const mebi__job *job);

/* 1 for a value that asks for nothing: null, false, 0, "", [], {}. */
int mebi__others_is_nothing(const json_t *value);

#endif

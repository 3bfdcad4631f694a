/* The operator's log: a line an event, as text or as JSON, on standard error. Must never hold a
 * token, a cookie, a prompt, or a query. */
#ifndef MEBI_SERVER_LOG_H
#define MEBI_SERVER_LOG_H

#include <stdint.h>

typedef enum mebi__log_form { MEBI__LOG_TEXT, MEBI__LOG_JSON, MEBI__LOG_NONE } mebi__log_form;

typedef struct mebi__log {
    mebi__log_form form;
    int fd;
} mebi__log;

typedef struct mebi__log_request {
    const char *method, *path, *address;
    int status;
    double seconds;
    uint64_t bytes;
} mebi__log_request;

/* level: "info", "warning", "error". */
__attribute__((format(printf, 3, 4))) void mebi__log_say(const mebi__log *log, const char *level,
                                                         const char *format, ...);
void mebi__log_asked(const mebi__log *log, const mebi__log_request *request);

#endif

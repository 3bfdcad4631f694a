/* Status codes and error text. SPDX-License-Identifier: Apache-2.0
 *
 * Every function that can fail returns a mebi_status and, if the caller passes one, fills a
 * mebi_error that the caller owns. The first failure wins: a filled mebi_error is not overwritten.
 */
#ifndef MEBI_STATUS_H
#define MEBI_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, short text). Numbers are stable: programs may store them. */
#define MEBI_STATUS_MAP(X)                                                                         \
    X(OK, 0, "ok")                                                                                 \
    X(BAD_ARGUMENT, 1, "bad argument")                                                             \
    X(IO, 2, "input/output error")                                                                 \
    X(BAD_FILE, 3, "broken or foreign file")                                                       \
    X(UNSUPPORTED, 4, "not supported")                                                             \
    X(NO_MEMORY, 5, "out of memory")                                                               \
    X(CANCELLED, 6, "cancelled")                                                                   \
    X(NUMERIC, 7, "result is not finite")                                                          \
    X(INTERNAL, 8, "internal error")

typedef enum mebi_status {
#define X(name, number, text) MEBI_##name = number,
    MEBI_STATUS_MAP(X)
#undef X
} mebi_status;

/* Caller-owned error detail. Start with all zeros (`mebi_error err = {0};` in C, `= {}` in C++). */
typedef struct mebi_error {
    mebi_status status;
    char text[1024]; /* UTF-8, one sentence or more, always terminated */
} mebi_error;

#if defined(__GNUC__)
#define MEBI_MUST_USE __attribute__((warn_unused_result))
#define MEBI_API __attribute__((visibility("default")))
#else
#define MEBI_MUST_USE
#define MEBI_API
#endif

/* The short text of a status; "unknown status" for a foreign number. Never NULL. */
MEBI_API const char *mebi_status_text(mebi_status status);

#ifdef __cplusplus
}
#endif
#endif

/* Who may ask: host names, origins, tokens, sessions, and how often one may try. All of it is text
 * in and a verdict out; nothing here knows of connections. */
#ifndef MEBI_SERVER_GUARD_H
#define MEBI_SERVER_GUARD_H

#include "base/error.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MEBI__GUARD_NAMES = 16,
    MEBI__GUARD_SESSIONS = 64,
    MEBI__GUARD_TRIERS = 256,
    MEBI__GUARD_TRIES = 8,   /* failed ones an address has in a window */
    MEBI__GUARD_WINDOW = 60, /* seconds */
    MEBI__SESSION_DIGITS = 64,
    MEBI__TOKEN_LEAST = 16,
    MEBI__TOKEN_MOST = 512,
};

typedef struct mebi__guard {
    char *names[MEBI__GUARD_NAMES]; /* hosts, lower case, without port */
    int name_count;
    char *token; /* NULL: none is needed */
    size_t token_bytes;
    pthread_mutex_t lock;
    struct {
        char id[MEBI__SESSION_DIGITS + 1];
        double until;
    } session[MEBI__GUARD_SESSIONS];
    struct {
        char address[48];
        int failed;
        double since;
    } trier[MEBI__GUARD_TRIERS];
} mebi__guard;

/* token_path: a file with the token in its first line; NULL: none. */
MEBI_MUST_USE mebi_status mebi__guard_open(mebi__guard *guard, const char *token_path,
                                           mebi_error *err);
void mebi__guard_close(mebi__guard *guard);
/* A host that may be asked for by this name. "[::1]" for an IPv6 address. */
MEBI_MUST_USE mebi_status mebi__guard_name(mebi__guard *guard, const char *name, mebi_error *err);

/* 1 if the Host header names one of ours; any port. own: the address the connection came in at, as
 * a Host header would have it; "" if not known. */
int mebi__guard_host(const mebi__guard *guard, const char *host, const char *own);
/* 1 if an Origin header is this host's own: https:// and the very text of the Host header; without
 * tls http:// too, and https:// still, for a proxy may do it. */
int mebi__guard_origin(const char *origin, const char *host, int tls);

/* 1 if it is the token; in a time that does not depend on where it differs. */
int mebi__guard_token(const mebi__guard *guard, const char *given, size_t bytes);
/* The same for an Authorization header: "Bearer TOKEN", or "Basic ..." whose password is the token.
 */
int mebi__guard_authorization(const mebi__guard *guard, const char *header);

/* Seconds an address must wait before its next try; 0: none. */
int mebi__guard_wait(mebi__guard *guard, const char *address);
void mebi__guard_failed(mebi__guard *guard, const char *address);
void mebi__guard_succeeded(mebi__guard *guard, const char *address);

/* A new session's id. The oldest one goes where there are too many. */
void mebi__guard_login(mebi__guard *guard, char id[MEBI__SESSION_DIGITS + 1]);
int mebi__guard_session(mebi__guard *guard, const char *id);
void mebi__guard_logout(mebi__guard *guard, const char *id);

#endif

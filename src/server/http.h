/* The HTTP core: connections, their limits and times, and what is asked and answered on them. One
 * place checks method, path, host, origin, token and sizes before any handler runs; handlers never
 * see a connection. */
#ifndef MEBI_SERVER_HTTP_H
#define MEBI_SERVER_HTTP_H

#include "base/error.h"
#include "server/tls.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct mebi__server mebi__server;
typedef struct mebi__http mebi__http;
typedef struct mebi__route mebi__route;

enum {
    MEBI__HTTP_CAPTURES = 2, /* {id} and the like in a path */
    MEBI__HTTP_CAPTURE_BYTES = 80,
    MEBI__HTTP_HEADERS = 6, /* of an answer, beside the usual ones */
    MEBI__HTTP_PATH_BYTES = 512,
    MEBI__HTTP_QUERY_BYTES = 4096,
    MEBI__HTTP_ADDRESS_BYTES = 48,
};

typedef enum mebi__method {
    MEBI__GET = 1, /* HEAD too */
    MEBI__POST = 2,
    MEBI__PUT = 4,
    MEBI__PATCH = 8,
    MEBI__DELETE = 16,
} mebi__method;

typedef struct mebi__http_request {
    mebi__method method;
    const mebi__route *route;
    char path[MEBI__HTTP_PATH_BYTES];   /* as sent: it has no escapes, for none of ours needs any */
    char query[MEBI__HTTP_QUERY_BYTES]; /* as sent, behind the '?'; "" if none */
    char capture[MEBI__HTTP_CAPTURES][MEBI__HTTP_CAPTURE_BYTES]; /* letters, digits, - _ and . */
    char address[MEBI__HTTP_ADDRESS_BYTES];                      /* of who asks */
    const char *body; /* terminated by a 0 byte that body_bytes does not count */
    size_t body_bytes;
    const char *none_match, *last_event, *accept_encoding; /* headers; NULL: not sent */
    int tls;                                               /* 1: came over this server's own TLS */
    const char *host, *forwarded; /* Host, as checked; X-Forwarded-Proto or NULL */
    char session[80];             /* the cookie's value; "" if none */
    int logged_in; /* 1: came with a token or a session; always 1 where no token is needed */
} mebi__http_request;

/* Produces an answer's bytes piece by piece. */
typedef struct mebi__http_source {
    void *context;
    /* Fills up to room bytes; returns how many, 0 at the end, -1 for a failure, or MEBI__HTTP_WAIT:
     * there are none yet, and mebi__http_wake has been arranged for (waker was kept by the source
     * before it returned). */
    ssize_t (*read)(void *context, char *to, size_t room);
    /* Called before the first read: the waker, for mebi__http_wake. NULL: never waits. */
    void (*begin)(void *context, void *waker);
    void (*end)(void *context);
    int watched; /* 1: whenever it is woken, it ends if the client has gone meanwhile */
} mebi__http_source;

enum { MEBI__HTTP_WAIT = -2 };

struct mebi__http_answer;

/* An answer that is not there yet. The connection sleeps and costs no thread; whenever it is woken,
 * the core looks whether the client is still there, and asks. */
typedef struct mebi__http_later {
    void *context;
    /* 1: *answer is set; 0: not yet, and mebi__http_wake has been arranged for. */
    int (*ask)(void *context, struct mebi__http_answer *answer);
    void (*begin)(void *context, void *waker); /* before the first asking */
    void (*end)(void *context); /* after an answer, or without one: the client has gone */
} mebi__http_later;

typedef struct mebi__http_answer {
    int status;
    const char *type; /* Content-Type; static */
    /* The body: bytes at data. release (may be NULL: static bytes) frees it when it has been sent.
     */
    const void *data;
    size_t bytes;
    void (*release)(void *data);
    int fd;                   /* or a file of `bytes` bytes, which the core closes; -1: none */
    mebi__http_source source; /* or these, if source.read is set */
    mebi__http_later later;   /* or all of it comes later, if later.ask is set */
    int headers;
    struct {
        const char *name; /* static */
        char value[256];
    } header[MEBI__HTTP_HEADERS];
} mebi__http_answer;

typedef void (*mebi__handler)(mebi__server *server, const mebi__http_request *request,
                              mebi__http_answer *answer);

/* What the core is to do; a test sets small ones. Zeros: the usual. */
typedef struct mebi__http_limits {
    int connections;      /* in all */
    int from_one_address; /* loopback not counted */
    int idle_seconds;     /* without a byte */
    int request_seconds;  /* from a connection's begin, or the last answer's end, to a whole head;
                             and to a body */
    int threads;
} mebi__http_limits;

typedef struct mebi__http_params {
    mebi__server *server;
    const mebi__tls *tls; /* kept; with no key in it: plain HTTP */
    const char *address;  /* as digits: 127.0.0.1, ::1 */
    int port;             /* 0: any */
    mebi__http_limits limits;
} mebi__http_params;

/* Takes the port and begins to answer. MEBI_IO with a sentence where the port is taken or the
 * address is none of this machine's. */
MEBI_MUST_USE mebi_status mebi__http_open(const mebi__http_params *params, mebi__http **out,
                                          mebi_error *err);
int mebi__http_port(const mebi__http *http);
/* 1 if the client, as far as can be known, speaks https: with this server, or with a proxy. */
int mebi__http_is_secure(const mebi__http_request *request);
/* Once a second or so: cuts connections that keep us waiting too long. */
void mebi__http_tick(mebi__http *http);
/* No new connections from now on. */
void mebi__http_quiesce(mebi__http *http);
/* Ends all connections and frees. Sources that wait must have been woken for their end before.
 * Accepts NULL. */
void mebi__http_close(mebi__http **http);

typedef struct mebi__http_counts {
    int connections;
    uint64_t requests, bytes_in, by_class[6]; /* 2xx in [2], ... */
} mebi__http_counts;
mebi__http_counts mebi__http_count(mebi__http *http);

/* A source that said MEBI__HTTP_WAIT has something now, or what comes later is to be asked for.
 * From any thread. */
void mebi__http_wake(void *waker);

/* The decoded value of a query's name in `to`. 0: it is not there. -1: it is there but is no good:
 * too long, not UTF-8, a control character, a broken escape, or there twice. */
int mebi__http_query(const mebi__http_request *request, const char *name, char *to, size_t room);

#endif

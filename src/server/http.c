/* The HTTP core over libmicrohttpd: a few threads with an epoll each; answers that wait are
 * suspended and cost no thread. Must never run a handler for a request that has not passed every
 * check, and never hold one's body beyond its limit. */
#include "server/http.h"

#include "base/memory.h"
#include "base/os.h"
#include "server/answer.h"
#include "server/connection.h"
#include "server/http_checks.h"
#include "server/listen.h"
#include "server/log.h"
#include "server/others.h"
#include "server/routes.h"
#include "server/server.h"
#include "server/uri.h"

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
    THREADS = 4,
    CONNECTIONS = 1200,
    FROM_ONE_ADDRESS = 128,
    IDLE_SECONDS = 30,
    REQUEST_SECONDS = 60,
    HEAD_BYTES = 24 << 10, /* a connection's memory: its head must fit */
    STREAM_BLOCK = 4 << 10,
    FIRST_BODY = 4 << 10,
    THROWN_BODY = 1 << 20,
};

struct mebi__http {
    mebi__server *server;
    const mebi__tls *tls;
    struct MHD_Daemon *daemon;
    mebi__connections connections;
    int port, request_seconds;
    atomic_uint_fast64_t requests, bytes_in, by_class[6];
};

/* A connection that sleeps until somebody has something for it. */
typedef struct sleeper {
    struct MHD_Connection *connection;
    pthread_mutex_t lock;
    int fd; /* its socket */
    int suspended, woken;
} sleeper;

/* One request, from its first line to its answer's end. */
typedef struct exchange {
    mebi__http_request request;
    mebi__connection *connection;
    double began;
    int refusal;  /* HTTP status that the first line earned; 0: none */
    int begun;    /* the head has been checked */
    int too_long; /* the body went beyond its limit */
    size_t thrown; /* bytes of it since then */
    int status;   /* answered */
    size_t room;  /* of the body */
    char *body;
    char method[16];
    mebi__http_later later; /* later.ask set: the answer is waited for */
    sleeper sleeper;        /* then */
} exchange;

/* ---- answers ---- */

static const char policy[] = "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; "
                             "script-src 'self'; connect-src 'self'; "
                             "frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

static void add_headers(struct MHD_Response *r, const mebi__http_answer *a) {
    int caching = 0, policed = 0;
    for (int i = 0; i < a->headers; i++) {
        caching |= strcmp(a->header[i].name, MHD_HTTP_HEADER_CACHE_CONTROL) == 0;
        policed |= strcmp(a->header[i].name, "Content-Security-Policy") == 0;
        MHD_add_response_header(r, a->header[i].name, a->header[i].value);
    }
    if (a->type) MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a->type);
    if (!caching) MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (!policed) MHD_add_response_header(r, "Content-Security-Policy", policy);
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(r, "Cross-Origin-Resource-Policy", "same-origin");
    MHD_add_response_header(r, "Cross-Origin-Opener-Policy", "same-origin");
}

/* A source under way on a connection. */
typedef struct stream {
    mebi__http_source source;
    sleeper sleeper;
} stream;

static void init_sleeper(sleeper *s, struct MHD_Connection *c, int fd) {
    s->connection = c;
    s->fd = fd;
    pthread_mutex_init(&s->lock, NULL);
}

void mebi__http_wake(void *waker) {
    sleeper *s = waker;
    pthread_mutex_lock(&s->lock);
    if (s->suspended) {
        s->suspended = 0;
        MHD_resume_connection(s->connection);
    } else s->woken = 1;
    pthread_mutex_unlock(&s->lock);
}

/* 1 if the connection sleeps now; 0 if it was woken meanwhile and is to ask again. */
static int fall_asleep(sleeper *s) {
    pthread_mutex_lock(&s->lock);
    int sleeps = !s->woken;
    s->woken = 0;
    if (sleeps) {
        s->suspended = 1;
        MHD_suspend_connection(s->connection);
    }
    pthread_mutex_unlock(&s->lock);
    return sleeps;
}

static ssize_t read_stream(void *context, uint64_t at, char *to, size_t room) {
    stream *s = context;
    (void)at;
    for (;;) {
        if (s->source.watched && mebi__connection_gone(s->sleeper.fd)) return MHD_CONTENT_READER_END_WITH_ERROR;
        ssize_t n = s->source.read(s->source.context, to, room);
        if (n > 0) return n;
        if (n == 0) return MHD_CONTENT_READER_END_OF_STREAM;
        if (n != MEBI__HTTP_WAIT) return MHD_CONTENT_READER_END_WITH_ERROR;
        if (fall_asleep(&s->sleeper)) return 0;
    }
}

static void end_stream(void *context) {
    stream *s = context;
    if (s->source.end) s->source.end(s->source.context);
    pthread_mutex_destroy(&s->sleeper.lock);
    mebi__free(s);
}

static struct MHD_Response *stream_response(struct MHD_Connection *c, int fd,
                                            mebi__http_answer *a) {
    stream *s = mebi__alloc(MEBI__TAG_GENERAL, sizeof *s);
    if (!s) return NULL;
    s->source = a->source;
    init_sleeper(&s->sleeper, c, fd);
    struct MHD_Response *r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK,
                                                               read_stream, s, end_stream);
    if (!r) {
        pthread_mutex_destroy(&s->sleeper.lock);
        mebi__free(s);
        return NULL;
    }
    if (s->source.begin) s->source.begin(s->source.context, &s->sleeper);
    return r;
}

static struct MHD_Response *make_response(struct MHD_Connection *c, int fd, mebi__http_answer *a) {
    void *data = (void *)(uintptr_t)a->data;
    if (a->source.read) return stream_response(c, fd, a);
    if (a->fd >= 0) return MHD_create_response_from_fd64(a->bytes, a->fd);
    if (!a->release) return MHD_create_response_from_buffer(a->bytes, data, MHD_RESPMEM_PERSISTENT);
    return MHD_create_response_from_buffer_with_free_callback_cls(a->bytes, data, a->release, data);
}

/* What the answer holds passes over to the response. */
static enum MHD_Result send_answer(struct MHD_Connection *c, exchange *e, mebi__http_answer *a) {
    mebi__others_reshape(e->request.path, a);
    struct MHD_Response *r = make_response(c, e->connection->fd, a);
    e->status = a->status;
    if (!r) {
        mebi__answer_drop(a);
        return MHD_NO;
    }
    add_headers(r, a);
    enum MHD_Result queued = MHD_queue_response(c, (unsigned)a->status, r);
    MHD_destroy_response(r);
    return queued;
}

/* ---- requests ---- */

static void free_exchange(exchange *e) {
    if (!e) return;
    if (e->body) explicit_bzero(e->body, e->request.body_bytes);
    mebi__free(e->body);
    mebi__free(e);
}

/* The HTTP library does not tell the end of a request whose head it could not hold: what hangs on
 * the connection goes with the next one, or with the connection. */
static void *on_line(void *context, const char *uri, struct MHD_Connection *c) {
    mebi__http *http = context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    mebi__connection *connection = info ? info->socket_context : NULL;
    exchange *e = connection ? mebi__alloc(MEBI__TAG_GENERAL, sizeof *e) : NULL;
    if (!e) return NULL;
    free_exchange(connection->request);
    connection->request = e;
    e->connection = connection;
    e->began = mebi__now_seconds();
    e->request.tls = http->tls->key != NULL;
    e->refusal = mebi__uri_split(uri, e->request.path, sizeof e->request.path, e->request.query,
                                 sizeof e->request.query);
    strcpy(e->request.address, connection->address);
    atomic_fetch_add(&http->requests, 1);
    return e;
}

/* What is beyond the limit is thrown away: a client that ends soon gets to read why. 0: it goes on. */
static int throw_body(exchange *e, size_t bytes) {
    if (e->body) explicit_bzero(e->body, e->request.body_bytes);
    mebi__free(e->body);
    e->body = NULL;
    e->room = e->request.body_bytes = 0;
    e->too_long = 1;
    e->thrown += bytes;
    return e->thrown <= THROWN_BODY;
}

/* Takes a piece of the body. 0: no memory, or far too much. */
static int take_body(exchange *e, const char *data, size_t bytes, size_t limit) {
    size_t have = e->request.body_bytes, wanted = have + bytes + 1,
           room = e->room ? e->room : FIRST_BODY;
    if (e->too_long || bytes > limit - have) return throw_body(e, bytes);
    while (room < wanted) room *= 2;
    if (room > e->room) {
        char *grown = mebi__realloc_array(MEBI__TAG_GENERAL, e->body, room, 1);
        if (!grown) return 0;
        e->body = grown, e->room = room;
    }
    memcpy(e->body + have, data, bytes);
    e->body[have + bytes] = 0;
    e->request.body_bytes += bytes;
    return 1;
}

static void run_handler(mebi__http *http, exchange *e, mebi__http_answer *a) {
    const mebi__route *route = e->request.route;
    e->request.body = e->body ? e->body : "";
    if (e->too_long)
        mebi__answer_error(a, 413, MEBI__ERROR_BAD_REQUEST,
                           "The body is larger than %zu bytes, the most that is taken here.",
                           mebi__route_limit(route));
    else route->handler(http->server, &e->request, a);
    /* A handler that says nothing is a fault of this program. */
    if (a->status == 0 && !a->later.ask)
        mebi__answer_error(a, 0, MEBI__ERROR_INTERNAL, "There was no answer.");
}

/* The answer, if it is there by now; else the connection sleeps again. */
static enum MHD_Result ask_later(struct MHD_Connection *c, exchange *e) {
    for (;;) {
        mebi__http_answer a = {.fd = -1};
        if (mebi__connection_gone(e->sleeper.fd)) return MHD_NO;
        if (e->later.ask(e->later.context, &a)) return send_answer(c, e, &a);
        if (fall_asleep(&e->sleeper)) return MHD_YES;
    }
}

static void begin_later(struct MHD_Connection *c, exchange *e, const mebi__http_later *later) {
    e->later = *later;
    init_sleeper(&e->sleeper, c, e->connection->fd);
    if (later->begin) later->begin(later->context, &e->sleeper);
}

static void end_later(exchange *e) {
    if (!e->later.ask) return;
    if (e->later.end) e->later.end(e->later.context);
    pthread_mutex_destroy(&e->sleeper.lock);
}

/* The head is there; the body, if one follows, is not. */
static enum MHD_Result begin(mebi__http *http, struct MHD_Connection *c, exchange *e) {
    mebi__http_answer a = {.fd = -1};
    e->begun = 1;
    mebi__connections_wait(&http->connections, e->connection, 1);
    if (mebi__http_checks(c, http->server, e->method, e->refusal, e->connection->own, &e->request,
                          &a))
        return MHD_YES;
    return send_answer(c, e, &a);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *bytes, void **state) {
    mebi__http *http = context;
    exchange *e = *state;
    (void)url, (void)version;
    if (!e) return MHD_NO;
    if (!e->begun) {
        snprintf(e->method, sizeof e->method, "%.15s", method);
        return begin(http, c, e);
    }
    if (*bytes > 0) {
        size_t limit = mebi__route_limit(e->request.route);
        atomic_fetch_add(&http->bytes_in, *bytes);
        if (!take_body(e, data, *bytes, limit)) return MHD_NO;
        *bytes = 0;
        return MHD_YES;
    }
    if (e->later.ask) return ask_later(c, e);
    mebi__http_answer a = {.fd = -1};
    mebi__connections_wait(&http->connections, e->connection, 0);
    run_handler(http, e, &a);
    if (!a.later.ask) return send_answer(c, e, &a);
    begin_later(c, e, &a.later);
    return ask_later(c, e);
}

static void on_completed(void *context, struct MHD_Connection *c, void **state,
                         enum MHD_RequestTerminationCode how) {
    mebi__http *http = context;
    exchange *e = *state;
    (void)c, (void)how;
    if (!e) return;
    end_later(e);
    mebi__connections_wait(&http->connections, e->connection, 1);
    int class = e->status / 100;
    if (class >= 1 && class <= 5) atomic_fetch_add(&http->by_class[class], 1);
    if (e->begun)
        mebi__log_asked(mebi__server_log(http->server),
                        &(mebi__log_request){e->method, e->request.path, e->request.address,
                                             e->status, mebi__now_seconds() - e->began,
                                             e->request.body_bytes});
    e->connection->request = NULL;
    free_exchange(e);
    *state = NULL;
}

/* ---- connections ---- */

static enum MHD_Result on_arrival(void *context, const struct sockaddr *from, socklen_t size) {
    mebi__http *http = context;
    (void)size;
    return mebi__connections_may(&http->connections, from) ? MHD_YES : MHD_NO;
}

static void on_connection(void *context, struct MHD_Connection *c, void **state,
                          enum MHD_ConnectionNotificationCode code) {
    mebi__http *http = context;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*state) free_exchange(((mebi__connection *)*state)->request);
        mebi__connections_remove(&http->connections, *state);
        *state = NULL;
        return;
    }
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    int socket = fd ? fd->connect_fd : -1;
    const union MHD_ConnectionInfo *from =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (from && socket >= 0)
        *state = mebi__connections_add(&http->connections, socket, from->client_addr);
}

/* ---- the whole ---- */

static int or_usual(int given, int usual) {
    return given > 0 ? given : usual;
}

/* The library's own words are of no use to an operator, and may hold what a client sent. */
static void no_words(void *context, const char *format, va_list args) {
    (void)context, (void)format, (void)args;
}

static struct MHD_Daemon *start_daemon(mebi__http *http, const mebi__http_limits *l, int socket) {
    const mebi__tls *tls = http->tls;
    struct MHD_OptionItem https[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, tls->certificate},
                                     {MHD_OPTION_HTTPS_MEM_KEY, 0, tls->key},
                                     {MHD_OPTION_HTTPS_PRIORITIES, 0, MEBI__TLS_PRIORITIES},
                                     {MHD_OPTION_END, 0, NULL}};
    return MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG |
            (tls->key ? MHD_USE_TLS : 0),
        0, on_arrival, http, on_request, http, MHD_OPTION_EXTERNAL_LOGGER, no_words, NULL,
        MHD_OPTION_ARRAY, tls->key ? https : https + 3, MHD_OPTION_LISTEN_SOCKET,
        (MHD_socket)socket, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)or_usual(l->threads, THREADS),
        MHD_OPTION_CONNECTION_LIMIT,
        /* Each thread has a share of them, and the shares fill unevenly: ours is the limit that
           counts. */
        (unsigned)(http->connections.most * 2 + 16), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HEAD_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)or_usual(l->idle_seconds, IDLE_SECONDS), MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_URI_LOG_CALLBACK, on_line, http, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_END);
}

mebi_status mebi__http_open(const mebi__http_params *params, mebi__http **out, mebi_error *err) {
    const mebi__http_limits *l = &params->limits;
    int socket;
    *out = NULL;
    mebi__http *http = mebi__alloc(MEBI__TAG_GENERAL, sizeof *http);
    if (!http) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the server.");
    http->server = params->server;
    http->tls = params->tls;
    http->request_seconds = or_usual(l->request_seconds, REQUEST_SECONDS);
    http->connections.most = or_usual(l->connections, CONNECTIONS);
    http->connections.most_of_one = or_usual(l->from_one_address, FROM_ONE_ADDRESS);
    pthread_mutex_init(&http->connections.lock, NULL);
    *out = http; /* handlers may ask for it at once */
    mebi_status status = mebi__listen(params->address, params->port, &socket, &http->port, err);
    if (status == MEBI_OK && !(http->daemon = start_daemon(http, l, socket))) {
        close(socket);
        status = mebi__fail(err, MEBI_IO, "The server's threads can't be started.");
    }
    if (status != MEBI_OK) {
        pthread_mutex_destroy(&http->connections.lock);
        mebi__free(http);
        *out = NULL;
    }
    return status;
}

int mebi__http_port(const mebi__http *http) {
    return http->port;
}

int mebi__http_is_secure(const mebi__http_request *q) {
    return q->tls || (q->forwarded && strcasecmp(q->forwarded, "https") == 0);
}

void mebi__http_tick(mebi__http *http) {
    mebi__connections_cut(&http->connections, http->request_seconds);
}

void mebi__http_quiesce(mebi__http *http) {
    MHD_socket socket = MHD_quiesce_daemon(http->daemon);
    if (socket != MHD_INVALID_SOCKET) close(socket);
}

void mebi__http_close(mebi__http **http) {
    if (!*http) return;
    MHD_stop_daemon((*http)->daemon);
    pthread_mutex_destroy(&(*http)->connections.lock);
    mebi__free(*http);
    *http = NULL;
}

mebi__http_counts mebi__http_count(mebi__http *http) {
    mebi__http_counts n = {.requests = atomic_load(&http->requests),
                           .bytes_in = atomic_load(&http->bytes_in)};
    for (int i = 0; i < 6; i++) n.by_class[i] = atomic_load(&http->by_class[i]);
    pthread_mutex_lock(&http->connections.lock);
    n.connections = http->connections.count;
    pthread_mutex_unlock(&http->connections.lock);
    return n;
}

int mebi__http_query(const mebi__http_request *request, const char *name, char *to, size_t room) {
    return mebi__uri_value(request->query, name, to, room);
}

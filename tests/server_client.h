/* A server in this process, and a client so small that it can send what no real one would. */
#ifndef MEBI_TESTS_SERVER_CLIENT_H
#define MEBI_TESTS_SERVER_CLIENT_H

#include "model_files.h"

#include "base/memory.h"
#include "base/os.h"
#include "server/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum { REPLY_BYTES = 1 << 22, PATIENCE_MS = 60000 };

typedef struct running {
    mebi__server *server;
    mebi__config config;
    mebi_engine_params engine;
    path_text folder, own_config, token_file;
    int port;
} running;

/* With models/mini and no log, unless the parameters name others. */
static inline mebi_status start_server(running *r, mebi__server_params p, mebi_error *err) {
    r->engine = mebi_engine_params_default();
    r->engine.model = "models/mini";
    r->engine.cache = "";
    r->engine.threads = 2;
    r->own_config = path_of("%s/config.yaml", r->folder.text);
    p.folder = r->folder.text;
    if (!p.engine.open) p.engine = mebi__job_engine_of(&r->engine);
    p.model_name = "mini";
    p.config = &r->config;
    p.config_path = r->own_config.text;
    if (!p.log.fd) p.log = (mebi__log){MEBI__LOG_NONE, 2};
    if (!p.address) p.address = "127.0.0.1";
    MEBI_TRY(mebi__server_open(&p, &r->server, err));
    r->port = mebi__server_port(r->server);
    return MEBI_OK;
}

static inline void end_server(running *r) {
    mebi__server_close(&r->server, 0, NULL);
    mebi__config_free(&r->config);
    remove_path(r->folder.text);
}

/* ---- bytes ---- */

static char reply[REPLY_BYTES]; /* the last answer: head and body */
static size_t reply_bytes;
static const char *body; /* in it */

static inline int dial(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* What the other end takes of it: it may have had enough before the end. */
static inline void send_bytes(int fd, const void *data, size_t bytes) {
    const char *p = data;
    while (bytes > 0) {
        ssize_t n = send(fd, p, bytes, MSG_NOSIGNAL);
        if (n <= 0) return;
        p += n, bytes -= (size_t)n;
    }
}

/* One piece into the reply; 0 at the end, -1 if nothing comes in time. */
static inline int read_piece(int fd, int ms) {
    struct pollfd wait = {fd, POLLIN, 0};
    /* Who was stopped meanwhile, as a whole machine may be, finds the time gone: one more look. */
    if (poll(&wait, 1, ms) != 1 && poll(&wait, 1, ms) != 1) return -1;
    assert_true(reply_bytes + 1 < sizeof reply);
    ssize_t n = recv(fd, reply + reply_bytes, sizeof reply - 1 - reply_bytes, 0);
    if (n <= 0) return 0;
    reply_bytes += (size_t)n;
    reply[reply_bytes] = 0;
    return 1;
}

static inline void begin_reply(void) {
    reply_bytes = 0;
    reply[0] = 0;
    body = reply;
}

/* Until the connection's end; the status, 0 if there is no answer. */
static inline int read_reply(int fd) {
    int more, status = 0;
    begin_reply();
    while ((more = read_piece(fd, PATIENCE_MS)) > 0) {
    }
    if (more < 0) fail_msg("The server is silent: %.200s", reply);
    close(fd);
    const char *end = strstr(reply, "\r\n\r\n");
    body = end ? end + 4 : reply;
    return sscanf(reply, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

static inline int ask_bytes(int port, const void *data, size_t bytes) {
    int fd = dial(port);
    send_bytes(fd, data, bytes);
    return read_reply(fd);
}

/* "GET /path", further head lines (each ended by \r\n), a body or NULL. */
static inline int ask_with(int port, const char *line, const char *head, const char *data) {
    static char text[3 << 20];
    int n =
        snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n%s",
                 line, port, head);
    if (data)
        n += snprintf(text + n, sizeof text - (size_t)n,
                      "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                      strlen(data), data);
    else n += snprintf(text + n, sizeof text - (size_t)n, "\r\n");
    assert_true((size_t)n < sizeof text);
    return ask_bytes(port, text, (size_t)n);
}

static inline int ask(int port, const char *line, const char *data) {
    return ask_with(port, line, "", data);
}

#define assert_status(call, wanted)                                                                \
    do {                                                                                           \
        int status_ = (call);                                                                      \
        if (status_ != (wanted))                                                                   \
            fail_msg("%s is %d, not %d: %.600s", #call, status_, wanted, reply);                   \
    } while (0)

/* ---- answers ---- */

static inline int has_head(const char *line) {
    char *end = strstr(reply, "\r\n\r\n");
    if (!end) return 0;
    char kept = *end;
    *end = 0;
    int found = strcasestr(reply, line) != NULL;
    *end = kept;
    return found;
}

/* A chunked body, in place. */
static inline size_t unchunk(void) {
    char *to = (char *)(uintptr_t)body;
    const char *p = body, *whole = reply + reply_bytes;
    while (p < whole) {
        char *line;
        size_t n = strtoul(p, &line, 16);
        if (n == 0) break;
        memmove(to, line + 2, n);
        to += n, p = line + 2 + n + 2;
    }
    return (size_t)(to - body);
}

/* The answer's JSON; owned by the caller. Chunked ones are not read here. */
static inline json_t *json_of_reply(void) {
    json_error_t why;
    json_t *o = json_loads(body, JSON_REJECT_DUPLICATES, &why);
    if (!o) fail_msg("This is no JSON (%s): %.300s", why.text, reply);
    return o;
}

static inline json_t *get_json(int port, const char *path) {
    char line[600];
    snprintf(line, sizeof line, "GET %.590s", path);
    assert_status(ask(port, line, NULL), 200);
    return json_of_reply();
}

static inline const char *text_at(const json_t *o, const char *key) {
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static inline json_int_t number_at(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    if (!json_is_number(v)) fail_msg("%s is no number", key);
    return (json_int_t)json_number_value(v);
}

/* The error's code; in a buffer of its own. */
static inline const char *error_code(void) {
    static char code[40];
    json_t *o = json_of_reply(), *error = json_object_get(o, "error");
    snprintf(code, sizeof code, "%s", text_at(error, "code"));
    const char *message = text_at(error, "message");
    size_t length = strlen(message);
    if (length < 10 || !strchr(".}?", message[length - 1])) fail_msg("no sentence: %s", body);
    json_decref(o);
    return code;
}

static inline void assert_error(int status, int wanted, const char *code) {
    if (status != wanted) fail_msg("%d, not %d: %.400s", status, wanted, reply);
    assert_string_equal(error_code(), code);
}

static inline void nap_ms(int ms) {
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

static inline void wait_until_ready(int port) {
    for (int i = 0; i < 600; i++) {
        if (ask(port, "GET /healthz", NULL) == 200) return;
        nap_ms(100);
    }
    fail_msg("The model is not opened: %s", body);
}

#endif

/* A server with an engine of nothing, and what has to hold after each hostile request: the very
 * status, an answer that is no page, no job, and a server that answers the next one. */
#ifndef MEBI_TESTS_HOSTILE_H
#define MEBI_TESTS_HOSTILE_H

#include "jobs_fake.h"
#include "server_client.h"

#include <fcntl.h>

#define TOKEN "0123456789abcdef0123456789abcdef"
#define HOST  "Host: localhost\r\nConnection: close\r\n"
#define MARK  "<img/src=x>" /* what would be markup, were it repeated in a page */

enum {
    LIBRARY = 1, /* the HTTP library's own answer, or none */
    ORDERS = 2,  /* a job is made of it */
    NO_BODY = 4, /* the answer has none */
    QUIET_MS = 250,
    ENDING_MS = 10000
};

static running the, *at = &the; /* at: the server that is asked */
static fake painter;
static path_text log_path;
static int asked;  /* requests */
static int sender; /* the address they come from is 127.0.1.sender; 0: the usual one */

static inline int start_hostile(mebi__server_params p) {
    mebi_error err = {0};
    the.folder = jobs_folder();
    log_path = path_of("%s/log", the.folder.text);
    pthread_mutex_init(&painter.lock, NULL);
    p.engine = (mebi__job_engine){&painter,  fake_open,     fake_close, fake_describe,
                                  fake_plan, fake_generate, NULL};
    p.log = (mebi__log){MEBI__LOG_JSON,
                        open(log_path.text, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};
    assert_true(p.log.fd > 2);
    assert_mebi_ok(start_server(&the, p, &err), &err);
    wait_until_ready(the.port);
    return 0;
}

static inline int end_hostile(void) {
    end_server(&the);
    pthread_mutex_destroy(&painter.lock);
    print_message("%d hostile requests\n", asked);
    return mebi__memory_held(MEBI__TAG_COUNT) == 0 ? 0 : -1;
}

/* ---- asking ---- */

/* The status of what comes until the end; 0: nothing does. A server that waits for more is told,
 * after a while, that there is none. */
static inline int hear_out(int fd) {
    int status = 0, more, ms = QUIET_MS;
    begin_reply();
    while ((more = read_piece(fd, ms)) != 0) {
        if (more < 0 && ms == ENDING_MS) fail_msg("The connection is not ended: %.200s", reply);
        if (more < 0) shutdown(fd, SHUT_WR), ms = ENDING_MS;
    }
    close(fd);
    const char *end = strstr(reply, "\r\n\r\n");
    body = end ? end + 4 : reply;
    return sscanf(reply, "HTTP/1.1 %3d", &status) == 1 ? status : 0;
}

static inline int dial_as_sender(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in here = {.sin_family = AF_INET},
                       to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)at->port)};
    here.sin_addr.s_addr = htonl(0x7f000100u + (uint32_t)sender);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof here), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static inline int send_raw(const void *data, size_t bytes) {
    int fd = sender ? dial_as_sender() : dial(at->port);
    asked++;
    send_bytes(fd, data, bytes);
    return hear_out(fd);
}

/* A line, further head lines, and a body of that type (NULL: none is named). */
static inline int send_typed(const char *line, const char *head, const char *type, const void *data,
                             size_t bytes) {
    size_t room = bytes + strlen(line) + strlen(head) + 400;
    char *text = take_bytes(room);
    int n = snprintf(text, room, "%s HTTP/1.1\r\n" HOST "%s", line, head);
    if (type) n += snprintf(text + n, room - (size_t)n, "Content-Type: %.200s\r\n", type);
    if (data) n += snprintf(text + n, room - (size_t)n, "Content-Length: %zu\r\n", bytes);
    n += snprintf(text + n, room - (size_t)n, "\r\n");
    if (bytes) memcpy(text + n, data, bytes);
    int status = send_raw(text, (size_t)n + bytes);
    free(text);
    return status;
}

static inline int send_json(const char *line, const char *data, size_t bytes) {
    return send_typed(line, "", "application/json", data, bytes);
}

static inline int send_line(const char *line) {
    return send_typed(line, "", NULL, NULL, 0);
}

/* ---- what has to hold ---- */

static inline int64_t jobs_made(void) {
    mebi__jobs_counters n;
    mebi_error err = {0};
    assert_mebi_ok(mebi__jobs_count(mebi__server_jobs(at->server), &n, &err), &err);
    return n.accepted;
}

/* The sentence of an error, in the shape of any of the APIs. */
static inline const char *sentence_of(const json_t *o) {
    const json_t *error = json_object_get(o, "error");
    return json_is_object(error) ? text_at(error, "message") : text_at(o, "detail");
}

static inline void check_sentence(const char *name) {
    json_t *o = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
    const char *text = sentence_of(o);
    size_t length = strlen(text);
    if (length < 10 || !strchr(".}?", text[length - 1]))
        fail_msg("%s: no sentence: %.300s", name, reply);
    for (const unsigned char *p = (const unsigned char *)body; *p; p++)
        if (*p < ' ' || *p == 0x7f) fail_msg("%s: a control character in %.300s", name, body);
    json_decref(o);
}

/* No page of this server's own, and none that a browser would take for one. */
static inline void check_shape(const char *name, int status, int flags) {
    if (strstr(reply, MARK) && (flags & LIBRARY || !has_head("Content-Type: application/json")))
        fail_msg("%s is repeated as markup: %.400s", name, reply);
    if (has_head("Access-Control-") || has_head("\nX-Injected"))
        fail_msg("%s: %.400s", name, reply);
    if (flags & LIBRARY) return;
    static const char *const lines[] = {
        "X-Content-Type-Options: nosniff", "Content-Security-Policy: default-src 'self'",
        "Referrer-Policy: no-referrer", "Cross-Origin-Resource-Policy: same-origin"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!has_head(lines[i]))
            fail_msg("%s is answered without %s: %.400s", name, lines[i], reply);
    if (status < 400 || flags & NO_BODY) return;
    if (!has_head("Content-Type: application/json"))
        fail_msg("%s: an error that is no JSON: %.400s", name, reply);
    check_sentence(name);
}

static inline void check_life(const char *name) {
    char kept[600];
    snprintf(kept, sizeof kept, "%.599s", reply);
    if (ask(at->port, "GET /healthz", NULL) != 200) fail_msg("%s ended the server: %s", name, kept);
}

/* Called with the number of jobs before the request. */
static inline void check_row(const char *name, int status, int wanted, int flags, int64_t before) {
    if (status != wanted) fail_msg("%s is %d, not %d: %.500s", name, status, wanted, reply);
    if (status) check_shape(name, status, flags);
    if (jobs_made() - before != !!(flags & ORDERS))
        fail_msg("%s made %d jobs", name, (int)(jobs_made() - before));
    check_life(name);
}

/* ---- bodies ---- */

#define COUNT(table) (sizeof table / sizeof *table)

static const double patience =
    SANITIZED ? 8 : 1; /* seconds of the processors' that a bomb may take */

static inline double worked(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline void check_work(const char *name, double began) {
    double seconds = worked() - began;
    if (seconds > patience) fail_msg("%s takes %.1f s", name, seconds);
}

static inline void send_row(const char *line, const char *name, const char *data, size_t bytes,
                            int wanted, int flags) {
    char shown[300];
    int64_t before = jobs_made();
    double began = worked();
    int status = send_json(line, data, bytes);
    snprintf(shown, sizeof shown, "%s of %.200s", line, name);
    check_work(shown, began);
    check_row(shown, status, wanted, flags, before);
}

static inline void send_text(const char *line, const char *data, int wanted, int flags) {
    send_row(line, data, data, strlen(data), wanted, flags);
}

/* ---- at the end ---- */

/* Lines of requests in the log; each line is JSON in printable ASCII. */
static inline int count_lines(void) {
    static char line[1 << 16];
    FILE *f = fopen(log_path.text, "r");
    int lines = 0;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        json_t *o = json_loads(line, 0, NULL);
        if (!o) fail_msg("no JSON: %s", line);
        for (const char *p = line; *p; p++) assert_true(*p == '\n' || (*p >= ' ' && *p <= '~'));
        lines += json_object_get(o, "method") != NULL;
        json_decref(o);
    }
    fclose(f);
    return lines;
}

/* Whatever was sent, no line of a request that was answered is missing. */
static inline void keeps_its_log_whole(void **state) {
    mebi__http_counts n = mebi__http_count(mebi__server_http(the.server));
    uint64_t answered = 0;
    (void)state;
    for (int i = 0; i < 6; i++) answered += n.by_class[i];
    assert_true(answered > 0);
    for (int i = 0; i < 100 && (uint64_t)count_lines() < answered; i++) nap_ms(20);
    assert_true((uint64_t)count_lines() >= answered);
}

#endif

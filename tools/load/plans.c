/* Plan requests at a fixed rate, whatever the answers do: a request's time begins when it was due, so
 * that a server which stands still for a second is seen by all that came in that second. Must never leave
 * a request out because the ones before it are late.
 *
 * Connections are kept and used again, as a page's are; when all are busy one more is opened. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { CONNECTIONS = 256, BACKLOG = 4096, REQUEST_BYTES = 1024, HEAD_BYTES = 4096 };

typedef struct connection {
    int fd, busy; /* busy: a request is on it */
    double due;
    char out[REQUEST_BYTES];
    size_t out_bytes, sent;
    char head[HEAD_BYTES];
    size_t head_bytes;
    int in_body, status, closes;
    size_t body_left;
} connection;

struct plans {
    const target *t;
    int poll;
    double gap, next, waiting[BACKLOG]; /* waiting: due, and no connection was free */
    int first_waiting, waiting_count;
    uint32_t dice;
    connection connection[CONNECTIONS];
    plans_sum sum;
};

plans *plans_new(const target *t, int poll, double a_second, double begin) {
    plans *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->t = t, p->poll = poll, p->dice = 1;
    p->gap = a_second > 0 ? 1 / a_second : 0;
    p->next = begin;
    for (int i = 0; i < CONNECTIONS; i++) p->connection[i].fd = -1;
    return p;
}

void plans_end(plans *p) {
    for (int i = 0; p && i < CONNECTIONS; i++)
        if (p->connection[i].fd >= 0) close(p->connection[i].fd);
    free(p);
}

static int dice(plans *p, int sides) {
    p->dice = p->dice * 1664525u + 1013904223u;
    return (int)((p->dice >> 8) % (uint32_t)sides);
}

/* ---- sending ---- */

static void hang_up(connection *c) {
    close(c->fd);
    c->fd = -1;
    c->busy = 0;
}

static void fail(plans *p, connection *c) {
    if (c->busy) p->sum.errors++;
    hang_up(c);
}

static void flush(plans *p, connection *c) {
    while (c->sent < c->out_bytes) {
        ssize_t n = send(c->fd, c->out + c->sent, c->out_bytes - c->sent, MSG_NOSIGNAL);
        if (n > 0) c->sent += (size_t)n;
        else {
            /* Not connected yet is ENOTCONN or EAGAIN: it will be told. */
            if (errno != EAGAIN && errno != ENOTCONN && errno != EINPROGRESS) fail(p, c);
            return;
        }
    }
}

/* A request of another size each time: 61 by 61 of them, so that few are remembered. */
static void write_request(plans *p, connection *c) {
    static const char *const prompts[] = {"a red apple", "a blue house by the sea", "ein Baum", ""};
    char body[300];
    snprintf(body, sizeof body,
             "{\"prompt\":\"%s\",\"width\":%d,\"height\":%d,\"steps\":%d,\"count\":%d}",
             prompts[dice(p, 4)], 64 + 16 * dice(p, 61), 64 + 16 * dice(p, 61), 1 + dice(p, 12),
             1 + dice(p, 4));
    c->out_bytes =
        (size_t)target_write(p->t, "POST", "/api/v1/plan", body, 1, c->out, sizeof c->out);
    c->sent = c->head_bytes = 0;
    c->in_body = c->status = c->closes = 0;
}

static int find_free(plans *p) {
    int closed = -1;
    for (int i = 0; i < CONNECTIONS; i++) {
        if (p->connection[i].fd < 0) closed = closed < 0 ? i : closed;
        else if (!p->connection[i].busy) return i;
    }
    if (closed < 0) return -1;
    connection *c = &p->connection[closed];
    c->fd = target_dial(p->t);
    if (c->fd < 0) return -1;
    struct epoll_event e = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.u64 = (uint64_t)closed}};
    epoll_ctl(p->poll, EPOLL_CTL_ADD, c->fd, &e);
    p->sum.connections++;
    return closed;
}

/* 0: no connection is free. */
static int send_one(plans *p, double due) {
    int i = find_free(p);
    if (i < 0) return 0;
    connection *c = &p->connection[i];
    c->busy = 1;
    c->due = due;
    p->sum.sent++;
    write_request(p, c);
    flush(p, c);
    return 1;
}

double plans_send(plans *p, double now) {
    if (p->gap == 0) return now + 1;
    while (p->waiting_count && send_one(p, p->waiting[p->first_waiting])) {
        p->first_waiting = (p->first_waiting + 1) % BACKLOG;
        p->waiting_count--;
    }
    for (; p->next <= now; p->next += p->gap) {
        if (now - p->next > 0.005) p->sum.late++; /* this program was not in time */
        if (!p->waiting_count && send_one(p, p->next)) continue;
        if (p->waiting_count == BACKLOG) p->sum.errors++;
        else p->waiting[(p->first_waiting + p->waiting_count++) % BACKLOG] = p->next;
    }
    return p->next;
}

/* ---- answers ---- */

static void finish(plans *p, connection *c, double now) {
    int good = c->status >= 200 && c->status < 300;
    if (c->status > 0 && c->status < 600) p->sum.status[c->status]++;
    p->sum.answered++;
    if (!good) p->sum.errors++;
    figures_add(&p->sum.seconds, now - c->due);
    c->busy = 0;
    c->head_bytes = 0;
    c->in_body = 0;
    if (c->closes) hang_up(c);
}

/* Takes bytes of the head; returns how many. -1: this is no answer. */
static ssize_t take_head(connection *c, const char *data, size_t bytes) {
    size_t before = c->head_bytes, n = sizeof c->head - 1 - before;
    if (n > bytes) n = bytes;
    memcpy(c->head + before, data, n);
    c->head[before + n] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    c->head_bytes = before + n;
    if (!end) return c->head_bytes + 1 < sizeof c->head ? (ssize_t)n : -1;
    *end = 0;
    const char *length = strcasestr(c->head, "\r\nContent-Length:");
    c->closes = strcasestr(c->head, "\r\nConnection: close") != NULL;
    if (!length || sscanf(c->head, "HTTP/1.1 %d", &c->status) != 1) return -1;
    c->body_left = strtoul(length + 17, NULL, 10);
    c->in_body = 1;
    return (ssize_t)((size_t)(end + 4 - c->head) - before);
}

static void take(plans *p, connection *c, const char *data, size_t bytes, double now) {
    while (bytes > 0 && c->busy) {
        size_t used = bytes;
        if (!c->in_body) {
            ssize_t n = take_head(c, data, bytes);
            if (n < 0) {
                fail(p, c);
                return;
            }
            used = (size_t)n;
        } else {
            if (used > c->body_left) used = c->body_left;
            c->body_left -= used;
        }
        data += used, bytes -= used;
        if (c->in_body && c->body_left == 0) finish(p, c, now);
    }
    if (bytes > 0 && c->fd >= 0) fail(p, c); /* more than was asked for */
}

void plans_ready(plans *p, int place, double now) {
    static char data[1 << 16];
    connection *c = &p->connection[place];
    if (c->fd < 0) return;
    if (c->busy) flush(p, c);
    while (c->fd >= 0) {
        ssize_t n = recv(c->fd, data, sizeof data, 0);
        if (n > 0) take(p, c, data, (size_t)n, now);
        else {
            if (n == 0 || (errno != EAGAIN && errno != ENOTCONN)) fail(p, c);
            return;
        }
    }
}

void plans_count(const plans *p, plans_sum *sum) {
    *sum = p->sum;
    sum->waiting = p->waiting_count;
    for (int i = 0; i < CONNECTIONS; i++) sum->waiting += p->connection[i].busy;
}

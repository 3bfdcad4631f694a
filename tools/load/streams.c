/* Event streams: opened, read to the last byte, and looked at for what an event stream promises: ids that
 * rise, and an end only after a job's last event. Must never slow the server down by reading late. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { LINE_BYTES = 96, SEEN = 1 << 14, AT_ONCE = 32 };

/* Where the reader is in a chunked answer. */
typedef enum place { IN_HEAD, IN_SIZE, IN_DATA, BEHIND_DATA, AT_END } place;

typedef struct stream {
    int fd, of_job, asked, ended; /* ended: the job's last event has come */
    place at;
    char head[LINE_BYTES]; /* a line's begin: of the head, a chunk's size, or of the events */
    size_t head_bytes, chunk_left;
    char line[LINE_BYTES];
    size_t line_bytes;
    int64_t last, events;
    char job[64];
} stream;

/* When an event was first seen. */
typedef struct sight {
    int64_t id;
    double at;
} sight;

struct streams {
    const target *t;
    int poll, wanted;
    stream *stream;
    sight seen[SEEN];
    streams_sum sum;
};

streams *streams_new(const target *t, int poll, int wanted) {
    streams *s = calloc(1, sizeof *s);
    if (s) s->stream = calloc((size_t)wanted + 1, sizeof *s->stream);
    if (!s || !s->stream) {
        free(s);
        return NULL;
    }
    s->t = t, s->poll = poll, s->wanted = wanted;
    s->sum.of_all_least = s->sum.of_job_least = INT64_MAX;
    for (int i = 0; i < wanted; i++) s->stream[i].fd = -1;
    return s;
}

void streams_end(streams *s) {
    for (int i = 0; s && i < s->wanted; i++)
        if (s->stream[i].fd >= 0) close(s->stream[i].fd);
    if (s) free(s->stream);
    free(s);
}

/* ---- opening and ending ---- */

static void note_events(int64_t events, int64_t *least, int64_t *most, int64_t *sum, int64_t *count) {
    if (events < *least) *least = events;
    if (events > *most) *most = events;
    *sum += events;
    ++*count;
}

static void hang_up(streams *s, stream *l) {
    streams_sum *n = &s->sum;
    if (l->at == AT_END) n->ended++;
    else n->broken++;
    if (l->at == AT_END && l->ended)
        note_events(l->events, &n->of_job_least, &n->of_job_most, &n->of_job, &n->of_job_count);
    close(l->fd);
    l->fd = -1;
}

static void open_one(streams *s, int i, const char *job) {
    stream *l = &s->stream[i];
    int fd = target_dial(s->t);
    if (fd < 0) {
        s->sum.refused++;
        return;
    }
    *l = (stream){.fd = fd, .of_job = i % 2 && *job};
    snprintf(l->job, sizeof l->job, "%s", l->of_job ? job : "");
    struct epoll_event e = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                            {.u64 = (uint64_t)i | (uint64_t)1 << 32}};
    epoll_ctl(s->poll, EPOLL_CTL_ADD, fd, &e);
    s->sum.opened++;
}

void streams_keep(streams *s, const char *job) {
    for (int i = 0, n = 0; i < s->wanted && n < AT_ONCE; i++)
        if (s->stream[i].fd < 0) {
            open_one(s, i, job);
            n++;
        }
}

/* ---- reading ---- */

static void see(streams *s, stream *l, int64_t id, double now) {
    sight *first = &s->seen[id % SEEN];
    if (id <= l->last) s->sum.backwards++;
    l->last = id;
    if (first->id == id) figures_add(&s->sum.behind, now - first->at);
    else if (first->id < id) *first = (sight){id, now};
}

/* A line of the events; only its begin is kept. */
static void take_line(streams *s, stream *l, double now) {
    l->line[l->line_bytes < LINE_BYTES ? l->line_bytes : LINE_BYTES - 1] = 0;
    if (strncmp(l->line, "id: ", 4) == 0) see(s, l, strtoll(l->line + 4, NULL, 10), now);
    else if (strncmp(l->line, "event: ", 7) == 0) {
        const char *name = l->line + 7;
        l->events++;
        s->sum.events++;
        l->ended |= strcmp(name, "done") == 0 || strcmp(name, "failed") == 0 ||
                    strcmp(name, "cancelled") == 0;
    } else if (l->line[0] == ':') s->sum.comments++;
    l->line_bytes = 0;
}

static size_t take_data(streams *s, stream *l, const char *data, size_t bytes, double now) {
    size_t n = bytes < l->chunk_left ? bytes : l->chunk_left;
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n') take_line(s, l, now);
        else if (l->line_bytes < LINE_BYTES - 1) l->line[l->line_bytes++] = data[i];
    }
    l->chunk_left -= n;
    if (l->chunk_left == 0) l->at = BEHIND_DATA;
    return n;
}

/* A line of the head, or a chunk's size. 0: the answer is no event stream. */
static int take_frame(streams *s, stream *l) {
    int status = 0;
    l->head[l->head_bytes < LINE_BYTES ? l->head_bytes : LINE_BYTES - 1] = 0;
    size_t length = l->head_bytes;
    l->head_bytes = 0;
    if (l->at == IN_HEAD) {
        if (length == 0) l->at = IN_SIZE;
        if (sscanf(l->head, "HTTP/1.1 %d", &status) == 1 && status != 200) {
            s->sum.refused++;
            return 0;
        }
    } else if (l->at == BEHIND_DATA) l->at = IN_SIZE;
    else {
        l->chunk_left = strtoul(l->head, NULL, 16);
        l->at = l->chunk_left ? IN_DATA : AT_END;
    }
    return 1;
}

static int take(streams *s, stream *l, const char *data, size_t bytes, double now) {
    while (bytes > 0 && l->at != AT_END) {
        if (l->at == IN_DATA) {
            size_t n = take_data(s, l, data, bytes, now);
            data += n, bytes -= n;
            continue;
        }
        char c = *data++;
        bytes--;
        if (c == '\n') {
            if (!take_frame(s, l)) return 0;
        } else if (c != '\r' && l->head_bytes < LINE_BYTES - 1) l->head[l->head_bytes++] = c;
    }
    return 1;
}

static void ask(streams *s, stream *l) {
    char path[120], head[1024];
    if (*l->job) snprintf(path, sizeof path, "/api/v1/jobs/%s/events", l->job);
    else snprintf(path, sizeof path, "/api/v1/events");
    int bytes = target_write(s->t, "GET", path, NULL, 1, head, sizeof head);
    if (send(l->fd, head, (size_t)bytes, MSG_NOSIGNAL) == bytes) l->asked = 1;
    else if (errno != EAGAIN && errno != ENOTCONN) hang_up(s, l);
}

void streams_ready(streams *s, int i, double now) {
    static char data[1 << 16];
    stream *l = &s->stream[i];
    if (l->fd >= 0 && !l->asked) ask(s, l);
    while (l->fd >= 0 && l->asked) {
        ssize_t n = recv(l->fd, data, sizeof data, 0);
        if (n > 0) {
            s->sum.bytes += n;
            if (!take(s, l, data, (size_t)n, now) || l->at == AT_END) hang_up(s, l);
        } else {
            if (n == 0 || errno != EAGAIN) hang_up(s, l);
            return;
        }
    }
}

void streams_count(streams *s, streams_sum *sum) {
    *sum = s->sum;
    sum->wanted = s->wanted;
    for (int i = 0; i < s->wanted; i++) {
        const stream *l = &s->stream[i];
        sum->open += l->fd >= 0 && l->at > IN_HEAD;
        if (l->fd >= 0 && !l->of_job)
            note_events(l->events, &sum->of_all_least, &sum->of_all_most, &sum->of_all,
                        &sum->of_all_count);
    }
}

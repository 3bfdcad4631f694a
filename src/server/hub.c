/* Event streams, and the server's clock. Must never wait for a listener, and never hold its lock
 * while it asks the jobs for anything. */
#include "server/hub.h"

#include "base/memory.h"
#include "base/os.h"
#include "server/answer.h"
#include "server/checks.h"
#include "server/listener.h"
#include "server/plans.h"
#include "server/server.h"
#include "server/vitals.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LISTENERS = 1000, AT_ONCE = 64, LOOKS = 64 };

/* Progress is told ten times a second, which costs nothing where few listen. Hundreds hear of it less often, so that the
 * telling stays below some hundredths of a processor; all other events go out at once. */
static const double pause_of_each = 1e-3, longest_pause = 0.5;

struct mebi__hub {
    mebi__server *server;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news;
    mebi__listener *first;
    int count, nudged, stopping, started;
    int64_t seen, checks_seen; /* the newest event, and change of a check, that was looked at */
    char held[MEBI__JOB_ID]; /* the thread's: whose progress is held back until progress_at; "": nobody's */
    double progress_at;
    double ticked, began;
};

mebi_status mebi__hub_open(mebi__server *server, mebi__hub **out, mebi_error *err) {
    mebi__hub *hub = *out = mebi__alloc(MEBI__TAG_GENERAL, sizeof *hub);
    pthread_condattr_t clock;
    if (!hub) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for event streams.");
    hub->server = server;
    hub->began = mebi__now_seconds();
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&hub->lock, NULL);
    pthread_cond_init(&hub->news, &clock);
    pthread_condattr_destroy(&clock);
    return MEBI_OK;
}

void mebi__hub_close(mebi__hub **hub) {
    if (!*hub) return;
    pthread_mutex_destroy(&(*hub)->lock);
    pthread_cond_destroy(&(*hub)->news);
    mebi__free(*hub);
    *hub = NULL;
}

void mebi__hub_nudge(mebi__hub *hub) {
    if (!hub) return;
    pthread_mutex_lock(&hub->lock);
    hub->nudged = 1;
    pthread_cond_signal(&hub->news);
    pthread_mutex_unlock(&hub->lock);
}

int mebi__hub_listeners(mebi__hub *hub) {
    pthread_mutex_lock(&hub->lock);
    int count = hub->count;
    pthread_mutex_unlock(&hub->lock);
    return count;
}

/* ---- the thread ---- */

static void wake_those(mebi__hub *hub, const char *job) {
    pthread_mutex_lock(&hub->lock);
    for (mebi__listener *l = hub->first; l; l = l->next)
        if (l->waker && (!job || !*l->job || strcmp(l->job, job) == 0)) mebi__http_wake(l->waker);
    pthread_mutex_unlock(&hub->lock);
}

static int changes_plans(mebi__event_kind kind) {
    return kind == MEBI__EVENT_STARTED || kind == MEBI__EVENT_DONE || kind == MEBI__EVENT_FAILED ||
           kind == MEBI__EVENT_CANCELLED;
}

/* Checks are told of to those alone who listen to all. */
static void look_at_checks(mebi__hub *hub) {
    struct mebi__checks *checks = mebi__server_checks(hub->server);
    int64_t version = mebi__checks_version(checks);
    if (version != hub->checks_seen) wake_those(hub, "");
    hub->checks_seen = version;
}

static void begin_pause(mebi__hub *hub, double now) {
    double pause = pause_of_each * mebi__hub_listeners(hub);
    hub->progress_at = now + (pause < longest_pause ? pause : longest_pause);
}

/* 1 if it is too early for news of a job's progress; then they are told later. */
static int hold_back(mebi__hub *hub, const mebi__event *e, double now) {
    if (e->kind != MEBI__EVENT_PROGRESS) return 0;
    int early = now < hub->progress_at;
    if (early) memcpy(hub->held, e->job, sizeof hub->held);
    else begin_pause(hub, now);
    return early;
}

static void tell_held(mebi__hub *hub, double now) {
    if (!*hub->held || now < hub->progress_at) return;
    wake_those(hub, hub->held);
    hub->held[0] = 0;
    begin_pause(hub, now);
}

/* Wakes those whom the events concern that came since the last look; each once a look at most. */
static void look(mebi__hub *hub, double now) {
    mebi__event events[AT_ONCE];
    mebi__jobs *jobs = mebi__server_jobs(hub->server);
    int more = 1;
    for (int n = 0; n < LOOKS && more; n++) {
        int count = mebi__jobs_events(jobs, NULL, hub->seen, events, AT_ONCE, &hub->seen, &more);
        const char *woken = NULL;
        for (int i = 0; i < count; i++) {
            if (changes_plans(events[i].kind)) mebi__plans_forget(mebi__server_plans(hub->server));
            if (hold_back(hub, &events[i], now)) continue;
            if (woken && strcmp(woken, events[i].job) == 0) continue;
            woken = events[i].job;
            wake_those(hub, woken);
        }
    }
}

static void wake_the_quiet(mebi__hub *hub, double now) {
    pthread_mutex_lock(&hub->lock);
    for (mebi__listener *l = hub->first; l; l = l->next)
        if (l->waker && now - l->written >= l->patience) mebi__http_wake(l->waker);
    pthread_mutex_unlock(&hub->lock);
}

/* Each second. */
static void tick(mebi__hub *hub, double now) {
    mebi__queue queue = mebi__jobs_queue(mebi__server_jobs(hub->server));
    mebi__vitals_add(
        mebi__server_vitals(hub->server),
        (mebi__sample){now - hub->began, mebi__memory_own_about(), queue.planned_bytes});
    mebi__http_tick(mebi__server_http(hub->server));
    wake_the_quiet(hub, now);
}

/* Until something happens, a second is over, or what is held back is due. 0: it is to end. */
static int wait_for_news(mebi__hub *hub) {
    double left = *hub->held ? hub->progress_at - mebi__now_seconds() : 1;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += left > 0 && left < 1 ? (long)(1e9 * left) : 0;
    until.tv_sec += left >= 1 ? 1 : until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&hub->lock);
    while (!hub->nudged && !hub->stopping)
        if (pthread_cond_timedwait(&hub->news, &hub->lock, &until) != 0) break;
    int goes_on = !hub->stopping;
    hub->nudged = 0;
    pthread_mutex_unlock(&hub->lock);
    return goes_on;
}

static void *run(void *context) {
    mebi__hub *hub = context;
    while (wait_for_news(hub)) {
        double now = mebi__now_seconds();
        look(hub, now);
        look_at_checks(hub);
        tell_held(hub, now);
        if (now - hub->ticked >= 1) {
            hub->ticked = now;
            tick(hub, now);
        }
    }
    return NULL;
}

mebi_status mebi__hub_start(mebi__hub *hub, mebi_error *err) {
    hub->seen = mebi__jobs_newest_event(mebi__server_jobs(hub->server));
    tick(hub, mebi__now_seconds());
    if (pthread_create(&hub->thread, NULL, run, hub) != 0)
        return mebi__fail(err, MEBI_NO_MEMORY,
                          "The server's clock can't be started: no thread is to be had.");
    hub->started = 1;
    return MEBI_OK;
}

void mebi__hub_stop(mebi__hub *hub) {
    if (!hub) return;
    pthread_mutex_lock(&hub->lock);
    hub->stopping = 1;
    pthread_cond_signal(&hub->news);
    pthread_mutex_unlock(&hub->lock);
    if (hub->started) pthread_join(hub->thread, NULL);
    hub->started = 0;
    wake_those(hub, NULL);
}

/* ---- streams ---- */

int mebi__hub_stopping(mebi__hub *hub) {
    pthread_mutex_lock(&hub->lock);
    int stopping = hub->stopping;
    pthread_mutex_unlock(&hub->lock);
    return stopping;
}

static ssize_t read_stream(void *context, char *to, size_t room) {
    mebi__listener *l = context;
    if (l->sent == l->bytes) {
        if (l->ended || mebi__hub_stopping(l->hub)) return 0;
        int written = mebi__listener_write(l);
        if (written < 0) return -1;
        if (written == 0) return MEBI__HTTP_WAIT;
    }
    size_t n = l->bytes - l->sent < room ? l->bytes - l->sent : room;
    memcpy(to, l->text + l->sent, n);
    l->sent += n;
    return (ssize_t)n;
}

void mebi__hub_begin(void *context, void *waker) {
    mebi__listener *l = context;
    pthread_mutex_lock(&l->hub->lock);
    l->waker = waker;
    pthread_mutex_unlock(&l->hub->lock);
}

void mebi__hub_leave(void *context) {
    mebi__listener *l = context;
    mebi__hub *hub = l->hub;
    pthread_mutex_lock(&hub->lock);
    if (l->before) l->before->next = l->next;
    else hub->first = l->next;
    if (l->next) l->next->before = l->before;
    hub->count--;
    pthread_mutex_unlock(&hub->lock);
    mebi__free(l->text);
    mebi__free(l);
}

mebi__listener *mebi__hub_join(mebi__hub *hub, const char *job, double patience) {
    mebi__listener *l = mebi__alloc(MEBI__TAG_GENERAL, sizeof *l);
    if (!l) return NULL;
    l->hub = hub;
    l->jobs = mebi__server_jobs(hub->server);
    l->checks = mebi__server_checks(hub->server);
    strncpy(l->job, job, sizeof l->job - 1);
    l->patience = patience;
    l->written = mebi__now_seconds();
    pthread_mutex_lock(&hub->lock);
    int may = hub->count < LISTENERS;
    if (may) {
        l->next = hub->first;
        if (l->next) l->next->before = l;
        hub->first = l;
        hub->count++;
    }
    pthread_mutex_unlock(&hub->lock);
    if (may) return l;
    mebi__free(l);
    return NULL;
}

/* The event after which to go on; -1: none was named that has been. */
static int64_t last_event(mebi__jobs *jobs, const mebi__http_request *q) {
    size_t length = q->last_event ? strlen(q->last_event) : 0;
    if (length == 0 || length > 15 || strspn(q->last_event, "0123456789") != length) return -1;
    int64_t id = strtoll(q->last_event, NULL, 10);
    return id <= mebi__jobs_newest_event(jobs) ? id : -1;
}

static void open_stream(mebi__server *server, const char *job, int64_t after,
                        mebi__http_answer *a) {
    mebi__listener *l =
        mebi__hub_join(mebi__server_hub(server), job, MEBI__LISTENER_COMMENT_SECONDS);
    if (!l) {
        mebi__answer_error(a, 0, MEBI__ERROR_UNAVAILABLE,
                           "There are %d event streams already. Close some, or try again later.",
                           LISTENERS);
        return;
    }
    l->greet = after < 0;
    l->after = after;
    mebi__answer_drop(a);
    a->status = 200;
    a->type = "text/event-stream";
    a->source = (mebi__http_source){l, read_stream, mebi__hub_begin, mebi__hub_leave, 0};
    /* Proxies that would keep events back are asked not to. */
    mebi__answer_header(a, "X-Accel-Buffering", "no");
}

void mebi__hub_all_events(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    open_stream(server, "", last_event(mebi__server_jobs(server), q), a);
}

/* 1 if it has ended and the client has seen that: nothing will follow, and a 204 keeps it from
 * asking again. */
static int saw_the_end(mebi__jobs *jobs, const mebi__job *job, int64_t after) {
    mebi__event event;
    int64_t next;
    int more;
    return after >= 0 && job->state >= MEBI__JOB_DONE &&
           mebi__jobs_events(jobs, job->id, after, &event, 1, &next, &more) == 0;
}

void mebi__hub_job_events(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    mebi__jobs *jobs = mebi__server_jobs(server);
    mebi_error err = {0};
    mebi__job *job;
    int64_t after = last_event(jobs, q);
    mebi_status status = mebi__jobs_get(jobs, q->capture[0], &job, &err);
    if (status != MEBI_OK) mebi__answer_failure(a, status, &err);
    else if (!job) mebi__answer_error(a, 0, MEBI__ERROR_NOT_FOUND, "There is no job of that id.");
    else if (saw_the_end(jobs, job, after)) mebi__answer_empty(a, 204);
    else open_stream(server, job->id, after, a);
    mebi__job_free(&job);
}

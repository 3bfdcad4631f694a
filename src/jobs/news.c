/* Events: the last ones in memory, the durable ones in the store, and those who wait for them. Must
 * never show an event before one with a lower id, nor forget a durable one. */
#include "jobs/internal.h"

#include "base/os.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *mebi__event_kind_name(mebi__event_kind kind) {
    static const char *const names[] = {"queued", "started", "progress", "preview",   "notice",
                                        "image",  "done",    "failed",   "cancelled", "queue"};
    return (unsigned)kind < MEBI__EVENT_KINDS ? names[kind] : "unknown";
}

/* ---- telling ---- */

mebi_status mebi__news_begin(mebi__jobs *jobs, mebi__event_kind kind, const char *job,
                             mebi__event *e, mebi_error *err) {
    int64_t first;
    if (jobs->newest + 1 >= jobs->reserved) {
        MEBI_TRY(mebi__store_reserve_events(jobs->store, MEBI__EVENTS_RESERVED, &first, err));
        jobs->reserved = first + MEBI__EVENTS_RESERVED;
    }
    *e = (mebi__event){.id = jobs->newest + 1, .kind = kind, .seconds_left = -1};
    if (job) snprintf(e->job, sizeof e->job, "%.47s", job);
    return MEBI_OK;
}

static int concerns(const char *wanted, const mebi__event *e) {
    return !wanted || strcmp(wanted, e->job) == 0;
}

void mebi__news_tell(mebi__jobs *jobs, const mebi__event *e) {
    pthread_mutex_lock(&jobs->look);
    jobs->news[e->id % MEBI__NEWS] = *e;
    jobs->newest = e->id;
    if (jobs->newest - jobs->oldest >= MEBI__NEWS) jobs->oldest = jobs->newest - MEBI__NEWS + 1;
    for (mebi__sleeper *s = jobs->sleepers; s; s = s->next)
        if (concerns(s->job, e)) pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&jobs->look);
    jobs->told = 1;
}

void mebi__news_pass(mebi__jobs *jobs, mebi__event *event) {
    mebi__event e;
    mebi_error err = {0};
    mebi__jobs_lock(jobs);
    if (mebi__news_begin(jobs, event->kind, event->job, &e, &err) == MEBI_OK) {
        event->id = e.id;
        mebi__news_tell(jobs, event);
    }
    mebi__jobs_unlock(jobs);
}

void mebi__news_wake_all(mebi__jobs *jobs) {
    pthread_mutex_lock(&jobs->look);
    for (mebi__sleeper *s = jobs->sleepers; s; s = s->next) pthread_cond_signal(&s->wake);
    pthread_cond_broadcast(&jobs->wake);
    pthread_mutex_unlock(&jobs->look);
}

/* ---- listening ---- */

/* An id from a folder that is no more: all is new. */
static int64_t within(const mebi__jobs *jobs, int64_t after) {
    return after < 0 || after > jobs->newest ? 0 : after;
}

/* What memory has after `after`; look is held. */
static int copy_news(const mebi__jobs *jobs, const char *job, int64_t after, mebi__event *events,
                     int limit, int64_t *next, int *more) {
    int count = 0;
    int64_t id = after + 1 > jobs->oldest ? after + 1 : jobs->oldest;
    for (; id <= jobs->newest && count < limit; id++) {
        const mebi__event *e = &jobs->news[id % MEBI__NEWS];
        if (concerns(job, e)) events[count++] = *e;
    }
    *next = id - 1;
    *more = id <= jobs->newest;
    return count;
}

int mebi__jobs_events(mebi__jobs *jobs, const char *job, int64_t after, mebi__event *events,
                      int limit, int64_t *next, int *more) {
    int count = 0, rest;
    mebi_error err = {0};
    pthread_mutex_lock(&jobs->look);
    after = within(jobs, after);
    int64_t oldest = jobs->oldest;
    if (after >= oldest - 1) {
        count = copy_news(jobs, job, after, events, limit, next, more);
        pthread_mutex_unlock(&jobs->look);
        return count;
    }
    pthread_mutex_unlock(&jobs->look);
    *next = after;
    *more = 0;
    if (mebi__store_events(jobs->store, job, after, oldest, events, limit, &count, &err) != MEBI_OK) {
        mebi__jobs_log(jobs, "%s", err.text);
        return 0;
    }
    if (count > 0) *next = events[count - 1].id;
    if (count == limit) {
        *more = 1;
        return count;
    }
    pthread_mutex_lock(&jobs->look);
    /* Some may have left memory meanwhile: they are the store's now, for the next call. */
    if (jobs->oldest == oldest)
        count += copy_news(jobs, job, oldest - 1, events + count, limit - count, next, more);
    else {
        *next = oldest - 1;
        *more = 1;
    }
    rest = count;
    pthread_mutex_unlock(&jobs->look);
    return rest;
}

int64_t mebi__jobs_newest_event(mebi__jobs *jobs) {
    pthread_mutex_lock(&jobs->look);
    int64_t newest = jobs->newest;
    pthread_mutex_unlock(&jobs->look);
    return newest;
}

/* Look is held. What left memory may concern the job: asking tells. */
static int is_there(const mebi__jobs *jobs, const char *job, int64_t after) {
    after = within(jobs, after);
    if (after < jobs->oldest - 1) return 1;
    for (int64_t id = after + 1; id <= jobs->newest; id++)
        if (concerns(job, &jobs->news[id % MEBI__NEWS])) return 1;
    return 0;
}

static struct timespec time_in(double seconds) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    if (!(seconds >= 0)) seconds = 0;
    if (seconds > 1e8) seconds = 1e8;
    t.tv_sec += (time_t)seconds;
    t.tv_nsec += (long)(1e9 * (seconds - (double)(time_t)seconds));
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

static void leave(mebi__jobs *jobs, const mebi__sleeper *own) {
    mebi__sleeper **p = &jobs->sleepers;
    while (*p != own) p = &(*p)->next;
    *p = own->next;
}

int mebi__jobs_wait(mebi__jobs *jobs, const char *job, int64_t after, double seconds) {
    struct timespec until = time_in(seconds);
    mebi__sleeper own = {.job = job};
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&own.wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_lock(&jobs->look);
    own.next = jobs->sleepers;
    jobs->sleepers = &own;
    int there, late = 0;
    while (!(there = is_there(jobs, job, after)) && !jobs->stopping && late != ETIMEDOUT)
        late = pthread_cond_timedwait(&own.wake, &jobs->look, &until);
    leave(jobs, &own);
    pthread_mutex_unlock(&jobs->look);
    pthread_cond_destroy(&own.wake);
    return there;
}

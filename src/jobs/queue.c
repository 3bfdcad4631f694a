/* The order of the queue: jobs that had begun, then by priority, then in turns between clients, then
 * by age. Must never let one client keep others of the same priority waiting for all of its jobs.
 *
 * Turns: of the jobs of highest priority the one is next whose client had its last turn longest ago; who never
 * had one comes first. Only memory knows them: after a start all clients are equal. */
#include "jobs/internal.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { TOLD = 32 }; /* places whose changes are told one by one */

static int64_t last_turn(const mebi__turn *turns, int count, const char *client) {
    for (int i = 0; i < count; i++)
        if (strcmp(turns[i].client, client) == 0) return turns[i].at;
    return 0;
}

static int take_turn(mebi__turn *turns, int count, const char *client, int64_t at) {
    int oldest = 0;
    for (int i = 0; i < count; i++) {
        if (strcmp(turns[i].client, client) == 0) {
            turns[i].at = at;
            return count;
        }
        if (turns[i].at < turns[oldest].at) oldest = i;
    }
    int i = count < MEBI__TURNS ? count++ : oldest;
    turns[i].at = at;
    memcpy(turns[i].client, client, strlen(client) + 1);
    return count;
}

/* Before all else: jobs that had begun, then by priority. */
static int by_rank(const mebi__waiting *a, const mebi__waiting *b) {
    if (a->begun != b->begun) return b->begun - a->begun;
    return (b->priority > a->priority) - (b->priority < a->priority);
}

static int by_age(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

static int by_client(const void *x, const void *y) {
    const mebi__waiting *a = x, *b = y;
    int order = by_rank(a, b);
    if (!order) order = strcmp(a->client, b->client);
    return order ? order : by_age(a->row, b->row);
}

/* Of one rank: each client's first job, then each one's second, and so on. */
static int by_turn(const void *x, const void *y) {
    const mebi__waiting *a = x, *b = y;
    if (a->round != b->round) return a->round - b->round;
    int order = by_age(a->turn, b->turn);
    return order ? order : by_age(a->first, b->first);
}

/* Orders count jobs of one rank, which stand by client, and counts their clients' turns on. */
static int place_rank(mebi__waiting *w, int count, mebi__turn *turns, int turn_count, int64_t *at) {
    for (int i = 0; i < count; i++) {
        int same = i > 0 && strcmp(w[i].client, w[i - 1].client) == 0;
        w[i].round = same ? w[i - 1].round + 1 : 0;
        w[i].turn = same ? w[i - 1].turn : last_turn(turns, turn_count, w[i].client);
        w[i].first = same ? w[i - 1].first : w[i].row;
    }
    qsort(w, (size_t)count, sizeof *w, by_turn);
    for (int i = 0; i < count; i++) turn_count = take_turn(turns, turn_count, w[i].client, ++*at);
    return turn_count;
}

/* Plays the queue to its end, after each change. Look is held. */
static void place_all(mebi__jobs *jobs) {
    mebi__turn turns[MEBI__TURNS];
    memcpy(turns, jobs->turns, sizeof turns);
    mebi__waiting *w = jobs->queue;
    int turn_count = jobs->turn_count;
    int64_t at = jobs->turn;
    double until = 0;
    if (jobs->queued) qsort(w, (size_t)jobs->queued, sizeof *w, by_client);
    for (int from = 0, to = 0; from < jobs->queued; from = to) {
        while (to < jobs->queued && by_rank(&w[from], &w[to]) == 0) to++;
        turn_count = place_rank(w + from, to - from, turns, turn_count, &at);
    }
    for (int i = 0; i < jobs->queued; i++) {
        w[i].position = i + 1;
        w[i].until = until;
        until += w[i].seconds;
    }
}

mebi_status mebi__queue_add(mebi__jobs *jobs, const mebi__job *job, mebi_error *err) {
    mebi_status status = MEBI_OK;
    pthread_mutex_lock(&jobs->look);
    if (jobs->queued == jobs->room) {
        int room = jobs->room ? 2 * jobs->room : 32;
        mebi__waiting *larger =
            mebi__realloc_array(MEBI__TAG_GENERAL, jobs->queue, (size_t)room, sizeof *larger);
        if (larger) jobs->queue = larger, jobs->room = room;
        else status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for one more job.");
    }
    if (status == MEBI_OK) {
        mebi__waiting *w = &jobs->queue[jobs->queued++];
        *w = (mebi__waiting){.row = job->row,
                             .priority = job->priority,
                             .begun = job->attempts > 0,
                             .seconds = job->planned && job->plan.total_seconds > 0
                                            ? job->plan.total_seconds
                                            : 0};
        memcpy(w->id, job->id, sizeof w->id);
        memcpy(w->client, job->client, sizeof w->client);
        place_all(jobs);
    }
    pthread_mutex_unlock(&jobs->look);
    return status;
}

int mebi__queue_find(const mebi__jobs *jobs, int64_t row) {
    for (int i = 0; i < jobs->queued; i++)
        if (jobs->queue[i].row == row) return i;
    return -1;
}

void mebi__queue_drop(mebi__jobs *jobs, int64_t row) {
    pthread_mutex_lock(&jobs->look);
    int i = mebi__queue_find(jobs, row);
    if (i >= 0) {
        jobs->queue[i] = jobs->queue[--jobs->queued];
        place_all(jobs);
    }
    pthread_mutex_unlock(&jobs->look);
}

int mebi__queue_next(const mebi__jobs *jobs, char id[MEBI__JOB_ID]) {
    for (int i = 0; i < jobs->queued; i++)
        if (jobs->queue[i].position == 1) {
            memcpy(id, jobs->queue[i].id, MEBI__JOB_ID);
            return 1;
        }
    return 0;
}

void mebi__queue_took(mebi__jobs *jobs, const char *client) {
    pthread_mutex_lock(&jobs->look);
    jobs->turn_count = take_turn(jobs->turns, jobs->turn_count, client, ++jobs->turn);
    place_all(jobs);
    pthread_mutex_unlock(&jobs->look);
}

double mebi__queue_running_seconds(const mebi__jobs *jobs) {
    if (!jobs->running) return 0;
    if (jobs->progress.at.seconds_left >= 0) return jobs->progress.at.seconds_left;
    double left = (jobs->running->planned ? jobs->running->plan.total_seconds : 0) *
                  (1 - jobs->progress.at.fraction);
    return left > 0 ? left : 0;
}

/* The place whose change is to be told next; look is taken. */
static int changed(mebi__jobs *jobs, mebi__event *e) {
    int found = 0;
    pthread_mutex_lock(&jobs->look);
    for (int i = 0; i < jobs->queued && !found; i++) {
        mebi__waiting *w = &jobs->queue[i];
        if (w->position == w->told || w->position > TOLD) continue;
        w->told = w->position;
        memcpy(e->job, w->id, sizeof e->job);
        e->position = w->position;
        e->seconds_left = w->until + mebi__queue_running_seconds(jobs);
        found = 1;
    }
    pthread_mutex_unlock(&jobs->look);
    return found;
}

void mebi__queue_tell(mebi__jobs *jobs) {
    mebi__event e, place = {0};
    mebi_error err = {0};
    for (int n = 0; n < 2 * TOLD && changed(jobs, &place); n++) {
        if (mebi__news_begin(jobs, MEBI__EVENT_QUEUED, place.job, &e, &err) != MEBI_OK) return;
        e.position = place.position;
        e.seconds_left = place.seconds_left;
        mebi__news_tell(jobs, &e);
    }
    if (mebi__news_begin(jobs, MEBI__EVENT_QUEUE, NULL, &e, &err) == MEBI_OK)
        mebi__news_tell(jobs, &e);
}

mebi__queue mebi__jobs_queue(mebi__jobs *jobs) {
    pthread_mutex_lock(&jobs->look);
    mebi__queue q = {.queued = jobs->queued,
                     .running = jobs->running != NULL,
                     .limit = jobs->params.queue_limit,
                     .seconds_left = mebi__queue_running_seconds(jobs)};
    for (int i = 0; i < jobs->queued; i++) q.seconds_left += jobs->queue[i].seconds;
    if (jobs->running) {
        if (jobs->running->planned) q.planned_bytes = jobs->running->plan.need_bytes;
        memcpy(q.job, jobs->running->id, sizeof q.job);
    }
    pthread_mutex_unlock(&jobs->look);
    return q;
}

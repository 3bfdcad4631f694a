/* Orders: what becomes a job, and what is asked of jobs. Must never accept what can't be made, nor what is not on
 * the disk. */
#include "base/memory.h"
#include "base/os.h"
#include "jobs/files.h"
#include "jobs/internal.h"
#include "jobs/words.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *mebi__job_state_name(mebi__job_state state) {
    static const char *const names[] = {"queued", "running", "done", "failed", "cancelled"};
    return (unsigned)state < MEBI__JOB_STATES ? names[state] : "unknown";
}

const char *mebi__job_refusal_name(mebi__job_refusal refusal) {
    static const char *const names[] = {"none",       "request", "too_big", "queue_full",
                                        "unavailable", "trouble"};
    return (unsigned)refusal < MEBI__REFUSALS ? names[refusal] : "unknown";
}

void mebi__job_free(mebi__job **out) {
    mebi__job *job = *out;
    if (!job) return;
    mebi__free((char *)job->request.prompt);
    mebi__free((char *)job->request.negative_prompt);
    for (int i = 0; i < job->notices; i++) mebi__free(job->notice[i]);
    mebi__images_free(&job->images);
    mebi__free(job);
    *out = NULL;
}

void mebi__job_list_free(mebi__job_list *list) {
    for (int i = 0; i < list->count; i++) mebi__job_free(&list->job[i]);
    mebi__free(list->job);
    *list = (mebi__job_list){0};
}

/* ---- submitting ---- */

static mebi_status refuse(mebi__jobs *jobs, mebi__job_refused *refused, mebi__job_refusal why,
                          mebi_status status) {
    refused->why = why;
    pthread_mutex_lock(&jobs->look);
    jobs->counters.refused[why]++;
    pthread_mutex_unlock(&jobs->look);
    return status;
}

static mebi_status check_text(const char *name, const char *text, mebi_error *err) {
    if (!text) return MEBI_OK;
    if (strnlen(text, MEBI__PROMPT_BYTES + 1) > MEBI__PROMPT_BYTES)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "The %s has over %d bytes; shorten it.", name,
                          MEBI__PROMPT_BYTES);
    if (!mebi__words_are_utf8(text))
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "The %s is not UTF-8.", name);
    return MEBI_OK;
}

static mebi_status check(const mebi__job_order *o, mebi_error *err) {
    if (!o->request.prompt)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "There is no prompt. Say what to draw.");
    if (o->request.resume)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "A job can't be begun from saved latents.");
    if (o->priority < -10 || o->priority > 10)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "A priority of %d asked for; -10 to 10 are possible.",
                          o->priority);
    MEBI_TRY(check_text("prompt", o->request.prompt, err));
    return check_text("negative prompt", o->request.negative_prompt, err);
}

static mebi__job *make_job(const mebi__job_order *o, const mebi_plan *plan) {
    mebi__job *job = mebi__alloc(MEBI__TAG_GENERAL, sizeof *job);
    if (!job) return NULL;
    const char *negative = o->request.negative_prompt ? o->request.negative_prompt : "";
    job->request = o->request;
    job->request.prompt = mebi__copy_string(o->request.prompt, strlen(o->request.prompt));
    job->request.negative_prompt = mebi__copy_string(negative, strlen(negative));
    /* The low 32 bits count, and each picture's seed is one more. */
    if (job->request.seed == -1)
        job->request.seed = (int64_t)((mebi__random_bits() & 0xffffffffu) % (UINT32_MAX - 64u));
    job->priority = o->priority;
    job->planned = 1;
    job->plan = *plan;
    mebi__words_cut(job->client, sizeof job->client, o->client ? o->client : "");
    if (!mebi__words_are_utf8(job->client)) job->client[0] = 0;
    if (!job->request.prompt || !job->request.negative_prompt) mebi__job_free(&job);
    return job;
}

/* 1: the queue, or the client's share of it, is full. */
static int is_full(mebi__jobs *jobs, const char *client, double *seconds) {
    pthread_mutex_lock(&jobs->look);
    int own = 0;
    for (int i = 0; i < jobs->queued; i++) own += strcmp(jobs->queue[i].client, client) == 0;
    int64_t share = jobs->params.client_limit;
    int full = jobs->queued >= jobs->params.queue_limit || (share > 0 && own >= share);
    *seconds = mebi__queue_running_seconds(jobs);
    if (*seconds < 1) *seconds = 1;
    pthread_mutex_unlock(&jobs->look);
    return full;
}

static void enter(mebi__jobs *jobs, mebi__job *job, mebi__event *e) {
    pthread_mutex_lock(&jobs->look);
    int i = mebi__queue_find(jobs, job->row);
    jobs->queue[i].told = e->position = job->position = jobs->queue[i].position;
    e->seconds_left = job->queue_seconds = jobs->queue[i].until + mebi__queue_running_seconds(jobs);
    pthread_mutex_unlock(&jobs->look);
}

/* Move is held. */
static mebi_status accept(mebi__jobs *jobs, mebi__job *job, mebi__job_refused *refused,
                          mebi_error *err) {
    mebi__event e;
    if (is_full(jobs, job->client, &refused->retry_seconds)) {
        refused->why = MEBI__REFUSED_FULL;
        return mebi__fail(err, MEBI_NO_MEMORY, "The queue is full (%d jobs wait). Try again in %.0f s.",
                          jobs->queued, refused->retry_seconds);
    }
    refused->why = MEBI__REFUSED_TROUBLE;
    job->row = jobs->next_row;
    job->created_ms = mebi__wall_ms();
    snprintf(job->id, sizeof job->id, "%" PRId64 "-%08" PRIx64, job->row,
             mebi__random_bits() & 0xffffffffu);
    MEBI_TRY(mebi__queue_add(jobs, job, err));
    mebi_status status = mebi__news_begin(jobs, MEBI__EVENT_QUEUED, job->id, &e, err);
    if (status == MEBI_OK) {
        enter(jobs, job, &e);
        status = mebi__store_accept(jobs->store, job, &e, err);
    }
    if (status != MEBI_OK) {
        mebi__queue_drop(jobs, job->row);
        return status;
    }
    jobs->next_row++;
    refused->why = MEBI__REFUSED_NOT;
    mebi__news_tell(jobs, &e);
    mebi__queue_tell(jobs);
    pthread_mutex_lock(&jobs->look);
    jobs->counters.accepted++;
    pthread_cond_broadcast(&jobs->wake);
    pthread_mutex_unlock(&jobs->look);
    return MEBI_OK;
}

static mebi_status plan(mebi__jobs *jobs, const mebi_request *request, mebi__job_refused *refused,
                        mebi_error *err) {
    int unavailable;
    mebi_status status = mebi__jobs_plan(jobs, request, &refused->plan, &unavailable, err);
    if (unavailable) {
        refused->retry_seconds = 5;
        return refuse(jobs, refused, MEBI__REFUSED_UNAVAILABLE, status);
    }
    if (status != MEBI_OK)
        return refuse(jobs, refused,
                      status == MEBI_BAD_ARGUMENT ? MEBI__REFUSED_REQUEST : MEBI__REFUSED_TROUBLE,
                      status);
    refused->planned = 1;
    if (refused->plan.verdict != MEBI_TOO_BIG) return MEBI_OK;
    status = mebi__fail(err, MEBI_NO_MEMORY, "%s", refused->plan.why);
    return refuse(jobs, refused, MEBI__REFUSED_TOO_BIG, status);
}

mebi_status mebi__jobs_submit(mebi__jobs *jobs, const mebi__job_order *order, mebi__job **out,
                              mebi__job_refused *refused, mebi_error *err) {
    if (out) *out = NULL;
    *refused = (mebi__job_refused){0};
    mebi_status status = check(order, err);
    if (status != MEBI_OK) return refuse(jobs, refused, MEBI__REFUSED_REQUEST, status);
    MEBI_TRY(plan(jobs, &order->request, refused, err));
    mebi__job *job = make_job(order, &refused->plan);
    if (!job)
        return refuse(jobs, refused, MEBI__REFUSED_TROUBLE,
                      mebi__fail(err, MEBI_NO_MEMORY, "No memory for a job."));
    mebi__jobs_lock(jobs);
    status = accept(jobs, job, refused, err);
    mebi__jobs_unlock(jobs);
    if (status == MEBI_OK) mebi__jobs_trust(jobs);
    else if (status == MEBI_IO) mebi__jobs_doubt(jobs, err->text);
    if (status != MEBI_OK) (void)!refuse(jobs, refused, refused->why, status);
    else if (out) {
        *out = job;
        job = NULL;
    }
    mebi__job_free(&job);
    return status;
}

/* ---- asking ---- */

/* What memory knows beyond the store. */
static void complete(mebi__jobs *jobs, mebi__job *job) {
    pthread_mutex_lock(&jobs->look);
    int i = job->state == MEBI__JOB_QUEUED ? mebi__queue_find(jobs, job->row) : -1;
    if (i >= 0) {
        job->position = jobs->queue[i].position;
        job->queue_seconds = jobs->queue[i].until + mebi__queue_running_seconds(jobs);
    }
    job->progress.at = (mebi_progress){.count = job->request.count, .image = job->made,
                                       .steps = job->request.steps, .seconds_left = -1};
    if (jobs->running && jobs->running->row == job->row && job->state <= MEBI__JOB_RUNNING) {
        job->state = MEBI__JOB_RUNNING;
        job->position = 0;
        job->progress = jobs->progress;
    } else if (job->state == MEBI__JOB_DONE) {
        job->progress.at = (mebi_progress){MEBI_STAGE_SAVE, job->request.count, job->request.count,
                                           job->request.steps, job->request.steps, 1,
                                           job->total_seconds, 0};
    }
    if (jobs->preview && strcmp(jobs->preview_job, job->id) == 0) job->preview = jobs->preview_number;
    pthread_mutex_unlock(&jobs->look);
}

mebi_status mebi__jobs_get(mebi__jobs *jobs, const char *id, mebi__job **job, mebi_error *err) {
    *job = NULL;
    if (!mebi__files_is_id(id, strnlen(id, MEBI__JOB_ID))) return MEBI_OK;
    MEBI_TRY(mebi__store_job(jobs->store, id, job, err));
    if (*job) complete(jobs, *job);
    return MEBI_OK;
}

/* The running one, then by position. */
static int compare(const mebi__job *a, const mebi__job *b) {
    if (a->state != b->state) return a->state == MEBI__JOB_RUNNING ? -1 : 1;
    return a->position != b->position ? a->position - b->position : a->row < b->row ? -1 : 1;
}

static int by_order(const void *a, const void *b) {
    return compare(*(mebi__job *const *)a, *(mebi__job *const *)b);
}

/* A job that ended between the two looks is in both: the later one holds. */
static void drop_ended(mebi__job_list *list, const mebi__job_list *ended) {
    int kept = 0;
    for (int i = 0; i < list->count; i++) {
        int twice = 0;
        for (int n = 0; n < ended->count; n++) twice |= ended->job[n]->row == list->job[i]->row;
        if (twice) mebi__job_free(&list->job[i]);
        else list->job[kept++] = list->job[i];
    }
    list->count = kept;
}

static mebi_status append(mebi__job_list *list, mebi__job_list *more, mebi_error *err) {
    if (!list->count) {
        mebi__free(list->job);
        *list = *more;
        *more = (mebi__job_list){0};
        return MEBI_OK;
    }
    mebi__job **all = mebi__realloc_array(MEBI__TAG_GENERAL, list->job,
                                          (size_t)(list->count + more->count), sizeof *all);
    if (!all) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the list of jobs.");
    for (int i = 0; i < more->count; i++) all[list->count++] = more->job[i];
    list->job = all;
    more->count = 0;
    return MEBI_OK;
}

mebi_status mebi__jobs_list(mebi__jobs *jobs, unsigned states, int limit, int64_t cursor,
                            mebi__job_list *list, mebi_error *err) {
    unsigned active = 1u << MEBI__JOB_QUEUED | 1u << MEBI__JOB_RUNNING, all = (1u << MEBI__JOB_STATES) - 1;
    mebi__job_list ended = {0};
    if (!(states & all)) states = all;
    limit = limit < 1 ? 1 : limit > 200 ? 200 : limit;
    *list = (mebi__job_list){0};
    if (cursor <= 0 && states & active)
        MEBI_TRY(mebi__store_jobs(jobs->store, states & active, 0, 0, jobs->params.queue_limit + 1,
                                  list, err));
    for (int i = 0; i < list->count; i++) complete(jobs, list->job[i]);
    if (list->count > 1) qsort(list->job, (size_t)list->count, sizeof *list->job, by_order);
    int room = limit - list->count > 0 ? limit - list->count : 1;
    mebi_status status = MEBI_OK;
    if (states & ~active)
        status = mebi__store_jobs(jobs->store, states & ~active, 1, cursor > 0 ? cursor : 0, room + 1,
                                  &ended, err);
    if (ended.count > room) {
        mebi__job_free(&ended.job[--ended.count]);
        list->next = ended.job[ended.count - 1]->row;
    }
    for (int i = 0; i < ended.count; i++) complete(jobs, ended.job[i]);
    drop_ended(list, &ended);
    int64_t next = list->next;
    if (status == MEBI_OK && ended.count) status = append(list, &ended, err);
    list->next = next;
    mebi__job_list_free(&ended);
    if (status != MEBI_OK) mebi__job_list_free(list);
    return status;
}

/* ---- cancelling ---- */

/* What an earlier attempt saved is of no use any more. */
static void drop_latents(const mebi__jobs *jobs, const char *id) {
    char *path = mebi__files_path(jobs->folder, "work", id, ".latents");
    if (path) unlink(path);
    mebi__free(path);
}

/* Move is held for what runs; a queued one's end takes it itself. */
static mebi_status ask_running(mebi__jobs *jobs, const mebi__job *job, int *runs, mebi_error *err) {
    mebi_status status = MEBI_OK;
    mebi__jobs_lock(jobs);
    *runs = jobs->running && jobs->running->row == job->row;
    if (*runs) status = mebi__store_ask_cancel(jobs->store, job->row, err);
    /* A job may wait for a disk that takes nothing: it ends all the same, only a kill before that is not prepared for. */
    if (*runs && status == MEBI_IO) status = MEBI_OK;
    if (*runs && status == MEBI_OK) {
        pthread_mutex_lock(&jobs->look);
        jobs->cancel = 1;
        pthread_cond_broadcast(&jobs->wake);
        pthread_mutex_unlock(&jobs->look);
    }
    mebi__jobs_unlock(jobs);
    return status;
}

mebi_status mebi__jobs_cancel(mebi__jobs *jobs, const char *id, mebi__cancelled *how,
                              mebi_error *err) {
    mebi_error own = {0};
    *how = MEBI__CANCEL_UNKNOWN;
    /* It may start, or end, between a look and the move: then the look was old. */
    for (int n = 0; n < 4; n++) {
        mebi__job *job;
        int runs = 0;
        MEBI_TRY(mebi__jobs_get(jobs, id, &job, err));
        if (!job) return MEBI_OK;
        own = (mebi_error){0};
        mebi_status status = MEBI_OK;
        *how = MEBI__CANCEL_LATE;
        if (job->state == MEBI__JOB_QUEUED) {
            *how = MEBI__CANCEL_DONE;
            status = mebi__move_finish(jobs, job, MEBI__JOB_QUEUED, MEBI__JOB_CANCELLED, &own);
            if (status == MEBI_OK) drop_latents(jobs, id);
        } else if (job->state == MEBI__JOB_RUNNING) {
            *how = MEBI__CANCEL_ASKED;
            status = ask_running(jobs, job, &runs, &own);
            if (status == MEBI_OK && !runs) status = MEBI_INTERNAL;
        }
        mebi__job_free(&job);
        if (status == MEBI_OK) return MEBI_OK;
        if (status == MEBI_INTERNAL) continue;
        mebi__jobs_lock(jobs);
        int again = mebi__jobs_give_reserve(jobs, status);
        mebi__jobs_unlock(jobs);
        if (!again) return mebi__fail(err, status, "%s", own.text);
    }
    return mebi__fail(err, MEBI_INTERNAL, "The job %.40s can't be cancelled: %s", id,
                      *own.text ? own.text : "it is between two states.");
}

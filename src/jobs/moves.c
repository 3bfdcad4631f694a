/* The moves of jobs: the store's transaction, then memory, then the news, under one lock. Must never
 * change memory for what the store refused. */
#include "jobs/internal.h"

#include "base/memory.h"
#include "base/os.h"
#include "jobs/words.h"

#include <string.h>

static mebi__event_kind kind_of(mebi__job_state to) {
    return to == MEBI__JOB_DONE     ? MEBI__EVENT_DONE
           : to == MEBI__JOB_FAILED ? MEBI__EVENT_FAILED
                                    : MEBI__EVENT_CANCELLED;
}

static void forget_running(mebi__jobs *jobs) {
    pthread_mutex_lock(&jobs->look);
    jobs->running = NULL;
    jobs->progress = (mebi__job_progress){.at.seconds_left = -1};
    pthread_mutex_unlock(&jobs->look);
}

static mebi_status finish(mebi__jobs *jobs, mebi__job *job, mebi__job_state from,
                          mebi__job_state to, mebi_error *err) {
    mebi__event e;
    MEBI_TRY(mebi__news_begin(jobs, kind_of(to), job->id, &e, err));
    memcpy(e.code, job->code, sizeof e.code);
    memcpy(e.message, job->message, sizeof e.message);
    job->finished_ms = mebi__wall_ms();
    MEBI_TRY(mebi__store_finish(jobs->store, job, from, to, &e, err));
    job->state = to;
    if (from == MEBI__JOB_QUEUED) mebi__queue_drop(jobs, job->row);
    else forget_running(jobs);
    pthread_mutex_lock(&jobs->look);
    jobs->counters.finished[to]++;
    pthread_mutex_unlock(&jobs->look);
    mebi__news_tell(jobs, &e);
    mebi__queue_tell(jobs);
    return MEBI_OK;
}

mebi_status mebi__move_finish(mebi__jobs *jobs, mebi__job *job, mebi__job_state from,
                              mebi__job_state to, mebi_error *err) {
    mebi__jobs_lock(jobs);
    mebi_status status = finish(jobs, job, from, to, err);
    mebi__jobs_unlock(jobs);
    return status;
}

/* Move is held. */
mebi_status mebi__move_start(mebi__jobs *jobs, mebi__job *job, mebi_error *err) {
    mebi__event e;
    MEBI_TRY(mebi__news_begin(jobs, MEBI__EVENT_STARTED, job->id, &e, err));
    int64_t now = mebi__wall_ms();
    MEBI_TRY(mebi__store_start(jobs->store, job->row, now, &e, err));
    job->state = MEBI__JOB_RUNNING;
    job->attempts++;
    job->fruitless++;
    if (!job->started_ms) job->started_ms = now;
    mebi__queue_drop(jobs, job->row);
    mebi__queue_took(jobs, job->client);
    pthread_mutex_lock(&jobs->look);
    jobs->running = job;
    jobs->cancel = 0;
    jobs->progress = (mebi__job_progress){
        .at = {.stage = MEBI_STAGE_TAKE, .count = job->request.count, .seconds_left = -1,
               .steps = job->request.steps}};
    pthread_mutex_unlock(&jobs->look);
    mebi__news_tell(jobs, &e);
    mebi__queue_tell(jobs);
    return MEBI_OK;
}

static mebi_status requeue(mebi__jobs *jobs, mebi__job *job, int fruitless, mebi_error *err) {
    mebi__event e;
    MEBI_TRY(mebi__news_begin(jobs, MEBI__EVENT_QUEUED, job->id, &e, err));
    e.position = 1;
    e.seconds_left = 0;
    MEBI_TRY(mebi__store_requeue(jobs->store, job->row, fruitless, &e, err));
    job->state = MEBI__JOB_QUEUED;
    forget_running(jobs);
    mebi__news_tell(jobs, &e);
    return mebi__queue_add(jobs, job, err);
}

mebi_status mebi__move_requeue(mebi__jobs *jobs, mebi__job *job, int fruitless, mebi_error *err) {
    mebi__jobs_lock(jobs);
    mebi_status status = requeue(jobs, job, fruitless, err);
    mebi__jobs_unlock(jobs);
    return status;
}

static mebi_status add_image(mebi__jobs *jobs, const mebi__image *image, const char *file,
                             mebi__image_place place, mebi_error *err) {
    mebi__event e;
    MEBI_TRY(mebi__news_begin(jobs, MEBI__EVENT_IMAGE, image->job, &e, err));
    memcpy(e.image, image->id, sizeof e.image);
    MEBI_TRY(mebi__store_add_image(jobs->store, image, file, place, &e, err));
    pthread_mutex_lock(&jobs->look);
    if (jobs->running && strcmp(jobs->running->id, image->job) == 0) {
        jobs->running->made = image->index + 1;
        jobs->running->fruitless = 0;
        jobs->counters.images_made++;
    }
    pthread_mutex_unlock(&jobs->look);
    mebi__news_tell(jobs, &e);
    return MEBI_OK;
}

mebi_status mebi__move_add_image(mebi__jobs *jobs, const mebi__image *image, const char *file,
                                 mebi__image_place place, mebi_error *err) {
    mebi__jobs_lock(jobs);
    mebi_status status = add_image(jobs, image, file, place, err);
    mebi__jobs_unlock(jobs);
    return status;
}

/* Kept with the job as far as there is room; told in any case. */
void mebi__move_notice(mebi__jobs *jobs, mebi__job *job, const char *sentence) {
    mebi__event e;
    mebi_error err = {0};
    char *kept = NULL;
    mebi__jobs_lock(jobs);
    if (mebi__news_begin(jobs, MEBI__EVENT_NOTICE, job->id, &e, &err) == MEBI_OK) {
        mebi__words_cut(e.message, sizeof e.message, sentence);
        if (job->notices < MEBI__JOB_NOTICES)
            kept = mebi__copy_string(e.message, strlen(e.message));
        if (kept) job->notice[job->notices++] = kept;
        if (mebi__words_are_utf8(e.message) &&
            mebi__store_notice(jobs->store, job, &e, &err) == MEBI_OK)
            mebi__news_tell(jobs, &e);
    }
    mebi__jobs_unlock(jobs);
}

/* The jobs, opened and closed, and what is asked of them. Must never accept what the disk does not have. */
#include "jobs/jobs.h"

#include "base/memory.h"
#include "base/os.h"
#include "jobs/files.h"
#include "jobs/internal.h"
#include "jobs/words.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

mebi__jobs_params mebi__jobs_params_default(void) {
    return (mebi__jobs_params){.queue_limit = 256, .latents_seconds = 2};
}

void mebi__jobs_lock(mebi__jobs *jobs) {
    pthread_mutex_lock(&jobs->move);
    jobs->told = 0;
}

void mebi__jobs_unlock(mebi__jobs *jobs) {
    int told = jobs->told;
    pthread_mutex_unlock(&jobs->move);
    if (told && jobs->params.nudge) jobs->params.nudge(jobs->params.context);
}

void mebi__jobs_log(const mebi__jobs *jobs, const char *format, ...) {
    char sentence[1400];
    if (!jobs->params.log) return;
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    jobs->params.log(jobs->params.context, sentence);
}

int mebi__jobs_give_reserve(mebi__jobs *jobs, mebi_status status) {
    if (status != MEBI_IO) return 0;
    int given = mebi__files_give_reserve(jobs->folder);
    if (given) jobs->without_reserve = 1;
    return (jobs->store && mebi__store_shrink(jobs->store)) || given;
}

/* ---- opening and closing ---- */

static void begin_locks(mebi__jobs *jobs) {
    pthread_condattr_t attributes;
    pthread_mutex_init(&jobs->move, NULL);
    pthread_mutex_init(&jobs->look, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&jobs->wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

static mebi_status start_worker(mebi__jobs *jobs, mebi_error *err) {
    int cause = pthread_create(&jobs->worker, NULL, mebi__jobs_work, jobs);
    if (cause)
        return mebi__fail(err, MEBI_NO_MEMORY, "The worker can't be started: %s.", strerror(cause));
    jobs->worker_runs = 1;
    return MEBI_OK;
}

static mebi_status open_store(mebi__jobs *jobs, mebi__store_opened *opened, int64_t *first,
                              mebi_error *err) {
    char *path = mebi__files_path(jobs->folder, "mebi.db", NULL, "");
    mebi_status status = path ? mebi__store_open(path, &jobs->store, opened, err)
                              : mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    mebi__free(path);
    if (status == MEBI_OK)
        status = mebi__store_reserve_events(jobs->store, MEBI__EVENTS_RESERVED, first, err);
    return status;
}

static mebi_status open_all(mebi__jobs *jobs, mebi_error *err) {
    mebi__store_opened opened;
    int64_t first;
    mebi_error own = {0};
    if (!jobs->folder || !jobs->model_name)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the jobs.");
    MEBI_TRY(mebi__files_take(jobs->folder, &jobs->lock_fd, err));
    mebi_status status = open_store(jobs, &opened, &first, &own);
    if (mebi__jobs_give_reserve(jobs, status)) {
        /* A disk that was full at the last end, too: then who looks can remove something. */
        mebi__store_close(&jobs->store);
        own = (mebi_error){0};
        status = open_store(jobs, &opened, &first, &own);
    }
    if (status != MEBI_OK) return mebi__fail(err, status, "%s", own.text);
    jobs->oldest = first;
    jobs->newest = first - 1;
    jobs->reserved = first + MEBI__EVENTS_RESERVED;
    MEBI_TRY(mebi__jobs_repair(jobs, &opened, err));
    jobs->without_reserve = !mebi__files_take_reserve(jobs->folder);
    return start_worker(jobs, err);
}

mebi_status mebi__jobs_open(const mebi__jobs_params *params, mebi__jobs **out, mebi_error *err) {
    *out = NULL;
    mebi__jobs *jobs = mebi__alloc(MEBI__TAG_GENERAL, sizeof *jobs);
    if (!jobs || !params->engine.context) {
        if (params->engine.end) params->engine.end(params->engine.context);
        mebi__free(jobs);
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the jobs.");
    }
    const char *name = params->model_name ? params->model_name : "";
    jobs->params = *params;
    if (params->queue_limit < 1) jobs->params.queue_limit = 256;
    if (!(params->latents_seconds > 0)) jobs->params.latents_seconds = 2;
    jobs->lock_fd = -1;
    jobs->paused = params->paused;
    jobs->progress.at.seconds_left = -1;
    jobs->folder = mebi__copy_string(params->folder, strlen(params->folder));
    jobs->model_name = mebi__copy_string(name, strlen(name));
    begin_locks(jobs);
    mebi_status status = open_all(jobs, err);
    if (status == MEBI_OK) *out = jobs;
    else mebi__jobs_close(&jobs);
    return status;
}

void mebi__jobs_stop(mebi__jobs *jobs) {
    jobs->stopping = 1;
    mebi__news_wake_all(jobs);
}

int mebi__jobs_stopping(mebi__jobs *jobs) {
    return jobs->stopping;
}

/* Those who wait for events leave by themselves. */
static void await_sleepers(mebi__jobs *jobs) {
    for (int left = 1; left;) {
        pthread_mutex_lock(&jobs->look);
        left = jobs->sleepers != NULL;
        pthread_mutex_unlock(&jobs->look);
        if (left) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

void mebi__jobs_close(mebi__jobs **out) {
    mebi__jobs *jobs = *out;
    if (!jobs) return;
    *out = NULL;
    mebi__jobs_stop(jobs);
    if (jobs->worker_runs) pthread_join(jobs->worker, NULL);
    await_sleepers(jobs);
    mebi__job_engine *engine = &jobs->params.engine;
    if (jobs->ready) engine->close(engine->context);
    if (engine->end) engine->end(engine->context);
    mebi__store_close(&jobs->store);
    if (jobs->lock_fd >= 0) close(jobs->lock_fd);
    pthread_cond_destroy(&jobs->wake);
    pthread_mutex_destroy(&jobs->look);
    pthread_mutex_destroy(&jobs->move);
    mebi__free(jobs->queue);
    mebi__free(jobs->preview);
    mebi__free(jobs->folder);
    mebi__free(jobs->model_name);
    mebi__free(jobs);
}

static void wake_worker(mebi__jobs *jobs) {
    pthread_mutex_lock(&jobs->look);
    pthread_cond_broadcast(&jobs->wake);
    pthread_mutex_unlock(&jobs->look);
}

void mebi__jobs_pause(mebi__jobs *jobs, int paused) {
    pthread_mutex_lock(&jobs->look);
    jobs->paused = paused;
    pthread_mutex_unlock(&jobs->look);
    wake_worker(jobs);
}

/* ---- the engine ---- */

mebi__jobs_readiness mebi__jobs_health(mebi__jobs *jobs, char *sentence, double *fraction) {
    pthread_mutex_lock(&jobs->look);
    mebi__jobs_readiness readiness = jobs->readiness;
    if (sentence) memcpy(sentence, jobs->trouble, sizeof jobs->trouble);
    if (fraction) *fraction = jobs->ready ? 1 : jobs->loading;
    pthread_mutex_unlock(&jobs->look);
    return readiness;
}

static int is_ready(mebi__jobs *jobs) {
    pthread_mutex_lock(&jobs->look);
    int ready = jobs->ready;
    pthread_mutex_unlock(&jobs->look);
    return ready;
}

int mebi__jobs_describe(mebi__jobs *jobs, mebi_engine_info *info) {
    *info = (mebi_engine_info){0};
    if (!is_ready(jobs)) return 0;
    *info = jobs->params.engine.describe(jobs->params.engine.context);
    return 1;
}

const char *mebi__jobs_model_name(const mebi__jobs *jobs) {
    return jobs->model_name;
}

mebi_request mebi__jobs_request_default(mebi__jobs *jobs) {
    mebi_engine_info info;
    int side = mebi__jobs_describe(jobs, &info) && info.native_side > 0 ? info.native_side : 1024;
    return (mebi_request){.width = side, .height = side, .steps = 8, .cfg_truncation = 1,
                          .seed = -1, .count = 1};
}

mebi_status mebi__jobs_plan(mebi__jobs *jobs, const mebi_request *request, mebi_plan *plan,
                            int *unavailable, mebi_error *err) {
    int ready = is_ready(jobs);
    char trouble[MEBI__JOB_MESSAGE];
    if (unavailable) *unavailable = !ready;
    if (ready) return jobs->params.engine.plan(jobs->params.engine.context, request, plan, err);
    mebi__jobs_health(jobs, trouble, NULL);
    return mebi__fail(err, MEBI_IO, "%s",
                      *trouble ? trouble : "The model is still being loaded. Try again in some seconds.");
}

/* ---- other work ---- */

mebi_status mebi__jobs_exclusive(mebi__jobs *jobs, void (*work)(void *context),
                                 void (*ended)(void *context, int ran), void *context,
                                 mebi_error *err) {
    pthread_mutex_lock(&jobs->look);
    int busy = jobs->working || jobs->stopping;
    if (!busy) {
        jobs->working = 1;
        jobs->work = work;
        jobs->work_ended = ended;
        jobs->work_context = context;
        pthread_cond_broadcast(&jobs->wake);
    }
    pthread_mutex_unlock(&jobs->look);
    if (!busy) return MEBI_OK;
    return mebi__fail(err, MEBI_BAD_ARGUMENT,
                      "Another check waits or runs already. Try again when it has ended.");
}

mebi_status mebi__jobs_count(mebi__jobs *jobs, mebi__jobs_counters *counters, mebi_error *err) {
    pthread_mutex_lock(&jobs->look);
    *counters = jobs->counters;
    pthread_mutex_unlock(&jobs->look);
    return mebi__store_count(jobs->store, counters, err);
}

mebi_status mebi__jobs_preview(mebi__jobs *jobs, const char *id, unsigned char **jpeg,
                               size_t *bytes, int *number, mebi_error *err) {
    *jpeg = NULL;
    *bytes = 0;
    *number = 0;
    pthread_mutex_lock(&jobs->look);
    int there = jobs->preview && strcmp(jobs->preview_job, id) == 0;
    if (there) *jpeg = mebi__alloc(MEBI__TAG_OUTPUT, jobs->preview_bytes);
    if (*jpeg) {
        memcpy(*jpeg, jobs->preview, jobs->preview_bytes);
        *bytes = jobs->preview_bytes;
        *number = jobs->preview_number;
    }
    pthread_mutex_unlock(&jobs->look);
    if (there && !*jpeg) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a preview.");
    return MEBI_OK;
}

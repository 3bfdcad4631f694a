/* The worker: one thread that owns the engine and makes one job after the other. Must never end a job in two ways, nor
 * take the next one before the last one's end is on the disk. */
#include "base/memory.h"
#include "base/os.h"
#include "jobs/files.h"
#include "jobs/internal.h"
#include "jobs/latents.h"
#include "jobs/picture.h"
#include "jobs/thumbnail.h"
#include "jobs/words.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PREVIEW_QUALITY = 80, PREVIEW_SIDE = 1024 };

/* One attempt at a job, for the callbacks. */
typedef struct attempt {
    mebi__jobs *jobs;
    mebi__job *job;
    const char *model_hash; /* the engine's */
    char *latents;          /* path of the file */
    int first;              /* picture that the engine calls 0 */
    double base;            /* of the whole job that was done before */
    double told_at, saved_at, measured_at;
    mebi_stage stage;
    int saved, latents_fail;
} attempt;

/* ---- waiting ---- */

static struct timespec in_seconds(double seconds) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)ceil(seconds);
    return t;
}

static void rest(mebi__jobs *jobs, double seconds) {
    struct timespec until = in_seconds(seconds);
    pthread_mutex_lock(&jobs->look);
    if (!jobs->stopping) pthread_cond_timedwait(&jobs->wake, &jobs->look, &until);
    pthread_mutex_unlock(&jobs->look);
}

static void be(mebi__jobs *jobs, mebi__jobs_readiness readiness, const char *trouble) {
    pthread_mutex_lock(&jobs->look);
    int news = *trouble && strcmp(jobs->trouble, trouble) != 0;
    jobs->readiness = readiness;
    mebi__words_cut(jobs->trouble, sizeof jobs->trouble, trouble);
    pthread_mutex_unlock(&jobs->look);
    if (news) mebi__jobs_log(jobs, "%s", trouble);
}

/* Trouble with the disk, seen by whoever wrote: told until something could be written. */
void mebi__jobs_doubt(mebi__jobs *jobs, const char *sentence) {
    pthread_mutex_lock(&jobs->look);
    int ready = jobs->ready;
    jobs->in_doubt = ready;
    pthread_cond_broadcast(&jobs->wake);
    pthread_mutex_unlock(&jobs->look);
    if (ready) be(jobs, MEBI__JOBS_TROUBLE, sentence);
}

void mebi__jobs_trust(mebi__jobs *jobs) {
    pthread_mutex_lock(&jobs->look);
    int doubted = jobs->in_doubt;
    jobs->in_doubt = 0;
    pthread_mutex_unlock(&jobs->look);
    if (doubted) be(jobs, MEBI__JOBS_READY, "");
}

/* 1: nothing is known to be wrong with the disk, or not any more. */
static int is_trusted(mebi__jobs *jobs) {
    mebi_error err = {0};
    pthread_mutex_lock(&jobs->look);
    int doubted = jobs->in_doubt;
    pthread_mutex_unlock(&jobs->look);
    if (!doubted && jobs->without_reserve) jobs->without_reserve = !mebi__files_take_reserve(jobs->folder);
    if (!doubted) return 1;
    mebi__jobs_lock(jobs);
    mebi_status status = mebi__store_try(jobs->store, &err);
    if (status == MEBI_IO && mebi__store_shrink(jobs->store)) {
        err = (mebi_error){0};
        status = mebi__store_try(jobs->store, &err);
    }
    mebi__jobs_unlock(jobs);
    if (status == MEBI_OK) mebi__jobs_trust(jobs);
    else rest(jobs, 1);
    return status == MEBI_OK;
}

/* ---- callbacks ---- */

static void on_progress(void *context, const mebi_progress *p) {
    attempt *a = context;
    mebi__jobs *jobs = a->jobs;
    double now = mebi__now_seconds();
    int begins = p->stage != a->stage;
    mebi__event e = {.kind = MEBI__EVENT_PROGRESS, .seconds_left = -1};
    memcpy(e.job, a->job->id, sizeof e.job);
    pthread_mutex_lock(&jobs->look);
    mebi__job_progress *own = &jobs->progress;
    own->at = *p;
    own->at.image += p->image > 0 ? a->first : 0;
    own->at.count = a->job->request.count;
    own->at.fraction = a->base + (1 - a->base) * p->fraction;
    if (now - a->measured_at >= 0.5) {
        a->measured_at = now;
        own->memory_bytes = mebi__files_own_bytes();
    }
    e.progress = *own;
    pthread_mutex_unlock(&jobs->look);
    if (!begins && now - a->told_at < 0.1) return;
    a->told_at = now;
    a->stage = p->stage;
    mebi__news_pass(jobs, &e);
}

static int on_cancelled(void *context) {
    const attempt *a = context;
    return a->jobs->stopping || a->jobs->cancel;
}

static void on_notice(void *context, const char *text) {
    attempt *a = context;
    mebi__move_notice(a->jobs, a->job, text);
}

static void on_preview(void *context, int index, int step, const mebi_image *image) {
    attempt *a = context;
    mebi__jobs *jobs = a->jobs;
    unsigned char *jpeg;
    size_t bytes;
    mebi_error err = {0};
    if (mebi__thumbnail_encode(image, PREVIEW_SIDE, PREVIEW_QUALITY, &jpeg, &bytes, &err) != MEBI_OK)
        return;
    mebi__event e = {.kind = MEBI__EVENT_PREVIEW, .seconds_left = -1, .step = step,
                     .width = image->width, .height = image->height};
    e.progress.at.image = a->first + index + 1;
    memcpy(e.job, a->job->id, sizeof e.job);
    pthread_mutex_lock(&jobs->look);
    unsigned char *old = jobs->preview;
    jobs->preview = jpeg;
    jobs->preview_bytes = bytes;
    e.number = ++jobs->preview_number;
    memcpy(jobs->preview_job, a->job->id, sizeof jobs->preview_job);
    pthread_mutex_unlock(&jobs->look);
    mebi__free(old);
    mebi__news_pass(jobs, &e);
}

/* A job that can't be continued is only made anew: no reason to end it. */
static mebi_status on_latents(void *context, const mebi_latents *latents) {
    attempt *a = context;
    mebi_error err = {0};
    double now = mebi__now_seconds(), every = a->jobs->params.latents_seconds;
    if (now - a->saved_at < every) return MEBI_OK;
    a->saved_at = now;
    mebi_latents whole = *latents;
    whole.index += a->first;
    mebi_status status = mebi__latents_save(a->latents, a->job->id, a->model_hash, &whole, &err);
    if (status != MEBI_OK) {
        if (!a->latents_fail++) mebi__jobs_log(a->jobs, "A step could not be saved: %s", err.text);
        return MEBI_OK;
    }
    if (a->saved++) return MEBI_OK;
    mebi__jobs_lock(a->jobs);
    (void)!mebi__store_fruitful(a->jobs->store, a->job->row, &err);
    mebi__jobs_unlock(a->jobs);
    return MEBI_OK;
}

/* File and row. */
static mebi_status keep(const attempt *a, int index, int64_t seed, const mebi_image *image,
                        mebi_error *err) {
    mebi__jobs *jobs = a->jobs;
    mebi__images row;
    char file[80];
    MEBI_TRY(mebi__picture_save(jobs->folder, a->job, index, seed, image, jobs->model_name,
                                a->model_hash, &row, file, err));
    mebi_status status =
        mebi__move_add_image(jobs, row.image, file, MEBI__PLACE_IMAGES, err);
    if (status != MEBI_OK) mebi__picture_unsave(jobs->folder, row.image->id, file);
    mebi__images_free(&row);
    return status;
}

/* Says why a picture waits, once for each reason; those who listen to the job hear it, too. */
static void tell_wait(const attempt *a, const char *why, char told[MEBI__JOB_MESSAGE]) {
    char sentence[MEBI__JOB_MESSAGE + 100];
    snprintf(sentence, sizeof sentence,
             "%.400s The finished picture is kept in memory until it can be saved.", why);
    be(a->jobs, MEBI__JOBS_TROUBLE, sentence);
    if (strncmp(told, sentence, MEBI__JOB_MESSAGE - 1) == 0) return;
    mebi__event e = {.kind = MEBI__EVENT_NOTICE, .seconds_left = -1};
    mebi__words_cut(e.message, sizeof e.message, sentence);
    memcpy(told, e.message, sizeof e.message);
    memcpy(e.job, a->job->id, sizeof e.job);
    mebi__news_pass(a->jobs, &e);
}

/* A picture that is made and can't be saved is not thrown away, for what filled the disk would fail all jobs that wait,
 * too: it waits until there is room, the job is cancelled, or the process ends. */
static mebi_status on_image(void *context, int index, int64_t seed, const mebi_image *image,
                            mebi_error *err) {
    attempt *a = context;
    char told[MEBI__JOB_MESSAGE] = "";
    for (int tries = 0;; tries++) {
        mebi_error own = {0};
        mebi_status status = keep(a, a->first + index, seed, image, &own);
        if (status == MEBI_OK && tries) be(a->jobs, MEBI__JOBS_READY, "");
        if (status == MEBI_OK) return status;
        if (status != MEBI_IO) return mebi__fail(err, status, "%s", own.text);
        if (on_cancelled(a)) return mebi__fail(err, MEBI_CANCELLED, "The job was cancelled.");
        tell_wait(a, own.text, told);
        mebi__jobs_lock(a->jobs);
        (void)mebi__store_shrink(a->jobs->store);
        mebi__jobs_unlock(a->jobs);
        rest(a->jobs, tries < 10 ? 1 : 5);
    }
}

/* ---- a job ---- */

static const char *code_of(mebi_status status) {
    switch (status) {
    case MEBI_BAD_ARGUMENT: return "bad_request";
    case MEBI_NO_MEMORY: return "too_big";
    case MEBI_IO: return "disk";
    case MEBI_NUMERIC: return "numeric";
    case MEBI_BAD_FILE: return "bad_file";
    default: return "internal";
    }
}

static void blame(mebi__job *job, mebi_status status, const char *sentence) {
    job->status = status;
    snprintf(job->code, sizeof job->code, "%s", code_of(status));
    mebi__words_cut(job->message, sizeof job->message,
                    sentence && *sentence ? sentence : mebi_status_text(status));
}

static void note_report(mebi__jobs *jobs, mebi__job *job, const mebi_report *r, mebi_status status) {
    memcpy(job->seconds, r->seconds, sizeof job->seconds);
    job->seconds[MEBI_STAGE_LOAD] = 0; /* the engine's, told once */
    job->total_seconds = r->total_seconds;
    pthread_mutex_lock(&jobs->look);
    mebi__jobs_counters *c = &jobs->counters;
    for (int s = 0; s < MEBI_STAGE_COUNT; s++) c->seconds[s] += job->seconds[s];
    if (status == MEBI_OK) {
        job->peak_bytes = r->peak_bytes;
        c->predicted_bytes = r->plan.peak_bytes;
        c->measured_bytes = r->peak_bytes;
        if (c->predicted_bytes > c->predicted_most) c->predicted_most = c->predicted_bytes;
        if (c->measured_bytes > c->measured_most) c->measured_most = c->measured_bytes;
        c->predicted_seconds = r->plan.total_seconds;
        c->measured_seconds = r->total_seconds;
    }
    pthread_mutex_unlock(&jobs->look);
}

/* What is left of the job: all but the pictures that were saved, from the last saved step on. */
static mebi_status generate(attempt *a, mebi_latents *saved, mebi_error *err) {
    mebi__jobs *jobs = a->jobs;
    mebi_request r = a->job->request;
    mebi_report report = {0};
    mebi_callbacks callbacks = {.context = a, .progress = on_progress, .image = on_image,
                                .cancelled = on_cancelled, .notice = on_notice,
                                .preview = on_preview, .latents = on_latents};
    r.count -= a->first;
    r.seed += a->first;
    r.resume = saved;
    a->base = (double)a->first / a->job->request.count;
    mebi_status status =
        jobs->params.engine.generate(jobs->params.engine.context, &r, &callbacks, &report, err);
    note_report(jobs, a->job, &report, status);
    return status;
}

static mebi_status run(attempt *a, mebi_error *err) {
    mebi__jobs *jobs = a->jobs;
    mebi__job *job = a->job;
    char *block;
    mebi_latents saved;
    mebi_error own = {0};
    a->first = job->made;
    if (a->first >= job->request.count) return MEBI_OK;
    int resumes = mebi__latents_load(a->latents, job->id, a->model_hash, a->first, &saved, &block);
    if (resumes || a->first) {
        pthread_mutex_lock(&jobs->look);
        jobs->counters.taken_up++;
        pthread_mutex_unlock(&jobs->look);
    }
    mebi_status status = generate(a, resumes ? &saved : NULL, &own);
    /* Saved by another version, perhaps: from the begin, then. */
    if (resumes && status == MEBI_BAD_ARGUMENT) {
        own = (mebi_error){0};
        status = generate(a, NULL, &own);
    }
    mebi__free(block);
    return status == MEBI_OK ? status : mebi__fail(err, status, "%s", own.text);
}

/* Until the disk has it, or the process is to end: then the next start makes the job anew. */
static void end(attempt *a, mebi_status status, const mebi_error *why) {
    mebi__jobs *jobs = a->jobs;
    mebi__job *job = a->job;
    mebi__job_state to = status == MEBI_OK ? MEBI__JOB_DONE : MEBI__JOB_FAILED;
    if (status == MEBI_CANCELLED) to = MEBI__JOB_CANCELLED;
    if (to == MEBI__JOB_FAILED) blame(job, status, why->text);
    int back = status == MEBI_CANCELLED && !jobs->cancel;
    for (;;) {
        mebi_error err = {0};
        mebi_status moved = back ? mebi__move_requeue(jobs, job, 0, &err)
                                 : mebi__move_finish(jobs, job, MEBI__JOB_RUNNING, to, &err);
        if (moved == MEBI_OK) break;
        be(jobs, MEBI__JOBS_TROUBLE, err.text);
        if (jobs->stopping) break;
        rest(jobs, 1);
    }
    mebi__jobs_trust(jobs);
    be(jobs, MEBI__JOBS_READY, "");
    if (!back) unlink(a->latents);
}

static void work_on(mebi__jobs *jobs, mebi__job *job) {
    mebi_error err = {0};
    attempt a = {.jobs = jobs, .job = job, .stage = MEBI_STAGE_COUNT,
                 .saved_at = mebi__now_seconds(),
                 .model_hash = jobs->params.engine.describe(jobs->params.engine.context).model_hash,
                 .latents = mebi__files_path(jobs->folder, "work", job->id, ".latents")};
    if (!a.model_hash) a.model_hash = "";
    mebi_status status = a.latents ? run(&a, &err)
                                   : mebi__fail(&err, MEBI_NO_MEMORY, "No memory for a path.");
    if (a.latents) end(&a, status, &err);
    mebi__free(a.latents);
    pthread_mutex_lock(&jobs->look);
    jobs->running = NULL; /* also where the disk refused its end */
    pthread_mutex_unlock(&jobs->look);
}

/* The next job, running; NULL: there is none, or it could not be started. */
static mebi__job *take(mebi__jobs *jobs) {
    char id[MEBI__JOB_ID];
    mebi__job *job = NULL;
    mebi_error err = {0};
    mebi_status status = MEBI_OK;
    mebi__jobs_lock(jobs);
    if (!jobs->stopping && !jobs->paused && mebi__queue_next(jobs, id)) {
        status = mebi__store_job(jobs->store, id, &job, &err);
        if (status == MEBI_OK && job) status = mebi__move_start(jobs, job, &err);
        if (status != MEBI_OK) mebi__job_free(&job);
    }
    mebi__jobs_unlock(jobs);
    if (job && status == MEBI_OK) be(jobs, MEBI__JOBS_READY, "");
    if (status == MEBI_OK) return job;
    be(jobs, MEBI__JOBS_TROUBLE, err.text);
    rest(jobs, 1);
    return NULL;
}

/* ---- the thread ---- */

static void on_loading(void *context, const mebi_progress *p) {
    mebi__jobs *jobs = context;
    pthread_mutex_lock(&jobs->look);
    jobs->loading = p->fraction;
    pthread_mutex_unlock(&jobs->look);
}

static int on_stop(void *context) {
    return ((mebi__jobs *)context)->stopping;
}

static void on_load_notice(void *context, const char *text) {
    mebi__jobs_log(context, "%s", text);
}

static int open_engine(mebi__jobs *jobs) {
    mebi__job_engine *engine = &jobs->params.engine;
    mebi_callbacks callbacks = {.context = jobs, .progress = on_loading, .cancelled = on_stop,
                                .notice = on_load_notice};
    mebi_error err = {0};
    if (engine->open(engine->context, &callbacks, &err) == MEBI_OK) {
        pthread_mutex_lock(&jobs->look);
        jobs->ready = 1;
        pthread_mutex_unlock(&jobs->look);
        be(jobs, MEBI__JOBS_READY, "");
        return 1;
    }
    engine->close(engine->context);
    if (!jobs->stopping) be(jobs, MEBI__JOBS_TROUBLE, *err.text ? err.text : "The model can't be opened.");
    return 0;
}

/* Work that needs the machine for itself. 1: there was some. */
static int do_exclusive(mebi__jobs *jobs) {
    pthread_mutex_lock(&jobs->look);
    void (*work)(void *) = jobs->work;
    void (*ended)(void *, int) = jobs->work_ended;
    void *context = jobs->work_context;
    int stopping = jobs->stopping;
    jobs->work = NULL;
    pthread_mutex_unlock(&jobs->look);
    if (!work) return 0;
    if (!stopping) work(context);
    pthread_mutex_lock(&jobs->look);
    jobs->working = 0;
    pthread_mutex_unlock(&jobs->look);
    if (ended) ended(context, !stopping);
    return 1;
}

static void wait_for_work(mebi__jobs *jobs, double seconds) {
    struct timespec until = in_seconds(seconds);
    pthread_mutex_lock(&jobs->look);
    if (!jobs->stopping && !jobs->work && !jobs->in_doubt && (jobs->queued == 0 || jobs->paused || !jobs->ready))
        pthread_cond_timedwait(&jobs->wake, &jobs->look, &until);
    pthread_mutex_unlock(&jobs->look);
}

void *mebi__jobs_work(void *context) {
    mebi__jobs *jobs = context;
    double again = 0, pause = 1;
    while (!jobs->stopping) {
        if (do_exclusive(jobs)) continue;
        if (!jobs->ready && mebi__now_seconds() >= again && !open_engine(jobs)) {
            again = mebi__now_seconds() + pause;
            pause = pause < 30 ? 2 * pause : 30;
        }
        if (jobs->ready && !is_trusted(jobs)) continue;
        mebi__job *job = jobs->ready ? take(jobs) : NULL;
        if (job) {
            work_on(jobs, job);
            mebi__job_free(&job);
        } else wait_for_work(jobs, jobs->ready ? 60 : 1);
    }
    (void)do_exclusive(jobs);
    return NULL;
}

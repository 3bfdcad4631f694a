/* An engine that paints without a model, step by step when it is told to, and data folders to run jobs in. */
#ifndef MEBI_TESTS_JOBS_FAKE_H
#define MEBI_TESTS_JOBS_FAKE_H

#include "testing.h"

#include "base/memory.h"
#include "jobs/jobs.h"
#include "model_files.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

enum { FAKE_LOG = 64, FAKE_VALUES = 48 };

typedef struct fake {
    _Atomic int gate;        /* 1: each step waits until it is 0, or the job is to end */
    _Atomic int steps;       /* made since the begin */
    _Atomic int opens_badly; /* so many openings fail */
    _Atomic int kill_at;     /* step of all at which the process kills itself; 0: never */
    mebi_status fails;       /* what generate ends with */
    int too_wide;            /* pixels above which the plan says no; 0: none */
    pthread_mutex_t lock;
    int jobs, resumed_step, resumed_count;
    char log[FAKE_LOG][64];  /* prompts, in the order in which they ran */
} fake;

static inline void fake_nap(int ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
}

static inline mebi_status fake_open(void *context, const mebi_callbacks *c, mebi_error *err) {
    fake *f = context;
    if (c->progress) c->progress(c->context, &(mebi_progress){.fraction = 0.5});
    if (f->opens_badly-- > 0) {
        err->status = MEBI_BAD_FILE;
        snprintf(err->text, sizeof err->text, "The fake model is broken.");
        return MEBI_BAD_FILE;
    }
    return MEBI_OK;
}

static inline void fake_close(void *context) {
    (void)context;
}

static inline mebi_engine_info fake_describe(void *context) {
    (void)context;
    return (mebi_engine_info){.model_hash = "00112233445566ff", .cpu = "none", .unused_tensors = "",
                              .size_multiple = 16, .largest_side = 4096, .native_side = 64};
}

static inline mebi_status fake_plan(void *context, const mebi_request *r, mebi_plan *p, mebi_error *err) {
    fake *f = context;
    *p = (mebi_plan){.need_bytes = 1000, .peak_bytes = 900, .total_seconds = 2 * r->count};
    p->seconds[MEBI_STAGE_STEP] = 1.5;
    snprintf(p->strategy, sizeof p->strategy, "by hand");
    if (r->width % 16 || r->count < 1) {
        err->status = MEBI_BAD_ARGUMENT;
        snprintf(err->text, sizeof err->text, "The width %d is not possible.", r->width);
        return MEBI_BAD_ARGUMENT;
    }
    if (f->too_wide && r->width > f->too_wide) {
        p->verdict = MEBI_TOO_BIG;
        p->alternatives = 1;
        p->alternative[0] = (mebi_alternative){.width = f->too_wide, .height = 64, .count = 1};
        snprintf(p->why, sizeof p->why, "It is too wide.");
    }
    return MEBI_OK;
}

static inline mebi_status fake_paint(const mebi_request *r, int index, const mebi_callbacks *c, mebi_error *err) {
    mebi_image image = {r->width, r->height, NULL};
    size_t bytes = 3 * (size_t)r->width * (size_t)r->height;
    image.pixels = malloc(bytes);
    if (!image.pixels) abort();
    uint32_t noise = (uint32_t)r->seed + (uint32_t)index; /* so that a large picture is a large file */
    for (size_t i = 0; i < bytes; i++) image.pixels[i] = (unsigned char)((noise = noise * 1664525u + 1013904223u) >> 24);
    mebi_status status = c->image(c->context, index, r->seed + index, &image, err);
    free(image.pixels);
    return status;
}

/* One step of picture `index`, by its values: what they are tells how far they came. */
static inline mebi_status fake_step(fake *f, const mebi_request *r, int index, int step, const mebi_callbacks *c) {
    float values[FAKE_VALUES];
    while (f->gate && !c->cancelled(c->context)) fake_nap(1);
    if (c->cancelled(c->context)) return MEBI_CANCELLED;
    f->steps++;
    for (int i = 0; i < FAKE_VALUES; i++) values[i] = (float)(step * 100 + i);
    mebi_latents l = {index, 1, r->seed + index, step, r->steps, 3, 4, 4, FAKE_VALUES, values};
    (void)!c->latents(c->context, &l);
    if (f->kill_at && f->steps == f->kill_at) raise(SIGKILL);
    c->progress(c->context, &(mebi_progress){MEBI_STAGE_STEP, index + 1, r->count, step, r->steps,
                                             (index + (double)step / r->steps) / r->count, 0.1, 3});
    if (r->preview_every && step % r->preview_every == 0 && step < r->steps) {
        unsigned char pixels[8 * 8 * 3] = {200};
        c->preview(c->context, index, step, &(mebi_image){8, 8, pixels});
    }
    return MEBI_OK;
}

static inline mebi_status fake_generate(void *context, const mebi_request *r, const mebi_callbacks *c,
                                        mebi_report *report, mebi_error *err) {
    fake *f = context;
    pthread_mutex_lock(&f->lock);
    f->resumed_step = r->resume ? r->resume->step : 0;
    f->resumed_count = r->count;
    if (r->resume && r->resume->values[5] != (float)(r->resume->step * 100 + 5)) f->resumed_step = -1;
    if (f->jobs < FAKE_LOG) snprintf(f->log[f->jobs++], 64, "%.63s", r->prompt);
    pthread_mutex_unlock(&f->lock);
    report->plan.peak_bytes = 900;
    report->peak_bytes = 800;
    report->total_seconds = 1;
    mebi_status status = f->fails;
    if (status != MEBI_OK) {
        err->status = status;
        snprintf(err->text, sizeof err->text, "The fake engine fails.");
    }
    c->notice(c->context, "A notice of the fake engine.");
    for (int i = 0; i < r->count && status == MEBI_OK; i++) {
        int from = i == 0 && r->resume ? r->resume->step + 1 : 1;
        for (int s = from; s <= r->steps && status == MEBI_OK; s++) status = fake_step(f, r, i, s, c);
        if (status == MEBI_OK) status = fake_paint(r, i, c, err);
    }
    return status;
}

/* ---- a folder, and jobs on it ---- */

typedef struct bench {
    path_text folder;
    fake fake;
    mebi__jobs *jobs;
    mebi_error err;
    int queue_limit;
    double latents_seconds;
    int paused;
    char log[4096]; /* what the operator was told */
} bench;

static inline void bench_log(void *context, const char *sentence) {
    bench *b = context;
    size_t length = strlen(b->log);
    snprintf(b->log + length, sizeof b->log - length, "%s\n", sentence);
}

static inline mebi__jobs_params bench_params(bench *b) {
    mebi__jobs_params p = mebi__jobs_params_default();
    p.folder = b->folder.text;
    p.model_name = "fake";
    p.engine = (mebi__job_engine){&b->fake, fake_open, fake_close, fake_describe, fake_plan, fake_generate, NULL};
    p.queue_limit = b->queue_limit;
    p.latents_seconds = b->latents_seconds;
    p.paused = b->paused;
    p.log = bench_log;
    p.context = b;
    return p;
}

static inline mebi_status bench_try(bench *b) {
    mebi__jobs_params p = bench_params(b);
    b->err = (mebi_error){0};
    return mebi__jobs_open(&p, &b->jobs, &b->err);
}

static inline void bench_ready(bench *b) {
    for (int n = 0; n < 20000; n++) {
        if (mebi__jobs_health(b->jobs, NULL, NULL) == MEBI__JOBS_READY) return;
        fake_nap(1);
    }
    fail_msg("the engine never opened");
}

static inline void bench_open(bench *b) {
    assert_mebi_ok(bench_try(b), &b->err);
    bench_ready(b);
}

/* In memory where there is such a place: a killed process loses nothing of it, and nobody waits for a disk. */
static inline path_text jobs_folder(void) {
    path_text path = path_of("/dev/shm/mebi-test-XXXXXX");
    return !getenv("TMPDIR") && mkdtemp(path.text) ? path : make_folder();
}

static inline bench *bench_new(void) {
    bench *b = take_bytes(sizeof *b);
    b->folder = jobs_folder();
    pthread_mutex_init(&b->fake.lock, NULL);
    return b;
}

static inline void bench_end(bench *b) {
    mebi__jobs_close(&b->jobs);
    remove_path(b->folder.text);
    pthread_mutex_destroy(&b->fake.lock);
    free(b);
}

/* ---- orders ---- */

typedef struct job_id {
    char text[MEBI__JOB_ID];
} job_id;

static inline mebi__job_order order_of(const char *prompt) {
    mebi__job_order o = {.request = {.prompt = prompt, .width = 64, .height = 64, .steps = 2,
                                     .cfg_truncation = 1, .seed = 7, .count = 1}};
    return o;
}

static inline job_id submit(bench *b, const mebi__job_order *o) {
    mebi__job *job;
    mebi__job_refused refused;
    job_id id;
    b->err = (mebi_error){0};
    assert_mebi_ok(mebi__jobs_submit(b->jobs, o, &job, &refused, &b->err), &b->err);
    memcpy(id.text, job->id, sizeof id.text);
    mebi__job_free(&job);
    return id;
}

static inline mebi__job *get(bench *b, job_id id) {
    mebi__job *job;
    b->err = (mebi_error){0};
    assert_mebi_ok(mebi__jobs_get(b->jobs, id.text, &job, &b->err), &b->err);
    return job;
}

static inline mebi__job_state state_of(bench *b, job_id id) {
    mebi__job *job = get(b, id);
    assert_non_null(job);
    mebi__job_state state = job->state;
    mebi__job_free(&job);
    return state;
}

static inline void await(bench *b, job_id id, mebi__job_state wanted) {
    for (int n = 0; n < 30000; n++) {
        if (state_of(b, id) == wanted) return;
        fake_nap(1);
    }
    mebi__job *job = get(b, id);
    fail_msg("job %s is %s (%s)", id.text, mebi__job_state_name(job->state), job->message);
}

static inline void await_steps(bench *b, int steps) {
    for (int n = 0; n < 30000 && b->fake.steps < steps; n++) fake_nap(1);
    assert_true(b->fake.steps >= steps);
}

#endif

/* The check's runs: which, how long they should take, and what is noted while they are under way.
 * Must never take memory while a run is at work: that would show in its curve. */
#include "doctor/doctor.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/os.h"

#include <stdio.h>
#include <string.h>

enum { MULTIPLE = 16, LEAST_SIDE = 64 };
static const float guidance = 7.5f;
static const double unknown_rate = 1e11; /* operations a second, where a machine's are not known */

/* Steps of the tutorial, of a quick look, and at the least: two counts that differ, and enough of
 * them for a mean that the first, slower step doesn't make. */
static const struct { int many, fewer; } step_counts[] = {{40, 30}, {10, 8}, {4, 3}};
enum { TUTORIAL, QUICK, LEAST };

mebi__doctor *mebi__doctor_create(mebi_error *err) {
    mebi__doctor *d = mebi__alloc(MEBI__TAG_GENERAL, sizeof *d);
    if (!d) (void)mebi__fail(err, MEBI_NO_MEMORY, "No memory for the check's figures.");
    else d->began = mebi__now_seconds();
    return d;
}

void mebi__doctor_destroy(mebi__doctor **d) {
    if (!*d) return;
    for (int i = 0; i < MEBI__RUNS; i++) mebi_image_release(&(*d)->run[i].picture);
    mebi__free(*d);
    *d = NULL;
}

mebi__run_name mebi__run_name_of(const mebi__run *run) {
    mebi__run_name name;
    char guided[32] = "no guidance";
    if (run->request.cfg > 0)
        snprintf(guided, sizeof guided, "guidance %g", (double)run->request.cfg);
    snprintf(name.text, sizeof name.text, "%dx%d, %d steps, %s", run->request.width,
             run->request.height, run->request.steps, guided);
    return name;
}

mebi__run_name mebi__run_brief_name(const mebi__run *run) {
    mebi__run_name name;
    snprintf(name.text, sizeof name.text, "%d, %d steps, cfg %g", run->request.width,
             run->request.steps, (double)run->request.cfg);
    return name;
}

/* ---- which ---- */

static int three_quarters(int side) {
    int smaller = side * 3 / 4 / MULTIPLE * MULTIPLE;
    return smaller < MULTIPLE ? MULTIPLE : smaller;
}

static void set_run(mebi__doctor *d, mebi__run_of which, int side, int steps, float cfg) {
    mebi__run *r = &d->run[which];
    r->state = MEBI__RUN_WANTED;
    r->request = mebi_request_default(d->engine);
    r->request.prompt = MEBI__DOCTOR_PROMPT;
    r->request.seed = MEBI__DOCTOR_SEED;
    r->request.width = r->request.height = side;
    r->request.steps = steps;
    r->request.cfg = cfg;
}

static mebi_status plan_runs(mebi__doctor *d, int side, int counts, mebi_error *err) {
    int many = step_counts[counts].many, series = d->how.speed || d->how.memory;
    d->side = side;
    d->seconds_planned = 0;
    if (series || d->how.pictures) set_run(d, MEBI__RUN_FIRST, side, many, guidance);
    if (series) set_run(d, MEBI__RUN_FEWER, side, step_counts[counts].fewer, guidance);
    if (d->how.speed) set_run(d, MEBI__RUN_SMALLER, three_quarters(side), many, guidance);
    if (d->how.pictures) set_run(d, MEBI__RUN_AUTHORS, side, 8, 0);
    for (int i = 0; i < MEBI__RUNS; i++) {
        mebi__run *r = &d->run[i];
        if (r->state != MEBI__RUN_WANTED) continue;
        MEBI_TRY(mebi_plan_request(d->engine, &r->request, &r->plan, err));
        double known = r->plan.total_seconds;
        d->seconds_planned += known > 0 ? known : r->plan.operations / unknown_rate;
    }
    return MEBI_OK;
}

static mebi_status take_pictures(mebi__doctor *d, mebi_error *err) {
    for (int i = 0; i < MEBI__RUNS; i++) {
        mebi__run *r = &d->run[i];
        size_t bytes = (size_t)r->request.width * (size_t)r->request.height * 3;
        if (r->state != MEBI__RUN_WANTED) continue;
        mebi_image_release(&r->picture);
        r->picture.pixels = mebi__alloc(MEBI__TAG_OUTPUT, bytes);
        if (!r->picture.pixels)
            return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the pictures to be judged.");
        memset(r->picture.pixels, 1, bytes); /* touched now, so that no run's curve has it */
    }
    return MEBI_OK;
}

/* As it should be; if that takes too long fewer steps, then smaller pictures. */
mebi_status mebi__doctor_plan(mebi__doctor *d, mebi_error *err) {
    int counts = d->how.quick ? QUICK : TUTORIAL;
    d->info = mebi_engine_describe(d->engine);
    int native = d->info.native_side / MULTIPLE * MULTIPLE;
    if (native < LEAST_SIDE) native = LEAST_SIDE;
    MEBI_TRY(plan_runs(d, native, counts, err));
    while (!d->how.full && d->seconds_planned > d->how.most_seconds &&
           (counts < LEAST || d->side / 2 >= LEAST_SIDE)) {
        int side = counts < LEAST ? d->side : d->side / 2 / MULTIPLE * MULTIPLE;
        d->scaled = 1;
        counts = counts < LEAST ? counts + 1 : counts;
        MEBI_TRY(plan_runs(d, side, counts, err));
    }
    d->sparing = !d->how.full && d->seconds_planned > d->how.most_seconds;
    return take_pictures(d, err);
}

/* ---- while one is under way ---- */

void mebi__doctor_sample(mebi__doctor *d, int run, mebi_stage stage, int step) {
    if (d->samples == MEBI__DOCTOR_SAMPLES) return;
    size_t bytes = mebi__memory_own();
    d->sample[d->samples++] =
        (mebi__sample){mebi__now_seconds() - d->began, bytes, run, stage, step};
    if (run >= 0 && bytes > d->run[run].most_bytes) d->run[run].most_bytes = bytes;
}

static void note_step(mebi__doctor *d, mebi__run *r, int step) {
    double now = mebi__now_seconds();
    if (step > 0 && r->steps < MEBI__DOCTOR_STEPS)
        r->step_seconds[r->steps++] = now - d->step_began;
    d->step_began = now;
}

static void on_progress(void *context, const mebi_progress *p) {
    mebi__doctor *d = context;
    const mebi__sample *last = &d->sample[d->samples ? d->samples - 1 : 0];
    if (d->samples == 0 || last->run != d->now || last->stage != p->stage ||
        last->step != p->step) {
        if (p->stage == MEBI_STAGE_STEP) note_step(d, &d->run[d->now], p->step);
        mebi__doctor_sample(d, d->now, p->stage, p->step);
    }
    if (d->user.progress) d->user.progress(d->user.context, p);
}

static int on_cancelled(void *context) {
    mebi__doctor *d = context;
    return d->user.cancelled ? d->user.cancelled(d->user.context) : 0;
}

static void on_notice(void *context, const char *text) {
    mebi__doctor *d = context;
    if (d->user.notice) d->user.notice(d->user.context, text);
}

static mebi_status on_image(void *context, int index, int64_t seed, const mebi_image *image,
                            mebi_error *err) {
    mebi__run *r = &((mebi__doctor *)context)->run[((mebi__doctor *)context)->now];
    (void)index, (void)seed, (void)err;
    r->picture.width = image->width;
    r->picture.height = image->height;
    memcpy(r->picture.pixels, image->pixels, (size_t)image->width * (size_t)image->height * 3);
    return MEBI_OK;
}

double mebi__doctor_fraction(const mebi__doctor *d, double of_run, double *left) {
    double all = 0, done = 0;
    for (int i = 0; i < MEBI__RUNS; i++) {
        if (d->run[i].state == MEBI__RUN_NOT_WANTED) continue;
        double own = d->run[i].plan.operations;
        all += own;
        done += i < (int)d->now ? own : i == (int)d->now ? own * of_run : 0;
    }
    double fraction = all > 0 ? done / all : 0, spent = mebi__now_seconds() - d->runs_began;
    *left =
        fraction > 0.1 ? spent / fraction * (1 - fraction) : d->seconds_planned * (1 - fraction);
    return fraction;
}

/* ---- doing them ---- */

static void announce(const mebi__doctor *d, mebi__run_of which) {
    char text[128];
    int all = 0, number = 0;
    for (int i = 0; i < MEBI__RUNS; i++) {
        all += d->run[i].state != MEBI__RUN_NOT_WANTED;
        number += d->run[i].state != MEBI__RUN_NOT_WANTED && i <= (int)which;
    }
    snprintf(text, sizeof text, "run %d of %d: %s", number, all,
             mebi__run_name_of(&d->run[which]).text);
    if (d->user.notice) d->user.notice(d->user.context, text);
}

static mebi_status do_run(mebi__doctor *d, mebi__run_of which) {
    mebi__run *r = &d->run[which];
    mebi_callbacks callbacks = {.context = d,
                                .progress = on_progress,
                                .image = on_image,
                                .cancelled = on_cancelled,
                                .notice = on_notice};
    d->now = which;
    announce(d, which);
    mebi__vitals before = mebi__vitals_now();
    mebi_status status = mebi_generate(d->engine, &r->request, &callbacks, &r->report, &r->err);
    mebi__vitals after = mebi__vitals_now();
    r->vitals = mebi__vitals_between(&before, &after);
    mebi__doctor_sample(d, which, MEBI_STAGE_COUNT, r->request.steps);
    r->end_bytes = d->sample[d->samples - 1].bytes;
    r->state = status == MEBI_OK ? MEBI__RUN_DONE : MEBI__RUN_FAILED;
    if (status != MEBI_OK && r->err.status == MEBI_OK) r->err.status = status;
    return status;
}

mebi_status mebi__doctor_run(mebi__doctor *d, mebi_error *err) {
    int failed = 0;
    d->runs_began = mebi__now_seconds();
    mebi__doctor_sample(d, -1, MEBI_STAGE_LOAD, 0);
    d->loaded_bytes = d->sample[d->samples - 1].bytes;
    for (int i = 0; i < MEBI__RUNS; i++) {
        int series = i != MEBI__RUN_AUTHORS;
        if (d->run[i].state != MEBI__RUN_WANTED || (series && failed)) continue;
        mebi_status status = do_run(d, (mebi__run_of)i);
        if (status == MEBI_CANCELLED) return mebi__fail(err, status, "The check was interrupted.");
        failed |= status != MEBI_OK;
    }
    d->end_bytes = mebi__memory_own();
    return MEBI_OK;
}

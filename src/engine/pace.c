/* How fast this machine is: what was measured, what jobs taught. Must never make a job fail. */
#include "base/os.h"
#include "cpu/cpu.h"
#include "engine/job.h"
#include "mebi/mebi.h"
#include "plan/calibrate.h"
#include "plan/time.h"

#include <stdio.h>
#include <string.h>

/* Bytes of pixels that become a PNG in a second, until a job says better. */
static const double png_rate = 25e6;
/* Bytes that the system gives in a second when they are first touched, and seconds of planning, likewise. */
static const double touch_rate = 1.5e9, planning_seconds = 0.004;

/* The same kernels have other speeds where bf16 weights are multiplied as bf16 and not as f32. */
static const char *device_of(const mebi_engine *e) {
    static const struct {
        const char *cpu, *exact;
    } names[] = {{"avx512 bf16", "avx512"}, {"avx512 vnni bf16", "avx512 vnni"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (e->precision == MEBI_PRECISION_F32 && strcmp(e->cpu, names[i].cpu) == 0) return names[i].exact;
    return e->cpu;
}

static mebi__rates_how where(const mebi_engine *e) {
    return (mebi__rates_how){.folder = e->cache,
                             .version = mebi_version(),
                             .device = device_of(e),
                             .threads = mebi__pool_threads(e->pool)};
}

mebi_status mebi__engine_load_rates(mebi_engine *e, mebi_error *err) {
    e->rates = mebi__alloc(MEBI__TAG_GENERAL, sizeof *e->rates);
    e->spare_rates = mebi__alloc(MEBI__TAG_GENERAL, sizeof *e->spare_rates);
    if (!e->rates || !e->spare_rates) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the machine's rates.");
    mebi__rates_init(e->spare_rates); /* its pages are there from the beginning */
    mebi__rates_how how = where(e);
    if (!e->budget_of_device) (void)mebi__rates_load(&how, e->rates);
    return MEBI_OK;
}

/* Where nothing can be kept the next process measures and learns again. */
static void keep(const mebi_engine *e, const mebi__rates *r) {
    mebi_error unused = {0};
    mebi__rates_how how = where(e);
    if (mebi__rates_save(&how, r, &unused) != MEBI_OK) return;
}

/* A device of its own: what calibration reserves on it goes with it. */
int mebi__engine_calibrate(mebi_engine *e, mebi__rates *r) {
    mebi__device *device;
    if (!e->calibrate || e->budget_of_device || !mebi__rates_missing(r)) return 0;
    mebi__engine_lock(e);
    e->calibrate = 0;
    mebi__engine_unlock(e);
    mebi__cpu_options cpu = {.level = e->level, .bf16_products = e->precision != MEBI_PRECISION_F32};
    if (mebi__cpu_create_with(&cpu, e->pool, &device, NULL) != MEBI_OK) return 0;
    mebi__calibration how = {.device = device};
    mebi_status status = mebi__calibrate(&how, r, NULL);
    mebi__device_destroy(&device);
    if (status != MEBI_OK) return 0;
    mebi__engine_lock(e);
    e->rates->roofline = r->roofline;
    memcpy(e->rates->of, r->of, sizeof r->of);
    mebi__engine_unlock(e);
    keep(e, r);
    return 1;
}

/* A stage as the rates know it; *predicted: what they alone say. */
static mebi__time_of time_of(const mebi__job *j, mebi_stage stage, char name[40], double *predicted) {
    const mebi__rung *r = &j->rung;
    const mebi__job_plan *c = &r->cost;
    const mebi__strategy *way = &r->shape.way;
    double pixels = (double)j->width * j->height * 3, taken = (double)(j->plan.peak_bytes - j->plan.base_bytes);
    snprintf(name, 40, "%s-%s", j->engine->files.hash, mebi_precision_name(j->engine->precision));
    if (stage == MEBI_STAGE_TAKE) {
        *predicted = planning_seconds + taken / touch_rate;
        return (mebi__time_of){name, MEBI__TIME_TAKE, 0, taken};
    }
    if (stage == MEBI_STAGE_ENCODE) {
        *predicted = r->encode_seconds;
        return (mebi__time_of){name, MEBI__TIME_ENCODE, way->stream,
                               c->encode.operations + c->prepare.operations};
    }
    if (stage == MEBI_STAGE_STEP) {
        *predicted = r->step_seconds;
        return (mebi__time_of){name, MEBI__TIME_STEP,
                               way->stream + 2 * way->small_chunks + 4 * way->together,
                               c->denoise.operations / (j->how.steps - r->shape.how.first_step)};
    }
    *predicted = stage == MEBI_STAGE_DECODE ? r->decode_seconds : pixels / png_rate;
    return stage == MEBI_STAGE_DECODE
               ? (mebi__time_of){name, MEBI__TIME_DECODE, (int)way->vae, c->decode.operations}
               : (mebi__time_of){name, MEBI__TIME_SAVE, 0, pixels};
}

/* How often a stage is done. */
static double times_of(const mebi__job *j, mebi_stage stage) {
    int batch = j->rung.shape.batch, count = j->request->count;
    double left = mebi__job_steps_left(j) / ((double)count * j->how.steps);
    if (stage == MEBI_STAGE_STEP) return (double)((count + batch - 1) / batch) * j->how.steps * left;
    return stage == MEBI_STAGE_DECODE || stage == MEBI_STAGE_SAVE ? count : 1;
}

void mebi__job_seconds(const mebi__job *j, double seconds[MEBI_STAGE_COUNT]) {
    const mebi__rates *r = j->rates;
    mebi__time_stage stage[MEBI_STAGE_COUNT];
    double usual = 0, now = mebi__now_seconds();
    seconds[MEBI_STAGE_LOAD] = 0;
    for (int i = MEBI_STAGE_TAKE; i < MEBI_STAGE_COUNT; i++) {
        char name[40];
        mebi__time_of what = time_of(j, (mebi_stage)i, name, &seconds[i]);
        seconds[i] *= mebi__time_factor(r, &what) * times_of(j, (mebi_stage)i);
        if (i == MEBI_STAGE_ENCODE) seconds[i] += j->rung.cost.preview_fit.seconds + j->rung.encode_reading;
        if (i == MEBI_STAGE_STEP) seconds[i] += j->rung.step_reading;
        stage[i] = what.stage;
        usual += seconds[i];
    }
    for (int i = MEBI_STAGE_TAKE; i < MEBI_STAGE_COUNT; i++) seconds[i] *= mebi__time_pace(r, stage[i], now, usual);
}

/* What weights that came from the disk first add to a stage. */
static double reading_of(const mebi__job *j, int stage) {
    return stage == MEBI_STAGE_ENCODE ? j->rung.encode_reading : stage == MEBI_STAGE_STEP ? j->rung.step_reading : 0;
}

/* waited: seconds that encoding and steps took beyond the usual. A small model stays in the system's cache and says
 * nothing of the disk. */
static void learn_reading(const mebi__job *j, double waited, mebi__rates *r) {
    const mebi__pipeline *p = &j->engine->pipeline;
    double bytes, seconds, cold = (j->rung.encode_reading + j->rung.step_reading) * r->roofline.file_bytes;
    mebi__prefetch_tally(p->prefetch, &bytes, &seconds);
    if (mebi__params_file_bytes(&p->dit.params) < (size_t)1 << 29) return;
    if (j->rung.shape.way.stream) mebi__time_learn_file(r, bytes, seconds);
    else mebi__time_learn_file(r, cold, waited);
}

static void learn(const mebi__job *j, mebi__rates *r) {
    mebi__time_lap lap[MEBI__TIME_STAGES] = {{0, 0}};
    double predicted[MEBI_STAGE_COUNT], now = mebi__now_seconds();
    mebi__time_of what[MEBI_STAGE_COUNT];
    char name[MEBI_STAGE_COUNT][40];
    double waited = 0;
    for (int i = MEBI_STAGE_TAKE; i < MEBI_STAGE_COUNT; i++) {
        what[i] = time_of(j, (mebi_stage)i, name[i], &predicted[i]);
        lap[what[i].stage] = (mebi__time_lap){
            .usual = predicted[i] * mebi__time_factor(r, &what[i]) * times_of(j, (mebi_stage)i),
            .measured = j->report.seconds[i]};
        if (!(reading_of(j, i) > 0)) continue;
        waited += j->report.seconds[i] - lap[what[i].stage].usual;
        lap[what[i].stage].measured -= reading_of(j, i);
    }
    lap[MEBI__TIME_ENCODE] = lap[MEBI__TIME_SAVE] = (mebi__time_lap){0, 0}; /* short, and of a picture's content */
    mebi__time_learn_pace(r, lap, now);
    for (int i = MEBI_STAGE_TAKE; i < MEBI_STAGE_COUNT; i++) {
        double measured = j->report.seconds[i] / times_of(j, (mebi_stage)i);
        if (i == MEBI_STAGE_ENCODE && (!j->rung.shape.encode || j->rung.shape.preview_fit)) continue;
        if (reading_of(j, i) > 0.1 * predicted[i] * times_of(j, (mebi_stage)i)) continue; /* says more of the disk */
        mebi__time_learn(r, &what[i], predicted[i], measured / mebi__time_pace(r, what[i].stage, now, 0));
    }
    learn_reading(j, waited, r);
}

void mebi__job_learn(mebi__job *j) {
    mebi_engine *e = j->engine;
    mebi__engine_lock(e);
    learn(j, e->rates);
    *j->rates = *e->rates;
    mebi__engine_unlock(e);
    keep(e, j->rates);
}

/* One job: request to pictures.
 *
 * Order, and what holds at each point:
 *   1. check     the request is possible for this model; nothing has been taken   (request.c)
 *   2. plan      the way and its bytes are known; none that fits -> refused        (plan_job.c)
 *   3. take      arena, scratch, host blocks, all touched: from here on no stage allocates; what the
 *                system denies makes the job take a smaller way
 *   4. encode    features in the cache; the map for previews is known, or there are none
 *   5. denoise   per batch; the latents in host memory are those of the last finished step. When memory
 *                becomes scarce the job gives its arena back and goes on from them in a smaller way. The
 *                caller is shown them, and may hand them to a later job
 *   6. decode    per picture; pixels in host memory, handed to the caller before the next begins
 */
#include "engine/job.h"

#include "base/os.h"
#include "base/rng.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Scarce: less than this is free, and less than an eighth of what was when the job had taken its own. */
static const size_t scarce_bytes = (size_t)256 << 20;

/* ---- taking ---- */

static mebi_status take_features(mebi__job *j, mebi__prompt *p) {
    size_t bytes = mebi__job_features_bytes(j, p);
    if (bytes == 0) return MEBI_OK;
    p->fresh = mebi__alloc(MEBI__TAG_ACTIVATIONS, bytes);
    return p->fresh ? MEBI_OK : mebi__fail(j->err, MEBI_NO_MEMORY, "No memory for a prompt's features.");
}

/* A block that is there when a picture is saved: given back just before, touched now. */
static void take_reserve(mebi__job *j) {
    size_t pixels = (size_t)j->image.width * 3 * (size_t)j->image.height;
    size_t bytes = j->plan.output_bytes - pixels;
    j->reserve = mebi__alloc(MEBI__TAG_OUTPUT, bytes);
    if (j->reserve) memset(j->reserve, 1, bytes);
}

static void give_reserve(mebi__job *j) {
    mebi__free(j->reserve);
    j->reserve = NULL;
}

static mebi_status take_host(mebi__job *j) {
    size_t latent = mebi__job_latent_elements(j), noise = mebi__job_noise_elements(j);
    MEBI_TRY(take_features(j, &j->positive));
    if (j->guided) MEBI_TRY(take_features(j, &j->negative));
    j->image = (mebi_image){.width = j->width, .height = j->height};
    j->image.pixels = mebi__alloc_array(MEBI__TAG_OUTPUT, (size_t)j->width * 3, (size_t)j->height);
    j->latents = mebi__alloc_array(MEBI__TAG_ACTIVATIONS, latent * (size_t)j->rung.shape.batch,
                                   sizeof(float));
    if (noise) j->noise = mebi__alloc_array(MEBI__TAG_ACTIVATIONS, noise, sizeof(float));
    MEBI_TRY(mebi__job_preview_take(j));
    if (j->image.pixels) take_reserve(j);
    if (!j->latents || !j->image.pixels || !j->reserve || (noise && !j->noise))
        return mebi__fail(j->err, MEBI_NO_MEMORY, "No memory for a picture of %dx%d.", j->width,
                          j->height);
    return MEBI_OK;
}

/* What the chosen way takes on the device. */
static mebi_status take_device(mebi__job *j, mebi_error *err) {
    mebi_engine *e = j->engine;
    const mebi__job_plan *cost = &j->rung.cost;
    mebi_status status = e->device->table->scratch_reserve(e->device, cost->scratch_bytes, err);
    mebi__engine_lock(e);
    if (status != MEBI_OK) e->scratch_bytes = 0; /* the old block is gone too */
    else if (cost->scratch_bytes > e->scratch_bytes) e->scratch_bytes = cost->scratch_bytes;
    mebi__engine_unlock(e);
    MEBI_TRY(status);
    mebi__arena_init(&j->stream.arena, cost->arena_bytes);
    return e->device->table->buffer_create(e->device, MEBI__TAG_ACTIVATIONS, cost->arena_bytes,
                                           &j->stream.memory, err);
}

static void give_device(mebi__job *j) {
    mebi__stream *s = &j->stream;
    if (!s->memory) return;
    mebi__pipeline_release(s, &j->conditions);
    assert(mebi__arena_empty(&s->arena));
    j->engine->device->table->buffer_destroy(j->engine->device, s->memory);
    s->memory = NULL;
}

__attribute__((format(printf, 2, 3))) static void notice(const mebi__job *j, const char *format, ...) {
    char text[400];
    va_list args;
    if (!j->callbacks->notice) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    j->callbacks->notice(j->callbacks->context, text);
}

/* Smaller and smaller ways until the system gives what one takes. */
static mebi_status take_smaller(mebi__job *j) {
    mebi_status status;
    do {
        mebi_error denied = {0};
        MEBI_TRY(mebi__job_step_down(j));
        status = take_device(j, &denied);
    } while (status == MEBI_NO_MEMORY);
    if (status == MEBI_OK) notice(j, "Going on in a way that takes less: %s.", j->plan.strategy);
    return status;
}

static int was_cancelled(void *context); /* below: working */

static mebi_status take(mebi__job *j) {
    mebi_engine *e = j->engine;
    mebi_error denied = {0};
    j->stream = (mebi__stream){.device = e->device, .err = &j->trouble, .cancelled = was_cancelled,
                               .cancel_context = j, .observe = e->observe,
                               .observe_context = e->observe_context};
    MEBI_TRY(take_host(j));
    mebi_status status = take_device(j, &denied);
    if (status == MEBI_NO_MEMORY) {
        notice(j, "The system denied memory that it had said was free.");
        status = take_smaller(j);
    }
    if (status != MEBI_OK && j->err->status == MEBI_OK) *j->err = denied;
    j->room_after_taking = mebi__engine_room(j->engine);
    size_t now = mebi__memory_own();
    if (now > j->report.peak_bytes) j->report.peak_bytes = now;
    return status;
}

static void give_back(mebi__job *j) {
    give_device(j);
    give_reserve(j);
    mebi__job_preview_give(j);
    mebi_image_release(&j->image);
    mebi__free(j->latents);
    mebi__free(j->noise);
    mebi__free(j->positive.fresh);
    mebi__free(j->negative.fresh);
    mebi__engine_give_rates(j->engine, j->rates);
}

/* ---- working ---- */

static int was_cancelled(void *context) {
    mebi__job *j = context;
    j->submits++;
    mebi__job_tell(j);
    if (j->step_down) return 1;
    return j->callbacks->cancelled && j->callbacks->cancelled(j->callbacks->context);
}

/* Tells of what was done again since the last look. */
static void tell_exact(mebi__job *j, const char *what) {
    if (j->stream.exact_runs == j->report.exact_runs) return;
    j->report.exact_runs = j->stream.exact_runs;
    notice(j,
           "%s came out as not a number in int8 and was done again with unquantized weights, which gave "
           "a good result.",
           what);
}

static void encode_prompt(mebi__job *j, mebi__prompt *p) {
    if (p->features || j->stream.status != MEBI_OK) return;
    mebi__pipeline_encode(&j->stream, &j->engine->pipeline, &j->rung.shape.way, p->ids, p->count,
                          p->fresh);
    if (j->stream.status != MEBI_OK) return;
    tell_exact(j, "The prompt's encoding");
    mebi__engine_lock(j->engine);
    mebi__features_keep(&j->engine->features, p->ids, p->count, p->fresh);
    mebi__engine_unlock(j->engine);
    p->features = p->fresh;
    p->fresh = NULL;
}

static void condition(mebi__job *j) {
    mebi__pipeline_condition(&j->stream, &j->engine->pipeline, &j->how, j->positive.features,
                             j->positive.count, j->negative.features,
                             j->guided ? j->negative.count : 0, &j->conditions);
    mebi__stream_wait(&j->stream);
}

/* Another program, or this one, took so much that the next to ask for a page may be ended for it. */
static int memory_is_scarce(const mebi__job *j) {
    size_t room = mebi__engine_room(j->engine);
    return room < scarce_bytes && room < j->room_after_taking / 8;
}

/* The caller may keep them, or end the job. */
static void show_latents(mebi__job *j, int step) {
    size_t latent = mebi__job_latent_elements(j);
    mebi_latents l = {.index = j->first,
                      .pictures = j->pictures,
                      .seed = j->seed + j->first,
                      .step = step,
                      .steps = j->how.steps,
                      .channels = j->engine->pipeline.dit.config.channels,
                      .height = (int)j->how.latent_height,
                      .width = (int)j->how.latent_width,
                      .count = latent * (size_t)j->pictures,
                      .values = j->denoised};
    if (!j->callbacks->latents) return;
    mebi_status status = j->callbacks->latents(j->callbacks->context, &l);
    if (status == MEBI_OK) return;
    j->refused = 1;
    j->stream.status = mebi__fail(j->stream.err, status, "Step %d of picture %d was not accepted: %s.", step,
                                  j->first + 1, mebi_status_text(status));
}

static void after_step(void *context, int step) {
    mebi__job *j = context;
    char what[40];
    snprintf(what, sizeof what, "Step %d", step);
    tell_exact(j, what);
    mebi__job_step_done(j, step);
    show_latents(j, step);
    if (step < j->how.steps && !j->smallest && memory_is_scarce(j)) j->step_down = 1;
}

/* After a stop for lack of memory: the arena is given back, a smaller one taken. The latents in host memory
 * are whole. */
static mebi_status go_smaller(mebi__job *j) {
    j->step_down = 0;
    j->trouble = (mebi_error){0};
    j->stream.status = MEBI_OK;
    mebi__rung before = j->rung;
    notice(j, "Memory has become scarce: %.2f GB is left.", (double)mebi__engine_room(j->engine) * 1e-9);
    give_device(j);
    mebi_status status = take_smaller(j);
    if (status == MEBI_NO_MEMORY) { /* nothing smaller: what was held may still be had */
        j->smallest = 1;
        j->rung = before;
        if (j->err) *j->err = (mebi_error){0};
        status = take_device(j, j->err);
    }
    MEBI_TRY(status);
    j->room_after_taking = mebi__engine_room(j->engine);
    condition(j);
    return j->stream.status;
}

/* A draft's noise is the large picture's, averaged: blocks of n by n become one, times n, which keeps it as
 * strong. So both share what is larger than a block: their composition. */
static void average(const float *from, int64_t planes, int64_t h, int64_t w, int64_t n, float *to) {
    for (int64_t p = 0; p < planes; p++)
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = 0; x < w; x++, to++) {
                double sum = 0;
                for (int64_t i = 0; i < n; i++)
                    for (int64_t k = 0; k < n; k++)
                        sum += from[((p * h + y) * n + i) * w * n + x * n + k];
                *to = (float)(sum / (double)n);
            }
}

static void make_noise(mebi__job *j, int index, float *latent) {
    mebi__rng rng;
    mebi__rng_seed(&rng, (uint64_t)(j->seed + index));
    if (!j->noise) {
        mebi__rng_normal(&rng, MEBI__RNG_TORCH_AVX2, latent, mebi__job_latent_elements(j));
        return;
    }
    mebi__rng_normal(&rng, MEBI__RNG_TORCH_AVX2, j->noise, mebi__job_noise_elements(j));
    average(j->noise, j->engine->pipeline.dit.config.channels, j->how.latent_height,
            j->how.latent_width, j->request->draft, latent);
}

/* All steps of n pictures, the first of which is the job's picture `first`. done[i]: steps that picture i has behind
 * it; a smaller way may take fewer side by side than the one in which they began. */
static mebi_status denoise(mebi__job *j, int first, int n, int *done) {
    mebi__watch watch = {.context = j, .after_step = after_step, .preview = mebi__job_preview_show,
                         .clean = j->clean};
    size_t latent = mebi__job_latent_elements(j);
    for (int i = 0; i < n;) {
        int group = 0;
        while (i + group < n && group < j->rung.shape.batch && done[i + group] == done[i]) group++;
        j->how.first_step = j->progress.step = done[i];
        j->progress.image = first + i + 1;
        j->first = first + i;
        j->pictures = group;
        j->denoised = j->latents + latent * (size_t)i;
        mebi__pipeline_denoise(&j->stream, &j->engine->pipeline, &j->rung.shape.way, &j->how,
                               &j->conditions, j->denoised, group, &watch);
        for (int k = 0; k < group; k++) done[i + k] = j->progress.step;
        if (j->refused) return j->stream.status;
        int lacks = j->stream.status == MEBI_NO_MEMORY ||
                    (j->stream.status == MEBI_CANCELLED && j->step_down);
        if (lacks && !j->smallest) MEBI_TRY(go_smaller(j));
        else if (j->stream.status != MEBI_OK) return j->stream.status;
        if (done[i] == j->how.steps) i += group;
    }
    j->how.first_step = 0;
    return MEBI_OK;
}

/* The callback gets an error of its own: what it tried in vain before it succeeded is not ours. */
static mebi_status hand_over(mebi__job *j, int index) {
    mebi_error said = {0};
    if (!j->callbacks->image) return MEBI_OK;
    give_reserve(j);
    mebi_status status =
        j->callbacks->image(j->callbacks->context, index, j->seed + index, &j->image, &said);
    if (status == MEBI_NO_MEMORY && j->stream.memory) {
        /* What the picture was made with is not needed to save it. */
        said = (mebi_error){0};
        give_device(j);
        status = j->callbacks->image(j->callbacks->context, index, j->seed + index, &j->image, &said);
    }
    if (status == MEBI_OK && index + 1 < j->request->count) take_reserve(j);
    if (status == MEBI_OK) return MEBI_OK;
    said.text[sizeof said.text - 1] = 0;
    if (said.text[0]) return mebi__fail(j->err, status, "%s", said.text);
    return mebi__fail(j->err, status, "Picture %d was not accepted: %s.", index + 1,
                      mebi_status_text(status));
}

/* Takes the device's part anew if it was given back so that a picture could be saved. */
static mebi_status have_device(mebi__job *j) {
    if (j->stream.memory) return MEBI_OK;
    MEBI_TRY(take_device(j, j->err));
    condition(j);
    return j->stream.status;
}

static mebi_status finish_picture(mebi__job *j, int index, const float *latent) {
    MEBI_TRY(have_device(j));
    mebi__job_begin_stage(j, MEBI_STAGE_DECODE, j->plan.seconds[MEBI_STAGE_DECODE] / j->request->count,
                          j->rung.cost.decode.submits);
    mebi__pipeline_decode(&j->stream, &j->engine->pipeline, &j->rung.shape.way, latent,
                          j->how.latent_height, j->how.latent_width, j->image.pixels);
    mebi__job_end_stage(j);
    if (j->stream.status != MEBI_OK) return j->stream.status;
    mebi__job_begin_stage(j, MEBI_STAGE_SAVE, j->plan.seconds[MEBI_STAGE_SAVE] / j->request->count, 0);
    mebi_status status = hand_over(j, index);
    mebi__job_end_stage(j);
    if (status == MEBI_OK) j->report.images++;
    return status;
}

/* Noise, or what was saved. Returns how many steps that picture has behind it. */
static int begin_picture(mebi__job *j, int index, float *latent) {
    const mebi_latents *saved = j->request->resume;
    size_t floats = mebi__job_latent_elements(j);
    if (!saved || index >= saved->pictures) {
        make_noise(j, index, latent);
        return 0;
    }
    memcpy(latent, saved->values + floats * (size_t)index, floats * sizeof *latent);
    return saved->step;
}

static mebi_status make_batch(mebi__job *j, int first, int n) {
    int done[MEBI__MOST_PICTURES], left = n * j->how.steps, all = mebi__job_steps_left(j);
    size_t latent = mebi__job_latent_elements(j);
    MEBI_TRY(have_device(j));
    for (int i = 0; i < n; i++)
        left -= done[i] = begin_picture(j, first + i, j->latents + latent * (size_t)i);
    j->progress.image = first + 1;
    j->progress.step = done[0];
    mebi__job_begin_stage(j, MEBI_STAGE_STEP, all ? j->plan.seconds[MEBI_STAGE_STEP] * left / all : 0,
                          (int)((double)j->rung.cost.denoise.submits * left / (n * j->how.steps)));
    mebi_status status = denoise(j, first, n, done);
    mebi__job_end_stage(j);
    for (int i = 0; i < n && status == MEBI_OK; i++) {
        j->progress.image = first + i + 1;
        status = finish_picture(j, first + i, j->latents + latent * (size_t)i);
    }
    return status;
}

static mebi_status work(mebi__job *j) {
    mebi__stream *s = &j->stream;
    const mebi__job_plan *cost = &j->rung.cost;
    int count = j->request->count, batch = j->rung.shape.batch;
    mebi__job_begin_stage(j, MEBI_STAGE_ENCODE, j->plan.seconds[MEBI_STAGE_ENCODE],
                          cost->encode.submits + cost->preview_fit.submits + cost->prepare.submits);
    encode_prompt(j, &j->positive);
    if (j->guided) encode_prompt(j, &j->negative);
    if (!mebi__job_preview_fit(j))
        notice(j, "There will be no previews: the model's decoder gave no numbers for a test.");
    if (s->status != MEBI_OK) return s->status;
    if (j->rung.shape.way.free_encoder) mebi__pipeline_free_encoder(&j->engine->pipeline);
    condition(j);
    mebi__job_end_stage(j);
    mebi_status status = s->status;
    for (int i = 0; i < count && status == MEBI_OK; i += batch)
        status = make_batch(j, i, count - i < batch ? count - i : batch);
    return status;
}

/* ---- the public calls ---- */

mebi_request mebi_request_default(const mebi_engine *engine) {
    int side = mebi_engine_describe(engine).native_side;
    return (mebi_request){
        .width = side, .height = side, .steps = 8, .cfg_truncation = 1, .seed = -1, .count = 1};
}

mebi_status mebi_plan_request(mebi_engine *engine, const mebi_request *request, mebi_plan *out,
                              mebi_error *err) {
    mebi__job *j = mebi__alloc(MEBI__TAG_GENERAL, sizeof *j);
    *out = (mebi_plan){0};
    if (!j) return mebi__fail(err, MEBI_NO_MEMORY, "No memory to plan with.");
    *j = (mebi__job){.engine = engine, .request = request, .err = err};
    mebi_status status = mebi__job_check(j);
    if (status == MEBI_OK) status = mebi__job_plan_it(j);
    *out = j->plan;
    mebi__engine_give_rates(engine, j->rates);
    mebi__free(j);
    return status;
}

static void fill_report(const mebi__job *j, mebi_report *report) {
    *report = j->report;
    report->plan = j->plan;
    report->seed = j->seed;
    report->seconds[MEBI_STAGE_LOAD] = j->engine->load_seconds;
    report->total_seconds = mebi__now_seconds() - j->began;
}

static mebi_status run_job(mebi__job *j) {
    if (j->engine->plan_only)
        return mebi__fail(j->err, MEBI_BAD_ARGUMENT, "This model is opened for planning only.");
    MEBI_TRY(mebi__job_check(j));
    MEBI_TRY(mebi__job_plan_it(j));
    if (j->plan.verdict == MEBI_TOO_BIG) return mebi__job_refuse(j);
    mebi__job_begin_stage(j, MEBI_STAGE_TAKE, j->plan.seconds[MEBI_STAGE_TAKE], 0);
    j->stage_began = j->began; /* planning is of it */
    MEBI_TRY(take(j));
    mebi__job_end_stage(j);
    mebi_status status = work(j);
    if (status == MEBI_OK) mebi__job_learn(j);
    if (status != MEBI_OK && j->trouble.status != MEBI_OK && j->err->status == MEBI_OK)
        *j->err = j->trouble;
    return mebi__engine_blame(j->engine, status, j->err);
}

static void count_job(mebi_engine *e) {
    mebi__engine_lock(e);
    e->jobs++;
    mebi__engine_unlock(e);
}

/* The engine's work is this thread's. */
static mebi_status generate(mebi_engine *engine, const mebi_request *request, const mebi_callbacks *callbacks,
                            mebi_report *report, mebi_error *err) {
    static const mebi_callbacks no_callbacks = {0};
    mebi__job *j = mebi__alloc(MEBI__TAG_GENERAL, sizeof *j);
    if (!j) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a job.");
    *j = (mebi__job){.engine = engine, .request = request, .err = err, .began = mebi__now_seconds(), .working = 1,
                     .callbacks = callbacks ? callbacks : &no_callbacks,
                     .progress = {.count = request->count, .steps = request->steps}};
    mebi_status status = run_job(j);
    if (report) fill_report(j, report);
    give_back(j);
    mebi__free(j);
    mebi__memory_trim(); /* a later plan counts what is held now as held */
    if (status == MEBI_OK) count_job(engine);
    return status;
}

mebi_status mebi_generate(mebi_engine *engine, const mebi_request *request,
                          const mebi_callbacks *callbacks, mebi_report *report, mebi_error *err) {
    mebi_error own = {0};
    if (!err) err = &own;
    if (report) *report = (mebi_report){0};
    MEBI_TRY(mebi__engine_begin_job(engine, err));
    mebi_status status = generate(engine, request, callbacks, report, err);
    mebi__engine_end_work(engine);
    return status;
}

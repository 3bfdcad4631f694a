/* One job: request to pictures.
 *
 * Order, and what holds at each point:
 *   1. check     the request is possible for this model; nothing has been taken
 *   2. plan      bytes are known; too many -> refused, nothing has been taken
 *   3. take      arena, scratch, host blocks: from here on no stage allocates
 *   4. encode    features in the cache
 *   5. denoise   per picture; the latents in host memory are those of the last finished step
 *   6. decode    per picture; pixels in host memory, handed to the caller before the next begins
 */
#include "base/os.h"
#include "base/rng.h"
#include "engine/engine.h"
#include "image/png.h"
#include "plan/dry_run.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* A prompt on its way: ids, then features. */
typedef struct prompt {
    int32_t ids[MEBI__PROMPT_TOKENS];
    int count;
    float *fresh; /* host block for features that are not cached; NULL once handed over */
    const float *features;
} prompt;

typedef struct job {
    mebi_engine *engine;
    const mebi_request *request;
    const mebi_callbacks *callbacks;
    mebi_error *err;
    int64_t seed;
    mebi__sampling how;
    mebi__strategy way;
    prompt positive, negative;
    int guided;
    mebi__job_plan cost;
    mebi_plan plan;
    mebi__stream stream;
    float *latent;
    mebi_image image;
    mebi_report report;
    /* progress */
    mebi_progress progress;
    double began, stage_began, finished_operations;
    mebi__stage_cost now; /* the stage under way */
    int submits;          /* of it */
} job;

/* ---- checking ---- */

static mebi_status check_numbers(const mebi_request *r, mebi_error *err) {
    if (!r->prompt)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "There is no prompt. Say what to draw.");
    if (r->steps < 1 || r->steps > MEBI__MAX_STEPS)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%d steps asked for; 1 to %d are possible, 8 usual.",
                          r->steps, MEBI__MAX_STEPS);
    if (!(r->cfg >= 0 && r->cfg <= 100))
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "A guidance scale (CFG) of %g asked for; 0 (none) to 100 are possible.",
                          (double)r->cfg);
    if (!(r->cfg_truncation >= 0 && r->cfg_truncation <= 1))
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "A CFG truncation of %g asked for; 0 to 1 are possible.",
                          (double)r->cfg_truncation);
    if (!(r->cfg_normalization >= 0 && r->cfg_normalization <= 1000))
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "A CFG normalization of %g asked for; 0 (none) to 1000 are possible.",
                          (double)r->cfg_normalization);
    if (r->count < 1 || r->count > 64)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%d pictures asked for; 1 to 64 are possible.",
                          r->count);
    if (r->seed < -1 || r->seed > INT64_MAX - 64)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "The seed %lld is not possible: take -1 (random) or a number from 0 up.",
                          (long long)r->seed);
    return MEBI_OK;
}

static int nearest(int pixels, int multiple, int largest) {
    int n = (pixels + multiple / 2) / multiple * multiple;
    if (n < multiple) n = multiple;
    return n < largest ? n : largest / multiple * multiple;
}

static mebi_status check_size(const mebi_engine *e, const mebi_request *r, mebi_error *err) {
    mebi_engine_info info = mebi_engine_describe(e);
    int m = info.size_multiple, w = r->width, h = r->height;
    if (w < m || h < m || w > info.largest_side || h > info.largest_side)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "A picture of %dx%d asked for; each side can have %d to %d pixels.", w, h, m,
                          info.largest_side);
    if (w % m || h % m)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "A picture of %dx%d asked for; width and height must be multiples of %d. "
                          "The nearest is %dx%d.",
                          w, h, m, nearest(w, m, info.largest_side),
                          nearest(h, m, info.largest_side));
    return MEBI_OK;
}

static mebi_status read_prompt(job *j, const char *text, prompt *p) {
    MEBI_TRY(mebi__tokenizer_encode_prompt(j->engine->tokenizer, text, strlen(text), p->ids, &p->count,
                                           j->err));
    p->features = mebi__features_find(&j->engine->features, p->ids, p->count);
    return MEBI_OK;
}

static mebi_status check(job *j) {
    const mebi_request *r = j->request;
    int scale = mebi__vae_scale(&j->engine->files.vae_config);
    MEBI_TRY(check_numbers(r, j->err));
    MEBI_TRY(check_size(j->engine, r, j->err));
    j->seed = r->seed >= 0 ? r->seed : (int64_t)(mebi__random_bits() & 0xffffffffu);
    j->how = (mebi__sampling){.latent_height = r->height / scale,
                              .latent_width = r->width / scale,
                              .steps = r->steps,
                              .guidance = r->cfg,
                              .truncation = r->cfg_truncation,
                              .normalization = r->cfg_normalization};
    j->guided = r->cfg > 0;
    MEBI_TRY(read_prompt(j, r->prompt, &j->positive));
    if (!j->guided) return MEBI_OK;
    return read_prompt(j, r->negative_prompt ? r->negative_prompt : "", &j->negative);
}

/* ---- planning ---- */

static size_t features_bytes(const job *j, const prompt *p) {
    size_t row = sizeof(float) * (size_t)j->engine->files.encoder_config.hidden;
    return p->features ? 0 : row * (size_t)p->count;
}

static size_t latent_elements(const job *j) {
    return (size_t)j->engine->files.dit_config.channels *
           (size_t)(j->how.latent_height * j->how.latent_width);
}

/* What a file says about its picture: the prompts twice, as text and as JSON, and the numbers. */
static size_t text_bytes(const mebi_request *r) {
    return 2048 + 2 * (strlen(r->prompt) + (r->negative_prompt ? strlen(r->negative_prompt) : 0));
}

/* What a first job touches besides: pages of code, stacks, the host's table of angles. Measured: up
 * to 150 KiB beyond what the other terms leave unused. */
enum { FIRST_TOUCH_BYTES = 176 * 1024 };

static mebi_status plan(job *j) {
    mebi_engine *e = j->engine;
    mebi__job_shape shape = {.how = j->how,
                             .way = j->way,
                             .tokens = j->positive.count,
                             .negative_tokens = j->guided ? j->negative.count : 0,
                             .encode = !j->positive.features,
                             .encode_negative = j->guided && !j->negative.features};
    MEBI_TRY(mebi__plan_job(&e->pipeline, e->device, &shape, &j->cost, j->err));
    mebi_plan *p = &j->plan;
    int width = j->request->width, height = j->request->height, count = j->request->count;
    mebi__own_memory own = mebi__engine_memory(e);
    p->base_bytes = own.now;
    p->arena_bytes = j->cost.arena_bytes;
    p->scratch_bytes = j->cost.scratch_bytes;
    p->output_bytes = (size_t)width * (size_t)height * 3 +
                      mebi__png_save_bytes(width, height, text_bytes(j->request));
    size_t more = j->cost.scratch_bytes > e->scratch_bytes ? j->cost.scratch_bytes - e->scratch_bytes : 0;
    more += p->arena_bytes + p->output_bytes + latent_elements(j) * sizeof(float) +
            features_bytes(j, &j->positive) + features_bytes(j, &j->negative) + FIRST_TOUCH_BYTES;
    p->operations = j->cost.encode.operations + j->cost.prepare.operations +
                    count * (j->cost.denoise.operations + j->cost.decode.operations);
    p->peak_bytes = own.now + more > own.peak ? own.now + more : own.peak;
    size_t room = mebi__memory_available();
    if (more > room)
        return mebi__fail(j->err, MEBI_NO_MEMORY,
                          "%dx%d needs %.2f GB more memory and this machine has %.2f GB free. Take a "
                          "smaller size, or close other programs.",
                          width, height, (double)more * 1e-9, (double)room * 1e-9);
    return MEBI_OK;
}

/* ---- taking ---- */

static mebi_status take_features(job *j, prompt *p) {
    size_t bytes = features_bytes(j, p);
    if (bytes == 0) return MEBI_OK;
    p->fresh = mebi__alloc(MEBI__TAG_ACTIVATIONS, bytes);
    return p->fresh ? MEBI_OK : mebi__fail(j->err, MEBI_NO_MEMORY, "No memory for a prompt's features.");
}

static int was_cancelled(void *context); /* below: progress */

static mebi_status take(job *j) {
    mebi_engine *e = j->engine;
    mebi__stream *s = &j->stream;
    *s = (mebi__stream){.device = e->device, .err = j->err, .cancelled = was_cancelled,
                        .cancel_context = j, .observe = e->observe,
                        .observe_context = e->observe_context};
    mebi__arena_init(&s->arena, j->cost.arena_bytes);
    MEBI_TRY(take_features(j, &j->positive));
    if (j->guided) MEBI_TRY(take_features(j, &j->negative));
    j->image = (mebi_image){.width = j->request->width, .height = j->request->height};
    j->latent = mebi__alloc_array(MEBI__TAG_ACTIVATIONS, latent_elements(j), sizeof(float));
    j->image.pixels = mebi__alloc_array(MEBI__TAG_OUTPUT, (size_t)j->image.width * 3,
                                        (size_t)j->image.height);
    if (!j->latent || !j->image.pixels)
        return mebi__fail(j->err, MEBI_NO_MEMORY, "No memory for a picture of %dx%d.",
                          j->image.width, j->image.height);
    mebi_status status = e->device->table->scratch_reserve(e->device, j->cost.scratch_bytes, j->err);
    if (status != MEBI_OK) e->scratch_bytes = 0; /* the old block is gone too */
    else if (j->cost.scratch_bytes > e->scratch_bytes) e->scratch_bytes = j->cost.scratch_bytes;
    MEBI_TRY(status);
    return e->device->table->buffer_create(e->device, MEBI__TAG_ACTIVATIONS, j->cost.arena_bytes,
                                           &s->memory, j->err);
}

static void give_back(job *j) {
    if (j->stream.memory)
        j->engine->device->table->buffer_destroy(j->engine->device, j->stream.memory);
    mebi_image_release(&j->image);
    mebi__free(j->latent);
    mebi__free(j->positive.fresh);
    mebi__free(j->negative.fresh);
}

/* ---- progress ---- */

static void tell(job *j) {
    mebi_progress *p = &j->progress;
    double share = j->now.submits ? (double)j->submits / j->now.submits : 0;
    double done = j->finished_operations + (share < 1 ? share : 1) * j->now.operations;
    p->fraction = j->plan.operations > 0 ? done / j->plan.operations : 0;
    if (p->fraction > 1) p->fraction = 1;
    p->seconds = mebi__now_seconds() - j->began;
    /* Encoding reads cold files and says little about the rest: wait until some of it is done. */
    p->seconds_left =
        p->fraction > 0.02 && p->image > 0 ? p->seconds * (1 / p->fraction - 1) : -1;
    if (j->callbacks->progress) j->callbacks->progress(j->callbacks->context, p);
}

static int was_cancelled(void *context) {
    job *j = context;
    j->submits++;
    tell(j);
    return j->callbacks->cancelled && j->callbacks->cancelled(j->callbacks->context);
}

static void begin_stage(job *j, mebi_stage stage, mebi__stage_cost cost) {
    j->progress.stage = stage;
    j->now = cost;
    j->submits = 0;
    j->stage_began = mebi__now_seconds();
    tell(j);
}

static void end_stage(job *j) {
    j->report.seconds[j->progress.stage] += mebi__now_seconds() - j->stage_began;
    j->finished_operations += j->now.operations;
    j->now = (mebi__stage_cost){0};
    /* A job's memory is touched when it is taken, so one look at the end of a picture sees the peak;
     * more would cost time, for the system walks all pages. */
    if (j->progress.stage != MEBI_STAGE_SAVE) return;
    size_t peak = mebi__engine_memory(j->engine).peak;
    if (peak > j->report.peak_bytes) j->report.peak_bytes = peak;
}

/* ---- working ---- */

/* Tells of what was done again since the last look. */
static void tell_exact(job *j, const char *what) {
    char text[200];
    if (j->stream.exact_runs == j->report.exact_runs) return;
    j->report.exact_runs = j->stream.exact_runs;
    snprintf(text, sizeof text,
             "%s came out as not a number in int8 and was done again with unquantized weights, which gave "
             "a good result.",
             what);
    if (j->callbacks->notice) j->callbacks->notice(j->callbacks->context, text);
}

static void encode_prompt(job *j, prompt *p) {
    if (p->features || j->stream.status != MEBI_OK) return;
    mebi__pipeline_encode(&j->stream, &j->engine->pipeline, &j->way, p->ids, p->count, p->fresh);
    if (j->stream.status != MEBI_OK) return;
    tell_exact(j, "The prompt's encoding");
    mebi__features_keep(&j->engine->features, p->ids, p->count, p->fresh);
    p->features = p->fresh;
    p->fresh = NULL;
}

static void after_step(void *context, int step) {
    job *j = context;
    char what[40];
    snprintf(what, sizeof what, "Step %d", step);
    tell_exact(j, what);
    j->progress.step = step;
    tell(j);
}

/* The callback gets an error of its own: what it tried in vain before it succeeded is not ours. */
static mebi_status hand_over(job *j, int index) {
    mebi_error said = {0};
    if (!j->callbacks->image) return MEBI_OK;
    mebi_status status =
        j->callbacks->image(j->callbacks->context, index, j->seed + index, &j->image, &said);
    if (status == MEBI_OK) return MEBI_OK;
    said.text[sizeof said.text - 1] = 0;
    if (said.text[0]) return mebi__fail(j->err, status, "%s", said.text);
    return mebi__fail(j->err, status, "Picture %d was not accepted: %s.", index + 1,
                      mebi_status_text(status));
}

static mebi_status make_picture(job *j, const mebi__conditions *conditions, int index) {
    const mebi__pipeline *p = &j->engine->pipeline;
    mebi__rng rng;
    mebi__rng_seed(&rng, (uint64_t)(j->seed + index));
    mebi__rng_normal(&rng, MEBI__RNG_TORCH_AVX2, j->latent, latent_elements(j));
    j->progress.image = index + 1;
    j->progress.step = 0;
    begin_stage(j, MEBI_STAGE_STEP, j->cost.denoise);
    mebi__pipeline_denoise(&j->stream, p, &j->way, &j->how, conditions, j->latent, 1, after_step, j);
    end_stage(j);
    if (j->stream.status != MEBI_OK) return j->stream.status;
    begin_stage(j, MEBI_STAGE_DECODE, j->cost.decode);
    mebi__pipeline_decode(&j->stream, p, &j->way, j->latent, j->how.latent_height, j->how.latent_width,
                          j->image.pixels);
    end_stage(j);
    if (j->stream.status != MEBI_OK) return j->stream.status;
    begin_stage(j, MEBI_STAGE_SAVE, (mebi__stage_cost){0});
    mebi_status status = hand_over(j, index);
    end_stage(j);
    if (status == MEBI_OK) j->report.images++;
    return status;
}

static mebi_status work(job *j) {
    mebi__stream *s = &j->stream;
    mebi__conditions conditions;
    begin_stage(j, MEBI_STAGE_ENCODE, j->cost.encode);
    encode_prompt(j, &j->positive);
    if (j->guided) encode_prompt(j, &j->negative);
    end_stage(j);
    if (s->status != MEBI_OK) return s->status;
    begin_stage(j, MEBI_STAGE_ENCODE, j->cost.prepare);
    mebi__pipeline_condition(s, &j->engine->pipeline, &j->how, j->positive.features,
                             j->positive.count, j->negative.features,
                             j->guided ? j->negative.count : 0, &conditions);
    mebi__stream_wait(s);
    end_stage(j);
    mebi_status status = s->status;
    for (int i = 0; i < j->request->count && status == MEBI_OK; i++)
        status = make_picture(j, &conditions, i);
    mebi__pipeline_release(s, &conditions);
    assert(mebi__arena_empty(&s->arena));
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
    job *j = mebi__alloc(MEBI__TAG_GENERAL, sizeof *j);
    *out = (mebi_plan){0};
    if (!j) return mebi__fail(err, MEBI_NO_MEMORY, "No memory to plan with.");
    *j = (job){.engine = engine, .request = request, .err = err};
    mebi_status status = check(j);
    if (status == MEBI_OK) status = plan(j);
    *out = j->plan;
    mebi__free(j);
    return status;
}

static void fill_report(const job *j, mebi_report *report) {
    *report = j->report;
    report->plan = j->plan;
    report->seed = j->seed;
    report->seconds[MEBI_STAGE_LOAD] = j->engine->load_seconds;
    report->total_seconds = mebi__now_seconds() - j->began;
    size_t peak = mebi__engine_memory(j->engine).peak;
    if (peak > report->peak_bytes) report->peak_bytes = peak;
}

mebi_status mebi_generate(mebi_engine *engine, const mebi_request *request,
                          const mebi_callbacks *callbacks, mebi_report *report, mebi_error *err) {
    static const mebi_callbacks no_callbacks = {0};
    mebi_error own = {0};
    if (!err) err = &own;
    job *j = mebi__alloc(MEBI__TAG_GENERAL, sizeof *j);
    if (report) *report = (mebi_report){0};
    if (!j) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a job.");
    *j = (job){.engine = engine, .request = request, .err = err, .began = mebi__now_seconds(),
               .callbacks = callbacks ? callbacks : &no_callbacks,
               .progress = {.count = request->count, .steps = request->steps}};
    mebi_status status = check(j);
    if (status == MEBI_OK) status = plan(j);
    if (status == MEBI_OK) status = take(j);
    if (status == MEBI_OK) status = work(j);
    status = mebi__engine_blame(engine, status, err);
    if (report) fill_report(j, report);
    give_back(j);
    mebi__free(j);
    return status;
}

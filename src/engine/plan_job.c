/* What a request will take on this machine, and how it will be done. Must never count on memory that the
 * process already uses for something else. */
#include "base/os.h"
#include "engine/job.h"
#include "image/png.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What a job touches besides: stacks, libraries' data, names, what the heap rounds up and gives back after each
 * job. Measured: up to 15 KiB in an engine's first job, 103 KiB in later ones. */
enum { FIRST_TOUCH_BYTES = 96 * 1024, LATER_TOUCH_BYTES = 132 * 1024 };

static size_t touch_bytes(const mebi__job *j) {
    return j->seen.jobs ? LATER_TOUCH_BYTES : FIRST_TOUCH_BYTES;
}

size_t mebi__job_features_bytes(const mebi__job *j, const mebi__prompt *p) {
    size_t row = sizeof(float) * (size_t)j->engine->pipeline.encoder.config.hidden;
    return p->features ? 0 : row * (size_t)p->count;
}

size_t mebi__job_latent_elements(const mebi__job *j) {
    return (size_t)j->engine->pipeline.dit.config.channels *
           (size_t)(j->how.latent_height * j->how.latent_width);
}

size_t mebi__job_noise_elements(const mebi__job *j) {
    size_t draft = (size_t)j->request->draft;
    return mebi__job_latent_elements(j) * draft * draft;
}

/* What a file says about its picture: the prompts twice, as text and as JSON, and the numbers. */
static size_t text_bytes(const mebi_request *r) {
    return 2048 + 2 * ((r->prompt ? strlen(r->prompt) : 0) +
                       (r->negative_prompt ? strlen(r->negative_prompt) : 0));
}

/* ---- limits ---- */

/* What the system takes for itself: tables of pages, threads' stacks, buffers of files being written, and what a control
 * group is charged ahead (64 pages a processor). Measured: 0.3 to 0.65 MiB beyond the tables of what is there already. */
enum { SYSTEM_BYTES = 704 * 1024, SPARE_BYTES = 256 * 1024 };

/* The process's own memory as if nothing but weights were held: what is there, and with a model that is
 * only planned with, what its weights would add. */
static size_t base_bytes(const mebi__job *j) {
    return j->seen.own + mebi__engine_imagined(j->engine);
}

static void look_at_memory(mebi__job *j) {
    if (j->working) mebi__engine_look(j->engine, &j->seen);
    else mebi__engine_look_beside(j->engine, &j->seen);
}

static size_t budget_of(const mebi__job *j) {
    const mebi_engine *e = j->engine;
    size_t all;
    if (e->budget_of_device) all = e->budget_of_device;
    else if (__builtin_add_overflow(j->seen.own, j->seen.room, &all)) all = SIZE_MAX;
    if (!e->budget_bytes) return all;
    /* A machine that is only planned for has whatever is said; this one has no more than it has. */
    return e->plan_only || e->budget_bytes < all ? e->budget_bytes : all;
}

static size_t output_bytes(const mebi__job *j) {
    return (size_t)j->width * (size_t)j->height * 3 +
           mebi__png_save_bytes(j->width, j->height, text_bytes(j->request));
}

/* What a plan promises must still hold when the job begins a moment later, and the system has some pages less. */
static size_t to_promise(const mebi__job *j, size_t budget) {
    const mebi_engine *e = j->engine;
    int fixed = j->working || e->plan_only || (e->budget_bytes && budget == e->budget_bytes);
    return fixed ? budget : budget > SPARE_BYTES ? budget - SPARE_BYTES : 0;
}

/* Streamed weights come over the link to a device; here the system keeps files where nothing else needs the memory. */
static size_t cache_of(const mebi__job *j) {
    size_t all;
    if (j->engine->budget_of_device) return 0;
    return __builtin_add_overflow(j->seen.own, j->seen.room, &all) ? SIZE_MAX : all;
}

static mebi__ladder_limits limits_of(const mebi__job *j, size_t base, size_t budget) {
    const mebi_engine *e = j->engine;
    size_t held = base + output_bytes(j) + touch_bytes(j) + mebi__job_preview_bytes(j) +
                  mebi__job_noise_elements(j) * sizeof(float) +
                  mebi__job_features_bytes(j, &j->positive) +
                  (j->guided ? mebi__job_features_bytes(j, &j->negative) : 0);
    return (mebi__ladder_limits){
        .held = held,
        .tables = j->seen.tables + SYSTEM_BYTES,
        .scratch = j->seen.scratch_bytes,
        .budget = budget,
        .cold_dit = j->seen.cold_dit,
        .cold_encoder = j->seen.cold_encoder,
        .cache = cache_of(j),
        .below = SIZE_MAX,
        .weights = e->weights == MEBI_WEIGHTS_AUTO ? -1 : (int)e->weights - 1,
        .decode = j->request->decode == MEBI_DECODE_AUTO ? -1 : (int)j->request->decode - 1,
        .rates = j->rates,
    };
}

static mebi__job_shape shape_of(const mebi__job *j) {
    return (mebi__job_shape){.how = j->how,
                             .tokens = j->positive.count,
                             .negative_tokens = j->guided ? j->negative.count : 0,
                             .encode = !j->positive.features,
                             .encode_negative = j->guided && !j->negative.features,
                             .preview_fit = j->how.preview_every && !j->seen.preview_known};
}

/* ---- words ---- */

static mebi_verdict verdict_of(const mebi__rung *r, int found) {
    if (!found) return MEBI_TOO_BIG;
    if (r->weights == MEBI__WEIGHTS_STREAMED) return MEBI_STREAMED;
    return r->shape.way.vae != MEBI__VAE_WHOLE || r->shape.way.small_chunks ? MEBI_TILED : MEBI_FITS;
}

static void say_strategy(mebi_plan *p) {
    static const char *const weights[] = {"", "weights stay in memory",
                                          "the encoder's weights leave once the prompt is encoded",
                                          "weights streamed layer by layer"};
    static const char *const decode[] = {"", "picture decoded whole", "picture decoded in strips",
                                         "picture decoded in tiles"};
    snprintf(p->strategy, sizeof p->strategy, "%s%s%s; %s", weights[p->weights],
             p->together ? ", passes side by side" : "",
             p->small_chunks ? ", attention in small chunks" : "", decode[p->decode]);
}

typedef struct amount {
    char text[24];
} amount;

static amount amount_of(size_t bytes) {
    amount a;
    double b = (double)bytes;
    if (b < 999.5e6) snprintf(a.text, sizeof a.text, "%.0f MB", b * 1e-6);
    else snprintf(a.text, sizeof a.text, "%.2f GB", b * 1e-9);
    return a;
}

static void say_why(mebi_plan *p) {
    const amount need = amount_of(p->need_bytes), budget = amount_of(p->budget_bytes);
    if (p->verdict == MEBI_TOO_BIG)
        snprintf(p->why, sizeof p->why,
                 "Even in the smallest way it needs %s, and %s may be taken.", need.text, budget.text);
    else if (p->verdict == MEBI_FITS && p->weights == MEBI_WEIGHTS_RESIDENT)
        snprintf(p->why, sizeof p->why,
                 "The fastest way needs %s of the %s that may be taken.", need.text, budget.text);
    else
        snprintf(p->why, sizeof p->why,
                 "Of the ways that fit into %s it is the fastest; it needs %s.", budget.text, need.text);
}

/* ---- figures ---- */

static void split_memory(mebi__job *j, size_t base) {
    const mebi_engine *e = j->engine;
    const mebi__rung *r = &j->rung;
    mebi_plan *p = &j->plan;
    size_t *m = p->memory, sum = 0;
    m[MEBI_MEMORY_DIT] = mebi__engine_weights(e, MEBI__TAG_DIT) + r->dit_file_bytes;
    m[MEBI_MEMORY_ENCODER] = mebi__engine_weights(e, MEBI__TAG_ENCODER) + r->encoder_file_bytes;
    m[MEBI_MEMORY_VAE] = mebi__engine_weights(e, MEBI__TAG_VAE);
    m[MEBI_MEMORY_OUTPUT] = p->output_bytes;
    m[MEBI_MEMORY_ACTIVATIONS] =
        r->own_bytes - base - p->output_bytes - touch_bytes(j) + j->seen.scratch_bytes;
    for (int i = 0; i < MEBI_MEMORY_OTHER; i++) sum += m[i];
    m[MEBI_MEMORY_OTHER] = p->need_bytes > sum ? p->need_bytes - sum : 0;
}

static void fill_seconds(mebi__job *j) {
    const mebi__job_plan *c = &j->rung.cost;
    mebi_plan *p = &j->plan;
    int count = j->request->count, batch = j->rung.shape.batch, batches = (count + batch - 1) / batch;
    double steps = mebi__job_steps_left(j), all = (double)count * j->how.steps;
    p->operations = c->encode.operations + c->preview_fit.operations + c->prepare.operations +
                    batches * c->denoise.operations * (steps / all) + count * c->decode.operations;
    mebi__job_seconds(j, p->seconds);
    for (int i = 0; i < MEBI_STAGE_COUNT; i++) p->total_seconds += p->seconds[i];
    p->step_seconds = steps > 0 ? p->seconds[MEBI_STAGE_STEP] / steps : 0;
    p->estimate = j->engine->budget_of_device > 0 || mebi__rates_missing(j->rates) > 0;
}

/* The plan's public form. */
static void fill_plan(mebi__job *j, int found, size_t base, size_t budget) {
    mebi_plan *p = &j->plan;
    const mebi__rung *r = &j->rung;
    p->verdict = verdict_of(r, found);
    p->peak_bytes = r->own_bytes;
    p->file_bytes = r->dit_file_bytes + r->encoder_file_bytes;
    p->system_bytes = r->system_bytes;
    p->need_bytes = mebi__rung_need(r);
    p->budget_bytes = budget;
    p->base_bytes = base;
    p->arena_bytes = r->cost.arena_bytes;
    p->scratch_bytes = r->cost.scratch_bytes;
    p->output_bytes = output_bytes(j);
    p->weights = (mebi_weights_way)(r->weights + 1);
    p->decode = (mebi_decode_way)(r->shape.way.vae + 1);
    p->precision = j->engine->precision;
    p->together = r->shape.way.together;
    p->small_chunks = r->shape.way.small_chunks;
    split_memory(j, base);
    fill_seconds(j);
    say_strategy(p);
    say_why(p);
}

static mebi_status plan_way(mebi__job *j) {
    mebi_engine *e = j->engine;
    size_t base = base_bytes(j), budget = to_promise(j, budget_of(j));
    mebi__ladder_limits limits = limits_of(j, base, budget);
    mebi__job_shape shape = shape_of(j);
    int found;
    j->plan = (mebi_plan){0};
    MEBI_TRY(mebi__ladder_choose(&e->pipeline, mebi__engine_target(e), &shape, j->request->count,
                                 &limits, &j->rung, &found, j->err));
    fill_plan(j, found, base, budget);
    return MEBI_OK;
}

/* ---- what would fit ---- */

/* Adds a request if it fits and is not there yet. */
static void offer(mebi__job *j, const mebi_request *near) {
    mebi_plan *p = &j->plan;
    mebi_error unused = {0};
    mebi__job other = {.engine = j->engine, .request = near, .err = &unused, .seen = j->seen,
                       .rates = j->rates};
    for (int i = 0; i < p->alternatives; i++) {
        const mebi_alternative *a = &p->alternative[i];
        if (a->width == near->width && a->height == near->height && a->count == near->count) return;
    }
    if (p->alternatives == MEBI_ALTERNATIVES) return;
    if (mebi__job_check(&other) != MEBI_OK || plan_way(&other) != MEBI_OK) return;
    /* With a little to spare: by the time it is taken up, the process holds a little more or less. */
    size_t added = other.plan.need_bytes - other.plan.base_bytes;
    if (other.plan.verdict == MEBI_TOO_BIG ||
        other.plan.need_bytes + added / 64 + SPARE_BYTES > other.plan.budget_bytes)
        return;
    p->alternative[p->alternatives++] = (mebi_alternative){.width = near->width,
                                                           .height = near->height,
                                                           .count = near->count,
                                                           .cfg = near->cfg,
                                                           .verdict = other.plan.verdict,
                                                           .need_bytes = other.plan.need_bytes,
                                                           .seconds = other.plan.total_seconds};
}

/* The request with its sides scaled, to the size's multiple. */
static mebi_request scaled(const mebi__job *j, double scale) {
    mebi_request r = *j->request;
    int multiple = mebi__pipeline_multiple(&j->engine->pipeline) * (r.draft ? r.draft : 1);
    r.resume = NULL; /* of another size */
    r.width = (int)(r.width * scale) / multiple * multiple;
    r.height = (int)(r.height * scale) / multiple * multiple;
    if (r.width < multiple) r.width = multiple;
    if (r.height < multiple) r.height = multiple;
    return r;
}

/* The largest of the same shape, and one of half its sides. Memory grows with pixels: from what one size needs
 * beyond what is held anyway follows where to look. */
static void offer_smaller(mebi__job *j) {
    mebi_error unused = {0};
    double base = (double)j->plan.base_bytes, room = (double)j->plan.budget_bytes - base, scale = 1;
    double need = (double)j->plan.need_bytes - base;
    for (int tries = 0; tries < 6 && room > 0 && need > 0; tries++) {
        scale *= (tries ? 0.97 : 1) * sqrt(room / need);
        mebi_request near = scaled(j, scale);
        mebi__job other = {.engine = j->engine, .request = &near, .err = &unused, .seen = j->seen,
                           .rates = j->rates};
        if (mebi__job_check(&other) != MEBI_OK || plan_way(&other) != MEBI_OK) return;
        need = (double)other.plan.need_bytes - base;
        int before = j->plan.alternatives;
        if (other.plan.verdict != MEBI_TOO_BIG) offer(j, &near);
        if (j->plan.alternatives == before && other.plan.verdict == MEBI_TOO_BIG) continue;
        if (j->plan.alternatives == before) {
            need += SPARE_BYTES + need / 64;
            continue;
        }
        near = scaled(j, scale / 2);
        offer(j, &near);
        return;
    }
}

static void find_alternatives(mebi__job *j) {
    mebi_request near = *j->request;
    near.resume = NULL;
    if (near.count > 1) {
        near.count = 1;
        offer(j, &near);
    }
    if (near.cfg > 0) {
        near.cfg = 0;
        offer(j, &near);
    }
    if (near.decode != MEBI_DECODE_AUTO) {
        near = *j->request;
        near.resume = NULL;
        near.decode = MEBI_DECODE_AUTO;
        offer(j, &near);
    }
    offer_smaller(j);
}

/* ---- for job.c ---- */

/* Finds out how fast this machine is, unless that is known, or others are at work. Returns 1 if it was done. */
static int measure(mebi__job *j) {
    mebi_engine *e = j->engine;
    if (j->working) return mebi__engine_calibrate(e, j->rates);
    if (!mebi__rates_missing(j->rates) || !mebi__engine_begin_measuring(e)) return 0;
    mebi__engine_hold(e, &j->seen);
    int done = mebi__engine_calibrate(e, j->rates);
    mebi__engine_end_work(e);
    return done;
}

mebi_status mebi__job_plan_it(mebi__job *j) {
    j->rates = mebi__engine_take_rates(j->engine);
    if (!j->rates) return mebi__fail(j->err, MEBI_NO_MEMORY, "No memory to plan with.");
    look_at_memory(j);
    if (j->working) mebi__engine_hold(j->engine, &j->seen);
    MEBI_TRY(plan_way(j));
    mebi__engine_note_asked(j->engine, j->rates);
    if (measure(j)) {
        j->began = mebi__now_seconds(); /* measuring the machine is no part of a job */
        look_at_memory(j);              /* seconds have passed */
        MEBI_TRY(plan_way(j));
    }
    if (j->plan.verdict == MEBI_TOO_BIG) find_alternatives(j);
    return MEBI_OK;
}

mebi_status mebi__job_step_down(mebi__job *j) {
    mebi_engine *e = j->engine;
    size_t base = j->plan.base_bytes, before = j->rung.own_bytes, budget;
    mebi__rung smaller;
    mebi__job_shape shape = shape_of(j);
    int found;
    look_at_memory(j);
    if (__builtin_add_overflow(j->seen.own, j->seen.room, &budget)) budget = SIZE_MAX;
    mebi__ladder_limits limits = limits_of(j, base, budget);
    limits.below = before;
    shape.encode = shape.encode_negative = shape.preview_fit = 0;
    MEBI_TRY(mebi__ladder_choose(&e->pipeline, mebi__engine_target(e), &shape, j->request->count,
                                 &limits, &smaller, &found, j->err));
    j->rung = smaller;
    j->plan.weights = (mebi_weights_way)(smaller.weights + 1);
    j->plan.decode = (mebi_decode_way)(smaller.shape.way.vae + 1);
    j->plan.together = smaller.shape.way.together;
    j->plan.small_chunks = smaller.shape.way.small_chunks;
    say_strategy(&j->plan);
    return MEBI_OK;
}

mebi_status mebi__job_refuse(mebi__job *j) {
    const mebi_plan *p = &j->plan;
    char instead[160] = "Give it more, or close other programs.";
    if (p->alternatives) {
        const mebi_alternative *a = &p->alternative[0];
        char pictures[40] = "";
        if (j->request->count > 1)
            snprintf(pictures, sizeof pictures, ", %d picture%s", a->count, a->count > 1 ? "s" : "");
        snprintf(instead, sizeof instead, "What fits: %dx%d%s%s (%s).", a->width, a->height,
                 pictures, j->request->cfg > 0 && !(a->cfg > 0) ? ", without guidance" : "",
                 amount_of(a->need_bytes).text);
    }
    return mebi__fail(j->err, MEBI_NO_MEMORY,
                      "%dx%d needs %s in all and %s may be taken. %s", j->width, j->height,
                      amount_of(p->need_bytes).text, amount_of(p->budget_bytes).text, instead);
}

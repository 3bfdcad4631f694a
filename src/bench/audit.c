/* An audit: a model's parts, each in its own type and quantized, with the same input. Must hold one
 * part's weights at a time, and one form of them where memory is short. */
#include "bench/audit.h"

#include "base/os.h"
#include "cpu/cpu.h"
#include "tensor/int8.h"
#include "weights/published.h"

#include <stdio.h>

/* Left to the system and to the passes' own tensors when it is judged whether both forms fit. */
enum { SPARE_BYTES = 3 << 29 };

typedef struct session {
    const mebi_audit_params *params;
    const mebi__bench_configs *configs; /* of random weights; NULL: the parts are files */
    mebi_audit_report *report;
    mebi_error *err;
    mebi__pool *pool;
    mebi__device *device;
    mebi__model_files files;
    mebi__random_part random;
    mebi__bench_work work;
    float *features; /* the encoder's exact ones, for the transformer; NULL: random */
} session;

static void tell(const session *s, mebi_audit_part part, const char *doing) {
    char text[96];
    if (!s->params->progress) return;
    snprintf(text, sizeof text, "%s: %s", mebi_audit_part_name(part), doing);
    s->params->progress(s->params->context, text);
}

const char *mebi_audit_part_name(mebi_audit_part part) {
    static const char *const names[] = {"encoder", "transformer"};
    return (unsigned)part < MEBI_AUDIT_PARTS ? names[part] : "unknown";
}

mebi_audit_params mebi_audit_params_default(void) {
    return (mebi_audit_params){
        .parts = (1u << MEBI_AUDIT_PARTS) - 1, .width = 256, .height = 256, .tokens = 61};
}

/* ---- checking ---- */

static int is_given(const mebi_engine_params *p) {
    return p->model || p->diffusion_model || p->text_encoder || p->vae;
}

static mebi_status check_params(const mebi_audit_params *p, mebi_error *err) {
    mebi_precision precision = p->engine.precision;
    if (!(p->parts & ((1u << MEBI_AUDIT_PARTS) - 1)))
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "No part is to be audited.");
    if (p->tokens < 1 || p->tokens > MEBI__BENCH_TOKENS)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%d tokens asked for; 1 to %d are possible.",
                          p->tokens, MEBI__BENCH_TOKENS);
    if (p->engine.threads < 0 || p->engine.threads > 256)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%d threads asked for; 1 to 256 can be had.",
                          p->engine.threads);
    if (precision != MEBI_PRECISION_AUTO && precision != MEBI_PRECISION_INT8)
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "Only int8 can be audited, not %s: it is compared with the weights' own type.",
            mebi_precision_name(precision));
    if (p->outliers && is_given(&p->engine))
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "Outliers are planted in random weights; a model has its own.");
    return MEBI_OK;
}

/* Sides are whole tokens, and no more of them than the table of positions has. */
static mebi_status check_size(session *s, const mebi__dit_config *dit,
                              const mebi__vae_config *vae) {
    int scale = mebi__vae_scale(vae), multiple = scale * dit->patch;
    int tokens = dit->axes_len[1] < dit->axes_len[2] ? dit->axes_len[1] : dit->axes_len[2];
    int largest = tokens < 16384 / multiple ? tokens * multiple : 16384;
    int w = s->params->width, h = s->params->height;
    if (w < multiple || h < multiple || w > largest || h > largest || w % multiple || h % multiple)
        return mebi__fail(s->err, MEBI_BAD_ARGUMENT,
                          "A size of %dx%d asked for; sides are multiples of %d, up to %d.", w, h,
                          multiple, largest);
    s->work.latent_width = w / scale;
    s->work.latent_height = h / scale;
    return MEBI_OK;
}

/* ---- weights ---- */

static const mebi__dit_config *dit_config(const session *s) {
    return s->configs ? s->configs->dit : &s->files.dit_config;
}

static const mebi__qwen3_config *encoder_config(const session *s) {
    return s->configs ? s->configs->encoder : &s->files.encoder_config;
}

/* Elements of the part's large matrices. */
static double elements_of(const session *s, mebi_audit_part part) {
    const mebi__qwen3_config *e = encoder_config(s);
    const mebi__dit_config *d = dit_config(s);
    if (part == MEBI_AUDIT_ENCODER)
        return e->layers * (double)e->hidden *
               (2.0 * e->head_dim * (e->heads + e->kv_heads) + 3.0 * e->intermediate);
    return (d->layers + 2.0 * d->refiner_layers) * d->dim * (4.0 * d->dim + 3.0 * d->ffn_hidden);
}

/* int8 with scales and corrections; random weights besides as they are, in bf16. */
static mebi_status check_room(const session *s, mebi_audit_part part, int both) {
    int64_t k = part == MEBI_AUDIT_ENCODER ? encoder_config(s)->hidden : dit_config(s)->dim;
    double room = (double)mebi__memory_available(), elements = elements_of(s, part);
    double packed = elements * (1 + 8.0 / (double)mebi__int8_group(k));
    double plain = s->configs ? 2 * elements : 0;
    double need = both ? packed + plain : packed > plain ? packed : plain;
    if (need + SPARE_BYTES <= room) return MEBI_OK;
    return mebi__fail(s->err, MEBI_NO_MEMORY,
                      "To audit the %s takes %.1f GB of memory and %.1f GB are free. Close other "
                      "programs.",
                      mebi_audit_part_name(part), (need + SPARE_BYTES) * 1e-9, room * 1e-9);
}

/* rows_only: random weights only in the form that is packed. */
static mebi_status load(session *s, mebi_audit_part part, mebi__precision precision,
                        int rows_only) {
    mebi__pipeline *m = &s->work.model;
    mebi__loading how = {.device = s->device,
                         .cache = "",
                         .precision = precision,
                         .tensors = part == MEBI_AUDIT_ENCODER ? s->files.encoder : s->files.dit};
    if (s->configs) {
        mebi__random_how made = {
            .seed = 1, .rows_only = rows_only, .outliers = s->params->outliers};
        if (part == MEBI_AUDIT_ENCODER)
            MEBI_TRY(mebi__random_encoder(s->configs->encoder, &made, s->pool, &s->random, s->err));
        else MEBI_TRY(mebi__random_dit(s->configs->dit, &made, s->pool, &s->random, s->err));
        how.tensors = s->random.tensors;
    }
    if (part == MEBI_AUDIT_ENCODER)
        return mebi__qwen3_load(&m->encoder, &how, encoder_config(s), s->err);
    return mebi__dit_load(&m->dit, &how, dit_config(s), s->err);
}

static void release(session *s) {
    mebi__dit_release(&s->work.model.dit);
    mebi__qwen3_release(&s->work.model.encoder);
    mebi__random_close(&s->random);
}

/* ---- one part ---- */

/* Both forms side by side, or, for random weights in short memory, one after the other. */
static mebi_status run_passes(session *s, mebi_audit_part part, mebi__audit_passes *p) {
    int both = !s->configs || check_room(s, part, 1) == MEBI_OK;
    MEBI_TRY(check_room(s, part, both));
    if (!both) {
        tell(s, part, "making weights");
        MEBI_TRY(load(s, part, MEBI__PRECISION_PLAIN, 0));
        tell(s, part, "exact");
        MEBI_TRY(mebi__audit_exact(p));
        release(s);
    }
    tell(s, part, "packing weights");
    MEBI_TRY(load(s, part, MEBI__PRECISION_INT8, !both));
    if (both) {
        tell(s, part, "exact");
        MEBI_TRY(mebi__audit_exact(p));
    }
    tell(s, part, "int8, whole and layer by layer");
    MEBI_TRY(mebi__audit_quantized(p));
    if (!both) return MEBI_OK;
    tell(s, part, "int8, one kind of matrix at a time");
    return mebi__audit_kinds(p);
}

/* What the stage reads, in host memory. */
static mebi_status take_inputs(session *s, mebi_audit_part part) {
    mebi__bench_work *w = &s->work;
    w->stage = part == MEBI_AUDIT_ENCODER ? MEBI_BENCH_ENCODE : MEBI_BENCH_STEP;
    /* Sizes of what is made are those of a loaded part. */
    w->model.dit.config = *dit_config(s);
    w->model.encoder.config = *encoder_config(s);
    MEBI_TRY(mebi__bench_host_take(w, s->err));
    size_t bytes = sizeof(float) * (size_t)w->tokens * (size_t)dit_config(s)->caption_dim;
    if (part == MEBI_AUDIT_TRANSFORMER && s->features) memcpy(w->features, s->features, bytes);
    return MEBI_OK;
}

/* A model's transformer reads its encoder's features; a random one normal values. */
static mebi_status keep_features(session *s, const mebi__audit_passes *p) {
    const mebi__audit_stage *last = &p->stage[p->stages - 1];
    size_t count = (size_t)s->work.tokens * (size_t)dit_config(s)->caption_dim;
    if (s->configs || last->count != count) return MEBI_OK;
    s->features = mebi__alloc_array(MEBI__TAG_GENERAL, count, sizeof *s->features);
    if (!s->features) return mebi__fail(s->err, MEBI_NO_MEMORY, "No memory for features.");
    memcpy(s->features, last->exact, count * sizeof *s->features);
    return MEBI_OK;
}

static mebi_status audit_part(session *s, mebi_audit_part part) {
    mebi__audit_passes *p = mebi__alloc(MEBI__TAG_GENERAL, sizeof *p);
    if (!p) return mebi__fail(s->err, MEBI_NO_MEMORY, "No memory for an audit.");
    *p = (mebi__audit_passes){
        .device = s->device, .work = &s->work, .result = &s->report->part[part], .err = s->err};
    mebi_status status = take_inputs(s, part);
    if (status == MEBI_OK) status = run_passes(s, part, p);
    if (status == MEBI_OK && part == MEBI_AUDIT_ENCODER) status = keep_features(s, p);
    mebi__audit_release(p);
    mebi__bench_host_give(&s->work);
    release(s);
    mebi__free(p);
    return status;
}

/* ---- the whole ---- */

static mebi_status run_session(session *s) {
    const mebi_engine_params *e = &s->params->engine;
    mebi__model_paths paths = {e->model, e->diffusion_model, e->text_encoder, e->vae, e->tokenizer};
    mebi__cpu_level level;
    if (!s->configs) MEBI_TRY(mebi__model_files_open(&paths, &s->files, s->err));
    MEBI_TRY(check_size(s, dit_config(s), s->configs ? s->configs->vae : &s->files.vae_config));
    MEBI_TRY(mebi__cpu_choose(&level, s->err));
    MEBI_TRY(mebi__pool_create(e->threads ? e->threads : mebi__physical_cores(), &s->pool, s->err));
    MEBI_TRY(mebi__cpu_create(level, s->pool, &s->device, s->err));
    s->work.tokens = s->params->tokens;
    s->report->precision = MEBI_PRECISION_INT8;
    s->report->cpu = mebi__cpu_level_name(level);
    s->report->threads = mebi__pool_threads(s->pool);
    s->report->random = s->configs != NULL;
    for (int part = 0; part < MEBI_AUDIT_PARTS; part++)
        if (s->params->parts & 1u << part) MEBI_TRY(audit_part(s, (mebi_audit_part)part));
    return MEBI_OK;
}

mebi_status mebi__audit(const mebi_audit_params *params, const mebi__bench_configs *configs,
                        mebi_audit_report *report, mebi_error *err) {
    *report = (mebi_audit_report){0};
    MEBI_TRY(check_params(params, err));
    session *s = mebi__alloc(MEBI__TAG_GENERAL, sizeof *s);
    if (!s) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for an audit.");
    *s = (session){.params = params,
                   .configs = is_given(&params->engine) ? NULL : configs,
                   .report = report,
                   .err = err};
    mebi_status status = run_session(s);
    mebi__free(s->features);
    mebi__model_files_close(&s->files);
    mebi__device_destroy(&s->device);
    mebi__pool_destroy(&s->pool);
    mebi__free(s);
    if (status != MEBI_OK) *report = (mebi_audit_report){0};
    return status;
}

mebi_status mebi_audit(const mebi_audit_params *params, mebi_audit_report *report,
                       mebi_error *err) {
    const mebi__bench_configs published = {&mebi__published_dit, &mebi__published_encoder,
                                           &mebi__published_vae};
    return mebi__audit(params, &published, report, err);
}

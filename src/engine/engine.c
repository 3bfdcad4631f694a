/* Opening and closing a model. Must leave nothing behind when any step fails. */
#include "engine/engine.h"

#include "base/os.h"
#include "compute/dry.h"
#include "cpu/cpu.h"
#include "engine/tokens.h"

#include <stdio.h>
#include <string.h>

mebi_engine_params mebi_engine_params_default(void) {
    return (mebi_engine_params){0};
}

/* Tells how far loading is; fails if the caller wants to stop. */
static mebi_status loading(const mebi_callbacks *c, int done, int parts, double since,
                           mebi_error *err) {
    mebi_progress p = {.stage = MEBI_STAGE_LOAD,
                       .fraction = (double)done / parts,
                       .seconds = mebi__now_seconds() - since,
                       .seconds_left = -1};
    if (c && c->progress) c->progress(c->context, &p);
    if (c && c->cancelled && c->cancelled(c->context))
        return mebi__fail(err, MEBI_CANCELLED, "Cancelled while the model was being opened.");
    return MEBI_OK;
}

static mebi_status check_tokenizer(const mebi_engine *e, mebi_error *err) {
    int ids = mebi__tokenizer_vocab(e->tokenizer), rows = e->files.encoder_config.vocab;
    if (ids > rows)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "The tokenizer (%s) has %d tokens and the text encoder knows %d: they are "
                          "not of the same model.",
                          e->files.tokenizer_path, ids, rows);
    return MEBI_OK;
}

static void note_unused(mebi_engine *e) {
    mebi__tensors *part[] = {e->files.dit, e->files.encoder, e->files.vae};
    size_t used = 0;
    for (int i = 0; i < 3; i++) {
        char names[160];
        if (!mebi__tensors_unexpected(part[i], names, sizeof names)) continue;
        used += (size_t)snprintf(e->unused + used, sizeof e->unused - used, "%s%s", used ? "; " : "",
                                 names);
        if (used >= sizeof e->unused) used = sizeof e->unused - 1;
    }
}

enum {
    PARTS = 5,
    TOKENIZER_BYTES = 20 << 20, /* what the published model's tokenizer holds */
};

/* How far loading is while a part's weights are packed. */
typedef struct part_progress {
    const mebi_callbacks *callbacks;
    double since;
    int done; /* parts */
    int told; /* of trouble with the cache, which is the same for every part */
} part_progress;

static int packing(void *context, double fraction) {
    const part_progress *p = context;
    mebi_progress now = {.stage = MEBI_STAGE_LOAD,
                         .fraction = (p->done + fraction) / PARTS,
                         .seconds = mebi__now_seconds() - p->since,
                         .seconds_left = -1};
    if (!p->callbacks) return 0;
    if (p->callbacks->progress) p->callbacks->progress(p->callbacks->context, &now);
    return p->callbacks->cancelled && p->callbacks->cancelled(p->callbacks->context);
}

static void noticed(void *context, const char *text) {
    part_progress *p = context;
    if (!p->told++ && p->callbacks && p->callbacks->notice) p->callbacks->notice(p->callbacks->context, text);
}

static mebi__loading loading_of(const mebi_engine *e, mebi__tensors *tensors, part_progress *progress) {
    int int8 = e->precision == MEBI_PRECISION_INT8;
    return (mebi__loading){.device = e->device,
                           .tensors = tensors,
                           .precision = int8 ? MEBI__PRECISION_INT8 : MEBI__PRECISION_PLAIN,
                           .cache = e->cache,
                           .progress = packing,
                           .notice = noticed,
                           .context = progress};
}

static mebi_status load_parts(mebi_engine *e, const mebi_callbacks *c, double since,
                              mebi_error *err) {
    mebi__pipeline *p = &e->pipeline;
    p->scheduler = e->files.scheduler;
    MEBI_TRY(loading(c, 1, PARTS, since, err));
    if (!e->shapes_only) {
        MEBI_TRY(mebi__open_tokenizer(&e->files, &e->tokenizer, err));
        MEBI_TRY(check_tokenizer(e, err));
    }
    MEBI_TRY(loading(c, 2, PARTS, since, err));
    part_progress progress = {c, since, 2, 0};
    mebi__loading how = loading_of(e, e->files.encoder, &progress);
    MEBI_TRY(mebi__qwen3_load(&p->encoder, &how, &e->files.encoder_config, err));
    MEBI_TRY(loading(c, 3, PARTS, since, err));
    progress.done = 3;
    how = loading_of(e, e->files.dit, &progress);
    MEBI_TRY(mebi__dit_load(&p->dit, &how, &e->files.dit_config, err));
    MEBI_TRY(loading(c, 4, PARTS, since, err));
    MEBI_TRY(mebi__vae_load(&p->vae, e->device, e->files.vae, &e->files.vae_config, 0, err));
    MEBI_TRY(loading(c, 5, PARTS, since, err));
    note_unused(e);
    return MEBI_OK;
}

/* int8 pays where a step's time is its matrices; a small model keeps its last digit instead. */
static mebi_precision choose_precision(const mebi_engine *e, mebi_precision asked,
                                       mebi_quality quality) {
    const mebi__dit_config *c = &e->files.dit_config;
    double weights = (double)c->layers * c->dim * (4.0 * c->dim + 3.0 * c->ffn_hidden);
    if (asked != MEBI_PRECISION_AUTO) return asked;
    if (quality == MEBI_QUALITY_EXACT) return MEBI_PRECISION_F32;
    if (quality == MEBI_QUALITY_ANY) return MEBI_PRECISION_INT8;
    return weights >= 5e8 ? MEBI_PRECISION_INT8 : MEBI_PRECISION_F32;
}

static mebi_status take_params(mebi_engine *e, const mebi_engine_params *params, mebi_error *err) {
    if ((unsigned)params->precision >= MEBI_PRECISION_COUNT)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "Precision %d is not known.", (int)params->precision);
    if ((unsigned)params->quality >= MEBI_QUALITY_COUNT)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "Quality %d is not known.", (int)params->quality);
    if ((unsigned)params->weights >= MEBI_WEIGHTS_COUNT)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "The way of holding weights %d is not known.",
                          (int)params->weights);
    if (params->cache && !(e->cache = mebi__copy_string(params->cache, strlen(params->cache))))
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for an engine.");
    e->calibrate = params->calibrate;
    e->budget_bytes = params->budget_bytes;
    e->weights = params->weights;
    e->plan_only = params->plan_only;
    if (params->planned_device && !params->plan_only)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "A model can be planned for another machine, not run on it: planned_device needs "
                          "plan_only.");
    return mebi__engine_plan_for(e, params->planned_device, err);
}

/* The map for previews is the autoencoder's, and lies in its folder. */
static mebi_status find_preview(mebi_engine *e, const mebi_engine_params *params, mebi_error *err) {
    const char *name = params->vae ? "preview.json" : "vae/preview.json";
    e->preview_path = mebi__join_path(params->vae ? params->vae : params->model, name);
    return e->preview_path ? MEBI_OK : mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
}

static mebi_status open_files(mebi_engine *e, const mebi_engine_params *params, mebi_error *err) {
    mebi__model_paths paths = {.folder = params->model,
                               .diffusion_model = params->diffusion_model,
                               .text_encoder = params->text_encoder,
                               .vae = params->vae,
                               .tokenizer = params->tokenizer};
    int any = params->model || params->diffusion_model || params->text_encoder || params->vae;
    if (!any && e->plan_only) return mebi__engine_imagine_files(e, err);
    MEBI_TRY(mebi__model_files_open(&paths, &e->files, err));
    return find_preview(e, params, err);
}

static mebi_status open_engine(mebi_engine *e, const mebi_engine_params *params,
                               const mebi_callbacks *c, double since, mebi_error *err) {
    MEBI_TRY(take_params(e, params, err));
    int threads = params->threads ? params->threads : mebi__physical_cores();
    MEBI_TRY(mebi__cpu_choose(&e->level, err));
    MEBI_TRY(loading(c, 0, PARTS, since, err));
    MEBI_TRY(mebi__pool_create(threads, &e->pool, err));
    MEBI_TRY(open_files(e, params, err));
    e->precision = choose_precision(e, params->precision, params->quality);
    mebi__cpu_options cpu = {.level = e->level, .bf16_products = e->precision != MEBI_PRECISION_F32};
    MEBI_TRY(mebi__cpu_create_with(&cpu, e->pool, &e->device, err));
    e->cpu = mebi__cpu_describe(e->level);
    if (e->plan_only) MEBI_TRY(mebi__engine_imagine_device(e, err));
    MEBI_TRY(mebi__prefetch_create(&e->pipeline.prefetch, err));
    MEBI_TRY(load_parts(e, c, since, err));
    MEBI_TRY(mebi__engine_load_rates(e, err));
    mebi__engine_load_preview(e);
    if (e->planned)
        mebi__planned_device_rates(e->planned, e->precision == MEBI_PRECISION_F32, e->rates);
    mebi__memory_trim(); /* what parsing left on the heap is no part of a job's memory */
    return MEBI_OK;
}

mebi_status mebi_engine_open(const mebi_engine_params *params, const mebi_callbacks *callbacks,
                             mebi_engine **out, mebi_error *err) {
    double since = mebi__now_seconds();
    mebi_engine *e = mebi__alloc(MEBI__TAG_GENERAL, sizeof *e);
    *out = NULL;
    if (!e) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for an engine.");
    mebi_status status = mebi__engine_shared_init(e, err);
    if (status != MEBI_OK) {
        mebi__free(e);
        return status;
    }
    status = open_engine(e, params, callbacks, since, err);
    e->load_seconds = mebi__now_seconds() - since;
    if (status != MEBI_OK) mebi_engine_close(&e);
    *out = e;
    return status;
}

void mebi_engine_close(mebi_engine **engine) {
    mebi_engine *e = *engine;
    if (!e) return;
    mebi__features_release(&e->features);
    mebi__prefetch_destroy(&e->pipeline.prefetch);
    mebi__vae_release(&e->pipeline.vae);
    mebi__dit_release(&e->pipeline.dit);
    mebi__qwen3_release(&e->pipeline.encoder);
    mebi__tokenizer_close(&e->tokenizer);
    mebi__free(e->rates);
    mebi__free(e->spare_rates);
    mebi__free(e->cache);
    mebi__free(e->preview_path);
    mebi__engine_imagine_end(e);
    mebi__model_files_close(&e->files);
    mebi__device_destroy(&e->device);
    mebi__device_destroy(&e->target);
    mebi__pool_destroy(&e->pool);
    mebi__engine_shared_end(e);
    mebi__free(e);
    *engine = NULL;
}

/* The DiT's position table limits the rows and columns of tokens. */
static int largest_side(const mebi_engine *e) {
    const mebi__dit_config *c = &e->files.dit_config;
    int tokens = c->axes_len[1] < c->axes_len[2] ? c->axes_len[1] : c->axes_len[2];
    int64_t pixels = (int64_t)tokens * mebi__pipeline_multiple(&e->pipeline);
    return pixels < 16384 ? (int)pixels : 16384;
}

mebi_engine_info mebi_engine_describe(const mebi_engine *e) {
    /* Small models are made for 256 pixels; the real one, and any like it, for 1024. */
    int native = e->files.dit_config.dim >= 1024 ? 1024 : 256, largest = largest_side(e);
    return (mebi_engine_info){.model_hash = e->files.hash,
                              .cpu = e->cpu,
                              .unused_tensors = e->unused,
                              .precision = e->precision,
                              .threads = mebi__pool_threads(e->pool),
                              .size_multiple = mebi__pipeline_multiple(&e->pipeline),
                              .largest_side = largest,
                              .native_side = native < largest ? native : largest,
                              .shapes_only = e->shapes_only,
                              .planned_device = e->planned ? e->planned->name : NULL};
}

size_t mebi__engine_weights(const mebi_engine *e, mebi__tag tag) {
    return mebi__memory_held(tag) + (e->target ? mebi__dry_held(e->device, tag) : 0);
}

size_t mebi__engine_imagined(const mebi_engine *e) {
    size_t bytes = e->shapes_only ? TOKENIZER_BYTES : 0;
    for (int i = 0; e->target && i < MEBI__TAG_COUNT; i++)
        bytes += mebi__dry_held(e->device, (mebi__tag)i);
    return bytes;
}

mebi__device *mebi__engine_target(const mebi_engine *e) {
    return e->target ? e->target : e->device;
}

size_t mebi__engine_room(const mebi_engine *e) {
    mebi__device *target = mebi__engine_target(e);
    return target->table->memory_available(target);
}

mebi_status mebi__engine_blame(const mebi_engine *e, mebi_status status, mebi_error *err) {
    if (status != MEBI_NUMERIC) return status;
    const mebi__tensors *part[] = {e->files.dit, e->files.encoder, e->files.vae};
    mebi_error found = {0};
    for (int i = 0; i < 3; i++)
        if (mebi__tensors_check_finite(part[i], &found) == MEBI_BAD_FILE) {
            if (err) *err = found;
            return MEBI_BAD_FILE;
        }
    return status;
}

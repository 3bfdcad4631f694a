/* Whether a request is possible at all. Must never take anything. */
#include "engine/job.h"

#include <math.h>
#include <string.h>

enum { LARGEST_DRAFT = 8, USUAL_TOKENS = 61 };

static mebi_status check_numbers(const mebi_request *r, mebi_error *err) {
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
    if (r->count < 1 || r->count > MEBI__MOST_PICTURES)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%d pictures asked for; 1 to 64 are possible.",
                          r->count);
    if (r->seed < -1 || r->seed > INT64_MAX - 64)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "The seed %lld is not possible: take -1 (random) or a number from 0 up.",
                          (long long)r->seed);
    if (r->draft != 0 && (r->draft < 2 || r->draft > LARGEST_DRAFT))
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "A draft %d times smaller asked for; 2 to %d are possible, 0 is no draft.",
                          r->draft, LARGEST_DRAFT);
    if (r->preview_every < 0 || r->preview_every > MEBI__MAX_STEPS)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "A preview every %d steps asked for; 1 to %d are possible, 0 is none.",
                          r->preview_every, MEBI__MAX_STEPS);
    if ((unsigned)r->decode >= MEBI_DECODE_COUNT)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "The way of decoding %d is not known.",
                          (int)r->decode);
    return MEBI_OK;
}

/* ---- going on from saved steps ---- */

static mebi_status check_saved_shape(const mebi__job *j, const mebi_latents *l) {
    const mebi_request *r = j->request;
    int channels = j->engine->pipeline.dit.config.channels;
    if (l->channels != channels || l->width != j->how.latent_width || l->height != j->how.latent_height)
        return mebi__fail(j->err, MEBI_BAD_ARGUMENT,
                          "The saved step is of %d x %d x %d numbers a picture; this request's pictures have %d x "
                          "%d x %d. Ask for the size that was saved.",
                          l->channels, l->height, l->width, channels, (int)j->how.latent_height,
                          (int)j->how.latent_width);
    if (l->steps != r->steps || l->step < 1 || l->step > l->steps)
        return mebi__fail(j->err, MEBI_BAD_ARGUMENT,
                          "Step %d of %d was saved, which this request of %d steps can't go on from.", l->step,
                          l->steps, r->steps);
    if (l->pictures < 1 || l->pictures > r->count)
        return mebi__fail(j->err, MEBI_BAD_ARGUMENT, "%d pictures were saved, and %d are asked for.", l->pictures,
                          r->count);
    size_t count = (size_t)l->pictures * mebi__job_latent_elements(j);
    if (l->count != count || !l->values)
        return mebi__fail(j->err, MEBI_BAD_ARGUMENT, "The saved step has %zu numbers; it should have %zu.",
                          l->values ? l->count : (size_t)0, count);
    if (l->seed < 0 || l->seed > INT64_MAX - 64 || (r->seed >= 0 && r->seed != l->seed))
        return mebi__fail(j->err, MEBI_BAD_ARGUMENT,
                          "The saved step is of seed %lld and the request's seed is %lld. Ask for the one that was "
                          "saved.",
                          (long long)l->seed, (long long)r->seed);
    return MEBI_OK;
}

static mebi_status check_saved(mebi__job *j) {
    const mebi_latents *l = j->request->resume;
    if (!l) return MEBI_OK;
    MEBI_TRY(check_saved_shape(j, l));
    for (size_t i = 0; i < l->count; i++)
        if (!isfinite(l->values[i]))
            return mebi__fail(j->err, MEBI_BAD_ARGUMENT,
                              "Number %zu of the saved step is not finite: it is damaged. Begin anew.", i + 1);
    j->seed = l->seed;
    return MEBI_OK;
}

int mebi__job_steps_left(const mebi__job *j) {
    const mebi_latents *l = j->request->resume;
    return j->request->count * j->how.steps - (l ? l->pictures * l->step : 0);
}

/* ---- sizes and words ---- */

static int nearest(int pixels, int multiple, int largest) {
    int n = (pixels + multiple / 2) / multiple * multiple;
    if (n < multiple) n = multiple;
    return n < largest ? n : largest / multiple * multiple;
}

static mebi_status check_size(const mebi_engine *e, const mebi_request *r, mebi_error *err) {
    mebi_engine_info info = mebi_engine_describe(e);
    int m = info.size_multiple * (r->draft ? r->draft : 1), w = r->width, h = r->height;
    if (w < m || h < m || w > info.largest_side || h > info.largest_side)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "A picture of %dx%d asked for; each side can have %d to %d pixels.", w, h, m,
                          info.largest_side);
    if (w % m || h % m)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "A picture of %dx%d asked for; width and height must be multiples of %d%s. "
                          "The nearest is %dx%d.",
                          w, h, m, r->draft ? " for such a draft" : "", nearest(w, m, info.largest_side),
                          nearest(h, m, info.largest_side));
    return MEBI_OK;
}

/* Without a prompt there is nothing to encode, but as much to plan as for one of usual length. */
static mebi_status read_prompt(mebi__job *j, const char *text, mebi__prompt *p) {
    p->count = USUAL_TOKENS;
    if (!text || !j->engine->tokenizer) return MEBI_OK;
    MEBI_TRY(mebi__tokenizer_encode_prompt(j->engine->tokenizer, text, strlen(text), p->ids, &p->count,
                                           j->err));
    mebi__features *known = &j->engine->features;
    mebi__engine_lock(j->engine);
    /* A plan must not make a running job's features the oldest. */
    p->features = j->working ? mebi__features_find(known, p->ids, p->count)
                             : mebi__features_peek(known, p->ids, p->count);
    mebi__engine_unlock(j->engine);
    return MEBI_OK;
}

mebi_status mebi__job_check(mebi__job *j) {
    const mebi_request *r = j->request;
    int scale = mebi__vae_scale(&j->engine->pipeline.vae.config);
    if (!r->prompt && j->working)
        return mebi__fail(j->err, MEBI_BAD_ARGUMENT, "There is no prompt. Say what to draw.");
    MEBI_TRY(check_numbers(r, j->err));
    MEBI_TRY(check_size(j->engine, r, j->err));
    j->seed = r->seed >= 0 ? r->seed : (int64_t)(mebi__random_bits() & 0xffffffffu);
    j->width = r->draft ? r->width / r->draft : r->width;
    j->height = r->draft ? r->height / r->draft : r->height;
    j->how = (mebi__sampling){.latent_height = j->height / scale,
                              .latent_width = j->width / scale,
                              .steps = r->steps,
                              .stride = r->draft ? r->draft : 1,
                              .guidance = r->cfg,
                              .truncation = r->cfg_truncation,
                              .normalization = r->cfg_normalization,
                              .preview_every = mebi__job_previews(j)};
    MEBI_TRY(check_saved(j));
    j->guided = r->cfg > 0;
    MEBI_TRY(read_prompt(j, r->prompt, &j->positive));
    if (!j->guided) return MEBI_OK;
    return read_prompt(j, r->negative_prompt ? r->negative_prompt : "", &j->negative);
}

/* The stages of a job. Must never hold a stage's result on the device alone. */
#include "model/pipeline.h"
#include "model/residency.h"

int mebi__pipeline_multiple(const mebi__pipeline *p) {
    return mebi__vae_scale(&p->vae.config) * p->dit.config.patch;
}

/* 1 if x holds neither NaN nor infinity; 1 also after an error. Waits. */
static int is_finite(mebi__stream *s, mebi__view x, mebi__view flag) {
    int32_t found = 0;
    mebi__upload(s, flag, &found);
    mebi__check_finite(s, x, flag);
    mebi__download(s, flag, &found);
    return mebi__stream_wait(s) != MEBI_OK || !found;
}

static void demand_finite(mebi__stream *s, mebi__view x, mebi__view flag, const char *what) {
    if (!is_finite(s, x, flag))
        s->status = mebi__fail(s->err, MEBI_NUMERIC, "%s came out as not a number.", what);
}

/* 1 if what was computed with a part's packed matrices is to be done again with the plain ones: then the
 * stream is exact, for the caller to undo. */
static int begin_again(mebi__stream *s, const mebi__params *part, mebi__view x, mebi__view flag) {
    if (s->exact || !part->packed_bytes || is_finite(s, x, flag)) return 0;
    s->exact_runs++;
    return s->exact = 1;
}

void mebi__pipeline_encode(mebi__stream *s, const mebi__pipeline *p, const mebi__strategy *way,
                           const int32_t *ids, int count, float *features) {
    mebi__residency weights = {0};
    mebi__view flag = mebi__take1(s, MEBI__I32, 1);
    mebi__view x = mebi__take2(s, MEBI__F32, count, p->encoder.config.hidden);
    if (way->stream) mebi__residency_begin(&weights, s, p->prefetch, &p->encoder.params);
    mebi__qwen3_forward(s, &p->encoder, ids, count, x);
    if (begin_again(s, &p->encoder.params, x, flag)) {
        mebi__qwen3_forward(s, &p->encoder, ids, count, x);
        s->exact = 0;
    }
    demand_finite(s, x, flag, "The text encoder's features");
    mebi__download(s, x, features);
    mebi__stream_wait(s);
    mebi__residency_end(&weights, s);
    mebi__give(s, &x);
    mebi__give(s, &flag);
}

void mebi__pipeline_free_encoder(const mebi__pipeline *p) {
    mebi__params_rest(&p->encoder.params);
}

static void condition(mebi__stream *s, const mebi__pipeline *p, const mebi__sampling *how,
                      const float *features, int tokens, mebi__dit_prompt *out) {
    mebi__view x = mebi__take2(s, MEBI__F32, tokens, p->dit.config.caption_dim);
    mebi__upload(s, x, features);
    mebi__dit_prompt_take(s, &p->dit, x, how->latent_height, how->latent_width,
                          how->stride ? how->stride : 1, out);
    mebi__give(s, &x);
}

void mebi__pipeline_condition(mebi__stream *s, const mebi__pipeline *p, const mebi__sampling *how,
                              const float *positive, int tokens, const float *negative,
                              int negative_tokens, mebi__conditions *out) {
    mebi__residency weights;
    *out = (mebi__conditions){.guided = negative_tokens > 0};
    /* The layers that refine captions are large, never quantized, and not read again in this job. */
    mebi__residency_begin(&weights, s, NULL, &p->dit.params);
    condition(s, p, how, positive, tokens, &out->positive);
    if (out->guided) condition(s, p, how, negative, negative_tokens, &out->negative);
    mebi__residency_end(&weights, s);
}

void mebi__pipeline_release(mebi__stream *s, mebi__conditions *c) {
    if (c->guided) mebi__dit_prompt_give(s, &c->negative);
    mebi__dit_prompt_give(s, &c->positive);
    *c = (mebi__conditions){0};
}

/* The sampling of some pictures on its way. */
typedef struct denoising {
    const mebi__pipeline *p;
    const mebi__strategy *way;
    const mebi__sampling *how;
    const mebi__conditions *conditions;
    mebi__residency weights;
    mebi__view flag, x, out; /* x, out [n, C, h, w] */
} denoising;

/* out = the transformer's output for some pictures at this time, guided if the step is. more: 1 if another pass
 * follows. */
static void predict(mebi__stream *s, denoising *d, float time, int64_t first, int64_t count, int more) {
    const mebi__sampling *how = d->how;
    int guided =
        d->conditions->guided && how->guidance > 0 && !(how->truncation <= 1 && time > how->truncation);
    int together = guided && d->way->together;
    mebi__dit_step step;
    mebi__dit_step_take(s, &d->p->dit, time, &step);
    mebi__view out = mebi__view_rows(d->out, first, count), negative = {0};
    if (guided) negative = mebi__take(s, MEBI__F32, 4, out.shape.dim);
    mebi__dit_group group = {.m = &d->p->dit,
                             .step = &step,
                             .prompt = {&d->conditions->positive, &d->conditions->negative},
                             .prompts = 1 + together,
                             .latents = mebi__view_rows(d->x, first, count),
                             .out = {out, negative},
                             .few_rows = d->way->small_chunks};
    d->weights.more = more || (guided && !together);
    mebi__dit_forward_group(s, &group);
    if (guided && !together) {
        group.prompt[0] = &d->conditions->negative;
        group.out[0] = negative;
        d->weights.more = more;
        mebi__dit_forward_group(s, &group);
    }
    for (int64_t i = 0; guided && i < count; i++)
        mebi__guide(s, mebi__view_rows(out, i, 1), mebi__view_rows(negative, i, 1), how->guidance, how->normalization);
    mebi__give(s, &negative);
    mebi__dit_step_give(s, &step);
}

/* What came out as not a number is done again, picture by picture: none depends on the others of its group. */
static void mend(mebi__stream *s, denoising *d, float time) {
    const mebi__params *part = &d->p->dit.params;
    const int64_t n = d->x.shape.dim[0];
    if (is_finite(s, d->out, d->flag)) return;
    for (int64_t i = 0; i < n && s->status == MEBI_OK; i++)
        if (begin_again(s, part, mebi__view_rows(d->out, i, 1), d->flag)) {
            predict(s, d, time, i, 1, 0);
            s->exact = 0;
        }
    demand_finite(s, d->out, d->flag, "The transformer's velocity");
}

static void take_step(mebi__stream *s, denoising *d, float sigma, float next, int more) {
    const int64_t n = d->x.shape.dim[0], at_once = d->way->together ? n : 1;
    float time = mebi__sampler_time(&d->p->scheduler, sigma);
    for (int64_t i = 0; i < n && s->status == MEBI_OK; i += at_once)
        predict(s, d, time, i, at_once, more || i + at_once < n);
    mend(s, d, time);
    /* The model's output is the negated velocity. */
    mebi__combine(s, -(next - sigma), d->out, 1, d->x);
}

/* The model's output is not needed any more: it becomes the latent with all of its noise taken off at once. */
static void show(mebi__stream *s, denoising *d, float sigma, int step, const mebi__watch *watch) {
    mebi__combine(s, 1, d->x, sigma, d->out);
    for (int i = 0; i < (int)d->x.shape.dim[0] && s->status == MEBI_OK; i++) {
        mebi__download(s, mebi__view_rows(d->out, i, 1), watch->clean);
        if (mebi__stream_wait(s) == MEBI_OK) watch->preview(watch->context, step, i);
    }
}

static int is_shown(const mebi__sampling *how, int step) {
    return how->preview_every && step % how->preview_every == 0 && step < how->steps;
}

void mebi__pipeline_denoise(mebi__stream *s, const mebi__pipeline *p, const mebi__strategy *way,
                            const mebi__sampling *how, const mebi__conditions *c, float *latents, int n,
                            const mebi__watch *watch) {
    float sigma[MEBI__MAX_STEPS + 1];
    const int64_t shape[] = {n, p->dit.config.channels, how->latent_height, how->latent_width};
    denoising d = {.p = p, .way = way, .how = how, .conditions = c};
    d.flag = mebi__take1(s, MEBI__I32, 1);
    d.x = mebi__take(s, MEBI__F32, 4, shape);
    d.out = mebi__take(s, MEBI__F32, 4, shape);
    mebi__sampler_sigmas(&p->scheduler, how->steps, sigma);
    mebi__upload(s, d.x, latents);
    if (way->stream) mebi__residency_begin(&d.weights, s, p->prefetch, &p->dit.params);
    for (int i = how->first_step; i < how->steps && s->status == MEBI_OK; i++) {
        take_step(s, &d, sigma[i], sigma[i + 1], i + 1 < how->steps);
        for (int64_t k = 0; k < n && s->status == MEBI_OK; k++)
            mebi__stage(s, "latents", i + 1, mebi__view_as(mebi__view_rows(d.x, k, 1), 3, shape + 1));
        mebi__download(s, d.x, latents);
        if (mebi__stream_wait(s) == MEBI_OK && watch && watch->after_step) watch->after_step(watch->context, i + 1);
        if (watch && is_shown(how, i + 1)) show(s, &d, sigma[i + 1], i + 1, watch);
    }
    mebi__residency_end(&d.weights, s);
    mebi__give(s, &d.out);
    mebi__give(s, &d.x);
    mebi__give(s, &d.flag);
}

void mebi__pipeline_decode(mebi__stream *s, const mebi__pipeline *p, const mebi__strategy *way,
                           const float *latent, int64_t h, int64_t w, unsigned char *pixels) {
    int64_t scale = mebi__vae_scale(&p->vae.config);
    mebi__view flag = mebi__take1(s, MEBI__I32, 1);
    mebi__view z = mebi__take3(s, MEBI__F32, p->vae.config.latent_channels, h, w);
    mebi__view picture = mebi__take3(s, MEBI__F32, h * scale, w * scale, 3);
    mebi__upload(s, z, latent);
    mebi__vae_decode(s, &p->vae, way->vae, z, picture);
    demand_finite(s, picture, flag, "The decoded picture");
    mebi__view bytes = mebi__take3(s, MEBI__U8, h * scale, w * scale, 3);
    mebi__to_pixels(s, picture, bytes);
    mebi__download(s, bytes, pixels);
    mebi__stream_wait(s);
    mebi__give(s, &bytes);
    mebi__give(s, &picture);
    mebi__give(s, &z);
    mebi__give(s, &flag);
}

void mebi__pipeline_encode_picture(mebi__stream *s, const mebi__pipeline *p, const float *picture,
                                   int64_t height, int64_t width, float *latent) {
    int64_t scale = mebi__vae_scale(&p->vae.config);
    mebi__view flag = mebi__take1(s, MEBI__I32, 1);
    mebi__view x = mebi__take3(s, MEBI__F32, height, width, 3);
    mebi__view z =
        mebi__take3(s, MEBI__F32, p->vae.config.latent_channels, height / scale, width / scale);
    mebi__upload(s, x, picture);
    mebi__vae_encode(s, &p->vae, x, z);
    demand_finite(s, z, flag, "The encoded picture");
    mebi__download(s, z, latent);
    mebi__stream_wait(s);
    mebi__give(s, &z);
    mebi__give(s, &x);
    mebi__give(s, &flag);
}

/* The stages of a job. Must never hold a stage's result on the device alone. */
#include "model/pipeline.h"

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
    (void)way;
    mebi__view flag = mebi__take1(s, MEBI__I32, 1);
    mebi__view x = mebi__take2(s, MEBI__F32, count, p->encoder.config.hidden);
    mebi__qwen3_forward(s, &p->encoder, ids, count, x);
    if (begin_again(s, &p->encoder.params, x, flag)) {
        mebi__qwen3_forward(s, &p->encoder, ids, count, x);
        s->exact = 0;
    }
    demand_finite(s, x, flag, "The text encoder's features");
    mebi__download(s, x, features);
    mebi__stream_wait(s);
    mebi__give(s, &x);
    mebi__give(s, &flag);
}

static void condition(mebi__stream *s, const mebi__pipeline *p, const mebi__sampling *how,
                      const float *features, int tokens, mebi__dit_prompt *out) {
    mebi__view x = mebi__take2(s, MEBI__F32, tokens, p->dit.config.caption_dim);
    mebi__upload(s, x, features);
    mebi__dit_prompt_take(s, &p->dit, x, how->latent_height, how->latent_width, out);
    mebi__give(s, &x);
}

void mebi__pipeline_condition(mebi__stream *s, const mebi__pipeline *p, const mebi__sampling *how,
                              const float *positive, int tokens, const float *negative,
                              int negative_tokens, mebi__conditions *out) {
    *out = (mebi__conditions){.guided = negative_tokens > 0};
    condition(s, p, how, positive, tokens, &out->positive);
    if (out->guided) condition(s, p, how, negative, negative_tokens, &out->negative);
}

void mebi__pipeline_release(mebi__stream *s, mebi__conditions *c) {
    if (c->guided) mebi__dit_prompt_give(s, &c->negative);
    mebi__dit_prompt_give(s, &c->positive);
    *c = (mebi__conditions){0};
}

/* out = the transformer's output for this step, guided if the step is. */
static void predict(mebi__stream *s, const mebi__pipeline *p, const mebi__sampling *how,
                    const mebi__conditions *c, float time, mebi__view latent, mebi__view out) {
    mebi__dit_step step;
    mebi__dit_step_take(s, &p->dit, time, &step);
    mebi__dit_forward(s, &p->dit, &c->positive, &step, latent, out);
    int guided = c->guided && how->guidance > 0 && !(how->truncation <= 1 && time > how->truncation);
    if (guided) {
        mebi__view negative = mebi__take(s, MEBI__F32, 3, out.shape.dim);
        mebi__dit_forward(s, &p->dit, &c->negative, &step, latent, negative);
        mebi__guide(s, out, negative, how->guidance, how->normalization);
        mebi__give(s, &negative);
    }
    mebi__dit_step_give(s, &step);
}

void mebi__pipeline_denoise(mebi__stream *s, const mebi__pipeline *p, const mebi__strategy *way,
                            const mebi__sampling *how, const mebi__conditions *c, float *latent, int n,
                            void (*after_step)(void *context, int step), void *context) {
    (void)way, (void)n;
    float sigma[MEBI__MAX_STEPS + 1];
    int64_t channels = p->dit.config.channels, h = how->latent_height, w = how->latent_width;
    mebi__view flag = mebi__take1(s, MEBI__I32, 1);
    mebi__view x = mebi__take3(s, MEBI__F32, channels, h, w);
    mebi__view out = mebi__take3(s, MEBI__F32, channels, h, w);
    mebi__sampler_sigmas(&p->scheduler, how->steps, sigma);
    mebi__upload(s, x, latent);
    for (int i = how->first_step; i < how->steps && s->status == MEBI_OK; i++) {
        float time = mebi__sampler_time(&p->scheduler, sigma[i]);
        predict(s, p, how, c, time, x, out);
        if (begin_again(s, &p->dit.params, out, flag)) {
            predict(s, p, how, c, time, x, out);
            s->exact = 0;
        }
        demand_finite(s, out, flag, "The transformer's velocity");
        /* The model's output is the negated velocity. */
        mebi__combine(s, -(sigma[i + 1] - sigma[i]), out, 1, x);
        mebi__stage(s, "latents", i + 1, x);
        mebi__download(s, x, latent);
        if (mebi__stream_wait(s) == MEBI_OK && after_step) after_step(context, i + 1);
    }
    mebi__give(s, &out);
    mebi__give(s, &x);
    mebi__give(s, &flag);
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

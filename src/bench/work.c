/* The stages as they are timed. Must call the functions that a job calls: what is timed here is what a
 * picture costs. */
#include "bench/bench.h"

#include "base/rng.h"

static void upload(mebi__stream *s, mebi__view to, const void *from) {
    if (from) mebi__upload(s, to, from);
}

/* As a job does after each stage. */
static void look_for_nan(mebi__stream *s, mebi__bench_work *w, mebi__view x, mebi__view flag) {
    int32_t found = 0;
    mebi__upload(s, flag, &found);
    mebi__check_finite(s, x, flag);
    mebi__download(s, flag, &found);
    if (mebi__stream_wait(s) == MEBI_OK && found) w->not_finite = 1;
}

static void encode(mebi__stream *s, mebi__bench_work *w) {
    mebi__view flag = mebi__take1(s, MEBI__I32, 1);
    mebi__view x = mebi__take2(s, MEBI__F32, w->tokens, w->model.encoder.config.hidden);
    for (int i = 0; i < w->passes && s->status == MEBI_OK; i++) {
        w->begin(w);
        mebi__qwen3_forward(s, &w->model.encoder, w->ids, w->tokens, x);
        look_for_nan(s, w, x, flag);
        w->end(w);
    }
    mebi__give(s, &x);
    mebi__give(s, &flag);
}

/* The prompt's share, done once a picture, is not part of a step. */
static void step(mebi__stream *s, mebi__bench_work *w) {
    const mebi__dit *m = &w->model.dit;
    int64_t h = w->latent_height, width = w->latent_width;
    mebi__view flag = mebi__take1(s, MEBI__I32, 1);
    mebi__view latent = mebi__take3(s, MEBI__F32, m->config.channels, h, width);
    mebi__view out = mebi__take3(s, MEBI__F32, m->config.channels, h, width);
    mebi__view features = mebi__take2(s, MEBI__F32, w->tokens, m->config.caption_dim);
    mebi__dit_prompt prompt = {0};
    upload(s, latent, w->latent);
    upload(s, features, w->features);
    mebi__dit_prompt_take(s, m, features, h, width, 1, &prompt);
    mebi__stream_wait(s);
    for (int i = 0; i < w->passes && s->status == MEBI_OK; i++) {
        mebi__dit_step modulation = {0};
        w->begin(w);
        mebi__dit_step_take(s, m, 0.7f, &modulation);
        mebi__dit_forward(s, m, &prompt, &modulation, latent, out);
        mebi__dit_step_give(s, &modulation);
        look_for_nan(s, w, out, flag);
        w->end(w);
    }
    mebi__dit_prompt_give(s, &prompt);
    mebi__give(s, &features);
    mebi__give(s, &out);
    mebi__give(s, &latent);
    mebi__give(s, &flag);
}

static void decode(mebi__stream *s, mebi__bench_work *w) {
    const mebi__vae *m = &w->model.vae;
    int64_t h = w->latent_height, width = w->latent_width, scale = mebi__vae_scale(&m->config);
    mebi__view flag = mebi__take1(s, MEBI__I32, 1);
    mebi__view z = mebi__take3(s, MEBI__F32, m->config.latent_channels, h, width);
    mebi__view picture = mebi__take3(s, MEBI__F32, h * scale, width * scale, 3);
    upload(s, z, w->latent);
    for (int i = 0; i < w->passes && s->status == MEBI_OK; i++) {
        w->begin(w);
        mebi__vae_decode(s, m, w->way, z, picture);
        look_for_nan(s, w, picture, flag);
        mebi__view bytes = mebi__take3(s, MEBI__U8, h * scale, width * scale, 3);
        mebi__to_pixels(s, picture, bytes);
        if (w->pixels) mebi__download(s, bytes, w->pixels);
        mebi__stream_wait(s);
        mebi__give(s, &bytes);
        w->end(w);
    }
    mebi__give(s, &picture);
    mebi__give(s, &z);
    mebi__give(s, &flag);
}

void mebi__bench_pass(mebi__stream *s, mebi__bench_work *w) {
    if (w->stage == MEBI_BENCH_ENCODE) encode(s, w);
    else if (w->stage == MEBI_BENCH_STEP) step(s, w);
    else decode(s, w);
}

/* ---- host memory ---- */

static size_t channels_of(const mebi__bench_work *w) {
    return (size_t)(w->stage == MEBI_BENCH_STEP ? w->model.dit.config.channels
                                                : w->model.vae.config.latent_channels);
}

static size_t latent_elements(const mebi__bench_work *w) {
    return channels_of(w) * (size_t)(w->latent_height * w->latent_width);
}

static size_t feature_elements(const mebi__bench_work *w) {
    return (size_t)w->tokens * (size_t)w->model.dit.config.caption_dim;
}

static size_t pixel_bytes(const mebi__bench_work *w) {
    size_t scale = (size_t)mebi__vae_scale(&w->model.vae.config);
    return (size_t)(w->latent_height * w->latent_width) * scale * scale * 3;
}

size_t mebi__bench_host_bytes(const mebi__bench_work *w) {
    if (w->stage == MEBI_BENCH_ENCODE) return sizeof *w->ids * (size_t)w->tokens;
    if (w->stage == MEBI_BENCH_STEP)
        return sizeof(float) * (latent_elements(w) + feature_elements(w));
    return sizeof(float) * latent_elements(w) + pixel_bytes(w);
}

mebi_status mebi__bench_host_take(mebi__bench_work *w, mebi_error *err) {
    mebi__rng rng;
    int encode_only = w->stage == MEBI_BENCH_ENCODE, good = 1;
    mebi__rng_seed(&rng, 1);
    if (encode_only) {
        w->ids = mebi__alloc_array(MEBI__TAG_GENERAL, (size_t)w->tokens, sizeof *w->ids);
        uint32_t vocab = (uint32_t)w->model.encoder.config.vocab;
        for (int i = 0; w->ids && i < w->tokens; i++)
            w->ids[i] = (int32_t)(mebi__rng_next(&rng) % vocab);
        good = w->ids != NULL;
    } else {
        size_t n = latent_elements(w);
        w->latent = mebi__alloc_array(MEBI__TAG_GENERAL, n, sizeof *w->latent);
        if (w->latent) mebi__rng_normal(&rng, MEBI__RNG_TORCH_SCALAR, w->latent, n);
        good = w->latent != NULL;
    }
    if (good && w->stage == MEBI_BENCH_STEP) {
        size_t n = feature_elements(w);
        w->features = mebi__alloc_array(MEBI__TAG_GENERAL, n, sizeof *w->features);
        if (w->features) mebi__rng_normal(&rng, MEBI__RNG_TORCH_SCALAR, w->features, n);
        good = w->features != NULL;
    }
    if (good && w->stage == MEBI_BENCH_DECODE) {
        w->pixels = mebi__alloc(MEBI__TAG_OUTPUT, pixel_bytes(w));
        good = w->pixels != NULL;
    }
    if (good) return MEBI_OK;
    mebi__bench_host_give(w);
    return mebi__fail(err, MEBI_NO_MEMORY, "No memory for what a stage reads and writes.");
}

void mebi__bench_host_give(mebi__bench_work *w) {
    mebi__free(w->pixels);
    mebi__free(w->features);
    mebi__free(w->latent);
    mebi__free(w->ids);
    w->pixels = NULL;
    w->features = w->latent = NULL;
    w->ids = NULL;
}

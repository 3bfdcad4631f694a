/* The autoencoder. Each function takes the image it is given and hands back another: at any moment at
 * most three tensors of the current resolution are alive, which is what decides a job's peak. */
#include "model/vae.h"
#include "model/vae_strips.h"

#include <stdio.h>

static const mebi__view none = {0};
static const float norm_eps = 1e-6f;

/* ---- loading ---- */

static mebi__vae_conv load_conv(mebi__params *p, int out, int in, int size, const char *name) {
    return (mebi__vae_conv){mebi__param_conv(p, out, in, size, "%s.weight", name),
                            mebi__param_vector(p, out, "%s.bias", name)};
}

static mebi__vae_norm load_norm(mebi__params *p, int channels, const char *name) {
    return (mebi__vae_norm){mebi__param_vector(p, channels, "%s.weight", name),
                            mebi__param_vector(p, channels, "%s.bias", name)};
}

static mebi__vae_resnet load_resnet(mebi__params *p, int out, int in, const char *name) {
    mebi__vae_resnet r = {.in = in, .out = out};
    char part[160];
    snprintf(part, sizeof part, "%s.norm1", name);
    r.norm1 = load_norm(p, in, part);
    snprintf(part, sizeof part, "%s.conv1", name);
    r.conv1 = load_conv(p, out, in, 3, part);
    snprintf(part, sizeof part, "%s.norm2", name);
    r.norm2 = load_norm(p, out, part);
    snprintf(part, sizeof part, "%s.conv2", name);
    r.conv2 = load_conv(p, out, out, 3, part);
    snprintf(part, sizeof part, "%s.conv_shortcut", name);
    if (in != out) r.shortcut = load_conv(p, out, in, 1, part);
    return r;
}

static mebi__vae_middle load_middle(mebi__params *p, int c, const char *half) {
    mebi__vae_middle m;
    char name[120];
    snprintf(name, sizeof name, "%s.mid_block.resnets.0", half);
    m.before = load_resnet(p, c, c, name);
    snprintf(name, sizeof name, "%s.mid_block.resnets.1", half);
    m.after = load_resnet(p, c, c, name);
    snprintf(name, sizeof name, "%s.mid_block.attentions.0.group_norm", half);
    m.norm = load_norm(p, c, name);
    snprintf(name, sizeof name, "%s.mid_block.attentions.0", half);
    m.q_w = mebi__param_matrix(p, c, c, "%s.to_q.weight", name);
    m.q_b = mebi__param_vector(p, c, "%s.to_q.bias", name);
    m.k_w = mebi__param_matrix(p, c, c, "%s.to_k.weight", name);
    m.k_b = mebi__param_vector(p, c, "%s.to_k.bias", name);
    m.v_w = mebi__param_matrix(p, c, c, "%s.to_v.weight", name);
    m.v_b = mebi__param_vector(p, c, "%s.to_v.bias", name);
    m.o_w = mebi__param_matrix(p, c, c, "%s.to_out.0.weight", name);
    m.o_b = mebi__param_vector(p, c, "%s.to_out.0.bias", name);
    return m;
}

/* One level of a half: "decoder.up_blocks.1" with upsamplers, "encoder.down_blocks.1" with
 * downsamplers. */
static void load_level(mebi__params *p, mebi__vae_level *l, int in, int out, int resnets, int resampled,
                       const char *block, const char *sampler) {
    char name[140];
    l->resnets = resnets;
    for (int i = 0; i < resnets; i++) {
        snprintf(name, sizeof name, "%s.resnets.%d", block, i);
        l->resnet[i] = load_resnet(p, out, i ? out : in, name);
    }
    snprintf(name, sizeof name, "%s.%s.0.conv", block, sampler);
    if (resampled) l->resample = load_conv(p, out, out, 3, name);
}

static void load_decoder(mebi__params *p, mebi__vae_half *d, const mebi__vae_config *c) {
    int top = c->block_channels[c->levels - 1], in = top;
    d->in = load_conv(p, top, c->latent_channels, 3, "decoder.conv_in");
    d->middle = load_middle(p, top, "decoder");
    for (int i = 0; i < c->levels; i++) {
        char block[64];
        int out = c->block_channels[c->levels - 1 - i];
        snprintf(block, sizeof block, "decoder.up_blocks.%d", i);
        load_level(p, &d->level[i], in, out, c->layers_per_block + 1, i + 1 < c->levels, block,
                   "upsamplers");
        in = out;
    }
    d->norm_out = load_norm(p, in, "decoder.conv_norm_out");
    d->out = load_conv(p, 3, in, 3, "decoder.conv_out");
}

static void load_encoder(mebi__params *p, mebi__vae_half *e, const mebi__vae_config *c) {
    int in = c->block_channels[0];
    e->in = load_conv(p, in, 3, 3, "encoder.conv_in");
    for (int i = 0; i < c->levels; i++) {
        char block[64];
        int out = c->block_channels[i];
        snprintf(block, sizeof block, "encoder.down_blocks.%d", i);
        load_level(p, &e->level[i], in, out, c->layers_per_block, i + 1 < c->levels, block,
                   "downsamplers");
        in = out;
    }
    e->middle = load_middle(p, in, "encoder");
    e->norm_out = load_norm(p, in, "encoder.conv_norm_out");
    e->out = load_conv(p, 2 * c->latent_channels, in, 3, "encoder.conv_out");
}

mebi_status mebi__vae_load(mebi__vae *m, mebi__device *device, mebi__tensors *tensors,
                           const mebi__vae_config *config, int with_encoder, mebi_error *err) {
    *m = (mebi__vae){.config = *config, .has_encoder = with_encoder};
    mebi__params *p = &m->params;
    mebi__params_begin(p, &(mebi__loading){.device = device, .tensors = tensors}, MEBI__TAG_VAE, err);
    if (config->levels < 1 || config->levels > MEBI__VAE_LEVELS || config->layers_per_block < 1 ||
        config->layers_per_block >= MEBI__VAE_RESNETS)
        p->status = mebi__fail(err, MEBI_UNSUPPORTED,
                               "An autoencoder of %d levels with %d layers each; up to %d levels and "
                               "%d layers are supported.",
                               config->levels, config->layers_per_block, MEBI__VAE_LEVELS,
                               MEBI__VAE_RESNETS - 1);
    mebi__vae_half *half[2] = {&m->decoder, with_encoder ? &m->encoder : NULL};
    for (int i = 0; i < 2 && p->status == MEBI_OK; i++) {
        if (!half[i]) continue;
        half[i]->level =
            mebi__alloc_array(MEBI__TAG_VAE, (size_t)config->levels, sizeof *half[i]->level);
        if (!half[i]->level)
            p->status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for the autoencoder.");
        else if (i == 0) load_decoder(p, half[i], config);
        else load_encoder(p, half[i], config);
    }
    mebi_status status = mebi__params_end(p);
    if (status != MEBI_OK) mebi__vae_release(m);
    return status;
}

void mebi__vae_release(mebi__vae *m) {
    mebi__params_release(&m->params);
    mebi__free(m->decoder.level);
    mebi__free(m->encoder.level);
    *m = (mebi__vae){0};
}

int mebi__vae_scale(const mebi__vae_config *config) {
    return 1 << (config->levels - 1);
}

/* ---- pieces ---- */

static const mebi__conv_params same3 = {
    .stride = 1, .top = 1, .left = 1, .bottom = 1, .right = 1, .upsample = 1};
static const mebi__conv_params same1 = {.stride = 1, .upsample = 1};
static const mebi__conv_params doubling = {
    .stride = 1, .top = 1, .left = 1, .bottom = 1, .right = 1, .upsample = 2};
/* The encoder pads only below and to the right before it halves. */
static const mebi__conv_params halving = {.stride = 2, .bottom = 1, .right = 1, .upsample = 1};

/* y = norm(x), then silu if asked; y may be x. */
static void normalize(mebi__stream *s, mebi__view x, const mebi__vae_norm *norm, int groups, int silu,
                      mebi__view y) {
    mebi__view sums = mebi__take2(s, MEBI__F64, groups, 3);
    mebi__group_sums(s, x, 0, sums);
    mebi__group_norm(s, x, sums, norm->w, norm->b, norm_eps, silu, y);
    mebi__give(s, &sums);
}

/* *x becomes conv(*x), of another size; the old tensor is given back. */
static void replace_by_conv(mebi__stream *s, const mebi__vae_conv *conv, mebi__conv_params params,
                            mebi__view *x) {
    int64_t h = x->shape.dim[0] * params.upsample / params.stride;
    int64_t w = x->shape.dim[1] * params.upsample / params.stride;
    mebi__view y = mebi__take3(s, MEBI__F32, h, w, conv->b.shape.dim[0]);
    mebi__conv2d(s, *x, conv->w, conv->b, none, params, y);
    mebi__give(s, x);
    *x = y;
}

/* *x becomes shortcut(*x) + conv2(silu(norm2(conv1(silu(norm1(*x)))))). */
static void run_resnet(mebi__stream *s, const mebi__vae_resnet *r, int groups, mebi__view *x) {
    int64_t h = x->shape.dim[0], w = x->shape.dim[1];
    mebi__view a = mebi__take3(s, MEBI__F32, h, w, r->in);
    normalize(s, *x, &r->norm1, groups, 1, a);
    mebi__view b = mebi__take3(s, MEBI__F32, h, w, r->out);
    mebi__conv2d(s, a, r->conv1.w, r->conv1.b, none, same3, b);
    mebi__give(s, &a);
    if (r->in != r->out) replace_by_conv(s, &r->shortcut, same1, x);
    normalize(s, b, &r->norm2, groups, 1, b);
    mebi__conv2d(s, b, r->conv2.w, r->conv2.b, *x, same3, *x);
    mebi__give(s, &b);
    mebi__stream_submit(s);
}

/* x += o(attention(q, k, v)) over all pixels, one head as wide as the channels. */
static void attend(mebi__stream *s, const mebi__vae_middle *m, int groups, mebi__view x) {
    int64_t h = x.shape.dim[0], w = x.shape.dim[1], c = x.shape.dim[2], flat[2] = {h * w, c};
    mebi__view n3 = mebi__take3(s, MEBI__F32, h, w, c);
    mebi__view n = mebi__view_as(n3, 2, flat);
    mebi__view q = mebi__take2(s, MEBI__F32, h * w, c);
    mebi__view k = mebi__take2(s, MEBI__F32, h * w, c);
    mebi__view v = mebi__take2(s, MEBI__F32, h * w, c);
    normalize(s, x, &m->norm, groups, 0, n3);
    mebi__linear(s, n, m->q_w, m->q_b, q);
    mebi__linear(s, n, m->k_w, m->k_b, k);
    mebi__linear(s, n, m->v_w, m->v_b, v);
    mebi__attention(s, q, k, v, 1, 1, 0, n);
    mebi__linear(s, n, m->o_w, m->o_b, q);
    mebi__combine(s, 1, q, 1, mebi__view_as(x, 2, flat));
    mebi__give(s, &v);
    mebi__give(s, &k);
    mebi__give(s, &q);
    mebi__give(s, &n3);
    mebi__stream_submit(s);
}

static void run_middle(mebi__stream *s, const mebi__vae_middle *m, int groups, mebi__view *x) {
    run_resnet(s, &m->before, groups, x);
    attend(s, m, groups, *x);
    run_resnet(s, &m->after, groups, x);
}

static void run_level(mebi__stream *s, const mebi__vae_level *l, int groups,
                      mebi__conv_params resample, mebi__view *x) {
    for (int i = 0; i < l->resnets && s->status == MEBI_OK; i++)
        run_resnet(s, &l->resnet[i], groups, x);
    if (l->resample.w.buffer) replace_by_conv(s, &l->resample, resample, x);
}

/* [C, h, w] to [h, w, C], and back. */
static void to_channels_last(mebi__stream *s, mebi__view from, mebi__view to) {
    int64_t c = from.shape.dim[0], h = from.shape.dim[1], w = from.shape.dim[2];
    mebi__permute(s, from, (mebi__permute_params){.dim = {h, w, c}, .stride = {w, 1, h * w}}, to);
}

static void to_channels_first(mebi__stream *s, mebi__view from, mebi__view to) {
    int64_t c = to.shape.dim[0], h = to.shape.dim[1], w = to.shape.dim[2];
    int64_t stored = from.shape.dim[2]; /* may hold more channels than are taken */
    mebi__permute(s, from,
                  (mebi__permute_params){.dim = {c, h, w}, .stride = {1, w * stored, stored}}, to);
}

/* ---- the two halves ---- */

/* *latent becomes the last level's image. */
static void decode_whole(mebi__stream *s, const mebi__vae *m, mebi__view *latent, mebi__view picture) {
    const mebi__vae_config *c = &m->config;
    const mebi__vae_half *d = &m->decoder;
    mebi__view x = *latent;
    replace_by_conv(s, &d->in, same3, &x);
    mebi__stage(s, "vae.conv_in", -1, x);
    run_middle(s, &d->middle, c->groups, &x);
    mebi__stage(s, "vae.mid", -1, x);
    for (int i = 0; i < c->levels && s->status == MEBI_OK; i++) {
        run_level(s, &d->level[i], c->groups, doubling, &x);
        mebi__stage(s, "vae.up", i, x);
    }
    normalize(s, x, &d->norm_out, c->groups, 1, x);
    mebi__conv2d(s, x, d->out.w, d->out.b, none, same3, picture);
    mebi__stage(s, "decoded", -1, picture);
    mebi__stream_submit(s);
    *latent = x;
}

void mebi__vae_decode(mebi__stream *s, const mebi__vae *m, mebi__vae_way way, mebi__view latent,
                      mebi__view picture) {
    const mebi__vae_config *c = &m->config;
    int64_t h = latent.shape.dim[1], w = latent.shape.dim[2];
    mebi__view x = mebi__take3(s, MEBI__F32, h, w, c->latent_channels);
    to_channels_last(s, latent, x);
    mebi__affine(s, x, 1 / c->scaling, c->shift, x);
    if (way == MEBI__VAE_WHOLE) decode_whole(s, m, &x, picture);
    else mebi__vae_decode_strips(s, m, way, x, picture);
    mebi__give(s, &x);
}

void mebi__vae_encode(mebi__stream *s, const mebi__vae *m, mebi__view picture, mebi__view latent) {
    const mebi__vae_config *c = &m->config;
    const mebi__vae_half *e = &m->encoder;
    int64_t h = picture.shape.dim[0], w = picture.shape.dim[1];
    mebi__view x = mebi__take3(s, MEBI__F32, h, w, c->block_channels[0]);
    mebi__conv2d(s, picture, e->in.w, e->in.b, none, same3, x);
    for (int i = 0; i < c->levels && s->status == MEBI_OK; i++)
        run_level(s, &e->level[i], c->groups, halving, &x);
    run_middle(s, &e->middle, c->groups, &x);
    normalize(s, x, &e->norm_out, c->groups, 1, x);
    replace_by_conv(s, &e->out, same3, &x); /* means, then log variances */
    mebi__stage(s, "vae_encode.moments", -1, x);
    to_channels_first(s, x, latent);
    mebi__affine(s, latent, c->scaling, -c->shift * c->scaling, latent);
    mebi__give(s, &x);
    mebi__stream_submit(s);
}

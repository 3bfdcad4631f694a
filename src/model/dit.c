/* Z-Image's single-stream transformer: image and caption tokens refined apart, then as ONE sequence,
 * image first. Padding tokens are learned vectors and take part in attention. */
#include "model/dit.h"
#include "model/rope.h"

#include <math.h>

enum {
    MAX_FREQUENCIES = 2048, /* of the time embedding; the model has 256 */
    FFN_ROWS = 1152,        /* of one chunk: enough that reading the weights again costs nothing */
};

static const mebi__view none = {0};

/* ---- loading ---- */

static void load_block(mebi__params *p, mebi__dit_block *b, const mebi__dit_config *c,
                       const char *group, int i, int modulated) {
    int64_t d = c->dim, f = c->ffn_hidden;
    b->attention_norm1 = mebi__param_vector(p, d, "%s.%d.attention_norm1.weight", group, i);
    b->attention_norm2 = mebi__param_vector(p, d, "%s.%d.attention_norm2.weight", group, i);
    b->ffn_norm1 = mebi__param_vector(p, d, "%s.%d.ffn_norm1.weight", group, i);
    b->ffn_norm2 = mebi__param_vector(p, d, "%s.%d.ffn_norm2.weight", group, i);
    mebi__param_product(p, &b->q, d, d, "%s.%d.attention.to_q.weight", group, i);
    mebi__param_product(p, &b->k, d, d, "%s.%d.attention.to_k.weight", group, i);
    mebi__param_product(p, &b->v, d, d, "%s.%d.attention.to_v.weight", group, i);
    mebi__param_product(p, &b->o, d, d, "%s.%d.attention.to_out.0.weight", group, i);
    const mebi__matrix *attention[] = {&b->q, &b->k, &b->v}, *ffn[] = {&b->w1, &b->w3};
    for (int k = 0; k < 3; k++)
        mebi__param_fold(p, attention[k], "%s.%d.attention_norm1.weight", group, i);
    b->norm_q = mebi__param_vector(p, c->head_dim, "%s.%d.attention.norm_q.weight", group, i);
    b->norm_k = mebi__param_vector(p, c->head_dim, "%s.%d.attention.norm_k.weight", group, i);
    mebi__param_product(p, &b->w1, f, d, "%s.%d.feed_forward.w1.weight", group, i);
    mebi__param_product(p, &b->w2, d, f, "%s.%d.feed_forward.w2.weight", group, i);
    mebi__param_product(p, &b->w3, f, d, "%s.%d.feed_forward.w3.weight", group, i);
    for (int k = 0; k < 2; k++) mebi__param_fold(p, ffn[k], "%s.%d.ffn_norm1.weight", group, i);
    mebi__param_smooth(p, &b->w1, &b->w3, &b->w2);
    if (!modulated) return;
    b->modulation_w =
        mebi__param_matrix(p, 4 * d, c->adaln_dim, "%s.%d.adaLN_modulation.0.weight", group, i);
    b->modulation_b = mebi__param_vector(p, 4 * d, "%s.%d.adaLN_modulation.0.bias", group, i);
}

static void load_ends(mebi__params *p, mebi__dit *m) {
    const mebi__dit_config *c = &m->config;
    int64_t d = c->dim, inputs = (int64_t)c->channels * c->patch * c->patch;
    m->x_embed_w = mebi__param_matrix(p, d, inputs, "all_x_embedder.%d-1.weight", c->patch);
    m->x_embed_b = mebi__param_vector(p, d, "all_x_embedder.%d-1.bias", c->patch);
    m->cap_norm = mebi__param_vector(p, c->caption_dim, "cap_embedder.0.weight");
    m->cap_embed_w = mebi__param_matrix(p, d, c->caption_dim, "cap_embedder.1.weight");
    m->cap_embed_b = mebi__param_vector(p, d, "cap_embedder.1.bias");
    m->time_w1 = mebi__param_matrix(p, c->time_hidden, c->time_frequencies, "t_embedder.mlp.0.weight");
    m->time_b1 = mebi__param_vector(p, c->time_hidden, "t_embedder.mlp.0.bias");
    m->time_w2 = mebi__param_matrix(p, c->adaln_dim, c->time_hidden, "t_embedder.mlp.2.weight");
    m->time_b2 = mebi__param_vector(p, c->adaln_dim, "t_embedder.mlp.2.bias");
    m->ones = mebi__param_ones(p, d);
    m->x_pad = mebi__param_vector(p, d, "x_pad_token");
    m->cap_pad = mebi__param_vector(p, d, "cap_pad_token");
    m->final_modulation_w = mebi__param_matrix(
        p, d, c->adaln_dim, "all_final_layer.%d-1.adaLN_modulation.1.weight", c->patch);
    m->final_modulation_b =
        mebi__param_vector(p, d, "all_final_layer.%d-1.adaLN_modulation.1.bias", c->patch);
    m->final_w = mebi__param_matrix(p, inputs, d, "all_final_layer.%d-1.linear.weight", c->patch);
    m->final_b = mebi__param_vector(p, inputs, "all_final_layer.%d-1.linear.bias", c->patch);
}

mebi_status mebi__dit_load(mebi__dit *m, const mebi__loading *how,
                             const mebi__dit_config *config, mebi_error *err) {
    *m = (mebi__dit){.config = *config};
    mebi__params *p = &m->params;
    mebi__params_begin(p, how, MEBI__TAG_DIT, err);
    size_t refiners = (size_t)config->refiner_layers, layers = (size_t)config->layers;
    m->layer = mebi__alloc_array(MEBI__TAG_DIT, 2 * refiners + layers, sizeof *m->layer);
    if (!m->layer)
        p->status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for the diffusion transformer.");
    else if (config->time_frequencies % 2 || config->time_frequencies > MAX_FREQUENCIES)
        p->status = mebi__fail(err, MEBI_UNSUPPORTED,
                               "The time embedding has %d frequencies; an even number up to %d is "
                               "supported.",
                               config->time_frequencies, MAX_FREQUENCIES);
    else {
        m->noise_refiner = m->layer + layers;
        m->context_refiner = m->noise_refiner + refiners;
        load_ends(p, m);
    }
    for (int i = 0; i < config->refiner_layers && p->status == MEBI_OK; i++)
        load_block(p, &m->noise_refiner[i], config, "noise_refiner", i, 1);
    for (int i = 0; i < config->layers && p->status == MEBI_OK; i++)
        load_block(p, &m->layer[i], config, "layers", i, 1);
    /* The context refiner runs once a prompt and every token reads its result: never quantized. */
    p->how.precision = MEBI__PRECISION_PLAIN;
    for (int i = 0; i < config->refiner_layers && p->status == MEBI_OK; i++)
        load_block(p, &m->context_refiner[i], config, "context_refiner", i, 0);
    p->how.precision = how->precision;
    mebi_status status = mebi__params_end(p);
    if (status != MEBI_OK) mebi__dit_release(m);
    return status;
}

void mebi__dit_release(mebi__dit *m) {
    mebi__params_release(&m->params);
    mebi__free(m->layer);
    *m = (mebi__dit){0};
}

/* ---- sizes and positions ---- */

static int64_t padded(int64_t n) {
    return (n + MEBI__SEQUENCE_MULTIPLE - 1) / MEBI__SEQUENCE_MULTIPLE * MEBI__SEQUENCE_MULTIPLE;
}

/* Tokens of an image of h x w latent pixels. */
static int64_t image_tokens(const mebi__dit_config *c, int64_t h, int64_t w) {
    return padded((h / c->patch) * (w / c->patch));
}

typedef struct layout {
    int64_t rows, columns;   /* of image tokens */
    int64_t image, caption;  /* padded tokens */
} layout;

/* Image token: (1 + T, row, column); image padding: (0, 0, 0); caption token i: (1 + i, 0, 0). */
static void token_position(const void *context, int64_t token, int32_t p[MEBI__ROPE_AXES]) {
    const layout *l = context;
    if (token >= l->image) p[0] = (int32_t)(1 + token - l->image);
    else if (token < l->rows * l->columns) {
        p[0] = (int32_t)(1 + l->caption);
        p[1] = (int32_t)(token / l->columns);
        p[2] = (int32_t)(token % l->columns);
    }
}

/* ---- one block ---- */

/* The four vectors of one block: rows of length D in the order of the reference's chunks. */
typedef struct modulation {
    mebi__view scale_attention, gate_attention, scale_ffn, gate_ffn; /* [D] or none */
} modulation;

static modulation modulation_of(mebi__view all, int64_t index, int64_t d) {
    mebi__view four = mebi__view_as(mebi__view_rows(all, index, 1), 2, (int64_t[]){4, d});
    mebi__view v[4];
    for (int i = 0; i < 4; i++) v[i] = mebi__view_as(mebi__view_rows(four, i, 1), 1, &d);
    return (modulation){v[0], v[1], v[2], v[3]};
}

/* x += tanh(gate) * norm2(attention(norm1(x) * (1 + scale))) */
static void attend(mebi__stream *s, const mebi__dit *m, const mebi__dit_block *b,
                   const modulation *mod, mebi__view cos, mebi__view sin, mebi__view x) {
    const mebi__dit_config *c = &m->config;
    int64_t tokens = x.shape.dim[0], d = c->dim;
    const float head_eps = 1e-5f; /* the reference fixes it, whatever norm_eps is */
    mebi__view a = mebi__take2(s, MEBI__F32, tokens, d);
    mebi__view q = mebi__take2(s, MEBI__F32, tokens, d);
    mebi__view k = mebi__take2(s, MEBI__F32, tokens, d);
    mebi__view v = mebi__take2(s, MEBI__F32, tokens, d);
    mebi__view rows = mebi__rows_over(s, &b->q, a);
    mebi__rms_norm(s, x, mebi__rows_norm(rows, b->attention_norm1, m->ones), mod->scale_attention,
                   c->norm_eps, rows);
    mebi__product(s, rows, &b->q, q);
    mebi__product(s, rows, &b->k, k);
    mebi__product(s, rows, &b->v, v);
    mebi__rows_give(s, &rows);
    mebi__norm_rope(s, q, c->heads, b->norm_q, head_eps, cos, sin, MEBI__ROPE_PAIRS);
    mebi__norm_rope(s, k, c->heads, b->norm_k, head_eps, cos, sin, MEBI__ROPE_PAIRS);
    mebi__attention(s, q, k, v, c->heads, c->heads, 0, a);
    rows = mebi__rows_take(s, &b->o, a);
    mebi__product(s, rows, &b->o, q);
    mebi__rows_give(s, &rows);
    mebi__gated_residual(s, x, q, b->attention_norm2, c->norm_eps, mod->gate_attention);
    mebi__give(s, &v);
    mebi__give(s, &k);
    mebi__give(s, &q);
    mebi__give(s, &a);
}

/* x += tanh(gate) * norm2(w2(silu(w1 a) * w3 a)), a = norm1(x) * (1 + scale) */
static void feed_forward(mebi__stream *s, const mebi__dit *m, const mebi__dit_block *b,
                         const modulation *mod, mebi__view x) {
    const mebi__dit_config *c = &m->config;
    int64_t tokens = x.shape.dim[0], chunks = (tokens + FFN_ROWS - 1) / FFN_ROWS;
    int64_t chunk = (tokens + chunks - 1) / chunks;
    mebi__view a = mebi__take2(s, MEBI__F32, tokens, c->dim);
    /* In chunks: no row knows another, and the wide tensors stay small. */
    for (int64_t first = 0; first < tokens && s->status == MEBI_OK; first += chunk) {
        int64_t count = tokens - first < chunk ? tokens - first : chunk;
        mebi__view part = mebi__view_rows(a, first, count);
        mebi__view h1 = mebi__take2(s, MEBI__F32, count, c->ffn_hidden);
        mebi__view h3 = mebi__take2(s, MEBI__F32, count, c->ffn_hidden);
        mebi__view rows = mebi__rows_over(s, &b->w1, part);
        mebi__rms_norm(s, mebi__view_rows(x, first, count), mebi__rows_norm(rows, b->ffn_norm1, m->ones),
                       mod->scale_ffn, c->norm_eps, rows);
        mebi__product(s, rows, &b->w1, h1);
        mebi__product(s, rows, &b->w3, h3);
        mebi__rows_give(s, &rows);
        rows = mebi__rows_over(s, &b->w2, h1);
        mebi__swiglu(s, h1, h3, rows);
        mebi__give(s, &h3);
        mebi__product(s, rows, &b->w2, part);
        mebi__rows_give(s, &rows);
        mebi__give(s, &h1);
    }
    mebi__gated_residual(s, x, a, b->ffn_norm2, c->norm_eps, mod->gate_ffn);
    mebi__give(s, &a);
}

static void run_block(mebi__stream *s, const mebi__dit *m, const mebi__dit_block *b,
                      const modulation *mod, mebi__view cos, mebi__view sin, mebi__view x) {
    attend(s, m, b, mod, cos, sin, x);
    feed_forward(s, m, b, mod, x);
    mebi__stream_submit(s);
}

/* ---- once a prompt ---- */

/* Embedded caption: norm and linear on the features' rows, the pad token on the rest. */
static void embed_caption(mebi__stream *s, const mebi__dit *m, mebi__view features,
                          mebi__view caption) {
    int64_t n = features.shape.dim[0], total = caption.shape.dim[0];
    mebi__view a = mebi__take2(s, MEBI__F32, n, m->config.caption_dim);
    mebi__rms_norm(s, features, m->cap_norm, none, m->config.norm_eps, a);
    mebi__linear(s, a, m->cap_embed_w, m->cap_embed_b, mebi__view_rows(caption, 0, n));
    if (total > n) mebi__fill_rows(s, m->cap_pad, mebi__view_rows(caption, n, total - n));
    mebi__give(s, &a);
}

void mebi__dit_prompt_take(mebi__stream *s, const mebi__dit *m, mebi__view features, int64_t h,
                           int64_t w, mebi__dit_prompt *out) {
    const mebi__dit_config *c = &m->config;
    layout l = {h / c->patch, w / c->patch, image_tokens(c, h, w),
                padded(features.shape.dim[0])};
    int64_t tokens = l.image + l.caption, half = c->head_dim / 2;
    out->caption = mebi__take2(s, MEBI__F32, l.caption, c->dim);
    out->cos = mebi__take2(s, MEBI__F32, tokens, half);
    out->sin = mebi__take2(s, MEBI__F32, tokens, half);
    mebi__rope angles = {.axes = 3,
                         .dims = {c->axes_dim[0], c->axes_dim[1], c->axes_dim[2]},
                         .theta = c->rope_theta};
    mebi__rope_fill(s, &angles, token_position, &l, out->cos, out->sin);
    embed_caption(s, m, features, out->caption);
    mebi__stage(s, "dit.cap_embedder", -1, out->caption);
    const modulation plain = {0};
    for (int i = 0; i < c->refiner_layers && s->status == MEBI_OK; i++) {
        run_block(s, m, &m->context_refiner[i], &plain, mebi__view_rows(out->cos, l.image, l.caption),
                  mebi__view_rows(out->sin, l.image, l.caption), out->caption);
        mebi__stage(s, "dit.context_refiner", i, out->caption);
    }
}

void mebi__dit_prompt_give(mebi__stream *s, mebi__dit_prompt *prompt) {
    mebi__give(s, &prompt->sin);
    mebi__give(s, &prompt->cos);
    mebi__give(s, &prompt->caption);
}

/* ---- once a step ---- */

/* cos then sin of scaled time times frequencies, all rounded to f32 where the reference does. */
static void upload_time_features(mebi__stream *s, const mebi__dit_config *c, float time,
                                 mebi__view to) {
    float features[MAX_FREQUENCIES];
    int half = c->time_frequencies / 2;
    float scaled = time * c->time_scale;
    for (int i = 0; i < half; i++) {
        float exponent = -(float)log(10000.0) * (float)i / (float)half;
        float angle = scaled * (float)exp(exponent);
        features[i] = (float)cos(angle);
        features[half + i] = (float)sin(angle);
    }
    mebi__upload(s, to, features);
}

void mebi__dit_step_take(mebi__stream *s, const mebi__dit *m, float time, mebi__dit_step *out) {
    const mebi__dit_config *c = &m->config;
    int64_t d = c->dim, blocks = (int64_t)c->refiner_layers + c->layers;
    out->block = mebi__take2(s, MEBI__F32, blocks, 4 * d);
    out->final = mebi__take2(s, MEBI__F32, 1, d);
    mebi__view features = mebi__take2(s, MEBI__F32, 1, c->time_frequencies);
    mebi__view hidden = mebi__take2(s, MEBI__F32, 1, c->time_hidden);
    mebi__view t = mebi__take2(s, MEBI__F32, 1, c->adaln_dim);
    upload_time_features(s, c, time, features);
    mebi__linear(s, features, m->time_w1, m->time_b1, hidden);
    mebi__silu(s, hidden, hidden);
    mebi__linear(s, hidden, m->time_w2, m->time_b2, t);
    mebi__stage(s, "dit.t_emb", -1, t);
    for (int64_t i = 0; i < blocks; i++) {
        const mebi__dit_block *b =
            i < c->refiner_layers ? &m->noise_refiner[i] : &m->layer[i - c->refiner_layers];
        mebi__linear(s, t, b->modulation_w, b->modulation_b, mebi__view_rows(out->block, i, 1));
    }
    mebi__silu(s, t, t); /* before the final layer's linear only */
    mebi__linear(s, t, m->final_modulation_w, m->final_modulation_b, out->final);
    mebi__give(s, &t);
    mebi__give(s, &hidden);
    mebi__give(s, &features);
}

void mebi__dit_step_give(mebi__stream *s, mebi__dit_step *step) {
    mebi__give(s, &step->final);
    mebi__give(s, &step->block);
}

/* ---- the pass ---- */

/* Latent [C, h, w] in patches: token (row, column) holds (patch row, patch column, channel), channel
 * fastest. */
static void patchify(mebi__stream *s, const mebi__dit_config *c, mebi__view latent,
                     mebi__view tokens) {
    int64_t h = latent.shape.dim[1], w = latent.shape.dim[2], p = c->patch;
    mebi__permute(s, latent,
                  (mebi__permute_params){.dim = {h / p, w / p, p, p, c->channels},
                                         .stride = {p * w, p, w, 1, h * w}},
                  tokens);
}

static void unpatchify(mebi__stream *s, const mebi__dit_config *c, mebi__view tokens,
                       mebi__view latent) {
    int64_t h = latent.shape.dim[1], w = latent.shape.dim[2], p = c->patch, n = c->channels;
    int64_t token = p * p * n;
    mebi__permute(s, tokens,
                  (mebi__permute_params){.dim = {n, h / p, p, w / p, p},
                                         .stride = {1, w / p * token, p * n, token, n}},
                  latent);
}

static void embed_image(mebi__stream *s, const mebi__dit *m, mebi__view latent, mebi__view x) {
    const mebi__dit_config *c = &m->config;
    int64_t n = latent.shape.dim[1] / c->patch * (latent.shape.dim[2] / c->patch);
    int64_t total = x.shape.dim[0];
    mebi__view patches = mebi__take2(s, MEBI__F32, n, (int64_t)c->channels * c->patch * c->patch);
    patchify(s, c, latent, patches);
    mebi__linear(s, patches, m->x_embed_w, m->x_embed_b, mebi__view_rows(x, 0, n));
    if (total > n) mebi__fill_rows(s, m->x_pad, mebi__view_rows(x, n, total - n));
    mebi__give(s, &patches);
}

/* linear(norm(x) * (1 + scale)), image tokens only, back to the latent's layout. */
static void final_layer(mebi__stream *s, const mebi__dit *m, mebi__view scale, mebi__view x,
                        mebi__view out) {
    const mebi__dit_config *c = &m->config;
    int64_t d = c->dim, n = out.shape.dim[1] / c->patch * (out.shape.dim[2] / c->patch);
    mebi__view tokens = mebi__take2(s, MEBI__F32, n, (int64_t)c->channels * c->patch * c->patch);
    mebi__view image = mebi__view_rows(x, 0, n);
    mebi__layer_norm(s, image, mebi__view_as(scale, 1, &d), 1e-6f, image);
    mebi__linear(s, image, m->final_w, m->final_b, tokens);
    mebi__stage(s, "dit.final_layer", -1, tokens);
    unpatchify(s, c, tokens, out);
    mebi__give(s, &tokens);
}

void mebi__dit_forward(mebi__stream *s, const mebi__dit *m, const mebi__dit_prompt *prompt,
                       const mebi__dit_step *step, mebi__view latent, mebi__view out) {
    const mebi__dit_config *c = &m->config;
    int64_t image = image_tokens(c, latent.shape.dim[1], latent.shape.dim[2]);
    int64_t caption = prompt->caption.shape.dim[0];
    mebi__view x = mebi__take2(s, MEBI__F32, image + caption, c->dim);
    if (s->status != MEBI_OK) return;
    mebi__view image_rows = mebi__view_rows(x, 0, image);
    embed_image(s, m, latent, image_rows);
    mebi__stage(s, "dit.x_embedder", -1, image_rows);
    for (int i = 0; i < c->refiner_layers && s->status == MEBI_OK; i++) {
        modulation mod = modulation_of(step->block, i, c->dim);
        run_block(s, m, &m->noise_refiner[i], &mod, mebi__view_rows(prompt->cos, 0, image),
                  mebi__view_rows(prompt->sin, 0, image), image_rows);
        mebi__stage(s, "dit.noise_refiner", i, image_rows);
    }
    mebi__copy(s, prompt->caption, mebi__view_rows(x, image, caption));
    for (int i = 0; i < c->layers && s->status == MEBI_OK; i++) {
        modulation mod = modulation_of(step->block, c->refiner_layers + i, c->dim);
        run_block(s, m, &m->layer[i], &mod, prompt->cos, prompt->sin, x);
        mebi__stage(s, "dit.layers", i, x);
    }
    final_layer(s, m, step->final, x, out);
    mebi__stage(s, "dit.output", -1, out);
    mebi__give(s, &x);
    mebi__stream_submit(s);
}

/* Z-Image's single-stream transformer: image and caption tokens refined apart, then as ONE sequence,
 * image first. Padding tokens are learned vectors and take part in attention. */
#include "model/dit.h"
#include "model/rope.h"

#include <math.h>

enum {
    MAX_FREQUENCIES = 2048, /* of the time embedding; the model has 256 */
    MANY_ROWS = 1152,       /* of one chunk: enough that reading the weights again costs nothing */
    FEW_ROWS = 256,         /* the same where memory is short */
};

static const mebi__view none = {0};

/* ---- loading ---- */

static void load_block(mebi__params *p, mebi__dit_block *b, const mebi__dit_config *c,
                       const char *group, int i, int modulated) {
    int64_t d = c->dim, f = c->ffn_hidden;
    mebi__params_begin_layer(p, !modulated);
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
    int64_t stride;          /* of their positions */
    int64_t image, caption;  /* padded tokens */
} layout;

/* Image token: (1 + T, row, column); image padding: (0, 0, 0); caption token i: (1 + i, 0, 0). */
static void token_position(const void *context, int64_t token, int32_t p[MEBI__ROPE_AXES]) {
    const layout *l = context;
    if (token >= l->image) p[0] = (int32_t)(1 + token - l->image);
    else if (token < l->rows * l->columns) {
        p[0] = (int32_t)(1 + l->caption);
        p[1] = (int32_t)(token / l->columns * l->stride);
        p[2] = (int32_t)(token % l->columns * l->stride);
    }
}

/* ---- one block ---- */

/* The four vectors of one block: rows of length D in the order of the reference's chunks. */
typedef struct modulation {
    mebi__view scale_attention, gate_attention, scale_ffn, gate_ffn; /* [D] or none */
} modulation;

/* A block's, from the step's time. */
static void modulate(mebi__stream *s, const mebi__dit_block *b, const mebi__dit_step *step, modulation *out) {
    int64_t d = step->block.shape.dim[1] / 4;
    mebi__linear(s, step->time, b->modulation_w, b->modulation_b, step->block);
    mebi__view four = mebi__view_as(step->block, 2, (int64_t[]){4, d});
    mebi__view v[4];
    for (int i = 0; i < 4; i++) v[i] = mebi__view_as(mebi__view_rows(four, i, 1), 1, &d);
    *out = (modulation){v[0], v[1], v[2], v[3]};
}

/* A block at work: its weights, vectors and tokens' angles. */
typedef struct block_run {
    const mebi__dit *m;
    const mebi__dit_block *b;
    modulation mod;
    mebi__view cos, sin; /* [tokens, head_dim/2] */
    int64_t chunk;       /* rows; no row but as a key knows another, so that wide tensors can stay small */
} block_run;

static int64_t chunk_of(int64_t tokens, int few) {
    const int64_t most = few ? FEW_ROWS : MANY_ROWS, chunks = (tokens + most - 1) / most;
    return (tokens + chunks - 1) / chunks;
}

/* norm(x) * (1 + scale) of some rows, for products with q, k and v; in `a` [count, D] or quantized. Given back
 * with mebi__rows_give. */
static mebi__view attention_rows(mebi__stream *s, const block_run *r, mebi__view x, mebi__view a) {
    mebi__view rows = mebi__rows_over(s, &r->b->q, a);
    mebi__rms_norm(s, x, mebi__rows_norm(rows, r->b->attention_norm1, r->m->ones), r->mod.scale_attention,
                   r->m->config.norm_eps, rows);
    return rows;
}

/* The reference fixes it for heads, whatever norm_eps is. */
static const float head_eps = 1e-5f;

/* k, v [tokens, D] of all rows of x. */
static void make_keys(mebi__stream *s, const block_run *r, mebi__view x, mebi__view k, mebi__view v) {
    const mebi__dit_config *c = &r->m->config;
    int64_t tokens = x.shape.dim[0];
    for (int64_t first = 0; first < tokens && s->status == MEBI_OK; first += r->chunk) {
        int64_t count = tokens - first < r->chunk ? tokens - first : r->chunk;
        mebi__view a = mebi__take2(s, MEBI__F32, count, c->dim);
        mebi__view rows = attention_rows(s, r, mebi__view_rows(x, first, count), a);
        mebi__product(s, rows, &r->b->k, mebi__view_rows(k, first, count));
        mebi__product(s, rows, &r->b->v, mebi__view_rows(v, first, count));
        mebi__rows_give(s, &rows);
        mebi__give(s, &a);
    }
    mebi__norm_rope(s, k, c->heads, r->b->norm_k, head_eps, r->cos, r->sin, MEBI__ROPE_PAIRS);
}

/* x += tanh(gate) * norm2(attention(norm1(x) * (1 + scale))) */
static void attend(mebi__stream *s, const block_run *r, mebi__view x) {
    const mebi__dit_config *c = &r->m->config;
    int64_t tokens = x.shape.dim[0], d = c->dim;
    mebi__view k = mebi__take2(s, MEBI__F32, tokens, d);
    mebi__view v = mebi__take2(s, MEBI__F32, tokens, d);
    make_keys(s, r, x, k, v);
    for (int64_t first = 0; first < tokens && s->status == MEBI_OK; first += r->chunk) {
        int64_t count = tokens - first < r->chunk ? tokens - first : r->chunk;
        mebi__view part = mebi__view_rows(x, first, count);
        mebi__view a = mebi__take2(s, MEBI__F32, count, d);
        mebi__view q = mebi__take2(s, MEBI__F32, count, d);
        mebi__view rows = attention_rows(s, r, part, a);
        mebi__product(s, rows, &r->b->q, q);
        mebi__rows_give(s, &rows);
        mebi__norm_rope(s, q, c->heads, r->b->norm_q, head_eps, mebi__view_rows(r->cos, first, count),
                        mebi__view_rows(r->sin, first, count), MEBI__ROPE_PAIRS);
        mebi__attention(s, q, k, v, c->heads, c->heads, 0, a);
        rows = mebi__rows_take(s, &r->b->o, a);
        mebi__product(s, rows, &r->b->o, q);
        mebi__rows_give(s, &rows);
        mebi__gated_residual(s, part, q, r->b->attention_norm2, c->norm_eps, r->mod.gate_attention);
        mebi__give(s, &q);
        mebi__give(s, &a);
    }
    mebi__give(s, &v);
    mebi__give(s, &k);
}

/* x += tanh(gate) * norm2(w2(silu(w1 a) * w3 a)), a = norm1(x) * (1 + scale) */
static void feed_forward(mebi__stream *s, const block_run *r, mebi__view x) {
    const mebi__dit_config *c = &r->m->config;
    const mebi__dit_block *b = r->b;
    int64_t tokens = x.shape.dim[0];
    for (int64_t first = 0; first < tokens && s->status == MEBI_OK; first += r->chunk) {
        int64_t count = tokens - first < r->chunk ? tokens - first : r->chunk;
        mebi__view part = mebi__view_rows(x, first, count);
        mebi__view a = mebi__take2(s, MEBI__F32, count, c->dim);
        mebi__view h1 = mebi__take2(s, MEBI__F32, count, c->ffn_hidden);
        mebi__view h3 = mebi__take2(s, MEBI__F32, count, c->ffn_hidden);
        mebi__view rows = mebi__rows_over(s, &b->w1, a);
        mebi__rms_norm(s, part, mebi__rows_norm(rows, b->ffn_norm1, r->m->ones), r->mod.scale_ffn,
                       c->norm_eps, rows);
        mebi__product(s, rows, &b->w1, h1);
        mebi__product(s, rows, &b->w3, h3);
        mebi__rows_give(s, &rows);
        rows = mebi__rows_over(s, &b->w2, h1);
        mebi__swiglu(s, h1, h3, rows);
        mebi__give(s, &h3);
        mebi__product(s, rows, &b->w2, a);
        mebi__rows_give(s, &rows);
        mebi__give(s, &h1);
        mebi__gated_residual(s, part, a, b->ffn_norm2, c->norm_eps, r->mod.gate_ffn);
        mebi__give(s, &a);
    }
}

static void run_block(mebi__stream *s, block_run r, int few, mebi__view x) {
    r.chunk = chunk_of(x.shape.dim[0], few);
    attend(s, &r, x);
    feed_forward(s, &r, x);
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
                           int64_t w, int stride, mebi__dit_prompt *out) {
    const mebi__dit_config *c = &m->config;
    layout l = {h / c->patch, w / c->patch, stride, image_tokens(c, h, w),
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
    block_run run = {.m = m,
                     .cos = mebi__view_rows(out->cos, l.image, l.caption),
                     .sin = mebi__view_rows(out->sin, l.image, l.caption)};
    for (int i = 0; i < c->refiner_layers && s->status == MEBI_OK; i++) {
        mebi__turn(s, c->refiner_layers + c->layers + i, -1);
        run.b = &m->context_refiner[i];
        run_block(s, run, 0, out->caption);
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
    out->time = mebi__take2(s, MEBI__F32, 1, c->adaln_dim);
    out->block = mebi__take2(s, MEBI__F32, 1, 4 * (int64_t)c->dim);
    mebi__view features = mebi__take2(s, MEBI__F32, 1, c->time_frequencies);
    mebi__view hidden = mebi__take2(s, MEBI__F32, 1, c->time_hidden);
    upload_time_features(s, c, time, features);
    mebi__linear(s, features, m->time_w1, m->time_b1, hidden);
    mebi__silu(s, hidden, hidden);
    mebi__linear(s, hidden, m->time_w2, m->time_b2, out->time);
    mebi__stage(s, "dit.t_emb", -1, out->time);
    mebi__give(s, &hidden);
    mebi__give(s, &features);
}

void mebi__dit_step_give(mebi__stream *s, mebi__dit_step *step) {
    mebi__give(s, &step->block);
    mebi__give(s, &step->time);
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

/* One prompt's pass over all pictures. */
typedef struct pass {
    const mebi__dit_prompt *prompt;
    int64_t tokens; /* of each picture */
    mebi__view x;   /* [pictures * tokens, D] */
} pass;

/* One picture of several: [C, h, w] of [n, C, h, w]. */
static mebi__view picture_of(mebi__view all, int64_t i) {
    return mebi__view_as(mebi__view_rows(all, i, 1), 3, all.shape.dim + 1);
}

/* All blocks of one kind, each over all sequences. image: of the image tokens alone. */
static void run_blocks(mebi__stream *s, const mebi__dit_group *g, const pass *passes, int image_tokens_only,
                       int64_t image) {
    const mebi__dit *m = g->m;
    const mebi__dit_config *c = &m->config;
    const int count = image_tokens_only ? c->refiner_layers : c->layers;
    const int before = image_tokens_only ? 0 : c->refiner_layers, all = c->refiner_layers + c->layers;
    block_run run = {.m = m};
    for (int i = 0; i < count && s->status == MEBI_OK; i++) {
        run.b = image_tokens_only ? &m->noise_refiner[i] : &m->layer[i];
        mebi__turn(s, before + i, before + i + 1 < all ? before + i + 1 : -1);
        modulate(s, run.b, g->step, &run.mod);
        for (int64_t k = 0; k < g->prompts * g->latents.shape.dim[0] && s->status == MEBI_OK; k++) {
            const pass *p = &passes[k % g->prompts];
            int64_t rows = image_tokens_only ? image : p->tokens;
            mebi__view x = mebi__view_rows(p->x, k / g->prompts * p->tokens, rows);
            run.cos = mebi__view_rows(p->prompt->cos, 0, rows);
            run.sin = mebi__view_rows(p->prompt->sin, 0, rows);
            run_block(s, run, g->few_rows, x);
            mebi__stage(s, image_tokens_only ? "dit.noise_refiner" : "dit.layers", i, x);
        }
    }
}

static void begin_pass(mebi__stream *s, const mebi__dit_group *g, int64_t image, pass *p) {
    for (int64_t i = 0; i < g->latents.shape.dim[0] && s->status == MEBI_OK; i++) {
        mebi__view x = mebi__view_rows(p->x, i * p->tokens, image);
        embed_image(s, g->m, picture_of(g->latents, i), x);
        mebi__stage(s, "dit.x_embedder", -1, x);
        mebi__copy(s, p->prompt->caption, mebi__view_rows(p->x, i * p->tokens + image, p->tokens - image));
    }
}

static void end_pass(mebi__stream *s, const mebi__dit_group *g, const pass *p, mebi__view scale, mebi__view out) {
    for (int64_t i = 0; i < g->latents.shape.dim[0] && s->status == MEBI_OK; i++) {
        mebi__view one = picture_of(out, i);
        final_layer(s, g->m, scale, mebi__view_rows(p->x, i * p->tokens, p->tokens), one);
        mebi__stage(s, "dit.output", -1, one);
    }
}

/* [1, D] */
static mebi__view final_scale(mebi__stream *s, const mebi__dit *m, const mebi__dit_step *step) {
    mebi__view scale = mebi__take2(s, MEBI__F32, 1, m->config.dim);
    mebi__view t = mebi__take2(s, MEBI__F32, 1, m->config.adaln_dim);
    mebi__silu(s, step->time, t); /* before this linear only */
    mebi__linear(s, t, m->final_modulation_w, m->final_modulation_b, scale);
    mebi__give(s, &t);
    return scale;
}

void mebi__dit_forward_group(mebi__stream *s, const mebi__dit_group *g) {
    const mebi__dit *m = g->m;
    const mebi__dit_config *c = &m->config;
    int64_t image = image_tokens(c, g->latents.shape.dim[2], g->latents.shape.dim[3]);
    pass each[MEBI__DIT_PROMPTS] = {0};
    for (int i = 0; i < g->prompts; i++) {
        each[i].prompt = g->prompt[i];
        each[i].tokens = image + g->prompt[i]->caption.shape.dim[0];
        each[i].x = mebi__take2(s, MEBI__F32, g->latents.shape.dim[0] * each[i].tokens, c->dim);
        if (s->status == MEBI_OK) begin_pass(s, g, image, &each[i]);
    }
    run_blocks(s, g, each, 1, image);
    run_blocks(s, g, each, 0, image);
    mebi__view scale = final_scale(s, m, g->step);
    for (int i = 0; i < g->prompts && s->status == MEBI_OK; i++) end_pass(s, g, &each[i], scale, g->out[i]);
    mebi__give(s, &scale);
    for (int i = g->prompts - 1; i >= 0; i--) mebi__give(s, &each[i].x);
    mebi__stream_submit(s);
}

void mebi__dit_forward(mebi__stream *s, const mebi__dit *m, const mebi__dit_prompt *prompt,
                       const mebi__dit_step *step, mebi__view latent, mebi__view out) {
    const int64_t one[] = {1, latent.shape.dim[0], latent.shape.dim[1], latent.shape.dim[2]};
    mebi__dit_forward_group(s, &(mebi__dit_group){.m = m,
                                                  .step = step,
                                                  .prompt = {prompt},
                                                  .prompts = 1,
                                                  .latents = mebi__view_as(latent, 4, one),
                                                  .out = {mebi__view_as(out, 4, one)}});
}

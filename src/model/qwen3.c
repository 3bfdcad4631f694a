/* Qwen3: pre-norm transformer with grouped-query attention, RMSNorm on each head's q and k, and
 * SwiGLU. Must never compute padding: a prompt's own tokens are all there is. */
#include "model/qwen3.h"
#include "model/rope.h"

static void load_layer(mebi__params *p, mebi__qwen3_layer *l, const mebi__qwen3_config *c, int i) {
    int64_t hidden = c->hidden, mid = c->intermediate;
    mebi__params_begin_layer(p, 0);
    int64_t q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    l->input_norm = mebi__param_vector(p, hidden, "model.layers.%d.input_layernorm.weight", i);
    l->post_norm =
        mebi__param_vector(p, hidden, "model.layers.%d.post_attention_layernorm.weight", i);
    mebi__param_product(p, &l->q, q, hidden, "model.layers.%d.self_attn.q_proj.weight", i);
    mebi__param_product(p, &l->k, kv, hidden, "model.layers.%d.self_attn.k_proj.weight", i);
    mebi__param_product(p, &l->v, kv, hidden, "model.layers.%d.self_attn.v_proj.weight", i);
    mebi__param_product(p, &l->o, hidden, q, "model.layers.%d.self_attn.o_proj.weight", i);
    l->q_norm = mebi__param_vector(p, c->head_dim, "model.layers.%d.self_attn.q_norm.weight", i);
    l->k_norm = mebi__param_vector(p, c->head_dim, "model.layers.%d.self_attn.k_norm.weight", i);
    mebi__param_product(p, &l->gate, mid, hidden, "model.layers.%d.mlp.gate_proj.weight", i);
    mebi__param_product(p, &l->up, mid, hidden, "model.layers.%d.mlp.up_proj.weight", i);
    mebi__param_product(p, &l->down, hidden, mid, "model.layers.%d.mlp.down_proj.weight", i);
    const mebi__matrix *attention[] = {&l->q, &l->k, &l->v}, *ffn[] = {&l->gate, &l->up};
    for (int k = 0; k < 3; k++)
        mebi__param_fold(p, attention[k], "model.layers.%d.input_layernorm.weight", i);
    for (int k = 0; k < 2; k++)
        mebi__param_fold(p, ffn[k], "model.layers.%d.post_attention_layernorm.weight", i);
    mebi__param_smooth(p, &l->gate, &l->up, &l->down);
}

mebi_status mebi__qwen3_load(mebi__qwen3 *m, const mebi__loading *how,
                             const mebi__qwen3_config *config, mebi_error *err) {
    *m = (mebi__qwen3){.config = *config};
    mebi__params *p = &m->params;
    mebi__params_begin(p, how, MEBI__TAG_ENCODER, err);
    m->layer = mebi__alloc_array(MEBI__TAG_ENCODER, (size_t)config->layers, sizeof *m->layer);
    if (!m->layer) p->status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for the text encoder.");
    m->ones = mebi__param_ones(p, config->hidden);
    m->embed = mebi__param_matrix(p, config->vocab, config->hidden, "model.embed_tokens.weight");
    for (int i = 0; i < config->layers - 1 && p->status == MEBI_OK; i++)
        load_layer(p, &m->layer[i], config, i);
    mebi_status status = mebi__params_end(p);
    if (status != MEBI_OK) mebi__qwen3_release(m);
    return status;
}

void mebi__qwen3_release(mebi__qwen3 *m) {
    mebi__params_release(&m->params);
    mebi__free(m->layer);
    *m = (mebi__qwen3){0};
}

typedef struct token_tables {
    mebi__view cos, sin; /* [T, head_dim/2] */
} token_tables;

/* x += o(attention(norm(x))) */
static void attend(mebi__stream *s, const mebi__qwen3 *m, const mebi__qwen3_layer *l,
                   const token_tables *rope, mebi__view x) {
    const mebi__qwen3_config *c = &m->config;
    int64_t tokens = x.shape.dim[0], kv_width = (int64_t)c->kv_heads * c->head_dim;
    int64_t q_width = (int64_t)c->heads * c->head_dim;
    mebi__view none = {0};
    mebi__view a = mebi__take2(s, MEBI__F32, tokens, c->hidden);
    mebi__view q = mebi__take2(s, MEBI__F32, tokens, q_width);
    mebi__view k = mebi__take2(s, MEBI__F32, tokens, kv_width);
    mebi__view v = mebi__take2(s, MEBI__F32, tokens, kv_width);
    mebi__view o = mebi__take2(s, MEBI__F32, tokens, q_width);
    mebi__view rows = mebi__rows_over(s, &l->q, a);
    mebi__rms_norm(s, x, mebi__rows_norm(rows, l->input_norm, m->ones), none, c->norm_eps, rows);
    mebi__product(s, rows, &l->q, q);
    mebi__product(s, rows, &l->k, k);
    mebi__product(s, rows, &l->v, v);
    mebi__rows_give(s, &rows);
    mebi__norm_rope(s, q, c->heads, l->q_norm, c->norm_eps, rope->cos, rope->sin,
                    MEBI__ROPE_HALVES);
    mebi__norm_rope(s, k, c->kv_heads, l->k_norm, c->norm_eps, rope->cos, rope->sin,
                    MEBI__ROPE_HALVES);
    mebi__attention(s, q, k, v, c->heads, c->kv_heads, 1, o);
    rows = mebi__rows_take(s, &l->o, o);
    mebi__product(s, rows, &l->o, a);
    mebi__rows_give(s, &rows);
    mebi__combine(s, 1, a, 1, x);
    mebi__give(s, &o);
    mebi__give(s, &v);
    mebi__give(s, &k);
    mebi__give(s, &q);
    mebi__give(s, &a);
}

/* x += down(silu(gate(norm(x))) * up(norm(x))) */
static void feed_forward(mebi__stream *s, const mebi__qwen3 *m, const mebi__qwen3_layer *l,
                         mebi__view x) {
    const mebi__qwen3_config *c = &m->config;
    int64_t tokens = x.shape.dim[0];
    mebi__view none = {0};
    mebi__view a = mebi__take2(s, MEBI__F32, tokens, c->hidden);
    mebi__view gate = mebi__take2(s, MEBI__F32, tokens, c->intermediate);
    mebi__view up = mebi__take2(s, MEBI__F32, tokens, c->intermediate);
    mebi__view rows = mebi__rows_over(s, &l->gate, a);
    mebi__rms_norm(s, x, mebi__rows_norm(rows, l->post_norm, m->ones), none, c->norm_eps, rows);
    mebi__product(s, rows, &l->gate, gate);
    mebi__product(s, rows, &l->up, up);
    mebi__rows_give(s, &rows);
    rows = mebi__rows_over(s, &l->down, gate);
    mebi__swiglu(s, gate, up, rows);
    mebi__product(s, rows, &l->down, a);
    mebi__rows_give(s, &rows);
    mebi__combine(s, 1, a, 1, x);
    mebi__give(s, &up);
    mebi__give(s, &gate);
    mebi__give(s, &a);
}

static void text_position(const void *context, int64_t token, int32_t p[MEBI__ROPE_AXES]) {
    (void)context;
    p[0] = (int32_t)token;
}

void mebi__qwen3_forward(mebi__stream *s, const mebi__qwen3 *m, const int32_t *ids, int count,
                         mebi__view features) {
    const mebi__qwen3_config *c = &m->config;
    mebi__view tokens = mebi__take1(s, MEBI__I32, count);
    token_tables rope = {mebi__take2(s, MEBI__F32, count, c->head_dim / 2),
                         mebi__take2(s, MEBI__F32, count, c->head_dim / 2)};
    mebi__rope angles = {
        .axes = 1, .dims = {c->head_dim}, .theta = c->rope_theta, .f32_frequencies = 1};
    mebi__rope_fill(s, &angles, text_position, NULL, rope.cos, rope.sin);
    mebi__upload(s, tokens, ids);
    mebi__embed(s, tokens, m->embed, features);
    mebi__stage(s, "encoder.embed", -1, features);
    const int last = c->layers - 2;
    for (int i = 0; i <= last; i++) {
        mebi__turn(s, i, i < last ? i + 1 : -1);
        attend(s, m, &m->layer[i], &rope, features);
        feed_forward(s, m, &m->layer[i], features);
        mebi__stage(s, "encoder.layer", i, features);
        if (mebi__stream_submit(s) != MEBI_OK) break;
    }
    mebi__give(s, &rope.sin);
    mebi__give(s, &rope.cos);
    mebi__give(s, &tokens);
}

/* Dimensions read off tensor shapes, for files that come without a config.json; and the checks
 * that hold for both sources. Values that no shape tells are Z-Image-Turbo's own. */
#include "weights/config_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads shapes until the first failure, which sticks. */
typedef struct shapes {
    const char *path, *kind; /* kind: what the file should be, for the message */
    const mebi__tensors *tensors;
    mebi_status status;
    mebi_error *err;
} shapes;

/* Dimension `axis` of a tensor of this rank, within 1 to max. */
static int dimension(shapes *s, const char *name, int rank, int axis, int max) {
    if (s->status != MEBI_OK) return 1;
    const mebi__tensor *t = mebi__tensors_find(s->tensors, name);
    char text[96];
    if (!t)
        s->status = mebi__fail(s->err, MEBI_BAD_FILE,
                               "%s: its dimensions can't be told: the tensor %s is missing. Is it "
                               "%s?",
                               s->path, name, s->kind);
    else if (t->shape.rank != rank || t->shape.dim[axis] > max)
        s->status = mebi__fail(s->err, MEBI_BAD_FILE,
                               "%s: the tensor %s is %s; %d dimensions of at most %d are expected. "
                               "Is it %s?",
                               s->path, name, mebi__shape_text(&t->shape, text, sizeof text), rank,
                               max, s->kind);
    else return (int)t->shape.dim[axis];
    return 1;
}

/* Highest N of "<prefix>N." plus 1, so that a gap shows as missing tensors. */
static int count_blocks(shapes *s, const char *prefix, int max) {
    size_t length = strlen(prefix);
    long most = 0;
    for (int i = 0; i < mebi__tensors_count(s->tensors); i++) {
        const char *name = mebi__tensors_at(s->tensors, i)->name;
        if (strncmp(name, prefix, length) != 0 || name[length] < '0' || name[length] > '9')
            continue;
        long n = strtol(name + length, NULL, 10);
        if (n >= most) most = n < max ? n + 1 : max + 1L;
    }
    if (s->status == MEBI_OK && most > max)
        s->status = mebi__fail(s->err, MEBI_BAD_FILE, "%s: there are more than %d blocks %sN.",
                               s->path, max, prefix);
    return (int)most;
}

static int divide(shapes *s, const char *what, int value, int by) {
    if (s->status == MEBI_OK && (by < 1 || value % by != 0))
        s->status = mebi__fail(s->err, MEBI_BAD_FILE, "%s: %s: %d is not divisible by %d.", s->path,
                               what, value, by);
    return s->status == MEBI_OK ? value / by : 1;
}

mebi_status mebi__dit_config_widths(const char *path, const mebi__tensors *tensors,
                                    mebi__dit_config *c, mebi_error *err) {
    static const char ffn[] = "layers.0.feed_forward.w1.weight", in[] = "t_embedder.mlp.0.weight",
                      adaln[] = "t_embedder.mlp.2.weight";
    shapes s = {path, "a Z-Image diffusion transformer", tensors, MEBI_OK, err};
    c->ffn_hidden = (int)((int64_t)c->dim * 8 / 3);
    c->adaln_dim = c->dim < 256 ? c->dim : 256;
    c->time_hidden = 1024;
    c->time_frequencies = 256;
    if (mebi__tensors_find(tensors, ffn))
        c->ffn_hidden = dimension(&s, ffn, 2, 0, 4 * MEBI__LIMIT_WIDTH);
    if (mebi__tensors_find(tensors, adaln))
        c->adaln_dim = dimension(&s, adaln, 2, 0, MEBI__LIMIT_WIDTH);
    if (mebi__tensors_find(tensors, in)) {
        c->time_hidden = dimension(&s, in, 2, 0, MEBI__LIMIT_WIDTH);
        c->time_frequencies = dimension(&s, in, 2, 1, MEBI__LIMIT_WIDTH);
    }
    divide(&s, "inputs of the time embedder (sines and cosines)", c->time_frequencies, 2);
    return s.status;
}

mebi_status mebi__dit_config_guess(const char *path, const mebi__tensors *tensors,
                                   mebi__dit_config *out, mebi_error *err) {
    static const char x[] = "all_x_embedder.2-1.weight";
    shapes s = {path, "a Z-Image diffusion transformer", tensors, MEBI_OK, err};
    mebi__dit_config c = {.patch = 2,
                          .norm_eps = 1e-5f,
                          .time_scale = 1000,
                          .rope_theta = 256,
                          .axes_len = {1536, 512, 512}};
    c.dim = dimension(&s, x, 2, 0, MEBI__LIMIT_WIDTH);
    c.channels = divide(&s, "inputs of the patch embedder",
                        dimension(&s, x, 2, 1, MEBI__LIMIT_WIDTH), c.patch * c.patch);
    c.caption_dim = dimension(&s, "cap_embedder.0.weight", 1, 0, MEBI__LIMIT_WIDTH);
    c.head_dim = dimension(&s, "layers.0.attention.norm_q.weight", 1, 0, MEBI__LIMIT_HEAD_DIM);
    c.heads = divide(&s, "width by the size of a head", c.dim, c.head_dim);
    c.layers = count_blocks(&s, "layers.", MEBI__LIMIT_LAYERS);
    c.refiner_layers = count_blocks(&s, "noise_refiner.", MEBI__LIMIT_LAYERS);
    int context = count_blocks(&s, "context_refiner.", MEBI__LIMIT_LAYERS);
    if (context > c.refiner_layers) c.refiner_layers = context;
    divide(&s, "size of a head, without a config.json that tells its axes", c.head_dim, 16);
    MEBI_TRY(s.status);
    c.axes_dim[0] = c.head_dim / 4;
    c.axes_dim[1] = c.axes_dim[2] = c.head_dim / 8 * 3;
    *out = c;
    return mebi__dit_config_check(path, out, err);
}

mebi_status mebi__qwen3_config_guess(const char *path, const mebi__tensors *tensors,
                                     mebi__qwen3_config *out, mebi_error *err) {
#define LAYER "model.layers.0."
    static const char embed[] = "model.embed_tokens.weight";
    shapes s = {path, "a Qwen3 text encoder", tensors, MEBI_OK, err};
    mebi__qwen3_config c = {.norm_eps = 1e-6f, .rope_theta = 1e6};
    int rows = MEBI__LIMIT_HEADS * MEBI__LIMIT_HEAD_DIM;
    c.vocab = dimension(&s, embed, 2, 0, MEBI__LIMIT_VOCAB);
    c.hidden = dimension(&s, embed, 2, 1, MEBI__LIMIT_WIDTH);
    c.head_dim = dimension(&s, LAYER "self_attn.q_norm.weight", 1, 0, MEBI__LIMIT_HEAD_DIM);
    c.heads = divide(&s, "rows of " LAYER "self_attn.q_proj.weight by the size of a head",
                     dimension(&s, LAYER "self_attn.q_proj.weight", 2, 0, rows), c.head_dim);
    c.kv_heads = divide(&s, "rows of " LAYER "self_attn.k_proj.weight by the size of a head",
                        dimension(&s, LAYER "self_attn.k_proj.weight", 2, 0, rows), c.head_dim);
    c.intermediate = dimension(&s, LAYER "mlp.gate_proj.weight", 2, 0, MEBI__LIMIT_WIDTH);
    c.layers = count_blocks(&s, "model.layers.", MEBI__LIMIT_LAYERS);
#undef LAYER
    MEBI_TRY(s.status);
    MEBI_TRY(mebi__qwen3_config_metadata(path, tensors, &c, err));
    *out = c;
    return mebi__qwen3_config_check(path, out, err);
}

/* 32 as published, or the largest power of two below it that divides every level. */
static int guess_groups(const mebi__vae_config *c) {
    int groups = 32;
    for (int i = 0; i < c->levels; i++)
        while (c->block_channels[i] % groups != 0) groups /= 2;
    return groups;
}

mebi_status mebi__vae_config_guess(const char *path, const mebi__tensors *tensors,
                                   mebi__vae_config *out, mebi_error *err) {
    shapes s = {path, "an AutoencoderKL (the Flux VAE)", tensors, MEBI_OK, err};
    mebi__vae_config c = {.scaling = 0.3611f, .shift = 0.1159f};
    c.latent_channels = dimension(&s, "decoder.conv_in.weight", 4, 1, MEBI__LIMIT_WIDTH);
    c.levels = count_blocks(&s, "decoder.up_blocks.", 8);
    for (int i = 0; i < c.levels && s.status == MEBI_OK; i++) {
        char name[64];
        snprintf(name, sizeof name, "decoder.up_blocks.%d.resnets.0.conv1.weight",
                 c.levels - 1 - i);
        c.block_channels[i] = dimension(&s, name, 4, 0, MEBI__LIMIT_WIDTH);
    }
    c.layers_per_block = count_blocks(&s, "decoder.up_blocks.0.resnets.", 65) - 1;
    MEBI_TRY(s.status);
    c.groups = guess_groups(&c);
    *out = c;
    return mebi__vae_config_check(path, out, err);
}

mebi_status mebi__dit_config_check(const char *path, const mebi__dit_config *c, mebi_error *err) {
    int sum = 0;
    if (c->layers < 1)
        return mebi__fail(err, MEBI_BAD_FILE, "%s has no layers (layers.0 ...).", path);
    if (c->head_dim > MEBI__LIMIT_HEAD_DIM || c->heads > MEBI__LIMIT_HEADS)
        return mebi__fail(err, MEBI_BAD_FILE, "%s: %d heads of %d; at most %d of %d are read.",
                          path, c->heads, c->head_dim, MEBI__LIMIT_HEADS, MEBI__LIMIT_HEAD_DIM);
    for (int i = 0; i < 3; i++) {
        sum += c->axes_dim[i];
        if (c->axes_dim[i] < 2 || c->axes_dim[i] % 2 != 0)
            return mebi__fail(err, MEBI_BAD_FILE,
                              "%s: axis %d of \"axes_dims\" is %d; positive even numbers are "
                              "expected, because positions rotate pairs.",
                              path, i, c->axes_dim[i]);
    }
    if (sum != c->head_dim)
        return mebi__fail(
            err, MEBI_BAD_FILE,
            "%s: \"axes_dims\" add up to %d; the size of a head, dim / n_heads, is %d "
            "and must be the same.",
            path, sum, c->head_dim);
    return MEBI_OK;
}

mebi_status mebi__qwen3_config_check(const char *path, const mebi__qwen3_config *c,
                                     mebi_error *err) {
    if (c->layers < 1)
        return mebi__fail(err, MEBI_BAD_FILE, "%s has no layers (model.layers.0 ...).", path);
    if (c->heads < 1 || c->kv_heads < 1 || c->heads % c->kv_heads != 0)
        return mebi__fail(
            err, MEBI_BAD_FILE,
            "%s: %d attention heads (\"num_attention_heads\") are not divisible by %d "
            "key/value heads (\"num_key_value_heads\").",
            path, c->heads, c->kv_heads);
    if (c->head_dim % 2 != 0)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: \"head_dim\" is %d; an even number is expected, because positions "
                          "rotate pairs.",
                          path, c->head_dim);
    return MEBI_OK;
}

mebi_status mebi__vae_config_check(const char *path, const mebi__vae_config *c, mebi_error *err) {
    if (c->levels < 1 || c->layers_per_block < 1)
        return mebi__fail(err, MEBI_BAD_FILE, "%s has no decoder blocks (decoder.up_blocks.0 ...).",
                          path);
    for (int i = 0; i < c->levels; i++)
        if (c->block_channels[i] % c->groups != 0)
            return mebi__fail(err, MEBI_BAD_FILE,
                              "%s: \"norm_num_groups\" %d does not divide %d of "
                              "\"block_out_channels\".",
                              path, c->groups, c->block_channels[i]);
    return MEBI_OK;
}

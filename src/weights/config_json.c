/* config.json of each part, as diffusers and transformers write them. Must never let a number
 * through that was not checked for type and range, nor guess a missing one that changes the result.
 *
 * Keys that only matter for training are ignored; keys that would change the arithmetic must have
 * the value that mebi computes. */
#include "weights/config_read.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Reads keys until the first failure, which sticks. */
typedef struct reader {
    const char *path;
    const json_t *object;
    mebi_status status;
    mebi_error *err;
} reader;

enum { REQUIRED = -1 };

/* A value as the file has it, for a message. */
static mebi__shown written(const json_t *value) {
    char text[96] = "";
    size_t n = json_dumpb(value, text, sizeof text - 1,
                          JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    if (n >= sizeof text) text[sizeof text - 1] = 0; /* cut */
    return mebi__show(text);
}

static int absent(const reader *r, const char *key) {
    const json_t *value = json_object_get(r->object, key);
    return !value || json_is_null(value);
}

static void fail_missing(reader *r, const char *key) {
    r->status = mebi__fail(r->err, MEBI_BAD_FILE, "%s lacks the key \"%s\".", r->path, key);
}

static int to_integer(reader *r, const char *key, const json_t *value, int min, int max) {
    if (json_is_integer(value) && json_integer_value(value) >= min &&
        json_integer_value(value) <= max)
        return (int)json_integer_value(value);
    r->status = mebi__fail(r->err, MEBI_BAD_FILE,
                           "%s: \"%s\" is %s; a whole number from %d to %d is expected.", r->path,
                           key, written(value).text, min, max);
    return 0;
}

static int integer(reader *r, const char *key, int min, int max, int fallback) {
    if (r->status != MEBI_OK) return 0;
    if (!absent(r, key)) return to_integer(r, key, json_object_get(r->object, key), min, max);
    if (fallback == REQUIRED) fail_missing(r, key);
    return fallback;
}

/* Above min, at most max. A fallback that is not above min means required. */
static double number(reader *r, const char *key, double min, double max, double fallback) {
    if (r->status != MEBI_OK) return 0;
    if (absent(r, key)) {
        if (!(fallback > min)) fail_missing(r, key);
        return fallback;
    }
    const json_t *value = json_object_get(r->object, key);
    double x = json_number_value(value);
    if (json_is_number(value) && x > min && x <= max) return x;
    r->status = mebi__fail(r->err, MEBI_BAD_FILE,
                           "%s: \"%s\" is %s; a number above %g, at most %g is expected.", r->path,
                           key, written(value).text, min, max);
    return 0;
}

/* A list of least to most whole numbers; returns how many. */
static int integers(reader *r, const char *key, int least, int most, int min, int max, int *out) {
    if (r->status != MEBI_OK) return 0;
    const json_t *list = json_object_get(r->object, key);
    int count = json_is_array(list) && json_array_size(list) <= (size_t)most
                    ? (int)json_array_size(list)
                    : -1;
    if (absent(r, key)) fail_missing(r, key);
    else if (count < least)
        r->status = mebi__fail(r->err, MEBI_BAD_FILE,
                               "%s: \"%s\" is %s; a list of %d to %d whole numbers is expected.",
                               r->path, key, written(list).text, least, most);
    for (int i = 0; i < count && r->status == MEBI_OK; i++)
        out[i] = to_integer(r, key, json_array_get(list, (size_t)i), min, max);
    return r->status == MEBI_OK ? count : 0;
}

/* The key, if present, has this value (as JSON); other values mean arithmetic that mebi lacks. */
static void expect(reader *r, const char *key, const char *json) {
    if (r->status != MEBI_OK || !json_object_get(r->object, key)) return;
    const json_t *value = json_object_get(r->object, key);
    mebi__shown has = written(value);
    if (strcmp(has.text, json) == 0) return;
    r->status = mebi__fail(r->err, MEBI_UNSUPPORTED, "%s: \"%s\" is %s; only %s is supported.",
                           r->path, key, has.text, json);
}

/* Every string of the list, if there is one, is this one. */
static void expect_all(reader *r, const char *key, const char *text) {
    const json_t *list = json_object_get(r->object, key);
    for (size_t i = 0; i < json_array_size(list) && r->status == MEBI_OK; i++) {
        const char *item = json_string_value(json_array_get(list, i));
        if (item && strcmp(item, text) == 0) continue;
        r->status = mebi__fail(r->err, MEBI_UNSUPPORTED,
                               "%s: \"%s\" has %s; only \"%s\" is "
                               "supported.",
                               r->path, key, written(json_array_get(list, i)).text, text);
    }
}

static void expect_class(reader *r, const char *key, const char *name) {
    if (r->status != MEBI_OK || !json_object_get(r->object, key)) return;
    const json_t *value = json_object_get(r->object, key);
    if (json_is_string(value) && strcmp(json_string_value(value), name) == 0) return;
    r->status = mebi__fail(r->err, MEBI_UNSUPPORTED,
                           "%s is the configuration of %s, not of %s: this part belongs to another "
                           "kind of model.",
                           r->path, written(value).text, name);
}

mebi_status mebi__pipeline_check(const char *path, json_t *root, mebi_error *err) {
    const json_t *value = json_object_get(root, "_class_name");
    if (!json_is_string(value))
        return mebi__fail(err, MEBI_BAD_FILE, "%s lacks the string \"_class_name\".", path);
    if (strcmp(json_string_value(value), "ZImagePipeline") == 0) return MEBI_OK;
    return mebi__fail(err, MEBI_UNSUPPORTED,
                      "%s: the model is made for %s; mebi runs models of ZImagePipeline "
                      "(Z-Image-Turbo and its relatives).",
                      path, written(value).text);
}

mebi_status mebi__dit_config_read(const char *path, json_t *root, mebi__dit_config *out,
                                  mebi_error *err) {
    reader r = {.path = path, .object = root, .err = err};
    memset(out, 0, sizeof *out);
    expect_class(&r, "_class_name", "ZImageTransformer2DModel");
    out->dim = integer(&r, "dim", 1, MEBI__LIMIT_WIDTH, REQUIRED);
    out->layers = integer(&r, "n_layers", 1, MEBI__LIMIT_LAYERS, REQUIRED);
    out->refiner_layers = integer(&r, "n_refiner_layers", 0, MEBI__LIMIT_LAYERS, REQUIRED);
    out->heads = integer(&r, "n_heads", 1, MEBI__LIMIT_HEADS, REQUIRED);
    int kv_heads = integer(&r, "n_kv_heads", 1, MEBI__LIMIT_HEADS, out->heads);
    out->caption_dim = integer(&r, "cap_feat_dim", 1, MEBI__LIMIT_WIDTH, REQUIRED);
    out->channels = integer(&r, "in_channels", 1, MEBI__LIMIT_WIDTH, REQUIRED);
    out->norm_eps = (float)number(&r, "norm_eps", 0, 1, 1e-5);
    out->rope_theta = number(&r, "rope_theta", 1, 1e12, 256);
    out->time_scale = (float)number(&r, "t_scale", 0, 1e6, 1000);
    integers(&r, "axes_dims", 3, 3, 1, MEBI__LIMIT_HEAD_DIM, out->axes_dim);
    integers(&r, "axes_lens", 3, 3, 1, MEBI__LIMIT_AXIS_LEN, out->axes_len);
    expect(&r, "qk_norm", "true");
    expect(&r, "all_patch_size", "[2]");
    expect(&r, "all_f_patch_size", "[1]");
    expect(&r, "siglip_feat_dim", "null");
    MEBI_TRY(r.status);
    if (kv_heads != out->heads)
        return mebi__fail(err, MEBI_UNSUPPORTED,
                          "%s: \"n_kv_heads\" is %d and \"n_heads\" %d; only equal ones are "
                          "supported.",
                          path, kv_heads, out->heads);
    if (out->dim % out->heads != 0)
        return mebi__fail(err, MEBI_BAD_FILE, "%s: \"dim\" %d is not divisible by \"n_heads\" %d.",
                          path, out->dim, out->heads);
    out->patch = 2;
    out->head_dim = out->dim / out->heads;
    return mebi__dit_config_check(path, out, err);
}

/* Older files have rope_theta beside the other keys, newer ones inside rope_parameters. Left out,
 * transformers takes a default that no model of this family was trained with: refused. */
static double read_theta(reader *r) {
    static const char *const nests[] = {"rope_parameters", "rope_scaling"};
    reader inner = *r;
    int nested = 0;
    for (int i = 0; i < 2 && r->status == MEBI_OK; i++) {
        if (absent(r, nests[i])) continue;
        inner = *r;
        inner.object = json_object_get(r->object, nests[i]);
        if (!json_is_object(inner.object)) {
            expect(r, nests[i], "null");
            return 0;
        }
        expect(&inner, "rope_type", "\"default\"");
        expect(&inner, "type", "\"default\"");
        nested = nested || !absent(&inner, "rope_theta");
        if (nested) break;
    }
    r->status = inner.status;
    if (!nested) return number(r, "rope_theta", 1, 1e12, 0);
    double theta = number(&inner, "rope_theta", 1, 1e12, 0);
    r->status = inner.status;
    return theta;
}

mebi_status mebi__qwen3_config_read(const char *path, json_t *root, mebi__qwen3_config *out,
                                    mebi_error *err) {
    reader r = {.path = path, .object = root, .err = err};
    memset(out, 0, sizeof *out);
    expect_class(&r, "model_type", "qwen3");
    out->hidden = integer(&r, "hidden_size", 1, MEBI__LIMIT_WIDTH, REQUIRED);
    out->layers = integer(&r, "num_hidden_layers", 1, MEBI__LIMIT_LAYERS, REQUIRED);
    out->heads = integer(&r, "num_attention_heads", 1, MEBI__LIMIT_HEADS, REQUIRED);
    out->kv_heads = integer(&r, "num_key_value_heads", 1, MEBI__LIMIT_HEADS, out->heads);
    out->head_dim = integer(&r, "head_dim", 1, MEBI__LIMIT_HEAD_DIM, 128);
    out->intermediate = integer(&r, "intermediate_size", 1, MEBI__LIMIT_WIDTH, REQUIRED);
    out->vocab = integer(&r, "vocab_size", 1, MEBI__LIMIT_VOCAB, REQUIRED);
    out->norm_eps = (float)number(&r, "rms_norm_eps", 0, 1, 1e-6);
    out->rope_theta = read_theta(&r);
    expect(&r, "hidden_act", "\"silu\"");
    expect(&r, "attention_bias", "false");
    expect(&r, "use_sliding_window", "false");
    MEBI_TRY(r.status);
    return mebi__qwen3_config_check(path, out, err);
}

mebi_status mebi__vae_config_read(const char *path, json_t *root, mebi__vae_config *out,
                                  mebi_error *err) {
    reader r = {.path = path, .object = root, .err = err};
    memset(out, 0, sizeof *out);
    expect_class(&r, "_class_name", "AutoencoderKL");
    out->latent_channels = integer(&r, "latent_channels", 1, MEBI__LIMIT_WIDTH, REQUIRED);
    out->levels =
        integers(&r, "block_out_channels", 1, 8, 1, MEBI__LIMIT_WIDTH, out->block_channels);
    out->layers_per_block = integer(&r, "layers_per_block", 1, 64, REQUIRED);
    out->groups = integer(&r, "norm_num_groups", 1, MEBI__LIMIT_WIDTH, 32);
    out->scaling = (float)number(&r, "scaling_factor", 0, 1e6, 0);
    if (!absent(&r, "shift_factor")) out->shift = (float)number(&r, "shift_factor", -1e6, 1e6, 0);
    expect(&r, "act_fn", "\"silu\"");
    expect(&r, "in_channels", "3");
    expect(&r, "out_channels", "3");
    expect(&r, "latents_mean", "null");
    expect(&r, "latents_std", "null");
    expect(&r, "use_quant_conv", "false");
    expect(&r, "use_post_quant_conv", "false");
    expect(&r, "mid_block_add_attention", "true");
    expect_all(&r, "down_block_types", "DownEncoderBlock2D");
    expect_all(&r, "up_block_types", "UpDecoderBlock2D");
    MEBI_TRY(r.status);
    return mebi__vae_config_check(path, out, err);
}

mebi_status mebi__scheduler_config_read(const char *path, json_t *root, mebi__scheduler_config *out,
                                        mebi_error *err) {
    static const char *const off[] = {"use_dynamic_shifting", "invert_sigmas",
                                      "use_karras_sigmas",    "use_exponential_sigmas",
                                      "use_beta_sigmas",      "stochastic_sampling"};
    reader r = {.path = path, .object = root, .err = err};
    memset(out, 0, sizeof *out);
    expect_class(&r, "_class_name", "FlowMatchEulerDiscreteScheduler");
    out->train_timesteps = integer(&r, "num_train_timesteps", 1, 1000000, 1000);
    out->shift = (float)number(&r, "shift", 0, 1000, 0);
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) expect(&r, off[i], "false");
    expect(&r, "shift_terminal", "null");
    return r.status;
}

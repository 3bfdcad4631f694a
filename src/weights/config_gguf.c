/* What a GGUF's metadata says about the text encoder. Must never let a number of it stand against
 * the tensors: what both tell has to agree. */
#include "weights/config_read.h"
#include "weights/gguf.h"
#include "weights/json.h"
#include "weights/tensor_set.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Reads keys until the first failure, which sticks. */
typedef struct reader {
    const char *path;
    const mebi__stored_file *file;
    char key[96]; /* of the value found last */
    mebi_status status;
    mebi_error *err;
} reader;

static const mebi__gguf_value *find(reader *r, const char *key) {
    snprintf(r->key, sizeof r->key, "qwen3.%s", key);
    return r->status == MEBI_OK ? mebi__gguf_find(r->file, r->key) : NULL;
}

/* The value, if it is there: a whole number from 1 to max. */
static int whole(reader *r, const char *key, int max, int otherwise) {
    const mebi__gguf_value *value = find(r, key);
    int64_t number = 0;
    if (!value) return otherwise;
    if (mebi__gguf_integer(value, &number) && number >= 1 && number <= max) return (int)number;
    r->status = mebi__fail(r->err, MEBI_BAD_FILE,
                           "%s: the metadata's \"%s\" is %" PRId64 ", or no number; a whole number "
                           "from 1 to %d is expected.",
                           r->path, r->key, number, max);
    return otherwise;
}

static double real(reader *r, const char *key, double min, double max, double otherwise) {
    const mebi__gguf_value *value = find(r, key);
    double number = 0;
    if (!value) return otherwise;
    if (mebi__gguf_number(value, &number) && number > min && number <= max) return number;
    r->status =
        mebi__fail(r->err, MEBI_BAD_FILE,
                   "%s: the metadata's \"%s\" is %g, or no number; one above %g, at most %g, "
                   "is expected.",
                   r->path, r->key, number, min, max);
    return otherwise;
}

/* The metadata, where it says so, agrees with the tensors. */
static void agree(reader *r, const char *key, int tensors) {
    int said = whole(r, key, INT32_MAX, tensors);
    if (r->status == MEBI_OK && said != tensors)
        r->status =
            mebi__fail(r->err, MEBI_BAD_FILE,
                       "%s: the metadata's \"%s\" is %d, but its tensors say %d: the file is "
                       "broken.",
                       r->path, r->key, said, tensors);
}

/* A value that must be this text if it is there. */
static void expect(reader *r, const char *key, const char *text, const char *what) {
    const mebi__gguf_value *value = mebi__gguf_find(r->file, key);
    const char *said = "";
    size_t bytes = 0;
    char shown[64];
    if (!value || r->status != MEBI_OK) return;
    if (mebi__gguf_string(value, &said, &bytes) && bytes == strlen(text) &&
        memcmp(said, text, bytes) == 0)
        return;
    snprintf(shown, sizeof shown, "%.*s", (int)(bytes < 48 ? bytes : 48), said);
    r->status = mebi__fail(r->err, MEBI_UNSUPPORTED,
                           "%s: the metadata's \"%s\" is \"%s\"; only \"%s\" is supported: %s.",
                           r->path, key, mebi__show(shown).text, text, what);
}

mebi_status mebi__qwen3_config_metadata(const char *path, const mebi__tensors *tensors,
                                        mebi__qwen3_config *c, mebi_error *err) {
    const mebi__stored_file *file = mebi__tensors_gguf(tensors);
    reader r = {.path = path, .file = file, .err = err};
    if (!file) return MEBI_OK;
    expect(&r, "general.architecture", "qwen3", "the text encoder is a Qwen3");
    expect(&r, "qwen3.rope.scaling.type", "none", "positions are not scaled");
    agree(&r, "embedding_length", c->hidden);
    agree(&r, "feed_forward_length", c->intermediate);
    agree(&r, "attention.head_count", c->heads);
    agree(&r, "attention.head_count_kv", c->kv_heads);
    agree(&r, "attention.key_length", c->head_dim);
    agree(&r, "attention.value_length", c->head_dim);
    /* The last layer is not needed, and a file may come without it. */
    int layers = whole(&r, "block_count", MEBI__LIMIT_LAYERS, c->layers);
    if (r.status == MEBI_OK && layers != c->layers && layers != c->layers + 1)
        agree(&r, "block_count", c->layers);
    c->layers = layers;
    c->rope_theta = real(&r, "rope.freq_base", 1, 1e12, c->rope_theta);
    c->norm_eps = (float)real(&r, "attention.layer_norm_rms_epsilon", 0, 1, (double)c->norm_eps);
    return r.status;
}

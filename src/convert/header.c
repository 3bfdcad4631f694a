/* Headers of safetensors and GGUF (v3) files. Must never tell a size or place other than the
 * data's. */
#include "convert/header.h"

#include "base/memory.h"
#include "weights/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- bytes ---- */

void mebi__bytes_put(mebi__bytes *b, const void *data, size_t bytes) {
    if (b->failed) return;
    if (bytes > b->room - b->used) {
        size_t room = 2 * b->room + bytes + 4096;
        unsigned char *more = mebi__realloc_array(MEBI__TAG_GENERAL, b->at, room, 1);
        if (!more) {
            b->failed = 1;
            return;
        }
        b->at = more;
        b->room = room;
    }
    if (bytes > 0) memcpy(b->at + b->used, data, bytes);
    b->used += bytes;
}

void mebi__bytes_pad(mebi__bytes *b, size_t multiple, int byte) {
    unsigned char c = (unsigned char)byte;
    while (!b->failed && b->used % multiple) mebi__bytes_put(b, &c, 1);
}

void mebi__bytes_release(mebi__bytes *b) {
    mebi__free(b->at);
    *b = (mebi__bytes){0};
}

static mebi_status finish(const mebi__bytes *b, mebi_error *err) {
    return b->failed ? mebi__fail(err, MEBI_NO_MEMORY, "No memory for the new file's header.")
                     : MEBI_OK;
}

/* ---- safetensors ---- */

static void put_text(mebi__bytes *b, const char *text) {
    mebi__bytes_put(b, text, strlen(text));
}

/* Names have no control characters (weights/stored.h), but may have these two. */
static void put_quoted(mebi__bytes *b, const char *text) {
    put_text(b, "\"");
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') put_text(b, "\\");
        mebi__bytes_put(b, text, 1);
    }
    put_text(b, "\"");
}

static void put_entry(mebi__bytes *b, const mebi__output *o) {
    char text[160];
    put_text(b, ",");
    put_quoted(b, o->name);
    snprintf(text, sizeof text, ":{\"dtype\":\"%s\",\"shape\":[",
             mebi__encoding_safetensors(o->encoding));
    put_text(b, text);
    for (int i = 0; i < o->shape.rank; i++) {
        snprintf(text, sizeof text, "%s%" PRId64, i ? "," : "", o->shape.dim[i]);
        put_text(b, text);
    }
    snprintf(text, sizeof text, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", o->offset,
             o->offset + o->bytes);
    put_text(b, text);
}

mebi_status mebi__safetensors_header(const mebi__outputs *outputs, const mebi__target *target,
                                     mebi__bytes *out, mebi_error *err) {
    uint64_t length = 0;
    mebi__bytes_put(out, &length, sizeof length);
    put_text(out, "{\"__metadata__\":{\"format\":\"pt\"");
    if (target->type == MEBI_CONVERT_INT8)
        put_text(out, ",\"quantization\":\"int8, symmetric, a scale for each output row: weight = "
                      "integers * weight_scale\"");
    put_text(out, "}");
    for (int i = 0; i < outputs->count; i++) put_entry(out, &outputs->at[i]);
    put_text(out, "}");
    mebi__bytes_pad(out, 8, ' ');
    if (!out->failed) {
        length = out->used - sizeof length;
        memcpy(out->at, &length, sizeof length);
    }
    return finish(out, err);
}

/* ---- GGUF ---- */

static void put_u32(mebi__bytes *b, uint32_t value) {
    mebi__bytes_put(b, &value, sizeof value);
}

static void put_u64(mebi__bytes *b, uint64_t value) {
    mebi__bytes_put(b, &value, sizeof value);
}

static void put_string(mebi__bytes *b, const char *text, size_t bytes) {
    put_u64(b, bytes);
    mebi__bytes_put(b, text, bytes);
}

/* The metadata, and how many values it has. */
typedef struct metadata {
    mebi__bytes *to;
    uint64_t values;
} metadata;

static void put_key(metadata *m, const char *key, mebi__gguf_type type) {
    m->values++;
    put_string(m->to, key, strlen(key));
    put_u32(m->to, (uint32_t)type);
}

static void add_u32(metadata *m, const char *key, int64_t value) {
    put_key(m, key, MEBI__GGUF_U32);
    put_u32(m->to, (uint32_t)value);
}

static void add_f32(metadata *m, const char *key, float value) {
    put_key(m, key, MEBI__GGUF_F32);
    mebi__bytes_put(m->to, &value, sizeof value);
}

static void add_bool(metadata *m, const char *key, int value) {
    unsigned char byte = value != 0;
    put_key(m, key, MEBI__GGUF_BOOL);
    mebi__bytes_put(m->to, &byte, 1);
}

static void add_string(metadata *m, const char *key, const char *text) {
    put_key(m, key, MEBI__GGUF_STRING);
    put_string(m->to, text, strlen(text));
}

static void begin_array(metadata *m, const char *key, mebi__gguf_type type, uint64_t count) {
    put_key(m, key, MEBI__GGUF_ARRAY);
    put_u32(m->to, (uint32_t)type);
    put_u64(m->to, count);
}

/* As many tokens as the embedding has rows: other programs insist. Ids without a token get a name
 * that no text can give. */
static void add_tokens(metadata *m, const mebi__gguf_tokens *t, uint64_t rows) {
    begin_array(m, "tokenizer.ggml.tokens", MEBI__GGUF_STRING, rows);
    for (uint64_t i = 0; i < rows; i++) {
        char text[32];
        if (i < t->tokens && t->kind[i]) {
            put_string(m->to, t->token[i].text, t->token[i].bytes);
            continue;
        }
        snprintf(text, sizeof text, "[PAD%" PRIu64 "]", i);
        put_string(m->to, text, strlen(text));
    }
    begin_array(m, "tokenizer.ggml.token_type", MEBI__GGUF_I32, rows);
    for (uint64_t i = 0; i < rows; i++)
        put_u32(m->to, i < t->tokens && t->kind[i] ? t->kind[i] : MEBI__GGUF_TOKEN_UNUSED);
    begin_array(m, "tokenizer.ggml.merges", MEBI__GGUF_STRING, t->merges);
    for (size_t i = 0; i < t->merges; i++) put_string(m->to, t->merge[i].text, t->merge[i].bytes);
}

static void add_vocabulary(metadata *m, const mebi__vocabulary *v, uint64_t rows) {
    add_string(m, "tokenizer.ggml.model", "gpt2");
    add_string(m, "tokenizer.ggml.pre", "qwen2");
    add_tokens(m, &v->tokens, rows);
    if (v->eos >= 0) add_u32(m, "tokenizer.ggml.eos_token_id", v->eos);
    if (v->pad >= 0) add_u32(m, "tokenizer.ggml.padding_token_id", v->pad);
    add_bool(m, "tokenizer.ggml.add_bos_token", 0);
    if (v->chat_template) add_string(m, "tokenizer.chat_template", v->chat_template);
}

static void add_encoder(metadata *m, const mebi__qwen3_config *c) {
    enum { PUBLISHED_CONTEXT = 40960 }; /* the model's own; no shape tells it */
    add_u32(m, "qwen3.block_count", c->layers);
    add_u32(m, "qwen3.context_length", PUBLISHED_CONTEXT);
    add_u32(m, "qwen3.embedding_length", c->hidden);
    add_u32(m, "qwen3.feed_forward_length", c->intermediate);
    add_u32(m, "qwen3.attention.head_count", c->heads);
    add_u32(m, "qwen3.attention.head_count_kv", c->kv_heads);
    add_u32(m, "qwen3.attention.key_length", c->head_dim);
    add_u32(m, "qwen3.attention.value_length", c->head_dim);
    add_f32(m, "qwen3.rope.freq_base", (float)c->rope_theta);
    add_f32(m, "qwen3.attention.layer_norm_rms_epsilon", c->norm_eps);
}

static void add_values(metadata *m, const mebi__target *target, const mebi__about *about) {
    static const int file_types[MEBI_CONVERT_COUNT] = {32, 0, 7, 14}; /* bf16, -, q8_0, q4_k */
    /* The published Z-Image files' word for it: its blocks are Lumina 2's. */
    add_string(m, "general.architecture", about->encoder ? "qwen3" : "lumina2");
    add_string(m, "general.type", "model");
    add_u32(m, "general.quantization_version", 2);
    add_u32(m, "general.file_type", file_types[target->type]);
    if (about->encoder) add_encoder(m, about->encoder);
    if (about->encoder && about->vocabulary)
        add_vocabulary(m, about->vocabulary, (uint64_t)about->encoder->vocab);
}

static void put_tensor(mebi__bytes *b, const mebi__output *o) {
    put_string(b, o->name, strlen(o->name));
    put_u32(b, (uint32_t)o->shape.rank);
    for (int i = o->shape.rank; i-- > 0;) put_u64(b, (uint64_t)o->shape.dim[i]);
    put_u32(b, (uint32_t)mebi__encoding_gguf(o->encoding));
    put_u64(b, o->offset);
}

static mebi_status check_vocabulary(const mebi__about *about, mebi_error *err) {
    if (!about->encoder || !about->vocabulary) return MEBI_OK;
    size_t tokens = about->vocabulary->tokens.tokens, rows = (size_t)about->encoder->vocab;
    if (tokens <= rows) return MEBI_OK;
    return mebi__fail(
        err, MEBI_BAD_FILE,
        "The tokenizer has %zu tokens, the text encoder's embedding %zu rows: they are "
        "not of the same model.",
        tokens, rows);
}

mebi_status mebi__gguf_header(const mebi__outputs *outputs, const mebi__target *target,
                              const mebi__about *about, mebi__bytes *out, mebi_error *err) {
    enum { VALUES_AT = 16 };
    MEBI_TRY(check_vocabulary(about, err));
    metadata m = {.to = out};
    mebi__bytes_put(out, "GGUF", 4);
    put_u32(out, 3);
    put_u64(out, (uint64_t)outputs->count);
    put_u64(out, 0); /* the number of values, known below */
    add_values(&m, target, about);
    for (int i = 0; i < outputs->count; i++) put_tensor(out, &outputs->at[i]);
    mebi__bytes_pad(out, 32, 0);
    if (!out->failed) memcpy(out->at + VALUES_AT, &m.values, sizeof m.values);
    return finish(out, err);
}

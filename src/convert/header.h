/* What stands before the data in a file: built in memory, as its size has to be known first. */
#ifndef MEBI_CONVERT_HEADER_H
#define MEBI_CONVERT_HEADER_H

#include "base/error.h"
#include "convert/outputs.h"
#include "weights/config.h"

/* Bytes that grow. After the first failure nothing is added, and `failed` tells at the end. */
typedef struct mebi__bytes {
    unsigned char *at;
    size_t used, room;
    int failed;
} mebi__bytes;

void mebi__bytes_put(mebi__bytes *b, const void *data, size_t bytes);
void mebi__bytes_pad(mebi__bytes *b, size_t multiple, int byte);
void mebi__bytes_release(mebi__bytes *b);

/* A tokenizer as GGUF has it. Texts are owned by whoever filled it in. */
typedef struct mebi__vocabulary {
    mebi__gguf_tokens tokens;  /* kind 0: an id without a token */
    int64_t eos, pad;          /* -1: none */
    const char *chat_template; /* or NULL */
    void *root;                /* what the texts lie in: a json_t, or NULL */
    void *config;
    char *merges;
} mebi__vocabulary;

/* From a folder or a tokenizer.json (convert/vocabulary.c). */
MEBI_MUST_USE mebi_status mebi__vocabulary_read(const char *path, mebi__vocabulary *out,
                                                mebi_error *err);
void mebi__vocabulary_release(mebi__vocabulary *vocabulary);

/* What a GGUF says about the model in it. */
typedef struct mebi__about {
    const mebi__qwen3_config *encoder;  /* NULL for the DiT */
    const mebi__vocabulary *vocabulary; /* NULL: without */
} mebi__about;

/* GGUF version 3, padded to where the data begins. MEBI_NO_MEMORY, or MEBI_BAD_FILE if the
 * vocabulary does not fit the model. */
MEBI_MUST_USE mebi_status mebi__gguf_header(const mebi__outputs *outputs,
                                            const mebi__target *target, const mebi__about *about,
                                            mebi__bytes *out, mebi_error *err);
/* safetensors: length, then JSON, padded to 8. */
MEBI_MUST_USE mebi_status mebi__safetensors_header(const mebi__outputs *outputs,
                                                   const mebi__target *target, mebi__bytes *out,
                                                   mebi_error *err);

#endif

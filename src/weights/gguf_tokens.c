/* A GGUF's tokenizer as lists. Must never read a list by another's length; what the texts are is
 * checked where they become a tokenizer. */
#include "weights/gguf_tokens.h"
#include "base/memory.h"
#include "weights/json.h"

#include <stdio.h>
#include <string.h>

#define TOKENS "tokenizer.ggml.tokens"

enum { MOST = 1 << 22 };

int mebi__gguf_has_tokens(const mebi__stored_file *file) {
    return mebi__gguf_find(file, TOKENS) != NULL;
}

static mebi_status expect(const mebi__stored_file *file, const char *key, const char *text,
                          mebi_error *err) {
    const char *said = "";
    size_t bytes = 0;
    char shown[64];
    int found = mebi__gguf_string(mebi__gguf_find(file, key), &said, &bytes);
    if (found && bytes == strlen(text) && memcmp(said, text, bytes) == 0) return MEBI_OK;
    snprintf(shown, sizeof shown, "%.*s", (int)(bytes < 48 ? bytes : 48), said);
    return mebi__fail(err, MEBI_UNSUPPORTED,
                      "%s: its tokenizer's \"%s\" is %s%s%s; only \"%s\" is supported. Give the "
                      "tokenizer that the text encoder was published with (--tokenizer).",
                      file->path, key, found ? "\"" : "",
                      found ? mebi__show(shown).text : "missing", found ? "\"" : "", text);
}

static mebi_status list_texts(const mebi__stored_file *file, const char *key, mebi__span **out,
                              size_t *count, mebi_error *err) {
    const mebi__gguf_value *value = mebi__gguf_find(file, key);
    if (!value || !value->is_array || value->type != MEBI__GGUF_STRING || value->count == 0 ||
        value->count > MOST)
        return mebi__fail(
            err, MEBI_BAD_FILE,
            "%s: the metadata has no \"%s\" list of 1 to %d strings. Give the tokenizer "
            "that the text encoder was published with (--tokenizer).",
            file->path, key, MOST);
    *out = mebi__alloc_array(MEBI__TAG_GENERAL, value->count, sizeof **out);
    if (!*out)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the tokens of %s.", file->path);
    const unsigned char *at = value->data;
    for (size_t i = 0; i < value->count; i++)
        mebi__gguf_next_string(&at, &(*out)[i].text, &(*out)[i].bytes);
    *count = value->count;
    return MEBI_OK;
}

static mebi_status list_kinds(const mebi__stored_file *file, mebi__gguf_tokens *out,
                              mebi_error *err) {
    static const char key[] = "tokenizer.ggml.token_type";
    const mebi__gguf_value *value = mebi__gguf_find(file, key);
    int whole = value && value->type != MEBI__GGUF_STRING && value->type != MEBI__GGUF_F32 &&
                value->type != MEBI__GGUF_F64;
    if (!whole || !value->is_array || value->count != out->tokens)
        return mebi__fail(
            err, MEBI_BAD_FILE,
            "%s: the metadata has no \"%s\" list of as many whole numbers as there are "
            "tokens, %zu.",
            file->path, key, out->tokens);
    out->kind = mebi__alloc(MEBI__TAG_GENERAL, out->tokens);
    if (!out->kind)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the tokens of %s.", file->path);
    const unsigned char *at = value->data;
    for (size_t i = 0; i < out->tokens; i++) {
        int64_t kind = mebi__gguf_next_integer(value->type, &at);
        if (kind < MEBI__GGUF_TOKEN_NORMAL || kind > MEBI__GGUF_TOKEN_BYTE)
            return mebi__fail(err, MEBI_BAD_FILE, "%s: the token %zu has the unknown kind %lld.",
                              file->path, i, (long long)kind);
        out->kind[i] = (unsigned char)kind;
    }
    return MEBI_OK;
}

static mebi_status read_lists(const mebi__stored_file *file, mebi__gguf_tokens *out,
                              mebi_error *err) {
    MEBI_TRY(expect(file, "tokenizer.ggml.model", "gpt2", err));
    MEBI_TRY(expect(file, "tokenizer.ggml.pre", "qwen2", err));
    MEBI_TRY(list_texts(file, TOKENS, &out->token, &out->tokens, err));
    MEBI_TRY(list_kinds(file, out, err));
    return list_texts(file, "tokenizer.ggml.merges", &out->merge, &out->merges, err);
}

mebi_status mebi__gguf_tokens_read(const mebi__stored_file *file, mebi__gguf_tokens *out,
                                   mebi_error *err) {
    *out = (mebi__gguf_tokens){0};
    mebi_status status = read_lists(file, out, err);
    if (status != MEBI_OK) mebi__gguf_tokens_release(out);
    return status;
}

void mebi__gguf_tokens_release(mebi__gguf_tokens *tokens) {
    mebi__free(tokens->token);
    mebi__free(tokens->merge);
    mebi__free(tokens->kind);
    *tokens = (mebi__gguf_tokens){0};
}

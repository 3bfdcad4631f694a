/* tokenizer.json -> the lists that a GGUF holds. Must never give a token another id than the
 * tokenizer does. */
#include "base/memory.h"
#include "base/os.h"
#include "convert/header.h"
#include "weights/json.h"

#include <jansson.h>
#include <string.h>

enum { MOST = 1 << 20 };

static mebi_status bad(const char *path, const char *what, mebi_error *err) {
    return mebi__fail(err, MEBI_BAD_FILE, "%s: %s.", path, what);
}

static mebi_status no_memory(const char *path, mebi_error *err) {
    return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the tokens of %s.", path);
}

/* ---- tokens ---- */

static mebi_status set_token(const char *path, mebi__vocabulary *v, const char *text, size_t bytes,
                             json_int_t id, mebi__gguf_token_kind kind, mebi_error *err) {
    if (id < 0 || id >= MOST) return bad(path, "a token's id is out of range", err);
    mebi__gguf_tokens *t = &v->tokens;
    size_t at = (size_t)id;
    /* An added token may repeat one of the vocabulary; another text for its id may not. */
    if (t->kind[at] && (t->token[at].bytes != bytes || memcmp(t->token[at].text, text, bytes) != 0))
        return bad(path, "two tokens have the same id", err);
    t->token[at] = (mebi__span){text, bytes};
    t->kind[at] = (unsigned char)kind;
    if (at + 1 > t->tokens) t->tokens = at + 1;
    return MEBI_OK;
}

static mebi_status read_tokens(const char *path, json_t *vocab, json_t *added, mebi__vocabulary *v,
                               mebi_error *err) {
    const char *text;
    size_t i;
    json_t *value;
    v->tokens.token = mebi__alloc_array(MEBI__TAG_GENERAL, MOST, sizeof(mebi__span));
    v->tokens.kind = mebi__alloc(MEBI__TAG_GENERAL, MOST);
    if (!v->tokens.token || !v->tokens.kind) return no_memory(path, err);
    json_object_foreach(vocab, text, value) {
        if (!json_is_integer(value)) return bad(path, "a token's id is not a number", err);
        MEBI_TRY(set_token(path, v, text, strlen(text), json_integer_value(value),
                           MEBI__GGUF_TOKEN_NORMAL, err));
    }
    json_array_foreach(added, i, value) {
        json_t *content = json_object_get(value, "content"), *id = json_object_get(value, "id");
        if (!json_is_string(content) || !json_is_integer(id))
            return bad(path, "an added token has no content or no id", err);
        MEBI_TRY(set_token(path, v, json_string_value(content), json_string_length(content),
                           json_integer_value(id),
                           json_is_true(json_object_get(value, "special"))
                               ? MEBI__GGUF_TOKEN_CONTROL
                               : MEBI__GGUF_TOKEN_USER_DEFINED,
                           err));
    }
    return MEBI_OK;
}

/* ---- merges: "a b", or ["a", "b"] ---- */

static size_t merge_bytes(const json_t *merge) {
    if (json_is_string(merge)) return json_string_length(merge);
    const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
    if (json_array_size(merge) != 2 || !json_is_string(a) || !json_is_string(b)) return 0;
    return json_string_length(a) + json_string_length(b) + 1;
}

static void write_merge(const json_t *merge, char *to) {
    if (json_is_string(merge)) {
        memcpy(to, json_string_value(merge), json_string_length(merge));
        return;
    }
    const json_t *a = json_array_get(merge, 0), *b = json_array_get(merge, 1);
    size_t left = json_string_length(a);
    memcpy(to, json_string_value(a), left);
    to[left] = ' ';
    memcpy(to + left + 1, json_string_value(b), json_string_length(b));
}

static mebi_status read_merges(const char *path, json_t *list, mebi__vocabulary *v,
                               mebi_error *err) {
    size_t i, total = 1, used = 0, count = json_array_size(list);
    json_t *merge;
    if (count < 1 || count > MOST) return bad(path, "there is no list of merges", err);
    json_array_foreach(list, i, merge) {
        size_t bytes = merge_bytes(merge);
        if (bytes == 0) return bad(path, "a merge is not two tokens", err);
        total += bytes;
    }
    v->merges = mebi__alloc(MEBI__TAG_GENERAL, total);
    v->tokens.merge = mebi__alloc_array(MEBI__TAG_GENERAL, count, sizeof(mebi__span));
    if (!v->merges || !v->tokens.merge) return no_memory(path, err);
    json_array_foreach(list, i, merge) {
        size_t bytes = merge_bytes(merge);
        write_merge(merge, v->merges + used);
        v->tokens.merge[i] = (mebi__span){v->merges + used, bytes};
        used += bytes;
    }
    v->tokens.merges = count;
    return MEBI_OK;
}

/* ---- the files ---- */

static int64_t id_of(const mebi__vocabulary *v, const json_t *token) {
    const json_t *content = json_is_object(token) ? json_object_get(token, "content") : token;
    const char *text = json_string_value(content);
    for (size_t i = 0; text && i < v->tokens.tokens; i++)
        if (v->tokens.kind[i] && v->tokens.token[i].bytes == strlen(text) &&
            memcmp(v->tokens.token[i].text, text, strlen(text)) == 0)
            return (int64_t)i;
    return -1;
}

/* What tokenizer_config.json adds, if it is there. */
static mebi_status read_config(const char *folder, mebi__vocabulary *v, mebi_error *err) {
    char *path = mebi__join_path(folder, "tokenizer_config.json");
    json_t *root = NULL;
    if (!path) return no_memory(folder, err);
    mebi_status status = mebi__is_file(path) ? mebi__json_load(path, &root, err) : MEBI_OK;
    mebi__free(path);
    v->config = root;
    v->eos = id_of(v, json_object_get(root, "eos_token"));
    v->pad = id_of(v, json_object_get(root, "pad_token"));
    v->chat_template = json_string_value(json_object_get(root, "chat_template"));
    return status;
}

static mebi_status read_json(const char *path, mebi__vocabulary *v, mebi_error *err) {
    json_t *root = NULL;
    mebi_status status = mebi__json_load(path, &root, err);
    v->root = root;
    if (status != MEBI_OK) return status;
    json_t *model = json_object_get(root, "model"), *vocab = json_object_get(model, "vocab");
    if (!json_is_object(vocab)) return bad(path, "there is no model with a vocabulary", err);
    MEBI_TRY(read_tokens(path, vocab, json_object_get(root, "added_tokens"), v, err));
    return read_merges(path, json_object_get(model, "merges"), v, err);
}

mebi_status mebi__vocabulary_read(const char *path, mebi__vocabulary *out, mebi_error *err) {
    *out = (mebi__vocabulary){.eos = -1, .pad = -1};
    int is_folder = mebi__is_directory(path);
    char *file =
        is_folder ? mebi__join_path(path, "tokenizer.json") : mebi__copy_string(path, strlen(path));
    mebi_status status = file ? read_json(file, out, err) : no_memory(path, err);
    if (status == MEBI_OK && is_folder) status = read_config(path, out, err);
    mebi__free(file);
    if (status != MEBI_OK) mebi__vocabulary_release(out);
    return status;
}

void mebi__vocabulary_release(mebi__vocabulary *v) {
    json_decref(v->root);
    json_decref(v->config);
    mebi__free(v->merges);
    mebi__gguf_tokens_release(&v->tokens);
    *v = (mebi__vocabulary){.eos = -1, .pad = -1};
}

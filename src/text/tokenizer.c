/* Text to token ids: added tokens, normalization, words, byte pairs, in the order and with the
 * results of the tokenizer library that the models were trained with. Must never be hung or grown
 * without bound by a text. */
#include "text/tokenizer.h"
#include "base/memory.h"
#include "base/os.h"
#include "text/load.h"
#include "text/nfc.h"

#include <string.h>
#include <utf8proc.h>

/* Where a text's bytes go: the ids, and what encoding needs besides. */
typedef struct encoding {
    const mebi__tokenizer *tokenizer;
    mebi__search search;
    mebi__bpe_scratch scratch;
    int32_t *ids;
    int limit, count;
} encoding;

static mebi_status encode_words(encoding *e, const char *text, size_t bytes, mebi_error *err) {
    const char *word;
    size_t length;
    mebi__search_set(&e->search, text, bytes);
    while (e->count < e->limit) {
        MEBI_TRY(mebi__search_next(&e->search, &word, &length, err));
        if (!word) break;
        MEBI_TRY(mebi__bpe_encode(&e->tokenizer->bpe, &e->scratch, word, length, e->ids, e->limit,
                                  &e->count, err));
    }
    return MEBI_OK;
}

typedef mebi_status stage(encoding *e, const char *text, size_t bytes, mebi_error *err);

/* Added tokens of one set; what lies between them goes to the next stage. */
static mebi_status encode_around(encoding *e, const mebi__added_set *set, stage *next,
                                 const char *text, size_t bytes, mebi_error *err) {
    mebi__added_walk walk = {0};
    size_t done = 0;
    while (e->count < e->limit && mebi__added_next(set, text, bytes, &walk)) {
        if (done < walk.begin) MEBI_TRY(next(e, text + done, walk.begin - done, err));
        if (e->count < e->limit) e->ids[e->count++] = walk.id;
        done = walk.taken;
    }
    if (e->count < e->limit && done < bytes) return next(e, text + done, bytes - done, err);
    return MEBI_OK;
}

static mebi_status encode_normalized(encoding *e, const char *text, size_t bytes, mebi_error *err) {
    char *changed = NULL;
    if (e->tokenizer->nfc) MEBI_TRY(mebi__nfc(text, bytes, &changed, &bytes, err));
    mebi_status status = encode_around(e, &e->tokenizer->normalized, encode_words,
                                       changed ? changed : text, bytes, err);
    mebi__free(changed);
    return status;
}

static mebi_status check_text(const char *text, size_t bytes, mebi_error *err) {
    if (bytes > MEBI__TEXT_BYTES)
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "The text has %zu bytes; at most %d are taken. Shorten it: what is beyond "
            "%d tokens has no effect on a picture.",
            bytes, MEBI__TEXT_BYTES, MEBI__PROMPT_TOKENS);
    for (size_t i = 0; i < bytes;) {
        int32_t c;
        utf8proc_ssize_t n =
            utf8proc_iterate((const uint8_t *)text + i, (utf8proc_ssize_t)(bytes - i), &c);
        if (n < 1)
            return mebi__fail(
                err, MEBI_BAD_ARGUMENT,
                "The text is not UTF-8: byte %zu (0x%02X) begins no character. Save or "
                "send it as UTF-8.",
                i + 1, (unsigned)(unsigned char)text[i]);
        i += (size_t)n;
    }
    return MEBI_OK;
}

static mebi_status encode_checked(const mebi__tokenizer *t, const char *text, size_t bytes,
                                  int32_t *ids, int limit, int *count, mebi_error *err) {
    encoding e = {.tokenizer = t, .ids = ids, .limit = limit};
    mebi_status status = mebi__search_begin(t->pattern, &e.search, err);
    if (status == MEBI_OK) status = encode_around(&e, &t->raw, encode_normalized, text, bytes, err);
    mebi__search_end(&e.search);
    mebi__bpe_scratch_release(&e.scratch);
    if (status == MEBI_OK) *count = e.count;
    return status;
}

mebi_status mebi__tokenizer_encode(const mebi__tokenizer *t, const char *text, size_t bytes,
                                   int32_t *ids, int limit, int *count, mebi_error *err) {
    *count = 0;
    MEBI_TRY(check_text(text, bytes, err));
    return encode_checked(t, text, bytes, ids, limit, count, err);
}

mebi_status mebi__tokenizer_encode_prompt(const mebi__tokenizer *t, const char *prompt,
                                          size_t bytes, int32_t ids[MEBI__PROMPT_TOKENS],
                                          int *count, mebi_error *err) {
    static const char before[] = "<|im_start|>user\n",
                      after[] = "<|im_end|>\n<|im_start|>assistant\n";
    size_t head = sizeof before - 1, tail = sizeof after - 1;
    *count = 0;
    /* Before it is wrapped, so that a message counts from the prompt's own first byte. */
    MEBI_TRY(check_text(prompt, bytes, err));
    char *text = mebi__alloc(MEBI__TAG_TEXT, head + bytes + tail);
    if (!text)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a prompt of %zu bytes.", bytes);
    memcpy(text, before, head);
    if (bytes > 0) memcpy(text + head, prompt, bytes);
    memcpy(text + head + bytes, after, tail);
    mebi_status status =
        encode_checked(t, text, head + bytes + tail, ids, MEBI__PROMPT_TOKENS, count, err);
    mebi__free(text);
    return status;
}

/* Reads directory/name, or directory itself if name is NULL. A missing optional file is no error.
 */
static mebi_status read_part(const char *directory, const char *name, int optional,
                             mebi__text_file *file, mebi_error *err) {
    char *path =
        name ? mebi__join_path(directory, name) : mebi__copy_string(directory, strlen(directory));
    char *text = NULL;
    *file = (mebi__text_file){.name = path};
    if (!path) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    if (optional && !mebi__is_file(path)) return MEBI_OK;
    mebi_status status = mebi__read_file(path, MEBI__TOKENIZER_FILE, &text, &file->bytes, err);
    file->text = text;
    return status;
}

static void drop_part(mebi__text_file *file) {
    mebi__free((char *)file->name);
    mebi__free((char *)file->text);
}

static mebi_status open_json(const char *path, const char *name, mebi__tokenizer *t,
                             mebi_error *err) {
    mebi__text_file file;
    mebi_status status = read_part(path, name, 0, &file, err);
    if (status == MEBI_OK) status = mebi__load_tokenizer_json(t, file, err);
    drop_part(&file);
    return status;
}

static mebi_status open_pair(const char *path, mebi__tokenizer *t, mebi_error *err) {
    static const char *const names[] = {"vocab.json", "merges.txt", "added_tokens.json",
                                        "tokenizer_config.json"};
    mebi__text_file file[4] = {0};
    mebi_status status = MEBI_OK;
    for (int i = 0; status == MEBI_OK && i < 4; i++)
        status = read_part(path, names[i], 1, &file[i], err);
    if (status == MEBI_OK && (!file[0].text || !file[1].text))
        status = mebi__fail(err, MEBI_IO,
                            "%s holds no tokenizer: neither tokenizer.json nor both vocab.json and "
                            "merges.txt.",
                            path);
    if (status == MEBI_OK)
        status = mebi__load_vocab_merges(t, file[0], file[1], file[2], file[3], err);
    for (int i = 0; i < 4; i++) drop_part(&file[i]);
    return status;
}

static mebi_status open_any(const char *path, mebi__tokenizer *t, mebi_error *err) {
    if (!mebi__is_directory(path)) return open_json(path, NULL, t, err);
    char *json = mebi__join_path(path, "tokenizer.json");
    if (!json) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    int has_json = mebi__is_file(json);
    mebi__free(json);
    return has_json ? open_json(path, "tokenizer.json", t, err) : open_pair(path, t, err);
}

mebi_status mebi__tokenizer_open(const char *path, mebi__tokenizer **out, mebi_error *err) {
    *out = NULL;
    mebi__tokenizer *t = mebi__alloc(MEBI__TAG_TEXT, sizeof *t);
    if (!t) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a tokenizer.");
    mebi_status status = open_any(path, t, err);
    if (status != MEBI_OK) mebi__tokenizer_close(&t);
    *out = t;
    return status;
}

mebi_status mebi__tokenizer_from_lists(const mebi__token_lists *lists, mebi__tokenizer **out,
                                       mebi_error *err) {
    *out = NULL;
    mebi__tokenizer *t = mebi__alloc(MEBI__TAG_TEXT, sizeof *t);
    if (!t) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a tokenizer.");
    mebi_status status = mebi__load_token_lists(t, lists, err);
    if (status != MEBI_OK) mebi__tokenizer_close(&t);
    *out = t;
    return status;
}

void mebi__tokenizer_close(mebi__tokenizer **tokenizer) {
    if (!*tokenizer) return;
    mebi__tokenizer_release(*tokenizer);
    mebi__free(*tokenizer);
    *tokenizer = NULL;
}

int mebi__tokenizer_vocab(const mebi__tokenizer *tokenizer) {
    return tokenizer->vocab;
}

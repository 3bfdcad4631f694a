/* Tokenizer files to tables: kind, vocabulary, merges. Files are untrusted: every id is bounded and
 * single, every merge is made of tokens that exist, and a tokenizer that would cut text in another
 * way than this program does is refused, never approximated. */
#include "text/load.h"
#include "base/memory.h"
#include "text/quote.h"

#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

void mebi__tokenizer_release(mebi__tokenizer *t) {
    mebi__bpe_release(&t->bpe);
    mebi__pattern_free(&t->pattern);
    mebi__added_release(&t->raw);
    mebi__added_release(&t->normalized);
    memset(t, 0, sizeof *t);
}

mebi_status mebi__load_json(mebi__text_file file, json_t **root, mebi_error *err) {
    json_error_t why;
    *root = json_loadb(file.text, file.bytes, JSON_REJECT_DUPLICATES, &why);
    if (!*root && json_error_code(&why) == json_error_out_of_memory)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory to read %s.", file.name);
    if (!*root)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s is not JSON as tokenizers have it: line %d, column %d: %s.",
                          file.name, why.line, why.column, mebi__quote_string(why.text).text);
    if (json_is_object(*root)) return MEBI_OK;
    json_decref(*root);
    *root = NULL;
    return mebi__fail(err, MEBI_BAD_FILE, "%s holds no JSON object.", file.name);
}

/* A parsed file is hundreds of thousands of small blocks, which the C library would keep. */
void mebi__load_end(mebi__loading *l, json_t *root) {
    mebi__free(l->used);
    l->used = NULL;
    json_decref(root);
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

int mebi__read_id(const json_t *value, int32_t *id) {
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || number >= MEBI__ID_LIMIT) return 0;
    *id = (int32_t)number;
    return 1;
}

int mebi__claim_id(mebi__loading *l, int32_t id) {
    uint64_t bit = (uint64_t)1 << (id & 63);
    if (l->used[id >> 6] & bit) return 0;
    l->used[id >> 6] |= bit;
    return 1;
}

/* Byte-level vocabularies write byte b as one printable character: itself where it is one, else
 * U+0100 and on in order. Writes UTF-8 to text and returns its length, 1 or 2. */
static int byte_as_written(int byte, char text[3]) {
    int c = byte, unprintable = 0;
    for (int b = 0; b <= byte; b++) {
        int printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        if (!printable && b == byte) c = 0x100 + unprintable;
        unprintable += !printable;
    }
    text[0] = (char)(c < 0x80 ? c : 0xc0 | c >> 6);
    text[1] = (char)(c < 0x80 ? 0 : 0x80 | (c & 0x3f));
    text[2] = 0;
    return c < 0x80 ? 1 : 2;
}

static mebi_status find_bytes(mebi__loading *l, mebi_error *err) {
    for (int b = 0; b < 256; b++) {
        char text[3];
        byte_as_written(b, text);
        int never = b == 0xc0 || b == 0xc1 || b > 0xf4; /* in UTF-8 */
        l->to->bpe.byte_id[b] = -1;
        const json_t *id = json_object_get(l->vocab, text);
        if (!mebi__read_id(id, &l->to->bpe.byte_id[b]) && !never)
            return mebi__fail(err, MEBI_UNSUPPORTED,
                              "%s: the vocabulary has no token for the byte 0x%02X (\"%s\"), so it "
                              "is not that of a byte-level BPE; use the tokenizer that the text "
                              "encoder was published with.",
                              l->name, (unsigned)b, text);
    }
    return MEBI_OK;
}

mebi_status mebi__load_vocab(mebi__loading *l, const json_t *vocab, mebi_error *err) {
    const char *key;
    json_t *value;
    l->vocab = vocab;
    if (!json_is_object(vocab))
        return mebi__fail(err, MEBI_BAD_FILE, "%s: there is no vocabulary (token: id).", l->name);
    json_object_foreach((json_t *)vocab, key, value) {
        int32_t id;
        if (!mebi__read_id(value, &id))
            return mebi__fail(err, MEBI_BAD_FILE, "%s: the token \"%s\" has no id from 0 to %d.",
                              l->name, mebi__quote_string(key).text, MEBI__ID_LIMIT - 1);
        if (strlen(key) > MEBI__TOKEN_BYTES)
            return mebi__fail(err, MEBI_BAD_FILE,
                              "%s: the token with id %d has %zu bytes; at most %d are taken.",
                              l->name, id, strlen(key), MEBI__TOKEN_BYTES);
        if (!mebi__claim_id(l, id))
            return mebi__fail(err, MEBI_BAD_FILE,
                              "%s: the token \"%s\" has id %d, which another token has too.",
                              l->name, mebi__quote_string(key).text, id);
        if ((uint32_t)id >= l->to->bpe.ids) l->to->bpe.ids = (uint32_t)id + 1;
    }
    l->to->vocab = (int)l->to->bpe.ids;
    return find_bytes(l, err);
}

/* Merges. */

typedef struct rule_list {
    mebi__merge_rule *rule;
    size_t count;
    char joined[2 * MEBI__TOKEN_BYTES + 1];
} rule_list;

static mebi_status token_id(mebi__loading *l, size_t index, const char *token, uint32_t *id,
                            mebi_error *err) {
    int32_t found;
    if (!mebi__read_id(json_object_get(l->vocab, token), &found))
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: merge %zu needs the token \"%s\", which the vocabulary lacks.",
                          l->name, index + 1, mebi__quote_string(token).text);
    *id = (uint32_t)found;
    return MEBI_OK;
}

/* One merge of two parts, which need not be terminated. */
static mebi_status add_rule(mebi__loading *l, rule_list *list, const char *left, size_t left_bytes,
                            const char *right, size_t right_bytes, mebi_error *err) {
    mebi__merge_rule *rule = &list->rule[list->count];
    if (left_bytes == 0 || right_bytes == 0 || left_bytes > MEBI__TOKEN_BYTES ||
        right_bytes > MEBI__TOKEN_BYTES)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: merge %zu has parts of %zu and %zu bytes; 1 to %d are taken.",
                          l->name, list->count + 1, left_bytes, right_bytes, MEBI__TOKEN_BYTES);
    memcpy(list->joined, right, right_bytes);
    list->joined[right_bytes] = 0;
    MEBI_TRY(token_id(l, list->count, list->joined, &rule->right, err));
    memcpy(list->joined, left, left_bytes);
    list->joined[left_bytes] = 0;
    MEBI_TRY(token_id(l, list->count, list->joined, &rule->left, err));
    memcpy(list->joined + left_bytes, right, right_bytes);
    list->joined[left_bytes + right_bytes] = 0;
    MEBI_TRY(token_id(l, list->count, list->joined, &rule->id, err));
    list->count++;
    return MEBI_OK;
}

/* "left right" */
static mebi_status add_line(mebi__loading *l, rule_list *list, const char *line, size_t bytes,
                            mebi_error *err) {
    const char *space = memchr(line, ' ', bytes);
    size_t left = space ? (size_t)(space - line) : 0;
    if (!space || memchr(space + 1, ' ', bytes - left - 1))
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: merge %zu (\"%s\") is not two tokens with a space between.", l->name,
                          list->count + 1, mebi__quote(line, bytes).text);
    return add_rule(l, list, line, left, space + 1, bytes - left - 1, err);
}

static mebi_status add_json(mebi__loading *l, rule_list *list, const json_t *merge,
                            mebi_error *err) {
    if (json_is_string(merge))
        return add_line(l, list, json_string_value(merge), json_string_length(merge), err);
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    if (json_array_size(merge) != 2 || !json_is_string(left) || !json_is_string(right))
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: merge %zu is neither \"left right\" nor [\"left\", \"right\"].",
                          l->name, list->count + 1);
    return add_rule(l, list, json_string_value(left), json_string_length(left),
                    json_string_value(right), json_string_length(right), err);
}

/* Lines; a first "#version" and empty ones are skipped. The end of one line is the next one's from.
 */
static mebi_status add_text(mebi__loading *l, rule_list *list, mebi__text_file file,
                            mebi_error *err) {
    const char *end = file.text + file.bytes;
    for (const char *from = file.text; from < end;) {
        const char *stop = memchr(from, '\n', (size_t)(end - from));
        size_t bytes = (size_t)((stop ? stop : end) - from);
        int comment = from == file.text && bytes >= 8 && memcmp(from, "#version", 8) == 0;
        const char *line = from;
        from += bytes + (stop != NULL);
        if (bytes > 0 && line[bytes - 1] == '\r') bytes--;
        if (bytes > 0 && !comment) MEBI_TRY(add_line(l, list, line, bytes, err));
    }
    return MEBI_OK;
}

static size_t count_lines(mebi__text_file file) {
    size_t lines = 1;
    for (size_t i = 0; i < file.bytes; i++) lines += file.text[i] == '\n';
    return lines;
}

/* From a JSON list, or from merges.txt if list is NULL. */
mebi_status mebi__load_merges(mebi__loading *l, const json_t *list, mebi__text_file file,
                              mebi_error *err) {
    if (list && !json_is_array(list))
        return mebi__fail(err, MEBI_BAD_FILE, "%s: the model's merges are not a list.", l->name);
    size_t most = list ? json_array_size(list) : count_lines(file), duplicate = 0;
    if (most > MEBI__ID_LIMIT)
        return mebi__fail(err, MEBI_BAD_FILE, "%s: there are %zu merges; at most %d are taken.",
                          l->name, most, MEBI__ID_LIMIT);
    mebi_status status = MEBI_OK;
    rule_list *rules = mebi__alloc(MEBI__TAG_GENERAL, sizeof *rules);
    if (rules) rules->rule = mebi__alloc_array(MEBI__TAG_GENERAL, most + 1, sizeof *rules->rule);
    if (!rules || !rules->rule)
        status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for %zu merges of %s.", most, l->name);
    if (status == MEBI_OK && !list) status = add_text(l, rules, file, err);
    for (size_t i = 0; status == MEBI_OK && i < json_array_size(list); i++)
        status = add_json(l, rules, json_array_get(list, i), err);
    if (status == MEBI_OK) {
        status = mebi__bpe_set_merges(&l->to->bpe, rules->rule, rules->count, &duplicate, err);
        if (status == MEBI_BAD_FILE)
            mebi__fail(err, status, "%s: merge %zu is listed twice.", l->name, duplicate + 1);
    }
    if (rules) mebi__free(rules->rule);
    mebi__free(rules);
    return status;
}

/* Whole words, for ignore_merges. */

static int by_bytes(const void *a, const void *b, void *pool) {
    const mebi__whole_word *x = a, *y = b;
    int order = memcmp((char *)pool + x->offset, (char *)pool + y->offset,
                       x->length < y->length ? x->length : y->length);
    if (order) return order;
    return x->length < y->length ? -1 : x->length > y->length;
}

/* byte_of[c] for the characters of byte_as_written, -1 for others. */
static void byte_table(int16_t byte_of[512]) {
    for (int c = 0; c < 512; c++) byte_of[c] = -1;
    for (int b = 0; b < 256; b++) {
        char text[3];
        int c = byte_as_written(b, text) == 1 ? text[0] : (text[0] & 0x1f) << 6 | (text[1] & 0x3f);
        byte_of[c] = (int16_t)b;
    }
}

/* A token as written to the bytes it stands for; -1 if it stands for none. */
static int to_bytes(const int16_t byte_of[512], const char *token, char *bytes) {
    int n = 0;
    for (const unsigned char *c = (const unsigned char *)token; *c; c++) {
        int point = *c;
        if (*c >= 0xe0) return -1;
        if (*c >= 0x80) {
            point = (*c & 0x1f) << 6 | (c[1] & 0x3f);
            c++;
        }
        if (point >= 512 || byte_of[point] < 0) return -1;
        bytes[n++] = (char)byte_of[point];
    }
    return n;
}

static mebi_status load_words(mebi__loading *l, mebi_error *err) {
    const char *key;
    json_t *value;
    int16_t byte_of[512];
    mebi__bpe *bpe = &l->to->bpe;
    size_t total = 1, at = 0;
    json_object_foreach((json_t *)l->vocab, key, value) total += strlen(key);
    bpe->pool = mebi__alloc(MEBI__TAG_TEXT, total);
    bpe->word = mebi__alloc_array(MEBI__TAG_TEXT, json_object_size(l->vocab), sizeof *bpe->word);
    if (!bpe->pool || !bpe->word)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the vocabulary of %s.", l->name);
    byte_table(byte_of);
    json_object_foreach((json_t *)l->vocab, key, value) {
        int length = to_bytes(byte_of, key, bpe->pool + at);
        if (length <= 0) continue;
        bpe->word[bpe->words++] =
            (mebi__whole_word){(uint32_t)at, (uint32_t)length, (uint32_t)json_integer_value(value)};
        at += (size_t)length;
    }
    qsort_r(bpe->word, bpe->words, sizeof *bpe->word, by_bytes, bpe->pool);
    return MEBI_OK;
}

/* What kind of tokenizer a tokenizer.json describes. */

static int has_type(const json_t *part, const char *type) {
    const char *text = json_string_value(json_object_get(part, "type"));
    return text && strcmp(text, type) == 0;
}

static int is_nothing(const json_t *value) {
    return !value || json_is_null(value);
}

static mebi_status foreign(const mebi__loading *l, const char *what, const json_t *part,
                           mebi_error *err) {
    const char *type = json_string_value(json_object_get(part, "type"));
    return mebi__fail(err, MEBI_UNSUPPORTED,
                      "%s: %s%s%s%s is not that of Qwen's byte-level BPE; use the tokenizer that "
                      "the text encoder was published with.",
                      l->name, what, type ? " (" : "", mebi__quote_string(type ? type : "").text,
                      type ? ")" : "");
}

/* Nothing, a part of this type, or a Sequence of such under key. */
static int is_only(const json_t *part, const char *type, const char *key) {
    if (is_nothing(part) || has_type(part, type)) return 1;
    const json_t *list = json_object_get(part, key);
    if (!has_type(part, "Sequence") || !json_is_array(list)) return 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!has_type(json_array_get(list, i), type)) return 0;
    return 1;
}

static mebi_status load_pre_tokenizer(mebi__loading *l, const json_t *part, mebi_error *err) {
    const json_t *list = json_object_get(part, "pretokenizers");
    const json_t *split = json_array_get(list, 0), *bytes = json_array_get(list, 1);
    const json_t *regex = json_object_get(json_object_get(split, "pattern"), "Regex");
    const char *behavior = json_string_value(json_object_get(split, "behavior"));
    int known = has_type(part, "Sequence") && json_array_size(list) == 2 &&
                has_type(split, "Split") && json_is_string(regex) && behavior &&
                strcmp(behavior, "Isolated") == 0 &&
                json_is_false(json_object_get(split, "invert")) && has_type(bytes, "ByteLevel") &&
                json_is_false(json_object_get(bytes, "add_prefix_space")) &&
                json_is_false(json_object_get(bytes, "use_regex"));
    if (!known) return foreign(l, "the pre-tokenizer", part, err);
    return mebi__pattern_compile(l->name, json_string_value(regex), json_string_length(regex),
                                 &l->to->pattern, err);
}

static mebi_status check_model(mebi__loading *l, const json_t *model, mebi_error *err) {
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    if (!has_type(model, "BPE")) return foreign(l, "the model", model, err);
    for (int i = 0; i < 2; i++) {
        const json_t *affix = json_object_get(model, affixes[i]);
        if (!is_nothing(affix) && json_string_length(affix) > 0)
            return foreign(l, "the model with a prefix or suffix", model, err);
    }
    if (json_number_value(json_object_get(model, "dropout")) != 0)
        return foreign(l, "the model with dropout", model, err);
    return MEBI_OK;
}

static mebi_status load_parts(mebi__loading *l, const json_t *root, mebi_error *err) {
    const json_t *model = json_object_get(root, "model");
    const json_t *normalizer = json_object_get(root, "normalizer");
    const json_t *post = json_object_get(root, "post_processor");
    MEBI_TRY(check_model(l, model, err));
    if (!is_only(normalizer, "NFC", "normalizers"))
        return foreign(l, "the normalizer", normalizer, err);
    if (!is_only(post, "ByteLevel", "processors"))
        return foreign(l, "the post-processor", post, err);
    l->to->nfc = has_type(normalizer, "NFC") ||
                 json_array_size(json_object_get(normalizer, "normalizers")) > 0;
    MEBI_TRY(load_pre_tokenizer(l, json_object_get(root, "pre_tokenizer"), err));
    MEBI_TRY(mebi__load_vocab(l, json_object_get(model, "vocab"), err));
    json_t *merges = json_object_get(model, "merges");
    if (!merges) return mebi__fail(err, MEBI_BAD_FILE, "%s: the model has no merges.", l->name);
    MEBI_TRY(mebi__load_merges(l, merges, (mebi__text_file){0}, err));
    if (json_is_true(json_object_get(model, "ignore_merges"))) MEBI_TRY(load_words(l, err));
    MEBI_TRY(mebi__load_added_list(l, json_object_get(root, "added_tokens"), err));
    return mebi__load_added_finish(l, err);
}

mebi_status mebi__load_begin(mebi__loading *l, mebi__tokenizer *to, const char *name,
                             mebi_error *err) {
    *l = (mebi__loading){.to = to, .name = name};
    l->used = mebi__alloc(MEBI__TAG_GENERAL, MEBI__ID_LIMIT / 8);
    return l->used ? MEBI_OK : mebi__fail(err, MEBI_NO_MEMORY, "No memory to read %s.", name);
}

mebi_status mebi__load_tokenizer_json(mebi__tokenizer *to, mebi__text_file file, mebi_error *err) {
    mebi__loading l;
    json_t *root = NULL;
    mebi_status status = mebi__load_begin(&l, to, file.name, err);
    if (status == MEBI_OK) status = mebi__load_json(file, &root, err);
    if (status == MEBI_OK) status = load_parts(&l, root, err);
    mebi__load_end(&l, root);
    return status;
}

static mebi_status load_beside(mebi__loading *l, mebi__text_file added, mebi__text_file config,
                               mebi_error *err) {
    json_t *root = NULL, *decoder = NULL;
    mebi_status status = MEBI_OK;
    if (config.text) {
        status = mebi__load_json(config, &root, err);
        decoder = json_object_get(root, "added_tokens_decoder");
        l->name = config.name;
        if (status == MEBI_OK) status = mebi__load_added_decoder(l, decoder, err);
    }
    if (status == MEBI_OK && !decoder && added.text) {
        json_decref(root);
        l->name = added.name;
        status = mebi__load_json(added, &root, err);
        if (status == MEBI_OK) status = mebi__load_added_map(l, root, err);
    }
    json_decref(root);
    return status == MEBI_OK ? mebi__load_added_finish(l, err) : status;
}

mebi_status mebi__load_vocab_merges(mebi__tokenizer *to, mebi__text_file vocab,
                                    mebi__text_file merges, mebi__text_file added,
                                    mebi__text_file config, mebi_error *err) {
    mebi__loading l;
    json_t *root = NULL;
    to->nfc = 1;
    mebi_status status = mebi__load_begin(&l, to, vocab.name, err);
    if (status == MEBI_OK)
        status = mebi__pattern_compile(vocab.name, mebi__qwen2_pattern, strlen(mebi__qwen2_pattern),
                                       &to->pattern, err);
    if (status == MEBI_OK) status = mebi__load_json(vocab, &root, err);
    if (status == MEBI_OK) status = mebi__load_vocab(&l, root, err);
    l.name = merges.name;
    if (status == MEBI_OK) status = mebi__load_merges(&l, NULL, merges, err);
    if (status == MEBI_OK) status = load_beside(&l, added, config, err);
    mebi__load_end(&l, root);
    return status;
}

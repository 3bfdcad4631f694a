/* Added tokens from the three forms in which files list them. Must never let one text or one id
 * mean two things. */
#include "base/memory.h"
#include "text/load.h"
#include "text/nfc.h"
#include "text/quote.h"

#include <stdlib.h>
#include <string.h>

/* A flag of an added token: absent gives otherwise; anything but true and false is refused (-1). */
static int flag(const json_t *token, const char *key, int otherwise) {
    const json_t *value = json_object_get(token, key);
    if (!value) return otherwise;
    return json_is_boolean(value) ? json_is_true(value) : -1;
}

/* A token of the vocabulary may be listed again under its id; no other id may be shared. */
static mebi_status claim(mebi__loading *l, const char *content, int32_t id, mebi_error *err) {
    int32_t listed = -1;
    const json_t *known = json_object_get(l->vocab, content);
    if (known && mebi__read_id(known, &listed) && listed != id)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: the added token \"%s\" has id %d, but the vocabulary gives it %d.",
                          l->name, mebi__quote_string(content).text, id, listed);
    if (!known && !mebi__claim_id(l, id))
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: the added token \"%s\" has id %d, which another token has too.",
                          l->name, mebi__quote_string(content).text, id);
    if (id >= l->to->vocab) l->to->vocab = id + 1;
    return MEBI_OK;
}

/* The content as it is looked for: normalized where the text will be. */
static mebi_status set_content(mebi__loading *l, mebi__added_token *token, const char *content,
                               mebi_error *err) {
    size_t bytes = strlen(content);
    token->content = NULL;
    if (token->normalized && l->to->nfc)
        MEBI_TRY(mebi__nfc(content, bytes, &token->content, &bytes, err));
    if (!token->content) token->content = mebi__copy_string(content, bytes);
    token->bytes = bytes;
    if (!token->content) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for an added token.");
    return MEBI_OK;
}

static mebi_status add(mebi__loading *l, const json_t *content, const json_t *id,
                       const json_t *flags, mebi_error *err) {
    const char *text = json_string_value(content);
    mebi__added_token token = {0};
    if (!text || !mebi__read_id(id, &token.id))
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: an added token%s%s%s has no text or no id from 0 to %d.", l->name,
                          text ? " \"" : "", mebi__quote_string(text ? text : "").text,
                          text ? "\"" : "", MEBI__ID_LIMIT - 1);
    if (*text == 0 || strlen(text) > MEBI__ADDED_BYTES)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: the added token with id %d has %zu bytes; 1 to %d are taken.",
                          l->name, token.id, strlen(text), MEBI__ADDED_BYTES);
    int special = flag(flags, "special", 0);
    token.left_strip = flag(flags, "lstrip", 0);
    token.right_strip = flag(flags, "rstrip", 0);
    token.single_word = flag(flags, "single_word", 0);
    token.normalized = flag(flags, "normalized", !special);
    if ((special | token.left_strip | token.right_strip | token.single_word | token.normalized) < 0)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: a flag of the added token \"%s\" is neither true nor false.",
                          l->name, mebi__quote_string(text).text);
    MEBI_TRY(claim(l, text, token.id, err));
    MEBI_TRY(set_content(l, &token, text, err));
    mebi_status status =
        mebi__added_append(token.normalized ? &l->to->normalized : &l->to->raw, token, err);
    if (status != MEBI_OK) mebi__free(token.content);
    return status;
}

mebi_status mebi__load_added_list(mebi__loading *l, const json_t *list, mebi_error *err) {
    if (list && !json_is_null(list) && !json_is_array(list))
        return mebi__fail(err, MEBI_BAD_FILE, "%s: added_tokens is not a list.", l->name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *token = json_array_get(list, i);
        MEBI_TRY(
            add(l, json_object_get(token, "content"), json_object_get(token, "id"), token, err));
    }
    return MEBI_OK;
}

/* {"151643": {"content": "<|endoftext|>", flags}, ...} */
mebi_status mebi__load_added_decoder(mebi__loading *l, const json_t *decoder, mebi_error *err) {
    const char *key;
    json_t *token;
    if (decoder && !json_is_object(decoder))
        return mebi__fail(err, MEBI_BAD_FILE, "%s: added_tokens_decoder is not an object.",
                          l->name);
    json_object_foreach((json_t *)decoder, key, token) {
        char *end;
        long number = strtol(key, &end, 10);
        if (*key < '0' || *key > '9' || *end || number < 0 || number >= MEBI__ID_LIMIT)
            return mebi__fail(err, MEBI_BAD_FILE,
                              "%s: added_tokens_decoder has the id \"%s\"; 0 to %d are taken.",
                              l->name, mebi__quote_string(key).text, MEBI__ID_LIMIT - 1);
        json_t *id = json_integer(number);
        if (!id) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for an added token.");
        mebi_status status = add(l, json_object_get(token, "content"), id, token, err);
        json_decref(id);
        MEBI_TRY(status);
    }
    return MEBI_OK;
}

/* {"<|endoftext|>": 151643, ...}, without flags: in this form all tokens of these models are found
 * in the raw text. */
mebi_status mebi__load_added_map(mebi__loading *l, const json_t *map, mebi_error *err) {
    const char *key;
    json_t *id;
    json_t *flags = map ? json_pack("{s:b}", "normalized", 0) : NULL;
    if (map && !flags) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for added tokens.");
    mebi_status status = MEBI_OK;
    json_object_foreach((json_t *)map, key, id) {
        json_t *content = json_string(key);
        status = content ? add(l, content, id, flags, err)
                         : mebi__fail(err, MEBI_NO_MEMORY, "No memory for an added token.");
        json_decref(content);
        if (status != MEBI_OK) break;
    }
    json_decref(flags);
    return status;
}

mebi_status mebi__load_added_finish(mebi__loading *l, mebi_error *err) {
    static const char *const needed[] = {"<|im_start|>", "<|im_end|>"};
    const mebi__added_token *twice = mebi__added_sort(&l->to->raw);
    if (!twice) twice = mebi__added_sort(&l->to->normalized);
    if (twice)
        return mebi__fail(err, MEBI_BAD_FILE, "%s: the added token \"%s\" is listed twice.",
                          l->name, mebi__quote(twice->content, twice->bytes).text);
    for (int i = 0; i < 2; i++)
        if (!mebi__added_lookup(&l->to->raw, needed[i]) &&
            !mebi__added_lookup(&l->to->normalized, needed[i]))
            return mebi__fail(err, MEBI_UNSUPPORTED,
                              "%s: there is no added token %s, which prompts are wrapped in; use "
                              "the tokenizer of a Qwen3 model, with tokenizer_config.json or "
                              "added_tokens.json beside vocab.json.",
                              l->name, needed[i]);
    return MEBI_OK;
}

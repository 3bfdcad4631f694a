/* A tokenizer that lies in memory as lists, such as a GGUF's. Must never take a text that is not
 * what the files of other forms could hold: UTF-8 without zeros, each word once. */
#include "text/load.h"
#include "text/quote.h"

#include <string.h>

/* What the lists are turned into: the parts of a tokenizer.json. */
typedef struct parts {
    json_t *vocab, *added, *merges;
} parts;

static mebi_status refuse(const mebi__token_lists *lists, const char *what, size_t index,
                          mebi__span span, mebi_error *err) {
    return mebi__fail(err, MEBI_BAD_FILE,
                      "%s: the %s %zu (\"%s\") is empty, not UTF-8, or there twice.", lists->name,
                      what, index, mebi__quote(span.text, span.bytes).text);
}

static mebi_status no_memory(const mebi__token_lists *lists, mebi_error *err) {
    return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the tokens of %s.", lists->name);
}

static int is_text(mebi__span span) {
    json_t *probe = NULL;
    if (span.bytes == 0 || memchr(span.text, 0, span.bytes)) return 0;
    probe = json_stringn(span.text, span.bytes);
    json_decref(probe);
    return probe != NULL;
}

static mebi_status add_token(const mebi__token_lists *lists, size_t i, parts *to, mebi_error *err) {
    mebi__token_kind kind = lists->kind(lists->context, i);
    mebi__span span = lists->token[i];
    json_t *map = kind == MEBI__TOKEN_WORD ? to->vocab : to->added;
    if (kind == MEBI__TOKEN_UNUSED) return MEBI_OK;
    if (!is_text(span) || json_object_getn(map, span.text, span.bytes))
        return refuse(lists, "token", i, span, err);
    return json_object_setn_new(map, span.text, span.bytes, json_integer((json_int_t)i)) == 0
               ? MEBI_OK
               : no_memory(lists, err);
}

static mebi_status convert(const mebi__token_lists *lists, parts *to, mebi_error *err) {
    *to = (parts){json_object(), json_object(), json_array()};
    if (!to->vocab || !to->added || !to->merges) return no_memory(lists, err);
    if (lists->tokens > MEBI__ID_LIMIT || lists->merges > MEBI__ID_LIMIT)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s has %zu tokens and %zu merges; at most %d are taken.", lists->name,
                          lists->tokens, lists->merges, MEBI__ID_LIMIT);
    for (size_t i = 0; i < lists->tokens; i++) MEBI_TRY(add_token(lists, i, to, err));
    for (size_t i = 0; i < lists->merges; i++) {
        mebi__span span = lists->merge[i];
        if (!is_text(span)) return refuse(lists, "merge", i, span, err);
        if (json_array_append_new(to->merges, json_stringn(span.text, span.bytes)) != 0)
            return no_memory(lists, err);
    }
    return MEBI_OK;
}

mebi_status mebi__load_token_lists(mebi__tokenizer *to, const mebi__token_lists *lists,
                                   mebi_error *err) {
    mebi__loading l;
    parts from = {0};
    to->nfc = 1;
    mebi_status status = mebi__load_begin(&l, to, lists->name, err);
    if (status == MEBI_OK)
        status = mebi__pattern_compile(lists->name, mebi__qwen2_pattern,
                                       strlen(mebi__qwen2_pattern), &to->pattern, err);
    if (status == MEBI_OK) status = convert(lists, &from, err);
    if (status == MEBI_OK) status = mebi__load_vocab(&l, from.vocab, err);
    if (status == MEBI_OK) status = mebi__load_merges(&l, from.merges, (mebi__text_file){0}, err);
    if (status == MEBI_OK) status = mebi__load_added_map(&l, from.added, err);
    if (status == MEBI_OK) status = mebi__load_added_finish(&l, err);
    json_decref(from.added);
    json_decref(from.merges);
    mebi__load_end(&l, from.vocab);
    return status;
}

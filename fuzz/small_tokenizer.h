/* A tokenizer of 256 bytes, a few merges and the chat template's tokens, as file texts; for
 * targets. */
#ifndef MEBI_FUZZ_SMALL_TOKENIZER_H
#define MEBI_FUZZ_SMALL_TOKENIZER_H

#include "text/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void require(int condition) {
    if (!condition) abort();
}

/* Messages go to terminals. */
static inline void require_printable(const char *text) {
    for (; *text; text++) require((unsigned char)*text >= 0x20 && *text != 0x7f);
}

/* Bytes as vocabularies write them, then what the merges make. */
static const char *const small_merges[][2] = {
    {"a", "a"},           {"aa", "aa"}, {"a", "b"},           {"ab", "a"},     {"b", "aa"},
    {"l", "l"},           {"'", "ll"},  {" ", "a"},           {"\u0120", "a"}, {"\u0120", "\u0120"},
    {"\u010a", "\u010a"}, {"1", "2"},   {"\u00e4", "\u00b8"}, /* first bytes of U+4E00 */
    {"\u00cc", "\u0123"},
};

/* byte as a character of a byte-level vocabulary, in UTF-8. */
static inline void written_byte(int byte, char text[4]) {
    int c = byte, next = 0x100;
    for (int b = 0; b <= byte; b++)
        if (b <= 0x20 || (b >= 0x7f && b <= 0xa0) || b == 0xad) {
            if (b == byte) c = next;
            next++;
        }
    snprintf(text, 4, c < 0x80 ? "%c" : "%c%c", c < 0x80 ? c : 0xc0 | c >> 6, 0x80 | (c & 0x3f));
}

static inline json_t *small_vocab(void) {
    json_t *vocab = json_object();
    char text[32];
    for (int b = 0; b < 256; b++) {
        written_byte(b, text);
        json_object_set_new(vocab, text, json_integer(b));
    }
    for (size_t i = 0, id = 256; i < sizeof small_merges / sizeof *small_merges; i++) {
        snprintf(text, sizeof text, "%s%s", small_merges[i][0], small_merges[i][1]);
        if (small_merges[i][0][0] != ' ') json_object_set_new(vocab, text, json_integer((int)id++));
    }
    return vocab;
}

static inline json_t *small_added(void) {
    return json_pack(
        "[{s:i,s:s,s:b,s:b},{s:i,s:s,s:b,s:b},{s:i,s:s,s:b,s:b,s:b},{s:i,s:s,s:b,s:b}]", "id", 300,
        "content", "<|im_start|>", "normalized", 0, "special", 1, "id", 301, "content",
        "<|im_end|>", "normalized", 0, "special", 1, "id", 302, "content", "<think>", "normalized",
        1, "special", 0, "single_word", 0, "id", 303, "content", "word", "normalized", 0,
        "single_word", 1);
}

static inline json_t *small_pre_tokenizer(void) {
    return json_pack("{s:s,s:[{s:s,s:{s:s},s:s,s:b},{s:s,s:b,s:b}]}", "type", "Sequence",
                     "pretokenizers", "type", "Split", "pattern", "Regex", mebi__qwen2_pattern,
                     "behavior", "Isolated", "invert", 0, "type", "ByteLevel", "add_prefix_space",
                     0, "use_regex", 0);
}

/* tokenizer.json; freed by free. */
static inline char *small_tokenizer_json(int nfc) {
    json_t *merges = json_array();
    for (size_t i = 0; i < sizeof small_merges / sizeof *small_merges; i++)
        if (small_merges[i][0][0] != ' ')
            json_array_append_new(merges,
                                  json_pack("[s,s]", small_merges[i][0], small_merges[i][1]));
    json_t *root = json_pack("{s:o,s:o,s:{s:s,s:o,s:o}}", "added_tokens", small_added(),
                             "pre_tokenizer", small_pre_tokenizer(), "model", "type", "BPE",
                             "vocab", small_vocab(), "merges", merges);
    require(root != NULL);
    if (nfc) json_object_set_new(root, "normalizer", json_pack("{s:s}", "type", "NFC"));
    char *text = json_dumps(root, JSON_COMPACT);
    require(text != NULL);
    json_decref(root);
    return text;
}

#endif

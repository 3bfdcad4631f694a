/* Qwen2's byte-level BPE: text to token ids. */
#ifndef MEBI_TEXT_TOKENIZER_H
#define MEBI_TEXT_TOKENIZER_H

#include "base/error.h"
#include "base/span.h"

#include <stddef.h>
#include <stdint.h>

typedef struct mebi__tokenizer mebi__tokenizer;

enum {
    MEBI__PROMPT_TOKENS = 512,  /* a prompt is cut to this many */
    MEBI__TEXT_BYTES = 1 << 20, /* a longer text is refused */
};

/* path: a folder with tokenizer.json, or vocab.json and merges.txt (and, for the added tokens,
 * added_tokens.json or tokenizer_config.json); or a tokenizer.json itself. */
MEBI_MUST_USE mebi_status mebi__tokenizer_open(const char *path, mebi__tokenizer **out,
                                               mebi_error *err);

/* A tokenizer as lists in memory, with Qwen2's pattern and NFC. A token's place is its id. */
typedef enum mebi__token_kind {
    MEBI__TOKEN_WORD,   /* written as byte-level vocabularies do */
    MEBI__TOKEN_ADDED,  /* one token wherever it stands in the raw text */
    MEBI__TOKEN_UNUSED, /* an id that no text gives */
} mebi__token_kind;

typedef struct mebi__token_lists {
    const char *name; /* of the file, for messages */
    const mebi__span *token, *merge; /* a merge is "left right" */
    mebi__token_kind (*kind)(const void *context, size_t token);
    const void *context;
    size_t tokens, merges;
} mebi__token_lists;

MEBI_MUST_USE mebi_status mebi__tokenizer_from_lists(const mebi__token_lists *lists,
                                                     mebi__tokenizer **out, mebi_error *err);
void mebi__tokenizer_close(mebi__tokenizer **tokenizer);

/* Largest id + 1. */
int mebi__tokenizer_vocab(const mebi__tokenizer *tokenizer);

/* Ids of text (UTF-8, bytes long, may hold zeros). Writes at most limit ids and stores in *count
 * how many were written: more text than that is cut, which is no error. Invalid UTF-8 is
 * MEBI_BAD_ARGUMENT and names the byte; so is a text above MEBI__TEXT_BYTES. Thread-safe. */
MEBI_MUST_USE mebi_status mebi__tokenizer_encode(const mebi__tokenizer *tokenizer, const char *text,
                                                 size_t bytes, int32_t *ids, int limit, int *count,
                                                 mebi_error *err);

/* The same for a prompt in the chat template, cut to MEBI__PROMPT_TOKENS:
 * <|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n */
MEBI_MUST_USE mebi_status mebi__tokenizer_encode_prompt(const mebi__tokenizer *tokenizer,
                                                        const char *prompt, size_t bytes,
                                                        int32_t ids[MEBI__PROMPT_TOKENS],
                                                        int *count, mebi_error *err);

#endif

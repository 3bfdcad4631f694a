/* The tokenizer that a GGUF's metadata holds, as lists. */
#ifndef MEBI_WEIGHTS_GGUF_TOKENS_H
#define MEBI_WEIGHTS_GGUF_TOKENS_H

#include "base/span.h"
#include "weights/gguf.h"

/* What a token is, with the numbers that files have. */
typedef enum mebi__gguf_token_kind {
    MEBI__GGUF_TOKEN_NORMAL = 1,
    MEBI__GGUF_TOKEN_UNKNOWN = 2,
    MEBI__GGUF_TOKEN_CONTROL = 3,
    MEBI__GGUF_TOKEN_USER_DEFINED = 4,
    MEBI__GGUF_TOKEN_UNUSED = 5,
    MEBI__GGUF_TOKEN_BYTE = 6,
} mebi__gguf_token_kind;

/* Texts are the file's and stay valid until it is closed. */
typedef struct mebi__gguf_tokens {
    mebi__span *token, *merge; /* a token's place is its id; a merge is "left right" */
    unsigned char *kind;       /* mebi__gguf_token_kind of each token */
    size_t tokens, merges;
} mebi__gguf_tokens;

/* 1 if the metadata holds a tokenizer, of whatever kind. */
int mebi__gguf_has_tokens(const mebi__stored_file *file);
/* MEBI_UNSUPPORTED if it is not Qwen2's byte-level BPE, MEBI_BAD_FILE if its lists don't fit each
 * other. *out is empty after a failure. */
MEBI_MUST_USE mebi_status mebi__gguf_tokens_read(const mebi__stored_file *file,
                                                 mebi__gguf_tokens *out, mebi_error *err);
void mebi__gguf_tokens_release(mebi__gguf_tokens *tokens);

#endif

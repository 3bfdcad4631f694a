/* Where weights and text meet: the tokenizer that a GGUF holds. Must never let a token be both a
 * word and an added one. */
#include "engine/tokens.h"

static mebi__token_kind kind_of(const void *context, size_t token) {
    const mebi__gguf_tokens *tokens = context;
    switch (tokens->kind[token]) {
    case MEBI__GGUF_TOKEN_CONTROL:
    case MEBI__GGUF_TOKEN_USER_DEFINED: return MEBI__TOKEN_ADDED;
    case MEBI__GGUF_TOKEN_UNUSED: return MEBI__TOKEN_UNUSED;
    default: return MEBI__TOKEN_WORD;
    }
}

mebi_status mebi__open_tokenizer(const mebi__model_files *files, mebi__tokenizer **out,
                                 mebi_error *err) {
    const mebi__gguf_tokens *tokens = &files->tokens;
    mebi__token_lists lists = {.name = files->tokenizer_path,
                               .token = tokens->token,
                               .merge = tokens->merge,
                               .kind = kind_of,
                               .context = tokens,
                               .tokens = tokens->tokens,
                               .merges = tokens->merges};
    return tokens->tokens ? mebi__tokenizer_from_lists(&lists, out, err)
                          : mebi__tokenizer_open(files->tokenizer_path, out, err);
}

/* The tokenizer of an opened model. */
#ifndef MEBI_ENGINE_TOKENS_H
#define MEBI_ENGINE_TOKENS_H

#include "text/tokenizer.h"
#include "weights/config.h"

/* From the model's tokenizer files, or from the lists that its text encoder's GGUF holds. */
MEBI_MUST_USE mebi_status mebi__open_tokenizer(const mebi__model_files *files,
                                               mebi__tokenizer **out, mebi_error *err);

#endif

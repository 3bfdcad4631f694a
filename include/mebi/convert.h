/* Model files in other forms: smaller, or such as other programs read. SPDX-License-Identifier:
 * Apache-2.0
 */
#ifndef MEBI_CONVERT_H
#define MEBI_CONVERT_H

#include "mebi/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mebi_convert_type {
    MEBI_CONVERT_BF16, /* .safetensors or .gguf */
    MEBI_CONVERT_INT8, /* .safetensors: int8 with an f32 scale for each output row */
    MEBI_CONVERT_Q8_0, /* .gguf, 8.5 bits a weight */
    MEBI_CONVERT_Q4_K, /* .gguf, 4.5 bits a weight */
    MEBI_CONVERT_COUNT
} mebi_convert_type;

/* "bf16", "int8", "q8_0", "q4_k". Never NULL. */
MEBI_API const char *mebi_convert_type_name(mebi_convert_type type);

/* What is to be converted: one of the first three; the others are NULL. Strings need only live
 * during the call. */
typedef struct mebi_convert_params {
    const char
        *model; /* a model folder: its diffusion model and text encoder, and all else copied */
    const char *diffusion_model; /* a .safetensors or .gguf file, or a folder, each */
    const char *text_encoder;
    const char
        *tokenizer; /* what a text encoder in GGUF is to hold; NULL: the one beside it, if any */
    mebi_convert_type type;
    const char *output; /* the file, ending in .gguf or .safetensors; with model, a new folder in
                         * the same layout. Must not exist */
    int threads;        /* 1 to 256; 0: one for each physical core */
} mebi_convert_params;

typedef struct mebi_convert_progress {
    const char *tensor;           /* its name in the new file */
    double fraction;              /* of all values, 0 to 1 */
    double seconds, seconds_left; /* the latter negative while there is no estimate */
} mebi_convert_progress;

/* Called from the thread that called mebi_convert. Any may be NULL. */
typedef struct mebi_convert_callbacks {
    void *context;
    void (*progress)(void *context, const mebi_convert_progress *progress);
    int (*cancelled)(void *context); /* non-zero ends the work with MEBI_CANCELLED */
} mebi_convert_callbacks;

typedef struct mebi_convert_report {
    uint64_t bytes_before, bytes_after; /* of the converted files' tensors; of the new files */
    int tensors;                        /* written */
    int has_tokenizer;                  /* a text encoder was written with one */
    double seconds;
} mebi_convert_report;

/* Writes under a temporary name, syncs, then renames; on failure nothing stays. Matrices get the
 * type; what is small or delicate keeps more: see README. Tensors with values that are not finite
 * are refused. *report may be NULL. */
MEBI_API MEBI_MUST_USE mebi_status mebi_convert(const mebi_convert_params *params,
                                                const mebi_convert_callbacks *callbacks,
                                                mebi_convert_report *report, mebi_error *err);

#ifdef __cplusplus
}
#endif
#endif

/* What a model file holds, told from its header. SPDX-License-Identifier: Apache-2.0 */
#ifndef MEBI_FILE_H
#define MEBI_FILE_H

#include "mebi/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MEBI_FILE_TYPES = 40 };

typedef struct mebi_file_type {
    const char *name; /* "Q4_K", "F32", ...: static */
    int tensors;
    int readable; /* 1: mebi computes with tensors of this type */
} mebi_file_type;

typedef struct mebi_file_info {
    const char *format;    /* "GGUF" or "safetensors" */
    char architecture[64]; /* as a GGUF names it; else "" */
    int tensors;
    uint64_t elements; /* of all tensors */
    uint64_t bytes;    /* of the file */
    int types;         /* how many of type[] are set; the commonest first */
    mebi_file_type type[MEBI_FILE_TYPES];
} mebi_file_info;

/* Reads a safetensors or GGUF file's header. A broken or foreign file is refused with a sentence.
 */
MEBI_API MEBI_MUST_USE mebi_status mebi_file_describe(const char *path, mebi_file_info *info,
                                                      mebi_error *err);

#ifdef __cplusplus
}
#endif
#endif

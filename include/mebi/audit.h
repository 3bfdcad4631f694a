/* Auditing a precision: how far each layer's result is from the same layer's in the weights' own type.
 * SPDX-License-Identifier: Apache-2.0
 *
 * One input goes through a part of the model twice: with plain matrices and f32 arithmetic (exact), and
 * quantized. Then once more quantized, each layer fed what it got in the exact pass, which tells what it
 * adds by itself. The relative error of a tensor is the norm of the difference over the norm of the exact one.
 */
#ifndef MEBI_AUDIT_H
#define MEBI_AUDIT_H

#include "mebi/engine.h"
#include "mebi/status.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MEBI_AUDIT_LINES = 256, MEBI_AUDIT_KINDS = 3 };

typedef enum mebi_audit_part {
    MEBI_AUDIT_ENCODER,     /* token ids to features */
    MEBI_AUDIT_TRANSFORMER, /* one denoising step */
    MEBI_AUDIT_PARTS
} mebi_audit_part;

/* "encoder", "transformer". Never NULL. */
MEBI_API const char *mebi_audit_part_name(mebi_audit_part part);

typedef struct mebi_audit_params {
    /* Parts that are named are opened; with none, random weights of the published model's shapes are made.
     * Tokenizer and cache are not used. Precision: int8, or AUTO, which means int8. */
    mebi_engine_params engine;
    unsigned parts;    /* a bit for each: 1 << MEBI_AUDIT_TRANSFORMER */
    int outliers;      /* 1: random weights with channels 50 times the rest, and values to 1e5 */
    int width, height; /* of the picture, in pixels */
    int tokens;        /* of the prompt, 1 to 512: random ids */
    /* Told what is being done, for people; may be NULL. */
    void (*progress)(void *context, const char *text);
    void *context;
} mebi_audit_params;

/* Both parts, 256x256, 61 tokens. */
MEBI_API mebi_audit_params mebi_audit_params_default(void);

/* One stage of a part: a layer, an embedding, the output. */
typedef struct mebi_audit_line {
    char stage[40];
    double error;   /* relative, all before it quantized too */
    double added;   /* relative, when all that it reads is exact */
    double largest; /* magnitude in the exact result */
    double furthest; /* largest difference, all before it quantized too */
} mebi_audit_line;

/* All matrices of one kind quantized, the others plain. */
typedef struct mebi_audit_kind {
    const char *name; /* "q k v", "out", "w1 w3", "w2" */
    double error;     /* relative, of the part's result */
} mebi_audit_kind;

typedef struct mebi_audit_result {
    int lines; /* 0: the part was not asked for. The last one is the part's result */
    mebi_audit_line line[MEBI_AUDIT_LINES];
    int kinds; /* 0 where memory holds only one form of the weights at a time */
    mebi_audit_kind kind[MEBI_AUDIT_KINDS];
    double error; /* of the part's result; NaN if it has values that are no numbers */
    double floor; /* the same with plain matrices and each stage's result rounded to bf16, nothing else:
                     what programs that compute in bf16 lose at least */
} mebi_audit_result;

typedef struct mebi_audit_report {
    mebi_precision precision;
    const char *cpu; /* instruction set in use */
    int threads;
    int random; /* 1: random weights */
    mebi_audit_result part[MEBI_AUDIT_PARTS];
} mebi_audit_report;

/* Each part is loaded, audited and released before the next. report is filled only on success; a large
 * error is a finding, not a failure. */
MEBI_API MEBI_MUST_USE mebi_status mebi_audit(const mebi_audit_params *params,
                                              mebi_audit_report *report, mebi_error *err);

#ifdef __cplusplus
}
#endif
#endif

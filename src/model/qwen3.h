/* The Qwen3 text encoder: token ids to features.
 *
 * The feature is the residual stream before the last layer, so that layer, the final norm and the
 * language head are never loaded. Source: transformers' Qwen3Model, hidden_states[-2].
 */
#ifndef MEBI_MODEL_QWEN3_H
#define MEBI_MODEL_QWEN3_H

#include "compute/ops.h"
#include "model/params.h"
#include "weights/config.h"

typedef struct mebi__qwen3_layer {
    mebi__view input_norm, post_norm;   /* [hidden] */
    mebi__matrix q, k, v;               /* [heads*head_dim | kv_heads*head_dim, hidden] */
    mebi__view q_norm, k_norm;          /* [head_dim] */
    mebi__matrix o;                     /* [hidden, heads*head_dim] */
    mebi__matrix gate, up;              /* [intermediate, hidden] */
    mebi__matrix down;                  /* [hidden, intermediate] */
} mebi__qwen3_layer;

typedef struct mebi__qwen3 {
    mebi__qwen3_config config;
    mebi__params params;
    mebi__view embed;         /* [vocab, hidden] */
    mebi__view ones;          /* [hidden]: mebi__rows_norm */
    mebi__qwen3_layer *layer; /* config.layers - 1 of them */
} mebi__qwen3;

MEBI_MUST_USE mebi_status mebi__qwen3_load(mebi__qwen3 *m, const mebi__loading *how,
                                         const mebi__qwen3_config *config, mebi_error *err);
void mebi__qwen3_release(mebi__qwen3 *m);

/* features[T, hidden] of T ids on the host. Submits once a layer. */
void mebi__qwen3_forward(mebi__stream *s, const mebi__qwen3 *m, const int32_t *ids, int count,
                         mebi__view features);

#endif

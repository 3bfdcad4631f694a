/* The diffusion transformer (S3-DiT): latent, time and caption to a velocity.
 *
 * What depends only on the prompt (caption tokens, angles) and only on the step (modulation) is
 * computed once and handed in. Source: diffusers' ZImageTransformer2DModel.
 *
 * Letters: C latent channels, h x w latent pixels, D width, X image tokens and T caption tokens, each padded to a
 * multiple of 32.
 */
#ifndef MEBI_MODEL_DIT_H
#define MEBI_MODEL_DIT_H

#include "compute/ops.h"
#include "model/matrix.h"
#include "model/params.h"
#include "weights/config.h"

enum { MEBI__SEQUENCE_MULTIPLE = 32 };

typedef struct mebi__dit_block {
    mebi__view attention_norm1, attention_norm2, ffn_norm1, ffn_norm2; /* [D] */
    mebi__matrix q, k, v, o;                                           /* [D, D] */
    mebi__view norm_q, norm_k;                                         /* [head_dim] */
    mebi__matrix w1, w3;                                               /* [F, D] */
    mebi__matrix w2;                                                   /* [D, F] */
    mebi__view modulation_w, modulation_b; /* [4D, adaln_dim], [4D]; none in the context refiner */
} mebi__dit_block;

typedef struct mebi__dit {
    mebi__dit_config config;
    mebi__params params;
    mebi__view x_embed_w, x_embed_b;              /* [D, 4C], [D] */
    mebi__view cap_norm, cap_embed_w, cap_embed_b; /* [caption_dim], [D, caption_dim], [D] */
    mebi__view time_w1, time_b1, time_w2, time_b2;
    mebi__view x_pad, cap_pad;                    /* [D] */
    mebi__view ones;                              /* [D]: mebi__rows_norm */
    mebi__view final_modulation_w, final_modulation_b, final_w, final_b;
    mebi__dit_block *noise_refiner, *context_refiner; /* config.refiner_layers each */
    mebi__dit_block *layer;                           /* config.layers */
} mebi__dit;

MEBI_MUST_USE mebi_status mebi__dit_load(mebi__dit *m, const mebi__loading *how,
                                         const mebi__dit_config *config,
                                         mebi_error *err);
void mebi__dit_release(mebi__dit *m);

/* All that a prompt contributes at one image size. */
typedef struct mebi__dit_prompt {
    mebi__view caption;  /* [T, D], refined */
    mebi__view cos, sin; /* [X + T, head_dim/2] */
} mebi__dit_prompt;

/* From features [n, caption_dim], once a prompt. Image tokens' positions are `stride` apart: 1, or more for a small
 * picture whose tokens stand where those of a large one do. Given back with mebi__dit_prompt_give. */
void mebi__dit_prompt_take(mebi__stream *s, const mebi__dit *m, mebi__view features, int64_t h,
                           int64_t w, int stride, mebi__dit_prompt *out);
void mebi__dit_prompt_give(mebi__stream *s, mebi__dit_prompt *prompt);

/* All that a step contributes. */
typedef struct mebi__dit_step {
    mebi__view time;  /* [1, adaln_dim]: the embedded time */
    mebi__view block; /* [1, 4D]: the vectors of the block at work */
} mebi__dit_step;

/* For the time 1 - sigma, once a step. */
void mebi__dit_step_take(mebi__stream *s, const mebi__dit *m, float time, mebi__dit_step *out);
void mebi__dit_step_give(mebi__stream *s, mebi__dit_step *step);

/* out[C,h,w] from latent[C,h,w]: the transformer's own output, so the velocity is -out. Submits once
 * a layer. */
void mebi__dit_forward(mebi__stream *s, const mebi__dit *m, const mebi__dit_prompt *prompt,
                       const mebi__dit_step *step, mebi__view latent, mebi__view out);

enum { MEBI__DIT_PROMPTS = 2 };

/* Several pictures, each with every one of some prompts: all of them pass a layer before the next one's turn. */
typedef struct mebi__dit_group {
    const mebi__dit *m;
    const mebi__dit_step *step;
    const mebi__dit_prompt *prompt[MEBI__DIT_PROMPTS];
    int prompts;
    mebi__view latents;                /* [n, C, h, w] */
    mebi__view out[MEBI__DIT_PROMPTS]; /* [n, C, h, w] each */
    int few_rows;                      /* 1: in chunks of few rows */
} mebi__dit_group;

/* The same bits as mebi__dit_forward of each. Tells s->turn of its layers: the noise refiner's, then the others,
 * counted from 0. Submits once a layer and sequence. */
void mebi__dit_forward_group(mebi__stream *s, const mebi__dit_group *group);

#endif

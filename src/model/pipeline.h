/* From a prompt's ids to pixels: the stages of a job, for the device that works and the one that
 * only counts.
 *
 * Between stages everything is in host memory: features, latents and pixels are downloaded as soon
 * as they exist, so a device that fails later loses nothing.
 */
#ifndef MEBI_MODEL_PIPELINE_H
#define MEBI_MODEL_PIPELINE_H

#include "base/prefetch.h"
#include "model/dit.h"
#include "model/qwen3.h"
#include "model/sampler.h"
#include "model/strategy.h"
#include "model/vae.h"

/* The parts, owned by the engine. */
typedef struct mebi__pipeline {
    mebi__qwen3 encoder;
    mebi__dit dit;
    mebi__vae vae;
    mebi__scheduler_config scheduler;
    mebi__prefetch *prefetch; /* for streamed weights; NULL: they come as they are read */
} mebi__pipeline;

/* How a picture is sampled. */
typedef struct mebi__sampling {
    int64_t latent_height, latent_width;
    int steps;
    int stride;          /* tokens' positions are this many apart: a draft's are its large picture's; 0 is 1 */
    int first_step;      /* 0; to go on with latents after which so many steps were done */
    float guidance;      /* pos + guidance * (pos - neg); 0: off */
    float truncation;    /* guidance is off once the time 1 - sigma exceeds this; >= 1: never */
    float normalization; /* cap on the guided norm as a multiple of pos's; 0: none */
    int preview_every;   /* what the picture would become is shown after each so many steps but the last; 0: never */
} mebi__sampling;

/* Who looks on while pictures are sampled. */
typedef struct mebi__watch {
    void *context;
    void (*after_step)(void *context, int step); /* 1..steps, when all pictures have made it; may be NULL */
    /* After that, for each picture: its latent without the noise that is left, [C, h, w] in clean, as the velocity
     * just computed has it. Not NULL if how->preview_every isn't 0. */
    void (*preview)(void *context, int step, int picture);
    float *clean;
} mebi__watch;

/* What the prompts contribute to every picture of a job. */
typedef struct mebi__conditions {
    mebi__dit_prompt positive, negative; /* negative only with guidance */
    int guided;
} mebi__conditions;

/* Pixels a picture's sides must be multiples of. */
int mebi__pipeline_multiple(const mebi__pipeline *p);

/* features[count, hidden] to host memory. */
void mebi__pipeline_encode(mebi__stream *s, const mebi__pipeline *p, const mebi__strategy *way,
                           const int32_t *ids, int count, float *features);

/* After the prompts are encoded: the encoder's mapped weights may go until they are read again. */
void mebi__pipeline_free_encoder(const mebi__pipeline *p);

/* From host features [tokens, hidden]; negative_tokens 0: no guidance. Once a job. */
void mebi__pipeline_condition(mebi__stream *s, const mebi__pipeline *p, const mebi__sampling *how,
                              const float *positive, int tokens, const float *negative,
                              int negative_tokens, mebi__conditions *out);
void mebi__pipeline_release(mebi__stream *s, mebi__conditions *conditions);

/* latents [n, C, h, w] in host memory, n >= 1: noise on entry (or, with how->first_step, what so many steps
 * made of it), after each step the latents so far, the result at the end. way->together takes all n pictures
 * and both of guidance's passes through each layer; else one picture and one pass after the other takes
 * each step. The bits are the same, and those of each picture alone. watch may be NULL. A picture whose velocity is not finite makes its step again
 * with the matrices' plain form, if it had used packed ones (and s->exact_runs counts it); if that doesn't
 * help it ends with MEBI_NUMERIC and leaves all n latents as the step before made them. */
void mebi__pipeline_denoise(mebi__stream *s, const mebi__pipeline *p, const mebi__strategy *way,
                            const mebi__sampling *how, const mebi__conditions *conditions,
                            float *latents, int n, const mebi__watch *watch);

/* pixels u8 [H, W, 3] from a latent [C, h, w], both in host memory. */
void mebi__pipeline_decode(mebi__stream *s, const mebi__pipeline *p, const mebi__strategy *way,
                           const float *latent, int64_t h, int64_t w, unsigned char *pixels);

/* latent [C, H/scale, W/scale] from a picture f32 [H, W, 3], -1..1, both in host memory. */
void mebi__pipeline_encode_picture(mebi__stream *s, const mebi__pipeline *p, const float *picture,
                                   int64_t height, int64_t width, float *latent);

#endif

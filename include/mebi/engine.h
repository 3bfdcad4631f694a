/* A model, opened, and the pictures it makes. SPDX-License-Identifier: Apache-2.0
 *
 *     mebi_error err = {0};
 *     mebi_engine_params params = mebi_engine_params_default();
 *     params.model = "models/mini";
 *     mebi_engine *engine;
 *     if (mebi_engine_open(&params, NULL, &engine, &err) != MEBI_OK) puts(err.text);
 *     mebi_request request = mebi_request_default(engine);
 *     request.prompt = "a red apple on a white background";
 *     mebi_generate(engine, &request, &callbacks, &report, &err);
 *     mebi_engine_close(&engine);
 *
 * Several engines may live in one process. One engine makes one job at a time: calls on it from
 * several threads must not overlap, except where a callback says so.
 */
#ifndef MEBI_ENGINE_H
#define MEBI_ENGINE_H

#include "mebi/image.h"
#include "mebi/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mebi_engine mebi_engine; /* owned by the caller; ended by mebi_engine_close */

/* How the large matrices of transformer and text encoder are multiplied. */
typedef enum mebi_precision {
    MEBI_PRECISION_AUTO, /* int8 for models of over half a billion weights, else f32 */
    MEBI_PRECISION_F32,  /* the weights as the file has them, f32 arithmetic */
    MEBI_PRECISION_BF16, /* the same with activations in bf16 where the processor multiplies that */
    MEBI_PRECISION_INT8, /* weights and activations quantized: about twice as fast; docs/numerics.md
                            has what it costs in accuracy */
    MEBI_PRECISION_COUNT
} mebi_precision;

/* "auto", "f32", "bf16", "int8". Never NULL. */
MEBI_API const char *mebi_precision_name(mebi_precision precision);

/* Where a model's parts are, and how to run them. Strings need only live during the call. */
typedef struct mebi_engine_params {
    const char *model;           /* folder in the diffusers layout; NULL if every part is given */
    const char *diffusion_model; /* a .safetensors file or a folder, each of the four; */
    const char *text_encoder;    /* NULL: from the model folder */
    const char *vae;
    const char *tokenizer; /* a folder or a tokenizer.json */
    int threads;           /* 1 to 256; 0: one for each physical core */
    mebi_precision precision;
    /* Folder for weights in packed form, made at the first start and read at later ones. NULL: the
     * environment's MEBI_CACHE_DIR, else XDG_CACHE_HOME/mebi, else ~/.cache/mebi. "": none; packed weights
     * then take memory of their own. */
    const char *cache;
} mebi_engine_params;

MEBI_API mebi_engine_params mebi_engine_params_default(void);

typedef enum mebi_stage {
    MEBI_STAGE_LOAD,   /* opening a model */
    MEBI_STAGE_ENCODE, /* prompt to features */
    MEBI_STAGE_STEP,   /* denoising: step of steps */
    MEBI_STAGE_DECODE, /* latent to pixels */
    MEBI_STAGE_SAVE,   /* the image callback */
    MEBI_STAGE_COUNT
} mebi_stage;

/* "load", "encode", "step", "decode", "save". Never NULL. */
MEBI_API const char *mebi_stage_name(mebi_stage stage);

typedef struct mebi_progress {
    mebi_stage stage;
    int image, count;    /* 1..count: the picture being made; 0 while loading and encoding */
    int step, steps;     /* finished steps of this picture */
    double fraction;     /* of the whole job's arithmetic (loading: of its parts), 0 to 1 */
    double seconds;      /* since the job began */
    double seconds_left; /* estimate; negative while there is none */
} mebi_progress;

/* All called from the thread that called mebi_engine_open or mebi_generate. Any may be NULL. */
typedef struct mebi_callbacks {
    void *context;
    /* At every stage's begin and after every layer. */
    void (*progress)(void *context, const mebi_progress *progress);
    /* A picture is ready: save it. The pixels are the engine's, and valid during the call. Anything
     * but MEBI_OK ends the job with that status; *err takes the reason. */
    mebi_status (*image)(void *context, int index, int64_t seed, const mebi_image *image,
                         mebi_error *err);
    /* Asked after every layer: non-zero ends the job with MEBI_CANCELLED. Usually reads a flag that
     * another thread or a signal handler sets. */
    int (*cancelled)(void *context);
    /* Something the user should know, as a sentence; work goes on. */
    void (*notice)(void *context, const char *text);
} mebi_callbacks;

/* callbacks may be NULL; the image callback is not used. */
MEBI_API MEBI_MUST_USE mebi_status mebi_engine_open(const mebi_engine_params *params,
                                                    const mebi_callbacks *callbacks,
                                                    mebi_engine **engine, mebi_error *err);
/* Accepts a NULL engine; nulls the pointer. */
MEBI_API void mebi_engine_close(mebi_engine **engine);

/* What is known of an open model. Strings live as long as the engine. */
typedef struct mebi_engine_info {
    const char *model_hash;    /* 16 hex digits: names, shapes and a sample of the weights */
    const char *cpu;           /* instruction set in use: "avx2", "ref", ... */
    const char *unused_tensors; /* tensors in the files that nothing asked for; "" if none */
    mebi_precision precision; /* in use: never AUTO */
    int threads;
    int size_multiple; /* width and height must be multiples of this: 16 */
    int largest_side;  /* pixels */
    int native_side;   /* pixels: the size the model was made for */
} mebi_engine_info;

MEBI_API mebi_engine_info mebi_engine_describe(const mebi_engine *engine);

/* One job: `count` pictures of one prompt, seeds seed, seed + 1, ... */
typedef struct mebi_request {
    const char *prompt;          /* UTF-8; not NULL; cut at 512 tokens */
    const char *negative_prompt; /* UTF-8; NULL: empty. Used only with guidance */
    int width, height;           /* pixels, multiples of 16 */
    int steps;                   /* forward passes, 1 to 120 */
    float cfg;                   /* guidance scale: v = pos + cfg * (pos - neg); 0: none; to 100 */
    float cfg_truncation;        /* 0 to 1: no guidance once 1 - sigma exceeds it; 1: never ends */
    float cfg_normalization;     /* cap |v| at this multiple of |pos|; 0: no cap */
    int64_t seed;                /* -1: random; PyTorch's CPU noise, low 32 bits count */
    int count;                   /* 1 to 64 */
} mebi_request;

/* 1 picture at the model's native size, 8 steps, no guidance, random seed; prompt is NULL. */
MEBI_API mebi_request mebi_request_default(const mebi_engine *engine);

/* What a job takes: known before it starts. Bytes are of resident memory, mapped model files not
 * counted (the system can drop and reread those at any time). */
typedef struct mebi_plan {
    size_t peak_bytes;    /* of the process, at most */
    size_t base_bytes;    /* resident already */
    size_t arena_bytes;   /* activations */
    size_t scratch_bytes; /* kernels */
    size_t output_bytes;  /* pixels, and what saving them as PNG takes */
    double operations;    /* arithmetic of the job, multiply-add counted as 2 */
} mebi_plan;

typedef struct mebi_report {
    mebi_plan plan;
    size_t peak_bytes;  /* measured: the process's highest resident size less mapped model files */
    int64_t seed;       /* of the first picture */
    int images;         /* handed to the image callback */
    int exact_runs;     /* steps and prompts done again unquantized: int8 gave no number */
    double seconds[MEBI_STAGE_COUNT]; /* loading: of this engine */
    double total_seconds;
} mebi_report;

/* Checks a request and tells what it takes, without working. Same errors as mebi_generate's. */
MEBI_API MEBI_MUST_USE mebi_status mebi_plan_request(mebi_engine *engine,
                                                     const mebi_request *request, mebi_plan *plan,
                                                     mebi_error *err);

/* Makes the pictures. MEBI_NO_MEMORY before any work if the job does not fit. *report (may be NULL)
 * is filled as far as the job came, also on failure. */
MEBI_API MEBI_MUST_USE mebi_status mebi_generate(mebi_engine *engine, const mebi_request *request,
                                                 const mebi_callbacks *callbacks,
                                                 mebi_report *report, mebi_error *err);

#ifdef __cplusplus
}
#endif
#endif

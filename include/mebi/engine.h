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
 * Several engines may live in one process. One engine makes one job at a time. mebi_plan_request and
 * mebi_engine_describe may be called from any threads beside it, and from callbacks; mebi_engine_close when
 * every other call has returned.
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

/* How far a result may be from the model's own arithmetic, for a precision that is AUTO. */
typedef enum mebi_quality {
    MEBI_QUALITY_HIGH,  /* int8 for models of over half a billion weights; docs/numerics.md has the error */
    MEBI_QUALITY_EXACT, /* the weights as the file has them, f32 arithmetic */
    MEBI_QUALITY_ANY,   /* int8 for all models */
    MEBI_QUALITY_COUNT
} mebi_quality;

/* "high", "exact", "any". Never NULL. */
MEBI_API const char *mebi_quality_name(mebi_quality quality);

/* Whether a model's mapped weights stay in memory while a job runs. */
typedef enum mebi_weights_way {
    MEBI_WEIGHTS_AUTO,     /* as the plan finds fastest within the budget */
    MEBI_WEIGHTS_RESIDENT, /* all of them stay */
    MEBI_WEIGHTS_FREED,    /* the text encoder's are let go once the prompts are encoded */
    MEBI_WEIGHTS_STREAMED, /* layer by layer, the next one read while one computes */
    MEBI_WEIGHTS_COUNT
} mebi_weights_way;

/* How a picture is decoded from its latent. All give the same picture, but for a last bit of a pixel. */
typedef enum mebi_decode_way {
    MEBI_DECODE_AUTO,
    MEBI_DECODE_WHOLE,  /* fastest, most memory */
    MEBI_DECODE_STRIPS, /* about half the memory, hardly slower */
    MEBI_DECODE_TILED,  /* about a quarter; some of it is computed twice */
    MEBI_DECODE_COUNT
} mebi_decode_way;

/* "auto", "resident", "freed", "streamed"; "auto", "whole", "strips", "tiled". Never NULL. */
MEBI_API const char *mebi_weights_way_name(mebi_weights_way way);
MEBI_API const char *mebi_decode_way_name(mebi_decode_way way);

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
    mebi_quality quality; /* for precision AUTO */
    size_t budget_bytes;  /* memory that this process may take in all, mapped weights counted; 0: what the
                             system has free. Never more than that. */
    mebi_weights_way weights;
    /* 1: nothing is loaded; only mebi_plan_request, mebi_engine_describe and close work. A model's files need
     * not be there: without any, the published model's shapes are planned with. */
    int plan_only;
    const char *planned_device; /* name of a machine to plan for instead of this one: see mebi_device_name;
                                   NULL: this one. Needs plan_only */
    int calibrate; /* 1: a machine whose speed is not known yet is measured, which takes a few seconds */
} mebi_engine_params;

MEBI_API mebi_engine_params mebi_engine_params_default(void);

typedef enum mebi_stage {
    MEBI_STAGE_LOAD,   /* opening a model */
    MEBI_STAGE_TAKE,   /* planning a job, and taking its memory: all of it before any work */
    MEBI_STAGE_ENCODE, /* prompt to features */
    MEBI_STAGE_STEP,   /* denoising: step of steps */
    MEBI_STAGE_DECODE, /* latent to pixels */
    MEBI_STAGE_SAVE,   /* the image callback */
    MEBI_STAGE_COUNT
} mebi_stage;

/* "load", "take", "encode", "step", "decode", "save". Never NULL. */
MEBI_API const char *mebi_stage_name(mebi_stage stage);

typedef struct mebi_progress {
    mebi_stage stage;
    int image, count;    /* 1..count: the picture being made; 0 until the first picture's steps */
    int step, steps;     /* finished steps of this picture */
    double fraction;     /* of the whole job's planned seconds (loading: of its parts), 0 to 1 */
    double seconds;      /* since the job began */
    double seconds_left; /* estimate; negative while there is none */
} mebi_progress;

/* Pictures of a job after one of their steps: what a callback is shown, and what a later job can go on from
 * (mebi_request.resume), in this process or another. */
typedef struct mebi_latents {
    int index;                   /* of the first of them in its job, from 0 */
    int pictures;                /* so many, seeds seed, seed + 1, ...: where a batch is made together, several */
    int64_t seed;                /* of the first */
    int step, steps;             /* finished ones, 1 to steps */
    int channels, height, width; /* of one picture's latent; a draft's is as small as the draft */
    size_t count;                /* floats: pictures * channels * height * width */
    const float *values;         /* [pictures, channels, height, width] */
} mebi_latents;

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
    /* What picture `index` would become if it were finished now, roughly and small: one pixel for each 8x8 of
     * the picture. After every mebi_request.preview_every-th step but the last. Valid during the call. */
    void (*preview)(void *context, int index, int step, const mebi_image *image);
    /* After each step, the last one too. The values are the engine's, and valid during the call. Anything but
     * MEBI_OK ends the job with that status. */
    mebi_status (*latents)(void *context, const mebi_latents *latents);
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
    int shapes_only;   /* 1: no files: the published model's shapes */
    const char *planned_device; /* full name of the machine planned for; NULL: this one */
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
    mebi_decode_way decode;
    /* 0, or 2 to 8: a draft, as many times smaller on each side (width and height are the large picture's,
     * multiples of 16 times this), from the same noise averaged, so that both share their composition. */
    int draft;
    int preview_every; /* a preview after each so many steps, to 120; 0: none */
    /* NULL, or what the latents callback was shown by a job of the same model, prompts, size, steps and guidance:
     * the first resume->pictures pictures go on from it and come out bit for bit as if nothing had interrupted
     * them. seed: theirs, or -1; count: theirs and those that had not begun. resume->index is not looked at. */
    const mebi_latents *resume;
} mebi_request;

/* 1 picture at the model's native size, 8 steps, no guidance, random seed; prompt is NULL. */
MEBI_API mebi_request mebi_request_default(const mebi_engine *engine);

typedef enum mebi_verdict {
    MEBI_FITS,     /* with everything in memory at once */
    MEBI_TILED,    /* with the picture, or the transformer's rows, worked on in parts */
    MEBI_STREAMED, /* with weights read again and again, or let go in between */
    MEBI_TOO_BIG,
    MEBI_VERDICT_COUNT
} mebi_verdict;

/* "fits", "tiled", "streamed", "too_big". Never NULL. */
MEBI_API const char *mebi_verdict_name(mebi_verdict verdict);

/* What memory is for. */
typedef enum mebi_memory {
    MEBI_MEMORY_DIT,
    MEBI_MEMORY_ENCODER,
    MEBI_MEMORY_VAE,         /* the three parts' weights, mapped ones as far as they are held at once */
    MEBI_MEMORY_ACTIVATIONS, /* and kernels' scratch */
    MEBI_MEMORY_OUTPUT,      /* pixels, and what saving them takes */
    MEBI_MEMORY_OTHER,       /* tokenizer, names, threads, the program itself */
    MEBI_MEMORY_COUNT
} mebi_memory;

/* "DiT weights", ... Never NULL. */
MEBI_API const char *mebi_memory_name(mebi_memory memory);

enum { MEBI_ALTERNATIVES = 4 };

/* A request near the one planned, that fits. */
typedef struct mebi_alternative {
    int width, height, count;
    float cfg; /* as asked for, or 0 */
    mebi_verdict verdict;
    size_t need_bytes;
    double seconds; /* negative: not known */
} mebi_alternative;

/* What a job takes: known before it starts. */
typedef struct mebi_plan {
    mebi_verdict verdict;
    size_t peak_bytes;   /* of the process's own memory, at most: what the system can't take back */
    size_t file_bytes;   /* of mapped weights beside it, held for the seconds to hold: what the system can drop
                            and read again */
    size_t system_bytes; /* what the system itself takes to manage these: tables of pages, about */
    size_t need_bytes;   /* all three: what is compared with the budget */
    size_t budget_bytes; /* for the whole process */
    size_t memory[MEBI_MEMORY_COUNT]; /* need_bytes by purpose, at the moment that takes most */
    size_t base_bytes;    /* resident already */
    size_t arena_bytes;   /* activations */
    size_t scratch_bytes; /* kernels */
    size_t output_bytes;  /* pixels, and what saving them as PNG takes */
    double operations;    /* arithmetic of the job, multiply-add counted as 2 */
    double seconds[MEBI_STAGE_COUNT]; /* loading: 0, the model is open */
    double total_seconds;
    double step_seconds;              /* of one picture's one step, at the mean */
    int estimate; /* 1: from a datasheet or a guess, not from measurements on this machine */
    /* How it would be done. */
    mebi_weights_way weights;
    mebi_decode_way decode;
    mebi_precision precision;
    int together;     /* 1: guidance's passes and the batch's pictures share each reading of the weights */
    int small_chunks; /* 1: the transformer's attention and feed-forward in small chunks of rows */
    char strategy[160]; /* that, in words */
    char why[240];      /* a sentence: why this way, or why it can't be done */
    int alternatives;   /* what would fit, nearest first, if this doesn't */
    mebi_alternative alternative[MEBI_ALTERNATIVES];
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

/* Machines that can be planned for: 0, 1, ... ; NULL beyond the last. */
MEBI_API const char *mebi_device_name(int index);

/* Checks a request and tells what it takes, without working. MEBI_OK also for one that is too big: the
 * verdict says so. Other errors as mebi_generate's. The prompt may be NULL: one of usual length.
 * From any thread. Beside a job on the same engine it answers as if that job were finished and its memory
 * given back, and does not wait for it: some milliseconds. Only with mebi_engine_params.calibrate, while no job
 * runs, one call takes as long as measuring the machine does; a mebi_generate that comes meanwhile waits
 * for that, and other plans are estimates. */
MEBI_API MEBI_MUST_USE mebi_status mebi_plan_request(mebi_engine *engine,
                                                     const mebi_request *request, mebi_plan *plan,
                                                     mebi_error *err);

/* Makes the pictures. MEBI_NO_MEMORY before any work if the job does not fit. *report (may be NULL)
 * is filled as far as the job came, also on failure. One at a time on an engine: a second one, of another thread or
 * from a callback, is refused with MEBI_BAD_ARGUMENT. */
MEBI_API MEBI_MUST_USE mebi_status mebi_generate(mebi_engine *engine, const mebi_request *request,
                                                 const mebi_callbacks *callbacks,
                                                 mebi_report *report, mebi_error *err);

#ifdef __cplusplus
}
#endif
#endif

/* Measuring: a model's stages and the operations they are made of, beside what the machine can do.
 * SPDX-License-Identifier: Apache-2.0
 *
 * The machine's peaks are measured in the same run: before, between and after the timed work, of which the
 * largest is kept, and in short glimpses while a stage is at work, of which the mean is kept: a machine that
 * others use too gives less at one moment than at the next. A share is the time that the arithmetic would
 * take at the peak of the precision it ran in, over the time it took.
 */
#ifndef MEBI_BENCH_H
#define MEBI_BENCH_H

#include "mebi/engine.h"
#include "mebi/status.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MEBI_BENCH_SIZES = 16, MEBI_BENCH_LINES = 32, MEBI_BENCH_KERNELS = 96 };

/* All threads at work. */
typedef struct mebi_bench_peaks {
    double int8, bf16, f32; /* operations a second; a multiply-add counts as 2 */
    double read;            /* bytes a second, from memory */
} mebi_bench_peaks;

typedef enum mebi_bench_stage {
    MEBI_BENCH_ENCODE, /* a prompt's tokens to features */
    MEBI_BENCH_STEP,   /* one denoising step: modulation, forward pass, check of the result */
    MEBI_BENCH_DECODE, /* latent to pixels */
    MEBI_BENCH_STAGES
} mebi_bench_stage;

/* "encode", "step", "decode". Never NULL. */
MEBI_API const char *mebi_bench_stage_name(mebi_bench_stage stage);

typedef struct mebi_bench_params {
    /* Parts that are named are opened; with none, random weights of the published model's shapes are made.
     * The tokenizer is not used, nor is the cache. Precision AUTO is int8. */
    mebi_engine_params engine;
    unsigned stages; /* a bit for each: 1 << MEBI_BENCH_STEP */
    int tokens;      /* of the prompt, 1 to 512 */
    int runs;        /* 1 to 99: the median counts */
    int layers;      /* 0: all. Otherwise the transformer has as many, for random weights only: all its
                        layers are alike, so a few tell how a step's cost grows */
    int outliers;    /* 1: random weights with channels 50 times the rest, and values to 1e5 */
    mebi_decode_way decode; /* AUTO is whole */
    int sizes;       /* 1 to MEBI_BENCH_SIZES */
    struct {
        int width, height;
    } size[MEBI_BENCH_SIZES];
    /* Told what is being done, for people; may be NULL. */
    void (*progress)(void *context, const char *text);
    void *context;
} mebi_bench_params;

/* All stages, 61 tokens, 3 runs, one size: 512x512. */
MEBI_API mebi_bench_params mebi_bench_params_default(void);

/* One operation in one arithmetic, in the median run. */
typedef struct mebi_bench_line {
    const char *operation;  /* "LINEAR_INT8" */
    const char *arithmetic; /* "int8", "bf16", "f32" */
    long calls;
    double operations, bytes, seconds;
    double share; /* of the arithmetic's peak in that run */
} mebi_bench_line;

/* One stage at one size. seconds 0: it was not asked for. */
typedef struct mebi_bench_result {
    double seconds, fastest, slowest; /* of the runs; seconds is the median */
    double operations, bytes;         /* bytes of operands, each operation's counted */
    mebi_bench_peaks peaks;           /* while the median run was at work; its shares are of these */
    double roofline_share;
    double share_of_best; /* the same of the report's peaks */
    /* The larger of: operations at their peaks, and the weights' bytes at the speed of memory. */
    double bound_seconds;
    double int8_part;   /* of the arithmetic outside attention */
    double load_seconds; /* making, or opening and packing, the part's weights */
    size_t weight_bytes; /* held for weights in memory of its own, not in mapped files */
    size_t arena_bytes, scratch_bytes;
    size_t peak_bytes, planned_bytes; /* of the process, mapped model files not counted */
    int lines;
    mebi_bench_line line[MEBI_BENCH_LINES]; /* most seconds first */
} mebi_bench_result;

typedef struct mebi_bench_report {
    mebi_bench_peaks peaks; /* the largest found */
    mebi_precision precision;
    const char *cpu; /* instruction set in use */
    int threads;
    int random; /* 1: random weights */
    mebi_bench_result encode; /* the same at every size */
    mebi_bench_result step[MEBI_BENCH_SIZES], decode[MEBI_BENCH_SIZES];
} mebi_bench_report;

/* Each part is loaded, timed at every size and released before the next. report is filled only on
 * success. */
MEBI_API MEBI_MUST_USE mebi_status mebi_bench_full_size(const mebi_bench_params *params,
                                                        mebi_bench_report *report,
                                                        mebi_error *err);

/* One kernel at one shape of the model. */
typedef struct mebi_bench_kernel {
    char name[64];
    const char *arithmetic;
    double operations, bytes, seconds; /* of one call, the fastest of some */
    double share;                      /* of the arithmetic's peak */
    double bound_share;                /* of the larger of arithmetic at peak and bytes from memory */
    double error;                      /* against plain C on a smaller shape, relative to the largest value */
} mebi_bench_kernel;

typedef struct mebi_bench_kernels {
    mebi_bench_peaks peaks;
    const char *cpu;
    int threads, count;
    mebi_bench_kernel kernel[MEBI_BENCH_KERNELS];
} mebi_bench_kernels;

/* Kernels whose name contains `only` (NULL: all), `seconds` each. A result further from plain C than the
 * kernel's tolerance is MEBI_NUMERIC. */
MEBI_API MEBI_MUST_USE mebi_status
mebi_bench_run_kernels(int threads, const char *only, double seconds,
                       void (*progress)(void *context, const char *text), void *context,
                       mebi_bench_kernels *out, mebi_error *err);

#ifdef __cplusplus
}
#endif
#endif

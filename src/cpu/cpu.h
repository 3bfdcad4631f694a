/* The CPU backend. */
#ifndef MEBI_CPU_CPU_H
#define MEBI_CPU_CPU_H

#include "base/pool.h"
#include "compute/device.h"

typedef enum mebi__cpu_level {
    MEBI__CPU_REF,    /* plain C, f64 sums: the specification */
    MEBI__CPU_AVX2,   /* AVX2 + FMA */
    MEBI__CPU_AVX512, /* AVX-512 F/BW/DQ/VL */
} mebi__cpu_level;

/* The best level of this machine or, if the environment variable MEBI_CPU names one (ref, avx2,
 * avx512), that. MEBI_BAD_ARGUMENT for another name, or a level that this machine hasn't. */
MEBI_MUST_USE mebi_status mebi__cpu_choose(mebi__cpu_level *level, mebi_error *err);
const char *mebi__cpu_level_name(mebi__cpu_level level);
/* The level and what this machine has beside it: "avx512 vnni bf16". */
const char *mebi__cpu_describe(mebi__cpu_level level);

/* A device that computes in host memory. The pool outlives it. Results do not depend on the number
 * of threads. Levels above the machine's are refused.
 *
 * Work runs when it is submitted, and at the latest when a transfer needs its result; an imported
 * buffer is read in place, so its tensors must be aligned to their elements there. An operation
 * whose scratch has not been reserved is refused when it is recorded. */
MEBI_MUST_USE mebi_status mebi__cpu_create(mebi__cpu_level level, mebi__pool *pool,
                                           mebi__device **out, mebi_error *err);

typedef struct mebi__cpu_options {
    mebi__cpu_level level;
    /* Where the machine has them (AVX-512 with bf16), products of bf16: linear layers whose weights are
     * bf16 round their inputs to bf16, attention rounds queries, keys, values and the softmax's weights.
     * Sums and all else stay f32. Elsewhere nothing changes. */
    int bf16_products;
} mebi__cpu_options;

MEBI_MUST_USE mebi_status mebi__cpu_create_with(const mebi__cpu_options *options, mebi__pool *pool,
                                                mebi__device **out, mebi_error *err);

#endif

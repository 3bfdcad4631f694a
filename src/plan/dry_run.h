/* What a job takes, by running its very code on the dry device. */
#ifndef MEBI_PLAN_DRY_RUN_H
#define MEBI_PLAN_DRY_RUN_H

#include "model/pipeline.h"
#include "plan/rates.h"

typedef struct mebi__stage_cost {
    double operations; /* arithmetic */
    double seconds;    /* by the machine's rates; 0 without */
    int submits;       /* points at which progress is told and a cancel is seen */
} mebi__stage_cost;

/* One job's shape: how the sampler runs, and the prompts' lengths. */
typedef struct mebi__job_shape {
    mebi__sampling how;
    mebi__strategy way;
    int batch;                   /* pictures denoised side by side; 0 is 1 */
    int tokens, negative_tokens; /* of the features; 0 negative ones: no guidance */
    int encode, encode_negative; /* 1: features are not cached yet */
    int preview_fit;             /* 1: the map for previews is to be found */
} mebi__job_shape;

typedef struct mebi__job_plan {
    size_t arena_bytes, scratch_bytes;
    mebi__stage_cost encode;  /* all prompts */
    mebi__stage_cost preview_fit;
    mebi__stage_cost prepare; /* caption refiner, once */
    mebi__stage_cost denoise; /* all steps of a batch */
    mebi__stage_cost decode;  /* one picture */
} mebi__job_plan;

/* target: the device that will run the job. rates: the machine's, or NULL: no seconds. */
MEBI_MUST_USE mebi_status mebi__plan_job(const mebi__pipeline *p, mebi__device *target,
                                         mebi__rates *rates, const mebi__job_shape *shape,
                                         mebi__job_plan *out, mebi_error *err);

#endif

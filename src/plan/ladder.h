/* The ladder: every way a job can be done, from the fastest to the smallest, and which to take. */
#ifndef MEBI_PLAN_LADDER_H
#define MEBI_PLAN_LADDER_H

#include "plan/dry_run.h"

/* What a way must keep to. */
typedef struct mebi__ladder_limits {
    size_t held;    /* bytes of the process's own memory without the job's arena, scratch and latents */
    size_t tables;  /* bytes of the system's for what is held already */
    size_t scratch; /* of those held bytes: reserved on the device already, and used again */
    size_t budget;  /* for own memory and mapped weights together */
    size_t cold_dit, cold_encoder; /* bytes of mapped weights that are not in memory yet */
    size_t cache;   /* bytes of memory that files may stay in beside the job's own; streamed weights that are more are read
                       again in each pass */
    size_t below;   /* only ways that take less own memory than this; SIZE_MAX: any */
    int weights;    /* mebi__weights_way, or -1: any */
    int decode;     /* mebi__vae_way, or -1: any */
    mebi__rates *rates; /* the machine's */
} mebi__ladder_limits;

/* How long mapped weights stay in memory. */
typedef enum mebi__weights_way {
    MEBI__WEIGHTS_RESIDENT,
    MEBI__WEIGHTS_FREED,
    MEBI__WEIGHTS_STREAMED,
    MEBI__WEIGHTS_WAYS
} mebi__weights_way;

/* One way to do a job. */
typedef struct mebi__rung {
    mebi__job_shape shape; /* with the way in it */
    mebi__weights_way weights;
    mebi__job_plan cost;
    size_t own_bytes; /* at most, of the process's own memory */
    size_t system_bytes; /* for managing it */
    size_t dit_file_bytes, encoder_file_bytes; /* mapped and held at the moment that takes most */
    double encode_seconds, step_seconds, decode_seconds; /* by the rates alone: all prompts; one step of a
                                                            batch; one picture */
    double encode_reading, step_reading; /* seconds beside these, once: weights that come from the disk first */
    double effort; /* seconds of the whole job, a little more for ways that are less simple */
} mebi__rung;

size_t mebi__rung_need(const mebi__rung *rung); /* own, mapped, and the system's */

/* The way with the least effort that fits; *found is 0 if none does, and *out the one that needs least.
 * The shape's `way` and `batch` are the ladder's to choose; its `count` is the job's pictures. */
MEBI_MUST_USE mebi_status mebi__ladder_choose(const mebi__pipeline *p, mebi__device *target,
                                              const mebi__job_shape *shape, int count,
                                              const mebi__ladder_limits *limits, mebi__rung *out,
                                              int *found, mebi_error *err);

#endif

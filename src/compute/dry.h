/* A device that computes nothing: it stands in for a target device and counts.
 *
 * Running model code on it with an unlimited arena tells exactly what the job will take on the
 * target: the arena's peak, the largest call scratch, operations and bytes by kind. */
#ifndef MEBI_COMPUTE_DRY_H
#define MEBI_COMPUTE_DRY_H

#include "compute/ops.h"

typedef struct mebi__dry_report {
    size_t scratch_bytes; /* largest of any call on the target */
    double operations[MEBI__OP_COUNT], bytes[MEBI__OP_COUNT];
    long calls[MEBI__OP_COUNT];
    double seconds; /* by the clock, if there is one */
} mebi__dry_report;

/* target outlives the dry device. Its downloads leave host memory untouched. */
MEBI_MUST_USE mebi_status mebi__dry_create(mebi__device *target, mebi__device **out,
                                           mebi_error *err);
/* What was recorded since the last reset. */
const mebi__dry_report *mebi__dry_report_of(const mebi__device *dry);
void mebi__dry_reset(mebi__device *dry);
/* Bytes that buffers created on it under a tag (not imported ones) would hold now on the target. */
size_t mebi__dry_held(const mebi__device *dry, mebi__tag tag);

/* Asked with each operation for its seconds on the target, and with each transfer as with a COPY; NULL: none. */
typedef double (*mebi__dry_clock)(void *context, const mebi__op *op);
void mebi__dry_set_clock(mebi__device *dry, mebi__dry_clock clock, void *context);

#endif

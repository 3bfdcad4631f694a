/* The audit's inside: for tests, other dimensions than the published ones. */
#ifndef MEBI_BENCH_AUDIT_H
#define MEBI_BENCH_AUDIT_H

#include "bench/bench.h"
#include "mebi/audit.h"

MEBI_MUST_USE mebi_status mebi__audit(const mebi_audit_params *params,
                                      const mebi__bench_configs *configs, mebi_audit_report *report,
                                      mebi_error *err);

/* ---- audit_passes.c: a loaded part at work ---- */

/* A stage's exact result. */
typedef struct mebi__audit_stage {
    float *exact;
    size_t count;
} mebi__audit_stage;

/* The passes of one part. stages and their values are kept from the exact pass for the others. */
typedef struct mebi__audit_passes {
    mebi__device *device;
    mebi__bench_work *work; /* its host memory is taken */
    mebi_audit_result *result;
    mebi_error *err;
    mebi__audit_stage stage[MEBI_AUDIT_LINES];
    int stages;
    float *now; /* a stage's result in the pass under way: as many as the largest has */
    size_t most;
    /* of the pass under way */
    int kind, next;
    double last_error;
} mebi__audit_passes;

/* With plain matrices; the results are kept. Once. And again for the floor. */
MEBI_MUST_USE mebi_status mebi__audit_exact(mebi__audit_passes *p);
/* Quantized, and once more with each stage's result made exact. Fills the lines. */
MEBI_MUST_USE mebi_status mebi__audit_quantized(mebi__audit_passes *p);
/* One kind of matrix quantized at a time: where both forms are there. */
MEBI_MUST_USE mebi_status mebi__audit_kinds(mebi__audit_passes *p);
void mebi__audit_release(mebi__audit_passes *p);

#endif

/* A dry run of a job. Must call the same stage functions as the job itself, in the same order: that
 * is all that keeps the plan true. */
#include "plan/dry_run.h"

#include "compute/dry.h"
#include "model/preview.h"

static int count_submit(void *context) {
    ++*(int *)context;
    return 0;
}

/* Adds what was recorded since the last call to a stage, as often as it will be done. */
static void account(mebi__device *dry, int *submits, int times, size_t *scratch,
                    mebi__stage_cost *stage) {
    const mebi__dry_report *r = mebi__dry_report_of(dry);
    for (int k = 0; k < MEBI__OP_COUNT; k++) stage->operations += times * r->operations[k];
    if (r->scratch_bytes > *scratch) *scratch = r->scratch_bytes;
    stage->seconds += times * r->seconds;
    stage->submits += times * *submits;
    *submits = 0;
    mebi__dry_reset(dry);
}

/* Unless guidance ends on the way, one step is like another: then one is run, and counted as often. */
static mebi__sampling steps_to_run(const mebi__sampling *how, int *times) {
    mebi__sampling run = *how;
    int alike = !(how->guidance > 0) || how->truncation >= 1;
    *times = alike ? how->steps - how->first_step : 1;
    if (alike) run.first_step = how->steps - 1;
    return run;
}

/* The job's stages, with packed matrices or with plain ones. */
static mebi_status run_stages(const mebi__pipeline *p, mebi__device *dry,
                              const mebi__job_shape *shape, int exact, mebi__job_plan *out,
                              mebi_error *err) {
    mebi__buffer boundless = {.bytes = SIZE_MAX};
    const mebi__strategy *way = &shape->way;
    int submits = 0, times;
    mebi__sampling how = steps_to_run(&shape->how, &times);
    mebi__stream s = {.device = dry, .memory = &boundless, .err = err, .cancelled = count_submit,
                      .cancel_context = &submits, .exact = exact};
    mebi__arena_init(&s.arena, SIZE_MAX / 2);
    mebi__conditions conditions;
    if (shape->encode) mebi__pipeline_encode(&s, p, way, NULL, shape->tokens, NULL);
    if (shape->encode_negative)
        mebi__pipeline_encode(&s, p, way, NULL, shape->negative_tokens, NULL);
    account(dry, &submits, 1, &out->scratch_bytes, &out->encode);
    if (shape->preview_fit)
        mebi__pipeline_decode(&s, p, way, NULL, MEBI__PREVIEW_SIDE, MEBI__PREVIEW_SIDE, NULL);
    account(dry, &submits, 1, &out->scratch_bytes, &out->preview_fit);
    mebi__pipeline_condition(&s, p, &how, NULL, shape->tokens, NULL, shape->negative_tokens,
                             &conditions);
    account(dry, &submits, 1, &out->scratch_bytes, &out->prepare);
    mebi__pipeline_denoise(&s, p, way, &how, &conditions, NULL, shape->batch ? shape->batch : 1, NULL);
    account(dry, &submits, times, &out->scratch_bytes, &out->denoise);
    mebi__pipeline_decode(&s, p, way, NULL, how.latent_height, how.latent_width, NULL);
    account(dry, &submits, 1, &out->scratch_bytes, &out->decode);
    mebi__pipeline_release(&s, &conditions);
    out->arena_bytes = s.arena.peak;
    if (s.status == MEBI_OK && !mebi__arena_empty(&s.arena))
        return mebi__fail(err, MEBI_INTERNAL, "A stage kept memory that it should have given back.");
    return s.status;
}

mebi_status mebi__plan_job(const mebi__pipeline *p, mebi__device *target, mebi__rates *rates,
                           const mebi__job_shape *shape, mebi__job_plan *out, mebi_error *err) {
    mebi__device *dry;
    mebi__job_plan exact = {0};
    int packed = p->dit.params.packed_bytes || p->encoder.params.packed_bytes;
    *out = (mebi__job_plan){0};
    MEBI_TRY(mebi__dry_create(target, &dry, err));
    if (rates) mebi__dry_set_clock(dry, mebi__rates_seconds, rates);
    mebi_status status = run_stages(p, dry, shape, 0, out, err);
    mebi__dry_set_clock(dry, NULL, NULL);
    /* Any step may have to be done again with plain matrices. */
    if (status == MEBI_OK && packed) status = run_stages(p, dry, shape, 1, &exact, err);
    if (exact.arena_bytes > out->arena_bytes) out->arena_bytes = exact.arena_bytes;
    if (exact.scratch_bytes > out->scratch_bytes) out->scratch_bytes = exact.scratch_bytes;
    mebi__device_destroy(&dry);
    return status;
}

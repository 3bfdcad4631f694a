/* mebi's own engine, as the worker takes it. */
#include "base/error.h"
#include "base/memory.h"
#include "jobs/jobs.h"

typedef struct real {
    mebi_engine_params params;
    mebi_engine *engine;
} real;

static mebi_status open_it(void *context, const mebi_callbacks *callbacks, mebi_error *err) {
    real *r = context;
    return mebi_engine_open(&r->params, callbacks, &r->engine, err);
}

static void close_it(void *context) {
    mebi_engine_close(&((real *)context)->engine);
}

static mebi_engine_info describe(void *context) {
    return mebi_engine_describe(((real *)context)->engine);
}

static mebi_status plan(void *context, const mebi_request *request, mebi_plan *out,
                        mebi_error *err) {
    return mebi_plan_request(((real *)context)->engine, request, out, err);
}

static mebi_status generate(void *context, const mebi_request *request,
                            const mebi_callbacks *callbacks, mebi_report *report, mebi_error *err) {
    return mebi_generate(((real *)context)->engine, request, callbacks, report, err);
}

mebi__job_engine mebi__job_engine_of(const mebi_engine_params *params) {
    real *r = mebi__alloc(MEBI__TAG_GENERAL, sizeof *r);
    if (r) r->params = *params;
    return (mebi__job_engine){.context = r, .open = open_it, .close = close_it,
                              .describe = describe, .plan = plan, .generate = generate,
                              .end = mebi__free};
}

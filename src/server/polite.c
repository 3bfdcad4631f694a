/* An engine whose threads step back. The worker's thread is made less urgent before it opens the
 * model; the threads that the engine starts then are so too. Nothing changes for a picture while
 * nobody asks anything. Must never touch another thread than its own. */
#include "server/polite.h"

#include "base/memory.h"

#include <sys/resource.h>

enum { LESS_URGENT = 5 }; /* of nice(2): about a third of the time of who is not */

typedef struct polite {
    mebi__job_engine inner;
} polite;

static mebi_status open_model(void *context, const mebi_callbacks *callbacks, mebi_error *err) {
    polite *p = context;
    /* On Linux this is of the calling thread alone. Where it is refused all is as without. */
    int now = getpriority(PRIO_PROCESS, 0);
    if (now < LESS_URGENT) (void)setpriority(PRIO_PROCESS, 0, LESS_URGENT);
    return p->inner.open(p->inner.context, callbacks, err);
}

static void close_model(void *context) {
    polite *p = context;
    p->inner.close(p->inner.context);
}

static mebi_engine_info describe(void *context) {
    polite *p = context;
    return p->inner.describe(p->inner.context);
}

static mebi_status plan(void *context, const mebi_request *request, mebi_plan *out,
                        mebi_error *err) {
    polite *p = context;
    return p->inner.plan(p->inner.context, request, out, err);
}

static mebi_status generate(void *context, const mebi_request *request,
                            const mebi_callbacks *callbacks, mebi_report *report, mebi_error *err) {
    polite *p = context;
    return p->inner.generate(p->inner.context, request, callbacks, report, err);
}

static void end(void *context) {
    polite *p = context;
    if (p->inner.end) p->inner.end(p->inner.context);
    mebi__free(p);
}

mebi__job_engine mebi__polite_engine(mebi__job_engine engine) {
    polite *p = engine.context ? mebi__alloc(MEBI__TAG_GENERAL, sizeof *p) : NULL;
    if (!p) return engine;
    p->inner = engine;
    return (mebi__job_engine){p, open_model, close_model, describe, plan, generate, end};
}

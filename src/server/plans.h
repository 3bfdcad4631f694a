/* Plans, remembered for a moment: a page asks for the same ones again with each key that is
 * pressed. */
#ifndef MEBI_SERVER_PLANS_H
#define MEBI_SERVER_PLANS_H

#include "jobs/jobs.h"

typedef struct mebi__plans mebi__plans;

/* NULL: no memory. */
mebi__plans *mebi__plans_open(mebi__jobs *jobs);
void mebi__plans_close(mebi__plans **plans);

/* mebi__jobs_plan, or what that said of the same request at most two seconds ago, if since then no
 * job has begun or ended and free memory is the same to 1 %. From any thread. */
MEBI_MUST_USE mebi_status mebi__plans_get(mebi__plans *plans, const mebi_request *request,
                                          mebi_plan *plan, int *unavailable, mebi_error *err);
/* A job began or ended. */
void mebi__plans_forget(mebi__plans *plans);

typedef struct mebi__plans_counts {
    uint64_t asked, remembered;
    double seconds; /* spent in planning */
} mebi__plans_counts;
mebi__plans_counts mebi__plans_count(mebi__plans *plans);

#endif

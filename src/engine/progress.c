/* What a job tells while it works. Must never promise a time that nothing measured stands behind. */
#include "base/os.h"
#include "engine/job.h"

/* What a stage weighs among the others: its seconds where the machine's rates are known. */
static double weight_of(const mebi__job *j, const mebi__stage_cost *c) {
    return j->plan.total_seconds > 0 ? c->seconds : c->operations;
}

static double share_done(const mebi__job *j) {
    double share = j->now.submits ? (double)j->submits / j->now.submits : 0;
    return share < 1 ? share : 1;
}

/* By the steps finished so far. The first one reads cold files and says little; encoding says nothing. */
static double seconds_left(const mebi__job *j, double done) {
    double left = j->work_all - done;
    if (j->steps_work > 0) return left > 0 ? left * j->steps_seconds / j->steps_work : 0;
    return j->plan.total_seconds > 0 ? left : -1;
}

void mebi__job_tell(mebi__job *j) {
    mebi_progress *p = &j->progress;
    double done = j->work_done + share_done(j) * weight_of(j, &j->now);
    p->fraction = j->work_all > 0 ? done / j->work_all : 0;
    if (p->fraction > 1) p->fraction = 1;
    p->seconds = mebi__now_seconds() - j->began;
    p->seconds_left = seconds_left(j, done);
    if (j->callbacks->progress) j->callbacks->progress(j->callbacks->context, p);
}

void mebi__job_begin_stage(mebi__job *j, mebi_stage stage, mebi__stage_cost cost) {
    j->progress.stage = stage;
    j->now = cost;
    j->submits = 0;
    j->stage_began = j->step_began = mebi__now_seconds();
    mebi__job_tell(j);
}

void mebi__job_end_stage(mebi__job *j) {
    j->report.seconds[j->progress.stage] += mebi__now_seconds() - j->stage_began;
    j->work_done += weight_of(j, &j->now);
    j->now = (mebi__stage_cost){0};
    j->submits = 0;
    size_t now = mebi__memory_own();
    if (now > j->report.peak_bytes) j->report.peak_bytes = now;
}

void mebi__job_step_done(mebi__job *j, int step) {
    double now = mebi__now_seconds();
    if (step > j->how.first_step + 1 || j->steps_work > 0) {
        j->steps_seconds += now - j->step_began;
        j->steps_work += weight_of(j, &j->now) / (j->how.steps - j->how.first_step);
    }
    j->step_began = now;
    j->progress.step = step;
    mebi__job_tell(j);
}

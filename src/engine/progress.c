/* What a job tells while it works. Must never promise a time that nothing measured stands behind. */
#include "base/os.h"
#include "engine/job.h"

static double work_done(const mebi__job *j) {
    double share = j->submits_all ? (double)j->submits / j->submits_all : 0;
    return j->work_done + (share < 1 ? share : 1) * j->work_now;
}

/* By the steps finished so far. The first one reads cold files and says little; encoding says nothing. */
static double seconds_left(const mebi__job *j, double done) {
    double left = j->plan.total_seconds - done;
    if (left < 0) left = 0;
    if (j->steps_work > 0) return left * j->steps_seconds / j->steps_work;
    return j->plan.estimate ? -1 : left;
}

void mebi__job_tell(mebi__job *j) {
    mebi_progress *p = &j->progress;
    double done = work_done(j);
    p->fraction = j->plan.total_seconds > 0 ? done / j->plan.total_seconds : 0;
    if (p->fraction > 1) p->fraction = 1;
    p->seconds = mebi__now_seconds() - j->began;
    p->seconds_left = seconds_left(j, done);
    if (j->callbacks->progress) j->callbacks->progress(j->callbacks->context, p);
}

void mebi__job_begin_stage(mebi__job *j, mebi_stage stage, double work, int submits) {
    j->progress.stage = stage;
    j->work_now = work;
    j->submits = 0;
    j->submits_all = submits;
    j->stage_began = j->step_began = mebi__now_seconds();
    mebi__job_tell(j);
}

void mebi__job_end_stage(mebi__job *j) {
    j->report.seconds[j->progress.stage] += mebi__now_seconds() - j->stage_began;
    j->work_done += j->work_now;
    j->work_now = 0;
    j->submits = 0;
    mebi__job_tell(j);
    size_t now = mebi__memory_own();
    if (now > j->report.peak_bytes) j->report.peak_bytes = now;
}

void mebi__job_step_done(mebi__job *j, int step) {
    double now = mebi__now_seconds();
    if (step > j->how.first_step + 1 || j->steps_work > 0) {
        j->steps_seconds += now - j->step_began;
        j->steps_work += j->work_now / (j->how.steps - j->how.first_step);
    }
    j->step_began = now;
    j->progress.step = step;
    mebi__job_tell(j);
}

/* The curve of own memory against the plan, and against itself. Must judge from the records alone.
 */
#include "doctor/doctor.h"

#include <stdio.h>

static const double mb = 1e-6;
static const double loose = 0.03;          /* a plan's promise: at most so much above */
static const double small_bytes = 1 << 20; /* what the system counts late, and allocators keep */

static int done(const mebi__run *r) {
    return r->state == MEBI__RUN_DONE;
}

/* The most that was seen: by the job's own account, or in the samples. */
static double peak_of(const mebi__run *r) {
    return (double)(r->report.peak_bytes > r->most_bytes ? r->report.peak_bytes : r->most_bytes);
}

static void judge_peak(const mebi__doctor *d, int which, mebi__findings *to) {
    const mebi__run *r = &d->run[which];
    double real = peak_of(r), planned = (double)r->report.plan.peak_bytes;
    char check[40];
    snprintf(check, sizeof check, "peak of run %d, %d pixels", which + 1, r->request.width);
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_MEMORY, MEBI__OK, check);
    mebi__finding_say(f->measured, "%.1f MB", real * mb);
    mebi__finding_say(f->expected,
                      "%.1f MB planned: never less, %.0f %% more at most; it is %.1f %%",
                      planned * mb, 100 * loose, 100 * (planned / real - 1));
    if (real > planned + small_bytes) {
        f->verdict = MEBI__FAIL;
        mebi__finding_say(f->advice,
                          "The plan is a promise and was broken: jobs near the budget may be ended "
                          "by the system. Give a --budget below what is free, and report this.");
    } else if (real > planned || planned - real > loose * real + small_bytes) {
        f->verdict = MEBI__WARN;
        mebi__finding_say(f->advice, "The plan is a little off. It works; please report it.");
    }
}

/* The second run of a size takes what the first took. */
static void judge_repeat(const mebi__doctor *d, mebi__findings *to) {
    const mebi__run *a = &d->run[MEBI__RUN_FIRST], *b = &d->run[MEBI__RUN_FEWER];
    if (!done(a) || !done(b)) return;
    double first = peak_of(a), second = peak_of(b);
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_MEMORY, MEBI__OK, "second run's peak");
    mebi__finding_say(f->measured, "%.1f MB after %.1f MB: %+.1f %%", second * mb, first * mb,
                      100 * (second / first - 1));
    mebi__finding_say(f->expected, "the first's, within 1 %% or 1 MB");
    if (second <= first + 0.01 * first + small_bytes) return;
    f->verdict = MEBI__FAIL;
    mebi__finding_say(f->advice,
                      "Memory is not given back between jobs. Restart a long-lived process now and "
                      "then, and report this.");
}

static void judge_leak(const mebi__doctor *d, mebi__findings *to) {
    const mebi__run *last = NULL, *first = NULL;
    for (int i = 0; i < MEBI__RUNS; i++)
        if (done(&d->run[i])) {
            last = &d->run[i];
            if (!first) first = last;
        }
    if (!last) return;
    /* What stays after the first job (the kernels' scratch, features of the prompts) is counted on;
     * what later ones add is not. */
    double kept = (double)first->report.plan.scratch_bytes;
    double more = (double)d->end_bytes - (double)d->loaded_bytes;
    double grown = (double)last->end_bytes - (double)first->end_bytes;
    double fine = kept + 2 * small_bytes + 0.02 * (double)d->loaded_bytes;
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_MEMORY, MEBI__OK, "left at the end");
    mebi__finding_say(f->measured,
                      "%.1f MB, %+.1f MB since the model was loaded, %+.1f MB since the first run",
                      (double)d->end_bytes * mb, more * mb, grown * mb);
    mebi__finding_say(f->expected,
                      "at most %.1f MB more (kernels keep %.1f MB); no growth after the first run",
                      fine * mb, kept * mb);
    if (more <= fine && grown <= 2 * small_bytes) return;
    f->verdict = grown > 2 * small_bytes ? MEBI__FAIL : MEBI__WARN;
    mebi__finding_say(
        f->advice, "Memory stays taken after the jobs: restart a long-lived process now and then, "
                   "and report this.");
}

void mebi__judge_memory(const mebi__doctor *d, mebi__findings *to) {
    int any = 0;
    for (int i = 0; i < MEBI__RUNS; i++) {
        /* The second of a size is compared with the first. */
        if (done(&d->run[i]) && i != MEBI__RUN_FEWER) judge_peak(d, i, to);
        any |= done(&d->run[i]);
    }
    judge_repeat(d, to);
    judge_leak(d, to);
    if (any) return;
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_MEMORY, MEBI__FAIL, "curve");
    mebi__finding_say(f->measured, "no run was finished");
    mebi__finding_say(f->expected, "one at least");
    for (int i = 0; i < MEBI__RUNS; i++)
        if (d->run[i].state == MEBI__RUN_FAILED)
            mebi__finding_say(f->advice, "%s", d->run[i].err.text);
}

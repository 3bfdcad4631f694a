/* The runs' seconds against their plans and against each other. Must judge from what is in the
 * records alone: so each fault can be planted in one. */
#include "doctor/doctor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double near_plan = 0.15;    /* a plan's promise */
static const double small_seconds = 0.1; /* a difference that no one feels */
static const double alarm = 2;           /* times slower than it should be */
static const double steps_alike = 1.15, sizes_alike = 1.3;
static const double pause_factor = 4, pause_seconds = 0.3;

static int done(const mebi__run *r) {
    return r->state == MEBI__RUN_DONE;
}

/* The mean, without the first, which fills caches. */
static double step_of(const mebi__run *r) {
    double sum = 0;
    int first = r->steps > 2;
    for (int i = first; i < r->steps; i++) sum += r->step_seconds[i];
    return r->steps > first ? sum / (r->steps - first) : 0;
}

/* Median of up to MEBI__DOCTOR_STEPS figures. */
static double median_step(const mebi__run *r) {
    double sorted[MEBI__DOCTOR_STEPS];
    for (int i = 0; i < r->steps; i++) {
        int k = i;
        for (; k > 0 && sorted[k - 1] > r->step_seconds[i]; k--) sorted[k] = sorted[k - 1];
        sorted[k] = r->step_seconds[i];
    }
    return r->steps ? sorted[r->steps / 2] : 0;
}

/* The likely causes in the worst of some runs, and what to do. */
static void advise(const mebi__doctor *d, const mebi__machine *m, const mebi__run *slow,
                   mebi__finding *f) {
    char causes[420] = "";
    int found = mebi__causes(slow, d->info.threads, m->processors, causes, sizeof causes);
    if (strncmp(d->info.cpu, m->best, strlen(m->best)) != 0) {
        mebi__say(causes, sizeof causes, 1, "%sthe instruction set is masked to %s (see machine)",
                  found ? "; " : "", d->info.cpu);
        found++;
    }
    if (found)
        mebi__finding_say(f->advice, "Seen during %s: %s. End what disturbs it and check again.",
                          mebi__run_name_of(slow).text, causes);
    else
        mebi__finding_say(
            f->advice,
            "No swapping, throttling or other load was seen during %s. Check again; if it "
            "stays, the machine became slower than when it was measured.",
            mebi__run_name_of(slow).text);
}

/* ---- each run against its plan ---- */

static void judge_run(const mebi__doctor *d, const mebi__machine *m, const mebi__run *r,
                      mebi__findings *to) {
    const double *planned = r->plan.seconds, *took = r->report.seconds;
    double wanted = planned[MEBI_STAGE_STEP] + planned[MEBI_STAGE_DECODE];
    double real = took[MEBI_STAGE_STEP] + took[MEBI_STAGE_DECODE];
    mebi__finding *f =
        mebi__finding_add(to, MEBI__SECTION_SPEED, MEBI__OK, mebi__run_brief_name(r).text);
    mebi__finding_say(f->measured, "%.2f s (steps %.2f, decoding %.2f; %.1f ms a step)", real,
                      took[MEBI_STAGE_STEP], took[MEBI_STAGE_DECODE],
                      1e3 * took[MEBI_STAGE_STEP] / r->request.steps);
    if (!(planned[MEBI_STAGE_STEP] > 0)) {
        f->verdict = MEBI__WARN;
        mebi__finding_say(f->expected, "no prediction: this machine's speed is not known yet");
        return;
    }
    double ratio = real / wanted;
    mebi__finding_say(f->expected, "%.2f s planned, within %.0f %%; it is %+.0f %%", wanted,
                      100 * near_plan, 100 * (ratio - 1));
    if (fabs(ratio - 1) <= near_plan || fabs(real - wanted) < small_seconds) return;
    if (ratio < 1) { /* nothing is wrong with the machine */
        mebi__finding_say(f->advice,
                          "Faster than planned: the plan learns from each run, and will be nearer "
                          "next time.");
        return;
    }
    f->verdict = ratio > alarm ? MEBI__FAIL : MEBI__WARN;
    advise(d, m, r, f);
}

/* ---- runs against each other ---- */

/* One comparison: how many times slower than it should be, either way round. */
static void judge_pair(const mebi__doctor *d, const mebi__machine *m, const mebi__run *a,
                       const mebi__run *b, double ratio, double fine, mebi__finding *f) {
    double off = fmax(ratio, 1 / ratio);
    if (off <= fine) return;
    f->verdict = off > alarm ? MEBI__FAIL : MEBI__WARN;
    advise(d, m, ratio > 1 ? a : b, f);
}

static void judge_steps(const mebi__doctor *d, const mebi__machine *m, mebi__findings *to) {
    const mebi__run *a = &d->run[MEBI__RUN_FIRST], *b = &d->run[MEBI__RUN_FEWER];
    double x = step_of(a), y = step_of(b);
    if (!done(a) || !done(b) || !(x > 0) || !(y > 0)) return;
    char check[40];
    snprintf(check, sizeof check, "a step of %d and of %d", a->request.steps, b->request.steps);
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_SPEED, MEBI__OK, check);
    mebi__finding_say(f->measured, "%.1f ms and %.1f ms: %.2f times", 1e3 * x, 1e3 * y, x / y);
    mebi__finding_say(f->expected, "the same within %.0f %%; %.0f times is an alarm",
                      100 * (steps_alike - 1), alarm);
    judge_pair(d, m, a, b, x / y, steps_alike, f);
}

static void judge_sizes(const mebi__doctor *d, const mebi__machine *m, mebi__findings *to) {
    const mebi__run *a = &d->run[MEBI__RUN_FIRST], *b = &d->run[MEBI__RUN_SMALLER];
    double x = step_of(a), y = step_of(b);
    if (!done(a) || !done(b) || !(x > 0) || !(y > 0) || !(b->plan.operations > 0)) return;
    /* By arithmetic alone: the same steps, so the jobs' sums compare. */
    double wanted = a->plan.operations / b->plan.operations, real = x / y;
    char check[40];
    snprintf(check, sizeof check, "%d against %d pixels", a->request.width, b->request.width);
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_SPEED, MEBI__OK, check);
    mebi__finding_say(f->measured, "a step takes %.2f times as long (%.1f ms and %.1f ms)", real,
                      1e3 * x, 1e3 * y);
    mebi__finding_say(f->expected, "%.2f times by the arithmetic; %.0f times that is an alarm",
                      wanted, alarm);
    judge_pair(d, m, a, b, real / wanted, sizes_alike, f);
}

static void judge_pauses(const mebi__doctor *d, const mebi__machine *m, mebi__findings *to) {
    const mebi__run *worst = NULL;
    double most = 0, median = 0;
    for (int i = 0; i < MEBI__RUNS; i++) {
        const mebi__run *r = &d->run[i];
        double usual = median_step(r);
        for (int k = 1; done(r) && k < r->steps; k++)
            if (usual > 0 && r->step_seconds[k] / usual > most)
                most = r->step_seconds[k] / usual, median = usual, worst = r;
    }
    if (!worst) return;
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_SPEED, MEBI__OK, "pauses");
    mebi__finding_say(f->measured, "the longest step took %.1f times the usual (%.0f ms, %.0f ms)",
                      most, 1e3 * most * median, 1e3 * median);
    mebi__finding_say(f->expected, "under %.0f times", pause_factor);
    if (most < pause_factor || (most - 1) * median < pause_seconds) return;
    f->verdict = MEBI__WARN;
    advise(d, m, worst, f);
}

/* ---- what went on ---- */

static void judge_processors(const mebi__doctor *d, const mebi__machine *m, mebi__findings *to) {
    mebi__vitals all = {.clock = 1};
    for (int i = 0; i < MEBI__RUNS; i++) {
        const mebi__vitals *v = &d->run[i].vitals;
        if (!done(&d->run[i])) continue;
        all.wall += v->wall, all.cpu += v->cpu, all.busy += v->busy;
        all.clock = fmin(all.clock, v->clock);
    }
    if (!(all.wall > 0)) return;
    double others = mebi__others_share(&all, m->processors),
           own = mebi__own_share(&all, d->info.threads);
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_SPEED, MEBI__OK, "processors");
    mebi__finding_say(f->measured,
                      "had %.0f %% of %d threads' time; other programs %.0f %% of all; clock "
                      "kept at %.0f %%",
                      100 * own, d->info.threads, 100 * others, 100 * all.clock);
    mebi__finding_say(f->expected, "over 85 %%, under 10 %%, over 90 %%");
    if (own >= 0.85 && others < 0.1 && all.clock >= 0.9) return;
    f->verdict = MEBI__WARN;
    mebi__finding_say(
        f->advice, "%s",
        all.clock < 0.9
            ? "The processor lowers its clock: look at cooling and the power profile."
            : "Other programs, a quota or pauses take time from this one: pictures take longer "
              "by that.");
}

static void judge_swapping(const mebi__doctor *d, mebi__findings *to) {
    mebi__vitals all = {0};
    int streamed = 0;
    for (int i = 0; i < MEBI__RUNS; i++) {
        const mebi__vitals *v = &d->run[i].vitals;
        all.wall += v->wall, all.swapped += v->swapped, all.major_faults += v->major_faults;
        all.own_swap_bytes += v->own_swap_bytes, all.stalled += v->stalled;
        streamed |= d->run[i].plan.weights == MEBI_WEIGHTS_STREAMED;
    }
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_SPEED, MEBI__OK, "swapping");
    mebi__finding_say(f->measured,
                      "%.0f pages swapped, %.0f MB of this process in swap, %.0f pages read "
                      "again, %.1f s stalled",
                      all.swapped, 1e-6 * (double)all.own_swap_bytes, all.major_faults,
                      all.stalled);
    mebi__finding_say(f->expected, "none%s", streamed ? " but the streamed weights" : "");
    int own = all.own_swap_bytes > 1 << 20;
    int faults = !streamed && all.major_faults > 200 * fmax(all.wall, 1);
    int others = all.swapped > 50 * all.wall || all.stalled > 0.02 * all.wall;
    if (!own && !faults && !others) return;
    f->verdict = own ? MEBI__FAIL : MEBI__WARN;
    mebi__finding_say(f->advice,
                      "Memory is short: close other programs, or give a smaller --budget, which "
                      "makes mebi use less instead of swapping.");
}

static void judge_quota(const mebi__doctor *d, mebi__findings *to) {
    double throttled = 0, periods = 0, wall = 0;
    for (int i = 0; i < MEBI__RUNS; i++) {
        throttled += d->run[i].vitals.throttled, periods += d->run[i].vitals.throttled_periods;
        wall += d->run[i].vitals.wall;
    }
    throttled /= d->info.threads > 0 ? d->info.threads : 1;
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_SPEED, MEBI__OK, "throttling");
    mebi__finding_say(f->measured, "held back by a quota for %.1f s, in %.0f periods", throttled,
                      periods);
    mebi__finding_say(f->expected, "never");
    if (throttled <= 0.05 * wall) return;
    f->verdict = throttled > 0.5 * wall ? MEBI__FAIL : MEBI__WARN;
    mebi__finding_say(f->advice,
                      "The control group (a container's limit) gives fewer processors than there "
                      "are threads: raise it, or take as many --threads as it gives.");
}

static void judge_failures(const mebi__doctor *d, mebi__findings *to) {
    for (int i = 0; i < MEBI__RUNS; i++) {
        const mebi__run *r = &d->run[i];
        if (r->state != MEBI__RUN_FAILED) continue;
        mebi__finding *f =
            mebi__finding_add(to, MEBI__SECTION_SPEED, MEBI__FAIL, mebi__run_brief_name(r).text);
        mebi__finding_say(f->measured, "no picture: %s", mebi_status_text(r->err.status));
        mebi__finding_say(f->expected, "a picture");
        mebi__finding_say(f->advice, "%s", r->err.text);
    }
}

void mebi__judge_time(const mebi__doctor *d, const mebi__machine *m, mebi__findings *to) {
    if (d->scaled) {
        mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_SPEED, MEBI__WARN, "extent");
        mebi__finding_say(f->measured, "%d pixels, %d and %d steps", d->side,
                          d->run[MEBI__RUN_FIRST].request.steps,
                          d->run[MEBI__RUN_FEWER].request.steps);
        mebi__finding_say(f->expected, "%d pixels, 40 and 30 steps", d->info.native_side);
        mebi__finding_say(f->advice, "That would take too long on this machine. --full does it.");
    }
    judge_failures(d, to);
    for (int i = 0; i < MEBI__RUNS; i++)
        if (done(&d->run[i])) judge_run(d, m, &d->run[i], to);
    judge_steps(d, m, to);
    judge_sizes(d, m, to);
    judge_pauses(d, m, to);
    judge_processors(d, m, to);
    judge_swapping(d, to);
    judge_quota(d, to);
}

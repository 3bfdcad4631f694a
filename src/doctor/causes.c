/* Why a run was slow: what the system's counters say. Must never name a cause that wasn't seen. */
#include "doctor/doctor.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* From where on a figure explains something. */
static const double swap_pages_a_second = 50; /* of 4 KiB, each some 0.1 ms and more */
static const double faults_a_second = 200;
static const double throttled_share = 0.05; /* of the wall time, a thread */
static const double clock_kept = 0.9;
static const double others_much = 0.1, stolen_much = 0.05, own_little = 0.85;
static const double stalled_much = 0.02;

double mebi__others_share(const mebi__vitals *v, int cores) {
    double all = v->wall * cores;
    double others = v->busy - v->cpu;
    return all > 0 && others > 0 ? fmin(others / all, 1) : 0;
}

double mebi__own_share(const mebi__vitals *v, int threads) {
    double all = v->wall * threads;
    return all > 0 ? fmin(v->cpu / all, 1) : 1;
}

typedef struct telling {
    char *text;
    size_t bytes;
    int count;
} telling;

__attribute__((format(printf, 2, 3))) static void tell(telling *t, const char *format, ...) {
    char one[256];
    va_list args;
    va_start(args, format);
    vsnprintf(one, sizeof one, format, args);
    va_end(args);
    mebi__say(t->text, t->bytes, 1, "%s%s", t->count++ ? "; " : "", one);
}

static void memory_causes(const mebi__run *run, telling *t) {
    const mebi__vitals *v = &run->vitals;
    double wall = fmax(v->wall, 1e-3);
    int streamed = run->plan.weights == MEBI_WEIGHTS_STREAMED; /* reads its files by intention */
    if (v->own_swap_bytes > 0)
        tell(t, "swapping: %.0f MB of this process went to swap", 1e-6 * (double)v->own_swap_bytes);
    else if (v->swapped / wall > swap_pages_a_second)
        tell(t, "swapping: the machine moved %.0f pages to and from swap", v->swapped);
    if (!streamed && v->major_faults / wall > faults_a_second)
        tell(t, "memory: %.0f pages had to be read from the disk again", v->major_faults);
    if (v->stalled / wall > stalled_much)
        tell(t, "memory: %.1f s were spent waiting for some", v->stalled);
}

int mebi__causes(const mebi__run *run, int threads, int cores, char *text, size_t bytes) {
    const mebi__vitals *v = &run->vitals;
    double wall = fmax(v->wall, 1e-3), others = mebi__others_share(v, cores);
    double own = mebi__own_share(v, threads);
    telling t = {text, bytes, 0};
    memory_causes(run, &t);
    if (v->throttled / wall / threads > throttled_share)
        tell(&t, "throttling: the control group's quota held it back for %.1f s in %.0f periods",
             v->throttled / threads, v->throttled_periods);
    if (v->clock < clock_kept)
        tell(&t, "throttling: the processor's clock was %.0f %% of what it was before",
             100 * v->clock);
    if (v->stolen / wall / cores > stolen_much)
        tell(&t, "other load: other virtual machines had %.0f %% of the processors",
             100 * v->stolen / wall / cores);
    if (others > others_much)
        tell(&t, "other load: other programs had %.0f %% of the processors", 100 * others);
    if (own < own_little)
        tell(&t, "this process had a processor for only %.0f %% of the time%s", 100 * own,
             t.count ? "" : ": it was stopped, or waited for a disk");
    return t.count;
}

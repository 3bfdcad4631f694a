/* Correction factors. Must never let one job, however slow, spoil what many have shown. */
#include "plan/time.h"

#include <math.h>
#include <string.h>

static const double least = 0.2, most = 5; /* beyond them something else is wrong than the rates */
static const double step = 0.26;           /* log 1.3: what one job may move a factor that others agree on */
static const double near = 0.25;           /* of log2 sizes: jobs within it are of one size */

static double limited(double factor) {
    return factor < least ? least : factor > most ? most : factor;
}

static int is_same(const mebi__learned *l, const mebi__time_of *what) {
    return l->name[0] && l->stage == (int)what->stage &&
           strncmp(l->name, what->name, MEBI__LEARNED_NAME - 1) == 0;
}

/* How much one correction says about something else: fully at its own size, falling with the distance in
 * octaves; what another strategy showed counts less. */
static double relevance(const mebi__learned *l, const mebi__time_of *what, double size) {
    double d = (l->size - size) / (2 * near);
    double sure = l->count < 4 ? l->count : 4;
    return sure * (l->variant == what->variant ? 1 : 0.1) / (1 + d * d * d * d);
}

double mebi__time_factor(const mebi__rates *r, const mebi__time_of *what) {
    /* A grain of trust in the rates themselves. */
    double weights = 0.02, sum = 0, size = log2(fmax(what->operations, 1));
    for (int i = 0; i < MEBI__LEARNED; i++) {
        const mebi__learned *l = &r->learned[i];
        if (!is_same(l, what)) continue;
        double weight = relevance(l, what, size);
        weights += weight;
        sum += weight * l->factor;
    }
    return limited(exp(sum / weights));
}

/* The entry of this size, or a fresh one in place of the oldest. */
static mebi__learned *entry_of(mebi__rates *r, const mebi__time_of *what, double size) {
    mebi__learned *oldest = &r->learned[0];
    for (int i = 0; i < MEBI__LEARNED; i++) {
        mebi__learned *l = &r->learned[i];
        if (is_same(l, what) && l->variant == what->variant && fabs(l->size - size) < near) return l;
        if (oldest->name[0] && (!l->name[0] || l->age < oldest->age)) oldest = l;
    }
    *oldest = (mebi__learned){.stage = (int)what->stage, .variant = what->variant, .size = size};
    strncpy(oldest->name, what->name, MEBI__LEARNED_NAME - 1);
    return oldest;
}

static int is_time(double seconds) {
    return isfinite(seconds) && seconds > 0;
}

void mebi__time_learn(mebi__rates *r, const mebi__time_of *what, double predicted, double measured) {
    if (!is_time(predicted) || !is_time(measured) || !is_time(what->operations) || !what->name[0]) return;
    mebi__learned *l = entry_of(r, what, log2(fmax(what->operations, 1)));
    double off = log(limited(measured / predicted)) - l->factor;
    /* A first job counts fully, later ones a third at least. Others at work only ever slow a job down: a
     * faster one is believed sooner. */
    double share = 1 / (l->count + 1);
    if (share < 0.3) share = 0.3;
    if (l->count > 0 && off < 0 && share < 0.5) share = 0.5;
    off *= share;
    if (l->count > 1 && off > step) off = step;
    l->factor += off;
    l->count = l->count < 1000 ? l->count + 1 : l->count;
    l->age = ++r->clock;
}

/* ---- pace ---- */

static const double pace_lasts = 10; /* seconds: a slow spell of the machine, about */
static const double pace_lap = 0.3;  /* seconds of work that tell it */

/* Measured on virtual machines with busy neighbours: in a spell in which a step of many small operations takes 1.4 times as
 * long, decoding, few large ones, takes 1.1 to 1.2 times. */
static const double felt[MEBI__TIME_STAGES] = {
    [MEBI__TIME_ENCODE] = 1, [MEBI__TIME_STEP] = 1, [MEBI__TIME_DECODE] = 0.4, [MEBI__TIME_SAVE] = 0.3};

static double pace_now(const mebi__rates *r, double now) {
    double age = now - r->pace_at;
    return age > 0 ? r->pace * exp(-age / pace_lasts) : r->pace;
}

double mebi__time_pace(const mebi__rates *r, mebi__time_stage stage, double now, double seconds) {
    double spells = seconds / pace_lasts;
    /* The mean over the job of a pace that fades. */
    double share = spells > 1e-3 ? (1 - exp(-spells)) / spells : 1;
    return exp(felt[stage] * share * pace_now(r, now));
}

void mebi__time_learn_pace(mebi__rates *r, const mebi__time_lap lap[MEBI__TIME_STAGES], double now) {
    double sum = 0, weights = 0, seconds = 0;
    for (int i = 0; i < MEBI__TIME_STAGES; i++) {
        if (!felt[i] || !is_time(lap[i].usual) || !is_time(lap[i].measured)) continue;
        sum += lap[i].usual * felt[i] * log(limited(lap[i].measured / lap[i].usual));
        weights += lap[i].usual * felt[i] * felt[i];
        seconds += lap[i].measured;
    }
    if (!(weights > 0)) return;
    double before = pace_now(r, now);
    r->pace = before + (1 - exp(-seconds / pace_lap)) * (sum / weights - before);
    r->pace_at = now;
}

void mebi__time_learn_file(mebi__rates *r, double bytes, double seconds) {
    double rate = bytes / seconds;
    if (!is_time(seconds) || !(bytes >= 64e6) || !isfinite(rate)) return;
    rate = fmin(fmax(rate, 1e7), 1e11);
    double *known = &r->roofline.file_bytes;
    *known = r->file_known ? sqrt(*known * rate) : rate;
    r->file_known = 1;
}

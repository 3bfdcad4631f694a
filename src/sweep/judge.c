/* From shots to rows, and from rows to the sweet spot. Says nothing that the figures don't show. */
#include "sweep/sweep.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Per cent of detail for a per cent of time, at least. */
static const double least_worth = 1.0 / 3;

const char mebi__sweep_rule[] = "A size is sound if no fault (the subject repeated, cut off by the "
                                "border, or a blotched background) is found "
                                "in more than a quarter of its pictures. The sweet spot is the "
                                "largest sound size that can be reached from the "
                                "smallest sound one in steps that are worth their time: each must "
                                "bring at least a third of a per cent of "
                                "detail for every per cent of time.";

const char *const mebi__sweep_limits[] = {
    "Nothing here knows what the prompt asked for: a picture of the wrong object measures as well "
    "as the right one.",
    "Detail is what a small blur takes away. Ragged edges, debris and noise count as detail; a "
    "smooth sky has none.",
    "Repeated objects are parts of like size and colour before a plain background, or a picture "
    "that matches itself "
    "when shifted. A prompt for three balls would be called a fault, so the prompts here ask for "
    "one thing.",
    "A size changes the noise that a picture starts from, so its composition differs from the "
    "native size's: the "
    "likeness tells how far, not which is better.",
    "All prompts ask for one object before a plain background. Scenes may have another sweet spot.",
    "Look at the pictures before you believe the figures.",
};
const int mebi__sweep_limit_count = sizeof mebi__sweep_limits / sizeof *mebi__sweep_limits;

/* ---- rows ---- */

static int smaller_first(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    if (count == 0) return 0;
    qsort(values, (size_t)count, sizeof *values, smaller_first);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* What there is a median of. */
enum { SECONDS, STEP, DECODE, SHARPNESS, NOISE, DEVIATION, STRUCTURE, GRADIENTS, FIGURES };

static void figures_of(const mebi__shot *shot, int steps, double *figure) {
    figure[SECONDS] = shot->report.total_seconds;
    figure[STEP] = shot->report.seconds[MEBI_STAGE_STEP] / (steps > 0 ? steps : 1);
    figure[DECODE] = shot->report.seconds[MEBI_STAGE_DECODE];
    figure[SHARPNESS] = shot->measures.sharpness;
    figure[NOISE] = shot->measures.noise;
    figure[DEVIATION] = shot->measures.background_deviation;
    figure[STRUCTURE] = shot->likeness.structure;
    figure[GRADIENTS] = shot->likeness.gradients;
}

static void add_up(mebi__row *row, const mebi__shot *shot) {
    const mebi_measures *m = &shot->measures;
    row->made++;
    row->detail_energy += m->detail * row->width * row->height / 1e6;
    row->repeated += mebi_measures_repeated(m);
    row->cut += m->cut > 0.02;
    row->blotched += m->blotches > 0;
    if (shot->report.peak_bytes > row->peak_bytes) row->peak_bytes = shot->report.peak_bytes;
    if (shot->plan.peak_bytes > row->planned_bytes) row->planned_bytes = shot->plan.peak_bytes;
}

static void fill_row(mebi__sweep *s, int index) {
    double all[FIGURES][MEBI__SWEEP_PROMPTS * MEBI__SWEEP_SEEDS], one[FIGURES];
    mebi__row *row = &s->row[index];
    int compared = 0;
    row->made = row->repeated = row->cut = row->blotched = 0;
    row->detail_energy = 0;
    row->peak_bytes = row->planned_bytes = 0;
    for (int i = 0; i < s->shots; i++) {
        const mebi__shot *shot = &s->shot[i];
        if (shot->size != index || !shot->made) continue;
        figures_of(shot, s->params.steps, one);
        for (int f = 0; f < FIGURES; f++) all[f][row->made] = one[f];
        compared += shot->likeness.width > 0;
        add_up(row, shot);
    }
    if (row->made) row->detail_energy /= row->made;
    row->seconds = median(all[SECONDS], row->made);
    row->step_seconds = median(all[STEP], row->made);
    row->decode_seconds = median(all[DECODE], row->made);
    row->sharpness = median(all[SHARPNESS], row->made);
    row->noise = median(all[NOISE], row->made);
    row->deviation = median(all[DEVIATION], row->made);
    row->structure = compared && compared == row->made ? median(all[STRUCTURE], row->made) : -1;
    row->gradients = row->structure > -1 ? median(all[GRADIENTS], row->made) : -1;
    int allowed = row->made / 4;
    row->sound =
        row->made && row->repeated <= allowed && row->cut <= allowed && row->blotched <= allowed;
}

/* ---- gains ---- */

static double worth_of(const mebi__row *from, const mebi__row *to) {
    if (from->detail_energy <= 0 || to->detail_energy <= from->detail_energy) return 0;
    double detail = log(to->detail_energy / from->detail_energy);
    double time =
        from->seconds > 0 && to->seconds > from->seconds ? log(to->seconds / from->seconds) : 0;
    return time > 0 && detail / time < 9.99 ? detail / time : 9.99;
}

static void fill_gains(mebi__sweep *s) {
    int before = -1, unit = s->native;
    for (int i = 0; i < s->params.sizes; i++) {
        mebi__row *row = &s->row[i];
        row->from = -1;
        if (!row->made) continue;
        if (unit < 0 || !s->row[unit].made) unit = i;
        row->from = before;
        before = i;
        if (row->from < 0) continue;
        const mebi__row *from = &s->row[row->from];
        row->more_seconds = row->seconds - from->seconds;
        row->more_bytes = (double)row->peak_bytes - (double)from->peak_bytes;
        row->worth = worth_of(from, row);
        row->worthwhile = row->worth >= least_worth;
    }
    for (int i = 0; i < s->params.sizes && unit >= 0; i++) {
        mebi__row *row = &s->row[i];
        double whole = s->row[unit].detail_energy;
        row->detail = whole > 0 ? 100 * row->detail_energy / whole : 0;
        if (row->from >= 0) row->more_detail = row->detail - s->row[row->from].detail;
    }
}

/* ---- the sweet spot ---- */

/* Appends. */
__attribute__((format(printf, 3, 4))) static void say(char *text, size_t bytes, const char *format,
                                                      ...) {
    size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, bytes - used, format, args);
    va_end(args);
}

static void say_fault(mebi__row *row, int count, const char *what) {
    if (count <= row->made / 4) return;
    say(row->note, sizeof row->note, "%s %s in %d of %d pictures", *row->note ? "," : "", what,
        count, row->made);
}

/* "the subject is repeated in 5 of 6 pictures." */
static void say_faults(mebi__row *row) {
    row->note[0] = 0;
    if (!row->made) say(row->note, sizeof row->note, " it does not fit into the memory there is");
    say_fault(row, row->repeated, "the subject is repeated");
    say_fault(row, row->cut, "the subject is cut off by the border");
    say_fault(row, row->blotched, "the background is blotched");
    if (!*row->note) return;
    memmove(row->note, row->note + 1, strlen(row->note)); /* the first space */
    say(row->note, sizeof row->note, ".");
}

static int faults_of(const mebi__row *row) {
    return row->repeated + row->cut + row->blotched;
}

/* Nothing is sound: the size with the fewest faults, of equal ones the native. */
static void settle_without_sound(mebi__sweep *s) {
    for (int i = 0; i < s->params.sizes; i++) {
        const mebi__row *row = &s->row[i];
        if (!row->made) continue;
        int better = s->sweet < 0 || faults_of(row) < faults_of(&s->row[s->sweet]);
        int equal = s->sweet >= 0 && faults_of(row) == faults_of(&s->row[s->sweet]);
        if (better || (equal && row->native)) s->sweet = i;
    }
    if (s->sweet < 0) {
        say(s->why, sizeof s->why, "No size fits into the memory there is.");
        return;
    }
    say(s->why, sizeof s->why, "No size is sound; %dx%d has the fewest faults.",
        s->row[s->sweet].width, s->row[s->sweet].height);
}

/* Upwards from the smallest sound size while it is worth it. *stop: the first sound size that
 * isn't, or -1. */
static int climb(const mebi__sweep *s, int *stop, int *sound) {
    int best = -1;
    *stop = -1;
    *sound = 0;
    for (int i = 0; i < s->params.sizes; i++) {
        if (!s->row[i].sound) continue;
        ++*sound;
        if (best < 0) best = i;
        else if (*stop < 0 && worth_of(&s->row[best], &s->row[i]) >= least_worth) best = i;
        else if (*stop < 0) *stop = i;
    }
    return best;
}

static void say_why(mebi__sweep *s, int stop, int sound) {
    const mebi__row *best = &s->row[s->sweet];
    if (sound == 1)
        say(s->why, sizeof s->why,
            "%dx%d is the only sound size: its pictures show their subject once and whole, on a "
            "clean background.",
            best->width, best->height);
    else if (stop < 0)
        say(s->why, sizeof s->why,
            "%dx%d is the largest sound size, and every step up to it was worth its time.",
            best->width, best->height);
    else {
        const mebi__row *next = &s->row[stop];
        say(s->why, sizeof s->why,
            "%dx%d is where more stops paying: %dx%d takes %.2f times as long for %.2f times the "
            "detail, %.2f per "
            "cent of detail for one of time.",
            best->width, best->height, next->width, next->height, next->seconds / best->seconds,
            next->detail_energy / best->detail_energy, worth_of(best, next));
    }
}

void mebi__sweep_judge(mebi__sweep *s) {
    int stop, sound;
    s->why[0] = 0;
    for (int i = 0; i < s->params.sizes; i++) fill_row(s, i);
    fill_gains(s);
    s->sweet = climb(s, &stop, &sound);
    if (s->sweet < 0) settle_without_sound(s);
    else say_why(s, stop, sound);
    for (int i = 0; i < s->params.sizes; i++) say_faults(&s->row[i]);
}

/* The curve of memory over time. Must never be wider than 100 columns. */
#include "cli/doctor_print.h"

#include <stdio.h>
#include <string.h>

enum { COLUMNS = 84, ROWS = 8, EIGHTHS = 8, BAR = 30 };
static const double mb = 1e-6;

/* ---- as a drawing ---- */

typedef struct curve {
    double bytes[COLUMNS], plan[COLUMNS]; /* plan: 0 outside runs */
    int run[COLUMNS];                     /* -1: before all */
    double most, seconds;
} curve;

static double later(double a, double b) {
    return a > b ? a : b;
}

/* Each column has the most that was held in its time: what was sampled in it, and what the one
 * before it ended with. */
static void fill(const mebi__doctor *d, curve *c) {
    double last = (double)d->start_bytes;
    int i = 0, run = -1;
    c->seconds = d->samples ? d->sample[d->samples - 1].seconds : 0;
    c->most = last;
    for (int x = 0; x < COLUMNS; x++) {
        double until = c->seconds * (x + 1) / COLUMNS, most = last;
        for (; i < d->samples && (d->sample[i].seconds <= until || x == COLUMNS - 1); i++) {
            last = (double)d->sample[i].bytes;
            most = later(most, last);
            run = d->sample[i].run;
        }
        c->bytes[x] = most;
        c->run[x] = run;
        c->plan[x] = run >= 0 ? (double)d->run[run].report.plan.peak_bytes : 0;
        c->most = later(c->most, later(most, c->plan[x]));
    }
}

/* A cell's character: filled by eighths from below; the plan's line where nothing fills. */
static const char *cell(const curve *c, int x, int row) {
    static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    double scale = c->most > 0 ? ROWS * EIGHTHS / c->most : 0;
    int filled = (int)(c->bytes[x] * scale + 0.5) - row * EIGHTHS;
    int line = (int)(c->plan[x] * scale + 0.5);
    if (filled >= EIGHTHS) return blocks[EIGHTHS];
    if (filled > 0) return blocks[filled];
    return c->plan[x] > 0 && (line - 1) / EIGHTHS == row ? "┄" : " ";
}

static void draw(const mebi__doctor *d) {
    curve c;
    fill(d, &c);
    printf("\n      own memory over %.1f s; ┄ the plan of each run\n", c.seconds);
    for (int row = ROWS - 1; row >= 0; row--) {
        if (row == ROWS - 1) printf("%8.1f MB ┤", c.most * mb);
        else if (row == ROWS / 2 - 1) printf("%8.1f MB ┤", c.most * mb / 2);
        else printf("%11s │", "");
        for (int x = 0; x < COLUMNS; x++) fputs(cell(&c, x, row), stdout);
        putchar('\n');
    }
    printf("%8.1f MB └", 0.0);
    for (int x = 0; x < COLUMNS; x++) fputs(x && c.run[x] != c.run[x - 1] ? "┴" : "─", stdout);
    printf("\n%13s", "");
    for (int x = 0; x < COLUMNS; x++) {
        int begins = x == 0 || c.run[x] != c.run[x - 1];
        if (x == 0) x += printf(c.run[0] < 0 ? "load" : "run %d", c.run[0] + 1) - 1;
        else if (begins && x < COLUMNS - 6) x += printf("run %d", c.run[x] + 1) - 1;
        else putchar(' ');
    }
    putchar('\n');
}

/* ---- as a table ---- */

static void print_bar(const paper *p, double bytes, double most) {
    static const char *const part[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int eighths = most > 0 ? (int)(bytes / most * BAR * EIGHTHS + 0.5) : 0;
    for (int i = 0; i < eighths / EIGHTHS; i++) fputs(p->unicode ? "█" : "#", stdout);
    if (p->unicode) fputs(part[eighths % EIGHTHS], stdout);
    putchar('\n');
}

static void print_row(const paper *p, const char *phase, double bytes, double plan, double most) {
    printf("      %-32s %8.1f MB  ", phase, bytes * mb);
    if (plan > 0) printf("%5.1f %% of plan  ", 100 * bytes / plan);
    else printf("%17s", "");
    print_bar(p, bytes, most);
}

/* The most of a run's samples in a stage; negative: none. */
static double most_in(const mebi__doctor *d, int run, mebi_stage stage) {
    double most = -1;
    for (int i = 0; i < d->samples; i++)
        if (d->sample[i].run == run && d->sample[i].stage == stage)
            most = later(most, (double)d->sample[i].bytes);
    return most;
}

static void print_table(const paper *p, const mebi__doctor *d) {
    static const char *const phases[MEBI_STAGE_COUNT + 1] = {
        [MEBI_STAGE_ENCODE] = "encoding", [MEBI_STAGE_STEP] = "steps", [MEBI_STAGE_DECODE] = "decoding",
        [MEBI_STAGE_COUNT] = "after it"};
    double most = (double)d->loaded_bytes;
    for (int i = 0; i < MEBI__RUNS; i++)
        most = later(most,
                     later((double)d->run[i].report.plan.peak_bytes, (double)d->run[i].most_bytes));
    printf("\n");
    print_row(p, "at the start", (double)d->start_bytes, 0, most);
    print_row(p, "model loaded", (double)d->loaded_bytes, 0, most);
    for (int i = 0; i < MEBI__RUNS; i++) {
        if (d->run[i].state != MEBI__RUN_DONE && d->run[i].state != MEBI__RUN_FAILED) continue;
        double plan = (double)d->run[i].report.plan.peak_bytes;
        for (int k = 0; k <= MEBI_STAGE_COUNT; k++) {
            char phase[48];
            double bytes = phases[k] ? most_in(d, i, (mebi_stage)k) : -1;
            if (bytes < 0) continue;
            snprintf(phase, sizeof phase, "run %d: %s", i + 1, phases[k]);
            print_row(p, phase, bytes, k == MEBI_STAGE_COUNT ? 0 : plan, most);
        }
    }
    print_row(p, "at the end", (double)d->end_bytes, 0, most);
}

void doctor_print_curve(const paper *p, const mebi__doctor *d) {
    if (d->samples == 0) return;
    if (p->unicode) draw(d);
    print_table(p, d);
    putchar('\n');
}

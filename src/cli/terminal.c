/* Progress for people. */
#include "cli/terminal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BAR = 24 };

terminal terminal_open(int quiet) {
    return (terminal){.quiet = quiet, .is_terminal = isatty(STDERR_FILENO)};
}

char *seconds_text(double s, char *text, size_t bytes) {
    if (s < 9.95) snprintf(text, bytes, "%.1f s", s);
    else if (s < 119.5) snprintf(text, bytes, "%.0f s", s);
    else if (s < 7199.5) snprintf(text, bytes, "%d min %d s", (int)(s + 0.5) / 60, (int)(s + 0.5) % 60);
    else snprintf(text, bytes, "%d h %d min", (int)(s + 30) / 3600, (int)(s + 30) % 3600 / 60);
    return text;
}

char *bytes_text(double b, char *text, size_t size) {
    if (b < 999.5e6) snprintf(text, size, "%.0f MB", b / 1e6);
    else snprintf(text, size, "%.1f GB", b / 1e9);
    return text;
}

/* "picture 2 of 4, step 3 of 8" */
static void describe(const mebi_progress *p, char *text, size_t bytes) {
    char picture[48] = "";
    if (p->count > 1 && p->image) snprintf(picture, sizeof picture, "picture %d of %d, ", p->image, p->count);
    if (p->stage == MEBI_STAGE_STEP)
        snprintf(text, bytes, "%sstep %d of %d", picture, p->step, p->steps);
    else snprintf(text, bytes, "%s%s", picture, mebi_stage_name(p->stage));
}

static void draw_bar(terminal *t, const mebi_progress *p) {
    char what[96], left[40] = "", bar[BAR + 1];
    int filled = (int)(p->fraction * BAR + 0.5);
    describe(p, what, sizeof what);
    memset(bar, '.', BAR);
    memset(bar, '#', (size_t)(filled < BAR ? filled : BAR));
    bar[BAR] = 0;
    char seconds[24];
    if (p->seconds_left >= 0)
        snprintf(left, sizeof left, ", %s left", seconds_text(p->seconds_left, seconds, sizeof seconds));
    fprintf(stderr, "\r\033[K[%s] %3.0f %%  %s%s", bar, p->fraction * 100, what, left);
    fflush(stderr);
    t->shown = 1;
    t->shown_at = p->seconds;
}

static void print_line(const mebi_progress *p) {
    char what[96], left[48] = "", spent[24], seconds[24];
    describe(p, what, sizeof what);
    if (p->seconds_left >= 0 && p->stage != MEBI_STAGE_SAVE)
        snprintf(left, sizeof left, ", about %s left", seconds_text(p->seconds_left, seconds, sizeof seconds));
    fprintf(stderr, "%s (%s%s)\n", what, seconds_text(p->seconds, spent, sizeof spent), left);
}

void terminal_progress(void *context, const mebi_progress *p) {
    terminal *t = context;
    if (t->quiet) return;
    int fresh = !t->any || p->stage != t->stage || p->step != t->step || p->image != t->image;
    if (!t->is_terminal) {
        if (fresh && p->stage != MEBI_STAGE_LOAD) print_line(p);
    } else if (fresh || p->seconds - t->shown_at > 0.1 || p->seconds < t->shown_at) draw_bar(t, p);
    t->any = 1;
    t->stage = p->stage;
    t->step = p->step;
    t->image = p->image;
}

void terminal_clear(terminal *t) {
    if (!t->shown) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    t->shown = 0;
}

/* Progress for people and programs. Must never fill a log: a line every few seconds at most, and
 * each stage's first. */
#include "cli/terminal.h"

#include "base/os.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR = 24 };

/* Seconds between two bars, two lines. */
static const double bar_pause = 0.1, line_pause = 2, json_pause = 0.2;

terminal terminal_open(int quiet) {
    const char *kind = getenv("TERM");
    int dumb = !kind || strcmp(kind, "dumb") == 0;
    return (terminal){.quiet = quiet, .is_terminal = !dumb && isatty(STDERR_FILENO)};
}

char *seconds_text(double s, char *text, size_t bytes) {
    if (s < 9.95) snprintf(text, bytes, "%.1f s", s);
    else if (s < 119.5) snprintf(text, bytes, "%.0f s", s);
    else if (s < 7199.5)
        snprintf(text, bytes, "%d min %d s", (int)(s + 0.5) / 60, (int)(s + 0.5) % 60);
    else snprintf(text, bytes, "%d h %d min", (int)(s + 30) / 3600, (int)(s + 30) % 3600 / 60);
    return text;
}

char *bytes_text(double b, char *text, size_t size) {
    if (b < 999.5e6) snprintf(text, size, "%.0f MB", b / 1e6);
    else snprintf(text, size, "%.1f GB", b / 1e9);
    return text;
}

/* "picture 2 of 4, step 3 of 8": the step under way */
static void describe(const mebi_progress *p, char *text, size_t bytes) {
    static const char *const words[MEBI_STAGE_COUNT] = {[MEBI_STAGE_LOAD] = "loading the model",
                                                        [MEBI_STAGE_TAKE] = "taking memory",
                                                        [MEBI_STAGE_ENCODE] = "encoding the prompt",
                                                        [MEBI_STAGE_DECODE] = "decoding",
                                                        [MEBI_STAGE_SAVE] = "saving"};
    char picture[48] = "";
    if (p->count > 1 && p->image)
        snprintf(picture, sizeof picture, "picture %d of %d, ", p->image, p->count);
    if (p->stage == MEBI_STAGE_STEP)
        snprintf(text, bytes, "%sstep %d of %d", picture,
                 p->step < p->steps ? p->step + 1 : p->steps, p->steps);
    else snprintf(text, bytes, "%s%s", picture, words[p->stage]);
}

static void describe_left(const mebi_progress *p, const char *before, char *text, size_t bytes) {
    char seconds[24];
    text[0] = 0;
    if (p->seconds_left >= 0 && p->stage != MEBI_STAGE_SAVE)
        snprintf(text, bytes, ", %s%s left", before,
                 seconds_text(p->seconds_left, seconds, sizeof seconds));
}

/* Columns that a bar may use: one less than there are, or the cursor would go to the next line. */
static int columns(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 2) return 79;
    return size.ws_col - 1;
}

static void draw_bar(terminal *t, const mebi_progress *p) {
    char what[96], left[40], bar[BAR + 1], line[256];
    int filled = (int)(p->fraction * BAR + 0.5), room = columns();
    describe(p, what, sizeof what);
    describe_left(p, "", left, sizeof left);
    memset(bar, '.', BAR);
    memset(bar, '#', (size_t)(filled < BAR ? filled : BAR));
    bar[BAR] = 0;
    int length =
        snprintf(line, sizeof line, "[%s] %3.0f %%  %s%s", bar, p->fraction * 100, what, left);
    if (length > room) snprintf(line, sizeof line, "%3.0f %%  %s%s", p->fraction * 100, what, left);
    fprintf(stderr, "\r\033[K%.*s", room, line);
    fflush(stderr);
    t->shown = 1;
}

static void print_line(const mebi_progress *p) {
    char what[96], left[48], spent[24];
    describe(p, what, sizeof what);
    describe_left(p, "about ", left, sizeof left);
    fprintf(stderr, "%s (%s%s)\n", what, seconds_text(p->seconds, spent, sizeof spent), left);
}

/* Takes the reference; in one write, for the reader may look at any time. */
static void print_json(json_t *o) {
    char *line = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(4)) : NULL;
    json_decref(o);
    if (line) fprintf(stderr, "%s\n", line);
    free(line);
}

void terminal_tell(terminal *t, double fraction, double seconds_left, const char *words) {
    double now = mebi__now_seconds();
    if (t->quiet || !t->json || (t->any && now - t->told_at < json_pause)) return;
    t->any = 1;
    t->told_at = now;
    print_json(json_pack("{s:f, s:o, s:s*}", "fraction", fraction, "seconds_left",
                         seconds_left >= 0 ? json_real(seconds_left) : json_null(), "words",
                         words));
}

void terminal_notice(terminal *t, const char *text) {
    if (t->quiet) return;
    terminal_clear(t);
    if (t->json) print_json(json_pack("{s:s}", "words", text));
    else fprintf(stderr, "mebi: %s\n", text);
}

/* Loading has a fraction of its own, which is none of the work's. */
static void tell(terminal *t, const mebi_progress *p) {
    char what[96];
    int loading = p->stage == MEBI_STAGE_LOAD;
    describe(p, what, sizeof what);
    terminal_tell(t, loading ? 0 : p->fraction, loading ? -1 : p->seconds_left, what);
}

void terminal_progress(void *context, const mebi_progress *p) {
    terminal *t = context;
    if (t->quiet) return;
    if (t->json) {
        tell(t, p);
        return;
    }
    double now = mebi__now_seconds(), since = now - t->told_at;
    int first = !(t->told & 1u << p->stage);
    int fresh = !t->any || p->stage != t->stage || p->step != t->step || p->image != t->image;
    int told = t->is_terminal
                   ? fresh || since > bar_pause
                   : p->stage != MEBI_STAGE_SAVE && (first || (fresh && since > line_pause));
    t->any = 1;
    t->stage = p->stage;
    t->step = p->step;
    t->image = p->image;
    if (!told) return;
    if (t->is_terminal) draw_bar(t, p);
    else print_line(p);
    t->told |= 1u << p->stage;
    t->told_at = now;
}

void terminal_clear(terminal *t) {
    if (!t->shown) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    t->shown = 0;
}

/* Progress on stderr. For people: a bar on a terminal, plain lines elsewhere. For programs: a JSON
 * object a line, with some of
 *
 *     fraction      of all the work, 0 to 1
 *     seconds_left  an estimate; null while there is none
 *     words         what is done now, a sentence's part
 *
 * Lines that are no JSON may come between, as those that tell of a failure. */
#ifndef MEBI_CLI_TERMINAL_H
#define MEBI_CLI_TERMINAL_H

#include "mebi/engine.h"

typedef struct terminal {
    int quiet, is_terminal, json;
    double told_at;   /* mebi__now_seconds() of the last bar or line */
    int shown;        /* a bar is on the line */
    unsigned told;    /* stages that have had a line, a bit each */
    mebi_stage stage; /* last told, with its step and image */
    int step, image, any;
} terminal;

terminal terminal_open(int quiet);
/* A mebi_callbacks progress function; context is the terminal. */
void terminal_progress(void *context, const mebi_progress *progress);
/* For work of several jobs: told with the fraction of the whole and its own words; NULL: the last
 * ones hold. Only as JSON. */
void terminal_tell(terminal *terminal, double fraction, double seconds_left, const char *words);
/* A sentence. */
void terminal_notice(terminal *terminal, const char *text);
/* Takes the bar off the line, so that something else can be printed. */
void terminal_clear(terminal *t);

/* "0.8 s", "12 s", "3 min 20 s", "2 h 5 min" */
char *seconds_text(double seconds, char *text, size_t bytes);
/* "812 MB", "12.3 GB" (powers of ten) */
char *bytes_text(double bytes, char *text, size_t size);

#endif

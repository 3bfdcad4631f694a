/* Progress for people: a bar on a terminal, plain lines elsewhere, on stderr. */
#ifndef MEBI_CLI_TERMINAL_H
#define MEBI_CLI_TERMINAL_H

#include "mebi/engine.h"

typedef struct terminal {
    int quiet, is_terminal;
    double told_at;   /* mebi__now_seconds() of the last bar or line */
    int shown;        /* a bar is on the line */
    unsigned told;    /* stages that have had a line, a bit each */
    mebi_stage stage; /* last told, with its step and image */
    int step, image, any;
} terminal;

terminal terminal_open(int quiet);
/* A mebi_callbacks progress function; context is the terminal. */
void terminal_progress(void *context, const mebi_progress *progress);
/* Takes the bar off the line, so that something else can be printed. */
void terminal_clear(terminal *t);

/* "0.8 s", "12 s", "3 min 20 s", "2 h 5 min" */
char *seconds_text(double seconds, char *text, size_t bytes);
/* "812 MB", "12.3 GB" (powers of ten) */
char *bytes_text(double bytes, char *text, size_t size);

#endif

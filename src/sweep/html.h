/* Parts of the report's page. */
#ifndef MEBI_SWEEP_HTML_H
#define MEBI_SWEEP_HTML_H

#include "sweep/sweep.h"

/* Text as HTML: what has a meaning there is escaped, what is not UTF-8 or not printable becomes
 * U+FFFD. */
void mebi__html_text(FILE *to, const char *text);
/* A shot's PNG as base64, for a data: address. */
MEBI_MUST_USE mebi_status mebi__html_png(FILE *to, const mebi__sweep *s, const mebi__shot *shot,
                                         mebi_error *err);

/* A line through the sizes. */
typedef struct mebi__series {
    const char *name, *style; /* style: a class of the page's: "a", "b", "c" */
    double value[MEBI__SWEEP_SIZES];
    int known[MEBI__SWEEP_SIZES];
} mebi__series;

typedef struct mebi__plot {
    const char *id, *title, *unit; /* the id is the page's own */
    const char *note;              /* below the title; may be NULL */
    int count;
    mebi__series series[3];
    double least_top; /* the axis goes up to this at least */
    int bars;         /* 1: beside each other, not lines */
} mebi__plot;

/* One <figure> with an <svg> over sizes, the sweet spot marked, and all values in its description.
 */
void mebi__html_plot(FILE *to, const mebi__sweep *s, const mebi__plot *plot);

/* The page's style sheet. */
extern const char mebi__html_style[];

#endif

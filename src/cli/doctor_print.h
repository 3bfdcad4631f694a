/* The self-check's result, for people and for programs. */
#ifndef MEBI_CLI_DOCTOR_PRINT_H
#define MEBI_CLI_DOCTOR_PRINT_H

#include "doctor/doctor.h"

/* How a place shows text. */
typedef struct paper {
    int colour;  /* 1: escape sequences for colours are understood */
    int unicode; /* 1: block characters are, too */
} paper;

/* Standard output's: a terminal that is not dumb has colours, unless NO_COLOR is set; and blocks
 * where the locale's characters are UTF-8. */
paper paper_of_output(void);

/* One section's lines. */
void doctor_print_section(const paper *p, mebi__section section, const mebi__findings *all);
/* The curve of memory, drawn where blocks can be, and as a table. At most 100 columns. */
void doctor_print_curve(const paper *p, const mebi__doctor *d);
/* How many of which, and what that means. */
void doctor_print_verdict(const paper *p, const mebi__findings *all);

/* One JSON object. d and machine may be NULL: only a picture was judged. */
void doctor_print_json(const mebi__machine *machine, const mebi__doctor *d,
                       const mebi__findings *all);

#endif

/* Figures as words, the same in tables and on the page. */
#ifndef MEBI_SWEEP_WORDS_H
#define MEBI_SWEEP_WORDS_H

#include "sweep/sweep.h"

enum { WORD = 32 }; /* bytes for one */

/* "0.43 s", "71.0 s", "560 s", "1.9 h"; "-" if it is not known. Returns text. */
const char *mebi__sweep_time(double seconds, char text[WORD]);
/* "34 MB", "12.3 GB" (powers of ten); "-" for 0. Returns text. */
const char *mebi__sweep_bytes(size_t bytes, char text[WORD]);

#endif

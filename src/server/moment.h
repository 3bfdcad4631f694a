/* Points in time as the API writes them. */
#ifndef MEBI_SERVER_MOMENT_H
#define MEBI_SERVER_MOMENT_H

#include <stdint.h>

enum { MEBI__MOMENT_BYTES = 40 };

/* "2026-12-31T23:59:59.123Z" */
void mebi__moment_text(int64_t ms, char text[MEBI__MOMENT_BYTES]);
/* The reverse, also for dates alone ("2026-12-31") and without the milliseconds. 0 if it is none of
 * these. */
int mebi__moment_read(const char *text, int64_t *ms);

#endif

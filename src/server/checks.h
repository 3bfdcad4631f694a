/* Checks of machine and model, asked for over HTTP: one at a time, in the worker's turn. */
#ifndef MEBI_SERVER_CHECKS_H
#define MEBI_SERVER_CHECKS_H

#include "server/server.h"

typedef struct mebi__checks mebi__checks;

/* nudge is called after each change of a check, from any thread, and returns at once. NULL: no
 * memory. */
mebi__checks *mebi__checks_open(mebi__jobs *jobs, const mebi__check_ways *ways,
                                void (*nudge)(void *context), void *context);
/* After the jobs have been closed. Accepts NULL. */
void mebi__checks_close(mebi__checks **checks);

/* The check that changed first after the version *seen, without its report, and *seen moved on to
 * it; NULL: none did. Start with 0. */
json_t *mebi__checks_news(mebi__checks *checks, int64_t *seen);
int64_t mebi__checks_version(mebi__checks *checks);

#endif

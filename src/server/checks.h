/* Checks of machine and model, asked for over HTTP: one at a time, in the worker's turn. */
#ifndef MEBI_SERVER_CHECKS_H
#define MEBI_SERVER_CHECKS_H

#include "server/server.h"

typedef struct mebi__checks mebi__checks;

/* NULL: no memory. */
mebi__checks *mebi__checks_open(mebi__jobs *jobs, const mebi__check_ways *ways);
/* After the jobs have been closed. Accepts NULL. */
void mebi__checks_close(mebi__checks **checks);

#endif

/* The server's checks: this program's own `doctor` and `bench`, each in a process of its own, so
 * that the memory it judges is that of one engine and not of a server beside it. */
#ifndef MEBI_CLI_SERVE_CHECKS_H
#define MEBI_CLI_SERVE_CHECKS_H

#include "server/server.h"

typedef struct serve_checks {
    const mebi_engine_params *params; /* which model, and how */
    const char *folder;               /* of the data: a report waits there to be read */
} serve_checks;

/* For mebi__check_ways; context: a serve_checks. */
json_t *serve_checks_run(void *context, const mebi__check_order *order, char **html,
                         mebi_error *err);

#endif

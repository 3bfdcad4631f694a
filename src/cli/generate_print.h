/* What `mebi generate` says of a job that is done, on standard output. */
#ifndef MEBI_CLI_GENERATE_PRINT_H
#define MEBI_CLI_GENERATE_PRINT_H

#include "mebi/engine.h"

#include <jansson.h>

void generate_print_summary(const mebi_report *report, double total_seconds);
/* images: of those saved; stays the caller's. */
void generate_print_json(json_t *images, const mebi_report *report, double total_seconds);

#endif

/* Amounts of memory as users write them. */
#ifndef MEBI_CONFIG_BUDGET_H
#define MEBI_CONFIG_BUDGET_H

#include "base/error.h"

#include <stddef.h>

/* bytes of a machine that has total_bytes of memory, for "12G", "12GB" (10^9), "12GiB" (2^30),
 * "1.5T", "800M", "900000K", "80%" (of total_bytes), and "auto", which is 0. name begins the
 * error's sentence:
 * "--budget". *bytes is untouched on failure. */
MEBI_MUST_USE mebi_status mebi__budget_parse(const char *name, const char *text, size_t total_bytes,
                                             size_t *bytes, mebi_error *err);

#endif

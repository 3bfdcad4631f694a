/* Memory budgets as users write them. */
#ifndef MEBI_CLI_BUDGET_H
#define MEBI_CLI_BUDGET_H

#include "mebi/status.h"

#include <stddef.h>

/* Bytes for mebi_engine_params.budget_bytes from "12G", "12GB", "12GiB", "800M", "80%" (of this
 * machine's memory), or "auto", which is 0. name is for messages: "--budget". */
MEBI_MUST_USE mebi_status budget_parse(const char *name, const char *text, size_t *bytes,
                                       mebi_error *err);

#endif

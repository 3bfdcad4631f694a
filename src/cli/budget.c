/* Memory budgets, of this machine. */
#include "cli/budget.h"

#include "config/budget.h"

#include <unistd.h>

/* All that the machine has; what is free of it is the engine's matter. */
static size_t machine_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && bytes > 0 ? (size_t)pages * (size_t)bytes : 0;
}

mebi_status budget_parse(const char *name, const char *text, size_t *bytes, mebi_error *err) {
    return mebi__budget_parse(name, text, machine_bytes(), bytes, err);
}

/* Drafts: what a small picture's file says of the large one. */
#ifndef MEBI_CLI_DRAFT_H
#define MEBI_CLI_DRAFT_H

#include "config/config.h"
#include "mebi/status.h"

/* Begins with all zeros. */
typedef struct draft {
    char *prompt, *negative, *model_hash; /* NULL: not said; UTF-8 */
} draft;

/* Reads the PNG that `mebi generate --draft` saved. Its size, steps, guidance and seed become
 * settings of config, below those of the command line; one picture is asked for. A file that is no
 * such draft is refused. */
MEBI_MUST_USE mebi_status draft_read(const char *path, mebi__config *config, draft *d,
                                     mebi_error *err);
void draft_free(draft *d);

#endif

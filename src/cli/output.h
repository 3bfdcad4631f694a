/* Where pictures go: checked before the work, kept after it. */
#ifndef MEBI_CLI_OUTPUT_H
#define MEBI_CLI_OUTPUT_H

#include "cli/naming.h"
#include "mebi/image.h"

/* Fills pattern (PATH_BYTES) from what was given (NULL: the default) and refuses what can't work
 * for these pictures: a bad pattern, one name for several, a name that exists or is too long, a
 * folder that can't be written. seed may be -1. Leaves nothing behind. */
MEBI_MUST_USE mebi_status output_choose(const char *given, int64_t seed, int count, char *pattern,
                                        mebi_error *err);

/* Saves picture i (1..) under its name, or name_2, name_3, ... where that is taken; path
 * (PATH_BYTES) is what it got. Where that fails it is saved in the system's temporary folder, and
 * *trouble (its status is MEBI_OK otherwise) says why. Fails only when that fails too. */
MEBI_MUST_USE mebi_status output_save(const char *pattern, int64_t seed, int i,
                                      const mebi_image *image, const mebi_png_text *texts,
                                      int text_count, char *path, mebi_error *trouble,
                                      mebi_error *err);

#endif

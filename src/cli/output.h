/* Where pictures go: checked before the work, kept after it. */
#ifndef MEBI_CLI_OUTPUT_H
#define MEBI_CLI_OUTPUT_H

#include "cli/naming.h"
#include "mebi/image.h"

/* Fills pattern (PATH_BYTES) from what was given and refuses what can't work for count pictures
 * from these facts on: a bad pattern, one name for several, a name that exists or is too long, a
 * folder that can't be written. facts->seed may be -1; a width of 0 is not known yet. Leaves
 * nothing behind. */
MEBI_MUST_USE mebi_status output_choose(const char *given, const naming_facts *facts, int count,
                                        char *pattern, mebi_error *err);

/* Saves a picture under its name, or name_2, name_3, ... where that is taken; path
 * (PATH_BYTES) is what it got. Where that fails it is saved in the system's temporary folder, and
 * *trouble (its status is MEBI_OK otherwise) says why. Fails only when that fails too. */
MEBI_MUST_USE mebi_status output_save(const char *pattern, const naming_facts *facts,
                                      const mebi_image *image, const mebi_png_text *texts,
                                      int text_count, char *path, mebi_error *trouble,
                                      mebi_error *err);

#endif

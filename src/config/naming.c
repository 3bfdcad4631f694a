/* What may stand for something else in the name of a picture. */
#include "config/naming.h"

#include <string.h>

/* None is the begin of another. */
static const char *const parts[MEBI__NAME_PARTS] = {"%seed",  "%i",   "%date",  "%time", "%size",
                                                    "%steps", "%cfg", "%model", "%%"};

mebi__name_part mebi__name_part_read(const char *text, size_t *length) {
    for (int i = 0; i < MEBI__NAME_PARTS; i++) {
        *length = strlen(parts[i]);
        if (strncmp(text, parts[i], *length) == 0) return (mebi__name_part)i;
    }
    return MEBI__NAME_UNKNOWN;
}

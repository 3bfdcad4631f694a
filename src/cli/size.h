/* Picture sizes as users write them. */
#ifndef MEBI_CLI_SIZE_H
#define MEBI_CLI_SIZE_H

#include "mebi/status.h"

/* "1024x768", "1024" (square), or a ratio "16:9", which becomes the size of that shape whose area
 * is nearest to native x native, in multiples. */
MEBI_MUST_USE mebi_status size_parse(const char *text, int native, int multiple, int *width,
                                     int *height, mebi_error *err);

#endif

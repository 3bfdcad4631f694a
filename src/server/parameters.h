/* What a PNG of somebody says of how it was made. */
#ifndef MEBI_SERVER_PARAMETERS_H
#define MEBI_SERVER_PARAMETERS_H

#include <jansson.h>

/* A request object from AUTOMATIC1111's text: prompt, negative prompt, and a last line "Steps: 8,
 * CFG scale: 1, ...", whose scale s becomes cfg s - 1. NULL if it is no such text. */
json_t *mebi__parameters_read(const char *text);
/* The same from mebi's own JSON. A draft's becomes a request for such a draft. */
json_t *mebi__parameters_read_own(const char *json);

#endif

/* A ZIP of pictures, made while it is sent: stored, for PNG does not get smaller. */
#ifndef MEBI_SERVER_ZIP_H
#define MEBI_SERVER_ZIP_H

#include "server/http.h"

enum { MEBI__ZIP_FILES = 1000 };

typedef struct mebi__zip mebi__zip;

/* NULL: no memory. */
mebi__zip *mebi__zip_begin(void);
/* path passes over, also on failure; freed with mebi__free. name: letters, digits and - _ . only.
 * 0: no memory, or too many. */
int mebi__zip_add(mebi__zip *zip, char *path, const char *name);
/* Where its bytes come from; owns it from then on. A file that has gone meanwhile is left out. */
mebi__http_source mebi__zip_source(mebi__zip *zip);
void mebi__zip_free(void *zip);

#endif

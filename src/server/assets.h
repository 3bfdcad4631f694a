/* Files that are part of the program: the page, and the API's description. Made by tools/embed at
 * build time. */
#ifndef MEBI_SERVER_ASSETS_H
#define MEBI_SERVER_ASSETS_H

#include <stddef.h>

typedef struct mebi__asset {
    const char *address; /* "/index.html", "/assets/app.js" */
    const char *type;
    const char *tag; /* of its bytes, in quotation marks */
    const char *plain;
    size_t plain_bytes;
    const char *packed; /* gzip; NULL: it is no smaller so */
    size_t packed_bytes;
} mebi__asset;

extern const mebi__asset mebi__assets[]; /* by address */
extern const int mebi__asset_count;

#endif

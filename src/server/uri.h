/* The address line of a request, taken apart. */
#ifndef MEBI_SERVER_URI_H
#define MEBI_SERVER_URI_H

#include <stddef.h>

/* "/a/b?c=d" into "/a/b" and "c=d". 0, or the HTTP status it is refused with: 414 too long, 400 not
 * of this form, 404 a path that nothing can have (escapes, "..", "//", other characters than
 * letters, digits and - _ .). */
int mebi__uri_split(const char *uri, char *path, size_t path_room, char *query, size_t query_room);

/* See mebi__http_query. */
int mebi__uri_value(const char *query, const char *name, char *to, size_t room);

#endif

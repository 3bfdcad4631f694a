/* All paths that are answered. The description at /api/openapi.json says the same; a test compares
 * them. */
#ifndef MEBI_SERVER_ROUTES_H
#define MEBI_SERVER_ROUTES_H

#include "server/http.h"

typedef enum mebi__body_kind {
    MEBI__BODY_NONE,
    MEBI__BODY_JSON,
    MEBI__BODY_PNG,
} mebi__body_kind;

enum {
    MEBI__ROUTE_OPEN = 1,     /* without token */
    MEBI__ROUTE_PAGE = 2,     /* of the page, not of the API: not in its description */
    MEBI__ROUTE_OPTIONAL = 4, /* the body may be left out */
};

struct mebi__route {
    mebi__method method;
    const char *pattern; /* "/api/v1/jobs/{id}"; a last "{*}" takes what is left, slashes too */
    mebi__handler handler;
    mebi__body_kind body;
    size_t limit; /* bytes of the body; 0: the kind's usual */
    int flags;
};

extern const mebi__route mebi__routes[];
extern const int mebi__route_count;

/* The route of a method and a path, and the captured parts. NULL: none; *allowed then has the
 * methods that the path does take, 0 if it is unknown. */
const mebi__route *mebi__route_find(mebi__method method, const char *path,
                                    char capture[MEBI__HTTP_CAPTURES][MEBI__HTTP_CAPTURE_BYTES],
                                    int *allowed);

/* "GET", ... */
const char *mebi__method_name(mebi__method method);

size_t mebi__route_limit(const mebi__route *route);

#endif

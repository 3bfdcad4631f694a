/* JSON from files that nobody vouches for: jansson with a limit on depth and number of values. */
#ifndef MEBI_WEIGHTS_JSON_H
#define MEBI_WEIGHTS_JSON_H

#include "base/error.h"

#include <jansson.h>
#include <stddef.h>

enum {
    MEBI__JSON_DEPTH = 32,
    MEBI__JSON_VALUES = 1 << 20,      /* in one text; bounds what parsing may take */
    MEBI__JSON_FILE_BYTES = 64 << 20, /* of a file that is JSON as a whole */
};

/* label: how messages call the text ("x.safetensors: the header"). *out is an object, owned by the
 * caller (json_decref). MEBI_BAD_FILE: not JSON, not an object, a key twice, too deep, too many. */
MEBI_MUST_USE mebi_status mebi__json_parse(const char *label, const char *text, size_t bytes,
                                           json_t **out, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__json_load(const char *path, json_t **out, mebi_error *err);

/* A name from a file, fit for a message: control characters become '?', a long one is cut. */
typedef struct mebi__shown {
    char text[96];
} mebi__shown;
mebi__shown mebi__show(const char *name);

#endif

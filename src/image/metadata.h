/* What a picture's file says about how it was made. */
#ifndef MEBI_IMAGE_METADATA_H
#define MEBI_IMAGE_METADATA_H

#include "mebi/engine.h"

typedef struct mebi__metadata {
    const mebi_request *request; /* its seed is not read */
    int width, height;           /* of the picture; a draft's are smaller than its request's */
    const char *model;           /* a name for people; UTF-8, as the prompts are */
    const char *model_hash;
} mebi__metadata;

/* "parameters": the text that AUTOMATIC1111's WebUI writes and reads. NULL when out of memory; to
 * be freed with free(). */
char *mebi__metadata_parameters(const mebi__metadata *m, int64_t seed);

/* "mebi": all of the request as JSON; a draft's has "draft": {"factor", "width", "height"} of the
 * picture it is a draft of. The same ownership. */
char *mebi__metadata_json(const mebi__metadata *m, int64_t seed);

#endif

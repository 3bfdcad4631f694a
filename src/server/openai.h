/* What the files of OpenAI's API share. */
#ifndef MEBI_SERVER_OPENAI_H
#define MEBI_SERVER_OPENAI_H

#include "server/others.h"
#include "server/pieces.h"

enum { MEBI__OPENAI_PARTIALS = 3 };

typedef enum mebi__openai_format { MEBI__OPENAI_PNG, MEBI__OPENAI_JPEG } mebi__openai_format;

/* What is remembered of a request while its job runs. */
typedef struct mebi__openai_wish {
    int as_url; /* else as base64 */
    mebi__openai_format format;
    int quality; /* of a JPEG */
    int partials, steps;
    char base[300]; /* of addresses: "http://127.0.0.1:7860" */
} mebi__openai_wish;

/* "b64_json":"..." or "url":"...", of a finished picture. 0: no memory. */
int mebi__openai_picture(mebi__server *server, const mebi__openai_wish *wish, const char *image,
                         mebi__pieces *pieces);

/* Events instead of one answer: partial pictures, then each finished one. Takes warnings'
 * reference. */
void mebi__openai_stream(mebi__server *server, const mebi__others_order *order,
                         const mebi__openai_wish *wish, json_t *warnings,
                         mebi__http_answer *answer);

#endif

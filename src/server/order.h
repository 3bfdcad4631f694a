/* A picture's request as the API takes it. */
#ifndef MEBI_SERVER_ORDER_H
#define MEBI_SERVER_ORDER_H

#include "mebi/engine.h"
#include "server/fields.h"
#include "server/http.h"

typedef struct mebi__order {
    mebi_request request; /* strings are the JSON's */
    int priority;
} mebi__order;

/* Fills *order from a request object, from this server's defaults on. 0: *fault says what is wrong.
 */
int mebi__order_read(mebi__server *server, const json_t *object, mebi__order *order,
                     json_t *warnings, mebi__fields_fault *fault);
/* What settings say of requests that say nothing. */
mebi_request mebi__order_default(mebi__server *server);

#endif

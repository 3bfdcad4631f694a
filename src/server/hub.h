/* Event streams (SSE) of jobs, and the server's own clock: what has to be done each second. A
 * stream that waits is a suspended connection and some hundred bytes; events are read from the jobs
 * when its socket takes them, so that a slow listener costs no memory either. */
#ifndef MEBI_SERVER_HUB_H
#define MEBI_SERVER_HUB_H

#include "server/http.h"

typedef struct mebi__hub mebi__hub;

MEBI_MUST_USE mebi_status mebi__hub_open(mebi__server *server, mebi__hub **hub, mebi_error *err);
/* Its thread begins; all else of the server is there by now. */
MEBI_MUST_USE mebi_status mebi__hub_start(mebi__hub *hub, mebi_error *err);
/* Something happened: from any thread, at once. Accepts NULL. */
void mebi__hub_nudge(mebi__hub *hub);
/* All streams end, the thread too. New streams end at once. */
void mebi__hub_stop(mebi__hub *hub);
void mebi__hub_close(mebi__hub **hub);
int mebi__hub_listeners(mebi__hub *hub);
/* 1 once mebi__hub_stop has begun. */
int mebi__hub_stopping(mebi__hub *hub);

/* A place among those who are woken when something of a job ("": of any) happens, and when nothing
 * has for `patience` seconds. NULL: there are too many, or no memory. */
struct mebi__listener *mebi__hub_join(mebi__hub *hub, const char *job, double patience);
/* Of a listener: it can be woken from now on; it goes. In the form of a source's. */
void mebi__hub_begin(void *listener, void *waker);
void mebi__hub_leave(void *listener);

/* The handlers of the two addresses. */
void mebi__hub_job_events(mebi__server *server, const mebi__http_request *request,
                          mebi__http_answer *answer);
void mebi__hub_all_events(mebi__server *server, const mebi__http_request *request,
                          mebi__http_answer *answer);

#endif

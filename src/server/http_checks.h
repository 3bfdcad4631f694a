/* What must be true of a request's head before its body is read. */
#ifndef MEBI_SERVER_HTTP_CHECKS_H
#define MEBI_SERVER_HTTP_CHECKS_H

#include "server/http.h"

struct MHD_Connection;

/* 1: it may go on; *request has its route, captures and headers. 0: *answer says why not. refusal:
 * what the first line earned; own: this end's address as a Host header would have it. */
int mebi__http_checks(struct MHD_Connection *connection, mebi__server *server, const char *method,
                      int refusal, const char *own, mebi__http_request *request,
                      mebi__http_answer *answer);

#endif

/* Taking a port. */
#ifndef MEBI_SERVER_LISTEN_H
#define MEBI_SERVER_LISTEN_H

#include "base/error.h"

/* A listening socket at an address of digits, and the port it got. */
MEBI_MUST_USE mebi_status mebi__listen(const char *address, int port, int *socket, int *got,
                                       mebi_error *err);
/* 1 if nobody but this machine can reach the address. */
int mebi__is_loopback(const char *address);

#endif

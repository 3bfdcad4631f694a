/* A certificate and its key for HTTPS, read and judged before the server begins. */
#ifndef MEBI_SERVER_TLS_H
#define MEBI_SERVER_TLS_H

#include "base/error.h"
#include "server/log.h"

#include <stddef.h>

typedef struct mebi__tls {
    char *certificate, *key; /* PEM, ended by a 0 byte; NULL: no TLS */
    size_t key_bytes;
} mebi__tls;

/* What the HTTP library hands to GnuTLS: 1.2 and 1.3, and nothing older. */
#define MEBI__TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

/* Both paths or neither (NULL): neither leaves *tls empty. What is wrong but would work (an expired
 * certificate, a key that all users can read) is a warning in the log. On failure *tls is empty. */
MEBI_MUST_USE mebi_status mebi__tls_open(mebi__tls *tls, const char *certificate_path,
                                         const char *key_path, const mebi__log *log,
                                         mebi_error *err);
/* Not before the last connection has ended. */
void mebi__tls_close(mebi__tls *tls);

#endif

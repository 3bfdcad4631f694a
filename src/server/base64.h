/* base64 with padding (RFC 4648). */
#ifndef MEBI_SERVER_BASE64_H
#define MEBI_SERVER_BASE64_H

#include <stddef.h>

/* Writes 4 characters for each 3 bytes begun, no 0 byte; returns how many. */
size_t mebi__base64_encode(const unsigned char *from, size_t bytes, char *to);
/* Decodes into to, which has room for 3 bytes for each 4 characters. 0: it is no base64, or empty.
 * Line ends and blanks are passed over. */
size_t mebi__base64_decode(const char *text, size_t length, unsigned char *to);

#endif

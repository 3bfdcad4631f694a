/* One safetensors file: 8 bytes of header length (little-endian), a JSON header, then the data.
 *
 * {"name": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}, ...,
 *  "__metadata__": {"key": "text"}}; offsets count from the end of the header. */
#ifndef MEBI_WEIGHTS_SAFETENSORS_H
#define MEBI_WEIGHTS_SAFETENSORS_H

#include "weights/stored.h"

enum { MEBI__HEADER_BYTES = 100 << 20 }; /* the format's own limit */

typedef mebi__stored_file mebi__safetensors;

/* *out needs no initialization and is empty after a failure. Errors begin with the path. */
MEBI_MUST_USE mebi_status mebi__safetensors_open(const char *path, mebi__safetensors *out,
                                                 mebi_error *err);
/* The same from memory that outlives *out. */
MEBI_MUST_USE mebi_status mebi__safetensors_parse(const char *path, const unsigned char *data,
                                                  size_t bytes, mebi__safetensors *out,
                                                  mebi_error *err);
void mebi__safetensors_close(mebi__safetensors *file);

#endif

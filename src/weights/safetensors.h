/* One safetensors file: 8 bytes of header length (little-endian), a JSON header, then the data.
 *
 * {"name": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}, ...,
 *  "__metadata__": {"key": "text"}}; offsets count from the end of the header. */
#ifndef MEBI_WEIGHTS_SAFETENSORS_H
#define MEBI_WEIGHTS_SAFETENSORS_H

#include "base/os.h"
#include "tensor/dtype.h"

enum {
    MEBI__HEADER_BYTES = 100 << 20, /* the format's own limit */
    MEBI__STORED_TENSORS = 1 << 16, /* in one file; a full-size model has about 1000 */
    MEBI__NAME_BYTES = 256,         /* a tensor's name, terminator included */
};

/* A tensor as the file tells it. */
typedef struct mebi__stored {
    const char *name;        /* the file's; valid until the file is closed */
    const char *type_name;   /* "BF16", "F8_E4M3", ...: static */
    const char *unsupported; /* why mebi can't use it (static), or NULL: then all below is set */
    mebi__dtype dtype;
    mebi__shape shape; /* set if rank <= MEBI__MAX_RANK and no dimension is 0 */
    const unsigned char *data;
    size_t bytes; /* of data */
} mebi__stored;

typedef struct mebi__safetensors {
    mebi__map map;
    char *path;
    mebi__stored *tensor; /* count of them, in the order of their data */
    int count;
    char *names;
} mebi__safetensors;

/* *out needs no initialization and is empty after a failure. Errors begin with the path. */
MEBI_MUST_USE mebi_status mebi__safetensors_open(const char *path, mebi__safetensors *out,
                                                 mebi_error *err);
/* The same from memory that outlives *out. */
MEBI_MUST_USE mebi_status mebi__safetensors_parse(const char *path, const unsigned char *data,
                                                  size_t bytes, mebi__safetensors *out,
                                                  mebi_error *err);
void mebi__safetensors_close(mebi__safetensors *file);

#endif

/* A model file as the file tells it: its tensors, and what it says about itself. The same for every
 * format (weights/safetensors.h, weights/gguf.h), so that what follows need not know which it was.
 */
#ifndef MEBI_WEIGHTS_STORED_H
#define MEBI_WEIGHTS_STORED_H

#include "base/os.h"
#include "tensor/dtype.h"

enum {
    MEBI__STORED_TENSORS = 1 << 16, /* in one file; a full-size model has about 1000 */
    MEBI__NAME_BYTES = 256,         /* a tensor's name, terminator included */
};

/* A tensor as the file tells it. */
typedef struct mebi__stored {
    const char *name;        /* the file's; valid until the file is closed */
    const char *type_name;   /* "BF16", "Q4_K", ...: static */
    const char *unsupported; /* why mebi can't use it (static), or NULL: then all below is set */
    mebi__dtype dtype;
    mebi__shape shape; /* set if rank <= MEBI__MAX_RANK and no dimension is 0 */
    const unsigned char *data;
    size_t bytes; /* of data */
} mebi__stored;

typedef struct mebi__stored_file {
    mebi__map map;
    char *path;
    mebi__stored *tensor; /* count of them, in the order of their data */
    int count;
    char *names;
    int is_gguf;
    struct mebi__gguf_value *value; /* a GGUF's metadata: values of them, ascending by key */
    int values;
} mebi__stored_file;

/* Opens a file of either format, told by its first bytes (and by ".gguf" where those are
 * neither's). *out needs no initialization and is empty after a failure. Errors begin with the
 * path. */
MEBI_MUST_USE mebi_status mebi__stored_open(const char *path, mebi__stored_file *out,
                                            mebi_error *err);
void mebi__stored_close(mebi__stored_file *file);

/* For the formats' own files. */

/* MEBI_UNSUPPORTED or MEBI_BAD_FILE for what people hand in instead of a model file. */
MEBI_MUST_USE mebi_status mebi__stored_refuse_foreign(const char *path, const unsigned char *data,
                                                      size_t bytes, mebi_error *err);
/* A name that is not empty, not too long, and without control characters. */
MEBI_MUST_USE mebi_status mebi__stored_check_name(const char *path, const char *name,
                                                  mebi_error *err);
/* Sorts by place; MEBI_BAD_FILE if two tensors share a byte. Those that can't be used are passed
 * over where their size is not known (bytes 0). */
MEBI_MUST_USE mebi_status mebi__stored_sort(mebi__stored_file *file, mebi_error *err);

#endif

/* One GGUF file, version 2 or 3, little-endian:
 *
 *   "GGUF", u32 version, u64 tensors, u64 values
 *   values:  key, u32 type, then the value; an array is u32 type, u64 count, then its elements
 *   tensors: name, u32 dimensions, u64 each (fastest first), u32 type, u64 offset into the data
 *   padding to general.alignment (32 if absent); data, each tensor at a multiple of it
 *
 * A string is u64 bytes, then the bytes. */
#ifndef MEBI_WEIGHTS_GGUF_H
#define MEBI_WEIGHTS_GGUF_H

#include "weights/stored.h"

/* X(name, number in a file, bytes of one; 0: not fixed) */
#define MEBI__GGUF_TYPE_MAP(X)                                                                     \
    X(U8, 0, 1)                                                                                    \
    X(I8, 1, 1)                                                                                    \
    X(U16, 2, 2)                                                                                   \
    X(I16, 3, 2)                                                                                   \
    X(U32, 4, 4)                                                                                   \
    X(I32, 5, 4)                                                                                   \
    X(F32, 6, 4)                                                                                   \
    X(BOOL, 7, 1)                                                                                  \
    X(STRING, 8, 0)                                                                                \
    X(ARRAY, 9, 0)                                                                                 \
    X(U64, 10, 8)                                                                                  \
    X(I64, 11, 8)                                                                                  \
    X(F64, 12, 8)

typedef enum mebi__gguf_type {
#define X(name, number, bytes) MEBI__GGUF_##name = number,
    MEBI__GGUF_TYPE_MAP(X)
#undef X
} mebi__gguf_type;

/* A value of the metadata, checked to lie inside the file. */
typedef struct mebi__gguf_value {
    const char *key; /* not terminated */
    size_t key_bytes;
    mebi__gguf_type type; /* of each element, never ARRAY */
    int is_array;
    size_t count;              /* elements; 1 unless is_array */
    const unsigned char *data; /* the elements, at any address */
} mebi__gguf_value;

/* From memory that outlives *out, which is empty after a failure. Errors begin with the path. Told
 * apart: truncated, another version or byte order, counts and lengths beyond the file, an unknown
 * type of value, arrays in arrays, a key twice, offsets out of range or not aligned, rows that are
 * not whole blocks, tensors overlapping, a part of a split model. */
MEBI_MUST_USE mebi_status mebi__gguf_parse(const char *path, const unsigned char *data,
                                           size_t bytes, mebi__stored_file *out, mebi_error *err);

/* NULL if there is none. */
const mebi__gguf_value *mebi__gguf_find(const mebi__stored_file *file, const char *key);
/* 1 and the value, if it is a single one of a fitting type; value may be NULL. */
int mebi__gguf_integer(const mebi__gguf_value *value, int64_t *out);
int mebi__gguf_number(const mebi__gguf_value *value, double *out);
/* The string as text[0 .. bytes), not terminated. */
int mebi__gguf_string(const mebi__gguf_value *value, const char **text, size_t *bytes);

/* Reads an array of strings or of integers from the front; start with at = value->data. To be
 * called at most value->count times. */
void mebi__gguf_next_string(const unsigned char **at, const char **text, size_t *bytes);
int64_t mebi__gguf_next_integer(mebi__gguf_type type, const unsigned char **at);

#endif

/* PNG inside the library: what saving costs, and reading from memory. */
#ifndef MEBI_IMAGE_PNG_H
#define MEBI_IMAGE_PNG_H

#include "mebi/image.h"

#include <spng.h>

enum {
    MEBI__PNG_SIDE = 16384,            /* pixels, most */
    MEBI__PNG_TEXT_BYTES = 4 << 20,    /* of one entry or chunk, most */
    MEBI__PNG_TEXTS_BYTES = 16 << 20,  /* of all entries, most */
};

/* The most that mebi_png_save takes from the heap for a picture of this size, the picture itself
 * not counted, with so many bytes of text. What is encoded is mostly smaller, and memory it does not
 * reach is never touched. */
size_t mebi__png_save_bytes(int width, int height, size_t text_bytes);

/* A PNG in memory, without texts. *data is freed with mebi__free; NULL on failure. */
MEBI_MUST_USE mebi_status mebi__png_encode(const mebi_image *image, void **data, size_t *bytes,
                                           mebi_error *err);

/* libspng's and zlib's memory, under MEBI__TAG_OUTPUT. */
extern struct spng_alloc mebi__png_alloc;
/* Set when that ran out, which not every code of libspng's tells; cleared by who makes a context.
 */
extern _Thread_local int mebi__png_memory_short;

/* The public readers for bytes in memory; name is for messages. */
MEBI_MUST_USE mebi_status mebi__png_parse_texts(const char *name, const void *data, size_t bytes,
                                                int *width, int *height, mebi_png_text **texts,
                                                int *text_count, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__png_decode(const char *name, const void *data, size_t bytes,
                                           mebi_image *image, mebi_error *err);

#endif

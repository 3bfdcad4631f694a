/* Pictures: 8-bit RGB in memory, PNG files with their parameters.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef MEBI_IMAGE_H
#define MEBI_IMAGE_H

#include "mebi/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rows from top to bottom, without gaps: pixels[(y * width + x) * 3 + {0: red, 1: green, 2: blue}],
 * sRGB. */
typedef struct mebi_image {
    int width, height;
    unsigned char *pixels; /* owned by the image; released by mebi_image_release */
} mebi_image;

MEBI_API void mebi_image_release(mebi_image *image); /* accepts an empty one; empties it */

/* One text entry of a PNG (tEXt where the text is Latin-1, iTXt otherwise). UTF-8. */
typedef struct mebi_png_text {
    const char *keyword; /* 1 to 79 printable ASCII characters; in files of others also Latin-1 */
    const char *text;
} mebi_png_text;

/* Writes a PNG under a temporary name, syncs it and renames it. An existing file is never
 * overwritten: MEBI_IO, and *exists (may be NULL) is 1. Texts are up to 4 MB each and 8 MB
 * together; empty ones are left out. The same picture and texts give the same bytes. */
MEBI_API MEBI_MUST_USE mebi_status mebi_png_save(const char *path, const mebi_image *image,
                                                 const mebi_png_text *texts, int text_count,
                                                 int *exists, mebi_error *err);

/* Reads a PNG's size and the text entries before its pixels, where writers put them, without
 * decoding the pixels. The texts are one block, freed by mebi_png_texts_free; NULL if there are
 * none. A broken file is MEBI_BAD_FILE. */
MEBI_API MEBI_MUST_USE mebi_status mebi_png_read_texts(const char *path, int *width, int *height,
                                                       mebi_png_text **texts, int *text_count,
                                                       mebi_error *err);
MEBI_API void mebi_png_texts_free(mebi_png_text *texts);

/* Decodes a PNG of any kind to 8-bit RGB (alpha dropped). At most 16384 x 16384. */
MEBI_API MEBI_MUST_USE mebi_status mebi_png_load(const char *path, mebi_image *image,
                                                 mebi_error *err);

#ifdef __cplusplus
}
#endif
#endif

/* Small pictures as JPEG: thumbnails and previews. */
#ifndef MEBI_JOBS_THUMBNAIL_H
#define MEBI_JOBS_THUMBNAIL_H

#include "mebi/image.h"

/* The picture with no side above `side` pixels (averaged down, never up), as JPEG. *jpeg is freed with mebi__free. */
MEBI_MUST_USE mebi_status mebi__thumbnail_encode(const mebi_image *image, int side, int quality,
                                                 unsigned char **jpeg, size_t *bytes,
                                                 mebi_error *err);

/* Writes a thumbnail, in place of one that is there. The disk is not waited for: it can be made again. */
MEBI_MUST_USE mebi_status mebi__thumbnail_save(const char *path, const mebi_image *image,
                                               mebi_error *err);

#endif

/* Pictures of a sweep, waiting in an unnamed file. */
#ifndef MEBI_SWEEP_STORE_H
#define MEBI_SWEEP_STORE_H

#include "sweep/sweep.h"

/* Appends; *at is where it lies. */
MEBI_MUST_USE mebi_status mebi__store_put(mebi__sweep *s, const void *data, size_t bytes,
                                          int64_t *at, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__store_get(const mebi__sweep *s, int64_t at, void *data,
                                          size_t bytes, mebi_error *err);
/* A shot's pixels; released by mebi_image_release. */
MEBI_MUST_USE mebi_status mebi__store_picture(const mebi__sweep *s, const mebi__shot *shot,
                                              mebi_image *image, mebi_error *err);

#endif

/* The measures of a picture, part by part. */
#ifndef MEBI_IMAGE_MEASURE_H
#define MEBI_IMAGE_MEASURE_H

#include "mebi/quality.h"

/* [height, width], owned */
typedef struct mebi__plane {
    int width, height;
    float *at;
} mebi__plane;

/* Zeros. NULL of at: no memory. */
mebi__plane mebi__plane_make(int width, int height);
void mebi__plane_release(mebi__plane *plane); /* accepts an empty one */

/* 0.299 R + 0.587 G + 0.114 B */
static inline float mebi__brightness(const unsigned char *rgb) {
    return 0.299f * (float)rgb[0] + 0.587f * (float)rgb[1] + 0.114f * (float)rgb[2];
}

/* Sides in MEBI_MEASURED_SIDE_LEAST.._MOST, and pixels. */
MEBI_MUST_USE mebi_status mebi__measurable(const mebi_image *image, mebi_error *err);

/* Averages of the image's three channels over the areas that the pixels of a smaller picture cover:
 * to[3], each [height, width], width <= image->width and height <= image->height. */
void mebi__average_down(const mebi_image *image, mebi__plane to[3]);

/* Each fills its part of *m; MEBI_NO_MEMORY without words otherwise. brightness: [H, W] of the
 * image. */
mebi_status mebi__measure_detail(const mebi__plane *brightness, mebi_measures *m);
mebi_status mebi__measure_background(const mebi_image *image,
                                     mebi_measures *m); /* after noise is known */
mebi_status mebi__measure_repetition(const mebi_image *image, mebi_measures *m);

#endif

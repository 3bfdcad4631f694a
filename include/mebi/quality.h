/* What can be measured of a picture without a model. SPDX-License-Identifier: Apache-2.0
 *
 * No measure here knows beauty, or what was asked for: a ragged edge counts as detail, a leaf as a
 * fragment, and three balls as a repeated one. They compare pictures of one subject, and find
 * faults that have a shape.
 *
 * Levels are the steps 0 to 255 of a channel, as stored (sRGB). Brightness is 0.299 R + 0.587 G +
 * 0.114 B. Cells are squares of max(1, shorter side / 128) pixels, so that what is found doesn't
 * change with the picture's size.
 */
#ifndef MEBI_QUALITY_H
#define MEBI_QUALITY_H

#include "mebi/image.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    MEBI_MEASURED_SIDE_LEAST = 16, /* pixels */
    MEBI_MEASURED_SIDE_MOST = 16384,
    /* A cell this far from the background, in some channel, is of an object. */
    MEBI_OBJECT_LEVELS = 40,
    MEBI_BACKGROUND_LEVELS = 8, /* a background's pixel this far from its colour is off */
    MEBI_BLOTCH_LEVELS = 6,     /* a stain differs by at least so much */
};

typedef struct mebi_measures {
    /* Of the whole picture, at 100 %. */
    double edge_width; /* pixels: an edge's contrast over its slope (central differences), the
                          median over all edges of 32 levels and more. 2: a step from one pixel to
                          the next; 1.4: a slanting one; a Gaussian blur of s pixels makes it about
                          2 / erf(0.707 / s). 0: there are no edges. After Marziliano, Dufaux,
                          Winkler and Ebrahimi, "A no-reference perceptual blur metric" (2002), with
                          the slope in place of the end points */
    double sharpness;  /* 2 / edge_width, at most 1: the share of the resolution that edges use; 0:
                          no edges */
    double detail; /* levels^2 a pixel: mean square of what a 5-tap binomial blur takes away, the
                      finest octave. A wave of amplitude a and f periods a pixel has a^2/2 (1 -
                      cos^4(pi f))^2. After Burt and Adelson, "The Laplacian pyramid" (1983), not
                      subsampled */
    double detail_next; /* the same of the octave below */
    double noise;       /* levels: standard deviation of Gaussian noise, from the median of the
                           Laplacians' difference; fine texture counts too. After Immerkaer, "Fast
                           noise variance estimation" (1996), with the median against edges. Below
                           about 0.5 8 bits hide it */
    double repetition; /* 0 to 1: how far the highest peak of the picture's correlation with itself,
                          shifted by a sixth of the longer side or more, stands out over the way
                          there. Patterns have it too */

    /* The background: the colour that most of the border has. */
    int background; /* 1: half of the border's pixels or more have it. 0: there is none: what
                       follows is then 0, and hue -1 */
    unsigned char background_colour[3];
    /* 0 to 1: cells that are neither of an object nor within 8 pixels, or 3 cells, of one. All that
     * follows on the background is of these cells. */
    double background_share;
    double background_deviation; /* levels: rms difference from its mean colour */
    /* 0 to 1: pixels off by MEBI_BACKGROUND_LEVELS and more in some channel */
    double background_off;
    double background_slope; /* levels that it rises or falls from one edge of the picture to
                                another */
    int blotches; /* stains: joined cells that stand out by MEBI_BLOTCH_LEVELS and more from the
                     plane through the background, 0.05 % of the picture's area at least each */
    double blotch_share;  /* 0 to 1: of the background's area */
    double blotch_levels; /* contrast of the strongest, mean over its area */

    /* Objects: joined cells that differ from the background by MEBI_OBJECT_LEVELS and more. */
    double object_share; /* 0 to 1: of the picture's area, fragments included */
    int objects;         /* those of a quarter of the largest's area or more */
    int fragments;       /* smaller ones, of 0.05 % of the picture at least */
    int repeats; /* objects beside the largest that have its size (2.5 times less at most) and
                    colour */
    double cut;  /* 0 to 1: part of the picture's border that objects touch */
    unsigned char object_colour[3]; /* mean of all objects' pixels */
    double hue; /* degrees, 0 red, 120 green, 240 blue: mean of objects' pixels as directions, by
                   their chroma; negative: nothing is coloured */
    double hue_share; /* 0 to 1: of objects' pixels, those of chroma 32 levels and more within 30
                         degrees of it */
} mebi_measures;

/* Sides are MEBI_MEASURED_SIDE_LEAST to _MOST. Takes about 8 bytes a pixel while it works. */
MEBI_API MEBI_MUST_USE mebi_status mebi_image_measure(const mebi_image *image,
                                                      mebi_measures *measures, mebi_error *err);

/* 1 if the picture seems to show its subject more than once: repeats, or a repetition of 0.6 and
 * more. */
MEBI_API int mebi_measures_repeated(const mebi_measures *measures);

/* How alike two pictures are, of sizes that may differ: both are averaged down to the smaller width
 * and the smaller height, and to 256 pixels at most. */
typedef struct mebi_likeness {
    int width, height; /* compared at */
    double psnr;       /* decibels over the three channels; 99 at most, which equal pictures have */
    double structure;  /* -1 to 1, 1 equal: mean SSIM of brightness, windows of 8x8 (Wang, Bovik,
                          Sheikh and Simoncelli, 2004, with flat windows) */
    double gradients;  /* 0 to 1, 1 equal: mean gradient magnitude similarity (Xue, Zhang, Mou and
                          Bovik, 2014) */
} mebi_likeness;

MEBI_API MEBI_MUST_USE mebi_status mebi_image_compare(const mebi_image *a, const mebi_image *b,
                                                      mebi_likeness *likeness, mebi_error *err);

#ifdef __cplusplus
}
#endif
#endif

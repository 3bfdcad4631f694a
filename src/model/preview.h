/* Previews: latents to small pictures by one linear map, and where that map comes from.
 *
 * A latent pixel's channels and a constant, times a matrix [3, C + 1], are a colour: that of the 8x8 pixels that it
 * stands for, nearly. The matrix is found by least squares between latents and what the decoder makes of them.
 */
#ifndef MEBI_MODEL_PREVIEW_H
#define MEBI_MODEL_PREVIEW_H

#include <stddef.h>
#include <stdint.h>

enum {
    MEBI__PREVIEW_CHANNELS = 64, /* more than any model has */
    MEBI__PREVIEW_SIDE = 24,     /* latent pixels on each side of the sample that is decoded */
};

typedef struct mebi__preview_map {
    int channels; /* 0: not known */
    float of[3][MEBI__PREVIEW_CHANNELS + 1]; /* red, green, blue in 0..1; the constant behind the channels */
} mebi__preview_map;

/* What finding a map needs, in one block of host memory. */
typedef struct mebi__preview_fit {
    int channels, scale; /* pixels for a latent pixel, on each side */
    double *sums;
    float *latent;         /* [C, SIDE, SIDE] */
    unsigned char *pixels; /* [SIDE * scale, SIDE * scale, 3] */
} mebi__preview_fit;

size_t mebi__preview_fit_bytes(int channels, int scale);
/* Fills fit->latent with the sample, the same each time. 0 if there is no memory. channels: 1 to
 * MEBI__PREVIEW_CHANNELS. */
int mebi__preview_fit_take(int channels, int scale, mebi__preview_fit *fit);
void mebi__preview_fit_give(mebi__preview_fit *fit); /* accepts an empty one; empties it */
/* From fit->latent and its decoded pixels. */
void mebi__preview_solve(mebi__preview_fit *fit, mebi__preview_map *map);

/* pixels [h, w, 3] of a latent [map->channels, h, w]. What is not a number becomes 0. */
void mebi__preview_paint(const mebi__preview_map *map, const float *latent, int64_t h, int64_t w,
                         unsigned char *pixels);

#endif

/* Latents to small pictures. Must never need more of a model than its decoder: no pictures, no encoder. */
#include "model/preview.h"

#include "base/memory.h"
#include "base/rng.h"

#include <string.h>

enum { SIDE = MEBI__PREVIEW_SIDE, NODES = 7, SEED = 8 };

/* Real latents are smooth and have edges, and the first channels of small autoencoders reach further than noise does.
 * Of the mixtures tried on models/mini this one's map is among the best on drawings (docs/preview.md). */
static const float smooth_share = 1.56f, rough_share = 0.78f;

/* At most a hundredth of a grey level: keeps channels that do nothing from getting large factors. */
static const double ridge = 1e-3;

/* ---- the sample ---- */

/* Between the nodes of a coarse grid. */
static float interpolated(const float node[NODES][NODES], int y, int x) {
    float step = (float)(NODES - 1) / SIDE, fy = ((float)y + 0.5f) * step, fx = ((float)x + 0.5f) * step;
    int i = (int)fy, k = (int)fx;
    float b = fy - (float)i, a = fx - (float)k;
    float above = (1 - a) * node[i][k] + a * node[i][k + 1];
    float below = (1 - a) * node[i + 1][k] + a * node[i + 1][k + 1];
    return (1 - b) * above + b * below;
}

static void make_sample(float *latent, int channels) {
    mebi__rng rng;
    mebi__rng_seed(&rng, SEED);
    mebi__rng_normal(&rng, MEBI__RNG_TORCH_AVX2, latent, (size_t)channels * SIDE * SIDE);
    for (int c = 0; c < channels; c++) {
        float node[NODES][NODES], *plane = latent + (size_t)c * SIDE * SIDE;
        mebi__rng_normal(&rng, MEBI__RNG_TORCH_AVX2, node[0], (size_t)NODES * NODES);
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                float *z = &plane[y * SIDE + x];
                *z = rough_share * *z + smooth_share * interpolated((const float(*)[NODES])node, y, x);
            }
    }
}

/* ---- memory ---- */

/* The normal equations: n unknowns, n columns of them and 3 of what they are to give. */
static size_t sums_of(int channels) {
    size_t n = (size_t)channels + 1;
    return n * (n + 3);
}

size_t mebi__preview_fit_bytes(int channels, int scale) {
    size_t side = (size_t)SIDE * (size_t)scale;
    return sums_of(channels) * sizeof(double) + (size_t)channels * SIDE * SIDE * sizeof(float) + side * side * 3;
}

int mebi__preview_fit_take(int channels, int scale, mebi__preview_fit *fit) {
    *fit = (mebi__preview_fit){.channels = channels, .scale = scale};
    fit->sums = mebi__alloc(MEBI__TAG_ACTIVATIONS, mebi__preview_fit_bytes(channels, scale));
    if (!fit->sums) return 0;
    fit->latent = (float *)(fit->sums + sums_of(channels));
    fit->pixels = (unsigned char *)(fit->latent + (size_t)channels * SIDE * SIDE);
    memset(fit->pixels, 1, (size_t)SIDE * SIDE * (size_t)(scale * scale) * 3); /* taken now, not while at work */
    make_sample(fit->latent, channels);
    return 1;
}

void mebi__preview_fit_give(mebi__preview_fit *fit) {
    mebi__free(fit->sums);
    *fit = (mebi__preview_fit){0};
}

/* ---- the map ---- */

/* The mean of the pixels that a latent pixel stands for, 0..1. */
static void mean_colour(const mebi__preview_fit *f, int y, int x, double colour[3]) {
    long sum[3] = {0};
    for (int dy = 0; dy < f->scale; dy++) {
        const unsigned char *p =
            f->pixels + 3 * ((size_t)(y * f->scale + dy) * (size_t)(SIDE * f->scale) + (size_t)(x * f->scale));
        for (int k = 0; k < f->scale; k++, p += 3)
            for (int i = 0; i < 3; i++) sum[i] += p[i];
    }
    for (int i = 0; i < 3; i++) colour[i] = (double)sum[i] / (255.0 * f->scale * f->scale);
}

static void add_up(mebi__preview_fit *f) {
    int n = f->channels + 1, width = n + 3;
    memset(f->sums, 0, sums_of(f->channels) * sizeof(double));
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double row[MEBI__PREVIEW_CHANNELS + 4];
            for (int c = 0; c < f->channels; c++) row[c] = f->latent[(c * SIDE + y) * SIDE + x];
            row[f->channels] = 1;
            mean_colour(f, y, x, row + n);
            for (int i = 0; i < n; i++)
                for (int k = 0; k < width; k++) f->sums[i * width + k] += row[i] * row[k];
        }
    for (int c = 0; c < f->channels; c++) f->sums[c * width + c] += ridge * SIDE * SIDE;
}

/* Gauss without exchanges: the matrix is symmetric and, with the ridge, positive. */
void mebi__preview_solve(mebi__preview_fit *f, mebi__preview_map *map) {
    int n = f->channels + 1, width = n + 3;
    add_up(f);
    for (int p = 0; p < n; p++)
        for (int i = 0; i < n; i++) {
            const double *pivot = f->sums + p * width;
            double *row = f->sums + i * width, factor = row[p] / pivot[p];
            for (int k = p; k < width && i != p; k++) row[k] -= factor * pivot[k];
        }
    *map = (mebi__preview_map){.channels = f->channels};
    for (int i = 0; i < 3; i++)
        for (int c = 0; c < n; c++)
            map->of[i][c] = (float)(f->sums[c * width + n + i] / f->sums[c * width + c]);
}

/* ---- pictures ---- */

static unsigned char level_of(float v) {
    return !(v > 0) ? 0 : v < 1 ? (unsigned char)(v * 255 + 0.5f) : 255;
}

void mebi__preview_paint(const mebi__preview_map *map, const float *latent, int64_t h, int64_t w,
                         unsigned char *pixels) {
    enum { RUN = 64 }; /* pixels at once, so that each channel is read along */
    const int64_t all = h * w;
    for (int64_t at = 0; at < all; at += RUN) {
        const int64_t n = all - at < RUN ? all - at : RUN;
        float sum[3][RUN];
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < RUN; k++) sum[i][k] = map->of[i][map->channels];
        for (int c = 0; c < map->channels; c++)
            for (int i = 0; i < 3; i++)
                for (int64_t k = 0; k < n; k++) sum[i][k] += map->of[i][c] * latent[c * all + at + k];
        for (int64_t k = 0; k < n; k++)
            for (int i = 0; i < 3; i++) pixels[3 * (at + k) + i] = level_of(sum[i][k]);
    }
}

/* The autoencoder (AutoencoderKL without quantization convolutions): latent to picture and back.
 *
 * Activations are channels-last on the device. Source: diffusers' AutoencoderKL.
 */
#ifndef MEBI_MODEL_VAE_H
#define MEBI_MODEL_VAE_H

#include "compute/ops.h"
#include "model/params.h"
#include "model/strategy.h"
#include "weights/config.h"

enum { MEBI__VAE_LEVELS = 8, MEBI__VAE_RESNETS = 9 };

typedef struct mebi__vae_conv {
    mebi__view w, b; /* [out, size, size, in], [out] */
} mebi__vae_conv;

typedef struct mebi__vae_norm {
    mebi__view w, b; /* [channels] */
} mebi__vae_norm;

typedef struct mebi__vae_resnet {
    mebi__vae_norm norm1, norm2;
    mebi__vae_conv conv1, conv2;
    mebi__vae_conv shortcut; /* 1x1, where in and out channels differ */
    int in, out;
} mebi__vae_resnet;

typedef struct mebi__vae_middle {
    mebi__vae_resnet before, after;
    mebi__vae_norm norm;
    mebi__view q_w, q_b, k_w, k_b, v_w, v_b, o_w, o_b; /* [C, C], [C] */
} mebi__vae_middle;

/* One resolution: resnets, then a convolution that halves (encoder) or, after nearest enlargement,
 * doubles it (decoder). */
typedef struct mebi__vae_level {
    int resnets;
    mebi__vae_resnet resnet[MEBI__VAE_RESNETS];
    mebi__vae_conv resample; /* none at the last level */
} mebi__vae_level;

typedef struct mebi__vae_half {
    mebi__vae_conv in, out;
    mebi__vae_norm norm_out;
    mebi__vae_middle middle;
    mebi__vae_level *level; /* config.levels, in the order the data takes */
} mebi__vae_half;

typedef struct mebi__vae {
    mebi__vae_config config;
    mebi__params params;
    mebi__vae_half decoder, encoder;
    int has_encoder;
} mebi__vae;

/* The encoder half is loaded only if asked for. */
MEBI_MUST_USE mebi_status mebi__vae_load(mebi__vae *m, mebi__device *device, mebi__tensors *tensors,
                                         const mebi__vae_config *config, int with_encoder,
                                         mebi_error *err);
void mebi__vae_release(mebi__vae *m);

/* Pixels per latent pixel along each side. */
int mebi__vae_scale(const mebi__vae_config *config);

/* picture[H,W,3], about -1..1, from latent[C,h,w]; H = h * scale. The same bits in every way. Submits once a
 * resnet, or once a strip. */
void mebi__vae_decode(mebi__stream *s, const mebi__vae *m, mebi__vae_way way, mebi__view latent,
                      mebi__view picture);

/* latent[C,h,w], the distribution's mean, scaled as the transformer wants it, from picture[H,W,3]. */
void mebi__vae_encode(mebi__stream *s, const mebi__vae *m, mebi__view picture, mebi__view latent);

#endif

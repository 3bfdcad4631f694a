/* The decoder in strips of rows: the same picture, to the last bit, in less memory. */
#ifndef MEBI_MODEL_VAE_STRIPS_H
#define MEBI_MODEL_VAE_STRIPS_H

#include "model/strategy.h"
#include "model/vae.h"

/* picture[H,W,3] from latent[h,w,C], scaled as the decoder reads it; way is not MEBI__VAE_WHOLE.
 * Submits once a strip. A level whose doubled image never is whole has no stage "vae.up". */
void mebi__vae_decode_strips(mebi__stream *s, const mebi__vae *m, mebi__vae_way way,
                             mebi__view latent, mebi__view picture);

#endif

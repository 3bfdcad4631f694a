/* Z-Image-Turbo as published: its dimensions, for work at full size without its files. */
#ifndef MEBI_WEIGHTS_PUBLISHED_H
#define MEBI_WEIGHTS_PUBLISHED_H

#include "weights/config.h"

extern const mebi__dit_config mebi__published_dit;
extern const mebi__qwen3_config mebi__published_encoder; /* Qwen3-4B */
extern const mebi__vae_config mebi__published_vae;

#endif

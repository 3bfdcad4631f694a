/* The published model's dimensions, as its config.json files and tensor shapes have them. */
#include "weights/published.h"

const mebi__dit_config mebi__published_dit = {
    .dim = 3840,
    .layers = 30,
    .refiner_layers = 2,
    .heads = 30,
    .head_dim = 128,
    .ffn_hidden = 10240,
    .caption_dim = 2560,
    .channels = 16,
    .patch = 2,
    .adaln_dim = 256,
    .time_hidden = 1024,
    .time_frequencies = 256,
    .norm_eps = 1e-5f,
    .time_scale = 1000,
    .rope_theta = 256,
    .axes_dim = {32, 48, 48},
    .axes_len = {1536, 512, 512},
};

const mebi__qwen3_config mebi__published_encoder = {
    .hidden = 2560,
    .layers = 36,
    .heads = 32,
    .kv_heads = 8,
    .head_dim = 128,
    .intermediate = 9728,
    .vocab = 151936,
    .norm_eps = 1e-6f,
    .rope_theta = 1e6,
};

const mebi__vae_config mebi__published_vae = {
    .latent_channels = 16,
    .levels = 4,
    .block_channels = {128, 256, 512, 512},
    .layers_per_block = 2,
    .groups = 32,
    .scaling = 0.3611f,
    .shift = 0.1159f,
};

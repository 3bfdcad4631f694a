/* The dimensions of a model, from its config.json files or, without them, from tensor shapes. */
#ifndef MEBI_WEIGHTS_CONFIG_H
#define MEBI_WEIGHTS_CONFIG_H

#include "weights/gguf_tokens.h"
#include "weights/tensors.h"

/* Qwen3 text encoder. */
typedef struct mebi__qwen3_config {
    int hidden, layers, heads, kv_heads, head_dim, intermediate, vocab;
    float norm_eps;
    double rope_theta;
} mebi__qwen3_config;

/* Z-Image diffusion transformer. */
typedef struct mebi__dit_config {
    int dim, layers, refiner_layers, heads, head_dim, ffn_hidden, caption_dim;
    int channels, patch;  /* latent channels; spatial patch, 2 */
    int adaln_dim;        /* width of the modulation vector, min(dim, 256) as published */
    int time_hidden;      /* t_embedder.mlp.0's outputs */
    int time_frequencies; /* t_embedder.mlp.0's inputs: 256 (128 cosines, then 128 sines) */
    float norm_eps, time_scale;
    double rope_theta;
    int axes_dim[3], axes_len[3];
} mebi__dit_config;

/* AutoencoderKL. */
typedef struct mebi__vae_config {
    int latent_channels, levels, block_channels[8], layers_per_block, groups;
    float scaling, shift;
} mebi__vae_config;

/* FlowMatchEulerDiscreteScheduler. */
typedef struct mebi__scheduler_config {
    int train_timesteps; /* 1000 */
    float shift;         /* 3 */
} mebi__scheduler_config;

/* Where a model's parts are. NULL parts come from `folder`; parts given win. */
typedef struct mebi__model_paths {
    const char *folder;          /* diffusers folder */
    const char *diffusion_model; /* a safetensors or GGUF file or a folder, each */
    const char *text_encoder;
    const char *vae;
    const char *tokenizer; /* a folder, or a tokenizer.json. NULL: the encoder's own if it is a GGUF that
                              has one */
} mebi__model_paths;

/* A model's files, opened and understood. */
typedef struct mebi__model_files {
    mebi__tensors *dit, *encoder, *vae;
    char *tokenizer_path;     /* a folder or file; of the encoder's own GGUF if tokens are given */
    mebi__gguf_tokens tokens; /* the tokenizer out of that GGUF, or empty */
    mebi__dit_config dit_config;
    mebi__qwen3_config encoder_config;
    mebi__vae_config vae_config;
    mebi__scheduler_config scheduler;
    char hash[17]; /* fingerprint of the three parts */
} mebi__model_files;

/* Opens all parts and cross-checks them. A part's dimensions come from the config.json of its
 * folder if there is one, else from its tensors' shapes (always for a part given as a single file;
 * values that no shape tells are then the published model's, or those of a GGUF's metadata). The DiT's widths without a key in
 * config.json (ffn_hidden, adaln_dim, time_*) come from shapes in any case. Checked: encoder hidden
 * == caption_dim, VAE channels == DiT channels, heads divisible, axes_dim adding up to head_dim,
 * every dimension within sane limits. Errors name the file, the key or tensor, the value, and what
 * was expected. */
MEBI_MUST_USE mebi_status mebi__model_files_open(const mebi__model_paths *paths,
                                                 mebi__model_files *out, mebi_error *err);
void mebi__model_files_close(mebi__model_files *files);

#endif

/* What the tests of reading share: opening what must open, refusing what must not. */
#ifndef MEBI_TESTS_READING_H
#define MEBI_TESTS_READING_H

#include "model_files.h"

#include "base/memory.h"
#include "weights/config.h"
#include "weights/tensors.h"

#define COUNT(list) (int)(sizeof(list) / sizeof *(list))
#define MODELS      MEBI_FIXTURES "/models"

static int refusals; /* checked so far */

/* A refusal that helps: the status, the file's name, the word, one readable line. */
static inline void assert_refused(mebi_status got, mebi_status status, const mebi_error *err,
                                  const char *file, const char *word) {
    refusals++;
    if (got != status || !strstr(err->text, file) || !strstr(err->text, word))
        fail_msg("status %d (expected %d), text \"%s\" (expected \"%s\" and \"%s\")", got, status,
                 err->text, file, word);
    assert_int_equal(err->status, status);
    for (const char *c = err->text; *c; c++) assert_true((unsigned char)*c >= 0x20 && *c != 0x7F);
    assert_true(err->text[strlen(err->text) - 1] == '.' || err->text[strlen(err->text) - 1] == '?');
}

static inline void refuse_file(const char *path, mebi__part part, mebi_status status, const char *file,
                               const char *word) {
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    mebi__tensors *set = NULL;
    mebi_error err = {0};
    mebi_status got = mebi__tensors_open(path, part, &set, &err);
    assert_refused(got, status, &err, file, word);
    assert_null(set);
    assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
}

static inline mebi__tensors *open_good(const char *path, mebi__part part) {
    mebi__tensors *set = NULL;
    mebi_error err = {0};
    if (mebi__tensors_open(path, part, &set, &err) != MEBI_OK) fail_msg("%s", err.text);
    return set;
}

static inline mebi__model_files open_model(const mebi__model_paths *paths) {
    mebi__model_files m;
    mebi_error err = {0};
    if (mebi__model_files_open(paths, &m, &err) != MEBI_OK) fail_msg("%s", err.text);
    return m;
}

static inline void check_tiny(const mebi__model_files *m) {
    const mebi__dit_config dit = {.dim = 32,
                                  .layers = 1,
                                  .refiner_layers = 1,
                                  .heads = 2,
                                  .head_dim = 16,
                                  .ffn_hidden = 85,
                                  .caption_dim = 24,
                                  .channels = 16,
                                  .patch = 2,
                                  .adaln_dim = 32,
                                  .time_hidden = 16,
                                  .time_frequencies = 256,
                                  .norm_eps = 1e-5f,
                                  .time_scale = 1000,
                                  .rope_theta = 256,
                                  .axes_dim = {4, 6, 6},
                                  .axes_len = {1536, 512, 512}};
    const mebi__qwen3_config encoder = {.hidden = 24,
                                        .layers = 2,
                                        .heads = 4,
                                        .kv_heads = 2,
                                        .head_dim = 16,
                                        .intermediate = 40,
                                        .vocab = 512,
                                        .norm_eps = 1e-6f,
                                        .rope_theta = 1e6};
    const mebi__vae_config vae = {.latent_channels = 16,
                                  .levels = 4,
                                  .block_channels = {4, 8, 8, 8},
                                  .layers_per_block = 1,
                                  .groups = 4,
                                  .scaling = 0.3611f,
                                  .shift = 0.1159f};
    assert_memory_equal(&m->dit_config, &dit, sizeof dit);
    assert_memory_equal(&m->encoder_config, &encoder, sizeof encoder);
    assert_memory_equal(&m->vae_config, &vae, sizeof vae);
    assert_int_equal(m->scheduler.train_timesteps, 1000);
    assert_true(m->scheduler.shift == 3);
    assert_true(mebi__is_directory(m->tokenizer_path));
}

/* The fixture model in the original layout. */
static const mebi__model_paths original = {
    .diffusion_model = MODELS "/tiny-original/dit.safetensors",
    .text_encoder = MODELS "/tiny-original/encoder.safetensors",
    .vae = MODELS "/tiny-original/ae.safetensors",
    .tokenizer = MODELS "/tiny-original/tokenizer",
};

#endif

/* The two sources of a configuration: a parsed config.json, and tensor shapes. */
#ifndef MEBI_WEIGHTS_CONFIG_READ_H
#define MEBI_WEIGHTS_CONFIG_READ_H

#include "weights/config.h"
#include "weights/json.h"

/* What no sane model exceeds. */
enum {
    MEBI__LIMIT_WIDTH = 1 << 16, /* hidden sizes, feed-forward widths, channels */
    MEBI__LIMIT_LAYERS = 1 << 10,
    MEBI__LIMIT_HEADS = 1 << 10,
    MEBI__LIMIT_HEAD_DIM = 1 << 10,
    MEBI__LIMIT_VOCAB = 1 << 22,
    MEBI__LIMIT_AXIS_LEN = 1 << 20,
};

/* From config.json: path only names it in messages. Values that only shapes tell (the DiT's
 * feed-forward, modulation and time widths) are left for mebi__dit_config_widths. */
MEBI_MUST_USE mebi_status mebi__dit_config_read(const char *path, json_t *root,
                                                mebi__dit_config *out, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__qwen3_config_read(const char *path, json_t *root,
                                                  mebi__qwen3_config *out, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__vae_config_read(const char *path, json_t *root,
                                                mebi__vae_config *out, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__scheduler_config_read(const char *path, json_t *root,
                                                      mebi__scheduler_config *out, mebi_error *err);
/* model_index.json: the pipeline must be one that mebi runs. */
MEBI_MUST_USE mebi_status mebi__pipeline_check(const char *path, json_t *root, mebi_error *err);

/* From shapes alone. path names the part in messages. */
MEBI_MUST_USE mebi_status mebi__dit_config_guess(const char *path, const mebi__tensors *tensors,
                                                 mebi__dit_config *out, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__qwen3_config_guess(const char *path, const mebi__tensors *tensors,
                                                   mebi__qwen3_config *out, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__vae_config_guess(const char *path, const mebi__tensors *tensors,
                                                 mebi__vae_config *out, mebi_error *err);
/* After the guess from shapes: what a GGUF's metadata adds to it (depth, rope, eps), and that the
 * two agree. Nothing for other files. */
MEBI_MUST_USE mebi_status mebi__qwen3_config_metadata(const char *path,
                                                      const mebi__tensors *tensors,
                                                      mebi__qwen3_config *config, mebi_error *err);
/* The widths that no config.json tells; defaults where the tensors are missing. */
MEBI_MUST_USE mebi_status mebi__dit_config_widths(const char *path, const mebi__tensors *tensors,
                                                  mebi__dit_config *config, mebi_error *err);

/* What must hold between the numbers, wherever they come from. */
MEBI_MUST_USE mebi_status mebi__dit_config_check(const char *path, const mebi__dit_config *config,
                                                 mebi_error *err);
MEBI_MUST_USE mebi_status mebi__qwen3_config_check(const char *path,
                                                   const mebi__qwen3_config *config,
                                                   mebi_error *err);
MEBI_MUST_USE mebi_status mebi__vae_config_check(const char *path, const mebi__vae_config *config,
                                                 mebi_error *err);

#endif

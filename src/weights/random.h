/* Tensors of a model's names and shapes with random values, made on the fly: to measure with, where
 * nobody has the files.
 *
 * A value is a function of seed, tensor name and position alone, in bf16, spread as trained weights are
 * so that activations stay near 1. A part's tensors are those that loading it asks for.
 */
#ifndef MEBI_WEIGHTS_RANDOM_H
#define MEBI_WEIGHTS_RANDOM_H

#include "base/pool.h"
#include "weights/config.h"

typedef struct mebi__random_how {
    uint64_t seed;
    /* Large matrices that int8 packs are not made: their rows can be asked for (mebi__tensor_rows), and
     * their `data`, which all share, is NaN. Else the whole part is made at once. */
    int rows_only;
    /* Nothing is made: tensors have names, shapes, and addresses of their own that must not be read. Loaded on
     * an imaginary device they tell what a model takes. */
    int shapes_only;
    /* As in diffusion transformers: six channels of each block's input are 50 times the rest, and in four
     * of the feed-forward's channels silu(w1 a) * w3 a reaches 1e5. Columns that read them are as much
     * smaller, as training leaves them: a block whose output hung on a handful of channels would magnify
     * any rounding, bf16's too, and tell nothing of int8. */
    int outliers;
} mebi__random_how;

/* Owns what its tensors need. Ended by mebi__random_close, not mebi__tensors_close. */
typedef struct mebi__random_part {
    mebi__tensors *tensors;
    struct mebi__recipe *recipes; /* one a tensor */
    unsigned char *memory;        /* values of all that are made at once */
    size_t memory_bytes;
    unsigned char *nothing; /* as long as the largest tensor that isn't */
} mebi__random_part;

MEBI_MUST_USE mebi_status mebi__random_dit(const mebi__dit_config *config,
                                           const mebi__random_how *how, mebi__pool *pool,
                                           mebi__random_part *out, mebi_error *err);
/* Without the last layer, the final norm and the language head. */
MEBI_MUST_USE mebi_status mebi__random_encoder(const mebi__qwen3_config *config,
                                               const mebi__random_how *how, mebi__pool *pool,
                                               mebi__random_part *out, mebi_error *err);
/* The decoder half. */
MEBI_MUST_USE mebi_status mebi__random_vae(const mebi__vae_config *config,
                                           const mebi__random_how *how, mebi__pool *pool,
                                           mebi__random_part *out, mebi_error *err);
/* Also of a part of zeros. What was loaded from it must be released before. */
void mebi__random_close(mebi__random_part *part);

/* Elements [first, first + count) of a tensor made here, as f32: what mebi__tensor_rows is to such. */
void mebi__random_elements(const struct mebi__recipe *recipe, int64_t first, int64_t count,
                           float *out);

#endif

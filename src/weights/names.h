/* Tensor names: what a file calls a tensor -> what the diffusers layout calls it. */
#ifndef MEBI_WEIGHTS_NAMES_H
#define MEBI_WEIGHTS_NAMES_H

#include "weights/stored.h"
#include "weights/tensors.h"

enum { MEBI__LONG_NAME_BYTES = MEBI__NAME_BYTES + 64 }; /* a translated name may be longer */

typedef struct mebi__renaming {
    mebi__part part;
    int up_blocks; /* of a VAE under CompVis names, which count them from the output; else 0 */
} mebi__renaming;

/* Notes what translating depends on; to be called with every name of the part first. */
void mebi__names_learn(mebi__renaming *renaming, const char *name);

/* The diffusers name of a tensor into out. Returns 1, or 3 if the tensor is a fused qkv: then the
 * three thirds of its rows are to be listed under the names of mebi__names_slice. */
int mebi__names_translate(const mebi__renaming *renaming, const char *name,
                          char out[MEBI__LONG_NAME_BYTES]);
/* Slice 0 to 2 (q, k, v) of the translated name of a fused qkv. */
void mebi__names_slice(const char *translated, int slice, char out[MEBI__LONG_NAME_BYTES]);

/* 1 if a tensor of this name is a linear layer that the file may store as a 1x1 convolution. */
int mebi__names_is_flat(const mebi__renaming *renaming, const char *translated);

#endif

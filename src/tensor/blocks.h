/* Values of the stored types, decoded. The block types are GGUF's; the 8-bit floats are OCP's, e4m3
 * in its finite form ("fn"). */
#ifndef MEBI_TENSOR_BLOCKS_H
#define MEBI_TENSOR_BLOCKS_H

#include "tensor/dtype.h"

/* blocks whole blocks from source (any alignment) to out[blocks * elements of a block]. Products
 * and differences are rounded one by one in f32, as the format's own tools do. NULL for types that
 * are not stored in blocks. */
typedef void (*mebi__decode)(const unsigned char *source, size_t blocks, float *out);
mebi__decode mebi__block_decoder(mebi__dtype type);

#endif

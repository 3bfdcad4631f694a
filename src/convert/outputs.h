/* The tensors of a new file: which, under which name, of which type, made from which. */
#ifndef MEBI_CONVERT_OUTPUTS_H
#define MEBI_CONVERT_OUTPUTS_H

#include "convert/encode.h"
#include "mebi/convert.h"
#include "weights/tensors.h"

enum { MEBI__OUTPUT_NAME = 352 };

typedef struct mebi__output {
    char name[MEBI__OUTPUT_NAME]; /* in the new file */
    mebi__encoding encoding;
    mebi__shape shape;
    const mebi__tensor *source[3]; /* stacked by rows: a fused qkv has three */
    int sources;                   /* 0: the scales of the I8 tensor before it */
    uint64_t offset, bytes;        /* in the data */
} mebi__output;

typedef struct mebi__outputs {
    mebi__output *at;
    int count;
    uint64_t data_bytes;
} mebi__outputs;

/* What the new file is. */
typedef struct mebi__target {
    mebi__part part; /* DiT or encoder */
    mebi_convert_type type;
    int gguf; /* or safetensors */
} mebi__target;

/* The DiT's names are the original ones, q, k and v fused; the encoder's are llama.cpp's in GGUF
 * and the published ones in safetensors. MEBI_UNSUPPORTED names a tensor that has no place there.
 * Ended by mebi__outputs_release in any case. */
MEBI_MUST_USE mebi_status mebi__outputs_plan(const mebi__tensors *tensors,
                                             const mebi__target *target, mebi__outputs *out,
                                             mebi_error *err);
void mebi__outputs_release(mebi__outputs *outputs);

/* The name in the new file (convert/names.c). Returns how many tensors are fused into it: 3 for q
 * (which stands for all), 0 for k and v and for what is left out, else 1; -1 if there is no such
 * name. */
int mebi__output_name(const mebi__target *target, const char *name, char out[MEBI__OUTPUT_NAME]);

#endif

/* A set of named tensors read from model files, and the account of which were used.
 *
 * Names are always those of the diffusers layout, whatever the file called them; the encoder's
 * begin with "model." (model.layers.0...), also where the file leaves that out. Data lies in the
 * mapped file: nothing is copied, and it stays valid until the set is closed. A file that another
 * program cuts short meanwhile ends the process with SIGBUS, as with every mapped file.
 */
#ifndef MEBI_WEIGHTS_TENSORS_H
#define MEBI_WEIGHTS_TENSORS_H

#include "base/os.h"
#include "tensor/dtype.h"

typedef struct mebi__tensors mebi__tensors;

/* A tensor in a file. Its values are those stored, times a scale if it has one. */
typedef struct mebi__tensor {
    const char *name;  /* diffusers name */
    mebi__dtype dtype; /* one that mebi__convert_to_f32 knows; others (integers) are not listed */
    mebi__shape shape;
    const void *data; /* shape_bytes bytes in the mapping; alignment is the file's, maybe 1 */
    /* scale[scales]: scales is 0 (none), 1 (of the whole), or dim[0] (of each); the set's. */
    const float *scale;
    int64_t scales;
    const struct mebi__recipe *recipe; /* not NULL: values are made when rows are asked for */
} mebi__tensor;

/* A tensor's rows, each along the last dimension. */
int64_t mebi__tensor_row_count(const mebi__tensor *t);
int64_t mebi__tensor_row_elements(const mebi__tensor *t);
/* Rows first to first + count - 1 as f32, the scale applied: out[count * row_elements]. Returns 0,
 * out untouched, if there are no such rows. Thread-safe. */
int mebi__tensor_rows(const mebi__tensor *t, int64_t first, int64_t count, float *out);

typedef enum mebi__part { MEBI__PART_DIT, MEBI__PART_ENCODER, MEBI__PART_VAE } mebi__part;

/* Opens one part of a model: a safetensors or GGUF file, or a folder holding
 * `<stem>.safetensors` or `<stem>.safetensors.index.json` with its shards (stem is
 * "diffusion_pytorch_model" or "model"; without those, the folder's only .safetensors or .gguf
 * file). Original single-file names are translated: prefixes stripped, fused qkv split into rows,
 * CompVis VAE names and 1x1 attention convolutions turned into linear [C, C]; and llama.cpp's of
 * the encoder. Scales of 8-bit floats, under the names that publishers gave them, are given to
 * their tensors. Errors name the file and what is wrong: truncated, header not JSON, offsets
 * overlapping or out of range, shape and size disagreeing, unknown dtype, a tensor named twice, a
 * shard missing. */
MEBI_MUST_USE mebi_status mebi__tensors_open(const char *path, mebi__part part, mebi__tensors **out,
                                             mebi_error *err);
void mebi__tensors_close(mebi__tensors **tensors);

/* NULL if there is none. Does not count as use. */
const mebi__tensor *mebi__tensors_find(const mebi__tensors *tensors, const char *name);
/* All of them, sorted by name. */
int mebi__tensors_count(const mebi__tensors *tensors);
const mebi__tensor *mebi__tensors_at(const mebi__tensors *tensors, int index);

/* Asks for a tensor of exactly this shape (rank 1 to 4) and notes the answer. A missing or
 * wrong-shaped one gives NULL and is remembered for the report. */
__attribute__((format(printf, 4, 5))) const mebi__tensor *
mebi__tensors_want(mebi__tensors *tensors, int rank, const int64_t *dim, const char *name, ...);

/* MEBI_BAD_FILE, naming the missing and wrong-shaped tensors (some of them if there are many, with
 * the count), if any were asked for in vain since opening. */
MEBI_MUST_USE mebi_status mebi__tensors_report(const mebi__tensors *tensors, mebi_error *err);
/* Names of tensors nobody asked for, "a, b, c and 12 more", into text (NULL if bytes is 0); returns
 * how many. Well-known leftovers, such as lm_head or the VAE's other half, do not count. */
int mebi__tensors_unexpected(const mebi__tensors *tensors, char *text, size_t bytes);

/* Looks through all data for NaN and infinity. MEBI_BAD_FILE names the first tensor that has one.
 */
MEBI_MUST_USE mebi_status mebi__tensors_check_finite(const mebi__tensors *tensors, mebi_error *err);

/* The mapped files, for accounting of resident bytes. */
int mebi__tensors_map_count(const mebi__tensors *tensors);
const mebi__map *mebi__tensors_map(const mebi__tensors *tensors, int index);

/* A fingerprint of names, types, shapes, file sizes and a sample of the data: 16 hex digits. */
void mebi__tensors_fingerprint(const mebi__tensors *tensors, char hex[17]);

#endif

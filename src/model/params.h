/* A model's parameters on a device: from named tensors of a file to views.
 *
 * Large matrices are used where they lie, in the mapped file, in whatever type they have; vectors become
 * f32, and convolution weights are turned channels-last, in device memory of their own. Copied as well: a
 * matrix that the file doesn't align to its element, and, as bf16 (twice the bytes of an 8-bit float), one
 * that has a scale for each row.
 */
#ifndef MEBI_MODEL_PARAMS_H
#define MEBI_MODEL_PARAMS_H

#include "base/cache.h"
#include "base/prefetch.h"
#include "compute/device.h"
#include "model/matrix.h"
#include "weights/tensors.h"

/* How a part's large matrices are multiplied. */
typedef enum mebi__precision {
    MEBI__PRECISION_PLAIN, /* in the file's own type */
    MEBI__PRECISION_INT8,  /* quantized while the part is loaded */
} mebi__precision;

/* From where and in which form a part is loaded. */
typedef struct mebi__loading {
    mebi__device *device;
    mebi__tensors *tensors;
    mebi__precision precision;
    const char *cache; /* folder for packed matrices; NULL: the usual one; "": none */
    /* Asked as packing goes on, 0..1: non-zero stops it with MEBI_CANCELLED. May be NULL. */
    int (*progress)(void *context, double fraction);
    /* Told why packed matrices could not be kept for the next start. May be NULL. */
    void (*notice)(void *context, const char *text);
    void *context;
} mebi__loading;

/* A feed-forward whose packed form is smoothed: down(silu(gate a) * (up a)). Channels that up and gate
 * make far larger than the rest would swallow their neighbours' rounding; so each channel's row of `up` is
 * divided by a power of two and its column of `down` multiplied, which changes no product. */
typedef struct mebi__smooth {
    const mebi__matrix *gate, *up, *down;
} mebi__smooth;

/* A matrix that is to be packed when all are known. */
typedef struct mebi__pack_job {
    mebi__matrix *matrix;
    const mebi__tensor *tensor;
    const mebi__tensor *norm; /* [k]: the weight of the norm before, folded into the columns; or NULL */
    size_t offset, bytes; /* in the packed block */
} mebi__pack_job;

/* Bytes of a mapped file that a view lies in, in the form that the part's precision reads. */
typedef struct mebi__param_span {
    const unsigned char *at; /* NULL: at offset in the packed block, or nowhere */
    int packed;
    size_t offset, bytes;
    int layer; /* -1: of none */
} mebi__param_span;

/* A layer's mapped weights: some of mebi__params.range. */
typedef struct mebi__param_layer {
    int first, count;
    size_t bytes;
} mebi__param_layer;

/* The buffers behind one part's views. Start with mebi__params_begin; the first error sticks. */
typedef struct mebi__params {
    mebi__loading how;
    mebi__tag tag;
    mebi__buffer **buffer;
    int count, capacity;
    mebi__pack_job *job;
    int jobs, job_capacity;
    mebi__smooth *smooth;
    int smooths, smooth_capacity;
    /* All packed matrices of the part: in the cache's mapping, or in memory of their own. */
    size_t packed_bytes;
    mebi__cache_entry cache; /* data NULL: none */
    unsigned char *packed;   /* NULL: none */
    /* What of the part is mapped, in whole pages. Until mebi__params_end: spans only. */
    mebi__param_span *span;
    int spans, span_capacity;
    mebi__range *range; /* of the layers, one layer after the other */
    mebi__param_layer *layer;
    int layers;       /* begun so far; while loading, what is loaded belongs to the last if in_layer */
    int chain_layers; /* the first so many run one after the other, the rest each for itself */
    int in_layer;
    size_t end_bytes; /* of what belongs to no layer */
    mebi_status status;
    mebi_error *err;
} mebi__params;

void mebi__params_begin(mebi__params *p, const mebi__loading *how, mebi__tag tag, mebi_error *err);
/* Every tensor asked for was there: MEBI_OK, or what was wrong with which. Packs what is to be packed. */
MEBI_MUST_USE mebi_status mebi__params_end(mebi__params *p);
void mebi__params_release(mebi__params *p);

/* What is loaded from now on belongs to a layer that runs after the one begun before (its number is how
 * many were begun before it), or, once `alone` was 1, to one that runs for itself. */
void mebi__params_begin_layer(mebi__params *p, int alone);

/* The part's mapped weights may go until they are read again. Weights in memory of their own stay. */
void mebi__params_rest(const mebi__params *p);
/* Mapped bytes that a job reads, in the part's precision, and how many of them are in memory at most when
 * layers come and go: what belongs to none, and of the layers the largest two neighbours (of those that run
 * for themselves, the largest). What a job does again in exact arithmetic reads more. */
size_t mebi__params_file_bytes(const mebi__params *p);
size_t mebi__params_window_bytes(const mebi__params *p);
/* About how many of the layers' mapped bytes are not in memory. */
size_t mebi__params_cold_bytes(const mebi__params *p);

/* A matrix [rows, columns] in the file's own type, its scale in the view. After an error or for a tensor that
 * is missing the view has no buffer; mebi__params_end tells. */
__attribute__((format(printf, 4, 5))) mebi__view
mebi__param_matrix(mebi__params *p, int64_t rows, int64_t columns, const char *name, ...);
/* The same for a matrix that does a share of the arithmetic: *out gets its plain form now, and, when the
 * part is loaded in int8 and the columns allow it, its packed one by mebi__params_end. */
__attribute__((format(printf, 5, 6))) void mebi__param_product(mebi__params *p, mebi__matrix *out,
                                                               int64_t rows, int64_t columns,
                                                               const char *name, ...);
/* Folds the weight of the norm that makes a matrix's rows into its packed form: those rows are then made
 * with ones instead (mebi__param_ones). A channel that the norm makes large, and the matrix reads as
 * little, costs no precision then. Follows mebi__param_product. */
__attribute__((format(printf, 3, 4))) void mebi__param_fold(mebi__params *p,
                                                            const mebi__matrix *matrix,
                                                            const char *norm, ...);
/* Smooths a feed-forward's packed forms. Follows their mebi__param_product. */
void mebi__param_smooth(mebi__params *p, const mebi__matrix *gate, const mebi__matrix *up,
                        const mebi__matrix *down);
/* [n] ones. */
mebi__view mebi__param_ones(mebi__params *p, int64_t n);
/* A vector [n] as f32; [1, n] in the file is fine. A NaN or infinity in it is refused. */
__attribute__((format(printf, 3, 4))) mebi__view mebi__param_vector(mebi__params *p, int64_t n,
                                                                    const char *name, ...);
/* [out, in, size, size] in the file, [out, size, size, in] on the device. */
__attribute__((format(printf, 5, 6))) mebi__view mebi__param_conv(mebi__params *p, int64_t out,
                                                                  int64_t in, int64_t size,
                                                                  const char *name, ...);

#endif

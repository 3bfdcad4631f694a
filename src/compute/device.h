/* A device and its buffers: what model code may hold, and what a backend implements.
 *
 * Model code sees buffers as opaque, addresses them by byte offset and shape, and never gets a host
 * pointer to device memory. Operations (compute/ops.h) are recorded, then submitted; a result is
 * there after a wait. Uploads and downloads take their place in that order like operations.
 *
 * A device is used by one thread at a time.
 */
#ifndef MEBI_COMPUTE_DEVICE_H
#define MEBI_COMPUTE_DEVICE_H

#include "base/error.h"
#include "base/memory.h"
#include "tensor/dtype.h"

typedef struct mebi__device mebi__device;
struct mebi__op;

/* The head of every backend's own buffer struct. */
typedef struct mebi__buffer {
    size_t bytes; /* for the checks of compute/ops.c; a dry run sees other devices' buffers too */
} mebi__buffer;

/* A tensor in device memory: row-major, without gaps. A view owns nothing. */
typedef struct mebi__view {
    mebi__buffer *buffer; /* NULL: no tensor (an optional argument left out) */
    size_t offset;        /* bytes; multiple of the element size */
    mebi__dtype dtype;
    mebi__shape shape;
    float scale; /* of a weight of linear or embed: its values are those stored times this; 0: no scale */
} mebi__view;

/* A matrix w[n,k] that is read row by row, several threads at once, each other rows. */
typedef struct mebi__rows_source {
    int64_t n, k;
    void (*read)(const void *context, int64_t first, int64_t count, float *out); /* out [count, k] */
    const void *context;
    const char *name; /* for errors */
} mebi__rows_source;

/* What a backend implements. compute/ops.c has checked every argument before `record` sees it:
 * shapes agree, types are allowed, every view lies inside its buffer, outputs alias inputs only
 * where the operation's contract says so. */
typedef struct mebi__device_table {
    const char *name;
    int imaginary; /* 1: nothing is computed, so what would be uploaded need not be made */

    /* Bytes that this process may still take of the device's memory: of its heap, which other programs use too, or of
     * the host's memory where it works in that. A plan's budget is never more than what is held and this. */
    size_t (*memory_available)(mebi__device *d);

    /* Device memory of its own, contents undefined. */
    mebi_status (*buffer_create)(mebi__device *d, mebi__tag tag, size_t bytes, mebi__buffer **out,
                                 mebi_error *err);
    /* Read-only device memory with the contents of host memory that outlives the buffer (a mapped
     * model file). A backend that works in host memory uses it in place. */
    mebi_status (*buffer_import)(mebi__device *d, mebi__tag tag, const void *host, size_t bytes,
                                 mebi__buffer **out, mebi_error *err);
    void (*buffer_destroy)(mebi__device *d, mebi__buffer *buffer);

    /* Call scratch: bytes the kernel chosen for op needs while it runs, and the block from which
     * all calls take it (grows only; before work starts). */
    size_t (*scratch_bytes)(mebi__device *d, const struct mebi__op *op);
    mebi_status (*scratch_reserve)(mebi__device *d, size_t bytes, mebi_error *err);

    mebi_status (*record)(mebi__device *d, const struct mebi__op *op, mebi_error *err);
    mebi_status (*upload)(mebi__device *d, mebi__view to, const void *from, mebi_error *err);
    mebi_status (*download)(mebi__device *d, mebi__view from, void *to, mebi_error *err);
    mebi_status (*submit)(mebi__device *d, mebi_error *err);
    mebi_status (*wait)(mebi__device *d, mebi_error *err);

    /* Quantizes a matrix into INT8_PANELS in host memory (64-aligned), to be imported. MEBI_BAD_FILE if
     * a value is not finite. */
    mebi_status (*pack)(mebi__device *d, const mebi__rows_source *w, unsigned char *to,
                        mebi_error *err);

    void (*destroy)(mebi__device *d);
} mebi__device_table;

/* The head of every backend's own device struct. */
struct mebi__device {
    const mebi__device_table *table;
};

/* Bytes and elements of a view; the view is known to be valid. */
size_t mebi__view_elements(const mebi__view *view);
size_t mebi__view_bytes(const mebi__view *view);

/* Rows [first, first + count) along the first dimension. */
mebi__view mebi__view_rows(mebi__view view, int64_t first, int64_t count);

/* The same elements under another shape of as many elements. */
mebi__view mebi__view_as(mebi__view view, int rank, const int64_t *dim);

/* Accepts NULL, nulls. All buffers must have been destroyed before. */
void mebi__device_destroy(mebi__device **device);

#endif

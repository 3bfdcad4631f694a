/* Views and the device's end. Nothing here touches device memory. */
#include "compute/device.h"

#include <assert.h>

size_t mebi__view_elements(const mebi__view *v) {
    size_t n = 0;
    int valid = mebi__shape_elements(&v->shape, &n);
    assert(valid);
    (void)valid;
    return n;
}

size_t mebi__view_bytes(const mebi__view *v) {
    size_t bytes = 0;
    int valid = mebi__shape_bytes(&v->shape, v->dtype, &bytes);
    assert(valid);
    (void)valid;
    return bytes;
}

mebi__view mebi__view_rows(mebi__view v, int64_t first, int64_t count) {
    if (!v.buffer) return v;
    assert(v.shape.rank > 0 && first >= 0 && count > 0 && first + count <= v.shape.dim[0]);
    assert(v.dtype != MEBI__INT8_PANELS); /* its rows lie interleaved */
    size_t row = mebi__view_bytes(&v) / (size_t)v.shape.dim[0];
    v.offset += row * (size_t)first;
    v.shape.dim[0] = count;
    return v;
}

mebi__view mebi__view_as(mebi__view v, int rank, const int64_t *dim) {
    if (!v.buffer) return v;
    mebi__shape shape = {.rank = rank};
    size_t n = 0;
    for (int i = 0; i < rank; i++) shape.dim[i] = dim[i];
    int valid = mebi__shape_elements(&shape, &n);
    assert(mebi__dtype_block(v.dtype) == 1);
    assert(valid && n == mebi__view_elements(&v));
    (void)valid;
    v.shape = shape;
    return v;
}

void mebi__device_destroy(mebi__device **device) {
    if (!*device) return;
    (*device)->table->destroy(*device);
    *device = NULL;
}

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
    return mebi__view_elements(v) * mebi__dtype_bytes(v->dtype);
}

mebi__view mebi__view_rows(mebi__view v, int64_t first, int64_t count) {
    if (!v.buffer) return v;
    assert(v.shape.rank > 0 && first >= 0 && count > 0 && first + count <= v.shape.dim[0]);
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

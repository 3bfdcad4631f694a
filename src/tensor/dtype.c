/* Element types and shapes. */
#include "tensor/dtype.h"

#include <math.h>
#include <stdio.h>

static const size_t element_bytes[MEBI__DTYPE_COUNT] = {
    [MEBI__F32] = 4, [MEBI__F16] = 2, [MEBI__BF16] = 2, [MEBI__I32] = 4, [MEBI__U8] = 1,
};

size_t mebi__dtype_bytes(mebi__dtype type) {
    return element_bytes[type];
}

int mebi__shape_elements(const mebi__shape *shape, size_t *out) {
    size_t n = 1;
    for (int i = 0; i < shape->rank; i++)
        if (shape->dim[i] <= 0 || __builtin_mul_overflow(n, (uint64_t)shape->dim[i], &n)) return 0;
    *out = n;
    return 1;
}

int mebi__shape_bytes(const mebi__shape *shape, mebi__dtype type, size_t *out) {
    size_t n, bytes;
    if (!mebi__shape_elements(shape, &n) || __builtin_mul_overflow(n, element_bytes[type], &bytes))
        return 0;
    *out = bytes;
    return 1;
}

int mebi__shape_equal(const mebi__shape *a, const mebi__shape *b) {
    if (a->rank != b->rank) return 0;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return 0;
    return 1;
}

char *mebi__shape_text(const mebi__shape *shape, char *text, size_t bytes) {
    size_t used = (size_t)snprintf(text, bytes, "[");
    for (int i = 0; i < shape->rank && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%lld", i ? ", " : "",
                                 (long long)shape->dim[i]);
    if (used < bytes) snprintf(text + used, bytes - used, "]");
    return text;
}

float mebi__f16_to_f32(uint16_t bits) {
    int exponent = (bits >> 10) & 31;
    float fraction = (float)(bits & 1023);
    float value = exponent == 0    ? ldexpf(fraction, -24)
                  : exponent == 31 ? (bits & 1023 ? NAN : INFINITY)
                                   : ldexpf(fraction + 1024.0f, exponent - 25);
    return bits & 0x8000 ? -value : value;
}

void mebi__convert_to_f32(mebi__dtype type, const void *source, size_t count, float *out) {
    const unsigned char *bytes = source;
    if (type == MEBI__F32) {
        memcpy(out, source, count * sizeof *out);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, bytes + 2 * i, sizeof half);
        out[i] = type == MEBI__BF16 ? mebi__bf16_to_f32(half) : mebi__f16_to_f32(half);
    }
}

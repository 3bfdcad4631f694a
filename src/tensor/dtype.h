/* Element types and shapes: names and sizes, no maths beyond one element's conversion. */
#ifndef MEBI_TENSOR_DTYPE_H
#define MEBI_TENSOR_DTYPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum mebi__dtype {
    MEBI__F32,
    MEBI__F16,
    MEBI__BF16,
    MEBI__I32,
    MEBI__U8,
    MEBI__DTYPE_COUNT
} mebi__dtype;

enum { MEBI__MAX_RANK = 4 };

/* rank 0 is a scalar. Dimensions are positive, elements row-major without gaps. */
typedef struct mebi__shape {
    int rank;
    int64_t dim[MEBI__MAX_RANK];
} mebi__shape;

size_t mebi__dtype_bytes(mebi__dtype type);

/* Elements and bytes of a shape. Return 0 if a dimension is not positive or the product does not
 * fit in size_t; *out is then untouched. */
int mebi__shape_elements(const mebi__shape *shape, size_t *out);
int mebi__shape_bytes(const mebi__shape *shape, mebi__dtype type, size_t *out);
int mebi__shape_equal(const mebi__shape *a, const mebi__shape *b);

/* "[3, 4]" into text (at least 96 bytes); returns text. */
char *mebi__shape_text(const mebi__shape *shape, char *text, size_t bytes);

/* bf16 is the upper half of an f32. */
static inline float mebi__bf16_to_f32(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* Round to nearest even; NaN stays NaN. */
static inline uint16_t mebi__f32_to_bf16(float value) {
    uint32_t wide;
    memcpy(&wide, &value, sizeof wide);
    if ((wide & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((wide >> 16) | 0x40u);
    return (uint16_t)((wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16);
}

/* IEEE half: subnormals, infinities and NaN included. */
float mebi__f16_to_f32(uint16_t bits);

/* count elements of f32, f16 or bf16 from source to f32. Source may be unaligned. */
void mebi__convert_to_f32(mebi__dtype type, const void *source, size_t count, float *out);

#endif

/* Element types and shapes: names and sizes, no maths beyond one element's conversion.
 *
 * Some types store elements in blocks along the last dimension (GGUF's, and the two int8 forms that
 * products read): they have bytes by the row, not by the element. */
#ifndef MEBI_TENSOR_DTYPE_H
#define MEBI_TENSOR_DTYPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* X(type, elements of a block, bytes of a block). Names of blocks are GGUF's. */
#define MEBI__DTYPE_MAP(X)                                                                         \
    X(F32, 1, 4)                                                                                   \
    X(F16, 1, 2)                                                                                   \
    X(BF16, 1, 2)                                                                                  \
    X(I32, 1, 4)                                                                                   \
    X(F64, 1, 8)         /* sums of an operation; never a file's */                                \
    X(U8, 1, 1)                                                                                    \
    X(F8_E4M3, 1, 1)                                                                               \
    X(F8_E5M2, 1, 1)                                                                               \
    X(Q4_0, 32, 18)                                                                                \
    X(Q4_1, 32, 20)                                                                                \
    X(Q5_0, 32, 22)                                                                                \
    X(Q5_1, 32, 24)                                                                                \
    X(Q8_0, 32, 34)                                                                                \
    X(Q2_K, 256, 84)                                                                               \
    X(Q3_K, 256, 110)                                                                              \
    X(Q4_K, 256, 144)                                                                              \
    X(Q5_K, 256, 176)                                                                              \
    X(Q6_K, 256, 210)                                                                              \
    X(I8, 1, 1)          /* has a scale beside it, always */                                       \
    X(INT8_ROWS, 0, 0)   /* activations, quantized: tensor/int8.h */                               \
    X(INT8_PANELS, 0, 0) /* weights, quantized: tensor/int8.h */

typedef enum mebi__dtype {
#define X(type, elements, bytes) MEBI__##type,
    MEBI__DTYPE_MAP(X)
#undef X
        MEBI__DTYPE_COUNT
} mebi__dtype;

enum { MEBI__MAX_RANK = 4 };

/* rank 0 is a scalar. Dimensions are positive, elements row-major without gaps. */
typedef struct mebi__shape {
    int rank;
    int64_t dim[MEBI__MAX_RANK];
} mebi__shape;

/* "F32", "Q4_K", ... */
const char *mebi__dtype_name(mebi__dtype type);
/* Bytes of one element; 0 for types stored in blocks. */
size_t mebi__dtype_bytes(mebi__dtype type);
/* Elements of one block: rows are whole blocks. 1 for plain types. */
int64_t mebi__dtype_block(mebi__dtype type);
/* 1 for types that mebi__convert_to_f32 knows. */
int mebi__dtype_decodes(mebi__dtype type);
/* A tensor's first byte lies at a multiple of this. */
size_t mebi__dtype_alignment(mebi__dtype type);
/* Bytes of a row of k elements. Returns 0 if such rows can't be, or overflow. */
int mebi__row_bytes(mebi__dtype type, int64_t k, size_t *out);

/* Elements and bytes of a shape. Return 0 if a dimension is not positive, the product does not fit
 * in size_t, or a row is not whole blocks; *out is then untouched. */
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

/* A float of fewer exponent bits than f32, its bits moved to where f32 has them: scaled by the
 * distance of the two biases, which makes subnormals right too; `top` is where infinity and NaN
 * begin. No branch, so that loops of it become vector code. */
static inline float mebi__widen_float(uint32_t magnitude, uint32_t sign, float scale, uint32_t top) {
    uint32_t special = magnitude >= top ? 0x7f800000u : 0;
    float value;
    memcpy(&value, &magnitude, sizeof value);
    value *= scale;
    memcpy(&magnitude, &value, sizeof value);
    magnitude |= special | sign;
    memcpy(&value, &magnitude, sizeof value);
    return value;
}

/* IEEE half: subnormals, infinities and NaN included. */
static inline float mebi__f16_to_f32(uint16_t bits) {
    return mebi__widen_float((uint32_t)(bits & 0x7fff) << 13, (uint32_t)(bits & 0x8000) << 16,
                             0x1p112f, 0x1fu << 23);
}

/* The finite e4m3: no infinity, one NaN of either sign, largest value 448. */
static inline float mebi__f8_e4m3_to_f32(uint8_t bits) {
    return mebi__widen_float((uint32_t)(bits & 0x7f) << 20, (uint32_t)(bits & 0x80) << 24, 0x1p120f,
                             0x7fu << 20);
}

/* e5m2 is the upper half of an f16. */
static inline float mebi__f8_e5m2_to_f32(uint8_t bits) {
    return mebi__f16_to_f32((uint16_t)(bits << 8));
}

/* count elements from source to f32: whole blocks of a type that decodes. Source may be unaligned. */
void mebi__convert_to_f32(mebi__dtype type, const void *source, size_t count, float *out);

#endif

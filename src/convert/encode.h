/* Values to the bytes of a stored type: the opposite of tensor/blocks.h. */
#ifndef MEBI_CONVERT_ENCODE_H
#define MEBI_CONVERT_ENCODE_H

#include <stddef.h>
#include <stdint.h>

/* X(name, elements of a block, bytes of a block, name in safetensors or NULL, number in GGUF or
 * -1). I8 has a scale of f32 for each row beside it: value = integer * scale. */
#define MEBI__ENCODING_MAP(X)                                                                      \
    X(F32, 1, 4, "F32", 0)                                                                         \
    X(BF16, 1, 2, "BF16", 30)                                                                      \
    X(I8, 1, 1, "I8", -1)                                                                          \
    X(Q8_0, 32, 34, NULL, 8)                                                                       \
    X(Q4_K, 256, 144, NULL, 12)

typedef enum mebi__encoding {
#define X(name, elements, bytes, safetensors, gguf) MEBI__AS_##name,
    MEBI__ENCODING_MAP(X)
#undef X
        MEBI__AS_COUNT
} mebi__encoding;

int64_t mebi__encoding_block(mebi__encoding encoding);
const char *mebi__encoding_safetensors(mebi__encoding encoding); /* NULL: can't be in such a file */
int mebi__encoding_gguf(mebi__encoding encoding);                /* negative: likewise */
/* Bytes of a row of k elements; k is whole blocks. */
size_t mebi__encoding_row_bytes(mebi__encoding encoding, int64_t k);

/* One row of k finite values, whole blocks, to out; *scale is written for I8 only. Every value's
 * error is at most half a step of its block; where the sum of squared errors can be made smaller
 * than plain rounding leaves it (Q4_K), it is. */
void mebi__encode_row(mebi__encoding encoding, const float *row, int64_t k, unsigned char *out,
                      float *scale);

/* Round to nearest even; too large becomes infinite. */
uint16_t mebi__f32_to_f16(float value);

/* One block of 256 (encode_q4k.c). */
void mebi__encode_q4k(const float x[256], unsigned char out[144]);

#endif

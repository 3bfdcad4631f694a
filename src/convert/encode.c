/* Rows to stored types. Must never write a value that decodes to something not finite. */
#include "convert/encode.h"

#include "tensor/dtype.h"

#include <math.h>
#include <string.h>

static const struct {
    int64_t elements;
    size_t bytes;
    const char *safetensors;
    int gguf;
} forms[MEBI__AS_COUNT] = {
#define X(name, elements, bytes, safetensors, gguf) {elements, bytes, safetensors, gguf},
    MEBI__ENCODING_MAP(X)
#undef X
};

int64_t mebi__encoding_block(mebi__encoding encoding) {
    return forms[encoding].elements;
}

const char *mebi__encoding_safetensors(mebi__encoding encoding) {
    return forms[encoding].safetensors;
}

int mebi__encoding_gguf(mebi__encoding encoding) {
    return forms[encoding].gguf;
}

size_t mebi__encoding_row_bytes(mebi__encoding encoding, int64_t k) {
    return (size_t)(k / forms[encoding].elements) * forms[encoding].bytes;
}

uint16_t mebi__f32_to_f16(float value) {
    uint32_t bits, sign, half;
    memcpy(&bits, &value, sizeof bits);
    sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) half = 0x7e00;       /* NaN */
    else if (bits >= 0x477ff000) half = 0x7c00; /* 65520 and more */
    else if (bits < 0x38800000) {
        /* Subnormal: beside 0.5, f32's last place is 2^-24, and the sum is rounded to it. */
        float sum = fabsf(value) + 0.5f;
        memcpy(&half, &sum, sizeof half);
        half -= 0x3f000000;
    } else half = (bits - 0x38000000 + 0xfff + (bits >> 13 & 1)) >> 13;
    return (uint16_t)(sign | half);
}

static float largest(const float *x, int64_t count) {
    float most = 0;
    for (int64_t i = 0; i < count; i++) {
        float a = fabsf(x[i]);
        most = a > most ? a : most;
    }
    return most;
}

static void encode_i8(const float *x, int64_t count, float inverse, unsigned char *out) {
    for (int64_t i = 0; i < count; i++) {
        float q = rintf(x[i] * inverse);
        q = q > 127 ? 127 : q < -127 ? -127 : q;
        out[i] = (unsigned char)(int8_t)q;
    }
}

/* f16 scale, 32 integers. Rounded by the scale as it is stored, not as it was before that; where
 * f16's grid is coarse, upwards, so that the largest value is not cut off. */
static void encode_q8(const float *x, unsigned char *out) {
    float most = largest(x, 32), scale = most / 127;
    uint16_t half = mebi__f32_to_f16(scale < 65504 ? scale : 65504);
    if (mebi__f16_to_f32(half) * 127.5f < most && half < 0x7bff) half++;
    float stored = mebi__f16_to_f32(half);
    memcpy(out, &half, sizeof half);
    encode_i8(x, 32, stored > 0 ? 1 / stored : 0, out + 2);
}

static void encode_bf16(const float *x, int64_t count, unsigned char *out) {
    for (int64_t i = 0; i < count; i++) {
        uint16_t bits = mebi__f32_to_bf16(x[i]);
        /* The last of f32's values round up to infinity: the largest there is stays finite. */
        if ((bits & 0x7fff) == 0x7f80) bits--;
        memcpy(out + 2 * i, &bits, sizeof bits);
    }
}

void mebi__encode_row(mebi__encoding encoding, const float *row, int64_t k, unsigned char *out,
                      float *scale) {
    switch (encoding) {
    case MEBI__AS_F32: memcpy(out, row, (size_t)k * sizeof *row); return;
    case MEBI__AS_BF16: encode_bf16(row, k, out); return;
    case MEBI__AS_I8:
        *scale = largest(row, k) / 127;
        if (*scale < 1e-37f) *scale = 0; /* its inverse would overflow */
        encode_i8(row, k, *scale > 0 ? 1 / *scale : 0, out);
        return;
    case MEBI__AS_Q8_0:
        for (int64_t i = 0; i < k; i += 32) encode_q8(row + i, out + i / 32 * 34);
        return;
    case MEBI__AS_Q4_K:
        for (int64_t i = 0; i < k; i += 256) mebi__encode_q4k(row + i, out + i / 256 * 144);
        return;
    case MEBI__AS_COUNT: return;
    }
}

/* Reference kernels: int8 products. Unlike other references these fix every bit: integers are exact,
 * and the few f32 operations around them are done in one order everywhere. */
#include "cpu/int8.h"
#include "cpu/ref.h"

#include <math.h>
#include <string.h>

void mebi__int8_rotate(float *x, int64_t k, int64_t group) {
    for (float *end = x + k; x < end; x += group)
        for (int64_t by = 1; by < group; by *= 2)
            for (int64_t i = 0; i < group; i += 2 * by)
                for (int64_t j = i; j < i + by; j++) {
                    float a = x[j], b = x[j + by];
                    x[j] = a + b;
                    x[j + by] = a - b;
                }
}

float mebi__int8_magnitude(const float *x, int64_t n) {
    uint32_t top = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7fffffffu;
        if (bits > top) top = bits;
    }
    float m;
    memcpy(&m, &top, sizeof m);
    return m;
}

float mebi__int8_quantize_ref(float *x, int64_t group, unsigned char *to) {
    mebi__int8_rotate(x, group, group);
    float m = mebi__int8_magnitude(x, group);
    if (!isfinite(m) || m < MEBI__INT8_TINY) {
        for (int64_t i = 0; i < group; i++) to[i] = MEBI__INT8_LIMIT;
        return isfinite(m) ? 0 : NAN;
    }
    float inverse = (float)MEBI__INT8_LIMIT / m;
    for (int64_t i = 0; i < group; i++)
        to[i] = (unsigned char)((int)nearbyintf(x[i] * inverse) + MEBI__INT8_LIMIT);
    return m / (float)MEBI__INT8_LIMIT;
}

void mebi__quantize_ref(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    int64_t m = op->x.shape.dim[0], k = op->x.shape.dim[1], group = mebi__int8_group(k);
    const float *x = mebi__cpu_data(op->x);
    float part[MEBI__INT8_GROUP], *scale;
    for (int64_t r = 0; r < m; r++) {
        unsigned char *row = mebi__int8_row(op, r, &scale);
        for (int64_t g = 0; g < k / group; g++, x += group) {
            memcpy(part, x, (size_t)group * sizeof *x);
            scale[g] = mebi__int8_quantize_ref(part, group, row + g * group);
        }
    }
}

static void multiply_ref(int64_t rows, const mebi__int8_block *b) {
    const signed char *q = (const signed char *)b->block;
    const float *scale = (const float *)(b->block + MEBI__INT8_PANEL * b->group);
    const int32_t *correction = (const int32_t *)(scale + MEBI__INT8_PANEL);
    for (int64_t r = 0; r < rows; r++) {
        const unsigned char *x = b->x + (size_t)r * b->x_stride;
        float sx = *(const float *)((const unsigned char *)b->scale_x + (size_t)r * b->x_stride);
        for (int c = 0; c < MEBI__INT8_PANEL; c++) {
            int32_t sum = correction[c];
            for (int64_t k = 0; k < b->group; k++)
                sum += x[k] * q[k / 4 * 64 + c * 4 + k % 4];
            float *y = b->y + r * b->y_stride + c;
            *y = fmaf((float)sum * scale[c], sx, b->first ? 0 : *y);
        }
    }
}

void mebi__linear_int8_ref(const mebi__cpu_call *call) {
    mebi__int8_linear(call, multiply_ref, MEBI__INT8_PANEL);
}

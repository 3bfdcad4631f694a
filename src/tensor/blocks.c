/* Blocks of 32 and 256 elements to f32. Every value is formed by the same roundings as in the
 * format's own tools: no product may be fused with a sum, no factor moved.
 *
 * Bits of neighbouring elements lie 16 or 32 bytes apart, never side by side, so the inner loops
 * run over bytes with one shift each, which compilers put into vector registers. `restrict` tells
 * them that they may: 2 to 3 times as fast with gcc for Q4_0, Q4_1, Q2_K, Q3_K and Q6_K. */
#include "tensor/blocks.h"

enum { SMALL = 32 };

static float half_at(const unsigned char *p) {
    uint16_t bits;
    memcpy(&bits, p, sizeof bits);
    return mebi__f16_to_f32(bits);
}

/* f16 d; 16 bytes: element j in the low half of byte j, element j + 16 in the high half. */
static void q4_0(const unsigned char *restrict p, size_t blocks, float *restrict out) {
    for (; blocks > 0; blocks--, p += 18, out += SMALL) {
        float d = half_at(p);
        for (int j = 0; j < 16; j++) {
            out[j] = d * (float)((p[2 + j] & 15) - 8);
            out[j + 16] = d * (float)((p[2 + j] >> 4) - 8);
        }
    }
}

/* f16 d, m; then as above, without an offset. */
static void q4_1(const unsigned char *restrict p, size_t blocks, float *restrict out) {
    for (; blocks > 0; blocks--, p += 20, out += SMALL) {
        float d = half_at(p), m = half_at(p + 2);
        for (int j = 0; j < 16; j++) {
            out[j] = d * (float)(p[4 + j] & 15) + m;
            out[j + 16] = d * (float)(p[4 + j] >> 4) + m;
        }
    }
}

/* The fifth bits, one a byte: element j's is bit j of four bytes. */
static void fifth_bits(const unsigned char *p, unsigned char high[SMALL]) {
    for (int j = 0; j < SMALL; j++) high[j] = p[j / 8] & 1 << j % 8 ? 16 : 0;
}

/* f16 d; fifth bits; 16 bytes of low halves. */
static void q5_0(const unsigned char *restrict p, size_t blocks, float *restrict out) {
    for (; blocks > 0; blocks--, p += 22, out += SMALL) {
        unsigned char high[SMALL];
        float d = half_at(p);
        fifth_bits(p + 2, high);
        for (int j = 0; j < 16; j++) {
            out[j] = d * (float)(((p[6 + j] & 15) | high[j]) - 16);
            out[j + 16] = d * (float)((p[6 + j] >> 4 | high[j + 16]) - 16);
        }
    }
}

/* f16 d, m; then as above, without an offset. */
static void q5_1(const unsigned char *restrict p, size_t blocks, float *restrict out) {
    for (; blocks > 0; blocks--, p += 24, out += SMALL) {
        unsigned char high[SMALL];
        float d = half_at(p), m = half_at(p + 2);
        fifth_bits(p + 4, high);
        for (int j = 0; j < 16; j++) {
            out[j] = d * (float)((p[8 + j] & 15) | high[j]) + m;
            out[j + 16] = d * (float)(p[8 + j] >> 4 | high[j + 16]) + m;
        }
    }
}

/* f16 d; 32 i8. */
static void q8_0(const unsigned char *restrict p, size_t blocks, float *restrict out) {
    for (; blocks > 0; blocks--, p += 34, out += SMALL) {
        float d = half_at(p);
        const signed char *q = (const signed char *)p + 2;
        for (int j = 0; j < SMALL; j++) out[j] = (float)q[j] * d;
    }
}

/* 16 bytes: scale and minimum of 16 elements each, in halves; 64 bytes of 2 bits; f16 d, dmin. */
static void q2_k(const unsigned char *restrict p, size_t blocks, float *restrict out) {
    for (; blocks > 0; blocks--, p += 84) {
        float d = half_at(p + 80), dmin = half_at(p + 82);
        for (int s = 0; s < 16; s++, out += 16) {
            const unsigned char *q = p + 16 + s / 8 * 32 + s % 2 * 16;
            float scale = d * (float)(p[s] & 15), minimum = dmin * (float)(p[s] >> 4);
            int shift = s % 8 / 2 * 2;
            for (int l = 0; l < 16; l++) out[l] = scale * (float)(q[l] >> shift & 3) - minimum;
        }
    }
}

/* Sixteen 6-bit scales of Q3_K: 8 bytes of low halves (two scales each), 4 of upper bits. */
static int scale_q3_k(const unsigned char *p, int s) {
    int low = s < 8 ? p[s] & 15 : p[s - 8] >> 4;
    return (low | (p[8 + s % 4] >> s / 4 * 2 & 3) << 4) - 32;
}

/* 32 bytes of third bits (clear: 4 less); 64 bytes of 2 bits; 12 bytes of scales; f16 d. */
static void q3_k(const unsigned char *restrict p, size_t blocks, float *restrict out) {
    for (; blocks > 0; blocks--, p += 110) {
        float d = half_at(p + 108);
        for (int s = 0; s < 16; s++, out += 16) {
            const unsigned char *q = p + 32 + s / 8 * 32 + s % 2 * 16, *third = p + s % 2 * 16;
            float scale = d * (float)scale_q3_k(p + 96, s);
            int shift = s % 8 / 2 * 2, bit = s / 2;
            for (int l = 0; l < 16; l++) {
                int low = q[l] >> shift & 3, clear = ~third[l] >> bit & 1;
                out[l] = scale * (float)(low - 4 * clear);
            }
        }
    }
}

/* Eight 6-bit scales and minima of Q4_K and Q5_K in 12 bytes: the first four are the low 6 bits of
 * bytes 0 to 3 and 4 to 7; the last four have their low halves in bytes 8 to 11, and their upper
 * two bits above those of the first four. */
static void scale_of_32(const unsigned char *p, int s, int *scale, int *minimum) {
    if (s < 4) {
        *scale = p[s] & 63;
        *minimum = p[s + 4] & 63;
    } else {
        *scale = (p[s + 4] & 15) | (p[s - 4] >> 6) << 4;
        *minimum = p[s + 4] >> 4 | (p[s] >> 6) << 4;
    }
}

/* f16 d, dmin; scales; 128 bytes: 32 elements in low halves, then 32 in high halves. */
static void q4_k(const unsigned char *restrict p, size_t blocks, float *restrict out) {
    for (; blocks > 0; blocks--, p += 144) {
        float d = half_at(p), dmin = half_at(p + 2);
        for (int s = 0; s < 8; s++, out += 32) {
            const unsigned char *q = p + 16 + s / 2 * 32;
            int scale, minimum, shift = s % 2 * 4;
            scale_of_32(p + 4, s, &scale, &minimum);
            float ds = d * (float)scale, dm = dmin * (float)minimum;
            for (int l = 0; l < 32; l++) out[l] = ds * (float)(q[l] >> shift & 15) - dm;
        }
    }
}

/* f16 d, dmin; scales; 32 bytes of fifth bits, bit s for the elements of scale s; 128 as above. */
static void q5_k(const unsigned char *restrict p, size_t blocks, float *restrict out) {
    for (; blocks > 0; blocks--, p += 176) {
        float d = half_at(p), dmin = half_at(p + 2);
        const unsigned char *fifth = p + 16;
        for (int s = 0; s < 8; s++, out += 32) {
            const unsigned char *q = p + 48 + s / 2 * 32;
            int scale, minimum, shift = s % 2 * 4;
            scale_of_32(p + 4, s, &scale, &minimum);
            float ds = d * (float)scale, dm = dmin * (float)minimum;
            for (int l = 0; l < 32; l++)
                out[l] = ds * (float)((q[l] >> shift & 15) + (fifth[l] >> s & 1) * 16) - dm;
        }
    }
}

/* 128 bytes of low 4 bits, 64 of upper 2; 16 i8 scales; f16 d. Of each 128 elements, the first 64
 * are in low halves. */
static void q6_k(const unsigned char *restrict p, size_t blocks, float *restrict out) {
    for (; blocks > 0; blocks--, p += 210) {
        float d = half_at(p + 208);
        for (int s = 0; s < 16; s++, out += 16) {
            const unsigned char *low = p + s / 8 * 64 + s % 4 * 16;
            const unsigned char *high = p + 128 + s / 8 * 32 + s % 2 * 16;
            float scale = d * (float)(signed char)p[192 + s];
            int low_shift = s % 8 / 4 * 4, shift = s % 8 / 2 * 2;
            for (int l = 0; l < 16; l++)
                out[l] = scale *
                         (float)(((low[l] >> low_shift & 15) | (high[l] >> shift & 3) << 4) - 32);
        }
    }
}

mebi__decode mebi__block_decoder(mebi__dtype type) {
    static const mebi__decode decoders[MEBI__DTYPE_COUNT] = {
        [MEBI__Q4_0] = q4_0, [MEBI__Q4_1] = q4_1, [MEBI__Q5_0] = q5_0, [MEBI__Q5_1] = q5_1,
        [MEBI__Q8_0] = q8_0, [MEBI__Q2_K] = q2_k, [MEBI__Q3_K] = q3_k, [MEBI__Q4_K] = q4_k,
        [MEBI__Q5_K] = q5_k, [MEBI__Q6_K] = q6_k,
    };
    return decoders[type];
}

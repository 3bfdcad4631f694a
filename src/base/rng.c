/* torch.randn on the CPU.
 *
 * 16 values or more: 24-bit uniforms are laid out first, then turned into normals by Box-Muller in
 * blocks of 16, value j paired with j + 8, all in f32; a last incomplete block is drawn afresh as
 * the last 16 values. Fewer: pairs in f64 from 53-bit uniforms. */
#include "base/rng.h"

#include <math.h>

enum { STATE = 624, MIDDLE = 397, BLOCK = 16 };

void mebi__rng_seed(mebi__rng *r, uint64_t seed) {
    r->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < STATE; i++)
        r->state[i] = 1812433253u * (r->state[i - 1] ^ (r->state[i - 1] >> 30)) + i;
    r->next = STATE;
    r->has_spare = 0;
}

static void refill(mebi__rng *r) {
    uint32_t *s = r->state;
    for (int i = 0; i < STATE; i++) {
        uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % STATE] & 0x7fffffffu);
        s[i] = s[(i + MIDDLE) % STATE] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    r->next = 0;
}

uint32_t mebi__rng_next(mebi__rng *r) {
    if (r->next == STATE) refill(r);
    uint32_t y = r->state[r->next++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

static void uniforms(mebi__rng *r, float *out, size_t count) {
    for (size_t i = 0; i < count; i++)
        out[i] = (float)(mebi__rng_next(r) & 0xffffffu) * 0x1p-24f;
}

/* One pair from two uniforms: radius from the first, angle from the second. */
static void pair_scalar(float u1, float u2, float *cosine, float *sine) {
    float radius = sqrtf(-2.0f * logf(1.0f - u1));
    float theta = (float)(6.283185307179586 * (double)u2);
    *cosine = radius * cosf(theta);
    *sine = radius * sinf(theta);
}

/* The vector kernel's logarithm and sines are the polynomials of the Cephes library in f32, with a
 * fused multiply-add wherever its compiler fused one: the order below is part of the result. */
static float log_avx2(float x) {
    static const float p[] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
                              -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
                              2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
    int exponent;
    x = frexpf(x, &exponent); /* 0.5 <= x < 1 */
    float e = (float)exponent;
    if (x < 0.707106781186547524f) {
        e -= 1.0f;
        x = x - 1.0f + x;
    } else x = x - 1.0f;
    float z = x * x, y = p[0];
    for (int i = 1; i < 9; i++) y = fmaf(y, x, p[i]);
    y = fmaf(y * x, z, e * -2.12194440e-4f);
    y = fmaf(-z, 0.5f, y);
    return fmaf(e, 0.693359375f, x + y);
}

/* theta in 0..2 pi, reduced to an eighth of a turn in three steps. */
static void sincos_avx2(float theta, float *sine, float *cosine) {
    int octant = ((int)(theta * 1.27323954473516f) + 1) & ~1;
    float turns = (float)octant;
    float x = fmaf(turns, -0.78515625f, theta);
    x = fmaf(turns, -2.4187564849853515625e-4f, x);
    x = fmaf(turns, -3.77489497744594108e-8f, x);
    float z = x * x;
    float c = fmaf(2.443315711809948e-5f, z, -1.388731625493765e-3f);
    c = fmaf(c, z, 4.166664568298827e-2f) * z;
    c = fmaf(c, z, -(z * 0.5f)) + 1.0f;
    float s = fmaf(-1.9515295891e-4f, z, 8.3321608736e-3f);
    s = fmaf(s, z, -1.6666654611e-1f) * z;
    s = fmaf(s, x, x);
    int swapped = octant & 2;
    *sine = swapped ? c : s;
    *cosine = swapped ? s : c;
    if (octant & 4) *sine = -*sine;
    if (~(octant - 2) & 4) *cosine = -*cosine;
}

static void pair_avx2(float u1, float u2, float *cosine, float *sine) {
    float radius = sqrtf(-2.0f * log_avx2(1.0f - u1)), s, c;
    sincos_avx2(6.283185307179586f * u2, &s, &c);
    *cosine = radius * c;
    *sine = radius * s;
}

static void normals_of_block(mebi__rng_kernel kernel, float *v) {
    for (int j = 0; j < BLOCK / 2; j++)
        (kernel == MEBI__RNG_TORCH_AVX2 ? pair_avx2 : pair_scalar)(v[j], v[j + BLOCK / 2], &v[j],
                                                                   &v[j + BLOCK / 2]);
}

static double uniform53(mebi__rng *r) {
    uint64_t high = mebi__rng_next(r), low = mebi__rng_next(r);
    return (double)((high << 32 | low) & 0x1fffffffffffffu) * 0x1p-53;
}

static double normal_from_pair(mebi__rng *r) {
    if (r->has_spare) {
        r->has_spare = 0;
        return r->spare;
    }
    double u1 = uniform53(r), u2 = uniform53(r);
    double radius = sqrt(-2.0 * log1p(-u2)), theta = 6.283185307179586 * u1;
    r->spare = radius * sin(theta);
    r->has_spare = 1;
    return radius * cos(theta);
}

void mebi__rng_normal(mebi__rng *r, mebi__rng_kernel kernel, float *out, size_t count) {
    if (count < BLOCK) {
        for (size_t i = 0; i < count; i++) out[i] = (float)normal_from_pair(r);
        return;
    }
    uniforms(r, out, count);
    for (size_t i = 0; i + BLOCK <= count; i += BLOCK) normals_of_block(kernel, out + i);
    if (count % BLOCK) {
        uniforms(r, out + count - BLOCK, BLOCK);
        normals_of_block(kernel, out + count - BLOCK);
    }
}

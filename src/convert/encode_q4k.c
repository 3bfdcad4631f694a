/* Q4_K: 256 values as 8 groups of 32, value = d * scale * q - dmin * min, with q in 0..15, scale
 * and min in 0..63, d and dmin f16.
 *
 * Each group first gets its own best scale and minimum (real numbers): for a line of trial scales
 * the values are rounded, and least squares gives scale and minimum for those integers; the best
 * pair is polished by rounding and solving again. Then d and dmin are laid over the 8 pairs, and
 * for each group the nearest few integer pairs are tried; at last d and dmin are solved once more
 * by least squares over all 256. Must never make the error larger by a later stage: each is kept
 * only where it helps. */
#include "convert/encode.h"

#include "tensor/dtype.h"

#include <math.h>
#include <string.h>

enum { GROUP = 32, GROUPS = 8, TOP = 15, LANES = 4, TRIALS = 12, POLISH = 3 };

/* Sums in lanes: the compiler may not reorder a sum, so it is written in the order vector code has.
 */
typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t masks __attribute__((vector_size(4 * LANES)));

/* What least squares needs of one group: x is approximated by s * q + o. */
typedef struct sums {
    double xx, x, xq, q, qq;
} sums;

static lanes load(const float *p) {
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

static double add_lanes(lanes v) {
    return (double)((v[0] + v[1]) + (v[2] + v[3]));
}

/* q = round((x - low) * inverse) within 0..15. Adding and taking away 1.5 * 2^23 rounds to a whole
 * number. */
static void round_group(const float *x, float low, float inverse, float *q) {
    const float magic = 12582912.0f, top = TOP;
    const lanes tops = {top, top, top, top};
    for (int i = 0; i < GROUP; i += LANES) {
        lanes v = (load(x + i) - low) * inverse;
        masks positive = v > 0, inside = v < tops;
        v = (lanes)((masks)v & positive & inside) + (lanes)((masks)tops & ~inside);
        v = v + magic - magic;
        memcpy(q + i, &v, sizeof v);
    }
}

static void sum_values(const float *x, sums *s) {
    lanes xx = {0}, sum = {0};
    for (int i = 0; i < GROUP; i += LANES) {
        lanes v = load(x + i);
        xx += v * v;
        sum += v;
    }
    s->xx = add_lanes(xx);
    s->x = add_lanes(sum);
}

static void sum_integers(const float *x, const float *q, sums *s) {
    lanes xq = {0}, sum = {0}, qq = {0};
    for (int i = 0; i < GROUP; i += LANES) {
        lanes v = load(x + i), k = load(q + i);
        xq += v * k;
        sum += k;
        qq += k * k;
    }
    s->xq = add_lanes(xq);
    s->q = add_lanes(sum);
    s->qq = add_lanes(qq);
}

static double error_of(const sums *s, double scale, double offset) {
    return s->xx - 2 * scale * s->xq - 2 * offset * s->x + scale * scale * s->qq +
           2 * scale * offset * s->q + GROUP * offset * offset;
}

/* The best scale >= 0 and offset <= 0 for the integers summed up; the error. */
static double solve(const sums *s, double *scale, double *offset) {
    double det = GROUP * s->qq - s->q * s->q;
    *offset = 0;
    *scale = s->qq > 0 ? s->xq / s->qq : 0;
    if (det > 0) {
        double o = (s->qq * s->x - s->q * s->xq) / det;
        if (o <= 0) {
            *offset = o;
            *scale = (GROUP * s->xq - s->q * s->x) / det;
        }
    }
    if (*scale < 0) *scale = 0;
    return error_of(s, *scale, *offset);
}

/* Scale and minimum (>= 0) of one group, as real numbers. */
static void fit_group(const float *x, double *scale, double *minimum) {
    float q[GROUP], low = 0, high = x[0];
    sums s;
    for (int i = 0; i < GROUP; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    *scale = 0;
    *minimum = -(double)low;
    if (!(high - low > 1e-30f)) return; /* one value, or nearly zeros */
    sum_values(x, &s);
    double best = HUGE_VAL, offset = (double)low;
    for (int trial = 0; trial < TRIALS; trial++) {
        /* From a little coarser than the range needs to a good deal finer, which clips. */
        double own_scale, own_offset;
        round_group(x, low, ((float)TOP - 1 + 0.3f * (float)trial) / (high - low), q);
        sum_integers(x, q, &s);
        double error = solve(&s, &own_scale, &own_offset);
        if (error < best) best = error, *scale = own_scale, offset = own_offset;
    }
    for (int i = 0; i<POLISH && * scale> 0; i++) {
        double own_scale, own_offset;
        round_group(x, (float)offset, (float)(1 / *scale), q);
        sum_integers(x, q, &s);
        double error = solve(&s, &own_scale, &own_offset);
        if (!(error < best)) break;
        best = error, *scale = own_scale, offset = own_offset;
    }
    *minimum = -offset;
}

typedef struct block {
    float d, dmin; /* as f16 gives them back */
    int scale[GROUPS], min[GROUPS];
    float q[GROUPS * GROUP];
    double error;
} block;

static float stored(double value) {
    return mebi__f16_to_f32(mebi__f32_to_f16((float)(value < 65504 ? value : 65504)));
}

/* A step of which 63 reach the largest; where f16's grid is coarse, upwards. */
static float step_for(double most) {
    uint16_t half = mebi__f32_to_f16((float)(most / 63 < 65504 ? most / 63 : 65504));
    if ((double)mebi__f16_to_f32(half) * 63.5 < most && half < 0x7bff) half++;
    return mebi__f16_to_f32(half);
}

static int within(long v) {
    return v < 0 ? 0 : v > 63 ? 63 : (int)v;
}

/* Rounds a group by what will be stored; the error, or a large number where it is useless. */
static double try_pair(const float *x, const block *b, int scale, int min, float *q) {
    float step = b->d * (float)scale, low = -b->dmin * (float)min;
    lanes sum = {0};
    round_group(x, low, step > 1e-30f ? 1 / step : 0, q);
    for (int i = 0; i < GROUP; i += LANES) {
        lanes off = load(x + i) - (load(q + i) * step + low);
        sum += off * off;
    }
    return add_lanes(sum);
}

/* The best integers near the group's own scale and minimum. */
static double place_group(const float *x, block *b, int g, double scale, double minimum) {
    int s0 = b->d > 0 ? within(lrint(scale / (double)b->d)) : 0;
    int m0 = b->dmin > 0 ? within(lrint(minimum / (double)b->dmin)) : 0;
    double best = HUGE_VAL;
    float q[GROUP];
    for (int s = within(s0 - 1); s <= within(s0 + 1); s++)
        for (int m = within(m0 - 1); m <= within(m0 + 1); m++) {
            double error = try_pair(x, b, s, m, q);
            if (error >= best) continue;
            best = error;
            b->scale[g] = s;
            b->min[g] = m;
            memcpy(b->q + GROUP * g, q, sizeof q);
        }
    return best;
}

static void place(const float *x, block *b, const double *scale, const double *minimum) {
    b->error = 0;
    for (int g = 0; g < GROUPS; g++)
        b->error += place_group(x + GROUP * g, b, g, scale[g], minimum[g]);
}

/* d and dmin by least squares for the integers that are there: x = d * a - dmin * c. */
static void resolve(const float *x, block *b) {
    double aa = 0, ac = 0, cc = 0, xa = 0, xc = 0;
    for (int i = 0; i < GROUP * GROUPS; i++) {
        double a = (double)b->q[i] * b->scale[i / GROUP], c = -b->min[i / GROUP], v = (double)x[i];
        aa += a * a, ac += a * c, cc += c * c, xa += v * a, xc += v * c;
    }
    double det = aa * cc - ac * ac;
    double d = det > 0 ? (xa * cc - xc * ac) / det : aa > 0 ? xa / aa : 0;
    double dmin = det > 0 ? (xc * aa - xa * ac) / det : 0;
    if (d > 0) b->d = stored(d);
    if (dmin > 0) b->dmin = stored(dmin);
}

static void pack(const block *b, unsigned char out[144]) {
    uint16_t d = mebi__f32_to_f16(b->d), dmin = mebi__f32_to_f16(b->dmin);
    memcpy(out, &d, 2);
    memcpy(out + 2, &dmin, 2);
    for (int g = 0; g < 4;
         g++) { /* 6 bits each: the upper four groups' top bits lie above the lower's */
        out[4 + g] = (unsigned char)(b->scale[g] | (b->scale[g + 4] >> 4) << 6);
        out[8 + g] = (unsigned char)(b->min[g] | (b->min[g + 4] >> 4) << 6);
        out[12 + g] = (unsigned char)((b->scale[g + 4] & 15) | (b->min[g + 4] & 15) << 4);
    }
    for (int pair = 0; pair < 4; pair++)
        for (int i = 0; i < GROUP; i++) {
            int low = (int)b->q[64 * pair + i], high = (int)b->q[64 * pair + 32 + i];
            out[16 + 32 * pair + i] = (unsigned char)(low | high << 4);
        }
}

void mebi__encode_q4k(const float x[256], unsigned char out[144]) {
    double scale[GROUPS], minimum[GROUPS], most_scale = 0, most_minimum = 0;
    block b = {0};
    for (int g = 0; g < GROUPS; g++) {
        fit_group(x + GROUP * g, &scale[g], &minimum[g]);
        if (scale[g] > most_scale) most_scale = scale[g];
        if (minimum[g] > most_minimum) most_minimum = minimum[g];
    }
    b.d = step_for(most_scale);
    b.dmin = step_for(most_minimum);
    place(x, &b, scale, minimum);
    block again = b;
    resolve(x, &again);
    place(x, &again, scale, minimum);
    pack(again.error < b.error ? &again : &b, out);
}

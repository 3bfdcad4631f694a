/* AVX2 kernels: normalizations. Statistics are f64, as in the reference; only the values themselves
 * are computed in f32. Rows are independent. */
#include "cpu/avx2.h"
#include "cpu/int8.h"
#include "cpu/ref.h"

#include <math.h>

static inline float inverse_rms(const float *x, int64_t n, float eps) {
    return (float)(1 / sqrt(sum_squares(x, n) / (double)n + eps));
}

/* One row of factors, common to all rows: [width] in scratch. */
static size_t factors_scratch(const mebi__op *op, int threads) {
    (void)threads;
    return op->a1.buffer ? (size_t)op->y.shape.dim[1] * sizeof(float) : 0;
}

/* y = (add ? y : 0) + x / rms(x) * w, with the factors in scratch instead of w if there are any. */
static inline void norm_rows(const mebi__cpu_call *call, int64_t m, int64_t end, int add) {
    const mebi__op *op = call->op;
    int64_t width = op->y.shape.dim[1];
    const float *x = (const float *)mebi__cpu_data(op->x) + m * width;
    const float *w = op->a1.buffer ? (const float *)(void *)call->scratch : mebi__cpu_data(op->w);
    float *y = (float *)mebi__cpu_data(op->y) + m * width;
    for (; m < end; m++, x += width, y += width) {
        __m256 r = _mm256_set1_ps(inverse_rms(x, width, op->eps));
        for (int64_t i = 0; i < width; i += 8) {
            __m256 v = _mm256_mul_ps(load_part(x + i, width - i), r);
            __m256 f = load_part(w + i, width - i);
            v = add ? _mm256_fmadd_ps(v, f, load_part(y + i, width - i)) : _mm256_mul_ps(v, f);
            store_part(y + i, v, width - i);
        }
    }
}

static void rms_norm_span(const mebi__cpu_call *call, int64_t m, int64_t end) {
    norm_rows(call, m, end, 0);
}

/* The same values as norm_rows', a group at a time, quantized while they are near. */
static void rms_norm_quantized(const mebi__cpu_call *call, int64_t m, int64_t end) {
    const mebi__op *op = call->op;
    const int64_t width = op->y.shape.dim[1], group = mebi__int8_group(width);
    const float *x = (const float *)mebi__cpu_data(op->x) + m * width;
    const float *w = op->a1.buffer ? (const float *)(void *)call->scratch : mebi__cpu_data(op->w);
    _Alignas(32) float part[MEBI__INT8_GROUP];
    float *scale;
    for (; m < end; m++, x += width) {
        const __m256 r = _mm256_set1_ps(inverse_rms(x, width, op->eps));
        unsigned char *row = mebi__int8_row(op, m, &scale);
        for (int64_t g = 0; g < width; g += group) {
            for (int64_t i = 0; i < group; i += 8) {
                __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + g + i), r);
                _mm256_store_ps(part + i, _mm256_mul_ps(v, _mm256_loadu_ps(w + g + i)));
            }
            scale[g / group] = mebi__int8_quantize_avx2(part, group, row + g);
        }
    }
}

static void rms_norm_avx2(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    int64_t width = op->x.shape.dim[1];
    if (op->a1.buffer) {
        const float *w = mebi__cpu_data(op->w), *scale = mebi__cpu_data(op->a1);
        float *factor = (float *)(void *)call->scratch;
        for (int64_t i = 0; i < width; i++) factor[i] = (float)(w[i] * (1 + (double)scale[i]));
    }
    run_spans(call, op->x.shape.dim[0], rows_per_share(width),
              op->y.dtype == MEBI__INT8_ROWS ? rms_norm_quantized : rms_norm_span);
}

static void gated_residual_span(const mebi__cpu_call *call, int64_t m, int64_t end) {
    norm_rows(call, m, end, 1);
}

static void gated_residual_avx2(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    int64_t width = op->y.shape.dim[1];
    if (op->a1.buffer) {
        const float *w = mebi__cpu_data(op->w), *gate = mebi__cpu_data(op->a1);
        float *factor = (float *)(void *)call->scratch;
        for (int64_t i = 0; i < width; i++) factor[i] = (float)(tanh(gate[i]) * w[i]);
    }
    run_spans(call, op->y.shape.dim[0], rows_per_share(width), gated_residual_span);
}

static double mean_of(const float *x, int64_t n) {
    __m256d s0 = _mm256_setzero_pd(), s1 = s0;
    for (int64_t i = 0; i < n; i += 8) {
        __m256 v = load_part(x + i, n - i);
        s0 = _mm256_add_pd(s0, low_f64(v));
        s1 = _mm256_add_pd(s1, high_f64(v));
    }
    return sum_f64(_mm256_add_pd(s0, s1)) / (double)n;
}

/* Mean of (x - mean)^2. */
static double variance_of(const float *x, int64_t n, double mean) {
    __m256d m = _mm256_set1_pd(mean), s0 = _mm256_setzero_pd(), s1 = s0;
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        __m256d a = _mm256_sub_pd(low_f64(v), m), b = _mm256_sub_pd(high_f64(v), m);
        s0 = _mm256_fmadd_pd(a, a, s0);
        s1 = _mm256_fmadd_pd(b, b, s1);
    }
    double sum = sum_f64(_mm256_add_pd(s0, s1));
    for (; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    return sum / (double)n;
}

static void layer_norm_span(const mebi__cpu_call *call, int64_t m, int64_t end) {
    const mebi__op *op = call->op;
    int64_t width = op->x.shape.dim[1];
    const float *x = (const float *)mebi__cpu_data(op->x) + m * width;
    const float *scale = mebi__cpu_data(op->a1);
    float *y = (float *)mebi__cpu_data(op->y) + m * width;
    for (; m < end; m++, x += width, y += width) {
        double mean = mean_of(x, width);
        double r = 1 / sqrt(variance_of(x, width, mean) + op->eps);
        /* x - (float)mean is exact for x near it; what the rounded mean lacks is added back. */
        __m256 m32 = _mm256_set1_ps((float)mean), r32 = _mm256_set1_ps((float)r);
        __m256 rest = _mm256_set1_ps((float)(((double)(float)mean - mean) * r));
        for (int64_t i = 0; i < width; i += 8) {
            __m256 v = _mm256_sub_ps(load_part(x + i, width - i), m32);
            v = _mm256_fmadd_ps(v, r32, rest);
            v = _mm256_fmadd_ps(v, load_part(scale + i, width - i), v);
            store_part(y + i, v, width - i);
        }
    }
}

static void layer_norm_avx2(const mebi__cpu_call *call) {
    int64_t width = call->op->x.shape.dim[1];
    run_spans(call, call->op->x.shape.dim[0], rows_per_share(width), layer_norm_span);
}

/* Each of the first n / 2 values twice: a a b b c c d d; n is even. */
static inline __m256 load_twice(const float *p, int64_t n) {
    __m128 v =
        n >= 8 ? _mm_loadu_ps(p) : _mm_maskload_ps(p, _mm256_castsi256_si128(mask_first(n / 2)));
    return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(v),
                                    _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
}

static void rotate_pairs(float *x, const float *w, const float *cosine, const float *sine,
                         int64_t hd, __m256 r) {
    for (int64_t i = 0; i < hd; i += 8) {
        int64_t n = hd - i;
        __m256 v = _mm256_mul_ps(_mm256_mul_ps(load_part(x + i, n), r), load_part(w + i, n));
        __m256 swapped = _mm256_permute_ps(v, 0xb1);
        __m256 crossed = _mm256_mul_ps(swapped, load_twice(sine + i / 2, n));
        store_part(x + i, _mm256_fmaddsub_ps(v, load_twice(cosine + i / 2, n), crossed), n);
    }
}

static void rotate_halves(float *x, const float *w, const float *cosine, const float *sine,
                          int64_t hd, __m256 r) {
    int64_t half = hd / 2;
    for (int64_t i = 0; i < half; i += 8) {
        int64_t n = half - i;
        float *p = x + i, *q = p + half;
        __m256 c = load_part(cosine + i, n), s = load_part(sine + i, n);
        __m256 a = _mm256_mul_ps(_mm256_mul_ps(load_part(p, n), r), load_part(w + i, n));
        __m256 b = _mm256_mul_ps(_mm256_mul_ps(load_part(q, n), r), load_part(w + half + i, n));
        store_part(p, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)), n);
        store_part(q, _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)), n);
    }
}

static void norm_rope_span(const mebi__cpu_call *call, int64_t m, int64_t end) {
    const mebi__op *op = call->op;
    int64_t width = op->y.shape.dim[1], hd = width / op->heads;
    const float *w = mebi__cpu_data(op->w);
    const float *cosine = mebi__cpu_data(op->a1), *sine = mebi__cpu_data(op->a2);
    float *x = (float *)mebi__cpu_data(op->y) + m * width;
    for (; m < end; m++) {
        const float *c = cosine + m * (hd / 2), *s = sine + m * (hd / 2);
        for (int h = 0; h < op->heads; h++, x += hd) {
            __m256 r = _mm256_set1_ps(inverse_rms(x, hd, op->eps));
            if (op->flag == MEBI__ROPE_PAIRS) rotate_pairs(x, w, c, s, hd, r);
            else rotate_halves(x, w, c, s, hd, r);
        }
    }
}

static void norm_rope_avx2(const mebi__cpu_call *call) {
    int64_t width = call->op->y.shape.dim[1];
    run_spans(call, call->op->y.shape.dim[0], rows_per_share(width), norm_rope_span);
}

/* group_sums: each row's sums by themselves, several rows at once, then added in ascending order. */
enum { ROWS = 128, BLOCK = 16 };

typedef struct group_job {
    const mebi__cpu_call *call;
    int64_t first, rows, step; /* of this round; step: rows of one task */
    double *partial;           /* [ROWS][groups][2] sum, sum of squares */
    double *channel;           /* [threads][2][channels] */
} group_job;

static size_t group_sums_scratch(const mebi__op *op, int threads) {
    size_t channels = (size_t)op->x.shape.dim[2], groups = (size_t)op->y.shape.dim[0];
    return (ROWS * groups * 2 + (size_t)threads * 2 * channels) * sizeof(double);
}

/* Adds up to eight channels of `count` pixels to sum[8], square[8]. */
static void add_block(const float *x, int64_t count, int64_t channels, int64_t n, double *sum,
                      double *square) {
    __m256d s0 = _mm256_setzero_pd(), s1 = s0, q0 = s0, q1 = s0;
    double s[8], q[8];
    for (int64_t p = 0; p < count; p++) {
        __m256 v = load_part(x + p * channels, n);
        __m256d a = low_f64(v), b = high_f64(v);
        s0 = _mm256_add_pd(s0, a);
        s1 = _mm256_add_pd(s1, b);
        q0 = _mm256_fmadd_pd(a, a, q0);
        q1 = _mm256_fmadd_pd(b, b, q1);
    }
    _mm256_storeu_pd(s, s0), _mm256_storeu_pd(s + 4, s1);
    _mm256_storeu_pd(q, q0), _mm256_storeu_pd(q + 4, q1);
    for (int64_t c = 0; c < n && c < 8; c++) sum[c] += s[c], square[c] += q[c];
}

/* out[groups][2] of one row. */
static void sum_row(const mebi__op *op, int64_t row, double *sum, double *out) {
    int64_t width = op->x.shape.dim[1], channels = op->x.shape.dim[2], groups = op->y.shape.dim[0];
    const float *x = (const float *)mebi__cpu_data(op->x) + row * width * channels;
    double *square = sum + channels;
    for (int64_t c = 0; c < 2 * channels; c++) sum[c] = 0;
    for (int64_t p = 0; p < width; p += BLOCK)
        for (int64_t c = 0; c < channels; c += 8)
            add_block(x + p * channels + c, width - p < BLOCK ? width - p : BLOCK, channels,
                      channels - c, sum + c, square + c);
    for (int64_t g = 0; g < groups; g++, out += 2) {
        out[0] = out[1] = 0;
        for (int64_t c = 0; c < channels / groups; c++) out[0] += *sum++, out[1] += *square++;
    }
}

static void group_sums_task(void *context, int task, int thread) {
    const group_job *job = context;
    const mebi__op *op = job->call->op;
    int64_t first = task * job->step, end = first + job->step, groups = op->y.shape.dim[0];
    double *sum = job->channel + thread * 2 * op->x.shape.dim[2];
    if (end > job->rows) end = job->rows;
    for (int64_t r = first; r < end; r++)
        sum_row(op, job->first + r, sum, job->partial + r * groups * 2);
}

static void group_sums_avx2(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    int64_t height = op->x.shape.dim[0], groups = op->y.shape.dim[0];
    int64_t row = op->x.shape.dim[1] * op->x.shape.dim[2];
    double *sums = mebi__cpu_data(op->y);
    group_job job = {.call = call, .partial = (double *)(void *)call->scratch};
    job.channel = job.partial + ROWS * groups * 2;
    job.step = rows_per_share(row);
    for (int64_t g = 0; g < groups; g++) {
        if (!op->flag) sums[g * 3] = sums[g * 3 + 1] = sums[g * 3 + 2] = 0;
        sums[g * 3 + 2] += (double)(height * row / groups);
    }
    for (; job.first < height; job.first += ROWS) {
        job.rows = height - job.first < ROWS ? height - job.first : ROWS;
        mebi__pool_run(call->pool, (int)((job.rows + job.step - 1) / job.step), group_sums_task, &job);
        for (int64_t r = 0; r < job.rows; r++)
            for (int64_t g = 0; g < groups; g++) {
                sums[g * 3] += job.partial[(r * groups + g) * 2];
                sums[g * 3 + 1] += job.partial[(r * groups + g) * 2 + 1];
            }
    }
}

/* group_norm: y = (x - mean) * factor + offset, three rows of [channels] in scratch. */
static size_t group_norm_scratch(const mebi__op *op, int threads) {
    (void)threads;
    return 3 * (size_t)op->x.shape.dim[2] * sizeof(float);
}

static void group_factors(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    int64_t channels = op->x.shape.dim[2], groups = op->a1.shape.dim[0], depth = channels / groups;
    const float *w = mebi__cpu_data(op->w), *b = mebi__cpu_data(op->b);
    const double *sums = mebi__cpu_data(op->a1);
    float *row = (float *)(void *)call->scratch;
    for (int64_t g = 0; g < groups; g++) {
        double mean, r = mebi__group_scale(sums + g * 3, op->eps, &mean);
        for (int64_t c = g * depth; c < (g + 1) * depth; c++) {
            /* What the rounded mean lacks goes into the offset. */
            row[c] = (float)mean;
            row[channels + c] = (float)(r * w[c]);
            row[2 * channels + c] = (float)(b[c] + ((double)(float)mean - mean) * r * w[c]);
        }
    }
}

static inline void apply_pixels(const mebi__cpu_call *call, int64_t p, int64_t end, int silu) {
    int64_t channels = call->op->x.shape.dim[2];
    const float *x = (const float *)mebi__cpu_data(call->op->x) + p * channels;
    const float *mean = (const float *)(void *)call->scratch;
    const float *factor = mean + channels, *offset = factor + channels;
    float *y = (float *)mebi__cpu_data(call->op->y) + p * channels;
    for (; p < end; p++, x += channels, y += channels)
        for (int64_t c = 0; c < channels; c += 8) {
            int64_t n = channels - c;
            __m256 v = _mm256_sub_ps(load_part(x + c, n), load_part(mean + c, n));
            v = _mm256_fmadd_ps(v, load_part(factor + c, n), load_part(offset + c, n));
            store_part(y + c, silu ? silu_f32(v) : v, n);
        }
}

static void group_norm_span(const mebi__cpu_call *call, int64_t p, int64_t end) {
    if (call->op->flag) apply_pixels(call, p, end, 1);
    else apply_pixels(call, p, end, 0);
}

static void group_norm_avx2(const mebi__cpu_call *call) {
    const int64_t *x = call->op->x.shape.dim;
    group_factors(call);
    run_spans(call, x[0] * x[1], rows_per_share(x[2]), group_norm_span);
}

void mebi__cpu_init_norm_avx2(mebi__cpu_kernels *table) {
    table->run[MEBI__OP_RMS_NORM] = rms_norm_avx2;
    table->scratch[MEBI__OP_RMS_NORM] = factors_scratch;
    table->run[MEBI__OP_GATED_RESIDUAL] = gated_residual_avx2;
    table->scratch[MEBI__OP_GATED_RESIDUAL] = factors_scratch;
    table->run[MEBI__OP_LAYER_NORM] = layer_norm_avx2;
    table->run[MEBI__OP_NORM_ROPE] = norm_rope_avx2;
    table->run[MEBI__OP_GROUP_SUMS] = group_sums_avx2;
    table->scratch[MEBI__OP_GROUP_SUMS] = group_sums_scratch;
    table->run[MEBI__OP_GROUP_NORM] = group_norm_avx2;
    table->scratch[MEBI__OP_GROUP_NORM] = group_norm_scratch;
}

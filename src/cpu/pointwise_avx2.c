/* AVX2 kernels: gates, sums, guidance, pixels, scans. All are bound by memory; spans are fixed, so
 * results do not depend on the number of threads. */
#include "cpu/avx2.h"
#include "cpu/int8.h"

#include <math.h>

static int64_t count_of(const mebi__op *op) {
    return (int64_t)mebi__view_elements(&op->x);
}

static void swiglu_span(const mebi__cpu_call *call, int64_t i, int64_t end) {
    const float *a = mebi__cpu_data(call->op->x), *b = mebi__cpu_data(call->op->a1);
    float *y = mebi__cpu_data(call->op->y);
    for (; i < end; i += 8) {
        __m256 s = silu_f32(load_part(a + i, end - i));
        store_part(y + i, _mm256_mul_ps(s, load_part(b + i, end - i)), end - i);
    }
}

/* Rows, quantized a group at a time. */
static void swiglu_quantized(const mebi__cpu_call *call, int64_t m, int64_t end) {
    const mebi__op *op = call->op;
    const int64_t width = op->y.shape.dim[1], group = mebi__int8_group(width);
    const float *a = (const float *)mebi__cpu_data(op->x) + m * width;
    const float *b = (const float *)mebi__cpu_data(op->a1) + m * width;
    _Alignas(32) float part[MEBI__INT8_GROUP];
    float *scale;
    for (; m < end; m++) {
        unsigned char *row = mebi__int8_row(op, m, &scale);
        for (int64_t g = 0; g < width / group; g++, a += group, b += group) {
            for (int64_t i = 0; i < group; i += 8)
                _mm256_store_ps(part + i, _mm256_mul_ps(silu_f32(_mm256_loadu_ps(a + i)),
                                                        _mm256_loadu_ps(b + i)));
            scale[g] = mebi__int8_quantize_avx2(part, group, row + g * group);
        }
    }
}

static void swiglu_avx2(const mebi__cpu_call *call) {
    const int64_t *dim = call->op->y.shape.dim;
    if (call->op->y.dtype == MEBI__INT8_ROWS)
        run_spans(call, dim[0], rows_per_share(dim[1]), swiglu_quantized);
    else run_spans(call, count_of(call->op), MEBI__SHARE, swiglu_span);
}

static void silu_span(const mebi__cpu_call *call, int64_t i, int64_t end) {
    const float *x = mebi__cpu_data(call->op->x);
    float *y = mebi__cpu_data(call->op->y);
    for (; i < end; i += 8) store_part(y + i, silu_f32(load_part(x + i, end - i)), end - i);
}

static void silu_avx2(const mebi__cpu_call *call) {
    run_spans(call, count_of(call->op), MEBI__SHARE, silu_span);
}

static void combine_span(const mebi__cpu_call *call, int64_t i, int64_t end) {
    const float *x = mebi__cpu_data(call->op->x);
    float *y = mebi__cpu_data(call->op->y);
    __m256 alpha = _mm256_set1_ps(call->op->alpha), beta = _mm256_set1_ps(call->op->beta);
    /* With beta 0 y may hold anything, NaN too. */
    int reads_y = call->op->beta != 0;
    for (; i < end; i += 8) {
        __m256 v = load_part(x + i, end - i);
        if (reads_y) v = _mm256_fmadd_ps(alpha, v, _mm256_mul_ps(beta, load_part(y + i, end - i)));
        else v = _mm256_mul_ps(alpha, v);
        store_part(y + i, v, end - i);
    }
}

static void combine_avx2(const mebi__cpu_call *call) {
    run_spans(call, count_of(call->op), MEBI__SHARE, combine_span);
}

static void affine_span(const mebi__cpu_call *call, int64_t i, int64_t end) {
    const float *x = mebi__cpu_data(call->op->x);
    float *y = mebi__cpu_data(call->op->y);
    __m256 alpha = _mm256_set1_ps(call->op->alpha), beta = _mm256_set1_ps(call->op->beta);
    for (; i < end; i += 8)
        store_part(y + i, _mm256_fmadd_ps(alpha, load_part(x + i, end - i), beta), end - i);
}

static void affine_avx2(const mebi__cpu_call *call) {
    run_spans(call, count_of(call->op), MEBI__SHARE, affine_span);
}

/* Per span: the sums of squares before and after. */
static size_t guide_scratch(const mebi__op *op, int threads) {
    (void)threads;
    return ((size_t)count_of(op) / MEBI__SHARE + 1) * 2 * sizeof(double);
}

static void guide_span(const mebi__cpu_call *call, int64_t first, int64_t end) {
    const float *neg = mebi__cpu_data(call->op->x);
    float *pos = mebi__cpu_data(call->op->y);
    double *norm = (double *)(void *)call->scratch + first / MEBI__SHARE * 2;
    __m256 scale = _mm256_set1_ps(call->op->alpha);
    if (call->op->beta > 0) norm[0] = sum_squares(pos + first, end - first);
    for (int64_t i = first; i < end; i += 8) {
        __m256 p = load_part(pos + i, end - i);
        __m256 d = _mm256_sub_ps(p, load_part(neg + i, end - i));
        store_part(pos + i, _mm256_fmadd_ps(scale, d, p), end - i);
    }
    if (call->op->beta > 0) norm[1] = sum_squares(pos + first, end - first);
}

static void guide_avx2(const mebi__cpu_call *call) {
    int64_t n = count_of(call->op), spans = (n + MEBI__SHARE - 1) / MEBI__SHARE;
    const double *norm = (const double *)(const void *)call->scratch;
    run_spans(call, n, MEBI__SHARE, guide_span);
    if (!(call->op->beta > 0)) return;
    double before = 0, after = 0;
    for (int64_t i = 0; i < spans; i++) before += norm[2 * i], after += norm[2 * i + 1];
    double limit = call->op->beta * sqrt(before);
    if (!(sqrt(after) > limit)) return;
    mebi__op shrink = {.x = call->op->y, .y = call->op->y, .alpha = (float)(limit / sqrt(after))};
    mebi__cpu_call second = {.op = &shrink, .pool = call->pool};
    affine_avx2(&second);
}

/* Eight pixels as 32-bit numbers. NaN becomes 0: max gives its second operand then. */
static inline __m256i pixels_of(__m256 x) {
    __m256 half = _mm256_set1_ps(0.5f);
    __m256 v = _mm256_add_ps(_mm256_mul_ps(x, half), half);
    v = _mm256_min_ps(_mm256_max_ps(v, _mm256_setzero_ps()), _mm256_set1_ps(1.0f));
    return _mm256_cvtps_epi32(_mm256_mul_ps(v, _mm256_set1_ps(255.0f)));
}

static void to_pixels_span(const mebi__cpu_call *call, int64_t i, int64_t end) {
    const float *x = mebi__cpu_data(call->op->x);
    uint8_t *y = mebi__cpu_data(call->op->y);
    __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (; i + 32 <= end; i += 32) {
        __m256i a = pixels_of(_mm256_loadu_ps(x + i)), b = pixels_of(_mm256_loadu_ps(x + i + 8));
        __m256i c = pixels_of(_mm256_loadu_ps(x + i + 16));
        __m256i d = pixels_of(_mm256_loadu_ps(x + i + 24));
        __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        _mm256_storeu_si256((__m256i *)(void *)(y + i), _mm256_permutevar8x32_epi32(bytes, order));
    }
    for (; i < end; i += 8) {
        int32_t wide[8];
        _mm256_storeu_si256((__m256i *)(void *)wide, pixels_of(load_part(x + i, end - i)));
        for (int64_t j = 0; j < 8 && i + j < end; j++) y[i + j] = (uint8_t)wide[j];
    }
}

static void to_pixels_avx2(const mebi__cpu_call *call) {
    run_spans(call, count_of(call->op), MEBI__SHARE, to_pixels_span);
}

/* NaN and infinity have all exponent bits set. */
static void check_finite_span(const mebi__cpu_call *call, int64_t i, int64_t end) {
    const float *x = mebi__cpu_data(call->op->x);
    int32_t *flag = mebi__cpu_data(call->op->y);
    __m256i exponent = _mm256_set1_epi32(0x7f800000), found = _mm256_setzero_si256();
    for (; i < end; i += 8) {
        __m256i bits = _mm256_and_si256(_mm256_castps_si256(load_part(x + i, end - i)), exponent);
        found = _mm256_or_si256(found, _mm256_cmpeq_epi32(bits, exponent));
    }
    if (_mm256_movemask_epi8(found)) __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
}

static void check_finite_avx2(const mebi__cpu_call *call) {
    run_spans(call, count_of(call->op), MEBI__SHARE, check_finite_span);
}

void mebi__cpu_init_pointwise_avx2(mebi__cpu_kernels *table) {
    table->run[MEBI__OP_SWIGLU] = swiglu_avx2;
    table->run[MEBI__OP_SILU] = silu_avx2;
    table->run[MEBI__OP_COMBINE] = combine_avx2;
    table->run[MEBI__OP_AFFINE] = affine_avx2;
    table->run[MEBI__OP_GUIDE] = guide_avx2;
    table->scratch[MEBI__OP_GUIDE] = guide_scratch;
    table->run[MEBI__OP_TO_PIXELS] = to_pixels_avx2;
    table->run[MEBI__OP_CHECK_FINITE] = check_finite_avx2;
    mebi__cpu_init_norm_avx2(table);
    mebi__cpu_init_move_avx2(table);
}

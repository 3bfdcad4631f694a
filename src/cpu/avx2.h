/* What the AVX2 kernels share: partial vectors, exp, f64 sums, fixed shares of work.
 *
 * Only for files compiled with -mavx2 -mfma. A partial vector computes its elements exactly as a
 * full one does, so where work is cut never shows in a result. */
#ifndef MEBI_CPU_AVX2_H
#define MEBI_CPU_AVX2_H

#include "cpu/kernels.h"

#include <immintrin.h>

/* Elements one task handles: enough to outweigh waking a thread. */
enum { MEBI__SHARE = 1 << 15 };

typedef void (*mebi__span)(const mebi__cpu_call *call, int64_t first, int64_t end);

typedef struct mebi__span_job {
    const mebi__cpu_call *call;
    mebi__span run;
    int64_t total, step;
} mebi__span_job;

static inline void span_task(void *context, int task, int thread) {
    const mebi__span_job *job = (const mebi__span_job *)context;
    int64_t first = task * job->step, end = first + job->step;
    (void)thread;
    job->run(job->call, first, end < job->total ? end : job->total);
}

/* Runs 0..total-1 in spans of `step`, whatever the number of threads. */
static inline void run_spans(const mebi__cpu_call *call, int64_t total, int64_t step,
                             mebi__span run) {
    mebi__span_job job = {call, run, total, step};
    mebi__pool_run(call->pool, (int)((total + step - 1) / step), span_task, &job);
}

static inline int64_t rows_per_share(int64_t width) {
    return width < MEBI__SHARE ? MEBI__SHARE / width : 1;
}

/* All ones in the first n lanes, 1 <= n <= 7. */
static inline __m256i mask_first(int64_t n) {
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(const void *)(ones + 8 - n));
}

/* The first n elements, n >= 1; zeros after them; no other memory is touched. */
static inline __m256 load_part(const float *p, int64_t n) {
    return n >= 8 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, mask_first(n));
}

static inline void store_part(float *p, __m256 v, int64_t n) {
    if (n >= 8) _mm256_storeu_ps(p, v);
    else _mm256_maskstore_ps(p, mask_first(n), v);
}

static inline __m256d low_f64(__m256 v) {
    return _mm256_cvtps_pd(_mm256_castps256_ps128(v));
}

static inline __m256d high_f64(__m256 v) {
    return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
}

static inline double sum_f64(__m256d v) {
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}

/* Sum of squares in f64. */
static inline double sum_squares(const float *x, int64_t n) {
    __m256d s0 = _mm256_setzero_pd(), s1 = s0, s2 = s0, s3 = s0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + 8);
        s0 = _mm256_fmadd_pd(low_f64(a), low_f64(a), s0);
        s1 = _mm256_fmadd_pd(high_f64(a), high_f64(a), s1);
        s2 = _mm256_fmadd_pd(low_f64(b), low_f64(b), s2);
        s3 = _mm256_fmadd_pd(high_f64(b), high_f64(b), s3);
    }
    for (; i < n; i += 8) {
        __m256 a = load_part(x + i, n - i);
        s0 = _mm256_fmadd_pd(low_f64(a), low_f64(a), s0);
        s1 = _mm256_fmadd_pd(high_f64(a), high_f64(a), s1);
    }
    return sum_f64(_mm256_add_pd(_mm256_add_pd(s0, s1), _mm256_add_pd(s2, s3)));
}

static inline __m256 power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/* exp over all of f32: infinity above 88.73, subnormals and 0 below -87.3, NaN for NaN. Relative
 * error below 2e-7 for normal results. x = n ln 2 + r with |r| <= ln 2 / 2 (ln 2 in two parts),
 * Taylor's polynomial of degree 7 in r (remainder 6e-9 at most), and 2^n as two factors so that
 * both stay in range. */
static inline __m256 exp_f32(__m256 x) {
    /* min and max give their second operand when one is NaN. */
    x = _mm256_min_ps(_mm256_set1_ps(100.0f), x);
    x = _mm256_max_ps(_mm256_set1_ps(-110.0f), x);
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.0f / 5040);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 720));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(_mm256_mul_ps(p, r), r, _mm256_add_ps(r, _mm256_set1_ps(1.0f)));
    __m256i k = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(k, 1);
    p = _mm256_mul_ps(p, power_of_two(half));
    return _mm256_mul_ps(p, power_of_two(_mm256_sub_epi32(k, half)));
}

static inline __m256 silu_f32(__m256 x) {
    __m256 e = exp_f32(_mm256_sub_ps(_mm256_setzero_ps(), x));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

/* Parts of mebi__cpu_init_pointwise_avx2. */
void mebi__cpu_init_norm_avx2(mebi__cpu_kernels *table);
void mebi__cpu_init_move_avx2(mebi__cpu_kernels *table);

#endif

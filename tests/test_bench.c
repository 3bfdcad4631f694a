/* Measuring: random weights, the timing device, stages at tiny dimensions, and what is refused.
 *
 * How fast anything is can't be tested here; that the account is right can. */
#include "testing.h"

#include "base/os.h"
#include "bench/bench.h"
#include "bench/kernel_list.h"
#include "model/dit.h"
#include "weights/published.h"

#include <jansson.h>
#include <math.h>
#include <sys/wait.h>

static const mebi__dit_config tiny_dit = {
    .dim = 64,        .layers = 3,          .refiner_layers = 2, .heads = 2,
    .head_dim = 32,   .ffn_hidden = 160,    .caption_dim = 96,   .channels = 4,
    .patch = 2,       .adaln_dim = 48,      .time_hidden = 80,   .time_frequencies = 32,
    .norm_eps = 1e-5f, .time_scale = 1000,  .rope_theta = 256,   .axes_dim = {8, 12, 12},
    .axes_len = {256, 64, 64},
};
static const mebi__qwen3_config tiny_encoder = {
    .hidden = 96, .layers = 3, .heads = 4, .kv_heads = 2, .head_dim = 32, .intermediate = 128,
    .vocab = 300, .norm_eps = 1e-6f, .rope_theta = 1e6,
};
static const mebi__vae_config tiny_vae = {
    .latent_channels = 4, .levels = 2, .block_channels = {32, 64}, .layers_per_block = 1, .groups = 8,
    .scaling = 0.5f, .shift = 0.1f,
};
static const mebi__bench_configs tiny = {&tiny_dit, &tiny_encoder, &tiny_vae};

static mebi__pool *pool;
static mebi__device *cpu;
static mebi__cpu_level level;
static mebi_error err;

static int set_up(void **state) {
    (void)state;
    return mebi__cpu_choose(&level, &err) || mebi__pool_create(2, &pool, &err) ||
           mebi__cpu_create(level, pool, &cpu, &err);
}

static int tear_down(void **state) {
    (void)state;
    mebi__device_destroy(&cpu);
    mebi__pool_destroy(&pool);
    return 0;
}

static int forget_error(void **state) {
    (void)state;
    err = (mebi_error){0};
    return 0;
}

/* ---- random weights ---- */

/* Loading asks for each tensor of the set, and finds each it asks for. */
static void random_parts_are_what_loading_asks_for(void **state) {
    (void)state;
    mebi__random_how how = {.seed = 3};
    mebi__random_part part;
    mebi__pipeline m = {0};
    char names[400];
    assert_mebi_ok(mebi__random_dit(&tiny_dit, &how, pool, &part, &err), &err);
    mebi__loading loading = {.device = cpu, .tensors = part.tensors, .cache = ""};
    assert_mebi_ok(mebi__dit_load(&m.dit, &loading, &tiny_dit, &err), &err);
    if (mebi__tensors_unexpected(part.tensors, names, sizeof names)) fail_msg("%s", names);
    mebi__dit_release(&m.dit);
    mebi__random_close(&part);

    assert_mebi_ok(mebi__random_encoder(&tiny_encoder, &how, pool, &part, &err), &err);
    loading.tensors = part.tensors;
    assert_mebi_ok(mebi__qwen3_load(&m.encoder, &loading, &tiny_encoder, &err), &err);
    if (mebi__tensors_unexpected(part.tensors, names, sizeof names)) fail_msg("%s", names);
    mebi__qwen3_release(&m.encoder);
    mebi__random_close(&part);

    assert_mebi_ok(mebi__random_vae(&tiny_vae, &how, pool, &part, &err), &err);
    assert_mebi_ok(mebi__vae_load(&m.vae, cpu, part.tensors, &tiny_vae, 0, &err), &err);
    if (mebi__tensors_unexpected(part.tensors, names, sizeof names)) fail_msg("%s", names);
    mebi__vae_release(&m.vae);
    mebi__random_close(&part);
    mebi__random_close(&part); /* a part of zeros */
}

static float *rows_of(const mebi__tensor *t, int64_t first, int64_t count) {
    float *rows = malloc(sizeof(float) * (size_t)(count * mebi__tensor_row_elements(t)));
    assert_non_null(rows);
    assert_int_equal(mebi__tensor_rows(t, first, count, rows), 1);
    return rows;
}

/* Made at once or row by row, a tensor is the same; and the same again from any row on. */
static void rows_are_the_same_however_they_are_made(void **state) {
    (void)state;
    mebi__random_how how = {.seed = 3, .outliers = 1}, by_rows = {.seed = 3, .outliers = 1, .rows_only = 1};
    mebi__random_part a, b;
    int packed = 0;
    assert_mebi_ok(mebi__random_dit(&tiny_dit, &how, pool, &a, &err), &err);
    assert_mebi_ok(mebi__random_dit(&tiny_dit, &by_rows, pool, &b, &err), &err);
    assert_int_equal(mebi__tensors_count(a.tensors), mebi__tensors_count(b.tensors));
    for (int i = 0; i < mebi__tensors_count(a.tensors); i++) {
        const mebi__tensor *x = mebi__tensors_at(a.tensors, i), *y = mebi__tensors_at(b.tensors, i);
        int64_t n = mebi__tensor_row_count(x), k = mebi__tensor_row_elements(x);
        float *all = rows_of(x, 0, n), *other = rows_of(y, 0, n), *last = rows_of(y, n - 1, 1);
        assert_string_equal(x->name, y->name);
        assert_memory_equal(all, other, sizeof *all * (size_t)(n * k));
        assert_memory_equal(all + (n - 1) * k, last, sizeof *all * (size_t)k);
        assert_int_equal(mebi__tensor_rows(y, n, 1, last), 0);
        packed += y->recipe != NULL;
        free(last), free(other), free(all);
    }
    /* 7 matrices of each block that has modulation. */
    assert_int_equal(packed, 7 * (tiny_dit.layers + tiny_dit.refiner_layers));
    assert_true(b.memory_bytes < a.memory_bytes);
    mebi__random_close(&a);
    mebi__random_close(&b);
}

static double deviation(const float *v, int64_t n, double *mean) {
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += v[i], squares += (double)v[i] * v[i];
    *mean = sum / (double)n;
    return sqrt(squares / (double)n - *mean * *mean);
}

static void values_are_spread_as_trained_ones(void **state) {
    (void)state;
    mebi__random_how how = {.seed = 3}, again = {.seed = 4};
    mebi__random_part a, b;
    double mean;
    assert_mebi_ok(mebi__random_dit(&tiny_dit, &how, pool, &a, &err), &err);
    assert_mebi_ok(mebi__random_dit(&tiny_dit, &again, pool, &b, &err), &err);
    const char *name = "layers.1.feed_forward.w2.weight";
    const mebi__tensor *t = mebi__tensors_find(a.tensors, name);
    float *w = rows_of(t, 0, 64), *other = rows_of(mebi__tensors_find(b.tensors, name), 0, 64);
    float *neighbour = rows_of(mebi__tensors_find(a.tensors, "layers.2.feed_forward.w2.weight"), 0, 64);
    double d = deviation(w, 64 * 160, &mean), expected = 1 / sqrt(160.0), product = 0;
    assert_true(fabs(d / expected - 1) < 0.03);
    assert_true(fabs(mean) < 0.04 * expected);
    for (int i = 0; i < 64 * 160; i++) product += (double)w[i] * neighbour[i];
    assert_true(fabs(product / (64 * 160) / (d * d)) < 0.05); /* no two tensors alike */
    product = 0;
    for (int i = 0; i < 64 * 160; i++) product += (double)w[i] * other[i];
    assert_true(fabs(product / (64 * 160) / (d * d)) < 0.05); /* no two seeds alike */
    free(neighbour), free(other), free(w);
    mebi__random_close(&a);
    mebi__random_close(&b);
}

static int count_above(const float *v, int n, float limit) {
    int count = 0;
    for (int i = 0; i < n; i++) count += fabsf(v[i]) > limit;
    return count;
}

static void outliers_are_where_they_are_asked_for(void **state) {
    (void)state;
    for (int outliers = 0; outliers < 2; outliers++) {
        mebi__random_how how = {.seed = 5, .outliers = outliers};
        mebi__random_part a;
        assert_mebi_ok(mebi__random_dit(&tiny_dit, &how, pool, &a, &err), &err);
        float *norm = rows_of(mebi__tensors_find(a.tensors, "layers.1.ffn_norm1.weight"), 0, 1);
        int high = count_above(norm, 64, 10), rows[2] = {0}, same = 0;
        float *w[2];
        for (int i = 0; i < 2; i++) {
            const char *name = i ? "layers.1.feed_forward.w3.weight" : "layers.1.feed_forward.w1.weight";
            w[i] = rows_of(mebi__tensors_find(a.tensors, name), 0, 160);
        }
        for (int r = 0; r < 160; r++) {
            int large[2];
            for (int i = 0; i < 2; i++) {
                large[i] = count_above(w[i] + r * 64, 64, 1) > 32;
                rows[i] += large[i];
            }
            same += large[0] && large[1];
        }
        if (outliers) {
            assert_in_range(high, 3, 6); /* two may fall on one place */
            assert_in_range(rows[0], 2, 4);
            assert_int_equal(same, rows[0]);
            assert_int_equal(same, rows[1]);
        } else assert_int_equal(high + rows[0] + rows[1], 0);
        free(w[0]), free(w[1]), free(norm);
        mebi__random_close(&a);
    }
}

/* ---- the timing device ---- */

static mebi__view f32_tensor(int64_t rows, int64_t columns) {
    mebi__view v = {.dtype = MEBI__F32, .shape = {2, {rows, columns}}};
    assert_mebi_ok(cpu->table->buffer_create(cpu, MEBI__TAG_GENERAL, mebi__view_bytes(&v), &v.buffer, &err),
                   &err);
    return v;
}

static void timed_work_is_counted_and_done(void **state) {
    (void)state;
    enum { M = 32, K = 256, N = 96 };
    mebi__device *timed;
    mebi__view x = f32_tensor(M, K), w = f32_tensor(N, K), y = f32_tensor(M, N), none = {0};
    float *ones = malloc(sizeof *ones * N * K), result[M * N];
    assert_non_null(ones);
    for (int i = 0; i < N * K; i++) ones[i] = 1;
    assert_mebi_ok(mebi__timed_create(cpu, 1, &timed, &err), &err);
    mebi__stream s = {.device = timed, .err = &err};
    assert_mebi_ok(timed->table->scratch_reserve(timed, 1 << 24, &err), &err);
    mebi__upload(&s, w, ones);
    mebi__upload(&s, x, ones);
    double since = mebi__now_seconds();
    for (int i = 0; i < 3; i++) mebi__linear(&s, x, w, none, y);
    mebi__silu(&s, x, x);
    mebi__download(&s, y, result);
    assert_mebi_ok(mebi__stream_wait(&s), &err);
    since = mebi__now_seconds() - since;
    assert_true(result[0] == K && result[M * N - 1] == K);
    const mebi__timed_report *r = mebi__timed_report_of(timed);
    const mebi__timed_sum *linear = &r->of[MEBI__OP_LINEAR][MEBI__ARITHMETIC_F32];
    assert_int_equal(linear->calls, 3);
    assert_true(linear->operations == 3 * 2.0 * M * K * N);
    assert_true(linear->bytes == 3 * 4.0 * (M * K + K * N + M * N));
    assert_true(linear->weights == 3 * 4.0 * K * N);
    mebi__timed_sum all = mebi__timed_total(r);
    assert_int_equal(all.calls, 4);
    assert_true(all.seconds > 0 && all.seconds <= since);
    /* bf16 weights count as bf16 where the device multiplies them as such. */
    w.dtype = MEBI__BF16;
    mebi__linear(&s, x, w, none, y);
    assert_mebi_ok(mebi__stream_wait(&s), &err);
    assert_int_equal(r->of[MEBI__OP_LINEAR][MEBI__ARITHMETIC_BF16].calls, 1);
    mebi__timed_reset(timed);
    assert_int_equal(mebi__timed_total(r).calls, 0);
    mebi__device_destroy(&timed);
    cpu->table->buffer_destroy(cpu, x.buffer);
    cpu->table->buffer_destroy(cpu, w.buffer);
    cpu->table->buffer_destroy(cpu, y.buffer);
    free(ones);
}

static void peaks_only_grow(void **state) {
    (void)state;
    mebi__peaks p = {.f32 = 1e30};
    mebi__peak_sample(level, pool, &p);
    assert_true(p.int8 > 1e8 && p.int8 < 1e15);
    assert_true(p.f32 == 1e30 && p.bf16 > 0);
    assert_mebi_ok(mebi__peak_sample_read(level, pool, &p, &err), &err);
    assert_true(p.read > 1e8 && p.read < 1e13);
    /* A glimpse is this moment's, whatever was known. */
    p.f32 = p.int8;
    mebi__peaks now = mebi__peak_glimpse(level, pool, &p);
    assert_true(now.int8 > 1e8 && now.int8 < 1e15 && now.f32 > 1e8 && now.f32 < 1e15 && now.bf16 > 0);
    assert_true(now.read == p.read);
}

typedef struct waiting {
    int calls;
    double seconds;
} waiting;

static void count_operation(void *context, double seconds) {
    waiting *w = context;
    w->calls++;
    w->seconds += seconds;
}

/* What follows an operation is told its seconds, and its own time is nobody's. */
static void after_each_operation(void **state) {
    (void)state;
    mebi__device *timed;
    mebi__view x = f32_tensor(8, 8);
    waiting w = {0};
    assert_mebi_ok(mebi__timed_create(cpu, 0, &timed, &err), &err);
    const mebi__timed_report *r = mebi__timed_report_of(timed);
    mebi__stream s = {.device = timed, .err = &err};
    mebi__timed_set_after(timed, count_operation, &w);
    mebi__silu(&s, x, x);
    mebi__silu(&s, x, x);
    assert_int_equal(w.calls, 2);
    assert_true(w.seconds == mebi__timed_total(r).seconds);
    mebi__timed_set_after(timed, NULL, NULL);
    mebi__silu(&s, x, x);
    assert_int_equal(w.calls, 2);
    mebi__device_destroy(&timed);
    cpu->table->buffer_destroy(cpu, x.buffer);
}

/* ---- stages ---- */

/* Of all lines of an operation: its weights' types may differ, and the arithmetic with them. */
static double operations_of(const mebi_bench_result *r, const char *operation) {
    double sum = 0;
    for (int i = 0; i < r->lines; i++)
        if (strcmp(r->line[i].operation, operation) == 0) sum += r->line[i].operations;
    return sum;
}

static int within_peaks(const mebi_bench_result *r) {
    return r->roofline_share < 1.05 && r->share_of_best < 1.05;
}

/* Another program that slows the machine while its peaks are measured, and no longer afterwards, lets work look faster than
 * they are: then all is measured again. */
static void bench(const mebi_bench_params *p, mebi_bench_report *report) {
    int within = 0;
    for (int attempt = 0; attempt < 5 && !within; attempt++) {
        assert_mebi_ok(mebi__bench_full_size(p, &tiny, report, &err), &err);
        within = within_peaks(&report->encode);
        for (int k = 0; k < p->sizes; k++) within = within && within_peaks(&report->step[k]) && within_peaks(&report->decode[k]);
    }
}

static void check_sane(const mebi_bench_result *r) {
    double share = 0, operations = 0;
    assert_true(r->seconds > 0 && r->fastest <= r->seconds && r->seconds <= r->slowest);
    assert_true(r->roofline_share > 0 && r->share_of_best > 0 && within_peaks(r));
    assert_true(r->peaks.int8 > 1e8 && r->peaks.bf16 > 1e8 && r->peaks.f32 > 1e8 && r->peaks.read > 1e8);
    assert_true(r->bound_seconds >= r->roofline_share * r->seconds * 0.999);
    assert_true(r->lines > 3);
    for (int i = 0; i < r->lines; i++) {
        share += r->line[i].share * r->line[i].seconds;
        operations += r->line[i].operations;
        if (i) assert_true(r->line[i].seconds <= r->line[i - 1].seconds);
    }
    assert_true(fabs(share / (r->roofline_share * r->seconds) - 1) < 1e-6);
    assert_true(fabs(operations / r->operations - 1) < 1e-9);
    assert_true(r->arena_bytes > 0 && r->planned_bytes > r->arena_bytes && r->peak_bytes > 0);
    /* Sanitizers' own memory is resident too. */
    if (!SANITIZED && r->peak_bytes > r->planned_bytes)
        fail_msg("%zu bytes measured, %zu planned", r->peak_bytes, r->planned_bytes);
}

/* Arithmetic of a step's matrices, from the architecture: image tokens I, all tokens S. */
static double step_products(double image, double tokens) {
    const mebi__dit_config *c = &tiny_dit;
    double d = c->dim, f = c->ffn_hidden, block = 2 * (4 * d * d + 3 * d * f);
    return block * (c->refiner_layers * image + c->layers * tokens);
}

/* Its vectors': embedding of time, modulation of each block and of the end, first and last linear. */
static double step_ends(double image) {
    const mebi__dit_config *c = &tiny_dit;
    double d = c->dim, patch = c->channels * 4, blocks = c->refiner_layers + c->layers;
    return 2 * (c->time_frequencies * c->time_hidden + c->time_hidden * c->adaln_dim +
                (4 * blocks + 1) * d * c->adaln_dim + 2 * image * patch * d);
}

static void stages_are_timed_and_counted(void **state) {
    (void)state;
    const mebi_precision precisions[] = {MEBI_PRECISION_F32, MEBI_PRECISION_INT8};
    static mebi_bench_report report;
    for (int i = 0; i < 2; i++) {
        mebi_bench_params p = mebi_bench_params_default();
        p.engine.precision = precisions[i];
        p.engine.threads = 2;
        p.tokens = 40;
        p.runs = 2;
        p.sizes = 2;
        p.size[0].width = 64, p.size[0].height = 32; /* 16 x 8 tokens */
        p.size[1].width = p.size[1].height = 64;
        bench(&p, &report);
        assert_int_equal(report.precision, precisions[i]);
        assert_int_equal(report.random, 1);
        check_sane(&report.encode);
        for (int k = 0; k < 2; k++) {
            double image = k ? 256 : 128, tokens = image + 64;
            check_sane(&report.step[k]);
            check_sane(&report.decode[k]);
            double packed = operations_of(&report.step[k], "LINEAR_INT8");
            double plain = operations_of(&report.step[k], "LINEAR");
            double wanted = step_products(image, tokens), ends = step_ends(image);
            assert_true((packed > 0) == i && plain > 0);
            assert_true(fabs((packed + plain) / (wanted + ends) - 1) < 1e-9);
            if (i) assert_true(fabs(packed / wanted - 1) < 1e-9);
        }
        assert_true(report.decode[1].operations > 1.9 * report.decode[0].operations);
        assert_true((report.step[0].int8_part > 0.5) == i && (report.encode.int8_part > 0.5) == i);
    }
}

static void one_stage_alone(void **state) {
    (void)state;
    static mebi_bench_report report;
    mebi_bench_params p = mebi_bench_params_default();
    p.stages = 1u << MEBI_BENCH_DECODE;
    p.runs = 1;
    p.size[0].width = p.size[0].height = 16;
    assert_mebi_ok(mebi__bench_full_size(&p, &tiny, &report, &err), &err);
    assert_true(report.decode[0].seconds > 0);
    assert_true(report.step[0].seconds == 0 && report.encode.seconds == 0);
}

static void ways_of_decoding_differ_in_memory(void **state) {
    (void)state;
    if (SANITIZED) skip(); /* what is measured would be the sanitizer */
    static mebi_bench_report report;
    size_t arena[MEBI_DECODE_COUNT];
    mebi_bench_params p = mebi_bench_params_default();
    p.stages = 1u << MEBI_BENCH_DECODE;
    p.runs = 1;
    p.size[0].width = p.size[0].height = 256;
    for (int way = 0; way < MEBI_DECODE_COUNT; way++) {
        p.decode = (mebi_decode_way)way;
        bench(&p, &report);
        check_sane(&report.decode[0]);
        arena[way] = report.decode[0].arena_bytes;
    }
    assert_int_equal(arena[MEBI_DECODE_AUTO], arena[MEBI_DECODE_WHOLE]);
    assert_true(arena[MEBI_DECODE_STRIPS] < arena[MEBI_DECODE_WHOLE]);
    assert_true(arena[MEBI_DECODE_TILED] < arena[MEBI_DECODE_STRIPS]);
}

static void refused(mebi_bench_params p, mebi_status status, const char *text) {
    static mebi_bench_report report;
    err = (mebi_error){0};
    assert_int_equal(mebi__bench_full_size(&p, &tiny, &report, &err), status);
    if (!strstr(err.text, text)) fail_msg("'%s' is not in: %s", text, err.text);
    assert_int_equal(report.threads, 0);
}

static void nonsense_is_refused(void **state) {
    (void)state;
    mebi_bench_params usual = mebi_bench_params_default(), p = usual;
    p.tokens = 513;
    refused(p, MEBI_BAD_ARGUMENT, "513 tokens");
    p = usual, p.runs = 0;
    refused(p, MEBI_BAD_ARGUMENT, "0 runs");
    p = usual, p.stages = 0;
    refused(p, MEBI_BAD_ARGUMENT, "No stage");
    p = usual, p.sizes = MEBI_BENCH_SIZES + 1;
    refused(p, MEBI_BAD_ARGUMENT, "17 sizes");
    p = usual, p.size[0].width = 30;
    refused(p, MEBI_BAD_ARGUMENT, "multiples of 4");
    p = usual, p.size[0].height = 260;
    refused(p, MEBI_BAD_ARGUMENT, "up to 256");
    p = usual, p.engine.precision = (mebi_precision)77;
    refused(p, MEBI_BAD_ARGUMENT, "77");
    p = usual, p.engine.threads = 257, p.size[0].width = p.size[0].height = 64;
    refused(p, MEBI_BAD_ARGUMENT, "257 threads");
    p = usual, p.engine.model = "/nowhere";
    refused(p, MEBI_IO, "/nowhere");
    p.outliers = 1;
    refused(p, MEBI_BAD_ARGUMENT, "random weights");
}

/* Each allocation lost in turn: an error, and nothing kept. */
static void lost_allocations_are_errors(void **state) {
    (void)state;
    static mebi_bench_report report;
    mebi_bench_params p = mebi_bench_params_default();
    p.engine.precision = MEBI_PRECISION_F32;
    p.stages = 1u << MEBI_BENCH_STEP;
    p.runs = p.engine.threads = 1;
    p.size[0].width = p.size[0].height = 16;
    size_t before = mebi__memory_held(MEBI__TAG_COUNT);
    for (uint64_t n = 1; n < 40; n++) {
        mebi_error lost = {0};
        mebi__memory_fail_nth(n);
        mebi__random_part part = {0};
        mebi__random_how how = {.seed = 1};
        mebi_status status = mebi__random_dit(&tiny_dit, &how, pool, &part, &lost);
        mebi__memory_fail_nth(0);
        mebi__random_close(&part);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), before);
        if (status == MEBI_OK) break;
        assert_int_equal(status, MEBI_NO_MEMORY);
        assert_true(n < 39 && lost.text[0]);
    }
    mebi__memory_fail_nth(1);
    assert_int_equal(mebi__bench_full_size(&p, &tiny, &report, &err), MEBI_NO_MEMORY);
    mebi__memory_fail_nth(0);
    assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), before);
}

/* ---- kernels ---- */

static void kernels_have_names_of_their_own(void **state) {
    (void)state;
    static mebi__bench_shape shape[MEBI_BENCH_KERNELS];
    static char name[MEBI_BENCH_KERNELS][64];
    int count = mebi__bench_list_kernels(shape, MEBI_BENCH_KERNELS);
    assert_in_range(count, 40, MEBI_BENCH_KERNELS);
    for (int i = 0; i < count; i++) {
        mebi__bench_kernel_name(&shape[i], name[i], sizeof name[i]);
        assert_in_range(strlen(name[i]), 5, 40); /* the table's column */
        for (int k = 0; k < i; k++) assert_string_not_equal(name[i], name[k]);
    }
}

static void kernels_are_checked_and_timed(void **state) {
    (void)state;
    static mebi_bench_kernels found;
    assert_mebi_ok(mebi_bench_run_kernels(2, "norm 1088", 0.001, NULL, NULL, &found, &err), &err);
    assert_int_equal(found.count, 2);
    for (int i = 0; i < found.count; i++) {
        const mebi_bench_kernel *k = &found.kernel[i];
        assert_true(k->operations == 8.0 * 1088 * 3840);
        assert_true(k->seconds > 0 && k->share > 0 && k->share < 1.05 && k->error < 1e-5);
    }
    assert_mebi_ok(mebi_bench_run_kernels(2, "int8 1x3840->3840", 0.001, NULL, NULL, &found, &err), &err);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.kernel[0].arithmetic, "int8");
    assert_true(found.kernel[0].error == 0);
    assert_int_equal(mebi_bench_run_kernels(1, "no such", 0.1, NULL, NULL, &found, &err), MEBI_BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "no such"));
    assert_int_equal(mebi_bench_run_kernels(1, NULL, -1, NULL, NULL, &found, NULL), MEBI_BAD_ARGUMENT);
}

/* ---- the command ---- */

static int run_command(const char *options, char *out, size_t bytes) {
    char command[400];
    snprintf(command, sizeof command, "\"%s\" bench %s 2>&1", getenv("MEBI"), options);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t n = fread(out, 1, bytes - 1, f);
    out[n] = 0;
    int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static double number(json_t *o, const char *key) {
    json_t *v = json_object_get(o, key);
    if (!json_is_number(v)) fail_msg("%s is not a number", key);
    return json_number_value(v);
}

static void command_prints_json(void **state) {
    (void)state;
    static char out[1 << 16];
    static const char *const keys[] = {"operations",     "step_seconds",   "roofline_share", "share_of_best",
                                       "encode_seconds", "decode_seconds", "peak_bytes",     "planned_bytes"};
    assert_int_equal(run_command("--full-size -m models/mini --size 64,128x64 --runs 1 --precision int8 --json",
                                 out, sizeof out),
                     0);
    char *line = strtok(out, "\n");
    for (int i = 0; i < 2; i++, line = strtok(NULL, "\n")) {
        assert_non_null(line);
        json_t *o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(o);
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) assert_true(number(o, keys[k]) > 0);
        assert_true(number(o, "width") == (i ? 128 : 64) && number(o, "height") == 64);
        json_t *peaks = json_object_get(o, "peaks");
        assert_true(number(peaks, "int8") > 0 && number(peaks, "bf16") > 0 && number(peaks, "f32") > 0);
        assert_true(number(json_object_get(o, "best_peaks"), "f32") > 0);
        assert_true(number(o, "roofline_share") < 1.05);
        if (!SANITIZED) assert_true(number(o, "peak_bytes") <= number(o, "planned_bytes"));
        json_decref(o);
    }
    assert_null(line);
}

static void command_prints_tables_that_fit(void **state) {
    (void)state;
    static char out[1 << 16];
    assert_int_equal(run_command("--full-size -m models/mini --size 64 --runs 1 --precision f32", out, sizeof out),
                     0);
    assert_non_null(strstr(out, "LINEAR"));
    for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n"))
        if (strlen(line) > 100) fail_msg("%zu columns: %s", strlen(line), line);
}

static void command_refuses(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"--kernels --full-size", "not both"},
        {"--kernels --runs 2", "belong to --full-size"},
        {"--full-size --only x", "belong to --kernels"},
        {"--full-size --size 512,", "is not a size"},
        {"--full-size --size 100", "multiples of 16"},
        {"--full-size --size 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "up to 16"},
        {"--full-size --stage paint", "--stage takes"},
        {"--full-size --precision auto", "--precision takes"},
        {"--full-size --decode auto", "--decode takes"},
        {"--kernels --decode tiled", "belong to --full-size"},
        {"--full-size --tokens 0", "--tokens takes"},
        {"--full-size --size 16384", "up to 8192"},
    };
    static char out[1 << 16];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int code = run_command(bad[i][0], out, sizeof out);
        if (code != 2 || !strstr(out, bad[i][1])) fail_msg("bench %s: %d, %s", bad[i][0], code, out);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, forget_error)
    const struct CMUnitTest tests[] = {
        TEST(random_parts_are_what_loading_asks_for),
        TEST(rows_are_the_same_however_they_are_made),
        TEST(values_are_spread_as_trained_ones),
        TEST(outliers_are_where_they_are_asked_for),
        TEST(timed_work_is_counted_and_done),
        TEST(peaks_only_grow),
        TEST(after_each_operation),
        TEST(stages_are_timed_and_counted),
        TEST(one_stage_alone),
        TEST(ways_of_decoding_differ_in_memory),
        TEST(nonsense_is_refused),
        TEST(lost_allocations_are_errors),
        TEST(kernels_have_names_of_their_own),
        TEST(kernels_are_checked_and_timed),
        TEST(command_prints_json),
        TEST(command_prints_tables_that_fit),
        TEST(command_refuses),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* Times the kernels: peak of the machine, own kernels, oneDNN where present, in one run.
 *
 * Prints Markdown tables of GFLOP/s: the best of several repetitions, because other work on the
 * machine only ever slows them. The peak is measured before every repetition, and the best of that
 * is what shares refer to. Kernels that memory decides are compared with a copy of as many bytes.
 * With arguments, only shapes whose names contain one of them. MEBI_BENCH_SECONDS: how long each is
 * repeated, 0.4 if not given. MEBI_BENCH_ONEDNN: set to time oneDNN too. */
#include "base/os.h"
#include "cpu/cpu.h"
#include "cpu/kernels.h"

#include <immintrin.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if MEBI_ONEDNN
#include <oneapi/dnnl/dnnl.h>
void omp_set_num_threads(int threads);
#endif

enum { THREADS = 2 };

static mebi__pool *pools[THREADS + 1];
static mebi__device *host;
static mebi__cpu_kernels own;
static char **only; /* ends with NULL; empty: everything */
static int cpu_time;
static double seconds = 0.4;
#if MEBI_ONEDNN
static int dnn_too;
#endif

static void check(mebi_status status, const mebi_error *err) {
    if (status == MEBI_OK) return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

typedef void (*body)(void *context);

/* With MEBI_BENCH=cpu the processor time of all threads, which other work on the machine disturbs
 * less; threads that wait by spinning are then charged for it. */
static double clock_now(void) {
    struct timespec t;
    clock_gettime(cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* GFLOP/s, best of at least 2 runs and 0.4 s. */
static double rate(double operations, int threads, body run, void *context) {
    double best = 1e30, begin = mebi__now_seconds();
    run(context);
    for (int i = 0; i < 2 || mebi__now_seconds() - begin < seconds; i++) {
        double t = clock_now();
        run(context);
        t = clock_now() - t;
        if (t < best) best = t;
    }
    return operations / best * 1e-9 * (cpu_time ? threads : 1);
}

static double smaller(double a, double b) {
    return a < b ? a : b;
}

/* Prints GFLOP/s and the share of `yardstick`, which does `unit` operations, run in turns with it. */
static void print_share(double operations, double unit, int threads, body run, void *context,
                        body yardstick, void *other) {
    double best = 1e30, top = 1e30, begin = mebi__now_seconds();
    run(context);
    for (int i = 0; i < 3 || mebi__now_seconds() - begin < seconds; i++) {
        double t = clock_now();
        yardstick(other);
        double middle = clock_now();
        run(context);
        best = smaller(best, clock_now() - middle);
        top = smaller(top, middle - t);
    }
    double scale = 1e-9 * (cpu_time ? threads : 1);
    printf("| %.1f (%.0f %%) ", operations / best * scale, 100 * operations / best * top / unit);
    fflush(stdout);
}

/* Twelve independent chains: what the register tile could reach at most. In assembly, so that no
 * compiler keeps them in memory. */
enum { FMA_TURNS = 2000000 };
#define FMA(i) __asm__ volatile("vfmadd231ps %1, %2, %0" : "+x"(s##i) : "x"(a), "x"(b));

static void fma_loop(void *context, int task, int thread) {
    (void)task, (void)thread;
    __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f), s0 = a, s1 = a, s2 = a, s3 = a;
    __m256 s4 = a, s5 = a, s6 = a, s7 = a, s8 = a, s9 = a, s10 = a, s11 = a;
    for (int n = 0; n < FMA_TURNS; n++) {
        FMA(0) FMA(1) FMA(2) FMA(3) FMA(4) FMA(5) FMA(6) FMA(7) FMA(8) FMA(9) FMA(10) FMA(11)
    }
    (void)context;
}

static double peak_operations(int threads) {
    return 2.0 * 8 * 12 * FMA_TURNS * threads;
}

static void peak_body(void *context) {
    mebi__pool_run(context, mebi__pool_threads(context), fma_loop, NULL);
}

typedef struct own_run {
    mebi__cpu_call call;
} own_run;

static void own_body(void *context) {
    own_run *r = context;
    own.run[r->call.op->kind](&r->call);
}

static mebi__view tensor(mebi__dtype type, int rank, int64_t a, int64_t b, int64_t c, int64_t d) {
    mebi_error err = {0};
    mebi__view v = {.dtype = type, .shape = {rank, {a, b, c, d}}};
    size_t bytes = mebi__view_bytes(&v);
    check(host->table->buffer_create(host, MEBI__TAG_GENERAL, bytes, &v.buffer, &err), &err);
    size_t n = mebi__view_elements(&v);
    uint32_t state = 12345;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        float f = (float)(int32_t)state * 4.6e-10f;
        if (type == MEBI__F32) ((float *)mebi__cpu_data(v))[i] = f;
        else ((uint16_t *)mebi__cpu_data(v))[i] = mebi__f32_to_bf16(f);
    }
    return v;
}

static void drop(mebi__view v) {
    if (v.buffer) host->table->buffer_destroy(host, v.buffer);
}

static double cost_of(const mebi__op *op) {
    double operations, bytes;
    mebi__op_cost(op, &operations, &bytes);
    return operations;
}

static void own_columns(const mebi__op *op) {
    for (int t = 1; t <= THREADS; t++) {
        size_t need = own.scratch[op->kind] ? own.scratch[op->kind](op, t) : 0;
        unsigned char *scratch = mebi__alloc(MEBI__TAG_SCRATCH, need ? need : 1);
        own_run r = {{op, pools[t], scratch}};
        print_share(cost_of(op), peak_operations(t), t, own_body, &r, peak_body, pools[t]);
        mebi__free(scratch);
    }
}

#if MEBI_ONEDNN
static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void dnn(dnnl_status_t status) {
    if (status == dnnl_success) return;
    fprintf(stderr, "oneDNN says %d\n", (int)status);
    exit(1);
}

static void sgemm_body(void *context) {
    const mebi__op *op = context;
    int64_t m = op->x.shape.dim[0], k = op->x.shape.dim[1], n = op->w.shape.dim[0];
    dnn(dnnl_sgemm('N', 'T', m, n, k, 1, mebi__cpu_data(op->x), k, mebi__cpu_data(op->w), k, 0,
                   mebi__cpu_data(op->y), n));
}

typedef struct dnn_run {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t arg[8];
    int count;
} dnn_run;

static void dnn_body(void *context) {
    dnn_run *r = context;
    dnn(dnnl_primitive_execute(r->primitive, stream, r->count, r->arg));
    dnn(dnnl_stream_wait(stream));
}

static void give(dnn_run *r, int name, const dnnl_memory_desc_t *desc, void *data) {
    r->arg[r->count].arg = name;
    dnn(dnnl_memory_create(&r->arg[r->count++].memory, desc, engine, data));
}

static double dnn_rate(dnn_run *r, double operations, int threads) {
    double v = rate(operations, threads, dnn_body, r);
    for (int i = 0; i < r->count; i++) dnnl_memory_destroy(r->arg[i].memory);
    dnnl_primitive_destroy(r->primitive);
    return v;
}

static double matmul_rate(const mebi__op *op, double operations, int threads) {
    int64_t m = op->x.shape.dim[0], k = op->x.shape.dim[1], n = op->w.shape.dim[0];
    dnnl_memory_desc_t x, w, y, b;
    dnn(dnnl_memory_desc_init_by_tag(&x, 2, (dnnl_dims_t){m, k}, dnnl_f32, dnnl_ab));
    dnn(dnnl_memory_desc_init_by_tag(&w, 2, (dnnl_dims_t){k, n},
                                     op->w.dtype == MEBI__F32 ? dnnl_f32 : dnnl_bf16, dnnl_ba));
    dnn(dnnl_memory_desc_init_by_tag(&y, 2, (dnnl_dims_t){m, n}, dnnl_f32, dnnl_ab));
    dnn(dnnl_memory_desc_init_by_tag(&b, 2, (dnnl_dims_t){1, n}, dnnl_f32, dnnl_ab));
    dnnl_matmul_desc_t desc;
    dnnl_primitive_desc_t pd;
    if (dnnl_matmul_desc_init(&desc, &x, &w, &b, &y) != dnnl_success ||
        dnnl_primitive_desc_create(&pd, &desc, NULL, engine, NULL) != dnnl_success)
        return 0;
    dnn_run r = {0};
    dnn(dnnl_primitive_create(&r.primitive, pd));
    dnnl_primitive_desc_destroy(pd);
    give(&r, DNNL_ARG_SRC, &x, mebi__cpu_data(op->x));
    give(&r, DNNL_ARG_WEIGHTS, &w, mebi__cpu_data(op->w));
    give(&r, DNNL_ARG_BIAS, &b, mebi__cpu_data(op->b));
    give(&r, DNNL_ARG_DST, &y, mebi__cpu_data(op->y));
    return dnn_rate(&r, operations, threads);
}

/* Channels-last in and out; weights in the layout oneDNN asks for, all zero: reordering them is not
 * timed. For weights as they lie in a model file 2.6 has only a reference that takes minutes. */
static double convolution_rate(const mebi__op *op, double operations, int threads) {
    const int64_t *xd = op->x.shape.dim, *wd = op->w.shape.dim, *yd = op->y.shape.dim;
    dnnl_memory_desc_t x, w, y, b;
    dnn(dnnl_memory_desc_init_by_tag(&x, 4, (dnnl_dims_t){1, xd[2], xd[0], xd[1]}, dnnl_f32,
                                     dnnl_nhwc));
    dnn(dnnl_memory_desc_init_by_tag(&w, 4, (dnnl_dims_t){wd[0], wd[3], wd[1], wd[2]}, dnnl_f32,
                                     dnnl_format_tag_any));
    dnn(dnnl_memory_desc_init_by_tag(&y, 4, (dnnl_dims_t){1, yd[2], yd[0], yd[1]}, dnnl_f32,
                                     dnnl_nhwc));
    dnn(dnnl_memory_desc_init_by_tag(&b, 1, (dnnl_dims_t){wd[0]}, dnnl_f32, dnnl_a));
    const mebi__conv_params *p = &op->conv;
    dnnl_convolution_desc_t desc;
    dnnl_primitive_desc_t pd;
    if (dnnl_convolution_forward_desc_init(&desc, dnnl_forward_inference, dnnl_convolution_direct,
                                           &x, &w, &b, &y, (dnnl_dims_t){p->stride, p->stride},
                                           (dnnl_dims_t){p->top, p->left},
                                           (dnnl_dims_t){p->bottom, p->right}) != dnnl_success ||
        dnnl_primitive_desc_create(&pd, &desc, NULL, engine, NULL) != dnnl_success)
        return 0;
    dnn_run r = {0};
    dnn(dnnl_primitive_create(&r.primitive, pd));
    const dnnl_memory_desc_t *packed = dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    float *weights = mebi__alloc(MEBI__TAG_GENERAL, dnnl_memory_desc_get_size(packed));
    give(&r, DNNL_ARG_SRC, &x, mebi__cpu_data(op->x));
    give(&r, DNNL_ARG_WEIGHTS, packed, weights);
    give(&r, DNNL_ARG_BIAS, &b, mebi__cpu_data(op->b));
    give(&r, DNNL_ARG_DST, &y, mebi__cpu_data(op->y));
    dnnl_primitive_desc_destroy(pd);
    double v = dnn_rate(&r, operations, threads);
    mebi__free(weights);
    return v;
}

static void dnn_threads(int threads) {
    omp_set_num_threads(threads);
}
#endif

static int wanted(const char *name) {
    if (!*only) return 1;
    for (char **o = only; *o; o++)
        if (strstr(name, *o)) return 1;
    return 0;
}

static void linear_line(int64_t m, int64_t k, int64_t n, mebi__dtype type) {
    char name[64];
    snprintf(name, sizeof name, "linear %s %dx%d->%d", type == MEBI__F32 ? "f32" : "bf16", (int)m,
             (int)k, (int)n);
    if (!wanted(name)) return;
    mebi__op op = {.kind = MEBI__OP_LINEAR,
                   .x = tensor(MEBI__F32, 2, m, k, 0, 0),
                   .w = tensor(type, 2, n, k, 0, 0),
                   .b = tensor(MEBI__F32, 1, n, 0, 0, 0),
                   .y = tensor(MEBI__F32, 2, m, n, 0, 0)};
    printf("| %s ", name);
    own_columns(&op);
#if MEBI_ONEDNN
    for (int t = 1; dnn_too && t <= THREADS && type == MEBI__F32; t++) {
        dnn_threads(t);
        double gemm = rate(cost_of(&op), t, sgemm_body, &op);
        printf("| %.1f | %.1f ", gemm, matmul_rate(&op, cost_of(&op), t));
        fflush(stdout);
    }
#endif
    printf("|\n");
    drop(op.x), drop(op.w), drop(op.b), drop(op.y);
}

static void conv_line(int64_t size, int64_t ci, int64_t co, int kernel, int stride, int upsample) {
    char name[64];
    int pad = kernel / 2;
    int64_t out = (size * upsample + 2 * pad - kernel) / stride + 1;
    snprintf(name, sizeof name, "conv %dx%d^2, %d->%d at %d^2%s", kernel, kernel, (int)ci, (int)co,
             (int)size,
             upsample > 1 ? " x2"
             : stride > 1 ? " /2"
                          : "");
    if (!wanted(name)) return;
    mebi__op op = {.kind = MEBI__OP_CONV2D,
                   .x = tensor(MEBI__F32, 3, size, size, ci, 0),
                   .w = tensor(MEBI__F32, 4, co, kernel, kernel, ci),
                   .b = tensor(MEBI__F32, 1, co, 0, 0, 0),
                   .y = tensor(MEBI__F32, 3, out, out, co, 0),
                   .conv = {stride, pad, pad, pad, pad, upsample}};
    printf("| %s ", name);
    own_columns(&op);
#if MEBI_ONEDNN
    for (int t = 1; dnn_too && t <= THREADS && upsample == 1; t++) {
        dnn_threads(t);
        printf("| %.1f ", convolution_rate(&op, cost_of(&op), t));
        fflush(stdout);
    }
#endif
    printf("|\n");
    drop(op.x), drop(op.w), drop(op.b), drop(op.y);
}

static void attention_line(int64_t queries, int heads, int kv_heads, int64_t head_dim, int causal) {
    char name[64];
    snprintf(name, sizeof name, "attention %d, %d/%d heads of %d%s", (int)queries, heads, kv_heads,
             (int)head_dim, causal ? ", causal" : "");
    if (!wanted(name)) return;
    mebi__op op = {.kind = MEBI__OP_ATTENTION,
                   .heads = heads,
                   .kv_heads = kv_heads,
                   .flag = causal,
                   .x = tensor(MEBI__F32, 2, queries, heads * head_dim, 0, 0),
                   .a1 = tensor(MEBI__F32, 2, queries, kv_heads * head_dim, 0, 0),
                   .a2 = tensor(MEBI__F32, 2, queries, kv_heads * head_dim, 0, 0),
                   .y = tensor(MEBI__F32, 2, queries, heads * head_dim, 0, 0)};
    printf("| %s ", name);
    own_columns(&op);
    printf("|\n");
    drop(op.x), drop(op.a1), drop(op.a2), drop(op.y);
}

static void all_lines(void) {
    static const int64_t m[] = {1, 20, 61, 288, 1088, 4160};
    static const int64_t shape[][2] = {{3840, 3840}, {3840, 10240}, {10240, 3840}, {2560, 9728}, {2560, 1024},
                                      {9728, 2560},  {256, 15360}};
    printf("| shape | own, 1 thread | 2 threads | oneDNN sgemm, 1 | matmul, 1 | sgemm, 2 | matmul, "
           "2 |\n| --- | --- | --- | --- | --- | --- | --- |\n");
    for (int t = 0; t < 2; t++) {
        mebi__dtype type = t ? MEBI__BF16 : MEBI__F32;
        for (int s = 0; s < 7; s++)
            for (int i = 0; i < 6; i++) linear_line(m[i], shape[s][0], shape[s][1], type);
    }
    printf("\n| shape | own, 1 thread | 2 threads | oneDNN, 1 | oneDNN, 2 |\n| --- | --- | --- | "
           "--- | --- |\n");
    conv_line(64, 16, 512, 3, 1, 1);
    conv_line(64, 512, 512, 3, 1, 1);
    conv_line(128, 512, 512, 3, 1, 1);
    conv_line(128, 512, 512, 3, 1, 2);
    conv_line(256, 512, 256, 3, 1, 1);
    conv_line(256, 512, 256, 1, 1, 1);
    conv_line(256, 256, 256, 3, 1, 1);
    conv_line(512, 128, 128, 3, 1, 1);
    conv_line(512, 128, 128, 3, 2, 1);
    conv_line(512, 128, 3, 3, 1, 1);
    conv_line(256, 32, 32, 3, 1, 1);
    conv_line(256, 3, 128, 3, 1, 1);
    printf("\n| shape | own, 1 thread | 2 threads |\n| --- | --- | --- |\n");
    attention_line(4160, 30, 30, 128, 0);
    attention_line(1088, 30, 30, 128, 0);
    attention_line(288, 30, 30, 128, 0);
    attention_line(64, 32, 8, 128, 1);
    attention_line(4096, 1, 1, 512, 0);
    attention_line(16384, 1, 1, 512, 0);
    attention_line(288, 4, 4, 64, 0);
}

int main(int argc, char **argv) {
    mebi_error err = {0};
    (void)argc;
    only = argv + 1;
    if (getenv("MEBI_BENCH_SECONDS")) seconds = atof(getenv("MEBI_BENCH_SECONDS"));
    const char *mode = getenv("MEBI_BENCH");
    cpu_time = mode && strcmp(mode, "cpu") == 0;
    for (int t = 1; t <= THREADS; t++) check(mebi__pool_create(t, &pools[t], &err), &err);
    check(mebi__cpu_create(MEBI__CPU_REF, pools[1], &host, &err), &err);
    mebi__cpu_init_ref(&own);
    mebi__cpu_init_gemm_avx2(&own);
    mebi__cpu_init_attention_avx2(&own);
#if MEBI_ONEDNN
    dnn_too = getenv("MEBI_BENCH_ONEDNN") != NULL;
    dnn(dnnl_engine_create(&engine, dnnl_cpu, 0));
    dnn(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
#endif
    for (int t = 1; t <= THREADS; t++)
        printf("peak, %d thread%s: %.1f GFLOP/s\n", t, t > 1 ? "s" : "",
               rate(peak_operations(t), t, peak_body, pools[t]));
    printf("\n");
    all_lines();
    mebi__device_destroy(&host);
    for (int t = 1; t <= THREADS; t++) mebi__pool_destroy(&pools[t]);
    return 0;
}

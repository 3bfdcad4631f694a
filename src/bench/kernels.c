/* Times kernels one by one, and compares each with plain C at a smaller shape. Must never time what it has
 * not checked. */
#include "bench/bench.h"
#include "bench/kernel_list.h"

#include "base/os.h"
#include "compute/dry.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

enum { TENSORS = 5, GROUPS = 32 };

typedef struct session {
    mebi__bench_machine machine;
    mebi__device *ref;
    mebi_error *err;
} session;

/* A kernel's tensors in host memory, which both devices work in. */
typedef struct operands {
    const mebi__bench_shape *shape;
    mebi__view t[TENSORS]; /* as lay_out lists them */
    int count, out;        /* out: the result */
    unsigned char *panels; /* of an int8 weight */
} operands;

/* ---- tensors ---- */

static float value(uint64_t at) {
    uint64_t x = (at + 1) * 0x9e3779b97f4a7c15u;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9u;
    return (float)(int32_t)(x >> 32) * 0x1p-31f;
}

static void fill(mebi__device *d, mebi__view v, float *block, uint64_t salt) {
    enum { BLOCK = 4096 };
    size_t n = mebi__view_elements(&v);
    mebi__view piece = v;
    piece.shape.rank = 1;
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t count = n - at < BLOCK ? n - at : BLOCK;
        uint16_t *half = (uint16_t *)(void *)block;
        for (size_t i = 0; i < count; i++) {
            float f = value(at + i + (salt << 40));
            if (v.dtype == MEBI__BF16) half[i] = mebi__f32_to_bf16(f);
            else block[i] = f;
        }
        piece.shape.dim[0] = (int64_t)count;
        piece.offset = v.offset + at * mebi__dtype_bytes(v.dtype);
        mebi_status status = d->table->upload(d, piece, block, NULL);
        assert(status == MEBI_OK);
        (void)status;
    }
}

static mebi__view *add(operands *o, mebi__dtype type, int rank, int64_t a, int64_t b, int64_t c,
                       int64_t d) {
    assert(o->count < TENSORS);
    o->t[o->count] = (mebi__view){.dtype = type, .shape = {rank, {a, b, c, d}}};
    return &o->t[o->count++];
}

static void lay_out(operands *o) {
    const mebi__bench_shape *s = o->shape;
    int64_t m = s->rows, k = s->in, n = s->out, side = s->side, kv = s->kv_heads * k;
    switch (s->kind) {
    case MEBI__OP_LINEAR:
    case MEBI__OP_LINEAR_INT8:
        add(o, s->kind == MEBI__OP_LINEAR ? MEBI__F32 : MEBI__INT8_ROWS, 2, m, k, 0, 0);
        add(o, s->type, 2, n, k, 0, 0);
        add(o, MEBI__F32, 2, m, n, 0, 0);
        break;
    case MEBI__OP_ATTENTION:
        add(o, MEBI__F32, 2, m, s->heads * k, 0, 0);
        add(o, MEBI__F32, 2, m, kv, 0, 0);
        add(o, MEBI__F32, 2, m, kv, 0, 0);
        add(o, MEBI__F32, 2, m, s->heads * k, 0, 0);
        break;
    case MEBI__OP_CONV2D:
        add(o, MEBI__F32, 3, side, side, k, 0);
        add(o, s->type, 4, n, s->window, s->window, k);
        add(o, MEBI__F32, 1, n, 0, 0, 0);
        add(o, MEBI__F32, 3, side * s->upsample, side * s->upsample, n, 0);
        break;
    case MEBI__OP_GROUP_NORM: /* with its sums */
        add(o, MEBI__F32, 3, side, side, k, 0);
        add(o, MEBI__F64, 2, GROUPS, 3, 0, 0);
        add(o, MEBI__F32, 1, k, 0, 0, 0);
        add(o, MEBI__F32, 1, k, 0, 0, 0);
        add(o, MEBI__F32, 3, side, side, k, 0);
        break;
    case MEBI__OP_NORM_ROPE: /* in place: the result is last */
        add(o, MEBI__F32, 1, k / s->heads, 0, 0, 0);
        add(o, MEBI__F32, 2, m, k / s->heads / 2, 0, 0);
        add(o, MEBI__F32, 2, m, k / s->heads / 2, 0, 0);
        add(o, MEBI__F32, 2, m, k, 0, 0);
        break;
    default: /* rows in, up to two vectors, rows out */
        add(o, MEBI__F32, 2, m, k, 0, 0);
        add(o, MEBI__F32, 1, k, 0, 0, 0);
        add(o, MEBI__F32, 1, k, 0, 0, 0);
        add(o, s->kind == MEBI__OP_QUANTIZE ? MEBI__INT8_ROWS : MEBI__F32, 2, m, k, 0, 0);
    }
    o->out = o->count - 1;
}

static void record(mebi__stream *s, const operands *o) {
    const mebi__bench_shape *c = o->shape;
    const mebi__view *t = o->t, none = {0};
    int pad = c->window / 2;
    switch (c->kind) {
    case MEBI__OP_LINEAR:
    case MEBI__OP_LINEAR_INT8: mebi__linear(s, t[0], t[1], none, t[2]); break;
    case MEBI__OP_ATTENTION:
        mebi__attention(s, t[0], t[1], t[2], c->heads, c->kv_heads, c->causal, t[3]);
        break;
    case MEBI__OP_CONV2D:
        mebi__conv2d(s, t[0], t[1], t[2], none,
                     (mebi__conv_params){1, pad, pad, pad, pad, c->upsample}, t[3]);
        break;
    case MEBI__OP_GROUP_NORM:
        mebi__group_sums(s, t[0], 0, t[1]);
        mebi__group_norm(s, t[0], t[1], t[2], t[3], 1e-6f, 1, t[4]);
        break;
    case MEBI__OP_NORM_ROPE:
        mebi__norm_rope(s, t[3], c->heads, t[0], 1e-5f, t[1], t[2], MEBI__ROPE_PAIRS);
        break;
    case MEBI__OP_QUANTIZE: mebi__quantize(s, t[0], t[3]); break;
    case MEBI__OP_RMS_NORM: mebi__rms_norm(s, t[0], t[1], t[2], 1e-5f, t[3]); break;
    case MEBI__OP_LAYER_NORM: mebi__layer_norm(s, t[0], t[1], 1e-6f, t[3]); break;
    case MEBI__OP_GATED_RESIDUAL: mebi__gated_residual(s, t[3], t[0], t[1], 1e-5f, t[2]); break;
    case MEBI__OP_SWIGLU: mebi__swiglu(s, t[0], t[0], t[3]); break;
    default: mebi__combine(s, 1, t[0], 1, t[3]);
    }
}

/* ---- running ---- */

/* Scratch is what a dry run says. */
static mebi_status reserve(session *s, mebi__device *d, const operands *o) {
    mebi__device *dry;
    MEBI_TRY(mebi__dry_create(d, &dry, s->err));
    mebi__stream stream = {.device = dry, .err = s->err};
    record(&stream, o);
    size_t bytes = mebi__dry_report_of(dry)->scratch_bytes;
    mebi__device_destroy(&dry);
    MEBI_TRY(stream.status);
    return d->table->scratch_reserve(d, bytes, s->err);
}

static mebi_status run_on(session *s, mebi__device *d, const operands *o) {
    mebi__stream stream = {.device = d, .err = s->err};
    record(&stream, o);
    return mebi__stream_wait(&stream);
}

static void read_rows(const void *context, int64_t first, int64_t count, float *out) {
    int64_t k = *(const int64_t *)context;
    for (int64_t i = 0; i < count * k; i++) out[i] = value((uint64_t)(first * k + i));
}

static mebi_status make_panels(session *s, operands *o, mebi__view *w) {
    mebi__device *d = s->machine.cpu;
    int64_t k = w->shape.dim[1];
    mebi__rows_source rows = {.n = w->shape.dim[0], .k = k, .read = read_rows, .context = &k,
                              .name = "random weights"};
    size_t bytes = mebi__view_bytes(w);
    o->panels = mebi__alloc(MEBI__TAG_GENERAL, bytes);
    if (!o->panels) return mebi__fail(s->err, MEBI_NO_MEMORY, "No memory for a kernel's weights.");
    MEBI_TRY(d->table->pack(d, &rows, o->panels, s->err));
    return d->table->buffer_import(d, MEBI__TAG_GENERAL, o->panels, bytes, &w->buffer, s->err);
}

/* Rows in int8 are some f32 rows, quantized by plain C. */
static mebi_status make_rows(session *s, mebi__view *x) {
    operands o = {.t = {{.dtype = MEBI__F32, .shape = x->shape}}};
    mebi__bench_shape shape = {.kind = MEBI__OP_QUANTIZE};
    mebi__device *d = s->machine.cpu;
    o.shape = &shape;
    o.t[3] = *x;
    size_t bytes = mebi__view_bytes(&o.t[0]);
    float *block = mebi__alloc(MEBI__TAG_GENERAL, 4096 * sizeof *block);
    mebi_status status =
        d->table->buffer_create(d, MEBI__TAG_GENERAL, bytes, &o.t[0].buffer, s->err);
    if (status == MEBI_OK && !block)
        status = mebi__fail(s->err, MEBI_NO_MEMORY, "No memory for a kernel's rows.");
    if (status == MEBI_OK) {
        fill(d, o.t[0], block, 1);
        status = run_on(s, s->ref, &o);
    }
    mebi__free(block);
    d->table->buffer_destroy(d, o.t[0].buffer);
    return status;
}

static mebi_status take(session *s, operands *o) {
    mebi__device *d = s->machine.cpu;
    lay_out(o);
    for (int i = 0; i < o->count; i++) {
        mebi__view *v = &o->t[i];
        if (v->dtype == MEBI__INT8_PANELS) MEBI_TRY(make_panels(s, o, v));
        else {
            size_t bytes = mebi__view_bytes(v);
            MEBI_TRY(d->table->buffer_create(d, MEBI__TAG_GENERAL, bytes, &v->buffer, s->err));
            if (v->dtype == MEBI__INT8_ROWS && i == 0) MEBI_TRY(make_rows(s, v));
        }
    }
    return MEBI_OK;
}

static mebi_status fill_all(session *s, const operands *o) {
    float *block = mebi__alloc(MEBI__TAG_GENERAL, 4096 * sizeof *block);
    if (!block) return mebi__fail(s->err, MEBI_NO_MEMORY, "No memory to fill tensors with.");
    for (int i = 0; i < o->count; i++)
        if (o->t[i].dtype == MEBI__F32 || o->t[i].dtype == MEBI__BF16)
            fill(s->machine.cpu, o->t[i], block, (uint64_t)i + 1);
    mebi__free(block);
    return MEBI_OK;
}

static void give(session *s, operands *o) {
    mebi__device *d = s->machine.cpu;
    for (int i = 0; i < o->count; i++) d->table->buffer_destroy(d, o->t[i].buffer);
    mebi__free(o->panels);
}

/* ---- checking ---- */

static double largest_difference(const operands *o, const void *a, const void *b) {
    size_t n = o->t[o->out].dtype == MEBI__F32 ? mebi__view_elements(&o->t[o->out])
                                               : mebi__view_bytes(&o->t[o->out]);
    double most = 0, top = 0;
    for (size_t i = 0; i < n; i++) {
        int is_f32 = o->t[o->out].dtype == MEBI__F32;
        double x = is_f32 ? (double)((const float *)a)[i] : ((const unsigned char *)a)[i];
        double y = is_f32 ? (double)((const float *)b)[i] : ((const unsigned char *)b)[i];
        if (!(fabs(x - y) <= most)) most = fabs(x - y);
        if (fabs(y) > top) top = fabs(y);
    }
    return top > 0 ? most / top : INFINITY;
}

static mebi_status compare(session *s, const operands *o, double *error) {
    mebi__device *d = s->machine.cpu;
    size_t bytes = mebi__view_bytes(&o->t[o->out]);
    void *fast = mebi__alloc(MEBI__TAG_GENERAL, bytes), *plain = mebi__alloc(MEBI__TAG_GENERAL, bytes);
    mebi_status status = MEBI_OK;
    if (!fast || !plain) status = mebi__fail(s->err, MEBI_NO_MEMORY, "No memory to compare with.");
    if (status == MEBI_OK) status = fill_all(s, o);
    if (status == MEBI_OK) status = reserve(s, d, o);
    mebi__timed_reset(s->machine.timed);
    if (status == MEBI_OK) status = run_on(s, s->machine.timed, o);
    if (status == MEBI_OK) status = d->table->download(d, o->t[o->out], fast, s->err);
    if (status == MEBI_OK) status = fill_all(s, o); /* some work in place */
    if (status == MEBI_OK) status = reserve(s, s->ref, o);
    if (status == MEBI_OK) status = run_on(s, s->ref, o);
    if (status == MEBI_OK) status = d->table->download(d, o->t[o->out], plain, s->err);
    if (status == MEBI_OK) *error = largest_difference(o, fast, plain);
    mebi__free(plain);
    mebi__free(fast);
    return status;
}

/* int8 is the same on every instruction set; sums in f32 of up to 10240 products differ in order; inputs
 * in bf16 have 8 bits. */
static double tolerance(mebi__op_kind kind, mebi__arithmetic arithmetic) {
    if (arithmetic == MEBI__ARITHMETIC_BF16) return 2e-2;
    if (kind == MEBI__OP_LINEAR_INT8 || kind == MEBI__OP_QUANTIZE) return 0;
    return kind == MEBI__OP_LINEAR || kind == MEBI__OP_CONV2D ? 3e-5 : 1e-5;
}

/* Of the one kernel that has run. */
static mebi__arithmetic arithmetic_of(const mebi__timed_report *r) {
    for (int k = 0; k < MEBI__OP_COUNT; k++)
        for (int a = 0; a < MEBI__ARITHMETIC_COUNT; a++)
            if (r->of[k][a].calls) return (mebi__arithmetic)a;
    return MEBI__ARITHMETIC_F32;
}

static mebi_status check(session *s, const mebi__bench_shape *shape, mebi_bench_kernel *k) {
    mebi__bench_shape small = mebi__bench_smaller(shape);
    operands o = {.shape = &small};
    mebi_status status = take(s, &o);
    if (status == MEBI_OK) status = compare(s, &o, &k->error);
    give(s, &o);
    mebi__arithmetic in = arithmetic_of(mebi__timed_report_of(s->machine.timed));
    double limit = tolerance(shape->kind, in);
    k->arithmetic = mebi__arithmetic_name(in);
    if (status == MEBI_OK && !(k->error <= limit))
        status = mebi__fail(s->err, MEBI_NUMERIC,
                            "%s: %.2g away from plain C, relative to the largest value, where %.2g is "
                            "expected at most.",
                            k->name, k->error, limit);
    return status;
}

/* ---- timing ---- */

static mebi_status time_calls(session *s, const operands *o, double seconds, mebi_bench_kernel *k) {
    mebi__device *d = s->machine.timed;
    double since = mebi__now_seconds();
    MEBI_TRY(run_on(s, d, o)); /* warms up */
    for (int i = 0; i < 2 || mebi__now_seconds() - since < seconds; i++) {
        mebi__timed_reset(d);
        MEBI_TRY(run_on(s, d, o));
        mebi__timed_sum sum = mebi__timed_total(mebi__timed_report_of(d));
        if (i == 0 || sum.seconds < k->seconds) k->seconds = sum.seconds;
        k->operations = sum.operations;
        k->bytes = sum.bytes;
    }
    return MEBI_OK;
}

static mebi_status time_kernel(session *s, const mebi__bench_shape *shape, double seconds,
                               mebi_bench_kernel *k) {
    operands o = {.shape = shape};
    mebi_status status = take(s, &o);
    if (status == MEBI_OK) status = fill_all(s, &o);
    if (status == MEBI_OK) status = reserve(s, s->machine.cpu, &o);
    if (status == MEBI_OK) status = time_calls(s, &o, seconds, k);
    give(s, &o);
    return status;
}

static void conclude(const mebi__peaks *p, mebi_bench_kernels *out) {
    out->peaks = mebi__bench_peaks_told(p);
    for (int i = 0; i < out->count; i++) {
        mebi_bench_kernel *k = &out->kernel[i];
        double peak = strcmp(k->arithmetic, "int8") == 0   ? p->int8
                      : strcmp(k->arithmetic, "bf16") == 0 ? p->bf16
                                                           : p->f32;
        double at_peak = k->operations / peak;
        double reading = k->bytes / p->read;
        k->share = at_peak / k->seconds;
        k->bound_share = (at_peak > reading ? at_peak : reading) / k->seconds;
    }
}

static mebi_status run_list(session *s, const char *only, double seconds,
                            void (*progress)(void *context, const char *text), void *context,
                            mebi_bench_kernels *out) {
    mebi__bench_shape shape[MEBI_BENCH_KERNELS];
    int count = mebi__bench_list_kernels(shape, MEBI_BENCH_KERNELS);
    for (int i = 0; i < count; i++) {
        mebi_bench_kernel *k = &out->kernel[out->count];
        *k = (mebi_bench_kernel){0};
        mebi__bench_kernel_name(&shape[i], k->name, sizeof k->name);
        if (only && !strstr(k->name, only)) continue;
        if (progress) progress(context, k->name);
        MEBI_TRY(check(s, &shape[i], k));
        MEBI_TRY(time_kernel(s, &shape[i], seconds, k));
        if (out->count++ % 8 == 7)
            mebi__peak_sample(s->machine.level, s->machine.pool, &s->machine.peaks);
    }
    if (out->count == 0)
        return mebi__fail(s->err, MEBI_BAD_ARGUMENT, "No kernel's name contains '%.60s'.", only);
    return MEBI_OK;
}

mebi_status mebi_bench_run_kernels(int threads, const char *only, double seconds,
                                   void (*progress)(void *context, const char *text), void *context,
                                   mebi_bench_kernels *out, mebi_error *err) {
    session s = {.err = err};
    *out = (mebi_bench_kernels){0};
    if (!(seconds > 0 && seconds <= 60))
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%g seconds a kernel asked for; up to 60 are possible.",
                          seconds);
    MEBI_TRY(mebi__bench_machine_open(&s.machine, threads, 1, err));
    mebi_status status = mebi__cpu_create(MEBI__CPU_REF, s.machine.pool, &s.ref, err);
    if (status == MEBI_OK) status = run_list(&s, only, seconds, progress, context, out);
    if (status == MEBI_OK) mebi__peak_sample(s.machine.level, s.machine.pool, &s.machine.peaks);
    out->cpu = mebi__cpu_describe(s.machine.level);
    out->threads = mebi__pool_threads(s.machine.pool);
    if (status == MEBI_OK) conclude(&s.machine.peaks, out);
    else out->count = 0;
    mebi__device_destroy(&s.ref);
    mebi__bench_machine_close(&s.machine);
    return status;
}

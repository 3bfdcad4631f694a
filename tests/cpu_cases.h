/* Cases for tests/test_cpu.c: what one is, and one maker an operation. */
#ifndef MEBI_TESTS_CPU_CASES_H
#define MEBI_TESTS_CPU_CASES_H

#include "testing.h"

#include "compute/ops.h"

#include <math.h>

enum { TENSORS = 7 };

typedef enum fill {
    UNIT,   /* -1..1 */
    WIDE,   /* -130..130: beyond the range of exp */
    TINY,   /* -1e-4..1e-4 */
    OFFSET, /* 1000 and a little: cancellation */
    ZERO,
    NOT_A_NUMBER,
    SPECIAL, /* NaN, infinities, subnormals, huge, ties */
    LAST_BAD /* finite but for the last element */
} fill;

typedef enum role { IN, OUT } role;

typedef struct tensor {
    mebi__dtype dtype;
    mebi__shape shape;
    role role;
    fill fill;
    int alias; /* the tensor whose memory it is, or -1 */
    size_t at; /* offset in the buffer */
} tensor;

typedef struct spec spec;
struct spec {
    mebi__op_kind kind;
    int count;
    tensor tensor[TENSORS];
    void (*apply)(mebi__stream *s, const spec *c, const mebi__view *v);
    int n[4]; /* heads, styles, flags; what apply reads */
    float f[2];
    mebi__conv_params conv;
    mebi__permute_params permute;
    double slack; /* factor on the tolerance; 0 is 1 */
};

static uint64_t random_state = 1;

static uint32_t random_bits(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 32);
}

static int random_range(int low, int high) {
    return low + (int)(random_bits() % (uint32_t)(high - low + 1));
}

static float random_unit(void) {
    return (float)(int32_t)random_bits() * 0x1p-31f;
}

static float special_value(size_t i) {
    static const float values[] = {0.0f,   -0.0f,   1.0f,        -1.0f,     NAN,  INFINITY,
                                   1e-40f, 3.0e38f, -3.0e38f,    -INFINITY, 0.2f, -0.99607843f,
                                   88.0f,  -88.0f,  0.00392157f, 104.0f};
    return i % 3 ? random_unit() : values[i / 3 % 16];
}

static float value_of(fill f, size_t i, size_t n) {
    switch (f) {
    case UNIT: return random_unit();
    case WIDE: return 130 * random_unit();
    case TINY: return 1e-4f * random_unit();
    case OFFSET: return 1000 + random_unit();
    case ZERO: return 0;
    case NOT_A_NUMBER: return NAN;
    case SPECIAL: return special_value(i);
    case LAST_BAD: return i + 1 < n ? random_unit() : -INFINITY;
    }
    return 0;
}

/* Adds a tensor and returns its index. */
static int add(spec *c, mebi__dtype type, role r, fill f, int rank, const int64_t *dim) {
    assert_true(c->count < TENSORS);
    tensor *t = &c->tensor[c->count];
    *t = (tensor){.dtype = type, .role = r, .fill = f, .alias = -1, .shape = {.rank = rank}};
    memcpy(t->shape.dim, dim, sizeof *dim * (size_t)rank);
    return c->count++;
}

static int add1(spec *c, mebi__dtype type, role r, fill f, int64_t a) {
    return add(c, type, r, f, 1, (int64_t[]){a});
}

static int add2(spec *c, mebi__dtype type, role r, fill f, int64_t a, int64_t b) {
    return add(c, type, r, f, 2, (int64_t[]){a, b});
}

static int add3(spec *c, role r, fill f, int64_t a, int64_t b, int64_t d) {
    return add(c, MEBI__F32, r, f, 3, (int64_t[]){a, b, d});
}

/* A tensor left out, or the same memory as another. */
static int add_none(spec *c) {
    c->tensor[c->count] = (tensor){.alias = -2};
    return c->count++;
}

static int add_alias(spec *c, int of) {
    c->tensor[c->count] = c->tensor[of];
    c->tensor[c->count].alias = of;
    c->tensor[of].role = OUT;
    return c->count++;
}

static void apply_linear(mebi__stream *s, const spec *c, const mebi__view *v) {
    (void)c;
    mebi__linear(s, v[0], v[1], v[2], v[3]);
}

static spec linear_case(int m, int k, int n, mebi__dtype type, int bias) {
    spec c = {.kind = MEBI__OP_LINEAR, .apply = apply_linear};
    add2(&c, MEBI__F32, IN, UNIT, m, k);
    add2(&c, type, IN, UNIT, n, k);
    if (bias) add1(&c, MEBI__F32, IN, UNIT, n);
    else add_none(&c);
    add2(&c, MEBI__F32, OUT, NOT_A_NUMBER, m, n);
    return c;
}

static void apply_conv2d(mebi__stream *s, const spec *c, const mebi__view *v) {
    mebi__conv2d(s, v[0], v[1], v[2], v[4], c->conv, v[3]);
}

/* residual: 0 none, 1 another tensor, 2 the output itself */
static spec conv_case(int h, int w, int ci, int co, int kh, int kw, mebi__conv_params p,
                      mebi__dtype type, int residual) {
    spec c = {.kind = MEBI__OP_CONV2D, .apply = apply_conv2d, .conv = p, .n = {kh, kw, p.stride}};
    int64_t ho = (h * p.upsample + p.top + p.bottom - kh) / p.stride + 1;
    int64_t wo = (w * p.upsample + p.left + p.right - kw) / p.stride + 1;
    add3(&c, IN, UNIT, h, w, ci);
    add(&c, type, IN, UNIT, 4, (int64_t[]){co, kh, kw, ci});
    add1(&c, MEBI__F32, IN, UNIT, co);
    int y = add3(&c, OUT, residual == 2 ? UNIT : NOT_A_NUMBER, ho, wo, co);
    if (residual == 0) add_none(&c);
    if (residual == 1) add3(&c, IN, UNIT, ho, wo, co);
    if (residual == 2) add_alias(&c, y);
    return c;
}

static void apply_attention(mebi__stream *s, const spec *c, const mebi__view *v) {
    mebi__attention(s, v[0], v[1], v[2], c->n[0], c->n[1], c->n[2], v[3]);
}

static spec attention_case(int sq, int sk, int heads, int kv_heads, int hd, int causal, fill f) {
    spec c = {.kind = MEBI__OP_ATTENTION, .apply = apply_attention, .n = {heads, kv_heads, causal}};
    add2(&c, MEBI__F32, IN, f, sq, heads * hd);
    add2(&c, MEBI__F32, IN, UNIT, sk, kv_heads * hd);
    add2(&c, MEBI__F32, IN, UNIT, sk, kv_heads * hd);
    add2(&c, MEBI__F32, OUT, NOT_A_NUMBER, sq, heads * hd);
    /* Scores of some hundreds, rounded to f32, are exponents. */
    if (f == WIDE) c.slack = 100;
    return c;
}

static void apply_embed(mebi__stream *s, const spec *c, const mebi__view *v) {
    (void)c;
    mebi__embed(s, v[0], v[1], v[2]);
}

static spec embed_case(int tokens, int width, mebi__dtype type) {
    spec c = {.kind = MEBI__OP_EMBED, .apply = apply_embed};
    add1(&c, MEBI__I32, IN, UNIT, tokens);
    add2(&c, type, IN, UNIT, 11, width); /* ids are -1..12 */
    add2(&c, MEBI__F32, OUT, NOT_A_NUMBER, tokens, width);
    return c;
}

static void apply_rms_norm(mebi__stream *s, const spec *c, const mebi__view *v) {
    mebi__rms_norm(s, v[0], v[1], v[2], c->f[0], v[3]);
}

static spec rms_norm_case(int m, int d, int scale, int in_place, fill f) {
    spec c = {.kind = MEBI__OP_RMS_NORM, .apply = apply_rms_norm, .f = {1e-6f}};
    int x = add2(&c, MEBI__F32, IN, f, m, d);
    add1(&c, MEBI__F32, IN, UNIT, d);
    if (scale) add1(&c, MEBI__F32, IN, UNIT, d);
    else add_none(&c);
    if (in_place) add_alias(&c, x);
    else add2(&c, MEBI__F32, OUT, NOT_A_NUMBER, m, d);
    return c;
}

static void apply_layer_norm(mebi__stream *s, const spec *c, const mebi__view *v) {
    mebi__layer_norm(s, v[0], v[1], c->f[0], v[2]);
}

static spec layer_norm_case(int m, int d, int in_place, fill f) {
    spec c = {.kind = MEBI__OP_LAYER_NORM, .apply = apply_layer_norm, .f = {1e-6f}};
    int x = add2(&c, MEBI__F32, IN, f, m, d);
    add1(&c, MEBI__F32, IN, UNIT, d);
    if (in_place) add_alias(&c, x);
    else add2(&c, MEBI__F32, OUT, NOT_A_NUMBER, m, d);
    return c;
}

static void apply_norm_rope(mebi__stream *s, const spec *c, const mebi__view *v) {
    mebi__norm_rope(s, v[0], c->n[0], v[1], c->f[0], v[2], v[3], (mebi__rope_style)c->n[1]);
}

static spec norm_rope_case(int rows, int heads, int hd, mebi__rope_style style, fill f) {
    spec c = {.kind = MEBI__OP_NORM_ROPE,
              .apply = apply_norm_rope,
              .f = {1e-5f},
              .n = {heads, (int)style}};
    add2(&c, MEBI__F32, OUT, f, rows, heads * hd);
    add1(&c, MEBI__F32, IN, UNIT, hd);
    add2(&c, MEBI__F32, IN, UNIT, rows, hd / 2);
    add2(&c, MEBI__F32, IN, UNIT, rows, hd / 2);
    return c;
}

static void apply_swiglu(mebi__stream *s, const spec *c, const mebi__view *v) {
    (void)c;
    mebi__swiglu(s, v[0], v[1], v[2]);
}

static spec swiglu_case(int m, int d, int in_place, fill f) {
    spec c = {.kind = MEBI__OP_SWIGLU, .apply = apply_swiglu};
    int a = add2(&c, MEBI__F32, IN, f, m, d);
    add2(&c, MEBI__F32, IN, UNIT, m, d);
    if (in_place) add_alias(&c, a);
    else add2(&c, MEBI__F32, OUT, NOT_A_NUMBER, m, d);
    return c;
}

static void apply_gated_residual(mebi__stream *s, const spec *c, const mebi__view *v) {
    mebi__gated_residual(s, v[0], v[1], v[2], c->f[0], v[3]);
}

static spec gated_residual_case(int m, int d, int gate, fill f) {
    spec c = {.kind = MEBI__OP_GATED_RESIDUAL, .apply = apply_gated_residual, .f = {1e-5f}};
    add2(&c, MEBI__F32, OUT, UNIT, m, d);
    add2(&c, MEBI__F32, IN, f, m, d);
    add1(&c, MEBI__F32, IN, UNIT, d);
    if (gate) add1(&c, MEBI__F32, IN, WIDE, d);
    else add_none(&c);
    return c;
}

static void apply_silu(mebi__stream *s, const spec *c, const mebi__view *v) {
    (void)c;
    mebi__silu(s, v[0], v[1]);
}

static void apply_combine(mebi__stream *s, const spec *c, const mebi__view *v) {
    mebi__combine(s, c->f[0], v[0], c->f[1], v[1]);
}

static void apply_affine(mebi__stream *s, const spec *c, const mebi__view *v) {
    mebi__affine(s, v[0], c->f[0], c->f[1], v[1]);
}

static void apply_to_pixels(mebi__stream *s, const spec *c, const mebi__view *v) {
    (void)c;
    mebi__to_pixels(s, v[0], v[1]);
}

static void apply_copy(mebi__stream *s, const spec *c, const mebi__view *v) {
    (void)c;
    mebi__copy(s, v[0], v[1]);
}

static void apply_check_finite(mebi__stream *s, const spec *c, const mebi__view *v) {
    (void)c;
    mebi__check_finite(s, v[0], v[1]);
}

static void apply_guide(mebi__stream *s, const spec *c, const mebi__view *v) {
    mebi__guide(s, v[1], v[0], c->f[0], c->f[1]);
}

/* One input, one output of n elements. */
static spec unary_case(mebi__op_kind kind,
                       void (*apply)(mebi__stream *, const spec *, const mebi__view *), int n,
                       mebi__dtype out, fill in_fill, fill out_fill, int in_place) {
    spec c = {.kind = kind, .apply = apply};
    int x = add1(&c, MEBI__F32, IN, in_fill, n);
    if (in_place) add_alias(&c, x);
    else add1(&c, out, OUT, out_fill, kind == MEBI__OP_CHECK_FINITE ? 1 : n);
    return c;
}

static void apply_fill_rows(mebi__stream *s, const spec *c, const mebi__view *v) {
    (void)c;
    mebi__fill_rows(s, v[0], v[1]);
}

static void apply_group_norm(mebi__stream *s, const spec *c, const mebi__view *v) {
    mebi__group_sums(s, v[0], 0, v[4]);
    mebi__group_norm(s, v[0], v[4], v[1], v[2], c->f[0], c->n[1], v[3]);
}

static spec group_norm_case(int h, int w, int ch, int groups, int silu, int in_place, fill f) {
    spec c = {
        .kind = MEBI__OP_GROUP_NORM, .apply = apply_group_norm, .f = {1e-6f}, .n = {groups, silu}};
    int x = add3(&c, IN, f, h, w, ch);
    add1(&c, MEBI__F32, IN, UNIT, ch);
    add1(&c, MEBI__F32, IN, UNIT, ch);
    if (in_place) add_alias(&c, x);
    else add3(&c, OUT, NOT_A_NUMBER, h, w, ch);
    add2(&c, MEBI__F64, OUT, NOT_A_NUMBER, groups, 3);
    return c;
}

/* At once, and in strips of n[1] rows. */
static void apply_group_sums(mebi__stream *s, const spec *c, const mebi__view *v) {
    int64_t height = v[0].shape.dim[0], rows = c->n[1];
    mebi__group_sums(s, v[0], 0, v[1]);
    for (int64_t r = 0; r < height; r += rows)
        mebi__group_sums(s, mebi__view_rows(v[0], r, height - r < rows ? height - r : rows), r > 0, v[2]);
}

static spec group_sums_case(int h, int w, int ch, int groups, int rows, fill f) {
    spec c = {.kind = MEBI__OP_GROUP_SUMS, .apply = apply_group_sums, .n = {groups, rows}};
    add3(&c, IN, f, h, w, ch);
    add2(&c, MEBI__F64, OUT, NOT_A_NUMBER, groups, 3);
    add2(&c, MEBI__F64, OUT, NOT_A_NUMBER, groups, 3);
    return c;
}

static void apply_permute(mebi__stream *s, const spec *c, const mebi__view *v) {
    mebi__permute(s, v[0], c->permute, v[1]);
}

static spec permute_case(int rank, const int64_t *dim, const int64_t *stride) {
    spec c = {.kind = MEBI__OP_PERMUTE, .apply = apply_permute};
    int64_t count = 1, last = 0;
    for (int i = 0; i < rank; i++) {
        c.permute.dim[i] = dim[i];
        c.permute.stride[i] = stride[i];
        count *= dim[i];
        last += (dim[i] - 1) * stride[i];
        c.n[i % 4] = (int)dim[i];
    }
    add1(&c, MEBI__F32, IN, UNIT, last + 1);
    add1(&c, MEBI__F32, OUT, NOT_A_NUMBER, count);
    return c;
}

#endif

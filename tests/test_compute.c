/* The operations' front and the dry device: nothing is computed here, everything is checked. */
#include "testing.h"

#include "compute/dry.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BUFFER = 1 << 16, PLACE = 4096, VIEWS = 6 };

/* ---- a stream on a dry device ---- */

/* The device that the dry one stands in for: only its scratch is asked for. */
static size_t scratch_of(mebi__device *d, const mebi__op *op) {
    (void)d;
    return 100 * ((size_t)op->kind + 1);
}

static const mebi__device_table target_table = {.name = "target", .scratch_bytes = scratch_of};

typedef struct bench {
    mebi__device target, *dry;
    mebi__buffer memory, other;
    mebi__stream s;
    mebi_error err;
    int asked, cancel_at; /* of the cancel callback */
} bench;

static int count_questions(void *context) {
    bench *b = context;
    return ++b->asked == b->cancel_at;
}

/* A fresh stream on the same device, with nothing recorded. */
static void begin(bench *b) {
    b->err = (mebi_error){0};
    b->asked = 0;
    b->s = (mebi__stream){.device = b->dry,
                          .memory = &b->memory,
                          .err = &b->err,
                          .cancelled = count_questions,
                          .cancel_context = b};
    mebi__arena_init(&b->s.arena, BUFFER);
    mebi__dry_reset(b->dry);
}

static bench *bench_open(void) {
    static bench b;
    b = (bench){.target = {&target_table}, .memory = {BUFFER}, .other = {BUFFER}};
    assert_mebi_ok(mebi__dry_create(&b.target, &b.dry, &b.err), &b.err);
    begin(&b);
    return &b;
}

static long calls(const bench *b) {
    long n = 0;
    for (int k = 0; k < MEBI__OP_COUNT; k++) n += mebi__dry_report_of(b->dry)->calls[k];
    return n;
}

/* ---- every operation once, in good order ---- */

typedef struct args {
    mebi__view v[VIEWS];
    int heads, kv_heads, causal;
    mebi__conv_params conv;
    mebi__permute_params permute;
} args;

static void call(mebi__stream *s, mebi__op_kind kind, const args *a) {
    const mebi__view *v = a->v;
    switch (kind) {
    case MEBI__OP_LINEAR:
    case MEBI__OP_LINEAR_INT8: mebi__linear(s, v[1], v[2], v[3], v[0]); break;
    case MEBI__OP_QUANTIZE: mebi__quantize(s, v[1], v[0]); break;
    case MEBI__OP_EMBED: mebi__embed(s, v[1], v[2], v[0]); break;
    case MEBI__OP_RMS_NORM: mebi__rms_norm(s, v[1], v[2], v[3], 1e-5f, v[0]); break;
    case MEBI__OP_LAYER_NORM: mebi__layer_norm(s, v[1], v[2], 1e-5f, v[0]); break;
    case MEBI__OP_NORM_ROPE:
        mebi__norm_rope(s, v[0], a->heads, v[1], 1e-5f, v[2], v[3], MEBI__ROPE_PAIRS);
        break;
    case MEBI__OP_ATTENTION:
        mebi__attention(s, v[1], v[2], v[3], a->heads, a->kv_heads, a->causal, v[0]);
        break;
    case MEBI__OP_SWIGLU: mebi__swiglu(s, v[1], v[2], v[0]); break;
    case MEBI__OP_GATED_RESIDUAL: mebi__gated_residual(s, v[0], v[1], v[2], 1e-5f, v[3]); break;
    case MEBI__OP_SILU: mebi__silu(s, v[1], v[0]); break;
    case MEBI__OP_COMBINE: mebi__combine(s, 2, v[1], 1, v[0]); break;
    case MEBI__OP_AFFINE: mebi__affine(s, v[1], 2, 1, v[0]); break;
    case MEBI__OP_CONV2D: mebi__conv2d(s, v[1], v[2], v[3], v[4], a->conv, v[0]); break;
    case MEBI__OP_GROUP_SUMS: mebi__group_sums(s, v[1], 0, v[0]); break;
    case MEBI__OP_GROUP_NORM: mebi__group_norm(s, v[1], v[2], v[3], v[4], 1e-6f, 1, v[0]); break;
    case MEBI__OP_PERMUTE: mebi__permute(s, v[1], a->permute, v[0]); break;
    case MEBI__OP_COPY: mebi__copy(s, v[1], v[0]); break;
    case MEBI__OP_FILL_ROWS: mebi__fill_rows(s, v[1], v[0]); break;
    case MEBI__OP_GUIDE: mebi__guide(s, v[0], v[1], 5, 1); break;
    case MEBI__OP_TO_PIXELS: mebi__to_pixels(s, v[1], v[0]); break;
    case MEBI__OP_CHECK_FINITE: mebi__check_finite(s, v[1], v[0]); break;
    case MEBI__OP_COUNT: fail();
    }
}

/* What an operation takes. View 0 is the output. */
enum {
    OPTIONAL = 1,
    WEIGHT = 2,   /* f32 or bf16 */
    MATRIX = 64,  /* any type that decodes */
    MAY_BE_Y = 4, /* may be the output itself */
    ANY_RANK = 8,
    FREE_0 = 16, /* this dimension is tied to no other tensor's */
    FREE_ALL = 32,
    FREE_IMAGE = 256, /* height and width are tied to no other tensor's */
    NAMING = 128, /* its type decides which operation it is */
};

typedef struct spec {
    mebi__op_kind kind;
    int views, heads, kv_heads, causal;
    struct {
        mebi__dtype dtype;
        int rank;
        int64_t dim[4];
        int is;
    } view[VIEWS];
    double operations, bytes; /* by hand */
} spec;

#define F MEBI__F32
static const spec specs[] = {
    {MEBI__OP_LINEAR,
     4,
     0,
     0,
     0,
     {{F, 2, {3, 7}, 0}, {F, 2, {3, 5}, 0}, {F, 2, {7, 5}, MATRIX}, {F, 1, {7}, OPTIONAL}},
     2 * 3 * 7 * 5,
     4 * (21 + 15 + 35 + 7)},
    {MEBI__OP_LINEAR_INT8,
     4,
     0,
     0,
     0,
     {{F, 2, {3, 7}, 0},
      {MEBI__INT8_ROWS, 2, {3, 64}, 0},
      {MEBI__INT8_PANELS, 2, {7, 64}, NAMING},
      {F, 1, {7}, OPTIONAL}},
     2 * 3 * 7 * 64,
     4 * (21 + 7) + 3 * 128 + 16 * (64 + 4 + 4)}, /* a row: 64 + 4, padded to 128 */
    {MEBI__OP_QUANTIZE,
     2,
     0,
     0,
     0,
     {{MEBI__INT8_ROWS, 2, {3, 64}, 0}, {F, 2, {3, 64}, 0}},
     20 * 192,
     3 * 128 + 4 * 192},
    {MEBI__OP_EMBED,
     3,
     0,
     0,
     0,
     {{F, 2, {3, 5}, 0}, {MEBI__I32, 1, {3}, 0}, {F, 2, {9, 5}, MATRIX | FREE_0}},
     0,
     4 * (3 + 15 + 15)},
    {MEBI__OP_RMS_NORM,
     4,
     0,
     0,
     0,
     {{F, 2, {3, 8}, 0}, {F, 2, {3, 8}, MAY_BE_Y}, {F, 1, {8}, 0}, {F, 1, {8}, OPTIONAL}},
     8 * 24,
     4 * (24 + 24 + 8 + 8)},
    {MEBI__OP_LAYER_NORM,
     3,
     0,
     0,
     0,
     {{F, 2, {3, 8}, 0}, {F, 2, {3, 8}, MAY_BE_Y}, {F, 1, {8}, 0}},
     8 * 24,
     4 * (24 + 24 + 8)},
    {MEBI__OP_NORM_ROPE,
     4,
     2,
     0,
     0,
     {{F, 2, {3, 8}, 0}, {F, 1, {4}, 0}, {F, 2, {3, 2}, 0}, {F, 2, {3, 2}, 0}},
     8 * 24,
     4 * (24 + 24 + 4 + 6 + 6)},
    {MEBI__OP_ATTENTION,
     4,
     4,
     2,
     0,
     {{F, 2, {4, 24}, 0}, {F, 2, {4, 24}, 0}, {F, 2, {7, 12}, 0}, {F, 2, {7, 12}, 0}},
     4 * 4 * 7 * 24,
     4 * (96 + 96 + 84 + 84)},
    {MEBI__OP_ATTENTION,
     4,
     4,
     2,
     1,
     {{F, 2, {5, 24}, 0}, {F, 2, {5, 24}, 0}, {F, 2, {5, 12}, 0}, {F, 2, {5, 12}, 0}},
     4 * (1 + 2 + 3 + 4 + 5) * 24,
     4 * (120 + 120 + 60 + 60)},
    {MEBI__OP_SWIGLU,
     3,
     0,
     0,
     0,
     {{F, 2, {3, 8}, 0}, {F, 2, {3, 8}, MAY_BE_Y}, {F, 2, {3, 8}, 0}},
     10 * 24,
     4 * 3 * 24},
    {MEBI__OP_GATED_RESIDUAL,
     4,
     0,
     0,
     0,
     {{F, 2, {3, 8}, 0}, {F, 2, {3, 8}, 0}, {F, 1, {8}, 0}, {F, 1, {8}, OPTIONAL}},
     8 * 24,
     4 * (24 + 24 + 8 + 8)},
    {MEBI__OP_SILU, 2, 0, 0, 0, {{F, 3, {2, 3, 4}, 0}, {F, 3, {2, 3, 4}, MAY_BE_Y}}, 240, 192},
    {MEBI__OP_COMBINE, 2, 0, 0, 0, {{F, 3, {2, 3, 4}, 0}, {F, 3, {2, 3, 4}, 0}}, 72, 192},
    {MEBI__OP_AFFINE, 2, 0, 0, 0, {{F, 1, {24}, 0}, {F, 1, {24}, MAY_BE_Y}}, 72, 192},
    {MEBI__OP_CONV2D,
     5,
     0,
     0,
     0,
     {{F, 3, {4, 6, 5}, 0},
      {F, 3, {4, 6, 2}, 0},
      {F, 4, {5, 3, 3, 2}, WEIGHT},
      {F, 1, {5}, 0},
      {F, 3, {4, 6, 5}, OPTIONAL | MAY_BE_Y}},
     2 * 4 * 6 * 5 * 3 * 3 * 2,
     4 * (120 + 48 + 90 + 5 + 120)},
    {MEBI__OP_GROUP_SUMS,
     2,
     0,
     0,
     0,
     {{MEBI__F64, 2, {3, 3}, 0}, {F, 3, {2, 3, 6}, FREE_IMAGE}},
     4 * 36,
     8 * 9 + 4 * 36},
    {MEBI__OP_GROUP_NORM,
     5,
     0,
     0,
     0,
     {{F, 3, {2, 3, 6}, 0},
      {F, 3, {2, 3, 6}, MAY_BE_Y},
      {MEBI__F64, 2, {3, 3}, 0},
      {F, 1, {6}, 0},
      {F, 1, {6}, 0}},
     8 * 36,
     4 * (36 + 36 + 6 + 6) + 8 * 9},
    {MEBI__OP_PERMUTE,
     2,
     0,
     0,
     0,
     {{F, 2, {4, 3}, ANY_RANK}, {F, 2, {3, 4}, ANY_RANK | FREE_ALL}},
     0,
     96},
    {MEBI__OP_COPY, 2, 0, 0, 0, {{F, 2, {4, 3}, 0}, {F, 2, {4, 3}, 0}}, 0, 96},
    {MEBI__OP_COPY, 2, 0, 0, 0, {{MEBI__BF16, 2, {4, 3}, 0}, {MEBI__BF16, 2, {4, 3}, 0}}, 0, 48},
    {MEBI__OP_FILL_ROWS, 2, 0, 0, 0, {{F, 2, {4, 3}, FREE_0}, {F, 1, {3}, 0}}, 0, 60},
    {MEBI__OP_GUIDE, 2, 0, 0, 0, {{F, 3, {2, 3, 4}, 0}, {F, 3, {2, 3, 4}, 0}}, 72, 192},
    {MEBI__OP_TO_PIXELS, 2, 0, 0, 0, {{MEBI__U8, 3, {2, 3, 4}, 0}, {F, 3, {2, 3, 4}, 0}}, 72, 120},
    {MEBI__OP_CHECK_FINITE,
     2,
     0,
     0,
     0,
     {{MEBI__I32, 1, {1}, 0}, {F, 2, {3, 4}, ANY_RANK | FREE_ALL}},
     12,
     52},
};
#undef F
enum { SPECS = sizeof specs / sizeof *specs };

static args good_args(bench *b, const spec *p) {
    args a = {.heads = p->heads,
              .kv_heads = p->kv_heads,
              .causal = p->causal,
              .conv = {1, 1, 1, 1, 1, 1},
              .permute = {{4, 3}, {1, 4}}};
    for (int i = 0; i < p->views; i++) {
        a.v[i] = (mebi__view){
            &b->memory, PLACE * ((size_t)i + 1), p->view[i].dtype, {p->view[i].rank, {0}}};
        for (int d = 0; d < p->view[i].rank; d++) a.v[i].shape.dim[d] = p->view[i].dim[d];
    }
    return a;
}

static void expect_accepted(bench *b, const spec *p, const args *a, const char *what) {
    begin(b);
    call(&b->s, p->kind, a);
    if (b->s.status != MEBI_OK) fail_msg("%s, %s: %s", mebi__op_name(p->kind), what, b->err.text);
    assert_int_equal(calls(b), 1);
    assert_int_equal(mebi__dry_report_of(b->dry)->calls[p->kind], 1);
}

/* Refused with the operation's name and this reason, and nothing after it is recorded. */
static void expect_refused(bench *b, const spec *p, const args *a, int view, const char *reason) {
    char begins[64];
    begin(b);
    snprintf(begins, sizeof begins, "Operation %s: ", mebi__op_name(p->kind));
    call(&b->s, p->kind, a);
    if (b->s.status != MEBI_INTERNAL || strncmp(b->err.text, begins, strlen(begins)) != 0 ||
        !strstr(b->err.text, reason))
        fail_msg("%s, view %d, expected \"%s\": status %d, \"%s\"", mebi__op_name(p->kind), view,
                 reason, (int)b->s.status, b->err.text);
    args good = good_args(b, p);
    call(&b->s, p->kind, &good);
    assert_int_equal(calls(b), 0);
    assert_int_equal(mebi__stream_wait(&b->s), MEBI_INTERNAL);
}

static void good_calls_are_counted_as_by_hand(void **state) {
    (void)state;
    bench *b = bench_open();
    int kinds[MEBI__OP_COUNT] = {0};
    for (int i = 0; i < SPECS; i++) {
        const spec *p = &specs[i];
        args a = good_args(b, p);
        expect_accepted(b, p, &a, "as it should be");
        const mebi__dry_report *r = mebi__dry_report_of(b->dry);
        assert_float_equal(r->operations[p->kind], p->operations, 0);
        assert_float_equal(r->bytes[p->kind], p->bytes, 0);
        assert_int_equal(r->scratch_bytes, 100 * ((size_t)p->kind + 1));
        kinds[p->kind]++;
    }
    for (int k = 0; k < MEBI__OP_COUNT; k++) assert_true(kinds[k] > 0);
    mebi__device_destroy(&b->dry);
}

static void a_missing_tensor_is_refused(void **state) {
    (void)state;
    bench *b = bench_open();
    for (int i = 0; i < SPECS; i++)
        for (int v = 0; v < specs[i].views; v++) {
            args a = good_args(b, &specs[i]);
            a.v[v].buffer = NULL;
            if (specs[i].view[v].is & OPTIONAL) expect_accepted(b, &specs[i], &a, "left out");
            else expect_refused(b, &specs[i], &a, v, "a tensor is missing");
        }
    mebi__device_destroy(&b->dry);
}

static void a_wrong_type_is_refused(void **state) {
    (void)state;
    bench *b = bench_open();
    for (int i = 0; i < SPECS; i++)
        for (int v = 0; v < specs[i].views; v++)
            for (int t = 0; t < MEBI__DTYPE_COUNT; t++) {
                args a = good_args(b, &specs[i]);
                if (a.v[v].dtype == (mebi__dtype)t) continue;
                a.v[v].dtype = (mebi__dtype)t;
                int is = specs[i].view[v].is, decodes = mebi__dtype_decodes((mebi__dtype)t);
                /* Then it is another operation: see int8_operands_go_together. */
                if (is & NAMING || (is & MATRIX && t == MEBI__INT8_PANELS)) continue;
                int whole = a.v[v].shape.dim[1] % mebi__dtype_block((mebi__dtype)t) == 0;
                if (is & WEIGHT && t == MEBI__BF16) expect_accepted(b, &specs[i], &a, "in bf16");
                else if (is & MATRIX && decodes && whole)
                    expect_accepted(b, &specs[i], &a, mebi__dtype_name((mebi__dtype)t));
                else if (is & MATRIX && decodes)
                    expect_refused(b, &specs[i], &a, v, "a shape is not valid");
                else if (mebi__dtype_block((mebi__dtype)t) > 1) /* perhaps the shape's sake */
                    expect_refused(b, &specs[i], &a, v, "");
                else expect_refused(b, &specs[i], &a, v, "a tensor has the wrong type");
            }
    mebi__device_destroy(&b->dry);
}

static void a_wrong_rank_is_refused(void **state) {
    (void)state;
    bench *b = bench_open();
    for (int i = 0; i < SPECS; i++)
        for (int v = 0; v < specs[i].views; v++)
            for (int more = -1; more <= 1; more += 2) {
                args a = good_args(b, &specs[i]);
                mebi__shape *shape = &a.v[v].shape;
                if (shape->rank + more < 1 || shape->rank + more > MEBI__MAX_RANK) continue;
                /* As many elements, where that can be had. */
                if (more > 0) shape->dim[shape->rank] = 1;
                else shape->dim[shape->rank - 2] *= shape->dim[shape->rank - 1];
                shape->rank += more;
                if (specs[i].view[v].is & ANY_RANK)
                    expect_accepted(b, &specs[i], &a, "of another rank");
                else expect_refused(b, &specs[i], &a, v, ""); /* rank, or shapes that differ */
            }
    mebi__device_destroy(&b->dry);
}

static void a_wrong_shape_is_refused(void **state) {
    (void)state;
    bench *b = bench_open();
    for (int i = 0; i < SPECS; i++)
        for (int v = 0; v < specs[i].views; v++)
            for (int d = 0; d < specs[i].view[v].rank; d++) {
                args a = good_args(b, &specs[i]);
                a.v[v].shape.dim[d]++;
                int is = specs[i].view[v].is;
                if (is & FREE_ALL || (is & FREE_0 && d == 0) || (is & FREE_IMAGE && d < 2))
                    expect_accepted(b, &specs[i], &a, "with more of a free dimension");
                else expect_refused(b, &specs[i], &a, v, "");
                static const int64_t invalid[] = {0, -1, INT64_MIN, INT64_MAX};
                for (int k = 0; k < 4; k++) {
                    a.v[v].shape.dim[d] = invalid[k];
                    expect_refused(b, &specs[i], &a, v, "");
                }
            }
    mebi__device_destroy(&b->dry);
}

static void a_misaligned_tensor_is_refused(void **state) {
    (void)state;
    bench *b = bench_open();
    for (int i = 0; i < SPECS; i++)
        for (int v = 0; v < specs[i].views; v++)
            for (size_t by = 1; by < mebi__dtype_alignment(specs[i].view[v].dtype); by++) {
                args a = good_args(b, &specs[i]);
                a.v[v].offset += by;
                expect_refused(b, &specs[i], &a, v, "a tensor is misaligned");
            }
    mebi__device_destroy(&b->dry);
}

static void a_tensor_beyond_its_buffer_is_refused(void **state) {
    (void)state;
    bench *b = bench_open();
    for (int i = 0; i < SPECS; i++)
        for (int v = 0; v < specs[i].views; v++) {
            args a = good_args(b, &specs[i]);
            size_t one = mebi__dtype_alignment(a.v[v].dtype), last = BUFFER - mebi__view_bytes(&a.v[v]);
            a.v[v].offset = last;
            expect_accepted(b, &specs[i], &a, "at the buffer's end");
            const size_t beyond[] = {last + one, BUFFER, SIZE_MAX - one + 1};
            for (int k = 0; k < 3; k++) {
                a.v[v].offset = beyond[k];
                expect_refused(b, &specs[i], &a, v, "a tensor reaches beyond its buffer");
            }
        }
    mebi__device_destroy(&b->dry);
}

static void overlap_is_refused(void **state) {
    (void)state;
    bench *b = bench_open();
    for (int i = 0; i < SPECS; i++)
        for (int v = 1; v < specs[i].views; v++) {
            args a = good_args(b, &specs[i]);
            size_t one = mebi__dtype_alignment(a.v[v].dtype), mine = mebi__view_bytes(&a.v[v]);
            size_t out = a.v[0].offset, outs = mebi__view_bytes(&a.v[0]);
            a.v[v].offset = out;
            if (specs[i].view[v].is & MAY_BE_Y) expect_accepted(b, &specs[i], &a, "in place");
            else expect_refused(b, &specs[i], &a, v, "output and input overlap");
            /* One element in common, at the end and at the beginning; the same in part. */
            a.v[v].offset = out - mine + one;
            if (mine > one) expect_refused(b, &specs[i], &a, v, "output and input overlap");
            a.v[v].offset = out + (outs - 1) / one * one;
            if (outs > one) expect_refused(b, &specs[i], &a, v, "output and input overlap");
            /* Side by side, or in another buffer. */
            size_t step = one > 4 ? one : 4;
            a.v[v].offset = out - (mine + step - 1) / step * step;
            expect_accepted(b, &specs[i], &a, "just before the output");
            a.v[v].offset = (out + outs + step - 1) / step * step;
            expect_accepted(b, &specs[i], &a, "just after the output");
            a.v[v].offset = out;
            a.v[v].buffer = &b->other;
            expect_accepted(b, &specs[i], &a, "in another buffer");
        }
    mebi__device_destroy(&b->dry);
}

/* ---- parameters ---- */

static const spec *spec_of(mebi__op_kind kind) {
    for (int i = 0; i < SPECS; i++)
        if (specs[i].kind == kind) return &specs[i];
    fail();
    return NULL;
}

static void wrong_heads_are_refused(void **state) {
    (void)state;
    bench *b = bench_open();
    static const struct {
        mebi__op_kind kind;
        int heads, kv_heads;
        const char *reason;
    } cases[] = {
        {MEBI__OP_NORM_ROPE, 0, 0, "even parts"},
        {MEBI__OP_NORM_ROPE, -2, 0, "even parts"},
        {MEBI__OP_NORM_ROPE, 3, 0, "even parts"},
        {MEBI__OP_NORM_ROPE, 8, 0, "even parts"},
        {MEBI__OP_NORM_ROPE, 4, 0, "wrong length"},
        {MEBI__OP_ATTENTION, 0, 2, "heads don't fit"},
        {MEBI__OP_ATTENTION, 4, 0, "heads don't fit"},
        {MEBI__OP_ATTENTION, -4, -2, "heads don't fit"},
        {MEBI__OP_ATTENTION, 4, 3, "heads don't fit"},
        {MEBI__OP_ATTENTION, 4, 4, "heads don't fit"},
        {MEBI__OP_ATTENTION, 5, 5, "heads don't fit"},
        {MEBI__OP_ATTENTION, 2, 4, "heads don't fit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const spec *p = spec_of(cases[i].kind);
        args a = good_args(b, p);
        a.heads = cases[i].heads;
        a.kv_heads = cases[i].kv_heads;
        expect_refused(b, p, &a, -1, cases[i].reason);
    }
    args a = good_args(b, spec_of(MEBI__OP_ATTENTION));
    a.causal = 1; /* 4 queries, 7 keys */
    expect_refused(b, spec_of(MEBI__OP_ATTENTION), &a, -1, "as many keys as queries");
    mebi__device_destroy(&b->dry);
}

static void wrong_sums_are_refused(void **state) {
    (void)state;
    bench *b = bench_open();
    static const mebi__op_kind kinds[] = {MEBI__OP_GROUP_SUMS, MEBI__OP_GROUP_NORM};
    for (int k = 0; k < 2; k++) {
        const spec *p = spec_of(kinds[k]);
        args a = good_args(b, p);
        mebi__view *sums = &a.v[kinds[k] == MEBI__OP_GROUP_SUMS ? 0 : 2];
        static const int64_t groups[] = {4, 5, 12}; /* of 6 channels */
        for (int i = 0; i < 3; i++) {
            sums->shape.dim[0] = groups[i];
            expect_refused(b, p, &a, -1, "groups don't");
        }
        sums->shape.dim[0] = 6;
        expect_accepted(b, p, &a, "a group a channel");
        sums->shape.dim[1] = 2;
        expect_refused(b, p, &a, -1, "three sums");
    }
    mebi__device_destroy(&b->dry);
}

static void wrong_convolutions_are_refused(void **state) {
    (void)state;
    bench *b = bench_open();
    const spec *p = spec_of(MEBI__OP_CONV2D);
    static const mebi__conv_params wrong[] = {
        {0, 1, 1, 1, 1, 1}, {3, 1, 1, 1, 1, 1},  {-1, 1, 1, 1, 1, 1}, {1, 0, 1, 1, 1, 1},
        {1, 1, 1, 1, 2, 1}, {1, -1, 1, 3, 1, 1}, {1, 9, 1, -7, 1, 1}, {1, 1, 1, 1, 1, 0},
        {1, 1, 1, 1, 1, 2}, {1, 1, 1, 1, 1, 3},  {2, 1, 1, 1, 1, 1},  {1, 1, -1, 1, 3, 1},
        {1, 1, 1, 1, 9, 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        args a = good_args(b, p);
        a.conv = wrong[i];
        expect_refused(b, p, &a, -1, "shapes or parameters don't fit");
    }
    /* Sizes that do fit: stride 2 of an even and an odd side, enlarged by 2, kernel 1 and 7. */
    static const struct {
        int64_t x[2], y[2];
        int kernel;
        mebi__conv_params params;
    } right[] = {
        {{8, 13}, {4, 7}, 3, {2, 1, 1, 1, 1, 1}}, {{8, 12}, {4, 6}, 3, {2, 0, 0, 1, 1, 1}},
        {{4, 6}, {8, 12}, 3, {1, 1, 1, 1, 1, 2}}, {{4, 6}, {4, 6}, 1, {1, 0, 0, 0, 0, 1}},
        {{4, 6}, {4, 6}, 7, {1, 3, 3, 3, 3, 1}},  {{2, 2}, {1, 1}, 2, {1, 0, 0, 0, 0, 1}},
    };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        args a = good_args(b, p);
        a.conv = right[i].params;
        a.v[4].buffer = NULL;
        for (int d = 0; d < 2; d++) {
            a.v[0].shape.dim[d] = right[i].y[d];
            a.v[1].shape.dim[d] = right[i].x[d];
            a.v[2].shape.dim[d + 1] = right[i].kernel;
        }
        expect_accepted(b, p, &a, "a fitting convolution");
        a.v[0].shape.dim[1]++;
        expect_refused(b, p, &a, 0, "shapes or parameters don't fit");
    }
    args a = good_args(b, p);
    a.conv = (mebi__conv_params){1, 4, 4, 3, 3, 1};
    a.v[2].shape.dim[1] = a.v[2].shape.dim[2] = 8; /* no kernel has 8 */
    expect_refused(b, p, &a, 2, "shapes or parameters don't fit");
    a = good_args(b, p);
    a.v[1].shape.dim[0] = 1;
    a.conv = (mebi__conv_params){1, 0, 1, 0, 1, 1}; /* the kernel is larger than the picture */
    expect_refused(b, p, &a, 1, "shapes or parameters don't fit");
    mebi__device_destroy(&b->dry);
}

static void wrong_strides_are_refused(void **state) {
    (void)state;
    bench *b = bench_open();
    const spec *p = spec_of(MEBI__OP_PERMUTE);
    static const mebi__permute_params wrong[] = {
        {{4, 3}, {1, 5}},
        {{4, 3}, {4, 1}},
        {{4, 3}, {-1, 4}},
        {{4, 4}, {1, 1}},
        {{4}, {1}},
        {{-4, -3}, {1, 4}},
        {{4, 3}, {INT64_MAX, 4}},
        {{INT64_MAX, INT64_MAX}, {0, 0}},
        {{4, 3}, {1, INT64_MAX}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        args a = good_args(b, p);
        a.permute = wrong[i];
        expect_refused(b, p, &a, -1, "strides don't fit");
    }
    args a = good_args(b, p);
    a.permute = (mebi__permute_params){{1, 2, 2, 1, 3, 1}, {9, 1, 2, 9, 4, 9}};
    expect_accepted(b, p, &a, "six dimensions");
    a.permute = (mebi__permute_params){{12}, {0}};
    expect_accepted(b, p, &a, "one value everywhere");
    mebi__device_destroy(&b->dry);
}

/* Of two operands of a product either both are int8 or none; their K is of whole groups. */
static void int8_operands_go_together(void **state) {
    (void)state;
    bench *b = bench_open();
    const spec *linear = spec_of(MEBI__OP_LINEAR), *int8 = spec_of(MEBI__OP_LINEAR_INT8);
    for (int t = 0; t < MEBI__DTYPE_COUNT; t++) {
        args a = good_args(b, int8);
        a.v[2].dtype = (mebi__dtype)t; /* rows in int8 and another matrix */
        if (t == MEBI__INT8_PANELS) expect_accepted(b, int8, &a, "int8");
        else expect_refused(b, linear, &a, 1, "a tensor has the wrong type");
    }
    args a = good_args(b, int8);
    a.v[1].dtype = MEBI__F32;
    expect_refused(b, int8, &a, 1, "a tensor has the wrong type");
    for (int v = 1; v <= 2; v++) {
        a = good_args(b, int8);
        a.v[v].shape.dim[1] = 96;
        expect_refused(b, int8, &a, v, "shapes differ");
        a.v[v].shape.dim[1] = 48;
        expect_refused(b, int8, &a, v, "a shape is not valid");
    }
    a = good_args(b, spec_of(MEBI__OP_QUANTIZE));
    a.v[0].shape.dim[1] = a.v[1].shape.dim[1] = 80;
    expect_refused(b, spec_of(MEBI__OP_QUANTIZE), &a, 0, "a shape is not valid");
    /* 17 rows are two panels: the second lies inside the buffer, or the matrix doesn't. */
    a = good_args(b, int8);
    a.v[2].shape.dim[0] = a.v[0].shape.dim[1] = a.v[3].shape.dim[0] = 17;
    a.v[2].offset = BUFFER - 2 * 1152;
    expect_accepted(b, int8, &a, "two panels at the end");
    a.v[2].offset += 64;
    expect_refused(b, int8, &a, 2, "a tensor reaches beyond its buffer");
    mebi__device_destroy(&b->dry);
}

/* ---- the stream ---- */

static void counts_add_up(void **state) {
    (void)state;
    bench *b = bench_open();
    const spec *linear = spec_of(MEBI__OP_LINEAR), *silu = spec_of(MEBI__OP_SILU);
    args a = good_args(b, linear), c = good_args(b, silu);
    a.v[2].dtype = MEBI__BF16;
    for (int i = 0; i < 5; i++) call(&b->s, MEBI__OP_LINEAR, &a);
    for (int i = 0; i < 3; i++) call(&b->s, MEBI__OP_SILU, &c);
    assert_mebi_ok(mebi__stream_wait(&b->s), &b->err);
    const mebi__dry_report *r = mebi__dry_report_of(b->dry);
    assert_int_equal(r->calls[MEBI__OP_LINEAR], 5);
    assert_int_equal(r->calls[MEBI__OP_SILU], 3);
    assert_int_equal(calls(b), 8);
    assert_float_equal(r->operations[MEBI__OP_LINEAR], 5 * 210, 0);
    assert_float_equal(r->bytes[MEBI__OP_LINEAR], 5 * (4 * (21 + 15 + 7) + 2 * 35), 0);
    assert_float_equal(r->operations[MEBI__OP_SILU], 3 * 240, 0);
    assert_int_equal(r->scratch_bytes, 100 * ((size_t)MEBI__OP_SILU + 1)); /* the largest */
    /* Only the rows looked up of a table in bf16. */
    begin(b);
    args e = good_args(b, spec_of(MEBI__OP_EMBED));
    e.v[2].dtype = MEBI__BF16;
    call(&b->s, MEBI__OP_EMBED, &e);
    assert_float_equal(r->bytes[MEBI__OP_EMBED], 4 * (3 + 15) + 2 * 15, 0);
    mebi__dry_reset(b->dry);
    assert_int_equal(calls(b), 0);
    assert_int_equal(r->scratch_bytes, 0);
    mebi__device_destroy(&b->dry);
}

static void the_dry_device_holds_no_tensors(void **state) {
    (void)state;
    bench *b = bench_open();
    mebi__buffer *buffer, *import;
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    const mebi__device_table *t = b->dry->table;
    assert_true(t->imaginary);
    assert_mebi_ok(t->buffer_create(b->dry, MEBI__TAG_DIT, (size_t)1 << 50, &buffer, &b->err),
                   &b->err);
    assert_mebi_ok(t->buffer_import(b->dry, MEBI__TAG_DIT, "x", (size_t)1 << 50, &import, &b->err),
                   &b->err);
    assert_int_equal(buffer->bytes, (size_t)1 << 50);
    assert_true(mebi__memory_held(MEBI__TAG_COUNT) - held < 1024);
    unsigned char host[8] = {1, 2, 3};
    mebi__view v = {buffer, 64, MEBI__U8, {1, {8}}};
    mebi__upload(&b->s, v, host);
    mebi__download(&b->s, v, host);
    assert_mebi_ok(mebi__stream_wait(&b->s), &b->err);
    assert_int_equal(host[2], 3);
    t->buffer_destroy(b->dry, buffer);
    t->buffer_destroy(b->dry, import);
    assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
    mebi__memory_fail_nth(1);
    assert_int_equal(t->buffer_create(b->dry, MEBI__TAG_DIT, 8, &buffer, NULL), MEBI_NO_MEMORY);
    mebi__memory_fail_nth(1);
    mebi__device *none;
    assert_int_equal(mebi__dry_create(&b->target, &none, NULL), MEBI_NO_MEMORY);
    mebi__memory_fail_nth(0);
    assert_null(none);
    mebi__device_destroy(&none);
    mebi__device_destroy(&b->dry);
}

static void transfers_are_checked(void **state) {
    (void)state;
    bench *b = bench_open();
    char host[64] = {0};
    const mebi__view wrong[] = {
        {NULL, 0, MEBI__F32, {1, {4}}},
        {&b->memory, BUFFER - 12, MEBI__F32, {1, {4}}},
        {&b->memory, SIZE_MAX - 3, MEBI__F32, {1, {4}}},
        {&b->memory, 0, MEBI__F32, {1, {0}}},
        {&b->memory, 0, MEBI__F32, {1, {-4}}},
    };
    for (int i = 0; i < 5; i++) {
        begin(b);
        mebi__upload(&b->s, wrong[i], host);
        assert_int_equal(b->s.status, MEBI_INTERNAL);
        assert_int_equal(strncmp(b->err.text, "Upload: a tensor", 16), 0);
        begin(b);
        mebi__download(&b->s, wrong[i], host);
        assert_int_equal(b->s.status, MEBI_INTERNAL);
        assert_int_equal(strncmp(b->err.text, "Download: a tensor", 18), 0);
    }
    mebi__device_destroy(&b->dry);
}

static void tensors_come_from_the_arena(void **state) {
    (void)state;
    bench *b = bench_open();
    mebi__view v = mebi__take2(&b->s, MEBI__F32, 5, 7), w = mebi__take1(&b->s, MEBI__U8, 1);
    mebi__view x = mebi__take3(&b->s, MEBI__I32, 2, 3, 4);
    assert_ptr_equal(v.buffer, &b->memory);
    assert_int_equal(v.shape.rank, 2);
    assert_int_equal(mebi__view_bytes(&v), 140);
    assert_int_equal(w.offset, 192);
    assert_int_equal(x.offset, 256);
    mebi__give(&b->s, &w);
    assert_null(w.buffer);
    mebi__give(&b->s, &w); /* nothing to give */
    mebi__give(&b->s, &v);
    /* Too large; a shape that no memory holds. */
    mebi__view none = mebi__take1(&b->s, MEBI__F32, BUFFER);
    assert_null(none.buffer);
    assert_int_equal(b->s.status, MEBI_NO_MEMORY);
    none = mebi__take1(&b->s, MEBI__F32, 1);
    assert_null(none.buffer); /* sticky */
    mebi__give(&b->s, &none);
    mebi__give(&b->s, &x); /* giving back works on */
    assert_true(mebi__arena_empty(&b->s.arena));
    begin(b);
    none = mebi__take3(&b->s, MEBI__F32, INT64_MAX, INT64_MAX, 2);
    assert_int_equal(b->s.status, MEBI_NO_MEMORY);
    assert_non_null(strstr(b->err.text, "[9223372036854775807, 9223372036854775807, 2]"));
    mebi__device_destroy(&b->dry);
}

static void submit_asks_whether_to_stop(void **state) {
    (void)state;
    bench *b = bench_open();
    args a = good_args(b, spec_of(MEBI__OP_SILU));
    for (int at = 1; at <= 4; at++) {
        begin(b);
        b->cancel_at = at;
        for (int i = 1; i <= 6; i++) {
            call(&b->s, MEBI__OP_SILU, &a);
            mebi_status got = i % 2 ? mebi__stream_submit(&b->s) : mebi__stream_wait(&b->s);
            assert_int_equal(got, i < at ? MEBI_OK : MEBI_CANCELLED);
        }
        assert_int_equal(b->asked, at); /* not asked again */
        assert_int_equal(calls(b), at); /* nothing recorded after it */
        assert_string_equal(b->err.text, "Cancelled.");
    }
    /* A stream that has failed does not ask. */
    begin(b);
    a.v[0].buffer = NULL;
    call(&b->s, MEBI__OP_SILU, &a);
    assert_int_equal(mebi__stream_submit(&b->s), MEBI_INTERNAL);
    assert_int_equal(b->asked, 0);
    /* Nobody to ask, nobody to tell. */
    begin(b);
    b->s.cancelled = NULL;
    b->s.err = NULL;
    assert_int_equal(mebi__stream_submit(&b->s), MEBI_OK);
    call(&b->s, MEBI__OP_SILU, &a);
    assert_int_equal(mebi__stream_wait(&b->s), MEBI_INTERNAL);
    mebi__device_destroy(&b->dry);
}

static void note_stage(void *context, mebi__stream *s, const char *stage, int index,
                       mebi__view view) {
    (void)s;
    snprintf(context, 64, "%s %d %lld", stage, index, (long long)view.shape.dim[0]);
}

static void stages_are_told_until_an_error(void **state) {
    (void)state;
    bench *b = bench_open();
    char told[64] = "";
    mebi__view v = {&b->memory, 0, MEBI__F32, {1, {9}}};
    mebi__stage(&b->s, "nobody listens", 0, v);
    b->s.observe = note_stage;
    b->s.observe_context = told;
    mebi__stage(&b->s, "layer", 3, v);
    assert_string_equal(told, "layer 3 9");
    b->s.status = MEBI_NUMERIC;
    mebi__stage(&b->s, "later", -1, v);
    assert_string_equal(told, "layer 3 9");
    mebi__device_destroy(&b->dry);
}

static void views_are_of_the_same_memory(void **state) {
    (void)state;
    mebi__buffer buffer = {1000};
    mebi__view v = {&buffer, 40, MEBI__BF16, {3, {6, 4, 2}}};
    assert_int_equal(mebi__view_elements(&v), 48);
    assert_int_equal(mebi__view_bytes(&v), 96);
    mebi__view rows = mebi__view_rows(v, 2, 3);
    assert_int_equal(rows.offset, 40 + 2 * 16);
    assert_int_equal(rows.shape.dim[0], 3);
    assert_int_equal(mebi__view_bytes(&rows), 48);
    mebi__view flat = mebi__view_as(v, 2, (int64_t[]){3, 16});
    assert_int_equal(flat.offset, 40);
    assert_int_equal(flat.shape.rank, 2);
    assert_int_equal(flat.shape.dim[1], 16);
    mebi__view none = {0};
    assert_null(mebi__view_rows(none, 5, 5).buffer);
    assert_null(mebi__view_as(none, 1, (int64_t[]){5}).buffer);
    for (int k = 0; k < MEBI__OP_COUNT; k++) assert_true(mebi__op_name((mebi__op_kind)k)[0] != 0);
    assert_string_equal(mebi__op_name(MEBI__OP_NORM_ROPE), "NORM_ROPE");
}

/* What is a defect of the caller's ends the process. */
static void expect_abort(void (*offend)(void)) {
    int status;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fclose(stderr); /* assert's sentence */
        signal(SIGABRT, SIG_DFL);
        offend();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static mebi__buffer some_buffer = {1 << 20};

static void take_rows_of_panels(void) {
    mebi__view_rows((mebi__view){&some_buffer, 0, MEBI__INT8_PANELS, {2, {32, 64}}}, 16, 16);
}

static void reshape_panels(void) {
    mebi__view_as((mebi__view){&some_buffer, 0, MEBI__INT8_PANELS, {2, {32, 64}}}, 2,
                  (int64_t[]){64, 32});
}

static void reshape_rows(void) {
    mebi__view_as((mebi__view){&some_buffer, 0, MEBI__INT8_ROWS, {2, {32, 64}}}, 1,
                  (int64_t[]){2048});
}

/* Rows in int8 are whole rows with their scales; panels can't be cut, and neither has another shape. */
static void int8_views_are_not_reshaped(void **state) {
    (void)state;
    mebi__view v = {&some_buffer, 128, MEBI__INT8_ROWS, {2, {6, 320}}}; /* five groups of 64 */
    assert_int_equal(mebi__view_elements(&v), 6 * 320);
    assert_int_equal(mebi__view_bytes(&v), 6 * 384); /* 320 + 20, padded */
    mebi__view rows = mebi__view_rows(v, 2, 3);
    assert_int_equal(rows.offset, 128 + 2 * 384);
    assert_int_equal(mebi__view_bytes(&rows), 3 * 384);
    mebi__view w = {&some_buffer, 0, MEBI__INT8_PANELS, {2, {33, 320}}};
    assert_int_equal(mebi__view_bytes(&w), 3 * 5 * 16 * (64 + 8)); /* panels, groups, columns */
    expect_abort(take_rows_of_panels);
    expect_abort(reshape_panels);
    expect_abort(reshape_rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_calls_are_counted_as_by_hand),
        cmocka_unit_test(a_missing_tensor_is_refused),
        cmocka_unit_test(a_wrong_type_is_refused),
        cmocka_unit_test(a_wrong_rank_is_refused),
        cmocka_unit_test(a_wrong_shape_is_refused),
        cmocka_unit_test(a_misaligned_tensor_is_refused),
        cmocka_unit_test(a_tensor_beyond_its_buffer_is_refused),
        cmocka_unit_test(overlap_is_refused),
        cmocka_unit_test(wrong_heads_are_refused),
        cmocka_unit_test(wrong_sums_are_refused),
        cmocka_unit_test(wrong_convolutions_are_refused),
        cmocka_unit_test(wrong_strides_are_refused),
        cmocka_unit_test(int8_operands_go_together),
        cmocka_unit_test(counts_add_up),
        cmocka_unit_test(the_dry_device_holds_no_tensors),
        cmocka_unit_test(transfers_are_checked),
        cmocka_unit_test(tensors_come_from_the_arena),
        cmocka_unit_test(submit_asks_whether_to_stop),
        cmocka_unit_test(stages_are_told_until_an_error),
        cmocka_unit_test(views_are_of_the_same_memory),
        cmocka_unit_test(int8_views_are_not_reshaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

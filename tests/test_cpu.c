/* Every operation on the CPU: the machine's best level against the plain-C reference.
 *
 * A case lists its tensors; all lie in one buffer, each between guard bytes and off alignment. The
 * whole buffer is compared afterwards: outputs with the reference within the table's tolerance,
 * every other byte with what it was, and all of it between 1, 2 and 3 threads and a second run, bit
 * for bit. With --bf16 the products are bf16's where the machine has them; with --bench the same program
 * times each operation at a model's shapes. */
#include "testing.h"

#include "base/os.h"
#include "base/pool.h"
#include "compute/dry.h"
#include "cpu/cpu.h"
#include "cpu/detect.h"
#include "cpu_cases.h"

#include <math.h>

enum { GUARD = 128, MAX_THREADS = 3 };

/* |difference| <= relative * |reference| + scaled * (rms of the reference output) + absolute */
static const struct tolerance {
    double relative, scaled, absolute;
    const char *why;
} tolerances[MEBI__OP_COUNT] = {
    [MEBI__OP_LINEAR] = {1e-6, 1e-5, 0, "f32 sums of up to thousands of products"},
    [MEBI__OP_CONV2D] = {1e-6, 1e-5, 0, "f32 sums of up to thousands of products"},
    [MEBI__OP_ATTENTION] = {1e-6, 1e-5, 0, "f32 scores, exp and sums"},
    [MEBI__OP_EMBED] = {0, 0, 0, "moves values"},
    [MEBI__OP_RMS_NORM] = {4e-7, 0, 0, "f64 statistics, three roundings"},
    [MEBI__OP_LAYER_NORM] = {4e-7, 1e-6, 0, "f64 statistics; x - mean cancels"},
    [MEBI__OP_NORM_ROPE] = {4e-7, 1e-6, 0, "f64 statistics; the rotation's two terms cancel"},
    [MEBI__OP_SWIGLU] = {8e-7, 0, 1e-36, "exp to 2e-7; the product of tiny values underflows"},
    [MEBI__OP_GATED_RESIDUAL] = {4e-7, 1e-6, 0, "the sum with the residual cancels"},
    [MEBI__OP_SILU] = {6e-7, 0, 1e-36, "exp to 2e-7; exp(-x) overflows below -88.7"},
    [MEBI__OP_COMBINE] = {1.2e-7, 2e-7, 0, "one rounding, and the terms cancel"},
    [MEBI__OP_AFFINE] = {1.2e-7, 0, 0, "one rounding"},
    [MEBI__OP_GROUP_SUMS] = {1e-12, 1e-12, 0, "f64 sums in another order"},
    [MEBI__OP_GROUP_NORM] = {8e-7, 1e-6, 0, "f64 statistics; the shift cancels; exp to 2e-7"},
    [MEBI__OP_PERMUTE] = {0, 0, 0, "moves values"},
    [MEBI__OP_COPY] = {0, 0, 0, "moves values"},
    [MEBI__OP_FILL_ROWS] = {0, 0, 0, "moves values"},
    [MEBI__OP_GUIDE] = {6e-7, 1e-6, 0, "pos - neg cancels"},
    [MEBI__OP_TO_PIXELS] = {0, 0, 0, "the same f32 arithmetic everywhere"},
    [MEBI__OP_CHECK_FINITE] = {0, 0, 0, "a flag"},
};

/* With products of bf16 (--bf16): inputs are made to fit bf16, so linear layers are as exact as ever. */
static int bf16;
static const struct tolerance attention_bf16 = {
    1e-2, 2e-2, 0, "scaled queries and the softmax's weights are rounded to 8 bits"};

static size_t elements(const tensor *t) {
    size_t n = 0;
    assert_true(mebi__shape_elements(&t->shape, &n));
    return n;
}

static size_t bytes_of(const tensor *t) {
    return elements(t) * mebi__dtype_bytes(t->dtype);
}

/* Places all tensors, each one element off a multiple of 64; returns the buffer's size. */
static size_t place(spec *c) {
    size_t at = GUARD;
    for (int i = 0; i < c->count; i++) {
        tensor *t = &c->tensor[i];
        if (t->alias == -2) continue;
        if (t->alias >= 0) {
            t->at = c->tensor[t->alias].at;
            continue;
        }
        t->at = at + mebi__dtype_bytes(t->dtype);
        at = (t->at + bytes_of(t) + GUARD + 63) / 64 * 64;
    }
    return at;
}

static void fill_tensor(unsigned char *image, const tensor *t) {
    size_t n = elements(t);
    unsigned char *p = image + t->at;
    for (size_t i = 0; i < n; i++) {
        if (t->dtype == MEBI__I32 || t->dtype == MEBI__U8) {
            int32_t id = t->fill == ZERO ? 0 : random_range(-1, 12);
            if (t->dtype == MEBI__U8) p[i] = (unsigned char)id;
            else memcpy(p + 4 * i, &id, 4);
            continue;
        }
        float v = value_of(t->fill, i, n);
        uint16_t half = mebi__f32_to_bf16(v);
        if (bf16) v = mebi__bf16_to_f32(half);
        double wide = v;
        if (t->dtype == MEBI__BF16) memcpy(p + 2 * i, &half, 2);
        else if (t->dtype == MEBI__F64) memcpy(p + 8 * i, &wide, 8);
        else memcpy(p + 4 * i, &v, 4);
    }
}

static mebi__pool *pools[MAX_THREADS + 1];
static mebi__cpu_level best;

static mebi__device *new_device(mebi__cpu_level level, int threads) {
    mebi_error err = {0};
    mebi__device *d;
    if (!pools[threads]) assert_int_equal(mebi__pool_create(threads, &pools[threads], &err), 0);
    mebi__cpu_options options = {.level = level, .bf16_products = bf16 && level == best};
    if (mebi__cpu_create_with(&options, pools[threads], &d, &err) != MEBI_OK)
        fail_msg("%s", err.text);
    return d;
}

static void views_in(const spec *c, mebi__buffer *b, mebi__view *v) {
    for (int i = 0; i < c->count; i++) {
        const tensor *t = &c->tensor[i];
        v[i] = (mebi__view){.buffer = t->alias == -2 ? NULL : b,
                            .offset = t->at,
                            .dtype = t->dtype,
                            .shape = t->shape};
    }
}

static void must(mebi_status status, const mebi_error *err) {
    if (status != MEBI_OK) fail_msg("%s", err->text);
}

/* What a dry run of the case reports. */
static mebi__dry_report plan(const spec *c, mebi__device *target, size_t bytes) {
    mebi_error err = {0};
    mebi__device *dry;
    mebi__buffer *b;
    mebi__view v[TENSORS];
    must(mebi__dry_create(target, &dry, &err), &err);
    must(dry->table->buffer_create(dry, MEBI__TAG_ACTIVATIONS, bytes, &b, &err), &err);
    mebi__stream s = {.device = dry, .memory = b, .err = &err};
    views_in(c, b, v);
    c->apply(&s, c, v);
    must(mebi__stream_wait(&s), &err);
    mebi__dry_report report = *mebi__dry_report_of(dry);
    dry->table->buffer_destroy(dry, b);
    mebi__device_destroy(&dry);
    return report;
}

/* Runs the case on image, in place, `times` times from the same start. Returns the seconds of the
 * fastest run. */
static double run(const spec *c, mebi__cpu_level level, int threads, int times,
                  unsigned char *image, size_t bytes, mebi__dry_report *report) {
    mebi_error err = {0};
    mebi__device *d = new_device(level, threads);
    mebi__buffer *b;
    mebi__view v[TENSORS];
    double least = INFINITY;
    *report = plan(c, d, bytes);
    must(d->table->scratch_reserve(d, report->scratch_bytes, &err), &err);
    must(d->table->buffer_create(d, MEBI__TAG_ACTIVATIONS, bytes, &b, &err), &err);
    mebi__stream s = {.device = d, .memory = b, .err = &err};
    mebi__view whole = {.buffer = b, .dtype = MEBI__U8, .shape = {1, {(int64_t)bytes}}};
    views_in(c, b, v);
    for (int i = 0; i < times; i++) {
        mebi__upload(&s, whole, image);
        double start = mebi__now_seconds();
        c->apply(&s, c, v);
        must(mebi__stream_submit(&s), &err);
        double seconds = mebi__now_seconds() - start;
        if (seconds < least) least = seconds;
    }
    mebi__download(&s, whole, image);
    must(mebi__stream_wait(&s), &err);
    d->table->buffer_destroy(d, b);
    mebi__device_destroy(&d);
    return least;
}

static double element(const unsigned char *image, const tensor *t, size_t i) {
    const unsigned char *p = image + t->at;
    float v;
    int32_t id;
    double wide;
    if (t->dtype == MEBI__U8) return p[i];
    if (t->dtype == MEBI__F64) return memcpy(&wide, p + 8 * i, 8), wide;
    if (t->dtype == MEBI__I32) return memcpy(&id, p + 4 * i, 4), id;
    return memcpy(&v, p + 4 * i, 4), v;
}

static double worst[MEBI__OP_COUNT]; /* largest share of the tolerance that was used up */

static void describe(const spec *c, char *text, size_t bytes) {
    char shape[96];
    size_t used = (size_t)snprintf(text, bytes, "%s", mebi__op_name(c->kind));
    for (int i = 0; i < c->count && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, " %s%s",
                                 c->tensor[i].dtype == MEBI__BF16 ? "bf16" : "",
                                 mebi__shape_text(&c->tensor[i].shape, shape, sizeof shape));
    for (int i = 0; i < 4 && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, " %d", c->n[i]);
}

static void compare_output(const spec *c, const tensor *t, const unsigned char *want,
                           const unsigned char *got) {
    const struct tolerance *tol = &tolerances[c->kind];
    if (bf16 && c->kind == MEBI__OP_ATTENTION) tol = &attention_bf16;
    double squares = 0, slack = c->slack > 0 ? c->slack : 1;
    size_t n = elements(t), counted = 0;
    for (size_t i = 0; i < n; i++) {
        double w = element(want, t, i);
        if (isfinite(w)) squares += w * w, counted++;
    }
    double scale = counted ? sqrt(squares / (double)counted) : 0;
    for (size_t i = 0; i < n; i++) {
        double w = element(want, t, i), g = element(got, t, i), d = fabs(w - g);
        if (w == g || (isnan(w) && isnan(g))) continue;
        double limit = slack * (tol->relative * fabs(w) + tol->scaled * scale + tol->absolute);
        if (limit > 0 && d / limit > worst[c->kind]) worst[c->kind] = d / limit;
        if (!(d <= limit)) {
            char text[512];
            describe(c, text, sizeof text);
            fail_msg("%s: element %zu is %.9g, should be %.9g, off by %.3g, limit %.3g (%s)", text,
                     i, g, w, d, limit, tol->why);
        }
    }
}

/* Bytes of no output are as before. */
static void compare_rest(const spec *c, const unsigned char *before, const unsigned char *after,
                         size_t bytes) {
    unsigned char *mine = calloc(bytes, 1);
    assert_non_null(mine);
    for (int i = 0; i < c->count; i++)
        if (c->tensor[i].alias != -2 && c->tensor[i].role == OUT)
            memset(mine + c->tensor[i].at, 1, bytes_of(&c->tensor[i]));
    for (size_t i = 0; i < bytes; i++)
        if (!mine[i] && before[i] != after[i]) {
            char text[512];
            describe(c, text, sizeof text);
            fail_msg("%s: byte %zu is outside the output and was written", text, i);
        }
    free(mine);
}

static void check(spec *c) {
    mebi__dry_report report;
    size_t bytes = place(c);
    unsigned char *start = malloc(bytes), *want = malloc(bytes), *first = malloc(bytes);
    unsigned char *got = malloc(bytes);
    assert_true(start && want && first && got);
    memset(start, 0xa5, bytes);
    for (int i = 0; i < c->count; i++)
        if (c->tensor[i].alias == -1) fill_tensor(start, &c->tensor[i]);
    memcpy(want, start, bytes);
    run(c, MEBI__CPU_REF, 1, 1, want, bytes, &report);
    compare_rest(c, start, want, bytes);
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        memcpy(got, start, bytes);
        /* Twice on two threads: the second time scratch is dirty. */
        run(c, best, threads, threads == 2 ? 2 : 1, got, bytes, &report);
        if (threads == 1) memcpy(first, got, bytes);
        if (memcmp(first, got, bytes) != 0) {
            char text[512];
            describe(c, text, sizeof text);
            fail_msg("%s: 1 and %d threads differ", text, threads);
        }
    }
    compare_rest(c, start, first, bytes);
    for (int i = 0; i < c->count; i++)
        if (c->tensor[i].alias == -1 && c->tensor[i].role == OUT)
            compare_output(c, &c->tensor[i], want, first);
    free(start), free(want), free(first), free(got);
}

/* ---- Tests ---- */

static void test_linear(void **state) {
    (void)state;
    static const int sizes[][3] = {
        {1, 1, 1},      {1, 7, 3},       {1, 64, 257},   {2, 33, 17},    {3, 8, 8},   {5, 100, 47},
        {6, 16, 16},    {7, 31, 33},     {13, 129, 65},  {32, 256, 96},  {37, 40, 1}, {64, 1, 64},
        {97, 333, 131}, {130, 512, 200}, {1, 1537, 129}, {17, 1100, 515}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int option = 0; option < 4; option++) {
            spec c = linear_case(sizes[i][0], sizes[i][1], sizes[i][2],
                                 option & 1 ? MEBI__BF16 : MEBI__F32, option >> 1);
            check(&c);
        }
    for (int i = 0; i < 40; i++) {
        spec c = linear_case(random_range(1, 70), random_range(1, 300), random_range(1, 140),
                             i & 1 ? MEBI__BF16 : MEBI__F32, i & 2);
        if (i % 8 == 7) c.tensor[0].fill = OFFSET, c.slack = 10; /* sums of one sign */
        check(&c);
    }
}

static void test_conv2d(void **state) {
    (void)state;
    static const mebi__conv_params same = {1, 1, 1, 1, 1, 1}, point = {1, 0, 0, 0, 0, 1};
    static const mebi__conv_params down = {2, 0, 0, 1, 1, 1}, up = {1, 1, 1, 1, 1, 2};
    static const int channels[][2] = {{1, 1},  {3, 8},   {4, 16}, {16, 3},
                                      {8, 33}, {20, 24}, {32, 32}};
    const mebi__conv_params shapes[] = {same, down, up, point};
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        for (int p = 0; p < 4; p++)
            for (int option = 0; option < 6; option++) {
                int k = p == 3 ? 1 : 3;
                spec c = conv_case(5 + (int)i, 11 + 3 * option, channels[i][0], channels[i][1], k,
                                   k, shapes[p], option & 1 ? MEBI__BF16 : MEBI__F32, option / 2);
                check(&c);
            }
    /* Doubled strips: not padded above, below, or on both sides; also of one row. */
    for (int i = 0; i < 36; i++) {
        mebi__conv_params p = {1, i & 1, 1, (i >> 1) & 1, 1, 2};
        spec c = conv_case(1 + i / 6, random_range(1, 20), random_range(1, 40), random_range(1, 40), 3, 3, p,
                           i & 4 ? MEBI__BF16 : MEBI__F32, i % 3);
        if (c.tensor[3].shape.dim[0] > 0) check(&c);
    }
    for (int i = 0; i < 60; i++) {
        mebi__conv_params p = {random_range(1, 2), random_range(0, 8), random_range(0, 8),
                               random_range(0, 8), random_range(0, 8), random_range(1, 2)};
        spec c = conv_case(random_range(7, 20), random_range(7, 20), random_range(1, 40),
                           random_range(1, 40), random_range(1, 7), random_range(1, 7), p,
                           i & 1 ? MEBI__BF16 : MEBI__F32, i % 3);
        check(&c);
    }
    spec wide = conv_case(40, 150, 64, 70, 3, 3, same, MEBI__BF16, 1);
    check(&wide);
}

static void test_attention(void **state) {
    (void)state;
    static const int hds[] = {16, 24, 32, 40, 48, 56, 64, 80, 96, 120, 128};
    static const int lengths[][2] = {{1, 1},   {1, 37}, {3, 2},   {17, 33},
                                     {64, 64}, {70, 5}, {97, 131}};
    for (size_t i = 0; i < sizeof hds / sizeof *hds; i++)
        for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++) {
            int kv = 1 + (int)(i % 3), share = 1 + (int)(j % 3);
            spec c = attention_case(lengths[j][0], lengths[j][1], kv * share, kv, hds[i], 0,
                                    j == 4 ? WIDE : UNIT);
            check(&c);
            c = attention_case(lengths[j][1], lengths[j][1], kv * share, kv, hds[i], 1, UNIT);
            check(&c);
        }
    for (int i = 0; i < 30; i++) {
        int sq = random_range(1, 150), causal = i % 3 == 0, kv = random_range(1, 3);
        spec c = attention_case(sq, causal ? sq : random_range(1, 300), kv * random_range(1, 4), kv,
                                random_range(1, 70) * 2, causal, i % 4 ? UNIT : WIDE);
        check(&c);
    }
    /* The autoencoder's single wide head, and keys beyond one block. */
    spec c = attention_case(64, 64, 1, 1, 512, 0, UNIT);
    check(&c);
    c = attention_case(9, 2100, 2, 2, 64, 0, UNIT);
    check(&c);
    c = attention_case(5, 40, 2, 1, 64, 0, ZERO);
    check(&c);
}

static const int widths[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 40, 64, 100, 257, 2560, 3841};
static const fill fills[] = {UNIT, OFFSET, ZERO, TINY};

static void test_row_norms(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (int option = 0; option < 16; option++) {
            int m = 1 + random_range(0, 40), d = widths[i];
            fill f = fills[option / 4];
            spec c = rms_norm_case(m, d, option & 1, option & 2, f);
            check(&c);
            c = layer_norm_case(m, d, option & 1, f);
            check(&c);
            c = gated_residual_case(m, d, option & 1, f);
            check(&c);
        }
}

static void test_norm_rope(void **state) {
    (void)state;
    for (int hd = 2; hd <= 136; hd += hd < 48 ? 2 : 8)
        for (int option = 0; option < 8; option++) {
            spec c = norm_rope_case(random_range(1, 60), random_range(1, 5), hd,
                                    option & 1 ? MEBI__ROPE_PAIRS : MEBI__ROPE_HALVES,
                                    fills[option / 2]);
            check(&c);
        }
    spec c = norm_rope_case(300, 6, 128, MEBI__ROPE_PAIRS, UNIT);
    check(&c);
}

static void test_elementwise(void **state) {
    (void)state;
    static const int counts[] = {1, 5, 8, 13, 31, 32, 33, 63, 100, 1000, 32767, 32769, 100003};
    static const fill all[] = {UNIT, WIDE, SPECIAL, TINY};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int option = 0; option < 8; option++) {
            int n = counts[i], in_place = option & 1;
            fill f = all[option / 2];
            spec c = unary_case(MEBI__OP_SILU, apply_silu, n, MEBI__F32, f, NOT_A_NUMBER, in_place);
            check(&c);
            c = swiglu_case(1, n, in_place, f);
            check(&c);
            c = unary_case(MEBI__OP_AFFINE, apply_affine, n, MEBI__F32, f, NOT_A_NUMBER, in_place);
            c.f[0] = 1.7f, c.f[1] = -0.3f;
            check(&c);
            c = unary_case(MEBI__OP_COMBINE, apply_combine, n, MEBI__F32, f,
                           in_place ? NOT_A_NUMBER : UNIT, 0);
            c.f[0] = -0.37f, c.f[1] = in_place ? 0.0f : 1.3f;
            check(&c);
            c = unary_case(MEBI__OP_COPY, apply_copy, n, MEBI__F32, f, NOT_A_NUMBER, 0);
            check(&c);
            c = unary_case(MEBI__OP_TO_PIXELS, apply_to_pixels, n, MEBI__U8, f, UNIT, 0);
            check(&c);
        }
}

/* All ties of the rounding, and every neighbour of one. */
static void test_pixel_ties(void **state) {
    (void)state;
    mebi_error err = {0};
    float x[256 * 3];
    uint8_t want[256 * 3], got[256 * 3];
    for (int i = 0; i < 256; i++) {
        float tie = ((float)i + 0.5f) / 255.0f * 2 - 1;
        x[3 * i] = nextafterf(tie, -2), x[3 * i + 1] = tie, x[3 * i + 2] = nextafterf(tie, 2);
    }
    x[0] = NAN, x[1] = INFINITY, x[2] = -INFINITY;
    for (int level = 0; level <= (int)best; level += best ? (int)best : 1) {
        mebi__device *d = new_device((mebi__cpu_level)level, 1);
        mebi__buffer *b;
        must(d->table->buffer_create(d, MEBI__TAG_ACTIVATIONS, sizeof x * 2, &b, &err), &err);
        mebi__stream s = {.device = d, .memory = b, .err = &err};
        mebi__view from = {b, 0, MEBI__F32, {1, {768}}}, to = {b, sizeof x, MEBI__U8, {1, {768}}};
        mebi__upload(&s, from, x);
        mebi__to_pixels(&s, from, to);
        mebi__download(&s, to, level == 0 ? want : got);
        must(mebi__stream_wait(&s), &err);
        d->table->buffer_destroy(d, b);
        mebi__device_destroy(&d);
    }
    assert_int_equal(want[0], 0);
    assert_int_equal(want[1], 255);
    assert_int_equal(want[2], 0);
    if (best) assert_memory_equal(want, got, sizeof want);
}

static void test_check_finite(void **state) {
    (void)state;
    static const int counts[] = {1, 7, 8, 9, 100, 32768, 70001};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        static const fill all[] = {UNIT, SPECIAL, LAST_BAD, NOT_A_NUMBER, ZERO};
        for (int f = 0; f < 5; f++) {
            spec c = unary_case(MEBI__OP_CHECK_FINITE, apply_check_finite, counts[i], MEBI__I32,
                                all[f], f & 1 ? UNIT : ZERO, 0);
            check(&c);
        }
    }
}

static void test_guide(void **state) {
    (void)state;
    static const int counts[] = {1, 9, 1000, 65536, 70001};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int cap = 0; cap < 4; cap++) {
            spec c = unary_case(MEBI__OP_GUIDE, apply_guide, counts[i], MEBI__F32,
                                cap == 3 ? ZERO : UNIT, UNIT, 0);
            c.f[0] = 3.5f, c.f[1] = (float)cap * 0.7f;
            check(&c);
        }
}

static void test_group_norm(void **state) {
    (void)state;
    static const int sizes[][4] = {
        {1, 1, 4, 2},     {3, 5, 8, 4},    {4, 4, 12, 3},   {7, 9, 32, 32}, {16, 17, 36, 4},
        {33, 31, 64, 32}, {65, 64, 40, 8}, {5, 3, 512, 32}, {40, 70, 7, 1}, {90, 80, 128, 32}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int option = 0; option < 16; option++) {
            const int *z = sizes[i];
            spec c = group_norm_case(z[0], z[1], z[2], z[3], option & 1, (option >> 1) & 1,
                                     fills[option / 4]);
            check(&c);
        }
}

/* The sums of a group by the definition: two passes over x[h,w,ch] as it lies in the image. */
static void expect_sums(const spec *c, const unsigned char *image, const tensor *sums) {
    const tensor *x = &c->tensor[0];
    int64_t pixels = x->shape.dim[0] * x->shape.dim[1], ch = x->shape.dim[2], depth = ch / c->n[0];
    for (int64_t g = 0; g < c->n[0]; g++) {
        long double mean = 0, variance = 0, count = (long double)(pixels * depth);
        for (int64_t i = 0; i < pixels * depth; i++)
            mean += element(image, x, (size_t)(i / depth * ch + g * depth + i % depth));
        mean /= count;
        for (int64_t i = 0; i < pixels * depth; i++) {
            long double d = element(image, x, (size_t)(i / depth * ch + g * depth + i % depth)) - mean;
            variance += d * d;
        }
        double m = element(image, sums, (size_t)g * 3) / (double)count;
        double square = element(image, sums, (size_t)g * 3 + 1) / (double)count;
        assert_true(element(image, sums, (size_t)g * 3 + 2) == (double)count);
        assert_true(fabs(m - (double)mean) <= 1e-12 * (1 + fabs(m)));
        assert_true(fabs(square - m * m - (double)(variance / count)) <= 1e-12 * (1 + square));
    }
}

/* The same bits however the rows are cut, on plain C and on the best level; and the right ones. */
static void test_group_sums(void **state) {
    (void)state;
    static const int sizes[][5] = {{1, 1, 4, 2, 1},    {3, 5, 8, 4, 2},    {16, 17, 36, 4, 3},
                                   {65, 64, 40, 8, 8}, {9, 300, 7, 1, 4},  {130, 9, 128, 32, 129},
                                   {300, 3, 64, 32, 7}, {12, 33, 512, 32, 5}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int f = 0; f < 4; f++) {
            const int *z = sizes[i];
            spec c = group_sums_case(z[0], z[1], z[2], z[3], z[4], fills[f]);
            check(&c);
            size_t bytes = place(&c);
            unsigned char *image = calloc(bytes, 1);
            assert_non_null(image);
            fill_tensor(image, &c.tensor[0]);
            for (int level = 0; level < 2; level++) {
                mebi__dry_report report;
                run(&c, level ? best : MEBI__CPU_REF, 2, 1, image, bytes, &report);
                assert_memory_equal(image + c.tensor[1].at, image + c.tensor[2].at, bytes_of(&c.tensor[1]));
                expect_sums(&c, image, &c.tensor[1]);
            }
            free(image);
        }
}

static void test_moves(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        for (int type = 0; type < 2; type++) {
            spec c = embed_case(1 + random_range(0, 30), widths[i], type ? MEBI__BF16 : MEBI__F32);
            check(&c);
        }
        spec c = {.kind = MEBI__OP_FILL_ROWS, .apply = apply_fill_rows};
        add1(&c, MEBI__F32, IN, UNIT, widths[i]);
        add2(&c, MEBI__F32, OUT, NOT_A_NUMBER, random_range(1, 50), widths[i]);
        check(&c);
    }
}

static void test_permute_known(void **state) {
    (void)state;
    static const int64_t hw[] = {1, 5, 64, 100, 1000, 65}, ch[] = {1, 3, 8, 16, 70, 128};
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++) {
            spec c = permute_case(2, (int64_t[]){hw[i], ch[j]}, (int64_t[]){1, hw[i]});
            check(&c); /* CHW to HWC */
            c = permute_case(2, (int64_t[]){ch[j], hw[i]}, (int64_t[]){1, ch[j]});
            check(&c); /* back */
            /* Tokens from a latent [C, 2 h, 2 w], and back. */
            int64_t h = hw[i] % 9 + 1, w = hw[i] % 7 + 1, n = ch[j];
            c = permute_case(5, (int64_t[]){h, w, 2, 2, n},
                             (int64_t[]){4 * w, 2, 2 * w, 1, 4 * h * w});
            check(&c);
            c = permute_case(5, (int64_t[]){n, h, 2, w, 2},
                             (int64_t[]){1, w * 4 * n, 2 * n, 4 * n, n});
            check(&c);
            /* A slice of wider rows. */
            c = permute_case(2, (int64_t[]){hw[i], ch[j]}, (int64_t[]){ch[j] + 13, 1});
            check(&c);
        }
}

static void test_permute_random(void **state) {
    (void)state;
    for (int i = 0; i < 200; i++) {
        int rank = random_range(1, 6), order[6] = {0, 1, 2, 3, 4, 5};
        int64_t dim[6], stride[6], step = 1;
        for (int k = rank - 1; k > 0; k--) {
            int j = random_range(0, k), t = order[k];
            order[k] = order[j], order[j] = t;
        }
        for (int k = 0; k < rank; k++) {
            int d = order[k];
            dim[d] = random_range(1, rank > 3 ? 9 : 40);
            stride[d] = i % 10 == 9 && k == rank - 1 ? 0 : step; /* also a repeated dim */
            step *= dim[d];
            if (i % 7 == 6) step += random_range(0, 3);
        }
        spec c = permute_case(rank, dim, stride);
        check(&c);
    }
}

/* ---- The device ---- */

static void test_levels(void **state) {
    (void)state;
    const char *before = getenv("MEBI_CPU");
    char *kept = before ? strdup(before) : NULL;
    mebi_error err = {0};
    mebi__cpu_level machine, level;
    unsetenv("MEBI_CPU");
    assert_int_equal(mebi__cpu_choose(&machine, &err), MEBI_OK);
    setenv("MEBI_CPU", "", 1);
    assert_int_equal(mebi__cpu_choose(&level, &err), MEBI_OK);
    assert_int_equal(level, machine);
    setenv("MEBI_CPU", "ref", 1);
    assert_int_equal(mebi__cpu_choose(&level, &err), MEBI_OK);
    assert_int_equal(level, MEBI__CPU_REF);
    setenv("MEBI_CPU", "avx512", 1); /* never raises */
    mebi_status raised = mebi__cpu_choose(&level, &err);
    assert_int_equal(raised, machine == MEBI__CPU_AVX512 ? MEBI_OK : MEBI_BAD_ARGUMENT);
    if (raised != MEBI_OK) assert_non_null(strstr(err.text, "at most"));
    err = (mebi_error){0};
    setenv("MEBI_CPU", "abacus", 1);
    assert_int_equal(mebi__cpu_choose(&level, &err), MEBI_BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "'abacus'"));
    if (kept) setenv("MEBI_CPU", kept, 1);
    else unsetenv("MEBI_CPU");
    free(kept);
    assert_string_equal(mebi__cpu_level_name(MEBI__CPU_AVX2), "avx2");
    mebi__device *d = new_device(MEBI__CPU_REF, 1);
    assert_string_equal(d->table->name, "cpu");
    mebi__device_destroy(&d);
}

static void test_refusals(void **state) {
    (void)state;
    mebi_error err = {0};
    mebi__device *d = NULL;
    if (mebi__cpu_detect().level < MEBI__CPU_AVX512) {
        assert_int_equal(mebi__cpu_create(MEBI__CPU_AVX512, pools[1], &d, &err), MEBI_UNSUPPORTED);
        assert_null(d);
        assert_non_null(strstr(err.text, "MEBI_CPU"));
    }
    mebi__memory_fail_nth(1);
    err = (mebi_error){0};
    assert_int_equal(mebi__cpu_create(best, pools[1], &d, &err), MEBI_NO_MEMORY);
    mebi__memory_fail_nth(0);
    d = new_device(MEBI__CPU_REF, 1);
    mebi__buffer *b = NULL;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        size_t held = mebi__memory_held(MEBI__TAG_COUNT);
        err = (mebi_error){0};
        mebi__memory_fail_nth(nth);
        assert_int_equal(d->table->buffer_create(d, MEBI__TAG_VAE, 64, &b, &err), MEBI_NO_MEMORY);
        assert_null(b);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
    }
    mebi__memory_fail_nth(0);
    err = (mebi_error){0};
    assert_int_equal(d->table->buffer_create(d, MEBI__TAG_VAE, SIZE_MAX, &b, &err), MEBI_NO_MEMORY);
    err = (mebi_error){0};
    assert_int_equal(d->table->buffer_import(d, MEBI__TAG_VAE, (char *)pools + 1, 64, &b, &err),
                     MEBI_INTERNAL);
    /* An operation whose scratch was not reserved. */
    static const float x[8];
    err = (mebi_error){0};
    must(d->table->buffer_import(d, MEBI__TAG_VAE, x, sizeof x, &b, &err), &err);
    mebi__buffer *own;
    must(d->table->buffer_create(d, MEBI__TAG_ACTIVATIONS, 64, &own, &err), &err);
    mebi__stream s = {.device = d, .err = &err};
    mebi__linear(&s, (mebi__view){b, 0, MEBI__F32, {2, {1, 4}}},
                 (mebi__view){b, 16, MEBI__F32, {2, {1, 4}}}, (mebi__view){0},
                 (mebi__view){own, 0, MEBI__F32, {2, {1, 1}}});
    assert_int_equal(mebi__stream_wait(&s), MEBI_INTERNAL);
    assert_non_null(strstr(err.text, "scratch"));
    d->table->buffer_destroy(d, b);
    d->table->buffer_destroy(d, own);
    mebi__device_destroy(&d);
}

/* More operations than the list holds, transfers between them, weights used in place. */
static void test_order(void **state) {
    (void)state;
    mebi_error err = {0};
    static const float one[4] = {1, 1, 1, 1};
    float middle[4] = {0}, end[4] = {0}, from[4] = {10, 20, 30, 40};
    mebi__device *d = new_device(best, 2);
    mebi__buffer *b, *w;
    must(d->table->buffer_create(d, MEBI__TAG_ACTIVATIONS, 64, &b, &err), &err);
    must(d->table->buffer_import(d, MEBI__TAG_DIT, one, sizeof one, &w, &err), &err);
    mebi__stream s = {.device = d, .memory = b, .err = &err};
    mebi__view y = {b, 16, MEBI__F32, {1, {4}}}, x = {w, 0, MEBI__F32, {1, {4}}};
    mebi__combine(&s, 0, x, 0, y);
    for (int i = 0; i < 500; i++) mebi__combine(&s, 1, x, 1, y);
    mebi__download(&s, y, middle);
    mebi__upload(&s, y, from);
    memset(from, 0, sizeof from); /* copied before the call returned */
    for (int i = 0; i < 7; i++) mebi__combine(&s, 1, x, 1, y);
    mebi__download(&s, y, end);
    mebi__combine(&s, 1, x, 1, y); /* left pending when the buffer goes */
    must(mebi__stream_wait(&s), &err);
    mebi__combine(&s, 1, x, 1, y);
    d->table->buffer_destroy(d, b);
    d->table->buffer_destroy(d, w);
    mebi__device_destroy(&d);
    for (int i = 0; i < 4; i++) {
        assert_true(middle[i] == 500);
        assert_true(end[i] == (float)(10 * (i + 1) + 7));
    }
}

/* ---- Timing ---- */

static void bench_one(const char *what, spec c, int threads) {
    mebi__dry_report report;
    size_t bytes = place(&c);
    unsigned char *image = malloc(bytes);
    if (!image) return;
    memset(image, 0, bytes);
    for (int i = 0; i < c.count; i++)
        if (c.tensor[i].alias == -1) fill_tensor(image, &c.tensor[i]);
    double seconds = run(&c, best, threads, 5, image, bytes, &report);
    printf("%-44s %2d threads %9.3f ms %8.2f GB/s %8.1f GFLOP/s  scratch %zu\n", what, threads,
           seconds * 1e3, report.bytes[c.kind] * 1e-9 / seconds,
           report.operations[c.kind] * 1e-9 / seconds, report.scratch_bytes);
    free(image);
}

static void bench(int threads) {
    mebi__conv_params same = {1, 1, 1, 1, 1, 1}, up = {1, 1, 1, 1, 1, 2};
    const int m = 1088, d = 3840;
    bench_one("linear bf16 1088x3840x3840", linear_case(m, d, d, MEBI__BF16, 0), threads);
    bench_one("linear f32 1088x3840x3840", linear_case(m, d, d, MEBI__F32, 0), threads);
    bench_one("linear bf16 M=1 256x15360", linear_case(1, 256, 15360, MEBI__BF16, 1), threads);
    bench_one("linear bf16 64x2560x9728", linear_case(64, 2560, 9728, MEBI__BF16, 0), threads);
    bench_one("attention 1088, 30x128", attention_case(m, m, 30, 30, 128, 0, UNIT), threads);
    bench_one("attention causal 512, 32/8x128", attention_case(512, 512, 32, 8, 128, 1, UNIT),
              threads);
    bench_one("conv2d 3x3 256x256 128>128 bf16",
              conv_case(256, 256, 128, 128, 3, 3, same, MEBI__BF16, 1), threads);
    bench_one("conv2d 3x3 up 64x64 512>512 bf16",
              conv_case(64, 64, 512, 512, 3, 3, up, MEBI__BF16, 0), threads);
    bench_one("conv2d 3x3 256x256 128>3 bf16",
              conv_case(256, 256, 128, 3, 3, 3, same, MEBI__BF16, 0), threads);
    bench_one("rms_norm 1088x3840", rms_norm_case(m, d, 1, 0, UNIT), threads);
    bench_one("layer_norm 1088x3840", layer_norm_case(m, d, 0, UNIT), threads);
    bench_one("gated_residual 1088x3840", gated_residual_case(m, d, 1, UNIT), threads);
    bench_one("norm_rope 1088x30x128", norm_rope_case(m, 30, 128, MEBI__ROPE_PAIRS, UNIT), threads);
    bench_one("swiglu 1088x10240", swiglu_case(m, 10240, 1, UNIT), threads);
    bench_one("group_norm+silu 512x512x128", group_norm_case(512, 512, 128, 32, 1, 1, UNIT),
              threads);
    bench_one("group_sums 512x512x128", group_sums_case(512, 512, 128, 32, 16, UNIT), threads);
    bench_one("group_norm 64x64x512", group_norm_case(64, 64, 512, 32, 0, 1, UNIT), threads);
    bench_one("permute HWC>CHW 512x512x128",
              permute_case(2, (int64_t[]){128, 262144}, (int64_t[]){1, 128}), threads);
    bench_one("permute CHW>HWC 512x512x128",
              permute_case(2, (int64_t[]){262144, 128}, (int64_t[]){1, 262144}), threads);
    bench_one("permute patchify 16x128x128",
              permute_case(5, (int64_t[]){64, 64, 2, 2, 16}, (int64_t[]){256, 2, 128, 1, 16384}),
              threads);
    bench_one("copy 4M", unary_case(MEBI__OP_COPY, apply_copy, 1 << 22, MEBI__F32, UNIT, ZERO, 0),
              threads);
    bench_one("silu 4M", unary_case(MEBI__OP_SILU, apply_silu, 1 << 22, MEBI__F32, UNIT, ZERO, 1),
              threads);
    spec pixels = unary_case(MEBI__OP_TO_PIXELS, apply_to_pixels, 3 << 20, MEBI__U8, UNIT, ZERO, 0);
    bench_one("to_pixels 1024x1024x3", pixels, threads);
    spec finite =
        unary_case(MEBI__OP_CHECK_FINITE, apply_check_finite, 1 << 22, MEBI__I32, UNIT, ZERO, 0);
    bench_one("check_finite 4M", finite, threads);
}

static int close_pools(void **state) {
    (void)state;
    for (int i = 0; i <= MAX_THREADS; i++)
        if (pools[i]) mebi__pool_destroy(&pools[i]);
    return mebi__memory_held(MEBI__TAG_COUNT) != 0;
}

int main(int argc, char **argv) {
    mebi_error err = {0};
    if (mebi__cpu_choose(&best, &err) != MEBI_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        printf("level %s\n", mebi__cpu_level_name(best));
        for (int threads = 1; threads <= 2; threads++) bench(threads);
        return close_pools(NULL);
    }
    bf16 = argc > 1 && strcmp(argv[1], "--bf16") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels),        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_order),         cmocka_unit_test(test_linear),
        cmocka_unit_test(test_conv2d),        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_row_norms),     cmocka_unit_test(test_norm_rope),
        cmocka_unit_test(test_elementwise),   cmocka_unit_test(test_pixel_ties),
        cmocka_unit_test(test_check_finite),  cmocka_unit_test(test_guide),
        cmocka_unit_test(test_group_sums),    cmocka_unit_test(test_group_norm),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_permute_known), cmocka_unit_test(test_permute_random),
    };
    int failed = cmocka_run_group_tests(tests, NULL, close_pools);
    printf("%s%s; share of the tolerance used at most:\n", mebi__cpu_describe(best),
           bf16 ? ", products of bf16" : "");
    for (int k = 0; k < MEBI__OP_COUNT; k++)
        printf("  %-15s %.2f\n", mebi__op_name((mebi__op_kind)k), worst[k]);
    return failed;
}

/* int8 products: rotation, rounding, packing and the product itself.
 *
 * References are computed here in f64 from the definitions in tensor/int8.h. The plain-C kernels
 * are held to them within f32 rounding; every faster level this machine has, on 1 to 3 threads,
 * gives plain C's very bytes, and leaves every byte beside its outputs alone. */
#include "testing.h"

#include "base/pool.h"
#include "compute/dry.h"
#include "cpu/cpu.h"
#include "tensor/int8.h"

#include <math.h>

enum { GUARD = 128, MAX_THREADS = 3, MOST = 256 /* elements of a group */ };

static mebi__cpu_level best;
static mebi__pool *pools[MAX_THREADS + 1];

/* ---- numbers ---- */

static uint64_t random_state = 7;

static uint32_t random_bits(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 32);
}

static int64_t random_range(int low, int high) {
    return low + (int)(random_bits() % (uint32_t)(high - low + 1));
}

static float gaussian(void) {
    double u = ((double)random_bits() + 1) * 0x1p-32, v = (double)random_bits() * 0x1p-32;
    return (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
}

static float *gaussians(int64_t count, float scale) {
    float *x = malloc((size_t)count * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < count; i++) x[i] = scale * gaussian();
    return x;
}

/* ---- the definitions ---- */

static int64_t group_of(int64_t k) {
    int64_t g = MOST;
    while (k % g) g /= 2;
    return g;
}

/* Hadamard's matrix in Sylvester's order: the sign is the parity of the common bits. */
static int sign_at(int64_t i, int64_t j) {
    return __builtin_parityll((unsigned long long)(i & j)) ? -1 : 1;
}

static void rotate_by_definition(const float *x, int64_t group, double *out) {
    for (int64_t i = 0; i < group; i++) {
        out[i] = 0;
        for (int64_t j = 0; j < group; j++) out[i] += sign_at(i, j) * (double)x[j];
    }
}

/* What eight additions in f32, one after another, can lose. */
static double rotation_slack(const float *x, int64_t group) {
    double sum = 0;
    for (int64_t j = 0; j < group; j++) sum += fabs((double)x[j]);
    return 9 * 0x1p-24 * sum;
}

static size_t row_bytes_of(int64_t k) {
    return ((size_t)k + 4 * (size_t)(k / group_of(k)) + 63) / 64 * 64;
}

static size_t panels_bytes_of(int64_t n, int64_t k) {
    int64_t group = group_of(k);
    return (size_t)((n + 15) / 16) * (size_t)(k / group) * (16 * (size_t)group + 64 + 64);
}

static float row_scale(const unsigned char *row, int64_t k, int64_t g) {
    float s;
    memcpy(&s, row + k + 4 * g, 4);
    return s;
}

/* Column n's part of group g. */
typedef struct packed {
    int q[MOST];
    float scale;
    int32_t correction;
} packed;

static packed unpack(const unsigned char *panels, int64_t k, int64_t n, int64_t g) {
    packed p;
    int64_t group = group_of(k), c = n % 16;
    const unsigned char *block =
        panels + panels_bytes_of(16, k) * (size_t)(n / 16) + (16 * (size_t)group + 128) * (size_t)g;
    for (int64_t i = 0; i < group; i++) p.q[i] = (signed char)block[i / 4 * 64 + c * 4 + i % 4];
    memcpy(&p.scale, block + 16 * group + 4 * c, 4);
    memcpy(&p.correction, block + 16 * group + 64 + 4 * c, 4);
    return p;
}

static void place_packed(unsigned char *panels, int64_t k, int64_t n, int64_t g, const packed *p) {
    int64_t group = group_of(k), c = n % 16;
    unsigned char *block =
        panels + panels_bytes_of(16, k) * (size_t)(n / 16) + (16 * (size_t)group + 128) * (size_t)g;
    for (int64_t i = 0; i < group; i++)
        block[i / 4 * 64 + c * 4 + i % 4] = (unsigned char)(signed char)p->q[i];
    memcpy(block + 16 * group + 4 * c, &p->scale, 4);
    memcpy(block + 16 * group + 64 + 4 * c, &p->correction, 4);
}

/* ---- the device ---- */

static mebi__device *new_device(mebi__cpu_level level, int threads) {
    mebi_error err = {0};
    mebi__device *d;
    if (!pools[threads]) assert_mebi_ok(mebi__pool_create(threads, &pools[threads], &err), &err);
    assert_mebi_ok(mebi__cpu_create(level, pools[threads], &d, &err), &err);
    return d;
}

/* One operation's tensors in one image: x, w or none, bias or none, y. */
typedef struct layout {
    mebi__view x, w, b, y;
    size_t bytes;
} layout;

/* f32 tensors lie off alignment, int8 ones where they must. */
static void place(layout *l, mebi__view *v, mebi__dtype type, int rank, int64_t d0, int64_t d1) {
    v->dtype = type;
    v->shape = (mebi__shape){rank, {d0, d1}};
    v->offset = (l->bytes + GUARD + 63) / 64 * 64 + (type == MEBI__F32 ? 4 : 0);
    l->bytes = v->offset + mebi__view_bytes(v) + GUARD;
}

static layout quantize_layout(int64_t m, int64_t k) {
    layout l = {.bytes = 0};
    place(&l, &l.x, MEBI__F32, 2, m, k);
    place(&l, &l.y, MEBI__INT8_ROWS, 2, m, k);
    return l;
}

static layout linear_layout(int64_t m, int64_t n, int64_t k, int bias) {
    layout l = {.bytes = 0};
    place(&l, &l.x, MEBI__INT8_ROWS, 2, m, k);
    place(&l, &l.w, MEBI__INT8_PANELS, 2, n, k);
    if (bias) place(&l, &l.b, MEBI__F32, 1, n, 0);
    place(&l, &l.y, MEBI__F32, 2, m, n);
    return l;
}

static void apply(mebi__stream *s, const layout *l, mebi__buffer *buffer) {
    mebi__view x = l->x, w = l->w, b = l->b, y = l->y;
    x.buffer = y.buffer = buffer;
    w.buffer = w.shape.rank ? buffer : NULL;
    b.buffer = b.shape.rank ? buffer : NULL;
    if (w.buffer) mebi__linear(s, x, w, b, y);
    else mebi__quantize(s, x, y);
}

static void reserve(mebi__device *d, const layout *l) {
    mebi_error err = {0};
    mebi__device *dry;
    mebi__buffer buffer = {l->bytes};
    assert_mebi_ok(mebi__dry_create(d, &dry, &err), &err);
    mebi__stream s = {.device = dry, .memory = &buffer, .err = &err};
    apply(&s, l, &buffer);
    assert_mebi_ok(mebi__stream_wait(&s), &err);
    size_t scratch = mebi__dry_report_of(dry)->scratch_bytes;
    mebi__device_destroy(&dry);
    assert_mebi_ok(d->table->scratch_reserve(d, scratch, &err), &err);
}

static void run(const layout *l, mebi__cpu_level level, int threads, int times,
                unsigned char *image) {
    mebi_error err = {0};
    mebi__buffer *buffer;
    mebi__device *d = new_device(level, threads);
    reserve(d, l);
    assert_mebi_ok(d->table->buffer_create(d, MEBI__TAG_ACTIVATIONS, l->bytes, &buffer, &err),
                   &err);
    mebi__stream s = {.device = d, .memory = buffer, .err = &err};
    mebi__view whole = {buffer, 0, MEBI__U8, {1, {(int64_t)l->bytes}}};
    for (int i = 0; i < times; i++) {
        mebi__upload(&s, whole, image);
        apply(&s, l, buffer);
        assert_mebi_ok(mebi__stream_submit(&s), &err);
    }
    mebi__download(&s, whole, image);
    assert_mebi_ok(mebi__stream_wait(&s), &err);
    d->table->buffer_destroy(d, buffer);
    mebi__device_destroy(&d);
}

/* image becomes plain C's result; every level and number of threads gives the same. */
static void run_everywhere(const layout *l, unsigned char *image) {
    unsigned char *start = malloc(l->bytes), *got = malloc(l->bytes);
    assert_true(start && got);
    memcpy(start, image, l->bytes);
    run(l, MEBI__CPU_REF, 1, 1, image);
    for (size_t i = 0; i < l->bytes; i++)
        if (image[i] != start[i])
            assert_in_range(i, l->y.offset, l->y.offset + mebi__view_bytes(&l->y) - 1);
    for (int level = MEBI__CPU_REF; level <= (int)best; level++)
        for (int threads = 1; threads <= MAX_THREADS; threads++) {
            memcpy(got, start, l->bytes);
            /* Twice on two threads: the second time scratch is dirty. */
            run(l, (mebi__cpu_level)level, threads, threads == 2 ? 2 : 1, got);
            for (size_t i = 0; i < l->bytes; i++)
                if (got[i] != image[i])
                    fail_msg(
                        "%s, %d threads, M %lld N %lld K %lld: byte %lld of the output (of %zu) "
                        "is 0x%02x and in plain C 0x%02x",
                        mebi__cpu_level_name((mebi__cpu_level)level), threads,
                        (long long)l->x.shape.dim[0], (long long)l->w.shape.dim[0],
                        (long long)l->x.shape.dim[1], (long long)i - (long long)l->y.offset,
                        mebi__view_bytes(&l->y), got[i], image[i]);
        }
    free(start), free(got);
}

static unsigned char *new_image(const layout *l) {
    unsigned char *image = malloc(l->bytes);
    assert_non_null(image);
    memset(image, 0xa5, l->bytes);
    return image;
}

/* Rows of x in int8, to be freed. */
static unsigned char *quantized(const float *x, int64_t m, int64_t k) {
    layout l = quantize_layout(m, k);
    unsigned char *image = new_image(&l), *rows = malloc((size_t)m * row_bytes_of(k));
    assert_non_null(rows);
    memcpy(image + l.x.offset, x, (size_t)(m * k) * 4);
    run_everywhere(&l, image);
    assert_int_equal(mebi__view_bytes(&l.y), (size_t)m * row_bytes_of(k));
    memcpy(rows, image + l.y.offset, (size_t)m * row_bytes_of(k));
    free(image);
    return rows;
}

/* Products in int8 of rows and panels, to be freed. */
static float *product(const unsigned char *rows, const unsigned char *panels, const float *bias,
                      int64_t m, int64_t n, int64_t k) {
    layout l = linear_layout(m, n, k, bias != NULL);
    unsigned char *image = new_image(&l);
    float *y = malloc((size_t)(m * n) * 4);
    assert_non_null(y);
    memcpy(image + l.x.offset, rows, (size_t)m * row_bytes_of(k));
    memcpy(image + l.w.offset, panels, panels_bytes_of(n, k));
    if (bias) memcpy(image + l.b.offset, bias, (size_t)n * 4);
    run_everywhere(&l, image);
    memcpy(y, image + l.y.offset, (size_t)(m * n) * 4);
    free(image);
    return y;
}

/* ---- packing ---- */

typedef struct matrix {
    const float *w;
    int64_t n, k;
    int *asked; /* [n]: how often each row was read */
} matrix;

static void read_rows(const void *context, int64_t first, int64_t count, float *out) {
    const matrix *m = context;
    assert_true(first >= 0 && count > 0 && first + count <= m->n);
    for (int64_t r = first; r < first + count; r++) m->asked[r]++; /* each row is one thread's */
    memcpy(out, m->w + first * m->k, (size_t)(count * m->k) * sizeof *out);
}

static mebi_status pack_with(mebi__cpu_level level, int threads, const float *w, int64_t n,
                             int64_t k, unsigned char *to, mebi_error *err) {
    mebi__device *d = new_device(level, threads);
    matrix m = {w, n, k, calloc((size_t)n, sizeof *m.asked)};
    assert_non_null(m.asked);
    mebi__rows_source source = {n, k, read_rows, &m, "layers.3.to_q.weight"};
    mebi_status status = d->table->pack(d, &source, to, err);
    for (int64_t r = 0; r < n; r++) assert_int_equal(m.asked[r], 1);
    free(m.asked);
    mebi__device_destroy(&d);
    return status;
}

/* Panels of w, the same on every level and number of threads, to be freed. */
static unsigned char *packed_panels(const float *w, int64_t n, int64_t k) {
    size_t bytes = panels_bytes_of(n, k);
    unsigned char *panels = aligned_alloc(64, bytes), *guarded = aligned_alloc(64, bytes + 128);
    assert_true(panels && guarded);
    mebi_error err = {0};
    assert_mebi_ok(pack_with(MEBI__CPU_REF, 1, w, n, k, panels, &err), &err);
    for (int level = MEBI__CPU_REF; level <= (int)best; level++)
        for (int threads = 1; threads <= MAX_THREADS; threads++) {
            memset(guarded, 0xa5, bytes + 128);
            assert_mebi_ok(pack_with((mebi__cpu_level)level, threads, w, n, k, guarded + 64, &err),
                           &err);
            assert_memory_equal(guarded + 64, panels, bytes);
            for (int i = 0; i < 64; i++)
                assert_true(guarded[i] == 0xa5 && guarded[64 + bytes + (size_t)i] == 0xa5);
        }
    free(guarded);
    return panels;
}

/* One group of one row against its definition. */
static void check_packed(const packed *p, const float *w, int64_t group) {
    double rotated[MOST], slack = rotation_slack(w, group);
    double step = (double)p->scale * (double)group; /* of the rotated weights */
    int most = 0, pair = 0, sum = 0;
    rotate_by_definition(w, group, rotated);
    for (int64_t i = 0; i < group; i++) {
        sum += p->q[i];
        most = abs(p->q[i]) > most ? abs(p->q[i]) : most;
        if (i % 2 && abs(p->q[i]) + abs(p->q[i - 1]) > pair) pair = abs(p->q[i]) + abs(p->q[i - 1]);
        double off = fabs(p->q[i] * step - rotated[i]);
        if (!(off <= step / 2 + slack + 4e-7 * fabs(rotated[i])))
            fail_msg("rotated weight %g is packed as %d steps of %g", rotated[i], p->q[i], step);
    }
    assert_in_range(most, 0, 127);
    assert_in_range(pair, 0, 148);
    assert_int_equal(p->correction, -110 * sum);
    /* No coarser than the bounds ask. */
    if (step > 0) assert_true(most >= 126 || pair >= 145);
    /* Rotated back it is the weight again. */
    for (int64_t j = 0; j < group; j++) {
        double back = 0;
        for (int64_t i = 0; i < group; i++) back += sign_at(i, j) * (double)p->q[i];
        assert_true(fabs(back * (double)p->scale - (double)w[j]) <=
                    step / 2 + slack + 4e-7 * fabs((double)w[j]));
    }
}

static void check_panels(const float *w, int64_t n, int64_t k) {
    int64_t group = group_of(k);
    unsigned char *panels = packed_panels(w, n, k);
    for (int64_t r = 0; r < (n + 15) / 16 * 16; r++)
        for (int64_t g = 0; g < k / group; g++) {
            packed p = unpack(panels, k, r, g);
            if (r < n) {
                assert_true(p.scale > 0 && isfinite(p.scale));
                check_packed(&p, w + r * k + g * group, group);
                continue;
            }
            assert_true(p.scale == 0 && p.correction == 0);
            for (int64_t i = 0; i < group; i++) assert_int_equal(p.q[i], 0);
        }
    free(panels);
}

static void weights_are_packed_within_half_a_step(void **state) {
    (void)state;
    static const int64_t shapes[][2] = {{1, 32},   {16, 64}, {17, 96},  {31, 128},  {48, 160},
                                        {33, 256}, {5, 320}, {16, 768}, {40, 1024}, {15, 2560}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        float *w = gaussians(shapes[i][0] * shapes[i][1], 0.02f);
        check_panels(w, shapes[i][0], shapes[i][1]);
        /* Outliers, wide ranges, equal values. */
        for (int64_t j = 0; j < shapes[i][0] * shapes[i][1]; j++) {
            if (j % 61 == 0) w[j] *= 1000;
            if (j % 3 == 0) w[j] = 0.125f;
            if (j % 7 == 0) w[j] *= 1e-20f;
        }
        check_panels(w, shapes[i][0], shapes[i][1]);
        free(w);
    }
}

static void zero_and_tiny_weights_are_zeros(void **state) {
    (void)state;
    float w[3 * 64] = {0};
    for (int i = 0; i < 64; i++) {
        w[64 + i] = i % 2 ? 1e-42f : -1e-39f;
        w[128 + i] = 1e-20f * gaussian();
    }
    unsigned char *panels = packed_panels(w, 3, 64);
    for (int r = 0; r < 2; r++) {
        packed p = unpack(panels, 64, r, 0);
        assert_true(p.scale == 0 && p.correction == 0);
        for (int i = 0; i < 64; i++) assert_int_equal(p.q[i], 0);
    }
    packed p = unpack(panels, 64, 2, 0);
    check_packed(&p, w + 128, 64);
    assert_true(p.scale > 0);
    free(panels);
}

static void weights_that_are_no_numbers_are_refused(void **state) {
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f /* twice: beyond f32 */};
    enum { N = 37, K = 96 };
    for (size_t i = 0; i < 4; i++)
        for (int64_t row = 0; row < N; row += 12) {
            float *w = gaussians(N * K, 1);
            unsigned char *to = aligned_alloc(64, panels_bytes_of(N, K));
            mebi_error err = {0};
            char near[40];
            w[row * K + 33] = bad[i];
            if (i == 3) w[row * K + 34] = bad[i];
            snprintf(near, sizeof near, "row %lld of 37", (long long)(row / 16 * 16));
            assert_int_equal(pack_with(best, 1 + (int)(row % 3), w, N, K, to, &err), MEBI_BAD_FILE);
            assert_non_null(strstr(err.text, "layers.3.to_q.weight"));
            assert_non_null(strstr(err.text, near));
            free(to), free(w);
        }
}

/* ---- rounding of activations ---- */

static void check_rows(const float *x, int64_t m, int64_t k) {
    int64_t group = group_of(k);
    size_t bytes = row_bytes_of(k);
    unsigned char *rows = quantized(x, m, k);
    for (int64_t r = 0; r < m; r++) {
        const unsigned char *row = rows + (size_t)r * bytes;
        for (int64_t g = 0; g < k / group; g++) {
            const float *part = x + r * k + g * group;
            double rotated[MOST], largest = 0, slack = rotation_slack(part, group);
            double scale = (double)row_scale(row, k, g);
            int most = 0;
            rotate_by_definition(part, group, rotated);
            for (int64_t i = 0; i < group; i++)
                if (fabs(rotated[i]) > largest) largest = fabs(rotated[i]);
            assert_true(fabs(scale * 110 - largest) <= slack + 2e-7 * largest);
            for (int64_t i = 0; i < group; i++) {
                int q = row[g * group + i] - 110;
                most = abs(q) > most ? abs(q) : most;
                if (!(fabs(q * scale - rotated[i]) <= scale / 2 + slack + 4e-7 * fabs(rotated[i])))
                    fail_msg("row %lld, rotated %g is %d steps of %g", (long long)r, rotated[i], q,
                             scale);
            }
            assert_int_equal(most, 110);
        }
        for (size_t i = (size_t)(k + 4 * (k / group)); i < bytes; i++) assert_int_equal(row[i], 0);
    }
    free(rows);
}

static void rows_are_rounded_within_half_a_step(void **state) {
    (void)state;
    static const int64_t shapes[][2] = {{1, 32},    {3, 64},   {61, 96}, {7, 128},
                                        {200, 160}, {5, 256},  {9, 320}, {2, 768},
                                        {13, 1024}, {4, 1536}, {6, 2560}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        float *x = gaussians(shapes[i][0] * shapes[i][1], 1);
        check_rows(x, shapes[i][0], shapes[i][1]);
        for (int64_t j = 0; j < shapes[i][0] * shapes[i][1]; j++) {
            if (j % 31 == 0) x[j] *= 1e5f;
            if (j % 5 == 0) x[j] *= 1e-10f;
        }
        check_rows(x, shapes[i][0], shapes[i][1]);
        free(x);
    }
    /* Ties: rotated, each row is 0 to 109 and a half. */
    enum { K = 256 };
    float *x = calloc(K, sizeof *x);
    assert_non_null(x);
    for (int64_t j = 0; j < K; j++)
        for (int64_t i = 0; i < K; i++)
            x[j] += (float)sign_at(i, j) * (i ? (float)(i % 110) + 0.5f : 110.0f) / K;
    check_rows(x, 1, K);
    free(x);
}

/* Zeros in, zeros out; a group that is no number spoils its own row and nothing else. */
static void rows_without_numbers_spoil_only_themselves(void **state) {
    (void)state;
    enum { M = 9, N = 21, K = 96 };
    float *x = gaussians(M * K, 1), *w = gaussians(N * K, 1);
    for (int64_t i = 0; i < K; i++) {
        x[0 * K + i] = 0;
        x[2 * K + i] = i % 2 ? 1e-45f : -1e-38f; /* subnormal */
    }
    x[1 * K + 5] = NAN;
    x[3 * K + 95] = INFINITY;
    x[5 * K + 32] = -INFINITY;
    x[6 * K + 7] = x[6 * K + 9] = 3e38f; /* each finite, their sum not */
    x[8 * K + 40] = 1e36f;
    unsigned char *rows = quantized(x, M, K), *panels = packed_panels(w, N, K);
    const int bad[M] = {0, 1, 0, 1, 0, 1, 1, 0, 0};
    const int group[M] = {0, 0, 0, 2, 0, 1, 0, 0, 0};
    for (int r = 0; r < M; r++)
        for (int g = 0; g < 3; g++) {
            float s = row_scale(rows + (size_t)r * row_bytes_of(K), K, g);
            if (bad[r] && g == group[r]) assert_true(isnan(s));
            else if (r == 0 || r == 2) assert_true(s == 0);
            else assert_true(s > 0 && isfinite(s));
        }
    float *y = product(rows, panels, NULL, M, N, K);
    for (int r = 0; r < M; r++)
        for (int n = 0; n < N; n++) {
            if (bad[r]) assert_true(isnan(y[r * N + n]));
            else if (r == 0 || r == 2) assert_true(y[r * N + n] == 0);
            else assert_true(isfinite(y[r * N + n]) && y[r * N + n] != 0);
        }
    /* The large value's row is right, too. */
    for (int n = 0; n < N; n++)
        assert_true(fabs((double)y[8 * N + n] / 1e36 - (double)w[n * K + 40]) < 0.1);
    free(rows), free(panels), free(y), free(x), free(w);
}

/* ---- the product ---- */

/* Against f64 sums of the operands as they are stored: within f32's rounding of each group's term.
 */
static void check_product(const unsigned char *rows, const unsigned char *panels, const float *bias,
                          int64_t m, int64_t n, int64_t k) {
    int64_t group = group_of(k);
    float *y = product(rows, panels, bias, m, n, k);
    for (int64_t c = 0; c < n; c++)
        for (int64_t r = 0; r < m; r++) {
            double want = 0, terms = bias ? fabs((double)bias[c]) : 0;
            for (int64_t g = 0; g < k / group; g++) {
                packed p = unpack(panels, k, c, g);
                const unsigned char *row = rows + (size_t)r * row_bytes_of(k);
                int64_t sum = 0;
                for (int64_t i = 0; i < group; i++) sum += (row[g * group + i] - 110) * p.q[i];
                double term = (double)sum * (double)p.scale * (double)row_scale(row, k, g);
                want += term;
                terms += fabs(term);
            }
            if (bias) want += (double)bias[c];
            double limit = (double)(k / group + 3) * 0x1p-24 * terms + 1e-37;
            if (!(fabs((double)y[r * n + c] - want) <= limit))
                fail_msg("M %lld N %lld K %lld: y[%lld, %lld] is %.9g, should be %.9g within %.2g",
                         (long long)m, (long long)n, (long long)k, (long long)r, (long long)c,
                         (double)y[r * n + c], want, limit);
        }
    free(y);
}

static void check_shape(int64_t m, int64_t n, int64_t k, int bias) {
    float *x = gaussians(m * k, 1), *w = gaussians(n * k, 0.02f), *b = gaussians(n, 1);
    unsigned char *rows = quantized(x, m, k), *panels = packed_panels(w, n, k);
    check_product(rows, panels, bias ? b : NULL, m, n, k);
    free(rows), free(panels), free(x), free(w), free(b);
}

static void products_are_exact_to_f32_rounding(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {
        {1, 1, 32},     {1, 16, 64},    {2, 15, 96},    {3, 17, 128},   {4, 32, 160},
        {5, 33, 256},   {6, 47, 320},   {7, 64, 384},   {8, 16, 512},   {13, 48, 1024},
        {32, 31, 768},  {61, 80, 2560}, {61, 17, 96},   {100, 33, 64},  {191, 16, 32},
        {192, 19, 64},  {193, 48, 96},  {200, 35, 320}, {193, 530, 32}, {5, 1100, 64},
        {1300, 17, 32}, {1153, 16, 64}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_shape(shapes[i][0], shapes[i][1], shapes[i][2], i % 2);
    for (int i = 0; i < 30; i++)
        check_shape(random_range(1, 200), random_range(1, 90), 32 * random_range(1, 24), i % 2);
}

/* ---- sums that would overflow 16 bits ---- */

enum { SIGNS = 5 };

/* Sign patterns of rows and columns; two that meet make every pair of products as large as can be.
 */
static int pattern_sign(int pattern, int64_t i) {
    switch (pattern) {
    case 0: return 1;
    case 1: return -1;
    case 2: return i % 2 ? -1 : 1;
    case 3: return i / 2 % 2 ? -1 : 1;
    default: return random_bits() & 1 ? 1 : -1;
    }
}

static void all_pairs_at_the_bound(packed *p, int64_t group, int64_t column) {
    int32_t sum = 0;
    for (int64_t i = 0; i < group; i++) {
        /* 127 and 21, 126 and 22, ... 74 and 74, and a single 127. */
        int high = MEBI__INT8_WEIGHT - (int)((column / SIGNS + i / 2) % 54);
        int low = high == MEBI__INT8_WEIGHT && column % 2 ? 0 : MEBI__INT8_PAIR - high;
        p->q[i] = ((i + column) % 2 ? low : high) * pattern_sign((int)(column % SIGNS), i);
        sum += p->q[i];
    }
    p->scale = 0.25f;
    p->correction = -MEBI__INT8_LIMIT * sum;
}

static void sums_of_16_bits_hold_the_worst(void **state) {
    (void)state;
    enum { M = 15, N = 67 };
    static const int64_t widths[] = {32, 64, 128, 256, 96, 768, 2560};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        int64_t k = widths[i], group = group_of(k);
        unsigned char *rows = calloc(M, row_bytes_of(k)),
                      *panels = calloc(1, panels_bytes_of(N, k));
        assert_true(rows && panels);
        for (int r = 0; r < M; r++) {
            unsigned char *row = rows + (size_t)r * row_bytes_of(k);
            const float scale = 0.5f;
            for (int64_t j = 0; j < k; j++)
                row[j] = (unsigned char)(110 + 110 * pattern_sign(r % SIGNS, j));
            for (int64_t g = 0; g < k / group; g++) memcpy(row + k + 4 * g, &scale, 4);
        }
        for (int64_t c = 0; c < N; c++)
            for (int64_t g = 0; g < k / group; g++) {
                packed p;
                all_pairs_at_the_bound(&p, group, c);
                place_packed(panels, k, c, g, &p);
            }
        check_product(rows, panels, NULL, M, N, k);
        free(rows), free(panels);
    }
}

/* The same by way of packing and rounding: operands whose rotation is all at the bounds. Every sum
 * of a pair is 147 steps before rounding, which may add one. */
static void packing_keeps_to_the_bound(void **state) {
    (void)state;
    enum { M = 10, N = 32, K = 256 };
    static const float high[] = {73.5f, 100, 110, 90.5f, 124};
    static float w[N * K], x[M * K];
    memset(w, 0, sizeof w), memset(x, 0, sizeof x);
    for (int64_t r = 0; r < N; r++)
        for (int64_t i = 0; i < K; i++) {
            float h = high[(r / SIGNS + i / 2) % 5], v = i % 2 ? 147 - h : h;
            v *= (float)pattern_sign((int)(r % SIGNS), i);
            for (int64_t j = 0; j < K; j++)
                w[r * K + j] += (float)sign_at(i, j) * v / K; /* exact */
        }
    for (int64_t r = 0; r < M; r++)
        for (int64_t i = 0; i < K; i++) {
            float v = 110 * (float)pattern_sign((int)(r % SIGNS), i);
            for (int64_t j = 0; j < K; j++) x[r * K + j] += (float)sign_at(i, j) * v / K;
        }
    check_panels(w, N, K);
    check_rows(x, M, K);
    unsigned char *rows = quantized(x, M, K), *panels = packed_panels(w, N, K);
    for (int64_t i = 0; i < K; i++) assert_int_equal(rows[i], 220);
    check_product(rows, panels, NULL, M, N, K);
    free(rows), free(panels);
}

/* ---- what it costs in accuracy ---- */

/* Relative error of a product in int8, in the norm over all results. */
static double error_of(const float *x, const float *w, int64_t m, int64_t n, int64_t k) {
    unsigned char *rows = quantized(x, m, k), *panels = packed_panels(w, n, k);
    float *y = product(rows, panels, NULL, m, n, k);
    double off = 0, all = 0;
    for (int64_t r = 0; r < m; r++)
        for (int64_t c = 0; c < n; c++) {
            double want = 0;
            for (int64_t i = 0; i < k; i++) want += (double)x[r * k + i] * (double)w[c * k + i];
            off += pow((double)y[r * n + c] - want, 2);
            all += want * want;
        }
    free(rows), free(panels), free(y);
    return sqrt(off / all);
}

/* Normal operands: rounding is off by sqrt(1/12) steps, and the largest of 256 values, some 2.8
 * deviations, is 110 steps: 0.75 %. Weights, with the bound on pairs, 0.9 %; together 1.2 %. An
 * outlier in x becomes, rotated, of one magnitude all over its group, where steps fit it best;
 * small channels beside it lose most of theirs, but the result is the outlier's. Bounds: the worst
 * of 8 seeds and a little more. */
static void errors_are_as_measured(void **state) {
    (void)state;
    enum { M = 64, N = 96, K = 1536 };
    static const struct {
        const char *what;
        int every; /* the channels that are larger */
        float by;
        double limit;
    } cases[] = {{"normal", 0, 1, 0.013},
                 {"channels 50 times the rest", 128, 50, 0.011},
                 {"one channel 50 times the rest", 1536, 50, 0.0125},
                 {"values to 1e5 in few channels", 384, 1e5f, 0.010}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float *x = gaussians(M * K, 1), *w = gaussians(N * K, 0.02f);
        for (int64_t j = 0; cases[i].every && j < M * K; j++)
            if (j % K % cases[i].every == 5) x[j] *= cases[i].by;
        double error = error_of(x, w, M, N, K);
        printf("  %-32s %.3f %%\n", cases[i].what, 100 * error);
        if (!(error <= cases[i].limit)) fail_msg("%s: error %.4f", cases[i].what, error);
        free(x), free(w);
    }
}

/* ---- */

/* ---- results quantized at once ---- */

/* rms_norm (with a scale: which = 1) or swiglu (2) of one image's views: x, other, factor; y. */
static void apply_quantizing(mebi__stream *s, int which, const mebi__view *v, mebi__view y) {
    if (which == 2) mebi__swiglu(s, v[0], v[1], y);
    else mebi__rms_norm(s, v[0], v[2], which ? v[3] : (mebi__view){0}, 1e-5f, y);
}

/* Quantized at once and quantized after: the same bytes, on one level and number of threads. */
static void check_at_once(mebi__cpu_level level, int threads, int which, int64_t m, int64_t k) {
    enum { SCRATCH = 1 << 20 };
    mebi_error err = {0};
    mebi__device *d = new_device(level, threads);
    mebi__buffer *memory;
    size_t rows = (size_t)m * row_bytes_of(k), bytes = (size_t)(3 * m + 2) * (size_t)k * 4 + 2 * rows + 4096;
    float *values = gaussians(m * k, 3);
    unsigned char *got = malloc(2 * rows);
    assert_non_null(got);
    assert_mebi_ok(d->table->buffer_create(d, MEBI__TAG_ACTIVATIONS, bytes, &memory, &err), &err);
    assert_mebi_ok(d->table->scratch_reserve(d, SCRATCH, &err), &err);
    mebi__stream s = {.device = d, .memory = memory, .err = &err};
    mebi__arena_init(&s.arena, bytes);
    mebi__view v[4] = {mebi__take2(&s, MEBI__F32, m, k), mebi__take2(&s, MEBI__F32, m, k),
                       mebi__take1(&s, MEBI__F32, k), mebi__take1(&s, MEBI__F32, k)};
    mebi__view plain = mebi__take2(&s, MEBI__F32, m, k);
    mebi__view y[2] = {mebi__take2(&s, MEBI__INT8_ROWS, m, k), mebi__take2(&s, MEBI__INT8_ROWS, m, k)};
    for (int i = 0; i < 4; i++) mebi__upload(&s, v[i], values);
    apply_quantizing(&s, which, v, plain);
    mebi__quantize(&s, plain, y[0]);
    apply_quantizing(&s, which, v, y[1]);
    for (int i = 0; i < 2; i++) mebi__download(&s, y[i], got + (size_t)i * rows);
    assert_mebi_ok(mebi__stream_wait(&s), &err);
    assert_memory_equal(got, got + rows, rows);
    d->table->buffer_destroy(d, memory);
    mebi__device_destroy(&d);
    free(values), free(got);
}

static void results_quantized_at_once_are_the_same(void **state) {
    (void)state;
    for (int level = MEBI__CPU_REF; level <= (int)best; level++)
        for (int which = 0; which < 3; which++)
            for (int64_t k = 32; k <= 2048; k *= 2)
                check_at_once((mebi__cpu_level)level, (int)(k % 3) + 1, which, 1 + k % 7, k + k % 128);
}

static int close_pools(void **state) {
    (void)state;
    for (int i = 0; i <= MAX_THREADS; i++)
        if (pools[i]) mebi__pool_destroy(&pools[i]);
    return mebi__memory_held(MEBI__TAG_COUNT) != 0;
}

int main(void) {
    mebi_error err = {0};
    if (mebi__cpu_choose(&best, &err) != MEBI_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_rounded_within_half_a_step),
        cmocka_unit_test(weights_are_packed_within_half_a_step),
        cmocka_unit_test(zero_and_tiny_weights_are_zeros),
        cmocka_unit_test(weights_that_are_no_numbers_are_refused),
        cmocka_unit_test(rows_without_numbers_spoil_only_themselves),
        cmocka_unit_test(products_are_exact_to_f32_rounding),
        cmocka_unit_test(sums_of_16_bits_hold_the_worst),
        cmocka_unit_test(packing_keeps_to_the_bound),
        cmocka_unit_test(errors_are_as_measured),
        cmocka_unit_test(results_quantized_at_once_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, close_pools);
}

/* A machine's rates: tables, calibration on devices of known speed, the file, and what jobs teach. */
#include "testing.h"

#include "base/os.h"
#include "base/pool.h"
#include "compute/dry.h"
#include "cpu/cpu.h"
#include "plan/calibrate.h"
#include "plan/time.h"

#include <dirent.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static mebi__rates *fresh(void) {
    mebi__rates *r = mebi__alloc(MEBI__TAG_GENERAL, sizeof *r);
    assert_non_null(r);
    mebi__rates_init(r);
    return r;
}

/* Within a share of what is expected. */
static void assert_about(double found, double expected, double share) {
    if (fabs(found - expected) <= share * fabs(expected)) return;
    fail_msg("%g found where %g is expected", found, expected);
}

static int class_named(const char *name) {
    for (int i = 0; i < MEBI__RATE_CLASSES; i++)
        if (strcmp(mebi__rate_name_of(i).text, name) == 0) return i;
    fail_msg("no class %s", name);
    return -1;
}

static mebi__buffer memory = {.bytes = SIZE_MAX};

static mebi__view view(mebi__dtype type, int64_t rows, int64_t width) {
    return (mebi__view){.buffer = &memory, .dtype = type, .shape = {.rank = 2, .dim = {rows, width}}};
}

static mebi__op product(mebi__dtype type, int64_t m, int64_t k, int64_t n) {
    const int int8 = type == MEBI__INT8_PANELS;
    return (mebi__op){.kind = int8 ? MEBI__OP_LINEAR_INT8 : MEBI__OP_LINEAR,
                      .x = view(int8 ? MEBI__INT8_ROWS : MEBI__F32, m, k),
                      .w = view(type, n, k),
                      .y = view(MEBI__F32, m, n)};
}

static mebi__op copy(int64_t rows, int64_t width) {
    return (mebi__op){.kind = MEBI__OP_COPY, .x = view(MEBI__F32, rows, width), .y = view(MEBI__F32, rows, width)};
}

/* ---- tables ---- */

static void test_interpolation(void **state) {
    const mebi__rate r = {.rows = 3, .columns = 2, .row = {1, 100, 1000}, .column = {10, 1000},
                          .seconds = {{8e-9, 2e-9, 1e-9}, {4e-9, 4e-9, 16e-9}}};
    (void)state;
    assert_about(mebi__rate_at(&r, 1, 10), 8e-9, 1e-9);
    assert_about(mebi__rate_at(&r, 1000, 1000), 16e-9, 1e-9);
    assert_about(mebi__rate_at(&r, 10, 10), 4e-9, 1e-9);   /* half of the way from 1 to 100 */
    assert_about(mebi__rate_at(&r, 100, 100), sqrt(2e-9 * 4e-9), 1e-9);
    assert_about(mebi__rate_at(&r, 10, 100), 4e-9, 1e-9);  /* of the four: 8, 2, 4, 4 */
    assert_about(mebi__rate_at(&r, 1e9, 1e9), 16e-9, 1e-9); /* beyond: the nearest */
    assert_about(mebi__rate_at(&r, 0.1, 0), 8e-9, 1e-9);
}

static void test_names_are_different(void **state) {
    (void)state;
    for (int i = 0; i < MEBI__RATE_CLASSES; i++) {
        assert_true(strlen(mebi__rate_name_of(i).text) > 2);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(mebi__rate_name_of(i).text, mebi__rate_name_of(k).text);
    }
}

static void test_places(void **state) {
    mebi__op op = product(MEBI__Q4_K, 7, 256, 40);
    mebi__rate_place p = mebi__rate_place_of(&op);
    (void)state;
    assert_string_equal(mebi__rate_name_of(p.of).text, "LINEAR:Q4_K");
    assert_true(p.row == 7 && p.column == 256 * 40 && p.work == 2.0 * 7 * 256 * 40);
    op = product(MEBI__INT8_PANELS, 7, 256, 48);
    assert_string_equal(mebi__rate_name_of(mebi__rate_place_of(&op).of).text, "LINEAR_INT8");
    op = (mebi__op){.kind = MEBI__OP_RMS_NORM, .x = view(MEBI__F32, 5, 64), .y = view(MEBI__INT8_ROWS, 5, 64)};
    assert_string_equal(mebi__rate_name_of(mebi__rate_place_of(&op).of).text, "RMS_NORM:INT8");
    op = copy(3, 4);
    p = mebi__rate_place_of(&op);
    assert_string_equal(mebi__rate_name_of(p.of).text, "COPY");
    assert_true(p.row == 96 && p.work == 96);
}

static void test_what_is_not_measured_is_guessed(void **state) {
    mebi__rates *r = fresh();
    mebi__op large = product(MEBI__F32, 1000, 1000, 1000), thin = product(MEBI__F32, 1, 1000, 1000);
    mebi__op tiny = copy(1, 1);
    (void)state;
    r->roofline = (mebi__roofline){.int8 = 4e9, .bf16 = 2e9, .f32 = 1e9, .bytes = 1e8, .call = 1e-5};
    assert_about(mebi__rates_seconds(r, &large), 2, 1e-9);               /* arithmetic */
    assert_about(mebi__rates_seconds(r, &thin), 4.008e6 / 1e8, 1e-9);    /* memory */
    assert_about(mebi__rates_seconds(r, &tiny), 1e-5, 1e-9);             /* the call */
    assert_int_equal(mebi__rates_missing(r), 2);
    r->of[class_named("LINEAR:F32")] =
        (mebi__rate){.rows = 1, .columns = 1, .row = {1}, .column = {1}, .seconds = {{5e-9}}};
    assert_about(mebi__rates_seconds(r, &large), 10, 1e-9);
    assert_int_equal(mebi__rates_missing(r), 1);
    mebi__free(r);
}

/* ---- the dry device's clock ---- */

static size_t no_scratch(mebi__device *d, const mebi__op *op) {
    (void)d, (void)op;
    return 0;
}

static double by_kind(void *context, const mebi__op *op) {
    ++*(int *)context;
    return op->kind == MEBI__OP_COPY ? 0.25 : 4;
}

static void test_dry_seconds_are_the_sum(void **state) {
    const mebi__device_table table = {.scratch_bytes = no_scratch};
    mebi__device target = {&table}, *dry;
    mebi_error err = {0};
    int calls = 0;
    float host[4] = {0};
    (void)state;
    assert_mebi_ok(mebi__dry_create(&target, &dry, &err), &err);
    mebi__stream s = {.device = dry, .memory = &memory, .err = &err};
    mebi__arena_init(&s.arena, 1 << 20);
    mebi__view a = mebi__take2(&s, MEBI__F32, 2, 2), b = mebi__take2(&s, MEBI__F32, 2, 2);
    mebi__view w = mebi__take2(&s, MEBI__F32, 2, 2);
    mebi__copy(&s, a, b);
    assert_true(mebi__dry_report_of(dry)->seconds == 0); /* no clock */
    mebi__dry_set_clock(dry, by_kind, &calls);
    mebi__upload(&s, a, host);
    mebi__linear(&s, a, w, (mebi__view){0}, b);
    mebi__copy(&s, a, b);
    mebi__download(&s, b, host);
    assert_mebi_ok(mebi__stream_wait(&s), &err);
    assert_int_equal(calls, 4);
    assert_true(mebi__dry_report_of(dry)->seconds == 4.75);
    mebi__dry_reset(dry);
    assert_true(mebi__dry_report_of(dry)->seconds == 0);
    mebi__copy(&s, a, b);
    assert_true(mebi__dry_report_of(dry)->seconds == 0.25); /* the clock stays */
    mebi__device_destroy(&dry);
}

/* ---- calibration on a device of known speed ---- */

/* Nothing is computed: each operation moves the clock on by what the law says. */
typedef struct fake {
    mebi__device head;
    mebi__buffer buffer;
    double clock, pending;
    double slowness;            /* of everything */
    double burst_at, burst_end; /* of the clock: between them all takes three times as long */
    size_t scratch;
    int buffers, cancel_after, asked, wrong;
    double shares[2]; /* the last two told */
} fake;

/* Products: 50 GOP/s and 10 us a call, and weights come at 10 GB/s; int8 four times as fast; the rest 5 GB/s. */
static double law(const mebi__op *op) {
    double operations, bytes;
    mebi__op_cost(op, &operations, &bytes);
    switch (op->kind) {
    case MEBI__OP_LINEAR: return 1e-5 + fmax(operations / 50e9, (double)mebi__view_bytes(&op->w) / 10e9);
    case MEBI__OP_LINEAR_INT8: return 1e-5 + operations / 200e9;
    case MEBI__OP_CONV2D:
    case MEBI__OP_ATTENTION: return operations / 40e9;
    default: return bytes / 5e9;
    }
}

static mebi_status fake_create(mebi__device *d, mebi__tag tag, size_t bytes, mebi__buffer **out, mebi_error *err) {
    fake *f = (fake *)d;
    (void)tag, (void)err;
    f->buffer.bytes = bytes;
    f->buffers++;
    *out = &f->buffer;
    return MEBI_OK;
}

static void fake_destroy(mebi__device *d, mebi__buffer *buffer) {
    (void)buffer;
    ((fake *)d)->buffers--;
}

static size_t fake_scratch(mebi__device *d, const mebi__op *op) {
    (void)d;
    return 100 * (size_t)op->kind;
}

static mebi_status fake_reserve(mebi__device *d, size_t bytes, mebi_error *err) {
    fake *f = (fake *)d;
    (void)err;
    if (bytes > f->scratch) f->scratch = bytes;
    return MEBI_OK;
}

static mebi_status fake_record(mebi__device *d, const mebi__op *op, mebi_error *err) {
    fake *f = (fake *)d;
    const mebi__view *all[] = {&op->x, &op->w, &op->b, &op->y, &op->a1, &op->a2};
    (void)err;
    for (int i = 0; i < 6; i++)
        if (all[i]->buffer && (all[i]->buffer != &f->buffer || all[i]->offset % 64 ||
                               all[i]->offset + mebi__view_bytes(all[i]) > f->buffer.bytes))
            f->wrong = 1;
    if (fake_scratch(d, op) > f->scratch) f->wrong = 1;
    f->pending += law(op);
    return MEBI_OK;
}

static mebi_status fake_upload(mebi__device *d, mebi__view to, const void *from, mebi_error *err) {
    (void)from, (void)err;
    if (to.offset + mebi__view_bytes(&to) > ((fake *)d)->buffer.bytes) ((fake *)d)->wrong = 1;
    return MEBI_OK;
}

static mebi_status fake_submit(mebi__device *d, mebi_error *err) {
    (void)d, (void)err;
    return MEBI_OK;
}

static mebi_status fake_wait(mebi__device *d, mebi_error *err) {
    fake *f = (fake *)d;
    (void)err;
    int burst = f->clock >= f->burst_at && f->clock < f->burst_end;
    f->clock += f->pending * f->slowness * (burst ? 3 : 1);
    f->pending = 0;
    return MEBI_OK;
}

static double fake_now(void *context) {
    return ((fake *)context)->clock;
}

static int fake_cancelled(void *context) {
    fake *f = context;
    return f->cancel_after && ++f->asked > f->cancel_after;
}

static void fake_progress(void *context, double share) {
    fake *f = context;
    f->shares[0] = f->shares[1];
    f->shares[1] = share;
}

static const mebi__device_table fake_table = {.name = "fake",
                                              .buffer_create = fake_create,
                                              .buffer_destroy = fake_destroy,
                                              .scratch_bytes = fake_scratch,
                                              .scratch_reserve = fake_reserve,
                                              .record = fake_record,
                                              .upload = fake_upload,
                                              .submit = fake_submit,
                                              .wait = fake_wait};

static fake fake_make(void) {
    return (fake){.head = {&fake_table}, .slowness = 1};
}

static mebi__calibration how_of(fake *f) {
    return (mebi__calibration){.device = &f->head,
                               .memory_bytes = (size_t)160 << 20,
                               .now = fake_now,
                               .cancelled = fake_cancelled,
                               .progress = fake_progress,
                               .context = f};
}

/* What models ask for: shapes between the measured ones. */
static mebi__op asked(int i) {
    static const int64_t shape[][3] = {{61, 2560, 9728}, {288, 192, 512},    {1, 3840, 15360}, {544, 3840, 3840},
                                       {64, 192, 192},   {1088, 3840, 10240}, {20, 768, 768}};
    const int shapes = sizeof shape / sizeof *shape;
    if (i >= 2 * shapes) return copy(1 << (i - 2 * shapes), 4096);
    const int64_t *s = shape[i % shapes];
    return product(i < shapes ? MEBI__BF16 : MEBI__INT8_PANELS, s[0], s[1], s[2]);
}

enum { ASKED = 24 };

static void check_recovered(mebi__rates *r, double slowness, double share) {
    for (int i = 0; i < ASKED; i++) {
        mebi__op op = asked(i);
        double expected = law(&op) * slowness, found = mebi__rates_seconds(r, &op);
        if (fabs(found / expected - 1) > share)
            fail_msg("%s [%d rows]: %g s found, %g s by the law", mebi__op_name(op.kind),
                     (int)op.x.shape.dim[0], found, expected);
    }
}

static void ask_all(mebi__rates *r) {
    for (int i = 0; i < ASKED; i++) {
        mebi__op op = asked(i);
        mebi__rates_seconds(r, &op);
    }
}

static void test_calibration_recovers_known_speeds(void **state) {
    fake f = fake_make();
    mebi__calibration how = how_of(&f);
    mebi__rates *r = fresh();
    mebi_error err = {0};
    (void)state;
    ask_all(r);
    assert_int_equal(mebi__rates_missing(r), 3);
    assert_mebi_ok(mebi__calibrate(&how, r, &err), &err);
    assert_int_equal(mebi__rates_missing(r), 0);
    assert_false(f.wrong);
    assert_int_equal(f.buffers, 0);
    assert_true(f.clock < 5);
    assert_true(f.shares[1] == 1 && f.shares[0] < 1);
    check_recovered(r, 1, 0.15);
    assert_about(r->roofline.bf16, 50e9, 0.02);
    assert_about(r->roofline.int8, 200e9, 0.02);
    /* A second time there is nothing to do but the call. */
    double before = f.clock;
    assert_mebi_ok(mebi__calibrate(&how, r, &err), &err);
    assert_true(f.clock - before < 0.01);
    mebi__free(r);
}

/* Another program at work for a good part of the first round changes nothing. */
static void test_calibration_outlasts_a_burst(void **state) {
    fake f = fake_make();
    mebi__calibration how = how_of(&f);
    mebi__rates *r = fresh();
    mebi_error err = {0};
    (void)state;
    f.burst_at = 0.02, f.burst_end = 0.6;
    ask_all(r);
    assert_mebi_ok(mebi__calibrate(&how, r, &err), &err);
    check_recovered(r, 1, 0.15);
    mebi__free(r);
}

/* A machine that is 50 times slower gets what can be had in the time: sizes further apart. */
static void test_calibration_ends_on_slow_machines(void **state) {
    fake f = fake_make();
    mebi__calibration how = how_of(&f);
    mebi__rates *r = fresh();
    mebi_error err = {0};
    (void)state;
    f.slowness = 50;
    ask_all(r);
    assert_mebi_ok(mebi__calibrate(&how, r, &err), &err);
    assert_int_equal(mebi__rates_missing(r), 0);
    assert_true(f.clock < 20);
    mebi__op op = asked(4); /* of the small ones */
    assert_about(mebi__rates_seconds(r, &op), 50 * law(&op), 0.3);
    mebi__free(r);
}

static void test_calibration_in_little_memory(void **state) {
    fake f = fake_make();
    mebi__calibration how = how_of(&f);
    mebi__rates *r = fresh();
    mebi_error err = {0};
    (void)state;
    ask_all(r);
    how.memory_bytes = 3 << 20;
    assert_mebi_ok(mebi__calibrate(&how, r, &err), &err);
    assert_false(f.wrong);
    assert_int_equal(mebi__rates_missing(r), 0);
    mebi__op op = asked(4);
    assert_about(mebi__rates_seconds(r, &op), law(&op), 0.3);
    how.memory_bytes = 1000;
    mebi__rates_init(r);
    assert_int_equal(mebi__calibrate(&how, r, &err), MEBI_NO_MEMORY);
    assert_non_null(strstr(err.text, "1000 bytes"));
    mebi__free(r);
}

static void test_calibration_cancelled(void **state) {
    fake f = fake_make();
    mebi__calibration how = how_of(&f);
    mebi__rates *r = fresh();
    mebi_error err = {0};
    (void)state;
    ask_all(r);
    for (f.cancel_after = 1; f.cancel_after < 200; f.cancel_after += 31) {
        f.asked = 0;
        assert_int_equal(mebi__calibrate(&how, r, &err), MEBI_CANCELLED);
        assert_int_equal(f.buffers, 0);
        assert_int_equal(mebi__rates_missing(r), 3);
    }
    mebi__free(r);
}

/* The real device can do all that is measured. */
static void test_calibration_of_this_machine(void **state) {
    mebi__rates *r = fresh();
    mebi__pool *pool;
    mebi__device *cpu;
    mebi__cpu_level level;
    mebi_error err = {0};
    (void)state;
    assert_mebi_ok(mebi__cpu_choose(&level, &err), &err);
    assert_mebi_ok(mebi__pool_create(2, &pool, &err), &err);
    assert_mebi_ok(mebi__cpu_create(level, pool, &cpu, &err), &err);
    /* Every type of weights, and all else that a model may ask for. */
    for (int i = 0; i < MEBI__RATE_CLASSES; i++) {
        static const char *const others[] = {"LINEAR_INT8", "RMS_NORM:INT8", "SWIGLU:INT8", "QUANTIZE:INT8"};
        int product = i < MEBI__DTYPE_COUNT, conv = !product && i < MEBI__DTYPE_COUNT + MEBI__RATE_CONVS;
        r->asked[i] = (product && mebi__dtype_decodes((mebi__dtype)i)) || conv;
        for (int k = 0; k < 4; k++) r->asked[i] |= strcmp(mebi__rate_name_of(i).text, others[k]) == 0;
    }
    mebi__calibration how = {.device = cpu, .memory_bytes = 4 << 20, .seconds = 0.02};
    assert_mebi_ok(mebi__calibrate(&how, r, &err), &err);
    assert_int_equal(mebi__rates_missing(r), 0);
    for (int i = 0; i < MEBI__RATE_CLASSES; i++)
        for (int j = 0; j < r->of[i].columns; j++)
            for (int k = 0; k < r->of[i].rows; k++)
                assert_true(r->of[i].seconds[j][k] > 1e-16 && r->of[i].seconds[j][k] < 1);
    mebi__device_destroy(&cpu);
    mebi__pool_destroy(&pool);
    mebi__free(r);
}

/* ---- the file ---- */

typedef struct folder {
    char path[64];
    mebi__rates_how how;
} folder;

static folder *folder_make(void) {
    static folder f;
    snprintf(f.path, sizeof f.path, "/tmp/mebi-rates-XXXXXX");
    assert_non_null(mkdtemp(f.path));
    f.how = (mebi__rates_how){.folder = f.path, .version = "1.2/3", .device = "avx9", .threads = 3};
    return &f;
}

/* The name of the folder's nth file; the number of files. */
static int files_in(const folder *f, char *path, size_t bytes) {
    DIR *d = opendir(f->path);
    int n = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        if (path) snprintf(path, bytes, "%s/%s", f->path, e->d_name);
        n++;
    }
    closedir(d);
    return n;
}

static void folder_remove(const folder *f) {
    char path[400];
    while (files_in(f, path, sizeof path)) assert_int_equal(remove(path), 0);
    assert_int_equal(rmdir(f->path), 0);
}

static mebi__rates *known(void) {
    mebi__rates *r = fresh();
    r->roofline = (mebi__roofline){.int8 = 3e11, .bf16 = 1.5e11, .f32 = 1.25e11, .bytes = 2e10,
                                   .file_bytes = 2.5e9, .call = 2e-7};
    r->file_known = 1;
    r->of[class_named("LINEAR:Q8_0")] = (mebi__rate){.rows = 2, .columns = 2, .row = {1, 64}, .column = {100, 1000},
                                                     .seconds = {{4e-11, 1e-11}, {5e-11, 2e-11}}};
    r->of[class_named("COPY")] =
        (mebi__rate){.rows = 1, .columns = 1, .row = {4096}, .column = {1}, .seconds = {{7.5e-11}}};
    mebi__time_learn(r, &(mebi__time_of){"abc-int8", MEBI__TIME_STEP, 5, 1e12}, 1, 1.5);
    return r;
}

static void test_file_round_trip(void **state) {
    folder *f = folder_make();
    mebi__rates *a = known(), *b = fresh();
    mebi_error err = {0};
    mebi__op op = product(MEBI__Q8_0, 8, 32, 10);
    const mebi__time_of what = {"abc-int8", MEBI__TIME_STEP, 5, 1e12};
    (void)state;
    assert_int_equal(mebi__rates_load(&f->how, b), 0);
    for (int i = 0; i < 2; i++) assert_mebi_ok(mebi__rates_save(&f->how, a, &err), &err);
    assert_int_equal(files_in(f, NULL, 0), 1);
    assert_int_equal(mebi__rates_load(&f->how, b), 1);
    assert_about(mebi__rates_seconds(b, &op), mebi__rates_seconds(a, &op), 1e-5);
    assert_about(b->of[class_named("COPY")].seconds[0][0], 7.5e-11, 1e-5);
    assert_about(b->roofline.file_bytes, 2.5e9, 1e-5);
    assert_int_equal(b->file_known, 1);
    assert_about(mebi__time_factor(b, &what), mebi__time_factor(a, &what), 1e-5);
    assert_int_equal(b->clock, a->clock);
    /* Another version, device or number of threads has numbers of its own. */
    mebi__rates_how other[3] = {f->how, f->how, f->how};
    other[0].version = "1.2/4", other[1].device = "avx8", other[2].threads = 4;
    for (int i = 0; i < 3; i++) assert_int_equal(mebi__rates_load(&other[i], b), 0);
    assert_int_equal(b->of[class_named("COPY")].rows, 0);
    folder_remove(f);
    mebi__free(a);
    mebi__free(b);
}

static void test_no_folder_keeps_nothing(void **state) {
    mebi__rates *r = known();
    mebi_error err = {0};
    const mebi__rates_how how = {.folder = "", .version = "1", .device = "x", .threads = 1};
    (void)state;
    assert_mebi_ok(mebi__rates_save(&how, r, &err), &err);
    assert_int_equal(mebi__rates_load(&how, r), 0);
    assert_int_equal(r->of[class_named("COPY")].rows, 0);
    mebi__free(r);
}

static void write_text(const char *path, const char *text, size_t bytes) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static void read_text(const char *path, char **text, size_t *bytes) {
    mebi_error err = {0};
    assert_mebi_ok(mebi__read_file(path, 1 << 20, text, bytes, &err), &err);
}

/* All that a plan divides by or multiplies with is a number that can be. */
static void assert_sane(mebi__rates *r) {
    for (int i = 0; i < ASKED; i++) {
        mebi__op op = asked(i);
        double seconds = mebi__rates_seconds(r, &op);
        assert_true(isfinite(seconds) && seconds > 0);
    }
    mebi__op op = product(MEBI__Q8_0, 8, 32, 10);
    double seconds = mebi__rates_seconds(r, &op);
    assert_true(isfinite(seconds) && seconds > 0);
    double factor = mebi__time_factor(r, &(mebi__time_of){"abc-int8", MEBI__TIME_STEP, 5, 1e12});
    assert_true(factor >= 0.2 && factor <= 5);
    assert_true(r->roofline.file_bytes >= 1e6 && r->roofline.file_bytes <= 1e12);
}

/* Any byte changed to any of some others, and any end: no crash, no number that can't be. */
static void test_file_harmed_anywhere(void **state) {
    folder *f = folder_make();
    mebi__rates *r = known();
    mebi_error err = {0};
    char path[400], *text, harm[] = {0, '"', '-', '9', 'e', '[', '}', ',', (char)0xff};
    size_t bytes;
    (void)state;
    assert_mebi_ok(mebi__rates_save(&f->how, r, &err), &err);
    files_in(f, path, sizeof path);
    read_text(path, &text, &bytes);
    for (size_t i = 0; i < bytes; i++) {
        char was = text[i];
        text[i] = harm[i % sizeof harm];
        write_text(path, text, bytes);
        mebi__rates_load(&f->how, r);
        assert_sane(r);
        text[i] = was;
        if (i % 8) continue;
        write_text(path, text, i);
        assert_int_equal(mebi__rates_load(&f->how, r), 0);
        assert_sane(r);
    }
    folder_remove(f);
    mebi__free(text);
    mebi__free(r);
}

/* In place of one entry: what is believed of it. */
static void test_file_with_wrong_values(void **state) {
    static const char *const wrong[] = {
        "{\"class\":\"COPY\",\"rows\":[4096],\"columns\":[1],\"seconds\":[[0]]}",
        "{\"class\":\"COPY\",\"rows\":[4096],\"columns\":[1],\"seconds\":[[-1e-9]]}",
        "{\"class\":\"COPY\",\"rows\":[4096],\"columns\":[1],\"seconds\":[[1e300]]}",
        "{\"class\":\"COPY\",\"rows\":[4096],\"columns\":[1],\"seconds\":[[\"1e-9\"]]}",
        "{\"class\":\"COPY\",\"rows\":[4096],\"columns\":[1],\"seconds\":[[1e-9],[1e-9]]}",
        "{\"class\":\"COPY\",\"rows\":[4096],\"columns\":[1],\"seconds\":[[1e-9,1e-9]]}",
        "{\"class\":\"COPY\",\"rows\":[4096],\"columns\":[1],\"seconds\":1e-9}",
        "{\"class\":\"COPY\",\"rows\":[2,1],\"columns\":[1],\"seconds\":[[1e-9,1e-9]]}",
        "{\"class\":\"COPY\",\"rows\":[2,2],\"columns\":[1],\"seconds\":[[1e-9,1e-9]]}",
        "{\"class\":\"COPY\",\"rows\":[0],\"columns\":[1],\"seconds\":[[1e-9]]}",
        "{\"class\":\"COPY\",\"rows\":[],\"columns\":[],\"seconds\":[]}",
        "{\"class\":\"COPY\",\"rows\":[1,2,3,4,5,6,7,8,9],\"columns\":[1],\"seconds\":[[1e-9]]}",
        "{\"class\":\"NOTHING\",\"rows\":[1],\"columns\":[1],\"seconds\":[[1e-9]]}",
        "{\"class\":7,\"rows\":[1],\"columns\":[1],\"seconds\":[[1e-9]]}",
        "[]",
        "null",
    };
    folder *f = folder_make();
    mebi__rates *r = fresh();
    mebi_error err = {0};
    char path[400], text[4096], *empty;
    size_t bytes;
    (void)state;
    assert_mebi_ok(mebi__rates_save(&f->how, r, &err), &err);
    files_in(f, path, sizeof path);
    read_text(path, &empty, &bytes);
    const char *at = strstr(empty, "\"rates\":[");
    assert_non_null(at);
    at += strlen("\"rates\":[");
    const char *good = "{\"class\":\"COPY\",\"rows\":[4096],\"columns\":[1],\"seconds\":[[1e-9]]}";
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - empty), empty, good, at);
    write_text(path, text, strlen(text));
    assert_int_equal(mebi__rates_load(&f->how, r), 1);
    assert_int_equal(r->of[class_named("COPY")].rows, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - empty), empty, wrong[i], at);
        write_text(path, text, strlen(text));
        assert_int_equal(mebi__rates_load(&f->how, r), 1);
        for (int k = 0; k < MEBI__RATE_CLASSES; k++) assert_int_equal(r->of[k].rows, 0);
    }
    folder_remove(f);
    mebi__free(empty);
    mebi__free(r);
}

/* A link to somewhere, and a file of someone else: as if they weren't there. */
static void test_file_of_others(void **state) {
    folder *f = folder_make();
    mebi__rates *r = known();
    mebi_error err = {0};
    char path[400], elsewhere[420];
    (void)state;
    assert_mebi_ok(mebi__rates_save(&f->how, r, &err), &err);
    files_in(f, path, sizeof path);
    snprintf(elsewhere, sizeof elsewhere, "%s.moved", path);
    assert_int_equal(rename(path, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, path), 0);
    assert_int_equal(mebi__rates_load(&f->how, r), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rename(elsewhere, path), 0);
    assert_int_equal(mebi__rates_load(&f->how, r), 1);
    if (geteuid() == 0) { /* only root can give files away */
        assert_int_equal(chown(path, 12345, 12345), 0);
        assert_int_equal(mebi__rates_load(&f->how, r), 0);
    }
    folder_remove(f);
    mebi__free(r);
}

/* Two write again and again; who reads meanwhile always finds one of both, whole. */
static void test_file_of_several_processes(void **state) {
    folder *f = folder_make();
    mebi__rates *r = known();
    mebi_error err = {0};
    pid_t child[2];
    (void)state;
    assert_mebi_ok(mebi__rates_save(&f->how, r, &err), &err);
    for (int c = 0; c < 2; c++) {
        child[c] = fork();
        assert_true(child[c] >= 0);
        if (child[c] == 0) {
            int failed = 0;
            r->roofline.file_bytes = c ? 1e9 : 2e9;
            for (int i = 0; i < 60; i++) failed |= mebi__rates_save(&f->how, r, NULL) != MEBI_OK;
            _exit(failed);
        }
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(mebi__rates_load(&f->how, r), 1);
        assert_int_equal(r->of[class_named("LINEAR:Q8_0")].rows, 2);
    }
    for (int c = 0; c < 2; c++) {
        int status;
        assert_int_equal(waitpid(child[c], &status, 0), child[c]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(files_in(f, NULL, 0), 1);
    folder_remove(f);
    mebi__free(r);
}

/* ---- what jobs teach ---- */

static const mebi__time_of job = {"abc-int8", MEBI__TIME_STEP, 0, 1e12};

static void test_learning_converges(void **state) {
    static const double noise[] = {1.08, 0.95, 1.12, 0.9, 1.02, 0.97, 1.1, 0.93};
    mebi__rates *r = fresh();
    (void)state;
    assert_true(mebi__time_factor(r, &job) == 1);
    mebi__time_learn(r, &job, 2, 3.2);
    assert_about(mebi__time_factor(r, &job), 1.6, 0.02); /* the first counts fully */
    for (int i = 0; i < 32; i++) mebi__time_learn(r, &job, 2, 2 * 1.3 * noise[i % 8]);
    assert_about(mebi__time_factor(r, &job), 1.3, 0.08);
    /* The machine has become another for good: a few jobs, and it is known. */
    for (int i = 0; i < 6; i++) mebi__time_learn(r, &job, 2, 2 * 2.6);
    assert_about(mebi__time_factor(r, &job), 2.6, 0.15);
    mebi__free(r);
}

static void test_learning_survives_an_outlier(void **state) {
    mebi__rates *r = fresh();
    (void)state;
    for (int i = 0; i < 4; i++) mebi__time_learn(r, &job, 1, 1);
    mebi__time_learn(r, &job, 1, 60);
    assert_true(mebi__time_factor(r, &job) < 1.31);
    for (int i = 0; i < 3; i++) mebi__time_learn(r, &job, 1, 1);
    assert_about(mebi__time_factor(r, &job), 1, 0.05);
    mebi__free(r);
}

static void test_learning_is_bounded(void **state) {
    static const double none[][2] = {{1, 0}, {0, 1}, {1, -1}, {NAN, 1}, {1, NAN}, {1, INFINITY}, {INFINITY, 1}};
    mebi__rates *r = fresh();
    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) mebi__time_learn(r, &job, none[i][0], none[i][1]);
    mebi__time_learn(r, &(mebi__time_of){"", MEBI__TIME_STEP, 0, 1e12}, 1, 2);
    mebi__time_learn(r, &(mebi__time_of){"abc", MEBI__TIME_STEP, 0, NAN}, 1, 2);
    for (int i = 0; i < MEBI__LEARNED; i++) assert_int_equal(r->learned[i].name[0], 0);
    for (int i = 0; i < 50; i++) mebi__time_learn(r, &job, 1, 1e6);
    assert_true(mebi__time_factor(r, &job) <= 5);
    assert_about(mebi__time_factor(r, &job), 5, 0.05);
    for (int i = 0; i < 50; i++) mebi__time_learn(r, &job, 1, 1e-6);
    assert_true(mebi__time_factor(r, &job) >= 0.2);
    assert_about(mebi__time_factor(r, &job), 0.2, 0.05);
    mebi__free(r);
}

static double factor_of(const mebi__rates *r, const char *name, mebi__time_stage stage, int variant, double operations) {
    return mebi__time_factor(r, &(mebi__time_of){name, stage, variant, operations});
}

static void test_learning_reaches_neighbours(void **state) {
    mebi__rates *r = fresh();
    (void)state;
    mebi__time_learn(r, &job, 1, 2);
    double same = factor_of(r, "abc-int8", MEBI__TIME_STEP, 0, 1.1e12);
    double near = factor_of(r, "abc-int8", MEBI__TIME_STEP, 0, 2e12);
    double far = factor_of(r, "abc-int8", MEBI__TIME_STEP, 0, 64e12);
    assert_about(same, 2, 0.03);
    assert_true(near < same && near > 1.3);
    assert_true(far < near && far < 1.1);
    double other_way = factor_of(r, "abc-int8", MEBI__TIME_STEP, 3, 1e12);
    assert_true(other_way > 1.3 && other_way < 2);
    assert_true(factor_of(r, "abc-int8", MEBI__TIME_DECODE, 0, 1e12) == 1);
    assert_true(factor_of(r, "abc-f32", MEBI__TIME_STEP, 0, 1e12) == 1);
    /* What was measured there itself counts more than any neighbour. */
    mebi__time_learn(r, &(mebi__time_of){"abc-int8", MEBI__TIME_STEP, 3, 1e12}, 1, 1);
    assert_about(factor_of(r, "abc-int8", MEBI__TIME_STEP, 3, 1e12), 1, 0.1);
    assert_about(factor_of(r, "abc-int8", MEBI__TIME_STEP, 0, 1e12), 2, 0.1);
    mebi__free(r);
}

static void test_learning_forgets_the_oldest(void **state) {
    mebi__rates *r = fresh();
    char name[32];
    (void)state;
    for (int i = 0; i < MEBI__LEARNED + 40; i++) {
        snprintf(name, sizeof name, "model%d-f32", i);
        mebi__time_learn(r, &(mebi__time_of){name, MEBI__TIME_DECODE, 0, 1e9}, 1, 3);
        if (i > 0) mebi__time_learn(r, &(mebi__time_of){"model0-f32", MEBI__TIME_DECODE, 0, 1e9}, 1, 3);
    }
    assert_about(factor_of(r, name, MEBI__TIME_DECODE, 0, 1e9), 3, 0.05);
    assert_about(factor_of(r, "model0-f32", MEBI__TIME_DECODE, 0, 1e9), 3, 0.05); /* often used */
    assert_true(factor_of(r, "model1-f32", MEBI__TIME_DECODE, 0, 1e9) == 1);
    mebi__free(r);
}

static void test_file_speed_is_learned(void **state) {
    mebi__rates *r = fresh();
    (void)state;
    assert_about(r->roofline.file_bytes, 1e9, 1e-9);
    mebi__time_learn_file(r, 1e6, 1);    /* too little to tell */
    mebi__time_learn_file(r, 1e9, 0);    /* no time */
    mebi__time_learn_file(r, 1e9, NAN);
    assert_about(r->roofline.file_bytes, 1e9, 1e-9);
    mebi__time_learn_file(r, 4e9, 2);
    assert_about(r->roofline.file_bytes, 2e9, 1e-9);
    for (int i = 0; i < 8; i++) mebi__time_learn_file(r, 4e9, 10);
    assert_about(r->roofline.file_bytes, 4e8, 0.02);
    mebi__free(r);
}

/* Steps that take 1.4 times as long, and decoding as much less as it feels of a spell. */
static void test_pace_is_followed(void **state) {
    (void)state;
    mebi__rates *r = fresh();
    mebi__time_lap lap[MEBI__TIME_STAGES] = {[MEBI__TIME_STEP] = {2, 2.8},
                                             [MEBI__TIME_DECODE] = {1, pow(1.4, 0.4)}};
    assert_about(mebi__time_pace(r, MEBI__TIME_STEP, 5, 1), 1, 1e-9);
    mebi__time_learn_pace(r, lap, 100);
    assert_about(mebi__time_pace(r, MEBI__TIME_STEP, 100, 0), 1.4, 1e-3);
    assert_about(mebi__time_pace(r, MEBI__TIME_DECODE, 100, 0), pow(1.4, 0.4), 1e-3);
    assert_about(mebi__time_pace(r, MEBI__TIME_TAKE, 100, 0), 1, 1e-9);
    assert_about(mebi__time_pace(r, MEBI__TIME_STEP, 100, 600), 1, 0.01); /* minutes outlast a spell */
    assert_about(mebi__time_pace(r, MEBI__TIME_STEP, 200, 0), 1, 1e-3);   /* forgotten */
    /* A lap of a hundredth of a second tells little. */
    lap[MEBI__TIME_STEP] = (mebi__time_lap){0.01, 0.01};
    lap[MEBI__TIME_DECODE] = (mebi__time_lap){0, 0};
    mebi__time_learn_pace(r, lap, 100);
    assert_about(mebi__time_pace(r, MEBI__TIME_STEP, 100, 0), 1.4, 0.02);
    lap[MEBI__TIME_STEP] = (mebi__time_lap){5, 5};
    mebi__time_learn_pace(r, lap, 101);
    assert_about(mebi__time_pace(r, MEBI__TIME_STEP, 101, 0), 1, 1e-3);
    mebi__free(r);
}

static void test_pace_of_no_times(void **state) {
    (void)state;
    static const double none[][2] = {{0, 1}, {1, 0}, {-1, 1}, {NAN, 1}, {1, NAN}, {INFINITY, 1}, {1, INFINITY}};
    mebi__rates *r = fresh();
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        mebi__time_lap lap[MEBI__TIME_STAGES] = {[MEBI__TIME_STEP] = {none[i][0], none[i][1]}};
        mebi__time_learn_pace(r, lap, 1);
    }
    assert_about(mebi__time_pace(r, MEBI__TIME_STEP, 1, 1), 1, 1e-12);
    mebi__time_lap wild[MEBI__TIME_STAGES] = {[MEBI__TIME_STEP] = {1, 1e9}};
    mebi__time_learn_pace(r, wild, 1);
    assert_true(mebi__time_pace(r, MEBI__TIME_STEP, 1, 0) <= 5.01);
    mebi__free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interpolation),
        cmocka_unit_test(test_names_are_different),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_what_is_not_measured_is_guessed),
        cmocka_unit_test(test_dry_seconds_are_the_sum),
        cmocka_unit_test(test_calibration_recovers_known_speeds),
        cmocka_unit_test(test_calibration_outlasts_a_burst),
        cmocka_unit_test(test_calibration_ends_on_slow_machines),
        cmocka_unit_test(test_calibration_in_little_memory),
        cmocka_unit_test(test_calibration_cancelled),
        cmocka_unit_test(test_calibration_of_this_machine),
        cmocka_unit_test(test_file_round_trip),
        cmocka_unit_test(test_no_folder_keeps_nothing),
        cmocka_unit_test(test_file_harmed_anywhere),
        cmocka_unit_test(test_file_with_wrong_values),
        cmocka_unit_test(test_file_of_others),
        cmocka_unit_test(test_file_of_several_processes),
        cmocka_unit_test(test_learning_converges),
        cmocka_unit_test(test_learning_survives_an_outlier),
        cmocka_unit_test(test_learning_is_bounded),
        cmocka_unit_test(test_learning_reaches_neighbours),
        cmocka_unit_test(test_learning_forgets_the_oldest),
        cmocka_unit_test(test_file_speed_is_learned),
        cmocka_unit_test(test_pace_is_followed),
        cmocka_unit_test(test_pace_of_no_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

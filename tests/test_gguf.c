/* GGUF and 8-bit floats: values of blocks, the container, the names, whole models. Expected values
 * are PyPI gguf's and torch's (tools/reference/block_fixtures.py). */
#include "reading.h"

#include "cpu/cpu.h"
#include "engine/engine.h"
#include "engine/tokens.h"
#include "mebi/file.h"
#include "weights/gguf.h"
#include "weights/safetensors.h"

#include <math.h>

#define GGUF MEBI_FIXTURES "/gguf"

/* ---- values ---- */

static const mebi__stored *stored(const mebi__safetensors *file, const char *kind,
                                  mebi__dtype type) {
    path_text name = path_of("%s.%s", kind, mebi__dtype_name(type));
    for (int i = 0; i < file->count; i++)
        if (strcmp(file->tensor[i].name, name.text) == 0) return &file->tensor[i];
    fail_msg("the fixture lacks %s", name.text);
    return NULL;
}

/* The same bits; every NaN equals every other. */
static void assert_same_bits(const float *got, const float *expected, size_t count,
                             const char *what) {
    for (size_t i = 0; i < count; i++) {
        uint32_t a, b;
        memcpy(&a, got + i, sizeof a);
        memcpy(&b, expected + i, sizeof b);
        if (a != b && !(isnan(got[i]) && isnan(expected[i])))
            fail_msg("%s: value %zu is %a instead of %a", what, i, (double)got[i],
                     (double)expected[i]);
    }
}

static const mebi__dtype all_types[] = {
    MEBI__Q4_0, MEBI__Q4_1, MEBI__Q5_0, MEBI__Q5_1, MEBI__Q8_0,    MEBI__Q2_K,    MEBI__Q3_K,
    MEBI__Q4_K, MEBI__Q5_K, MEBI__Q6_K, MEBI__F16,  MEBI__F8_E4M3, MEBI__F8_E5M2,
};

static void decodes_every_type(void **state) {
    (void)state;
    mebi__safetensors file;
    mebi_error err = {0};
    assert_mebi_ok(mebi__safetensors_open(MEBI_FIXTURES "/gguf/blocks.safetensors", &file, &err),
                   &err);
    for (int i = 0; i < COUNT(all_types); i++) {
        mebi__dtype type = all_types[i];
        const mebi__stored *raw = stored(&file, "raw", type), *f32 = stored(&file, "f32", type);
        size_t count = f32->bytes / sizeof(float), row;
        assert_int_equal(mebi__row_bytes(type, (int64_t)count, &row), 1);
        assert_int_equal(row, raw->bytes);
        float *expected = take_bytes(f32->bytes), *got = take_bytes(f32->bytes);
        unsigned char *odd = take_bytes(raw->bytes + 1);
        memcpy(expected, f32->data, f32->bytes);
        mebi__convert_to_f32(type, raw->data, count, got);
        assert_same_bits(got, expected, count, mebi__dtype_name(type));
        memcpy(odd + 1, raw->data, raw->bytes); /* at any address */
        memset(got, 0, f32->bytes);
        mebi__convert_to_f32(type, odd + 1, count, got);
        assert_same_bits(got, expected, count, mebi__dtype_name(type));
        free(expected);
        free(got);
        free(odd);
    }
    mebi__safetensors_close(&file);
}

/* ---- products ---- */

/* Random blocks with ordinary scales. */
static void fill_blocks(mebi__dtype type, unsigned char *p, size_t bytes, size_t block) {
    static const int halves[MEBI__DTYPE_COUNT][2] = {
        [MEBI__Q4_0] = {0, 0},     [MEBI__Q4_1] = {0, 2}, [MEBI__Q5_0] = {0, 0},
        [MEBI__Q5_1] = {0, 2},     [MEBI__Q8_0] = {0, 0}, [MEBI__Q2_K] = {80, 82},
        [MEBI__Q3_K] = {108, 108}, [MEBI__Q4_K] = {0, 2}, [MEBI__Q5_K] = {0, 2},
        [MEBI__Q6_K] = {208, 208}};
    for (size_t i = 0; i < bytes; i++) p[i] = (unsigned char)(rand() >> 7);
    for (size_t i = 0; i < bytes; i += block)
        for (int h = 0; h < 2 && mebi__dtype_block(type) > 1; h++) {
            uint16_t half = (uint16_t)(0x1800 + rand() % 0x800); /* 0.002 to 0.008 */
            memcpy(p + i + halves[type][h], &half, sizeof half);
        }
    for (size_t i = 0; i < bytes && type == MEBI__F16; i += 2) p[i + 1] &= 0xbf; /* below 2 */
    for (size_t i = 0; i < bytes && mebi__dtype_bytes(type) == 1; i++) p[i] &= 0xbf;
}

typedef struct product {
    mebi__dtype type;
    int64_t m, n, k;
    float scale;
    float *x, *w, *y; /* w decoded and scaled */
    unsigned char *raw;
    size_t raw_bytes;
} product;

static product make_product(mebi__dtype type, int64_t m, int64_t n, int64_t k, float scale) {
    product p = {.type = type, .m = m, .n = n, .k = k, .scale = scale};
    size_t row, block;
    assert_true(mebi__row_bytes(type, k, &row));
    assert_true(mebi__row_bytes(type, mebi__dtype_block(type), &block));
    p.raw_bytes = row * (size_t)n;
    p.raw = take_bytes(p.raw_bytes + 2);
    p.x = take_bytes(sizeof *p.x * (size_t)(m * k));
    p.w = take_bytes(sizeof *p.w * (size_t)(n * k));
    p.y = take_bytes(sizeof *p.y * (size_t)(m * n));
    fill_blocks(type, p.raw, p.raw_bytes, block);
    for (int64_t i = 0; i < m * k; i++) p.x[i] = (float)(rand() % 2001 - 1000) / 1000;
    mebi__convert_to_f32(type, p.raw, (size_t)(n * k), p.w);
    for (int64_t i = 0; i < n * k && scale != 0; i++) p.w[i] *= scale;
    return p;
}

static void free_product(product *p) {
    free(p->raw);
    free(p->x);
    free(p->w);
    free(p->y);
}

static mebi__view upload(mebi__device *d, mebi__dtype type, int64_t rows, int64_t columns,
                         const void *data, size_t bytes) {
    mebi_error err = {0};
    mebi__view v = {.dtype = type, .shape = {2, {rows, columns}}};
    assert_mebi_ok(d->table->buffer_create(d, MEBI__TAG_GENERAL, bytes, &v.buffer, &err), &err);
    if (data) assert_mebi_ok(d->table->upload(d, v, data, &err), &err);
    return v;
}

/* Runs linear, and compares with sums in f64. */
static void check_linear(mebi__device *d, product *p) {
    mebi_error err = {0};
    mebi__stream s = {.device = d, .err = &err};
    mebi__view x = upload(d, MEBI__F32, p->m, p->k, p->x, sizeof(float) * (size_t)(p->m * p->k));
    mebi__view w = upload(d, p->type, p->n, p->k, p->raw, p->raw_bytes);
    mebi__view y = upload(d, MEBI__F32, p->m, p->n, NULL, sizeof(float) * (size_t)(p->m * p->n));
    w.scale = p->scale;
    mebi__linear(&s, x, w, (mebi__view){0}, y);
    mebi__download(&s, y, p->y);
    assert_mebi_ok(mebi__stream_wait(&s), &err);
    for (int64_t i = 0; i < p->m * p->n; i++) {
        const float *a = p->x + i / p->n * p->k, *b = p->w + i % p->n * p->k;
        double sum = 0, size = 0;
        for (int64_t k = 0; k < p->k; k++) {
            sum += (double)a[k] * (double)b[k];
            size += fabs((double)a[k] * (double)b[k]);
        }
        if (!(fabs(sum - (double)p->y[i]) <= 1e-6 * size))
            fail_msg("%s [%lld, %lld, %lld]: element %lld is %g instead of %g",
                     mebi__dtype_name(p->type), (long long)p->m, (long long)p->n, (long long)p->k,
                     (long long)i, (double)p->y[i], sum);
    }
    d->table->buffer_destroy(d, x.buffer);
    d->table->buffer_destroy(d, w.buffer);
    d->table->buffer_destroy(d, y.buffer);
}

/* Looking up rows gives the decoded values themselves. */
static void check_embed(mebi__device *d, product *p) {
    mebi_error err = {0};
    const int32_t ids[3] = {(int32_t)p->n - 1, 0, (int32_t)p->n};
    mebi__stream s = {.device = d, .err = &err};
    mebi__view i = upload(d, MEBI__I32, 3, 1, ids, sizeof ids);
    mebi__view w = upload(d, p->type, p->n, p->k, p->raw, p->raw_bytes);
    mebi__view y = upload(d, MEBI__F32, 3, p->k, NULL, 3 * sizeof(float) * (size_t)p->k);
    float *got = take_bytes(3 * sizeof *got * (size_t)p->k);
    w.scale = p->scale;
    i.shape = (mebi__shape){1, {3}};
    mebi__embed(&s, i, w, y);
    mebi__download(&s, y, got);
    assert_mebi_ok(mebi__stream_wait(&s), &err);
    size_t row = sizeof *got * (size_t)p->k;
    assert_memory_equal(got, p->w + (p->n - 1) * p->k, row);
    assert_memory_equal(got + p->k, p->w, row);
    for (int64_t k = 0; k < p->k; k++) assert_true(got[2 * p->k + k] == 0);
    free(got);
    d->table->buffer_destroy(d, i.buffer);
    d->table->buffer_destroy(d, w.buffer);
    d->table->buffer_destroy(d, y.buffer);
}

static void multiplies_every_type(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 37, 512}, {5, 16, 256}, {70, 35, 768}, {3, 1, 256}};
    mebi_error err = {0};
    mebi__cpu_level best;
    mebi__pool *pool;
    assert_mebi_ok(mebi__pool_create(2, &pool, &err), &err);
    assert_mebi_ok(mebi__cpu_choose(&best, &err), &err);
    for (int level = 0; level < 2; level++) {
        mebi__device *d;
        assert_mebi_ok(mebi__cpu_create(level ? best : MEBI__CPU_REF, pool, &d, &err), &err);
        assert_mebi_ok(d->table->scratch_reserve(d, 8 << 20, &err), &err);
        for (int t = 0; t < COUNT(all_types); t++)
            for (int i = 0; i < COUNT(sizes); i++) {
                product p = make_product(all_types[t], sizes[i][0], sizes[i][1], sizes[i][2],
                                         i % 2 ? 0.37f : 0);
                check_linear(d, &p);
                check_embed(d, &p);
                free_product(&p);
            }
        for (int i = 0; i < 5; i++) { /* rows of small blocks that are not whole large ones */
            product p = make_product(all_types[i], 1 + 8 * i, 20, 32 * (i + 1) + 256 * (i % 2), 0);
            check_linear(d, &p);
            free_product(&p);
        }
        mebi__device_destroy(&d);
    }
    mebi__pool_destroy(&pool);
}

/* ---- the container ---- */

typedef struct maker {
    unsigned char data[1 << 14];
    size_t bytes;
} maker;

static void put(maker *m, const void *data, size_t bytes) {
    assert_true(bytes <= sizeof m->data - m->bytes);
    memcpy(m->data + m->bytes, data, bytes);
    m->bytes += bytes;
}

static void put_number(maker *m, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) put(m, &(unsigned char){(unsigned char)(value >> 8 * i)}, 1);
}

static void put_text(maker *m, const char *text) {
    put_number(m, strlen(text), 8);
    put(m, text, strlen(text));
}

static void put_head(maker *m, uint64_t version, uint64_t tensors, uint64_t values) {
    m->bytes = 0;
    put(m, "GGUF", 4);
    put_number(m, version, 4);
    put_number(m, tensors, 8);
    put_number(m, values, 8);
}

static void put_value(maker *m, const char *key, int type, uint64_t value, int bytes) {
    put_text(m, key);
    put_number(m, (uint64_t)type, 4);
    put_number(m, value, bytes);
}

static void put_tensor(maker *m, const char *name, int type, uint64_t offset, int rank, uint64_t a,
                       uint64_t b) {
    put_text(m, name);
    put_number(m, (uint64_t)rank, 4);
    for (int i = 0; i < rank; i++) put_number(m, i == 0 ? a : i == 1 ? b : 1, 8);
    put_number(m, (uint64_t)type, 4);
    put_number(m, offset, 8);
}

/* Padding to the alignment, and so many bytes of data: 1, 2, 3, ... */
static void put_data(maker *m, size_t alignment, size_t bytes) {
    while (m->bytes % alignment) put_number(m, 0, 1);
    for (size_t i = 0; i < bytes; i++) put_number(m, i + 1, 1);
}

static void write_maker(const maker *m, const char *path) {
    write_bytes(path, m->data, m->bytes);
}

enum {
    F32_TYPE = 0,
    Q8_0_TYPE = 8,
    Q4_K_TYPE = 12,
    IQ4_XS_TYPE = 23,
    STRING_TYPE = 8,
    ARRAY_TYPE = 9
};

static void reads_tensors_and_values(void **state) {
    (void)state;
    path_text folder = make_folder(), path = path_of("%s/a.gguf", folder.text);
    for (int version = 2; version <= 3; version++) {
        maker m;
        put_head(&m, (uint64_t)version, 5, 5);
        put_value(&m, "general.alignment", 4, 64, 4);
        put_text(&m, "words");
        put_number(&m, ARRAY_TYPE, 4), put_number(&m, STRING_TYPE, 4), put_number(&m, 2, 8);
        put_text(&m, "one"), put_text(&m, "");
        put_value(&m, "minus", 3, 0xfffe, 2);
        put_value(&m, "real", 6, 0x3fc00000, 4);
        put_value(&m, "huge", 10, UINT64_MAX, 8);
        put_tensor(&m, "b.weight", Q8_0_TYPE, 64, 2, 32, 3);
        put_tensor(&m, "a.weight", F32_TYPE, 0, 2, 2, 3);
        put_tensor(&m, "c.weight", IQ4_XS_TYPE, 192, 2, 256, 1);
        put_tensor(&m, "d.weight", F32_TYPE, 192, 5, 1, 1); /* the fifth dimension is 1 */
        put_tensor(&m, "blk.3.attn_q.weight", 30, 256, 1, 2, 0);
        put_data(&m, 64, 260);
        write_maker(&m, path.text);
        mebi__tensors *set = open_good(path.text, MEBI__PART_ENCODER);
        assert_int_equal(mebi__tensors_count(set), 4);
        const mebi__tensor *a = mebi__tensors_find(set, "a.weight"),
                           *b = mebi__tensors_find(set, "b.weight");
        assert_int_equal(a->shape.dim[0], 3);
        assert_int_equal(a->shape.dim[1], 2);
        assert_int_equal(b->dtype, MEBI__Q8_0);
        assert_int_equal(b->shape.dim[1], 32);
        assert_int_equal(*(const unsigned char *)a->data, 1);
        assert_int_equal(*(const unsigned char *)b->data, 65);
        assert_non_null(mebi__tensors_find(set, "model.layers.3.self_attn.q_proj.weight"));
        const int64_t dim[] = {1, 256};
        mebi_error err = {0};
        assert_null(mebi__tensors_want(set, 2, dim, "c.weight"));
        assert_refused(mebi__tensors_report(set, &err), MEBI_BAD_FILE, &err, "a.gguf",
                       "c.weight (IQ4_XS): its type is not F32, F16, BF16, Q8_0");
        mebi__tensors_close(&set);

        mebi__stored_file file;
        assert_mebi_ok(mebi__stored_open(path.text, &file, &err), &err);
        int64_t number;
        double real;
        assert_true(mebi__gguf_integer(mebi__gguf_find(&file, "minus"), &number) && number == -2);
        assert_true(mebi__gguf_integer(mebi__gguf_find(&file, "huge"), &number) &&
                    number == INT64_MAX);
        assert_true(mebi__gguf_number(mebi__gguf_find(&file, "real"), &real) && real == 1.5);
        assert_false(mebi__gguf_integer(mebi__gguf_find(&file, "real"), &number));
        assert_null(mebi__gguf_find(&file, "word"));
        const mebi__gguf_value *words = mebi__gguf_find(&file, "words");
        assert_true(words->is_array && words->count == 2);
        mebi__stored_close(&file);
    }
    remove_path(folder.text);
}

static void put_pair(maker *m, uint64_t first, uint64_t second) {
    put_head(m, 3, 2, 0);
    put_tensor(m, "a", F32_TYPE, first, 1, 8, 0);
    put_tensor(m, "b", F32_TYPE, second, 1, 8, 0);
    put_data(m, 32, 96);
}

static void put_array(maker *m, int type, uint64_t count) {
    put_head(m, 3, 1, 1);
    put_text(m, "list");
    put_number(m, ARRAY_TYPE, 4), put_number(m, (uint64_t)type, 4), put_number(m, count, 8);
}

static void put_one(maker *m, int type, int rank, uint64_t a, uint64_t b, uint64_t offset) {
    put_head(m, 3, 1, 0);
    put_tensor(m, "t", type, offset, rank, a, b);
    put_data(m, 32, 64);
}

/* Broken file i into *m; returns what its refusal says, NULL after the last. */
static const char *make_broken(maker *m, int i, mebi_status *status) {
    static const char long_name[] =
        "0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789012345678901234567890123456789";
    *status = MEBI_BAD_FILE;
    switch (i) {
    case 0: put_head(m, 3, 1, 0), m->data[0] = 'g'; return "doesn't begin with \"GGUF\"";
    case 1: put_head(m, 1, 1, 0), *status = MEBI_UNSUPPORTED; return "of version 1; 2 and 3";
    case 2: put_head(m, 4, 1, 0), *status = MEBI_UNSUPPORTED; return "of version 4; 2 and 3";
    case 3: put_head(m, 3u << 24, 1, 0), *status = MEBI_UNSUPPORTED; return "big-endian";
    case 4: put_head(m, 3, 0, 0); return "holds no tensors";
    case 5: put_head(m, 3, UINT64_MAX, 0); return "claims 18446744073709551615 tensors";
    case 6:
        put_head(m, 3, 1, UINT64_MAX), put_data(m, 1, 40);
        return "claims 18446744073709551615 values";
    case 7: put_head(m, 3, 2, 0), put_data(m, 1, 30); return "claims 2 tensors";
    case 8: put_array(m, 4, UINT64_MAX); return "an array of the metadata";
    case 9: put_array(m, 4, 5), put_data(m, 1, 19); return "a value of the metadata";
    case 10: put_array(m, ARRAY_TYPE, 1), put_data(m, 1, 40); return "is an array of arrays";
    case 11: put_array(m, 77, 1), put_data(m, 1, 40); return "has an unknown type (77)";
    case 12: put_array(m, STRING_TYPE, 1), put_number(m, UINT64_MAX, 8); return "a string of the";
    case 13:
        put_head(m, 3, 1, 1), put_number(m, 1u << 30, 8), put_data(m, 1, 40);
        return "a key of the metadata";
    case 14:
        put_head(m, 3, 1, 2), put_value(m, "k", 0, 1, 1), put_value(m, "k", 0, 1, 1);
        put_data(m, 1, 40);
        return "\"k\" is there twice";
    case 15:
        put_head(m, 3, 1, 1), put_value(m, "general.alignment", 4, 48, 4);
        put_tensor(m, "t", F32_TYPE, 0, 1, 8, 0), put_data(m, 32, 64);
        return "no power of two";
    case 16:
        put_head(m, 3, 1, 1), put_value(m, "split.count", 2, 3, 2);
        put_tensor(m, "t", F32_TYPE, 0, 1, 8, 0), put_data(m, 32, 64), *status = MEBI_UNSUPPORTED;
        return "one of 3 parts of a split model";
    case 17: put_one(m, F32_TYPE, 9, 8, 1, 0); return "has 9 dimensions; at most 8";
    case 18: put_one(m, F32_TYPE, 1, 1ull << 63, 0, 0); return "dimension 0 overflows";
    case 19: put_one(m, F32_TYPE, 2, 1ull << 40, 1ull << 40, 0); return "its size overflows";
    case 20: put_one(m, Q8_0_TYPE, 1, 33, 0, 0); return "not whole blocks of 32";
    case 21: put_one(m, Q4_K_TYPE, 2, 128, 2, 0); return "not whole blocks of 256";
    case 22: put_one(m, F32_TYPE, 1, 8, 0, 8); return "not a multiple of the alignment 32";
    case 23: put_one(m, F32_TYPE, 1, 8, 0, 96); return "tensor t needs 32 bytes from byte 96";
    case 24: put_one(m, F32_TYPE, 1, 17, 0, 0); return "tensor t needs 68 bytes";
    case 25: put_one(m, F32_TYPE, 1, 8, 0, UINT64_MAX - 31); return "is truncated";
    case 26: put_pair(m, 32, 32); return "tensors a and b overlap";
    case 27:
        put_head(m, 3, 2, 0), put_tensor(m, "a", F32_TYPE, 0, 1, 9, 0);
        put_tensor(m, "b", F32_TYPE, 32, 1, 8, 0), put_data(m, 32, 96);
        return "tensors a and b overlap";
    case 28:
        put_head(m, 3, 1, 0), put_tensor(m, long_name, F32_TYPE, 0, 1, 8, 0), put_data(m, 32, 64);
        return "has 280 bytes, or a zero among them";
    case 29:
        put_head(m, 3, 1, 0), put_tensor(m, "", F32_TYPE, 0, 1, 8, 0), put_data(m, 32, 64);
        return "is empty, has control characters";
    case 30:
        put_head(m, 3, 1, 0), put_tensor(m, "a\x1b[2J", F32_TYPE, 0, 1, 8, 0), put_data(m, 32, 64);
        return "\"a?[2J\" is empty, has control";
    case 31:
        put_head(m, 3, 2, 0), put_tensor(m, "a", F32_TYPE, 0, 1, 8, 0);
        put_tensor(m, "a", F32_TYPE, 32, 1, 8, 0), put_data(m, 32, 96);
        return "the tensor a is there twice";
    case 32:
        put_head(m, 3, 2, 0), put_tensor(m, "output_norm.weight", F32_TYPE, 0, 1, 8, 0);
        put_tensor(m, "norm.weight", F32_TYPE, 32, 1, 8, 0), put_data(m, 32, 96);
        return "model.norm.weight is there twice";
    default: return NULL;
    }
}

static void refuses_broken_files(void **state) {
    (void)state;
    path_text folder = make_folder(), path = path_of("%s/bad.gguf", folder.text);
    maker m;
    mebi_status status;
    for (int i = 0;; i++) {
        const char *word = make_broken(&m, i, &status);
        if (!word) break;
        write_maker(&m, path.text);
        refuse_file(path.text, MEBI__PART_ENCODER, status, "bad.gguf", word);
    }
    write_text(path.text, "<!DOCTYPE html>");
    refuse_file(path.text, MEBI__PART_DIT, MEBI_BAD_FILE, "bad.gguf", "is a web page");
    write_text(path.text, "");
    refuse_file(path.text, MEBI__PART_DIT, MEBI_BAD_FILE, "bad.gguf", "is empty");
    remove_path(folder.text);
}

/* Cut anywhere, a file is refused: nothing is read beyond its end. */
static void refuses_every_cut(void **state) {
    (void)state;
    size_t bytes;
    unsigned char *whole = read_bytes(GGUF "/mixed-encoder.gguf", &bytes);
    for (size_t n = 0; n < bytes; n += n < 40000 ? 1 + n / 37 : 997) {
        unsigned char *exact = take_bytes(n ? n : 1); /* so that a sanitizer sees its end */
        memcpy(exact, whole, n);
        mebi__stored_file file;
        mebi_error err = {0};
        assert_int_equal(mebi__gguf_parse("cut", exact, n, &file, &err), MEBI_BAD_FILE);
        assert_non_null(strstr(err.text, "cut"));
        free(exact);
    }
    free(whole);
}

static void survives_lost_allocations(void **state) {
    (void)state;
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    for (uint64_t nth = 1;; nth++) {
        mebi__tensors *set = NULL;
        mebi__gguf_tokens tokens = {0};
        mebi_error err = {0};
        mebi__memory_fail_nth(nth);
        mebi_status got =
            mebi__tensors_open(GGUF "/mixed-encoder.gguf", MEBI__PART_ENCODER, &set, &err);
        if (got == MEBI_OK) {
            mebi__stored_file file;
            got = mebi__stored_open(GGUF "/mixed-encoder.gguf", &file, &err);
            if (got == MEBI_OK) got = mebi__gguf_tokens_read(&file, &tokens, &err);
            mebi__gguf_tokens_release(&tokens);
            mebi__stored_close(&file);
        }
        uint64_t asked = mebi__memory_fail_nth(0);
        mebi__tensors_close(&set);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
        if (asked < nth) {
            assert_int_equal(got, MEBI_OK);
            break;
        }
        assert_int_equal(got, MEBI_NO_MEMORY);
    }
}

/* ---- the tokenizer ---- */

/* The encoder's GGUF gives the ids that the folder it was made from gives. */
static void tokenizes_like_its_folder(void **state) {
    (void)state;
    const mebi__model_paths paths = {.diffusion_model = GGUF "/mixed-dit.gguf",
                                     .text_encoder = GGUF "/mixed-encoder.gguf",
                                     .vae = GGUF "/mixed-ae.safetensors"};
    mebi__model_files m = open_model(&paths);
    mebi__tokenizer *t;
    mebi_error err = {0};
    assert_int_equal(m.encoder_config.layers, 3);
    assert_true(m.encoder_config.rope_theta == 5e5);
    assert_true(m.encoder_config.norm_eps == 1e-5f);
    assert_int_equal(m.dit_config.heads, 6);
    assert_mebi_ok(mebi__open_tokenizer(&m, &t, &err), &err);
    assert_int_equal(mebi__tokenizer_vocab(t), 512); /* unused ids don't count */
    json_t *cases =
        json_load_file(MEBI_FIXTURES "/tokenizer/small-strings.json", JSON_ALLOW_NUL, NULL);
    assert_true(json_array_size(cases) > 100);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *text = json_object_get(json_array_get(cases, i), "text"),
                     *ids = json_object_get(json_array_get(cases, i), "ids");
        static int32_t got[1 << 14];
        int count;
        if (json_object_get(json_array_get(cases, i), "unicode")) continue; /* test_text's affair */
        assert_mebi_ok(mebi__tokenizer_encode(t, json_string_value(text), json_string_length(text),
                                              got, COUNT(got), &count, &err),
                       &err);
        assert_int_equal(count, json_array_size(ids));
        for (int k = 0; k < count; k++)
            assert_int_equal(got[k], json_integer_value(json_array_get(ids, (size_t)k)));
    }
    json_decref(cases);
    mebi__tokenizer_close(&t);
    mebi__model_files_close(&m);
}

/* An encoder's header with one value of its metadata changed, a byte for a byte. */
static void refuse_changed(const char *from, const char *to, const char *word) {
    path_text folder = make_folder(), path = path_of("%s/e.gguf", folder.text);
    size_t bytes, length = strlen(from);
    unsigned char *data = read_bytes(GGUF "/mixed-encoder.gguf", &bytes);
    unsigned char *at = memmem(data, bytes, from, length);
    assert_non_null(at);
    memcpy(at, to, length);
    write_bytes(path.text, data, bytes);
    const mebi__model_paths paths = {.diffusion_model = GGUF "/mixed-dit.gguf",
                                     .text_encoder = path.text,
                                     .vae = GGUF "/mixed-ae.safetensors"};
    mebi_engine_params params = {.diffusion_model = paths.diffusion_model,
                                 .text_encoder = path.text,
                                 .vae = paths.vae,
                                 .threads = 1};
    mebi_engine *engine;
    mebi_error err = {0};
    if (mebi_engine_open(&params, NULL, &engine, &err) == MEBI_OK) fail_msg("%s was taken", to);
    if (!strstr(err.text, "e.gguf") || !strstr(err.text, word))
        fail_msg("\"%s\" (expected \"%s\")", err.text, word);
    free(data);
    remove_path(folder.text);
}

static void refuses_another_model(void **state) {
    (void)state;
    refuse_changed("qwen3", "llama", "\"general.architecture\" is \"llama\"; only \"qwen3\"");
    refuse_changed("gpt2", "gpt3", "\"tokenizer.ggml.model\" is \"gpt3\"; only \"gpt2\"");
    refuse_changed("qwen2", "llam3", "\"tokenizer.ggml.pre\" is \"llam3\"; only \"qwen2\"");
    refuse_changed("tokenizer.ggml.merges", "tokenizer.ggml.mergez",
                   "\"tokenizer.ggml.merges\" list");
    refuse_changed("<|im_start|>", "<|im_begin|>", "no added token <|im_start|>");
}

/* ---- scales of 8-bit floats ---- */

/* A weight [2, 2] of e4m3 ones, and a scale of this name, shape and values. */
static void write_scaled(const char *path, const char *name, const char *shape, const float *values,
                         int count) {
    char header[1024];
    unsigned char data[64] = {0x38, 0x38, 0x38, 0x38};
    snprintf(header, sizeof header,
             "{\"a.weight\":{\"dtype\":\"F8_E4M3\",\"shape\":[2,2],\"data_offsets\":[0,4]},"
             "\"%s\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[4,%d]},"
             "\"a.scale_input\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[%d,%d]}}",
             name, shape, 4 + 4 * count, 4 + 4 * count, 8 + 4 * count);
    memcpy(data + 4, values, sizeof *values * (size_t)count);
    write_safetensors(path, header, data, 8 + 4 * (size_t)count);
}

static void finds_scales(void **state) {
    (void)state;
    static const float values[] = {0.5f, 3};
    static const struct {
        const char *name, *shape;
        int count, found;
    } cases[] = {
        {"a.scale_weight", "[]", 1, 1},        {"a.weight_scale", "[1]", 1, 1},
        {"a.weight_scale_inv", "[1,1]", 1, 1}, {"a.weight_scale", "[2]", 2, 2},
        {"a.scale_weight", "[2,1]", 2, 2},     {"a.weight_other", "[2]", 2, 0},
        {"model.a.weight_scale", "[2]", 2, 0}, /* of a tensor that isn't there */
    };
    path_text folder = make_folder(), path = path_of("%s/s.safetensors", folder.text);
    for (int i = 0; i < COUNT(cases); i++) {
        write_scaled(path.text, cases[i].name, cases[i].shape, values, cases[i].count);
        mebi__tensors *set = open_good(path.text, MEBI__PART_DIT);
        const mebi__tensor *t = mebi__tensors_find(set, "a.weight");
        float got[4];
        char text[64];
        assert_int_equal(t->scales, cases[i].found);
        assert_int_equal(mebi__tensor_rows(t, 0, 3, got), 0);
        assert_int_equal(mebi__tensor_rows(t, 0, 2, got), 1);
        assert_true(got[0] == (cases[i].found ? 0.5f : 1));
        assert_true(got[3] == (cases[i].found == 0 ? 1 : cases[i].found == 1 ? 0.5f : 3));
        assert_int_equal(mebi__tensor_rows(t, 1, 1, got), 1);
        assert_true(got[0] == (cases[i].found == 0 ? 1 : cases[i].found == 1 ? 0.5f : 3));
        /* Used scales, and notes for other programs, are not reported as left over. */
        assert_int_equal(mebi__tensors_unexpected(set, text, sizeof text), cases[i].found ? 1 : 2);
        mebi__tensors_close(&set);
    }
    remove_path(folder.text);
}

static void refuses_scales_that_do_not_fit(void **state) {
    (void)state;
    static const float nan[] = {NAN, 1}, good[] = {1, 2, 3, 4};
    path_text folder = make_folder(), path = path_of("%s/s.safetensors", folder.text);
    write_scaled(path.text, "a.weight_scale", "[2]", nan, 2);
    refuse_file(path.text, MEBI__PART_DIT, MEBI_UNSUPPORTED, "s.safetensors", "that is not finite");
    write_scaled(path.text, "a.weight_scale_inv", "[2,2]", good, 4);
    refuse_file(path.text, MEBI__PART_DIT, MEBI_UNSUPPORTED, "s.safetensors",
                "a.weight_scale_inv (F32, shape [2, 2]) is not one that fits");
    write_scaled(path.text, "a.weight_scale", "[3]", good, 3);
    refuse_file(path.text, MEBI__PART_DIT, MEBI_UNSUPPORTED, "s.safetensors",
                "is not one that fits");
    remove_path(folder.text);
}

/* NaN and infinity are found in every type, and told by element. */
static void finds_values_that_are_not_finite(void **state) {
    (void)state;
    path_text folder = make_folder(), path = path_of("%s/n.gguf", folder.text);
    mebi_error err = {0};
    maker m;
    put_one(&m, Q8_0_TYPE, 2, 32, 1, 0);
    m.data[m.bytes - 64 + 1] = 0x7c; /* the scale: 0x7c01, a NaN */
    write_maker(&m, path.text);
    mebi__tensors *set = open_good(path.text, MEBI__PART_DIT);
    assert_refused(mebi__tensors_check_finite(set, &err), MEBI_BAD_FILE, &err, "n.gguf",
                   "(NaN, element 0 of 32)");
    mebi__tensors_close(&set);
    write_safetensors(path_of("%s/n.safetensors", folder.text).text,
                      "{\"w\":{\"dtype\":\"F8_E5M2\",\"shape\":[4],\"data_offsets\":[0,4]}}",
                      "\x01\x7b\xfc\x02", 4);
    set = open_good(path_of("%s/n.safetensors", folder.text).text, MEBI__PART_DIT);
    err = (mebi_error){0};
    assert_refused(mebi__tensors_check_finite(set, &err), MEBI_BAD_FILE, &err, "n.safetensors",
                   "(infinity, element 2 of 4)");
    mebi__tensors_close(&set);
    remove_path(folder.text);
}

static void describes_files(void **state) {
    (void)state;
    mebi_file_info info;
    mebi_error err = {0};
    assert_mebi_ok(mebi_file_describe(GGUF "/mixed-dit.gguf", &info, &err), &err);
    assert_string_equal(info.format, "GGUF");
    assert_string_equal(info.architecture, "lumina2");
    assert_int_equal(info.tensors, 79);
    assert_int_equal(info.types, 13);
    assert_string_equal(info.type[0].name, "F32");
    assert_int_equal(info.type[0].tensors, 44);
    assert_int_equal(info.elements, 822848);
    assert_mebi_ok(mebi_file_describe(GGUF "/blocks.safetensors", &info, &err), &err);
    assert_string_equal(info.format, "safetensors");
    assert_string_equal(info.type[1].name, "U8");
    assert_int_equal(info.type[1].readable, 0);
    assert_int_equal(mebi_file_describe(MEBI_FIXTURES "/README.md", &info, &err), MEBI_BAD_FILE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_every_type),
        cmocka_unit_test(multiplies_every_type),
        cmocka_unit_test(reads_tensors_and_values),
        cmocka_unit_test(refuses_broken_files),
        cmocka_unit_test(refuses_every_cut),
        cmocka_unit_test(survives_lost_allocations),
        cmocka_unit_test(tokenizes_like_its_folder),
        cmocka_unit_test(refuses_another_model),
        cmocka_unit_test(finds_scales),
        cmocka_unit_test(refuses_scales_that_do_not_fit),
        cmocka_unit_test(finds_values_that_are_not_finite),
        cmocka_unit_test(describes_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

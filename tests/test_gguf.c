/* GGUF and 8-bit floats: values of blocks, the container, the names, whole models. Expected values
 * are PyPI gguf's and torch's (tools/reference/block_fixtures.py). */
#include "reading.h"

#include "weights/safetensors.h"

#include <math.h>

/* ---- values ---- */

static const mebi__stored *stored(const mebi__safetensors *file, const char *kind, mebi__dtype type) {
    path_text name = path_of("%s.%s", kind, mebi__dtype_name(type));
    for (int i = 0; i < file->count; i++)
        if (strcmp(file->tensor[i].name, name.text) == 0) return &file->tensor[i];
    fail_msg("the fixture lacks %s", name.text);
    return NULL;
}

/* The same bits; every NaN equals every other. */
static void assert_same_bits(const float *got, const float *expected, size_t count, const char *what) {
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_every_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

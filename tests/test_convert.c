/* Conversion: what is written is what was there, as far as the type allows; and nothing is left
 * when it fails. That other programs read these files was checked with theirs; here it is our
 * reader, which the tests of gguf hold to theirs. */
#include "testing.h"

#include "base/memory.h"
#include "base/rng.h"
#include "convert/encode.h"
#include "mebi/mebi.h"
#include "model_files.h"
#include "tensor/dtype.h"
#include "weights/tensors.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define MINI "models/mini"
#define TINY MEBI_FIXTURES "/models/tiny"

/* ---- encoders ---- */

static const struct {
    mebi__encoding encoding;
    mebi__dtype dtype;
    double
        limit; /* relative rms error on normal weights, at most: what was measured, and 2 % of it */
} encodings[] = {
    {MEBI__AS_F32, MEBI__F32, 0},        {MEBI__AS_BF16, MEBI__BF16, 0.0017},
    {MEBI__AS_I8, MEBI__I8, 0.0089},     {MEBI__AS_Q8_0, MEBI__Q8_0, 0.00545},
    {MEBI__AS_Q4_K, MEBI__Q4_K, 0.0715},
};
enum { ENCODINGS = sizeof encodings / sizeof *encodings, ROW = 4096 };

/* A row there and back; the square of its error. */
static double there_and_back(int e, const float *row, float *back) {
    static unsigned char bytes[4 * ROW];
    float scale = 1;
    double error = 0;
    mebi__encode_row(encodings[e].encoding, row, ROW, bytes, &scale);
    mebi__convert_to_f32(encodings[e].dtype, bytes, ROW, back);
    for (int i = 0; i < ROW; i++) {
        back[i] *= scale;
        assert_true(isfinite(back[i]));
        error += ((double)row[i] - (double)back[i]) * ((double)row[i] - (double)back[i]);
    }
    return error;
}

static void normal_weights_keep_their_values(void **state) {
    (void)state;
    static float row[ROW], back[ROW];
    for (int e = 0; e < ENCODINGS; e++) {
        double error = 0, power = 0;
        mebi__rng rng;
        mebi__rng_seed(&rng, 7);
        for (int r = 0; r < 16; r++) {
            mebi__rng_normal(&rng, MEBI__RNG_TORCH_SCALAR, row, ROW);
            for (int i = 0; i < ROW; i++) row[i] *= 0.02f;
            error += there_and_back(e, row, back);
            for (int i = 0; i < ROW; i++) power += (double)row[i] * (double)row[i];
        }
        print_message("encoding %d: %.4f %%\n", e, 100 * sqrt(error / power));
        assert_true(sqrt(error / power) <= encodings[e].limit);
    }
}

/* Rows that break careless scales. The error of each value is bounded by the largest of its block.
 */
static void odd_rows_stay_finite(void **state) {
    (void)state;
    static float row[ROW], back[ROW];
    for (int kind = 0; kind < 10; kind++) {
        float most = 0;
        for (int i = 0; i < ROW; i++) {
            const float values[] = {0,
                                    1,
                                    -1,
                                    i == 77 ? 1000.0f : 0.01f,
                                    1e-38f,
                                    i % 2 ? 1e-6f : -1e-6f,
                                    (float)i,
                                    -5 - (float)(i % 7),
                                    i % 256 == 0 ? -3e4f : 3e4f,
                                    (float)(i % 3) * 1e-41f};
            row[i] = values[kind];
            most = fabsf(row[i]) > most ? fabsf(row[i]) : most;
        }
        for (int e = 0; e < ENCODINGS; e++) {
            there_and_back(e, row, back);
            for (int i = 0; i < ROW; i++)
                if (fabsf(row[i] - back[i]) > most / 12 + 1e-7f)
                    fail_msg("kind %d, encoding %d: %g became %g", kind, e, (double)row[i],
                             (double)back[i]);
        }
    }
}

/* Constants lie on the grid of every type, but for the rounding of f16. */
static void constants_are_kept(void **state) {
    (void)state;
    static float row[ROW], back[ROW];
    for (int i = 0; i < ROW; i++) row[i] = i < ROW / 2 ? -0.37f : 0.37f;
    for (int e = 0; e < ENCODINGS; e++) {
        there_and_back(e, row, back);
        for (int i = 0; i < ROW; i++) assert_true(fabsf(row[i] - back[i]) < 0.002f);
    }
}

static void halves_round_to_nearest(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x10000; h++) {
        if ((h & 0x7fff) > 0x7c00) continue; /* NaN */
        assert_int_equal(mebi__f32_to_f16(mebi__f16_to_f32((uint16_t)h)), h);
        if ((h & 0x7fff) >= 0x7bff) continue;
        /* The middle between neighbours goes to the even one, what is beside it to the nearer. */
        float a = mebi__f16_to_f32((uint16_t)h), b = mebi__f16_to_f32((uint16_t)(h + 1));
        float middle = 0.5f * (a + b);
        assert_int_equal(mebi__f32_to_f16(middle), h % 2 ? h + 1 : h);
        assert_int_equal(mebi__f32_to_f16(nextafterf(middle, a)), h);
        assert_int_equal(mebi__f32_to_f16(nextafterf(middle, b)), h + 1);
    }
    assert_int_equal(mebi__f32_to_f16(65519.99f), 0x7bff);
    assert_int_equal(mebi__f32_to_f16(65520), 0x7c00);
    assert_int_equal(mebi__f32_to_f16(-1e30f), 0xfc00);
    assert_int_equal(mebi__f32_to_f16(NAN) & 0x7e00, 0x7e00);
}

/* ---- files ---- */

static const struct {
    mebi_convert_type type;
    const char *ending;
    double limit; /* of any tensor's relative error */
} forms[] = {
    {MEBI_CONVERT_BF16, ".safetensors", 0},     {MEBI_CONVERT_BF16, ".gguf", 0},
    {MEBI_CONVERT_INT8, ".safetensors", 0.012}, {MEBI_CONVERT_Q8_0, ".gguf", 0.007},
    {MEBI_CONVERT_Q4_K, ".gguf", 0.085},
};
enum { FORMS = sizeof forms / sizeof *forms };

static void must_convert(const mebi_convert_params *params) {
    mebi_error err = {0};
    mebi_convert_report report;
    assert_mebi_ok(mebi_convert(params, NULL, &report, &err), &err);
    assert_true(report.tensors > 20 && report.bytes_after > 0 && report.bytes_before > 0);
}

static mebi__tensors *must_read(const char *path, mebi__part part) {
    mebi__tensors *set;
    mebi_error err = {0};
    assert_mebi_ok(mebi__tensors_open(path, part, &set, &err), &err);
    return set;
}

/* Every tensor of a is in b, of the same shape, with values as near as the limit says. */
static void compare(const mebi__tensors *a, const mebi__tensors *b, double limit) {
    int quantized = 0;
    for (int i = 0; i < mebi__tensors_count(a); i++) {
        const mebi__tensor *x = mebi__tensors_at(a, i), *y = mebi__tensors_find(b, x->name);
        if (!y) fail_msg("%s is lost", x->name);
        assert_true(mebi__shape_equal(&x->shape, &y->shape));
        int64_t rows = mebi__tensor_row_count(x), k = mebi__tensor_row_elements(x);
        float *p = take_bytes((size_t)(rows * k) * 4), *q = take_bytes((size_t)(rows * k) * 4);
        assert_true(mebi__tensor_rows(x, 0, rows, p) && mebi__tensor_rows(y, 0, rows, q));
        double error = 0, power = 0;
        for (int64_t j = 0; j < rows * k; j++) {
            error += ((double)p[j] - (double)q[j]) * ((double)p[j] - (double)q[j]);
            power += (double)p[j] * (double)p[j];
        }
        if (sqrt(error) > limit * sqrt(power))
            fail_msg("%s: error %g", x->name, sqrt(error / power));
        quantized += error > 0;
        if (rows == 1) assert_true(error == 0); /* norms, biases, pad tokens */
        free(p);
        free(q);
    }
    assert_int_equal(quantized > 10, limit > 0);
}

static void parts_come_back(void **state) {
    (void)state;
    path_text folder = make_folder();
    for (int f = 0; f < FORMS; f++)
        for (int part = 0; part < 2; part++) {
            path_text out = path_of("%s/%d-%d", folder.text, f, part);
            strcat(out.text, forms[f].ending);
            const char *from = part ? MINI "/text_encoder" : MINI "/transformer";
            must_convert(&(mebi_convert_params){.diffusion_model = part ? NULL : from,
                                                .text_encoder = part ? from : NULL,
                                                .type = forms[f].type,
                                                .output = out.text,
                                                .threads = 2});
            mebi__part kind = part ? MEBI__PART_ENCODER : MEBI__PART_DIT;
            mebi__tensors *a = must_read(from, kind), *b = must_read(out.text, kind);
            compare(a, b, forms[f].limit);
            mebi__tensors_close(&a);
            mebi__tensors_close(&b);
        }
    assert_int_equal(files_in(folder.text), 2 * FORMS);
    remove_path(folder.text);
}

/* The same bytes whatever the number of threads; and a GGUF is a source as good as any. */
static void threads_change_nothing(void **state) {
    (void)state;
    path_text folder = make_folder();
    unsigned char *bytes[2];
    size_t size[2];
    for (int i = 0; i < 2; i++) {
        path_text out = path_of("%s/%d.gguf", folder.text, i);
        must_convert(&(mebi_convert_params){.diffusion_model = MINI "/transformer",
                                            .type = MEBI_CONVERT_Q4_K,
                                            .output = out.text,
                                            .threads = i ? 3 : 1});
        bytes[i] = read_bytes(out.text, &size[i]);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    assert_memory_equal(bytes[0], "GGUF\3\0\0\0", 8);
    static const char first[] =
        "\24\0\0\0\0\0\0\0general.architecture\10\0\0\0\7\0\0\0\0\0\0\0lumina2";
    assert_memory_equal(bytes[0] + 24, first, sizeof first - 1);
    free(bytes[0]);
    free(bytes[1]);
    path_text from = path_of("%s/0.gguf", folder.text), to = path_of("%s/b.gguf", folder.text);
    must_convert(&(mebi_convert_params){
        .diffusion_model = from.text, .type = MEBI_CONVERT_BF16, .output = to.text});
    mebi__tensors *a = must_read(from.text, MEBI__PART_DIT),
                  *b = must_read(to.text, MEBI__PART_DIT);
    compare(a, b, 0.003);
    mebi__tensors_close(&a);
    mebi__tensors_close(&b);
    remove_path(folder.text);
}

/* ---- pictures ---- */

enum { SIDE = 64, PIXELS = SIDE * SIDE * 3 };

static mebi_status keep_pixels(void *context, int index, int64_t seed, const mebi_image *image,
                               mebi_error *err) {
    (void)index, (void)seed, (void)err;
    memcpy(context, image->pixels, PIXELS);
    return MEBI_OK;
}

static void picture_of(mebi_engine_params params, unsigned char *pixels) {
    mebi_error err = {0};
    mebi_engine *engine;
    params.precision = MEBI_PRECISION_F32;
    params.threads = 2;
    assert_mebi_ok(mebi_engine_open(&params, NULL, &engine, &err), &err);
    mebi_request request = mebi_request_default(engine);
    request.prompt = "a red apple on a white background";
    request.width = request.height = SIDE;
    request.steps = 2;
    request.seed = 5;
    mebi_callbacks callbacks = {.context = pixels, .image = keep_pixels};
    assert_mebi_ok(mebi_generate(engine, &request, &callbacks, NULL, &err), &err);
    mebi_engine_close(&engine);
}

static double psnr(const unsigned char *a, const unsigned char *b) {
    double sum = 0;
    for (int i = 0; i < PIXELS; i++) sum += (double)((a[i] - b[i]) * (a[i] - b[i]));
    return 10 * log10(255.0 * 255 / (sum / PIXELS + 1e-12));
}

static void pictures_stay_alike(void **state) {
    (void)state;
    static const double least[MEBI_CONVERT_COUNT] = {100, 40, 45, 38};
    static unsigned char wanted[PIXELS], got[PIXELS];
    path_text folder = make_folder();
    picture_of((mebi_engine_params){.model = MINI}, wanted);
    for (int type = 0; type < MEBI_CONVERT_COUNT; type++) {
        path_text out = path_of("%s/%d", folder.text, type);
        must_convert(&(mebi_convert_params){
            .model = MINI, .type = (mebi_convert_type)type, .output = out.text});
        picture_of((mebi_engine_params){.model = out.text}, got);
        print_message("%s: %.1f dB\n", mebi_convert_type_name((mebi_convert_type)type),
                      psnr(wanted, got));
        assert_true(psnr(wanted, got) >= least[type]);
        if (type != MEBI_CONVERT_Q8_0) continue;
        /* The same files without their folder: dimensions and tokenizer are in them. */
        path_text dit = path_of("%s/transformer/diffusion_model.gguf", out.text);
        path_text encoder = path_of("%s/text_encoder/text_encoder.gguf", out.text);
        static unsigned char alone[PIXELS];
        picture_of((mebi_engine_params){.diffusion_model = dit.text,
                                        .text_encoder = encoder.text,
                                        .vae = MINI "/vae"},
                   alone);
        assert_memory_equal(alone, got, PIXELS);
    }
    assert_int_equal(files_in(folder.text), MEBI_CONVERT_COUNT);
    remove_path(folder.text);
}

/* ---- failures ---- */

static void refuse(const mebi_convert_params *params, mebi_status status, const char *word) {
    mebi_error err = {0};
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    assert_int_equal(mebi_convert(params, NULL, NULL, &err), status);
    if (!strstr(err.text, word)) fail_msg("\"%s\" does not say \"%s\"", err.text, word);
    assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
}

static void refuses_what_cant_be(void **state) {
    (void)state;
    path_text folder = make_folder(), there = path_of("%s/there.gguf", folder.text);
    path_text gguf = path_of("%s/x.gguf", folder.text), other = path_of("%s/x.bin", folder.text);
    path_text safetensors = path_of("%s/x.safetensors", folder.text);
    path_text far = path_of("%s/no/x.gguf", folder.text);
    const char *dit = TINY "/transformer", *encoder = TINY "/text_encoder";
    write_text(there.text, "mine");
    mebi_convert_params p = {.type = MEBI_CONVERT_Q8_0, .output = gguf.text};
    refuse(&p, MEBI_BAD_ARGUMENT, "One thing");
    p.model = TINY, p.diffusion_model = dit;
    refuse(&p, MEBI_BAD_ARGUMENT, "One thing");
    p.model = NULL;
    p.output = there.text;
    refuse(&p, MEBI_BAD_ARGUMENT, "not overwritten");
    p.output = other.text;
    refuse(&p, MEBI_BAD_ARGUMENT, ".gguf or .safetensors");
    p.output = safetensors.text;
    refuse(&p, MEBI_BAD_ARGUMENT, "GGUF only");
    p.output = far.text;
    refuse(&p, MEBI_IO, "can't be written");
    p.output = gguf.text;
    p.type = MEBI_CONVERT_INT8;
    refuse(&p, MEBI_BAD_ARGUMENT, "no type of GGUF");
    p.type = MEBI_CONVERT_Q8_0;
    p.threads = 257;
    refuse(&p, MEBI_BAD_ARGUMENT, "257 threads");
    p = (mebi_convert_params){.text_encoder = encoder,
                              .tokenizer = MINI "/tokenizer",
                              .type = MEBI_CONVERT_Q8_0,
                              .output = gguf.text};
    refuse(&p, MEBI_BAD_FILE, "not of the same model");
    p.tokenizer = NULL;
    p.text_encoder = dit;
    refuse(&p, MEBI_BAD_FILE, "");
    assert_int_equal(files_in(folder.text), 1);
    remove_path(folder.text);
}

static void damaged_values_are_told(void **state) {
    (void)state;
    path_text folder = make_folder(), from = path_of("%s/a.safetensors", folder.text);
    path_text to = path_of("%s/b.gguf", folder.text);
    float values[64] = {0};
    values[40] = INFINITY;
    write_safetensors(from.text,
                      "{\"layers.0.feed_forward.w1.weight\":{\"dtype\":\"F32\",\"shape\":[2,32],"
                      "\"data_offsets\":[0,256]}}",
                      values, sizeof values);
    refuse(&(mebi_convert_params){.diffusion_model = from.text,
                                  .type = MEBI_CONVERT_Q8_0,
                                  .output = to.text},
           MEBI_BAD_FILE, "layers.0.feed_forward.w1.weight holds a value that is not finite");
    assert_int_equal(files_in(folder.text), 1);
    remove_path(folder.text);
}

typedef struct watching {
    int calls, stop_at;
    double fraction;
} watching;

static void watch(void *context, const mebi_convert_progress *p) {
    watching *w = context;
    assert_true(p->fraction >= w->fraction && p->fraction <= 1 && p->tensor[0]);
    w->fraction = p->fraction;
}

static int stop(void *context) {
    watching *w = context;
    return ++w->calls == w->stop_at;
}

static void cancelling_leaves_nothing(void **state) {
    (void)state;
    path_text folder = make_folder(), out = path_of("%s/x", folder.text);
    watching w = {0};
    mebi_convert_callbacks callbacks = {&w, NULL, stop};
    mebi_convert_params p = {.model = TINY, .type = MEBI_CONVERT_INT8, .output = out.text};
    for (w.stop_at = 1; w.stop_at < 60; w.stop_at += 7) {
        mebi_error err = {0};
        w.calls = 0;
        assert_int_equal(mebi_convert(&p, &callbacks, NULL, &err), MEBI_CANCELLED);
        assert_int_equal(files_in(folder.text), 0);
    }
    mebi_error err = {0};
    w = (watching){0};
    path_text file = path_of("%s/x.gguf", folder.text);
    p = (mebi_convert_params){
        .diffusion_model = TINY "/transformer", .type = MEBI_CONVERT_BF16, .output = file.text};
    callbacks.progress = watch;
    assert_mebi_ok(mebi_convert(&p, &callbacks, NULL, &err), &err);
    assert_true(w.fraction == 1);
    remove_path(folder.text);
}

static void a_full_disk_leaves_nothing(void **state) {
    (void)state;
    path_text folder = make_folder(), out = path_of("%s/x.gguf", folder.text);
    int how;
    pid_t pid = fork();
    if (pid == 0) {
        mebi_error err = {0};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){100000, 100000});
        mebi_convert_params p = {
            .diffusion_model = MINI "/transformer", .type = MEBI_CONVERT_Q8_0, .output = out.text};
        if (mebi_convert(&p, NULL, NULL, &err) != MEBI_IO) _exit(1);
        _exit(strstr(err.text, "no room") && strstr(err.text, "GB") ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    assert_int_equal(files_in(folder.text), 0);
    remove_path(folder.text);
}

static void every_lost_allocation_is_told(void **state) {
    (void)state;
    path_text folder = make_folder(), out = path_of("%s/x.gguf", folder.text);
    mebi_convert_params p = {.text_encoder = TINY "/text_encoder",
                             .type = MEBI_CONVERT_Q8_0,
                             .output = out.text,
                             .threads = 1};
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    int failures = 0;
    for (uint64_t nth = 1;; nth++) {
        mebi_error err = {0};
        mebi__memory_fail_nth(nth);
        mebi_status status = mebi_convert(&p, NULL, NULL, &err);
        uint64_t asked = mebi__memory_fail_nth(0);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
        if (status == MEBI_OK) {
            assert_int_equal(files_in(folder.text), 1);
            assert_int_equal(unlink(out.text), 0);
            if (asked < nth) break;
            continue;
        }
        assert_int_equal(status, MEBI_NO_MEMORY);
        assert_int_equal(files_in(folder.text), 0);
        failures++;
    }
    assert_true(failures > 15);
    remove_path(folder.text);
}

/* Integers are weights only together with their scale, and nothing beside it that changes them. */
static void int8_needs_its_scale(void **state) {
    (void)state;
    static const char *const beside[] = {"w.weight_scale", "w.other", "w.weight_zero_point",
                                         "w.comfy_quant"};
    path_text folder = make_folder(), path = path_of("%s/a.safetensors", folder.text);
    for (int i = 0; i < 4; i++) {
        char header[400];
        unsigned char data[12] = {1, 0xff, 0x80, 127};
        const float scales[2] = {0.5f, 2};
        memcpy(data + 4, scales, sizeof scales);
        snprintf(header, sizeof header,
                 "{\"w.weight\":{\"dtype\":\"I8\",\"shape\":[2,2],\"data_offsets\":[0,4]},"
                 "\"%s\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[4,12]}%s%s%s}",
                 beside[i == 1], i > 1 ? ",\"" : "", i > 1 ? beside[i] : "",
                 i > 1 ? "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[12,12]}" : "");
        write_safetensors(path.text, header, data, sizeof data);
        mebi__tensors *set = must_read(path.text, MEBI__PART_DIT);
        const mebi__tensor *w = mebi__tensors_find(set, "w.weight");
        assert_int_equal(w != NULL, i == 0);
        float values[4] = {0};
        if (w) {
            assert_true(mebi__tensor_rows(w, 0, 2, values));
            assert_true(values[0] == 0.5f && values[1] == -0.5f && values[2] == -256 &&
                        values[3] == 254);
        }
        mebi__tensors_close(&set);
    }
    remove_path(folder.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normal_weights_keep_their_values),
        cmocka_unit_test(odd_rows_stay_finite),
        cmocka_unit_test(constants_are_kept),
        cmocka_unit_test(halves_round_to_nearest),
        cmocka_unit_test(parts_come_back),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(pictures_stay_alike),
        cmocka_unit_test(refuses_what_cant_be),
        cmocka_unit_test(damaged_values_are_told),
        cmocka_unit_test(cancelling_leaves_nothing),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(every_lost_allocation_is_told),
        cmocka_unit_test(int8_needs_its_scale),
    };
    return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}

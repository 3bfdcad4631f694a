/* Parity: every stage of every case in tests/fixtures against what PyTorch, diffusers and
 * transformers computed, by name. Prints the largest relative error of each stage at the end. */
#include "testing.h"

#include "base/os.h"
#include "cpu/cpu.h"
#include "engine/engine.h"
#include "weights/safetensors.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>

enum { SEEN = 128 };

/* One case under way. */
typedef struct fixture {
    const char *name;
    json_t *json;
    mebi__safetensors expected;
    double stage_tolerance, latents_tolerance;
    int image; /* picture under way, from 0 */
    int height, width, failed, compared;
    struct {
        char stage[64];
        int times;
    } seen[SEEN];
    int seen_count;
} fixture;

static struct {
    char stage[64];
    double error;
    const char *where;
} worst[64];
static int worst_count;

static void note_worst(const char *stage, double error, const char *where) {
    char family[64];
    snprintf(family, sizeof family, "%s", stage);
    char *dot = strrchr(family, '.');
    if (dot && dot[1] >= '0' && dot[1] <= '9') *dot = 0;
    int i = 0;
    while (i < worst_count && strcmp(worst[i].stage, family) != 0) i++;
    if (i == 64) return;
    if (i == worst_count) snprintf(worst[worst_count++].stage, sizeof worst[i].stage, "%s", family);
    if (error >= worst[i].error) worst[i].error = error, worst[i].where = where;
}

static const mebi__stored *expected_tensor(const fixture *f, const char *name) {
    for (int i = 0; i < f->expected.count; i++)
        if (strcmp(f->expected.tensor[i].name, name) == 0) return &f->expected.tensor[i];
    return NULL;
}

/* Element i of an expected [C, H, W] tensor in the order [H, W, C]. */
static size_t channels_first_index(size_t i, size_t pixels, size_t channels) {
    return i % channels * pixels + i / channels;
}

static void compare(fixture *f, const char *name, const float *got, size_t count, int channels_last,
                    int channels, double tolerance) {
    const mebi__stored *t = expected_tensor(f, name);
    if (!t) return;
    size_t offset = 0;
    if (strncmp(name, "latents.", 8) == 0 && json_integer_value(json_object_get(f->json, "count")) > 1)
        offset = count * (size_t)f->image;
    if ((offset + count) * sizeof(float) > t->bytes) {
        print_error("%s %s: %zu values, expected fewer\n", f->name, name, count);
        f->failed++;
        return;
    }
    double difference = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        float want;
        size_t at = channels_last ? channels_first_index(i, count / (size_t)channels, (size_t)channels) : i;
        memcpy(&want, t->data + (offset + at) * sizeof want, sizeof want);
        double d = (double)got[i] - (double)want;
        difference += d * d;
        norm += (double)want * (double)want;
    }
    double error = sqrt(difference / (norm > 0 ? norm : 1));
    f->compared++;
    note_worst(name, error, f->name);
    if (!(error <= tolerance)) {
        print_error("%s %s: relative error %.3g, allowed %.3g\n", f->name, name, error, tolerance);
        f->failed++;
    }
}

static int times_seen(fixture *f, const char *stage) {
    int i = 0;
    while (i < f->seen_count && strcmp(f->seen[i].stage, stage) != 0) i++;
    if (i == SEEN) return 99;
    if (i == f->seen_count) snprintf(f->seen[f->seen_count++].stage, sizeof f->seen[i].stage, "%s", stage);
    return f->seen[i].times++;
}

/* The names of a case are those of the first pass; the negative prompt's come second. */
static int expected_name(fixture *f, const char *stage, int index, char *name, size_t bytes) {
    if (index >= 0) snprintf(name, bytes, "%s.%d", stage, index);
    else snprintf(name, bytes, "%s", stage);
    if (strcmp(stage, "latents") == 0) return 1;
    int times = times_seen(f, name);
    if (times == 0) return 1;
    int guided = json_number_value(json_object_get(f->json, "cfg")) > 0;
    if (times == 1 && guided && strcmp(stage, "dit.output") == 0) {
        snprintf(name, bytes, "dit.output_negative");
        return 1;
    }
    return 0;
}

static void observe(void *context, mebi__stream *s, const char *stage, int index, mebi__view view) {
    fixture *f = context;
    char name[64];
    if (!expected_name(f, stage, index, name, sizeof name) || !expected_tensor(f, name)) return;
    size_t count = mebi__view_elements(&view);
    float *host = calloc(count, sizeof *host);
    assert_non_null(host);
    mebi__download(s, view, host);
    if (mebi__stream_wait(s) == MEBI_OK) {
        int last = strncmp(name, "vae", 3) == 0 || strcmp(name, "decoded") == 0;
        int channels = last ? (int)view.shape.dim[2] : 1;
        double tolerance = strcmp(stage, "latents") == 0 ? f->latents_tolerance : f->stage_tolerance;
        compare(f, name, host, count, last, channels, tolerance);
    }
    free(host);
}

static mebi_status check_image(void *context, int index, int64_t seed, const mebi_image *image,
                               mebi_error *err) {
    fixture *f = context;
    (void)err;
    assert_int_equal(seed, json_integer_value(json_object_get(f->json, "seed")) + index);
    const mebi__stored *t = expected_tensor(f, "image");
    size_t bytes = (size_t)image->width * (size_t)image->height * 3;
    if (t) {
        assert_true(t->bytes >= bytes * (size_t)(index + 1));
        const unsigned char *want = t->data + bytes * (size_t)index;
        int most = 0, allowed = (int)json_integer_value(json_object_get(json_object_get(f->json, "tolerance"), "image"));
        for (size_t i = 0; i < bytes; i++)
            if (abs(want[i] - image->pixels[i]) > most) most = abs(want[i] - image->pixels[i]);
        note_worst("image", most, f->name);
        f->compared++;
        if (most > allowed) {
            print_error("%s image %d: %d/255 off, allowed %d\n", f->name, index, most, allowed);
            f->failed++;
        }
    }
    f->image = index + 1;
    return MEBI_OK;
}

static void check_ids(fixture *f, const mebi_engine *e, const char *text, const char *name) {
    int32_t ids[MEBI__PROMPT_TOKENS];
    int count;
    mebi_error err = {0};
    const mebi__stored *t = expected_tensor(f, name);
    if (!t) return;
    assert_mebi_ok(mebi__tokenizer_encode_prompt(e->tokenizer, text, strlen(text), ids, &count, &err), &err);
    assert_int_equal(count * 8, t->bytes);
    for (int i = 0; i < count; i++) {
        int64_t want;
        memcpy(&want, t->data + 8 * i, sizeof want);
        assert_int_equal(ids[i], want);
    }
    f->compared++;
}

static const char *text_of(const json_t *json, const char *key) {
    return json_string_value(json_object_get(json, key));
}

/* A path below the fixtures, or NULL. */
static const char *path_of(const json_t *json, const char *key, char *text, size_t bytes) {
    const char *name = text_of(json, key);
    if (name) snprintf(text, bytes, "%s/%s", MEBI_FIXTURES, name);
    return name ? text : NULL;
}

static mebi_engine *open_model(const json_t *json) {
    static char part[4][512];
    static const char *const names[] = {"dit.safetensors", "encoder.safetensors", "ae.safetensors", "tokenizer"};
    char folder[400];
    size_t bytes = sizeof part[0];
    mebi_engine_params params = mebi_engine_params_default();
    params.model = path_of(json, "model", folder, sizeof folder);
    params.diffusion_model = path_of(json, "diffusion_model", part[0], bytes);
    params.text_encoder = path_of(json, "text_encoder", part[1], bytes);
    params.vae = path_of(json, "vae", part[2], bytes);
    params.tokenizer = path_of(json, "tokenizer", part[3], bytes);
    params.threads = 2;
    if (strcmp(text_of(json, "layout"), "original") == 0) {
        for (int i = 0; i < 4; i++) snprintf(part[i], sizeof part[i], "%s/%s", folder, names[i]);
        params = (mebi_engine_params){.diffusion_model = part[0], .text_encoder = part[1],
                                      .vae = part[2], .tokenizer = part[3], .threads = 2};
    }
    mebi_engine *e;
    mebi_error err = {0};
    assert_mebi_ok(mebi_engine_open(&params, NULL, &e, &err), &err);
    return e;
}

static double number_or(const json_t *json, const char *key, double other) {
    const json_t *v = json_object_get(json, key);
    return json_is_number(v) ? json_number_value(v) : other;
}

static void run_generation(fixture *f) {
    const json_t *j = f->json;
    mebi_engine *e = open_model(j);
    mebi_error err = {0};
    mebi_report report;
    mebi_request r = mebi_request_default(e);
    r.prompt = text_of(j, "prompt");
    r.negative_prompt = text_of(j, "negative");
    r.width = (int)number_or(j, "width", 0);
    r.height = (int)number_or(j, "height", 0);
    r.steps = (int)number_or(j, "steps", 0);
    r.cfg = (float)number_or(j, "cfg", 0);
    r.cfg_truncation = (float)number_or(j, "cfg_truncation", 1);
    r.cfg_normalization = (float)number_or(j, "cfg_normalization", 0);
    r.seed = (int64_t)number_or(j, "seed", 0);
    r.count = (int)number_or(j, "count", 1);
    check_ids(f, e, r.prompt, "ids");
    if (r.negative_prompt) check_ids(f, e, r.negative_prompt, "ids_negative");
    e->observe = observe;
    e->observe_context = f;
    mebi_callbacks callbacks = {.context = f, .image = check_image};
    assert_mebi_ok(mebi_generate(e, &r, &callbacks, &report, &err), &err);
    assert_int_equal(report.images, r.count);
    mebi_engine_close(&e);
}

/* The picture [3, H, W] of the fixture as [H, W, 3]. */
static float *picture_of(const fixture *f, int64_t height, int64_t width) {
    const mebi__stored *t = expected_tensor(f, "vae_encode.input");
    size_t count = (size_t)(height * width * 3);
    float *picture = calloc(count, sizeof *picture);
    assert_non_null(t);
    assert_non_null(picture);
    assert_int_equal(t->bytes, count * sizeof *picture);
    for (size_t i = 0; i < count; i++)
        memcpy(&picture[i], t->data + sizeof(float) * channels_first_index(i, count / 3, 3), sizeof(float));
    return picture;
}

static void run_vae_encoder(fixture *f) {
    mebi_engine *e = open_model(f->json);
    mebi_error err = {0};
    mebi__pipeline p = {0};
    assert_mebi_ok(mebi__vae_load(&p.vae, e->device, e->files.vae, &e->files.vae_config, 1, &err), &err);
    int64_t height = (int64_t)number_or(f->json, "height", 0), width = (int64_t)number_or(f->json, "width", 0);
    int64_t scale = mebi__vae_scale(&p.vae.config);
    size_t count = (size_t)(p.vae.config.latent_channels * (height / scale) * (width / scale));
    float *picture = picture_of(f, height, width), *latent = calloc(count, sizeof *latent);
    mebi__stream s = {.device = e->device, .err = &err, .observe = observe, .observe_context = f};
    const size_t arena = 64 << 20;
    mebi__arena_init(&s.arena, arena);
    assert_mebi_ok(e->device->table->scratch_reserve(e->device, 64 << 20, &err), &err);
    assert_mebi_ok(e->device->table->buffer_create(e->device, MEBI__TAG_ACTIVATIONS, arena, &s.memory, &err), &err);
    mebi__pipeline_encode_picture(&s, &p, picture, height, width, latent);
    assert_mebi_ok(s.status, &err);
    assert_true(mebi__arena_empty(&s.arena));
    compare(f, "vae_encode.mean", latent, count, 0, 1, f->stage_tolerance);
    e->device->table->buffer_destroy(e->device, s.memory);
    mebi__vae_release(&p.vae);
    free(picture);
    free(latent);
    mebi_engine_close(&e);
}

static int run_case(const char *file) {
    static char names[64][64]; /* kept: the table of worst errors points at them */
    static int used;
    char path[600];
    json_error_t bad;
    mebi_error err = {0};
    snprintf(path, sizeof path, "%s/cases/%s", MEBI_FIXTURES, file);
    fixture *f = calloc(1, sizeof *f);
    f->json = json_load_file(path, 0, &bad);
    assert_non_null(f->json);
    assert_true(used < 64);
    snprintf(names[used], sizeof names[used], "%.*s", (int)(strlen(file) - 5), file);
    f->name = names[used++];
    const json_t *tolerance = json_object_get(f->json, "tolerance");
    f->stage_tolerance = json_number_value(json_object_get(tolerance, "stage"));
    f->latents_tolerance = number_or(tolerance, "latents", f->stage_tolerance);
    snprintf(path, sizeof path, "%s/%s", MEBI_FIXTURES, text_of(f->json, "expected"));
    assert_mebi_ok(mebi__safetensors_open(path, &f->expected, &err), &err);
    if (json_object_get(f->json, "kind")) run_vae_encoder(f);
    else run_generation(f);
    assert_true(f->compared > 0);
    int failed = f->failed;
    mebi__safetensors_close(&f->expected);
    json_decref(f->json);
    free(f);
    return failed;
}

static void every_case_agrees_with_the_reference(void **state) {
    (void)state;
    struct dirent **entries;
    int failed = 0, cases = 0;
    int count = scandir(MEBI_FIXTURES "/cases", &entries, NULL, alphasort);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        const char *dot = strrchr(entries[i]->d_name, '.');
        if (dot && strcmp(dot, ".json") == 0) {
            failed += run_case(entries[i]->d_name);
            cases++;
        }
        free(entries[i]);
    }
    free(entries);
    for (int i = 0; i < worst_count; i++)
        print_message("%-24s %.3g  (%s)\n", worst[i].stage, worst[i].error, worst[i].where);
    print_message("%d cases\n", cases);
    assert_true(cases >= 30);
    assert_int_equal(failed, 0);
}

static void sigmas_agree_with_the_reference(void **state) {
    (void)state;
    json_error_t bad;
    json_t *all = json_load_file(MEBI_FIXTURES "/sigmas.json", 0, &bad), *one;
    const char *steps;
    assert_non_null(all);
    const mebi__scheduler_config config = {.train_timesteps = 1000, .shift = 3};
    int checked = 0;
    json_object_foreach(json_object_get(all, "steps"), steps, one) {
        float sigma[MEBI__MAX_STEPS + 1];
        int n = atoi(steps);
        assert_true(n >= 1 && n <= MEBI__MAX_STEPS);
        mebi__sampler_sigmas(&config, n, sigma);
        json_t *want = json_object_get(one, "sigmas"), *times = json_object_get(one, "model_times");
        assert_int_equal(json_array_size(want), n + 1);
        for (int i = 0; i <= n; i++) {
            /* The reference's linspace sums in vectors as wide as its machine's, so that its own values
             * differ by 2 ulp between machines. */
            assert_float_equal(sigma[i], json_number_value(json_array_get(want, (size_t)i)), 1.5e-7);
            if (i < n)
                assert_float_equal(mebi__sampler_time(&config, sigma[i]),
                                   json_number_value(json_array_get(times, (size_t)i)), 1.5e-7);
        }
        checked++;
    }
    assert_int_equal(checked, 6);
    json_decref(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sigmas_agree_with_the_reference),
        cmocka_unit_test(every_case_agrees_with_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

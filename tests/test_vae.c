/* The decoder's ways: the same picture in less memory. Whole images are the reference: their stages
 * are compared with diffusers' in test_model.c. */
#include "testing.h"

#include "base/memory.h"
#include "base/os.h"
#include "base/pool.h"
#include "base/rng.h"
#include "compute/dry.h"
#include "cpu/cpu.h"
#include "model/vae.h"
#include "weights/published.h"
#include "weights/random.h"

#include <math.h>

static const char *const way_names[] = {"whole", "strips", "tiled"};
static mebi__pool *pool;
static mebi__cpu_level level;

/* ---- a decoder ---- */

typedef struct decoder {
    mebi__device *device, *dry;
    mebi__random_part random;
    mebi__model_files files;
    mebi__vae vae;
    int dry_only;
} decoder;

/* Random weights, or a model folder's. */
static void open_decoder(decoder *d, const mebi__vae_config *config, const char *folder) {
    mebi_error err = {0};
    assert_mebi_ok(mebi__cpu_create(level, pool, &d->device, &err), &err);
    assert_mebi_ok(mebi__dry_create(d->device, &d->dry, &err), &err);
    mebi__device *on = d->dry_only ? d->dry : d->device;
    if (folder) {
        mebi__model_paths paths = {.folder = folder};
        assert_mebi_ok(mebi__model_files_open(&paths, &d->files, &err), &err);
        assert_mebi_ok(mebi__vae_load(&d->vae, on, d->files.vae, &d->files.vae_config, 0, &err),
                       &err);
        return;
    }
    mebi__random_how how = {.seed = 7};
    assert_mebi_ok(mebi__random_vae(config, &how, pool, &d->random, &err), &err);
    assert_mebi_ok(mebi__vae_load(&d->vae, on, d->random.tensors, config, 0, &err), &err);
}

static void close_decoder(decoder *d) {
    mebi__vae_release(&d->vae);
    mebi__random_close(&d->random);
    mebi__model_files_close(&d->files);
    mebi__device_destroy(&d->dry);
    mebi__device_destroy(&d->device);
}

static mebi__vae_config config_of(int levels, int layers, int groups, const int *channels) {
    mebi__vae_config c = mebi__published_vae;
    c.levels = levels;
    c.layers_per_block = layers;
    c.groups = groups;
    for (int i = 0; i < levels; i++) c.block_channels[i] = channels[i];
    return c;
}

/* ---- a decoding ---- */

typedef struct decoding {
    int64_t h, w; /* of the latent */
    mebi__vae_way way;
    size_t arena, scratch;
    long convolutions;
    int submits, cancel_at; /* of the cancel callback */
    mebi_status status;
    mebi_error err;
} decoding;

static int count_submits(void *context) {
    decoding *c = context;
    return ++c->submits == c->cancel_at;
}

static void record(mebi__stream *s, const decoder *d, const decoding *c, const float *latent,
                   float *picture, unsigned char *pixels) {
    int64_t scale = mebi__vae_scale(&d->vae.config);
    mebi__view z = mebi__take3(s, MEBI__F32, d->vae.config.latent_channels, c->h, c->w);
    mebi__view y = mebi__take3(s, MEBI__F32, c->h * scale, c->w * scale, 3);
    mebi__upload(s, z, latent);
    mebi__vae_decode(s, &d->vae, c->way, z, y);
    mebi__view bytes = mebi__take3(s, MEBI__U8, c->h * scale, c->w * scale, 3);
    mebi__to_pixels(s, y, bytes);
    mebi__download(s, y, picture);
    mebi__download(s, bytes, pixels);
    mebi__stream_wait(s);
    mebi__give(s, &bytes);
    mebi__give(s, &y);
    mebi__give(s, &z);
}

static void plan(const decoder *d, decoding *c) {
    mebi__buffer boundless = {.bytes = SIZE_MAX};
    mebi__stream s = {.device = d->dry, .memory = &boundless, .err = &c->err};
    mebi__arena_init(&s.arena, SIZE_MAX / 2);
    mebi__dry_reset(d->dry);
    record(&s, d, c, NULL, NULL, NULL);
    assert_mebi_ok(s.status, &c->err);
    assert_true(mebi__arena_empty(&s.arena));
    c->arena = s.arena.peak;
    c->scratch = mebi__dry_report_of(d->dry)->scratch_bytes;
    c->convolutions = mebi__dry_report_of(d->dry)->calls[MEBI__OP_CONV2D];
}

/* In the memory that was planned and no more. */
static void decode(const decoder *d, decoding *c, const float *latent, float *picture,
                   unsigned char *pixels) {
    const mebi__device_table *t = d->device->table;
    plan(d, c);
    mebi__stream s = {
        .device = d->device, .err = &c->err, .cancelled = count_submits, .cancel_context = c};
    mebi__arena_init(&s.arena, c->arena);
    assert_mebi_ok(t->scratch_reserve(d->device, c->scratch, &c->err), &c->err);
    assert_mebi_ok(t->buffer_create(d->device, MEBI__TAG_ACTIVATIONS, c->arena, &s.memory, &c->err),
                   &c->err);
    record(&s, d, c, latent, picture, pixels);
    c->status = s.status;
    assert_true(mebi__arena_empty(&s.arena));
    assert_true(s.arena.peak <= c->arena);
    t->buffer_destroy(d->device, s.memory);
}

static void *take(size_t count, size_t bytes) {
    void *block = calloc(count, bytes);
    assert_non_null(block);
    return block;
}

static float *latent_of(const decoder *d, int64_t h, int64_t w) {
    size_t n = (size_t)(d->vae.config.latent_channels * h * w);
    float *z = take(n, sizeof *z);
    mebi__rng rng;
    mebi__rng_seed(&rng, (uint32_t)(h * 1000 + w));
    mebi__rng_normal(&rng, MEBI__RNG_TORCH_SCALAR, z, n);
    return z;
}

/* ---- the same picture ---- */

/* Mean absolute step from row r to the next. */
static double step_at(const float *picture, int64_t row, int64_t r) {
    double sum = 0;
    for (int64_t i = 0; i < row; i++)
        sum += fabs((double)picture[(r + 1) * row + i] - (double)picture[r * row + i]);
    return sum / (double)row;
}

/* All ways at one size. Returns how many more convolutions the tiled one had. */
static long compare_ways(const decoder *d, int64_t h, int64_t w) {
    int64_t scale = mebi__vae_scale(&d->vae.config), row = w * scale * 3, rows = h * scale;
    size_t n = (size_t)(row * rows);
    float *latent = latent_of(d, h, w), *whole = take(n, sizeof *whole),
          *other = take(n, sizeof *other);
    unsigned char *pixels = take(n, 1), *others = take(n, 1);
    decoding first = {.h = h, .w = w}, c = first;
    decode(d, &first, latent, whole, pixels);
    assert_mebi_ok(first.status, &first.err);
    for (int way = 1; way < MEBI__VAE_WAYS; way++) {
        c = (decoding){.h = h, .w = w, .way = (mebi__vae_way)way};
        decode(d, &c, latent, other, others);
        assert_mebi_ok(c.status, &c.err);
        double most = 0, seam = 0;
        int most_pixel = 0;
        for (size_t i = 0; i < n; i++) {
            double difference = fabs((double)whole[i] - (double)other[i]);
            if (!(difference <= most)) most = difference;
            if (abs(pixels[i] - others[i]) > most_pixel) most_pixel = abs(pixels[i] - others[i]);
        }
        for (int64_t r = 0; r + 1 < rows; r++) {
            double change = fabs(step_at(other, row, r) - step_at(whole, row, r));
            if (!(change <= seam)) seam = change;
        }
        if (most > 0 || most_pixel > 0 || seam > 0)
            fail_msg("%s at %dx%d: f32 differs by %g, pixels by %d, a row's step by %g",
                     way_names[way], (int)(w * scale), (int)rows, most, most_pixel, seam);
    }
    free(others), free(pixels), free(other), free(whole), free(latent);
    return c.convolutions - first.convolutions;
}

static void ways_agree_on_small_decoders(void **state) {
    (void)state;
    static const struct {
        int levels, layers, groups, channels[4];
    } cases[] = {{4, 1, 2, {8, 16, 24, 24}}, {3, 2, 4, {8, 24, 40}}, {4, 1, 2, {16, 8, 4, 2}},
                 {2, 1, 8, {32, 32}},        {3, 1, 1, {5, 7, 3}},   {1, 1, 4, {12}}};
    static const int64_t sizes[][2] = {{1, 1},  {2, 3},  {9, 5},   {16, 16},
                                       {45, 3}, {3, 41}, {37, 22}, {100, 13}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        decoder d = {0};
        mebi__vae_config config =
            config_of(cases[i].levels, cases[i].layers, cases[i].groups, cases[i].channels);
        long more = 0;
        open_decoder(&d, &config, NULL);
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
            more += compare_ways(&d, sizes[k][0], sizes[k][1]);
        /* Otherwise there was one strip, as attention leaves room for where it is the largest. */
        assert_true(more > 0 || config.levels == 1);
        close_decoder(&d);
    }
}

static void ways_agree_on_mini(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{8, 8}, {16, 10}, {22, 34}, {64, 26}, {64, 64}};
    if (level == MEBI__CPU_REF) {
        print_message("Plain C is too slow for these: the small ones are its share.\n");
        skip();
    }
    decoder d = {0};
    open_decoder(&d, NULL, "models/mini");
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        assert_true(compare_ways(&d, sizes[k][0], sizes[k][1]) > 0);
    close_decoder(&d);
}

/* ---- memory ---- */

/* Arena and scratch, in bytes a pixel, of the published decoder. */
static void the_published_decoder_takes_what_is_promised(void **state) {
    (void)state;
    static const double most[MEBI__VAE_WAYS] = {3050, 1650, 850};
    decoder d = {.dry_only = 1};
    open_decoder(&d, &mebi__published_vae, NULL);
    for (int64_t side = 512; side <= 2048; side *= 2)
        for (int way = 0; way < MEBI__VAE_WAYS; way++) {
            decoding c = {.h = side / 8, .w = side / 8, .way = (mebi__vae_way)way};
            plan(&d, &c);
            double each = (double)(c.arena + c.scratch) / (double)(side * side);
            print_message("%s at %d: %.0f bytes a pixel, %.1f MB of them scratch\n", way_names[way],
                          (int)side, each, (double)c.scratch * 1e-6);
            assert_true(each <= most[way]);
            /* A wide picture of as many pixels takes no more, but for its longer rows. */
            c.h /= 4, c.w *= 4;
            plan(&d, &c);
            assert_true((double)(c.arena + c.scratch) / (double)(side * side) <= most[way] * 1.35);
        }
    close_decoder(&d);
}

/* ---- the end before the end ---- */

static void a_cancelled_decoding_stops_at_any_strip(void **state) {
    (void)state;
    static const int channels[] = {8, 16};
    decoder d = {0};
    mebi__vae_config config = config_of(2, 1, 2, channels);
    open_decoder(&d, &config, NULL);
    int64_t h = 24, w = 40;
    size_t n = (size_t)(h * w) * 4 * 3;
    float *latent = latent_of(&d, h, w), *picture = take(n, sizeof *picture);
    unsigned char *pixels = take(n, 1);
    int whole = 0;
    for (int way = 0; way < MEBI__VAE_WAYS; way++) {
        decoding c = {.h = h, .w = w, .way = (mebi__vae_way)way};
        decode(&d, &c, latent, picture, pixels);
        assert_mebi_ok(c.status, &c.err);
        int all = c.submits;
        if (way == 0) whole = all;
        else assert_true(all > 2 * whole);
        for (int at = 1; at <= all; at++) {
            c = (decoding){.h = h, .w = w, .way = (mebi__vae_way)way, .cancel_at = at};
            decode(&d, &c, latent, picture, pixels);
            assert_int_equal(c.status, MEBI_CANCELLED);
            assert_int_equal(c.submits, at);
        }
    }
    free(pixels), free(picture), free(latent);
    close_decoder(&d);
}

/* In every arena that is too small: refused, and all is given back. */
static void too_little_memory_is_refused(void **state) {
    (void)state;
    static const int channels[] = {8, 16, 16};
    decoder d = {.dry_only = 1};
    mebi__vae_config config = config_of(3, 1, 2, channels);
    open_decoder(&d, &config, NULL);
    for (int way = 0; way < MEBI__VAE_WAYS; way++) {
        decoding c = {.h = 20, .w = 30, .way = (mebi__vae_way)way};
        plan(&d, &c);
        for (size_t arena = 64; arena < c.arena; arena += c.arena / 97 / 64 * 64 + 64) {
            mebi__buffer memory = {.bytes = arena};
            mebi__stream s = {.device = d.dry, .memory = &memory, .err = &c.err};
            c.err = (mebi_error){0};
            mebi__arena_init(&s.arena, arena);
            record(&s, &d, &c, NULL, NULL, NULL);
            assert_int_equal(s.status, MEBI_NO_MEMORY);
            assert_true(mebi__arena_empty(&s.arena));
        }
    }
    close_decoder(&d);
}

static int open_pool(void **state) {
    (void)state;
    mebi_error err = {0};
    return mebi__cpu_choose(&level, &err) != MEBI_OK ||
           mebi__pool_create(2, &pool, &err) != MEBI_OK;
}

static int close_pool(void **state) {
    (void)state;
    mebi__pool_destroy(&pool);
    return mebi__memory_held(MEBI__TAG_COUNT) != 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ways_agree_on_small_decoders),
        cmocka_unit_test(ways_agree_on_mini),
        cmocka_unit_test(the_published_decoder_takes_what_is_promised),
        cmocka_unit_test(a_cancelled_decoding_stops_at_any_strip),
        cmocka_unit_test(too_little_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}

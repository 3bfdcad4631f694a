/* The ways to spend less memory: weights that come and go, pictures in groups, small chunks. None may change a
 * bit, and a streamed run keeps what is mapped within what the plan counts on. */
#include "testing.h"

#include "base/memory.h"
#include "base/os.h"
#include "base/prefetch.h"
#include "base/rng.h"
#include "compute/dry.h"
#include "cpu/cpu.h"
#include "model/pipeline.h"
#include "model_files.h"
#include "weights/random.h"

enum { HEIGHT = 40, WIDTH = 36, CHANNELS = 16, LATENT = CHANNELS * HEIGHT * WIDTH, MOST = 3, TOKENS = 9 };

static const mebi__dit_config config = {
    .dim = 128, .layers = 5, .refiner_layers = 2, .heads = 4, .head_dim = 32, .ffn_hidden = 384,
    .caption_dim = 64, .channels = CHANNELS, .patch = 2, .adaln_dim = 64, .time_hidden = 64,
    .time_frequencies = 256, .norm_eps = 1e-5f, .time_scale = 1000, .rope_theta = 256,
    .axes_dim = {8, 12, 12}, .axes_len = {1536, 512, 512}};

static const mebi__qwen3_config encoder_config = {
    .vocab = 4000, .hidden = 64, .layers = 4, .heads = 4, .kv_heads = 2, .head_dim = 32, .intermediate = 192,
    .norm_eps = 1e-6f, .rope_theta = 1e6};

/* Layers of several large pages, for what is seen page by page. */
static mebi__dit_config wide_config;

static path_text folder;
static mebi__pool *pool;
static mebi__device *device;
static float features[2][TOKENS * 64], noise[MOST][LATENT];

/* ---- a model on the disk ---- */

static void write_part(const char *name, const mebi__tensors *set) {
    json_t *header = json_object();
    unsigned char *data = NULL;
    size_t end = 0;
    for (int i = 0; i < mebi__tensors_count(set); i++) {
        const mebi__tensor *t = mebi__tensors_at(set, i);
        size_t bytes;
        json_t *shape = json_array();
        assert_int_equal(t->dtype, MEBI__BF16);
        assert_true(mebi__shape_bytes(&t->shape, t->dtype, &bytes));
        for (int k = 0; k < t->shape.rank; k++) json_array_append_new(shape, json_integer(t->shape.dim[k]));
        json_object_set_new(header, t->name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype", "BF16", "shape", shape, "data_offsets",
                                      (json_int_t)end, (json_int_t)(end + bytes)));
        data = realloc(data, end + bytes);
        assert_non_null(data);
        memcpy(data + end, t->data, bytes);
        end += bytes;
    }
    char *text = json_dumps(header, JSON_COMPACT), *padded = take_bytes(strlen(text) + 17);
    sprintf(padded, "%s%*s", text, (int)(8 - strlen(text) % 8), ""); /* tensors are aligned */
    write_safetensors(path_of("%s/%s", folder.text, name).text, padded, data, end);
    free(padded);
    free(text);
    free(data);
    json_decref(header);
}

static int prepare(void **state) {
    (void)state;
    mebi_error err;
    mebi__cpu_level level;
    mebi__random_part part;
    mebi__random_how how = {.seed = 3};
    mebi__rng rng;
    folder = make_folder();
    assert_mebi_ok(mebi__cpu_choose(&level, &err), &err);
    assert_mebi_ok(mebi__pool_create(2, &pool, &err), &err);
    assert_mebi_ok(mebi__cpu_create(level, pool, &device, &err), &err);
    assert_mebi_ok(mebi__random_dit(&config, &how, pool, &part, &err), &err);
    write_part("dit.safetensors", part.tensors);
    mebi__random_close(&part);
    wide_config = config;
    wide_config.ffn_hidden = 8192;
    assert_mebi_ok(mebi__random_dit(&wide_config, &how, pool, &part, &err), &err);
    write_part("wide.safetensors", part.tensors);
    mebi__random_close(&part);
    assert_mebi_ok(mebi__random_encoder(&encoder_config, &how, pool, &part, &err), &err);
    write_part("encoder.safetensors", part.tensors);
    mebi__random_close(&part);
    mebi__rng_seed(&rng, 7);
    mebi__rng_normal(&rng, MEBI__RNG_TORCH_SCALAR, features[0], sizeof features / sizeof(float));
    mebi__rng_normal(&rng, MEBI__RNG_TORCH_SCALAR, noise[0], MOST * LATENT);
    return 0;
}

static int clear(void **state) {
    (void)state;
    mebi__device_destroy(&device);
    mebi__pool_destroy(&pool);
    remove_path(folder.text);
    return 0;
}

typedef struct model {
    mebi__tensors *dit, *encoder;
    mebi__pipeline p;
    const mebi__map *maps[4];
    int map_count;
} model;

static void open_model_of(model *m, mebi__device *d, mebi__precision precision, const char *file,
                          const mebi__dit_config *dit_config) {
    mebi_error err = {0};
    *m = (model){.p.scheduler = {.train_timesteps = 1000, .shift = 3}};
    assert_mebi_ok(mebi__tensors_open(path_of("%s/%s", folder.text, file).text, MEBI__PART_DIT, &m->dit,
                                      &err), &err);
    assert_mebi_ok(mebi__tensors_open(path_of("%s/encoder.safetensors", folder.text).text, MEBI__PART_ENCODER,
                                      &m->encoder, &err), &err);
    mebi__loading how = {.device = d, .tensors = m->dit, .precision = precision, .cache = folder.text};
    assert_mebi_ok(mebi__dit_load(&m->p.dit, &how, dit_config, &err), &err);
    how.tensors = m->encoder;
    assert_mebi_ok(mebi__qwen3_load(&m->p.encoder, &how, &encoder_config, &err), &err);
    assert_mebi_ok(mebi__prefetch_create(&m->p.prefetch, &err), &err);
    m->maps[m->map_count++] = mebi__tensors_map(m->dit, 0);
    m->maps[m->map_count++] = mebi__tensors_map(m->encoder, 0);
    if (m->p.dit.params.cache.data) m->maps[m->map_count++] = &m->p.dit.params.cache.map;
    if (m->p.encoder.params.cache.data) m->maps[m->map_count++] = &m->p.encoder.params.cache.map;
}

static void open_on(model *m, mebi__device *d, mebi__precision precision) {
    open_model_of(m, d, precision, "dit.safetensors", &config);
}

static void close_model(model *m) {
    mebi__prefetch_destroy(&m->p.prefetch);
    mebi__qwen3_release(&m->p.encoder);
    mebi__dit_release(&m->p.dit);
    mebi__tensors_close(&m->encoder);
    mebi__tensors_close(&m->dit);
}

/* ---- a run ---- */

typedef struct run {
    mebi__strategy way;
    int n, guided, steps, first_step;
    /* what came of it */
    float latents[MOST][LATENT];
    mebi_status status;
    int after_steps, turns, cancel_at;
    size_t most_mapped, arena_bytes;
    const model *m;
} run;

static void note_step(void *context, int step) {
    run *r = context;
    assert_int_equal(step, r->first_step + ++r->after_steps);
}

static void note_mapped(void *context, mebi__stream *s, const char *stage, int index, mebi__view view) {
    run *r = context;
    (void)s, (void)index, (void)view;
    if (strncmp(stage, "dit.layers", 10) != 0 && strncmp(stage, "encoder.layer", 13) != 0) return;
    size_t mapped = mebi__resident_now(r->m->maps, r->m->map_count).in_maps;
    if (mapped > r->most_mapped) r->most_mapped = mapped;
}

static int patience_ends(void *context) {
    run *r = context;
    return r->cancel_at && ++r->turns == r->cancel_at;
}

static void go_through(mebi__stream *s, const model *m, run *r, int real) {
    mebi__sampling how = {.latent_height = HEIGHT, .latent_width = WIDTH, .steps = r->steps,
                          .first_step = r->first_step, .guidance = r->guided ? 3 : 0, .truncation = 1};
    mebi__watch watch = {.context = r, .after_step = note_step};
    mebi__conditions c;
    mebi__pipeline_condition(s, &m->p, &how, features[0], TOKENS, features[1], r->guided ? TOKENS - 2 : 0, &c);
    if (real) s->observe = note_mapped, s->observe_context = r, s->cancelled = patience_ends, s->cancel_context = r;
    mebi__pipeline_denoise(s, &m->p, &r->way, &how, &c, r->latents[0], r->n, real ? &watch : NULL);
    assert_null(s->turn);
    mebi__pipeline_release(s, &c);
}

/* From latents that are there. */
static void go(const model *m, run *r) {
    mebi_error err = {0};
    mebi__device *dry;
    mebi__buffer boundless = {.bytes = SIZE_MAX};
    r->m = m;
    assert_mebi_ok(mebi__dry_create(device, &dry, &err), &err);
    mebi__stream s = {.device = dry, .memory = &boundless, .err = &err};
    mebi__arena_init(&s.arena, SIZE_MAX / 2);
    go_through(&s, m, r, 0);
    assert_mebi_ok(s.status, &err);
    r->arena_bytes = s.arena.peak;
    assert_mebi_ok(device->table->scratch_reserve(device, mebi__dry_report_of(dry)->scratch_bytes, &err), &err);
    mebi__device_destroy(&dry);
    s = (mebi__stream){.device = device, .err = &err};
    mebi__arena_init(&s.arena, r->arena_bytes);
    assert_mebi_ok(device->table->buffer_create(device, MEBI__TAG_ACTIVATIONS, r->arena_bytes, &s.memory, &err),
                   &err);
    go_through(&s, m, r, 1);
    r->status = s.status;
    if (s.status == MEBI_OK) assert_true(mebi__arena_empty(&s.arena));
    device->table->buffer_destroy(device, s.memory);
}

static void from_noise(run *r, int first) {
    memcpy(r->latents, noise[first], sizeof noise[0] * (size_t)r->n);
}

/* ---- tests ---- */

static const mebi__precision precisions[] = {MEBI__PRECISION_PLAIN, MEBI__PRECISION_INT8};

static void no_way_changes_a_bit(void **state) {
    (void)state;
    static run want, got;
    static float alone[MOST][LATENT];
    for (int precision = 0; precision < 2; precision++)
        for (int guided = 0; guided < 2; guided++) {
            model m;
            open_on(&m, device, precisions[precision]);
            for (int i = 0; i < MOST; i++) {
                want = (run){.n = 1, .guided = guided, .steps = 2};
                from_noise(&want, i);
                go(&m, &want);
                assert_int_equal(want.status, MEBI_OK);
                memcpy(alone[i], want.latents, sizeof alone[i]);
            }
            assert_true(memcmp(alone[0], noise[0], sizeof noise[0]) != 0);
            for (int bits = 1; bits < 8; bits += SANITIZED ? 3 : 1) {
                int n = bits == 7 ? 3 : 1 + bits % 2;
                got = (run){.way = {.stream = bits & 1, .together = bits >> 1 & 1, .small_chunks = bits >> 2},
                            .n = n, .guided = guided, .steps = 2};
                from_noise(&got, 0);
                go(&m, &got);
                assert_int_equal(got.status, MEBI_OK);
                assert_int_equal(got.after_steps, 2);
                assert_memory_equal(got.latents, alone, sizeof alone[0] * (size_t)n);
            }
            close_model(&m);
        }
}

static void going_on_from_a_step_is_the_same(void **state) {
    (void)state;
    static run want, got;
    model m;
    open_on(&m, device, MEBI__PRECISION_INT8);
    want = (run){.n = 2, .guided = 1, .steps = 8};
    from_noise(&want, 0);
    go(&m, &want);
    /* The first three, by a run that is cancelled in its fourth: each step's two pictures submit for each of
     * two passes seven layers and the end, and wait three times. */
    got = (run){.way = {.stream = 1, .together = 1}, .n = 2, .guided = 1, .steps = 8};
    for (got.cancel_at = 91; got.after_steps != 3; got.cancel_at += 9) {
        got.turns = got.after_steps = 0;
        from_noise(&got, 0);
        go(&m, &got);
        assert_int_equal(got.status, MEBI_CANCELLED);
        assert_true(got.after_steps <= 3);
    }
    got.cancel_at = got.after_steps = 0;
    got.first_step = 3;
    got.way = (mebi__strategy){.small_chunks = 1};
    go(&m, &got);
    assert_int_equal(got.after_steps, 5);
    assert_memory_equal(got.latents, want.latents, sizeof noise[0] * 2);
    close_model(&m);
}

/* What a page's neighbours and the files' heads add: of a layer, up to a large page at both ends. */
enum { AROUND = 192 << 10, AROUND_LAYER = 8 << 20 };

static void a_streamed_run_keeps_to_its_window(void **state) {
    (void)state;
    static run r;
    for (int precision = 0; precision < 2; precision++) {
        model m;
        open_model_of(&m, device, precisions[precision], "wide.safetensors", &wide_config);
        const mebi__params *p = &m.p.dit.params;
        size_t window = mebi__params_window_bytes(p), all = mebi__params_file_bytes(p);
        for (int stream = 0; stream < 2; stream++) {
            r = (run){.way = {.stream = stream}, .n = 1, .steps = 2};
            from_noise(&r, 0);
            go(&m, &r);
            assert_int_equal(r.status, MEBI_OK);
            print_message("%s, %s: at most %zu KiB mapped, window %zu, all %zu\n", precision ? "int8" : "bf16",
                          stream ? "streamed" : "resident", r.most_mapped >> 10, window >> 10, all >> 10);
            if (stream) assert_true(r.most_mapped <= window + AROUND_LAYER);
            else assert_true(r.most_mapped > window + AROUND_LAYER && r.most_mapped <= all + AROUND_LAYER);
            /* A layer at work is there: else this would count nothing. */
            assert_true(r.most_mapped >= p->layer[2].bytes);
        }
        assert_true(mebi__resident_now(m.maps, m.map_count).in_maps <= AROUND);
        close_model(&m);
    }
}

static void the_window_is_what_two_layers_take(void **state) {
    (void)state;
    const size_t d = 128, f = 384;
    model m;
    open_on(&m, device, MEBI__PRECISION_PLAIN);
    const mebi__params *p = &m.p.dit.params;
    size_t layer = 2 * (4 * d * d + 3 * d * f + 4 * d * 64), refiner = 2 * (4 * d * d + 3 * d * f);
    size_t ends = 2 * (d * 64 + d * 64 + 64 * 256 + 64 * 64 + d * 64 + 64 * d), page = 8192;
    size_t all = 7 * layer + 2 * refiner + ends, two = 2 * layer + ends;
    assert_int_equal(p->layers, 9);
    assert_true(mebi__params_file_bytes(p) >= all && mebi__params_file_bytes(p) <= all + 100 * page);
    assert_true(mebi__params_window_bytes(p) >= two && mebi__params_window_bytes(p) <= two + 30 * page);
    close_model(&m);
}

static void chunks_take_less(void **state) {
    (void)state;
    static run wide, small;
    model m;
    open_on(&m, device, MEBI__PRECISION_PLAIN);
    wide = (run){.n = 1, .steps = 1};
    small = (run){.way = {.small_chunks = 1}, .n = 1, .steps = 1};
    go(&m, &wide);
    go(&m, &small);
    assert_true(small.arena_bytes < wide.arena_bytes);
    close_model(&m);
}

static void the_encoder_streams_too(void **state) {
    (void)state;
    static float want[TOKENS * 64], got[TOKENS * 64];
    const int32_t ids[TOKENS] = {1, 3999, 17, 256, 2, 2, 777, 3000, 64};
    mebi_error err = {0};
    for (int precision = 0; precision < 2; precision++) {
        model m;
        open_on(&m, device, precisions[precision]);
        for (int stream = 0; stream < 2; stream++) {
            static run r;
            r = (run){.m = &m};
            mebi__strategy way = {.stream = stream};
            mebi__stream s = {.device = device, .err = &err, .observe = note_mapped, .observe_context = &r};
            mebi__arena_init(&s.arena, 1 << 20);
            assert_mebi_ok(device->table->buffer_create(device, MEBI__TAG_ACTIVATIONS, 1 << 20, &s.memory, &err), &err);
            assert_mebi_ok(device->table->scratch_reserve(device, 4 << 20, &err), &err);
            mebi__pipeline_encode(&s, &m.p, &way, ids, TOKENS, stream ? got : want);
            assert_mebi_ok(s.status, &err);
            device->table->buffer_destroy(device, s.memory);
            if (stream) assert_true(r.most_mapped <= mebi__params_window_bytes(&m.p.encoder.params) + AROUND);
        }
        assert_memory_equal(got, want, sizeof want);
        mebi__pipeline_free_encoder(&m.p);
        assert_true(mebi__resident_now(m.maps, m.map_count).in_maps <= AROUND);
        close_model(&m);
    }
}

/* ---- the thread ---- */

static void ranges_come_and_go(void **state) {
    (void)state;
    enum { BYTES = 9 << 20 };
    mebi_error err = {0};
    mebi__prefetch *p;
    mebi__map map;
    unsigned char *data = take_bytes(BYTES);
    path_text path = path_of("%s/bytes", folder.text);
    for (int i = 0; i < BYTES; i++) data[i] = (unsigned char)(i * 7 >> 3);
    write_bytes(path.text, data, BYTES);
    assert_mebi_ok(mebi__map_open(path.text, &map, &err), &err);
    assert_mebi_ok(mebi__prefetch_create(&p, &err), &err);
    const mebi__map *maps[] = {&map};
    mebi__range range[2] = {mebi__range_of_pages(map.data + 5000, 1 << 20), {map.data + (4 << 20), 5 << 20}};
    assert_ptr_equal(range[0].at, map.data + 4096);
    for (int round = 0; round < 20; round++) {
        mebi__prefetch_ask(p, range, 2);
        if (round % 3 == 1) mebi__prefetch_drop(p);
        if (round % 3 == 2) mebi__ranges_rest(range, 2); /* while they are on their way */
        mebi__prefetch_wait(p);
        if (round % 3 == 0) assert_true(mebi__resident_now(maps, 1).in_maps >= 6 << 20);
        assert_memory_equal(map.data, data, BYTES);
        mebi__ranges_rest(&(mebi__range){map.data, BYTES}, 1);
        assert_int_equal(mebi__resident_now(maps, 1).in_maps, 0);
    }
    assert_int_equal(mebi__ranges_cold(range, 0), 0);
    assert_true(mebi__ranges_cold(range, 2) <= 6 << 20); /* in the page cache, or where the system tells nothing: 0 */
    /* What arrived is counted once, in the 13 rounds that were not dropped at least; a kernel that can't wait for
     * pages counts nothing. */
    double bytes, seconds;
    mebi__prefetch_tally(p, &bytes, &seconds);
    assert_true((bytes == 0 && seconds == 0) || (bytes >= 13 * (6 << 20) && seconds > 0));
    mebi__prefetch_tally(p, &bytes, &seconds);
    assert_true(bytes == 0 && seconds == 0);
    /* A file that becomes shorter is no reason to fall. */
    mebi__ranges_rest(range, 2);
    assert_int_equal(truncate(path.text, 1 << 20), 0);
    mebi__prefetch_ask(p, range, 2);
    mebi__prefetch_wait(p);
    mebi__prefetch_ask(p, range, 2);
    mebi__prefetch_destroy(&p); /* with a request on its way */
    assert_null(p);
    mebi__map_close(&map);
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_come_and_go),
        cmocka_unit_test(the_window_is_what_two_layers_take),
        cmocka_unit_test(no_way_changes_a_bit),
        cmocka_unit_test(going_on_from_a_step_is_the_same),
        cmocka_unit_test(a_streamed_run_keeps_to_its_window),
        cmocka_unit_test(chunks_take_less),
        cmocka_unit_test(the_encoder_streams_too),
    };
    return cmocka_run_group_tests(tests, prepare, clear);
}

/* The engine as its users see it: the same request gives the same picture whatever happens around
 * it, every wrong request is refused with a sentence, and no failure leaves anything behind. */
#include "testing.h"

#include "base/memory.h"
#include "base/os.h"
#include "engine_jobs.h"
#include "weights/safetensors.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* ---- the same picture ---- */

static void a_batch_is_its_single_pictures(void **state) {
    (void)state;
    static album batch, single;
    for (int m = 0; m < 3; m++)
        for (int guided = 0; guided < 2; guided++) {
            mebi_engine *e = open_model(models[m], 2);
            mebi_request r = small_request(e);
            r.cfg = guided ? 4 : 0;
            r.negative_prompt = "blue";
            r.count = 3;
            make(e, &r, &batch);
            assert_int_equal(batch.width, 48);
            assert_int_equal(batch.height, 32);
            r.count = 1;
            for (int i = 0; i < 3; i++) {
                r.seed = 42 + i;
                make(e, &r, &single);
                assert_int_equal(batch.seed[i], r.seed);
                assert_memory_equal(single.pixels[0], batch.pixels[i], PIXELS);
            }
            assert_memory_not_equal(batch.pixels[0], batch.pixels[1], PIXELS);
            mebi_engine_close(&e);
        }
}

static void threads_runs_and_caches_do_not_matter(void **state) {
    (void)state;
    static album first, again;
    for (int m = 0; m < 3; m++)
        for (int threads = 1; threads <= 3; threads++) {
            mebi_engine *e = open_model(models[m], threads);
            mebi_request r = small_request(e), other = r;
            assert_int_equal(mebi_engine_describe(e).threads, threads);
            r.cfg = 3;
            make(e, &r, threads == 1 ? &first : &again);
            if (threads > 1) assert_same(&first, &again);
            make(e, &r, &again); /* features cached */
            assert_same(&first, &again);
            /* As many other prompts as the cache keeps: encoded anew. */
            for (int i = 0; i <= MEBI__FEATURES_KEPT; i++) {
                char prompt[32];
                snprintf(prompt, sizeof prompt, "prompt %d", i);
                other.prompt = prompt;
                other.steps = 1;
                make(e, &other, &again);
            }
            make(e, &r, &again);
            assert_same(&first, &again);
            mebi_engine_close(&e);
            assert_null(e);
        }
}

static void a_random_seed_is_told(void **state) {
    (void)state;
    static album a, b;
    mebi_engine *e = open_model("tiny", 2);
    mebi_request r = small_request(e);
    r.seed = -1;
    mebi_report one = make(e, &r, &a), two = make(e, &r, &b);
    assert_true(one.seed >= 0 && one.seed <= UINT32_MAX && one.seed != two.seed);
    assert_int_equal(a.seed[0], one.seed);
    assert_memory_not_equal(a.pixels[0], b.pixels[0], PIXELS);
    r.seed = one.seed;
    make(e, &r, &b);
    assert_same(&a, &b);
    /* Only the low 32 bits make the noise; the seed told is the one asked for. */
    r.seed += (int64_t)5 << 32;
    assert_int_equal(make(e, &r, &b).seed, r.seed);
    assert_memory_equal(a.pixels[0], b.pixels[0], PIXELS);
    mebi_engine_close(&e);
}

/* ---- cancelling ---- */

static void cancelled_at_every_point(void **state) {
    (void)state;
    static album want, got;
    mebi_engine *e = open_model("tiny", 2);
    mebi_request r = small_request(e);
    r.width = r.height = 32;
    r.cfg = 3;
    r.count = 2;
    make(e, &r, &want);
    size_t held = mebi__memory_held(MEBI__TAG_ACTIVATIONS);
    int finished = 0, most = 0;
    for (int n = 1; !finished; n++) {
        job_of_test j = {.album = &got, .refuse_at = -1, .cancel_at = n};
        mebi_callbacks c = callbacks_of(&j);
        mebi_report report;
        mebi_error err = {0};
        got.count = 0;
        /* Every other time the prompts must be encoded too. */
        if (n % 2) mebi__features_release(&e->features);
        mebi_status status = mebi_generate(e, &r, &c, &report, &err);
        finished = status == MEBI_OK;
        assert_int_equal(report.images, got.count);
        if (got.count > most) most = got.count;
        for (int i = 0; i < got.count; i++)
            assert_memory_equal(got.pixels[i], want.pixels[i], PIXELS);
        if (finished) break;
        assert_int_equal(status, MEBI_CANCELLED);
        assert_int_equal(err.status, MEBI_CANCELLED);
        assert_non_null(strstr(err.text, "ancelled"));
        assert_true(n < 1000);
        if (n % 8 == 0) {
            make(e, &r, &got);
            assert_same(&want, &got);
            assert_int_equal(mebi__memory_held(MEBI__TAG_ACTIVATIONS), held);
        }
    }
    assert_int_equal(most, 2);
    make(e, &r, &got);
    assert_same(&want, &got);
    mebi_engine_close(&e);
}

static void pictures_before_a_cancel_count(void **state) {
    (void)state;
    static album got;
    mebi_engine *e = open_model("odd", 1);
    mebi_request r = small_request(e);
    r.count = 4;
    job_of_test probe = {.album = &got, .refuse_at = -1};
    mebi_callbacks c = callbacks_of(&probe);
    mebi_error err = {0};
    mebi_report report;
    got.count = 0;
    assert_mebi_ok(mebi_generate(e, &r, &c, &report, &err), &err); /* to fill the cache */
    int all = probe.asked, seen[5] = {0};
    for (int n = 1; n < all; n += 7) {
        job_of_test j = {.album = &got, .refuse_at = -1, .cancel_at = n};
        c = callbacks_of(&j);
        err = (mebi_error){0};
        got.count = 0;
        mebi_status status = mebi_generate(e, &r, &c, &report, &err);
        if (status == MEBI_OK) continue; /* it asked less often, with its features cached */
        assert_int_equal(status, MEBI_CANCELLED);
        assert_int_equal(report.images, got.count);
        assert_int_equal(report.seed, 42);
        assert_true(report.total_seconds > 0);
        seen[report.images]++;
    }
    for (int i = 0; i < 4; i++) assert_true(seen[i] > 0);
    mebi_engine_close(&e);
}

static void *stop_soon(void *context) {
    job_of_test *j = context;
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    j->stop = 1;
    return NULL;
}

static void cancelled_from_another_thread(void **state) {
    (void)state;
    static album want, got;
    mebi_engine *e = open_model("bf16", 2);
    mebi_request r = small_request(e);
    make(e, &r, &want);
    for (int i = 0; i < 3; i++) {
        job_of_test j = {.refuse_at = -1};
        mebi_callbacks c = callbacks_of(&j);
        mebi_error err = {0};
        pthread_t thread;
        mebi_request endless = r;
        endless.steps = 120;
        endless.count = 64;
        assert_int_equal(pthread_create(&thread, NULL, stop_soon, &j), 0);
        assert_int_equal(mebi_generate(e, &endless, &c, NULL, &err), MEBI_CANCELLED);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    make(e, &r, &got);
    assert_same(&want, &got);
    mebi_engine_close(&e);
}

static void opening_can_be_cancelled(void **state) {
    (void)state;
    path_text folder = path_of("%s/models/tiny", MEBI_FIXTURES);
    mebi_engine_params params = {.model = folder.text, .threads = 2};
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    for (int n = 1;; n++) {
        job_of_test j = {.cancel_at = n};
        mebi_callbacks c = {.context = &j, .cancelled = asked_to_stop};
        mebi_engine *e = (mebi_engine *)1;
        mebi_error err = {0};
        mebi_status status = mebi_engine_open(&params, &c, &e, &err);
        if (status == MEBI_OK) {
            assert_true(n > 4);
            mebi_engine_close(&e);
            break;
        }
        assert_int_equal(status, MEBI_CANCELLED);
        assert_null(e);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
    }
    assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
}

/* ---- several engines ---- */

typedef struct other_thread {
    const char *model;
    album want, got;
    int rounds, wrong;
} other_thread;

/* No assertions here: cmocka's jump out of the test's own thread only. */
static void *make_in_thread(void *argument) {
    other_thread *t = argument;
    path_text folder;
    mebi_engine *e = NULL;
    snprintf(folder.text, sizeof folder.text, "%s/models/%s", MEBI_FIXTURES, t->model);
    mebi_engine_params params = {.model = folder.text, .threads = 2};
    t->wrong = mebi_engine_open(&params, NULL, &e, NULL) != MEBI_OK;
    for (int i = 0; i < t->rounds && !t->wrong; i++) {
        job_of_test j = {.album = &t->got, .refuse_at = -1};
        mebi_callbacks c = callbacks_of(&j);
        mebi_request r = small_request(e);
        memset(&t->got, 0, sizeof t->got);
        t->wrong = mebi_generate(e, &r, &c, NULL, NULL) != MEBI_OK ||
                   memcmp(&t->got, &t->want, sizeof t->got) != 0;
    }
    mebi_engine_close(&e);
    return NULL;
}

static void engines_do_not_disturb_each_other(void **state) {
    (void)state;
    static album got;
    static other_thread t[2] = {{.model = "tiny", .rounds = 6}, {.model = "bf16", .rounds = 6}};
    mebi_engine *e[2];
    mebi_request r[2];
    for (int i = 0; i < 2; i++) {
        e[i] = open_model(t[i].model, 1 + i);
        r[i] = small_request(e[i]);
        make(e[i], &r[i], &t[i].want);
    }
    assert_memory_not_equal(t[0].want.pixels[0], t[1].want.pixels[0], PIXELS);
    for (int i = 0; i < 6; i++) {
        make(e[i % 2], &r[i % 2], &got);
        assert_same(&t[i % 2].want, &got);
    }
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, make_in_thread, &t[i]), 0);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_false(t[0].wrong);
    assert_false(t[1].wrong);
    for (int i = 0; i < 2; i++) mebi_engine_close(&e[i]);
}

/* ---- wrong requests ---- */

/* Refused by both calls alike, before anything is told or made. */
static void expect_refused(mebi_engine *e, const mebi_request *r, mebi_status status,
                           const char *says) {
    job_of_test j = {.refuse_at = -1};
    mebi_callbacks c = callbacks_of(&j);
    mebi_error err = {0}, planned = {0};
    mebi_report report;
    mebi_plan plan;
    mebi_status got = mebi_generate(e, r, &c, &report, &err);
    if (got != status || !strstr(err.text, says))
        fail_msg("expected status %d and \"%s\", got %d: %s", (int)status, says, (int)got,
                 err.text);
    assert_int_equal(err.status, status);
    assert_int_equal(report.images, 0);
    assert_int_equal(j.asked, 0);
    /* What is too big can be planned, and the plan says so. */
    assert_int_equal(mebi_plan_request(e, r, &plan, &planned), status == MEBI_NO_MEMORY ? MEBI_OK : status);
    assert_int_equal(plan.verdict == MEBI_TOO_BIG, status == MEBI_NO_MEMORY);
    if (status != MEBI_NO_MEMORY) assert_string_equal(planned.text, err.text);
}

#define REFUSED(field, value, says)                                                                \
    do {                                                                                           \
        mebi_request wrong_ = good;                                                                \
        wrong_.field = (value);                                                                    \
        expect_refused(e, &wrong_, MEBI_BAD_ARGUMENT, says);                                       \
    } while (0)

static void wrong_numbers_are_refused(void **state) {
    (void)state;
    mebi_engine *e = open_model("odd", 1);
    const mebi_request good = small_request(e);
    static const float no_number[] = {NAN, INFINITY, -INFINITY};
    static const int ends[] = {INT_MIN, -1, 0, INT_MAX};
    /* Nothing can be made of no prompt, but planned it can be: as one of usual length. */
    mebi_request unwritten = good;
    mebi_error none = {0};
    mebi_plan plan;
    unwritten.prompt = NULL;
    assert_int_equal(mebi_generate(e, &unwritten, NULL, NULL, &none), MEBI_BAD_ARGUMENT);
    assert_non_null(strstr(none.text, "There is no prompt"));
    none = (mebi_error){0};
    assert_mebi_ok(mebi_plan_request(e, &unwritten, &plan, &none), &none);
    assert_true(plan.seconds[MEBI_STAGE_ENCODE] > 0 && plan.need_bytes > 0);
    for (int i = 0; i < 4; i++) {
        REFUSED(steps, ends[i], "1 to 120 are possible");
        REFUSED(count, ends[i], "1 to 64 are possible");
        REFUSED(width, ends[i], "each side can have 16 to 1024 pixels");
        REFUSED(height, ends[i], "each side can have 16 to 1024 pixels");
    }
    for (int i = 0; i < 3; i++) {
        REFUSED(cfg, no_number[i], "0 (none) to 100 are possible");
        REFUSED(cfg_truncation, no_number[i], "0 to 1 are possible");
        REFUSED(cfg_normalization, no_number[i], "0 (none) to 1000 are possible");
    }
    REFUSED(steps, 121, "121 steps asked for");
    REFUSED(count, 65, "65 pictures asked for");
    REFUSED(cfg, -0.001f, "-0.001 asked for");
    REFUSED(cfg, 100.01f, "100.01 asked for");
    REFUSED(cfg_truncation, -0.5f, "-0.5 asked for");
    REFUSED(cfg_truncation, 1.5f, "1.5 asked for");
    REFUSED(cfg_normalization, -1, "-1 asked for");
    REFUSED(cfg_normalization, 1001, "1001 asked for");
    REFUSED(seed, -2, "The seed -2 is not possible");
    REFUSED(seed, INT64_MIN, "is not possible");
    REFUSED(seed, INT64_MAX, "is not possible");
    mebi_engine_close(&e);
}

static void wrong_sizes_are_refused(void **state) {
    (void)state;
    mebi_engine *e = open_model("odd", 1);
    const mebi_request good = small_request(e);
    mebi_engine_info info = mebi_engine_describe(e);
    assert_int_equal(info.size_multiple, 16);
    assert_int_equal(info.largest_side, 1024); /* 64 tokens of 16 pixels */
    REFUSED(width, 15, "15x32 asked for; each side can have 16 to 1024");
    REFUSED(width, 50, "The nearest is 48x32.");
    REFUSED(width, 57, "The nearest is 64x32.");
    REFUSED(width, 17, "The nearest is 16x32.");
    REFUSED(height, 1023, "The nearest is 48x1024.");
    REFUSED(height, 1040, "48x1040 asked for; each side can have 16 to 1024");
    mebi_request r = good;
    mebi_plan plan;
    mebi_error err = {0};
    r.width = r.height = 1024;
    assert_mebi_ok(mebi_plan_request(e, &r, &plan, &err), &err);
    assert_true(plan.arena_bytes > 1024 * 1024 * 3 * 4);
    mebi_engine_close(&e);
}

static void wrong_texts_are_refused(void **state) {
    (void)state;
    mebi_engine *e = open_model("tiny", 1);
    const mebi_request good = small_request(e);
    char *huge = take_bytes(MEBI__TEXT_BYTES + 2);
    memset(huge, 'a', MEBI__TEXT_BYTES + 1);
    static const char *const broken[] = {"\xff", "red \xc3", "\xed\xa0\x80", "\xc0\xaf",
                                         "\xf5\x80\x80\x80"};
    for (int i = 0; i < 5; i++) REFUSED(prompt, broken[i], "UTF-8");
    REFUSED(prompt, huge, "");
    for (int i = 0; i < 6; i++) {
        mebi_request r = good;
        r.negative_prompt = i < 5 ? broken[i] : huge;
        r.cfg = 3;
        expect_refused(e, &r, MEBI_BAD_ARGUMENT, i < 5 ? "UTF-8" : "");
    }
    free(huge);
    mebi_engine_close(&e);
}

static void limits_are_accepted(void **state) {
    (void)state;
    mebi_engine *e = open_model("tiny", 1);
    mebi_request r = small_request(e);
    mebi_plan plan;
    mebi_error err = {0};
    r.steps = 120;
    r.cfg = 100;
    r.cfg_truncation = 0;
    r.cfg_normalization = 1000;
    r.count = 64;
    r.seed = INT64_MAX - 64;
    r.prompt = r.negative_prompt = "";
    assert_mebi_ok(mebi_plan_request(e, &r, &plan, &err), &err);
    r.width = r.height = 16;
    r.steps = r.count = 1;
    r.cfg = 0;
    static album got;
    assert_int_equal(make(e, &r, &got).seed, r.seed);
    assert_int_equal(got.width, 16);
    mebi_engine_close(&e);
}

/* A copy of `from` whose tensors have 16 times the channels, all zero and mostly not on disk. */
static void write_wide_vae(const char *from, const char *to) {
    mebi__safetensors file;
    mebi_error err = {0};
    char *header = take_bytes(1 << 18);
    size_t used = 1, at = 0;
    assert_mebi_ok(mebi__safetensors_open(from, &file, &err), &err);
    strcpy(header, "{");
    for (int i = 0; i < file.count; i++) {
        const mebi__stored *t = &file.tensor[i];
        size_t bytes = 4;
        used += (size_t)sprintf(header + used, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[",
                                i ? "," : "", t->name);
        for (int d = 0; d < t->shape.rank; d++) {
            int64_t n = t->shape.dim[d] == 4 || t->shape.dim[d] == 8 ? 16 * t->shape.dim[d]
                                                                     : t->shape.dim[d];
            bytes *= (size_t)n;
            used += (size_t)sprintf(header + used, "%s%lld", d ? "," : "", (long long)n);
        }
        used += (size_t)sprintf(header + used, "],\"data_offsets\":[%zu,%zu]}", at, at + bytes);
        at += bytes;
        assert_true(used < (1 << 18) - 1000);
    }
    while ((used + 1) % 8) header[used++] = ' ';
    header[used] = '}';
    write_safetensors(to, header, NULL, 0);
    assert_int_equal(truncate(to, (off_t)(8 + strlen(header) + at)), 0);
    free(header);
    mebi__safetensors_close(&file);
}

static double processor_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* 16384 x 16384 with 64 and 128 channels takes hundreds of gigabytes. */
static void what_does_not_fit_is_refused_before_any_work(void **state) {
    (void)state;
    path_text folder = make_folder(), model = path_of("%s/model", folder.text);
    link_folder(MEBI_FIXTURES "/models/tiny", model.text);
    path_text vae = path_of("%s/vae/diffusion_pytorch_model.safetensors", model.text);
    remove_path(vae.text);
    write_wide_vae(MEBI_FIXTURES "/models/tiny/vae/diffusion_pytorch_model.safetensors", vae.text);
    edit_json(path_of("%s/vae/config.json", model.text).text, "block_out_channels",
              "[64,128,128,128]");
    edit_json(path_of("%s/transformer/config.json", model.text).text, "axes_lens",
              "[1536,4096,4096]");
    mebi_engine *e = open_threads(model.text, 2);
    mebi_request r = small_request(e);
    assert_int_equal(mebi_engine_describe(e).largest_side, 16384);
    r.width = r.height = 8192;
    e->budget_bytes = (size_t)2 << 30;
    size_t held = mebi__memory_held(MEBI__TAG_COUNT), resident = mebi__resident_now(NULL, 0).bytes;
    double begin = processor_seconds();
    expect_refused(e, &r, MEBI_NO_MEMORY, "may be taken. What fits: ");
    double took = (processor_seconds() - begin) / 2; /* two calls */
    print_message("refused in %.1f ms\n", took * 1e3);
    assert_true(took < (SANITIZED ? 1 : 0.1));
    assert_true(mebi__memory_held(MEBI__TAG_COUNT) == held);
    assert_true(mebi__resident_now(NULL, 0).bytes < resident + (16 << 20));
    mebi_error err = {0};
    assert_int_equal(mebi_generate(e, &r, NULL, NULL, &err), MEBI_NO_MEMORY);
    assert_non_null(strstr(err.text, "8192x8192 needs "));
    e->budget_bytes = 0;
    /* A size that fits is made; a VAE of zeros gives one grey. */
    static album got;
    r = small_request(e);
    make(e, &r, &got);
    for (int i = 0; i < 48 * 32 * 3; i++) assert_int_equal(got.pixels[0][i], 128);
    mebi_engine_close(&e);
    remove_path(folder.text);
}

static void a_model_that_is_not_there(void **state) {
    (void)state;
    static const int threads[] = {-1, 257, INT_MAX, INT_MIN};
    path_text folder = path_of("%s/models/tiny", MEBI_FIXTURES);
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    mebi_engine *e;
    for (int i = 0; i < 4; i++) {
        mebi_engine_params p = {.model = folder.text, .threads = threads[i]};
        mebi_error err = {0};
        assert_int_equal(mebi_engine_open(&p, NULL, &e, &err), MEBI_BAD_ARGUMENT);
        assert_null(e);
        assert_non_null(strstr(err.text, "1 to 256"));
    }
    const mebi_engine_params none[] = {{0},
                                       {.model = ""},
                                       {.model = "/nowhere"},
                                       {.model = "/dev/null"},
                                       {.model = folder.text, .vae = "/nowhere"},
                                       {.model = folder.text, .tokenizer = "/nowhere"}};
    for (int i = 0; i < 6; i++) {
        mebi_error err = {0};
        assert_int_not_equal(mebi_engine_open(&none[i], NULL, &e, &err), MEBI_OK);
        assert_null(e);
        assert_true(strlen(err.text) > 20);
        assert_int_not_equal(mebi_engine_open(&none[i], NULL, &e, NULL), MEBI_OK);
    }
    assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
    mebi_engine_close(&e); /* NULL */
    for (int i = 0; i < MEBI_STAGE_COUNT; i++)
        assert_string_not_equal(mebi_stage_name((mebi_stage)i), "unknown");
    assert_string_equal(mebi_stage_name((mebi_stage)-1), "unknown");
    assert_string_equal(mebi_version(), MEBI_VERSION);
}

/* ---- no memory ---- */

static void every_allocation_of_opening_may_fail(void **state) {
    (void)state;
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    for (int m = 0; m < 3; m++) {
        path_text folder = path_of("%s/models/%s", MEBI_FIXTURES, models[m]);
        mebi_engine_params params = {.model = folder.text, .threads = 2};
        static album want, got;
        char hash[17];
        uint64_t nth = 1, asked = 0;
        int failed = 0;
        mebi_engine *whole = open_threads(folder.text, 2);
        mebi_request r = small_request(whole);
        make(whole, &r, &want);
        snprintf(hash, sizeof hash, "%s", mebi_engine_describe(whole).model_hash);
        mebi_engine_close(&whole);
        /* Under sanitizers opening is slow: there every one of the first model, some of the rest.
         */
        uint64_t stride = SANITIZED && m > 0 ? 3 : 1;
        for (mebi_status status = MEBI_NO_MEMORY;; nth += stride) {
            mebi_engine *e;
            mebi_error err = {0};
            mebi__memory_fail_nth(nth);
            status = mebi_engine_open(&params, NULL, &e, &err);
            asked = mebi__memory_fail_nth(0);
            if (status != MEBI_OK) {
                failed++;
                if (status != MEBI_NO_MEMORY || err.status != status || !err.text[0])
                    fail_msg("%s, allocation %llu: status %d, %s", models[m],
                             (unsigned long long)nth, (int)status, err.text);
                assert_null(e);
            } else { /* it could do without: nothing is missing */
                assert_string_equal(mebi_engine_describe(e).model_hash, hash);
                make(e, &r, &got);
                assert_same(&want, &got);
            }
            mebi_engine_close(&e);
            assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
            if (status == MEBI_OK && nth > asked) break;
        }
        print_message("opening %s: %d of %llu allocations failed it\n", models[m], failed,
                      (unsigned long long)asked);
        assert_true(failed > 50);
    }
}

static void every_allocation_of_a_job_may_fail(void **state) {
    (void)state;
    static album want, got;
    for (int m = 0; m < 3; m++) {
        mebi_engine *e = open_model(models[m], 2);
        mebi_request r = small_request(e);
        r.width = r.height = 32;
        r.steps = 1;
        r.cfg = 2;
        make(e, &r, &want);
        mebi_engine_close(&e);
        int failed = 0;
        for (uint64_t nth = 1;; nth++) {
            /* A fresh engine: its scratch is not reserved and its cache is empty. */
            if (!e) e = open_model(models[m], 2);
            job_of_test j = {.album = &got, .refuse_at = -1};
            mebi_callbacks c = callbacks_of(&j);
            mebi_error err = {0};
            mebi_report report;
            memset(&got, 0, sizeof got);
            mebi__memory_fail_nth(nth);
            mebi_status status = mebi_generate(e, &r, &c, &report, &err);
            uint64_t asked = mebi__memory_fail_nth(0);
            if (status != MEBI_OK) {
                failed++;
                if (status != MEBI_NO_MEMORY || !err.text[0])
                    fail_msg("%s, allocation %llu: status %d, %s", models[m],
                             (unsigned long long)nth, (int)status, err.text);
                assert_int_equal(report.images, got.count);
                make(e, &r, &got);
            }
            assert_same(&want, &got);
            mebi_engine_close(&e);
            if (nth > asked) break;
        }
        print_message("a job of %s: %d allocations failed it\n", models[m], failed);
        assert_true(failed > 5);
    }
}

/* ---- broken weights ---- */

/* A copy of a model in which `count` elements of a tensor, from `first`, have a value. */
static void spoil(const char *model, const char *copy, const char *part, const char *name,
                  size_t first, size_t count, float value) {
    path_text source = path_of("%s/models/%s/%s", MEBI_FIXTURES, model, part);
    path_text target = path_of("%s/%s", copy, part);
    mebi__safetensors file;
    mebi_error err = {0};
    size_t bytes, done = 0;
    unsigned char *data = read_bytes(source.text, &bytes);
    link_folder(path_of("%s/models/%s", MEBI_FIXTURES, model).text, copy);
    assert_mebi_ok(mebi__safetensors_open(source.text, &file, &err), &err);
    for (int i = 0; i < file.count; i++) {
        const mebi__stored *t = &file.tensor[i];
        if (strcmp(t->name, name) != 0) continue;
        size_t one = mebi__dtype_bytes(t->dtype), at = (size_t)(t->data - file.map.data);
        uint16_t half = mebi__f32_to_bf16(value);
        for (size_t k = first; k < first + count && k * one < t->bytes; k++, done++)
            memcpy(data + at + k * one, one == 2 ? (void *)&half : (void *)&value, one);
    }
    assert_true(done > 0);
    mebi__safetensors_close(&file);
    write_bytes(target.text, data, bytes);
    free(data);
}

#define DIT     "transformer/diffusion_pytorch_model.safetensors"
#define ENCODER "text_encoder/model.safetensors"
#define VAE     "vae/diffusion_pytorch_model.safetensors"

static mebi_status generate_spoiled(const char *copy, mebi_error *err) {
    mebi_engine_params params = {.model = copy, .threads = 2};
    mebi_engine *e;
    mebi_status status = mebi_engine_open(&params, NULL, &e, err);
    if (status != MEBI_OK) return status;
    mebi_request r = small_request(e);
    mebi_report report;
    r.cfg = 2;
    status = mebi_generate(e, &r, NULL, &report, err);
    if (status != MEBI_OK) assert_int_equal(report.images, 0);
    mebi_engine_close(&e);
    return status;
}

static void a_value_that_is_no_number_is_found(void **state) {
    (void)state;
    static const struct {
        const char *model, *part, *tensor;
    } cases[] = {
        {"tiny", DIT, "layers.0.attention.to_q.weight"},
        {"tiny", DIT, "layers.0.attention.to_k.weight"},
        {"tiny", DIT, "layers.0.attention.to_v.weight"},
        {"tiny", DIT, "layers.0.attention.to_out.0.weight"},
        {"tiny", DIT, "layers.0.feed_forward.w1.weight"},
        {"tiny", DIT, "layers.0.feed_forward.w2.weight"},
        {"tiny", DIT, "layers.0.feed_forward.w3.weight"},
        {"tiny", DIT, "layers.0.adaLN_modulation.0.weight"},
        {"tiny", DIT, "noise_refiner.0.feed_forward.w1.weight"},
        {"tiny", DIT, "context_refiner.0.attention.to_q.weight"},
        {"tiny", DIT, "all_x_embedder.2-1.weight"},
        {"tiny", DIT, "all_final_layer.2-1.linear.weight"},
        {"tiny", DIT, "cap_embedder.1.weight"},
        {"tiny", DIT, "t_embedder.mlp.0.weight"},
        {"tiny", ENCODER, "model.layers.0.self_attn.q_proj.weight"},
        {"tiny", ENCODER, "model.layers.0.self_attn.k_proj.weight"},
        {"tiny", ENCODER, "model.layers.0.self_attn.v_proj.weight"},
        {"tiny", ENCODER, "model.layers.0.self_attn.o_proj.weight"},
        {"tiny", ENCODER, "model.layers.0.mlp.gate_proj.weight"},
        {"tiny", ENCODER, "model.layers.0.mlp.up_proj.weight"},
        {"tiny", ENCODER, "model.layers.0.mlp.down_proj.weight"},
        {"tiny", VAE, "decoder.conv_in.weight"},
        {"tiny", VAE, "decoder.mid_block.attentions.0.to_q.weight"},
        {"tiny", VAE, "decoder.up_blocks.0.resnets.0.conv1.weight"},
        {"tiny", VAE, "decoder.up_blocks.3.resnets.0.conv_shortcut.weight"},
        {"tiny", VAE, "decoder.conv_out.weight"},
        {"bf16", DIT, "layers.1.feed_forward.w1.weight"},
        {"bf16", ENCODER, "model.layers.1.mlp.up_proj.weight"},
    };
    static const float values[] = {NAN, INFINITY, -INFINITY};
    path_text folder = make_folder(), copy = path_of("%s/model", folder.text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int v = 0; v < 3; v++) {
            mebi_error err = {0};
            spoil(cases[i].model, copy.text, cases[i].part, cases[i].tensor, 3, 1, values[v]);
            mebi_status status = generate_spoiled(copy.text, &err);
            remove_path(copy.text);
            if (status != MEBI_BAD_FILE || !strstr(err.text, cases[i].tensor))
                fail_msg("%s with %g: status %d, %s", cases[i].tensor, (double)values[v],
                         (int)status, err.text);
        }
    remove_path(folder.text);
}

static void a_bad_norm_is_found_when_opening(void **state) {
    (void)state;
    path_text folder = make_folder(), copy = path_of("%s/model", folder.text);
    mebi_engine_params params = {.model = copy.text, .threads = 1};
    mebi_engine *e;
    mebi_error err = {0};
    spoil("tiny", copy.text, ENCODER, "model.layers.0.input_layernorm.weight", 2, 1, NAN);
    assert_int_equal(mebi_engine_open(&params, NULL, &e, &err), MEBI_BAD_FILE);
    assert_non_null(strstr(err.text, "model.layers.0.input_layernorm.weight"));
    remove_path(folder.text);
}

static void overflow_tells_the_stage(void **state) {
    (void)state;
    static const struct {
        const char *part, *tensor, *says;
    } cases[] = {
        {ENCODER, "model.layers.0.mlp.down_proj.weight", "encoder"},
        {DIT, "all_final_layer.2-1.linear.weight", "transformer"},
        {VAE, "decoder.conv_out.weight", "picture"},
    };
    path_text folder = make_folder(), copy = path_of("%s/model", folder.text);
    for (int i = 0; i < 3; i++) {
        mebi_error err = {0};
        spoil("tiny", copy.text, cases[i].part, cases[i].tensor, 0, SIZE_MAX / 8, 3.4e38f);
        mebi_status status = generate_spoiled(copy.text, &err);
        remove_path(copy.text);
        if (status != MEBI_NUMERIC || !strstr(err.text, cases[i].says))
            fail_msg("%s: status %d, %s", cases[i].tensor, (int)status, err.text);
        assert_int_equal(err.status, MEBI_NUMERIC);
    }
    remove_path(folder.text);
}

/* ---- callbacks ---- */

static mebi_status refuse_silently(void *context, int index, int64_t seed, const mebi_image *image,
                                   mebi_error *err) {
    (void)context, (void)index, (void)seed, (void)image, (void)err;
    return MEBI_UNSUPPORTED;
}

/* Tries in vain, says so, and then succeeds. */
static mebi_status succeed_at_last(void *context, int index, int64_t seed, const mebi_image *image,
                                   mebi_error *err) {
    (void)index, (void)seed, (void)image;
    err->status = MEBI_IO;
    strcpy(err->text, "the first name was taken");
    ++*(int *)context;
    return MEBI_OK;
}

static void the_image_callback_can_end_the_job(void **state) {
    (void)state;
    static album want, got;
    mebi_engine *e = open_model("tiny", 2);
    mebi_request r = small_request(e);
    r.count = 3;
    make(e, &r, &want);
    for (int at = 0; at < 3; at++) {
        job_of_test j = {.album = &got, .refuse_at = at};
        mebi_callbacks c = callbacks_of(&j);
        mebi_report report;
        mebi_error err = {0};
        char says[64];
        got.count = 0;
        assert_int_equal(mebi_generate(e, &r, &c, &report, &err), MEBI_IO);
        snprintf(says, sizeof says, "The disk of picture %d is full.", at);
        assert_string_equal(err.text, says);
        assert_int_equal(err.status, MEBI_IO);
        assert_int_equal(report.images, at);
    }
    mebi_callbacks silent = {.image = refuse_silently};
    mebi_error err = {0};
    assert_int_equal(mebi_generate(e, &r, &silent, NULL, &err), MEBI_UNSUPPORTED);
    assert_int_equal(err.status, MEBI_UNSUPPORTED);
    assert_non_null(strstr(err.text, "not supported"));
    int calls = 0;
    mebi_callbacks at_last = {.context = &calls, .image = succeed_at_last};
    err = (mebi_error){0};
    assert_mebi_ok(mebi_generate(e, &r, &at_last, NULL, &err), &err);
    assert_int_equal(calls, 3);
    assert_int_equal(err.status, MEBI_OK);
    make(e, &r, &got);
    assert_same(&want, &got);
    mebi_engine_close(&e);
}

typedef struct log_of_progress {
    int told, bad;
    mebi_progress last;
    int stages_of_picture[3][MEBI_STAGE_COUNT];
} log_of_progress;

static void note_progress(void *context, const mebi_progress *p) {
    log_of_progress *l = context;
    const mebi_progress *last = &l->last;
    int bad = !(p->fraction >= last->fraction && p->fraction <= 1) || p->seconds < last->seconds ||
              p->image < last->image || !(p->seconds_left >= -1 && p->seconds_left < 1e6) ||
              p->step > p->steps || p->count != 2 || p->steps != 3;
    /* Within a picture: step, decode, save. */
    if (p->image == last->image && p->stage < last->stage) bad = 1;
    if (p->image == 0 && p->stage != MEBI_STAGE_TAKE && p->stage != MEBI_STAGE_ENCODE) bad = 1;
    if (p->image > 0 && p->stage < MEBI_STAGE_STEP) bad = 1;
    if (p->image == last->image && p->step < last->step) bad = 1;
    if (p->stage >= MEBI_STAGE_DECODE && p->step != p->steps) bad = 1;
    l->stages_of_picture[p->image][p->stage]++;
    l->bad += bad;
    l->told++;
    l->last = *p;
}

static void progress_goes_forward_to_the_end(void **state) {
    (void)state;
    for (int m = 0; m < 3; m++) {
        mebi_engine *e = open_model(models[m], 2);
        mebi_request r = small_request(e);
        r.steps = 3;
        r.count = 2;
        r.cfg = 2;
        r.cfg_truncation = 0.3f;            /* the steps are of unequal work */
        for (int run = 0; run < 2; run++) { /* the second without encoding */
            log_of_progress l = {0};
            mebi_callbacks c = {.context = &l, .progress = note_progress};
            mebi_error err = {0};
            mebi_report report;
            assert_mebi_ok(mebi_generate(e, &r, &c, &report, &err), &err);
            assert_int_equal(l.bad, 0);
            assert_float_equal(l.last.fraction, 1, 1e-9);
            assert_float_equal(l.last.seconds_left, 0, 1e-3);
            assert_int_equal(l.last.stage, MEBI_STAGE_SAVE);
            for (int i = 1; i <= 2; i++) {
                assert_true(l.stages_of_picture[i][MEBI_STAGE_STEP] > 3);
                assert_true(l.stages_of_picture[i][MEBI_STAGE_DECODE] > 3);
                assert_int_equal(l.stages_of_picture[i][MEBI_STAGE_SAVE], 2); /* begin and end */
            }
            assert_true(l.stages_of_picture[0][MEBI_STAGE_ENCODE] > 0);
            double sum = 0;
            for (int s = MEBI_STAGE_TAKE; s < MEBI_STAGE_COUNT; s++) sum += report.seconds[s];
            assert_true(sum <= report.total_seconds && report.seconds[MEBI_STAGE_LOAD] > 0);
        }
        mebi_engine_close(&e);
    }
}

static void note_loading(void *context, const mebi_progress *p) {
    log_of_progress *l = context;
    l->bad += p->stage != MEBI_STAGE_LOAD || p->fraction < l->last.fraction || p->image != 0;
    l->told++;
    l->last = *p;
}

static void loading_is_told(void **state) {
    (void)state;
    path_text folder = path_of("%s/models/tiny", MEBI_FIXTURES);
    mebi_engine_params params = {.model = folder.text};
    log_of_progress l = {0};
    mebi_callbacks c = {.context = &l, .progress = note_loading};
    mebi_engine *e;
    mebi_error err = {0};
    assert_mebi_ok(mebi_engine_open(&params, &c, &e, &err), &err);
    assert_int_equal(l.bad, 0);
    assert_true(l.told > 3);
    assert_float_equal(l.last.fraction, 1, 0);
    mebi_engine_info info = mebi_engine_describe(e);
    assert_int_equal(info.threads, mebi__physical_cores());
    assert_int_equal(strlen(info.model_hash), 16);
    assert_int_equal(strspn(info.model_hash, "0123456789abcdef"), 16);
    assert_true(info.native_side <= info.largest_side);
    mebi_engine_close(&e);
}

/* ---- memory ---- */

static void note_stream(void *context, mebi__stream *s, const char *stage, int index,
                        mebi__view view) {
    (void)stage, (void)index, (void)view;
    ((job_of_test *)context)->stream = s;
}

/* The plan is what the report says, and the job's arena reaches exactly the plan's peak. */
static void the_plan_is_what_the_job_takes(void **state) {
    (void)state;
    static const struct {
        int width, height, steps, guided;
    } jobs[] = {{16, 16, 1, 0}, {48, 32, 2, 0}, {96, 64, 2, 1}, {32, 96, 1, 1}};
    for (int m = 0; m < 3; m++)
        for (int k = 0; k < 4; k++)
            for (int cached = 0; cached < 2; cached++) {
                mebi_engine *e = open_model(models[m], 1 + k % 2);
                mebi_request r = small_request(e);
                r.width = jobs[k].width;
                r.height = jobs[k].height;
                r.steps = jobs[k].steps;
                r.cfg = jobs[k].guided ? 2 : 0;
                r.negative_prompt =
                    "a much longer negative prompt than the prompt is, of many words";
                if (cached) make(e, &r, NULL);
                job_of_test j = {.refuse_at = -1};
                mebi_callbacks c = callbacks_of(&j);
                mebi_plan plan;
                mebi_report report;
                mebi_error err = {0};
                e->observe = note_stream;
                e->observe_context = &j;
                assert_mebi_ok(mebi_plan_request(e, &r, &plan, &err), &err);
                assert_mebi_ok(mebi_generate(e, &r, &c, &report, &err), &err);
                assert_int_equal(plan.arena_bytes, report.plan.arena_bytes);
                assert_int_equal(plan.scratch_bytes, report.plan.scratch_bytes);
                assert_int_equal(plan.output_bytes, report.plan.output_bytes);
                assert_float_equal(plan.operations, report.plan.operations, 0);
                assert_true(plan.arena_bytes > 0 && plan.operations > 0);
                assert_true(plan.peak_bytes >= plan.base_bytes);
                assert_int_equal(j.arena_peak, plan.arena_bytes);
                mebi_engine_close(&e);
            }
}

static size_t features_held(const mebi_engine *e) {
    size_t entries = 0;
    for (int i = 0; i < MEBI__FEATURES_KEPT; i++) entries += e->features.entry[i].values != NULL;
    return entries;
}

static void a_job_gives_back_what_it_took(void **state) {
    (void)state;
    size_t nothing = mebi__memory_held(MEBI__TAG_COUNT);
    for (int m = 0; m < 3; m++) {
        mebi_engine *e = open_model(models[m], 2);
        mebi_request r = small_request(e);
        assert_int_equal(mebi__memory_held(MEBI__TAG_ACTIVATIONS), 0);
        make(e, &r, NULL);
        assert_int_equal(features_held(e), 1);
        size_t held = mebi__memory_held(MEBI__TAG_ACTIVATIONS);
        size_t row = sizeof(float) * (size_t)e->files.encoder_config.hidden;
        assert_true(held >= row && held <= row * 64 + 128); /* the features alone */
        for (int i = 0; i < 3; i++) {
            r.seed = i;
            r.width = 32 + 16 * i;
            make(e, &r, NULL);
            assert_int_equal(mebi__memory_held(MEBI__TAG_ACTIVATIONS), held);
            assert_int_equal(mebi__memory_held(MEBI__TAG_OUTPUT), 0);
        }
        /* The cache has an end. */
        for (int i = 0; i < 2 * MEBI__FEATURES_KEPT; i++) {
            char prompt[16];
            snprintf(prompt, sizeof prompt, "%d", i);
            r.prompt = prompt;
            r.steps = 1;
            make(e, &r, NULL);
        }
        assert_int_equal(features_held(e), MEBI__FEATURES_KEPT);
        mebi_engine_close(&e);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), nothing);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_its_single_pictures),
        cmocka_unit_test(threads_runs_and_caches_do_not_matter),
        cmocka_unit_test(a_random_seed_is_told),
        cmocka_unit_test(cancelled_at_every_point),
        cmocka_unit_test(pictures_before_a_cancel_count),
        cmocka_unit_test(cancelled_from_another_thread),
        cmocka_unit_test(opening_can_be_cancelled),
        cmocka_unit_test(engines_do_not_disturb_each_other),
        cmocka_unit_test(wrong_numbers_are_refused),
        cmocka_unit_test(wrong_sizes_are_refused),
        cmocka_unit_test(wrong_texts_are_refused),
        cmocka_unit_test(limits_are_accepted),
        cmocka_unit_test(what_does_not_fit_is_refused_before_any_work),
        cmocka_unit_test(a_model_that_is_not_there),
        cmocka_unit_test(every_allocation_of_opening_may_fail),
        cmocka_unit_test(every_allocation_of_a_job_may_fail),
        cmocka_unit_test(a_value_that_is_no_number_is_found),
        cmocka_unit_test(a_bad_norm_is_found_when_opening),
        cmocka_unit_test(overflow_tells_the_stage),
        cmocka_unit_test(the_image_callback_can_end_the_job),
        cmocka_unit_test(progress_goes_forward_to_the_end),
        cmocka_unit_test(loading_is_told),
        cmocka_unit_test(the_plan_is_what_the_job_takes),
        cmocka_unit_test(a_job_gives_back_what_it_took),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Previews: the map is the decoder's, the picture is the clean latent's, they come when asked for, cost memory that was
 * planned, and change nothing. */
#include "engine_jobs.h"

#include "base/memory.h"

#include <math.h>

#define MINI MEBI_FIXTURES "/../../models/mini"

/* ---- the map ---- */

/* A decoder that is a linear map is found again. */
static void a_linear_decoder_is_found(void **state) {
    (void)state;
    for (int channels = 1; channels <= MEBI__PREVIEW_CHANNELS; channels += 21)
        for (int scale = 1; scale <= 8; scale *= 2) {
            enum { N = MEBI__PREVIEW_SIDE };
            mebi__preview_fit fit;
            mebi__preview_map map, truth = {.channels = channels};
            assert_true(mebi__preview_fit_take(channels, scale, &fit));
            for (int i = 0; i < 3; i++)
                for (int c = 0; c <= channels; c++)
                    truth.of[i][c] = c == channels ? 0.5f : (float)((i + 2 * c) % 5 - 2) * 0.07f / (float)sqrt(channels);
            unsigned char small[N * N * 3], again[N * N * 3];
            mebi__preview_paint(&truth, fit.latent, N, N, small);
            for (int y = 0; y < N * scale; y++)
                for (int x = 0; x < N * scale; x++)
                    memcpy(fit.pixels + 3 * (y * N * scale + x), small + 3 * (y / scale * N + x / scale), 3);
            mebi__preview_solve(&fit, &map);
            mebi__preview_paint(&map, fit.latent, N, N, again);
            assert_int_equal(map.channels, channels);
            for (int i = 0; i < N * N * 3; i++)
                if (small[i] > 0 && small[i] < 255) assert_true(abs(again[i] - small[i]) <= 2);
            for (int i = 0; i < 3; i++)
                for (int c = 0; c <= channels; c++)
                    assert_true(fabs((double)(map.of[i][c] - truth.of[i][c])) < 0.02);
            mebi__preview_fit_give(&fit);
            assert_null(fit.sums);
        }
}

/* A decoder that gives one grey whatever it is given. */
static void a_constant_decoder_is_found(void **state) {
    (void)state;
    mebi__preview_fit fit;
    mebi__preview_map map;
    assert_true(mebi__preview_fit_take(4, 2, &fit));
    memset(fit.pixels, 128, (size_t)(4 * MEBI__PREVIEW_SIDE * MEBI__PREVIEW_SIDE * 3));
    mebi__preview_solve(&fit, &map);
    for (int i = 0; i < 3; i++) {
        for (int c = 0; c < 4; c++) assert_true(fabs((double)map.of[i][c]) < 1e-6);
        assert_float_equal(map.of[i][4], 128 / 255.0, 1e-6);
    }
    mebi__preview_fit_give(&fit);
}

static void what_is_no_colour_is_painted(void **state) {
    (void)state;
    const float latent[] = {0, 1, -1, NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 0.5f};
    const unsigned char want[] = {0, 255, 0, 0, 255, 0, 255, 0, 128};
    mebi__preview_map map = {.channels = 1, .of = {{1, 0}, {0.5f, 0}, {0, 0.25f}}};
    unsigned char pixels[9 * 3 + 1] = {[27] = 77};
    mebi__preview_paint(&map, latent, 3, 3, pixels);
    for (int i = 0; i < 9; i++) assert_int_equal(pixels[3 * i], want[i]);
    for (int i = 0; i < 3; i++) assert_int_equal(pixels[3 * i + 2], 64);
    assert_int_equal(pixels[27], 77);
}

/* ---- in a job ---- */

enum { SHOWN = 64, SHOWN_BYTES = 64 * 64 * 3, LATENT = 65536 };

typedef struct shown {
    int index, step, width, height;
    unsigned char pixels[SHOWN_BYTES];
} shown;

typedef struct watching_job {
    job_of_test job; /* first: the callbacks of engine_jobs.h see it */
    shown *seen;
    int count, notices;
    float *last, *now; /* latents of the first picture after the last two steps; or NULL */
} watching_job;

static void keep_preview(void *context, int index, int step, const mebi_image *image) {
    watching_job *j = context;
    if (!j->seen) return;
    assert_true(j->count < SHOWN && image->width * image->height * 3 <= SHOWN_BYTES);
    shown *s = &j->seen[j->count++];
    *s = (shown){.index = index, .step = step, .width = image->width, .height = image->height};
    memcpy(s->pixels, image->pixels, (size_t)image->width * (size_t)image->height * 3);
}

static mebi_status keep_latents(void *context, const mebi_latents *l) {
    watching_job *j = context;
    if (!j->now || l->index > 0 || l->step == l->steps) return MEBI_OK;
    assert_true(l->count <= LATENT);
    memcpy(j->last, j->now, LATENT * sizeof(float));
    memcpy(j->now, l->values, l->count * sizeof(float));
    return MEBI_OK;
}

static void note(void *context, const char *text) {
    watching_job *j = context;
    assert_non_null(text);
    j->notices++;
}

static mebi_status watch(mebi_engine *e, const mebi_request *r, watching_job *j, mebi_report *report) {
    mebi_callbacks c = callbacks_of(&j->job);
    mebi_error err = {0};
    c.preview = keep_preview;
    c.latents = keep_latents;
    c.notice = note;
    j->job.refuse_at = -1;
    return mebi_generate(e, r, &c, report, &err);
}

static mebi_engine *open_with_cache(const char *folder, const char *cache, mebi_weights_way weights) {
    mebi_engine_params params = {.model = folder, .threads = 2, .cache = cache, .weights = weights};
    mebi_engine *e;
    mebi_error err = {0};
    assert_mebi_ok(mebi_engine_open(&params, NULL, &e, &err), &err);
    return e;
}

static path_text fixture(const char *name) {
    return path_of("%s/models/%s", MEBI_FIXTURES, name);
}

/* After the steps asked for, never after the last; of each picture, one pixel a latent pixel; the pictures are the same
 * as without. */
static void they_come_when_asked_for(void **state) {
    (void)state;
    static album want, got;
    shown *seen = take_bytes(SHOWN * sizeof *seen);
    for (int m = 0; m < 3; m++)
        for (int w = 0; w < 2; w++)
            for (int every = 1; every <= 5; every++) {
                mebi_engine *e = open_with_cache(fixture(models[m]).text, "",
                                                 w ? MEBI_WEIGHTS_STREAMED : MEBI_WEIGHTS_RESIDENT);
                mebi_request r = small_request(e);
                int scale = mebi__vae_scale(&e->pipeline.vae.config), n = 0;
                r.steps = 4;
                r.count = 2;
                r.cfg = every == 2 ? 3 : 0;
                make(e, &r, &want);
                r.preview_every = every;
                watching_job j = {.job = {.album = &got}, .seen = seen};
                memset(&got, 0, sizeof got);
                assert_int_equal(watch(e, &r, &j, NULL), MEBI_OK);
                assert_same(&want, &got);
                for (int i = 0; i < 2; i++)
                    for (int step = every; step < 4; step += every, n++) {
                        int found = 0;
                        for (int k = 0; k < j.count; k++) found += seen[k].index == i && seen[k].step == step;
                        assert_int_equal(found, 1);
                    }
                assert_int_equal(j.count, n);
                for (int k = 0; k < n; k++) {
                    assert_int_equal(seen[k].width, 48 / scale);
                    assert_int_equal(seen[k].height, 32 / scale);
                }
                make(e, &r, &got); /* nobody looks */
                assert_same(&want, &got);
                mebi_engine_close(&e);
            }
    free(seen);
}

/* What is shown is x - sigma v of the step just taken, by way of what the latents before and after it say. */
static void the_clean_latent_is_shown(void **state) {
    (void)state;
    shown *seen = take_bytes(SHOWN * sizeof *seen);
    float *last = take_bytes(LATENT * sizeof(float)), *now = take_bytes(LATENT * sizeof(float));
    float *clean = take_bytes(LATENT * sizeof(float));
    for (int m = 0; m < 3; m++) {
        mebi_engine *e = open_with_cache(fixture(models[m]).text, "", MEBI_WEIGHTS_AUTO);
        mebi_request r = small_request(e);
        float sigma[MEBI__MAX_STEPS + 1];
        unsigned char pixels[SHOWN_BYTES];
        r.steps = 3;
        r.preview_every = 2;
        watching_job j = {.seen = seen, .last = last, .now = now};
        assert_int_equal(watch(e, &r, &j, NULL), MEBI_OK);
        assert_int_equal(j.count, 1);
        mebi__sampler_sigmas(&e->pipeline.scheduler, 3, sigma);
        for (int i = 0; i < LATENT; i++) {
            float velocity = (now[i] - last[i]) / (sigma[2] - sigma[1]);
            clean[i] = last[i] - sigma[1] * velocity;
        }
        mebi__preview_paint(&e->preview, clean, seen->height, seen->width, pixels);
        for (int i = 0; i < seen->width * seen->height * 3; i++)
            assert_true(abs(pixels[i] - seen->pixels[i]) <= 1);
        mebi_engine_close(&e);
    }
    free(seen), free(last), free(now), free(clean);
}

/* A draft's is the draft's size; a job that goes on shows the rest of its steps. */
static void of_drafts_and_of_rests(void **state) {
    (void)state;
    shown *seen = take_bytes(SHOWN * sizeof *seen);
    float *last = take_bytes(LATENT * sizeof(float)), *now = take_bytes(LATENT * sizeof(float));
    mebi_engine *e = open_model("tiny", 2);
    mebi_request r = small_request(e);
    r.width = 96;
    r.height = 64;
    r.draft = 2;
    r.steps = 4;
    r.preview_every = 1;
    watching_job j = {.seen = seen, .last = last, .now = now};
    assert_int_equal(watch(e, &r, &j, NULL), MEBI_OK);
    assert_int_equal(j.count, 3);
    int scale = mebi__vae_scale(&e->pipeline.vae.config);
    assert_int_equal(seen[0].width, 48 / scale);
    assert_int_equal(seen[0].height, 32 / scale);
    mebi_latents saved = {.pictures = 1, .seed = r.seed, .step = 2, .steps = 4, .height = 32 / scale,
                          .width = 48 / scale, .channels = e->pipeline.dit.config.channels, .values = last};
    saved.count = (size_t)(saved.channels * saved.height * saved.width);
    r.resume = &saved;
    watching_job rest = {.seen = seen + 3};
    assert_int_equal(watch(e, &r, &rest, NULL), MEBI_OK);
    assert_int_equal(rest.count, 1);
    assert_int_equal(seen[3].step, 3);
    assert_memory_equal(seen[3].pixels, seen[2].pixels, SHOWN_BYTES);
    mebi_engine_close(&e);
    free(seen), free(last), free(now);
}

static void wrong_numbers_are_refused(void **state) {
    (void)state;
    static const int wrong[] = {-1, 121, INT_MAX, INT_MIN};
    mebi_engine *e = open_model("tiny", 1);
    mebi_request r = small_request(e);
    for (int i = 0; i < 4; i++) {
        mebi_error err = {0};
        mebi_plan plan;
        r.preview_every = wrong[i];
        assert_int_equal(mebi_generate(e, &r, NULL, NULL, &err), MEBI_BAD_ARGUMENT);
        assert_non_null(strstr(err.text, "A preview every "));
        assert_int_equal(mebi_plan_request(e, &r, &plan, NULL), MEBI_BAD_ARGUMENT);
    }
    mebi_engine_close(&e);
}

/* ---- the shipped model ---- */

enum { SIDE = 128, SMALL = SIDE / 8 };

typedef struct mini_job {
    watching_job watching; /* first */
    unsigned char pixels[SIDE * SIDE * 3];
} mini_job;

static mebi_status keep_mini(void *context, int index, int64_t seed, const mebi_image *image, mebi_error *err) {
    (void)index, (void)seed, (void)err;
    memcpy(((mini_job *)context)->pixels, image->pixels, sizeof((mini_job *)context)->pixels);
    return MEBI_OK;
}

/* Share of the picture's variance, in 8x8 means, that a preview has. */
static double likeness(const unsigned char *picture, const unsigned char *preview) {
    double error = 0, spread = 0, mean[3] = {0}, small[SMALL * SMALL][3] = {{0}};
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            for (int i = 0; i < 3; i++)
                small[y / 8 * SMALL + x / 8][i] += picture[(y * SIDE + x) * 3 + i] / 64.0;
    for (int k = 0; k < SMALL * SMALL; k++)
        for (int i = 0; i < 3; i++) mean[i] += small[k][i] / (SMALL * SMALL);
    for (int k = 0; k < SMALL * SMALL; k++)
        for (int i = 0; i < 3; i++) {
            error += pow(small[k][i] - preview[3 * k + i], 2);
            spread += pow(small[k][i] - mean[i], 2);
        }
    return 1 - error / spread;
}

/* The map that the model's folder has, and the one found from the decoder alone. */
static void a_preview_foretells_its_picture(void **state) {
    (void)state;
    static const char *const prompts[] = {"a red apple on a white background", "a blue house, green background",
                                          "a yellow star on a black background"};
    if (SANITIZED) skip(); /* six pictures of the shipped model */
    shown *seen = take_bytes(SHOWN * sizeof *seen);
    for (int found = 0; found < 2; found++) {
        mebi_engine *e = open_with_cache(MINI, "", MEBI_WEIGHTS_AUTO);
        double early = 0, late = 0;
        assert_int_equal(e->preview.channels, 16); /* the folder has one */
        if (found) e->preview.channels = 0;
        for (int p = 0; p < 3; p++) {
            static mini_job j;
            mebi_request r = mebi_request_default(e);
            mebi_error err = {0};
            mebi_callbacks c = {.context = &j, .image = keep_mini, .preview = keep_preview};
            j.watching = (watching_job){.seen = seen};
            r.prompt = prompts[p];
            r.width = r.height = SIDE;
            r.seed = p;
            r.preview_every = 1;
            assert_mebi_ok(mebi_generate(e, &r, &c, NULL, &err), &err);
            assert_int_equal(j.watching.count, 7);
            early += likeness(j.pixels, seen[3].pixels) / 3;
            late += likeness(j.pixels, seen[6].pixels) / 3;
        }
        print_message("%s: after step 4 of 8 %.3f of the picture's variance, after step 7 %.3f\n",
                      found ? "found from the decoder" : "of the folder", early, late);
        /* One found without a single picture is a little dark; the shapes and colours are there. */
        assert_true(late > (found ? 0.75 : 0.9) && early > (found ? 0.65 : 0.8));
        mebi_engine_close(&e);
    }
    free(seen);
}

/* ---- where the map is kept ---- */

static void found_once_and_kept(void **state) {
    (void)state;
    path_text cache = make_folder();
    mebi__preview_map first;
    mebi_engine *e = open_with_cache(fixture("tiny").text, cache.text, MEBI_WEIGHTS_AUTO);
    mebi_request r = small_request(e);
    path_text file = path_of("%s/preview-%s.json", cache.text, mebi_engine_describe(e).model_hash);
    r.preview_every = 1;
    assert_int_equal(e->preview.channels, 0);
    make(e, &r, NULL); /* nobody looks: nothing is found */
    watching_job j = {0};
    assert_int_equal(e->preview.channels, 0);
    assert_int_equal(watch(e, &r, &j, NULL), MEBI_OK);
    assert_int_equal(e->preview.channels, e->pipeline.dit.config.channels);
    first = e->preview;
    mebi_engine_close(&e);
    e = open_with_cache(fixture("tiny").text, cache.text, MEBI_WEIGHTS_AUTO);
    assert_memory_equal(&e->preview, &first, sizeof first);
    mebi_engine_close(&e);
    /* What is not such a file is as good as none, and replaced. */
    const char *row = "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]";
    char wrong[16][600];
    int n = 0;
    snprintf(wrong[n++], 600, "%s", "");
    snprintf(wrong[n++], 600, "%s", "{");
    snprintf(wrong[n++], 600, "%s", "[]");
    snprintf(wrong[n++], 600, "{\"format\":2,\"channels\":16,\"factors\":[%s,%s,%s]}", row, row, row);
    snprintf(wrong[n++], 600, "{\"format\":1,\"channels\":3,\"factors\":[%s,%s,%s]}", row, row, row);
    snprintf(wrong[n++], 600, "{\"format\":1,\"channels\":16,\"factors\":[%s,%s]}", row, row);
    snprintf(wrong[n++], 600, "{\"format\":1,\"channels\":16,\"factors\":[%s,%s,[0]]}", row, row);
    snprintf(wrong[n++], 600, "{\"format\":1,\"channels\":16,\"factors\":[%s,%s,\"x\"]}", row, row);
    snprintf(wrong[n++], 600, "{\"format\":1,\"channels\":16,\"factors\":[%s,%s,[1e9%s]}", row, row, row + 2);
    snprintf(wrong[n++], 600, "{\"format\":1,\"channels\":16,\"factors\":[%s,%s,[\"1\"%s]}", row, row, row + 2);
    snprintf(wrong[n++], 600, "{\"format\":1,\"channels\":16,\"factors\":{}}");
    for (int i = 0; i < n; i++) {
        write_bytes(file.text, wrong[i], strlen(wrong[i]));
        e = open_with_cache(fixture("tiny").text, cache.text, MEBI_WEIGHTS_AUTO);
        if (e->preview.channels) fail_msg("taken for a map: %s", wrong[i]);
        assert_int_equal(watch(e, &r, &j, NULL), MEBI_OK);
        assert_memory_equal(&e->preview, &first, sizeof first);
        mebi_engine_close(&e);
    }
    /* The model's own comes first; a folder where nothing can be kept is no trouble. */
    path_text copy = path_of("%s/model", cache.text);
    char own[600];
    snprintf(own, sizeof own, "{\"format\":1,\"channels\":16,\"factors\":[%s,%s,[1%s]}", row, row, row + 2);
    link_folder(fixture("tiny").text, copy.text);
    write_bytes(path_of("%s/vae/preview.json", copy.text).text, own, strlen(own));
    e = open_with_cache(copy.text, cache.text, MEBI_WEIGHTS_AUTO);
    assert_true(e->preview.of[2][0] == 1 && e->preview.of[1][0] == 0);
    mebi_engine_close(&e);
    e = open_with_cache(fixture("tiny").text, "/proc/nowhere", MEBI_WEIGHTS_AUTO);
    assert_int_equal(watch(e, &r, &j, NULL), MEBI_OK);
    assert_memory_equal(&e->preview, &first, sizeof first);
    mebi_engine_close(&e);
    remove_path(cache.text);
}

/* ---- memory ---- */

/* The plan covers the first job, which finds the map, and the next, which doesn't; both below and above the size of the
 * sample. A fresh engine's arena is what the plan says, to the byte: take_device refuses another. */
static void memory_is_planned(void **state) {
    (void)state;
    static const int sides[] = {32, 128, 256};
    for (int m = 0; m < 3; m++)
        for (int i = 0; i < 3; i++) {
            mebi_engine *e = open_with_cache(fixture(models[m]).text, "", MEBI_WEIGHTS_AUTO);
            mebi_request r = small_request(e);
            mebi_plan without, plan;
            mebi_error err = {0};
            r.width = r.height = sides[i];
            assert_mebi_ok(mebi_plan_request(e, &r, &without, &err), &err);
            r.preview_every = 1;
            assert_mebi_ok(mebi_plan_request(e, &r, &plan, &err), &err);
            assert_true(plan.peak_bytes > without.peak_bytes);
            assert_true(plan.seconds[MEBI_STAGE_ENCODE] > without.seconds[MEBI_STAGE_ENCODE]);
            for (int k = 0; k < 3; k++) {
                watching_job j = {.seen = NULL};
                mebi_report report;
                assert_int_equal(watch(e, &r, &j, &report), MEBI_OK);
                if (SANITIZED) continue;
                if (report.peak_bytes > report.plan.peak_bytes)
                    fail_msg("%s %d, job %d: %zu planned, %zu taken", models[m], sides[i], k, report.plan.peak_bytes,
                             report.peak_bytes);
                assert_true(report.plan.peak_bytes < report.peak_bytes + (512 << 10) + report.peak_bytes / 20);
            }
            mebi_engine_close(&e);
        }
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    static album want, got;
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    int failed = 0;
    mebi_engine *e = open_with_cache(fixture("tiny").text, "", MEBI_WEIGHTS_AUTO);
    mebi_request r = small_request(e);
    r.width = r.height = 32;
    r.preview_every = 1;
    make(e, &r, &want);
    mebi_engine_close(&e);
    for (uint64_t nth = 1;; nth++) {
        e = open_with_cache(fixture("tiny").text, "", MEBI_WEIGHTS_AUTO);
        watching_job j = {.job = {.album = &got}};
        memset(&got, 0, sizeof got);
        mebi__memory_fail_nth(nth);
        mebi_status status = watch(e, &r, &j, NULL);
        uint64_t asked = mebi__memory_fail_nth(0);
        failed += status != MEBI_OK;
        if (status == MEBI_OK) assert_same(&want, &got);
        else assert_int_equal(status, MEBI_NO_MEMORY);
        mebi_engine_close(&e);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
        if (nth > asked) break;
    }
    assert_true(failed > 5);
}

/* A cancel while the map is being found leaves none, and the next job finds it. */
static void cancelled_at_every_point(void **state) {
    (void)state;
    static album want, got;
    mebi_engine *e = open_with_cache(fixture("odd").text, "", MEBI_WEIGHTS_AUTO);
    mebi_request r = small_request(e);
    r.preview_every = 1;
    make(e, &r, &want);
    int none = 0;
    for (int n = 1;; n++) {
        watching_job j = {.job = {.album = &got, .cancel_at = n}};
        memset(&got, 0, sizeof got);
        e->preview.channels = 0;
        mebi_status status = watch(e, &r, &j, NULL);
        if (status == MEBI_OK) break;
        assert_int_equal(status, MEBI_CANCELLED);
        none += e->preview.channels == 0;
    }
    assert_true(none > 4);
    assert_same(&want, &got);
    mebi_engine_close(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_linear_decoder_is_found),
        cmocka_unit_test(a_constant_decoder_is_found),
        cmocka_unit_test(what_is_no_colour_is_painted),
        cmocka_unit_test(they_come_when_asked_for),
        cmocka_unit_test(the_clean_latent_is_shown),
        cmocka_unit_test(of_drafts_and_of_rests),
        cmocka_unit_test(wrong_numbers_are_refused),
        cmocka_unit_test(a_preview_foretells_its_picture),
        cmocka_unit_test(found_once_and_kept),
        cmocka_unit_test(memory_is_planned),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(cancelled_at_every_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Going on from a saved step: the same bits as without an interruption, from every step of every way; and whatever is
 * wrong with what was saved is refused with a sentence. */
#include "engine_jobs.h"

#include "base/memory.h"

#include <math.h>

enum { SAVES = 64, FLOATS = 32768 };

/* ---- saving ---- */

typedef struct saved_step {
    mebi_latents of;
    float values[FLOATS];
} saved_step;

typedef struct saving_job {
    job_of_test job; /* first: the callbacks of engine_jobs.h see it */
    saved_step *save;
    int saves;
    int refuse_at; /* the save that is not accepted; 0: none */
    mebi_status refusal;
    int scarce_at; /* the step after which little memory is left; 0: none */
} saving_job;

static mebi_status keep_step(void *context, const mebi_latents *l) {
    saving_job *j = context;
    assert_true(j->saves < SAVES && l->count <= FLOATS);
    assert_int_equal(l->count, l->pictures * l->channels * l->height * l->width);
    j->save[j->saves].of = *l;
    memcpy(j->save[j->saves].values, l->values, l->count * sizeof(float));
    j->save[j->saves].of.values = j->save[j->saves].values;
    j->saves++;
    if (j->scarce_at && l->step == j->scarce_at) mebi__memory_pretend_available(4 << 20);
    return j->saves == j->refuse_at ? j->refusal : MEBI_OK;
}

static saved_step *saves_block(void) {
    return take_bytes(SAVES * sizeof(saved_step));
}

static mebi_callbacks saving(saving_job *j) {
    mebi_callbacks c = callbacks_of(&j->job);
    c.latents = keep_step;
    return c;
}

/* All pictures, and all that can be gone on from. */
static int make_and_save(mebi_engine *e, const mebi_request *r, album *out, saved_step *save, int scarce_at) {
    saving_job j = {.job = {.album = out, .refuse_at = -1}, .save = save, .scarce_at = scarce_at};
    mebi_callbacks c = saving(&j);
    mebi_error err = {0};
    memset(out, 0, sizeof *out);
    mebi_status status = mebi_generate(e, r, &c, NULL, &err);
    mebi__memory_pretend_available(0);
    assert_mebi_ok(status, &err);
    return j.saves;
}

/* The rest of a job from one save, in an engine that may be another. */
static void go_on(mebi_engine *e, const mebi_request *whole, const mebi_latents *from, const album *want) {
    static album got;
    mebi_request r = *whole;
    r.resume = from;
    r.seed = from->index % 2 ? -1 : from->seed; /* both are fine */
    r.count = whole->count - from->index;
    mebi_report report = make(e, &r, &got);
    assert_int_equal(report.seed, whole->seed + from->index);
    for (int i = 0; i < r.count; i++) {
        assert_int_equal(got.seed[i], want->seed[from->index + i]);
        assert_memory_equal(got.pixels[i], want->pixels[from->index + i], PIXELS);
    }
}

/* ---- the same bits ---- */

static mebi_engine *open_held(const char *model, mebi_weights_way weights) {
    path_text folder = path_of("%s/models/%s", MEBI_FIXTURES, model);
    mebi_engine_params params = {.model = folder.text, .threads = 2, .weights = weights};
    mebi_engine *e;
    mebi_error err = {0};
    assert_mebi_ok(mebi_engine_open(&params, NULL, &e, &err), &err);
    return e;
}

/* Weights that stay, and pictures one by one; streamed weights, and the batch together. With and without guidance,
 * in full size and as a draft. Each saved step in a fresh engine that holds its weights the other way. */
static void from_every_step_of_every_way(void **state) {
    (void)state;
    static album want;
    saved_step *save = saves_block();
    int together = 0;
    for (int m = 0; m < 3; m++)
        for (int k = 0; k < 8; k++) {
            mebi_weights_way way = k & 1 ? MEBI_WEIGHTS_STREAMED : MEBI_WEIGHTS_RESIDENT;
            mebi_engine *e = open_held(models[m], way);
            mebi_request r = small_request(e);
            r.steps = 3;
            r.count = 3;
            r.cfg = k & 2 ? 3 : 0;
            r.draft = k & 4 ? 2 : 0;
            if (r.draft) r.width = 96, r.height = 64;
            int saves = make_and_save(e, &r, &want, save, 0);
            mebi_engine_close(&e);
            e = open_held(models[m], k & 1 ? MEBI_WEIGHTS_RESIDENT : MEBI_WEIGHTS_STREAMED);
            for (int i = 0; i < saves; i++) {
                assert_int_equal(save[i].of.steps, 3);
                assert_int_equal(save[i].of.seed, 42 + save[i].of.index);
                together += save[i].of.pictures == 3;
                go_on(e, &r, &save[i].of, &want);
            }
            assert_int_equal(saves, save[0].of.pictures == 3 ? 3 : 9);
            mebi_engine_close(&e);
        }
    assert_true(together > 0);
    free(save);
}

/* A batch that memory becomes scarce for goes on in a smaller way, and so may its saved steps. */
static void from_steps_of_a_smaller_way(void **state) {
    (void)state;
    static album want;
    saved_step *save = saves_block();
    for (int m = 0; m < 3; m++) {
        mebi_engine *e = open_held(models[m], MEBI_WEIGHTS_STREAMED);
        mebi_request r = small_request(e);
        r.width = r.height = 96;
        r.steps = 4;
        r.count = 3;
        int saves = make_and_save(e, &r, &want, save, 2);
        for (int i = 0; i < saves; i++) {
            album *now = take_bytes(sizeof *now);
            mebi_request rest = r;
            rest.resume = &save[i].of;
            rest.seed = save[i].of.seed;
            rest.count = r.count - save[i].of.index;
            make(e, &rest, now);
            /* Decoded in another way the last bit of a pixel may differ; the latents may not. */
            for (int p = 0; p < rest.count; p++)
                for (int x = 0; x < 96 * 96 * 3; x++)
                    assert_true(abs(now->pixels[p][x] - want.pixels[save[i].of.index + p][x]) <= 1);
            free(now);
        }
        mebi_engine_close(&e);
    }
    free(save);
}

static void latents_of_one_seed_do_not_depend_on_the_way(void **state) {
    (void)state;
    static album a, b;
    saved_step *one = saves_block(), *all = saves_block();
    mebi_engine *e = open_held("odd", MEBI_WEIGHTS_RESIDENT), *s = open_held("odd", MEBI_WEIGHTS_STREAMED);
    mebi_request r = small_request(e);
    r.count = 2;
    r.steps = 2;
    assert_int_equal(make_and_save(e, &r, &a, one, 0), 4);
    assert_int_equal(make_and_save(s, &r, &b, all, 0), 2);
    for (int i = 0; i < 4; i++) {
        const mebi_latents *l = &one[i].of;
        const float *of = all[l->step - 1].of.values + (size_t)l->index * l->count;
        assert_memory_equal(l->values, of, l->count * sizeof(float));
    }
    mebi_engine_close(&e);
    mebi_engine_close(&s);
    free(one);
    free(all);
}

/* A cancelled job's last saved step is enough. */
static void after_a_cancel(void **state) {
    (void)state;
    static album want, got;
    saved_step *save = saves_block();
    mebi_engine *e = open_model("bf16", 2);
    mebi_request r = small_request(e);
    r.steps = 5;
    r.cfg = 2;
    make(e, &r, &want);
    int gone_on = 0;
    for (int n = 3;; n += 5) {
        saving_job j = {.job = {.album = &got, .refuse_at = -1, .cancel_at = n}, .save = save};
        mebi_callbacks c = saving(&j);
        mebi_error err = {0};
        memset(&got, 0, sizeof got);
        if (mebi_generate(e, &r, &c, NULL, &err) == MEBI_OK) break;
        assert_int_equal(err.status, MEBI_CANCELLED);
        if (j.saves) go_on(e, &r, &save[j.saves - 1].of, &want);
        gone_on += j.saves > 0;
    }
    assert_true(gone_on > 4);
    mebi_engine_close(&e);
    free(save);
}

/* ---- what is told ---- */

static void the_callback_can_end_the_job(void **state) {
    (void)state;
    static album want, got;
    static const mebi_status refusals[] = {MEBI_IO, MEBI_NO_MEMORY, MEBI_CANCELLED, MEBI_NUMERIC};
    saved_step *save = saves_block();
    for (int w = 0; w < 2; w++) {
        mebi_engine *e = open_held("tiny", w ? MEBI_WEIGHTS_STREAMED : MEBI_WEIGHTS_RESIDENT);
        mebi_request r = small_request(e);
        r.steps = 3;
        r.count = 2;
        int saves = make_and_save(e, &r, &want, save, 0);
        for (int i = 0; i < 4; i++)
            for (int at = 1; at <= saves; at++) {
                saving_job j = {.job = {.album = &got, .refuse_at = -1}, .save = save, .refuse_at = at,
                                .refusal = refusals[i]};
                mebi_callbacks c = saving(&j);
                mebi_error err = {0};
                memset(&got, 0, sizeof got);
                assert_int_equal(mebi_generate(e, &r, &c, NULL, &err), refusals[i]);
                assert_int_equal(j.saves, at);
                assert_non_null(strstr(err.text, "was not accepted"));
            }
        make(e, &r, &got);
        assert_same(&want, &got);
        mebi_engine_close(&e);
    }
    free(save);
}

static void last_fraction(void *context, const mebi_progress *p) {
    double *fraction = context;
    assert_true(p->fraction >= *fraction && p->fraction <= 1);
    assert_true(p->step <= p->steps && p->image <= p->count);
    *fraction = p->fraction;
}

/* What is done already is neither planned nor counted. */
static void a_rest_is_planned_as_a_rest(void **state) {
    (void)state;
    static album want;
    saved_step *save = saves_block();
    mebi_engine *e = open_model("tiny", 2);
    mebi_request r = small_request(e);
    mebi_plan whole, rest;
    mebi_error err = {0};
    r.steps = 8;
    r.count = 2;
    assert_int_equal(make_and_save(e, &r, &want, save, 0), 16);
    assert_mebi_ok(mebi_plan_request(e, &r, &whole, &err), &err);
    r.resume = &save[5].of;
    assert_mebi_ok(mebi_plan_request(e, &r, &rest, &err), &err);
    assert_float_equal(rest.seconds[MEBI_STAGE_STEP], whole.seconds[MEBI_STAGE_STEP] * 10 / 16,
                       0.02 * whole.seconds[MEBI_STAGE_STEP]);
    assert_true(rest.operations < whole.operations);
    assert_true(rest.peak_bytes < whole.peak_bytes + (1 << 20) && whole.peak_bytes < rest.peak_bytes + (1 << 20));
    /* Nothing but decoding is left of the first: of one picture that is no step at all. */
    double fraction = 0;
    mebi_callbacks c = {.context = &fraction, .progress = last_fraction};
    r.resume = &save[7].of;
    r.count = 1;
    assert_mebi_ok(mebi_plan_request(e, &r, &rest, &err), &err);
    assert_true(rest.seconds[MEBI_STAGE_STEP] < 1e-12 && rest.total_seconds > 0);
    assert_mebi_ok(mebi_generate(e, &r, &c, NULL, &err), &err);
    assert_true(fraction > 0.99);
    mebi_engine_close(&e);
    free(save);
}

/* ---- wrong ones ---- */

static void refused(mebi_engine *e, const mebi_request *r, const char *says) {
    mebi_error err = {0}, planned = {0};
    mebi_plan plan;
    assert_int_equal(mebi_generate(e, r, NULL, NULL, &err), MEBI_BAD_ARGUMENT);
    if (!strstr(err.text, says)) fail_msg("expected \"%s\", got: %s", says, err.text);
    assert_int_equal(mebi_plan_request(e, r, &plan, &planned), MEBI_BAD_ARGUMENT);
    assert_string_equal(planned.text, err.text);
}

#define WRONG(field, value, says)                                                                  \
    do {                                                                                           \
        mebi_latents wrong_ = good;                                                                \
        wrong_.field = (value);                                                                    \
        r.resume = &wrong_;                                                                        \
        refused(e, &r, says);                                                                      \
    } while (0)

static void what_is_wrong_is_refused(void **state) {
    (void)state;
    static album want;
    saved_step *save = saves_block();
    mebi_engine *e = open_model("tiny", 1);
    mebi_request r = small_request(e);
    r.count = 2;
    r.steps = 3;
    make_and_save(e, &r, &want, save, 0);
    const mebi_latents good = save[1].of;
    const int sizes[] = {0, -1, good.width + 1, INT_MAX, INT_MIN};
    for (int i = 0; i < 5; i++) {
        WRONG(width, sizes[i], "Ask for the size");
        WRONG(height, sizes[i], "Ask for the size");
        WRONG(channels, sizes[i], "Ask for the size");
    }
    WRONG(step, 0, "can't go on");
    WRONG(step, -1, "can't go on");
    WRONG(step, 4, "can't go on");
    WRONG(step, INT_MAX, "can't go on");
    WRONG(steps, 2, "can't go on");
    WRONG(steps, 121, "can't go on");
    WRONG(steps, INT_MIN, "can't go on");
    WRONG(pictures, 0, "pictures were saved");
    WRONG(pictures, -1, "pictures were saved");
    WRONG(pictures, 3, "pictures were saved");
    WRONG(pictures, INT_MAX, "pictures were saved");
    WRONG(pictures, 2, "it should have");
    WRONG(count, 0, "it should have");
    WRONG(count, good.count - 1, "it should have");
    WRONG(count, SIZE_MAX, "it should have");
    WRONG(values, NULL, "it should have");
    WRONG(seed, 43, "seed");
    WRONG(seed, -1, "seed");
    WRONG(seed, INT64_MAX, "seed");
    r.seed = -1;
    WRONG(seed, -1, "seed");
    WRONG(seed, INT64_MIN, "seed");
    r.seed = 42;
    const float values[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        float kept = save[1].values[good.count - 1];
        save[1].values[good.count - 1] = values[i];
        WRONG(index, 0, "not finite");
        save[1].values[good.count - 1] = kept;
    }
    r.resume = &good;
    r.width = 32; /* of another size */
    refused(e, &r, "Ask for the size");
    r.width = 48;
    r.draft = 2;
    r.width = 96; /* the latent has the size, the request is another: its draft has 32 rows less */
    r.height = 32 * 2 * 2;
    refused(e, &r, "Ask for the size");
    /* The index is not looked at, and what was never wrong still works. */
    mebi_latents moved = good;
    moved.index = INT_MIN;
    r = small_request(e);
    r.count = 2;
    r.steps = 3;
    r.resume = &moved;
    static album got;
    make(e, &r, &got);
    assert_same(&want, &got);
    mebi_engine_close(&e);
    free(save);
}

/* Too big to go on: what is offered instead begins anew. */
static void too_big_to_go_on(void **state) {
    (void)state;
    static album want;
    saved_step *save = saves_block();
    mebi_engine *e = open_model("odd", 1);
    mebi_request r = small_request(e);
    mebi_plan plan;
    mebi_error err = {0};
    r.width = r.height = 96;
    make_and_save(e, &r, &want, save, 0);
    assert_mebi_ok(mebi_plan_request(e, &r, &plan, &err), &err);
    size_t small = plan.base_bytes;
    r.resume = &save[0].of;
    for (int i = 1; i <= 8 && plan.verdict != MEBI_TOO_BIG; i++) {
        e->budget_bytes = small + (plan.need_bytes - small) * (size_t)(9 - i) / 9;
        assert_mebi_ok(mebi_plan_request(e, &r, &plan, &err), &err);
    }
    assert_int_equal(plan.verdict, MEBI_TOO_BIG);
    mebi_engine_close(&e);
    free(save);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_every_step_of_every_way),
        cmocka_unit_test(from_steps_of_a_smaller_way),
        cmocka_unit_test(latents_of_one_seed_do_not_depend_on_the_way),
        cmocka_unit_test(after_a_cancel),
        cmocka_unit_test(the_callback_can_end_the_job),
        cmocka_unit_test(a_rest_is_planned_as_a_rest),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(too_big_to_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

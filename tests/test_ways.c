/* The ways a job can be done: each gives the same picture, a budget is kept, and memory that is denied or
 * taken away in the middle costs time and nothing else. */
#include "engine_jobs.h"

#include "base/memory.h"
#include "base/os.h"

#include <math.h>
#include <stdlib.h>

/* ---- ways ---- */

static mebi_engine *open_way(const char *model, mebi_weights_way weights, size_t budget,
                             mebi_precision precision) {
    mebi_engine_params params = mebi_engine_params_default();
    mebi_engine *e;
    mebi_error err = {0};
    path_text folder = path_of("%s/models/%s", MEBI_FIXTURES, model);
    params.model = folder.text;
    params.threads = 2;
    params.weights = weights;
    params.budget_bytes = budget;
    params.precision = precision;
    assert_mebi_ok(mebi_engine_open(&params, NULL, &e, &err), &err);
    return e;
}

/* Largest difference of two albums' pixels. */
static int furthest(const album *a, const album *b) {
    int most = 0;
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++)
        for (int k = 0; k < a->width * a->height * 3; k++) {
            int d = abs(a->pixels[i][k] - b->pixels[i][k]);
            if (d > most) most = d;
        }
    return most;
}

static void every_way_gives_the_same_picture(void **state) {
    (void)state;
    static album want, got;
    for (int m = 0; m < 3; m++)
        for (int guided = 0; guided < 2; guided++) {
            mebi_engine *e = open_model(models[m], 2);
            mebi_request r = small_request(e);
            r.count = 3;
            r.cfg = guided ? 3 : 0;
            make(e, &r, &want);
            mebi_engine_close(&e);
            for (int w = MEBI_WEIGHTS_RESIDENT; w < MEBI_WEIGHTS_COUNT; w++) {
                e = open_way(models[m], (mebi_weights_way)w, 0, MEBI_PRECISION_AUTO);
                for (int d = MEBI_DECODE_WHOLE; d < MEBI_DECODE_COUNT; d++) {
                    r.decode = (mebi_decode_way)d;
                    mebi_report report = make(e, &r, &got);
                    assert_int_equal(report.plan.weights, w);
                    assert_int_equal(report.plan.decode, d);
                    assert_true(furthest(&want, &got) <= 1);
                }
                mebi_engine_close(&e);
            }
        }
}

/* ---- budgets ---- */

static size_t need_of(mebi_engine *e, const mebi_request *r) {
    mebi_plan plan;
    mebi_error err = {0};
    assert_mebi_ok(mebi_plan_request(e, r, &plan, &err), &err);
    return plan.need_bytes;
}

/* With less and less to take: what is accepted keeps to it, what is refused comes with what is accepted. */
static void a_budget_is_kept(void **state) {
    (void)state;
    mebi_engine *e = open_model("odd", 2);
    mebi_request r = small_request(e);
    r.width = r.height = 320;
    r.steps = 1;
    size_t base = mebi__memory_own(), most = need_of(e, &r);
    int refused = 0, smaller = 0, offered = 0;
    for (int i = 0; i <= 24; i++) {
        mebi_plan plan;
        mebi_error err = {0};
        e->budget_bytes = base + (most - base) * (size_t)(24 - i) / 20;
        assert_mebi_ok(mebi_plan_request(e, &r, &plan, &err), &err);
        if (plan.verdict == MEBI_TOO_BIG) {
            refused++;
            assert_true(plan.need_bytes > plan.budget_bytes || plan.alternatives > 0);
            for (int k = 0; k < plan.alternatives; k++) {
                const mebi_alternative *a = &plan.alternative[k];
                mebi_request other = r;
                offered++;
                other.width = a->width;
                other.height = a->height;
                other.count = a->count;
                other.cfg = a->cfg;
                assert_true(a->need_bytes <= e->budget_bytes);
                assert_true(make(e, &other, NULL).plan.need_bytes <= e->budget_bytes);
            }
            continue;
        }
        smaller += plan.verdict != MEBI_FITS;
        assert_true(plan.need_bytes <= e->budget_bytes);
        assert_true(make(e, &r, NULL).plan.need_bytes <= e->budget_bytes);
    }
    print_message("%d refused with %d offers, %d in a smaller way\n", refused, offered, smaller);
    assert_true(refused > 0 && offered > 0);
    mebi_engine_close(&e);
}

static void what_the_refusal_offers_is_told(void **state) {
    (void)state;
    mebi_engine *e = open_model("odd", 1);
    mebi_request r = small_request(e);
    mebi_error err = {0};
    size_t little = need_of(e, &r);
    r.width = r.height = 1024;
    e->budget_bytes = little + (8 << 20);
    assert_int_equal(mebi_generate(e, &r, NULL, NULL, &err), MEBI_NO_MEMORY);
    assert_non_null(strstr(err.text, "may be taken. What fits: "));
    mebi_engine_close(&e);
}

/* The split adds up, and the words are there. */
static void a_plan_is_whole(void **state) {
    (void)state;
    for (int m = 0; m < 3; m++) {
        mebi_engine *e = open_model(models[m], 1);
        mebi_request r = small_request(e);
        mebi_plan plan;
        mebi_error err = {0};
        r.count = 3;
        r.cfg = 2;
        assert_mebi_ok(mebi_plan_request(e, &r, &plan, &err), &err);
        size_t sum = 0;
        for (int i = 0; i < MEBI_MEMORY_COUNT; i++) sum += plan.memory[i];
        assert_int_equal(sum, plan.need_bytes);
        assert_int_equal(plan.need_bytes, plan.peak_bytes + plan.file_bytes + plan.system_bytes);
        double seconds = 0;
        for (int i = 0; i < MEBI_STAGE_COUNT; i++) seconds += plan.seconds[i];
        assert_float_equal(seconds, plan.total_seconds, 1e-9 * seconds);
        assert_float_equal(plan.step_seconds * 3 * r.steps, plan.seconds[MEBI_STAGE_STEP], 1e-9);
        assert_true(plan.total_seconds > 0 && plan.strategy[0] && plan.why[0]);
        mebi_engine_close(&e);
    }
}

/* ---- memory denied, memory taken ---- */

typedef struct pressure {
    job_of_test job; /* first: the callbacks of engine_jobs.h see it */
    size_t before;
    int at_step; /* when this many steps are done, little is left */
    size_t left;
} pressure;

static void count_notices(void *context, const char *text) {
    job_of_test *j = context;
    assert_true(text[0] != 0);
    j->notices++;
}

static void take_memory(void *context, const mebi_progress *p) {
    pressure *t = context;
    if (p->stage == MEBI_STAGE_STEP && p->step == t->at_step && p->step > 0)
        mebi__memory_pretend_available(t->left);
}

/* Before and after: the same pictures; told to the user. */
static void memory_taken_in_the_middle(void **state) {
    (void)state;
    static album want, got;
    for (int m = 0; m < 3; m++)
        for (int count = 1; count <= 3; count += 2)
            for (int step = 1; step < 4; step++) {
                mebi_engine *e = open_model(models[m], 2);
                mebi_request r = small_request(e);
                r.width = r.height = 96;
                r.steps = 4;
                r.count = count;
                r.cfg = count > 1 ? 3 : 0;
                make(e, &r, &want);
                pressure t = {.job = {.album = &got, .refuse_at = -1}, .at_step = step, .left = 4 << 20};
                mebi_callbacks c = callbacks_of(&t.job);
                c.notice = count_notices;
                c.progress = take_memory;
                memset(&got, 0, sizeof got);
                mebi_report report;
                mebi_error err = {0};
                mebi_status status = mebi_generate(e, &r, &c, &report, &err);
                mebi__memory_pretend_available(0);
                assert_mebi_ok(status, &err);
                assert_true(t.job.notices > 0);
                assert_true(furthest(&want, &got) <= 1);
                mebi_engine_close(&e);
            }
}

/* The arena is denied once: a smaller way is taken. It is denied whatever the way: refused. */
static void memory_denied_at_the_start(void **state) {
    (void)state;
    static album want, got;
    int smaller = 0;
    mebi_engine *e = open_model("odd", 2);
    mebi_request r = small_request(e);
    r.width = r.height = 96;
    make(e, &r, &want);
    for (uint64_t nth = 1;; nth++) {
        job_of_test j = {.album = &got, .refuse_at = -1};
        mebi_callbacks c = callbacks_of(&j);
        c.notice = count_notices;
        mebi_error err = {0};
        mebi_report report;
        memset(&got, 0, sizeof got);
        mebi__memory_fail_nth(nth);
        mebi_status status = mebi_generate(e, &r, &c, &report, &err);
        uint64_t asked = mebi__memory_fail_nth(0);
        if (status == MEBI_OK) assert_true(furthest(&want, &got) <= 1);
        else assert_int_equal(status, MEBI_NO_MEMORY);
        smaller += status == MEBI_OK && j.notices > 0;
        if (nth > asked) break;
    }
    assert_true(smaller > 0);
    mebi_engine_close(&e);
}

/* A picture that could not be saved for lack of memory is saved once the job's own is given back. */
static void saving_finds_no_memory(void **state) {
    (void)state;
    static album want, got;
    mebi_engine *e = open_model("tiny", 2);
    mebi_request r = small_request(e);
    r.count = 3;
    make(e, &r, &want);
    for (int at = 1; at <= 3; at++) {
        job_of_test j = {.album = &got, .refuse_at = -1, .no_memory_at = at};
        mebi_callbacks c = callbacks_of(&j);
        mebi_error err = {0};
        memset(&got, 0, sizeof got);
        assert_mebi_ok(mebi_generate(e, &r, &c, NULL, &err), &err);
        assert_same(&want, &got);
    }
    mebi_engine_close(&e);
}

/* ---- drafts ---- */

static void a_draft_is_smaller(void **state) {
    (void)state;
    static album got;
    mebi_engine *e = open_model("tiny", 2);
    mebi_request r = small_request(e);
    mebi_error err = {0};
    r.width = 96;
    r.height = 64;
    r.draft = 2;
    make(e, &r, &got);
    assert_int_equal(got.width, 48);
    assert_int_equal(got.height, 32);
    r.width = 80; /* 40 is no multiple of 16 */
    assert_int_equal(mebi_generate(e, &r, NULL, NULL, &err), MEBI_BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "multiples of 32 for such a draft"));
    err = (mebi_error){0};
    r.draft = 9;
    assert_int_equal(mebi_generate(e, &r, NULL, NULL, &err), MEBI_BAD_ARGUMENT);
    mebi_engine_close(&e);
}

enum { SIDE = 256, SMALL = SIDE / 2, SEEDS = 6 };

typedef struct shot {
    int side;
    unsigned char pixels[SIDE * SIDE * 3];
} shot;

static mebi_status keep_shot(void *context, int index, int64_t seed, const mebi_image *image, mebi_error *err) {
    shot *s = context;
    (void)index, (void)seed, (void)err;
    s->side = image->width;
    memcpy(s->pixels, image->pixels, (size_t)image->width * (size_t)image->height * 3);
    return MEBI_OK;
}

/* How much of the red is missing, SMALL x SMALL: where a blue thing is on white. */
static void blueness(const shot *s, double *out) {
    int n = s->side / SMALL;
    for (int i = 0; i < SMALL * SMALL; i++) {
        out[i] = 0;
        for (int k = 0; k < n * n; k++) {
            int y = i / SMALL * n + k / n, x = i % SMALL * n + k % n;
            out[i] += (255 - s->pixels[(y * s->side + x) * 3]) / (255.0 * n * n);
        }
    }
}

static double correlation(const double *a, const double *b) {
    double ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < SMALL * SMALL; i++) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return ab / sqrt(aa * bb);
}

/* What is a seed's own, with what all seeds have in common taken off: a draft shows it. */
static void a_draft_foretells_its_large_picture(void **state) {
    (void)state;
    static shot s;
    static double of[2][SEEDS][SMALL * SMALL];
    if (SANITIZED) skip(); /* twelve pictures of the shipped model */
    mebi_engine *e = open_threads(MEBI_FIXTURES "/../../models/mini", 2);
    mebi_callbacks c = {.context = &s, .image = keep_shot};
    for (int draft = 0; draft < 2; draft++)
        for (int seed = 0; seed < SEEDS; seed++) {
            mebi_request r = mebi_request_default(e);
            mebi_error err = {0};
            r.prompt = "a small blue house on the left, white background";
            r.width = r.height = SIDE;
            r.seed = seed;
            r.draft = draft ? 2 : 0;
            assert_mebi_ok(mebi_generate(e, &r, &c, NULL, &err), &err);
            assert_int_equal(s.side, draft ? SMALL : SIDE);
            blueness(&s, of[draft][seed]);
        }
    for (int draft = 0; draft < 2; draft++)
        for (int i = 0; i < SMALL * SMALL; i++) {
            double mean = 0;
            for (int seed = 0; seed < SEEDS; seed++) mean += of[draft][seed][i] / SEEDS;
            for (int seed = 0; seed < SEEDS; seed++) of[draft][seed][i] -= mean;
        }
    double same = 0, other = 0;
    for (int a = 0; a < SEEDS; a++)
        for (int b = 0; b < SEEDS; b++)
            if (a == b) same += correlation(of[0][a], of[1][b]) / SEEDS;
            else other += correlation(of[0][a], of[1][b]) / (SEEDS * (SEEDS - 1));
    print_message("draft and picture: %.2f of one seed, %.2f of two\n", same, other);
    assert_true(same > 0.2 && other < 0.05);
    mebi_engine_close(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_gives_the_same_picture),
        cmocka_unit_test(a_budget_is_kept),
        cmocka_unit_test(what_the_refusal_offers_is_told),
        cmocka_unit_test(a_plan_is_whole),
        cmocka_unit_test(memory_taken_in_the_middle),
        cmocka_unit_test(memory_denied_at_the_start),
        cmocka_unit_test(saving_finds_no_memory),
        cmocka_unit_test(a_draft_is_smaller),
        cmocka_unit_test(a_draft_foretells_its_large_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

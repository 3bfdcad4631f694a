/* Plans beside a job: from other threads and from callbacks, at once, as if the job were finished. */
#include "engine_jobs.h"

#include "base/memory.h"
#include "base/os.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

/* ---- two planners and a job ---- */

enum { PLANNERS = 2, REQUESTS = 4, ROUNDS = 2 };

typedef struct planner {
    mebi_engine *engine;
    _Atomic int *stop;
    mebi_request request[REQUESTS];
    int plans, wrong;
    size_t most, least; /* needed by the first request */
    double slowest, seconds; /* of the clock: others compute at the same time */
    double processor;        /* seconds of this thread */
} planner;

static double processor_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* No assertions here: cmocka's jump out of the test's own thread only. */
static void *plan_on(void *argument) {
    planner *p = argument;
    while (!atomic_load(p->stop)) {
        const int i = p->plans++ % REQUESTS;
        mebi_plan plan;
        mebi_error err = {0};
        double began = mebi__now_seconds(), used = processor_seconds();
        mebi_status status = mebi_plan_request(p->engine, &p->request[i], &plan, &err);
        double took = mebi__now_seconds() - began;
        p->processor += processor_seconds() - used;
        mebi_engine_info info = mebi_engine_describe(p->engine);
        p->wrong += status != MEBI_OK || plan.verdict == MEBI_TOO_BIG || !(plan.total_seconds > 0) ||
                    info.size_multiple < 1;
        p->seconds += took;
        if (took > p->slowest) p->slowest = took;
        if (i > 0) continue;
        if (plan.need_bytes > p->most) p->most = plan.need_bytes;
        if (!p->least || plan.need_bytes < p->least) p->least = plan.need_bytes;
    }
    return NULL;
}

static void prepare(planner *p, mebi_engine *e, _Atomic int *stop) {
    static const char *const prompts[REQUESTS] = {NULL, "a prompt of its own", "a red apple", "something else"};
    *p = (planner){.engine = e, .stop = stop};
    for (int i = 0; i < REQUESTS; i++) {
        p->request[i] = small_request(e);
        if (prompts[i]) p->request[i].prompt = prompts[i];
        p->request[i].width = 64 + 32 * i;
        p->request[i].cfg = i % 2 ? 3 : 0;
        p->request[i].count = 1 + i % 3;
        p->request[i].preview_every = i == 3;
    }
}

/* Pictures are the same, plans are right, none of them waits for the job. */
static void plans_do_not_disturb_a_job(void **state) {
    (void)state;
    static album want, got;
    for (int m = 0; m < 3; m++) {
        mebi_engine *e = open_model(models[m], 2);
        _Atomic int stop = 0;
        planner p[PLANNERS];
        pthread_t thread[PLANNERS];
        mebi_request r = small_request(e), big = r;
        r.count = 3;
        r.cfg = 2;
        big.width = big.height = 256; /* holds much more than what is planned beside it */
        big.steps = SANITIZED ? 1 : 3;
        make(e, &r, &want);
        make(e, &big, NULL);
        for (int i = 0; i < PLANNERS; i++) {
            prepare(&p[i], e, &stop);
            assert_int_equal(pthread_create(&thread[i], NULL, plan_on, &p[i]), 0);
        }
        double jobs_took = mebi__now_seconds();
        for (int i = 0; i < ROUNDS; i++) {
            char prompt[32]; /* encoded anew: the features' cache turns over */
            snprintf(prompt, sizeof prompt, "prompt %d", i);
            big.prompt = prompt;
            make(e, &big, NULL);
            make(e, &r, &got);
            assert_same(&want, &got);
        }
        atomic_store(&stop, 1);
        jobs_took = (mebi__now_seconds() - jobs_took) / ROUNDS;
        for (int i = 0; i < PLANNERS; i++) assert_int_equal(pthread_join(thread[i], NULL), 0);
        mebi_plan after;
        mebi_error err = {0};
        assert_mebi_ok(mebi_plan_request(e, &p[0].request[0], &after, &err), &err);
        for (int i = 0; i < PLANNERS; i++) {
            assert_int_equal(p[i].wrong, 0);
            assert_true(p[i].plans >= REQUESTS);
            print_message("%s: %d plans, %.2f ms each (%.2f of the processor), the slowest %.1f ms, %.2f to %.2f MB needed "
                          "(then %.2f)\n",
                          models[m], p[i].plans, p[i].seconds / p[i].plans * 1e3,
                          p[i].processor / p[i].plans * 1e3, p[i].slowest * 1e3,
                          (double)p[i].least * 1e-6, (double)p[i].most * 1e-6, (double)after.need_bytes * 1e-6);
            if (SANITIZED) continue;
            assert_true(p[i].processor / p[i].plans < 0.02);
            assert_true(p[i].seconds / p[i].plans < jobs_took / 8); /* it does not wait for one to end */
            /* The threads' own stacks and heaps come and go. */
            assert_true(p[i].most < after.need_bytes + (2 << 20));
            assert_true(after.need_bytes < p[i].least + (2 << 20));
        }
        mebi_engine_close(&e);
    }
}

/* ---- at a moment of a job that is known ---- */

typedef struct moment {
    job_of_test job; /* first */
    mebi_engine *engine;
    mebi_request request;
    mebi_stage stage;
    mebi_plan plan;
    size_t own; /* of the process, then */
    int planned;
    mebi_status second; /* of a job from within a job */
    mebi_error err;
} moment;

static void plan_within(void *context, const mebi_progress *p) {
    moment *t = context;
    if (t->planned || p->stage != t->stage) return;
    t->planned = 1;
    t->own = mebi__memory_own();
    assert_mebi_ok(mebi_plan_request(t->engine, &t->request, &t->plan, &t->err), &t->err);
    t->second = mebi_generate(t->engine, &t->request, NULL, NULL, &t->err);
}

/* What the job holds is not counted, what stays is; budget and verdict are those of the time after it. */
static void as_if_the_job_were_finished(void **state) {
    (void)state;
    static album got;
    for (int m = 0; m < 3; m++)
        for (int stage = MEBI_STAGE_ENCODE; stage < MEBI_STAGE_COUNT; stage++)
            for (int first = 0; first < 2; first++) {
                mebi_engine *e = open_model(models[m], 2);
                mebi_request r = small_request(e);
                mebi_error err = {0};
                mebi_plan after;
                if (!first) make(e, &r, &got);
                moment t = {.job = {.album = NULL, .refuse_at = -1}, .engine = e, .request = r,
                            .stage = (mebi_stage)stage};
                mebi_callbacks c = callbacks_of(&t.job);
                c.progress = plan_within;
                t.request.prompt = "of its own"; /* not encoded before, nor after */
                r.width = r.height = SANITIZED ? 96 : 384;
                r.steps = 1;
                assert_mebi_ok(mebi_generate(e, &r, &c, NULL, &err), &err);
                assert_int_equal(t.planned, 1);
                assert_int_equal(t.second, MEBI_BAD_ARGUMENT);
                assert_non_null(strstr(t.err.text, "at work on another job"));
                assert_mebi_ok(mebi_plan_request(e, &t.request, &after, &err), &err);
                assert_int_equal(t.plan.verdict, after.verdict);
                assert_int_equal(t.plan.arena_bytes, after.arena_bytes);
                assert_true(after.need_bytes > 0 && t.plan.total_seconds > 0);
                if (!SANITIZED) {
                    const size_t slack = 1 << 20;
                    assert_true(t.own > t.plan.base_bytes + 3 * slack); /* it does hold something */
                    assert_true(t.plan.need_bytes < after.need_bytes + slack);
                    assert_true(after.need_bytes < t.plan.need_bytes + slack);
                }
                mebi_engine_close(&e);
            }
}

/* A job that ends in whatever way leaves the engine free. */
static void an_engine_is_free_again(void **state) {
    (void)state;
    static album want, got;
    mebi_engine *e = open_model("tiny", 2);
    mebi_request r = small_request(e), wrong = r;
    make(e, &r, &want);
    wrong.steps = 0;
    for (int i = 1; i < 12; i += 3) {
        job_of_test j = {.refuse_at = -1, .cancel_at = i};
        mebi_callbacks c = callbacks_of(&j);
        mebi_error err = {0};
        assert_int_equal(mebi_generate(e, &wrong, NULL, NULL, &err), MEBI_BAD_ARGUMENT);
        assert_null(strstr(err.text, "at work"));
        assert_int_equal(mebi_generate(e, &r, &c, NULL, NULL), MEBI_CANCELLED);
        assert_int_equal(e->shared.work, MEBI__WORK_NONE);
        assert_int_equal(e->shared.held, 0);
        make(e, &r, &got);
        assert_same(&want, &got);
    }
    mebi_engine_close(&e);
}

/* ---- measuring the machine ---- */

static void *make_one(void *argument) {
    mebi_engine *e = argument;
    mebi_request r = small_request(e);
    return mebi_generate(e, &r, NULL, NULL, NULL) == MEBI_OK ? argument : NULL;
}

/* One of several plans measures; the others, and a job, come out right whatever the order. */
static void measuring_beside_plans_and_a_job(void **state) {
    (void)state;
    path_text folder = path_of("%s/models/tiny", MEBI_FIXTURES);
    mebi_engine_params params = {.model = folder.text, .threads = 2, .cache = "", .calibrate = 1};
    mebi_engine *e;
    mebi_error err = {0};
    mebi_plan plan;
    _Atomic int stop = 0;
    planner p[PLANNERS];
    pthread_t thread[PLANNERS], job;
    void *made;
    assert_mebi_ok(mebi_engine_open(&params, NULL, &e, &err), &err);
    for (int i = 0; i < PLANNERS; i++) {
        prepare(&p[i], e, &stop);
        assert_int_equal(pthread_create(&thread[i], NULL, plan_on, &p[i]), 0);
    }
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    assert_int_equal(pthread_create(&job, NULL, make_one, e), 0);
    assert_int_equal(pthread_join(job, &made), 0);
    atomic_store(&stop, 1);
    for (int i = 0; i < PLANNERS; i++) assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_ptr_equal(made, e);
    for (int i = 0; i < PLANNERS; i++) assert_int_equal(p[i].wrong, 0);
    assert_int_equal(e->calibrate, 0);
    mebi_request r = small_request(e);
    assert_mebi_ok(mebi_plan_request(e, &r, &plan, &err), &err);
    assert_int_equal(plan.estimate, 0);
    mebi_engine_close(&e);
}

/* Beside a job nothing is measured: a plan is an estimate, and at once. */
static void nothing_is_measured_beside_a_job(void **state) {
    (void)state;
    path_text folder = path_of("%s/models/odd", MEBI_FIXTURES);
    mebi_engine_params params = {.model = folder.text, .threads = 1, .cache = ""};
    mebi_engine *e;
    mebi_error err = {0};
    assert_mebi_ok(mebi_engine_open(&params, NULL, &e, &err), &err);
    mebi_request r = small_request(e);
    mebi_plan plan;
    e->calibrate = 1;
    e->shared.work = MEBI__WORK_JOB; /* as within a job, which would measure itself before it begins */
    assert_mebi_ok(mebi_plan_request(e, &r, &plan, &err), &err);
    e->shared.work = MEBI__WORK_NONE;
    assert_int_equal(e->calibrate, 1);
    assert_int_equal(plan.estimate, 1);
    e->calibrate = 0;
    mebi_engine_close(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_do_not_disturb_a_job),
        cmocka_unit_test(as_if_the_job_were_finished),
        cmocka_unit_test(an_engine_is_free_again),
        cmocka_unit_test(measuring_beside_plans_and_a_job),
        cmocka_unit_test(nothing_is_measured_beside_a_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* `mebi serve` at a signal: what runs is parked and gone on with, or finished first, or dropped at a second signal. */
#include "serve_run.h"

/* A second of work. */
static const char long_order[] = "{\"prompt\":\"a\",\"width\":144,\"height\":144,\"steps\":120,\"seed\":1,\"preview\":false}";

static int start(void **state) {
    static served s;
    s = (served){.folder = make_folder()};
    *state = &s;
    return 0;
}

static int end(void **state) {
    forget_server(*state);
    return 0;
}

/* The id of a job that runs and has made a step. */
static path_text begin_job(served *s, const char *const *more) {
    serve(s, more);
    path_text id = order_of_it(s, long_order), job_path = path_of("/api/v1/jobs/%s", id.text);
    assert_true(*id.text);
    for (int i = 0, step = 0; step < 1; i++, nap_ms(10)) {
        if (i == 6000) fail_msg("It makes no step: %.400s", body);
        json_t *job = get_json(s->port, job_path.text);
        step = (int)number_at(json_object_get(job, "progress"), "step");
        json_decref(job);
    }
    return id;
}

static void assert_goes_on(served *s, const char *id) {
    serve(s, NULL);
    await_state(s, id, "done");
    assert_int_equal(pictures_of(s), 1);
    assert_int_equal(end_serving(s, SIGINT), 0);
}

static void parks_and_goes_on(void **state) {
    served *s = *state;
    path_text id = begin_job(s, NULL);
    assert_int_equal(end_serving(s, SIGTERM), 0);
    assert_non_null(strstr(what_it_said(s), "ending. A second signal ends at once."));
    assert_goes_on(s, id.text);
}

static void finishes_first_if_told(void **state) {
    static const char *const finish[] = {"--finish", NULL};
    served *s = *state;
    path_text id = begin_job(s, finish);
    assert_int_equal(end_serving(s, SIGTERM), 0);
    assert_non_null(strstr(what_it_said(s), "ending after the job under way."));
    serve(s, NULL);
    assert_string_equal(job_state_of(s, id.text), "done"); /* at once: it was when it ended */
    assert_int_equal(pictures_of(s), 1);
}

static void a_second_signal_ends_at_once(void **state) {
    static const char *const finish[] = {"--finish", NULL};
    served *s = *state;
    path_text id = begin_job(s, finish);
    kill(s->pid, SIGTERM);
    for (int i = 0; !strstr(what_it_said(s), "A second signal ends at once."); i++, nap_ms(10))
        if (i == 3000) fail_msg("It does not take the signal: %s", s->said);
    assert_int_equal(end_serving(s, SIGTERM), -SIGTERM);
    assert_goes_on(s, id.text);
}

#define T(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void) {
    const struct CMUnitTest tests[] = {T(parks_and_goes_on), T(finishes_first_if_told), T(a_second_signal_ends_at_once)};
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("serve", tests, begin_cache, end_cache);
}

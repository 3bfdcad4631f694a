/* Checks over HTTP: the list, progress as it moves, events, reports and failures of one that is
 * made up; and a real one, run by the command as a user starts it. */
#include "server_client.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

static running the;

/* ---- a check that is made up ---- */

static atomic_int step; /* what the check may do; it waits for the next */
static const char *failure;

static void wait_for_step(const mebi__check_order *o, int wanted) {
    while (atomic_load(&step) < wanted && !o->stopping(o->to)) nap_ms(5);
}

static json_t *made_up(void *context, const mebi__check_order *o, char **html, mebi_error *err) {
    assert_ptr_equal(context, &the);
    o->progress(o->to, 0, -1, "loading");
    wait_for_step(o, 1);
    o->progress(o->to, 0.25, 3, "picture 1 of 4");
    o->progress(o->to, 0.5, 2, NULL); /* the words hold */
    wait_for_step(o, 2);
    o->progress(o->to, 7, 0, "beyond");
    wait_for_step(o, 3);
    if (failure) {
        (void)mebi__fail(err, MEBI_INTERNAL, "%s", failure);
        return NULL;
    }
    if (o->is_bench) *html = strdup("<!doctype html><p>page</p>");
    return json_pack("{s:s, s:b}", "verdict", "ok", "quick", o->quick);
}

static int start(void **state) {
    mebi_error err = {0};
    (void)state;
    the.folder = make_folder();
    assert_mebi_ok(start_server(&the, (mebi__server_params){.checks = {&the, made_up}}, &err),
                   &err);
    wait_until_ready(the.port);
    return 0;
}

static int end(void **state) {
    (void)state;
    end_server(&the);
    return mebi__memory_held(MEBI__TAG_COUNT) == 0 ? 0 : -1;
}

/* The id of a new check. */
static const char *begin(const char *order) {
    static char id[40];
    atomic_store(&step, 0);
    assert_status(ask(the.port, "POST /api/v1/checks", order), 202);
    json_t *o = json_of_reply();
    snprintf(id, sizeof id, "%s", text_at(o, "id"));
    json_decref(o);
    return id;
}

static json_t *check_of(int port, const char *id) {
    char path[100];
    snprintf(path, sizeof path, "/api/v1/checks/%s", id);
    return get_json(port, path);
}

static const char *progress_words(const json_t *o) {
    return text_at(json_object_get(o, "progress"), "words");
}

/* The check, once it is in that state and says these words; owned by the caller. */
static json_t *wait_for(const char *id, const char *state, const char *words) {
    for (int i = 0; i < 2000; i++) {
        json_t *o = check_of(the.port, id);
        if (strcmp(text_at(o, "state"), state) == 0 &&
            (!words || strcmp(progress_words(o), words) == 0))
            return o;
        json_decref(o);
        nap_ms(5);
    }
    fail_msg("The check does not come to be %s, \"%s\": %s", state, words ? words : "", body);
    return NULL;
}

/* ---- over HTTP ---- */

static void progress_moves(void **state) {
    char id[40];
    (void)state;
    snprintf(id, sizeof id, "%s", begin("{\"kind\":\"doctor\",\"quick\":true}"));
    json_t *o = wait_for(id, "running", "loading");
    assert_true(json_is_null(json_object_get(json_object_get(o, "progress"), "seconds_left")));
    assert_true(json_is_null(json_object_get(o, "report")));
    assert_true(json_is_null(json_object_get(o, "finished")));
    assert_true(json_is_string(json_object_get(o, "started")));
    json_decref(o);
    assert_error(ask(the.port, "POST /api/v1/checks", "{\"kind\":\"bench\"}"), 409, "conflict");
    atomic_store(&step, 1);
    o = wait_for(id, "running", "picture 1 of 4");
    json_decref(o);
    for (int i = 0; i < 400; i++) {
        double fraction, left;
        o = check_of(the.port, id);
        assert_int_equal(json_unpack(o, "{s:{s:F, s:F}}", "progress", "fraction", &fraction,
                                     "seconds_left", &left),
                         0);
        assert_string_equal(progress_words(o), "picture 1 of 4");
        json_decref(o);
        if (fraction > 0.49 && fraction < 0.51 && left > 1.9 && left < 2.1) break;
        if (i == 399) fail_msg("The fraction stays %g", fraction);
        nap_ms(5);
    }
    atomic_store(&step, 3);
    o = wait_for(id, "done", "");
    assert_string_equal(text_at(json_object_get(o, "report"), "verdict"), "ok");
    assert_true(json_is_true(json_object_get(json_object_get(o, "report"), "quick")));
    assert_true(json_is_string(json_object_get(o, "finished")));
    assert_int_equal(number_at(json_object_get(o, "progress"), "fraction"), 1);
    json_decref(o);
}

static void lists_the_newest_first(void **state) {
    char first[40], second[40], line[100];
    (void)state;
    snprintf(first, sizeof first, "%s", begin("{\"kind\":\"bench\"}"));
    atomic_store(&step, 3);
    json_decref(wait_for(first, "done", NULL));
    snprintf(second, sizeof second, "%s", begin("{\"kind\":\"doctor\"}"));
    json_decref(wait_for(second, "running", "loading"));
    json_t *o = get_json(the.port, "/api/v1/checks"), *list = json_object_get(o, "checks"),
           *new = json_array_get(list, 0), *old = json_array_get(list, 1);
    assert_string_equal(text_at(new, "id"), second);
    assert_string_equal(text_at(new, "state"), "running");
    assert_true(json_is_false(json_object_get(new, "has_report")));
    assert_string_equal(text_at(old, "id"), first);
    assert_string_equal(text_at(old, "kind"), "bench");
    assert_true(json_is_true(json_object_get(old, "has_report")));
    assert_true(json_is_true(json_object_get(old, "has_page")));
    assert_null(json_object_get(old, "report"));
    json_decref(o);
    atomic_store(&step, 3);
    json_decref(wait_for(second, "done", NULL));
    snprintf(line, sizeof line, "GET /api/v1/checks/%s/html", first);
    assert_status(ask(the.port, line, NULL), 200);
    assert_string_equal(body, "<!doctype html><p>page</p>");
}

static void keeps_the_last_eight(void **state) {
    char id[40];
    (void)state;
    for (int i = 0; i < 9; i++) {
        snprintf(id, sizeof id, "%s", begin("{\"kind\":\"doctor\"}"));
        atomic_store(&step, 3);
        json_decref(wait_for(id, "done", NULL));
    }
    json_t *o = get_json(the.port, "/api/v1/checks"), *list = json_object_get(o, "checks");
    assert_int_equal(json_array_size(list), 8);
    assert_string_equal(text_at(json_array_get(list, 0), "id"), id);
    json_decref(o);
    assert_error(ask(the.port, "GET /api/v1/checks/check-1", NULL), 404, "not_found");
}

static void says_why_one_failed(void **state) {
    static char reason[400]; /* whose cut could fall into a letter */
    char id[40];
    (void)state;
    for (size_t i = 0; i + 3 < sizeof reason; i += 3) memcpy(reason + i, "果", 3);
    failure = reason;
    snprintf(id, sizeof id, "%s", begin("{\"kind\":\"doctor\"}"));
    atomic_store(&step, 3);
    json_t *o = wait_for(id, "failed", ""), *error = json_object_get(o, "error");
    assert_string_equal(text_at(error, "code"), "internal");
    assert_string_equal(text_at(error, "message"), reason);
    assert_true(json_is_false(json_object_get(o, "has_report")));
    failure = NULL;
    json_decref(o);
}

/* Until the words come. */
static void read_until(int fd, const char *words) {
    while (!strstr(reply, words))
        if (read_piece(fd, PATIENCE_MS) <= 0) fail_msg("Silent, and no %s: %.2000s", words, reply);
}

static int listen_to_all(void) {
    static const char text[] = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    int fd = dial(the.port);
    send_bytes(fd, text, sizeof text - 1);
    begin_reply();
    return fd;
}

static void tells_events(void **state) {
    (void)state;
    atomic_store(&step, 0);
    int asking = dial(the.port);
    int fd = listen_to_all();
    read_until(fd, "event: check"); /* those that have been */
    static const char order[] = "POST /api/v1/checks HTTP/1.1\r\nHost: "
                                "localhost\r\nContent-Length: 17\r\n\r\n{\"kind\":\"doctor\"}";
    begin_reply();
    send_bytes(asking, order, sizeof order - 1);
    read_until(fd, "\"words\":\"loading\"");
    atomic_store(&step, 1);
    read_until(fd, "\"fraction\":0.5");
    atomic_store(&step, 2);
    read_until(fd, "\"fraction\":1");
    int late = listen_to_all(); /* another page */
    read_until(late, "\"words\":\"beyond\"");
    assert_null(strstr(reply, "\"report\":"));
    close(late);
    begin_reply();
    atomic_store(&step, 3);
    read_until(fd, "\"state\":\"done\"");
    assert_non_null(strstr(reply, "event: check\ndata: {\"id\":"));
    close(fd);
    close(asking);
}

/* ---- a real one ---- */

static FILE *output;

static pid_t start_command(int *port) {
    int out[2];
    char line[200] = "";
    path_text data = path_of("%s/real", the.folder.text);
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], 1);
        for (int fd = 3; fd < 64; fd++) close(fd);
        execl(getenv("MEBI"), "mebi", "serve", "-m", "models/mini", "--port", "0", "--log", "none",
              "--data", data.text, NULL);
        _exit(99);
    }
    close(out[1]);
    output = fdopen(out[0], "r");
    assert_non_null(output);
    assert_non_null(fgets(line, sizeof line, output));
    const char *colon = strrchr(line, ':');
    assert_non_null(colon);
    *port = atoi(colon + 1);
    return pid;
}

static void runs_the_real_doctor(void **state) {
    int port, moved = 0;
    char words[80] = "", reported[80] = "";
    double fraction = 0, before = 0;
    (void)state;
    pid_t pid = start_command(&port);
    wait_until_ready(port);
    assert_status(ask(port, "POST /api/v1/checks", "{\"kind\":\"doctor\",\"quick\":true}"), 202);
    for (int i = 0; i < 3000 && !*reported; i++) {
        json_t *o = check_of(port, "check-1");
        if (strcmp(text_at(o, "state"), "failed") == 0) fail_msg("%s", body);
        assert_int_equal(json_unpack(o, "{s:{s:F}}", "progress", "fraction", &fraction), 0);
        assert_true(fraction >= before);
        moved += fraction > before && fraction < 1;
        before = fraction;
        if (strncmp(progress_words(o), "run ", 4) == 0)
            snprintf(words, sizeof words, "%s", progress_words(o));
        snprintf(reported, sizeof reported, "%s", text_at(json_object_get(o, "report"), "verdict"));
        json_decref(o);
        nap_ms(40);
    }
    kill(pid, SIGTERM);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    fclose(output);
    assert_true(*reported != 0);
    if (moved < 3) fail_msg("Progress moved %d times", moved);
    assert_non_null(strstr(words, " of 4: "));
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(progress_moves),       cmocka_unit_test(lists_the_newest_first),
        cmocka_unit_test(keeps_the_last_eight), cmocka_unit_test(says_why_one_failed),
        cmocka_unit_test(tells_events),         cmocka_unit_test(runs_the_real_doctor),
    };
    return cmocka_run_group_tests(tests, start, end);
}

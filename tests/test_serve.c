/* `mebi serve` as its user starts and ends it: addresses told, signals, --finish, what was accepted. */
#include "cli_run.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static char answer[1 << 16];

/* A whole exchange with the server that was started; the answer's status. */
static int ask(int port, const char *line, const char *json) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    char text[1024];
    int bytes = snprintf(text, sizeof text,
                         "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                         "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                         line, strlen(json), json);
    assert_int_equal(send(fd, text, (size_t)bytes, MSG_NOSIGNAL), bytes);
    size_t length = 0;
    for (ssize_t n; (n = recv(fd, answer + length, sizeof answer - 1 - length, 0)) > 0;) length += (size_t)n;
    answer[length] = 0;
    close(fd);
    return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

/* Starts it over the folder ./data; its port, once the model is open. */
static int serve(const char *more) {
    child_start(&(start_how){0}, WORDS("serve", "-m", TINY, "--port", "0", "--data", "data", more), -1);
    const char *at, *end;
    for (int64_t until = now_ms() + PATIENCE_MS;
         !(at = strstr(ran.out.text, "127.0.0.1:")) || !(end = strchr(at, '/'));)
        if (!child_listen() || now_ms() > until) child_give_up("no address was told");
    int port = atoi(at + strlen("127.0.0.1:"));
    for (int i = 0; ask(port, "GET /healthz", "") != 200; i++) {
        if (i == 600) child_give_up("the model was not opened");
        nap_ms(50);
    }
    return port;
}

static void await_in_jobs(int port, const char *words) {
    for (int64_t until = now_ms() + PATIENCE_MS;; nap_ms(10)) {
        if (ask(port, "GET /api/v1/jobs", "") == 200 && strstr(answer, words)) return;
        if (now_ms() > until) child_give_up(words);
    }
}

/* A job that takes a second or more, and has done some steps. */
static void order_long_job(int port) {
    assert_int_equal(ask(port, "POST /api/v1/jobs",
                         "{\"prompt\":\"a\",\"width\":256,\"height\":256,\"steps\":120,\"seed\":1}"), 202);
    await_in_jobs(port, "\"running\"");
    for (int64_t until = now_ms() + PATIENCE_MS; strstr(answer, "\"step\":0,") || !strstr(answer, "\"step\":");
         nap_ms(5)) {
        assert_int_equal(ask(port, "GET /api/v1/jobs", ""), 200);
        if (now_ms() > until) child_give_up(answer);
    }
    assert_non_null(strstr(answer, "\"running\""));
}

static void parks_at_a_signal_and_goes_on(void **state) {
    (void)state;
    int port = serve(NULL);
    order_long_job(port);
    kill(ran.pid, SIGTERM);
    assert_code(child_end(), 0);
    assert_said("ending. A second signal ends at once.");
    assert_int_equal(count_files(".png"), 0);
    port = serve(NULL);
    await_in_jobs(port, "\"done\"");
    kill(ran.pid, SIGINT);
    assert_code(child_end(), 0);
    assert_int_equal(count_files(".png"), 1);
}

static void finishes_first_if_told(void **state) {
    (void)state;
    order_long_job(serve("--finish"));
    kill(ran.pid, SIGTERM);
    assert_code(child_end(), 0);
    assert_said("ending after the job under way.");
    assert_int_equal(count_files(".png"), 1);
}

static void a_second_signal_ends_at_once(void **state) {
    (void)state;
    order_long_job(serve("--finish"));
    kill(ran.pid, SIGTERM);
    child_await_words("A second signal ends at once.");
    kill(ran.pid, SIGTERM);
    assert_code(child_end(), -SIGTERM);
    assert_int_equal(count_files(".png"), 0);
    int port = serve(NULL);
    await_in_jobs(port, "\"done\"");
    kill(ran.pid, SIGTERM);
    assert_code(child_end(), 0);
    assert_int_equal(count_files(".png"), 1);
}

#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, enter_folder, leave_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(parks_at_a_signal_and_goes_on),
        IN_FOLDER(finishes_first_if_told),
        IN_FOLDER(a_second_signal_ends_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

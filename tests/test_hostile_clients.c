/* Hostile clients: who guesses tokens, who is slow, who is many, who goes. */
#include "hostile.h"

#include "server/connection.h"
#include "server/guard.h"

#include <signal.h>

enum { CONNECTIONS = 40 };

static running guarded;
static fake guarded_painter;

static int start(void **state) {
    mebi_error err = {0};
    (void)state;
    const mebi__http_limits quick = {
        .request_seconds = 2, .idle_seconds = 2, .connections = CONNECTIONS};
    start_hostile((mebi__server_params){.limits = quick});
    guarded.folder = jobs_folder();
    guarded.token_file = path_of("%s/token", guarded.folder.text);
    write_text(guarded.token_file.text, TOKEN "\n");
    pthread_mutex_init(&guarded_painter.lock, NULL);
    assert_mebi_ok(start_server(&guarded,
                                (mebi__server_params){.token_file = guarded.token_file.text,
                                                      .engine = {&guarded_painter, fake_open,
                                                                 fake_close, fake_describe,
                                                                 fake_plan, fake_generate, NULL}},
                                &err),
                   &err);
    wait_until_ready(guarded.port);
    return 0;
}

static int end(void **state) {
    (void)state;
    end_server(&guarded);
    pthread_mutex_destroy(&guarded_painter.lock);
    return end_hostile();
}

/* ---- tokens ---- */

static void guesses_no_token(void **state) {
    /* clang-format off */
    static const char *const wrong[] = {
        "Bearer", "Bearer ", "Bearer x", "Bearer 0123456789abcdef0123456789abcde", "Bearer " TOKEN "0",
        "Bearer " TOKEN TOKEN,
        "Bearer 0123456789ABCDEF0123456789ABCDEF", "Bearer \"" TOKEN "\"", "Bearer " TOKEN ",", "Token " TOKEN, TOKEN,
        "Basic", "Basic ", "Basic !!", "Basic " TOKEN, "Basic OjAxMjM=", "Basic dXNlcjo=", "Basic dXNlcg==",
        "Basic ====", "Basic OjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVmAA==", "Digest username=\"x\"",
        "Bearer \xff\xfe", MARK};
    /* clang-format on */
    static const char *const cookies[] = {
        "mebi_0=",
        "mebi_0=" TOKEN,
        "mebi_0=" TOKEN TOKEN,
        "mebi_0=\xff",
        "mebi_0=0; mebi_0=1",
        "mebi_0=00000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000000000000000000",
        "mebi_=x; mebi_00=y",
        "; ; =; mebi_0"};
    char head[300];
    at = &guarded;
    (void)state;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        sender = 1 + (int)i / 6;
        snprintf(head, sizeof head, "Authorization: %s\r\n", wrong[i]);
        int status = send_typed("GET /api/v1/jobs", head, NULL, NULL, 0);
        assert_null(strstr(reply, TOKEN));
        check_row(wrong[i], status, 401, 0, jobs_made());
    }
    for (size_t i = 0; i < COUNT(cookies); i++) {
        snprintf(head, sizeof head, "Cookie: %s\r\n", cookies[i]);
        check_row(cookies[i], send_typed("GET /metrics", head, NULL, NULL, 0), 401, 0, jobs_made());
    }
    check_row("two tokens",
              send_typed("GET /api/v1/jobs",
                         "Authorization: Bearer x\r\nAuthorization: Bearer " TOKEN "\r\n", NULL,
                         NULL, 0),
              400, 0, jobs_made());
    check_row("the token in the address", send_line("GET /api/v1/jobs?token=" TOKEN), 401, 0,
              jobs_made());
    check_row("an order without", send_json("POST /api/v1/jobs", "{\"prompt\":\"a\"}", 14), 401, 0,
              jobs_made());
    static const char *const bodies[] = {"{}", "{\"token\":null}", "{\"token\":7}",
                                         "{\"token\":[\"" TOKEN "\"]}",
                                         "{\"token\":\"x\",\"admin\":true}"};
    for (size_t i = 0; i < COUNT(bodies); i++)
        check_row(bodies[i], send_json("POST /api/v1/session", bodies[i], strlen(bodies[i])), 422,
                  0, jobs_made());
    check_row("a hostile body without", send_json("POST /api/v1/jobs", "[[[[", 4), 401, 0,
              jobs_made());
    check_row("the token itself",
              send_typed("GET /api/v1/jobs", "Authorization: Bearer " TOKEN "\r\n", NULL, NULL, 0),
              200, 0, jobs_made());
    sender = 0;
    at = &the;
}

/* An address that guesses waits, and the others do not. */
static void guesses_have_an_end(void **state) {
    (void)state;
    at = &guarded;
    sender = 100;
    for (int i = 0; i < MEBI__GUARD_TRIES; i++) {
        int status =
            i % 2 ? send_typed("GET /api/v1/jobs", "Authorization: Bearer guess\r\n", NULL, NULL, 0)
                  : send_json("POST /api/v1/session", "{\"token\":\"guess\"}", 17);
        check_row("a guess", status, 401, 0, jobs_made());
    }
    int status = send_json("POST /api/v1/session", "{\"token\":\"guess\"}", 17);
    assert_true(has_head("Retry-After: "));
    check_row("one too many", status, 429, 0, jobs_made());
    check_row("the token, too late",
              send_typed("GET /api/v1/jobs", "Authorization: Bearer " TOKEN "\r\n", NULL, NULL, 0),
              429, 0, jobs_made());
    check_row("by another name",
              send_typed("GET /api/v1/jobs",
                         "X-Forwarded-For: 10.0.0.1\r\nAuthorization: Bearer guess\r\n", NULL, NULL,
                         0),
              429, 0, jobs_made());
    sender = 101;
    check_row("from elsewhere",
              send_typed("GET /api/v1/jobs", "Authorization: Bearer " TOKEN "\r\n", NULL, NULL, 0),
              200, 0, jobs_made());
    sender = 0;
    at = &the;
}

/* ---- slow ones, many ---- */

/* All at once: a byte now and then keeps a connection from being idle, but not from being cut. */
static void slow_ones_are_cut(void **state) {
    static char values[1200] =
        "GET /healthz?"; /* more than the HTTP library has room for: it waits, or ends it, as it happens */
    for (int i = 0; i < 500; i++) strcat(values, "a&");
    strcat(values, " HTTP/1.1\r\n" HOST "\r\n");
    /* clang-format off */
    const struct {
        const char *text, *drop; /* what is sent at once, and then each 0.2 s; NULL: nothing */
    } cases[] = {{"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ", "a"},
                 {"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", "a:b\r\n"},
                 {"", "\r\n"},
                 {"G", "E"},
                 {"POST /api/v1/plan HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n", " "},
                 {"POST /api/v1/plan HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"},
                 {"POST /api/v1/plan HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2;", "x"},
                 {"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", NULL},
                 {values, NULL},
                 {"", NULL}};
    /* clang-format on */
    enum { SLOW = COUNT(cases) };
    int fd[SLOW], cut[SLOW] = {0}, left = SLOW;
    double began = mebi__now_seconds();
    (void)state;
    for (int i = 0; i < SLOW; i++) {
        fd[i] = dial(the.port);
        asked++;
        send_bytes(fd[i], cases[i].text, strlen(cases[i].text));
    }
    while (left > 0 && mebi__now_seconds() - began < 15) {
        nap_ms(200);
        for (int i = 0; i < SLOW; i++) {
            if (cut[i]) continue;
            if (cases[i].drop) send_bytes(fd[i], cases[i].drop, strlen(cases[i].drop));
            begin_reply();
            int more;
            while ((more = read_piece(fd[i], 0)) > 0) {
            }
            if (more != 0) continue;
            double after = mebi__now_seconds() - began;
            if (after <= 1 && cases[i].text != values)
                fail_msg("The slow one %d is cut after %.2f s: %.200s", i, after, reply);
            cut[i] = 1, left--;
        }
        check_life("slow ones");
    }
    for (int i = 0; i < SLOW; i++) {
        if (!cut[i]) fail_msg("The slow one %d is not cut", i);
        close(fd[i]);
    }
}

static int connections(void) {
    return mebi__http_count(mebi__server_http(the.server)).connections;
}

static void await_connections(int most) {
    for (int i = 0; i < 1000 && connections() > most; i++) nap_ms(10);
    assert_true(connections() <= most);
}

/* More than there may be: those beyond are closed at once, and who comes after they have gone is
 * answered. */
static void many_are_too_many(void **state) {
    enum { MANY = CONNECTIONS + 20 };
    int fd[MANY], closed = 0;
    (void)state;
    await_connections(0);
    for (int i = 0; i < MANY; i++) fd[i] = dial(the.port), asked++;
    for (int i = 0; i < MANY; i++) {
        begin_reply();
        closed += read_piece(fd[i], 10) == 0;
    }
    /* Each thread but one may take one more, for two that come at once are counted one after the
     * other. */
    if (closed > 20 || closed < 17) fail_msg("%d of %d are closed", closed, MANY);
    for (int i = 0; i < MANY; i++) close(fd[i]);
    await_connections(0);
    check_life("many");
}

/* Whose end came with their last bytes, so that there is nothing more to be told of it. */
static void gone_ones_leave_their_place(void **state) {
    static const char *const texts[] = {
        "GET /heal", "POST /api/v1/plan HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"};
    (void)state;
    await_connections(0);
    for (int i = 0; i < CONNECTIONS - 2; i++) {
        int fd = dial(the.port);
        asked++;
        send_bytes(fd, texts[i % 2], strlen(texts[i % 2]));
        close(fd);
    }
    await_connections(0);
    check_life("gone ones");
}

static struct sockaddr_in6 six(const char *text) {
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    assert_int_equal(inet_pton(AF_INET6, text, &a.sin6_addr), 1);
    return a;
}

/* Of other machines each has a share; this one has all. IPv4 in IPv6's clothes is IPv4. */
static void one_address_has_a_share(void **state) {
    mebi__connections all = {.most = 10, .most_of_one = 2};
    struct sockaddr_in6 one = six("2001:db8::1"), two = six("2001:db8::2"), own = six("::1"),
                        dressed = six("::ffff:10.0.0.1");
    struct sockaddr_in plain = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000001)};
    const struct sockaddr *from[] = {(void *)&one, (void *)&one, (void *)&dressed, (void *)&plain,
                                     (void *)&own, (void *)&own, (void *)&own};
    mebi__connection *taken[10];
    int count = 0;
    (void)state;
    pthread_mutex_init(&all.lock, NULL);
    for (size_t i = 0; i < COUNT(from); i++) {
        assert_true(mebi__connections_may(&all, from[i]));
        assert_non_null(taken[count++] = mebi__connections_add(&all, -1, from[i]));
    }
    assert_false(mebi__connections_may(&all, (void *)&one));
    assert_false(mebi__connections_may(&all, (void *)&dressed));
    assert_false(mebi__connections_may(&all, (void *)&plain));
    assert_true(mebi__connections_may(&all, (void *)&two));
    while (count < 10)
        assert_non_null(taken[count++] = mebi__connections_add(&all, -1, (void *)&own));
    assert_false(mebi__connections_may(&all, (void *)&two));
    while (count > 0) mebi__connections_remove(&all, taken[--count]);
    pthread_mutex_destroy(&all.lock);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guesses_no_token),
        cmocka_unit_test(guesses_have_an_end),
        cmocka_unit_test(slow_ones_are_cut),
        cmocka_unit_test(many_are_too_many),
        cmocka_unit_test(gone_ones_leave_their_place),
        cmocka_unit_test(one_address_has_a_share),
        cmocka_unit_test(keeps_its_log_whole),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, start, end);
}

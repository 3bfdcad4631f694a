/* The server's outer shell: its addresses, its pages, who may ask, and how it begins and ends. What it is sent by who
 * means it ill is test_hostile.c. */
#include "server_client.h"

#include "server/assets.h"
#include "server/fields.h"
#include "server/guard.h"
#include "server/http.h"
#include "server/moment.h"
#include "server/routes.h"
#include "server/uri.h"
#include "server/utf8.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#define TOKEN "0123456789abcdef0123456789abcdef"

static running open_one, guarded; /* without a token; with one */

static int start_both(void **state) {
    mebi_error err = {0};
    (void)state;
    open_one.folder = make_folder();
    guarded.folder = make_folder();
    guarded.token_file = path_of("%s/token", guarded.folder.text);
    write_text(guarded.token_file.text, TOKEN "\n");
    assert_mebi_ok(start_server(&open_one, (mebi__server_params){.port = 0}, &err), &err);
    assert_mebi_ok(
        start_server(&guarded, (mebi__server_params){.token_file = guarded.token_file.text}, &err),
        &err);
    wait_until_ready(open_one.port);
    return 0;
}

static int end_both(void **state) {
    (void)state;
    end_server(&open_one);
    end_server(&guarded);
    return mebi__memory_held(MEBI__TAG_COUNT) == 0 ? 0 : -1;
}

static int get(const char *line) {
    return ask(open_one.port, line, NULL);
}

/* ---- routes ---- */

static void answers_and_refuses(void **state) {
    (void)state;
    assert_status(get("GET /healthz"), 200);
    assert_non_null(strstr(body, "{\"status\":\"ok\"}"));
    assert_status(get("GET /"), 200);
    assert_true(has_head("Content-Security-Policy: default-src 'self'"));
    assert_true(has_head("X-Content-Type-Options: nosniff"));
    assert_true(has_head("Referrer-Policy: no-referrer"));
    assert_false(has_head("Access-Control-"));
    assert_error(get("GET /api/v1/nothing"), 404, "not_found");
    assert_error(get("GET /assets/none.js"), 404, "not_found");
    assert_status(get("PUT /api/v1/jobs"), 405);
    assert_true(has_head("Allow: GET, HEAD, POST"));
    assert_status(get("BREW /healthz"), 405);
    assert_status(get("OPTIONS /api/v1/jobs"), 405);
    /* Not those of /api/v1/images/{id}. */
    assert_status(get("DELETE /api/v1/images/zip"), 405);
    assert_true(has_head("Allow: POST\r\n"));
    assert_false(has_head("Access-Control-"));
    assert_status(get("HEAD /healthz"), 200);
    assert_string_equal(body, "");
}

static int is_described(const json_t *paths, const mebi__route *r) {
    char method[8];
    snprintf(method, sizeof method, "%s", mebi__method_name(r->method));
    for (char *p = method; *p; p++) *p = (char)(*p + 32);
    return json_is_object(json_object_get(json_object_get(paths, r->pattern), method));
}

/* The description has the table's addresses and no others, and what it refers to is there. */
static void is_described_truly(void **state) {
    (void)state;
    json_t *o = get_json(open_one.port, "/api/openapi.json"), *paths = json_object_get(o, "paths"),
           *one, *method;
    const char *path, *name;
    int routes = 0, described = 0;
    assert_string_equal(text_at(o, "openapi"), "3.1.0");
    for (int i = 0; i < mebi__route_count; i++) {
        const mebi__route *r = &mebi__routes[i];
        if (r->flags & MEBI__ROUTE_PAGE) continue;
        if (!is_described(paths, r))
            fail_msg("%s %s is not described", mebi__method_name(r->method), r->pattern);
        routes++;
    }
    json_object_foreach(paths, path, one) json_object_foreach(one, name, method) {
        described++;
        assert_true(json_is_string(json_object_get(method, "summary")));
        assert_true(json_object_size(json_object_get(method, "responses")) > 0);
    }
    assert_int_equal(described, routes);
    const json_t *schemas = json_object_get(json_object_get(o, "components"), "schemas");
    char *text = json_dumps(o, 0);
    for (const char *p = text; (p = strstr(p, "#/components/schemas/"));) {
        p += strlen("#/components/schemas/");
        char wanted[60];
        snprintf(wanted, sizeof wanted, "%.*s", (int)strcspn(p, "\""), p);
        if (!json_object_get(schemas, wanted)) fail_msg("There is no schema %s", wanted);
    }
    free(text);
    json_decref(o);
}

static void pages_are_cached_by_what_they_hold(void **state) {
    char line[100], tag[60] = "";
    (void)state;
    assert_status(get("GET /api/openapi.json"), 200);
    sscanf(strcasestr(reply, "ETag: "), "ETag: %50s", tag);
    snprintf(line, sizeof line, "If-None-Match: %s\r\n", tag);
    assert_status(ask_with(open_one.port, "GET /api/openapi.json", line, NULL), 304);
    assert_string_equal(body, "");
    assert_status(
        ask_with(open_one.port, "GET /api/openapi.json", "If-None-Match: \"other\"\r\n", NULL),
        200);
    assert_status(
        ask_with(open_one.port, "GET /api/openapi.json", "Accept-Encoding: br, gzip\r\n", NULL),
        200);
    assert_true(has_head("Content-Encoding: gzip"));
    assert_memory_equal(body, "\x1f\x8b", 2);
    assert_status(
        ask_with(open_one.port, "GET /api/openapi.json", "Accept-Encoding: gzip;q=0\r\n", NULL),
        200);
    assert_false(has_head("Content-Encoding"));
    assert_int_equal(body[0], '{');
}

/* ---- tokens ---- */

static int ask_guarded(const char *line, const char *head, const char *data) {
    return ask_with(guarded.port, line, head, data);
}

static void tokens_are_asked_for(void **state) {
    (void)state;
    assert_status(ask_guarded("GET /", "", NULL), 200);
    assert_int_not_equal(ask_guarded("GET /healthz", "", NULL), 401);
    assert_error(ask_guarded("GET /api/v1/jobs", "", NULL), 401, "unauthorized");
    assert_error(ask_guarded("GET /metrics", "", NULL), 401, "unauthorized");
    assert_error(ask_guarded("GET /api/v1/events", "", NULL), 401, "unauthorized");
    assert_error(ask_guarded("POST /api/v1/jobs", "", "{\"prompt\":\"a\"}"), 401, "unauthorized");
    assert_null(strstr(reply, TOKEN));
    assert_status(ask_guarded("GET /api/v1/jobs", "Authorization: Bearer " TOKEN "\r\n", NULL),
                  200);
    /* printf 'user:TOKEN' | base64 */
    assert_status(
        ask_guarded("GET /api/v1/jobs",
                    "Authorization: Basic dXNlcjowMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==\r\n",
                    NULL),
        200);
    static const char *const wrong[] = {"Bearer ", "Bearer 0123456789abcdef0123456789abcdee",
                                        "Basic !!", "Digest x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char head[200];
        snprintf(head, sizeof head, "Authorization: %s\r\n", wrong[i]);
        assert_error(ask_guarded("GET /api/v1/jobs", head, NULL), 401, "unauthorized");
    }
    assert_status(ask_guarded("GET /api/v1/jobs?token=" TOKEN, "", NULL), 401);
}

static void logs_in_and_out(void **state) {
    char cookie[200], pair[160] = "";
    (void)state;
    assert_status(ask_guarded("GET /api/v1/session", "", NULL), 200);
    assert_non_null(strstr(body, "needed"));
    assert_error(ask_guarded("POST /api/v1/session", "Origin: https://evil.example\r\n",
                             "{\"token\":\"" TOKEN "\"}"),
                 403, "forbidden");
    assert_error(ask_guarded("POST /api/v1/session", "", "{\"token\":\"" TOKEN "0\"}"), 401,
                 "unauthorized");
    assert_false(has_head("Set-Cookie"));
    assert_status(ask_guarded("POST /api/v1/session", "", "{\"token\":\"" TOKEN "\"}"), 200);
    assert_true(has_head("HttpOnly; SameSite=Strict"));
    sscanf(strcasestr(reply, "Set-Cookie: "), "Set-Cookie: %150[^;]", pair);
    snprintf(cookie, sizeof cookie, "Cookie: other=1; %s\r\n", pair);
    assert_status(ask_guarded("GET /api/v1/jobs", cookie, NULL), 200);
    assert_status(ask_guarded("GET /api/v1/session", cookie, NULL), 200);
    assert_non_null(strstr(body, "done"));
    assert_status(ask_guarded("DELETE /api/v1/session", cookie, NULL), 200);
    assert_error(ask_guarded("GET /api/v1/jobs", cookie, NULL), 401, "unauthorized");
    assert_status(ask(open_one.port, "GET /api/v1/session", NULL), 200);
    assert_non_null(strstr(body, "none"));
    assert_error(ask(open_one.port, "POST /api/v1/session", "{}"), 422, "bad_request");
}

/* Runs last of those with a token: this address is kept out after it. */
static void guesses_have_an_end(void **state) {
    (void)state;
    int status = 0, tries = 0;
    while (status != 429 && tries++ < 20)
        status = ask_guarded("POST /api/v1/session", "", "{\"token\":\"guess\"}");
    assert_int_equal(status, 429);
    assert_true(has_head("Retry-After: "));
    assert_true(tries <= MEBI__GUARD_TRIES + 1);
    assert_status(ask_guarded("POST /api/v1/session", "", "{\"token\":\"" TOKEN "\"}"), 429);
    assert_status(ask_guarded("GET /api/v1/jobs", "Authorization: Bearer " TOKEN "\r\n", NULL),
                  429);
}

/* ---- starting ---- */

static void assert_not_started(mebi__server_params p, mebi_status status, const char *words) {
    running r = {.folder = make_folder()};
    mebi_error err = {0};
    mebi_status got = start_server(&r, p, &err);
    if (got != status || !strstr(err.text, words))
        fail_msg("%d, \"%s\", not %d, \"%s\"", got, err.text, status, words);
    assert_null(r.server);
    remove_path(r.folder.text);
}

static void refuses_to_start(void **state) {
    (void)state;
    path_text folder = make_folder(), file = path_of("%s/t", folder.text);
    assert_not_started((mebi__server_params){.address = "0.0.0.0"}, MEBI_BAD_ARGUMENT,
                       "--token-file");
    assert_not_started((mebi__server_params){.address = "::"}, MEBI_BAD_ARGUMENT, "--token-file");
    assert_not_started((mebi__server_params){.address = "127.0.0.1", .port = open_one.port},
                       MEBI_IO, "is taken by another program");
    assert_not_started((mebi__server_params){.token_file = "/nowhere/token"}, MEBI_IO,
                       "/nowhere/token");
    write_text(file.text, "short\n");
    assert_not_started((mebi__server_params){.token_file = file.text}, MEBI_BAD_FILE,
                       "openssl rand");
    write_text(file.text, "two words that are long enough\n");
    assert_not_started((mebi__server_params){.token_file = file.text}, MEBI_BAD_FILE,
                       "without spaces");
    write_text(file.text, TOKEN);
    assert_not_started((mebi__server_params){.token_file = file.text, .address = "example.org"},
                       MEBI_BAD_ARGUMENT, "is no address");
    assert_not_started((mebi__server_params){.token_file = file.text, .address = "203.0.113.7"},
                       MEBI_IO, "is no address of this machine");
    assert_not_started((mebi__server_params){.host_names = "http://a"}, MEBI_BAD_ARGUMENT,
                       "is no host name");
    remove_path(folder.text);
}

static void listens_for_others_with_a_token(void **state) {
    running r = {.folder = make_folder()};
    mebi_error err = {0};
    (void)state;
    r.token_file = path_of("%s/token", r.folder.text);
    write_text(r.token_file.text, TOKEN);
    assert_mebi_ok(
        start_server(
            &r, (mebi__server_params){.address = "0.0.0.0", .token_file = r.token_file.text}, &err),
        &err);
    assert_status(ask(r.port, "GET /api/v1/jobs", NULL), 401);
    assert_status(ask_with(r.port, "GET /api/v1/jobs", "Authorization: Bearer " TOKEN "\r\n", NULL),
                  200);
    end_server(&r);
}

/* ---- parts ---- */

static void reads_queries(void **state) {
    char to[8];
    (void)state;
    assert_int_equal(mebi__uri_value("a=1&b=x%20y+z&c", "b", to, sizeof to), 1);
    assert_string_equal(to, "x y z");
    assert_int_equal(mebi__uri_value("a=1&b=2&c", "c", to, sizeof to), 1);
    assert_string_equal(to, "");
    assert_int_equal(mebi__uri_value("ab=1", "a", to, sizeof to), 0);
    static const char *const bad[] = {"a=%00", "a=%0a", "a=%",        "a=%4",
                                      "a=%zz", "a=%ff", "a=12345678", "a=1&a=2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(mebi__uri_value(bad[i], "a", to, sizeof to), -1);
}

static void reads_moments(void **state) {
    char text[MEBI__MOMENT_BYTES];
    int64_t ms;
    (void)state;
    assert_true(mebi__moment_read("2026-12-31T23:59:59.123Z", &ms));
    mebi__moment_text(ms, text);
    assert_string_equal(text, "2026-12-31T23:59:59.123Z");
    assert_true(mebi__moment_read("1970-01-02", &ms));
    assert_int_equal(ms, 86400000);
    static const char *const bad[] = {"",
                                      "2026",
                                      "2026-13-01",
                                      "2026-01-01T",
                                      "2026-01-01T00:00:00",
                                      "2026-01-01 00:00:00Z",
                                      "2026-01-01T00:00:00.1Z",
                                      "2026-01-01x",
                                      "-026-01-01"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(mebi__moment_read(bad[i], &ms));
}

static void knows_utf8(void **state) {
    (void)state;
    assert_true(mebi__utf8_good("a\xc3\xa4\xe4\xb8\xad\xf0\x9f\x8d\x8e", 10));
    static const char *const bad[] = {"\x80",
                                      "\xc3",
                                      "\xc0\xaf",
                                      "\xe0\x80\xaf",
                                      "\xed\xa0\x80",
                                      "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "\xe4\xb8"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(mebi__utf8_good(bad[i], strlen(bad[i])));
}

/* ---- the command ---- */

/* Starts it with these words; *out: its standard output. */
static pid_t start_command(const char *const *words, int *out) {
    int ends[2];
    char *argv[24] = {(char *)(uintptr_t) "mebi"};
    for (int i = 0; words[i]; i++) argv[i + 1] = (char *)(uintptr_t)words[i];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        execv(getenv("MEBI"), argv);
        _exit(99);
    }
    close(ends[1]);
    *out = ends[0];
    return pid;
}

/* All it says from now on; its exit code. */
static int end_command(pid_t pid, int out, char *said, size_t room) {
    size_t n = 0;
    int status;
    for (ssize_t got; n + 1 < room && (got = read(out, said + n, room - 1 - n)) > 0;)
        n += (size_t)got;
    said[n] = 0;
    close(out);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void serves_until_a_signal(void **state) {
    static char said[1 << 16];
    int out, port = 0;
    path_text folder = make_folder();
    (void)state;
    pid_t pid = start_command((const char *const[]){"serve", "-m", "models/mini", "--port", "0",
                                                    "--data", folder.text, "--log", "json", NULL},
                              &out);
    size_t n = 0;
    while (!strstr(said, "/\n") && n + 1 < sizeof said) {
        ssize_t got = read(out, said + n, sizeof said - 1 - n);
        assert_true(got > 0);
        n += (size_t)got;
        said[n] = 0;
    }
    assert_int_equal(
        sscanf(strstr(said, "mebi listens on "), "mebi listens on http://127.0.0.1:%d/", &port), 1);
    assert_int_not_equal(ask_with(port, "GET /healthz?secret=1", "Cookie: secret=2\r\n", NULL), 0);
    char digits[12];
    snprintf(digits, sizeof digits, "%d", port);
    int other;
    pid_t second = start_command((const char *const[]){"serve", "-m", "models/mini", "--port",
                                                       digits, "--data", "/tmp/mebi-none", NULL},
                                 &other);
    static char words[1 << 16];
    assert_int_equal(end_command(second, other, words, sizeof words), 1);
    assert_non_null(strstr(words, "is taken by another program"));
    kill(pid, SIGTERM);
    assert_int_equal(end_command(pid, out, words, sizeof words), 0);
    assert_non_null(strstr(words, "\"path\":\"/healthz\""));
    assert_null(strstr(words, "secret"));
    remove_path(folder.text);
    remove_path("/tmp/mebi-none");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_queries),
        cmocka_unit_test(reads_moments),
        cmocka_unit_test(knows_utf8),
        cmocka_unit_test(answers_and_refuses),
        cmocka_unit_test(is_described_truly),
        cmocka_unit_test(pages_are_cached_by_what_they_hold),
        cmocka_unit_test(tokens_are_asked_for),
        cmocka_unit_test(logs_in_and_out),
        cmocka_unit_test(guesses_have_an_end),
        cmocka_unit_test(refuses_to_start),
        cmocka_unit_test(listens_for_others_with_a_token),
        cmocka_unit_test(serves_until_a_signal),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, start_both, end_both);
}

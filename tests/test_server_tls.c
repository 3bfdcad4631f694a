/* HTTPS: a certificate made here, a client of GnuTLS's, and the files a server refuses to begin
 * with. */
#include "server_client.h"

#include "server/tls.h"

#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#define TOKEN          "0123456789abcdef0123456789abcdef"
#define SECONDS_OF_DAY 86400

static running served, guarded; /* without a token; with one, for all addresses */
static path_text files;         /* certificates and keys */

static const char *file(const char *name) {
    static path_text texts[4];
    static int next;
    path_text *t = &texts[next++ % 4];
    *t = path_of("%s/%s", files.text, name);
    return t->text;
}

/* ---- certificates ---- */

static void write_pem(const char *name, const gnutls_datum_t *pem) {
    FILE *f = fopen(file(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(pem->data, 1, pem->size, f), pem->size);
    fclose(f);
    assert_int_equal(chmod(file(name), 0600), 0);
}

static gnutls_x509_privkey_t make_key(const char *name) {
    gnutls_x509_privkey_t key;
    gnutls_datum_t pem;
    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(gnutls_x509_privkey_generate(
                         key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                     0);
    assert_int_equal(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem), 0);
    write_pem(name, &pem);
    gnutls_free(pem.data);
    return key;
}

/* Signed by itself, valid between two days from now. */
static void make_certificate(const char *name, gnutls_x509_privkey_t key, int from, int to) {
    gnutls_x509_crt_t crt;
    gnutls_datum_t pem;
    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(crt, "\1", 1), 0);
    assert_int_equal(gnutls_x509_crt_set_dn(crt, "CN=localhost", NULL), 0);
    assert_int_equal(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "localhost", 9,
                                                          GNUTLS_FSAN_SET),
                     0);
    assert_int_equal(
        gnutls_x509_crt_set_activation_time(crt, time(NULL) + (time_t)from * SECONDS_OF_DAY), 0);
    assert_int_equal(
        gnutls_x509_crt_set_expiration_time(crt, time(NULL) + (time_t)to * SECONDS_OF_DAY), 0);
    assert_int_equal(gnutls_x509_crt_set_key(crt, key), 0);
    assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), 0);
    write_pem(name, &pem);
    gnutls_free(pem.data);
    gnutls_x509_crt_deinit(crt);
}

static void make_files(void) {
    gnutls_x509_privkey_t key = make_key("key"), other = make_key("other");
    gnutls_datum_t pem;
    make_certificate("cert", key, -1, 2);
    make_certificate("past", key, -9, -2);
    make_certificate("future", key, 3, 9);
    assert_int_equal(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, "word",
                                                       GNUTLS_PKCS_PBES2_AES_256, &pem),
                     0);
    write_pem("locked", &pem);
    gnutls_free(pem.data);
    gnutls_x509_privkey_deinit(key);
    gnutls_x509_privkey_deinit(other);
    write_text(file("words"), "hello\n");
    write_text(file("empty"), "");
    write_text(file("broken"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    write_text(file("broken_key"),
               "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
}

/* ---- a client ---- */

typedef struct line {
    int fd;
    gnutls_session_t session;
    gnutls_certificate_credentials_t trust;
} line;

static void hang_up(line *l) {
    gnutls_deinit(l->session);
    gnutls_certificate_free_credentials(l->trust);
    close(l->fd);
}

/* What the handshake says; the certificate has to be ours. */
static int shake_hands(line *l, int port, const char *priorities) {
    const struct timeval patience = {PATIENCE_MS / 1000, 0};
    int why;
    l->fd = dial(port);
    assert_int_equal(setsockopt(l->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(gnutls_certificate_allocate_credentials(&l->trust), 0);
    assert_int_equal(
        gnutls_certificate_set_x509_trust_file(l->trust, file("cert"), GNUTLS_X509_FMT_PEM), 1);
    assert_int_equal(gnutls_init(&l->session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL), 0);
    assert_int_equal(gnutls_priority_set_direct(l->session, priorities, NULL), 0);
    gnutls_credentials_set(l->session, GNUTLS_CRD_CERTIFICATE, l->trust);
    gnutls_session_set_verify_cert(l->session, "localhost", 0);
    gnutls_transport_set_int(l->session, l->fd);
    do why = gnutls_handshake(l->session);
    while (why == GNUTLS_E_INTERRUPTED);
    return why;
}

static void call(line *l, int port) {
    int why = shake_hands(l, port, "NORMAL");
    if (why != 0) fail_msg("no handshake: %s", gnutls_strerror(why));
}

static void say(line *l, const char *data, size_t bytes) {
    while (bytes > 0) {
        ssize_t n = gnutls_record_send(l->session, data, bytes < 16384 ? bytes : 16384);
        if (n == GNUTLS_E_INTERRUPTED || n == GNUTLS_E_AGAIN) continue;
        if (n <= 0) return;
        data += n, bytes -= (size_t)n;
    }
}

/* Into the reply, up to these words, or (NULL) to the end. 0: it ended before them. */
static int hear(line *l, const char *words) {
    while (!words || !strstr(reply, words)) {
        assert_true(reply_bytes + 1 < sizeof reply);
        ssize_t n =
            gnutls_record_recv(l->session, reply + reply_bytes, sizeof reply - 1 - reply_bytes);
        if (n == GNUTLS_E_INTERRUPTED) continue;
        if (n == GNUTLS_E_AGAIN) fail_msg("The server is silent: %.300s", reply);
        if (n <= 0) return 0;
        reply_bytes += (size_t)n;
        reply[reply_bytes] = 0;
    }
    return 1;
}

static void request(line *l, int port, const char *what, const char *head, const char *data,
                    size_t bytes) {
    static char text[2048];
    int n =
        snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n%s",
                 what, port, head);
    if (data) n += snprintf(text + n, sizeof text - (size_t)n, "Content-Length: %zu\r\n", bytes);
    n += snprintf(text + n, sizeof text - (size_t)n, "\r\n");
    assert_true((size_t)n < sizeof text);
    say(l, text, (size_t)n);
    if (data) say(l, data, bytes);
}

/* The status; 0: no answer. */
static int answer_of(line *l) {
    int status = 0;
    begin_reply();
    hear(l, NULL);
    hang_up(l);
    const char *end = strstr(reply, "\r\n\r\n");
    body = end ? end + 4 : reply;
    return sscanf(reply, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

static int ask_tls(int port, const char *what, const char *head, const char *data) {
    line l;
    char all[1000];
    call(&l, port);
    snprintf(all, sizeof all, "%s%s", head, data ? "Content-Type: application/json\r\n" : "");
    request(&l, port, what, all, data, data ? strlen(data) : 0);
    return answer_of(&l);
}

/* ---- two servers ---- */

static int start_both(void **state) {
    mebi_error err = {0};
    (void)state;
    files = make_folder();
    make_files();
    served.folder = make_folder();
    guarded.folder = make_folder();
    guarded.token_file = path_of("%s/token", guarded.folder.text);
    write_text(guarded.token_file.text, TOKEN "\n");
    assert_mebi_ok(
        start_server(&served,
                     (mebi__server_params){.tls_certificate = file("cert"), .tls_key = file("key")},
                     &err),
        &err);
    assert_mebi_ok(start_server(&guarded,
                                (mebi__server_params){.address = "0.0.0.0",
                                                      .token_file = guarded.token_file.text,
                                                      .tls_certificate = file("cert"),
                                                      .tls_key = file("key")},
                                &err),
                   &err);
    for (int i = 0; i < 600 && ask_tls(served.port, "GET /healthz", "", NULL) != 200; i++)
        nap_ms(100);
    return 0;
}

static int end_both(void **state) {
    (void)state;
    end_server(&served);
    end_server(&guarded);
    remove_path(files.text);
    return mebi__memory_held(MEBI__TAG_COUNT) == 0 ? 0 : -1;
}

/* ---- https ---- */

static void speaks_https_and_nothing_else(void **state) {
    line l;
    (void)state;
    assert_true(mebi__server_is_tls(served.server));
    assert_status(ask_tls(served.port, "GET /healthz", "", NULL), 200);
    for (int minor = 2; minor <= 3; minor++) {
        assert_int_equal(shake_hands(&l, served.port,
                                     minor == 2 ? "NORMAL:-VERS-ALL:+VERS-TLS1.2"
                                                : "NORMAL:-VERS-ALL:+VERS-TLS1.3"),
                         0);
        hang_up(&l);
    }
    assert_int_not_equal(shake_hands(&l, served.port, "NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0"),
                         0);
    hang_up(&l);
    assert_int_equal(ask(served.port, "GET /healthz", NULL), 0); /* not encrypted: no answer */
    assert_null(strstr(reply, "HTTP/1"));
    assert_status(ask_tls(served.port, "GET /healthz", "", NULL), 200);
}

static void takes_no_orders_from_http_pages(void **state) {
    char head[100];
    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(head, sizeof head, "Origin: %s://localhost:%d\r\n", i ? "https" : "http",
                 served.port);
        assert_status(ask_tls(served.port, "POST /api/v1/jobs", head,
                              "{\"prompt\":\"x\",\"width\":64,\"height\":64,\"steps\":1}"),
                      i ? 202 : 403);
    }
}

static void cookies_are_secure(void **state) {
    char session[160], head[200];
    (void)state;
    assert_status(ask_tls(guarded.port, "GET /api/v1/jobs", "", NULL), 401);
    assert_status(ask_tls(guarded.port, "POST /api/v1/session", "", "{\"token\":\"" TOKEN "\"}"),
                  200);
    assert_true(has_head("HttpOnly; SameSite=Strict; Secure"));
    assert_int_equal(sscanf(strcasestr(reply, "Set-Cookie: "), "%*s %150[^;]", session), 1);
    snprintf(head, sizeof head, "Cookie: %s\r\n", session);
    assert_status(ask_tls(guarded.port, "GET /api/v1/jobs", head, NULL), 200);
    assert_status(ask_tls(guarded.port, "DELETE /api/v1/session", head, NULL), 200);
    assert_true(has_head("Max-Age=0; HttpOnly; SameSite=Strict; Secure"));
    assert_status(ask_tls(guarded.port, "GET /api/v1/jobs", head, NULL), 401);
}

static void addresses_say_https(void **state) {
    char wanted[80];
    (void)state;
    assert_status(
        ask_tls(served.port, "POST /v1/images/generations", "",
                "{\"prompt\":\"x\",\"size\":\"64x64\",\"steps\":1,\"response_format\":\"url\"}"),
        200);
    snprintf(wanted, sizeof wanted, "\"url\":\"https://localhost:%d/api/v1/images/", served.port);
    assert_non_null(strstr(body, wanted));
}

/* ---- what sleeps and what is large ---- */

static void streams_wake_under_tls(void **state) {
    line l;
    (void)state;
    call(&l, served.port);
    request(&l, served.port, "GET /api/v1/events", "", NULL, 0);
    begin_reply();
    assert_true(hear(&l, "event: queue"));
    nap_ms(1200); /* asleep by now */
    assert_status(
        ask_tls(served.port, "POST /sdapi/v1/txt2img", "",
                "{\"prompt\":\"x\",\"width\":64,\"height\":64,\"steps\":3,\"batch_size\":2}"),
        200);
    ((char *)(uintptr_t)body)[unchunk()] = 0;
    json_t *o = json_of_reply();
    assert_int_equal(json_array_size(json_object_get(o, "images")), 2);
    json_decref(o);
    begin_reply();
    assert_true(hear(&l, "event: done"));
    hang_up(&l);
    assert_non_null(strstr(reply, "event: progress"));
    assert_non_null(strstr(reply, "event: image"));
}

/* More than a record, a buffer and a socket hold, both ways. */
static void large_bodies_pass(void **state) {
    enum { BYTES = 8 << 20 };
    line l;
    char *data = calloc(1, BYTES);
    (void)state;
    assert_non_null(data);
    call(&l, served.port);
    request(&l, served.port, "POST /api/v1/png-info", "Content-Type: image/png\r\n", data, BYTES);
    assert_error(answer_of(&l), 400, "bad_request");
    free(data);
    assert_status(ask_tls(served.port, "GET /api/openapi.json", "", NULL), 200);
    json_decref(json_of_reply());
    assert_true(reply_bytes > 40000);
}

/* A client that goes without a word, in the handshake, in a head, and while it waits. */
static void survives_those_who_leave(void **state) {
    line l;
    (void)state;
    int fd = dial(served.port);
    send_bytes(fd, "\x16\x03\x01\x02", 4);
    close(fd);
    call(&l, served.port);
    say(&l, "GET /heal", 9);
    hang_up(&l);
    call(&l, served.port);
    const char *order = "{\"prompt\":\"gone\",\"width\":1024,\"height\":1024,\"steps\":60}";
    request(&l, served.port, "POST /sdapi/v1/txt2img", "Content-Type: application/json\r\n", order,
            strlen(order));
    nap_ms(300);
    hang_up(&l);
    for (int i = 0; i < 300; i++) {
        assert_status(ask_tls(served.port, "GET /api/v1/jobs?state=cancelled", "", NULL), 200);
        if (strstr(body, "\"prompt\":\"gone\"")) return;
        nap_ms(100);
    }
    fail_msg("The job of a client that has gone is not cancelled: %.300s", body);
}

/* ---- files ---- */

static void assert_refused(const char *certificate, const char *key, mebi_status status,
                           const char *words) {
    running r = {.folder = make_folder()};
    mebi_error err = {0};
    mebi_status got = start_server(
        &r, (mebi__server_params){.tls_certificate = certificate, .tls_key = key}, &err);
    if (got != status || !strstr(err.text, words))
        fail_msg("%d, \"%s\", not %d, \"%s\"", got, err.text, status, words);
    assert_null(strstr(err.text, ".."));
    assert_null(r.server);
    remove_path(r.folder.text);
}

static void refuses_files_that_would_not_work(void **state) {
    (void)state;
    assert_refused(file("cert"), NULL, MEBI_BAD_ARGUMENT, "--tls-key FILE is missing");
    assert_refused(NULL, file("key"), MEBI_BAD_ARGUMENT, "--tls-cert FILE is missing");
    assert_refused("/nowhere/cert.pem", file("key"), MEBI_IO, "/nowhere/cert.pem");
    assert_refused(file("cert"), "/nowhere/key.pem", MEBI_IO, "/nowhere/key.pem");
    assert_refused(files.text, file("key"), MEBI_IO, "is not a regular file");
    assert_refused(file("words"), file("key"), MEBI_BAD_FILE, "is no certificate in PEM");
    assert_refused(file("empty"), file("key"), MEBI_BAD_FILE, "is no certificate in PEM");
    assert_refused(file("broken"), file("key"), MEBI_BAD_FILE, "can't be read: ");
    assert_refused(file("key"), file("cert"), MEBI_BAD_FILE, "exchanged?");
    assert_refused(file("cert"), file("cert"), MEBI_BAD_FILE, "exchanged?");
    assert_refused(file("cert"), file("words"), MEBI_BAD_FILE, "holds no key in PEM");
    assert_refused(file("cert"), file("broken_key"), MEBI_BAD_FILE, "can't be read: ");
    assert_refused(file("cert"), file("locked"), MEBI_BAD_FILE, "is encrypted");
    assert_refused(file("cert"), file("other"), MEBI_BAD_FILE, "is not that of the certificate");
}

static void needs_a_token_still(void **state) {
    running r = {.folder = make_folder()};
    mebi_error err = {0};
    (void)state;
    assert_int_equal(start_server(&r,
                                  (mebi__server_params){.address = "0.0.0.0",
                                                        .tls_certificate = file("cert"),
                                                        .tls_key = file("key")},
                                  &err),
                     MEBI_BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "--token-file"));
    remove_path(r.folder.text);
}

/* What is warned of when these are opened; "" if nothing. */
static const char *warnings_of(const char *certificate) {
    static char text[2000];
    int ends[2];
    mebi__tls tls;
    mebi_error err = {0};
    assert_int_equal(pipe(ends), 0);
    const mebi__log log = {MEBI__LOG_TEXT, ends[1]};
    assert_mebi_ok(mebi__tls_open(&tls, certificate, file("key"), &log, &err), &err);
    mebi__tls_close(&tls);
    assert_null(tls.key);
    close(ends[1]);
    ssize_t n = read(ends[0], text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    close(ends[0]);
    return text;
}

static void warns_of_what_would_work(void **state) {
    (void)state;
    assert_string_equal(warnings_of(file("cert")), "");
    assert_non_null(strstr(warnings_of(file("past")), "expired on 20"));
    assert_non_null(strstr(warnings_of(file("future")), "is valid from 20"));
    assert_int_equal(chmod(file("key"), 0640), 0);
    assert_string_equal(warnings_of(file("cert")), "");
    assert_int_equal(chmod(file("key"), 0644), 0);
    assert_non_null(strstr(warnings_of(file("cert")), "chmod 600"));
    assert_int_equal(chmod(file("key"), 0600), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(speaks_https_and_nothing_else),
        cmocka_unit_test(takes_no_orders_from_http_pages),
        cmocka_unit_test(cookies_are_secure),
        cmocka_unit_test(addresses_say_https),
        cmocka_unit_test(streams_wake_under_tls),
        cmocka_unit_test(large_bodies_pass),
        cmocka_unit_test(survives_those_who_leave),
        cmocka_unit_test(refuses_files_that_would_not_work),
        cmocka_unit_test(needs_a_token_still),
        cmocka_unit_test(warns_of_what_would_work),
    };
    return cmocka_run_group_tests(tests, start_both, end_both);
}

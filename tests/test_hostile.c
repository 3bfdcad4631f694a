/* Hostile requests, their heads: addresses, lines, headers, hosts and origins. */
#include "hostile.h"

#include <signal.h>

static int start(void **state) {
    (void)state;
    return start_hostile((mebi__server_params){.host_names = "pics.example, b.example"});
}

static int end(void **state) {
    (void)state;
    return end_hostile();
}

typedef struct row {
    const char *name, *text;
    size_t bytes;
    int status, flags;
} row;

#define ROW(name, text, status, flags)                                                             \
    { name, text, sizeof(text) - 1, status, flags }

static void check_rows(const row *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int64_t before = jobs_made();
        check_row(rows[i].name, send_raw(rows[i].text, rows[i].bytes), rows[i].status,
                  rows[i].flags, before);
    }
}

#define CHECK(rows) check_rows(rows, sizeof rows / sizeof *rows)

/* ---- addresses ---- */

/* clang-format off */
static const char *const nowhere[] = {
    "/../etc/passwd", "/assets/../../../etc/passwd", "/..", "/assets/..", "/assets/./x", "/./healthz", "//etc/passwd",
    "/assets//etc/passwd", "/healthz/../healthz", "/%2e%2e/etc/passwd", "/assets/%2e%2e/%2e%2e/x",
    "/assets/%2E%2E%2Fx",
    "/..%2fetc/passwd", "/assets%2f..%2f..%2fetc%2fpasswd", "/%252e%252e%252fetc/passwd", "/%c0%ae%c0%ae/etc/passwd",
    "/assets/\xc0\xae\xc0\xae/x", "/\xe0\x80\xae\xe0\x80\xae/x", "/%uff0e%uff0e/x", "/\xef\xbc\x8e\xef\xbc\x8e/x",
    "/assets/\\..\\x", "/..\\..\\x", "/%5c..%5cx", "/assets/%00", "/healthz%00", "/healthz%0d%0aX-Injected:%20y",
    "/assets/", "/assets/index.html;x", "/\xff\xfe", "/\xc3", "/healthz\x7f", "/healthz\x1b[31m", ("/" MARK), "/'",
    "/\"",
    "/api/v1/images/../../x/file", "/api/v1/images/..%2f..%2fx/file", "/api/v1/images/%2fetc%2fpasswd/file",
    "/api/v1/images/x;y/file", "/api/v1/images/.hidden/file", "/api/v1/images/-1/file", "/api/v1/images/0",
    "/api/v1/images/99999999999999999999999999", "/api/v1/images/1'OR'1'='1", "/api/v1/jobs/1%27%20OR%20%271%27=%271",
    "/api/v1/jobs/-1", "/api/v1/jobs/%d9%a1", "/api/v1/jobs/\xd9\xa1\xd9\xa2", "/api/v1/jobs/none/events",
    "/api/v1/jobs/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "/api/v1/checks/check-0", "/api/v1/checks/check-99999999999", "/api/v1/checks/x/html", "/v1/models/..",
    "/v1/models/%2e", "/sdapi/v1/../v1/x", "/sdapi/v1/file=/etc/passwd", "/file=/etc/passwd", "/etc/passwd",
    "/.git/config",
    "/mebi.db", "/images/x.png", "/api/v1/settings/..", "/index.php?x=../../etc/passwd"};
/* clang-format on */

static void climbs_nowhere(void **state) {
    char line[400];
    (void)state;
    for (size_t i = 0; i < COUNT(nowhere); i++) {
        int64_t before = jobs_made();
        snprintf(line, sizeof line, "GET %s", nowhere[i]);
        check_row(nowhere[i], send_line(line), 404, 0, before);
    }
}

/* clang-format off */
static const row lines[] = {
    ROW("a 0 byte ends the address", "GET /healthz\0/../x HTTP/1.1\r\n" HOST "\r\n", 200, 0),
    ROW("an address with another host", "GET http://evil.example/healthz HTTP/1.1\r\n" HOST "\r\n", 400, 0),
    ROW("an address with its own host", "GET http://localhost/healthz HTTP/1.1\r\n" HOST "\r\n", 400, 0),
    ROW("a star", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 400, 0),
    ROW("no slash", "GET healthz HTTP/1.1\r\n" HOST "\r\n", 400, 0),
    ROW("CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\n" HOST "\r\n", 400, 0),
    ROW("TRACE", "TRACE /healthz HTTP/1.1\r\n" HOST "X: " MARK "\r\n\r\n", 405, 0),
    ROW("OPTIONS", "OPTIONS /api/v1/jobs HTTP/1.1\r\n" HOST "Origin: http://evil.example\r\n"
                   "Access-Control-Request-Method: POST\r\n\r\n", 405, 0),
    ROW("an unknown method", "BREW /healthz HTTP/1.1\r\n" HOST "\r\n", 405, 0),
    ROW("a method in lower case", "get /healthz HTTP/1.1\r\n" HOST "\r\n", 405, 0),
    ROW("a method that only begins right", "GETT /healthz HTTP/1.1\r\n" HOST "\r\n", 405, 0),
    ROW("a method as markup", MARK " /healthz HTTP/1.1\r\n" HOST "\r\n", 405, 0),
    ROW("a method that colours terminals", "G\x1b[31m\xff\xc2\x9b /healthz HTTP/1.1\r\n" HOST "\r\n", 405, 0),
    ROW("DELETE of all jobs", "DELETE /api/v1/jobs HTTP/1.1\r\n" HOST "\r\n", 405, 0),
    ROW("DELETE of all pictures", "DELETE /api/v1/images HTTP/1.1\r\n" HOST "\r\n", 405, 0),
    ROW("HEAD has no body", "HEAD /api/v1/nothing HTTP/1.1\r\n" HOST "\r\n", 404, NO_BODY),
    ROW("HEAD of a stream", "HEAD /api/v1/events HTTP/1.1\r\n" HOST "\r\n", 200, 0),
    ROW("HTTP/0.9", "GET /\r\n", 400, LIBRARY),
    ROW("HTTP/1.0 without Host", "GET /healthz HTTP/1.0\r\n\r\n", 400, 0),
    ROW("HTTP/1.1 without Host", "GET /healthz HTTP/1.1\r\n\r\n", 400, LIBRARY),
    ROW("HTTP/1.10", "GET /healthz HTTP/1.10\r\n" HOST "\r\n", 400, LIBRARY),
    ROW("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, LIBRARY),
    ROW("HTTP/3.0", "GET /healthz HTTP/3.0\r\n" HOST "\r\n", 505, LIBRARY),
    ROW("http in lower case", "GET /healthz http/1.1\r\n" HOST "\r\n", 400, LIBRARY),
    ROW("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 0, LIBRARY),
    ROW("only a method", "GET\r\n\r\n", 0, LIBRARY),
    ROW("a space in front", " GET /healthz HTTP/1.1\r\n" HOST "\r\n", 0, LIBRARY),
    ROW("a space in the address", "GET /healthz x HTTP/1.1\r\n" HOST "\r\n", 0, LIBRARY),
    ROW("tabs between", "GET\t/healthz\tHTTP/1.1\r\n" HOST "\r\n", 0, LIBRARY),
    ROW("only ends of lines", "\r\n\r\n\r\n\r\n\r\n\r\n", 0, LIBRARY),
    ROW("nothing", "", 0, LIBRARY),
    ROW("random bytes", "\xde\xad\xbe\xef\x00\x01\x02\x03\xff\xfe\xfd", 0, LIBRARY),
    ROW("a control character in the query", "GET /healthz?a\x01 HTTP/1.1\r\n" HOST "\r\n", 400, 0),
    ROW("an end of line in a query's value", "GET /api/v1/jobs?state=%0d%0aX-Injected:%20y HTTP/1.1\r\n" HOST "\r\n", 400, 0),
};
/* clang-format on */

static void reads_lines(void **state) {
    (void)state;
    CHECK(lines);
}

/* ---- queries ---- */

/* clang-format off */
static const struct {
    const char *query;
    int status;
} queries[] = {
    {"/api/v1/images?q=%25", 200}, {"/api/v1/images?q=_", 200}, {"/api/v1/images?q=%5c", 200},
    {"/api/v1/images?q=%27%20OR%201=1--", 200}, {"/api/v1/images?q=%22;DROP%20TABLE%20images;--", 200},
    {"/api/v1/images?q=%ff", 400}, {"/api/v1/images?q=%c0%ae", 400}, {"/api/v1/images?q=%00", 400},
    {"/api/v1/images?q=%", 400}, {"/api/v1/images?q=%4", 400}, {"/api/v1/images?q=%zz", 400},
    {"/api/v1/images?q=a&q=b", 400}, {"/api/v1/images?limit=-1", 400}, {"/api/v1/images?limit=1e9", 400},
    {"/api/v1/images?limit=999999999999", 400}, {"/api/v1/images?cursor=-1", 400},
    {"/api/v1/images?cursor=99999999999999999999", 400}, {"/api/v1/images?cursor=%d9%a1", 400},
    {"/api/v1/images?width=0x10", 400}, {"/api/v1/images?seed=18446744073709551616", 400},
    {"/api/v1/images?from=0000-00-00", 400}, {"/api/v1/images?from=9999-99-99", 400},
    {"/api/v1/images?to=9999-12-31", 200}, {"/api/v1/images?job=1%27%20OR%20%271%27=%271", 200},
    {"/api/v1/images?favourite=maybe", 400}, {"/api/v1/jobs?state=%27", 400}, {"/api/v1/jobs?state=odd", 400},
    {"/api/v1/jobs?limit=99999999999999999999", 400}, {"/api/v1/jobs?limit=-1", 400}, {"/api/v1/jobs?cursor=x", 400},
    {"/api/v1/jobs?limit=0", 400}, {"/api/v1/system/memory?since=nan", 400}, {"/api/v1/system/memory?since=-1", 400},
    {"/healthz?" MARK, 200}, {"/healthz?\xff\xfe", 200}, {"/sdapi/v1/progress?skip_current_image=%ff", 422},
};
/* clang-format on */

static void reads_queries(void **state) {
    char line[300];
    (void)state;
    for (size_t i = 0; i < COUNT(queries); i++) {
        snprintf(line, sizeof line, "GET %s", queries[i].query);
        check_row(queries[i].query, send_line(line), queries[i].status, 0, jobs_made());
    }
}

/* ---- heads ---- */

#define GET  "GET /healthz HTTP/1.1\r\n" HOST
#define POST "POST /api/v1/plan HTTP/1.1\r\n" HOST
#define KEPT "POST /api/v1/plan HTTP/1.1\r\nHost: localhost\r\n"
#define NEXT "GET /api/v1/session HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define BITS "2\r\n{}\r\n0\r\n\r\n"

/* clang-format off */
static const row heads[] = {
    ROW("Host twice", "GET /healthz HTTP/1.1\r\n" HOST "Host: evil.example\r\n\r\n", 400, 0),
    ROW("Host folded", "GET /healthz HTTP/1.1\r\nConnection: close\r\nHost:\r\n localhost\r\n\r\n", 400, LIBRARY),
    ROW("Content-Length twice, the same", POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, 0),
    ROW("Content-Length twice", POST "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, 0),
    ROW("two lengths in one", POST "Content-Length: 2, 2\r\n\r\n{}", 400, LIBRARY),
    ROW("a length with a sign", POST "Content-Length: +2\r\n\r\n{}", 400, LIBRARY),
    ROW("a negative length", POST "Content-Length: -1\r\n\r\n{}", 400, LIBRARY),
    ROW("a hexadecimal length", POST "Content-Length: 0x2\r\n\r\n{}", 400, LIBRARY),
    ROW("an empty length", POST "Content-Length: \r\n\r\n{}", 400, LIBRARY),
    ROW("a length of 2^63", POST "Content-Length: 9223372036854775808\r\n\r\n{}", 400, 0),
    ROW("a length of 2^64 + 2", POST "Content-Length: 18446744073709551618\r\n\r\n{}", 413, LIBRARY),
    ROW("a length with zeros", POST "Content-Length: 0000000000000000002\r\n\r\n{}", 400, 0),
    ROW("a length beyond the limit", POST "Content-Length: 1048577\r\n\r\n{}", 413, 0),
    ROW("a length of a petabyte", POST "Content-Length: 999999999999999\r\n\r\n{}", 413, 0),
    ROW("a body where none is taken", GET "Content-Length: 2\r\n\r\n{}", 400, 0),
    ROW("a chunked body where none is taken", GET "Transfer-Encoding: chunked\r\n\r\n" BITS, 400, 0),
    ROW("length and chunks", POST "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" BITS, 400, 0),
    ROW("chunks and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n" BITS, 400, 0),
    ROW("chunks, folded, and length", POST "Content-Length: 2\r\nTransfer-Encoding:\r\n chunked\r\n\r\n" BITS, 400, 0),
    ROW("a coding folded", POST "Transfer-Encoding:\r\n chunked\r\n\r\n" BITS, 400, 0),
    ROW("a space before the colon", POST "Transfer-Encoding : chunked\r\n\r\n" BITS, 400, 0),
    ROW("chunked twice", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" BITS, 400, 0),
    ROW("two codings", POST "Transfer-Encoding: gzip, chunked\r\n\r\n" BITS, 501, 0),
    ROW("another coding", POST "Transfer-Encoding: xchunked\r\n\r\n" BITS, 501, 0),
    ROW("an empty coding", POST "Transfer-Encoding: \r\n\r\n" BITS, 501, 0),
    ROW("no colon", GET "nothing\r\n\r\n", 400, LIBRARY),
    ROW("a 0 byte in a header's name", GET "X\0Y: z\r\n\r\n", 400, LIBRARY),
    ROW("a 0 byte in a header's value", GET "X: y\0z\r\n\r\n", 200, 0),
    ROW("an end of line in a value", GET "X: y\rX-Injected: z\r\n\r\n", 200, 0),
    ROW("a Host behind a lone end of line", GET "X: y\rHost: evil.example\r\n\r\n", 200, 0),
    ROW("no UTF-8 in headers", GET "X: \xff\xfe\r\n\xc3: y\r\nIf-None-Match: \xff\r\nCookie: ;;==;\x01 a=\"\xff\r\n\r\n", 200, 0),
    ROW("an unknown expectation", GET "Expect: 200-ok\r\n\r\n", 200, 0),
    ROW("an upgrade to HTTP/2", GET "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", 200, 0),
    ROW("other hosts in other headers", GET "X-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\n"
                                            "X-Original-URL: /metrics\r\nX-Http-Method-Override: DELETE\r\n\r\n", 200,
                                            0),
    ROW("ranges of all kinds", "GET /api/openapi.json HTTP/1.1\r\n" HOST "Range: bytes=0-0,-1,5-1,99999999999999999999-\r\n\r\n", 200, 0),
    ROW("a hostile last event", "HEAD /api/v1/events HTTP/1.1\r\n" HOST "Last-Event-ID: -1\r\n\r\n", 200, 0),
    ROW("a last event of many digits", "HEAD /api/v1/events HTTP/1.1\r\n" HOST "Last-Event-ID: 99999999999999999999\r\n\r\n", 200, 0),
    ROW("a last event as SQL", "HEAD /api/v1/events HTTP/1.1\r\n" HOST "Last-Event-ID: 1 OR 1=1\r\n\r\n", 200, 0),
    ROW("a chunk's size that is none", POST "Transfer-Encoding: chunked\r\n\r\ng\r\n{}\r\n0\r\n\r\n", 400, LIBRARY),
    ROW("a chunk's size with a sign", POST "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n", 400, LIBRARY),
    ROW("a chunk's size with 0x", POST "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", 400, LIBRARY),
    ROW("a chunk's size of 2^64", POST "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n{}\r\n", 413, LIBRARY),
    ROW("a chunk that never comes", POST "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}", 0, LIBRARY),
    ROW("a chunk longer than it says", POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}{}0\r\n\r\n", 400, LIBRARY),
    ROW("a chunk's extension", POST "Transfer-Encoding: chunked\r\n\r\n2;a=\"" MARK "\"\r\n{}\r\n0\r\n\r\n", 200, 0),
    ROW("headers behind the chunks", POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nHost: evil.example\r\nX-Injected: y\r\n\r\n", 200, 0),
    ROW("a body that ends early", POST "Content-Length: 200\r\n\r\n{}", 0, LIBRARY),
};
/* clang-format on */

static void sees_through_heads(void **state) {
    (void)state;
    CHECK(heads);
}

/* What was refused leaves nothing behind that would be taken for the next request. */
/* clang-format off */
static const row smuggled[] = {
    ROW("behind two lengths", KEPT "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 400, 0),
    ROW("behind a GET", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 55\r\n\r\n" NEXT, 400, 0),
    ROW("behind a DELETE", "DELETE /api/v1/jobs/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 55\r\n\r\n" NEXT, 400, 0),
    ROW("behind a PATCH", "PATCH /api/v1/images/x HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\nContent-Length: 55\r\n\r\n" NEXT, 403, 0),
    ROW("behind a method", "BREW /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 55\r\n\r\n" NEXT, 405, 0),
    ROW("behind a type", KEPT "Content-Type: text/plain\r\nContent-Length: 55\r\n\r\n" NEXT, 415, 0),
    ROW("behind a size", KEPT "Content-Length: 1048577\r\n\r\n" NEXT, 413, 0),
    ROW("behind chunks that are not taken", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT, 400, 0),
    ROW("behind a wrong chunk", KEPT "Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n" NEXT, 400, LIBRARY),
};
/* clang-format on */

static void smuggles_nothing(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(smuggled); i++) {
        int64_t before = jobs_made();
        int status = send_raw(smuggled[i].text, smuggled[i].bytes);
        if (strstr(reply, "\"login\""))
            fail_msg("%s: the second was answered: %s", smuggled[i].name, reply);
        check_row(smuggled[i].name, status, smuggled[i].status, smuggled[i].flags, before);
    }
}

/* A head of `before`, so many times `filler`, and `after`. */
static int send_filled(const char *before, const char *filler, int times, const char *after) {
    size_t length = strlen(filler), bytes = strlen(before);
    char *text = take_bytes(bytes + length * (size_t)times + strlen(after) + 1);
    memcpy(text, before, bytes);
    for (int i = 0; i < times; i++, bytes += length) memcpy(text + bytes, filler, length);
    memcpy(text + bytes, after, strlen(after));
    int status = send_raw(text, bytes + strlen(after));
    free(text);
    return status;
}

static void heads_have_an_end(void **state) {
    /* clang-format off */
    static const struct {
        const char *name, *before, *filler;
        int times;
        const char *after;
        int status, flags;
    } cases[] = {
        {"a path of 600", "GET /", "a", 600, " HTTP/1.1\r\n" HOST "\r\n", 414, 0},
        {"a query of 5000", "GET /healthz?", "a", 5000, " HTTP/1.1\r\n" HOST "\r\n", 414, 0},
        {"an address of 60000", "GET /", "a", 60000, " HTTP/1.1\r\n" HOST "\r\n", 414, LIBRARY},
        {"a method of 3000", "", "A", 3000, " /healthz HTTP/1.1\r\n" HOST "\r\n", 405, 0},
        {"a header of 25 KiB", GET "X: ", "a", 25 << 10, "\r\n\r\n", 431, LIBRARY},
        {"5000 headers", GET, "a: b\r\n", 5000, "\r\n", 431, LIBRARY},
        {"a folded header of 25 KiB", GET "X: y\r\n", " z\r\n", 8000, "\r\n", 431, LIBRARY},
        {"a tag of 20 KiB", "GET /api/openapi.json HTTP/1.1\r\n" HOST "If-None-Match: ", "\"a\", ", 4000, "\r\n\r\n", 200, 0},
        {"a cookie of 10 KiB", GET "Cookie: mebi_0=", "a", 10 << 10, "\r\n\r\n", 200, 0},
        {"1000 cookies", GET "Cookie: ", "mebi_0=a; ", 1000, "\r\n\r\n", 0, LIBRARY},
        {"an encoding of 20 KiB", "GET /api/openapi.json HTTP/1.1\r\n" HOST "Accept-Encoding: ", "gzip;q=0, ", 2000, "\r\n\r\n", 200, 0},
        {"a last event of 20 KiB", "HEAD /api/v1/events HTTP/1.1\r\n" HOST "Last-Event-ID: ", "9", 20000, "\r\n\r\n", 200, 0},
        {"a Host of 20 KiB", "GET /healthz HTTP/1.1\r\nConnection: close\r\nHost: ", "a", 20000, "\r\n\r\n", 403, 0},
        {"an Origin of 20 KiB", "DELETE /api/v1/jobs/x HTTP/1.1\r\n" HOST "Origin: http://", "a", 20000, "\r\n\r\n", 403, 0},
        {"6000 trailers", POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", "a: b\r\n", 6000, "\r\n", 431, LIBRARY},
        {"an extension of 30000", POST "Transfer-Encoding: chunked\r\n\r\n2;", "x", 30000, "\r\n{}\r\n0\r\n\r\n", 500, LIBRARY},
        {"1000 ends of lines", "", "\r\n", 1000, GET "\r\n", 200, 0},
    };
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t before = jobs_made();
        check_row(cases[i].name,
                  send_filled(cases[i].before, cases[i].filler, cases[i].times, cases[i].after),
                  cases[i].status, cases[i].flags, before);
    }
}

/* ---- names and places ---- */

static void asks_for_its_own_name(void **state) {
    /* clang-format off */
    static const struct {
        const char *host;
        int status;
    } cases[] = {{"127.0.0.1", 200}, {"localhost:1", 200}, {"LOCALHOST:7860", 200}, {"[::1]:80", 200},
                 {"pics.example", 200}, {"B.Example:443", 200}, {"evil.example", 403},
                 {"127.0.0.1.evil.example", 403}, {"localhost.evil.example", 403}, {"evil-pics.example", 403},
                 {"x.pics.example", 403}, {"localhost.", 403}, {"127.0.0.1.", 403}, {"localhost:port", 403},
                 {"localhost:", 403}, {"localhost:123456", 403}, {"localhost:-1", 403}, {"", 403}, {":80", 403},
                 {"[::1", 403}, {"[::1]x", 403}, {"[::1%25lo]", 403}, {"[::ffff:127.0.0.1]", 403}, {"::1", 403},
                 {"127.0.0.1:80:80", 403}, {"evil@localhost", 403}, {"localhost@evil.example", 403},
                 {"localhost, evil.example", 403}, {"localhost/evil", 403}, {"localhost#", 403}, {"127.1", 403},
                 {"2130706433", 403}, {"0x7f.1", 403}, {"0177.0.0.1", 403}, {"0.0.0.0", 403}, {"192.168.1.1", 403},
                 {"l\xc3\xb6" "calhost", 403}, {"localhost\xff", 403}, {MARK, 403}};
    /* clang-format on */
    char text[300];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int n = snprintf(text, sizeof text,
                         "GET /healthz HTTP/1.1\r\nConnection: close\r\nHost: %s\r\n\r\n",
                         cases[i].host);
        check_row(cases[i].host, send_raw(text, (size_t)n), cases[i].status, 0, jobs_made());
    }
}

static void changes_nothing_for_other_pages(void **state) {
    /* clang-format off */
    static const struct {
        const char *head;
        int status;
    } cases[] = {{"Origin: http://localhost", 202}, {"Origin: https://LOCALHOST", 202},
                 {"Sec-Fetch-Site: same-origin", 202}, {"Sec-Fetch-Site: none", 202},
                 {"Referer: https://evil.example/", 202}, /* may be left out at will, so it decides nothing */
                 {"Origin: null", 403}, {"Origin:", 403}, {"Origin: http://localhost:1", 403},
                 {"Origin: http://127.0.0.1", 403}, {"Origin: ftp://localhost", 403}, {"Origin: file://", 403},
                 {"Origin: localhost", 403}, {"Origin: http://localhost/", 403},
                 {"Origin: http://localhost.evil.example", 403},
                 {"Origin: http://evil.example#localhost", 403}, {"Origin: http://x@localhost", 403},
                 {"Origin: http://localhost http://evil.example", 403}, {"Origin: https://evil.example", 403},
                 {"Origin: http://localhost\r\nOrigin: http://evil.example", 400}, {"Origin: " MARK, 403},
                 {"Sec-Fetch-Site: cross-site", 403}, {"Sec-Fetch-Site: same-site", 403},
                 {"sec-fetch-site: CROSS-SITE", 403},
                 {"Origin: http://localhost\r\nSec-Fetch-Site: cross-site", 403},
                 {"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: none", 400}};
    /* clang-format on */
    static const char order[] = "{\"prompt\":\"a\",\"width\":64,\"height\":64,\"steps\":1}";
    char head[200];
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t before = jobs_made();
        snprintf(head, sizeof head, "%s\r\n", cases[i].head);
        check_row(
            cases[i].head,
            send_typed("POST /api/v1/jobs", head, "application/json", order, sizeof order - 1),
            cases[i].status, cases[i].status == 202 ? ORDERS : 0, before);
        before = jobs_made();
        check_row(cases[i].head, send_typed("DELETE /api/v1/jobs/x", head, NULL, NULL, 0),
                  cases[i].status == 202 ? 404 : cases[i].status, 0, before);
    }
    check_row("looking is free",
              send_typed("GET /healthz", "Origin: https://evil.example\r\n", NULL, NULL, 0), 200, 0,
              jobs_made());
}

/* Pages can send these without asking first. */
static void takes_no_forms(void **state) {
    static const char *const types[] = {"text/plain",
                                        "text/plain;application/json",
                                        "application/x-www-form-urlencoded",
                                        "multipart/form-data; boundary=x",
                                        "application/jsonx",
                                        "text/json",
                                        "application/json,text/plain",
                                        " ",
                                        "image/png",
                                        MARK};
    static const char *const where[] = {"POST /api/v1/jobs", "POST /v1/images/generations",
                                        "POST /sdapi/v1/txt2img", "POST /api/v1/session"};
    (void)state;
    for (size_t i = 0; i < COUNT(types); i++)
        for (size_t j = 0; j < COUNT(where); j++)
            check_row(types[i], send_typed(where[j], "", types[i], "{\"prompt\":\"a\"}", 14), 415,
                      0, jobs_made());
    check_row("JSON as a PNG", send_json("POST /api/v1/png-info", "{}", 2), 415, 0, jobs_made());
}

int main(void) {
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(climbs_nowhere),
        cmocka_unit_test(reads_lines),
        cmocka_unit_test(reads_queries),
        cmocka_unit_test(sees_through_heads),
        cmocka_unit_test(smuggles_nothing),
        cmocka_unit_test(heads_have_an_end),
        cmocka_unit_test(asks_for_its_own_name),
        cmocka_unit_test(changes_nothing_for_other_pages),
        cmocka_unit_test(takes_no_forms),
        cmocka_unit_test(keeps_its_log_whole),
    };
    /* clang-format on */
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, start, end);
}

/* The checks of a request's head, in one place and one order: form, host, path and method, origin,
 * token, body. Must never tell more of a refused token than that it was refused. */
#include "server/http_checks.h"

#include "server/answer.h"
#include "server/guard.h"
#include "server/routes.h"
#include "server/server.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Headers that mean something here; each may come once. */
typedef struct head {
    const char *host, *origin, *authorization, *cookie, *type, *length, *coding, *none_match,
        *last_event, *accept_encoding, *forwarded, *site;
    int twice, broken;
} head;

static enum MHD_Result look(void *context, enum MHD_ValueKind kind, const char *key,
                            size_t key_bytes, const char *value, size_t value_bytes) {
    head *h = context;
    const struct {
        const char *name;
        const char **to;
    } known[] = {{"Host", &h->host},
                 {"Origin", &h->origin},
                 {"Authorization", &h->authorization},
                 {"Cookie", &h->cookie},
                 {"Content-Type", &h->type},
                 {"Content-Length", &h->length},
                 {"Transfer-Encoding", &h->coding},
                 {"If-None-Match", &h->none_match},
                 {"Last-Event-ID", &h->last_event},
                 {"Accept-Encoding", &h->accept_encoding},
                 {"X-Forwarded-Proto", &h->forwarded},
                 {"Sec-Fetch-Site", &h->site}};
    (void)kind;
    if (strlen(key) != key_bytes || (value && strlen(value) != value_bytes)) h->broken = 1;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcasecmp(key, known[i].name) != 0) continue;
        if (*known[i].to) h->twice = 1;
        *known[i].to = value ? value : "";
    }
    return MHD_YES;
}

static int is_number(const char *text) {
    size_t length = strlen(text);
    return length > 0 && length < 16 && strspn(text, "0123456789") == length;
}

static int check_form(const head *h, int refusal, mebi__http_answer *a) {
    if (h->broken || h->twice)
        mebi__answer_error(a, 400, MEBI__ERROR_BAD_REQUEST,
                           "A header is given twice or holds a 0 byte. Send each once.");
    else if (h->length && h->coding)
        mebi__answer_error(a, 400, MEBI__ERROR_BAD_REQUEST,
                           "Content-Length and Transfer-Encoding exclude each other. Send one.");
    else if (h->length && !is_number(h->length))
        mebi__answer_error(a, 400, MEBI__ERROR_BAD_REQUEST,
                           "Content-Length is not a number of bytes.");
    else if (h->coding && strcasecmp(h->coding, "chunked") != 0)
        mebi__answer_error(a, 501, MEBI__ERROR_BAD_REQUEST,
                           "Of transfer encodings only chunked is understood.");
    else if (refusal == 414)
        mebi__answer_error(a, 414, MEBI__ERROR_BAD_REQUEST, "The address is too long.");
    else if (refusal == 400)
        mebi__answer_error(a, 400, MEBI__ERROR_BAD_REQUEST,
                           "The address is not of the form /path?name=value.");
    else return 1;
    return 0;
}

static int check_host(const head *h, const mebi__guard *guard, const char *own,
                      mebi__http_answer *a) {
    if (h->host && mebi__guard_host(guard, h->host, own)) return 1;
    mebi__answer_error(
        a, h->host ? 403 : 400, h->host ? MEBI__ERROR_FORBIDDEN : MEBI__ERROR_BAD_REQUEST,
        h->host ? "This server is not asked for by that host name. Its operator can allow it: "
                  "mebi serve --host-name NAME."
                : "There is no Host header.");
    return 0;
}

static mebi__method read_method(const char *text) {
    static const mebi__method all[] = {MEBI__GET, MEBI__POST, MEBI__PUT, MEBI__PATCH, MEBI__DELETE};
    if (strcmp(text, "HEAD") == 0) return MEBI__GET;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(text, mebi__method_name(all[i])) == 0) return all[i];
    return 0;
}

static void add_allow(mebi__http_answer *a, int allowed) {
    char text[64] = "";
    for (int m = MEBI__GET; m <= MEBI__DELETE; m <<= 1) {
        if (!(allowed & m)) continue;
        if (*text) strcat(text, ", ");
        strcat(text, m == MEBI__GET ? "GET, HEAD" : mebi__method_name((mebi__method)m));
    }
    mebi__answer_header(a, "Allow", "%s", text);
}

static int check_route(const char *method, int refusal, mebi__http_request *q,
                       mebi__http_answer *a) {
    int allowed = 0;
    q->method = read_method(method);
    q->route = refusal ? NULL : mebi__route_find(q->method, q->path, q->capture, &allowed);
    if (q->route) return 1;
    if (!allowed) {
        mebi__answer_error(
            a, 0, MEBI__ERROR_NOT_FOUND,
            "There is nothing at this address. GET /api/openapi.json lists what there is.");
        return 0;
    }
    mebi__answer_error(a, 405, MEBI__ERROR_BAD_REQUEST, "This address does not take that method.");
    add_allow(a, allowed);
    return 0;
}

/* Browsers say the one or the other, or both; programs neither. */
static int is_foreign(const head *h, int tls) {
    if (h->origin && !mebi__guard_origin(h->origin, h->host, tls)) return 1;
    return h->site &&
           (strcasecmp(h->site, "cross-site") == 0 || strcasecmp(h->site, "same-site") == 0);
}

static int check_origin(const head *h, const mebi__http_request *q, mebi__http_answer *a) {
    if (q->method == MEBI__GET || !is_foreign(h, q->tls)) return 1;
    mebi__answer_error(a, 0, MEBI__ERROR_FORBIDDEN,
                       "Pages of other places may not change anything here.");
    return 0;
}

/* The value of our cookie. */
static void read_cookie(const char *cookies, const char *name, char *to, size_t room) {
    size_t length = strlen(name);
    to[0] = 0;
    for (const char *p = cookies; p && *p; p += strcspn(p, ";"), p += *p == ';') {
        p += strspn(p, " ");
        if (strncmp(p, name, length) != 0 || p[length] != '=') continue;
        size_t bytes = strcspn(p + length + 1, "; ");
        if (bytes >= room) return;
        memcpy(to, p + length + 1, bytes);
        to[bytes] = 0;
        return;
    }
}

static int answer_wait(int wait, mebi__http_answer *a) {
    mebi__answer_error(a, 429, MEBI__ERROR_UNAUTHORIZED,
                       "There were too many wrong tokens from this address. Try again in %d s.",
                       wait);
    mebi__answer_header(a, "Retry-After", "%d", wait);
    return 0;
}

static int check_token(const head *h, mebi__server *server, mebi__http_request *q,
                       mebi__http_answer *a) {
    mebi__guard *guard = mebi__server_guard(server);
    read_cookie(h->cookie, mebi__server_cookie(server), q->session, sizeof q->session);
    q->logged_in = !guard->token || (*q->session && mebi__guard_session(guard, q->session));
    if (q->logged_in || q->route->flags & MEBI__ROUTE_OPEN) return 1;
    int wait = h->authorization ? mebi__guard_wait(guard, q->address) : 0;
    if (wait) return answer_wait(wait, a);
    q->logged_in = h->authorization && mebi__guard_authorization(guard, h->authorization);
    if (q->logged_in) return 1;
    if (h->authorization) mebi__guard_failed(guard, q->address);
    mebi__answer_error(
        a, 0, MEBI__ERROR_UNAUTHORIZED,
        "This needs the server's token: send it as Authorization: Bearer TOKEN, or log in by POST "
        "/api/v1/session.");
    mebi__answer_header(a, "WWW-Authenticate", "Bearer");
    return 0;
}

/* "application/json; charset=utf-8" is application/json. */
static int is_type(const char *type, const char *wanted) {
    size_t length = strlen(wanted);
    return strncasecmp(type, wanted, length) == 0 && strchr("; ", type[length]);
}

static int check_body(const head *h, const mebi__http_request *q, mebi__http_answer *a) {
    const mebi__route *r = q->route;
    long long bytes = h->length ? atoll(h->length) : h->coding ? -1 : 0;
    const char *wanted = r->body == MEBI__BODY_PNG ? "image/png" : "application/json";
    if (r->body == MEBI__BODY_NONE && bytes != 0 && !(r->flags & MEBI__ROUTE_OPTIONAL)) {
        mebi__answer_error(a, 400, MEBI__ERROR_BAD_REQUEST, "This address takes no body.");
        return 0;
    }
    if (bytes > 0 && (size_t)bytes > mebi__route_limit(r)) {
        mebi__answer_error(a, 413, MEBI__ERROR_BAD_REQUEST,
                           "The body has %lld bytes; at most %zu are taken here.", bytes,
                           mebi__route_limit(r));
        return 0;
    }
    if (bytes == 0 || r->body == MEBI__BODY_NONE || !h->type || is_type(h->type, wanted)) return 1;
    mebi__answer_error(a, 415, MEBI__ERROR_BAD_REQUEST,
                       "The body has to be %s: send Content-Type: %s.", wanted, wanted);
    return 0;
}

int mebi__http_checks(struct MHD_Connection *connection, mebi__server *server, const char *method,
                      int refusal, const char *own, mebi__http_request *q, mebi__http_answer *a) {
    head h = {.host = NULL};
    MHD_get_connection_values_n(connection, MHD_HEADER_KIND, look, &h);
    q->none_match = h.none_match;
    q->last_event = h.last_event;
    q->accept_encoding = h.accept_encoding;
    q->host = h.host;
    q->forwarded = h.forwarded;
    return check_form(&h, refusal, a) && check_host(&h, mebi__server_guard(server), own, a) &&
           check_route(method, refusal, q, a) && check_origin(&h, q, a) &&
           check_token(&h, server, q, a) && check_body(&h, q, a);
}

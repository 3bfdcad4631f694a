/* Logging in and out. Must never say whether a token was nearly right. */
#include "server/api.h"
#include "server/fields.h"
#include "server/server.h"

#include <string.h>

static void answer_state(mebi__http_answer *a, const char *state) {
    mebi__answer_json(a, 200, json_pack("{s:s}", "login", state));
}

void mebi__api_session(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    answer_state(a, !mebi__server_guard(server)->token ? "none" : q->logged_in ? "done" : "needed");
}

static void set_cookie(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a,
                       const char *value, int seconds) {
    mebi__answer_header(a, "Set-Cookie", "%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict%s",
                        mebi__server_cookie(server), value, seconds,
                        mebi__http_is_secure(q) ? "; Secure" : "");
}

static void try_token(mebi__server *server, const mebi__http_request *q, const char *token,
                      mebi__http_answer *a) {
    char id[MEBI__SESSION_DIGITS + 1];
    mebi__guard *guard = mebi__server_guard(server);
    if (!mebi__guard_token(guard, token, strlen(token))) {
        mebi__guard_failed(guard, q->address);
        mebi__answer_error(
            a, 0, MEBI__ERROR_UNAUTHORIZED,
            "This is not the server's token. Its operator finds it in the file of --token-file.");
        return;
    }
    mebi__guard_succeeded(guard, q->address);
    mebi__guard_login(guard, id);
    answer_state(a, "done");
    set_cookie(server, q, a, id, 30 * 24 * 3600);
}

void mebi__api_login(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    static const mebi__field table[] = {{"token", MEBI__FIELD_TEXT, 0, 0, 4096, {NULL}}};
    const char *token = NULL;
    mebi__fields_fault fault;
    mebi__guard *guard = mebi__server_guard(server);
    int wait = guard->token ? mebi__guard_wait(guard, q->address) : 0;
    if (wait) {
        mebi__answer_error(a, 429, MEBI__ERROR_UNAUTHORIZED,
                           "There were too many wrong tokens from this address. Try again in %d s.",
                           wait);
        mebi__answer_header(a, "Retry-After", "%d", wait);
        return;
    }
    json_t *body = mebi__body_read(q, a);
    if (!body) return;
    if (!mebi__fields_read(table, 1, body, &token, NULL, &fault) || !token)
        mebi__answer_error_about(a, 422, MEBI__ERROR_BAD_REQUEST,
                                 "Send the token: {\"token\": \"...\"}.", "token", NULL);
    else if (!guard->token) answer_state(a, "none");
    else try_token(server, q, token, a);
    json_decref(body);
}

void mebi__api_logout(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    mebi__guard *guard = mebi__server_guard(server);
    if (*q->session) mebi__guard_logout(guard, q->session);
    answer_state(a, guard->token ? "needed" : "none");
    set_cookie(server, q, a, "", 0);
}

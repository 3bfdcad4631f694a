/* Answers as handlers write them. Must never leak what an answer held before. */
#include "server/answer.h"

#include "base/memory.h"
#include "server/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    int status;
} codes[MEBI__ERROR_CODES] = {
    [MEBI__ERROR_BAD_REQUEST] = {"bad_request", 400},
    [MEBI__ERROR_UNAUTHORIZED] = {"unauthorized", 401},
    [MEBI__ERROR_FORBIDDEN] = {"forbidden", 403},
    [MEBI__ERROR_NOT_FOUND] = {"not_found", 404},
    [MEBI__ERROR_CONFLICT] = {"conflict", 409},
    [MEBI__ERROR_TOO_BIG] = {"too_big", 409},
    [MEBI__ERROR_QUEUE_FULL] = {"queue_full", 429},
    [MEBI__ERROR_INTERNAL] = {"internal", 500},
    [MEBI__ERROR_UNAVAILABLE] = {"unavailable", 503},
};

const char *mebi__error_code_name(mebi__error_code code) {
    return codes[code].name;
}

void mebi__answer_drop(mebi__http_answer *a) {
    if (a->release) a->release((void *)(uintptr_t)a->data);
    if (a->fd >= 0) close(a->fd);
    if (a->source.read && a->source.end) a->source.end(a->source.context);
    if (a->later.ask && a->later.end) a->later.end(a->later.context);
    *a = (mebi__http_answer){.fd = -1};
}

void mebi__answer_static(mebi__http_answer *a, int status, const char *type, const void *data,
                         size_t bytes) {
    mebi__answer_drop(a);
    a->status = status, a->type = type, a->data = data, a->bytes = bytes;
}

void mebi__answer_owned(mebi__http_answer *a, int status, const char *type, void *data,
                        size_t bytes, void (*release)(void *data)) {
    mebi__answer_static(a, status, type, data, bytes);
    a->release = release;
}

void mebi__answer_empty(mebi__http_answer *a, int status) {
    mebi__answer_static(a, status, NULL, "", 0);
}

void mebi__answer_json(mebi__http_answer *a, int status, json_t *json) {
    static const char nothing[] = "{\"error\":{\"code\":\"internal\",\"message\":\"The server is "
                                  "out of memory. Try again later.\"}}";
    char *text =
        json ? json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(json);
    if (text) mebi__answer_owned(a, status, "application/json", text, strlen(text), free);
    else mebi__answer_static(a, 500, "application/json", nothing, sizeof nothing - 1);
}

/* Text that JSON takes, whatever bytes it has: what it quotes may have been cut inside a character.
 */
static json_t *text_json(const char *text) {
    json_t *s = json_string(text);
    char *copy = s ? NULL : mebi__copy_string(text, strlen(text));
    if (copy) mebi__utf8_mend(copy), s = json_string(copy);
    mebi__free(copy);
    return s ? s : json_string("The request can't be done.");
}

void mebi__answer_error_about(mebi__http_answer *a, int status, mebi__error_code code,
                              const char *message, const char *field, json_t *plan) {
    json_t *error =
        json_pack("{s:s, s:o}", "code", codes[code].name, "message", text_json(message));
    if (error && field) json_object_set_new(error, "field", text_json(field));
    if (error && plan) json_object_set(error, "plan", plan);
    json_decref(plan);
    mebi__answer_json(a, status ? status : codes[code].status, json_pack("{s:o}", "error", error));
}

void mebi__answer_error(mebi__http_answer *a, int status, mebi__error_code code, const char *format,
                        ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mebi__answer_error_about(a, status, code, text, NULL, NULL);
}

void mebi__answer_failure(mebi__http_answer *a, mebi_status status, const mebi_error *err) {
    const char *text = err->text[0] ? err->text : mebi_status_text(status);
    int later = status == MEBI_NO_MEMORY || status == MEBI_IO; /* memory, or a disk: come again */
    mebi__error_code code = status == MEBI_BAD_ARGUMENT || status == MEBI_BAD_FILE
                                ? MEBI__ERROR_BAD_REQUEST
                            : later ? MEBI__ERROR_UNAVAILABLE
                                    : MEBI__ERROR_INTERNAL;
    mebi__answer_error_about(a, 0, code, text, NULL, NULL);
    if (later) mebi__answer_header(a, "Retry-After", "%d", 10);
}

void mebi__answer_header(mebi__http_answer *a, const char *name, const char *format, ...) {
    if (a->headers == MEBI__HTTP_HEADERS) return;
    va_list args;
    va_start(args, format);
    a->header[a->headers].name = name;
    vsnprintf(a->header[a->headers++].value, sizeof a->header[0].value, format, args);
    va_end(args);
}

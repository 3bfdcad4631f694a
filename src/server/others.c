/* What other programs' APIs share. Must never put a client's bytes into a header but as printable
 * ASCII. */
#include "server/others.h"

#include "server/answer.h"
#include "server/api.h"
#include "server/server.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ---- */

static int begins(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

static const char *openai_type(int status) {
    return status == 401   ? "authentication_error"
           : status == 403 ? "permission_error"
           : status == 429 ? "rate_limit_error"
           : status >= 500 ? "server_error"
                           : "invalid_request_error";
}

/* Its clients try 409 and 422 anew or know no class for them: what they call a bad request is 400.
 */
static json_t *openai_error(const json_t *e, int *status) {
    if (*status == 409 || *status == 422) *status = 400;
    json_t *field = json_object_get(e, "field"), *plan = json_object_get(e, "plan");
    json_t *error =
        json_pack("{s:O, s:s, s:o, s:O}", "message", json_object_get(e, "message"), "type",
                  openai_type(*status), "param", field ? json_incref(field) : json_null(), "code",
                  json_object_get(e, "code"));
    if (error && plan) json_object_set(error, "plan", plan);
    return json_pack("{s:o}", "error", error);
}

static json_t *sdapi_error(const json_t *e) {
    json_t *plan = json_object_get(e, "plan"), *field = json_object_get(e, "field");
    json_t *o = json_pack("{s:O, s:O, s:o, s:O}", "error", json_object_get(e, "code"), "detail",
                          json_object_get(e, "message"), "body",
                          field ? json_incref(field) : json_string(""), "errors",
                          json_object_get(e, "message"));
    if (o && plan) json_object_set(o, "plan", plan);
    return o;
}

void mebi__others_reshape(const char *path, mebi__http_answer *a) {
    int openai = begins(path, "/v1/"), status = a->status;
    if (status < 400 || !a->bytes || a->source.read || a->fd >= 0) return;
    if (!openai && !begins(path, "/sdapi/")) return;
    json_t *own = json_loadb(a->data, a->bytes, 0, NULL), *e = json_object_get(own, "error");
    if (json_is_object(e)) {
        mebi__http_answer kept = *a;
        json_t *shaped = openai ? openai_error(e, &status) : sdapi_error(e);
        mebi__answer_json(a, status, shaped);
        a->headers = kept.headers;
        memcpy(a->header, kept.header, sizeof a->header);
    }
    json_decref(own);
}

/* ---- warnings ---- */

void mebi__others_warn(json_t *warnings, const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f) *p = '?';
    json_array_append_new(warnings, json_string(text));
}

void mebi__others_warned(mebi__http_answer *a, const json_t *warnings) {
    char text[sizeof a->header[0].value] = "";
    size_t i, used = 0;
    const json_t *one;
    json_array_foreach((json_t *)(uintptr_t)warnings, i, one) {
        if (used >= sizeof text - 1) break;
        int n = snprintf(text + used, sizeof text - used, "%s%s", used ? " " : "",
                         json_string_value(one) ? json_string_value(one) : "");
        used += n > 0 ? (size_t)n : 0;
    }
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f) *p = '?';
    if (*text) mebi__answer_header(a, "X-Mebi-Warning", "%s", text);
}

int mebi__others_is_nothing(const json_t *v) {
    return !v || json_is_null(v) || json_is_false(v) ||
           (json_is_number(v) && !(json_number_value(v) > 0 || json_number_value(v) < 0)) ||
           (json_is_string(v) && json_string_length(v) == 0) ||
           (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0);
}

/* ---- orders ---- */

/* "What would fit: 1024x768 (1 at once), or ...", of what the plan found, behind the sentence. */
static void add_fitting(const mebi__job_refused *refused, float cfg, mebi_error *err) {
    if (refused->why != MEBI__REFUSED_TOO_BIG || !refused->planned) return;
    const mebi_plan *p = &refused->plan;
    for (int i = 0; i < p->alternatives && i < MEBI_ALTERNATIVES; i++) {
        const mebi_alternative *a = &p->alternative[i];
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof err->text - used, "%s%dx%d (%d at once%s)",
                 i ? ", or " : " What would fit: ", a->width, a->height, a->count,
                 cfg > 0 && !(a->cfg > 0) ? ", without guidance" : "");
    }
    size_t used = strlen(err->text);
    if (p->alternatives > 0 && used + 1 < sizeof err->text) strcpy(err->text + used, ".");
}

int mebi__others_submit(mebi__server *server, const mebi__http_request *q,
                        const mebi_request *wanted, mebi__others_order *order,
                        mebi__http_answer *a) {
    mebi__jobs *jobs = mebi__server_jobs(server);
    mebi__job *job = NULL;
    mebi__job_refused refused = {.why = MEBI__REFUSED_NOT};
    char client[MEBI__JOB_CLIENT];
    mebi_error err = {0};
    if (!wanted->prompt || !*wanted->prompt) {
        mebi__answer_error_about(a, 422, MEBI__ERROR_BAD_REQUEST,
                                 "There is no prompt. Say what to draw: \"prompt\": \"a red "
                                 "apple\".",
                                 "prompt", NULL);
        return 0;
    }
    snprintf(client, sizeof client, "%s%s",
             begins(q->path, "/sdapi/") ? MEBI__OTHERS_SDAPI_CLIENT : "", q->address);
    order->after = mebi__jobs_newest_event(jobs);
    mebi_status status =
        mebi__jobs_submit(jobs, &(mebi__job_order){*wanted, 0, client}, &job, &refused, &err);
    if (status == MEBI_OK) memcpy(order->job, job->id, sizeof order->job);
    else {
        add_fitting(&refused, wanted->cfg, &err);
        mebi__api_refused(a, &refused, wanted, status, &err);
    }
    mebi__job_free(&job);
    return status == MEBI_OK;
}

void mebi__others_failed(mebi__http_answer *a, const mebi__job *job) {
    if (job->state == MEBI__JOB_CANCELLED)
        mebi__answer_error(a, 0, MEBI__ERROR_CONFLICT,
                           "The job was cancelled before a picture was finished.");
    else
        mebi__answer_error(a, 0, MEBI__ERROR_INTERNAL, "%s",
                           *job->message ? job->message : "The job failed.");
    /* The same order would fail again, and take as long. */
    mebi__answer_header(a, "X-Should-Retry", "false");
}

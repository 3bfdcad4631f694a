/* Jobs over HTTP. Must never say that a job was taken which is not on the disk. */
#include "base/memory.h"
#include "server/api.h"
#include "server/order.h"
#include "server/server.h"
#include "server/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- submit ---- */

static void answer_retry(mebi__http_answer *a, double seconds) {
    double wait = seconds > 1 ? ceil(seconds) : 1;
    mebi__answer_header(a, "Retry-After", "%.0f", wait < 86400 ? wait : 86400);
}

void mebi__api_refused(mebi__http_answer *a, const mebi__job_refused *refused,
                       const mebi_request *request, mebi_status status, const mebi_error *err) {
    json_t *plan = refused->planned ? mebi__view_plan(&refused->plan, request) : NULL;
    switch (refused->why) {
    case MEBI__REFUSED_REQUEST:
        mebi__answer_error_about(a, 422, MEBI__ERROR_BAD_REQUEST, err->text, NULL, NULL);
        break;
    case MEBI__REFUSED_TOO_BIG:
        mebi__answer_error_about(a, 0, MEBI__ERROR_TOO_BIG, err->text, NULL, plan);
        return;
    case MEBI__REFUSED_FULL:
        mebi__answer_error_about(a, 0, MEBI__ERROR_QUEUE_FULL, err->text, NULL, plan);
        answer_retry(a, refused->retry_seconds);
        return;
    case MEBI__REFUSED_UNAVAILABLE:
        mebi__answer_error_about(a, 0, MEBI__ERROR_UNAVAILABLE, err->text, NULL, NULL);
        answer_retry(a, refused->retry_seconds);
        break;
    default: mebi__answer_failure(a, status == MEBI_OK ? MEBI_INTERNAL : status, err); break;
    }
    json_decref(plan);
}

static void answer_job(mebi__http_answer *a, int status, mebi__job *job, json_t *warnings) {
    json_t *o = mebi__view_job(job);
    if (o && json_array_size(warnings)) json_object_set(o, "warnings", warnings);
    mebi__answer_json(a, status, o);
}

void mebi__api_submit(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    mebi__order order;
    mebi__fields_fault fault;
    mebi__job_refused refused = {.why = MEBI__REFUSED_NOT};
    mebi_error err = {0};
    mebi__job *job = NULL;
    json_t *body = mebi__body_read(q, a), *warnings = json_array();
    if (body && !mebi__order_read(server, body, &order, warnings, &fault))
        mebi__answer_error_about(a, 422, MEBI__ERROR_BAD_REQUEST, fault.message, fault.field, NULL);
    else if (body && (!order.request.prompt || !*order.request.prompt))
        mebi__answer_error_about(
            a, 422, MEBI__ERROR_BAD_REQUEST,
            "There is no prompt. Say what to draw: \"prompt\": \"a red apple\".", "prompt", NULL);
    else if (body) {
        mebi__job_order wanted = {order.request, order.priority, q->address};
        mebi_status status =
            mebi__jobs_submit(mebi__server_jobs(server), &wanted, &job, &refused, &err);
        if (status != MEBI_OK) mebi__api_refused(a, &refused, &order.request, status, &err);
        else {
            answer_job(a, 202, job, warnings);
            mebi__answer_header(a, "Location", "/api/v1/jobs/%s", job->id);
        }
    }
    mebi__job_free(&job);
    json_decref(warnings);
    json_decref(body);
}

/* ---- lists ---- */

/* A whole number of the query, from `least`; 0: *answer says what is wrong with it. */
static int query_number(const mebi__http_request *q, const char *name, int64_t least,
                        int64_t *n, mebi__http_answer *a) {
    char text[24];
    int found = mebi__http_query(q, name, text, sizeof text);
    if (found == 0) return 1;
    size_t length = strlen(text);
    if (found > 0 && length > 0 && length < 16 && strspn(text, "0123456789") == length) {
        *n = strtoll(text, NULL, 10);
        if (*n >= least) return 1;
    }
    mebi__answer_error_about(a, 0, MEBI__ERROR_BAD_REQUEST, "This takes a whole number.", name,
                             NULL);
    return 0;
}

/* "queued,running": bits of states. */
static int query_states(const mebi__http_request *q, unsigned *states, mebi__http_answer *a) {
    char text[120];
    int found = mebi__http_query(q, "state", text, sizeof text), good = found >= 0;
    *states = 0;
    const char *p = text;
    for (int more = found > 0; good && more;) {
        size_t length = strcspn(p, ",");
        good = 0;
        for (int s = 0; s < MEBI__JOB_STATES; s++) {
            const char *name = mebi__job_state_name((mebi__job_state)s);
            if (strlen(name) != length || strncmp(p, name, length) != 0) continue;
            *states |= 1u << s;
            good = 1;
        }
        p += length;
        more = *p == ',';
        p += more;
    }
    if (!good)
        mebi__answer_error_about(
            a, 0, MEBI__ERROR_BAD_REQUEST,
            "state takes queued, running, done, failed and cancelled, with commas between.",
            "state", NULL);
    return good;
}

void mebi__api_jobs(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    int64_t limit = 50, cursor = 0;
    unsigned states;
    mebi__job_list list = {0};
    mebi_error err = {0};
    if (!query_number(q, "limit", 1, &limit, a) || !query_number(q, "cursor", 0, &cursor, a) ||
        !query_states(q, &states, a))
        return;
    mebi_status status = mebi__jobs_list(mebi__server_jobs(server), states,
                                         limit > 200 ? 200 : (int)limit, cursor, &list, &err);
    if (status != MEBI_OK) {
        mebi__answer_failure(a, status, &err);
        return;
    }
    json_t *jobs = json_array();
    for (int i = 0; i < list.count; i++) json_array_append_new(jobs, mebi__view_job(list.job[i]));
    mebi__answer_json(
        a, 200,
        json_pack("{s:o, s:o}", "jobs", jobs, "next",
                  list.next ? json_sprintf("%lld", (long long)list.next) : json_null()));
    mebi__job_list_free(&list);
}

/* ---- one ---- */

static void unknown(mebi__http_answer *a) {
    mebi__answer_error(a, 0, MEBI__ERROR_NOT_FOUND, "There is no job of that id.");
}

void mebi__api_job(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    mebi__job *job;
    mebi_error err = {0};
    mebi_status status = mebi__jobs_get(mebi__server_jobs(server), q->capture[0], &job, &err);
    if (status != MEBI_OK) mebi__answer_failure(a, status, &err);
    else if (!job) unknown(a);
    else answer_job(a, 200, job, NULL);
    mebi__job_free(&job);
}

void mebi__api_cancel(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    mebi__cancelled how;
    mebi_error err = {0};
    mebi_status status = mebi__jobs_cancel(mebi__server_jobs(server), q->capture[0], &how, &err);
    if (status != MEBI_OK) mebi__answer_failure(a, status, &err);
    else if (how == MEBI__CANCEL_UNKNOWN) unknown(a);
    else if (how == MEBI__CANCEL_LATE)
        mebi__answer_error(
            a, 0, MEBI__ERROR_CONFLICT,
            "The job has ended already; there is nothing to cancel. Its pictures can be deleted "
            "one by one.");
    else mebi__api_job(server, q, a);
}

void mebi__api_preview(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    unsigned char *jpeg = NULL;
    size_t bytes = 0;
    int number = 0;
    mebi_error err = {0};
    mebi_status status =
        mebi__jobs_preview(mebi__server_jobs(server), q->capture[0], &jpeg, &bytes, &number, &err);
    if (status != MEBI_OK) mebi__answer_failure(a, status, &err);
    else if (!jpeg)
        mebi__answer_error(a, 0, MEBI__ERROR_NOT_FOUND,
                           "There is no preview of such a job: none yet, or none any more.");
    else mebi__answer_owned(a, 200, "image/jpeg", jpeg, bytes, mebi__free);
}

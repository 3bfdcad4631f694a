/* Plans over HTTP. Must never wait for a picture. */
#include "server/api.h"
#include "server/order.h"
#include "server/plans.h"
#include "server/server.h"
#include "server/view.h"

enum { REQUESTS = 64 };

static json_t *error_json(const char *code, const char *message, const char *field) {
    json_t *e = json_pack("{s:s, s:s}", "code", code, "message", message);
    if (e && field && *field) json_object_set_new(e, "field", json_string(field));
    return json_pack("{s:o}", "error", e);
}

static mebi_status plan_order(mebi__server *server, const mebi_request *asked, mebi_plan *plan,
                              int *unavailable, mebi_error *err) {
    mebi_request r = *asked;
    if (r.prompt && !*r.prompt) r.prompt = NULL; /* not written yet: one of usual length is planned for */
    return mebi__plans_get(mebi__server_plans(server), &r, plan, unavailable, err);
}

/* P, or {"error"}, and the HTTP status that goes with it. */
static json_t *plan_one(mebi__server *server, const json_t *object, int *status) {
    mebi__order order;
    mebi__fields_fault fault;
    mebi_plan plan;
    mebi_error err = {0};
    int unavailable;
    json_t *warnings = json_array();
    json_t *answer;
    *status = 200;
    if (!mebi__order_read(server, object, &order, warnings, &fault)) {
        *status = 422;
        answer = error_json("bad_request", fault.message, fault.field);
    } else if (plan_order(server, &order.request, &plan, &unavailable, &err) != MEBI_OK) {
        *status = unavailable ? 503 : 422;
        answer = error_json(unavailable ? "unavailable" : "bad_request", err.text, NULL);
    } else answer = mebi__view_plan(&plan, &order.request);
    if (answer && json_array_size(warnings)) json_object_set(answer, "warnings", warnings);
    json_decref(warnings);
    return answer;
}

void mebi__api_plan(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    json_t *body = mebi__body_read(q, a);
    int status;
    if (!body) return;
    json_t *answer = plan_one(server, body, &status);
    json_decref(body);
    mebi__answer_json(a, status, answer);
    if (status == 503) mebi__answer_header(a, "Retry-After", "%d", 5);
}

void mebi__api_plans(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    json_t *body = mebi__body_read(q, a), *one;
    if (!body) return;
    const json_t *requests = json_object_get(body, "requests");
    size_t i, count = json_array_size(requests);
    if (!json_is_array(requests) || count > REQUESTS) {
        mebi__answer_error_about(a, 422, MEBI__ERROR_BAD_REQUEST,
                                 "requests takes a list of at most 64 requests.", "requests", NULL);
        json_decref(body);
        return;
    }
    json_t *plans = json_array();
    json_array_foreach(requests, i, one) {
        int status;
        json_array_append_new(
            plans, json_is_object(one)
                       ? plan_one(server, one, &status)
                       : error_json("bad_request", "A request has to be an object.", NULL));
    }
    json_decref(body);
    mebi__answer_json(a, 200, json_pack("{s:o}", "plans", plans));
}

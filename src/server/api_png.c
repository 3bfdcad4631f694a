/* How a PNG was made, told from its texts. Must never decode its pixels, nor keep it. */
#include "image/png.h"
#include "mebi/image.h"
#include "server/api.h"
#include "server/order.h"
#include "server/parameters.h"
#include "server/server.h"
#include "server/view.h"

#include <string.h>

static const char *find(const mebi_png_text *texts, int count, const char *keyword) {
    for (int i = 0; i < count; i++)
        if (strcmp(texts[i].keyword, keyword) == 0) return texts[i].text;
    return NULL;
}

/* As a request that this server would take; null if it is none. Takes the reference. */
static json_t *checked(mebi__server *server, json_t *object) {
    mebi__order order;
    mebi__fields_fault fault;
    json_t *warnings = json_array();
    int good = object && mebi__order_read(server, object, &order, warnings, &fault);
    json_t *request = good ? mebi__view_request(&order.request) : json_null();
    json_decref(warnings);
    json_decref(object);
    return request;
}

void mebi__api_png_info(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    int width, height, count;
    mebi_png_text *texts = NULL;
    mebi_error err = {0};
    mebi_status status = mebi__png_parse_texts("The picture", q->body, q->body_bytes, &width,
                                               &height, &texts, &count, &err);
    if (status != MEBI_OK) {
        mebi__answer_failure(a, status, &err);
        return;
    }
    const char *own = find(texts, count, "mebi"), *parameters = find(texts, count, "parameters");
    json_t *request = own ? checked(server, mebi__parameters_read_own(own)) : json_null();
    if (json_is_null(request) && parameters)
        request = checked(server, mebi__parameters_read(parameters));
    json_t *text = parameters ? json_string(parameters) : json_null();
    mebi__answer_json(a, 200,
                      json_pack("{s:i, s:i, s:o, s:o}", "width", width, "height", height,
                                "parameters", text ? text : json_null(), "request", request));
    mebi_png_texts_free(texts);
}

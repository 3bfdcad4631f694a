/* OpenAI's API of pictures. Must never drop a wish without saying so. */
#include "base/memory.h"
#include "config/size.h"
#include "jobs/thumbnail.h"
#include "server/answer.h"
#include "server/api.h"
#include "server/openai.h"
#include "server/order.h"
#include "server/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct body {
    const char *prompt, *negative_prompt, *model, *size, *quality, *style, *background, *moderation,
        *user;
    int n, response_format, output_format, compression, steps, stream, partials;
    float cfg;
    int64_t seed;
} body;

#define AT(member) offsetof(body, member)
#define WORD(name)                                                                                 \
    {                                                                                              \
#name, MEBI__FIELD_TEXT, AT(name), 0, 256, {                                               \
            NULL                                                                                   \
        }                                                                                          \
    }

static const mebi__field fields[] = {
    {"prompt", MEBI__FIELD_TEXT, AT(prompt), 0, MEBI__PROMPT_BYTES, {NULL}},
    {"negative_prompt", MEBI__FIELD_TEXT, AT(negative_prompt), 0, MEBI__PROMPT_BYTES, {NULL}},
    {"n", MEBI__FIELD_INT, AT(n), 1, 10, {NULL}},
    {"response_format", MEBI__FIELD_WORD, AT(response_format), 0, 0, {"b64_json", "url"}},
    {"output_format", MEBI__FIELD_WORD, AT(output_format), 0, 0, {"png", "jpeg"}},
    {"output_compression", MEBI__FIELD_INT, AT(compression), 0, 100, {NULL}},
    {"stream", MEBI__FIELD_BOOL, AT(stream), 0, 1, {NULL}},
    {"partial_images", MEBI__FIELD_INT, AT(partials), 0, MEBI__OPENAI_PARTIALS, {NULL}},
    {"steps", MEBI__FIELD_INT, AT(steps), 1, 120, {NULL}},
    {"cfg", MEBI__FIELD_NUMBER, AT(cfg), 0, 100, {NULL}},
    {"seed", MEBI__FIELD_WIDE, AT(seed), -1, 9007199254740992.0, {NULL}},
    WORD(model),
    WORD(size),
    WORD(quality),
    WORD(style),
    WORD(background),
    WORD(moderation),
    WORD(user),
};

/* ---- reading ---- */

static int is_auto(const char *text) {
    return !text || !*text || strcmp(text, "auto") == 0;
}

static void check_words(mebi__server *server, const body *b, json_t *warnings) {
    const char *own = mebi__jobs_model_name(mebi__server_jobs(server));
    if (!is_auto(b->model) && strcmp(b->model, own) != 0)
        mebi__others_warn(warnings, "There is no model '%.60s'; %.60s was used.", b->model, own);
    if (!is_auto(b->quality)) mebi__others_warn(warnings, "quality was not used; steps decides.");
    if (b->style && *b->style)
        mebi__others_warn(warnings, "style was not used; the prompt decides.");
    if (!is_auto(b->background) && strcmp(b->background, "opaque") != 0)
        mebi__others_warn(warnings, "background was not used: pictures are opaque.");
    if (!is_auto(b->moderation))
        mebi__others_warn(warnings, "moderation was not used: this server has none.");
    if (b->user && *b->user) mebi__others_warn(warnings, "user was not used.");
    if (b->partials && !b->stream)
        mebi__others_warn(warnings, "partial_images was not used: stream is not true.");
    if (b->compression != 100 && b->output_format != MEBI__OPENAI_JPEG)
        mebi__others_warn(warnings, "output_compression was not used: the format is PNG.");
    if (b->response_format == 1 && b->output_format == MEBI__OPENAI_JPEG)
        mebi__others_warn(warnings, "The url is of a PNG; JPEG comes as b64_json alone.");
    if (b->response_format == 1 && b->stream)
        mebi__others_warn(warnings, "response_format was not used: events have b64_json.");
}

/* 0: *fault says what is wrong. */
static int make_request(mebi__server *server, const json_t *object, body *b, mebi_request *r,
                        json_t *warnings, mebi__fields_fault *fault) {
    *r = mebi__order_default(server);
    *b = (body){.n = 1, .compression = 100, .steps = r->steps, .cfg = r->cfg, .seed = -1};
    if (!mebi__fields_read(fields, (int)(sizeof fields / sizeof *fields), object, b, warnings,
                           fault))
        return 0;
    if (!is_auto(b->size) && mebi__size_read(b->size, &r->width, &r->height) != 'x') {
        *fault = (mebi__fields_fault){"size", "size takes WIDTHxHEIGHT in pixels, or \"auto\"."};
        return 0;
    }
    check_words(server, b, warnings);
    r->prompt = b->prompt, r->negative_prompt = b->negative_prompt;
    r->steps = b->steps, r->cfg = b->cfg, r->seed = b->seed, r->count = b->n;
    r->draft = 0;
    /* The last step's is no preview. */
    r->preview_every =
        b->stream && b->partials ? (b->steps + b->partials) / (b->partials + 1) : r->preview_every;
    return 1;
}

static void fill_wish(const mebi__http_request *q, const body *b, mebi__openai_wish *w) {
    *w = (mebi__openai_wish){.as_url = b->response_format == 1 && !b->stream,
                             .format = (mebi__openai_format)b->output_format,
                             .quality = b->compression > 0 ? b->compression : 1,
                             .partials = b->partials,
                             .steps = b->steps};
    snprintf(w->base, sizeof w->base, "%s://%.280s", mebi__http_is_secure(q) ? "https" : "http",
             q->host ? q->host : "");
}

/* ---- pictures ---- */

static int add_jpeg(const char *path, int quality, mebi__pieces *p) {
    mebi_image image = {0};
    unsigned char *jpeg = NULL;
    size_t bytes = 0;
    mebi_error err = {0};
    int good = mebi_png_load(path, &image, &err) == MEBI_OK &&
               mebi__thumbnail_encode(&image, 1 << 20, quality, &jpeg, &bytes, &err) == MEBI_OK &&
               mebi__pieces_bytes(p, jpeg, bytes);
    mebi_image_release(&image);
    mebi__free(jpeg);
    return good;
}

int mebi__openai_picture(mebi__server *server, const mebi__openai_wish *w, const char *image,
                         mebi__pieces *p) {
    char *path = NULL;
    mebi_error err = {0};
    if (w->as_url)
        return mebi__pieces_text(p, "\"url\":") &&
               mebi__pieces_json(p, json_sprintf("%s/api/v1/images/%s/file", w->base, image));
    if (mebi__jobs_image_file(mebi__server_jobs(server), image, &path, &err) != MEBI_OK || !path)
        return 0;
    int good = mebi__pieces_text(p, "\"b64_json\":\"");
    if (w->format == MEBI__OPENAI_JPEG) good = good && add_jpeg(path, w->quality, p);
    else if (good) {
        good = mebi__pieces_file(p, path);
        path = NULL;
    }
    mebi__free(path);
    return good && mebi__pieces_text(p, "\"");
}

/* One of "data", with its seed beside what that API has. */
static int add_one(mebi__server *server, const mebi__openai_wish *w, const mebi__image *image,
                   int first, mebi__pieces *p) {
    char seed[60];
    snprintf(seed, sizeof seed, ",\"seed\":%lld}", (long long)image->seed);
    return mebi__pieces_text(p, first ? "{" : ",{") &&
           mebi__openai_picture(server, w, image->id, p) && mebi__pieces_text(p, seed);
}

static json_t *rest(const mebi__job *job, const mebi__openai_wish *w, json_t *warnings) {
    return json_pack("{s:I, s:s, s:s, s:o, s:O}", "created", (json_int_t)(job->finished_ms / 1000),
                     "background", "opaque", "output_format",
                     w->format == MEBI__OPENAI_JPEG && !w->as_url ? "jpeg" : "png", "size",
                     json_sprintf("%dx%d", job->request.width, job->request.height), "warnings",
                     warnings);
}

/* {"data":[...],"created":...}: the object of `rest` without its first bracket. */
static int add_rest(mebi__pieces *p, json_t *o) {
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    int good = text && mebi__pieces_text(p, text + 1);
    free(text);
    json_decref(o);
    return good;
}

static void finish(mebi__server *server, const mebi__job *job, json_t *about,
                   mebi__http_answer *a) {
    mebi__openai_wish w = {.quality = 1};
    json_t *warnings = json_object_get(about, "warnings");
    const json_t *o = json_object_get(about, "wish");
    w.as_url = json_is_true(json_object_get(o, "as_url"));
    w.format = (mebi__openai_format)json_integer_value(json_object_get(o, "format"));
    w.quality = (int)json_integer_value(json_object_get(o, "quality"));
    snprintf(w.base, sizeof w.base, "%s", json_string_value(json_object_get(o, "base")));
    if (job->state == MEBI__JOB_CANCELLED)
        mebi__others_warn(warnings, "The job was cancelled; %d of %d pictures were finished.",
                          job->images.count, job->request.count);
    mebi__pieces *p = mebi__pieces_begin();
    int good = p && mebi__pieces_text(p, "{\"data\":[");
    for (int i = 0; i < job->images.count && good; i++)
        good = add_one(server, &w, &job->images.image[i], i == 0, p);
    good = good && mebi__pieces_text(p, "],") && add_rest(p, rest(job, &w, warnings));
    if (good) {
        mebi__pieces_answer(a, p);
        return;
    }
    mebi__pieces_free(p);
    mebi__answer_error(a, 0, MEBI__ERROR_UNAVAILABLE,
                       "The answer can't be made: memory is short, or a picture was removed.");
    mebi__answer_header(a, "X-Should-Retry", "false");
}

static json_t *remember(const mebi__openai_wish *w, json_t *warnings) {
    return json_pack("{s:O, s:{s:b, s:i, s:i, s:s}}", "warnings", warnings, "wish", "as_url",
                     w->as_url, "format", (int)w->format, "quality", w->quality, "base", w->base);
}

void mebi__api_openai_images(mebi__server *server, const mebi__http_request *q,
                             mebi__http_answer *a) {
    body b;
    mebi_request r;
    mebi__fields_fault fault;
    mebi__others_order order;
    mebi__openai_wish wish;
    json_t *object = mebi__body_read(q, a), *warnings = json_array();
    if (object && !make_request(server, object, &b, &r, warnings, &fault)) {
        mebi__answer_error_about(a, 422, MEBI__ERROR_BAD_REQUEST, fault.message, fault.field, NULL);
        mebi__others_warned(a, warnings);
    } else if (object && mebi__others_submit(server, q, &r, &order, a)) {
        fill_wish(q, &b, &wish);
        if (b.stream) mebi__openai_stream(server, &order, &wish, json_incref(warnings), a);
        else mebi__others_wait(server, &order, finish, remember(&wish, warnings), a);
    }
    json_decref(object);
    json_decref(warnings);
}

/* ---- models ---- */

static json_t *model(mebi__server *server) {
    json_t *id = json_string(mebi__jobs_model_name(mebi__server_jobs(server)));
    return json_pack("{s:o, s:s, s:I, s:s}", "id", id ? id : json_string("model"), "object",
                     "model", "created", (json_int_t)(mebi__server_started(server) / 1000),
                     "owned_by", "mebi");
}

void mebi__api_openai_models(mebi__server *server, const mebi__http_request *q,
                             mebi__http_answer *a) {
    (void)q;
    mebi__answer_json(a, 200, json_pack("{s:s, s:[o]}", "object", "list", "data", model(server)));
}

void mebi__api_openai_model(mebi__server *server, const mebi__http_request *q,
                            mebi__http_answer *a) {
    const char *own = mebi__jobs_model_name(mebi__server_jobs(server));
    if (strcmp(q->capture[0], own) == 0) mebi__answer_json(a, 200, model(server));
    else
        mebi__answer_error_about(a, 0, MEBI__ERROR_NOT_FOUND,
                                 "There is no such model. GET /v1/models lists the one there is.",
                                 "model", NULL);
}

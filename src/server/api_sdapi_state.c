/* AUTOMATIC1111's API: what is going on, what there is, and its many lists, most of them empty
 * here. Must never tell a path. */
#include "base/memory.h"
#include "base/os.h"
#include "image/png.h"
#include "server/answer.h"
#include "server/api.h"
#include "server/base64.h"
#include "server/others.h"
#include "server/parameters.h"
#include "server/server.h"
#include "server/view.h"
#include "server/vitals.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- progress ---- */

static json_t *newest_preview(mebi__server *server, const char *job) {
    unsigned char *jpeg = NULL;
    size_t bytes = 0;
    int number;
    mebi_error err = {0};
    if (mebi__jobs_preview(mebi__server_jobs(server), job, &jpeg, &bytes, &number, &err) !=
            MEBI_OK ||
        !jpeg)
        return json_null();
    char *text = mebi__alloc(MEBI__TAG_GENERAL, (bytes + 2) / 3 * 4);
    json_t *o = text ? json_stringn(text, mebi__base64_encode(jpeg, bytes, text)) : json_null();
    mebi__free(text);
    mebi__free(jpeg);
    return o;
}

static json_t *state_of(const mebi__job *job) {
    const mebi_progress *p = job ? &job->progress.at : &(mebi_progress){.step = 0};
    return json_pack("{s:b, s:b, s:b, s:s, s:i, s:s, s:i, s:i, s:i}", "skipped", 0, "interrupted",
                     job && job->cancelling, "stopping_generation", 0, "job", job ? job->id : "",
                     "job_count", job ? job->request.count : 0, "job_timestamp",
                     job ? job->id : "0", "job_no", p->image > 0 ? p->image - 1 : 0,
                     "sampling_step", p->step, "sampling_steps", job ? job->request.steps : 0);
}

/* 0: *answer says what is wrong. */
static int wants_preview(const mebi__http_request *q, int *wanted, mebi__http_answer *a) {
    char skip[8];
    int found = mebi__http_query(q, "skip_current_image", skip, sizeof skip);
    int yes = found > 0 && (strcasecmp(skip, "true") == 0 || strcmp(skip, "1") == 0);
    *wanted = !yes;
    if (found == 0 || yes ||
        (found > 0 && (strcasecmp(skip, "false") == 0 || strcmp(skip, "0") == 0)))
        return 1;
    mebi__answer_error_about(a, 422, MEBI__ERROR_BAD_REQUEST,
                             "skip_current_image takes true or false.", "skip_current_image", NULL);
    return 0;
}

void mebi__api_sdapi_progress(mebi__server *server, const mebi__http_request *q,
                              mebi__http_answer *a) {
    int shows;
    mebi_error err = {0};
    mebi__job *job = NULL;
    if (!wants_preview(q, &shows, a)) return;
    mebi__queue queue = mebi__jobs_queue(mebi__server_jobs(server));
    mebi_status status = MEBI_OK;
    if (*queue.job) status = mebi__jobs_get(mebi__server_jobs(server), queue.job, &job, &err);
    if (status != MEBI_OK) {
        mebi__answer_failure(a, status, &err);
        return;
    }
    double left = job ? job->progress.at.seconds_left : 0;
    mebi__answer_json(a, 200,
                      json_pack("{s:f, s:f, s:o, s:o, s:s?}", "progress",
                                job ? job->progress.at.fraction : 0.0, "eta_relative",
                                left > 0 ? left : 0.0, "state", state_of(job), "current_image",
                                job && shows ? newest_preview(server, job->id) : json_null(), "textinfo",
                                job ? mebi_stage_name(job->progress.at.stage) : NULL));
    mebi__job_free(&job);
}

static int is_ours(const mebi__job *job) {
    return strncmp(job->client, MEBI__OTHERS_SDAPI_CLIENT, strlen(MEBI__OTHERS_SDAPI_CLIENT)) == 0;
}

/* Which to end: the running job if it came over this API, else the newest of this API's that wait,
 * else the running one after all, for the API knows of one job alone, and who asks means that.
 * NULL: none. */
static const mebi__job *to_interrupt(const mebi__job_list *list) {
    const mebi__job *running = NULL, *waiting = NULL;
    for (int i = 0; i < list->count; i++) {
        const mebi__job *job = list->job[i];
        if (job->state == MEBI__JOB_RUNNING) running = job;
        else if (is_ours(job) && (!waiting || job->created_ms >= waiting->created_ms))
            waiting = job;
    }
    return waiting && !(running && is_ours(running)) ? waiting : running;
}

static void interrupt(mebi__server *server, json_t *warnings, mebi__http_answer *a) {
    mebi__cancelled how;
    mebi_error err = {0};
    mebi__jobs *jobs = mebi__server_jobs(server);
    mebi__job_list list = {0};
    mebi_status status =
        mebi__jobs_list(jobs, 1u << MEBI__JOB_RUNNING | 1u << MEBI__JOB_QUEUED, 1, 0, &list, &err);
    const mebi__job *job = status == MEBI_OK ? to_interrupt(&list) : NULL;
    if (job) status = mebi__jobs_cancel(jobs, job->id, &how, &err);
    mebi__job_list_free(&list);
    if (status != MEBI_OK) mebi__answer_failure(a, status, &err);
    else mebi__answer_json(a, 200, json_pack("{s:O}", "warnings", warnings));
    mebi__others_warned(a, warnings);
}

void mebi__api_sdapi_interrupt(mebi__server *server, const mebi__http_request *q,
                               mebi__http_answer *a) {
    json_t *warnings = json_array();
    (void)q;
    interrupt(server, warnings, a);
    json_decref(warnings);
}

void mebi__api_sdapi_skip(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    json_t *warnings = json_array();
    (void)q;
    mebi__others_warn(warnings, "A single picture of a job can't be skipped: the job was ended.");
    interrupt(server, warnings, a);
    json_decref(warnings);
}

/* ---- what there is ---- */

/* "NAME [HASH]", as that API's checkpoints are called. */
static json_t *title(mebi__server *server) {
    mebi_engine_info info;
    mebi__jobs_describe(mebi__server_jobs(server), &info);
    json_t *t = json_sprintf("%s [%.10s]", mebi__jobs_model_name(mebi__server_jobs(server)),
                             info.model_hash ? info.model_hash : "");
    return t ? t : json_string("model");
}

void mebi__api_sdapi_models(mebi__server *server, const mebi__http_request *q,
                            mebi__http_answer *a) {
    mebi_engine_info info;
    (void)q;
    mebi__jobs_describe(mebi__server_jobs(server), &info);
    json_t *name = json_string(mebi__jobs_model_name(mebi__server_jobs(server)));
    if (!name) name = json_string("model");
    mebi__answer_json(a, 200,
                      json_pack("[{s:o, s:O, s:s, s:n, s:o, s:n}]", "title", title(server),
                                "model_name", name, "hash", info.model_hash ? info.model_hash : "",
                                "sha256", "filename", name, "config"));
}

void mebi__api_sdapi_samplers(mebi__server *server, const mebi__http_request *q,
                              mebi__http_answer *a) {
    (void)server, (void)q;
    mebi__answer_json(
        a, 200, json_pack("[{s:s, s:[s], s:{}}]", "name", "Euler", "aliases", "euler", "options"));
}

void mebi__api_sdapi_schedulers(mebi__server *server, const mebi__http_request *q,
                                mebi__http_answer *a) {
    (void)server, (void)q;
    mebi__answer_json(a, 200,
                      json_pack("[{s:s, s:s, s:[], s:f, s:b}, {s:s, s:s, s:[], s:f, s:b}]", "name",
                                "automatic", "label", "Automatic", "aliases", "default_rho", -1.0,
                                "need_inner_model", 0, "name", "simple", "label", "Simple",
                                "aliases", "default_rho", -1.0, "need_inner_model", 0));
}

void mebi__api_sdapi_list(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    (void)server, (void)q;
    mebi__answer_json(a, 200, json_array());
}

void mebi__api_sdapi_embeddings(mebi__server *server, const mebi__http_request *q,
                                mebi__http_answer *a) {
    (void)server, (void)q;
    mebi__answer_json(a, 200, json_pack("{s:{}, s:{}}", "loaded", "skipped"));
}

void mebi__api_sdapi_scripts(mebi__server *server, const mebi__http_request *q,
                             mebi__http_answer *a) {
    (void)server, (void)q;
    mebi__answer_json(a, 200, json_pack("{s:[], s:[]}", "txt2img", "img2img"));
}

void mebi__api_sdapi_flags(mebi__server *server, const mebi__http_request *q,
                           mebi__http_answer *a) {
    (void)q;
    mebi__answer_json(a, 200, json_pack("{s:b, s:i}", "api", 1, "port", mebi__server_port(server)));
}

void mebi__api_sdapi_memory(mebi__server *server, const mebi__http_request *q,
                            mebi__http_answer *a) {
    size_t free_bytes = mebi__memory_available();
    size_t used = mebi__vitals_newest(mebi__server_vitals(server)).own_bytes;
    (void)q;
    if (free_bytes == SIZE_MAX) free_bytes = 0;
    /* "total": what this server could have. */
    mebi__answer_json(a, 200,
                      json_pack("{s:{s:I, s:I, s:I}, s:{s:s}}", "ram", "free",
                                (json_int_t)free_bytes, "used", (json_int_t)used, "total",
                                (json_int_t)(free_bytes + used), "cuda", "error",
                                "unavailable: this server works on the processor"));
}

/* ---- options ---- */

void mebi__api_sdapi_options(mebi__server *server, const mebi__http_request *q,
                             mebi__http_answer *a) {
    mebi_engine_info info;
    (void)q;
    mebi__jobs_describe(mebi__server_jobs(server), &info);
    mebi__answer_json(a, 200,
                      json_pack("{s:o, s:s, s:s, s:b, s:s, s:i, s:b}", "sd_model_checkpoint",
                                title(server), "sd_checkpoint_hash",
                                info.model_hash ? info.model_hash : "", "samples_format", "png",
                                "samples_save", 1, "sd_vae", "Automatic",
                                "CLIP_stop_at_last_layers", 1, "enable_pnginfo", 1));
}

/* 1 if it is how the one model is called, by its title, its name or its hash. */
static int is_our_model(mebi__server *server, const json_t *v) {
    mebi_engine_info info;
    const char *text = json_string_value(v);
    json_t *t = title(server);
    mebi__jobs_describe(mebi__server_jobs(server), &info);
    int is = text && (strcmp(text, json_string_value(t)) == 0 ||
                      strcmp(text, mebi__jobs_model_name(mebi__server_jobs(server))) == 0 ||
                      (info.model_hash && strcmp(text, info.model_hash) == 0));
    json_decref(t);
    return is;
}

/* Nothing can be set, but clients that set what is so anyway may go on. */
void mebi__api_sdapi_options_change(mebi__server *server, const mebi__http_request *q,
                                    mebi__http_answer *a) {
    enum { NAMED = 32 };
    const char *name;
    json_t *v, *body = mebi__body_read(q, a), *warnings;
    if (!body) return;
    warnings = json_array();
    json_object_foreach(body, name, v) {
        if (strcmp(name, "sd_model_checkpoint") == 0 && is_our_model(server, v)) continue;
        if (json_array_size(warnings) == NAMED) {
            mebi__others_warn(warnings, "There are more such options.");
            break;
        }
        mebi__others_warn(warnings, "The option '%.60s' was not changed: %s", name,
                          strcmp(name, "sd_model_checkpoint") == 0
                              ? "this server has one model, named when it is started."
                              : "this server has none of that name here; see /api/v1/settings.");
    }
    mebi__answer_json(a, 200, json_pack("{s:O}", "warnings", warnings));
    mebi__others_warned(a, warnings);
    json_decref(warnings);
    json_decref(body);
}

/* ---- pictures' texts ---- */

/* "data:image/png;base64,..." or what follows the comma alone. NULL: no memory; *bytes 0: no
 * base64. */
static unsigned char *decode(const json_t *v, size_t *bytes) {
    const char *text = json_string_value(v), *comma = NULL;
    size_t length = json_string_length(v);
    if (length > 5 && strncmp(text, "data:", 5) == 0 && (comma = memchr(text, ',', length))) {
        length -= (size_t)(comma + 1 - text);
        text = comma + 1;
    }
    unsigned char *data = mebi__alloc(MEBI__TAG_GENERAL, length / 4 * 3 + 4);
    *bytes = data ? mebi__base64_decode(text, length, data) : 0;
    return data;
}

static void answer_info(mebi__http_answer *a, const void *data, size_t bytes) {
    int width, height, count;
    mebi_png_text *texts = NULL;
    const char *found = NULL;
    mebi_error err = {0};
    mebi_status status =
        mebi__png_parse_texts("The picture", data, bytes, &width, &height, &texts, &count, &err);
    if (status != MEBI_OK) {
        mebi__answer_failure(a, status, &err);
        return;
    }
    json_t *items = json_object();
    for (int i = 0; i < count; i++) {
        json_object_set_new(items, texts[i].keyword, json_string(texts[i].text));
        if (strcmp(texts[i].keyword, "parameters") == 0) found = texts[i].text;
    }
    json_t *info = found ? json_string(found) : NULL,
           *parameters = found ? mebi__parameters_read(found) : NULL;
    const json_t *cfg = json_object_get(parameters, "cfg");
    if (cfg) { /* under its name there, and counted as there */
        json_object_set_new(parameters, "cfg_scale", mebi__view_number(json_real_value(cfg) + 1));
        json_object_del(parameters, "cfg");
    }
    mebi__answer_json(a, 200,
                      json_pack("{s:o, s:o, s:o}", "info", info ? info : json_string(""), "items",
                                items, "parameters", parameters ? parameters : json_object()));
    mebi_png_texts_free(texts);
}

void mebi__api_sdapi_png_info(mebi__server *server, const mebi__http_request *q,
                              mebi__http_answer *a) {
    size_t bytes = 0;
    json_t *body = mebi__body_read(q, a);
    (void)server;
    if (!body) return;
    const json_t *image = json_object_get(body, "image");
    unsigned char *data = json_is_string(image) ? decode(image, &bytes) : NULL;
    if (bytes) answer_info(a, data, bytes);
    else
        mebi__answer_error_about(a, 422, MEBI__ERROR_BAD_REQUEST,
                                 "image takes a PNG in base64: \"image\": \"iVBORw0...\".", "image",
                                 NULL);
    mebi__free(data);
    json_decref(body);
}

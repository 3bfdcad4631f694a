/* AUTOMATIC1111's API: making pictures. Its cfg_scale s steers by neg + s (pos - neg), which is
 * pos + (s - 1)(pos - neg): mebi's cfg is s - 1. Must never drop a wish without saying so. */
#include "server/api.h"
#include "base/memory.h"
#include "mebi/mebi.h"
#include "server/answer.h"
#include "server/order.h"
#include "server/others.h"
#include "server/pieces.h"
#include "server/server.h"
#include "server/view.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct wish {
    const char *prompt, *negative_prompt, *sampler_name, *sampler_index, *scheduler;
    int width, height, steps, batch_size, n_iter, send_images;
    float cfg_scale;
    int64_t seed;
} wish;

#define AT(member) offsetof(wish, member)

static const mebi__field fields[] = {
    {"prompt", MEBI__FIELD_TEXT, AT(prompt), 0, MEBI__PROMPT_BYTES, {NULL}},
    {"negative_prompt", MEBI__FIELD_TEXT, AT(negative_prompt), 0, MEBI__PROMPT_BYTES, {NULL}},
    {"width", MEBI__FIELD_INT, AT(width), 1, 16384, {NULL}},
    {"height", MEBI__FIELD_INT, AT(height), 1, 16384, {NULL}},
    {"steps", MEBI__FIELD_INT, AT(steps), 1, 120, {NULL}},
    {"cfg_scale", MEBI__FIELD_NUMBER, AT(cfg_scale), 0, 101, {NULL}},
    {"seed", MEBI__FIELD_WIDE, AT(seed), -1, 9007199254740992.0, {NULL}},
    {"batch_size", MEBI__FIELD_INT, AT(batch_size), 1, 64, {NULL}},
    {"n_iter", MEBI__FIELD_INT, AT(n_iter), 1, 64, {NULL}},
    {"sampler_name", MEBI__FIELD_TEXT, AT(sampler_name), 0, 200, {NULL}},
    {"sampler_index", MEBI__FIELD_TEXT, AT(sampler_index), 0, 200, {NULL}},
    {"scheduler", MEBI__FIELD_TEXT, AT(scheduler), 0, 200, {NULL}},
    {"send_images", MEBI__FIELD_BOOL, AT(send_images), 0, 1, {NULL}},
};

/* Fields of that API which do nothing here. Those that are empty, or of the value named, ask for
 * nothing, and need no warning. */
static const struct {
    const char *name;
    double neutral;
} idle[] = {{"styles", 0},
            {"subseed", -1},
            {"subseed_strength", 0},
            {"seed_resize_from_h", -1},
            {"seed_resize_from_w", -1},
            {"restore_faces", 0},
            {"tiling", 0},
            {"eta", 1},
            {"s_min_uncond", 0},
            {"s_churn", 0},
            {"s_tmax", 0},
            {"s_tmin", 0},
            {"s_noise", 1},
            {"override_settings", 0},
            {"refiner_checkpoint", 0},
            {"refiner_switch_at", 0},
            {"disable_extra_networks", 1},
            {"comments", 0},
            {"enable_hr", 0},
            {"script_name", 0},
            {"script_args", 0},
            {"alwayson_scripts", 0},
            {"infotext", 0},
            {"save_images", 1},                          /* all are kept in the history, */
            {"do_not_save_samples", 0},                  /* so this one can't be done */
            {"do_not_save_grid", 1},                     /* there are no grids, */
            {"override_settings_restore_afterwards", 1}, /* and no changed settings */
            {"force_task_id", 0},
            {"use_async", 0}};

/* Means something only beside enable_hr. */
static int is_of_upscaling(const char *name) {
    return strncmp(name, "hr_", 3) == 0 || strncmp(name, "firstphase_", 11) == 0 ||
           strcmp(name, "denoising_strength") == 0;
}

static int asks_for_nothing(const json_t *v, double neutral) {
    if (mebi__others_is_nothing(v) || (json_is_true(v) && neutral > 0)) return 1;
    double d = json_number_value(v);
    return json_is_number(v) && d >= neutral && d <= neutral;
}

/* Takes those fields out of the object, and says which of them would have asked for something. */
static void take_idle(json_t *o, json_t *warnings) {
    const char *name;
    json_t *v;
    void *next;
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++) {
        v = json_object_get(o, idle[i].name);
        if (v && !asks_for_nothing(v, idle[i].neutral))
            mebi__others_warn(warnings, "%s was not used: this server has nothing of the kind.",
                              idle[i].name);
        json_object_del(o, idle[i].name);
    }
    json_object_foreach_safe(o, next, name, v) if (is_of_upscaling(name)) json_object_del(o, name);
}

/* ---- reading ---- */

static void check_words(const wish *w, json_t *warnings) {
    const char *sampler = w->sampler_name ? w->sampler_name : w->sampler_index;
    if (sampler && *sampler && strcasecmp(sampler, "Euler") != 0)
        mebi__others_warn(warnings, "There is no sampler '%.60s'; Euler was used.", sampler);
    if (w->scheduler && *w->scheduler && strcasecmp(w->scheduler, "Simple") != 0 &&
        strcasecmp(w->scheduler, "Automatic") != 0)
        mebi__others_warn(warnings, "There is no scheduler '%.60s'; Simple was used.",
                          w->scheduler);
    if (w->cfg_scale < 1)
        mebi__others_warn(warnings, "cfg_scale %g was taken for 1, which is no guidance.",
                          (double)w->cfg_scale);
}

/* 0: *fault says what is wrong. */
static int make_request(mebi__server *server, const json_t *object, wish *w, mebi_request *r,
                        json_t *warnings, mebi__fields_fault *fault) {
    *r = mebi__order_default(server);
    *w = (wish){.width = r->width,
                .height = r->height,
                .steps = r->steps,
                .batch_size = 1,
                .n_iter = 1,
                .send_images = 1,
                .cfg_scale = r->cfg + 1,
                .seed = -1};
    if (!mebi__fields_read(fields, (int)(sizeof fields / sizeof *fields), object, w, warnings,
                           fault))
        return 0;
    if (w->batch_size * w->n_iter > 64) {
        *fault = (mebi__fields_fault){"batch_size", "batch_size times n_iter is at most 64."};
        return 0;
    }
    check_words(w, warnings);
    r->prompt = w->prompt, r->negative_prompt = w->negative_prompt;
    r->width = w->width, r->height = w->height, r->steps = w->steps;
    r->cfg = w->cfg_scale > 1 ? w->cfg_scale - 1 : 0;
    r->seed = w->seed;
    r->count = w->batch_size * w->n_iter;
    r->draft = 0;
    r->preview_every = 1; /* for who asks for progress meanwhile */
    return 1;
}

/* ---- answering ---- */

static json_t *all_of(const json_t *one, int count) {
    json_t *list = json_array();
    for (int i = 0; i < count; i++) json_array_append(list, (json_t *)(uintptr_t)one);
    return list;
}

static json_t *text_or_empty(const char *text) {
    json_t *s = text ? json_string(text) : NULL;
    return s ? s : json_string("");
}

/* What stands in "info", itself as text. */
static json_t *info(mebi__server *server, const mebi__job *job) {
    const mebi_request *r = &job->request;
    const mebi__images *all = &job->images;
    mebi_engine_info engine;
    json_t *seeds = json_array(), *texts = json_array();
    mebi__jobs_describe(mebi__server_jobs(server), &engine);
    for (int i = 0; i < all->count; i++) {
        json_array_append_new(seeds, json_integer((json_int_t)all->image[i].seed));
        json_array_append_new(texts, text_or_empty(all->image[i].parameters));
    }
    json_t *prompt = text_or_empty(r->prompt), *negative = text_or_empty(r->negative_prompt);
    json_t *o = json_pack(
        "{s:O, s:o, s:O, s:o, s:I, s:o, s:i, s:[], s:i, s:i, s:i, s:s, s:o, s:i, s:i}", "prompt",
        prompt, "all_prompts", all_of(prompt, all->count), "negative_prompt", negative,
        "all_negative_prompts", all_of(negative, all->count), "seed", (json_int_t)r->seed,
        "all_seeds", seeds, "subseed", -1, "all_subseeds", "subseed_strength", 0, "width", r->width,
        "height", r->height, "sampler_name", "Euler", "cfg_scale", mebi__view_number(r->cfg + 1),
        "steps", r->steps, "batch_size", r->count);
    json_t *rest =
        json_pack("{s:b, s:n, s:o, s:s, s:i, s:{}, s:i, s:o, s:[], s:s, s:i, s:b, s:s, s:s}",
                  "restore_faces", 0, "face_restoration_model", "sd_model_name",
                  text_or_empty(mebi__jobs_model_name(mebi__server_jobs(server))), "sd_model_hash",
                  engine.model_hash ? engine.model_hash : "", "denoising_strength", 0,
                  "extra_generation_params", "index_of_first_image", 0, "infotexts", texts,
                  "styles", "job_timestamp", job->id, "clip_skip", 1,
                  "is_using_inpainting_conditioning", 0, "version", mebi_version(), "job", job->id);
    if (o && rest) json_object_update(o, rest);
    json_decref(rest);
    json_decref(prompt);
    json_decref(negative);
    char *text =
        o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(o);
    json_t *string = text ? json_string(text) : NULL;
    free(text);
    return string;
}

/* "...","...": the pictures that are still there. 0: no memory. */
static int add_images(mebi__server *server, const mebi__job *job, mebi__pieces *p) {
    int good = 1, written = 0;
    for (int i = 0; i < job->images.count && good; i++) {
        char *path = NULL;
        mebi_error err = {0};
        if (mebi__jobs_image_file(mebi__server_jobs(server), job->images.image[i].id, &path,
                                  &err) != MEBI_OK ||
            !path)
            continue;
        good = mebi__pieces_text(p, written++ ? ",\"" : "\"");
        if (good) good = mebi__pieces_file(p, path) && mebi__pieces_text(p, "\"");
        else mebi__free(path);
    }
    return good;
}

static void finish(mebi__server *server, const mebi__job *job, json_t *about,
                   mebi__http_answer *a) {
    json_t *warnings = json_object_get(about, "warnings");
    mebi__pieces *p = mebi__pieces_begin();
    if (job->state == MEBI__JOB_CANCELLED)
        mebi__others_warn(warnings, "The job was interrupted; %d of %d pictures were finished.",
                          job->images.count, job->request.count);
    int good =
        p && mebi__pieces_text(p, "{\"images\":[") &&
        (json_is_false(json_object_get(about, "send_images")) || add_images(server, job, p)) &&
        mebi__pieces_text(p, "],\"parameters\":") &&
        mebi__pieces_json(p, json_incref(json_object_get(about, "parameters"))) &&
        mebi__pieces_text(p, ",\"info\":") && mebi__pieces_json(p, info(server, job)) &&
        mebi__pieces_text(p, ",\"warnings\":") && mebi__pieces_json(p, json_incref(warnings)) &&
        mebi__pieces_text(p, "}");
    if (good) mebi__pieces_answer(a, p);
    else {
        mebi__pieces_free(p);
        mebi__answer_error(a, 0, MEBI__ERROR_UNAVAILABLE,
                           "There is no memory for the answer; the pictures are in the history.");
    }
}

void mebi__api_sdapi_txt2img(mebi__server *server, const mebi__http_request *q,
                             mebi__http_answer *a) {
    wish w;
    mebi_request r;
    mebi__fields_fault fault;
    mebi__others_order order;
    json_t *body = mebi__body_read(q, a), *object = body ? json_copy(body) : NULL,
           *warnings = json_array();
    if (object) take_idle(object, warnings);
    if (object && !make_request(server, object, &w, &r, warnings, &fault)) {
        mebi__answer_error_about(a, 422, MEBI__ERROR_BAD_REQUEST, fault.message, fault.field, NULL);
        mebi__others_warned(a, warnings);
    } else if (object && mebi__others_submit(server, q, &r, &order, a))
        mebi__others_wait(server, &order, finish,
                          json_pack("{s:O, s:O, s:b}", "parameters", body, "warnings", warnings,
                                    "send_images", w.send_images),
                          a);
    json_decref(object);
    json_decref(body);
    json_decref(warnings);
}

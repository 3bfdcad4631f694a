/* A picture's file. Must never leave a file that its row does not tell of, as long as the process lives, and never
 * believe a file that is not whole. */
#include "jobs/picture.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/os.h"
#include "image/metadata.h"
#include "jobs/codec.h"
#include "jobs/files.h"
#include "jobs/internal.h"
#include "jobs/thumbnail.h"
#include "jobs/words.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void mebi__picture_id(const char *job, int index, char out[MEBI__IMAGE_ID]) {
    snprintf(out, MEBI__IMAGE_ID, "%.47s-%u", job, (unsigned)(index + 1) % 100u);
}

static char *copy(const char *text) {
    return mebi__copy_string(text ? text : "", text ? strlen(text) : 0);
}

/* ---- saving ---- */

static char *job_text(const mebi__job *j, int index, int64_t created_ms) {
    json_t *o = json_pack("{s:s, s:i, s:i, s:I}", "job", j->id, "index", index, "count",
                          j->request.count, "created_ms", (json_int_t)created_ms);
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(o);
    return text;
}

/* A file of the same id has no row: it would have been taken up, or is of an attempt whose row could not be written. */
static mebi_status save_png(const char *path, const mebi_image *image, const mebi_png_text *texts,
                            mebi_error *err) {
    mebi_error own = {0};
    int exists = 0;
    mebi_status status = mebi_png_save(path, image, texts, 3, &exists, &own);
    if (status != MEBI_OK && exists && unlink(path) == 0) {
        own = (mebi_error){0};
        status = mebi_png_save(path, image, texts, 3, &exists, &own);
    }
    return status == MEBI_OK ? status : mebi__fail(err, status, "%s", own.text);
}

static mebi__image *describe(const mebi__job *j, int index, int64_t seed, const mebi_image *image,
                             const char *model, const char *model_hash, const char *parameters,
                             mebi__images *out) {
    const mebi_request *r = &j->request;
    mebi__image *m = out->image = mebi__alloc(MEBI__TAG_GENERAL, sizeof *m);
    if (!m) return NULL;
    out->count = 1;
    *m = (mebi__image){.index = index, .width = image->width, .height = image->height,
                       .seed = seed, .steps = r->steps, .cfg = r->cfg,
                       .created_ms = mebi__wall_ms(),
                       .prompt = copy(r->prompt), .negative_prompt = copy(r->negative_prompt),
                       .model = copy(model), .model_hash = copy(model_hash),
                       .parameters = copy(parameters)};
    if (r->draft && image->width < r->width)
        m->draft = r->draft, m->draft_width = r->width, m->draft_height = r->height;
    memcpy(m->job, j->id, sizeof m->job);
    mebi__picture_id(j->id, index, m->id);
    return m->prompt && m->negative_prompt && m->model && m->model_hash && m->parameters ? m : NULL;
}

static mebi_status save_files(const char *folder, mebi__image *m, const char *file,
                              const mebi_image *image, const mebi_png_text *texts,
                              mebi_error *err) {
    char *path = mebi__files_path(folder, "images", file, "");
    char *small = mebi__files_path(folder, "thumbnails", m->id, ".jpg");
    mebi_error own = {0};
    struct stat about;
    mebi_status status = path && small
                             ? mebi__make_parents(path, err)
                             : mebi__fail(err, MEBI_NO_MEMORY, "No memory for a picture's path.");
    if (status == MEBI_OK) status = save_png(path, image, texts, err);
    if (status == MEBI_OK && stat(path, &about) == 0) m->bytes = about.st_size;
    /* It is made anew when it is asked for. */
    if (status == MEBI_OK) (void)!mebi__thumbnail_save(small, image, &own);
    mebi__free(path);
    mebi__free(small);
    return status;
}

mebi_status mebi__picture_save(const char *folder, const mebi__job *job, int index, int64_t seed,
                               const mebi_image *image, const char *model, const char *model_hash,
                               mebi__images *out, char file[80], mebi_error *err) {
    mebi__metadata about = {&job->request, image->width, image->height, model, model_hash};
    char *parameters = mebi__metadata_parameters(&about, seed);
    char *json = mebi__metadata_json(&about, seed), *own = NULL;
    *out = (mebi__images){0};
    mebi__image *m = describe(job, index, seed, image, model, model_hash, parameters, out);
    if (m) own = job_text(job, index, m->created_ms);
    mebi_status status = MEBI_OK;
    if (!parameters || !json || !own)
        status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for what a picture says of itself.");
    else {
        mebi_png_text texts[] = {{"parameters", parameters}, {"mebi", json}, {"mebi-job", own}};
        mebi__files_name(m->id, m->created_ms, file, 80);
        status = save_files(folder, m, file, image, texts, err);
    }
    free(parameters);
    free(json);
    free(own);
    if (status != MEBI_OK) mebi__images_free(out);
    return status;
}

void mebi__picture_unsave(const char *folder, const char *id, const char *file) {
    mebi_error err = {0};
    char *path = mebi__files_path(folder, "images", file, "");
    char *small = mebi__files_path(folder, "thumbnails", id, ".jpg");
    if (path) (void)!mebi__files_remove(path, &err);
    if (small) (void)!mebi__files_remove(small, &err);
    mebi__free(path);
    mebi__free(small);
}

/* ---- reading ---- */

static const char *text_of(const mebi_png_text *texts, int count, const char *keyword) {
    for (int i = 0; i < count; i++)
        if (strcmp(texts[i].keyword, keyword) == 0) return texts[i].text;
    return NULL;
}

static const char *member(const json_t *o, const char *name) {
    const char *text = json_string_value(json_object_get(o, name));
    return text ? text : "";
}

static int take_job(const json_t *o, mebi__image *m, mebi_request *request) {
    const char *job = member(o, "job");
    json_int_t index = json_integer_value(json_object_get(o, "index"));
    json_int_t count = json_integer_value(json_object_get(o, "count"));
    if (!mebi__files_is_id(job, strlen(job)) || strlen(job) >= sizeof m->job || index < 0 ||
        index >= count || count > 64)
        return 0;
    memcpy(m->job, job, strlen(job) + 1);
    m->index = (int)index;
    m->created_ms = json_integer_value(json_object_get(o, "created_ms"));
    request->count = (int)count;
    mebi__picture_id(m->job, m->index, m->id);
    return 1;
}

static void take_draft(const json_t *o, mebi__image *m, mebi_request *r) {
    json_int_t w = json_integer_value(json_object_get(o, "width"));
    json_int_t h = json_integer_value(json_object_get(o, "height"));
    json_int_t factor = json_integer_value(json_object_get(o, "factor"));
    if (factor < 2 || factor > 8 || w < 1 || h < 1 || w > 99999 || h > 99999) return;
    r->draft = m->draft = (int)factor;
    r->width = m->draft_width = (int)w;
    r->height = m->draft_height = (int)h;
}

/* request: of the picture; its seed becomes that of the job's first. */
static int take_request(const char *json, mebi__image *m, mebi_request *r) {
    json_t *o = json ? json_loads(json, JSON_REJECT_DUPLICATES, NULL) : NULL;
    int count = r->count;
    int good = json_is_object(o) && mebi__codec_read_request(json, r);
    r->count = count;
    m->prompt = (char *)r->prompt;
    m->negative_prompt = (char *)r->negative_prompt;
    m->model = copy(member(o, "model"));
    m->model_hash = copy(member(o, "model_hash"));
    m->seed = r->seed;
    m->steps = r->steps;
    m->cfg = r->cfg;
    if (r->seed >= m->index) r->seed -= m->index;
    if (good) take_draft(json_object_get(o, "draft"), m, r);
    json_decref(o);
    return good && m->model && m->model_hash && r->seed >= 0;
}

/* The last chunk, which holds nothing: who has it has all. */
static int has_end(const char *path, int64_t *bytes) {
    static const unsigned char end[12] = {0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};
    unsigned char last[12];
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), good = 0;
    if (fd < 0) return 0;
    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 12)
        good = pread(fd, last, 12, about.st_size - 12) == 12 && memcmp(last, end, 12) == 0;
    *bytes = about.st_size;
    close(fd);
    return good;
}

static mebi_status check_pixels(const char *path, mebi_error *err) {
    mebi_image pixels = {0};
    MEBI_TRY(mebi_png_load(path, &pixels, err));
    mebi_image_release(&pixels);
    return MEBI_OK;
}

static int take_texts(const mebi_png_text *texts, int count, mebi__image *m, mebi_request *request) {
    const char *own = text_of(texts, count, "mebi-job");
    json_t *o = own ? json_loads(own, JSON_REJECT_DUPLICATES, NULL) : NULL;
    int good = o && take_job(o, m, request) && take_request(text_of(texts, count, "mebi"), m, request);
    json_decref(o);
    if (good) m->parameters = copy(text_of(texts, count, "parameters"));
    return good && m->parameters;
}

mebi_status mebi__picture_read(const char *path, int whole, mebi__images *out,
                               mebi_request *request, mebi_error *err) {
    mebi_png_text *texts = NULL;
    int count = 0;
    *out = (mebi__images){.image = mebi__alloc(MEBI__TAG_GENERAL, sizeof *out->image), .count = 1};
    mebi__image *m = out->image;
    *request = (mebi_request){.steps = 8, .cfg_truncation = 1, .count = 1};
    if (!m) {
        out->count = 0;
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a picture's row.");
    }
    mebi_status status = MEBI_OK;
    if (!has_end(path, &m->bytes))
        status = mebi__fail(err, MEBI_BAD_FILE, "%.300s is not whole.", path);
    if (status == MEBI_OK)
        status = mebi_png_read_texts(path, &m->width, &m->height, &texts, &count, err);
    if (status == MEBI_OK && whole) status = check_pixels(path, err);
    if (status == MEBI_OK && !take_texts(texts, count, m, request))
        status = mebi__fail(err, MEBI_BAD_FILE, "%.300s does not say which job made it.", path);
    mebi_png_texts_free(texts);
    if (status != MEBI_OK) mebi__images_free(out);
    return status;
}

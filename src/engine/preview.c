/* Previews of an engine's jobs: the map from latents to colours, found once a model, and pictures made with it. Must
 * never make a job fail that would succeed without previews, but for lack of the memory that was planned. */
#include "engine/job.h"

#include "base/cache_folder.h"
#include "base/writer.h"
#include "weights/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FORMAT = 1, FILE_BYTES = 64 << 10 };

static const double largest = 100; /* of a map's numbers: a latent's are about 1, a colour's 0 to 1 */

/* ---- files ----
 *
 * {"format": 1, "channels": 16, "factors": [[red's 16, and a constant], [green's], [blue's]]} */

static int read_row(const json_t *row, int channels, float *out) {
    if ((int)json_array_size(row) != channels + 1) return 0;
    for (int c = 0; c <= channels; c++) {
        const json_t *v = json_array_get(row, (size_t)c);
        double x = json_is_number(v) ? json_number_value(v) : largest + 1;
        if (!(fabs(x) <= largest)) return 0;
        out[c] = (float)x;
    }
    return 1;
}

/* 0 if the file is not there, or not such a file for this model. */
static int read_map(const char *path, int channels, mebi__preview_map *out) {
    char *text = NULL;
    size_t bytes;
    json_t *root = NULL;
    mebi__preview_map map = {.channels = channels};
    int good = mebi__read_file(path, FILE_BYTES, &text, &bytes, NULL) == MEBI_OK &&
               mebi__json_parse("preview", text, bytes, &root, NULL) == MEBI_OK &&
               json_integer_value(json_object_get(root, "format")) == FORMAT &&
               json_integer_value(json_object_get(root, "channels")) == channels;
    const json_t *factors = good ? json_object_get(root, "factors") : NULL;
    good &= json_array_size(factors) == 3;
    for (size_t i = 0; i < 3 && good; i++) good = read_row(json_array_get(factors, i), channels, map.of[i]);
    json_decref(root);
    mebi__free(text);
    if (good) *out = map;
    return good;
}

static mebi_status write_map(const char *path, const mebi__preview_map *map) {
    json_t *factors = json_array();
    mebi__writer writer = {.fd = -1};
    for (int i = 0; i < 3; i++) {
        json_t *row = json_array();
        for (int c = 0; c <= map->channels; c++) json_array_append_new(row, json_real((double)map->of[i][c]));
        json_array_append_new(factors, row);
    }
    json_t *root = json_pack("{s:i, s:i, s:o}", "format", FORMAT, "channels", map->channels, "factors", factors);
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    mebi_status status = text ? mebi__writer_open(path, &writer, NULL) : MEBI_NO_MEMORY;
    if (status == MEBI_OK) status = mebi__writer_append(&writer, text, strlen(text), NULL);
    if (status == MEBI_OK) status = mebi__writer_replace(&writer, NULL);
    mebi__writer_abandon(&writer);
    free(text);
    json_decref(root);
    return status;
}

/* <cache>/preview-<model hash>.json; NULL: nothing is kept. */
static char *cache_path(const mebi_engine *e) {
    char name[48], *folder = NULL, *path;
    if (e->shapes_only || (e->cache && !*e->cache)) return NULL;
    if (!e->cache && mebi__cache_folder(&folder, NULL) != MEBI_OK) return NULL;
    snprintf(name, sizeof name, "preview-%s.json", e->files.hash);
    path = mebi__join_path(folder ? folder : e->cache, name);
    mebi__free(folder);
    return path;
}

/* Where nothing can be kept the next process finds it again. */
static void keep(const mebi_engine *e) {
    int fd = -1;
    char *path = cache_path(e);
    if (path && mebi__cache_folder_open(e->cache, 1, &fd, NULL) == MEBI_OK) (void)write_map(path, &e->preview);
    if (fd >= 0) close(fd);
    mebi__free(path);
}

static int is_possible(const mebi_engine *e) {
    return e->pipeline.dit.config.channels <= MEBI__PREVIEW_CHANNELS;
}

void mebi__engine_load_preview(mebi_engine *e) {
    int channels = e->pipeline.dit.config.channels;
    char *path = cache_path(e);
    if (!is_possible(e)) channels = 0;
    if (!(channels && e->preview_path && read_map(e->preview_path, channels, &e->preview)) && channels && path)
        (void)read_map(path, channels, &e->preview);
    mebi__free(path);
}

/* ---- in a job ---- */

int mebi__job_previews(const mebi__job *j) {
    /* A plan doesn't know whether somebody will look. */
    int wanted = !j->callbacks || j->callbacks->preview;
    return wanted && is_possible(j->engine) ? j->request->preview_every : 0;
}

static size_t picture_bytes(const mebi__job *j) {
    return (size_t)(j->how.latent_height * j->how.latent_width) * 3;
}

static int scale_of(const mebi__job *j) {
    return mebi__vae_scale(&j->engine->pipeline.vae.config);
}

size_t mebi__job_preview_bytes(const mebi__job *j) {
    if (!j->how.preview_every) return 0;
    size_t bytes = mebi__memory_block(mebi__job_latent_elements(j) * sizeof(float)) +
                   mebi__memory_block(picture_bytes(j));
    if (j->seen.preview_known) return bytes;
    return bytes + mebi__memory_block(mebi__preview_fit_bytes(j->engine->pipeline.dit.config.channels, scale_of(j)));
}

mebi_status mebi__job_preview_take(mebi__job *j) {
    size_t floats = mebi__job_latent_elements(j);
    if (!j->how.preview_every) return MEBI_OK;
    j->clean = mebi__alloc_array(MEBI__TAG_ACTIVATIONS, floats, sizeof *j->clean);
    j->preview = (mebi_image){.width = (int)j->how.latent_width, .height = (int)j->how.latent_height};
    j->preview.pixels = mebi__alloc(MEBI__TAG_OUTPUT, picture_bytes(j));
    int taken = j->clean && j->preview.pixels;
    if (taken && !j->seen.preview_known)
        taken = mebi__preview_fit_take(j->engine->pipeline.dit.config.channels, scale_of(j), &j->fit);
    if (!taken) return mebi__fail(j->err, MEBI_NO_MEMORY, "No memory for previews.");
    memset(j->clean, 0, floats * sizeof *j->clean);
    memset(j->preview.pixels, 0, picture_bytes(j));
    return MEBI_OK;
}

void mebi__job_preview_give(mebi__job *j) {
    mebi__preview_fit_give(&j->fit);
    mebi__free(j->clean);
    mebi__free(j->preview.pixels);
    j->clean = NULL;
    j->preview = (mebi_image){0};
}

int mebi__job_preview_fit(mebi__job *j) {
    mebi_engine *e = j->engine;
    mebi__stream *s = &j->stream;
    mebi__preview_map map;
    if (!j->fit.sums || s->status != MEBI_OK) return 1;
    mebi__pipeline_decode(s, &e->pipeline, &j->rung.shape.way, j->fit.latent, MEBI__PREVIEW_SIDE,
                          MEBI__PREVIEW_SIDE, j->fit.pixels);
    if (s->status == MEBI_OK) {
        mebi__preview_solve(&j->fit, &map);
        mebi__engine_lock(e);
        e->preview = map;
        mebi__engine_unlock(e);
        keep(e);
    }
    mebi__preview_fit_give(&j->fit);
    if (s->status != MEBI_NUMERIC) return 1;
    /* The decoder makes nothing of the sample. It may still of pictures. */
    s->status = MEBI_OK;
    j->trouble = (mebi_error){0};
    j->how.preview_every = 0;
    return 0;
}

void mebi__job_preview_show(void *context, int step, int picture) {
    mebi__job *j = context;
    mebi__preview_paint(&j->engine->preview, j->clean, j->how.latent_height, j->how.latent_width, j->preview.pixels);
    j->callbacks->preview(j->callbacks->context, j->first + picture, step, &j->preview);
}

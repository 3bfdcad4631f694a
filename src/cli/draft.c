/* Drafts. The file may come from anywhere: nothing of it is taken that a command line would be
 * refused for. */
#include "cli/draft.h"

#include "base/error.h"
#include "base/memory.h"
#include "cli/prompt.h"
#include "mebi/image.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static mebi_status damaged(const char *path, const char *key, mebi_error *err) {
    return mebi__fail(err, MEBI_BAD_FILE,
                      "%.300s says how it was made, but its \"%s\" is missing or makes no sense.",
                      path, key);
}

/* A number, as it would be written on a command line. */
static mebi_status take_number(const char *path, const json_t *o, const char *key,
                               mebi__setting_id id, mebi__config *config, mebi_error *err) {
    const json_t *value = json_object_get(o, key);
    char text[40];
    if (json_is_integer(value))
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value)) snprintf(text, sizeof text, "%.9g", json_real_value(value));
    else return damaged(path, key, err);
    mebi_error own = {0};
    mebi_status status = mebi__config_set(config, id, MEBI__ORIGIN_PICTURE, text, &own);
    if (status == MEBI_OK) return status;
    return mebi__fail(err, status == MEBI_NO_MEMORY ? status : MEBI_BAD_FILE, "%.300s: %s", path,
                      own.text);
}

static mebi_status take_size(const char *path, const json_t *o, mebi__config *config,
                             mebi_error *err) {
    const json_t *about = json_object_get(o, "draft");
    const json_t *width = json_object_get(about, "width"),
                 *height = json_object_get(about, "height");
    char text[40];
    if (!about)
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "%.300s is no draft: it is a whole picture already. --from-draft takes what "
            "`mebi generate --draft` made; `mebi info` tells this one's prompt and seed.",
            path);
    long long w = json_integer_value(width), h = json_integer_value(height);
    if (w < 1 || h < 1 || w > 99999 || h > 99999) return damaged(path, "draft", err);
    snprintf(text, sizeof text, "%lldx%lld", w, h);
    return mebi__config_set(config, MEBI__SET_SIZE, MEBI__ORIGIN_PICTURE, text, err);
}

/* A missing or null one is NULL. */
static mebi_status take_text(const char *path, const json_t *o, const char *key, char **out,
                             mebi_error *err) {
    const json_t *value = json_object_get(o, key);
    if (!value || json_is_null(value)) return MEBI_OK;
    if (!json_is_string(value) || json_string_length(value) > PROMPT_BYTES)
        return damaged(path, key, err);
    *out = mebi__copy_string(json_string_value(value), json_string_length(value));
    return *out ? MEBI_OK : mebi__fail(err, MEBI_NO_MEMORY, "No memory for a draft's prompt.");
}

static mebi_status take_all(const char *path, const json_t *o, mebi__config *config, draft *d,
                            mebi_error *err) {
    const char *program = json_string_value(json_object_get(o, "program"));
    if (!program || strcmp(program, "mebi") != 0) return damaged(path, "program", err);
    MEBI_TRY(take_size(path, o, config, err));
    MEBI_TRY(take_number(path, o, "steps", MEBI__SET_STEPS, config, err));
    MEBI_TRY(take_number(path, o, "cfg", MEBI__SET_CFG, config, err));
    MEBI_TRY(take_number(path, o, "cfg_truncation", MEBI__SET_CFG_TRUNCATION, config, err));
    MEBI_TRY(take_number(path, o, "cfg_normalization", MEBI__SET_CFG_NORMALIZATION, config, err));
    MEBI_TRY(take_number(path, o, "seed", MEBI__SET_SEED, config, err));
    /* However many the settings ask for, a draft is of one picture. */
    MEBI_TRY(mebi__config_set(config, MEBI__SET_COUNT, MEBI__ORIGIN_PICTURE, "1", err));
    MEBI_TRY(take_text(path, o, "prompt", &d->prompt, err));
    if (!d->prompt) return damaged(path, "prompt", err);
    MEBI_TRY(take_text(path, o, "negative_prompt", &d->negative, err));
    return take_text(path, o, "model_hash", &d->model_hash, err);
}

mebi_status draft_read(const char *path, mebi__config *config, draft *d, mebi_error *err) {
    mebi_png_text *texts;
    int width, height, count;
    const char *own = NULL;
    MEBI_TRY(mebi_png_read_texts(path, &width, &height, &texts, &count, err));
    for (int i = 0; i < count && !own; i++)
        if (strcmp(texts[i].keyword, "mebi") == 0) own = texts[i].text;
    mebi_status status = MEBI_OK;
    if (!own)
        status = mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "%.300s does not say how it was made. --from-draft takes what `mebi generate "
            "--draft` made; other programs drop what a PNG says when they save it anew.",
            path);
    json_t *o = own ? json_loads(own, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (own) status = o ? take_all(path, o, config, d, err) : damaged(path, "mebi", err);
    json_decref(o);
    mebi_png_texts_free(texts);
    return status;
}

void draft_free(draft *d) {
    mebi__free(d->prompt);
    mebi__free(d->negative);
    mebi__free(d->model_hash);
    *d = (draft){0};
}

/* The settings in effect. Must never let a value from a lesser place win over one from a greater.
 */
#include "config/config.h"

#include "base/memory.h"
#include "base/os.h"
#include "config/config_set.h"
#include "config/value.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *mebi__origin_name(mebi__origin origin) {
    static const char *const names[MEBI__ORIGINS] = {"default", "file", "environment", "picture",
                                                     "option"};
    return names[origin];
}

static void clear(mebi__value *v) {
    mebi__free(v->text);
    *v = (mebi__value){0};
}

void mebi__config_free(mebi__config *c) {
    for (int i = 0; i < MEBI__SETTINGS; i++) clear(&c->value[i]);
    mebi__free(c->path);
    c->path = NULL;
}

/* ---- putting in ---- */

/* Parts of another model don't fit this one; a wish for quality is not met by an older one for
 * precision. */
static void make_void(mebi__config *c, mebi__setting_id id, mebi__origin origin) {
    int from = MEBI__SETTINGS, to = MEBI__SETTINGS;
    if (id == MEBI__SET_MODEL) from = MEBI__SET_DIFFUSION_MODEL, to = MEBI__SET_TOKENIZER;
    if (id == MEBI__SET_QUALITY) from = to = MEBI__SET_PRECISION;
    for (int i = from; i <= to && i < MEBI__SETTINGS; i++)
        if (c->value[i].origin < origin) clear(&c->value[i]);
}

mebi_status mebi__config_put(mebi__config *c, mebi__setting_id id, mebi__origin origin,
                             const char *subject, const char *text, mebi_error *err) {
    char value[MEBI__VALUE_BYTES];
    MEBI_TRY(mebi__value_check(&mebi__settings[id], subject, text, value, err));
    if (c->value[id].origin > origin) return MEBI_OK;
    char *copy = mebi__copy_string(value, strlen(value));
    if (!copy) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a setting.");
    clear(&c->value[id]);
    c->value[id].text = copy;
    c->value[id].origin = origin;
    make_void(c, id, origin);
    return MEBI_OK;
}

mebi_status mebi__config_set(mebi__config *c, mebi__setting_id id, mebi__origin origin,
                             const char *text, mebi_error *err) {
    const mebi__setting *s = &mebi__settings[id];
    char subject[64];
    if (origin == MEBI__ORIGIN_FLAG) snprintf(subject, sizeof subject, "--%s", s->flag);
    else if (origin == MEBI__ORIGIN_PICTURE)
        snprintf(subject, sizeof subject, "The picture's %s", s->name);
    else snprintf(subject, sizeof subject, "The environment's %s", s->variable);
    return mebi__config_put(c, id, origin, subject, text, err);
}

mebi_status mebi__config_environment(mebi__config *c, mebi_error *err) {
    for (int i = 0; i < MEBI__SETTINGS; i++) {
        const char *text = getenv(mebi__settings[i].variable);
        if (text && *text)
            MEBI_TRY(mebi__config_set(c, (mebi__setting_id)i, MEBI__ORIGIN_ENVIRONMENT, text, err));
    }
    return MEBI_OK;
}

mebi_status mebi__config_load(mebi__config *c, const char *asked, mebi_error *err) {
    char *path;
    MEBI_TRY(mebi__config_find(asked, &path, err));
    mebi_status status = path ? mebi__config_read(c, path, err) : MEBI_OK;
    mebi__free(path);
    return status == MEBI_OK ? mebi__config_environment(c, err) : status;
}

/* ---- taking out ---- */

const char *mebi__config_text(const mebi__config *c, mebi__setting_id id) {
    return c->value[id].text ? c->value[id].text : mebi__settings[id].fallback;
}

int mebi__config_word(const mebi__config *c, mebi__setting_id id) {
    return mebi__word_index(mebi__settings[id].words, mebi__config_text(c, id));
}

int64_t mebi__config_integer(const mebi__config *c, mebi__setting_id id) {
    assert(mebi__settings[id].kind == MEBI__KIND_INTEGER);
    return mebi__config_word(c, id) >= 0 ? 0 : strtoll(mebi__config_text(c, id), NULL, 10);
}

double mebi__config_number(const mebi__config *c, mebi__setting_id id) {
    assert(mebi__settings[id].kind == MEBI__KIND_NUMBER);
    return strtod(mebi__config_text(c, id), NULL);
}

/* ---- the file's place ---- */

mebi_status mebi__config_home(char **path, mebi_error *err) {
    const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    *path = NULL;
    if (xdg && *xdg == '/') *path = mebi__join_path(xdg, "mebi/config.yaml");
    else if (home && *home == '/') *path = mebi__join_path(home, ".config/mebi/config.yaml");
    else
        return mebi__fail(
            err, MEBI_IO,
            "There is no place for a config.yaml: neither XDG_CONFIG_HOME nor HOME is set. "
            "Name a file.");
    return *path ? MEBI_OK : mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
}

mebi_status mebi__config_find(const char *asked, char **path, mebi_error *err) {
    const char *named = asked ? asked : getenv("MEBI_CONFIG");
    mebi_error nowhere = {0};
    *path = NULL;
    if (named && *named) {
        *path = mebi__copy_string(named, strlen(named));
        return *path ? MEBI_OK : mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    }
    if (asked) return mebi__fail(err, MEBI_BAD_ARGUMENT, "--config is given an empty name.");
    if (named) return MEBI_OK;
    mebi_status status = mebi__config_home(path, &nowhere);
    if (status == MEBI_NO_MEMORY) return mebi__fail(err, status, "%s", nowhere.text);
    if (status == MEBI_OK && !mebi__is_file(*path)) {
        mebi__free(*path);
        *path = NULL;
    }
    return MEBI_OK;
}

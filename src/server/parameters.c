/* What a PNG says of how it was made. Must never trust it: what comes out is checked like any
 * request. */
#include "server/parameters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The last line's begin, if it begins so. */
static const char *find_settings(const char *text) {
    const char *line = strrchr(text, '\n');
    line = line ? line + 1 : text;
    return strncmp(line, "Steps: ", 7) == 0 ? line : NULL;
}

/* Behind "name: ", outside of quotation marks; NULL: it is not there. */
static const char *find_value(const char *settings, const char *name) {
    size_t length = strlen(name);
    int quoted = 0, begins = 1;
    for (const char *p = settings; *p; p++) {
        if (begins && strncmp(p, name, length) == 0 && p[length] == ':') {
            p += length + 1;
            return p + strspn(p, " ");
        }
        if (*p == '"' && (p == settings || p[-1] != '\\')) quoted = !quoted;
        begins = !quoted && (*p == ',' || (begins && *p == ' '));
    }
    return NULL;
}

static void take_number(json_t *o, const char *key, const char *settings, const char *name,
                        int whole) {
    const char *at = find_value(settings, name);
    char *end;
    if (!at) return;
    double d = strtod(at, &end);
    if (end == at || !(d >= -1 && d <= 9007199254740992.0)) return;
    json_object_set_new(o, key, whole ? json_integer((json_int_t)d) : json_real(d));
}

/* AUTOMATIC1111's scale s is cfg + 1 here; below 1 it is no guidance. */
static void take_guidance(json_t *o, const char *settings) {
    take_number(o, "cfg", settings, "CFG scale", 0);
    const json_t *scale = json_object_get(o, "cfg");
    if (!scale) return;
    double s = json_real_value(scale);
    json_object_set_new(o, "cfg", json_real(s > 1 ? s - 1 : 0));
}

/* Text without the line's end behind it. */
static json_t *text_between(const char *from, const char *to) {
    while (to > from && (to[-1] == '\n' || to[-1] == '\r')) to--;
    return json_stringn(from, (size_t)(to - from));
}

json_t *mebi__parameters_read(const char *text) {
    static const char mark[] = "Negative prompt: ";
    const char *settings = find_settings(text), *negative = strstr(text, "\nNegative prompt: ");
    int width, height;
    if (!settings) return NULL;
    if (negative && negative > settings) negative = NULL;
    json_t *o = json_object();
    json_object_set_new(o, "prompt", text_between(text, negative ? negative : settings));
    if (negative)
        json_object_set_new(o, "negative_prompt", text_between(negative + sizeof mark, settings));
    take_number(o, "steps", settings, "Steps", 1);
    take_guidance(o, settings);
    take_number(o, "seed", settings, "Seed", 1);
    const char *size = find_value(settings, "Size");
    if (size && sscanf(size, "%6dx%6d", &width, &height) == 2) {
        json_object_set_new(o, "width", json_integer(width));
        json_object_set_new(o, "height", json_integer(height));
    }
    return o;
}

json_t *mebi__parameters_read_own(const char *text) {
    static const char *const taken[] = {
        "prompt",         "negative_prompt",   "width", "height", "steps", "cfg",
        "cfg_truncation", "cfg_normalization", "seed"};
    json_t *own = json_loads(text, JSON_REJECT_DUPLICATES, NULL),
           *o = json_is_object(own) ? json_object() : NULL;
    for (size_t i = 0; o && i < sizeof taken / sizeof *taken; i++) {
        json_t *v = json_object_get(own, taken[i]);
        if (v && !json_is_null(v)) json_object_set(o, taken[i], v);
    }
    const json_t *draft = o ? json_object_get(own, "draft") : NULL;
    if (json_is_object(draft)) {
        json_object_set(o, "draft", json_object_get(draft, "factor"));
        json_object_set(o, "width", json_object_get(draft, "width"));
        json_object_set(o, "height", json_object_get(draft, "height"));
    }
    json_decref(own);
    return o;
}

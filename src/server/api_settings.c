/* Settings over HTTP. Must never change what decides which files are opened, who may ask, or where
 * the server listens: those are the operator's alone. */
#include "base/memory.h"
#include "base/writer.h"
#include "config/config_set.h"
#include "config/value.h"
#include "server/api.h"
#include "server/fields.h"
#include "server/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *kind_name(mebi__setting_kind kind) {
    static const char *const names[] = {"path",   "word", "integer", "number",
                                        "budget", "size", "naming",  "text"};
    return names[kind];
}

static int is_servers(const mebi__setting *s) {
    return strncmp(s->name, "server.", 7) == 0;
}

/* A value from the environment or an option wins over the file: to write one there would change
 * nothing. */
static int is_editable(const mebi__config *c, int id) {
    const mebi__setting *s = &mebi__settings[id];
    return s->kind != MEBI__KIND_PATH && !is_servers(s) && c->value[id].origin <= MEBI__ORIGIN_FILE;
}

static int needs_restart(int id) {
    return id <= MEBI__SET_CACHE || is_servers(&mebi__settings[id]);
}

/* ---- showing ---- */

/* A number where it is one. */
static json_t *value_json(const mebi__setting *s, const char *text) {
    char *end;
    double d = strtod(text, &end);
    int is_number = *text && !*end;
    if (is_number && s->kind == MEBI__KIND_INTEGER) return json_integer(strtoll(text, NULL, 10));
    if (is_number && s->kind == MEBI__KIND_NUMBER) return json_real(d);
    json_t *t = json_string(text);
    return t ? t : json_string("");
}

static json_t *limit_json(const mebi__setting *s, double limit) {
    if (s->kind == MEBI__KIND_INTEGER) return json_integer((json_int_t)limit);
    return s->kind == MEBI__KIND_NUMBER ? json_real(limit) : json_null();
}

static json_t *setting_json(const mebi__config *c, int id) {
    const mebi__setting *s = &mebi__settings[id];
    json_t *words = json_array();
    for (int i = 0; s->words[i]; i++) json_array_append_new(words, json_string(s->words[i]));
    return json_pack(
        "{s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:o, s:s, s:b, s:b}", "name", s->name, "kind",
        kind_name(s->kind), "value", value_json(s, mebi__config_text(c, (mebi__setting_id)id)),
        "default", value_json(s, s->fallback), "origin", mebi__origin_name(c->value[id].origin),
        "words", words, "minimum", limit_json(s, s->minimum), "maximum", limit_json(s, s->maximum),
        "help", s->help, "editable", is_editable(c, id), "restart", needs_restart(id));
}

/* Under the lock. */
static json_t *all_json(mebi__server *server, const mebi__config *c) {
    json_t *list = json_array();
    const char *path = mebi__server_config_path(server);
    json_t *file = path ? json_string(path) : NULL;
    for (int i = 0; i < MEBI__SETTINGS; i++) json_array_append_new(list, setting_json(c, i));
    return json_pack("{s:o, s:o}", "settings", list, "file", file ? file : json_null());
}

void mebi__api_settings(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    (void)q;
    json_t *all = all_json(server, mebi__server_config(server));
    mebi__server_config_done(server);
    mebi__answer_json(a, 200, all);
}

/* ---- changing ---- */

typedef struct change {
    int id;
    int reset; /* to what it is without the file */
    char text[MEBI__VALUE_BYTES];
} change;

static int find_setting(const char *name) {
    for (int i = 0; i < MEBI__SETTINGS; i++)
        if (strcmp(mebi__settings[i].name, name) == 0) return i;
    return -1;
}

/* As one would write it in config.yaml. 0: it is no value. */
static int value_text(const json_t *v, char *text, size_t bytes) {
    if (json_is_string(v)) snprintf(text, bytes, "%.*s", (int)bytes - 1, json_string_value(v));
    else if (json_is_integer(v)) snprintf(text, bytes, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v)) snprintf(text, bytes, "%.9g", json_real_value(v));
    else if (json_is_boolean(v)) snprintf(text, bytes, "%s", json_is_true(v) ? "true" : "false");
    else return 0;
    return !json_is_string(v) || strlen(text) == json_string_length(v);
}

/* What a YAML file can't hold, or would hold as a line's end: a file with it in could not be read at
 * the next start. */
static int has_control(const char *text) {
    static const char *const others[] = {"\xe2\x80\xa8", "\xe2\x80\xa9", "\xef\xbb\xbf",
                                         "\xef\xbf\xbe", "\xef\xbf\xbf"};
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p < ' ' || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0)) return 1;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strstr(text, others[i])) return 1;
    return 0;
}

/* 0: err has the sentence. */
static int read_change(const mebi__config *c, const char *name, const json_t *v, change *to,
                       mebi_error *err) {
    char given[MEBI__VALUE_BYTES];
    to->id = find_setting(name);
    to->reset = json_is_null(v);
    if (to->id < 0) {
        (void)mebi__fail(err, MEBI_BAD_ARGUMENT, "There is no setting of that name.");
        return 0;
    }
    if (!is_editable(c, to->id)) {
        (void)mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "%s can't be changed from here: it is a path, or of the server itself, or given by an "
            "option or the environment.",
            name);
        return 0;
    }
    if (to->reset) return 1;
    if (!value_text(v, given, sizeof given) || has_control(given)) {
        (void)mebi__fail(err, MEBI_BAD_ARGUMENT,
                         "%s takes one value: text without control characters, a number, or null for the "
                         "default.",
                         name);
        return 0;
    }
    return mebi__value_check(&mebi__settings[to->id], name, given, to->text, err) == MEBI_OK;
}

/* ---- the file ---- */

/* In YAML's quotation marks, which are JSON's. */
static void write_value(FILE *f, const char *name, const char *text) {
    json_t *t = json_string(text);
    char *quoted = t ? json_dumps(t, JSON_ENCODE_ANY) : NULL;
    fprintf(f, "%s: %s\n", name, quoted ? quoted : "\"\"");
    free(quoted);
    json_decref(t);
}

/* All that came from a file, those of a group below its name. */
static void write_settings(FILE *f, const mebi__config *c) {
    char group[40] = "";
    fputs(
        "# Written by mebi serve; its page's settings. `mebi config --init` tells what there is.\n",
        f);
    for (int i = 0; i < MEBI__SETTINGS; i++) {
        const char *name = mebi__settings[i].name, *dot = strchr(name, '.');
        if (c->value[i].origin != MEBI__ORIGIN_FILE) continue;
        int length = dot ? (int)(dot - name) : 0;
        if (dot && (strncmp(group, name, (size_t)length) != 0 || group[length]))
            fprintf(f, "%.*s:\n", length, name);
        snprintf(group, sizeof group, "%.*s", length, name);
        if (dot) fputs("  ", f);
        write_value(f, dot ? dot + 1 : name, c->value[i].text);
    }
}

static mebi_status write_file(const mebi__config *c, const char *path, mebi_error *err) {
    char *text = NULL;
    size_t bytes;
    mebi__writer writer = {.fd = -1};
    FILE *f = open_memstream(&text, &bytes);
    if (f) write_settings(f, c);
    if (!f || fclose(f) != 0) {
        free(text);
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the settings' text.");
    }
    mebi_status status = mebi__writer_open(path, &writer, err);
    if (status == MEBI_OK) status = mebi__writer_append(&writer, text, bytes, err);
    if (status == MEBI_OK) status = mebi__writer_replace_durably(&writer, err);
    else mebi__writer_abandon(&writer);
    free(text);
    return status;
}

/* All or nothing but for memory that runs out in between. */
static mebi_status apply(mebi__config *c, const change *changes, int count, const char *path,
                         mebi_error *err) {
    for (int i = 0; i < count; i++) {
        mebi__value *v = &c->value[changes[i].id];
        if (changes[i].reset) {
            mebi__free(v->text);
            *v = (mebi__value){.text = NULL};
        } else
            MEBI_TRY(mebi__config_put(c, (mebi__setting_id)changes[i].id, MEBI__ORIGIN_FILE,
                                      mebi__settings[changes[i].id].name, changes[i].text, err));
    }
    return write_file(c, path, err);
}

static void change_all(mebi__server *server, mebi__config *c, const json_t *body,
                       mebi__http_answer *a) {
    change changes[MEBI__SETTINGS];
    int count = 0;
    const char *name;
    json_t *v;
    mebi_error err = {0};
    json_object_foreach((json_t *)(uintptr_t)body, name, v) {
        if (count < MEBI__SETTINGS && read_change(c, name, v, &changes[count], &err)) {
            count++;
            continue;
        }
        mebi__answer_error_about(a, 422, MEBI__ERROR_BAD_REQUEST, err.text, name, NULL);
        return;
    }
    mebi_status status = apply(c, changes, count, mebi__server_config_path(server), &err);
    if (status != MEBI_OK) mebi__answer_failure(a, status, &err);
    else mebi__answer_json(a, 200, all_json(server, c));
}

void mebi__api_settings_change(mebi__server *server, const mebi__http_request *q,
                               mebi__http_answer *a) {
    json_t *body = mebi__body_read(q, a);
    if (!body) return;
    if (!mebi__server_config_path(server))
        mebi__answer_error(
            a, 0, MEBI__ERROR_FORBIDDEN,
            "Settings come from the file that --config named, and are changed there.");
    else {
        change_all(server, mebi__server_config(server), body, a);
        mebi__server_config_done(server);
    }
    json_decref(body);
}

/* config.yaml. The file may come from anywhere: what is not understood is refused with its line,
 * never passed over. Of YAML only mappings and scalars are taken: nothing that could grow when
 * read. */
#include "base/memory.h"
#include "base/os.h"
#include "config/config_set.h"
#include "config/nearest.h"
#include "config/value.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>
#include <yaml.h>

enum { FILE_BYTES = 1 << 20, SUBJECT_BYTES = 400 };

/* Settings whose names begin so stand below that word. */
static const char *const groups[] = {"output.", "server."};
enum { GROUPS = sizeof groups / sizeof *groups };

typedef struct reader {
    yaml_parser_t parser;
    mebi__config *config;
    const char *name;          /* of the file */
    size_t group_line[GROUPS]; /* where the group stands; 0: not yet */
    mebi_error *err;
} reader;

/* ---- refusals ---- */

__attribute__((format(printf, 3, 4))) static mebi_status refuse(const reader *r, size_t line,
                                                                const char *format, ...) {
    char text[700];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return mebi__fail(r->err, MEBI_BAD_ARGUMENT, "%.300s:%zu: %s", r->name, line, text);
}

static size_t line_of(const yaml_event_t *event) {
    return event->start_mark.line + 1;
}

/* The parser's words, with what mostly is behind them. */
static mebi_status syntax_error(const reader *r) {
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "it can't be read";
    if (p->error == YAML_MEMORY_ERROR)
        return mebi__fail(r->err, MEBI_NO_MEMORY, "No memory to read %.300s.", r->name);
    const char *advice =
        "Settings are lines such as `steps: 8`; those below `output:` and `server:` are indented by "
        "spaces.";
    if (strstr(problem, "cannot start any token"))
        advice =
            "Indent with spaces, not tabs, and put quotation marks around a value that begins with "
            "% @ ` or a bracket.";
    if (strstr(problem, "mapping values are not allowed"))
        advice = "Put quotation marks around a value that has ': ' in it, and indent all settings "
                 "alike.";
    size_t line = p->problem_mark.line + 1, begun = p->context_mark.line + 1;
    char context[80] = "";
    if (p->context && begun < line)
        snprintf(context, sizeof context, ", %.40s begun in line %zu", p->context, begun);
    return refuse(r, line, "This is not YAML: %.200s%s. %s", problem, context, advice);
}

/* ---- bytes ---- */

/* Characters that no setting needs, and that would confuse who reads the messages. */
static int is_bad(int32_t c) {
    return (c < 0x20 && c != '\n' && c != '\t' && c != '\r') || (c >= 0x7f && c < 0xa0) ||
           (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x2028 ||
           c == 0x2029;
}

static mebi_status check_bytes(const reader *r, const char *text, size_t bytes) {
    size_t line = 1;
    for (size_t i = 0; i < bytes;) {
        int32_t c = 0;
        utf8proc_ssize_t n =
            utf8proc_iterate((const uint8_t *)text + i, (utf8proc_ssize_t)(bytes - i), &c);
        if (n < 1) return refuse(r, line, "The text is not UTF-8. Save the file as UTF-8.");
        if (is_bad(c))
            return refuse(r, line, "There is a control character (U+%04X) in the text. Remove it.",
                          (unsigned)c);
        line += c == '\n' || (c == '\r' && !(i + 1 < bytes && text[i + 1] == '\n'));
        i += (size_t)n;
    }
    return MEBI_OK;
}

/* Escapes in quotation marks can bring them back. */
static mebi_status check_value_bytes(const reader *r, const yaml_event_t *event) {
    const char *text = (const char *)event->data.scalar.value;
    size_t bytes = event->data.scalar.length;
    for (size_t i = 0; i < bytes;) {
        int32_t c = 0;
        utf8proc_ssize_t n =
            utf8proc_iterate((const uint8_t *)text + i, (utf8proc_ssize_t)(bytes - i), &c);
        if (n < 1 || is_bad(c) || c == '\n' || c == '\r' || c == '\t')
            return refuse(r, line_of(event),
                          "A line's end, a tab or a control character is no part of any "
                          "setting's name or value.");
        i += (size_t)n;
    }
    return MEBI_OK;
}

/* ---- events ---- */

/* The next event; deleted by the caller in any case. */
static mebi_status next(reader *r, yaml_event_t *event) {
    memset(event, 0, sizeof *event);
    if (!yaml_parser_parse(&r->parser, event)) return syntax_error(r);
    const unsigned char *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return refuse(r, line_of(event), "Aliases (*name) are not taken. Write the value itself.");
    case YAML_SEQUENCE_START_EVENT:
        return refuse(r, line_of(event), "A list is no value of any setting. Write one value.");
    case YAML_SCALAR_EVENT: anchor = event->data.scalar.anchor, tag = event->data.scalar.tag; break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor, tag = event->data.mapping_start.tag;
        break;
    default: return MEBI_OK;
    }
    if (anchor)
        return refuse(r, line_of(event),
                      "Anchors (&name) are not taken. Write values where they belong.");
    if (tag) return refuse(r, line_of(event), "Tags (!name) are not taken. Write the plain value.");
    return event->type == YAML_SCALAR_EVENT ? check_value_bytes(r, event) : MEBI_OK;
}

static int is_empty(const yaml_event_t *event) {
    const char *text = (const char *)event->data.scalar.value;
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!*text || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0);
}

/* ---- names ---- */

/* A setting's name as the file has it, and what it stands for. */
typedef struct found {
    mebi__setting_id id;
    const char *name;         /* in the tables */
    const mebi__alias *alias; /* NULL: its own name */
} found;

/* Its place; -1: it is none. */
static int find_group(const char *key) {
    for (int i = 0; i < GROUPS; i++)
        if (strncmp(groups[i], key, strlen(key)) == 0 && strcmp(groups[i] + strlen(key), ".") == 0) return i;
    return -1;
}

/* "dir, format and naming" */
static void members_text(const char *group, char *text, size_t bytes) {
    const char *members[MEBI__SETTINGS];
    size_t length = strlen(group), used = 0;
    int count = 0;
    for (int i = 0; i < MEBI__SETTINGS; i++)
        if (strncmp(mebi__settings[i].name, group, length) == 0) members[count++] = mebi__settings[i].name + length;
    text[0] = 0;
    for (int i = 0; i < count && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%s",
                                 i == 0 ? "" : i == count - 1 ? " and " : ", ", members[i]);
}

/* group is "", "output." and the like; a name with a dot of its own is none. */
static int find(const char *group, const char *key, found *f) {
    size_t length = strlen(group);
    for (int i = 0; i < MEBI__SETTINGS && !strchr(key, '.'); i++) {
        const char *name = mebi__settings[i].name;
        *f = (found){(mebi__setting_id)i, name, NULL};
        if (strncmp(name, group, length) == 0 && strcmp(name + length, key) == 0) return 1;
    }
    for (int i = 0; i < MEBI__ALIASES && !length; i++) {
        *f = (found){mebi__aliases[i].id, mebi__aliases[i].name, &mebi__aliases[i]};
        if (strcmp(f->name, key) == 0) return 1;
    }
    return 0;
}

static mebi_status unknown(const reader *r, const char *group, const char *key, size_t line) {
    mebi__nearest n = mebi__nearest_begin(key);
    char text[200];
    size_t length = strlen(group);
    for (int i = 0; i < MEBI__SETTINGS; i++) {
        const char *name = mebi__settings[i].name;
        if (strncmp(name, group, length) == 0 && (length || !strchr(name, '.')))
            mebi__nearest_offer(&n, name + length);
        else if (!length && (strcmp(name, key) == 0 || strcmp(strchr(name, '.') + 1, key) == 0))
            return refuse(r, line,
                          "'%.60s' stands below %.*s: write `%.*s:` and under it, "
                          "indented, `%s: ...`.",
                          key, (int)strcspn(name, "."), name, (int)strcspn(name, "."), name,
                          strchr(name, '.') + 1);
    }
    for (int i = 0; i < MEBI__ALIASES && !length; i++)
        mebi__nearest_offer(&n, mebi__aliases[i].name);
    if (!length) mebi__nearest_offer(&n, "output"), mebi__nearest_offer(&n, "server");
    for (const mebi__foreign_name *f = mebi__foreign_names; f->name && !length; f++)
        if (strcasecmp(f->name, key) == 0) n.best = f->ours;
    if (length) members_text(group, text, sizeof text);
    if (length)
        return refuse(r, line,
                      "There is no setting '%.60s' below %.*s. It has %s.", key, (int)length - 1, group, text);
    return refuse(r, line,
                  "There is no setting '%.60s'.%s%s%s `mebi config --init` writes all of them.",
                  key, n.best ? " Is " : "", n.best ? n.best : "", n.best ? " meant?" : "");
}

/* ---- values ---- */

/* The schema's word for an alias's one. */
static mebi_status translate(const reader *r, const mebi__alias *alias, size_t line,
                             const char **text) {
    char words[120];
    int i = mebi__word_index(alias->from, *text);
    mebi__words_text(alias->from, words, sizeof words);
    if (i < 0) return refuse(r, line, "%s takes %s, not '%.60s'.", alias->name, words, *text);
    *text = alias->to[i];
    return MEBI_OK;
}

/* A setting given before: the same name is a mistake, another name only with another value. */
static mebi_status check_twice(const reader *r, const found *f, const char *text, size_t line) {
    const mebi__value *v = &r->config->value[f->id];
    if (v->origin != MEBI__ORIGIN_FILE) return MEBI_OK;
    if (v->name == f->name)
        return refuse(r, line, "%s is given twice; line %d has it already. Keep one.", f->name,
                      v->line);
    if (strcasecmp(v->text, text) != 0)
        return refuse(r, line,
                      "%s and %s in line %d are two names of one setting and say different "
                      "things. Keep one.",
                      f->name, v->name, v->line);
    return MEBI_OK;
}

/* "~/models" as a shell would read it. NULL when out of memory. */
static char *expand_home(const mebi__setting *s, const char *text) {
    const char *home = getenv("HOME");
    if (s->kind == MEBI__KIND_PATH && strncmp(text, "~/", 2) == 0 && home && *home)
        return mebi__join_path(home, text + 2);
    return mebi__copy_string(text, strlen(text));
}

static mebi_status put(reader *r, const found *f, const char *text, size_t line) {
    const mebi__setting *s = &mebi__settings[f->id];
    char subject[SUBJECT_BYTES], value[MEBI__VALUE_BYTES];
    snprintf(subject, sizeof subject, "%.300s:%zu: %s", r->name, line, f->name);
    MEBI_TRY(mebi__value_check(s, subject, text, value, r->err));
    MEBI_TRY(check_twice(r, f, value, line));
    char *full = expand_home(s, value);
    if (!full) return mebi__fail(r->err, MEBI_NO_MEMORY, "No memory for a setting.");
    mebi_status status =
        mebi__config_put(r->config, f->id, MEBI__ORIGIN_FILE, subject, full, r->err);
    mebi__free(full);
    mebi__value *v = &r->config->value[f->id];
    if (status == MEBI_OK && v->origin == MEBI__ORIGIN_FILE) v->line = (int)line, v->name = f->name;
    return status;
}

static mebi_status take_value(reader *r, const found *f, const yaml_event_t *event) {
    const char *fallback = mebi__settings[f->id].fallback;
    size_t line = line_of(event);
    if (event->type != YAML_SCALAR_EVENT)
        return refuse(r, line, "%s takes one value; nothing can stand below it.", f->name);
    const char *text = (const char *)event->data.scalar.value;
    if (event->end_mark.line > event->start_mark.line && *text)
        return refuse(r, line,
                      "%s goes on in the next line, for that is indented more. Indent settings "
                      "alike, and keep a "
                      "value in one line.",
                      f->name);
    if (is_empty(event))
        return refuse(r, line, "%s has no value. Remove the line for the default%s%s.", f->name,
                      *fallback ? ": " : "", fallback);
    if (f->alias) MEBI_TRY(translate(r, f->alias, line, &text));
    return put(r, f, text, line);
}

static mebi_status take_setting(reader *r, const char *group, const char *key, size_t line) {
    found f;
    yaml_event_t event;
    if (!find(group, key, &f)) return unknown(r, group, key, line);
    mebi_status status = next(r, &event);
    if (status == MEBI_OK) status = take_value(r, &f, &event);
    yaml_event_delete(&event);
    return status;
}

/* ---- the file ---- */

static mebi_status read_mapping(reader *r, const char *group);

static mebi_status read_group(reader *r, int group, size_t line) {
    yaml_event_t event;
    char text[200];
    int length = (int)strlen(groups[group]) - 1;
    if (r->group_line[group])
        return refuse(r, line, "%.*s is given twice; line %zu has it already. Keep one.", length, groups[group],
                      r->group_line[group]);
    r->group_line[group] = line;
    mebi_status status = next(r, &event);
    members_text(groups[group], text, sizeof text);
    if (status == MEBI_OK && event.type != YAML_MAPPING_START_EVENT)
        status = refuse(r, line, "%.*s is a group: %s stand below it, indented.", length, groups[group], text);
    yaml_event_delete(&event);
    return status == MEBI_OK ? read_mapping(r, groups[group]) : status;
}

/* From behind the mapping's begin to its end. Recurses once. */
static mebi_status read_mapping(reader *r, const char *group) {
    for (mebi_status status = MEBI_OK;;) {
        yaml_event_t event;
        status = next(r, &event);
        int ends = event.type == YAML_MAPPING_END_EVENT;
        size_t line = line_of(&event);
        if (status == MEBI_OK && !ends) {
            const char *key = (const char *)event.data.scalar.value;
            if (event.type != YAML_SCALAR_EVENT)
                status = refuse(r, line, "A setting's name is a word, followed by a colon.");
            else if (!*group && find_group(key) >= 0) status = read_group(r, find_group(key), line);
            else status = take_setting(r, group, key, line);
        }
        yaml_event_delete(&event);
        if (status != MEBI_OK || ends) return status;
    }
}

/* An empty document is a scalar without text. */
static mebi_status read_root(reader *r, const yaml_event_t *event) {
    if (event->type == YAML_MAPPING_START_EVENT) return read_mapping(r, "");
    if (event->type == YAML_SCALAR_EVENT && is_empty(event)) return MEBI_OK;
    return refuse(
        r, line_of(event),
        "Settings are lines such as `steps: 8`, a name and a value with ': ' between them.");
}

static mebi_status read_stream(reader *r) {
    for (int documents = 0;;) {
        yaml_event_t event;
        mebi_status status = next(r, &event);
        int ends = event.type == YAML_STREAM_END_EVENT;
        if (status == MEBI_OK) switch (event.type) {
            case YAML_DOCUMENT_START_EVENT:
                if (++documents > 1)
                    status =
                        refuse(r, line_of(&event), "A second document begins (---). Keep one.");
                break;
            case YAML_SCALAR_EVENT:
            case YAML_MAPPING_START_EVENT: status = read_root(r, &event); break;
            default: break;
            }
        yaml_event_delete(&event);
        if (status != MEBI_OK || ends) return status;
    }
}

mebi_status mebi__config_parse(mebi__config *c, const char *name, const char *text, size_t bytes,
                               mebi_error *err) {
    mebi_error own = {0};
    reader r = {.config = c, .name = name, .err = err ? err : &own};
    if (bytes > FILE_BYTES)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%.300s has %zu bytes; at most %d are read.",
                          name, bytes, FILE_BYTES);
    MEBI_TRY(check_bytes(&r, text, bytes));
    if (!yaml_parser_initialize(&r.parser))
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory to read %.300s.", name);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, bytes);
    mebi_status status = read_stream(&r);
    yaml_parser_delete(&r.parser);
    return status;
}

mebi_status mebi__config_read(mebi__config *c, const char *path, mebi_error *err) {
    char *text;
    size_t bytes;
    MEBI_TRY(mebi__read_file(path, FILE_BYTES, &text, &bytes, err));
    mebi_status status = mebi__config_parse(c, path, text, bytes, err);
    mebi__free(text);
    if (status != MEBI_OK) return status;
    mebi__free(c->path);
    c->path = mebi__copy_string(path, strlen(path));
    return c->path ? MEBI_OK : mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
}

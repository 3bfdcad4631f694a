/* JSON bodies. Must never hand a value on that the table does not allow, and never nest deeper than
 * it says. */
#include "server/fields.h"

#include "config/nearest.h"
#include "server/utf8.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { WARNINGS = 32 };

/* ---- bodies ---- */

int mebi__body_is_flat(const char *text, size_t bytes, int depth) {
    int now = 0, quoted = 0;
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        if (quoted) {
            if (c == '\\') i++;
            else if (c == '"') quoted = 0;
        } else if (c == '"') quoted = 1;
        else if (c == '[' || c == '{') {
            if (++now > depth) return 0;
        } else if (c == ']' || c == '}') now--;
    }
    return 1;
}

json_t *mebi__body_read(const mebi__http_request *q, mebi__http_answer *a) {
    json_error_t why;
    if (q->body_bytes == 0) {
        mebi__answer_error(a, 0, MEBI__ERROR_BAD_REQUEST,
                           "The body is empty; it has to be a JSON object.");
        return NULL;
    }
    if (!mebi__utf8_good(q->body, q->body_bytes)) {
        mebi__answer_error(a, 0, MEBI__ERROR_BAD_REQUEST, "The body is not UTF-8.");
        return NULL;
    }
    if (!mebi__body_is_flat(q->body, q->body_bytes, MEBI__BODY_DEPTH)) {
        mebi__answer_error(a, 0, MEBI__ERROR_BAD_REQUEST,
                           "The body nests more than %d deep, which no request here needs.",
                           MEBI__BODY_DEPTH);
        return NULL;
    }
    json_t *o = json_loadb(q->body, q->body_bytes, JSON_REJECT_DUPLICATES, &why);
    /* An integer beyond 64 bits is JSON, too: beyond every limit, if the field has one. */
    if (!o && json_error_code(&why) == json_error_numeric_overflow)
        o = json_loadb(q->body, q->body_bytes, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL,
                       &why);
    if (!o) {
        mebi__answer_error(a, 0, MEBI__ERROR_BAD_REQUEST, "The body is not JSON, line %d: %.160s.",
                           why.line, why.text);
        return NULL;
    }
    if (json_is_object(o)) return o;
    json_decref(o);
    mebi__answer_error(a, 0, MEBI__ERROR_BAD_REQUEST, "The body has to be a JSON object: {...}.");
    return NULL;
}

/* ---- tables ---- */

/* "There is no field ..."; the name is cut, at a character's begin. */
static void unknown(const mebi__field *table, int count, const char *name, char *text,
                    size_t bytes) {
    int length = (int)strlen(name);
    if (length > 60) {
        length = 60;
        while (length > 0 && ((unsigned char)name[length] & 0xC0) == 0x80) length--;
    }
    mebi__nearest n = mebi__nearest_begin(name);
    for (int i = 0; i < count; i++) mebi__nearest_offer(&n, table[i].name);
    snprintf(text, bytes, "There is no field '%.*s'; it was not used.%s%s%s", length, name,
             n.best ? " Is " : "", n.best ? n.best : "", n.best ? " meant?" : "");
}

static int refuse(const mebi__field *f, mebi__fields_fault *fault, const char *takes) {
    snprintf(fault->field, sizeof fault->field, "%s", f->name);
    snprintf(fault->message, sizeof fault->message, "%s takes %s.", f->name, takes);
    return 0;
}

static int read_whole(const mebi__field *f, const json_t *v, int64_t *n,
                      mebi__fields_fault *fault) {
    char takes[100];
    double d = json_real_value(v);
    /* An integer is compared as one: as a double it might be rounded to a limit. */
    if (json_is_integer(v)) {
        *n = json_integer_value(v);
        if (*n >= (int64_t)f->minimum && *n <= (int64_t)f->maximum) return 1;
    } else if (json_is_real(v) && d >= f->minimum && d <= f->maximum && d == floor(d)) {
        *n = (int64_t)d;
        return 1;
    }
    snprintf(takes, sizeof takes, "a whole number from %.0f to %.0f", f->minimum, f->maximum);
    return refuse(f, fault, takes);
}

static int read_word(const mebi__field *f, const json_t *v, int *to, mebi__fields_fault *fault) {
    char takes[120] = "";
    const char *text = json_string_value(v);
    for (int i = 0; f->words[i]; i++) {
        if (text && strcmp(text, f->words[i]) == 0) {
            *to = i;
            return 1;
        }
        size_t used = strlen(takes);
        snprintf(takes + used, sizeof takes - used, "%s\"%s\"",
                 i == 0            ? ""
                 : f->words[i + 1] ? ", "
                                   : " or ",
                 f->words[i]);
    }
    return refuse(f, fault, takes);
}

static int read_text(const mebi__field *f, const json_t *v, const char **to,
                     mebi__fields_fault *fault) {
    char takes[100];
    if (json_is_string(v) && (double)json_string_length(v) <= f->maximum) {
        *to = json_string_value(v);
        return 1;
    }
    snprintf(takes, sizeof takes, "text of at most %.0f bytes", f->maximum);
    return refuse(f, fault, takes);
}

static int read_value(const mebi__field *f, json_t *v, char *to, mebi__fields_fault *fault) {
    int64_t n;
    char takes[100];
    double d = json_number_value(v);
    switch (f->kind) {
    case MEBI__FIELD_INT:
        if (!read_whole(f, v, &n, fault)) return 0;
        *(int *)to = (int)n;
        return 1;
    case MEBI__FIELD_WIDE: return read_whole(f, v, (int64_t *)to, fault);
    case MEBI__FIELD_NUMBER:
        snprintf(takes, sizeof takes, "a number from %g to %g", f->minimum, f->maximum);
        if (!json_is_number(v) || !(d >= f->minimum && d <= f->maximum))
            return refuse(f, fault, takes);
        *(float *)to = (float)d;
        return 1;
    case MEBI__FIELD_BOOL:
        if (!json_is_boolean(v)) return refuse(f, fault, "true or false");
        *(int *)to = json_is_true(v);
        return 1;
    case MEBI__FIELD_WORD: return read_word(f, v, (int *)to, fault);
    case MEBI__FIELD_TEXT: return read_text(f, v, (const char **)to, fault);
    case MEBI__FIELD_JSON: *(json_t **)to = v; return 1;
    }
    return 0;
}

int mebi__fields_read(const mebi__field *table, int count, const json_t *object, void *structure,
                      json_t *warnings, mebi__fields_fault *fault) {
    const char *name;
    json_t *v;
    *fault = (mebi__fields_fault){.message = ""};
    json_object_foreach((json_t *)(uintptr_t)object, name, v) {
        const mebi__field *f = NULL;
        for (int i = 0; i < count && !f; i++)
            if (strcmp(table[i].name, name) == 0) f = &table[i];
        if (f && !json_is_null(v) && !read_value(f, v, (char *)structure + f->offset, fault))
            return 0;
        if (f) continue;
        if (json_array_size(warnings) > WARNINGS) continue;
        if (json_array_size(warnings) == WARNINGS) {
            json_array_append_new(warnings, json_string("There are more such fields."));
            continue;
        }
        unknown(table, count, name, fault->message, sizeof fault->message);
        if (!warnings) return 0;
        json_array_append_new(warnings, json_string(fault->message));
        fault->message[0] = 0;
    }
    return 1;
}

/* Structs to JSON and back, by tables. Must never trust what it reads: numbers are brought into their
 * type's range, and texts into their size. */
#include "jobs/codec.h"

#include "base/memory.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum kind { INT, WIDE, SIZE, FLOAT, DOUBLE, CHARS } kind;

typedef struct field {
    const char *name;
    kind kind;
    size_t offset;
    size_t count; /* of an array's elements, or of CHARS' bytes; 1: a single value */
} field;

#define FIELD(type, member, kind) {#member, kind, offsetof(type, member), 1}

static const field request_fields[] = {
    FIELD(mebi_request, width, INT),          FIELD(mebi_request, height, INT),
    FIELD(mebi_request, steps, INT),          FIELD(mebi_request, cfg, FLOAT),
    FIELD(mebi_request, cfg_truncation, FLOAT), FIELD(mebi_request, cfg_normalization, FLOAT),
    FIELD(mebi_request, seed, WIDE),          FIELD(mebi_request, count, INT),
    FIELD(mebi_request, decode, INT),         FIELD(mebi_request, draft, INT),
    FIELD(mebi_request, preview_every, INT),
};

static const field plan_fields[] = {
    FIELD(mebi_plan, verdict, INT),         FIELD(mebi_plan, peak_bytes, SIZE),
    FIELD(mebi_plan, file_bytes, SIZE),     FIELD(mebi_plan, system_bytes, SIZE),
    FIELD(mebi_plan, need_bytes, SIZE),     FIELD(mebi_plan, budget_bytes, SIZE),
    {"memory", SIZE, offsetof(mebi_plan, memory), MEBI_MEMORY_COUNT},
    FIELD(mebi_plan, base_bytes, SIZE),     FIELD(mebi_plan, arena_bytes, SIZE),
    FIELD(mebi_plan, scratch_bytes, SIZE),  FIELD(mebi_plan, output_bytes, SIZE),
    FIELD(mebi_plan, operations, DOUBLE),
    {"seconds", DOUBLE, offsetof(mebi_plan, seconds), MEBI_STAGE_COUNT},
    FIELD(mebi_plan, total_seconds, DOUBLE), FIELD(mebi_plan, step_seconds, DOUBLE),
    FIELD(mebi_plan, estimate, INT),        FIELD(mebi_plan, weights, INT),
    FIELD(mebi_plan, decode, INT),          FIELD(mebi_plan, precision, INT),
    FIELD(mebi_plan, together, INT),        FIELD(mebi_plan, small_chunks, INT),
    {"strategy", CHARS, offsetof(mebi_plan, strategy), sizeof((mebi_plan *)0)->strategy},
    {"why", CHARS, offsetof(mebi_plan, why), sizeof((mebi_plan *)0)->why},
};

static const field alternative_fields[] = {
    FIELD(mebi_alternative, width, INT),       FIELD(mebi_alternative, height, INT),
    FIELD(mebi_alternative, count, INT),       FIELD(mebi_alternative, cfg, FLOAT),
    FIELD(mebi_alternative, verdict, INT),     FIELD(mebi_alternative, need_bytes, SIZE),
    FIELD(mebi_alternative, seconds, DOUBLE),
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* Enumerations are read and written as the int that they are as wide as. */
_Static_assert(sizeof(mebi_decode_way) == sizeof(int), "enumerations are ints");

static size_t width_of(kind k) {
    switch (k) {
    case INT: return sizeof(int);
    case WIDE: return sizeof(int64_t);
    case SIZE: return sizeof(size_t);
    case FLOAT: return sizeof(float);
    case DOUBLE: return sizeof(double);
    case CHARS: break;
    }
    return 1;
}

static json_t *value_out(kind k, const void *p) {
    double d = k == FLOAT ? (double)*(const float *)p : k == DOUBLE ? *(const double *)p : 0;
    switch (k) {
    case INT: return json_integer(*(const int *)p);
    case WIDE: return json_integer(*(const int64_t *)p);
    case SIZE: return json_integer((json_int_t)*(const size_t *)p);
    case CHARS: return json_string(p);
    default: return isfinite(d) ? json_real(d) : json_null();
    }
}

static void value_in(const json_t *v, kind k, size_t bytes, void *p) {
    if (k == CHARS) {
        const char *text = json_string_value(v);
        if (text && strlen(text) < bytes) strcpy(p, text);
        return;
    }
    if (!json_is_number(v)) return;
    long long n = json_integer_value(v);
    double d = json_number_value(v);
    if (k == INT) *(int *)p = n < INT_MIN ? INT_MIN : n > INT_MAX ? INT_MAX : (int)n;
    else if (k == WIDE) *(int64_t *)p = n;
    else if (k == SIZE) *(size_t *)p = n < 0 ? 0 : (size_t)n;
    else if (k == FLOAT) *(float *)p = (float)d;
    else *(double *)p = d;
}

static json_t *object_out(const void *structure, const field *fields, size_t count) {
    json_t *o = json_object();
    for (size_t i = 0; o && i < count; i++) {
        const field *f = &fields[i];
        const char *p = (const char *)structure + f->offset;
        if (f->kind == CHARS || f->count == 1) {
            json_object_set_new(o, f->name, value_out(f->kind, p));
            continue;
        }
        json_t *list = json_array();
        for (size_t n = 0; n < f->count; n++)
            json_array_append_new(list, value_out(f->kind, p + n * width_of(f->kind)));
        json_object_set_new(o, f->name, list);
    }
    return o;
}

static void object_in(const json_t *o, void *structure, const field *fields, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const field *f = &fields[i];
        const json_t *v = json_object_get(o, f->name);
        char *p = (char *)structure + f->offset;
        if (f->kind == CHARS || f->count == 1) value_in(v, f->kind, f->count, p);
        else
            for (size_t n = 0; n < f->count && n < json_array_size(v); n++)
                value_in(json_array_get(v, n), f->kind, 1, p + n * width_of(f->kind));
    }
}

static char *text_of(json_t *o) {
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

/* ---- requests ---- */

char *mebi__codec_write_request(const mebi_request *r) {
    json_t *o = object_out(r, request_fields, COUNT(request_fields));
    int bad = !o || json_object_set_new(o, "prompt", json_string(r->prompt ? r->prompt : "")) ||
              json_object_set_new(o, "negative_prompt",
                                  json_string(r->negative_prompt ? r->negative_prompt : ""));
    if (!bad) return text_of(o);
    json_decref(o);
    return NULL;
}

static char *string_in(const json_t *o, const char *name) {
    const json_t *v = json_object_get(o, name);
    return json_is_string(v) ? mebi__copy_string(json_string_value(v), json_string_length(v))
                             : mebi__copy_string("", 0);
}

int mebi__codec_read_request(const char *json, mebi_request *r) {
    json_t *o = json ? json_loads(json, 0, NULL) : NULL;
    r->prompt = r->negative_prompt = NULL;
    if (!json_is_object(o)) {
        json_decref(o);
        return 0;
    }
    object_in(o, r, request_fields, COUNT(request_fields));
    r->prompt = string_in(o, "prompt");
    r->negative_prompt = string_in(o, "negative_prompt");
    json_decref(o);
    return r->prompt && r->negative_prompt;
}

/* ---- plans ---- */

char *mebi__codec_write_plan(const mebi_plan *p) {
    json_t *o = object_out(p, plan_fields, COUNT(plan_fields)), *list = json_array();
    for (int i = 0; i < p->alternatives && i < MEBI_ALTERNATIVES; i++)
        json_array_append_new(list, object_out(&p->alternative[i], alternative_fields,
                                               COUNT(alternative_fields)));
    if (o) json_object_set_new(o, "alternatives", list);
    else json_decref(list);
    return text_of(o);
}

/* An enumeration's value from a newer version is no index. */
static int within(int value, int count) {
    return value >= 0 && value < count ? value : 0;
}

int mebi__codec_read_plan(const char *json, mebi_plan *p) {
    json_t *o = json ? json_loads(json, 0, NULL) : NULL;
    *p = (mebi_plan){0};
    int good = json_is_object(o);
    const json_t *list = json_object_get(o, "alternatives");
    if (good) object_in(o, p, plan_fields, COUNT(plan_fields));
    for (size_t i = 0; i < json_array_size(list) && i < MEBI_ALTERNATIVES; i++) {
        mebi_alternative *a = &p->alternative[p->alternatives++];
        object_in(json_array_get(list, i), a, alternative_fields, COUNT(alternative_fields));
        a->verdict = (mebi_verdict)within((int)a->verdict, MEBI_VERDICT_COUNT);
    }
    p->verdict = (mebi_verdict)within((int)p->verdict, MEBI_VERDICT_COUNT);
    p->weights = (mebi_weights_way)within((int)p->weights, MEBI_WEIGHTS_COUNT);
    p->decode = (mebi_decode_way)within((int)p->decode, MEBI_DECODE_COUNT);
    p->precision = (mebi_precision)within((int)p->precision, MEBI_PRECISION_COUNT);
    json_decref(o);
    return good;
}

/* ---- lists ---- */

char *mebi__codec_write_numbers(const double *numbers, int count) {
    json_t *list = json_array();
    for (int i = 0; i < count; i++) json_array_append_new(list, value_out(DOUBLE, &numbers[i]));
    return text_of(list);
}

void mebi__codec_read_numbers(const char *json, double *numbers, int count) {
    json_t *list = json ? json_loads(json, 0, NULL) : NULL;
    for (int i = 0; i < count; i++) numbers[i] = json_number_value(json_array_get(list, (size_t)i));
    json_decref(list);
}

char *mebi__codec_write_texts(char *const *texts, int count) {
    json_t *list = json_array();
    for (int i = 0; i < count; i++) json_array_append_new(list, json_string(texts[i]));
    return text_of(list);
}

int mebi__codec_read_texts(const char *json, char **texts, int limit) {
    json_t *list = json ? json_loads(json, 0, NULL) : NULL;
    int count = 0;
    for (size_t i = 0; i < json_array_size(list) && count < limit; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_string(v)) continue;
        texts[count] = mebi__copy_string(json_string_value(v), json_string_length(v));
        if (!texts[count]) break;
        count++;
    }
    json_decref(list);
    return count;
}

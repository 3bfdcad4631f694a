/* Asking a set for its tensors, and the account of it: missing, wrong-shaped, unexpected, not
 * finite. Must never give out a tensor of another shape than asked for. */
#include "base/memory.h"
#include "weights/tensor_set.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Tensors that a file may hold and no picture needs. They count as unexpected only if a tensor of
 * the same prefix was asked for (so a VAE encoder in use is accounted for in full). */
static const struct {
    mebi__part part;
    const char *prefix, *why;
} leftovers[] = {
    {MEBI__PART_DIT, "norm_final.", "a stray norm of the original files"},
    {MEBI__PART_ENCODER, "lm_head.", "features are taken before it"},
    {MEBI__PART_ENCODER, "model.norm.", "features are taken before it"},
    {MEBI__PART_ENCODER, "model.rotary_emb.", "computed from theta"},
    {MEBI__PART_VAE, "encoder.", "not needed to decode"},
    {MEBI__PART_VAE, "quant_conv.", "not needed to decode"},
};

const mebi__tensor *mebi__tensors_find(const mebi__tensors *tensors, const char *name) {
    const mebi__entry *e = mebi__tensors_entry(tensors, name);
    return e && !e->unsupported ? &e->tensor : NULL;
}

int mebi__tensors_count(const mebi__tensors *tensors) {
    return tensors->count;
}

const mebi__tensor *mebi__tensors_at(const mebi__tensors *tensors, int index) {
    return &tensors->entry[index].tensor;
}

int mebi__tensors_map_count(const mebi__tensors *tensors) {
    return tensors->file_count;
}

const mebi__map *mebi__tensors_map(const mebi__tensors *tensors, int index) {
    return &tensors->file[index].map;
}

static void remember(mebi__tensors *set, mebi__problem_kind kind, const char *name,
                     const mebi__shape *expected) {
    for (int i = 0; i < set->problem_count; i++)
        if (strcmp(set->problem[i].name, name) == 0) return;
    mebi__problem *grown = mebi__realloc_array(MEBI__TAG_GENERAL, set->problem,
                                               (size_t)set->problem_count + 1, sizeof *grown);
    if (grown) set->problem = grown;
    char *copy = grown ? mebi__copy_string(name, strlen(name)) : NULL;
    if (copy)
        set->problem[set->problem_count++] =
            (mebi__problem){.name = copy, .kind = kind, .expected = *expected};
    else set->problems_lost = 1;
}

const mebi__tensor *mebi__tensors_want(mebi__tensors *tensors, int rank, const int64_t *dim,
                                       const char *name, ...) {
    char text[512];
    va_list args;
    va_start(args, name);
    vsnprintf(text, sizeof text, name, args);
    va_end(args);
    mebi__shape expected = {.rank = rank};
    for (int i = 0; i < rank; i++) expected.dim[i] = dim[i];
    mebi__entry *e = mebi__tensors_entry(tensors, text);
    if (!e) remember(tensors, MEBI__PROBLEM_MISSING, text, &expected);
    else if (e->unsupported) remember(tensors, MEBI__PROBLEM_TYPE, text, &expected);
    else if (!mebi__shape_equal(&e->tensor.shape, &expected))
        remember(tensors, MEBI__PROBLEM_SHAPE, text, &expected);
    if (e) e->wanted = 1;
    return e && !e->unsupported && mebi__shape_equal(&e->tensor.shape, &expected) ? &e->tensor
                                                                                  : NULL;
}

static void append(char *text, size_t bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void append(char *text, size_t bytes, const char *format, ...) {
    size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, bytes - used, format, args);
    va_end(args);
}

static void describe(const mebi__tensors *set, const mebi__problem *p, char *text, size_t bytes) {
    char has[96], expected[96];
    const mebi__entry *e = mebi__tensors_entry(set, p->name);
    mebi__shape_text(&p->expected, expected, sizeof expected);
    if (e && p->kind == MEBI__PROBLEM_SHAPE)
        append(text, bytes, "%s is %s instead of %s", p->name,
               mebi__shape_text(&e->tensor.shape, has, sizeof has), expected);
    else if (e && p->kind == MEBI__PROBLEM_TYPE)
        append(text, bytes, "%s (%s): %s", p->name, e->type_name, e->unsupported);
    else append(text, bytes, "%s %s", p->name, expected);
}

static void list_problems(const mebi__tensors *set, mebi__problem_kind kind, const char *head,
                          char *text, size_t bytes) {
    int shown = 0, count = 0;
    for (int i = 0; i < set->problem_count; i++) count += set->problem[i].kind == kind;
    if (count == 0) return;
    append(text, bytes, " %s (%d): ", head, count);
    for (int i = 0; i < set->problem_count && shown < 4; i++)
        if (set->problem[i].kind == kind) {
            if (shown++) append(text, bytes, ", ");
            describe(set, &set->problem[i], text, bytes);
        }
    if (count > shown) append(text, bytes, " and %d more", count - shown);
    append(text, bytes, ".");
}

mebi_status mebi__tensors_report(const mebi__tensors *tensors, mebi_error *err) {
    char text[900] = "";
    if (tensors->problems_lost)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory to note what %s lacks.", tensors->path);
    if (tensors->problem_count == 0) return MEBI_OK;
    list_problems(tensors, MEBI__PROBLEM_MISSING, "Missing tensors", text, sizeof text);
    list_problems(tensors, MEBI__PROBLEM_SHAPE, "Wrong shapes", text, sizeof text);
    list_problems(tensors, MEBI__PROBLEM_TYPE, "Not supported", text, sizeof text);
    return mebi__fail(err, MEBI_BAD_FILE, "%s does not fit its configuration.%s", tensors->path,
                      text);
}

static int wanted_under(const mebi__tensors *set, const char *prefix) {
    for (int i = 0; i < set->count; i++)
        if (set->entry[i].wanted && strncmp(set->entry[i].tensor.name, prefix, strlen(prefix)) == 0)
            return 1;
    return 0;
}

/* The encoder's features leave before its last layer. */
static void last_layer_prefix(const mebi__tensors *set, char *prefix, size_t bytes) {
    static const char stem[] = "model.layers.";
    long last = -1;
    for (int i = 0; i < set->count && set->part == MEBI__PART_ENCODER; i++) {
        const char *name = set->entry[i].tensor.name;
        if (strncmp(name, stem, sizeof stem - 1) != 0) continue;
        long n = strtol(name + sizeof stem - 1, NULL, 10);
        if (n > last) last = n;
    }
    snprintf(prefix, bytes, last < 0 ? "\n" : "%s%ld.", stem, last);
}

int mebi__tensors_unexpected(const mebi__tensors *tensors, char *text, size_t bytes) {
    enum { TABLE = sizeof leftovers / sizeof *leftovers };
    const char *known[TABLE + 1];
    char last[48];
    int known_count = 0, count = 0, shown = 0;
    for (int i = 0; i < TABLE; i++)
        if (leftovers[i].part == tensors->part && !wanted_under(tensors, leftovers[i].prefix))
            known[known_count++] = leftovers[i].prefix;
    last_layer_prefix(tensors, last, sizeof last);
    if (!wanted_under(tensors, last)) known[known_count++] = last;

    if (bytes > 0) text[0] = 0;
    for (int i = 0; i < tensors->count; i++) {
        const char *name = tensors->entry[i].tensor.name;
        int is_known = tensors->entry[i].wanted || mebi__names_is_quantization_note(name);
        for (int k = 0; k < known_count; k++)
            is_known |= strncmp(name, known[k], strlen(known[k])) == 0;
        if (is_known) continue;
        count++;
        size_t used = bytes > 0 ? strlen(text) : 0;
        if (shown == count - 1 && used + strlen(name) + 40 < bytes) {
            append(text, bytes, "%s%s", shown ? ", " : "", name);
            shown++;
        }
    }
    if (bytes > 0 && count > shown)
        append(text, bytes, "%s%d%s", shown ? " and " : "", count - shown,
               shown ? " more" : " tensors");
    return count;
}

/* NaN and infinity are the values whose exponent bits are all set. Without a branch inside and in
 * the elements' own width, so that compilers make vector code of it. */
static int half_block_bad(const unsigned char *data, size_t count, int16_t mask) {
    int16_t top = 0;
    for (size_t i = 0; i < count; i++) {
        int16_t bits;
        memcpy(&bits, data + 2 * i, sizeof bits);
        bits = (int16_t)(bits & mask);
        top = bits > top ? bits : top;
    }
    return top == mask;
}

static int single_block_bad(const unsigned char *data, size_t count) {
    const uint32_t mask = 0x7f800000u;
    uint32_t bad = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, data + 4 * i, sizeof bits);
        bad |= (bits & mask) == mask;
    }
    return (int)bad;
}

static int block_bad(mebi__dtype type, const unsigned char *data, size_t count) {
    if (type == MEBI__F32) return single_block_bad(data, count);
    return half_block_bad(data, count, type == MEBI__BF16 ? 0x7f80 : 0x7c00);
}

/* Elements looked at together: whole blocks of every type. */
enum { CHUNK = 4096 };

/* The same for types that have to be decoded to tell. */
static int chunk_bad(mebi__dtype type, const unsigned char *data, size_t count) {
    float values[CHUNK];
    if (type == MEBI__F32 || type == MEBI__F16 || type == MEBI__BF16)
        return block_bad(type, data, count);
    mebi__convert_to_f32(type, data, count, values);
    return single_block_bad((const unsigned char *)values, count);
}

/* Index and value of the first that is not finite; count if all are. */
static size_t first_bad(const mebi__tensor *t, size_t count, float *value) {
    size_t block = (size_t)mebi__dtype_block(t->dtype), step = 0;
    float values[CHUNK];
    const unsigned char *data = t->data;
    (void)mebi__row_bytes(t->dtype, (int64_t)block, &step);
    for (size_t at = 0; at < count; at += CHUNK) {
        size_t n = count - at < CHUNK ? count - at : CHUNK;
        if (!chunk_bad(t->dtype, data + at / block * step, n)) continue;
        mebi__convert_to_f32(t->dtype, data + at / block * step, n, values);
        size_t i = 0;
        while (i + 1 < n && isfinite(values[i])) i++;
        *value = values[i];
        return at + i;
    }
    return count;
}

mebi_status mebi__tensors_check_finite(const mebi__tensors *tensors, mebi_error *err) {
    for (int i = 0; i < tensors->count; i++) {
        const mebi__entry *e = &tensors->entry[i];
        size_t count = 0;
        (void)mebi__shape_elements(&e->tensor.shape, &count);
        float value = 0;
        size_t at = first_bad(&e->tensor, count, &value);
        if (at == count) continue;
        return mebi__fail(
            err, MEBI_BAD_FILE,
            "%s: tensor %s holds a value that is not finite (%s, element %zu of %zu): "
            "the file is damaged or was saved from a broken training.",
            tensors->file[e->file].path, e->tensor.name, value != value ? "NaN" : "infinity", at,
            count);
    }
    return MEBI_OK;
}

/* FNV-1a, 64 bits. */
static uint64_t mix(uint64_t hash, const void *data, size_t bytes) {
    const unsigned char *p = data;
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

static uint64_t mix_number(uint64_t hash, uint64_t number) {
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(number >> 8 * i);
    return mix(hash, bytes, sizeof bytes);
}

void mebi__tensors_fingerprint(const mebi__tensors *tensors, char hex[17]) {
    enum { SAMPLE = 128 }; /* from the middle of each tensor: one page touched */
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < tensors->file_count; i++)
        hash = mix_number(hash, tensors->file[i].map.bytes);
    for (int i = 0; i < tensors->count; i++) {
        const mebi__tensor *t = &tensors->entry[i].tensor;
        const unsigned char *data = t->data;
        size_t bytes = 0;
        (void)mebi__shape_bytes(&t->shape, t->dtype, &bytes);
        size_t n = bytes < SAMPLE ? bytes : SAMPLE;
        hash = mix(hash, t->name, strlen(t->name) + 1);
        hash = mix_number(hash, (uint64_t)t->dtype);
        for (int d = 0; d < t->shape.rank; d++) hash = mix_number(hash, (uint64_t)t->shape.dim[d]);
        hash = mix(hash, data + (bytes - n) / 2, n);
    }
    snprintf(hex, 17, "%016" PRIx64, hash);
}

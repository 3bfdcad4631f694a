/* Reads a GGUF's header. Must never trust a number of it: every count and length is compared with
 * the bytes that are left before anything is read or allocated by it. */
#include "weights/gguf.h"
#include "base/memory.h"
#include "weights/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    LARGEST_ALIGNMENT = 1 << 20,
    MOST_VALUES = 1 << 17, /* some programs note each tensor's shape */
    MOST_DIMENSIONS = 8,   /* that are stepped over */
    TENSOR_BYTES = 24,     /* least that a tensor takes in the header */
    VALUE_BYTES = 13,      /* and a value */
};

/* Types of tensors by their number in files. */
static const struct {
    uint32_t number;
    const char *name;
    int dtype;
} types[] = {
    {0, "F32", MEBI__F32},    {1, "F16", MEBI__F16},    {30, "BF16", MEBI__BF16},
    {2, "Q4_0", MEBI__Q4_0},  {3, "Q4_1", MEBI__Q4_1},  {6, "Q5_0", MEBI__Q5_0},
    {7, "Q5_1", MEBI__Q5_1},  {8, "Q8_0", MEBI__Q8_0},  {10, "Q2_K", MEBI__Q2_K},
    {11, "Q3_K", MEBI__Q3_K}, {12, "Q4_K", MEBI__Q4_K}, {13, "Q5_K", MEBI__Q5_K},
    {14, "Q6_K", MEBI__Q6_K}, {9, "Q8_1", -1},          {15, "Q8_K", -1},
    {16, "IQ2_XXS", -1},      {17, "IQ2_XS", -1},       {18, "IQ3_XXS", -1},
    {19, "IQ1_S", -1},        {20, "IQ4_NL", -1},       {21, "IQ3_S", -1},
    {22, "IQ2_S", -1},        {23, "IQ4_XS", -1},       {24, "I8", -1},
    {25, "I16", -1},          {26, "I32", -1},          {27, "I64", -1},
    {28, "F64", -1},          {29, "IQ1_M", -1},        {34, "TQ1_0", -1},
    {35, "TQ2_0", -1},        {39, "MXFP4", -1},        {40, "NVFP4", -1},
};

static const char read_types[] =
    "its type is not F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 or Q2_K to Q6_K";

/* What is left to read. The first failure sticks: then every read gives zeros. */
typedef struct reader {
    const char *path;
    const unsigned char *at, *begin, *end;
    mebi_status status;
    mebi_error *err;
} reader;

static size_t left(const reader *r) {
    return (size_t)(r->end - r->at);
}

static void truncated(reader *r, const char *what, uint64_t bytes) {
    if (r->status == MEBI_OK)
        r->status = mebi__fail(r->err, MEBI_BAD_FILE,
                               "%s is truncated or broken: %s at byte %zu needs %" PRIu64
                               " bytes, %zu are left. Get the file again.",
                               r->path, what, (size_t)(r->at - r->begin), bytes, left(r));
}

/* bytes of the file, or NULL. */
static const unsigned char *take(reader *r, const char *what, uint64_t bytes) {
    if (r->status != MEBI_OK) return NULL;
    if (bytes > left(r)) {
        truncated(r, what, bytes);
        return NULL;
    }
    const unsigned char *taken = r->at;
    r->at += bytes;
    return taken;
}

static uint64_t little_endian(const unsigned char *p, size_t bytes) {
    uint64_t n = 0;
    for (size_t i = bytes; i-- > 0;) n = n << 8 | p[i];
    return n;
}

static uint64_t number(reader *r, const char *what, size_t bytes) {
    const unsigned char *p = take(r, what, bytes);
    return p ? little_endian(p, bytes) : 0;
}

static const char *string(reader *r, const char *what, size_t *bytes) {
    uint64_t length = number(r, what, 8);
    const unsigned char *text = take(r, what, length);
    *bytes = text ? (size_t)length : 0;
    return (const char *)text;
}

static int type_bytes(uint64_t type) {
    switch (type) {
#define X(name, value, bytes)                                                                      \
    case value: return bytes;
        MEBI__GGUF_TYPE_MAP(X)
#undef X
    default: return -1;
    }
}

/* A key or name as it stands in the file, for a message. */
static mebi__shown show(const char *text, size_t bytes) {
    char copy[96];
    size_t n = bytes < sizeof copy - 1 ? bytes : sizeof copy - 1;
    if (n) memcpy(copy, text, n);
    copy[n] = 0;
    return mebi__show(copy);
}

static void broken(reader *r, const mebi__gguf_value *v, const char *what, uint64_t value) {
    if (r->status == MEBI_OK)
        r->status = mebi__fail(r->err, MEBI_BAD_FILE,
                               "%s: the metadata's value \"%s\" %s (%" PRIu64
                               "): the file is broken or not a model's.",
                               r->path, show(v->key, v->key_bytes).text, what, value);
}

/* Elements of v->type; steps over them. */
static void read_elements(reader *r, mebi__gguf_value *v) {
    int size = type_bytes(v->type);
    uint64_t bytes;
    size_t length;
    v->data = r->at;
    if (v->type == MEBI__GGUF_STRING)
        for (size_t i = 0; i < v->count && r->status == MEBI_OK; i++)
            string(r, "a string of the metadata", &length);
    else if (__builtin_mul_overflow((uint64_t)v->count, (uint64_t)size, &bytes))
        broken(r, v, "has a count that can't be", v->count);
    else take(r, "a value of the metadata", bytes);
}

static void read_value(reader *r, mebi__gguf_value *v) {
    v->key = string(r, "a key of the metadata", &v->key_bytes);
    uint64_t type = number(r, "a value's type", 4);
    v->count = 1;
    if (type == MEBI__GGUF_ARRAY) {
        v->is_array = 1;
        type = number(r, "an array's type", 4);
        uint64_t count = number(r, "an array's length", 8);
        if (type == MEBI__GGUF_ARRAY)
            broken(r, v, "is an array of arrays, which is not read", type);
        if (count > left(r)) truncated(r, "an array of the metadata", count);
        v->count = (size_t)count;
    }
    if (type_bytes(type) < 0) broken(r, v, "has an unknown type", type);
    if (r->status != MEBI_OK) return;
    v->type = (mebi__gguf_type)type;
    read_elements(r, v);
}

static int compare_keys(const void *a, const void *b) {
    const mebi__gguf_value *x = a, *y = b;
    size_t n = x->key_bytes < y->key_bytes ? x->key_bytes : y->key_bytes;
    int order = n ? memcmp(x->key, y->key, n) : 0;
    return order ? order : (x->key_bytes > y->key_bytes) - (x->key_bytes < y->key_bytes);
}

static void sort_values(reader *r, mebi__stored_file *file) {
    if (r->status != MEBI_OK) return;
    qsort(file->value, (size_t)file->values, sizeof *file->value, compare_keys);
    for (int i = 1; i < file->values; i++)
        if (compare_keys(&file->value[i - 1], &file->value[i]) == 0)
            broken(r, &file->value[i], "is there twice", 2);
}

const mebi__gguf_value *mebi__gguf_find(const mebi__stored_file *file, const char *key) {
    mebi__gguf_value wanted = {.key = key, .key_bytes = strlen(key)};
    if (file->values == 0) return NULL;
    return bsearch(&wanted, file->value, (size_t)file->values, sizeof wanted, compare_keys);
}

int64_t mebi__gguf_next_integer(mebi__gguf_type type, const unsigned char **at) {
    size_t size = (size_t)type_bytes(type);
    uint64_t bits = little_endian(*at, size);
    *at += size;
    switch (type) {
    case MEBI__GGUF_I8: return (int8_t)bits;
    case MEBI__GGUF_I16: return (int16_t)bits;
    case MEBI__GGUF_I32: return (int32_t)bits;
    default: return bits > INT64_MAX && type == MEBI__GGUF_U64 ? INT64_MAX : (int64_t)bits;
    }
}

int mebi__gguf_integer(const mebi__gguf_value *v, int64_t *out) {
    if (!v || v->is_array || v->type == MEBI__GGUF_F32 || v->type == MEBI__GGUF_F64 ||
        v->type == MEBI__GGUF_STRING)
        return 0;
    const unsigned char *at = v->data;
    *out = mebi__gguf_next_integer(v->type, &at);
    return 1;
}

int mebi__gguf_number(const mebi__gguf_value *v, double *out) {
    int64_t whole;
    if (mebi__gguf_integer(v, &whole)) {
        *out = (double)whole;
        return 1;
    }
    if (!v || v->is_array || v->type == MEBI__GGUF_STRING) return 0;
    float single;
    if (v->type == MEBI__GGUF_F64) memcpy(out, v->data, sizeof *out);
    else {
        memcpy(&single, v->data, sizeof single);
        *out = (double)single;
    }
    return 1;
}

void mebi__gguf_next_string(const unsigned char **at, const char **text, size_t *bytes) {
    *bytes = (size_t)little_endian(*at, 8);
    *text = (const char *)*at + 8;
    *at += 8 + *bytes;
}

int mebi__gguf_string(const mebi__gguf_value *v, const char **text, size_t *bytes) {
    if (!v || v->is_array || v->type != MEBI__GGUF_STRING) return 0;
    const unsigned char *at = v->data;
    mebi__gguf_next_string(&at, text, bytes);
    return 1;
}

/* The dimensions, fastest first in the file, last here. Ones beyond the fourth are dropped. */
static void read_shape(reader *r, mebi__stored *t) {
    uint64_t rank = number(r, "a tensor's number of dimensions", 4), dim[MOST_DIMENSIONS];
    if (rank > MOST_DIMENSIONS)
        r->status = mebi__fail(r->err, MEBI_BAD_FILE,
                               "%s: tensor %s has %" PRIu64 " dimensions; at most %d are read.",
                               r->path, mebi__show(t->name).text, rank, MOST_DIMENSIONS);
    for (uint64_t i = 0; i < rank && r->status == MEBI_OK; i++) {
        dim[i] = number(r, "a tensor's dimension", 8);
        if (dim[i] > INT64_MAX)
            r->status =
                mebi__fail(r->err, MEBI_BAD_FILE, "%s: tensor %s: dimension %" PRIu64 " overflows.",
                           r->path, mebi__show(t->name).text, i);
        if (dim[i] == 0) t->unsupported = "it has no elements";
    }
    if (r->status != MEBI_OK) return;
    while (rank > MEBI__MAX_RANK && dim[rank - 1] == 1) rank--;
    if (rank > MEBI__MAX_RANK) {
        t->unsupported = "it has more than 4 dimensions";
        return;
    }
    t->shape.rank = (int)rank;
    for (uint64_t i = 0; i < rank; i++) t->shape.dim[i] = (int64_t)dim[rank - 1 - i];
}

static void read_type(reader *r, mebi__stored *t) {
    uint64_t type = number(r, "a tensor's type", 4);
    t->type_name = "unknown";
    int dtype = -1;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].number == type) {
            t->type_name = types[i].name;
            dtype = types[i].dtype;
        }
    if (dtype < 0) t->unsupported = read_types;
    else t->dtype = (mebi__dtype)dtype;
}

/* name: room for MEBI__NAME_BYTES. The data's place is set by place_tensor. */
static void read_tensor(reader *r, mebi__stored *t, char *name, uint64_t *offset) {
    size_t bytes;
    const char *text = string(r, "a tensor's name", &bytes);
    if (r->status != MEBI_OK) return;
    size_t kept = bytes < MEBI__NAME_BYTES ? bytes : MEBI__NAME_BYTES - 1;
    memcpy(name, text, kept);
    name[kept] = 0;
    t->name = name;
    if (bytes >= MEBI__NAME_BYTES || memchr(text, 0, bytes))
        r->status = mebi__fail(r->err, MEBI_BAD_FILE,
                               "%s: the tensor name \"%s\" has %zu bytes, or a zero among them; at "
                               "most %d are read.",
                               r->path, mebi__show(name).text, bytes, MEBI__NAME_BYTES - 1);
    else r->status = mebi__stored_check_name(r->path, name, r->err);
    read_shape(r, t);
    read_type(r, t);
    *offset = number(r, "a tensor's offset", 8);
}

/* From offset to address; the size must be that of shape and type, and lie inside the data. */
static mebi_status place_tensor(const reader *r, mebi__stored *t, uint64_t offset,
                                uint64_t alignment, mebi_error *err) {
    mebi__shown name = mebi__show(t->name);
    char shape[96];
    size_t bytes = 0;
    if (offset % alignment != 0)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: tensor %s begins at byte %" PRIu64 " of the data, which is not a "
                          "multiple of the alignment %" PRIu64 ".",
                          r->path, name.text, offset, alignment);
    if (!t->unsupported && !mebi__shape_bytes(&t->shape, t->dtype, &bytes))
        return mebi__fail(
            err, MEBI_BAD_FILE,
            "%s: tensor %s of type %s can't have the shape %s: its rows are not whole "
            "blocks of %d, or its size overflows.",
            r->path, name.text, t->type_name, mebi__shape_text(&t->shape, shape, sizeof shape),
            (int)mebi__dtype_block(t->dtype));
    if (offset > left(r) || bytes > left(r) - offset)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s is truncated: tensor %s needs %zu bytes from byte %" PRIu64
                          " of the data, which has %zu. Get the file again.",
                          r->path, name.text, bytes, offset, left(r));
    t->data = r->at + offset;
    t->bytes = bytes;
    return MEBI_OK;
}

/* A count of the header that can't be: more items than bytes for them. */
static void check_count(reader *r, const char *what, uint64_t count, uint64_t limit, int each) {
    if (r->status != MEBI_OK || (count <= limit && count <= left(r) / (unsigned)each)) return;
    r->status = mebi__fail(r->err, MEBI_BAD_FILE,
                           "%s is truncated or broken: it claims %" PRIu64 " %s; at most %" PRIu64
                           " are read, and %zu bytes are left.",
                           r->path, count, what, limit, left(r));
}

static void read_head(reader *r, uint64_t *tensors, uint64_t *values) {
    const unsigned char *magic = take(r, "the magic number", 4);
    if (magic && memcmp(magic, "GGUF", 4) != 0)
        r->status = mebi__fail(r->err, MEBI_BAD_FILE,
                               "%s is not a GGUF file, whatever its name says: it doesn't begin "
                               "with \"GGUF\".",
                               r->path);
    uint64_t version = number(r, "the version", 4);
    if (r->status == MEBI_OK && (version == 2u << 24 || version == 3u << 24))
        r->status =
            mebi__fail(r->err, MEBI_UNSUPPORTED,
                       "%s is a GGUF file for big-endian machines, which is not read.", r->path);
    if (r->status == MEBI_OK && (version < 2 || version > 3))
        r->status = mebi__fail(r->err, MEBI_UNSUPPORTED,
                               "%s is a GGUF file of version %" PRIu64 "; 2 and 3 are read.",
                               r->path, version);
    *tensors = number(r, "the number of tensors", 8);
    *values = number(r, "the number of values", 8);
    check_count(r, "tensors", *tensors, MEBI__STORED_TENSORS, TENSOR_BYTES);
    check_count(r, "values", *values, MOST_VALUES, VALUE_BYTES);
    if (r->status == MEBI_OK && *tensors == 0)
        r->status = mebi__fail(r->err, MEBI_BAD_FILE, "%s holds no tensors.", r->path);
}

/* The alignment; and that this is not one part of a split model. */
static uint64_t read_settings(reader *r, const mebi__stored_file *file) {
    int64_t alignment = 32, parts = 1;
    const mebi__gguf_value *value = mebi__gguf_find(file, "general.alignment");
    if (value && (!mebi__gguf_integer(value, &alignment) || alignment < 1 ||
                  alignment > LARGEST_ALIGNMENT || (alignment & (alignment - 1))))
        broken(r, value, "is no power of two that can be", (uint64_t)alignment);
    if (mebi__gguf_integer(mebi__gguf_find(file, "split.count"), &parts) && parts > 1 &&
        r->status == MEBI_OK)
        r->status = mebi__fail(r->err, MEBI_UNSUPPORTED,
                               "%s is one of %" PRId64 " parts of a split model: join them first "
                               "(llama-gguf-split --merge).",
                               r->path, parts);
    return r->status == MEBI_OK ? (uint64_t)alignment : 1;
}

static void take_tables(reader *r, mebi__stored_file *file, uint64_t tensors, uint64_t values,
                        uint64_t **offsets) {
    if (r->status != MEBI_OK) return;
    file->value = mebi__alloc_array(MEBI__TAG_GENERAL, values + 1, sizeof *file->value);
    file->tensor = mebi__alloc_array(MEBI__TAG_GENERAL, tensors, sizeof *file->tensor);
    file->names = mebi__alloc_array(MEBI__TAG_GENERAL, tensors, MEBI__NAME_BYTES);
    *offsets = mebi__alloc_array(MEBI__TAG_GENERAL, tensors, sizeof **offsets);
    if (!file->value || !file->tensor || !file->names || !*offsets)
        r->status =
            mebi__fail(r->err, MEBI_NO_MEMORY, "No memory for the %" PRIu64 " tensor names of %s.",
                       tensors, r->path);
}

static void parse(reader *r, mebi__stored_file *file, uint64_t **offsets) {
    uint64_t tensors, values;
    read_head(r, &tensors, &values);
    take_tables(r, file, tensors, values, offsets);
    for (; r->status == MEBI_OK && file->values < (int)values; file->values++)
        read_value(r, &file->value[file->values]);
    sort_values(r, file);
    for (; r->status == MEBI_OK && file->count < (int)tensors; file->count++)
        read_tensor(r, &file->tensor[file->count],
                    file->names + (size_t)file->count * MEBI__NAME_BYTES, &(*offsets)[file->count]);
    if (r->status != MEBI_OK) return;
    uint64_t alignment = read_settings(r, file), over = (uint64_t)(r->at - r->begin) % alignment;
    if (over) take(r, "the padding before the data", alignment - over);
    for (int i = 0; i < file->count && r->status == MEBI_OK; i++)
        r->status = place_tensor(r, &file->tensor[i], (*offsets)[i], alignment, r->err);
    if (r->status == MEBI_OK) r->status = mebi__stored_sort(file, r->err);
}

mebi_status mebi__gguf_parse(const char *path, const unsigned char *data, size_t bytes,
                             mebi__stored_file *out, mebi_error *err) {
    memset(out, 0, sizeof *out);
    MEBI_TRY(mebi__stored_refuse_foreign(path, data, bytes, err));
    reader r = {path, data, data, data + bytes, MEBI_OK, err};
    uint64_t *offsets = NULL;
    out->is_gguf = 1;
    out->path = mebi__copy_string(path, strlen(path));
    if (out->path) parse(&r, out, &offsets);
    else r.status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for the path %s.", path);
    mebi__free(offsets);
    if (r.status != MEBI_OK) mebi__stored_close(out);
    return r.status;
}

/* Reads a safetensors header. Must never trust a number of it: every tensor that leaves here lies
 * inside the file, overlaps no other, and is exactly as large as its shape and type say. */
#include "weights/safetensors.h"
#include "base/memory.h"
#include "weights/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The format's types. Those without a dtype are known, but no part of a model may use them. */
static const struct {
    const char *name;
    int bits, dtype;
} types[] = {
    {"F32", 32, MEBI__F32}, {"F16", 16, MEBI__F16}, {"BF16", 16, MEBI__BF16}, {"F64", 64, -1},
    {"I64", 64, -1},        {"I32", 32, -1},        {"I16", 16, -1},          {"I8", 8, MEBI__I8},
    {"U64", 64, -1},        {"U32", 32, -1},        {"U16", 16, -1},          {"U8", 8, -1},
    {"BOOL", 8, -1},        {"C64", 64, -1},        {"F8_E4M3", 8, MEBI__F8_E4M3},
    {"F8_E5M2", 8, MEBI__F8_E5M2},
    {"F8_E8M0", 8, -1},     {"F8_E4M3FNUZ", 8, -1}, {"F8_E5M2FNUZ", 8, -1},   {"F6_E2M3", 6, -1},
    {"F6_E3M2", 6, -1},     {"F4", 4, -1},
};

static const char read_types[] = "its type is not F32, F16, BF16, F8_E4M3, F8_E5M2 or I8";

static mebi_status read_header_length(const char *path, const unsigned char *data, size_t bytes,
                                      size_t *length, mebi_error *err) {
    MEBI_TRY(mebi__stored_refuse_foreign(path, data, bytes, err));
    if (bytes < 8)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s is truncated: it has %zu bytes, a safetensors file at least 8.", path,
                          bytes);
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) n = n << 8 | data[i];
    if (n > MEBI__HEADER_BYTES)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s is not a safetensors file, or broken: it claims a header of %" PRIu64
                          " bytes; the limit is %d.",
                          path, n, MEBI__HEADER_BYTES);
    if (n > bytes - 8)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s is truncated or not a safetensors file: its header of %" PRIu64
                          " bytes ends beyond the file's %zu bytes. Get it again.",
                          path, n, bytes);
    if (n < 2 || data[8] != '{')
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s is not a safetensors file: its header doesn't begin with '{'.", path);
    *length = (size_t)n;
    return MEBI_OK;
}

static mebi_status parse_type(const char *path, const char *name, const json_t *type,
                              mebi__stored *out, int *bits, mebi_error *err) {
    if (!json_is_string(type))
        return mebi__fail(err, MEBI_BAD_FILE, "%s: tensor %s has no \"dtype\" string.", path, name);
    const char *text = json_string_value(type);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(text, types[i].name) != 0) continue;
        out->type_name = types[i].name;
        *bits = types[i].bits;
        if (types[i].dtype < 0) out->unsupported = read_types;
        else out->dtype = (mebi__dtype)types[i].dtype;
        return MEBI_OK;
    }
    return mebi__fail(err, MEBI_BAD_FILE, "%s: tensor %s has the unknown dtype \"%s\".", path, name,
                      mebi__show(text).text);
}

/* Sets shape, and in *bits the size of the whole tensor. */
static mebi_status parse_shape(const char *path, const char *name, const json_t *shape,
                               mebi__stored *out, uint64_t *bits, mebi_error *err) {
    if (!json_is_array(shape))
        return mebi__fail(err, MEBI_BAD_FILE, "%s: tensor %s has no \"shape\" list.", path, name);
    size_t rank = json_array_size(shape);
    if (rank > MEBI__MAX_RANK) out->unsupported = "it has more than 4 dimensions";
    else out->shape.rank = (int)rank;
    int overflow = 0, empty = 0;
    for (size_t i = 0; i < rank; i++) {
        const json_t *item = json_array_get(shape, i);
        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return mebi__fail(err, MEBI_BAD_FILE,
                              "%s: tensor %s: dimension %zu of its shape is not a whole number of "
                              "at least 0.",
                              path, name, i);
        int64_t dim = json_integer_value(item);
        if (i < MEBI__MAX_RANK) out->shape.dim[i] = dim;
        empty |= dim == 0;
        overflow |= __builtin_mul_overflow(*bits, (uint64_t)dim, bits);
    }
    if (overflow && !empty)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: tensor %s: the product of its dimensions overflows 64 bits.", path,
                          name);
    if (empty) {
        *bits = 0;
        out->unsupported = "it has no elements";
    }
    return MEBI_OK;
}

static mebi_status parse_offsets(const char *path, const char *name, const json_t *offsets,
                                 const unsigned char *data, size_t data_bytes, mebi__stored *out,
                                 mebi_error *err) {
    const json_t *b = json_array_get(offsets, 0), *e = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(b) || !json_is_integer(e))
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: tensor %s has no \"data_offsets\" of two whole numbers.", path,
                          name);
    int64_t begin = json_integer_value(b), end = json_integer_value(e);
    if (begin < 0 || end < begin)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: tensor %s: data_offsets [%" PRId64 ", %" PRId64
                          "] are negative or reversed.",
                          path, name, begin, end);
    if ((uint64_t)end > data_bytes)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s is truncated: tensor %s ends at byte %" PRId64
                          " of the data, which has %zu. Get the file again.",
                          path, name, end, data_bytes);
    out->data = data + begin;
    out->bytes = (size_t)(end - begin);
    return MEBI_OK;
}

static mebi_status parse_entry(const char *path, const char *key, const json_t *entry,
                               const unsigned char *data, size_t data_bytes, mebi__stored *out,
                               mebi_error *err) {
    MEBI_TRY(mebi__stored_check_name(path, key, err));
    mebi__shown shown = mebi__show(key);
    const char *name = shown.text;
    if (!json_is_object(entry))
        return mebi__fail(err, MEBI_BAD_FILE, "%s: the entry of tensor %s is not an object.", path,
                          name);
    int type_bits = 0;
    MEBI_TRY(parse_type(path, name, json_object_get(entry, "dtype"), out, &type_bits, err));
    uint64_t bits = (uint64_t)type_bits;
    MEBI_TRY(parse_shape(path, name, json_object_get(entry, "shape"), out, &bits, err));
    MEBI_TRY(parse_offsets(path, name, json_object_get(entry, "data_offsets"), data, data_bytes,
                           out, err));
    if (bits % 8 != 0 || bits / 8 != out->bytes)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: tensor %s: shape and type need %" PRIu64
                          " bytes, its data_offsets give it %zu.",
                          path, name, bits / 8, out->bytes);
    return MEBI_OK;
}

static mebi_status check_metadata(const char *path, json_t *metadata, mebi_error *err) {
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return mebi__fail(err, MEBI_BAD_FILE, "%s: __metadata__ is not an object.", path);
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value))
            return mebi__fail(err, MEBI_BAD_FILE,
                              "%s: __metadata__: the value of \"%s\" is not a "
                              "string.",
                              path, mebi__show(key).text);
    }
    return MEBI_OK;
}

/* Tensors, sorted, lie end to end and fill the data: the format allows no gap either. */
static mebi_status check_layout(const mebi__safetensors *file, const unsigned char *data,
                                size_t data_bytes, mebi_error *err) {
    size_t end = 0;
    const char *before = "the header";
    for (int i = 0; i < file->count; i++) {
        const mebi__stored *t = &file->tensor[i];
        size_t begin = (size_t)(t->data - data);
        if (begin > end)
            return mebi__fail(err, MEBI_BAD_FILE,
                              "%s is broken: %zu bytes between %s and tensor %s belong to no "
                              "tensor. Get it again.",
                              file->path, begin - end, mebi__show(before).text,
                              mebi__show(t->name).text);
        end = begin + t->bytes;
        before = t->name;
    }
    if (end != data_bytes)
        return mebi__fail(
            err, MEBI_BAD_FILE,
            "%s is broken: its tensors take %zu bytes, but %zu follow the header. Get it "
            "again.",
            file->path, end, data_bytes);
    return MEBI_OK;
}

static mebi_status take_tables(mebi__safetensors *file, json_t *root, mebi_error *err) {
    size_t names = 0, count = json_object_size(root);
    const char *key;
    json_t *value;
    if (count > MEBI__STORED_TENSORS)
        return mebi__fail(err, MEBI_BAD_FILE, "%s lists %zu tensors; at most %d are read.",
                          file->path, count, MEBI__STORED_TENSORS);
    json_object_foreach(root, key, value) names += strlen(key) + 1;
    file->tensor = mebi__alloc_array(MEBI__TAG_GENERAL, count + 1, sizeof *file->tensor);
    file->names = mebi__alloc(MEBI__TAG_GENERAL, names + 1);
    if (!file->tensor || !file->names)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the %zu tensor names of %s.", count,
                          file->path);
    return MEBI_OK;
}

static mebi_status parse_root(mebi__safetensors *file, json_t *root, const unsigned char *data,
                              size_t data_bytes, mebi_error *err) {
    MEBI_TRY(take_tables(file, root, err));
    char *next = file->names;
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        if (strcmp(key, "__metadata__") == 0) {
            MEBI_TRY(check_metadata(file->path, value, err));
            continue;
        }
        mebi__stored *t = &file->tensor[file->count];
        MEBI_TRY(parse_entry(file->path, key, value, data, data_bytes, t, err));
        size_t length = strlen(key) + 1;
        memcpy(next, key, length);
        t->name = next;
        next += length;
        file->count++;
    }
    if (file->count == 0) return mebi__fail(err, MEBI_BAD_FILE, "%s holds no tensors.", file->path);
    MEBI_TRY(mebi__stored_sort(file, err));
    return check_layout(file, data, data_bytes, err);
}

static mebi_status parse(mebi__safetensors *file, const char *path, const unsigned char *data,
                         size_t bytes, mebi_error *err) {
    file->path = mebi__copy_string(path, strlen(path));
    if (!file->path) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the path %s.", path);
    size_t header = 0;
    MEBI_TRY(read_header_length(path, data, bytes, &header, err));
    char label[512];
    snprintf(label, sizeof label, "%s: the header", path);
    json_t *root = NULL;
    MEBI_TRY(mebi__json_parse(label, (const char *)data + 8, header, &root, err));
    mebi_status status = parse_root(file, root, data + 8 + header, bytes - 8 - header, err);
    json_decref(root);
    return status;
}

mebi_status mebi__safetensors_parse(const char *path, const unsigned char *data, size_t bytes,
                                    mebi__safetensors *out, mebi_error *err) {
    memset(out, 0, sizeof *out);
    mebi_status status = parse(out, path, data, bytes, err);
    if (status != MEBI_OK) mebi__safetensors_close(out);
    return status;
}

mebi_status mebi__safetensors_open(const char *path, mebi__safetensors *out, mebi_error *err) {
    memset(out, 0, sizeof *out);
    mebi__map map;
    MEBI_TRY(mebi__map_open(path, &map, err));
    mebi_status status = mebi__safetensors_parse(path, map.data, map.bytes, out, err);
    if (status == MEBI_OK) out->map = map;
    else mebi__map_close(&map);
    return status;
}

void mebi__safetensors_close(mebi__safetensors *file) {
    mebi__stored_close(file);
}

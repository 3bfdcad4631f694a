/* What the model file formats share. Must never take a file for a model's because of its name. */
#include "weights/stored.h"
#include "base/memory.h"
#include "weights/gguf.h"
#include "weights/json.h"
#include "weights/safetensors.h"

#include <stdlib.h>
#include <string.h>

static int starts_with(const unsigned char *data, size_t bytes, const char *magic, size_t length) {
    return bytes >= length && memcmp(data, magic, length) == 0;
}

#define STARTS(magic) starts_with(data, bytes, magic, sizeof(magic) - 1)

mebi_status mebi__stored_refuse_foreign(const char *path, const unsigned char *data, size_t bytes,
                                        mebi_error *err) {
    if (bytes == 0) return mebi__fail(err, MEBI_BAD_FILE, "%s is empty: get it again.", path);
    if (STARTS("PK\x03\x04") || (STARTS("\x80") && bytes > 1 && data[1] >= 2 && data[1] <= 5))
        return mebi__fail(err, MEBI_UNSUPPORTED,
                          "%s is a PyTorch pickle, which can run code when it is read: convert it "
                          "to safetensors.",
                          path);
    if (STARTS("version https://git-lfs"))
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s is a git-lfs pointer, not the file itself: fetch it with `git lfs "
                          "pull` or download it.",
                          path);
    if (STARTS("<!DOCTYPE") || STARTS("<!doctype") || STARTS("<html") || STARTS("<HTML") ||
        STARTS("<?xml"))
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s is a web page (often an error page saved under a model's name), not "
                          "a model: download it again.",
                          path);
    return MEBI_OK;
}

mebi_status mebi__stored_check_name(const char *path, const char *name, mebi_error *err) {
    size_t length = strlen(name);
    int control = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)name[i];
        control |= c < 0x20 || c == 0x7F || (c == 0xC2 && (unsigned char)name[i + 1] < 0xA0);
    }
    if (length > 0 && length < MEBI__NAME_BYTES && !control) return MEBI_OK;
    return mebi__fail(err, MEBI_BAD_FILE,
                      "%s: the tensor name \"%s\" is empty, has control characters or more than %d "
                      "bytes.",
                      path, mebi__show(name).text, MEBI__NAME_BYTES - 1);
}

static int by_place(const void *a, const void *b) {
    const mebi__stored *x = a, *y = b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

mebi_status mebi__stored_sort(mebi__stored_file *file, mebi_error *err) {
    qsort(file->tensor, (size_t)file->count, sizeof *file->tensor, by_place);
    const mebi__stored *before = NULL;
    for (int i = 0; i < file->count; i++) {
        const mebi__stored *t = &file->tensor[i];
        if (t->bytes == 0) continue;
        if (before && t->data < before->data + before->bytes)
            return mebi__fail(err, MEBI_BAD_FILE,
                              "%s is broken: the data of tensors %s and %s overlap. Get it again.",
                              file->path, mebi__show(before->name).text, mebi__show(t->name).text);
        before = t;
    }
    return MEBI_OK;
}

static int is_gguf(const char *path, const unsigned char *data, size_t bytes) {
    size_t length = strlen(path);
    return STARTS("GGUF") || (length > 5 && strcmp(path + length - 5, ".gguf") == 0);
}

mebi_status mebi__stored_open(const char *path, mebi__stored_file *out, mebi_error *err) {
    memset(out, 0, sizeof *out);
    mebi__map map;
    MEBI_TRY(mebi__map_open(path, &map, err));
    mebi_status status = is_gguf(path, map.data, map.bytes)
                             ? mebi__gguf_parse(path, map.data, map.bytes, out, err)
                             : mebi__safetensors_parse(path, map.data, map.bytes, out, err);
    if (status == MEBI_OK) out->map = map;
    else mebi__map_close(&map);
    return status;
}

void mebi__stored_close(mebi__stored_file *file) {
    mebi__map_close(&file->map);
    mebi__free(file->path);
    mebi__free(file->tensor);
    mebi__free(file->names);
    mebi__free(file->value);
    memset(file, 0, sizeof *file);
}

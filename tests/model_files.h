/* Writes model files, good and broken, into a temporary folder; for tests. */
#ifndef MEBI_TESTS_MODEL_FILES_H
#define MEBI_TESTS_MODEL_FILES_H

#include "testing.h"

#include <dirent.h>
#include <jansson.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct path_text {
    char text[PATH_MAX];
} path_text;

__attribute__((format(printf, 1, 2))) static inline path_text path_of(const char *format, ...) {
    path_text path;
    va_list args;
    va_start(args, format);
    assert_true(vsnprintf(path.text, sizeof path.text, format, args) < (int)sizeof path.text);
    va_end(args);
    return path;
}

static inline void *take_bytes(size_t bytes) {
    void *block = calloc(1, bytes);
    if (!block) abort();
    return block;
}

static inline path_text make_folder(void) {
    const char *base = getenv("TMPDIR");
    path_text path = path_of("%s/mebi-test-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(path.text));
    return path;
}

/* How many files a folder holds, hidden ones not counted. */
static inline int files_in(const char *path) {
    DIR *folder = opendir(path);
    int count = 0;
    assert_non_null(folder);
    for (struct dirent *d; (d = readdir(folder));) count += d->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* A file, a link or a folder with all that is in it. */
static inline void remove_path(const char *path) {
    struct stat st;
    if (lstat(path, &st) != 0) return;
    if (!S_ISDIR(st.st_mode)) {
        assert_int_equal(unlink(path), 0);
        return;
    }
    chmod(path, 0700);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *d; (d = readdir(folder));)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            remove_path(path_of("%s/%s", path, d->d_name).text);
    closedir(folder);
    assert_int_equal(rmdir(path), 0);
}

static inline void write_bytes(const char *path, const void *data, size_t bytes) {
    remove_path(path);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static inline void write_text(const char *path, const char *text) {
    write_bytes(path, text, strlen(text));
}

/* A safetensors file of this header text and data. */
static inline void write_safetensors(const char *path, const char *header, const void *data,
                                     size_t bytes) {
    size_t length = strlen(header);
    unsigned char *file = take_bytes(8 + length + bytes);
    for (int i = 0; i < 8; i++) file[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(file + 8, header, length);
    if (bytes > 0) memcpy(file + 8 + length, data, bytes);
    write_bytes(path, file, 8 + length + bytes);
    free(file);
}

/* A file with F32 tensors of these names, all of one shape ("[2, 2]"), value i in tensor i. */
static inline void write_named(const char *path, const char *const *names, int count,
                               const char *shape, int elements) {
    char header[16384] = "{", item[512];
    float *data = take_bytes(sizeof *data * (size_t)count * (size_t)elements);
    for (int i = 0; i < count; i++) {
        int begin = 4 * i * elements, end = begin + 4 * elements;
        snprintf(item, sizeof item,
                 "%s\"%s\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[%d,%d]}", i ? "," : "",
                 names[i], shape, begin, end);
        assert_true(strlen(header) + strlen(item) + 2 < sizeof header);
        strcat(header, item);
        for (int k = 0; k < elements; k++) data[i * elements + k] = (float)i + (float)k / 100;
    }
    strcat(header, "}");
    write_safetensors(path, header, data, sizeof *data * (size_t)count * (size_t)elements);
    free(data);
}

/* A copy of a folder whose files are links into it; replacing one leaves the original alone. */
static inline void link_folder(const char *from, const char *to) {
    assert_int_equal(mkdir(to, 0700), 0);
    DIR *folder = opendir(from);
    assert_non_null(folder);
    for (struct dirent *d; (d = readdir(folder));) {
        if (d->d_name[0] == '.') continue;
        path_text source = path_of("%s/%s", from, d->d_name),
                  target = path_of("%s/%s", to, d->d_name);
        struct stat st;
        assert_int_equal(stat(source.text, &st), 0);
        if (S_ISDIR(st.st_mode)) link_folder(source.text, target.text);
        else assert_int_equal(symlink(source.text, target.text), 0);
    }
    closedir(folder);
}

/* Sets a key of a JSON file to a value given as JSON text; NULL takes it out. */
static inline void edit_json(const char *path, const char *key, const char *value) {
    json_error_t why;
    json_t *root = json_load_file(path, 0, &why);
    assert_non_null(root);
    if (value) {
        json_t *item = json_loads(value, JSON_DECODE_ANY, &why);
        assert_non_null(item);
        assert_int_equal(json_object_set_new(root, key, item), 0);
    } else json_object_del(root, key);
    char *text = json_dumps(root, JSON_INDENT(1));
    write_text(path, text);
    free(text);
    json_decref(root);
}

/* The bytes of a file; freed by free. */
static inline unsigned char *read_bytes(const char *path, size_t *bytes) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    *bytes = (size_t)ftell(f);
    rewind(f);
    unsigned char *data = take_bytes(*bytes + 1);
    assert_int_equal(fread(data, 1, *bytes, f), *bytes);
    fclose(f);
    return data;
}

#endif

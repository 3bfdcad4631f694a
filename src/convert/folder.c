/* A model folder's other files: copied. Must never remove a folder that was there before. */
#include "base/memory.h"
#include "base/os.h"
#include "convert/job.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static mebi_status copy_file(const mebi__convert_job *job, const char *from, const char *to,
                             mebi_error *err) {
    enum { PIECE = 16 << 20 };
    mebi__map map;
    mebi__writer writer = {.fd = -1};
    MEBI_TRY(mebi__map_open(from, &map, err));
    mebi_status status = mebi__writer_open(to, &writer, err);
    if (status == MEBI_OK) status = mebi__writer_reserve(&writer, map.bytes, err);
    for (size_t at = 0; status == MEBI_OK && at < map.bytes; at += PIECE) {
        size_t left = map.bytes - at;
        status = mebi__writer_append(&writer, map.data + at, left < PIECE ? left : PIECE, err);
        if (status == MEBI_OK) status = mebi__convert_go_on(job, err);
    }
    if (status == MEBI_OK) status = mebi__writer_finish(&writer, NULL, err);
    mebi__writer_abandon(&writer);
    mebi__map_close(&map);
    return status;
}

static mebi_status copy_named(const mebi__convert_job *job, const char *from, const char *to,
                              const char *name, mebi_error *err) {
    char *a = mebi__join_path(from, name), *b = mebi__join_path(to, name);
    mebi_status status = MEBI_OK;
    if (!a || !b) status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    else if (mebi__is_file(a)) status = copy_file(job, a, b, err);
    mebi__free(a);
    mebi__free(b);
    return status;
}

mebi_status mebi__convert_copy(const mebi__convert_job *job, const char *from, const char *to,
                               mebi_error *err) {
    if (!mebi__is_directory(from)) return copy_file(job, from, to, err);
    MEBI_TRY(mebi__make_directories(to, err));
    DIR *folder = opendir(from);
    if (!folder)
        return mebi__fail(err, MEBI_IO, "The folder %s can't be read: %s.", from, strerror(errno));
    mebi_status status = MEBI_OK;
    for (struct dirent *d; status == MEBI_OK && (d = readdir(folder));)
        if (d->d_name[0] != '.') status = copy_named(job, from, to, d->d_name, err);
    closedir(folder);
    return status;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

void mebi__convert_remove(const char *folder) {
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

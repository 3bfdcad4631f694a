/* Files that appear when they are whole. Must never leave a half-written file under its final name,
 * nor replace one that is there unless that is asked for. */
#include "base/writer.h"

#include "base/memory.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

mebi_status mebi__writer_open(const char *path, mebi__writer *writer, mebi_error *err) {
    size_t length = strlen(path);
    *writer = (mebi__writer){.path = mebi__copy_string(path, length),
                             .temporary = mebi__alloc(MEBI__TAG_GENERAL, length + 40),
                             .fd = -1};
    mebi_status status = MEBI_OK;
    if (!writer->path || !writer->temporary)
        status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    else {
        snprintf(writer->temporary, length + 40, "%s.%08" PRIx64 ".part", path,
                 mebi__random_bits() & 0xffffffffu);
        writer->fd = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (writer->fd < 0)
            status = mebi__fail(err, MEBI_IO, "%s can't be written: %s.", path, strerror(errno));
    }
    if (status != MEBI_OK) mebi__writer_abandon(writer);
    return status;
}

mebi_status mebi__writer_reserve(mebi__writer *writer, uint64_t bytes, mebi_error *err) {
    int cause = bytes > INT64_MAX ? EFBIG : 0;
    if (bytes > 0 && !cause) do
            cause = posix_fallocate(writer->fd, 0, (off_t)bytes);
        while (cause == EINTR);
    if (cause == ENOSPC || cause == EFBIG || cause == EDQUOT)
        return mebi__fail(
            err, MEBI_IO,
            "%s would have %.3f GB, and there is no room for it: %s. Free some disk or "
            "write it elsewhere.",
            writer->path, 1e-9 * (double)bytes, strerror(cause));
    return MEBI_OK;
}

mebi_status mebi__writer_append(mebi__writer *writer, const void *data, size_t bytes,
                                mebi_error *err) {
    const unsigned char *p = data;
    for (size_t done = 0; done < bytes;) {
        ssize_t n = write(writer->fd, p + done, bytes - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return mebi__fail(err, MEBI_IO, "Writing %s failed: %s.", writer->path,
                              strerror(errno));
        done += (size_t)n;
    }
    return MEBI_OK;
}

static void sync_directory_of(const char *path) {
    const char *slash = strrchr(path, '/');
    char *directory =
        slash ? mebi__copy_string(path, (size_t)(slash - path) + 1) : mebi__copy_string(".", 1);
    int fd = directory ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)!fsync(fd); /* best effort: some file systems refuse it */
        close(fd);
    }
    mebi__free(directory);
}

static mebi_status give_name(const mebi__writer *writer, int *exists, mebi_error *err) {
    /* link, not rename: it refuses to replace what is already there. */
    if (link(writer->temporary, writer->path) == 0) return MEBI_OK;
    int cause = errno;
    if (cause == EEXIST && exists) *exists = 1;
    /* A file system without hard links (FAT, some network drives). */
    if (cause != EEXIST && access(writer->path, F_OK) != 0 &&
        rename(writer->temporary, writer->path) == 0)
        return MEBI_OK;
    return mebi__fail(err, MEBI_IO, "%s can't be given its name: %s.", writer->path,
                      strerror(cause));
}

static mebi_status sync_file(const mebi__writer *writer, mebi_error *err) {
    if (fsync(writer->fd) == 0) return MEBI_OK;
    return mebi__fail(err, MEBI_IO, "Syncing %s failed: %s.", writer->path, strerror(errno));
}

static mebi_status replace(const mebi__writer *writer, mebi_error *err) {
    if (rename(writer->temporary, writer->path) == 0) return MEBI_OK;
    return mebi__fail(err, MEBI_IO, "%s can't be replaced: %s.", writer->path, strerror(errno));
}

mebi_status mebi__writer_finish(mebi__writer *writer, int *exists, mebi_error *err) {
    if (exists) *exists = 0;
    mebi_status status = sync_file(writer, err);
    if (status == MEBI_OK) status = give_name(writer, exists, err);
    if (status == MEBI_OK) sync_directory_of(writer->path);
    mebi__writer_abandon(writer);
    return status;
}

mebi_status mebi__writer_replace(mebi__writer *writer, mebi_error *err) {
    mebi_status status = replace(writer, err);
    mebi__writer_abandon(writer); /* the temporary name is gone, or goes */
    return status;
}

mebi_status mebi__writer_replace_durably(mebi__writer *writer, mebi_error *err) {
    mebi_status status = sync_file(writer, err);
    if (status == MEBI_OK) status = replace(writer, err);
    if (status == MEBI_OK) sync_directory_of(writer->path);
    mebi__writer_abandon(writer);
    return status;
}

void mebi__writer_abandon(mebi__writer *writer) {
    if (writer->temporary && writer->fd >= 0) {
        unlink(writer->temporary); /* the other name, if it was given one, stays */
        close(writer->fd);
    }
    mebi__free(writer->path);
    mebi__free(writer->temporary);
    *writer = (mebi__writer){.fd = -1};
}

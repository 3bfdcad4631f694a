/* A file written piece by piece that appears under its name only when it is whole. */
#ifndef MEBI_BASE_WRITER_H
#define MEBI_BASE_WRITER_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct mebi__writer {
    char *path, *temporary; /* the latter lies beside path; NULL: not open */
    int fd;
} mebi__writer;

MEBI_MUST_USE mebi_status mebi__writer_open(const char *path, mebi__writer *writer,
                                            mebi_error *err);
/* Takes the disk's room for a file of so many bytes, so that a full disk is told before the work
 * and not after it. Where the file system can't, nothing happens. */
MEBI_MUST_USE mebi_status mebi__writer_reserve(mebi__writer *writer, uint64_t bytes,
                                               mebi_error *err);
MEBI_MUST_USE mebi_status mebi__writer_append(mebi__writer *writer, const void *data, size_t bytes,
                                              mebi_error *err);
/* Syncs the file, gives it its name and syncs the directory. Never overwrites: if path exists by
 * then, MEBI_IO with *exists = 1 (exists may be NULL). The writer is closed in any case, and no
 * temporary file stays. */
MEBI_MUST_USE mebi_status mebi__writer_finish(mebi__writer *writer, int *exists, mebi_error *err);
/* For what can be made again: takes the place of what is at path, in one moment; the disk is not waited for, so
 * that after a power cut the file may be an older one, or empty. The writer is closed in any case. */
MEBI_MUST_USE mebi_status mebi__writer_replace(mebi__writer *writer, mebi_error *err);
/* The same for what can't be made again: the file and then the directory are synced, so that at no time
 * anything but the old or the new file is there, whole. */
MEBI_MUST_USE mebi_status mebi__writer_replace_durably(mebi__writer *writer, mebi_error *err);
/* Removes what was written. Accepts a closed writer. */
void mebi__writer_abandon(mebi__writer *writer);

#endif

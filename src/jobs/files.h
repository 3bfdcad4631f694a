/* The data folder's files. */
#ifndef MEBI_JOBS_FILES_H
#define MEBI_JOBS_FILES_H

#include "base/error.h"
#include "jobs/jobs.h"

/* "FOLDER/kind/name" + ending; name may be NULL. NULL when out of memory; freed with mebi__free. */
char *mebi__files_path(const char *folder, const char *kind, const char *name, const char *ending);

/* Makes the folder and those in it, and takes its lock; *fd holds it until it is closed. */
MEBI_MUST_USE mebi_status mebi__files_take(const char *folder, int *fd, mebi_error *err);

/* 1 if the text could be an id: see jobs.h. */
int mebi__files_is_id(const char *text, size_t bytes);

/* "YYYY-MM/ID.png" of that moment (UTC). */
void mebi__files_name(const char *id, int64_t ms, char *out, size_t bytes);

/* A file of 192 KiB that stands for room on the disk: given back so that somebody can remove pictures, or look at them, when
 * nothing else can be written. take: best effort, and nothing if it is there; 1 if it is now. give: 1 if it was there. */
int mebi__files_take_reserve(const char *folder);
int mebi__files_give_reserve(const char *folder);
/* Moves a file, whose folder's parents are made, and waits for the disk. *gone (may be NULL): 1 if there is no file
 * `from`. Replaces `to`. */
MEBI_MUST_USE mebi_status mebi__files_move(const char *from, const char *to, int *gone,
                                           mebi_error *err);
/* One that is missing already is fine; waits for the disk. */
MEBI_MUST_USE mebi_status mebi__files_remove(const char *path, mebi_error *err);

/* Every entry's name of a folder but . and ..; a missing folder has none. Stops when it returns non-MEBI_OK. */
MEBI_MUST_USE mebi_status mebi__files_each(const char *folder,
                                           mebi_status (*see)(void *context, const char *name,
                                                              mebi_error *err),
                                           void *context, mebi_error *err);

/* Bytes of the process's own memory, quickly and about: resident less what files or others share. */
size_t mebi__files_own_bytes(void);

#endif

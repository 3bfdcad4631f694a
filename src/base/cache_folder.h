/* The cache's folder: names, what is in it, what has to go. Used by cache.c; whoever keeps
 * other files in the folder takes mebi__cache_folder_open alone. */
#ifndef MEBI_BASE_CACHE_FOLDER_H
#define MEBI_BASE_CACHE_FOLDER_H

#include "base/cache.h"

/* An entry is <key>.mebi-cache; one that is being made has .part behind it, and its maker holds a
 * lock (flock) on it: a .part without a lock is a dead process's. */
#define MEBI__CACHE_ENDING ".mebi-cache"
#define MEBI__CACHE_PART   ".part"

typedef char mebi__cache_name[256];

void mebi__cache_name_of(const char *key, const char *ending, mebi__cache_name name);

/* MEBI_BAD_ARGUMENT unless the key can be a file's name. */
MEBI_MUST_USE mebi_status mebi__cache_check_key(const char *key, mebi_error *err);

/* Opens the folder (NULL: the default), made first if `make` says so. Otherwise a missing one gives
 * MEBI_OK and fd -1. */
MEBI_MUST_USE mebi_status mebi__cache_folder_open(const char *folder, int make, int *fd,
                                                  mebi_error *err);

/* 1 if the open file is what the folder has under that name. */
int mebi__cache_is_named(int folder_fd, const char *name, int fd);

/* Removes what dead processes left behind. */
void mebi__cache_sweep(int folder_fd);

/* Deletes entries, unused for longest first, until `bytes` more (already in the folder as a file of
 * no size) fit into the limit (0: the default) and onto the disk. Deletes nothing if that would not
 * do. */
MEBI_MUST_USE mebi_status mebi__cache_make_room(int folder_fd, uint64_t bytes, uint64_t limit,
                                                mebi_error *err);

#endif

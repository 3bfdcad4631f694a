/* What the operating system gives: files, clocks, memory figures, cores. */
#ifndef MEBI_BASE_OS_H
#define MEBI_BASE_OS_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* A file mapped read-only. The bytes are whatever the file holds, and the file may shrink under
 * the mapping: readers check every size against `bytes` and nothing else. */
typedef struct mebi__map {
    const unsigned char *data; /* page-aligned; NULL for an empty file */
    size_t bytes;
    uint64_t device, inode; /* identity, for caches */
    int64_t modified_ns;
} mebi__map;

MEBI_MUST_USE mebi_status mebi__map_open(const char *path, mebi__map *map, mebi_error *err);
void mebi__map_close(mebi__map *map);
/* The mapping's pages may go until they are read again: they no longer count as resident. */
void mebi__map_rest(const mebi__map *map);

/* A mapping of nothing: addresses that cost no memory and must not be read. Returns 0 if there are none left. */
int mebi__map_nothing(size_t bytes, mebi__map *map);

/* The whole of a small file, terminated by a 0 byte that *bytes does not count. Refused above
 * limit. Freed with mebi__free. */
MEBI_MUST_USE mebi_status mebi__read_file(const char *path, size_t limit, char **text,
                                          size_t *bytes, mebi_error *err);

/* 1 if the path exists and is a regular file / a directory (links followed). */
int mebi__is_file(const char *path);
int mebi__is_directory(const char *path);

/* Makes a directory and those above it. Fine if it exists. */
MEBI_MUST_USE mebi_status mebi__make_directories(const char *path, mebi_error *err);
/* The same for the directory that a file is to be in. */
MEBI_MUST_USE mebi_status mebi__make_parents(const char *path, mebi_error *err);

/* Writes bytes to a temporary name beside path, syncs it, and gives it its name; the directory is
 * synced too. Never overwrites: if path exists by then, MEBI_IO with *exists = 1 (exists may be
 * NULL). On failure no temporary file stays behind. */
MEBI_MUST_USE mebi_status mebi__write_file(const char *path, const void *data, size_t bytes,
                                           int *exists, mebi_error *err);

/* "a/b" from "a" and "b"; freed with mebi__free. NULL when out of memory. */
char *mebi__join_path(const char *directory, const char *name);

double mebi__now_seconds(void);     /* monotonic: for all that lasts */
/* Milliseconds since 1970, as the machine's clock says, which people and networks set: only for people. */
int64_t mebi__wall_ms(void);
void mebi__wall_pretend(int64_t ms); /* for tests: that clock is so much ahead from now on */
uint64_t mebi__random_bits(void);   /* from the system */
int mebi__physical_cores(void);     /* cores this process may run on, hyper-threads counted once */

/* Resident bytes of the process now, and how many of them belong to some mapped files. Counted page
 * by page in one walk over all mappings; 0 where the system does not tell. */
typedef struct mebi__resident {
    size_t bytes, in_maps;
} mebi__resident;

mebi__resident mebi__resident_now(const mebi__map *const *maps, int count);
/* Bytes of memory that belong to this process alone: what is resident less what mapped files hold, which the
 * system can drop and read again. One walk over all pages; 0 where the system does not tell. */
size_t mebi__memory_own(void);
/* The same by the system's running counters, which lag by some hundreds of KiB: at once, whatever the process holds. */
size_t mebi__memory_own_about(void);
/* Bytes that the system holds for this process in memory of its own: tables of pages, about. */
size_t mebi__memory_tables(void);
/* Free blocks of the heap go back to the system. */
void mebi__memory_trim(void);

/* The most that was ever resident, mapped files included. Lags by hundreds of KiB. */
size_t mebi__resident_peak(void);
/* Begins the most anew, from what is resident now. Returns 0 where the system doesn't let it. */
int mebi__resident_peak_reset(void);

/* Bytes this process could still take without swapping: what the system has available, lowered to
 * what its control groups leave. SIZE_MAX where nothing tells. */
size_t mebi__memory_available(void);
/* Writes bytes of 0xff from at on, so that the system gives them now or never. Looks again and again whether it still has
 * them, for another program may take what was free a moment ago and then this one would be ended. 0: it hasn't, and
 * the rest was not written. */
int mebi__memory_touch(void *at, size_t bytes);

#endif

/* A folder of files that can be made again: weights prepared for this machine's kernels.
 *
 *     mebi__cache_entry entry;
 *     MEBI_TRY(mebi__cache_open(&(mebi__cache_request){.key = key, .bytes = bytes}, &entry, err));
 *     if (!entry.ready) {
 *         fill(entry.data, bytes);
 *         mebi_error why = {0};
 *         if (mebi__cache_commit(&entry, &why) != MEBI_OK) tell(&why); // entry.data stays good
 *     }
 *     ...
 *     mebi__cache_close(&entry);
 *
 * No failure here need end anything: without a cache the caller prepares into memory of its own.
 *
 * Several processes may use one folder. Of those that want the same missing entry one makes it and
 * the others wait; if it dies, the next one makes it. An entry appears under its name only when all
 * of its bytes are on the disk. Files that are wrong in size, header, key or hash count as missing
 * and are replaced; so are those of other users (root's are fine). Where entries must make room,
 * those unused for longest go first; a process that has one mapped keeps what it sees. */
#ifndef MEBI_BASE_CACHE_H
#define MEBI_BASE_CACHE_H

#include "base/os.h"

enum { MEBI__CACHE_KEY = 200 };

typedef struct mebi__cache_request {
    const char *folder;   /* NULL: mebi__cache_folder's. Made if missing */
    const char *key;      /* 1 to MEBI__CACHE_KEY of A-Z a-z 0-9 . _ -, not beginning with a dot.
                           * Has to tell apart everything the bytes depend on */
    size_t bytes;         /* of the payload, exactly; not 0 */
    uint64_t limit_bytes; /* of all entries with this one; 0: 64 GiB, or half of the disk's room if
                           * that is less */
    double wait_seconds;  /* for another process that is making the entry; 0: 300 */
    int (*cancelled)(
        void *context); /* asked while waiting; non-zero: MEBI_CANCELLED. May be NULL */
    void *context;
} mebi__cache_request;

typedef struct mebi__cache_entry {
    unsigned char *data; /* page-aligned. ready: read-only. Otherwise zeros, to be filled by any
                          * number of threads and then committed */
    size_t bytes;
    int ready;
    mebi__map map; /* the file's mapping, payload and bookkeeping: for mebi__resident_now */
    /* the cache's own */
    int folder_fd, part_fd;
    char key[MEBI__CACHE_KEY + 1];
} mebi__cache_entry;

/* Takes what is there (header and a sample of the chunks are checked: 18 MiB at most are read; its
 * last use becomes now), or makes room on the disk for what is not. On failure *entry is empty:
 * MEBI_IO if the folder or the disk can't take it, and the text says why. One thread must not open
 * a key again before it has committed or closed it: it would wait for itself. */
MEBI_MUST_USE mebi_status mebi__cache_open(const mebi__cache_request *request,
                                           mebi__cache_entry *entry, mebi_error *err);

/* Hashes the bytes, waits until the disk has them, and gives the file its name; ready becomes 1,
 * data stays where it is and is read-only from now on. Other threads may read data meanwhile, not
 * write. On failure nothing is kept in the folder, but data stays as it was filled until it is
 * closed. Nothing happens if the entry is ready. */
MEBI_MUST_USE mebi_status mebi__cache_commit(mebi__cache_entry *entry, mebi_error *err);

/* Ends the mapping; what was not committed is gone. Accepts an empty entry; empties it. */
void mebi__cache_close(mebi__cache_entry *entry);

/* Reads and checks every byte of an entry: MEBI_IO if there is none, MEBI_BAD_FILE if it is harmed.
 */
MEBI_MUST_USE mebi_status mebi__cache_verify(const char *folder, const char *key, mebi_error *err);

/* $MEBI_CACHE_DIR, $XDG_CACHE_HOME/mebi or ~/.cache/mebi, the first that is set; freed with
 * mebi__free. */
MEBI_MUST_USE mebi_status mebi__cache_folder(char **folder, mebi_error *err);

typedef struct mebi__cache_item {
    char key[MEBI__CACHE_KEY + 1];
    uint64_t bytes; /* of the file */
    int64_t used;   /* seconds since 1970 */
} mebi__cache_item;

/* All entries, last used first; NULL and 0 if there are none or no folder. Freed with mebi__free.
 */
MEBI_MUST_USE mebi_status mebi__cache_list(const char *folder, mebi__cache_item **items, int *count,
                                           mebi_error *err);

/* Removes all entries, and what dead processes left. Those in use stay valid where they are mapped.
 */
MEBI_MUST_USE mebi_status mebi__cache_clear(const char *folder, int *count, uint64_t *bytes,
                                            mebi_error *err);

#endif

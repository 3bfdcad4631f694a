/* Entries of the cache: a page of header, the payload, and a hash for each MiB of it.
 *
 * Whoever makes an entry holds a lock on its .part from the moment after it was made until it has
 * its final name or is gone. So: (1) a .part without a lock is dead, and may be removed by whoever
 * gets its lock; (2) who has locked a .part that still has its name is the only maker of that key;
 * (3) nobody else gives a file that key's final name meanwhile. Every lock is followed by a look at
 * the name, as the file may have lost it in between.
 *
 * Must never show a file under its final name before the disk has all of it, and never write to a
 * file it has not made itself. */
#include "base/cache.h"

#include "base/cache_folder.h"
#include "base/hash.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    VERSION = 1,
    HEADER = 4096,
    CHUNK = 1 << 20,
    SAMPLE = 18, /* chunks checked at every opening: first, last, and one from each 16th */
    WAIT_SECONDS = 300,
    NAP_MS = 20,
};

static const char magic[8] = "mebicach";

/* The first bytes of the file. Of this machine's byte order, as is what it holds. */
typedef struct file_header {
    char magic[8];
    uint32_t version, chunk_bytes;
    uint64_t bytes;                /* of the payload */
    uint64_t table_hash;           /* of the chunks' hashes */
    char key[MEBI__CACHE_KEY + 8]; /* 0 to its end */
    uint64_t hash;                 /* of all above */
} file_header;

typedef struct layout {
    size_t chunks, table, file_bytes; /* the table's place */
} layout;

static layout layout_of(size_t bytes) {
    layout l = {.chunks = (bytes + CHUNK - 1) / CHUNK,
                .table = HEADER + ((bytes + 7) & ~(size_t)7)};
    l.file_bytes = l.table + 8 * l.chunks;
    return l;
}

static size_t chunk_bytes(size_t bytes, size_t chunk) {
    size_t left = bytes - chunk * CHUNK;
    return left < CHUNK ? left : CHUNK;
}

static uint64_t header_hash(const file_header *h) {
    return mebi__hash(VERSION, h, offsetof(file_header, hash));
}

static file_header header_of(const char *key, size_t bytes) {
    file_header h;
    memset(&h, 0, sizeof h);
    memcpy(h.magic, magic, sizeof magic);
    h.version = VERSION;
    h.chunk_bytes = CHUNK;
    h.bytes = bytes;
    memcpy(h.key, key, strlen(key));
    return h;
}

/* ---- checking ---- */

static int read_at(int fd, size_t offset, void *to, size_t bytes) {
    unsigned char *p = to;
    while (bytes > 0) {
        ssize_t n = pread(fd, p, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return 0;
        p += n;
        offset += (size_t)n;
        bytes -= (size_t)n;
    }
    return 1;
}

/* The header is whole, and that of this key. *bytes 0: any payload; becomes the file's. */
static int header_is_good(int fd, const char *key, size_t *bytes, file_header *h) {
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < HEADER) return 0;
    if (st.st_uid != geteuid() && st.st_uid != 0) return 0;
    if (!read_at(fd, 0, h, sizeof *h) || h->hash != header_hash(h)) return 0;
    if (h->bytes == 0 || h->bytes > (uint64_t)st.st_size) return 0;
    if (*bytes == 0) *bytes = (size_t)h->bytes;
    file_header wanted = header_of(key, *bytes);
    return memcmp(h, &wanted, offsetof(file_header, table_hash)) == 0 &&
           memcmp(h->key, wanted.key, sizeof wanted.key) == 0 &&
           (size_t)st.st_size == layout_of(*bytes).file_bytes;
}

/* The nth chunk of the sample. Another choice each time, so that in the long run all are seen. */
static size_t sampled(size_t n, size_t chunks) {
    if (chunks <= SAMPLE || n == 0) return n;
    if (n == SAMPLE - 1) return chunks - 1;
    size_t from = 1 + (chunks - 2) * (n - 1) / (SAMPLE - 2);
    size_t to = 1 + (chunks - 2) * n / (SAMPLE - 2);
    return from + mebi__random_bits() % (to - from);
}

static int chunk_is_good(int fd, size_t bytes, size_t c, uint64_t hash, unsigned char *buffer) {
    size_t own = chunk_bytes(bytes, c);
    return read_at(fd, HEADER + c * CHUNK, buffer, own) && mebi__hash(c, buffer, own) == hash;
}

static int sample_is_good(int fd, size_t bytes, const uint64_t *table, unsigned char *buffer) {
    size_t chunks = layout_of(bytes).chunks, picks[SAMPLE];
    size_t count = chunks < SAMPLE ? chunks : SAMPLE;
    /* The disk hears of all of them at once. */
    for (size_t n = 0; n < count; n++) {
        picks[n] = sampled(n, chunks);
        (void)posix_fadvise(fd, (off_t)(HEADER + picks[n] * CHUNK), CHUNK, POSIX_FADV_WILLNEED);
    }
    for (size_t n = 0; n < count; n++)
        if (!chunk_is_good(fd, bytes, picks[n], table[picks[n]], buffer)) return 0;
    return 1;
}

static int all_is_good(int fd, size_t bytes, const uint64_t *table, unsigned char *buffer) {
    for (size_t c = 0; c < layout_of(bytes).chunks; c++)
        if (!chunk_is_good(fd, bytes, c, table[c], buffer)) return 0;
    return 1;
}

/* *good = 1 if the file is a whole entry, as far as the sample (or everything) tells. */
static mebi_status check_file(int fd, const char *key, size_t *bytes, int everything, int *good,
                              mebi_error *err) {
    file_header h;
    *good = header_is_good(fd, key, bytes, &h);
    if (!*good) return MEBI_OK;
    layout l = layout_of(*bytes);
    uint64_t *table = mebi__alloc(MEBI__TAG_GENERAL, 8 * l.chunks + CHUNK);
    if (!table) return mebi__fail(err, MEBI_NO_MEMORY, "No memory to check a cache entry.");
    unsigned char *buffer = (unsigned char *)(table + l.chunks);
    *good = read_at(fd, l.table, table, 8 * l.chunks) &&
            mebi__hash(*bytes, table, 8 * l.chunks) == h.table_hash &&
            (everything ? all_is_good : sample_is_good)(fd, *bytes, table, buffer);
    mebi__free(table);
    return MEBI_OK;
}

mebi_status mebi__cache_verify(const char *folder, const char *key, mebi_error *err) {
    MEBI_TRY(mebi__cache_check_key(key, err));
    int folder_fd, good = 0;
    size_t bytes = 0;
    mebi__cache_name name;
    mebi__cache_name_of(key, MEBI__CACHE_ENDING, name);
    MEBI_TRY(mebi__cache_folder_open(folder, 0, &folder_fd, err));
    int fd = folder_fd >= 0
                 ? openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
                 : -1;
    mebi_status status =
        fd >= 0 ? check_file(fd, key, &bytes, 1, &good, err)
                : mebi__fail(err, MEBI_IO, "The cache has no entry %s that can be read.", key);
    if (status == MEBI_OK && !good)
        status =
            mebi__fail(err, MEBI_BAD_FILE,
                       "The cache's file %s is harmed. It is made again when it is needed; `mebi "
                       "cache --clear` removes it.",
                       name);
    if (fd >= 0) close(fd);
    if (folder_fd >= 0) close(folder_fd);
    return status;
}

/* ---- opening ---- */

static mebi_status map_file(int fd, int writable, mebi__cache_entry *entry, mebi_error *err) {
    layout l = layout_of(entry->bytes);
    struct stat st;
    void *data = MAP_FAILED;
    if (fstat(fd, &st) == 0)
        data = mmap(NULL, l.file_bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
                    fd, 0);
    if (data == MAP_FAILED)
        return mebi__fail(err, MEBI_IO, "The cache's file for %s (%zu bytes) can't be mapped: %s.",
                          entry->key, l.file_bytes, strerror(errno));
    entry->map =
        (mebi__map){.data = data,
                    .bytes = l.file_bytes,
                    .device = (uint64_t)st.st_dev,
                    .inode = (uint64_t)st.st_ino,
                    .modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec};
    entry->data = (unsigned char *)data + HEADER;
    entry->ready = !writable;
    /* Soon, and all of it; but where memory is short a job reads it layer by layer. */
    if (entry->ready && l.file_bytes < mebi__memory_available() / 2)
        (void)madvise(data, l.file_bytes, MADV_WILLNEED);
    return MEBI_OK;
}

/* Takes the entry if it is there and unharmed; entry->ready tells. */
static mebi_status open_ready(mebi__cache_entry *entry, mebi_error *err) {
    mebi__cache_name name;
    mebi__cache_name_of(entry->key, MEBI__CACHE_ENDING, name);
    int good = 0,
        fd = openat(entry->folder_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return MEBI_OK; /* whatever stands in the way, renaming will meet it */
    mebi_status status = check_file(fd, entry->key, &entry->bytes, 0, &good, err);
    if (status == MEBI_OK && good) status = map_file(fd, 0, entry, err);
    /* The time of last use; a folder that can't be written keeps its own. */
    if (entry->ready) (void)!futimens(fd, NULL);
    close(fd);
    return status;
}

static mebi_status wait_for_lock(int fd, const mebi__cache_request *request, double until,
                                 mebi_error *err) {
    for (;;) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) return MEBI_OK;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return mebi__fail(err, MEBI_IO,
                              "The cache's files can't be locked: %s. Let MEBI_CACHE_DIR name a "
                              "folder on a local disk.",
                              strerror(errno));
        if (request->cancelled && request->cancelled(request->context))
            return mebi__fail(err, MEBI_CANCELLED, "Cancelled while another process prepared %s.",
                              request->key);
        if (mebi__now_seconds() > until)
            return mebi__fail(err, MEBI_IO,
                              "Another process has been preparing the cache entry %s for too long.",
                              request->key);
        nanosleep(&(struct timespec){.tv_nsec = NAP_MS * 1000000L}, NULL);
    }
}

/* Waits until a .part that is there is finished or dead, and removes it if dead. */
static mebi_status outlive_part(int folder_fd, const char *name, const mebi__cache_request *request,
                                double until, mebi_error *err) {
    int fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        if (errno == ENOENT) return MEBI_OK;
        /* A link that somebody put there: it goes, and not what it points to. */
        if (errno == ELOOP && unlinkat(folder_fd, name, 0) == 0) return MEBI_OK;
        return mebi__fail(err, MEBI_IO, "The cache's file %s can't be opened: %s.", name,
                          strerror(errno));
    }
    mebi_status status = wait_for_lock(fd, request, until, err);
    if (status == MEBI_OK && mebi__cache_is_named(folder_fd, name, fd) &&
        unlinkat(folder_fd, name, 0) != 0)
        status = mebi__fail(err, MEBI_IO, "The cache's file %s can't be removed: %s.", name,
                            strerror(errno));
    close(fd);
    return status;
}

/* Makes the entry's .part and locks it. entry->part_fd stays -1 if somebody was faster: look anew.
 */
static mebi_status make_part(mebi__cache_entry *entry, const mebi__cache_request *request,
                             double until, mebi_error *err) {
    mebi__cache_name name;
    mebi__cache_name_of(entry->key, MEBI__CACHE_ENDING MEBI__CACHE_PART, name);
    int fd =
        openat(entry->folder_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) return outlive_part(entry->folder_fd, name, request, until, err);
    if (fd < 0)
        return mebi__fail(err, MEBI_IO,
                          "The cache folder can't be written: %s. MEBI_CACHE_DIR names another.",
                          strerror(errno));
    mebi_status status = wait_for_lock(fd, request, until, err);
    if (status == MEBI_OK && mebi__cache_is_named(entry->folder_fd, name, fd)) entry->part_fd = fd;
    else close(fd);
    return status;
}

static mebi_status allocate_part(int fd, size_t bytes, mebi_error *err) {
    int cause;
    do cause = posix_fallocate(fd, 0, (off_t)bytes);
    while (cause == EINTR);
    if (cause)
        return mebi__fail(err, MEBI_IO,
                          "The cache can't take %.1f GB: %s. Free some disk, or let MEBI_CACHE_DIR "
                          "name a folder on another one.",
                          1e-9 * (double)bytes, strerror(cause));
    return MEBI_OK;
}

/* With the lock held: a last look, then a file of the right size instead of what may be there. */
static mebi_status prepare_part(mebi__cache_entry *entry, uint64_t limit, mebi_error *err) {
    mebi__cache_name name;
    MEBI_TRY(open_ready(entry, err));
    if (entry->ready) return MEBI_OK;
    mebi__cache_name_of(entry->key, MEBI__CACHE_ENDING, name);
    unlinkat(entry->folder_fd, name, 0); /* harmed; usually there is none */
    mebi__cache_sweep(entry->folder_fd);
    size_t bytes = layout_of(entry->bytes).file_bytes;
    MEBI_TRY(mebi__cache_make_room(entry->folder_fd, bytes, limit, err));
    MEBI_TRY(allocate_part(entry->part_fd, bytes, err));
    return map_file(entry->part_fd, 1, entry, err);
}

/* Ends the making: the lock, and the file unless it has been given its final name. */
static void drop_part(mebi__cache_entry *entry) {
    mebi__cache_name name;
    mebi__cache_name_of(entry->key, MEBI__CACHE_ENDING MEBI__CACHE_PART, name);
    if (entry->part_fd < 0) return;
    if (mebi__cache_is_named(entry->folder_fd, name, entry->part_fd))
        unlinkat(entry->folder_fd, name, 0);
    close(entry->part_fd);
    entry->part_fd = -1;
}

mebi_status mebi__cache_open(const mebi__cache_request *request, mebi__cache_entry *entry,
                             mebi_error *err) {
    memset(entry, 0, sizeof *entry);
    entry->folder_fd = entry->part_fd = -1;
    MEBI_TRY(mebi__cache_check_key(request->key, err));
    if (request->bytes == 0 || request->bytes > PTRDIFF_MAX / 2)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "A cache entry can't have %zu bytes.",
                          request->bytes);
    double wait = request->wait_seconds > 0 ? request->wait_seconds : WAIT_SECONDS;
    double until = mebi__now_seconds() + wait;
    mebi_status status = mebi__cache_folder_open(request->folder, 1, &entry->folder_fd, err);
    strcpy(entry->key, request->key);
    entry->bytes = request->bytes;
    while (status == MEBI_OK && !entry->ready && entry->part_fd < 0) {
        status = open_ready(entry, err);
        if (status == MEBI_OK && !entry->ready) status = make_part(entry, request, until, err);
    }
    if (status == MEBI_OK && !entry->ready) status = prepare_part(entry, request->limit_bytes, err);
    if (status != MEBI_OK) mebi__cache_close(entry);
    else if (entry->ready) drop_part(entry);
    return status;
}

/* ---- finishing ---- */

static void seal(mebi__cache_entry *entry) {
    layout l = layout_of(entry->bytes);
    unsigned char *file = entry->data - HEADER;
    uint64_t *table = (uint64_t *)(file + l.table);
    for (size_t c = 0; c < l.chunks; c++)
        table[c] = mebi__hash(c, entry->data + c * CHUNK, chunk_bytes(entry->bytes, c));
    file_header h = header_of(entry->key, entry->bytes);
    h.table_hash = mebi__hash(entry->bytes, table, 8 * l.chunks);
    h.hash = header_hash(&h);
    memcpy(file, &h, sizeof h);
}

static mebi_status publish(mebi__cache_entry *entry, mebi_error *err) {
    mebi__cache_name part, name;
    mebi__cache_name_of(entry->key, MEBI__CACHE_ENDING MEBI__CACHE_PART, part);
    mebi__cache_name_of(entry->key, MEBI__CACHE_ENDING, name);
    if (!mebi__cache_is_named(entry->folder_fd, part, entry->part_fd))
        return mebi__fail(err, MEBI_IO, "The cache's file %s was removed while it was made.", part);
    if (renameat(entry->folder_fd, part, entry->folder_fd, name) != 0)
        return mebi__fail(err, MEBI_IO, "The cache's file %s can't be given its name: %s.", name,
                          strerror(errno));
    (void)!fsync(entry->folder_fd); /* best effort: some file systems refuse it */
    return MEBI_OK;
}

mebi_status mebi__cache_commit(mebi__cache_entry *entry, mebi_error *err) {
    if (entry->ready) return MEBI_OK;
    if (!entry->data || entry->part_fd < 0)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "The cache entry is not open for writing.");
    unsigned char *file = entry->data - HEADER;
    seal(entry);
    mebi_status status = MEBI_OK;
    if (msync(file, entry->map.bytes, MS_SYNC) != 0 || fsync(entry->part_fd) != 0)
        status = mebi__fail(err, MEBI_IO, "Writing the cache entry %s failed: %s.", entry->key,
                            strerror(errno));
    else if (mprotect(file, entry->map.bytes, PROT_READ) != 0)
        status = mebi__fail(err, MEBI_IO, "The cache entry %s can't be protected: %s.", entry->key,
                            strerror(errno));
    if (status == MEBI_OK) status = publish(entry, err);
    if (status == MEBI_OK) entry->ready = 1;
    drop_part(entry);
    return status;
}

void mebi__cache_close(mebi__cache_entry *entry) {
    if (!entry) return;
    if (entry->map.data) munmap((void *)(uintptr_t)entry->map.data, entry->map.bytes);
    if (entry->key[0]) { /* an entry of zeros has no descriptors, though 0 would be one */
        drop_part(entry);
        if (entry->folder_fd >= 0) close(entry->folder_fd);
    }
    memset(entry, 0, sizeof *entry);
    entry->folder_fd = entry->part_fd = -1;
}

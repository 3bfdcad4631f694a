/* The cache's folder. Must never delete a file that does not bear the cache's name, nor one that
 * another process is making. */
#include "base/cache_folder.h"

#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DEFAULT_LIMIT ((uint64_t)64 << 30)
#define DISK_RESERVE  ((uint64_t)256 << 20) /* the last of a disk belongs to others */

/* ---- names ---- */

void mebi__cache_name_of(const char *key, const char *ending, mebi__cache_name name) {
    snprintf(name, sizeof(mebi__cache_name), "%.*s%s", MEBI__CACHE_KEY, key, ending);
}

mebi_status mebi__cache_check_key(const char *key, mebi_error *err) {
    size_t length = key ? strlen(key) : 0;
    if (length < 1 || length > MEBI__CACHE_KEY || key[0] == '.' ||
        strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != length)
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "'%.60s' can't be the key of a cache entry: 1 to %d letters, digits, dots, "
            "underscores and hyphens are possible, not beginning with a dot.",
            key ? key : "", MEBI__CACHE_KEY);
    return MEBI_OK;
}

/* The part of a name before the ending; 0 if it is not such a name. */
static size_t key_length(const char *name, const char *ending) {
    size_t length = strlen(name), tail = strlen(ending);
    if (length <= tail || length - tail > MEBI__CACHE_KEY || name[0] == '.') return 0;
    return strcmp(name + length - tail, ending) == 0 ? length - tail : 0;
}

/* ---- the folder ---- */

mebi_status mebi__cache_folder(char **folder, mebi_error *err) {
    const char *own = getenv("MEBI_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    *folder = NULL;
    if (own && *own) *folder = mebi__copy_string(own, strlen(own));
    else if (xdg && *xdg == '/') *folder = mebi__join_path(xdg, "mebi");
    else if (home && *home == '/') *folder = mebi__join_path(home, ".cache/mebi");
    else
        return mebi__fail(
            err, MEBI_IO,
            "There is no place for a cache: neither MEBI_CACHE_DIR nor XDG_CACHE_HOME "
            "nor HOME is set. Set MEBI_CACHE_DIR to a folder.");
    return *folder ? MEBI_OK : mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
}

static mebi_status make_folder(const char *path, mebi_error *err) {
    char *above = mebi__copy_string(path, strlen(path));
    if (!above) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    size_t length = strlen(above);
    while (length > 1 && above[length - 1] == '/') above[--length] = 0;
    char *slash = strrchr(above, '/');
    mebi_status status = MEBI_OK;
    if (slash && slash != above) {
        *slash = 0;
        status = mebi__make_directories(above, err);
    }
    mebi__free(above);
    if (status != MEBI_OK) return status;
    /* Weights are nobody else's business, and nobody else may put any there. */
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return mebi__fail(
            err, MEBI_IO,
            "The cache folder %.500s can't be made: %s. MEBI_CACHE_DIR names another.", path,
            strerror(errno));
    return MEBI_OK;
}

mebi_status mebi__cache_folder_open(const char *folder, int make, int *fd, mebi_error *err) {
    *fd = -1;
    char *path = NULL;
    mebi_status status = MEBI_OK;
    if (!folder) status = mebi__cache_folder(&path, err);
    else if (!*folder || !(path = mebi__copy_string(folder, strlen(folder))))
        status =
            mebi__fail(err, *folder ? MEBI_NO_MEMORY : MEBI_BAD_ARGUMENT,
                       *folder ? "No memory for a path." : "The cache folder's name is empty.");
    if (status == MEBI_OK) {
        const int how = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
        *fd = open(path, how);
        if (*fd < 0 && errno == ENOENT && make) {
            status = make_folder(path, err);
            if (status == MEBI_OK) *fd = open(path, how);
        }
        if (*fd < 0 && status == MEBI_OK && (make || errno != ENOENT))
            status = mebi__fail(err, MEBI_IO,
                                "The cache folder %.500s can't be opened: %s. MEBI_CACHE_DIR names "
                                "another.",
                                path, strerror(errno));
    }
    mebi__free(path);
    return status;
}

int mebi__cache_is_named(int folder_fd, const char *name, int fd) {
    struct stat a, b;
    return fstat(fd, &a) == 0 && fstatat(folder_fd, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* ---- what is in it ---- */

/* Calls `each` for every regular file whose name ends so; `each` returns 0 to go on. */
typedef mebi_status (*each_file)(void *context, int folder_fd, const char *name, size_t key,
                                 const struct stat *st, mebi_error *err);

static mebi_status walk(int folder_fd, const char *ending, each_file each, void *context,
                        mebi_error *err) {
    /* A descriptor of its own: the position in the folder belongs to it. */
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    if (!directory) {
        if (fd >= 0) close(fd);
        return mebi__fail(err, MEBI_IO, "The cache folder can't be read: %s.", strerror(errno));
    }
    mebi_status status = MEBI_OK;
    for (struct dirent *d; status == MEBI_OK && (d = readdir(directory));) {
        struct stat st;
        size_t key = key_length(d->d_name, ending);
        if (key > 0 && fstatat(folder_fd, d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(st.st_mode))
            status = each(context, folder_fd, d->d_name, key, &st, err);
    }
    closedir(directory);
    return status;
}

typedef struct listing {
    mebi__cache_item *items;
    int count, room;
} listing;

static mebi_status list_one(void *context, int folder_fd, const char *name, size_t key,
                            const struct stat *st, mebi_error *err) {
    listing *l = context;
    (void)folder_fd;
    if (l->count == l->room) {
        int room = l->room > 0 ? 2 * l->room : 16;
        mebi__cache_item *more = room > 1 << 20 ? NULL
                                                : mebi__realloc_array(MEBI__TAG_GENERAL, l->items,
                                                                      (size_t)room, sizeof *more);
        if (!more)
            return mebi__fail(err, MEBI_NO_MEMORY, "No memory to list more than %d cache entries.",
                              l->count);
        l->items = more;
        l->room = room;
    }
    mebi__cache_item *item = &l->items[l->count++];
    memcpy(item->key, name, key);
    item->key[key] = 0;
    item->bytes = (uint64_t)st->st_size;
    item->used = (int64_t)st->st_mtim.tv_sec;
    return MEBI_OK;
}

static int by_use(const void *a, const void *b) {
    const mebi__cache_item *x = a, *y = b;
    if (x->used != y->used) return x->used < y->used ? 1 : -1;
    return strcmp(x->key, y->key);
}

static mebi_status list_folder(int folder_fd, listing *l, mebi_error *err) {
    *l = (listing){0};
    mebi_status status = walk(folder_fd, MEBI__CACHE_ENDING, list_one, l, err);
    if (status != MEBI_OK) {
        mebi__free(l->items);
        *l = (listing){0};
    } else if (l->count > 0) qsort(l->items, (size_t)l->count, sizeof *l->items, by_use);
    return status;
}

mebi_status mebi__cache_list(const char *folder, mebi__cache_item **items, int *count,
                             mebi_error *err) {
    int fd;
    listing l = {0};
    *items = NULL;
    *count = 0;
    MEBI_TRY(mebi__cache_folder_open(folder, 0, &fd, err));
    if (fd < 0) return MEBI_OK;
    mebi_status status = list_folder(fd, &l, err);
    close(fd);
    *items = l.items;
    *count = l.count;
    return status;
}

/* ---- what has to go ---- */

static mebi_status remove_if_dead(void *context, int folder_fd, const char *name, size_t key,
                                  const struct stat *st, mebi_error *err) {
    int *removed = context;
    (void)key, (void)st, (void)err;
    int fd = openat(folder_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return MEBI_OK;
    /* Under the lock the name can't have got a new owner: it would have to take the same lock. */
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && mebi__cache_is_named(folder_fd, name, fd) &&
        unlinkat(folder_fd, name, 0) == 0)
        ++*removed;
    close(fd);
    return MEBI_OK;
}

void mebi__cache_sweep(int folder_fd) {
    int removed = 0;
    /* Best effort: what stays is looked at again next time. */
    (void)!walk(folder_fd, MEBI__CACHE_ENDING MEBI__CACHE_PART, remove_if_dead, &removed, NULL);
}

mebi_status mebi__cache_clear(const char *folder, int *count, uint64_t *bytes, mebi_error *err) {
    int fd;
    listing l = {0};
    *count = 0;
    *bytes = 0;
    MEBI_TRY(mebi__cache_folder_open(folder, 0, &fd, err));
    if (fd < 0) return MEBI_OK;
    mebi_status status = list_folder(fd, &l, err);
    for (int i = 0; status == MEBI_OK && i < l.count; i++) {
        mebi__cache_name name;
        mebi__cache_name_of(l.items[i].key, MEBI__CACHE_ENDING, name);
        if (unlinkat(fd, name, 0) == 0) *bytes += l.items[i].bytes, ++*count;
        else if (errno != ENOENT)
            status = mebi__fail(err, MEBI_IO, "The cache's file %s can't be removed: %s.", name,
                                strerror(errno));
    }
    mebi__cache_sweep(fd);
    mebi__free(l.items);
    close(fd);
    return status;
}

static mebi_status add_size(void *context, int folder_fd, const char *name, size_t key,
                            const struct stat *st, mebi_error *err) {
    (void)folder_fd, (void)name, (void)key, (void)err;
    *(uint64_t *)context += (uint64_t)st->st_size;
    return MEBI_OK;
}

static uint64_t disk_room(int folder_fd) {
    struct statvfs v;
    if (fstatvfs(folder_fd, &v) != 0) return UINT64_MAX / 4; /* the allocation will tell */
    uint64_t room = (uint64_t)v.f_bavail * v.f_frsize;
    return room > DISK_RESERVE ? room - DISK_RESERVE : 0;
}

/* How many bytes of entries have to go: held, in the folder already; making, by other processes. */
static mebi_status excess_bytes(uint64_t bytes, uint64_t limit, uint64_t held, uint64_t making,
                                uint64_t room, uint64_t *excess, mebi_error *err) {
    if (limit == 0) {
        uint64_t half = (room + held + making) / 2;
        limit = half < DEFAULT_LIMIT ? half : DEFAULT_LIMIT;
    }
    uint64_t over_limit = held + making + bytes > limit ? held + making + bytes - limit : 0;
    uint64_t over_disk = bytes > room ? bytes - room : 0;
    *excess = over_limit > over_disk ? over_limit : over_disk;
    if (over_disk > held)
        return mebi__fail(
            err, MEBI_IO,
            "The cache needs %.1f GB on a disk that has %.1f GB left. Free some, or let "
            "MEBI_CACHE_DIR name a folder on another disk.",
            1e-9 * (double)bytes, 1e-9 * (double)(room + held));
    if (over_limit > held)
        return mebi__fail(
            err, MEBI_IO,
            "The cache may hold %.1f GB (%.1f of them in use by others), and one entry "
            "would take %.1f GB. Raise the limit or free some disk.",
            1e-9 * (double)limit, 1e-9 * (double)making, 1e-9 * (double)bytes);
    return MEBI_OK;
}

mebi_status mebi__cache_make_room(int folder_fd, uint64_t bytes, uint64_t limit, mebi_error *err) {
    listing l;
    uint64_t held = 0, making = 0, excess = 0;
    MEBI_TRY(list_folder(folder_fd, &l, err));
    for (int i = 0; i < l.count; i++) held += l.items[i].bytes;
    mebi_status status =
        walk(folder_fd, MEBI__CACHE_ENDING MEBI__CACHE_PART, add_size, &making, err);
    if (status == MEBI_OK)
        status = excess_bytes(bytes, limit, held, making, disk_room(folder_fd), &excess, err);
    uint64_t gone = 0;
    for (int i = l.count - 1; status == MEBI_OK && i >= 0 && gone < excess; i--) {
        mebi__cache_name name;
        mebi__cache_name_of(l.items[i].key, MEBI__CACHE_ENDING, name);
        if (unlinkat(folder_fd, name, 0) == 0 || errno == ENOENT) gone += l.items[i].bytes;
        else
            status = mebi__fail(err, MEBI_IO, "The cache's file %s can't be removed: %s.", name,
                                strerror(errno));
    }
    mebi__free(l.items);
    return status;
}

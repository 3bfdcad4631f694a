/* The data folder's files. Must never follow a name out of the folder, nor take a folder that another
 * process has. */
#include "jobs/files.h"

#include "base/memory.h"
#include "base/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

char *mebi__files_path(const char *folder, const char *kind, const char *name, const char *ending) {
    size_t bytes = strlen(folder) + strlen(kind) + (name ? strlen(name) : 0) + strlen(ending) + 3;
    char *path = mebi__alloc(MEBI__TAG_GENERAL, bytes);
    if (path)
        snprintf(path, bytes, "%s/%s%s%s%s", folder, kind, name ? "/" : "", name ? name : "", ending);
    return path;
}

int mebi__files_is_id(const char *text, size_t bytes) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-_ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    if (bytes == 0 || bytes >= MEBI__IMAGE_ID || text[0] == '-') return 0;
    return strspn(text, letters) >= bytes;
}

void mebi__files_name(const char *id, int64_t ms, char *out, size_t bytes) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm t = {0};
    if (!gmtime_r(&seconds, &t) || t.tm_year < 0 || t.tm_year > 8000) t = (struct tm){.tm_year = 70};
    snprintf(out, bytes, "%04u-%02u/%s.png", (unsigned)(t.tm_year + 1900) % 10000u,
             (unsigned)(t.tm_mon + 1) % 100u, id);
}

/* ---- the lock ---- */

static mebi_status lock(const char *folder, int *out, mebi_error *err) {
    char *path = mebi__files_path(folder, "lock", NULL, ""), pid[32];
    if (!path) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), cause = errno;
    mebi__free(path);
    if (fd < 0)
        return mebi__fail(err, MEBI_IO,
                          "The data folder %.300s can't be written: %s. Choose another one, or see "
                          "whose it is.",
                          folder, strerror(cause));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t n = read(fd, pid, sizeof pid - 1);
        pid[n > 0 ? n : 0] = 0;
        close(fd);
        return mebi__fail(err, MEBI_IO,
                          "The data folder %.300s is in use by another mebi server (process %.20s). "
                          "End that one, or choose another folder.",
                          folder, *pid ? pid : "unknown");
    }
    int length = snprintf(pid, sizeof pid, "%ld", (long)getpid());
    /* For people alone: what holds is the lock. */
    if (ftruncate(fd, 0) != 0 || write(fd, pid, (size_t)length) != length) {}
    *out = fd;
    return MEBI_OK;
}

mebi_status mebi__files_take(const char *folder, int *fd, mebi_error *err) {
    static const char *const inside[] = {"images", "thumbnails", "trash", "work"};
    *fd = -1;
    MEBI_TRY(mebi__make_directories(folder, err));
    MEBI_TRY(lock(folder, fd, err));
    mebi_status status = MEBI_OK;
    for (int i = 0; i < 4 && status == MEBI_OK; i++) {
        char *path = mebi__files_path(folder, inside[i], NULL, "");
        status = path ? mebi__make_directories(path, err)
                      : mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
        mebi__free(path);
    }
    if (status == MEBI_OK) return status;
    close(*fd);
    *fd = -1;
    return status;
}

/* ---- the reserve ---- */

enum { RESERVE_BYTES = 192 << 10 };

int mebi__files_take_reserve(const char *folder) {
    char *path = mebi__files_path(folder, "reserve", NULL, "");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    int held = fd >= 0 && posix_fallocate(fd, 0, RESERVE_BYTES) == 0;
    if (fd >= 0) close(fd);
    if (fd >= 0 && !held) unlink(path);
    mebi__free(path);
    return held;
}

int mebi__files_give_reserve(const char *folder) {
    char *path = mebi__files_path(folder, "reserve", NULL, "");
    int given = path && unlink(path) == 0;
    mebi__free(path);
    return given;
}

/* ---- moving and removing ---- */

static void sync_folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = mebi__copy_string(path, slash ? (size_t)(slash - path) : 0);
    int fd = folder ? open(*folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)!fsync(fd); /* best effort: some file systems refuse it */
        close(fd);
    }
    mebi__free(folder);
}

mebi_status mebi__files_move(const char *from, const char *to, int *gone, mebi_error *err) {
    if (gone) *gone = 0;
    MEBI_TRY(mebi__make_parents(to, err));
    if (rename(from, to) != 0) {
        if (errno == ENOENT && gone) *gone = access(from, F_OK) != 0;
        return mebi__fail(err, MEBI_IO, "%.300s can't be moved to %.300s: %s.", from, to,
                          strerror(errno));
    }
    sync_folder_of(to);
    sync_folder_of(from);
    return MEBI_OK;
}

mebi_status mebi__files_remove(const char *path, mebi_error *err) {
    if (unlink(path) != 0) {
        if (errno == ENOENT) return MEBI_OK;
        return mebi__fail(err, MEBI_IO, "%.300s can't be removed: %s.", path, strerror(errno));
    }
    sync_folder_of(path);
    return MEBI_OK;
}

mebi_status mebi__files_each(const char *folder,
                             mebi_status (*see)(void *context, const char *name, mebi_error *err),
                             void *context, mebi_error *err) {
    DIR *d = opendir(folder);
    if (!d && errno == ENOENT) return MEBI_OK;
    if (!d) return mebi__fail(err, MEBI_IO, "%.300s can't be read: %s.", folder, strerror(errno));
    mebi_status status = MEBI_OK;
    for (struct dirent *e; status == MEBI_OK && (errno = 0, e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            status = see(context, e->d_name, err);
    if (status == MEBI_OK && errno)
        status = mebi__fail(err, MEBI_IO, "%.300s can't be read: %s.", folder, strerror(errno));
    closedir(d);
    return status;
}

size_t mebi__files_own_bytes(void) {
    unsigned long all, resident, shared;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f) return 0;
    int got = fscanf(f, "%lu %lu %lu", &all, &resident, &shared);
    fclose(f);
    return got == 3 && resident > shared ? (resident - shared) * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

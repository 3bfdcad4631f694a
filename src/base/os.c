/* Linux/POSIX. Must never trust a size that the system told before. */
#include "base/os.h"
#include "base/memory.h"
#include "base/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static mebi_status open_regular(const char *path, int *fd, struct stat *st, mebi_error *err) {
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) return mebi__fail(err, MEBI_IO, "%s can't be opened: %s.", path, strerror(errno));
    if (fstat(*fd, st) != 0 || !S_ISREG(st->st_mode)) {
        close(*fd);
        return mebi__fail(err, MEBI_IO, "%s is not a regular file.", path);
    }
    return MEBI_OK;
}

mebi_status mebi__map_open(const char *path, mebi__map *map, mebi_error *err) {
    memset(map, 0, sizeof *map);
    int fd;
    struct stat st;
    MEBI_TRY(open_regular(path, &fd, &st, err));
    map->bytes = (size_t)st.st_size;
    map->device = (uint64_t)st.st_dev;
    map->inode = (uint64_t)st.st_ino;
    map->modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    mebi_status status = MEBI_OK;
    if (map->bytes > 0) {
        void *data = mmap(NULL, map->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            status = mebi__fail(err, MEBI_IO, "%s (%zu bytes) can't be mapped: %s.", path,
                                map->bytes, strerror(errno));
            map->bytes = 0;
        } else map->data = data;
    }
    close(fd);
    return status;
}

void mebi__map_close(mebi__map *map) {
    if (map->data) munmap((void *)map->data, map->bytes);
    memset(map, 0, sizeof *map);
}

mebi_status mebi__read_file(const char *path, size_t limit, char **text, size_t *bytes,
                            mebi_error *err) {
    *text = NULL;
    *bytes = 0;
    int fd;
    struct stat st;
    MEBI_TRY(open_regular(path, &fd, &st, err));
    mebi_status status = MEBI_OK;
    size_t size = (size_t)st.st_size, got = 0;
    char *block = NULL;
    if (size > limit)
        status = mebi__fail(err, MEBI_BAD_FILE, "%s has %zu bytes; at most %zu are read.", path,
                            size, limit);
    else if (!(block = mebi__alloc(MEBI__TAG_GENERAL, size + 1)))
        status = mebi__fail(err, MEBI_NO_MEMORY, "No memory to read %s (%zu bytes).", path, size);
    while (status == MEBI_OK && got < size) {
        ssize_t n = read(fd, block + got, size - got);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            status = mebi__fail(err, MEBI_IO, "%s can't be read: %s.", path,
                                n < 0 ? strerror(errno) : "it became shorter while being read");
        else got += (size_t)n;
    }
    close(fd);
    if (status != MEBI_OK) mebi__free(block);
    else *text = block, *bytes = size;
    return status;
}

int mebi__is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

int mebi__is_directory(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

mebi_status mebi__make_directories(const char *path, mebi_error *err) {
    char *copy = mebi__copy_string(path, strlen(path));
    if (!copy) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    mebi_status status = MEBI_OK;
    for (char *end = copy; status == MEBI_OK && *end;) {
        end += strspn(end, "/");
        end += strcspn(end, "/");
        char kept = *end;
        *end = 0;
        int cause = mkdir(copy, 0777) != 0 ? errno : 0; /* looking at what is there sets it anew */
        if (cause && !mebi__is_directory(copy))
            status = mebi__fail(err, MEBI_IO, "The folder %s can't be made: %s.", copy,
                                strerror(cause));
        *end = kept;
    }
    mebi__free(copy);
    return status;
}

mebi_status mebi__make_parents(const char *path, mebi_error *err) {
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path) return MEBI_OK;
    char *folder = mebi__copy_string(path, (size_t)(slash - path));
    if (!folder) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
    mebi_status status = mebi__make_directories(folder, err);
    mebi__free(folder);
    return status;
}

mebi_status mebi__write_file(const char *path, const void *data, size_t bytes, int *exists,
                             mebi_error *err) {
    mebi__writer writer;
    if (exists) *exists = 0;
    MEBI_TRY(mebi__writer_open(path, &writer, err));
    mebi_status status = mebi__writer_append(&writer, data, bytes, err);
    if (status == MEBI_OK) return mebi__writer_finish(&writer, exists, err);
    mebi__writer_abandon(&writer);
    return status;
}

char *mebi__join_path(const char *directory, const char *name) {
    size_t a = strlen(directory), b = strlen(name);
    char *path = mebi__alloc(MEBI__TAG_GENERAL, a + b + 2);
    if (path) snprintf(path, a + b + 2, "%s%s%s", directory, a && directory[a - 1] == '/' ? "" : "/", name);
    return path;
}

static _Atomic int64_t wall_ahead;

void mebi__wall_pretend(int64_t ms) {
    wall_ahead = ms;
}

int64_t mebi__wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + wall_ahead;
}

double mebi__now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

uint64_t mebi__random_bits(void) {
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, 0) == sizeof bits) return bits;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_nsec * 6364136223846793005u + (uint64_t)t.tv_sec + (uint64_t)getpid();
}

/* The first hyper-thread of each core lists itself first in its own sibling file. */
static int is_first_sibling(int cpu) {
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *f = fopen(path, "re");
    int first = cpu;
    if (f) {
        if (fscanf(f, "%d", &first) != 1) first = cpu;
        fclose(f);
    }
    return first == cpu;
}

int mebi__physical_cores(void) {
    cpu_set_t set;
    int cores = 0, allowed = 0;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET(cpu, &set)) allowed++, cores += is_first_sibling(cpu);
    /* Pinned to second siblings only: every allowed one counts. */
    if (cores == 0) cores = allowed;
    if (cores < 1) cores = 1;
    return cores < 256 ? cores : 256;
}

/* The figure, in kB, behind a field's name in a file of lines "Name:   123 kB". */
static size_t field_of(const char *path, const char *field) {
    FILE *f = fopen(path, "re");
    char line[256];
    size_t kib = 0, length = strlen(field);
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, field, length) == 0) kib = strtoull(line + length, NULL, 10);
    if (f) fclose(f);
    return kib * 1024;
}

size_t mebi__memory_own(void) {
    size_t own = field_of("/proc/self/smaps_rollup", "Anonymous:");
    return own ? own : mebi__memory_own_about();
}

size_t mebi__memory_own_about(void) {
    return field_of("/proc/self/status", "RssAnon:");
}

size_t mebi__memory_tables(void) {
    return field_of("/proc/self/status", "VmPTE:");
}

void mebi__memory_trim(void) {
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

size_t mebi__resident_peak(void) {
    return field_of("/proc/self/status", "VmHWM:");
}

int mebi__map_nothing(size_t bytes, mebi__map *map) {
    void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *map = (mebi__map){.data = p == MAP_FAILED ? NULL : p, .bytes = p == MAP_FAILED ? 0 : bytes};
    return p != MAP_FAILED;
}

void mebi__map_rest(const mebi__map *map) {
    if (map->data) (void)madvise((void *)(uintptr_t)map->data, map->bytes, MADV_DONTNEED);
}

int mebi__resident_peak_reset(void) {
    FILE *f = fopen("/proc/self/clear_refs", "we");
    int done = f && fputs("5", f) >= 0;
    if (f) done &= fclose(f) == 0;
    return done;
}

static size_t number_in(const char *folder, const char *name) {
    char path[512];
    unsigned long long number;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "re");
    size_t found = f && fscanf(f, "%llu", &number) == 1 ? (size_t)number : SIZE_MAX;
    if (f) fclose(f);
    return found;
}

/* One version of control groups: its line in /proc/self/cgroup, where it is mounted, its files. */
typedef struct group_kind {
    const char *line, *mount, *limit, *used, *files[2];
} group_kind;

static const group_kind group_kinds[] = {
    {"0::", "/sys/fs/cgroup", "memory.max", "memory.current", {"inactive_file ", "active_file "}},
    {":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
     {"total_inactive_file ", "total_active_file "}},
};

/* What one group leaves. Pages of files count as used there but can be dropped: left out. */
static size_t room_of_group(const char *folder, const group_kind *kind) {
    char stat[600];
    size_t limit = number_in(folder, kind->limit), used = number_in(folder, kind->used);
    if (limit == SIZE_MAX || used == SIZE_MAX) return SIZE_MAX;
    snprintf(stat, sizeof stat, "%s/memory.stat", folder);
    for (int i = 0; i < 2; i++) {
        size_t files = field_of(stat, kind->files[i]) / 1024; /* this file counts bytes */
        used = used > files ? used - files : 0;
    }
    return limit > used ? limit - used : 0;
}

/* The tightest of this process's group and those above it. */
static size_t control_group_room(const group_kind *kind) {
    char line[400], folder[500] = "";
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && !folder[0] && fgets(line, sizeof line, f)) {
        const char *found = strstr(line, kind->line);
        line[strcspn(line, "\n")] = 0;
        if (found) snprintf(folder, sizeof folder, "%s%s", kind->mount, found + strlen(kind->line));
    }
    if (f) fclose(f);
    size_t room = SIZE_MAX, mount = strlen(kind->mount);
    while (strlen(folder) > mount) {
        size_t left = room_of_group(folder, kind);
        if (left < room) room = left;
        *strrchr(folder, '/') = 0;
    }
    /* A container sees its own group at the mount's root. */
    size_t left = folder[0] ? room_of_group(kind->mount, kind) : SIZE_MAX;
    return left < room ? left : room;
}

static size_t really_available(void) {
    size_t room = field_of("/proc/meminfo", "MemAvailable:");
    if (room == 0) room = SIZE_MAX;
    for (size_t i = 0; i < sizeof group_kinds / sizeof *group_kinds; i++) {
        size_t left = control_group_room(&group_kinds[i]);
        if (left < room) room = left;
    }
    return room;
}

size_t mebi__memory_available(void) {
    size_t pretended = mebi__memory_pretended();
    return pretended ? pretended : really_available();
}

int mebi__memory_touch(void *at, size_t bytes) {
    const size_t piece = (size_t)32 << 20;
    unsigned char *block = at;
    for (size_t done = 0; done < bytes; done += piece) {
        size_t rest = bytes - done;
        if (really_available() < rest) return 0;
        memset(block + done, 0xff, rest < piece ? rest : piece);
    }
    return 1;
}

static int is_in_maps(uintptr_t from, const mebi__map *const *maps, int count) {
    for (int i = 0; i < count; i++) {
        uintptr_t begin = (uintptr_t)maps[i]->data;
        if (from >= begin && from < begin + maps[i]->bytes) return 1;
    }
    return 0;
}

/* smaps: a head line "from-to perms offset dev inode path", then "Rss: N kB" among others. */
mebi__resident mebi__resident_now(const mebi__map *const *maps, int count) {
    mebi__resident resident = {0};
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[512];
    int inside = 0;
    while (f && fgets(line, sizeof line, f)) {
        uintptr_t from, to;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
            inside = is_in_maps(from, maps, count);
        else if (strncmp(line, "Rss:", 4) == 0) {
            size_t bytes = strtoull(line + 4, NULL, 10) * 1024;
            resident.bytes += bytes;
            if (inside) resident.in_maps += bytes;
        }
    }
    if (f) fclose(f);
    return resident;
}

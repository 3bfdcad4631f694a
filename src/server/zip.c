/* A ZIP of pictures. A file's checksum stands before its bytes, so each file is read twice. Must
 * never hold more than one file open, and never claim a size that it does not send. */
#include "server/zip.h"

#include "base/memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { NAME_BYTES = 96, BLOCK = 64 << 10, LOCAL = 30, CENTRAL = 46, END = 22 };

typedef struct entry {
    char *path, name[NAME_BYTES];
    uint32_t bytes, crc, offset, moment;
    int sent; /* it is in the archive */
} entry;

struct mebi__zip {
    entry entry[MEBI__ZIP_FILES];
    int count, at; /* the entry under way */
    int central;   /* 1: the directory at the end is under way */
    int ended;
    int fd;                /* of the entry under way; -1: none */
    uint32_t left, offset; /* of its bytes; of the archive's */
    uint32_t directory;    /* where that began */
    unsigned char head[CENTRAL + NAME_BYTES + END];
    size_t head_bytes, head_sent;
};

mebi__zip *mebi__zip_begin(void) {
    mebi__zip *z = mebi__alloc(MEBI__TAG_GENERAL, sizeof *z);
    if (z) z->fd = -1;
    return z;
}

void mebi__zip_free(void *zip) {
    mebi__zip *z = zip;
    if (!z) return;
    for (int i = 0; i < z->count; i++) mebi__free(z->entry[i].path);
    if (z->fd >= 0) close(z->fd);
    mebi__free(z);
}

int mebi__zip_add(mebi__zip *z, char *path, const char *name) {
    if (z->count == MEBI__ZIP_FILES || strlen(name) >= NAME_BYTES) {
        mebi__free(path);
        return 0;
    }
    entry *e = &z->entry[z->count++];
    e->path = path;
    strcpy(e->name, name);
    return 1;
}

/* ---- records ---- */

static unsigned char *put(unsigned char *to, uint32_t value, int bytes) {
    for (int i = 0; i < bytes; i++) *to++ = (unsigned char)(value >> 8 * i);
    return to;
}

/* Version needed 2.0, names in UTF-8, stored, moment, checksum, sizes, the name's length. */
static unsigned char *put_common(unsigned char *to, const entry *e) {
    to = put(put(put(to, 20, 2), 0x800, 2), 0, 2);
    to = put(put(to, e->moment, 4), e->crc, 4);
    to = put(put(to, e->bytes, 4), e->bytes, 4);
    return put(to, (uint32_t)strlen(e->name), 2);
}

static void set_head(mebi__zip *z, const unsigned char *end) {
    z->head_bytes = (size_t)(end - z->head);
    z->head_sent = 0;
    z->offset += (uint32_t)z->head_bytes;
}

static void write_local(mebi__zip *z, entry *e) {
    e->offset = z->offset;
    unsigned char *to = put_common(put(z->head, 0x04034b50, 4), e);
    to = put(to, 0, 2);
    memcpy(to, e->name, strlen(e->name));
    set_head(z, to + strlen(e->name));
}

static void write_central(mebi__zip *z, const entry *e) {
    unsigned char *to = put_common(put(put(z->head, 0x02014b50, 4), 20, 2), e);
    to = put(put(put(put(put(to, 0, 4), 0, 2), 0, 2), 0, 4), e->offset, 4);
    memcpy(to, e->name, strlen(e->name));
    set_head(z, to + strlen(e->name));
}

static void write_end(mebi__zip *z) {
    uint32_t files = 0, bytes = z->offset - z->directory;
    for (int i = 0; i < z->count; i++) files += z->entry[i].sent != 0;
    unsigned char *to = put(put(z->head, 0x06054b50, 4), 0, 4);
    to = put(put(put(put(to, files, 2), files, 2), bytes, 4), z->directory, 4);
    set_head(z, put(to, 0, 2));
    z->ended = 1;
}

/* ---- files ---- */

/* Date and time as DOS had them: two seconds fine, from 1980 on. */
static uint32_t dos_moment(time_t when) {
    struct tm t;
    if (!gmtime_r(&when, &t) || t.tm_year < 80) return 0x00210000;
    uint32_t date = (uint32_t)((t.tm_year - 80) << 9 | (t.tm_mon + 1) << 5 | t.tm_mday);
    return date << 16 | (uint32_t)(t.tm_hour << 11 | t.tm_min << 5 | t.tm_sec / 2);
}

/* 0: it can't be read, or the archive would grow beyond what its numbers hold. */
static int measure(mebi__zip *z, entry *e) {
    unsigned char block[BLOCK / 8];
    struct stat st;
    if (fstat(z->fd, &st) != 0 || !S_ISREG(st.st_mode)) return 0;
    if ((uint64_t)st.st_size + z->offset > UINT32_MAX - (1u << 20)) return 0;
    uLong crc = crc32(0, NULL, 0);
    off_t left = st.st_size;
    while (left > 0) {
        ssize_t n = read(z->fd, block, left < (off_t)sizeof block ? (size_t)left : sizeof block);
        if (n <= 0) return 0;
        crc = crc32(crc, block, (uInt)n);
        left -= n;
    }
    e->bytes = z->left = (uint32_t)st.st_size;
    e->crc = (uint32_t)crc;
    e->moment = dos_moment(st.st_mtime);
    return lseek(z->fd, 0, SEEK_SET) == 0;
}

/* The next file that is there, or the directory. */
static void begin_next(mebi__zip *z) {
    while (z->at < z->count) {
        entry *e = &z->entry[z->at];
        z->fd = open(e->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (z->fd >= 0 && measure(z, e)) {
            e->sent = 1;
            write_local(z, e);
            return;
        }
        if (z->fd >= 0) close(z->fd);
        z->fd = -1;
        z->at++;
    }
    z->central = 1;
    z->at = 0;
    z->directory = z->offset;
}

static void begin_central(mebi__zip *z) {
    while (z->at < z->count && !z->entry[z->at].sent) z->at++;
    if (z->at < z->count) write_central(z, &z->entry[z->at++]);
    else write_end(z);
}

static ssize_t send_head(mebi__zip *z, char *to, size_t room) {
    size_t left = z->head_bytes - z->head_sent, n = left < room ? left : room;
    memcpy(to, z->head + z->head_sent, n);
    z->head_sent += n;
    return (ssize_t)n;
}

static ssize_t send_file(mebi__zip *z, char *to, size_t room) {
    ssize_t n = read(z->fd, to, z->left < room ? z->left : room);
    if (n <= 0) return -1;
    z->left -= (uint32_t)n;
    z->offset += (uint32_t)n;
    return n;
}

static ssize_t read_zip(void *context, char *to, size_t room) {
    mebi__zip *z = context;
    for (;;) {
        if (z->head_sent < z->head_bytes) return send_head(z, to, room);
        if (z->fd >= 0 && z->left > 0) return send_file(z, to, room);
        if (z->fd >= 0) {
            close(z->fd);
            z->fd = -1;
            z->at++;
        }
        if (z->ended) return 0;
        if (!z->central) begin_next(z);
        if (z->central) begin_central(z);
    }
}

mebi__http_source mebi__zip_source(mebi__zip *z) {
    return (mebi__http_source){z, read_zip, NULL, mebi__zip_free};
}

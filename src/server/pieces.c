/* Bodies of texts and files. Must never have more than one file open, nor hold one as a whole. */
#include "server/pieces.h"

#include "base/memory.h"
#include "server/answer.h"
#include "server/base64.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 3 << 12 }; /* of a file; a multiple of 3, so that blocks need no padding between */

typedef struct piece {
    struct piece *next;
    char *path; /* of a file; NULL: text */
    size_t bytes;
    char text[]; /* bytes of it */
} piece;

struct mebi__pieces {
    piece *first, *last;
    size_t sent; /* of the first one's text, or of `coded` */
    int fd;      /* of the first one's file; -1: not open yet */
    unsigned char block[BLOCK];
    char coded[BLOCK / 3 * 4];
    size_t coded_bytes;
};

mebi__pieces *mebi__pieces_begin(void) {
    mebi__pieces *p = mebi__alloc(MEBI__TAG_GENERAL, sizeof *p);
    if (p) p->fd = -1;
    return p;
}

static void drop_first(mebi__pieces *p) {
    piece *gone = p->first;
    p->first = gone->next;
    if (!p->first) p->last = NULL;
    if (p->fd >= 0) close(p->fd);
    p->fd = -1;
    p->sent = p->coded_bytes = 0;
    mebi__free(gone->path);
    mebi__free(gone);
}

void mebi__pieces_free(void *pieces) {
    mebi__pieces *p = pieces;
    if (!p) return;
    while (p->first) drop_first(p);
    mebi__free(p);
}

/* ---- adding ---- */

static piece *add(mebi__pieces *p, size_t bytes) {
    piece *n = mebi__alloc(MEBI__TAG_GENERAL, sizeof *n + bytes);
    if (!n) return NULL;
    n->bytes = bytes;
    if (p->last) p->last->next = n;
    else p->first = n;
    return p->last = n;
}

int mebi__pieces_text(mebi__pieces *p, const char *text) {
    size_t bytes = strlen(text);
    piece *n = add(p, bytes);
    if (n) memcpy(n->text, text, bytes);
    return n != NULL;
}

int mebi__pieces_json(mebi__pieces *p, json_t *value) {
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY |
                                               JSON_REAL_PRECISION(9))
                       : NULL;
    int good = text && mebi__pieces_text(p, text);
    free(text);
    json_decref(value);
    return good;
}

int mebi__pieces_bytes(mebi__pieces *p, const void *data, size_t bytes) {
    piece *n = add(p, (bytes + 2) / 3 * 4);
    if (n) n->bytes = mebi__base64_encode(data, bytes, n->text);
    return n != NULL;
}

int mebi__pieces_file(mebi__pieces *p, char *path) {
    piece *n = path ? add(p, 0) : NULL;
    if (n) n->path = path;
    else mebi__free(path);
    return n != NULL;
}

/* ---- reading ---- */

/* The next block of the first one's file. 0: it has ended; -1: it can't be read. */
static int next_block(mebi__pieces *p) {
    size_t have = 0;
    if (p->fd < 0) p->fd = open(p->first->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (p->fd < 0) return -1;
    while (have < BLOCK) {
        ssize_t n = read(p->fd, p->block + have, BLOCK - have);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        if (n == 0) break;
        have += (size_t)n;
    }
    p->coded_bytes = mebi__base64_encode(p->block, have, p->coded);
    p->sent = 0;
    return have > 0;
}

/* What is at hand of the first one, up to room. */
static size_t take(mebi__pieces *p, char *to, size_t room) {
    const char *from = p->first->path ? p->coded : p->first->text;
    size_t n = (p->first->path ? p->coded_bytes : p->first->bytes) - p->sent;
    if (n > room) n = room;
    if (n > 0) memcpy(to, from + p->sent, n);
    p->sent += n;
    return n;
}

ssize_t mebi__pieces_read(void *pieces, char *to, size_t room) {
    mebi__pieces *p = pieces;
    size_t done = 0;
    while (p->first && done < room) {
        size_t n = take(p, to + done, room - done);
        done += n;
        if (n > 0) continue;
        int more = p->first->path ? next_block(p) : 0;
        /* What is there goes out before the failure does. */
        if (more < 0) return done > 0 ? (ssize_t)done : -1;
        if (more == 0) drop_first(p);
    }
    return (ssize_t)done;
}

int mebi__pieces_waiting(const mebi__pieces *p) {
    return p->first != NULL;
}

void mebi__pieces_answer(mebi__http_answer *a, mebi__pieces *p) {
    mebi__answer_drop(a);
    a->status = 200;
    a->type = "application/json";
    a->source =
        (mebi__http_source){.context = p, .read = mebi__pieces_read, .end = mebi__pieces_free};
}

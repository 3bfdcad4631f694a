/* A body of texts and of files as base64, made while it is sent: however many pictures it has, it
 * holds one block of one of them. */
#ifndef MEBI_SERVER_PIECES_H
#define MEBI_SERVER_PIECES_H

#include "server/http.h"

#include <jansson.h>

typedef struct mebi__pieces mebi__pieces;

/* NULL: no memory. */
mebi__pieces *mebi__pieces_begin(void);
void mebi__pieces_free(void *pieces);

/* These return 0 where memory is short; the pieces are then to be given up. */
int mebi__pieces_text(mebi__pieces *pieces, const char *text);
/* JSON text of a value; takes the reference, which may be NULL: no memory. */
int mebi__pieces_json(mebi__pieces *pieces, json_t *value);
/* Bytes as base64. */
int mebi__pieces_bytes(mebi__pieces *pieces, const void *data, size_t bytes);
/* A file as base64, opened when its turn comes. path passes over, also on failure; freed with
 * mebi__free. */
int mebi__pieces_file(mebi__pieces *pieces, char *path);

/* As a source's read: bytes, 0 where nothing is left (more may be added after that), -1 for a file
 * that has gone or can't be read. */
ssize_t mebi__pieces_read(void *pieces, char *to, size_t room);
/* 1 if something is left. */
int mebi__pieces_waiting(const mebi__pieces *pieces);
/* The whole answer; owns them from then on. */
void mebi__pieces_answer(mebi__http_answer *answer, mebi__pieces *pieces);

#endif

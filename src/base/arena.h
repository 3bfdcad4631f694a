/* Offsets inside one block of device memory: where each tensor of a job lives and when it dies.
 *
 * The allocator never touches the memory itself, so a plan (a dry run) and the job take exactly
 * the same offsets and reach exactly the same peak. Best fit, neighbours merged, deterministic. */
#ifndef MEBI_BASE_ARENA_H
#define MEBI_BASE_ARENA_H

#include "base/error.h"

#include <stddef.h>

enum { MEBI__ARENA_ALIGN = 64, MEBI__ARENA_BLOCKS = 256 };

typedef struct mebi__arena {
    size_t limit; /* bytes; SIZE_MAX while planning */
    size_t peak;  /* highest end of a taken block so far */
    int count;    /* blocks, taken and free, ascending and without gaps */
    struct {
        size_t offset, bytes;
        int taken;
    } block[MEBI__ARENA_BLOCKS];
} mebi__arena;

void mebi__arena_init(mebi__arena *arena, size_t limit);

/* Takes bytes (rounded up to MEBI__ARENA_ALIGN) and stores their offset. MEBI_NO_MEMORY when the
 * limit does not hold them; MEBI_INTERNAL when the table of blocks is full. The offset does not
 * depend on the limit. */
MEBI_MUST_USE mebi_status mebi__arena_take(mebi__arena *arena, size_t bytes, size_t *offset,
                                           mebi_error *err);

/* Gives back a block by the offset that take returned. An unknown offset is a broken invariant. */
void mebi__arena_give(mebi__arena *arena, size_t offset);

/* 1 if nothing is taken: every job ends like this. */
int mebi__arena_empty(const mebi__arena *arena);

#endif

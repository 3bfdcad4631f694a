/* Best-fit offset allocator over a small ordered table. Must never allocate. */
#include "base/arena.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

void mebi__arena_init(mebi__arena *a, size_t limit) {
    memset(a, 0, sizeof *a);
    a->limit = limit;
    a->count = 1;
    a->block[0].bytes = limit;
}

static void insert_after(mebi__arena *a, int i, size_t bytes) {
    memmove(&a->block[i + 2], &a->block[i + 1], sizeof a->block[0] * (size_t)(a->count - i - 1));
    a->block[i + 1].offset = a->block[i].offset + bytes;
    a->block[i + 1].bytes = a->block[i].bytes - bytes;
    a->block[i + 1].taken = 0;
    a->block[i].bytes = bytes;
    a->count++;
}

static void remove_at(mebi__arena *a, int i) {
    memmove(&a->block[i], &a->block[i + 1], sizeof a->block[0] * (size_t)(a->count - i - 1));
    a->count--;
}

/* The smallest free block that holds need; -1: none. The last one, whose size depends on the limit,
 * is taken only if no other fits: so the offsets do not depend on the limit. */
static int best_fit(const mebi__arena *a, size_t need) {
    int best = -1, last = a->count - 1;
    for (int i = 0; i < last; i++)
        if (!a->block[i].taken && a->block[i].bytes >= need &&
            (best < 0 || a->block[i].bytes < a->block[best].bytes))
            best = i;
    if (best < 0 && !a->block[last].taken && a->block[last].bytes >= need) best = last;
    return best;
}

mebi_status mebi__arena_take(mebi__arena *a, size_t bytes, size_t *offset, mebi_error *err) {
    size_t need = bytes ? bytes : 1;
    if (need > SIZE_MAX - MEBI__ARENA_ALIGN)
        return mebi__fail(err, MEBI_NO_MEMORY, "A tensor of %zu bytes can't exist.", bytes);
    need = (need + MEBI__ARENA_ALIGN - 1) & ~(size_t)(MEBI__ARENA_ALIGN - 1);
    int best = best_fit(a, need);
    if (best < 0)
        return mebi__fail(err, MEBI_NO_MEMORY,
                          "The job's arena of %zu bytes has no room for another %zu bytes.", a->limit,
                          need);
    if (a->block[best].bytes > need && a->count == MEBI__ARENA_BLOCKS)
        return mebi__fail(err, MEBI_INTERNAL,
                          "The job's arena holds %d blocks, as many as it can keep account of.",
                          MEBI__ARENA_BLOCKS);
    if (a->block[best].bytes > need) insert_after(a, best, need);
    a->block[best].taken = 1;
    *offset = a->block[best].offset;
    if (*offset + need > a->peak) a->peak = *offset + need;
    return MEBI_OK;
}

void mebi__arena_give(mebi__arena *a, size_t offset) {
    for (int i = 0; i < a->count; i++) {
        if (!a->block[i].taken || a->block[i].offset != offset) continue;
        a->block[i].taken = 0;
        if (i + 1 < a->count && !a->block[i + 1].taken) {
            a->block[i].bytes += a->block[i + 1].bytes;
            remove_at(a, i + 1);
        }
        if (i > 0 && !a->block[i - 1].taken) {
            a->block[i - 1].bytes += a->block[i].bytes;
            remove_at(a, i);
        }
        return;
    }
    assert(!"an offset that was never taken");
}

int mebi__arena_empty(const mebi__arena *a) {
    return a->count == 1 && !a->block[0].taken;
}

/* Byte-pair encoding with a heap of candidate merges over a linked list of symbols. Must give the
 * very ids of the plain definition (merge the lowest rank, leftmost first, until nothing merges)
 * and must never take quadratic time. */
#include "text/bpe.h"
#include "base/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

typedef struct mebi__bpe_symbol {
    int32_t id;          /* -1: merged into its left neighbour */
    int32_t left, right; /* neighbours; -1 at the ends */
} symbol;

typedef struct mebi__bpe_candidate {
    uint32_t rank, place, id; /* symbol at place and the one to its right become id */
} candidate;

static int by_right(const void *a, const void *b) {
    const mebi__merge *x = a, *y = b;
    return x->right < y->right ? -1 : x->right > y->right;
}

/* Rules into buckets by left id (counting sort), each bucket sorted by right. */
static mebi_status fill_buckets(mebi__bpe *bpe, const mebi__merge_rule *rules, size_t count,
                                size_t *duplicate) {
    for (size_t i = 0; i < count; i++) bpe->first[rules[i].left + 1]++;
    for (uint32_t i = 0; i < bpe->ids; i++) bpe->first[i + 1] += bpe->first[i];
    /* first[left] runs to the bucket's end while filling, so it is the next bucket's begin. */
    for (size_t i = 0; i < count; i++) {
        mebi__merge m = {rules[i].right, (uint32_t)i, rules[i].id};
        bpe->merge[bpe->first[rules[i].left]++] = m;
    }
    memmove(bpe->first + 1, bpe->first, bpe->ids * sizeof *bpe->first);
    bpe->first[0] = 0;
    for (uint32_t i = 0; i < bpe->ids; i++) {
        mebi__merge *bucket = bpe->merge + bpe->first[i];
        uint32_t size = bpe->first[i + 1] - bpe->first[i];
        if (size > 1) qsort(bucket, size, sizeof *bucket, by_right);
        for (uint32_t k = 1; k < size; k++)
            if (bucket[k].right == bucket[k - 1].right) {
                *duplicate = bucket[k].rank;
                return MEBI_BAD_FILE;
            }
    }
    return MEBI_OK;
}

mebi_status mebi__bpe_set_merges(mebi__bpe *bpe, const mebi__merge_rule *rules, size_t count,
                                 size_t *duplicate, mebi_error *err) {
    assert(count < UINT32_MAX && !bpe->first && !bpe->merge);
    bpe->first = mebi__alloc_array(MEBI__TAG_TEXT, (size_t)bpe->ids + 1, sizeof *bpe->first);
    /* One more than needed: a vocabulary without merges is fine. */
    bpe->merge = mebi__alloc_array(MEBI__TAG_TEXT, count + 1, sizeof *bpe->merge);
    if (!bpe->first || !bpe->merge)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for %zu merges of a tokenizer.", count);
    return fill_buckets(bpe, rules, count, duplicate);
}

void mebi__bpe_release(mebi__bpe *bpe) {
    mebi__free(bpe->first);
    mebi__free(bpe->merge);
    mebi__free(bpe->word);
    mebi__free(bpe->pool);
    memset(bpe, 0, sizeof *bpe);
}

void mebi__bpe_scratch_release(mebi__bpe_scratch *scratch) {
    mebi__free(scratch->symbol);
    mebi__free(scratch->heap);
    memset(scratch, 0, sizeof *scratch);
}

static const mebi__merge *find_merge(const mebi__bpe *bpe, int32_t left, int32_t right) {
    uint32_t low = bpe->first[left], high = bpe->first[left + 1];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (bpe->merge[middle].right < (uint32_t)right) low = middle + 1;
        else high = middle;
    }
    int found = low < bpe->first[left + 1] && bpe->merge[low].right == (uint32_t)right;
    return found ? &bpe->merge[low] : NULL;
}

static int32_t find_whole_word(const mebi__bpe *bpe, const char *word, size_t bytes) {
    uint32_t low = 0, high = bpe->words;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const mebi__whole_word *w = &bpe->word[middle];
        int order = memcmp(bpe->pool + w->offset, word, w->length < bytes ? w->length : bytes);
        if (order == 0 && w->length == bytes) return (int32_t)w->id;
        if (order < 0 || (order == 0 && w->length < bytes)) low = middle + 1;
        else high = middle;
    }
    return -1;
}

/* The heap: smallest rank on top, leftmost of equals. */
static int goes_before(const candidate *a, const candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->place < b->place;
}

static void push(candidate *heap, size_t *used, candidate c) {
    size_t at = (*used)++;
    for (size_t up; at > 0 && goes_before(&c, &heap[up = (at - 1) / 2]); at = up)
        heap[at] = heap[up];
    heap[at] = c;
}

static candidate pop(candidate *heap, size_t *used) {
    candidate top = heap[0], last = heap[--*used];
    size_t at = 0;
    for (size_t down; (down = 2 * at + 1) < *used; at = down) {
        if (down + 1 < *used && goes_before(&heap[down + 1], &heap[down])) down++;
        if (!goes_before(&heap[down], &last)) break;
        heap[at] = heap[down];
    }
    heap[at] = last;
    return top;
}

static void propose(const mebi__bpe *bpe, mebi__bpe_scratch *s, size_t *used, int32_t place) {
    if (place < 0 || s->symbol[place].right < 0) return;
    const mebi__merge *m =
        find_merge(bpe, s->symbol[place].id, s->symbol[s->symbol[place].right].id);
    if (m) push(s->heap, used, (candidate){m->rank, (uint32_t)place, m->id});
}

/* Each merge takes one symbol away and proposes two pairs at most, so 3n candidates are enough. */
static mebi_status make_room(mebi__bpe_scratch *s, size_t bytes, mebi_error *err) {
    if (bytes <= s->room) return MEBI_OK;
    size_t room = bytes < 64 ? 64 : bytes;
    mebi__bpe_scratch_release(s);
    s->symbol = mebi__alloc_array(MEBI__TAG_TEXT, room, sizeof *s->symbol);
    s->heap = mebi__alloc_array(MEBI__TAG_TEXT, 3 * room, sizeof *s->heap);
    if (!s->symbol || !s->heap)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory to tokenize a word of %zu bytes.", bytes);
    s->room = room;
    return MEBI_OK;
}

static void merge_all(const mebi__bpe *bpe, mebi__bpe_scratch *s, size_t bytes) {
    size_t used = 0;
    symbol *sym = s->symbol;
    for (size_t i = 0; i + 1 < bytes; i++) propose(bpe, s, &used, (int32_t)i);
    while (used > 0) {
        candidate c = pop(s->heap, &used);
        int32_t place = (int32_t)c.place, right = sym[place].right;
        if (sym[place].id < 0 || right < 0) continue;
        /* Symbols only grow, so a pair that still merges into this id is the pair proposed. */
        const mebi__merge *m = find_merge(bpe, sym[place].id, sym[right].id);
        if (!m || m->id != c.id) continue;
        sym[place].id = (int32_t)c.id;
        sym[place].right = sym[right].right;
        sym[right].id = -1;
        if (sym[right].right >= 0) sym[sym[right].right].left = place;
        propose(bpe, s, &used, sym[place].left);
        propose(bpe, s, &used, place);
    }
}

mebi_status mebi__bpe_encode(const mebi__bpe *bpe, mebi__bpe_scratch *s, const char *word,
                             size_t bytes, int32_t *ids, int limit, int *count, mebi_error *err) {
    assert(bytes > 0 && bytes <= (size_t)1 << 24);
    if (*count >= limit) return MEBI_OK;
    int32_t whole = find_whole_word(bpe, word, bytes);
    if (whole >= 0) {
        ids[(*count)++] = whole;
        return MEBI_OK;
    }
    MEBI_TRY(make_room(s, bytes, err));
    for (size_t i = 0; i < bytes; i++) {
        int32_t id = bpe->byte_id[(unsigned char)word[i]];
        assert(id >= 0);
        s->symbol[i] = (symbol){id, (int32_t)i - 1, i + 1 < bytes ? (int32_t)i + 1 : -1};
    }
    merge_all(bpe, s, bytes);
    for (int32_t i = 0; i >= 0 && *count < limit; i = s->symbol[i].right)
        ids[(*count)++] = s->symbol[i].id;
    return MEBI_OK;
}

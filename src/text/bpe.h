/* Byte-pair encoding: the merge table, and the ids of one word. */
#ifndef MEBI_TEXT_BPE_H
#define MEBI_TEXT_BPE_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* One rule as files list them: left and right become id. Its rank is its place in the list. */
typedef struct mebi__merge_rule {
    uint32_t left, right, id;
} mebi__merge_rule;

/* A merge under its left id. */
typedef struct mebi__merge {
    uint32_t right, rank, id;
} mebi__merge;

/* A whole word and its id; bytes are in the pool. */
typedef struct mebi__whole_word {
    uint32_t offset, length, id;
} mebi__whole_word;

typedef struct mebi__bpe {
    int32_t byte_id[256]; /* id of each single byte; -1 for bytes that UTF-8 never holds */
    uint32_t ids;         /* largest id of the vocabulary + 1 */
    uint32_t *first; /* [ids + 1] merges with left id i: merge[first[i]] to merge[first[i+1]-1] */
    mebi__merge *merge; /* ascending by right within a left */
    /* Only where the file says ignore_merges: a word that is in the vocabulary is that token. */
    mebi__whole_word *word; /* ascending by bytes */
    uint32_t words;
    char *pool;
} mebi__bpe;

/* Fills first and merge from count rules, all ids below bpe->ids. *duplicate (may not be NULL) is
 * the index of a rule whose pair another rule has too, with MEBI_BAD_FILE and no error text. */
MEBI_MUST_USE mebi_status mebi__bpe_set_merges(mebi__bpe *bpe, const mebi__merge_rule *rules,
                                               size_t count, size_t *duplicate, mebi_error *err);
void mebi__bpe_release(mebi__bpe *bpe);

/* Scratch of one encoding; start with zeros, release when done. Grows to the longest word. */
typedef struct mebi__bpe_scratch {
    struct mebi__bpe_symbol *symbol;
    struct mebi__bpe_candidate *heap;
    size_t room;
} mebi__bpe_scratch;

void mebi__bpe_scratch_release(mebi__bpe_scratch *scratch);

/* Appends the ids of one word (bytes 1 to 2^24) at ids[*count], stopping at limit. The lowest rank
 * is merged first, the leftmost of equals; time grows as n log n. */
MEBI_MUST_USE mebi_status mebi__bpe_encode(const mebi__bpe *bpe, mebi__bpe_scratch *scratch,
                                           const char *word, size_t bytes, int32_t *ids, int limit,
                                           int *count, mebi_error *err);

#endif

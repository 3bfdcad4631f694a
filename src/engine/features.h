/* Features of recent prompts, kept in host memory: the same prompt is encoded once. */
#ifndef MEBI_ENGINE_FEATURES_H
#define MEBI_ENGINE_FEATURES_H

#include "base/error.h"
#include "text/tokenizer.h"

enum { MEBI__FEATURES_KEPT = 8 };

/* One prompt's: ids are the key. */
typedef struct mebi__feature_entry {
    int32_t ids[MEBI__PROMPT_TOKENS];
    int count;
    float *values; /* [count, hidden]; NULL: empty entry */
    uint64_t used; /* clock of the last use */
} mebi__feature_entry;

typedef struct mebi__features {
    mebi__feature_entry entry[MEBI__FEATURES_KEPT];
    uint64_t clock;
} mebi__features;

/* NULL if these ids are not there. _find counts as a use; _peek changes nothing. */
const float *mebi__features_peek(const mebi__features *f, const int32_t *ids, int count);
const float *mebi__features_find(mebi__features *f, const int32_t *ids, int count);

/* Hands values (from mebi__alloc) over; the entry used longest ago makes room. */
void mebi__features_keep(mebi__features *f, const int32_t *ids, int count, float *values);

/* Of rows of so many floats: what all of them hold. */
size_t mebi__features_bytes(const mebi__features *f, size_t hidden);

void mebi__features_release(mebi__features *f);

#endif

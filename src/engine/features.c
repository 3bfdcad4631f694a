/* A small cache, searched from end to end. */
#include "engine/features.h"

#include "base/memory.h"

#include <string.h>

static int place_of(const mebi__features *f, const int32_t *ids, int count) {
    for (int i = 0; i < MEBI__FEATURES_KEPT; i++) {
        const mebi__feature_entry *e = &f->entry[i];
        if (e->values && e->count == count && memcmp(e->ids, ids, sizeof *ids * (size_t)count) == 0) return i;
    }
    return -1;
}

const float *mebi__features_peek(const mebi__features *f, const int32_t *ids, int count) {
    int i = place_of(f, ids, count);
    return i < 0 ? NULL : f->entry[i].values;
}

const float *mebi__features_find(mebi__features *f, const int32_t *ids, int count) {
    int i = place_of(f, ids, count);
    if (i < 0) return NULL;
    f->entry[i].used = ++f->clock;
    return f->entry[i].values;
}

size_t mebi__features_bytes(const mebi__features *f, size_t hidden) {
    size_t bytes = 0;
    for (int i = 0; i < MEBI__FEATURES_KEPT; i++)
        if (f->entry[i].values) bytes += mebi__memory_block((size_t)f->entry[i].count * hidden * sizeof(float));
    return bytes;
}

void mebi__features_keep(mebi__features *f, const int32_t *ids, int count, float *values) {
    mebi__feature_entry *oldest = &f->entry[0];
    for (int i = 1; i < MEBI__FEATURES_KEPT; i++)
        if (f->entry[i].used < oldest->used) oldest = &f->entry[i];
    mebi__free(oldest->values);
    memcpy(oldest->ids, ids, sizeof *ids * (size_t)count);
    oldest->count = count;
    oldest->values = values;
    oldest->used = ++f->clock;
}

void mebi__features_release(mebi__features *f) {
    for (int i = 0; i < MEBI__FEATURES_KEPT; i++) mebi__free(f->entry[i].values);
    memset(f, 0, sizeof *f);
}

/* A small cache, searched from end to end. */
#include "engine/features.h"

#include "base/memory.h"

#include <string.h>

const float *mebi__features_find(mebi__features *f, const int32_t *ids, int count) {
    for (int i = 0; i < MEBI__FEATURES_KEPT; i++) {
        mebi__feature_entry *e = &f->entry[i];
        if (e->values && e->count == count && memcmp(e->ids, ids, sizeof *ids * (size_t)count) == 0) {
            e->used = ++f->clock;
            return e->values;
        }
    }
    return NULL;
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

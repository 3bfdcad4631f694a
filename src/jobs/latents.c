/* Saved latents. Must never give back numbers that are not, to the bit, what was saved.
 *
 * The file: the header below, then the values, in this machine's byte order (another machine's file is refused by its
 * mark). The hash is over all that follows it. */
#include "jobs/latents.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/os.h"
#include "base/writer.h"
#include "jobs/jobs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MARK = 0x6c69626d, VERSION = 1, MOST_BYTES = 1 << 30 };

typedef struct header {
    uint32_t mark, version;
    uint64_t hash;
    char job[MEBI__JOB_ID], model_hash[32];
    int64_t seed;
    int32_t index, pictures, step, steps, channels, height, width, unused;
    uint64_t count;
} header;

static uint64_t hash_of(const header *h, const void *values) {
    size_t from = offsetof(header, job);
    uint64_t own = mebi__hash(VERSION, (const char *)h + from, sizeof *h - from);
    return mebi__hash(own, values, h->count * sizeof(float));
}

mebi_status mebi__latents_save(const char *path, const char *job, const char *model_hash,
                               const mebi_latents *l, mebi_error *err) {
    header h;
    mebi__writer writer;
    memset(&h, 0, sizeof h); /* gaps, too */
    h.mark = MARK, h.version = VERSION;
    h.seed = l->seed, h.index = l->index, h.pictures = l->pictures;
    h.step = l->step, h.steps = l->steps;
    h.channels = l->channels, h.height = l->height, h.width = l->width;
    h.count = l->count;
    snprintf(h.job, sizeof h.job, "%s", job);
    snprintf(h.model_hash, sizeof h.model_hash, "%s", model_hash);
    h.hash = hash_of(&h, l->values);
    MEBI_TRY(mebi__writer_open(path, &writer, err));
    mebi_status status = mebi__writer_append(&writer, &h, sizeof h, err);
    if (status == MEBI_OK)
        status = mebi__writer_append(&writer, l->values, l->count * sizeof(float), err);
    if (status == MEBI_OK && fsync(writer.fd) != 0)
        status = mebi__fail(err, MEBI_IO, "Syncing %.300s failed: %s.", path, strerror(errno));
    if (status == MEBI_OK) return mebi__writer_replace(&writer, err);
    mebi__writer_abandon(&writer);
    return status;
}

static int is_sane(const header *h, size_t bytes) {
    if (h->mark != MARK || h->version != VERSION || !memchr(h->job, 0, sizeof h->job) ||
        !memchr(h->model_hash, 0, sizeof h->model_hash))
        return 0;
    if (h->pictures < 1 || h->pictures > 64 || h->index < 0 || h->index > 64 || h->step < 1 ||
        h->step > h->steps || h->channels < 1 || h->height < 1 || h->width < 1)
        return 0;
    if (h->count != (bytes - sizeof *h) / sizeof(float) ||
        h->count * sizeof(float) != bytes - sizeof *h)
        return 0;
    double wanted = (double)h->pictures * h->channels * h->height * h->width;
    return wanted == (double)h->count;
}

int mebi__latents_load(const char *path, const char *job, const char *model_hash, int first,
                       mebi_latents *l, char **block) {
    mebi_error err = {0};
    size_t bytes;
    header h;
    *block = NULL;
    if (!mebi__is_file(path) || mebi__read_file(path, MOST_BYTES, block, &bytes, &err) != MEBI_OK)
        return 0;
    int good = bytes > sizeof h;
    if (good) memcpy(&h, *block, sizeof h);
    good = good && is_sane(&h, bytes) && strcmp(h.job, job) == 0 &&
           strcmp(h.model_hash, model_hash) == 0 && hash_of(&h, *block + sizeof h) == h.hash &&
           h.index <= first && first < h.index + h.pictures;
    if (!good) {
        mebi__free(*block);
        *block = NULL;
        return 0;
    }
    /* Pictures of a batch that were saved already are left out. */
    int skip = first - h.index;
    size_t each = h.count / (size_t)h.pictures;
    *l = (mebi_latents){.index = first, .pictures = h.pictures - skip, .seed = h.seed + skip,
                        .step = h.step, .steps = h.steps, .channels = h.channels,
                        .height = h.height, .width = h.width};
    l->count = each * (size_t)l->pictures;
    l->values = (const float *)(const void *)(*block + sizeof h) + each * (size_t)skip;
    return 1;
}

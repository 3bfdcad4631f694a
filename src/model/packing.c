/* Packing a part: every noted matrix quantized into one block. Must leave each matrix's plain form as it
 * is. */
#include "model/packing.h"

#include "tensor/int8.h"

#include <inttypes.h>
#include <stdio.h>

void mebi__params_pack_later(mebi__params *p, mebi__matrix *matrix, const mebi__tensor *t) {
    mebi__shape shape = {2, {t->shape.dim[0], t->shape.dim[1]}};
    mebi__pack_job job = {.matrix = matrix, .tensor = t, .offset = p->packed_bytes};
    if (p->status != MEBI_OK || !mebi__shape_bytes(&shape, MEBI__INT8_PANELS, &job.bytes)) return;
    if (p->jobs == p->job_capacity) {
        int capacity = p->job_capacity ? 2 * p->job_capacity : 64;
        mebi__pack_job *grown = mebi__realloc_array(MEBI__TAG_GENERAL, p->job, (size_t)capacity,
                                                    sizeof *grown);
        if (!grown) {
            p->status = mebi__fail(p->err, MEBI_NO_MEMORY, "No memory for a model's tensors.");
            return;
        }
        p->job = grown;
        p->job_capacity = capacity;
    }
    p->job[p->jobs++] = job;
    p->packed_bytes += job.bytes; /* a multiple of 64, as every panel's */
}

static void read_rows(const void *tensor, int64_t first, int64_t count, float *out) {
    (void)mebi__tensor_rows(tensor, first, count, out);
}

static mebi_status pack_all(mebi__params *p, unsigned char *to) {
    mebi__device *d = p->how.device;
    for (int i = 0; i < p->jobs; i++) {
        const mebi__pack_job *job = &p->job[i];
        const mebi__tensor *t = job->tensor;
        mebi__rows_source rows = {.n = t->shape.dim[0], .k = t->shape.dim[1], .read = read_rows,
                                  .context = t, .name = t->name};
        double done = (double)job->offset / (double)p->packed_bytes;
        if (p->how.progress && p->how.progress(p->how.context, done))
            return mebi__fail(p->err, MEBI_CANCELLED, "Cancelled while weights were being packed.");
        MEBI_TRY(d->table->pack(d, &rows, to + job->offset, p->err));
    }
    /* The plain forms were read once and will hardly be again. */
    for (int i = 0; i < mebi__tensors_map_count(p->how.tensors); i++)
        mebi__map_rest(mebi__tensors_map(p->how.tensors, i));
    return MEBI_OK;
}

static int is_cancelled(void *context) {
    const mebi__params *p = context;
    return p->how.progress && p->how.progress(p->how.context, 0);
}

static void tell(const mebi__params *p, const char *beginning, const mebi_error *why) {
    char text[sizeof why->text + 160];
    if (!p->how.notice) return;
    snprintf(text, sizeof text, "%s %s", beginning, why->text);
    p->how.notice(p->how.context, text);
}

/* All that the packed bytes depend on. A file of the same size that was written anew is another. */
static void key_of(const mebi__params *p, char *key, size_t bytes) {
    char hex[17];
    uint64_t written = 0;
    mebi__tensors_fingerprint(p->how.tensors, hex);
    for (int i = 0; i < mebi__tensors_map_count(p->how.tensors); i++)
        written = written * 0x9e3779b97f4a7c15u +
                  (uint64_t)mebi__tensors_map(p->how.tensors, i)->modified_ns;
    snprintf(key, bytes, "%s-%016" PRIx64 "-%s-int8-v%d", hex, written,
             p->tag == MEBI__TAG_DIT ? "dit" : "encoder", MEBI__INT8_VERSION);
}

/* In the cache: found there, or made and kept. MEBI_IO if it can't serve. */
static mebi_status pack_into_cache(mebi__params *p, mebi_error *why) {
    char key[MEBI__CACHE_KEY + 1];
    mebi_error kept = {0};
    key_of(p, key, sizeof key);
    MEBI_TRY(mebi__cache_open(&(mebi__cache_request){.folder = p->how.cache, .key = key,
                                                     .bytes = p->packed_bytes,
                                                     .cancelled = is_cancelled, .context = p},
                              &p->cache, why));
    if (p->cache.ready) return MEBI_OK;
    mebi_status status = pack_all(p, p->cache.data);
    if (status != MEBI_OK) {
        mebi__cache_close(&p->cache);
        if (why != p->err && p->err) *why = *p->err;
        return status;
    }
    if (mebi__cache_commit(&p->cache, &kept) != MEBI_OK)
        tell(p, "The packed weights can't be kept for the next start.", &kept);
    return MEBI_OK;
}

static mebi_status pack_into_memory(mebi__params *p) {
    p->packed = p->packed_bytes < mebi__memory_available() ? mebi__alloc(p->tag, p->packed_bytes) : NULL;
    if (!p->packed)
        return mebi__fail(p->err, MEBI_NO_MEMORY,
                          "%.2f GB for weights in int8 can't be had, neither in the cache folder nor in "
                          "memory. Take --precision bf16, which uses the model's files as they are, or "
                          "make room.",
                          (double)p->packed_bytes * 1e-9);
    return pack_all(p, p->packed);
}

static mebi_status pack_somewhere(mebi__params *p) {
    mebi_error why = {0};
    int cached = !p->how.cache || *p->how.cache;
    if (cached) {
        mebi_status status = pack_into_cache(p, &why);
        if (status == MEBI_OK) return MEBI_OK;
        if (status != MEBI_IO && status != MEBI_NO_MEMORY) {
            if (p->err) *p->err = why;
            return status;
        }
        tell(p, "The cache can't be used, so weights are packed at every start.", &why);
    }
    return pack_into_memory(p);
}

mebi_status mebi__params_pack(mebi__params *p) {
    mebi__device *d = p->how.device;
    if (p->jobs == 0) return MEBI_OK;
    MEBI_TRY(pack_somewhere(p));
    const unsigned char *packed = p->packed ? p->packed : p->cache.data;
    mebi__buffer *buffer;
    MEBI_TRY(d->table->buffer_import(d, p->tag, packed, p->packed_bytes, &buffer, p->err));
    if (!mebi__params_keep(p, buffer)) return p->status;
    for (int i = 0; i < p->jobs; i++)
        p->job[i].matrix->packed = (mebi__view){.buffer = buffer,
                                                .offset = p->job[i].offset,
                                                .dtype = MEBI__INT8_PANELS,
                                                .shape = p->job[i].tensor->shape};
    return MEBI_OK;
}

/* Packing a part: every noted matrix quantized into one block. Must leave each matrix's plain form as it
 * is. */
#include "model/packing.h"

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

static mebi_status pack_all(mebi__params *p) {
    mebi__device *d = p->how.device;
    for (int i = 0; i < p->jobs; i++) {
        const mebi__pack_job *job = &p->job[i];
        const mebi__tensor *t = job->tensor;
        mebi__rows_source rows = {.n = t->shape.dim[0], .k = t->shape.dim[1], .read = read_rows,
                                  .context = t, .name = t->name};
        double done = (double)job->offset / (double)p->packed_bytes;
        if (p->how.progress && p->how.progress(p->how.context, done))
            return mebi__fail(p->err, MEBI_CANCELLED, "Cancelled while weights were being packed.");
        MEBI_TRY(d->table->pack(d, &rows, p->packed + job->offset, p->err));
    }
    return MEBI_OK;
}

mebi_status mebi__params_pack(mebi__params *p) {
    mebi__device *d = p->how.device;
    if (p->jobs == 0) return MEBI_OK;
    p->packed = mebi__alloc(p->tag, p->packed_bytes);
    if (!p->packed)
        return mebi__fail(p->err, MEBI_NO_MEMORY,
                          "%.2f GB for weights in int8 can't be had; take another precision, or close "
                          "other programs.",
                          (double)p->packed_bytes * 1e-9);
    MEBI_TRY(pack_all(p));
    mebi__buffer *buffer;
    MEBI_TRY(d->table->buffer_import(d, p->tag, p->packed, p->packed_bytes, &buffer, p->err));
    if (!mebi__params_keep(p, buffer)) return p->status;
    for (int i = 0; i < p->jobs; i++)
        p->job[i].matrix->packed = (mebi__view){.buffer = buffer,
                                                .offset = p->job[i].offset,
                                                .dtype = MEBI__INT8_PANELS,
                                                .shape = p->job[i].tensor->shape};
    return MEBI_OK;
}

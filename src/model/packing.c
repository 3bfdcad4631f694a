/* Packing a part: every noted matrix quantized into one block. Must leave each matrix's plain form as it
 * is. */
#include "model/packing.h"

#include "tensor/int8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

int mebi__params_pack_later(mebi__params *p, mebi__matrix *matrix, const mebi__tensor *t) {
    mebi__shape shape = {2, {t->shape.dim[0], t->shape.dim[1]}};
    mebi__pack_job job = {.matrix = matrix, .tensor = t, .offset = p->packed_bytes};
    void *list = p->job;
    if (p->status != MEBI_OK || !mebi__shape_bytes(&shape, MEBI__INT8_PANELS, &job.bytes)) return 0;
    if (!mebi__params_make_room(p, &list, p->jobs, &p->job_capacity, sizeof job)) return 0;
    p->job = list;
    p->job[p->jobs++] = job;
    p->packed_bytes += job.bytes; /* a multiple of 64, as every panel's */
    return 1;
}

void mebi__param_smooth(mebi__params *p, const mebi__matrix *gate, const mebi__matrix *up,
                        const mebi__matrix *down) {
    void *list = p->smooth;
    if (p->status != MEBI_OK || p->how.precision != MEBI__PRECISION_INT8) return;
    if (!mebi__params_make_room(p, &list, p->smooths, &p->smooth_capacity, sizeof *p->smooth)) return;
    p->smooth = list;
    p->smooth[p->smooths++] = (mebi__smooth){gate, up, down};
}

/* A matrix's rows, and what its rows and columns are multiplied by. */
typedef struct folded_rows {
    const mebi__tensor *tensor;
    const float *row, *column; /* [n], [k]; or NULL */
} folded_rows;

static void read_rows(const void *context, int64_t first, int64_t count, float *out) {
    const folded_rows *f = context;
    const int64_t k = f->tensor->shape.dim[1];
    (void)mebi__tensor_rows(f->tensor, first, count, out);
    for (int64_t r = 0; f->column && r < count; r++)
        for (int64_t i = 0; i < k; i++) out[r * k + i] *= f->column[i];
    for (int64_t r = 0; f->row && r < count; r++)
        for (int64_t i = 0; i < k; i++) out[r * k + i] *= f->row[first + r];
}

/* A part in the making: a smoothed feed-forward's factors are made once for its two matrices. */
typedef struct packing {
    mebi__params *p;
    unsigned char *to;
    const mebi__smooth *made; /* whose factors these are */
    float *down, *up;         /* [F]: of down's columns, of up's rows */
} packing;

static const mebi__pack_job *job_of(const mebi__params *p, const mebi__matrix *matrix) {
    for (int i = 0; i < p->jobs; i++)
        if (p->job[i].matrix == matrix) return &p->job[i];
    return NULL;
}

/* The norm's weight [k] that is folded into a matrix, in a block to be freed; NULL if none. */
static mebi_status norm_of(mebi__params *p, const mebi__pack_job *job, float **out) {
    *out = NULL;
    if (!job->norm) return MEBI_OK;
    *out = mebi__alloc_array(MEBI__TAG_GENERAL, (size_t)job->tensor->shape.dim[1], sizeof **out);
    if (!*out) return mebi__fail(p->err, MEBI_NO_MEMORY, "No memory to pack %s.", job->tensor->name);
    (void)mebi__tensor_rows(job->norm, 0, 1, *out);
    return MEBI_OK;
}

/* out[i] *= the sum of squares of row i, or out[i] += those of column i. */
static void multiply_row_squares(const folded_rows *m, float *row, float *out) {
    const int64_t k = m->tensor->shape.dim[1];
    for (int64_t i = 0; i < m->tensor->shape.dim[0]; i++) {
        double sum = 0;
        read_rows(m, i, 1, row);
        for (int64_t j = 0; j < k; j++) sum += (double)row[j] * row[j];
        out[i] *= (float)sum;
    }
}

static void add_column_squares(const folded_rows *m, float *row, float *out) {
    const int64_t k = m->tensor->shape.dim[1];
    for (int64_t i = 0; i < m->tensor->shape.dim[0]; i++) {
        read_rows(m, i, 1, row);
        for (int64_t j = 0; j < k; j++) out[j] += row[j] * row[j];
    }
}

/* From large[i], the squared size that weights give channel i, and read[i], that with which it is read:
 * the power of two nearest to the root of their ratio, 1 for the usual channel. */
static void choose_factors(const float *large, const float *read, int64_t n, float *down, float *up) {
    double mean = 0;
    int64_t counted = 0;
    for (int64_t i = 0; i < n; i++) {
        double ratio = 0.25 * (log2(large[i]) - log2(read[i]));
        if (isfinite(ratio)) mean += ratio, counted++;
    }
    if (counted) mean /= (double)counted;
    for (int64_t i = 0; i < n; i++) {
        double ratio = 0.25 * (log2(large[i]) - log2(read[i])) - mean;
        int power = isfinite(ratio) && fabs(ratio) < 30 ? (int)lrint(ratio) : 0;
        down[i] = ldexpf(1, power);
        up[i] = ldexpf(1, -power);
    }
}

/* The factors of one feed-forward, in c->down and c->up. */
static mebi_status make_factors(packing *c, const mebi__smooth *s) {
    const mebi__pack_job *gate = job_of(c->p, s->gate), *up = job_of(c->p, s->up),
                         *down = job_of(c->p, s->down);
    int64_t n = down->tensor->shape.dim[1], k = up->tensor->shape.dim[1], most = n > k ? n : k;
    float *norm, *large = mebi__alloc_array(MEBI__TAG_GENERAL, (size_t)(2 * n + most), sizeof *large);
    mebi__free(c->down);
    c->made = NULL;
    c->down = mebi__alloc_array(MEBI__TAG_GENERAL, 2 * (size_t)n, sizeof *c->down);
    mebi_status status = norm_of(c->p, up, &norm);
    if (status == MEBI_OK && (!large || !c->down))
        status = mebi__fail(c->p->err, MEBI_NO_MEMORY, "No memory to pack %s.", down->tensor->name);
    if (status == MEBI_OK) {
        float *read = large + n, *row = large + 2 * n;
        c->up = c->down + n;
        for (int64_t i = 0; i < n; i++) large[i] = 1, read[i] = 0;
        multiply_row_squares(&(folded_rows){up->tensor, NULL, norm}, row, large);
        multiply_row_squares(&(folded_rows){gate->tensor, NULL, norm}, row, large);
        add_column_squares(&(folded_rows){down->tensor, NULL, NULL}, row, read);
        choose_factors(large, read, n, c->down, c->up);
        c->made = s;
    }
    mebi__free(norm);
    mebi__free(large);
    return status;
}

/* What smoothing multiplies a matrix's rows (up) or columns (down) by; NULL: nothing. */
static mebi_status smoothing_of(packing *c, const mebi__matrix *matrix, folded_rows *rows) {
    mebi__params *p = c->p;
    for (int i = 0; i < p->smooths; i++) {
        const mebi__smooth *s = &p->smooth[i];
        if (matrix != s->up && matrix != s->down) continue;
        if (!job_of(p, s->gate) || !job_of(p, s->up) || !job_of(p, s->down)) return MEBI_OK;
        if (c->made != s) MEBI_TRY(make_factors(c, s));
        if (matrix == s->up) rows->row = c->up;
        else rows->column = c->down;
    }
    return MEBI_OK;
}

static mebi_status pack_one(packing *c, const mebi__pack_job *job) {
    mebi__params *p = c->p;
    mebi__device *d = p->how.device;
    const mebi__tensor *t = job->tensor;
    folded_rows context = {.tensor = t};
    float *norm;
    MEBI_TRY(norm_of(p, job, &norm));
    mebi_status status = smoothing_of(c, job->matrix, &context);
    if (norm) context.column = norm;
    mebi__rows_source rows = {.n = t->shape.dim[0], .k = t->shape.dim[1], .read = read_rows,
                              .context = &context, .name = t->name};
    if (status == MEBI_OK) status = d->table->pack(d, &rows, c->to + job->offset, p->err);
    mebi__free(norm);
    return status;
}

static mebi_status pack_jobs(packing *c) {
    mebi__params *p = c->p;
    for (int i = 0; i < p->jobs; i++) {
        double done = (double)p->job[i].offset / (double)p->packed_bytes;
        if (p->how.progress && p->how.progress(p->how.context, done))
            return mebi__fail(p->err, MEBI_CANCELLED, "Cancelled while weights were being packed.");
        MEBI_TRY(pack_one(c, &p->job[i]));
    }
    return MEBI_OK;
}

static mebi_status pack_all(mebi__params *p, unsigned char *to) {
    packing c = {.p = p, .to = to};
    mebi_status status = pack_jobs(&c);
    mebi__free(c.down);
    return status;
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

static int uses_cache(const mebi__params *p) {
    return !p->how.cache || *p->how.cache;
}

static mebi_status pack_somewhere(mebi__params *p) {
    mebi_error why = {0};
    if (uses_cache(p)) {
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

static mebi_status have_packed(mebi__params *p, mebi__buffer **out) {
    mebi__device *d = p->how.device;
    MEBI_TRY(pack_somewhere(p));
    const unsigned char *packed = p->packed ? p->packed : p->cache.data;
    return d->table->buffer_import(d, p->tag, packed, p->packed_bytes, out, p->err);
}

/* Where nothing is read, nothing is packed either: it would be the cache's, or in memory of its own. */
static mebi_status imagine_packed(mebi__params *p, mebi__buffer **out) {
    mebi__device *d = p->how.device;
    mebi__cache_entry *c = &p->cache;
    if (!uses_cache(p)) return d->table->buffer_create(d, p->tag, p->packed_bytes, out, p->err);
    if (!mebi__map_nothing(p->packed_bytes, &c->map))
        return mebi__fail(p->err, MEBI_NO_MEMORY, "No addresses for packed weights to plan with.");
    c->data = (unsigned char *)(uintptr_t)c->map.data;
    c->bytes = p->packed_bytes;
    c->ready = 1;
    return d->table->buffer_import(d, p->tag, c->data, p->packed_bytes, out, p->err);
}

mebi_status mebi__params_pack(mebi__params *p) {
    if (p->jobs == 0) return MEBI_OK;
    mebi__buffer *buffer;
    MEBI_TRY(p->how.device->table->imaginary ? imagine_packed(p, &buffer) : have_packed(p, &buffer));
    if (!mebi__params_keep(p, buffer)) return p->status;
    for (int i = 0; i < p->jobs; i++)
        p->job[i].matrix->packed = (mebi__view){.buffer = buffer,
                                                .offset = p->job[i].offset,
                                                .dtype = MEBI__INT8_PANELS,
                                                .shape = p->job[i].tensor->shape};
    return MEBI_OK;
}

/* From tensors in a mapped file to views on a device. Must never trust a tensor's alignment, nor take
 * memory for mapped that isn't: letting that go would empty it. */
#include "model/packing.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

void mebi__params_begin(mebi__params *p, const mebi__loading *how, mebi__tag tag, mebi_error *err) {
    *p = (mebi__params){.how = *how, .tag = tag, .err = err};
}

/* ---- which bytes of which files ---- */

int mebi__params_make_room(mebi__params *p, void **list, int count, int *capacity, size_t size) {
    int wanted = *capacity ? 2 * *capacity : 64;
    if (count < *capacity) return 1;
    void *grown = mebi__realloc_array(MEBI__TAG_GENERAL, *list, (size_t)wanted, size);
    if (!grown) {
        p->status = mebi__fail(p->err, MEBI_NO_MEMORY, "No memory for a model's tensors.");
        return 0;
    }
    *list = grown;
    *capacity = wanted;
    return 1;
}

void mebi__params_begin_layer(mebi__params *p, int alone) {
    p->in_layer = 1;
    p->layers++;
    if (!alone) p->chain_layers = p->layers;
}

/* Nothing will be read: what would be copied need not be made. */
static int is_imaginary(const mebi__params *p) {
    return p->how.device->table->imaginary;
}

static int is_mapped(const mebi__params *p, const void *data, size_t bytes) {
    const uintptr_t at = (uintptr_t)data;
    for (int i = 0; i < mebi__tensors_map_count(p->how.tensors); i++) {
        const mebi__map *map = mebi__tensors_map(p->how.tensors, i);
        const uintptr_t begin = (uintptr_t)map->data;
        if (at >= begin && at - begin <= map->bytes && bytes <= map->bytes - (at - begin)) return 1;
    }
    return 0;
}

static void note_span(mebi__params *p, mebi__param_span span) {
    void *list = p->span;
    if (p->status != MEBI_OK) return;
    if (!mebi__params_make_room(p, &list, p->spans, &p->span_capacity, sizeof span)) return;
    span.layer = p->in_layer ? p->layers - 1 : -1;
    p->span = list;
    p->span[p->spans++] = span;
}

/* A matrix that is used where it lies; one that is nowhere yet counts where nothing is read. */
static void note_plain(mebi__params *p, const void *data, size_t bytes) {
    int mapped = is_mapped(p, data, bytes);
    if (mapped || is_imaginary(p)) note_span(p, (mebi__param_span){.at = mapped ? data : NULL, .bytes = bytes});
}

/* Of one matrix outside the layers at most this much counts: only the encoder's table of tokens has more,
 * and a prompt reads some hundred of its rows, each with its neighbourhood of 64 KiB. */
enum { END_BYTES = 32 << 20 };

static mebi__range range_of(const mebi__params *p, const mebi__param_span *span) {
    const unsigned char *at = span->at;
    if (span->packed && !p->cache.data) return (mebi__range){0}; /* packed into memory of its own */
    if (span->packed) at = p->cache.data + span->offset;
    return mebi__range_of_pages(at, span->bytes);
}

/* Adds to a layer's ranges, or makes the last one longer. */
static void settle_span(mebi__params *p, const mebi__param_span *span, int *ranges) {
    const mebi__range r = range_of(p, span);
    mebi__param_layer *l = span->layer < 0 ? NULL : &p->layer[span->layer];
    mebi__range *last = l && l->count ? &p->range[*ranges - 1] : NULL;
    if (!l) p->end_bytes += r.bytes < END_BYTES ? r.bytes : END_BYTES;
    else if (!r.at) l->bytes += r.bytes;
    else if (last && r.at >= last->at && r.at <= last->at + last->bytes) {
        size_t end = (size_t)(r.at - last->at) + r.bytes, more = end > last->bytes ? end - last->bytes : 0;
        last->bytes += more;
        l->bytes += more;
    } else {
        if (l->count++ == 0) l->first = *ranges;
        p->range[(*ranges)++] = r;
        l->bytes += r.bytes;
    }
}

/* Layers are loaded one after the other, so each one's spans are neighbours in the list. */
static void settle_spans(mebi__params *p) {
    int ranges = 0;
    if (p->status != MEBI_OK || !p->spans) return;
    p->range = mebi__alloc_array(MEBI__TAG_GENERAL, (size_t)p->spans, sizeof *p->range);
    p->layer = mebi__alloc_array(MEBI__TAG_GENERAL, (size_t)p->layers + 1, sizeof *p->layer);
    if (!p->range || !p->layer) {
        p->status = mebi__fail(p->err, MEBI_NO_MEMORY, "No memory for a model's tensors.");
        return;
    }
    for (int i = 0; i < p->spans; i++) settle_span(p, &p->span[i], &ranges);
}

void mebi__params_rest(const mebi__params *p) {
    for (int i = 0; p->how.tensors && i < mebi__tensors_map_count(p->how.tensors); i++)
        mebi__map_rest(mebi__tensors_map(p->how.tensors, i));
    if (p->cache.ready) mebi__map_rest(&p->cache.map);
}

size_t mebi__params_file_bytes(const mebi__params *p) {
    size_t sum = p->end_bytes;
    for (int i = 0; p->layer && i < p->layers; i++) sum += p->layer[i].bytes;
    return sum;
}

size_t mebi__params_cold_bytes(const mebi__params *p) {
    int ranges = 0;
    for (int i = 0; p->layer && i < p->layers; i++) ranges += p->layer[i].count;
    return p->range ? mebi__ranges_cold(p->range, ranges) : 0;
}

size_t mebi__params_window_bytes(const mebi__params *p) {
    size_t most = 0;
    for (int i = 0; p->layer && i < p->layers; i++) {
        size_t two = p->layer[i].bytes;
        if (i < p->chain_layers && p->chain_layers > 1) two += p->layer[(i + 1) % p->chain_layers].bytes;
        if (two > most) most = two;
    }
    return p->end_bytes + most;
}

/* ---- the whole ---- */

mebi_status mebi__params_end(mebi__params *p) {
    if (p->status == MEBI_OK) p->status = mebi__tensors_report(p->how.tensors, p->err);
    if (p->status == MEBI_OK) p->status = mebi__params_pack(p);
    settle_spans(p);
    /* What was copied or packed was read once and will hardly be again. */
    mebi__params_rest(p);
    mebi__free(p->job);
    mebi__free(p->smooth);
    mebi__free(p->span);
    p->job = NULL;
    p->smooth = NULL;
    p->span = NULL;
    p->err = NULL; /* the caller's error need not outlive loading */
    return p->status;
}

void mebi__params_release(mebi__params *p) {
    for (int i = 0; i < p->count; i++) p->how.device->table->buffer_destroy(p->how.device, p->buffer[i]);
    mebi__free(p->buffer);
    mebi__free(p->job);
    mebi__free(p->smooth);
    mebi__free(p->span);
    mebi__free(p->range);
    mebi__free(p->layer);
    mebi__free(p->packed);
    mebi__cache_close(&p->cache);
    *p = (mebi__params){0};
}

int mebi__params_keep(mebi__params *p, mebi__buffer *buffer) {
    if (p->count == p->capacity) {
        int capacity = p->capacity ? 2 * p->capacity : 64;
        mebi__buffer **grown = mebi__realloc_array(MEBI__TAG_GENERAL, p->buffer, (size_t)capacity,
                                                   sizeof *grown);
        if (!grown) {
            p->how.device->table->buffer_destroy(p->how.device, buffer);
            p->status = mebi__fail(p->err, MEBI_NO_MEMORY, "No memory for a model's tensors.");
            return 0;
        }
        p->buffer = grown;
        p->capacity = capacity;
    }
    p->buffer[p->count++] = buffer;
    return 1;
}

/* A buffer of its own, filled with bytes that are copied before this returns. host may be NULL on an imaginary
 * device. */
static mebi__view place(mebi__params *p, const mebi__shape *shape, mebi__dtype type,
                        const void *host, size_t bytes) {
    mebi__view v = {.dtype = type, .shape = *shape};
    mebi__buffer *buffer;
    p->status = p->how.device->table->buffer_create(p->how.device, p->tag, bytes, &buffer, p->err);
    if (p->status != MEBI_OK || !mebi__params_keep(p, buffer)) return v;
    v.buffer = buffer;
    p->status = p->how.device->table->upload(p->how.device, v, host, p->err);
    return v;
}

static mebi__view use_in_place(mebi__params *p, const mebi__tensor *t, size_t bytes) {
    mebi__view v = {.dtype = t->dtype, .shape = t->shape};
    mebi__buffer *buffer;
    p->status =
        p->how.device->table->buffer_import(p->how.device, p->tag, t->data, bytes, &buffer, p->err);
    if (p->status == MEBI_OK && mebi__params_keep(p, buffer)) v.buffer = buffer;
    return v;
}

/* All elements as f32, scales applied, in a host block to be freed. */
static float *as_f32(mebi__params *p, const mebi__tensor *t, size_t count) {
    float *host = mebi__alloc_array(MEBI__TAG_GENERAL, count, sizeof *host);
    if (host) (void)mebi__tensor_rows(t, 0, mebi__tensor_row_count(t), host);
    else p->status = mebi__fail(p->err, MEBI_NO_MEMORY, "No memory to load %s.", t->name);
    return host;
}

enum { NAME_BYTES = 256 };

/* The tensor of that name and shape, or NULL: missing, wrong or after an error. */
__attribute__((format(printf, 4, 0))) static const mebi__tensor *
want(mebi__params *p, int rank, const int64_t *dim, const char *name, va_list args) {
    char full[NAME_BYTES];
    vsnprintf(full, sizeof full, name, args);
    return p->status == MEBI_OK ? mebi__tensors_want(p->how.tensors, rank, dim, "%s", full) : NULL;
}

/* A matrix with a scale for each row: products know one scale a matrix, so it becomes bf16, row by row,
 * in memory of its own. */
static mebi__view place_scaled(mebi__params *p, const mebi__tensor *t) {
    mebi__view v = {0};
    size_t rows = (size_t)t->shape.dim[0], k = (size_t)t->shape.dim[1];
    if (is_imaginary(p)) return place(p, &t->shape, MEBI__BF16, NULL, rows * k * sizeof(uint16_t));
    float *row = mebi__alloc_array(MEBI__TAG_GENERAL, k, sizeof *row);
    uint16_t *host = mebi__alloc_array(p->tag, rows * k, sizeof *host);
    for (size_t r = 0; row && host && r < rows; r++) {
        (void)mebi__tensor_rows(t, (int64_t)r, 1, row);
        for (size_t i = 0; i < k; i++) host[r * k + i] = mebi__f32_to_bf16(row[i]);
    }
    if (row && host) v = place(p, &t->shape, MEBI__BF16, host, rows * k * sizeof *host);
    else p->status = mebi__fail(p->err, MEBI_NO_MEMORY, "No memory to load %s.", t->name);
    mebi__free(host);
    mebi__free(row);
    return v;
}

/* read: a job reads it, or else only a step that is done again. */
static mebi__view plain_matrix(mebi__params *p, const mebi__tensor *t, int read) {
    mebi__view v = {0};
    size_t bytes;
    if (!t || !mebi__shape_bytes(&t->shape, t->dtype, &bytes)) return v;
    if (t->scales > 1) return place_scaled(p, t);
    if ((uintptr_t)t->data % mebi__dtype_alignment(t->dtype) == 0) {
        v = use_in_place(p, t, bytes);
        if (read) note_plain(p, t->data, bytes);
    } else v = place(p, &t->shape, t->dtype, t->data, bytes);
    if (t->scales) v.scale = t->scale[0];
    return v;
}

mebi__view mebi__param_matrix(mebi__params *p, int64_t rows, int64_t columns, const char *name, ...) {
    va_list args;
    va_start(args, name);
    const mebi__tensor *t = want(p, 2, (int64_t[]){rows, columns}, name, args);
    va_end(args);
    return plain_matrix(p, t, 1);
}

void mebi__param_product(mebi__params *p, mebi__matrix *out, int64_t rows, int64_t columns,
                         const char *name, ...) {
    va_list args;
    va_start(args, name);
    const mebi__tensor *t = want(p, 2, (int64_t[]){rows, columns}, name, args);
    va_end(args);
    int packs = t && p->how.precision == MEBI__PRECISION_INT8 && mebi__params_pack_later(p, out, t);
    *out = (mebi__matrix){.plain = plain_matrix(p, t, !packs)};
    const mebi__pack_job *job = packs ? &p->job[p->jobs - 1] : NULL;
    if (job) note_span(p, (mebi__param_span){.packed = 1, .offset = job->offset, .bytes = job->bytes});
}

void mebi__param_fold(mebi__params *p, const mebi__matrix *matrix, const char *norm, ...) {
    char full[NAME_BYTES];
    va_list args;
    va_start(args, norm);
    vsnprintf(full, sizeof full, norm, args);
    va_end(args);
    for (int i = p->jobs - 1; i >= 0; i--)
        if (p->job[i].matrix == matrix) {
            p->job[i].norm = mebi__tensors_find(p->how.tensors, full);
            return;
        }
}

mebi__view mebi__param_ones(mebi__params *p, int64_t n) {
    mebi__view v = {0};
    mebi__shape shape = {1, {n}};
    size_t bytes = (size_t)n * sizeof(float);
    if (p->status == MEBI_OK && is_imaginary(p)) return place(p, &shape, MEBI__F32, NULL, bytes);
    float *ones = p->status == MEBI_OK ? mebi__alloc_array(p->tag, (size_t)n, sizeof *ones) : NULL;
    for (int64_t i = 0; ones && i < n; i++) ones[i] = 1;
    if (ones) v = place(p, &shape, MEBI__F32, ones, bytes);
    else if (p->status == MEBI_OK)
        p->status = mebi__fail(p->err, MEBI_NO_MEMORY, "No memory for a model's tensors.");
    mebi__free(ones);
    return v;
}

/* Biases and norms are looked through when they are loaded: they are small. */
static int all_finite(mebi__params *p, const mebi__tensor *t, const float *host, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(host[i])) {
            p->status = mebi__fail(p->err, MEBI_BAD_FILE,
                                   "The tensor %s holds a value that is not a number (element %lld of "
                                   "%lld): the file is damaged; get it again.",
                                   t->name, (long long)i, (long long)n);
            return 0;
        }
    return 1;
}

mebi__view mebi__param_vector(mebi__params *p, int64_t n, const char *name, ...) {
    mebi__view v = {0};
    char full[NAME_BYTES];
    va_list args;
    va_start(args, name);
    vsnprintf(full, sizeof full, name, args);
    va_end(args);
    if (p->status != MEBI_OK) return v;
    const mebi__tensor *found = mebi__tensors_find(p->how.tensors, full);
    int64_t row[2] = {1, n};
    int is_row = found && found->shape.rank == 2 && found->shape.dim[0] == 1;
    const mebi__tensor *t =
        mebi__tensors_want(p->how.tensors, is_row ? 2 : 1, is_row ? row : &n, "%s", full);
    mebi__shape shape = {1, {n}};
    size_t bytes = (size_t)n * sizeof(float);
    if (t && is_imaginary(p)) return place(p, &shape, MEBI__F32, NULL, bytes);
    float *host = t ? as_f32(p, t, (size_t)n) : NULL;
    if (host && all_finite(p, t, host, n)) v = place(p, &shape, MEBI__F32, host, bytes);
    mebi__free(host);
    return v;
}

/* to[o][y][x][i] = from[o][i][y][x], elements of `size` bytes, area = kh * kw. */
static void channels_last(const unsigned char *from, unsigned char *to, size_t out, size_t in,
                          size_t area, size_t size) {
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t a = 0; a < area; a++)
                memcpy(to + ((o * area + a) * in + i) * size, from + ((o * in + i) * area + a) * size,
                       size);
}

mebi__view mebi__param_conv(mebi__params *p, int64_t out, int64_t in, int64_t size,
                            const char *name, ...) {
    mebi__view v = {0};
    va_list args;
    va_start(args, name);
    const mebi__tensor *t = want(p, 4, (int64_t[]){out, in, size, size}, name, args);
    va_end(args);
    size_t count;
    if (!t || !mebi__shape_elements(&t->shape, &count)) return v;
    int direct = (t->dtype == MEBI__F32 || t->dtype == MEBI__BF16) && !t->scales;
    mebi__dtype type = direct ? t->dtype : MEBI__F32;
    size_t element = mebi__dtype_bytes(type);
    mebi__shape shape = {.rank = 4, .dim = {out, size, size, in}};
    if (is_imaginary(p)) return place(p, &shape, type, NULL, count * element);
    float *wide = direct ? NULL : as_f32(p, t, count);
    unsigned char *turned =
        p->status == MEBI_OK ? mebi__alloc_array(MEBI__TAG_GENERAL, count, element) : NULL;
    if (turned) {
        channels_last(wide ? (const void *)wide : t->data, turned, (size_t)out, (size_t)in,
                      (size_t)(size * size), element);
        v = place(p, &shape, type, turned, count * element);
    } else if (p->status == MEBI_OK)
        p->status = mebi__fail(p->err, MEBI_NO_MEMORY, "No memory to load %s.", t->name);
    mebi__free(turned);
    mebi__free(wide);
    return v;
}

/* The dry device: records nothing, counts everything. Must never touch tensor memory: its buffers
 * have a size and no bytes. */
#include "compute/dry.h"

#include <string.h>

typedef struct dry_device {
    mebi__device head;
    mebi__device *target;
    mebi__dry_report report;
    mebi__dry_clock clock;
    void *context;
    size_t held[MEBI__TAG_COUNT];
} dry_device;

typedef struct dry_buffer {
    mebi__buffer head;
    mebi__tag tag;
    size_t held; /* counted on the device; 0: imported */
} dry_buffer;

static mebi_status new_buffer(dry_device *d, mebi__tag tag, size_t bytes, size_t held,
                              mebi__buffer **out, mebi_error *err) {
    dry_buffer *b = mebi__alloc(MEBI__TAG_GENERAL, sizeof *b);
    *out = NULL;
    if (!b) return mebi__fail(err, MEBI_NO_MEMORY, "No memory to plan with.");
    *b = (dry_buffer){.head = {.bytes = bytes}, .tag = tag, .held = held};
    d->held[tag] += held;
    *out = &b->head;
    return MEBI_OK;
}

static size_t memory_available(mebi__device *d) {
    mebi__device *target = ((dry_device *)d)->target;
    return target->table->memory_available(target);
}

static mebi_status create_buffer(mebi__device *d, mebi__tag tag, size_t bytes, mebi__buffer **out,
                                 mebi_error *err) {
    return new_buffer((dry_device *)d, tag, bytes, mebi__memory_block(bytes), out, err);
}

static mebi_status import_buffer(mebi__device *d, mebi__tag tag, const void *host, size_t bytes,
                                 mebi__buffer **out, mebi_error *err) {
    (void)host;
    return new_buffer((dry_device *)d, tag, bytes, 0, out, err);
}

static void destroy_buffer(mebi__device *d, mebi__buffer *buffer) {
    dry_buffer *b = (dry_buffer *)buffer;
    if (b) ((dry_device *)d)->held[b->tag] -= b->held;
    mebi__free(b);
}

static size_t scratch_bytes(mebi__device *d, const mebi__op *op) {
    mebi__device *target = ((dry_device *)d)->target;
    return target->table->scratch_bytes(target, op);
}

static mebi_status reserve(mebi__device *d, size_t bytes, mebi_error *err) {
    (void)d, (void)bytes, (void)err;
    return MEBI_OK;
}

static void count_seconds(dry_device *d, const mebi__op *op) {
    if (d->clock) d->report.seconds += d->clock(d->context, op);
}

static mebi_status record(mebi__device *d, const mebi__op *op, mebi_error *err) {
    (void)err;
    mebi__dry_report *r = &((dry_device *)d)->report;
    double operations, bytes;
    mebi__op_cost(op, &operations, &bytes);
    r->calls[op->kind]++;
    r->operations[op->kind] += operations;
    r->bytes[op->kind] += bytes;
    size_t scratch = scratch_bytes(d, op);
    if (scratch > r->scratch_bytes) r->scratch_bytes = scratch;
    count_seconds((dry_device *)d, op);
    return MEBI_OK;
}

static mebi_status upload(mebi__device *d, mebi__view to, const void *from, mebi_error *err) {
    (void)from, (void)err;
    count_seconds((dry_device *)d, &(mebi__op){.kind = MEBI__OP_COPY, .x = to, .y = to});
    return MEBI_OK;
}

static mebi_status download(mebi__device *d, mebi__view from, void *to, mebi_error *err) {
    (void)to, (void)err;
    count_seconds((dry_device *)d, &(mebi__op){.kind = MEBI__OP_COPY, .x = from, .y = from});
    return MEBI_OK;
}

static mebi_status nothing_to_do(mebi__device *d, mebi_error *err) {
    (void)d, (void)err;
    return MEBI_OK;
}

static mebi_status pack(mebi__device *d, const mebi__rows_source *w, unsigned char *to,
                        mebi_error *err) {
    (void)d, (void)w, (void)to;
    return mebi__fail(err, MEBI_INTERNAL, "A dry device has nothing to pack.");
}

static void destroy(mebi__device *d) {
    mebi__free(d);
}

static const mebi__device_table table = {
    .name = "dry",
    .imaginary = 1,
    .memory_available = memory_available,
    .buffer_create = create_buffer,
    .buffer_import = import_buffer,
    .buffer_destroy = destroy_buffer,
    .scratch_bytes = scratch_bytes,
    .scratch_reserve = reserve,
    .record = record,
    .upload = upload,
    .download = download,
    .submit = nothing_to_do,
    .wait = nothing_to_do,
    .pack = pack,
    .destroy = destroy,
};

mebi_status mebi__dry_create(mebi__device *target, mebi__device **out, mebi_error *err) {
    dry_device *d = mebi__alloc(MEBI__TAG_GENERAL, sizeof *d);
    *out = NULL;
    if (!d) return mebi__fail(err, MEBI_NO_MEMORY, "No memory to plan with.");
    d->head.table = &table;
    d->target = target;
    *out = &d->head;
    return MEBI_OK;
}

const mebi__dry_report *mebi__dry_report_of(const mebi__device *dry) {
    return &((const dry_device *)dry)->report;
}

void mebi__dry_set_clock(mebi__device *dry, mebi__dry_clock clock, void *context) {
    dry_device *d = (dry_device *)dry;
    d->clock = clock;
    d->context = context;
}

void mebi__dry_reset(mebi__device *dry) {
    memset(&((dry_device *)dry)->report, 0, sizeof(mebi__dry_report));
}

size_t mebi__dry_held(const mebi__device *dry, mebi__tag tag) {
    return ((const dry_device *)dry)->held[tag];
}

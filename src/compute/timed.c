/* The timing device. Must never compute, nor hold memory of its own: all is the target's. */
#include "compute/timed.h"

#include "base/os.h"

#include <string.h>

typedef struct timed_device {
    mebi__device head;
    mebi__device *target;
    int bf16;
    mebi__timed_report report;
    mebi__timed_after after;
    void *context;
} timed_device;

static mebi__device *target_of(mebi__device *d) {
    return ((timed_device *)d)->target;
}

static size_t memory_available(mebi__device *d) {
    return target_of(d)->table->memory_available(target_of(d));
}

static mebi_status create_buffer(mebi__device *d, mebi__tag tag, size_t bytes, mebi__buffer **out,
                                 mebi_error *err) {
    return target_of(d)->table->buffer_create(target_of(d), tag, bytes, out, err);
}

static mebi_status import_buffer(mebi__device *d, mebi__tag tag, const void *host, size_t bytes,
                                 mebi__buffer **out, mebi_error *err) {
    return target_of(d)->table->buffer_import(target_of(d), tag, host, bytes, out, err);
}

static void destroy_buffer(mebi__device *d, mebi__buffer *buffer) {
    target_of(d)->table->buffer_destroy(target_of(d), buffer);
}

static size_t scratch_bytes(mebi__device *d, const mebi__op *op) {
    return target_of(d)->table->scratch_bytes(target_of(d), op);
}

static mebi_status reserve(mebi__device *d, size_t bytes, mebi_error *err) {
    return target_of(d)->table->scratch_reserve(target_of(d), bytes, err);
}

static mebi__arithmetic arithmetic_of(const timed_device *d, const mebi__op *op) {
    if (op->kind == MEBI__OP_LINEAR_INT8) return MEBI__ARITHMETIC_INT8;
    int product = op->kind == MEBI__OP_LINEAR || op->kind == MEBI__OP_CONV2D;
    int can_be = op->kind == MEBI__OP_ATTENTION || (product && op->w.dtype == MEBI__BF16);
    return d->bf16 && can_be ? MEBI__ARITHMETIC_BF16 : MEBI__ARITHMETIC_F32;
}

static double weight_bytes(const mebi__op *op) {
    int product = op->kind == MEBI__OP_LINEAR || op->kind == MEBI__OP_LINEAR_INT8 ||
                  op->kind == MEBI__OP_CONV2D;
    return product ? (double)mebi__view_bytes(&op->w) : 0;
}

static mebi_status record(mebi__device *device, const mebi__op *op, mebi_error *err) {
    timed_device *d = (timed_device *)device;
    const mebi__device_table *table = d->target->table;
    mebi__timed_sum *sum = &d->report.of[op->kind][arithmetic_of(d, op)];
    double operations, bytes;
    mebi__op_cost(op, &operations, &bytes);
    double since = mebi__now_seconds();
    MEBI_TRY(table->record(d->target, op, err));
    MEBI_TRY(table->submit(d->target, err));
    MEBI_TRY(table->wait(d->target, err));
    double seconds = mebi__now_seconds() - since;
    sum->seconds += seconds;
    sum->operations += operations;
    sum->bytes += bytes;
    sum->weights += weight_bytes(op);
    sum->calls++;
    if (d->after) d->after(d->context, seconds);
    return MEBI_OK;
}

static mebi_status upload(mebi__device *d, mebi__view to, const void *from, mebi_error *err) {
    return target_of(d)->table->upload(target_of(d), to, from, err);
}

static mebi_status download(mebi__device *d, mebi__view from, void *to, mebi_error *err) {
    return target_of(d)->table->download(target_of(d), from, to, err);
}

static mebi_status submit(mebi__device *d, mebi_error *err) {
    return target_of(d)->table->submit(target_of(d), err);
}

static mebi_status wait_all(mebi__device *d, mebi_error *err) {
    return target_of(d)->table->wait(target_of(d), err);
}

static mebi_status pack(mebi__device *d, const mebi__rows_source *w, unsigned char *to,
                        mebi_error *err) {
    return target_of(d)->table->pack(target_of(d), w, to, err);
}

static void destroy(mebi__device *d) {
    mebi__free(d);
}

static const mebi__device_table table = {
    .name = "timed",
    .memory_available = memory_available,
    .buffer_create = create_buffer,
    .buffer_import = import_buffer,
    .buffer_destroy = destroy_buffer,
    .scratch_bytes = scratch_bytes,
    .scratch_reserve = reserve,
    .record = record,
    .upload = upload,
    .download = download,
    .submit = submit,
    .wait = wait_all,
    .pack = pack,
    .destroy = destroy,
};

mebi_status mebi__timed_create(mebi__device *target, int bf16, mebi__device **out,
                               mebi_error *err) {
    timed_device *d = mebi__alloc(MEBI__TAG_GENERAL, sizeof *d);
    *out = NULL;
    if (!d) return mebi__fail(err, MEBI_NO_MEMORY, "No memory to keep times in.");
    d->head.table = &table;
    d->target = target;
    d->bf16 = bf16;
    *out = &d->head;
    return MEBI_OK;
}

const mebi__timed_report *mebi__timed_report_of(const mebi__device *timed) {
    return &((const timed_device *)timed)->report;
}

void mebi__timed_reset(mebi__device *timed) {
    memset(&((timed_device *)timed)->report, 0, sizeof(mebi__timed_report));
}

void mebi__timed_set_after(mebi__device *timed, mebi__timed_after after, void *context) {
    timed_device *d = (timed_device *)timed;
    d->after = after;
    d->context = context;
}

const char *mebi__arithmetic_name(mebi__arithmetic arithmetic) {
    static const char *const names[] = {"int8", "bf16", "f32"};
    return names[arithmetic];
}

mebi__timed_sum mebi__timed_total(const mebi__timed_report *r) {
    mebi__timed_sum all = {0};
    for (int k = 0; k < MEBI__OP_COUNT; k++)
        for (int a = 0; a < MEBI__ARITHMETIC_COUNT; a++) {
            const mebi__timed_sum *one = &r->of[k][a];
            all.calls += one->calls;
            all.seconds += one->seconds;
            all.operations += one->operations;
            all.bytes += one->bytes;
            all.weights += one->weights;
        }
    return all;
}

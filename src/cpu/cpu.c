/* The CPU device: buffers in host memory, operations run on the pool.
 *
 * Operations are collected and run at submit, or earlier when the list is full or a transfer needs
 * their results. Running never allocates: call scratch is reserved before, and an operation that
 * would need more is refused when it is recorded. */
#include "cpu/cpu.h"

#include "base/os.h"
#include "cpu/detect.h"
#include "cpu/int8.h"
#include "cpu/kernels.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { PENDING = 64 };

typedef struct cpu_buffer {
    mebi__buffer head;
    unsigned char *data;
    int owned;
} cpu_buffer;

typedef struct cpu_device {
    mebi__device head;
    mebi__pool *pool;
    mebi__cpu_kernels kernels;
    unsigned char *scratch;
    size_t scratch_bytes;
    int pending;
    mebi__op op[PENDING];
} cpu_device;

static const char *const level_names[] = {"ref", "avx2", "avx512"};

const char *mebi__cpu_level_name(mebi__cpu_level level) {
    return level_names[level];
}

static mebi__cpu_level machine_level(void) {
    return mebi__cpu_detect().level;
}

const char *mebi__cpu_describe(mebi__cpu_level level) {
    static const char *const with_avx512[] = {"avx512", "avx512 vnni", "avx512 bf16",
                                              "avx512 vnni bf16"};
    mebi__cpu_machine m = mebi__cpu_detect();
    if (level == MEBI__CPU_AVX512) return with_avx512[(m.avx512_vnni != 0) + 2 * (m.avx512_bf16 != 0)];
    if (level == MEBI__CPU_AVX2 && m.avx_vnni) return "avx2 vnni";
    return level_names[level];
}

mebi_status mebi__cpu_choose(mebi__cpu_level *level, mebi_error *err) {
    const char *asked = getenv("MEBI_CPU");
    *level = machine_level();
    if (!asked || !*asked) return MEBI_OK;
    for (int i = 0; i <= MEBI__CPU_AVX512; i++) {
        if (strcmp(asked, level_names[i]) != 0) continue;
        if (i > (int)*level)
            return mebi__fail(err, MEBI_BAD_ARGUMENT,
                              "The environment's MEBI_CPU asks for %s and this machine has %s at "
                              "most. Unset it.",
                              asked, level_names[*level]);
        *level = (mebi__cpu_level)i;
        return MEBI_OK;
    }
    return mebi__fail(err, MEBI_BAD_ARGUMENT,
                      "The environment's MEBI_CPU is '%.60s'; ref, avx2 and avx512 are known. Unset "
                      "it to take the best.",
                      asked);
}

void *mebi__cpu_data(mebi__view view) {
    return ((cpu_buffer *)view.buffer)->data + view.offset;
}

static void run_pending(cpu_device *d) {
    for (int i = 0; i < d->pending; i++) {
        mebi__cpu_call call = {.op = &d->op[i], .pool = d->pool, .scratch = d->scratch};
        d->kernels.run[d->op[i].kind](&call);
    }
    d->pending = 0;
}

/* A job's memory is touched when it is taken: the system's refusal comes now, not in the middle. What
 * is undefined by contract is made of NaN, so that reading it shows. */
static void *taken(mebi__tag tag, size_t bytes) {
    void *block = mebi__alloc(tag, bytes);
    int touched = tag != MEBI__TAG_ACTIVATIONS && tag != MEBI__TAG_SCRATCH;
    if (!block || touched || mebi__memory_touch(block, bytes)) return block;
    mebi__free(block);
    return NULL;
}

static mebi_status new_buffer(mebi__tag tag, const void *host, size_t bytes, mebi__buffer **out,
                              mebi_error *err) {
    cpu_buffer *b = mebi__alloc(MEBI__TAG_GENERAL, sizeof *b);
    *out = NULL;
    if (b) {
        b->head.bytes = bytes;
        b->owned = !host;
        /* Imported memory is only ever read: it is never an output. */
        b->data = host ? (unsigned char *)(uintptr_t)host : taken(tag, bytes);
    }
    if (!b || !b->data) {
        mebi__free(b);
        return mebi__fail(err, MEBI_NO_MEMORY,
                          "%zu bytes for %s can't be had; choose a smaller picture or free memory.",
                          bytes, mebi__tag_name(tag));
    }
    *out = &b->head;
    return MEBI_OK;
}

static size_t memory_available(mebi__device *d) {
    (void)d;
    return mebi__memory_available();
}

static mebi_status create_buffer(mebi__device *d, mebi__tag tag, size_t bytes, mebi__buffer **out,
                                 mebi_error *err) {
    (void)d;
    return new_buffer(tag, NULL, bytes, out, err);
}

static mebi_status import_buffer(mebi__device *d, mebi__tag tag, const void *host, size_t bytes,
                                 mebi__buffer **out, mebi_error *err) {
    (void)d;
    *out = NULL;
    /* Elements are read where they are; which type they have, and so their alignment, is known to
     * the caller. The narrowest weight is 2 bytes. */
    if (!host || (uintptr_t)host % sizeof(uint16_t) != 0)
        return mebi__fail(err, MEBI_INTERNAL,
                          "Memory to be used in place for %s must begin at an even address.",
                          mebi__tag_name(tag));
    return new_buffer(tag, host, bytes, out, err);
}

static void destroy_buffer(mebi__device *device, mebi__buffer *buffer) {
    cpu_buffer *b = (cpu_buffer *)buffer;
    if (!b) return;
    run_pending((cpu_device *)device); /* what was recorded may still use it */
    if (b->owned) mebi__free(b->data);
    mebi__free(b);
}

static size_t scratch_bytes(mebi__device *device, const mebi__op *op) {
    cpu_device *d = (cpu_device *)device;
    mebi__cpu_scratch ask = d->kernels.scratch[op->kind];
    return ask ? ask(op, mebi__pool_threads(d->pool)) : 0;
}

static mebi_status reserve_scratch(mebi__device *device, size_t bytes, mebi_error *err) {
    cpu_device *d = (cpu_device *)device;
    if (bytes <= d->scratch_bytes) return MEBI_OK;
    run_pending(d);
    /* The old block goes first: both at once would be a peak that no plan knows. */
    mebi__free(d->scratch);
    d->scratch_bytes = 0;
    d->scratch = taken(MEBI__TAG_SCRATCH, bytes);
    if (!d->scratch)
        return mebi__fail(err, MEBI_NO_MEMORY,
                          "%zu bytes of scratch can't be had; choose a smaller picture or fewer "
                          "threads.",
                          bytes);
    d->scratch_bytes = bytes;
    return MEBI_OK;
}

static mebi_status record(mebi__device *device, const mebi__op *op, mebi_error *err) {
    cpu_device *d = (cpu_device *)device;
    size_t need = scratch_bytes(device, op);
    if (need > d->scratch_bytes)
        return mebi__fail(err, MEBI_INTERNAL,
                          "Operation %s needs %zu bytes of scratch and %zu are reserved; reserve "
                          "what a dry run reports before work starts.",
                          mebi__op_name(op->kind), need, d->scratch_bytes);
    if (d->pending == PENDING) run_pending(d);
    d->op[d->pending++] = *op;
    return MEBI_OK;
}

static mebi_status upload(mebi__device *device, mebi__view to, const void *from, mebi_error *err) {
    (void)err;
    run_pending((cpu_device *)device);
    memcpy(mebi__cpu_data(to), from, mebi__view_bytes(&to));
    return MEBI_OK;
}

static mebi_status download(mebi__device *device, mebi__view from, void *to, mebi_error *err) {
    (void)err;
    run_pending((cpu_device *)device);
    memcpy(to, mebi__cpu_data(from), mebi__view_bytes(&from));
    return MEBI_OK;
}

static mebi_status submit(mebi__device *device, mebi_error *err) {
    (void)err;
    run_pending((cpu_device *)device);
    return MEBI_OK;
}

/* After an error of the stream work may be left that was recorded and not submitted: it is run too,
 * so that nothing refers to tensors after a wait. */
static mebi_status wait_all(mebi__device *device, mebi_error *err) {
    return submit(device, err);
}

static mebi_status pack(mebi__device *device, const mebi__rows_source *w, unsigned char *to,
                        mebi_error *err) {
    return mebi__int8_pack(w, ((cpu_device *)device)->pool, to, err);
}

static void destroy(mebi__device *device) {
    cpu_device *d = (cpu_device *)device;
    assert(d->pending ==
           0); /* the buffers are gone, and with the first of them all work was done */
    mebi__free(d->scratch);
    mebi__free(d);
}

static const mebi__device_table device_table = {
    .name = "cpu",
    .memory_available = memory_available,
    .buffer_create = create_buffer,
    .buffer_import = import_buffer,
    .buffer_destroy = destroy_buffer,
    .scratch_bytes = scratch_bytes,
    .scratch_reserve = reserve_scratch,
    .record = record,
    .upload = upload,
    .download = download,
    .submit = submit,
    .wait = wait_all,
    .pack = pack,
    .destroy = destroy,
};

static void init_kernels(const mebi__cpu_options *options, mebi__cpu_kernels *table) {
    mebi__cpu_init_ref(table);
#if defined(__x86_64__)
    const mebi__cpu_machine m = mebi__cpu_detect();
    if (options->level >= MEBI__CPU_AVX2) {
        mebi__cpu_init_pointwise_avx2(table);
        mebi__cpu_init_gemm_avx2(table);
        mebi__cpu_init_attention_avx2(table);
        mebi__cpu_init_int8_avx2(table, m.avx_vnni);
    }
    if (options->level >= MEBI__CPU_AVX512) {
        const int bf16 = options->bf16_products && m.avx512_bf16;
        mebi__cpu_init_gemm_avx512(table, bf16);
        mebi__cpu_init_attention_avx512(table, bf16);
        mebi__cpu_init_int8_avx512(table, m.avx512_vnni);
    }
#else
    (void)options;
#endif
}

mebi_status mebi__cpu_create(mebi__cpu_level level, mebi__pool *pool, mebi__device **out,
                             mebi_error *err) {
    mebi__cpu_options options = {.level = level};
    return mebi__cpu_create_with(&options, pool, out, err);
}

mebi_status mebi__cpu_create_with(const mebi__cpu_options *options, mebi__pool *pool,
                                  mebi__device **out, mebi_error *err) {
    const mebi__cpu_level level = options->level;
    *out = NULL;
    assert(pool);
    if ((int)level < 0 || level > machine_level())
        return mebi__fail(err, MEBI_UNSUPPORTED,
                          "CPU level %s is asked for and this machine has %s; set MEBI_CPU=%s or "
                          "leave it unset.",
                          (unsigned)level <= MEBI__CPU_AVX512 ? level_names[level] : "(unknown)",
                          level_names[machine_level()], level_names[machine_level()]);
    cpu_device *d = mebi__alloc(MEBI__TAG_GENERAL, sizeof *d);
    if (!d) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the CPU device.");
    d->head.table = &device_table;
    d->pool = pool;
    init_kernels(options, &d->kernels);
    *out = &d->head;
    return MEBI_OK;
}

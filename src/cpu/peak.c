/* Measures the machine's peaks. Must never be limited by anything but the units that multiply: what it
 * finds is the yardstick. */
#include "cpu/peak.h"

#include "base/memory.h"
#include "base/os.h"

#include <string.h>

enum {
    SHARES = 8,           /* tasks a thread, so that one that is held up gives work away */
    BLOCKS = 6,           /* timed one by one; the best counts */
    LANES = 32,           /* of the plain loops */
    READ_BLOCK = 1 << 20, /* bytes a task reads */
};
static const double block_seconds = 0.03, glimpse_seconds = 0.004;
static const size_t read_bytes = (size_t)512 << 20;

/* ---- plain C ---- */

static void f32_ref(long rounds) {
    float sum[LANES], a = 0.999f;
    for (int i = 0; i < LANES; i++) sum[i] = (float)i;
    for (long r = 0; r < rounds; r++) {
        for (int i = 0; i < LANES; i++) sum[i] = sum[i] * a + 1e-3f;
        __asm__ volatile("" : "+m"(a));
    }
    for (int i = 1; i < LANES; i++) sum[0] += sum[i];
    volatile float sink = sum[0];
    (void)sink;
}

static void int8_ref(long rounds) {
    int32_t sum[LANES] = {0};
    int8_t a[LANES], b = 3;
    for (int i = 0; i < LANES; i++) a[i] = (int8_t)i;
    for (long r = 0; r < rounds; r++) {
        for (int i = 0; i < LANES; i++) sum[i] += a[i] * b;
        b = (int8_t)-b; /* the sums stay small */
        __asm__ volatile("" : "+m"(b));
    }
    for (int i = 1; i < LANES; i++) sum[0] += sum[i];
    volatile int32_t sink = sum[0];
    (void)sink;
}

static void read_ref(const unsigned char *from, size_t bytes) {
    uint64_t sum = 0, word;
    for (size_t i = 0; i < bytes; i += sizeof word) {
        memcpy(&word, from + i, sizeof word);
        sum += word;
    }
    volatile uint64_t sink = sum;
    (void)sink;
}

static mebi__peak_loops loops_of(mebi__cpu_level level) {
    mebi__peak_loops loops = {
        .int8 = {int8_ref, 2 * LANES}, .f32 = {f32_ref, 2 * LANES}, .read = read_ref};
#if defined(__x86_64__)
    if (level >= MEBI__CPU_AVX2) mebi__peak_loops_avx2(&loops);
    if (level >= MEBI__CPU_AVX512) mebi__peak_loops_avx512(&loops);
#else
    (void)level;
#endif
    return loops;
}

/* ---- timing ---- */

typedef struct block {
    const mebi__peak_loop *loop;
    long rounds;
} block;

static void run_share(void *context, int task, int thread) {
    const block *b = context;
    (void)task, (void)thread;
    b->loop->run(b->rounds);
}

static double time_block(mebi__pool *pool, block *b) {
    double since = mebi__now_seconds();
    mebi__pool_run(pool, SHARES * mebi__pool_threads(pool), run_share, b);
    return mebi__now_seconds() - since;
}

static double operations_of(const mebi__pool *pool, const block *b) {
    return b->loop->operations * (double)b->rounds * SHARES * mebi__pool_threads(pool);
}

static double rate(mebi__pool *pool, const mebi__peak_loop *loop) {
    block b = {loop, 1000};
    double best = 0, seconds;
    while ((seconds = time_block(pool, &b)) < block_seconds / 4) b.rounds *= 2;
    b.rounds = (long)((double)b.rounds * block_seconds / seconds) + 1;
    for (int i = 0; i < BLOCKS; i++) {
        double now = operations_of(pool, &b) / time_block(pool, &b);
        if (now > best) best = now;
    }
    return best;
}

static void keep_larger(double *kept, double found) {
    if (found > *kept) *kept = found;
}

void mebi__peak_sample(mebi__cpu_level level, mebi__pool *pool, mebi__peaks *peaks) {
    mebi__peak_loops loops = loops_of(level);
    keep_larger(&peaks->int8, rate(pool, &loops.int8));
    keep_larger(&peaks->f32, rate(pool, &loops.f32));
    if (loops.bf16.run) keep_larger(&peaks->bf16, rate(pool, &loops.bf16));
    else peaks->bf16 = peaks->f32;
}

static double glimpse(mebi__pool *pool, const mebi__peak_loop *loop, double known) {
    block b = {loop, 1};
    b.rounds += (long)(known * glimpse_seconds / operations_of(pool, &b));
    return operations_of(pool, &b) / time_block(pool, &b);
}

mebi__peaks mebi__peak_glimpse(mebi__cpu_level level, mebi__pool *pool, const mebi__peaks *known) {
    mebi__peak_loops loops = loops_of(level);
    mebi__peaks now = {.read = known->read};
    now.int8 = glimpse(pool, &loops.int8, known->int8);
    now.f32 = glimpse(pool, &loops.f32, known->f32);
    now.bf16 = loops.bf16.run ? glimpse(pool, &loops.bf16, known->bf16) : now.f32;
    return now;
}

/* ---- memory ---- */

typedef struct reading {
    const unsigned char *memory;
    void (*read)(const unsigned char *from, size_t bytes);
} reading;

static void read_block(void *context, int task, int thread) {
    const reading *r = context;
    (void)thread;
    r->read(r->memory + (size_t)task * READ_BLOCK, READ_BLOCK);
}

mebi_status mebi__peak_sample_read(mebi__cpu_level level, mebi__pool *pool,
                                   mebi__peaks *peaks, mebi_error *err) {
    unsigned char *memory = mebi__alloc(MEBI__TAG_GENERAL, read_bytes);
    if (!memory)
        return mebi__fail(err, MEBI_NO_MEMORY,
                          "%zu bytes to measure the speed of memory can't be had; free some memory.",
                          read_bytes);
    memset(memory, 1, read_bytes); /* untouched pages would all be the same zeros, in the cache */
    reading r = {memory, loops_of(level).read};
    for (int i = 0; i < 4; i++) {
        double since = mebi__now_seconds();
        mebi__pool_run(pool, (int)(read_bytes / READ_BLOCK), read_block, &r);
        keep_larger(&peaks->read, (double)read_bytes / (mebi__now_seconds() - since));
    }
    mebi__free(memory);
    return MEBI_OK;
}

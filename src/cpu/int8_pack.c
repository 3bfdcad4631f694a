/* Weights to panels: rotated, divided by each group's scale, rounded, interleaved. Each panel is one task
 * of its own. Must notice values that are not finite: they can't be packed. */
#include "cpu/int8.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

typedef struct packing {
    const mebi__rows_source *w;
    float *rows; /* [threads][16][k] */
    unsigned char *to;
    atomic_llong bad; /* a row with a value that is not finite, or -1 */
} packing;

/* The least scale that keeps every weight and every pair within bounds; not finite if x isn't. */
static float scale_of(const float *x, int64_t group) {
    float pair = 0, one = mebi__int8_magnitude(x, group);
    for (int64_t k = 0; k < group; k += 2) {
        float sum = fabsf(x[k]) + fabsf(x[k + 1]);
        pair = sum > pair ? sum : pair;
    }
    /* Rounding can add a half to each of a pair. */
    pair /= (float)(MEBI__INT8_PAIR - 1);
    one /= (float)MEBI__INT8_WEIGHT;
    return pair > one ? pair : one;
}

/* Row c's group to its place in the block; x is rotated. Returns 0 if it isn't finite. */
static int pack_group(const float *x, int64_t group, int c, unsigned char *block) {
    signed char *q = (signed char *)block + 4 * c;
    float *scale = (float *)(block + MEBI__INT8_PANEL * group) + c;
    int32_t *correction = (int32_t *)(block + MEBI__INT8_PANEL * (group + 4)) + c;
    /* Adding 1.5 * 2^23 rounds to whole numbers, halves to even. */
    const float to_even = 12582912.0f;
    float s = scale_of(x, group), inverse = s < MEBI__INT8_TINY ? 0 : 1.0f / s;
    int32_t sum = 0, rounded[MEBI__INT8_GROUP];
    if (!isfinite(s)) return 0;
    for (int64_t k = 0; k < group; k++) {
        rounded[k] = (int32_t)(x[k] * inverse + to_even - to_even);
        sum += rounded[k];
    }
    for (int64_t k = 0; k < group; k += 4, q += 4 * MEBI__INT8_PANEL)
        for (int i = 0; i < 4; i++) q[i] = (signed char)rounded[k + i];
    *scale = s < MEBI__INT8_TINY ? 0 : s / (float)group;
    *correction = -MEBI__INT8_LIMIT * sum;
    return 1;
}

static void pack_panel(void *context, int task, int thread) {
    packing *p = context;
    const int64_t n = p->w->n, k = p->w->k, group = mebi__int8_group(k);
    int64_t first = (int64_t)task * MEBI__INT8_PANEL;
    int64_t count = n - first < MEBI__INT8_PANEL ? n - first : MEBI__INT8_PANEL;
    float *rows = p->rows + (int64_t)thread * MEBI__INT8_PANEL * k;
    unsigned char *panel = p->to + mebi__int8_panel_bytes(k) * (size_t)task;
    p->w->read(p->w->context, first, count, rows);
    memset(rows + count * k, 0, sizeof *rows * (size_t)((MEBI__INT8_PANEL - count) * k));
    for (int c = 0; c < MEBI__INT8_PANEL; c++) {
        mebi__int8_rotate(rows + c * k, k, group);
        for (int64_t g = 0; g < k / group; g++)
            if (!pack_group(rows + c * k + g * group, group, c,
                            panel + mebi__int8_block_bytes(group) * (size_t)g))
                atomic_store(&p->bad, first);
    }
}

mebi_status mebi__int8_pack(const mebi__rows_source *w, mebi__pool *pool, unsigned char *to,
                            mebi_error *err) {
    size_t threads = (size_t)mebi__pool_threads(pool);
    packing p = {.w = w, .to = to, .bad = -1};
    p.rows = mebi__alloc_array(MEBI__TAG_SCRATCH, threads * MEBI__INT8_PANEL * (size_t)w->k,
                               sizeof *p.rows);
    if (!p.rows) return mebi__fail(err, MEBI_NO_MEMORY, "No memory to pack %s.", w->name);
    mebi__pool_run(pool, (int)((w->n + MEBI__INT8_PANEL - 1) / MEBI__INT8_PANEL), pack_panel, &p);
    mebi__free(p.rows);
    if (atomic_load(&p.bad) < 0) return MEBI_OK;
    return mebi__fail(err, MEBI_BAD_FILE,
                      "The tensor %s holds a value that is not a number (near row %lld of %lld): the "
                      "file is damaged; get it again.",
                      w->name, (long long)atomic_load(&p.bad), (long long)w->n);
}

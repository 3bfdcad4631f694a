/* How products are cut into tasks: what the loops of all operand types share. */
#ifndef MEBI_CPU_DIVISION_H
#define MEBI_CPU_DIVISION_H

#include <stdint.h>

static inline int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* value in `parts` even blocks that are multiples of unit. */
static inline int64_t block_of(int64_t value, int64_t parts, int64_t unit) {
    int64_t units = (value + unit - 1) / unit;
    return (units + parts - 1) / parts * unit;
}

/* A product's rows and columns in blocks, one task each; the last ones, a thread's each, are cut into slices
 * of columns, so that threads of unequal speed end together. */
enum { MEBI__SLICES = 4 };

typedef struct mebi__grid {
    int64_t m, n, m_block, n_block;
    int64_t unit; /* of columns */
    int threads;
} mebi__grid;

typedef struct mebi__grid_task {
    int64_t m0, m1, n0, n1; /* n0 == n1: nothing to do */
} mebi__grid_task;

static inline int64_t grid_columns(const mebi__grid *g) {
    return (g->n + g->n_block - 1) / g->n_block;
}

static inline int64_t grid_blocks(const mebi__grid *g) {
    return (g->m + g->m_block - 1) / g->m_block * grid_columns(g);
}

static inline int64_t grid_sliced(const mebi__grid *g) {
    return g->threads > 1 ? smaller(g->threads, grid_blocks(g)) : 0;
}

static inline int grid_tasks(const mebi__grid *g) {
    return (int)(grid_blocks(g) + grid_sliced(g) * (MEBI__SLICES - 1));
}

static inline mebi__grid_task grid_task(const mebi__grid *g, int64_t task) {
    const int64_t whole = grid_blocks(g) - grid_sliced(g);
    const int64_t block = task < whole ? task : whole + (task - whole) / MEBI__SLICES;
    mebi__grid_task t = {.m0 = block / grid_columns(g) * g->m_block,
                         .n0 = block % grid_columns(g) * g->n_block};
    t.m1 = smaller(g->m, t.m0 + g->m_block);
    t.n1 = smaller(g->n, t.n0 + g->n_block);
    if (task < whole) return t;
    const int64_t slice = block_of(t.n1 - t.n0, MEBI__SLICES, g->unit);
    t.n0 = smaller(t.n1, t.n0 + (task - whole) % MEBI__SLICES * slice);
    t.n1 = smaller(t.n1, t.n0 + slice);
    return t;
}

#endif

/* linear_int8 by blocks: which rows meet which panels, in which order. No arithmetic of its own but the
 * bias: an element of y is the sum of its groups in ascending order, whatever the division. */
#include "cpu/division.h"
#include "cpu/int8.h"

#include <string.h>

enum {
    ROWS = 192,    /* of a block: 48 KiB of a group's activations */
    COLUMNS = 256, /* most of a task: 66 KiB of a group's weights, 192 KiB of sums */
};

typedef struct division {
    const mebi__op *op;
    mebi__int8_rows multiply;
    unsigned char *scratch;
    mebi__grid grid; /* its unit: columns of one call of multiply, where there are as many */
} division;

/* The last panel may have fewer than 16 columns: its sums take a detour. */
size_t mebi__int8_linear_scratch(const mebi__op *op, int threads) {
    int64_t rows = smaller(op->x.shape.dim[0], ROWS);
    if (op->w.shape.dim[0] % MEBI__INT8_PANEL == 0) return 0;
    return sizeof(float) * (size_t)(rows * MEBI__INT8_PANEL) * (size_t)threads;
}

static const unsigned char *block_at(const mebi__op *op, int64_t column, int64_t group) {
    int64_t k = op->w.shape.dim[1];
    return (const unsigned char *)mebi__cpu_data(op->w) +
           mebi__int8_panel_bytes(k) * (size_t)(column / MEBI__INT8_PANEL) +
           mebi__int8_block_bytes(mebi__int8_group(k)) * (size_t)group;
}

static void add_bias(const mebi__op *op, int64_t m0, int64_t rows, int64_t n0, int64_t n1) {
    const float *bias = mebi__cpu_data(op->b);
    float *y = (float *)mebi__cpu_data(op->y) + m0 * op->w.shape.dim[0];
    for (int64_t r = 0; r < rows; r++, y += op->w.shape.dim[0])
        for (int64_t n = n0; n < n1; n++) y[n] += bias[n];
}

/* One block of rows against the panels of columns [n0, n1), one group. */
static void multiply_group(const division *d, int64_t m0, int64_t rows, int64_t n0, int64_t n1,
                           int64_t group) {
    const mebi__op *op = d->op;
    const int64_t n = op->w.shape.dim[0], k = op->w.shape.dim[1], size = mebi__int8_group(k);
    const size_t stride = mebi__int8_row_bytes(k);
    const unsigned char *x = (const unsigned char *)mebi__cpu_data(op->x) + (size_t)m0 * stride;
    mebi__int8_block b = {.group = size,
                          .x = x + group * size,
                          .scale_x = (const float *)(x + mebi__int8_scales_at(k)) + group,
                          .x_stride = stride,
                          .y_stride = n,
                          .first = group == 0};
    const int64_t end = n1 - n1 % MEBI__INT8_PANEL;
    for (int64_t j = n0, width; j < end; j += width) {
        width = d->grid.unit <= end - j ? d->grid.unit : MEBI__INT8_PANEL;
        b.block = block_at(op, j, group);
        b.right = width > MEBI__INT8_PANEL ? block_at(op, j + MEBI__INT8_PANEL, group) : NULL;
        b.y = (float *)mebi__cpu_data(op->y) + m0 * n + j;
        if (j + width < n1) b.next = block_at(op, j + width, group);
        else b.next = (group + 1) * size < k ? block_at(op, n0, group + 1) : NULL;
        d->multiply(rows, &b);
    }
}

/* The panel at the right edge, all groups, by way of scratch. */
static void multiply_edge(const division *d, int64_t m0, int64_t rows, int64_t n1, float *sums) {
    const mebi__op *op = d->op;
    const int64_t n = op->w.shape.dim[0], k = op->w.shape.dim[1], size = mebi__int8_group(k);
    const int64_t j = n1 - n1 % MEBI__INT8_PANEL;
    const size_t stride = mebi__int8_row_bytes(k);
    const unsigned char *x = (const unsigned char *)mebi__cpu_data(op->x) + (size_t)m0 * stride;
    for (int64_t g = 0; g * size < k; g++) {
        mebi__int8_block b = {.group = size,
                              .x = x + g * size,
                              .scale_x = (const float *)(x + mebi__int8_scales_at(k)) + g,
                              .x_stride = stride,
                              .block = block_at(op, j, g),
                              .y = sums,
                              .y_stride = MEBI__INT8_PANEL,
                              .first = g == 0};
        d->multiply(rows, &b);
    }
    float *y = (float *)mebi__cpu_data(op->y) + m0 * n + j;
    for (int64_t r = 0; r < rows; r++)
        memcpy(y + r * n, sums + r * MEBI__INT8_PANEL, sizeof(float) * (size_t)(n1 - j));
}

static void run_task(void *context, int task, int thread) {
    const division *d = context;
    const mebi__op *op = d->op;
    const int64_t k = op->w.shape.dim[1];
    const mebi__grid_task t = grid_task(&d->grid, task);
    float *edge = (float *)d->scratch + smaller(d->grid.m, ROWS) * MEBI__INT8_PANEL * thread;
    if (t.n0 == t.n1) return;
    /* A block's sums stay in L2 until all groups are added; the weights come again for every block. */
    for (int64_t r = t.m0; r < t.m1; r += ROWS)
        for (int64_t g = 0; g < k / mebi__int8_group(k); g++)
            multiply_group(d, r, smaller(t.m1 - r, ROWS), t.n0, t.n1, g);
    for (int64_t r = t.m0; r < t.m1 && t.n1 % MEBI__INT8_PANEL; r += ROWS)
        multiply_edge(d, r, smaller(t.m1 - r, ROWS), t.n1, edge);
    if (op->b.buffer) add_bias(op, t.m0, t.m1 - t.m0, t.n0, t.n1);
}

/* Large blocks read the weights seldom; then smaller ones until every thread has several. */
static mebi__grid divide(int64_t m, int64_t n, int columns, int threads) {
    mebi__grid d = {.m = m,
                    .n = n,
                    .m_block = block_of(m, (m + 1151) / 1152, 4),
                    .n_block = block_of(n, (n + COLUMNS - 1) / COLUMNS, columns),
                    .unit = columns,
                    .threads = threads};
    while (threads > 1 && grid_blocks(&d) < 8 * threads && d.n_block >= 4 * columns)
        d.n_block = block_of(d.n_block, 2, columns);
    return d;
}

void mebi__int8_linear(const mebi__cpu_call *call, mebi__int8_rows multiply, int columns) {
    const mebi__op *op = call->op;
    division d = {.op = op, .multiply = multiply, .scratch = call->scratch};
    d.grid = divide(op->x.shape.dim[0], op->w.shape.dim[0], columns, mebi__pool_threads(call->pool));
    mebi__pool_run(call->pool, grid_tasks(&d.grid), run_task, &d);
}

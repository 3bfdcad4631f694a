/* The register tile and the blocked product that linear, conv2d and attention share.
 *
 * A product is y[m,n] = rows[m,k] w[n,k]^T. K is summed in blocks of MEBI__GEMM_K, each in
 * ascending order by one chain of fused multiply-adds, and the blocks' sums are added in ascending
 * order. So an element of y depends on its row, its weights and nothing else: not on the number of
 * rows, on the division into tasks or on the number of threads.
 */
#ifndef MEBI_CPU_GEMM_H
#define MEBI_CPU_GEMM_H

#include "cpu/kernels.h"

enum {
    MEBI__TILE_ROWS = 6,
    MEBI__TILE_COLUMNS = 16,
    MEBI__GEMM_K = 256,                   /* a panel of 16 columns fills half of a 32 KiB L1 */
    MEBI__GEMM_ROWS = 192,                /* a block of rows stays in L2 */
    MEBI__GEMM_COLUMNS = 1024,            /* most columns of one task */
    MEBI__ROW_STRIDE = MEBI__GEMM_K + 16, /* not a multiple of 4 KiB in 4 rows: no L1 conflicts */
};

/* c[rows,16] = a[rows,k] b[k,16] (+ row[16]) (+ add[rows,16]); strides in elements. b is
 * 32-aligned. add may be c. Tiles of 32 columns read a second panel b_stride elements after b. */
typedef struct mebi__tile {
    int64_t k;
    const float *a;
    int64_t a_stride;
    const float *b;
    int64_t b_stride;
    const float *row, *add; /* may be NULL */
    int64_t add_stride;
    float *c;
    int64_t c_stride;
    /* As many rows of weights as the tile has columns, that will be read next, brought to L2
     * meanwhile; NULL: none. In bytes. */
    const unsigned char *next;
    int64_t next_stride, next_bytes;
} mebi__tile;

/* rows 1 to MEBI__TILE_ROWS. */
void mebi__tile_avx2(int rows, const mebi__tile *tile);
/* The same for all of many rows; columns 1 to 16 of row, add and c exist. */
void mebi__tile_rows_avx2(int64_t rows, int columns, const mebi__tile *tile);

/* to[k,16] = the first k elements of 16 rows of w; rows from `count` on become zeros. stride in
 * elements. to is 32-aligned. */
void mebi__panel_avx2(const void *w, mebi__dtype type, int64_t stride, int count, int64_t k,
                      float *to);

/* The same for every other type that decodes: k is at most MEBI__GEMM_K, the stride in bytes. scale 0:
 * none. */
void mebi__panel_decode_avx2(const void *w, mebi__dtype type, size_t stride, int count, int64_t k,
                             float scale, float *to);

/* What the blocked product is made of on one instruction set. Rows and panels are of units of 4 bytes:
 * one f32, or two neighbours in k of bf16; a panel is [units][16]. */
typedef struct mebi__tiles {
    int rows, columns; /* of one tile; columns 16, or 32: two panels side by side */
    int unit;          /* elements of a unit; k is rounded up to whole ones */
    /* All of many rows; columns 1 to `columns` of row, add and c exist. */
    void (*multiply)(int64_t rows, int columns, const mebi__tile *tile);
    void (*panel)(const void *w, mebi__dtype type, int64_t stride, int count, int64_t k, float *to);
    void (*panel_decode)(const void *w, mebi__dtype type, size_t stride, int count, int64_t k,
                         float scale, float *to);
    /* Rows of k f32 (to may be from) to units with stride MEBI__ROW_STRIDE; NULL where they are f32. */
    void (*narrow)(const float *from, int64_t stride, int64_t rows, int64_t k, float *to);
} mebi__tiles;

extern const mebi__tiles mebi__tiles_avx2;

typedef struct mebi__gemm mebi__gemm;
struct mebi__gemm {
    const mebi__tiles *tiles;
    int64_t m, n, k;
    const void *w; /* [n,k], any type that decodes */
    mebi__dtype type;
    float scale; /* of w; 0: none */
    const float *bias;     /* [n] or NULL */
    const float *residual; /* [m,n] or NULL; may be y */
    float *y;              /* [m,n] */
    /* run > 0: row m of y and residual is at (m / run) * run_stride + (m % run) * y_stride elements.
     * Otherwise rows are n apart. */
    int64_t run, run_stride, y_stride;
    /* rows as they lie in memory, with stride k; or NULL and a function that writes elements
     * [k0, k0 + count) of rows [m0, m0 + rows) to `to` with stride MEBI__ROW_STRIDE. */
    const float *x;
    void (*gather)(const mebi__gemm *g, int64_t m0, int64_t rows, int64_t k0, int64_t count,
                   float *to);
    const mebi__op *op; /* for gather */
};

/* Scratch is the same for all tiles. */
void mebi__gemm_run(const mebi__gemm *g, mebi__pool *pool, unsigned char *scratch);
size_t mebi__gemm_scratch(int64_t n, int threads);

/* The operations, by an instruction set's tiles. */
void mebi__linear_tiled(const mebi__cpu_call *call, const mebi__tiles *tiles);
void mebi__conv2d_tiled(const mebi__cpu_call *call, const mebi__tiles *tiles);
size_t mebi__conv2d_scratch(const mebi__op *op, int threads);

#endif

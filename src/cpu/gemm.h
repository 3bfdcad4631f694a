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
    MEBI__GEMM_COLUMNS = 512,             /* most columns of one task */
    MEBI__ROW_STRIDE = MEBI__GEMM_K + 16, /* not a multiple of 4 KiB in 4 rows: no L1 conflicts */
};

/* c[rows,16] = a[rows,k] b[k,16] (+ row[16]) (+ add[rows,16]); strides in elements. b is
 * 32-aligned. add may be c. */
typedef struct mebi__tile {
    int64_t k;
    const float *a;
    int64_t a_stride;
    const float *b;
    const float *row, *add; /* may be NULL */
    int64_t add_stride;
    float *c;
    int64_t c_stride;
    /* 16 rows that will be read next, brought to L2 meanwhile; NULL: none. In bytes. */
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

typedef struct mebi__gemm mebi__gemm;
struct mebi__gemm {
    int64_t m, n, k;
    const void *w; /* [n,k], any type that decodes */
    mebi__dtype type;
    float scale; /* of w; 0: none */
    const float *bias;     /* [n] or NULL */
    const float *residual; /* [m,n] or NULL; may be y */
    float *y;              /* [m,n] */
    /* rows as they lie in memory, with stride k; or NULL and a function that writes elements
     * [k0, k0 + count) of rows [m0, m0 + rows) to `to` with stride MEBI__ROW_STRIDE. */
    const float *x;
    void (*gather)(const mebi__gemm *g, int64_t m0, int64_t rows, int64_t k0, int64_t count,
                   float *to);
    const mebi__op *op; /* for gather */
};

void mebi__gemm_run_avx2(const mebi__gemm *g, mebi__pool *pool, unsigned char *scratch);
size_t mebi__gemm_scratch_avx2(int64_t n, int threads);

void mebi__conv2d_avx2(const mebi__cpu_call *call);
size_t mebi__conv2d_scratch_avx2(const mebi__op *op, int threads);

#endif

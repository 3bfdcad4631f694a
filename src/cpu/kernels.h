/* The table of CPU kernels: one entry an operation, filled level by level.
 *
 * mebi__cpu_init_ref fills every entry; each further init overrides those it has something faster
 * for. Dispatch happens there and nowhere else.
 */
#ifndef MEBI_CPU_KERNELS_H
#define MEBI_CPU_KERNELS_H

#include "base/pool.h"
#include "compute/ops.h"

/* What a kernel gets. op has been validated; kernels can't fail and allocate nothing. */
typedef struct mebi__cpu_call {
    const mebi__op *op;
    mebi__pool *pool;       /* split work by output, never by thread: results must not depend on it */
    unsigned char *scratch; /* as many bytes as this kernel's scratch function said, 64-aligned */
} mebi__cpu_call;

typedef void (*mebi__cpu_kernel)(const mebi__cpu_call *call);
/* Scratch for one call on a pool of so many threads. */
typedef size_t (*mebi__cpu_scratch)(const mebi__op *op, int threads);

typedef struct mebi__cpu_kernels {
    mebi__cpu_kernel run[MEBI__OP_COUNT];
    mebi__cpu_scratch scratch[MEBI__OP_COUNT]; /* NULL: none */
} mebi__cpu_kernels;

void mebi__cpu_init_ref(mebi__cpu_kernels *table);
/* Norms, gates, element-wise work. */
void mebi__cpu_init_pointwise_avx2(mebi__cpu_kernels *table);
/* linear, conv2d, attention. */
void mebi__cpu_init_gemm_avx2(mebi__cpu_kernels *table);
void mebi__cpu_init_attention_avx2(mebi__cpu_kernels *table);
/* linear_int8, quantize. vnni: the machine has AVX-VNNI. */
void mebi__cpu_init_int8_avx2(mebi__cpu_kernels *table, int vnni);

/* AVX-512's; each where it is faster. bf16: with products of bf16, which the machine must have; vnni
 * likewise. */
void mebi__cpu_init_gemm_avx512(mebi__cpu_kernels *table, int bf16);
void mebi__cpu_init_attention_avx512(mebi__cpu_kernels *table, int bf16);
void mebi__cpu_init_int8_avx512(mebi__cpu_kernels *table, int vnni);

/* Host address of a view's first element. */
void *mebi__cpu_data(mebi__view view);

#endif

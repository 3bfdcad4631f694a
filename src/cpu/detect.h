/* What this machine can execute. */
#ifndef MEBI_CPU_DETECT_H
#define MEBI_CPU_DETECT_H

#include "cpu/cpu.h"

/* The highest level, and the extensions that some machines of a level have. */
typedef struct mebi__cpu_machine {
    mebi__cpu_level level;
    int avx_vnni;                 /* beside AVX2: sums of four products of int8 */
    int avx512_vnni, avx512_bf16; /* beside AVX-512: the same, and products of bf16 */
} mebi__cpu_machine;

mebi__cpu_machine mebi__cpu_detect(void);

#endif

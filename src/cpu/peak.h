/* What this machine can do at most, measured: loops that touch registers only, on all threads at once,
 * and reading of memory. What a product's time is compared with.
 *
 * A machine that others use too gives less at one moment than at the next. So there are two yardsticks:
 * the largest of some samples is what the machine can do at its best moment, and glimpses in the middle of
 * work are what it can do just then.
 */
#ifndef MEBI_CPU_PEAK_H
#define MEBI_CPU_PEAK_H

#include "cpu/cpu.h"

typedef struct mebi__peaks {
    double int8, bf16, f32; /* operations a second, a multiply-add counted as 2 */
    double read;            /* bytes a second */
} mebi__peaks;

/* One round of each of a level's loops, about 0.2 s each; *peaks keeps the larger of what it holds and
 * what is found. Where a level has no products of bf16, they run as f32, and bf16 is f32's peak. */
void mebi__peak_sample(mebi__cpu_level level, mebi__pool *pool, mebi__peaks *peaks);

/* A few milliseconds of each loop: what the machine gives at this moment. known: samples taken before. */
mebi__peaks mebi__peak_glimpse(mebi__cpu_level level, mebi__pool *pool, const mebi__peaks *known);

/* Reading half a GB, which is taken for the purpose and given back; keeps the larger, too. */
MEBI_MUST_USE mebi_status mebi__peak_sample_read(mebi__cpu_level level, mebi__pool *pool,
                                                 mebi__peaks *peaks, mebi_error *err);

/* One level's loops, for the files of this folder: they run 1 round or more. bf16 may be missing. */
typedef struct mebi__peak_loop {
    void (*run)(long rounds);
    double operations; /* of one round */
} mebi__peak_loop;

typedef struct mebi__peak_loops {
    mebi__peak_loop int8, bf16, f32;
    void (*read)(const unsigned char *from, size_t bytes); /* from is 64-aligned, bytes whole KiB */
} mebi__peak_loops;

void mebi__peak_loops_avx2(mebi__peak_loops *loops);
/* Fills in what the machine has of AVX-512: int8 and bf16 products are extensions. */
void mebi__peak_loops_avx512(mebi__peak_loops *loops);

#endif

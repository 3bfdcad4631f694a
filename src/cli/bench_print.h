/* Figures of a measurement, for people and for programs, on standard output. */
#ifndef MEBI_CLI_BENCH_PRINT_H
#define MEBI_CLI_BENCH_PRINT_H

#include "mebi/bench.h"

void bench_print_tables(const mebi_bench_params *params, const mebi_bench_report *report);
/* One object a size, each on a line. Peaks in GOP/s, of reading in GB/s. */
void bench_print_json(const mebi_bench_params *params, const mebi_bench_report *report);

void bench_print_kernels(const mebi_bench_kernels *kernels);
void bench_print_kernels_json(const mebi_bench_kernels *kernels);

#endif

/* mebi bench without --full-size and --kernels: what each size takes and gives, and the sweet spot.
 */
#ifndef MEBI_CLI_BENCH_SIZES_H
#define MEBI_CLI_BENCH_SIZES_H

/* argv as a command's; returns the exit code. */
int bench_sizes(int argc, char **argv);

#endif

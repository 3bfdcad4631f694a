/* stub */
#include "bench/bench.h"
mebi_status mebi_bench_run_kernels(int threads, const char *only, double seconds,
                       void (*progress)(void *context, const char *text), void *context,
                       mebi_bench_kernels *out, mebi_error *err) {
    (void)threads, (void)only, (void)seconds, (void)progress, (void)context, (void)out;
    return mebi__fail(err, MEBI_UNSUPPORTED, "Not yet.");
}

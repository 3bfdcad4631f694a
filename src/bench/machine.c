/* The machine that is measured, and what its time is compared with. */
#include "bench/bench.h"

#include "base/os.h"
#include "cpu/detect.h"

#include <string.h>

mebi_status mebi__bench_machine_open(mebi__bench_machine *m, int threads, int bf16_products,
                                     mebi_error *err) {
    *m = (mebi__bench_machine){0};
    if (threads < 0 || threads > 256)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%d threads asked for; 1 to 256 can be had.",
                          threads);
    mebi_status status = mebi__cpu_choose(&m->level, err);
    if (status == MEBI_OK)
        status = mebi__pool_create(threads ? threads : mebi__physical_cores(), &m->pool, err);
    mebi__cpu_options how = {.level = m->level, .bf16_products = bf16_products};
    if (status == MEBI_OK) status = mebi__cpu_create_with(&how, m->pool, &m->cpu, err);
    int bf16 = bf16_products && m->level >= MEBI__CPU_AVX512 && mebi__cpu_detect().avx512_bf16;
    if (status == MEBI_OK) status = mebi__timed_create(m->cpu, bf16, &m->timed, err);
    if (status == MEBI_OK) status = mebi__peak_sample_read(m->level, m->pool, &m->peaks, err);
    if (status == MEBI_OK) mebi__peak_sample(m->level, m->pool, &m->peaks);
    else mebi__bench_machine_close(m);
    return status;
}

void mebi__bench_machine_close(mebi__bench_machine *m) {
    mebi__device_destroy(&m->timed);
    mebi__device_destroy(&m->cpu);
    mebi__pool_destroy(&m->pool);
}

/* ---- the peaks while work goes on ---- */

static const double seconds_between = 0.1;

static void glimpse(mebi__bench_machine *m) {
    double since = mebi__now_seconds(), weight = m->pace.unseen;
    mebi__peaks now = mebi__peak_glimpse(m->level, m->pool, &m->peaks), *sum = &m->pace.sum;
    sum->int8 += weight * now.int8;
    sum->bf16 += weight * now.bf16;
    sum->f32 += weight * now.f32;
    m->pace.seconds += weight;
    m->pace.unseen = 0;
    m->pace.spent += mebi__now_seconds() - since;
}

static void after_operation(void *context, double seconds) {
    mebi__bench_machine *m = context;
    m->pace.unseen += seconds;
    if (m->pace.unseen >= seconds_between) glimpse(m);
}

void mebi__bench_pace_begin(mebi__bench_machine *m) {
    memset(&m->pace, 0, sizeof m->pace);
    mebi__timed_set_after(m->timed, after_operation, m);
    m->pace.began = mebi__now_seconds();
}

double mebi__bench_pace_end(mebi__bench_machine *m, mebi__peaks *peaks) {
    double seconds = mebi__now_seconds() - m->pace.began - m->pace.spent;
    mebi__timed_set_after(m->timed, NULL, NULL);
    if (m->pace.unseen > 0) glimpse(m);
    *peaks = m->peaks;
    if (m->pace.seconds <= 0) return seconds;
    peaks->int8 = m->pace.sum.int8 / m->pace.seconds;
    peaks->bf16 = m->pace.sum.bf16 / m->pace.seconds;
    peaks->f32 = m->pace.sum.f32 / m->pace.seconds;
    return seconds;
}

/* ---- what time is compared with ---- */

double mebi__bench_peak_of(const mebi__peaks *peaks, mebi__arithmetic arithmetic) {
    const double of[MEBI__ARITHMETIC_COUNT] = {peaks->int8, peaks->bf16, peaks->f32};
    return of[arithmetic];
}

double mebi__bench_at_peak(const mebi__timed_report *report, const mebi__peaks *peaks) {
    double seconds = 0;
    for (int k = 0; k < MEBI__OP_COUNT; k++)
        for (int a = 0; a < MEBI__ARITHMETIC_COUNT; a++)
            seconds += report->of[k][a].operations / mebi__bench_peak_of(peaks, (mebi__arithmetic)a);
    return seconds;
}

mebi_bench_peaks mebi__bench_peaks_told(const mebi__peaks *peaks) {
    return (mebi_bench_peaks){peaks->int8, peaks->bf16, peaks->f32, peaks->read};
}

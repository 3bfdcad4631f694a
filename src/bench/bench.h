/* What the measurements share: the machine's peaks, and a part of a model at work. */
#ifndef MEBI_BENCH_BENCH_H
#define MEBI_BENCH_BENCH_H

#include "compute/timed.h"
#include "cpu/peak.h"
#include "mebi/bench.h"
#include "model/pipeline.h"
#include "weights/random.h"

enum { MEBI__BENCH_RUNS = 99, MEBI__BENCH_TOKENS = 512 };

/* The machine: a device on a pool, its best peaks as far as they have been sampled, and those it had while
 * the timed device was at work. */
typedef struct mebi__bench_machine {
    mebi__cpu_level level;
    mebi__pool *pool;
    mebi__device *cpu;
    mebi__device *timed; /* over cpu */
    mebi__peaks peaks;
    struct {
        mebi__peaks sum;        /* glimpses, each times the seconds of work it stands for */
        double seconds, unseen; /* of work with a glimpse after it, and since the last one */
        double began, spent;    /* spent: on glimpses */
    } pace;
} mebi__bench_machine;

/* bf16_products: products of bf16 where the machine has them. */
MEBI_MUST_USE mebi_status mebi__bench_machine_open(mebi__bench_machine *m, int threads,
                                                   int bf16_products, mebi_error *err);
void mebi__bench_machine_close(mebi__bench_machine *m);

/* Between the two, every tenth of a second of the timed device's work is followed by a glimpse at the peaks.
 * *peaks: their mean over that work; returns the seconds since the begin without those of glimpses. */
void mebi__bench_pace_begin(mebi__bench_machine *m);
double mebi__bench_pace_end(mebi__bench_machine *m, mebi__peaks *peaks);

double mebi__bench_peak_of(const mebi__peaks *peaks, mebi__arithmetic arithmetic);
/* Seconds that a report's arithmetic takes at the peaks. */
double mebi__bench_at_peak(const mebi__timed_report *report, const mebi__peaks *peaks);
mebi_bench_peaks mebi__bench_peaks_told(const mebi__peaks *peaks);

/* A stage's passes, for a device that works and for the dry one: each pass between begin and end. */
typedef struct mebi__bench_work {
    mebi__pipeline model; /* the stage's own part is loaded */
    mebi_bench_stage stage;
    int64_t latent_height, latent_width;
    int tokens, passes;
    mebi__vae_way way; /* of decoding */
    void (*begin)(struct mebi__bench_work *work);
    void (*end)(struct mebi__bench_work *work);
    void *context;
    int32_t *ids;                     /* host memory, tokens; NULL in a dry run, as the rest */
    float *features, *latent;         /* [tokens, caption_dim], [channels, h, w] */
    unsigned char *pixels;
    int not_finite; /* found in a result */
} mebi__bench_work;

/* Takes all from the stream's arena and gives it back. */
void mebi__bench_pass(mebi__stream *s, mebi__bench_work *work);
/* Bytes of host memory that the stage reads and writes, and their making. */
size_t mebi__bench_host_bytes(const mebi__bench_work *work);
MEBI_MUST_USE mebi_status mebi__bench_host_take(mebi__bench_work *work, mebi_error *err);
void mebi__bench_host_give(mebi__bench_work *work);

/* Dimensions of random weights: the published model's, or a test's. */
typedef struct mebi__bench_configs {
    const mebi__dit_config *dit;
    const mebi__qwen3_config *encoder;
    const mebi__vae_config *vae;
} mebi__bench_configs;

MEBI_MUST_USE mebi_status mebi__bench_full_size(const mebi_bench_params *params,
                                                const mebi__bench_configs *configs,
                                                mebi_bench_report *report, mebi_error *err);

#endif

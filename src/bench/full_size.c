/* A model's stages, timed at some sizes. Must hold one part's weights at a time: the largest alone is
 * half of a usual machine's memory. */
#include "bench/bench.h"

#include "base/os.h"
#include "compute/dry.h"
#include "weights/published.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* What a first pass touches besides: pages of code, stacks, the host's tables of angles. Measured: 0.7 MiB. */
enum { FIRST_TOUCH_BYTES = 1024 * 1024 };

typedef struct run {
    double seconds;
    mebi__timed_report account;
    mebi__peaks peaks; /* the machine's while it ran */
} run;

typedef struct session {
    const mebi_bench_params *params;
    const mebi__bench_configs *configs; /* of random weights; NULL: the parts are files */
    mebi_bench_report *report;
    mebi_error *err;
    mebi__bench_machine machine;
    mebi__model_files files;
    const mebi__map **maps;
    int map_count;
    mebi__random_part random;
    mebi__bench_work work;
    size_t scratch_reserved;
    /* of the size under way */
    int done;
    run *run;    /* params->runs of them */
    run *median; /* of each result: encode, then step and decode of each size */
} session;

__attribute__((format(printf, 2, 3))) static void tell(const session *s, const char *format, ...) {
    char text[160];
    va_list args;
    if (!s->params->progress) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    s->params->progress(s->params->context, text);
}

const char *mebi_bench_stage_name(mebi_bench_stage stage) {
    static const char *const names[] = {"encode", "step", "decode"};
    return (unsigned)stage < MEBI_BENCH_STAGES ? names[stage] : "unknown";
}

mebi_bench_params mebi_bench_params_default(void) {
    return (mebi_bench_params){.stages = (1u << MEBI_BENCH_STAGES) - 1,
                               .tokens = 61,
                               .runs = 3,
                               .sizes = 1,
                               .size = {{512, 512}}};
}

static mebi__vae_way way_of(mebi_decode_way way) {
    static const mebi__vae_way ways[MEBI_DECODE_COUNT] = {MEBI__VAE_WHOLE, MEBI__VAE_WHOLE, MEBI__VAE_STRIPS,
                                                          MEBI__VAE_TILED};
    return ways[way];
}

/* ---- checking ---- */

static mebi_status check_numbers(const mebi_bench_params *p, mebi_error *err) {
    if (!(p->stages & ((1u << MEBI_BENCH_STAGES) - 1)))
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "No stage is to be timed.");
    if (p->tokens < 1 || p->tokens > MEBI__BENCH_TOKENS)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%d tokens asked for; 1 to %d are possible.",
                          p->tokens, MEBI__BENCH_TOKENS);
    if (p->runs < 1 || p->runs > MEBI__BENCH_RUNS)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%d runs asked for; 1 to %d are possible.",
                          p->runs, MEBI__BENCH_RUNS);
    if (p->sizes < 1 || p->sizes > MEBI_BENCH_SIZES)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%d sizes asked for; 1 to %d are possible.",
                          p->sizes, MEBI_BENCH_SIZES);
    if ((unsigned)p->engine.precision >= MEBI_PRECISION_COUNT)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "Precision %d is not known.",
                          (int)p->engine.precision);
    if ((unsigned)p->decode >= MEBI_DECODE_COUNT)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "Way %d of decoding is not known.", (int)p->decode);
    if (p->outliers && p->engine.model)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "Outliers are planted in random weights; a model has its own.");
    return MEBI_OK;
}

/* Sides are whole tokens, and no more of them than the table of positions has. */
static mebi_status check_sizes(const session *s, const mebi__dit_config *dit,
                               const mebi__vae_config *vae) {
    int multiple = mebi__vae_scale(vae) * dit->patch;
    int tokens = dit->axes_len[1] < dit->axes_len[2] ? dit->axes_len[1] : dit->axes_len[2];
    int largest = tokens < 16384 / multiple ? tokens * multiple : 16384;
    for (int i = 0; i < s->params->sizes; i++) {
        int w = s->params->size[i].width, h = s->params->size[i].height;
        if (w < multiple || h < multiple || w > largest || h > largest || w % multiple || h % multiple)
            return mebi__fail(s->err, MEBI_BAD_ARGUMENT,
                              "A size of %dx%d asked for; sides are multiples of %d, up to %d.", w,
                              h, multiple, largest);
    }
    return MEBI_OK;
}

/* ---- weights ---- */

static int is_given(const mebi_engine_params *p) {
    return p->model || p->diffusion_model || p->text_encoder || p->vae;
}

static mebi_status open_files(session *s) {
    const mebi_engine_params *e = &s->params->engine;
    mebi__model_paths paths = {e->model, e->diffusion_model, e->text_encoder, e->vae, e->tokenizer};
    MEBI_TRY(mebi__model_files_open(&paths, &s->files, s->err));
    const mebi__tensors *part[] = {s->files.dit, s->files.encoder, s->files.vae};
    size_t count = 0;
    for (int i = 0; i < 3; i++) count += (size_t)mebi__tensors_map_count(part[i]);
    s->maps = mebi__alloc_array(MEBI__TAG_GENERAL, count, sizeof *s->maps);
    if (!s->maps) return mebi__fail(s->err, MEBI_NO_MEMORY, "No memory for a model's files.");
    for (int i = 0; i < 3; i++)
        for (int m = 0; m < mebi__tensors_map_count(part[i]); m++)
            s->maps[s->map_count++] = mebi__tensors_map(part[i], m);
    return MEBI_OK;
}

/* The stage's tensors: a file's, or made now. */
static mebi_status open_part(session *s, mebi_bench_stage stage, mebi__tensors **out) {
    mebi__tensors *file[] = {s->files.encoder, s->files.dit, s->files.vae};
    *out = file[stage];
    if (!s->configs) return MEBI_OK;
    mebi__random_how how = {.seed = 1,
                            .rows_only = s->report->precision == MEBI_PRECISION_INT8,
                            .outliers = s->params->outliers};
    mebi__pool *pool = s->machine.pool;
    if (stage == MEBI_BENCH_ENCODE)
        MEBI_TRY(mebi__random_encoder(s->configs->encoder, &how, pool, &s->random, s->err));
    else if (stage == MEBI_BENCH_STEP)
        MEBI_TRY(mebi__random_dit(s->configs->dit, &how, pool, &s->random, s->err));
    else MEBI_TRY(mebi__random_vae(s->configs->vae, &how, pool, &s->random, s->err));
    *out = s->random.tensors;
    return MEBI_OK;
}

static mebi_status load_part(session *s, mebi_bench_stage stage) {
    mebi__pipeline *m = &s->work.model;
    mebi__tensors *tensors;
    MEBI_TRY(open_part(s, stage, &tensors));
    const mebi__model_files *f = &s->files;
    const mebi__bench_configs *c = s->configs;
    mebi__loading how = {.device = s->machine.cpu,
                         .tensors = tensors,
                         .cache = "",
                         .precision = s->report->precision == MEBI_PRECISION_INT8
                                          ? MEBI__PRECISION_INT8
                                          : MEBI__PRECISION_PLAIN};
    if (stage == MEBI_BENCH_ENCODE)
        return mebi__qwen3_load(&m->encoder, &how, c ? c->encoder : &f->encoder_config, s->err);
    if (stage == MEBI_BENCH_STEP)
        return mebi__dit_load(&m->dit, &how, c ? c->dit : &f->dit_config, s->err);
    return mebi__vae_load(&m->vae, s->machine.cpu, tensors, c ? c->vae : &f->vae_config, 0, s->err);
}

static void release_part(session *s) {
    mebi__pipeline *m = &s->work.model;
    mebi__vae_release(&m->vae);
    mebi__dit_release(&m->dit);
    mebi__qwen3_release(&m->encoder);
    mebi__random_close(&s->random);
}

static size_t own_memory(const session *s) {
    mebi__resident r = mebi__resident_now(s->maps, s->map_count);
    return r.bytes - r.in_maps;
}

/* ---- one stage at one size ---- */

static void nothing(mebi__bench_work *w) {
    (void)w;
}

static void begin_run(mebi__bench_work *w) {
    session *s = w->context;
    mebi__peak_sample(s->machine.level, s->machine.pool, &s->machine.peaks);
    mebi__timed_reset(s->machine.timed);
    mebi__bench_pace_begin(&s->machine);
}

static void end_run(mebi__bench_work *w) {
    session *s = w->context;
    int64_t scale = mebi__vae_scale(s->configs ? s->configs->vae : &s->files.vae_config);
    run *now = &s->run[s->done++];
    now->seconds = mebi__bench_pace_end(&s->machine, &now->peaks);
    now->account = *mebi__timed_report_of(s->machine.timed);
    double share = 100 * mebi__bench_at_peak(&now->account, &now->peaks) / now->seconds;
    if (w->stage == MEBI_BENCH_ENCODE)
        tell(s, "encode, %d tokens, run %d: %.3f s, %.1f %% of the peaks", w->tokens, s->done,
             now->seconds, share);
    else
        tell(s, "%s %dx%d, run %d: %.3f s, %.1f %% of the peaks", mebi_bench_stage_name(w->stage),
             (int)(w->latent_width * scale), (int)(w->latent_height * scale), s->done, now->seconds,
             share);
}

/* One pass on the dry device: what the passes take. */
static mebi_status plan(session *s, size_t *arena, size_t *scratch) {
    mebi__device *dry;
    mebi__bench_work w = s->work;
    mebi__buffer boundless = {.bytes = SIZE_MAX};
    MEBI_TRY(mebi__dry_create(s->machine.cpu, &dry, s->err));
    mebi__stream stream = {.device = dry, .memory = &boundless, .err = s->err};
    mebi__arena_init(&stream.arena, SIZE_MAX / 2);
    w.begin = w.end = nothing;
    w.passes = 1;
    mebi__bench_pass(&stream, &w);
    *arena = stream.arena.peak;
    *scratch = mebi__dry_report_of(dry)->scratch_bytes;
    mebi__device_destroy(&dry);
    return stream.status;
}

static mebi_status check_room(const session *s, size_t more) {
    size_t room = mebi__memory_available();
    if (more <= room) return MEBI_OK;
    return mebi__fail(s->err, MEBI_NO_MEMORY,
                      "The stage %s needs %.2f GB besides its weights, and %.2f GB are free. Choose a "
                      "smaller size.",
                      mebi_bench_stage_name(s->work.stage), (double)more * 1e-9, (double)room * 1e-9);
}

static mebi_status run_passes(session *s, mebi_bench_result *r) {
    mebi__device *d = s->machine.timed;
    mebi__stream stream = {.device = d, .err = s->err};
    mebi__arena_init(&stream.arena, r->arena_bytes);
    MEBI_TRY(d->table->buffer_create(d, MEBI__TAG_ACTIVATIONS, r->arena_bytes, &stream.memory, s->err));
    mebi_status status = d->table->scratch_reserve(d, r->scratch_bytes, s->err);
    if (status == MEBI_OK) {
        s->done = 0;
        mebi__bench_pass(&stream, &s->work);
        status = stream.status;
    }
    r->peak_bytes = own_memory(s); /* at least; while all is held */
    d->table->buffer_destroy(d, stream.memory);
    if (status == MEBI_OK && s->work.not_finite)
        status = mebi__fail(s->err, MEBI_NUMERIC, "The stage %s gave a result that is not a number.",
                            mebi_bench_stage_name(s->work.stage));
    return status;
}

static int by_seconds(const void *a, const void *b) {
    double x = ((const run *)a)->seconds, y = ((const run *)b)->seconds;
    return (x > y) - (x < y);
}

/* The median run: of an even number the slower of the two in the middle. */
static const run *judge_runs(session *s, mebi_bench_result *r) {
    qsort(s->run, (size_t)s->done, sizeof *s->run, by_seconds);
    r->fastest = s->run[0].seconds;
    r->slowest = s->run[s->done - 1].seconds;
    r->seconds = s->run[s->done / 2].seconds;
    return &s->run[s->done / 2];
}

/* median: where the median run is kept until the best peaks are known. */
static mebi_status time_size(session *s, int width, int height, mebi_bench_result *r,
                             run *median) {
    int scale = mebi__vae_scale(s->configs ? s->configs->vae : &s->files.vae_config);
    s->work.latent_width = width / scale;
    s->work.latent_height = height / scale;
    MEBI_TRY(plan(s, &r->arena_bytes, &r->scratch_bytes));
    size_t scratch = r->scratch_bytes > s->scratch_reserved ? r->scratch_bytes - s->scratch_reserved : 0;
    size_t more = r->arena_bytes + scratch + mebi__bench_host_bytes(&s->work) + FIRST_TOUCH_BYTES;
    r->planned_bytes = own_memory(s) + more;
    MEBI_TRY(check_room(s, more));
    int told = mebi__resident_peak_reset();
    MEBI_TRY(mebi__bench_host_take(&s->work, s->err));
    mebi_status status = run_passes(s, r);
    mebi__bench_host_give(&s->work);
    if (r->scratch_bytes > s->scratch_reserved) s->scratch_reserved = r->scratch_bytes;
    MEBI_TRY(status);
    size_t peak = mebi__resident_peak(), mapped = mebi__resident_now(s->maps, s->map_count).in_maps;
    if (told && peak > mapped && peak - mapped > r->peak_bytes) r->peak_bytes = peak - mapped;
    *median = *judge_runs(s, r);
    return MEBI_OK;
}

/* ---- what is told ---- */

static int by_line_seconds(const void *a, const void *b) {
    double x = ((const mebi_bench_line *)a)->seconds, y = ((const mebi_bench_line *)b)->seconds;
    return (x < y) - (x > y);
}

static void fill_lines(const mebi__timed_report *t, const mebi__peaks *peaks, mebi_bench_result *r) {
    r->lines = 0;
    for (int k = 0; k < MEBI__OP_COUNT; k++)
        for (int a = 0; a < MEBI__ARITHMETIC_COUNT && r->lines < MEBI_BENCH_LINES; a++) {
            const mebi__timed_sum *sum = &t->of[k][a];
            double peak = mebi__bench_peak_of(peaks, (mebi__arithmetic)a);
            if (sum->calls == 0) continue;
            r->line[r->lines++] = (mebi_bench_line){
                .operation = mebi__op_name((mebi__op_kind)k),
                .arithmetic = mebi__arithmetic_name((mebi__arithmetic)a),
                .calls = sum->calls,
                .operations = sum->operations,
                .bytes = sum->bytes,
                .seconds = sum->seconds,
                .share = sum->seconds > 0 ? sum->operations / peak / sum->seconds : 0,
            };
        }
    qsort(r->line, (size_t)r->lines, sizeof *r->line, by_line_seconds);
}

static void conclude(const run *median, const mebi__peaks *best, mebi_bench_result *r) {
    const mebi__timed_report *t = &median->account;
    const mebi__peaks *peaks = &median->peaks;
    if (r->seconds <= 0) return;
    mebi__timed_sum all = mebi__timed_total(t);
    double at_peak = mebi__bench_at_peak(t, peaks), reading = all.weights / peaks->read;
    double int8 = 0, attention = 0;
    for (int a = 0; a < MEBI__ARITHMETIC_COUNT; a++)
        attention += t->of[MEBI__OP_ATTENTION][a].operations;
    for (int k = 0; k < MEBI__OP_COUNT; k++) int8 += t->of[k][MEBI__ARITHMETIC_INT8].operations;
    r->operations = all.operations;
    r->bytes = all.bytes;
    r->peaks = mebi__bench_peaks_told(peaks);
    r->roofline_share = at_peak / r->seconds;
    r->share_of_best = mebi__bench_at_peak(t, best) / r->seconds;
    r->bound_seconds = at_peak > reading ? at_peak : reading;
    r->int8_part = all.operations > attention ? int8 / (all.operations - attention) : 0;
    fill_lines(t, peaks, r);
}

static void conclude_all(session *s) {
    mebi_bench_report *report = s->report;
    const mebi__peaks *peaks = &s->machine.peaks;
    report->peaks = mebi__bench_peaks_told(peaks);
    conclude(&s->median[0], peaks, &report->encode);
    for (int i = 0; i < s->params->sizes; i++) {
        conclude(&s->median[1 + i], peaks, &report->step[i]);
        conclude(&s->median[1 + MEBI_BENCH_SIZES + i], peaks, &report->decode[i]);
    }
}

/* ---- the whole ---- */

static mebi_status time_stage(session *s, mebi_bench_stage stage) {
    mebi_bench_report *report = s->report;
    mebi_bench_result *result[] = {&report->encode, report->step, report->decode};
    run *median[] = {s->median, s->median + 1, s->median + 1 + MEBI_BENCH_SIZES};
    int sizes = stage == MEBI_BENCH_ENCODE ? 1 : s->params->sizes;
    size_t before = own_memory(s);
    double since = mebi__now_seconds();
    tell(s, "%s: loading", mebi_bench_stage_name(stage));
    s->work.stage = stage;
    MEBI_TRY(load_part(s, stage));
    double seconds = mebi__now_seconds() - since;
    size_t after = own_memory(s);
    for (int i = 0; i < sizes; i++) {
        mebi_bench_result *r = &result[stage][i];
        MEBI_TRY(time_size(s, s->params->size[i].width, s->params->size[i].height, r,
                           &median[stage][i]));
        r->load_seconds = seconds;
        r->weight_bytes = after > before ? after - before : 0;
    }
    return MEBI_OK;
}

static mebi_status run_session(session *s) {
    const mebi_engine_params *e = &s->params->engine;
    size_t results = 1 + 2 * MEBI_BENCH_SIZES;
    if (!s->configs) MEBI_TRY(open_files(s));
    MEBI_TRY(check_sizes(s, s->configs ? s->configs->dit : &s->files.dit_config,
                         s->configs ? s->configs->vae : &s->files.vae_config));
    s->run = mebi__alloc_array(MEBI__TAG_GENERAL, (size_t)s->params->runs, sizeof *s->run);
    s->median = mebi__alloc_array(MEBI__TAG_GENERAL, results, sizeof *s->median);
    if (!s->run || !s->median) return mebi__fail(s->err, MEBI_NO_MEMORY, "No memory for figures.");
    tell(s, "measuring the machine");
    s->report->precision =
        e->precision == MEBI_PRECISION_AUTO ? MEBI_PRECISION_INT8 : e->precision;
    MEBI_TRY(mebi__bench_machine_open(&s->machine, e->threads,
                                      s->report->precision != MEBI_PRECISION_F32, s->err));
    s->report->cpu = mebi__cpu_describe(s->machine.level);
    s->report->threads = mebi__pool_threads(s->machine.pool);
    s->report->random = s->configs != NULL;
    s->work = (mebi__bench_work){.tokens = s->params->tokens,
                                 .passes = s->params->runs,
                                 .way = way_of(s->params->decode),
                                 .begin = begin_run,
                                 .end = end_run,
                                 .context = s};
    for (int stage = 0; stage < MEBI_BENCH_STAGES; stage++) {
        if (!(s->params->stages & 1u << stage)) continue;
        mebi_status status = time_stage(s, (mebi_bench_stage)stage);
        release_part(s);
        MEBI_TRY(status);
    }
    mebi__peak_sample(s->machine.level, s->machine.pool, &s->machine.peaks);
    conclude_all(s);
    return MEBI_OK;
}

mebi_status mebi__bench_full_size(const mebi_bench_params *params,
                                  const mebi__bench_configs *configs, mebi_bench_report *report,
                                  mebi_error *err) {
    *report = (mebi_bench_report){0};
    MEBI_TRY(check_numbers(params, err));
    session *s = mebi__alloc(MEBI__TAG_GENERAL, sizeof *s);
    if (!s) return mebi__fail(err, MEBI_NO_MEMORY, "No memory to measure with.");
    *s = (session){.params = params,
                   .configs = is_given(&params->engine) ? NULL : configs,
                   .report = report,
                   .err = err};
    mebi_status status = run_session(s);
    mebi__bench_machine_close(&s->machine);
    mebi__model_files_close(&s->files);
    mebi__free(s->maps);
    mebi__free(s->median);
    mebi__free(s->run);
    mebi__free(s);
    if (status != MEBI_OK) *report = (mebi_bench_report){0};
    return status;
}

mebi_status mebi_bench_full_size(const mebi_bench_params *params, mebi_bench_report *report,
                                 mebi_error *err) {
    mebi__dit_config dit = mebi__published_dit;
    const mebi__bench_configs published = {&dit, &mebi__published_encoder, &mebi__published_vae};
    if (params->layers < 0 || params->layers > dit.layers || (params->layers && is_given(&params->engine)))
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "%d layers asked for; 1 to %d are possible, and only with random weights.",
                          params->layers, dit.layers);
    if (params->layers) dit.layers = params->layers;
    return mebi__bench_full_size(params, &published, report, err);
}

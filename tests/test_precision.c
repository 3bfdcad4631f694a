/* The engine in int8, against itself in f32: how near the pictures are, that they stay the same,
 * and that a result which is no number is made again. And the audit, which says layer by layer what
 * int8 costs. */
#include "testing.h"

#include "base/memory.h"
#include "bench/audit.h"
#include "engine/engine.h"
#include "mebi/mebi.h"
#include "model_files.h"
#include "tensor/int8.h"

#include <math.h>

#define MINI "models/mini"

enum { SIDE = 256, BYTES = SIDE * SIDE * 3, LATENT = 16 * SIDE / 8 * SIDE / 8 };

/* ---- a picture and what was said ---- */

typedef struct made {
    unsigned char pixels[BYTES];
    size_t bytes;
    int notices;
    char notice[256]; /* the first */
    mebi_report report;
} made;

static mebi_status keep_picture(void *context, int index, int64_t seed, const mebi_image *image,
                                mebi_error *err) {
    made *m = context;
    (void)index, (void)seed, (void)err;
    m->bytes = (size_t)image->width * (size_t)image->height * 3;
    assert_true(m->bytes <= BYTES);
    memcpy(m->pixels, image->pixels, m->bytes);
    return MEBI_OK;
}

static void keep_notice(void *context, const char *text) {
    made *m = context;
    if (m->notices++ == 0) snprintf(m->notice, sizeof m->notice, "%s", text);
}

static mebi_engine *open_in(mebi_precision precision, const char *folder, int threads) {
    mebi_engine_params params = {
        .model = folder, .threads = threads, .precision = precision, .cache = ""};
    mebi_engine *e;
    mebi_error err = {0};
    assert_mebi_ok(mebi_engine_open(&params, NULL, &e, &err), &err);
    return e;
}

static void make(mebi_engine *e, const char *prompt, int side, int steps, made *out) {
    mebi_request r = mebi_request_default(e);
    mebi_callbacks c = {.context = out, .image = keep_picture, .notice = keep_notice};
    mebi_error err = {0};
    memset(out, 0, sizeof *out);
    r.prompt = prompt;
    r.width = r.height = side;
    r.steps = steps;
    r.seed = 11;
    assert_mebi_ok(mebi_generate(e, &r, &c, &out->report, &err), &err);
    assert_int_equal(out->bytes, (size_t)side * (size_t)side * 3);
}

static double decibels(const made *a, const made *b) {
    double squares = 0;
    assert_int_equal(a->bytes, b->bytes);
    for (size_t i = 0; i < a->bytes; i++) squares += pow((double)a->pixels[i] - b->pixels[i], 2);
    return squares > 0 ? 10 * log10(255.0 * 255 * (double)a->bytes / squares) : 99;
}

/* ---- choosing ---- */

static void precisions_have_names(void **state) {
    (void)state;
    static const char *const names[] = {"auto", "f32", "bf16", "int8"};
    for (int i = 0; i < MEBI_PRECISION_COUNT; i++)
        assert_string_equal(mebi_precision_name((mebi_precision)i), names[i]);
    assert_string_equal(mebi_precision_name((mebi_precision)MEBI_PRECISION_COUNT), "unknown");
    assert_string_equal(mebi_precision_name((mebi_precision)-1), "unknown");
}

static void the_precision_in_use_is_told(void **state) {
    (void)state;
    static const mebi_precision asked[] = {MEBI_PRECISION_AUTO, MEBI_PRECISION_F32,
                                           MEBI_PRECISION_BF16, MEBI_PRECISION_INT8};
    /* A small model keeps its digits unless it is told otherwise. */
    static const mebi_precision used[] = {MEBI_PRECISION_F32, MEBI_PRECISION_F32,
                                          MEBI_PRECISION_BF16, MEBI_PRECISION_INT8};
    for (int i = 0; i < 4; i++) {
        mebi_engine *e = open_in(asked[i], MINI, 1);
        assert_int_equal(mebi_engine_describe(e).precision, used[i]);
        int int8 = used[i] == MEBI_PRECISION_INT8;
        assert_int_equal(e->pipeline.dit.params.packed_bytes > 0, int8);
        assert_int_equal(e->pipeline.encoder.params.packed_bytes > 0, int8);
        /* Run once a prompt, read by every token. */
        assert_null(e->pipeline.dit.context_refiner[0].q.packed.buffer);
        mebi_engine_close(&e);
    }
    for (int wrong = -1; wrong < 100; wrong += 5) {
        mebi_engine_params params = {
            .model = MINI, .threads = 1, .precision = (mebi_precision)wrong};
        mebi_engine *e;
        mebi_error err = {0};
        assert_int_equal(mebi_engine_open(&params, NULL, &e, &err), MEBI_BAD_ARGUMENT);
        assert_non_null(strstr(err.text, "recision"));
        assert_null(e);
    }
}

/* ---- pictures ---- */

/* The mean must be at least 35 dB; it is 54. */
static void pictures_are_near_those_in_f32(void **state) {
    (void)state;
    static const char *const prompts[] = {"a red apple on a white background",
                                          "a blue cube on a yellow background",
                                          "纯红色背景上的一个蓝色的球", "a green star on black"};
    static made exact, quantized;
    mebi_engine *a = open_in(MEBI_PRECISION_F32, MINI, 2),
                *b = open_in(MEBI_PRECISION_INT8, MINI, 2);
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        make(a, prompts[i], SIDE, 8, &exact);
        make(b, prompts[i], SIDE, 8, &quantized);
        assert_memory_not_equal(exact.pixels, quantized.pixels, exact.bytes);
        assert_int_equal(quantized.report.exact_runs, 0);
        assert_int_equal(quantized.notices, 0);
        double db = decibels(&exact, &quantized);
        printf("  %5.1f dB: %s\n", db, prompts[i]);
        assert_true(db >= 30);
        sum += db;
    }
    assert_true(sum / 4 >= 35);
    mebi_engine_close(&a);
    mebi_engine_close(&b);
}

static void threads_and_runs_do_not_matter(void **state) {
    (void)state;
    static const char *const folders[] = {MINI, MEBI_FIXTURES "/models/tiny",
                                          MEBI_FIXTURES "/models/bf16"};
    static made first, other;
    for (int f = 0; f < 3; f++)
        for (int threads = 1; threads <= 3; threads++) {
            mebi_engine *e = open_in(MEBI_PRECISION_INT8, folders[f], threads);
            make(e, "a red apple", 80, 2, threads == 1 ? &first : &other);
            if (threads > 1) assert_memory_equal(first.pixels, other.pixels, first.bytes);
            make(e, "a red apple", 80, 2, &other); /* features from the cache */
            assert_memory_equal(first.pixels, other.pixels, first.bytes);
            mebi_engine_close(&e);
        }
}

/* ---- what is no number ---- */

/* The scale of column 0 in the matrix's first block. */
static float *scale_in(const mebi__params *p, const mebi__matrix *m) {
    assert_non_null(p->packed);
    assert_non_null(m->packed.buffer);
    int64_t group = mebi__int8_group(m->packed.shape.dim[1]);
    unsigned char *block = p->packed + m->packed.offset;
    return (float *)(void *)(block + MEBI__INT8_PANEL * group);
}

/* Encoder and every step again in f32: the picture is f32's to the last bit; repaired, int8's. */
static void a_damaged_weight_is_gone_round(void **state) {
    (void)state;
    static made exact, before, damaged, after;
    mebi_engine *f = open_in(MEBI_PRECISION_BF16, MINI, 2);
    make(f, "a red apple", 64, 3, &exact);
    mebi_engine_close(&f);
    mebi_engine *e = open_in(MEBI_PRECISION_INT8, MINI, 2);
    make(e, "a red apple", 64, 3, &before);
    mebi__features_release(&e->features); /* or it need not encode again */
    float *in_dit = scale_in(&e->pipeline.dit.params, &e->pipeline.dit.layer[2].w1);
    float *in_encoder = scale_in(&e->pipeline.encoder.params, &e->pipeline.encoder.layer[1].k);
    float good_dit = *in_dit, good_encoder = *in_encoder;
    *in_dit = *in_encoder = NAN;
    make(e, "a red apple", 64, 3, &damaged);
    assert_int_equal(damaged.report.exact_runs, 4); /* the prompt and 3 steps */
    assert_int_equal(damaged.notices, 4);
    assert_non_null(strstr(damaged.notice, "prompt"));
    assert_non_null(strstr(damaged.notice, "int8"));
    assert_memory_equal(damaged.pixels, exact.pixels, exact.bytes);
    mebi__features_release(&e->features);
    *in_dit = good_dit;
    *in_encoder = good_encoder;
    make(e, "a red apple", 64, 3, &after);
    assert_int_equal(after.report.exact_runs + after.notices, 0);
    assert_memory_equal(after.pixels, before.pixels, before.bytes);
    mebi_engine_close(&e);
}

/* At the end of step 1: notes the latents and breaks a weight, or puts latents in their place. */
typedef struct midway {
    float *scale; /* NULL: of the engine in f32 */
    float *latents;
    size_t arena_peak;
} midway;

static void at_step_1(void *context, mebi__stream *s, const char *stage, int index,
                      mebi__view view) {
    midway *m = context;
    m->arena_peak = s->arena.peak;
    if (strcmp(stage, "latents") != 0 || index != 1) return;
    assert_true(mebi__view_elements(&view) <= LATENT);
    if (!m->scale) {
        mebi__upload(s, view, m->latents);
        return;
    }
    mebi__download(s, view, m->latents);
    assert_int_equal(mebi__stream_wait(s), MEBI_OK);
    *m->scale = NAN;
}

/* Features are f32's in both, so that what follows the damage can be compared bit by bit. */
static void damage_midway_leaves_the_steps_before(void **state) {
    (void)state;
    static float latents[LATENT];
    static made damaged, exact;
    mebi_engine *e = open_in(MEBI_PRECISION_INT8, MINI, 2);
    midway m = {.scale = scale_in(&e->pipeline.dit.params, &e->pipeline.dit.layer[0].q),
                .latents = latents};
    *scale_in(&e->pipeline.encoder.params, &e->pipeline.encoder.layer[0].gate) = NAN;
    e->observe = at_step_1;
    e->observe_context = &m;
    make(e, "a red apple", 64, 4, &damaged);
    assert_int_equal(damaged.report.exact_runs, 1 + 3);
    mebi_engine_close(&e);
    e = open_in(MEBI_PRECISION_BF16, MINI, 2);
    m.scale = NULL;
    e->observe = at_step_1;
    e->observe_context = &m;
    make(e, "a red apple", 64, 4, &exact);
    assert_memory_equal(damaged.pixels, exact.pixels, exact.bytes);
    mebi_engine_close(&e);
}

/* The plan covers a job in int8 and one that is done again in f32, and the larger of them fills it.
 */
static void the_plan_covers_both_ways(void **state) {
    (void)state;
    static made out;
    static float latents[LATENT];
    for (int side = 64; side <= 128; side += 64) {
        mebi_engine *e = open_in(MEBI_PRECISION_INT8, MINI, 2);
        float unused = 0, *scale = scale_in(&e->pipeline.dit.params, &e->pipeline.dit.layer[0].q);
        midway m = {.scale = &unused, .latents = latents};
        e->observe = at_step_1;
        e->observe_context = &m;
        make(e, "a red apple", side, 2, &out);
        size_t int8 = m.arena_peak, planned = out.report.plan.arena_bytes;
        *scale = NAN;
        make(e, "a red apple", side, 2, &out);
        assert_int_equal(out.report.exact_runs, 2);
        /* Cached features take no arena: the second plan may be the smaller one. */
        assert_true(out.report.plan.arena_bytes <= planned);
        assert_true(int8 <= planned && m.arena_peak <= planned);
        assert_int_equal(int8 > m.arena_peak ? int8 : m.arena_peak, planned);
        assert_true(SANITIZED || out.report.peak_bytes <= out.report.plan.peak_bytes);
        mebi_engine_close(&e);
    }
}

/* ---- opening ---- */

static void every_allocation_of_opening_may_fail(void **state) {
    (void)state;
    mebi_engine_params params = {.model = MEBI_FIXTURES "/models/tiny",
                                 .threads = 2,
                                 .precision = MEBI_PRECISION_INT8,
                                 .cache = ""};
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    mebi_engine *e = NULL;
    int failures = 0;
    for (uint64_t nth = 1;; nth++) {
        mebi_error err = {0};
        mebi__memory_fail_nth(nth);
        mebi_status status = mebi_engine_open(&params, NULL, &e, &err);
        mebi__memory_fail_nth(0);
        if (status == MEBI_OK) break;
        assert_true(err.text[0] != 0);
        assert_null(e);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
        failures++;
    }
    assert_true(failures > 50);
    mebi_engine_close(&e);
    assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
}

typedef struct patience {
    int asked, until;
} patience;

static int lose_patience(void *context) {
    patience *p = context;
    return ++p->asked == p->until;
}

static void packing_can_be_cancelled(void **state) {
    (void)state;
    mebi_engine_params params = {
        .model = MINI, .threads = 2, .precision = MEBI_PRECISION_INT8, .cache = ""};
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    int during = 0;
    for (int until = 1;; until += 7) {
        patience p = {.until = until};
        mebi_callbacks c = {.context = &p, .cancelled = lose_patience};
        mebi_engine *e;
        mebi_error err = {0};
        mebi_status status = mebi_engine_open(&params, &c, &e, &err);
        mebi_engine_close(&e);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
        if (status == MEBI_OK) break;
        assert_int_equal(status, MEBI_CANCELLED);
        during += strstr(err.text, "packed") != NULL;
    }
    assert_true(during > 3);
}

/* ---- the audit ---- */

static mebi_audit_report *audit_of(const mebi_audit_params *params,
                                   const mebi__bench_configs *configs) {
    static mebi_audit_report report;
    mebi_error err = {0};
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    assert_mebi_ok(configs ? mebi__audit(params, configs, &report, &err)
                           : mebi_audit(params, &report, &err),
                   &err);
    assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
    return &report;
}

static const mebi_audit_line *line_of(const mebi_audit_result *r, const char *stage) {
    for (int i = 0; i < r->lines; i++)
        if (strcmp(r->line[i].stage, stage) == 0) return &r->line[i];
    fail_msg("no stage %s", stage);
    return NULL;
}

static void the_audit_tells_each_layer(void **state) {
    (void)state;
    static const char *const plain[] = {"dit.cap_embedder", "dit.context_refiner.0", "dit.t_emb",
                                        "dit.x_embedder"};
    mebi_audit_params params = mebi_audit_params_default();
    params.engine.model = MINI;
    params.width = params.height = 64;
    mebi_audit_report *report = audit_of(&params, NULL);
    const mebi_audit_result *dit = &report->part[MEBI_AUDIT_TRANSFORMER];
    const mebi_audit_result *encoder = &report->part[MEBI_AUDIT_ENCODER];
    for (int i = 0; i < 4; i++) {
        const mebi_audit_line *l = line_of(dit, plain[i]);
        assert_true(l->error == 0 && l->added == 0 && l->furthest == 0 && l->largest > 0);
    }
    /* The first quantized layer reads what is exact either way; later ones pass errors on. */
    const mebi_audit_line *refiner = line_of(dit, "dit.noise_refiner.0");
    assert_true(refiner->error > 1e-4 && refiner->error == refiner->added);
    for (int i = 0; i < 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "dit.layers.%d", i);
        const mebi_audit_line *l = line_of(dit, name);
        assert_true(l->added > 1e-4 && l->added < 0.02 && l->error > 0.9 * l->added);
        assert_true(l->furthest > 0 && l->furthest < l->largest);
    }
    assert_true(line_of(dit, "dit.final_layer")->added == 0); /* it is not quantized */
    assert_string_equal(dit->line[dit->lines - 1].stage, "dit.output");
    assert_true(dit->error == dit->line[dit->lines - 1].error);
    assert_true(dit->error > 1e-3 && dit->error < 0.03);
    assert_true(encoder->error > 1e-3 && encoder->error < 0.03);
    /* Rounding to 8 bits, once a layer. */
    assert_true(dit->floor > 5e-4 && dit->floor < dit->error);
    assert_true(line_of(encoder, "encoder.embed")->error == 0);
    assert_int_equal(dit->kinds, MEBI_AUDIT_KINDS);
    /* One kind is less than all, and together, as independent errors add, about all. */
    double squares = 0;
    for (int k = 0; k < MEBI_AUDIT_KINDS; k++) {
        assert_true(dit->kind[k].error > 0 && dit->kind[k].error < dit->error);
        squares += dit->kind[k].error * dit->kind[k].error;
    }
    assert_true(fabs(sqrt(squares) / dit->error - 1) < 0.25);
}

/* Dimensions for random weights; two of the widths are of groups of 32. */
static const mebi__dit_config small_dit = {
    .dim = 96,
    .layers = 3,
    .refiner_layers = 1,
    .heads = 3,
    .head_dim = 32,
    .ffn_hidden = 256,
    .caption_dim = 64,
    .channels = 4,
    .patch = 2,
    .adaln_dim = 48,
    .time_hidden = 80,
    .time_frequencies = 32,
    .norm_eps = 1e-5f,
    .time_scale = 1000,
    .rope_theta = 256,
    .axes_dim = {8, 12, 12},
    .axes_len = {256, 64, 64},
};
static const mebi__qwen3_config small_encoder = {
    .hidden = 64,
    .layers = 3,
    .heads = 4,
    .kv_heads = 2,
    .head_dim = 32,
    .intermediate = 128,
    .vocab = 300,
    .norm_eps = 1e-6f,
    .rope_theta = 1e6,
};
static const mebi__vae_config small_vae = {
    .latent_channels = 4,
    .levels = 2,
    .block_channels = {32, 64},
    .layers_per_block = 1,
    .groups = 8,
    .scaling = 0.5f,
    .shift = 0.1f,
};

static void the_audit_needs_no_model(void **state) {
    (void)state;
    const mebi__bench_configs configs = {&small_dit, &small_encoder, &small_vae};
    mebi_audit_params params = mebi_audit_params_default();
    double error[2];
    params.width = params.height = 32;
    for (int outliers = 0; outliers < 2; outliers++) {
        params.outliers = outliers;
        mebi_audit_report *report = audit_of(&params, &configs);
        assert_true(report->random);
        for (int part = 0; part < MEBI_AUDIT_PARTS; part++)
            assert_true(report->part[part].error > 1e-4 && report->part[part].error < 0.1);
        error[outliers] = report->part[MEBI_AUDIT_TRANSFORMER].error;
    }
    assert_true(error[1] != error[0]);
    params.parts = 1u << MEBI_AUDIT_ENCODER;
    assert_int_equal(audit_of(&params, &configs)->part[MEBI_AUDIT_TRANSFORMER].lines, 0);
}

static void wrong_audits_are_refused(void **state) {
    (void)state;
    const mebi_audit_params usual = {
        .engine = {.model = MINI}, .parts = 3, .width = 64, .height = 64, .tokens = 8};
    mebi_audit_params wrong[9];
    static const char *const says[9] = {"part",     "0 tokens", "513 tokens", "threads", "bf16",
                                        "Outliers", "60x64",    "64x0",       "nowhere"};
    for (int i = 0; i < 9; i++) wrong[i] = usual;
    wrong[0].parts = 4;
    wrong[1].tokens = 0;
    wrong[2].tokens = 513;
    wrong[3].engine.threads = 257;
    wrong[4].engine.precision = MEBI_PRECISION_BF16;
    wrong[5].outliers = 1;
    wrong[6].width = 60;
    wrong[7].height = 0;
    wrong[8].engine.model = "nowhere";
    for (int i = 0; i < 9; i++) {
        static mebi_audit_report report;
        mebi_error err = {0};
        mebi_status status = mebi_audit(&wrong[i], &report, &err);
        if (i < 8) assert_int_equal(status, MEBI_BAD_ARGUMENT);
        else assert_int_not_equal(status, MEBI_OK);
        if (!strstr(err.text, says[i])) fail_msg("%d: %s", i, err.text);
    }
}

/* A part whose exact pass is no number has nothing to be compared with; one whose int8 pass is none
 * has no error either, and both are said. */
static void the_audit_survives_what_is_no_number(void **state) {
    (void)state;
    mebi__dit_config broken = small_dit;
    mebi__bench_configs configs = {&broken, &small_encoder, &small_vae};
    mebi_audit_params params = mebi_audit_params_default();
    static mebi_audit_report report;
    mebi_error err = {0};
    params.width = params.height = 32;
    params.parts = 1u << MEBI_AUDIT_TRANSFORMER;
    broken.time_scale = INFINITY;
    assert_int_equal(mebi__audit(&params, &configs, &report, &err), MEBI_NUMERIC);
    assert_non_null(strstr(err.text, "not a number"));
    assert_int_equal(report.part[MEBI_AUDIT_TRANSFORMER].lines, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(precisions_have_names),
        cmocka_unit_test(the_precision_in_use_is_told),
        cmocka_unit_test(pictures_are_near_those_in_f32),
        cmocka_unit_test(threads_and_runs_do_not_matter),
        cmocka_unit_test(a_damaged_weight_is_gone_round),
        cmocka_unit_test(damage_midway_leaves_the_steps_before),
        cmocka_unit_test(the_plan_covers_both_ways),
        cmocka_unit_test(every_allocation_of_opening_may_fail),
        cmocka_unit_test(packing_can_be_cancelled),
        cmocka_unit_test(the_audit_tells_each_layer),
        cmocka_unit_test(the_audit_needs_no_model),
        cmocka_unit_test(wrong_audits_are_refused),
        cmocka_unit_test(the_audit_survives_what_is_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

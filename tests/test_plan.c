/* Planning without loading: machines by name, and shapes in place of weights. */
#include "testing.h"

#include "base/memory.h"
#include "base/os.h"
#include "mebi/engine.h"
#include "plan/devices.h"

#include <unistd.h>

/* ---- machines ---- */

static const char *found(const char *name) {
    const mebi__planned_device *d = NULL;
    mebi_error err = {0};
    assert_mebi_ok(mebi__planned_device_find(name, &d, &err), &err);
    return d->name;
}

static void finds_machines(void **state) {
    (void)state;
    assert_string_equal(found("RTX 3060 12GB"), "RTX 3060 12GB");
    assert_string_equal(found("rtx3060"), "RTX 3060 12GB");
    assert_string_equal(found("RTX-3060"), "RTX 3060 12GB");
    assert_string_equal(found("NVIDIA GeForce RTX 4090"), "RTX 4090");
    assert_string_equal(found("4060 ti"), "RTX 4060 Ti 8GB");
    assert_string_equal(found("rtx 4060 ti 16 gb"), "RTX 4060 Ti 16GB");
    assert_string_equal(found("AMD Radeon RX 7900 XTX"), "RX 7900 XTX");
    assert_string_equal(found("h100"), "H100 80GB");
    assert_string_equal(found("i5 12400f") , "Core i5-12400");
    for (int i = 0; mebi_device_name(i); i++)
        assert_string_equal(found(mebi_device_name(i)), mebi_device_name(i));
    assert_null(mebi_device_name(-1));
}

static void names_the_nearest(void **state) {
    (void)state;
    static const char longest[] = "a very long name of a machine that nobody ever built, nor will, however long one "
                                  "waits for it";
    const char *const wrong[] = {"RTX 3091", "", "rtx", longest};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const mebi__planned_device *d = NULL;
        mebi_error err = {0};
        assert_int_equal(mebi__planned_device_find(wrong[i], &d, &err), MEBI_BAD_ARGUMENT);
        if (i == 0) assert_non_null(strstr(err.text, "Did you mean RTX 3090"));
    }
}

static void machines_are_plausible(void **state) {
    (void)state;
    static mebi__rates rates;
    for (int i = 0; mebi_device_name(i); i++) {
        const mebi__planned_device *d = mebi__planned_device_at(i);
        assert_true(d->int8 >= d->bf16 && d->bf16 >= d->f32 && d->f32 > 0 && d->year >= 2020);
        assert_true(d->bandwidth > d->link && d->reserved_gb < d->memory_gib && d->source[0]);
        mebi__planned_device_rates(d, 0, &rates);
        assert_true(rates.roofline.bf16 < d->bf16 * 1e12 && rates.roofline.bytes < d->bandwidth * 1e9);
        assert_true(rates.roofline.file_bytes < d->link * 1e9);
        double bf16 = rates.roofline.bf16;
        mebi__planned_device_rates(d, 1, &rates);
        assert_true(rates.roofline.bf16 == rates.roofline.f32 && rates.roofline.bf16 <= bf16);
        assert_true((double)mebi__planned_device_room(d) < d->memory_gib * 1073741824.0);
    }
}

/* ---- shapes ---- */

static mebi_plan plan_of(const mebi_engine_params *params, int side, int steps) {
    mebi_engine *engine;
    mebi_error err = {0};
    mebi_plan plan;
    assert_mebi_ok(mebi_engine_open(params, NULL, &engine, &err), &err);
    mebi_request request = mebi_request_default(engine);
    request.prompt = "a red apple on a white background";
    request.width = request.height = side;
    request.steps = steps;
    assert_mebi_ok(mebi_plan_request(engine, &request, &plan, &err), &err);
    mebi_engine_close(&engine);
    assert_null(engine);
    return plan;
}

/* What is planned from headers is what a loaded model plans, to the byte. */
static void headers_tell_as_much_as_weights(void **state) {
    (void)state;
    char folder[] = "/tmp/mebi-plan-XXXXXX", command[80];
    assert_non_null(mkdtemp(folder));
    for (int p = MEBI_PRECISION_F32; p < MEBI_PRECISION_COUNT; p++)
        for (int cached = 0; cached < 2; cached++) {
            mebi_engine_params params = {.model = "models/mini", .precision = (mebi_precision)p,
                                         .cache = cached ? folder : "", .threads = 2};
            mebi_plan loaded = plan_of(&params, 256, 2);
            params.plan_only = 1;
            mebi_plan planned = plan_of(&params, 256, 2);
            assert_int_equal(planned.arena_bytes, loaded.arena_bytes);
            assert_int_equal(planned.scratch_bytes, loaded.scratch_bytes);
            assert_int_equal(planned.output_bytes, loaded.output_bytes);
            assert_int_equal(planned.file_bytes, loaded.file_bytes);
            for (int m = MEBI_MEMORY_DIT; m <= MEBI_MEMORY_VAE; m++)
                assert_int_equal(planned.memory[m], loaded.memory[m]);
            assert_int_equal(planned.verdict, MEBI_FITS);
        }
    snprintf(command, sizeof command, "rm -r %s", folder);
    assert_int_equal(system(command), 0);
}

static void the_published_model_costs_nothing_to_plan(void **state) {
    (void)state;
    mebi_engine_params params = {.plan_only = 1, .cache = "", .precision = MEBI_PRECISION_BF16,
                                 .budget_bytes = 64000000000u, .planned_device = "A100 80GB"};
    mebi_engine *engine;
    mebi_error err = {0};
    mebi_plan plan;
    size_t before = mebi__memory_held(MEBI__TAG_COUNT);
    double began = mebi__now_seconds();
    assert_mebi_ok(mebi_engine_open(&params, NULL, &engine, &err), &err);
    assert_true(mebi__now_seconds() - began < 3); /* 0.05 s without a sanitizer */
    assert_true(mebi__memory_held(MEBI__TAG_COUNT) - before < 8000000);
    assert_int_equal(mebi_engine_describe(engine).shapes_only, 1);
    mebi_request request = mebi_request_default(engine);
    assert_int_equal(request.width, 1024);
    assert_mebi_ok(mebi_plan_request(engine, &request, &plan, &err), &err);
    assert_int_equal(plan.estimate, 1);
    /* 6.15 and 3.92 billion weights (Qwen3-4B without its last layer) in 2 bytes; a prompt reads hardly any of
     * the 0.39 billion of the table of tokens. */
    assert_true(plan.memory[MEBI_MEMORY_DIT] > 12200000000u && plan.memory[MEBI_MEMORY_DIT] < 12450000000u);
    assert_true(plan.memory[MEBI_MEMORY_ENCODER] > 7000000000u &&
                plan.memory[MEBI_MEMORY_ENCODER] < 7900000000u);
    request.prompt = "a";
    assert_int_equal(mebi_generate(engine, &request, NULL, NULL, &err), MEBI_BAD_ARGUMENT);
    mebi_engine_close(&engine);
}

static void int8_is_mapped_or_held(void **state) {
    (void)state;
    mebi_engine_params params = {.plan_only = 1, .cache = "/tmp/there-is-nothing-here",
                                 .precision = MEBI_PRECISION_INT8, .planned_device = "H100"};
    mebi_plan mapped = plan_of(&params, 512, 8);
    params.cache = "";
    mebi_plan held = plan_of(&params, 512, 8);
    assert_true(mapped.file_bytes > 6000000000u && mapped.peak_bytes < 4000000000u);
    assert_true(held.peak_bytes > mapped.peak_bytes + 6000000000u);
    assert_false(mebi__is_directory("/tmp/there-is-nothing-here"));
}

static void a_faster_machine_is_faster(void **state) {
    (void)state;
    mebi_engine_params params = {.plan_only = 1, .planned_device = "RTX 3060"};
    double slow = plan_of(&params, 1024, 8).total_seconds;
    params.planned_device = "RTX 4090";
    double fast = plan_of(&params, 1024, 8).total_seconds;
    assert_true(fast > 0 && slow > 2 * fast && slow < 20 * fast);
}

static void other_machines_are_only_planned_for(void **state) {
    (void)state;
    mebi_engine_params params = {.model = "models/mini", .planned_device = "RTX 3060"};
    mebi_engine *engine;
    mebi_error err = {0};
    assert_int_equal(mebi_engine_open(&params, NULL, &engine, &err), MEBI_BAD_ARGUMENT);
    assert_null(engine);
    assert_non_null(strstr(err.text, "planned for"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_machines),
        cmocka_unit_test(names_the_nearest),
        cmocka_unit_test(machines_are_plausible),
        cmocka_unit_test(headers_tell_as_much_as_weights),
        cmocka_unit_test(the_published_model_costs_nothing_to_plan),
        cmocka_unit_test(int8_is_mapped_or_held),
        cmocka_unit_test(a_faster_machine_is_faster),
        cmocka_unit_test(other_machines_are_only_planned_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

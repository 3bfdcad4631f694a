/* mebi plan as its users meet it. */
#include "cli_run.h"

#include <jansson.h>

static json_t *printed_json(void) {
    json_t *o = json_loads(ran.out.text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    return o;
}

static const char *text_of(json_t *o, const char *key) {
    const char *text = json_string_value(json_object_get(o, key));
    assert_non_null(text);
    return text;
}

static double number_of(json_t *o, const char *key) {
    json_t *value = json_object_get(o, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void plans_one(void **state) {
    (void)state;
    assert_code(RUN("plan", "--device", "rtx3090", "--size", "1024", "--json"), 0);
    json_t *o = printed_json();
    assert_string_equal(text_of(o, "verdict"), "fits");
    assert_true(number_of(o, "seconds") > 1 && number_of(o, "peak_bytes") > 1e8);
    assert_true(json_is_true(json_object_get(o, "estimate")));
    assert_true(text_of(o, "strategy")[0] != 0);
    assert_int_equal(json_array_size(json_object_get(o, "alternatives")), 0);
    double sum = 0;
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(o, "memory"), key, value) sum += json_number_value(value);
    assert_true(sum == number_of(o, "need_bytes"));
    json_decref(o);
    assert_code(RUN("plan", "--device", "rtx3090", "--size", "1024"), 0);
    assert_printed("RTX 3090");
    assert_printed("an estimate");
    assert_printed("activations");
    if (strchr(ran.out.text, '\033')) fail_msg("colours where there is no terminal");
}

/* A refused request names others; each is a command that works. */
static void too_big_names_what_fits(void **state) {
    (void)state;
    assert_code(RUN("plan", "--device", "3060", "--size", "2048", "--budget", "2G", "--json"), 3);
    json_t *o = printed_json(), *all = json_object_get(o, "alternatives"), *one;
    size_t i;
    assert_string_equal(text_of(o, "verdict"), "too_big");
    assert_true(json_array_size(all) > 0);
    json_array_foreach(all, i, one) {
        char command[512];
        const char *word[40] = {0};
        int n = 0;
        snprintf(command, sizeof command, "%s", text_of(one, "command"));
        assert_true(strncmp(command, "mebi plan ", 10) == 0);
        for (char *at = strtok(command + 5, " "); at && n < 39; at = strtok(NULL, " ")) word[n++] = at;
        assert_code(run_words(&(start_how){0}, word), 0);
    }
    json_decref(o);
    assert_code(RUN("plan", "--device", "3060", "--size", "2048", "--budget", "2G"), 3);
    assert_printed("too big");
    assert_printed("mebi plan --budget 2G --device 3060 --size ");
}

static void assert_narrow(void) {
    const char *at = ran.out.text;
    for (const char *end; (end = strchr(at, '\n')); at = end + 1)
        if (end - at > 100) fail_msg("%d columns: %.*s", (int)(end - at), (int)(end - at), at);
}

static void plans_tables(void **state) {
    (void)state;
    assert_code(RUN("plan", "--device", "ryzen 9 7950x", "--all"), 0);
    assert_printed("estimate");
    assert_printed("2048x2048     4");
    assert_narrow();
    assert_code(RUN("plan", "--device", "4060 ti", "--profiles"), 0);
    assert_printed("12 GB and less");
    assert_printed("40 GB and more");
    assert_narrow();
    assert_code(RUN("plan", "--device", "4060 ti", "--precision", "all", "--size", "1024", "--json"), 0);
    json_t *all = printed_json();
    assert_int_equal(json_array_size(all), 3);
    assert_string_equal(text_of(json_array_get(all, 2), "precision"), "int8");
    json_decref(all);
    assert_code(RUN("plan", "--device", "3060", "--budget", "300M"), 3);
}

static void shares_are_of_the_planned_machine(void **state) {
    (void)state;
    assert_code(RUN("plan", "--device", "RTX 3090", "--budget", "50%", "--size", "512", "--json"), 0);
    json_t *o = printed_json();
    /* Half of 24 GiB, less the driver's. */
    assert_true(number_of(o, "budget_bytes") > 12e9 && number_of(o, "budget_bytes") < 12.9e9);
    json_decref(o);
}

/* Here: what `mebi generate` then takes. */
static void plans_for_this_machine(void **state) {
    (void)state;
    assert_code(RUN("plan", "-m", TINY, "--size", "64", "--json"), 0);
    json_t *o = printed_json();
    assert_string_equal(text_of(o, "machine"), "this machine");
    assert_true(json_is_false(json_object_get(o, "estimate")));
    assert_true(number_of(o, "seconds") > 0);
    json_decref(o);
}

static void tells_what_is_wrong(void **state) {
    (void)state;
    assert_code(RUN("plan", "--devices"), 0);
    assert_printed("RTX 3060 12GB\n");
    assert_code(RUN("plan", "--device", "RTX 3091"), 2);
    assert_said("Did you mean RTX 3090");
    assert_code(RUN("plan", "--device", "3060", "--size", "1000"), 2);
    assert_said("multiples of 16");
    assert_code(RUN("plan", "-m", "nowhere", "--size", "1024"), 1);
    assert_said("There is no model folder nowhere");
    assert_code(RUN("plan", "--help"), 0);
    assert_printed("usage: mebi plan");
}

static int begin(void **state) {
    int failed = enter_folder(state);
    if (!failed) setenv("MEBI_CACHE_DIR", folder, 1); /* what is measured stays there */
    return failed;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_one),
        cmocka_unit_test(too_big_names_what_fits),
        cmocka_unit_test(plans_tables),
        cmocka_unit_test(shares_are_of_the_planned_machine),
        cmocka_unit_test(plans_for_this_machine),
        cmocka_unit_test(tells_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, begin, leave_folder);
}

/* Settings and drafts as users of the command meet them. */
#include "cli_run.h"

#include "mebi/mebi.h"

#include <jansson.h>

#define QUICK "generate", "-m", TINY, "-p", "a"

static json_t *own_entry(json_t **info, const char *path) {
    assert_code(RUN("info", "--json", path), 0);
    *info = json_loads(ran.out.text, JSON_REJECT_DUPLICATES, NULL);
    json_t *own = json_object_get(json_object_get(*info, "texts"), "mebi");
    assert_true(json_is_object(own));
    return own;
}

static void assert_made_with(const char *path, const char *key, double wanted) {
    json_t *info, *own = own_entry(&info, path);
    double found = json_number_value(json_object_get(own, key));
    if (found != wanted) fail_msg("%s: %s is %g, not %g", path, key, found, wanted);
    json_decref(info);
}

/* ---- mebi config ---- */

static void begins_a_file(void **state) {
    (void)state;
    setenv("XDG_CONFIG_HOME", folder, 1);
    unsetenv("MEBI_CONFIG");
    assert_code(RUN("config"), 0);
    assert_printed("There is no config.yaml");
    assert_code(RUN("config", "--init"), 0);
    assert_printed("/mebi/config.yaml\n");
    assert_code(RUN("config", "--check"), 0);
    assert_printed("config.yaml: fine; 0 of 32 settings");
    assert_code(RUN("config", "--init"), 2);
    assert_said("exists and is not overwritten");
    assert_code(RUN("config", "--init", "sub/own.yaml"), 0);
    assert_printed("sub/own.yaml\n");
    assert_true(files_equal("sub/own.yaml", "mebi/config.yaml"));
    assert_code(RUN("config"), 0);
    assert_printed("/mebi/config.yaml\n\n");
    assert_int_equal(count_files(""), 2);
    assert_code(RUN("config", "--init", "/proc/x.yaml"), 1);
    unsetenv("XDG_CONFIG_HOME");
}

static void shows_where_settings_come_from(void **state) {
    (void)state;
    write_text("c.yaml", "steps: 9\nuse_tiled_vae: true\noutput:\n  dir: p\n");
    setenv("MEBI_CFG", "2.5", 1);
    assert_code(RUN("config", "--json", "--config", "c.yaml"), 0);
    assert_printed(
        "{\"file\":\"c.yaml\",\"settings\":{\"model\":{\"value\":\"\",\"origin\":\"default\"}");
    assert_printed("\"steps\":{\"value\":\"9\",\"origin\":\"file\",\"line\":1}");
    assert_printed("\"cfg\":{\"value\":\"2.5\",\"origin\":\"environment\"}");
    assert_printed("\"decode\":{\"value\":\"tiled\",\"origin\":\"file\",\"line\":2,\"called\":"
                   "\"use_tiled_vae\"}");
    assert_code(RUN("config", "--show", "--config", "c.yaml"), 0);
    assert_printed("decode                      tiled                    line 2, use_tiled_vae\n");
    assert_printed("cfg                         2.5                      MEBI_CFG\n");
    assert_printed("count                       1                        default\n");
    setenv("MEBI_CFG", "many", 1);
    assert_code(RUN("config"), 2);
    assert_said("The environment's MEBI_CFG takes a number from 0 to 100, not 'many'.");
    unsetenv("MEBI_CFG");
}

static void checks_a_file(void **state) {
    (void)state;
    write_text("c.yaml", "steps: 9\ncfg: 2\n");
    assert_code(RUN("config", "--check", "c.yaml"), 0);
    assert_printed("c.yaml: fine; 2 of 32 settings are in it\n");
    write_text("c.yaml", "steps: 9\nsteps: \"\\e\"\n");
    assert_code(RUN("config", "--check", "c.yaml"), 2);
    assert_said("mebi: c.yaml:2: ");
    assert_code(RUN("config", "--check", "nowhere.yaml"), 1);
    assert_said("nowhere.yaml can't be opened");
    assert_code(RUN("config", "--check"), 2);
    assert_said("no config.yaml to check");
    assert_code(RUN("config", "--check", "--init"), 2);
    assert_said("Only one of");
    assert_code(RUN("config", "c.yaml"), 2);
    assert_said("write --config c.yaml");
    assert_code(RUN("config", "--check", "--config", "c.yaml"), 2);
    assert_code(RUN("config", "--help"), 0);
    assert_printed("usage: mebi config");
}

/* A file in the working folder may be somebody else's. */
static void does_not_read_the_working_folder(void **state) {
    (void)state;
    write_text("config.yaml", "steps: nonsense\n");
    unsetenv("MEBI_CONFIG");
    setenv("XDG_CONFIG_HOME", "/nowhere", 1);
    assert_code(RUN("config"), 0);
    assert_said("config.yaml in this folder is not read");
    assert_code(RUN(SMALL), 0);
    assert_code(RUN(SMALL, "--config", "config.yaml"), 2);
    assert_said("config.yaml:1: steps takes");
    unsetenv("XDG_CONFIG_HOME");
}

/* ---- settings of a picture ---- */

static void makes_what_the_file_says(void **state) {
    (void)state;
    write_text("c.yaml", "model: " TINY "\nsize: 32x16\nsteps: 2\ncfg: 1.5\nseed: 7\ncount: 2\n"
                         "output: {dir: 100%, naming: \"%model/%seed_%size_%steps_%cfg_%i\"}\n");
    setenv("MEBI_CONFIG", "c.yaml", 1);
    assert_code(RUN("generate", "-p", "a"), 0);
    assert_printed("100%/tiny/8_32x16_2_1.5_2.png  32x16  seed 8\n");
    assert_code(RUN("generate", "-p", "a", "-m", TINY, "--size=32x16", "--steps=2", "--cfg=1.5",
                    "--seed=7", "--count=1", "-o", "x.png"),
                0);
    assert_true(files_equal("100%/tiny/7_32x16_2_1.5_1.png", "x.png"));
    setenv("MEBI_STEPS", "3", 1);
    assert_code(RUN("generate", "-p", "a", "--cfg", "0", "--count=1", "-H", "48", "-o", "y.png"),
                0);
    unsetenv("MEBI_STEPS");
    assert_printed("y.png  32x48  seed 7\n");
    assert_made_with("y.png", "steps", 3);
    assert_made_with("y.png", "cfg", 0);
}

static void refuses_a_bad_file(void **state) {
    (void)state;
    write_text("c.yaml", "steps: 2\nsize: 99x\n");
    assert_code(RUN(SMALL, "--config", "c.yaml", "-o", "x.png"), 2);
    assert_said("c.yaml:2: size: '99x' is not a size");
    assert_code(RUN(SMALL, "--config", "nowhere.yaml"), 1);
    assert_said("nowhere.yaml can't be opened");
    assert_code(RUN(SMALL, "--config", ""), 2);
    assert_int_equal(count_files(".png"), 0);
}

static void tells_what_has_no_effect(void **state) {
    (void)state;
    write_text("c.yaml", "enable_xformers: false\n");
    assert_code(RUN(SMALL, "--config", "c.yaml"), 0);
    assert_said(
        "enable_xformers (memory_efficient_attention) is set to false, which has no effect");
    assert_code(RUN(SMALL, "--config", "c.yaml", "-q"), 0);
    assert_int_equal(ran.err.length, 0);
}

static void refuses_bad_options(void **state) {
    static const struct {
        const char *words[3], *says;
    } bad[] = {
        {{"--budget", "12"}, "--budget is an amount of memory and needs a unit: 12G"},
        {{"--budget", "0%"}, "--budget takes a share"},
        {{"--budget="}, "--budget takes an amount"},
        {{"--quality", "best"}, "--quality takes high, exact or any, not 'best'."},
        {{"--weights", "gone"}, "--weights takes auto, resident, freed or streamed, not 'gone'."},
        {{"--decode", "true"}, "--decode takes auto, whole, strips or tiled, not 'true'."},
        {{"--draft=1"}, "--draft takes a whole number from 2 to 8, not '1'."},
        {{"--draft=9"}, "--draft takes"},
        {{"--draft=two"}, "'two'"},
        {{"--draft", "2"}, "'2' is one argument too many"},
        {{"--draft", "--draft"}, "--draft is given twice"},
        {{"--draft", "--from-draft=x.png"}, "Give either --draft or --from-draft."},
        {{"--from-draft", "x.png"}, "x.png can't be opened"},
        {{"--from-draft", "/etc/passwd"}, "/etc/passwd is not a PNG"},
        {{"-o", "%date%x.png"}, "has a % that is not %seed"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int code = RUN(QUICK, bad[i].words[0], bad[i].words[1], bad[i].words[2]);
        if (code != 1 && code != 2) fail_msg("%s: exit code %d", bad[i].words[0], code);
        assert_said(bad[i].says);
        assert_not_said("loading");
    }
    assert_int_equal(count_files(""), 0);
}

/* ---- drafts ---- */

#define ABOUT                                                                                      \
    "{\"program\":\"mebi\",\"prompt\":\"a\",\"negative_prompt\":null,\"steps\":2,\"cfg\":1.5,"     \
    "\"cfg_truncation\":1,\"cfg_normalization\":0,\"seed\":7,\"model_hash\":\"0123\""

/* A picture of 16x16 that says something under a keyword. */
static void write_picture(const char *path, const char *keyword, const char *text) {
    unsigned char pixels[16 * 16 * 3] = {0};
    mebi_image image = {16, 16, pixels};
    mebi_png_text entry = {keyword, text};
    mebi_error err = {0};
    unlink(path);
    assert_mebi_ok(mebi_png_save(path, &image, &entry, 1, NULL, &err), &err);
}

static void renders_a_draft_large(void **state) {
    (void)state;
    write_picture("d.png", "mebi", ABOUT ",\"draft\":{\"factor\":2,\"width\":32,\"height\":48}}");
    write_text("c.yaml", "count: 3\nseed: 1\nsteps: 1\ncfg: 0\nsize: 16\n");
    setenv("MEBI_CONFIG", "c.yaml", 1);
    assert_code(RUN("generate", "-m", TINY, "--from-draft", "d.png", "-o", "1.png"), 0);
    assert_printed("1.png  32x48  seed 7\n");
    assert_said("the draft was made with another model");
    assert_code(RUN(QUICK, "--size=32x48", "--steps=2", "--cfg=1.5", "--seed=7", "--count=1", "-o",
                    "2.png"),
                0);
    assert_true(files_equal("1.png", "2.png"));
    assert_code(RUN("generate", "-m", TINY, "--from-draft", "d.png", "-p", "b", "--steps", "1",
                    "--seed", "8", "--count", "2", "-n", "c", "-o", "%seed.png"),
                0);
    assert_printed("9.png  32x48  seed 9\n");
    assert_made_with("9.png", "steps", 1);
    assert_made_with("9.png", "cfg", 1.5);
}

static void makes_drafts(void **state) {
    (void)state;
    assert_code(
        RUN(QUICK, "--size", "64x96", "--steps", "1", "--seed", "5", "--draft", "-o", "d.png"), 0);
    assert_printed("d.png  32x48  seed 5\n");
    json_t *info, *own = own_entry(&info, "d.png"), *of = json_object_get(own, "draft");
    assert_int_equal(json_integer_value(json_object_get(own, "width")), 32);
    assert_int_equal(json_integer_value(json_object_get(of, "factor")), 2);
    assert_int_equal(json_integer_value(json_object_get(of, "width")), 64);
    assert_int_equal(json_integer_value(json_object_get(of, "height")), 96);
    json_decref(info);
    assert_code(RUN("generate", "-m", TINY, "--from-draft", "d.png", "-o", "l.png"), 0);
    assert_printed("l.png  64x96  seed 5\n");
    assert_not_said("another model");
    assert_code(RUN(QUICK, "--size", "64x96", "--steps", "1", "--seed", "5", "-o", "direct.png"),
                0);
    assert_true(files_equal("l.png", "direct.png"));
    assert_code(RUN("generate", "-m", TINY, "--from-draft", "l.png"), 2);
    assert_said("l.png is no draft");
    assert_code(RUN(QUICK, "--size", "1:1", "--steps", "1", "--draft=4", "-o", "4.png"), 0);
    assert_printed("4.png  64x64");
    assert_code(RUN(QUICK, "--size", "48", "--steps", "1", "--draft"), 2);
    assert_said("multiples of 32");
}

/* A prompt is what was drawn, not where to read one. */
static void draws_a_hyphen(void **state) {
    (void)state;
    write_picture(
        "d.png", "mebi",
        "{\"program\":\"mebi\",\"prompt\":\"-\",\"steps\":1,\"cfg\":0,\"cfg_truncation\":1,"
        "\"cfg_normalization\":0,\"seed\":7,\"draft\":{\"factor\":2,\"width\":32,\"height\":32}}");
    assert_code(run_with_input(
                    "b", 1, WORDS("generate", "-m", TINY, "--from-draft", "d.png", "-o", "1.png")),
                0);
    json_t *info, *own = own_entry(&info, "1.png");
    assert_string_equal(json_string_value(json_object_get(own, "prompt")), "-");
    json_decref(info);
}

static void refuses_what_is_no_draft(void **state) {
#define DRAFT(about) about ",\"draft\":{\"factor\":2,\"width\":32,\"height\":32}}"
#define START                                                                                      \
    "{\"program\":\"mebi\",\"prompt\":\"a\",\"cfg\":0,\"cfg_truncation\":1,\"cfg_normalization\":" \
    "0"
    static const struct {
        const char *keyword, *text;
        int code;
        const char *says;
    } bad[] = {
        {"parameters", "a\nSteps: 8", 2, "d.png does not say how it was made"},
        {"mebi", ABOUT "}", 2, "is no draft: it is a whole picture already"},
        {"mebi", "{", 1, "\"mebi\" is missing or makes no sense"},
        {"mebi", "[]", 1, "\"program\" is missing"},
        {"mebi", "{\"program\":\"mebi\",\"program\":\"mebi\"}", 1, "makes no sense"},
        {"mebi", "{\"program\":7}", 1, "\"program\""},
        {"mebi", "{\"program\":\"other\",\"draft\":{}}", 1, "\"program\""},
        {"mebi", ABOUT ",\"draft\":{}}", 1, "\"draft\" is missing"},
        {"mebi", ABOUT ",\"draft\":7}", 1, "\"draft\""},
        {"mebi", ABOUT ",\"draft\":{\"width\":\"32\",\"height\":32}}", 1, "\"draft\""},
        {"mebi", ABOUT ",\"draft\":{\"width\":-32,\"height\":32}}", 1, "\"draft\""},
        {"mebi", ABOUT ",\"draft\":{\"width\":32,\"height\":1e9}}", 1, "\"draft\""},
        {"mebi", ABOUT ",\"draft\":{\"width\":17,\"height\":32}}", 2, "multiples of 16"},
        {"mebi", DRAFT(START ",\"seed\":1"), 1, "\"steps\" is missing"},
        {"mebi", DRAFT(START ",\"steps\":\"8\",\"seed\":1"), 1, "\"steps\""},
        {"mebi", DRAFT(START ",\"steps\":1000,\"seed\":1"), 1, "d.png: The picture's steps takes"},
        {"mebi", DRAFT(START ",\"steps\":8.5,\"seed\":1"), 1, "'8.5'"},
        {"mebi", DRAFT(START ",\"steps\":8,\"seed\":-9223372036854775808"), 1,
         "The picture's seed takes"},
        {"mebi", DRAFT("{\"program\":\"mebi\",\"prompt\":\"a\",\"steps\":1,\"cfg\":1e300"), 1,
         "The picture's cfg"},
        {"mebi",
         DRAFT("{\"program\":\"mebi\",\"steps\":1,\"seed\":1,\"cfg\":0,\"cfg_truncation\":1,"
               "\"cfg_normalization\":0"),
         1, "\"prompt\" is missing"},
        {"mebi",
         DRAFT("{\"program\":\"mebi\",\"prompt\":{},\"steps\":1,\"seed\":1,\"cfg\":0,\"cfg_"
               "truncation\":1,"
               "\"cfg_normalization\":0"),
         1, "\"prompt\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_picture("d.png", bad[i].keyword, bad[i].text);
        int code = RUN("generate", "-m", TINY, "--from-draft", "d.png", "-o", "x.png");
        assert_said(bad[i].says);
        if (code != bad[i].code) fail_msg("%zu: exit code %d: %s", i, code, ran.err.text);
    }
    assert_int_equal(count_files(".png"), 1);
}

#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, enter_folder, leave_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(begins_a_file),
        IN_FOLDER(shows_where_settings_come_from),
        IN_FOLDER(checks_a_file),
        IN_FOLDER(does_not_read_the_working_folder),
        IN_FOLDER(makes_what_the_file_says),
        IN_FOLDER(refuses_a_bad_file),
        IN_FOLDER(tells_what_has_no_effect),
        IN_FOLDER(refuses_bad_options),
        IN_FOLDER(makes_drafts),
        IN_FOLDER(renders_a_draft_large),
        IN_FOLDER(draws_a_hyphen),
        IN_FOLDER(refuses_what_is_no_draft),
    };
    if (!getenv("MEBI")) {
        fputs("The environment's MEBI must be the path of the command.\n", stderr);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

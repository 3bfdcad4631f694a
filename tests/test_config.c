/* Settings: the table against the public API, config.yaml read as people write it, and what is
 * refused, with its line. */
#include "testing.h"

#include "base/memory.h"
#include "config/budget.h"
#include "config/config.h"
#include "config/size.h"
#include "config/value.h"
#include "config_bad.h"
#include "mebi/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static mebi_status parse(mebi__config *c, const char *text, mebi_error *err) {
    *c = (mebi__config){0};
    *err = (mebi_error){0};
    return mebi__config_parse(c, "config.yaml", text, strlen(text), err);
}

static void assert_value(const mebi__config *c, mebi__setting_id id, const char *wanted) {
    assert_string_equal(mebi__config_text(c, id), wanted);
}

/* ---- the table ---- */

static void words_are_in_the_api_s_order(void **state) {
    const char *const *precision = mebi__settings[MEBI__SET_PRECISION].words;
    const char *const *quality = mebi__settings[MEBI__SET_QUALITY].words;
    const char *const *weights = mebi__settings[MEBI__SET_WEIGHTS].words;
    const char *const *decode = mebi__settings[MEBI__SET_DECODE].words;
    (void)state;
    for (int i = 0; i < MEBI_PRECISION_COUNT; i++)
        assert_string_equal(precision[i], mebi_precision_name((mebi_precision)i));
    for (int i = 0; i < MEBI_QUALITY_COUNT; i++)
        assert_string_equal(quality[i], mebi_quality_name((mebi_quality)i));
    for (int i = 0; i < MEBI_WEIGHTS_COUNT; i++)
        assert_string_equal(weights[i], mebi_weights_way_name((mebi_weights_way)i));
    for (int i = 0; i < MEBI_DECODE_COUNT; i++)
        assert_string_equal(decode[i], mebi_decode_way_name((mebi_decode_way)i));
    assert_null(precision[MEBI_PRECISION_COUNT]);
    assert_null(quality[MEBI_QUALITY_COUNT]);
    assert_null(weights[MEBI_WEIGHTS_COUNT]);
    assert_null(decode[MEBI_DECODE_COUNT]);
}

/* What one leaves out is what one would have got by writing the default. */
static void defaults_are_values(void **state) {
    char value[MEBI__VALUE_BYTES];
    (void)state;
    for (int i = 0; i < MEBI__SETTINGS; i++) {
        const mebi__setting *s = &mebi__settings[i];
        mebi_error err = {0};
        assert_non_null(s->name);
        assert_true(strncmp(s->variable, "MEBI_", 5) == 0);
        if (!*s->fallback) continue;
        assert_int_equal(mebi__value_check(s, s->name, s->fallback, value, &err), MEBI_OK);
        assert_string_equal(value, s->fallback);
    }
}

static void names_are_distinct(void **state) {
    (void)state;
    for (int i = 0; i < MEBI__SETTINGS; i++)
        for (int j = 0; j < i; j++) {
            const mebi__setting *a = &mebi__settings[i], *b = &mebi__settings[j];
            assert_string_not_equal(a->name, b->name);
            assert_string_not_equal(a->variable, b->variable);
            if (a->flag && b->flag) assert_string_not_equal(a->flag, b->flag);
        }
}

/* docs/config.md has a row for each setting, with what the table says. */
static void docs_have_every_setting(void **state) {
    static char docs[1 << 16];
    char row[400], values[160];
    (void)state;
    FILE *f = fopen("docs/config.md", "r");
    assert_non_null(f);
    docs[fread(docs, 1, sizeof docs - 1, f)] = 0;
    fclose(f);
    for (int i = 0; i < MEBI__SETTINGS; i++) {
        const mebi__setting *s = &mebi__settings[i];
        char flag[40] = "";
        if (s->flag) snprintf(flag, sizeof flag, "`--%s`", s->flag);
        if (s->kind == MEBI__KIND_WORD) {
            char *out = values;
            for (int k = 0; s->words[k]; k++)
                out += sprintf(out, "%s`%s`", k ? ", " : "", s->words[k]);
        } else if (s->kind == MEBI__KIND_INTEGER || s->kind == MEBI__KIND_NUMBER)
            snprintf(values, sizeof values, "%s%.0f to %.0f", s->words[0] ? "`auto`, " : "",
                     s->minimum, s->maximum);
        else values[0] = 0;
        snprintf(row, sizeof row, "| `%s` | %s", s->name, values);
        if (!strstr(docs, row)) fail_msg("docs/config.md should have: %s", row);
        snprintf(row, sizeof row, "| %s%s%s | `%s` | %s |", *s->fallback ? "`" : "", s->fallback,
                 *s->fallback ? "`" : "", s->variable, flag);
        if (!strstr(docs, row)) fail_msg("docs/config.md should have: %s", row);
    }
    for (int i = 0; i < MEBI__ALIASES; i++) assert_non_null(strstr(docs, mebi__aliases[i].name));
}

/* ---- what is read ---- */

static void reads_all_settings(void **state) {
    static const char text[] = "\xef\xbb\xbf# a comment, then everything\r\n"
                               "model: models/mini\r\n"
                               "diffusion_model: 'it''s a.gguf'\r\n"
                               "text_encoder: \"a: b # c\"\r\n"
                               "vae: ae.safetensors   # here\r\n"
                               "tokenizer: 模型/分词器\r\n"
                               "threads: 4\r\nprecision: bf16\r\nquality: any\r\nbudget: 12GiB\r\n"
                               "weights: freed\r\ncache: none\r\nsize: 16:9\r\nsteps: 120\r\n"
                               "cfg: 3.5e0\r\ncfg_truncation: .5\r\ncfg_normalization: 1000\r\n"
                               "seed: 9007199254740992\r\ncount: 64\r\ndecode: strips\r\n"
                               "memory_efficient_attention: Yes\r\n"
                               "output: {dir: a b, format: png, naming: \"%seed\"}\r\n"
                               "server: {listen: \"::1\", port: 0, data: /srv/m, token_file: t, tls_cert: c.pem, "
                               "tls_key: k.pem, host_name: a.example, "
                               "queue_limit: 9, log: json}\r\n";
    static const char *const wanted[MEBI__SETTINGS] = {"models/mini",
                                                       "it's a.gguf",
                                                       "a: b # c",
                                                       "ae.safetensors",
                                                       "模型/分词器",
                                                       "4",
                                                       "bf16",
                                                       "any",
                                                       "12GiB",
                                                       "freed",
                                                       "none",
                                                       "16:9",
                                                       "120",
                                                       "3.5e0",
                                                       ".5",
                                                       "1000",
                                                       "9007199254740992",
                                                       "64",
                                                       "strips",
                                                       "true",
                                                       "a b",
                                                       "png",
                                                       "%seed",
                                                       "::1",
                                                       "0",
                                                       "/srv/m",
                                                       "t",
                                                       "c.pem",
                                                       "k.pem",
                                                       "a.example",
                                                       "9",
                                                       "json"};
    mebi__config c;
    mebi_error err;
    (void)state;
    if (parse(&c, text, &err) != MEBI_OK) fail_msg("%s", err.text);
    for (int i = 0; i < MEBI__SETTINGS; i++) {
        assert_value(&c, (mebi__setting_id)i, wanted[i]);
        assert_int_equal(c.value[i].origin, MEBI__ORIGIN_FILE);
        assert_int_equal(c.value[i].line,
                         i < MEBI__SET_OUTPUT_DIR      ? i + 2
                         : i < MEBI__SET_SERVER_LISTEN ? MEBI__SET_OUTPUT_DIR + 2
                                                       : MEBI__SET_OUTPUT_DIR + 3);
    }
    assert_true(mebi__config_number(&c, MEBI__SET_CFG) == 3.5);
    assert_true(mebi__config_number(&c, MEBI__SET_CFG_TRUNCATION) == 0.5);
    assert_true(mebi__config_integer(&c, MEBI__SET_SEED) == 9007199254740992);
    assert_int_equal(mebi__config_integer(&c, MEBI__SET_THREADS), 4);
    assert_int_equal(mebi__config_word(&c, MEBI__SET_DECODE), MEBI_DECODE_STRIPS);
    mebi__config_free(&c);
    assert_int_equal(mebi__config_integer(&c, MEBI__SET_THREADS), 0);
}

static void reads_what_says_nothing(void **state) {
    static const char *const texts[] = {"",           "\n\n",         "# steps: 3\n",    "---\n",
                                        "---\n...\n", "{}\n",         "--- {}\n",        "~\n",
                                        "null\n",     "\xef\xbb\xbf", "%YAML 1.1\n---\n"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        mebi__config c;
        mebi_error err;
        if (parse(&c, texts[i], &err) != MEBI_OK) fail_msg("%zu: %s", i, err.text);
        for (int k = 0; k < MEBI__SETTINGS; k++) assert_null(c.value[k].text);
    }
}

static void knows_other_names(void **state) {
    static const struct {
        const char *text, *decode, *attention;
    } cases[] = {
        {"use_tiled_vae: true\n", "tiled", "true"},
        {"use_tiled_vae: Off\n", "whole", "true"},
        {"use_tiled_vae: auto\n", "auto", "true"},
        {"enable_xformers: false\n", "auto", "false"},
        {"enable_xformers: on\n", "auto", "true"},
        {"decode: tiled\nuse_tiled_vae: true\n", "tiled", "true"},
        {"enable_xformers: yes\nmemory_efficient_attention: true\n", "auto", "true"},
        {"memory_efficient_attention: no\nenable_xformers: FALSE\n", "auto", "false"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mebi__config c;
        mebi_error err;
        if (parse(&c, cases[i].text, &err) != MEBI_OK) fail_msg("%s", err.text);
        assert_value(&c, MEBI__SET_DECODE, cases[i].decode);
        assert_value(&c, MEBI__SET_ATTENTION, cases[i].attention);
        mebi__config_free(&c);
    }
}

static void expands_the_home_folder(void **state) {
    mebi__config c;
    mebi_error err;
    (void)state;
    setenv("HOME", "/home/someone", 1);
    assert_int_equal(parse(&c, "model: ~/a\nvae: b/~/c\ncache: ~x\noutput:\n  naming: ~/n\n", &err),
                     MEBI_OK);
    assert_value(&c, MEBI__SET_MODEL, "/home/someone/a");
    assert_value(&c, MEBI__SET_VAE, "b/~/c");
    assert_value(&c, MEBI__SET_CACHE, "~x");
    assert_value(&c, MEBI__SET_OUTPUT_NAMING, "~/n");
    mebi__config_free(&c);
}

/* ---- what is refused ---- */

static void refuses(void **state) {
    const bad_file *bad = *state;
    mebi__config c = {0};
    mebi_error err = {0};
    char begin[40];
    size_t bytes = bad->bytes ? bad->bytes : strlen(bad->text);
    mebi_status status = mebi__config_parse(&c, "config.yaml", bad->text, bytes, &err);
    mebi__config_free(&c);
    if (status != MEBI_BAD_ARGUMENT) fail_msg("status %d: %s", status, err.text);
    snprintf(begin, sizeof begin, "config.yaml:%d: ", bad->line);
    if (strncmp(err.text, begin, strlen(begin)) != 0)
        fail_msg("not line %d: %s", bad->line, err.text);
    for (int i = 0; i < 3 && bad->says[i]; i++)
        if (!strstr(err.text, bad->says[i]))
            fail_msg("\"%s\" is not in: %s", bad->says[i], err.text);
    if (err.text[strlen(err.text) - 1] != '.' && err.text[strlen(err.text) - 1] != '?')
        fail_msg("no sentence: %s", err.text);
    assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), 0);
}

static char *repeated(const char *piece, size_t count, const char *end) {
    size_t length = strlen(piece);
    char *text = malloc(length * count + strlen(end) + 1);
    assert_non_null(text);
    for (size_t i = 0; i < count; i++) memcpy(text + i * length, piece, length);
    strcpy(text + length * count, end);
    return text;
}

/* Large and deep files end at the first thing that makes no sense, in no time. */
static void refuses_depth_and_size(void **state) {
    static const struct {
        const char *piece;
        size_t count;
        const char *end, *says;
    } cases[] = {
        {"[", 1000000, "", "config.yaml:1: "},
        {"{", 1000000, "", "config.yaml:1: "},
        {"? ", 500000, "", "config.yaml:1: "},
        {"- ", 500000, "", "config.yaml:1: "},
        {"a: ", 300000, "", "config.yaml:1: "},
        {"\n", 1000000, "x\n", "config.yaml:1000001: "},
        {"#\n", 500000, "steps: 0\n", "config.yaml:500001: steps"},
        {"!a ", 300000, "", "config.yaml:1: "},
        {"a", 1000000, ": 1\n", "config.yaml:1: "},
        {"\"a", 500000, "", "config.yaml:"},
        {" ", 1000000, "a: b", "config.yaml:1: "},
        {"# xxx\n", 180000, "", "more than"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mebi__config c = {0};
        mebi_error err = {0};
        char *text = repeated(cases[i].piece, cases[i].count, cases[i].end);
        mebi_status status = mebi__config_parse(&c, "config.yaml", text, strlen(text), &err);
        free(text);
        mebi__config_free(&c);
        assert_int_equal(status, MEBI_BAD_ARGUMENT);
        const char *says = i + 1 < sizeof cases / sizeof *cases ? cases[i].says : "at most 1048576";
        if (!strstr(err.text, says)) fail_msg("%zu: %s", i, err.text);
    }
}

static void refuses_a_long_value(void **state) {
    mebi__config c = {0};
    mebi_error err = {0};
    char *text = repeated("a", 5000, "\n"), *whole = malloc(6000);
    (void)state;
    snprintf(whole, 6000, "steps: 8\nmodel: %s", text);
    assert_int_equal(mebi__config_parse(&c, "c", whole, strlen(whole), &err), MEBI_BAD_ARGUMENT);
    assert_string_equal(err.text, "c:2: model has 5000 bytes; at most 4095 are taken.");
    free(text);
    free(whole);
    mebi__config_free(&c);
}

static void refuses_when_memory_is_short(void **state) {
    static const char text[] = "model: a\nsteps: 9\noutput: {dir: b}\nuse_tiled_vae: true\n";
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        mebi__config c = {0};
        mebi_error err = {0};
        mebi__memory_fail_nth(nth);
        mebi_status status = mebi__config_parse(&c, "c", text, strlen(text), &err);
        uint64_t asked = mebi__memory_fail_nth(0);
        mebi__config_free(&c);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), 0);
        if (asked < nth) {
            assert_int_equal(status, MEBI_OK);
            assert_true(nth > 4);
            return;
        }
        assert_int_equal(status, MEBI_NO_MEMORY);
        assert_true(err.text[0] != 0);
    }
}

/* ---- which wins ---- */

static void later_places_win(void **state) {
    mebi__config c;
    mebi_error err;
    (void)state;
    setenv("MEBI_STEPS", "20", 1);
    setenv("MEBI_CFG", "", 1); /* not set */
    assert_int_equal(parse(&c, "steps: 10\ncfg: 2\ncount: 3\nseed: 5\n", &err), MEBI_OK);
    assert_int_equal(mebi__config_environment(&c, &err), MEBI_OK);
    unsetenv("MEBI_STEPS");
    unsetenv("MEBI_CFG");
    assert_int_equal(mebi__config_set(&c, MEBI__SET_COUNT, MEBI__ORIGIN_FLAG, "4", &err), MEBI_OK);
    assert_int_equal(mebi__config_set(&c, MEBI__SET_COUNT, MEBI__ORIGIN_PICTURE, "1", &err),
                     MEBI_OK);
    assert_int_equal(mebi__config_set(&c, MEBI__SET_SEED, MEBI__ORIGIN_PICTURE, "6", &err),
                     MEBI_OK);
    assert_value(&c, MEBI__SET_STEPS, "20");
    assert_value(&c, MEBI__SET_CFG, "2");
    assert_value(&c, MEBI__SET_COUNT, "4");
    assert_value(&c, MEBI__SET_SEED, "6");
    assert_int_equal(c.value[MEBI__SET_STEPS].origin, MEBI__ORIGIN_ENVIRONMENT);
    assert_int_equal(mebi__config_set(&c, MEBI__SET_STEPS, MEBI__ORIGIN_FLAG, "0", &err),
                     MEBI_BAD_ARGUMENT);
    assert_string_equal(err.text, "--steps takes a whole number from 1 to 120, not '0'.");
    assert_value(&c, MEBI__SET_STEPS, "20");
    mebi__config_free(&c);
}

/* -m NEW must not run with a VAE that config.yaml names for the old one. */
static void a_model_comes_with_its_parts(void **state) {
    mebi__config c;
    mebi_error err;
    (void)state;
    assert_int_equal(parse(&c, "vae: old.safetensors\nmodel: old\nprecision: f32\n", &err),
                     MEBI_OK);
    assert_value(&c, MEBI__SET_VAE, "old.safetensors");
    assert_int_equal(mebi__config_set(&c, MEBI__SET_TOKENIZER, MEBI__ORIGIN_FLAG, "t", &err),
                     MEBI_OK);
    assert_int_equal(mebi__config_set(&c, MEBI__SET_MODEL, MEBI__ORIGIN_FLAG, "new", &err),
                     MEBI_OK);
    assert_value(&c, MEBI__SET_VAE, "");
    assert_value(&c, MEBI__SET_TOKENIZER, "t");
    assert_value(&c, MEBI__SET_PRECISION, "f32");
    assert_int_equal(mebi__config_set(&c, MEBI__SET_QUALITY, MEBI__ORIGIN_ENVIRONMENT, "any", &err),
                     MEBI_OK);
    assert_value(&c, MEBI__SET_PRECISION, "auto");
    mebi__config_free(&c);
}

static void names_a_bad_variable(void **state) {
    mebi__config c = {0};
    mebi_error err = {0};
    (void)state;
    setenv("MEBI_OUTPUT_NAMING", "%x", 1);
    assert_int_equal(mebi__config_environment(&c, &err), MEBI_BAD_ARGUMENT);
    unsetenv("MEBI_OUTPUT_NAMING");
    assert_non_null(strstr(err.text, "MEBI_OUTPUT_NAMING: '%x' has a % that is not %seed"));
}

/* ---- the file ---- */

static void finds_the_file(void **state) {
    char *path;
    (void)state;
    setenv("XDG_CONFIG_HOME", "/nowhere", 1);
    unsetenv("MEBI_CONFIG");
    assert_int_equal(mebi__config_find(NULL, &path, NULL), MEBI_OK);
    assert_null(path);
    setenv("MEBI_CONFIG", "a.yaml", 1);
    assert_int_equal(mebi__config_find(NULL, &path, NULL), MEBI_OK);
    assert_string_equal(path, "a.yaml");
    mebi__free(path);
    assert_int_equal(mebi__config_find("b.yaml", &path, NULL), MEBI_OK);
    assert_string_equal(path, "b.yaml");
    mebi__free(path);
    assert_int_equal(mebi__config_find("", &path, NULL), MEBI_BAD_ARGUMENT);
    setenv("MEBI_CONFIG", "", 1);
    assert_int_equal(mebi__config_find(NULL, &path, NULL), MEBI_OK);
    assert_null(path);
    unsetenv("MEBI_CONFIG");
    assert_int_equal(mebi__config_home(&path, NULL), MEBI_OK);
    assert_string_equal(path, "/nowhere/mebi/config.yaml");
    mebi__free(path);
    setenv("XDG_CONFIG_HOME", "not/absolute", 1);
    setenv("HOME", "/h", 1);
    assert_int_equal(mebi__config_home(&path, NULL), MEBI_OK);
    assert_string_equal(path, "/h/.config/mebi/config.yaml");
    mebi__free(path);
    unsetenv("HOME");
    assert_int_equal(mebi__config_home(&path, NULL), MEBI_IO);
    assert_int_equal(mebi__config_find(NULL, &path, NULL), MEBI_OK);
    assert_null(path);
}

static void refuses_what_is_no_file(void **state) {
    mebi__config c = {0};
    mebi_error err = {0};
    (void)state;
    assert_int_not_equal(mebi__config_read(&c, "/", &err), MEBI_OK);
    assert_non_null(strstr(err.text, "/ "));
    err = (mebi_error){0};
    assert_int_equal(mebi__config_read(&c, "/nowhere/config.yaml", &err), MEBI_IO);
    assert_non_null(strstr(err.text, "/nowhere/config.yaml"));
    mebi__config_free(&c);
}

/* Lines of settings begin with # and a letter, or # and two spaces below output; the rest is words.
 */
static void uncomment(char *text) {
    char *out = text;
    for (char *line = text; *line;) {
        char *end = strchr(line, '\n');
        int setting = line[0] == '#' && (line[1] != ' ' || line[2] == ' ');
        size_t length = (size_t)(end + 1 - line) - (size_t)setting;
        memmove(out, line + setting, length);
        out += length;
        line = end + 1;
    }
    *out = 0;
}

static void writes_what_it_reads(void **state) {
    char *text = mebi__config_template();
    mebi__config c;
    mebi_error err;
    (void)state;
    assert_non_null(text);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
        if (end - line > 100) fail_msg("over 100 columns: %.*s", (int)(end - line), line);
    assert_int_equal(parse(&c, text, &err), MEBI_OK);
    for (int i = 0; i < MEBI__SETTINGS; i++) assert_null(c.value[i].text);
    uncomment(text);
    if (parse(&c, text, &err) != MEBI_OK) fail_msg("%s", err.text);
    for (int i = 0; i < MEBI__SETTINGS; i++) {
        assert_non_null(c.value[i].text);
        if (*mebi__settings[i].fallback)
            assert_string_equal(c.value[i].text, mebi__settings[i].fallback);
    }
    free(text);
    mebi__config_free(&c);
}

/* ---- amounts of memory ---- */

static void reads_budgets(void **state) {
    static const struct {
        const char *text;
        size_t bytes;
    } good[] = {{"auto", 0},
                {"12G", 12000000000},
                {"12GB", 12000000000},
                {"12gb", 12000000000},
                {"12GiB", 12884901888},
                {"12 GB", 12000000000},
                {"1.5T", 1500000000000},
                {"800M", 800000000},
                {"900K", 900000},
                {"1KiB", 1024},
                {"80%", 16000000000},
                {"0.5%", 100000000},
                {"100%", 20000000000},
                {"1000T", 1000000000000000}};
    static const char *const bad[] = {
        "",     "0",    "0G",    "12",    "-1G",  "+1G",   "1e3G",
        "0x1G", "G",    "12X",   "12GBB", "12BG", "1001T", "99999999999999999999G",
        "1.G",  ".5G",  "1..5G", "nan",   "inf",  "0%",    "101%",
        "80%%", "12G ", " 12G",  "12\tG", "Auto", "12Gi",  "12,5G"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        size_t bytes = 1;
        mebi_error err = {0};
        if (mebi__budget_parse("--budget", good[i].text, 20000000000, &bytes, &err) != MEBI_OK)
            fail_msg("%s", err.text);
        assert_true(bytes == good[i].bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t bytes = 77;
        mebi_error err = {0};
        if (mebi__budget_parse("--budget", bad[i], 20000000000, &bytes, &err) != MEBI_BAD_ARGUMENT)
            fail_msg("'%s' was taken", bad[i]);
        assert_true(strncmp(err.text, "--budget ", 9) == 0);
        assert_true(bytes == 77);
    }
}

static void tells_a_missing_unit(void **state) {
    size_t bytes;
    mebi_error err = {0};
    (void)state;
    assert_int_equal(mebi__budget_parse("--budget", "12", 1000, &bytes, &err), MEBI_BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "needs a unit: 12G"));
}

/* ---- all ---- */

enum { BAD_FILES = sizeof bad_files / sizeof *bad_files };

int main(void) {
    const struct CMUnitTest own[] = {
        cmocka_unit_test(words_are_in_the_api_s_order),
        cmocka_unit_test(defaults_are_values),
        cmocka_unit_test(names_are_distinct),
        cmocka_unit_test(docs_have_every_setting),
        cmocka_unit_test(reads_all_settings),
        cmocka_unit_test(reads_what_says_nothing),
        cmocka_unit_test(knows_other_names),
        cmocka_unit_test(expands_the_home_folder),
        cmocka_unit_test(refuses_depth_and_size),
        cmocka_unit_test(refuses_a_long_value),
        cmocka_unit_test(refuses_when_memory_is_short),
        cmocka_unit_test(later_places_win),
        cmocka_unit_test(a_model_comes_with_its_parts),
        cmocka_unit_test(names_a_bad_variable),
        cmocka_unit_test(finds_the_file),
        cmocka_unit_test(refuses_what_is_no_file),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(reads_budgets),
        cmocka_unit_test(tells_a_missing_unit),
    };
    enum { OWN = sizeof own / sizeof *own };
    static struct CMUnitTest tests[OWN + BAD_FILES];
    memcpy(tests, own, sizeof own);
    for (int i = 0; i < BAD_FILES; i++)
        tests[OWN + i] = (struct CMUnitTest){.name = bad_files[i].name,
                                             .test_func = refuses,
                                             .initial_state = (void *)(uintptr_t)&bad_files[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Hostile requests, their bodies: JSON that is none or too much, and fields of all orders. */
#include "hostile.h"

#include <signal.h>

#define SMALL "\"prompt\":\"a\",\"width\":64,\"height\":64,\"steps\":1"

enum { WIDE = 1024 };

static int start(void **state) {
    (void)state;
    painter.too_wide = WIDE;
    return start_hostile((mebi__server_params){.queue_limit = 50});
}

static int end(void **state) {
    (void)state;
    return end_hostile();
}

/* ---- JSON ---- */

/* clang-format off */
static const char *const readers[] = {
    "POST /api/v1/plan", "POST /api/v1/plans", "POST /api/v1/jobs", "POST /api/v1/session", "POST /api/v1/images/zip",
    "POST /api/v1/checks", "PATCH /api/v1/images/none", "PUT /api/v1/settings", "POST /v1/images/generations",
    "POST /sdapi/v1/txt2img", "POST /sdapi/v1/options", "POST /sdapi/v1/png-info"};
/* clang-format on */

/* What no address takes, each with a sentence. */
static void bodies_are_objects(void **state) {
    /* clang-format off */
    static const char *const bad[] = {
        "", " ", "{", "}", "[]", "7", "-0", "\"a\"", "null", "true", "NaN", "{}{}", "{},", ("{} " MARK),
        "\xef\xbb\xbf{}", "{'a':1}",
        "{a:1}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"a\":01}", "{\"a\":+1}", "{\"a\":.5}", "{\"a\":1.}",
        "{\"a\":0x1}", "{\"a\":NaN}",
        "{\"a\":Infinity}", "{\"a\":1e999}", "{\"a\":-1e999}",
        "{\"a\":1,\"a\":2}", "{\"a\":\"\n\"}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"\\u0000\"}",
        "{\"\\u0000\":1}",
        "{\"a\":\"\\ud800\"}", "{\"a\":\"\\udc00\\ud800\"}", "{\"a\":\"\\ud800\\u0041\"}", "{\"a\":\xff}",
        "{\"a\":\"\xc0\xaf\"}",
        "{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\xf4\x90\x80\x80\"}", "{\"a\":\"\xe4\xb8\"}", "{\"a\":\xe4\xb8\x80}",
        "{/**/}", "<a>", "a=b&c=d"};
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < COUNT(readers); i++)
        for (size_t j = 0; j < COUNT(bad); j++) send_text(readers[i], bad[j], 400, 0);
}

/* `before`, so many times `filler`, `after`; freed with free. */
static char *filled(const char *before, const char *filler, size_t times, const char *after) {
    size_t length = strlen(filler), bytes = strlen(before);
    char *text = take_bytes(bytes + length * times + strlen(after) + 1);
    memcpy(text, before, bytes);
    for (size_t i = 0; i < times; i++, bytes += length) memcpy(text + bytes, filler, length);
    strcpy(text + bytes, after);
    return text;
}

static void bombs_are_refused(void **state) {
    /* clang-format off */
    static const struct {
        const char *name, *before, *filler;
        size_t times;
        const char *after;
        int status;
    } cases[] = {
        {"33 deep", "{\"a\":", "[", 32, "", 400},
        {"a thousand deep", "{\"a\":", "[", 1000, "", 400},
        {"a million deep", "", "[", 1 << 20, "", 400},
        {"objects in objects", "", "{\"a\":", 200000, "", 400},
        {"brackets in a text", "{\"a\":\"", "[", 1000000, "", 400},
        {"a number of a million digits", "{\"a\":", "1", 1000000, "}", 400},
        {"a fraction of a million digits", "{\"width\":0.", "1", 1000000, "}", 422},
        {"an exponent of a million digits", "{\"width\":1e", "9", 1000000, "}", 400},
        {"a text of a megabyte", "{\"prompt\":\"", "a", 1000000, "\"}", 422},
        {"a text of escapes", "{\"prompt\":\"", "\\u00e4", 150000, "\"}", 422},
        {"one key a hundred thousand times", "{\"b\":1", ",\"a\":1", 100000, "}", 400},
        {"spaces", "{", " ", (1 << 20) - 1, "", 400},
        {"more than a megabyte", "{\"a\":\"", "a", 1 << 20, "\"}", 413},
    };
    /* clang-format on */
    (void)state;
    char *most = filled("{}", " ", (1 << 20) - 2, "");
    send_row("POST /api/v1/plan", "just a megabyte", most, strlen(most), 200, 0);
    free(most);
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *text = filled(cases[i].before, cases[i].filler, cases[i].times, cases[i].after);
        send_row("POST /api/v1/jobs", cases[i].name, text, strlen(text), cases[i].status, 0);
        free(text);
    }
}

/* {"000000":1,...}; freed with free. */
static char *keys(size_t count) {
    char *text = take_bytes(count * 11 + 8), *p = text;
    *p++ = '{';
    for (size_t i = 0; i < count; i++) p += sprintf(p, "%s\"%06zu\":1", i ? "," : "", i);
    strcpy(p, "}");
    return text;
}

/* What is in no table is named, up to a number, and costs little however much it is. */
static void many_keys_are_named_in_part(void **state) {
    char *text = keys(95000);
    (void)state;
    send_row("POST /api/v1/plan", "95000 keys", text, strlen(text), 200, 0);
    send_row("POST /api/v1/jobs", "95000 keys", text, strlen(text), 422, 0);
    send_row("POST /v1/images/generations", "95000 keys", text, strlen(text), 400, 0);
    send_row("POST /sdapi/v1/txt2img", "95000 keys", text, strlen(text), 422, 0);
    send_row("POST /sdapi/v1/options", "95000 keys", text, strlen(text), 200, 0);
    send_row("PUT /api/v1/settings", "95000 keys", text, strlen(text), 422, 0);
    free(text);
    text = keys(1000000);
    send_row("POST /api/v1/plan", "a million keys", text, strlen(text), 413, 0);
    free(text);
    text = filled("{\"", "k", 1000000, "\":1," SMALL "}");
    send_row("POST /api/v1/plan", "a key of a megabyte", text, strlen(text), 200, 0);
    free(text);
    send_text("POST /api/v1/plan",
              "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}", 200, 0);
}

/* ---- fields ---- */

/* The same in both: a plan, and an order. */
static void orders_have_limits(void **state) {
    /* clang-format off */
    static const char *const bad[] = {
        "\"width\":1000000000", "\"width\":-64", "\"width\":0", "\"width\":64.5", "\"width\":\"64\"",
        "\"width\":[64]",
        "\"width\":{}", "\"width\":true", "\"width\":1e300", "\"width\":4294967360", "\"width\":-4294967232",
        "\"width\":17",
        "\"width\":16385", "\"height\":9007199254740993", "\"height\":-9223372036854775808", "\"height\":\"\"",
        "\"steps\":0", "\"steps\":-1",
        "\"steps\":121", "\"steps\":1e9", "\"steps\":1.000001", "\"count\":0", "\"count\":65", "\"count\":1000000000",
        "\"count\":-1", "\"seed\":-2", "\"seed\":9007199254740993", "\"seed\":9223372036854775807", "\"seed\":1.5",
        "\"seed\":1e19",
        "\"seed\":\"7\"", "\"seed\":[]", "\"cfg\":-1", "\"cfg\":-1e-9", "\"cfg\":100.1", "\"cfg\":1e308",
        "\"cfg\":\"inf\"", "\"cfg\":false",
        "\"cfg_truncation\":1.01", "\"cfg_truncation\":-0.1", "\"cfg_normalization\":-1", "\"cfg_normalization\":1e4",
        "\"draft\":9",
        "\"draft\":-1", "\"decode\":\"fast\"", "\"decode\":\"AUTO\"", "\"decode\":\"\"", "\"decode\":1",
        "\"preview_every\":121",
        "\"preview_every\":-1", "\"priority\":11", "\"priority\":-11", "\"priority\":0.5", "\"negative_prompt\":7",
        "\"negative_prompt\":[\"a\"]"};
    /* clang-format on */
    char data[300];
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(data, sizeof data, "{\"prompt\":\"a\",%s}", bad[i]);
        send_text("POST /api/v1/plan", data, 422, 0);
        send_text("POST /api/v1/jobs", data, 422, 0);
    }
    snprintf(data, sizeof data, "{\"prompt\":\"a\",\"width\":%d}", WIDE + 16);
    send_text("POST /api/v1/jobs", data, 409, 0);
    send_text("POST /api/v1/plan",
              "{\"width\":null,\"steps\":3.0,\"seed\":-0,\"cfg\":-0.0,\"count\":1e0}", 200, 0);
    send_text("POST /api/v1/plans", "{\"requests\":7}", 422, 0);
    send_text("POST /api/v1/plans", "{\"requests\":{\"0\":{}}}", 422, 0);
    char *text = filled("{\"requests\":[{}", ",{}", 64, "]}");
    send_row("POST /api/v1/plans", "65 plans", text, strlen(text), 422, 0);
    free(text);
}

static void prompts_have_limits(void **state) {
    static const char *const bad[] = {"{}",
                                      "{\"prompt\":null}",
                                      "{\"prompt\":\"\"}",
                                      "{\"prompt\":7}",
                                      "{\"prompt\":{}}",
                                      "{\"prompt\":[\"a\"]}"};
    static const char *const odd[] = {"\\u0001\\u0007\\u001b[31m\\u007f",
                                      "\\n\\r\\t",
                                      "a\\nSteps: 9, Seed: 1",
                                      "\\ud83d\\ude00",
                                      "\\u202e\\u200b\\ufeff\\ufffe",
                                      MARK,
                                      "'; DROP TABLE jobs; --",
                                      "%s%n%x",
                                      "\\\\",
                                      "\\u0080\\u009b",
                                      "../../x"};
    char data[300];
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        send_text("POST /api/v1/jobs", bad[i], 422, 0);
        send_text("POST /v1/images/generations", bad[i], 400, 0);
        send_text("POST /sdapi/v1/txt2img", bad[i], 422, 0);
    }
    for (size_t i = 0; i < COUNT(odd); i++) {
        snprintf(data, sizeof data,
                 "{\"prompt\":\"%s\",\"negative_prompt\":\"%s\",\"width\":64,\"height\":64,"
                 "\"steps\":1}",
                 odd[i], odd[i]);
        send_text("POST /api/v1/jobs", data, 202, ORDERS);
        json_decref(get_json(the.port, "/api/v1/jobs"));
    }
    for (size_t bytes = 16384; bytes <= 16385; bytes++) {
        char *text =
            filled("{\"width\":64,\"height\":64,\"steps\":1,\"prompt\":\"", "a", bytes, "\"}");
        int good = bytes == 16384;
        send_row("POST /api/v1/jobs", "a long prompt", text, strlen(text), good ? 202 : 422,
                 good ? ORDERS : 0);
        send_row("POST /sdapi/v1/txt2img", "a long prompt", text, strlen(text), good ? 200 : 422,
                 good ? ORDERS : 0);
        free(text);
    }
}

static void openai_has_limits(void **state) {
    /* clang-format off */
    static const char *const bad[] = {
        "\"n\":1000000000", "\"n\":0", "\"n\":-1", "\"n\":11", "\"n\":\"1\"", "\"n\":1.5", "\"n\":[1]",
        "\"size\":\"0x0\"", "\"size\":\"99999x99999\"",
        "\"size\":\"99984x64\"", "\"size\":\"1024x1024x1\"", "\"size\":\"64x\"", "\"size\":\"x64\"", "\"size\":\"x\"",
        "\"size\":\"-64x64\"",
        "\"size\":\"64 x 64\"", "\"size\":\"6.4e1x64\"", "\"size\":\"0x40x0x40\"", "\"size\":\"16:9\"",
        "\"size\":\"17x17\"", "\"size\":\"100000x64\"",
        "\"size\":\"\\u0666\\u0664x64\"", "\"size\":64", "\"size\":{}", "\"response_format\":\"file\"",
        "\"response_format\":1", "\"output_format\":\"webp\"",
        "\"output_compression\":101", "\"output_compression\":-1", "\"partial_images\":4", "\"stream\":\"true\"",
        "\"stream\":1", "\"seed\":1e19",
        "\"steps\":0", "\"cfg\":1e38", "\"model\":7", "\"user\":[]", "\"quality\":{}"};
    /* clang-format on */
    char data[200];
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(data, sizeof data, "{\"prompt\":\"a\",%s}", bad[i]);
        send_text("POST /v1/images/generations", data, 400, 0);
    }
    char *text = filled("{\"prompt\":\"a\",\"model\":\"", "m", 257, "\"}");
    send_row("POST /v1/images/generations", "a long model", text, strlen(text), 400, 0);
    free(text);
    send_text("POST /v1/images/generations",
              "{\"prompt\":\"a\",\"size\":\"64x64\",\"steps\":1,\"model\":\"" MARK
              "\\r\\nX-Injected: y\",\"\\r\\nX-Injected: y\":1}",
              200, ORDERS);
    send_text("POST /v1/images/generations",
              "{\"prompt\":\"a\",\"size\":\"64x64\",\"steps\":1,\"response_format\":\"url\"}", 200,
              ORDERS);
}

static void webui_has_limits(void **state) {
    /* clang-format off */
    static const char *const bad[] = {
        "\"batch_size\":9,\"n_iter\":8", "\"batch_size\":1000000000", "\"n_iter\":0", "\"n_iter\":-1",
        "\"batch_size\":65", "\"width\":1e9",
        "\"width\":-64", "\"height\":64.5", "\"height\":\"64\"", "\"steps\":121", "\"cfg_scale\":-1",
        "\"cfg_scale\":102", "\"cfg_scale\":\"7\"",
        "\"seed\":-2", "\"seed\":9007199254740993", "\"sampler_name\":3", "\"sampler_index\":[]", "\"scheduler\":{}",
        "\"send_images\":\"no\"",
        "\"negative_prompt\":7"};
    /* clang-format on */
    char data[200];
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        snprintf(data, sizeof data, "{\"prompt\":\"a\",%s}", bad[i]);
        send_text("POST /sdapi/v1/txt2img", data, 422, 0);
    }
    char *text = filled("{\"prompt\":\"a\",\"sampler_name\":\"", "m", 201, "\"}");
    send_row("POST /sdapi/v1/txt2img", "a long sampler", text, strlen(text), 422, 0);
    free(text);
    send_text("POST /sdapi/v1/txt2img",
              "{" SMALL ",\"sampler_name\":\"" MARK
              "\\r\\nX-Injected: y\",\"scheduler\":\"\xc3\xa4\",\"init_images\":[\"/etc/passwd\"],"
              "\"alwayson_scripts\":{\"x\":{\"args\":[\"__import__('os')\"]}},\"override_"
              "settings\":{\"outdir_samples\":\"/etc\"}}",
              200, ORDERS);
    send_text("POST /sdapi/v1/options",
              "{\"outdir_samples\":\"/etc\",\"sd_model_checkpoint\":\"/etc/passwd\",\"" MARK
              "\":1}",
              200, 0);
    send_text("POST /sdapi/v1/options", "{\"sd_model_checkpoint\":[7]}", 200, 0);
}

static void settings_stay_readable(void **state) {
    /* clang-format off */
    static const char *const bad[] = {
        "{\"steps\":0}", "{\"steps\":1e9}", "{\"steps\":\"0x8\"}", "{\"steps\":[1]}", "{\"steps\":{}}",
        "{\"cfg\":\"inf\"}", "{\"cfg\":\"nan\"}", "{\"cfg\":1e300}",
        "{\"model\":\"/etc\"}", "{\"cache\":\"/tmp\"}", "{\"output.dir\":\"/etc\"}",
        "{\"server.listen\":\"0.0.0.0\"}", "{\"server.token_file\":\"/etc/passwd\"}",
        "{\"server.host_name\":\"evil.example\"}", "{\"server.data\":\"/etc\"}", "{\"none\":1}", "{\"\":1}",
        "{\"" MARK "\":1}", "{\"budget\":\"lots\"}",
        "{\"budget\":\"-1\"}", "{\"size\":\"0x0\"}", "{\"size\":\"1:99999\"}", "{\"size\":\"\\n\"}",
        "{\"output.naming\":\"a\\nserver: {listen: 0.0.0.0}\"}",
        "{\"output.naming\":\"\\u001b\"}", "{\"output.naming\":\"\\u007f\"}", "{\"output.naming\":\"a\\u0080\"}",
        "{\"output.naming\":\"a\\u0085b\"}",
        "{\"output.naming\":\"\\u009f\"}", "{\"output.naming\":\"a\\u2028b\"}", "{\"output.naming\":\"\\u2029\"}",
        "{\"output.naming\":\"\\ufeff\"}",
        "{\"output.naming\":\"\\uffff\"}", "{\"output.naming\":\"%q\"}", "{\"output.naming\":\"\"}",
        "{\"decode\":\"x\"}", "{\"steps\":4,\"cfg\":-1}"};
    /* clang-format on */
    static const char *const odd[] = {"a: b # c",
                                      "\\\"x\\\" \\\\",
                                      "- a",
                                      "{a}",
                                      "&a *b !c",
                                      "'",
                                      "\\u00e4\\ud83d\\ude00",
                                      "yes",
                                      "1e3",
                                      "~",
                                      "a/../b",
                                      MARK};
    char data[200];
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) send_text("PUT /api/v1/settings", bad[i], 422, 0);
    char *text = filled("{\"output.naming\":\"", "a", 1 << 16, "\"}");
    send_row("PUT /api/v1/settings", "a long name", text, strlen(text), 422, 0);
    free(text);
    for (size_t i = 0; i < COUNT(odd); i++) {
        mebi__config read = {.path = NULL};
        mebi_error err = {0};
        snprintf(data, sizeof data, "{\"output.naming\":\"%s\"}", odd[i]);
        send_text("PUT /api/v1/settings", data, 200, 0);
        assert_mebi_ok(mebi__config_read(&read, the.own_config.text, &err), &err);
        assert_string_equal(
            mebi__config_text(&read, MEBI__SET_OUTPUT_NAMING),
            mebi__config_text(mebi__server_config(the.server), MEBI__SET_OUTPUT_NAMING));
        mebi__server_config_done(the.server);
        mebi__config_free(&read);
    }
    send_text("PUT /api/v1/settings", "{\"output.naming\":null}", 200, 0);
}

static void others_have_limits(void **state) {
    /* clang-format off */
    static const struct {
        const char *line, *data;
        int status;
    } cases[] = {
        {"POST /api/v1/checks", "{}", 422}, {"POST /api/v1/checks", "{\"kind\":\"doctor; rm -rf /\"}", 422},
        {"POST /api/v1/checks", "{\"kind\":0}", 422},
        {"POST /api/v1/checks", "{\"kind\":\"bench\",\"quick\":1}", 422},
        {"POST /api/v1/checks", "{\"kind\":\"bench\",\"args\":\"--output /etc\"}", 422},
        {"PATCH /api/v1/images/none", "{\"favourite\":1}", 422},
        {"PATCH /api/v1/images/none", "{\"path\":\"/etc/passwd\"}", 422},
        {"PATCH /api/v1/images/none", "{\"favourite\":true}", 404},
        {"PATCH /api/v1/images/1", "{\"favourite\":true,\"id\":\"2\"}", 422},
        {"POST /api/v1/images/zip", "{\"ids\":[]}", 422}, {"POST /api/v1/images/zip", "{\"ids\":\"all\"}", 422},
        {"POST /api/v1/images/zip", "{\"ids\":{}}", 422},
        {"POST /api/v1/images/zip", "{\"ids\":[7]}", 404}, {"POST /api/v1/images/zip", "{\"ids\":[null]}", 404},
        {"POST /api/v1/images/zip", "{\"ids\":[[[]]]}", 404},
        {"POST /api/v1/images/zip", "{\"ids\":[\"../../etc/passwd\"]}", 404},
        {"POST /api/v1/images/zip", "{\"ids\":[\"1' OR '1'='1\"]}", 404},
        {"POST /api/v1/images/zip", "{\"ids\":[\"%\"]}", 404}, {"POST /api/v1/images/zip", "{\"ids\":[\"\"]}", 404},
        {"POST /api/v1/images/zip", "{\"id\":[\"x\"]}", 422},
        {"DELETE /api/v1/images/none?forever=1", "", 404}, {"DELETE /api/v1/images/none?forever=2", "", 400},
        {"POST /api/v1/images/none/restore", "{\"x\":1}", 404}, {"POST /sdapi/v1/interrupt", "[[[", 200},
        {"POST /sdapi/v1/png-info", "{}", 422}, {"POST /sdapi/v1/png-info", "{\"image\":7}", 422},
        {"POST /sdapi/v1/png-info", "{\"image\":[\"AAAA\"]}", 422},
        {"POST /sdapi/v1/png-info", "{\"image\":\"\"}", 422}, {"POST /sdapi/v1/png-info", "{\"image\":\"*\"}", 422},
        {"POST /sdapi/v1/png-info", "{\"image\":\"====\"}", 422},
        {"POST /sdapi/v1/png-info", "{\"image\":\"AAAAA\"}", 422},
        {"POST /sdapi/v1/png-info", "{\"image\":\"data:\"}", 422},
        {"POST /sdapi/v1/png-info", "{\"image\":\"data:image/png;base64,\"}", 422},
        {"POST /sdapi/v1/png-info", "{\"image\":\"http://127.0.0.1/x.png\"}", 422},
        {"POST /sdapi/v1/png-info", "{\"image\":\"file:///etc/passwd\"}", 422},
        {"POST /sdapi/v1/png-info", "{\"image\":\"/etc/passwd\"}", 400},
        {"POST /sdapi/v1/png-info", "{\"image\":\"R0lGODlh\"}", 400},
        {"POST /sdapi/v1/png-info", "{\"image\":\"iVBORw0KGgo=\"}", 400}};
    /* clang-format on */
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        send_text(cases[i].line, cases[i].data, cases[i].status, 0);
    char *text = filled("{\"ids\":[\"x\"", ",\"x\"", 1000, "]}");
    send_row("POST /api/v1/images/zip", "1001 ids", text, strlen(text), 422, 0);
    free(text);
    text = filled("{\"ids\":[\"x\"", ",\"x\"", 1000000, "]}");
    send_row("POST /api/v1/images/zip", "a million ids", text, strlen(text), 413, 0);
    free(text);
}

/* Chunks tell no length before. A little too much is read to its end, and answered; far too much is
 * cut. */
static void chunks_have_an_end(void **state) {
    static const char head[] =
        "POST /api/v1/session HTTP/1.1\r\n" HOST
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    (void)state;
    for (int chunks = 8; chunks <= 4096; chunks = chunks == 8     ? 9
                                                  : chunks == 9   ? 100
                                                  : chunks == 100 ? 4096
                                                                  : 5000) {
        char chunk[1100], name[40];
        memset(chunk, ' ', sizeof chunk);
        memcpy(chunk, "400\r\n", 5);
        memcpy(chunk + 5 + 1024, "\r\n", 3);
        char *text = filled(head, chunk, (size_t)chunks, "0\r\n\r\n");
        snprintf(name, sizeof name, "%d KiB in chunks", chunks);
        int wanted = chunks == 8 ? 400 : chunks < 1000 ? 413 : 0;
        check_row(name, send_raw(text, strlen(text)), wanted, 0, jobs_made());
        free(text);
    }
}

int main(void) {
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_objects),
        cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(many_keys_are_named_in_part),
        cmocka_unit_test(orders_have_limits),
        cmocka_unit_test(prompts_have_limits),
        cmocka_unit_test(openai_has_limits),
        cmocka_unit_test(webui_has_limits),
        cmocka_unit_test(settings_stay_readable),
        cmocka_unit_test(others_have_limits),
        cmocka_unit_test(chunks_have_an_end),
        cmocka_unit_test(keeps_its_log_whole),
    };
    /* clang-format on */
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, start, end);
}

/* OpenAI's and AUTOMATIC1111's APIs, as their clients see them: what waits, what is told of what
 * was not used, and what becomes of a job whose client goes away. */
#include "server_client.h"

#include "image/png.h"
#include "server/base64.h"
#include "server/others.h"

#include <signal.h>

#define TOKEN   "0123456789abcdef0123456789abcdef"
#define IMAGES  "POST /v1/images/generations"
#define TXT2IMG "POST /sdapi/v1/txt2img"
#define TINY    "\"size\":\"64x64\",\"steps\":2"
#define SMALL   "\"width\":64,\"height\":64,\"steps\":2"

enum { QUEUE = 8 }; /* more than the server has threads */

static running the, guarded;

static int start(void **state) {
    mebi_error err = {0};
    (void)state;
    the.folder = make_folder();
    guarded.folder = make_folder();
    guarded.token_file = path_of("%s/token", guarded.folder.text);
    write_text(guarded.token_file.text, TOKEN "\n");
    assert_mebi_ok(start_server(&the, (mebi__server_params){.queue_limit = QUEUE}, &err), &err);
    assert_mebi_ok(
        start_server(&guarded, (mebi__server_params){.token_file = guarded.token_file.text}, &err),
        &err);
    wait_until_ready(the.port);
    wait_until_ready(guarded.port);
    return 0;
}

static int end(void **state) {
    (void)state;
    end_server(&the);
    end_server(&guarded);
    return mebi__memory_held(MEBI__TAG_COUNT) == 0 ? 0 : -1;
}

/* Asks, and takes the answer's chunks together. */
static json_t *asked(const char *line, const char *data, int wanted) {
    assert_status(ask(the.port, line, data), wanted);
    if (has_head("Transfer-Encoding: chunked")) {
        size_t bytes = unchunk();
        ((char *)(uintptr_t)body)[bytes] = 0;
    }
    return json_of_reply();
}

static json_t *first(const json_t *o, const char *list) {
    return json_array_get(json_object_get(o, list), 0);
}

/* The picture in a text; its size is checked, and its first bytes. */
static void assert_picture(const char *text, int side) {
    static unsigned char png[1 << 20];
    int width, height, count;
    mebi_png_text *texts;
    mebi_error err = {0};
    size_t length = strlen(text);
    assert_true(length > 100 && length / 4 * 3 < sizeof png);
    size_t bytes = mebi__base64_decode(text, length, png);
    assert_mebi_ok(mebi__png_parse_texts("x", png, bytes, &width, &height, &texts, &count, &err),
                   &err);
    assert_int_equal(width, side);
    assert_int_equal(height, side);
    mebi_png_texts_free(texts);
}

static int warns_of(const json_t *o, const char *words) {
    size_t i;
    const json_t *one;
    json_array_foreach(json_object_get(o, "warnings"), i, one) {
        if (strstr(json_string_value(one), words)) return 1;
    }
    return 0;
}

/* The newest job; owned by the caller. */
static json_t *newest_job(int port) {
    json_t *list = get_json(port, "/api/v1/jobs?limit=1"), *job = first(list, "jobs");
    json_incref(job);
    json_decref(list);
    return job;
}

static void await_newest(int port, const char *wanted) {
    char state[20] = "";
    for (int i = 0; i < 600; i++) {
        json_t *job = newest_job(port);
        snprintf(state, sizeof state, "%s", text_at(job, "state"));
        json_decref(job);
        if (strcmp(state, wanted) == 0) return;
        nap_ms(20);
    }
    fail_msg("The newest job is %s, not %s", state, wanted);
}

/* Sends a request and leaves its answer to come. */
static int begin_asking(int port, const char *line, const char *data) {
    char text[2000];
    int fd = dial(port);
    int n = snprintf(text, sizeof text,
                     "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: "
                     "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     line, strlen(data), data);
    send_bytes(fd, text, (size_t)n);
    return fd;
}

/* ---- parts ---- */

static void codes_base64(void **state) {
    static const char *const bad[] = {"A", "AAA*", "AA=A", "AAAA===", "====", "\x80\x80\x80\x80",
                                      ""};
    unsigned char from[64], back[80];
    char text[90];
    (void)state;
    for (size_t n = 1; n <= sizeof from; n++) {
        for (size_t i = 0; i < n; i++) from[i] = (unsigned char)(i * 37 + n * 11);
        size_t length = mebi__base64_encode(from, n, text);
        assert_int_equal(length, (n + 2) / 3 * 4);
        assert_int_equal(mebi__base64_decode(text, length, back), n);
        assert_memory_equal(from, back, n);
    }
    assert_int_equal(mebi__base64_encode((const unsigned char *)"foobar!", 7, text), 12);
    assert_memory_equal(text, "Zm9vYmFyIQ==", 12);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(mebi__base64_decode(bad[i], strlen(bad[i]), back), 0);
    assert_int_equal(mebi__base64_decode("Zm9v\r\nYmFy", 10, back), 6);
}

/* ---- OpenAI ---- */

static void makes_pictures_for_openai(void **state) {
    (void)state;
    json_t *o = asked(IMAGES,
                      "{\"prompt\":\"an apple\",\"n\":2,\"seed\":7,\"model\":\"dall-e-3\","
                      "\"quality\":\"hd\",\"user\":\"me\",\"sied\":1," TINY "}",
                      200),
           *data = json_object_get(o, "data");
    assert_int_equal(json_array_size(data), 2);
    assert_picture(text_at(json_array_get(data, 0), "b64_json"), 64);
    assert_picture(text_at(json_array_get(data, 1), "b64_json"), 64);
    assert_int_equal(number_at(json_array_get(data, 1), "seed"), 8);
    assert_string_equal(text_at(o, "size"), "64x64");
    assert_true(number_at(o, "created") > 1500000000);
    assert_true(warns_of(o, "dall-e-3") && warns_of(o, "quality") && warns_of(o, "user"));
    assert_true(warns_of(o, "'sied'") && warns_of(o, "Is seed meant?"));
    assert_true(has_head("X-Mebi-Warning: "));
    json_decref(o);
    o = asked(IMAGES, "{\"prompt\":\"a\",\"background\":\"auto\",\"quality\":\"auto\"," TINY "}",
              200);
    assert_int_equal(json_array_size(json_object_get(o, "warnings")), 0);
    assert_false(has_head("X-Mebi-Warning"));
    json_decref(o);
    /* It is in the history, as any other. */
    json_t *job = newest_job(the.port);
    assert_string_equal(text_at(job, "state"), "done");
    assert_int_equal(json_array_size(json_object_get(job, "images")), 1);
    json_decref(job);
}

static void gives_addresses_and_jpegs(void **state) {
    char url[300], wanted[60], line[300];
    unsigned char jpeg[64];
    (void)state;
    json_t *o = asked(IMAGES, "{\"prompt\":\"a\",\"response_format\":\"url\"," TINY "}", 200);
    snprintf(url, sizeof url, "%s", text_at(first(o, "data"), "url"));
    json_decref(o);
    int n = snprintf(wanted, sizeof wanted, "http://127.0.0.1:%d", the.port);
    assert_memory_equal(url, wanted, (size_t)n);
    snprintf(line, sizeof line, "GET %s", url + n);
    assert_status(ask(the.port, line, NULL), 200);
    assert_memory_equal(body, "\x89PNG", 4);
    o = asked(IMAGES,
              "{\"prompt\":\"a\",\"output_format\":\"jpeg\",\"output_compression\":50," TINY "}",
              200);
    assert_string_equal(text_at(o, "output_format"), "jpeg");
    assert_int_equal(mebi__base64_decode(text_at(first(o, "data"), "b64_json"), 64, jpeg), 48);
    assert_memory_equal(jpeg, "\xff\xd8\xff", 3);
    json_decref(o);
}

static void streams_pictures(void **state) {
    (void)state;
    assert_status(ask(the.port, IMAGES,
                      "{\"prompt\":\"a\",\"stream\":true,\"partial_images\":2,\"size\":\"64x64\","
                      "\"steps\":6,\"n\":2,\"strange\":1}"),
                  200);
    assert_true(has_head("Content-Type: text/event-stream"));
    assert_true(has_head("X-Mebi-Warning: There is no field 'strange'"));
    size_t bytes = unchunk();
    ((char *)(uintptr_t)body)[bytes] = 0;
    int partial = 0, whole = 0;
    for (const char *p = body; (p = strstr(p, "data: {")); p += 7) {
        json_t *e = json_loads(p + 6, JSON_DISABLE_EOF_CHECK, NULL);
        assert_non_null(e);
        if (strcmp(text_at(e, "type"), "image_generation.completed") == 0) {
            assert_picture(text_at(e, "b64_json"), 64);
            whole++;
        } else {
            assert_string_equal(text_at(e, "type"), "image_generation.partial_image");
            assert_true(number_at(e, "partial_image_index") < 2);
            assert_string_equal(text_at(e, "output_format"), "jpeg");
            partial++;
        }
        json_decref(e);
    }
    assert_int_equal(whole, 2);
    assert_true(partial >= 1 && partial <= 4);
}

static void assert_openai_error(int status, int wanted, const char *type, const char *param) {
    if (status != wanted) fail_msg("%d, not %d: %.300s", status, wanted, reply);
    json_t *o = json_of_reply(), *e = json_object_get(o, "error");
    assert_string_equal(text_at(e, "type"), type);
    assert_string_equal(text_at(e, "param"), param);
    assert_true(json_is_string(json_object_get(e, "code")));
    assert_true(strlen(text_at(e, "message")) > 10);
    json_decref(o);
}

static void refuses_in_openais_shape(void **state) {
    static const struct {
        const char *data, *param;
    } bad[] = {{"{" TINY "}", "prompt"},
               {"{\"prompt\":\"\"}", "prompt"},
               {"{\"prompt\":7}", "prompt"},
               {"{\"prompt\":\"a\",\"n\":0}", "n"},
               {"{\"prompt\":\"a\",\"n\":11}", "n"},
               {"{\"prompt\":\"a\",\"size\":\"large\"}", "size"},
               {"{\"prompt\":\"a\",\"size\":\"16:9\"}", "size"},
               {"{\"prompt\":\"a\",\"size\":\"17x64\"}", ""},
               {"{\"prompt\":\"a\",\"output_format\":\"webp\"}", "output_format"},
               {"{\"prompt\":\"a\",\"stream\":1}", "stream"},
               {"{\"prompt\":\"a\",\"partial_images\":4}", "partial_images"},
               {"{\"prompt\":\"a\",\"seed\":1e99}", "seed"},
               {"[]", ""},
               {"{\"prompt\":\"a\"", ""}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_openai_error(ask(the.port, IMAGES, bad[i].data), 400, "invalid_request_error",
                            bad[i].param);
    assert_openai_error(ask(the.port, "GET /v1/models/none", NULL), 404, "invalid_request_error",
                        "model");
    assert_openai_error(ask(the.port, "GET /v1/none", NULL), 404, "invalid_request_error", "");
    assert_openai_error(ask(the.port, "PUT /v1/models", NULL), 405, "invalid_request_error", "");
    assert_true(has_head("Allow: GET"));
    assert_openai_error(
        ask_with(the.port, IMAGES, "Origin: http://evil.example\r\n", "{\"prompt\":\"a\"}"), 403,
        "permission_error", "");
}

static void says_what_would_fit(void **state) {
    (void)state;
    mebi__memory_pretend_available(64u << 20);
    int status = ask(the.port, IMAGES, "{\"prompt\":\"a\",\"size\":\"4096x4096\"}");
    mebi__memory_pretend_available(0);
    assert_openai_error(status, 400, "invalid_request_error", "");
    json_t *o = json_of_reply(), *e = json_object_get(o, "error");
    assert_string_equal(text_at(e, "code"), "too_big");
    assert_true(json_is_object(json_object_get(e, "plan")));
    json_decref(o);
    mebi__memory_pretend_available(256u << 20);
    status = ask(the.port, IMAGES, "{\"prompt\":\"a\",\"size\":\"4096x4096\",\"cfg\":2}");
    mebi__memory_pretend_available(0);
    assert_openai_error(status, 400, "invalid_request_error", "");
    assert_non_null(strstr(body, " What would fit: "));
    mebi__memory_pretend_available(64u << 20);
    status = ask(the.port, TXT2IMG, "{\"prompt\":\"a\",\"width\":4096,\"height\":4096}");
    mebi__memory_pretend_available(0);
    assert_int_equal(status, 409);
    o = json_of_reply();
    assert_string_equal(text_at(o, "error"), "too_big");
    assert_true(strlen(text_at(o, "detail")) > 10);
    json_decref(o);
}

static void lists_its_model(void **state) {
    (void)state;
    json_t *o = get_json(the.port, "/v1/models");
    assert_string_equal(text_at(o, "object"), "list");
    assert_string_equal(text_at(first(o, "data"), "id"), "mini");
    json_decref(o);
    o = get_json(the.port, "/v1/models/mini");
    assert_string_equal(text_at(o, "object"), "model");
    json_decref(o);
}

static void needs_the_token(void **state) {
    (void)state;
    assert_openai_error(ask(guarded.port, "GET /v1/models", NULL), 401, "authentication_error", "");
    assert_true(has_head("WWW-Authenticate: Bearer"));
    assert_openai_error(ask(guarded.port, IMAGES, "{\"prompt\":\"a\"}"), 401,
                        "authentication_error", "");
    assert_status(
        ask_with(guarded.port, "GET /v1/models", "Authorization: Bearer " TOKEN "\r\n", NULL), 200);
    assert_status(ask(guarded.port, "GET /sdapi/v1/progress", NULL), 401);
    json_t *o = json_of_reply();
    assert_string_equal(text_at(o, "error"), "unauthorized");
    json_decref(o);
    assert_status(ask(guarded.port, TXT2IMG, "{\"prompt\":\"a\"}"), 401);
    assert_status(ask(guarded.port, "POST /sdapi/v1/interrupt", NULL), 401);
}

/* What a client names is repeated as text, and never as a header's end. */
static void keeps_names_out_of_headers(void **state) {
    (void)state;
    json_t *o =
        asked(IMAGES, "{\"prompt\":\"a\",\"x\\r\\nSet-Cookie: y\":1,\"\xc3\xa4\":2," TINY "}", 200);
    assert_false(has_head("\nSet-Cookie"));
    assert_true(has_head("X-Mebi-Warning: There is no field 'x??Set-Cookie: y'"));
    json_decref(o);
    char data[4000] = "{\"prompt\":\"a\"," TINY;
    for (int i = 0; i < 60; i++) snprintf(data + strlen(data), 40, ",\"unknown_%d\":1", i);
    strcat(data, "}");
    o = asked(IMAGES, data, 200);
    assert_int_equal(json_array_size(json_object_get(o, "warnings")), 33);
    assert_true(warns_of(o, "There are more such fields."));
    json_decref(o);
}

/* ---- clients that go, servers that end ---- */

static void cancels_for_who_has_gone(void **state) {
    static const char *const lines[] = {IMAGES, TXT2IMG, IMAGES};
    static const char *const data[] = {"{\"prompt\":\"gone\"," TINY "}",
                                       "{\"prompt\":\"gone\"," SMALL "}",
                                       "{\"prompt\":\"gone\",\"stream\":true," TINY "}"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        mebi__jobs_pause(mebi__server_jobs(the.server), 1);
        int fd = begin_asking(the.port, lines[i], data[i]);
        await_newest(the.port, "queued");
        nap_ms(100);
        await_newest(the.port, "queued"); /* who waits is waited for */
        close(fd);
        await_newest(the.port, "cancelled");
        mebi__jobs_pause(mebi__server_jobs(the.server), 0);
    }
    int fd =
        begin_asking(the.port, IMAGES, "{\"prompt\":\"gone\",\"size\":\"256x256\",\"steps\":120}");
    await_newest(the.port, "running");
    close(fd);
    await_newest(the.port, "cancelled");
}

static void tells_of_a_cancelled_job(void **state) {
    char line[120];
    int status = 0;
    (void)state;
    mebi__jobs_pause(mebi__server_jobs(the.server), 1);
    int fd = begin_asking(the.port, IMAGES, "{\"prompt\":\"a\"," TINY "}");
    await_newest(the.port, "queued");
    json_t *job = newest_job(the.port);
    snprintf(line, sizeof line, "DELETE /api/v1/jobs/%s", text_at(job, "id"));
    json_decref(job);
    assert_status(ask(the.port, line, NULL), 200);
    status = read_reply(fd);
    assert_openai_error(status, 400, "invalid_request_error", "");
    assert_true(has_head("X-Should-Retry: false"));
    fd = begin_asking(the.port, IMAGES, "{\"prompt\":\"a\",\"stream\":true," TINY "}");
    await_newest(the.port, "queued");
    job = newest_job(the.port);
    snprintf(line, sizeof line, "DELETE /api/v1/jobs/%s", text_at(job, "id"));
    json_decref(job);
    assert_status(ask(the.port, line, NULL), 200);
    assert_int_equal(read_reply(fd), 200);
    ((char *)(uintptr_t)body)[unchunk()] = 0;
    assert_non_null(
        strstr(body, "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":"));
    mebi__jobs_pause(mebi__server_jobs(the.server), 0);
}

static void is_full_for_all(void **state) {
    int fd[QUEUE];
    (void)state;
    mebi__jobs_pause(mebi__server_jobs(the.server), 1);
    for (int i = 0; i < QUEUE; i++) {
        fd[i] = begin_asking(the.port, TXT2IMG, "{\"prompt\":\"a\"," SMALL "}");
        for (int n = 0; n < 500 && mebi__jobs_queue(mebi__server_jobs(the.server)).queued <= i; n++)
            nap_ms(10);
    }
    assert_openai_error(ask(the.port, IMAGES, "{\"prompt\":\"a\"," TINY "}"), 429,
                        "rate_limit_error", "");
    assert_true(has_head("Retry-After: "));
    mebi__jobs_pause(mebi__server_jobs(the.server), 0);
    for (int i = 0; i < QUEUE; i++) assert_int_equal(read_reply(fd[i]), 200);
}

/* The client is told, and its job is there when the server is started again. */
static void keeps_jobs_over_its_end(void **state) {
    running own = {.folder = make_folder()};
    mebi_error err = {0};
    (void)state;
    assert_mebi_ok(start_server(&own, (mebi__server_params){.queue_limit = 2}, &err), &err);
    wait_until_ready(own.port);
    mebi__jobs_pause(mebi__server_jobs(own.server), 1);
    int fd = begin_asking(own.port, IMAGES, "{\"prompt\":\"kept\"," TINY "}");
    await_newest(own.port, "queued");
    mebi__server_close(&own.server, 0, NULL);
    mebi__config_free(&own.config);
    assert_openai_error(read_reply(fd), 503, "server_error", "");
    assert_true(has_head("X-Should-Retry: false"));
    assert_mebi_ok(start_server(&own, (mebi__server_params){.queue_limit = 2}, &err), &err);
    wait_until_ready(own.port);
    await_newest(own.port, "done");
    end_server(&own);
}

/* ---- AUTOMATIC1111 ---- */

static void makes_pictures_for_webui(void **state) {
    (void)state;
    json_t *o =
        asked(TXT2IMG,
              "{\"prompt\":\"an apple\",\"negative_prompt\":\"no\",\"cfg_scale\":3.5,\"seed\":4,"
              "\"batch_size\":2,\"n_iter\":1,\"sampler_name\":\"Euler\",\"scheduler\":"
              "\"Simple\",\"styles\":[],\"hr_scale\":2,\"denoising_strength\":0.7,"
              "\"eta\":1.0,\"override_settings\":{},\"enable_hr\":false," SMALL "}",
              200);
    assert_int_equal(json_array_size(json_object_get(o, "images")), 2);
    assert_picture(json_string_value(first(o, "images")), 64);
    assert_int_equal(json_array_size(json_object_get(o, "warnings")), 0);
    assert_int_equal(number_at(json_object_get(o, "parameters"), "seed"), 4);
    json_t *info = json_loads(text_at(o, "info"), 0, NULL);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(info, "all_seeds"), 1)), 5);
    assert_non_null(strstr(json_string_value(first(info, "infotexts")), "Seed: 4"));
    assert_true(json_real_value(json_object_get(info, "cfg_scale")) > 3.4);
    json_decref(info);
    json_decref(o);
    /* pos + (s - 1)(pos - neg) */
    json_t *job = newest_job(the.port), *r = json_object_get(job, "request");
    double cfg = json_number_value(json_object_get(r, "cfg"));
    assert_true(cfg > 2.49 && cfg < 2.51);
    assert_int_equal(number_at(r, "count"), 2);
    json_decref(job);
}

static void says_what_it_did_not_use(void **state) {
    (void)state;
    json_t *o =
        asked(TXT2IMG,
              "{\"prompt\":\"a\",\"cfg_scale\":0.5,\"sampler_name\":\"DPM++ 2M\",\"scheduler\":"
              "\"Karras\",\"override_settings\":{\"x\":1},\"enable_hr\":true,\"tiling\":true,"
              "\"subseed\":3,\"styles\":[\"s\"],\"strange\":0,\"send_images\":false," SMALL "}",
              200);
    static const char *const words[] = {"cfg_scale",         "DPM++ 2M",  "Karras",
                                        "override_settings", "enable_hr", "tiling",
                                        "subseed",           "styles",    "'strange'"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!warns_of(o, words[i])) fail_msg("No warning of %s: %s", words[i], body);
    assert_true(has_head("X-Mebi-Warning: "));
    assert_int_equal(json_array_size(json_object_get(o, "images")), 0);
    json_decref(o);
    static const char *const bad[] = {"{}",
                                      "{\"prompt\":\"a\",\"width\":72}",
                                      "{\"prompt\":\"a\",\"steps\":121}",
                                      "{\"prompt\":\"a\",\"batch_size\":9,\"n_iter\":8}",
                                      "{\"prompt\":\"a\",\"cfg_scale\":-1}",
                                      "{\"prompt\":\"a\",\"sampler_name\":3}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o = asked(TXT2IMG, bad[i], 422);
        assert_string_equal(text_at(o, "error"), "bad_request");
        assert_true(strlen(text_at(o, "detail")) > 10);
        json_decref(o);
    }
}

static void tells_progress_and_is_interrupted(void **state) {
    json_t *o = get_json(the.port, "/sdapi/v1/progress");
    (void)state;
    assert_true(json_is_null(json_object_get(o, "current_image")));
    assert_int_equal(number_at(json_object_get(o, "state"), "job_count"), 0);
    json_decref(o);
    int fd = begin_asking(the.port, TXT2IMG,
                          "{\"prompt\":\"a\",\"width\":256,\"height\":256,\"steps\":120}"),
        seen = 0;
    for (int i = 0; i < 600 && !seen; i++) {
        o = get_json(the.port, "/sdapi/v1/progress");
        const char *image = text_at(o, "current_image");
        seen = *image != 0;
        if (seen) {
            unsigned char jpeg[48];
            assert_int_equal(mebi__base64_decode(image, 64, jpeg), 48);
            assert_memory_equal(jpeg, "\xff\xd8\xff", 3);
            assert_int_equal(number_at(json_object_get(o, "state"), "sampling_steps"), 120);
            double progress = json_number_value(json_object_get(o, "progress"));
            assert_true(progress > 0 && progress < 1);
        }
        json_decref(o);
        nap_ms(5);
    }
    assert_true(seen);
    assert_int_equal(ask(the.port, "GET /sdapi/v1/progress?skip_current_image=perhaps", NULL), 422);
    o = get_json(the.port, "/sdapi/v1/progress?skip_current_image=true");
    assert_true(json_is_null(json_object_get(o, "current_image")));
    json_decref(o);
    assert_status(ask(the.port, "POST /sdapi/v1/skip", NULL), 200);
    assert_true(has_head("X-Mebi-Warning: "));
    assert_int_equal(read_reply(fd), 409);
    assert_status(ask(the.port, "POST /sdapi/v1/interrupt", "{}"), 200); /* nothing runs */
}

/* The state of the job of this prompt, the newest if there are several; "" if there is none. */
static const char *state_of(const char *prompt) {
    static char state[20];
    json_t *o = get_json(the.port, "/api/v1/jobs?limit=50"), *job;
    size_t i;
    *state = 0;
    json_array_foreach(
        json_object_get(o, "jobs"), i,
        job) if (!*state && strcmp(text_at(json_object_get(job, "request"), "prompt"), prompt) == 0)
        snprintf(state, sizeof state, "%s", text_at(job, "state"));
    json_decref(o);
    return state;
}

static void await_state(const char *prompt, const char *wanted) {
    for (int i = 0; i < 600; i++) {
        if (strcmp(state_of(prompt), wanted) == 0) return;
        nap_ms(20);
    }
    fail_msg("%s is %s, not %s", prompt, state_of(prompt), wanted);
}

#define LONG "\"width\":256,\"height\":256,\"steps\":120"

static void interrupts_its_own_first(void **state) {
    (void)state;
    assert_status(ask(the.port, "POST /api/v1/jobs", "{\"prompt\":\"page\"," LONG "}"), 202);
    await_state("page", "running");
    int older = begin_asking(the.port, TXT2IMG, "{\"prompt\":\"older\"," LONG "}");
    await_state("older", "queued");
    nap_ms(5);
    int newer = begin_asking(the.port, TXT2IMG, "{\"prompt\":\"newer\"," LONG "}");
    await_state("newer", "queued");
    assert_status(ask(the.port, "POST /sdapi/v1/interrupt", NULL), 200);
    assert_int_equal(read_reply(newer), 409);
    assert_string_equal(state_of("page"), "running");
    assert_string_equal(state_of("older"), "queued");
    assert_status(ask(the.port, "POST /sdapi/v1/interrupt", NULL), 200);
    assert_int_equal(read_reply(older), 409);
    assert_string_equal(state_of("page"), "running");
    assert_status(ask(the.port, "POST /sdapi/v1/interrupt", NULL), 200); /* nothing of its own */
    await_state("page", "cancelled");
    int first_one = begin_asking(the.port, TXT2IMG, "{\"prompt\":\"own\"," LONG "}");
    await_state("own", "running");
    int waiting = begin_asking(the.port, TXT2IMG, "{\"prompt\":\"next\"," LONG "}");
    await_state("next", "queued");
    assert_status(ask(the.port, "POST /sdapi/v1/interrupt", NULL), 200);
    assert_int_equal(read_reply(first_one), 409);
    await_state("next", "running");
    assert_status(ask(the.port, "POST /sdapi/v1/interrupt", NULL), 200);
    assert_int_equal(read_reply(waiting), 409);
}

static void lists_what_there_is(void **state) {
    static const char *const empty[] = {"upscalers",     "loras",  "prompt-styles",
                                        "hypernetworks", "sd-vae", "face-restorers"};
    char path[100];
    (void)state;
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++) {
        snprintf(path, sizeof path, "/sdapi/v1/%s", empty[i]);
        json_t *list = get_json(the.port, path);
        assert_true(json_is_array(list) && json_array_size(list) == 0);
        json_decref(list);
    }
    static const char *const objects[] = {"embeddings", "memory", "cmd-flags", "scripts",
                                          "options"};
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        snprintf(path, sizeof path, "/sdapi/v1/%s", objects[i]);
        json_t *o = get_json(the.port, path);
        assert_true(json_is_object(o) && json_object_size(o) > 0);
        json_decref(o);
    }
    json_t *models = get_json(the.port, "/sdapi/v1/sd-models"), *o;
    assert_string_equal(text_at(json_array_get(models, 0), "model_name"), "mini");
    char data[200];
    snprintf(data, sizeof data, "{\"sd_model_checkpoint\":\"%s\"}",
             text_at(json_array_get(models, 0), "title"));
    json_decref(models);
    o = asked("POST /sdapi/v1/options", data, 200);
    assert_int_equal(json_array_size(json_object_get(o, "warnings")), 0);
    json_decref(o);
    o = asked("POST /sdapi/v1/options", "{\"sd_model_checkpoint\":\"other\",\"x\\n\":2}", 200);
    assert_int_equal(json_array_size(json_object_get(o, "warnings")), 2);
    json_decref(o);
    json_decref(get_json(the.port, "/sdapi/v1/samplers"));
    json_decref(get_json(the.port, "/sdapi/v1/schedulers"));
}

static void reads_pngs_for_webui(void **state) {
    static const char *const bad[] = {"{}", "{\"image\":7}", "{\"image\":\"\"}",
                                      "{\"image\":\"*\"}",
                                      "{\"image\":\"data:image/png;base64,\"}"};
    (void)state;
    json_t *o =
        asked(TXT2IMG, "{\"prompt\":\"an apple\",\"seed\":31,\"cfg_scale\":2.5," SMALL "}", 200);
    json_t *sent =
        json_pack("{s:o}", "image",
                  json_sprintf("data:image/png;base64,%s", json_string_value(first(o, "images"))));
    char *text = json_dumps(sent, 0);
    json_decref(o);
    json_decref(sent);
    o = asked("POST /sdapi/v1/png-info", text, 200);
    free(text);
    assert_non_null(strstr(text_at(o, "info"), "an apple"));
    assert_int_equal(number_at(json_object_get(o, "parameters"), "seed"), 31);
    assert_non_null(strstr(text_at(o, "info"), "CFG scale: 2.5,"));
    assert_true(json_number_value(json_object_get(json_object_get(o, "parameters"), "cfg_scale")) ==
                2.5);
    assert_null(json_object_get(json_object_get(o, "parameters"), "cfg"));
    json_decref(o);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_status(ask(the.port, "POST /sdapi/v1/png-info", bad[i]), 422);
    assert_status(ask(the.port, "POST /sdapi/v1/png-info", "{\"image\":\"R0lGODlh\"}"), 400);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_base64),
        cmocka_unit_test(makes_pictures_for_openai),
        cmocka_unit_test(gives_addresses_and_jpegs),
        cmocka_unit_test(streams_pictures),
        cmocka_unit_test(refuses_in_openais_shape),
        cmocka_unit_test(says_what_would_fit),
        cmocka_unit_test(lists_its_model),
        cmocka_unit_test(needs_the_token),
        cmocka_unit_test(keeps_names_out_of_headers),
        cmocka_unit_test(cancels_for_who_has_gone),
        cmocka_unit_test(tells_of_a_cancelled_job),
        cmocka_unit_test(is_full_for_all),
        cmocka_unit_test(keeps_jobs_over_its_end),
        cmocka_unit_test(makes_pictures_for_webui),
        cmocka_unit_test(says_what_it_did_not_use),
        cmocka_unit_test(tells_progress_and_is_interrupted),
        cmocka_unit_test(interrupts_its_own_first),
        cmocka_unit_test(lists_what_there_is),
        cmocka_unit_test(reads_pngs_for_webui),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, start, end);
}

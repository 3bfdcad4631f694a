/* The API as programs use it: plans, jobs, events, pictures, settings. Real pictures of 64x64, by
 * models/mini. */
#include "server_client.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#define SMALL "\"width\":64,\"height\":64,\"steps\":2"

enum { QUEUE = 3, STREAMS = 500 };

static running the; /* the server */

static int start(void **state) {
    mebi_error err = {0};
    struct rlimit limit = {4096, 4096};
    (void)state;
    setrlimit(RLIMIT_NOFILE, &limit);
    the.folder = make_folder();
    assert_mebi_ok(start_server(&the, (mebi__server_params){.queue_limit = QUEUE}, &err), &err);
    wait_until_ready(the.port);
    return 0;
}

static int end(void **state) {
    (void)state;
    end_server(&the);
    return mebi__memory_held(MEBI__TAG_COUNT) == 0 ? 0 : -1;
}

static int post(const char *path, const char *data) {
    char line[200];
    snprintf(line, sizeof line, "POST %s", path);
    return ask(the.port, line, data);
}

static int on_id(const char *method, const char *what, const char *id, const char *rest,
                 const char *data) {
    char line[300];
    snprintf(line, sizeof line, "%s /api/v1/%s/%s%s", method, what, id, rest);
    return ask(the.port, line, data);
}

/* Orders; the job's id, in id. */
static void order(const char *data, char id[MEBI__JOB_ID]) {
    assert_status(post("/api/v1/jobs", data), 202);
    json_t *job = json_of_reply();
    snprintf(id, MEBI__JOB_ID, "%s", text_at(job, "id"));
    assert_true(*id != 0);
    assert_true(has_head("Location: /api/v1/jobs/"));
    json_decref(job);
}

/* The job, once it is in that state; owned by the caller. */
static json_t *wait_for(const char *id, const char *state) {
    for (int i = 0; i < 1200; i++) {
        assert_status(on_id("GET", "jobs", id, "", NULL), 200);
        json_t *job = json_of_reply();
        if (strcmp(text_at(job, "state"), state) == 0) return job;
        json_decref(job);
        nap_ms(50);
    }
    fail_msg("The job does not come to be %s: %s", state, body);
    return NULL;
}

static void make(const char *data, char job[MEBI__JOB_ID], char image[MEBI__IMAGE_ID]) {
    order(data, job);
    json_t *done = wait_for(job, "done");
    snprintf(image, MEBI__IMAGE_ID, "%s",
             text_at(json_array_get(json_object_get(done, "images"), 0), "id"));
    json_decref(done);
}

/* ---- plans ---- */

static void plans(void **state) {
    (void)state;
    assert_status(post("/api/v1/plan", "{" SMALL ",\"stepz\":3}"), 200);
    json_t *p = json_of_reply();
    assert_string_equal(text_at(p, "verdict"), "fits");
    assert_int_equal(number_at(p, "width"), 64);
    assert_true(number_at(p, "need_bytes") > 0 &&
                number_at(p, "need_bytes") <= number_at(p, "budget_bytes"));
    assert_non_null(json_object_get(json_object_get(p, "stage_seconds"), "denoise"));
    assert_non_null(json_object_get(json_object_get(p, "memory"), "activations"));
    const char *warning = json_string_value(json_array_get(json_object_get(p, "warnings"), 0));
    assert_non_null(warning);
    assert_non_null(strstr(warning, "Is steps meant?"));
    json_decref(p);
    static const char *const bad[] = {"{\"width\":17}",
                                      "{\"width\":-16}",
                                      "{\"steps\":0}",
                                      "{\"steps\":1.5}",
                                      "{\"steps\":\"8\"}",
                                      "{\"cfg\":101}",
                                      "{\"seed\":9007199254740993}",
                                      "{\"count\":65}",
                                      "{\"draft\":9}",
                                      "{\"decode\":\"fast\"}",
                                      "{\"prompt\":7}",
                                      "{\"preview_every\":121}",
                                      "{\"width\":1e300}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_error(post("/api/v1/plan", bad[i]), 422, "bad_request");
    assert_status(post("/api/v1/plan", "{\"width\":null,\"steps\":3.0}"), 200);
}

static void plans_many(void **state) {
    static char data[1 << 16];
    (void)state;
    assert_status(post("/api/v1/plans", "{\"requests\":[{" SMALL "},{\"width\":17},7]}"), 200);
    json_t *o = json_of_reply(), *all = json_object_get(o, "plans");
    assert_int_equal(json_array_size(all), 3);
    assert_string_equal(text_at(json_array_get(all, 0), "verdict"), "fits");
    assert_non_null(json_object_get(json_array_get(all, 1), "error"));
    assert_non_null(json_object_get(json_array_get(all, 2), "error"));
    json_decref(o);
    strcpy(data, "{\"requests\":[{}");
    for (int i = 0; i < 64; i++) strcat(data, ",{}");
    strcat(data, "]}");
    assert_error(post("/api/v1/plans", data), 422, "bad_request");
    assert_error(post("/api/v1/plans", "{}"), 422, "bad_request");
}

/* What is too big for the memory there is says what would fit, and is no job. */
static void refuses_what_is_too_big(void **state) {
    (void)state;
    mebi__memory_pretend_available(64u << 20);
    int status = post("/api/v1/jobs", "{\"prompt\":\"a\",\"width\":4096,\"height\":4096}");
    mebi__memory_pretend_available(0);
    assert_error(status, 409, "too_big");
    json_t *o = json_of_reply(), *plan = json_object_get(json_object_get(o, "error"), "plan");
    assert_string_equal(text_at(plan, "verdict"), "too_big");
    assert_true(json_is_array(json_object_get(plan, "alternatives")));
    json_decref(o);
}

/* ---- jobs ---- */

static void makes_a_picture(void **state) {
    char job[MEBI__JOB_ID], image[MEBI__IMAGE_ID], tag[100] = "", head[140];
    (void)state;
    make("{\"prompt\":\"\u00e4 red apple\",\"seed\":7,\"strange\":1," SMALL "}", job, image);
    assert_status(on_id("GET", "images", image, "", NULL), 200);
    json_t *i = json_of_reply();
    assert_int_equal(number_at(i, "seed"), 7);
    assert_int_equal(number_at(i, "width"), 64);
    assert_string_equal(text_at(i, "prompt"), "\u00e4 red apple");
    assert_string_equal(text_at(i, "job"), job);
    assert_non_null(strstr(text_at(i, "parameters"), "Seed: 7"));
    json_int_t bytes = number_at(i, "bytes");
    json_decref(i);
    assert_status(on_id("GET", "images", image, "/file", NULL), 200);
    assert_true(has_head("immutable"));
    assert_memory_equal(body, "\x89PNG", 4);
    assert_int_equal(reply_bytes - (size_t)(body - reply), bytes);
    sscanf(strcasestr(reply, "ETag: "), "ETag: %90s", tag);
    snprintf(head, sizeof head, "If-None-Match: %s\r\n", tag);
    char line[200];
    snprintf(line, sizeof line, "GET /api/v1/images/%s/file", image);
    assert_status(ask_with(the.port, line, head, NULL), 304);
    assert_status(on_id("GET", "images", image, "/file?download=1", NULL), 200);
    assert_true(has_head("Content-Disposition: attachment"));
    assert_status(on_id("GET", "images", image, "/thumbnail", NULL), 200);
    assert_memory_equal(body, "\xff\xd8\xff", 3);
    assert_error(on_id("DELETE", "jobs", job, "", NULL), 409, "conflict");
}

static void refuses_orders(void **state) {
    static char data[20000];
    (void)state;
    assert_error(post("/api/v1/jobs", "{" SMALL "}"), 422, "bad_request");
    assert_error(post("/api/v1/jobs", "{\"prompt\":\"\"," SMALL "}"), 422, "bad_request");
    assert_error(post("/api/v1/jobs", "{\"prompt\":\"a\",\"width\":72}"), 422, "bad_request");
    assert_error(post("/api/v1/jobs", "{\"prompt\":\"a\",\"priority\":11}"), 422, "bad_request");
    strcpy(data, "{\"prompt\":\"");
    memset(data + strlen(data), 'a', 16385);
    strcat(data, "\"}");
    assert_error(post("/api/v1/jobs", data), 422, "bad_request");
    assert_error(on_id("GET", "jobs", "none", "", NULL), 404, "not_found");
    assert_error(on_id("DELETE", "jobs", "none", "", NULL), 404, "not_found");
    assert_error(on_id("GET", "jobs", "none", "/events", NULL), 404, "not_found");
    assert_error(on_id("GET", "jobs", "none", "/preview", NULL), 404, "not_found");
    assert_error(on_id("GET", "images", "none", "/file", NULL), 404, "not_found");
    assert_error(ask(the.port, "GET /api/v1/jobs?state=odd", NULL), 400, "bad_request");
    assert_error(ask(the.port, "GET /api/v1/jobs?limit=x", NULL), 400, "bad_request");
    assert_error(ask(the.port, "GET /api/v1/images?from=now", NULL), 400, "bad_request");
    assert_error(ask(the.port, "GET /api/v1/images?q=%ff", NULL), 400, "bad_request");
}

/* A value that is empty, or none of those that are described, is refused and not taken for none. */
static void refuses_queries(void **state) {
    static const char *const bad[] = {"jobs?limit=",
                                      "jobs?limit=0",
                                      "jobs?cursor=",
                                      "jobs?state=",
                                      "jobs?state=done,",
                                      "jobs?state=done,,failed",
                                      "images?limit=0",
                                      "images?limit=",
                                      "images?seed=",
                                      "images?trashed=",
                                      "images?trashed=yes",
                                      "images?job=",
                                      "images/none/file?download=yes",
                                      "system/memory?since=",
                                      "system/memory?since=-1",
                                      "system/memory?since=1e999",
                                      "system/memory?since=nan"};
    char line[120];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(line, sizeof line, "GET /api/v1/%s", bad[i]);
        assert_error(ask(the.port, line, NULL), 400, "bad_request");
    }
    assert_error(on_id("DELETE", "images", "none", "?forever=", NULL), 400, "bad_request");
    assert_status(ask(the.port, "GET /api/v1/jobs?state=done,done", NULL), 200);
    assert_status(ask(the.port, "GET /api/v1/images?q=&trashed=false", NULL), 200);
    assert_status(ask(the.port, "GET /api/v1/system/memory?since=1.5e9", NULL), 200);
}

/* An integer that no machine word holds is JSON: refused where a field has limits, else not used. */
static void takes_huge_integers(void **state) {
    (void)state;
    assert_error(post("/api/v1/jobs", "{\"prompt\":\"a\",\"seed\":-123456789012345678901}"), 422,
                 "bad_request");
    assert_non_null(strstr(body, "\"field\":\"seed\""));
    assert_status(post("/api/v1/plan", "{\"prompt\":\"a\",\"odd\":123456789012345678901," SMALL "}"),
                  200);
    assert_non_null(strstr(body, "There is no field 'odd'"));
}

static void queues_and_cancels(void **state) {
    char first[MEBI__JOB_ID], id[MEBI__JOB_ID];
    (void)state;
    mebi__jobs_pause(mebi__server_jobs(the.server), 1);
    order("{\"prompt\":\"first\"," SMALL "}", first);
    for (int i = 1; i < QUEUE; i++) order("{\"prompt\":\"more\"," SMALL "}", id);
    assert_error(post("/api/v1/jobs", "{\"prompt\":\"one too many\"," SMALL "}"), 429,
                 "queue_full");
    assert_true(has_head("Retry-After: "));
    json_t *list = get_json(the.port, "/api/v1/jobs?state=queued&limit=10");
    assert_int_equal(json_array_size(json_object_get(list, "jobs")), QUEUE);
    json_decref(list);
    assert_status(on_id("DELETE", "jobs", first, "", NULL), 200);
    assert_non_null(strstr(body, "\"state\":\"cancelled\""));
    assert_error(on_id("DELETE", "jobs", first, "", NULL), 409, "conflict");
    mebi__jobs_pause(mebi__server_jobs(the.server), 0);
    json_decref(wait_for(id, "done"));
}

/* ---- events ---- */

/* Opens a stream; what it says is read into the reply. */
static int listen_to(const char *path, const char *last) {
    char text[400];
    int fd = dial(the.port);
    int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s%s%s\r\n", path,
                     last ? "Last-Event-ID: " : "", last ? last : "", last ? "\r\n" : "");
    send_bytes(fd, text, (size_t)n);
    begin_reply();
    return fd;
}

/* Until the words come; 0: the stream ends before. */
static int read_until(int fd, const char *words) {
    while (!strstr(reply, words)) {
        int more = read_piece(fd, PATIENCE_MS);
        if (more < 0) fail_msg("Silent, and no %s: %.2000s", words, reply);
        if (more == 0) return 0;
    }
    return 1;
}

static long long last_id(const char *text) {
    long long id = 0, found;
    for (const char *p = text; (p = strstr(p, "id: ")); p += 4)
        if ((p == text || p[-1] == '\n') && sscanf(p, "id: %lld", &found) == 1) {
            if (found <= id) fail_msg("Ids do not rise: %lld after %lld", found, id);
            id = found;
        }
    return id;
}

static void tells_events(void **state) {
    char id[MEBI__JOB_ID], path[120], last[24];
    (void)state;
    mebi__jobs_pause(mebi__server_jobs(the.server), 1);
    order("{\"prompt\":\"events\",\"width\":64,\"height\":64,\"steps\":3,\"preview_every\":1}", id);
    snprintf(path, sizeof path, "/api/v1/jobs/%s/events", id);
    int fd = listen_to(path, NULL);
    assert_true(read_until(fd, "event: state\ndata: {"));
    assert_true(has_head("Content-Type: text/event-stream"));
    mebi__jobs_pause(mebi__server_jobs(the.server), 0);
    assert_true(read_until(fd, "event: done\n"));
    assert_true(read_until(fd, "\r\n0\r\n")); /* the last chunk: it ends by itself */
    close(fd);
    assert_non_null(strstr(reply, "event: progress\ndata: {\"stage\":"));
    assert_non_null(strstr(reply, "event: preview\ndata: {\"url\":\"/api/v1/jobs/"));
    assert_non_null(strstr(reply, "event: image\ndata: {\"id\":"));
    snprintf(last, sizeof last, "%lld", last_id(reply));
    /* Before the picture: it comes again. After the end: nothing will. */
    fd = listen_to(path, "0");
    assert_true(read_until(fd, "event: done\n"));
    close(fd);
    assert_non_null(strstr(reply, "event: image\n"));
    assert_null(strstr(reply, "event: state\ndata: {\"id\":\"none"));
    fd = listen_to(path, last);
    assert_true(read_until(fd, "\r\n\r\n"));
    assert_non_null(strstr(reply, "HTTP/1.1 204"));
    close(fd);
    fd = listen_to(path, NULL); /* who comes late gets the state, and the end */
    assert_true(read_until(fd, "\r\n0\r\n"));
    assert_non_null(strstr(reply, "\"state\":\"done\""));
    close(fd);
    assert_status(on_id("GET", "jobs", id, "/preview", NULL) / 100 == 2 || strstr(body, "not_found")
                      ? 200
                      : 0,
                  200);
}

static size_t own_bytes(void) {
    return mebi__memory_own();
}

/* Many who listen cost little, and all of them hear. */
static void tells_many(void **state) {
    static int fd[STREAMS];
    char id[MEBI__JOB_ID];
    (void)state;
    size_t before = own_bytes();
    for (int i = 0; i < STREAMS; i++) {
        fd[i] = listen_to("/api/v1/events", NULL);
        assert_true(read_until(fd[i], "event: queue\n"));
    }
    size_t each = (own_bytes() - before) / STREAMS;
    if (!SANITIZED && each > 64 << 10) fail_msg("An event stream takes %zu bytes", each);
    double began = mebi__now_seconds();
    assert_status(ask(the.port, "GET /healthz", NULL), 200);
    assert_true(mebi__now_seconds() - began < (SANITIZED ? 5 : 1));
    order("{\"prompt\":\"all hear\"," SMALL "}", id);
    for (int i = 0; i < STREAMS; i++) {
        begin_reply();
        if (!read_until(fd[i], "event: done\n")) fail_msg("Stream %d ended", i);
        assert_non_null(strstr(reply, "\"job\":"));
        close(fd[i]);
    }
}

/* ---- pictures ---- */

static void keeps_a_history(void **state) {
    char job[MEBI__JOB_ID], image[MEBI__IMAGE_ID], path[120];
    (void)state;
    make("{\"prompt\":\"zebra crossing\",\"seed\":11," SMALL "}", job, image);
    json_t *found =
        get_json(the.port, "/api/v1/images?q=CROSSING%20zebra&width=64&seed=11&limit=5");
    assert_int_equal(number_at(found, "total"), 1);
    assert_string_equal(text_at(json_array_get(json_object_get(found, "images"), 0), "id"), image);
    json_decref(found);
    assert_status(on_id("PATCH", "images", image, "", "{\"favourite\":true}"), 200);
    assert_error(on_id("PATCH", "images", image, "", "{\"trashed\":true}"), 422, "bad_request");
    found = get_json(the.port, "/api/v1/images?favourite=1");
    assert_int_equal(number_at(found, "total"), 1);
    json_decref(found);
    assert_error(on_id("DELETE", "images", image, "?forever=1", NULL), 409, "conflict");
    assert_status(on_id("DELETE", "images", image, "", NULL), 200);
    assert_non_null(strstr(body, "\"trashed\":true"));
    found = get_json(the.port, "/api/v1/images?trashed=1");
    assert_int_equal(number_at(found, "total"), 1);
    json_decref(found);
    assert_status(on_id("POST", "images", image, "/restore", NULL), 200);
    assert_status(on_id("DELETE", "images", image, "", NULL), 200);
    assert_status(on_id("DELETE", "images", image, "?forever=1", NULL), 204);
    snprintf(path, sizeof path, "/api/v1/images/%s", image);
    assert_status(on_id("GET", "images", image, "", NULL), 404);
    assert_status(on_id("GET", "images", image, "/file", NULL), 404);
}

static void packs_a_zip(void **state) {
    char job[MEBI__JOB_ID], image[MEBI__IMAGE_ID], data[200];
    (void)state;
    make("{\"prompt\":\"to be packed\"," SMALL "}", job, image);
    snprintf(data, sizeof data, "{\"ids\":[\"%s\",\"%s\"]}", image, image);
    assert_status(post("/api/v1/images/zip", data), 200);
    assert_true(has_head("Content-Type: application/zip"));
    size_t bytes = unchunk();
    path_text file = path_of("%s/a.zip", the.folder.text);
    write_bytes(file.text, body, bytes);
    /* Python's reader checks names, sizes and checksums. */
    char command[300];
    snprintf(command, sizeof command,
             "python3 -c \"import zipfile; z = zipfile.ZipFile('%.150s'); assert z.testzip() is "
             "None; assert "
             "len(z.infolist()) == 2\" >/dev/null 2>&1",
             file.text);
    assert_int_equal(system(command), 0);
    assert_error(post("/api/v1/images/zip", "{\"ids\":[\"none\"]}"), 404, "not_found");
    assert_error(post("/api/v1/images/zip", "{\"ids\":[]}"), 422, "bad_request");
    assert_error(post("/api/v1/images/zip", "{\"ids\":[\"../../etc/passwd\"]}"), 404, "not_found");
}

static int send_png(const char *png, size_t bytes) {
    static char text[1 << 20];
    int n = snprintf(
        text, sizeof text,
        "POST /api/v1/png-info HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: "
        "image/png\r\nContent-Length: %zu\r\n\r\n",
        bytes);
    memcpy(text + n, png, bytes);
    return ask_bytes(the.port, text, (size_t)n + bytes);
}

static void tells_how_a_png_was_made(void **state) {
    static char png[1 << 19];
    char job[MEBI__JOB_ID], image[MEBI__IMAGE_ID];
    (void)state;
    make("{\"prompt\":\"told, by \\\"itself\\\": "
         "yes\",\"seed\":99,\"cfg\":2.5,\"negative_prompt\":\"no\"," SMALL "}",
         job, image);
    assert_status(on_id("GET", "images", image, "/file", NULL), 200);
    size_t bytes = reply_bytes - (size_t)(body - reply);
    assert_true(bytes < sizeof png);
    memcpy(png, body, bytes);
    assert_status(send_png(png, bytes), 200);
    json_t *o = json_of_reply(), *r = json_object_get(o, "request");
    assert_int_equal(number_at(o, "width"), 64);
    assert_string_equal(text_at(r, "prompt"), "told, by \"itself\": yes");
    assert_string_equal(text_at(r, "negative_prompt"), "no");
    assert_int_equal(number_at(r, "seed"), 99);
    assert_int_equal(number_at(r, "steps"), 2);
    assert_non_null(strstr(text_at(o, "parameters"), "CFG scale: 3.5,"));
    assert_true(json_number_value(json_object_get(r, "cfg")) == 2.5);
    json_decref(o);
    assert_error(send_png(png, 20), 400, "bad_request");
    assert_error(send_png("GIF89a", 6), 400, "bad_request");
}

/* The guidance of a request made from a PNG with these texts (NULL: not there). */
static double guidance_told(const char *scale, const char *own) {
    static const unsigned char pixels[4 * 4 * 3];
    char text[100], entry[100], *png;
    size_t bytes;
    mebi_error err = {0};
    path_text path = path_of("%s/own.png", the.folder.text);
    const mebi_image image = {4, 4, (unsigned char *)(uintptr_t)pixels};
    snprintf(text, sizeof text, "a cat\nSteps: 20, CFG scale: %s, Seed: 1, Size: 64x64", scale);
    snprintf(entry, sizeof entry, "{\"program\":\"mebi\",\"prompt\":\"a cat\",\"cfg\":%s}",
             own ? own : "0");
    const mebi_png_text texts[] = {{"parameters", text}, {"mebi", entry}};
    assert_mebi_ok(mebi_png_save(path.text, &image, texts, own ? 2 : 1, NULL, &err), &err);
    assert_mebi_ok(mebi__read_file(path.text, 1 << 20, &png, &bytes, &err), &err);
    unlink(path.text);
    assert_status(send_png(png, bytes), 200);
    mebi__free(png);
    json_t *o = json_of_reply();
    double cfg = json_number_value(json_object_get(json_object_get(o, "request"), "cfg"));
    json_decref(o);
    return cfg;
}

static void reads_guidance_as_others_count_it(void **state) {
    (void)state;
    static const struct {
        const char *scale, *own;
        double cfg;
    } cases[] = {{"7", NULL, 6},      {"1", NULL, 0}, {"0", NULL, 0},      {"0.5", NULL, 0},
                 {"3.5", "2.5", 2.5}, {"1", "0", 0},  {"2.5", "2.5", 2.5}, /* as it once was */
                 {"7", "\"x\"", 6},   {"x", NULL, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double cfg = guidance_told(cases[i].scale, cases[i].own);
        if (cfg > cases[i].cfg || cfg < cases[i].cfg)
            fail_msg("CFG scale %s, cfg %s: %g", cases[i].scale, cases[i].own, cfg);
    }
}

/* ---- the server itself ---- */

static void tells_of_itself(void **state) {
    (void)state;
    json_t *o = get_json(the.port, "/api/v1/system");
    assert_string_equal(text_at(json_object_get(o, "model"), "name"), "mini");
    assert_int_equal(number_at(json_object_get(o, "queue"), "limit"), QUEUE);
    assert_true(number_at(json_object_get(o, "memory"), "budget_bytes") > 0);
    assert_true(json_array_size(json_object_get(o, "licences")) > 5);
    json_decref(o);
    o = get_json(the.port, "/api/v1/system/memory?since=0");
    assert_true(json_is_array(json_object_get(o, "samples")));
    json_decref(o);
    assert_error(ask(the.port, "GET /api/v1/system/memory?since=x", NULL), 400, "bad_request");
    assert_status(ask(the.port, "GET /metrics", NULL), 200);
    assert_true(has_head("Content-Type: text/plain; version=0.0.4"));
    assert_non_null(strstr(body, "\nmebi_ready 1\n"));
    assert_non_null(strstr(body, "mebi_jobs{state=\"done\"} "));
    assert_null(strstr(body, "apple"));
    assert_error(post("/api/v1/checks", "{\"kind\":\"doctor\"}"), 503, "unavailable");
    assert_error(post("/api/v1/checks", "{\"kind\":\"x\"}"), 422, "bad_request");
    assert_error(on_id("GET", "checks", "none", "", NULL), 404, "not_found");
}

/* In the place of the system's: which of the settings' file and its folder were synced. */
static atomic_int synced;
enum { SYNCED_FILE = 1, SYNCED_FOLDER = 2 };

int fsync(int fd) {
    char link[60], path[400];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    if (strstr(path, "/config.yaml.")) atomic_fetch_or(&synced, SYNCED_FILE);
    if (strcmp(path, the.folder.text) == 0) atomic_fetch_or(&synced, SYNCED_FOLDER);
    return (int)syscall(SYS_fsync, fd);
}

static int put(const char *data) {
    return ask(the.port, "PUT /api/v1/settings", data);
}

static void changes_settings(void **state) {
    mebi__config read = {.path = NULL};
    mebi_error err = {0};
    (void)state;
    atomic_store(&synced, 0);
    assert_status(
        put("{\"steps\":5,\"output.naming\":\"a_%seed \\\"x\\\" \u00e4\",\"budget\":\"80%\"}"),
        200);
    assert_int_equal(atomic_load(&synced), SYNCED_FILE | SYNCED_FOLDER);
    assert_mebi_ok(mebi__config_read(&read, the.own_config.text, &err), &err);
    assert_int_equal(mebi__config_integer(&read, MEBI__SET_STEPS), 5);
    assert_string_equal(mebi__config_text(&read, MEBI__SET_OUTPUT_NAMING), "a_%seed \"x\" \u00e4");
    mebi__config_free(&read);
    assert_status(post("/api/v1/plan", "{\"width\":64,\"height\":64}"), 200);
    json_t *p = json_of_reply();
    assert_int_equal(number_at(p, "steps"), 5);
    json_decref(p);
    static const char *const bad[] = {"{\"steps\":0}",
                                      "{\"model\":\"/etc\"}",
                                      "{\"cache\":\"/tmp\"}",
                                      "{\"output.dir\":\"/etc\"}",
                                      "{\"server.listen\":\"0.0.0.0\"}",
                                      "{\"server.token_file\":\"/etc/passwd\"}",
                                      "{\"none\":1}",
                                      "{\"steps\":[1]}",
                                      "{\"budget\":\"lots\"}",
                                      "{\"size\":\"\\n\"}",
                                      "{\"cfg\":1,\"steps\":999}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_error(put(bad[i]), 422, "bad_request");
    json_t *all = get_json(the.port, "/api/v1/settings"), *one;
    size_t i;
    json_array_foreach(json_object_get(all, "settings"), i, one) {
        if (strcmp(text_at(one, "name"), "cfg") == 0)
            assert_string_equal(text_at(one, "origin"), "default");
        if (strcmp(text_at(one, "name"), "steps") == 0)
            assert_int_equal(number_at(one, "value"), 5);
        if (strcmp(text_at(one, "name"), "model") == 0)
            assert_true(json_is_false(json_object_get(one, "editable")));
    }
    json_decref(all);
    assert_status(put("{\"steps\":null,\"budget\":null,\"output.naming\":null}"), 200);
    assert_mebi_ok(mebi__config_read(&read, the.own_config.text, &err), &err);
    assert_int_equal(mebi__config_integer(&read, MEBI__SET_STEPS), 8);
    mebi__config_free(&read);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans),
        cmocka_unit_test(plans_many),
        cmocka_unit_test(refuses_what_is_too_big),
        cmocka_unit_test(makes_a_picture),
        cmocka_unit_test(refuses_orders), cmocka_unit_test(refuses_queries),
        cmocka_unit_test(takes_huge_integers),
        cmocka_unit_test(queues_and_cancels),
        cmocka_unit_test(tells_events),
        cmocka_unit_test(tells_many),
        cmocka_unit_test(keeps_a_history),
        cmocka_unit_test(packs_a_zip),
        cmocka_unit_test(tells_how_a_png_was_made),
        cmocka_unit_test(reads_guidance_as_others_count_it),
        cmocka_unit_test(tells_of_itself),
        cmocka_unit_test(changes_settings),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, start, end);
}

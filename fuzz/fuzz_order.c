/* Any bytes as what a handler reads: the first byte chooses it, the rest is its body or its query.
 * What comes back is JSON; an error has a sentence, and a plan nothing beyond its limits. */
#include "small_server.h"

#include "server/api.h"
#include "server/guard.h"
#include "server/moment.h"
#include "server/others.h"
#include "server/parameters.h"
#include "server/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct {
    mebi__handler handler;
    const char *path;
    int queries; /* 1: the rest is a query */
} targets[] = {
    {mebi__api_plan, "/api/v1/plan", 0},
    {mebi__api_plans, "/api/v1/plans", 0},
    {mebi__api_submit, "/api/v1/jobs", 0},
    {mebi__api_settings_change, "/api/v1/settings", 0},
    {mebi__api_login, "/api/v1/session", 0},
    {mebi__api_zip, "/api/v1/images/zip", 0},
    {mebi__api_check_start, "/api/v1/checks", 0},
    {mebi__api_image_change, "/api/v1/images/none", 0},
    {mebi__api_png_info, "/api/v1/png-info", 0},
    {mebi__api_openai_images, "/v1/images/generations", 0},
    {mebi__api_sdapi_txt2img, "/sdapi/v1/txt2img", 0},
    {mebi__api_sdapi_options_change, "/sdapi/v1/options", 0},
    {mebi__api_sdapi_png_info, "/sdapi/v1/png-info", 0},
    {mebi__api_jobs, "/api/v1/jobs", 1},
    {mebi__api_images, "/api/v1/images", 1},
    {mebi__api_memory, "/api/v1/system/memory", 1},
    {mebi__api_image_delete, "/api/v1/images/none", 1},
};
enum { TARGETS = sizeof targets / sizeof *targets };

/* "There is no prompt." */
static int is_sentence(const char *text) {
    size_t length = text ? strlen(text) : 0;
    return length > 9 && strchr(".?}", text[length - 1]);
}

static void check_error(const char *path, const json_t *o) {
    const json_t *e = json_object_get(o, "error");
    const char *text = json_string_value(json_object_get(json_is_object(e) ? e : o, "message"));
    if (strncmp(path, "/sdapi/", 7) == 0) text = json_string_value(json_object_get(o, "detail"));
    require(is_sentence(text));
}

static int is_within(const json_t *o, const char *key, double minimum, double maximum) {
    double d = json_number_value(json_object_get(o, key));
    return d >= minimum && d <= maximum;
}

static void check_plan(const json_t *o) {
    require(is_within(o, "width", 1, 16384) && is_within(o, "height", 1, 16384));
    require(is_within(o, "steps", 1, 120) && is_within(o, "count", 1, 64));
    require(is_within(o, "cfg", 0, 100));
}

static void check_answer(const char *path, const mebi__http_answer *a) {
    for (int i = 0; i < a->headers; i++)
        for (const char *p = a->header[i].value; *p; p++) require(*p >= ' ' && *p <= '~');
    if (a->later.ask) return;
    require(a->status >= 200 && a->status < 600 && a->status != 500);
    if (a->source.read) return;
    json_t *o = json_loadb(a->data, a->bytes, JSON_REJECT_DUPLICATES, NULL);
    require(o != NULL);
    if (a->status >= 400) check_error(path, o);
    else if (strcmp(path, "/api/v1/plan") == 0) check_plan(o);
    json_decref(o);
}

/* What was written is read again, so that the next start does not fail at it; then it goes. */
static void check_settings(mebi__http_answer *a) {
    static mebi__http_request q = {.path = "/api/v1/settings"};
    mebi__config read = {.path = NULL};
    mebi_error err = {0};
    char nothing[4096] = "{";
    if (a->status != 200) return;
    require(mebi__config_read(&read, settings.text, &err) == MEBI_OK);
    for (int i = 0; i < MEBI__SETTINGS; i++) {
        const char *name = mebi__settings[i].name, *text = read.value[i].text;
        if (!text) continue;
        require(strcmp(text, mebi__config_text(mebi__server_config(server), (mebi__setting_id)i)) ==
                0);
        mebi__server_config_done(server);
        snprintf(nothing + strlen(nothing), sizeof nothing - strlen(nothing), "%s\"%s\":null",
                 nothing[1] ? "," : "", name);
    }
    mebi__config_free(&read);
    if (!nothing[1]) return;
    strcat(nothing, "}");
    q.body = nothing, q.body_bytes = strlen(nothing);
    mebi__api_settings_change(server, &q, a);
    require(a->status == 200);
}

static void try_handler(size_t which, const char *text, size_t bytes) {
    static mebi__http_request q;
    mebi__http_answer a = {.fd = -1};
    memset(&q, 0, sizeof q);
    snprintf(q.path, sizeof q.path, "%s", targets[which].path);
    snprintf(q.address, sizeof q.address, "127.0.0.1");
    strcpy(q.capture[0], "none");
    q.logged_in = 1, q.body = "", q.host = "localhost";
    if (targets[which].queries) snprintf(q.query, sizeof q.query, "%s", text);
    else q.body = text, q.body_bytes = bytes;
    targets[which].handler(server, &q, &a);
    mebi__others_reshape(q.path, &a);
    check_answer(q.path, &a);
    if (targets[which].handler == mebi__api_settings_change) check_settings(&a);
    mebi__answer_drop(&a);
}

/* Those that take text alone. */
static void try_texts(const char *text) {
    static char path[MEBI__HTTP_PATH_BYTES], query[MEBI__HTTP_QUERY_BYTES];
    int64_t ms;
    mebi__guard *guard = mebi__server_guard(server);
    json_decref(mebi__parameters_read(text));
    json_decref(mebi__parameters_read_own(text));
    require(!mebi__guard_authorization(guard, text)); /* there is no token */
    (void)mebi__guard_host(guard, text, "127.0.0.1");
    (void)mebi__guard_origin(text, "localhost", 0);
    int refusal = mebi__uri_split(text, path, sizeof path, query, sizeof query);
    require(refusal != 0 || !strstr(path, "/."));
    if (mebi__moment_read(text, &ms)) require(ms >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes == 0) return 0;
    if (!server) start_small_server();
    char *text = malloc(bytes); /* of that size, so that a read beyond its end is seen */
    require(text != NULL);
    memcpy(text, data + 1, bytes - 1);
    text[bytes - 1] = 0;
    size_t which = data[0] % (TARGETS + 1);
    if (which < TARGETS) try_handler(which, text, bytes - 1);
    else try_texts(text);
    free(text);
    check_log();
    return 0;
}

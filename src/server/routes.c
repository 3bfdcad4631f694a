/* The table of addresses. Must never have one that /api/openapi.json does not describe, but for the
 * page's files. */
#include "server/routes.h"

#include "server/api.h"
#include "server/hub.h"

#include <string.h>

enum { JSON_BYTES = 1 << 20, PNG_BYTES = 64 << 20, SMALL_BYTES = 8 << 10, CODED_PNG_BYTES = 32 << 20 };

#define R(method, pattern, name, ...)                                                              \
    { MEBI__##method, pattern, mebi__api_##name, __VA_ARGS__ }

/* clang-format off */
const mebi__route mebi__routes[] = {
    R(GET,    "/healthz",                       health,          MEBI__BODY_NONE, 0, MEBI__ROUTE_OPEN),
    R(GET,    "/metrics",                       metrics,         MEBI__BODY_NONE, 0, 0),
    R(GET,    "/api/openapi.json",              openapi,         MEBI__BODY_NONE, 0, MEBI__ROUTE_OPEN),
    R(GET,    "/api/v1/session",                session,         MEBI__BODY_NONE, 0, MEBI__ROUTE_OPEN),
    R(POST,   "/api/v1/session",                login,           MEBI__BODY_JSON, SMALL_BYTES, MEBI__ROUTE_OPEN),
    R(DELETE, "/api/v1/session",                logout,          MEBI__BODY_NONE, 0, MEBI__ROUTE_OPEN),
    R(GET,    "/api/v1/system",                 system,          MEBI__BODY_NONE, 0, 0),
    R(GET,    "/api/v1/system/memory",          memory,          MEBI__BODY_NONE, 0, 0),
    R(POST,   "/api/v1/plan",                   plan,            MEBI__BODY_JSON, 0, 0),
    R(POST,   "/api/v1/plans",                  plans,           MEBI__BODY_JSON, 0, 0),
    R(GET,    "/api/v1/jobs",                   jobs,            MEBI__BODY_NONE, 0, 0),
    R(POST,   "/api/v1/jobs",                   submit,          MEBI__BODY_JSON, 0, 0),
    R(GET,    "/api/v1/jobs/{id}",              job,             MEBI__BODY_NONE, 0, 0),
    R(DELETE, "/api/v1/jobs/{id}",              cancel,          MEBI__BODY_NONE, 0, 0),
    R(GET,    "/api/v1/jobs/{id}/preview",      preview,         MEBI__BODY_NONE, 0, 0),
    {MEBI__GET, "/api/v1/jobs/{id}/events",     mebi__hub_job_events, MEBI__BODY_NONE, 0, 0},
    {MEBI__GET, "/api/v1/events",               mebi__hub_all_events, MEBI__BODY_NONE, 0, 0},
    R(GET,    "/api/v1/images",                 images,          MEBI__BODY_NONE, 0, 0),
    R(POST,   "/api/v1/images/zip",             zip,             MEBI__BODY_JSON, 0, 0),
    R(GET,    "/api/v1/images/{id}",            image,           MEBI__BODY_NONE, 0, 0),
    R(PATCH,  "/api/v1/images/{id}",            image_change,    MEBI__BODY_JSON, SMALL_BYTES, 0),
    R(DELETE, "/api/v1/images/{id}",            image_delete,    MEBI__BODY_NONE, 0, 0),
    R(POST,   "/api/v1/images/{id}/restore",    image_restore,   MEBI__BODY_NONE, SMALL_BYTES, MEBI__ROUTE_OPTIONAL),
    R(GET,    "/api/v1/images/{id}/file",       image_file,      MEBI__BODY_NONE, 0, 0),
    R(GET,    "/api/v1/images/{id}/thumbnail",  image_thumbnail, MEBI__BODY_NONE, 0, 0),
    R(POST,   "/api/v1/png-info",               png_info,        MEBI__BODY_PNG,  0, 0),
    R(GET,    "/api/v1/settings",               settings,        MEBI__BODY_NONE, 0, 0),
    R(PUT,    "/api/v1/settings",               settings_change, MEBI__BODY_JSON, 0, 0),
    R(GET,    "/api/v1/checks",                 checks,          MEBI__BODY_NONE, 0, 0),
    R(POST,   "/api/v1/checks",                 check_start,     MEBI__BODY_JSON, SMALL_BYTES, 0),
    R(GET,    "/api/v1/checks/{id}",            check,           MEBI__BODY_NONE, 0, 0),
    R(GET,    "/api/v1/checks/{id}/html",       check_html,      MEBI__BODY_NONE, 0, 0),
    R(POST,   "/v1/images/generations",        openai_images,   MEBI__BODY_JSON, 0, 0),
    R(GET,    "/v1/models",                    openai_models,   MEBI__BODY_NONE, 0, 0),
    R(GET,    "/v1/models/{id}",               openai_model,    MEBI__BODY_NONE, 0, 0),
    R(POST,   "/sdapi/v1/txt2img",             sdapi_txt2img,   MEBI__BODY_JSON, 0, 0),
    R(GET,    "/sdapi/v1/progress",            sdapi_progress,  MEBI__BODY_NONE, 0, 0),
    R(POST,   "/sdapi/v1/interrupt",           sdapi_interrupt, MEBI__BODY_NONE, SMALL_BYTES, MEBI__ROUTE_OPTIONAL),
    R(POST,   "/sdapi/v1/skip",                sdapi_skip,      MEBI__BODY_NONE, SMALL_BYTES, MEBI__ROUTE_OPTIONAL),
    R(GET,    "/sdapi/v1/options",             sdapi_options,   MEBI__BODY_NONE, 0, 0),
    R(POST,   "/sdapi/v1/options",             sdapi_options_change, MEBI__BODY_JSON, 0, 0),
    R(POST,   "/sdapi/v1/png-info",            sdapi_png_info,  MEBI__BODY_JSON, CODED_PNG_BYTES, 0),
    R(GET,    "/sdapi/v1/sd-models",           sdapi_models,    MEBI__BODY_NONE, 0, 0),
    R(POST,   "/sdapi/v1/refresh-checkpoints", sdapi_list,      MEBI__BODY_NONE, SMALL_BYTES, MEBI__ROUTE_OPTIONAL),
    R(GET,    "/sdapi/v1/samplers",            sdapi_samplers,  MEBI__BODY_NONE, 0, 0),
    R(GET,    "/sdapi/v1/schedulers",          sdapi_schedulers, MEBI__BODY_NONE, 0, 0),
    R(GET,    "/sdapi/v1/memory",              sdapi_memory,    MEBI__BODY_NONE, 0, 0),
    R(GET,    "/sdapi/v1/cmd-flags",           sdapi_flags,     MEBI__BODY_NONE, 0, 0),
    R(GET,    "/sdapi/v1/embeddings",          sdapi_embeddings, MEBI__BODY_NONE, 0, 0),
    R(GET,    "/sdapi/v1/scripts",             sdapi_scripts,   MEBI__BODY_NONE, 0, 0),
    R(GET,    "/sdapi/v1/upscalers",           sdapi_list,      MEBI__BODY_NONE, 0, 0),
    R(GET,    "/sdapi/v1/latent-upscale-modes", sdapi_list,      MEBI__BODY_NONE, 0, 0),
    R(GET,    "/sdapi/v1/loras",               sdapi_list,      MEBI__BODY_NONE, 0, 0),
    R(GET,    "/sdapi/v1/hypernetworks",       sdapi_list,      MEBI__BODY_NONE, 0, 0),
    R(GET,    "/sdapi/v1/face-restorers",      sdapi_list,      MEBI__BODY_NONE, 0, 0),
    R(GET,    "/sdapi/v1/realesrgan-models",   sdapi_list,      MEBI__BODY_NONE, 0, 0),
    R(GET,    "/sdapi/v1/prompt-styles",       sdapi_list,      MEBI__BODY_NONE, 0, 0),
    R(GET,    "/sdapi/v1/sd-vae",              sdapi_list,      MEBI__BODY_NONE, 0, 0),
    R(GET,    "/",                              page,            MEBI__BODY_NONE, 0, MEBI__ROUTE_OPEN | MEBI__ROUTE_PAGE),
    R(GET,    "/assets/{*}",                    asset,           MEBI__BODY_NONE, 0, MEBI__ROUTE_OPEN | MEBI__ROUTE_PAGE),
    R(GET,    "/{file}",                        page,            MEBI__BODY_NONE, 0, MEBI__ROUTE_OPEN | MEBI__ROUTE_PAGE),
};
/* clang-format on */
const int mebi__route_count = sizeof mebi__routes / sizeof *mebi__routes;

/* 1 if the path is of the pattern. A part in braces takes a part of the path of any name. */
static int match(const char *pattern, const char *path,
                 char capture[MEBI__HTTP_CAPTURES][MEBI__HTTP_CAPTURE_BYTES]) {
    int captures = 0;
    for (;;) {
        if (strcmp(pattern, "{*}") == 0) return *path != 0;
        if (*pattern == '{') {
            size_t length = strcspn(path, "/");
            if (length == 0 || length >= MEBI__HTTP_CAPTURE_BYTES ||
                captures == MEBI__HTTP_CAPTURES)
                return 0;
            memcpy(capture[captures], path, length);
            capture[captures++][length] = 0;
            path += length;
            pattern += strcspn(pattern, "}") + 1;
        } else if (*pattern != *path) return 0;
        else if (!*pattern) return 1;
        else pattern++, path++;
    }
}

const mebi__route *mebi__route_find(mebi__method method, const char *path,
                                    char capture[MEBI__HTTP_CAPTURES][MEBI__HTTP_CAPTURE_BYTES],
                                    int *allowed) {
    /* The first that the path is of: a later one in braces is another address. */
    const char *pattern = NULL;
    *allowed = 0;
    for (int i = 0; i < mebi__route_count; i++) {
        const mebi__route *r = &mebi__routes[i];
        if (pattern ? strcmp(pattern, r->pattern) != 0 : !match(r->pattern, path, capture))
            continue;
        pattern = r->pattern;
        if (r->method == method) return r;
        *allowed |= (int)r->method;
    }
    return NULL;
}

const char *mebi__method_name(mebi__method method) {
    return method == MEBI__GET     ? "GET"
           : method == MEBI__POST  ? "POST"
           : method == MEBI__PUT   ? "PUT"
           : method == MEBI__PATCH ? "PATCH"
                                   : "DELETE";
}

size_t mebi__route_limit(const mebi__route *r) {
    if (r->limit) return r->limit;
    return r->body == MEBI__BODY_NONE ? 0 : r->body == MEBI__BODY_PNG ? PNG_BYTES : JSON_BYTES;
}

/* What the server is and how it does. Must never tell a path or a secret. */
#include "base/memory.h"
#include "base/os.h"
#include "mebi/mebi.h"
#include "server/api.h"
#include "server/moment.h"
#include "server/plans.h"
#include "server/server.h"
#include "server/view.h"
#include "server/vitals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void mebi__api_health(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    char sentence[MEBI__JOB_MESSAGE] = "";
    double fraction = 0;
    mebi__jobs_readiness ready = mebi__jobs_health(mebi__server_jobs(server), sentence, &fraction);
    if (ready == MEBI__JOBS_READY) {
        mebi__answer_json(a, 200, json_pack("{s:s}", "status", "ok"));
        return;
    }
    json_t *why = ready == MEBI__JOBS_LOADING ? json_string("The model is being loaded.")
                                              : json_string(q->logged_in ? sentence : "The server has trouble; its log says what.");
    mebi__answer_json(a, 503,
                      json_pack("{s:s, s:o, s:f}", "status",
                                ready == MEBI__JOBS_LOADING ? "loading" : "trouble", "message",
                                why ? why : json_string("The model can't be opened."), "fraction",
                                fraction));
    mebi__answer_header(a, "Retry-After", "%d", 2);
}

/* ---- system ---- */

static json_t *model(mebi__server *server, const mebi_engine_info *info) {
    json_t *name = json_string(mebi__jobs_model_name(mebi__server_jobs(server)));
    return json_pack("{s:o, s:s, s:i, s:i, s:i}", "name", name ? name : json_string("model"),
                     "hash", info->model_hash ? info->model_hash : "", "native_side",
                     info->native_side, "size_multiple", info->size_multiple, "largest_side",
                     info->largest_side);
}

static size_t machine_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && bytes > 0 ? (size_t)pages * (size_t)bytes : 0;
}

/* Classes of machines, as docs/performance.md and `mebi plan --profiles` have them. */
static const char *profile(void) {
    double gigabytes = (double)machine_bytes() / 1e9;
    return gigabytes <= 13 ? "small" : gigabytes <= 34 ? "middle" : "large";
}

static json_t *device(mebi__server *server, const mebi_engine_info *info) {
    json_t *name = json_string(mebi__server_machine(server));
    return json_pack("{s:s, s:i, s:s, s:o}", "cpu", info->cpu ? info->cpu : "", "threads",
                     info->threads, "precision", mebi_precision_name(info->precision), "name",
                     name ? name : json_string(""));
}

static json_t *memory(mebi__server *server, const mebi__queue *queue) {
    size_t available = mebi__memory_available();
    mebi_plan plan;
    mebi_error err = {0};
    mebi_request request = mebi__jobs_request_default(mebi__server_jobs(server));
    request.prompt = "a picture"; /* the budget is the same for all */
    int unavailable;
    mebi_status status =
        mebi__plans_get(mebi__server_plans(server), &request, &plan, &unavailable, &err);
    size_t budget = status == MEBI_OK ? plan.budget_bytes : 0;
    if (available == SIZE_MAX) available = 0;
    return json_pack("{s:I, s:I, s:I, s:I}", "own_bytes",
                     (json_int_t)mebi__vitals_newest(mebi__server_vitals(server)).own_bytes,
                     "available_bytes", (json_int_t)available, "budget_bytes", (json_int_t)budget,
                     "planned_bytes", (json_int_t)queue->planned_bytes);
}

static json_t *licences(void) {
    static const char *const all[][3] = {
        {"mebi", "Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0"},
        {"Z-Image-Turbo", "Apache-2.0", "https://huggingface.co/Tongyi-MAI/Z-Image-Turbo"},
        {"libmicrohttpd", "LGPL-2.1-or-later", "https://www.gnu.org/software/libmicrohttpd/"},
        {"Jansson", "MIT", "https://github.com/akheron/jansson"},
        {"SQLite", "public domain", "https://sqlite.org/copyright.html"},
        {"libjpeg-turbo", "IJG AND BSD-3-Clause AND Zlib", "https://libjpeg-turbo.org"},
        {"libspng", "BSD-2-Clause", "https://libspng.org"},
        {"zlib", "Zlib", "https://zlib.net/zlib_license.html"},
        {"PCRE2", "BSD-3-Clause", "https://www.pcre.org/licence.txt"},
        {"utf8proc", "MIT", "https://juliastrings.github.io/utf8proc/"},
        {"libyaml", "MIT", "https://github.com/yaml/libyaml"}};
    json_t *list = json_array();
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", all[i][0], "licence",
                                              all[i][1], "url", all[i][2]));
    return list;
}

/* What is wrong, as a sentence; null: nothing. */
static json_t *trouble(mebi__server *server) {
    char sentence[MEBI__JOB_MESSAGE] = "";
    mebi__jobs_health(mebi__server_jobs(server), sentence, NULL);
    json_t *text = *sentence ? json_string(sentence) : json_null();
    return text ? text : json_string("The server has trouble; its log says what.");
}

void mebi__api_system(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    mebi_engine_info info;
    char started[MEBI__MOMENT_BYTES];
    (void)q;
    mebi__jobs_describe(mebi__server_jobs(server), &info); /* all zeros while there is no model */
    mebi__queue queue = mebi__jobs_queue(mebi__server_jobs(server));
    mebi__moment_text(mebi__server_started(server), started);
    mebi__answer_json(a, 200,
                      json_pack("{s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:s, s:o}", "version",
                                mebi_version(), "trouble", trouble(server), "model", model(server, &info), "device",
                                device(server, &info), "memory", memory(server, &queue), "profile",
                                profile(), "queue", mebi__view_queue(&queue), "started", started,
                                "licences", licences()));
}

void mebi__api_memory(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    char text[64], *end = text;
    double since = -1;
    int found = mebi__http_query(q, "since", text, sizeof text);
    if (found > 0) since = strtod(text, &end);
    if (found < 0 || (found > 0 && (*end || *text < '0' || *text > '9' || !isfinite(since) ||
                                    text[strspn(text, "0123456789.eE+-")]))) {
        mebi__answer_error_about(a, 0, MEBI__ERROR_BAD_REQUEST,
                                 "since takes seconds since the server's start.", "since", NULL);
        return;
    }
    mebi__answer_json(a, 200, mebi__vitals_view(mebi__server_vitals(server), since));
}

/* The server as a whole: its parts, begun and ended in order. Must never answer before all parts
 * are there, and never free one that a thread may still use. */
#include "server/server.h"

#include "base/memory.h"
#include "base/os.h"
#include "server/checks.h"
#include "server/hub.h"
#include "server/listen.h"
#include "server/moment.h"
#include "server/plans.h"
#include "server/polite.h"
#include "server/vitals.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct mebi__server {
    mebi__log log;
    mebi__guard guard;
    int guarded; /* the guard is open */
    mebi__tls tls;
    mebi__jobs *jobs;
    mebi__hub *hub;
    mebi__plans *plans;
    mebi__checks *checks;
    mebi__vitals vitals;
    mebi__http *http;
    mebi__config config;
    pthread_mutex_t config_lock;
    char *config_path, *machine;
    char cookie[24];
    int64_t started;
    double began;
};

/* ---- parts ---- */

static void on_event(void *context) {
    mebi__hub_nudge(((mebi__server *)context)->hub);
}

static void on_log(void *context, const char *sentence) {
    mebi__log_say(&((mebi__server *)context)->log, "info", "%s", sentence);
}

static mebi_status open_guard(mebi__server *s, const mebi__server_params *p, mebi_error *err) {
    char name[300];
    if (!p->token_file && !mebi__is_loopback(p->address))
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "Others can reach this server at %.60s, so it needs a token: --token-file FILE, with "
            "one "
            "made by openssl rand -hex 24 > FILE. Without --listen only this machine reaches it.",
            p->address);
    MEBI_TRY(mebi__guard_open(&s->guard, p->token_file, err));
    s->guarded = 1;
    for (const char *at = p->host_names ? p->host_names : ""; *at;
         at += strcspn(at, ","), at += *at == ',') {
        at += strspn(at, " ");
        size_t length = strcspn(at, ",");
        while (length > 0 && at[length - 1] == ' ') length--;
        snprintf(name, sizeof name, "%.*s", length < 299 ? (int)length : 299, at);
        if (*name) MEBI_TRY(mebi__guard_name(&s->guard, name, err));
    }
    return MEBI_OK;
}

static mebi_status open_jobs(mebi__server *s, const mebi__server_params *p, mebi_error *err) {
    mebi__jobs_params jobs = mebi__jobs_params_default();
    jobs.folder = p->folder;
    jobs.engine = mebi__polite_engine(p->engine);
    jobs.model_name = p->model_name;
    jobs.queue_limit = p->queue_limit;
    jobs.nudge = on_event;
    jobs.log = on_log;
    jobs.context = s;
    return mebi__jobs_open(&jobs, &s->jobs, err);
}

static mebi_status open_http(mebi__server *s, const mebi__server_params *p, mebi_error *err) {
    mebi__http_params http = {s, &s->tls, p->address, p->port, p->limits};
    MEBI_TRY(mebi__http_open(&http, &s->http, err));
    return mebi__hub_start(s->hub, err);
}

/* 0: no memory. */
static int copy_texts(mebi__server *s, const mebi__server_params *p) {
    const char *machine = p->machine ? p->machine : "";
    s->machine = mebi__copy_string(machine, strlen(machine));
    if (p->config_path) s->config_path = mebi__copy_string(p->config_path, strlen(p->config_path));
    return s->machine && (s->config_path || !p->config_path);
}

/* The engine passes over with open_jobs; until then it is ended here. */
static mebi_status open_parts(mebi__server *s, const mebi__server_params *p, mebi_error *err) {
    mebi_status status = copy_texts(s, p)
                             ? open_guard(s, p, err)
                             : mebi__fail(err, MEBI_NO_MEMORY, "No memory for the server.");
    if (status == MEBI_OK)
        status = mebi__tls_open(&s->tls, p->tls_certificate, p->tls_key, &s->log, err);
    if (status == MEBI_OK) status = mebi__hub_open(s, &s->hub, err);
    if (status != MEBI_OK) {
        if (p->engine.end) p->engine.end(p->engine.context);
        return status;
    }
    MEBI_TRY(open_jobs(s, p, err));
    s->plans = mebi__plans_open(s->jobs);
    s->checks = mebi__checks_open(s->jobs, &p->checks, on_event, s);
    if (!s->plans || !s->checks)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the server.");
    return MEBI_OK;
}

mebi_status mebi__server_open(const mebi__server_params *p, mebi__server **out, mebi_error *err) {
    mebi__server *s = *out = mebi__alloc(MEBI__TAG_GENERAL, sizeof *s);
    if (!s) {
        if (p->engine.end) p->engine.end(p->engine.context);
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the server.");
    }
    s->log = p->log;
    s->started = mebi__wall_ms();
    s->began = mebi__now_seconds();
    pthread_mutex_init(&s->config_lock, NULL);
    pthread_mutex_init(&s->vitals.lock, NULL);
    mebi_status status = open_parts(s, p, err);
    if (status == MEBI_OK) {
        s->config = *p->config;
        *p->config = (mebi__config){.path = NULL};
        /* A cookie belongs to a host, whatever the port: two servers on one need two names. */
        snprintf(s->cookie, sizeof s->cookie, "mebi_%d", p->port);
        status = open_http(s, p, err);
    }
    if (status != MEBI_OK) mebi__server_close(out, 0, NULL);
    return status;
}

/* Until no job runs, or there is a hurry. */
static void wait_for_job(mebi__server *s, int (*hurry)(void *context)) {
    mebi__jobs_pause(s->jobs, 1);
    const struct timespec nap = {0, 50 * 1000 * 1000};
    while (mebi__jobs_queue(s->jobs).running && !(hurry && hurry(NULL))) nanosleep(&nap, NULL);
}

/* Until those who waited have been told that nothing will come; a second at most, for some do not
 * listen. */
static void wait_for_listeners(mebi__server *s) {
    const struct timespec nap = {0, 10 * 1000 * 1000};
    for (int i = 0; i < 100 && mebi__hub_listeners(s->hub) > 0; i++) nanosleep(&nap, NULL);
}

void mebi__server_close(mebi__server **server, int finish, int (*hurry)(void *context)) {
    mebi__server *s = *server;
    if (!s) return;
    if (s->http) mebi__http_quiesce(s->http);
    if (s->jobs && finish) wait_for_job(s, hurry);
    if (s->jobs) mebi__jobs_stop(s->jobs);
    mebi__hub_stop(s->hub);
    if (s->hub && s->http) wait_for_listeners(s);
    mebi__http_close(&s->http);
    mebi__tls_close(&s->tls);
    mebi__jobs_close(&s->jobs);
    mebi__checks_close(&s->checks);
    mebi__plans_close(&s->plans);
    mebi__hub_close(&s->hub);
    if (s->guarded) mebi__guard_close(&s->guard);
    mebi__config_free(&s->config);
    mebi__free(s->config_path);
    mebi__free(s->machine);
    pthread_mutex_destroy(&s->config_lock);
    pthread_mutex_destroy(&s->vitals.lock);
    mebi__free(s);
    *server = NULL;
}

/* ---- for handlers ---- */

int mebi__server_port(const mebi__server *s) {
    return mebi__http_port(s->http);
}

int mebi__server_is_tls(const mebi__server *s) {
    return s->tls.key != NULL;
}

mebi__jobs *mebi__server_jobs(mebi__server *s) {
    return s->jobs;
}

mebi__guard *mebi__server_guard(mebi__server *s) {
    return &s->guard;
}

const mebi__log *mebi__server_log(const mebi__server *s) {
    return &s->log;
}

const char *mebi__server_cookie(const mebi__server *s) {
    return s->cookie;
}

mebi__http *mebi__server_http(mebi__server *s) {
    return s->http;
}

mebi__config *mebi__server_config(mebi__server *s) {
    pthread_mutex_lock(&s->config_lock);
    return &s->config;
}

void mebi__server_config_done(mebi__server *s) {
    pthread_mutex_unlock(&s->config_lock);
}

const char *mebi__server_config_path(const mebi__server *s) {
    return s->config_path;
}

struct mebi__plans *mebi__server_plans(mebi__server *s) {
    return s->plans;
}

struct mebi__hub *mebi__server_hub(mebi__server *s) {
    return s->hub;
}

struct mebi__vitals *mebi__server_vitals(mebi__server *s) {
    return &s->vitals;
}

struct mebi__checks *mebi__server_checks(mebi__server *s) {
    return s->checks;
}

const char *mebi__server_machine(const mebi__server *s) {
    return s->machine;
}

double mebi__server_uptime(const mebi__server *s) {
    return mebi__now_seconds() - s->began;
}

int64_t mebi__server_started(const mebi__server *s) {
    return s->started;
}

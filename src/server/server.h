/* The server: pages and pictures over HTTP, from one data folder.
 *
 *     mebi__server_params params = {.folder = "/srv/mebi", .address = "127.0.0.1", .port = 7860,
 * ...}; mebi__server *server; MEBI_TRY(mebi__server_open(&params, &server, err));
 *     ... wait for a signal ...
 *     mebi__server_close(&server, 0);
 */
#ifndef MEBI_SERVER_SERVER_H
#define MEBI_SERVER_SERVER_H

#include "base/error.h"
#include "config/config.h"
#include "jobs/jobs.h"
#include "server/guard.h"
#include "server/http.h"
#include "server/log.h"

#include <jansson.h>

/* A check of machine and model, as it is asked for and as it goes. */
typedef struct mebi__check_order {
    int is_bench; /* 0: the doctor */
    int quick;
    void *to; /* of the two below, from any thread */
    /* left: seconds, negative while not known. words: NULL: the last ones hold. */
    void (*progress)(void *to, double fraction, double left, const char *words);
    int (*stopping)(void *to); /* 1: end at once */
} mebi__check_order;

/* Runs one, in the worker's thread. What the command line prints as JSON comes back; NULL: it
 * failed, and *err says why. *html (of a bench; may stay NULL) is a page, freed with free(). */
typedef struct mebi__check_ways {
    void *context;
    json_t *(*run)(void *context, const mebi__check_order *order, char **html, mebi_error *err);
} mebi__check_ways;

typedef struct mebi__server_params {
    const char *folder;  /* of the data */
    const char *address; /* as digits */
    int port;
    const char *token_file;                /* NULL: no token; then the address has to be loopback */
    const char *tls_certificate, *tls_key; /* files for https; both or neither (NULL) */
    const char *
        host_names; /* further names this server is asked for by, with commas between; NULL: none */
    int queue_limit;
    mebi__log log;
    mebi__job_engine engine; /* taken over, also when opening fails */
    const char *model_name;
    const char *machine; /* the processor, for people; "" if not known */
    /* The settings in effect; taken over and emptied when opening succeeds. */
    mebi__config *config;
    const char
        *config_path; /* where changed settings are written; NULL: nowhere, they can't be changed */
    mebi__http_limits limits;
    mebi__check_ways checks;
} mebi__server_params;

MEBI_MUST_USE mebi_status mebi__server_open(const mebi__server_params *params,
                                            mebi__server **server, mebi_error *err);
int mebi__server_port(const mebi__server *server);
int mebi__server_is_tls(const mebi__server *server);
/* The running job is parked at its last saved step, or, with `finish`, made to its end first,
 * unless `hurry` (may be NULL) says otherwise meanwhile. Accepts NULL; nulls. */
void mebi__server_close(mebi__server **server, int finish, int (*hurry)(void *context));

/* ---- for handlers ---- */

mebi__jobs *mebi__server_jobs(mebi__server *server);
mebi__guard *mebi__server_guard(mebi__server *server);
const mebi__log *mebi__server_log(const mebi__server *server);
const char *mebi__server_cookie(const mebi__server *server);
mebi__http *mebi__server_http(mebi__server *server);
/* The settings, locked until mebi__server_config_done. */
mebi__config *mebi__server_config(mebi__server *server);
void mebi__server_config_done(mebi__server *server);
const char *mebi__server_config_path(const mebi__server *server);
struct mebi__plans *mebi__server_plans(mebi__server *server);
struct mebi__hub *mebi__server_hub(mebi__server *server);
struct mebi__vitals *mebi__server_vitals(mebi__server *server);
struct mebi__checks *mebi__server_checks(mebi__server *server);
const char *mebi__server_machine(const mebi__server *server);
int64_t mebi__server_started(const mebi__server *server); /* milliseconds since 1970 */
double mebi__server_uptime(const mebi__server *server);   /* seconds, whatever the clock did since */

#endif

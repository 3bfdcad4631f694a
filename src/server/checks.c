/* Checks of machine and model. The last few are remembered. Must never run beside a job: the jobs'
 * worker runs them. */
#include "server/checks.h"

#include "base/memory.h"
#include "server/api.h"
#include "server/fields.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT = 8, WORDS_BYTES = 200 };

typedef enum state { QUEUED, RUNNING, DONE, FAILED, CANCELLED } state;

typedef struct check {
    char id[24];
    int is_bench, quick;
    state state;
    double fraction;
    char words[WORDS_BYTES];
    json_t *report;
    char *html;
} check;

struct mebi__checks {
    mebi__jobs *jobs;
    mebi__check_ways ways;
    pthread_mutex_t lock;
    check check[KEPT];
    int count; /* since the start; the newest is (count - 1) % KEPT */
};

mebi__checks *mebi__checks_open(mebi__jobs *jobs, const mebi__check_ways *ways) {
    mebi__checks *c = mebi__alloc(MEBI__TAG_GENERAL, sizeof *c);
    if (!c) return NULL;
    c->jobs = jobs;
    c->ways = *ways;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void empty(check *one) {
    json_decref(one->report);
    free(one->html);
    *one = (check){.id = ""};
}

void mebi__checks_close(mebi__checks **checks) {
    if (!*checks) return;
    for (int i = 0; i < KEPT; i++) empty(&(*checks)->check[i]);
    pthread_mutex_destroy(&(*checks)->lock);
    mebi__free(*checks);
    *checks = NULL;
}

/* ---- in the worker's thread ---- */

static check *newest(mebi__checks *c) {
    return &c->check[(c->count - 1) % KEPT];
}

static void on_progress(void *context, double fraction, const char *words) {
    mebi__checks *c = context;
    pthread_mutex_lock(&c->lock);
    newest(c)->fraction = fraction;
    snprintf(newest(c)->words, WORDS_BYTES, "%.*s", WORDS_BYTES - 1, words);
    pthread_mutex_unlock(&c->lock);
}

static int is_stopping(void *context) {
    return mebi__jobs_stopping(((mebi__checks *)context)->jobs);
}

static void work(void *context) {
    mebi__checks *c = context;
    mebi_error err = {0};
    char *html = NULL;
    pthread_mutex_lock(&c->lock);
    check *one = newest(c);
    const mebi__check_order how = {one->is_bench, one->quick, c, on_progress, is_stopping};
    one->state = RUNNING;
    pthread_mutex_unlock(&c->lock);
    json_t *report = c->ways.run(c->ways.context, &how, &html, &err);
    pthread_mutex_lock(&c->lock);
    one->report = report;
    one->html = html;
    one->state = report ? DONE : FAILED;
    one->fraction = 1;
    if (!report) snprintf(one->words, WORDS_BYTES, "%.*s", WORDS_BYTES - 1, err.text);
    pthread_mutex_unlock(&c->lock);
}

static void ended(void *context, int ran) {
    mebi__checks *c = context;
    pthread_mutex_lock(&c->lock);
    if (!ran) newest(c)->state = CANCELLED;
    pthread_mutex_unlock(&c->lock);
}

/* ---- over HTTP ---- */

static json_t *view(const check *one) {
    static const char *const states[] = {"queued", "running", "done", "failed", "cancelled"};
    json_t *words = json_string(one->words);
    return json_pack("{s:s, s:s, s:s, s:{s:f, s:o}, s:O?}", "id", one->id, "kind",
                     one->is_bench ? "bench" : "doctor", "state", states[one->state], "progress",
                     "fraction", one->fraction, "words", words ? words : json_string(""), "report",
                     one->report);
}

typedef struct order {
    int kind, quick;
} order;

/* NULL: one is under way. Under the lock. */
static check *begin(mebi__checks *c, const order *o) {
    if (c->count && newest(c)->state <= RUNNING) return NULL;
    c->count++;
    check *one = newest(c);
    empty(one);
    snprintf(one->id, sizeof one->id, "check-%d", c->count);
    one->is_bench = o->kind == 1, one->quick = o->quick;
    return one;
}

static void start(mebi__checks *c, const order *o, mebi__http_answer *a) {
    mebi_error err = {0};
    pthread_mutex_lock(&c->lock);
    check *one = begin(c, o);
    json_t *shown = one ? view(one) : NULL;
    pthread_mutex_unlock(&c->lock);
    mebi_status status =
        one ? mebi__jobs_exclusive(c->jobs, work, ended, c, &err) : MEBI_BAD_ARGUMENT;
    if (status == MEBI_OK) {
        mebi__answer_json(a, 202, shown);
        return;
    }
    if (one) ended(c, 0);
    json_decref(shown);
    mebi__answer_error(a, 0, MEBI__ERROR_CONFLICT,
                       "A check is under way already. Wait for its end.");
}

void mebi__api_check_start(mebi__server *server, const mebi__http_request *q,
                           mebi__http_answer *a) {
    static const mebi__field table[] = {
        {"kind", MEBI__FIELD_WORD, offsetof(order, kind), 0, 0, {"doctor", "bench"}},
        {"quick", MEBI__FIELD_BOOL, offsetof(order, quick), 0, 1, {NULL}}};
    order o = {.kind = -1};
    mebi__fields_fault fault;
    mebi__checks *c = mebi__server_checks(server);
    json_t *body = mebi__body_read(q, a);
    if (!body) return;
    int good = mebi__fields_read(table, 2, body, &o, NULL, &fault);
    json_decref(body);
    if (!good || o.kind < 0)
        mebi__answer_error_about(
            a, 422, MEBI__ERROR_BAD_REQUEST,
            good ? "Say which: \"kind\": \"doctor\" or \"bench\"." : fault.message, "kind", NULL);
    else if (!c->ways.run)
        mebi__answer_error(a, 0, MEBI__ERROR_UNAVAILABLE,
                           "This server can't run that check. On its machine: mebi %s.",
                           o.kind ? "bench" : "doctor");
    else start(c, &o, a);
}

/* Under the lock. */
static check *find(mebi__checks *c, const char *id) {
    for (int i = 0; i < KEPT; i++)
        if (*c->check[i].id && strcmp(c->check[i].id, id) == 0) return &c->check[i];
    return NULL;
}

static void unknown(mebi__http_answer *a) {
    mebi__answer_error(a, 0, MEBI__ERROR_NOT_FOUND, "There is no such check, or no page of it.");
}

void mebi__api_check(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    mebi__checks *c = mebi__server_checks(server);
    pthread_mutex_lock(&c->lock);
    const check *one = find(c, q->capture[0]);
    if (one) mebi__answer_json(a, 200, view(one));
    pthread_mutex_unlock(&c->lock);
    if (!one) unknown(a);
}

void mebi__api_check_html(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    mebi__checks *c = mebi__server_checks(server);
    pthread_mutex_lock(&c->lock);
    const check *one = find(c, q->capture[0]);
    char *html = one && one->html ? strdup(one->html) : NULL;
    pthread_mutex_unlock(&c->lock);
    if (!html) {
        unknown(a);
        return;
    }
    mebi__answer_owned(a, 200, "text/html; charset=utf-8", html, strlen(html), free);
    /* The report is one file with its style in it, and needs nothing else. */
    mebi__answer_header(
        a, "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'");
}

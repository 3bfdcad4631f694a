/* Checks of machine and model. The last few are remembered. Must never run beside a job: the jobs'
 * worker runs them. Must never wake a listener under the lock: that is the nudge's business. */
#include "server/checks.h"

#include "base/memory.h"
#include "base/os.h"
#include "server/api.h"
#include "server/fields.h"
#include "server/view.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT = 8, WORDS_BYTES = 1024 };

typedef enum state { QUEUED, RUNNING, DONE, FAILED, CANCELLED } state;

typedef struct check {
    char id[24];
    int is_bench, quick;
    state state;
    int64_t version;                    /* rises with every change of any check */
    int64_t created, started, finished; /* milliseconds since 1970; 0: not yet */
    double fraction, left;              /* seconds; negative: not known */
    char words[WORDS_BYTES];            /* what is done; of a failed one why */
    json_t *report;
    char *html;
} check;

struct mebi__checks {
    mebi__jobs *jobs;
    mebi__check_ways ways;
    void (*nudge)(void *context); /* after each change, without the lock */
    void *context;
    pthread_mutex_t lock;
    check check[KEPT];
    int count; /* since the start; the newest is (count - 1) % KEPT */
    int64_t version;
};

mebi__checks *mebi__checks_open(mebi__jobs *jobs, const mebi__check_ways *ways,
                                void (*nudge)(void *context), void *context) {
    mebi__checks *c = mebi__alloc(MEBI__TAG_GENERAL, sizeof *c);
    if (!c) return NULL;
    c->jobs = jobs;
    c->ways = *ways;
    c->nudge = nudge;
    c->context = context;
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

/* Takes the lock off that was held for a change. */
static void changed(mebi__checks *c, check *one) {
    one->version = ++c->version;
    pthread_mutex_unlock(&c->lock);
    c->nudge(c->context);
}

/* A text cut within a letter is no UTF-8 any more. */
static void say(check *one, const char *words) {
    size_t n = strlen(words);
    if (n >= WORDS_BYTES) n = WORDS_BYTES - 1;
    while (n > 0 && n == WORDS_BYTES - 1 && ((unsigned char)words[n] & 0xc0) == 0x80) n--;
    memcpy(one->words, words, n);
    one->words[n] = 0;
}

static void on_progress(void *context, double fraction, double left, const char *words) {
    mebi__checks *c = context;
    pthread_mutex_lock(&c->lock);
    check *one = newest(c);
    one->fraction = fraction < 0 ? 0 : fraction < 1 ? fraction : 1;
    one->left = left;
    if (words) say(one, words);
    changed(c, one);
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
    one->started = mebi__wall_ms();
    changed(c, one);
    json_t *report = c->ways.run(c->ways.context, &how, &html, &err);
    pthread_mutex_lock(&c->lock);
    one->report = report;
    one->html = html;
    one->state = report ? DONE : FAILED;
    if (report) one->fraction = 1;
    one->left = -1;
    one->finished = mebi__wall_ms();
    say(one, report ? "" : err.text);
    changed(c, one);
}

static void ended(void *context, int ran) {
    mebi__checks *c = context;
    if (ran) return;
    pthread_mutex_lock(&c->lock);
    newest(c)->state = CANCELLED;
    newest(c)->finished = mebi__wall_ms();
    changed(c, newest(c));
}

/* ---- over HTTP ---- */

/* All but the report, which is large. */
static json_t *view(const check *one) {
    static const char *const states[] = {"queued", "running", "done", "failed", "cancelled"};
    int failed = one->state == FAILED;
    json_t *words = json_string(failed ? "" : one->words), *why = json_string(one->words);
    json_t *progress =
        json_pack("{s:f, s:o, s:o}", "fraction", one->fraction, "seconds_left",
                  mebi__view_seconds(one->left), "words", words ? words : json_string(""));
    json_t *error = failed ? json_pack("{s:s, s:o}", "code", "internal", "message",
                                       why ? json_incref(why) : json_string(""))
                           : json_null();
    json_decref(why);
    return json_pack("{s:s, s:s, s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:b, s:b}", "id", one->id,
                     "kind", one->is_bench ? "bench" : "doctor", "quick", one->quick, "state",
                     states[one->state], "progress", progress, "created",
                     mebi__view_moment(one->created), "started", mebi__view_moment(one->started),
                     "finished", mebi__view_moment(one->finished), "error", error, "has_report",
                     one->report != NULL, "has_page", one->html != NULL);
}

static json_t *whole_view(const check *one) {
    json_t *o = view(one);
    if (o) json_object_set_new(o, "report", one->report ? json_incref(one->report) : json_null());
    return o;
}

json_t *mebi__checks_news(mebi__checks *c, int64_t *seen) {
    const check *next = NULL;
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < KEPT; i++)
        if (c->check[i].version > *seen && (!next || c->check[i].version < next->version))
            next = &c->check[i];
    json_t *o = next ? view(next) : NULL;
    if (next) *seen = next->version;
    pthread_mutex_unlock(&c->lock);
    return o;
}

int64_t mebi__checks_version(mebi__checks *c) {
    pthread_mutex_lock(&c->lock);
    int64_t version = c->version;
    pthread_mutex_unlock(&c->lock);
    return version;
}

/* Newest first. */
void mebi__api_checks(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    mebi__checks *c = mebi__server_checks(server);
    json_t *list = json_array();
    (void)q;
    pthread_mutex_lock(&c->lock);
    for (int i = c->count; i > 0 && i > c->count - KEPT; i--)
        json_array_append_new(list, view(&c->check[(i - 1) % KEPT]));
    pthread_mutex_unlock(&c->lock);
    mebi__answer_json(a, 200, json_pack("{s:o}", "checks", list));
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
    one->created = mebi__wall_ms();
    one->left = -1;
    return one;
}

static void start(mebi__checks *c, const order *o, mebi__http_answer *a) {
    mebi_error err = {0};
    pthread_mutex_lock(&c->lock);
    check *one = begin(c, o);
    json_t *shown = one ? whole_view(one) : NULL;
    if (one) changed(c, one);
    else pthread_mutex_unlock(&c->lock);
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
    if (one) mebi__answer_json(a, 200, whole_view(one));
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

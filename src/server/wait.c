/* Answers that wait for a job. Must never hold a thread meanwhile, and never cancel a job because
 * this server ends. */
#include "base/memory.h"
#include "server/answer.h"
#include "server/hub.h"
#include "server/listener.h"
#include "server/others.h"
#include "server/server.h"

#include <string.h>

enum { AT_ONCE = 16 };

/* Nothing tells that a client of a sleeping connection has gone; so it is looked after each second.
 */
static const double look_seconds = 1;

typedef struct wait {
    mebi__server *server;
    mebi__listener *listener;
    mebi__others_order order;
    mebi__others_finish finish;
    json_t *about;
    int answered;
} wait;

static int is_ending(mebi__server *server) {
    return mebi__hub_stopping(mebi__server_hub(server)) ||
           mebi__jobs_stopping(mebi__server_jobs(server));
}

void mebi__others_give_up(mebi__server *server, const char *job) {
    mebi__cancelled how;
    mebi_error err = {0};
    if (is_ending(server)) return;
    if (mebi__jobs_cancel(mebi__server_jobs(server), job, &how, &err) != MEBI_OK)
        mebi__log_say(mebi__server_log(server), "warning",
                      "A job whose client has gone can't be cancelled: %s", err.text);
}

/* 1 if the last of the job's events has come. */
static int has_ended(wait *w) {
    mebi__event events[AT_ONCE];
    int more = 1, ended = 0;
    while (more && !ended) {
        int count = mebi__jobs_events(mebi__server_jobs(w->server), w->order.job, w->order.after,
                                      events, AT_ONCE, &w->order.after, &more);
        for (int i = 0; i < count; i++)
            ended |= events[i].kind == MEBI__EVENT_DONE || events[i].kind == MEBI__EVENT_FAILED ||
                     events[i].kind == MEBI__EVENT_CANCELLED;
        more = more && count > 0;
    }
    return ended;
}

static void answer_end(wait *w, mebi__http_answer *a) {
    mebi_error err = {0};
    mebi__job *job = NULL;
    mebi_status status = mebi__jobs_get(mebi__server_jobs(w->server), w->order.job, &job, &err);
    if (status != MEBI_OK) mebi__answer_failure(a, status, &err);
    else if (!job) mebi__answer_error(a, 0, MEBI__ERROR_NOT_FOUND, "The job is gone.");
    else if (job->images.count > 0 && job->state != MEBI__JOB_FAILED)
        w->finish(w->server, job, w->about, a);
    else mebi__others_failed(a, job);
    mebi__others_warned(a, json_object_get(w->about, "warnings"));
    mebi__job_free(&job);
}

static int ask(void *context, mebi__http_answer *a) {
    wait *w = context;
    if (has_ended(w)) answer_end(w, a);
    else if (is_ending(w->server)) {
        mebi__answer_error(a, 0, MEBI__ERROR_UNAVAILABLE,
                           "The server is being ended. The job %s is kept, and made when it is "
                           "started again; its pictures will be in the history.",
                           w->order.job);
        mebi__answer_header(a, "X-Should-Retry", "false");
    } else return 0;
    return w->answered = 1;
}

static void begin(void *context, void *waker) {
    mebi__hub_begin(((wait *)context)->listener, waker);
}

static void end(void *context) {
    wait *w = context;
    if (!w->answered) mebi__others_give_up(w->server, w->order.job);
    mebi__hub_leave(w->listener);
    json_decref(w->about);
    mebi__free(w);
}

void mebi__others_wait(mebi__server *server, const mebi__others_order *order,
                       mebi__others_finish finish, json_t *about, mebi__http_answer *a) {
    wait *w = mebi__alloc(MEBI__TAG_GENERAL, sizeof *w);
    mebi__listener *l =
        w ? mebi__hub_join(mebi__server_hub(server), order->job, look_seconds) : NULL;
    if (!l) {
        mebi__free(w);
        json_decref(about);
        mebi__others_give_up(server, order->job);
        mebi__answer_error(a, 0, MEBI__ERROR_UNAVAILABLE,
                           "Too many wait already. Come again later.");
        return;
    }
    *w = (wait){server, l, *order, finish, about, 0};
    mebi__answer_drop(a);
    a->later = (mebi__http_later){w, ask, begin, end};
}

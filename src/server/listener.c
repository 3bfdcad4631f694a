/* Events as a stream's text. Must never write a line's end inside of data: JSON has none. */
#include "server/listener.h"

#include "base/memory.h"
#include "base/os.h"
#include "server/checks.h"
#include "server/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 16, FIRST_JOBS = 200 };

static int append(mebi__listener *l, const char *text, size_t bytes) {
    if (l->bytes + bytes > l->room) {
        size_t room = (l->bytes + bytes) * 2;
        char *grown = mebi__realloc_array(MEBI__TAG_GENERAL, l->text, room, 1);
        if (!grown) return -1;
        l->text = grown, l->room = room;
    }
    memcpy(l->text + l->bytes, text, bytes);
    l->bytes += bytes;
    return 1;
}

/* Takes the reference. id 0: none. */
static int append_event(mebi__listener *l, int64_t id, const char *name, const char *job,
                        json_t *data) {
    char head[120], number[40] = "";
    if (data && !*l->job && *job) json_object_set_new(data, "job", json_string(job));
    char *text =
        data ? json_dumps(data, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(data);
    if (!text) return -1;
    if (id) snprintf(number, sizeof number, "id: %lld\n", (long long)id);
    int n = snprintf(head, sizeof head, "%sevent: %s\ndata: ", number, name);
    int good = append(l, head, (size_t)n) > 0 && append(l, text, strlen(text)) > 0 &&
               append(l, "\n\n", 2) > 0;
    free(text);
    return good ? 1 : -1;
}

/* ---- events ---- */

static json_t *job_data(mebi__listener *l, const char *id) {
    mebi_error err = {0};
    mebi__job *job;
    if (mebi__jobs_get(l->jobs, id, &job, &err) != MEBI_OK || !job) return json_object();
    json_t *data = mebi__view_job(job);
    mebi__job_free(&job);
    return data;
}

static json_t *image_data(mebi__listener *l, const char *id) {
    mebi_error err = {0};
    mebi__images found = {0};
    if (mebi__jobs_image(l->jobs, id, &found, &err) != MEBI_OK || !found.count)
        return json_pack("{s:s}", "id", id);
    json_t *data = mebi__view_image(&found.image[0]);
    mebi__images_free(&found);
    return data;
}

static json_t *queue_data(mebi__listener *l) {
    mebi__queue queue = mebi__jobs_queue(l->jobs);
    return mebi__view_queue(&queue);
}

static json_t *data_of(mebi__listener *l, const mebi__event *e) {
    switch (e->kind) {
    case MEBI__EVENT_QUEUED:
        return json_pack("{s:i, s:o}", "position", e->position, "seconds_left",
                         mebi__view_seconds(e->seconds_left));
    case MEBI__EVENT_PROGRESS: return mebi__view_progress(&e->progress);
    case MEBI__EVENT_PREVIEW:
        return json_pack("{s:o, s:i, s:i, s:i}", "url",
                         json_sprintf("/api/v1/jobs/%s/preview?n=%d", e->job, e->number), "step",
                         e->step, "width", e->width, "height", e->height);
    case MEBI__EVENT_NOTICE: return json_pack("{s:s}", "message", e->message);
    case MEBI__EVENT_IMAGE: return image_data(l, e->image);
    case MEBI__EVENT_STARTED:
    case MEBI__EVENT_DONE: return job_data(l, e->job);
    case MEBI__EVENT_FAILED: return json_pack("{s:s, s:s}", "code", e->code, "message", e->message);
    case MEBI__EVENT_QUEUE: return queue_data(l);
    default: return json_object();
    }
}

static int is_last(mebi__event_kind kind) {
    return kind == MEBI__EVENT_DONE || kind == MEBI__EVENT_FAILED || kind == MEBI__EVENT_CANCELLED;
}

/* That a job began is told as its state, which has all that is news then. */
static int write_event(mebi__listener *l, const mebi__event *e) {
    const char *name = e->kind == MEBI__EVENT_STARTED ? "state" : mebi__event_kind_name(e->kind);
    int done = append_event(l, e->id, name, e->job, data_of(l, e));
    if (*l->job && is_last(e->kind)) l->ended = 1;
    return done;
}

/* 1 if a later one says the same anew. */
static int is_old(const mebi__event *events, int count, int i) {
    if (events[i].kind != MEBI__EVENT_PROGRESS) return 0;
    for (int n = i + 1; n < count; n++)
        if (events[n].kind == MEBI__EVENT_PROGRESS && strcmp(events[n].job, events[i].job) == 0)
            return 1;
    return 0;
}

static int write_events(mebi__listener *l) {
    mebi__event events[AT_ONCE];
    int64_t next = l->after;
    int more = 0;
    int count = mebi__jobs_events(l->jobs, *l->job ? l->job : NULL, l->after, events, AT_ONCE,
                                  &next, &more);
    for (int i = 0; i < count && !l->ended; i++)
        if (!is_old(events, count, i) && write_event(l, &events[i]) < 0) return -1;
    l->after = next;
    return count > 0;
}

/* Changes of checks between two writings are one; they are not kept, so they have no id. */
static int write_checks(mebi__listener *l) {
    int count = 0;
    for (json_t *o; !*l->job && (o = mebi__checks_news(l->checks, &l->checks_seen)); count++)
        if (append_event(l, 0, "check", "", o) < 0) return -1;
    return count > 0;
}

/* ---- the first words ---- */

/* What has not ended: for who listens to all. */
static int greet_all(mebi__listener *l) {
    mebi__job_list list = {0};
    mebi_error err = {0};
    unsigned states = 1u << MEBI__JOB_QUEUED | 1u << MEBI__JOB_RUNNING;
    int done = append_event(l, 0, "queue", "", queue_data(l));
    if (mebi__jobs_list(l->jobs, states, FIRST_JOBS, 0, &list, &err) != MEBI_OK) return done;
    for (int i = 0; i < list.count && i < FIRST_JOBS && done > 0; i++)
        done = append_event(l, 0, "state", list.job[i]->id, mebi__view_job(list.job[i]));
    mebi__job_list_free(&list);
    return done;
}

static int greet(mebi__listener *l) {
    mebi_error err = {0};
    mebi__job *job;
    l->greet = 0;
    l->after = mebi__jobs_newest_event(l->jobs);
    if (!*l->job) return greet_all(l);
    if (mebi__jobs_get(l->jobs, l->job, &job, &err) != MEBI_OK || !job) return -1;
    l->ended = job->state >= MEBI__JOB_DONE;
    int done = append_event(l, 0, "state", job->id, mebi__view_job(job));
    mebi__job_free(&job);
    return done;
}

int mebi__listener_write(mebi__listener *l) {
    double now = mebi__now_seconds();
    l->bytes = l->sent = 0;
    int done = l->greet ? greet(l) : write_events(l);
    int checks = done < 0 ? 0 : write_checks(l);
    if (checks) done = checks;
    if (done == 0 && now - l->written >= MEBI__LISTENER_COMMENT_SECONDS)
        done = append(l, ": here\n\n", 8);
    if (done > 0) l->written = now;
    return done;
}

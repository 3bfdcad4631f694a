/* OpenAI's API: pictures as a stream of events. Must never hold more than one event's text, and
 * never a thread while the job computes. */
#include "base/memory.h"
#include "base/os.h"
#include "server/answer.h"
#include "server/hub.h"
#include "server/listener.h"
#include "server/moment.h"
#include "server/openai.h"
#include "server/server.h"

#include <stdlib.h>
#include <string.h>

/* The client is looked after each second; a comment keeps others between awake. */
static const double look_seconds = 1, comment_seconds = 15;

typedef struct stream {
    mebi__server *server;
    mebi__listener *listener;
    mebi__others_order order;
    mebi__openai_wish wish;
    json_t *warnings;
    mebi__pieces *pieces; /* of the event under way */
    int partials;         /* sent of the picture under way */
    int ended;            /* the last event is written */
} stream;

static int begin_event(mebi__pieces *p, const char *name) {
    return mebi__pieces_text(p, "event: ") && mebi__pieces_text(p, name) &&
           mebi__pieces_text(p, "\ndata: {\"type\":\"") && mebi__pieces_text(p, name) &&
           mebi__pieces_text(p, "\",");
}

/* The members that both kinds have, from the second on. */
static int end_event(mebi__pieces *p, json_t *more) {
    char *text = more ? json_dumps(more, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    int good = text && mebi__pieces_text(p, ",") && mebi__pieces_text(p, text + 1) &&
               mebi__pieces_text(p, "\n\n");
    free(text);
    json_decref(more);
    return good;
}

static json_t *common(const char *format, int width, int height) {
    return json_pack("{s:I, s:o, s:s, s:s, s:s}", "created_at",
                     (json_int_t)(mebi__wall_ms() / 1000), "size",
                     json_sprintf("%dx%d", width, height), "quality", "auto", "background",
                     "opaque", "output_format", format);
}

/* Previews are JPEGs, and small: the event says so. */
static int write_partial(stream *s, const mebi__event *e) {
    unsigned char *jpeg = NULL;
    size_t bytes = 0;
    int number;
    mebi_error err = {0};
    if (s->partials == s->wish.partials) return 1;
    if (mebi__jobs_preview(mebi__server_jobs(s->server), s->order.job, &jpeg, &bytes, &number,
                           &err) != MEBI_OK ||
        !jpeg)
        return 1;
    json_t *more = common("jpeg", e->width, e->height);
    json_object_set_new(more, "partial_image_index", json_integer(s->partials++));
    int good = begin_event(s->pieces, "image_generation.partial_image") &&
               mebi__pieces_text(s->pieces, "\"b64_json\":\"") &&
               mebi__pieces_bytes(s->pieces, jpeg, bytes) && mebi__pieces_text(s->pieces, "\"");
    if (good) good = end_event(s->pieces, more);
    else json_decref(more);
    mebi__free(jpeg);
    return good;
}

static int write_picture(stream *s, const mebi__event *e) {
    mebi__images found = {0};
    mebi_error err = {0};
    s->partials = 0;
    if (mebi__jobs_image(mebi__server_jobs(s->server), e->image, &found, &err) != MEBI_OK ||
        found.count == 0)
        return 0;
    const mebi__image *i = &found.image[0];
    json_t *more =
        common(s->wish.format == MEBI__OPENAI_JPEG ? "jpeg" : "png", i->width, i->height);
    json_object_set_new(more, "seed", json_integer((json_int_t)i->seed));
    json_object_set(more, "warnings", s->warnings);
    int good = begin_event(s->pieces, "image_generation.completed") &&
               mebi__openai_picture(s->server, &s->wish, i->id, s->pieces);
    if (good) good = end_event(s->pieces, more);
    else json_decref(more);
    mebi__images_free(&found);
    return good;
}

static int write_error(stream *s, const char *code, const char *message) {
    json_t *o = json_pack("{s:s, s:{s:s, s:s, s:n, s:s}}", "type", "error", "error", "message",
                          *message ? message : "The job failed.", "type", "server_error", "param",
                          "code", *code ? code : "internal");
    s->ended = 1;
    return mebi__pieces_text(s->pieces, "event: error\ndata: ") &&
           mebi__pieces_json(s->pieces, o) && mebi__pieces_text(s->pieces, "\n\n");
}

static int write_event(stream *s, const mebi__event *e) {
    switch (e->kind) {
    case MEBI__EVENT_PREVIEW: return write_partial(s, e);
    case MEBI__EVENT_IMAGE: return write_picture(s, e);
    case MEBI__EVENT_DONE: s->ended = 1; return 1;
    case MEBI__EVENT_FAILED: return write_error(s, e->code, e->message);
    case MEBI__EVENT_CANCELLED: return write_error(s, "cancelled", "The job was cancelled.");
    default: return 1;
    }
}

/* The next event that says something. 0: there is none yet; -1: it can't be said. */
static int next_event(stream *s) {
    mebi__event e;
    int more, good = 1;
    while (good && !s->ended &&
           mebi__jobs_events(mebi__server_jobs(s->server), s->order.job, s->order.after, &e, 1,
                             &s->order.after, &more) > 0) {
        good = write_event(s, &e);
        if (good && mebi__pieces_waiting(s->pieces)) return 1;
    }
    return good ? 0 : -1;
}

static ssize_t read_stream(void *context, char *to, size_t room) {
    stream *s = context;
    for (;;) {
        ssize_t n = mebi__pieces_read(s->pieces, to, room);
        double now = mebi__now_seconds();
        if (n != 0) {
            s->listener->written = now;
            return n;
        }
        if (s->ended) return 0;
        int next = next_event(s);
        if (next < 0) return -1;
        if (next > 0 || s->ended) continue;
        if (mebi__hub_stopping(mebi__server_hub(s->server)))
            (void)!write_error(s, "unavailable",
                               "The server is being ended; the job is kept, and made when it is "
                               "started again.");
        else if (now - s->listener->written < comment_seconds) return MEBI__HTTP_WAIT;
        else if (!mebi__pieces_text(s->pieces, ": here\n\n")) return -1;
    }
}

static void begin_stream(void *context, void *waker) {
    mebi__hub_begin(((stream *)context)->listener, waker);
}

static void end_stream(void *context) {
    stream *s = context;
    if (!s->ended) mebi__others_give_up(s->server, s->order.job);
    mebi__hub_leave(s->listener);
    mebi__pieces_free(s->pieces);
    json_decref(s->warnings);
    mebi__free(s);
}

void mebi__openai_stream(mebi__server *server, const mebi__others_order *order,
                         const mebi__openai_wish *wish, json_t *warnings, mebi__http_answer *a) {
    stream *s = mebi__alloc(MEBI__TAG_GENERAL, sizeof *s);
    mebi__pieces *p = s ? mebi__pieces_begin() : NULL;
    mebi__listener *l =
        p ? mebi__hub_join(mebi__server_hub(server), order->job, look_seconds) : NULL;
    if (!l) {
        mebi__pieces_free(p);
        mebi__free(s);
        json_decref(warnings);
        mebi__others_give_up(server, order->job);
        mebi__answer_error(a, 0, MEBI__ERROR_UNAVAILABLE,
                           "Too many wait already. Come again later.");
        return;
    }
    *s = (stream){server, l, *order, *wish, warnings, p, 0, 0};
    mebi__answer_drop(a);
    a->status = 200;
    a->type = "text/event-stream";
    a->source = (mebi__http_source){s, read_stream, begin_stream, end_stream, 1};
    mebi__answer_header(a, "X-Accel-Buffering", "no");
    mebi__others_warned(a, warnings);
}

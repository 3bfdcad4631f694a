/* The history over HTTP. Must never open a path that a client named: ids go to the jobs, and only
 * paths that come from there are opened. */
#include "base/memory.h"
#include "server/api.h"
#include "server/fields.h"
#include "server/moment.h"
#include "server/server.h"
#include "server/view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void unknown(mebi__http_answer *a) {
    mebi__answer_error(a, 0, MEBI__ERROR_NOT_FOUND, "There is no picture of that id.");
}

/* ---- lists ---- */

typedef struct texts {
    char q[1024], width[24], height[24], seed[24], from[40], to[40], favourite[8], trashed[8],
        cursor[24], limit[24], job[MEBI__JOB_ID];
} texts;

static int number(const char *text, int64_t most, int64_t *n) {
    size_t length = strlen(text);
    if (length > 16 || strspn(text, "0123456789") != length) return 0;
    *n = strtoll(text, NULL, 10);
    return *n <= most;
}

static int truth(const char *text, int *yes) {
    *yes = strcmp(text, "1") == 0 || strcmp(text, "true") == 0;
    return *yes || strcmp(text, "0") == 0 || strcmp(text, "false") == 0;
}

/* The same of the query itself, where it is one of two or not given. 0: *answer says what is wrong. */
static int query_truth(const mebi__http_request *q, const char *name, int *yes,
                       mebi__http_answer *a) {
    char text[8];
    int found = mebi__http_query(q, name, text, sizeof text);
    *yes = 0;
    if (found == 0 || (found > 0 && truth(text, yes))) return 1;
    mebi__answer_error_about(a, 0, MEBI__ERROR_BAD_REQUEST, "This takes 1 or 0.", name, NULL);
    return 0;
}

/* The name of what is no good; NULL: all is. */
static const char *fill_query(const texts *t, mebi__image_query *o) {
    int64_t width = 0, height = 0, limit = 0;
    if (*t->width && !number(t->width, 1 << 20, &width)) return "width";
    if (*t->height && !number(t->height, 1 << 20, &height)) return "height";
    if (*t->seed && !number(t->seed, INT64_MAX, &o->seed)) return "seed";
    if (*t->from && !mebi__moment_read(t->from, &o->from_ms)) return "from";
    if (*t->to && !mebi__moment_read(t->to, &o->to_ms)) return "to";
    /* A day alone is meant with all its hours. */
    if (*t->to && !strchr(t->to, 'T')) o->to_ms += 24 * 3600 * 1000;
    if (*t->favourite && !truth(t->favourite, &o->favourite)) return "favourite";
    if (*t->trashed && !truth(t->trashed, &o->trashed)) return "trashed";
    if (*t->cursor && !number(t->cursor, INT64_MAX, &o->cursor)) return "cursor";
    if (*t->limit && (!number(t->limit, 1 << 20, &limit) || limit == 0)) return "limit";
    o->width = (int)width, o->height = (int)height, o->limit = limit > 500 ? 500 : (int)limit;
    o->by_seed = *t->seed != 0;
    o->text = t->q;
    o->job = *t->job ? t->job : NULL;
    return NULL;
}

static const char *read_query(const mebi__http_request *q, texts *t, mebi__image_query *o) {
    const struct {
        const char *name;
        char *to;
        size_t room;
    } all[] = {{"q", t->q, sizeof t->q},
               {"width", t->width, sizeof t->width},
               {"height", t->height, sizeof t->height},
               {"seed", t->seed, sizeof t->seed},
               {"from", t->from, sizeof t->from},
               {"to", t->to, sizeof t->to},
               {"favourite", t->favourite, sizeof t->favourite},
               {"trashed", t->trashed, sizeof t->trashed},
               {"cursor", t->cursor, sizeof t->cursor},
               {"limit", t->limit, sizeof t->limit},
               {"job", t->job, sizeof t->job}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int found = mebi__http_query(q, all[i].name, all[i].to, all[i].room);
        /* All pictures have an empty text in them; an empty number is a mistake. */
        if (found < 0 || (found > 0 && !*all[i].to && all[i].to != t->q)) return all[i].name;
    }
    return fill_query(t, o);
}

void mebi__api_images(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    texts t;
    mebi__image_query query = {0};
    mebi__images found = {0};
    mebi_error err = {0};
    const char *bad = read_query(q, &t, &query);
    if (bad) {
        mebi__answer_error_about(a, 0, MEBI__ERROR_BAD_REQUEST, "This value is not understood.",
                                 bad, NULL);
        return;
    }
    mebi_status status = mebi__jobs_images(mebi__server_jobs(server), &query, &found, &err);
    if (status != MEBI_OK) {
        mebi__answer_failure(a, status, &err);
        return;
    }
    json_t *images = json_array();
    for (int i = 0; i < found.count; i++)
        json_array_append_new(images, mebi__view_image(&found.image[i]));
    mebi__answer_json(
        a, 200,
        json_pack("{s:o, s:o, s:I}", "images", images, "next",
                  found.next ? json_sprintf("%lld", (long long)found.next) : json_null(), "total",
                  (json_int_t)found.total));
    mebi__images_free(&found);
}

/* ---- one ---- */

/* Answers with what a call found, and frees it. */
static void answer_image(mebi__http_answer *a, mebi_status status, mebi__images *found,
                         const mebi_error *err) {
    if (status != MEBI_OK) mebi__answer_failure(a, status, err);
    else if (!found->count) unknown(a);
    else mebi__answer_json(a, 200, mebi__view_image(&found->image[0]));
    mebi__images_free(found);
}

void mebi__api_image(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    mebi__images found = {0};
    mebi_error err = {0};
    mebi_status status = mebi__jobs_image(mebi__server_jobs(server), q->capture[0], &found, &err);
    answer_image(a, status, &found, &err);
}

void mebi__api_image_change(mebi__server *server, const mebi__http_request *q,
                            mebi__http_answer *a) {
    static const mebi__field table[] = {{"favourite", MEBI__FIELD_BOOL, 0, 0, 1, {NULL}}};
    int favourite = -1;
    mebi__fields_fault fault;
    mebi__images found = {0};
    mebi_error err = {0};
    json_t *body = mebi__body_read(q, a);
    if (!body) return;
    int good = mebi__fields_read(table, 1, body, &favourite, NULL, &fault);
    json_decref(body);
    if (!good || favourite < 0) {
        mebi__answer_error_about(a, 422, MEBI__ERROR_BAD_REQUEST,
                                 good ? "Say what is to change: {\"favourite\": true}."
                                      : fault.message,
                                 "favourite", NULL);
        return;
    }
    mebi_status status =
        mebi__jobs_set_favourite(mebi__server_jobs(server), q->capture[0], favourite, &found, &err);
    answer_image(a, status, &found, &err);
}

static void remove_forever(mebi__server *server, const mebi__http_request *q,
                           mebi__http_answer *a) {
    int removed = 0;
    mebi_error err = {0};
    mebi__images found = {0};
    mebi__jobs *jobs = mebi__server_jobs(server);
    mebi_status status = mebi__jobs_remove(jobs, q->capture[0], &removed, &err);
    if (status == MEBI_OK && !removed) status = mebi__jobs_image(jobs, q->capture[0], &found, &err);
    if (status != MEBI_OK) mebi__answer_failure(a, status, &err);
    else if (removed) mebi__answer_empty(a, 204);
    else if (!found.count) unknown(a);
    else
        mebi__answer_error(a, 0, MEBI__ERROR_CONFLICT,
                           "Only pictures in the trash can be removed forever. Delete it without "
                           "forever=1 first.");
    mebi__images_free(&found);
}

void mebi__api_image_delete(mebi__server *server, const mebi__http_request *q,
                            mebi__http_answer *a) {
    int yes;
    mebi__images found = {0};
    mebi_error err = {0};
    if (!query_truth(q, "forever", &yes, a)) return;
    if (yes) {
        remove_forever(server, q, a);
        return;
    }
    mebi_status status = mebi__jobs_trash(mebi__server_jobs(server), q->capture[0], &found, &err);
    answer_image(a, status, &found, &err);
}

void mebi__api_image_restore(mebi__server *server, const mebi__http_request *q,
                             mebi__http_answer *a) {
    mebi__images found = {0};
    mebi_error err = {0};
    mebi_status status = mebi__jobs_restore(mebi__server_jobs(server), q->capture[0], &found, &err);
    answer_image(a, status, &found, &err);
}

/* ---- files ---- */

static void answer_file(mebi__http_answer *a, const char *path, const char *type) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0) close(fd);
        unknown(a);
        return;
    }
    mebi__answer_drop(a);
    a->status = 200;
    a->type = type;
    a->fd = fd;
    a->bytes = (size_t)st.st_size;
}

/* A picture's bytes never change, so what has its id has the bytes. */
static void send_file(mebi__server *server, const mebi__http_request *q, int thumbnail,
                      mebi__http_answer *a) {
    char *path = NULL, tag[MEBI__IMAGE_ID + 8];
    mebi_error err = {0};
    mebi__jobs *jobs = mebi__server_jobs(server);
    mebi_status status = thumbnail ? mebi__jobs_image_thumbnail(jobs, q->capture[0], &path, &err)
                                   : mebi__jobs_image_file(jobs, q->capture[0], &path, &err);
    snprintf(tag, sizeof tag, "\"%.55s%s\"", q->capture[0], thumbnail ? "-t" : "");
    if (status != MEBI_OK) mebi__answer_failure(a, status, &err);
    else if (!path) unknown(a);
    else {
        if (q->none_match && strcmp(q->none_match, tag) == 0) mebi__answer_empty(a, 304);
        else answer_file(a, path, thumbnail ? "image/jpeg" : "image/png");
        if (a->status < 400) {
            mebi__answer_header(a, "Cache-Control", "private, max-age=31536000, immutable");
            mebi__answer_header(a, "ETag", "%s", tag);
        }
    }
    mebi__free(path);
}

void mebi__api_image_file(mebi__server *server, const mebi__http_request *q, mebi__http_answer *a) {
    int yes;
    if (!query_truth(q, "download", &yes, a)) return;
    send_file(server, q, 0, a);
    if (yes && a->status == 200)
        mebi__answer_header(a, "Content-Disposition", "attachment; filename=\"mebi_%.55s.png\"",
                            q->capture[0]);
}

void mebi__api_image_thumbnail(mebi__server *server, const mebi__http_request *q,
                               mebi__http_answer *a) {
    send_file(server, q, 1, a);
}

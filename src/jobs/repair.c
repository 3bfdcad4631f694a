/* What a killed process left, put in order before anything else happens. Must never delete a picture that is whole and says
 * whose it is, nor a file that is not this program's.
 *
 * Afterwards: each shown row's file is where the row says; each picture of this program has a row; no job is running;
 * no file is half written. A row whose file somebody took away is kept, hidden, and shown again when the file is back. */
#include "base/memory.h"
#include "base/os.h"
#include "jobs/files.h"
#include "jobs/internal.h"
#include "jobs/picture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A picture's file without a row. */
typedef struct orphan {
    char id[MEBI__IMAGE_ID], file[80]; /* below images/, or trash/ */
    int trashed;
} orphan;

typedef struct repair {
    mebi__jobs *jobs;
    int fresh;
    mebi__filed *filed; /* by id */
    int64_t count;
    orphan *orphans;
    int orphan_count, orphan_room;
    const char *kind, *month; /* the folder being read */
    int taken, removed, missing, moved, damaged;
} repair;

static int ends_in(const char *name, const char *ending) {
    size_t length = strlen(name), own = strlen(ending);
    return length > own && strcmp(name + length - own, ending) == 0;
}

static mebi_status no_path(mebi_error *err) {
    return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
}

static mebi_status remove_in(repair *r, const char *kind, const char *name, const char *ending,
                             mebi_error *err) {
    char *path = mebi__files_path(r->jobs->folder, kind, name, ending);
    mebi_status status = path ? mebi__files_remove(path, err) : no_path(err);
    mebi__free(path);
    return status;
}

/* 1 if it is a file. A link, a folder or the like is none of ours, and is not touched. */
static int is_plain(const repair *r, const char *kind, const char *name, off_t *bytes) {
    struct stat about;
    char *path = mebi__files_path(r->jobs->folder, kind, name, "");
    int plain = path && lstat(path, &about) == 0 && S_ISREG(about.st_mode);
    if (plain && bytes) *bytes = about.st_size;
    if (path && !plain) mebi__jobs_log(r->jobs, "%s is left alone: it is no file.", path);
    mebi__free(path);
    return plain;
}

static int by_id(const void *a, const void *b) {
    return strcmp(a, ((const mebi__filed *)b)->id);
}

static mebi__filed *find(const repair *r, const char *id) {
    return r->count ? bsearch(id, r->filed, (size_t)r->count, sizeof *r->filed, by_id) : NULL;
}

/* ---- files of rows ---- */

/* Where a row's file is meant to be. */
static char *home_of(const repair *r, const mebi__filed *f, mebi__image_place place) {
    return place == MEBI__PLACE_TRASH ? mebi__files_path(r->jobs->folder, "trash", f->id, ".png")
                                      : mebi__files_path(r->jobs->folder, "images", f->file, "");
}

/* 1 if it is the picture that was saved, or another whole one: some programs write into a PNG. */
static int is_whole(const mebi__filed *f, const char *path, off_t bytes) {
    mebi_error why = {0};
    mebi__images read = {0};
    mebi_request request;
    if (bytes == f->bytes) return 1;
    int whole = mebi__picture_read(path, 1, &read, &request, &why) == MEBI_OK;
    mebi__images_free(&read);
    return whole;
}

static mebi_status settle(repair *r, mebi__filed *f, const char *path, off_t bytes, mebi_error *err) {
    mebi__image_place here = strcmp(r->kind, "trash") == 0 ? MEBI__PLACE_TRASH : MEBI__PLACE_IMAGES;
    if (f->place == MEBI__PLACE_REMOVING) return mebi__files_remove(path, err);
    if (!is_whole(f, path, bytes)) {
        if (f->place != MEBI__PLACE_MISSING) r->damaged++;
        return MEBI_OK; /* as if it were not there: it is kept, and its row hidden */
    }
    if (f->place == MEBI__PLACE_MISSING) {
        MEBI_TRY(mebi__store_place(r->jobs->store, f->id, here, err));
        f->place = here;
    }
    char *home = home_of(r, f, f->place);
    mebi_status status = home ? MEBI_OK : no_path(err);
    if (home && strcmp(home, path) != 0) {
        /* Moved in the middle of a change, or a second one of an earlier attempt. */
        r->moved++;
        status = access(home, F_OK) == 0 ? mebi__files_remove(path, err)
                                         : mebi__files_move(path, home, NULL, err);
    }
    if (status == MEBI_OK) f->found = 1;
    mebi__free(home);
    return status;
}

static mebi_status note_orphan(repair *r, const char *id, const char *file, mebi_error *err) {
    if (r->orphan_count == r->orphan_room) {
        int room = r->orphan_room ? 2 * r->orphan_room : 16;
        orphan *larger =
            mebi__realloc_array(MEBI__TAG_GENERAL, r->orphans, (size_t)room, sizeof *larger);
        if (!larger) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the pictures' names.");
        r->orphans = larger;
        r->orphan_room = room;
    }
    orphan *o = &r->orphans[r->orphan_count++];
    o->trashed = strcmp(r->kind, "trash") == 0;
    snprintf(o->id, sizeof o->id, "%s", id);
    snprintf(o->file, sizeof o->file, "%s", file);
    return MEBI_OK;
}

/* A file of images/YYYY-MM or of trash. */
static mebi_status see_file(void *context, const char *name, mebi_error *err) {
    repair *r = context;
    char id[MEBI__IMAGE_ID], file[80];
    size_t length = strlen(name) - (ends_in(name, ".png") ? 4 : 0);
    if (r->month) snprintf(file, sizeof file, "%.7s/%.70s", r->month, name);
    else snprintf(file, sizeof file, "%.79s", name);
    off_t bytes;
    if (!is_plain(r, r->kind, file, &bytes)) return MEBI_OK;
    /* Written in part, by a process that is no more: the lock is ours. */
    if (ends_in(name, ".part") && strstr(name, ".png.")) return remove_in(r, r->kind, file, "", err);
    if (!ends_in(name, ".png") || !mebi__files_is_id(name, length)) return MEBI_OK;
    snprintf(id, sizeof id, "%.*s", (int)length, name);
    mebi__filed *f = find(r, id);
    if (!f) return note_orphan(r, id, file, err);
    char *path = mebi__files_path(r->jobs->folder, r->kind, file, "");
    mebi_status status = path ? settle(r, f, path, bytes, err) : no_path(err);
    mebi__free(path);
    return status;
}

static int is_month(const char *name) {
    return strlen(name) == 7 && name[4] == '-' && strspn(name, "0123456789") == 4 &&
           strspn(name + 5, "0123456789") == 2;
}

static mebi_status see_month(void *context, const char *name, mebi_error *err) {
    repair *r = context;
    if (!is_month(name)) return MEBI_OK;
    r->month = name;
    char *path = mebi__files_path(r->jobs->folder, "images", name, "");
    mebi_status status = path ? mebi__files_each(path, see_file, r, err) : no_path(err);
    mebi__free(path);
    r->month = NULL;
    return status;
}

static mebi_status see_all(repair *r, mebi_error *err) {
    char *images = mebi__files_path(r->jobs->folder, "images", NULL, "");
    char *trash = mebi__files_path(r->jobs->folder, "trash", NULL, "");
    mebi_status status = images && trash ? MEBI_OK : no_path(err);
    r->kind = "images";
    if (status == MEBI_OK) status = mebi__files_each(images, see_month, r, err);
    r->kind = "trash";
    if (status == MEBI_OK) status = mebi__files_each(trash, see_file, r, err);
    mebi__free(images);
    mebi__free(trash);
    return status;
}

/* Rows whose files were nowhere. */
static mebi_status see_rows(repair *r, mebi_error *err) {
    for (int64_t i = 0; i < r->count; i++) {
        mebi__filed *f = &r->filed[i];
        if (f->found || f->place == MEBI__PLACE_MISSING) continue;
        if (f->place == MEBI__PLACE_REMOVING) {
            MEBI_TRY(remove_in(r, "thumbnails", f->id, ".jpg", err));
            MEBI_TRY(mebi__store_forget_image(r->jobs->store, f->id, err));
            continue;
        }
        MEBI_TRY(mebi__store_place(r->jobs->store, f->id, MEBI__PLACE_MISSING, err));
        r->missing++;
    }
    return MEBI_OK;
}

/* ---- files without a row ---- */

/* A job that only its pictures know. */
static mebi_status invent(repair *r, const mebi__image *m, const mebi_request *request,
                          mebi_error *err) {
    mebi__job job = {.state = MEBI__JOB_DONE, .request = *request, .created_ms = m->created_ms,
                     .finished_ms = m->created_ms};
    int64_t last;
    memcpy(job.id, m->job, sizeof job.id);
    MEBI_TRY(mebi__store_last_row(r->jobs->store, &last, err));
    job.row = strtoll(m->job, NULL, 10);
    if (job.row <= last || job.row > last + 1000000000) job.row = last + 1;
    return mebi__store_accept(r->jobs->store, &job, NULL, err);
}

/* *take: 1 if the picture belongs into the history. */
static mebi_status judge(repair *r, const mebi__image *m, const mebi_request *request, int *take,
                         mebi_error *err) {
    mebi__job *job;
    MEBI_TRY(mebi__store_job(r->jobs->store, m->job, &job, err));
    *take = 1;
    /* The next one of a job under way; any other would be made again under the same name. */
    if (job && (job->state == MEBI__JOB_RUNNING || job->state == MEBI__JOB_QUEUED))
        *take = m->index == job->made;
    mebi_status status = job ? MEBI_OK : invent(r, m, request, err);
    mebi__job_free(&job);
    return status;
}

static mebi_status adopt(repair *r, const orphan *o, const mebi__image *m, mebi_error *err) {
    char file[80];
    snprintf(file, sizeof file, "%s", o->file);
    if (o->trashed) mebi__files_name(o->id, m->created_ms, file, sizeof file); /* where restoring puts it */
    MEBI_TRY(mebi__move_add_image(r->jobs, m, file,
                                  o->trashed ? MEBI__PLACE_TRASH : MEBI__PLACE_IMAGES, err));
    r->taken++;
    return MEBI_OK;
}

/* 1 if a job of the store could have written a file of this name. */
static int is_ours(const repair *r, const char *id) {
    char job[MEBI__JOB_ID];
    const char *dash = strrchr(id, '-');
    mebi__job *known = NULL;
    mebi_error err = {0};
    if (!dash || (size_t)(dash - id) >= sizeof job) return 0;
    snprintf(job, sizeof job, "%.*s", (int)(dash - id), id);
    int ours = mebi__store_job(r->jobs->store, job, &known, &err) == MEBI_OK && known;
    mebi__job_free(&known);
    return ours;
}

static mebi_status take_up(repair *r, const orphan *o, mebi_error *err) {
    const char *kind = o->trashed ? "trash" : "images";
    char *path = mebi__files_path(r->jobs->folder, kind, o->file, "");
    if (!path) return no_path(err);
    mebi_error why = {0};
    mebi__images read = {0};
    mebi_request request;
    int take = 0, known = 0;
    mebi_status status = mebi__picture_read(path, !r->fresh, &read, &request, &why);
    if (status == MEBI_NO_MEMORY) status = mebi__fail(err, status, "%s", why.text);
    /* Another name than it says: a copy that somebody made. */
    else if (status == MEBI_OK && strcmp(read.image->id, o->id) == 0) {
        known = 1;
        status = judge(r, read.image, &request, &take, err);
        if (status == MEBI_OK && take) status = adopt(r, o, read.image, err);
    } else {
        known = status != MEBI_OK && is_ours(r, o->id);
        status = MEBI_OK;
        if (!known) mebi__jobs_log(r->jobs, "%s is left alone: %s", path, *why.text ? why.text : "it is a copy.");
    }
    if (status == MEBI_OK && known && !take) {
        r->removed++;
        status = mebi__files_remove(path, err);
    }
    mebi__images_free(&read);
    mebi__free(path);
    return status;
}

/* By the number of the job, then of the picture: the order in which they were made. */
static int by_age(const void *a, const void *b) {
    const orphan *x = a, *y = b;
    long long i = strtoll(x->id, NULL, 10), j = strtoll(y->id, NULL, 10);
    if (i != j) return i < j ? -1 : 1;
    const char *xd = strrchr(x->id, '-'), *yd = strrchr(y->id, '-');
    int p = xd ? atoi(xd + 1) : 0, q = yd ? atoi(yd + 1) : 0;
    return p != q ? (p < q ? -1 : 1) : strcmp(x->id, y->id);
}

static mebi_status take_up_all(repair *r, mebi_error *err) {
    if (r->orphan_count) qsort(r->orphans, (size_t)r->orphan_count, sizeof *r->orphans, by_age);
    /* A whole history may be in the files; if the power goes, they are still there. */
    if (r->orphan_count) MEBI_TRY(mebi__store_hurry(r->jobs->store, 1, err));
    for (int i = 0; i < r->orphan_count; i++) MEBI_TRY(take_up(r, &r->orphans[i], err));
    return r->orphan_count ? mebi__store_hurry(r->jobs->store, 0, err) : MEBI_OK;
}

/* ---- jobs ---- */

/* Invariants 4 and 5 of store_sqlite.c. */
static mebi_status settle_job(repair *r, mebi__job *job, mebi_error *err) {
    if (job->unreadable) {
        job->status = MEBI_BAD_FILE;
        snprintf(job->code, sizeof job->code, "bad_file");
        snprintf(job->message, sizeof job->message,
                 "The database was harmed, and what this job was to make can't be read any more. Order it again.");
        return mebi__move_finish(r->jobs, job, job->state, MEBI__JOB_FAILED, err);
    }
    if (job->state == MEBI__JOB_QUEUED) return mebi__queue_add(r->jobs, job, err);
    if (job->cancelling)
        return mebi__move_finish(r->jobs, job, MEBI__JOB_RUNNING, MEBI__JOB_CANCELLED, err);
    if (job->fruitless < MEBI__FRUITLESS) return mebi__move_requeue(r->jobs, job, 1, err);
    job->status = MEBI_INTERNAL;
    snprintf(job->code, sizeof job->code, "internal");
    snprintf(job->message, sizeof job->message,
             "The program ended %d times while it worked on this, and got no further in between. Perhaps the "
             "system took it for want of memory: try a smaller picture.",
             job->fruitless);
    return mebi__move_finish(r->jobs, job, MEBI__JOB_RUNNING, MEBI__JOB_FAILED, err);
}

static mebi_status settle_jobs(repair *r, unsigned states, mebi_error *err) {
    int64_t cursor = 0;
    for (int more = 1; more;) {
        mebi__job_list list;
        MEBI_TRY(mebi__store_jobs(r->jobs->store, states, 0, cursor, 100, &list, err));
        mebi_status status = MEBI_OK;
        for (int i = 0; i < list.count && status == MEBI_OK; i++) {
            cursor = list.job[i]->row;
            status = settle_job(r, list.job[i], err);
        }
        more = list.count == 100;
        mebi__job_list_free(&list);
        if (status != MEBI_OK) return status;
    }
    return MEBI_OK;
}

/* ---- what can be made again ---- */

static mebi_status see_thumbnail(void *context, const char *name, mebi_error *err) {
    repair *r = context;
    mebi__images image = {0};
    mebi_error own = {0};
    char id[MEBI__IMAGE_ID];
    if (!is_plain(r, "thumbnails", name, NULL)) return MEBI_OK;
    if (ends_in(name, ".part")) return remove_in(r, "thumbnails", name, "", err);
    size_t length = strlen(name) - (ends_in(name, ".jpg") ? 4 : 0);
    if (!ends_in(name, ".jpg") || !mebi__files_is_id(name, length)) return MEBI_OK;
    snprintf(id, sizeof id, "%.*s", (int)length, name);
    if (find(r, id)) return MEBI_OK; /* most of them */
    MEBI_TRY(mebi__store_image(r->jobs->store, id, &image, NULL, &own));
    int known = image.count;
    mebi__images_free(&image);
    return known ? MEBI_OK : remove_in(r, "thumbnails", name, "", err);
}

static mebi_status see_work(void *context, const char *name, mebi_error *err) {
    repair *r = context;
    mebi__job *job = NULL;
    char id[MEBI__JOB_ID];
    if (!is_plain(r, "work", name, NULL)) return MEBI_OK;
    if (ends_in(name, ".part")) return remove_in(r, "work", name, "", err);
    size_t length = strlen(name) - (ends_in(name, ".latents") ? 8 : 0);
    if (!ends_in(name, ".latents") || length >= sizeof id) return MEBI_OK;
    snprintf(id, sizeof id, "%.*s", (int)length, name);
    MEBI_TRY(mebi__store_job(r->jobs->store, id, &job, err));
    int wanted = job && job->state == MEBI__JOB_QUEUED;
    mebi__job_free(&job);
    return wanted ? MEBI_OK : remove_in(r, "work", name, "", err);
}

static mebi_status sweep(repair *r, mebi_error *err) {
    char *small = mebi__files_path(r->jobs->folder, "thumbnails", NULL, "");
    char *work = mebi__files_path(r->jobs->folder, "work", NULL, "");
    mebi_status status = small && work ? MEBI_OK : no_path(err);
    if (status == MEBI_OK) status = mebi__files_each(small, see_thumbnail, r, err);
    if (status == MEBI_OK) status = mebi__files_each(work, see_work, r, err);
    mebi__free(small);
    mebi__free(work);
    return status;
}

static void tell(const repair *r, const mebi__store_opened *opened) {
    if (*opened->aside)
        mebi__jobs_log(r->jobs,
                       "The database was broken (%s). It is now called %s, and a new one is begun with "
                       "the pictures that are there.",
                       opened->why, opened->aside);
    if (*opened->log_aside)
        mebi__jobs_log(r->jobs,
                       "The database's log was harmed, and is now called %s. What was ordered in the last minutes "
                       "before may be missing.",
                       opened->log_aside);
    if (r->taken && r->fresh && !*opened->aside)
        mebi__jobs_log(r->jobs, "The database was missing or empty; a new one is begun with the pictures that are there.");
    if (r->taken) mebi__jobs_log(r->jobs, "%d pictures without an entry were taken up.", r->taken);
    if (r->removed) mebi__jobs_log(r->jobs, "%d unfinished pictures were removed; they are made again.", r->removed);
    if (r->damaged)
        mebi__jobs_log(r->jobs,
                       "%d pictures' files are harmed. They are kept, and hidden until they are whole again.",
                       r->damaged);
    if (r->missing > r->damaged)
        mebi__jobs_log(r->jobs,
                       "%d pictures' files are not there. They are hidden until the files are back.",
                       r->missing - r->damaged);
}

mebi_status mebi__jobs_repair(mebi__jobs *jobs, const mebi__store_opened *opened, mebi_error *err) {
    repair r = {.jobs = jobs, .fresh = opened->fresh};
    int64_t last = 0;
    mebi_status status = mebi__store_filed(jobs->store, &r.filed, &r.count, err);
    if (status == MEBI_OK) status = see_all(&r, err);
    if (status == MEBI_OK) status = see_rows(&r, err);
    if (status == MEBI_OK) status = take_up_all(&r, err);
    if (status == MEBI_OK) status = settle_jobs(&r, 1u << MEBI__JOB_QUEUED, err);
    if (status == MEBI_OK) status = settle_jobs(&r, 1u << MEBI__JOB_RUNNING, err);
    if (status == MEBI_OK) status = sweep(&r, err);
    if (status == MEBI_OK)
        status = mebi__store_forget_events(jobs->store, MEBI__JOBS_WITH_EVENTS, err);
    if (status == MEBI_OK) status = mebi__store_last_row(jobs->store, &last, err);
    jobs->next_row = last + 1;
    if (status == MEBI_OK) tell(&r, opened);
    mebi__free(r.filed);
    mebi__free(r.orphans);
    return status;
}

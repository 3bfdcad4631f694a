/* What outlives the process: jobs, pictures, durable events. One implementation stands behind this
 * header, on SQLite (store_sqlite.c, store_images.c); another would take its place by these functions.
 *
 * Each function that writes is one transaction, and when it returns MEBI_OK what it wrote survives
 * the process and the power. On failure nothing of it was written. Functions that write must not overlap
 * (the caller has a lock for that); those that read may, with anything.
 *
 * A move of a job from another state than the one its function names is MEBI_INTERNAL, and nothing is written. */
#ifndef MEBI_JOBS_STORE_H
#define MEBI_JOBS_STORE_H

#include "jobs/jobs.h"

typedef struct mebi__store mebi__store;

typedef struct mebi__store_opened {
    int fresh;      /* 1: a new one: what pictures are there is not known yet */
    int generation; /* of the folder's databases: 0, and one more for each that was put aside */
    char aside[64]; /* the name the broken one has now; "" if none was */
    char why[200];  /* what was wrong with it */
    char log_aside[64]; /* the name that its harmed log (-wal) has now; "" if it was sound */
} mebi__store_opened;

/* `path`: of the database. A broken one is renamed; what can't be opened for another reason is refused. */
MEBI_MUST_USE mebi_status mebi__store_open(const char *path, mebi__store **store,
                                           mebi__store_opened *opened, mebi_error *err);
void mebi__store_close(mebi__store **store);

/* ---- numbers ---- */

/* Event ids from *first on, `count` of them, that no other process was or will be given. */
MEBI_MUST_USE mebi_status mebi__store_reserve_events(mebi__store *store, int64_t count,
                                                     int64_t *first, mebi_error *err);
/* Gives back what the log takes on the disk, which may be some megabytes: where that is full. 1 if it did. */
int mebi__store_shrink(mebi__store *store);
/* Whether the disk takes anything: a number that nobody reads. */
MEBI_MUST_USE mebi_status mebi__store_try(mebi__store *store, mebi_error *err);
/* The highest row that a job ever had. */
MEBI_MUST_USE mebi_status mebi__store_last_row(mebi__store *store, int64_t *row, mebi_error *err);
/* 1: what is written now may be lost with the power, though nothing breaks: for what can be made again. 0: the disk
 * has all of it, and has each thing from now on before its function returns. */
MEBI_MUST_USE mebi_status mebi__store_hurry(mebi__store *store, int hurry, mebi_error *err);
/* Events of all but the last `jobs` jobs go. */
MEBI_MUST_USE mebi_status mebi__store_forget_events(mebi__store *store, int64_t jobs,
                                                    mebi_error *err);

/* ---- moves of jobs: each writes *event (NULL: none) in the same transaction ---- */

/* A new one: id, row, request, plan, priority, client and created_ms are set, and state: queued, but for jobs that are
 * only known from their pictures. */
MEBI_MUST_USE mebi_status mebi__store_accept(mebi__store *store, const mebi__job *job,
                                             const mebi__event *event, mebi_error *err);
/* queued -> running. Counts an attempt. */
MEBI_MUST_USE mebi_status mebi__store_start(mebi__store *store, int64_t row, int64_t now_ms,
                                            const mebi__event *event, mebi_error *err);
/* running -> queued. fruitless: 0 or 1, whether the attempt counts as one that came to nothing. */
MEBI_MUST_USE mebi_status mebi__store_requeue(mebi__store *store, int64_t row, int fruitless,
                                              const mebi__event *event, mebi_error *err);
/* running -> done | failed | cancelled, queued -> cancelled | failed, with the job's status, code, message, peak_bytes,
 * seconds, total_seconds and finished_ms. */
MEBI_MUST_USE mebi_status mebi__store_finish(mebi__store *store, const mebi__job *job,
                                             mebi__job_state from, mebi__job_state to,
                                             const mebi__event *event, mebi_error *err);
/* A running job is to be cancelled, whatever happens to the process. */
MEBI_MUST_USE mebi_status mebi__store_ask_cancel(mebi__store *store, int64_t row, mebi_error *err);
/* The job got further: its attempts so far were not fruitless. */
MEBI_MUST_USE mebi_status mebi__store_fruitful(mebi__store *store, int64_t row, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__store_notice(mebi__store *store, const mebi__job *job,
                                             const mebi__event *event, mebi_error *err);

/* ---- jobs ---- */

/* With its pictures. *job is NULL if there is none. */
MEBI_MUST_USE mebi_status mebi__store_job(mebi__store *store, const char *id, mebi__job **job,
                                          mebi_error *err);
/* In the order of rows, `descending` or not, of the states (bits) with a row beyond `cursor` (0: from the end or begin);
 * at most limit. */
MEBI_MUST_USE mebi_status mebi__store_jobs(mebi__store *store, unsigned states, int descending,
                                           int64_t cursor, int limit, mebi__job_list *list,
                                           mebi_error *err);

/* Durable events after `after` and before `before`, of a job or NULL: all. */
MEBI_MUST_USE mebi_status mebi__store_events(mebi__store *store, const char *job, int64_t after,
                                             int64_t before, mebi__event *events, int limit,
                                             int *count, mebi_error *err);

/* ---- pictures ---- */

/* Where a picture's file is meant to be. Only the first two are ever shown. */
typedef enum mebi__image_place {
    MEBI__PLACE_IMAGES,
    MEBI__PLACE_TRASH,
    MEBI__PLACE_REMOVING, /* its files go, and then the row */
    MEBI__PLACE_MISSING,  /* its file was taken away by others; comes back if the file does */
} mebi__image_place;

/* The picture's row, its event, and the job's count of pictures made, which becomes index + 1. `file`: below the data
 * folder's images/. image->row is not read. place: IMAGES or TRASH. */
MEBI_MUST_USE mebi_status mebi__store_add_image(mebi__store *store, const mebi__image *image,
                                                const char *file, mebi__image_place place,
                                                const mebi__event *event, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__store_images(mebi__store *store, const mebi__image_query *query,
                                             mebi__images *images, mebi_error *err);
/* A shown one by its id. *file (may be NULL), freed with mebi__free: as in add_image. */
MEBI_MUST_USE mebi_status mebi__store_image(mebi__store *store, const char *id,
                                            mebi__images *images, char **file, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__store_favourite(mebi__store *store, const char *id, int favourite,
                                                mebi_error *err);
MEBI_MUST_USE mebi_status mebi__store_place(mebi__store *store, const char *id,
                                            mebi__image_place place, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__store_forget_image(mebi__store *store, const char *id,
                                                   mebi_error *err);

/* Every picture, in any place, by id (as strcmp orders). */
typedef struct mebi__filed {
    char id[MEBI__IMAGE_ID];
    mebi__image_place place;
    char file[80];
    int64_t bytes; /* of the file when it was saved */
    int found;     /* the caller's */
} mebi__filed;

/* *all is freed with mebi__free; NULL if there are none. */
MEBI_MUST_USE mebi_status mebi__store_filed(mebi__store *store, mebi__filed **all, int64_t *count,
                                            mebi_error *err);

/* Jobs by state, pictures shown and in the trash. */
MEBI_MUST_USE mebi_status mebi__store_count(mebi__store *store, mebi__jobs_counters *counters,
                                            mebi_error *err);

/* ---- between the implementation's files ---- */

struct sqlite3 *mebi__store_reader(mebi__store *store); /* locked, until: */
void mebi__store_read(mebi__store *store);
struct sqlite3 *mebi__store_writer(mebi__store *store);
MEBI_MUST_USE mebi_status mebi__store_write_event(struct sqlite3 *db, const mebi__event *event,
                                                  mebi_error *err);
MEBI_MUST_USE mebi_status mebi__store_job_images(struct sqlite3 *db, mebi__job *job,
                                                 mebi_error *err);
extern const char mebi__store_images_schema[];

#endif

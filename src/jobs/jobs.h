/* The server's jobs: a queue that outlives the process, the one thread that makes pictures, and the
 * history of all that were made. A data folder holds everything:
 *
 *     mebi.db                 jobs, pictures, events
 *     images/YYYY-MM/ID.png   pictures, with the texts that `mebi generate` writes, and "mebi-job"
 *     thumbnails/ID.jpg       of at most 320 pixels
 *     trash/ID.png            until restored or removed forever
 *     work/JOB.latents        a running job's last saved step
 *     lock                    one process a folder
 *     reserve                 room on the disk, given back when that is full
 *
 *     mebi__jobs_params params = mebi__jobs_params_default();
 *     params.folder = "/srv/mebi";
 *     params.engine = mebi__job_engine_of(&engine_params);
 *     mebi__jobs *jobs;
 *     MEBI_TRY(mebi__jobs_open(&params, &jobs, err));
 *     mebi_request request = mebi__jobs_request_default(jobs);
 *     request.prompt = "a red apple";
 *     mebi__job_refused refused;
 *     mebi__job *job;
 *     if (mebi__jobs_submit(jobs, &(mebi__job_order){.request = request}, &job, &refused, err) == MEBI_OK)
 *         ...
 *     mebi__job_free(&job);
 *     mebi__jobs_close(&jobs);
 *
 * What submit has accepted is on the disk, and ends in exactly one of done, failed and cancelled,
 * however often the process is killed in between.
 *
 * All functions are safe from any thread, and none waits for a picture: they take milliseconds (a
 * transaction), but for close, and wait as long as it is told to. What they return is a copy that the
 * caller owns and frees with the function named beside the type.
 *
 * Ids are text: letters, digits, - and _; any other text is found nowhere. Numbers of rows and events
 * order things, never the clock, which may jump; times are for people. */
#ifndef MEBI_JOBS_JOBS_H
#define MEBI_JOBS_JOBS_H

#include "mebi/engine.h"

#include <stddef.h>
#include <stdint.h>

typedef struct mebi__jobs mebi__jobs;

enum {
    MEBI__JOB_ID = 48,       /* bytes of an id with its terminating 0: a job's, */
    MEBI__IMAGE_ID = 56,     /* a picture's: its job's id, "-", its number from 1 */
    MEBI__JOB_CODE = 24,     /* of a failure, for programs */
    MEBI__JOB_MESSAGE = 512, /* of a failure or notice, for people; UTF-8, cut if it must be */
    MEBI__JOB_CLIENT = 64,   /* who asked, for fairness: an address, a session; longer ones are cut */
    MEBI__JOB_NOTICES = 8,   /* the first ones of a job are kept */
    MEBI__PROMPT_BYTES = 16384,
    MEBI__THUMBNAIL_SIDE = 320,
};

/* ---- opening ---- */

/* What makes the pictures. All but `describe` and `plan` are called from the worker's thread only;
 * those two also from others and beside a running `generate`. A test gives its own. */
typedef struct mebi__job_engine {
    void *context;
    mebi_status (*open)(void *context, const mebi_callbacks *callbacks, mebi_error *err);
    void (*close)(void *context); /* also after an open that failed */
    mebi_engine_info (*describe)(void *context);
    mebi_status (*plan)(void *context, const mebi_request *request, mebi_plan *plan,
                        mebi_error *err);
    mebi_status (*generate)(void *context, const mebi_request *request,
                            const mebi_callbacks *callbacks, mebi_report *report, mebi_error *err);
    void (*end)(void *context); /* the context goes; may be NULL */
} mebi__job_engine;

/* The real one. The params' strings must live until the jobs are closed. A context of NULL: no memory;
 * mebi__jobs_open says so. */
mebi__job_engine mebi__job_engine_of(const mebi_engine_params *params);

typedef struct mebi__jobs_params {
    const char *folder;      /* made if missing; only needed during the call, as model_name */
    mebi__job_engine engine; /* taken over, also when opening fails */
    const char *model_name;  /* for people, and for what pictures say of themselves; UTF-8 */
    int queue_limit;         /* queued jobs at most; 0: 256 */
    int64_t client_limit;    /* of one client; 0: the queue's */
    /* Called after every event, from whichever thread made it, with none of this module's locks held.
     * Must return at once; may wake others, who then ask for the events. May be NULL. */
    void (*nudge)(void *context);
    /* For the operator's log: a database moved aside, pictures taken up, a disk that is full. May be
     * called from any thread, also during open. May be NULL. */
    void (*log)(void *context, const char *sentence);
    void *context; /* of both */
    int paused;    /* 1: the worker takes no job until mebi__jobs_pause(jobs, 0) */
    double latents_seconds; /* between two savings of a running job's latents, at least; 0: 2 */
} mebi__jobs_params;

mebi__jobs_params mebi__jobs_params_default(void);

/* Takes the folder, repairs what a killed process left (running jobs are queued again, pictures
 * without a row are taken up), and starts the worker, which opens the model meanwhile: see
 * mebi__jobs_health. A database that is broken is renamed to mebi.db.broken-N and a new one begun, with
 * the pictures on the disk in it; one of a newer mebi is refused. MEBI_IO with a sentence if another
 * process has the folder or it can't be written. */
MEBI_MUST_USE mebi_status mebi__jobs_open(const mebi__jobs_params *params, mebi__jobs **jobs,
                                          mebi_error *err);

/* A running job is ended within a layer's time and queued again; those who wait return. No other call
 * may be under way or follow, but those that wait for events. Accepts NULL; nulls. */
void mebi__jobs_close(mebi__jobs **jobs);

/* From now on waits return at once, and the running job ends and is queued again: for a server that
 * must first end its own threads. */
void mebi__jobs_stop(mebi__jobs *jobs);

void mebi__jobs_pause(mebi__jobs *jobs, int paused);

typedef enum mebi__jobs_readiness {
    MEBI__JOBS_LOADING, /* the model is being opened */
    MEBI__JOBS_READY,
    MEBI__JOBS_TROUBLE, /* the model can't be opened, or the disk not be written; tried again by itself.
                           A finished picture waits in memory until then */
} mebi__jobs_readiness;

/* *sentence (MEBI__JOB_MESSAGE bytes; may be NULL): what the trouble is, or "". *fraction (may be NULL):
 * of the loading. */
mebi__jobs_readiness mebi__jobs_health(mebi__jobs *jobs, char *sentence, double *fraction);

/* Of the open model; 0 while there is none (then *info is all zeros). Strings live until close. */
int mebi__jobs_describe(mebi__jobs *jobs, mebi_engine_info *info);
const char *mebi__jobs_model_name(const mebi__jobs *jobs);

/* ---- what a request takes ---- */

/* The model authors' defaults. Without an open model: 1024 x 1024. */
mebi_request mebi__jobs_request_default(mebi__jobs *jobs);

/* mebi_plan_request of the open model, also while a job runs. Not MEBI_OK while loading: *unavailable is
 * 1 then (may be NULL). */
MEBI_MUST_USE mebi_status mebi__jobs_plan(mebi__jobs *jobs, const mebi_request *request,
                                          mebi_plan *plan, int *unavailable, mebi_error *err);

/* ---- jobs ---- */

typedef enum mebi__job_state {
    MEBI__JOB_QUEUED,
    MEBI__JOB_RUNNING,
    MEBI__JOB_DONE,
    MEBI__JOB_FAILED,
    MEBI__JOB_CANCELLED,
    MEBI__JOB_STATES
} mebi__job_state;

/* "queued", ... Never NULL. */
const char *mebi__job_state_name(mebi__job_state state);

/* What is asked of submit. */
typedef struct mebi__job_order {
    mebi_request request;  /* its strings only need to live during the call; a seed of -1 is drawn then;
                              resume has to be NULL */
    int priority;          /* -10 to 10: the highest runs first */
    const char *client;    /* jobs of one priority take turns between clients; NULL: "" */
} mebi__job_order;

/* Why an order was refused. */
typedef enum mebi__job_refusal {
    MEBI__REFUSED_NOT,
    MEBI__REFUSED_REQUEST,     /* makes no sense: the error text says what */
    MEBI__REFUSED_TOO_BIG,     /* `plan` has what would fit */
    MEBI__REFUSED_FULL,        /* the queue: come again in retry_seconds */
    MEBI__REFUSED_UNAVAILABLE, /* no model yet: come again in retry_seconds */
    MEBI__REFUSED_TROUBLE,     /* disk or memory */
    MEBI__REFUSALS
} mebi__job_refusal;

const char *mebi__job_refusal_name(mebi__job_refusal refusal); /* "request", "too_big", ... */

typedef struct mebi__job_refused {
    mebi__job_refusal why;
    int planned; /* 1: plan is set */
    mebi_plan plan;
    double retry_seconds;
} mebi__job_refused;

typedef struct mebi__job_progress {
    mebi_progress at;     /* of the whole job, also after it was taken up; but its seconds are this attempt's */
    size_t memory_bytes;  /* the process's own, now and then measured */
} mebi__job_progress;

/* One picture of the history. */
typedef struct mebi__image {
    char id[MEBI__IMAGE_ID], job[MEBI__JOB_ID];
    int64_t row;            /* rises with each picture: the order, and cursors */
    int index;              /* of its job, from 0 */
    int width, height;      /* pixels */
    int64_t seed;           /* this picture's */
    int steps;
    float cfg;
    int64_t created_ms;     /* since 1970, as the clock said */
    int64_t bytes;          /* of the PNG */
    int favourite, trashed;
    int draft, draft_width, draft_height; /* factor and the large picture's size; 0: no draft */
    char *prompt, *negative_prompt, *model, *model_hash, *parameters; /* never NULL */
} mebi__image;

typedef struct mebi__images {
    mebi__image *image;
    int count;
    int64_t next;  /* cursor of what follows; 0: nothing does */
    int64_t total; /* that match, whatever cursor and limit */
} mebi__images;

void mebi__images_free(mebi__images *images); /* accepts an empty one; empties it */

typedef struct mebi__job {
    char id[MEBI__JOB_ID];
    int64_t row;            /* rises with each job: the order, and cursors */
    mebi__job_state state;
    mebi_request request;   /* with the seed really used; strings are the job's, never NULL */
    int priority;
    char client[MEBI__JOB_CLIENT];
    int64_t created_ms, started_ms, finished_ms; /* since 1970; 0: not yet */
    int position;           /* queued: 1 is next; else 0 */
    double queue_seconds;   /* queued: until it begins, by plan; negative: not known */
    mebi__job_progress progress;
    int planned;            /* 1: plan is set */
    mebi_plan plan;
    size_t peak_bytes;      /* done: measured; else 0 */
    double seconds[MEBI_STAGE_COUNT], total_seconds; /* measured, of its last attempt */
    int attempts;           /* how often it was begun */
    int fruitless;          /* the last ones of them that brought it no further: after five it fails */
    int made;               /* pictures saved so far, also those removed since */
    int cancelling;         /* running, and asked to end */
    int unreadable;         /* what was asked for is lost: request is empty */
    mebi_status status;     /* failed: what as; else MEBI_OK */
    char code[MEBI__JOB_CODE], message[MEBI__JOB_MESSAGE]; /* failed; else "" */
    int notices;
    char *notice[MEBI__JOB_NOTICES];
    int preview;            /* number of the newest preview; 0: none is held */
    mebi__images images;    /* by index, also of trashed ones; next and total are not set */
} mebi__job;

void mebi__job_free(mebi__job **job); /* accepts NULL; nulls */

/* Checks, plans, and takes an order, or refuses it. MEBI_OK: it is on the disk, *job (may be NULL) is what
 * became of it. Otherwise refused->why says what kind of answer to give, and *err has the sentence. */
MEBI_MUST_USE mebi_status mebi__jobs_submit(mebi__jobs *jobs, const mebi__job_order *order,
                                            mebi__job **job, mebi__job_refused *refused,
                                            mebi_error *err);

/* *job is NULL if there is none of that id; MEBI_OK all the same. */
MEBI_MUST_USE mebi_status mebi__jobs_get(mebi__jobs *jobs, const char *id, mebi__job **job,
                                         mebi_error *err);

typedef struct mebi__job_list {
    mebi__job **job;
    int count;
    int64_t next; /* cursor; 0: no more */
} mebi__job_list;

/* The running one, the queued ones in their order, then the others newest first. states: a bit
 * (1 << mebi__job_state) for each that is wanted; 0: all. limit: 1 to 200 (others are brought there).
 * cursor: 0, or a list's next. Running and queued ones stand on the first page, whatever the limit. */
MEBI_MUST_USE mebi_status mebi__jobs_list(mebi__jobs *jobs, unsigned states, int limit,
                                          int64_t cursor, mebi__job_list *list, mebi_error *err);
void mebi__job_list_free(mebi__job_list *list);

typedef enum mebi__cancelled {
    MEBI__CANCEL_DONE,    /* it was queued, and is cancelled */
    MEBI__CANCEL_ASKED,   /* it runs, and will be cancelled within a layer's time, also if the process is
                             killed before that, unless the disk takes nothing. Finished pictures stay */
    MEBI__CANCEL_LATE,    /* it had ended: nothing happens */
    MEBI__CANCEL_UNKNOWN, /* no such job */
} mebi__cancelled;

MEBI_MUST_USE mebi_status mebi__jobs_cancel(mebi__jobs *jobs, const char *id, mebi__cancelled *how,
                                            mebi_error *err);

/* The newest preview as JPEG, of a job that runs or has just ended; *jpeg is NULL if there is none. Freed
 * with mebi__free. *number as the event's. */
MEBI_MUST_USE mebi_status mebi__jobs_preview(mebi__jobs *jobs, const char *id, unsigned char **jpeg,
                                             size_t *bytes, int *number, mebi_error *err);

/* ---- events ---- */

typedef enum mebi__event_kind {
    MEBI__EVENT_QUEUED,    /* position, seconds_left: at submit, when taken back, and when they change */
    MEBI__EVENT_STARTED,   /* it runs now */
    MEBI__EVENT_PROGRESS,  /* progress; at most ten a second, and at each stage's begin */
    MEBI__EVENT_PREVIEW,   /* number, step, width, height */
    MEBI__EVENT_NOTICE,    /* message */
    MEBI__EVENT_IMAGE,     /* image: the id; its row and files are there */
    MEBI__EVENT_DONE,      /* the last of a job: one of these three */
    MEBI__EVENT_FAILED,    /* code, message */
    MEBI__EVENT_CANCELLED,
    MEBI__EVENT_QUEUE,     /* of no job: the queue's figures changed; see mebi__jobs_queue */
    MEBI__EVENT_KINDS
} mebi__event_kind;

const char *mebi__event_kind_name(mebi__event_kind kind); /* "queued", ... */

typedef struct mebi__event {
    int64_t id; /* rises over all jobs, and over restarts; below 2^53 */
    mebi__event_kind kind;
    char job[MEBI__JOB_ID]; /* "" for MEBI__EVENT_QUEUE */
    mebi__job_progress progress;
    int position;
    double seconds_left; /* negative: not known */
    int number, step, width, height;
    char image[MEBI__IMAGE_ID];
    char code[MEBI__JOB_CODE], message[MEBI__JOB_MESSAGE];
} mebi__event;

/* Copies up to `limit` events after the event `after`, oldest first, of one job (NULL: of all). Returns how
 * many. *next is what to give as `after` the next time (it also passes over other jobs' events), *more is 1 if
 * there are others already. QUEUED (the first), STARTED, IMAGE, NOTICE and the last ones are kept on the disk and
 * are never missed; PROGRESS, PREVIEW and QUEUE are news, and those of long ago are forgotten. Never waits. */
int mebi__jobs_events(mebi__jobs *jobs, const char *job, int64_t after, mebi__event *events,
                      int limit, int64_t *next, int *more);

/* The newest event's id: where a listener begins who wants no past. */
int64_t mebi__jobs_newest_event(mebi__jobs *jobs);

/* Sleeps until there is an event of the job (NULL: any) after `after`, `seconds` are over, or the jobs stop.
 * Returns 1 if there is one. A sleeper costs nothing but its thread; servers that hold no thread for each
 * listener use the nudge. */
int mebi__jobs_wait(mebi__jobs *jobs, const char *job, int64_t after, double seconds);

/* 1 after mebi__jobs_stop or close has begun. */
int mebi__jobs_stopping(mebi__jobs *jobs);

/* ---- the history ---- */

/* Zeros: all that are not in the trash, newest first. */
typedef struct mebi__image_query {
    const char *text;     /* words that prompt or negative prompt has, in any case and order; NULL or "": any */
    int width, height;    /* 0: any */
    int by_seed;          /* 1: only those of this seed */
    int64_t seed;
    int64_t from_ms, to_ms; /* created from (inclusive) to (exclusive); 0: open */
    int favourite;        /* 1: only favourites */
    int trashed;          /* 0: not in the trash; 1: only there; 2: both */
    const char *job;      /* only of this job; NULL: any */
    int64_t cursor;       /* 0, or an answer's next */
    int limit;            /* 1 to 500; 0: 60 */
} mebi__image_query;

MEBI_MUST_USE mebi_status mebi__jobs_images(mebi__jobs *jobs, const mebi__image_query *query,
                                            mebi__images *images, mebi_error *err);

/* images->count is 0 if there is no picture of that id; MEBI_OK all the same. So for the next four. */
MEBI_MUST_USE mebi_status mebi__jobs_image(mebi__jobs *jobs, const char *id, mebi__images *images,
                                           mebi_error *err);
MEBI_MUST_USE mebi_status mebi__jobs_set_favourite(mebi__jobs *jobs, const char *id, int favourite,
                                                   mebi__images *images, mebi_error *err);
/* To the trash, or back. One that is there already stays. This, removing and cancelling are possible on a full disk, too, as
 * long as the folder's reserve lasts. */
MEBI_MUST_USE mebi_status mebi__jobs_trash(mebi__jobs *jobs, const char *id, mebi__images *images,
                                           mebi_error *err);
MEBI_MUST_USE mebi_status mebi__jobs_restore(mebi__jobs *jobs, const char *id,
                                             mebi__images *images, mebi_error *err);
/* File, thumbnail and row go for good, if it is in the trash. *removed: 1 if so, 0 if there is no such picture
 * or it is not in the trash. */
MEBI_MUST_USE mebi_status mebi__jobs_remove(mebi__jobs *jobs, const char *id, int *removed,
                                            mebi_error *err);

/* Where a picture's PNG, or its thumbnail, lies now; *path is NULL if there is no such picture. A missing
 * thumbnail is made anew. Freed with mebi__free. The file may be moved or removed after that: open it, and take
 * ENOENT for "not found". Files are never changed in place. */
MEBI_MUST_USE mebi_status mebi__jobs_image_file(mebi__jobs *jobs, const char *id, char **path,
                                                mebi_error *err);
MEBI_MUST_USE mebi_status mebi__jobs_image_thumbnail(mebi__jobs *jobs, const char *id, char **path,
                                                     mebi_error *err);

/* ---- figures ---- */

typedef struct mebi__queue {
    int queued, running, limit;
    double seconds_left; /* until all are done, by plan */
    size_t planned_bytes; /* the running job's need; 0 without one */
    char job[MEBI__JOB_ID]; /* the running one, or "" */
} mebi__queue;

mebi__queue mebi__jobs_queue(mebi__jobs *jobs);

typedef struct mebi__jobs_counters {
    int64_t jobs[MEBI__JOB_STATES];     /* in the folder, by state */
    int64_t finished[MEBI__JOB_STATES]; /* moves into done, failed, cancelled since the start */
    int64_t accepted, taken_up;         /* since the start: submitted; continued after a restart */
    int64_t refused[MEBI__REFUSALS];    /* since the start */
    int64_t images, images_trashed;     /* in the folder */
    int64_t images_made;                /* since the start */
    double seconds[MEBI_STAGE_COUNT];   /* worked since the start, by stage */
    size_t predicted_bytes, measured_bytes; /* of the last job that was done; 0: none yet */
    size_t predicted_most, measured_most;   /* over all since the start */
    double predicted_seconds, measured_seconds; /* of the last job that was done */
} mebi__jobs_counters;

MEBI_MUST_USE mebi_status mebi__jobs_count(mebi__jobs *jobs, mebi__jobs_counters *counters,
                                           mebi_error *err);

/* ---- other work that needs the machine for itself ---- */

/* Runs work(context) in the worker's thread before the next job; `ended` (may be NULL) after it, or instead of it
 * with ran = 0 if the jobs stop first. One at a time: MEBI_BAD_ARGUMENT while another waits or runs. Works also
 * without a model. */
MEBI_MUST_USE mebi_status mebi__jobs_exclusive(mebi__jobs *jobs, void (*work)(void *context),
                                               void (*ended)(void *context, int ran),
                                               void *context, mebi_error *err);

#endif

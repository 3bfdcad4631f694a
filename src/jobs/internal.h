/* What the files of this folder share. Two locks, taken in this order:
 *
 *   move: held over every change of a job or picture, its transaction and its event, so that events are told in the order
 *         of their ids, and none before the disk has what it tells. Milliseconds.
 *   look: held for looking at, or changing, what lies in memory. Never while anything waits for a disk. */
#ifndef MEBI_JOBS_INTERNAL_H
#define MEBI_JOBS_INTERNAL_H

#include "base/error.h"
#include "jobs/jobs.h"
#include "jobs/store.h"

#include <pthread.h>

enum {
    MEBI__NEWS = 1024,            /* events held in memory */
    MEBI__TURNS = 256,            /* clients whose last turn is known */
    MEBI__FRUITLESS = 5,          /* attempts that end the process before a job is given up */
    MEBI__EVENTS_RESERVED = 100000,
    MEBI__JOBS_WITH_EVENTS = 10000,
};

/* A listener asleep. */
typedef struct mebi__sleeper {
    const char *job; /* NULL: any */
    pthread_cond_t wake;
    struct mebi__sleeper *next;
} mebi__sleeper;

/* A queued job, as far as its order needs it. */
typedef struct mebi__waiting {
    int64_t row;
    char id[MEBI__JOB_ID], client[MEBI__JOB_CLIENT];
    int priority;
    int begun;      /* 1: it ran already, and goes first */
    double seconds; /* by plan */
    int position, told; /* from 1; what its listeners know */
    double until;   /* seconds until it begins, after the running one */
    int round;      /* of its client's jobs of its rank, from 0 */
    int64_t turn, first; /* its client's last turn, and oldest job of its rank */
} mebi__waiting;

typedef struct mebi__turn {
    char client[MEBI__JOB_CLIENT];
    int64_t at;
} mebi__turn;

struct mebi__jobs {
    mebi__jobs_params params; /* its strings are not used */
    char *folder, *model_name;
    int lock_fd;
    mebi__store *store;
    pthread_mutex_t move, look;
    int told; /* by move: 1: events were published since the lock was taken */

    /* by look, and changed only with move too: the news */
    mebi__event news[MEBI__NEWS]; /* of id at [id % MEBI__NEWS] */
    int64_t oldest, newest;       /* ids held; newest = oldest - 1: none */
    int64_t reserved;             /* ids below this are ours */
    mebi__sleeper *sleepers;

    /* by look, and changed only with move too: the queue */
    mebi__waiting *queue;
    int queued, room;
    mebi__turn turns[MEBI__TURNS];
    int turn_count;
    int64_t turn, next_row;

    /* by look: the worker's */
    mebi__job *running; /* NULL: none; changed only with move too */
    mebi__job_progress progress;
    unsigned char *preview; /* JPEG of preview_job */
    size_t preview_bytes;
    int preview_number;
    char preview_job[MEBI__JOB_ID];
    mebi__jobs_readiness readiness;
    char trouble[MEBI__JOB_MESSAGE];
    double loading;
    mebi__jobs_counters counters;
    int ready; /* 1: the engine is open, and stays so */
    _Atomic int without_reserve; /* 1: given back, and to be taken again */
    int in_doubt; /* 1: the disk refused something last; the worker tries it */
    void (*work)(void *);
    void (*work_ended)(void *, int);
    void *work_context;
    int working; /* 1: an exclusive work waits or runs */

    _Atomic int stopping, paused, cancel; /* cancel: the running job is to end */
    pthread_cond_t wake;          /* the worker, by look */
    pthread_t worker;
    int worker_runs;
};

/* ---- locks ---- */

void mebi__jobs_lock(mebi__jobs *jobs);
/* And nudges, if something was told. */
void mebi__jobs_unlock(mebi__jobs *jobs);
__attribute__((format(printf, 2, 3))) void mebi__jobs_log(const mebi__jobs *jobs,
                                                          const char *format, ...);

/* ---- news.c ---- */

/* An event with the next id; move is held. Without ids left, and no disk to take more from: MEBI_IO. */
MEBI_MUST_USE mebi_status mebi__news_begin(mebi__jobs *jobs, mebi__event_kind kind, const char *job,
                                           mebi__event *event, mebi_error *err);
/* Move is held, and what the event tells is on the disk. */
void mebi__news_tell(mebi__jobs *jobs, const mebi__event *event);
/* Both, for what need not be kept; takes move. */
void mebi__news_pass(mebi__jobs *jobs, mebi__event *event);
void mebi__news_wake_all(mebi__jobs *jobs);

/* ---- queue.c: move is held ---- */

MEBI_MUST_USE mebi_status mebi__queue_add(mebi__jobs *jobs, const mebi__job *job, mebi_error *err);
void mebi__queue_drop(mebi__jobs *jobs, int64_t row);
/* The next job's id; 0: the queue is empty. */
int mebi__queue_next(const mebi__jobs *jobs, char id[MEBI__JOB_ID]);
/* The client had its turn. */
void mebi__queue_took(mebi__jobs *jobs, const char *client);
/* Tells queued jobs whose position changed, and the queue's listeners. */
void mebi__queue_tell(mebi__jobs *jobs);
/* Look is held. -1 if it is not queued. */
int mebi__queue_find(const mebi__jobs *jobs, int64_t row);
/* Look is held. Seconds until the running job ends; 0 without one. */
double mebi__queue_running_seconds(const mebi__jobs *jobs);

/* ---- moves.c: each takes move; a job's end is written, told, and drops it from memory ---- */

MEBI_MUST_USE mebi_status mebi__move_finish(mebi__jobs *jobs, mebi__job *job, mebi__job_state from,
                                            mebi__job_state to, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__move_start(mebi__jobs *jobs, mebi__job *job, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__move_requeue(mebi__jobs *jobs, mebi__job *job, int fruitless,
                                             mebi_error *err);
MEBI_MUST_USE mebi_status mebi__move_add_image(mebi__jobs *jobs, const mebi__image *image,
                                               const char *file, mebi__image_place place,
                                               mebi_error *err);
void mebi__move_notice(mebi__jobs *jobs, mebi__job *job, const char *sentence);

/* ---- others ---- */

/* jobs.c: after a move that the disk refused: 1 if there is room now, and it may be tried again. Move is held. */
int mebi__jobs_give_reserve(mebi__jobs *jobs, mebi_status status);
/* repair.c: before the worker starts. */
MEBI_MUST_USE mebi_status mebi__jobs_repair(mebi__jobs *jobs, const mebi__store_opened *opened,
                                            mebi_error *err);
/* worker.c: a thread's main. */
void *mebi__jobs_work(void *jobs);
/* The disk refused something: mebi__jobs_health tells so until it takes something again. Move is not held. */
void mebi__jobs_doubt(mebi__jobs *jobs, const char *sentence);
void mebi__jobs_trust(mebi__jobs *jobs);

#endif

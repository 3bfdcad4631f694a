/* The self-check: runs that are compared with their plans and with each other, and what follows
 * from them.
 *
 *     mebi__doctor *d = mebi__doctor_create(&err);
 *     d->engine = engine, d->how = .., d->user = callbacks;
 *     mebi__doctor_plan(d, &err);           // which runs, and what they should take
 *     mebi__doctor_run(d, &err);            // minutes
 *     mebi__judge_time(d, &findings); mebi__judge_memory(..); mebi__judge_pictures(..);
 *     mebi__doctor_destroy(&d);
 *
 * The engine is seen through its public calls only. */
#ifndef MEBI_DOCTOR_DOCTOR_H
#define MEBI_DOCTOR_DOCTOR_H

#include "doctor/findings.h"
#include "doctor/vitals.h"
#include "mebi/engine.h"
#include "mebi/quality.h"

#define MEBI__DOCTOR_PROMPT "纯白背景,一个红色苹果"
enum { MEBI__DOCTOR_SEED = 12345, MEBI__DOCTOR_STEPS = 120, MEBI__DOCTOR_SAMPLES = 640 };

typedef enum mebi__run_of {
    MEBI__RUN_FIRST,   /* the tutorial's settings: native size, 40 steps, guidance 7.5 */
    MEBI__RUN_FEWER,   /* 30 steps */
    MEBI__RUN_SMALLER, /* three quarters of the side */
    MEBI__RUN_AUTHORS, /* 8 steps without guidance, as the model's authors advise */
    MEBI__RUNS
} mebi__run_of;

typedef enum mebi__run_state {
    MEBI__RUN_NOT_WANTED,
    MEBI__RUN_WANTED,
    MEBI__RUN_DONE,
    MEBI__RUN_FAILED
} mebi__run_state;

typedef struct mebi__run {
    mebi__run_state state;
    mebi_request request;
    mebi_plan plan;      /* made before all runs: none of them has taught it anything */
    mebi_report report;  /* its own plan, made at its beginning, in it */
    mebi_error err;      /* of a failed one */
    mebi__vitals vitals; /* what went on during it */
    double step_seconds[MEBI__DOCTOR_STEPS];
    int steps;                    /* timed */
    size_t most_bytes, end_bytes; /* own memory, sampled */
    mebi_image picture;
} mebi__run;

/* Own memory at one moment. */
typedef struct mebi__sample {
    double seconds; /* since the check began */
    size_t bytes;
    int run; /* -1: before all runs */
    mebi_stage stage;
    int step; /* finished ones */
} mebi__sample;

typedef struct mebi__doctor_how {
    int quick;                   /* fewer steps */
    int full;                    /* never fewer steps or a smaller size than it should be */
    int speed, memory, pictures; /* what is wanted */
    double most_seconds;         /* of all runs, unless full */
} mebi__doctor_how;

typedef struct mebi__doctor {
    mebi_engine *engine;
    mebi_engine_info info;
    mebi__doctor_how how;
    mebi_callbacks user; /* told and asked; image is not used */
    mebi__run run[MEBI__RUNS];
    int side;    /* native, or what it had to be */
    int scaled;  /* 1: fewer steps or a smaller size than it should be */
    int sparing; /* 1: most_seconds could not be kept */
    double began, seconds_planned;
    size_t start_bytes, loaded_bytes, end_bytes; /* own memory; start is the caller's to fill */
    int samples;
    mebi__sample sample[MEBI__DOCTOR_SAMPLES];
    int now; /* the run under way */
    double step_began, runs_began;
} mebi__doctor;

/* Released with mebi__doctor_destroy, which accepts NULL and nulls. */
MEBI_MUST_USE mebi__doctor *mebi__doctor_create(mebi_error *err);
void mebi__doctor_destroy(mebi__doctor **d);

/* runs.c: chooses and plans the runs that `how` wants. */
MEBI_MUST_USE mebi_status mebi__doctor_plan(mebi__doctor *d, mebi_error *err);
/* Does them. A run that fails is noted, and MEBI_OK; the next ones of its kind are left out then.
 * An error is MEBI_CANCELLED. */
MEBI_MUST_USE mebi_status mebi__doctor_run(mebi__doctor *d, mebi_error *err);
/* While a run is under way: how much of all runs' work is done, 0 to 1, when `of_run` of its own
 * is. *left: seconds to the end, by the plan first and then by the clock. */
double mebi__doctor_fraction(const mebi__doctor *d, double of_run, double *left);
/* "256x256, 40 steps, guidance 7.5"; brief: "256, 40 steps, cfg 7.5". */
typedef struct mebi__run_name {
    char text[64];
} mebi__run_name;
mebi__run_name mebi__run_name_of(const mebi__run *run);
mebi__run_name mebi__run_brief_name(const mebi__run *run);

/* Notes own memory: mebi__memory_own. */
void mebi__doctor_sample(mebi__doctor *d, int run, mebi_stage stage, int step);

/* causes.c: why a run may have been slow, as part of a sentence, "" if nothing was seen. threads:
 * of the engine. Appended to *text. Returns how many were found. */
int mebi__causes(const mebi__run *run, int threads, int cores, char *text, size_t bytes);
/* Share of the processors' time that other processes had; 0 to 1. */
double mebi__others_share(const mebi__vitals *v, int cores);
/* Share of the time that the engine's threads had a processor; 0 to 1. */
double mebi__own_share(const mebi__vitals *v, int threads);

/* Each adds its section's findings. */
void mebi__judge_time(const mebi__doctor *d, const mebi__machine *machine, mebi__findings *to);
void mebi__judge_memory(const mebi__doctor *d, mebi__findings *to);
void mebi__judge_pictures(const mebi__doctor *d, mebi__findings *to);

/* What a picture is held against. */
typedef enum mebi__picture_kind {
    MEBI__PICTURE_ANY, /* of an unknown prompt: what has a shape of its own, whatever was asked for
                        */
    MEBI__PICTURE_AUTHORS, /* of the check's prompt at the authors' settings */
    MEBI__PICTURE_GUIDED,  /* ... with the tutorial's guidance */
    MEBI__PICTURE_PHOTO    /* ... of a model that draws photographs */
} mebi__picture_kind;
void mebi__judge_picture(const mebi_image *picture, mebi__picture_kind kind, const char *name,
                         mebi__findings *to);

/* facts.c: what needs no run. */
void mebi__facts_machine(const mebi__machine *m, mebi__findings *to);
void mebi__facts_engine(const mebi__machine *m, const mebi_engine_info *info, mebi__findings *to);
/* folder: NULL the usual one. least: bytes that should be free */
void mebi__facts_cache(const char *folder, double least, mebi__findings *to);
void mebi__facts_output(const char *folder, mebi__findings *to);
void mebi__facts_rates(const mebi_plan *plan, mebi__findings *to);

#endif

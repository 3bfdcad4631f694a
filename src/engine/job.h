/* One job's inside, shared by the files that check, plan and do it. */
#ifndef MEBI_ENGINE_JOB_H
#define MEBI_ENGINE_JOB_H

#include "engine/engine.h"
#include "base/memory.h"
#include "plan/ladder.h"

enum { MEBI__MOST_PICTURES = 64 };

/* A prompt on its way: ids, then features. */
typedef struct mebi__prompt {
    int32_t ids[MEBI__PROMPT_TOKENS];
    int count;
    float *fresh; /* host block for features that are not cached; NULL once handed over */
    const float *features;
} mebi__prompt;

typedef struct mebi__job {
    mebi_engine *engine;
    const mebi_request *request;
    const mebi_callbacks *callbacks;
    mebi_error *err;
    mebi_error trouble; /* the stream's */
    int64_t seed;
    int width, height; /* of the pictures handed over, in pixels */
    mebi__sampling how;
    mebi__prompt positive, negative;
    int guided;
    int working; /* 1: it is to be done; 0: it is only planned, maybe beside another */
    mebi__engine_memory seen; /* looked at once a plan */
    mebi__rates *rates;       /* the engine's as they were then: a copy of its own; alternatives share it */
    mebi__rung rung;
    mebi_plan plan;
    /* taken */
    mebi__stream stream;
    mebi__conditions conditions;
    float *latents; /* of the batch: rung.batch pictures */
    float *noise;   /* a draft's large picture's; NULL without */
    void *reserve;  /* as much as saving a picture takes, held until it is saved */
    mebi_image image;
    mebi__preview_fit fit; /* until the map for previews is known */
    float *clean;          /* latent for a preview; NULL: no previews */
    mebi_image preview;
    int first, pictures; /* being denoised: the first, and how many side by side */
    float *denoised;       /* their latents */
    int refused;         /* 1: the caller's answer to a step ends the job */
    size_t room_after_taking;
    int step_down; /* 1: stop at the next submit, and go on in a smaller way */
    int smallest;  /* 1: there is none */
    mebi_report report;
    /* progress */
    mebi_progress progress;
    double began, stage_began;
    double work_done, work_now; /* planned seconds of stages that are done, of the one under way */
    double step_began, steps_seconds, steps_work; /* of finished steps, the first left out */
    int submits, submits_all;                     /* of the stage under way */
} mebi__job;

/* request.c: the request is possible for this model; nothing is taken. */
MEBI_MUST_USE mebi_status mebi__job_check(mebi__job *j);

/* plan_job.c: how it will be done, and what that takes. MEBI_OK also if it is too big. */
MEBI_MUST_USE mebi_status mebi__job_plan_it(mebi__job *j);
/* The next smaller way, after memory was denied or taken away: j->rung and the plan's strategy change.
 * MEBI_NO_MEMORY if there is none. */
MEBI_MUST_USE mebi_status mebi__job_step_down(mebi__job *j);
/* What is too big, and what would fit: *err filled, MEBI_NO_MEMORY. */
mebi_status mebi__job_refuse(mebi__job *j);

size_t mebi__job_latent_elements(const mebi__job *j); /* of one picture */
size_t mebi__job_noise_elements(const mebi__job *j);  /* of a draft's large picture; 0 without */
size_t mebi__job_features_bytes(const mebi__job *j, const mebi__prompt *p);

/* Pictures' steps left to do, of so many in all: fewer if the job goes on from saved ones. */
int mebi__job_steps_left(const mebi__job *j);

/* preview.c */
/* Steps between previews; 0: none will be looked at. */
int mebi__job_previews(const mebi__job *j);
size_t mebi__job_preview_bytes(const mebi__job *j); /* of host memory */
MEBI_MUST_USE mebi_status mebi__job_preview_take(mebi__job *j);
void mebi__job_preview_give(mebi__job *j);
/* Finds the map, if it isn't known. Returns 0 if there is none, and so no previews; the stream may have failed. */
int mebi__job_preview_fit(mebi__job *j);
void mebi__job_preview_show(void *job, int step, int picture); /* a mebi__watch's */

/* pace.c: what each stage of the whole job takes. */
void mebi__job_seconds(const mebi__job *j, double seconds[MEBI_STAGE_COUNT]);
/* What the job's own seconds say is kept for the next plan. */
void mebi__job_learn(mebi__job *j);

/* progress.c. work: planned seconds of the stage. submits: how often it will look whether it is cancelled. */
void mebi__job_tell(mebi__job *j);
void mebi__job_begin_stage(mebi__job *j, mebi_stage stage, double work, int submits);
void mebi__job_end_stage(mebi__job *j);
/* A step of the batch is finished. */
void mebi__job_step_done(mebi__job *j, int step);

#endif

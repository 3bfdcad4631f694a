/* The engine's inside: an opened model on a device. */
#ifndef MEBI_ENGINE_ENGINE_H
#define MEBI_ENGINE_ENGINE_H

#include "base/pool.h"
#include "engine/features.h"
#include "mebi/engine.h"
#include "cpu/cpu.h"
#include "model/pipeline.h"
#include "model/preview.h"
#include "plan/rates.h"
#include "plan/devices.h"
#include "text/tokenizer.h"
#include "weights/random.h"

#include <pthread.h>

/* Who has an engine's threads and may change what plans read. */
typedef enum mebi__engine_work {
    MEBI__WORK_NONE,
    MEBI__WORK_JOB,
    MEBI__WORK_MEASURING, /* a plan finds out how fast the machine is */
} mebi__engine_work;

/* The process's memory as a plan counts it. */
typedef struct mebi__engine_memory {
    size_t own, tables, room; /* mebi__memory_own, _tables, _available */
    size_t scratch_bytes;     /* of own: reserved on the device */
    size_t cold_dit, cold_encoder; /* bytes of weights that are not in memory: about */
    int jobs;                 /* that will have been done when the planned one begins */
    int preview_known;        /* 1: the map for previews need not be found */
} mebi__engine_memory;

/* What plans saw of the system a moment ago, which many at once share. */
typedef struct mebi__engine_glance {
    size_t bytes[2];
    double at; /* 0: never */
} mebi__engine_glance;

/* What plans of any thread read and a job changes; see beside.c. */
typedef struct mebi__engine_shared {
    pthread_mutex_t lock; /* held for moments only: never while anything is computed, read or written elsewhere */
    pthread_cond_t ended; /* work */
    mebi__engine_work work;
    int held;               /* 1: `before` is set: the job takes memory, or has */
    unsigned changes;       /* of `held` */
    mebi__engine_memory before; /* as it was before the job under way took any */
    size_t features_before; /* bytes */
    mebi__engine_glance cold;  /* bytes of the DiT's and the encoder's weights that are not in memory */
    mebi__engine_glance about; /* beside a job: what the process holds, and how much room there is */
} mebi__engine_shared;

struct mebi_engine {
    mebi__pool *pool;
    mebi__device *device;
    mebi__model_files files;
    mebi__tokenizer *tokenizer;
    mebi__pipeline pipeline;
    /* Changed by whoever has the work (see shared.work), under shared.lock: others read them under it, the one
     * that has the work without. */
    mebi__features features;   /* of recent prompts */
    int jobs;                  /* done so far */
    size_t scratch_bytes;      /* reserved on the device so far */
    mebi__rates *rates;        /* `asked` is changed by plans too */
    mebi__rates *spare_rates;  /* for one plan's copy, so that planning leaves no trace on the heap; NULL: in use */
    mebi__preview_map preview; /* for previews, once it is known */
    int calibrate;             /* 1: what the rates lack is measured when it is needed */
    mebi__engine_shared shared;
    char *preview_path; /* where the model's folder may have that map; or NULL */
    double load_seconds;
    char unused[512];
    const char *cpu;
    mebi_precision precision;
    mebi__cpu_level level;
    char *cache; /* folder, as params have it; NULL: the usual one */
    size_t budget_bytes;
    mebi_weights_way weights;
    int plan_only;
    size_t budget_of_device; /* memory of a machine that is only planned for; 0: this one */
    mebi__device *target;    /* what is planned for, where the device is a dry one; or NULL */
    const mebi__planned_device *planned; /* the machine, where it isn't this one; or NULL */
    int shapes_only;                     /* 1: no files; the published model's shapes */
    mebi__random_part shapes[3];         /* those: transformer, encoder, autoencoder */
    /* Handed to every job's stream: see mebi__stream. */
    void (*observe)(void *context, mebi__stream *s, const char *stage, int index, mebi__view view);
    void *observe_context;
};

/* Bytes of own memory that a part's weights hold, or would hold if they were loaded. */
size_t mebi__engine_weights(const mebi_engine *engine, mebi__tag tag);
/* Bytes that a model opened for planning only would take besides what it takes. */
size_t mebi__engine_imagined(const mebi_engine *engine);
/* The device that a plan is for. */
mebi__device *mebi__engine_target(const mebi_engine *engine);
/* Bytes that its jobs may still take. */
size_t mebi__engine_room(const mebi_engine *engine);

/* open_plan.c: opening a model for planning only. */
/* The published model's shapes in place of a model's files. */
MEBI_MUST_USE mebi_status mebi__engine_imagine_files(mebi_engine *engine, mebi_error *err);
/* Puts a dry device before the one that the engine has. */
MEBI_MUST_USE mebi_status mebi__engine_imagine_device(mebi_engine *engine, mebi_error *err);
/* The machine to plan for; *name NULL: this one. */
MEBI_MUST_USE mebi_status mebi__engine_plan_for(mebi_engine *engine, const char *name, mebi_error *err);
void mebi__engine_imagine_end(mebi_engine *engine);

/* pace.c: the rates of this machine, as far as they are known. */
MEBI_MUST_USE mebi_status mebi__engine_load_rates(mebi_engine *engine, mebi_error *err);
/* Measures what a copy of the rates lacks, if the engine may; both get it. Returns 1 if plans have to be made anew.
 * For whoever has the work. */
int mebi__engine_calibrate(mebi_engine *engine, mebi__rates *rates);

/* preview.c: the map for previews, if the model's folder or the cache has it. */
void mebi__engine_load_preview(mebi_engine *engine);

/* beside.c: calls from several threads. */
MEBI_MUST_USE mebi_status mebi__engine_shared_init(mebi_engine *engine, mebi_error *err);
void mebi__engine_shared_end(mebi_engine *engine);
void mebi__engine_lock(mebi_engine *engine);
void mebi__engine_unlock(mebi_engine *engine);
/* Waits while a plan measures the machine. MEBI_BAD_ARGUMENT if another job is under way. */
MEBI_MUST_USE mebi_status mebi__engine_begin_job(mebi_engine *engine, mebi_error *err);
/* 1 if the engine is free, and may measure at all: then it is taken. */
int mebi__engine_begin_measuring(mebi_engine *engine);
void mebi__engine_end_work(mebi_engine *engine);
/* Whoever has the work will take memory from now on. */
void mebi__engine_hold(mebi_engine *engine, const mebi__engine_memory *before);
/* Memory now: for whoever has the work. */
void mebi__engine_look(const mebi_engine *engine, mebi__engine_memory *out);
/* For all others: now, or as it will be when the work under way is done. */
void mebi__engine_look_beside(mebi_engine *engine, mebi__engine_memory *out);
/* A copy of the rates, to be given back; NULL: no memory. */
mebi__rates *mebi__engine_take_rates(mebi_engine *engine);
void mebi__engine_give_rates(mebi_engine *engine, mebi__rates *copy); /* accepts NULL */
/* Classes that a dry run with a copy asked for. */
void mebi__engine_note_asked(mebi_engine *engine, const mebi__rates *from);

/* After a MEBI_NUMERIC failure: looks whether a part's weights are to blame, and if so makes *err
 * name the tensor. Reads the whole part. */
mebi_status mebi__engine_blame(const mebi_engine *engine, mebi_status status, mebi_error *err);

#endif

/* The engine's inside: an opened model on a device. */
#ifndef MEBI_ENGINE_ENGINE_H
#define MEBI_ENGINE_ENGINE_H

#include "base/pool.h"
#include "engine/features.h"
#include "mebi/engine.h"
#include "cpu/cpu.h"
#include "model/pipeline.h"
#include "plan/rates.h"
#include "plan/devices.h"
#include "text/tokenizer.h"
#include "weights/random.h"

struct mebi_engine {
    mebi__pool *pool;
    mebi__device *device;
    mebi__model_files files;
    mebi__tokenizer *tokenizer;
    mebi__pipeline pipeline;
    mebi__features features; /* of recent prompts */
    int jobs;                /* done so far */
    size_t scratch_bytes;    /* reserved on the device so far */
    double load_seconds;
    char unused[512];
    const char *cpu;
    mebi_precision precision;
    mebi__cpu_level level;
    char *cache; /* folder, as params have it; NULL: the usual one */
    mebi__rates *rates;
    int calibrate; /* 1: what the rates lack is measured when it is needed */
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
/* Measures what the rates lack, if the engine may. Returns 1 if plans have to be made anew. */
int mebi__engine_calibrate(mebi_engine *engine);

/* After a MEBI_NUMERIC failure: looks whether a part's weights are to blame, and if so makes *err
 * name the tensor. Reads the whole part. */
mebi_status mebi__engine_blame(const mebi_engine *engine, mebi_status status, mebi_error *err);

#endif

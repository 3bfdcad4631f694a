/* The engine's inside: an opened model on a device. */
#ifndef MEBI_ENGINE_ENGINE_H
#define MEBI_ENGINE_ENGINE_H

#include "base/pool.h"
#include "engine/features.h"
#include "mebi/engine.h"
#include "model/pipeline.h"
#include "text/tokenizer.h"

struct mebi_engine {
    mebi__pool *pool;
    mebi__device *device;
    mebi__model_files files;
    const mebi__map **maps; /* of all parts; map_count of them */
    int map_count;
    mebi__tokenizer *tokenizer;
    mebi__pipeline pipeline;
    mebi__features features; /* of recent prompts */
    size_t scratch_bytes;    /* reserved on the device so far */
    double load_seconds;
    char unused[512];
    const char *cpu;
    mebi_precision precision;
    const char *cache; /* during opening */
    /* Handed to every job's stream: see mebi__stream. */
    void (*observe)(void *context, mebi__stream *s, const char *stage, int index, mebi__view view);
    void *observe_context;
};

/* Resident bytes now and at most so far, mapped model files not counted. */
typedef struct mebi__own_memory {
    size_t now, peak;
} mebi__own_memory;

mebi__own_memory mebi__engine_memory(const mebi_engine *engine);

/* After a MEBI_NUMERIC failure: looks whether a part's weights are to blame, and if so makes *err
 * name the tensor. Reads the whole part. */
mebi_status mebi__engine_blame(const mebi_engine *engine, mebi_status status, mebi_error *err);

#endif

/* Engines on the small random models, and jobs whose pictures are kept. */
#ifndef MEBI_TESTS_ENGINE_JOBS_H
#define MEBI_TESTS_ENGINE_JOBS_H

#include "testing.h"

#include "engine/engine.h"
#include "mebi/mebi.h"
#include "model_files.h"

static const char *const models[] = {"tiny", "odd", "bf16"};

/* ---- a job and what came of it ---- */

enum { PICTURES = 4, PIXELS = 96 * 96 * 3 };

typedef struct album {
    int count;
    int64_t seed[PICTURES];
    int width, height;
    unsigned char pixels[PICTURES][PIXELS];
} album;

typedef struct job_of_test {
    album *album;
    int refuse_at;    /* picture whose callback fails; -1: none */
    _Atomic int stop; /* set by anyone */
    int notices;
    int no_memory_at; /* the picture, from 1, whose first saving finds no memory; 0: none */
    int asked, cancel_at;
    mebi__stream *stream; /* noted by the observer, alive until the job ends */
    size_t arena_peak;
} job_of_test;

static inline mebi_status keep_picture(void *context, int index, int64_t seed, const mebi_image *image,
                                mebi_error *err) {
    job_of_test *j = context;
    if (j->stream) j->arena_peak = j->stream->arena.peak;
    if (index == j->refuse_at) {
        /* As a program outside the library does it. */
        err->status = MEBI_IO;
        snprintf(err->text, sizeof err->text, "The disk of picture %d is full.", index);
        return MEBI_IO;
    }
    if (index + 1 == j->no_memory_at) {
        j->no_memory_at = 0;
        return MEBI_NO_MEMORY;
    }
    if (!j->album) return MEBI_OK;
    assert_true(index == j->album->count && index < PICTURES);
    size_t bytes = (size_t)image->width * (size_t)image->height * 3;
    assert_true(bytes <= PIXELS);
    memcpy(j->album->pixels[index], image->pixels, bytes);
    j->album->seed[index] = seed;
    j->album->width = image->width;
    j->album->height = image->height;
    j->album->count++;
    return MEBI_OK;
}

static inline int asked_to_stop(void *context) {
    job_of_test *j = context;
    return ++j->asked == j->cancel_at || j->stop;
}

static inline mebi_callbacks callbacks_of(job_of_test *j) {
    return (mebi_callbacks){.context = j, .image = keep_picture, .cancelled = asked_to_stop};
}

static inline mebi_engine *open_threads(const char *folder, int threads) {
    mebi_engine_params params = mebi_engine_params_default();
    mebi_engine *e;
    mebi_error err = {0};
    params.model = folder;
    params.threads = threads;
    assert_mebi_ok(mebi_engine_open(&params, NULL, &e, &err), &err);
    return e;
}

static inline mebi_engine *open_model(const char *name, int threads) {
    return open_threads(path_of("%s/models/%s", MEBI_FIXTURES, name).text, threads);
}

static inline mebi_request small_request(const mebi_engine *e) {
    mebi_request r = mebi_request_default(e);
    r.prompt = "a red apple";
    r.width = 48;
    r.height = 32;
    r.steps = 2;
    r.seed = 42;
    return r;
}

/* The pictures of a request that must succeed. */
static inline mebi_report make(mebi_engine *e, const mebi_request *r, album *out) {
    job_of_test j = {.album = out, .refuse_at = -1};
    mebi_callbacks c = callbacks_of(&j);
    mebi_report report;
    mebi_error err = {0};
    if (out) memset(out, 0, sizeof *out);
    assert_mebi_ok(mebi_generate(e, r, &c, &report, &err), &err);
    assert_int_equal(report.images, r->count);
    return report;
}

static inline void assert_same(const album *a, const album *b) {
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->seed, b->seed, sizeof a->seed);
    assert_memory_equal(a->pixels, b->pixels, sizeof a->pixels);
}

#endif

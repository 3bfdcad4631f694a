/* One pool of threads for all work of an engine. */
#ifndef MEBI_BASE_POOL_H
#define MEBI_BASE_POOL_H

#include "base/error.h"

typedef struct mebi__pool mebi__pool;

/* task 0..count-1, thread 0..threads-1 (0 is the caller). */
typedef void (*mebi__task)(void *context, int task, int thread);

/* threads 1..256. The caller counts as one: threads - 1 are started. */
MEBI_MUST_USE mebi_status mebi__pool_create(int threads, mebi__pool **out, mebi_error *err);
void mebi__pool_destroy(mebi__pool **pool);
int mebi__pool_threads(const mebi__pool *pool);

/* Runs all tasks, whichever thread is free takes the next, and returns when all are done. What a
 * task computes must not depend on its thread. One caller at a time; not from inside a task. */
void mebi__pool_run(mebi__pool *pool, int count, mebi__task task, void *context);

#endif

/* A thread pool: tasks are numbers handed out by one atomic counter.
 *
 * A round is open from the caller's start until the caller finds no task left. A worker that wakes
 * while it is open joins (`active`), takes tasks until none is left, and leaves; one that wakes
 * later sleeps on. The caller waits only for those that joined: on a busy machine a worker may get
 * a core long after the work is done. A round's context is never used after mebi__pool_run has
 * returned. */
#include "base/pool.h"
#include "base/memory.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

struct mebi__pool {
    int threads;
    int started;
    pthread_t *handle;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    uint64_t round; /* under lock */
    int open;       /* under lock: workers may still join this round */
    int active;     /* under lock: workers that have joined and not left */
    int stop;       /* under lock */
    mebi__task task;
    void *context;
    int count;
    _Atomic int next;
};

typedef struct worker_start {
    mebi__pool *pool;
    int thread;
} worker_start;

static void take_tasks(mebi__pool *p, int thread) {
    for (int i; (i = atomic_fetch_add(&p->next, 1)) < p->count;) p->task(p->context, i, thread);
}

static void *worker(void *argument) {
    worker_start start = *(worker_start *)argument;
    mebi__free(argument);
    mebi__pool *p = start.pool;
    uint64_t seen = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while ((p->round == seen || !p->open) && !p->stop)
            pthread_cond_wait(&p->wake, &p->lock);
        if (p->stop) break;
        seen = p->round;
        p->active++;
        pthread_mutex_unlock(&p->lock);
        take_tasks(p, start.thread);
        pthread_mutex_lock(&p->lock);
        if (--p->active == 0) pthread_cond_signal(&p->done);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static mebi_status start_worker(mebi__pool *p, int thread, mebi_error *err) {
    worker_start *start = mebi__alloc(MEBI__TAG_GENERAL, sizeof *start);
    if (!start) return mebi__fail(err, MEBI_NO_MEMORY, "No memory to start a thread.");
    *start = (worker_start){p, thread};
    /* Workers take no signals: Ctrl-C belongs to the program's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&p->handle[thread - 1], NULL, worker, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        mebi__free(start);
        return mebi__fail(err, MEBI_NO_MEMORY, "Thread %d of %d could not be started: %s.",
                          thread + 1, p->threads, strerror(failed));
    }
    p->started++;
    return MEBI_OK;
}

mebi_status mebi__pool_create(int threads, mebi__pool **out, mebi_error *err) {
    *out = NULL;
    if (threads < 1 || threads > 256)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "%d threads asked for; 1 to 256 can be had.",
                          threads);
    mebi__pool *p = mebi__alloc(MEBI__TAG_GENERAL, sizeof *p);
    if (!p) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a thread pool.");
    p->threads = threads;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    mebi_status status = MEBI_OK;
    if (threads > 1) {
        p->handle = mebi__alloc_array(MEBI__TAG_GENERAL, (size_t)threads - 1, sizeof *p->handle);
        if (!p->handle) status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for a thread pool.");
    }
    for (int t = 1; t < threads && status == MEBI_OK; t++) status = start_worker(p, t, err);
    if (status != MEBI_OK) mebi__pool_destroy(&p);
    *out = p;
    return status;
}

void mebi__pool_destroy(mebi__pool **pool) {
    mebi__pool *p = *pool;
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->stop = 1;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->started; i++) pthread_join(p->handle[i], NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    mebi__free(p->handle);
    mebi__free(p);
    *pool = NULL;
}

int mebi__pool_threads(const mebi__pool *p) {
    return p->threads;
}

void mebi__pool_run(mebi__pool *p, int count, mebi__task task, void *context) {
    if (count <= 0) return;
    if (p->started == 0 || count == 1) {
        for (int i = 0; i < count; i++) task(context, i, 0);
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->task = task;
    p->context = context;
    p->count = count;
    atomic_store(&p->next, 0);
    p->open = 1;
    p->round++;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    take_tasks(p, 0);
    pthread_mutex_lock(&p->lock);
    p->open = 0;
    while (p->active > 0) pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

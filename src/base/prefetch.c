/* A thread with a mailbox for one request. Must never read the bytes itself: a file that became shorter
 * would end the process there, where asking the system only fails. */
#include "base/prefetch.h"
#include "base/memory.h"
#include "base/os.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Asked for at once: little enough that dropping a request takes no time one would notice. */
enum { PIECE = 4 << 20, LOOKS = 1000 };

struct mebi__prefetch {
    pthread_t handle;
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    const mebi__range *range; /* under lock */
    int count;                /* under lock; 0: the mailbox is empty */
    int stop;                 /* under lock */
    _Atomic int dropped;
    double bytes, seconds; /* that arrived; the thread's while it is at work */
};

mebi__range mebi__range_of_pages(const void *at, size_t bytes) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)at / page * page;
    size_t whole = ((uintptr_t)at + bytes - begin + page - 1) / page * page;
    return (mebi__range){(const unsigned char *)begin, bytes ? whole : 0};
}

/* Where the system can't wait for pages it is at least told to read them. 1: they are there. */
static int bring(const mebi__range *r) {
    static _Atomic int cannot_populate;
    void *at = (void *)(uintptr_t)r->at;
    if (!atomic_load(&cannot_populate)) {
        if (madvise(at, r->bytes, MADV_POPULATE_READ) == 0) return 1;
        if (errno == EINVAL) atomic_store(&cannot_populate, 1);
    }
    (void)madvise(at, r->bytes, MADV_WILLNEED);
    return 0;
}

static void bring_all(mebi__prefetch *p, const mebi__range *range, int count) {
    for (int i = 0; i < count; i++)
        for (size_t done = 0; done < range[i].bytes && !atomic_load(&p->dropped); done += PIECE) {
            size_t left = range[i].bytes - done, piece = left < PIECE ? left : PIECE;
            double began = mebi__now_seconds();
            if (!bring(&(mebi__range){range[i].at + done, piece})) continue;
            p->seconds += mebi__now_seconds() - began;
            p->bytes += (double)piece;
        }
}

static void *helper(void *argument) {
    mebi__prefetch *p = argument;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->count && !p->stop) pthread_cond_wait(&p->wake, &p->lock);
        if (p->stop) break;
        const mebi__range *range = p->range;
        int count = p->count;
        pthread_mutex_unlock(&p->lock);
        bring_all(p, range, count);
        pthread_mutex_lock(&p->lock);
        p->count = 0;
        pthread_cond_signal(&p->done);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

mebi_status mebi__prefetch_create(mebi__prefetch **out, mebi_error *err) {
    mebi__prefetch *p = mebi__alloc(MEBI__TAG_GENERAL, sizeof *p);
    *out = NULL;
    if (!p) return mebi__fail(err, MEBI_NO_MEMORY, "No memory to read weights ahead.");
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    /* It takes no signals: Ctrl-C belongs to the program's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&p->handle, NULL, helper, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed) {
        *out = p;
        return MEBI_OK;
    }
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    mebi__free(p);
    return mebi__fail(err, MEBI_NO_MEMORY, "The thread that reads weights ahead could not be started: %s.",
                      strerror(failed));
}

void mebi__prefetch_destroy(mebi__prefetch **prefetch) {
    mebi__prefetch *p = *prefetch;
    if (!p) return;
    mebi__prefetch_drop(p);
    pthread_mutex_lock(&p->lock);
    p->stop = 1;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->handle, NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    mebi__free(p);
    *prefetch = NULL;
}

static void wait_locked(mebi__prefetch *p) {
    while (p->count) pthread_cond_wait(&p->done, &p->lock);
}

void mebi__prefetch_ask(mebi__prefetch *p, const mebi__range *range, int count) {
    pthread_mutex_lock(&p->lock);
    wait_locked(p);
    p->range = range;
    p->count = count;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

void mebi__prefetch_wait(mebi__prefetch *p) {
    pthread_mutex_lock(&p->lock);
    wait_locked(p);
    pthread_mutex_unlock(&p->lock);
}

void mebi__prefetch_tally(mebi__prefetch *p, double *bytes, double *seconds) {
    pthread_mutex_lock(&p->lock);
    *bytes = p->bytes;
    *seconds = p->seconds;
    p->bytes = p->seconds = 0;
    pthread_mutex_unlock(&p->lock);
}

void mebi__prefetch_drop(mebi__prefetch *p) {
    atomic_store(&p->dropped, 1);
    mebi__prefetch_wait(p);
    atomic_store(&p->dropped, 0);
}

size_t mebi__ranges_cold(const mebi__range *range, int count) {
    size_t bytes = 0, page = (size_t)sysconf(_SC_PAGESIZE), looked = 0, cold = 0;
    for (int i = 0; i < count; i++) bytes += range[i].bytes;
    size_t stride = (bytes / LOOKS + page - 1) / page * page;
    for (int i = 0; i < count; i++)
        for (size_t at = 0; at < range[i].bytes; at += stride) {
            unsigned char there;
            if (mincore((void *)(uintptr_t)(range[i].at + at), page, &there) != 0) return 0;
            looked++;
            cold += !(there & 1);
        }
    return looked ? (size_t)((double)bytes * (double)cold / (double)looked) : 0;
}

void mebi__ranges_rest(const mebi__range *range, int count) {
    for (int i = 0; i < count; i++) {
        void *at = (void *)(uintptr_t)range[i].at;
        (void)madvise(at, range[i].bytes, MADV_COLD);
        (void)madvise(at, range[i].bytes, MADV_DONTNEED);
    }
}

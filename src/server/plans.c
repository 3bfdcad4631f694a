/* Plans, remembered for a moment. Must never give a plan that another state of the machine's memory
 * was the reason for: what is remembered goes when a job begins or ends, when free memory changes,
 * and after two seconds.
 *
 * Threads that want one plan at once make it once: the others wait for the first. Those that want
 * different ones make them one after the other, for planning is short and the processors are the
 * pictures'. */
#include "server/plans.h"

#include "base/hash.h"
#include "base/memory.h"
#include "base/os.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

enum { PLACES = 512, WAYS = 4 }; /* a request has WAYS places that it can be in */

static const double keep_seconds = 2, memory_change = 0.01, memory_look_seconds = 0.05;

/* All that a plan depends on, without holes, so that its bytes can be compared. */
typedef struct key {
    uint64_t prompt, negative;
    int32_t width, height, steps, count, draft, decode, preview_every, has_prompt;
    float cfg, cfg_truncation, cfg_normalization;
    int32_t filler;
} key;

typedef struct place {
    key key;
    int used;
    double made;
    mebi_status status;
    mebi_plan plan;
    mebi_error err;
} place;

struct mebi__plans {
    mebi__jobs *jobs;
    pthread_mutex_t lock, making;
    place *places;
    uint64_t generation; /* what is being made for an older one is not remembered */
    size_t available;    /* when those of this generation were made */
    double looked;
    mebi__plans_counts counts;
};

mebi__plans *mebi__plans_open(mebi__jobs *jobs) {
    mebi__plans *p = mebi__alloc(MEBI__TAG_GENERAL, sizeof *p);
    place *places = mebi__alloc_array(MEBI__TAG_GENERAL, PLACES, sizeof *places);
    if (!p || !places) {
        mebi__free(p);
        mebi__free(places);
        return NULL;
    }
    p->jobs = jobs;
    p->places = places;
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_init(&p->making, NULL);
    return p;
}

void mebi__plans_close(mebi__plans **plans) {
    if (!*plans) return;
    pthread_mutex_destroy(&(*plans)->lock);
    pthread_mutex_destroy(&(*plans)->making);
    mebi__free((*plans)->places);
    mebi__free(*plans);
    *plans = NULL;
}

static uint64_t text_hash(const char *text) {
    return text ? mebi__hash(1, text, strlen(text)) : 0;
}

static key key_of(const mebi_request *r) {
    key k;
    memset(&k, 0, sizeof k);
    k.prompt = text_hash(r->prompt), k.negative = text_hash(r->negative_prompt);
    k.has_prompt = r->prompt != NULL;
    k.width = r->width, k.height = r->height, k.steps = r->steps, k.count = r->count;
    k.draft = r->draft, k.decode = (int32_t)r->decode, k.preview_every = r->preview_every;
    k.cfg = r->cfg, k.cfg_truncation = r->cfg_truncation,
    k.cfg_normalization = r->cfg_normalization;
    return k;
}

/* The lock is held by the callers of what follows. */

static void forget(mebi__plans *p) {
    p->generation++;
    for (int i = 0; i < PLACES; i++) p->places[i].used = 0;
}

static void look_at_memory(mebi__plans *p, double now) {
    if (now - p->looked < memory_look_seconds) return;
    size_t available = mebi__memory_available();
    p->looked = now;
    if (fabs((double)available - (double)p->available) <= memory_change * (double)p->available)
        return;
    forget(p);
    p->available = available;
}

static place *find(mebi__plans *p, const key *k, double now) {
    size_t first = mebi__hash(2, k, sizeof *k) % PLACES;
    for (size_t i = 0; i < WAYS; i++) {
        place *at = &p->places[(first + i) % PLACES];
        if (at->used && memcmp(&at->key, k, sizeof *k) == 0)
            return now - at->made <= keep_seconds ? at : NULL;
    }
    return NULL;
}

static void remember(mebi__plans *p, const place *made) {
    size_t first = mebi__hash(2, &made->key, sizeof made->key) % PLACES;
    place *to = &p->places[first];
    for (size_t i = 0; i < WAYS; i++) {
        place *at = &p->places[(first + i) % PLACES];
        if (!at->used || memcmp(&at->key, &made->key, sizeof at->key) == 0) {
            to = at;
            break;
        }
        if (at->made < to->made) to = at;
    }
    *to = *made;
}

/* 1 if it is remembered; *generation: of what is to be made otherwise. */
static int recall(mebi__plans *p, const key *k, place *to, uint64_t *generation) {
    double now = mebi__now_seconds();
    pthread_mutex_lock(&p->lock);
    look_at_memory(p, now);
    const place *at = find(p, k, now);
    if (at) *to = *at;
    p->counts.remembered += at != NULL;
    *generation = p->generation;
    pthread_mutex_unlock(&p->lock);
    return at != NULL;
}

static void make(mebi__plans *p, const mebi_request *request, place *to, uint64_t generation,
                 int *unavailable) {
    double began = mebi__now_seconds();
    to->err = (mebi_error){0};
    *unavailable = 0;
    to->status = mebi__jobs_plan(p->jobs, request, &to->plan, unavailable, &to->err);
    to->made = mebi__now_seconds();
    to->used = 1;
    pthread_mutex_lock(&p->lock);
    p->counts.seconds += to->made - began;
    int lasting = to->status == MEBI_OK || to->status == MEBI_BAD_ARGUMENT;
    if (!*unavailable && lasting && generation == p->generation) remember(p, to);
    pthread_mutex_unlock(&p->lock);
}

mebi_status mebi__plans_get(mebi__plans *p, const mebi_request *request, mebi_plan *plan,
                            int *unavailable, mebi_error *err) {
    place now = {.used = 0};
    uint64_t generation;
    now.key = key_of(request);
    *unavailable = 0;
    pthread_mutex_lock(&p->lock);
    p->counts.asked++;
    pthread_mutex_unlock(&p->lock);
    if (!recall(p, &now.key, &now, &generation)) {
        pthread_mutex_lock(&p->making);
        if (!recall(p, &now.key, &now, &generation))
            make(p, request, &now, generation, unavailable);
        pthread_mutex_unlock(&p->making);
    }
    if (now.status != MEBI_OK) return mebi__fail(err, now.status, "%s", now.err.text);
    *plan = now.plan;
    return MEBI_OK;
}

void mebi__plans_forget(mebi__plans *p) {
    pthread_mutex_lock(&p->lock);
    forget(p);
    pthread_mutex_unlock(&p->lock);
}

mebi__plans_counts mebi__plans_count(mebi__plans *p) {
    pthread_mutex_lock(&p->lock);
    mebi__plans_counts n = p->counts;
    pthread_mutex_unlock(&p->lock);
    return n;
}

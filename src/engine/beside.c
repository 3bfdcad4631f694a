/* Who works on an engine, and what plans beside that see. Must never hold the lock while something is computed, read
 * from a file or called back: whoever waits for it waits for copies of a few hundred KiB at most.
 *
 *     work      who may change what the lock guards    others meanwhile
 *     NONE      nobody                                 plans; one of them may begin MEASURING
 *     JOB       the thread in mebi_generate            plans; a second job is refused
 *     MEASURING the thread of one plan                 plans, by estimates; a job waits
 *
 * Plans of other threads count memory as it was before the work took any (`before`), and what lasts beyond it. */
#include "base/os.h"
#include "engine/engine.h"

#include <string.h>

mebi_status mebi__engine_shared_init(mebi_engine *e, mebi_error *err) {
    mebi__engine_shared *s = &e->shared;
    if (pthread_mutex_init(&s->lock, NULL) != 0) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for an engine.");
    if (pthread_cond_init(&s->ended, NULL) == 0) return MEBI_OK;
    pthread_mutex_destroy(&s->lock);
    return mebi__fail(err, MEBI_NO_MEMORY, "No memory for an engine.");
}

void mebi__engine_shared_end(mebi_engine *e) {
    pthread_cond_destroy(&e->shared.ended);
    pthread_mutex_destroy(&e->shared.lock);
}

void mebi__engine_lock(mebi_engine *e) {
    pthread_mutex_lock(&e->shared.lock);
}

void mebi__engine_unlock(mebi_engine *e) {
    pthread_mutex_unlock(&e->shared.lock);
}

/* ---- work ---- */

mebi_status mebi__engine_begin_job(mebi_engine *e, mebi_error *err) {
    mebi__engine_shared *s = &e->shared;
    mebi__engine_lock(e);
    while (s->work == MEBI__WORK_MEASURING) pthread_cond_wait(&s->ended, &s->lock);
    int free = s->work == MEBI__WORK_NONE;
    if (free) s->work = MEBI__WORK_JOB;
    mebi__engine_unlock(e);
    return free ? MEBI_OK
                : mebi__fail(err, MEBI_BAD_ARGUMENT,
                             "This model is at work on another job. Wait until that is done, or open it a second "
                             "time.");
}

int mebi__engine_begin_measuring(mebi_engine *e) {
    mebi__engine_lock(e);
    int free = e->calibrate && e->shared.work == MEBI__WORK_NONE;
    if (free) e->shared.work = MEBI__WORK_MEASURING;
    mebi__engine_unlock(e);
    return free;
}

void mebi__engine_end_work(mebi_engine *e) {
    mebi__engine_lock(e);
    e->shared.work = MEBI__WORK_NONE;
    e->shared.held = 0;
    e->shared.changes++;
    pthread_cond_broadcast(&e->shared.ended);
    mebi__engine_unlock(e);
}

/* ---- memory ---- */

static size_t features_bytes(const mebi_engine *e) {
    return mebi__features_bytes(&e->features, (size_t)e->pipeline.encoder.config.hidden);
}

void mebi__engine_hold(mebi_engine *e, const mebi__engine_memory *before) {
    mebi__engine_lock(e);
    e->shared.before = *before;
    e->shared.features_before = features_bytes(e);
    e->shared.held = 1;
    e->shared.changes++;
    mebi__engine_unlock(e);
}

/* What needs no look at the system. */
static mebi__engine_memory remembered(const mebi_engine *e) {
    return (mebi__engine_memory){.scratch_bytes = e->scratch_bytes,
                                 .jobs = e->jobs,
                                 .preview_known = e->preview.channels > 0};
}

static void look_at_system(const mebi_engine *e, mebi__engine_memory *m) {
    m->own = mebi__memory_own();
    m->tables = mebi__memory_tables();
    m->room = mebi__engine_room(e);
}

static void look_at_files(const mebi_engine *e, size_t cold[2]) {
    cold[0] = e->plan_only ? 0 : mebi__params_cold_bytes(&e->pipeline.dit.params);
    cold[1] = e->plan_only ? 0 : mebi__params_cold_bytes(&e->pipeline.encoder.params);
}

static void set_cold(mebi__engine_memory *m, const size_t cold[2]) {
    m->cold_dit = cold[0];
    m->cold_encoder = cold[1];
}

void mebi__engine_look(const mebi_engine *e, mebi__engine_memory *out) {
    *out = remembered(e);
    size_t cold[2];
    look_at_system(e, out);
    look_at_files(e, cold);
    set_cold(out, cold);
}

/* Looks, if the last look is older than so many seconds. */
static void glance(mebi_engine *e, mebi__engine_glance *last, double seconds,
                   void (*look)(const mebi_engine *e, size_t bytes[2]), size_t bytes[2]) {
    double now = mebi__now_seconds();
    mebi__engine_lock(e);
    mebi__engine_glance seen = *last;
    mebi__engine_unlock(e);
    if (seen.at == 0 || now - seen.at >= seconds) {
        seen.at = now;
        look(e, seen.bytes);
        mebi__engine_lock(e);
        *last = seen;
        mebi__engine_unlock(e);
    }
    memcpy(bytes, seen.bytes, sizeof seen.bytes);
}

/* As it will be when the work under way has given back what it took: scratch and features stay. Under the lock. */
static mebi__engine_memory after_work(const mebi_engine *e) {
    const mebi__engine_shared *s = &e->shared;
    mebi__engine_memory m = remembered(e);
    m.own = s->before.own + m.scratch_bytes + features_bytes(e) - s->before.scratch_bytes - s->features_before;
    m.tables = s->before.tables;
    m.room = s->before.room;
    m.jobs += s->work == MEBI__WORK_JOB;
    return m;
}

/* Without a walk over the process's pages. */
static void look_about(const mebi_engine *e, size_t bytes[2]) {
    bytes[0] = mebi__memory_own_about();
    bytes[1] = mebi__engine_room(e);
}

void mebi__engine_look_beside(mebi_engine *e, mebi__engine_memory *out) {
    enum { TRIES = 3 }; /* work that begins or ends while the system tells: look again */
    for (int i = 0, settled = 0; i < TRIES && !settled; i++) {
        mebi__engine_lock(e);
        int held = e->shared.held;
        unsigned changes = e->shared.changes;
        *out = held ? after_work(e) : remembered(e);
        mebi__engine_unlock(e);
        if (held) { /* what it holds now will be there again */
            size_t about[2];
            glance(e, &e->shared.about, mebi__memory_pretended() ? 0 : 0.05, look_about, about);
            size_t now = about[0], room = about[1];
            if (now > 0) out->room = now > out->own || room > out->own - now ? now + room - out->own : 0;
            break;
        }
        look_at_system(e, out);
        mebi__engine_lock(e);
        settled = changes == e->shared.changes;
        mebi__engine_unlock(e);
    }
    /* Thousands of questions to the system, for what only an estimate of seconds needs. */
    size_t cold[2];
    glance(e, &e->shared.cold, 1, look_at_files, cold);
    set_cold(out, cold);
}

/* ---- rates ---- */

mebi__rates *mebi__engine_take_rates(mebi_engine *e) {
    mebi__engine_lock(e);
    mebi__rates *copy = e->spare_rates;
    e->spare_rates = NULL;
    mebi__engine_unlock(e);
    if (!copy) copy = mebi__alloc(MEBI__TAG_GENERAL, sizeof *copy);
    if (!copy) return NULL;
    mebi__engine_lock(e);
    *copy = *e->rates;
    mebi__engine_unlock(e);
    return copy;
}

void mebi__engine_give_rates(mebi_engine *e, mebi__rates *copy) {
    if (!copy) return;
    mebi__engine_lock(e);
    int kept = !e->spare_rates;
    if (kept) e->spare_rates = copy;
    mebi__engine_unlock(e);
    if (!kept) mebi__free(copy);
}

void mebi__engine_note_asked(mebi_engine *e, const mebi__rates *from) {
    mebi__engine_lock(e);
    for (int i = 0; i < MEBI__RATE_CLASSES; i++) e->rates->asked[i] |= from->asked[i];
    mebi__engine_unlock(e);
}

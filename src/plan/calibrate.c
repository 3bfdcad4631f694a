/* Measuring. Must never leave rates half measured: they are taken over when all are there. */
#include "plan/calibrate.h"

#include "base/os.h"
#include "plan/calibrate_ops.h"

#include <math.h>
#include <string.h>

enum {
    MEGABYTE = 1 << 20,
    MOST_CALLS = 64,
    ROUNDS = 2, /* apart in time: other programs slow a machine down for a second or so at once */
};

static const double usual_seconds = 4;
static const double batch_seconds = 0.002; /* long enough for the clock and for threads that have to wake */
static const double warm_bytes = 1e6;      /* tensors in turn, as those of a layer: they stay in the nearest caches */

typedef struct session {
    const mebi__calibration *how;
    mebi__rates *rates;
    mebi_error *err;
    mebi__buffer *memory;
    size_t bytes, cursor;
    double began, seconds; /* of the clock; that it may take */
    int classes, done; /* of both rounds */
    mebi__rate of[MEBI__RATE_CLASSES];
} session;

static double now(const session *s) {
    return s->how->now ? s->how->now(s->how->context) : mebi__now_seconds();
}

/* ---- memory ---- */

/* Bytes that are ordinary small numbers in every type: as f32, bf16, f16, in blocks, and as int8. */
static void fill_pattern(unsigned char *to, size_t bytes) {
    static const unsigned char of[8] = {0x3c, 0xbc, 0x3d, 0x3b, 0xbd, 0x3e, 0xbb, 0x3a};
    uint32_t random = 1;
    for (size_t i = 0; i < bytes; i++) {
        random = random * 1664525u + 1013904223u;
        to[i] = of[random >> 29];
    }
}

static mebi_status fill(session *s) {
    const size_t piece = s->bytes < MEGABYTE ? s->bytes : MEGABYTE;
    unsigned char *pattern = mebi__alloc(MEBI__TAG_GENERAL, piece);
    if (!pattern) return mebi__fail(s->err, MEBI_NO_MEMORY, "No memory to measure this machine's speed in.");
    fill_pattern(pattern, piece);
    mebi_status status = MEBI_OK;
    for (size_t at = 0; at < s->bytes && status == MEBI_OK; at += piece) {
        size_t n = s->bytes - at < piece ? s->bytes - at : piece;
        mebi__view v = {.buffer = s->memory, .offset = at, .dtype = MEBI__U8,
                        .shape = {.rank = 1, .dim = {(int64_t)n}}};
        status = s->how->device->table->upload(s->how->device, v, pattern, s->err);
    }
    mebi__free(pattern);
    return status;
}

static mebi_status take_memory(session *s) {
    size_t room = mebi__memory_available() / 4, usual = (size_t)160 * MEGABYTE;
    s->bytes = s->how->memory_bytes ? s->how->memory_bytes : usual < room ? usual : room;
    if (s->bytes < MEGABYTE)
        return mebi__fail(s->err, MEBI_NO_MEMORY,
                          "%zu bytes are not enough to measure this machine's speed in; at least 1 MiB is needed.",
                          s->bytes);
    s->bytes &= ~(size_t)63;
    MEBI_TRY(s->how->device->table->buffer_create(s->how->device, MEBI__TAG_ACTIVATIONS, s->bytes, &s->memory,
                                                  s->err));
    return fill(s);
}

/* ---- one operation ---- */

/* The sample on other memory than the last time. */
static mebi__op moved(session *s, const mebi__sample *sample) {
    mebi__op op = sample->op;
    double span = fmax(warm_bytes, 8 * (double)sample->bytes);
    size_t end = span < (double)s->bytes ? (size_t)span : s->bytes;
    s->cursor += sample->bytes;
    if (s->cursor + sample->bytes > end) s->cursor = 0;
    mebi__view *all[] = {&op.x, &op.w, &op.b, &op.y, &op.a1, &op.a2};
    for (int i = 0; i < 6; i++)
        if (all[i]->buffer) all[i]->offset += s->cursor;
    return op;
}

/* Seconds of one call of n. */
static mebi_status run(session *s, const mebi__sample *sample, int n, double *seconds) {
    mebi__device *d = s->how->device;
    double since = now(s);
    for (int i = 0; i < n; i++) {
        mebi__op op = moved(s, sample);
        MEBI_TRY(d->table->record(d, &op, s->err));
    }
    MEBI_TRY(d->table->submit(d, s->err));
    MEBI_TRY(d->table->wait(d, s->err));
    *seconds = (now(s) - since) / n;
    return MEBI_OK;
}

/* After one call that finds everything cold; of a long operation that one is taken. */
static mebi_status measure(session *s, const mebi__sample *sample, double *seconds) {
    mebi__device *d = s->how->device;
    MEBI_TRY(d->table->scratch_reserve(d, d->table->scratch_bytes(d, &sample->op), s->err));
    MEBI_TRY(run(s, sample, 1, seconds));
    double calls = *seconds > 0 ? batch_seconds / *seconds : MOST_CALLS;
    int n = calls < 1 ? 1 : calls > MOST_CALLS ? MOST_CALLS : (int)calls;
    return *seconds < s->seconds / 100 ? run(s, sample, n, seconds) : MEBI_OK;
}

/* ---- one class ---- */

/* Too long, or too large for the memory: then a neighbour's rate stands for it. */
static int is_too_much(const session *s, const mebi__sample *sample, double work, double rate) {
    /* When time is up only what is cheap is still measured. */
    double room = now(s) < s->began + s->seconds ? s->seconds / 20 : s->seconds / 500;
    return sample->bytes > s->bytes || (rate > 0 && work * rate > room);
}

/* Seconds of a unit of work that place i, j is expected to take at most: as its neighbours; 0: there are none. */
static double expected(const mebi__rate *rate, int i, int j) {
    const double *before = j ? rate->seconds[j - 1] : NULL;
    if (i == 0) return before ? before[0] : 0;
    double last = rate->seconds[j][i - 1];
    /* Costs that each call has once weigh less in a larger one. */
    return before && before[i] < before[i - 1] ? last * before[i] / before[i - 1] : last;
}

static mebi_status measure_place(session *s, int class_index, int i, int j, mebi__rate *rate) {
    mebi__sample sample;
    double seconds, guess = expected(rate, i, j);
    MEBI_TRY(mebi__sample_of(class_index, i, j, s->memory, &sample, s->err));
    mebi__rate_place place = mebi__rate_place_of(&sample.op);
    rate->row[i] = place.row;
    rate->column[j] = place.column;
    if (!is_too_much(s, &sample, place.work, guess)) {
        MEBI_TRY(measure(s, &sample, &seconds));
        guess = fmax(seconds, 1e-9) / place.work;
    } else if (guess <= 0) /* not even the first: memory is scarce */
        guess = 1 / s->rates->roofline.f32;
    rate->seconds[j][i] = guess;
    return MEBI_OK;
}

/* *best: of the rounds before, or empty. */
static void keep_faster(const mebi__rate *now_found, mebi__rate *best) {
    if (!best->rows) *best = *now_found;
    for (int j = 0; j < best->columns; j++)
        for (int i = 0; i < best->rows; i++)
            best->seconds[j][i] = fmin(best->seconds[j][i], now_found->seconds[j][i]);
}

static mebi_status measure_class(session *s, int class_index) {
    mebi__sample_sizes n = mebi__sample_sizes_of(class_index);
    mebi__rate rate = {.rows = n.rows, .columns = n.columns};
    for (int j = 0; j < n.columns; j++)
        for (int i = 0; i < n.rows; i++) {
            if (s->how->cancelled && s->how->cancelled(s->how->context))
                return mebi__fail(s->err, MEBI_CANCELLED, "Cancelled.");
            MEBI_TRY(measure_place(s, class_index, i, j, &rate));
        }
    keep_faster(&rate, &s->of[class_index]);
    s->done++;
    if (s->how->progress) s->how->progress(s->how->context, (double)s->done / s->classes);
    return MEBI_OK;
}

/* ---- the whole ---- */

static int is_wanted(const mebi__rates *r, int i) {
    return !r->of[i].rows && (r->asked[i] || mebi__sample_is_usual(i));
}

static double fastest(const mebi__rate *rate) {
    double best = 0;
    for (int j = 0; j < rate->columns; j++)
        for (int i = 0; i < rate->rows; i++) best = fmax(best, 1 / rate->seconds[j][i]);
    return best;
}

/* For classes that are asked for later. */
static void conclude(mebi__rates *r, double call) {
    mebi__roofline *f = &r->roofline;
    for (int i = 0; i < MEBI__RATE_CLASSES; i++) {
        const mebi__rate *rate = &r->of[i];
        const mebi__rate_name name = mebi__rate_name_of(i);
        if (!rate->rows) continue;
        if (i == MEBI__F32) f->f32 = fastest(rate);
        if (i == MEBI__BF16) f->bf16 = fastest(rate);
        if (strcmp(name.text, "LINEAR_INT8") == 0) f->int8 = fastest(rate);
        if (strcmp(name.text, "COPY") == 0) f->bytes = 1 / rate->seconds[0][rate->rows - 1];
    }
    if (call > 0) f->call = fmin(call, 1e-3);
}

static mebi_status measure_call(session *s, double *seconds) {
    mebi__sample sample = {.bytes = 128};
    mebi__view x = {.buffer = s->memory, .dtype = MEBI__F32, .shape = {.rank = 1, .dim = {16}}}, y = x;
    y.offset = 64;
    sample.op = (mebi__op){.kind = MEBI__OP_COPY, .x = x, .y = y};
    return measure(s, &sample, seconds);
}

static mebi_status measure_all(session *s) {
    double call;
    for (int i = 0; i < MEBI__RATE_CLASSES; i++) s->classes += ROUNDS * is_wanted(s->rates, i);
    MEBI_TRY(take_memory(s));
    MEBI_TRY(measure_call(s, &call));
    for (int round = 0; round < ROUNDS; round++) {
        if (round > 0 && now(s) - s->began > s->seconds) break; /* a slow machine */
        for (int i = 0; i < MEBI__RATE_CLASSES; i++)
            if (is_wanted(s->rates, i)) MEBI_TRY(measure_class(s, i));
    }
    for (int i = 0; i < MEBI__RATE_CLASSES; i++)
        if (s->of[i].rows) s->rates->of[i] = s->of[i];
    conclude(s->rates, call);
    return MEBI_OK;
}

mebi_status mebi__calibrate(const mebi__calibration *how, mebi__rates *r, mebi_error *err) {
    session s = {.how = how, .rates = r, .err = err};
    s.began = now(&s);
    s.seconds = how->seconds > 0 ? how->seconds : usual_seconds;
    mebi_status status = measure_all(&s);
    if (s.memory) how->device->table->buffer_destroy(how->device, s.memory);
    return status;
}

/* Choosing a way. Must never take one that does not fit because it is fast. */
#include "plan/ladder.h"

size_t mebi__rung_need(const mebi__rung *r) {
    return r->own_bytes + r->system_bytes + r->dit_file_bytes + r->encoder_file_bytes;
}

/* ---- one way ---- */

/* Which mapped bytes are held at once. */
static void count_files(const mebi__pipeline *p, mebi__rung *r) {
    int streamed = r->weights == MEBI__WEIGHTS_STREAMED;
    int encoding = r->shape.encode || r->shape.encode_negative;
    const mebi__params *dit = &p->dit.params, *encoder = &p->encoder.params;
    r->dit_file_bytes = streamed ? mebi__params_window_bytes(dit) : mebi__params_file_bytes(dit);
    r->encoder_file_bytes = !encoding  ? 0
                            : streamed ? mebi__params_window_bytes(encoder)
                                       : mebi__params_file_bytes(encoder);
    if (r->weights == MEBI__WEIGHTS_RESIDENT) return;
    /* The encoder's are gone when the transformer's come. */
    if (r->dit_file_bytes >= r->encoder_file_bytes) r->encoder_file_bytes = 0;
    else r->dit_file_bytes = 0;
}

/* Reading hides behind arithmetic, or arithmetic behind reading. */
static double larger_time(double a, double b) {
    return a > b ? a : b;
}

static void count_seconds(const mebi__pipeline *p, mebi__rung *r, const mebi__rates *rates, int count) {
    const mebi__job_plan *c = &r->cost;
    int batches = (count + r->shape.batch - 1) / r->shape.batch, steps = r->shape.how.steps;
    r->encode_seconds = c->encode.seconds;
    r->step_seconds = c->denoise.seconds / (steps - r->shape.how.first_step);
    r->decode_seconds = c->decode.seconds;
    if (r->weights == MEBI__WEIGHTS_STREAMED) {
        double disk = rates->roofline.file_bytes;
        int passes = r->shape.negative_tokens > 0 && !r->shape.way.together ? 2 : 1;
        int prompts = r->shape.encode + r->shape.encode_negative;
        double dit = (double)mebi__params_file_bytes(&p->dit.params) / disk;
        double encoder = (double)mebi__params_file_bytes(&p->encoder.params) / disk;
        r->step_seconds = larger_time(r->step_seconds, passes * dit);
        r->encode_seconds = larger_time(r->encode_seconds, prompts * encoder);
    }
    r->encode_seconds += c->prepare.seconds;
    double total = r->encode_seconds + c->preview_fit.seconds + batches * steps * r->step_seconds + count * r->decode_seconds;
    /* Rates are not so exact that a hundredth counts; then what is simpler is better. */
    if (r->weights == MEBI__WEIGHTS_STREAMED) total *= 1.03;
    if (r->shape.way.small_chunks) total *= 1.01;
    r->effort = total * (1 + 0.005 * r->shape.way.vae);
}

static size_t own_bytes(const mebi__rung *r, const mebi__ladder_limits *limits, int channels) {
    size_t scratch = r->cost.scratch_bytes > limits->scratch ? r->cost.scratch_bytes - limits->scratch : 0;
    size_t latent = (size_t)(r->shape.how.latent_height * r->shape.how.latent_width) *
                    (size_t)channels * sizeof(float);
    return limits->held + scratch + r->cost.arena_bytes + latent * (size_t)r->shape.batch;
}

/* ---- all ways ---- */

typedef struct climb {
    const mebi__pipeline *p;
    mebi__device *target;
    const mebi__ladder_limits *limits;
    int count;
    mebi__rung *best;
    int found;
    int any; /* 1: *best is set */
} climb;

static void consider(climb *c, mebi__rung *r) {
    for (int w = 0; w < MEBI__WEIGHTS_WAYS; w++) {
        if (c->limits->weights >= 0 && w != c->limits->weights) continue;
        /* Together pays where weights are read again for each pass. */
        if (r->shape.way.together && w != MEBI__WEIGHTS_STREAMED) continue;
        r->weights = (mebi__weights_way)w;
        r->shape.way.stream = w == MEBI__WEIGHTS_STREAMED;
        r->shape.way.free_encoder = w != MEBI__WEIGHTS_RESIDENT;
        count_files(c->p, r);
        count_seconds(c->p, r, c->limits->rates, c->count);
        if (r->own_bytes >= c->limits->below) continue;
        int fits = mebi__rung_need(r) <= c->limits->budget;
        int better = fits ? !c->found || r->effort < c->best->effort
                          : !c->found && (!c->any || mebi__rung_need(r) < mebi__rung_need(c->best));
        if (!better) continue;
        *c->best = *r;
        c->found |= fits;
        c->any = 1;
    }
}

/* One way of working, with each way of holding weights. */
static mebi_status try_way(climb *c, const mebi__job_shape *shape, mebi__strategy way, mebi_error *err) {
    mebi__rung r = {.shape = *shape};
    r.shape.way = way;
    r.shape.batch = way.together ? c->count : 1;
    MEBI_TRY(mebi__plan_job(c->p, c->target, c->limits->rates, &r.shape, &r.cost, err));
    r.system_bytes = c->limits->tables + r.cost.arena_bytes / 512; /* 8 bytes a page, at most */
    r.own_bytes = own_bytes(&r, c->limits, c->p->dit.config.channels);
    consider(c, &r);
    return MEBI_OK;
}

/* All of them but the fastest and the smallest, which have been tried. They stand from fast to slow, so that the
 * first in which weights stay is the one. */
static mebi_status try_others(climb *c, const mebi__job_shape *shape, int first, int last,
                              mebi_error *err) {
    int several = c->count > 1 || shape->negative_tokens > 0;
    for (int together = 0; together <= several; together++)
        for (int vae = first; vae <= last; vae++)
            for (int chunks = 0; chunks < 2; chunks++) {
                int fastest = !together && !chunks && vae == first;
                int smallest = !together && chunks && vae == last;
                mebi__strategy way = {
                    .together = together, .small_chunks = chunks, .vae = (mebi__vae_way)vae};
                if (!fastest && !smallest) MEBI_TRY(try_way(c, shape, way, err));
                if (!together && c->best->weights != MEBI__WEIGHTS_STREAMED &&
                    c->best->shape.way.vae == way.vae && c->best->shape.way.small_chunks == chunks)
                    return MEBI_OK;
            }
    return MEBI_OK;
}

mebi_status mebi__ladder_choose(const mebi__pipeline *p, mebi__device *target,
                                const mebi__job_shape *shape, int count,
                                const mebi__ladder_limits *limits, mebi__rung *out, int *found,
                                mebi_error *err) {
    climb c = {.p = p, .target = target, .limits = limits, .count = count, .best = out};
    int any = limits->decode < 0, first = any ? 0 : limits->decode;
    int last = any ? MEBI__VAE_WAYS - 1 : limits->decode;
    mebi__strategy fastest = {.vae = (mebi__vae_way)first};
    mebi__strategy smallest = {.small_chunks = 1, .vae = (mebi__vae_way)last};
    MEBI_TRY(try_way(&c, shape, fastest, err));
    /* Nothing is faster than everything at once, all of it in memory; nothing takes less than the smallest. */
    if (!(c.found && out->weights == MEBI__WEIGHTS_RESIDENT)) {
        MEBI_TRY(try_way(&c, shape, smallest, err));
        if (c.found) MEBI_TRY(try_others(&c, shape, first, last, err));
    }
    *found = c.found;
    if (!c.any) return mebi__fail(err, MEBI_NO_MEMORY, "There is no smaller way to do this job.");
    return MEBI_OK;
}

/* The decoder in strips of rows. Must give the bits that the whole way gives: a convolution sees
 * the rows it would see, and statistics are those of whole images.
 *
 * Whole images live in one block, the ground: at most two at a time, one at each end, so that
 * nothing is ever lost between them. Its size is decided before the first operation; what then fits
 * is kept, and what doesn't is computed again:
 *
 *   - conv1's result b. Kept, it lies at the other end than x. Else conv1 runs twice, strip by
 * strip: once for norm2's statistics alone, once for norm2 and conv2 behind it.
 *   - the doubled image at a level's begin. Else the first resnet doubles the small image x of the
 * level before as it goes, three times: for norm1's statistics, for conv1, and for the sum at the
 * end; b lies at the other end, and becomes the result.
 *
 * Rows between strips are not computed twice: a window slides over the image and keeps its last
 * rows. Strips are as high as the ground between the two images allows, and never lower than
 * STRIP_BYTES or so. */
#include "model/vae_strips.h"

#include <assert.h>

enum {
    STRIP_BYTES = 4 << 20, /* of a strip's widest tensor */
    STRIP_PART = 16,       /* of the image, a strip is at most this part */
    STRIP_ROWS = 8,        /* but it has so many rows: fewer would copy more than they compute */
    STRIP_PIXELS = 1024,   /* and so many pixels: convolutions pack their weights for each strip */
    DOUBLED_PIXELS = 1 << 16, /* of a strip that takes no memory */
};

static const mebi__view none = {0};
static const float norm_eps = 1e-6f;

typedef struct strips {
    mebi__stream *s;
    int groups;
    mebi__view ground; /* f32 [elements] */
    int64_t room;      /* bytes of it */
    int64_t low, high; /* of these nothing is in use */
} strips;

/* A whole image [h,w,C] at one end of the ground. */
typedef struct image {
    mebi__view v;
    int end; /* 0 or 1 */
} image;

/* ---- what fits ---- */

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Bytes of an image in the ground. Sides and channels are far below what could overflow. */
static int64_t bytes_of(int64_t h, int64_t w, int64_t c) {
    int64_t bytes = h * w * c * (int64_t)sizeof(float);
    return (bytes + MEBI__ARENA_ALIGN - 1) / MEBI__ARENA_ALIGN * MEBI__ARENA_ALIGN;
}

/* Rows of a strip: even. */
static int64_t strip_rows(int64_t h, int64_t w, int64_t c) {
    int64_t rows = smaller(STRIP_BYTES / (w * c * (int64_t)sizeof(float)), h / STRIP_PART);
    rows = larger(larger(rows, STRIP_ROWS), STRIP_PIXELS / w);
    return (rows + 1) / 2 * 2;
}

/* What the middle's attention takes with queries of so many rows: x, k, v, and two strips. */
static int64_t attention_bytes(int64_t h, int64_t w, int64_t c, int64_t rows) {
    return bytes_of(h, w, c) + bytes_of(2 * h + 2 * rows, w, c);
}

/* At a level's first resnet: the small image, the doubled one, and what the resnet makes. */
typedef struct level_bytes {
    int64_t small, doubled, out;
} level_bytes;

static level_bytes level_bytes_of(const mebi__vae_resnet *r, int64_t h, int64_t w) {
    return (level_bytes){bytes_of(h / 2, w / 2, r->in), bytes_of(h, w, r->in),
                         bytes_of(h, w, r->out)};
}

/* Bytes that hold the doubled image, between the small one and the result. */
static int64_t bytes_doubled(level_bytes b) {
    return b.doubled + larger(b.small, b.out);
}

static int64_t room_for(const mebi__vae *m, mebi__vae_way way, int64_t h, int64_t w) {
    const mebi__vae_level *l = m->decoder.level;
    int64_t c = m->decoder.middle.before.in, rows = smaller(h, strip_rows(h, w, c));
    int64_t room = larger(attention_bytes(h, w, c, rows), 2 * bytes_of(h, w, c));
    for (int i = 1; i < m->config.levels; i++) {
        h *= 2, w *= 2;
        level_bytes b = level_bytes_of(&l[i].resnet[0], h, w);
        room = larger(room, b.small + b.out);
        if (way == MEBI__VAE_STRIPS) room = larger(room, larger(bytes_doubled(b), 2 * b.out));
    }
    return room;
}

/* An image at one end of the ground; nothing is known of what it held. */
static image place(const strips *d, int end, int64_t h, int64_t w, int64_t c) {
    image x = {.v = d->ground, .end = end};
    int64_t bytes = bytes_of(h, w, c);
    assert(bytes <= d->room);
    x.v.shape = (mebi__shape){3, {h, w, c}};
    if (end) x.v.offset += (size_t)(d->room - bytes);
    return x;
}

/* Between an image at x's end and one of other_bytes at the other. */
static void free_between(strips *d, const image *x, int64_t other_bytes) {
    int64_t bytes = bytes_of(x->v.shape.dim[0], x->v.shape.dim[1], x->v.shape.dim[2]);
    d->low = x->end ? other_bytes : bytes;
    d->high = d->room - (x->end ? bytes : other_bytes);
}

/* Rows of a strip whose windows have so many channels together; `widest` in one. More than h: one
 * strip. */
static int64_t rows_between(const strips *d, int64_t h, int64_t w, int64_t channels,
                            int64_t widest) {
    int64_t row = w * channels * (int64_t)sizeof(float);
    int64_t rows = ((d->high - d->low - 2 * MEBI__ARENA_ALIGN) / row - 2) / 2 * 2;
    return rows >= h ? (h + 3) / 2 * 2 : larger(rows, strip_rows(h, w, widest));
}

/* [rows,w,C] from the ground if it has room, else from the arena. Given back in reverse order. */
static mebi__view take_rows(strips *d, int64_t rows, int64_t w, int64_t c) {
    mebi__view v = d->ground;
    int64_t bytes = bytes_of(rows, w, c);
    if (bytes > d->high - d->low) return mebi__take3(d->s, MEBI__F32, rows, w, c);
    v.offset += (size_t)d->low;
    v.shape = (mebi__shape){3, {rows, w, c}};
    d->low += bytes;
    return v;
}

static void give_rows(strips *d, mebi__view *v) {
    size_t begin = d->ground.offset;
    if (v->buffer && v->offset >= begin && v->offset < begin + (size_t)d->room) {
        d->low = (int64_t)(v->offset - begin);
        *v = none;
    }
    mebi__give(d->s, v);
}

/* ---- windows ---- */

/* Rows [first, end) of an image. */
typedef struct window {
    mebi__view rows;
    int64_t first, end;
} window;

/* Of strips of so many rows, and one more above and below. */
static window take_window(strips *d, int64_t rows, int64_t h, int64_t w, int64_t c) {
    return (window){.rows = take_rows(d, smaller(rows + 2, h), w, c)};
}

/* Drops the rows before `first` and makes room for those up to `end`: the new ones. Returns whether
 * there are any. */
static int slide(mebi__stream *s, window *win, int64_t first, int64_t end, mebi__view *fresh) {
    int64_t shift = first - win->first, kept = win->end - first;
    if (win->end >= end || s->status != MEBI_OK) return 0;
    if (shift > 0) {
        mebi__copy(s, mebi__view_rows(win->rows, shift, kept), mebi__view_rows(win->rows, 0, kept));
        win->first = first;
    }
    *fresh = mebi__view_rows(win->rows, kept, end - win->end);
    win->end = end;
    return 1;
}

/* y = rows [r0, r1) of the convolution of an image of h rows, whose window holds a row more on
 * either side
 * (+ residual). */
static void conv_rows(mebi__stream *s, const mebi__vae_conv *conv, const window *in, int64_t r0,
                      int64_t r1, int64_t h, mebi__view residual, mebi__view y) {
    const mebi__conv_params params = {
        .stride = 1, .top = r0 == 0, .left = 1, .bottom = r1 == h, .right = 1, .upsample = 1};
    int64_t first = larger(r0 - 1, 0), end = smaller(r1 + 1, h);
    mebi__conv2d(s, mebi__view_rows(in->rows, first - in->first, end - first), conv->w, conv->b,
                 residual, params, y);
}

/* y = rows [first, end) of the doubled image, [.,2w,C]. Inside the image both are odd: a doubled
 * row and the one after it look at the same small rows, and so do the rows here. */
static void double_rows(mebi__stream *s, const mebi__vae_conv *conv, mebi__view small,
                        int64_t first, int64_t end, mebi__view y) {
    int64_t h = small.shape.dim[0], from = first / 2, to = (end + 1) / 2;
    const mebi__conv_params params = {.stride = 1,
                                      .top = first == 0,
                                      .left = 1,
                                      .bottom = end == 2 * h,
                                      .right = 1,
                                      .upsample = 2};
    assert((first == 0 || first % 2 == 1) && (end == 2 * h || end % 2 == 1));
    mebi__conv2d(s, mebi__view_rows(small, from, to - from), conv->w, conv->b, none, params, y);
}

/* The end of the strip that begins at r0; odd: where doubled rows may be cut. */
static int64_t strip_end(int64_t r0, int64_t rows, int64_t h, int odd) {
    return smaller(h, r0 + rows - (odd && r0 == 0));
}

/* ---- a resnet ---- */

/* What a resnet works on: an image, or a small one to be doubled as it goes. */
typedef struct source {
    mebi__view x;
    const mebi__vae_conv *doubling; /* NULL: x is the image */
} source;

typedef struct resnet_job {
    const mebi__vae_resnet *r;
    source from;
    int64_t h, w, rows; /* of the image; of a strip */
    mebi__view sums1, sums2;
} resnet_job;

/* Rows [first, end) of the image; doubled ones are made in `space`. */
static mebi__view source_rows(mebi__stream *s, const source *from, int64_t first, int64_t end,
                              mebi__view space) {
    if (!from->doubling) return mebi__view_rows(from->x, first, end - first);
    mebi__view y = mebi__view_rows(space, 0, end - first);
    double_rows(s, from->doubling, from->x, first, end, y);
    return y;
}

static void normalize(mebi__stream *s, mebi__view x, mebi__view sums, const mebi__vae_norm *norm,
                      int silu, mebi__view y) {
    mebi__group_norm(s, x, sums, norm->w, norm->b, norm_eps, silu, y);
}

static void sum_source(strips *d, const resnet_job *j) {
    mebi__stream *s = d->s;
    if (!j->from.doubling) {
        mebi__group_sums(s, j->from.x, 0, j->sums1);
        return;
    }
    mebi__view space = take_rows(d, smaller(j->rows, j->h), j->w, j->r->in);
    for (int64_t r0 = 0, r1; r0 < j->h && s->status == MEBI_OK; r0 = r1) {
        r1 = strip_end(r0, j->rows, j->h, 1);
        mebi__group_sums(s, source_rows(s, &j->from, r0, r1, space), r0 > 0, j->sums1);
        mebi__stream_submit(s);
    }
    give_rows(d, &space);
}

/* conv1 of all rows, and norm2's statistics; b none: those alone. */
static void run_first_half(strips *d, const resnet_job *j, mebi__view b) {
    mebi__stream *s = d->s;
    const mebi__vae_resnet *r = j->r;
    int64_t h = j->h;
    window a = take_window(d, j->rows, h, j->w, r->in);
    mebi__view space = none, fresh;
    if (!b.buffer) space = take_rows(d, smaller(j->rows, h), j->w, r->out);
    for (int64_t r0 = 0, r1; r0 < h && s->status == MEBI_OK; r0 = r1) {
        r1 = strip_end(r0, j->rows, h, 0);
        int64_t ready = a.end;
        if (slide(s, &a, larger(r0 - 1, 0), smaller(r1 + 1, h), &fresh))
            normalize(s, source_rows(s, &j->from, ready, a.end, fresh), j->sums1, &r->norm1, 1,
                      fresh);
        mebi__view y =
            b.buffer ? mebi__view_rows(b, r0, r1 - r0) : mebi__view_rows(space, 0, r1 - r0);
        conv_rows(s, &r->conv1, &a, r0, r1, h, none, y);
        mebi__group_sums(s, y, r0 > 0, j->sums2);
        mebi__stream_submit(s);
    }
    give_rows(d, &space);
    give_rows(d, &a.rows);
}

/* The rest, from b: the sum takes x's place where it can, else that of b, whose rows the window has
 * read. */
static void run_second_half(strips *d, const resnet_job *j, mebi__view b) {
    static const mebi__conv_params same1 = {.stride = 1, .upsample = 1};
    mebi__stream *s = d->s;
    const mebi__vae_resnet *r = j->r;
    int64_t h = j->h;
    int doubled = j->from.doubling != NULL;
    window c = take_window(d, j->rows, h, j->w, r->out);
    mebi__view space = none, fresh;
    if (doubled) space = take_rows(d, smaller(j->rows, h), j->w, r->in);
    for (int64_t r0 = 0, r1; r0 < h && s->status == MEBI_OK; r0 = r1) {
        r1 = strip_end(r0, j->rows, h, doubled);
        int64_t ready = c.end;
        if (slide(s, &c, larger(r0 - 1, 0), smaller(r1 + 1, h), &fresh))
            normalize(s, mebi__view_rows(b, ready, c.end - ready), j->sums2, &r->norm2, 1, fresh);
        mebi__view x = source_rows(s, &j->from, r0, r1, space), y = x;
        if (doubled || r->in != r->out) y = mebi__view_rows(b, r0, r1 - r0);
        if (r->in != r->out) mebi__conv2d(s, x, r->shortcut.w, r->shortcut.b, none, same1, y);
        conv_rows(s, &r->conv2, &c, r0, r1, h, r->in != r->out ? y : x, y);
        mebi__stream_submit(s);
    }
    give_rows(d, &space);
    give_rows(d, &c.rows);
}

/* All of it from x, in place, conv1 again: c's rows are one ahead of the sum, and a's one ahead of
 * c's. */
static void run_again(strips *d, const resnet_job *j) {
    mebi__stream *s = d->s;
    const mebi__vae_resnet *r = j->r;
    int64_t h = j->h;
    window a = take_window(d, j->rows, h, j->w, r->in),
           c = take_window(d, j->rows, h, j->w, r->out);
    mebi__view fresh;
    for (int64_t r0 = 0, r1; r0 < h && s->status == MEBI_OK; r0 = r1) {
        r1 = strip_end(r0, j->rows, h, 0);
        int64_t first = c.end, end = smaller(r1 + 1, h), ready = a.end;
        if (first < end && slide(s, &a, larger(first - 1, 0), smaller(end + 1, h), &fresh))
            normalize(s, mebi__view_rows(j->from.x, ready, a.end - ready), j->sums1, &r->norm1, 1,
                      fresh);
        if (slide(s, &c, larger(r0 - 1, 0), end, &fresh)) {
            conv_rows(s, &r->conv1, &a, first, end, h, none, fresh);
            normalize(s, fresh, j->sums2, &r->norm2, 1, fresh);
        }
        mebi__view x = mebi__view_rows(j->from.x, r0, r1 - r0);
        conv_rows(s, &r->conv2, &c, r0, r1, h, x, x);
        mebi__stream_submit(s);
    }
    give_rows(d, &c.rows);
    give_rows(d, &a.rows);
}

/* *x becomes the resnet of it, or, with a doubling, of what it is doubled to. */
static void run_resnet(strips *d, const mebi__vae_resnet *r, const mebi__vae_conv *doubling,
                       image *x) {
    mebi__stream *s = d->s;
    int64_t scale = doubling ? 2 : 1, h = x->v.shape.dim[0] * scale, w = x->v.shape.dim[1] * scale;
    int moves = doubling || r->in != r->out; /* the result takes b's place */
    int keeps = moves || bytes_of(h, w, r->in) + bytes_of(h, w, r->out) <= d->room;
    resnet_job j = {.r = r, .from = {x->v, doubling}, .h = h, .w = w};
    if (s->status != MEBI_OK) return;
    free_between(d, x, keeps ? bytes_of(h, w, r->out) : 0);
    j.rows = rows_between(d, h, w, r->in + r->out, larger(r->in, r->out));
    j.sums1 = mebi__take2(s, MEBI__F64, d->groups, 3);
    j.sums2 = mebi__take2(s, MEBI__F64, d->groups, 3);
    sum_source(d, &j);
    if (keeps) {
        image b = place(d, !x->end, h, w, r->out);
        run_first_half(d, &j, b.v);
        run_second_half(d, &j, b.v);
        if (moves) *x = b;
    } else {
        run_first_half(d, &j, none);
        run_again(d, &j);
    }
    mebi__give(s, &j.sums2);
    mebi__give(s, &j.sums1);
}

/* ---- the middle ---- */

/* n[rows * w, C] = the norm of rows [r0, r0 + rows) of x. */
static mebi__view norm_rows(mebi__stream *s, mebi__view x, mebi__view sums,
                            const mebi__vae_norm *norm, int64_t r0, int64_t rows, mebi__view n) {
    mebi__view y = mebi__view_rows(n, 0, rows);
    normalize(s, mebi__view_rows(x, r0, rows), sums, norm, 0, y);
    return mebi__view_as(y, 2, (int64_t[]){rows * x.shape.dim[1], x.shape.dim[2]});
}

static mebi__view flat(mebi__view v, int64_t first, int64_t rows) {
    return mebi__view_as(mebi__view_rows(v, first, rows), 2,
                         (int64_t[]){rows * v.shape.dim[1], v.shape.dim[2]});
}

/* x += o(attention(q, k, v)): k and v are whole, queries come in as many rows as there is room for.
 */
static void attend(const strips *d, const mebi__vae_middle *m, image *x) {
    mebi__stream *s = d->s;
    int64_t h = x->v.shape.dim[0], w = x->v.shape.dim[1], c = x->v.shape.dim[2];
    int64_t rows = h;
    if (attention_bytes(h, w, c, rows) > d->room) rows = smaller(h, strip_rows(h, w, c));
    mebi__view all = place(d, !x->end, 2 * h + 2 * rows, w, c).v;
    mebi__view k = mebi__view_rows(all, 0, h), v = mebi__view_rows(all, h, h);
    mebi__view n = mebi__view_rows(all, 2 * h, rows), q = mebi__view_rows(all, 2 * h + rows, rows);
    mebi__view sums = mebi__take2(s, MEBI__F64, d->groups, 3);
    mebi__group_sums(s, x->v, 0, sums);
    for (int64_t r0 = 0; r0 < h && s->status == MEBI_OK; r0 += rows) {
        int64_t count = smaller(rows, h - r0);
        mebi__view part = norm_rows(s, x->v, sums, &m->norm, r0, count, n);
        mebi__linear(s, part, m->k_w, m->k_b, flat(k, r0, count));
        mebi__linear(s, part, m->v_w, m->v_b, flat(v, r0, count));
        mebi__stream_submit(s);
    }
    for (int64_t r0 = 0; r0 < h && s->status == MEBI_OK; r0 += rows) {
        int64_t count = smaller(rows, h - r0);
        mebi__view part = norm_rows(s, x->v, sums, &m->norm, r0, count, n),
                   query = flat(q, 0, count);
        mebi__linear(s, part, m->q_w, m->q_b, query);
        mebi__attention(s, query, flat(k, 0, h), flat(v, 0, h), 1, 1, 0, part);
        mebi__linear(s, part, m->o_w, m->o_b, query);
        mebi__combine(s, 1, query, 1, flat(x->v, r0, count));
        mebi__stream_submit(s);
    }
    mebi__give(s, &sums);
}

/* ---- the whole ---- */

static void double_image(const strips *d, const mebi__vae_conv *conv, image *x) {
    int64_t h = 2 * x->v.shape.dim[0], w = 2 * x->v.shape.dim[1], c = conv->b.shape.dim[0];
    int64_t rows = larger(DOUBLED_PIXELS / w / 2 * 2, STRIP_ROWS);
    image y = place(d, !x->end, h, w, c);
    for (int64_t r0 = 0, r1; r0 < h && d->s->status == MEBI_OK; r0 = r1) {
        r1 = strip_end(r0, rows, h, 1);
        double_rows(d->s, conv, x->v, r0, r1, mebi__view_rows(y.v, r0, r1 - r0));
        mebi__stream_submit(d->s);
    }
    *x = y;
}

/* The levels, each with the doubling before it. */
static void run_levels(strips *d, const mebi__vae *m, image *x) {
    const mebi__vae_level *l = m->decoder.level;
    for (int i = 0; i < m->config.levels && d->s->status == MEBI_OK; i++) {
        const mebi__vae_conv *doubling = i > 0 ? &l[i - 1].resample : NULL;
        int64_t h = x->v.shape.dim[0] * 2, w = x->v.shape.dim[1] * 2;
        if (doubling && bytes_doubled(level_bytes_of(&l[i].resnet[0], h, w)) <= d->room) {
            double_image(d, doubling, x);
            mebi__stage(d->s, "vae.up", i - 1, x->v);
            doubling = NULL;
        }
        for (int n = 0; n < l[i].resnets; n++)
            run_resnet(d, &l[i].resnet[n], n ? NULL : doubling, x);
    }
    mebi__stage(d->s, "vae.up", m->config.levels - 1, x->v);
}

/* picture = conv(silu(norm(x))). */
static void run_out(strips *d, const mebi__vae_half *half, const image *of, mebi__view picture) {
    mebi__stream *s = d->s;
    mebi__view x = of->v;
    int64_t h = x.shape.dim[0], w = x.shape.dim[1], c = x.shape.dim[2];
    if (s->status != MEBI_OK) return;
    free_between(d, of, 0);
    int64_t rows = rows_between(d, h, w, c, c);
    mebi__view sums = mebi__take2(s, MEBI__F64, d->groups, 3), fresh;
    window a = take_window(d, rows, h, w, c);
    mebi__group_sums(s, x, 0, sums);
    for (int64_t r0 = 0, r1; r0 < h && s->status == MEBI_OK; r0 = r1) {
        r1 = strip_end(r0, rows, h, 0);
        int64_t ready = a.end;
        if (slide(s, &a, larger(r0 - 1, 0), smaller(r1 + 1, h), &fresh))
            normalize(s, mebi__view_rows(x, ready, a.end - ready), sums, &half->norm_out, 1, fresh);
        conv_rows(s, &half->out, &a, r0, r1, h, none, mebi__view_rows(picture, r0, r1 - r0));
        mebi__stream_submit(s);
    }
    give_rows(d, &a.rows);
    mebi__give(s, &sums);
}

void mebi__vae_decode_strips(mebi__stream *s, const mebi__vae *m, mebi__vae_way way,
                             mebi__view latent, mebi__view picture) {
    static const mebi__conv_params same3 = {
        .stride = 1, .top = 1, .left = 1, .bottom = 1, .right = 1, .upsample = 1};
    const mebi__vae_half *half = &m->decoder;
    int64_t h = latent.shape.dim[0], w = latent.shape.dim[1];
    strips d = {.s = s, .groups = m->config.groups, .room = room_for(m, way, h, w)};
    d.ground = mebi__take1(s, MEBI__F32, d.room / (int64_t)sizeof(float));
    image x = place(&d, 0, h, w, half->middle.before.in);
    mebi__conv2d(s, latent, half->in.w, half->in.b, none, same3, x.v);
    mebi__stage(s, "vae.conv_in", -1, x.v);
    run_resnet(&d, &half->middle.before, NULL, &x);
    if (s->status == MEBI_OK) attend(&d, &half->middle, &x);
    run_resnet(&d, &half->middle.after, NULL, &x);
    mebi__stage(s, "vae.mid", -1, x.v);
    run_levels(&d, m, &x);
    run_out(&d, half, &x, picture);
    mebi__stage(s, "decoded", -1, picture);
    mebi__give(s, &d.ground);
    mebi__stream_submit(s);
}

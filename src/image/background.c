/* A picture's background and what stands before it: uniformity, blotches, objects, their colour.
 * The background is what most of the border shows; a picture that fills its frame has none. */
#include "base/memory.h"
#include "image/cells.h"

#include <math.h>
#include <stdlib.h>

enum { BACKGROUND, OBJECT, NEAR, COUNTED, STAIN }; /* kinds of cells */

enum {
    NEAR_PIXELS = 8, /* around objects, where edges fade: */
    NEAR_CELLS = 3,
    BINS = 32, /* a channel, of the border's colours */
    CHROMA = 32,
};

typedef struct colour {
    double at[3];
} colour;

typedef struct scene {
    const mebi_image *image;
    mebi__cells cells;
    mebi__plane
        stain; /* how far a cell is from the background's plane: the channel that differs most */
    colour border;
    int least; /* cells of a part that counts */
} scene;

static double most_apart(const double *a, const double *b) {
    double most = 0;
    for (int c = 0; c < 3; c++) most = fmax(most, fabs(a[c] - b[c]));
    return most;
}

static const unsigned char *pixel(const mebi_image *image, int x, int y) {
    return image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
}

/* ---- the border ---- */

/* Calls visit for each pixel of the border. */
static void each_border_pixel(const mebi_image *image, void (*visit)(void *, const unsigned char *),
                              void *context) {
    int shorter = image->width < image->height ? image->width : image->height;
    int frame = shorter >= 128 ? shorter / 64 : 1;
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < image->width; x++) {
            if (x == frame && y >= frame && y < image->height - frame) x = image->width - frame;
            visit(context, pixel(image, x, y));
        }
}

typedef struct border {
    unsigned *bins; /* [BINS, BINS, BINS] */
    colour centre;
    double reach; /* levels from the centre: */
    double sum[3], inside, all;
} border;

static void count_bin(void *context, const unsigned char *p) {
    border *b = context;
    b->bins[((p[0] >> 3) * BINS + (p[1] >> 3)) * BINS + (p[2] >> 3)]++;
}

static void gather(void *context, const unsigned char *p) {
    border *b = context;
    double own[3] = {p[0], p[1], p[2]};
    b->all++;
    if (most_apart(own, b->centre.at) > b->reach) return;
    b->inside++;
    for (int c = 0; c < 3; c++) b->sum[c] += own[c];
}

/* The border's commonest colour; *share of the border's pixels have it. */
static mebi_status find_border(scene *s, double *share) {
    border b = {.bins = mebi__alloc_array(MEBI__TAG_OUTPUT, BINS * BINS * BINS, sizeof *b.bins)};
    int best = 0;
    if (!b.bins) return MEBI_NO_MEMORY;
    each_border_pixel(s->image, count_bin, &b);
    for (int i = 0; i < BINS * BINS * BINS; i++)
        if (b.bins[i] > b.bins[best]) best = i;
    mebi__free(b.bins);
    b.centre =
        (colour){{(best >> 10) * 8 + 3.5, (best >> 5 & 31) * 8 + 3.5, (best & 31) * 8 + 3.5}};
    /* To the middle of what lies around it; then all that is no object. */
    for (int i = 0; i < 4; i++) {
        b.reach = i < 3 ? 12 : MEBI_OBJECT_LEVELS;
        b.sum[0] = b.sum[1] = b.sum[2] = b.inside = b.all = 0;
        each_border_pixel(s->image, gather, &b);
        for (int c = 0; i < 3 && c < 3 && b.inside > 0; c++) b.centre.at[c] = b.sum[c] / b.inside;
    }
    s->border = b.centre;
    *share = b.inside / b.all;
    return MEBI_OK;
}

/* ---- kinds ---- */

static void cell_mean(const mebi__cells *g, int i, double mean[3]) {
    for (int c = 0; c < 3; c++) mean[c] = g->mean[c].at[i];
}

static void find_objects(scene *s, mebi_measures *m) {
    mebi__cells *g = &s->cells;
    int objects = 0, touching = 0, w = g->width, h = g->height;
    for (int i = 0; i < w * h; i++) {
        double mean[3];
        cell_mean(g, i, mean);
        g->kind[i] = most_apart(mean, s->border.at) >= MEBI_OBJECT_LEVELS ? OBJECT : BACKGROUND;
        if (g->kind[i] != OBJECT) continue;
        objects++;
        touching += i % w == 0 || i % w == w - 1 || i < w || i >= w * (h - 1);
    }
    m->object_share = (double)objects / ((double)w * h);
    m->cut = (double)touching / (2.0 * (w + h) - 4);
}

/* Fragments, objects, and those alike. */
static mebi_status count_objects(scene *s, mebi_measures *m) {
    mebi__parts parts = {.least = s->least};
    if (mebi__cells_join(&s->cells, OBJECT, COUNTED, NULL, &parts) != MEBI_OK)
        return MEBI_NO_MEMORY;
    const mebi__part *first = parts.part;
    for (int i = 0; i < parts.count; i++) {
        const mebi__part *p = &parts.part[i];
        if (4 * p->cells < first->cells) m->fragments++;
        else m->objects++;
        m->repeats +=
            i > 0 && 2.5 * p->cells >= first->cells && most_apart(p->mean, first->mean) < 60;
    }
    mebi__free(parts.part);
    return MEBI_OK;
}

/* ---- the background ---- */

/* Calls visit for each pixel of the cells of some kind. */
static void each_pixel(const scene *s, int kind, void (*visit)(void *, const unsigned char *),
                       void *context) {
    const mebi__cells *g = &s->cells;
    for (int y = 0; y < s->image->height; y++)
        for (int x = 0; x < s->image->width; x++)
            if (g->kind[y / g->side * g->width + x / g->side] == kind)
                visit(context, pixel(s->image, x, y));
}

typedef struct spread {
    colour centre;
    double sum[3], squares[3], off, all;
} spread;

static void add_colour(void *context, const unsigned char *p) {
    spread *s = context;
    s->all++;
    for (int c = 0; c < 3; c++) s->sum[c] += p[c];
}

static void add_difference(void *context, const unsigned char *p) {
    spread *s = context;
    double own[3] = {p[0], p[1], p[2]};
    for (int c = 0; c < 3; c++)
        s->squares[c] += (own[c] - s->centre.at[c]) * (own[c] - s->centre.at[c]);
    s->off += most_apart(own, s->centre.at) >= MEBI_BACKGROUND_LEVELS;
}

static void measure_uniformity(const scene *s, mebi_measures *m) {
    spread all = {0};
    each_pixel(s, BACKGROUND, add_colour, &all);
    for (int c = 0; c < 3; c++) {
        all.centre.at[c] = all.all > 0 ? all.sum[c] / all.all : s->border.at[c];
        m->background_colour[c] = (unsigned char)lround(all.centre.at[c]);
    }
    if (all.all == 0) return;
    each_pixel(s, BACKGROUND, add_difference, &all);
    m->background_share = all.all / ((double)s->image->width * s->image->height);
    m->background_deviation =
        sqrt((all.squares[0] + all.squares[1] + all.squares[2]) / (3 * all.all));
    m->background_off = all.off / all.all;
}

/* a + b x + c y, x and y from -1 to 1 over the picture. */
typedef struct slope {
    double a, b, c;
} slope;

static double place(int i, int n) {
    return n > 1 ? 2.0 * i / (n - 1) - 1 : 0;
}

/* Least squares over the background's cells, of one channel. The unknowns by elimination. */
static slope fit_plane(const mebi__cells *g, int channel) {
    double s = 0, x1 = 0, y1 = 0, xx = 0, yy = 0, xy = 0, z = 0, zx = 0, zy = 0;
    for (int i = 0; i < g->width * g->height; i++) {
        if (g->kind[i] != BACKGROUND) continue;
        double x = place(i % g->width, g->width), y = place(i / g->width, g->height);
        double v = g->mean[channel].at[i];
        s++, x1 += x, y1 += y, xx += x * x, yy += y * y, xy += x * y;
        z += v, zx += v * x, zy += v * y;
    }
    if (s == 0) return (slope){0};
    double cxx = xx - x1 * x1 / s, cyy = yy - y1 * y1 / s, cxy = xy - x1 * y1 / s;
    double czx = zx - z * x1 / s, czy = zy - z * y1 / s, d = cxx * cyy - cxy * cxy;
    slope f = {0};
    /* A background of one line of cells has no plane. */
    if (d > 1e-6 * s * s) f.b = (czx * cyy - czy * cxy) / d, f.c = (czy * cxx - czx * cxy) / d;
    f.a = (z - f.b * x1 - f.c * y1) / s;
    return f;
}

/* Mean difference from the plane over the 3x3 cells around one, as far as they are background. */
static double stain_at(const mebi__cells *g, const slope *plane, int channel, int x, int y) {
    double sum = 0;
    int count = 0;
    for (int v = y > 0 ? y - 1 : 0; v <= y + 1 && v < g->height; v++)
        for (int u = x > 0 ? x - 1 : 0; u <= x + 1 && u < g->width; u++) {
            int i = v * g->width + u;
            if (g->kind[i] != BACKGROUND && g->kind[i] != STAIN) continue;
            double at = plane->a + plane->b * place(u, g->width) + plane->c * place(v, g->height);
            sum += g->mean[channel].at[i] - at;
            count++;
        }
    return fabs(sum / count);
}

/* Marks the background's cells that stand out, after a plane through those that don't yet. Noise
 * that a mean of 3x3 cells leaves is no stain. */
static void mark_stains(scene *s, mebi_measures *m) {
    mebi__cells *g = &s->cells;
    slope plane[3];
    double least = fmax(MEBI_BLOTCH_LEVELS, 5 * m->noise / (3 * g->side));
    m->background_slope = 0;
    for (int c = 0; c < 3; c++) {
        plane[c] = fit_plane(g, c);
        m->background_slope =
            fmax(m->background_slope, 2 * fmax(fabs(plane[c].b), fabs(plane[c].c)));
    }
    for (int i = 0; i < g->width * g->height; i++) {
        s->stain.at[i] = 0;
        if (g->kind[i] != BACKGROUND && g->kind[i] != STAIN) continue;
        for (int c = 0; c < 3; c++) {
            double d = stain_at(g, &plane[c], c, i % g->width, i / g->width);
            s->stain.at[i] = (float)fmax(s->stain.at[i], d);
        }
    }
    for (int i = 0; i < g->width * g->height; i++)
        if (g->kind[i] == BACKGROUND || g->kind[i] == STAIN)
            g->kind[i] = s->stain.at[i] >= least ? STAIN : BACKGROUND;
}

static mebi_status find_blotches(scene *s, mebi_measures *m) {
    mebi__cells *g = &s->cells;
    mebi__parts parts = {.least = s->least};
    int background = 0, stained = 0;
    s->stain = mebi__plane_make(g->width, g->height);
    if (!s->stain.at) return MEBI_NO_MEMORY;
    for (int round = 0; round < 3; round++) mark_stains(s, m);
    for (int i = 0; i < g->width * g->height; i++)
        background += g->kind[i] == BACKGROUND || g->kind[i] == STAIN;
    if (mebi__cells_join(g, STAIN, COUNTED, &s->stain, &parts) != MEBI_OK) return MEBI_NO_MEMORY;
    for (int i = 0; i < parts.count; i++) {
        stained += parts.part[i].cells;
        m->blotch_levels = fmax(m->blotch_levels, parts.part[i].strength);
    }
    m->blotches = parts.count;
    m->blotch_share = background ? (double)stained / background : 0;
    mebi__free(parts.part);
    return MEBI_OK;
}

/* ---- colour ---- */

typedef struct hues {
    double sum[3], x, y, all;
    double centre; /* radians; for the second walk */
    double near;
} hues;

/* The hue as an angle, and the chroma, of a pixel: on the hexagon's plane. */
static double chroma_of(const unsigned char *p, double *angle) {
    double r = p[0], g = p[1], b = p[2];
    *angle = atan2(sqrt(3) * (g - b), 2 * r - g - b);
    return fmax(r, fmax(g, b)) - fmin(r, fmin(g, b));
}

static void add_hue(void *context, const unsigned char *p) {
    hues *h = context;
    double angle, chroma = chroma_of(p, &angle);
    h->all++;
    for (int c = 0; c < 3; c++) h->sum[c] += p[c];
    if (chroma < CHROMA) return;
    h->x += chroma * cos(angle);
    h->y += chroma * sin(angle);
}

static void add_near(void *context, const unsigned char *p) {
    hues *h = context;
    double angle, chroma = chroma_of(p, &angle);
    h->near += chroma >= CHROMA && fabs(remainder(angle - h->centre, 2 * acos(-1))) <= acos(-1) / 6;
}

static void measure_colour(const scene *s, mebi_measures *m) {
    hues h = {0};
    m->hue = -1;
    each_pixel(s, COUNTED, add_hue, &h);
    if (h.all == 0) return;
    for (int c = 0; c < 3; c++) m->object_colour[c] = (unsigned char)lround(h.sum[c] / h.all);
    if (h.x == 0 && h.y == 0) return;
    h.centre = atan2(h.y, h.x);
    each_pixel(s, COUNTED, add_near, &h);
    m->hue = h.centre * 180 / acos(-1);
    if (m->hue < 0) m->hue += 360;
    m->hue_share = h.near / h.all;
}

static mebi_status measure_scene(scene *s, mebi_measures *m) {
    mebi__cells *g = &s->cells;
    int cells = g->width * g->height, near = (NEAR_PIXELS + g->side - 1) / g->side;
    s->least = cells / 2000 > 4 ? cells / 2000 : 4;
    find_objects(s, m);
    mebi__cells_spread(g, OBJECT, near > NEAR_CELLS ? near : NEAR_CELLS, BACKGROUND, NEAR);
    if (count_objects(s, m) != MEBI_OK) return MEBI_NO_MEMORY;
    measure_colour(s, m);
    measure_uniformity(s, m);
    return find_blotches(s, m);
}

mebi_status mebi__measure_background(const mebi_image *image, mebi_measures *m) {
    scene s = {.image = image};
    double share;
    m->hue = -1;
    mebi_status status = find_border(&s, &share);
    if (status != MEBI_OK || share < 0.5) return status;
    m->background = 1;
    status = mebi__cells_make(image, &s.cells);
    if (status == MEBI_OK) status = measure_scene(&s, m);
    mebi__cells_release(&s.cells);
    mebi__plane_release(&s.stain);
    return status;
}

/* Edges, fine detail and noise of a picture's brightness, at 100 %. */
#include "base/memory.h"
#include "image/measure.h"

#include <math.h>

enum {
    WALK = 32,     /* pixels, most, from an edge's middle to its foot */
    WIDTHS = 1600, /* bins of edge widths: */
    WIDTHS_A_PIXEL = 20,
    NOISES = 4096, /* bins of Laplacians' difference: */
    NOISES_A_LEVEL = 4,
};

/* An edge has so much contrast, and in its middle rises by so much a pixel; its foot is where it
 * rises by less than the last. */
static const float edge_levels = 32, slope_levels = 1.5f, foot_levels = 0.25f;

/* The value that half of the counts lie below, between bins. */
static double median_of(const unsigned *bins, int count, double bins_a_unit) {
    double all = 0, before = 0;
    for (int i = 0; i < count; i++) all += bins[i];
    for (int i = 0; i < count; i++) {
        if (bins[i] && before + bins[i] >= all / 2)
            return (i + (all / 2 - before) / bins[i]) / bins_a_unit;
        before += bins[i];
    }
    return 0;
}

/* ---- octaves ---- */

static inline int mirror(int i, int n) {
    return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
}

/* One row of `from` blurred by 1 4 6 4 1 in both directions, its taps `step` apart, to `to`; spare
 * is as long. */
static void blur_row(const mebi__plane *from, int y, int step, float *spare, float *to) {
    int n = from->width;
    const float *row[5];
    for (int i = 0; i < 5; i++)
        row[i] = from->at + (size_t)mirror(y + (i - 2) * step, from->height) * (size_t)n;
    for (int x = 0; x < n; x++)
        spare[x] = (row[0][x] + row[4][x] + 4 * (row[1][x] + row[3][x]) + 6 * row[2][x]) / 16;
    for (int x = 0; x < n; x++)
        to[x] = (spare[mirror(x - 2 * step, n)] + spare[mirror(x + 2 * step, n)] +
                 4 * (spare[mirror(x - step, n)] + spare[mirror(x + step, n)]) + 6 * spare[x]) /
                16;
}

/* Mean square of what the blur takes from a plane; what it leaves goes to *left unless that is
 * NULL. rows: [2, width] */
static double octave(const mebi__plane *plane, int step, float *rows, mebi__plane *left) {
    double sum = 0;
    size_t n = (size_t)plane->width;
    for (int y = 0; y < plane->height; y++) {
        const float *own = plane->at + (size_t)y * n;
        float *blurred = left ? left->at + (size_t)y * n : rows + n;
        blur_row(plane, y, step, rows, blurred);
        for (size_t x = 0; x < n; x++) {
            double taken = (double)own[x] - blurred[x];
            sum += taken * taken;
        }
    }
    return sum / ((double)plane->width * plane->height);
}

static mebi_status measure_octaves(const mebi__plane *brightness, mebi_measures *m) {
    mebi__plane left = mebi__plane_make(brightness->width, brightness->height);
    mebi__plane rows = mebi__plane_make(brightness->width, 2);
    mebi_status status = left.at && rows.at ? MEBI_OK : MEBI_NO_MEMORY;
    if (status == MEBI_OK) {
        m->detail = octave(brightness, 1, rows.at, &left);
        m->detail_next = octave(&left, 2, rows.at, NULL);
    }
    mebi__plane_release(&left);
    mebi__plane_release(&rows);
    return status;
}

/* ---- edges ---- */

/* How far brightness goes on rising from *p in steps of `step`, times sign; at most `limit` steps.
 */
static float rise(const float *p, ptrdiff_t step, float sign, int limit) {
    float risen = 0;
    for (int i = 0; i < limit; i++, p += step) {
        float more = sign * (p[step] - p[0]);
        if (more < foot_levels) break;
        risen += more;
    }
    return risen;
}

static float slope_at(const mebi__plane *b, int x, int y) {
    const float *p = b->at + (ptrdiff_t)y * b->width + x;
    return hypotf((p[1] - p[-1]) / 2, (p[b->width] - p[-b->width]) / 2);
}

/* No neighbour across is steeper: the middle of an edge. Of two equal ones both are. On a slant the
 * pixels beside and above are the nearer ones. */
static int is_ridge(const mebi__plane *b, int x, int y, float own, int dx, int dy) {
    if (dx && (slope_at(b, x - 1, y) > own || slope_at(b, x + 1, y) > own)) return 0;
    return !dy || (slope_at(b, x, y - 1) <= own && slope_at(b, x, y + 1) <= own);
}

/* The width of the edge whose middle a pixel is, or 0 where there is none. Walks along the nearest
 * of the eight directions. */
static double edge_width_at(const mebi__plane *b, int x, int y) {
    ptrdiff_t n = b->width;
    const float *p = b->at + y * n + x;
    float gx = (p[1] - p[-1]) / 2, gy = (p[n] - p[-n]) / 2, slope = hypotf(gx, gy);
    if (slope < slope_levels) return 0;
    int dx = fabsf(gx) > 0.414f * fabsf(gy) ? (gx > 0) - (gx < 0) : 0;
    int dy = fabsf(gy) > 0.414f * fabsf(gx) ? (gy > 0) - (gy < 0) : 0;
    if (!is_ridge(b, x, y, slope, dx, dy)) return 0;
    /* As far as the picture goes, both ways. */
    int beside = x < b->width - 1 - x ? x : b->width - 1 - x;
    int above = y < b->height - 1 - y ? y : b->height - 1 - y;
    int room = beside < above ? beside : above;
    ptrdiff_t step = dy * n + dx;
    float contrast =
        rise(p, step, 1, room < WALK ? room : WALK) + rise(p, -step, -1, room < WALK ? room : WALK);
    if (contrast < edge_levels) return 0;
    /* Rounding to levels makes flat places in a gentle rise: the middle may be two pixels on. */
    for (int i = -2; i <= 2; i++)
        if (room > 2) slope = fmaxf(slope, slope_at(b, x + i * dx, y + i * dy));
    return contrast / slope;
}

static mebi_status measure_edges(const mebi__plane *b, mebi_measures *m) {
    unsigned *bins = mebi__alloc_array(MEBI__TAG_OUTPUT, WIDTHS, sizeof *bins);
    if (!bins) return MEBI_NO_MEMORY;
    for (int y = 2; y < b->height - 2; y++)
        for (int x = 2; x < b->width - 2; x++) {
            int bin = (int)(edge_width_at(b, x, y) * WIDTHS_A_PIXEL);
            if (bin > 0) bins[bin < WIDTHS ? bin : WIDTHS - 1]++;
        }
    m->edge_width = median_of(bins, WIDTHS, WIDTHS_A_PIXEL);
    m->sharpness = m->edge_width > 2 ? 2 / m->edge_width : m->edge_width > 0;
    mebi__free(bins);
    return MEBI_OK;
}

/* ---- noise ---- */

static mebi_status measure_noise(const mebi__plane *b, mebi_measures *m) {
    unsigned *bins = mebi__alloc_array(MEBI__TAG_OUTPUT, NOISES, sizeof *bins);
    if (!bins) return MEBI_NO_MEMORY;
    ptrdiff_t n = b->width;
    for (int y = 1; y < b->height - 1; y++)
        for (int x = 1; x < b->width - 1; x++) {
            const float *p = b->at + y * n + x;
            float corners = p[-n - 1] + p[-n + 1] + p[n - 1] + p[n + 1];
            float v = fabsf(corners - 2 * (p[-n] + p[-1] + p[1] + p[n]) + 4 * p[0]);
            int bin = (int)(v * NOISES_A_LEVEL);
            bins[bin < NOISES ? bin : NOISES - 1]++;
        }
    /* The mask's coefficients have a root sum of squares of 6; half of a Gaussian lies within
     * 0.6745. */
    double median = median_of(bins, NOISES, NOISES_A_LEVEL);
    /* A flat picture has all counts in the first bin, whose middle is not noise. */
    m->noise = median < 1.0 / NOISES_A_LEVEL ? 0 : median / (6 * 0.6745);
    mebi__free(bins);
    return MEBI_OK;
}

mebi_status mebi__measure_detail(const mebi__plane *brightness, mebi_measures *m) {
    mebi_status status = measure_octaves(brightness, m);
    if (status == MEBI_OK) status = measure_edges(brightness, m);
    if (status == MEBI_OK) status = measure_noise(brightness, m);
    return status;
}

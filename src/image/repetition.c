/* Whether a picture repeats itself: peaks of its correlation with itself, shifted. Works on a
 * thumbnail. */
#include "image/measure.h"

#include <math.h>
#include <stdlib.h>

enum { SIDE = 32 }; /* pixels of the thumbnail's longer side */

/* Correlations at all shifts: dx -reach_x..reach_x, dy 0..reach_y. */
typedef struct shifts {
    mebi__plane thumb[3];
    double variance; /* of a pixel, all channels */
    int reach_x, reach_y;
    mebi__plane at; /* [reach_y + 1, 2 * reach_x + 1] */
} shifts;

static double variance_of(const mebi__plane thumb[3]) {
    double all = 0;
    int count = thumb->width * thumb->height;
    for (int c = 0; c < 3; c++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < count; i++) {
            sum += thumb[c].at[i];
            squares += (double)thumb[c].at[i] * thumb[c].at[i];
        }
        all += squares / count - sum / count * sum / count;
    }
    return all;
}

/* Of the part that a picture shares with itself when shifted; each window has its own mean. Where
 * one of them is nearly flat: 0. */
static double correlation(const shifts *s, int dx, int dy) {
    int w = s->thumb->width, h = s->thumb->height;
    int x0 = dx > 0 ? 0 : -dx, x1 = dx > 0 ? w - dx : w;
    int count = (x1 - x0) * (h - dy);
    double both = 0, first = 0, second = 0;
    for (int c = 0; c < 3; c++) {
        double ab = 0, a1 = 0, b1 = 0, a2 = 0, b2 = 0;
        for (int y = 0; y < h - dy; y++) {
            const float *a = s->thumb[c].at + y * w, *b = s->thumb[c].at + (y + dy) * w + dx;
            for (int x = x0; x < x1; x++) {
                ab += (double)a[x] * b[x];
                a1 += a[x], b1 += b[x];
                a2 += (double)a[x] * a[x], b2 += (double)b[x] * b[x];
            }
        }
        both += ab / count - a1 / count * b1 / count;
        first += a2 / count - a1 / count * a1 / count;
        second += b2 / count - b1 / count * b1 / count;
    }
    if (first < s->variance / 4 || second < s->variance / 4) return 0;
    return both / sqrt(first * second);
}

static float value_at(const shifts *s, int dx, int dy) {
    if (dy < 0) dx = -dx, dy = -dy;
    return s->at.at[dy * s->at.width + dx + s->reach_x];
}

static int is_peak(const shifts *s, int dx, int dy) {
    float own = value_at(s, dx, dy);
    for (int v = -1; v <= 1; v++)
        for (int u = -1; u <= 1; u++) {
            int x = dx + u, y = dy + v;
            if (abs(x) > s->reach_x || abs(y) > s->reach_y) return 0;
            if (value_at(s, x, y) > own) return 0;
        }
    return 1;
}

/* How far a peak stands out over the lowest point of the straight way from no shift to it. */
static double prominence(const shifts *s, int dx, int dy) {
    float lowest = 1, own = value_at(s, dx, dy);
    int steps = 2 * (dy > abs(dx) ? dy : abs(dx));
    for (int i = 1; i < steps; i++) {
        float v =
            value_at(s, (int)lround((double)dx * i / steps), (int)lround((double)dy * i / steps));
        if (v < lowest) lowest = v;
    }
    return own - (lowest > 0 ? lowest : 0);
}

static double highest_prominence(shifts *s) {
    int w = s->thumb->width, h = s->thumb->height, least = (w > h ? w : h) / 6;
    double best = 0;
    for (int dy = 0; dy <= s->reach_y; dy++)
        for (int dx = -s->reach_x; dx <= s->reach_x; dx++)
            s->at.at[dy * s->at.width + dx + s->reach_x] = (float)correlation(s, dx, dy);
    for (int dy = 0; dy <= s->reach_y; dy++)
        for (int dx = -s->reach_x; dx <= s->reach_x; dx++) {
            if (dx * dx + dy * dy < least * least || !is_peak(s, dx, dy)) continue;
            double p = prominence(s, dx, dy);
            if (p > best) best = p;
        }
    return best;
}

mebi_status mebi__measure_repetition(const mebi_image *image, mebi_measures *m) {
    int longer = image->width > image->height ? image->width : image->height;
    int side = longer < SIDE ? longer : SIDE;
    int w = image->width * side / longer, h = image->height * side / longer;
    shifts s = {0};
    w = w > 0 ? w : 1, h = h > 0 ? h : 1;
    /* Windows keep three eighths of each side. */
    s.reach_x = w * 5 / 8, s.reach_y = h * 5 / 8;
    for (int c = 0; c < 3; c++) s.thumb[c] = mebi__plane_make(w, h);
    s.at = mebi__plane_make(2 * s.reach_x + 1, s.reach_y + 1);
    int made = s.thumb[0].at && s.thumb[1].at && s.thumb[2].at && s.at.at;
    if (made) {
        mebi__average_down(image, s.thumb);
        s.variance = variance_of(s.thumb);
        /* A level or less of contrast is no pattern. */
        m->repetition = s.variance > 1 ? highest_prominence(&s) : 0;
    }
    for (int c = 0; c < 3; c++) mebi__plane_release(&s.thumb[c]);
    mebi__plane_release(&s.at);
    return made ? MEBI_OK : MEBI_NO_MEMORY;
}

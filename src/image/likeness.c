/* How alike two pictures are, at a size that both can be averaged down to. */
#include "base/error.h"
#include "base/memory.h"
#include "image/measure.h"

#include <math.h>

enum { SIDE = 256, WINDOW = 8, STRIDE = 4 };

/* Against division by small numbers, as the methods' authors chose them: (0.01 * 255)^2, (0.03 *
 * 255)^2; of gradients by Prewitt's operator over 3. */
static const double c1 = 6.5025, c2 = 58.5225, c3 = 170;

/* The three channels, and in [3] brightness. */
typedef struct small {
    mebi__plane plane[4];
} small;

static void small_release(small *s) {
    for (int i = 0; i < 4; i++) mebi__plane_release(&s->plane[i]);
}

static mebi_status small_make(const mebi_image *image, int width, int height, small *s) {
    for (int i = 0; i < 4; i++) {
        s->plane[i] = mebi__plane_make(width, height);
        if (!s->plane[i].at) return MEBI_NO_MEMORY;
    }
    mebi__average_down(image, s->plane);
    for (int i = 0; i < width * height; i++)
        s->plane[3].at[i] =
            0.299f * s->plane[0].at[i] + 0.587f * s->plane[1].at[i] + 0.114f * s->plane[2].at[i];
    return MEBI_OK;
}

static double psnr_of(const small *a, const small *b) {
    double sum = 0;
    int count = a->plane->width * a->plane->height;
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < count; i++) {
            double d = (double)a->plane[c].at[i] - b->plane[c].at[i];
            sum += d * d;
        }
    double mean = sum / (3.0 * count);
    double db = mean > 0 ? 10 * log10(255.0 * 255 / mean) : 99;
    return db < 99 ? db : 99;
}

static double ssim_window(const mebi__plane *a, const mebi__plane *b, int x0, int y0) {
    double sa = 0, sb = 0, aa = 0, bb = 0, ab = 0, n = WINDOW * WINDOW;
    for (int y = y0; y < y0 + WINDOW; y++)
        for (int x = x0; x < x0 + WINDOW; x++) {
            double p = a->at[y * a->width + x], q = b->at[y * a->width + x];
            sa += p, sb += q, aa += p * p, bb += q * q, ab += p * q;
        }
    double ma = sa / n, mb = sb / n, va = aa / n - ma * ma, vb = bb / n - mb * mb;
    double cov = ab / n - ma * mb;
    return (2 * ma * mb + c1) * (2 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
}

static double structure_of(const mebi__plane *a, const mebi__plane *b) {
    double sum = 0;
    int count = 0;
    for (int y = 0; y + WINDOW <= a->height; y += STRIDE)
        for (int x = 0; x + WINDOW <= a->width; x += STRIDE, count++)
            sum += ssim_window(a, b, x, y);
    return sum / count;
}

/* Prewitt's operator. */
static double slope_at(const mebi__plane *p, int x, int y) {
    int n = p->width;
    const float *at = p->at + y * n + x;
    double gx = (double)at[-n + 1] + at[1] + at[n + 1] - at[-n - 1] - at[-1] - at[n - 1];
    double gy = (double)at[n - 1] + at[n] + at[n + 1] - at[-n - 1] - at[-n] - at[-n + 1];
    return sqrt(gx * gx + gy * gy) / 3;
}

static double gradients_of(const mebi__plane *a, const mebi__plane *b) {
    double sum = 0;
    for (int y = 1; y < a->height - 1; y++)
        for (int x = 1; x < a->width - 1; x++) {
            double p = slope_at(a, x, y), q = slope_at(b, x, y);
            sum += (2 * p * q + c3) / (p * p + q * q + c3);
        }
    return sum / ((double)(a->width - 2) * (a->height - 2));
}

static int least(int a, int b) {
    int n = a < b ? a : b;
    return n < SIDE ? n : SIDE;
}

mebi_status mebi_image_compare(const mebi_image *a, const mebi_image *b, mebi_likeness *l,
                               mebi_error *err) {
    *l = (mebi_likeness){0};
    MEBI_TRY(mebi__measurable(a, err));
    MEBI_TRY(mebi__measurable(b, err));
    int width = least(a->width, b->width), height = least(a->height, b->height);
    small x = {0}, y = {0};
    mebi_status status = small_make(a, width, height, &x);
    if (status == MEBI_OK) status = small_make(b, width, height, &y);
    if (status == MEBI_OK)
        *l = (mebi_likeness){.width = width,
                             .height = height,
                             .psnr = psnr_of(&x, &y),
                             .structure = structure_of(&x.plane[3], &y.plane[3]),
                             .gradients = gradients_of(&x.plane[3], &y.plane[3])};
    else
        status = mebi__fail(err, status, "No memory to compare pictures of %d x %d and %d x %d.",
                            a->width, a->height, b->width, b->height);
    small_release(&x);
    small_release(&y);
    return status;
}

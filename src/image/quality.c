/* What a picture measures: the public calls, and what the parts share. Never changes a picture. */
#include "base/error.h"
#include "base/memory.h"
#include "image/measure.h"

mebi__plane mebi__plane_make(int width, int height) {
    float *at = mebi__alloc_array(MEBI__TAG_OUTPUT, (size_t)width * (size_t)height, sizeof *at);
    return (mebi__plane){width, height, at};
}

void mebi__plane_release(mebi__plane *plane) {
    mebi__free(plane->at);
    *plane = (mebi__plane){0};
}

mebi_status mebi__measurable(const mebi_image *image, mebi_error *err) {
    if (image->pixels && image->width >= MEBI_MEASURED_SIDE_LEAST &&
        image->height >= MEBI_MEASURED_SIDE_LEAST && image->width <= MEBI_MEASURED_SIDE_MOST &&
        image->height <= MEBI_MEASURED_SIDE_MOST)
        return MEBI_OK;
    return mebi__fail(err, MEBI_BAD_ARGUMENT,
                      "A picture of %d x %d%s can't be measured: sides are %d to %d pixels.",
                      image->width, image->height, image->pixels ? "" : " without pixels",
                      MEBI_MEASURED_SIDE_LEAST, MEBI_MEASURED_SIDE_MOST);
}

/* The part of source position i that lies in [from, to). */
static double covered(int i, double from, double to) {
    double low = i > from ? i : from, high = i + 1 < to ? i + 1 : to;
    return high - low;
}

static void average_pixel(const mebi_image *image, double x0, double x1, double y0, double y1,
                          double mean[3]) {
    double sum[3] = {0}, weight = 0;
    for (int y = (int)y0; y < y1 && y < image->height; y++)
        for (int x = (int)x0; x < x1 && x < image->width; x++) {
            const unsigned char *p =
                image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
            double w = covered(x, x0, x1) * covered(y, y0, y1);
            for (int c = 0; c < 3; c++) sum[c] += w * p[c];
            weight += w;
        }
    for (int c = 0; c < 3; c++) mean[c] = sum[c] / weight;
}

void mebi__average_down(const mebi_image *image, mebi__plane to[3]) {
    int width = to->width, height = to->height;
    double across = (double)image->width / width, down = (double)image->height / height;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            double mean[3];
            average_pixel(image, x * across, (x + 1) * across, y * down, (y + 1) * down, mean);
            for (int c = 0; c < 3; c++)
                to[c].at[(size_t)y * (size_t)width + (size_t)x] = (float)mean[c];
        }
}

static mebi__plane brightness_of(const mebi_image *image) {
    mebi__plane plane = mebi__plane_make(image->width, image->height);
    size_t count = (size_t)image->width * (size_t)image->height;
    for (size_t i = 0; plane.at && i < count; i++)
        plane.at[i] = mebi__brightness(image->pixels + i * 3);
    return plane;
}

mebi_status mebi_image_measure(const mebi_image *image, mebi_measures *m, mebi_error *err) {
    *m = (mebi_measures){0};
    MEBI_TRY(mebi__measurable(image, err));
    mebi__plane brightness = brightness_of(image);
    mebi_status status = brightness.at ? mebi__measure_detail(&brightness, m) : MEBI_NO_MEMORY;
    mebi__plane_release(&brightness);
    if (status == MEBI_OK) status = mebi__measure_background(image, m);
    if (status == MEBI_OK) status = mebi__measure_repetition(image, m);
    if (status == MEBI_OK) return status;
    *m = (mebi_measures){0};
    return mebi__fail(err, status, "No memory to measure a picture of %d x %d.", image->width,
                      image->height);
}

int mebi_measures_repeated(const mebi_measures *m) {
    return m->repeats > 0 || m->repetition >= 0.6;
}

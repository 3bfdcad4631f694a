/* Measures of pictures whose answers are known beforehand: from formulas, or because they were
 * painted so. */
#include "testing.h"

#include "base/memory.h"
#include "mebi/quality.h"

#include <math.h>

static const double pi = 3.14159265358979323846;
static const unsigned char white[3] = {255, 255, 255}, red[3] = {200, 30, 20},
                           blue[3] = {20, 40, 200}, green[3] = {30, 160, 40},
                           paper[3] = {240, 236, 228};
static mebi_error err;

static int forget_error(void **state) {
    (void)state;
    err = (mebi_error){0};
    return 0;
}

/* ---- painting ---- */

static mebi_image canvas(int width, int height, const unsigned char *colour) {
    mebi_image image = {width, height,
                        mebi__alloc(MEBI__TAG_OUTPUT, (size_t)width * (size_t)height * 3)};
    assert_non_null(image.pixels);
    for (int i = 0; i < width * height * 3; i++) image.pixels[i] = colour[i % 3];
    return image;
}

static unsigned char level(double v) {
    return (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : lround(v));
}

static unsigned char *at(const mebi_image *image, int x, int y) {
    return image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
}

static void set_grey(const mebi_image *image, int x, int y, double v) {
    for (int c = 0; c < 3; c++) at(image, x, y)[c] = level(v);
}

/* Soft over one pixel, as drawings are. */
static void disc(const mebi_image *image, double x0, double y0, double radius,
                 const unsigned char *colour) {
    int y1 = (int)(y0 + radius + 2), x1 = (int)(x0 + radius + 2);
    for (int y = y0 > radius + 2 ? (int)(y0 - radius - 2) : 0; y < y1 && y < image->height; y++)
        for (int x = x0 > radius + 2 ? (int)(x0 - radius - 2) : 0; x < x1 && x < image->width;
             x++) {
            double inside = radius - hypot(x - x0, y - y0) + 0.5;
            inside = inside < 0 ? 0 : inside > 1 ? 1 : inside;
            for (int c = 0; c < 3; c++)
                at(image, x, y)[c] = level(at(image, x, y)[c] * (1 - inside) + colour[c] * inside);
        }
}

/* Adds to all channels within a radius, without a soft edge. */
static void stain(const mebi_image *image, int x0, int y0, int radius, int levels) {
    for (int y = y0 - radius; y <= y0 + radius; y++)
        for (int x = x0 - radius; x <= x0 + radius; x++)
            if (hypot(x - x0, y - y0) <= radius)
                for (int c = 0; c < 3; c++) at(image, x, y)[c] = level(at(image, x, y)[c] + levels);
}

static uint32_t random_state;

static double uniform(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return ((random_state >> 8) + 0.5) / (1 << 24);
}

static double gaussian(void) {
    double u = uniform(), v = uniform();
    return sqrt(-2 * log(u)) * cos(2 * pi * v);
}

static void add_noise(const mebi_image *image, double sigma, uint32_t seed) {
    random_state = seed;
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < image->width; x++) {
            double more = sigma * gaussian();
            for (int c = 0; c < 3; c++) at(image, x, y)[c] = level(at(image, x, y)[c] + more);
        }
}

static mebi_image enlarged(const mebi_image *image, int times) {
    mebi_image large = canvas(image->width * times, image->height * times, white);
    for (int y = 0; y < large.height; y++)
        for (int x = 0; x < large.width; x++)
            memcpy(at(&large, x, y), at(image, x / times, y / times), 3);
    return large;
}

/* Measures and releases. */
static mebi_measures measured(mebi_image image) {
    mebi_measures m;
    assert_mebi_ok(mebi_image_measure(&image, &m, &err), &err);
    mebi_image_release(&image);
    return m;
}

static void assert_near(const char *what, double value, double wanted, double tolerance) {
    if (!(fabs(value - wanted) <= tolerance))
        fail_msg("%s: %g, not %g +- %g", what, value, wanted, tolerance);
}

/* ---- the whole picture ---- */

static void a_flat_picture_has_nothing(void **state) {
    (void)state;
    mebi_measures m = measured(canvas(96, 64, paper));
    assert_true(m.edge_width == 0 && m.sharpness == 0 && m.detail == 0 && m.detail_next == 0);
    assert_true(m.noise == 0 && m.repetition == 0 && !mebi_measures_repeated(&m));
    assert_int_equal(m.background, 1);
    assert_memory_equal(m.background_colour, paper, 3);
    assert_near("background", m.background_share, 1, 0);
    assert_true(m.background_deviation == 0 && m.background_off == 0 && m.background_slope < 1e-3);
    assert_true(m.blotches == 0 && m.objects == 0 && m.fragments == 0 && m.object_share == 0);
    assert_true(m.hue < 0);
}

/* The blur's response to a wave is cos^4(pi f). */
static void detail_of_a_wave_is_the_formulas(void **state) {
    (void)state;
    for (int period = 2; period <= 16; period *= 2) {
        mebi_image image = canvas(129, 64, white); /* symmetric at both ends */
        for (int y = 0; y < 64; y++)
            for (int x = 0; x < 129; x++)
                set_grey(&image, x, y, 128 + 100 * cos(2 * pi * x / period));
        mebi_measures m = measured(image);
        /* At 2 pixels a period all values are extremes. */
        double f = 1.0 / period, power = period == 2 ? 100 * 100 : 100 * 100 / 2.0;
        double first = 1 - pow(cos(pi * f), 4),
               second = pow(cos(pi * f), 4) * (1 - pow(cos(2 * pi * f), 4));
        assert_near("detail", m.detail, power * first * first, 0.02 * power * first * first + 1);
        assert_near("the next octave", m.detail_next, power * second * second,
                    0.02 * power * second * second + 1);
    }
}

/* A step, blurred: brightness is a normal distribution's sum. Angle 0 runs from left to right;
 * pixels lie on its middle. */
static mebi_image blurred_step(double sigma, double angle) {
    mebi_image image = canvas(96, 96, white);
    for (int y = 0; y < 96; y++)
        for (int x = 0; x < 96; x++) {
            double d = (x - 47) * cos(angle) + (y - 47) * sin(angle);
            set_grey(&image, x, y, 30 + 200 * 0.5 * erfc(-d / (sigma * sqrt(2))));
        }
    return image;
}

static void edge_width_follows_the_blur(void **state) {
    (void)state;
    static const double sigmas[] = {0.3, 0.7, 1, 1.5, 2, 3, 4, 6};
    for (int turn = 0; turn < 8; turn++) {
        double before = 0;
        for (size_t i = 0; i < sizeof sigmas / sizeof *sigmas; i++) {
            mebi_measures m = measured(blurred_step(sigmas[i], turn * pi / 4));
            /* On a slant the pixels beside one are nearer to the edge. */
            double near = turn % 2 ? sqrt(0.5) : 1;
            double wanted = 2 * near / erf(sqrt(0.5) * near / sigmas[i]);
            assert_near("edge width", m.edge_width, wanted, 0.04 * wanted + 0.05);
            assert_near("sharpness", m.sharpness, m.edge_width > 2 ? 2 / m.edge_width : 1, 1e-9);
            assert_true(m.edge_width > before);
            before = m.edge_width;
        }
    }
}

static void faint_edges_are_none(void **state) {
    (void)state;
    mebi_image image = canvas(64, 64, white);
    for (int y = 0; y < 64; y++)
        for (int x = 0; x < 64; x++) set_grey(&image, x, y, x < 32 ? 100 : 130);
    assert_true(measured(image).edge_width == 0);
}

static void noise_is_found_beside_edges(void **state) {
    (void)state;
    static const double sigmas[] = {1, 2, 5, 10, 20};
    for (size_t i = 0; i < sizeof sigmas / sizeof *sigmas; i++) {
        mebi_image image = canvas(128, 128, (const unsigned char[3]){128, 128, 128});
        disc(&image, 64, 64, 30, (const unsigned char[3]){90, 150, 128});
        add_noise(&image, sigmas[i], (uint32_t)i + 1);
        assert_near("noise", measured(image).noise, sigmas[i], 0.08 * sigmas[i] + 0.15);
    }
}

/* ---- objects ---- */

static void discs_are_counted(void **state) {
    (void)state;
    for (int size = 128; size <= 640; size += 256) {
        mebi_image image = canvas(size, size, white);
        disc(&image, size * 0.5, size * 0.5, size * 0.3, red);
        mebi_measures m = measured(image);
        assert_int_equal(m.objects, 1);
        assert_int_equal(m.repeats, 0);
        assert_int_equal(m.fragments, 0);
        assert_near("share", m.object_share, pi * 0.09, 0.02);
        assert_true(m.repetition < 0.2 && !mebi_measures_repeated(&m) && m.cut == 0);

        image = canvas(size, size, white);
        disc(&image, size * 0.25, size * 0.3, size * 0.13, red);
        disc(&image, size * 0.75, size * 0.3, size * 0.13, red);
        disc(&image, size * 0.5, size * 0.72, size * 0.13, red);
        m = measured(image);
        assert_int_equal(m.objects, 3);
        assert_int_equal(m.repeats, 2);
        assert_true(mebi_measures_repeated(&m));
    }
}

/* Others beside the largest: of its size and colour, of its size alone, of its colour alone, a
 * crumb. */
static void only_likes_are_repeats(void **state) {
    (void)state;
    static const struct {
        const unsigned char *colour;
        double radius;
        int objects, fragments, repeats;
    } cases[] = {{red, 45, 2, 0, 1},
                 {blue, 45, 2, 0, 0},
                 {red, 29, 2, 0, 0},
                 {red, 12, 1, 1, 0},
                 {red, 2, 1, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mebi_image image = canvas(256, 256, paper);
        disc(&image, 70, 70, 50, red);
        disc(&image, 190, 185, cases[i].radius, cases[i].colour);
        mebi_measures m = measured(image);
        assert_int_equal(m.objects, cases[i].objects);
        assert_int_equal(m.fragments, cases[i].fragments);
        assert_int_equal(m.repeats, cases[i].repeats);
    }
}

static void repetition_needs_no_background(void **state) {
    (void)state;
    /* A wave; a landscape: sky, a hill, ground. */
    mebi_image image = canvas(192, 96, white), wave = canvas(192, 96, white);
    for (int y = 0; y < 96; y++)
        for (int x = 0; x < 192; x++) {
            int hill = y > 60 - 25 * exp(-(x - 70) * (x - 70) / 900.0);
            at(&image, x, y)[0] = level(hill ? 60 + y * 0.5 : 120 + y);
            at(&image, x, y)[1] = level(hill ? 120 - x * 0.2 : 170 + y * 0.5);
            at(&image, x, y)[2] = hill ? 40 : 230;
            set_grey(&wave, x, y, 128 + 100 * cos(2 * pi * x / 64));
        }
    assert_true(measured(wave).repetition > 0.9);
    assert_true(measured(image).repetition < 0.3);
    image = canvas(128, 128, red);
    random_state = 3;
    for (int i = 0; i < 128 * 128 * 3; i++) image.pixels[i] = (unsigned char)(uniform() * 256);
    mebi_measures m = measured(image);
    assert_int_equal(m.background, 0);
    assert_true(m.hue < 0 && m.objects == 0 && m.repetition < 0.4);
}

static void cut_objects_touch_the_border(void **state) {
    (void)state;
    mebi_image image = canvas(128, 128, white);
    for (int y = 64; y < 128; y++)
        for (int x = 32; x < 96; x++) memcpy(at(&image, x, y), blue, 3);
    mebi_measures m = measured(image);
    assert_near("cut", m.cut, 64.0 / (4 * 128 - 4), 1e-6);
    assert_near("share", m.object_share, 0.25, 1e-6);
}

static void colour_is_the_objects(void **state) {
    (void)state;
    static const struct {
        unsigned char colour[3];
        double hue;
    } cases[] = {{{255, 0, 0}, 0},   {{255, 255, 0}, 60},  {{0, 255, 0}, 120}, {{0, 255, 255}, 180},
                 {{0, 0, 255}, 240}, {{255, 0, 255}, 300}, {{200, 20, 20}, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mebi_image image = canvas(128, 128, (const unsigned char[3]){250, 250, 250});
        disc(&image, 60, 64, 35, cases[i].colour);
        mebi_measures m = measured(image);
        assert_near("hue", fabs(remainder(m.hue - cases[i].hue, 360)), 0, 1.5);
        assert_true(m.hue >= 0 && m.hue < 360 && m.hue_share > 0.95);
        for (int c = 0; c < 3; c++)
            assert_near("colour", m.object_colour[c], cases[i].colour[c], 12);
    }
    mebi_image image = canvas(128, 128, white); /* three quarters red, one quarter green */
    for (int y = 40; y < 80; y++)
        for (int x = 40; x < 80; x++) memcpy(at(&image, x, y), x < 70 ? red : green, 3);
    mebi_measures m = measured(image);
    assert_near("hue", fabs(remainder(m.hue - 5, 360)), 0, 15);
    assert_near("share of it", m.hue_share, 0.75, 0.01);
    image = canvas(128, 128, white);
    disc(&image, 60, 64, 35, (const unsigned char[3]){90, 90, 90});
    m = measured(image);
    assert_true(m.hue < 0 && m.hue_share == 0);
}

/* ---- the background ---- */

static void a_slope_is_no_blotch(void **state) {
    (void)state;
    mebi_image image = canvas(256, 192, white);
    for (int y = 0; y < 192; y++)
        for (int x = 0; x < 256; x++) set_grey(&image, x, y, 200 + 30.0 * x / 255);
    disc(&image, 128, 100, 50, red);
    mebi_measures m = measured(image);
    assert_int_equal(m.background, 1);
    assert_int_equal(m.blotches, 0);
    assert_near("slope", m.background_slope, 30, 1);
    assert_near("deviation", m.background_deviation, 30 / sqrt(12), 1.5);
    assert_true(m.background_off > 0.3);
}

static void blotches_are_counted(void **state) {
    (void)state;
    static const int places[][2] = {{40, 40}, {210, 60}, {60, 215}, {215, 215}};
    for (int count = 0; count <= 4; count++)
        for (int levels = -30; levels <= 12; levels += 14) {
            mebi_image image = canvas(256, 256, paper);
            disc(&image, 128, 128, 40, blue);
            for (int i = 0; i < count; i++) stain(&image, places[i][0], places[i][1], 12, levels);
            mebi_measures m = measured(image);
            /* -30, -16, -2, 12: one of them can't be seen */
            int seen = abs(levels) > MEBI_BLOTCH_LEVELS;
            assert_int_equal(m.blotches, seen ? count : 0);
            if (!seen || !count) continue;
            assert_near("contrast", m.blotch_levels, abs(levels), 0.25 * abs(levels));
            assert_near("share", m.blotch_share * m.background_share * 256 * 256, count * pi * 144,
                        0.35 * count * pi * 144);
            assert_int_equal(m.objects, 1);
        }
}

static void noise_is_no_blotch(void **state) {
    (void)state;
    for (int size = 128; size <= 384; size += 128)
        for (int sigma = 2; sigma <= 8; sigma += 3) {
            mebi_image image = canvas(size, size, (const unsigned char[3]){200, 200, 200});
            add_noise(&image, sigma, (uint32_t)(size + sigma));
            mebi_measures m = measured(image);
            assert_int_equal(m.blotches, 0);
            assert_int_equal(m.objects, 0);
            assert_near("deviation", m.background_deviation, sigma, 0.1 * sigma);
            /* Beyond 8 levels on both sides; rounding moves that by half a level at most. */
            assert_true(m.background_off < erfc(7.5 / sigma / sqrt(2)) + 0.01);
            assert_true(m.background_off > erfc(8.5 / sigma / sqrt(2)) - 0.01);
        }
}

static void size_doesnt_change_what_is_seen(void **state) {
    (void)state;
    mebi_image image = canvas(160, 128, paper);
    disc(&image, 50, 60, 24, green);
    disc(&image, 118, 64, 24, green);
    stain(&image, 82, 112, 9, -15);
    mebi_measures m[3];
    for (int i = 0; i < 3; i++) m[i] = measured(enlarged(&image, 1 << i));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(m[i].objects, 2);
        assert_int_equal(m[i].repeats, 1);
        assert_int_equal(m[i].blotches, 1);
        assert_near("hue", m[i].hue, m[0].hue, 0.5);
        assert_near("share", m[i].object_share, m[0].object_share, 0.01);
        assert_near("repetition", m[i].repetition, m[0].repetition, 0.05);
        /* Of an enlarged picture each pixel tells less. */
        assert_true(i == 0 || m[i].detail < 0.8 * m[i - 1].detail);
    }
    mebi_image_release(&image);
}

/* ---- two pictures ---- */

static mebi_likeness compared(const mebi_image *a, const mebi_image *b) {
    mebi_likeness l, back;
    assert_mebi_ok(mebi_image_compare(a, b, &l, &err), &err);
    assert_mebi_ok(mebi_image_compare(b, a, &back, &err), &err);
    assert_near("the other way round", back.psnr, l.psnr, 1e-9);
    assert_near("the other way round", back.structure, l.structure, 1e-9);
    assert_near("the other way round", back.gradients, l.gradients, 1e-9);
    return l;
}

static void likeness_of_known_pairs(void **state) {
    (void)state;
    mebi_image image = canvas(128, 96, (const unsigned char[3]){128, 128, 128});
    disc(&image, 64, 48, 30, red);
    add_noise(&image, 6, 4);
    mebi_likeness l = compared(&image, &image);
    assert_true(l.psnr == 99 && l.width == 128 && l.height == 96);
    assert_near("structure", l.structure, 1, 1e-9);
    assert_near("gradients", l.gradients, 1, 1e-9);

    mebi_image large = enlarged(&image, 3);
    l = compared(&image, &large);
    assert_true(l.width == 128 && l.height == 96 && l.psnr > 90);
    mebi_image_release(&large);

    mebi_image darker = canvas(64, 64, paper), lighter = canvas(64, 64, paper);
    for (int i = 0; i < 64 * 64 * 3; i++)
        lighter.pixels[i] = (unsigned char)(lighter.pixels[i] + 10);
    l = compared(&darker, &lighter);
    assert_near("psnr", l.psnr, 20 * log10(25.5), 0.001);
    assert_near("gradients of flat pictures", l.gradients, 1, 1e-9);
    mebi_image_release(&darker);
    mebi_image_release(&lighter);

    double before = 99;
    for (int sigma = 4; sigma <= 64; sigma *= 2) {
        mebi_image noisy = enlarged(&image, 1);
        add_noise(&noisy, sigma, 9);
        mebi_likeness now = compared(&image, &noisy);
        assert_true(now.psnr < before && now.structure < 1 && now.gradients < 1);
        before = now.psnr;
        mebi_image_release(&noisy);
    }
    mebi_image_release(&image);
}

/* SSIM and gradient similarity of a picture and its negative, against their definitions' signs. */
static void a_negative_has_the_edges_but_not_the_structure(void **state) {
    (void)state;
    mebi_image image = canvas(64, 64, white), negative = canvas(64, 64, white);
    for (int y = 0; y < 64; y++)
        for (int x = 0; x < 64; x++) {
            set_grey(&image, x, y, 128 + 80 * sin(x * 0.7) * sin(y * 0.6));
            set_grey(&negative, x, y, 255 - at(&image, x, y)[0]);
        }
    mebi_likeness l = compared(&image, &negative);
    assert_true(l.structure < -0.8);
    assert_near("gradients", l.gradients, 1, 1e-6);
    mebi_image_release(&image);
    mebi_image_release(&negative);
}

/* ---- hostile ---- */

static void impossible_sizes_are_refused(void **state) {
    (void)state;
    static const int sizes[][2] = {{15, 64}, {64, 15}, {16385, 16}, {16, 16385}, {0, 0}, {-64, 64}};
    mebi_image good = canvas(16, 16, red);
    mebi_measures m;
    mebi_likeness l;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        mebi_image bad = {sizes[i][0], sizes[i][1], good.pixels};
        err = (mebi_error){0};
        assert_int_equal(mebi_image_measure(&bad, &m, &err), MEBI_BAD_ARGUMENT);
        assert_non_null(strstr(err.text, "16 to 16384"));
        assert_int_equal(mebi_image_compare(&good, &bad, &l, NULL), MEBI_BAD_ARGUMENT);
        assert_int_equal(mebi_image_compare(&bad, &good, &l, NULL), MEBI_BAD_ARGUMENT);
    }
    mebi_image empty = {64, 64, NULL};
    err = (mebi_error){0};
    assert_int_equal(mebi_image_measure(&empty, &m, &err), MEBI_BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "without pixels"));
    mebi_image_release(&good);
}

static void thin_and_small_pictures_work(void **state) {
    (void)state;
    static const int sizes[][2] = {{16, 16},    {17, 16},   {16384, 16},
                                   {16, 16384}, {129, 127}, {2049, 31}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        mebi_image image = canvas(sizes[i][0], sizes[i][1], paper);
        disc(&image, sizes[i][0] / 2.0, sizes[i][1] / 2.0, 5, red);
        add_noise(&image, 3, 5);
        mebi_likeness l = compared(&image, &image);
        assert_true(l.psnr == 99);
        mebi_measures m = measured(image);
        assert_int_equal(m.background, 1);
    }
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    mebi_image image = canvas(64, 48, paper);
    disc(&image, 20, 20, 9, red);
    stain(&image, 48, 34, 7, -12);
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    int failures[2] = {0};
    for (int which = 0; which < 2; which++)
        for (uint64_t n = 1;; n++) {
            mebi_measures m;
            mebi_likeness l;
            err = (mebi_error){0};
            mebi__memory_fail_nth(n);
            mebi_status status = which ? mebi_image_compare(&image, &image, &l, &err)
                                       : mebi_image_measure(&image, &m, &err);
            mebi__memory_fail_nth(0);
            assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
            if (status == MEBI_OK) break;
            assert_int_equal(status, MEBI_NO_MEMORY);
            assert_non_null(strstr(err.text, "64 x 48"));
            failures[which]++;
        }
    assert_true(failures[0] > 10 && failures[1] == 8);
    mebi_image_release(&image);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, forget_error)
    const struct CMUnitTest tests[] = {
        TEST(a_flat_picture_has_nothing),   TEST(detail_of_a_wave_is_the_formulas),
        TEST(edge_width_follows_the_blur),  TEST(faint_edges_are_none),
        TEST(noise_is_found_beside_edges),  TEST(discs_are_counted),
        TEST(only_likes_are_repeats),       TEST(repetition_needs_no_background),
        TEST(cut_objects_touch_the_border), TEST(colour_is_the_objects),
        TEST(a_slope_is_no_blotch),         TEST(blotches_are_counted),
        TEST(noise_is_no_blotch),           TEST(size_doesnt_change_what_is_seen),
        TEST(likeness_of_known_pairs),      TEST(a_negative_has_the_edges_but_not_the_structure),
        TEST(impossible_sizes_are_refused), TEST(thin_and_small_pictures_work),
        TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

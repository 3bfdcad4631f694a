/* Sweeps: what follows from figures given, how it is told, and one made by the command. */
#include "testing.h"

#include "base/memory.h"
#include "image/png.h"
#include "sweep/html.h"
#include "sweep/store.h"
#include "sweep/sweep.h"

#include <jansson.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static mebi_error err;

static int forget_error(void **state) {
    (void)state;
    err = (mebi_error){0};
    return 0;
}

/* ---- figures given ---- */

/* One size's pictures: seconds and bytes of each, detail a pixel, and how many of them have a
 * fault. */
typedef struct given {
    int side;
    double seconds, detail;
    size_t bytes;
    int repeated, cut, blotched;
} given;

enum { EACH = 4 }; /* 2 prompts, 2 seeds */

static mebi__shot shots[MEBI__SWEEP_SIZES * EACH];

/* Seconds are spread so that their median is the one given and their mean isn't. */
static mebi__sweep sweep_of(const given *sizes, int count, int native_side) {
    static const double spread[EACH] = {0.9, 1, 1, 3};
    mebi__sweep s = {
        .params = {.sizes = count, .steps = 8, .prompts = 2, .seeds = 2, .model = "given"},
        .info = {.cpu = "avx2",
                 .threads = 2,
                 .native_side = native_side,
                 .model_hash = "0123456789abcdef",
                 .precision = MEBI_PRECISION_F32},
        .native = -1,
        .sweet = -1,
        .shots = count * EACH,
        .shot = shots};
    for (int i = 0; i < count; i++) {
        const given *g = &sizes[i];
        s.row[i].width = s.row[i].height = g->side;
        s.row[i].native = g->side == native_side;
        if (s.row[i].native) s.native = i;
        s.row[i].of = EACH;
        for (int k = 0; k < EACH; k++) {
            mebi__shot *shot = &shots[i * EACH + k];
            *shot = (mebi__shot){.size = i, .prompt = k / 2, .seed = k % 2, .made = g->seconds > 0};
            shot->report.total_seconds = g->seconds * spread[k];
            shot->report.seconds[MEBI_STAGE_STEP] = g->seconds * 0.8;
            shot->report.seconds[MEBI_STAGE_DECODE] = g->seconds * 0.1;
            shot->report.peak_bytes = g->bytes - (size_t)k;
            shot->plan.peak_bytes = g->bytes + 1000000;
            shot->measures.detail = g->detail;
            shot->measures.sharpness = 0.5 + 0.1 * k;
            shot->measures.background = 1;
            shot->measures.objects = 1;
            if (k < g->repeated) shot->measures.repeats = 2, shot->measures.objects = 3;
            if (k < g->cut) shot->measures.cut = 0.1;
            if (k < g->blotched) shot->measures.blotches = 1;
            if (!s.row[i].native) shot->likeness = (mebi_likeness){64, 64, 20, 0.7, 0.9};
        }
    }
    return s;
}

static const given growing[] = {{64, 1, 10, 10 << 20, 0, 0, 0},
                                {128, 4, 10, 20 << 20, 0, 0, 0},
                                {256, 20, 10, 60 << 20, 0, 0, 0}};

static void rows_are_medians_and_gains(void **state) {
    (void)state;
    mebi__sweep s = sweep_of(growing, 3, 128);
    mebi__sweep_judge(&s);
    for (int i = 0; i < 3; i++) {
        const mebi__row *r = &s.row[i];
        assert_int_equal(r->made, EACH);
        assert_true(r->sound);
        assert_true(fabs(r->seconds - growing[i].seconds) < 1e-9);
        assert_true(fabs(r->step_seconds - growing[i].seconds * 0.1) < 1e-9);
        assert_true(r->peak_bytes == growing[i].bytes &&
                    r->planned_bytes == growing[i].bytes + 1000000);
        assert_true(fabs(r->sharpness - 0.65) < 1e-9);
        assert_true(i == 1 ? r->structure < 0 : fabs(r->structure - 0.7) < 1e-9);
        assert_int_equal(r->from, i - 1);
    }
    /* Detail a pixel stays, pixels grow fourfold. */
    assert_true(fabs(s.row[0].detail - 25) < 1e-9 && s.row[1].detail == 100 &&
                fabs(s.row[2].detail - 400) < 1e-9);
    assert_true(fabs(s.row[1].more_detail - 75) < 1e-9 && fabs(s.row[1].more_seconds - 3) < 1e-9);
    assert_true(fabs(s.row[2].more_bytes - (40 << 20)) < 1e-9);
    assert_true(fabs(s.row[1].worth - 1) < 1e-9);
    assert_true(fabs(s.row[2].worth - log(4) / log(5)) < 1e-9);
    assert_int_equal(s.sweet, 2);
    assert_non_null(strstr(s.why, "256x256 is the largest sound size"));
}

/* Each case's last sizes are zeros. */
static void the_sweet_spot_follows_the_rule(void **state) {
    (void)state;
    static const struct {
        const char *what;
        given size[4];
        int count, native, sweet;
        const char *why, *note; /* note: of the last size */
    } cases[] = {
        {"detail stalls",
         {{64, 1, 10, 1 << 20, 0, 0, 0},
          {128, 4, 10, 1 << 20, 0, 0, 0},
          {256, 16, 3, 1 << 20, 0, 0, 0}},
         3,
         128,
         1,
         "128x128 is where more stops paying: 256x256 takes 4.00 times as long for 1.20 times",
         ""},
        {"later gains don't count",
         {{64, 1, 10, 1 << 20, 0, 0, 0},
          {128, 4, 2.6, 1 << 20, 0, 0, 0},
          {256, 16, 10, 1 << 20, 0, 0, 0}},
         3,
         128,
         0,
         "64x64 is where more stops paying",
         ""},
        {"repeated above",
         {{64, 1, 10, 1 << 20, 0, 0, 0},
          {128, 4, 10, 1 << 20, 1, 0, 0},
          {256, 16, 20, 1 << 20, 2, 0, 0}},
         3,
         128,
         1,
         "128x128 is the largest sound size",
         "the subject is repeated in 2 of 4 pictures."},
        {"one is sound",
         {{64, 1, 10, 1 << 20, 0, 4, 0},
          {128, 4, 10, 1 << 20, 0, 0, 0},
          {256, 16, 20, 1 << 20, 3, 2, 4}},
         3,
         128,
         1,
         "128x128 is the only sound size",
         "the subject is repeated in 3 of 4 pictures, the subject is cut off by the border in 2 of "
         "4 pictures, the "
         "background is blotched in 4 of 4 pictures."},
        {"an unsound one between",
         {{64, 1, 10, 1 << 20, 0, 0, 0},
          {128, 4, 10, 1 << 20, 0, 2, 0},
          {256, 16, 10, 1 << 20, 0, 0, 0}},
         3,
         128,
         2,
         "256x256 is the largest sound size",
         ""},
        {"none is sound",
         {{64, 1, 10, 1 << 20, 4, 0, 0},
          {128, 4, 10, 1 << 20, 2, 2, 0},
          {256, 16, 10, 1 << 20, 4, 0, 0}},
         3,
         128,
         1,
         "No size is sound; 128x128 has the fewest faults",
         "the subject is repeated in 4 of 4 pictures."},
        {"one doesn't fit",
         {{64, 1, 10, 1 << 20, 0, 0, 0}, {128, 0, 10, 1 << 20, 0, 0, 0}},
         2,
         128,
         0,
         "64x64 is the only sound size",
         "it does not fit into the memory there is."},
        {"none fits",
         {{64, 0, 10, 1 << 20, 0, 0, 0}},
         1,
         128,
         -1,
         "No size fits",
         "it does not fit"},
        {"no detail at all",
         {{64, 1, 0, 1 << 20, 0, 0, 0}, {128, 4, 0, 1 << 20, 0, 0, 0}},
         2,
         64,
         0,
         "64x64 is where",
         ""},
        {"faster and better",
         {{64, 4, 10, 1 << 20, 0, 0, 0}, {128, 1, 10, 1 << 20, 0, 0, 0}},
         2,
         64,
         1,
         "largest",
         ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mebi__sweep s = sweep_of(cases[i].size, cases[i].count, cases[i].native);
        mebi__sweep_judge(&s);
        const char *note = s.row[cases[i].count - 1].note;
        if (s.sweet != cases[i].sweet || !strstr(s.why, cases[i].why))
            fail_msg("%s: %d, %s", cases[i].what, s.sweet, s.why);
        if (*cases[i].note ? !strstr(note, cases[i].note) : *note)
            fail_msg("%s: note '%s'", cases[i].what, note);
    }
}

/* ---- how it is told ---- */

static char *text_of(void (*write)(const mebi__sweep *, FILE *), const mebi__sweep *s) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    assert_non_null(to);
    write(s, to);
    fclose(to);
    assert_non_null(text);
    return text;
}

static void write_html(const mebi__sweep *s, FILE *to) {
    assert_mebi_ok(mebi__sweep_html(s, to, &err), &err);
}

static void write_json(const mebi__sweep *s, FILE *to) {
    assert_mebi_ok(mebi__sweep_json(s, to, &err), &err);
}

/* Every start has its end in the right order, attributes are quoted, text has no bare < or &. */
static void assert_well_formed(const char *html) {
    char open[64][16];
    int depth = 0;
    const char *p = strstr(html, "<html");
    assert_non_null(p);
    for (; *p; p++) {
        if (*p == '&') {
            size_t n = strcspn(p, "; \n<");
            if (p[n] != ';') fail_msg("a bare &: %.40s", p);
        }
        if (*p == '>') fail_msg("a bare >: %.40s", p - 20);
        if (*p != '<') continue;
        char name[16] = "";
        int ends = p[1] == '/';
        size_t n = strspn(p + 1 + ends, "abcdefghijklmnopqrstuvwxyz123456");
        assert_true(n > 0 && n < sizeof name);
        memcpy(name, p + 1 + ends, n);
        name[n] = 0;
        if (strcmp(name, "style") == 0 && !ends) p = strstr(p, "</style>") - 1;
        if (strcmp(name, "style") == 0) {
            p = strchr(p + 1, '>');
            continue;
        }
        const char *close = p;
        for (int quoted = 0; *close && (*close != '>' || quoted); close++) quoted ^= *close == '"';
        assert_true(*close == '>');
        if (ends) {
            if (depth == 0 || strcmp(open[depth - 1], name) != 0)
                fail_msg("</%s> ends <%s>", name, depth ? open[depth - 1] : "nothing");
            depth--;
        } else if (close[-1] != '/') {
            assert_true(depth < 64);
            strcpy(open[depth++], name);
        }
        p = close;
    }
    if (depth) fail_msg("<%s> has no end", open[depth - 1]);
}

static int count_of(const char *text, const char *word) {
    int count = 0;
    for (const char *p = text; (p = strstr(p, word)); p += strlen(word)) count++;
    return count;
}

/* A picture in the store for every shot. */
static void keep_pictures(mebi__sweep *s) {
    s->store = tmpfile();
    assert_non_null(s->store);
    for (int i = 0; i < s->shots; i++) {
        int side = s->row[s->shot[i].size].width;
        mebi_image image = {side, side,
                            mebi__alloc(MEBI__TAG_OUTPUT, (size_t)side * (size_t)side * 3)};
        void *png;
        assert_non_null(image.pixels);
        for (int k = 0; k < side * side * 3; k++)
            image.pixels[k] = (unsigned char)(k * (i + 7) >> 3);
        assert_mebi_ok(mebi__png_encode(&image, &png, &s->shot[i].png_bytes, &err), &err);
        assert_mebi_ok(mebi__store_put(s, png, s->shot[i].png_bytes, &s->shot[i].png_at, &err),
                       &err);
        mebi__free(png);
        mebi_image_release(&image);
    }
}

static void the_page_stands_alone(void **state) {
    (void)state;
    static const char *const never[] = {"http",  "<script", "url(",       "@import",
                                        "<link", "<iframe", "javascript", "file:"};
    mebi__sweep s = sweep_of(growing, 3, 128);
    s.params.model = "<b>&\"'</title>\x01\xff model";
    s.row[0].plan.total_seconds = 1.25;
    s.runs = 2, s.run_peak[0] = s.run_peak[1] = 1 << 20, s.steady = s.same = 1;
    keep_pictures(&s);
    mebi__sweep_judge(&s);
    char *html = text_of(write_html, &s);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (strstr(html, never[i])) fail_msg("the page has %s", never[i]);
    assert_int_equal(strncmp(html, "<!DOCTYPE html>", 15), 0);
    assert_well_formed(html);
    assert_null(strstr(html, "<b>"));
    assert_non_null(
        strstr(html, "&lt;b&gt;&amp;&quot;&#39;&lt;/title&gt;\xef\xbf\xbd\xef\xbf\xbd model"));
    assert_non_null(strstr(html, "<html lang=\"en\">"));
    assert_non_null(strstr(html, "prefers-color-scheme:dark"));
    assert_non_null(strstr(html, "The sweet spot is 256&#215;256"));
    assert_non_null(strstr(html, "<td>1.25 s</td>")); /* planned */
    /* Pictures at their own size, each told in words. */
    assert_int_equal(count_of(html, "src=\"data:image/png;base64,"), 12);
    assert_int_equal(count_of(html, "<img width=\"64\" height=\"64\" alt=\""), 4);
    /* Plots and tables say what they are. */
    assert_int_equal(count_of(html, "<svg "), 6);
    assert_int_equal(count_of(html, "role=\"img\" aria-labelledby=\"p"), 6);
    assert_int_equal(count_of(html, "<desc id=\"p"), 6);
    assert_int_equal(count_of(html, "<caption>"), 2);
    assert_int_equal(count_of(html, "<th "), count_of(html, "<th scope="));
    for (int i = 1; i <= 6; i++) {
        char id[16];
        snprintf(id, sizeof id, " id=\"p%d-t\"", i);
        assert_int_equal(count_of(html, id), 1);
    }
    assert_non_null(strstr(html, "measured, in seconds: 1 at 64x64, 4 at 128x128, 20 at 256x256."));
    free(html);
    fclose(s.store);
}

/* The letters are the file's bytes: decoded again, they are a picture of the size. */
static void pictures_are_in_the_page(void **state) {
    (void)state;
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    mebi__sweep s = sweep_of(growing, 3, 128);
    keep_pictures(&s);
    mebi__sweep_judge(&s);
    char *html = text_of(write_html, &s);
    const char *p = html;
    for (int i = 0; i < s.shots; i++) {
        p = strstr(p, ";base64,");
        assert_non_null(p);
        p += 8;
        size_t n = strcspn(p, "\""), bytes = 0;
        unsigned char *png = malloc(n);
        assert_true(png && n % 4 == 0);
        for (size_t k = 0; k < n; k += 4) {
            unsigned v = 0, filled = 0;
            for (int c = 0; c < 4; c++) {
                const char *at =
                    p[k + (size_t)c] == '=' ? letters : strchr(letters, p[k + (size_t)c]);
                filled += p[k + (size_t)c] == '=';
                assert_non_null(at);
                v = v << 6 | (unsigned)(at - letters);
            }
            for (unsigned c = 0; c < 3 - filled; c++)
                png[bytes++] = (unsigned char)(v >> (16 - 8 * c));
        }
        mebi_image image;
        assert_mebi_ok(mebi__png_decode("the page's", png, bytes, &image, &err), &err);
        assert_int_equal(image.width, image.height);
        mebi_image_release(&image);
        free(png);
    }
    assert_null(strstr(p, ";base64,"));
    free(html);
    fclose(s.store);
}

/* Also at the ends: one size, many, none that fits, hours and terabytes. */
static void tables_and_pages_bear_any_figures(void **state) {
    (void)state;
    given many[MEBI__SWEEP_SIZES];
    for (int i = 0; i < MEBI__SWEEP_SIZES; i++)
        many[i] = (given){
            16384 - 16 * (MEBI__SWEEP_SIZES - i), 1e6 * (i + 1), 1e4, (size_t)3 << 40, 4, 4, 4};
    static const given none[] = {{64, 0, 1, 0, 0, 0, 0}},
                       fast[] = {{64, 1e-9, 0, 1 << 20, 0, 0, 0}};
    const struct {
        const given *size;
        int count;
    } cases[] = {{many, MEBI__SWEEP_SIZES}, {many, 1}, {none, 1}, {fast, 1}, {growing, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mebi__sweep s = sweep_of(cases[i].size, cases[i].count, 128);
        s.params.model = "a name that is as long as the names of models are when people name them "
                         "after everything";
        s.seconds = 1e7;
        mebi__sweep_judge(&s);
        char *html = text_of(write_html, &s), *table = text_of(mebi__sweep_print, &s);
        assert_well_formed(html);
        if (strstr(html, "nan") || strstr(html, "inf\"") || strstr(table, "nan"))
            fail_msg("case %zu: not a number", i);
        for (char *line = strtok(table, "\n"); line; line = strtok(NULL, "\n"))
            if (strlen(line) > 100) fail_msg("%zu columns: %s", strlen(line), line);
        free(html);
        free(table);
    }
}

static double number(const json_t *o, const char *key) {
    json_t *v = json_object_get(o, key);
    if (!json_is_number(v)) fail_msg("%s is not a number", key);
    return json_number_value(v);
}

static void json_has_the_figures(void **state) {
    (void)state;
    mebi__sweep s = sweep_of(growing, 3, 128);
    s.runs = 2, s.run_peak[0] = 5, s.run_peak[1] = 6, s.run_seconds[0] = 1;
    s.row[1].plan.total_seconds = 3.5;
    mebi__sweep_judge(&s);
    char *text = text_of(write_json, &s);
    assert_true(strchr(text, '\n') == text + strlen(text) - 1);
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    assert_true(number(json_object_get(o, "sweet_spot"), "width") == 256);
    json_t *sizes = json_object_get(o, "sizes"), *runs = json_object_get(o, "runs");
    assert_int_equal(json_array_size(sizes), 3);
    json_t *first = json_array_get(sizes, 0), *second = json_array_get(sizes, 1);
    assert_true(json_is_null(json_object_get(first, "planned_seconds")) &&
                json_is_null(json_object_get(first, "worth")));
    assert_true(number(second, "planned_seconds") == 3.5 && number(second, "worth") == 1);
    assert_true(number(second, "seconds") == 4 && number(second, "peak_bytes") == 20 << 20);
    assert_true(json_is_null(json_object_get(second, "structure")) &&
                number(first, "structure") == 0.7);
    assert_true(json_is_true(json_object_get(second, "native")) &&
                json_is_true(json_object_get(second, "sound")));
    assert_int_equal(json_array_size(json_object_get(o, "pictures")), 12);
    assert_int_equal(json_array_size(json_object_get(runs, "peak_bytes")), 2);
    json_decref(o);
    free(text);
}

/* ---- the command ---- */

static char folder[64];

static int run_command(const char *options, char *out, size_t bytes) {
    char command[600];
    snprintf(command, sizeof command, "\"%s\" bench %s 2>&1", getenv("MEBI"), options);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t n = fread(out, 1, bytes - 1, f);
    out[n] = 0;
    int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char *read_text(const char *path) {
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *text = NULL;
    size_t bytes = 0;
    assert_true(getdelim(&text, &bytes, EOF, f) > 0);
    fclose(f);
    return text;
}

static void command_makes_all(void **state) {
    (void)state;
    static char out[1 << 16];
    char options[300], path[100];
    snprintf(path, sizeof path, "%s/report.html", folder);
    /* What the system counts as memory is not the program's own under a sanitizer. */
    snprintf(options, sizeof options,
             "-m models/mini --sizes 128,64 --steps 1 --prompts 1 --seeds 2 --runs %d --html %s "
             "--json -q",
             SANITIZED ? 1 : 3, path);
    int code = run_command(options, out, sizeof out);
    if (code != 0) fail_msg("%d: %s", code, out);
    json_t *o = json_loads(out, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    json_t *sizes = json_object_get(o, "sizes"), *pictures = json_object_get(o, "pictures");
    assert_int_equal(json_array_size(sizes), 2);
    assert_int_equal(json_array_size(pictures), 4);
    for (size_t i = 0; i < 2; i++) {
        json_t *size = json_array_get(sizes, i);
        assert_true(number(size, "width") == (i ? 128 : 64)); /* smaller first */
        assert_true(number(size, "seconds") > 0 && number(size, "step_seconds") > 0 &&
                    number(size, "decode_seconds") > 0);
        assert_true(number(size, "peak_bytes") > 1e6 && number(size, "pictures") == 2);
        if (!SANITIZED) assert_true(number(size, "peak_bytes") <= number(size, "planned_bytes"));
    }
    json_t *runs = json_object_get(o, "runs");
    assert_int_equal(json_array_size(json_object_get(runs, "peak_bytes")), SANITIZED ? 1 : 3);
    assert_true(json_is_true(json_object_get(runs, "same")));
    if (!SANITIZED) assert_true(json_is_true(json_object_get(runs, "steady")));
    json_decref(o);
    char *html = read_text(path);
    assert_well_formed(html);
    assert_int_equal(count_of(html, "src=\"data:image/png;base64,"), 4);
    free(html);
    assert_int_equal(run_command(options, out, sizeof out), 2);
    assert_non_null(strstr(out, "is not overwritten"));
    unlink(path);
}

static void command_prints_tables_that_fit(void **state) {
    (void)state;
    static char out[1 << 16];
    int code = run_command("-m models/mini --sizes 64x128 --steps 1 --prompts 2 --seeds 1 --runs 0",
                           out, sizeof out);
    if (code != 0) fail_msg("%d: %s", code, out);
    assert_non_null(strstr(out, "64x128"));
    assert_non_null(strstr(out, "picture 1 of 2"));
    assert_null(strstr(out, "in a row"));
    for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n"))
        if (strlen(line) > 100) fail_msg("%zu columns: %s", strlen(line), line);
}

static void command_refuses(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"--sizes 100 -m models/mini", "multiples of 16"},
        {"--sizes 128, -m models/mini", "is not a size"},
        {"--sizes 128,256,128 -m models/mini", "128x128 twice"},
        {"--sizes 16,32,48,64,80,96,112,128,144,160,176,192,208 -m models/mini", "up to 12"},
        {"--prompts 0", "--prompts takes"},
        {"--seeds 17", "--seeds takes"},
        {"--runs 100", "--runs takes"},
        {"--steps 0", "--steps takes"},
        {"--html ''", "empty name"},
        {"--html /nowhere/at/all.html -m models/mini", "/nowhere/at"},
        {"--stage step", "--stage"},
        {"more", "more"},
    };
    static char out[1 << 16];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int code = run_command(bad[i][0], out, sizeof out);
        if (code != (strstr(bad[i][0], "/nowhere") ? 1 : 2) || !strstr(out, bad[i][1]))
            fail_msg("bench %s: %d, %s", bad[i][0], code, out);
    }
}

static int make_folder(void **state) {
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/mebi-sweep-XXXXXX", base && *base ? base : "/tmp");
    unsetenv("MEBI_MODEL");
    unsetenv("MEBI_CPU");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup(name, forget_error)
    const struct CMUnitTest tests[] = {
        TEST(rows_are_medians_and_gains),
        TEST(the_sweet_spot_follows_the_rule),
        TEST(the_page_stands_alone),
        TEST(pictures_are_in_the_page),
        TEST(tables_and_pages_bear_any_figures),
        TEST(json_has_the_figures),
        TEST(command_makes_all),
        TEST(command_prints_tables_that_fit),
        TEST(command_refuses),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

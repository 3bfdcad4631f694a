/* The self-check: that it is quiet about what is in order, and that each planted fault turns it
 * red: in records, in pictures painted here, in a model's weights, and in a process that is held
 * back while it runs. */
#include "cli_run.h"

#include "base/memory.h"
#include "base/os.h"
#include "doctor/doctor.h"
#include "doctor/processor.h"
#include "mebi/image.h"

#include <jansson.h>
#include <math.h>

#define MINI MEBI_FIXTURES "/../../models/mini"

static mebi_error err;
static mebi__findings found;
static const mebi__machine machine = {.cores = 2, .processors = 2, .best = "avx2"};

/* ---- records ---- */

static mebi__doctor *healthy(void) {
    mebi__doctor *d = mebi__doctor_create(&err);
    assert_non_null(d);
    d->info = (mebi_engine_info){.cpu = "avx2", .threads = 2, .native_side = 256};
    d->start_bytes = 1000000, d->loaded_bytes = 20000000, d->end_bytes = 22000000;
    for (int i = 0; i < MEBI__RUNS; i++) {
        mebi__run *r = &d->run[i];
        int steps = i == MEBI__RUN_FEWER ? 30 : i == MEBI__RUN_AUTHORS ? 8 : 40;
        double step = i == MEBI__RUN_SMALLER ? 0.05 : 0.09;
        r->state = MEBI__RUN_DONE;
        r->request = (mebi_request){
            .width = i == MEBI__RUN_SMALLER ? 192 : 256, .steps = steps, .cfg = 7.5f};
        r->request.height = r->request.width;
        r->steps = steps;
        for (int k = 0; k < steps; k++) r->step_seconds[k] = step;
        r->report.seconds[MEBI_STAGE_STEP] = steps * step;
        r->report.seconds[MEBI_STAGE_DECODE] = 0.2;
        r->plan.seconds[MEBI_STAGE_STEP] = steps * step * 1.05;
        r->plan.seconds[MEBI_STAGE_DECODE] = 0.2;
        r->plan.operations = step * 1e11 * steps;
        r->report.plan.peak_bytes = 50000000, r->report.plan.scratch_bytes = 3000000;
        r->report.peak_bytes = 49500000, r->most_bytes = 49000000, r->end_bytes = 22000000;
        r->vitals = (mebi__vitals){.wall = steps * step,
                                   .cpu = 2 * steps * step * 0.98,
                                   .busy = 2 * steps * step * 0.99,
                                   .clock = 1};
    }
    return d;
}

/* A run that took so many times as long, with what was seen meanwhile. */
static void slow_down(mebi__run *r, double times) {
    for (int k = 0; k < r->steps; k++) r->step_seconds[k] *= times;
    r->report.seconds[MEBI_STAGE_STEP] *= times;
    r->vitals.wall *= times;
}

static const mebi__finding *find(const char *check) {
    for (int i = 0; i < found.count; i++)
        if (strstr(found.at[i].check, check)) return &found.at[i];
    fail_msg("there is no line on %s", check);
    return NULL;
}

#define assert_verdict(line, wanted)                                                               \
    do {                                                                                           \
        const mebi__finding *f_ = find(line);                                                      \
        if (f_->verdict != (wanted))                                                               \
            fail_msg("%s is %s: %s", f_->check, mebi__verdict_name(f_->verdict), f_->measured);    \
    } while (0)
#define assert_advice(line, words)                                                                 \
    do {                                                                                           \
        const mebi__finding *f_ = find(line);                                                      \
        if (!strstr(f_->advice, words))                                                            \
            fail_msg("%s doesn't say %s: %s", line, words, f_->advice);                            \
    } while (0)

static int forget(void **state) {
    (void)state;
    err = (mebi_error){0};
    found = (mebi__findings){0};
    return 0;
}

static void healthy_records_are_ok(void **state) {
    (void)state;
    mebi__doctor *d = healthy();
    mebi__judge_time(d, &machine, &found);
    mebi__judge_memory(d, &found);
    for (int i = 0; i < found.count; i++)
        if (found.at[i].verdict != MEBI__OK)
            fail_msg("%s: %s", found.at[i].check, found.at[i].measured);
    assert_true(found.count >= 14);
    mebi__doctor_destroy(&d);
}

/* One run three times as slow as it should be: red by its plan, by the steps and by the sizes, and
 * the cause that was planted is named, no other. */
static void each_cause_of_slowness_is_named(void **state) {
    (void)state;
    static const struct {
        const char *name;
        mebi__vitals v; /* added */
        double cpu;     /* share of the processors that the run had; 0: all */
        const char *says;
    } causes[] = {
        {"swapping", {.own_swap_bytes = 90 << 20}, 0, "swapping"},
        {"swapping of all", {.swapped = 90000}, 0, "swapping"},
        {"weights read again", {.major_faults = 50000}, 0, "read from the disk again"},
        {"waiting for memory", {.stalled = 3}, 0, "waiting for some"},
        {"quota", {.throttled = 14, .throttled_periods = 100}, 0.34, "quota"},
        {"clock", {.clock = -0.6}, 0, "clock was 40 %"},
        {"others", {.busy = 14}, 0.34, "other programs had"},
        {"hypervisor", {.stolen = 14}, 0.34, "virtual machines"},
        {"stopped", {0}, 0.34, "it was stopped"},
    };
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        mebi__doctor *d = healthy();
        mebi__run *r = &d->run[MEBI__RUN_FIRST];
        const mebi__vitals *v = &causes[i].v;
        found = (mebi__findings){0};
        slow_down(r, 3);
        r->vitals.cpu = r->vitals.wall * 2 * (causes[i].cpu > 0 ? causes[i].cpu : 1);
        r->vitals.busy = r->vitals.cpu + v->busy;
        r->vitals.own_swap_bytes = v->own_swap_bytes, r->vitals.swapped = v->swapped;
        r->vitals.major_faults = v->major_faults, r->vitals.stalled = v->stalled;
        r->vitals.throttled = v->throttled, r->vitals.throttled_periods = v->throttled_periods;
        r->vitals.stolen = v->stolen, r->vitals.clock += v->clock;
        mebi__judge_time(d, &machine, &found);
        assert_verdict("256, 40 steps", MEBI__FAIL);
        assert_verdict("a step of 40 and of 30", MEBI__FAIL);
        assert_verdict("256 against 192", MEBI__FAIL);
        assert_advice("256 against 192", causes[i].says);
        for (size_t k = 0; k < sizeof causes / sizeof *causes; k++)
            if (causes[i].cpu == 0 && strcmp(causes[k].says, causes[i].says) != 0 &&
                strstr(find("256 against 192")->advice, causes[k].says))
                fail_msg("%s: also named %s", causes[i].name, causes[k].says);
        mebi__doctor_destroy(&d);
    }
}

static void slowness_without_a_cause_says_so(void **state) {
    (void)state;
    mebi__doctor *d = healthy();
    slow_down(&d->run[MEBI__RUN_SMALLER], 2.5);
    d->run[MEBI__RUN_SMALLER].vitals.cpu *= 2.5, d->run[MEBI__RUN_SMALLER].vitals.busy *= 2.5;
    mebi__judge_time(d, &machine, &found);
    assert_verdict("256 against 192", MEBI__FAIL);
    assert_advice("256 against 192",
                  "No swapping, throttling or other load was seen during 192x192");
    mebi__doctor_destroy(&d);
}

static void a_masked_instruction_set_is_a_cause(void **state) {
    (void)state;
    mebi__doctor *d = healthy();
    d->info.cpu = "ref";
    for (int i = 0; i < MEBI__RUNS; i++) slow_down(&d->run[i], 4);
    mebi__judge_time(d, &machine, &found);
    assert_verdict("256, 40 steps", MEBI__FAIL);
    assert_advice("256, 40 steps", "masked to ref");
    assert_verdict("a step of 40 and of 30", MEBI__OK); /* all are slow alike */
    mebi__doctor_destroy(&d);
}

static void a_little_off_is_a_warning(void **state) {
    (void)state;
    mebi__doctor *d = healthy();
    slow_down(&d->run[MEBI__RUN_FIRST], 1.4);
    d->run[MEBI__RUN_FIRST].vitals.cpu *= 1.4;
    mebi__judge_time(d, &machine, &found);
    assert_verdict("256, 40 steps", MEBI__WARN);
    assert_verdict("a step of 40 and of 30", MEBI__WARN);
    mebi__doctor_destroy(&d);
}

static void an_unknown_speed_is_a_warning(void **state) {
    (void)state;
    mebi__doctor *d = healthy();
    for (int i = 0; i < MEBI__RUNS; i++) d->run[i].plan.seconds[MEBI_STAGE_STEP] = -1;
    mebi__judge_time(d, &machine, &found);
    assert_verdict("256, 40 steps", MEBI__WARN);
    assert_verdict("256 against 192", MEBI__OK);
    mebi__doctor_destroy(&d);
}

static void one_long_pause_is_a_warning(void **state) {
    (void)state;
    mebi__doctor *d = healthy();
    d->run[MEBI__RUN_FEWER].step_seconds[7] = 1.2;
    mebi__judge_time(d, &machine, &found);
    assert_verdict("pauses", MEBI__WARN);
    mebi__doctor_destroy(&d);
}

static void memory_above_the_plan_is_a_failure(void **state) {
    (void)state;
    mebi__doctor *d = healthy();
    d->run[MEBI__RUN_SMALLER].most_bytes = 54000000;
    mebi__judge_memory(d, &found);
    assert_verdict("peak of run 3", MEBI__FAIL);
    assert_verdict("peak of run 1", MEBI__OK);
    mebi__doctor_destroy(&d);
}

static void a_second_run_that_takes_more_is_a_failure(void **state) {
    (void)state;
    mebi__doctor *d = healthy();
    d->run[MEBI__RUN_FEWER].report.peak_bytes = 52000000;
    mebi__judge_memory(d, &found);
    assert_verdict("second run", MEBI__FAIL);
    mebi__doctor_destroy(&d);
}

static void memory_that_stays_is_a_failure(void **state) {
    (void)state;
    mebi__doctor *d = healthy();
    for (int i = 0; i < MEBI__RUNS; i++) d->run[i].end_bytes += (size_t)i * 4000000;
    d->end_bytes += 12000000;
    mebi__judge_memory(d, &found);
    assert_verdict("left at the end", MEBI__FAIL);
    mebi__doctor_destroy(&d);
}

static void a_full_list_keeps_the_worst(void **state) {
    (void)state;
    for (int i = 0; i < MEBI__FINDINGS + 5; i++)
        mebi__finding_add(&found, MEBI__SECTION_SPEED, i == MEBI__FINDINGS ? MEBI__FAIL : MEBI__OK,
                          "x");
    assert_int_equal(found.count, MEBI__FINDINGS);
    assert_int_equal(mebi__findings_worst(&found, MEBI__SECTIONS), MEBI__FAIL);
    assert_int_equal(mebi__findings_worst(&found, MEBI__SECTION_MEMORY), MEBI__OK);
}

static void text_is_cut_between_characters(void **state) {
    (void)state;
    char field[8];
    mebi__say(field, sizeof field, 0, "abc%s", "苹果苹果");
    assert_string_equal(field, "abc苹");
    mebi__say(field, sizeof field, 0, "ab");
    mebi__say(field, sizeof field, 1, "%d", 12);
    assert_string_equal(field, "ab12");
}

/* ---- vitals ---- */

static void counters_follow_work_and_rest(void **state) {
    (void)state;
    mebi__vitals a = mebi__vitals_now();
    double until = mebi__now_seconds() + 30, worked = 0;
    while (worked < 0.1 && mebi__now_seconds() < until) worked = mebi__vitals_now().cpu - a.cpu;
    mebi__vitals b = mebi__vitals_now(), work = mebi__vitals_between(&a, &b);
    assert_true(work.cpu >= 0.1 && work.wall >= 0.1);
    assert_true(b.clock > 1e7 && b.clock < 1e10);
    for (int i = 0; i < 10; i++) nap_ms(50);
    mebi__vitals c = mebi__vitals_now(), rest = mebi__vitals_between(&b, &c);
    assert_true(rest.wall >= 0.5);
    assert_true(mebi__own_share(&rest, 1) < 0.5);
}

/* ---- pictures ---- */

static unsigned char level(double v) {
    return (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : lround(v));
}

typedef struct scene {
    unsigned char back[3], fore[3];
    double soft; /* pixels over which the apple's edge fades */
} scene;
static const scene right = {{255, 255, 255}, {215, 35, 30}, 1};

static mebi_image paint(const scene *s) {
    enum { SIDE = 256 };
    mebi_image image = {SIDE, SIDE, mebi__alloc(MEBI__TAG_OUTPUT, SIDE * SIDE * 3)};
    assert_non_null(image.pixels);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double in = (70 - hypot(x - 128, y - 140)) / s->soft + 0.5;
            in = in < 0 ? 0 : in > 1 ? 1 : in;
            for (int c = 0; c < 3; c++)
                image.pixels[(y * SIDE + x) * 3 + c] =
                    level(s->back[c] * (1 - in) + s->fore[c] * in);
        }
    return image;
}

/* A soft spot, levels darker in its middle. */
static void blotch(const mebi_image *image, int x0, int y0, double radius, double levels) {
    for (int y = 0; y < image->height; y++)
        for (int x = 0; x < image->width; x++) {
            double much = levels * exp(-(pow(x - x0, 2) + pow(y - y0, 2)) / (radius * radius));
            unsigned char *p = image->pixels + ((size_t)y * (size_t)image->width + (size_t)x) * 3;
            for (int c = 0; c < 3; c++) p[c] = level(p[c] - much);
        }
}

static void judge(const scene *s, mebi__picture_kind kind, void (*harm)(mebi_image *)) {
    mebi_image image = paint(s);
    found = (mebi__findings){0};
    if (harm) harm(&image);
    mebi__judge_picture(&image, kind, "it", &found);
    mebi_image_release(&image);
}

static void three_blotches(mebi_image *image) {
    blotch(image, 40, 40, 9, 25);
    blotch(image, 220, 60, 7, 18);
    blotch(image, 30, 220, 12, 12);
}

static void grain(mebi_image *image) {
    uint32_t x = 1;
    for (int i = 0; i < image->width * image->height * 3; i++) {
        x = x * 1664525u + 1013904223u;
        image->pixels[i] = level(image->pixels[i] + ((double)(x >> 16) / 65536 - 0.5) * 30);
    }
}

static void ramp(mebi_image *image) {
    for (int i = 0; i < image->width * image->height * 3; i++)
        image->pixels[i] = level(image->pixels[i] - 14.0 * (i / 3 % image->width) / image->width);
}

static void an_apple_as_asked_is_ok(void **state) {
    (void)state;
    for (int kind = MEBI__PICTURE_ANY; kind <= MEBI__PICTURE_PHOTO; kind++) {
        judge(&right, (mebi__picture_kind)kind, NULL);
        for (int i = 0; i < found.count; i++)
            if (found.at[i].verdict != MEBI__OK)
                fail_msg("%d, %s: %s", kind, found.at[i].check, found.at[i].measured);
        assert_int_equal(found.count, kind == MEBI__PICTURE_ANY ? 5 : 6);
    }
}

static void each_fault_of_a_picture_is_seen(void **state) {
    (void)state;
    static const scene grey = {{225, 225, 225}, {215, 35, 30}, 1},
                       green = {{255, 255, 255}, {40, 170, 50}, 1},
                       soft = {{255, 255, 255}, {215, 35, 30}, 14},
                       empty = {{255, 255, 255}, {255, 255, 255}, 1};
    static const struct {
        const scene *scene;
        void (*harm)(mebi_image *);
        const char *check;
    } faults[] = {
        {&right, three_blotches, "it: blotches"},
        {&right, grain, "it: noise"},
        {&right, ramp, "it: uniform"},
        {&grey, NULL, "it: background"},
        {&green, NULL, "it: red apple"},
        {&soft, NULL, "it: edges"},
        {&empty, NULL, "it: red apple"},
        {&empty, NULL, "it: edges"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        judge(faults[i].scene, MEBI__PICTURE_AUTHORS, faults[i].harm);
        assert_verdict(faults[i].check, MEBI__FAIL);
    }
    judge(&right, MEBI__PICTURE_ANY, three_blotches); /* whatever was asked for */
    assert_verdict("it: blotches", MEBI__FAIL);
    judge(&green, MEBI__PICTURE_ANY, NULL);
    assert_int_equal(mebi__findings_worst(&found, MEBI__SECTIONS), MEBI__OK);
}

/* ---- the command ---- */

static void save(const char *name, void (*harm)(mebi_image *)) {
    const mebi_png_text text = {"parameters",
                                MEBI__DOCTOR_PROMPT "\nSteps: 8, CFG scale: 1, Seed: 1"};
    mebi_image image = paint(&right);
    if (harm) harm(&image);
    assert_mebi_ok(mebi_png_save(name, &image, &text, 1, NULL, &err), &err);
    mebi_image_release(&image);
}

static void a_file_is_judged(void **state) {
    (void)state;
    save("good.png", NULL);
    save("bad.png", three_blotches);
    assert_code(RUN("doctor", "--picture", "good.png"), 0);
    assert_printed("good.png: red apple");
    assert_printed("All is well");
    assert_code(RUN("doctor", "--picture", "bad.png"), 1);
    assert_printed("bad.png: blotches");
    assert_printed("fail");
    assert_code(RUN("doctor", "--picture", "bad.png", "--json"), 1);
    json_t *o = json_loads(ran.out.text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    assert_string_equal(json_string_value(json_object_get(o, "verdict")), "fail");
    assert_int_equal(json_array_size(json_object_get(o, "checks")), 6);
    json_decref(o);
}

/* By whose limits a picture with these texts is judged. own: cfg in mebi's entry; NULL: no entry.
 */
static void assert_judged(const char *scale, const char *own, const char *limits) {
    char text[120], entry[40];
    mebi_image image = paint(&right);
    snprintf(text, sizeof text, "%s\nSteps: 8, CFG scale: %s, Seed: 1", MEBI__DOCTOR_PROMPT, scale);
    snprintf(entry, sizeof entry, "{\"cfg\":%s}", own ? own : "");
    const mebi_png_text texts[] = {{"parameters", text}, {"mebi", entry}};
    assert_mebi_ok(mebi_png_save("judged.png", &image, texts, own ? 2 : 1, NULL, &err), &err);
    mebi_image_release(&image);
    RUN("doctor", "--picture", "judged.png", "--json");
    if (!strstr(ran.out.text, limits))
        fail_msg("CFG scale %s, cfg %s: %s", scale, own ? own : "-", ran.out.text);
    unlink("judged.png");
}

static void guidance_is_read_as_it_was_written(void **state) {
    static const char authors[] = "up to 0.8, ", guided[] = "up to 1.5, ";
    (void)state;
    assert_judged("1", NULL, authors);
    assert_judged("8.5", NULL, guided);
    assert_judged("1", "0", authors);
    assert_judged("8.5", "7.5", guided);
    assert_judged("0", "0", authors); /* as mebi once wrote */
    assert_judged("1", "1", guided);
}

static void bad_lines_are_refused(void **state) {
    (void)state;
    assert_code(RUN("doctor", "--quick", "--full"), 2);
    assert_said("not both");
    assert_code(RUN("doctor", "--only", "speed,memories"), 2);
    assert_said("machine, speed, memory and picture");
    assert_code(RUN("doctor", "--picture", "x.png", "--quick"), 2);
    assert_code(RUN("doctor", "--picture", ""), 2);
    assert_code(RUN("doctor", "--picture", "nowhere.png"), 1);
    assert_said("nowhere.png");
    assert_code(RUN("doctor", "word"), 2);
    assert_code(RUN("doctor", "--help"), 0);
    assert_printed("Exit codes");
}

static void a_model_that_is_missing_is_a_finding(void **state) {
    (void)state;
    assert_code(RUN("doctor", "-m", "nowhere"), 1);
    assert_printed("it can't be opened");
    assert_printed("nowhere");
}

/* The lines of a section that are not ok, as the last run's JSON has them. */
static const char *verdict_of(const char *section, const char *check) {
    static char verdict[8];
    json_t *o = json_loads(ran.out.text, JSON_REJECT_DUPLICATES, NULL), *line;
    size_t i;
    snprintf(verdict, sizeof verdict, "ok");
    if (!o) fail_msg("not JSON: %s (%s)", ran.out.text, ran.err.text);
    json_array_foreach(json_object_get(o, "checks"), i, line) {
        const char *v = json_string_value(json_object_get(line, "verdict"));
        if (strcmp(json_string_value(json_object_get(line, "section")), section) != 0) continue;
        if (check && !strstr(json_string_value(json_object_get(line, "check")), check)) continue;
        if (strcmp(verdict, "fail") != 0 && strcmp(v, "ok") != 0)
            snprintf(verdict, sizeof verdict, "%s", v);
    }
    json_decref(o);
    return verdict;
}

#define DOCTOR "doctor", "-m", MINI, "--quick", "--json", "--quiet"

static void the_shipped_model_is_in_order(void **state) {
    (void)state;
    assert_code(RUN(DOCTOR, "--only", "picture", "--keep", "kept"), 0);
    assert_string_not_equal(verdict_of("picture", NULL), "fail");
    assert_string_equal(verdict_of("picture", "8 steps:"), "ok");
    assert_int_equal(count_files(".png"), 2);
    if (SANITIZED) return; /* its own memory would be measured */
    RUN(DOCTOR, "--only", "memory");
    assert_string_not_equal(verdict_of("memory", NULL), "fail");
}

/* A JSON object a line, whose fractions rise from 0 to nearly 1; all else as without. Returns how
 * many moves there were. */
static int assert_progress(const char *least_words) {
    double before = -1, fraction = 0;
    int moves = 0, told = 0;
    for (char *line = strtok(ran.err.text, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *o = json_loads(line, 0, NULL), *number = json_object_get(o, "fraction");
        const char *words = json_string_value(json_object_get(o, "words"));
        if (!o) fail_msg("not JSON: %s", line);
        if (number) fraction = json_number_value(number);
        if (fraction < before || fraction > 1) fail_msg("%g after %g", fraction, before);
        told |= words && strstr(words, least_words);
        moves += fraction > before;
        before = fraction;
        json_decref(o);
    }
    assert_true(told);
    assert_true(before > 0.5);
    return moves;
}

static void tells_programs_its_progress(void **state) {
    (void)state;
    RUN("doctor", "-m", MINI, "--quick", "--json", "--progress-json", "--only", "speed");
    assert_true(assert_progress("run 2 of 3: ") > 3);
    assert_true(*verdict_of("speed", NULL) != 0);
    assert_code(RUN("bench", "-m", MINI, "--sizes", "128,256", "--prompts", "1", "--seeds", "2",
                    "--runs", "0", "--progress-json"),
                0);
    assert_true(assert_progress("picture 3 of 4, ") > 2);
}

static void a_masked_instruction_set_is_red(void **state) {
    (void)state;
    if (strcmp(mebi__processor_best(), "ref") == 0) skip(); /* there is nothing to mask */
    setenv("MEBI_CPU", "ref", 1);
    assert_code(RUN(DOCTOR, "--only", "machine"), 1);
    assert_string_equal(verdict_of("machine", "instruction set"), "fail");
    assert_printed("unset MEBI_CPU");
    unsetenv("MEBI_CPU");
    RUN(DOCTOR, "--only", "machine");
    assert_string_equal(verdict_of("machine", "instruction set"), "ok");
}

/* ---- planted in weights ---- */

/* A part of the shipped model with one tensor's bf16 values changed. */
static void plant(const char *part, const char *tensor, void (*harm)(uint16_t *, size_t)) {
    char from[400], to[400];
    char *text;
    size_t bytes;
    mkdir(part, 0777);
    snprintf(from, sizeof from, "%s/%s/config.json", MINI, part);
    snprintf(to, sizeof to, "%s/config.json", part);
    assert_mebi_ok(mebi__read_file(from, 1 << 20, &text, &bytes, &err), &err);
    write_text(to, text);
    mebi__free(text);
    snprintf(from, sizeof from, "%s/%s/diffusion_pytorch_model.safetensors", MINI, part);
    snprintf(to, sizeof to, "%s/diffusion_pytorch_model.safetensors", part);
    assert_mebi_ok(mebi__read_file(from, 64 << 20, &text, &bytes, &err), &err);
    uint64_t header;
    memcpy(&header, text, sizeof header);
    json_t *names = json_loadb(text + 8, header, 0, NULL);
    json_t *range = json_object_get(json_object_get(names, tensor), "data_offsets");
    size_t begin = (size_t)json_integer_value(json_array_get(range, 0));
    size_t end = (size_t)json_integer_value(json_array_get(range, 1));
    assert_true(end > begin && 8 + header + end <= bytes);
    uint16_t *values = malloc(end - begin);
    assert_non_null(values);
    memcpy(values, text + 8 + header + begin, end - begin);
    harm(values, (end - begin) / 2);
    memcpy(text + 8 + header + begin, values, end - begin);
    FILE *f = fopen(to, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, bytes, f), bytes);
    fclose(f);
    free(values);
    json_decref(names);
    mebi__free(text);
}

static void flip_signs(uint16_t *v, size_t n) {
    for (size_t i = 0; i < n; i += 2) v[i] ^= 0x8000;
}

static void add_12_to_third(uint16_t *v, size_t n) {
    assert_true(n > 3);
    v[3] = 0x4140; /* 12 */
}

static void one_nan(uint16_t *v, size_t n) {
    v[n / 2] = 0x7fc0;
}

static void damaged_weights_are_red(void **state) {
    (void)state;
    plant("transformer", "layers.3.attention.to_v.weight", flip_signs);
    assert_code(RUN(DOCTOR, "--only", "picture", "--diffusion-model", "transformer"), 1);
    assert_string_equal(verdict_of("picture", "8 steps: blotches"), "fail");
}

static void a_damaged_decoder_is_red(void **state) {
    (void)state;
    plant("vae", "decoder.up_blocks.2.resnets.1.conv2.bias", add_12_to_third);
    assert_code(RUN(DOCTOR, "--only", "picture", "--vae", "vae"), 1);
    assert_string_equal(verdict_of("picture", "8 steps: blotches"), "fail");
    assert_string_equal(verdict_of("picture", "8 steps: background"), "fail");
}

static void a_nan_among_the_weights_is_red(void **state) {
    (void)state;
    plant("vae", "decoder.up_blocks.1.resnets.0.conv1.weight", one_nan);
    assert_code(RUN(DOCTOR, "--only", "picture", "--vae", "vae"), 1);
    assert_printed("up_blocks.1.resnets.0.conv1.weight");
}

/* ---- planted in time ---- */

/* The first run is stopped again and again, as a process is that waits for its pages: for most of
 * the time, in pulses shorter than a step. The others run freely. */
static void a_process_held_back_is_red(void **state) {
    (void)state;
    if (SANITIZED) skip(); /* what is measured would be the sanitizer */
    child_start(&(start_how){0},
                WORDS("doctor", "-m", MINI, "--quick", "--json", "--only", "speed"), -1);
    child_await_words("run 1 of 3");
    int64_t until = now_ms() + PATIENCE_MS;
    while (!strstr(ran.err.text, "run 2 of 3") && now_ms() < until) {
        kill(ran.pid, SIGSTOP);
        nap_ms(SANITIZED ? 160 : 45);
        kill(ran.pid, SIGCONT);
        nap_ms(SANITIZED ? 20 : 5);
        struct pollfd p = {ran.err.fd, POLLIN, 0};
        if (poll(&p, 1, 0) > 0) listen_to(&ran.err);
    }
    assert_code(child_end(), 1);
    assert_string_equal(verdict_of("speed", "a step of"), "fail");
    assert_string_equal(verdict_of("speed", "against"), "fail");
    assert_printed("had a processor for only");
}

static void an_interrupt_ends_it(void **state) {
    (void)state;
    child_start(&(start_how){0}, WORDS("doctor", "-m", MINI, "--only", "speed"), -1);
    child_await_words("run 1 of 3");
    kill(ran.pid, SIGINT);
    assert_code(child_end(), 130);
    assert_said("Interrupted");
    assert_int_equal(count_files(""), 0);
}

/* One for all: what is measured of the machine need not be measured again. */
static char cache[64];

static int enter(void **state) {
    forget(state);
    if (enter_folder(state) != 0) return -1;
    setenv("MEBI_CACHE_DIR", cache, 1);
    return 0;
}

static int make_cache(void **state) {
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(cache, sizeof cache, "%.40s/mebi-cache-XXXXXX", base && *base ? base : "/tmp");
    return mkdtemp(cache) ? 0 : -1;
}

static int remove_cache(void **state) {
    (void)state;
    return nftw(cache, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void) {
#define PLAIN(test)   cmocka_unit_test_setup(test, forget)
#define COMMAND(test) cmocka_unit_test_setup_teardown(test, enter, leave_folder)
    const struct CMUnitTest tests[] = {
        PLAIN(healthy_records_are_ok),
        PLAIN(each_cause_of_slowness_is_named),
        PLAIN(slowness_without_a_cause_says_so),
        PLAIN(a_masked_instruction_set_is_a_cause),
        PLAIN(a_little_off_is_a_warning),
        PLAIN(an_unknown_speed_is_a_warning),
        PLAIN(one_long_pause_is_a_warning),
        PLAIN(memory_above_the_plan_is_a_failure),
        PLAIN(a_second_run_that_takes_more_is_a_failure),
        PLAIN(memory_that_stays_is_a_failure),
        PLAIN(a_full_list_keeps_the_worst),
        PLAIN(text_is_cut_between_characters),
        PLAIN(counters_follow_work_and_rest),
        PLAIN(an_apple_as_asked_is_ok),
        PLAIN(each_fault_of_a_picture_is_seen),
        COMMAND(a_file_is_judged),
        COMMAND(guidance_is_read_as_it_was_written),
        COMMAND(bad_lines_are_refused),
        COMMAND(a_model_that_is_missing_is_a_finding),
        COMMAND(the_shipped_model_is_in_order),
        COMMAND(tells_programs_its_progress),
        COMMAND(a_masked_instruction_set_is_red),
        COMMAND(damaged_weights_are_red),
        COMMAND(a_damaged_decoder_is_red),
        COMMAND(a_nan_among_the_weights_is_red),
        COMMAND(a_process_held_back_is_red),
        COMMAND(an_interrupt_ends_it),
    };
    return cmocka_run_group_tests(tests, make_cache, remove_cache);
}

/* Making a sweep's pictures, one job each, in one engine. Nothing of this program's own may be held
 * that grows from picture to picture: it would be measured as the next one's memory. */
#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/os.h"
#include "image/png.h"
#include "sweep/store.h"

#include <string.h>

const mebi__sweep_prompt mebi__sweep_prompts[MEBI__SWEEP_PROMPTS] = {
    {"纯白背景,一个红色苹果", "zh"}, {"a blue cube on a yellow background", "en"},
    {"一个绿色的球,白色背景", "zh"}, {"a red heart on a blue background", "en"},
    {"一条橙色的鱼,白色背景", "zh"}, {"a purple cube on a white background", "en"},
};

mebi__sweep_params mebi__sweep_params_default(void) {
    return (mebi__sweep_params){.steps = 8, .prompts = 3, .seeds = 2, .runs = 3, .model = ""};
}

/* ---- before the work ---- */

static mebi_status check_params(const mebi__sweep_params *p, mebi_error *err) {
    if (p->sizes < 0 || p->sizes > MEBI__SWEEP_SIZES || p->prompts < 1 ||
        p->prompts > MEBI__SWEEP_PROMPTS || p->seeds < 1 || p->seeds > MEBI__SWEEP_SEEDS ||
        p->runs < 0 || p->runs > MEBI__SWEEP_RUNS)
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "%d sizes, %d prompts, %d seeds and %d runs asked for; up to %d, %d, %d and %d are "
            "possible.",
            p->sizes, p->prompts, p->seeds, p->runs, MEBI__SWEEP_SIZES, MEBI__SWEEP_PROMPTS,
            MEBI__SWEEP_SEEDS, MEBI__SWEEP_RUNS);
    return MEBI_OK;
}

/* Half of the native size to three times it; for the published model's 1024 the sizes people use.
 */
static void choose_sizes(mebi__sweep_params *p, int native, int multiple) {
    static const int eighths[2][5] = {{4, 8, 12, 16, 24}, {4, 6, 8, 10, 12}};
    p->sizes = 5;
    for (int i = 0; i < 5; i++) {
        int side = native * eighths[native >= 512][i] / 8 / multiple * multiple;
        p->size[i].width = p->size[i].height = side > multiple ? side : multiple;
    }
}

static void sort_sizes(mebi__sweep_params *p) {
    for (int i = 1; i < p->sizes; i++)
        for (int k = i; k > 0; k--) {
            int64_t below = (int64_t)p->size[k - 1].width * p->size[k - 1].height;
            if (below <= (int64_t)p->size[k].width * p->size[k].height) break;
            int width = p->size[k].width, height = p->size[k].height;
            p->size[k] = p->size[k - 1];
            p->size[k - 1].width = width, p->size[k - 1].height = height;
        }
}

static mebi_request request_of(const mebi__sweep *s, int size, int prompt, int seed) {
    mebi_request r = mebi_request_default(s->engine);
    r.prompt = mebi__sweep_prompts[prompt].text;
    r.width = s->row[size].width;
    r.height = s->row[size].height;
    r.steps = s->params.steps;
    r.seed = seed + 1;
    return r;
}

static mebi_status plan_sizes(mebi__sweep *s, mebi_error *err) {
    s->native = -1;
    for (int i = 0; i < s->params.sizes; i++) {
        mebi__row *row = &s->row[i];
        row->width = s->params.size[i].width;
        row->height = s->params.size[i].height;
        row->native = row->width == s->info.native_side && row->height == s->info.native_side;
        row->of = s->params.prompts * s->params.seeds;
        if (row->native) s->native = i;
        if (row->width < MEBI_MEASURED_SIDE_LEAST || row->height < MEBI_MEASURED_SIDE_LEAST)
            return mebi__fail(err, MEBI_BAD_ARGUMENT,
                              "Pictures of %d x %d can't be measured: sides are %d and more.",
                              row->width, row->height, MEBI_MEASURED_SIDE_LEAST);
        mebi_request request = request_of(s, i, 0, 0);
        MEBI_TRY(mebi_plan_request(s->engine, &request, &row->plan, err));
    }
    return MEBI_OK;
}

static mebi_status make_shots(mebi__sweep *s, mebi_error *err) {
    int each = s->params.prompts * s->params.seeds;
    s->shots = s->params.sizes * each;
    s->shot = mebi__alloc_array(MEBI__TAG_GENERAL, (size_t)s->shots, sizeof *s->shot);
    s->store = tmpfile();
    if (!s->shot)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the figures of %d pictures.",
                          s->shots);
    if (!s->store)
        return mebi__fail(err, MEBI_IO,
                          "No temporary file can be made for the pictures. Name a folder that can "
                          "be written in TMPDIR.");
    for (int i = 0; i < s->shots; i++) {
        s->shot[i].size = i / each;
        s->shot[i].prompt = i % each / s->params.seeds;
        s->shot[i].seed = i % s->params.seeds;
    }
    return MEBI_OK;
}

mebi_status mebi__sweep_open(mebi_engine *engine, const mebi__sweep_params *params,
                             mebi__sweep **sweep, mebi_error *err) {
    *sweep = NULL;
    MEBI_TRY(check_params(params, err));
    mebi__sweep *s = mebi__alloc(MEBI__TAG_GENERAL, sizeof *s);
    if (!s) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the figures.");
    s->engine = engine;
    s->info = mebi_engine_describe(engine);
    s->params = *params;
    s->sweet = -1;
    if (s->params.sizes == 0) choose_sizes(&s->params, s->info.native_side, s->info.size_multiple);
    sort_sizes(&s->params);
    mebi_status status = plan_sizes(s, err);
    if (status == MEBI_OK) status = make_shots(s, err);
    if (status != MEBI_OK) mebi__sweep_close(&s);
    *sweep = s;
    return status;
}

void mebi__sweep_close(mebi__sweep **sweep) {
    mebi__sweep *s = *sweep;
    if (!s) return;
    if (s->store) fclose(s->store);
    mebi__free(s->shot);
    mebi__free(s);
    *sweep = NULL;
}

double mebi__sweep_planned_seconds(const mebi__sweep *s) {
    double all = 0;
    for (int i = 0; i < s->params.sizes; i++) {
        if (s->row[i].plan.verdict == MEBI_TOO_BIG) continue;
        if (!(s->row[i].plan.total_seconds > 0)) return -1;
        all += s->row[i].plan.total_seconds *
               (s->row[i].of + (i == s->runs_size ? s->params.runs : 0));
    }
    return all;
}

/* ---- the work ---- */

/* For the callbacks. */
typedef struct work {
    mebi__sweep *s;
    const mebi_callbacks *user;
    int64_t pixels_at;
    uint64_t hash;
    double began, all, done,
        own; /* operations of the sweep, of finished jobs, of the job under way */
    int picture, pictures;
} work;

/* The sweep's progress from a job's. Work is counted in operations until the clock has seen a tenth
 * of it; the plan's seconds are better before that, where they are known. */
static void on_progress(void *context, const mebi_progress *job) {
    work *w = context;
    mebi_progress p = *job;
    double planned = mebi__sweep_planned_seconds(w->s);
    p.image = w->picture;
    p.count = w->pictures;
    p.fraction = w->all > 0 ? (w->done + w->own * job->fraction) / w->all : 0;
    p.seconds = mebi__now_seconds() - w->began;
    if (p.fraction > 0.1) p.seconds_left = p.seconds / p.fraction * (1 - p.fraction);
    else p.seconds_left = planned > 0 ? planned * (1 - p.fraction) : -1;
    if (w->user->progress) w->user->progress(w->user->context, &p);
}

static int on_cancelled(void *context) {
    const mebi_callbacks *user = ((work *)context)->user;
    return user->cancelled ? user->cancelled(user->context) : 0;
}

static void on_notice(void *context, const char *text) {
    const mebi_callbacks *user = ((work *)context)->user;
    if (user->notice) user->notice(user->context, text);
}

static mebi_status on_image(void *context, int index, int64_t seed, const mebi_image *image,
                            mebi_error *err) {
    work *w = context;
    size_t bytes = (size_t)image->width * (size_t)image->height * 3;
    (void)index, (void)seed;
    w->hash = mebi__hash(0, image->pixels, bytes);
    return mebi__store_put(w->s, image->pixels, bytes, &w->pixels_at, err);
}

/* One job, with a peak of its own. A size that turns out not to fit is no failure: *made stays 0.
 */
static mebi_status make_picture(work *w, int size, int prompt, int seed, mebi_plan *plan,
                                mebi_report *report, int *made, mebi_error *err) {
    mebi_request request = request_of(w->s, size, prompt, seed);
    mebi_callbacks own = {w, on_progress, on_image, on_cancelled, on_notice};
    mebi_error refusal = {0};
    *made = 0;
    w->picture++;
    w->own = w->s->row[size].plan.operations;
    MEBI_TRY(mebi_plan_request(w->s->engine, &request, plan, err));
    mebi_status status = plan->verdict == MEBI_TOO_BIG
                             ? MEBI_NO_MEMORY
                             : mebi_generate(w->s->engine, &request, &own, report, &refusal);
    w->done += w->own;
    *made = status == MEBI_OK;
    if (status == MEBI_OK || status == MEBI_NO_MEMORY) return MEBI_OK;
    return mebi__fail(err, status, "%s", refusal.text);
}

/* Against a leak, and for what equal requests must give. */
static mebi_status run_in_a_row(work *w, mebi_error *err) {
    mebi__sweep *s = w->s;
    for (int i = 0; i < s->params.runs; i++) {
        mebi_plan plan;
        mebi_report report = {0};
        int made;
        s->stored = 0; /* each over the one before */
        MEBI_TRY(make_picture(w, s->runs_size, 0, 0, &plan, &report, &made, err));
        if (!made) return MEBI_OK;
        s->run_peak[i] = report.peak_bytes;
        s->run_seconds[i] = report.total_seconds;
        s->run_hash[i] = w->hash;
        s->runs++;
    }
    s->stored = 0;
    return MEBI_OK;
}

static void compare_runs(mebi__sweep *s) {
    if (s->runs < 1) return;
    /* What the system counts as resident lags by some hundreds of KiB. */
    size_t first = s->run_peak[0], last = s->run_peak[s->runs - 1];
    size_t apart = first > last ? first - last : last - first, slack = first / 100;
    s->steady = apart <= (slack > 512 << 10 ? slack : 512 << 10);
    s->same = 1;
    for (int i = 1; i < s->runs; i++) s->same &= s->run_hash[i] == s->run_hash[0];
}

static mebi_status keep_png(mebi__sweep *s, mebi__shot *shot, const mebi_image *image,
                            mebi_error *err) {
    void *png = NULL;
    mebi_status status = mebi__png_encode(image, &png, &shot->png_bytes, err);
    if (status == MEBI_OK) status = mebi__store_put(s, png, shot->png_bytes, &shot->png_at, err);
    mebi__free(png);
    return status;
}

/* The native size's picture of the same prompt and seed. */
static const mebi__shot *native_of(const mebi__sweep *s, const mebi__shot *shot) {
    if (s->native < 0) return NULL;
    int each = s->params.prompts * s->params.seeds;
    const mebi__shot *native = &s->shot[s->native * each + (int)(shot - s->shot) % each];
    return native->made ? native : NULL;
}

static mebi_status look_at(mebi__sweep *s, mebi__shot *shot, mebi_error *err) {
    mebi_image image = {0}, other = {0};
    const mebi__shot *native = native_of(s, shot);
    mebi_status status = mebi__store_picture(s, shot, &image, err);
    if (status == MEBI_OK) status = mebi_image_measure(&image, &shot->measures, err);
    if (status == MEBI_OK) status = keep_png(s, shot, &image, err);
    if (status == MEBI_OK && native && native != shot) {
        status = mebi__store_picture(s, native, &other, err);
        if (status == MEBI_OK) status = mebi_image_compare(&image, &other, &shot->likeness, err);
    }
    mebi_image_release(&image);
    mebi_image_release(&other);
    return status;
}

static mebi_status make_all(work *w, mebi_error *err) {
    mebi__sweep *s = w->s;
    for (int i = 0; i < s->shots; i++) {
        mebi__shot *shot = &s->shot[i];
        if (s->row[shot->size].plan.verdict == MEBI_TOO_BIG) continue;
        MEBI_TRY(make_picture(w, shot->size, shot->prompt, shot->seed, &shot->plan, &shot->report,
                              &shot->made, err));
        shot->pixels_at = w->pixels_at;
    }
    on_notice(w, "measuring the pictures");
    /* Only now, as the native size's pictures come after smaller ones. */
    for (int i = 0; i < s->shots; i++)
        if (s->shot[i].made) MEBI_TRY(look_at(s, &s->shot[i], err));
    return MEBI_OK;
}

mebi_status mebi__sweep_run(mebi__sweep *s, const mebi_callbacks *callbacks, mebi_error *err) {
    static const mebi_callbacks none;
    work w = {.s = s, .user = callbacks ? callbacks : &none, .began = mebi__now_seconds()};
    s->runs_size = s->native >= 0 ? s->native : 0;
    for (int i = 0; i < s->params.sizes; i++) {
        int jobs = s->row[i].of + (i == s->runs_size ? s->params.runs : 0);
        if (s->row[i].plan.verdict == MEBI_TOO_BIG) continue;
        w.all += s->row[i].plan.operations * jobs;
        w.pictures += jobs;
    }
    mebi_status status = run_in_a_row(&w, err);
    if (status == MEBI_OK) status = make_all(&w, err);
    s->seconds = mebi__now_seconds() - w.began;
    compare_runs(s);
    if (status == MEBI_OK) mebi__sweep_judge(s);
    return status;
}

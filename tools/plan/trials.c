/* Plans beside what really happens: random requests through one process, each planned, then done.
 *
 *     trials [-p PRECISION,...] [-s STEPS] [-l SMALLEST] MODEL COUNT SEED LARGEST [GROUP]
 *
 * PRECISION: f32 and int8 by default. STEPS, SMALLEST: at most, at least; 12 and 64.
 * Prints a line for each request: what was planned and measured, in bytes and seconds. With GROUP, the folder of
 * a memory control group (version 1) that this process is in, its peak is measured as well, and every second
 * request is done under a limit: the plan and five in a hundred, or anything from next to nothing up.
 * tools/plan/run-trials makes such a group. Ends with 0 if every promise was kept. */
#include "mebi/mebi.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef struct trials {
    const char *model, *group;
    mebi_precision precision[MEBI_PRECISION_COUNT];
    int precisions, count, smallest, largest, steps;
    uint64_t random;
    int done, refused, offered, late, low, high, group_low, group_high, slow, timed, misled, told, broken;
} trials;

/* What a job said after its second step, and when. */
typedef struct foretold {
    double left, at;
} foretold;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int pick(trials *t, int choices) {
    t->random = t->random * 6364136223846793005u + 1442695040888963407u;
    return (int)((t->random >> 33) % (uint64_t)choices);
}

/* ---- the group ---- */

static size_t group_number(const trials *t, const char *name) {
    char path[512];
    unsigned long long value = 0;
    if (!t->group) return 0;
    snprintf(path, sizeof path, "%s/%s", t->group, name);
    FILE *f = fopen(path, "r");
    if (!f || fscanf(f, "%llu", &value) != 1) value = 0;
    if (f) fclose(f);
    return (size_t)value;
}

/* Pages of files that the group has been charged with: not memory that a job takes. */
static size_t group_files(const trials *t) {
    char path[512], line[128];
    unsigned long long value = 0;
    if (!t->group) return 0;
    snprintf(path, sizeof path, "%s/memory.stat", t->group);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "total_cache %llu", &value) == 1) break;
    if (f) fclose(f);
    return (size_t)value;
}

/* 0 if the system doesn't take it: more than that is in use. */
static int set_group(const trials *t, const char *name, long long value) {
    char path[512];
    if (!t->group) return 1;
    snprintf(path, sizeof path, "%s/%s", t->group, name);
    FILE *f = fopen(path, "w");
    int written = f && fprintf(f, "%lld", value) > 0;
    if (f && fclose(f) != 0) written = 0;
    return written;
}

/* ---- one request ---- */

static mebi_request random_request(trials *t, const mebi_engine *e) {
    static const char *const prompts[] = {"a red apple on a white background", "纯白背景,一个红色苹果",
                                          "two blue circles and a small green star on a grey background"};
    mebi_request r = mebi_request_default(e);
    int least = t->smallest / 16, choices = t->largest / 16 - least + 1;
    r.prompt = prompts[pick(t, 3)];
    r.width = 16 * (least + pick(t, choices));
    r.height = pick(t, 2) ? r.width : 16 * (least + pick(t, choices));
    r.steps = 1 + pick(t, t->steps);
    r.count = 1 + (pick(t, 3) == 0) * pick(t, 4);
    r.cfg = pick(t, 3) ? 0 : 4;
    r.seed = pick(t, 1000);
    r.decode = (mebi_decode_way)(pick(t, 3) ? MEBI_DECODE_AUTO : 1 + pick(t, 3));
    return r;
}

static void note(void *context, const mebi_progress *p) {
    foretold *f = context;
    if (p->stage == MEBI_STAGE_STEP && p->step == 2 && f->at == 0)
        *f = (foretold){.left = p->seconds_left, .at = p->seconds};
}

static mebi_status drop(void *context, int index, int64_t seed, const mebi_image *image, mebi_error *err) {
    char path[] = "/tmp/mebi-trial-XXXXXX";
    (void)context, (void)index, (void)seed;
    if (!mkdtemp(path)) return MEBI_IO;
    char file[64];
    snprintf(file, sizeof file, "%s/p.png", path);
    mebi_status status = mebi_png_save(file, image, NULL, 0, NULL, err);
    remove(file);
    remove(path);
    return status;
}

static void complain(trials *t, const char *what) {
    t->broken++;
    printf("        BROKEN: %s\n", what);
}

/* Planned and measured seconds of each stage: what a ratio of the whole hides. */
static void print_stages(const mebi_report *report) {
    static const char *const names[MEBI_STAGE_COUNT] = {[MEBI_STAGE_TAKE] = "take", [MEBI_STAGE_ENCODE] = "encode", [MEBI_STAGE_STEP] = "steps",
                                                        [MEBI_STAGE_DECODE] = "decode", [MEBI_STAGE_SAVE] = "save"};
    printf("        ");
    for (int i = 0; i < MEBI_STAGE_COUNT; i++)
        if (names[i]) printf(" %s %.4f %.4f", names[i], report->plan.seconds[i], report->seconds[i]);
    printf("\n");
}

/* Does a request whose plan says it fits. */
static void carry_out(trials *t, mebi_engine *e, const mebi_request *r, const char *how) {
    foretold said = {0};
    mebi_callbacks c = {.context = &said, .image = drop, .progress = note};
    mebi_report report;
    mebi_error err = {0};
    set_group(t, "memory.max_usage_in_bytes", 0);
    mebi_status status = mebi_generate(e, r, &c, &report, &err);
    const mebi_plan *p = &report.plan;
    size_t group = group_number(t, "memory.max_usage_in_bytes"), files = group_files(t);
    group = group > files ? group - files : 0;
    double took = report.total_seconds;
    double ratio = p->peak_bytes ? (double)p->peak_bytes / (double)report.peak_bytes : 0;
    double time = p->total_seconds / took, left = took - said.at;
    double group_ratio = group ? (double)(p->peak_bytes + p->system_bytes) / (double)group : 0;
    printf("%-8s %4dx%-4d n%d s%-2d %s %-8s %-6s planned %9.3f MB, measured %9.3f (%.4f), group %9.3f (%.4f); "
           "%7.3f s, %7.3f (%.3f); left %.3f\n",
           how, r->width, r->height, r->count, r->steps, r->cfg > 0 ? "g" : "-",
           mebi_verdict_name(p->verdict), mebi_decode_way_name(p->decode), (double)p->peak_bytes * 1e-6,
           (double)report.peak_bytes * 1e-6, ratio, (double)group * 1e-6, group_ratio, p->total_seconds, took,
           time, said.at > 0 ? said.left / left : 0);
    if (status != MEBI_OK) {
        complain(t, err.text);
        return;
    }
    print_stages(&report);
    t->done++;
    if (report.images != r->count) complain(t, "pictures are missing");
    t->low += ratio < 1;
    t->high += ratio > 1.03;
    t->group_low += group && group_ratio < 1;
    t->group_high += group && group_ratio > 1.03;
    t->timed++;
    t->slow += !(time > 0.85 && time < 1.15);
    t->told += said.at > 0;
    t->misled += said.at > 0 && !(said.left > 0.8 * left && said.left < 1.2 * left);
}

/* Refused at once, with what fits, and that is done. */
static void take_offer(trials *t, mebi_engine *e, const mebi_request *r, const mebi_plan *plan,
                       double seconds) {
    t->refused++;
    t->late += seconds > 0.1;
    printf("refused  %4dx%-4d n%d: needs %.3f MB of %.3f, told in %.1f ms, %d offers\n", r->width,
           r->height, r->count, (double)plan->need_bytes * 1e-6, (double)plan->budget_bytes * 1e-6,
           seconds * 1e3, plan->alternatives);
    if (!plan->alternatives) return;
    t->offered++;
    mebi_request other = *r;
    other.width = plan->alternative[0].width;
    other.height = plan->alternative[0].height;
    other.count = plan->alternative[0].count;
    other.cfg = plan->alternative[0].cfg;
    other.decode = MEBI_DECODE_AUTO;
    carry_out(t, e, &other, "offer");
}

static void try_request(trials *t, mebi_engine *e, int index) {
    mebi_request r = random_request(t, e);
    mebi_plan plan;
    mebi_error err = {0};
    size_t used = group_number(t, "memory.usage_in_bytes");
    const char *how = "free";
    if (t->group && index % 2) {
        size_t limit = used + (64 << 10) + (size_t)pick(t, 1 << 20) * (size_t)(1 + pick(t, 200));
        how = "limit";
        if (pick(t, 2) && mebi_plan_request(e, &r, &plan, &err) == MEBI_OK &&
            plan.verdict != MEBI_TOO_BIG) {
            limit = plan.need_bytes + plan.need_bytes / 20;
            how = "plan+5%";
        }
        if (!set_group(t, "memory.limit_in_bytes", (long long)limit)) how = "free";
    }
    double begin = now();
    if (mebi_plan_request(e, &r, &plan, &err) != MEBI_OK) complain(t, err.text);
    else if (plan.verdict != MEBI_TOO_BIG) carry_out(t, e, &r, how);
    else take_offer(t, e, &r, &plan, now() - begin);
    set_group(t, "memory.limit_in_bytes", -1);
}

/* ---- the command ---- */

static int read_precisions(trials *t, const char *list) {
    char text[64];
    snprintf(text, sizeof text, "%s", list);
    for (char *rest = text, *word; (word = strtok_r(rest, ",", &rest));) {
        int found = 0;
        for (int p = MEBI_PRECISION_F32; p < MEBI_PRECISION_COUNT; p++)
            if (strcmp(word, mebi_precision_name((mebi_precision)p)) == 0) found = p;
        if (!found || t->precisions == MEBI_PRECISION_COUNT) return 0;
        t->precision[t->precisions++] = (mebi_precision)found;
    }
    return t->precisions > 0;
}

static int read_arguments(trials *t, int argc, char **argv) {
    int letter;
    while ((letter = getopt(argc, argv, "p:s:l:")) != -1) {
        if (letter == 'p' && !read_precisions(t, optarg)) return 0;
        if (letter == 's') t->steps = atoi(optarg);
        if (letter == 'l') t->smallest = atoi(optarg);
        if (letter == '?') return 0;
    }
    if (argc - optind < 4) return 0;
    t->model = argv[optind];
    t->count = atoi(argv[optind + 1]);
    t->random = strtoull(argv[optind + 2], NULL, 10);
    t->largest = atoi(argv[optind + 3]);
    t->group = argc - optind > 4 ? argv[optind + 4] : NULL;
    return (t->precisions || read_precisions(t, "f32,int8")) && t->steps > 0 && t->smallest >= 16 &&
           t->largest >= t->smallest;
}

/* A share of the requests through an engine of its own. */
static int try_engine(trials *t, mebi_precision precision, mebi_weights_way weights, int requests) {
    mebi_engine_params params = mebi_engine_params_default();
    mebi_engine *e;
    mebi_error err = {0};
    params.model = t->model;
    params.precision = precision;
    params.weights = weights;
    params.calibrate = 1;
    if (mebi_engine_open(&params, NULL, &e, &err) != MEBI_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 0;
    }
    printf("-- %s, weights %s\n", mebi_precision_name(precision), mebi_weights_way_name(weights));
    for (int k = 0; k < requests; k++) try_request(t, e, k);
    mebi_engine_close(&e);
    return 1;
}

int main(int argc, char **argv) {
    static const mebi_weights_way ways[] = {MEBI_WEIGHTS_AUTO, MEBI_WEIGHTS_STREAMED};
    trials t = {.steps = 12, .smallest = 64};
    if (!read_arguments(&t, argc, argv)) {
        fprintf(stderr, "usage: trials [-p PRECISION,...] [-s STEPS] [-l SMALLEST] MODEL COUNT SEED LARGEST [GROUP]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < 2 * t.precisions; i++)
        if (!try_engine(&t, t.precision[i / 2], ways[i % 2], t.count / (2 * t.precisions))) return 1;
    printf("%d done, %d refused (%d with an offer, %d late); planned memory %d below, %d over 3 %% above, of the "
           "group's peak %d and %d; time of %d of %d off by over 15 %%, what is left after step 2 of %d of %d "
           "by over 20 %%; %d promises broken\n",
           t.done, t.refused, t.offered, t.late, t.low, t.high, t.group_low, t.group_high, t.slow, t.timed,
           t.misled, t.told, t.broken);
    return t.broken || t.low || t.high || t.late;
}

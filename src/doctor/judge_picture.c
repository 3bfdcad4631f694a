/* What a picture shows, against what the check's prompt asks for. docs/doctor.md tells how far from
 * these limits normal pictures and faulty ones are. */
#include "doctor/doctor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Up to `fine` is ok, beyond `most` is a failure. */
typedef struct limit {
    double fine, most;
} limit;

typedef struct limits {
    limit grey;      /* levels that a channel of the background is below white */
    limit deviation; /* levels, of the background */
    limit off;       /* share of the background's pixels that stand out */
    limit slope;     /* levels from edge to edge */
    limit noise;     /* levels */
    limit edge;      /* pixels */
    limit hue;       /* degrees from red */
    limit other;     /* share of the object that has another hue */
    limit blotches;  /* share of the background */
} limits;

/* The small model's, from 20 seeds at each of the check's settings; of photographs by estimate. */
static const limits of_kind[] = {
    [MEBI__PICTURE_ANY] = {.grey = {255, 255},
                           .deviation = {1.5, 4},
                           .off = {0.012, 0.05},
                           .slope = {10, 255},
                           .noise = {2, 6},
                           .edge = {4, 8},
                           .hue = {180, 180},
                           .other = {1, 1},
                           .blotches = {0, 0.006}},
    [MEBI__PICTURE_AUTHORS] = {.grey = {4, 12},
                               .deviation = {0.8, 2},
                               .off = {0.003, 0.02},
                               .slope = {0.5, 3},
                               .noise = {0.5, 2},
                               .edge = {3.6, 4.5},
                               .hue = {15, 30},
                               .other = {0.2, 0.4},
                               .blotches = {0, 0.002}},
    [MEBI__PICTURE_GUIDED] = {.grey = {4, 12},
                              .deviation = {1.5, 3},
                              .off = {0.012, 0.05},
                              .slope = {1.5, 5},
                              .noise = {0.5, 2},
                              .edge = {3.6, 4.5},
                              .hue = {15, 30},
                              .other = {0.25, 0.45},
                              .blotches = {0, 0.03}},
    [MEBI__PICTURE_PHOTO] = {.grey = {20, 60},
                             .deviation = {4, 16},
                             .off = {0.1, 0.4},
                             .slope = {12, 40},
                             .noise = {2, 6},
                             .edge = {6, 12},
                             .hue = {25, 45},
                             .other = {0.4, 0.7},
                             .blotches = {0, 0.15}},
};

typedef struct judging {
    const mebi_measures *m;
    const limits *l;
    mebi__picture_kind kind;
    const char *name;
    mebi__findings *to;
} judging;

static mebi__finding *add(const judging *j, const char *what) {
    char check[48];
    snprintf(check, sizeof check, "%.20s: %s", j->name, what);
    return mebi__finding_add(j->to, MEBI__SECTION_PICTURE, MEBI__OK, check);
}

static mebi__verdict verdict_of(double value, limit l) {
    return value <= l.fine ? MEBI__OK : value <= l.most ? MEBI__WARN : MEBI__FAIL;
}

static const char *faulty = "The model's files may be damaged or of different models: compare "
                            "their sums with the publisher's, and "
                            "get them anew. If they are whole, check with --precision f32 and with "
                            "MEBI_CPU=ref: where the fault "
                            "goes away, report it.";
static const char *overcooked = "Guidance as strong as this tells on the picture. The model's "
                                "authors advise 8 steps and no guidance.";

/* What to do about a picture that isn't right. */
static void advise(const judging *j, mebi__finding *f) {
    if (f->verdict == MEBI__OK) return;
    if (j->kind == MEBI__PICTURE_GUIDED && f->verdict == MEBI__WARN)
        mebi__finding_say(f->advice, "%s", overcooked);
    else if (j->kind == MEBI__PICTURE_ANY)
        mebi__finding_say(f->advice, "%s",
                          "If the prompt didn't ask for this: try the authors' 8 steps without "
                          "guidance and the model's own size, and `mebi doctor`.");
    else mebi__finding_say(f->advice, "%s", faulty);
}

/* ---- one thing each ---- */

static int judge_background(const judging *j) {
    const unsigned char *c = j->m->background_colour;
    mebi__finding *f = add(j, "background");
    mebi__finding_say(f->expected,
                      j->kind == MEBI__PICTURE_ANY ? "one colour around what is shown"
                                                   : "white: 255 255 255, at most %.0f less",
                      j->l->grey.fine);
    if (!j->m->background) {
        f->verdict = j->kind == MEBI__PICTURE_ANY ? MEBI__WARN : MEBI__FAIL;
        mebi__finding_say(f->measured, "none: the border has no colour that most of it shares");
        advise(j, f);
        return 0;
    }
    double grey = 255 - fmin(c[0], fmin(c[1], c[2]));
    mebi__finding_say(f->measured, "%d %d %d", c[0], c[1], c[2]);
    f->verdict = verdict_of(grey, j->l->grey);
    advise(j, f);
    return 1;
}

static void judge_uniform(const judging *j) {
    const mebi_measures *m = j->m;
    mebi__finding *f = add(j, "uniform");
    mebi__finding_say(f->measured, "deviation %.2f levels, %.2f %% of it off, slope %.1f levels",
                      m->background_deviation, 100 * m->background_off, m->background_slope);
    mebi__finding_say(f->expected, "up to %.1f, %.1f %%, %.1f", j->l->deviation.fine,
                      100 * j->l->off.fine, j->l->slope.fine);
    f->verdict = mebi__worse(verdict_of(m->background_deviation, j->l->deviation),
                             mebi__worse(verdict_of(m->background_off, j->l->off),
                                         verdict_of(m->background_slope, j->l->slope)));
    advise(j, f);
}

static void judge_blotches(const judging *j) {
    mebi__finding *f = add(j, "blotches");
    mebi__finding_say(f->measured, "%d", j->m->blotches);
    if (j->m->blotches)
        mebi__finding_more(f->measured, ", %.2f %% of the background, the strongest of %.0f levels",
                           100 * j->m->blotch_share, j->m->blotch_levels);
    mebi__finding_say(f->expected, "none");
    /* None is none, however small the share comes out. */
    if (j->m->blotches)
        f->verdict = mebi__worse(MEBI__WARN, verdict_of(j->m->blotch_share, j->l->blotches));
    advise(j, f);
}

static void judge_noise(const judging *j) {
    mebi__finding *f = add(j, "noise");
    mebi__finding_say(f->measured, "%.2f levels", j->m->noise);
    mebi__finding_say(f->expected, "up to %.1f", j->l->noise.fine);
    f->verdict = verdict_of(j->m->noise, j->l->noise);
    if (j->kind == MEBI__PICTURE_ANY && f->verdict == MEBI__FAIL)
        f->verdict = MEBI__WARN; /* fine texture looks the same */
    advise(j, f);
}

static void judge_edges(const judging *j) {
    mebi__finding *f = add(j, "edges");
    mebi__finding_say(f->expected, "up to %.1f pixels", j->l->edge.fine);
    if (!(j->m->edge_width > 0)) {
        f->verdict = MEBI__FAIL;
        mebi__finding_say(f->measured, "none: nothing is shown");
    } else {
        mebi__finding_say(f->measured, "%.2f pixels wide", j->m->edge_width);
        f->verdict = verdict_of(j->m->edge_width, j->l->edge);
    }
    advise(j, f);
}

static void judge_colour(const judging *j) {
    const mebi_measures *m = j->m;
    mebi__finding *f = add(j, "red apple");
    mebi__finding_say(f->expected, "one thing, hue within %.0f degrees of red in %.0f %% of it",
                      j->l->hue.fine, 100 * (1 - j->l->other.fine));
    if (m->objects == 0 || m->hue < 0) {
        f->verdict = MEBI__FAIL;
        mebi__finding_say(f->measured,
                          m->objects ? "nothing coloured" : "nothing before the background");
        advise(j, f);
        return;
    }
    double off = m->hue <= 180 ? m->hue : 360 - m->hue;
    mebi__finding_say(f->measured,
                      "%d of %.0f %% of the picture, hue %.0f degrees in %.0f %% of it", m->objects,
                      100 * m->object_share, m->hue, 100 * m->hue_share);
    f->verdict = mebi__worse(verdict_of(off, j->l->hue), verdict_of(1 - m->hue_share, j->l->other));
    if (m->objects > 1 || m->fragments > 2) f->verdict = mebi__worse(f->verdict, MEBI__WARN);
    if (m->fragments) mebi__finding_more(f->measured, ", %d fragments", m->fragments);
    advise(j, f);
}

void mebi__judge_picture(const mebi_image *picture, mebi__picture_kind kind, const char *name,
                         mebi__findings *to) {
    mebi_measures m;
    mebi_error err = {0};
    judging j = {&m, &of_kind[kind], kind, name, to};
    if (mebi_image_measure(picture, &m, &err) != MEBI_OK) {
        mebi__finding *f = add(&j, "measures");
        f->verdict = MEBI__FAIL;
        mebi__finding_say(f->measured, "none");
        mebi__finding_say(f->advice, "%s", err.text);
        return;
    }
    if (judge_background(&j)) {
        judge_uniform(&j);
        judge_blotches(&j);
    }
    judge_noise(&j);
    judge_edges(&j);
    if (kind != MEBI__PICTURE_ANY) judge_colour(&j);
}

/* ---- the check's own ---- */

static void judge_failure(const mebi__run *r, mebi__findings *to) {
    mebi__finding *f =
        mebi__finding_add(to, MEBI__SECTION_PICTURE, MEBI__FAIL, mebi__run_brief_name(r).text);
    mebi__finding_say(f->measured, "no picture: %s", mebi_status_text(r->err.status));
    mebi__finding_say(f->expected, "numbers that are numbers, all the way");
    mebi__finding_say(f->advice, "%s", r->err.text);
    if (r->err.status == MEBI_NUMERIC) mebi__finding_more(f->advice, " %s", faulty);
}

/* In int8 a step that gave no number is done again unquantized; the picture is good, the time lost.
 */
static void judge_numbers(const mebi__doctor *d, mebi__findings *to) {
    int again = 0, any = 0;
    for (int i = 0; i < MEBI__RUNS; i++)
        if (d->run[i].state == MEBI__RUN_DONE) any = 1, again += d->run[i].report.exact_runs;
    if (!any) return;
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_PICTURE, MEBI__OK, "numbers");
    mebi__finding_say(f->measured, "no NaN, no infinity%s",
                      again ? ", after doing some again" : "");
    mebi__finding_say(f->expected, "the same");
    if (!again) return;
    f->verdict = MEBI__WARN;
    mebi__finding_say(f->advice,
                      "%d steps or prompts gave no number in int8 and were done again in f32. "
                      "--precision f32 or bf16 avoids that.",
                      again);
}

/* The tutorial's settings beside the authors': finest detail that guidance adds is not the
 * subject's. */
static void compare(const mebi__run *guided, const mebi__run *authors, mebi__findings *to) {
    mebi_measures g, a;
    if (mebi_image_measure(&guided->picture, &g, NULL) != MEBI_OK ||
        mebi_image_measure(&authors->picture, &a, NULL) != MEBI_OK || !(a.detail > 0))
        return;
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_PICTURE, MEBI__OK, "overcooked");
    double more = g.detail / a.detail;
    mebi__finding_say(f->measured,
                      "guidance %g and %d steps: %.2f times the fine detail, colours %.0f %% alike "
                      "against %.0f %%",
                      (double)guided->request.cfg, guided->request.steps, more, 100 * g.hue_share,
                      100 * a.hue_share);
    mebi__finding_say(f->expected, "up to 1.6 times, and at most 10 %% less alike");
    if (more > 1.6 || g.hue_share < a.hue_share - 0.1) f->verdict = MEBI__WARN;
    if (more > 1.1 || g.hue_share < a.hue_share - 0.03)
        mebi__finding_say(f->advice, "%s", overcooked);
}

void mebi__judge_pictures(const mebi__doctor *d, mebi__findings *to) {
    const mebi__run *guided = &d->run[MEBI__RUN_FIRST], *authors = &d->run[MEBI__RUN_AUTHORS];
    for (int i = 0; i < MEBI__RUNS; i++)
        if (d->run[i].state == MEBI__RUN_FAILED) judge_failure(&d->run[i], to);
    judge_numbers(d, to);
    /* A model of more than a few hundred pixels draws photographs: soft shadows, and texture. */
    int photo = d->info.native_side >= 512;
    if (authors->state == MEBI__RUN_DONE)
        mebi__judge_picture(&authors->picture, photo ? MEBI__PICTURE_PHOTO : MEBI__PICTURE_AUTHORS,
                            "8 steps", to);
    if (guided->state == MEBI__RUN_DONE)
        mebi__judge_picture(&guided->picture, photo ? MEBI__PICTURE_PHOTO : MEBI__PICTURE_GUIDED,
                            "guided", to);
    if (authors->state == MEBI__RUN_DONE && guided->state == MEBI__RUN_DONE)
        compare(guided, authors, to);
}

/* A sweep: the same pictures at several sizes, what each size takes and gives, and which is the
 * sweet spot.
 *
 *     mebi__sweep *s = NULL;
 *     mebi__sweep_open(engine, &params, &s, &err);   // plans; refuses what can't work
 *     mebi__sweep_run(s, &callbacks, &err);          // makes the pictures: seconds to hours
 *     mebi__sweep_print(s, stdout); mebi__sweep_json(s, stdout); mebi__sweep_html(s, file, &err);
 *     mebi__sweep_close(&s);
 *
 * The engine is seen through its public calls only. Pictures wait in an unnamed temporary file, so
 * that they are no part of the memory that is measured. */
#ifndef MEBI_SWEEP_SWEEP_H
#define MEBI_SWEEP_SWEEP_H

#include "mebi/engine.h"
#include "mebi/quality.h"

#include <stdint.h>
#include <stdio.h>

enum {
    MEBI__SWEEP_SIZES = 12,
    MEBI__SWEEP_PROMPTS = 6, /* how many there are */
    MEBI__SWEEP_SEEDS = 16,
    MEBI__SWEEP_RUNS = 99,
};

/* One subject on a plain background, without parts of the background's colour: what the measures
 * are made for. */
typedef struct mebi__sweep_prompt {
    const char *text, *language; /* "zh", "en" */
} mebi__sweep_prompt;

extern const mebi__sweep_prompt mebi__sweep_prompts[MEBI__SWEEP_PROMPTS];

typedef struct mebi__sweep_params {
    int sizes; /* 0: five around the model's native size */
    struct {
        int width, height;
    } size[MEBI__SWEEP_SIZES];
    int steps, prompts, seeds; /* seeds are 1, 2, ... */
    int runs;                  /* of one picture in a row, before all else; 0: none */
    const char *model;         /* a name for people, UTF-8 */
} mebi__sweep_params;

/* 8 steps, 3 prompts, 2 seeds, 3 runs. */
mebi__sweep_params mebi__sweep_params_default(void);

/* One picture. */
typedef struct mebi__shot {
    int size, prompt, seed; /* indices */
    mebi_plan plan;         /* made just before */
    mebi_report report;
    mebi_measures measures;
    mebi_likeness
        likeness; /* to the native size's picture of the same prompt and seed; width 0: none */
    int made;
    int64_t pixels_at, png_at; /* in the temporary file */
    size_t png_bytes;
} mebi__shot;

/* What a size takes and gives: medians over its pictures, unless it says otherwise. */
typedef struct mebi__row {
    int width, height, native;
    mebi_plan plan; /* before anything ran; of the first prompt */
    int made, of;   /* pictures; made 0: the plan refused it */
    double seconds, step_seconds, decode_seconds;
    size_t peak_bytes, planned_bytes; /* the most */
    double detail_energy; /* levels^2 x megapixels: measures.detail over the whole picture; mean */
    double detail;        /* the same with the native size's as 100 (or the first made one's) */
    double sharpness, noise, deviation, structure, gradients; /* structure negative: not compared */
    int repeated, cut, blotched;                              /* pictures with this fault */
    int sound; /* a quarter of the pictures at most have any one fault */
    /* From the row before it that was made. */
    int from; /* its index, or -1 */
    double more_detail, more_seconds, more_bytes;
    double worth; /* per cent more of detail for one per cent more of time: ratio of logarithms */
    int worthwhile;
    char note[200]; /* a sentence on its faults, or that it doesn't fit; else "" */
} mebi__row;

typedef struct mebi__sweep {
    mebi_engine *engine; /* the caller's */
    mebi_engine_info info;
    mebi__sweep_params params;
    int native; /* index of the native size, or -1 */
    int shots;
    mebi__shot *shot; /* by size, then prompt, then seed */
    mebi__row row[MEBI__SWEEP_SIZES];
    /* The runs in a row. */
    int runs, runs_size;
    size_t run_peak[MEBI__SWEEP_RUNS];
    double run_seconds[MEBI__SWEEP_RUNS];
    uint64_t run_hash[MEBI__SWEEP_RUNS]; /* of the pixels */
    int steady, same; /* the last run's peak is the first's; all pictures are equal */
    int sweet;        /* index, or -1: no size was made */
    char why[400];    /* a sentence */
    double seconds;   /* of everything */
    FILE *store;      /* pixels and PNGs */
    int64_t stored;
} mebi__sweep;

/* Plans every size; MEBI_BAD_ARGUMENT if one is impossible. The engine must live longer. */
MEBI_MUST_USE mebi_status mebi__sweep_open(mebi_engine *engine, const mebi__sweep_params *params,
                                           mebi__sweep **sweep, mebi_error *err);
void mebi__sweep_close(mebi__sweep **sweep); /* accepts NULL; nulls */

/* callbacks: progress tells of the whole sweep; image is not used. A size that doesn't fit is left
 * out. */
MEBI_MUST_USE mebi_status mebi__sweep_run(mebi__sweep *sweep, const mebi_callbacks *callbacks,
                                          mebi_error *err);

/* The planned seconds of all pictures; negative: not known. */
double mebi__sweep_planned_seconds(const mebi__sweep *sweep);

/* Fills rows, their notes, sweet and why from the shots. Part of running; by itself for those who
 * have the figures. */
void mebi__sweep_judge(mebi__sweep *sweep);

/* What the measures can't see, as sentences. */
extern const char *const mebi__sweep_limits[];
extern const int mebi__sweep_limit_count;
/* The rule of the sweet spot, as sentences. */
extern const char mebi__sweep_rule[];

/* Tables at most 100 columns wide. */
void mebi__sweep_print(const mebi__sweep *sweep, FILE *to);
/* One object, on one line. MEBI_NO_MEMORY if it can't be made. */
MEBI_MUST_USE mebi_status mebi__sweep_json(const mebi__sweep *sweep, FILE *to, mebi_error *err);
/* One page that needs nothing else. Pictures whose PNG is in the store are in it, up to 64 MB. */
MEBI_MUST_USE mebi_status mebi__sweep_html(const mebi__sweep *sweep, FILE *to, mebi_error *err);

#endif

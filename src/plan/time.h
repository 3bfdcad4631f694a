/* What jobs teach about time: by what factor a stage's real seconds differ from those of the rates.
 *
 * A factor belongs to a model in a precision, a stage, a strategy and a size. One that was never measured
 * is taken from those nearest to it, the less the further they are: a first job corrects its own size
 * almost fully, its neighbours partly. A single slow run (another process at work) moves what is well known only
 * a little. */
#ifndef MEBI_PLAN_TIME_H
#define MEBI_PLAN_TIME_H

#include "plan/rates.h"

typedef enum mebi__time_stage {
    MEBI__TIME_ENCODE,
    MEBI__TIME_STEP,
    MEBI__TIME_DECODE,
    MEBI__TIME_SAVE,
    MEBI__TIME_TAKE,
    MEBI__TIME_STAGES
} mebi__time_stage;

typedef struct mebi__time_of {
    const char *name; /* model and precision: "0123456789abcdef-int8"; cut at MEBI__LEARNED_NAME - 1 */
    mebi__time_stage stage;
    int variant;       /* the strategy, as far as the stage's time depends on it; any number */
    double operations; /* of one: one prompt's encoding, one step, one picture's decoding;
                          of taking and saving, bytes */
} mebi__time_of;

/* What seconds from the rates are to be multiplied with: 0.2 to 5. */
double mebi__time_factor(const mebi__rates *r, const mebi__time_of *what);

/* A stage took `measured` seconds where the rates alone (no factor) said `predicted`. Of times that are no times, nothing is learned. */
void mebi__time_learn(mebi__rates *r, const mebi__time_of *what, double predicted, double measured);

/* ---- the machine's pace just now ----
 *
 * Other programs, and other machines on the same host, slow this one down for some seconds at a time. What is learned above
 * averages over that; the pace follows it: how much slower than usual the last jobs were, forgotten within seconds.
 * Time is mebi__now_seconds(). */

/* What a stage's usual seconds are to be multiplied with in a job of so many seconds that begins now. */
double mebi__time_pace(const mebi__rates *r, mebi__time_stage stage, double now, double seconds);

/* A job's steps and decoding took `measured` where `usual` seconds were expected without regard to the pace. */
typedef struct mebi__time_lap {
    double usual, measured;
} mebi__time_lap;
void mebi__time_learn_pace(mebi__rates *r, const mebi__time_lap lap[MEBI__TIME_STAGES], double now);

/* So many bytes of mapped files came from the disk in that many seconds. */
void mebi__time_learn_file(mebi__rates *r, double bytes, double seconds);

#endif

/* How fast one machine does each operation: what turns a dry run into seconds.
 *
 *     mebi__rates *r = mebi__alloc(MEBI__TAG_GENERAL, sizeof *r);
 *     mebi__rates_load(&how, r);                       // what earlier processes measured and learned
 *     mebi__dry_set_clock(dry, mebi__rates_seconds, r);
 *     ... dry run ...                                  // mebi__dry_report.seconds
 *     if (mebi__rates_missing(r)) { mebi__calibrate(.., r, ..); mebi__rates_save(&how, r, ..); } // and again
 *
 * Operations fall into classes: the same kernel, the same types. A class has a small table of seconds for one
 * unit of work (an arithmetic operation; of what memory decides, a byte) by two sizes; between its points the
 * logarithms are interpolated, beyond them the nearest holds. A class that was not measured costs what the
 * machine's peaks say (a roofline).
 *
 * One thread at a time.
 */
#ifndef MEBI_PLAN_RATES_H
#define MEBI_PLAN_RATES_H

#include "compute/ops.h"

enum {
    MEBI__RATE_ROWS = 8,
    MEBI__RATE_COLUMNS = 4,
    MEBI__RATE_CONVS = 6, /* 1x1, larger window, behind a doubling; each f32 or bf16 */
    MEBI__RATE_CLASSES = MEBI__DTYPE_COUNT + MEBI__RATE_CONVS + 2 * MEBI__OP_COUNT,
    MEBI__LEARNED = 256,
    MEBI__LEARNED_NAME = 48,
};

typedef struct mebi__rate {
    int rows, columns; /* 0: not measured */
    double row[MEBI__RATE_ROWS], column[MEBI__RATE_COLUMNS]; /* rising */
    double seconds[MEBI__RATE_COLUMNS][MEBI__RATE_ROWS];     /* of one unit of work */
} mebi__rate;

/* One correction, learned from jobs: see plan/time.h. */
typedef struct mebi__learned {
    char name[MEBI__LEARNED_NAME]; /* model and precision; "": unused */
    int stage, variant;
    double size;   /* log2 of the stage's arithmetic */
    double factor; /* log of measured by predicted */
    double count;  /* jobs it rests on */
    int64_t age;   /* rates.clock when it was last changed: the oldest goes first */
} mebi__learned;

/* What is known where nothing was measured. */
typedef struct mebi__roofline {
    double int8, bf16, f32;  /* operations a second that products reach */
    double bytes;            /* of memory, a second */
    double file_bytes;       /* of mapped files that are not in memory, a second */
    double call;             /* seconds that any operation takes at least */
} mebi__roofline;

typedef struct mebi__rates {
    mebi__roofline roofline;
    int file_known; /* 1: roofline.file_bytes was measured */
    mebi__rate of[MEBI__RATE_CLASSES];
    unsigned char asked[MEBI__RATE_CLASSES]; /* looked up since it was loaded */
    mebi__learned learned[MEBI__LEARNED];
    int64_t clock;
    double pace, pace_at; /* how slow the machine is just now: see plan/time.h. Not kept in the file */
} mebi__rates;

/* Nothing measured: a guess at a small machine. */
void mebi__rates_init(mebi__rates *r);

/* Seconds of one operation; fits mebi__dry_set_clock, with the rates as context. */
double mebi__rates_seconds(void *rates, const mebi__op *op);

/* Classes that were asked for and not measured. */
int mebi__rates_missing(const mebi__rates *r);

/* Where an operation stands in its class's table. */
typedef struct mebi__rate_place {
    int of;             /* class */
    double row, column; /* sizes */
    double work;
} mebi__rate_place;
mebi__rate_place mebi__rate_place_of(const mebi__op *op);

/* "LINEAR:BF16", "CONV2D:3x3:F32", "RMS_NORM", "RMS_NORM:INT8". */
typedef struct mebi__rate_name {
    char text[48];
} mebi__rate_name;
mebi__rate_name mebi__rate_name_of(int class_index);

/* Seconds for a unit of work at these sizes; the class has been measured. */
double mebi__rate_at(const mebi__rate *rate, double row, double column);

/* ---- the file ---- */

typedef struct mebi__rates_how {
    const char *folder;  /* the cache's: NULL the default, "" none: nothing is kept */
    const char *version; /* the library's: rates of another are not used */
    const char *device;  /* what computes: "avx2 vnni" */
    int threads;
} mebi__rates_how;

/* What the folder has for this machine, else what mebi__rates_init gives: any trouble with the file means
 * that it isn't there. Returns 1 if something was read. */
int mebi__rates_load(const mebi__rates_how *how, mebi__rates *r);

/* Replaces the file at once; of two processes the later one wins. */
MEBI_MUST_USE mebi_status mebi__rates_save(const mebi__rates_how *how, const mebi__rates *r, mebi_error *err);

#endif

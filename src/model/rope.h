/* Tables of rotary angles, made on the host. */
#ifndef MEBI_MODEL_ROPE_H
#define MEBI_MODEL_ROPE_H

#include "compute/ops.h"

enum { MEBI__ROPE_AXES = 3, MEBI__ROPE_MAX_HALF = 256 };

/* How a position becomes angles: axis a owns the next dims[a]/2 pairs of a head. */
typedef struct mebi__rope {
    int axes;
    int dims[MEBI__ROPE_AXES];
    double theta;
    int f32_frequencies; /* 1: frequencies are rounded to f32 before they meet the position */
} mebi__rope;

/* Fills cos and sin [n, sum(dims)/2] for n tokens whose positions `position(context, token, p)`
 * gives, one number an axis. */
void mebi__rope_fill(mebi__stream *s, const mebi__rope *rope,
                     void (*position)(const void *context, int64_t token,
                                      int32_t p[MEBI__ROPE_AXES]),
                     const void *context, mebi__view cos, mebi__view sin);

#endif

/* Which of a part's mapped layers are in memory while it is at work. */
#ifndef MEBI_MODEL_RESIDENCY_H
#define MEBI_MODEL_RESIDENCY_H

#include "base/prefetch.h"
#include "compute/ops.h"
#include "model/params.h"

/* Between begin and end the stream tells of its layers' turns: a layer is let go when the next one's turn
 * comes, which waits for its own weights and asks for those of the layer after. Where nothing is mapped, and on a
 * device that only counts, nothing happens. */
typedef struct mebi__residency {
    mebi__prefetch *prefetch; /* NULL: layers are let go, but come as they are read */
    const mebi__params *part;
    int begun;
    int first, current, asked; /* layers; -1: none */
    int more;                  /* 1: after the last layer comes the first again */
} mebi__residency;

/* The residency stays where it is until it is ended. */
void mebi__residency_begin(mebi__residency *r, mebi__stream *s, mebi__prefetch *prefetch,
                           const mebi__params *part);
/* Lets all of the part go. Also after an error; fine if it wasn't begun. */
void mebi__residency_end(mebi__residency *r, mebi__stream *s);

#endif

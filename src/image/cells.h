/* A picture as cells: squares of pixels, joined into parts. */
#ifndef MEBI_IMAGE_CELLS_H
#define MEBI_IMAGE_CELLS_H

#include "image/measure.h"

typedef struct mebi__cells {
    int side;          /* pixels; at the right and the bottom fewer may be left */
    int width, height; /* in cells */
    mebi__plane mean[3];
    unsigned char *kind; /* [height, width]: the caller's */
    int *stack;          /* the same, for joining */
} mebi__cells;

/* Joined cells. */
typedef struct mebi__part {
    int cells;
    double mean[3];  /* colour */
    double strength; /* mean of what was given for its cells */
} mebi__part;

typedef struct mebi__parts {
    int count, least; /* smaller ones than `least` cells are not listed */
    mebi__part *part; /* largest first */
} mebi__parts;

MEBI_MUST_USE mebi_status mebi__cells_make(const mebi_image *image, mebi__cells *cells);
void mebi__cells_release(mebi__cells *cells); /* accepts an empty one */

/* Lists the parts whose cells are all of one kind and touch, corners included. Their kind becomes
 * `then`. strength: [height, width], may be NULL. parts->least is set before; released by
 * mebi__free(parts->part). */
MEBI_MUST_USE mebi_status mebi__cells_join(mebi__cells *cells, int kind, int then,
                                           const mebi__plane *strength, mebi__parts *parts);

/* Cells of kind `from` that are at most `reach` away from one of kind `of`, diagonally too, become
 * `to`. */
void mebi__cells_spread(mebi__cells *cells, int of, int reach, int from, int to);

#endif

/* The int8 forms of a part's matrices; for params.c. */
#ifndef MEBI_MODEL_PACKING_H
#define MEBI_MODEL_PACKING_H

#include "model/params.h"

/* Notes a matrix to be packed: 1. One whose rows can't be is left in its plain form: 0. */
int mebi__params_pack_later(mebi__params *p, mebi__matrix *matrix, const mebi__tensor *t);

/* Packs all that were noted, or takes them from the cache. */
MEBI_MUST_USE mebi_status mebi__params_pack(mebi__params *p);

/* Room for one more of `size` bytes in a list of count; 0 without memory. */
int mebi__params_make_room(mebi__params *p, void **list, int count, int *capacity, size_t size);

/* The buffer is destroyed with p. Returns 0, the buffer destroyed, without memory. */
int mebi__params_keep(mebi__params *p, mebi__buffer *buffer);

#endif

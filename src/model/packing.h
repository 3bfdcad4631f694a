/* The int8 forms of a part's matrices; for params.c. */
#ifndef MEBI_MODEL_PACKING_H
#define MEBI_MODEL_PACKING_H

#include "model/params.h"

/* Notes a matrix to be packed. One whose rows can't be is left in its plain form. */
void mebi__params_pack_later(mebi__params *p, mebi__matrix *matrix, const mebi__tensor *t);

/* Packs all that were noted, or takes them from the cache. */
MEBI_MUST_USE mebi_status mebi__params_pack(mebi__params *p);

/* The buffer is destroyed with p. Returns 0, the buffer destroyed, without memory. */
int mebi__params_keep(mebi__params *p, mebi__buffer *buffer);

#endif

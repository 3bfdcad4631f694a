/* Layers that come and go. Must never change what is computed: weights that were let go too early are read again
 * from their file. */
#include "model/residency.h"

static void let_go(const mebi__residency *r, int layer) {
    const mebi__params *p = r->part;
    if (layer >= 0) mebi__ranges_rest(p->range + p->layer[layer].first, p->layer[layer].count);
}

static void ask(mebi__residency *r, int layer) {
    const mebi__params *p = r->part;
    r->asked = layer;
    if (layer >= 0) mebi__prefetch_ask(r->prefetch, p->range + p->layer[layer].first, p->layer[layer].count);
}

static void turn(void *context, int layer, int next) {
    mebi__residency *r = context;
    if (layer != r->current) let_go(r, r->current);
    if (r->first < 0) r->first = layer;
    if (next < 0 && r->more) next = r->first;
    r->current = layer;
    if (!r->prefetch) return;
    if (r->asked != layer) ask(r, layer);
    mebi__prefetch_wait(r->prefetch);
    if (next != layer) ask(r, next);
}

void mebi__residency_begin(mebi__residency *r, mebi__stream *s, mebi__prefetch *prefetch,
                           const mebi__params *part) {
    *r = (mebi__residency){.prefetch = prefetch, .part = part, .first = -1, .current = -1, .asked = -1};
    if (!part->layer || s->device->table->imaginary) return;
    r->begun = 1;
    mebi__params_rest(part); /* what earlier work left there would be there beside the window */
    s->turn = turn;
    s->turn_context = r;
}

void mebi__residency_end(mebi__residency *r, mebi__stream *s) {
    if (!r->begun) return;
    if (r->prefetch) mebi__prefetch_drop(r->prefetch);
    s->turn = NULL;
    s->turn_context = NULL;
    r->begun = 0;
    mebi__params_rest(r->part);
}

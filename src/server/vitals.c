/* The process's memory over the last ten minutes. Must never grow. */
#include "server/vitals.h"

void mebi__vitals_add(mebi__vitals *v, mebi__sample sample) {
    pthread_mutex_lock(&v->lock);
    v->sample[v->next] = sample;
    v->next = (v->next + 1) % MEBI__VITALS;
    if (v->count < MEBI__VITALS) v->count++;
    pthread_mutex_unlock(&v->lock);
}

mebi__sample mebi__vitals_newest(mebi__vitals *v) {
    mebi__sample sample = {0};
    pthread_mutex_lock(&v->lock);
    if (v->count) sample = v->sample[(v->next + MEBI__VITALS - 1) % MEBI__VITALS];
    pthread_mutex_unlock(&v->lock);
    return sample;
}

json_t *mebi__vitals_view(mebi__vitals *v, double since) {
    json_t *all = json_array();
    pthread_mutex_lock(&v->lock);
    for (int i = 0; i < v->count; i++) {
        const mebi__sample *s = &v->sample[(v->next + MEBI__VITALS - v->count + i) % MEBI__VITALS];
        if (s->t > since)
            json_array_append_new(all, json_pack("{s:f, s:I, s:I}", "t", s->t, "own_bytes",
                                                 (json_int_t)s->own_bytes, "planned_bytes",
                                                 (json_int_t)s->planned_bytes));
    }
    pthread_mutex_unlock(&v->lock);
    return json_pack("{s:o}", "samples", all);
}

/* The process's memory over the last ten minutes, one sample a second. */
#ifndef MEBI_SERVER_VITALS_H
#define MEBI_SERVER_VITALS_H

#include <jansson.h>
#include <pthread.h>
#include <stddef.h>

enum { MEBI__VITALS = 600 };

typedef struct mebi__sample {
    double t; /* seconds since the start */
    size_t own_bytes, planned_bytes;
} mebi__sample;

typedef struct mebi__vitals {
    pthread_mutex_t lock;
    mebi__sample sample[MEBI__VITALS];
    int count, next;
} mebi__vitals;

void mebi__vitals_add(mebi__vitals *vitals, mebi__sample sample);
mebi__sample mebi__vitals_newest(mebi__vitals *vitals);
/* The samples later than `since`, oldest first. */
json_t *mebi__vitals_view(mebi__vitals *vitals, double since);

#endif

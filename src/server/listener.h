/* One event stream: what it has seen, and what is next. */
#ifndef MEBI_SERVER_LISTENER_H
#define MEBI_SERVER_LISTENER_H

#include "jobs/jobs.h"

#include <stddef.h>
#include <stdint.h>

typedef struct mebi__listener {
    struct mebi__listener *next, *before; /* of the hub */
    struct mebi__hub *hub;
    mebi__jobs *jobs;
    struct mebi__checks *checks;
    void *waker;
    char job[MEBI__JOB_ID]; /* "": all */
    int64_t after;          /* the last event that was written */
    int64_t checks_seen;    /* the last change of a check */
    int greet;              /* 1: the state comes first */
    double patience;        /* seconds of quiet after which it is woken anyway */
    int ended;
    _Atomic double written; /* when anything was, last */
    char *text;             /* still to be sent from `sent` on */
    size_t bytes, room, sent;
} mebi__listener;

enum { MEBI__LISTENER_COMMENT_SECONDS = 15 };

/* Writes what there is to say now into the text. 1: something; 0: nothing yet; -1: no memory. */
int mebi__listener_write(mebi__listener *listener);

#endif

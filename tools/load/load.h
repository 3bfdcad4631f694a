/* What the files of this folder share. One thread (load.c) opens event streams and sends plans; another
 * (keeper.c) keeps the queue filled and looks at the server's process. */
#ifndef MEBI_TOOLS_LOAD_H
#define MEBI_TOOLS_LOAD_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* ---- target.c: who is asked ---- */

typedef struct target {
    char host[80], port[8], token[260];
    struct sockaddr_storage address;
    socklen_t address_bytes;
} target;

/* "http://127.0.0.1:7860"; 0: it is none, and that was said. */
int target_read(const char *url, target *t);
/* A socket that connects in the background; -1: none is to be had. */
int target_dial(const target *t);
/* The head of a request, with its body; returns its length. */
int target_write(const target *t, const char *method, const char *path, const char *body, int keep,
                 char *to, size_t room);
/* Asks, and waits for the whole answer. Its status, 0 if there is none; *body is in `to`. */
int target_ask(const target *t, const char *method, const char *path, const char *body, char *to,
               size_t room, char **answer);

double now_seconds(void); /* of a clock that nobody sets */

/* ---- figures.c: times of which the percentiles are asked, to 1 % ---- */

enum { FIGURES_BINS = 2400 };

typedef struct figures {
    uint32_t bin[FIGURES_BINS];
    int64_t count;
    double most, sum;
} figures;

void figures_add(figures *f, double seconds);
double figures_at(const figures *f, double part); /* 0.5: the median */

/* ---- streams.c ---- */

typedef struct streams streams;

typedef struct streams_sum {
    int open, wanted;
    int64_t opened, refused, broken, ended; /* broken: without the end that the server writes */
    int64_t events, comments, bytes, backwards;
    int64_t of_all_least, of_all_most, of_all_count, of_all; /* events a stream, of those that hear all */
    int64_t of_job_least, of_job_most, of_job_count, of_job; /* of those of one job that saw its end */
    figures behind; /* seconds between the first stream that has an event and each other */
} streams_sum;

streams *streams_new(const target *t, int poll, int wanted);
/* Opens what is missing; every second one listens to `job` ("": all listen to everything). */
void streams_keep(streams *s, const char *job);
void streams_ready(streams *s, int place, double now);
void streams_count(streams *s, streams_sum *sum);
void streams_end(streams *s);

/* ---- plans.c ---- */

typedef struct plans plans;

typedef struct plans_sum {
    int64_t sent, answered, errors, late, connections, waiting;
    int status[600]; /* answers by status */
    figures seconds; /* from when it was to be sent until its answer's last byte */
} plans_sum;

plans *plans_new(const target *t, int poll, double a_second, double begin);
/* Sends what is due; returns when the next one is. */
double plans_send(plans *p, double now);
void plans_ready(plans *p, int place, double now);
void plans_count(const plans *p, plans_sum *sum);
void plans_end(plans *p);

/* ---- keeper.c ---- */

typedef struct sample {
    double at;
    double own, resident;     /* MB; negative: not known */
    double served, worked;    /* seconds of processor: threads of the usual urgency, and others */
} sample;

typedef struct keeper {
    const target *t;
    const char *order; /* JSON of a job that is to run all the time; NULL: none */
    int pid;           /* 0: not known */
    double sample_seconds;
    pthread_t thread;
    pthread_mutex_t lock;
    int stopping;
    char job[64];      /* the running one, or "" */
    sample *samples;
    int count, room;
} keeper;

/* Seconds that a job takes while nobody else asks anything; negative: it failed, and that was said. */
double keeper_alone(const target *t, const char *order);
/* Mean seconds of jobs of that kind that the server did after `since` (a job's number); *count: how many. */
double keeper_beside(const target *t, int64_t since, int *count);
int64_t keeper_last_job(const target *t);
int keeper_start(keeper *k);
void keeper_job(keeper *k, char job[64]);
void keeper_stop(keeper *k);

#endif

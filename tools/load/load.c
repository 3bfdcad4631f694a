/* Load for mebi serve: event streams and plan requests at a fixed rate, beside a running job; prints how long the
 * answers took, what the streams got, and the server's memory. See README.md. Must never count a request that got
 * no answer as one that was quick. */
#include "load.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EVENTS = 256, DESCRIPTORS = 8192 };

typedef struct settings {
    target t;
    int streams, pid, alone;
    double plans, seconds;
    const char *order;
} settings;

typedef struct run {
    const settings *set;
    int poll;
    streams *streams;
    plans *plans;
    keeper keeper;
    double began, own_seconds;
    int64_t since;
    double alone;
} run;

static int usage(void) {
    fprintf(stderr,
            "usage: load --url http://HOST:PORT [--streams 500] [--plans 200] [--seconds 60]\n"
            "            [--order JSON] [--alone N] [--pid PID] [--token TOKEN]\n\n"
            "  --streams   event streams to hold open; every second one is of the running job\n"
            "  --plans     plan requests a second\n"
            "  --seconds   how long; 600 shows whether memory is flat\n"
            "  --order     a job, as POST /api/v1/jobs takes it, that is to run all the time\n"
            "  --alone     so many of these jobs are timed before the load begins\n"
            "  --pid       the server's: its processor time and resident memory are shown\n"
            "  --token     where the server needs one\n");
    return 2;
}

static int parse(int argc, char **argv, settings *s) {
    static const struct option options[] = {
        {"url", 1, NULL, 'u'},   {"streams", 1, NULL, 's'}, {"plans", 1, NULL, 'p'},
        {"seconds", 1, NULL, 't'}, {"order", 1, NULL, 'o'},   {"alone", 1, NULL, 'a'},
        {"pid", 1, NULL, 'i'},   {"token", 1, NULL, 'k'},   {NULL, 0, NULL, 0}};
    const char *url = NULL;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        if (c == 'u') url = optarg;
        else if (c == 's') s->streams = atoi(optarg);
        else if (c == 'p') s->plans = atof(optarg);
        else if (c == 't') s->seconds = atof(optarg);
        else if (c == 'o') s->order = optarg;
        else if (c == 'a') s->alone = atoi(optarg);
        else if (c == 'i') s->pid = atoi(optarg);
        else if (c == 'k') snprintf(s->t.token, sizeof s->t.token, "%s", optarg);
        else return 0;
    }
    if (!url || optind < argc || s->streams < 0 || s->streams > 4000 || s->plans < 0 ||
        s->plans > 20000 || !(s->seconds > 0) || (s->alone && !s->order))
        return 0;
    return target_read(url, &s->t);
}

static void raise_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- the loop ---- */

static void turn(run *r, double until) {
    struct epoll_event e[EVENTS];
    double left = until - now_seconds();
    struct timespec wait = {0, left > 0 ? (long)(1e9 * (left < 0.1 ? left : 0.1)) : 0};
    int n = epoll_pwait2(r->poll, e, EVENTS, &wait, NULL);
    for (int i = 0; i < n; i++) {
        int place = (int)(e[i].data.u64 & 0xffffffffu);
        double now = now_seconds();
        if (e[i].data.u64 >> 32) streams_ready(r->streams, place, now);
        else plans_ready(r->plans, place, now);
    }
}

static void open_streams(run *r) {
    char job[64];
    keeper_job(&r->keeper, job);
    streams_keep(r->streams, job);
}

/* Half of the streams are of the job that runs: until there is one. */
static void wait_for_job(run *r) {
    char job[64] = "";
    for (int i = 0; i < 300 && r->set->order && !*job; i++) {
        usleep(100000);
        keeper_job(&r->keeper, job);
    }
}

/* Streams first, for their opening is no part of what is measured. */
static void wait_for_streams(run *r) {
    streams_sum sum = {0};
    double until = now_seconds() + 20, next = 0;
    while (now_seconds() < until && sum.open < sum.wanted + !sum.wanted) {
        if (now_seconds() >= next) {
            open_streams(r);
            next = now_seconds() + 0.02;
        }
        turn(r, next);
        streams_count(r->streams, &sum);
        if (!sum.wanted) break;
    }
}

static void load(run *r) {
    double end = r->began + r->set->seconds, next = 0, due = r->began;
    for (double now = now_seconds(); now < end; now = now_seconds()) {
        if (now >= next) {
            open_streams(r);
            next = now + 0.1;
        }
        due = plans_send(r->plans, now);
        turn(r, due < next ? due : next);
    }
    /* What was asked may be answered still. */
    plans_sum sum = {.waiting = 1};
    for (end += 5; sum.waiting && now_seconds() < end;) {
        turn(r, now_seconds() + 0.05);
        plans_count(r->plans, &sum);
    }
}

/* ---- the report ---- */

static void print_plans(const run *r) {
    plans_sum s;
    plans_count(r->plans, &s);
    const figures *f = &s.seconds;
    int64_t errors = s.errors + s.waiting;
    printf("plans    %lld sent, %lld answered, %lld errors or without an answer; %lld connections; %lld "
           "sent late by this program\n",
           (long long)s.sent, (long long)s.answered, (long long)errors, (long long)s.connections,
           (long long)s.late);
    for (int i = 0; i < 600; i++)
        if (s.status[i]) printf("         status %d: %d\n", i, s.status[i]);
    printf("         ms: p50 %.2f  p90 %.2f  p99 %.2f  p99.9 %.2f  max %.2f  mean %.2f\n",
           1e3 * figures_at(f, 0.5), 1e3 * figures_at(f, 0.9), 1e3 * figures_at(f, 0.99),
           1e3 * figures_at(f, 0.999), 1e3 * f->most, f->count ? 1e3 * f->sum / (double)f->count : 0);
}

static void print_streams(const run *r) {
    streams_sum s;
    streams_count(r->streams, &s);
    printf("streams  %d of %d open at the end; %lld opened, %lld ended with their job, %lld broken, "
           "%lld refused\n",
           s.open, s.wanted, (long long)s.opened, (long long)s.ended, (long long)s.broken,
           (long long)s.refused);
    printf("         %lld events, %lld comments, %.1f MB, %lld ids that did not rise\n",
           (long long)s.events, (long long)s.comments, (double)s.bytes / 1e6, (long long)s.backwards);
    if (s.of_all_count)
        printf("         events a stream: %lld to %lld, mean %.1f\n", (long long)s.of_all_least,
               (long long)s.of_all_most, (double)s.of_all / (double)s.of_all_count);
    if (s.of_job_count)
        printf("         events a stream of one job, to its end: %lld to %lld, mean %.1f\n",
               (long long)s.of_job_least, (long long)s.of_job_most,
               (double)s.of_job / (double)s.of_job_count);
    printf("         ms behind the first that had it: p50 %.2f  p99 %.2f  max %.2f\n",
           1e3 * figures_at(&s.behind, 0.5), 1e3 * figures_at(&s.behind, 0.99), 1e3 * s.behind.most);
}

/* At most 20 lines, evenly over the time. */
static void print_memory(const run *r) {
    const keeper *k = &r->keeper;
    printf("memory   second   own MB   resident MB\n");
    int step = k->count > 20 ? (k->count + 19) / 20 : 1;
    for (int i = 0; i < k->count; i += step)
        printf("       %8.0f %8.1f %13.1f\n", k->samples[i].at - r->began, k->samples[i].own,
               k->samples[i].resident);
    if (!k->pid || k->count < 2) return;
    const sample *a = &k->samples[0], *z = &k->samples[k->count - 1];
    double seconds = z->at - a->at;
    printf("processor, of one: %.3f for answers, %.3f for pictures; this program %.3f\n",
           (z->served - a->served) / seconds, (z->worked - a->worked) / seconds,
           r->own_seconds / seconds);
}

static void print_jobs(const run *r) {
    int count;
    double beside = keeper_beside(&r->set->t, r->since, &count);
    if (r->alone > 0) printf("jobs     %.2f s alone (mean of %d)\n", r->alone, r->set->alone);
    if (!r->set->order) return;
    printf("         %.2f s beside the load (mean of %d)", beside, count);
    if (r->alone > 0 && count) printf(": %+.1f %%", 100 * (beside / r->alone - 1));
    printf("\n");
}

static double own_seconds(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* ---- the whole ---- */

static int time_alone(run *r) {
    double sum = 0;
    /* The first one warms caches up, and teaches the server the machine's rates. */
    if (r->set->alone && keeper_alone(&r->set->t, r->set->order) < 0) return 0;
    for (int i = 0; i < r->set->alone; i++) {
        double seconds = keeper_alone(&r->set->t, r->set->order);
        if (seconds < 0) return 0;
        sum += seconds;
    }
    r->alone = r->set->alone ? sum / r->set->alone : 0;
    r->since = keeper_last_job(&r->set->t);
    return 1;
}

static int open_all(run *r) {
    const settings *s = r->set;
    r->poll = epoll_create1(EPOLL_CLOEXEC);
    r->keeper = (keeper){.t = &s->t, .order = s->order, .pid = s->pid,
                         .sample_seconds = s->seconds > 120 ? 5 : 1};
    r->streams = streams_new(&s->t, r->poll, s->streams);
    return r->poll >= 0 && r->streams && keeper_start(&r->keeper);
}

int main(int argc, char **argv) {
    settings set = {.streams = 500, .plans = 200, .seconds = 60};
    run r = {.set = &set};
    if (!parse(argc, argv, &set)) return usage();
    raise_limit();
    if (!time_alone(&r)) return 1;
    if (!open_all(&r)) {
        fprintf(stderr, "load: no memory, or no descriptors\n");
        return 1;
    }
    wait_for_job(&r);
    wait_for_streams(&r);
    r.began = now_seconds();
    r.plans = plans_new(&set.t, r.poll, set.plans, r.began);
    if (!r.plans) return 1;
    double own = own_seconds();
    load(&r);
    r.own_seconds = own_seconds() - own;
    keeper_stop(&r.keeper);
    printf("%s:%s for %.0f s\n", set.t.host, set.t.port, set.seconds);
    print_plans(&r);
    print_streams(&r);
    print_jobs(&r);
    print_memory(&r);
    streams_end(r.streams);
    plans_end(r.plans);
    free(r.keeper.samples);
    close(r.poll);
    return 0;
}

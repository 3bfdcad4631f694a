/* Keeps a job running, and looks at the server's process, once a second, in a thread of its own, for it
 * waits for answers. */
#include "load.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_BYTES = 1 << 20 };

static json_t *ask(const target *t, const char *method, const char *path, const char *body) {
    char *room = malloc(ANSWER_BYTES), *answer;
    if (!room) return NULL;
    int status = target_ask(t, method, path, body, room, ANSWER_BYTES, &answer);
    json_t *o = status ? json_loads(answer, 0, NULL) : NULL;
    if (status >= 400) fprintf(stderr, "load: %s %s: %d %.300s\n", method, path, status, answer);
    free(room);
    return o;
}

static void nap(double seconds) {
    struct timespec t = {(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))};
    nanosleep(&t, NULL);
}

static const char *text_at(const json_t *o, const char *key) {
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

/* ---- jobs ---- */

double keeper_alone(const target *t, const char *order) {
    char path[120];
    json_t *job = ask(t, "POST", "/api/v1/jobs", order);
    snprintf(path, sizeof path, "/api/v1/jobs/%.60s", text_at(job, "id"));
    while (job && (strcmp(text_at(job, "state"), "queued") == 0 ||
                   strcmp(text_at(job, "state"), "running") == 0)) {
        json_decref(job);
        nap(0.25);
        job = ask(t, "GET", path, NULL);
    }
    int done = strcmp(text_at(job, "state"), "done") == 0;
    double seconds =
        json_number_value(json_object_get(json_object_get(job, "progress"), "seconds"));
    json_decref(job);
    if (!done) fprintf(stderr, "load: the job was not done\n");
    return done ? seconds : -1;
}

int64_t keeper_last_job(const target *t) {
    json_t *o = ask(t, "GET", "/api/v1/jobs?limit=1&state=done", NULL);
    int64_t number =
        strtoll(text_at(json_array_get(json_object_get(o, "jobs"), 0), "id"), NULL, 10);
    json_decref(o);
    return number;
}

double keeper_beside(const target *t, int64_t since, int *count) {
    json_t *o = ask(t, "GET", "/api/v1/jobs?limit=60&state=done", NULL), *job;
    double sum = 0;
    size_t i;
    *count = 0;
    json_array_foreach(json_object_get(o, "jobs"), i, job) {
        if (strtoll(text_at(job, "id"), NULL, 10) <= since) continue;
        sum += json_number_value(json_object_get(json_object_get(job, "progress"), "seconds"));
        ++*count;
    }
    json_decref(o);
    return *count ? sum / *count : 0;
}

static void look_at_queue(keeper *k) {
    json_t *o = ask(k->t, "GET", "/api/v1/jobs?limit=5&state=queued,running", NULL), *jobs;
    jobs = json_object_get(o, "jobs");
    const json_t *first = json_array_get(jobs, 0);
    int runs = strcmp(text_at(first, "state"), "running") == 0;
    size_t count = json_array_size(jobs);
    pthread_mutex_lock(&k->lock);
    snprintf(k->job, sizeof k->job, "%.60s", runs ? text_at(first, "id") : "");
    pthread_mutex_unlock(&k->lock);
    json_decref(o);
    for (; o && k->order && count < 2; count++) json_decref(ask(k->t, "POST", "/api/v1/jobs", k->order));
}

/* ---- the process ---- */

static double own_megabytes(const target *t) {
    json_t *o = ask(t, "GET", "/api/v1/system/memory?since=0", NULL), *samples;
    samples = json_object_get(o, "samples");
    size_t count = json_array_size(samples);
    const json_t *last = json_array_get(samples, count ? count - 1 : 0);
    double bytes = json_number_value(json_object_get(last, "own_bytes"));
    json_decref(o);
    return count ? bytes / 1e6 : -1;
}

static double resident_megabytes(int pid) {
    char path[40];
    unsigned long all, resident;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *f = fopen(path, "r");
    int good = f && fscanf(f, "%lu %lu", &all, &resident) == 2;
    if (f) fclose(f);
    return good ? (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6 : -1;
}

/* The engine's threads are less urgent than the server's own, by which they are told apart. */
static void add_thread(int pid, const char *thread, sample *s) {
    char path[320], text[1024];
    unsigned long user = 0, system = 0;
    long nice = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%s/stat", pid, thread);
    FILE *f = fopen(path, "r");
    const char *end = f && fgets(text, sizeof text, f) ? strrchr(text, ')') : NULL;
    if (f) fclose(f);
    if (!end || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %ld",
                       &user, &system, &nice) != 3)
        return;
    *(nice >= 5 ? &s->worked : &s->served) +=
        (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void look_at_process(keeper *k, sample *s) {
    char path[40];
    s->resident = -1;
    if (!k->pid) return;
    s->resident = resident_megabytes(k->pid);
    snprintf(path, sizeof path, "/proc/%d/task", k->pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') add_thread(k->pid, e->d_name, s);
    if (d) closedir(d);
}

static void take_sample(keeper *k) {
    sample s = {.at = now_seconds(), .own = own_megabytes(k->t)};
    look_at_process(k, &s);
    if (k->count == k->room) {
        int room = k->room ? 2 * k->room : 64;
        sample *more = realloc(k->samples, (size_t)room * sizeof *more);
        if (!more) return;
        k->samples = more;
        k->room = room;
    }
    k->samples[k->count++] = s;
}

/* ---- the thread ---- */

static int is_stopping(keeper *k) {
    pthread_mutex_lock(&k->lock);
    int stopping = k->stopping;
    pthread_mutex_unlock(&k->lock);
    return stopping;
}

static void *run(void *context) {
    keeper *k = context;
    double next = 0;
    while (!is_stopping(k)) {
        look_at_queue(k);
        if (now_seconds() >= next) {
            take_sample(k);
            next = now_seconds() + k->sample_seconds;
        }
        nap(0.5);
    }
    take_sample(k);
    return NULL;
}

int keeper_start(keeper *k) {
    pthread_mutex_init(&k->lock, NULL);
    return pthread_create(&k->thread, NULL, run, k) == 0;
}

void keeper_job(keeper *k, char job[64]) {
    pthread_mutex_lock(&k->lock);
    memcpy(job, k->job, sizeof k->job);
    pthread_mutex_unlock(&k->lock);
}

void keeper_stop(keeper *k) {
    pthread_mutex_lock(&k->lock);
    k->stopping = 1;
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    pthread_mutex_destroy(&k->lock);
}

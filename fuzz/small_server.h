/* One server for a process of a fuzz target, on a folder in memory, with an engine that paints
 * small pictures of nothing. Its log goes into a pipe, where it can be looked at. */
#ifndef MEBI_FUZZ_SMALL_SERVER_H
#define MEBI_FUZZ_SMALL_SERVER_H

#include "jobs_fake.h"

#include "server/server.h"

#include <fcntl.h>

enum { SMALL_SIDE = 16, SMALL_ORDERS = 16 };

static mebi__server *server;
static fake engine;
static bench folder;
static path_text settings;
static mebi__config config;
static int log_ends[2];
static _Atomic int small_orders;

static inline void require(int condition) {
    if (!condition) abort();
}

/* Small ones fit, so that a run takes no time, and so many of them that lists stay short. */
static inline mebi_status small_plan(void *context, const mebi_request *r, mebi_plan *p,
                                     mebi_error *err) {
    mebi_status status = fake_plan(context, r, p, err);
    int small = r->width <= SMALL_SIDE && r->height <= SMALL_SIDE && r->count <= 2 && r->steps <= 4;
    if (status != MEBI_OK || (small && small_orders++ < SMALL_ORDERS)) return status;
    p->verdict = MEBI_TOO_BIG;
    p->alternatives = 1;
    p->alternative[0] = (mebi_alternative){.width = SMALL_SIDE, .height = SMALL_SIDE, .count = 1};
    snprintf(p->why, sizeof p->why, "It is too big.");
    return MEBI_OK;
}

static inline void end_small_server(void) {
    mebi__server_close(&server, 0, NULL);
    mebi__config_free(&config);
    remove_path(folder.folder.text);
    require(mebi__memory_held(MEBI__TAG_COUNT) == 0);
}

static inline void start_small_server(void) {
    mebi_error err = {0};
    folder.folder = jobs_folder();
    settings = path_of("%s/config.yaml", folder.folder.text);
    pthread_mutex_init(&engine.lock, NULL);
    require(pipe2(log_ends, O_CLOEXEC | O_NONBLOCK) == 0);
    mebi__server_params p = {
        .folder = folder.folder.text,
        .address = "127.0.0.1",
        .queue_limit = 8,
        .log = {MEBI__LOG_TEXT, log_ends[1]},
        .engine = {&engine, fake_open, fake_close, fake_describe, small_plan, fake_generate, NULL},
        .model_name = "fake",
        .config = &config,
        .config_path = settings.text};
    if (mebi__server_open(&p, &server, &err) != MEBI_OK) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    while (mebi__jobs_health(mebi__server_jobs(server), NULL, NULL) != MEBI__JOBS_READY)
        fake_nap(1);
    atexit(end_small_server);
}

/* The log so far holds printable ASCII and ends of lines alone. */
static inline void check_log(void) {
    static char text[1 << 16];
    for (ssize_t n; (n = read(log_ends[0], text, sizeof text)) > 0;)
        for (ssize_t i = 0; i < n; i++)
            require(text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~'));
}

#endif

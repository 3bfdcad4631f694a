/* The server's checks, in processes of their own. Must never leave one behind, and never wait for
 * one that the server's end makes void. */
#include "cli/serve_checks.h"

#include "base/memory.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS = 40, OUTPUT_BYTES = 8 << 20, HTML_BYTES = 96 << 20, LINE_BYTES = 900, LOOK_MS = 200 };

typedef struct words {
    const char *word[WORDS];
    int count;
    char threads[12];
} words;

static void add(words *w, const char *option, const char *value) {
    if (!value || w->count + 3 > WORDS) return;
    w->word[w->count++] = option;
    if (*value) w->word[w->count++] = value;
}

/* The command's words; html: where a bench leaves its page. */
static void list_words(words *w, const mebi_engine_params *p, const mebi__check_order *o,
                       const char *html) {
    add(w, "mebi", o->is_bench ? "bench" : "doctor");
    add(w, "--json", "");
    add(w, "--progress-json", "");
    add(w, "--model", p->model);
    add(w, "--diffusion-model", p->diffusion_model);
    add(w, "--text-encoder", p->text_encoder);
    add(w, "--vae", p->vae);
    add(w, "--tokenizer", p->tokenizer);
    add(w, "--precision", mebi_precision_name(p->precision));
    add(w, "--quality", mebi_quality_name(p->quality));
    snprintf(w->threads, sizeof w->threads, "%d", p->threads);
    if (p->threads > 0) add(w, "--threads", w->threads);
    if (o->is_bench) add(w, "--html", html);
    if (o->quick && !o->is_bench) add(w, "--quick", "");
    if (o->quick && o->is_bench)
        add(w, "--prompts", "1"), add(w, "--seeds", "1"), add(w, "--runs", "0");
}

static pid_t start(words *w, int out, int said) {
    pid_t pid = fork();
    if (pid != 0) return pid;
    int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, 0);
    dup2(out, 1);
    dup2(said, 2);
    execv("/proc/self/exe", (char **)(uintptr_t)w->word);
    _exit(127);
}

/* ---- what it writes ---- */

/* A child under way. */
typedef struct child {
    const mebi__check_order *order;
    int out, said; /* pipes: its report, and its progress with words on a failure */
    char *report;
    size_t used, room;
    char line[LINE_BYTES]; /* of `said`, unfinished */
    size_t length;
    double fraction;
    char reason[LINE_BYTES]; /* the last sentence that was no progress; "" if none */
} child;

/* A line of --progress-json, or a sentence "mebi: ...". */
static void take_line(child *c) {
    json_t *o = json_loads(c->line, JSON_REJECT_DUPLICATES, NULL);
    const char *text = json_string_value(json_object_get(o, "words"));
    const json_t *fraction = json_object_get(o, "fraction"),
                 *left = json_object_get(o, "seconds_left");
    if (json_is_number(fraction)) c->fraction = json_number_value(fraction);
    if (json_is_object(o))
        c->order->progress(c->order->to, c->fraction,
                           json_is_number(left) ? json_number_value(left) : -1, text);
    else if (strncmp(c->line, "mebi: ", 6) == 0)
        snprintf(c->reason, sizeof c->reason, "%s", c->line + 6);
    json_decref(o);
}

/* Lines that are too long are cut. 0: nothing will follow. */
static int hear(child *c) {
    char piece[1024];
    ssize_t n = read(c->said, piece, sizeof piece);
    if (n < 0 && errno == EINTR) return 1;
    for (ssize_t i = 0; i < n; i++) {
        if (piece[i] != '\n') {
            if (c->length < sizeof c->line - 1) c->line[c->length++] = piece[i];
            continue;
        }
        c->line[c->length] = 0;
        c->length = 0;
        take_line(c);
    }
    return n > 0;
}

/* 1: more may follow; 0: that was all; -1: no memory, or too much. */
static int read_some(child *c) {
    ssize_t n = read(c->out, c->report + c->used, c->room - 1 - c->used);
    if (n < 0 && errno == EINTR) return 1;
    if (n <= 0) return 0;
    c->used += (size_t)n;
    if (c->room - 1 > c->used) return 1;
    if (c->room >= OUTPUT_BYTES) return -1;
    char *grown = mebi__realloc_array(MEBI__TAG_GENERAL, c->report, c->room * 2, 1);
    if (!grown) return -1;
    c->report = grown;
    c->room *= 2;
    return 1;
}

/* All that it writes, until it ends or the server does. 0: there is no whole report. */
static int read_all(child *c, pid_t pid) {
    int more = 1, says = 1;
    while (more > 0) {
        struct pollfd wait[] = {{c->out, POLLIN, 0}, {says ? c->said : -1, POLLIN, 0}};
        if (c->order->stopping(c->order->to)) kill(pid, SIGTERM);
        if (poll(wait, 2, LOOK_MS) <= 0) continue;
        if (wait[1].revents) says = hear(c);
        if (wait[0].revents) more = read_some(c);
    }
    if (more < 0) kill(pid, SIGKILL);
    while (says) says = hear(c);
    return more == 0;
}

/* ---- the whole of one ---- */

static int open_pipes(int out[2], int said[2]) {
    if (pipe2(out, O_CLOEXEC) != 0) return 0;
    if (pipe2(said, O_CLOEXEC) == 0) return 1;
    close(out[0]), close(out[1]);
    return 0;
}

static json_t *report_of(child *c, words *w) {
    int out[2], said[2], status, whole = 0;
    if (!open_pipes(out, said)) return NULL;
    pid_t pid = start(w, out[1], said[1]);
    close(out[1]), close(said[1]);
    c->out = out[0], c->said = said[0];
    if (pid > 0) whole = read_all(c, pid);
    close(out[0]), close(said[0]);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return whole ? json_loadb(c->report, c->used, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

static json_t *run(words *w, const mebi__check_order *o, mebi_error *err) {
    child c = {.order = o, .room = 64 << 10};
    c.report = mebi__alloc(MEBI__TAG_GENERAL, c.room);
    json_t *report = c.report ? report_of(&c, w) : NULL;
    mebi__free(c.report);
    if (!report && *c.reason) (void)mebi__fail(err, MEBI_INTERNAL, "%s", c.reason);
    else if (!report)
        (void)mebi__fail(err, MEBI_INTERNAL,
                         "The check ended without a report. On this machine `mebi %s` tells more.",
                         o->is_bench ? "bench" : "doctor");
    return report;
}

/* Freed with free(); NULL: there is none. */
static char *take_page(const char *path) {
    char *text, *copy = NULL;
    size_t bytes;
    mebi_error err = {0};
    if (mebi__read_file(path, HTML_BYTES, &text, &bytes, &err) == MEBI_OK) {
        copy = strdup(text);
        mebi__free(text);
    }
    return copy;
}

json_t *serve_checks_run(void *context, const mebi__check_order *order, char **html,
                         mebi_error *err) {
    const serve_checks *c = context;
    words w = {.count = 0};
    char *page = mebi__join_path(c->folder, "check.html");
    if (!page) {
        (void)mebi__fail(err, MEBI_NO_MEMORY, "No memory for a path.");
        return NULL;
    }
    unlink(page);
    list_words(&w, c->params, order, page);
    order->progress(order->to, 0, -1, "loading the model");
    json_t *report = run(&w, order, err);
    if (order->is_bench) *html = take_page(page);
    unlink(page);
    mebi__free(page);
    return report;
}

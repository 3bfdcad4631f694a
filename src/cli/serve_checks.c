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

enum { WORDS = 40, OUTPUT_BYTES = 8 << 20, HTML_BYTES = 96 << 20, LOOK_MS = 200 };

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

static pid_t start(words *w, int out) {
    pid_t pid = fork();
    if (pid != 0) return pid;
    int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, 0);
    dup2(out, 1);
    dup2(nothing, 2);
    execv("/proc/self/exe", (char **)(uintptr_t)w->word);
    _exit(127);
}

/* All that it writes, until it ends or the server does. Freed with mebi__free; NULL: no memory, or
 * too much. */
static char *read_all(int in, pid_t pid, const mebi__check_order *o) {
    size_t used = 0, room = 64 << 10;
    char *text = mebi__alloc(MEBI__TAG_GENERAL, room);
    while (text) {
        struct pollfd wait = {in, POLLIN, 0};
        if (o->stopping(o->to)) kill(pid, SIGTERM);
        if (poll(&wait, 1, LOOK_MS) == 0) continue;
        ssize_t n = read(in, text + used, room - 1 - used);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return text;
        used += (size_t)n;
        if (room - 1 > used) continue;
        char *grown =
            room < OUTPUT_BYTES ? mebi__realloc_array(MEBI__TAG_GENERAL, text, room *= 2, 1) : NULL;
        if (!grown) break;
        text = grown;
    }
    kill(pid, SIGKILL);
    mebi__free(text);
    return NULL;
}

static json_t *run(words *w, const mebi__check_order *o, mebi_error *err) {
    int ends[2], status = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        (void)mebi__fail(err, MEBI_IO, "The check can't be started: %s.", strerror(errno));
        return NULL;
    }
    pid_t pid = start(w, ends[1]);
    close(ends[1]);
    char *text = pid > 0 ? read_all(ends[0], pid, o) : NULL;
    close(ends[0]);
    if (pid > 0)
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    json_t *report = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    mebi__free(text);
    if (!report)
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
    order->progress(order->to, 0,
                    order->is_bench ? "pictures of several sizes are made"
                                    : "the machine is checked");
    json_t *report = run(&w, order, err);
    if (order->is_bench) *html = take_page(page);
    unlink(page);
    mebi__free(page);
    return report;
}

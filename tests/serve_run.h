/* `mebi serve` itself, as a process: begun, asked, ended or killed. */
#ifndef MEBI_TESTS_SERVE_RUN_H
#define MEBI_TESTS_SERVE_RUN_H

#include "server_client.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

enum { NOBODY = 65534, SAID_BYTES = 1 << 16, WORDS_MOST = 24 };

typedef struct served {
    path_text folder; /* the data */
    path_text log;    /* a file of all that it says */
    int as_nobody;    /* 1: without root's rights, if this process has them */
    const char *preload; /* LD_PRELOAD; NULL: none */
    pid_t pid;
    int port;
    char said[SAID_BYTES];
} served;

static inline const char *what_it_said(served *s) {
    int fd = open(s->log.text, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, s->said, sizeof s->said - 1) : 0;
    s->said[n > 0 ? n : 0] = 0;
    if (fd >= 0) close(fd);
    return s->said;
}

static inline void be_the_command(const served *s, char **words) {
    int fd = open(s->log.text, O_WRONLY | O_CREAT | O_APPEND, 0666);
    dup2(fd, 1);
    dup2(fd, 2);
    if (s->preload) setenv("LD_PRELOAD", s->preload, 1);
    if (s->as_nobody && geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)) _exit(98);
    execv(getenv("MEBI"), words);
    _exit(99);
}

/* Begins it; more: further words, ended by NULL, or NULL. */
static inline void begin_serving(served *s, const char *const *more) {
    const char *words[WORDS_MOST] = {"mebi", "serve", "-m", "models/mini", "--data", s->folder.text, "--threads", "1"};
    int n = 8, has_port = 0;
    for (int i = 0; more && more[i]; i++) {
        words[n++] = more[i];
        has_port |= strcmp(more[i], "--port") == 0;
    }
    if (!has_port) words[n++] = "--port", words[n++] = "0";
    assert_non_null(getenv("MEBI"));
    if (!*s->log.text) s->log = path_of("%s.log", s->folder.text);
    unlink(s->log.text);
    s->port = 0;
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) be_the_command(s, (char **)(uintptr_t)words);
}

/* 1 when it listens; 0 if it ended: *code is how. */
static inline int comes_up(served *s, int *code) {
    for (int i = 0; i < 6000; i++, nap_ms(10)) {
        const char *at = strstr(what_it_said(s), "mebi listens on http://127.0.0.1:");
        int status;
        if (at && strchr(at, '\n')) {
            s->port = atoi(at + strlen("mebi listens on http://127.0.0.1:"));
            return 1;
        }
        if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
            s->pid = 0;
            *code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
            what_it_said(s);
            return 0;
        }
    }
    fail_msg("The server does nothing: %s", s->said);
    return 0;
}

static inline void serve(served *s, const char *const *more) {
    int code = 0;
    begin_serving(s, more);
    if (!comes_up(s, &code)) fail_msg("mebi serve ended with %d: %s", code, s->said);
    wait_until_ready(s->port);
}

/* It refuses to start, and says why in words that hold these. */
static inline void assert_refuses(served *s, const char *const *more, const char *words) {
    int code = 0;
    begin_serving(s, more);
    if (comes_up(s, &code)) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
        s->pid = 0;
        fail_msg("mebi serve did not mind");
    }
    if (code < 1 || code > 2 || !strstr(s->said, words)) fail_msg("%d, without \"%s\": %s", code, words, s->said);
}

/* By a signal; its exit code, or less the signal's number. */
static inline int end_serving(served *s, int sig) {
    int status;
    if (!s->pid) return 0;
    kill(s->pid, sig);
    assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
    s->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline void forget_server(served *s) {
    end_serving(s, SIGKILL);
    unlink(s->log.text);
    remove_path(s->folder.text);
}

/* One cache for all servers of a program, so that only the first one measures the machine. For cmocka's group. */
static path_text serve_cache;

static inline int begin_cache(void **state) {
    (void)state;
    serve_cache = make_folder();
    chmod(serve_cache.text, 0777);
    return setenv("MEBI_CACHE_DIR", serve_cache.text, 1);
}

static inline int end_cache(void **state) {
    (void)state;
    remove_path(serve_cache.text);
    return 0;
}

/* ---- asking it ---- */

/* An order's id, or "" if it was refused: `reply` says why. */
static inline path_text order_of_it(const served *s, const char *json) {
    path_text id = {""};
    if (ask(s->port, "POST /api/v1/jobs", json) != 202) return id;
    json_t *o = json_of_reply();
    id = path_of("%.60s", text_at(o, "id"));
    json_decref(o);
    return id;
}

/* "done", ...; in a buffer of its own. */
static inline const char *job_state_of(const served *s, const char *id) {
    static char state[20];
    json_t *o = get_json(s->port, path_of("/api/v1/jobs/%s", id).text);
    snprintf(state, sizeof state, "%.19s", text_at(o, "state"));
    json_decref(o);
    return state;
}

static inline void await_state(const served *s, const char *id, const char *wanted) {
    for (int i = 0; i < 3000; i++, nap_ms(20))
        if (strcmp(job_state_of(s, id), wanted) == 0) return;
    path_text is = path_of("%s", job_state_of(s, id));
    ask(s->port, "GET /healthz", NULL);
    fail_msg("Job %s is %s, not %s: %s", id, is.text, wanted, body);
}

/* Until /healthz has the status, and words in its message. */
static inline void await_health(const served *s, int status, const char *words) {
    for (int i = 0; i < 1500; i++, nap_ms(20))
        if (ask(s->port, "GET /healthz", NULL) == status && strstr(body, words)) return;
    fail_msg("No %d with \"%s\": %.400s", status, words, reply);
}

static inline int pictures_of(const served *s) {
    json_t *o = get_json(s->port, "/api/v1/images?limit=500");
    int count = (int)json_array_size(json_object_get(o, "images"));
    json_decref(o);
    return count;
}

#endif

/* Runs the command as a user would, in a folder of its own, with everything it says at hand. */
#ifndef MEBI_TESTS_CLI_RUN_H
#define MEBI_TESTS_CLI_RUN_H

#include "testing.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TINY MEBI_FIXTURES "/models/tiny"

enum { SAID_BYTES = 1 << 22, PATIENCE_MS = 120000 };

typedef struct said {
    int fd; /* -1: ended */
    size_t length;
    char text[SAID_BYTES];
} said;

typedef struct child {
    pid_t pid;
    int in; /* -1: closed */
    said out, err;
    int code; /* exit code, or -signal */
} child;

static child ran; /* the last one; large, hence not on the stack */
static char folder[64];

/* How to start: zeros are the usual. */
typedef struct start_how {
    const char *out_path; /* standard output goes there instead */
    int out_closed;       /* ... into a pipe that nobody reads */
    rlim_t file_bytes;    /* largest file it may write */
    int keep_input;       /* standard input stays open */
} start_how;

static void child_exec(const start_how *how, char **argv, int in, int out, int err) {
    const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) signal(signals[i], SIG_DFL);
    if (how->file_bytes) {
        struct rlimit limit = {how->file_bytes, how->file_bytes};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    dup2(in, 0);
    dup2(out, 1);
    dup2(err, 2);
    for (int fd = 3; fd < 64; fd++) close(fd);
    execv(getenv("MEBI"), argv);
    _exit(99);
}

static void must_pipe(int ends[2]) {
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
}

/* argv without the program's name, ended by NULL. err_fd: the child's stderr, or -1 for a pipe. */
static void child_start(const start_how *how, const char *const *words, int err_fd) {
    char *argv[40] = {(char *)"mebi"};
    int in[2], out[2], err[2] = {-1, err_fd}, count = 1;
    for (; words[count - 1] && count < 39; count++)
        argv[count] = (char *)(uintptr_t)words[count - 1];
    must_pipe(in);
    must_pipe(out);
    if (err_fd < 0) must_pipe(err);
    if (how->out_path) {
        close(out[1]);
        out[1] = open(how->out_path, O_WRONLY | O_CLOEXEC);
        assert_true(out[1] >= 0);
    }
    if (how->out_closed) {
        close(out[0]);
        out[0] = -1;
    }
    fflush(stdout);
    ran.pid = fork();
    assert_true(ran.pid >= 0);
    if (ran.pid == 0) child_exec(how, argv, in[0], out[1], err[1]);
    close(in[0]);
    close(out[1]);
    close(err[1]);
    ran.in = in[1];
    ran.out.fd = out[0];
    if (err_fd < 0) ran.err.fd = err[0];
    ran.out.length = ran.err.length = 0;
    ran.out.text[0] = ran.err.text[0] = 0;
    if (!how->keep_input) {
        close(ran.in);
        ran.in = -1;
    }
}

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void nap_ms(int ms) {
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

static void listen_to(said *s) {
    if (s->fd < 0) return;
    ssize_t n = read(s->fd, s->text + s->length, SAID_BYTES - 1 - s->length);
    if (n > 0) s->length += (size_t)n;
    else if (n == 0 || errno != EINTR) { /* a terminal whose other side is closed: EIO */
        close(s->fd);
        s->fd = -1;
    }
    s->text[s->length] = 0;
}

/* Listens for at most 50 ms; 0 when both sides have ended. */
static int child_listen(void) {
    struct pollfd p[2] = {{ran.out.fd, POLLIN, 0}, {ran.err.fd, POLLIN, 0}};
    if (ran.out.fd < 0 && ran.err.fd < 0) return 0;
    if (poll(p, 2, 50) > 0) {
        if (p[0].revents) listen_to(&ran.out);
        if (p[1].revents) listen_to(&ran.err);
    }
    return 1;
}

static void child_give_up(const char *why) {
    kill(ran.pid, SIGKILL);
    waitpid(ran.pid, NULL, 0);
    fail_msg("%s; stderr: %s", why, ran.err.text);
}

/* Until stderr has said some words. */
__attribute__((unused)) static void child_await_words(const char *words) {
    int64_t until = now_ms() + PATIENCE_MS;
    while (!strstr(ran.err.text, words))
        if (!child_listen() || now_ms() > until) child_give_up("the words were not said");
}

static inline void child_await_file(const char *path) {
    int64_t until = now_ms() + PATIENCE_MS;
    while (access(path, F_OK) != 0) {
        if (!child_listen() || now_ms() > until) child_give_up("the file was not made");
        nap_ms(1);
    }
}

static int child_end(void) {
    int64_t until = now_ms() + PATIENCE_MS;
    int how;
    while (child_listen())
        if (now_ms() > until) child_give_up("it does not end");
    if (ran.in >= 0) close(ran.in);
    ran.in = -1;
    assert_int_equal(waitpid(ran.pid, &how, 0), ran.pid);
    ran.code = WIFEXITED(how) ? WEXITSTATUS(how) : -WTERMSIG(how);
    return ran.code;
}

static inline int run_words(const start_how *how, const char *const *words) {
    child_start(how, words, -1);
    return child_end();
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
/* The usual run; its exit code. */
#define RUN(...) run_words(&(start_how){0}, WORDS(__VA_ARGS__))
/* A small picture of the small model. */
#define SMALL "generate", "-m", TINY, "--size", "16", "--steps", "1", "-p", "a"

static inline int run_with_input(const void *input, size_t bytes, const char *const *words) {
    signal(SIGPIPE, SIG_IGN); /* it may end without reading all */
    child_start(&(start_how){.keep_input = 1}, words, -1);
    for (size_t done = 0; done < bytes;) {
        ssize_t n = write(ran.in, (const char *)input + done, bytes - done);
        if (n < 0) break;
        done += (size_t)n;
    }
    close(ran.in);
    ran.in = -1;
    return child_end();
}

#define assert_said(words)                                                                         \
    do {                                                                                           \
        if (!strstr(ran.err.text, words))                                                          \
            fail_msg("stderr should say \"%s\", and says: %s", words, ran.err.text);               \
    } while (0)
#define assert_not_said(words)                                                                     \
    do {                                                                                           \
        if (strstr(ran.err.text, words))                                                           \
            fail_msg("stderr should not say \"%s\": %s", words, ran.err.text);                     \
    } while (0)
#define assert_printed(words)                                                                      \
    do {                                                                                           \
        if (!strstr(ran.out.text, words))                                                          \
            fail_msg("stdout should have \"%s\", and has: %s (stderr: %s)", words, ran.out.text,   \
                     ran.err.text);                                                                \
    } while (0)
#define assert_code(call, wanted)                                                                  \
    do {                                                                                           \
        int code_ = (call);                                                                        \
        if (code_ != (wanted)) fail_msg("exit code %d, not %d: %s", code_, wanted, ran.err.text);  \
    } while (0)

/* ---- folders ---- */

static int counted;
static const char *counted_ending;

static int count_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
    size_t length = strlen(path), ending = strlen(counted_ending);
    (void)st, (void)ftw;
    if (kind == FTW_F && length >= ending && strcmp(path + length - ending, counted_ending) == 0)
        counted++;
    return 0;
}

/* Files below the working folder whose name ends so. */
static inline int count_files(const char *ending) {
    counted = 0;
    counted_ending = ending;
    nftw(".", count_one, 16, FTW_PHYS);
    return counted;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static int enter_folder(void **state) {
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/mebi-cli-XXXXXX", base && *base ? base : "/tmp");
    unsetenv("MEBI_MODEL");
    unsetenv("MEBI_CPU");
    setenv("MEBI_CONFIG", "", 1); /* none, whatever the user has */
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave_folder(void **state) {
    (void)state;
    return chdir("/") == 0 && nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 ? 0 : -1;
}

static inline void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static inline int files_equal(const char *a, const char *b) {
    FILE *f = fopen(a, "rb"), *g = fopen(b, "rb");
    assert_non_null(f);
    assert_non_null(g);
    int c, d;
    do c = getc(f), d = getc(g);
    while (c == d && c != EOF);
    fclose(f);
    fclose(g);
    return c == d;
}

#endif

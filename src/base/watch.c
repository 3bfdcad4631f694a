/* Times and waits. Must never fail: what the system doesn't tell is taken for no wait. */
#include "base/watch.h"

#include "base/os.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* Nanoseconds that a thread was ready and not running: the second number of its schedstat. */
static uint64_t waited_by(int tasks, const char *id) {
    char name[300], text[96];
    uint64_t ran, waited = 0;
    snprintf(name, sizeof name, "%s/schedstat", id);
    int fd = openat(tasks, name, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) close(fd);
    if (n <= 0) return 0;
    text[n] = 0;
    return sscanf(text, "%" SCNu64 " %" SCNu64, &ran, &waited) == 2 ? waited : 0;
}

static double waited_by_all(void) {
    DIR *tasks = opendir("/proc/self/task");
    uint64_t sum = 0;
    if (!tasks) return 0;
    for (struct dirent *d; (d = readdir(tasks));)
        if (d->d_name[0] != '.') sum += waited_by(dirfd(tasks), d->d_name);
    closedir(tasks);
    return 1e-9 * (double)sum;
}

mebi__watch mebi__watch_begin(int threads) {
    mebi__watch w = {.waited = waited_by_all(), .threads = threads < 1 ? 1 : threads};
    w.began = mebi__now_seconds();
    return w;
}

double mebi__watch_seconds(const mebi__watch *w, double *undisturbed) {
    double seconds = mebi__now_seconds() - w->began;
    if (!undisturbed) return seconds;
    double waited = (waited_by_all() - w->waited) / w->threads;
    if (!(waited > 0)) waited = 0; /* a thread that ended took its waits along */
    *undisturbed = waited < 0.8 * seconds ? seconds - waited : 0.2 * seconds;
    return seconds;
}

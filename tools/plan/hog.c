/* Another program that takes memory: piece by piece, until so much is left in a memory control group (version 1)
 * that it is in, then holds it until it is ended.
 *
 *     hog GROUP LEAVE_MB PIECE_MB PAUSE_MS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double number_in(const char *folder, const char *name, const char *label) {
    char path[512], line[128];
    double value = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    size_t n = label ? strlen(label) : 0;
    while (f && fgets(line, sizeof line, f))
        if (!label || strncmp(line, label, n) == 0) value = strtod(line + n, NULL);
    if (f) fclose(f);
    return value;
}

/* Megabytes that could still be taken: pages of files make room. */
static double left_in(const char *folder) {
    double used = number_in(folder, "memory.usage_in_bytes", NULL) -
                  number_in(folder, "memory.stat", "total_inactive_file ") -
                  number_in(folder, "memory.stat", "total_active_file ");
    return (number_in(folder, "memory.limit_in_bytes", NULL) - used) * 1e-6;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: hog GROUP LEAVE_MB PIECE_MB PAUSE_MS\n");
        return 2;
    }
    double leave = atof(argv[2]), piece = atof(argv[3]), taken = 0;
    struct timespec pause = {.tv_sec = atoi(argv[4]) / 1000, .tv_nsec = atoi(argv[4]) % 1000 * 1000000L};
    while (left_in(argv[1]) > leave + piece) {
        size_t bytes = (size_t)(piece * 1e6);
        char *p = malloc(bytes);
        if (!p) break;
        memset(p, 1, bytes);
        taken += piece;
        nanosleep(&pause, NULL);
    }
    fprintf(stderr, "hog: has %.0f MB, %.0f MB are left\n", taken, left_in(argv[1]));
    pause = (struct timespec){.tv_sec = 3600};
    nanosleep(&pause, NULL);
    return 0;
}

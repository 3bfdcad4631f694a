/* A stopwatch for work on several threads that knows of other programs: how long the work took, and how long
 * it would have taken had its threads never had to wait for a processor. */
#ifndef MEBI_BASE_WATCH_H
#define MEBI_BASE_WATCH_H

typedef struct mebi__watch {
    double began, waited; /* waited: by all threads of the process, so far */
    int threads;
} mebi__watch;

/* threads: that the work is divided among. Reading takes some microseconds a thread of the process. */
mebi__watch mebi__watch_begin(int threads);

/* Seconds since then. *undisturbed (may be NULL): less what the threads waited, shared among them; never less
 * than a fifth. Where the system doesn't tell, the same as the result. */
double mebi__watch_seconds(const mebi__watch *watch, double *undisturbed);

#endif

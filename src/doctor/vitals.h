/* How the process and the machine fare: clocks, faults, swapping, throttling. Read from the system,
 * which may know less than is asked for. */
#ifndef MEBI_DOCTOR_VITALS_H
#define MEBI_DOCTOR_VITALS_H

#include <stddef.h>

/* At one moment; counters since the process or the system began. Zeros where the system doesn't
 * tell. */
typedef struct mebi__vitals {
    double wall;              /* seconds */
    double cpu;               /* seconds of processors that this process had, all threads */
    double major_faults;      /* of this process: pages that had to come from a disk */
    double swapped;           /* pages of the whole machine that went to swap or came from it */
    double throttled_periods; /* in which this process's control group was held back */
    double throttled;         /* seconds, for which it was, summed over threads */
    double busy;              /* seconds that all processors worked */
    double stolen;            /* ... and worked for other virtual machines */
    double stalled;           /* seconds in which something waited for memory */
    size_t own_swap_bytes;    /* of this process, in swap */
    double clock;             /* turns of a loop of registers a second, at best */
} mebi__vitals;

/* Takes about 15 ms of one processor, for the loop. */
mebi__vitals mebi__vitals_now(void);

/* What went on between two moments: counters are differences, own_swap_bytes too (0 where it
 * shrank), and clock is the share of its earlier speed that the loop has kept. */
mebi__vitals mebi__vitals_between(const mebi__vitals *from, const mebi__vitals *to);

/* What is the case now. */
typedef struct mebi__machine {
    char name[96];                        /* of the processor; "" unknown */
    int cores;                            /* physical ones that this process may use */
    int processors;                       /* with hyper-threads counted */
    double quota;                         /* processors that the control group gives; 0: no limit */
    double mhz, mhz_most;                 /* of the first processor; 0 unknown */
    double load;                          /* processes that want a processor, mean of a minute */
    size_t memory_bytes, available_bytes; /* of the machine; what this process could take */
    size_t group_bytes;                   /* the control group's limit; 0: none */
    size_t swap_bytes, swap_used_bytes;
    const char
        *best; /* instruction set that mebi would use without a mask: "avx512", "avx2", "ref" */
} mebi__machine;

void mebi__machine_read(mebi__machine *m);

#endif

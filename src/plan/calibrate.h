/* Measuring a device's rates: a few seconds of operations of chosen shapes. */
#ifndef MEBI_PLAN_CALIBRATE_H
#define MEBI_PLAN_CALIBRATE_H

#include "plan/rates.h"

typedef struct mebi__calibration {
    /* Work goes to it directly. It should be one made for this: the scratch that it reserves stays. */
    mebi__device *device;
    size_t memory_bytes; /* at most, for tensors; 0: 160 MiB, or a quarter of what is free if that is less */
    double seconds;      /* about; 0: 4 */
    double (*now)(void *context);                  /* in place of the system's clock; may be NULL */
    void (*progress)(void *context, double share); /* may be NULL */
    int (*cancelled)(void *context);               /* may be NULL */
    void *context;
} mebi__calibration;

/* Measures the classes that were asked for (mebi__rates_seconds) and are not known, and those that every
 * model needs. What is known stays. MEBI_CANCELLED, MEBI_NO_MEMORY: r is as good as before. */
MEBI_MUST_USE mebi_status mebi__calibrate(const mebi__calibration *how, mebi__rates *r, mebi_error *err);

#endif

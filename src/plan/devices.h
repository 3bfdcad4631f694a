/* Machines that can be planned for without being there: what makers' datasheets say of them, and what a plan
 * makes of that. All of it is an estimate. */
#ifndef MEBI_PLAN_DEVICES_H
#define MEBI_PLAN_DEVICES_H

#include "base/error.h"
#include "plan/rates.h"

typedef struct mebi__planned_device {
    const char *name;
    const char *aliases;  /* other names, '|' between them; "" */
    int is_gpu;           /* weights are in its own memory, or come over the link */
    int year;
    double memory_gib;
    double reserved_gb;   /* taken by driver, desktop or system */
    double bandwidth;     /* GB a second, of memory */
    double int8, bf16, f32; /* 10^12 dense operations a second; GPUs: products summed in f32 */
    double link;          /* GB a second: to a GPU from its host's memory, to a CPU from its disk */
    const char *source;
} mebi__planned_device;

/* 0, 1, ...; NULL beyond the last. */
const mebi__planned_device *mebi__planned_device_at(int index);

/* By name or alias; case, spaces and punctuation don't count, nor a maker's name. MEBI_BAD_ARGUMENT names the
 * nearest. */
MEBI_MUST_USE mebi_status mebi__planned_device_find(const char *name, const mebi__planned_device **out,
                                                    mebi_error *err);

/* Bytes that a job may take there. */
size_t mebi__planned_device_room(const mebi__planned_device *device);

/* Its speed, as a roofline of the datasheet's rates times what programs reach of them; nothing measured. exact:
 * products are in f32 whatever the weights' type. */
void mebi__planned_device_rates(const mebi__planned_device *device, int exact, mebi__rates *rates);

#endif

/* A device that times another: it hands every operation on, waits for it at once, and keeps the account.
 *
 * The sums tell where a stage's seconds go, by operation and by the arithmetic that its products run
 * in. Operations and bytes are mebi__op_cost's: bytes of operands, each counted once.
 */
#ifndef MEBI_COMPUTE_TIMED_H
#define MEBI_COMPUTE_TIMED_H

#include "compute/ops.h"

typedef enum mebi__arithmetic {
    MEBI__ARITHMETIC_INT8,
    MEBI__ARITHMETIC_BF16,
    MEBI__ARITHMETIC_F32,
    MEBI__ARITHMETIC_COUNT
} mebi__arithmetic;

/* "int8", "bf16", "f32" */
const char *mebi__arithmetic_name(mebi__arithmetic arithmetic);

typedef struct mebi__timed_sum {
    long calls;
    double seconds, operations, bytes;
    double weights; /* of the bytes, those of weights of products */
} mebi__timed_sum;

typedef struct mebi__timed_report {
    mebi__timed_sum of[MEBI__OP_COUNT][MEBI__ARITHMETIC_COUNT];
} mebi__timed_report;

/* target outlives the timed device, whose buffers and errors are the target's own: views of either work
 * on both. bf16: 1 if the target multiplies bf16 weights as bf16, and attention likewise; 0 if all that is f32. */
MEBI_MUST_USE mebi_status mebi__timed_create(mebi__device *target, int bf16, mebi__device **out,
                                             mebi_error *err);
/* What was done since the last reset. */
const mebi__timed_report *mebi__timed_report_of(const mebi__device *timed);
void mebi__timed_reset(mebi__device *timed);

/* Called after each operation with the seconds it took, outside its own time; NULL: nothing is. */
typedef void (*mebi__timed_after)(void *context, double seconds);
void mebi__timed_set_after(mebi__device *timed, mebi__timed_after after, void *context);

/* All operations of a report. */
mebi__timed_sum mebi__timed_total(const mebi__timed_report *report);

#endif

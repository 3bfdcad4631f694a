/* How products are cut into tasks: what the loops of all operand types share. */
#ifndef MEBI_CPU_DIVISION_H
#define MEBI_CPU_DIVISION_H

#include <stdint.h>

static inline int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* value in `parts` even blocks that are multiples of unit. */
static inline int64_t block_of(int64_t value, int64_t parts, int64_t unit) {
    int64_t units = (value + unit - 1) / unit;
    return (units + parts - 1) / parts * unit;
}

#endif

/* The processor, looked at from the outside. */
#ifndef MEBI_DOCTOR_PROCESSOR_H
#define MEBI_DOCTOR_PROCESSOR_H

#include <stddef.h>

/* Turns a second of a loop that needs nothing but registers: the best of several short tries, so
 * that a try during which another process ran doesn't count. It follows the processor's clock and
 * nothing else. */
double mebi__processor_clock(void);

/* As the system calls it, fit for printing; "" where it doesn't say. */
void mebi__processor_name(char *name, size_t bytes);

/* "avx512", "avx2", "ref": what mebi has kernels for and this processor can execute. */
const char *mebi__processor_best(void);

#endif

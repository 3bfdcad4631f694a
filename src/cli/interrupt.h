/* Ctrl-C and its kin: noted, so that work under way can end in good order. */
#ifndef MEBI_CLI_INTERRUPT_H
#define MEBI_CLI_INTERRUPT_H

/* From now on the first signal is noted; the second of its kind ends the process at once. */
void interrupt_watch(void);
/* The signal's number, or 0. */
int interrupt_number(void);
/* 1 if one came; for callbacks, the context is not used. */
int interrupt_came(void *context);

#endif

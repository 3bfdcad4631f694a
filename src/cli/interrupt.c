/* Signals that ask for an end. The handler does nothing but note them. */
#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t interrupted; /* the signal's number, or 0 */

static void on_interrupt(int number) {
    interrupted = number;
    signal(number, SIG_DFL); /* the second one ends at once */
}

int interrupt_number(void) {
    return interrupted;
}

int interrupt_came(void *context) {
    (void)context;
    return interrupted != 0;
}

void interrupt_watch(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action = {.sa_handler = on_interrupt}, before;
        /* nohup(1) has the end of a session ignored. */
        if (numbers[i] == SIGHUP && sigaction(SIGHUP, NULL, &before) == 0 &&
            before.sa_handler == SIG_IGN)
            continue;
        sigaction(numbers[i], &action, NULL);
    }
}

/* What every test program includes first. */
#ifndef MEBI_TESTS_TESTING_H
#define MEBI_TESTS_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mebi/status.h"

/* The call succeeded, or the test fails with what it said. */
#define assert_mebi_ok(status, err)                                                                \
    do {                                                                                           \
        if ((status) != MEBI_OK) fail_msg("%s", (err)->text);                                      \
    } while (0)

#endif

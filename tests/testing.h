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

/* Sanitizers hold memory of their own for each byte, and make reading /proc about ten times slower. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#endif

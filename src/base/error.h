/* Filling a caller-owned mebi_error. */
#ifndef MEBI_BASE_ERROR_H
#define MEBI_BASE_ERROR_H

#include "mebi/status.h"

/* Fills *err (unless err is NULL or already filled) and returns status, so that a failing function
 * ends in `return mebi__fail(err, MEBI_IO, "...")`. The text says what failed, the value, the limit
 * and what to do about it. Text that does not fit is cut at a UTF-8 boundary. */
__attribute__((format(printf, 3, 4))) mebi_status mebi__fail(mebi_error *err, mebi_status status,
                                                             const char *format, ...);

/* Returns from the enclosing function if the expression is not MEBI_OK. */
#define MEBI_TRY(expression)                                                                       \
    do {                                                                                           \
        mebi_status try_status_ = (expression);                                                    \
        if (try_status_ != MEBI_OK) return try_status_;                                            \
    } while (0)

#endif

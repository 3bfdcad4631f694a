/* Error text. Must never fail itself: no allocation, no locale. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *mebi_status_text(mebi_status status) {
    switch (status) {
#define X(name, number, text)                                                                      \
    case MEBI_##name: return text;
        MEBI_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

mebi_status mebi__fail(mebi_error *err, mebi_status status, const char *format, ...) {
    if (!err || err->status != MEBI_OK) return status;
    err->status = status;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (length < 0) err->text[0] = 0;
    if (length >= (int)sizeof err->text) {
        /* Step back over a code point that was cut in half. */
        size_t end = sizeof err->text - 1;
        while (end > 0 && ((unsigned char)err->text[end - 1] & 0xC0) == 0x80) end--;
        if (end > 0 && (unsigned char)err->text[end - 1] >= 0xC0) end--;
        err->text[end] = 0;
    }
    return status;
}

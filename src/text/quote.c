/* Quoting for messages. Must never let a file write to a terminal. */
#include "text/quote.h"

#include <string.h>
#include <utf8proc.h>

static int may_show(int32_t c) {
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return 0;
    default: return 1;
    }
}

mebi__quoted mebi__quote(const char *text, size_t bytes) {
    mebi__quoted quoted = {{0}};
    size_t used = 0, at = 0;
    while (at < bytes) {
        int32_t c = -1;
        utf8proc_ssize_t n =
            utf8proc_iterate((const uint8_t *)text + at, (utf8proc_ssize_t)(bytes - at), &c);
        int fine = n > 0 && may_show(c);
        size_t step = n > 0 ? (size_t)n : 1, taken = fine ? step : 1;
        if (used + taken > 80) break;
        memcpy(quoted.text + used, fine ? text + at : "?", taken);
        used += taken;
        at += step;
    }
    if (at < bytes) memcpy(quoted.text + used, "...", 4);
    return quoted;
}

mebi__quoted mebi__quote_string(const char *text) {
    return mebi__quote(text, strlen(text));
}

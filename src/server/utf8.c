/* Is it UTF-8, and what to do where it is not. Must never read behind the bytes it is given. */
#include "server/utf8.h"

#include <stdint.h>
#include <string.h>

/* Bytes of the character that begins here; 0: none does. */
static size_t character(const unsigned char *p, size_t bytes) {
    size_t more = *p < 0x80                 ? 0
                  : *p >= 0xC2 && *p < 0xE0 ? 1
                  : (*p & 0xF0) == 0xE0     ? 2
                  : *p >= 0xF0 && *p < 0xF5 ? 3
                                            : SIZE_MAX;
    if (more >= bytes) return 0;
    uint32_t c = more == 0 ? *p : *p & (0x3Fu >> more);
    for (size_t i = 1; i <= more; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0;
        c = c << 6 | (p[i] & 0x3Fu);
    }
    if ((more == 2 && (c < 0x800 || (c >= 0xD800 && c < 0xE000))) ||
        (more == 3 && (c < 0x10000 || c > 0x10FFFF)))
        return 0;
    return more + 1;
}

int mebi__utf8_good(const char *text, size_t bytes) {
    for (size_t n; bytes > 0; text += n, bytes -= n)
        if ((n = character((const unsigned char *)text, bytes)) == 0) return 0;
    return 1;
}

void mebi__utf8_mend(char *text) {
    size_t bytes = strlen(text);
    for (size_t n; bytes > 0; text += n, bytes -= n) {
        n = character((const unsigned char *)text, bytes);
        if (n == 0) *text = '?', n = 1;
    }
}

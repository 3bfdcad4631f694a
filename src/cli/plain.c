/* Text from strangers. Must never pass on a byte that could control a terminal. */
#include "cli/plain.h"

#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

/* The next character's bytes, at least 1; *c is negative if it is not UTF-8. text is not empty. */
static size_t next(const char *text, int32_t *c) {
    utf8proc_ssize_t n = utf8proc_iterate((const uint8_t *)text, -1, c);
    if (n < 1) *c = -1;
    return n < 1 ? 1 : (size_t)n;
}

/* C0 and C1 controls, and the marks that turn the direction of text around. */
static int is_control(int32_t c) {
    return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0) ||
           (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void plain_print(FILE *to, const char *text) {
    while (*text) {
        int32_t c;
        size_t n = next(text, &c);
        if (is_control(c)) fputc('?', to); /* negative ones too */
        else fwrite(text, 1, n, to);
        text += n;
    }
}

char *plain_utf8(const char *text, char *out, size_t bytes) {
    size_t used = 0;
    while (*text) {
        int32_t c;
        size_t n = next(text, &c), length = c < 0 ? 3 : n;
        if (used + length >= bytes) break;
        memcpy(out + used, c < 0 ? "\xef\xbf\xbd" : text, length);
        used += length;
        text += n;
    }
    out[used] = 0;
    return out;
}

int plain_is_utf8(const char *text) {
    int32_t c = 0;
    while (*text && c >= 0) text += next(text, &c);
    return c >= 0;
}

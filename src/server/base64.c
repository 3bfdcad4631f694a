/* base64. Must never write beyond what its header promises. */
#include "server/base64.h"

#include <stdint.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t mebi__base64_encode(const unsigned char *from, size_t bytes, char *to) {
    char *begin = to;
    for (size_t i = 0; i < bytes; i += 3) {
        size_t have = bytes - i < 3 ? bytes - i : 3;
        uint32_t three = (uint32_t)from[i] << 16;
        if (have > 1) three |= (uint32_t)from[i + 1] << 8;
        if (have > 2) three |= from[i + 2];
        *to++ = digits[three >> 18];
        *to++ = digits[three >> 12 & 63];
        *to++ = have > 1 ? digits[three >> 6 & 63] : '=';
        *to++ = have > 2 ? digits[three & 63] : '=';
    }
    return (size_t)(to - begin);
}

size_t mebi__base64_decode(const char *text, size_t length, unsigned char *to) {
    unsigned char *begin = to;
    uint32_t bits = 0;
    int have = 0, padding = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] && strchr(" \t\r\n", text[i])) continue;
        if (text[i] == '=') {
            padding++;
            continue;
        }
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit || padding) return 0;
        bits = bits << 6 | (uint32_t)(digit - digits);
        have += 6;
        if (have < 8) continue;
        have -= 8;
        *to++ = (unsigned char)(bits >> have);
    }
    return padding > 2 || have == 6 ? 0 : (size_t)(to - begin);
}

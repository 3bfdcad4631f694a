/* Texts as a search compares them. Must never refuse a text: what it can't fold it takes as it is. */
#include "jobs/words.h"

#include "base/memory.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static char *fold_ascii(const char *text) {
    char *out = mebi__copy_string(text, strlen(text));
    for (char *p = out; p && *p; p++) *p = (char)tolower((unsigned char)*p);
    return out;
}

static char *fold(const char *text) {
    utf8proc_uint8_t *folded = NULL;
    utf8proc_ssize_t length = utf8proc_map(
        (const utf8proc_uint8_t *)text, 0, &folded,
        (utf8proc_option_t)(UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT |
                            UTF8PROC_CASEFOLD | UTF8PROC_STRIPMARK));
    if (length < 0) return fold_ascii(text);
    char *out = mebi__copy_string((const char *)folded, strlen((const char *)folded));
    free(folded);
    return out;
}

char *mebi__words_fold(const char *text, const char *other) {
    char *a = fold(text), *b = fold(other), *out = NULL;
    size_t bytes = a && b ? strlen(a) + strlen(b) + 2 : 0;
    if (bytes) out = mebi__alloc(MEBI__TAG_GENERAL, bytes);
    if (out) snprintf(out, bytes, "%s\n%s", a, b);
    mebi__free(a);
    mebi__free(b);
    return out;
}

int mebi__words_are_utf8(const char *text) {
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)text;
    for (utf8proc_ssize_t left = (utf8proc_ssize_t)strlen(text); left > 0;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(p, left, &c);
        if (n <= 0) return 0;
        p += n;
        left -= n;
    }
    return 1;
}

void mebi__words_cut(char *out, unsigned long bytes, const char *text) {
    size_t length = strnlen(text, bytes);
    if (length == bytes) {
        length--;
        while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80) length--;
    }
    memcpy(out, text, length);
    out[length] = 0;
}

/* What an address line says. Must never decode a path: none of ours needs an escape, so that
 * nothing can hide in one. */
#include "server/uri.h"

#include "server/utf8.h"

#include <string.h>

static int is_path_sign(unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr("/-_.", c);
}

int mebi__uri_split(const char *uri, char *path, size_t path_room, char *query, size_t query_room) {
    size_t length = strcspn(uri, "?"), rest = uri[length] ? strlen(uri + length + 1) : 0;
    path[0] = query[0] = 0;
    if (length >= path_room || rest >= query_room) return 414;
    memcpy(path, uri, length);
    path[length] = 0;
    if (rest) memcpy(query, uri + length + 1, rest + 1);
    if (path[0] != '/') return 400;
    for (size_t i = 0; i < length; i++) {
        if (!is_path_sign((unsigned char)path[i])) return 404;
        if (path[i] == '/' && (path[i + 1] == '/' || path[i + 1] == '.')) return 404;
    }
    for (size_t i = 0; i < rest; i++)
        if ((unsigned char)query[i] <= ' ' || (unsigned char)query[i] == 0x7f) return 400;
    return 0;
}

static int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* -1 for what is no text. */
static int decode(const char *from, size_t length, char *to, size_t room) {
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        int c = (unsigned char)from[i];
        if (c == '+') c = ' ';
        else if (c == '%') {
            int high = i + 2 < length ? digit(from[i + 1]) : -1,
                low = high < 0 ? -1 : digit(from[i + 2]);
            if (low < 0) return -1;
            c = high * 16 + low;
            i += 2;
        }
        if (c < ' ' || c == 0x7f || n + 1 >= room) return -1;
        to[n++] = (char)c;
    }
    to[n] = 0;
    return mebi__utf8_good(to, n) ? 1 : -1;
}

int mebi__uri_value(const char *query, const char *name, char *to, size_t room) {
    size_t length = strlen(name);
    int found = 0;
    to[0] = 0;
    for (const char *p = query; *p;) {
        size_t part = strcspn(p, "&");
        if (part >= length && strncmp(p, name, length) == 0 &&
            (part == length || p[length] == '=')) {
            size_t from = part == length ? length : length + 1;
            if (found || decode(p + from, part - from, to, room) < 0) {
                to[0] = 0;
                return -1;
            }
            found = 1;
        }
        p += part;
        p += *p == '&';
    }
    return found;
}

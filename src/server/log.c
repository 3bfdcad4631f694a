/* The operator's log. Must never let what a client sent begin a line, or colour a terminal. */
#include "base/os.h"
#include "server/log.h"

#include "server/moment.h"
#include "server/utf8.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In one write, so that lines of several threads stay whole. */
static void put(const mebi__log *log, const char *text, size_t bytes) {
    while (bytes > 0) {
        ssize_t n = write(log->fd, text, bytes);
        if (n <= 0) return;
        text += n, bytes -= (size_t)n;
    }
}

/* Takes the reference. */
static void put_json(const mebi__log *log, json_t *o) {
    char *text = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII |
                                       JSON_REAL_PRECISION(6))
                   : NULL;
    json_decref(o);
    if (!text) return;
    size_t bytes = strlen(text);
    text[bytes] = '\n'; /* in the place of the 0 byte */
    put(log, text, bytes + 1);
    free(text);
}

/* Control characters become '?'. */
static void make_plain(char *text) {
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < ' ' || *p == 0x7f) *p = '?';
}

/* What a client sent is printable ASCII, or '?'. */
static void copy_plain(char *to, size_t room, const char *from) {
    snprintf(to, room, "%s", from);
    for (char *p = to; *p; p++)
        if (*p < ' ' || *p > '~') *p = '?';
}

void mebi__log_say(const mebi__log *log, const char *level, const char *format, ...) {
    char text[1200], line[1400], time[MEBI__MOMENT_BYTES];
    va_list args;
    if (log->form == MEBI__LOG_NONE) return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    make_plain(text);
    mebi__utf8_mend(text);
    mebi__moment_text(mebi__wall_ms(), time);
    if (log->form == MEBI__LOG_JSON) {
        put_json(log, json_pack("{s:s, s:s, s:s}", "time", time, "level", level, "message", text));
        return;
    }
    int n = snprintf(line, sizeof line, "%s %s %s\n", time, level, text);
    put(log, line, (size_t)n);
}

void mebi__log_asked(const mebi__log *log, const mebi__log_request *r) {
    char path[560], method[24], line[900], time[MEBI__MOMENT_BYTES];
    if (log->form == MEBI__LOG_NONE) return;
    copy_plain(path, sizeof path, r->path);
    copy_plain(method, sizeof method, r->method);
    mebi__moment_text(mebi__wall_ms(), time);
    if (log->form == MEBI__LOG_JSON) {
        put_json(log, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:f, s:I}", "time", time,
                                "level", "info", "message", "request", "method", method, "path",
                                path, "address", r->address, "status", r->status, "ms",
                                r->seconds * 1000, "bytes", (json_int_t)r->bytes));
        return;
    }
    int n = snprintf(line, sizeof line, "%s info %s %s %s %d %.1f ms\n", time, r->address, method,
                     path, r->status, r->seconds * 1000);
    put(log, line, (size_t)n);
}

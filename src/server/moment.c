/* Points in time as the API writes them, always UTC. Must never depend on the machine's zone. */
#include "server/moment.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void mebi__moment_text(int64_t ms, char text[MEBI__MOMENT_BYTES]) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm t;
    if (!gmtime_r(&seconds, &t)) memset(&t, 0, sizeof t);
    size_t n = strftime(text, MEBI__MOMENT_BYTES, "%Y-%m-%dT%H:%M:%S", &t);
    snprintf(text + n, MEBI__MOMENT_BYTES - n, ".%03dZ", (int)(ms % 1000 < 0 ? 0 : ms % 1000));
}

int mebi__moment_read(const char *text, int64_t *ms) {
    struct tm t = {0};
    int year, month, day, hour = 0, minute = 0, second = 0, part = 0, used = 0, more = 0;
    if (sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &used) != 3 || used != 10) return 0;
    text += used;
    if (*text) {
        if (sscanf(text, "T%2d:%2d:%2d%n", &hour, &minute, &second, &more) != 3 || more != 9)
            return 0;
        text += more;
        if (*text == '.') {
            if (sscanf(text, ".%3d%n", &part, &used) != 1 || used != 4) return 0;
            text += used;
        }
        if (strcmp(text, "Z") != 0) return 0;
    }
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
        minute < 0 || minute > 59 || second < 0 || second > 60 || part < 0)
        return 0;
    t.tm_year = year - 1900, t.tm_mon = month - 1, t.tm_mday = day;
    t.tm_hour = hour, t.tm_min = minute, t.tm_sec = second;
    *ms = (int64_t)timegm(&t) * 1000 + part;
    return 1;
}

/* How picture sizes are written. */
#include "config/size.h"

#include <stdlib.h>
#include <string.h>

/* A positive number of up to 5 digits at *text, which moves behind it; 0 if there is none. */
static int digits(const char **text) {
    size_t length = strspn(*text, "0123456789");
    int n = length && length <= 5 ? atoi(*text) : 0;
    *text += length;
    return n;
}

char mebi__size_read(const char *text, int *a, int *b) {
    const char *p = text;
    *a = *b = digits(&p);
    char between = *p == 'X' ? 'x' : *p;
    if (between == 'x' || between == ':') {
        p++;
        *b = digits(&p);
    }
    int absurd = between == ':' && (*a > 64 * *b || *b > 64 * *a);
    if (*p || *a < 1 || *b < 1 || absurd) return 0;
    return between ? between : 'x';
}

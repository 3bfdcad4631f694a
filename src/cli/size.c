/* Picture sizes as users write them. */
#include "cli/size.h"

#include "base/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int snap(double pixels, int multiple) {
    int n = (int)lround(pixels / multiple) * multiple;
    return n < multiple ? multiple : n;
}

/* A positive number of up to 5 digits at *text, which moves behind it; 0 if there is none. */
static int digits(const char **text) {
    size_t length = strspn(*text, "0123456789");
    int n = length && length <= 5 ? atoi(*text) : 0;
    *text += length;
    return n;
}

mebi_status size_parse(const char *text, int native, int multiple, int *width, int *height,
                       mebi_error *err) {
    const char *p = text;
    int a = digits(&p), b = a;
    char between = *p;
    if (between == 'x' || between == 'X' || between == ':') {
        p++;
        b = digits(&p);
    }
    if (*p || a < 1 || b < 1 || (between == ':' && (a > 64 * b || b > 64 * a)))
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "'%.40s' is not a size. Write 1024x768, 1024 for a square, or a shape such as "
            "16:9.",
            text);
    *width = between == ':' ? snap(native * sqrt((double)a / b), multiple) : a;
    *height = between == ':' ? snap(native * sqrt((double)b / a), multiple) : b;
    return MEBI_OK;
}

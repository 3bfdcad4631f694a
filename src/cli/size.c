/* Picture sizes as users write them. */
#include "cli/size.h"

#include "base/error.h"
#include "config/size.h"

#include <math.h>

static int snap(double pixels, int multiple) {
    int n = (int)lround(pixels / multiple) * multiple;
    return n < multiple ? multiple : n;
}

mebi_status size_parse(const char *text, int native, int multiple, int *width, int *height,
                       mebi_error *err) {
    int a, b;
    char between = mebi__size_read(text, &a, &b);
    if (!between)
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "'%.40s' is not a size. Write 1024x768, 1024 for a square, or a shape such as "
            "16:9.",
            text);
    *width = between == ':' ? snap(native * sqrt((double)a / b), multiple) : a;
    *height = between == ':' ? snap(native * sqrt((double)b / a), multiple) : b;
    return MEBI_OK;
}

/* Figures as words, short enough for a table's column of 7. */
#include "sweep/words.h"

const char *mebi__sweep_time(double s, char text[WORD]) {
    if (!(s > 0)) snprintf(text, WORD, "-");
    else if (s < 9.995) snprintf(text, WORD, "%.2f s", s);
    else if (s < 99.95) snprintf(text, WORD, "%.1f s", s);
    else if (s < 9999.5) snprintf(text, WORD, "%.0f s", s);
    else snprintf(text, WORD, s < 3.6e5 ? "%.1f h" : "%.0f h", s / 3600);
    return text;
}

const char *mebi__sweep_bytes(size_t bytes, char text[WORD]) {
    double b = (double)bytes;
    if (bytes == 0) snprintf(text, WORD, "-");
    else if (b < 9999.5e6) snprintf(text, WORD, "%.0f MB", b / 1e6);
    else snprintf(text, WORD, b < 99.95e9 ? "%.1f GB" : "%.0f GB", b / 1e9);
    return text;
}

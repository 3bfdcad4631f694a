/* Text and pictures for a page. Whatever a name or a prompt holds, the page's structure stays its
 * own. */
#include "base/error.h"
#include "sweep/html.h"
#include "sweep/store.h"

#include <string.h>
#include <utf8proc.h>

void mebi__html_text(FILE *to, const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    size_t left = strlen(text);
    while (left > 0) {
        int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(at, (utf8proc_ssize_t)left, &c);
        int plain = n > 0 && (c >= 0x20 || c == '\n' || c == '\t') && !(c >= 0x7f && c < 0xa0);
        if (!plain) fputs("\xef\xbf\xbd", to);
        else if (c == '<') fputs("&lt;", to);
        else if (c == '>') fputs("&gt;", to);
        else if (c == '&') fputs("&amp;", to);
        else if (c == '"') fputs("&quot;", to);
        else if (c == '\'') fputs("&#39;", to);
        else fwrite(at, 1, (size_t)n, to);
        size_t used = n > 0 ? (size_t)n : 1;
        at += used;
        left -= used;
    }
}

/* Three bytes are four letters; fewer are filled up with '='. */
static void put_base64(FILE *to, const unsigned char *from, size_t bytes) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes; i += 3) {
        unsigned v = (unsigned)from[i] << 16;
        if (i + 1 < bytes) v |= (unsigned)from[i + 1] << 8;
        if (i + 2 < bytes) v |= from[i + 2];
        putc(letters[v >> 18], to);
        putc(letters[v >> 12 & 63], to);
        putc(i + 1 < bytes ? letters[v >> 6 & 63] : '=', to);
        putc(i + 2 < bytes ? letters[v & 63] : '=', to);
    }
}

mebi_status mebi__html_png(FILE *to, const mebi__sweep *s, const mebi__shot *shot,
                           mebi_error *err) {
    unsigned char some[3 << 12];
    for (size_t done = 0; done < shot->png_bytes;) {
        size_t n = shot->png_bytes - done < sizeof some ? shot->png_bytes - done : sizeof some;
        MEBI_TRY(mebi__store_get(s, shot->png_at + (int64_t)done, some, n, err));
        put_base64(to, some, n);
        done += n;
    }
    return MEBI_OK;
}

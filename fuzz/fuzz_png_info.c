/* Any bytes as a PNG: its texts and its picture. Then the same with the chunks' check sums put
 * right, so that mutations reach what is behind them. */
#include "base/memory.h"
#include "image/png.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void require(int condition) {
    if (!condition) abort();
}

static void require_utf8(const char *text) {
    for (utf8proc_ssize_t left = (utf8proc_ssize_t)strlen(text), n; left > 0;
         text += n, left -= n) {
        int32_t c;
        n = utf8proc_iterate((const uint8_t *)text, left, &c);
        require(n > 0);
    }
}

static void read_all(const uint8_t *data, size_t bytes) {
    mebi_error err = {0}, picture_err = {0};
    mebi_png_text *texts;
    mebi_image image;
    int width, height, count;
    mebi_status status =
        mebi__png_parse_texts("x.png", data, bytes, &width, &height, &texts, &count, &err);
    require(status == err.status && (status == MEBI_OK || (err.text[0] && !texts && count == 0)));
    if (status == MEBI_OK)
        require(width >= 1 && width <= MEBI__PNG_SIDE && height >= 1 && height <= MEBI__PNG_SIDE);
    for (int i = 0; i < count; i++) {
        require_utf8(texts[i].keyword);
        require_utf8(texts[i].text);
    }
    mebi_png_texts_free(texts);
    status = mebi__png_decode("x.png", data, bytes, &image, &picture_err);
    require(status == picture_err.status && (status == MEBI_OK) == (image.pixels != NULL));
    mebi_image_release(&image);
    require(mebi__memory_held(MEBI__TAG_COUNT) == 0);
}

static void mend_check_sums(uint8_t *data, size_t bytes) {
    for (size_t at = 8; bytes >= 12 && at <= bytes - 12;) {
        size_t length = (size_t)data[at] << 24 | (size_t)data[at + 1] << 16 |
                        (size_t)data[at + 2] << 8 | data[at + 3];
        if (length > bytes - 12 - at) break;
        uint32_t sum = (uint32_t)crc32(0, data + at + 4, (uInt)length + 4);
        for (int i = 0; i < 4; i++)
            data[at + 8 + length + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
        at += length + 12;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    read_all(data, bytes);
    uint8_t *copy = malloc(bytes + 1);
    require(copy != NULL);
    memcpy(copy, data, bytes);
    mend_check_sums(copy, bytes);
    read_all(copy, bytes);
    free(copy);
    return 0;
}

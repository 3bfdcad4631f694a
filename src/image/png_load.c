/* PNG files from strangers, by libspng: size and texts alone, or the whole picture. Nothing in a
 * file may make the program take more than the limits in png.h, or show text that is not UTF-8. */
#include "base/memory.h"
#include "base/os.h"
#include "image/png.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

/* A file if it is not NULL, else bytes. */
typedef struct source {
    const char *name;
    FILE *file;
    const void *data;
    size_t bytes;
} source;

static mebi_status explain(const source *from, int code, mebi_error *err) {
    if (!code) return MEBI_OK;
    if (code == SPNG_EMEM || mebi__png_memory_short)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory to read %s.", from->name);
    if (from->file && ferror(from->file))
        return mebi__fail(err, MEBI_IO, "%s can't be read.", from->name);
    if (code == SPNG_ESIGNATURE || code == SPNG_IO_EOF)
        return mebi__fail(err, MEBI_BAD_FILE, "%s is not a PNG file, or is cut off.", from->name);
    if (code == SPNG_EUSER_WIDTH || code == SPNG_EUSER_HEIGHT)
        return mebi__fail(err, MEBI_BAD_FILE, "%s is larger than %d x %d pixels.", from->name,
                          MEBI__PNG_SIDE, MEBI__PNG_SIDE);
    if (code == SPNG_ECHUNK_LIMITS)
        return mebi__fail(
            err, MEBI_BAD_FILE,
            "%s holds more beside its picture than is read (%d bytes in one part, %d in "
            "all).",
            from->name, MEBI__PNG_TEXT_BYTES, MEBI__PNG_TEXTS_BYTES);
    return mebi__fail(err, MEBI_BAD_FILE, "%s is a broken PNG file: %s.", from->name,
                      spng_strerror(code));
}

/* A context that has read the header; *ctx is released by spng_ctx_free, also on failure. */
static mebi_status begin(const source *from, spng_ctx **ctx, struct spng_ihdr *header,
                         mebi_error *err) {
    mebi__png_memory_short = 0;
    *ctx = spng_ctx_new2(&mebi__png_alloc, 0);
    if (!*ctx) return explain(from, SPNG_EMEM, err);
    int code = spng_set_image_limits(*ctx, MEBI__PNG_SIDE, MEBI__PNG_SIDE);
    if (!code) code = spng_set_chunk_limits(*ctx, MEBI__PNG_TEXT_BYTES, MEBI__PNG_TEXTS_BYTES);
    if (!code) code = spng_set_crc_action(*ctx, SPNG_CRC_ERROR, SPNG_CRC_ERROR);
    if (!code)
        code = from->file ? spng_set_png_file(*ctx, from->file)
                          : spng_set_png_buffer(*ctx, from->data, from->bytes);
    if (!code) code = spng_get_ihdr(*ctx, header);
    return explain(from, code, err);
}

/* Latin-1 to UTF-8, control characters other than tab and newlines to spaces. Returns the length
 * written, at most 2 * bytes. */
static size_t from_latin1(const char *text, size_t bytes, char *to) {
    size_t used = 0;
    for (size_t i = 0; i < bytes; i++) {
        unsigned char c = (unsigned char)text[i];
        int control = (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || (c >= 0x7f && c < 0xa0);
        if (control) c = ' ';
        if (c >= 0x80) to[used++] = (char)(0xc0 | c >> 6);
        to[used++] = (char)(c < 0x80 ? c : 0x80 | (c & 0x3f));
    }
    to[used] = 0;
    return used;
}

static int is_utf8(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes;) {
        int32_t c;
        utf8proc_ssize_t n =
            utf8proc_iterate((const uint8_t *)text + i, (utf8proc_ssize_t)(bytes - i), &c);
        if (n < 1) return 0;
        i += (size_t)n;
    }
    return 1;
}

/* Entries into one block: the list, then keywords and texts. */
static mebi_status copy_entries(const source *from, const struct spng_text *entry, uint32_t count,
                                mebi_png_text **texts, mebi_error *err) {
    size_t bytes = count * sizeof **texts;
    for (uint32_t i = 0; i < count; i++)
        bytes += 2 * (strlen(entry[i].keyword) + strlen(entry[i].text)) + 2;
    mebi_png_text *list = mebi__alloc(MEBI__TAG_OUTPUT, bytes);
    if (!list) return explain(from, SPNG_EMEM, err);
    char *at = (char *)(list + count);
    for (uint32_t i = 0; i < count; i++) {
        size_t length = strlen(entry[i].text);
        list[i].keyword = at;
        at += from_latin1(entry[i].keyword, strlen(entry[i].keyword), at) + 1;
        list[i].text = at;
        if (entry[i].type != SPNG_ITXT) at += from_latin1(entry[i].text, length, at) + 1;
        else if (is_utf8(entry[i].text, length)) {
            memcpy(at, entry[i].text, length + 1);
            at += length + 1;
        } else {
            mebi_status status = mebi__fail(err, MEBI_BAD_FILE, "%s: the text \"%s\" is not UTF-8.",
                                            from->name, list[i].keyword);
            mebi__free(list);
            return status;
        }
    }
    *texts = list;
    return MEBI_OK;
}

static mebi_status read_entries(const source *from, spng_ctx *ctx, mebi_png_text **texts,
                                int *text_count, mebi_error *err) {
    uint32_t count = 0;
    int code = spng_decode_chunks(ctx);
    if (!code) code = spng_get_text(ctx, NULL, &count);
    if (code == SPNG_ECHUNKAVAIL) return MEBI_OK; /* none there */
    MEBI_TRY(explain(from, code, err));
    struct spng_text *entry = mebi__alloc_array(MEBI__TAG_OUTPUT, count, sizeof *entry);
    if (!entry) return explain(from, SPNG_EMEM, err);
    mebi_status status = explain(from, spng_get_text(ctx, entry, &count), err);
    if (status == MEBI_OK) status = copy_entries(from, entry, count, texts, err);
    if (status == MEBI_OK) *text_count = (int)count;
    mebi__free(entry);
    return status;
}

static mebi_status read_texts(const source *from, int *width, int *height, mebi_png_text **texts,
                              int *text_count, mebi_error *err) {
    spng_ctx *ctx;
    struct spng_ihdr header;
    mebi_status status = begin(from, &ctx, &header, err);
    if (status == MEBI_OK) status = read_entries(from, ctx, texts, text_count, err);
    if (status == MEBI_OK) {
        *width = (int)header.width;
        *height = (int)header.height;
    }
    spng_ctx_free(ctx);
    return status;
}

static mebi_status decode(const source *from, mebi_image *image, mebi_error *err) {
    spng_ctx *ctx;
    struct spng_ihdr header;
    size_t bytes = 0;
    int code = 0;
    mebi_status status = begin(from, &ctx, &header, err);
    if (status == MEBI_OK) {
        code = spng_decoded_image_size(ctx, SPNG_FMT_RGB8, &bytes);
        if (!code && !(image->pixels = mebi__alloc(MEBI__TAG_OUTPUT, bytes))) code = SPNG_EMEM;
        if (!code) code = spng_decode_image(ctx, image->pixels, bytes, SPNG_FMT_RGB8, 0);
        if (!code) code = spng_decode_chunks(ctx); /* up to the end */
        status = explain(from, code, err);
    }
    if (status == MEBI_OK) {
        image->width = (int)header.width;
        image->height = (int)header.height;
    } else mebi_image_release(image);
    spng_ctx_free(ctx);
    return status;
}

static mebi_status open_source(const char *path, source *from, mebi_error *err) {
    *from = (source){.name = path};
    /* Not a pipe, which could be waited for without end. */
    from->file = mebi__is_file(path) ? fopen(path, "rbe") : NULL;
    if (from->file) return MEBI_OK;
    return mebi__fail(err, MEBI_IO, "%s can't be opened: %s.", path,
                      mebi__is_directory(path) ? "it is a folder" : strerror(errno));
}

mebi_status mebi_png_read_texts(const char *path, int *width, int *height, mebi_png_text **texts,
                                int *text_count, mebi_error *err) {
    source from;
    *texts = NULL;
    *width = *height = *text_count = 0;
    MEBI_TRY(open_source(path, &from, err));
    mebi_status status = read_texts(&from, width, height, texts, text_count, err);
    fclose(from.file);
    return status;
}

mebi_status mebi_png_load(const char *path, mebi_image *image, mebi_error *err) {
    source from;
    *image = (mebi_image){0};
    MEBI_TRY(open_source(path, &from, err));
    mebi_status status = decode(&from, image, err);
    fclose(from.file);
    return status;
}

mebi_status mebi__png_parse_texts(const char *name, const void *data, size_t bytes, int *width,
                                  int *height, mebi_png_text **texts, int *text_count,
                                  mebi_error *err) {
    source from = {.name = name, .data = data, .bytes = bytes};
    *texts = NULL;
    *width = *height = *text_count = 0;
    return read_texts(&from, width, height, texts, text_count, err);
}

mebi_status mebi__png_decode(const char *name, const void *data, size_t bytes, mebi_image *image,
                             mebi_error *err) {
    source from = {.name = name, .data = data, .bytes = bytes};
    *image = (mebi_image){0};
    return decode(&from, image, err);
}

/* Pictures to PNG files, by libspng. The same picture and texts give the same bytes: no times, no
 * names. The file is complete in memory before it is written, so that a full disk leaves nothing.
 */
#include "base/memory.h"
#include "base/os.h"
#include "image/png.h"

#include <string.h>
#include <utf8proc.h>

enum {
    LEVEL = 6,
    /* libspng's context and rows aside: zlib's deflate state (window 15, memory level 8 or 9) and
     * libspng's 128 KiB of output buffer, with block headers. */
    CODER_BYTES = 410 << 10,
};

/* Incompressible rows: stored blocks of deflate have 5 bytes a 16 KiB, IDAT chunks 12 bytes for no
 * less than 8 KiB; then signature, header and end. */
static size_t encoded_bytes(int width, int height) {
    size_t raw = ((size_t)width * 3 + 1) * (size_t)height;
    return raw + raw / 512 + 1024;
}

size_t mebi__png_save_bytes(int width, int height, size_t text_bytes) {
    /* Rows: the one before, five filtered candidates, and spares. */
    size_t rows = 8 * ((size_t)width * 3 + 256);
    return encoded_bytes(width, height) + rows + CODER_BYTES + 4 * text_bytes;
}

typedef struct output {
    unsigned char *data;
    size_t used, room;
} output;

static int write_output(spng_ctx *ctx, void *user, void *from, size_t bytes) {
    output *out = user;
    (void)ctx;
    if (bytes > out->room - out->used) return SPNG_IO_ERROR;
    memcpy(out->data + out->used, from, bytes);
    out->used += bytes;
    return 0;
}

/* Printable ASCII without spaces at the ends or in a row, as PNG asks. */
static int is_keyword(const char *keyword) {
    size_t length = keyword ? strlen(keyword) : 0;
    if (length < 1 || length > 79 || keyword[0] == ' ' || keyword[length - 1] == ' ') return 0;
    for (size_t i = 0; i < length; i++)
        if (keyword[i] < 0x20 || keyword[i] > 0x7e || (keyword[i] == ' ' && keyword[i + 1] == ' '))
            return 0;
    return 1;
}

/* Latin-1 (tEXt) if every character is printable Latin-1 or a newline, else UTF-8 (iTXt). Copies
 * text into *to and returns the entry's type; 0 if text is not UTF-8. */
static int convert(const char *text, char *to, size_t *length) {
    size_t bytes = strlen(text), used = 0;
    int type = SPNG_TEXT;
    for (size_t i = 0; i < bytes;) {
        int32_t c;
        utf8proc_ssize_t n =
            utf8proc_iterate((const uint8_t *)text + i, (utf8proc_ssize_t)(bytes - i), &c);
        if (n < 1) return 0;
        i += (size_t)n;
        int latin = (c >= 0x20 && c <= 0x7e) || (c >= 0xa0 && c <= 0xff) || c == '\n';
        if (!latin) type = SPNG_ITXT;
        if (type == SPNG_TEXT) to[used++] = (char)c;
    }
    if (type == SPNG_ITXT) memcpy(to, text, used = bytes);
    to[used] = 0;
    *length = used;
    return type;
}

/* Entries for libspng, which takes no empty ones: those are left out. */
static mebi_status fill_entries(const mebi_png_text *texts, int count, struct spng_text *entry,
                                char *pool, int *filled, mebi_error *err) {
    static char nothing[1];
    for (int i = 0; i < count; i++) {
        if (!*texts[i].text) continue;
        entry->type = convert(texts[i].text, pool, &entry->length);
        if (!entry->type)
            return mebi__fail(err, MEBI_BAD_ARGUMENT, "The PNG text \"%s\" is not UTF-8.",
                              texts[i].keyword);
        memcpy(entry->keyword, texts[i].keyword, strlen(texts[i].keyword));
        entry->text = pool;
        entry->language_tag = entry->translated_keyword = nothing;
        pool += entry->length + 1;
        entry++;
        ++*filled;
    }
    return MEBI_OK;
}

static mebi_status check(const mebi_image *image, const mebi_png_text *texts, int count,
                         size_t *text_bytes, mebi_error *err) {
    if (!image->pixels || image->width < 1 || image->height < 1 || image->width > MEBI__PNG_SIDE ||
        image->height > MEBI__PNG_SIDE)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "A picture of %d x %d can't be saved: sides are 1 to %d.", image->width,
                          image->height, MEBI__PNG_SIDE);
    *text_bytes = 0;
    for (int i = 0; i < count; i++) {
        if (!is_keyword(texts[i].keyword) || !texts[i].text)
            return mebi__fail(err, MEBI_BAD_ARGUMENT,
                              "PNG text %d needs a text and a keyword of 1 to 79 printable ASCII "
                              "characters, without spaces at its ends or two in a row.",
                              i + 1);
        size_t bytes = strlen(texts[i].text);
        *text_bytes += bytes + 1;
        if (bytes > MEBI__PNG_TEXT_BYTES - 128 || *text_bytes > MEBI__PNG_TEXTS_BYTES / 2)
            return mebi__fail(
                err, MEBI_BAD_ARGUMENT,
                "The PNG text \"%s\" has %zu bytes; at most %d are taken, and %d in all.",
                texts[i].keyword, bytes, MEBI__PNG_TEXT_BYTES - 128, MEBI__PNG_TEXTS_BYTES / 2);
    }
    return MEBI_OK;
}

/* The whole picture through libspng; a code of libspng's. */
static int run_encoder(spng_ctx *ctx, const mebi_image *image, struct spng_text *entries, int count,
                       output *out) {
    struct spng_ihdr header = {.width = (uint32_t)image->width,
                               .height = (uint32_t)image->height,
                               .bit_depth = 8,
                               .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    size_t bytes = (size_t)image->width * (size_t)image->height * 3;
    int code = spng_set_png_stream(ctx, write_output, out);
    if (!code) code = spng_set_option(ctx, SPNG_IMG_COMPRESSION_LEVEL, LEVEL);
    if (!code) code = spng_set_ihdr(ctx, &header);
    if (!code) code = spng_set_srgb(ctx, 0);
    if (!code && count > 0) code = spng_set_text(ctx, entries, (uint32_t)count);
    if (!code)
        code = spng_encode_image(ctx, image->pixels, bytes, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    return code;
}

static mebi_status encode(const mebi_image *image, const mebi_png_text *texts, int count,
                          size_t text_bytes, output *out, mebi_error *err) {
    struct spng_text *entries = NULL;
    char *pool = NULL;
    mebi__png_memory_short = 0;
    spng_ctx *ctx = spng_ctx_new2(&mebi__png_alloc, SPNG_CTX_ENCODER);
    mebi_status status = MEBI_OK;
    out->room = encoded_bytes(image->width, image->height) + text_bytes + (size_t)count * 128;
    out->data = mebi__alloc(MEBI__TAG_OUTPUT, out->room);
    if (count > 0) {
        entries = mebi__alloc_array(MEBI__TAG_OUTPUT, (size_t)count, sizeof *entries);
        pool = mebi__alloc(MEBI__TAG_OUTPUT, text_bytes);
    }
    int code = SPNG_EMEM;
    if (ctx && out->data && (count == 0 || (entries && pool))) {
        int filled = 0;
        status = fill_entries(texts, count, entries, pool, &filled, err);
        code = status == MEBI_OK ? run_encoder(ctx, image, entries, filled, out) : 0;
    }
    if (code == SPNG_EMEM || (code && mebi__png_memory_short))
        status = mebi__fail(err, MEBI_NO_MEMORY, "No memory to encode a picture of %d x %d.",
                            image->width, image->height);
    else if (code)
        status = mebi__fail(err, MEBI_INTERNAL, "A picture of %d x %d can't be encoded: %s.",
                            image->width, image->height, spng_strerror(code));
    spng_ctx_free(ctx);
    mebi__free(entries);
    mebi__free(pool);
    return status;
}

mebi_status mebi__png_encode(const mebi_image *image, void **data, size_t *bytes, mebi_error *err) {
    output out = {0};
    size_t none;
    mebi_status status = check(image, NULL, 0, &none, err);
    if (status == MEBI_OK) status = encode(image, NULL, 0, 0, &out, err);
    if (status != MEBI_OK) {
        mebi__free(out.data);
        out = (output){0};
    }
    *data = out.data;
    *bytes = out.used;
    return status;
}

mebi_status mebi_png_save(const char *path, const mebi_image *image, const mebi_png_text *texts,
                          int text_count, int *exists, mebi_error *err) {
    output out = {0};
    size_t text_bytes = 0;
    if (exists) *exists = 0;
    mebi_status status = check(image, texts, text_count, &text_bytes, err);
    if (status == MEBI_OK) status = encode(image, texts, text_count, text_bytes, &out, err);
    if (status == MEBI_OK) status = mebi__write_file(path, out.data, out.used, exists, err);
    mebi__free(out.data);
    return status;
}

/* Small pictures as JPEG. Must never end the process, which is what libjpeg does with errors by itself. */
#include "jobs/thumbnail.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/writer.h"
#include "jobs/jobs.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

/* ---- scaling ---- */

/* The mean of the pixels whose centres fall into each target pixel's box: boxes share no pixel and leave none out. */
static void average(const mebi_image *from, mebi_image *to) {
    for (int y = 0; y < to->height; y++) {
        int y0 = (int)((int64_t)y * from->height / to->height);
        int y1 = (int)((int64_t)(y + 1) * from->height / to->height);
        for (int x = 0; x < to->width; x++) {
            int x0 = (int)((int64_t)x * from->width / to->width);
            int x1 = (int)((int64_t)(x + 1) * from->width / to->width);
            int64_t sum[3] = {0}, count = (int64_t)(y1 - y0) * (x1 - x0);
            for (int v = y0; v < y1; v++) {
                const unsigned char *p = from->pixels + 3 * ((size_t)v * (size_t)from->width + (size_t)x0);
                for (int u = x0; u < x1; u++)
                    for (int c = 0; c < 3; c++) sum[c] += *p++;
            }
            unsigned char *out = to->pixels + 3 * ((size_t)y * (size_t)to->width + (size_t)x);
            for (int c = 0; c < 3; c++) out[c] = (unsigned char)((sum[c] + count / 2) / count);
        }
    }
}

static int scaled(int own, int larger, int side) {
    int n = (int)((int64_t)own * side / larger);
    return n > 0 ? n : 1;
}

static mebi_status scale(const mebi_image *from, int side, mebi_image *to, mebi_error *err) {
    int larger = from->width > from->height ? from->width : from->height;
    *to = (mebi_image){.width = scaled(from->width, larger, side),
                       .height = scaled(from->height, larger, side)};
    to->pixels = mebi__alloc_array(MEBI__TAG_OUTPUT, 3 * (size_t)to->width, (size_t)to->height);
    if (!to->pixels) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a thumbnail.");
    average(from, to);
    return MEBI_OK;
}

/* ---- JPEG ---- */

typedef struct encoder {
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    jmp_buf back;
    char message[JMSG_LENGTH_MAX];
    unsigned char *out; /* libjpeg's */
    unsigned long bytes;
} encoder;

static void give_up(j_common_ptr c) {
    encoder *e = c->client_data;
    c->err->format_message(c, e->message);
    longjmp(e->back, 1);
}

static void be_silent(j_common_ptr c, int level) {
    (void)c;
    (void)level;
}

/* Returns 0 if libjpeg gave up. */
static int compress(encoder *e, const mebi_image *image, int quality) {
    if (setjmp(e->back)) return 0;
    e->c.err = jpeg_std_error(&e->errors);
    e->errors.error_exit = give_up;
    e->errors.emit_message = be_silent;
    e->c.client_data = e;
    jpeg_create_compress(&e->c);
    jpeg_mem_dest(&e->c, &e->out, &e->bytes);
    e->c.image_width = (JDIMENSION)image->width;
    e->c.image_height = (JDIMENSION)image->height;
    e->c.input_components = 3;
    e->c.in_color_space = JCS_RGB;
    jpeg_set_defaults(&e->c);
    jpeg_set_quality(&e->c, quality, TRUE);
    e->c.optimize_coding = TRUE;
    jpeg_start_compress(&e->c, TRUE);
    while (e->c.next_scanline < e->c.image_height) {
        JSAMPROW row = image->pixels + 3 * (size_t)e->c.next_scanline * (size_t)image->width;
        jpeg_write_scanlines(&e->c, &row, 1);
    }
    jpeg_finish_compress(&e->c);
    return 1;
}

static mebi_status encode(const mebi_image *image, int quality, unsigned char **jpeg, size_t *bytes,
                          mebi_error *err) {
    encoder *e = mebi__alloc(MEBI__TAG_OUTPUT, sizeof *e);
    if (!e) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a JPEG.");
    mebi_status status = MEBI_OK;
    if (!compress(e, image, quality))
        status = mebi__fail(err, MEBI_INTERNAL, "The JPEG can't be made: %.200s.", e->message);
    jpeg_destroy_compress(&e->c);
    if (status == MEBI_OK) *jpeg = mebi__alloc(MEBI__TAG_OUTPUT, e->bytes);
    if (status == MEBI_OK && !*jpeg)
        status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for a JPEG.");
    if (status == MEBI_OK) {
        memcpy(*jpeg, e->out, e->bytes);
        *bytes = e->bytes;
    }
    free(e->out);
    mebi__free(e);
    return status;
}

mebi_status mebi__thumbnail_encode(const mebi_image *image, int side, int quality,
                                   unsigned char **jpeg, size_t *bytes, mebi_error *err) {
    mebi_image small = {0};
    *jpeg = NULL;
    *bytes = 0;
    if (image->width < 1 || image->height < 1 || !image->pixels)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "There is no picture.");
    if (image->width <= side && image->height <= side)
        return encode(image, quality, jpeg, bytes, err);
    mebi_status status = scale(image, side, &small, err);
    if (status == MEBI_OK) status = encode(&small, quality, jpeg, bytes, err);
    mebi_image_release(&small);
    return status;
}

mebi_status mebi__thumbnail_save(const char *path, const mebi_image *image, mebi_error *err) {
    unsigned char *jpeg;
    size_t bytes;
    mebi__writer writer;
    MEBI_TRY(mebi__thumbnail_encode(image, MEBI__THUMBNAIL_SIDE, 85, &jpeg, &bytes, err));
    mebi_status status = mebi__writer_open(path, &writer, err);
    if (status == MEBI_OK) {
        status = mebi__writer_append(&writer, jpeg, bytes, err);
        if (status == MEBI_OK) status = mebi__writer_replace(&writer, err);
        else mebi__writer_abandon(&writer);
    }
    mebi__free(jpeg);
    return status;
}

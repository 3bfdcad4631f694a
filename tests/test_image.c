/* PNG files: the same back, never over another, never half a file, and every broken one a sentence.
 */
#include "model_files.h"

#include "base/memory.h"
#include "base/os.h"
#include "image/png.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <zlib.h>

static const char chinese[] = "纯白背景,一个红色苹果";

static uint32_t next_random(uint32_t *state) {
    return *state = *state * 1664525u + 1013904223u;
}

static mebi_image make_image(int width, int height, int noisy) {
    uint32_t state = (uint32_t)(width * 31 + height);
    size_t bytes = (size_t)width * (size_t)height * 3;
    mebi_image image = {width, height, mebi__alloc(MEBI__TAG_OUTPUT, bytes)};
    assert_non_null(image.pixels);
    for (size_t i = 0; i < bytes; i++)
        image.pixels[i] = (unsigned char)(noisy ? next_random(&state) >> 24 : i / 3);
    return image;
}

static void save_or_fail(const char *path, const mebi_image *image, const mebi_png_text *texts,
                         int count) {
    mebi_error err = {0};
    int exists = 7;
    if (mebi_png_save(path, image, texts, count, &exists, &err) != MEBI_OK)
        fail_msg("%s", err.text);
    assert_int_equal(exists, 0);
}

static void pictures_come_back(void **state) {
    (void)state;
    static const int sizes[][2] = {{1, 1},     {1, 7},     {5, 3},    {64, 64},
                                   {208, 336}, {16384, 1}, {1, 16384}};
    path_text folder = make_folder();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int noisy = 0; noisy < 2; noisy++) {
            path_text path = path_of("%s/%zu-%d.png", folder.text, i, noisy);
            mebi_image image = make_image(sizes[i][0], sizes[i][1], noisy), back;
            mebi_error err = {0};
            mebi_png_text *texts;
            int width, height, count;
            save_or_fail(path.text, &image, NULL, 0);
            assert_int_equal(mebi_png_load(path.text, &back, &err), MEBI_OK);
            assert_int_equal(back.width, image.width);
            assert_int_equal(back.height, image.height);
            assert_memory_equal(back.pixels, image.pixels,
                                (size_t)image.width * (size_t)image.height * 3);
            assert_int_equal(mebi_png_read_texts(path.text, &width, &height, &texts, &count, &err),
                             MEBI_OK);
            assert_int_equal(width, image.width);
            assert_int_equal(height, image.height);
            assert_int_equal(count, 0);
            assert_null(texts);
            mebi_png_texts_free(texts);
            mebi_image_release(&image);
            mebi_image_release(&back);
            assert_null(back.pixels);
            mebi_image_release(&back);
        }
    remove_path(folder.text);
}

static void texts_come_back(void **state) {
    (void)state;
    static char longest[100001];
    for (size_t i = 0; i < sizeof longest - 1; i++) longest[i] = (char)(' ' + i % 90);
    const mebi_png_text texts[] = {
        {"parameters", "a red apple\nSteps: 8, Seed: 42"},
        {"Comment", "caf\u00e9 \u00a9 \u00ff"},
        {"prompt", chinese},
        {"mebi", "{\"prompt\": \"\u7ea2\u8272\", \"emoji\": \"\U0001f34e\u200d\"}"},
        {"tab", "a\tb"},
        {"carriage", "a\r\nb"},
        {"control", "a\x01"
                    "b"},
        {"A keyword with spaces (ASCII) of seventy-nine characters, which is the most: 12",
         longest},
        {"prompt", "twice"},
        {"empty", ""}, /* left out */
    };
    enum { COUNT = sizeof texts / sizeof *texts - 1 };
    path_text folder = make_folder(), path = path_of("%s/a.png", folder.text);
    mebi_image image = make_image(9, 4, 1);
    mebi_png_text *back;
    mebi_error err = {0};
    int width, height, count;
    save_or_fail(path.text, &image, texts, COUNT + 1);
    assert_int_equal(mebi_png_read_texts(path.text, &width, &height, &back, &count, &err), MEBI_OK);
    assert_int_equal(count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_string_equal(back[i].keyword, texts[i].keyword);
        assert_string_equal(back[i].text, texts[i].text);
    }
    mebi_png_texts_free(back);
    mebi_image_release(&image);
    remove_path(folder.text);
}

/* The names of a file's chunks, "IHDR sRGB ...", repeated ones once. */
static void chunk_names(const unsigned char *file, size_t bytes, char *names) {
    char last[5] = "";
    *names = 0;
    for (size_t at = 8; at + 12 <= bytes;) {
        size_t length = (size_t)file[at] << 24 | (size_t)file[at + 1] << 16 |
                        (size_t)file[at + 2] << 8 | file[at + 3];
        if (memcmp(last, file + at + 4, 4) != 0) {
            memcpy(last, file + at + 4, 4);
            strcat(strcat(names, *names ? " " : ""), last);
        }
        at += length + 12;
    }
}

static void same_picture_gives_same_bytes(void **state) {
    (void)state;
    path_text folder = make_folder(), a = path_of("%s/a.png", folder.text),
              b = path_of("%s/b.png", folder.text);
    const mebi_png_text texts[] = {{"parameters", "caf\u00e9"}, {"prompt", chinese}};
    mebi_image image = make_image(200, 150, 0);
    size_t bytes[2];
    char names[256];
    save_or_fail(a.text, &image, texts, 2);
    save_or_fail(b.text, &image, texts, 2);
    unsigned char *x = read_bytes(a.text, &bytes[0]), *y = read_bytes(b.text, &bytes[1]);
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(x, y, bytes[0]);
    chunk_names(x, bytes[0], names);
    assert_string_equal(names, "IHDR sRGB tEXt iTXt IDAT IEND");
    assert_non_null(memmem(x, bytes[0], "tEXtparameters\0caf\xe9", 19));
    free(x);
    free(y);
    mebi_image_release(&image);
    remove_path(folder.text);
}

static void nothing_is_overwritten(void **state) {
    (void)state;
    path_text folder = make_folder(), path = path_of("%s/a.png", folder.text);
    mebi_image image = make_image(8, 8, 0);
    write_text(path.text, "precious");
    for (int with_flag = 0; with_flag < 2; with_flag++) {
        mebi_error err = {0};
        int exists = 0;
        assert_int_equal(
            mebi_png_save(path.text, &image, NULL, 0, with_flag ? &exists : NULL, &err), MEBI_IO);
        assert_int_equal(exists, with_flag);
        assert_non_null(strstr(err.text, "a.png"));
    }
    size_t bytes;
    unsigned char *kept = read_bytes(path.text, &bytes);
    assert_int_equal(bytes, 8);
    assert_memory_equal(kept, "precious", 8);
    assert_int_equal(files_in(folder.text), 1);
    free(kept);
    mebi_image_release(&image);
    remove_path(folder.text);
}

static void failed_writing_leaves_nothing(void **state) {
    (void)state;
    path_text folder = make_folder(), closed = path_of("%s/closed", folder.text);
    mebi_image image = make_image(300, 300, 1);
    mebi_error err = {0};
    int exists = 7;
    /* A full disk. */
    struct rlimit before, tight;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = (struct rlimit){.rlim_cur = 5000, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    mebi_status status =
        mebi_png_save(path_of("%s/full.png", folder.text).text, &image, NULL, 0, &exists, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, MEBI_IO);
    assert_non_null(strstr(err.text, strerror(EFBIG)));
    assert_int_equal(exists, 0);
    assert_int_equal(files_in(folder.text), 0);
    /* A folder that is not there, a file where a folder should be, a folder that may not be
     * written. */
    memset(&err, 0, sizeof err);
    assert_int_equal(
        mebi_png_save(path_of("%s/none/a.png", folder.text).text, &image, NULL, 0, NULL, &err),
        MEBI_IO);
    assert_non_null(strstr(err.text, "/none/a.png can't be written"));
    assert_int_equal(mkdir(closed.text, 0500), 0);
    if (geteuid() == 0)
        print_message("root writes everywhere: the read-only folder is not tried\n");
    else {
        assert_int_equal(
            mebi_png_save(path_of("%s/a.png", closed.text).text, &image, NULL, 0, NULL, NULL),
            MEBI_IO);
        assert_int_equal(files_in(closed.text), 0);
    }
    assert_int_equal(files_in(folder.text), 1);
    mebi_image_release(&image);
    remove_path(folder.text);
}

static void bad_arguments_are_told(void **state) {
    (void)state;
    path_text folder = make_folder(), path = path_of("%s/a.png", folder.text);
    unsigned char pixel[3] = {0};
    char *huge = malloc(5 << 20);
    memset(huge, 'a', (5 << 20) - 1);
    huge[(5 << 20) - 1] = 0;
    const struct {
        mebi_image image;
        mebi_png_text text;
        const char *said;
    } cases[] = {
        {{0, 1, pixel}, {"a", "b"}, "picture of 0 x 1"},
        {{1, -1, pixel}, {"a", "b"}, "picture of 1 x -1"},
        {{16385, 1, pixel}, {"a", "b"}, "16385 x 1 can't be saved: sides are 1 to 16384"},
        {{1, 1, NULL}, {"a", "b"}, "picture of 1 x 1"},
        {{1, 1, pixel}, {"", "b"}, "PNG text 1 needs"},
        {{1, 1, pixel}, {NULL, "b"}, "PNG text 1 needs"},
        {{1, 1, pixel}, {"a", NULL}, "PNG text 1 needs"},
        {{1, 1, pixel}, {" a", "b"}, "PNG text 1 needs"},
        {{1, 1, pixel}, {"a ", "b"}, "PNG text 1 needs"},
        {{1, 1, pixel}, {"a  b", "b"}, "PNG text 1 needs"},
        {{1, 1, pixel}, {"caf\u00e9", "b"}, "PNG text 1 needs"},
        {{1, 1, pixel}, {"a\n", "b"}, "PNG text 1 needs"},
        {{1, 1, pixel},
         {"12345678901234567890123456789012345678901234567890123456789012345678901234567890", "b"},
         "PNG text 1 needs"},
        {{1, 1, pixel}, {"a", "b\xff"}, "\"a\" is not UTF-8"},
        {{1, 1, pixel}, {"a", huge}, "\"a\" has 5242879 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mebi_error err = {0};
        assert_int_equal(mebi_png_save(path.text, &cases[i].image, &cases[i].text, 1, NULL, &err),
                         MEBI_BAD_ARGUMENT);
        if (!strstr(err.text, cases[i].said)) fail_msg("%zu: %s", i, err.text);
    }
    assert_int_equal(files_in(folder.text), 0);
    free(huge);
    remove_path(folder.text);
}

/* What saving takes is below what is planned, and not far below for noise. */
static void saving_takes_what_is_planned(void **state) {
    (void)state;
    static const int sizes[][2] = {{16, 16},   {64, 64},     {256, 256},
                                   {512, 512}, {1024, 1024}, {2048, 1024}};
    path_text folder = make_folder();
    static char text[65436];
    memset(text, 'x', sizeof text - 4);
    memcpy(text + sizeof text - 4, "\u4e00", 4);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes;
         i++) { /* ascending: each raises the peak */
        mebi_image image = make_image(sizes[i][0], sizes[i][1], 1);
        const mebi_png_text texts[] = {{"a", text}};
        size_t held = mebi__memory_held(MEBI__TAG_COUNT), planned;
        save_or_fail(path_of("%s/%zu.png", folder.text, i).text, &image, texts, 1);
        size_t taken = mebi__memory_peak(MEBI__TAG_COUNT) - held;
        planned = mebi__png_save_bytes(sizes[i][0], sizes[i][1], sizeof text + 1);
        if (taken > planned || planned > taken + (1 << 20))
            fail_msg("%d x %d: planned %zu, taken %zu", sizes[i][0], sizes[i][1], planned, taken);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
        mebi_image_release(&image);
    }
    remove_path(folder.text);
}

/* Other kinds of PNG, made here. */

typedef struct builder {
    unsigned char *data;
    size_t bytes;
} builder;

static void add_bytes(builder *b, const void *data, size_t bytes) {
    b->data = realloc(b->data, b->bytes + bytes + 1);
    assert_non_null(b->data);
    if (bytes > 0) memcpy(b->data + b->bytes, data, bytes);
    b->bytes += bytes;
}

static void put_number(unsigned char to[4], size_t n) {
    for (int i = 0; i < 4; i++) to[i] = (unsigned char)(n >> (24 - 8 * i));
}

static void add_chunk(builder *b, const char *name, const void *data, size_t bytes) {
    unsigned char number[4];
    put_number(number, bytes);
    add_bytes(b, number, 4);
    add_bytes(b, name, 4);
    add_bytes(b, data, bytes);
    put_number(number, crc32(0, b->data + b->bytes - bytes - 4, (uInt)(bytes + 4)));
    add_bytes(b, number, 4);
}

static void add_signature(builder *b) {
    add_bytes(b, "\x89PNG\r\n\x1a\n", 8);
}

static void add_header(builder *b, size_t width, size_t height, int depth, int colour,
                       int compression, int filter, int interlace) {
    unsigned char header[13];
    put_number(header, width);
    put_number(header + 4, height);
    const int rest[5] = {depth, colour, compression, filter, interlace};
    for (int i = 0; i < 5; i++) header[8 + i] = (unsigned char)rest[i];
    add_chunk(b, "IHDR", header, 13);
}

static void add_deflated(builder *b, const char *name, const void *head, size_t head_bytes,
                         const void *data, size_t bytes) {
    builder body = {0};
    uLongf packed = compressBound((uLong)bytes);
    unsigned char *to = malloc(packed);
    assert_int_equal(compress(to, &packed, data, (uLong)bytes), Z_OK);
    add_bytes(&body, head, head_bytes);
    add_bytes(&body, to, packed);
    add_chunk(b, name, body.data, body.bytes);
    free(to);
    free(body.data);
}

/* 2 x 2, RGB. */
static const unsigned char rows[14] = {0, 1, 2, 3, 4, 5, 6, 0, 7, 8, 9, 10, 11, 12};

static void add_good_start(builder *b) {
    add_signature(b);
    add_header(b, 2, 2, 8, 2, 0, 0, 0);
}

static void add_good_end(builder *b) {
    add_deflated(b, "IDAT", NULL, 0, rows, sizeof rows);
    add_chunk(b, "IEND", NULL, 0);
}

static void other_kinds_are_decoded(void **state) {
    (void)state;
    static const struct {
        int depth, colour;
        unsigned char rows[32];
        int bytes;
        unsigned char expected[6]; /* 2 x 1 */
    } kinds[] = {
        {8, 0, {0, 10, 200}, 3, {10, 10, 10, 200, 200, 200}},
        {1, 0, {0, 0x40}, 2, {0, 0, 0, 255, 255, 255}},
        {16, 0, {0, 10, 99, 200, 99}, 5, {10, 10, 10, 200, 200, 200}},
        {8, 2, {0, 1, 2, 3, 4, 5, 6}, 7, {1, 2, 3, 4, 5, 6}},
        {16, 2, {0, 1, 9, 2, 9, 3, 9, 4, 9, 5, 9, 6, 9}, 13, {1, 2, 3, 4, 5, 6}},
        {8, 3, {0, 1, 0}, 3, {4, 5, 6, 1, 2, 3}},
        {8, 4, {0, 7, 0, 9, 255}, 5, {7, 7, 7, 9, 9, 9}},
        {8, 6, {0, 1, 2, 3, 0, 4, 5, 6, 255}, 9, {1, 2, 3, 4, 5, 6}},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        builder b = {0};
        mebi_image image;
        mebi_error err = {0};
        add_signature(&b);
        add_header(&b, 2, 1, kinds[i].depth, kinds[i].colour, 0, 0, 0);
        if (kinds[i].colour == 3) add_chunk(&b, "PLTE", "\1\2\3\4\5\6", 6);
        add_deflated(&b, "IDAT", NULL, 0, kinds[i].rows, (size_t)kinds[i].bytes);
        add_chunk(&b, "IEND", NULL, 0);
        if (mebi__png_decode("x", b.data, b.bytes, &image, &err) != MEBI_OK)
            fail_msg("%zu: %s", i, err.text);
        for (int k = 0; k < 6; k++)
            if (image.pixels[k] != kinds[i].expected[k])
                fail_msg("kind %zu, byte %d: %d", i, k, image.pixels[k]);
        mebi_image_release(&image);
        free(b.data);
    }
}

/* Texts as other programs write them. */
static void foreign_texts_are_read(void **state) {
    (void)state;
    builder b = {0};
    add_good_start(&b);
    add_chunk(&b, "tEXt", "Title\0caf\xe9\x80\x01", 12);
    add_deflated(&b, "zTXt", "packed\0\0", 8, "deflated \xe9", 10);
    add_chunk(&b, "iTXt", "plain\0\0\0zh\0\xe8\xaf\x8d\0\xe7\xba\xa2", 18);
    add_deflated(&b, "iTXt", "both\0\1\0\0\0", 9, chinese, sizeof chinese - 1);
    add_chunk(&b, "tEXt", "nothing\0", 8);
    add_good_end(&b);
    static const char *const expected[][2] = {
        {"Title", "caf\u00e9  "}, {"packed", "deflated \u00e9"},
        {"plain", "\u7ea2"},      {"both", chinese},
        {"nothing", ""},
    };
    mebi_png_text *texts;
    mebi_error err = {0};
    int width, height, count;
    if (mebi__png_parse_texts("x", b.data, b.bytes, &width, &height, &texts, &count, &err) !=
        MEBI_OK)
        fail_msg("%s", err.text);
    assert_int_equal(count, 5);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(texts[i].keyword, expected[i][0]);
        assert_string_equal(texts[i].text, expected[i][1]);
    }
    mebi_png_texts_free(texts);
    free(b.data);
}

/* Broken files. */

enum { BOTH, PICTURE }; /* what fails: reading texts and the picture, or the picture alone */

static const struct {
    const char *what;
    int fails;
    const char *said;
} broken[] = {
    {"empty", BOTH, "is not a PNG file, or is cut off"},
    {"text", BOTH, "is not a PNG file"},
    {"jpeg", BOTH, "is not a PNG file"},
    {"signature only", BOTH, "is not a PNG file, or is cut off"},
    {"cut in the header", BOTH, "cut off"},
    {"header's check sum", BOTH, "broken PNG file"},
    {"width 0", BOTH, "broken PNG file"},
    {"height 0", BOTH, "broken PNG file"},
    {"width 2^31", BOTH, "broken PNG file"},
    {"16385 wide", BOTH, "is larger than 16384 x 16384 pixels"},
    {"16385 high", BOTH, "is larger than 16384 x 16384 pixels"},
    {"depth 3", BOTH, "broken PNG file"},
    {"colour type 5", BOTH, "broken PNG file"},
    {"compression method", BOTH, "broken PNG file"},
    {"filter method", BOTH, "broken PNG file"},
    {"interlace method", BOTH, "broken PNG file"},
    {"header of 12 bytes", BOTH, "broken PNG file"},
    {"no header", BOTH, "broken PNG file"},
    {"two headers", BOTH, "broken PNG file"},
    {"length over 2^31", BOTH, "broken PNG file"},
    {"length beyond the end", BOTH, "cut off"},
    {"text's check sum", BOTH, "broken PNG file"},
    {"unknown critical chunk", BOTH, "broken PNG file"},
    {"no picture data", BOTH, "broken PNG file"},
    {"palette missing", BOTH, "broken PNG file"},
    {"text over the limit", BOTH, "holds more beside its picture than is read"},
    {"text that inflates over the limit", BOTH, "holds more beside its picture than is read"},
    {"texts over the limit together", BOTH, "holds more beside its picture than is read"},
    {"text not UTF-8", BOTH, "the text \"k\" is not UTF-8"},
    {"cut in the picture", PICTURE, "cut off"},
    {"picture's check sum", PICTURE, "broken PNG file"},
    {"picture not deflated", PICTURE, "broken PNG file"},
    {"picture too short", PICTURE, "broken PNG file"},
    {"filter 9", PICTURE, "broken PNG file"},
    {"no end", PICTURE, "cut off"},
};

static void break_header(builder *b, const char *what) {
    int is_width = strcmp(what, "width 0") == 0;
    add_signature(b);
    if (is_width || strcmp(what, "height 0") == 0)
        add_header(b, !is_width, is_width, 8, 2, 0, 0, 0);
    else if (strcmp(what, "width 2^31") == 0) add_header(b, (size_t)1 << 31, 2, 8, 2, 0, 0, 0);
    else if (strcmp(what, "16385 wide") == 0) add_header(b, 16385, 2, 8, 2, 0, 0, 0);
    else if (strcmp(what, "16385 high") == 0) add_header(b, 2, 16385, 8, 2, 0, 0, 0);
    else if (strcmp(what, "depth 3") == 0) add_header(b, 2, 2, 3, 2, 0, 0, 0);
    else if (strcmp(what, "colour type 5") == 0) add_header(b, 2, 2, 8, 5, 0, 0, 0);
    else if (strcmp(what, "compression method") == 0) add_header(b, 2, 2, 8, 2, 1, 0, 0);
    else if (strcmp(what, "filter method") == 0) add_header(b, 2, 2, 8, 2, 0, 1, 0);
    else if (strcmp(what, "interlace method") == 0) add_header(b, 2, 2, 8, 2, 0, 0, 2);
    else if (strcmp(what, "header of 12 bytes") == 0)
        add_chunk(b, "IHDR", "\0\0\0\2\0\0\0\2\10\2\0\0", 12);
    else if (strcmp(what, "palette missing") == 0) add_header(b, 2, 2, 8, 3, 0, 0, 0);
    else if (strcmp(what, "no header") != 0) add_header(b, 2, 2, 8, 2, 0, 0, 0);
    if (strcmp(what, "two headers") == 0) add_header(b, 2, 2, 8, 2, 0, 0, 0);
    if (strcmp(what, "header's check sum") == 0) b->data[b->bytes - 1] ^= 1;
}

static void break_middle(builder *b, const char *what) {
    size_t big = MEBI__PNG_TEXT_BYTES + 1, biggest = MEBI__PNG_TEXTS_BYTES + 1;
    char *zeros = malloc(biggest);
    memset(zeros, 'a', biggest);
    memcpy(zeros, "k", 2);
    if (strcmp(what, "length over 2^31") == 0) add_bytes(b, "\x80\0\0\1tEXtk", 9);
    if (strcmp(what, "length beyond the end") == 0) add_bytes(b, "\0\x10\0\0tEXtk", 9);
    if (strcmp(what, "unknown critical chunk") == 0) add_chunk(b, "ABCD", "x", 1);
    if (strcmp(what, "text over the limit") == 0) add_chunk(b, "tEXt", zeros, biggest);
    if (strcmp(what, "text that inflates over the limit") == 0)
        add_deflated(b, "zTXt", "k\0\0", 3, zeros + 2, big - 2);
    for (int i = 0; i < 5 && strcmp(what, "texts over the limit together") == 0; i++)
        add_deflated(b, "zTXt", "k\0\0", 3, zeros + 2, big - 100);
    if (strcmp(what, "text not UTF-8") == 0) add_chunk(b, "iTXt", "k\0\0\0\0\0a\xff", 8);
    if (strcmp(what, "text's check sum") == 0) {
        add_chunk(b, "tEXt", "k\0text", 6);
        b->data[b->bytes - 2] ^= 1;
    }
    free(zeros);
}

static void break_end(builder *b, const char *what) {
    static const unsigned char filtered[14] = {9};
    if (strcmp(what, "picture not deflated") == 0) add_chunk(b, "IDAT", "nonsense", 8);
    else if (strcmp(what, "picture too short") == 0) add_deflated(b, "IDAT", NULL, 0, rows, 9);
    else if (strcmp(what, "filter 9") == 0) add_deflated(b, "IDAT", NULL, 0, filtered, 14);
    else if (strcmp(what, "no picture data") != 0)
        add_deflated(b, "IDAT", NULL, 0, rows, sizeof rows);
    if (strcmp(what, "picture's check sum") == 0) b->data[b->bytes - 1] ^= 1;
    if (strcmp(what, "cut in the picture") == 0) b->bytes -= 9;
    else if (strcmp(what, "no end") != 0) add_chunk(b, "IEND", NULL, 0);
}

static builder break_file(const char *what) {
    builder b = {0};
    break_header(&b, what);
    break_middle(&b, what);
    if (!strstr(what, "length")) break_end(&b, what);
    if (strcmp(what, "empty") == 0) b.bytes = 0;
    if (strcmp(what, "text") == 0) memcpy(b.data, "not a PNG", 9);
    if (strcmp(what, "jpeg") == 0) memcpy(b.data, "\xff\xd8\xff\xe0\0\x10JFIF", 10);
    if (strcmp(what, "signature only") == 0) b.bytes = 8;
    if (strcmp(what, "cut in the header") == 0) b.bytes = 20;
    return b;
}

static void broken_files_are_refused(void **state) {
    (void)state;
    path_text folder = make_folder(), path = path_of("%s/a.png", folder.text);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        builder b = break_file(broken[i].what);
        mebi_error err = {0}, pixels_err = {0};
        mebi_image image;
        mebi_png_text *texts;
        int width, height, count;
        size_t held = mebi__memory_held(MEBI__TAG_COUNT);
        write_bytes(path.text, b.data, b.bytes);
        mebi_status status = mebi_png_read_texts(path.text, &width, &height, &texts, &count, &err);
        if (status != (broken[i].fails == BOTH ? MEBI_BAD_FILE : MEBI_OK))
            fail_msg("%s: %d %s", broken[i].what, status, err.text);
        if (broken[i].fails == BOTH && !strstr(err.text, broken[i].said))
            fail_msg("%s: %s", broken[i].what, err.text);
        assert_int_equal(count, 0);
        assert_null(texts);
        status = mebi_png_load(path.text, &image, &pixels_err);
        /* The picture alone is read although its text is not UTF-8. */
        int readable = strcmp(broken[i].what, "text not UTF-8") == 0;
        if (status != (readable ? MEBI_OK : MEBI_BAD_FILE) ||
            (!readable && !strstr(pixels_err.text, broken[i].said)))
            fail_msg("%s: %d %s", broken[i].what, status, pixels_err.text);
        mebi_image_release(&image);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
        free(b.data);
    }
    remove_path(folder.text);
}

static void no_file_is_told(void **state) {
    (void)state;
    path_text folder = make_folder(), pipe_path = path_of("%s/pipe", folder.text);
    const char *const paths[] = {folder.text, pipe_path.text, "/nonexistent/a.png"};
    static const char *const said[] = {"it is a folder", "pipe can't be opened", "No such file"};
    assert_int_equal(mkfifo(pipe_path.text, 0600), 0);
    for (int i = 0; i < 3; i++) {
        mebi_image image;
        mebi_png_text *texts;
        int width, height, count;
        mebi_error err = {0}, again = {0};
        assert_int_equal(mebi_png_load(paths[i], &image, &err), MEBI_IO);
        assert_int_equal(mebi_png_read_texts(paths[i], &width, &height, &texts, &count, &again),
                         MEBI_IO);
        if (!strstr(err.text, said[i])) fail_msg("%s", err.text);
        assert_string_equal(err.text, again.text);
    }
    remove_path(folder.text);
}

/* Every byte of a good file wrong in turn, and every length: never more than a sentence. */
static void flipped_bytes_do_no_harm(void **state) {
    (void)state;
    builder b = {0};
    add_good_start(&b);
    add_deflated(&b, "zTXt", "packed\0\0", 8, "deflated", 8);
    add_chunk(&b, "iTXt", "plain\0\0\0zh\0\xe8\xaf\x8d\0\xe7\xba\xa2", 18);
    add_good_end(&b);
    for (size_t i = 0; i < 2 * b.bytes; i++) {
        mebi_error err = {0}, pixels_err = {0};
        mebi_image image;
        mebi_png_text *texts;
        int width, height, count;
        size_t bytes = i < b.bytes ? b.bytes : i - b.bytes;
        if (i < b.bytes) b.data[i] ^= 0x55;
        mebi_status texts_status =
            mebi__png_parse_texts("x", b.data, bytes, &width, &height, &texts, &count, &err);
        mebi_status status = mebi__png_decode("x", b.data, bytes, &image, &pixels_err);
        assert_true(texts_status == MEBI_OK || *err.text);
        /* Of all flips none is harmless; the last check sum may be cut off, there is nothing in it.
         */
        int harmless = i >= b.bytes && bytes + 4 >= b.bytes;
        if (status != MEBI_BAD_FILE && !harmless) fail_msg("at %zu of %zu: %d", i, b.bytes, status);
        mebi_png_texts_free(texts);
        mebi_image_release(&image);
        if (i < b.bytes) b.data[i] ^= 0x55;
    }
    free(b.data);
}

/* Every allocation fails once. */
static void memory_may_run_out(void **state) {
    (void)state;
    path_text folder = make_folder(), path = path_of("%s/a.png", folder.text);
    const mebi_png_text texts[] = {{"parameters", "caf\u00e9"}, {"prompt", chinese}};
    mebi_image image = make_image(20, 20, 1);
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    for (int what = 0; what < 3; what++) {
        uint64_t asked = 0;
        for (uint64_t n = 1; n == 1 || asked + 1 >= n; n++) {
            mebi_error err = {0};
            mebi_image back = {0};
            mebi_png_text *read = NULL;
            int width, height, count;
            mebi_status status;
            if (what == 0) remove_path(path.text);
            mebi__memory_fail_nth(n);
            if (what == 0) status = mebi_png_save(path.text, &image, texts, 2, NULL, &err);
            else if (what == 1) status = mebi_png_load(path.text, &back, &err);
            else status = mebi_png_read_texts(path.text, &width, &height, &read, &count, &err);
            asked = mebi__memory_fail_nth(0);
            /* Without memory for its name the folder of a written file is not synced. */
            int may_pass = asked < n || (what == 0 && asked == n);
            if (status != MEBI_NO_MEMORY && !(status == MEBI_OK && may_pass))
                fail_msg("%d, allocation %d: %d %s", what, (int)n, status, err.text);
            mebi_image_release(&back);
            mebi_png_texts_free(read);
            assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
            assert_int_equal(files_in(folder.text), what > 0 || status == MEBI_OK);
        }
    }
    mebi_image_release(&image);
    remove_path(folder.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saving_takes_what_is_planned), /* first: it reads the process's peak */
        cmocka_unit_test(pictures_come_back),
        cmocka_unit_test(texts_come_back),
        cmocka_unit_test(same_picture_gives_same_bytes),
        cmocka_unit_test(nothing_is_overwritten),
        cmocka_unit_test(failed_writing_leaves_nothing),
        cmocka_unit_test(bad_arguments_are_told),
        cmocka_unit_test(other_kinds_are_decoded),
        cmocka_unit_test(foreign_texts_are_read),
        cmocka_unit_test(broken_files_are_refused),
        cmocka_unit_test(no_file_is_told),
        cmocka_unit_test(flipped_bytes_do_no_harm),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Hostile requests: pictures that are none, and what a search makes of signs. */
#include "hostile.h"

#include "server/base64.h"

#include <signal.h>
#include <zlib.h>

static int start(void **state) {
    (void)state;
    return start_hostile((mebi__server_params){.queue_limit = 50});
}

static int end(void **state) {
    (void)state;
    return end_hostile();
}

/* ---- pictures ---- */

typedef struct png {
    unsigned char data[1 << 20];
    size_t bytes;
} png;

static void put_number(png *p, uint32_t n) {
    for (int i = 24; i >= 0; i -= 8) p->data[p->bytes++] = (unsigned char)(n >> i);
}

/* said: the length that is written, whatever it is. */
static void put_chunk(png *p, const char *type, const void *data, size_t bytes, uint32_t said) {
    put_number(p, said);
    size_t begin = p->bytes;
    memcpy(p->data + p->bytes, type, 4);
    memcpy(p->data + p->bytes + 4, data, bytes);
    p->bytes += 4 + bytes;
    put_number(p, (uint32_t)crc32(0, p->data + begin, (uInt)(bytes + 4)));
}

static void begin_png(png *p, uint32_t width, uint32_t height) {
    png head = {.bytes = 0};
    memcpy(p->data, "\x89PNG\r\n\x1a\n", 8);
    p->bytes = 8;
    put_number(&head, width);
    put_number(&head, height);
    memcpy(head.data + 8, "\x08\x02\x00\x00\x00", 5);
    put_chunk(p, "IHDR", head.data, 13, 13);
}

static void end_png(png *p) {
    static const unsigned char pixel[] = {0, 1, 2, 3};
    unsigned char packed[64];
    uLongf bytes = sizeof packed;
    assert_int_equal(compress(packed, &bytes, pixel, sizeof pixel), Z_OK);
    put_chunk(p, "IDAT", packed, bytes, (uint32_t)bytes);
    put_chunk(p, "IEND", "", 0, 0);
}

static void begin_texts(png *p, const char *keyword, const char *text) {
    char data[20000];
    begin_png(p, 1, 1);
    int n = snprintf(data, sizeof data, "%s%c%s", keyword, 0, text);
    put_chunk(p, "tEXt", data, (size_t)n, (uint32_t)n);
}

/* Both ways in. */
static void send_png(const char *name, const png *p, int wanted) {
    int64_t before = jobs_made();
    double began = worked();
    check_row(name, send_typed("POST /api/v1/png-info", "", "image/png", p->data, p->bytes), wanted,
              0, before);
    char *text = take_bytes(p->bytes * 2 + 100);
    strcpy(text, "{\"image\":\"");
    size_t coded = mebi__base64_encode(p->data, p->bytes, text + strlen(text));
    strcpy(text + strlen("{\"image\":\"") + coded, "\"}");
    send_text("POST /sdapi/v1/png-info", text, p->bytes ? wanted : 422, 0);
    free(text);
    check_work(name, began);
}

static void pictures_are_distrusted(void **state) {
    static png p;
    (void)state;
    begin_texts(&p, "parameters", "a\nSteps: 4, Seed: 7, Size: 64x64");
    size_t texts = p.bytes; /* what follows is not looked at */
    end_png(&p);
    send_png("a good one", &p, 200);
    size_t whole = p.bytes;
    for (size_t cut = 0; cut <= texts; cut += 7) {
        p.bytes = cut;
        send_png("a cut one", &p, 400);
    }
    p.bytes = whole;
    p.data[29] ^= 1;
    send_png("a wrong check sum", &p, 400);
    static const uint32_t sides[][2] = {{65535, 65535},
                                        {0, 0},
                                        {0, 1},
                                        {1, 0},
                                        {0x80000000u, 1},
                                        {0xffffffffu, 0xffffffffu},
                                        {0x7fffffff, 0x7fffffff}};
    for (size_t i = 0; i < COUNT(sides); i++) {
        begin_png(&p, sides[i][0], sides[i][1]);
        end_png(&p);
        send_png("absurd sides", &p, 400);
    }
    static const uint32_t lengths[] = {0x80000000u, 0xffffffffu, 0x7fffffff, 1000, 0xfffffff4u};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        begin_png(&p, 1, 1);
        put_chunk(&p, "tEXt", "a\0b", 3, lengths[i]);
        end_png(&p);
        send_png("an absurd length", &p, 400);
    }
    memcpy(p.data, "GIF89a\x01\x00\x01\x00", 10);
    send_png("a GIF", &p, 400);
    p.bytes = 0;
    send_png("nothing", &p, 400);
}

static long most_kb(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return r.ru_maxrss;
}

/* A text of 64 MiB in 300 KB, in the two chunks that may have one. Runs first, for memory is
 * measured at its highest. */
static void packed_texts_are_no_bombs(void **state) {
    static png p;
    static unsigned char packed[1 << 19], zeros[1 << 16];
    /* clang-format off */
    static const struct {
        const char *type, *head;
        size_t bytes;
    } kinds[] = {{"zTXt", "parameters\0", 12}, {"iTXt", "parameters\0\1\0\0", 15}};
    /* clang-format on */
    (void)state;
    memset(zeros, 'a', sizeof zeros);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        z_stream z = {.next_out = packed, .avail_out = sizeof packed};
        assert_int_equal(deflateInit(&z, 1), Z_OK);
        for (int n = 0; n < 1024; n++) {
            z.next_in = zeros, z.avail_in = sizeof zeros;
            assert_int_equal(deflate(&z, n == 1023 ? Z_FINISH : Z_NO_FLUSH),
                             n == 1023 ? Z_STREAM_END : Z_OK);
        }
        size_t bytes = sizeof packed - z.avail_out;
        deflateEnd(&z);
        unsigned char *data = take_bytes(bytes + 20);
        memcpy(data, kinds[i].head, kinds[i].bytes);
        memcpy(data + kinds[i].bytes, packed, bytes);
        begin_png(&p, 1, 1);
        put_chunk(&p, kinds[i].type, data, kinds[i].bytes + bytes,
                  (uint32_t)(kinds[i].bytes + bytes));
        end_png(&p);
        free(data);
        long before = most_kb();
        send_png(kinds[i].type, &p, 400);
        if (!SANITIZED) assert_true(most_kb() < before + (16 << 10));
    }
}

static void texts_are_distrusted(void **state) {
    static png p;
    static char deep[9000] = "{\"prompt\":";
    /* clang-format off */
    static const char *const parameters[] = {
        "Steps: 1e999, Size: 999999x-5, Seed: nan", "a\nSteps: -99999999999999999999, CFG scale: inf, Seed: 1e400",
        "\nNegative prompt: \nSteps: ", "Steps: ",
        "a\nSteps: 4, Size: 999999x999999", MARK "\nSteps: 4, Seed: \"1", "a\nSteps: 4, Model: \"\\\", Seed: 7",
        "\x01\x1b[31m\x7f"};
    /* clang-format on */
    static const char *const own[] = {"",
                                      "{",
                                      "[]",
                                      "7",
                                      "{\"prompt\":7}",
                                      "{\"width\":1e9}",
                                      "{\"prompt\":\"\\ud800\"}",
                                      "{\"draft\":{\"factor\":[],\"width\":{}}}",
                                      "{\"draft\":{}}",
                                      "{\"seed\":1,\"seed\":2}",
                                      "{\"cfg\":1e999}",
                                      deep};
    (void)state;
    memset(deep + strlen(deep), '[', 8000);
    for (size_t i = 0; i < COUNT(parameters); i++) {
        begin_texts(&p, "parameters", parameters[i]);
        end_png(&p);
        send_png(parameters[i], &p, 200);
    }
    for (size_t i = 0; i < COUNT(own); i++) {
        begin_texts(&p, "mebi", own[i]);
        end_png(&p);
        send_png(own[i], &p, 200);
    }
    begin_png(&p, 1, 1);
    for (int i = 0; i < 20000; i++) put_chunk(&p, "tEXt", "a\0b", 3, 3);
    end_png(&p);
    send_png("20000 texts", &p, 400);
}

/* ---- searching ---- */

static json_int_t found(const char *signs) {
    char path[200];
    snprintf(path, sizeof path, "/api/v1/images?q=%s", signs);
    json_t *o = get_json(the.port, path);
    json_int_t total = number_at(o, "total");
    json_decref(o);
    return total;
}

/* Signs are looked for as they are. */
static void searches_for_signs(void **state) {
    /* clang-format off */
    static const struct {
        const char *signs;
        int total;
    } cases[] = {{"zebra", 2}, {"zebra%20%25", 1}, {"zebra%20_", 1}, {"zebra%20%5c", 1}, {"zebra%20'", 1}, {"zebra%20%25%25", 0}, {"zebra%20_____", 0},
                 {"zeb_a", 0}, {"z%25a", 0}, {"zebra'%20OR%201=1--", 0}, {"zebra%22", 0}, {"zebra%20:w0", 0},
                 {"zebra%20?1", 0}};
    /* clang-format on */
    (void)state;
    send_text("POST /api/v1/jobs",
              "{\"prompt\":\"zebra 100% a_b it's c\\\\d\",\"width\":64,\"height\":64,\"steps\":1}",
              202, ORDERS);
    send_text("POST /api/v1/jobs",
              "{\"prompt\":\"zebra plain\",\"width\":64,\"height\":64,\"steps\":1}", 202, ORDERS);
    for (int i = 0; i < 500 && found("zebra") < 2; i++) nap_ms(10);
    for (size_t i = 0; i < COUNT(cases); i++) {
        asked++;
        if (found(cases[i].signs) != cases[i].total) fail_msg("%s: %s", cases[i].signs, body);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_texts_are_no_bombs), cmocka_unit_test(pictures_are_distrusted),
        cmocka_unit_test(texts_are_distrusted),      cmocka_unit_test(searches_for_signs),
        cmocka_unit_test(keeps_its_log_whole),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, start, end);
}

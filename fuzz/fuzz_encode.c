/* Any bytes as a text. Without normalization the ids' bytes are the text again; a cut is a prefix;
 * with normalization all goes well too. */
#include "base/memory.h"
#include "small_tokenizer.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static mebi__tokenizer plain, normal;
static char spelled[512][16]; /* bytes of each id */
static int spelled_bytes[512];
static int32_t ids[1 << 16], again[1 << 16];

static int byte_of(const char *written) {
    char text[4];
    for (int b = 0; b < 256; b++) {
        written_byte(b, text);
        if (strcmp(text, written) == 0) return b;
    }
    abort();
}

static void spell(const char *key, int id, int as_written) {
    for (const char *c = key; *c;) {
        char one[4] = {c[0], (unsigned char)c[0] >= 0x80 ? c[1] : 0};
        spelled[id][spelled_bytes[id]++] = as_written ? *c : (char)byte_of(one);
        c += as_written ? 1 : strlen(one);
    }
}

static void set_up(void) {
    for (int nfc = 0; nfc < 2; nfc++) {
        mebi_error err = {0};
        char *json = small_tokenizer_json(nfc);
        mebi__text_file file = {"small", json, strlen(json)};
        require(mebi__load_tokenizer_json(nfc ? &normal : &plain, file, &err) == MEBI_OK);
        free(json);
    }
    json_t *vocab = small_vocab(), *added = small_added(), *value;
    const char *key;
    size_t i;
    json_object_foreach(vocab, key, value) spell(key, (int)json_integer_value(value), 0);
    json_array_foreach(added, i, value)
        spell(json_string_value(json_object_get(value, "content")),
              (int)json_integer_value(json_object_get(value, "id")), 1);
    json_decref(vocab);
    json_decref(added);
}

static size_t spell_all(const int32_t *from, int count, char *to) {
    size_t n = 0;
    for (int i = 0; i < count; i++) {
        require(from[i] >= 0 && from[i] < 304 && spelled_bytes[from[i]] > 0);
        memcpy(to + n, spelled[from[i]], (size_t)spelled_bytes[from[i]]);
        n += (size_t)spelled_bytes[from[i]];
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static char back[1 << 18];
    const char *text = (const char *)data;
    mebi_error err = {0};
    int count, second;
    if (!plain.pattern) set_up();
    if (bytes > 8192) return 0;
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    mebi_status status = mebi__tokenizer_encode(&plain, text, bytes, ids, 1 << 16, &count, &err);
    require(status == MEBI_OK || status == MEBI_BAD_ARGUMENT);
    if (status == MEBI_OK) {
        require(spell_all(ids, count, back) == bytes && memcmp(back, text, bytes) == 0);
        int limit = count / 2;
        require(mebi__tokenizer_encode(&plain, text, bytes, again, limit, &second, &err) ==
                MEBI_OK);
        require(second == limit && memcmp(ids, again, (size_t)limit * sizeof *ids) == 0);
        require(mebi__tokenizer_encode(&normal, text, bytes, ids, 1 << 16, &count, &err) ==
                MEBI_OK);
        require(spell_all(ids, count, back) < sizeof back);
        require(mebi__tokenizer_encode_prompt(&normal, text, bytes, again, &second, &err) ==
                MEBI_OK);
        require(second <= MEBI__PROMPT_TOKENS && again[0] == 300);
    }
    require(mebi__memory_held(MEBI__TAG_COUNT) == held);
    return 0;
}

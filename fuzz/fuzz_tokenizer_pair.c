/* Any bytes as vocab.json, merges.txt, added_tokens.json and tokenizer_config.json, parted by zero
 * bytes. An empty first part stands for a good vocabulary, so that mutations reach the others. */
#include "base/memory.h"
#include "small_tokenizer.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* The next part, or one that is not there. */
static mebi__text_file next_part(const char *name, const char **at, const char *end) {
    mebi__text_file file = {.name = name};
    if (!*at) return file;
    const char *zero = memchr(*at, 0, (size_t)(end - *at));
    file.text = *at;
    file.bytes = (size_t)((zero ? zero : end) - *at);
    *at = zero ? zero + 1 : NULL;
    return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static char *good;
    if (!good) {
        json_t *vocab = small_vocab();
        good = json_dumps(vocab, 0);
        json_decref(vocab);
    }
    const char *at = (const char *)data, *end = at + bytes;
    mebi__text_file vocab = next_part("vocab.json", &at, end);
    mebi__text_file merges = next_part("merges.txt", &at, end);
    mebi__text_file added = next_part("added_tokens.json", &at, end);
    mebi__text_file config = next_part("tokenizer_config.json", &at, end);
    if (vocab.bytes == 0) vocab.text = good, vocab.bytes = strlen(good);
    if (!merges.text) return 0;

    mebi__tokenizer t = {0};
    mebi_error err = {0};
    mebi_status status = mebi__load_vocab_merges(&t, vocab, merges, added, config, &err);
    require(status == err.status && (status == MEBI_OK || err.text[0]));
    require_printable(err.text);
    if (status == MEBI_OK) {
        static const char text[] = "abaaaab 'll  12\n\n\u4e00e\u0301<think>word aa";
        int32_t ids[MEBI__PROMPT_TOKENS];
        int count;
        require(mebi__tokenizer_encode_prompt(&t, text, sizeof text - 1, ids, &count, &err) ==
                MEBI_OK);
        for (int i = 0; i < count; i++) require(ids[i] >= 0 && ids[i] < mebi__tokenizer_vocab(&t));
    }
    mebi__tokenizer_release(&t);
    require(mebi__memory_held(MEBI__TAG_COUNT) == 0);
    return 0;
}

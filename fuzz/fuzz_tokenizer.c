/* Any bytes as a tokenizer.json. One that is taken must encode texts to ids in its range, and may
 * give up on one only for the steps its pattern needs. */
#include "base/memory.h"
#include "small_tokenizer.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void encode_some(const mebi__tokenizer *t) {
    static const char *const texts[] = {
        "a red apple, it's 12 o'clock\r\n\n  x ",
        "\u7eaf\u767d\u80cc\u666f e\u0301\u0323\u08d3 <|im_end|>word <think>",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
    };
    int32_t ids[MEBI__PROMPT_TOKENS];
    for (int i = 0; i < 3; i++) {
        mebi_error err = {0};
        int count = 0;
        mebi_status status =
            mebi__tokenizer_encode_prompt(t, texts[i], strlen(texts[i]), ids, &count, &err);
        require(status == MEBI_OK || status == MEBI_UNSUPPORTED);
        for (int k = 0; k < count; k++) require(ids[k] >= 0 && ids[k] < mebi__tokenizer_vocab(t));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    mebi__tokenizer t = {0};
    mebi_error err = {0};
    mebi_status status =
        mebi__load_tokenizer_json(&t, (mebi__text_file){"t.json", (const char *)data, bytes}, &err);
    require(status == err.status && (status == MEBI_OK || err.text[0]));
    require_printable(err.text);
    if (status == MEBI_OK) encode_some(&t);
    mebi__tokenizer_release(&t);
    require(mebi__memory_held(MEBI__TAG_COUNT) == 0);
    return 0;
}

/* Any bytes as a GGUF file: parsed, every value and tensor touched, its tokenizer read, and opened
 * as each part of a model.
 *
 * Byte 0: bits 0-1 the part. The rest is the file; what a tensor claims beyond its end is refused.
 */
#include "base/memory.h"
#include "text/tokenizer.h"
#include "weights/config_read.h"
#include "weights/gguf_tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void require(int condition) {
    if (!condition) abort();
}

static unsigned touch(const mebi__gguf_value *v) {
    const unsigned char *at = v->data;
    unsigned sum = 0;
    int64_t whole;
    double real;
    const char *text;
    size_t bytes;
    for (size_t i = 0; i < v->count && v->type == MEBI__GGUF_STRING; i++) {
        mebi__gguf_next_string(&at, &text, &bytes);
        for (size_t k = 0; k < bytes; k++) sum += (unsigned char)text[k];
    }
    int plain =
        v->type != MEBI__GGUF_STRING && v->type != MEBI__GGUF_F32 && v->type != MEBI__GGUF_F64;
    for (size_t i = 0; i < v->count && plain; i++)
        sum += (unsigned)mebi__gguf_next_integer(v->type, &at);
    sum += (unsigned)mebi__gguf_integer(v, &whole) + (unsigned)mebi__gguf_number(v, &real);
    return sum + (unsigned)mebi__gguf_string(v, &text, &bytes);
}

static mebi__token_kind kind_of(const void *context, size_t token) {
    const mebi__gguf_tokens *tokens = context;
    return (mebi__token_kind)(tokens->kind[token] % 3);
}

static void read_tokenizer(const mebi__stored_file *file) {
    mebi__gguf_tokens tokens;
    mebi__tokenizer *tokenizer = NULL;
    mebi_error err = {0};
    if (mebi__gguf_tokens_read(file, &tokens, &err) != MEBI_OK) {
        require(err.text[0] != 0);
        return;
    }
    mebi__token_lists lists = {"fuzz",  tokens.token,  tokens.merge, kind_of,
                               &tokens, tokens.tokens, tokens.merges};
    if (mebi__tokenizer_from_lists(&lists, &tokenizer, &err) == MEBI_OK) {
        int32_t ids[64];
        int count;
        (void)!mebi__tokenizer_encode(tokenizer, "a red apple", 11, ids, 64, &count, NULL);
    }
    mebi__tokenizer_close(&tokenizer);
    mebi__gguf_tokens_release(&tokens);
}

static void parse_alone(const uint8_t *data, size_t bytes) {
    unsigned char *exact = malloc(bytes ? bytes : 1);
    require(exact != NULL);
    if (bytes) memcpy(exact, data, bytes);
    mebi__stored_file file;
    mebi_error err = {0};
    unsigned sum = 0;
    if (mebi__gguf_parse("fuzz", exact, bytes, &file, &err) == MEBI_OK) {
        for (int i = 0; i < file.count; i++)
            for (size_t k = 0; k < file.tensor[i].bytes; k++) sum += file.tensor[i].data[k];
        for (int i = 0; i < file.values; i++) sum += touch(&file.value[i]);
        read_tokenizer(&file);
        mebi__stored_close(&file);
        require(sum != 1u << 31);
    } else require(err.status != MEBI_OK && err.text[0]);
    free(exact);
}

static void look_through(const char *path, mebi__part part) {
    mebi__tensors *set = NULL;
    char hex[17];
    if (mebi__tensors_open(path, part, &set, NULL) != MEBI_OK) return;
    for (int i = 0; i < mebi__tensors_count(set); i++) {
        const mebi__tensor *t = mebi__tensors_at(set, i);
        int64_t k = mebi__tensor_row_elements(t);
        float *row = k <= 1 << 20 ? malloc((size_t)k * sizeof *row) : NULL;
        if (row) require(mebi__tensor_rows(t, mebi__tensor_row_count(t) - 1, 1, row));
        free(row);
    }
    (void)!mebi__tensors_check_finite(set, NULL);
    mebi__tensors_fingerprint(set, hex);
    mebi__dit_config dit;
    mebi__qwen3_config encoder;
    mebi__vae_config vae;
    (void)!mebi__dit_config_guess(path, set, &dit, NULL);
    (void)!mebi__qwen3_config_guess(path, set, &encoder, NULL);
    (void)!mebi__vae_config_guess(path, set, &vae, NULL);
    mebi__tensors_close(&set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static int fd = -1;
    if (bytes < 1) return 0;
    parse_alone(data + 1, bytes - 1);
    if (fd < 0) fd = memfd_create("fuzz", MFD_CLOEXEC);
    require(fd >= 0 && ftruncate(fd, 0) == 0);
    require(pwrite(fd, data + 1, bytes - 1, 0) == (ssize_t)(bytes - 1));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    look_through(path, (mebi__part)(data[0] % 3));
    require(mebi__memory_held(MEBI__TAG_COUNT) == 0);
    return 0;
}

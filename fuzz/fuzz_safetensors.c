/* Any bytes as a safetensors file, opened as each part of a model and looked through in full.
 *
 * Byte 0: bits 0-1 the part; bit 2: bytes 1-2 are the header's length, and the file is built from
 * them with a true length field, so that mutations reach the JSON. */
#include "base/memory.h"
#include "weights/config_read.h"
#include "weights/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void require(int condition) {
    if (!condition) abort();
}

/* The file as mebi sees it; freed by free. */
static unsigned char *build(const uint8_t *data, size_t bytes, int repair, size_t *out_bytes) {
    size_t header = 0;
    if (repair && bytes >= 2) {
        header = data[0] | (size_t)data[1] << 8;
        data += 2;
        bytes -= 2;
        if (header > bytes) header = bytes;
    } else repair = 0;
    unsigned char *file = malloc(bytes + 8 + 1);
    require(file != NULL);
    for (int i = 0; i < 8; i++) file[i] = (unsigned char)((uint64_t)header >> 8 * i);
    memcpy(file + (repair ? 8 : 0), data, bytes);
    *out_bytes = bytes + (repair ? 8 : 0);
    return file;
}

static void parse_alone(const unsigned char *file, size_t bytes) {
    unsigned char *exact = malloc(bytes ? bytes : 1);
    require(exact != NULL);
    memcpy(exact, file, bytes);
    mebi__safetensors parsed;
    mebi_error err = {0};
    if (mebi__safetensors_parse("fuzz", exact, bytes, &parsed, &err) == MEBI_OK) {
        unsigned sum = 0;
        for (int i = 0; i < parsed.count; i++) {
            const mebi__stored *t = &parsed.tensor[i];
            require(t->data >= exact && t->bytes <= bytes &&
                    t->data - exact <= (ptrdiff_t)(bytes - t->bytes));
            for (size_t k = 0; k < t->bytes; k++) sum += t->data[k];
        }
        mebi__safetensors_close(&parsed);
        require(sum != 1u << 31);
    } else require(err.status != MEBI_OK && err.text[0]);
    free(exact);
}

static void look_through(const char *path, mebi__part part) {
    mebi__tensors *set = NULL;
    mebi_error err = {0};
    char text[200], hex[17];
    if (mebi__tensors_open(path, part, &set, &err) != MEBI_OK) return;
    for (int i = 0; i < mebi__tensors_count(set); i++) {
        const mebi__tensor *t = mebi__tensors_at(set, i);
        require(mebi__tensors_find(set, t->name) == t);
        if (i % 2)
            require(mebi__tensors_want(set, t->shape.rank, t->shape.dim, "%s", t->name) == t);
    }
    const int64_t dim[] = {1};
    (void)mebi__tensors_want(set, 1, dim, "absent");
    require(mebi__tensors_report(set, &err) != MEBI_OK);
    (void)mebi__tensors_unexpected(set, text, sizeof text);
    (void)!mebi__tensors_check_finite(set, NULL);
    mebi__tensors_fingerprint(set, hex);
    mebi__dit_config dit;
    mebi__qwen3_config encoder;
    mebi__vae_config vae;
    if (mebi__dit_config_guess(path, set, &dit, NULL) == MEBI_OK) {
        require(dit.head_dim * dit.heads == dit.dim && dit.layers > 0);
        (void)!mebi__dit_config_widths(path, set, &dit, NULL);
    }
    if (mebi__qwen3_config_guess(path, set, &encoder, NULL) == MEBI_OK)
        require(encoder.heads % encoder.kv_heads == 0);
    if (mebi__vae_config_guess(path, set, &vae, NULL) == MEBI_OK)
        require(vae.levels >= 1 && vae.levels <= 8 && vae.groups >= 1);
    mebi__tensors_close(&set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static int fd = -1;
    if (bytes < 1) return 0;
    size_t file_bytes = 0;
    unsigned char *file = build(data + 1, bytes - 1, data[0] & 4, &file_bytes);
    parse_alone(file, file_bytes);
    if (fd < 0) fd = memfd_create("fuzz", MFD_CLOEXEC);
    require(fd >= 0 && ftruncate(fd, 0) == 0);
    require(pwrite(fd, file, file_bytes, 0) == (ssize_t)file_bytes);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    look_through(path, (mebi__part)(data[0] % 3));
    require(mebi__memory_held(MEBI__TAG_COUNT) == 0);
    free(file);
    return 0;
}

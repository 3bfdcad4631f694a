/* Random values by position: no state, so any thread makes any part of any tensor, always the same. */
#include "weights/random_values.h"
#include "weights/random.h"

#include <math.h>

/* A bijection of 64 bits in which every bit of the input reaches all of the output. */
static inline uint64_t scramble(uint64_t x) {
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

uint64_t mebi__random_seed(uint64_t seed, const char *name) {
    uint64_t hash = 0xcbf29ce484222325u ^ scramble(seed + 1);
    for (const char *c = name; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    return scramble(hash);
}

void mebi__random_levels(mebi__recipe *r) {
    /* The variance of a byte is (256^2 - 1) / 12. */
    const double deviation = sqrt(4 * (256.0 * 256.0 - 1) / 12);
    for (int i = 0; i < MEBI__RANDOM_LEVELS; i++) {
        double z = (i - MEBI__RANDOM_LEVELS / 2) / deviation;
        r->level[i] = mebi__f32_to_bf16((float)(r->mean + r->deviation * z));
    }
}

static inline uint32_t sum_of_bytes(uint32_t x) {
    uint32_t pairs = (x & 0xff00ffu) + (x >> 8 & 0xff00ffu);
    return (pairs + (pairs >> 16)) & 0x7ffu;
}

/* Each hash serves two elements, an even one and the next. */
static inline uint16_t element(const mebi__recipe *r, int64_t at) {
    uint64_t hash = scramble(r->seed + (uint64_t)(at >> 1) * 0x9e3779b97f4a7c15u);
    return r->level[sum_of_bytes((uint32_t)(at & 1 ? hash >> 32 : hash))];
}

static void scale_columns(const mebi__recipe *r, int64_t first, int64_t count, uint16_t *out) {
    for (int c = 0; c < r->columns; c++) {
        int64_t i = (r->column[c] - first % r->width + r->width) % r->width;
        for (; i < count; i += r->width)
            out[i] = mebi__f32_to_bf16(mebi__bf16_to_f32(out[i]) * r->column_factor);
    }
}

static void plant(const mebi__recipe *r, int64_t first, int64_t count, uint16_t *out) {
    for (int s = 0; s < r->spots; s++) {
        int64_t begin = r->spot[s] * r->spot_width - first, end = begin + r->spot_width;
        if (begin < 0) begin = 0;
        if (end > count) end = count;
        for (int64_t i = begin; i < end; i++)
            out[i] = mebi__f32_to_bf16(mebi__bf16_to_f32(out[i]) * r->factor);
    }
}

void mebi__random_fill(const mebi__recipe *r, int64_t first, int64_t count, uint16_t *out) {
    int64_t i = 0;
    if (count > 0 && first & 1) out[i++] = element(r, first);
    for (; i + 1 < count; i += 2) {
        uint64_t hash = scramble(r->seed + (uint64_t)((first + i) >> 1) * 0x9e3779b97f4a7c15u);
        out[i] = r->level[sum_of_bytes((uint32_t)hash)];
        out[i + 1] = r->level[sum_of_bytes((uint32_t)(hash >> 32))];
    }
    if (i < count) out[i] = element(r, first + i);
    plant(r, first, count, out);
    scale_columns(r, first, count, out);
}

void mebi__random_elements(const mebi__recipe *r, int64_t first, int64_t count, float *out) {
    enum { PIECE = 2048 };
    uint16_t piece[PIECE];
    for (int64_t done = 0; done < count; done += PIECE) {
        int64_t n = count - done < PIECE ? count - done : PIECE;
        mebi__random_fill(r, first + done, n, piece);
        for (int64_t i = 0; i < n; i++) out[done + i] = mebi__bf16_to_f32(piece[i]);
    }
}

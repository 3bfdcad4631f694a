/* Multiply and mix, in four lanes so that the multiplications overlap: memory's speed, not the
 * multiplier's, is the limit. Must never skip a byte. */
#include "base/hash.h"

#include <string.h>

enum { LANES = 4, STRIDE = LANES * 8 };

/* Odd numbers without pattern: multiplying by them loses nothing (they have inverses). */
static const uint64_t odd[LANES] = {0x9e3779b97f4a7c15u, 0xd6e8feb86659fd93u, 0xa0761d6478bd642fu,
                                    0xe7037ed1a0b428dbu};

/* One-to-one in the lane and in the word. */
static uint64_t step(uint64_t lane, uint64_t word, uint64_t factor) {
    lane = (lane ^ word) * factor;
    return lane ^ (lane >> 32);
}

static uint64_t word_at(const unsigned char *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

uint64_t mebi__hash(uint64_t seed, const void *data, size_t bytes) {
    const unsigned char *p = data;
    uint64_t lane[LANES];
    size_t left = bytes;
    for (int i = 0; i < LANES; i++) lane[i] = seed + odd[i];
    for (; left >= STRIDE; left -= STRIDE, p += STRIDE)
        for (int i = 0; i < LANES; i++) lane[i] = step(lane[i], word_at(p + 8 * i), odd[i]);
    unsigned char tail[STRIDE] = {0};
    if (left > 0) memcpy(tail, p, left);
    for (int i = 0; i < LANES; i++) lane[i] = step(lane[i], word_at(tail + 8 * i), odd[i]);
    uint64_t all = step(seed, bytes, odd[0]); /* the length tells zeros at the end apart */
    for (int i = 0; i < LANES; i++) all = step(all, lane[i], odd[i]);
    return step(all, 0, odd[1]);
}

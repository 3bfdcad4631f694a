/* The words for what the public API enumerates. Must stay in the order of include/mebi/engine.h. */
#include "mebi/engine.h"

static const char *word(const char *const *words, unsigned count, unsigned index) {
    return index < count ? words[index] : "unknown";
}

const char *mebi_stage_name(mebi_stage stage) {
    static const char *const words[MEBI_STAGE_COUNT] = {"load", "take",   "encode",
                                                       "step", "decode", "save"};
    return word(words, MEBI_STAGE_COUNT, (unsigned)stage);
}

const char *mebi_precision_name(mebi_precision precision) {
    static const char *const words[MEBI_PRECISION_COUNT] = {"auto", "f32", "bf16", "int8"};
    return word(words, MEBI_PRECISION_COUNT, (unsigned)precision);
}

const char *mebi_quality_name(mebi_quality quality) {
    static const char *const words[MEBI_QUALITY_COUNT] = {"high", "exact", "any"};
    return word(words, MEBI_QUALITY_COUNT, (unsigned)quality);
}

const char *mebi_weights_way_name(mebi_weights_way way) {
    static const char *const words[MEBI_WEIGHTS_COUNT] = {"auto", "resident", "freed", "streamed"};
    return word(words, MEBI_WEIGHTS_COUNT, (unsigned)way);
}

const char *mebi_decode_way_name(mebi_decode_way way) {
    static const char *const words[MEBI_DECODE_COUNT] = {"auto", "whole", "strips", "tiled"};
    return word(words, MEBI_DECODE_COUNT, (unsigned)way);
}

const char *mebi_verdict_name(mebi_verdict verdict) {
    static const char *const words[MEBI_VERDICT_COUNT] = {"fits", "tiled", "streamed", "too_big"};
    return word(words, MEBI_VERDICT_COUNT, (unsigned)verdict);
}

const char *mebi_memory_name(mebi_memory memory) {
    static const char *const words[MEBI_MEMORY_COUNT] = {"DiT weights", "encoder weights", "VAE weights",
                                                         "activations", "output",          "other"};
    return word(words, MEBI_MEMORY_COUNT, (unsigned)memory);
}

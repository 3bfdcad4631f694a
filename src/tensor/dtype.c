/* Element types and shapes. */
#include "tensor/blocks.h"
#include "tensor/int8.h"

#include <stdio.h>

static const struct {
    const char *name;
    int64_t elements;
    size_t bytes;
} block_of[MEBI__DTYPE_COUNT] = {
#define X(type, elements, bytes) {#type, elements, bytes},
    MEBI__DTYPE_MAP(X)
#undef X
};

const char *mebi__dtype_name(mebi__dtype type) {
    return block_of[type].name;
}

int64_t mebi__dtype_block(mebi__dtype type) {
    int64_t n = block_of[type].elements;
    return n ? n : MEBI__INT8_MULTIPLE;
}

size_t mebi__dtype_bytes(mebi__dtype type) {
    return block_of[type].elements == 1 ? block_of[type].bytes : 0;
}

int mebi__dtype_decodes(mebi__dtype type) {
    return type != MEBI__I32 && type != MEBI__U8 && type != MEBI__F64 && type != MEBI__INT8_ROWS &&
           type != MEBI__INT8_PANELS;
}

size_t mebi__dtype_alignment(mebi__dtype type) {
    if (block_of[type].elements == 1) return block_of[type].bytes;
    return block_of[type].elements ? 1 : MEBI__INT8_ALIGNMENT;
}

int mebi__row_bytes(mebi__dtype type, int64_t k, size_t *out) {
    if (k <= 0 || k % mebi__dtype_block(type)) return 0;
    if (block_of[type].elements)
        return !__builtin_mul_overflow((uint64_t)(k / block_of[type].elements),
                                       block_of[type].bytes, out);
    if (k > INT32_MAX) return 0;
    *out = type == MEBI__INT8_ROWS ? mebi__int8_row_bytes(k) : mebi__int8_panel_bytes(k);
    return 1;
}

int mebi__shape_elements(const mebi__shape *shape, size_t *out) {
    size_t n = 1;
    for (int i = 0; i < shape->rank; i++)
        if (shape->dim[i] <= 0 || __builtin_mul_overflow(n, (uint64_t)shape->dim[i], &n)) return 0;
    *out = n;
    return 1;
}

/* Rows that lie together: one, or a panel's. */
static int64_t rows_of(mebi__dtype type) {
    return type == MEBI__INT8_PANELS ? MEBI__INT8_PANEL : 1;
}

int mebi__shape_bytes(const mebi__shape *shape, mebi__dtype type, size_t *out) {
    mebi__shape rows = *shape;
    size_t n = 1, row, bytes;
    /* The usual case, asked some hundred thousand times by a plan: single elements. */
    if (block_of[type].elements == 1) {
        if (!mebi__shape_elements(shape, &n) ||
            __builtin_mul_overflow(n, block_of[type].bytes, &bytes))
            return 0;
        *out = bytes;
        return 1;
    }
    if (shape->rank == 0) return mebi__row_bytes(type, 1, out);
    int64_t *first = &rows.dim[0], together = rows_of(type);
    if (!mebi__row_bytes(type, shape->dim[--rows.rank], &row)) return 0;
    if (rows.rank && *first > 0) *first = *first / together + (*first % together != 0);
    if (!mebi__shape_elements(&rows, &n) || __builtin_mul_overflow(n, row, &bytes)) return 0;
    *out = bytes;
    return 1;
}

int mebi__shape_equal(const mebi__shape *a, const mebi__shape *b) {
    if (a->rank != b->rank) return 0;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return 0;
    return 1;
}

char *mebi__shape_text(const mebi__shape *shape, char *text, size_t bytes) {
    size_t used = (size_t)snprintf(text, bytes, "[");
    for (int i = 0; i < shape->rank && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%lld", i ? ", " : "",
                                 (long long)shape->dim[i]);
    if (used < bytes) snprintf(text + used, bytes - used, "]");
    return text;
}

/* The loops are apart because a type's loop without a branch becomes vector code. */
static void halves_to_f32(mebi__dtype type, const unsigned char *bytes, size_t count, float *out) {
    uint16_t half;
    for (size_t i = 0; i < count && type == MEBI__BF16; i++) {
        memcpy(&half, bytes + 2 * i, sizeof half);
        out[i] = mebi__bf16_to_f32(half);
    }
    for (size_t i = 0; i < count && type == MEBI__F16; i++) {
        memcpy(&half, bytes + 2 * i, sizeof half);
        out[i] = mebi__f16_to_f32(half);
    }
}

void mebi__convert_to_f32(mebi__dtype type, const void *source, size_t count, float *out) {
    const unsigned char *bytes = source;
    mebi__decode decode = mebi__block_decoder(type);
    if (decode) decode(bytes, count / (size_t)mebi__dtype_block(type), out);
    else if (type == MEBI__F32) memcpy(out, source, count * sizeof *out);
    else if (type == MEBI__F8_E4M3)
        for (size_t i = 0; i < count; i++) out[i] = mebi__f8_e4m3_to_f32(bytes[i]);
    else if (type == MEBI__F8_E5M2)
        for (size_t i = 0; i < count; i++) out[i] = mebi__f8_e5m2_to_f32(bytes[i]);
    else if (type == MEBI__I8)
        for (size_t i = 0; i < count; i++) out[i] = (float)(int8_t)bytes[i];
    else halves_to_f32(type, bytes, count, out);
}

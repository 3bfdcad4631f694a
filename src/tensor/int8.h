/* The two forms in which int8 products read their operands, the same on every instruction set.
 *
 * A product y[m,n] = x[m,:] . w[n,:] is taken after both have been rotated: K is cut into groups, and
 * each group of x and of w is multiplied by the same orthonormal Hadamard matrix, which changes no
 * product and spreads an outlier over its group. Then each group of each row is divided by a scale of
 * its own and rounded: activations to -110..110, weights to -127..127 with neighbours (k even and k + 1)
 * that are together no larger than 148. So plain AVX2 can add two products of an offset activation (0..220)
 * and a weight in 16 bits, 220 * 148 < 2^15, and every instruction set computes the very same integers.
 * (Of all such bounds these make the two rounding errors together smallest for normal distributions.)
 *
 *   row (activations)     [K] u8: q + 110; then [K / group] f32 scales; padded to 64 bytes
 *   panel (16 weight rows) for each group: [group / 4][16][4] i8: q; then [16] f32 scales, [16] i32:
 *                          -110 times the sum of the row's q. Rows beyond the last are zeros.
 *
 * The matrix is used unnormalized, with entries of 1 and -1; the weights' side carries the factor
 * 1 / group, a power of two.
 *
 * y[m,n] = sum over groups of (sum of u8 * i8 + correction) * scale_w * scale_x, in f32, ascending.
 */
#ifndef MEBI_TENSOR_INT8_H
#define MEBI_TENSOR_INT8_H

#include <stddef.h>
#include <stdint.h>

enum {
    MEBI__INT8_LIMIT = 110,    /* of an activation's |q| */
    MEBI__INT8_WEIGHT = 127,   /* of a weight's |q| */
    MEBI__INT8_PAIR = 148,     /* of the sum of two neighbouring weights' |q| */
    MEBI__INT8_PANEL = 16,     /* weight rows of a panel */
    MEBI__INT8_GROUP = 256,    /* most elements of a group */
    MEBI__INT8_MULTIPLE = 32,  /* K is a multiple: the smallest group */
    MEBI__INT8_ALIGNMENT = 64, /* of both forms, in bytes */
    MEBI__INT8_VERSION = 2,    /* counts changes of what is packed: layout, rounding, folding */
};

/* A group whose largest magnitude is below is taken for zeros: its scale's inverse would overflow. */
#define MEBI__INT8_TINY 1e-30f

/* Elements of a group: the largest power of two that divides k, at most MEBI__INT8_GROUP. */
static inline int64_t mebi__int8_group(int64_t k) {
    int64_t power = k & -k;
    return power < MEBI__INT8_GROUP ? power : MEBI__INT8_GROUP;
}

/* Where the scales of a row of activations begin, in bytes. */
static inline size_t mebi__int8_scales_at(int64_t k) {
    return (size_t)k;
}

static inline size_t mebi__int8_row_bytes(int64_t k) {
    size_t bytes = (size_t)k + sizeof(float) * (size_t)(k / mebi__int8_group(k));
    return (bytes + MEBI__INT8_ALIGNMENT - 1) / MEBI__INT8_ALIGNMENT * MEBI__INT8_ALIGNMENT;
}

/* One group of one panel. */
static inline size_t mebi__int8_block_bytes(int64_t group) {
    return MEBI__INT8_PANEL * ((size_t)group + sizeof(float) + sizeof(int32_t));
}

static inline size_t mebi__int8_panel_bytes(int64_t k) {
    int64_t group = mebi__int8_group(k);
    return mebi__int8_block_bytes(group) * (size_t)(k / group);
}

#endif

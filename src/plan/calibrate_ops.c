/* The operations that calibration measures, made by the same functions that models call. Must never reach a
 * device: they are caught on their way.
 *
 * Sizes span a small model's (192 wide, pictures of 64 pixels) and the published one's (3840 wide); rates hardly
 * change beyond the largest here. */
#include "plan/calibrate_ops.h"

#include <math.h>
#include <string.h>

enum { WINDOW = 3, BYTES = 5, MATRICES = 3, ROWS = 6, KEYS = 4, HEADS = 3, CHANNELS = 4, SIDES = 4 };

static const int64_t product_rows[ROWS] = {1, 8, 32, 96, 288, 1056};
static const int64_t product_sides[MATRICES][2] = {{192, 192}, {768, 768}, {3840, 2560}}; /* K, N */
static const int64_t attention_keys[KEYS] = {32, 128, 512, 1536};
static const int64_t attention_heads[HEADS][2] = {{6, 32}, {8, 128}, {1, 512}}; /* heads, width */
static const int64_t conv_sides[SIDES] = {16, 64, 192, 512};
static const int64_t conv_channels[CHANNELS] = {16, 64, 128, 512};
static const double moved_bytes[BYTES] = {4e3, 6e4, 1e6, 8e6, 48e6};

/* ---- catching ---- */

typedef struct catcher {
    mebi__device head;
    mebi__op op;
} catcher;

static mebi_status caught(mebi__device *d, const mebi__op *op, mebi_error *err) {
    (void)err;
    ((catcher *)d)->op = *op;
    return MEBI_OK;
}

static const mebi__device_table catcher_table = {.name = "catcher", .imaginary = 1, .record = caught};

typedef struct maker {
    catcher device;
    mebi__stream s;
    mebi__buffer boundless;
    size_t used;
} maker;

static mebi__view take(maker *m, mebi__dtype type, int rank, const int64_t *dim) {
    mebi__view v = {.buffer = &m->boundless, .offset = m->used, .dtype = type, .shape = {.rank = rank}};
    memcpy(v.shape.dim, dim, sizeof *dim * (size_t)rank);
    m->used += (mebi__view_bytes(&v) + 63) & ~(size_t)63;
    return v;
}

static mebi__view take1(maker *m, int64_t n) {
    return take(m, MEBI__F32, 1, &n);
}

static mebi__view take2(maker *m, int64_t rows, int64_t width) {
    return take(m, MEBI__F32, 2, (int64_t[]){rows, width});
}

static mebi__view take3(maker *m, int64_t h, int64_t w, int64_t c) {
    return take(m, MEBI__F32, 3, (int64_t[]){h, w, c});
}

/* ---- classes ---- */

typedef struct class_of {
    mebi__op_kind kind;
    mebi__dtype type; /* of weights; of others the result's */
    int window;       /* of convolutions: 0 one pixel, 1 several, 2 behind a doubling */
} class_of;

static class_of class_at(int i) {
    const int convs = MEBI__DTYPE_COUNT, others = convs + MEBI__RATE_CONVS;
    if (i < convs) return (class_of){.kind = MEBI__OP_LINEAR, .type = (mebi__dtype)i};
    if (i < others)
        return (class_of){MEBI__OP_CONV2D, (i - convs) % 2 ? MEBI__BF16 : MEBI__F32, (i - convs) / 2};
    class_of c = {(mebi__op_kind)((i - others) / 2), (i - others) % 2 ? MEBI__INT8_ROWS : MEBI__F32, 0};
    if (c.kind == MEBI__OP_LINEAR_INT8) c.type = MEBI__INT8_PANELS;
    return c;
}

mebi__sample_sizes mebi__sample_sizes_of(int i) {
    switch (class_at(i).kind) {
    case MEBI__OP_LINEAR:
    case MEBI__OP_LINEAR_INT8: return (mebi__sample_sizes){ROWS, MATRICES};
    case MEBI__OP_CONV2D: return (mebi__sample_sizes){SIDES, CHANNELS};
    case MEBI__OP_ATTENTION: return (mebi__sample_sizes){KEYS, HEADS};
    default: return (mebi__sample_sizes){BYTES, 1};
    }
}

int mebi__sample_is_usual(int i) {
    const class_of c = class_at(i);
    switch (c.kind) {
    case MEBI__OP_LINEAR:
    case MEBI__OP_LINEAR_INT8:
    case MEBI__OP_CONV2D:
    case MEBI__OP_QUANTIZE: return 0;
    default: return c.type == MEBI__F32;
    }
}

/* ---- operations ---- */

static void make_linear(maker *m, mebi__dtype type, int row, int column) {
    int64_t k = product_sides[column][0], n = product_sides[column][1], rows = product_rows[row];
    const int int8 = type == MEBI__INT8_PANELS;
    const int64_t block = int8 ? 1 : mebi__dtype_block(type);
    if (k % block) n = n * k / block, k = block; /* as many elements, in whole blocks */
    mebi__view w = take(m, type, 2, (int64_t[]){n, k});
    mebi__view x = take(m, int8 ? MEBI__INT8_ROWS : MEBI__F32, 2, (int64_t[]){rows, k});
    mebi__linear(&m->s, x, w, (mebi__view){0}, take2(m, rows, n));
}

static void make_conv(maker *m, const class_of *c, int row, int column) {
    const int64_t side = conv_sides[row], channels = conv_channels[column], size = c->window ? WINDOW : 1;
    const int pad = (int)size / 2, up = c->window == 2 ? 2 : 1;
    mebi__conv_params how = {1, pad, pad, pad, pad, up};
    mebi__view w = take(m, c->type, 4, (int64_t[]){channels, size, size, channels});
    mebi__view x = take3(m, side / up, side / up, channels), b = take1(m, channels);
    mebi__conv2d(&m->s, x, w, b, (mebi__view){0}, how, take3(m, side, side, channels));
}

static void make_attention(maker *m, int row, int column) {
    const int64_t keys = attention_keys[row], heads = attention_heads[column][0];
    const int64_t width = heads * attention_heads[column][1];
    mebi__view q = take2(m, keys, width), k = take2(m, keys, width), v = take2(m, keys, width);
    mebi__attention(&m->s, q, k, v, (int)heads, (int)heads, 0, take2(m, keys, width));
}

/* About so many bytes in `tensors` tensors, in rows as wide as such models have them. */
typedef struct extent {
    int64_t rows, width;
} extent;

static extent extent_of(double bytes, int tensors, int64_t narrow, int64_t wide) {
    extent e = {.width = bytes < 4e6 ? narrow : wide};
    e.rows = (int64_t)(bytes / (4.0 * tensors * (double)e.width));
    if (e.rows < 1) e.rows = 1;
    return e;
}

static void make_norm_rope(maker *m, double bytes) {
    extent e = extent_of(bytes, 3, 192, 3840);
    const int64_t head = e.width == 192 ? 32 : 128;
    mebi__view x = take2(m, e.rows, e.width), cos = take2(m, e.rows, head / 2);
    mebi__view sin = take2(m, e.rows, head / 2);
    mebi__norm_rope(&m->s, x, (int)(e.width / head), take1(m, head), 1e-5f, cos, sin, MEBI__ROPE_PAIRS);
}

/* Pictures, channels last. */
static void make_image(maker *m, mebi__op_kind kind, double bytes) {
    extent e = extent_of(bytes, 2, 32, 128);
    const int64_t side = (int64_t)sqrt((double)e.rows), c = e.width;
    mebi__view x = take3(m, side, side, c), y = kind == MEBI__OP_GROUP_SUMS ? x : take3(m, side, side, c);
    mebi__view sums = take(m, MEBI__F64, 2, (int64_t[]){c < 32 ? c : 32, 3});
    if (kind == MEBI__OP_GROUP_SUMS) mebi__group_sums(&m->s, x, 0, sums);
    else if (kind == MEBI__OP_GROUP_NORM)
        mebi__group_norm(&m->s, x, sums, take1(m, c), take1(m, c), 1e-6f, 1, y);
    else
        mebi__permute(&m->s, x,
                      (mebi__permute_params){.dim = {side, side, c}, .stride = {side, 1, side * side}}, y);
}

static void make_rows(maker *m, const class_of *c, double bytes) {
    mebi__stream *s = &m->s;
    extent e = extent_of(bytes, 2, 192, 3840);
    const int64_t dim[2] = {e.rows, e.width};
    mebi__view x = take2(m, e.rows, e.width);
    switch (c->kind) {
    case MEBI__OP_QUANTIZE: mebi__quantize(s, x, take(m, MEBI__INT8_ROWS, 2, dim)); break;
    case MEBI__OP_RMS_NORM:
        mebi__rms_norm(s, x, take1(m, e.width), take1(m, e.width), 1e-5f, take(m, c->type, 2, dim));
        break;
    case MEBI__OP_LAYER_NORM: mebi__layer_norm(s, x, take1(m, e.width), 1e-6f, take2(m, e.rows, e.width)); break;
    case MEBI__OP_GATED_RESIDUAL:
        mebi__gated_residual(s, x, take2(m, e.rows, e.width), take1(m, e.width), 1e-5f, take1(m, e.width));
        break;
    case MEBI__OP_SILU: mebi__silu(s, x, take2(m, e.rows, e.width)); break;
    case MEBI__OP_COMBINE: mebi__combine(s, 0.5f, x, 1, take2(m, e.rows, e.width)); break;
    case MEBI__OP_AFFINE: mebi__affine(s, x, 0.5f, 0.5f, take2(m, e.rows, e.width)); break;
    case MEBI__OP_COPY: mebi__copy(s, x, take2(m, e.rows, e.width)); break;
    case MEBI__OP_FILL_ROWS: mebi__fill_rows(s, take1(m, e.width), x); break;
    case MEBI__OP_GUIDE: mebi__guide(s, x, take2(m, e.rows, e.width), 0.5f, 1); break;
    case MEBI__OP_TO_PIXELS: mebi__to_pixels(s, x, take(m, MEBI__U8, 2, dim)); break;
    case MEBI__OP_CHECK_FINITE: mebi__check_finite(s, x, take(m, MEBI__I32, 1, (int64_t[]){1})); break;
    default: break;
    }
}

static void make(maker *m, const class_of *c, int row, int column) {
    const double bytes = moved_bytes[row < BYTES ? row : BYTES - 1];
    switch (c->kind) {
    case MEBI__OP_LINEAR:
    case MEBI__OP_LINEAR_INT8: make_linear(m, c->type, row, column); break;
    case MEBI__OP_CONV2D: make_conv(m, c, row, column); break;
    case MEBI__OP_ATTENTION: make_attention(m, row, column); break;
    case MEBI__OP_NORM_ROPE: make_norm_rope(m, bytes); break;
    case MEBI__OP_GROUP_SUMS:
    case MEBI__OP_GROUP_NORM:
    case MEBI__OP_PERMUTE: make_image(m, c->kind, bytes); break;
    case MEBI__OP_SWIGLU: {
        extent e = extent_of(bytes, 3, 512, 10240);
        mebi__view a = take2(m, e.rows, e.width), b = take2(m, e.rows, e.width);
        mebi__swiglu(&m->s, a, b, take(m, c->type, 2, (int64_t[]){e.rows, e.width}));
        break;
    }
    case MEBI__OP_EMBED: {
        extent e = extent_of(bytes, 2, 192, 2560);
        mebi__view ids = take(m, MEBI__I32, 1, &e.rows), w = take(m, MEBI__BF16, 2, (int64_t[]){e.rows, e.width});
        mebi__embed(&m->s, ids, w, take2(m, e.rows, e.width));
        break;
    }
    default: make_rows(m, c, bytes); break;
    }
}

mebi_status mebi__sample_of(int class_index, int row, int column, mebi__buffer *memory, mebi__sample *out,
                            mebi_error *err) {
    const class_of c = class_at(class_index);
    maker m = {.device.head.table = &catcher_table, .boundless = {.bytes = SIZE_MAX}};
    m.s = (mebi__stream){.device = &m.device.head, .memory = &m.boundless, .err = err};
    make(&m, &c, row, column);
    MEBI_TRY(m.s.status);
    mebi__view *all[] = {&m.device.op.x,  &m.device.op.w,  &m.device.op.b,
                         &m.device.op.y,  &m.device.op.a1, &m.device.op.a2};
    for (int i = 0; i < 6; i++)
        if (all[i]->buffer) all[i]->buffer = memory;
    *out = (mebi__sample){m.device.op, m.used};
    if (mebi__rate_place_of(&out->op).of != class_index)
        return mebi__fail(err, MEBI_INTERNAL, "Calibration doesn't know operations of the kind %s.",
                          mebi__rate_name_of(class_index).text);
    return MEBI_OK;
}

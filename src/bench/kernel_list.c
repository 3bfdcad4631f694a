/* Shapes of the published model: 1 row (modulation), 61 (a prompt), 288, 1088 and 4160 (a step at 256, 512 and
 * 1024 pixels squared), and the decoder's images at 512. */
#include "bench/kernel_list.h"

#include <assert.h>
#include <stdio.h>

typedef struct list {
    mebi__bench_shape *shape;
    int count, capacity;
} list;

static void add(list *l, mebi__bench_shape shape) {
    assert(l->count < l->capacity);
    l->shape[l->count++] = shape;
}

static void add_products(list *l, mebi__dtype type) {
    static const int64_t rows[] = {1, 61, 288, 1088};
    static const int64_t widths[][2] = {{3840, 3840}, {3840, 10240}, {10240, 3840}};
    mebi__op_kind kind = type == MEBI__INT8_PANELS ? MEBI__OP_LINEAR_INT8 : MEBI__OP_LINEAR;
    for (int w = 0; w < 3; w++)
        for (int r = 0; r < 4; r++)
            add(l, (mebi__bench_shape){
                       .kind = kind, .type = type, .rows = rows[r], .in = widths[w][0], .out = widths[w][1]});
    add(l, (mebi__bench_shape){.kind = kind, .type = type, .rows = 4160, .in = 3840, .out = 10240});
    add(l, (mebi__bench_shape){.kind = kind, .type = type, .rows = 61, .in = 2560, .out = 9728});
}

static void add_attention(list *l) {
    static const mebi__bench_shape shapes[] = {
        {.rows = 288, .in = 128, .heads = 30, .kv_heads = 30},
        {.rows = 1088, .in = 128, .heads = 30, .kv_heads = 30},
        {.rows = 4160, .in = 128, .heads = 30, .kv_heads = 30},
        {.rows = 61, .in = 128, .heads = 32, .kv_heads = 8, .causal = 1},
        {.rows = 4096, .in = 512, .heads = 1, .kv_heads = 1},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        mebi__bench_shape s = shapes[i];
        s.kind = MEBI__OP_ATTENTION;
        add(l, s);
    }
}

static void add_images(list *l) {
    static const struct {
        int64_t side, in, out;
        int window, upsample;
    } conv[] = {{64, 16, 512, 3, 1},   {64, 512, 512, 3, 1},  {64, 512, 512, 3, 2},
                {128, 512, 512, 3, 1}, {256, 512, 256, 3, 1}, {256, 512, 256, 1, 1},
                {256, 256, 256, 3, 1}, {512, 128, 128, 3, 1}, {512, 128, 3, 3, 1}};
    for (size_t i = 0; i < sizeof conv / sizeof *conv; i++)
        add(l, (mebi__bench_shape){.kind = MEBI__OP_CONV2D, .type = MEBI__BF16, .side = conv[i].side,
                                   .in = conv[i].in, .out = conv[i].out, .window = conv[i].window,
                                   .upsample = conv[i].upsample});
    add(l, (mebi__bench_shape){.kind = MEBI__OP_GROUP_NORM, .side = 128, .in = 512});
    add(l, (mebi__bench_shape){.kind = MEBI__OP_GROUP_NORM, .side = 512, .in = 128});
}

int mebi__bench_list_kernels(mebi__bench_shape *shapes, int capacity) {
    static const mebi__op_kind rows[] = {MEBI__OP_QUANTIZE,   MEBI__OP_RMS_NORM, MEBI__OP_LAYER_NORM,
                                         MEBI__OP_NORM_ROPE,  MEBI__OP_GATED_RESIDUAL,
                                         MEBI__OP_COMBINE};
    list l = {shapes, 0, capacity};
    add_products(&l, MEBI__F32);
    add_products(&l, MEBI__BF16);
    add_products(&l, MEBI__INT8_PANELS);
    add_attention(&l);
    add_images(&l);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        add(&l, (mebi__bench_shape){.kind = rows[i], .rows = 1088, .in = 3840, .heads = 30});
    add(&l, (mebi__bench_shape){.kind = MEBI__OP_SWIGLU, .rows = 1088, .in = 10240});
    add(&l, (mebi__bench_shape){.kind = MEBI__OP_QUANTIZE, .rows = 1088, .in = 10240});
    return l.count;
}

static int64_t at_most(int64_t n, int64_t limit) {
    return n < limit ? n : limit;
}

mebi__bench_shape mebi__bench_smaller(const mebi__bench_shape *shape) {
    mebi__bench_shape s = *shape;
    s.rows = at_most(s.rows, 37);
    s.out = at_most(s.out, 40);
    s.side = at_most(s.side, 11);
    if (s.kind != MEBI__OP_ATTENTION) return s;
    s.rows = at_most(shape->rows, 150); /* more than a block of keys */
    s.heads = s.heads / s.kv_heads * (s.kv_heads > 1 ? 2 : 1);
    s.kv_heads = s.kv_heads > 1 ? 2 : 1;
    return s;
}

void mebi__bench_kernel_name(const mebi__bench_shape *s, char *text, size_t bytes) {
    int rows = (int)s->rows, in = (int)s->in, out = (int)s->out, side = (int)s->side;
    switch (s->kind) {
    case MEBI__OP_LINEAR:
    case MEBI__OP_LINEAR_INT8:
        snprintf(text, bytes, "linear %s %dx%d->%d",
                 s->type == MEBI__INT8_PANELS ? "int8"
                 : s->type == MEBI__BF16      ? "bf16"
                                              : "f32",
                 rows, in, out);
        break;
    case MEBI__OP_ATTENTION:
        snprintf(text, bytes, "attention %d, %d/%d heads of %d%s", rows, s->heads, s->kv_heads, in,
                 s->causal ? ", causal" : "");
        break;
    case MEBI__OP_CONV2D:
        snprintf(text, bytes, "conv %dx%d, %d->%d at %dx%d%s", s->window, s->window, in, out, side, side,
                 s->upsample > 1 ? " doubled" : "");
        break;
    case MEBI__OP_GROUP_NORM: snprintf(text, bytes, "group norm %dx%dx%d", side, side, in); break;
    case MEBI__OP_QUANTIZE: snprintf(text, bytes, "quantize %dx%d", rows, in); break;
    case MEBI__OP_RMS_NORM: snprintf(text, bytes, "rms norm %dx%d", rows, in); break;
    case MEBI__OP_LAYER_NORM: snprintf(text, bytes, "layer norm %dx%d", rows, in); break;
    case MEBI__OP_NORM_ROPE: snprintf(text, bytes, "norm and rope %dx%d", rows, in); break;
    case MEBI__OP_GATED_RESIDUAL: snprintf(text, bytes, "gated residual %dx%d", rows, in); break;
    case MEBI__OP_SWIGLU: snprintf(text, bytes, "swiglu %dx%d", rows, in); break;
    case MEBI__OP_COMBINE: snprintf(text, bytes, "add %dx%d", rows, in); break;
    default: snprintf(text, bytes, "%s", mebi__op_name(s->kind));
    }
}

/* The operations' front: every argument is checked here, once, for all backends.
 *
 * A failed check is a defect of the model code or of a model file that slipped through its
 * validation; it fails the stream with a sentence and never reaches a backend. */
#include "compute/ops.h"
#include "tensor/int8.h"

#include <math.h>
#include <string.h>

const char *mebi__op_name(mebi__op_kind kind) {
    static const char *const names[] = {
#define X(kind) #kind,
        MEBI__OP_MAP(X)
#undef X
    };
    return names[kind];
}

/* One check: the first that fails fails the stream. */
static int require(mebi__stream *s, mebi__op_kind kind, int holds, const char *what) {
    if (holds || s->status != MEBI_OK) return s->status == MEBI_OK;
    s->status = mebi__fail(s->err, MEBI_INTERNAL, "Operation %s: %s.", mebi__op_name(kind), what);
    return 0;
}

/* The view exists, has this type and rank, lies inside its buffer, and is aligned. */
static int is_view(mebi__stream *s, mebi__op_kind kind, const mebi__view *v, mebi__dtype type,
                   int rank) {
    size_t bytes, end;
    return require(s, kind, v->buffer != NULL, "a tensor is missing") &&
           require(s, kind, v->dtype == type, "a tensor has the wrong type") &&
           require(s, kind, rank < 0 || v->shape.rank == rank, "a tensor has the wrong rank") &&
           require(s, kind, mebi__shape_bytes(&v->shape, type, &bytes), "a shape is not valid") &&
           require(s, kind, v->offset % mebi__dtype_alignment(type) == 0, "a tensor is misaligned") &&
           require(s, kind,
                   !__builtin_add_overflow(v->offset, bytes, &end) &&
                       end <= v->buffer->bytes,
                   "a tensor reaches beyond its buffer");
}

/* Of a convolution, whose weights are turned when they are loaded: f32 or bf16. */
static int is_weight(mebi__stream *s, mebi__op_kind kind, const mebi__view *w, int rank) {
    return is_view(s, kind, w, w->dtype == MEBI__BF16 ? MEBI__BF16 : MEBI__F32, rank);
}

/* A matrix as model files have it: of any type with values, perhaps with a scale. */
static int is_matrix(mebi__stream *s, mebi__op_kind kind, const mebi__view *w) {
    return is_view(s, kind, w, mebi__dtype_decodes(w->dtype) ? w->dtype : MEBI__F32, 2) &&
           require(s, kind, isfinite(w->scale), "a scale is not finite");
}

/* An optional vector of n values. */
static int is_vector(mebi__stream *s, mebi__op_kind kind, const mebi__view *v, int64_t n,
                     int optional) {
    if (optional && !v->buffer) return s->status == MEBI_OK;
    return is_view(s, kind, v, MEBI__F32, 1) &&
           require(s, kind, v->shape.dim[0] == n, "a vector has the wrong length");
}

static int same_shape(mebi__stream *s, mebi__op_kind kind, const mebi__view *a,
                      const mebi__view *b) {
    return require(s, kind, mebi__shape_equal(&a->shape, &b->shape), "shapes differ");
}

/* Output y and input x share no byte, or are the same tensor and that is allowed. */
static int no_overlap(mebi__stream *s, mebi__op_kind kind, const mebi__view *y, const mebi__view *x,
                      int may_be_same) {
    if (!x->buffer || x->buffer != y->buffer || s->status != MEBI_OK) return s->status == MEBI_OK;
    size_t ye = y->offset + mebi__view_bytes(y), xe = x->offset + mebi__view_bytes(x);
    int apart = y->offset >= xe || x->offset >= ye;
    return require(s, kind, apart || (may_be_same && x->offset == y->offset && xe == ye),
                   "output and input overlap");
}

/* The output y shares no byte with any input; may_be: the one input that it may be itself. */
static void record(mebi__stream *s, const mebi__op *op, const mebi__view *may_be) {
    const mebi__view *input[] = {&op->x, &op->w, &op->b, &op->a1, &op->a2};
    for (int i = 0; i < 5; i++)
        if (!no_overlap(s, op->kind, &op->y, input[i], input[i] == may_be)) return;
    if (s->status == MEBI_OK) s->status = s->device->table->record(s->device, op, s->err);
}

void mebi__linear(mebi__stream *s, mebi__view x, mebi__view w, mebi__view b, mebi__view y) {
    mebi__op op = {.kind = MEBI__OP_LINEAR, .x = x, .w = w, .b = b, .y = y};
    int int8 = w.dtype == MEBI__INT8_PANELS;
    if (int8) op.kind = MEBI__OP_LINEAR_INT8;
    if (is_view(s, op.kind, &x, int8 ? MEBI__INT8_ROWS : MEBI__F32, 2) &&
        (int8 ? is_view(s, op.kind, &w, MEBI__INT8_PANELS, 2) : is_matrix(s, op.kind, &w)) &&
        is_view(s, op.kind, &y, MEBI__F32, 2) && is_vector(s, op.kind, &b, w.shape.dim[0], 1) &&
        require(s, op.kind,
                x.shape.dim[0] == y.shape.dim[0] && x.shape.dim[1] == w.shape.dim[1] &&
                    y.shape.dim[1] == w.shape.dim[0],
                "shapes differ"))
        record(s, &op, NULL);
}

void mebi__quantize(mebi__stream *s, mebi__view x, mebi__view y) {
    mebi__op op = {.kind = MEBI__OP_QUANTIZE, .x = x, .y = y};
    if (is_view(s, op.kind, &x, MEBI__F32, 2) && is_view(s, op.kind, &y, MEBI__INT8_ROWS, 2) &&
        same_shape(s, op.kind, &x, &y))
        record(s, &op, NULL);
}

void mebi__embed(mebi__stream *s, mebi__view ids, mebi__view w, mebi__view y) {
    mebi__op op = {.kind = MEBI__OP_EMBED, .x = ids, .w = w, .y = y};
    if (is_view(s, op.kind, &ids, MEBI__I32, 1) && is_matrix(s, op.kind, &w) &&
        is_view(s, op.kind, &y, MEBI__F32, 2) &&
        require(s, op.kind,
                y.shape.dim[0] == ids.shape.dim[0] && y.shape.dim[1] == w.shape.dim[1],
                "shapes differ"))
        record(s, &op, NULL);
}

/* The result of an operation that can quantize it at once. */
static int is_rows(mebi__stream *s, mebi__op_kind kind, const mebi__view *y) {
    int int8 = y->dtype == MEBI__INT8_ROWS && y->shape.rank == 2 &&
               y->shape.dim[1] % MEBI__INT8_MULTIPLE == 0;
    return is_view(s, kind, y, int8 ? MEBI__INT8_ROWS : MEBI__F32, 2);
}

void mebi__rms_norm(mebi__stream *s, mebi__view x, mebi__view w, mebi__view scale, float eps,
                    mebi__view y) {
    mebi__op op = {.kind = MEBI__OP_RMS_NORM, .x = x, .w = w, .a1 = scale, .y = y, .eps = eps};
    if (is_view(s, op.kind, &x, MEBI__F32, 2) && is_rows(s, op.kind, &y) &&
        same_shape(s, op.kind, &x, &y) && is_vector(s, op.kind, &w, x.shape.dim[1], 0) &&
        is_vector(s, op.kind, &scale, x.shape.dim[1], 1))
        record(s, &op, &op.x);
}

void mebi__layer_norm(mebi__stream *s, mebi__view x, mebi__view scale, float eps, mebi__view y) {
    mebi__op op = {.kind = MEBI__OP_LAYER_NORM, .x = x, .a1 = scale, .y = y, .eps = eps};
    if (is_view(s, op.kind, &x, MEBI__F32, 2) && is_view(s, op.kind, &y, MEBI__F32, 2) &&
        same_shape(s, op.kind, &x, &y) && is_vector(s, op.kind, &scale, x.shape.dim[1], 0))
        record(s, &op, &op.x);
}

void mebi__norm_rope(mebi__stream *s, mebi__view x, int heads, mebi__view w, float eps,
                     mebi__view cos, mebi__view sin, mebi__rope_style style) {
    mebi__op op = {.kind = MEBI__OP_NORM_ROPE, .x = x, .w = w, .a1 = cos, .a2 = sin, .y = x,
                   .eps = eps, .heads = heads, .flag = (int)style};
    if (!is_view(s, op.kind, &x, MEBI__F32, 2) ||
        !require(s, op.kind, heads > 0 && x.shape.dim[1] % (2 * (int64_t)heads) == 0,
                 "heads don't divide the width into even parts"))
        return;
    int64_t half = x.shape.dim[1] / heads / 2;
    if (is_vector(s, op.kind, &w, 2 * half, 0) && is_view(s, op.kind, &cos, MEBI__F32, 2) &&
        is_view(s, op.kind, &sin, MEBI__F32, 2) && same_shape(s, op.kind, &cos, &sin) &&
        require(s, op.kind, cos.shape.dim[0] == x.shape.dim[0] && cos.shape.dim[1] == half,
                "the table of angles has the wrong shape"))
        record(s, &op, &op.x);
}

void mebi__attention(mebi__stream *s, mebi__view q, mebi__view k, mebi__view v, int heads,
                     int kv_heads, int causal, mebi__view o) {
    mebi__op op = {.kind = MEBI__OP_ATTENTION, .x = q, .a1 = k, .a2 = v, .y = o, .heads = heads,
                   .kv_heads = kv_heads, .flag = causal != 0};
    if (is_view(s, op.kind, &q, MEBI__F32, 2) && is_view(s, op.kind, &k, MEBI__F32, 2) &&
        is_view(s, op.kind, &v, MEBI__F32, 2) && is_view(s, op.kind, &o, MEBI__F32, 2) &&
        same_shape(s, op.kind, &q, &o) && same_shape(s, op.kind, &k, &v) &&
        require(s, op.kind,
                heads > 0 && kv_heads > 0 && heads % kv_heads == 0 && q.shape.dim[1] % heads == 0 &&
                    k.shape.dim[1] == q.shape.dim[1] / heads * kv_heads,
                "heads don't fit the widths") &&
        require(s, op.kind, !causal || q.shape.dim[0] == k.shape.dim[0],
                "causal attention needs as many keys as queries"))
        record(s, &op, NULL);
}

void mebi__swiglu(mebi__stream *s, mebi__view a, mebi__view b, mebi__view y) {
    mebi__op op = {.kind = MEBI__OP_SWIGLU, .x = a, .a1 = b, .y = y};
    if (is_view(s, op.kind, &a, MEBI__F32, 2) && is_view(s, op.kind, &b, MEBI__F32, 2) &&
        is_rows(s, op.kind, &y) && same_shape(s, op.kind, &a, &b) &&
        same_shape(s, op.kind, &a, &y))
        record(s, &op, &op.x);
}

void mebi__gated_residual(mebi__stream *s, mebi__view x, mebi__view y, mebi__view w, float eps,
                          mebi__view gate) {
    /* The result is x: recorded as output y, the branch as input x. */
    mebi__op op = {.kind = MEBI__OP_GATED_RESIDUAL, .x = y, .w = w, .a1 = gate, .y = x, .eps = eps};
    if (is_view(s, op.kind, &x, MEBI__F32, 2) && is_view(s, op.kind, &y, MEBI__F32, 2) &&
        same_shape(s, op.kind, &x, &y) && is_vector(s, op.kind, &w, x.shape.dim[1], 0) &&
        is_vector(s, op.kind, &gate, x.shape.dim[1], 1))
        record(s, &op, NULL);
}

void mebi__silu(mebi__stream *s, mebi__view x, mebi__view y) {
    mebi__op op = {.kind = MEBI__OP_SILU, .x = x, .y = y};
    if (is_view(s, op.kind, &x, MEBI__F32, -1) && is_view(s, op.kind, &y, MEBI__F32, -1) &&
        same_shape(s, op.kind, &x, &y))
        record(s, &op, &op.x);
}

void mebi__combine(mebi__stream *s, float alpha, mebi__view x, float beta, mebi__view y) {
    mebi__op op = {.kind = MEBI__OP_COMBINE, .x = x, .y = y, .alpha = alpha, .beta = beta};
    if (is_view(s, op.kind, &x, MEBI__F32, -1) && is_view(s, op.kind, &y, MEBI__F32, -1) &&
        same_shape(s, op.kind, &x, &y))
        record(s, &op, NULL);
}

void mebi__affine(mebi__stream *s, mebi__view x, float alpha, float beta, mebi__view y) {
    mebi__op op = {.kind = MEBI__OP_AFFINE, .x = x, .y = y, .alpha = alpha, .beta = beta};
    if (is_view(s, op.kind, &x, MEBI__F32, -1) && is_view(s, op.kind, &y, MEBI__F32, -1) &&
        same_shape(s, op.kind, &x, &y))
        record(s, &op, &op.x);
}

static int conv_fits(const mebi__conv_params *p, const mebi__view *x, const mebi__view *w,
                     const mebi__view *y) {
    const int64_t *xd = x->shape.dim, *wd = w->shape.dim, *yd = y->shape.dim;
    int pads[4] = {p->top, p->left, p->bottom, p->right};
    for (int i = 0; i < 4; i++)
        if (pads[i] < 0 || pads[i] > 8) return 0;
    if (p->stride < 1 || p->stride > 2 || p->upsample < 1 || p->upsample > 2) return 0;
    if (wd[1] < 1 || wd[1] > 7 || wd[2] < 1 || wd[2] > 7) return 0;
    int64_t h = xd[0] * p->upsample + p->top + p->bottom - wd[1];
    int64_t v = xd[1] * p->upsample + p->left + p->right - wd[2];
    return h >= 0 && v >= 0 && yd[0] == h / p->stride + 1 && yd[1] == v / p->stride + 1 &&
           xd[2] == wd[3] && yd[2] == wd[0];
}

void mebi__conv2d(mebi__stream *s, mebi__view x, mebi__view w, mebi__view b, mebi__view residual,
                  mebi__conv_params params, mebi__view y) {
    mebi__op op = {.kind = MEBI__OP_CONV2D, .x = x, .w = w, .b = b, .a1 = residual, .y = y,
                   .conv = params};
    if (is_view(s, op.kind, &x, MEBI__F32, 3) && is_weight(s, op.kind, &w, 4) &&
        is_view(s, op.kind, &y, MEBI__F32, 3) && is_vector(s, op.kind, &b, w.shape.dim[0], 0) &&
        require(s, op.kind, conv_fits(&params, &x, &w, &y), "shapes or parameters don't fit") &&
        (!residual.buffer || (is_view(s, op.kind, &residual, MEBI__F32, 3) &&
                              same_shape(s, op.kind, &residual, &y))))
        record(s, &op, &op.a1);
}

/* sums[groups, 3] of an image whose channels the groups divide. */
static int are_sums(mebi__stream *s, mebi__op_kind kind, const mebi__view *x, const mebi__view *sums) {
    return is_view(s, kind, x, MEBI__F32, 3) && is_view(s, kind, sums, MEBI__F64, 2) &&
           require(s, kind, sums->shape.dim[1] == 3, "a group has three sums") &&
           require(s, kind, x->shape.dim[2] % sums->shape.dim[0] == 0, "groups don't divide the channels");
}

void mebi__group_sums(mebi__stream *s, mebi__view x, int more, mebi__view sums) {
    mebi__op op = {.kind = MEBI__OP_GROUP_SUMS, .x = x, .y = sums, .flag = more != 0};
    if (are_sums(s, op.kind, &x, &sums)) record(s, &op, NULL);
}

void mebi__group_norm(mebi__stream *s, mebi__view x, mebi__view sums, mebi__view w, mebi__view b,
                      float eps, int silu, mebi__view y) {
    mebi__op op = {.kind = MEBI__OP_GROUP_NORM, .x = x, .w = w, .b = b, .a1 = sums, .y = y, .eps = eps,
                   .flag = silu != 0};
    if (are_sums(s, op.kind, &x, &sums) && is_view(s, op.kind, &y, MEBI__F32, 3) &&
        same_shape(s, op.kind, &x, &y) && is_vector(s, op.kind, &w, x.shape.dim[2], 0) &&
        is_vector(s, op.kind, &b, x.shape.dim[2], 0))
        record(s, &op, &op.x);
}

/* Every index the strides can reach is inside x, and y has as many elements as dims say. */
static int permute_fits(const mebi__permute_params *p, const mebi__view *x, const mebi__view *y) {
    int64_t last = 0, count = 1, reach;
    for (int i = 0; i < 6; i++) {
        if (p->dim[i] < 1 || p->stride[i] < 0 ||
            __builtin_mul_overflow(p->dim[i] - 1, p->stride[i], &reach) ||
            __builtin_add_overflow(last, reach, &last) ||
            __builtin_mul_overflow(count, p->dim[i], &count))
            return 0;
    }
    return (size_t)last < mebi__view_elements(x) && (size_t)count == mebi__view_elements(y);
}

void mebi__permute(mebi__stream *s, mebi__view x, mebi__permute_params params, mebi__view y) {
    for (int i = 0; i < 6; i++)
        if (params.dim[i] == 0) params.dim[i] = 1;
    mebi__op op = {.kind = MEBI__OP_PERMUTE, .x = x, .y = y, .permute = params};
    if (is_view(s, op.kind, &x, MEBI__F32, -1) && is_view(s, op.kind, &y, MEBI__F32, -1) &&
        require(s, op.kind, permute_fits(&params, &x, &y), "strides don't fit the tensors"))
        record(s, &op, NULL);
}

void mebi__copy(mebi__stream *s, mebi__view x, mebi__view y) {
    mebi__op op = {.kind = MEBI__OP_COPY, .x = x, .y = y};
    if (is_view(s, op.kind, &x, x.dtype, -1) && is_view(s, op.kind, &y, x.dtype, -1) &&
        same_shape(s, op.kind, &x, &y))
        record(s, &op, NULL);
}

void mebi__fill_rows(mebi__stream *s, mebi__view row, mebi__view y) {
    mebi__op op = {.kind = MEBI__OP_FILL_ROWS, .x = row, .y = y};
    if (is_view(s, op.kind, &y, MEBI__F32, 2) && is_vector(s, op.kind, &row, y.shape.dim[1], 0))
        record(s, &op, NULL);
}

void mebi__guide(mebi__stream *s, mebi__view pos, mebi__view neg, float scale, float cap) {
    mebi__op op = {.kind = MEBI__OP_GUIDE, .x = neg, .y = pos, .alpha = scale, .beta = cap};
    if (is_view(s, op.kind, &pos, MEBI__F32, -1) && is_view(s, op.kind, &neg, MEBI__F32, -1) &&
        same_shape(s, op.kind, &pos, &neg))
        record(s, &op, NULL);
}

void mebi__to_pixels(mebi__stream *s, mebi__view x, mebi__view y) {
    mebi__op op = {.kind = MEBI__OP_TO_PIXELS, .x = x, .y = y};
    if (is_view(s, op.kind, &x, MEBI__F32, -1) && is_view(s, op.kind, &y, MEBI__U8, -1) &&
        same_shape(s, op.kind, &x, &y))
        record(s, &op, NULL);
}

void mebi__check_finite(mebi__stream *s, mebi__view x, mebi__view flag) {
    mebi__op op = {.kind = MEBI__OP_CHECK_FINITE, .x = x, .y = flag};
    if (is_view(s, op.kind, &x, MEBI__F32, -1) && is_view(s, op.kind, &flag, MEBI__I32, 1) &&
        require(s, op.kind, flag.shape.dim[0] == 1, "the flag is one number"))
        record(s, &op, NULL);
}

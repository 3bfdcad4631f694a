/* The table of operations: everything a model is made of.
 *
 * Each function validates its arguments once, for all backends, and records the operation on the
 * stream's device. Errors stick to the stream: after the first one every further call does nothing,
 * so model code reads as the formula it is and checks once, at mebi__stream_submit or _wait.
 *
 * Letters: M rows (tokens), K inputs, N outputs, D width, S sequence, H height, W width, C channels.
 * Views are f32 unless it says otherwise. Weights w of linear and embed are of any type that has values
 * (f32, f16, bf16, 8-bit floats, GGUF's blocks: then K is whole blocks), those of linear also int8, those
 * of conv2d f32 or bf16; all other weights (norms, biases) are f32. Products accumulate in f32. Outputs
 * must not overlap inputs unless "may be" says so.
 */
#ifndef MEBI_COMPUTE_OPS_H
#define MEBI_COMPUTE_OPS_H

#include "base/arena.h"
#include "compute/device.h"

/* X(kind): one per operation. */
#define MEBI__OP_MAP(X)                                                                            \
    X(LINEAR)                                                                                      \
    X(LINEAR_INT8)                                                                                 \
    X(QUANTIZE)                                                                                    \
    X(EMBED)                                                                                       \
    X(RMS_NORM)                                                                                    \
    X(LAYER_NORM)                                                                                  \
    X(NORM_ROPE)                                                                                   \
    X(ATTENTION)                                                                                   \
    X(SWIGLU)                                                                                      \
    X(GATED_RESIDUAL)                                                                              \
    X(SILU)                                                                                        \
    X(COMBINE)                                                                                     \
    X(AFFINE)                                                                                      \
    X(CONV2D)                                                                                      \
    X(GROUP_SUMS)                                                                                  \
    X(GROUP_NORM)                                                                                  \
    X(PERMUTE)                                                                                     \
    X(COPY)                                                                                        \
    X(FILL_ROWS)                                                                                   \
    X(GUIDE)                                                                                       \
    X(TO_PIXELS)                                                                                   \
    X(CHECK_FINITE)

typedef enum mebi__op_kind {
#define X(kind) MEBI__OP_##kind,
    MEBI__OP_MAP(X)
#undef X
        MEBI__OP_COUNT
} mebi__op_kind;

typedef enum mebi__rope_style {
    MEBI__ROPE_PAIRS,  /* rotates (2i, 2i+1): the DiT */
    MEBI__ROPE_HALVES, /* rotates (i, i + half): Qwen3 */
} mebi__rope_style;

/* 2-D convolution over a channels-last image. */
typedef struct mebi__conv_params {
    int stride;                   /* 1 or 2 */
    int top, left, bottom, right; /* zero padding, 0 to 8 each, after upsampling */
    int upsample;                 /* 1, or 2: x is first enlarged by 2, nearest neighbour */
} mebi__conv_params;

/* y[i0,...,i5] = x[sum of i * stride], in elements; unused trailing dims are 1. */
typedef struct mebi__permute_params {
    int64_t dim[6], stride[6];
} mebi__permute_params;

/* One recorded operation, as a backend sees it. Only the fields its kind uses are set. */
typedef struct mebi__op {
    mebi__op_kind kind;
    mebi__view x, w, b, y; /* input, weight, bias (or second weight), output */
    mebi__view a1, a2;     /* further inputs, named at each operation */
    float eps, alpha, beta;
    int heads, kv_heads, flag;
    mebi__conv_params conv;
    mebi__permute_params permute;
} mebi__op;

/* A stream of work on one device: where tensors come from and where errors go. */
typedef struct mebi__stream {
    mebi__device *device;
    mebi__buffer *memory; /* the job's one block; a dry device's is imaginary */
    mebi__arena arena;
    mebi_status status; /* sticky */
    mebi_error *err;    /* caller's; may be NULL */
    int exact;          /* 1: products in the weights' own precision, though a packed form exists */
    int exact_runs;     /* counts what had to be done again that way */
    int (*cancelled)(void *context); /* asked at each submit; may be NULL */
    void *cancel_context;
    /* Told at each named stage of a forward pass (index -1: there is only one); may be NULL. It may
     * download the view, and wait. */
    void (*observe)(void *context, struct mebi__stream *s, const char *stage, int index,
                    mebi__view view);
    void *observe_context;
    /* Told that from now on a layer's weights are read, and those of the one before it no more; next is
     * the layer after it, -1: unknown or none. For weights that come and go; may be NULL. */
    void (*turn)(void *context, int layer, int next);
    void *turn_context;
} mebi__stream;

/* A tensor from the job's arena; given back with _give. On failure the stream is failed and the
 * view has no buffer. */
mebi__view mebi__take(mebi__stream *s, mebi__dtype type, int rank, const int64_t *dim);
mebi__view mebi__take1(mebi__stream *s, mebi__dtype type, int64_t d0);
mebi__view mebi__take2(mebi__stream *s, mebi__dtype type, int64_t d0, int64_t d1);
mebi__view mebi__take3(mebi__stream *s, mebi__dtype type, int64_t d0, int64_t d1, int64_t d2);
/* Nulls the view; a view without buffer is fine. */
void mebi__give(mebi__stream *s, mebi__view *view);

/* Hands the recorded work to the device. Model code does so once a layer: between two submits a
 * cancelled job stops, with MEBI_CANCELLED. */
mebi_status mebi__stream_submit(mebi__stream *s);
/* Submits, and returns when everything is done. */
mebi_status mebi__stream_wait(mebi__stream *s);

/* A layer's turn: calls the stream's hook, if any. */
void mebi__turn(mebi__stream *s, int layer, int next);
/* A named stage has been reached with this result: calls the stream's observer, if any. */
void mebi__stage(mebi__stream *s, const char *stage, int index, mebi__view view);

/* from: as many bytes as the view has; copied before the call returns. */
void mebi__upload(mebi__stream *s, mebi__view to, const void *from);
/* to is filled once mebi__stream_wait has returned MEBI_OK, and must stay until then. */
void mebi__download(mebi__stream *s, mebi__view from, void *to);

/* y[M,N] = x[M,K] w[N,K]^T (+ b[N] if given). w INT8_PANELS: x is INT8_ROWS, and the product is that
 * of tensor/int8.h, the same bits on every instruction set. */
void mebi__linear(mebi__stream *s, mebi__view x, mebi__view w, mebi__view b, mebi__view y);

/* y[M,K] INT8_ROWS from x[M,K], K a multiple of MEBI__INT8_MULTIPLE: rotated and rounded as
 * tensor/int8.h says. A group with a NaN or an infinity gets the scale NaN. */
void mebi__quantize(mebi__stream *s, mebi__view x, mebi__view y);

/* y[T,D] = w[ids[t], :]; w [V,D], ids i32 [T]. An id outside 0..V-1 gives a row of zeros. */
void mebi__embed(mebi__stream *s, mebi__view ids, mebi__view w, mebi__view y);

/* y[M,D] = x / sqrt(mean(x^2) + eps) * w[D] (* (1 + scale[D]) if given). y may be x. y may be
 * INT8_ROWS: then the result is quantized, to the bits that mebi__quantize would give. */
void mebi__rms_norm(mebi__stream *s, mebi__view x, mebi__view w, mebi__view scale, float eps,
                    mebi__view y);

/* y[M,D] = (x - mean) / sqrt(var + eps) * (1 + scale[D]). y may be x. */
void mebi__layer_norm(mebi__stream *s, mebi__view x, mebi__view scale, float eps, mebi__view y);

/* In place on x[S, heads*hd]: RMSNorm of each head with w[hd], then rotation by the angles whose
 * cosines and sines are cos[S, hd/2], sin[S, hd/2]. hd is even. */
void mebi__norm_rope(mebi__stream *s, mebi__view x, int heads, mebi__view w, float eps,
                     mebi__view cos, mebi__view sin, mebi__rope_style style);

/* o[Sq, heads*hd] = softmax(q k^T / sqrt(hd)) v, per head; q [Sq, heads*hd], k and v
 * [Sk, kv_heads*hd]; query head h reads key/value head h / (heads / kv_heads). causal: query i sees
 * keys 0..i (Sq == Sk). Never holds Sq x Sk scores. */
void mebi__attention(mebi__stream *s, mebi__view q, mebi__view k, mebi__view v, int heads,
                     int kv_heads, int causal, mebi__view o);

/* y[M,F] = silu(a) * b. y may be a. y may be INT8_ROWS, as that of rms_norm. */
void mebi__swiglu(mebi__stream *s, mebi__view a, mebi__view b, mebi__view y);

/* x[M,D] += g * rms_norm(y[M,D]; w, eps), with g = tanh(gate[D]), or 1 if gate is left out. */
void mebi__gated_residual(mebi__stream *s, mebi__view x, mebi__view y, mebi__view w, float eps,
                          mebi__view gate);

/* y = x / (1 + exp(-x)), any shape. y may be x. */
void mebi__silu(mebi__stream *s, mebi__view x, mebi__view y);

/* y = alpha * x + beta * y, any shape. beta 0: y is only written. */
void mebi__combine(mebi__stream *s, float alpha, mebi__view x, float beta, mebi__view y);

/* y = alpha * x + beta, any shape. y may be x. */
void mebi__affine(mebi__stream *s, mebi__view x, float alpha, float beta, mebi__view y);

/* y[Ho,Wo,Co] = conv(x[H,W,Ci], w[Co,kh,kw,Ci]) + b[Co] (+ residual[Ho,Wo,Co] if given).
 * Ho = (H*upsample + top + bottom - kh) / stride + 1, Wo likewise; kh, kw 1 to 7. y may be residual. */
void mebi__conv2d(mebi__stream *s, mebi__view x, mebi__view w, mebi__view b,
                  mebi__view residual, mebi__conv_params params, mebi__view y);

/* What group_norm divides by, gathered in f64 over an image that may come in strips of rows: for each group
 * of C/groups channels of x[H,W,C], sums[groups,3] (f64) holds the sum of the values, of their squares,
 * and how many they are. more 0: sums begins with these rows; 1: they follow those it has. Each row's
 * sums are added in ascending order of rows, so nothing depends on how an image is cut. */
void mebi__group_sums(mebi__stream *s, mebi__view x, int more, mebi__view sums);

/* y[H,W,C]: each group of channels of x, less the mean that sums tells, over the square root of the
 * variance + eps, then * w[C] + b[C], then silu if asked. y may be x. */
void mebi__group_norm(mebi__stream *s, mebi__view x, mebi__view sums, mebi__view w, mebi__view b,
                      float eps, int silu, mebi__view y);

/* y (dims' product elements) gathered from x by strides. */
void mebi__permute(mebi__stream *s, mebi__view x, mebi__permute_params params, mebi__view y);

/* y = x, same shape and type. */
void mebi__copy(mebi__stream *s, mebi__view x, mebi__view y);

/* Every row of y[M,D] = row[D]. */
void mebi__fill_rows(mebi__stream *s, mebi__view row, mebi__view y);

/* Classifier-free guidance in place on pos: g = pos + scale * (pos - neg); if cap > 0 and
 * |g| > cap * |pos| (norms over all elements, f64) g is scaled down to it. */
void mebi__guide(mebi__stream *s, mebi__view pos, mebi__view neg, float scale, float cap);

/* y u8 = round_half_even(clamp(x / 2 + 0.5, 0, 1) * 255), any shape. NaN gives 0. */
void mebi__to_pixels(mebi__stream *s, mebi__view x, mebi__view y);

/* flag i32[1]: set to 1 if any element of x is NaN or infinite, else left as it is. */
void mebi__check_finite(mebi__stream *s, mebi__view x, mebi__view flag);

/* Arithmetic operations (a multiply-add counts 2) and bytes of operands of one operation. */
void mebi__op_cost(const mebi__op *op, double *operations, double *bytes);
const char *mebi__op_name(mebi__op_kind kind);

#endif

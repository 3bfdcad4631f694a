/* Reference kernels: element-wise work, gathers and scans, one loop each. Also fills the table.
 * Never fast at the cost of being plain. */
#include "cpu/int8.h"
#include "cpu/ref.h"

#include <math.h>
#include <string.h>

static size_t count_of(const mebi__op *op) {
    return mebi__view_elements(&op->y);
}

void mebi__embed_ref(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    const int32_t *ids = mebi__cpu_data(op->x);
    const unsigned char *w = mebi__cpu_data(op->w);
    float *y = mebi__cpu_data(op->y);
    size_t width = (size_t)op->y.shape.dim[1], rows = (size_t)op->y.shape.dim[0];
    size_t row_bytes = 0;
    (void)mebi__row_bytes(op->w.dtype, (int64_t)width, &row_bytes);
    for (size_t t = 0; t < rows; t++, y += width) {
        if (ids[t] < 0 || ids[t] >= op->w.shape.dim[0]) {
            memset(y, 0, width * sizeof *y);
            continue;
        }
        mebi__convert_to_f32(op->w.dtype, w + (size_t)ids[t] * row_bytes, width, y);
        for (size_t i = 0; op->w.scale != 0 && i < width; i++) y[i] *= op->w.scale;
    }
}

static double silu(double x) {
    return x / (1 + exp(-x));
}

static void swiglu_quantized(const mebi__op *op) {
    const float *a = mebi__cpu_data(op->x), *b = mebi__cpu_data(op->a1);
    int64_t width = op->x.shape.dim[1], group = mebi__int8_group(width);
    float part[MEBI__INT8_GROUP], *scale;
    for (int64_t m = 0; m < op->x.shape.dim[0]; m++) {
        unsigned char *row = mebi__int8_row(op, m, &scale);
        for (int64_t g = 0; g < width / group; g++, a += group, b += group) {
            for (int64_t i = 0; i < group; i++) part[i] = (float)(silu(a[i]) * b[i]);
            scale[g] = mebi__int8_quantize_ref(part, group, row + g * group);
        }
    }
}

void mebi__swiglu_ref(const mebi__cpu_call *call) {
    const float *a = mebi__cpu_data(call->op->x), *b = mebi__cpu_data(call->op->a1);
    float *y = mebi__cpu_data(call->op->y);
    if (call->op->y.dtype == MEBI__INT8_ROWS) swiglu_quantized(call->op);
    else
        for (size_t i = 0, n = count_of(call->op); i < n; i++) y[i] = (float)(silu(a[i]) * b[i]);
}

void mebi__silu_ref(const mebi__cpu_call *call) {
    const float *x = mebi__cpu_data(call->op->x);
    float *y = mebi__cpu_data(call->op->y);
    for (size_t i = 0, n = count_of(call->op); i < n; i++) y[i] = (float)silu(x[i]);
}

void mebi__combine_ref(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    const float *x = mebi__cpu_data(op->x);
    float *y = mebi__cpu_data(op->y);
    double alpha = op->alpha, beta = op->beta;
    /* With beta 0 y may hold anything, NaN too. */
    for (size_t i = 0, n = count_of(op); i < n; i++)
        y[i] = (float)(alpha * x[i] + (op->beta == 0 ? 0 : beta * y[i]));
}

void mebi__affine_ref(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    const float *x = mebi__cpu_data(op->x);
    float *y = mebi__cpu_data(op->y);
    for (size_t i = 0, n = count_of(op); i < n; i++)
        y[i] = (float)((double)op->alpha * x[i] + op->beta);
}

void mebi__permute_ref(const mebi__cpu_call *call) {
    const mebi__permute_params *p = &call->op->permute;
    const float *x = mebi__cpu_data(call->op->x);
    float *y = mebi__cpu_data(call->op->y);
    int64_t index[6] = {0}, from = 0;
    for (size_t i = 0, n = count_of(call->op); i < n; i++) {
        y[i] = x[from];
        for (int d = 5; d >= 0; d--) {
            from += p->stride[d];
            if (++index[d] < p->dim[d]) break;
            from -= p->stride[d] * p->dim[d];
            index[d] = 0;
        }
    }
}

void mebi__copy_ref(const mebi__cpu_call *call) {
    memcpy(mebi__cpu_data(call->op->y), mebi__cpu_data(call->op->x),
           mebi__view_bytes(&call->op->y));
}

void mebi__fill_rows_ref(const mebi__cpu_call *call) {
    const float *row = mebi__cpu_data(call->op->x);
    float *y = mebi__cpu_data(call->op->y);
    size_t width = (size_t)call->op->y.shape.dim[1];
    for (int64_t m = 0; m < call->op->y.shape.dim[0]; m++)
        memcpy(y + (size_t)m * width, row, width * sizeof *y);
}

void mebi__guide_ref(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    const float *neg = mebi__cpu_data(op->x);
    float *pos = mebi__cpu_data(op->y);
    double before = 0, after = 0;
    size_t n = count_of(op);
    for (size_t i = 0; i < n; i++) {
        before += (double)pos[i] * pos[i];
        pos[i] = (float)(pos[i] + (double)op->alpha * ((double)pos[i] - neg[i]));
        after += (double)pos[i] * pos[i];
    }
    double limit = op->beta * sqrt(before), norm = sqrt(after);
    if (!(op->beta > 0) || !(norm > limit)) return;
    for (size_t i = 0; i < n; i++) pos[i] = (float)(pos[i] * (limit / norm));
}

/* In f32 throughout, so that every backend gives the same bytes. */
void mebi__to_pixels_ref(const mebi__cpu_call *call) {
    const float *x = mebi__cpu_data(call->op->x);
    uint8_t *y = mebi__cpu_data(call->op->y);
    for (size_t i = 0, n = count_of(call->op); i < n; i++) {
        float v = x[i] * 0.5f + 0.5f;
        v = v > 0 ? v : 0; /* NaN too */
        y[i] = (uint8_t)nearbyintf((v < 1 ? v : 1) * 255.0f);
    }
}

void mebi__check_finite_ref(const mebi__cpu_call *call) {
    const float *x = mebi__cpu_data(call->op->x);
    int32_t *flag = mebi__cpu_data(call->op->y);
    for (size_t i = 0, n = mebi__view_elements(&call->op->x); i < n; i++)
        if (!isfinite(x[i])) *flag = 1;
}

void mebi__cpu_init_ref(mebi__cpu_kernels *table) {
    *table = (mebi__cpu_kernels){
        .run = {[MEBI__OP_LINEAR] = mebi__linear_ref,
                [MEBI__OP_LINEAR_INT8] = mebi__linear_int8_ref,
                [MEBI__OP_QUANTIZE] = mebi__quantize_ref,
                [MEBI__OP_EMBED] = mebi__embed_ref,
                [MEBI__OP_RMS_NORM] = mebi__rms_norm_ref,
                [MEBI__OP_LAYER_NORM] = mebi__layer_norm_ref,
                [MEBI__OP_NORM_ROPE] = mebi__norm_rope_ref,
                [MEBI__OP_ATTENTION] = mebi__attention_ref,
                [MEBI__OP_SWIGLU] = mebi__swiglu_ref,
                [MEBI__OP_GATED_RESIDUAL] = mebi__gated_residual_ref,
                [MEBI__OP_SILU] = mebi__silu_ref,
                [MEBI__OP_COMBINE] = mebi__combine_ref,
                [MEBI__OP_AFFINE] = mebi__affine_ref,
                [MEBI__OP_CONV2D] = mebi__conv2d_ref,
                [MEBI__OP_GROUP_SUMS] = mebi__group_sums_ref,
                [MEBI__OP_GROUP_NORM] = mebi__group_norm_ref,
                [MEBI__OP_PERMUTE] = mebi__permute_ref,
                [MEBI__OP_COPY] = mebi__copy_ref,
                [MEBI__OP_FILL_ROWS] = mebi__fill_rows_ref,
                [MEBI__OP_GUIDE] = mebi__guide_ref,
                [MEBI__OP_TO_PIXELS] = mebi__to_pixels_ref,
                [MEBI__OP_CHECK_FINITE] = mebi__check_finite_ref},
        .scratch = {[MEBI__OP_LINEAR] = mebi__linear_scratch_ref,
                    [MEBI__OP_LINEAR_INT8] = mebi__int8_linear_scratch,
                    [MEBI__OP_CONV2D] = mebi__conv2d_scratch_ref,
                    [MEBI__OP_ATTENTION] = mebi__attention_scratch_ref},
    };
}

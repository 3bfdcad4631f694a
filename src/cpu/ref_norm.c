/* Reference kernels: normalizations, with rotation, gates and residuals where an operation has
 * them. All statistics and intermediate values are f64; only results are rounded. */
#include "cpu/int8.h"
#include "cpu/ref.h"

#include <math.h>

/* 1 / sqrt(mean of squares + eps) */
static double inverse_rms(const float *x, int64_t n, float eps) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return 1 / sqrt(sum / (double)n + eps);
}

/* A row's result in parts of a group each, quantized. */
static void quantize_parts(const mebi__op *op, int64_t m, const float *x, double r) {
    const float *w = mebi__cpu_data(op->w), *scale = op->a1.buffer ? mebi__cpu_data(op->a1) : NULL;
    int64_t width = op->x.shape.dim[1], group = mebi__int8_group(width);
    float part[MEBI__INT8_GROUP], *steps;
    unsigned char *row = mebi__int8_row(op, m, &steps);
    for (int64_t g = 0; g < width; g += group) {
        for (int64_t i = 0; i < group; i++)
            part[i] = (float)(x[g + i] * r * w[g + i] * (scale ? 1 + (double)scale[g + i] : 1));
        steps[g / group] = mebi__int8_quantize_ref(part, group, row + g);
    }
}

double mebi__group_scale(const double *sums, float eps, double *mean) {
    *mean = sums[0] / sums[2];
    double variance = sums[1] / sums[2] - *mean * *mean;
    if (isnan(variance)) return NAN;
    return 1 / sqrt((variance > 0 ? variance : 0) + eps);
}

void mebi__rms_norm_ref(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    const float *x = mebi__cpu_data(op->x), *w = mebi__cpu_data(op->w);
    const float *scale = op->a1.buffer ? mebi__cpu_data(op->a1) : NULL;
    float *y = mebi__cpu_data(op->y);
    int64_t rows = op->x.shape.dim[0], width = op->x.shape.dim[1];
    int int8 = op->y.dtype == MEBI__INT8_ROWS;
    for (int64_t m = 0; m < rows; m++, x += width) {
        double r = inverse_rms(x, width, op->eps);
        if (int8) quantize_parts(op, m, x, r);
        for (int64_t i = 0; i < width && !int8; i++)
            y[m * width + i] = (float)(x[i] * r * w[i] * (scale ? 1 + (double)scale[i] : 1));
    }
}

void mebi__layer_norm_ref(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    const float *x = mebi__cpu_data(op->x), *scale = mebi__cpu_data(op->a1);
    float *y = mebi__cpu_data(op->y);
    int64_t rows = op->x.shape.dim[0], width = op->x.shape.dim[1];
    for (int64_t m = 0; m < rows; m++, x += width, y += width) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < width; i++) mean += x[i];
        mean /= (double)width;
        for (int64_t i = 0; i < width; i++) variance += (x[i] - mean) * (x[i] - mean);
        double r = 1 / sqrt(variance / (double)width + op->eps);
        for (int64_t i = 0; i < width; i++)
            y[i] = (float)((x[i] - mean) * r * (1 + (double)scale[i]));
    }
}

void mebi__norm_rope_ref(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    const float *w = mebi__cpu_data(op->w);
    const float *cosine = mebi__cpu_data(op->a1), *sine = mebi__cpu_data(op->a2);
    float *x = mebi__cpu_data(op->y);
    int64_t rows = op->y.shape.dim[0], hd = op->y.shape.dim[1] / op->heads, half = hd / 2;
    int64_t step = op->flag == MEBI__ROPE_PAIRS ? 2 : 1, apart = step == 2 ? 1 : half;
    for (int64_t m = 0; m < rows; m++, cosine += half, sine += half) {
        for (int h = 0; h < op->heads; h++, x += hd) {
            double r = inverse_rms(x, hd, op->eps);
            for (int64_t i = 0; i < half; i++) {
                int64_t p = i * step, q = p + apart;
                double a = x[p] * r * w[p], b = x[q] * r * w[q];
                x[p] = (float)(a * cosine[i] - b * sine[i]);
                x[q] = (float)(a * sine[i] + b * cosine[i]);
            }
        }
    }
}

void mebi__gated_residual_ref(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    const float *branch = mebi__cpu_data(op->x), *w = mebi__cpu_data(op->w);
    const float *gate = op->a1.buffer ? mebi__cpu_data(op->a1) : NULL;
    float *y = mebi__cpu_data(op->y);
    int64_t rows = op->y.shape.dim[0], width = op->y.shape.dim[1];
    for (int64_t m = 0; m < rows; m++, branch += width, y += width) {
        double r = inverse_rms(branch, width, op->eps);
        for (int64_t i = 0; i < width; i++)
            y[i] = (float)(y[i] + (gate ? tanh(gate[i]) : 1) * (branch[i] * r * w[i]));
    }
}

/* Sum and sum of squares of one row's share of a group: `width` runs of `depth` channels. */
static void sum_row(const float *x, int64_t width, int64_t channels, int64_t depth, double *sum) {
    sum[0] = sum[1] = 0;
    for (int64_t p = 0; p < width; p++, x += channels)
        for (int64_t c = 0; c < depth; c++) {
            sum[0] += x[c];
            sum[1] += (double)x[c] * x[c];
        }
}

void mebi__group_sums_ref(const mebi__cpu_call *call) {
    const mebi__op *op = call->op;
    int64_t height = op->x.shape.dim[0], width = op->x.shape.dim[1], channels = op->x.shape.dim[2];
    int64_t groups = op->y.shape.dim[0], depth = channels / groups;
    const float *x = mebi__cpu_data(op->x);
    double *sums = mebi__cpu_data(op->y), row[2];
    for (int64_t g = 0; g < groups; g++, sums += 3) {
        if (!op->flag) sums[0] = sums[1] = sums[2] = 0;
        for (int64_t r = 0; r < height; r++) {
            sum_row(x + r * width * channels + g * depth, width, channels, depth, row);
            sums[0] += row[0];
            sums[1] += row[1];
        }
        sums[2] += (double)height * (double)width * (double)depth;
    }
}

/* One group of a channels-last image: `pixels` runs of `depth` channels, `channels` apart. */
static void normalize_group(const mebi__op *op, int64_t group) {
    int64_t pixels = op->x.shape.dim[0] * op->x.shape.dim[1], channels = op->x.shape.dim[2];
    int64_t depth = channels / op->a1.shape.dim[0], first = group * depth;
    const float *x = (const float *)mebi__cpu_data(op->x) + first;
    const float *w = (const float *)mebi__cpu_data(op->w) + first;
    const float *b = (const float *)mebi__cpu_data(op->b) + first;
    const double *sums = (const double *)mebi__cpu_data(op->a1) + group * 3;
    float *y = (float *)mebi__cpu_data(op->y) + first;
    double mean, r = mebi__group_scale(sums, op->eps, &mean);
    for (int64_t p = 0; p < pixels; p++)
        for (int64_t c = 0; c < depth; c++) {
            double v = (x[p * channels + c] - mean) * r * w[c] + b[c];
            y[p * channels + c] = (float)(op->flag ? v / (1 + exp(-v)) : v);
        }
}

void mebi__group_norm_ref(const mebi__cpu_call *call) {
    for (int64_t g = 0; g < call->op->a1.shape.dim[0]; g++) normalize_group(call->op, g);
}

/* The plain-C kernels: the specification of every operation. Sums are f64. */
#ifndef MEBI_CPU_REF_H
#define MEBI_CPU_REF_H

#include "cpu/kernels.h"

/* ref_matrix.c */
void mebi__linear_ref(const mebi__cpu_call *call);
size_t mebi__linear_scratch_ref(const mebi__op *op, int threads);
void mebi__conv2d_ref(const mebi__cpu_call *call);
size_t mebi__conv2d_scratch_ref(const mebi__op *op, int threads);
void mebi__attention_ref(const mebi__cpu_call *call);
size_t mebi__attention_scratch_ref(const mebi__op *op, int threads);

/* ref_int8.c */
void mebi__quantize_ref(const mebi__cpu_call *call);
void mebi__linear_int8_ref(const mebi__cpu_call *call);

/* ref_norm.c */
void mebi__rms_norm_ref(const mebi__cpu_call *call);
void mebi__layer_norm_ref(const mebi__cpu_call *call);
void mebi__norm_rope_ref(const mebi__cpu_call *call);
void mebi__gated_residual_ref(const mebi__cpu_call *call);
void mebi__group_sums_ref(const mebi__cpu_call *call);
void mebi__group_norm_ref(const mebi__cpu_call *call);

/* What a group's values are multiplied by once its mean is taken away; sums as mebi__group_sums leaves them. */
double mebi__group_scale(const double *sums, float eps, double *mean);

/* ref_pointwise.c */
void mebi__embed_ref(const mebi__cpu_call *call);
void mebi__swiglu_ref(const mebi__cpu_call *call);
void mebi__silu_ref(const mebi__cpu_call *call);
void mebi__combine_ref(const mebi__cpu_call *call);
void mebi__affine_ref(const mebi__cpu_call *call);
void mebi__permute_ref(const mebi__cpu_call *call);
void mebi__copy_ref(const mebi__cpu_call *call);
void mebi__fill_rows_ref(const mebi__cpu_call *call);
void mebi__guide_ref(const mebi__cpu_call *call);
void mebi__to_pixels_ref(const mebi__cpu_call *call);
void mebi__check_finite_ref(const mebi__cpu_call *call);

#endif

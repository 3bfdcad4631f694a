/* Decides about every tensor of a new file. Must never leave out a tensor silently that a picture
 * is made with. */
#include "convert/outputs.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

static int starts_with(const char *text, const char *head) {
    return strncmp(text, head, strlen(head)) == 0;
}

static int ends_with(const char *text, const char *tail) {
    size_t a = strlen(text), b = strlen(tail);
    return a >= b && strcmp(text + a - b, tail) == 0;
}

/* What touches everything and weighs little: it keeps f32 where others are quantized. */
static int is_delicate(const char *name) {
    return starts_with(name, "x_embedder.") || starts_with(name, "final_layer.") ||
           starts_with(name, "t_embedder.");
}

/* What is quantized, but not below 8 bits: modulation multiplies whole layers, and embeddings are
 * looked up, not averaged. Not with one scale for a row either. */
static int is_sensitive(const char *name) {
    return strstr(name, "adaLN_modulation.") || starts_with(name, "cap_embedder.") ||
           starts_with(name, "token_embd.") || starts_with(name, "output.") ||
           starts_with(name, "model.embed_tokens.") || starts_with(name, "lm_head.");
}

static mebi__encoding in_gguf(const mebi__target *target, const char *name, int64_t k) {
    if (target->type == MEBI_CONVERT_BF16) return MEBI__AS_BF16;
    if (is_delicate(name) || k % 32 != 0) return MEBI__AS_F32;
    if (target->type == MEBI_CONVERT_Q4_K && !is_sensitive(name) && k % 256 == 0)
        return MEBI__AS_Q4_K;
    return MEBI__AS_Q8_0;
}

static mebi__encoding choose(const mebi__target *target, const char *name, const mebi__shape *s) {
    int matrix = s->rank == 2 && s->dim[0] > 1 && ends_with(name, ".weight");
    if (target->gguf) return matrix ? in_gguf(target, name, s->dim[1]) : MEBI__AS_F32;
    int quantized =
        target->type == MEBI_CONVERT_INT8 && matrix && !is_delicate(name) && !is_sensitive(name);
    return quantized ? MEBI__AS_I8 : MEBI__AS_BF16;
}

/* k and v of the q that `first` is; they must be there and fit. */
static mebi_status find_fused(const mebi__tensors *tensors, mebi__output *o, mebi_error *err) {
    static const char *const others[] = {"to_k.weight", "to_v.weight"};
    const char *q = o->source[0]->name;
    for (int i = 0; i < 2; i++) {
        char name[MEBI__OUTPUT_NAME];
        snprintf(name, sizeof name, "%.*s%s", (int)(strlen(q) - strlen("to_q.weight")), q,
                 others[i]);
        o->source[1 + i] = mebi__tensors_find(tensors, name);
        if (!o->source[1 + i] || o->source[0]->shape.rank != 2 ||
            !mebi__shape_equal(&o->source[0]->shape, &o->source[1 + i]->shape))
            return mebi__fail(
                err, MEBI_UNSUPPORTED,
                "%s is missing, or of another shape than %s: the new file holds q, k and "
                "v as one matrix.",
                name, q);
    }
    o->sources = 3;
    o->shape.dim[0] *= 3;
    return MEBI_OK;
}

static mebi_status add(mebi__outputs *out, const mebi__output *o, mebi_error *err) {
    enum { STEP = 256 };
    if (out->count % STEP == 0) {
        mebi__output *more = mebi__realloc_array(MEBI__TAG_GENERAL, out->at,
                                                 (size_t)out->count + STEP, sizeof *more);
        if (!more) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a list of tensors.");
        out->at = more;
    }
    out->at[out->count++] = *o;
    return MEBI_OK;
}

static mebi_status add_scales(mebi__outputs *out, mebi_error *err) {
    const mebi__output *of = &out->at[out->count - 1];
    mebi__output scales = {.encoding = MEBI__AS_F32, .shape = {2, {of->shape.dim[0], 1}}};
    snprintf(scales.name, sizeof scales.name, "%.340s_scale", of->name);
    return add(out, &scales, err);
}

/* What another quantization has left beside its weights: multiplied into them, or void with them.
 */
static int is_leftover(const char *name) {
    static const char *const tails[] = {"_scale",       "_scale_inv",   ".scale_weight",
                                        ".scale_input", ".comfy_quant", "scaled_fp8"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
        if (ends_with(name, tails[i])) return 1;
    return 0;
}

static mebi_status add_tensor(const mebi__tensors *tensors, const mebi__target *target,
                              const mebi__tensor *t, mebi__outputs *out, mebi_error *err) {
    mebi__output o = {.shape = t->shape, .source = {t}, .sources = 1};
    int fused = is_leftover(t->name) ? 0 : mebi__output_name(target, t->name, o.name);
    if (fused == 0) return MEBI_OK; /* k and v go with their q */
    if (fused < 0)
        return mebi__fail(err, MEBI_UNSUPPORTED,
                          "The tensor %.200s has no name in a GGUF of a Qwen3: is this its text "
                          "encoder?",
                          t->name);
    if (t->shape.rank == 0) o.shape = (mebi__shape){1, {1}};
    if (fused == 3) MEBI_TRY(find_fused(tensors, &o, err));
    o.encoding = choose(target, o.name, &o.shape);
    MEBI_TRY(add(out, &o, err));
    return o.encoding == MEBI__AS_I8 ? add_scales(out, err) : MEBI_OK;
}

/* Offsets: GGUF's at multiples of 32, safetensors' without gaps. */
static mebi_status lay_out(const mebi__target *target, mebi__outputs *out, mebi_error *err) {
    for (int i = 0; i < out->count; i++) {
        mebi__output *o = &out->at[i];
        size_t elements;
        int64_t k = o->shape.dim[o->shape.rank - 1];
        if (!mebi__shape_elements(&o->shape, &elements) || elements > (size_t)1 << 48)
            return mebi__fail(err, MEBI_UNSUPPORTED, "The tensor %s is too large.", o->name);
        o->bytes = (uint64_t)(elements / (size_t)k) * mebi__encoding_row_bytes(o->encoding, k);
        o->offset = target->gguf ? (out->data_bytes + 31) / 32 * 32 : out->data_bytes;
        out->data_bytes = o->offset + o->bytes;
    }
    return MEBI_OK;
}

mebi_status mebi__outputs_plan(const mebi__tensors *tensors, const mebi__target *target,
                               mebi__outputs *out, mebi_error *err) {
    *out = (mebi__outputs){0};
    for (int i = 0; i < mebi__tensors_count(tensors); i++)
        MEBI_TRY(add_tensor(tensors, target, mebi__tensors_at(tensors, i), out, err));
    return lay_out(target, out, err);
}

void mebi__outputs_release(mebi__outputs *outputs) {
    mebi__free(outputs->at);
    *outputs = (mebi__outputs){0};
}

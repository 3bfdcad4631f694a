/* Scales of 8-bit floats: the tensors that a file keeps beside its weights, under the names that
 * publishers gave them. Must never leave a weight without a scale that the file has for it: such a
 * model runs, and paints white.
 *
 * All of them are factors: stored value times scale is the weight, also where the name says "inv".
 */
#include "base/memory.h"
#include "weights/json.h"
#include "weights/names.h"
#include "weights/tensor_set.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define COUNT(list) (sizeof(list) / sizeof *(list))

static int ends_with(const char *text, const char *tail) {
    size_t a = strlen(text), b = strlen(tail);
    return a > b && strcmp(text + a - b, tail) == 0;
}

/* The name of the tensor that `name` scales, if it looks like a scale. */
static int scaled_name(const char *name, char out[MEBI__LONG_NAME_BYTES]) {
    static const struct {
        const char *tail, *instead;
    } forms[] = {{".scale_weight", ".weight"}, {"_scale", ""}, {"_scale_inv", ""}};
    for (size_t i = 0; i < COUNT(forms); i++)
        if (ends_with(name, forms[i].tail)) {
            int stem = (int)(strlen(name) - strlen(forms[i].tail));
            return snprintf(out, MEBI__LONG_NAME_BYTES, "%.*s%s", stem, name, forms[i].instead) <
                   MEBI__LONG_NAME_BYTES;
        }
    return 0;
}

int mebi__names_is_quantization_note(const char *name) {
    static const char *const tails[] = {".scale_input", ".input_scale", ".comfy_quant",
                                        ".activation_scale"};
    for (size_t i = 0; i < COUNT(tails); i++)
        if (ends_with(name, tails[i])) return 1;
    return strcmp(name, "scaled_fp8") == 0;
}

static mebi_status refuse(const mebi__tensors *set, const mebi__entry *e, const char *what,
                          mebi_error *err) {
    char shape[96];
    return mebi__fail(
        err, MEBI_UNSUPPORTED,
        "%s: the scale %s (%s, shape %s) %s; one finite value, or one for each row of "
        "what it scales, is read. Take the file in another form (bf16, GGUF).",
        set->file[e->file].path, mebi__show(e->tensor.name).text, e->type_name,
        mebi__shape_text(&e->tensor.shape, shape, sizeof shape), what);
}

/* The scale's values in the entry's own memory. */
static mebi_status read_values(const mebi__tensors *set, mebi__entry *e, size_t count,
                               mebi_error *err) {
    if (e->values) return MEBI_OK;
    e->values = mebi__alloc_array(MEBI__TAG_GENERAL, count, sizeof *e->values);
    if (!e->values)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the scales of %s.", set->path);
    mebi__convert_to_f32(e->tensor.dtype, e->tensor.data, count, e->values);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(e->values[i])) return refuse(set, e, "has a value that is not finite", err);
    return MEBI_OK;
}

/* Part `part` of `parts` equal ones of what e scales. */
static mebi_status attach(const mebi__tensors *set, mebi__entry *e, mebi__tensor *to, int part,
                          int parts, mebi_error *err) {
    const mebi__shape *s = &e->tensor.shape;
    size_t count = 0;
    int64_t rows = to->shape.rank > 0 ? to->shape.dim[0] : 1;
    if (!mebi__shape_elements(s, &count) || mebi__dtype_bytes(e->tensor.dtype) == 0)
        return refuse(set, e, "is of a type that scales are not read from", err);
    int flat = s->rank <= 1 || (size_t)s->dim[0] == count;
    if (count != 1 && !(flat && count == (size_t)rows * (size_t)parts))
        return refuse(set, e, "is not one that fits", err);
    if (to->scales) return refuse(set, e, "is a second one for the same tensor", err);
    MEBI_TRY(read_values(set, e, count, err));
    to->scales = count == 1 ? 1 : rows;
    to->scale = e->values + (count == 1 ? 0 : (int64_t)part * rows);
    return MEBI_OK;
}

static mebi_status attach_all(const mebi__tensors *set, mebi__entry *e, const char *name,
                              mebi_error *err) {
    static const char qkv[] = ".attention.qkv.weight";
    mebi__entry *whole = mebi__tensors_entry(set, name);
    char slice[MEBI__LONG_NAME_BYTES];
    if (whole) {
        e->wanted = 1;
        return whole->unsupported ? MEBI_OK : attach(set, e, &whole->tensor, 0, 1, err);
    }
    for (int i = 0; i < 3 && ends_with(name, qkv); i++) {
        mebi__names_slice(name, i, slice);
        mebi__entry *third = mebi__tensors_entry(set, slice);
        if (!third || third->unsupported) continue;
        e->wanted = 1;
        MEBI_TRY(attach(set, e, &third->tensor, i, 3, err));
    }
    return MEBI_OK;
}

mebi_status mebi__tensors_attach_scales(mebi__tensors *set, mebi_error *err) {
    for (int i = 0; i < set->count; i++) {
        char name[MEBI__LONG_NAME_BYTES];
        if (scaled_name(set->entry[i].tensor.name, name))
            MEBI_TRY(attach_all(set, &set->entry[i], name, err));
    }
    return MEBI_OK;
}

/* Rows of a stored tensor as f32, whatever type they lie in. Must never read a byte outside the
 * tensor, nor hand out values without the scale that the file gives for them. */
#include "weights/random.h"
#include "weights/tensors.h"

int64_t mebi__tensor_row_count(const mebi__tensor *t) {
    int64_t rows = 1;
    for (int i = 0; i + 1 < t->shape.rank; i++) rows *= t->shape.dim[i];
    return rows;
}

int64_t mebi__tensor_row_elements(const mebi__tensor *t) {
    return t->shape.rank ? t->shape.dim[t->shape.rank - 1] : 1;
}

int mebi__tensor_rows(const mebi__tensor *t, int64_t first, int64_t count, float *out) {
    int64_t rows = mebi__tensor_row_count(t), k = mebi__tensor_row_elements(t);
    size_t bytes;
    if (first < 0 || count < 0 || first > rows - count || !mebi__row_bytes(t->dtype, k, &bytes))
        return 0;
    if (t->recipe) {
        mebi__random_elements(t->recipe, first * k, count * k, out);
        return 1;
    }
    const unsigned char *from = (const unsigned char *)t->data + (size_t)first * bytes;
    mebi__convert_to_f32(t->dtype, from, (size_t)count * (size_t)k, out);
    for (int64_t r = 0; r < count && t->scales; r++) {
        float scale = t->scale[(first + r) / (rows / t->scales)];
        for (int64_t i = 0; i < k; i++) out[r * k + i] *= scale;
    }
    return 1;
}

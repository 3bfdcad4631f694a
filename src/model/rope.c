/* Rotary angles as the reference rounds them: angle in f32, cosine and sine of that f32. */
#include "model/rope.h"

#include <assert.h>
#include <math.h>

enum { CHUNK = 16384 }; /* values per upload: small beside any job */

static int fill_frequencies(const mebi__rope *r, double *frequency, int *axis) {
    int half = 0;
    for (int a = 0; a < r->axes; a++)
        for (int i = 0; i < r->dims[a] / 2; i++, half++) {
            assert(half < MEBI__ROPE_MAX_HALF);
            double f = 1.0 / pow(r->theta, (double)(2 * i) / r->dims[a]);
            frequency[half] = r->f32_frequencies ? (double)(float)f : f;
            axis[half] = a;
        }
    return half;
}

void mebi__rope_fill(mebi__stream *s, const mebi__rope *r,
                     void (*position)(const void *context, int64_t token,
                                      int32_t p[MEBI__ROPE_AXES]),
                     const void *context, mebi__view cosines, mebi__view sines) {
    if (s->status != MEBI_OK || s->device->table->imaginary) return;
    double frequency[MEBI__ROPE_MAX_HALF];
    int axis[MEBI__ROPE_MAX_HALF];
    int half = fill_frequencies(r, frequency, axis);
    int64_t tokens = cosines.shape.dim[0], at_once = CHUNK / half;
    float *host = mebi__alloc_array(MEBI__TAG_GENERAL, 2 * CHUNK, sizeof *host);
    if (!host) {
        s->status = mebi__fail(s->err, MEBI_NO_MEMORY, "No memory for a table of angles.");
        return;
    }
    for (int64_t first = 0; first < tokens; first += at_once) {
        int64_t count = tokens - first < at_once ? tokens - first : at_once;
        for (int64_t t = 0; t < count; t++) {
            int32_t p[MEBI__ROPE_AXES] = {0};
            position(context, first + t, p);
            for (int i = 0; i < half; i++) {
                float angle = r->f32_frequencies ? (float)frequency[i] * (float)p[axis[i]]
                                                 : (float)(frequency[i] * p[axis[i]]);
                host[t * half + i] = (float)cos(angle);
                host[CHUNK + t * half + i] = (float)sin(angle);
            }
        }
        mebi__upload(s, mebi__view_rows(cosines, first, count), host);
        mebi__upload(s, mebi__view_rows(sines, first, count), host + CHUNK);
    }
    mebi__free(host);
}

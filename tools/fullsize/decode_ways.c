/* The decoder's ways side by side: one random latent decoded in each, every picture compared with
 * the first way's. The weights are random, of the published model's shapes.
 *
 * usage: fullsize-decode-ways WIDTHxHEIGHT [WAYS], for instance 1024x1024 whole,strips,tiled */
#include "base/os.h"
#include "base/rng.h"
#include "compute/dry.h"
#include "cpu/cpu.h"
#include "model/vae.h"
#include "weights/published.h"
#include "weights/random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const names[MEBI__VAE_WAYS] = {"whole", "strips", "tiled"};
static mebi_error err;

static void check(mebi_status status) {
    if (status == MEBI_OK) return;
    fprintf(stderr, "fullsize-decode-ways: %s\n", err.text);
    exit(1);
}

static void *take(size_t count, size_t bytes) {
    void *block = calloc(count, bytes);
    if (!block) abort();
    return block;
}

typedef struct picture {
    int64_t h, w; /* pixels */
    float *values;
    unsigned char *pixels;
} picture;

static void decode(mebi__stream *s, const mebi__vae *m, mebi__vae_way way, const float *latent,
                   const picture *p) {
    int64_t scale = mebi__vae_scale(&m->config);
    mebi__view z = mebi__take3(s, MEBI__F32, m->config.latent_channels, p->h / scale, p->w / scale);
    mebi__view y = mebi__take3(s, MEBI__F32, p->h, p->w, 3);
    mebi__upload(s, z, latent);
    mebi__vae_decode(s, m, way, z, y);
    mebi__view bytes = mebi__take3(s, MEBI__U8, p->h, p->w, 3);
    mebi__to_pixels(s, y, bytes);
    mebi__download(s, y, p->values);
    mebi__download(s, bytes, p->pixels);
    mebi__stream_wait(s);
}

typedef struct cost {
    size_t arena, scratch, measured;
    double operations, seconds;
} cost;

static cost plan(mebi__device *device, const mebi__vae *m, mebi__vae_way way, const picture *p) {
    mebi__device *dry;
    cost c = {0};
    mebi__buffer boundless = {.bytes = SIZE_MAX};
    check(mebi__dry_create(device, &dry, &err));
    mebi__stream s = {.device = dry, .memory = &boundless, .err = &err};
    mebi__arena_init(&s.arena, SIZE_MAX / 2);
    decode(&s, m, way, NULL, p);
    check(s.status);
    c.arena = s.arena.peak;
    c.scratch = mebi__dry_report_of(dry)->scratch_bytes;
    for (int k = 0; k < MEBI__OP_COUNT; k++)
        c.operations += mebi__dry_report_of(dry)->operations[k];
    mebi__device_destroy(&dry);
    return c;
}

static cost run(mebi__device *device, const mebi__vae *m, mebi__vae_way way, const float *latent,
                const picture *p) {
    cost c = plan(device, m, way, p);
    size_t before = mebi__resident_now(NULL, 0).bytes;
    int told = mebi__resident_peak_reset();
    mebi__stream s = {.device = device, .err = &err};
    mebi__arena_init(&s.arena, c.arena);
    check(device->table->buffer_create(device, MEBI__TAG_ACTIVATIONS, c.arena, &s.memory, &err));
    check(device->table->scratch_reserve(device, c.scratch, &err));
    double began = mebi__now_seconds();
    decode(&s, m, way, latent, p);
    check(s.status);
    c.seconds = mebi__now_seconds() - began;
    if (told) c.measured = mebi__resident_peak() - before;
    device->table->buffer_destroy(device, s.memory);
    return c;
}

/* Mean absolute step from row r to the next. */
static double step_at(const picture *p, int64_t r) {
    double sum = 0;
    for (int64_t i = 0; i < p->w * 3; i++)
        sum +=
            fabs((double)p->values[(r + 1) * p->w * 3 + i] - (double)p->values[r * p->w * 3 + i]);
    return sum / (double)(p->w * 3);
}

static void compare(const picture *a, const picture *b) {
    size_t n = (size_t)(a->h * a->w * 3), others = 0;
    double most = 0, seam = 0;
    int pixel = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a->values[i] - (double)b->values[i]);
        if (!(d <= most)) most = d;
        if (memcmp(&a->values[i], &b->values[i], sizeof(float)) != 0) others++;
        if (abs(a->pixels[i] - b->pixels[i]) > pixel) pixel = abs(a->pixels[i] - b->pixels[i]);
    }
    for (int64_t r = 0; r + 1 < a->h; r++) {
        double change = fabs(step_at(a, r) - step_at(b, r));
        if (!(change <= seam)) seam = change;
    }
    printf("  f32 differs by %g at most, in %zu of %zu values; pixels by %d/255; the mean step "
           "between two rows "
           "by %g\n",
           most, others, n, pixel, seam);
}

int main(int argc, char **argv) {
    picture p[2] = {0};
    long long w = 0, h = 0;
    if (argc < 2 || sscanf(argv[1], "%lldx%lld", &w, &h) != 2 || w < 8 || h < 8 || w % 8 || h % 8 ||
        w > 16384 || h > 16384) {
        fprintf(stderr, "usage: fullsize-decode-ways WIDTHxHEIGHT [whole,strips,tiled]\n");
        return 2;
    }
    mebi__pool *pool;
    mebi__device *device;
    mebi__cpu_level level;
    mebi__random_part random;
    mebi__vae m;
    const mebi__random_how how = {.seed = 1};
    check(mebi__pool_create(mebi__physical_cores(), &pool, &err));
    check(mebi__cpu_choose(&level, &err));
    check(mebi__cpu_create(level, pool, &device, &err));
    check(mebi__random_vae(&mebi__published_vae, &how, pool, &random, &err));
    check(mebi__vae_load(&m, device, random.tensors, &mebi__published_vae, 0, &err));
    size_t latents = (size_t)(m.config.latent_channels * (h / 8) * (w / 8));
    float *latent = take(latents, sizeof *latent);
    mebi__rng rng;
    mebi__rng_seed(&rng, 1);
    mebi__rng_normal(&rng, MEBI__RNG_TORCH_SCALAR, latent, latents);
    int done = 0;
    double first = 0;
    for (int way = 0; way < MEBI__VAE_WAYS; way++) {
        if (argc > 2 && !strstr(argv[2], names[way])) continue;
        picture *now = &p[done > 0];
        if (done < 2)
            *now = (picture){h, w, take((size_t)(h * w * 3), sizeof(float)),
                             take((size_t)(h * w * 3), 1)};
        cost c = run(device, &m, (mebi__vae_way)way, latent, now);
        if (done == 0) first = c.seconds;
        printf("%-6s %lldx%lld: %.1f s (%.2f), %.2f T operations, arena %.1f + scratch %.1f MB: "
               "%.0f bytes a "
               "pixel; measured %.1f MB\n",
               names[way], w, h, c.seconds, c.seconds / first, c.operations * 1e-12,
               (double)c.arena * 1e-6, (double)c.scratch * 1e-6,
               (double)(c.arena + c.scratch) / (double)(w * h), (double)c.measured * 1e-6);
        if (done++ > 0) compare(&p[0], now);
        fflush(stdout);
    }
    return 0;
}

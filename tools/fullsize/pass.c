/* One pass of one part of a model over the inputs stored in a reference file; every named stage goes
 * to a safetensors file for compare.py. Also tells seconds and planned bytes.
 *
 * usage: fullsize-pass MODEL REFERENCE.safetensors OUT.safetensors [transformer|text_encoder|vae [int8]] */
#include "base/os.h"
#include "compute/dry.h"
#include "cpu/cpu.h"
#include "model/pipeline.h"
#include "weights/safetensors.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct stage {
    char name[64];
    mebi__shape shape;
    float *values;
    size_t count;
} stage;

typedef struct dump {
    stage *stages;
    int count;
} dump;

static mebi_error err;

static void check(mebi_status status) {
    if (status == MEBI_OK) return;
    fprintf(stderr, "fullsize-pass: %s\n", err.text);
    exit(1);
}

static float *copy_f32(const mebi__stored *t, size_t *count) {
    *count = t->bytes / mebi__dtype_bytes(t->dtype);
    float *values = malloc(*count * sizeof *values);
    if (!values) abort();
    mebi__convert_to_f32(t->dtype, t->data, *count, values);
    return values;
}

static const mebi__stored *input(const mebi__safetensors *f, const char *name) {
    for (int i = 0; i < f->count; i++)
        if (strcmp(f->tensor[i].name, name) == 0) return &f->tensor[i];
    fprintf(stderr, "fullsize-pass: the reference has no tensor %s\n", name);
    exit(1);
}

/* The VAE's tensors are channels-last here and channels-first in the reference. */
static void channels_first(stage *s) {
    size_t channels = (size_t)s->shape.dim[2], pixels = s->count / channels;
    float *turned = malloc(s->count * sizeof *turned);
    if (!turned) abort();
    for (size_t i = 0; i < s->count; i++) turned[i % channels * pixels + i / channels] = s->values[i];
    free(s->values);
    s->values = turned;
    s->shape = (mebi__shape){3, {(int64_t)channels, s->shape.dim[0], s->shape.dim[1]}};
}

static void observe(void *context, mebi__stream *s, const char *name, int index, mebi__view view) {
    dump *d = context;
    d->stages = realloc(d->stages, sizeof *d->stages * (size_t)(d->count + 1));
    if (!d->stages) abort();
    stage *st = &d->stages[d->count++];
    *st = (stage){.shape = view.shape, .count = mebi__view_elements(&view)};
    snprintf(st->name, sizeof st->name, index < 0 ? "%s" : "%s.%d", name, index);
    st->values = malloc(st->count * sizeof *st->values);
    if (!st->values) abort();
    mebi__download(s, view, st->values);
    check(mebi__stream_wait(s));
    if (strncmp(name, "vae", 3) == 0 || strcmp(name, "decoded") == 0) channels_first(st);
    fprintf(stderr, "%s\n", st->name);
}

static void write_dump(const dump *d, const char *path) {
    json_t *header = json_object();
    size_t offset = 0;
    for (int i = 0; i < d->count; i++) {
        json_t *shape = json_array();
        size_t end = offset + d->stages[i].count * sizeof(float);
        for (int k = 0; k < d->stages[i].shape.rank; k++)
            json_array_append_new(shape, json_integer(d->stages[i].shape.dim[k]));
        json_object_set_new(header, d->stages[i].name,
                            json_pack("{s:s, s:o, s:[I,I]}", "dtype", "F32", "shape", shape, "data_offsets",
                                      (json_int_t)offset, (json_int_t)end));
        offset = end;
    }
    char *text = json_dumps(header, JSON_COMPACT);
    uint64_t length = strlen(text);
    FILE *f = fopen(path, "wb");
    if (!f) perror(path), exit(1);
    fwrite(&length, sizeof length, 1, f);
    fwrite(text, 1, length, f);
    for (int i = 0; i < d->count; i++) fwrite(d->stages[i].values, sizeof(float), d->stages[i].count, f);
    if (fclose(f)) perror(path), exit(1);
    free(text);
    json_decref(header);
}

/* What a pass needs: the same function runs on the dry device first. */
typedef struct pass {
    mebi__pipeline model;
    const char *part;
    int64_t h, w, tokens;
    float *latent, *features, *out, time;
    int32_t *ids;
} pass;

static void run_transformer(mebi__stream *s, const pass *p) {
    const mebi__dit_config *c = &p->model.dit.config;
    mebi__view latent = mebi__take3(s, MEBI__F32, c->channels, p->h, p->w);
    mebi__view out = mebi__take3(s, MEBI__F32, c->channels, p->h, p->w);
    mebi__view features = mebi__take2(s, MEBI__F32, p->tokens, c->caption_dim);
    mebi__dit_prompt prompt;
    mebi__dit_step step;
    mebi__upload(s, latent, p->latent);
    mebi__upload(s, features, p->features);
    mebi__dit_prompt_take(s, &p->model.dit, features, p->h, p->w, 1, &prompt);
    mebi__dit_step_take(s, &p->model.dit, p->time, &step);
    mebi__dit_forward(s, &p->model.dit, &prompt, &step, latent, out);
    mebi__stream_wait(s);
}

static void run_part(mebi__stream *s, const pass *p) {
    const mebi__strategy way = {0};
    if (strcmp(p->part, "transformer") == 0) run_transformer(s, p);
    else if (strcmp(p->part, "text_encoder") == 0)
        mebi__pipeline_encode(s, &p->model, &way, p->ids, (int)p->tokens, p->out);
    else mebi__pipeline_decode(s, &p->model, &way, p->latent, p->h, p->w, (unsigned char *)p->out);
}

static void read_inputs(pass *p, const mebi__safetensors *f) {
    size_t count;
    if (strcmp(p->part, "text_encoder") == 0) {
        const mebi__stored *ids = input(f, "ids");
        p->tokens = (int64_t)(ids->bytes / 8);
        p->ids = calloc((size_t)p->tokens, sizeof *p->ids);
        p->out = calloc((size_t)(p->tokens * p->model.encoder.config.hidden), sizeof *p->out);
        if (!p->ids || !p->out) abort();
        for (int64_t i = 0; i < p->tokens; i++) memcpy(&p->ids[i], ids->data + 8 * i, sizeof *p->ids);
        return;
    }
    const mebi__stored *latent = input(f, "latent");
    p->h = latent->shape.dim[latent->shape.rank - 2];
    p->w = latent->shape.dim[latent->shape.rank - 1];
    p->latent = copy_f32(latent, &count);
    if (strcmp(p->part, "vae") == 0) {
        int64_t scale = mebi__vae_scale(&p->model.vae.config);
        p->out = calloc((size_t)(p->h * p->w * scale * scale * 3), 1);
        return;
    }
    p->features = copy_f32(input(f, "features"), &count);
    p->tokens = (int64_t)count / p->model.dit.config.caption_dim;
    float *time = copy_f32(input(f, "timestep"), &count);
    p->time = *time;
    free(time);
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: fullsize-pass MODEL REFERENCE.safetensors OUT.safetensors "
                        "[transformer|text_encoder|vae [int8]]\n");
        return 2;
    }
    pass p = {.part = argc > 4 ? argv[4] : "transformer"};
    mebi__pool *pool;
    mebi__device *device, *dry;
    mebi__model_files files;
    mebi__safetensors reference;
    mebi__model_paths paths = {.folder = argv[1]};
    check(mebi__pool_create(mebi__physical_cores(), &pool, &err));
    mebi__cpu_level level;
    check(mebi__cpu_choose(&level, &err));
    check(mebi__cpu_create(level, pool, &device, &err));
    check(mebi__model_files_open(&paths, &files, &err));
    check(mebi__safetensors_open(argv[2], &reference, &err));
    mebi__pipeline *m = &p.model;
    int int8 = argc > 5 && strcmp(argv[5], "int8") == 0;
    mebi__loading how = {.device = device,
                         .tensors = strcmp(p.part, "transformer") == 0 ? files.dit : files.encoder,
                         .precision = int8 ? MEBI__PRECISION_INT8 : MEBI__PRECISION_PLAIN};
    if (strcmp(p.part, "transformer") == 0)
        check(mebi__dit_load(&m->dit, &how, &files.dit_config, &err));
    else if (strcmp(p.part, "text_encoder") == 0)
        check(mebi__qwen3_load(&m->encoder, &how, &files.encoder_config, &err));
    else check(mebi__vae_load(&m->vae, device, files.vae, &files.vae_config, 0, &err));
    read_inputs(&p, &reference);

    mebi__buffer boundless = {.bytes = SIZE_MAX};
    check(mebi__dry_create(device, &dry, &err));
    mebi__stream plan = {.device = dry, .memory = &boundless, .err = &err};
    mebi__arena_init(&plan.arena, SIZE_MAX / 2);
    run_part(&plan, &p);
    check(plan.status);
    size_t arena = plan.arena.peak, scratch = mebi__dry_report_of(dry)->scratch_bytes;
    double operations = 0;
    for (int k = 0; k < MEBI__OP_COUNT; k++) operations += mebi__dry_report_of(dry)->operations[k];

    dump d = {0};
    mebi__stream s = {.device = device, .err = &err, .observe = observe, .observe_context = &d};
    mebi__arena_init(&s.arena, arena);
    check(device->table->buffer_create(device, MEBI__TAG_ACTIVATIONS, arena, &s.memory, &err));
    check(device->table->scratch_reserve(device, scratch, &err));
    double began = mebi__now_seconds();
    run_part(&s, &p);
    check(s.status);
    double seconds = mebi__now_seconds() - began;
    printf("%s: %.1f s, %.2f T operations, %.0f GOP/s, arena %.1f MB, scratch %.1f MB\n", p.part, seconds,
           operations * 1e-12, operations * 1e-9 / seconds, (double)arena * 1e-6, (double)scratch * 1e-6);
    write_dump(&d, argv[3]);
    return 0;
}

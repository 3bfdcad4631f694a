/* Sets of random tensors: the names and shapes of a part, and memory for their values. Must list what
 * loading asks for, no more and no less. */
#include "weights/random.h"

#include "base/memory.h"
#include "base/os.h"
#include "weights/random_values.h"
#include "weights/tensor_set.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHARE = 1 << 18 }; /* elements a task makes */

/* A set in the making; the first error sticks. */
typedef struct builder {
    const mebi__random_how *how;
    mebi__tag tag;
    mebi__entry *entry;
    mebi__recipe *recipe; /* of entry i */
    int *rows_only;
    int count, capacity;
    mebi_status status;
    mebi_error *err;
} builder;

static mebi_status no_memory(mebi_error *err) {
    return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the list of random tensors.");
}

static int grow(builder *b) {
    size_t capacity = b->capacity ? 2 * (size_t)b->capacity : 128;
    mebi__entry *entry =
        mebi__realloc_array(MEBI__TAG_GENERAL, b->entry, capacity, sizeof *entry);
    if (entry) b->entry = entry;
    mebi__recipe *recipe =
        mebi__realloc_array(MEBI__TAG_GENERAL, b->recipe, capacity, sizeof *recipe);
    if (recipe) b->recipe = recipe;
    int *rows_only =
        mebi__realloc_array(MEBI__TAG_GENERAL, b->rows_only, capacity, sizeof *rows_only);
    if (rows_only) b->rows_only = rows_only;
    if (entry && recipe && rows_only) b->capacity = (int)capacity;
    else b->status = no_memory(b->err);
    return b->status == MEBI_OK;
}

/* A tensor of values mean +- deviation; NULL after an error. */
__attribute__((format(printf, 5, 0))) static mebi__recipe *
add_listed(builder *b, const mebi__shape *shape, double mean, double deviation, const char *name,
           va_list args) {
    if (b->status != MEBI_OK || (b->count == b->capacity && !grow(b))) return NULL;
    mebi__recipe *r = &b->recipe[b->count];
    *r = (mebi__recipe){.mean = (float)mean, .deviation = (float)deviation};
    int length = vsnprintf(r->name, sizeof r->name, name, args);
    assert(length > 0 && (size_t)length < sizeof r->name);
    (void)length;
    r->seed = mebi__random_seed(b->how->seed, r->name);
    b->entry[b->count] = (mebi__entry){
        .tensor = {.dtype = MEBI__BF16, .shape = *shape}, .type_name = "BF16"};
    b->rows_only[b->count++] = 0;
    return r;
}

__attribute__((format(printf, 5, 6))) static mebi__recipe *
vector(builder *b, int64_t n, double mean, double deviation, const char *name, ...) {
    va_list args;
    va_start(args, name);
    mebi__recipe *r =
        add_listed(b, &(mebi__shape){1, {n}}, mean, deviation, name, args);
    va_end(args);
    return r;
}

/* Outputs as large as inputs, times gain. */
__attribute__((format(printf, 5, 6))) static mebi__recipe *
matrix(builder *b, int64_t n, int64_t k, double gain, const char *name, ...) {
    va_list args;
    va_start(args, name);
    mebi__recipe *r = add_listed(b, &(mebi__shape){2, {n, k}}, 0, gain / sqrt((double)k), name, args);
    va_end(args);
    return r;
}

/* The same for one that int8 packs. */
__attribute__((format(printf, 5, 6))) static mebi__recipe *
packed(builder *b, int64_t n, int64_t k, double gain, const char *name, ...) {
    va_list args;
    va_start(args, name);
    mebi__recipe *r = add_listed(b, &(mebi__shape){2, {n, k}}, 0, gain / sqrt((double)k), name, args);
    va_end(args);
    /* Only rows of that many elements can be packed; others must be there. */
    if (r) b->rows_only[b->count - 1] = b->how->rows_only && k % mebi__dtype_block(MEBI__INT8_PANELS) == 0;
    return r;
}

/* ---- the diffusion transformer ---- */

/* The i-th place planted under a key. */
static int64_t spot_of(const builder *b, const char *key, int i, int64_t among) {
    char name[160];
    snprintf(name, sizeof name, "%s#%d", key, i);
    return (int64_t)(mebi__random_seed(b->how->seed, name) % (uint64_t)among);
}

/* Outliers in a tensor: the same places for all tensors of one key. */
static void plant(builder *b, mebi__recipe *r, const char *key, int spots, int64_t width,
                  int64_t among, float factor) {
    if (!r || !b->how->outliers) return;
    r->spots = spots;
    r->spot_width = width;
    r->factor = factor;
    for (int i = 0; i < spots; i++) r->spot[i] = spot_of(b, key, i, among);
}

/* The columns that read what was planted under that key. */
static void balance(builder *b, mebi__recipe *r, const char *key, int columns, int64_t width,
                    float factor) {
    if (!r || !b->how->outliers) return;
    r->columns = columns;
    r->width = width;
    r->column_factor = factor;
    for (int i = 0; i < columns; i++) r->column[i] = spot_of(b, key, i, width);
}

static void dit_block(builder *b, const mebi__dit_config *c, const char *group, int i,
                      int modulated) {
    const float channel = 50, branch = 80; /* of w1 and of w3: their product reaches 1e5 */
    const float read = 1.0f / 128;         /* of w2: as much from those as from the rest */
    int64_t d = c->dim, f = c->ffn_hidden;
    char key[64];
    snprintf(key, sizeof key, "%s.%d", group, i);
    plant(b, vector(b, d, 1, 0.2, "%s.attention_norm1.weight", key), key, 6, 1, d, channel);
    plant(b, vector(b, d, 1, 0.2, "%s.ffn_norm1.weight", key), key, 6, 1, d, channel);
    /* What a block adds to the stream. */
    vector(b, d, 0.4, 0.1, "%s.attention_norm2.weight", key);
    vector(b, d, 0.4, 0.1, "%s.ffn_norm2.weight", key);
    /* Attention that is neither flat nor a single token. */
    vector(b, c->head_dim, 1.4, 0.2, "%s.attention.norm_q.weight", key);
    vector(b, c->head_dim, 1.4, 0.2, "%s.attention.norm_k.weight", key);
    static const char *const leaf[] = {"attention.to_q", "attention.to_k", "attention.to_v",
                                       "attention.to_out.0"};
    /* A block without modulation runs once a picture, and is never packed. */
    mebi__recipe *(*add)(builder *, int64_t, int64_t, double, const char *, ...) =
        modulated ? packed : matrix;
    for (int k = 0; k < 4; k++) {
        mebi__recipe *r = add(b, d, d, 1, "%s.%s.weight", key, leaf[k]);
        if (k < 3) balance(b, r, key, 6, d, 1 / channel);
    }
    for (int k = 1; k <= 3; k += 2) {
        mebi__recipe *r = add(b, f, d, 1, "%s.feed_forward.w%d.weight", key, k);
        plant(b, r, key, 4, d, f, branch);
        balance(b, r, key, 6, d, 1 / channel);
    }
    balance(b, add(b, d, f, 1, "%s.feed_forward.w2.weight", key), key, 4, f, read);
    if (!modulated) return;
    matrix(b, 4 * d, c->adaln_dim, 0.5, "%s.adaLN_modulation.0.weight", key);
    vector(b, 4 * d, 0, 0.3, "%s.adaLN_modulation.0.bias", key);
}

static void list_dit(builder *b, const void *config) {
    const mebi__dit_config *c = config;
    int64_t d = c->dim, inputs = (int64_t)c->channels * c->patch * c->patch;
    int p = c->patch;
    matrix(b, d, inputs, 1, "all_x_embedder.%d-1.weight", p);
    vector(b, d, 0, 0.1, "all_x_embedder.%d-1.bias", p);
    vector(b, c->caption_dim, 1, 0.2, "cap_embedder.0.weight");
    matrix(b, d, c->caption_dim, 1, "cap_embedder.1.weight");
    vector(b, d, 0, 0.1, "cap_embedder.1.bias");
    matrix(b, c->time_hidden, c->time_frequencies, 1, "t_embedder.mlp.0.weight");
    vector(b, c->time_hidden, 0, 0.1, "t_embedder.mlp.0.bias");
    matrix(b, c->adaln_dim, c->time_hidden, 1, "t_embedder.mlp.2.weight");
    vector(b, c->adaln_dim, 0, 0.1, "t_embedder.mlp.2.bias");
    mebi__shape row = {2, {1, d}};
    for (int i = 0; i < 2; i++) {
        vector(b, d, 0, 0.7, i ? "cap_pad_token" : "x_pad_token");
        if (b->status == MEBI_OK) b->entry[b->count - 1].tensor.shape = row;
    }
    matrix(b, d, c->adaln_dim, 0.5, "all_final_layer.%d-1.adaLN_modulation.1.weight", p);
    vector(b, d, 0, 0.3, "all_final_layer.%d-1.adaLN_modulation.1.bias", p);
    matrix(b, inputs, d, 1, "all_final_layer.%d-1.linear.weight", p);
    vector(b, inputs, 0, 0.1, "all_final_layer.%d-1.linear.bias", p);
    for (int i = 0; i < c->refiner_layers; i++) {
        dit_block(b, c, "noise_refiner", i, 1);
        dit_block(b, c, "context_refiner", i, 0);
    }
    for (int i = 0; i < c->layers; i++) dit_block(b, c, "layers", i, 1);
}

/* ---- the text encoder ---- */

static void list_encoder(builder *b, const void *config) {
    const mebi__qwen3_config *c = config;
    int64_t h = c->hidden, f = c->intermediate;
    int64_t q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    matrix(b, c->vocab, h, 0.5 * sqrt((double)h), "model.embed_tokens.weight");
    for (int i = 0; i < c->layers - 1; i++) {
        char key[64];
        snprintf(key, sizeof key, "model.layers.%d", i);
        vector(b, h, 1, 0.2, "%s.input_layernorm.weight", key);
        vector(b, h, 1, 0.2, "%s.post_attention_layernorm.weight", key);
        vector(b, c->head_dim, 1.4, 0.2, "%s.self_attn.q_norm.weight", key);
        vector(b, c->head_dim, 1.4, 0.2, "%s.self_attn.k_norm.weight", key);
        packed(b, q, h, 1, "%s.self_attn.q_proj.weight", key);
        packed(b, kv, h, 1, "%s.self_attn.k_proj.weight", key);
        packed(b, kv, h, 1, "%s.self_attn.v_proj.weight", key);
        packed(b, h, q, 0.5, "%s.self_attn.o_proj.weight", key); /* no norm follows */
        packed(b, f, h, 1, "%s.mlp.gate_proj.weight", key);
        packed(b, f, h, 1, "%s.mlp.up_proj.weight", key);
        packed(b, h, f, 0.5, "%s.mlp.down_proj.weight", key);
    }
}

/* ---- the autoencoder ---- */

static void conv(builder *b, int64_t out, int64_t in, int64_t size, double gain, const char *name) {
    matrix(b, out, in * size * size, gain, "%s.weight", name);
    if (b->status == MEBI_OK)
        b->entry[b->count - 1].tensor.shape = (mebi__shape){4, {out, in, size, size}};
    vector(b, out, 0, 0.1, "%s.bias", name);
}

static void norm(builder *b, int64_t channels, const char *name, const char *leaf) {
    vector(b, channels, 1, 0.2, "%s%s.weight", name, leaf);
    vector(b, channels, 0, 0.1, "%s%s.bias", name, leaf);
}

static void resnet(builder *b, int64_t out, int64_t in, const char *name) {
    char part[96];
    norm(b, in, name, ".norm1");
    norm(b, out, name, ".norm2");
    snprintf(part, sizeof part, "%s.conv1", name);
    conv(b, out, in, 3, 1, part);
    snprintf(part, sizeof part, "%s.conv2", name);
    conv(b, out, out, 3, 1, part);
    snprintf(part, sizeof part, "%s.conv_shortcut", name);
    if (in != out) conv(b, out, in, 1, 1, part);
}

static void middle(builder *b, int64_t c) {
    static const char *const leaf[] = {"to_q", "to_k", "to_v", "to_out.0"};
    static const char attention[] = "decoder.mid_block.attentions.0";
    resnet(b, c, c, "decoder.mid_block.resnets.0");
    resnet(b, c, c, "decoder.mid_block.resnets.1");
    norm(b, c, attention, ".group_norm");
    for (int i = 0; i < 4; i++) {
        matrix(b, c, c, 1, "%s.%s.weight", attention, leaf[i]);
        vector(b, c, 0, 0.1, "%s.%s.bias", attention, leaf[i]);
    }
}

static void list_vae(builder *b, const void *config) {
    const mebi__vae_config *c = config;
    int64_t in = c->block_channels[c->levels - 1];
    conv(b, in, c->latent_channels, 3, 1, "decoder.conv_in");
    middle(b, in);
    for (int i = 0; i < c->levels; i++) {
        char name[80];
        int64_t out = c->block_channels[c->levels - 1 - i];
        for (int r = 0; r <= c->layers_per_block; r++) {
            snprintf(name, sizeof name, "decoder.up_blocks.%d.resnets.%d", i, r);
            resnet(b, out, r ? out : in, name);
        }
        snprintf(name, sizeof name, "decoder.up_blocks.%d.upsamplers.0.conv", i);
        if (i + 1 < c->levels) conv(b, out, out, 3, 1, name);
        in = out;
    }
    norm(b, in, "decoder.conv_norm_out", "");
    conv(b, 3, in, 3, 0.4, "decoder.conv_out");
}

/* ---- values ---- */

typedef struct filling {
    const mebi__recipe *recipe;
    int64_t elements;
    uint16_t *out;
} filling;

static void fill_share(void *context, int task, int thread) {
    const filling *f = context;
    int64_t first = (int64_t)task * SHARE, left = f->elements - first;
    (void)thread;
    mebi__random_fill(f->recipe, first, left < SHARE ? left : SHARE, f->out + first);
}

static size_t place_of(size_t *end, size_t bytes) {
    size_t at = *end;
    *end += (bytes + 63) / 64 * 64;
    return at;
}

static size_t bytes_of(const mebi__entry *e) {
    size_t bytes = 0;
    int valid = mebi__shape_bytes(&e->tensor.shape, MEBI__BF16, &bytes);
    assert(valid);
    (void)valid;
    return bytes;
}

static mebi_status take_memory(const builder *b, mebi__random_part *part, mebi_error *err) {
    size_t nothing = 0;
    for (int i = 0; i < b->count; i++) {
        size_t bytes = bytes_of(&b->entry[i]);
        if (!b->rows_only[i]) (void)place_of(&part->memory_bytes, bytes);
        else if (bytes > nothing) nothing = bytes;
    }
    /* The system would hand out more than there is, and end the process when it is used. */
    if (part->memory_bytes + nothing <= mebi__memory_available()) {
        part->memory = mebi__alloc(b->tag, part->memory_bytes);
        part->nothing = nothing ? mebi__alloc(b->tag, nothing) : NULL;
    }
    if (!part->memory || (nothing && !part->nothing))
        return mebi__fail(err, MEBI_NO_MEMORY,
                          "%.2f GB for random weights can't be had; take int8, or close other programs.",
                          (double)(part->memory_bytes + nothing) * 1e-9);
    if (nothing) memset(part->nothing, 0xff, nothing); /* NaN */
    return MEBI_OK;
}

static void fill_all(const builder *b, mebi__random_part *part, mebi__pool *pool) {
    size_t end = 0;
    for (int i = 0; i < b->count; i++) {
        mebi__tensor *t = &b->entry[i].tensor;
        size_t bytes = bytes_of(&b->entry[i]);
        mebi__random_levels(&b->recipe[i]);
        if (b->rows_only[i]) {
            t->data = part->nothing;
            t->recipe = &b->recipe[i];
            continue;
        }
        filling f = {&b->recipe[i], (int64_t)(bytes / sizeof(uint16_t)),
                     (uint16_t *)(void *)(part->memory + place_of(&end, bytes))};
        t->data = f.out;
        mebi__pool_run(pool, (int)((f.elements + SHARE - 1) / SHARE), fill_share, &f);
    }
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const mebi__entry *)a)->tensor.name, ((const mebi__entry *)b)->tensor.name);
}

/* A file that isn't there: one tensor's addresses behind the other's. */
static mebi_status place_nowhere(mebi__tensors *set, mebi_error *err) {
    size_t all = 0, end = 0;
    set->file = mebi__alloc(MEBI__TAG_GENERAL, sizeof *set->file);
    if (!set->file) return no_memory(err);
    set->file_count = set->file_capacity = 1;
    for (int i = 0; i < set->count; i++) (void)place_of(&all, bytes_of(&set->entry[i]));
    if (!mebi__map_nothing(all, &set->file->map)) return no_memory(err);
    for (int i = 0; i < set->count; i++) {
        mebi__entry *e = &set->entry[i];
        e->tensor.data = set->file->map.data + place_of(&end, bytes_of(e));
    }
    return MEBI_OK;
}

/* The set takes over the builder's entries; the part its recipes. */
static mebi_status finish(builder *b, mebi__part kind, mebi__pool *pool, mebi__random_part *part,
                          mebi_error *err) {
    char path[96];
    MEBI_TRY(b->status);
    if (!b->how->shapes_only) {
        MEBI_TRY(take_memory(b, part, err));
        fill_all(b, part, pool);
    }
    for (int i = 0; i < b->count; i++) b->entry[i].tensor.name = b->recipe[i].name;
    qsort(b->entry, (size_t)b->count, sizeof *b->entry, by_name);
    part->tensors = mebi__alloc(MEBI__TAG_GENERAL, sizeof *part->tensors);
    if (!part->tensors) return no_memory(err);
    if (b->how->shapes_only) snprintf(path, sizeof path, "shapes without weights");
    else
        snprintf(path, sizeof path, "random weights (seed %llu%s)", (unsigned long long)b->how->seed,
                 b->how->outliers ? ", with outliers" : "");
    *part->tensors = (mebi__tensors){.part = kind, .path = mebi__copy_string(path, strlen(path)),
                                     .entry = b->entry, .count = b->count, .capacity = b->capacity};
    b->entry = NULL;
    if (!part->tensors->path) return no_memory(err);
    return b->how->shapes_only ? place_nowhere(part->tensors, err) : MEBI_OK;
}

static mebi_status make(void (*list)(builder *b, const void *config), const void *config,
                        mebi__part kind, mebi__tag tag, const mebi__random_how *how,
                        mebi__pool *pool, mebi__random_part *out, mebi_error *err) {
    builder b = {.how = how, .tag = tag, .err = err};
    *out = (mebi__random_part){0};
    list(&b, config);
    out->recipes = b.recipe;
    mebi_status status = finish(&b, kind, pool, out, err);
    mebi__free(b.entry);
    mebi__free(b.rows_only);
    if (status != MEBI_OK) mebi__random_close(out);
    return status;
}

mebi_status mebi__random_dit(const mebi__dit_config *config, const mebi__random_how *how,
                             mebi__pool *pool, mebi__random_part *out, mebi_error *err) {
    return make(list_dit, config, MEBI__PART_DIT, MEBI__TAG_DIT, how, pool, out, err);
}

mebi_status mebi__random_encoder(const mebi__qwen3_config *config, const mebi__random_how *how,
                                 mebi__pool *pool, mebi__random_part *out, mebi_error *err) {
    return make(list_encoder, config, MEBI__PART_ENCODER, MEBI__TAG_ENCODER, how, pool, out, err);
}

mebi_status mebi__random_vae(const mebi__vae_config *config, const mebi__random_how *how,
                             mebi__pool *pool, mebi__random_part *out, mebi_error *err) {
    return make(list_vae, config, MEBI__PART_VAE, MEBI__TAG_VAE, how, pool, out, err);
}

void mebi__random_close(mebi__random_part *part) {
    mebi__tensors_close(&part->tensors);
    mebi__free(part->recipes);
    mebi__free(part->nothing);
    mebi__free(part->memory);
    *part = (mebi__random_part){0};
}

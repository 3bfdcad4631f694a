/* Any bytes as each of the JSON files of a model. Byte 0 chooses which; the last choice is the
 * index of a folder with two shards. */
#include "base/memory.h"
#include "weights/config_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void require(int condition) {
    if (!condition) abort();
}

static char folder[] = "/tmp/mebi-fuzz-XXXXXX";
static char files[3][64];

static void clean_up(void) {
    for (int i = 0; i < 3; i++) unlink(files[i]);
    rmdir(folder);
}

static void write_file(const char *path, const void *data, size_t bytes) {
    FILE *f = fopen(path, "wb");
    require(f != NULL);
    require(fwrite(data, 1, bytes, f) == bytes);
    require(fclose(f) == 0);
}

static void make_folder(void) {
    static const char *const names[] = {"model.safetensors.index.json", "a.safetensors",
                                        "b.safetensors"};
    require(mkdtemp(folder) != NULL);
    for (int i = 0; i < 3; i++) {
        char file[128] = {0};
        snprintf(files[i], sizeof files[i], "%s/%s", folder, names[i]);
        int n = snprintf(file + 8, sizeof file - 8,
                         "{\"%c\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[0,2]}}12",
                         'a' - 1 + i);
        file[0] = (char)(n - 2);
        if (i > 0) write_file(files[i], file, 8 + (size_t)n);
    }
    atexit(clean_up);
}

static void open_index(const uint8_t *data, size_t bytes) {
    static int made;
    if (!made++) make_folder();
    write_file(files[0], data, bytes);
    mebi__tensors *set = NULL;
    if (mebi__tensors_open(folder, MEBI__PART_DIT, &set, NULL) == MEBI_OK)
        require(mebi__tensors_count(set) >= 1);
    mebi__tensors_close(&set);
}

static void check_dit(const mebi__dit_config *c) {
    require(c->dim >= 1 && c->dim <= MEBI__LIMIT_WIDTH && c->heads * c->head_dim == c->dim);
    require(c->axes_dim[0] + c->axes_dim[1] + c->axes_dim[2] == c->head_dim);
    require(c->layers >= 1 && c->refiner_layers >= 0 && c->channels >= 1 && c->caption_dim >= 1);
    require(c->norm_eps > 0 && c->rope_theta > 1 && c->time_scale > 0);
}

static void check_encoder(const mebi__qwen3_config *c) {
    require(c->hidden >= 1 && c->layers >= 1 && c->intermediate >= 1 && c->vocab >= 1);
    require(c->heads % c->kv_heads == 0 && c->head_dim >= 2 && c->head_dim % 2 == 0);
    require(c->norm_eps > 0 && c->rope_theta > 1);
}

static void check_vae(const mebi__vae_config *c) {
    require(c->levels >= 1 && c->levels <= 8 && c->layers_per_block >= 1 &&
            c->latent_channels >= 1);
    for (int i = 0; i < c->levels; i++)
        require(c->block_channels[i] >= 1 && c->block_channels[i] % c->groups == 0);
    require(c->scaling > 0 && c->shift > -1e7f && c->shift < 1e7f);
}

static void read_config(int choice, json_t *root, mebi_error *err) {
    mebi__dit_config dit;
    mebi__qwen3_config encoder;
    mebi__vae_config vae;
    mebi__scheduler_config scheduler;
    mebi_status status = MEBI_OK;
    switch (choice) {
    case 0:
        status = mebi__dit_config_read("c", root, &dit, err);
        if (status == MEBI_OK) check_dit(&dit);
        break;
    case 1:
        status = mebi__qwen3_config_read("c", root, &encoder, err);
        if (status == MEBI_OK) check_encoder(&encoder);
        break;
    case 2:
        status = mebi__vae_config_read("c", root, &vae, err);
        if (status == MEBI_OK) check_vae(&vae);
        break;
    case 3:
        status = mebi__scheduler_config_read("c", root, &scheduler, err);
        if (status == MEBI_OK) require(scheduler.train_timesteps >= 1 && scheduler.shift > 0);
        break;
    default: status = mebi__pipeline_check("c", root, err);
    }
    require(status == err->status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes < 1) return 0;
    int choice = data[0] % 6;
    if (choice == 5) open_index(data + 1, bytes - 1);
    else {
        json_t *root = NULL;
        mebi_error err = {0};
        char *text = malloc(bytes);
        require(text != NULL);
        memcpy(text, data + 1, bytes - 1);
        if (mebi__json_parse("c", text, bytes - 1, &root, &err) == MEBI_OK)
            read_config(choice, root, &err);
        for (const char *c = err.text; *c; c++) require((unsigned char)*c >= 0x20 && *c != 0x7F);
        json_decref(root);
        free(text);
    }
    require(mebi__memory_held(MEBI__TAG_COUNT) == 0);
    return 0;
}

/* One part of a model as a sorted set of tensors, from a file or a folder with shards. Must never
 * open a file that an index names outside its own folder. */
#include "weights/tensor_set.h"
#include "base/memory.h"
#include "weights/json.h"
#include "weights/names.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHARDS = 1024, NAME_BLOCK = 1 << 14 };

struct mebi__name_block {
    struct mebi__name_block *next;
    size_t used;
    char text[NAME_BLOCK];
};

static mebi_status no_memory(const mebi__tensors *set, mebi_error *err) {
    return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the list of tensors of %s.", set->path);
}

static int ends_with(const char *text, const char *tail) {
    size_t a = strlen(text), b = strlen(tail);
    return a >= b && strcmp(text + a - b, tail) == 0;
}

static const char *keep_name(mebi__tensors *set, const char *name) {
    size_t bytes = strlen(name) + 1;
    struct mebi__name_block *block = set->names;
    if (!block || bytes > NAME_BLOCK - block->used) {
        block = mebi__alloc(MEBI__TAG_GENERAL, sizeof *block);
        if (!block) return NULL;
        block->next = set->names;
        set->names = block;
    }
    char *kept = block->text + block->used;
    memcpy(kept, name, bytes);
    block->used += bytes;
    return kept;
}

static mebi_status add_entry(mebi__tensors *set, const char *name, const mebi__entry *entry,
                             mebi_error *err) {
    int total = set->count + set->refused;
    if (total == set->capacity) {
        int capacity = total ? 2 * total : 256;
        mebi__entry *grown =
            mebi__realloc_array(MEBI__TAG_GENERAL, set->entry, (size_t)capacity, sizeof *grown);
        if (!grown) return no_memory(set, err);
        set->entry = grown;
        set->capacity = capacity;
    }
    set->entry[total] = *entry;
    set->entry[total].tensor.name = keep_name(set, name);
    if (!set->entry[total].tensor.name) return no_memory(set, err);
    if (entry->unsupported) set->refused++;
    else set->count++;
    return MEBI_OK;
}

/* q, k and v are the three thirds of the rows of a fused tensor [3 * N, K]. */
static mebi_status add_thirds(mebi__tensors *set, const char *name, const mebi__entry *whole,
                              mebi_error *err) {
    int64_t rows = whole->tensor.shape.dim[0];
    if (!whole->unsupported && (whole->tensor.shape.rank != 2 || rows % 3 != 0)) {
        char shape[96];
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: tensor %s has shape %s, but fused q, k and v need 2 dimensions and "
                          "rows divisible by 3.",
                          set->file[whole->file].path, name,
                          mebi__shape_text(&whole->tensor.shape, shape, sizeof shape));
    }
    for (int i = 0; i < 3; i++) {
        mebi__entry third = *whole;
        char slice[MEBI__LONG_NAME_BYTES];
        if (!whole->unsupported) {
            size_t bytes = 0;
            third.tensor.shape.dim[0] = rows / 3;
            (void)mebi__shape_bytes(&third.tensor.shape, third.tensor.dtype, &bytes);
            third.tensor.data = (const unsigned char *)whole->tensor.data + (size_t)i * bytes;
        }
        mebi__names_slice(name, i, slice);
        MEBI_TRY(add_entry(set, slice, &third, err));
    }
    return MEBI_OK;
}

static int is_beside(const mebi__stored_file *file, const char *name, int length, const char *tail) {
    char other[MEBI__LONG_NAME_BYTES];
    snprintf(other, sizeof other, "%.*s%s", length, name, tail);
    for (int i = 0; i < file->count; i++)
        if (strcmp(file->tensor[i].name, other) == 0) return 1;
    return 0;
}

/* Integers are weights only together with their scale, and nothing else that changes them. NULL if so. */
static const char *why_no_int8(const mebi__stored_file *file, const char *name) {
    int length = (int)strlen(name);
    if (!is_beside(file, name, length, "_scale")) return "it is int8 without a scale beside it";
    int stem = length > 7 && ends_with(name, ".weight") ? length - 7 : length;
    if (is_beside(file, name, length, "_zero_point")) return "its int8 has a zero point";
    if (is_beside(file, name, stem, ".comfy_quant")) return "its int8 may be rotated (comfy_quant)";
    return NULL;
}

static mebi_status add_stored(mebi__tensors *set, const mebi__renaming *renaming, int file,
                              const mebi__stored *stored, mebi_error *err) {
    char name[MEBI__LONG_NAME_BYTES];
    int slices = mebi__names_translate(renaming, stored->name, name);
    mebi__entry entry = {
        .tensor = {.dtype = stored->dtype, .shape = stored->shape, .data = stored->data},
        .type_name = stored->type_name,
        .unsupported = stored->unsupported,
        .file = file,
    };
    if (!entry.unsupported && stored->dtype == MEBI__I8)
        entry.unsupported = why_no_int8(&set->file[file], stored->name);
    if (slices == 3) return add_thirds(set, name, &entry, err);
    mebi__shape *shape = &entry.tensor.shape;
    if (mebi__names_is_flat(renaming, name)) /* [C, C, 1, 1] -> [C, C] */
        while (shape->rank > 2 && shape->dim[shape->rank - 1] == 1) shape->rank--;
    return add_entry(set, name, &entry, err);
}

/* Usable ones first, each half by name. */
static int by_name(const void *a, const void *b) {
    const mebi__entry *x = a, *y = b;
    if (!x->unsupported != !y->unsupported) return x->unsupported ? 1 : -1;
    return strcmp(x->tensor.name, y->tensor.name);
}

static int compare_name(const void *name, const void *entry) {
    return strcmp(name, ((const mebi__entry *)entry)->tensor.name);
}

mebi__entry *mebi__tensors_entry(const mebi__tensors *set, const char *name) {
    mebi__entry *e = NULL;
    if (set->count > 0) e = bsearch(name, set->entry, (size_t)set->count, sizeof *e, compare_name);
    if (!e && set->refused > 0)
        e = bsearch(name, set->entry + set->count, (size_t)set->refused, sizeof *e, compare_name);
    return e;
}

const mebi__stored_file *mebi__tensors_gguf(const mebi__tensors *set) {
    return set->file_count == 1 && set->file[0].is_gguf ? &set->file[0] : NULL;
}

static mebi_status check_unique(const mebi__tensors *set, mebi_error *err) {
    for (int i = 1; i < set->count + set->refused; i++) {
        const mebi__entry *a = &set->entry[i - 1], *b = &set->entry[i];
        if (strcmp(a->tensor.name, b->tensor.name) == 0)
            return mebi__fail(err, MEBI_BAD_FILE,
                              "%s: the tensor %s is there twice (in %s and %s, perhaps under two "
                              "names).",
                              set->path, a->tensor.name, set->file[a->file].path,
                              set->file[b->file].path);
    }
    return MEBI_OK;
}

static mebi_status fill(mebi__tensors *set, mebi_error *err) {
    mebi__renaming renaming = {.part = set->part};
    for (int f = 0; f < set->file_count; f++)
        for (int i = 0; i < set->file[f].count; i++)
            mebi__names_learn(&renaming, set->file[f].tensor[i].name);
    for (int f = 0; f < set->file_count; f++)
        for (int i = 0; i < set->file[f].count; i++)
            MEBI_TRY(add_stored(set, &renaming, f, &set->file[f].tensor[i], err));
    qsort(set->entry, (size_t)(set->count + set->refused), sizeof *set->entry, by_name);
    MEBI_TRY(check_unique(set, err));
    return mebi__tensors_attach_scales(set, err);
}

static mebi_status open_file(mebi__tensors *set, const char *path, mebi_error *err) {
    if (set->file_count == set->file_capacity) {
        int capacity = set->file_capacity ? 2 * set->file_capacity : 4;
        mebi__stored_file *grown =
            mebi__realloc_array(MEBI__TAG_GENERAL, set->file, (size_t)capacity, sizeof *grown);
        if (!grown) return no_memory(set, err);
        set->file = grown;
        set->file_capacity = capacity;
    }
    MEBI_TRY(mebi__stored_open(path, &set->file[set->file_count], err));
    set->file_count++;
    return MEBI_OK;
}

/* A shard is a file of the index's own folder, so its name has no folder in it. */
static mebi_status check_shard_name(const char *index, const char *tensor, const json_t *shard,
                                    mebi_error *err) {
    const char *name = json_string_value(shard);
    if (!name)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: weight_map: the file of tensor %s is not a string.", index,
                          mebi__show(tensor).text);
    int plain = ends_with(name, ".safetensors") && strlen(name) <= 255 && !strpbrk(name, "/\\:");
    for (const char *c = name; *c; c++) plain &= (unsigned char)*c >= 0x20 && *c != 0x7F;
    if (plain) return MEBI_OK;
    return mebi__fail(err, MEBI_BAD_FILE,
                      "%s: weight_map names the file \"%s\": only a plain name of a .safetensors "
                      "file in the same folder is opened.",
                      index, mebi__show(name).text);
}

static int has_file(const mebi__tensors *set, const char *path) {
    for (int i = 0; i < set->file_count; i++)
        if (strcmp(set->file[i].path, path) == 0) return 1;
    return 0;
}

static mebi_status open_shard(mebi__tensors *set, const char *index, const char *folder,
                              const char *name, mebi_error *err) {
    char *path = mebi__join_path(folder, name);
    if (!path) return no_memory(set, err);
    mebi_status status = MEBI_OK;
    if (!has_file(set, path)) {
        if (set->file_count >= SHARDS)
            status = mebi__fail(err, MEBI_BAD_FILE, "%s names more than %d files.", index, SHARDS);
        else if (!mebi__is_file(path))
            status =
                mebi__fail(err, MEBI_IO, "%s is missing, but %s lists it: download that file too.",
                           path, index);
        else status = open_file(set, path, err);
    }
    mebi__free(path);
    return status;
}

static int compare_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Every tensor of the map lies in the file that the map says. */
static mebi_status check_shard(const char *index, json_t *map, const mebi__stored_file *file,
                               const char **names, mebi_error *err) {
    const char *slash = strrchr(file->path, '/'), *tensor;
    const char *base = slash ? slash + 1 : file->path;
    json_t *shard;
    for (int i = 0; i < file->count; i++) names[i] = file->tensor[i].name;
    qsort(names, (size_t)file->count, sizeof *names, compare_text);
    json_object_foreach(map, tensor, shard) {
        if (strcmp(json_string_value(shard), base) != 0) continue;
        if (!bsearch(&tensor, names, (size_t)file->count, sizeof *names, compare_text))
            return mebi__fail(err, MEBI_BAD_FILE,
                              "%s says that tensor %s is in %s, but it is not there: the files "
                              "don't belong together.",
                              index, mebi__show(tensor).text, base);
    }
    return MEBI_OK;
}

static mebi_status check_shards(const mebi__tensors *set, const char *index, json_t *map,
                                mebi_error *err) {
    int most = 0;
    for (int f = 0; f < set->file_count; f++)
        if (set->file[f].count > most) most = set->file[f].count;
    const char **names = mebi__alloc_array(MEBI__TAG_GENERAL, (size_t)most, sizeof *names);
    mebi_status status = names ? MEBI_OK : no_memory(set, err);
    for (int f = 0; f < set->file_count && status == MEBI_OK; f++)
        status = check_shard(index, map, &set->file[f], names, err);
    mebi__free(names);
    return status;
}

static mebi_status open_map(mebi__tensors *set, const char *index, const char *folder, json_t *root,
                            mebi_error *err) {
    json_t *map = json_object_get(root, "weight_map"), *shard;
    const char *tensor;
    if (!json_is_object(map))
        return mebi__fail(err, MEBI_BAD_FILE, "%s has no \"weight_map\" object.", index);
    if (json_object_size(map) == 0)
        return mebi__fail(err, MEBI_BAD_FILE, "%s: its weight_map is empty.", index);
    json_object_foreach(map, tensor, shard) {
        MEBI_TRY(check_shard_name(index, tensor, shard, err));
        MEBI_TRY(open_shard(set, index, folder, json_string_value(shard), err));
    }
    return check_shards(set, index, map, err);
}

static mebi_status open_index(mebi__tensors *set, const char *folder, const char *index,
                              mebi_error *err) {
    json_t *root = NULL;
    MEBI_TRY(mebi__json_load(index, &root, err));
    mebi_status status = open_map(set, index, folder, root, err);
    json_decref(root);
    return status;
}

static mebi_status refuse_empty(const mebi__tensors *set, const char *folder, mebi_error *err) {
    char *index = mebi__join_path(folder, "model_index.json");
    if (!index) return no_memory(set, err);
    int whole = mebi__is_file(index);
    mebi__free(index);
    if (whole)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s is the folder of a whole model: give the part's own sub-folder.",
                          folder);
    return mebi__fail(err, MEBI_IO, "%s holds no .safetensors or .gguf file.", folder);
}

/* The only model file of a folder, whatever its name; foreign files are told apart. */
static mebi_status open_only_file(mebi__tensors *set, const char *folder, mebi_error *err) {
    static const char *const foreign[] = {".bin", ".ckpt", ".pt", ".pth"};
    char found[256] = "", other[256] = "";
    int count = 0;
    DIR *directory = opendir(folder);
    if (!directory)
        return mebi__fail(err, MEBI_IO, "%s can't be read: %s.", folder, strerror(errno));
    for (struct dirent *d; (d = readdir(directory));) {
        int ours = ends_with(d->d_name, ".safetensors") || ends_with(d->d_name, ".gguf");
        /* readdir's order is the file system's; the message should not depend on it. */
        if (ours && (!count++ || strcmp(d->d_name, found) < 0))
            snprintf(found, sizeof found, "%s", d->d_name);
        for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
            if (ends_with(d->d_name, foreign[i]) && (!other[0] || strcmp(d->d_name, other) < 0))
                snprintf(other, sizeof other, "%s", d->d_name);
    }
    closedir(directory);
    if (count > 1)
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s holds %d model files (such as %s) and no index "
                          "(*.safetensors.index.json) that says how they belong together.",
                          folder, count, mebi__show(found).text);
    if (count == 0 && !other[0]) return refuse_empty(set, folder, err);
    char *path = mebi__join_path(folder, count ? found : other);
    if (!path) return no_memory(set, err);
    mebi_status status = open_file(set, path, err); /* of a foreign file: says what it is */
    mebi__free(path);
    return status;
}

static mebi_status open_folder(mebi__tensors *set, const char *folder, mebi_error *err) {
    static const char *const stems[] = {"diffusion_pytorch_model.safetensors", "model.safetensors"};
    mebi_status status = MEBI_OK;
    int done = 0;
    for (int i = 0; i < 4 && !done && status == MEBI_OK; i++) {
        char name[80];
        snprintf(name, sizeof name, "%s%s", stems[i / 2], i % 2 ? ".index.json" : "");
        char *path = mebi__join_path(folder, name);
        if (!path) return no_memory(set, err);
        done = mebi__is_file(path);
        if (done) status = i % 2 ? open_index(set, folder, path, err) : open_file(set, path, err);
        mebi__free(path);
    }
    return done || status != MEBI_OK ? status : open_only_file(set, folder, err);
}

static mebi_status open_path(mebi__tensors *set, const char *path, mebi_error *err) {
    set->path = mebi__copy_string(path, strlen(path));
    if (!set->path) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the path %s.", path);
    if (mebi__is_directory(path)) MEBI_TRY(open_folder(set, path, err));
    else MEBI_TRY(open_file(set, path, err));
    return fill(set, err);
}

mebi_status mebi__tensors_open(const char *path, mebi__part part, mebi__tensors **out,
                               mebi_error *err) {
    *out = NULL;
    mebi__tensors *set = mebi__alloc(MEBI__TAG_GENERAL, sizeof *set);
    if (!set) return mebi__fail(err, MEBI_NO_MEMORY, "No memory to open %s.", path);
    set->part = part;
    mebi_status status = open_path(set, path, err);
    if (status != MEBI_OK) mebi__tensors_close(&set);
    *out = set;
    return status;
}

void mebi__tensors_close(mebi__tensors **tensors) {
    mebi__tensors *set = *tensors;
    *tensors = NULL;
    if (!set) return;
    for (int i = 0; i < set->problem_count; i++) mebi__free(set->problem[i].name);
    mebi__free(set->problem);
    for (struct mebi__name_block *next, *block = set->names; block; block = next) {
        next = block->next;
        mebi__free(block);
    }
    for (int i = 0; i < set->count + set->refused; i++) mebi__free(set->entry[i].values);
    mebi__free(set->entry);
    for (int i = 0; i < set->file_count; i++) mebi__stored_close(&set->file[i]);
    mebi__free(set->file);
    mebi__free(set->path);
    mebi__free(set);
}

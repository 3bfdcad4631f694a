/* What a model file holds, for people. Must never read more of it than its header. */
#include "mebi/file.h"
#include "weights/gguf.h"

#include <stdlib.h>
#include <string.h>

static void count_type(mebi_file_info *info, const mebi__stored *t) {
    int i = 0;
    while (i < info->types && strcmp(info->type[i].name, t->type_name) != 0) i++;
    if (i == MEBI_FILE_TYPES) return;
    if (i == info->types) info->type[info->types++] = (mebi_file_type){.name = t->type_name};
    info->type[i].tensors++;
    if (!t->unsupported) info->type[i].readable = 1;
}

static int commonest_first(const void *a, const void *b) {
    const mebi_file_type *x = a, *y = b;
    if (x->tensors != y->tensors) return y->tensors - x->tensors;
    return strcmp(x->name, y->name);
}

mebi_status mebi_file_describe(const char *path, mebi_file_info *info, mebi_error *err) {
    mebi__stored_file file;
    const char *text;
    size_t bytes;
    memset(info, 0, sizeof *info);
    mebi_status status = mebi__stored_open(path, &file, err);
    if (status != MEBI_OK) return status;
    info->format = file.is_gguf ? "GGUF" : "safetensors";
    info->tensors = file.count;
    info->bytes = file.map.bytes;
    for (int i = 0; i < file.count; i++) {
        size_t elements = 0;
        count_type(info, &file.tensor[i]);
        if (mebi__shape_elements(&file.tensor[i].shape, &elements)) info->elements += elements;
    }
    qsort(info->type, (size_t)info->types, sizeof *info->type, commonest_first);
    if (mebi__gguf_string(mebi__gguf_find(&file, "general.architecture"), &text, &bytes))
        memcpy(info->architecture, text,
               bytes < sizeof info->architecture ? bytes : sizeof info->architecture - 1);
    mebi__stored_close(&file);
    return MEBI_OK;
}

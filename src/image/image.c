/* Pictures' memory, and that of the libraries that read and write them. */
#include "base/memory.h"
#include "image/png.h"

void mebi_image_release(mebi_image *image) {
    mebi__free(image->pixels);
    *image = (mebi_image){0};
}

void mebi_png_texts_free(mebi_png_text *texts) {
    mebi__free(texts);
}

_Thread_local int mebi__png_memory_short;

static void *note(void *block) {
    if (!block) mebi__png_memory_short = 1;
    return block;
}

static void *take(size_t bytes) {
    return note(mebi__alloc(MEBI__TAG_OUTPUT, bytes));
}

static void *take_array(size_t count, size_t size) {
    return note(mebi__alloc_array(MEBI__TAG_OUTPUT, count, size));
}

static void *grow(void *block, size_t bytes) {
    return note(mebi__realloc_array(MEBI__TAG_OUTPUT, block, bytes, 1));
}

struct spng_alloc mebi__png_alloc = {take, grow, take_array, mebi__free};

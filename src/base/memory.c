/* Tagged allocation. Each block carries a 64-byte header before the pointer handed out. */
#include "base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { HEADER = 64, MAPPED_FROM = 64 << 10, LARGE_FROM = 4 << 20, PAGE = 4096 };

typedef struct block_header {
    size_t bytes; /* as asked for */
    size_t total; /* as taken from the system */
    mebi__tag tag;
    int mapped;
} block_header;

static _Atomic size_t held[MEBI__TAG_COUNT + 1], peak[MEBI__TAG_COUNT + 1];
static _Atomic uint64_t asked, fail_at;

static void raise_peak(_Atomic size_t *top, size_t now) {
    size_t old = atomic_load(top);
    while (now > old && !atomic_compare_exchange_weak(top, &old, now)) {}
}

static void count(mebi__tag tag, size_t bytes) {
    raise_peak(&peak[tag], atomic_fetch_add(&held[tag], bytes) + bytes);
    raise_peak(&peak[MEBI__TAG_COUNT], atomic_fetch_add(&held[MEBI__TAG_COUNT], bytes) + bytes);
}

/* Large pages where a block is walked in long strides and filled wholly anyway: activations and weights
 * lie rows apart, and small pages would cost a walk of the page table for each. */
static void ask_large_pages(mebi__tag tag, void *raw, size_t total) {
#ifdef MADV_HUGEPAGE
    int filled = tag == MEBI__TAG_ACTIVATIONS || tag == MEBI__TAG_SCRATCH || tag == MEBI__TAG_DIT ||
                 tag == MEBI__TAG_ENCODER || tag == MEBI__TAG_VAE;
    if (filled && total >= LARGE_FROM) (void)madvise(raw, total, MADV_HUGEPAGE);
#else
    (void)tag, (void)raw, (void)total;
#endif
}

static int told_to_fail(void) {
    uint64_t n = atomic_fetch_add(&asked, 1) + 1;
    return n == atomic_load(&fail_at);
}

size_t mebi__memory_block(size_t bytes) {
    size_t total = bytes + HEADER, unit = total >= MAPPED_FROM ? PAGE : HEADER;
    return (total + unit - 1) & ~(unit - 1);
}

void *mebi__alloc(mebi__tag tag, size_t bytes) {
    if (told_to_fail() || bytes == 0 || bytes > PTRDIFF_MAX - 2 * PAGE) return NULL;
    size_t total = mebi__memory_block(bytes);
    int mapped = total >= MAPPED_FROM;
    unsigned char *raw;
    if (mapped) {
        raw = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (raw == MAP_FAILED) return NULL;
        ask_large_pages(tag, raw, total);
    } else {
        raw = aligned_alloc(HEADER, total);
        if (!raw) return NULL;
        memset(raw, 0, total);
    }
    block_header *h = (block_header *)raw;
    *h = (block_header){.bytes = bytes, .total = total, .tag = tag, .mapped = mapped};
    count(tag, total);
    return raw + HEADER;
}

void *mebi__alloc_array(mebi__tag tag, size_t n, size_t size) {
    size_t bytes;
    return __builtin_mul_overflow(n, size, &bytes) ? NULL : mebi__alloc(tag, bytes);
}

void mebi__free(void *block) {
    if (!block) return;
    block_header *h = (block_header *)((unsigned char *)block - HEADER);
    atomic_fetch_sub(&held[h->tag], h->total);
    atomic_fetch_sub(&held[MEBI__TAG_COUNT], h->total);
    if (h->mapped) munmap(h, h->total);
    else free(h);
}

void *mebi__realloc_array(mebi__tag tag, void *block, size_t n, size_t size) {
    void *grown = mebi__alloc_array(tag, n, size);
    if (!grown || !block) return grown;
    block_header *h = (block_header *)((unsigned char *)block - HEADER);
    memcpy(grown, block, h->bytes < n * size ? h->bytes : n * size);
    mebi__free(block);
    return grown;
}

char *mebi__copy_string(const char *text, size_t length) {
    char *copy = length < SIZE_MAX ? mebi__alloc(MEBI__TAG_GENERAL, length + 1) : NULL;
    if (copy) memcpy(copy, text, length);
    return copy;
}

size_t mebi__memory_held(mebi__tag tag) {
    return atomic_load(&held[tag]);
}

size_t mebi__memory_peak(mebi__tag tag) {
    return atomic_load(&peak[tag]);
}

const char *mebi__tag_name(mebi__tag tag) {
    static const char *const names[] = {"general",     "tokenizer", "DiT weights", "encoder weights", "VAE weights",
                                        "activations", "scratch",   "output",      "total"};
    return names[tag];
}

uint64_t mebi__memory_fail_nth(uint64_t nth) {
    uint64_t before = atomic_exchange(&asked, 0);
    atomic_store(&fail_at, nth);
    return before;
}

static _Atomic size_t pretended;

void mebi__memory_pretend_available(size_t bytes) {
    atomic_store(&pretended, bytes);
}

size_t mebi__memory_pretended(void) {
    return atomic_load(&pretended);
}

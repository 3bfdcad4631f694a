/* Tagged allocation: every byte the program holds on the heap is counted under a purpose, so that a
 * plan can be compared with what really happened, and a test can make any allocation fail.
 *
 * Counters are one set per process (memory is the process's), lock-free, safe from any thread. */
#ifndef MEBI_BASE_MEMORY_H
#define MEBI_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

typedef enum mebi__tag {
    MEBI__TAG_GENERAL,     /* names, parsed files, bookkeeping */
    MEBI__TAG_TEXT,        /* tokenizer tables */
    MEBI__TAG_DIT,         /* diffusion transformer weights */
    MEBI__TAG_ENCODER,     /* text encoder weights */
    MEBI__TAG_VAE,         /* autoencoder weights */
    MEBI__TAG_ACTIVATIONS, /* a job's arena */
    MEBI__TAG_SCRATCH,     /* kernels' scratch */
    MEBI__TAG_OUTPUT,      /* pixels and encoded files */
    MEBI__TAG_COUNT
} mebi__tag;

/* Zeroed memory aligned to 64 bytes, or NULL (also for 0 bytes or an absurd size). Blocks of 64 KiB and more
 * are mapped of their own, so that freeing them gives them back to the system. */
void *mebi__alloc(mebi__tag tag, size_t bytes);

/* The same for count * size with the product checked. */
void *mebi__alloc_array(mebi__tag tag, size_t count, size_t size);

/* Grows or shrinks; contents kept, new bytes zeroed. On NULL the old block is untouched. */
void *mebi__realloc_array(mebi__tag tag, void *block, size_t count, size_t size);

/* Accepts NULL. */
void mebi__free(void *block);

/* A terminated copy of length bytes. NULL when out of memory. */
char *mebi__copy_string(const char *text, size_t length);

/* Bytes held now and at most so far under a tag, block headers and page rounding included;
 * MEBI__TAG_COUNT asks for the sum. */
size_t mebi__memory_held(mebi__tag tag);
size_t mebi__memory_peak(mebi__tag tag);
/* What a block of so many bytes would add. */
size_t mebi__memory_block(size_t bytes);
const char *mebi__tag_name(mebi__tag tag);

/* For tests: the nth allocation from now fails (1 = the next), once. 0 switches it off. Returns
 * how many allocations were asked for since the last call. */
uint64_t mebi__memory_fail_nth(uint64_t nth);

/* For tests: what mebi__memory_available says from now on, whatever the system has; 0: the truth again. */
void mebi__memory_pretend_available(size_t bytes);
size_t mebi__memory_pretended(void);

#endif

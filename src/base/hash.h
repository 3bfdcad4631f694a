/* A fast hash against accidents. Not against forgers. */
#ifndef MEBI_BASE_HASH_H
#define MEBI_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* 64 bits over bytes of any alignment; another seed gives another hash. Any change within one
 * 8-byte word changes it for certain. The same on every machine of one byte order. */
uint64_t mebi__hash(uint64_t seed, const void *data, size_t bytes);

#endif

/* A piece of text that lies in something larger: not terminated, may hold any byte. */
#ifndef MEBI_BASE_SPAN_H
#define MEBI_BASE_SPAN_H

#include <stddef.h>

typedef struct mebi__span {
    const char *text;
    size_t bytes;
} mebi__span;

#endif

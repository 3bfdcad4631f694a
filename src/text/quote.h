/* Text from a file or a stranger, fit for a message. */
#ifndef MEBI_TEXT_QUOTE_H
#define MEBI_TEXT_QUOTE_H

#include <stddef.h>

typedef struct mebi__quoted {
    char text[88];
} mebi__quoted;

/* Up to 80 bytes of text, with "..." if that is not all. What is not UTF-8, and characters that
 * control a terminal or the direction of writing, become '?'. */
mebi__quoted mebi__quote(const char *text, size_t bytes);
mebi__quoted mebi__quote_string(const char *text);

#endif

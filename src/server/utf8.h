/* Is it UTF-8? Not overlong, no surrogates, nothing beyond U+10FFFF. */
#ifndef MEBI_SERVER_UTF8_H
#define MEBI_SERVER_UTF8_H

#include <stddef.h>

int mebi__utf8_good(const char *text, size_t bytes);
/* Each byte that is none of a character becomes '?': what was cut, or never was text. */
void mebi__utf8_mend(char *text);

#endif

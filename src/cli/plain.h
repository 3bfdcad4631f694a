/* Text from files and command lines, made fit for a terminal and for JSON. */
#ifndef MEBI_CLI_PLAIN_H
#define MEBI_CLI_PLAIN_H

#include <stdio.h>

/* Prints text; control characters other than tab and newline, and bytes that are not UTF-8, as '?'.
 */
void plain_print(FILE *to, const char *text);

/* text as UTF-8, wrong bytes replaced by U+FFFD, into out; what does not fit is left out. Returns
 * out. */
char *plain_utf8(const char *text, char *out, size_t bytes);

int plain_is_utf8(const char *text);

#endif

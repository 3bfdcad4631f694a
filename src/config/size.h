/* How picture sizes are written. */
#ifndef MEBI_CONFIG_SIZE_H
#define MEBI_CONFIG_SIZE_H

/* Two positive numbers of up to 5 digits with x, X or : between them ("1024x768", "16:9"), or one
 * ("1024", which is both). Returns 'x' or ':', or 0 for anything else, shapes beyond 64:1 too. */
char mebi__size_read(const char *text, int *a, int *b);

#endif

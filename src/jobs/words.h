/* Texts as a search compares them. */
#ifndef MEBI_JOBS_WORDS_H
#define MEBI_JOBS_WORDS_H

/* Both texts with a line's end between them, without case, accents and the differences between forms of one
 * character (Unicode's NFKC and case folding, marks stripped). Bytes that are no UTF-8 fold as ASCII. NULL when out
 * of memory; freed with mebi__free. */
char *mebi__words_fold(const char *text, const char *other);

/* 1 if it is UTF-8 without anything that isn't. */
int mebi__words_are_utf8(const char *text);

/* Copies as much of a text as fits, whole characters only. */
void mebi__words_cut(char *out, unsigned long bytes, const char *text);

#endif

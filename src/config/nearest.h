/* The word that was probably meant. */
#ifndef MEBI_CONFIG_NEAREST_H
#define MEBI_CONFIG_NEAREST_H

typedef struct mebi__nearest {
    char word[32]; /* what was written, at most its first 31 bytes */
    int least;     /* more edits than this are no likeness */
    const char *best;
} mebi__nearest;

mebi__nearest mebi__nearest_begin(const char *word);
/* Keeps the name as best if it is nearer than those before. */
void mebi__nearest_offer(mebi__nearest *n, const char *name);

#endif

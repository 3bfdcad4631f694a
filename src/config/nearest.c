/* The word that was probably meant. Must never offer one that is merely the least different. */
#include "config/nearest.h"

#include <stdio.h>
#include <string.h>

/* Edits between two words, for words of up to 31 letters. */
static int distance(const char *a, const char *b) {
    int row[32], m = (int)strlen(b);
    if (m > 31 || strlen(a) > 31) return 99;
    for (int j = 0; j <= m; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int replace = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            int best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = best < replace ? best : replace;
        }
    }
    return row[m];
}

mebi__nearest mebi__nearest_begin(const char *word) {
    mebi__nearest n = {.best = NULL};
    snprintf(n.word, sizeof n.word, "%.31s", word);
    n.least = (int)(strlen(n.word) + 2) / 3 + 1; /* a third of the letters may be wrong */
    return n;
}

void mebi__nearest_offer(mebi__nearest *n, const char *name) {
    int d = distance(n->word, name), shortened = strncmp(n->word, name, strlen(n->word)) == 0;
    if (shortened && n->word[0] && n->word[1]) d = 1;
    if (d < n->least) n->least = d, n->best = name;
}

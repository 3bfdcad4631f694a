/* How a random tensor's values come about; for the files of this folder. */
#ifndef MEBI_WEIGHTS_RANDOM_VALUES_H
#define MEBI_WEIGHTS_RANDOM_VALUES_H

#include <stdint.h>

enum {
    MEBI__RANDOM_LEVELS = 1021, /* sums of four bytes: nearly a normal distribution */
    MEBI__RANDOM_SPOTS = 6,
};

/* All that decides a tensor's values. */
typedef struct mebi__recipe {
    char name[112];
    uint64_t seed;
    float mean, deviation;
    /* Planted outliers: runs of spot_width elements, `factor` times as large. */
    int spots;
    int64_t spot[MEBI__RANDOM_SPOTS], spot_width; /* spot i begins at spot[i] * spot_width */
    float factor;
    /* Columns that are `column_factor` times as large; rows have `width` elements. */
    int columns;
    int64_t column[MEBI__RANDOM_SPOTS], width;
    float column_factor;
    uint16_t level[MEBI__RANDOM_LEVELS]; /* bf16, by mean and deviation */
} mebi__recipe;

/* FNV-1a of a name, scrambled: the start of a tensor's own sequence. */
uint64_t mebi__random_seed(uint64_t seed, const char *name);
/* Fills level[] from mean and deviation. */
void mebi__random_levels(mebi__recipe *recipe);
/* Elements [first, first + count) in bf16. */
void mebi__random_fill(const mebi__recipe *recipe, int64_t first, int64_t count, uint16_t *out);

#endif

/* What may stand for something else in the name of a picture. */
#ifndef MEBI_CONFIG_NAMING_H
#define MEBI_CONFIG_NAMING_H

#include <stddef.h>

typedef enum mebi__name_part {
    MEBI__NAME_UNKNOWN = -1,
    MEBI__NAME_SEED,
    MEBI__NAME_INDEX, /* %i: 1, 2, ... */
    MEBI__NAME_DATE,  /* 20261231 */
    MEBI__NAME_TIME,  /* 235959 */
    MEBI__NAME_SIZE,  /* 1024x768 */
    MEBI__NAME_STEPS,
    MEBI__NAME_CFG,
    MEBI__NAME_MODEL,   /* the last component of its path */
    MEBI__NAME_PERCENT, /* %% */
    MEBI__NAME_PARTS
} mebi__name_part;

/* text begins with %: which it is, and how many bytes long. */
mebi__name_part mebi__name_part_read(const char *text, size_t *length);

/* For messages. */
#define MEBI__NAME_PARTS_TEXT "%seed, %i, %date, %time, %size, %steps, %cfg, %model or %%"

#endif

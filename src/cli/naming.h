/* Names of output files. */
#ifndef MEBI_CLI_NAMING_H
#define MEBI_CLI_NAMING_H

#include "mebi/status.h"

#include <stddef.h>
#include <stdint.h>

enum { PATH_BYTES = 4096 };

/* What a name may tell of a picture. */
typedef struct naming_facts {
    int64_t seed;
    int i; /* 1..count */
    int width, height, steps;
    double cfg;
    const char *model; /* any text; what no file name can have becomes '_' */
} naming_facts;

/* The pattern with %seed, %i, %size, %steps, %cfg, %model and %% replaced, into path; %date and
 * %time too, by the time now. Other uses of % are refused. */
MEBI_MUST_USE mebi_status naming_expand(const char *pattern, const naming_facts *facts, char *path,
                                        size_t bytes, mebi_error *err);

/* %date (YYYYMMDD) and %time (HHMMSS) replaced by the time now, the rest kept: so that all pictures
 * of a job have the same. */
MEBI_MUST_USE mebi_status naming_stamp(const char *pattern, char *stamped, size_t bytes,
                                       mebi_error *err);

/* 1 if the pattern gives each of count pictures a name of its own. */
int naming_is_distinct(const char *pattern, int count);

/* folder/name.png as a pattern; a name that has its .png keeps it, and a % in the folder is one. */
MEBI_MUST_USE mebi_status naming_join(const char *folder, const char *name, char *pattern,
                                      size_t bytes, mebi_error *err);

/* "dir/name.png" -> "dir/name_2.png", for a name that is taken. */
MEBI_MUST_USE mebi_status naming_variant(const char *path, int n, char *out, size_t bytes,
                                         mebi_error *err);

#endif

/* Names of output files. */
#ifndef MEBI_CLI_NAMING_H
#define MEBI_CLI_NAMING_H

#include "mebi/status.h"

#include <stddef.h>
#include <stdint.h>

enum { PATH_BYTES = 4096 };

/* The pattern with %seed, %i (1..count) and %% replaced, into path. Other uses of % are refused. */
MEBI_MUST_USE mebi_status naming_expand(const char *pattern, int64_t seed, int i, char *path,
                                        size_t bytes, mebi_error *err);

/* 1 if the pattern gives each of count pictures a name of its own. */
int naming_is_distinct(const char *pattern, int count);

/* outputs/mebi_YYYYMMDDHHMMSS_%seed.png with the time now. */
void naming_default(char *pattern, size_t bytes);

/* "dir/name.png" -> "dir/name_2.png", for a name that is taken. */
MEBI_MUST_USE mebi_status naming_variant(const char *path, int n, char *out, size_t bytes,
                                         mebi_error *err);

#endif

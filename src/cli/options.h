/* Command-line options from one table a command: parsing, --help and error texts all come from it.
 */
#ifndef MEBI_CLI_OPTIONS_H
#define MEBI_CLI_OPTIONS_H

#include "mebi/status.h"

#include <stdint.h>
#include <stdio.h>

typedef enum option_kind {
    OPTION_FLAG,    /* int *: set to 1 */
    OPTION_TEXT,    /* const char **: the argument itself */
    OPTION_INTEGER, /* int64_t *: within minimum..maximum */
    OPTION_NUMBER,  /* double *: finite, within minimum..maximum */
    OPTION_MAYBE,   /* const char **: the argument where the word has one (--draft=4), else "" */
} option_kind;

typedef struct option {
    char letter; /* 0: none */
    const char *name;
    option_kind kind;
    void *value;
    const char *argument; /* what --help calls the argument; NULL for flags */
    const char *help;     /* '\n' breaks lines */
    double minimum, maximum;
    int *given; /* set to 1 when the option is used; may be NULL */
} option;

/* Reads argv[1..] into the options' values. Arguments that are not options go to rest[0..limit)
 * and *rest_count. Errors name the option and what it takes; unknown ones name the nearest. argv
 * ends with NULL; at most 64 options; one with an argument may be given once. */
MEBI_MUST_USE mebi_status options_parse(const option *options, int count, int argc, char **argv,
                                        const char **rest, int limit, int *rest_count,
                                        mebi_error *err);

void options_print(FILE *to, const option *options, int count);

#endif

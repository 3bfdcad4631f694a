/* The settings in effect, and where each comes from: defaults, then config.yaml, then the
 * environment, then the command line; later ones win. */
#ifndef MEBI_CONFIG_CONFIG_H
#define MEBI_CONFIG_CONFIG_H

#include "base/error.h"
#include "config/schema.h"

#include <stddef.h>
#include <stdint.h>

typedef enum mebi__origin {
    MEBI__ORIGIN_DEFAULT,
    MEBI__ORIGIN_FILE,
    MEBI__ORIGIN_ENVIRONMENT,
    MEBI__ORIGIN_PICTURE, /* what a picture's file says about how it was made */
    MEBI__ORIGIN_FLAG,
    MEBI__ORIGINS
} mebi__origin;

/* "default", "file", "environment", "picture", "option". Never NULL. */
const char *mebi__origin_name(mebi__origin origin);

typedef struct mebi__value {
    char *text; /* NULL: the schema's fallback */
    mebi__origin origin;
    int line;         /* of the file */
    const char *name; /* as the file calls it: the setting's own name or an alias */
} mebi__value;

/* Begins with all zeros; ended by mebi__config_free. */
typedef struct mebi__config {
    char *path; /* of the file that was read; NULL: none */
    mebi__value value[MEBI__SETTINGS];
} mebi__config;

void mebi__config_free(mebi__config *c);

/* The file to read: asked (may be NULL), else the environment's MEBI_CONFIG (empty: none), else the
 * user's own, if it exists: XDG_CONFIG_HOME/mebi/config.yaml or ~/.config/mebi/config.yaml. *path
 * is NULL where there is none; freed with mebi__free. */
MEBI_MUST_USE mebi_status mebi__config_find(const char *asked, char **path, mebi_error *err);
/* Where the user's own would be, whether or not it exists. MEBI_IO where the environment names no
 * place. */
MEBI_MUST_USE mebi_status mebi__config_home(char **path, mebi_error *err);

/* A file of at most 1 MB. Whatever it refuses, it refuses with the line: "config.yaml:12: ...".
 * What was read before stays. */
MEBI_MUST_USE mebi_status mebi__config_read(mebi__config *c, const char *path, mebi_error *err);
/* The same from memory; name is what messages call it. */
MEBI_MUST_USE mebi_status mebi__config_parse(mebi__config *c, const char *name, const char *text,
                                             size_t bytes, mebi_error *err);

/* The schema's variables; empty ones are not set. */
MEBI_MUST_USE mebi_status mebi__config_environment(mebi__config *c, mebi_error *err);

/* Finds the file and reads it, if there is one, then the environment. asked: --config, may be NULL.
 */
MEBI_MUST_USE mebi_status mebi__config_load(mebi__config *c, const char *asked, mebi_error *err);

/* One value, from elsewhere than the file. One from a greater place stays. */
MEBI_MUST_USE mebi_status mebi__config_set(mebi__config *c, mebi__setting_id id,
                                           mebi__origin origin, const char *text, mebi_error *err);

/* The text of a config.yaml that holds all settings with their defaults, each behind a '#', below
 * what it is for. Freed with free(); NULL when out of memory. */
char *mebi__config_template(void);

/* What is in effect. Text of settings that have none: "". Integers given as a word: 0. */
const char *mebi__config_text(const mebi__config *c, mebi__setting_id id);
int64_t mebi__config_integer(const mebi__config *c, mebi__setting_id id);
double mebi__config_number(const mebi__config *c, mebi__setting_id id);
/* Its place among the schema's words. */
int mebi__config_word(const mebi__config *c, mebi__setting_id id);

#endif

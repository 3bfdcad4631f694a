/* What `mebi plan` says, on standard output. */
#ifndef MEBI_CLI_PLAN_PRINT_H
#define MEBI_CLI_PLAN_PRINT_H

#include "mebi/engine.h"

#include <jansson.h>

/* A request and its plan. */
typedef struct planned {
    mebi_request request;
    mebi_plan plan;
} planned;

/* How the user named things, for commands to run: options before the request's own. */
typedef struct plan_words {
    const char *command; /* "mebi generate -m models/mini -p \"...\"" or "mebi plan" */
    const char *model;   /* for people */
    const char *machine; /* "this machine", "RTX 3060 12GB" */
} plan_words;

/* 1: standard output is a terminal that shows colours. */
int plan_has_colour(void);

void plan_print_one(const planned *p, const plan_words *words);
void plan_print_head(const plan_words *words, const mebi_plan *any);
void plan_print_columns(void);
void plan_print_row(const planned *p, int with_precision);
/* The new object is the caller's. */
json_t *plan_json(const planned *p, const plan_words *words);

#endif

/* Requests and plans as the database keeps them: JSON, so that another version of mebi reads what it
 * knows of them. */
#ifndef MEBI_JOBS_CODEC_H
#define MEBI_JOBS_CODEC_H

#include "mebi/engine.h"

/* NULL when out of memory, or if a prompt is no UTF-8. Freed with free(). The prompt may be NULL. */
char *mebi__codec_write_request(const mebi_request *request);
/* Missing members keep what *request has. The prompts are the caller's, freed with mebi__free; never NULL.
 * 0: it is no such text, or there is no memory. Unknown members are passed over. */
int mebi__codec_read_request(const char *json, mebi_request *request);

char *mebi__codec_write_plan(const mebi_plan *plan);
int mebi__codec_read_plan(const char *json, mebi_plan *plan);

/* Numbers, and texts: ["...", ...]. */
char *mebi__codec_write_numbers(const double *numbers, int count);
void mebi__codec_read_numbers(const char *json, double *numbers, int count);
char *mebi__codec_write_texts(char *const *texts, int count);
/* How many were read, at most limit; each freed with mebi__free. */
int mebi__codec_read_texts(const char *json, char **texts, int limit);

#endif

/* A setting's value: checked, and brought into one form. */
#ifndef MEBI_CONFIG_VALUE_H
#define MEBI_CONFIG_VALUE_H

#include "base/error.h"
#include "config/schema.h"

#include <stddef.h>
#include <stdint.h>

enum { MEBI__VALUE_BYTES = 4096 }; /* of a value, its end counted */

/* Refuses what the setting does not take. subject begins the sentence: "--steps",
 * "config.yaml:3: steps". out (MEBI__VALUE_BYTES) is the value as the schema writes it: yes and
 * on as true, no and off as false; the rest as given. */
MEBI_MUST_USE mebi_status mebi__value_check(const mebi__setting *s, const char *subject,
                                            const char *text, char *out, mebi_error *err);

/* Whole numbers and numbers within limits; *n is untouched on failure. Nothing but decimal digits,
 * sign, point and exponent is a number. */
MEBI_MUST_USE mebi_status mebi__integer_read(const char *subject, const char *text, double minimum,
                                             double maximum, int64_t *n, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__number_read(const char *subject, const char *text, double minimum,
                                            double maximum, double *n, mebi_error *err);

/* Which of the words (ended by NULL) it is, small and capital letters alike, yes and on for true,
 * no and off for false; -1: none. */
int mebi__word_index(const char *const *words, const char *text);

/* "a, b or c" */
void mebi__words_text(const char *const *words, char *out, size_t bytes);

#endif

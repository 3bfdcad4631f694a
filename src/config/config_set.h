/* How readers put values in. */
#ifndef MEBI_CONFIG_CONFIG_SET_H
#define MEBI_CONFIG_CONFIG_SET_H

#include "config/config.h"

/* Checks and takes a value; subject begins the error's sentence. What a value makes void goes: a
 * model makes parts void that come from less than where it comes from, a quality a precision. */
MEBI_MUST_USE mebi_status mebi__config_put(mebi__config *c, mebi__setting_id id,
                                           mebi__origin origin, const char *subject,
                                           const char *text, mebi_error *err);

#endif

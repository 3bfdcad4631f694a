/* Unicode normalization form C. */
#ifndef MEBI_TEXT_NFC_H
#define MEBI_TEXT_NFC_H

#include "base/error.h"

#include <stddef.h>

/* NFC of valid UTF-8, as a new block (MEBI__TAG_TEXT) in *out with its length in *out_bytes. Where
 * a look at the code points shows that nothing changes, *out is NULL and *out_bytes is bytes: use
 * the text itself. Time grows as n log n, whatever the text. */
MEBI_MUST_USE mebi_status mebi__nfc(const char *text, size_t bytes, char **out, size_t *out_bytes,
                                    mebi_error *err);

#endif

/* Prompts as given: on the command line or on standard input. */
#ifndef MEBI_CLI_PROMPT_H
#define MEBI_CLI_PROMPT_H

#include "mebi/status.h"

/* Most bytes of a prompt: far more than the 512 tokens that count, and little enough that a file
 * can quote it in JSON, where a byte may take 6. */
enum { PROMPT_BYTES = 256 << 10 };

/* *text is a prompt, or "-": then it becomes the whole of standard input, without a byte order
 * mark, with LF line ends and none at its end. *owned is freed with mebi__free. name is for
 * messages: "prompt", "negative prompt". stop is asked when a signal came: non-zero ends with
 * MEBI_CANCELLED. */
MEBI_MUST_USE mebi_status prompt_read(const char *name, const char **text, char **owned,
                                      int (*stop)(void *context), mebi_error *err);

#endif

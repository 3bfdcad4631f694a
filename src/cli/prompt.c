/* Prompts. Whatever could fail later, when a picture is to be described in its file, fails here. */
#include "cli/prompt.h"

#include "base/error.h"
#include "base/memory.h"
#include "cli/plain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* read(2), not stdio: a signal has to get through while nothing comes. */
static mebi_status read_all(const char *name, char *text, size_t room, size_t *length,
                            int (*stop)(void *context), mebi_error *err) {
    *length = 0;
    while (*length < room) {
        ssize_t n = read(STDIN_FILENO, text + *length, room - *length);
        if (stop(NULL))
            return mebi__fail(err, MEBI_CANCELLED, "Stopped while the %s was being read.", name);
        if (n == 0) break;
        if (n > 0) *length += (size_t)n;
        else if (errno != EINTR)
            return mebi__fail(err, MEBI_IO, "The %s can't be read from standard input: %s.", name,
                              strerror(errno));
    }
    return MEBI_OK;
}

/* Byte order mark off, CR LF to LF, line ends at the end off. */
static void tidy(char *text, size_t length) {
    size_t from = length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0, to = 0;
    for (; from < length; from++)
        if (text[from] != '\r' || (from + 1 < length && text[from + 1] != '\n'))
            text[to++] = text[from];
    while (to > 0 && text[to - 1] == '\n') to--;
    text[to] = 0;
}

static mebi_status read_input(const char *name, char **out, int (*stop)(void *context),
                              mebi_error *err) {
    size_t length, room = PROMPT_BYTES + 8; /* a byte order mark and a line end more */
    char *text = mebi__alloc(MEBI__TAG_GENERAL, room + 1);
    if (!text) return mebi__fail(err, MEBI_NO_MEMORY, "No memory to read a prompt.");
    *out = text;
    if (isatty(STDIN_FILENO))
        fprintf(stderr, "Type the %s; Ctrl-D on a line of its own ends it.\n", name);
    MEBI_TRY(read_all(name, text, room, &length, stop, err));
    if (memchr(text, 0, length))
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "The %s on standard input has a zero byte; it must be text in UTF-8.",
                          name);
    tidy(text, length);
    if (!*text)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "The %s is to come from standard input, and that is empty.", name);
    return MEBI_OK;
}

mebi_status prompt_read(const char *name, const char **text, char **owned,
                        int (*stop)(void *context), mebi_error *err) {
    if (strcmp(*text, "-") == 0) {
        MEBI_TRY(read_input(name, owned, stop, err));
        *text = *owned;
    }
    if (strlen(*text) > PROMPT_BYTES)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "The %s has more than %d bytes; only its first 512 tokens would count.",
                          name, PROMPT_BYTES);
    if (!plain_is_utf8(*text))
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "The %s is not UTF-8. Save or send it as UTF-8.",
                          name);
    return MEBI_OK;
}

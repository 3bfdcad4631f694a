/* NFC by utf8proc's tables. The sorting of combining marks is ours because utf8proc_decompose takes
 * quadratic time for a long run of them; a text must never be able to hang the program. */
#include "text/nfc.h"
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* The tokenizer library that the models were trained with normalizes by Unicode 9.0: to it, what
 * came later is inert (combining class 0, no decomposition, part of no composition). These are the
 * later code points of which a newer table says otherwise; where all neighbours are later too, or
 * unassigned, a range covers them as well. U+11A7 is among them because utf8proc takes it for an
 * empty trailing consonant and swallows it. */
static const struct {
    int32_t first, last;
} inert[] = {
    {0x07fd, 0x07fd},   {0x0897, 0x089f},   {0x08ca, 0x08d3},   {0x09fe, 0x09fe},
    {0x0c3c, 0x0c3c},   {0x0d3b, 0x0d3c},   {0x0eba, 0x0eba},   {0x11a7, 0x11a7},
    {0x1715, 0x1715},   {0x1abf, 0x1aff},   {0x1df6, 0x1dfa},   {0xa82c, 0xa82c},
    {0x105c0, 0x105ff}, {0x10d24, 0x10d27}, {0x10d69, 0x10d6d}, {0x10eab, 0x10eac},
    {0x10efa, 0x10eff}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070},
    {0x1133b, 0x1133b}, {0x11380, 0x113ff}, {0x1145e, 0x1145e}, {0x11839, 0x1183a},
    {0x11900, 0x1195f}, {0x119e0, 0x119e0}, {0x11a34, 0x11a34}, {0x11a47, 0x11a47},
    {0x11a99, 0x11a99}, {0x11d42, 0x11d42}, {0x11d44, 0x11d45}, {0x11d97, 0x11d97},
    {0x11f41, 0x11f42}, {0x16100, 0x1613f}, {0x16d40, 0x16d7f}, {0x16ff0, 0x16ff1},
    {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef},
    {0x1e4ec, 0x1e4ef}, {0x1e5ee, 0x1e5ef}, {0x1e6c0, 0x1e6ff},
};

static int is_inert(int32_t c) {
    int low = 0, high = (int)(sizeof inert / sizeof *inert) - 1;
    if (c < inert[0].first) return 0;
    while (low <= high) {
        int middle = (low + high) / 2;
        if (c < inert[middle].first) high = middle - 1;
        else if (c > inert[middle].last) low = middle + 1;
        else return 1;
    }
    return 0;
}

static unsigned combining_class(int32_t c) {
    return is_inert(c) ? 0 : (unsigned)utf8proc_get_property(c)->combining_class;
}

/* Below U+0300 every character is its own NFC and composes with nothing before it. */
static int is_plain(const unsigned char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (text[i] >= 0xcc) return 0;
    return 1;
}

/* Canonical decomposition into to[room]; returns how many code points there are, written or not. */
static size_t decompose(const char *text, size_t bytes, int32_t *to, size_t room) {
    size_t count = 0;
    for (size_t i = 0; i < bytes;) {
        int32_t c = 0;
        utf8proc_ssize_t step =
            utf8proc_iterate((const uint8_t *)text + i, (utf8proc_ssize_t)(bytes - i), &c);
        if (step < 1) break; /* not reached: callers pass valid UTF-8 */
        i += (size_t)step;
        size_t left = room > count ? room - count : 0;
        if (is_inert(c)) {
            if (left) to[count] = c;
            count++;
            continue;
        }
        int boundary = 0;
        utf8proc_ssize_t n =
            utf8proc_decompose_char(c, left ? to + count : NULL, (utf8proc_ssize_t)left,
                                    UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &boundary);
        count += n > 0 ? (size_t)n : 0;
    }
    return count;
}

typedef struct mark {
    uint32_t class, place;
    int32_t c;
} mark;

static int by_class_then_place(const void *a, const void *b) {
    const mark *x = a, *y = b;
    if (x->class != y->class) return x->class < y->class ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static void order_run(int32_t *c, size_t count, mark *marks) {
    for (size_t i = 0; i < count; i++)
        marks[i] = (mark){.class = combining_class(c[i]), .place = (uint32_t)i, .c = c[i]};
    qsort(marks, count, sizeof *marks, by_class_then_place);
    for (size_t i = 0; i < count; i++) c[i] = marks[i].c;
}

/* Canonical ordering: each run of marks (class above 0) sorted by class, stably. */
static mebi_status order_marks(int32_t *c, size_t count, mebi_error *err) {
    size_t longest = 0;
    for (int pass = 0; pass < 2; pass++) {
        mark *marks = NULL;
        if (pass && longest < 2) break;
        if (pass && !(marks = mebi__alloc_array(MEBI__TAG_TEXT, longest, sizeof *marks)))
            return mebi__fail(err, MEBI_NO_MEMORY, "No memory to sort %zu combining marks.",
                              longest);
        for (size_t i = 0, run; i < count; i += run + 1) {
            for (run = 0; i + run < count && combining_class(c[i + run]) > 0;) run++;
            if (run > longest) longest = run;
            if (pass && run > 1) order_run(c + i, run, marks);
        }
        mebi__free(marks);
    }
    return MEBI_OK;
}

/* Composes in place between inert code points, which nothing composes with or across. */
static size_t compose(int32_t *c, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count;) {
        size_t run = 0;
        while (i + run < count && !is_inert(c[i + run])) run++;
        utf8proc_ssize_t n = utf8proc_normalize_utf32(c + i, (utf8proc_ssize_t)run,
                                                      UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        size_t composed = n > 0 ? (size_t)n : 0;
        memmove(c + kept, c + i, composed * sizeof *c);
        kept += composed;
        i += run;
        if (i < count) c[kept++] = c[i++];
    }
    return kept;
}

static char *to_utf8(const int32_t *c, size_t count, size_t *bytes) {
    size_t total = 0, at = 0;
    unsigned char one[4];
    for (size_t i = 0; i < count; i++) total += (size_t)utf8proc_encode_char(c[i], one);
    char *text = mebi__alloc(MEBI__TAG_TEXT, total + 1);
    for (size_t i = 0; text && i < count; i++) {
        size_t n = (size_t)utf8proc_encode_char(c[i], one);
        memcpy(text + at, one, n);
        at += n;
    }
    *bytes = total;
    return text;
}

mebi_status mebi__nfc(const char *text, size_t bytes, char **out, size_t *out_bytes,
                      mebi_error *err) {
    *out = NULL;
    *out_bytes = bytes;
    if (is_plain((const unsigned char *)text, bytes)) return MEBI_OK;
    mebi_status status = MEBI_OK;
    size_t count = decompose(text, bytes, NULL, 0);
    int32_t *c = mebi__alloc_array(MEBI__TAG_TEXT, count, sizeof *c);
    if (!c) return mebi__fail(err, MEBI_NO_MEMORY, "No memory to normalize %zu bytes.", bytes);
    decompose(text, bytes, c, count);
    status = order_marks(c, count, err);
    if (status == MEBI_OK) {
        count = compose(c, count);
        *out = to_utf8(c, count, out_bytes);
        if (!*out)
            status = mebi__fail(err, MEBI_NO_MEMORY, "No memory to normalize %zu bytes.", bytes);
    }
    mebi__free(c);
    return status;
}

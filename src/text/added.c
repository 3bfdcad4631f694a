/* Leftmost-longest search for added tokens in a sorted list. Time is bounded by text bytes times
 * MEBI__ADDED_BYTES, whatever the tokens. */
#include "text/added.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

mebi_status mebi__added_append(mebi__added_set *set, mebi__added_token token, mebi_error *err) {
    if (set->count == MEBI__ADDED_COUNT)
        return mebi__fail(err, MEBI_BAD_FILE, "A tokenizer has more than %d added tokens.",
                          MEBI__ADDED_COUNT);
    if (set->count == set->room) {
        int room = 2 * set->room + 32;
        mebi__added_token *grown =
            mebi__realloc_array(MEBI__TAG_TEXT, set->token, (size_t)room, sizeof *grown);
        if (!grown) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for added tokens.");
        set->token = grown;
        set->room = room;
    }
    set->token[set->count++] = token;
    return MEBI_OK;
}

static int by_content(const void *a, const void *b) {
    const mebi__added_token *x = a, *y = b;
    int order = memcmp(x->content, y->content, x->bytes < y->bytes ? x->bytes : y->bytes);
    if (order) return order;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

const mebi__added_token *mebi__added_sort(mebi__added_set *set) {
    if (set->count > 1) qsort(set->token, (size_t)set->count, sizeof *set->token, by_content);
    memset(set->begins, 0, sizeof set->begins);
    for (int i = 0; i < set->count; i++) {
        set->begins[(unsigned char)set->token[i].content[0]] = 1;
        if (i > 0 && by_content(&set->token[i - 1], &set->token[i]) == 0) return &set->token[i];
    }
    return NULL;
}

void mebi__added_release(mebi__added_set *set) {
    for (int i = 0; i < set->count; i++) mebi__free(set->token[i].content);
    mebi__free(set->token);
    memset(set, 0, sizeof *set);
}

const mebi__added_token *mebi__added_lookup(const mebi__added_set *set, const char *content) {
    size_t bytes = strlen(content);
    for (int i = 0; i < set->count; i++)
        if (set->token[i].bytes == bytes && memcmp(set->token[i].content, content, bytes) == 0)
            return &set->token[i];
    return NULL;
}

/* First index in [low, high) whose byte at depth is at least c; all are longer than depth and equal
 * before it. */
static int first_at_least(const mebi__added_set *set, int low, int high, size_t depth, int c) {
    while (low < high) {
        int middle = low + (high - low) / 2;
        if ((unsigned char)set->token[middle].content[depth] < c) low = middle + 1;
        else high = middle;
    }
    return low;
}

static const mebi__added_token *longest_at(const mebi__added_set *set, const char *text,
                                           size_t bytes) {
    const mebi__added_token *best = NULL;
    if (!set->begins[(unsigned char)text[0]]) return NULL;
    int low = 0, high = set->count;
    for (size_t depth = 0; depth < bytes && low < high; depth++) {
        int c = (unsigned char)text[depth];
        low = first_at_least(set, low, high, depth, c);
        high = first_at_least(set, low, high, depth, c + 1);
        if (low < high && set->token[low].bytes == depth + 1) best = &set->token[low++];
    }
    return best;
}

static int is_white_space(int32_t c) {
    return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

/* \w of Unicode's regular expressions: Alphabetic, M, Nd, Pc, Join_Control, as of the Unicode
 * version of utf8proc. No published tokenizer of these models asks for it. */
static int is_word_character(int32_t c) {
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC: return 1;
    default: break;
    }
    /* Joiners, then the symbols that are Alphabetic. */
    return c == 0x200c || c == 0x200d || (c >= 0x24b6 && c <= 0x24e9) ||
           (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
           (c >= 0x1f170 && c <= 0x1f189);
}

static int32_t decode(const char *text, size_t bytes, size_t *length) {
    int32_t c = -1;
    utf8proc_ssize_t n = utf8proc_iterate((const uint8_t *)text, (utf8proc_ssize_t)bytes, &c);
    *length = n > 0 ? (size_t)n : 1;
    return c;
}

static int32_t decode_before(const char *text, size_t at, size_t *length) {
    size_t begin = at - 1;
    while (begin > 0 && ((unsigned char)text[begin] & 0xc0) == 0x80) begin--;
    return decode(text + begin, at - begin, length);
}

static int stands_alone(const char *text, size_t bytes, size_t begin, size_t end) {
    size_t length;
    if (begin > 0 && is_word_character(decode_before(text, begin, &length))) return 0;
    return end == bytes || !is_word_character(decode(text + end, bytes - end, &length));
}

/* White space on the sides that the token asks for; not what an earlier token took already. Never
 * looks twice at what was taken (all white space), so that many tokens in a row stay linear. */
static void take_space(const mebi__added_token *token, const char *text, size_t bytes,
                       mebi__added_walk *walk) {
    size_t length;
    if (token->left_strip) {
        while (walk->begin > walk->taken &&
               is_white_space(decode_before(text, walk->begin, &length)))
            walk->begin -= length;
        if (walk->begin < walk->taken) walk->begin = walk->taken;
    }
    if (token->right_strip) {
        if (walk->end < walk->taken) walk->end = walk->taken;
        while (walk->end < bytes &&
               is_white_space(decode(text + walk->end, bytes - walk->end, &length)))
            walk->end += length;
    }
}

int mebi__added_next(const mebi__added_set *set, const char *text, size_t bytes,
                     mebi__added_walk *walk) {
    while (set->count > 0 && walk->from < bytes) {
        const mebi__added_token *token = longest_at(set, text + walk->from, bytes - walk->from);
        if (!token) {
            walk->from++;
            continue;
        }
        walk->begin = walk->from;
        walk->end = walk->from += token->bytes;
        if (token->single_word && !stands_alone(text, bytes, walk->begin, walk->end)) continue;
        take_space(token, text, bytes, walk);
        walk->id = token->id;
        walk->taken = walk->end;
        return 1;
    }
    return 0;
}

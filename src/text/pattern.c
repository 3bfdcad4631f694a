/* Word cutting by PCRE2, made to mean exactly what Oniguruma means by the same expression. The
 * expression comes from a file and the text from a stranger: steps and memory of a match are
 * bounded, and nothing of PCRE2's own syntax (verbs, recursion, callouts) gets through. */
#include "text/pattern.h"
#include "base/memory.h"
#include "text/quote.h"

#include <stdint.h>
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

const char mebi__qwen2_pattern[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{"
                                   "N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
                                   "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/* PCRE2's \s has U+180E besides. */
#define SPACE                                                                                      \
    "\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{"    \
    "205f}"                                                                                        \
    "\\x{3000}"
/* Letters and numbers of Unicode 15, 15.1 and 16: Oniguruma's tables are of 16, PCRE2's may be
 * of 14. */
#define LETTER                                                                                     \
    "\\p{L}\\x{1c89}\\x{1c8a}\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}\\x{105c0}-\\x{105f3}"          \
    "\\x{10d4a}-\\x{10d65}\\x{10d6f}-\\x{10d85}\\x{10ec2}-\\x{10ec4}\\x{1123f}\\x{11240}"          \
    "\\x{11380}-\\x{11389}\\x{1138b}\\x{1138e}\\x{11390}-\\x{113b5}\\x{113b7}\\x{113d1}\\x{113d3}" \
    "\\x{11bc0}-\\x{11be0}\\x{11f02}\\x{11f04}-\\x{11f10}\\x{11f12}-\\x{11f33}\\x{1342f}"          \
    "\\x{13441}-\\x{13446}\\x{13460}-\\x{143fa}\\x{16100}-\\x{1611d}\\x{16d40}-\\x{16d6c}\\x{"     \
    "18cff}"                                                                                       \
    "\\x{1b132}\\x{1b155}\\x{1df25}-\\x{1df2a}\\x{1e030}-\\x{1e06d}\\x{1e4d0}-\\x{1e4eb}"          \
    "\\x{1e5d0}-\\x{1e5ed}\\x{1e5f0}\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}"
#define NUMBER                                                                                     \
    "\\p{N}\\x{10d40}-\\x{10d49}\\x{116d0}-\\x{116e3}\\x{11bf0}-\\x{11bf9}\\x{11f50}-\\x{11f59}"   \
    "\\x{16130}-\\x{16139}\\x{16d70}-\\x{16d79}\\x{1ccf0}-\\x{1ccf9}\\x{1d2c0}-\\x{1d2d3}"         \
    "\\x{1e4f0}-\\x{1e4f9}\\x{1e5f1}-\\x{1e5fa}"

enum {
    EXPRESSION_LIMIT = 4096, /* bytes */
    HEAP_LIMIT = 64 << 10,   /* KiB of backtracking memory a match */
    JIT_STACK = 8 << 20,     /* bytes at most */
    STEPS = 100000,          /* a match may take this many, and 8 a byte that is left */
};

struct mebi__pattern {
    pcre2_general_context *general;
    pcre2_code *code;
    int with_jit;
};

/* Translation: reads `from`, writes `to`, which grows. */
typedef struct translation {
    const char *name; /* of the file */
    const char *from, *end;
    char *to;
    size_t used, room;
    int in_class;
} translation;

static mebi_status put(translation *t, const char *text, size_t bytes, mebi_error *err) {
    if (t->used + bytes > t->room) {
        size_t room = 2 * t->room + bytes + 256;
        char *grown = mebi__realloc_array(MEBI__TAG_TEXT, t->to, room, 1);
        if (!grown) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a tokenizer's pattern.");
        t->to = grown;
        t->room = room;
    }
    memcpy(t->to + t->used, text, bytes);
    t->used += bytes;
    return MEBI_OK;
}

static mebi_status put_set(translation *t, const char *set, int negated, mebi_error *err) {
    if (t->in_class) return put(t, set, strlen(set), err);
    MEBI_TRY(put(t, negated ? "[^" : "[", negated ? 2 : 1, err));
    MEBI_TRY(put(t, set, strlen(set), err));
    return put(t, "]", 1, err);
}

static mebi_status refuse(const translation *t, size_t length, const char *why, mebi_error *err) {
    size_t left = (size_t)(t->end - t->from);
    return mebi__fail(err, MEBI_UNSUPPORTED,
                      "%s: the pre-tokenizer's pattern holds `%s`, %s; use the tokenizer that the "
                      "text encoder was published with.",
                      t->name, mebi__quote(t->from, length < left ? length : left).text, why);
}

/* \p{...}, \P{...} and \x{...}. */
static mebi_status translate_braced(translation *t, mebi_error *err) {
    const char *close = memchr(t->from, '}', (size_t)(t->end - t->from));
    if (t->end - t->from < 3 || t->from[2] != '{' || !close || close - t->from > 40)
        return refuse(t, 3, "which must go on with a name in braces", err);
    size_t length = (size_t)(close - t->from) + 1;
    const char *at = t->from;
    t->from += length;
    int negated = at[1] == 'P';
    if (length == 5 && at[1] != 'x' && !(negated && t->in_class)) {
        if (at[3] == 'L') return put_set(t, LETTER, negated, err);
        if (at[3] == 'N') return put_set(t, NUMBER, negated, err);
    }
    return put(t, at, length, err);
}

static mebi_status translate_escape(translation *t, mebi_error *err) {
    char c = t->end - t->from > 1 ? t->from[1] : 0;
    if (c == 'p' || c == 'P' || c == 'x') return translate_braced(t, err);
    if (c == 's' || (c == 'S' && !t->in_class)) {
        t->from += 2;
        return put_set(t, SPACE, c == 'S', err);
    }
    if (c == 'S') { /* a union with what is left out */
        t->from += 2;
        return put(t, "\\S\\x{180e}", 10, err);
    }
    int punctuation = c > 0x20 && c < 0x7f && !strchr("<>", c) &&
                      !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9');
    if (!punctuation && (c == 0 || !strchr("rntfdD", c)))
        return refuse(t, 2, "which is not supported because its meaning differs between engines",
                      err);
    t->from += 2;
    return put(t, t->from - 2, 2, err);
}

/* ( outside a class: plain, non-capturing, atomic, case-insensitive groups and look-around. */
static mebi_status translate_group(translation *t, mebi_error *err) {
    static const char *const known[] = {"(?:", "(?i:", "(?=", "(?!", "(?>", "(?<=", "(?<!"};
    size_t left = (size_t)(t->end - t->from), length = 1;
    if (left > 1 && (t->from[1] == '?' || t->from[1] == '*')) {
        length = 0;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (left >= strlen(known[i]) && memcmp(t->from, known[i], strlen(known[i])) == 0)
                length = strlen(known[i]);
        if (length == 0) return refuse(t, 4, "a kind of group that is not supported", err);
    }
    t->from += length;
    return put(t, t->from - length, length, err);
}

static mebi_status open_class(translation *t, mebi_error *err) {
    size_t length = 1;
    if (t->end - t->from > 1 && t->from[1] == '^') length = 2;
    if (t->end - t->from > (ptrdiff_t)length && t->from[length] == ']')
        return refuse(t, 3, "a class that begins with ]", err);
    t->in_class = 1;
    t->from += length;
    return put(t, t->from - length, length, err);
}

static mebi_status translate_one(translation *t, mebi_error *err) {
    char c = *t->from, next = t->end - t->from > 1 ? t->from[1] : 0;
    if (c == 0) return refuse(t, 0, "a zero byte", err);
    if (c == '\\') return translate_escape(t, err);
    if (t->in_class) {
        if (c == '[') return refuse(t, 2, "a class inside a class, which is not supported", err);
        if (c == '&' && next == '&') return refuse(t, 2, "an intersection of classes", err);
        if (c == ']') t->in_class = 0;
    } else if (c == '[') return open_class(t, err);
    else if (c == '(') return translate_group(t, err);
    else if (c == '}' && next != 0 && strchr("+?*", next))
        return refuse(t, 2, "whose meaning differs between engines", err);
    else if (c == '{' && next == ',') return refuse(t, 2, "a count without a lower bound", err);
    t->from++;
    return put(t, t->from - 1, 1, err);
}

static void *pcre_alloc(PCRE2_SIZE bytes, void *unused) {
    (void)unused;
    return mebi__alloc(MEBI__TAG_TEXT, bytes);
}

static void pcre_free(void *block, void *unused) {
    (void)unused;
    mebi__free(block);
}

/* Ruby's rules, as Oniguruma is used: ^ and $ know lines, and a line ends in \n. */
static mebi_status compile(mebi__pattern *p, const translation *t, mebi_error *err) {
    pcre2_compile_context *context = pcre2_compile_context_create(p->general);
    if (!context) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a tokenizer's pattern.");
    int cause = 0;
    PCRE2_SIZE where = 0;
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    p->code = pcre2_compile((PCRE2_SPTR)t->to, t->used,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C |
                                PCRE2_NO_UTF_CHECK,
                            &cause, &where, context);
    pcre2_compile_context_free(context);
    if (p->code) {
        p->with_jit = pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE) == 0; /* else interpreted */
        return MEBI_OK;
    }
    if (cause == PCRE2_ERROR_HEAP_FAILED)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a tokenizer's pattern.");
    char why[128] = "";
    pcre2_get_error_message(cause, (PCRE2_UCHAR *)why, sizeof why);
    return mebi__fail(err, MEBI_BAD_FILE,
                      "%s: the pre-tokenizer's pattern can't be compiled: %s. Use the tokenizer "
                      "that the text encoder was published with.",
                      t->name, why);
}

mebi_status mebi__pattern_compile(const char *name, const char *expression, size_t bytes,
                                  mebi__pattern **out, mebi_error *err) {
    *out = NULL;
    if (bytes == 0 || bytes > EXPRESSION_LIMIT)
        return mebi__fail(err, MEBI_UNSUPPORTED,
                          "%s: the pre-tokenizer's pattern has %zu bytes; 1 to %d are taken.", name,
                          bytes, EXPRESSION_LIMIT);
    translation t = {.name = name, .from = expression, .end = expression + bytes};
    mebi_status status = MEBI_OK;
    mebi__pattern *p = mebi__alloc(MEBI__TAG_TEXT, sizeof *p);
    if (p) p->general = pcre2_general_context_create(pcre_alloc, pcre_free, NULL);
    if (!p || !p->general)
        status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for a tokenizer's pattern.");
    while (status == MEBI_OK && t.from < t.end) status = translate_one(&t, err);
    if (status == MEBI_OK) status = compile(p, &t, err);
    mebi__free(t.to);
    if (status != MEBI_OK) mebi__pattern_free(&p);
    *out = p;
    return status;
}

void mebi__pattern_free(mebi__pattern **pattern) {
    mebi__pattern *p = *pattern;
    if (!p) return;
    pcre2_code_free(p->code);
    pcre2_general_context_free(p->general);
    mebi__free(p);
    *pattern = NULL;
}

mebi_status mebi__search_begin(const mebi__pattern *p, mebi__search *s, mebi_error *err) {
    memset(s, 0, sizeof *s);
    s->pattern = p;
    s->data = pcre2_match_data_create(1, p->general); /* groups are not asked for */
    s->context = pcre2_match_context_create(p->general);
    if (!s->data || !s->context)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory to cut a text into words.");
    pcre2_set_heap_limit(s->context, HEAP_LIMIT);
    return MEBI_OK;
}

void mebi__search_end(mebi__search *s) {
    pcre2_match_data_free(s->data);
    pcre2_match_context_free(s->context);
    pcre2_jit_stack_free(s->stack);
    memset(s, 0, sizeof *s);
}

void mebi__search_set(mebi__search *s, const char *text, size_t bytes) {
    s->text = text;
    s->bytes = bytes;
    s->at = s->from = 0;
    s->pending = 0;
}

static size_t character_at(const mebi__search *s, size_t at) {
    unsigned char c = (unsigned char)s->text[at];
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* Compiled patterns have 32 KiB of the thread's own stack, which is enough for nearly all texts. A larger one is
 * mapped, and unmapping it interrupts all threads of the process: so it comes when it is needed. */
static int match(mebi__search *s) {
    for (;;) {
        int n = pcre2_match(s->pattern->code, (PCRE2_SPTR)s->text, s->bytes, s->from,
                            PCRE2_NO_UTF_CHECK, s->data, s->context);
        if (n != PCRE2_ERROR_JIT_STACKLIMIT || s->stack) return n;
        s->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK, s->pattern->general);
        if (!s->stack) return PCRE2_ERROR_NOMEMORY;
        pcre2_jit_stack_assign(s->context, NULL, s->stack);
    }
}

/* The next match at or after s->from, or none: then match_begin and match_end are the text's end.
 */
static mebi_status find(mebi__search *s, mebi_error *err) {
    s->match_begin = s->match_end = s->bytes;
    if (s->from > s->bytes) return MEBI_OK;
    size_t steps = STEPS + 8 * (s->bytes - s->from);
    pcre2_set_match_limit(s->context, (uint32_t)(steps < INT32_MAX ? steps : INT32_MAX));
    int n = match(s);
    if (n == PCRE2_ERROR_NOMATCH) return MEBI_OK;
    if (n == PCRE2_ERROR_NOMEMORY)
        return mebi__fail(err, MEBI_NO_MEMORY, "No memory to cut a text into words.");
    if (n < 0)
        return mebi__fail(err, MEBI_UNSUPPORTED,
                          "The tokenizer's pattern needs too many steps on this text (at byte %zu "
                          "of %zu); shorten the text, or use the tokenizer that the text encoder "
                          "was published with.",
                          s->from, s->bytes);
    const PCRE2_SIZE *match = pcre2_get_ovector_pointer(s->data);
    s->match_begin = match[0];
    s->match_end = match[1];
    s->from = match[1];
    if (match[0] == match[1]) s->from += match[1] < s->bytes ? character_at(s, match[1]) : 1;
    return MEBI_OK;
}

mebi_status mebi__search_next(mebi__search *s, const char **word, size_t *bytes, mebi_error *err) {
    *word = NULL;
    *bytes = 0;
    while (*bytes == 0 && s->at < s->bytes) {
        if (!s->pending) {
            MEBI_TRY(find(s, err));
            s->pending = 1;
        }
        size_t end = s->at < s->match_begin ? s->match_begin : s->match_end;
        if (end == s->match_end) s->pending = 0;
        *word = s->text + s->at;
        *bytes = end - s->at;
        s->at = end;
    }
    if (*bytes == 0) *word = NULL;
    return MEBI_OK;
}

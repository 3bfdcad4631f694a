/* The self-check's lines. Must never be wider than 100 columns, nor pass on a byte that could
 * control a terminal. */
#include "cli/doctor_print.h"

#include "cli/plain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 100, INDENT = 38 };

static int locale_is_utf8(void) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (!value || !*value) continue;
        return strstr(value, "UTF-8") || strstr(value, "utf8") || strstr(value, "UTF8") ||
               strstr(value, "utf-8");
    }
    return 0;
}

paper paper_of_output(void) {
    const char *kind = getenv("TERM"), *none = getenv("NO_COLOR");
    int terminal = isatty(STDOUT_FILENO) && kind && strcmp(kind, "dumb") != 0;
    return (paper){.colour = terminal && !(none && *none), .unicode = terminal && locale_is_utf8()};
}

static void colour(const paper *p, const char *code) {
    if (p->colour) printf("\033[%sm", code);
}

static void print_verdict(const paper *p, mebi__verdict v) {
    static const char *const codes[] = {"32", "33", "1;31"};
    colour(p, codes[v]);
    printf("  %-4s", mebi__verdict_name(v));
    colour(p, "0");
}

/* Columns of a text: characters of CJK count as one here; none of ours is that long. */
static int columns_of(const char *text, size_t bytes) {
    int columns = 0;
    for (size_t i = 0; i < bytes; i++) columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

static void print_word(const char *word, size_t length) {
    char one[256];
    for (; length > 0; word += length < sizeof one ? length : sizeof one - 1) {
        size_t n = length < sizeof one ? length : sizeof one - 1;
        memcpy(one, word, n);
        one[n] = 0;
        plain_print(stdout, one);
        if (n == length) return;
        length -= n;
    }
}

/* Text from a column on, in lines of whole words; ends the line. */
static void print_wrapped(const char *text, int column) {
    int at = column;
    for (const char *p = text + strspn(text, " \n"); *p;) {
        size_t length = strcspn(p, " \n");
        int columns = columns_of(p, length);
        if (at > column && at + 1 + columns > WIDTH) {
            printf("\n%*s", column, "");
            at = column;
        } else if (at > column) at += printf(" ");
        print_word(p, length);
        at += columns;
        p += length + strspn(p + length, " \n");
    }
    putchar('\n');
}

static void print_line(const paper *p, const mebi__finding *f) {
    char text[sizeof f->measured + sizeof f->expected + 16], expected[sizeof f->expected + 16] = "";
    print_verdict(p, f->verdict);
    printf("  %-*s", INDENT - 8, f->check);
    if (columns_of(f->check, strlen(f->check)) >= INDENT - 8) printf("\n%*s", INDENT, "");
    if (f->expected[0]) snprintf(expected, sizeof expected, "expected: %s", f->expected);
    snprintf(text, sizeof text, "%s (%s)", f->measured, expected);
    int together = f->expected[0] && columns_of(text, strlen(text)) <= WIDTH - INDENT;
    print_wrapped(together ? text : f->measured, INDENT);
    if (f->expected[0] && !together) {
        printf("%*s", INDENT, "");
        print_wrapped(expected, INDENT);
    }
    if (!f->advice[0]) return;
    printf("%*s", INDENT, "->  ");
    print_wrapped(f->advice, INDENT);
}

void doctor_print_section(const paper *p, mebi__section section, const mebi__findings *all) {
    int any = 0;
    for (int i = 0; i < all->count; i++) {
        if (all->at[i].section != section) continue;
        if (!any++) {
            colour(p, "1");
            printf("%s%s\n", section == MEBI__SECTION_MACHINE ? "" : "\n",
                   mebi__section_name(section));
            colour(p, "0");
        }
        print_line(p, &all->at[i]);
    }
}

void doctor_print_verdict(const paper *p, const mebi__findings *all) {
    int warn = mebi__findings_count(all, MEBI__WARN), fail = mebi__findings_count(all, MEBI__FAIL);
    mebi__verdict worst = mebi__findings_worst(all, MEBI__SECTIONS);
    static const char *const meaning[] = {"All is well.",
                                          "It works; what is marked `warn` is worth knowing.",
                                          "Something is wrong: see the lines marked `fail`."};
    putchar('\n');
    print_verdict(p, worst);
    printf("  %d ok, %d warn, %d fail. %s\n", mebi__findings_count(all, MEBI__OK), warn, fail,
           meaning[worst]);
}

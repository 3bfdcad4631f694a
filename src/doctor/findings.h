/* What the self-check found: one line for each thing looked at. */
#ifndef MEBI_DOCTOR_FINDINGS_H
#define MEBI_DOCTOR_FINDINGS_H

typedef enum mebi__verdict {
    MEBI__OK,
    MEBI__WARN, /* worth knowing; it works */
    MEBI__FAIL,
} mebi__verdict;

/* "ok", "warn", "fail". Never NULL. */
const char *mebi__verdict_name(mebi__verdict verdict);

typedef enum mebi__section {
    MEBI__SECTION_MACHINE,
    MEBI__SECTION_SPEED,
    MEBI__SECTION_MEMORY,
    MEBI__SECTION_PICTURE,
    MEBI__SECTIONS
} mebi__section;

/* "machine", "speed", "memory", "picture". Never NULL. */
const char *mebi__section_name(mebi__section section);

enum { MEBI__FINDINGS = 96 };

typedef struct mebi__finding {
    mebi__section section;
    mebi__verdict verdict;
    char check[48]; /* what was looked at */
    char measured[240];
    char expected[160]; /* "": nothing in particular */
    char advice[700];   /* what to do; "": nothing */
} mebi__finding;

typedef struct mebi__findings {
    int count;
    mebi__finding at[MEBI__FINDINGS];
} mebi__findings;

/* The next line, to be filled; the last one again when there is no room. */
mebi__finding *mebi__finding_add(mebi__findings *all, mebi__section section, mebi__verdict verdict,
                                 const char *check);

/* Formats into a field of a finding, or behind what is there; what doesn't fit is cut at a
 * character. */
#define mebi__finding_say(field, ...)  mebi__say(field, sizeof field, 0, __VA_ARGS__)
#define mebi__finding_more(field, ...) mebi__say(field, sizeof field, 1, __VA_ARGS__)
__attribute__((format(printf, 4, 5))) void mebi__say(char *field, unsigned long size, int behind,
                                                     const char *format, ...);

/* The worst verdict of a section; MEBI__SECTIONS: of all. */
mebi__verdict mebi__findings_worst(const mebi__findings *all, mebi__section section);
int mebi__findings_count(const mebi__findings *all, mebi__verdict verdict);

static inline mebi__verdict mebi__worse(mebi__verdict a, mebi__verdict b) {
    return a > b ? a : b;
}

#endif

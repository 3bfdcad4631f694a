/* The list of findings. Must never lose a failure: when it is full the last line takes the worst
 * verdict. */
#include "doctor/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *mebi__verdict_name(mebi__verdict verdict) {
    static const char *const names[] = {"ok", "warn", "fail"};
    return names[verdict];
}

const char *mebi__section_name(mebi__section section) {
    static const char *const names[] = {"machine", "speed", "memory", "picture"};
    return section < MEBI__SECTIONS ? names[section] : "all";
}

mebi__finding *mebi__finding_add(mebi__findings *all, mebi__section section, mebi__verdict verdict,
                                 const char *check) {
    mebi__verdict worst = verdict;
    if (all->count == MEBI__FINDINGS) worst = mebi__worse(verdict, all->at[--all->count].verdict);
    mebi__finding *f = &all->at[all->count++];
    *f = (mebi__finding){.section = section, .verdict = worst};
    snprintf(f->check, sizeof f->check, "%s", check);
    return f;
}

void mebi__say(char *field, unsigned long size, int behind, const char *format, ...) {
    size_t used = behind ? strlen(field) : 0;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(field + used, size - used, format, args);
    va_end(args);
    if (n < 0 || (size_t)n < size - used) return;
    size_t end = size - 1;
    while (end > 0 && ((unsigned char)field[end - 1] & 0xc0) == 0x80)
        end--; /* inside a character */
    if (end > 0 && ((unsigned char)field[end - 1] & 0xc0) == 0xc0) end--;
    field[end] = 0;
}

mebi__verdict mebi__findings_worst(const mebi__findings *all, mebi__section section) {
    mebi__verdict worst = MEBI__OK;
    for (int i = 0; i < all->count; i++)
        if (section == MEBI__SECTIONS || all->at[i].section == section)
            worst = mebi__worse(worst, all->at[i].verdict);
    return worst;
}

int mebi__findings_count(const mebi__findings *all, mebi__verdict verdict) {
    int count = 0;
    for (int i = 0; i < all->count; i++) count += all->at[i].verdict == verdict;
    return count;
}

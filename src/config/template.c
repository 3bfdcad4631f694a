/* A config.yaml to begin with. What it writes must be what the reader reads. */
#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 96 };

/* A comment of several lines; the text's own line breaks are spaces here. */
static void write_comment(FILE *f, const char *text) {
    int column = 0;
    while (*text) {
        int length = (int)strcspn(text, " \n");
        if (column && column + 1 + length > COLUMNS) fputc('\n', f), column = 0;
        column += fprintf(f, "%s%.*s", column ? " " : "# ", length, text);
        text += length;
        text += strspn(text, " \n");
    }
    fputc('\n', f);
}

static void write_setting(FILE *f, const mebi__setting *s) {
    const char *dot = strchr(s->name, '.'), *key = dot ? dot + 1 : s->name;
    char comment[600];
    snprintf(comment, sizeof comment, "%s (%s%s%s)", s->help, s->variable, s->flag ? ", --" : "",
             s->flag ? s->flag : "");
    write_comment(f, comment);
    /* A word that YAML would read as something else stands in quotation marks. */
    const char *quote = strpbrk(s->fallback, "%") ? "\"" : "";
    fprintf(f, "#%s%s: %s%s%s\n", dot ? "  " : "", key, quote,
            *s->fallback ? s->fallback : s->argument, quote);
}

/* A name with a dot, and the one before it has another begin. */
static int begins_group(int id) {
    const char *name = mebi__settings[id].name, *dot = strchr(name, '.');
    size_t length = dot ? (size_t)(dot - name) + 1 : 0;
    return dot && (id == 0 || strncmp(mebi__settings[id - 1].name, name, length) != 0);
}

static void write_all(FILE *f) {
    write_comment(
        f,
        "Settings of mebi. What is behind a # has the default shown; remove the # and change it. "
        "Variables of the environment, named in parentheses, win over this file, and options "
        "over both. Paths are seen from the folder where mebi is started; ~/ is the home folder.");
    for (int i = 0; i < MEBI__SETTINGS; i++) {
        fputc('\n', f);
        if (begins_group(i)) {
            const char *name = mebi__settings[i].name;
            fprintf(f, "#%.*s:\n", (int)strcspn(name, "."), name);
        }
        write_setting(f, &mebi__settings[i]);
        for (int k = 0; k < MEBI__ALIASES; k++) {
            if ((int)mebi__aliases[k].id != i) continue;
            write_comment(f, mebi__aliases[k].help);
            fprintf(f, "#%s: %s\n", mebi__aliases[k].name, mebi__aliases[k].from[0]);
        }
    }
}

char *mebi__config_template(void) {
    char *text = NULL;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    if (!f) return NULL;
    write_all(f);
    int failed = ferror(f);
    if (fclose(f) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}

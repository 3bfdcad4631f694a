/* mebi config: the settings, where they come from, and a file to begin with. Must never overwrite
 * one. */
#include "base/error.h"
#include "base/memory.h"
#include "base/os.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/plain.h"
#include "config/config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct arguments {
    int init, show, check, json, help;
    const char *config, *file;
} arguments;

static mebi_status parse(int argc, char **argv, arguments *a, mebi_error *err) {
    const option options[] = {
        {0, "init", OPTION_FLAG, &a->init, NULL,
         "write a file with all settings and what they are for,\nto FILE or to the user's own "
         "place",
         0, 0, NULL},
        {0, "show", OPTION_FLAG, &a->show, NULL,
         "print the settings in effect and where each comes from", 0, 0, NULL},
        {0, "check", OPTION_FLAG, &a->check, NULL, "read FILE and say what is wrong with it", 0, 0,
         NULL},
        {0, "config", OPTION_TEXT, &a->config, "FILE", "the file to show", 0, 0, NULL},
        {0, "json", OPTION_FLAG, &a->json, NULL, "show as one JSON object", 0, 0, NULL},
        {'h', "help", OPTION_FLAG, &a->help, NULL, "this text", 0, 0, NULL},
    };
    const int count = sizeof options / sizeof *options;
    int rest;
    MEBI_TRY(options_parse(options, count, argc, argv, &a->file, 1, &rest, err));
    if (a->help) {
        printf("usage: mebi config [--show] [--config FILE] [--json]\n"
               "       mebi config --init [FILE]\n"
               "       mebi config --check [FILE]\n\n"
               "Settings come from defaults, then config.yaml, then the environment, then options; "
               "later\n"
               "ones win. The file is the one that --config names, else the environment's "
               "MEBI_CONFIG\n"
               "(empty: none), else ~/.config/mebi/config.yaml.\n\n");
        options_print(stdout, options, count);
        printf("\nExit codes: 0 done, 1 failed, 2 bad arguments or a bad file.\n");
        return MEBI_OK;
    }
    if (a->init + a->show + a->check > 1)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "Only one of --init, --show and --check at a time.");
    if (a->file && !a->init && !a->check)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "To show the settings of %.300s, write --config %.300s.", a->file,
                          a->file);
    if (a->config && (a->init || a->check))
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "--config is of --show; --init and --check take the file's name alone.");
    return MEBI_OK;
}

/* ---- init ---- */

static mebi_status write_template(const char *path, mebi_error *err) {
    mebi_error own = {0};
    int exists = 0;
    char *text = mebi__config_template();
    if (!text) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the settings' text.");
    mebi_status status = mebi__make_parents(path, &own);
    if (status == MEBI_OK) status = mebi__write_file(path, text, strlen(text), &exists, &own);
    free(text);
    if (exists)
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "%.300s exists and is not overwritten. `mebi config --init FILE` writes another.",
            path);
    if (status != MEBI_OK) return mebi__fail(err, status, "%s", own.text);
    plain_print(stdout, path);
    printf("\n");
    return MEBI_OK;
}

static mebi_status init(const arguments *a, mebi_error *err) {
    char *home = NULL;
    if (a->file && !*a->file)
        return mebi__fail(err, MEBI_BAD_ARGUMENT, "--init is given an empty name.");
    if (!a->file) MEBI_TRY(mebi__config_home(&home, err));
    mebi_status status = write_template(a->file ? a->file : home, err);
    mebi__free(home);
    return status;
}

/* ---- check ---- */

static mebi_status check(const arguments *a, mebi_error *err) {
    mebi__config config = {0};
    char *path;
    int count = 0;
    MEBI_TRY(mebi__config_find(a->file, &path, err));
    mebi_status status =
        path ? mebi__config_read(&config, path, err)
             : mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "There is no config.yaml to check. `mebi config --init` writes one.");
    for (int i = 0; i < MEBI__SETTINGS; i++) count += config.value[i].text != NULL;
    if (status == MEBI_OK) {
        plain_print(stdout, path);
        printf(": fine; %d of %d settings are in it\n", count, MEBI__SETTINGS);
    }
    mebi__config_free(&config);
    mebi__free(path);
    return status;
}

/* ---- show ---- */

static void print_table(const mebi__config *c) {
    if (c->path) {
        plain_print(stdout, c->path);
        printf("\n\n");
    } else printf("There is no config.yaml. `mebi config --init` writes one.\n\n");
    for (int i = 0; i < MEBI__SETTINGS; i++) {
        const mebi__value *v = &c->value[i];
        const char *text = mebi__config_text(c, (mebi__setting_id)i);
        printf("%-28s", mebi__settings[i].name);
        plain_print(stdout, *text ? text : "-");
        printf("%*s", (int)(strlen(text) < 24 ? 25 - strlen(text) : 1) - !*text, "");
        if (v->origin == MEBI__ORIGIN_FILE && v->name != mebi__settings[i].name)
            printf("line %d, %s\n", v->line, v->name);
        else if (v->origin == MEBI__ORIGIN_FILE) printf("line %d\n", v->line);
        else if (v->origin == MEBI__ORIGIN_ENVIRONMENT) printf("%s\n", mebi__settings[i].variable);
        else printf("%s\n", mebi__origin_name(v->origin));
    }
}

static void print_json(const mebi__config *c) {
    static char utf8[3 * 4096 + 1];
    json_t *all = json_object();
    for (int i = 0; i < MEBI__SETTINGS; i++) {
        const mebi__value *v = &c->value[i];
        json_t *one =
            json_pack("{s:s, s:s}", "value",
                      plain_utf8(mebi__config_text(c, (mebi__setting_id)i), utf8, sizeof utf8),
                      "origin", mebi__origin_name(v->origin));
        if (v->line) json_object_set_new(one, "line", json_integer(v->line));
        if (v->name && v->name != mebi__settings[i].name)
            json_object_set_new(one, "called", json_string(v->name));
        json_object_set_new(all, mebi__settings[i].name, one);
    }
    json_t *o = json_pack("{s:s?, s:o}", "file",
                          c->path ? plain_utf8(c->path, utf8, sizeof utf8) : NULL, "settings", all);
    if (o) json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(o);
}

static mebi_status show(const arguments *a, mebi_error *err) {
    mebi__config config = {0};
    mebi_status status = mebi__config_load(&config, a->config, err);
    if (status == MEBI_OK && a->json) print_json(&config);
    else if (status == MEBI_OK) print_table(&config);
    if (status == MEBI_OK && !config.path && !a->json && mebi__is_file("config.yaml"))
        fputs("mebi: config.yaml in this folder is not read by itself; --config config.yaml reads "
              "it.\n",
              stderr);
    mebi__config_free(&config);
    return status;
}

int cmd_config(int argc, char **argv) {
    arguments a = {0};
    mebi_error err = {0};
    mebi_status status = parse(argc, argv, &a, &err);
    if (status == MEBI_OK && a.help) return EXIT_OK;
    if (status == MEBI_OK)
        status = a.init ? init(&a, &err) : a.check ? check(&a, &err) : show(&a, &err);
    return status == MEBI_OK ? EXIT_OK : report_failure(status, &err);
}

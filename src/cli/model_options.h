/* The options that say which model is run and how, the same for all commands that run one; what
 * they don't say comes from the environment and config.yaml.
 *
 *     model_options model = {0};
 *     option all[MODEL_OPTIONS + 8];
 *     int count = model_options_list(&model, all);
 *     all[count++] = (option){...};
 *     options_parse(all, count, ...);
 *     model_options_resolve(&model, &params, err);
 *     mebi_engine_open(&params, ...);
 *     model_options_end(&model);
 */
#ifndef MEBI_CLI_MODEL_OPTIONS_H
#define MEBI_CLI_MODEL_OPTIONS_H

#include "cli/options.h"
#include "config/config.h"
#include "mebi/engine.h"

enum { MODEL_OPTIONS = 11 }; /* at most; the option array has room for them */

/* Begins with all zeros. */
typedef struct model_options {
    const char *given[MEBI__SETTINGS]; /* options as typed; NULL: not given. A command may bind more
                                          settings: setting_option */
    const char *config_path;           /* --config */
    mebi__config config;               /* all settings in effect, once resolved */
} model_options;

/* The option of a setting that has one: its words and limits are those of config.yaml. */
option setting_option(model_options *m, mebi__setting_id id);

/* Fills out with -m, the four parts, --threads, --precision, --quality, --budget, --weights and
 * --config; returns how many. */
int model_options_list(model_options *m, option *out);

/* Reads config.yaml, environment and the options given, and fills *params, whose strings live until
 * model_options_end. Without any model named: models/mini, here or as installed. */
MEBI_MUST_USE mebi_status model_options_resolve(model_options *m, mebi_engine_params *params,
                                                mebi_error *err);

/* A sentence about settings that are taken but change nothing; NULL: none. */
const char *model_options_notice(const model_options *m);

/* The last component of the model's folder or file: a name for people, UTF-8. Lives until the next
 * call. */
const char *model_options_name(const mebi_engine_params *params);

void model_options_end(model_options *m);

#endif

/* Which model is run and how. Must never read a setting otherwise than `mebi config --show` shows
 * it. */
#include "cli/model_options.h"

#include "base/error.h"
#include "base/os.h"
#include "cli/budget.h"
#include "cli/plain.h"

#include <stdio.h>
#include <string.h>

option setting_option(model_options *m, mebi__setting_id id) {
    const mebi__setting *s = &mebi__settings[id];
    return (option){.letter = s->letter,
                    .name = s->flag,
                    .kind = OPTION_TEXT,
                    .value = &m->given[id],
                    .argument = s->argument,
                    .help = s->help};
}

int model_options_list(model_options *m, option *out) {
    static const mebi__setting_id ids[] = {
        MEBI__SET_MODEL,     MEBI__SET_DIFFUSION_MODEL, MEBI__SET_TEXT_ENCODER, MEBI__SET_VAE,
        MEBI__SET_TOKENIZER, MEBI__SET_THREADS,         MEBI__SET_PRECISION,    MEBI__SET_QUALITY,
        MEBI__SET_BUDGET,    MEBI__SET_WEIGHTS};
    int count = sizeof ids / sizeof *ids;
    for (int i = 0; i < count; i++) out[i] = setting_option(m, ids[i]);
    out[count++] = (option){.name = "config",
                            .kind = OPTION_TEXT,
                            .value = &m->config_path,
                            .argument = "FILE",
                            .help = "settings; default: the environment's MEBI_CONFIG, else\n"
                                    "~/.config/mebi/config.yaml. See `mebi config --help`"};
    return count;
}

/* ---- the settings in effect ---- */

static mebi_status read_settings(model_options *m, mebi_error *err) {
    mebi_status status = mebi__config_load(&m->config, m->config_path, err);
    for (int i = 0; i < MEBI__SETTINGS && status == MEBI_OK; i++)
        if (m->given[i])
            status = mebi__config_set(&m->config, (mebi__setting_id)i, MEBI__ORIGIN_FLAG,
                                      m->given[i], err);
    return status;
}

static const char *path_of(const model_options *m, mebi__setting_id id) {
    const char *path = mebi__config_text(&m->config, id);
    return *path ? path : NULL;
}

static const char *default_model(void) {
    return mebi__is_directory("models/mini") ? "models/mini" : MEBI_DATADIR "/models/mini";
}

static const char *cache_of(const char *text) {
    if (strcmp(text, "auto") == 0) return NULL;
    return strcmp(text, "none") == 0 ? "" : text;
}

mebi_status model_options_resolve(model_options *m, mebi_engine_params *params, mebi_error *err) {
    const mebi__config *c = &m->config;
    MEBI_TRY(read_settings(m, err));
    *params = mebi_engine_params_default();
    params->model = path_of(m, MEBI__SET_MODEL);
    params->diffusion_model = path_of(m, MEBI__SET_DIFFUSION_MODEL);
    params->text_encoder = path_of(m, MEBI__SET_TEXT_ENCODER);
    params->vae = path_of(m, MEBI__SET_VAE);
    params->tokenizer = path_of(m, MEBI__SET_TOKENIZER);
    int all_parts = params->diffusion_model && params->text_encoder && params->vae;
    if (!params->model && !all_parts) params->model = default_model();
    params->threads = (int)mebi__config_integer(c, MEBI__SET_THREADS);
    /* The schema has words in the enumerations' order. */
    params->precision = (mebi_precision)mebi__config_word(c, MEBI__SET_PRECISION);
    params->quality = (mebi_quality)mebi__config_word(c, MEBI__SET_QUALITY);
    params->weights = (mebi_weights_way)mebi__config_word(c, MEBI__SET_WEIGHTS);
    params->cache = cache_of(mebi__config_text(c, MEBI__SET_CACHE));
    return budget_parse("The budget", mebi__config_text(c, MEBI__SET_BUDGET), &params->budget_bytes,
                        err);
}

const char *model_options_notice(const model_options *m) {
    if (strcmp(mebi__config_text(&m->config, MEBI__SET_ATTENTION), "true") == 0) return NULL;
    return "enable_xformers (memory_efficient_attention) is set to false, which has no effect: "
           "attention "
           "never stores its scores here, and is not slower for it.";
}

const char *model_options_name(const mebi_engine_params *params) {
    static char name[256];
    const char *path = params->diffusion_model ? params->diffusion_model
                       : params->model         ? params->model
                                               : "unknown";
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    size_t from = length;
    while (from > 0 && path[from - 1] != '/') from--;
    char own[200];
    snprintf(own, sizeof own, "%.*s", (int)(length - from), path + from);
    return plain_utf8(own, name, sizeof name);
}

void model_options_end(model_options *m) {
    mebi__config_free(&m->config);
}

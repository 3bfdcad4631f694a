/* What a picture's file says about how it was made. */
#include "image/metadata.h"

#include "mebi/mebi.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A value as A1111 quotes it: as JSON, where it has a character that separates entries. */
static char *quoted(const char *value) {
    if (!strpbrk(value, ",:\n\"")) return strdup(value);
    json_t *string = json_string(value);
    char *text = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    json_decref(string);
    return text;
}

static int is_draft(const mebi__metadata *m) {
    return m->request->draft && m->width < m->request->width;
}

/* Those who read this text count guidance as AUTOMATIC1111 does: its scale s is cfg + 1 here, so that
 * 1 is no guidance. */
char *mebi__metadata_parameters(const mebi__metadata *m, int64_t seed) {
    const mebi_request *r = m->request;
    const char *negative = r->cfg > 0 && r->negative_prompt ? r->negative_prompt : "";
    char *text = NULL, *model = quoted(m->model), draft[60] = "";
    if (is_draft(m)) snprintf(draft, sizeof draft, ", Draft of: %dx%d", r->width, r->height);
    int length = !model ? -1
                        : asprintf(&text,
                                   "%s\n%s%s%sSteps: %d, Sampler: Euler, Schedule type: Simple, "
                                   "CFG scale: %g, Seed: %" PRId64
                                   ", Size: %dx%d%s, Model hash: %s, Model: %s, Version: mebi %s",
                                   r->prompt, *negative ? "Negative prompt: " : "", negative,
                                   *negative ? "\n" : "", r->steps, (double)r->cfg + 1, seed, m->width,
                                   m->height, draft, m->model_hash, model, mebi_version());
    free(model);
    return length < 0 ? NULL : text;
}

char *mebi__metadata_json(const mebi__metadata *m, int64_t seed) {
    const mebi_request *r = m->request;
    /* The order of the keys is the order here. */
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s?, s:i, s:i, s:i, s:f, s:f, s:f, s:I, s:s, s:s}", "program",
                  "mebi", "version", mebi_version(), "prompt", r->prompt, "negative_prompt",
                  r->negative_prompt, "width", m->width, "height", m->height, "steps", r->steps,
                  "cfg", (double)r->cfg, "cfg_truncation", (double)r->cfg_truncation,
                  "cfg_normalization", (double)r->cfg_normalization, "seed", (json_int_t)seed,
                  "model", m->model, "model_hash", m->model_hash);
    if (o && is_draft(m))
        json_object_set_new(o, "draft",
                            json_pack("{s:i, s:i, s:i}", "factor", r->draft, "width", r->width,
                                      "height", r->height));
    char *text =
        o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(7)) : NULL;
    json_decref(o);
    return text;
}

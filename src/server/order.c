/* A picture's request as the API takes it: one table. Whether its values fit together is the
 * engine's to say. */
#include "server/order.h"

#include "config/config.h"
#include "config/size.h"
#include "jobs/jobs.h"
#include "server/server.h"

#include <math.h>
#include <string.h>

#define IN_REQUEST(member) offsetof(mebi__order, request) + offsetof(mebi_request, member)

enum { SIDE = 16384 };

static const mebi__field fields[] = {
    {"prompt", MEBI__FIELD_TEXT, IN_REQUEST(prompt), 0, MEBI__PROMPT_BYTES, {NULL}},
    {"negative_prompt",
     MEBI__FIELD_TEXT,
     IN_REQUEST(negative_prompt),
     0,
     MEBI__PROMPT_BYTES,
     {NULL}},
    {"width", MEBI__FIELD_INT, IN_REQUEST(width), 1, SIDE, {NULL}},
    {"height", MEBI__FIELD_INT, IN_REQUEST(height), 1, SIDE, {NULL}},
    {"steps", MEBI__FIELD_INT, IN_REQUEST(steps), 1, 120, {NULL}},
    {"cfg", MEBI__FIELD_NUMBER, IN_REQUEST(cfg), 0, 100, {NULL}},
    {"seed", MEBI__FIELD_WIDE, IN_REQUEST(seed), -1, 9007199254740992.0, {NULL}},
    {"count", MEBI__FIELD_INT, IN_REQUEST(count), 1, 64, {NULL}},
    {"draft", MEBI__FIELD_INT, IN_REQUEST(draft), 0, 8, {NULL}},
    {"decode", MEBI__FIELD_WORD, IN_REQUEST(decode), 0, 0, {"auto", "whole", "strips", "tiled"}},
    {"preview_every", MEBI__FIELD_INT, IN_REQUEST(preview_every), 0, 120, {NULL}},
    {"cfg_truncation", MEBI__FIELD_NUMBER, IN_REQUEST(cfg_truncation), 0, 1, {NULL}},
    {"cfg_normalization", MEBI__FIELD_NUMBER, IN_REQUEST(cfg_normalization), 0, 1000, {NULL}},
    {"priority", MEBI__FIELD_INT, offsetof(mebi__order, priority), -10, 10, {NULL}},
};

/* "1024x768", or the size of a shape that is nearest to the native one. */
static void set_size(mebi_request *r, const char *text, int native, int multiple) {
    int a, b;
    char between = mebi__size_read(text, &a, &b);
    if (!between) return;
    r->width = between == ':' ? (int)lround(native * sqrt((double)a / b) / multiple) * multiple : a;
    r->height =
        between == ':' ? (int)lround(native * sqrt((double)b / a) / multiple) * multiple : b;
}

mebi_request mebi__order_default(mebi__server *server) {
    mebi_request r = mebi__jobs_request_default(mebi__server_jobs(server));
    mebi_engine_info info;
    mebi__config *c = mebi__server_config(server);
    r.steps = (int)mebi__config_integer(c, MEBI__SET_STEPS);
    r.cfg = (float)mebi__config_number(c, MEBI__SET_CFG);
    r.cfg_truncation = (float)mebi__config_number(c, MEBI__SET_CFG_TRUNCATION);
    r.cfg_normalization = (float)mebi__config_number(c, MEBI__SET_CFG_NORMALIZATION);
    r.seed = mebi__config_integer(c, MEBI__SET_SEED);
    r.count = (int)mebi__config_integer(c, MEBI__SET_COUNT);
    r.decode = (mebi_decode_way)mebi__config_word(c, MEBI__SET_DECODE);
    if (mebi__jobs_describe(mebi__server_jobs(server), &info))
        set_size(&r, mebi__config_text(c, MEBI__SET_SIZE), info.native_side, info.size_multiple);
    mebi__server_config_done(server);
    return r;
}

int mebi__order_read(mebi__server *server, const json_t *object, mebi__order *order,
                     json_t *warnings, mebi__fields_fault *fault) {
    *order = (mebi__order){.request = mebi__order_default(server)};
    return mebi__fields_read(fields, (int)(sizeof fields / sizeof *fields), object, order, warnings,
                             fault);
}

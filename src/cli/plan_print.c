/* A plan in words, in rows and as JSON. Must never show an estimate without saying so. */
#include "cli/plan_print.h"

#include "cli/plain.h"
#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int plan_has_colour(void) {
    const char *kind = getenv("TERM"), *none = getenv("NO_COLOR");
    return isatty(STDOUT_FILENO) && kind && strcmp(kind, "dumb") != 0 && !(none && *none);
}

static const char *colour(mebi_verdict v) {
    if (!plan_has_colour()) return "";
    return v == MEBI_FITS ? "\033[32m" : v == MEBI_TOO_BIG ? "\033[31m" : "\033[33m";
}

static const char *plain(void) {
    return plan_has_colour() ? "\033[0m" : "";
}

static const char *verdict_words(mebi_verdict v) {
    static const char *const words[] = {"fits", "fits, in parts", "fits, streamed", "too big"};
    return words[v];
}

/* What waiting feels like. */
static const char *pace(double seconds) {
    if (seconds < 2) return "under 2 s";
    if (seconds < 10) return "under 10 s";
    if (seconds < 30) return "under 30 s";
    if (seconds < 100) return "a minute or so";
    return seconds < 7200 ? "minutes" : "hours";
}

/* "~38 s"; "?" where nothing is known. */
static const char *time_text(const mebi_plan *p, double seconds, char *text, size_t bytes) {
    char t[24];
    if (seconds < 0) snprintf(text, bytes, "?");
    else
        snprintf(text, bytes, "%s%s", p->estimate ? "~" : "", seconds_text(seconds, t, sizeof t));
    return text;
}

static const char *size_text(int width, int height, char *text, size_t bytes) {
    snprintf(text, bytes, "%dx%d", width, height);
    return text;
}

/* ---- rows ---- */

void plan_print_columns(void) {
    printf("%-10s %4s %5s %3s  %8s  %12s  %-14s  %s\n", "size", "pics", "steps", "CFG", "memory", "time",
           "", "how");
}

void plan_print_head(const plan_words *words, const mebi_plan *any) {
    char b[24];
    printf("%s on %s\nbudget %s%s\n\n", words->model, words->machine,
           bytes_text((double)any->budget_bytes, b, sizeof b),
           any->estimate ? "; times are an estimate (~)" : "");
    plan_print_columns();
}

static void short_way(const mebi_plan *p, char *text, size_t bytes) {
    static const char *const weights[] = {"", "weights stay", "encoder leaves", "layer by layer"};
    static const char *const decode[] = {"", "", ", strips", ", tiles"};
    if (p->verdict == MEBI_TOO_BIG) snprintf(text, bytes, "-");
    else
        snprintf(text, bytes, "%s%s%s%s", weights[p->weights], p->together ? ", together" : "",
                 p->small_chunks ? ", small chunks" : "", decode[p->decode]);
}

void plan_print_row(const planned *x, int with_precision) {
    const mebi_plan *p = &x->plan;
    char size[24], b[24], t[32] = "-", way[80];
    short_way(p, way, sizeof way);
    if (p->verdict != MEBI_TOO_BIG) time_text(p, p->total_seconds, t, sizeof t);
    printf("%-10s %4d %5d %3g  %8s  %12s  %s%-14s%s  %s%s%s\n",
           size_text(x->request.width, x->request.height, size, sizeof size), x->request.count,
           x->request.steps, (double)x->request.cfg,
           bytes_text((double)p->need_bytes, b, sizeof b), t, colour(p->verdict),
           verdict_words(p->verdict), plain(), with_precision ? mebi_precision_name(p->precision) : "",
           with_precision ? ": " : "", way);
}

/* ---- one request ---- */

static void print_memory(const mebi_plan *p) {
    enum { BAR = 40 };
    char a[24];
    for (int i = 0; i < MEBI_MEMORY_COUNT; i++) {
        size_t bytes = p->memory[i];
        int cells = p->need_bytes ? (int)((double)bytes / (double)p->need_bytes * BAR + 0.5) : 0;
        if (!bytes) continue;
        printf("  %-16s %8s  ", mebi_memory_name((mebi_memory)i),
               bytes_text((double)bytes, a, sizeof a));
        for (int k = 0; k < cells && k < BAR; k++) putchar('#');
        putchar('\n');
    }
}

static void print_stages(const mebi_plan *p) {
    static const struct {
        mebi_stage stage;
        const char *words;
    } rows[] = {{MEBI_STAGE_TAKE, "taking memory"},
                {MEBI_STAGE_ENCODE, "reading the prompt"},
                {MEBI_STAGE_STEP, "steps"},
                {MEBI_STAGE_DECODE, "picture from latent"},
                {MEBI_STAGE_SAVE, "saving"}};
    char t[32];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        printf("  %-20s %10s\n", rows[i].words,
               time_text(p, p->seconds[rows[i].stage], t, sizeof t));
}

static void alternative_command(const planned *x, const plan_words *words,
                                const mebi_alternative *a, char *text, size_t bytes) {
    snprintf(text, bytes, "%s --size %dx%d --count %d --steps %d --cfg %g", words->command,
             a->width, a->height, a->count, x->request.steps, (double)a->cfg);
}

static void print_alternatives(const planned *x, const plan_words *words) {
    const mebi_plan *p = &x->plan;
    if (!p->alternatives) {
        printf("\nNothing near fits. Give it more memory, or take a smaller model.\n");
        return;
    }
    printf("\nWhat fits:\n");
    for (int i = 0; i < p->alternatives; i++) {
        const mebi_alternative *a = &p->alternative[i];
        char b[24], t[32], command[1024];
        alternative_command(x, words, a, command, sizeof command);
        fputs("  ", stdout);
        plain_print(stdout, command);
        printf("\n      %s, %s, %s\n", bytes_text((double)a->need_bytes, b, sizeof b),
               time_text(p, a->seconds, t, sizeof t), verdict_words(a->verdict));
    }
}

void plan_print_one(const planned *x, const plan_words *words) {
    const mebi_plan *p = &x->plan;
    char a[24], b[24], c[24], d[24], t[32];
    printf("%s on %s, %s: %dx%d, %d picture%s, %d steps, %s\n\n", words->model, words->machine,
           mebi_precision_name(p->precision), x->request.width, x->request.height,
           x->request.count, x->request.count == 1 ? "" : "s", x->request.steps,
           x->request.cfg > 0 ? "with guidance" : "no guidance");
    printf("%s%s%s: %s. %s\n\n", colour(p->verdict), verdict_words(p->verdict), plain(),
           p->strategy, p->why);
    printf("Memory  %s of a budget of %s: %s at work, and weights of %s as they lie in files\n",
           bytes_text((double)p->need_bytes, a, sizeof a),
           bytes_text((double)p->budget_bytes, b, sizeof b),
           bytes_text((double)p->peak_bytes, c, sizeof c),
           bytes_text((double)p->file_bytes, d, sizeof d));
    print_memory(p);
    if (p->verdict == MEBI_TOO_BIG) {
        print_alternatives(x, words);
        return;
    }
    printf("\nTime    %s", time_text(p, p->total_seconds, t, sizeof t));
    if (p->total_seconds >= 0) printf(": %s", pace(p->total_seconds));
    if (p->estimate) printf(" (an estimate, not measured on %s)", words->machine);
    putchar('\n');
    print_stages(p);
}

/* ---- JSON ---- */

static json_t *seconds_json(double seconds) {
    return seconds < 0 ? json_null() : json_real(seconds);
}

static json_t *memory_json(const mebi_plan *p) {
    static const char *const keys[MEBI_MEMORY_COUNT] = {"dit",         "encoder", "vae",
                                                        "activations", "output",  "other"};
    json_t *o = json_object();
    for (int i = 0; i < MEBI_MEMORY_COUNT; i++)
        json_object_set_new(o, keys[i], json_integer((json_int_t)p->memory[i]));
    return o;
}

static json_t *alternatives_json(const planned *x, const plan_words *words) {
    const mebi_plan *p = &x->plan;
    json_t *all = json_array();
    for (int i = 0; i < p->alternatives; i++) {
        const mebi_alternative *a = &p->alternative[i];
        char command[1024], utf8[2048];
        alternative_command(x, words, a, command, sizeof command);
        json_array_append_new(
            all, json_pack("{s:i, s:i, s:i, s:f, s:s, s:I, s:o, s:s}", "width", a->width, "height",
                           a->height, "count", a->count, "cfg", (double)a->cfg, "verdict",
                           mebi_verdict_name(a->verdict), "need_bytes", (json_int_t)a->need_bytes,
                           "seconds", seconds_json(a->seconds), "command",
                           plain_utf8(command, utf8, sizeof utf8)));
    }
    return all;
}

json_t *plan_json(const planned *x, const plan_words *words) {
    const mebi_plan *p = &x->plan;
    const mebi_request *r = &x->request;
    json_t *stages = json_pack("{s:o, s:o, s:o, s:o, s:o}", "take",
                               seconds_json(p->seconds[MEBI_STAGE_TAKE]), "encode",
                               seconds_json(p->seconds[MEBI_STAGE_ENCODE]), "denoise",
                               seconds_json(p->seconds[MEBI_STAGE_STEP]), "decode",
                               seconds_json(p->seconds[MEBI_STAGE_DECODE]), "save",
                               seconds_json(p->seconds[MEBI_STAGE_SAVE]));
    json_t *o = json_pack("{s:s, s:I, s:o, s:s, s:o}", "verdict", mebi_verdict_name(p->verdict),
                          "peak_bytes", (json_int_t)p->peak_bytes, "seconds",
                          seconds_json(p->total_seconds), "strategy", p->strategy, "alternatives",
                          alternatives_json(x, words));
    json_t *rest = json_pack(
        "{s:s, s:b, s:i, s:i, s:i, s:i, s:f, s:s, s:s, s:s, s:b, s:b, s:I, s:I, s:I, s:o, s:o, s:s}",
        "why", p->why, "estimate", p->estimate, "width", r->width, "height", r->height, "count",
        r->count, "steps", r->steps, "cfg", (double)r->cfg, "precision",
        mebi_precision_name(p->precision), "weights", mebi_weights_way_name(p->weights), "decode",
        mebi_decode_way_name(p->decode), "together", p->together, "small_chunks", p->small_chunks,
        "file_bytes", (json_int_t)p->file_bytes, "need_bytes", (json_int_t)p->need_bytes,
        "budget_bytes", (json_int_t)p->budget_bytes, "memory", memory_json(p), "stage_seconds",
        stages, "machine", words->machine);
    if (o && rest) json_object_update(o, rest);
    json_decref(rest);
    return o;
}

/* A sweep for a terminal of 100 columns, and for programs. */
#include "base/error.h"
#include "sweep/words.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

/* ---- tables ---- */

static void print_size(const mebi__sweep *s, int i, FILE *to) {
    const mebi__row *r = &s->row[i];
    char name[24], t[4][WORD], b[2][WORD], counts[3][16], like[16] = "-";
    snprintf(name, sizeof name, "%dx%d", r->width, r->height);
    if (!r->made) {
        fprintf(to, "%c %-11s does not fit: %s planned\n", ' ', name,
                mebi__sweep_bytes(r->plan.peak_bytes, b[0]));
        return;
    }
    snprintf(counts[0], 16, "%d/%d", r->repeated, r->made);
    snprintf(counts[1], 16, "%d/%d", r->cut, r->made);
    snprintf(counts[2], 16, "%d/%d", r->blotched, r->made);
    if (r->structure > -1) snprintf(like, sizeof like, "%.2f", r->structure);
    fprintf(to, "%c %-11s %6s %6s %6s %6s %7s %7s %6.0f %5.2f %6s %5s %5s %5s\n",
            i == s->sweet ? '*' : ' ', name, mebi__sweep_time(r->seconds, t[0]),
            mebi__sweep_time(r->plan.total_seconds, t[1]), mebi__sweep_time(r->step_seconds, t[2]),
            mebi__sweep_time(r->decode_seconds, t[3]), mebi__sweep_bytes(r->peak_bytes, b[0]),
            mebi__sweep_bytes(r->planned_bytes, b[1]), r->detail, r->sharpness, counts[0],
            counts[1], counts[2], like);
}

static void print_gain(const mebi__sweep *s, const mebi__row *r, FILE *to) {
    const mebi__row *from = &s->row[r->from];
    char name[48], longer[WORD], a_second[16] = "-", a_gigabyte[16] = "-";
    snprintf(name, sizeof name, "%dx%d to %dx%d", from->width, from->height, r->width, r->height);
    snprintf(longer, sizeof longer, fabs(r->more_seconds) < 1000 ? "%+.2f s" : "%+.0f s",
             r->more_seconds);
    if (r->more_seconds > 0) snprintf(a_second, 16, "%+.0f", r->more_detail / r->more_seconds);
    if (r->more_bytes > 1e6)
        snprintf(a_gigabyte, 16, "%+.0f", r->more_detail / (r->more_bytes / 1e9));
    fprintf(to, "  %-26s %+7.0f %10s %+7.0f MB %8s %8s %6.2f  %s\n", name, r->more_detail, longer,
            r->more_bytes / 1e6, a_second, a_gigabyte, r->worth,
            !r->sound       ? "not sound"
            : r->worthwhile ? "worth it"
                            : "not worth it");
}

/* Breaks text between words. */
static void print_wrapped(const char *text, int columns, const char *first, const char *rest,
                          FILE *to) {
    int used = (int)strlen(first);
    fputs(first, to);
    for (int begun = 0; *text;) {
        int length = (int)strcspn(text, " ");
        if (begun && used + 1 + length > columns) {
            fprintf(to, "\n%s", rest);
            used = (int)strlen(rest), begun = 0;
        }
        used += fprintf(to, "%s%.*s", begun ? " " : "", length, text);
        begun = 1;
        text += length;
        text += *text == ' ';
    }
    fputc('\n', to);
}

/* Bytes of text that are whole characters, at most `limit`. */
static int whole_letters(const char *text, int limit) {
    int n = (int)strnlen(text, (size_t)limit);
    while (n > 0 && text[n] && ((unsigned char)text[n] & 0xc0) == 0x80) n--;
    return n;
}

static void print_runs(const mebi__sweep *s, FILE *to) {
    char first[WORD], last[WORD];
    if (s->runs < 1) return;
    const mebi__row *r = &s->row[s->runs_size];
    fprintf(to,
            "\n%d runs in a row at %dx%d: peak of the first %s, of the last %s: %s; pictures %s.\n",
            s->runs, r->width, r->height, mebi__sweep_bytes(s->run_peak[0], first),
            mebi__sweep_bytes(s->run_peak[s->runs - 1], last),
            s->steady ? "equal" : "NOT equal, memory leaks or is held",
            s->same ? "equal" : "NOT EQUAL");
}

void mebi__sweep_print(const mebi__sweep *s, FILE *to) {
    char seconds[WORD];
    char head[600];
    snprintf(head, sizeof head,
             "%.*s: %s, %s, %d thread%s; %d step%s, %d prompt%s with %d seed%s; %s in all",
             whole_letters(s->params.model, 80), s->params.model,
             mebi_precision_name(s->info.precision), s->info.cpu, s->info.threads,
             s->info.threads > 1 ? "s" : "", s->params.steps, s->params.steps > 1 ? "s" : "",
             s->params.prompts, s->params.prompts > 1 ? "s" : "", s->params.seeds,
             s->params.seeds > 1 ? "s" : "", mebi__sweep_time(s->seconds, seconds));
    print_wrapped(head, 100, "", "  ", to);
    fputc('\n', to);
    fprintf(to, "  %-11s %6s %6s %6s %6s %7s %7s %6s %5s %6s %5s %5s %5s\n", "size", "time", "plan",
            "step", "decode", "memory", "planned", "detail", "sharp", "repeat", "cut", "blots",
            "like");
    for (int i = 0; i < s->params.sizes; i++) print_size(s, i, to);
    fprintf(to, "\n  %-26s %7s %10s %10s %8s %8s %6s\n", "from one size to the next", "detail",
            "time", "memory", "a second", "a GB", "worth");
    for (int i = 0; i < s->params.sizes; i++)
        if (s->row[i].made && s->row[i].from >= 0) print_gain(s, &s->row[i], to);
    fputc('\n', to);
    print_wrapped(s->why, 100, s->sweet >= 0 ? "Sweet spot (*): " : "", "  ", to);
    for (int i = 0; i < s->params.sizes; i++) {
        char name[32];
        snprintf(name, sizeof name, "  %dx%d: ", s->row[i].width, s->row[i].height);
        if (*s->row[i].note) print_wrapped(s->row[i].note, 100, name, "    ", to);
    }
    print_runs(s, to);
    fputc('\n', to);
    print_wrapped("time, step, decode, sharp, like: medians over a size's pictures. memory: the "
                  "most, mapped model files "
                  "not counted. plan, planned: what was said before anything ran; - is not known. "
                  "detail: energy of "
                  "the finest octave over the whole picture, 100 at the native size. sharp: 1 if "
                  "edges take two pixels. "
                  "repeat, cut, blots: pictures with the subject repeated, cut off by the border, "
                  "with stains in the "
                  "background. like: structural similarity to the native size's picture. worth: "
                  "per cent more of detail "
                  "for one per cent more of time.",
                  100, "", "", to);
    fputc('\n', to);
    print_wrapped(mebi__sweep_rule, 100, "", "", to);
    fputs("What the measures can't see:\n", to);
    for (int i = 0; i < mebi__sweep_limit_count; i++)
        print_wrapped(mebi__sweep_limits[i], 100, "- ", "  ", to);
}

/* ---- JSON ---- */

/* A figure that is not known is null. */
static json_t *known(double value, int is_known) {
    return is_known ? json_real(value) : json_null();
}

static json_t *row_json(const mebi__sweep *s, int i) {
    const mebi__row *r = &s->row[i];
    int made = r->made > 0, follows = made && r->from >= 0;
    json_t *o = json_pack("{s:i, s:i, s:b, s:b, s:i, s:b, s:s, s:s}", "width", r->width, "height",
                          r->height, "native", r->native, "sweet_spot", i == s->sweet, "pictures",
                          r->made, "sound", r->sound, "verdict", mebi_verdict_name(r->plan.verdict),
                          "note", r->note);
    const struct {
        const char *name;
        json_t *value;
    } figures[] = {
        {"seconds", known(r->seconds, made)},
        {"planned_seconds", known(r->plan.total_seconds, r->plan.total_seconds > 0)},
        {"step_seconds", known(r->step_seconds, made)},
        {"planned_step_seconds", known(r->plan.step_seconds, r->plan.step_seconds > 0)},
        {"decode_seconds", known(r->decode_seconds, made)},
        {"planned_decode_seconds",
         known(r->plan.seconds[MEBI_STAGE_DECODE], r->plan.seconds[MEBI_STAGE_DECODE] > 0)},
        {"peak_bytes", made ? json_integer((json_int_t)r->peak_bytes) : json_null()},
        {"planned_bytes", json_integer((json_int_t)(made ? r->planned_bytes : r->plan.peak_bytes))},
        {"detail", known(r->detail, made)},
        {"detail_energy", known(r->detail_energy, made)},
        {"sharpness", known(r->sharpness, made)},
        {"noise", known(r->noise, made)},
        {"background_deviation", known(r->deviation, made)},
        {"repeated", json_integer(r->repeated)},
        {"cut", json_integer(r->cut)},
        {"blotched", json_integer(r->blotched)},
        {"structure", known(r->structure, made && r->structure > -1)},
        {"gradients", known(r->gradients, made && r->gradients >= 0)},
        {"more_detail", known(r->more_detail, follows)},
        {"more_seconds", known(r->more_seconds, follows)},
        {"more_bytes", known(r->more_bytes, follows)},
        {"worth", known(r->worth, follows)},
    };
    for (size_t k = 0; k < sizeof figures / sizeof *figures; k++)
        json_object_set_new(o, figures[k].name, figures[k].value);
    return o;
}

static json_t *shot_json(const mebi__sweep *s, const mebi__shot *shot) {
    const mebi_measures *m = &shot->measures;
    const mebi__row *r = &s->row[shot->size];
    return json_pack(
        "{s:i, s:i, s:s, s:i, s:f, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:b, s:f, s:f, s:i, s:i, "
        "s:i, s:i, s:f, s:f, "
        "s:f}",
        "width", r->width, "height", r->height, "prompt", mebi__sweep_prompts[shot->prompt].text,
        "seed", shot->seed + 1, "seconds", shot->report.total_seconds, "peak_bytes",
        (json_int_t)shot->report.peak_bytes, "planned_bytes", (json_int_t)shot->plan.peak_bytes,
        "edge_width", m->edge_width, "sharpness", m->sharpness, "detail", m->detail, "noise",
        m->noise, "repetition", m->repetition, "background", m->background, "background_deviation",
        m->background_deviation, "background_off", m->background_off, "blotches", m->blotches,
        "objects", m->objects, "fragments", m->fragments, "repeats", m->repeats, "cut", m->cut,
        "hue", m->hue, "hue_share", m->hue_share);
}

static json_t *runs_json(const mebi__sweep *s) {
    json_t *peaks = json_array(), *seconds = json_array();
    for (int i = 0; i < s->runs; i++) {
        json_array_append_new(peaks, json_integer((json_int_t)s->run_peak[i]));
        json_array_append_new(seconds, json_real(s->run_seconds[i]));
    }
    return json_pack("{s:o, s:o, s:b, s:b}", "peak_bytes", peaks, "seconds", seconds, "steady",
                     s->steady, "same", s->same);
}

mebi_status mebi__sweep_json(const mebi__sweep *s, FILE *to, mebi_error *err) {
    json_t *rows = json_array(), *shots = json_array();
    for (int i = 0; i < s->params.sizes; i++) json_array_append_new(rows, row_json(s, i));
    for (int i = 0; i < s->shots; i++)
        if (s->shot[i].made) json_array_append_new(shots, shot_json(s, &s->shot[i]));
    json_t *sweet = s->sweet >= 0 ? json_pack("{s:i, s:i, s:s}", "width", s->row[s->sweet].width,
                                              "height", s->row[s->sweet].height, "why", s->why)
                                  : json_null();
    json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:f, s:o, s:o, s:o, s:o}",
                          "model", s->params.model, "model_hash", s->info.model_hash, "precision",
                          mebi_precision_name(s->info.precision), "cpu", s->info.cpu, "threads",
                          s->info.threads, "native_side", s->info.native_side, "steps",
                          s->params.steps, "prompts", s->params.prompts, "seeds", s->params.seeds,
                          "total_seconds", s->seconds, "sweet_spot", sweet, "sizes", rows, "runs",
                          runs_json(s), "pictures", shots);
    int failed =
        !o || json_dumpf(o, to, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(7)) != 0;
    if (!failed) fputc('\n', to);
    json_decref(o);
    return failed
               ? mebi__fail(err, MEBI_NO_MEMORY, "No memory for the JSON of %d pictures.", s->shots)
               : MEBI_OK;
}

/* A sweep's report: one page that needs nothing else, no address, no script. */
#include "sweep/html.h"

#include "base/error.h"
#include "mebi/mebi.h"
#include "sweep/words.h"

#include <string.h>

enum { PICTURE_BYTES = 64 << 20 }; /* of PNG in a page, most */

/* ---- words ---- */

static void put_size(FILE *to, const mebi__row *r) {
    fprintf(to, "%d&#215;%d", r->width, r->height);
}

static void put_cell(FILE *to, const char *text) {
    fputs("<td>", to);
    mebi__html_text(to, text);
    fputs("</td>", to);
}

/* ---- the head ---- */

static void put_head(FILE *to, const mebi__sweep *s) {
    const mebi__row *r = s->sweet >= 0 ? &s->row[s->sweet] : NULL;
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>",
          to);
    if (r) fprintf(to, "Sweet spot %d&#215;%d: ", r->width, r->height);
    mebi__html_text(to, s->params.model);
    fprintf(
        to,
        ", measured by mebi</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<header>\n<p "
        "class=\"over\">",
        mebi__html_style);
    mebi__html_text(to, s->params.model);
    fprintf(to, " on this machine: %s, %s, %d thread%s, %d step%s</p>\n<h1>",
            mebi_precision_name(s->info.precision), s->info.cpu, s->info.threads,
            s->info.threads == 1 ? "" : "s", s->params.steps, s->params.steps == 1 ? "" : "s");
    if (r) {
        fputs("The sweet spot is ", to);
        put_size(to, r);
    } else fputs("No size fits", to);
    fputs("</h1>\n<p class=\"lead\">", to);
    mebi__html_text(to, s->why);
    fputs("</p>\n", to);
    int listed = 0;
    for (int i = 0; i < s->params.sizes; i++) {
        if (!*s->row[i].note) continue;
        fputs(listed++ ? "<li><strong>" : "<ul class=\"notes\">\n<li><strong>", to);
        put_size(to, &s->row[i]);
        fputs("</strong> ", to);
        mebi__html_text(to, s->row[i].note);
        fputs("</li>\n", to);
    }
    if (listed) fputs("</ul>\n", to);
}

static void put_fact(FILE *to, const char *name, const char *value, const char *more) {
    fputs("<div class=\"card\"><dt>", to);
    mebi__html_text(to, name);
    fputs("</dt><dd>", to);
    mebi__html_text(to, value);
    fputs("<small>", to);
    mebi__html_text(to, more);
    fputs("</small></dd></div>\n", to);
}

static void put_planned(char more[80], double seconds) {
    char t[WORD];
    if (seconds > 0) snprintf(more, 80, "%s planned", mebi__sweep_time(seconds, t));
    else snprintf(more, 80, "not planned");
}

static void put_facts(FILE *to, const mebi__sweep *s) {
    char a[WORD], b[WORD], more[80], sharp[WORD];
    if (s->sweet < 0) return;
    const mebi__row *r = &s->row[s->sweet];
    fputs("<dl class=\"facts\">\n", to);
    put_planned(more, r->plan.total_seconds);
    put_fact(to, "A picture takes", mebi__sweep_time(r->seconds, a), more);
    snprintf(more, sizeof more, "%s planned", mebi__sweep_bytes(r->planned_bytes, b));
    put_fact(to, "Memory at most", mebi__sweep_bytes(r->peak_bytes, a), more);
    put_planned(more, r->plan.step_seconds);
    put_fact(to, "A step", mebi__sweep_time(r->step_seconds, a), more);
    put_planned(more, r->plan.seconds[MEBI_STAGE_DECODE]);
    put_fact(to, "Decoding", mebi__sweep_time(r->decode_seconds, a), more);
    snprintf(sharp, sizeof sharp, "%.0f %%", 100 * r->sharpness);
    put_fact(to, "Sharpness", sharp, "of what its pixels could show");
    snprintf(sharp, sizeof sharp, "%d of %d", r->repeated + r->cut + r->blotched, 3 * r->made);
    put_fact(to, "Faults", sharp, "repeated, cut off, blotched");
    fputs("</dl>\n</header>\n", to);
}

/* ---- tables ---- */

/* A table in a region that scrolls by itself; its caption is its name. */
static void begin_table(FILE *to, const char *id, const char *caption, const char *const *columns) {
    fprintf(to,
            "<div class=\"card scroll\" tabindex=\"0\" role=\"region\" "
            "aria-labelledby=\"%s\">\n<table>\n"
            "<caption><span id=\"%s\">",
            id, id);
    mebi__html_text(to, caption);
    fputs("</span></caption>\n<thead><tr>", to);
    for (; *columns; columns++) {
        fputs("<th scope=\"col\">", to);
        mebi__html_text(to, *columns);
        fputs("</th>", to);
    }
    fputs("</tr></thead>\n<tbody>\n", to);
}

static void end_table(FILE *to) {
    fputs("</tbody>\n</table>\n</div>\n", to);
}

static void put_size_row(FILE *to, const mebi__sweep *s, int i) {
    const mebi__row *r = &s->row[i];
    char t[WORD], text[48];
    fprintf(to, "<tr%s><th scope=\"row\">", i == s->sweet ? " class=\"best\"" : "");
    put_size(to, r);
    /* Worked on in parts, for want of memory: slower than it could be. */
    if (r->plan.verdict == MEBI_TILED || r->plan.verdict == MEBI_STREAMED)
        fprintf(to, "<br/><span class=\"note\">%s</span>", mebi_verdict_name(r->plan.verdict));
    fprintf(to, "%s%s</th>", r->native ? "<br/><span class=\"note\">native</span>" : "",
            i == s->sweet ? "<br/><span class=\"tag good\">sweet spot</span>" : "");
    if (!r->made) {
        fprintf(to, "<td colspan=\"12\">does not fit: %s planned</td></tr>\n",
                mebi__sweep_bytes(r->plan.peak_bytes, t));
        return;
    }
    put_cell(to, mebi__sweep_time(r->seconds, t));
    put_cell(to, mebi__sweep_time(r->plan.total_seconds, t));
    put_cell(to, mebi__sweep_time(r->step_seconds, t));
    put_cell(to, mebi__sweep_time(r->decode_seconds, t));
    put_cell(to, mebi__sweep_bytes(r->peak_bytes, t));
    put_cell(to, mebi__sweep_bytes(r->planned_bytes, t));
    fprintf(to, "<td>%.0f</td><td>%.2f</td>", r->detail, r->sharpness);
    const int faults[] = {r->repeated, r->cut, r->blotched};
    for (int k = 0; k < 3; k++) {
        snprintf(text, sizeof text, "%d of %d", faults[k], r->made);
        if (faults[k] > r->made / 4) fprintf(to, "<td><span class=\"tag\">%s</span></td>", text);
        else put_cell(to, text);
    }
    if (r->structure > -1) snprintf(text, sizeof text, "%.2f", r->structure);
    else snprintf(text, sizeof text, "\xe2\x80\x93");
    put_cell(to, text);
    fputs("</tr>\n", to);
}

static void put_sizes(FILE *to, const mebi__sweep *s) {
    static const char *const columns[] = {
        "Size",   "Time",      "planned",  "A step",  "Decoding", "Memory",   "planned",
        "Detail", "Sharpness", "Repeated", "Cut off", "Blotched", "Likeness", NULL};
    char caption[240];
    snprintf(caption, sizeof caption,
             "Medians over %d picture%s a size (%d prompt%s, %d seed%s); memory is the most, "
             "files' pages not counted.",
             s->params.prompts * s->params.seeds,
             s->params.prompts * s->params.seeds == 1 ? "" : "s", s->params.prompts,
             s->params.prompts == 1 ? "" : "s", s->params.seeds, s->params.seeds == 1 ? "" : "s");
    fputs("<section>\n<h2>What each size takes and gives</h2>\n", to);
    begin_table(to, "sizes", caption, columns);
    for (int i = 0; i < s->params.sizes; i++) put_size_row(to, s, i);
    end_table(to);
    fputs("</section>\n", to);
}

static void put_gain_row(FILE *to, const mebi__sweep *s, const mebi__row *r) {
    const mebi__row *from = &s->row[r->from];
    fputs("<tr><th scope=\"row\">", to);
    put_size(to, from);
    fputs(" to ", to);
    put_size(to, r);
    fprintf(to, "</th><td>%+.0f</td><td>%+.2f s</td><td>%+.0f MB</td>", r->more_detail,
            r->more_seconds, r->more_bytes / 1e6);
    if (r->more_seconds > 0) fprintf(to, "<td>%+.0f</td>", r->more_detail / r->more_seconds);
    else put_cell(to, "\xe2\x80\x93");
    if (r->more_bytes > 1e6) fprintf(to, "<td>%+.0f</td>", r->more_detail / (r->more_bytes / 1e9));
    else put_cell(to, "\xe2\x80\x93");
    fprintf(to, "<td>%.2f</td><td><span class=\"tag%s\">%s</span></td></tr>\n", r->worth,
            r->sound && r->worthwhile ? " good" : "",
            !r->sound       ? "not sound"
            : r->worthwhile ? "worth it"
                            : "not worth it");
}

static void put_gains(FILE *to, const mebi__sweep *s) {
    static const char *const columns[] = {"Step",   "Detail",          "Time",
                                          "Memory", "Detail a second", "Detail a GB",
                                          "Worth",  "Verdict",         NULL};
    fputs("<section>\n<h2>What one size more brings</h2>\n", to);
    begin_table(to, "gains",
                "Detail: 100 is the native size's. Worth: per cent more of detail for one per cent "
                "more of time.",
                columns);
    for (int i = 0; i < s->params.sizes; i++)
        if (s->row[i].made && s->row[i].from >= 0) put_gain_row(to, s, &s->row[i]);
    end_table(to);
    fputs("<p class=\"small\">", to);
    mebi__html_text(to, mebi__sweep_rule);
    fputs("</p>\n</section>\n", to);
}

/* ---- plots ---- */

static void set(mebi__series *series, int i, double value, int known) {
    series->value[i] = value;
    series->known[i] = known;
}

/* Three of what a size takes, three of what it gives. */
static void fill_plots(const mebi__sweep *s, mebi__plot *p) {
    for (int i = 0; i < s->params.sizes; i++) {
        const mebi__row *r = &s->row[i];
        int made = r->made > 0;
        set(&p[0].series[0], i, r->seconds, made);
        set(&p[0].series[1], i, r->plan.total_seconds, r->plan.total_seconds > 0);
        set(&p[1].series[0], i, (double)r->peak_bytes / 1e6, made);
        set(&p[1].series[1], i, (double)(made ? r->planned_bytes : r->plan.peak_bytes) / 1e6, 1);
        set(&p[2].series[0], i, r->seconds > 0 ? r->detail / r->seconds : 0,
            made && r->seconds > 0);
        set(&p[3].series[0], i, r->detail, made);
        set(&p[4].series[0], i, 100 * r->sharpness, made);
        set(&p[4].series[1], i, 100 * r->structure, made && r->structure > -1);
        set(&p[5].series[0], i, made ? 100.0 * r->repeated / r->made : 0, made);
        set(&p[5].series[1], i, made ? 100.0 * r->cut / r->made : 0, made);
        set(&p[5].series[2], i, made ? 100.0 * r->blotched / r->made : 0, made);
    }
}

static void put_plots(FILE *to, const mebi__sweep *s) {
    mebi__plot plots[] = {
        {.id = "p1",
         .title = "Time",
         .unit = "seconds",
         .note = "For one picture: the median.",
         .count = 2,
         .series = {{"measured", "a", {0}, {0}}, {"planned", "b", {0}, {0}}}},
        {.id = "p2",
         .title = "Memory",
         .unit = "MB",
         .note = "The most that the process held.",
         .count = 2,
         .series = {{"measured", "a", {0}, {0}}, {"planned", "b", {0}, {0}}}},
        {.id = "p3",
         .title = "Detail for a second",
         .unit = "detail a second",
         .count = 1,
         .note = "What a second of work brings.",
         .series = {{"detail over time", "a", {0}, {0}}}},
        {.id = "p4",
         .title = "Detail",
         .unit = "native = 100",
         .count = 1,
         .note = "In the whole picture. Debris and repeats count too.",
         .series = {{"detail", "a", {0}, {0}}},
         .least_top = 100},
        {.id = "p5",
         .title = "Sharpness and likeness",
         .unit = "%",
         .count = 2,
         .note = "Of what the pixels could show; to the native size's picture.",
         .least_top = 100,
         .series = {{"sharpness", "a", {0}, {0}}, {"likeness", "b", {0}, {0}}}},
        {.id = "p6",
         .title = "Faults",
         .unit = "% of pictures",
         .count = 3,
         .least_top = 100,
         .bars = 1,
         .note = "Sound: none is in more than a quarter of the pictures.",
         .series = {{"repeated", "a", {0}, {0}},
                    {"cut off", "b", {0}, {0}},
                    {"blotched", "c", {0}, {0}}}},
    };
    fill_plots(s, plots);
    fputs("<section>\n<h2>Over sizes</h2>\n<div class=\"plots\">\n", to);
    for (size_t i = 0; i < sizeof plots / sizeof *plots; i++) mebi__html_plot(to, s, &plots[i]);
    fputs("</div>\n</section>\n", to);
}

/* ---- pictures ---- */

static void put_caption(FILE *to, const mebi__sweep *s, const mebi__shot *shot) {
    const mebi__row *r = &s->row[shot->size];
    const mebi_measures *m = &shot->measures;
    char t[WORD], b[WORD];
    fputs("<figcaption><strong>", to);
    put_size(to, r);
    fprintf(to, "</strong> %s, %s<br/>sharpness %.2f, detail %.1f",
            mebi__sweep_time(shot->report.total_seconds, t),
            mebi__sweep_bytes(shot->report.peak_bytes, b), m->sharpness, m->detail);
    if (mebi_measures_repeated(m)) {
        fputs("<br/><span class=\"tag\">", to);
        if (m->repeats > 0) fprintf(to, "%d objects", m->objects);
        else fputs("repeats itself", to);
        fputs("</span>", to);
    }
    if (m->cut > 0.02) fputs("<br/><span class=\"tag\">cut off</span>", to);
    if (m->blotches > 0)
        fprintf(to, "<br/><span class=\"tag\">%d blotch%s</span>", m->blotches,
                m->blotches == 1 ? "" : "es");
    fputs("</figcaption>", to);
}

static mebi_status put_shot(FILE *to, const mebi__sweep *s, const mebi__shot *shot, size_t *room,
                            mebi_error *err) {
    const mebi__row *r = &s->row[shot->size];
    fputs("<figure class=\"shot\">\n<div class=\"pan\">", to);
    if (shot->png_bytes > 0 && shot->png_bytes <= *room) {
        *room -= shot->png_bytes;
        fprintf(to, "<img width=\"%d\" height=\"%d\" alt=\"", r->width, r->height);
        mebi__html_text(to, mebi__sweep_prompts[shot->prompt].text);
        fprintf(to, ", %d by %d pixels, seed %d\" src=\"data:image/png;base64,", r->width,
                r->height, shot->seed + 1);
        MEBI_TRY(mebi__html_png(to, s, shot, err));
        fputs("\"/>", to);
    } else fputs("<p class=\"note\">Left out: the page would be too large.</p>", to);
    fputs("</div>\n", to);
    put_caption(to, s, shot);
    fputs("</figure>\n", to);
    return MEBI_OK;
}

/* One prompt and seed at all sizes. */
static mebi_status put_line(FILE *to, const mebi__sweep *s, int prompt, int seed, size_t *room,
                            mebi_error *err) {
    fputs("<div class=\"card shots\">\n", to);
    for (int i = 0; i < s->shots; i++) {
        const mebi__shot *shot = &s->shot[i];
        if (shot->made && shot->prompt == prompt && shot->seed == seed)
            MEBI_TRY(put_shot(to, s, shot, room, err));
    }
    fputs("</div>\n", to);
    return MEBI_OK;
}

static mebi_status put_pictures(FILE *to, const mebi__sweep *s, mebi_error *err) {
    size_t room = PICTURE_BYTES;
    fputs("<section>\n<h2>The pictures, at 100&#160;%</h2>\n"
          "<p class=\"small\">One pixel of a picture is one CSS pixel; one wider than the screen "
          "scrolls by itself.</p>\n",
          to);
    for (int p = 0; p < s->params.prompts; p++) {
        fprintf(to, "<h3 lang=\"%s\">", mebi__sweep_prompts[p].language);
        mebi__html_text(to, mebi__sweep_prompts[p].text);
        fputs("</h3>\n", to);
        MEBI_TRY(put_line(to, s, p, 0, &room, err));
        if (s->params.seeds < 2) continue;
        fputs("<details><summary>more seeds</summary>\n", to);
        for (int seed = 1; seed < s->params.seeds; seed++)
            MEBI_TRY(put_line(to, s, p, seed, &room, err));
        fputs("</details>\n", to);
    }
    fputs("</section>\n", to);
    return MEBI_OK;
}

/* ---- the end ---- */

static const struct {
    const char *word, *meaning;
} words[] = {
    {"Time", "A job's, from the prompt to pixels: the median. Opening the model is not in it."},
    {"Planned", "What a dry run of the same code said before anything ran. A dash: the machine's "
                "speed is not known."},
    {"Memory",
     "The process's highest resident memory during the job, mapped model files not counted."},
    {"Detail", "Energy of the finest octave: mean square, in levels, of what a 5-tap binomial blur "
               "takes away (after "
               "Burt and Adelson, 1983), times the number of pixels; the mean, with the native "
               "size's as 100."},
    {"Sharpness", "2 pixels over the median width of edges, where an edge's width is its contrast "
                  "over its slope "
                  "(after Marziliano and others, 2002). 1: edges are as steep as pixels allow."},
    {"Repeated", "Parts before the background of like area and colour, or a peak of 0.6 and more "
                 "in the picture's "
                 "correlation with itself."},
    {"Cut off", "More than 2 % of the border's length belongs to the object."},
    {"Blotched", "Stains of 6 levels and more, and 0.05 % of the area, in what is neither object "
                 "nor near one, after a "
                 "plane through it is taken away."},
    {"Likeness", "Structural similarity (Wang and others, 2004) to the native size's picture of "
                 "the same prompt and "
                 "seed, both averaged down to one size."},
};

static void put_method(FILE *to, const mebi__sweep *s) {
    char t[WORD];
    fputs("<section>\n<h2>How it was measured</h2>\n<dl class=\"words\">\n", to);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        fputs("<dt>", to);
        mebi__html_text(to, words[i].word);
        fputs("</dt><dd>", to);
        mebi__html_text(to, words[i].meaning);
        fputs("</dd>\n", to);
    }
    fputs("</dl>\n<h3>What the measures can&#39;t see</h3>\n<ul>\n", to);
    for (int i = 0; i < mebi__sweep_limit_count; i++) {
        fputs("<li>", to);
        mebi__html_text(to, mebi__sweep_limits[i]);
        fputs("</li>\n", to);
    }
    fprintf(to, "</ul>\n</section>\n<footer>mebi %s, model ", mebi_version());
    mebi__html_text(to, s->params.model);
    fputs(" (", to);
    mebi__html_text(to, s->info.model_hash);
    fprintf(to, "), %s in all.</footer>\n</main>\n</body>\n</html>\n",
            mebi__sweep_time(s->seconds, t));
}

static void put_runs(FILE *to, const mebi__sweep *s) {
    char first[WORD], last[WORD];
    if (s->runs < 1) return;
    fprintf(to, "<section>\n<h2>%d runs in a row</h2>\n<p>The same request at ", s->runs);
    put_size(to, &s->row[s->runs_size]);
    fprintf(to,
            ", one after the other in one process: %s at most in the first, %s in the last. <span "
            "class=\"tag%s\">%s</span> "
            "<span class=\"tag%s\">%s</span></p>\n</section>\n",
            mebi__sweep_bytes(s->run_peak[0], first),
            mebi__sweep_bytes(s->run_peak[s->runs - 1], last), s->steady ? " good" : "",
            s->steady ? "memory stays" : "memory does not stay", s->same ? " good" : "",
            s->same ? "pictures equal" : "pictures differ");
}

mebi_status mebi__sweep_html(const mebi__sweep *s, FILE *to, mebi_error *err) {
    put_head(to, s);
    if (s->sweet >= 0) put_facts(to, s);
    else fputs("</header>\n", to);
    put_plots(to, s);
    put_sizes(to, s);
    put_gains(to, s);
    MEBI_TRY(put_pictures(to, s, err));
    put_runs(to, s);
    put_method(to, s);
    if (fflush(to) == 0 && !ferror(to)) return MEBI_OK;
    return mebi__fail(err, MEBI_IO, "The report can't be written.");
}

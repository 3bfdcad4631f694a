/* Plots over sizes, as SVG. Colours and type are the page's. */
#include "sweep/html.h"

#include <math.h>

/* The drawing's own units; the page scales it. */
enum { WIDTH = 440, HEIGHT = 290, LEFT = 52, RIGHT = 14, TOP = 34, BOTTOM = 46 };

static const double plot_width = WIDTH - LEFT - RIGHT, plot_height = HEIGHT - TOP - BOTTOM;

/* Where things are: x grows with the side of a square of as many pixels. */
typedef struct scale {
    double least_side, most_side, top; /* of the y axis */
    double step;                       /* between its lines */
} scale;

static double side_of(const mebi__row *row) {
    return sqrt((double)row->width * row->height);
}

static double x_of(const scale *c, double side) {
    double span = c->most_side - c->least_side;
    /* A little room at both ends. */
    return LEFT + plot_width * (span > 0 ? 0.06 + 0.88 * (side - c->least_side) / span : 0.5);
}

static double y_of(const scale *c, double value) {
    return TOP + plot_height * (1 - value / c->top);
}

/* 1, 2 or 5 times a power of ten, for about five lines. */
static double round_step(double top) {
    double unit = pow(10, floor(log10(top / 5)));
    double left = top / 5 / unit;
    return unit * (left <= 1 ? 1 : left <= 2 ? 2 : left <= 5 ? 5 : 10);
}

static scale scale_of(const mebi__sweep *s, const mebi__plot *p) {
    scale c = {.least_side = INFINITY, .top = p->least_top};
    for (int i = 0; i < s->params.sizes; i++) {
        c.least_side = fmin(c.least_side, side_of(&s->row[i]));
        c.most_side = fmax(c.most_side, side_of(&s->row[i]));
        for (int k = 0; k < p->count; k++)
            if (p->series[k].known[i]) c.top = fmax(c.top, p->series[k].value[i]);
    }
    if (!(c.top > 0)) c.top = 1;
    c.step = round_step(c.top);
    c.top = c.step * ceil(c.top / c.step - 1e-9);
    return c;
}

static void draw_axes(FILE *to, const mebi__sweep *s, const mebi__plot *p, const scale *c) {
    int decimals = c->step < 0.995 ? (int)ceil(-log10(c->step) - 1e-9) : 0;
    for (int i = 0; i * c->step <= c->top * 1.0001; i++) {
        double y = y_of(c, i * c->step);
        fprintf(to, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>", LEFT,
                WIDTH - RIGHT, y, y);
        fprintf(to, "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.*f</text>\n",
                LEFT - 8, y + 4, decimals, i * c->step);
    }
    double last = -100;
    for (int i = 0; i < s->params.sizes; i++) {
        const mebi__row *r = &s->row[i];
        double x = x_of(c, side_of(r));
        fprintf(to, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", x, x,
                HEIGHT - BOTTOM, HEIGHT - BOTTOM + 5);
        /* Labels that would touch the one before are left out. */
        if (x - last < (r->width == r->height ? 34 : 62) && i != s->sweet) continue;
        fprintf(to, "<text class=\"tick%s\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">",
                i == s->sweet ? " strong" : "", x, HEIGHT - BOTTOM + 20);
        if (r->width == r->height) fprintf(to, "%d", r->width);
        else fprintf(to, "%d&#215;%d", r->width, r->height);
        fputs("</text>\n", to);
        last = x;
    }
    fprintf(to, "<text class=\"tick\" x=\"%d\" y=\"%d\">", LEFT - 44, TOP - 14);
    mebi__html_text(to, p->unit);
    fprintf(
        to,
        "</text><text class=\"tick\" x=\"%d\" y=\"%d\" text-anchor=\"end\">pixels a side</text>\n",
        WIDTH - RIGHT, HEIGHT - 8);
}

static void draw_sweet(FILE *to, const mebi__sweep *s, const scale *c) {
    if (s->sweet < 0) return;
    double x = x_of(c, side_of(&s->row[s->sweet]));
    int near_end = x > WIDTH - 100;
    fprintf(to, "<rect class=\"sweet\" x=\"%.1f\" y=\"%d\" width=\"20\" height=\"%.0f\" rx=\"4\"/>",
            x - 10, TOP, plot_height);
    fprintf(to,
            "<text class=\"sweetname\" x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">sweet spot</text>\n",
            near_end ? x + 10 : x - 10, TOP - 7, near_end ? "end" : "start");
}

static void draw_series(FILE *to, const mebi__sweep *s, const mebi__series *v, const scale *c) {
    int begun = 0;
    fprintf(to, "<path class=\"line %s\" d=\"", v->style);
    for (int i = 0; i < s->params.sizes; i++) {
        if (!v->known[i]) continue;
        fprintf(to, "%s%.1f %.1f", begun ? "L" : "M", x_of(c, side_of(&s->row[i])),
                y_of(c, v->value[i]));
        begun = 1;
    }
    fputs("\"/>", to);
    for (int i = 0; i < s->params.sizes; i++)
        if (v->known[i])
            fprintf(to, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>", v->style,
                    x_of(c, side_of(&s->row[i])), y_of(c, v->value[i]));
    fputc('\n', to);
}

/* The k-th series, beside the others; nothing is a line's height. */
static void draw_bars(FILE *to, const mebi__sweep *s, const mebi__plot *p, int k, const scale *c) {
    const mebi__series *v = &p->series[k];
    for (int i = 0; i < s->params.sizes; i++) {
        if (!v->known[i]) continue;
        double height = fmax(plot_height * v->value[i] / c->top, 2);
        double x = x_of(c, side_of(&s->row[i])) + 9 * (k - (p->count - 1) / 2.0) - 4;
        fprintf(to, "<rect class=\"bar %s\" x=\"%.1f\" y=\"%.1f\" width=\"8\" height=\"%.1f\"/>",
                v->style, x, HEIGHT - BOTTOM - height, height);
    }
    fputc('\n', to);
}

static void describe(FILE *to, const mebi__sweep *s, const mebi__plot *p) {
    fprintf(to, "<title id=\"%s-t\">", p->id);
    mebi__html_text(to, p->title);
    fprintf(to, "</title><desc id=\"%s-d\">", p->id);
    for (int k = 0; k < p->count; k++) {
        mebi__html_text(to, p->series[k].name);
        fputs(", in ", to);
        mebi__html_text(to, p->unit);
        for (int i = 0, said = 0; i < s->params.sizes; i++) {
            if (!p->series[k].known[i]) continue;
            fprintf(to, "%s %.3g at %dx%d", said++ ? "," : ":", p->series[k].value[i],
                    s->row[i].width, s->row[i].height);
        }
        fputs(". ", to);
    }
    if (s->sweet >= 0)
        fprintf(to, "The sweet spot is %dx%d.", s->row[s->sweet].width, s->row[s->sweet].height);
    fputs("</desc>\n", to);
}

static int has_values(const mebi__sweep *s, const mebi__series *v) {
    for (int i = 0; i < s->params.sizes; i++)
        if (v->known[i]) return 1;
    return 0;
}

void mebi__html_plot(FILE *to, const mebi__sweep *s, const mebi__plot *p) {
    scale c = scale_of(s, p);
    fputs("<figure class=\"plot\"><figcaption><strong>", to);
    mebi__html_text(to, p->title);
    fputs("</strong>", to);
    if (p->note) {
        fputs(" <span class=\"note\">", to);
        mebi__html_text(to, p->note);
        fputs("</span>", to);
    }
    fputs("</figcaption>\n", to);
    fprintf(to, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"%s-t %s-d\">", WIDTH,
            HEIGHT, p->id, p->id);
    describe(to, s, p);
    draw_sweet(to, s, &c);
    draw_axes(to, s, p, &c);
    /* The first is drawn last: what was measured lies over what was planned. */
    for (int k = p->count; k-- > 0;)
        if (p->bars) draw_bars(to, s, p, k, &c);
        else if (has_values(s, &p->series[k])) draw_series(to, s, &p->series[k], &c);
    fputs("</svg>\n<ul class=\"key\">", to);
    for (int k = 0; k < p->count; k++) {
        if (!has_values(s, &p->series[k])) continue;
        fprintf(to, "<li><span class=\"mark %s%s\"></span>", p->bars ? "block " : "",
                p->series[k].style);
        mebi__html_text(to, p->series[k].name);
        fputs("</li>", to);
    }
    fputs("</ul></figure>\n", to);
}

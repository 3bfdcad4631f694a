/* A picture's cells: their colours, and which of them make one part. Knows nothing of what they
 * mean. */
#include "image/cells.h"

#include "base/memory.h"

#include <stdlib.h>

static void average_cells(const mebi_image *image, mebi__cells *g) {
    for (int cy = 0; cy < g->height; cy++)
        for (int cx = 0; cx < g->width; cx++) {
            int x0 = cx * g->side, y0 = cy * g->side;
            int x1 = x0 + g->side < image->width ? x0 + g->side : image->width;
            int y1 = y0 + g->side < image->height ? y0 + g->side : image->height;
            double sum[3] = {0};
            for (int y = y0; y < y1; y++) {
                const unsigned char *p =
                    image->pixels + ((size_t)y * (size_t)image->width + (size_t)x0) * 3;
                for (int x = x0; x < x1; x++, p += 3)
                    for (int c = 0; c < 3; c++) sum[c] += p[c];
            }
            for (int c = 0; c < 3; c++)
                g->mean[c].at[cy * g->width + cx] = (float)(sum[c] / ((x1 - x0) * (y1 - y0)));
        }
}

mebi_status mebi__cells_make(const mebi_image *image, mebi__cells *g) {
    int shorter = image->width < image->height ? image->width : image->height;
    *g = (mebi__cells){.side = shorter >= 128 ? shorter / 128 : 1};
    g->width = (image->width + g->side - 1) / g->side;
    g->height = (image->height + g->side - 1) / g->side;
    size_t count = (size_t)g->width * (size_t)g->height;
    int made = 1;
    for (int c = 0; c < 3; c++) {
        g->mean[c] = mebi__plane_make(g->width, g->height);
        made &= g->mean[c].at != NULL;
    }
    g->kind = mebi__alloc(MEBI__TAG_OUTPUT, count);
    g->stack = mebi__alloc_array(MEBI__TAG_OUTPUT, count, sizeof *g->stack);
    if (!made || !g->kind || !g->stack) {
        mebi__cells_release(g);
        return MEBI_NO_MEMORY;
    }
    average_cells(image, g);
    return MEBI_OK;
}

void mebi__cells_release(mebi__cells *g) {
    for (int c = 0; c < 3; c++) mebi__plane_release(&g->mean[c]);
    mebi__free(g->kind);
    mebi__free(g->stack);
    *g = (mebi__cells){0};
}

/* Everything joined to one cell. A cell is on the stack once at most: it changes kind when put
 * there. */
static mebi__part join_from(mebi__cells *g, int start, int kind, int then,
                            const mebi__plane *strength) {
    mebi__part part = {0};
    int height = 0;
    g->stack[height++] = start;
    g->kind[start] = (unsigned char)then;
    while (height > 0) {
        int at = g->stack[--height], x = at % g->width, y = at / g->width;
        part.cells++;
        for (int c = 0; c < 3; c++) part.mean[c] += g->mean[c].at[at];
        if (strength) part.strength += strength->at[at];
        for (int v = y > 0 ? y - 1 : 0; v <= y + 1 && v < g->height; v++)
            for (int u = x > 0 ? x - 1 : 0; u <= x + 1 && u < g->width; u++) {
                int next = v * g->width + u;
                if (g->kind[next] != kind) continue;
                g->kind[next] = (unsigned char)then;
                g->stack[height++] = next;
            }
    }
    for (int c = 0; c < 3; c++) part.mean[c] /= part.cells;
    part.strength /= part.cells;
    return part;
}

static int larger_first(const void *a, const void *b) {
    int x = ((const mebi__part *)a)->cells, y = ((const mebi__part *)b)->cells;
    return (x < y) - (x > y);
}

mebi_status mebi__cells_join(mebi__cells *g, int kind, int then, const mebi__plane *strength,
                             mebi__parts *parts) {
    int all = g->width * g->height, most = all / parts->least + 1;
    parts->count = 0;
    parts->part = mebi__alloc_array(MEBI__TAG_OUTPUT, (size_t)most, sizeof *parts->part);
    if (!parts->part) return MEBI_NO_MEMORY;
    for (int i = 0; i < all; i++) {
        if (g->kind[i] != kind) continue;
        mebi__part part = join_from(g, i, kind, then, strength);
        if (part.cells >= parts->least) parts->part[parts->count++] = part;
    }
    qsort(parts->part, (size_t)parts->count, sizeof *parts->part, larger_first);
    return MEBI_OK;
}

static void spread_from(mebi__cells *g, int x, int y, int reach, int from, int to) {
    int x1 = x + reach < g->width ? x + reach : g->width - 1;
    int y1 = y + reach < g->height ? y + reach : g->height - 1;
    for (int v = y > reach ? y - reach : 0; v <= y1; v++)
        for (int u = x > reach ? x - reach : 0; u <= x1; u++)
            if (g->kind[v * g->width + u] == from) g->kind[v * g->width + u] = (unsigned char)to;
}

void mebi__cells_spread(mebi__cells *g, int of, int reach, int from, int to) {
    for (int y = 0; y < g->height; y++)
        for (int x = 0; x < g->width; x++)
            if (g->kind[y * g->width + x] == of) spread_from(g, x, y, reach, from, to);
}

/* Times, counted in bins that grow by 1 % each, from a microsecond on. Must never grow. */
#include "load.h"

#include <math.h>

static const double first = 1e-6, growth = 1.01;

void figures_add(figures *f, double seconds) {
    int i = seconds > first ? (int)(log(seconds / first) / log(growth)) : 0;
    f->bin[i < FIGURES_BINS ? i : FIGURES_BINS - 1]++;
    f->count++;
    f->sum += seconds;
    if (seconds > f->most) f->most = seconds;
}

double figures_at(const figures *f, double part) {
    int64_t below = 0, wanted = (int64_t)ceil(part * (double)f->count);
    if (!f->count) return 0;
    for (int i = 0; i < FIGURES_BINS; i++) {
        below += f->bin[i];
        double edge = first * pow(growth, i + 1);
        if (below >= wanted) return edge < f->most ? edge : f->most;
    }
    return f->most;
}

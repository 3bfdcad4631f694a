/* Machines from datasheets. Must never pass for a measurement. */
#include "plan/devices.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CPU, GPU };
#define DEVICE(name, aliases, kind, year, memory, reserved, bandwidth, int8, bf16, f32, link, source)   \
    {name, aliases, (kind) == GPU, year, memory, reserved, bandwidth, int8, bf16, f32, link, source},
static const mebi__planned_device devices[] = {
#include "plan/devices.def"
};
#undef DEVICE
enum { DEVICES = sizeof devices / sizeof *devices };

/* What programs reach of the datasheet's peaks. CPUs: what mebi's own kernels reach. GPUs: an assumption. */
static const struct {
    double products, memory, link, call;
} reached[] = {[CPU] = {0.70, 0.70, 0.60, 3e-6}, [GPU] = {0.45, 0.75, 0.75, 8e-6}};

const mebi__planned_device *mebi__planned_device_at(int i) {
    return i >= 0 && i < DEVICES ? &devices[i] : NULL;
}

/* ---- names ---- */

enum { NAME = 64 };

/* Letters and digits alone, small; a word that only names the maker or the family is left out. */
static void simplify(const char *name, size_t length, char out[NAME]) {
    static const char *const noise[] = {"nvidia", "geforce", "amd", "radeon", "intel", "tesla", "gpu"};
    size_t n = 0;
    for (size_t i = 0; i < length && n < NAME - 1; i++)
        if (isalnum((unsigned char)name[i]) || name[i] == '+')
            out[n++] = (char)tolower((unsigned char)name[i]);
    out[n] = 0;
    for (size_t k = 0; k < sizeof noise / sizeof *noise; k++) {
        char *at = strstr(out, noise[k]);
        size_t bytes = strlen(noise[k]);
        if (at && strlen(out) > bytes) memmove(at, at + bytes, strlen(at + bytes) + 1);
    }
}

/* Changes of one letter that turn a into b. */
static int distance(const char *a, const char *b) {
    int row[NAME];
    int n = (int)strlen(b);
    for (int k = 0; k <= n; k++) row[k] = k;
    for (int i = 0; a[i]; i++) {
        int diagonal = row[0];
        row[0] = i + 1;
        for (int k = 0; k < n; k++) {
            int change = diagonal + (a[i] != b[k]), other = (row[k] < row[k + 1] ? row[k] : row[k + 1]) + 1;
            diagonal = row[k + 1];
            row[k + 1] = change < other ? change : other;
        }
    }
    return row[n];
}

/* How far what was asked for is from a device: 0 is the same. A part of the name is near. */
static int farness(const mebi__planned_device *d, const char *asked) {
    char own[NAME];
    simplify(d->name, strlen(d->name), own);
    int best = distance(asked, own);
    if (best && strlen(asked) > 2 && strstr(own, asked)) best = 1;
    for (const char *at = d->aliases; *at;) {
        size_t length = strcspn(at, "|");
        simplify(at, length, own);
        int far = distance(asked, own);
        if (far < best) best = far;
        /* "rtx3060" for "3060" */
        if (d->is_gpu && strncmp(asked, "rtx", 3) == 0 && strcmp(asked + 3, own) == 0) best = 0;
        at += length + (at[length] == '|');
    }
    return best;
}

mebi_status mebi__planned_device_find(const char *name, const mebi__planned_device **out,
                                      mebi_error *err) {
    char asked[NAME], near[160] = "";
    int far[DEVICES];
    simplify(name, strlen(name), asked);
    for (int i = 0; i < DEVICES; i++) {
        far[i] = farness(&devices[i], asked);
        if (far[i] > 0) continue;
        *out = &devices[i];
        return MEBI_OK;
    }
    for (int k = 0; k < 3; k++) {
        int best = 0;
        for (int i = 1; i < DEVICES; i++)
            if (far[i] < far[best]) best = i;
        size_t used = strlen(near);
        snprintf(near + used, sizeof near - used, "%s%s", k == 0 ? "" : k == 1 ? ", " : " or ",
                 devices[best].name);
        far[best] = 1000;
    }
    return mebi__fail(err, MEBI_BAD_ARGUMENT,
                      "The device '%.40s' is not known. Did you mean %s? `mebi plan --devices` lists all.",
                      name, near);
}

/* ---- figures ---- */

size_t mebi__planned_device_room(const mebi__planned_device *d) {
    return (size_t)(d->memory_gib * 1073741824.0 - d->reserved_gb * 1e9);
}

void mebi__planned_device_rates(const mebi__planned_device *d, int exact, mebi__rates *rates) {
    int kind = d->is_gpu ? GPU : CPU;
    double products = reached[kind].products * 1e12;
    mebi__rates_init(rates);
    rates->roofline = (mebi__roofline){
        .int8 = d->int8 * products,
        .bf16 = (exact ? d->f32 : d->bf16) * products,
        .f32 = d->f32 * products,
        .bytes = d->bandwidth * 1e9 * reached[kind].memory,
        .file_bytes = d->link * 1e9 * reached[kind].link,
        .call = reached[kind].call,
    };
    rates->file_known = 1;
}

/* Counters that the system keeps. Must never fail: what can't be read is 0. */
#include "doctor/vitals.h"

#include "base/os.h"
#include "doctor/processor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The number behind a name at the beginning of a line; -1 without. */
static double field_of(const char *path, const char *name) {
    FILE *f = fopen(path, "re");
    char line[512];
    size_t length = strlen(name);
    double found = -1;
    while (f && found < 0 && fgets(line, sizeof line, f))
        if (strncmp(line, name, length) == 0) found = strtod(line + length, NULL);
    if (f) fclose(f);
    return found;
}

static double field_or_0(const char *path, const char *name) {
    double found = field_of(path, name);
    return found < 0 ? 0 : found;
}

/* ---- control groups ---- */

typedef struct group_kind {
    const char *line, *mount; /* in /proc/self/cgroup; where it is */
} group_kind;

static const group_kind cpu_groups[] = {{"0::", "/sys/fs/cgroup"},
                                        {":cpu:", "/sys/fs/cgroup/cpu"},
                                        {":cpu,cpuacct:", "/sys/fs/cgroup/cpu,cpuacct"},
                                        {":cpuacct,cpu:", "/sys/fs/cgroup/cpu"}};
static const group_kind memory_groups[] = {{"0::", "/sys/fs/cgroup"},
                                           {":memory:", "/sys/fs/cgroup/memory"}};

/* The folder of this process's group; 0 if the system has no such kind. */
static int group_folder(const group_kind *kind, char *folder, size_t bytes) {
    char line[400];
    int found = 0;
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        const char *at = strstr(line, kind->line);
        line[strcspn(line, "\n")] = 0;
        found = at && (at == line || *kind->line == ':');
        if (found) snprintf(folder, bytes, "%s%s", kind->mount, at + strlen(kind->line));
    }
    if (f) fclose(f);
    return found;
}

/* Calls visit for the group's folder, those above it, and the mount's root, which is a container's
 * own. */
static void each_group(const group_kind *kind, void (*visit)(void *, const char *), void *context) {
    char folder[500];
    size_t mount = strlen(kind->mount);
    if (!group_folder(kind, folder, sizeof folder)) return;
    while (strlen(folder) > mount + 1) {
        visit(context, folder);
        *strrchr(folder, '/') = 0;
    }
    visit(context, kind->mount);
}

static void add_throttled(void *context, const char *folder) {
    mebi__vitals *v = context;
    char path[560];
    snprintf(path, sizeof path, "%s/cpu.stat", folder);
    v->throttled_periods += field_or_0(path, "nr_throttled ");
    v->throttled += field_or_0(path, "throttled_time ") * 1e-9;
    v->throttled += field_or_0(path, "throttled_usec ") * 1e-6;
}

static void take_quota(void *context, const char *folder) {
    mebi__machine *m = context;
    char path[560];
    double quota = -1, period = 0;
    snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
    quota = field_of(path, "");
    snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
    period = field_or_0(path, "");
    if (period <= 0) {
        snprintf(path, sizeof path, "%s/cpu.max", folder);
        FILE *f = fopen(path, "re");
        if (!f || fscanf(f, "%lf %lf", &quota, &period) != 2) period = 0; /* "max 100000" */
        if (f) fclose(f);
    }
    if (quota > 0 && period > 0 && (m->quota == 0 || quota / period < m->quota))
        m->quota = quota / period;
}

static void take_limit(void *context, const char *folder) {
    static const char *const names[] = {"memory.max", "memory.limit_in_bytes"};
    mebi__machine *m = context;
    char path[560];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        double limit = field_of(path, "");
        /* "max" reads as 0; no limit is also told as nearly all of 64 bits. */
        if (limit > 0 && limit < 1e18 && (m->group_bytes == 0 || limit < (double)m->group_bytes))
            m->group_bytes = (size_t)limit;
    }
}

/* ---- a moment ---- */

/* /proc/stat: "cpu  user nice system idle iowait irq softirq steal ..." in ticks. */
static void take_processors(mebi__vitals *v) {
    FILE *f = fopen("/proc/stat", "re");
    double t[8] = {0}, tick = (double)sysconf(_SC_CLK_TCK);
    if (f && tick > 0 &&
        fscanf(f, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &t[0], &t[1], &t[2], &t[3], &t[4], &t[5],
               &t[6], &t[7]) == 8) {
        v->busy = (t[0] + t[1] + t[2] + t[5] + t[6]) / tick;
        v->stolen = t[7] / tick;
    }
    if (f) fclose(f);
}

/* "full avg10=0.00 avg60=0.00 avg300=0.00 total=14754348", in microseconds */
static double pressure_of(const char *path) {
    FILE *f = fopen(path, "re");
    char line[256];
    double seconds = 0;
    while (f && fgets(line, sizeof line, f)) {
        const char *total = strstr(line, "total=");
        if (strncmp(line, "full", 4) == 0 && total) seconds = strtod(total + 6, NULL) * 1e-6;
    }
    if (f) fclose(f);
    return seconds;
}

mebi__vitals mebi__vitals_now(void) {
    mebi__vitals v = {.clock = mebi__processor_clock()};
    struct rusage used;
    v.wall = mebi__now_seconds();
    if (getrusage(RUSAGE_SELF, &used) == 0) {
        v.cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
        v.major_faults = (double)used.ru_majflt;
    }
    v.swapped = field_or_0("/proc/vmstat", "pswpin ") + field_or_0("/proc/vmstat", "pswpout ");
    v.own_swap_bytes = (size_t)field_or_0("/proc/self/status", "VmSwap:") * 1024;
    v.stalled = pressure_of("/proc/pressure/memory");
    for (size_t i = 0; i < sizeof cpu_groups / sizeof *cpu_groups; i++)
        each_group(&cpu_groups[i], add_throttled, &v);
    take_processors(&v);
    return v;
}

mebi__vitals mebi__vitals_between(const mebi__vitals *from, const mebi__vitals *to) {
    return (mebi__vitals){
        .wall = to->wall - from->wall,
        .cpu = to->cpu - from->cpu,
        .major_faults = to->major_faults - from->major_faults,
        .swapped = to->swapped - from->swapped,
        .throttled_periods = to->throttled_periods - from->throttled_periods,
        .throttled = to->throttled - from->throttled,
        .busy = to->busy - from->busy,
        .stolen = to->stolen - from->stolen,
        .stalled = to->stalled - from->stalled,
        .own_swap_bytes = to->own_swap_bytes > from->own_swap_bytes
                              ? to->own_swap_bytes - from->own_swap_bytes
                              : 0,
        .clock = from->clock > 0 ? to->clock / from->clock : 1,
    };
}

/* ---- the machine ---- */

void mebi__machine_read(mebi__machine *m) {
    *m = (mebi__machine){.best = mebi__processor_best()};
    mebi__processor_name(m->name, sizeof m->name);
    m->cores = mebi__physical_cores();
    m->processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
    m->mhz = field_or_0("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "") * 1e-3;
    m->mhz_most = field_or_0("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "") * 1e-3;
    m->load = field_or_0("/proc/loadavg", "");
    m->memory_bytes = (size_t)field_or_0("/proc/meminfo", "MemTotal:") * 1024;
    m->available_bytes = mebi__memory_available();
    m->swap_bytes = (size_t)field_or_0("/proc/meminfo", "SwapTotal:") * 1024;
    size_t swap_free = (size_t)field_or_0("/proc/meminfo", "SwapFree:") * 1024;
    m->swap_used_bytes = m->swap_bytes > swap_free ? m->swap_bytes - swap_free : 0;
    for (size_t i = 0; i < sizeof cpu_groups / sizeof *cpu_groups; i++)
        each_group(&cpu_groups[i], take_quota, m);
    for (size_t i = 0; i < sizeof memory_groups / sizeof *memory_groups; i++)
        each_group(&memory_groups[i], take_limit, m);
}

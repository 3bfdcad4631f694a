/* What needs no run: machine, instruction set, model, folders. */
#include "doctor/doctor.h"

#include "base/cache.h"
#include "base/memory.h"
#include "base/os.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const double gb = 1e-9, mb = 1e-6;

/* ---- machine ---- */

static void processor_facts(const mebi__machine *m, mebi__findings *to) {
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_MACHINE, MEBI__OK, "processor");
    mebi__finding_say(f->measured, "%s, %d cores, %d processors", m->name[0] ? m->name : "unknown",
                      m->cores, m->processors);
    if (m->mhz > 0 && m->mhz_most > 0)
        mebi__finding_more(f->measured, ", %.0f of %.0f MHz", m->mhz, m->mhz_most);
    if (m->quota > 0) {
        mebi__finding_more(f->measured, ", the control group gives %.1f", m->quota);
        if (m->quota < m->cores) {
            f->verdict = MEBI__WARN;
            mebi__finding_say(
                f->advice, "A container's quota is below the number of cores. As many --threads as "
                           "it gives waste less.");
        }
    }
}

static void load_facts(const mebi__machine *m, mebi__findings *to) {
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_MACHINE, MEBI__OK, "other load");
    mebi__finding_say(f->measured, "%.2f processes want a processor (mean of a minute)", m->load);
    mebi__finding_say(f->expected, "under %.1f", 0.5 * m->processors);
    if (m->load < 0.5 * m->processors) return;
    f->verdict = MEBI__WARN;
    mebi__finding_say(
        f->advice, "Other programs work, or did a minute ago: pictures take longer beside them.");
}

static void memory_facts(const mebi__machine *m, mebi__findings *to) {
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_MACHINE, MEBI__OK, "memory");
    mebi__finding_say(f->measured, "%.1f GB, %.1f GB of it free", (double)m->memory_bytes * gb,
                      (double)m->available_bytes * gb);
    if (m->group_bytes)
        mebi__finding_more(f->measured, "; the control group's limit is %.1f GB",
                           (double)m->group_bytes * gb);
    else mebi__finding_more(f->measured, "; no limit by a control group");
    mebi__finding *s = mebi__finding_add(to, MEBI__SECTION_MACHINE, MEBI__OK, "swap");
    mebi__finding_say(s->measured, "%.1f GB, %.1f GB of it used", (double)m->swap_bytes * gb,
                      (double)m->swap_used_bytes * gb);
    if (m->swap_used_bytes < m->memory_bytes / 10) return;
    s->verdict = MEBI__WARN;
    mebi__finding_say(s->expected, "under a tenth of memory");
    mebi__finding_say(s->advice, "Much of some program is in swap: memory was short, or still is.");
}

void mebi__facts_machine(const mebi__machine *m, mebi__findings *to) {
    processor_facts(m, to);
    load_facts(m, to);
    memory_facts(m, to);
}

/* ---- engine ---- */

static void instruction_facts(const mebi__machine *m, const mebi_engine_info *info,
                              mebi__findings *to) {
    const char *mask = getenv("MEBI_CPU");
    int best = strncmp(info->cpu, m->best, strlen(m->best)) == 0;
    int ref = strncmp(info->cpu, "ref", 3) == 0;
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_MACHINE, MEBI__OK, "instruction set");
    mebi__finding_say(f->measured, "%s", info->cpu);
    if (mask && *mask) mebi__finding_more(f->measured, " (MEBI_CPU=%.20s)", mask);
    mebi__finding_say(f->expected, "%s", m->best);
    if (best && !ref) return;
    f->verdict = ref ? MEBI__FAIL : MEBI__WARN;
    if (best)
        mebi__finding_say(f->advice,
                          "There are no fast kernels for this processor: every picture takes "
                          "some 10 times as long as on one with AVX2.");
    else
        mebi__finding_say(
            f->advice,
            "The environment's MEBI_CPU keeps mebi from using what this processor has%s. "
            "Unset it: unset MEBI_CPU.",
            ref ? ": every picture takes some 10 times as long" : "");
}

static void thread_facts(const mebi__machine *m, const mebi_engine_info *info, mebi__findings *to) {
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_MACHINE, MEBI__OK, "threads");
    mebi__finding_say(f->measured, "%d", info->threads);
    mebi__finding_say(f->expected, "%d, one for each core", m->cores);
    if (info->threads == m->cores) return;
    f->verdict = MEBI__WARN;
    mebi__finding_say(
        f->advice, info->threads < m->cores
                       ? "Some cores stay idle. Leave --threads out, or give as many as there are."
                       : "Threads take turns on the cores, which is slower. Leave --threads out.");
}

void mebi__facts_engine(const mebi__machine *m, const mebi_engine_info *info, mebi__findings *to) {
    instruction_facts(m, info, to);
    thread_facts(m, info, to);
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_MACHINE, MEBI__OK, "model");
    mebi__finding_say(f->measured, "hash %s, %s, made for %d pixels", info->model_hash,
                      mebi_precision_name(info->precision), info->native_side);
    if (!*info->unused_tensors) return;
    f->verdict = MEBI__WARN;
    mebi__finding_say(f->advice,
                      "Its files hold tensors that are not used, which may be of another model: %s",
                      info->unused_tensors);
}

/* ---- folders ---- */

static uint64_t cached_bytes(const char *folder, int *entries) {
    mebi__cache_item *items;
    uint64_t sum = 0;
    *entries = 0;
    if (mebi__cache_list(folder, &items, entries, NULL) != MEBI_OK) return 0;
    for (int i = 0; i < *entries; i++) sum += items[i].bytes;
    mebi__free(items);
    return sum;
}

/* The nearest folder above that exists. NULL: no memory. */
static char *existing(const char *folder) {
    char *path = mebi__copy_string(folder, strlen(folder));
    while (path && !mebi__is_directory(path)) {
        char *slash = strrchr(path, '/');
        if (slash == path && path[1]) path[1] = 0;
        else if (slash && slash != path) *slash = 0;
        else {
            mebi__free(path);
            return mebi__copy_string(".", 1);
        }
    }
    return path;
}

/* Whether a file can be made: tried, as permissions alone don't tell. *room: the disk's, in bytes.
 */
static int is_writable(const char *folder, double *room) {
    struct statvfs fs;
    *room = 0;
    char *path = existing(folder), *probe = path ? mebi__join_path(path, ".mebi-XXXXXX") : NULL;
    int fd = probe ? mkstemp(probe) : -1;
    if (path && statvfs(path, &fs) == 0) *room = (double)fs.f_bavail * (double)fs.f_frsize;
    if (fd >= 0) {
        close(fd);
        unlink(probe);
    }
    mebi__free(probe);
    mebi__free(path);
    return fd >= 0;
}

static void folder_facts(const char *check, const char *folder, double least, const char *needs,
                         mebi__findings *to) {
    double room;
    int writable = is_writable(folder, &room);
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_MACHINE, MEBI__OK, check);
    mebi__finding_say(f->measured, "%.120s, %.1f GB free", folder, room * gb);
    mebi__finding_say(f->expected, "writable, %.1f GB free", least * gb);
    if (!writable) {
        f->verdict = MEBI__WARN;
        mebi__finding_more(f->measured, ", can't be written");
        mebi__finding_say(f->advice, "%s", needs);
    } else if (room < least) {
        f->verdict = MEBI__WARN;
        mebi__finding_say(f->advice,
                          "The disk is nearly full. `mebi cache` lists what can be cleared.");
    }
}

void mebi__facts_cache(const char *folder, double least, mebi__findings *to) {
    char *usual = NULL;
    int entries;
    if (!folder && mebi__cache_folder(&usual, NULL) != MEBI_OK) usual = NULL;
    if (!folder) folder = usual;
    if (!folder) {
        mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_MACHINE, MEBI__WARN, "cache");
        mebi__finding_say(f->measured, "there is no folder for it");
        mebi__finding_say(f->advice,
                          "Set MEBI_CACHE_DIR: without it weights are packed at each start.");
        return;
    }
    folder_facts("cache", folder, least,
                 "Packed weights and the machine's measured speed can't be kept: each start takes "
                 "longer. Set "
                 "MEBI_CACHE_DIR to another folder.",
                 to);
    uint64_t bytes = cached_bytes(folder, &entries);
    mebi__finding_more(to->at[to->count - 1].measured, ", %d entries of %.0f MB", entries,
                       (double)bytes * mb);
    mebi__free(usual);
}

void mebi__facts_output(const char *folder, mebi__findings *to) {
    folder_facts("output folder", folder, 1e8,
                 "Pictures can't be saved here. Choose another place with -o.", to);
    mebi__finding *f = &to->at[to->count - 1];
    if (f->verdict == MEBI__WARN && strstr(f->measured, "can't be written"))
        f->verdict = MEBI__FAIL;
}

void mebi__facts_rates(const mebi_plan *plan, mebi__findings *to) {
    mebi__finding *f = mebi__finding_add(to, MEBI__SECTION_MACHINE, MEBI__OK, "speed known");
    int known = plan->total_seconds > 0 && !plan->estimate;
    mebi__finding_say(f->measured, "%s",
                      known                     ? "measured on this machine"
                      : plan->total_seconds > 0 ? "estimated"
                                                : "no");
    mebi__finding_say(f->expected, "measured on this machine");
    if (known) return;
    f->verdict = MEBI__WARN;
    mebi__finding_say(
        f->advice,
        "Plans can't promise seconds yet. They are measured at the first start, and kept "
        "in the cache's folder: see above whether it can be written.");
}

/* Output files. A finished picture must never be lost for a reason that could have been known
 * before, nor while any place is left to keep it. */
#include "cli/output.h"

#include "base/error.h"
#include "base/memory.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
    NAME_BYTES = 255,  /* of one component, on the usual file systems */
    SUFFIX_BYTES = 19, /* "_9999" and ".01234567.part" of the file being written */
};

/* ---- before the work ---- */

static mebi_status check_ending(const char *path, mebi_error *err) {
    static const char *const others[] = {".jpg", ".jpeg", ".webp", ".gif",
                                         ".bmp", ".tif",  ".tiff", ".avif"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof others / sizeof *others; i++)
        if (strcasecmp(dot, others[i]) == 0)
            return mebi__fail(
                err, MEBI_BAD_ARGUMENT,
                "Pictures are saved as PNG, and %.200s would say otherwise. Let the name "
                "end in .png.",
                path);
    return MEBI_OK;
}

static mebi_status check_lengths(const char *path, mebi_error *err) {
    size_t length = strlen(path);
    for (const char *p = path; *p;) {
        p += strspn(p, "/");
        size_t own = strcspn(p, "/"), limit = p[own] ? NAME_BYTES : NAME_BYTES - SUFFIX_BYTES;
        if (own > limit)
            return mebi__fail(
                err, MEBI_BAD_ARGUMENT,
                "The output's name '%.40s...' has a part of %zu bytes; at most %zu are "
                "possible.",
                path, own, limit);
        p += own;
    }
    if (length + SUFFIX_BYTES >= PATH_BYTES)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "The output's name has %zu bytes; at most %d are possible.", length,
                          PATH_BYTES - SUFFIX_BYTES - 1);
    return MEBI_OK;
}

/* Whether a file can be made in a folder that exists: tried, as permissions alone don't tell. */
static mebi_status try_folder(const char *folder, const char *path, mebi_error *err) {
    char probe[PATH_BYTES + 32];
    snprintf(probe, sizeof probe, "%s/.mebi-XXXXXX", folder);
    int fd = mkostemp(probe, O_CLOEXEC);
    if (fd < 0)
        return mebi__fail(
            err, MEBI_IO,
            "%.300s can't be saved: the folder %.300s can't be written (%s). Choose another "
            "one with -o.",
            path, folder, strerror(errno));
    close(fd);
    unlink(probe);
    return MEBI_OK;
}

/* The folders that exist already decide whether the rest can be made. */
static mebi_status check_folder(const char *path, mebi_error *err) {
    char folder[PATH_BYTES];
    snprintf(folder, sizeof folder, "%s", path);
    for (;;) {
        char *slash = strrchr(folder, '/');
        if (!slash) strcpy(folder, ".");
        else slash[slash == folder] = 0;
        if (mebi__is_directory(folder)) return try_folder(folder, path, err);
        if (access(folder, F_OK) == 0 || errno == ENOTDIR || !slash || slash == folder)
            return mebi__fail(err, MEBI_BAD_ARGUMENT,
                              "%.300s can't be saved: %.300s is not a folder.", path, folder);
    }
}

static mebi_status check_taken(const char *path, mebi_error *err) {
    if (mebi__is_directory(path))
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "%.300s is a folder; the output needs a file name, such as %.300s/%%seed.png.", path,
            path);
    if (access(path, F_OK) == 0)
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "%.300s exists and is not overwritten. Take another name, or put %%seed into "
            "it.",
            path);
    return MEBI_OK;
}

mebi_status output_choose(const char *given, const naming_facts *facts, int count, char *pattern,
                          mebi_error *err) {
    char path[PATH_BYTES];
    naming_facts last = *facts;
    if (strlen(given) >= PATH_BYTES)
        return mebi__fail(err, MEBI_BAD_ARGUMENT,
                          "The output's name has %zu bytes; at most %d are possible.",
                          strlen(given), PATH_BYTES - SUFFIX_BYTES - 1);
    MEBI_TRY(naming_stamp(given, pattern, PATH_BYTES, err));
    /* The last picture's name is the longest; random seeds have up to 32 bits. */
    last.seed = (facts->seed < 0 ? UINT32_MAX : facts->seed) + count - 1;
    last.i = count;
    if (!last.width) last.width = last.height = 99999;
    MEBI_TRY(naming_expand(pattern, &last, path, sizeof path, err));
    if (!naming_is_distinct(pattern, count))
        return mebi__fail(
            err, MEBI_BAD_ARGUMENT,
            "%d pictures can't all be called %.300s. Put %%i or %%seed into the name.", count,
            pattern);
    MEBI_TRY(check_ending(path, err));
    MEBI_TRY(check_lengths(path, err));
    if (!naming_is_distinct(pattern, 2)) MEBI_TRY(check_taken(path, err));
    return check_folder(path, err);
}

/* ---- after it ---- */

static mebi_status save_beside(const char *wanted, const mebi_image *image,
                               const mebi_png_text *texts, int count, char *path, mebi_error *err) {
    MEBI_TRY(mebi__make_parents(wanted, err));
    snprintf(path, PATH_BYTES, "%s", wanted);
    for (int n = 2;; n++) {
        mebi_error own = {0};
        int exists = 0;
        mebi_status status = mebi_png_save(path, image, texts, count, &exists, &own);
        if (status == MEBI_OK) return status;
        if (!exists || n > 9999) return mebi__fail(err, status, "%s", own.text);
        MEBI_TRY(naming_variant(wanted, n, path, PATH_BYTES, err));
    }
}

static mebi_status rescue(int64_t seed, const mebi_image *image, const mebi_png_text *texts,
                          int count, char *path, mebi_error *err) {
    char wanted[PATH_BYTES];
    const char *folder = getenv("TMPDIR");
    if (!folder || !*folder || strlen(folder) > PATH_BYTES - 100) folder = "/tmp";
    snprintf(wanted, sizeof wanted, "%s/mebi_rescued_%lld.png", folder, (long long)seed);
    return save_beside(wanted, image, texts, count, path, err);
}

mebi_status output_save(const char *pattern, const naming_facts *facts, const mebi_image *image,
                        const mebi_png_text *texts, int text_count, char *path, mebi_error *trouble,
                        mebi_error *err) {
    char wanted[PATH_BYTES];
    mebi_error second = {0};
    *trouble = (mebi_error){0};
    mebi_status status = naming_expand(pattern, facts, wanted, sizeof wanted, trouble);
    if (status == MEBI_OK) status = save_beside(wanted, image, texts, text_count, path, trouble);
    if (status == MEBI_OK) return MEBI_OK;
    if (rescue(facts->seed, image, texts, text_count, path, &second) == MEBI_OK) return MEBI_OK;
    return mebi__fail(err, status, "%.450s Keeping the picture elsewhere failed too: %.450s",
                      trouble->text, second.text);
}

/* What is in a data folder, and what its jobs have to show. */
#ifndef MEBI_TESTS_JOBS_FOLDER_H
#define MEBI_TESTS_JOBS_FOLDER_H

#include "jobs_fake.h"

#include "base/os.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>

static inline path_text in(const bench *b, const char *name) {
    return path_of("%s/%s", b->folder.text, name);
}

/* images/YYYY-MM of the only month. */
static inline path_text month(const bench *b) {
    path_text images = in(b, "images"), found = {""};
    DIR *d = opendir(images.text);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') found = path_of("%.3000s/%.200s", images.text, e->d_name);
    closedir(d);
    assert_true(found.text[0]);
    return found;
}

static inline void run_sql(const bench *b, const char *sql) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(in(b, "mebi.db").text, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static inline int shown(bench *b, int trashed) {
    mebi__images images;
    mebi__image_query q = {.trashed = trashed};
    assert_mebi_ok(mebi__jobs_images(b->jobs, &q, &images, &b->err), &b->err);
    int count = images.count;
    mebi__images_free(&images);
    return count;
}

static inline void trash(bench *b, const char *id) {
    mebi__images images;
    assert_mebi_ok(mebi__jobs_trash(b->jobs, id, &images, &b->err), &b->err);
    assert_int_equal(images.count, 1);
    mebi__images_free(&images);
}

static inline job_id made(bench *b, const char *prompt, int count) {
    mebi__job_order o = order_of(prompt);
    o.request.count = count;
    job_id id = submit(b, &o);
    await(b, id, MEBI__JOB_DONE);
    return id;
}

#endif

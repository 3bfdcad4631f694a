/* What a data folder goes through: restarts, harm, full disks, and the clock. */
#include "jobs_fake.h"

#include "base/os.h"
#include "jobs/latents.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>

static int begin(void **state) {
    *state = bench_new();
    return 0;
}

static int finish(void **state) {
    bench_end(*state);
    return 0;
}

static path_text in(const bench *b, const char *name) {
    return path_of("%s/%s", b->folder.text, name);
}

/* images/YYYY-MM of the only month. */
static path_text month(const bench *b) {
    path_text images = in(b, "images"), found = {""};
    DIR *d = opendir(images.text);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') found = path_of("%.3000s/%.200s", images.text, e->d_name);
    closedir(d);
    assert_true(found.text[0]);
    return found;
}

static void run_sql(const bench *b, const char *sql) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(in(b, "mebi.db").text, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static int shown(bench *b, int trashed) {
    mebi__images images;
    mebi__image_query q = {.trashed = trashed};
    assert_mebi_ok(mebi__jobs_images(b->jobs, &q, &images, &b->err), &b->err);
    int count = images.count;
    mebi__images_free(&images);
    return count;
}

static void trash(bench *b, const char *id) {
    mebi__images images;
    assert_mebi_ok(mebi__jobs_trash(b->jobs, id, &images, &b->err), &b->err);
    assert_int_equal(images.count, 1);
    mebi__images_free(&images);
}

static job_id made(bench *b, const char *prompt, int count) {
    mebi__job_order o = order_of(prompt);
    o.request.count = count;
    job_id id = submit(b, &o);
    await(b, id, MEBI__JOB_DONE);
    return id;
}

/* ---- restarts ---- */

static void a_closed_server_goes_on_later(void **state) {
    bench *b = *state;
    b->fake.gate = 1;
    bench_open(b);
    mebi__job_order o = order_of("first");
    job_id first = submit(b, &o), second = submit(b, &o);
    await(b, first, MEBI__JOB_RUNNING);
    mebi__jobs_close(&b->jobs);
    b->paused = 1;
    bench_open(b);
    assert_int_equal(state_of(b, first), MEBI__JOB_QUEUED);
    mebi__job *j = get(b, first);
    assert_int_equal(j->position, 1);
    assert_int_equal(j->fruitless, 0); /* closing is no crash */
    mebi__job_free(&j);
    b->fake.gate = 0;
    mebi__jobs_pause(b->jobs, 0);
    await(b, first, MEBI__JOB_DONE);
    await(b, second, MEBI__JOB_DONE);
    assert_int_equal(shown(b, 0), 2);
}

/* A child that submits the order and is killed once its engine made so many steps. */
static void die_at(bench *b, const mebi__job_order *o, int step) {
    pid_t pid = fork();
    if (pid == 0) {
        b->latents_seconds = 1e-9;
        b->fake.steps = 0;
        b->fake.kill_at = step;
        bench_open(b);
        if (o) submit(b, o);
        fake_nap(20000);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static job_id only_job(bench *b) {
    mebi__job_list list;
    job_id id;
    assert_mebi_ok(mebi__jobs_list(b->jobs, 0, 10, 0, &list, &b->err), &b->err);
    assert_int_equal(list.count, 1);
    memcpy(id.text, list.job[0]->id, sizeof id.text);
    mebi__job_list_free(&list);
    return id;
}

static void a_killed_job_goes_on_from_its_last_step(void **state) {
    bench *b = *state;
    mebi__job_order o = order_of("x");
    o.request.steps = 9;
    o.request.count = 3;
    die_at(b, &o, 9 + 6); /* the second picture's sixth step */
    bench_open(b);
    job_id id = only_job(b);
    await(b, id, MEBI__JOB_DONE);
    assert_int_equal(b->fake.resumed_step, 6);
    assert_int_equal(b->fake.resumed_count, 2);
    mebi__job *j = get(b, id);
    assert_int_equal(j->images.count, 3);
    for (int i = 0; i < 3; i++) assert_true(j->images.image[i].seed == 7 + i);
    assert_int_equal(j->attempts, 2);
    mebi__job_free(&j);
    assert_int_equal(files_in(in(b, "work").text), 0);
}

static void harmed_latents_are_not_believed(void **state) {
    bench *b = *state;
    mebi__job_order o = order_of("x");
    o.request.steps = 9;
    die_at(b, &o, 5);
    b->paused = 1;
    bench_open(b);
    job_id id = only_job(b);
    int fd = open(path_of("%s/work/%s.latents", b->folder.text, id.text).text, O_RDWR);
    unsigned char byte = 0;
    assert_true(fd >= 0 && pread(fd, &byte, 1, 200) == 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 200), 1);
    close(fd);
    mebi__jobs_pause(b->jobs, 0);
    await(b, id, MEBI__JOB_DONE);
    assert_int_equal(b->fake.resumed_step, 0);
}

/* Killed again and again before its first saved step: given up, not tried forever. */
static void what_kills_the_process_is_given_up(void **state) {
    bench *b = *state;
    mebi__job_order o = order_of("x");
    o.request.steps = 9;
    for (int n = 0; n < 5; n++) {
        die_at(b, n ? NULL : &o, 1);
        run_sql(b, "UPDATE jobs SET fruitless = attempts"); /* as if no step had been saved */
    }
    bench_open(b);
    job_id id = only_job(b);
    assert_int_equal(state_of(b, id), MEBI__JOB_FAILED);
    mebi__job *j = get(b, id);
    assert_non_null(strstr(j->message, "5 times"));
    mebi__job_free(&j);
}

static void a_cancelled_job_stays_cancelled(void **state) {
    bench *b = *state;
    mebi__job_order o = order_of("x");
    o.request.steps = 9;
    die_at(b, &o, 3);
    run_sql(b, "UPDATE jobs SET cancelling = 1");
    bench_open(b);
    assert_int_equal(state_of(b, only_job(b)), MEBI__JOB_CANCELLED);
    assert_int_equal(b->fake.jobs, 0);
}

/* ---- saved latents ---- */

static void latents_of_a_batch_are_cut(void **state) {
    bench *b = *state;
    float values[24];
    for (int i = 0; i < 24; i++) values[i] = (float)i;
    mebi_latents l = {2, 3, 12, 4, 8, 2, 2, 2, 24, values}, back;
    char *block;
    mebi_error err = {0};
    path_text path = in(b, "x.latents");
    assert_mebi_ok(mebi__latents_save(path.text, "1-ab", "hash", &l, &err), &err);
    assert_true(mebi__latents_load(path.text, "1-ab", "hash", 3, &back, &block));
    assert_true(back.index == 3 && back.pictures == 2 && back.seed == 13 && back.step == 4 && back.count == 16);
    assert_true(back.values[0] == 8 && back.values[15] == 23);
    mebi__free(block);
    assert_false(mebi__latents_load(path.text, "1-ab", "hash", 5, &back, &block));
    assert_false(mebi__latents_load(path.text, "1-ab", "hash", 1, &back, &block));
    assert_false(mebi__latents_load(path.text, "1-ab", "other", 2, &back, &block));
    assert_false(mebi__latents_load(path.text, "2-ab", "hash", 2, &back, &block));
    struct stat about;
    assert_int_equal(stat(path.text, &about), 0);
    for (off_t bytes = about.st_size - 1; bytes >= 0; bytes -= 7) {
        assert_int_equal(truncate(path.text, bytes), 0);
        assert_false(mebi__latents_load(path.text, "1-ab", "hash", 2, &back, &block));
        assert_null(block);
    }
}

/* ---- pictures without rows, rows without pictures ---- */

static void a_file_without_a_row_is_taken_up(void **state) {
    bench *b = *state;
    bench_open(b);
    job_id id = made(b, "x", 2);
    mebi__jobs_close(&b->jobs);
    /* As a kill between the second file's name and its row leaves it. */
    run_sql(b, "DELETE FROM images WHERE number = 1; UPDATE jobs SET state = 1, made = 1;"
               "DELETE FROM events WHERE kind = 6");
    bench_open(b);
    await(b, id, MEBI__JOB_DONE);
    mebi__job *j = get(b, id);
    assert_int_equal(j->images.count, 2);
    assert_true(j->images.image[1].seed == 8 && j->images.image[1].width == 64);
    mebi__job_free(&j);
    assert_int_equal(b->fake.jobs, 1); /* nothing was left to make */
}

static void half_a_file_is_made_again(void **state) {
    bench *b = *state;
    bench_open(b);
    job_id id = made(b, "x", 1);
    mebi__jobs_close(&b->jobs);
    run_sql(b, "DELETE FROM images; UPDATE jobs SET state = 1, made = 0; DELETE FROM events WHERE kind = 6");
    path_text folder = month(b), png = path_of("%.3000s/%s-1.png", folder.text, id.text);
    assert_int_equal(truncate(png.text, 300), 0);
    close(open(path_of("%s.0a1b2c3d.part", png.text).text, O_CREAT | O_WRONLY, 0600));
    close(open(path_of("%.3000s/thesis.png", folder.text).text, O_CREAT | O_WRONLY, 0600));
    bench_open(b);
    await(b, id, MEBI__JOB_DONE);
    assert_int_equal(b->fake.jobs, 2);
    assert_int_equal(shown(b, 0), 1);
    assert_int_equal(files_in(folder.text), 2); /* the picture, and what is not ours */
    assert_non_null(strstr(b->log, "thesis.png is left alone"));
}

static void a_row_without_its_file_is_hidden(void **state) {
    bench *b = *state;
    bench_open(b);
    job_id id = made(b, "x", 2);
    mebi__jobs_close(&b->jobs);
    path_text png = path_of("%.3000s/%s-1.png", month(b).text, id.text), away = in(b, "away.png");
    assert_int_equal(rename(png.text, away.text), 0);
    bench_open(b);
    assert_int_equal(shown(b, 2), 1);
    assert_non_null(strstr(b->log, "1 pictures' files are not there"));
    mebi__jobs_close(&b->jobs);
    assert_int_equal(rename(away.text, png.text), 0);
    bench_open(b);
    assert_int_equal(shown(b, 0), 2);
}

/* Listed, and cut by somebody, or by a disk: hidden, kept, and shown when it is whole again. */
static void a_listed_half_file_is_hidden(void **state) {
    bench *b = *state;
    size_t bytes;
    char *whole;
    bench_open(b);
    job_id id = made(b, "x", 2);
    mebi__jobs_close(&b->jobs);
    path_text png = path_of("%.3000s/%s-1.png", month(b).text, id.text);
    assert_mebi_ok(mebi__read_file(png.text, 1 << 20, &whole, &bytes, &b->err), &b->err);
    assert_int_equal(truncate(png.text, (off_t)bytes / 2), 0);
    bench_open(b);
    assert_int_equal(shown(b, 2), 1);
    assert_non_null(strstr(b->log, "1 pictures' files are harmed"));
    assert_null(strstr(b->log, "not there"));
    assert_int_equal(access(png.text, R_OK), 0);
    mebi__jobs_close(&b->jobs);
    FILE *f = fopen(png.text, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(whole, 1, bytes, f), bytes);
    fclose(f);
    mebi__free(whole);
    bench_open(b);
    assert_int_equal(shown(b, 0), 2);
}

/* Links and folders with a picture's name are nobody's to remove, and not followed. */
static void links_and_folders_are_left_alone(void **state) {
    bench *b = *state;
    bench_open(b);
    job_id id = made(b, "x", 2);
    mebi__jobs_close(&b->jobs);
    path_text folder = month(b), link = path_of("%.3000s/%s-1.png", folder.text, id.text);
    path_text secret = in(b, "secret.png"), dir = path_of("%.3000s/%s-3.png", folder.text, id.text);
    assert_int_equal(rename(link.text, secret.text), 0);
    assert_int_equal(symlink(secret.text, link.text), 0);
    assert_int_equal(mkdir(dir.text, 0700), 0);
    assert_int_equal(mkdir(path_of("%.3000s/a.png.00.part", folder.text).text, 0700), 0);
    assert_int_equal(mkdir(path_of("%s/thumbnails/a.part", b->folder.text).text, 0700), 0);
    assert_int_equal(mkdir(path_of("%s/work/a.part", b->folder.text).text, 0700), 0);
    bench_open(b);
    assert_int_equal(shown(b, 2), 1);
    assert_non_null(strstr(b->log, "-1.png is left alone: it is no file."));
    assert_non_null(strstr(b->log, "-3.png is left alone: it is no file."));
    struct stat about;
    assert_true(lstat(link.text, &about) == 0 && S_ISLNK(about.st_mode));
    assert_true(lstat(dir.text, &about) == 0 && S_ISDIR(about.st_mode));
}

/* Kills in the middle of going to the trash, coming back, and being removed. */
static void half_moves_are_finished(void **state) {
    bench *b = *state;
    bench_open(b);
    job_id id = made(b, "x", 3);
    for (int i = 2; i <= 3; i++) trash(b, path_of("%s-%d", id.text, i).text);
    mebi__jobs_close(&b->jobs);
    run_sql(b, "UPDATE images SET place = 1 WHERE number = 0;" /* the row went, the file did not */
               "UPDATE images SET place = 0 WHERE number = 1;"
               "UPDATE images SET place = 2 WHERE number = 2");
    bench_open(b);
    assert_int_equal(shown(b, 0), 1);
    assert_int_equal(shown(b, 1), 1);
    assert_int_equal(access(path_of("%s/trash/%s-1.png", b->folder.text, id.text).text, R_OK), 0);
    assert_int_equal(access(path_of("%.3000s/%s-2.png", month(b).text, id.text).text, R_OK), 0);
    assert_int_equal(files_in(in(b, "trash").text), 1);
    assert_int_equal(files_in(in(b, "thumbnails").text), 2);
}

/* ---- the database ---- */

static void scribble(const char *path, off_t at, size_t bytes) {
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    for (size_t i = 0; i < bytes; i++) assert_int_equal(pwrite(fd, "\x5a", 1, at + (off_t)i), 1);
    close(fd);
}

static void a_broken_database_is_put_aside(void **state) {
    static const struct {
        off_t at;
        size_t bytes;
    } harm[] = {{0, 100}, {4096, 4096}};
    bench *b = *state;
    bench_open(b);
    job_id id = made(b, "a blue house", 2);
    made(b, "y", 1);
    trash(b, path_of("%s-2", id.text).text);
    int64_t newest = mebi__jobs_newest_event(b->jobs);
    for (int n = 0; n < 2; n++) {
        mebi__jobs_close(&b->jobs);
        b->log[0] = 0;
        scribble(in(b, "mebi.db").text, harm[n].at, harm[n].bytes);
        bench_open(b);
        assert_non_null(strstr(b->log, "The database was broken"));
        assert_int_equal(access(in(b, n ? "mebi.db.broken-2" : "mebi.db.broken-1").text, R_OK), 0);
        assert_int_equal(shown(b, 0), 2);
        assert_int_equal(shown(b, 1), 1);
        mebi__job *j = get(b, id);
        assert_non_null(j);
        assert_int_equal(j->state, MEBI__JOB_DONE);
        assert_string_equal(j->request.prompt, "a blue house");
        assert_true(j->request.seed == 7 && j->request.count == 2 && j->images.count == 2);
        assert_true(j->images.image[1].trashed && j->images.image[1].seed == 8);
        mebi__job_free(&j);
        assert_true(mebi__jobs_newest_event(b->jobs) > newest); /* listeners of before miss nothing */
        newest = mebi__jobs_newest_event(b->jobs);
        job_id next = made(b, "z", 1);
        assert_true(strtol(next.text, NULL, 10) > 2); /* numbers go on */
        assert_int_equal(unlink(path_of("%.3000s/%s-1.png", month(b).text, next.text).text), 0);
    }
}

static void empty_file(const char *path) {
    assert_int_equal(truncate(path, 0), 0);
}

static void half_file(const char *path) {
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(truncate(path, about.st_size / 2 / 4096 * 4096 + 100), 0);
}

static void text_file(const char *path) {
    write_text(path, "This is no database but a letter to somebody, and long enough to be taken for one.\n");
}

static void no_file(const char *path) {
    assert_int_equal(unlink(path), 0);
}

/* Whatever became of the database, the pictures are there afterwards, and what it was is kept. */
static void no_harm_to_the_database_loses_pictures(void **state) {
    static const struct {
        void (*harm)(const char *path);
        const char *said;
        int kept;
    } cases[] = {{empty_file, "was missing or empty", 0},
                 {no_file, "was missing or empty", 0},
                 {half_file, "The database was broken", 1},
                 {text_file, "The database was broken (", 1}};
    bench *b = *state;
    int aside = 0;
    bench_open(b);
    made(b, "x", 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mebi__jobs_close(&b->jobs);
        b->log[0] = 0;
        cases[i].harm(in(b, "mebi.db").text);
        bench_open(b);
        if (!strstr(b->log, cases[i].said)) fail_msg("case %zu: %s", i, b->log);
        aside += cases[i].kept;
        path_text kept = path_of("%s/mebi.db.broken-%d", b->folder.text, aside ? aside : 1);
        assert_int_equal(access(kept.text, F_OK) == 0, aside > 0);
        assert_int_equal(shown(b, 0), 2);
        made(b, "y", 1);
        mebi__images images;
        assert_mebi_ok(mebi__jobs_images(b->jobs, &(mebi__image_query){.text = "y"}, &images, &b->err), &b->err);
        for (int n = 0; n < images.count; n++) {
            char *path;
            assert_mebi_ok(mebi__jobs_image_file(b->jobs, images.image[n].id, &path, &b->err), &b->err);
            assert_int_equal(unlink(path), 0);
            mebi__free(path);
        }
        mebi__images_free(&images);
    }
}

/* Killed with rows in the log alone, which is then overwritten. */
static int die_with_a_log(bench *b) {
    bench_open(b);
    made(b, "x", 2);
    kill(getpid(), SIGKILL);
    return 1;
}

static void a_harmed_log_is_told(void **state) {
    bench *b = *state;
    int status;
    pid_t pid = fork();
    if (pid == 0) _exit(die_with_a_log(b));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    scribble(in(b, "mebi.db-wal").text, 0, 8192);
    bench_open(b);
    assert_non_null(strstr(b->log, "The database's log was harmed, and is now called mebi.db.broken-1-wal."));
    assert_int_equal(access(in(b, "mebi.db.broken-1-wal").text, R_OK), 0);
    assert_int_equal(shown(b, 0), 2);
}

/* A row that holds nonsense fails its job, not the server. */
static void a_harmed_row_fails_its_job(void **state) {
    bench *b = *state;
    b->paused = 1;
    bench_open(b);
    mebi__job_order o = order_of("x");
    job_id harmed = submit(b, &o), sound = submit(b, &o);
    mebi__jobs_close(&b->jobs);
    run_sql(b, "UPDATE jobs SET request = '{\"pro' WHERE row = 1");
    b->paused = 0;
    bench_open(b);
    await(b, sound, MEBI__JOB_DONE);
    mebi__job *j = get(b, harmed);
    assert_int_equal(j->state, MEBI__JOB_FAILED);
    assert_string_equal(j->code, "bad_file");
    assert_non_null(strstr(j->message, "Order it again."));
    mebi__job_free(&j);
}

static void a_newer_database_is_refused(void **state) {
    bench *b = *state;
    bench_open(b);
    mebi__jobs_close(&b->jobs);
    run_sql(b, "PRAGMA user_version = 99");
    assert_int_equal(bench_try(b), MEBI_UNSUPPORTED);
    assert_non_null(strstr(b->err.text, "newer mebi"));
    assert_null(b->jobs);
    assert_int_equal(access(in(b, "mebi.db").text, R_OK), 0);
}

/* ---- the folder ---- */

static void one_process_a_folder(void **state) {
    bench *b = *state;
    bench_open(b);
    bench *other = take_bytes(sizeof *other);
    other->folder = b->folder;
    assert_int_equal(bench_try(other), MEBI_IO);
    assert_non_null(strstr(other->err.text, "in use by another"));
    assert_null(other->jobs);
    mebi__jobs_close(&b->jobs);
    bench_open(other);
    mebi__jobs_close(&other->jobs);
    free(other);
}

/* In a child, for it may be another user, or have limits of its own; 0: all was as it should be. */
static void in_child(bench *b, int (*check)(bench *b)) {
    pid_t pid = fork();
    if (pid == 0) _exit(check(b));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int cant_write(bench *b) {
    if (geteuid() == 0 && setuid(65534) != 0) return 1;
    if (bench_try(b) != MEBI_IO) return 2;
    return strstr(b->err.text, "can't be written") ? 0 : 3;
}

static void a_folder_that_cant_be_written_is_told(void **state) {
    bench *b = *state;
    assert_int_equal(chmod(b->folder.text, 0555), 0);
    in_child(b, cant_write);
    assert_int_equal(chmod(b->folder.text, 0700), 0);
}

static void await_trouble(bench *b, const char *words) {
    char sentence[MEBI__JOB_MESSAGE] = "";
    for (int n = 0; n < 20000; n++, fake_nap(1))
        if (mebi__jobs_health(b->jobs, sentence, NULL) == MEBI__JOBS_TROUBLE && strstr(sentence, words)) return;
    fail_msg("no trouble with \"%s\", but: %s", words, sentence);
}

static void limit_files(rlim_t bytes) {
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){bytes, RLIM_INFINITY});
}

/* A limit for files' sizes stands for a disk that is full for what is large: the picture, not the database's rows. The
 * picture waits, and so do the jobs behind it; then all go on. */
static int full_for_pictures(bench *b) {
    bench_open(b);
    mebi__job_order o = order_of("x");
    o.request.width = o.request.height = 1024;
    limit_files(300000);
    job_id id = submit(b, &o), second = submit(b, &o);
    await_trouble(b, "is kept in memory until it can be saved.");
    int good = state_of(b, id) == MEBI__JOB_RUNNING && state_of(b, second) == MEBI__JOB_QUEUED;
    mebi__event events[200];
    int64_t next;
    int more, told = 0, count = mebi__jobs_events(b->jobs, id.text, 0, events, 200, &next, &more);
    for (int i = 0; i < count; i++)
        told += events[i].kind == MEBI__EVENT_NOTICE && strstr(events[i].message, ".png");
    limit_files(RLIM_INFINITY);
    await(b, id, MEBI__JOB_DONE);
    await(b, second, MEBI__JOB_DONE);
    good = good && told == 1 && b->fake.jobs == 2 &&
           mebi__jobs_health(b->jobs, NULL, NULL) == MEBI__JOBS_READY;
    mebi__jobs_close(&b->jobs);
    return good ? 0 : 1;
}

static void a_picture_waits_for_room(void **state) {
    bench *b = *state;
    in_child(b, full_for_pictures);
    bench_open(b);
    assert_int_equal(shown(b, 2), 2);
    assert_int_equal(files_in(month(b).text), 2);
}

/* One that waits can be given up, and does not keep the process from ending. */
static int full_and_given_up(bench *b) {
    mebi__cancelled how;
    bench_open(b);
    mebi__job_order o = order_of("x");
    o.request.width = o.request.height = 1024;
    limit_files(300000);
    job_id id = submit(b, &o), second = submit(b, &o);
    await_trouble(b, "is kept in memory");
    if (mebi__jobs_cancel(b->jobs, id.text, &how, &b->err) != MEBI_OK) return 1;
    await(b, id, MEBI__JOB_CANCELLED);
    await(b, second, MEBI__JOB_RUNNING);
    await_trouble(b, "is kept in memory");
    mebi__jobs_close(&b->jobs);
    limit_files(RLIM_INFINITY);
    bench_open(b);
    await(b, second, MEBI__JOB_DONE);
    mebi__jobs_close(&b->jobs);
    return 0;
}

static void a_waiting_picture_is_given_up(void **state) {
    bench *b = *state;
    in_child(b, full_and_given_up);
    bench_open(b);
    assert_int_equal(files_in(month(b).text), 1);
}

/* Full for the database, too: nothing is accepted, what runs waits for its end to be written, and goes on by itself. */
static int full_for_all(bench *b) {
    mebi__job *job;
    mebi__job_refused refused;
    mebi_error err = {0};
    char sentence[MEBI__JOB_MESSAGE];
    b->fake.gate = 1;
    bench_open(b);
    mebi__job_order o = order_of("x");
    job_id id = submit(b, &o);
    await(b, id, MEBI__JOB_RUNNING);
    limit_files(1000);
    if (mebi__jobs_submit(b->jobs, &o, &job, &refused, &err) == MEBI_OK) return 1;
    if (refused.why != MEBI__REFUSED_TROUBLE || err.status != MEBI_IO) return 2;
    if (mebi__jobs_queue(b->jobs).queued != 0) return 3;
    if (mebi__jobs_health(b->jobs, sentence, NULL) != MEBI__JOBS_TROUBLE || !strstr(sentence, "mebi.db")) return 4;
    b->fake.gate = 0;
    await_trouble(b, "is kept in memory");
    limit_files(RLIM_INFINITY);
    await(b, id, MEBI__JOB_DONE);
    bench_ready(b);
    await(b, submit(b, &o), MEBI__JOB_DONE);
    mebi__jobs_close(&b->jobs);
    return 0;
}

static void a_full_database_accepts_nothing(void **state) {
    bench *b = *state;
    in_child(b, full_for_all);
    bench_open(b);
    assert_int_equal(shown(b, 0), 2);
}

/* Nothing runs that could find out: the disk is tried until it takes something. */
static int full_while_idle(bench *b) {
    mebi__job *job;
    mebi__job_refused refused;
    mebi_error err = {0};
    bench_open(b);
    limit_files(1000);
    mebi__job_order o = order_of("x");
    if (mebi__jobs_submit(b->jobs, &o, &job, &refused, &err) == MEBI_OK) return 1;
    await_trouble(b, "mebi.db");
    fake_nap(1200);
    if (mebi__jobs_health(b->jobs, NULL, NULL) != MEBI__JOBS_TROUBLE) return 2;
    limit_files(RLIM_INFINITY);
    bench_ready(b);
    mebi__jobs_close(&b->jobs);
    return 0;
}

static void an_idle_server_sees_that_there_is_room(void **state) {
    in_child(*state, full_while_idle);
}

/* ---- the clock ---- */

/* Set forward by a year, then back by two, beside waiting and running jobs. */
static void the_clock_jumps(void **state) {
    static const int64_t year = 31536000000, day = 86400000;
    bench *b = *state;
    b->fake.gate = 1;
    bench_open(b);
    mebi__job_order o = order_of("x");
    job_id id[4];
    double began = mebi__now_seconds();
    id[0] = submit(b, &o);
    await(b, id[0], MEBI__JOB_RUNNING);
    mebi__wall_pretend(year);
    id[1] = submit(b, &o);
    mebi__wall_pretend(-day);
    id[2] = submit(b, &o);
    mebi__wall_pretend(-year);
    id[3] = submit(b, &o);
    assert_false(mebi__jobs_wait(b->jobs, id[3].text, mebi__jobs_newest_event(b->jobs), 0.05));
    for (int i = 1; i < 4; i++) {
        mebi__job *j = get(b, id[i]);
        assert_int_equal(j->position, i);
        mebi__job_free(&j);
    }
    b->fake.gate = 0;
    for (int i = 0; i < 4; i++) await(b, id[i], MEBI__JOB_DONE);
    assert_true(mebi__now_seconds() - began < 20);
    mebi__wall_pretend(0);
    mebi__images images;
    assert_mebi_ok(mebi__jobs_images(b->jobs, &(mebi__image_query){0}, &images, &b->err), &b->err);
    assert_int_equal(images.count, 4);
    for (int i = 0; i < 4; i++) assert_string_equal(images.image[i].job, id[3 - i].text);
    mebi__images_free(&images);
    /* Searches by time go by what the clock said, and find each picture on one side. */
    int64_t cut = mebi__wall_ms() - year / 2;
    mebi__image_query before = {.to_ms = cut}, after = {.from_ms = cut};
    assert_mebi_ok(mebi__jobs_images(b->jobs, &before, &images, &b->err), &b->err);
    int old = images.count;
    mebi__images_free(&images);
    assert_mebi_ok(mebi__jobs_images(b->jobs, &after, &images, &b->err), &b->err);
    assert_int_equal(old + images.count, 4);
    mebi__images_free(&images);
}

static void the_clock_orders_nothing(void **state) {
    bench *b = *state;
    bench_open(b);
    job_id first = made(b, "first", 1), second = made(b, "second", 1);
    mebi__jobs_close(&b->jobs);
    /* As a clock that was set back by a year between the two tells it. */
    run_sql(b, "UPDATE jobs SET created_ms = created_ms - 31536000000 WHERE row = 2;"
               "UPDATE images SET created_ms = created_ms - 31536000000 WHERE row = 2");
    bench_open(b);
    job_id third = made(b, "third", 1);
    mebi__images images;
    mebi__job_list list;
    assert_mebi_ok(mebi__jobs_images(b->jobs, &(mebi__image_query){0}, &images, &b->err), &b->err);
    assert_mebi_ok(mebi__jobs_list(b->jobs, 0, 10, 0, &list, &b->err), &b->err);
    const job_id *const order[] = {&third, &second, &first};
    for (int i = 0; i < 3; i++) {
        assert_string_equal(images.image[i].job, order[i]->text);
        assert_string_equal(list.job[i]->id, order[i]->text);
    }
    mebi__images_free(&images);
    mebi__job_list_free(&list);
}

#define T(function) cmocka_unit_test_setup_teardown(function, begin, finish)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(a_closed_server_goes_on_later),
        T(a_killed_job_goes_on_from_its_last_step),
        T(harmed_latents_are_not_believed),
        T(what_kills_the_process_is_given_up),
        T(a_cancelled_job_stays_cancelled),
        T(latents_of_a_batch_are_cut),
        T(a_file_without_a_row_is_taken_up),
        T(half_a_file_is_made_again),
        T(a_row_without_its_file_is_hidden),
        T(a_listed_half_file_is_hidden),
        T(links_and_folders_are_left_alone),
        T(half_moves_are_finished),
        T(a_broken_database_is_put_aside),
        T(no_harm_to_the_database_loses_pictures),
        T(a_harmed_log_is_told),
        T(a_harmed_row_fails_its_job),
        T(a_newer_database_is_refused),
        T(one_process_a_folder),
        T(a_folder_that_cant_be_written_is_told),
        T(a_picture_waits_for_room),
        T(a_waiting_picture_is_given_up),
        T(a_full_database_accepts_nothing),
        T(an_idle_server_sees_that_there_is_room),
        T(the_clock_orders_nothing),
        T(the_clock_jumps),
    };
    return cmocka_run_group_tests_name("jobs, harmed", tests, NULL, NULL);
}

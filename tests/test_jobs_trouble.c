/* What befalls jobs from outside: broken databases, folders of others, full disks, and a clock that is set. */
#include "jobs_folder.h"

static int begin(void **state) {
    *state = bench_new();
    return 0;
}

static int finish(void **state) {
    bench_end(*state);
    return 0;
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
    return cmocka_run_group_tests_name("jobs, in trouble", tests, NULL, NULL);
}

/* What a data folder goes through: restarts, and harm to its files. */
#include "jobs_folder.h"

#include "jobs/latents.h"

static int begin(void **state) {
    *state = bench_new();
    return 0;
}

static int finish(void **state) {
    bench_end(*state);
    return 0;
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
    };
    return cmocka_run_group_tests_name("jobs, harmed", tests, NULL, NULL);
}

/* A server's process under load, killed at random moments, again and again: 40 times, or $MEBI_KILLS. With the real engine
 * and the small model. After each kill: what was accepted is there, files and rows match, the database is sound. At the end:
 * every accepted job has exactly one end, and pictures that were interrupted are those that nothing interrupts, to the bit. */
#include "jobs_fake.h"

#include "mebi/mebi.h"

#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

enum { MOST_ACCEPTED = 20000, COMPARED = 6 };

static uint32_t dice_state = 12345;

static int dice(int sides) {
    dice_state = dice_state * 1664525u + 1013904223u;
    return (int)((dice_state >> 8) % (uint32_t)sides);
}

/* ---- the child ---- */

static mebi__jobs *open_real(const char *folder) {
    mebi_engine_params engine = mebi_engine_params_default();
    mebi__jobs_params params = mebi__jobs_params_default();
    mebi__jobs *jobs;
    mebi_error err = {0};
    engine.model = "models/mini";
    engine.threads = 1;
    engine.cache = "";
    params.folder = folder;
    params.model_name = "mini";
    params.engine = mebi__job_engine_of(&engine);
    params.latents_seconds = 1e-9;
    if (mebi__jobs_open(&params, &jobs, &err) != MEBI_OK) {
        fprintf(stderr, "open: %s\n", err.text);
        return NULL;
    }
    while (mebi__jobs_health(jobs, err.text, NULL) != MEBI__JOBS_READY) fake_nap(1);
    return jobs;
}

static mebi__job_order random_order(void) {
    static const char *const prompts[] = {"a red apple", "ein Haus am See", "纯白背景"};
    static const char *const clients[] = {"a", "b", "c"};
    mebi__job_order o = order_of(prompts[dice(3)]);
    o.client = clients[dice(3)];
    o.priority = dice(3) - 1;
    o.request.steps = 1 + dice(3);
    o.request.count = 1 + dice(3);
    o.request.seed = dice(1000);
    o.request.cfg = dice(2) ? 2.0f : 0;
    o.request.preview_every = dice(2);
    return o;
}

static void touch_a_picture(mebi__jobs *jobs) {
    mebi__images all, one = {0};
    mebi__image_query q = {.trashed = 2, .limit = 8};
    mebi_error err = {0};
    int removed;
    if (mebi__jobs_images(jobs, &q, &all, &err) != MEBI_OK) _exit(3);
    mebi_status status = MEBI_OK;
    if (all.count) {
        const char *id = all.image[dice(all.count)].id;
        switch (dice(5)) {
        case 0: status = mebi__jobs_trash(jobs, id, &one, &err); break;
        case 1: status = mebi__jobs_restore(jobs, id, &one, &err); break;
        case 2: status = mebi__jobs_remove(jobs, id, &removed, &err); break;
        default: status = mebi__jobs_set_favourite(jobs, id, dice(2), &one, &err);
        }
    }
    if (status != MEBI_OK) _exit(4);
    mebi__images_free(&one);
    mebi__images_free(&all);
}

/* Works until it is killed. Each id goes into the pipe after submit has returned: it is accepted then. */
static void be_a_server(const char *folder, int pipe_end) {
    mebi__jobs *jobs = open_real(folder);
    char record[MEBI__JOB_ID] = "ready";
    if (!jobs || write(pipe_end, record, sizeof record) != sizeof record) _exit(1);
    for (;;) {
        mebi__job_refused refused;
        mebi_error err = {0};
        mebi__cancelled how;
        mebi__job *job = NULL;
        mebi__job_order o = random_order();
        if (mebi__jobs_queue(jobs).queued < 4) {
            if (mebi__jobs_submit(jobs, &o, &job, &refused, &err) != MEBI_OK) _exit(2);
            if (write(pipe_end, job->id, sizeof job->id) != sizeof job->id) _exit(1);
            if (dice(6) == 0 && mebi__jobs_cancel(jobs, job->id, &how, &err) != MEBI_OK) _exit(5);
        } else fake_nap(dice(5));
        mebi__job_free(&job);
        if (dice(3) == 0) touch_a_picture(jobs);
        if (dice(300) == 0 && mebi__jobs_queue(jobs).job[0] &&
            mebi__jobs_cancel(jobs, mebi__jobs_queue(jobs).job, &how, &err) != MEBI_OK)
            _exit(6);
    }
}

/* ---- the parent ---- */

static char accepted[MOST_ACCEPTED][MEBI__JOB_ID];
static int accepted_count;

/* Reads ids until there are none for so long; returns 0 at the pipe's end. */
static int read_ids(int fd, int wait_ms) {
    char record[MEBI__JOB_ID];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, wait_ms) > 0) {
        ssize_t n = read(fd, record, sizeof record);
        if (n != sizeof record) return 0;
        if (strcmp(record, "ready") == 0) return 1;
        assert_true(accepted_count < MOST_ACCEPTED);
        memcpy(accepted[accepted_count++], record, sizeof record);
    }
    return 1;
}

static void kill_one(const char *folder) {
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    dice(7);
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        be_a_server(folder, ends[1]);
    }
    close(ends[1]);
    /* One in five dies before it is ready: in the repair of what the last kill left. */
    if (dice(5)) read_ids(ends[0], 60000);
    fake_nap(dice(600));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFSIGNALED(status)) fail_msg("the child ended by itself: %d", WEXITSTATUS(status));
    while (read_ids(ends[0], 1000) && poll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, 0) > 0) {}
    close(ends[0]);
}

static int64_t ask(const char *folder, const char *sql, const char *value) {
    sqlite3 *db;
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_open(path_of("%s/mebi.db", folder).text, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    if (value) sqlite3_bind_text(q, 1, value, -1, SQLITE_TRANSIENT);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    int64_t n = sqlite3_column_int64(q, 0);
    const char *text = (const char *)sqlite3_column_text(q, 0);
    if (strcmp(sql, "PRAGMA integrity_check") == 0) assert_string_equal(text, "ok");
    sqlite3_finalize(q);
    sqlite3_close(db);
    return n;
}

static void assert_sound(const char *folder) {
    if (access(path_of("%s/mebi.db", folder).text, F_OK) != 0) return; /* killed before it was made */
    ask(folder, "PRAGMA integrity_check", NULL);
    assert_int_not_equal(access(path_of("%s/mebi.db.broken-1", folder).text, F_OK), 0);
}

/* Files of a folder and those in it; each has to be a picture's. */
static int count_files(const char *path, const char *ending) {
    DIR *d = opendir(path);
    int count = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        path_text inner = path_of("%.3000s/%.250s", path, e->d_name);
        struct stat about;
        assert_int_equal(stat(inner.text, &about), 0);
        if (S_ISDIR(about.st_mode)) count += count_files(inner.text, ending);
        else if (strcmp(e->d_name + strlen(e->d_name) - strlen(ending), ending) == 0) count++;
        else fail_msg("%s was left behind", inner.text);
    }
    closedir(d);
    return count;
}

/* Every row has its file, and there are no others. */
static int match_files(bench *b, int trashed) {
    int64_t cursor = 0;
    int rows = 0;
    do {
        mebi__images page;
        mebi__image_query q = {.trashed = trashed, .limit = 500, .cursor = cursor};
        assert_mebi_ok(mebi__jobs_images(b->jobs, &q, &page, &b->err), &b->err);
        for (int i = 0; i < page.count; i++) {
            char *path;
            assert_mebi_ok(mebi__jobs_image_file(b->jobs, page.image[i].id, &path, &b->err), &b->err);
            if (access(path, R_OK) != 0) fail_msg("%s is missing", path);
            mebi__free(path);
        }
        rows += page.count;
        cursor = page.next;
        mebi__images_free(&page);
    } while (cursor);
    assert_int_equal(rows, count_files(path_of("%s/%s", b->folder.text, trashed ? "trash" : "images").text, ".png"));
    return rows;
}

static void check_all(bench *b, int ended) {
    for (int i = 0; i < accepted_count; i++) {
        mebi__job *j;
        assert_mebi_ok(mebi__jobs_get(b->jobs, accepted[i], &j, &b->err), &b->err);
        if (!j) fail_msg("the accepted job %s is lost", accepted[i]);
        int over = j->state >= MEBI__JOB_DONE;
        if (ended) assert_true(over);
        if (j->state == MEBI__JOB_DONE) assert_int_equal(j->made, j->request.count);
        /* The one failure that may come of it, on a machine so busy that no step is finished between two kills. */
        if (j->state == MEBI__JOB_FAILED && !strstr(j->message, "got no further"))
            fail_msg("%s failed: %s", j->id, j->message);
        assert_int_not_equal(j->state, MEBI__JOB_RUNNING);
        if (ended) /* one event of an end: that of the state */
            assert_int_equal(ask(b->folder.text, "SELECT 10 * count(*) + max(kind) FROM events WHERE job = ? AND kind IN (6, 7, 8)",
                                 j->id), 10 + MEBI__EVENT_DONE + (j->state - MEBI__JOB_DONE));
        mebi__job_free(&j);
    }
    int rows = match_files(b, 0) + match_files(b, 1);
    assert_int_equal(ask(b->folder.text, "SELECT count(*) FROM images WHERE place > 1", NULL), 0);
    assert_true(count_files(path_of("%s/thumbnails", b->folder.text).text, ".jpg") <= rows);
}

static void compare_pictures(const char *one, const char *other) {
    mebi_image a = {0}, c = {0};
    mebi_error err = {0};
    assert_mebi_ok(mebi_png_load(one, &a, &err), &err);
    assert_mebi_ok(mebi_png_load(other, &c, &err), &err);
    assert_true(a.width == c.width && a.height == c.height);
    assert_memory_equal(a.pixels, c.pixels, 3 * (size_t)a.width * (size_t)a.height);
    mebi_image_release(&a);
    mebi_image_release(&c);
}

/* A job that was begun more than once, made again without interruption. */
static int compare_with_whole(bench *b, const char *id) {
    mebi__job *j;
    char *one, *other;
    assert_mebi_ok(mebi__jobs_get(b->jobs, id, &j, &b->err), &b->err);
    int compared = j->state == MEBI__JOB_DONE && j->attempts > 1 && j->images.count > 0;
    if (compared) {
        mebi__job_order o = {.request = j->request};
        job_id again = submit(b, &o);
        await(b, again, MEBI__JOB_DONE);
        for (int i = 0; i < j->images.count; i++) {
            assert_mebi_ok(mebi__jobs_image_file(b->jobs, j->images.image[i].id, &one, &b->err), &b->err);
            assert_mebi_ok(mebi__jobs_image_file(b->jobs, path_of("%s-%d", again.text, j->images.image[i].index + 1).text, &other, &b->err), &b->err);
            compare_pictures(one, other);
            mebi__free(one);
            mebi__free(other);
        }
    }
    mebi__job_free(&j);
    return compared;
}

static void no_kill_loses_anything(void **state) {
    const char *wanted = getenv("MEBI_KILLS");
    int kills = wanted && atoi(wanted) > 0 ? atoi(wanted) : 40;
    bench *b = bench_new();
    *state = NULL;
    b->paused = 1;
    for (int n = 0; n < kills; n++) {
        kill_one(b->folder.text);
        assert_sound(b->folder.text);
        if (n % 2) continue; /* the next child repairs by itself */
        bench_open(b);
        check_all(b, 0);
        mebi__jobs_close(&b->jobs);
    }
    b->jobs = open_real(b->folder.text);
    assert_non_null(b->jobs);
    for (mebi__queue q = mebi__jobs_queue(b->jobs); q.queued + q.running; q = mebi__jobs_queue(b->jobs)) fake_nap(5);
    check_all(b, 1);
    int compared = 0;
    for (int i = 0; i < accepted_count && compared < COMPARED; i++) compared += compare_with_whole(b, accepted[i]);
    int64_t done = ask(b->folder.text, "SELECT count(*) FROM jobs WHERE state = 2", NULL);
    int64_t again = ask(b->folder.text, "SELECT count(*) FROM jobs WHERE attempts > 1", NULL);
    printf("%d kills, %d jobs accepted, %d done, %d begun more than once, %d compared\n", kills, accepted_count,
           (int)done, (int)again, compared);
    assert_true(accepted_count > 0 && done > 0 && again > 0 && compared > 0);
    assert_sound(b->folder.text);
    bench_end(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_kill_loses_anything)};
    return cmocka_run_group_tests_name("jobs, killed", tests, NULL, NULL);
}

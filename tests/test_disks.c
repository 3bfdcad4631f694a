/* Disks that are full, can't be written, or stop being writable, under the program itself. Mounts file systems of its own:
 * run by tests/check-full-disk, as root and in a mount namespace that nobody else sees. */
#include "serve_run.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#define ORDER "{\"prompt\":\"a red apple\",\"width\":192,\"height\":192,\"steps\":1,\"seed\":1}"
#define SLOW "{\"prompt\":\"a red apple\",\"width\":256,\"height\":256,\"steps\":40,\"count\":2,\"seed\":1}"

enum { MOST = 400 };

typedef struct disk {
    served s; /* its folder is `on`/data */
    path_text on, file, filler;
} disk;

static int begin(void **state) {
    disk *d = take_bytes(sizeof *d);
    d->on = make_folder();
    d->file = path_of("%s.img", d->on.text);
    d->filler = path_of("%s/filler", d->on.text);
    d->s.folder = path_of("%s/data", d->on.text);
    d->s.log = path_of("%s.log", d->on.text);
    *state = d;
    return 0;
}

static int finish(void **state) {
    disk *d = *state;
    end_serving(&d->s, SIGKILL);
    while (umount2(d->on.text, MNT_DETACH) == 0) {}
    unlink(d->s.log.text);
    remove_path(d->file.text);
    remove_path(d->on.text);
    free(d);
    return 0;
}

static void mount_small(const disk *d, const char *size) {
    assert_int_equal(mount("tmpfs", d->on.text, "tmpfs", 0, size), 0);
}

static size_t room_on(const disk *d) {
    struct statvfs about;
    assert_int_equal(statvfs(d->on.text, &about), 0);
    return (size_t)about.f_bavail * about.f_bsize;
}

/* Until so many bytes are left. */
static void fill(const disk *d, size_t left) {
    static const char block[4096] = {1};
    int fd = open(d->filler.text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (room_on(d) > left && write(fd, block, sizeof block) > 0) {}
    close(fd);
}

static void make_room(const disk *d) {
    assert_int_equal(unlink(d->filler.text), 0);
}

static void assert_sound(const disk *d) {
    sqlite3 *db;
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_open(path_of("%s/mebi.db", d->s.folder.text).text, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(q, 0), "ok");
    sqlite3_finalize(q);
    sqlite3_close(db);
}

static void assert_no_rest(const char *folder) {
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (strstr(e->d_name, ".part")) fail_msg("%s/%s was left behind", folder, e->d_name);
    closedir(d);
}

static int read_picture(const served *s, const char *job) {
    return ask(s->port, path_of("GET /api/v1/images/%s-1/file", job).text, NULL);
}

/* ---- full ---- */

/* Orders until one is refused; how many were taken. */
static int order_until_full(const disk *d, path_text *id) {
    int count = 0;
    while (count < MOST && *(id[count] = order_of_it(&d->s, ORDER)).text) count++;
    assert_true(count < MOST);
    assert_status(ask(d->s.port, "POST /api/v1/jobs", ORDER), 503);
    assert_string_equal(error_code(), "unavailable");
    assert_non_null(strstr(body, "is full. Free some room on it."));
    assert_true(has_head("Retry-After: "));
    return count;
}

static void a_full_disk_loses_nothing(void **state) {
    static path_text id[MOST];
    disk *d = *state;
    mount_small(d, "size=3m");
    serve(&d->s, (const char *const[]){"--queue-limit", "1000", NULL});
    fill(d, 400 << 10);
    int count = order_until_full(d, id);
    assert_true(count > 3);
    await_health(&d->s, 503, "full");
    json_t *o = get_json(d->s.port, "/api/v1/system");
    assert_non_null(strstr(text_at(o, "trouble"), "full"));
    json_decref(o);
    nap_ms(2500); /* what could fail meanwhile? */
    for (int i = 0; i < count; i++) {
        const char *is = job_state_of(&d->s, id[i].text);
        if (strcmp(is, "failed") == 0 || strcmp(is, "cancelled") == 0) fail_msg("job %d is %s: %s", i, is, body);
    }
    make_room(d);
    await_health(&d->s, 200, "ok");
    for (int i = 0; i < count; i++) await_state(&d->s, id[i].text, "done");
    assert_int_equal(pictures_of(&d->s), count);
    await_state(&d->s, order_of_it(&d->s, ORDER).text, "done");
    assert_int_equal(end_serving(&d->s, SIGTERM), 0);
    assert_sound(d);
    assert_no_rest(path_of("%s/work", d->s.folder.text).text);
    assert_no_rest(path_of("%s/thumbnails", d->s.folder.text).text);
    print_message("%d orders were taken, and %d pictures made of them\n", count, count);
}

/* Nothing can be written from a job's middle on: it goes on without saved steps, its picture waits, and the process may be
 * killed there and begun anew. */
static void it_fills_up_under_a_job(void **state) {
    disk *d = *state;
    mount_small(d, "size=4m");
    serve(&d->s, NULL);
    path_text id = order_of_it(&d->s, SLOW);
    await_state(&d->s, id.text, "running");
    fill(d, 0);
    await_health(&d->s, 503, "is kept in memory until it can be saved.");
    assert_string_equal(job_state_of(&d->s, id.text), "running");
    assert_int_equal(end_serving(&d->s, SIGKILL), -SIGKILL);
    /* It can be begun, by what was kept for that; and once that is gone, it finds some, or says why not. */
    serve(&d->s, NULL);
    assert_int_equal(end_serving(&d->s, SIGKILL), -SIGKILL);
    unlink(path_of("%s/reserve", d->s.folder.text).text);
    fill(d, 0);
    int code = 0;
    begin_serving(&d->s, NULL);
    if (comes_up(&d->s, &code)) assert_int_equal(end_serving(&d->s, SIGKILL), -SIGKILL);
    else assert_non_null(strstr(d->s.said, "full"));
    make_room(d);
    serve(&d->s, NULL);
    await_state(&d->s, id.text, "done");
    assert_int_equal(pictures_of(&d->s), 2);
    assert_int_equal(end_serving(&d->s, SIGTERM), 0);
    assert_sound(d);
}

/* Who looks at the page can make room by it. */
static void pictures_can_be_removed_from_a_full_disk(void **state) {
    static path_text id[MOST];
    disk *d = *state;
    int made = 20;
    mount_small(d, "size=3m");
    serve(&d->s, NULL);
    for (int i = 0; i < made; i++) {
        id[i] = order_of_it(&d->s, ORDER);
        await_state(&d->s, id[i].text, "done");
    }
    id[made] = order_of_it(&d->s, SLOW);
    id[made + 1] = order_of_it(&d->s, ORDER);
    await_state(&d->s, id[made].text, "running");
    fill(d, 0);
    order_until_full(d, id + made + 2);
    await_health(&d->s, 503, "is kept in memory");
    /* One that waits is cancelled, and pictures go, through the trash, for good. */
    assert_status(ask(d->s.port, path_of("DELETE /api/v1/jobs/%s", id[made + 1].text).text, NULL), 200);
    for (int i = 0; i < made; i++) {
        assert_status(ask(d->s.port, path_of("DELETE /api/v1/images/%s-1", id[i].text).text, NULL), 200);
        int status = ask(d->s.port, path_of("DELETE /api/v1/images/%s-1?forever=1", id[i].text).text, NULL);
        if (status != 204 && status != 200) fail_msg("%d: %s", status, reply);
    }
    assert_int_not_equal(ask(d->s.port, path_of("GET /api/v1/images/%s-1", id[0].text).text, NULL), 200);
    await_state(&d->s, id[made].text, "done"); /* which waited for room */
}

/* ---- read-only ---- */

static void a_read_only_disk_is_refused(void **state) {
    disk *d = *state;
    mount_small(d, "size=4m");
    serve(&d->s, NULL);
    await_state(&d->s, order_of_it(&d->s, ORDER).text, "done");
    assert_int_equal(end_serving(&d->s, SIGTERM), 0);
    assert_int_equal(mount(NULL, d->on.text, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    assert_refuses(&d->s, NULL, "can't be written: Read-only file system. Choose another one");
    assert_int_equal(mount(NULL, d->on.text, NULL, MS_REMOUNT, NULL), 0);
    serve(&d->s, NULL);
    assert_int_equal(pictures_of(&d->s), 1);
}

/* A real file system on a file; *device gets its name. 0: there are no loop devices here. */
static int mount_file(const disk *d, char device[40]) {
    char command[32000];
    snprintf(command, sizeof command,
             "{ [ -f %s ] || { truncate -s 16M %s && mkfs.ext4 -q %s; }; } && mount -o loop,errors=remount-ro %s %s "
             "2>/dev/null && basename \"$(findmnt -no SOURCE %s)\"",
             d->file.text, d->file.text, d->file.text, d->file.text, d->on.text, d->on.text);
    FILE *f = popen(command, "r");
    int good = f && fscanf(f, "%39s", device) == 1;
    if (f) pclose(f);
    return good;
}

/* As after a fault of the device: the system lets nothing be written any more. */
static int break_disk(const char *device) {
    FILE *f = fopen(path_of("/sys/fs/ext4/%s/trigger_fs_error", device).text, "w");
    int good = f && fputs("test", f) >= 0;
    if (f) good &= fclose(f) == 0;
    return good;
}

static void it_becomes_read_only_under_a_job(void **state) {
    disk *d = *state;
    char device[40];
    if (!mount_file(d, device)) {
        print_message("skipped: no loop device, or no mkfs.ext4\n");
        skip();
    }
    serve(&d->s, NULL);
    path_text first = order_of_it(&d->s, ORDER), id;
    await_state(&d->s, first.text, "done");
    id = order_of_it(&d->s, SLOW);
    await_state(&d->s, id.text, "running");
    assert_true(break_disk(device));
    await_health(&d->s, 503, "Read-only file system. The finished picture is kept in memory until it can be saved.");
    assert_status(ask(d->s.port, "POST /api/v1/jobs", ORDER), 503);
    assert_non_null(strstr(body, "See whether its disk is full or read-only"));
    assert_status(read_picture(&d->s, first.text), 200); /* what is there can be seen */
    assert_int_equal(end_serving(&d->s, SIGTERM), 0);
    assert_int_equal(umount(d->on.text), 0);
    assert_int_equal(system(path_of("e2fsck -fp %s > /dev/null 2>&1; [ $? -lt 4 ]", d->file.text).text), 0);
    assert_true(mount_file(d, device));
    serve(&d->s, NULL);
    await_state(&d->s, id.text, "done");
    assert_int_equal(pictures_of(&d->s), 3);
    assert_int_equal(end_serving(&d->s, SIGTERM), 0);
    assert_sound(d);
}

#define T(function) cmocka_unit_test_setup_teardown(function, begin, finish)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(a_full_disk_loses_nothing),
        T(it_fills_up_under_a_job),
        T(pictures_can_be_removed_from_a_full_disk),
        T(a_read_only_disk_is_refused),
        T(it_becomes_read_only_under_a_job),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("disks", tests, begin_cache, end_cache);
}

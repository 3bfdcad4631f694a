/* What befalls a server, seen from outside: the program itself is begun, asked over HTTP, and killed. What the jobs alone
 * can show is in test_jobs_repair.c and test_jobs_trouble.c; full and read-only disks are in test_disks.c. */
#include "serve_run.h"

#include <sqlite3.h>

#define SMALL "{\"prompt\":\"a red apple\",\"width\":64,\"height\":64,\"steps\":1,\"seed\":1}"
#define LONG "{\"prompt\":\"a red apple\",\"width\":256,\"height\":256,\"steps\":120,\"count\":8,\"seed\":1}"

static int begin(void **state) {
    served *s = take_bytes(sizeof *s);
    *s = (served){.folder = make_folder()};
    chmod(s->folder.text, 0755);
    *state = s;
    return 0;
}

static int finish(void **state) {
    forget_server(*state);
    free(*state);
    return 0;
}

/* ---- two of them ---- */

static void a_second_one_is_refused(void **state) {
    served *s = *state, second = {.folder = s->folder, .log = path_of("%s.second", s->folder.text)};
    serve(s, NULL);
    path_text id = order_of_it(s, LONG), before = order_of_it(s, SMALL);
    assert_refuses(&second, NULL, "is in use by another mebi server (process ");
    assert_non_null(strstr(second.said, path_of("(process %d). End that one, or choose another", (int)s->pid).text));
    assert_string_equal(job_state_of(s, id.text), "running");
    assert_string_equal(job_state_of(s, before.text), "queued");
    /* Killed, it leaves its lock's file, which hinders nobody. */
    assert_int_equal(end_serving(s, SIGKILL), -SIGKILL);
    assert_int_equal(access(path_of("%s/lock", s->folder.text).text, F_OK), 0);
    serve(s, NULL);
    assert_status(ask(s->port, path_of("DELETE /api/v1/jobs/%s", id.text).text, NULL), 200);
    await_state(s, before.text, "done");
    unlink(second.log.text);
}

/* ---- ports ---- */

/* A program that has a port, and is no mebi. */
static int take_port(int *port) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof here), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &size), 0);
    *port = ntohs(here.sin_port);
    return fd;
}

static void ports_that_cant_be_had(void **state) {
    served *s = *state;
    int port, fd = take_port(&port);
    char digits[12];
    snprintf(digits, sizeof digits, "%d", port);
    assert_refuses(s, (const char *const[]){"--port", digits, NULL}, "is taken by another program");
    assert_non_null(strstr(s->said, path_of("choose another port: --port %d.", port + 1).text));
    close(fd);
    serve(s, (const char *const[]){"--port", digits, NULL}); /* nothing is left of the try */
    assert_int_equal(s->port, port);
    served other = {.folder = make_folder()};
    assert_refuses(&other, (const char *const[]){"--port", digits, NULL}, "maybe by another mebi serve. End that");
    path_text token = path_of("%s/token", other.folder.text);
    write_text(token.text, "0123456789abcdef0123456789abcdef\n");
    assert_refuses(&other, (const char *const[]){"--listen", "203.0.113.7", "--token-file", token.text, NULL},
                   "203.0.113.7 is no address of this machine. `ip addr` lists those.");
    assert_refuses(&other, (const char *const[]){"--listen", "0.0.0.0", NULL}, "needs a token: --token-file FILE");
    forget_server(&other);
}

static void low_ports_need_rights(void **state) {
    served *s = *state;
    int first = 1024;
    FILE *f = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "re");
    if (f && fscanf(f, "%d", &first) != 1) first = 1024;
    if (f) fclose(f);
    if (first <= 80) {
        print_message("skipped: anyone may take port 80 here\n");
        skip();
    }
    s->as_nobody = 1;
    chmod(s->folder.text, 0777);
    assert_refuses(s, (const char *const[]){"--port", "80", NULL},
                   "Port 80 needs rights that this user does not have. Choose one from 1024 to 65535");
}

/* ---- a folder without rights ---- */

static void a_folder_of_others_is_refused(void **state) {
    served *s = *state;
    s->as_nobody = 1;
    chmod(s->folder.text, 0555);
    assert_refuses(s, NULL, "can't be written: Permission denied. Choose another one, or see whose it is.");
    served inside = {.folder = path_of("%s/a/b", s->folder.text), .log = path_of("%s.inside", s->folder.text)};
    inside.as_nobody = 1;
    assert_refuses(&inside, NULL, "can't be made: Permission denied");
    unlink(inside.log.text);
    served file = {.folder = path_of("%s.file", s->folder.text), .as_nobody = 1};
    write_text(file.folder.text, "no folder");
    assert_refuses(&file, NULL, "can't be made: File exists.");
    forget_server(&file);
}

/* The rights are taken away while it runs: what is made waits, and is saved when they are back. */
static void rights_are_taken_and_given_back(void **state) {
    served *s = *state;
    s->as_nobody = 1;
    if (geteuid() == 0) assert_int_equal(chown(s->folder.text, NOBODY, NOBODY), 0);
    serve(s, NULL);
    await_state(s, order_of_it(s, SMALL).text, "done");
    path_text images = path_of("%s/images", s->folder.text), month = {""};
    DIR *d = opendir(images.text);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') month = path_of("%.3000s/%.200s", images.text, e->d_name);
    closedir(d);
    assert_int_equal(chmod(month.text, 0555), 0);
    path_text first = order_of_it(s, SMALL), second = order_of_it(s, SMALL);
    await_health(s, 503, "Permission denied. The finished picture is kept in memory until it can be saved.");
    assert_string_equal(job_state_of(s, first.text), "running");
    json_t *o = get_json(s->port, "/api/v1/system");
    assert_non_null(strstr(text_at(o, "trouble"), "is kept in memory"));
    json_decref(o);
    assert_int_equal(chmod(month.text, 0755), 0);
    await_state(s, first.text, "done");
    await_state(s, second.text, "done");
    await_health(s, 200, "ok");
    assert_int_equal(pictures_of(s), 3);
}

/* ---- the database ---- */

static void scribble(const char *path, off_t at, size_t bytes) {
    static const unsigned char nonsense[8192] = {0x5a, 1, 2, 3};
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0 && bytes <= sizeof nonsense);
    assert_int_equal(pwrite(fd, nonsense, bytes, at), bytes);
    close(fd);
}

static void a_harmed_database_costs_no_picture(void **state) {
    served *s = *state;
    serve(s, NULL);
    for (int i = 0; i < 2; i++) await_state(s, order_of_it(s, SMALL).text, "done");
    assert_int_equal(end_serving(s, SIGTERM), 0);
    scribble(path_of("%s/mebi.db", s->folder.text).text, 0, 100);
    serve(s, NULL);
    what_it_said(s);
    assert_non_null(strstr(s->said, "The database was broken ("));
    assert_non_null(strstr(s->said, "It is now called mebi.db.broken-1, and a new one is begun with the pictures that are there."));
    assert_int_equal(access(path_of("%s/mebi.db.broken-1", s->folder.text).text, R_OK), 0);
    assert_int_equal(pictures_of(s), 2);
    await_state(s, order_of_it(s, SMALL).text, "done");
}

static void a_newer_database_is_refused(void **state) {
    served *s = *state;
    sqlite3 *db;
    serve(s, NULL);
    assert_int_equal(end_serving(s, SIGTERM), 0);
    assert_int_equal(sqlite3_open(path_of("%s/mebi.db", s->folder.text).text, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_refuses(s, NULL, "was made by a newer mebi (version 99 of its tables; this one knows 1). Run that one");
    assert_int_not_equal(access(path_of("%s/mebi.db.broken-1", s->folder.text).text, F_OK), 0);
}

/* ---- the clock ---- */

static const char *find_faketime(void) {
    static const char *const places[] = {"/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
                                         "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
                                         "/usr/lib/faketime/libfaketimeMT.so.1"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (access(places[i], R_OK) == 0) return places[i];
    return NULL;
}

/* As the clock says it: the year in which a job was ordered. */
static int year_of(const served *s, const char *id) {
    json_t *o = get_json(s->port, path_of("/api/v1/jobs/%s", id).text);
    int year = atoi(text_at(o, "created"));
    json_decref(o);
    return year;
}

/* A server whose clock is what the file says. */
static void serve_by(served *s, const char *clock) {
    s->preload = find_faketime();
    if (!s->preload || SANITIZED) {
        print_message("skipped: %s\n", SANITIZED ? "faketime and the sanitizers can't be loaded together"
                                                 : "faketime is not installed");
        skip();
    }
    write_text(clock, "+0\n");
    setenv("FAKETIME_TIMESTAMP_FILE", clock, 1);
    setenv("FAKETIME_NO_CACHE", "1", 1);
    setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1", 1);
    serve(s, NULL);
}

static void the_clock_jumps(void **state) {
    served *s = *state;
    path_text clock = path_of("%s.clock", s->folder.text);
    serve_by(s, clock.text);
    path_text first = order_of_it(s, LONG), id[3];
    int year = year_of(s, first.text);
    double began = mebi__now_seconds();
    write_text(clock.text, "+365d\n");
    id[0] = order_of_it(s, SMALL);
    write_text(clock.text, "-1d\n");
    id[1] = order_of_it(s, SMALL);
    write_text(clock.text, "-400d\n");
    id[2] = order_of_it(s, SMALL);
    assert_int_equal(year_of(s, id[0].text), year + 1); /* the clock did jump */
    assert_true(year_of(s, id[2].text) < year);
    for (int i = 0; i < 3; i++) {
        json_t *o = get_json(s->port, path_of("/api/v1/jobs/%s", id[i].text).text);
        assert_int_equal(number_at(o, "position"), i + 1);
        json_decref(o);
    }
    assert_status(ask(s->port, path_of("DELETE /api/v1/jobs/%s", first.text).text, NULL), 200);
    for (int i = 0; i < 3; i++) await_state(s, id[i].text, "done");
    assert_true(mebi__now_seconds() - began < 30);
    json_t *o = get_json(s->port, "/api/v1/images"), *images = json_object_get(o, "images");
    for (int i = 0; i < 3; i++) /* the newest first, whatever the clock said */
        assert_string_equal(text_at(json_array_get(images, (size_t)i), "job"), id[2 - i].text);
    json_decref(o);
    assert_int_equal(end_serving(s, SIGTERM), 0);
    serve(s, NULL); /* set back by a year meanwhile */
    assert_true(pictures_of(s) >= 3);
    unsetenv("FAKETIME_TIMESTAMP_FILE");
    unlink(clock.text);
}

#define T(function) cmocka_unit_test_setup_teardown(function, begin, finish)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(a_second_one_is_refused),
        T(ports_that_cant_be_had),
        T(low_ports_need_rights),
        T(a_folder_of_others_is_refused),
        T(rights_are_taken_and_given_back),
        T(a_harmed_database_costs_no_picture),
        T(a_newer_database_is_refused),
        T(the_clock_jumps),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("calamities", tests, begin_cache, end_cache);
}

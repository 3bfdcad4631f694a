/* The server itself, with clients of all its APIs, killed at random moments, again and again: 5 times, or $MEBI_KILLS. At the
 * end the queue is emptied, and then: every order that a client was told of is in exactly one end state with exactly its
 * pictures; the database is sound; every listed picture decodes whole; and no file is left that nothing tells of. */
#include "serve_run.h"

#include "mebi/mebi.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

enum { CLIENTS = 6, MOST = 60000, ANSWER = 1 << 16 };

typedef struct order {
    char id[MEBI__JOB_ID];
    int count;       /* pictures */
} order;

typedef struct load {
    served s;
    atomic_int port, stopping; /* port 0: there is no server now */
    pthread_mutex_t lock;
    order *orders;
    int count;
    atomic_int refused, others, pictures_seen, trashed, removed, favourites, cancels, lost_answers;
} load;

typedef struct client {
    load *l;
    uint32_t dice;
    char answer[ANSWER];
} client;

static int dice(client *c, int sides) {
    c->dice = c->dice * 1664525u + 1013904223u;
    return (int)((c->dice >> 8) % (uint32_t)sides);
}

/* ---- asking, by threads that must not mind ---- */

/* Its own, for that of server_client.h is one thread's, and takes a lost server for a failure. Status; 0: no whole answer. */
static int say(client *c, const char *line, const char *data) {
    int port = c->l->port, status = 0;
    size_t have = 0;
    char text[2048];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = port ? socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    c->answer[0] = 0;
    if (fd < 0) return 0;
    int n = snprintf(text, sizeof text,
                     "%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n%s",
                     line, port, data ? strlen(data) : 0, data ? data : "");
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && send(fd, text, (size_t)n, MSG_NOSIGNAL) == n)
        for (ssize_t got; have + 1 < ANSWER && (got = recv(fd, c->answer + have, ANSWER - 1 - have, 0)) > 0;)
            have += (size_t)got;
    close(fd);
    c->answer[have] = 0;
    const char *end = strstr(c->answer, "\r\n\r\n"), *length = strcasestr(c->answer, "content-length: ");
    if (!end || sscanf(c->answer, "HTTP/1.1 %d", &status) != 1) return 0;
    /* An answer that the kill cut was not received. */
    if (length && have + 1 < ANSWER && strtoul(length + 16, NULL, 10) != have - (size_t)(end + 4 - c->answer)) return 0;
    return status;
}

/* The value of "name":"..." behind `from`; 0: there is none. */
static int find_text(const char *from, const char *name, char *to, size_t room) {
    char wanted[40];
    snprintf(wanted, sizeof wanted, "\"%s\":\"", name);
    const char *at = strstr(from, wanted);
    if (!at) return 0;
    at += strlen(wanted);
    snprintf(to, room, "%.*s", (int)strcspn(at, "\""), at);
    return 1;
}

static void note_order(load *l, const char *id, int count) {
    pthread_mutex_lock(&l->lock);
    if (l->count < MOST) {
        snprintf(l->orders[l->count].id, MEBI__JOB_ID, "%.47s", id);
        l->orders[l->count++].count = count;
    }
    pthread_mutex_unlock(&l->lock);
}

/* ---- what clients do ---- */

static const char *const prompts[] = {"a red apple", "ein Haus am See", "\u7eaf\u767d\u80cc\u666f"};

static int side(client *c) {
    return 64 + 16 * dice(c, 13);
}

static void order_here(client *c) {
    char text[400], id[MEBI__JOB_ID];
    int count = 1 + dice(c, 4);
    snprintf(text, sizeof text,
             "{\"prompt\":\"%s\",\"width\":%d,\"height\":%d,\"steps\":%d,\"count\":%d,\"cfg\":%d,\"preview_every\":%d,"
             "\"priority\":%d}",
             prompts[dice(c, 3)], side(c), side(c), 1 + dice(c, 3), count, dice(c, 2), dice(c, 2), dice(c, 3) - 1);
    int status = say(c, "POST /api/v1/jobs", text);
    if (status == 202 && find_text(c->answer, "id", id, sizeof id)) {
        note_order(c->l, id, count);
        if (dice(c, 6)) return;
        char line[100];
        snprintf(line, sizeof line, "DELETE /api/v1/jobs/%s", id);
        c->l->cancels += say(c, line, NULL) == 200;
    } else if (status) c->l->refused++;
    else c->l->lost_answers++;
}

/* These wait for their pictures; what comes with 200 is there for good. */
static void order_elsewhere(client *c) {
    char text[400];
    if (dice(c, 2)) {
        snprintf(text, sizeof text, "{\"prompt\":\"%s\",\"n\":%d,\"size\":\"%dx%d\",\"steps\":1,\"response_format\":\"url\"}",
                 prompts[dice(c, 3)], 1 + dice(c, 2), side(c), side(c));
        int status = say(c, "POST /v1/images/generations", text);
        c->l->others += status == 200;
        c->l->lost_answers += !status;
    } else {
        snprintf(text, sizeof text,
                 "{\"prompt\":\"%s\",\"width\":%d,\"height\":%d,\"steps\":1,\"cfg_scale\":1,\"send_images\":false}",
                 prompts[dice(c, 3)], side(c), side(c));
        int status = say(c, "POST /sdapi/v1/txt2img", text);
        c->l->others += status == 200;
        c->l->lost_answers += !status;
    }
}

static void touch_a_picture(client *c) {
    char line[120], id[MEBI__IMAGE_ID];
    const char *at = c->answer;
    if (say(c, dice(c, 2) ? "GET /api/v1/images?limit=6" : "GET /api/v1/images?limit=6&trashed=1", NULL) != 200) return;
    at = strstr(at, "\"images\":[");
    for (int skip = dice(c, 4); at && skip > 0; skip--) at = strstr(at + 1, "{\"id\":");
    if (!at || !find_text(at, "id", id, sizeof id)) return;
    switch (dice(c, 5)) {
    case 0:
        snprintf(line, sizeof line, "DELETE /api/v1/images/%s", id);
        c->l->trashed += say(c, line, NULL) == 200;
        break;
    case 1:
        snprintf(line, sizeof line, "DELETE /api/v1/images/%s?forever=1", id);
        c->l->removed += say(c, line, NULL) / 100 == 2;
        break;
    case 2:
        snprintf(line, sizeof line, "POST /api/v1/images/%s/restore", id);
        say(c, line, NULL);
        break;
    case 3:
        snprintf(line, sizeof line, "GET /api/v1/images/%s/thumbnail", id);
        c->l->pictures_seen += say(c, line, NULL) == 200;
        break;
    default:
        snprintf(line, sizeof line, "PATCH /api/v1/images/%s", id);
        c->l->favourites += say(c, line, "{\"favourite\":true}") == 200;
    }
}

static void *be_a_client(void *context) {
    client *c = context;
    while (!c->l->stopping) {
        int what = dice(c, 10);
        if (!c->l->port) nap_ms(2);
        else if (what < 4) order_here(c);
        else if (what < 5) order_elsewhere(c);
        else touch_a_picture(c);
        nap_ms(dice(c, 12));
    }
    return NULL;
}

/* ---- killing ---- */

/* Of the processor. */
static int worked_ms(pid_t pid) {
    unsigned long user = 0, system = 0;
    char text[1024];
    FILE *f = fopen(path_of("/proc/%d/stat", (int)pid).text, "re");
    const char *end = f && fgets(text, sizeof text, f) ? strrchr(text, ')') : NULL;
    if (f) fclose(f);
    if (!end || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2) return 0;
    return (int)(1000 * (user + system) / (unsigned long)sysconf(_SC_CLK_TCK));
}

/* Until it has worked so long: on a busy machine it would get nowhere in a time by the clock. */
static void let_it_work(pid_t pid, int ms) {
    int until = worked_ms(pid) + ms;
    for (int i = 0; i < 10000 && worked_ms(pid) < until; i++) nap_ms(2);
}

static void kill_and_restart(load *l, int round) {
    uint32_t bits = (uint32_t)mebi__random_bits();
    int code = 0;
    begin_serving(&l->s, (const char *const[]){"--queue-limit", "12", "--log", "none", NULL});
    /* One in five dies in the repair of what the last kill left. */
    if (bits % 5 == 0 && round > 0) nap_ms((int)(bits >> 8) % 60);
    else {
        if (!comes_up(&l->s, &code)) fail_msg("It ended with %d: %s", code, l->s.said);
        l->port = l->s.port;
        let_it_work(l->s.pid, (int)(bits >> 8) % 1000);
    }
    l->port = 0;
    assert_int_equal(end_serving(&l->s, SIGKILL), -SIGKILL);
    if (access(path_of("%s/mebi.db.broken-1", l->s.folder.text).text, F_OK) == 0)
        fail_msg("The database was taken for broken in round %d: %s", round, what_it_said(&l->s));
}

/* ---- looking at what is left ---- */

static sqlite3 *open_database(const load *l) {
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path_of("%s/mebi.db", l->s.folder.text).text, &db), SQLITE_OK);
    return db;
}

static int64_t count_of(sqlite3 *db, const char *sql, const char *value) {
    sqlite3_stmt *q;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK) fail_msg("%s", sqlite3_errmsg(db));
    if (value) sqlite3_bind_text(q, 1, value, -1, SQLITE_TRANSIENT);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    if (strcmp(sql, "PRAGMA integrity_check") == 0)
        assert_string_equal((const char *)sqlite3_column_text(q, 0), "ok");
    int64_t n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return n;
}

/* One end, told once; as many pictures made as were ordered, if it was done; rows only of those that were made. */
static void check_order(sqlite3 *db, const order *o) {
    if (count_of(db, "SELECT count(*) FROM jobs WHERE id = ?", o->id) != 1) fail_msg("job %s is lost", o->id);
    int64_t state = count_of(db, "SELECT state FROM jobs WHERE id = ?", o->id);
    int64_t made = count_of(db, "SELECT made FROM jobs WHERE id = ?", o->id);
    int64_t rows = count_of(db, "SELECT count(*) FROM images WHERE job = ?", o->id);
    if (state < 2 || state > 4) fail_msg("job %s has not ended: %d", o->id, (int)state);
    if (state == 2 && made != o->count) fail_msg("job %s made %d of %d", o->id, (int)made, o->count);
    if (rows > made || made > o->count) fail_msg("job %s has %d rows, made %d", o->id, (int)rows, (int)made);
    if (count_of(db, "SELECT count(*) FROM events WHERE kind IN (6, 7, 8) AND job = ?", o->id) != 1)
        fail_msg("job %s has not one end", o->id);
    /* Of a picture that was made and has no row, somebody removed it; each was told once. */
    if (count_of(db, "SELECT count(*) FROM events WHERE kind = 5 AND job = ?", o->id) != made)
        fail_msg("job %s told of other pictures than it made", o->id);
    if (state == 3 && !count_of(db, "SELECT message LIKE '%got no further%' FROM jobs WHERE id = ?", o->id))
        fail_msg("job %s failed for another reason than the kills", o->id);
}

/* Every file below is a picture's of the table, in its place, and decodes. */
static int check_files(sqlite3 *db, const char *path, const char *ending, const char *sql) {
    DIR *d = opendir(path);
    int count = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        path_text inner = path_of("%.3000s/%.250s", path, e->d_name), id = path_of("%.250s", e->d_name);
        struct stat about;
        assert_int_equal(lstat(inner.text, &about), 0);
        if (S_ISDIR(about.st_mode)) {
            count += check_files(db, inner.text, ending, sql);
            continue;
        }
        size_t length = strlen(id.text), tail = strlen(ending);
        if (length <= tail || strcmp(id.text + length - tail, ending) != 0) fail_msg("%s was left behind", inner.text);
        id.text[length - tail] = 0;
        if (!count_of(db, sql, id.text)) fail_msg("%s belongs to nothing", inner.text);
        count++;
        mebi_image image = {0};
        mebi_error err = {0};
        if (strcmp(ending, ".png") != 0) continue;
        assert_mebi_ok(mebi_png_load(inner.text, &image, &err), &err);
        mebi_image_release(&image);
    }
    closedir(d);
    return count;
}

static void check_all(load *l, int kills) {
    sqlite3 *db = open_database(l);
    const char *folder = l->s.folder.text;
    count_of(db, "PRAGMA integrity_check", NULL);
    for (int i = 0; i < l->count; i++) check_order(db, &l->orders[i]);
    int shown = check_files(db, path_of("%s/images", folder).text, ".png", "SELECT count(*) FROM images WHERE place = 0 AND id = ?");
    int trashed = check_files(db, path_of("%s/trash", folder).text, ".png", "SELECT count(*) FROM images WHERE place = 1 AND id = ?");
    check_files(db, path_of("%s/thumbnails", folder).text, ".jpg", "SELECT count(*) FROM images WHERE id = ?");
    assert_int_equal(check_files(db, path_of("%s/work", folder).text, ".latents", "SELECT 0"), 0);
    assert_int_equal(count_of(db, "SELECT count(*) FROM images WHERE place = 0", NULL), shown);
    assert_int_equal(count_of(db, "SELECT count(*) FROM images WHERE place = 1", NULL), trashed);
    assert_int_equal(count_of(db, "SELECT count(*) FROM images WHERE place > 1", NULL), 0);
    assert_int_equal(count_of(db, "SELECT count(*) FROM jobs WHERE state < 2", NULL), 0);
    print_message("%d kills; %d orders told of, %d jobs in all: %d done, %d failed, %d cancelled; %d begun more than once\n",
                  kills, l->count, (int)count_of(db, "SELECT count(*) FROM jobs", NULL),
                  (int)count_of(db, "SELECT count(*) FROM jobs WHERE state = 2", NULL),
                  (int)count_of(db, "SELECT count(*) FROM jobs WHERE state = 3", NULL),
                  (int)count_of(db, "SELECT count(*) FROM jobs WHERE state = 4", NULL),
                  (int)count_of(db, "SELECT count(*) FROM jobs WHERE attempts > 1", NULL));
    print_message("%d pictures shown, %d in the trash, %d removed, %d thumbnails read, %d favourites; %d answers of other "
                  "APIs, %d refused, %d cut off\n",
                  shown, trashed, l->removed, l->pictures_seen, l->favourites, l->others, l->refused, l->lost_answers);
    sqlite3_close(db);
}

static void await_empty_queue(load *l) {
    serve(&l->s, (const char *const[]){"--log", "none", NULL});
    for (int i = 0; i < 6000; i++, nap_ms(50)) {
        json_t *o = get_json(l->s.port, "/api/v1/jobs?state=queued,running&limit=1");
        size_t left = json_array_size(json_object_get(o, "jobs"));
        json_decref(o);
        if (!left) break;
    }
    assert_int_equal(end_serving(&l->s, SIGTERM), 0);
}

static void no_kill_loses_anything(void **state) {
    const char *wanted = getenv("MEBI_KILLS");
    int kills = wanted && atoi(wanted) > 0 ? atoi(wanted) : 5;
    load *l = take_bytes(sizeof *l);
    pthread_t thread[CLIENTS];
    client *c = take_bytes(CLIENTS * sizeof *c);
    (void)state;
    l->s.folder = make_folder();
    l->orders = take_bytes(MOST * sizeof *l->orders);
    pthread_mutex_init(&l->lock, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        c[i].l = l;
        c[i].dice = (uint32_t)mebi__random_bits();
        assert_int_equal(pthread_create(&thread[i], NULL, be_a_client, &c[i]), 0);
    }
    /* Once in peace, for the first job measures the machine. */
    serve(&l->s, (const char *const[]){"--log", "none", NULL});
    path_text first = order_of_it(&l->s, "{\"prompt\":\"x\",\"width\":64,\"height\":64,\"steps\":1,\"count\":4}");
    await_state(&l->s, first.text, "done");
    note_order(l, first.text, 4);
    assert_int_equal(end_serving(&l->s, SIGTERM), 0);
    for (int n = 0; n < kills; n++) kill_and_restart(l, n);
    l->stopping = 1;
    for (int i = 0; i < CLIENTS; i++) pthread_join(thread[i], NULL);
    await_empty_queue(l);
    check_all(l, kills);
    assert_true(l->count > 0);
    forget_server(&l->s);
    free(l->orders);
    free(l);
    free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_kill_loses_anything)};
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("the server, killed", tests, begin_cache, end_cache);
}

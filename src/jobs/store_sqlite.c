/* The store on SQLite: jobs and events (pictures: store_images.c). Must never say that something was
 * written before the disk has it, and never delete a database.
 *
 *                      +-----------> cancelled
 *                      |                 ^
 *     accept --> queued -----start--> running --finish--> done
 *                  ^   \                 |  \
 *                  |    +--> failed      |   +----------> failed
 *                  +-------requeue-------+
 *
 *  1. Every arrow is one transaction, with its durable event in it.
 *  2. An arrow is taken only from the state at its foot: the UPDATE names it, and one row must change.
 *  3. done, failed and cancelled are left by no arrow, so that each job has exactly one end and exactly one
 *     event DONE, FAILED or CANCELLED.
 *  4. At most one job is running; after a start of the process, none (repair.c requeues it).
 *  5. A job asked to be cancelled while it ran is never requeued: repair.c finishes it.
 *  6. Rows rise in the order of acceptance, events in the order in which they were told; neither is ever
 *     given twice, whatever the clock says.
 *  7. A picture's row is written after its file has its name; `made` counts them in the same transaction.
 *
 * Two connections: one writes, under the caller's lock; one reads, under the store's, and sees what is committed. */
#include "jobs/store.h"

#include "base/memory.h"
#include "base/os.h"
#include "jobs/codec.h"
#include "jobs/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SCHEMA = 1, GENERATIONS = 10000 };

struct mebi__store {
    sqlite3 *writer, *reader;
    pthread_mutex_t reading;
};

static const char schema[] =
    "CREATE TABLE jobs (row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    " state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4), client TEXT NOT NULL,"
    " priority INTEGER NOT NULL, request TEXT NOT NULL, plan TEXT, created_ms INTEGER NOT NULL,"
    " started_ms INTEGER NOT NULL DEFAULT 0, finished_ms INTEGER NOT NULL DEFAULT 0,"
    " attempts INTEGER NOT NULL DEFAULT 0, fruitless INTEGER NOT NULL DEFAULT 0,"
    " made INTEGER NOT NULL DEFAULT 0, cancelling INTEGER NOT NULL DEFAULT 0,"
    " status INTEGER NOT NULL DEFAULT 0, code TEXT NOT NULL DEFAULT '',"
    " message TEXT NOT NULL DEFAULT '', notices TEXT NOT NULL DEFAULT '[]',"
    " peak_bytes INTEGER NOT NULL DEFAULT 0, seconds TEXT NOT NULL DEFAULT '[]',"
    " total_seconds REAL NOT NULL DEFAULT 0) STRICT;"
    "CREATE INDEX jobs_by_state ON jobs (state, row);"
    "CREATE TABLE events (id INTEGER PRIMARY KEY, job TEXT NOT NULL, kind INTEGER NOT NULL,"
    " position INTEGER NOT NULL, seconds_left REAL NOT NULL, image TEXT NOT NULL,"
    " code TEXT NOT NULL, message TEXT NOT NULL) STRICT;"
    "CREATE INDEX events_by_job ON events (job, id);"
    "CREATE TABLE numbers (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;";

/* ---- opening ---- */

static int is_broken(sqlite3 *db) {
    int code = sqlite3_errcode(db) & 0xff;
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

static mebi_status configure(sqlite3 *db, mebi_error *err) {
    sqlite3_busy_timeout(db, 5000);
    MEBI_TRY(mebi__sql_run(db, err, "PRAGMA journal_mode = WAL", ""));
    MEBI_TRY(mebi__sql_run(db, err, "PRAGMA synchronous = FULL", ""));
    return mebi__sql_run(db, err, "PRAGMA trusted_schema = OFF", "");
}

/* MEBI_BAD_FILE with what is wrong, if something is. */
static mebi_status check(sqlite3 *db, mebi_error *err) {
    sqlite3_stmt *q = mebi__sql_ask(db, err, "PRAGMA quick_check(1)", "");
    if (!q) return is_broken(db) ? MEBI_BAD_FILE : MEBI_IO;
    int more = mebi__sql_step(db, q, err);
    const char *words = more > 0 ? (const char *)sqlite3_column_text(q, 0) : NULL;
    mebi_status status = MEBI_OK;
    if (more < 0) status = is_broken(db) ? MEBI_BAD_FILE : MEBI_IO;
    else if (!words || strcmp(words, "ok") != 0)
        status = mebi__fail(err, MEBI_BAD_FILE, "%.150s", words ? words : "it can't be checked");
    sqlite3_finalize(q);
    return status;
}

static mebi_status make_schema(sqlite3 *db, int generation, mebi_error *err) {
    MEBI_TRY(mebi__sql_begin(db, err));
    mebi_status status = MEBI_OK;
    char version[60];
    snprintf(version, sizeof version, "PRAGMA user_version = %d", SCHEMA);
    if (sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(db, mebi__store_images_schema, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(db, version, NULL, NULL, NULL) != SQLITE_OK)
        status = mebi__sql_failed(db, "Making the database failed", err);
    /* So far apart that ids of an older database are never given again, and below 2^53. */
    if (status == MEBI_OK)
        status = mebi__sql_run(db, err, "INSERT INTO numbers VALUES ('event', ?)", "i",
                               (int64_t)generation * ((int64_t)1 << 36) + 1);
    return mebi__sql_end(db, status, err);
}

static mebi_status open_both(const char *path, mebi__store *store, mebi__store_opened *opened,
                             mebi_error *err) {
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
    int64_t version;
    if (sqlite3_open_v2(path, &store->writer, flags | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
        return mebi__sql_failed(store->writer, "Opening the database failed", err);
    MEBI_TRY(configure(store->writer, err));
    MEBI_TRY(mebi__sql_number(store->writer, err, 0, &version, "PRAGMA user_version", ""));
    if (version > SCHEMA)
        return mebi__fail(err, MEBI_UNSUPPORTED,
                          "%.300s was made by a newer mebi (version %d of its tables; this one knows "
                          "%d). Run that one, or choose another data folder.",
                          path, (int)version, SCHEMA);
    MEBI_TRY(check(store->writer, err));
    opened->fresh = version == 0;
    if (opened->fresh) MEBI_TRY(make_schema(store->writer, opened->generation, err));
    if (sqlite3_open_v2(path, &store->reader, flags, NULL) != SQLITE_OK)
        return mebi__sql_failed(store->reader, "Opening the database failed", err);
    sqlite3_busy_timeout(store->reader, 5000);
    return mebi__sql_run(store->reader, err, "PRAGMA query_only = ON", "");
}

static void close_both(mebi__store *store) {
    sqlite3_close(store->reader);
    sqlite3_close(store->writer);
    store->reader = store->writer = NULL;
}

/* The first free number from 1 on, less one: so many were put aside. */
static int count_aside(const char *path) {
    char name[4200];
    for (int n = 1; n < GENERATIONS; n++) {
        snprintf(name, sizeof name, "%s.broken-%d", path, n);
        if (access(name, F_OK) != 0) return n - 1;
    }
    return GENERATIONS;
}

/* SQLite takes a log whose head is no head for an empty one, and says nothing. */
static mebi_status look_at_log(const char *path, mebi__store_opened *opened, mebi_error *err) {
    char from[4200], to[4200];
    unsigned char head[4] = {0};
    struct stat about;
    snprintf(from, sizeof from, "%s-wal", path);
    int fd = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return MEBI_OK;
    int harmed = fstat(fd, &about) == 0 && about.st_size >= 32 && pread(fd, head, 4, 0) == 4 &&
                 (memcmp(head, "\x37\x7f\x06", 3) != 0 || (head[3] | 1) != 0x83);
    close(fd);
    if (!harmed) return MEBI_OK;
    int n = count_aside(path) + 1;
    snprintf(to, sizeof to, "%s.broken-%d-wal", path, n);
    if (rename(from, to) != 0)
        return mebi__fail(err, MEBI_IO, "The harmed log %.300s can't be put aside: %s.", from,
                          strerror(errno));
    snprintf(opened->log_aside, sizeof opened->log_aside, "mebi.db.broken-%d-wal", n);
    return MEBI_OK;
}

/* The database and what belongs to it, which could repair it by other means. */
static mebi_status put_aside(const char *path, mebi__store_opened *opened, mebi_error *err) {
    static const char *const endings[] = {"-wal", "-shm", ""};
    char from[4200], to[4200];
    int n = count_aside(path) + 1;
    for (int i = 0; i < 3; i++) {
        snprintf(from, sizeof from, "%s%s", path, endings[i]);
        snprintf(to, sizeof to, "%s.broken-%d%s", path, n, endings[i]);
        if (rename(from, to) != 0 && errno != ENOENT)
            return mebi__fail(err, MEBI_IO, "The broken database %.300s can't be put aside: %s.",
                              path, strerror(errno));
    }
    opened->generation = n;
    snprintf(opened->aside, sizeof opened->aside, "mebi.db.broken-%d", n);
    return MEBI_OK;
}

mebi_status mebi__store_open(const char *path, mebi__store **out, mebi__store_opened *opened,
                             mebi_error *err) {
    mebi_error own = {0};
    *out = NULL;
    *opened = (mebi__store_opened){.generation = count_aside(path)};
    mebi__store *store = mebi__alloc(MEBI__TAG_GENERAL, sizeof *store);
    if (!store) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the database.");
    mebi_status status = look_at_log(path, opened, &own);
    if (status == MEBI_OK) status = open_both(path, store, opened, &own);
    if (status == MEBI_BAD_FILE) {
        snprintf(opened->why, sizeof opened->why, "%.190s", own.text);
        close_both(store);
        own = (mebi_error){0};
        status = put_aside(path, opened, &own);
        if (status == MEBI_OK) status = open_both(path, store, opened, &own);
    }
    if (status != MEBI_OK) {
        close_both(store);
        mebi__free(store);
        return mebi__fail(err, status, "%s", own.text);
    }
    pthread_mutex_init(&store->reading, NULL);
    *out = store;
    return MEBI_OK;
}

void mebi__store_close(mebi__store **store) {
    if (!*store) return;
    close_both(*store);
    pthread_mutex_destroy(&(*store)->reading);
    mebi__free(*store);
    *store = NULL;
}

sqlite3 *mebi__store_reader(mebi__store *store) {
    pthread_mutex_lock(&store->reading);
    return store->reader;
}

void mebi__store_read(mebi__store *store) {
    pthread_mutex_unlock(&store->reading);
}

sqlite3 *mebi__store_writer(mebi__store *store) {
    return store->writer;
}

/* ---- numbers ---- */

mebi_status mebi__store_reserve_events(mebi__store *store, int64_t count, int64_t *first,
                                       mebi_error *err) {
    sqlite3 *db = store->writer;
    MEBI_TRY(mebi__sql_begin(db, err));
    mebi_status status =
        mebi__sql_number(db, err, 1, first, "SELECT value FROM numbers WHERE name = 'event'", "");
    if (status == MEBI_OK)
        status = mebi__sql_run(db, err, "INSERT OR REPLACE INTO numbers VALUES ('event', ?)", "i",
                               *first + count);
    return mebi__sql_end(db, status, err);
}

int mebi__store_shrink(mebi__store *store) {
    mebi_error err = {0};
    (void)mebi__store_reader(store); /* who reads keeps the log */
    mebi_status status = mebi__sql_run(store->writer, &err, "PRAGMA wal_checkpoint(TRUNCATE)", "");
    mebi__store_read(store);
    return status == MEBI_OK;
}

mebi_status mebi__store_try(mebi__store *store, mebi_error *err) {
    /* SQLite writes nothing where nothing changes. */
    return mebi__sql_run(store->writer, err,
                         "INSERT INTO numbers VALUES ('try', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1", "");
}

mebi_status mebi__store_last_row(mebi__store *store, int64_t *row, mebi_error *err) {
    return mebi__sql_number(store->writer, err, 0, row,
                            "SELECT seq FROM sqlite_sequence WHERE name = 'jobs'", "");
}

mebi_status mebi__store_hurry(mebi__store *store, int hurry, mebi_error *err) {
    /* In WAL mode NORMAL leaves out the sync of each commit, and no more. */
    if (hurry) return mebi__sql_run(store->writer, err, "PRAGMA synchronous = NORMAL", "");
    MEBI_TRY(mebi__sql_run(store->writer, err, "PRAGMA synchronous = FULL", ""));
    return mebi__sql_run(store->writer, err, "PRAGMA wal_checkpoint(TRUNCATE)", "");
}

mebi_status mebi__store_forget_events(mebi__store *store, int64_t jobs, mebi_error *err) {
    return mebi__sql_run(store->writer, err,
                         "DELETE FROM events WHERE job IN (SELECT id FROM jobs WHERE state > 1 AND "
                         "row <= (SELECT max(row) FROM jobs) - ?)",
                         "i", jobs);
}

mebi_status mebi__store_write_event(sqlite3 *db, const mebi__event *e, mebi_error *err) {
    if (!e) return MEBI_OK;
    return mebi__sql_run(db, err, "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", "itiidttt",
                         e->id, e->job, (int64_t)e->kind, (int64_t)e->position, e->seconds_left,
                         e->image, e->code, e->message);
}

/* ---- moves ---- */

/* Invariant 2. */
static mebi_status changed_one(sqlite3 *db, int64_t row, mebi_error *err) {
    if (sqlite3_changes(db) == 1) return MEBI_OK;
    return mebi__fail(err, MEBI_INTERNAL, "Job %" PRId64 " is not in the state that it should leave.",
                      row);
}

static mebi_status end_move(sqlite3 *db, int64_t row, mebi_status status, const mebi__event *event,
                            mebi_error *err) {
    if (status == MEBI_OK) status = changed_one(db, row, err);
    if (status == MEBI_OK) status = mebi__store_write_event(db, event, err);
    return mebi__sql_end(db, status, err);
}

mebi_status mebi__store_accept(mebi__store *store, const mebi__job *j, const mebi__event *event,
                               mebi_error *err) {
    sqlite3 *db = store->writer;
    char *request = mebi__codec_write_request(&j->request);
    char *plan = j->planned ? mebi__codec_write_plan(&j->plan) : NULL;
    mebi_status status = MEBI_OK;
    if (!request || (j->planned && !plan))
        status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for a job.");
    if (status == MEBI_OK) status = mebi__sql_begin(db, err);
    if (status == MEBI_OK) {
        status = mebi__sql_run(db, err,
                               "INSERT INTO jobs (row, id, state, client, priority, request, plan,"
                               " created_ms, finished_ms, made) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                               "itititti" "ii",
                               j->row, j->id, (int64_t)j->state, j->client, (int64_t)j->priority,
                               request, plan, j->created_ms, j->finished_ms, (int64_t)j->made);
        status = end_move(db, j->row, status, event, err);
    }
    free(request);
    free(plan);
    return status;
}

mebi_status mebi__store_start(mebi__store *store, int64_t row, int64_t now_ms,
                              const mebi__event *event, mebi_error *err) {
    sqlite3 *db = store->writer;
    MEBI_TRY(mebi__sql_begin(db, err));
    /* Fruitless until something shows otherwise: who is killed can't say so any more. */
    mebi_status status = mebi__sql_run(
        db, err,
        "UPDATE jobs SET state = 1, attempts = attempts + 1, fruitless = fruitless + 1,"
        " started_ms = CASE started_ms WHEN 0 THEN ? ELSE started_ms END WHERE row = ? AND state = 0",
        "ii", now_ms, row);
    return end_move(db, row, status, event, err);
}

mebi_status mebi__store_requeue(mebi__store *store, int64_t row, int fruitless,
                                const mebi__event *event, mebi_error *err) {
    sqlite3 *db = store->writer;
    MEBI_TRY(mebi__sql_begin(db, err));
    mebi_status status = mebi__sql_run(
        db, err,
        "UPDATE jobs SET state = 0, fruitless = max(0, fruitless - ?) WHERE row = ? AND state = 1", "ii",
        (int64_t)!fruitless, row);
    return end_move(db, row, status, event, err);
}

mebi_status mebi__store_finish(mebi__store *store, const mebi__job *j, mebi__job_state from,
                               mebi__job_state to, const mebi__event *event, mebi_error *err) {
    sqlite3 *db = store->writer;
    char *seconds = mebi__codec_write_numbers(j->seconds, MEBI_STAGE_COUNT);
    mebi_status status =
        seconds ? MEBI_OK : mebi__fail(err, MEBI_NO_MEMORY, "No memory for a job's end.");
    if (status == MEBI_OK) status = mebi__sql_begin(db, err);
    if (status == MEBI_OK) {
        status = mebi__sql_run(
            db, err,
            "UPDATE jobs SET state = ?, status = ?, code = ?, message = ?, peak_bytes = ?,"
            " seconds = ?, total_seconds = ?, finished_ms = ? WHERE row = ? AND state = ?",
            "iittitdiii", (int64_t)to, (int64_t)j->status, j->code, j->message,
            (int64_t)j->peak_bytes, seconds, j->total_seconds, j->finished_ms, j->row,
            (int64_t)from);
        status = end_move(db, j->row, status, event, err);
    }
    free(seconds);
    return status;
}

mebi_status mebi__store_ask_cancel(mebi__store *store, int64_t row, mebi_error *err) {
    sqlite3 *db = store->writer;
    MEBI_TRY(mebi__sql_begin(db, err));
    mebi_status status = mebi__sql_run(
        db, err, "UPDATE jobs SET cancelling = 1 WHERE row = ? AND state = 1", "i", row);
    return end_move(db, row, status, NULL, err);
}

mebi_status mebi__store_fruitful(mebi__store *store, int64_t row, mebi_error *err) {
    return mebi__sql_run(store->writer, err, "UPDATE jobs SET fruitless = 0 WHERE row = ?", "i", row);
}

mebi_status mebi__store_notice(mebi__store *store, const mebi__job *j, const mebi__event *event,
                               mebi_error *err) {
    sqlite3 *db = store->writer;
    char *notices = mebi__codec_write_texts(j->notice, j->notices);
    mebi_status status =
        notices ? MEBI_OK : mebi__fail(err, MEBI_NO_MEMORY, "No memory for a notice.");
    if (status == MEBI_OK) status = mebi__sql_begin(db, err);
    if (status == MEBI_OK) {
        status = mebi__sql_run(db, err, "UPDATE jobs SET notices = ? WHERE row = ?", "ti", notices,
                               j->row);
        status = end_move(db, j->row, status, event, err);
    }
    free(notices);
    return status;
}

/* ---- reading ---- */

static const char job_columns[] =
    "SELECT row, id, state, client, priority, request, plan, created_ms, started_ms, finished_ms,"
    " attempts, fruitless, made, cancelling, status, code, message, notices, peak_bytes, seconds,"
    " total_seconds FROM jobs ";

static const char *text_at(sqlite3_stmt *q, int column) {
    const char *text = (const char *)sqlite3_column_text(q, column);
    return text ? text : "";
}

static void copy(char *out, size_t bytes, const char *text) {
    snprintf(out, bytes, "%s", text);
}

static int read_numbers(sqlite3_stmt *q, mebi__job *j) {
    int state = sqlite3_column_int(q, 2);
    if (state < 0 || state >= MEBI__JOB_STATES) return 0;
    j->row = sqlite3_column_int64(q, 0);
    j->state = (mebi__job_state)state;
    j->priority = sqlite3_column_int(q, 4);
    j->created_ms = sqlite3_column_int64(q, 7);
    j->started_ms = sqlite3_column_int64(q, 8);
    j->finished_ms = sqlite3_column_int64(q, 9);
    j->attempts = sqlite3_column_int(q, 10);
    j->fruitless = sqlite3_column_int(q, 11);
    j->made = sqlite3_column_int(q, 12);
    j->cancelling = sqlite3_column_int(q, 13);
    j->status = (mebi_status)sqlite3_column_int(q, 14);
    j->peak_bytes = (size_t)sqlite3_column_int64(q, 18);
    j->total_seconds = sqlite3_column_double(q, 20);
    j->queue_seconds = -1;
    return 1;
}

/* Of a job whose row was harmed: it is shown, and can't be made. */
static int lose_request(mebi__job *j) {
    mebi__free((char *)j->request.prompt);
    mebi__free((char *)j->request.negative_prompt);
    j->request = (mebi_request){.width = 1, .height = 1, .steps = 1, .count = 1,
                                .prompt = mebi__copy_string("", 0),
                                .negative_prompt = mebi__copy_string("", 0)};
    j->unreadable = 1;
    return j->request.prompt && j->request.negative_prompt;
}

static mebi__job *read_job(sqlite3_stmt *q, mebi_error *err) {
    mebi__job *j = mebi__alloc(MEBI__TAG_GENERAL, sizeof *j);
    if (!j) {
        (void)mebi__fail(err, MEBI_NO_MEMORY, "No memory for a job.");
        return NULL;
    }
    copy(j->id, sizeof j->id, text_at(q, 1));
    copy(j->client, sizeof j->client, text_at(q, 3));
    copy(j->code, sizeof j->code, text_at(q, 15));
    copy(j->message, sizeof j->message, text_at(q, 16));
    if (!read_numbers(q, j) ||
        (!mebi__codec_read_request(text_at(q, 5), &j->request) && !lose_request(j))) {
        (void)mebi__fail(err, MEBI_BAD_FILE, "Job %s can't be read from the database.", j->id);
        mebi__job_free(&j);
        return NULL;
    }
    j->planned = sqlite3_column_type(q, 6) != SQLITE_NULL &&
                 mebi__codec_read_plan(text_at(q, 6), &j->plan);
    j->notices = mebi__codec_read_texts(text_at(q, 17), j->notice, MEBI__JOB_NOTICES);
    mebi__codec_read_numbers(text_at(q, 19), j->seconds, MEBI_STAGE_COUNT);
    return j;
}

mebi_status mebi__store_job(mebi__store *store, const char *id, mebi__job **job, mebi_error *err) {
    mebi_error own = {0};
    char sql[600];
    *job = NULL;
    snprintf(sql, sizeof sql, "%s WHERE id = ?", job_columns);
    sqlite3 *db = mebi__store_reader(store);
    sqlite3_stmt *q = mebi__sql_ask(db, &own, sql, "t", id);
    if (q && mebi__sql_step(db, q, &own) > 0) *job = read_job(q, &own);
    sqlite3_finalize(q);
    if (*job && own.status == MEBI_OK) (void)!mebi__store_job_images(db, *job, &own);
    mebi__store_read(store);
    if (own.status == MEBI_OK) return MEBI_OK;
    mebi__job_free(job);
    return mebi__fail(err, own.status, "%s", own.text);
}

static mebi_status read_list(sqlite3 *db, sqlite3_stmt *q, int limit, mebi__job_list *list,
                             mebi_error *err) {
    list->job = mebi__alloc_array(MEBI__TAG_GENERAL, (size_t)limit, sizeof *list->job);
    if (!list->job) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for %d jobs.", limit);
    int more = 0;
    while (list->count < limit && (more = mebi__sql_step(db, q, err)) > 0) {
        mebi__job *j = read_job(q, err);
        if (!j) return MEBI_BAD_FILE;
        list->job[list->count++] = j;
    }
    return more < 0 ? MEBI_IO : MEBI_OK;
}

mebi_status mebi__store_jobs(mebi__store *store, unsigned states, int descending, int64_t cursor,
                             int limit, mebi__job_list *list, mebi_error *err) {
    mebi_error own = {0};
    char sql[800], wanted[40] = "9";
    for (int s = 0; s < MEBI__JOB_STATES; s++)
        if (states & 1u << s) snprintf(strchr(wanted, 0), 4, ",%d", s);
    snprintf(sql, sizeof sql, "%s WHERE state IN (%s) AND row %c ? ORDER BY row %s LIMIT ?",
             job_columns, wanted, descending ? '<' : '>', descending ? "DESC" : "ASC");
    if (descending && cursor == 0) cursor = INT64_MAX;
    *list = (mebi__job_list){0};
    sqlite3 *db = mebi__store_reader(store);
    sqlite3_stmt *q = mebi__sql_ask(db, &own, sql, "ii", cursor, (int64_t)limit);
    if (q) (void)!read_list(db, q, limit, list, &own);
    sqlite3_finalize(q);
    for (int i = 0; i < list->count && own.status == MEBI_OK; i++)
        (void)!mebi__store_job_images(db, list->job[i], &own);
    mebi__store_read(store);
    if (own.status == MEBI_OK) return MEBI_OK;
    mebi__job_list_free(list);
    return mebi__fail(err, own.status, "%s", own.text);
}

static void read_event(sqlite3_stmt *q, mebi__event *e) {
    int kind = sqlite3_column_int(q, 2);
    *e = (mebi__event){.id = sqlite3_column_int64(q, 0),
                       .kind = (mebi__event_kind)(kind >= 0 && kind < MEBI__EVENT_KINDS
                                                      ? kind
                                                      : MEBI__EVENT_QUEUE),
                       .position = sqlite3_column_int(q, 3),
                       .seconds_left = sqlite3_column_double(q, 4)};
    copy(e->job, sizeof e->job, text_at(q, 1));
    copy(e->image, sizeof e->image, text_at(q, 5));
    copy(e->code, sizeof e->code, text_at(q, 6));
    copy(e->message, sizeof e->message, text_at(q, 7));
}

mebi_status mebi__store_events(mebi__store *store, const char *job, int64_t after, int64_t before,
                               mebi__event *events, int limit, int *count, mebi_error *err) {
    mebi_error own = {0};
    *count = 0;
    sqlite3 *db = mebi__store_reader(store);
    sqlite3_stmt *q =
        job ? mebi__sql_ask(db, &own,
                            "SELECT * FROM events WHERE job = ? AND id > ? AND id < ? ORDER BY id LIMIT ?",
                            "tiii", job, after, before, (int64_t)limit)
            : mebi__sql_ask(db, &own,
                            "SELECT * FROM events WHERE id > ? AND id < ? ORDER BY id LIMIT ?", "iii",
                            after, before, (int64_t)limit);
    while (q && *count < limit && mebi__sql_step(db, q, &own) > 0) read_event(q, &events[(*count)++]);
    sqlite3_finalize(q);
    mebi__store_read(store);
    return own.status == MEBI_OK ? MEBI_OK : mebi__fail(err, own.status, "%s", own.text);
}

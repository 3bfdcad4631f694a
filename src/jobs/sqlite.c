/* SQLite in a few calls. Must never hide a failure: what could not be written was not accepted. */
#include "jobs/sqlite.h"

#include <stdarg.h>
#include <string.h>

mebi_status mebi__sql_failed(sqlite3 *db, const char *doing, mebi_error *err) {
    int code = db ? sqlite3_errcode(db) & 0xff : SQLITE_NOMEM;
    const char *words = db ? sqlite3_errmsg(db) : "out of memory";
    const char *file = db ? sqlite3_db_filename(db, "main") : NULL;
    if (!file || !*file) file = "mebi.db";
    switch (code) {
    case SQLITE_NOMEM:
        return mebi__fail(err, MEBI_NO_MEMORY, "%s: no memory for the database.", doing);
    case SQLITE_FULL:
        return mebi__fail(err, MEBI_IO, "%s: the disk of %.300s is full. Free some room on it.",
                          doing, file);
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return mebi__fail(err, MEBI_IO,
                          "%s: %.300s can't be read or written (%s). See whether its disk is full "
                          "or read-only, and whose it is.",
                          doing, file, words);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return mebi__fail(err, MEBI_BAD_FILE,
                          "%s: the database %.300s is broken (%s). The next start puts it aside and "
                          "begins a new one with the pictures on the disk.",
                          doing, file, words);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return mebi__fail(err, MEBI_IO,
                          "%s: another program holds the database %.300s. End it, and try again.",
                          doing, file);
    default:
        return mebi__fail(err, MEBI_INTERNAL, "%s: the database says: %s (%d).", doing, words, code);
    }
}

static int bind(sqlite3_stmt *q, const char *kinds, va_list values) {
    int status = SQLITE_OK;
    for (int i = 0; kinds[i] && status == SQLITE_OK; i++) {
        if (kinds[i] == 'i') status = sqlite3_bind_int64(q, i + 1, va_arg(values, int64_t));
        else if (kinds[i] == 'd') status = sqlite3_bind_double(q, i + 1, va_arg(values, double));
        else status = sqlite3_bind_text(q, i + 1, va_arg(values, const char *), -1, SQLITE_TRANSIENT);
    }
    return status;
}

static sqlite3_stmt *prepare(sqlite3 *db, mebi_error *err, const char *sql, const char *kinds,
                             va_list values) {
    sqlite3_stmt *q = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK &&
        bind(q, kinds, values) == SQLITE_OK)
        return q;
    (void)mebi__sql_failed(db, "Asking the database failed", err);
    sqlite3_finalize(q);
    return NULL;
}

int mebi__sql_step(sqlite3 *db, sqlite3_stmt *q, mebi_error *err) {
    int code = sqlite3_step(q);
    if (code == SQLITE_ROW) return 1;
    if (code == SQLITE_DONE) return 0;
    (void)mebi__sql_failed(db, "Reading or writing failed", err);
    return -1;
}

sqlite3_stmt *mebi__sql_ask(sqlite3 *db, mebi_error *err, const char *sql, const char *kinds, ...) {
    va_list values;
    va_start(values, kinds);
    sqlite3_stmt *q = prepare(db, err, sql, kinds, values);
    va_end(values);
    return q;
}

/* What a failed call left in *err; a filled one of the caller's stays as it was. */
static mebi_status failure(const mebi_error *own, mebi_error *err) {
    mebi_status status = own->status != MEBI_OK ? own->status : MEBI_INTERNAL;
    return mebi__fail(err, status, "%s", own->text);
}

mebi_status mebi__sql_run(sqlite3 *db, mebi_error *err, const char *sql, const char *kinds, ...) {
    mebi_error own = {0};
    va_list values;
    va_start(values, kinds);
    sqlite3_stmt *q = prepare(db, &own, sql, kinds, values);
    va_end(values);
    if (!q) return failure(&own, err);
    int more = 1;
    while (more > 0) more = mebi__sql_step(db, q, &own);
    sqlite3_finalize(q);
    return more < 0 ? failure(&own, err) : MEBI_OK;
}

mebi_status mebi__sql_number(sqlite3 *db, mebi_error *err, int64_t none, int64_t *out,
                             const char *sql, const char *kinds, ...) {
    mebi_error own = {0};
    va_list values;
    va_start(values, kinds);
    sqlite3_stmt *q = prepare(db, &own, sql, kinds, values);
    va_end(values);
    *out = none;
    if (!q) return failure(&own, err);
    int more = mebi__sql_step(db, q, &own);
    if (more > 0 && sqlite3_column_type(q, 0) != SQLITE_NULL) *out = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return more < 0 ? failure(&own, err) : MEBI_OK;
}

mebi_status mebi__sql_begin(sqlite3 *db, mebi_error *err) {
    return mebi__sql_run(db, err, "BEGIN IMMEDIATE", "");
}

mebi_status mebi__sql_end(sqlite3 *db, mebi_status status, mebi_error *err) {
    if (status == MEBI_OK) status = mebi__sql_run(db, err, "COMMIT", "");
    /* Some failures have rolled back by themselves. */
    if (status != MEBI_OK && !sqlite3_get_autocommit(db))
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

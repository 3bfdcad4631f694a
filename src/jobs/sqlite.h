/* SQLite in a few calls: statements with their values in one line, failures as sentences. Used by the
 * store's files alone. */
#ifndef MEBI_JOBS_SQLITE_H
#define MEBI_JOBS_SQLITE_H

#include "base/error.h"

#include <sqlite3.h>
#include <stdint.h>

/* Turns SQLite's last failure into a status and a sentence with a way out. */
mebi_status mebi__sql_failed(sqlite3 *db, const char *doing, mebi_error *err);

/* Runs one statement. kinds has a letter for each ?: i (int64_t), d (double), t (const char *, NULL too). */
MEBI_MUST_USE mebi_status mebi__sql_run(sqlite3 *db, mebi_error *err, const char *sql,
                                        const char *kinds, ...);

/* Prepares one, to be stepped through; NULL on failure. Ended by sqlite3_finalize. */
sqlite3_stmt *mebi__sql_ask(sqlite3 *db, mebi_error *err, const char *sql, const char *kinds, ...);

/* 1: there is a row; 0: no more; -1: failure, told. */
int mebi__sql_step(sqlite3 *db, sqlite3_stmt *q, mebi_error *err);

/* The one number that the statement asks for; `none` if there is no row. */
MEBI_MUST_USE mebi_status mebi__sql_number(sqlite3 *db, mebi_error *err, int64_t none, int64_t *out,
                                           const char *sql, const char *kinds, ...);

/* A transaction that writes. end: commits if status is MEBI_OK, else rolls back; returns what came of all. */
MEBI_MUST_USE mebi_status mebi__sql_begin(sqlite3 *db, mebi_error *err);
MEBI_MUST_USE mebi_status mebi__sql_end(sqlite3 *db, mebi_status status, mebi_error *err);

#endif

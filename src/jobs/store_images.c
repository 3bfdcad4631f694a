/* The store on SQLite: pictures. Must never show one that is being removed or whose file is missing. */
#include "base/memory.h"
#include "jobs/sqlite.h"
#include "jobs/store.h"
#include "jobs/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char mebi__store_images_schema[] =
    "CREATE TABLE images (row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    " job TEXT NOT NULL, number INTEGER NOT NULL, place INTEGER NOT NULL CHECK (place BETWEEN 0 AND 3),"
    " file TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, seed INTEGER NOT NULL,"
    " steps INTEGER NOT NULL, cfg REAL NOT NULL, created_ms INTEGER NOT NULL, bytes INTEGER NOT NULL,"
    " favourite INTEGER NOT NULL DEFAULT 0, draft INTEGER NOT NULL, draft_width INTEGER NOT NULL,"
    " draft_height INTEGER NOT NULL, prompt TEXT NOT NULL, negative_prompt TEXT NOT NULL,"
    " model TEXT NOT NULL, model_hash TEXT NOT NULL, parameters TEXT NOT NULL, words TEXT NOT NULL,"
    " UNIQUE (job, number)) STRICT;"
    "CREATE INDEX images_by_place ON images (place, row);"
    "CREATE INDEX images_by_seed ON images (seed);";

enum { WORDS = 16, CONDITION_BYTES = 1200 };

/* ---- reading ---- */

static const char columns[] =
    "SELECT row, id, job, number, place, width, height, seed, steps, cfg, created_ms, bytes, favourite,"
    " draft, draft_width, draft_height, prompt, negative_prompt, model, model_hash, parameters, file"
    " FROM images ";

static char *string_at(sqlite3_stmt *q, int column) {
    const char *text = (const char *)sqlite3_column_text(q, column);
    return mebi__copy_string(text ? text : "", text ? strlen(text) : 0);
}

static int read_image(sqlite3_stmt *q, mebi__image *m) {
    *m = (mebi__image){.row = sqlite3_column_int64(q, 0),
                       .index = sqlite3_column_int(q, 3),
                       .trashed = sqlite3_column_int(q, 4) == MEBI__PLACE_TRASH,
                       .width = sqlite3_column_int(q, 5),
                       .height = sqlite3_column_int(q, 6),
                       .seed = sqlite3_column_int64(q, 7),
                       .steps = sqlite3_column_int(q, 8),
                       .cfg = (float)sqlite3_column_double(q, 9),
                       .created_ms = sqlite3_column_int64(q, 10),
                       .bytes = sqlite3_column_int64(q, 11),
                       .favourite = sqlite3_column_int(q, 12),
                       .draft = sqlite3_column_int(q, 13),
                       .draft_width = sqlite3_column_int(q, 14),
                       .draft_height = sqlite3_column_int(q, 15),
                       .prompt = string_at(q, 16),
                       .negative_prompt = string_at(q, 17),
                       .model = string_at(q, 18),
                       .model_hash = string_at(q, 19),
                       .parameters = string_at(q, 20)};
    snprintf(m->id, sizeof m->id, "%s", (const char *)sqlite3_column_text(q, 1));
    snprintf(m->job, sizeof m->job, "%s", (const char *)sqlite3_column_text(q, 2));
    return m->prompt && m->negative_prompt && m->model && m->model_hash && m->parameters;
}

/* All rows, at most limit. */
static mebi_status read_images(sqlite3 *db, sqlite3_stmt *q, int limit, mebi__images *images,
                               mebi_error *err) {
    int room = 0, more = 0;
    while (images->count < limit && (more = mebi__sql_step(db, q, err)) > 0) {
        if (images->count == room) {
            room = room ? 2 * room : 4;
            mebi__image *larger =
                mebi__realloc_array(MEBI__TAG_GENERAL, images->image, (size_t)room, sizeof *larger);
            if (!larger) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the pictures' list.");
            images->image = larger;
        }
        if (!read_image(q, &images->image[images->count++]))
            return mebi__fail(err, MEBI_NO_MEMORY, "No memory for the pictures' list.");
    }
    return more < 0 ? MEBI_IO : MEBI_OK;
}

mebi_status mebi__store_job_images(sqlite3 *db, mebi__job *job, mebi_error *err) {
    char sql[700];
    snprintf(sql, sizeof sql, "%s WHERE job = ? AND place <= 1 ORDER BY number", columns);
    sqlite3_stmt *q = mebi__sql_ask(db, err, sql, "t", job->id);
    if (!q) return MEBI_IO;
    mebi_status status = read_images(db, q, 64, &job->images, err);
    sqlite3_finalize(q);
    return status;
}

mebi_status mebi__store_image(mebi__store *store, const char *id, mebi__images *images, char **file,
                              mebi_error *err) {
    mebi_error own = {0};
    char sql[700];
    *images = (mebi__images){0};
    if (file) *file = NULL;
    snprintf(sql, sizeof sql, "%s WHERE id = ? AND place <= 1", columns);
    sqlite3 *db = mebi__store_reader(store);
    sqlite3_stmt *q = mebi__sql_ask(db, &own, sql, "t", id);
    if (q) (void)!read_images(db, q, 1, images, &own);
    if (images->count && file && own.status == MEBI_OK && !(*file = string_at(q, 21)))
        (void)mebi__fail(&own, MEBI_NO_MEMORY, "No memory for a path.");
    sqlite3_finalize(q);
    mebi__store_read(store);
    if (own.status == MEBI_OK) return MEBI_OK;
    mebi__images_free(images);
    return mebi__fail(err, own.status, "%s", own.text);
}

/* ---- the query ---- */

typedef struct conditions {
    char sql[CONDITION_BYTES];
    int words;
    char *word[WORDS]; /* with what LIKE takes for more than itself escaped */
} conditions;

static void add(conditions *c, const char *sql) {
    size_t length = strlen(c->sql);
    snprintf(c->sql + length, sizeof c->sql - length, " AND %s", sql);
}

static void free_conditions(conditions *c) {
    for (int i = 0; i < c->words; i++) mebi__free(c->word[i]);
}

/* %word% */
static char *pattern_of(const char *word, size_t length) {
    char *out = mebi__alloc(MEBI__TAG_GENERAL, 2 * length + 3), *p = out;
    if (!out) return NULL;
    *p++ = '%';
    for (size_t i = 0; i < length; i++) {
        if (strchr("%_\\", word[i])) *p++ = '\\';
        *p++ = word[i];
    }
    *p = '%';
    return out;
}

static mebi_status add_words(conditions *c, const char *text, mebi_error *err) {
    char *folded = mebi__words_fold(text, "");
    if (!folded) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a search.");
    mebi_status status = MEBI_OK;
    for (const char *p = folded; status == MEBI_OK && c->words < WORDS;) {
        p += strspn(p, " \t\r\n");
        size_t length = strcspn(p, " \t\r\n");
        if (length == 0) break;
        c->word[c->words] = pattern_of(p, length);
        if (!c->word[c->words]) status = mebi__fail(err, MEBI_NO_MEMORY, "No memory for a search.");
        else c->words++;
        p += length;
    }
    char sql[60];
    for (int i = 0; i < c->words; i++) {
        snprintf(sql, sizeof sql, "words LIKE :w%d ESCAPE '\\'", i);
        add(c, sql);
    }
    mebi__free(folded);
    return status;
}

static mebi_status collect(const mebi__image_query *q, conditions *c, mebi_error *err) {
    static const char *const places[] = {"place = 0", "place = 1", "place <= 1"};
    snprintf(c->sql, sizeof c->sql, "WHERE %s",
             places[q->trashed >= 0 && q->trashed <= 2 ? q->trashed : 0]);
    if (q->width) add(c, "width = :width");
    if (q->height) add(c, "height = :height");
    if (q->by_seed) add(c, "seed = :seed");
    if (q->from_ms) add(c, "created_ms >= :from");
    if (q->to_ms) add(c, "created_ms < :to");
    if (q->favourite) add(c, "favourite = 1");
    if (q->job) add(c, "job = :job");
    return q->text ? add_words(c, q->text, err) : MEBI_OK;
}

static void bind_number(sqlite3_stmt *s, const char *name, int64_t value) {
    int at = sqlite3_bind_parameter_index(s, name);
    if (at) sqlite3_bind_int64(s, at, value);
}

static void bind_text(sqlite3_stmt *s, const char *name, const char *value) {
    int at = sqlite3_bind_parameter_index(s, name);
    if (at) sqlite3_bind_text(s, at, value, -1, SQLITE_TRANSIENT);
}

static sqlite3_stmt *ask(sqlite3 *db, const char *head, const conditions *c, const char *tail,
                         const mebi__image_query *q, mebi_error *err) {
    char sql[CONDITION_BYTES + 1200], name[16];
    snprintf(sql, sizeof sql, "%s%s%s", head, c->sql, tail);
    sqlite3_stmt *s = mebi__sql_ask(db, err, sql, "");
    if (!s) return NULL;
    bind_number(s, ":width", q->width);
    bind_number(s, ":height", q->height);
    bind_number(s, ":seed", q->seed);
    bind_number(s, ":from", q->from_ms);
    bind_number(s, ":to", q->to_ms);
    bind_number(s, ":cursor", q->cursor > 0 ? q->cursor : INT64_MAX);
    bind_text(s, ":job", q->job);
    for (int i = 0; i < c->words; i++) {
        snprintf(name, sizeof name, ":w%d", i);
        bind_text(s, name, c->word[i]);
    }
    return s;
}

/* One more than the limit is asked for: it tells whether there are others. */
static mebi_status answer(sqlite3 *db, const conditions *c, const mebi__image_query *query,
                          mebi__images *images, mebi_error *err) {
    int limit = query->limit <= 0 ? 60 : query->limit > 500 ? 500 : query->limit;
    char tail[100];
    sqlite3_stmt *q = ask(db, "SELECT count(*) FROM images ", c, "", query, err);
    if (q && mebi__sql_step(db, q, err) > 0) images->total = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    snprintf(tail, sizeof tail, " AND row < :cursor ORDER BY row DESC LIMIT %d", limit + 1);
    q = err->status == MEBI_OK ? ask(db, columns, c, tail, query, err) : NULL;
    mebi_status status = q ? read_images(db, q, limit, images, err) : err->status;
    if (status == MEBI_OK && images->count == limit && mebi__sql_step(db, q, err) > 0)
        images->next = images->image[limit - 1].row;
    sqlite3_finalize(q);
    return err->status;
}

mebi_status mebi__store_images(mebi__store *store, const mebi__image_query *query,
                               mebi__images *images, mebi_error *err) {
    mebi_error own = {0};
    conditions c = {.words = 0};
    *images = (mebi__images){0};
    mebi_status status = collect(query, &c, &own);
    if (status == MEBI_OK) {
        sqlite3 *db = mebi__store_reader(store);
        status = answer(db, &c, query, images, &own);
        mebi__store_read(store);
    }
    free_conditions(&c);
    if (status == MEBI_OK) return MEBI_OK;
    mebi__images_free(images);
    return mebi__fail(err, status, "%s", own.text);
}

/* ---- writing ---- */

static mebi_status insert(sqlite3 *db, const mebi__image *m, const char *file,
                          mebi__image_place place, const char *words, mebi_error *err) {
    return mebi__sql_run(
        db, err,
        "INSERT INTO images (id, job, number, place, file, width, height, seed, steps, cfg, created_ms,"
        " bytes, favourite, draft, draft_width, draft_height, prompt, negative_prompt, model, model_hash,"
        " parameters, words) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "ttiitiiiidiiiiiitttttt", m->id, m->job, (int64_t)m->index, (int64_t)place, file,
        (int64_t)m->width, (int64_t)m->height, m->seed, (int64_t)m->steps, (double)m->cfg,
        m->created_ms, m->bytes, (int64_t)m->favourite, (int64_t)m->draft, (int64_t)m->draft_width,
        (int64_t)m->draft_height, m->prompt, m->negative_prompt, m->model, m->model_hash,
        m->parameters, words);
}

mebi_status mebi__store_add_image(mebi__store *store, const mebi__image *m, const char *file,
                                  mebi__image_place place, const mebi__event *event,
                                  mebi_error *err) {
    sqlite3 *db = mebi__store_writer(store);
    char *words = mebi__words_fold(m->prompt, m->negative_prompt);
    if (!words) return mebi__fail(err, MEBI_NO_MEMORY, "No memory for a picture's words.");
    mebi_status status = mebi__sql_begin(db, err);
    if (status == MEBI_OK) {
        status = insert(db, m, file, place, words, err);
        if (status == MEBI_OK)
            status = mebi__sql_run(
                db, err, "UPDATE jobs SET made = max(made, ?), fruitless = 0 WHERE id = ?", "it",
                (int64_t)m->index + 1, m->job);
        if (status == MEBI_OK) status = mebi__store_write_event(db, event, err);
        status = mebi__sql_end(db, status, err);
    }
    mebi__free(words);
    return status;
}

mebi_status mebi__store_favourite(mebi__store *store, const char *id, int favourite,
                                  mebi_error *err) {
    return mebi__sql_run(mebi__store_writer(store), err,
                         "UPDATE images SET favourite = ? WHERE id = ?", "it", (int64_t)!!favourite,
                         id);
}

mebi_status mebi__store_place(mebi__store *store, const char *id, mebi__image_place place,
                              mebi_error *err) {
    return mebi__sql_run(mebi__store_writer(store), err, "UPDATE images SET place = ? WHERE id = ?",
                         "it", (int64_t)place, id);
}

mebi_status mebi__store_forget_image(mebi__store *store, const char *id, mebi_error *err) {
    return mebi__sql_run(mebi__store_writer(store), err, "DELETE FROM images WHERE id = ?", "t", id);
}

/* ---- all of them ---- */

mebi_status mebi__store_filed(mebi__store *store, mebi__filed **all, int64_t *count,
                              mebi_error *err) {
    mebi_error own = {0};
    int64_t most = 0;
    *all = NULL;
    *count = 0;
    sqlite3 *db = mebi__store_reader(store);
    mebi_status status = mebi__sql_number(db, &own, 0, &most, "SELECT count(*) FROM images", "");
    if (status == MEBI_OK && most > 0) {
        *all = mebi__alloc_array(MEBI__TAG_GENERAL, (size_t)most, sizeof **all);
        if (!*all) status = mebi__fail(&own, MEBI_NO_MEMORY, "No memory for the pictures' names.");
    }
    sqlite3_stmt *q =
        *all ? mebi__sql_ask(db, &own, "SELECT id, place, file, bytes FROM images ORDER BY id", "") : NULL;
    while (q && *count < most && mebi__sql_step(db, q, &own) > 0) {
        mebi__filed *f = &(*all)[(*count)++];
        snprintf(f->id, sizeof f->id, "%s", (const char *)sqlite3_column_text(q, 0));
        f->place = (mebi__image_place)sqlite3_column_int(q, 1);
        snprintf(f->file, sizeof f->file, "%s", (const char *)sqlite3_column_text(q, 2));
        f->bytes = sqlite3_column_int64(q, 3);
    }
    sqlite3_finalize(q);
    mebi__store_read(store);
    if (own.status == MEBI_OK) return MEBI_OK;
    mebi__free(*all);
    *all = NULL;
    *count = 0;
    return mebi__fail(err, own.status, "%s", own.text);
}

mebi_status mebi__store_count(mebi__store *store, mebi__jobs_counters *c, mebi_error *err) {
    mebi_error own = {0};
    sqlite3 *db = mebi__store_reader(store);
    sqlite3_stmt *q =
        mebi__sql_ask(db, &own, "SELECT state, count(*) FROM jobs GROUP BY state", "");
    while (q && mebi__sql_step(db, q, &own) > 0) {
        int state = sqlite3_column_int(q, 0);
        if (state >= 0 && state < MEBI__JOB_STATES) c->jobs[state] = sqlite3_column_int64(q, 1);
    }
    sqlite3_finalize(q);
    if (own.status == MEBI_OK)
        (void)!mebi__sql_number(db, &own, 0, &c->images,
                                "SELECT count(*) FROM images WHERE place = 0", "");
    if (own.status == MEBI_OK)
        (void)!mebi__sql_number(db, &own, 0, &c->images_trashed,
                                "SELECT count(*) FROM images WHERE place = 1", "");
    mebi__store_read(store);
    return own.status == MEBI_OK ? MEBI_OK : mebi__fail(err, own.status, "%s", own.text);
}

/* The queue, its worker and the history, with an engine that paints by hand. */
#include "jobs_fake.h"

static int begin(void **state) {
    *state = bench_new();
    return 0;
}

static int finish(void **state) {
    bench_end(*state);
    return 0;
}

/* ---- one job ---- */

static void a_job_becomes_a_picture(void **state) {
    bench *b = *state;
    bench_open(b);
    mebi__job_order o = order_of("a red apple, \"quoted\"");
    o.request.count = 2;
    o.request.seed = -1;
    o.request.cfg = 2.5f;
    o.request.negative_prompt = "blur";
    o.priority = 3;
    job_id id = submit(b, &o);
    await(b, id, MEBI__JOB_DONE);
    mebi__job *j = get(b, id);
    assert_int_equal(j->images.count, 2);
    assert_int_equal(j->made, 2);
    assert_int_equal(j->priority, 3);
    assert_true(j->request.seed >= 0 && j->request.seed < 0xffffffff);
    assert_string_equal(j->request.prompt, "a red apple, \"quoted\"");
    assert_string_equal(j->request.negative_prompt, "blur");
    assert_true(j->planned && j->plan.need_bytes == 1000 && j->plan.total_seconds == 4);
    assert_string_equal(j->plan.strategy, "by hand");
    assert_int_equal(j->notices, 1);
    assert_string_equal(j->notice[0], "A notice of the fake engine.");
    assert_true(j->progress.at.fraction == 1 && j->peak_bytes == 800 && j->total_seconds == 1);
    for (int i = 0; i < 2; i++) {
        mebi__image *m = &j->images.image[i];
        char *path, *small;
        assert_int_equal(m->index, i);
        assert_true(m->seed == j->request.seed + i && m->width == 64 && m->bytes > 0);
        assert_true(m->cfg == 2.5f && m->steps == 2);
        assert_string_equal(m->job, j->id);
        assert_non_null(strstr(m->parameters, "Negative prompt: blur"));
        assert_string_equal(m->model_hash, "00112233445566ff");
        assert_mebi_ok(mebi__jobs_image_file(b->jobs, m->id, &path, &b->err), &b->err);
        assert_mebi_ok(mebi__jobs_image_thumbnail(b->jobs, m->id, &small, &b->err), &b->err);
        assert_true(access(path, R_OK) == 0 && access(small, R_OK) == 0);
        mebi__free(path);
        mebi__free(small);
    }
    mebi__job_free(&j);
}

/* The texts are those of `mebi generate`, and one more. */
static void a_picture_says_how_it_was_made(void **state) {
    bench *b = *state;
    bench_open(b);
    mebi__job_order o = order_of("ein grüner Apfel");
    job_id id = submit(b, &o);
    await(b, id, MEBI__JOB_DONE);
    mebi__job *j = get(b, id);
    char *path;
    int w, h, count;
    mebi_png_text *texts;
    assert_mebi_ok(mebi__jobs_image_file(b->jobs, j->images.image[0].id, &path, &b->err), &b->err);
    assert_mebi_ok(mebi_png_read_texts(path, &w, &h, &texts, &count, &b->err), &b->err);
    assert_int_equal(count, 3);
    assert_string_equal(texts[0].keyword, "parameters");
    assert_string_equal(texts[0].text, j->images.image[0].parameters);
    assert_string_equal(texts[1].keyword, "mebi");
    assert_non_null(strstr(texts[1].text, "\"prompt\":\"ein grüner Apfel\""));
    assert_string_equal(texts[2].keyword, "mebi-job");
    assert_non_null(strstr(texts[2].text, id.text));
    mebi_png_texts_free(texts);
    mebi__free(path);
    mebi__job_free(&j);
}

static void failures_are_stated(void **state) {
    bench *b = *state;
    b->fake.fails = MEBI_NUMERIC;
    bench_open(b);
    mebi__job_order o = order_of("x");
    job_id id = submit(b, &o);
    await(b, id, MEBI__JOB_FAILED);
    mebi__job *j = get(b, id);
    assert_int_equal(j->status, MEBI_NUMERIC);
    assert_string_equal(j->code, "numeric");
    assert_string_equal(j->message, "The fake engine fails.");
    assert_int_equal(j->images.count, 0);
    mebi__job_free(&j);
}

/* ---- what is refused ---- */

static void assert_refused(bench *b, const mebi__job_order *o, mebi__job_refusal why, const char *words) {
    mebi__job *job = NULL;
    mebi__job_refused refused;
    mebi_error err = {0};
    assert_int_not_equal(mebi__jobs_submit(b->jobs, o, &job, &refused, &err), MEBI_OK);
    assert_null(job);
    assert_int_equal(refused.why, why);
    if (!strstr(err.text, words)) fail_msg("%s", err.text);
    if (why == MEBI__REFUSED_TOO_BIG) assert_true(refused.planned && refused.plan.alternatives == 1);
    if (why == MEBI__REFUSED_FULL) assert_true(refused.retry_seconds >= 1);
}

static void what_cant_be_is_refused(void **state) {
    bench *b = *state;
    static char large[MEBI__PROMPT_BYTES + 2];
    b->queue_limit = 2;
    b->paused = 1;
    b->fake.too_wide = 128;
    bench_open(b);
    mebi__job_order o = order_of("x"), bad;
    bad = o, bad.request.width = 17;
    assert_refused(b, &bad, MEBI__REFUSED_REQUEST, "17");
    bad = o, bad.request.width = 256;
    assert_refused(b, &bad, MEBI__REFUSED_TOO_BIG, "too wide");
    bad = o, bad.request.prompt = "\xff\xfe";
    assert_refused(b, &bad, MEBI__REFUSED_REQUEST, "UTF-8");
    bad = o, bad.request.prompt = NULL;
    assert_refused(b, &bad, MEBI__REFUSED_REQUEST, "no prompt");
    memset(large, 'a', sizeof large - 1);
    bad = o, bad.request.negative_prompt = large;
    assert_refused(b, &bad, MEBI__REFUSED_REQUEST, "16384");
    bad = o, bad.priority = 11;
    assert_refused(b, &bad, MEBI__REFUSED_REQUEST, "priority");
    submit(b, &o);
    submit(b, &o);
    assert_refused(b, &o, MEBI__REFUSED_FULL, "full");
    mebi__jobs_counters c;
    assert_mebi_ok(mebi__jobs_count(b->jobs, &c, &b->err), &b->err);
    assert_int_equal(c.refused[MEBI__REFUSED_REQUEST], 5);
    assert_int_equal(c.refused[MEBI__REFUSED_TOO_BIG], 1);
    assert_int_equal(c.refused[MEBI__REFUSED_FULL], 1);
    assert_int_equal(c.accepted, 2);
    assert_int_equal(c.jobs[MEBI__JOB_QUEUED], 2);
}

static void a_model_that_fails_is_tried_again(void **state) {
    bench *b = *state;
    char sentence[MEBI__JOB_MESSAGE];
    b->fake.opens_badly = 1;
    assert_mebi_ok(bench_try(b), &b->err);
    mebi__job_order o = order_of("x");
    for (int n = 0; n < 5000 && mebi__jobs_health(b->jobs, sentence, NULL) != MEBI__JOBS_TROUBLE; n++) fake_nap(1);
    assert_string_equal(sentence, "The fake model is broken.");
    assert_refused(b, &o, MEBI__REFUSED_UNAVAILABLE, "broken");
    bench_ready(b);
    await(b, submit(b, &o), MEBI__JOB_DONE);
}

/* ---- order ---- */

static job_id submit_as(bench *b, const char *client, const char *prompt, int priority) {
    mebi__job_order o = order_of(prompt);
    o.client = client;
    o.priority = priority;
    o.request.steps = 1;
    return submit(b, &o);
}

static int position_of(bench *b, job_id id) {
    mebi__job *j = get(b, id);
    int position = j->position;
    mebi__job_free(&j);
    return position;
}

static void clients_take_turns(void **state) {
    static const char *const order[] = {"C1", "A1", "B1", "A2", "B2", "A3", "A4", "Z"};
    bench *b = *state;
    b->paused = 1;
    bench_open(b);
    submit_as(b, "b", "Z", -5);
    submit_as(b, "a", "A1", 0);
    submit_as(b, "a", "A2", 0);
    submit_as(b, "a", "A3", 0);
    job_id last = submit_as(b, "a", "A4", 0);
    submit_as(b, "b", "B1", 0);
    job_id second = submit_as(b, "b", "B2", 0);
    job_id first = submit_as(b, "c", "C1", 9);
    assert_int_equal(position_of(b, first), 1);
    assert_int_equal(position_of(b, second), 5);
    assert_int_equal(position_of(b, last), 7);
    mebi__queue q = mebi__jobs_queue(b->jobs);
    assert_int_equal(q.queued, 8);
    assert_true(q.seconds_left == 16);
    mebi__job_list list;
    assert_mebi_ok(mebi__jobs_list(b->jobs, 0, 1, 0, &list, &b->err), &b->err);
    assert_int_equal(list.count, 8);
    for (int i = 0; i < 8; i++) assert_string_equal(list.job[i]->request.prompt, order[i]);
    mebi__job_list_free(&list);
    mebi__jobs_pause(b->jobs, 0);
    for (int n = 0; n < 20000 && mebi__jobs_queue(b->jobs).queued + mebi__jobs_queue(b->jobs).running; n++)
        fake_nap(1);
    assert_int_equal(b->fake.jobs, 8);
    for (int i = 0; i < 8; i++) assert_string_equal(b->fake.log[i], order[i]);
}

/* The queue's order against the rule played step by step: highest priority, then who had a turn
 * longest ago, then age. */
static void turns_are_as_the_rule_says(void **state) {
    enum { JOBS = 48, CLIENTS = 5 };
    bench *b = *state;
    b->paused = 1;
    bench_open(b);
    struct {
        int client, priority, placed;
        job_id id;
    } job[JOBS];
    unsigned random = 7;
    for (int i = 0; i < JOBS; i++) {
        random = random * 1664525u + 1013904223u;
        job[i].client = (int)(random >> 24) % CLIENTS;
        job[i].priority = (int)(random >> 20) % 3 - 1;
        job[i].placed = 0;
        char client[] = {(char)('a' + job[i].client), 0};
        job[i].id = submit_as(b, client, "x", job[i].priority);
    }
    int turn[CLIENTS] = {0};
    for (int n = 1; n <= JOBS; n++) {
        int best = -1;
        for (int i = 0; i < JOBS; i++) {
            if (job[i].placed) continue;
            if (best < 0 || job[i].priority > job[best].priority ||
                (job[i].priority == job[best].priority && turn[job[i].client] < turn[job[best].client]))
                best = i;
        }
        job[best].placed = 1;
        turn[job[best].client] = n;
        assert_int_equal(position_of(b, job[best].id), n);
    }
}

/* Who comes late is not put behind the many jobs of one who came early. */
static void latecomers_get_their_turn(void **state) {
    bench *b = *state;
    b->fake.gate = 1;
    bench_open(b);
    job_id running = submit_as(b, "a", "A1", 0);
    await(b, running, MEBI__JOB_RUNNING);
    submit_as(b, "a", "A2", 0);
    submit_as(b, "a", "A3", 0);
    job_id late = submit_as(b, "b", "B1", 0);
    assert_int_equal(position_of(b, late), 1);
    b->fake.gate = 0;
    await(b, late, MEBI__JOB_DONE);
    assert_string_equal(b->fake.log[1], "B1");
}

static void lists_have_pages(void **state) {
    bench *b = *state;
    bench_open(b);
    job_id id[5];
    for (int i = 0; i < 5; i++) {
        id[i] = submit_as(b, "a", "x", 0);
        await(b, id[i], MEBI__JOB_DONE);
    }
    int64_t cursor = 0;
    int seen = 0, pages = 0;
    do {
        mebi__job_list list;
        assert_mebi_ok(mebi__jobs_list(b->jobs, 0, 2, cursor, &list, &b->err), &b->err);
        for (int i = 0; i < list.count; i++) assert_string_equal(list.job[i]->id, id[4 - seen++].text);
        cursor = list.next;
        mebi__job_list_free(&list);
        pages++;
    } while (cursor);
    assert_int_equal(seen, 5);
    assert_int_equal(pages, 3);
}

/* Jobs end while lists are made: none may be in one twice, or in none. */
static void lists_show_each_job_once(void **state) {
    bench *b = *state;
    bench_open(b);
    for (int i = 0; i < 40; i++) submit_as(b, "a", "x", 0);
    for (int going = 1; going;) {
        mebi__job_list list;
        going = mebi__jobs_queue(b->jobs).queued > 0;
        assert_mebi_ok(mebi__jobs_list(b->jobs, 0, 200, 0, &list, &b->err), &b->err);
        assert_int_equal(list.count, 40);
        unsigned char seen[41] = {0};
        for (int i = 0; i < list.count; i++) assert_false(seen[list.job[i]->row]++);
        mebi__job_list_free(&list);
    }
}

/* ---- cancelling ---- */

static mebi__cancelled cancel(bench *b, const char *id) {
    mebi__cancelled how;
    assert_mebi_ok(mebi__jobs_cancel(b->jobs, id, &how, &b->err), &b->err);
    return how;
}

static void jobs_are_cancelled_in_every_state(void **state) {
    bench *b = *state;
    b->fake.gate = 1;
    bench_open(b);
    mebi__job_order o = order_of("x");
    job_id running = submit(b, &o), queued = submit(b, &o);
    await(b, running, MEBI__JOB_RUNNING);
    assert_int_equal(cancel(b, queued.text), MEBI__CANCEL_DONE);
    assert_int_equal(state_of(b, queued), MEBI__JOB_CANCELLED);
    assert_int_equal(cancel(b, running.text), MEBI__CANCEL_ASKED);
    await(b, running, MEBI__JOB_CANCELLED);
    assert_int_equal(cancel(b, running.text), MEBI__CANCEL_LATE);
    assert_int_equal(cancel(b, "77-00000000"), MEBI__CANCEL_UNKNOWN);
    assert_int_equal(cancel(b, "../mebi.db"), MEBI__CANCEL_UNKNOWN);
    assert_int_equal(b->fake.jobs, 1);
    b->fake.gate = 0;
    await(b, submit(b, &o), MEBI__JOB_DONE); /* the worker lives on */
}

/* ---- events ---- */

static int all_events(bench *b, const char *job, int64_t after, mebi__event *events, int room) {
    int count = 0, more = 1;
    while (more && count < room)
        count += mebi__jobs_events(b->jobs, job, after, events + count, room - count < 3 ? room - count : 3, &after, &more);
    return count;
}

static int count_kind(const mebi__event *e, int count, mebi__event_kind kind) {
    int n = 0;
    for (int i = 0; i < count; i++) n += e[i].kind == kind;
    return n;
}

static void events_tell_a_job_s_story(void **state) {
    bench *b = *state;
    mebi__event *e = take_bytes(200 * sizeof *e);
    b->fake.gate = 1;
    bench_open(b);
    mebi__job_order o = order_of("x");
    o.request.steps = 3;
    o.request.preview_every = 1;
    job_id id = submit(b, &o), other = submit(b, &o);
    b->fake.gate = 0;
    await(b, other, MEBI__JOB_DONE);
    int count = all_events(b, id.text, 0, e, 200);
    assert_int_equal(e[0].kind, MEBI__EVENT_QUEUED);
    assert_int_equal(e[0].position, 1);
    assert_int_equal(e[count - 1].kind, MEBI__EVENT_DONE);
    assert_int_equal(count_kind(e, count, MEBI__EVENT_STARTED), 1);
    assert_int_equal(count_kind(e, count, MEBI__EVENT_IMAGE), 1);
    assert_int_equal(count_kind(e, count, MEBI__EVENT_NOTICE), 1);
    assert_int_equal(count_kind(e, count, MEBI__EVENT_PREVIEW), 2);
    assert_true(count_kind(e, count, MEBI__EVENT_PROGRESS) >= 1);
    for (int i = 0; i < count; i++) {
        assert_string_equal(e[i].job, id.text);
        assert_true(i == 0 || e[i].id > e[i - 1].id);
        if (e[i].kind == MEBI__EVENT_PREVIEW) assert_true(e[i].width == 8 && e[i].number > 0);
    }
    /* From any event on, the rest. */
    int64_t from = e[2].id;
    assert_int_equal(all_events(b, id.text, from, e, 200), count - 3);
    /* An id of a folder that is no more: everything. */
    assert_int_equal(all_events(b, id.text, (int64_t)1 << 52, e, 200), count);
    unsigned char *jpeg;
    size_t bytes;
    int number;
    assert_mebi_ok(mebi__jobs_preview(b->jobs, other.text, &jpeg, &bytes, &number, &b->err), &b->err);
    assert_true(bytes > 4 && jpeg[0] == 0xff && jpeg[1] == 0xd8 && number == 4);
    mebi__free(jpeg);
    assert_mebi_ok(mebi__jobs_preview(b->jobs, id.text, &jpeg, &bytes, &number, &b->err), &b->err);
    assert_null(jpeg);
    free(e);
}

/* More than memory holds, and a restart: the durable ones are never missed, and ids go on rising. */
static void events_survive(void **state) {
    bench *b = *state;
    mebi__event *e = take_bytes(3000 * sizeof *e);
    bench_open(b);
    mebi__job_order o = order_of("x");
    job_id first = submit(b, &o);
    await(b, first, MEBI__JOB_DONE);
    /* A state may be seen a moment before its event. */
    int64_t before = 0, next = 0;
    for (int more; e[0].kind != MEBI__EVENT_DONE; before = next) {
        mebi__jobs_wait(b->jobs, first.text, before, 10);
        assert_int_equal(mebi__jobs_events(b->jobs, first.text, before, e, 1, &next, &more), 1);
    }
    o.request.steps = 1;
    job_id last = first;
    for (int i = 0; i < 220; i++) last = submit(b, &o);
    await(b, last, MEBI__JOB_DONE);
    int count = all_events(b, first.text, 0, e, 3000);
    assert_int_equal(count, 5); /* queued, started, notice, image, done */
    assert_int_equal(e[4].kind, MEBI__EVENT_DONE);
    count = all_events(b, NULL, before, e, 3000);
    assert_int_equal(count_kind(e, count, MEBI__EVENT_DONE), 220);
    for (int i = 1; i < count; i++) assert_true(e[i].id > e[i - 1].id);
    int64_t newest = mebi__jobs_newest_event(b->jobs);
    mebi__jobs_close(&b->jobs);
    bench_open(b);
    assert_true(mebi__jobs_newest_event(b->jobs) >= newest);
    assert_int_equal(all_events(b, last.text, 0, e, 3000), 5);
    await(b, submit(b, &o), MEBI__JOB_DONE);
    count = all_events(b, NULL, newest, e, 3000);
    assert_true(count >= 5 && e[0].id > newest);
    free(e);
}

typedef struct listener {
    bench *b;
    const char *job;
    pthread_t thread;
    int done, wakes;
} listener;

static void *listen_to(void *context) {
    listener *l = context;
    mebi__event e[4];
    int64_t after = 0;
    while (!l->done && mebi__jobs_wait(l->b->jobs, l->job, after, 30)) {
        int more, count = mebi__jobs_events(l->b->jobs, l->job, after, e, 4, &after, &more);
        l->wakes++;
        l->done += count_kind(e, count, MEBI__EVENT_DONE);
    }
    return NULL;
}

static void hundreds_listen(void **state) {
    enum { LISTENERS = 300 };
    bench *b = *state;
    static listener all[LISTENERS];
    b->fake.gate = 1;
    bench_open(b);
    mebi__job_order o = order_of("x");
    job_id id = submit(b, &o);
    memset(all, 0, sizeof all);
    for (int i = 0; i < LISTENERS; i++) {
        all[i].b = b;
        all[i].job = i % 2 ? id.text : NULL;
        assert_int_equal(pthread_create(&all[i].thread, NULL, listen_to, &all[i]), 0);
    }
    struct timespec from, to;
    fake_nap(200);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    fake_nap(500);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    double used = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
    assert_true(used < 0.25); /* of one gate that is polled */
    b->fake.gate = 0;
    for (int i = 0; i < LISTENERS; i++) {
        pthread_join(all[i].thread, NULL);
        assert_int_equal(all[i].done, 1);
    }
    assert_false(mebi__jobs_wait(b->jobs, id.text, mebi__jobs_newest_event(b->jobs), 0.01));
}

/* ---- the history ---- */

static int found(bench *b, mebi__image_query q) {
    mebi__images images;
    assert_mebi_ok(mebi__jobs_images(b->jobs, &q, &images, &b->err), &b->err);
    int count = images.count;
    mebi__images_free(&images);
    return count;
}

static void pictures_are_found(void **state) {
    bench *b = *state;
    bench_open(b);
    static const char *const prompts[] = {"A Red Apple", "100% blue_sky", "ÉCLAIR über Straße", "纯白背景,一个红色苹果"};
    job_id id = {0};
    for (int i = 0; i < 4; i++) {
        mebi__job_order o = order_of(prompts[i]);
        o.request.seed = 100 + i;
        o.request.width = 64 + 16 * i;
        id = submit(b, &o);
    }
    await(b, id, MEBI__JOB_DONE);
    assert_int_equal(found(b, (mebi__image_query){0}), 4);
    assert_int_equal(found(b, (mebi__image_query){.text = "apple RED"}), 1);
    assert_int_equal(found(b, (mebi__image_query){.text = "apple blue"}), 0);
    assert_int_equal(found(b, (mebi__image_query){.text = "eclair STRASSE"}), 1);
    assert_int_equal(found(b, (mebi__image_query){.text = "苹果"}), 1);
    assert_int_equal(found(b, (mebi__image_query){.text = "0%"}), 1);
    assert_int_equal(found(b, (mebi__image_query){.text = "e_s"}), 1);
    assert_int_equal(found(b, (mebi__image_query){.text = "a_p"}), 0);
    assert_int_equal(found(b, (mebi__image_query){.text = "' OR 1=1 --"}), 0);
    assert_int_equal(found(b, (mebi__image_query){.width = 80, .height = 64}), 1);
    assert_int_equal(found(b, (mebi__image_query){.by_seed = 1, .seed = 102}), 1);
    assert_int_equal(found(b, (mebi__image_query){.job = id.text}), 1);
    assert_int_equal(found(b, (mebi__image_query){.from_ms = 1}), 4);
    assert_int_equal(found(b, (mebi__image_query){.to_ms = 1}), 0);
    mebi__image_query q = {.limit = 3};
    mebi__images images;
    assert_mebi_ok(mebi__jobs_images(b->jobs, &q, &images, &b->err), &b->err);
    assert_int_equal(images.count, 3);
    assert_int_equal(images.total, 4);
    assert_string_equal(images.image[0].prompt, prompts[3]);
    q.cursor = images.next;
    mebi__images_free(&images);
    assert_mebi_ok(mebi__jobs_images(b->jobs, &q, &images, &b->err), &b->err);
    assert_int_equal(images.count, 1);
    assert_int_equal(images.next, 0);
    assert_string_equal(images.image[0].prompt, prompts[0]);
    mebi__images_free(&images);
}

static void pictures_go_to_the_trash_and_back(void **state) {
    bench *b = *state;
    bench_open(b);
    mebi__job_order o = order_of("x");
    job_id job = submit(b, &o);
    await(b, job, MEBI__JOB_DONE);
    char id[MEBI__IMAGE_ID], *path;
    mebi__images images;
    int removed;
    snprintf(id, sizeof id, "%.47s-1", job.text);
    assert_mebi_ok(mebi__jobs_set_favourite(b->jobs, id, 1, &images, &b->err), &b->err);
    assert_true(images.count == 1 && images.image[0].favourite);
    mebi__images_free(&images);
    assert_int_equal(found(b, (mebi__image_query){.favourite = 1}), 1);
    assert_mebi_ok(mebi__jobs_remove(b->jobs, id, &removed, &b->err), &b->err);
    assert_int_equal(removed, 0); /* not in the trash */
    assert_mebi_ok(mebi__jobs_trash(b->jobs, id, &images, &b->err), &b->err);
    assert_true(images.count == 1 && images.image[0].trashed);
    mebi__images_free(&images);
    assert_int_equal(found(b, (mebi__image_query){0}), 0);
    assert_int_equal(found(b, (mebi__image_query){.trashed = 1}), 1);
    assert_mebi_ok(mebi__jobs_image_file(b->jobs, id, &path, &b->err), &b->err);
    assert_non_null(strstr(path, "/trash/"));
    assert_int_equal(access(path, R_OK), 0);
    mebi__free(path);
    assert_mebi_ok(mebi__jobs_restore(b->jobs, id, &images, &b->err), &b->err);
    assert_true(images.count == 1 && !images.image[0].trashed);
    mebi__images_free(&images);
    assert_mebi_ok(mebi__jobs_image_file(b->jobs, id, &path, &b->err), &b->err);
    assert_int_equal(access(path, R_OK), 0);
    mebi__free(path);
    assert_mebi_ok(mebi__jobs_trash(b->jobs, id, &images, &b->err), &b->err);
    mebi__images_free(&images);
    assert_mebi_ok(mebi__jobs_remove(b->jobs, id, &removed, &b->err), &b->err);
    assert_int_equal(removed, 1);
    assert_int_equal(found(b, (mebi__image_query){.trashed = 2}), 0);
    assert_int_equal(files_in(path_of("%s/trash", b->folder.text).text), 0);
    assert_int_equal(files_in(path_of("%s/thumbnails", b->folder.text).text), 0);
    assert_mebi_ok(mebi__jobs_image_file(b->jobs, id, &path, &b->err), &b->err);
    assert_null(path);
    assert_mebi_ok(mebi__jobs_image(b->jobs, "../../etc/passwd", &images, &b->err), &b->err);
    assert_int_equal(images.count, 0);
}

static void a_lost_thumbnail_is_made_anew(void **state) {
    bench *b = *state;
    bench_open(b);
    mebi__job_order o = order_of("x");
    o.request.width = 1024;
    job_id job = submit(b, &o);
    await(b, job, MEBI__JOB_DONE);
    path_text small = path_of("%s/thumbnails/%s-1.jpg", b->folder.text, job.text);
    assert_int_equal(unlink(small.text), 0);
    char *path;
    assert_mebi_ok(mebi__jobs_image_thumbnail(b->jobs, path_of("%s-1", job.text).text, &path, &b->err), &b->err);
    assert_string_equal(path, small.text);
    assert_int_equal(access(path, R_OK), 0);
    mebi__free(path);
}

/* ---- other work ---- */

static void note_ran(void *context) {
    fake_nap(20);
    *(int *)context += 1;
}

static void note_ended(void *context, int ran) {
    *(int *)context += 10 * (1 + ran);
}

static void other_work_has_the_machine(void **state) {
    bench *b = *state;
    b->fake.gate = 1;
    bench_open(b);
    mebi__job_order o = order_of("x");
    job_id id = submit(b, &o);
    await(b, id, MEBI__JOB_RUNNING);
    int noted = 0;
    assert_mebi_ok(mebi__jobs_exclusive(b->jobs, note_ran, note_ended, &noted, &b->err), &b->err);
    mebi_error err = {0};
    assert_int_equal(mebi__jobs_exclusive(b->jobs, note_ran, note_ended, &noted, &err), MEBI_BAD_ARGUMENT);
    fake_nap(30);
    assert_int_equal(noted, 0);
    b->fake.gate = 0;
    await(b, submit(b, &o), MEBI__JOB_DONE);
    assert_int_equal(noted, 21);
}

#define T(function) cmocka_unit_test_setup_teardown(function, begin, finish)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(a_job_becomes_a_picture),
        T(a_picture_says_how_it_was_made),
        T(failures_are_stated),
        T(what_cant_be_is_refused),
        T(a_model_that_fails_is_tried_again),
        T(clients_take_turns),
        T(turns_are_as_the_rule_says),
        T(latecomers_get_their_turn),
        T(lists_have_pages),
        T(lists_show_each_job_once),
        T(jobs_are_cancelled_in_every_state),
        T(events_tell_a_job_s_story),
        T(events_survive),
        T(hundreds_listen),
        T(pictures_are_found),
        T(pictures_go_to_the_trash_and_back),
        T(a_lost_thumbnail_is_made_anew),
        T(other_work_has_the_machine),
    };
    return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}

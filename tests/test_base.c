/* The ground everything stands on: memory, arena, pool, random numbers, files, error text. */
#include "testing.h"

#include "base/arena.h"
#include "base/memory.h"
#include "base/os.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/writer.h"
#include "model_files.h"
#include "weights/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* A small generator of the tests' own: the same cases in every run. */
static uint32_t dice(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* ---- error text ---- */

static void first_error_wins(void **state) {
    (void)state;
    mebi_error err = {0};
    assert_int_equal(mebi__fail(&err, MEBI_IO, "first %d", 1), MEBI_IO);
    assert_int_equal(mebi__fail(&err, MEBI_BAD_FILE, "second"), MEBI_BAD_FILE);
    assert_int_equal(err.status, MEBI_IO);
    assert_string_equal(err.text, "first 1");
    assert_int_equal(mebi__fail(NULL, MEBI_NUMERIC, "nobody listens"), MEBI_NUMERIC);
}

/* A text of one repeated character after `lead` ASCII letters is cut, and only between characters.
 */
static void check_cut(int lead, const char *character) {
    char text[3000] = "";
    size_t one = strlen(character);
    mebi_error err = {0};
    memset(text, 'a', (size_t)lead);
    for (size_t at = (size_t)lead; at + one < sizeof text; at += one)
        memcpy(text + at, character, one + 1);
    (void)!mebi__fail(&err, MEBI_IO, "%s", text);
    size_t length = strlen(err.text);
    assert_true(length < sizeof err.text);
    assert_true(length + 2 * one >= sizeof err.text - 1);
    assert_memory_equal(err.text, text, length);
    assert_int_equal((length - (size_t)lead) % one, 0);
}

static void long_text_is_cut_between_characters(void **state) {
    (void)state;
    for (int lead = 0; lead < 8; lead++) {
        check_cut(lead, "x");
        check_cut(lead, "\xc3\xa9");         /* 2 bytes */
        check_cut(lead, "\xe8\x8b\xb9");     /* 3 */
        check_cut(lead, "\xf0\x9f\x8d\x8e"); /* 4 */
    }
}

static void a_text_that_just_fits_is_whole(void **state) {
    (void)state;
    mebi_error err = {0};
    char text[sizeof err.text] = "";
    for (size_t at = 0; at + 3 <= sizeof text - 1; at += 3) memcpy(text + at, "\xe8\x8b\xb9", 3);
    (void)!mebi__fail(&err, MEBI_IO, "%s", text);
    assert_string_equal(err.text, text);
}

static void every_status_has_a_text(void **state) {
    (void)state;
#define X(name, number, text)                                                                      \
    assert_int_equal(MEBI_##name, number);                                                         \
    assert_string_equal(mebi_status_text(MEBI_##name), text);
    MEBI_STATUS_MAP(X)
#undef X
    assert_string_equal(mebi_status_text((mebi_status)99), "unknown status");
}

/* ---- memory ---- */

static void blocks_are_zeroed_aligned_and_counted(void **state) {
    (void)state;
    static const size_t sizes[] = {
        1, 63, 64, 65, 4095, (1 << 20) - 65, (1 << 20) - 64, 1 << 20, (5 << 20) + 3};
    for (int tag = 0; tag < MEBI__TAG_COUNT; tag++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            size_t before = mebi__memory_held((mebi__tag)tag), bytes = sizes[i];
            size_t all = mebi__memory_held(MEBI__TAG_COUNT);
            unsigned char *block = mebi__alloc((mebi__tag)tag, bytes);
            assert_non_null(block);
            assert_int_equal((uintptr_t)block % 64, 0);
            unsigned char any = 0;
            for (size_t k = 0; k < bytes; k++) any |= block[k];
            assert_int_equal(any, 0);
            memset(block, 0xa5, bytes);
            size_t more = mebi__memory_held((mebi__tag)tag) - before;
            assert_true(more >= bytes && more < bytes + 2 * 4096);
            assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT) - all, more);
            assert_true(mebi__memory_peak((mebi__tag)tag) >= before + more);
            mebi__free(block);
            assert_int_equal(mebi__memory_held((mebi__tag)tag), before);
            assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), all);
        }
}

static void peaks_stay(void **state) {
    (void)state;
    void *large = mebi__alloc(MEBI__TAG_OUTPUT, 8 << 20);
    size_t peak = mebi__memory_peak(MEBI__TAG_OUTPUT);
    assert_true(peak >= 8 << 20);
    mebi__free(large);
    void *small = mebi__alloc(MEBI__TAG_OUTPUT, 100);
    assert_int_equal(mebi__memory_peak(MEBI__TAG_OUTPUT), peak);
    mebi__free(small);
    mebi__free(NULL);
}

static void absurd_sizes_are_refused(void **state) {
    (void)state;
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    /* Not known at compile time: the compiler knows that no such block exists. */
    volatile size_t most = SIZE_MAX;
    assert_null(mebi__alloc(MEBI__TAG_GENERAL, 0));
    assert_null(mebi__alloc(MEBI__TAG_GENERAL, most));
    assert_null(mebi__alloc(MEBI__TAG_GENERAL, most - 64));
    assert_null(mebi__alloc(MEBI__TAG_GENERAL, most / 2));
    assert_null(mebi__alloc(MEBI__TAG_GENERAL, (size_t)1 << 60));
    assert_null(mebi__alloc_array(MEBI__TAG_GENERAL, most / 2, 3));
    assert_null(mebi__alloc_array(MEBI__TAG_GENERAL, (size_t)1 << 32, (size_t)1 << 32));
    assert_null(mebi__alloc_array(MEBI__TAG_GENERAL, 0, 8));
    assert_null(mebi__copy_string("", most));
    assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
}

static void realloc_keeps_contents(void **state) {
    (void)state;
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    uint32_t *block = mebi__realloc_array(MEBI__TAG_TEXT, NULL, 10, sizeof *block);
    assert_non_null(block);
    for (uint32_t i = 0; i < 10; i++) block[i] = i + 1;
    block = mebi__realloc_array(MEBI__TAG_TEXT, block, 1000, sizeof *block);
    for (uint32_t i = 0; i < 1000; i++) assert_int_equal(block[i], i < 10 ? i + 1 : 0);
    block = mebi__realloc_array(MEBI__TAG_TEXT, block, 4, sizeof *block);
    for (uint32_t i = 0; i < 4; i++) assert_int_equal(block[i], i + 1);
    /* In vain: the old block is as it was. */
    assert_null(mebi__realloc_array(MEBI__TAG_TEXT, block, SIZE_MAX / 2, sizeof *block));
    mebi__memory_fail_nth(1);
    assert_null(mebi__realloc_array(MEBI__TAG_TEXT, block, 8, sizeof *block));
    for (uint32_t i = 0; i < 4; i++) assert_int_equal(block[i], i + 1);
    mebi__memory_fail_nth(0);
    mebi__free(block);
    assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
}

static void the_nth_allocation_fails_once(void **state) {
    (void)state;
    for (int nth = 1; nth <= 5; nth++) {
        mebi__memory_fail_nth((uint64_t)nth);
        for (int i = 1; i <= 7; i++) {
            void *block = mebi__alloc(MEBI__TAG_GENERAL, 10);
            assert_int_equal(block == NULL, i == nth);
            mebi__free(block);
        }
        assert_int_equal(mebi__memory_fail_nth(0), 7);
    }
    char *copy = mebi__copy_string("abcdef", 3);
    assert_string_equal(copy, "abc");
    mebi__free(copy);
    assert_string_equal(mebi__tag_name(MEBI__TAG_COUNT), "total");
}

static void *allocate_and_free(void *argument) {
    uint64_t seed = (uintptr_t)argument;
    for (int i = 0; i < 2000; i++) {
        unsigned char *block = mebi__alloc(MEBI__TAG_SCRATCH, 1 + dice(&seed) % 3000);
        if (!block) return (void *)1;
        block[0] = 1;
        mebi__free(block);
    }
    return NULL;
}

static void counters_hold_from_many_threads(void **state) {
    (void)state;
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    pthread_t thread[4];
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, allocate_and_free, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        assert_int_equal(pthread_join(thread[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
}

/* ---- arena ---- */

enum { UNITS = 4096 }; /* the model: one byte for each 64 of the arena */

typedef struct taken {
    size_t offset, bytes;
} taken;

/* The rounded size. */
static size_t rounded(size_t bytes) {
    return ((bytes ? bytes : 1) + 63) / 64 * 64;
}

static void mark(unsigned char *map, taken t, unsigned char from, unsigned char to) {
    assert_int_equal(t.offset % MEBI__ARENA_ALIGN, 0);
    assert_true(t.offset + t.bytes <= (size_t)UNITS * 64);
    int wrong = 0;
    for (size_t u = t.offset / 64; u < (t.offset + rounded(t.bytes)) / 64; u++) {
        wrong += map[u] != from;
        map[u] = to;
    }
    assert_int_equal(wrong, 0);
}

/* Could `bytes` lie anywhere? */
static int has_room(const unsigned char *map, size_t bytes) {
    size_t run = 0;
    for (size_t u = 0; u < UNITS; u++) {
        run = map[u] ? 0 : run + 64;
        if (run >= rounded(bytes)) return 1;
    }
    return 0;
}

static void random_blocks_never_overlap(void **state) {
    (void)state;
    static unsigned char map[UNITS];
    for (uint64_t seed = 1; seed <= 20; seed++) {
        mebi__arena a;
        taken t[100];
        int count = 0;
        size_t peak = 0;
        uint64_t random = seed;
        memset(map, 0, sizeof map);
        mebi__arena_init(&a, (size_t)UNITS * 64);
        for (int i = 0; i < 3000; i++) {
            if (count < 100 && dice(&random) % 5 < 3) {
                taken now = {0, dice(&random) % (dice(&random) % 4 ? 3000 : 40000)};
                mebi_status got = mebi__arena_take(&a, now.bytes, &now.offset, NULL);
                assert_int_equal(got, has_room(map, now.bytes) ? MEBI_OK : MEBI_NO_MEMORY);
                if (got != MEBI_OK) continue;
                mark(map, now, 0, 1);
                if (now.offset + rounded(now.bytes) > peak) peak = now.offset + rounded(now.bytes);
                t[count++] = now;
            } else if (count > 0) {
                int which = (int)(dice(&random) % (uint32_t)count);
                mark(map, t[which], 1, 0);
                mebi__arena_give(&a, t[which].offset);
                t[which] = t[--count];
            }
            assert_int_equal(a.peak, peak);
            assert_int_equal(mebi__arena_empty(&a), count == 0);
        }
        while (count > 0) mebi__arena_give(&a, t[--count].offset);
        /* All neighbours merged: one block again. */
        assert_true(mebi__arena_empty(&a));
        assert_int_equal(a.count, 1);
        assert_int_equal(a.block[0].bytes, (size_t)UNITS * 64);
    }
}

/* A plan runs without limit, the job with the plan's peak: the same calls give the same offsets. */
static void offsets_do_not_depend_on_the_limit(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        static mebi__arena arena[2];
        static size_t offset[2][600];
        mebi__arena_init(&arena[0], SIZE_MAX / 2);
        for (int run = 0; run < 2; run++) {
            uint64_t random = seed;
            size_t live[40];
            int count = 0;
            if (run == 1) mebi__arena_init(&arena[1], arena[0].peak);
            for (int i = 0; i < 600; i++) {
                offset[run][i] = 0;
                if (count < 40 && dice(&random) % 2) {
                    mebi_error err = {0};
                    mebi_status got = mebi__arena_take(&arena[run], 1 + dice(&random) % 5000,
                                                       &offset[run][i], &err);
                    assert_mebi_ok(got, &err);
                    live[count++] = offset[run][i];
                } else if (count > 0) {
                    int which = (int)(dice(&random) % (uint32_t)count);
                    mebi__arena_give(&arena[run], live[which]);
                    live[which] = live[--count];
                }
            }
        }
        assert_memory_equal(offset[0], offset[1], sizeof offset[0]);
        assert_int_equal(arena[0].peak, arena[1].peak);
    }
}

static void an_arena_has_limits(void **state) {
    (void)state;
    mebi__arena a;
    mebi_error err = {0};
    size_t at, first = 0;
    mebi__arena_init(&a, 1000); /* not a multiple of 64 */
    assert_mebi_ok(mebi__arena_take(&a, 960, &at, &err), &err);
    assert_int_equal(mebi__arena_take(&a, 41, &at, &err), MEBI_NO_MEMORY);
    assert_non_null(strstr(err.text, "1000 bytes"));
    assert_int_equal(mebi__arena_take(&a, SIZE_MAX, &at, NULL), MEBI_NO_MEMORY);
    assert_int_equal(mebi__arena_take(&a, SIZE_MAX - 63, &at, NULL), MEBI_NO_MEMORY);
    mebi__arena_init(&a, 0);
    assert_int_equal(mebi__arena_take(&a, 1, &at, NULL), MEBI_NO_MEMORY);
    /* A full table says so; a hole of just the size needs no further entry. */
    mebi__arena_init(&a, SIZE_MAX / 2);
    for (int i = 0; i < MEBI__ARENA_BLOCKS - 1; i++) {
        err = (mebi_error){0};
        assert_mebi_ok(mebi__arena_take(&a, 64, &at, &err), &err);
        if (i == 3) first = at;
    }
    err = (mebi_error){0};
    assert_int_equal(mebi__arena_take(&a, 64, &at, &err), MEBI_INTERNAL);
    assert_non_null(strstr(err.text, "256 blocks"));
    mebi__arena_give(&a, first);
    err = (mebi_error){0};
    assert_mebi_ok(mebi__arena_take(&a, 64, &at, &err), &err);
    assert_int_equal(at, first);
}

static void best_fit_merges_neighbours(void **state) {
    (void)state;
    mebi__arena a;
    size_t o[5], at;
    mebi__arena_init(&a, 1 << 20);
    static const size_t sizes[] = {640, 256, 640, 128, 64};
    for (int i = 0; i < 5; i++) assert_int_equal(mebi__arena_take(&a, sizes[i], &o[i], NULL), 0);
    mebi__arena_give(&a, o[1]); /* a hole of 256 */
    mebi__arena_give(&a, o[3]); /* one of 128 */
    assert_int_equal(mebi__arena_take(&a, 100, &at, NULL), MEBI_OK);
    assert_int_equal(at, o[3]);
    mebi__arena_give(&a, o[2]); /* 256 + 640 */
    assert_int_equal(mebi__arena_take(&a, 896, &at, NULL), MEBI_OK);
    assert_int_equal(at, o[1]);
    assert_int_equal(a.peak, 640 + 256 + 640 + 128 + 64);
}

/* ---- pool ---- */

typedef struct round_of_work {
    int alive; /* 0 once the round is over: no task may see that */
    int count, threads;
    _Atomic int done[300];
    _Atomic int wrong;
} round_of_work;

static void one_task(void *context, int task, int thread) {
    round_of_work *r = context;
    if (!r->alive || task < 0 || task >= r->count || thread < 0 || thread >= r->threads) r->wrong++;
    else r->done[task]++;
    if (r->count % 16 == 5 && task % 31 == 0) sched_yield();
}

static void every_task_runs_once(void **state) {
    (void)state;
    int rounds = getenv("MEBI_TEST_SHORT") ? 20 : 150;
    for (int threads = 1; threads <= 8; threads++) {
        mebi__pool *pool;
        mebi_error err = {0};
        assert_mebi_ok(mebi__pool_create(threads, &pool, &err), &err);
        assert_int_equal(mebi__pool_threads(pool), threads);
        for (int i = 0; i < rounds; i++) {
            /* On the heap and freed at once: a late worker that still used it would be seen. */
            round_of_work *r = calloc(1, sizeof *r);
            assert_non_null(r);
            r->alive = 1;
            r->threads = threads;
            r->count = i % 13 == 0 ? i % 2 : i * 7 % 300;
            mebi__pool_run(pool, r->count, one_task, r);
            int undone = 0;
            for (int k = 0; k < 300; k++) undone += r->done[k] != (k < r->count);
            assert_int_equal(undone, 0);
            assert_int_equal(r->wrong, 0);
            r->alive = 0;
            free(r);
        }
        mebi__pool_run(pool, 0, NULL, NULL);
        mebi__pool_run(pool, -5, NULL, NULL);
        mebi__pool_destroy(&pool);
        assert_null(pool);
        mebi__pool_destroy(&pool);
    }
}

static void wait_for_others(void *context, int task, int thread) {
    _Atomic int *here = context;
    (void)task, (void)thread;
    ++*here;
    while (*here < 3) sched_yield();
}

/* Three tasks that wait for each other end only if three threads run at once. */
static void threads_run_at_once(void **state) {
    (void)state;
    mebi__pool *pool;
    mebi_error err = {0};
    assert_mebi_ok(mebi__pool_create(3, &pool, &err), &err);
    for (int i = 0; i < 10; i++) {
        _Atomic int here = 0;
        mebi__pool_run(pool, 3, wait_for_others, &here);
        assert_int_equal(here, 3);
    }
    mebi__pool_destroy(&pool);
}

static void a_pool_that_cannot_be_had(void **state) {
    (void)state;
    static const int wrong[] = {0, -1, 257, INT_MAX, INT_MIN};
    mebi__pool *pool;
    for (size_t i = 0; i < 5; i++) {
        mebi_error err = {0};
        assert_int_equal(mebi__pool_create(wrong[i], &pool, &err), MEBI_BAD_ARGUMENT);
        assert_null(pool);
        assert_non_null(strstr(err.text, "1 to 256"));
    }
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    for (uint64_t nth = 1;; nth++) {
        mebi_error err = {0};
        mebi__memory_fail_nth(nth);
        mebi_status got = mebi__pool_create(4, &pool, &err);
        mebi__memory_fail_nth(0);
        mebi__pool_destroy(&pool);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
        if (got == MEBI_OK) {
            assert_int_equal(nth, 6); /* the pool, its table, three threads' starts */
            break;
        }
        assert_int_equal(got, MEBI_NO_MEMORY);
    }
}

/* ---- random numbers ---- */

static void noise_is_pytorchs_bit_for_bit(void **state) {
    (void)state;
    mebi__safetensors file;
    mebi_error err = {0};
    int compared = 0;
    assert_mebi_ok(mebi__safetensors_open(MEBI_FIXTURES "/randn.safetensors", &file, &err), &err);
    for (int i = 0; i < file.count; i++) {
        const mebi__stored *t = &file.tensor[i];
        char kind[8];
        unsigned long long seed;
        size_t count;
        assert_int_equal(sscanf(t->name, "%7[a-z2].%llu.%zu", kind, &seed, &count), 3);
        assert_int_equal(t->bytes, count * sizeof(float));
        float *got = take_bytes(t->bytes);
        mebi__rng rng;
        mebi__rng_seed(&rng, seed);
        mebi__rng_normal(&rng,
                         strcmp(kind, "avx2") == 0 ? MEBI__RNG_TORCH_AVX2 : MEBI__RNG_TORCH_SCALAR,
                         got, count);
        for (size_t k = 0; k < count; k++)
            if (memcmp(&got[k], t->data + 4 * k, 4) != 0) fail_msg("%s: value %zu", t->name, k);
        free(got);
        compared++;
    }
    assert_int_equal(compared, 34); /* 2 kernels x (3 seeds x 5 sizes + 2 of a long seed) */
    mebi__safetensors_close(&file);
}

static void only_the_low_32_bits_of_a_seed_count(void **state) {
    (void)state;
    mebi__rng a, b;
    mebi__rng_seed(&a, 43);
    mebi__rng_seed(&b, 43 + ((uint64_t)7 << 32));
    for (int i = 0; i < 2000; i++) assert_int_equal(mebi__rng_next(&a), mebi__rng_next(&b));
    /* The generator's published check: the 10000th value of seed 5489. */
    uint32_t last = 0;
    mebi__rng_seed(&a, 5489);
    for (int i = 0; i < 10000; i++) last = mebi__rng_next(&a);
    assert_int_equal(last, 4123659995u);
}

static void noise_is_normal(void **state) {
    (void)state;
    enum { COUNT = 200003 };
    float *v = take_bytes(sizeof *v * COUNT);
    for (int kernel = 0; kernel < 2; kernel++) {
        mebi__rng rng;
        double sum = 0, squares = 0;
        int wild = 0;
        mebi__rng_seed(&rng, 99);
        mebi__rng_normal(&rng, (mebi__rng_kernel)kernel, v, COUNT);
        for (int i = 0; i < COUNT; i++) {
            wild += !(fabsf(v[i]) < 7);
            sum += (double)v[i];
            squares += (double)v[i] * (double)v[i];
        }
        assert_int_equal(wild, 0);
        assert_true(fabs(sum / COUNT) < 0.01);
        assert_true(fabs(squares / COUNT - 1) < 0.01);
    }
    free(v);
}

/* ---- files ---- */

static void files_are_mapped(void **state) {
    (void)state;
    path_text folder = make_folder(), path = path_of("%s/a file", folder.text);
    mebi_error err = {0};
    mebi__map map, other;
    write_bytes(path.text, "hello", 5);
    assert_mebi_ok(mebi__map_open(path.text, &map, &err), &err);
    assert_int_equal(map.bytes, 5);
    assert_memory_equal(map.data, "hello", 5);
    struct stat st;
    assert_int_equal(stat(path.text, &st), 0);
    assert_true(map.inode == (uint64_t)st.st_ino && map.device == (uint64_t)st.st_dev);
    assert_true(map.modified_ns > 0);
    const mebi__map *maps[] = {&map};
    assert_int_equal(mebi__resident_now(maps, 1).in_maps, 4096);
    mebi__map_close(&map);
    assert_null(map.data);
    mebi__map_close(&map);
    write_bytes(path.text, "", 0);
    assert_mebi_ok(mebi__map_open(path.text, &map, &err), &err);
    assert_null(map.data);
    assert_int_equal(map.bytes, 0);
    assert_int_equal(mebi__resident_now(maps, 1).in_maps, 0);
    mebi__map_close(&map);
    assert_int_equal(mebi__map_open(folder.text, &other, &err), MEBI_IO);
    assert_non_null(strstr(err.text, "not a regular file"));
    err = (mebi_error){0};
    assert_int_equal(mebi__map_open(path_of("%s/none", folder.text).text, &other, &err), MEBI_IO);
    assert_non_null(strstr(err.text, "/none can't be opened: No such file"));
    /* A pipe without a writer must not hang. */
    path_text pipe_path = path_of("%s/pipe", folder.text);
    assert_int_equal(mkfifo(pipe_path.text, 0600), 0);
    assert_int_equal(mebi__map_open(pipe_path.text, &other, NULL), MEBI_IO);
    remove_path(folder.text);
}

static void files_are_read_up_to_a_limit(void **state) {
    (void)state;
    path_text folder = make_folder(), path = path_of("%s/text", folder.text);
    mebi_error err = {0};
    char *text;
    size_t bytes;
    write_bytes(path.text, "ab\0cd", 5);
    assert_mebi_ok(mebi__read_file(path.text, 5, &text, &bytes, &err), &err);
    assert_int_equal(bytes, 5);
    assert_memory_equal(text, "ab\0cd\0", 6);
    mebi__free(text);
    assert_int_equal(mebi__read_file(path.text, 4, &text, &bytes, &err), MEBI_BAD_FILE);
    assert_null(text);
    assert_non_null(strstr(err.text, "has 5 bytes; at most 4 are read"));
    mebi__memory_fail_nth(1);
    assert_int_equal(mebi__read_file(path.text, 5, &text, &bytes, NULL), MEBI_NO_MEMORY);
    mebi__memory_fail_nth(0);
    write_bytes(path.text, "", 0);
    err = (mebi_error){0};
    assert_mebi_ok(mebi__read_file(path.text, 0, &text, &bytes, &err), &err);
    assert_string_equal(text, "");
    mebi__free(text);
    assert_int_equal(mebi__read_file(folder.text, 9, &text, &bytes, NULL), MEBI_IO);
    remove_path(folder.text);
}

static void folders_are_made(void **state) {
    (void)state;
    path_text folder = make_folder(), deep = path_of("%s//a/b c/d/", folder.text);
    mebi_error err = {0};
    assert_mebi_ok(mebi__make_directories(deep.text, &err), &err);
    assert_true(mebi__is_directory(deep.text));
    assert_mebi_ok(mebi__make_directories(deep.text, &err), &err);
    assert_mebi_ok(mebi__make_directories("/", &err), &err);
    assert_mebi_ok(mebi__make_directories("", &err), &err);
    path_text file = path_of("%s/file", folder.text);
    write_text(file.text, "x");
    assert_true(mebi__is_file(file.text) && !mebi__is_directory(file.text));
    assert_false(mebi__is_file(folder.text));
    assert_int_equal(mebi__make_directories(path_of("%s/under/it", file.text).text, &err), MEBI_IO);
    assert_non_null(strstr(err.text, "/file"));
    err = (mebi_error){0};
    assert_int_equal(mebi__make_directories(file.text, &err), MEBI_IO);
    remove_path(folder.text);
}

static void written_files_are_whole_and_never_replaced(void **state) {
    (void)state;
    path_text folder = make_folder(), path = path_of("%s/out.png", folder.text);
    mebi_error err = {0};
    int exists = 7;
    size_t bytes;
    assert_mebi_ok(mebi__write_file(path.text, "first", 5, &exists, &err), &err);
    assert_int_equal(exists, 0);
    assert_int_equal(mebi__write_file(path.text, "second", 6, &exists, &err), MEBI_IO);
    assert_int_equal(exists, 1);
    assert_non_null(strstr(err.text, "File exists"));
    assert_int_equal(mebi__write_file(path.text, "second", 6, NULL, NULL), MEBI_IO);
    unsigned char *data = read_bytes(path.text, &bytes);
    assert_int_equal(bytes, 5);
    assert_memory_equal(data, "first", 5);
    free(data);
    /* Nor is a link that leads nowhere. */
    path_text dangling = path_of("%s/link", folder.text);
    assert_int_equal(symlink("/nowhere/at all", dangling.text), 0);
    assert_int_equal(mebi__write_file(dangling.text, "x", 1, &exists, NULL), MEBI_IO);
    assert_int_equal(exists, 1);
    assert_int_equal(
        mebi__write_file(path_of("%s/no/folder", folder.text).text, "x", 1, &exists, NULL),
        MEBI_IO);
    assert_int_equal(exists, 0);
    char long_name[300];
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    assert_int_equal(
        mebi__write_file(path_of("%s/%s", folder.text, long_name).text, "x", 1, NULL, NULL),
        MEBI_IO);
    assert_mebi_ok(mebi__write_file(path_of("%s/empty", folder.text).text, NULL, 0, NULL, &err),
                   &err);
    assert_int_equal(files_in(folder.text), 3);
    remove_path(folder.text);
}

/* Runs write_file in a child under a condition that would hurt the test program; returns its
 * status. */
static mebi_status write_in_child(const char *path, size_t bytes, size_t file_limit,
                                  int unprivileged) {
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        void *data = calloc(1, bytes);
        signal(SIGXFSZ, SIG_IGN);
        if (file_limit) setrlimit(RLIMIT_FSIZE, &(struct rlimit){file_limit, file_limit});
        if (unprivileged && geteuid() == 0 && seteuid(65534) != 0) _exit(99);
        mebi_error err = {0};
        mebi_status got = mebi__write_file(path, data, bytes, NULL, &err);
        if (got != MEBI_OK && !err.text[0]) got = (mebi_status)98;
        _exit((int)got);
    }
    int code;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code));
    return (mebi_status)WEXITSTATUS(code);
}

static void a_failed_write_leaves_nothing(void **state) {
    (void)state;
    path_text folder = make_folder(), path = path_of("%s/big", folder.text);
    assert_int_equal(write_in_child(path.text, 1 << 20, 100000, 0), MEBI_IO);
    assert_int_equal(files_in(folder.text), 0);
    assert_int_equal(chmod(folder.text, 0555), 0);
    assert_int_equal(write_in_child(path.text, 10, 0, 1), MEBI_IO);
    assert_int_equal(files_in(folder.text), 0);
    assert_int_equal(chmod(folder.text, 0700), 0);
    for (uint64_t nth = 1; nth <= 3; nth++) {
        mebi__memory_fail_nth(nth);
        mebi_status got = mebi__write_file(path.text, "x", 1, NULL, NULL);
        mebi__memory_fail_nth(0);
        /* The first two are names; without the third the folder is not synced. */
        assert_int_equal(got, nth < 3 ? MEBI_NO_MEMORY : MEBI_OK);
        assert_int_equal(files_in(folder.text), nth == 3);
    }
    remove_path(folder.text);
}

/* In the place of the system's: in what order a file and its folder were synced, and what stood under the
 * file's name then. */
static char syncs[200];
static const char *synced_path;
static int sync_fails;

int fsync(int fd) {
    struct stat st;
    char *text;
    size_t bytes;
    mebi_error err = {0};
    if (synced_path && fstat(fd, &st) == 0 &&
        mebi__read_file(synced_path, 100, &text, &bytes, &err) == MEBI_OK) {
        size_t used = strlen(syncs);
        snprintf(syncs + used, sizeof syncs - used, "%s:%s ", S_ISDIR(st.st_mode) ? "folder" : "file",
                 text);
        mebi__free(text);
    }
    if (!sync_fails) return (int)syscall(SYS_fsync, fd);
    errno = EIO;
    return -1;
}

static mebi_status replace_durably(const char *path, const char *text, mebi_error *err) {
    mebi__writer w;
    assert_mebi_ok(mebi__writer_open(path, &w, err), err);
    assert_mebi_ok(mebi__writer_append(&w, text, strlen(text), err), err);
    return mebi__writer_replace_durably(&w, err);
}

static void a_durable_replacement_is_synced_before_and_after(void **state) {
    path_text folder = make_folder(), path = path_of("%s/f", folder.text);
    char *text;
    size_t bytes;
    mebi_error err = {0};
    (void)state;
    write_text(path.text, "old");
    synced_path = path.text;
    *syncs = 0;
    assert_mebi_ok(replace_durably(path.text, "new", &err), &err);
    assert_string_equal(syncs, "file:old folder:new ");
    sync_fails = 1;
    assert_int_equal(replace_durably(path.text, "lost", &err), MEBI_IO);
    sync_fails = 0;
    synced_path = NULL;
    err = (mebi_error){0};
    assert_mebi_ok(mebi__read_file(path.text, 100, &text, &bytes, &err), &err);
    assert_string_equal(text, "new");
    mebi__free(text);
    unlink(path.text);
    assert_int_equal(rmdir(folder.text), 0); /* nothing else is left */
}

static void paths_are_joined(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "/b"}, {"/", "b", "/b"}};
    for (int i = 0; i < 4; i++) {
        char *path = mebi__join_path(cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        mebi__free(path);
    }
    mebi__memory_fail_nth(1);
    assert_null(mebi__join_path("a", "b"));
    mebi__memory_fail_nth(0);
}

static void figures_of_the_system_are_sane(void **state) {
    (void)state;
    double before = mebi__now_seconds();
    assert_true(mebi__random_bits() != mebi__random_bits());
    assert_true(mebi__now_seconds() >= before);
    long online = sysconf(_SC_NPROCESSORS_CONF);
    int cores = mebi__physical_cores();
    assert_true(cores >= 1 && cores <= online);
    size_t resident = mebi__resident_now(NULL, 0).bytes, peak = mebi__resident_peak();
    assert_true(resident > 1 << 20 && peak >= resident / 2);
    size_t physical = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    size_t free_bytes = mebi__memory_available();
    assert_true(free_bytes > 16 << 20 && free_bytes <= physical);
    /* What is taken is seen. */
    unsigned char *block = mebi__alloc(MEBI__TAG_GENERAL, 64 << 20);
    assert_non_null(block);
    memset(block, 1, 64 << 20);
    size_t more = mebi__resident_now(NULL, 0).bytes - resident;
    assert_true(more > 60 << 20 && more < 512 << 20);
    mebi__free(block);
    assert_true(mebi__resident_now(NULL, 0).bytes < resident + (16 << 20));
}

/* Pinned to one processor there is one core, whichever it is. */
static void a_pinned_process_has_one_core(void **state) {
    (void)state;
    cpu_set_t all;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all)) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (sched_setaffinity(0, sizeof one, &one) != 0) continue;
        assert_int_equal(mebi__physical_cores(), 1);
    }
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}

/* The look comes before the first byte is written. */
static void what_is_not_free_is_not_touched(void **state) {
    (void)state;
    unsigned char block[4096] = {0};
    size_t available = mebi__memory_available();
    assert_int_equal(mebi__memory_touch(block, sizeof block), 1);
    for (size_t i = 0; i < sizeof block; i++) assert_int_equal(block[i], 0xff);
    if (available == SIZE_MAX) return; /* nothing tells on this system */
    block[0] = 1;
    assert_int_equal(mebi__memory_touch(block, available + (available >> 1)), 0);
    assert_int_equal(block[0], 1);
    /* What tests pretend is for plans: the system has it all the same. */
    mebi__memory_pretend_available(1);
    assert_int_equal(mebi__memory_touch(block, sizeof block), 1);
    mebi__memory_pretend_available(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_error_wins),
        cmocka_unit_test(long_text_is_cut_between_characters),
        cmocka_unit_test(a_text_that_just_fits_is_whole),
        cmocka_unit_test(every_status_has_a_text),
        cmocka_unit_test(blocks_are_zeroed_aligned_and_counted),
        cmocka_unit_test(peaks_stay),
        cmocka_unit_test(absurd_sizes_are_refused),
        cmocka_unit_test(realloc_keeps_contents),
        cmocka_unit_test(the_nth_allocation_fails_once),
        cmocka_unit_test(counters_hold_from_many_threads),
        cmocka_unit_test(random_blocks_never_overlap),
        cmocka_unit_test(offsets_do_not_depend_on_the_limit),
        cmocka_unit_test(an_arena_has_limits),
        cmocka_unit_test(best_fit_merges_neighbours),
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(threads_run_at_once),
        cmocka_unit_test(a_pool_that_cannot_be_had),
        cmocka_unit_test(noise_is_pytorchs_bit_for_bit),
        cmocka_unit_test(only_the_low_32_bits_of_a_seed_count),
        cmocka_unit_test(noise_is_normal),
        cmocka_unit_test(files_are_mapped),
        cmocka_unit_test(files_are_read_up_to_a_limit),
        cmocka_unit_test(folders_are_made),
        cmocka_unit_test(written_files_are_whole_and_never_replaced),
        cmocka_unit_test(a_failed_write_leaves_nothing),
        cmocka_unit_test(a_durable_replacement_is_synced_before_and_after),
        cmocka_unit_test(paths_are_joined),
        cmocka_unit_test(figures_of_the_system_are_sane),
        cmocka_unit_test(what_is_not_free_is_not_touched),
        cmocka_unit_test(a_pinned_process_has_one_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

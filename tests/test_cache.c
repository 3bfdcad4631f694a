/* The cache of prepared weights: processes that race, die, and find their folder spoilt. */
#include "testing.h"

#include "base/cache.h"
#include "base/hash.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB    ((size_t)1 << 20)
#define ENDING ".mebi-cache"

static char folder[64], cache[80]; /* of this test; the cache is not made yet */

static int enter_folder(void **state) {
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/mebi-cache-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) return -1;
    snprintf(cache, sizeof cache, "%s/a/b", folder);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static int leave_folder(void **state) {
    (void)state;
    return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *path_of(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", cache, name);
    return path;
}

static int files_in_cache(void) {
    DIR *d = opendir(cache);
    int count = 0;
    for (struct dirent *e; d && (e = readdir(d));) count += e->d_name[0] != '.';
    if (d) closedir(d);
    return count;
}

/* ---- opening and filling ---- */

static mebi_status try_open(const char *key, size_t bytes, uint64_t limit, mebi__cache_entry *entry,
                            mebi_error *err) {
    return mebi__cache_open(
        &(mebi__cache_request){
            .folder = cache, .key = key, .bytes = bytes, .limit_bytes = limit, .wait_seconds = 60},
        entry, err);
}

static mebi__cache_entry must_open(const char *key, size_t bytes, int ready) {
    mebi__cache_entry entry;
    mebi_error err = {0};
    assert_mebi_ok(try_open(key, bytes, 0, &entry, &err), &err);
    assert_int_equal(entry.ready, ready);
    assert_int_equal(entry.bytes, bytes);
    assert_int_equal((uintptr_t)entry.data % 4096, 0);
    return entry;
}

/* What byte i of an entry is in these tests. */
static unsigned char wanted(size_t i, unsigned char salt) {
    return (unsigned char)(i * 7 + (i >> 8) * 13 + (i >> 20) + salt);
}

static void fill(mebi__cache_entry *entry, unsigned char salt) {
    for (size_t i = 0; i < entry->bytes; i++) entry->data[i] = wanted(i, salt);
}

static void assert_filled(const mebi__cache_entry *entry, unsigned char salt) {
    size_t wrong = 0;
    for (size_t i = 0; i < entry->bytes; i++) wrong += entry->data[i] != wanted(i, salt);
    assert_int_equal(wrong, 0);
}

static void must_make(const char *key, size_t bytes, unsigned char salt) {
    mebi_error err = {0};
    mebi__cache_entry entry = must_open(key, bytes, 0);
    fill(&entry, salt);
    assert_mebi_ok(mebi__cache_commit(&entry, &err), &err);
    assert_int_equal(entry.ready, 1);
    mebi__cache_close(&entry);
}

static void must_have(const char *key, size_t bytes, unsigned char salt) {
    mebi__cache_entry entry = must_open(key, bytes, 1);
    assert_filled(&entry, salt);
    mebi__cache_close(&entry);
}

static void comes_back_as_it_was_filled(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 7, 8, 4095, 4097, 1 << 20, (1 << 20) + 1, (40 << 20) + 5};
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    mebi_error err = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char key[32];
        snprintf(key, sizeof key, "size-%zu", sizes[i]);
        must_make(key, sizes[i], (unsigned char)i);
        must_have(key, sizes[i], (unsigned char)i);
        assert_mebi_ok(mebi__cache_verify(cache, key, &err), &err);
    }
    assert_int_equal(files_in_cache(), 8);
    assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
    struct stat st;
    assert_int_equal(stat(cache, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void a_new_entry_is_zeros_and_stays_in_place(void **state) {
    (void)state;
    mebi_error err = {0};
    mebi__cache_entry entry = must_open("a", 3 * MIB, 0);
    for (size_t i = 0; i < entry.bytes; i++) assert_int_equal(entry.data[i], 0);
    fill(&entry, 1);
    unsigned char *data = entry.data;
    assert_mebi_ok(mebi__cache_commit(&entry, &err), &err);
    assert_ptr_equal(entry.data, data);
    assert_filled(&entry, 1);
    assert_mebi_ok(mebi__cache_commit(&entry, &err), &err); /* again: nothing to do */
    const mebi__map *maps[] = {&entry.map};
    assert_true(mebi__resident_now(maps, 1).in_maps >= 3 * MIB);
    mebi__cache_close(&entry);
    mebi__cache_close(&entry);
    mebi__cache_close(NULL);
    mebi__cache_close(&(mebi__cache_entry){0});
    assert_true(fcntl(0, F_GETFD) >= 0); /* closing nothing closes nothing */
}

/* Writing to a committed entry ends the process: nothing can spoil what others read. */
static void committed_is_read_only(void **state) {
    (void)state;
    for (int again = 0; again < 2; again++) {
        mebi_error err = {0};
        mebi__cache_entry entry = must_open("a", 100, again);
        if (!again) assert_mebi_ok(mebi__cache_commit(&entry, &err), &err);
        int how;
        pid_t pid = fork();
        if (pid == 0) {
            signal(SIGSEGV, SIG_DFL);
            close(2);
            *(volatile unsigned char *)entry.data = 1;
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &how, 0), pid);
        assert_false(WIFEXITED(how) && WEXITSTATUS(how) == 0);
        mebi__cache_close(&entry);
    }
}

static void uncommitted_leaves_nothing(void **state) {
    (void)state;
    mebi__cache_entry entry = must_open("a", 5 * MIB, 0);
    assert_int_equal(files_in_cache(), 1);
    fill(&entry, 1);
    mebi__cache_close(&entry);
    assert_int_equal(files_in_cache(), 0);
    entry = must_open("a", 5 * MIB, 0);
    mebi__cache_close(&entry);
}

static void bad_keys_and_sizes_are_refused(void **state) {
    (void)state;
    char long_key[MEBI__CACHE_KEY + 2];
    memset(long_key, 'k', sizeof long_key);
    long_key[MEBI__CACHE_KEY + 1] = 0;
    const char *const keys[] = {NULL,  "",    ".",   "..",       "../x",
                                "a/b", "a b", "a\n", "\xc3\xa4", long_key};
    mebi__cache_entry entry;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        mebi_error err = {0};
        assert_int_equal(try_open(keys[i], 1, 0, &entry, &err), MEBI_BAD_ARGUMENT);
        assert_non_null(strstr(err.text, "key"));
        assert_null(entry.data);
        mebi__cache_close(&entry);
    }
    long_key[MEBI__CACHE_KEY] = 0;
    must_make(long_key, 1, 0);
    volatile size_t most = SIZE_MAX;
    mebi_error err = {0};
    assert_int_equal(try_open("a", 0, 0, &entry, &err), MEBI_BAD_ARGUMENT);
    assert_int_equal(try_open("a", most, 0, &entry, &err), MEBI_BAD_ARGUMENT);
    assert_int_equal(files_in_cache(), 1);
}

/* ---- files that are not what they should be ---- */

static void flip(const char *name, off_t at) {
    int fd = open(path_of(name), O_RDWR);
    unsigned char byte;
    struct stat st;
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    if (at < 0) at += st.st_size;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Of few chunks all are looked at, so every flip is found: header, payload, table. */
static void flipped_bits_are_found(void **state) {
    (void)state;
    static const off_t places[] = {
        0, 8, 12, 16, 24, 32, 40, 239, 240, 4096, 4096 + 12345, 4096 + 3145728, -1, -32};
    const size_t bytes = 3 * MIB + 77; /* 4 chunks; the last byte of the payload is in the last */
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        must_make("a", bytes, (unsigned char)i);
        must_have("a", bytes, (unsigned char)i);
        flip("a" ENDING, places[i]);
        mebi_error err = {0};
        assert_int_equal(mebi__cache_verify(cache, "a", &err), MEBI_BAD_FILE);
        assert_non_null(strstr(err.text, "a" ENDING));
        mebi__cache_entry entry = must_open("a", bytes, 0);
        mebi__cache_close(&entry);
        assert_int_equal(files_in_cache(), 0); /* what was harmed went away */
    }
}

/* Of a large entry first and last chunk are always looked at, everything by verify. */
static void large_entries_are_sampled(void **state) {
    (void)state;
    const size_t bytes = 100 * MIB;
    mebi_error err = {0};
    must_make("a", bytes, 1);
    flip("a" ENDING, 4096 + 5);
    mebi__cache_entry entry = must_open("a", bytes, 0);
    mebi__cache_close(&entry);
    must_make("a", bytes, 1);
    flip("a" ENDING, 4096 + (off_t)bytes - 1);
    entry = must_open("a", bytes, 0);
    mebi__cache_close(&entry);
    must_make("a", bytes, 1);
    flip("a" ENDING, 4096 + 50 * (off_t)MIB);
    assert_int_equal(mebi__cache_verify(cache, "a", &err), MEBI_BAD_FILE);
    /* One of six or seven chunks is drawn each time: 200 openings miss it once in 2e13. */
    int found = 0;
    for (int i = 0; i < 200 && !found; i++) {
        err = (mebi_error){0};
        assert_mebi_ok(try_open("a", bytes, 0, &entry, &err), &err);
        found = !entry.ready;
        mebi__cache_close(&entry);
    }
    assert_int_equal(found, 1);
}

static void other_sizes_and_names_count_as_missing(void **state) {
    (void)state;
    must_make("a", 5000, 1);
    mebi__cache_entry entry = must_open("a", 5001, 0);
    mebi__cache_close(&entry);
    must_make("a", 5000, 1);
    char from[512];
    snprintf(from, sizeof from, "%s", path_of("a" ENDING));
    assert_int_equal(rename(from, path_of("b" ENDING)), 0);
    entry = must_open("b", 5000, 0);
    mebi__cache_close(&entry);
    static const off_t lengths[] = {0, 1, 4095, 4096, 9096, 20000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        must_make("c", 5000, 1);
        assert_int_equal(truncate(path_of("c" ENDING), lengths[i]), 0);
        entry = must_open("c", 5000, 0);
        mebi__cache_close(&entry);
    }
}

/* Links in the place of files are not followed, and what they point to stays as it is. */
static void links_are_not_followed(void **state) {
    (void)state;
    char victim[128];
    snprintf(victim, sizeof victim, "%s/victim", folder);
    must_make("a", 5000, 1);
    for (int part = 0; part < 2; part++) {
        const char *name = part ? "b" ENDING ".part" : "b" ENDING;
        assert_int_equal(rename(path_of("a" ENDING), victim), 0);
        assert_int_equal(symlink(victim, path_of(name)), 0);
        must_make("b", 5000, 2);
        must_have("b", 5000, 2);
        assert_int_equal(rename(victim, path_of("a" ENDING)), 0);
        must_have("a", 5000, 1);
        assert_int_equal(unlink(path_of("b" ENDING)), 0);
    }
    assert_int_equal(files_in_cache(), 1);
}

static void folders_in_the_way_end_in_a_sentence(void **state) {
    (void)state;
    mebi__cache_entry entry = must_open("a", 5000, 0);
    mebi_error err = {0};
    fill(&entry, 3);
    assert_int_equal(mkdir(path_of("a" ENDING), 0700), 0);
    assert_int_equal(mebi__cache_commit(&entry, &err), MEBI_IO);
    assert_non_null(strstr(err.text, "a" ENDING));
    assert_filled(&entry, 3); /* the caller goes on with what it has */
    assert_int_equal(entry.ready, 0);
    mebi__cache_close(&entry);
    assert_int_equal(files_in_cache(), 1);
    /* A file where the folder should be. */
    snprintf(cache, sizeof cache, "%s/file/b", folder);
    char file[128];
    snprintf(file, sizeof file, "%s/file", folder);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    err = (mebi_error){0};
    assert_int_equal(try_open("a", 1, 0, &entry, &err), MEBI_IO);
    assert_non_null(strstr(err.text, file));
}

static void removed_while_it_was_made(void **state) {
    (void)state;
    mebi__cache_entry entry = must_open("a", 5000, 0);
    mebi_error err = {0};
    fill(&entry, 3);
    assert_int_equal(unlink(path_of("a" ENDING ".part")), 0);
    assert_int_equal(mebi__cache_commit(&entry, &err), MEBI_IO);
    assert_non_null(strstr(err.text, "removed while"));
    assert_filled(&entry, 3);
    mebi__cache_close(&entry);
    assert_int_equal(files_in_cache(), 0);
}

/* ---- processes ---- */

static void await_exit(pid_t pid, int code) {
    int how;
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), code);
}

static void nap_ms(int ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static void must_pipe(int ends[2]) {
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
}

/* In a child: opens, fills and commits, taking its time. Exit code: 10 made, 11 found, 12 wrong
 * bytes, 13 failed. */
static void make_or_find(const char *key, size_t bytes, unsigned char salt, int start_fd) {
    mebi__cache_entry entry;
    mebi_error err = {0};
    char byte;
    if (read(start_fd, &byte, 1) != 0) _exit(13); /* all at once, when the other end is closed */
    if (try_open(key, bytes, 0, &entry, &err) != MEBI_OK) _exit(13);
    int ready = entry.ready;
    if (!ready) {
        fill(&entry, salt);
        nap_ms(50);
        if (mebi__cache_commit(&entry, &err) != MEBI_OK) _exit(13);
    }
    for (size_t i = 0; i < bytes; i++)
        if (entry.data[i] != wanted(i, salt)) _exit(12);
    mebi__cache_close(&entry);
    _exit(ready ? 11 : 10);
}

static void one_makes_it_and_the_others_wait(void **state) {
    (void)state;
    enum { PROCESSES = 6, ROUNDS = 5 };
    for (int round = 0; round < ROUNDS; round++) {
        int start[2], made = 0, found = 0, how;
        char key[16];
        pid_t pids[PROCESSES];
        snprintf(key, sizeof key, "k%d", round);
        must_pipe(start);
        for (int i = 0; i < PROCESSES; i++)
            if ((pids[i] = fork()) == 0) {
                close(start[1]);
                make_or_find(key, MIB + 9, (unsigned char)round, start[0]);
            }
        close(start[0]);
        close(start[1]);
        for (int i = 0; i < PROCESSES; i++) {
            assert_int_equal(waitpid(pids[i], &how, 0), pids[i]);
            assert_true(WIFEXITED(how));
            made += WEXITSTATUS(how) == 10;
            found += WEXITSTATUS(how) == 11;
        }
        assert_int_equal(made, 1);
        assert_int_equal(found, PROCESSES - 1);
        assert_int_equal(files_in_cache(), round + 1);
    }
}

/* A child that has opened the entry, half filled it, and sleeps. */
static pid_t start_maker(const char *key, size_t bytes) {
    int ready[2];
    char byte;
    must_pipe(ready);
    pid_t pid = fork();
    if (pid == 0) {
        mebi__cache_entry entry;
        mebi_error err = {0};
        if (try_open(key, bytes, 0, &entry, &err) != MEBI_OK) _exit(13);
        memset(entry.data, 0xee, bytes / 2);
        (void)!write(ready[1], "", 1);
        nap_ms(60000);
        _exit(0);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void end_maker(pid_t pid) {
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void the_dead_block_nobody(void **state) {
    (void)state;
    pid_t pid = start_maker("a", 2 * MIB);
    assert_int_equal(files_in_cache(), 1);
    end_maker(pid);
    assert_int_equal(files_in_cache(), 1); /* its rest */
    must_make("a", 2 * MIB, 5);
    must_have("a", 2 * MIB, 5);
    assert_int_equal(files_in_cache(), 1);
    /* The rest of another key goes when the next entry is made. */
    end_maker(start_maker("b", 2 * MIB));
    assert_int_equal(files_in_cache(), 2);
    must_make("c", 100, 6);
    assert_int_equal(files_in_cache(), 2);
    must_have("a", 2 * MIB, 5);
    must_have("c", 100, 6);
}

/* Killed while another one waits: the other makes it. */
static void who_waits_takes_over(void **state) {
    (void)state;
    pid_t maker = start_maker("a", MIB);
    int start[2];
    must_pipe(start);
    pid_t waiter = fork();
    if (waiter == 0) {
        close(start[1]);
        make_or_find("a", MIB, 7, start[0]);
    }
    close(start[0]);
    close(start[1]);
    nap_ms(150);
    assert_int_equal(waitpid(waiter, NULL, WNOHANG), 0); /* it does wait */
    end_maker(maker);
    await_exit(waiter, 10);
    must_have("a", MIB, 7);
}

static int asked;

static int cancel_third(void *context) {
    (void)context;
    return ++asked >= 3;
}

static void waiting_ends(void **state) {
    (void)state;
    pid_t maker = start_maker("a", MIB);
    mebi__cache_entry entry;
    mebi_error err = {0};
    mebi__cache_request request = {.folder = cache, .key = "a", .bytes = MIB, .wait_seconds = 0.2};
    assert_int_equal(mebi__cache_open(&request, &entry, &err), MEBI_IO);
    assert_non_null(strstr(err.text, "too long"));
    assert_null(entry.data);
    err = (mebi_error){0};
    asked = 0;
    request.wait_seconds = 60;
    request.cancelled = cancel_third;
    assert_int_equal(mebi__cache_open(&request, &entry, &err), MEBI_CANCELLED);
    assert_int_equal(asked, 3);
    must_make("b", 100, 1); /* other entries don't wait, and don't sweep away what is alive */
    assert_int_equal(files_in_cache(), 2);
    end_maker(maker);
}

/* Deleting a file takes it from nobody who has it mapped. */
static void mapped_outlives_its_file(void **state) {
    (void)state;
    int count;
    uint64_t bytes;
    mebi_error err = {0};
    must_make("a", 2 * MIB, 8);
    mebi__cache_entry entry = must_open("a", 2 * MIB, 1);
    pid_t maker = start_maker("b", 100);
    assert_mebi_ok(mebi__cache_clear(cache, &count, &bytes, &err), &err);
    assert_int_equal(count, 1);
    assert_true(bytes > 2 * MIB && bytes < 2 * MIB + 8192);
    assert_int_equal(files_in_cache(), 1); /* the one being made */
    assert_filled(&entry, 8);
    mebi__cache_close(&entry);
    end_maker(maker);
    assert_mebi_ok(mebi__cache_clear(cache, &count, &bytes, &err), &err);
    assert_int_equal(count, 0);
    assert_int_equal(files_in_cache(), 0);
}

/* ---- room ---- */

/* Last used so many seconds before now. */
static void age(const char *name, int seconds) {
    struct timespec now, times[2];
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec -= seconds;
    times[0] = times[1] = now;
    assert_int_equal(utimensat(AT_FDCWD, path_of(name), times, 0), 0);
}

static void assert_keys(const char *first, const char *second, const char *third) {
    mebi__cache_item *items;
    int count;
    mebi_error err = {0};
    const char *const keys[] = {first, second, third};
    assert_mebi_ok(mebi__cache_list(cache, &items, &count, &err), &err);
    for (int i = 0; i < 3; i++) {
        if (!keys[i]) break;
        assert_true(i < count);
        assert_string_equal(items[i].key, keys[i]);
        assert_true(items[i].bytes > 0);
    }
    assert_int_equal(count, !!first + !!second + !!third);
    mebi__free(items);
}

static void the_unused_make_room(void **state) {
    (void)state;
    mebi__cache_entry entry;
    mebi_error err = {0};
    must_make("a", MIB, 1);
    must_make("b", MIB, 2);
    must_make("c", MIB, 3);
    age("a" ENDING, 300);
    age("b" ENDING, 200);
    age("c" ENDING, 100);
    assert_keys("c", "b", "a");
    must_have("a", MIB, 1); /* used now */
    assert_keys("a", "c", "b");
    /* Three and a bit fit: one has to go, the one unused for longest. */
    assert_mebi_ok(try_open("d", MIB, 3 * MIB + MIB / 2, &entry, &err), &err);
    assert_mebi_ok(mebi__cache_commit(&entry, &err), &err);
    mebi__cache_close(&entry);
    age("a" ENDING, 50);
    assert_keys("d", "a", "c");
    /* More than all: nothing goes, and the text says so. */
    assert_int_equal(try_open("e", 4 * MIB, 4 * MIB, &entry, &err), MEBI_IO);
    assert_non_null(strstr(err.text, "may hold"));
    assert_keys("d", "a", "c");
    assert_int_equal(files_in_cache(), 3);
    /* What others are making counts, and stays. */
    pid_t maker = start_maker("f", 2 * MIB);
    err = (mebi_error){0};
    assert_mebi_ok(try_open("g", MIB, 4 * MIB, &entry, &err), &err);
    assert_keys(NULL, NULL, NULL);
    assert_int_equal(files_in_cache(), 2);
    mebi__cache_close(&entry);
    err = (mebi_error){0};
    assert_int_equal(try_open("g", MIB, 3 * MIB, &entry, &err), MEBI_IO);
    end_maker(maker);
}

/* An entry larger than any disk: refused before anything is deleted. */
static void a_full_disk_is_told(void **state) {
    (void)state;
    mebi__cache_entry entry;
    mebi_error err = {0};
    must_make("a", MIB, 1);
    assert_int_equal(try_open("b", (size_t)1 << 60, UINT64_MAX, &entry, &err), MEBI_IO);
    assert_non_null(strstr(err.text, "disk"));
    assert_keys("a", NULL, NULL);
    assert_int_equal(files_in_cache(), 1);
}

static void no_room_for_a_file_is_told(void **state) {
    (void)state;
    must_make("a", MIB, 1);
    pid_t pid = fork();
    if (pid == 0) {
        mebi__cache_entry entry;
        mebi_error err = {0};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){MIB / 2, MIB / 2});
        if (try_open("b", MIB, 0, &entry, &err) != MEBI_IO) _exit(1);
        if (!strstr(err.text, "MEBI_CACHE_DIR")) _exit(2);
        if (try_open("a", MIB, 0, &entry, &err) != MEBI_OK || !entry.ready) _exit(3);
        _exit(0);
    }
    await_exit(pid, 0);
    assert_int_equal(files_in_cache(), 1);
}

/* Nobody's own folder: what is there can be read, and nothing be added. */
static void a_folder_that_cant_be_written(void **state) {
    (void)state;
    must_make("a", MIB, 1);
    if (geteuid() == 0) {
        /* root may write anywhere: another user tries, and reads what root has made. */
        char above[128];
        snprintf(above, sizeof above, "%s/a", folder);
        assert_int_equal(chmod(folder, 0755) | chmod(above, 0755) | chmod(cache, 0755), 0);
        assert_int_equal(chmod(path_of("a" ENDING), 0644), 0);
    } else assert_int_equal(chmod(cache, 0500), 0);
    pid_t pid = fork();
    if (pid == 0) {
        mebi__cache_entry entry;
        mebi_error err = {0};
        if (geteuid() == 0 && setuid(65534) != 0) _exit(4);
        if (try_open("b", MIB, 0, &entry, &err) != MEBI_IO) _exit(1);
        if (!strstr(err.text, "can't be written")) _exit(2);
        if (try_open("a", MIB, 0, &entry, &err) != MEBI_OK || !entry.ready) _exit(3);
        _exit(0);
    }
    await_exit(pid, 0);
    assert_int_equal(chmod(cache, 0700), 0);
}

/* Files of a stranger are not trusted, however right they look. */
static void strangers_files_count_as_missing(void **state) {
    (void)state;
    if (geteuid() != 0) skip(); /* only root can give files away */
    must_make("a", MIB, 1);
    assert_int_equal(chown(path_of("a" ENDING), 65534, 65534), 0);
    mebi__cache_entry entry = must_open("a", MIB, 0);
    mebi__cache_close(&entry);
}

/* ---- memory, environment ---- */

static void every_lost_allocation_is_told(void **state) {
    (void)state;
    must_make("a", MIB, 1);
    must_make("b", MIB, 1);
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    const char *const keys[] = {"a", "new"};
    for (int k = 0; k < 2; k++) {
        int failures = 0;
        for (uint64_t nth = 1;; nth++) {
            mebi__cache_entry entry;
            mebi_error err = {0};
            mebi__memory_fail_nth(nth);
            mebi_status status = try_open(keys[k], MIB, 0, &entry, &err);
            uint64_t asked_for = mebi__memory_fail_nth(0);
            int open = status == MEBI_OK;
            if (!open) assert_int_equal(status, MEBI_NO_MEMORY);
            mebi__cache_close(&entry);
            assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
            assert_int_equal(files_in_cache(), 2);
            if (open && asked_for < nth) break;
            failures += !open;
        }
        assert_true(failures >= 2);
    }
}

static void finds_its_folder(void **state) {
    (void)state;
    char *path;
    mebi_error err = {0};
    setenv("MEBI_CACHE_DIR", "/x/own", 1);
    setenv("XDG_CACHE_HOME", "/x/xdg", 1);
    setenv("HOME", "/x/home", 1);
    static const struct {
        const char *unset, *path;
    } steps[] = {{"NOTHING", "/x/own"},
                 {"MEBI_CACHE_DIR", "/x/xdg/mebi"},
                 {"XDG_CACHE_HOME", "/x/home/.cache/mebi"}};
    for (int i = 0; i < 3; i++) {
        unsetenv(steps[i].unset);
        assert_mebi_ok(mebi__cache_folder(&path, &err), &err);
        assert_string_equal(path, steps[i].path);
        mebi__free(path);
    }
    setenv("XDG_CACHE_HOME", "relative", 1); /* to be ignored, as its specification says */
    unsetenv("HOME");
    assert_int_equal(mebi__cache_folder(&path, &err), MEBI_IO);
    assert_non_null(strstr(err.text, "MEBI_CACHE_DIR"));
    assert_null(path);
}

static void nothing_there_is_nothing_listed(void **state) {
    (void)state;
    int count;
    uint64_t bytes;
    mebi_error err = {0};
    mebi__cache_item *items;
    assert_mebi_ok(mebi__cache_list(cache, &items, &count, &err), &err);
    assert_null(items);
    assert_int_equal(count, 0);
    assert_mebi_ok(mebi__cache_clear(cache, &count, &bytes, &err), &err);
    assert_int_equal(mebi__cache_verify(cache, "a", &err), MEBI_IO);
    assert_int_equal(access(cache, F_OK), -1); /* looking makes nothing */
}

/* Files of others in the folder are left alone. */
static void foreign_files_stay(void **state) {
    (void)state;
    int count;
    uint64_t bytes;
    mebi_error err = {0};
    must_make("a", 100, 1);
    static const char *const names[] = {"thesis.txt", "mebi-cache", "x" ENDING ".partial",
                                        "sp ace.txt"};
    for (int i = 0; i < 4; i++) close(open(path_of(names[i]), O_CREAT | O_WRONLY, 0600));
    assert_int_equal(mkdir(path_of("folder" ENDING), 0700), 0);
    assert_keys("a", NULL, NULL);
    assert_mebi_ok(mebi__cache_clear(cache, &count, &bytes, &err), &err);
    assert_int_equal(count, 1);
    assert_int_equal(files_in_cache(), 5);
}

/* ---- the hash ---- */

static void every_bit_counts(void **state) {
    (void)state;
    unsigned char bytes[100] = {0};
    uint64_t seen[100 * 8 + 101];
    int count = 0;
    for (size_t n = 0; n <= sizeof bytes; n++) seen[count++] = mebi__hash(1, bytes, n);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        seen[count++] = mebi__hash(1, bytes, sizeof bytes);
        bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (int i = 0; i < count; i++)
        for (int j = 0; j < i; j++) assert_true(seen[i] != seen[j]);
    assert_true(mebi__hash(1, bytes, 50) != mebi__hash(2, bytes, 50));
    assert_true(mebi__hash(1, bytes, 50) == mebi__hash(1, bytes + 1, 50)); /* any alignment */
}

#define T(function) cmocka_unit_test_setup_teardown(function, enter_folder, leave_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(comes_back_as_it_was_filled),
        T(a_new_entry_is_zeros_and_stays_in_place),
        T(committed_is_read_only),
        T(uncommitted_leaves_nothing),
        T(bad_keys_and_sizes_are_refused),
        T(flipped_bits_are_found),
        T(large_entries_are_sampled),
        T(other_sizes_and_names_count_as_missing),
        T(links_are_not_followed),
        T(folders_in_the_way_end_in_a_sentence),
        T(removed_while_it_was_made),
        T(one_makes_it_and_the_others_wait),
        T(the_dead_block_nobody),
        T(who_waits_takes_over),
        T(waiting_ends),
        T(mapped_outlives_its_file),
        T(the_unused_make_room),
        T(a_full_disk_is_told),
        T(no_room_for_a_file_is_told),
        T(a_folder_that_cant_be_written),
        T(strangers_files_count_as_missing),
        T(every_lost_allocation_is_told),
        T(finds_its_folder),
        T(nothing_there_is_nothing_listed),
        T(foreign_files_stay),
        cmocka_unit_test(every_bit_counts),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}

/* The command line as its users meet it: the program is run, its exit code, output and messages are
 * looked at. */
#include "testing.h"

#include "mebi/image.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TINY MEBI_FIXTURES "/models/tiny"

enum { OUTPUT = 1 << 16, WORDS = 32 };

typedef struct result {
    int code; /* exit code, or 128 + signal */
    char out[OUTPUT], err[OUTPUT];
} result;

static char folder[256];

static void read_all(const char *name, char *text) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    text[fread(text, 1, OUTPUT - 1, f)] = 0;
    fclose(f);
}

static int open_in_folder(const char *name, int flags) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, flags, 0600);
    assert_true(fd >= 0);
    return fd;
}

static pid_t start(const char *const *words, const char *input) {
    int in = open_in_folder("stdin", O_RDWR | O_CREAT | O_TRUNC);
    int out = open_in_folder("stdout", O_WRONLY | O_CREAT | O_TRUNC);
    int err = open_in_folder("stderr", O_WRONLY | O_CREAT | O_TRUNC);
    size_t length = input ? strlen(input) : 0;
    assert_int_equal(write(in, input, length), length);
    lseek(in, 0, SEEK_SET);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char *argv[WORDS + 2] = {getenv("MEBI")};
        for (int i = 0; words[i]; i++) argv[i + 1] = (char *)(uintptr_t)words[i];
        if (chdir(folder) == 0 && dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2)
            execv(argv[0], argv);
        _exit(99);
    }
    close(in);
    close(out);
    close(err);
    return pid;
}

static void finish(pid_t pid, result *r) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    r->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    read_all("stdout", r->out);
    read_all("stderr", r->err);
}

static result *run(const char *const *words, const char *input) {
    static result r;
    finish(start(words, input), &r);
    return &r;
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL}, NULL)
#define GENERATE(...) RUN("generate", "-m", TINY, "--steps", "1", "--size", "16x16", __VA_ARGS__)

static void expect(const result *r, int code, const char *words) {
    if (r->code == code && (strstr(r->err, words) || strstr(r->out, words))) return;
    fail_msg("exit code %d (expected %d), expected '%s' in:\n%s%s", r->code, code, words, r->out, r->err);
}

static int exists(const char *name) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* No temporary file of a picture stays behind. */
static int leftovers(void) {
    DIR *d = opendir(folder);
    int count = 0;
    for (struct dirent *e; (e = readdir(d));) count += strstr(e->d_name, ".part") != NULL;
    closedir(d);
    return count;
}

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/mebi-cli-XXXXXX");
    return getenv("MEBI") && mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[600];
    snprintf(command, sizeof command, "chmod -R u+w %s; rm -rf %s", folder, folder);
    return system(command);
}

static void bad_arguments_are_told(void **state) {
    (void)state;
    static const struct {
        const char *words[12], *message;
        int code;
    } cases[] = {
        {{NULL}, "usage: mebi COMMAND", 2},
        {{"paint"}, "no command 'paint'", 2},
        {{"generate"}, "There is no prompt", 2},
        {{"generate", "-p"}, "--prompt needs an argument", 2},
        {{"generate", "-p", "x", "y"}, "'y' is not understood", 2},
        {{"generate", "--prmopt", "x"}, "Is --prompt meant?", 2},
        {{"generate", "--zzzzzzzzz"}, "no option --zzzzzzzzz", 2},
        {{"generate", "-Z"}, "no option -Z", 2},
        {{"generate", "-p", "x", "--json=1"}, "--json takes no argument", 2},
        {{"generate", "-p", "x", "--steps", "0"}, "from 1 to 120", 2},
        {{"generate", "-p", "x", "--steps", "121"}, "from 1 to 120", 2},
        {{"generate", "-p", "x", "--steps", "eight"}, "whole number", 2},
        {{"generate", "-p", "x", "--steps", "8.5"}, "whole number", 2},
        {{"generate", "-p", "x", "--steps", ""}, "whole number", 2},
        {{"generate", "-p", "x", "--steps", " 8"}, "whole number", 2},
        {{"generate", "-p", "x", "--steps", "99999999999999999999"}, "whole number", 2},
        {{"generate", "-p", "x", "--cfg", "-1"}, "from 0 to 100", 2},
        {{"generate", "-p", "x", "--cfg", "101"}, "from 0 to 100", 2},
        {{"generate", "-p", "x", "--cfg", "nan"}, "a number from 0 to 100", 2},
        {{"generate", "-p", "x", "--cfg", "inf"}, "a number from 0 to 100", 2},
        {{"generate", "-p", "x", "--cfg", "3x"}, "a number from 0 to 100", 2},
        {{"generate", "-p", "x", "--cfg-truncation", "2"}, "from 0 to 1", 2},
        {{"generate", "-p", "x", "--cfg-normalization", "-2"}, "from 0 to 1000", 2},
        {{"generate", "-p", "x", "--count", "0"}, "from 1 to 64", 2},
        {{"generate", "-p", "x", "--count", "65"}, "from 1 to 64", 2},
        {{"generate", "-p", "x", "--seed", "-2"}, "from -1", 2},
        {{"generate", "-p", "x", "--seed", "1e3"}, "whole number", 2},
        {{"generate", "-p", "x", "--threads", "0"}, "from 1 to 256", 2},
        {{"generate", "-p", "x", "--threads", "257"}, "from 1 to 256", 2},
        {{"generate", "-p", "x", "-W", "0"}, "--width takes", 2},
        {{"generate", "-p", "x", "-H", "-16"}, "--height takes", 2},
        {{"generate", "-m", TINY, "-p", "x", "--size", "big"}, "'big' is not a size", 2},
        {{"generate", "-m", TINY, "-p", "x", "--size", "16:0"}, "is not a size", 2},
        {{"generate", "-m", TINY, "-p", "x", "--size", "999:1"}, "is not a size", 2},
        {{"generate", "-m", TINY, "-p", "x", "--size", "64x"}, "is not a size", 2},
        {{"generate", "-m", TINY, "-p", "x", "--size", "100x60"}, "The nearest is 96x64", 2},
        {{"generate", "-m", TINY, "-p", "x", "--size", "64", "-W", "64"}, "either --size or --width", 2},
        {{"generate", "-m", TINY, "-p", "x", "-W", "16384", "-H", "16384"}, "can have", 2},
        {{"generate", "-p", "-", "-n", "-"}, "Only one of", 2},
        {{"generate", "-m", TINY, "-p", "\xff\xfe"}, "UTF-8", 2},
        {{"generate", "-p", "x", "-o", "a%d.png"}, "that is not %seed", 2},
        {{"generate", "-p", "x", "-o", "folder/"}, "needs a file name", 2},
        {{"generate", "-p", "x", "-o", ""}, "needs a file name", 2},
        {{"generate", "-p", "x", "-o", "a.png", "--count", "2"}, "Put %i or %seed into the name", 2},
        {{"generate", "-p", "x", "-o", "/proc/nowhere/a.png"}, "can't be made", 1},
        {{"generate", "-m", "nowhere", "-p", "x"}, "There is no model folder nowhere", 1},
        {{"generate", "-m", TINY "/vae", "-p", "x"}, "vae", 1},
        {{"generate", "-m", TINY, "--vae", TINY "/model_index.json", "-p", "x"}, "model_index.json", 1},
        {{"info"}, "usage: mebi info", 2},
        {{"info", "nothing.png"}, "nothing.png", 1},
        {{"info", TINY "/model_index.json"}, "model_index.json", 1},
        {{"info", "--jsn", "x"}, "Is --json meant?", 2},
        {{"info", "a", "b"}, "'b' is not understood", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const result *r = run(cases[i].words, NULL);
        expect(r, cases[i].code, cases[i].message);
        assert_true(r->out[0] == 0);
    }
}

static void help_is_there(void **state) {
    (void)state;
    expect(RUN("--help"), 0, "generate");
    expect(RUN("help", "generate"), 0, "--cfg-truncation");
    expect(RUN("generate", "--help"), 0, "--negative");
    expect(RUN("info", "-h"), 0, "usage: mebi info");
    expect(RUN("--version"), 0, "mebi 0.");
}

static void a_picture_tells_how_it_was_made(void **state) {
    (void)state;
    const result *r = GENERATE("-p", "一个红色苹果", "-n", "blue", "--cfg", "2.5", "--seed", "7", "-o", "sub/a_%seed_%i.png");
    expect(r, 0, "sub/a_7_1.png  16x16  seed 7");
    expect(r, 0, "peak memory");
    expect(r, 0, "step 1 of 1");
    r = RUN("info", "sub/a_7_1.png");
    expect(r, 0, "一个红色苹果\nNegative prompt: blue\nSteps: 1, Sampler: Euler");
    expect(r, 0, "CFG scale: 2.5, Seed: 7, Size: 16x16, Model hash: ");
    r = RUN("info", "--json", "sub/a_7_1.png");
    json_t *all = json_loads(r->out, 0, NULL), *m = json_object_get(json_object_get(all, "texts"), "mebi");
    assert_string_equal(json_string_value(json_object_get(m, "prompt")), "一个红色苹果");
    assert_string_equal(json_string_value(json_object_get(m, "negative_prompt")), "blue");
    assert_string_equal(json_string_value(json_object_get(m, "model")), "tiny");
    assert_int_equal(strlen(json_string_value(json_object_get(m, "model_hash"))), 16);
    assert_non_null(json_string_value(json_object_get(m, "version")));
    static const char *const numbers[] = {"width", "height", "steps", "cfg", "cfg_truncation", "cfg_normalization", "seed"};
    for (int i = 0; i < 7; i++) assert_true(json_is_number(json_object_get(m, numbers[i])));
    json_decref(all);
}

static void json_has_the_promised_shape(void **state) {
    (void)state;
    const result *r = GENERATE("-p", "x", "--count", "2", "--seed", "3", "-o", "j%i.png", "--json", "-q");
    assert_int_equal(r->code, 0);
    assert_string_equal(r->err, "");
    json_error_t bad;
    json_t *o = json_loads(r->out, 0, &bad);
    assert_non_null(o);
    json_t *images = json_object_get(o, "images"), *seconds = json_object_get(o, "seconds");
    assert_int_equal(json_array_size(images), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(images, 1), "path")), "j2.png");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(images, 1), "seed")), 4);
    static const char *const stages[] = {"load", "encode", "denoise", "decode", "save", "total"};
    assert_int_equal(json_object_size(seconds), 6);
    for (int i = 0; i < 6; i++) assert_true(json_number_value(json_object_get(seconds, stages[i])) >= 0);
    assert_true(json_integer_value(json_object_get(o, "peak_bytes")) > 0);
    assert_true(json_integer_value(json_object_get(o, "planned_bytes")) > 0);
    json_decref(o);
}

static void nothing_is_overwritten(void **state) {
    (void)state;
    expect(GENERATE("-p", "x", "--seed", "1", "-o", "once.png", "-q"), 0, "once.png");
    expect(GENERATE("-p", "x", "--seed", "1", "-o", "once.png", "-q"), 2, "is not overwritten");
    expect(GENERATE("-p", "x", "--seed", "1", "-o", "s%seed.png", "-q"), 0, "s1.png");
    expect(GENERATE("-p", "x", "--seed", "1", "-o", "s%seed.png", "-q"), 0, "s1_2.png");
    expect(GENERATE("-p", "x", "--seed", "-1", "-q"), 0, "outputs/mebi_");
    assert_true(exists("s1.png") && exists("s1_2.png"));
    assert_int_equal(leftovers(), 0);
}

static void prompts_come_from_standard_input(void **state) {
    (void)state;
    static const char *const words[] = {"generate", "-m", TINY, "--steps", "1", "--size", "16", "--seed", "1",
                                        "-o", "in.png", "-q", "-p", "-", NULL};
    expect(run(words, "a red\napple\r\n"), 0, "in.png");
    expect(RUN("info", "in.png"), 0, "a red\napple\nSteps: 1");
    expect(GENERATE("-p", "", "--seed", "1", "-o", "empty.png", "-q"), 0, "empty.png");
}

static void the_environment_is_checked(void **state) {
    (void)state;
    setenv("MEBI_CPU", "fast", 1);
    expect(GENERATE("-p", "x"), 2, "it takes ref, avx2 or avx512");
    setenv("MEBI_CPU", "ref", 1);
    expect(GENERATE("-p", "x", "--seed", "1", "-o", "ref.png", "-q"), 0, "ref.png");
    unsetenv("MEBI_CPU");
    setenv("MEBI_MODEL", TINY, 1);
    expect(RUN("generate", "-p", "x", "--steps", "1", "--size", "16", "-o", "env.png", "-q"), 0, "env.png");
    unsetenv("MEBI_MODEL");
}

static void a_place_that_cannot_be_written_is_told_before_the_work(void **state) {
    (void)state;
    if (geteuid() == 0) {
        print_message("permissions don't hold for root: only a name that is a file is tried\n");
        close(open_in_folder("file", O_WRONLY | O_CREAT));
        expect(GENERATE("-p", "x", "-o", "file/a.png"), 1, "can't be made");
        return;
    }
    char path[300];
    snprintf(path, sizeof path, "%s/locked", folder);
    assert_int_equal(mkdir(path, 0500), 0);
    expect(GENERATE("-p", "x", "-o", "locked/a.png"), 1, "can't be written to");
}

static void full_output_is_an_error(void **state) {
    (void)state;
    char command[900];
    snprintf(command, sizeof command,
             "cd %s && %s generate -m %s -p x --size 16 --steps 1 -o full%%seed.png -q >/dev/full 2>stderr", folder,
             getenv("MEBI"), TINY);
    assert_int_equal(WEXITSTATUS(system(command)), 1);
}

/* Interrupted at several moments: exit code 130, and what is there is whole. */
static void an_interrupt_stops_cleanly(void **state) {
    (void)state;
    static const char *const words[] = {"generate", "-m", TINY, "-p", "x", "--steps", "120", "--size", "256",
                                        "--count", "64", "-o", "c%i.png", NULL};
    static const int after_ms[] = {1, 30, 100, 400, 900};
    for (size_t i = 0; i < sizeof after_ms / sizeof *after_ms; i++) {
        static result r;
        pid_t pid = start(words, NULL);
        usleep((useconds_t)after_ms[i] * 1000);
        kill(pid, i % 2 ? SIGTERM : SIGINT);
        finish(pid, &r);
        /* Before the handler is set the signal ends the program as ever. */
        if (r.code != 130 && r.code != 128 + SIGINT && r.code != 128 + SIGTERM)
            fail_msg("exit code %d after %d ms: %s", r.code, after_ms[i], r.err);
        assert_int_equal(leftovers(), 0);
    }
    if (exists("c1.png")) expect(RUN("info", "c1.png"), 0, "256x256");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_arguments_are_told),
        cmocka_unit_test(help_is_there),
        cmocka_unit_test(a_picture_tells_how_it_was_made),
        cmocka_unit_test(json_has_the_promised_shape),
        cmocka_unit_test(nothing_is_overwritten),
        cmocka_unit_test(prompts_come_from_standard_input),
        cmocka_unit_test(the_environment_is_checked),
        cmocka_unit_test(a_place_that_cannot_be_written_is_told_before_the_work),
        cmocka_unit_test(full_output_is_an_error),
        cmocka_unit_test(an_interrupt_stops_cleanly),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

/* The command as its users meet it: exit codes, the essential words of each message, files. */
#include "cli_run.h"

#include "base/cache.h"
#include "cli_bad.h"
#include "mebi/mebi.h"

#include <jansson.h>
#include <pty.h>

static void refuses_bad_line(void **state) {
    const bad_line *bad = *state;
    assert_code(run_words(&(start_how){0}, bad->words), bad->code);
    assert_int_equal(ran.out.length, 0);
    for (int i = 0; i < 3 && bad->says[i]; i++) assert_said(bad->says[i]);
    assert_null(strchr(ran.err.text, '\033'));
    assert_int_equal(count_files(""), 0);
}

/* ---- words ---- */

static void check_columns(const char *text) {
    for (size_t length; *text; text += length + (text[length] == '\n')) {
        length = strcspn(text, "\n");
        if (length > 100) fail_msg("over 100 columns: %.*s", (int)length, text);
    }
}

static void helps(void **state) {
    static const char *const options[] = {"-m, --model DIR",
                                          "--diffusion-model FILE",
                                          "--text-encoder FILE",
                                          "--vae FILE",
                                          "--tokenizer DIR",
                                          "-p, --prompt TEXT",
                                          "-n, --negative TEXT",
                                          "-W, --width",
                                          "-H, --height",
                                          "--size SIZE",
                                          "--steps N",
                                          "--cfg SCALE",
                                          "--cfg-truncation T",
                                          "--cfg-normalization F",
                                          "--seed N",
                                          "--count N",
                                          "-o, --output FILE",
                                          "--threads N",
                                          "--precision TYPE",
                                          "auto, f32, bf16 or int8",
                                          "--quality WORD",
                                          "--budget AMOUNT",
                                          "--weights WORD",
                                          "--decode WORD",
                                          "--config FILE",
                                          "--draft[=N]",
                                          "--from-draft FILE",
                                          "--json",
                                          "-q, --quiet",
                                          "-h, --help",
                                          "Exit codes"};
    (void)state;
    assert_code(RUN("generate", "--help"), 0);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) assert_printed(options[i]);
    check_columns(ran.out.text);
    char *first = strdup(ran.out.text);
    assert_code(RUN("help", "generate"), 0);
    assert_string_equal(ran.out.text, first);
    free(first);
    assert_code(RUN("info", "-h"), 0);
    assert_printed("usage: mebi info");
    assert_code(RUN("audit", "-h"), 0);
    assert_printed("usage: mebi audit");
    check_columns(ran.out.text);
    assert_code(RUN("cache", "-h"), 0);
    assert_printed("usage: mebi cache");
    check_columns(ran.out.text);
    assert_code(RUN("help"), 0);
    assert_printed("generate");
    assert_printed("info");
    assert_int_equal(ran.err.length, 0);
}

static void tells_its_version(void **state) {
    char line[64];
    (void)state;
    snprintf(line, sizeof line, "mebi %s\n", mebi_version());
    assert_code(RUN("version"), 0);
    assert_string_equal(ran.out.text, line);
    assert_code(RUN("--version"), 0);
    assert_string_equal(ran.out.text, line);
    assert_code(run_words(&(start_how){.out_path = "/dev/full"}, WORDS("version")), 1);
    assert_said("Standard output can't be written");
}

static void check_cpu_names(void **state) {
    (void)state;
    setenv("MEBI_CPU", "sse9\033", 1);
    assert_code(RUN(SMALL), 2);
    assert_said("'sse9?'; ref, avx2 and avx512 are known");
    setenv("MEBI_CPU", "AVX2", 1);
    assert_code(RUN(SMALL), 2);
    setenv("MEBI_CPU", "ref", 1);
    assert_code(RUN(SMALL), 0);
    setenv("MEBI_CPU", "avx512", 1);
    int code = RUN(SMALL);
    if (code != 0) assert_said("this machine has");
    assert_true(code == 0 || code == 2);
    setenv("MEBI_CPU", "", 1);
    assert_code(RUN(SMALL), 0);
}

static void finds_the_model(void **state) {
    (void)state;
    setenv("MEBI_MODEL", TINY, 1);
    assert_code(RUN("generate", "-p", "a", "--size", "16", "--steps", "1"), 0);
    setenv("MEBI_MODEL", "elsewhere", 1);
    assert_code(RUN("generate", "-p", "a"), 1);
    assert_said("elsewhere");
    assert_code(RUN(SMALL), 0); /* -m wins */
}

#define ORIGINAL MEBI_FIXTURES "/models/tiny-original"

static void takes_single_parts(void **state) {
    (void)state;
    assert_code(RUN("generate", "--diffusion-model", ORIGINAL "/dit.safetensors", "--text-encoder",
                    ORIGINAL "/encoder.safetensors", "--vae", ORIGINAL "/ae.safetensors",
                    "--tokenizer", ORIGINAL "/tokenizer", "-pa", "-W16", "-H32", "--steps=1", "-o",
                    "x.png"),
                0);
    assert_printed("x.png  16x32");
    assert_code(RUN("generate", "-m", TINY, "--vae", TINY "/vae", "-pa", "-W16", "-H32",
                    "--steps=1", "-o", "y.png"),
                0);
}

/* ---- prompts ---- */

static json_t *info_of(const char *path) {
    assert_code(RUN("info", "--json", path), 0);
    json_t *o = json_loads(ran.out.text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    return o;
}

static json_t *our_entry(json_t *info) {
    json_t *own = json_object_get(json_object_get(info, "texts"), "mebi");
    assert_true(json_is_object(own));
    return own;
}

static void assert_prompt_in(const char *path, const char *prompt) {
    json_t *info = info_of(path);
    assert_string_equal(json_string_value(json_object_get(our_entry(info), "prompt")), prompt);
    json_decref(info);
}

#define FROM_INPUT(name)                                                                           \
    WORDS("generate", "-m", TINY, "--size", "16", "--steps", "1", "-p", "-", "-o", name)

static void reads_a_prompt_from_input(void **state) {
    static const char plain[] = "纯白背景,一个红色苹果\n",
                      marked[] = "\xef\xbb\xbf"
                                 "a\r\nb\r\n\r\n",
                      bare[] = "a\rb";
    (void)state;
    assert_code(run_with_input(plain, sizeof plain - 1, FROM_INPUT("1.png")), 0);
    assert_prompt_in("1.png", "纯白背景,一个红色苹果");
    assert_code(run_with_input(marked, sizeof marked - 1, FROM_INPUT("2.png")), 0);
    assert_prompt_in("2.png", "a\nb");
    assert_code(run_with_input(bare, sizeof bare - 1, FROM_INPUT("3.png")), 0);
    assert_prompt_in("3.png", "a\rb");
}

static void refuses_input_that_is_no_prompt(void **state) {
    static char large[(1 << 20) + 1];
    (void)state;
    memset(large, 'a', sizeof large);
    assert_code(run_with_input("a\0b", 3, FROM_INPUT("x.png")), 2);
    assert_said("zero byte");
    assert_code(run_with_input("a\xff", 2, FROM_INPUT("x.png")), 2);
    assert_said("not UTF-8");
    assert_code(run_with_input("\r\n\n", 3, FROM_INPUT("x.png")), 2);
    assert_said("empty");
    assert_code(run_with_input("\xef\xbb\xbf", 3, FROM_INPUT("x.png")), 2);
    assert_said("empty");
    assert_code(run_with_input(large, sizeof large, FROM_INPUT("x.png")), 2);
    assert_said("more than 262144 bytes");
    assert_int_equal(count_files(""), 0);
}

/* The most that is taken, of the characters that JSON makes longest. */
static void takes_the_longest_prompt(void **state) {
    static char large[256 << 10];
    (void)state;
    memset(large, 1, sizeof large);
    assert_code(run_with_input(large, sizeof large, FROM_INPUT("x.png")), 0);
    assert_not_said("kept as");
    assert_code(RUN("info", "x.png"), 0);
    assert_null(strchr(ran.out.text, 1));
}

static void takes_an_empty_prompt(void **state) {
    (void)state;
    assert_code(
        RUN("generate", "-m", TINY, "--size", "16", "--steps", "1", "-p", "", "-o", "x.png"), 0);
    assert_prompt_in("x.png", "");
}

static void tells_an_idle_negative_prompt(void **state) {
    (void)state;
    assert_code(RUN(SMALL, "-n", "blue"), 0);
    assert_said("no effect without guidance");
    assert_code(RUN(SMALL, "-n", "blue", "--cfg", "2"), 0);
    assert_not_said("no effect");
}

/* ---- sizes and seeds ---- */

static void knows_sizes(void **state) {
    static const char *const asked[] = {"32", "48x32", "48X32", "16:9", "9:16", "1:1"};
    static const char *const printed[] = {"32x32",   "48x32",   "48x32",
                                          "336x192", "192x336", "256x256"};
    char wanted[40];
    (void)state;
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        assert_code(RUN("generate", "-m", TINY, "-p", "a", "--steps", "1", "--size", asked[i]), 0);
        snprintf(wanted, sizeof wanted, "  %s  seed ", printed[i]);
        assert_printed(wanted);
    }
}

static void tells_a_random_seed(void **state) {
    long long first, second;
    (void)state;
    assert_code(RUN(SMALL, "--seed", "-1", "-o", "1.png"), 0);
    assert_int_equal(sscanf(ran.out.text, "1.png 16x16 seed %lld", &first), 1);
    assert_code(RUN(SMALL, "-o", "2.png"), 0);
    assert_int_equal(sscanf(ran.out.text, "2.png 16x16 seed %lld", &second), 1);
    assert_true(first >= 0 && second >= 0 && first != second);
}

static void repeats_a_seed(void **state) {
    (void)state;
    assert_code(RUN(SMALL, "--seed", "8", "--threads", "1", "-o", "1.png"), 0);
    assert_code(RUN(SMALL, "--seed", "8", "--threads", "2", "-o", "2.png"), 0);
    assert_code(RUN(SMALL, "--seed", "7", "--count", "2", "-o", "of_%i.png"), 0);
    assert_true(files_equal("1.png", "2.png"));
    assert_true(files_equal("1.png", "of_2.png"));
    assert_false(files_equal("1.png", "of_1.png"));
}

/* ---- names ---- */

static void names_by_pattern(void **state) {
    (void)state;
    assert_code(RUN(SMALL, "--seed", "41", "--count", "2", "-o", "a/%%/%i of %seed.png"), 0);
    assert_printed("a/%/1 of 41.png");
    assert_int_equal(access("a/%/1 of 41.png", F_OK), 0);
    assert_int_equal(access("a/%/2 of 42.png", F_OK), 0);
    assert_int_equal(count_files(""), 2);
}

static void names_by_default(void **state) {
    char path[64];
    (void)state;
    assert_code(RUN(SMALL, "--seed", "5"), 0);
    assert_int_equal(sscanf(ran.out.text, "%63s", path), 1);
    assert_int_equal(strspn(path + strlen("outputs/mebi_"), "0123456789"), 14);
    assert_string_equal(path + strlen("outputs/mebi_") + 14, "_5.png");
    assert_int_equal(access(path, F_OK), 0);
}

static void never_overwrites(void **state) {
    (void)state;
    write_text("x.png", "mine");
    assert_code(RUN(SMALL, "-o", "x.png"), 2);
    assert_said("exists and is not overwritten");
    assert_int_equal(count_files(""), 1);
    write_text("x_3.png", "mine");
    assert_code(RUN(SMALL, "--seed", "3", "-o", "x_%seed.png"), 0);
    assert_printed("x_3_2.png");
    assert_int_equal(symlink("nowhere", "dangling.png"), 0);
    assert_code(RUN(SMALL, "-o", "dangling.png"), 0); /* the link is a name that is taken */
    assert_printed("dangling_2.png");
}

static void refuses_a_read_only_folder(void **state) {
    (void)state;
    assert_int_equal(mkdir("locked", 0555), 0);
    int code = RUN(SMALL, "-o", "locked/new/x.png");
    if (geteuid() == 0) assert_int_equal(code, 0); /* whom permissions don't stop */
    else {
        assert_int_equal(code, 1);
        assert_said("locked can't be written");
        assert_not_said("loading");
    }
    assert_code(RUN(SMALL, "-o", "/proc/new/x.png"), 1);
    assert_said("/proc can't be written");
    assert_not_said("loading");
}

/* ---- pictures that can't be saved ---- */

#define LONG_JOB                                                                                   \
    "generate", "-m", TINY, "-p", "a", "--size", "128", "--steps", "30", "--count", "64",          \
        "--seed", "100"

static void takes_the_next_name_when_beaten_to_it(void **state) {
    (void)state;
    child_start(
        &(start_how){0},
        WORDS("generate", "-m", TINY, "-p", "a", "--size", "128", "--steps", "120", "-o", "x.png"),
        -1);
    child_await_words("encoding");
    write_text("x.png", "mine");
    assert_code(child_end(), 0);
    assert_printed("x_2.png  128x128");
}

static void keeps_a_picture_elsewhere(void **state) {
    const char *base = getenv("TMPDIR");
    char *before = base ? strdup(base) : NULL;
    (void)state;
    assert_int_equal(mkdir("d", 0777) | mkdir("spare", 0777), 0);
    setenv("TMPDIR", "spare", 1);
    child_start(&(start_how){0},
                WORDS("generate", "-m", TINY, "-p", "a", "--size", "128", "--steps", "120",
                      "--seed", "9", "-o", "d/x.png"),
                -1);
    child_await_words("encoding");
    assert_int_equal(rmdir("d"), 0);
    write_text("d", "in the way");
    int code = child_end();
    if (before) setenv("TMPDIR", before, 1);
    else unsetenv("TMPDIR");
    free(before);
    assert_code(code, 1);
    assert_said("folder d can't be made");
    assert_said("kept as spare/mebi_rescued_9.png instead");
    assert_printed("spare/mebi_rescued_9.png");
    assert_int_equal(access("spare/mebi_rescued_9.png", F_OK), 0);
}

static void says_so_when_nothing_can_be_saved(void **state) {
    (void)state;
    assert_code(run_words(&(start_how){.file_bytes = 100}, WORDS(SMALL, "-o", "x.png")), 1);
    assert_said("x.png failed: File too large");
    assert_said("elsewhere failed too");
    assert_int_equal(count_files(""), 0);
}

/* ---- standard output ---- */

static void keeps_pictures_when_output_is_lost(void **state) {
    (void)state;
    assert_code(run_words(&(start_how){.out_path = "/dev/full"}, WORDS(SMALL, "-o", "1.png")), 1);
    assert_said("Standard output can't be written");
    assert_said("1.png");
    assert_code(run_words(&(start_how){.out_closed = 1}, WORDS(SMALL, "-o", "2.png")), 1);
    assert_said("2.png");
    assert_code(
        run_words(&(start_how){.out_path = "/dev/full"}, WORDS(SMALL, "--json", "-o", "3.png")), 1);
    assert_said("1 of 1 pictures");
    assert_said("3.png");
    assert_int_equal(count_files(".png"), 3);
}

static json_t *printed_json(void) {
    json_error_t where;
    json_t *o = json_loads(ran.out.text, JSON_REJECT_DUPLICATES, &where);
    if (!o) fail_msg("not one JSON object: %s (%s)", ran.out.text, where.text);
    return o;
}

static void check_json_shape(json_t *o) {
    static const char *const seconds[] = {"load", "take", "encode", "denoise", "decode", "save", "total"};
    json_t *s = json_object_get(o, "seconds"), *image;
    size_t i;
    json_t *plan = json_object_get(o, "plan");
    assert_int_equal(json_object_size(o), 5);
    assert_int_equal(json_object_size(s), 7);
    assert_non_null(json_string_value(json_object_get(plan, "verdict")));
    assert_int_equal(json_integer_value(json_object_get(plan, "peak_bytes")),
                     json_integer_value(json_object_get(o, "planned_bytes")));
    assert_int_equal(json_object_size(json_object_get(plan, "seconds")), 6);
    for (i = 0; i < 7; i++) assert_true(json_real_value(json_object_get(s, seconds[i])) >= 0);
    assert_true(json_real_value(json_object_get(s, "total")) > 0);
    assert_true(json_integer_value(json_object_get(o, "peak_bytes")) > 0);
    assert_true(json_integer_value(json_object_get(o, "planned_bytes")) > 0);
    json_array_foreach(json_object_get(o, "images"), i, image) {
        assert_int_equal(json_object_size(image), 4);
        assert_int_equal(access(json_string_value(json_object_get(image, "path")), F_OK), 0);
        assert_true(json_is_integer(json_object_get(image, "seed")));
        assert_true(json_integer_value(json_object_get(image, "width")) >= 16);
        assert_true(json_integer_value(json_object_get(image, "height")) >= 16);
    }
}

static void prints_json(void **state) {
    (void)state;
    assert_code(RUN(SMALL, "--json", "--quiet", "--count", "2", "--seed", "7", "-o", "%i.png"), 0);
    assert_int_equal(ran.err.length, 0);
    json_t *o = printed_json(), *second;
    check_json_shape(o);
    assert_int_equal(json_array_size(json_object_get(o, "images")), 2);
    second = json_array_get(json_object_get(o, "images"), 1);
    assert_string_equal(json_string_value(json_object_get(second, "path")), "2.png");
    assert_int_equal(json_integer_value(json_object_get(second, "seed")), 8);
    json_decref(o);
}

/* Exit code 1 says that the error is beyond the limit; the figures are printed all the same. */
static void audits(void **state) {
    (void)state;
    assert_code(RUN("audit", "-m", TINY, "--size", "32", "--limit", "100"), 0);
    assert_printed("dit.layers.0");
    assert_printed("only w1 w2 w3");
    assert_printed("transformer in int8: error of the result");
    assert_int_equal(ran.err.length, 0);
    assert_code(RUN("audit", "-m", TINY, "--size", "32", "--part", "transformer", "--limit",
                    "0.0001", "--json"),
                1);
    assert_said("limit");
    json_t *o = printed_json(), *dit, *last;
    assert_null(json_object_get(o, "encoder"));
    dit = json_object_get(o, "transformer");
    json_t *stages = json_object_get(dit, "stages");
    assert_true(json_array_size(stages) > 5);
    last = json_array_get(stages, json_array_size(stages) - 1);
    assert_string_equal(json_string_value(json_object_get(last, "stage")), "dit.output");
    double error = json_real_value(json_object_get(dit, "error"));
    assert_true(error > 0 && error == json_real_value(json_object_get(last, "error")));
    json_decref(o);
}

static void prints_json_with_a_name_that_is_not_utf8(void **state) {
    (void)state;
    assert_code(RUN(SMALL, "--json", "-o", "\xff.png"), 0);
    json_t *o = printed_json();
    json_t *image = json_array_get(json_object_get(o, "images"), 0);
    assert_string_equal(json_string_value(json_object_get(image, "path")), "\xef\xbf\xbd.png");
    json_decref(o);
    assert_int_equal(symlink(TINY, "model\xfe"), 0);
    assert_code(RUN("generate", "-m", "model\xfe", "-p", "a", "--size", "16", "--steps", "1", "-o",
                    "y.png"),
                0);
    o = info_of("y.png");
    assert_string_equal(json_string_value(json_object_get(our_entry(o), "model")),
                        "model\xef\xbf\xbd");
    json_decref(o);
}

static void is_quiet(void **state) {
    (void)state;
    assert_code(RUN(SMALL, "-q", "--seed", "6", "-o", "x.png"), 0);
    assert_string_equal(ran.out.text, "x.png  16x16  seed 6\n");
    assert_int_equal(ran.err.length, 0);
    assert_code(RUN(SMALL, "-q", "-o", "x.png"), 2);
    assert_said("exists");
}

static int lines_in(const char *text) {
    int lines = 0;
    for (; *text; text++) lines += *text == '\n';
    return lines;
}

static void tells_progress_in_lines(void **state) {
    (void)state;
    assert_code(
        RUN("generate", "-m", TINY, "-p", "a", "--size", "64", "--steps", "120", "-o", "x.png"), 0);
    assert_said("loading the model");
    assert_said("encoding the prompt");
    assert_said("step 1 of 120");
    assert_said("decoding");
    assert_null(strchr(ran.err.text, '\r'));
    assert_null(strchr(ran.err.text, '\033'));
    if (lines_in(ran.err.text) > 30) fail_msg("%d lines of progress", lines_in(ran.err.text));
    assert_printed("x.png  64x64");
    assert_printed("peak memory");
}

static void run_on_terminal(int columns, const char *kind) {
    int ours, theirs;
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    assert_int_equal(openpty(&ours, &theirs, NULL, NULL, &size), 0);
    fcntl(ours, F_SETFD, FD_CLOEXEC);
    setenv("TERM", kind, 1);
    ran.err.fd = ours;
    child_start(&(start_how){0},
                WORDS("generate", "-m", TINY, "-p", "a", "--count", "2", "--size", "64"), theirs);
    assert_code(child_end(), 0);
}

static void draws_a_bar(void **state) {
    (void)state;
    run_on_terminal(100, "xterm");
    assert_said("\r\033[K[");
    assert_said("picture 2 of 2, step 3 of 8");
    assert_said(" s left");
    assert_said("picture 2 of 2, saving");
    size_t length = ran.err.length;
    assert_string_equal(ran.err.text + length - 4, "\r\033[K"); /* nothing stays on the line */
}

static void fits_a_narrow_terminal(void **state) {
    (void)state;
    run_on_terminal(30, "xterm");
    assert_said(" %  picture 1 of 2");
    for (const char *p = ran.err.text; *p; p += strcspn(p, "\r")) {
        p += strspn(p, "\r\033[K");
        assert_true(strcspn(p, "\r") <= 29);
    }
    run_on_terminal(80, "dumb");
    assert_null(strchr(ran.err.text, '\033'));
}

/* ---- interruption ---- */

/* What holds whenever it comes: the code, no half file, and what is there is what was told. */
static void check_stopped(int code) {
    char words[64];
    assert_code(child_end(), code);
    int files = count_files(".png");
    assert_said("Interrupted.");
    assert_int_equal(count_files(".part"), 0);
    assert_true(files < 64);
    if (files == 0) assert_said("No picture was finished.");
    else {
        snprintf(words, sizeof words, "%d of 64 pictures finished and kept:", files);
        assert_said(words);
        assert_said("  100.png");
    }
    assert_int_equal(count_files(""), files);
}

static void stops_at(const char *words, int number, int code) {
    child_start(&(start_how){0}, WORDS(LONG_JOB, "-o", "%seed.png"), -1);
    child_await_words(words);
    kill(ran.pid, number);
    check_stopped(code);
}

static void stops_while_loading(void **state) {
    (void)state;
    stops_at("loading", SIGINT, 130);
}

static void stops_while_encoding(void **state) {
    (void)state;
    stops_at("encoding", SIGINT, 130);
}

static void stops_between_steps(void **state) {
    (void)state;
    stops_at("step 1 of 30", SIGINT, 130);
}

static void stops_while_decoding(void **state) {
    (void)state;
    stops_at("decoding", SIGINT, 130);
}

static void stops_on_other_signals(void **state) {
    (void)state;
    stops_at("step 1 of 30", SIGTERM, 128 + SIGTERM);
    assert_int_equal(count_files(".part"), 0);
}

static void keeps_finished_pictures(void **state) {
    (void)state;
    child_start(&(start_how){0}, WORDS(LONG_JOB, "-o", "%seed.png"), -1);
    child_await_file("100.png");
    kill(ran.pid, SIGINT);
    check_stopped(130);
    assert_code(RUN("info", "100.png"), 0);
    assert_printed("128x128");
}

static void prints_json_of_what_was_kept(void **state) {
    (void)state;
    child_start(&(start_how){0}, WORDS(LONG_JOB, "--json", "-o", "%seed.png"), -1);
    child_await_file("100.png");
    kill(ran.pid, SIGINT);
    check_stopped(130);
    json_t *o = printed_json();
    check_json_shape(o);
    assert_int_equal(json_array_size(json_object_get(o, "images")), count_files(".png"));
    json_decref(o);
}

static void ends_at_once_on_the_second(void **state) {
    (void)state;
    child_start(&(start_how){0}, WORDS(LONG_JOB, "-o", "%seed.png"), -1);
    child_await_words("step 1 of 30");
    kill(ran.pid, SIGINT);
    nap_ms(1);
    kill(ran.pid, SIGINT);
    int code = child_end();
    assert_true(code == -SIGINT || code == 130);
}

/* The state letter of the process, from its stat file. */
static char state_of(pid_t pid) {
    char path[64], letter = '?';
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f || fscanf(f, "%*d (mebi) %c", &letter) != 1) letter = '?';
    if (f) fclose(f);
    return letter;
}

static int catches_interrupts(pid_t pid) {
    char path[64], line[256];
    unsigned long long mask = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) sscanf(line, "SigCgt: %llx", &mask);
    if (f) fclose(f);
    return (mask >> (SIGINT - 1)) & 1;
}

static void stops_while_reading_a_prompt(void **state) {
    (void)state;
    child_start(&(start_how){.keep_input = 1}, FROM_INPUT("x.png"), -1);
    int64_t until = now_ms() + PATIENCE_MS;
    while ((!catches_interrupts(ran.pid) || state_of(ran.pid) != 'S') && now_ms() < until)
        nap_ms(20);
    nap_ms(100); /* what it does before reading also waits, for a disk */
    kill(ran.pid, SIGINT);
    assert_code(child_end(), 130);
    assert_said("No picture was finished");
}

/* ---- what files say ---- */

/* A1111's settings line: "Key: value, Key: "quoted, value", ..."; the value, or NULL. */
static char *setting(const char *parameters, const char *key) {
    static char value[256];
    const char *p = strrchr(parameters, '\n');
    for (p = p ? p + 1 : parameters; *p;) {
        size_t length = strcspn(p, ":"), used = 0;
        int found = length == strlen(key) && strncmp(p, key, length) == 0,
            quoted = p[length + 2] == '"';
        for (p += length + 2 + (size_t)quoted; *p && *p != (quoted ? '"' : ','); p++) {
            if (quoted && *p == '\\') p++;
            value[used++] = *p;
        }
        value[used] = 0;
        if (found) return value;
        p += (*p == '"');
        p += strspn(p, ", ");
    }
    return NULL;
}

static void check_settings(const char *parameters) {
    assert_string_equal(setting(parameters, "Steps"), "2");
    assert_string_equal(setting(parameters, "Sampler"), "Euler");
    assert_string_equal(setting(parameters, "CFG scale"), "3.5");
    assert_string_equal(setting(parameters, "Seed"), "77");
    assert_string_equal(setting(parameters, "Size"), "32x16");
    assert_string_equal(setting(parameters, "Model"), "my \"own\", model: 1");
    assert_int_equal(strlen(setting(parameters, "Model hash")), 16);
    assert_non_null(strstr(setting(parameters, "Version"), mebi_version()));
}

static void check_own(json_t *own) {
    static const char *const text[][2] = {{"program", "mebi"},
                                          {"prompt", "一个苹果, \"red\""},
                                          {"negative_prompt", "blue\nsky"},
                                          {"model", "my \"own\", model: 1"}};
    static const struct {
        const char *key;
        double value;
    } number[] = {{"width", 32}, {"height", 16},           {"steps", 2},
                  {"cfg", 2.5},  {"cfg_truncation", 0.75}, {"cfg_normalization", 1.5},
                  {"seed", 77}};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++)
        assert_string_equal(json_string_value(json_object_get(own, text[i][0])), text[i][1]);
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        assert_true(json_number_value(json_object_get(own, number[i].key)) == number[i].value);
    assert_string_equal(json_string_value(json_object_get(own, "version")), mebi_version());
    assert_int_equal(strlen(json_string_value(json_object_get(own, "model_hash"))), 16);
}

static void describes_pictures(void **state) {
    static const char start[] = "一个苹果, \"red\"\nNegative prompt: blue\nsky\nSteps: 2, ";
    (void)state;
    assert_int_equal(symlink(TINY, "my \"own\", model: 1"), 0);
    assert_code(RUN("generate", "-m", "my \"own\", model: 1/", "-p", "一个苹果, \"red\"", "-n",
                    "blue\nsky", "-W", "32", "-H", "16", "--steps", "2", "--cfg", "2.5",
                    "--cfg-truncation", "0.75", "--cfg-normalization", "1.5", "--seed", "77", "-o",
                    "x.png"),
                0);
    json_t *info = info_of("x.png");
    const char *parameters =
        json_string_value(json_object_get(json_object_get(info, "texts"), "parameters"));
    assert_int_equal(json_integer_value(json_object_get(info, "width")), 32);
    assert_memory_equal(parameters, start, sizeof start - 1);
    check_settings(parameters);
    check_own(our_entry(info));
    json_decref(info);
    assert_code(RUN("info", "x.png"), 0);
    assert_printed("x.png  32x16");
    assert_printed("Negative prompt: blue");
    assert_printed("\"cfg_truncation\":0.75");
}

static void save_png(const char *path, const char *keyword, const char *text) {
    static unsigned char pixels[4 * 4 * 3];
    mebi_image image = {4, 4, pixels};
    mebi_png_text entry = {keyword, text};
    mebi_error err = {0};
    assert_mebi_ok(mebi_png_save(path, &image, &entry, keyword ? 1 : 0, NULL, &err), &err);
}

static void reads_foreign_pictures(void **state) {
    (void)state;
    save_png("a.png", "parameters",
             "a cat\nSteps: 20, Sampler: DPM++ 2M, CFG scale: 7, Seed: 1, Size: 512x512");
    assert_code(RUN("info", "a.png"), 0);
    assert_printed("a.png  4x4\n\nparameters:\na cat\nSteps: 20, Sampler: DPM++ 2M");
    save_png("b.png", NULL, NULL);
    assert_code(RUN("info", "b.png"), 0);
    assert_printed("says nothing");
    save_png("c.png", "mebi", "{not JSON");
    assert_code(RUN("info", "--json", "c.png"), 0);
    assert_printed("\"mebi\":\"{not JSON\"");
    assert_code(RUN("info", "--", "a.png"), 0);
}

static void shows_no_control_characters(void **state) {
    (void)state;
    save_png("a.png", "Comment",
             "a\033]0;title\007b\177c\xc2\x9b"
             "2Jd\xe2\x80\xae"
             "e\tf\n苹果");
    assert_code(RUN("info", "a.png"), 0);
    assert_printed("a?]0;title?b?c?2Jd?e\tf\n苹果");
    assert_code(RUN("info", "--json", "a.png"), 0);
    assert_null(strchr(ran.out.text, '\033'));
    json_t *o = printed_json();
    json_decref(o);
}

static void refuses_broken_pictures(void **state) {
    char bytes[4096];
    (void)state;
    save_png("a.png", "Comment", "hello");
    FILE *f = fopen("a.png", "rb");
    size_t length = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    for (size_t cut = 0; cut < 60; cut += 7) {
        f = fopen("b.png", "wb");
        fwrite(bytes, 1, cut, f);
        fclose(f);
        assert_code(RUN("info", "b.png"), 1);
        assert_said("b.png");
        assert_int_equal(ran.out.length, 0);
    }
    bytes[45] ^= 1;
    f = fopen("b.png", "wb");
    fwrite(bytes, 1, length, f);
    fclose(f);
    assert_code(RUN("info", "b.png"), 1);
    assert_said("broken PNG");
    assert_code(run_words(&(start_how){.out_path = "/dev/full"}, WORDS("info", "a.png")), 1);
    assert_said("Standard output can't be written");
}

/* ---- the cache ---- */

static void make_entry(const char *key, size_t bytes) {
    mebi_error err = {0};
    mebi__cache_entry entry;
    const mebi__cache_request request = {.folder = "cache", .key = key, .bytes = bytes};
    assert_mebi_ok(mebi__cache_open(&request, &entry, &err), &err);
    assert_mebi_ok(mebi__cache_commit(&entry, &err), &err);
    mebi__cache_close(&entry);
}

static void lists_and_clears_the_cache(void **state) {
    (void)state;
    setenv("MEBI_CACHE_DIR", "cache", 1);
    assert_code(RUN("cache"), 0);
    assert_printed("The cache is empty: cache");
    assert_int_equal(access("cache", F_OK), -1);
    make_entry("one", 3000000);
    make_entry("two", 5000000);
    assert_code(RUN("cache"), 0);
    assert_printed("3.0 MB");
    assert_printed("  one\n");
    assert_printed("8.0 MB in all, in cache\n");
    assert_code(RUN("cache", "--json"), 0);
    json_t *o = json_loads(ran.out.text, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(json_array_size(json_object_get(o, "entries")), 2);
    assert_true(json_integer_value(json_object_get(o, "total_bytes")) >= 8000000);
    json_decref(o);
    write_text("cache/mine.txt", "mine");
    assert_code(RUN("cache", "--clear"), 0);
    assert_printed("Removed 2 entries, 8.0 MB.");
    assert_int_equal(count_files(""), 1);
    assert_code(RUN("cache", "--clear", "--json"), 0);
    assert_printed("{\"removed\":0,\"bytes\":0}\n");
    unsetenv("MEBI_CACHE_DIR");
}

#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, enter_folder, leave_folder)

static const struct CMUnitTest kind_lines[] = {
    IN_FOLDER(helps),
    IN_FOLDER(tells_its_version),
    IN_FOLDER(check_cpu_names),
    IN_FOLDER(finds_the_model),
    IN_FOLDER(takes_single_parts),
    IN_FOLDER(reads_a_prompt_from_input),
    IN_FOLDER(refuses_input_that_is_no_prompt),
    IN_FOLDER(takes_the_longest_prompt),
    IN_FOLDER(takes_an_empty_prompt),
    IN_FOLDER(tells_an_idle_negative_prompt),
    IN_FOLDER(knows_sizes),
    IN_FOLDER(tells_a_random_seed),
    IN_FOLDER(repeats_a_seed),
    IN_FOLDER(names_by_pattern),
    IN_FOLDER(names_by_default),
    IN_FOLDER(never_overwrites),
    IN_FOLDER(refuses_a_read_only_folder),
    IN_FOLDER(takes_the_next_name_when_beaten_to_it),
    IN_FOLDER(keeps_a_picture_elsewhere),
    IN_FOLDER(says_so_when_nothing_can_be_saved),
    IN_FOLDER(keeps_pictures_when_output_is_lost),
    IN_FOLDER(prints_json),
    IN_FOLDER(audits),
    IN_FOLDER(prints_json_with_a_name_that_is_not_utf8),
    IN_FOLDER(is_quiet),
    IN_FOLDER(tells_progress_in_lines),
    IN_FOLDER(draws_a_bar),
    IN_FOLDER(fits_a_narrow_terminal),
    IN_FOLDER(stops_while_loading),
    IN_FOLDER(stops_while_encoding),
    IN_FOLDER(stops_between_steps),
    IN_FOLDER(stops_while_decoding),
    IN_FOLDER(stops_on_other_signals),
    IN_FOLDER(keeps_finished_pictures),
    IN_FOLDER(prints_json_of_what_was_kept),
    IN_FOLDER(ends_at_once_on_the_second),
    IN_FOLDER(stops_while_reading_a_prompt),
    IN_FOLDER(describes_pictures),
    IN_FOLDER(reads_foreign_pictures),
    IN_FOLDER(shows_no_control_characters),
    IN_FOLDER(refuses_broken_pictures),
    IN_FOLDER(lists_and_clears_the_cache),
};
enum { KIND_LINES = sizeof kind_lines / sizeof *kind_lines };

int main(void) {
    static struct CMUnitTest cli[KIND_LINES + BAD_LINES];
    if (!getenv("MEBI")) {
        fputs("The environment's MEBI must be the path of the command.\n", stderr);
        return 1;
    }
    memcpy(cli, kind_lines, sizeof kind_lines);
    for (int i = 0; i < BAD_LINES; i++)
        cli[KIND_LINES + i] = (struct CMUnitTest){bad_lines[i].name, refuses_bad_line, enter_folder,
                                                  leave_folder, (void *)(uintptr_t)&bad_lines[i]};
    return cmocka_run_group_tests(cli, NULL, NULL);
}

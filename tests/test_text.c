/* Tokenizer: ids equal to those of transformers, broken files, hostile texts, short memory.
 *
 * With MEBI_TOKENIZER_DIR (a tokenizer folder) and MEBI_TOKENIZER_STRINGS (JSON lines {"text",
 * "ids"}) set, those strings are compared too; tests/run_tokenizer.sh makes them from the Qwen3
 * vocabulary. */
#include "model_files.h"

#include "base/memory.h"
#include "base/os.h"
#include "text/load.h"
#include "text/nfc.h"
#include "text/tokenizer.h"

#include <pthread.h>

#define SMALL MEBI_FIXTURES "/tokenizer/small"

enum { ROOM = 1 << 21 }; /* ids of the longest text */

static int32_t ids[ROOM];

static mebi__tokenizer *open_or_fail(const char *path) {
    mebi_error err = {0};
    mebi__tokenizer *t = NULL;
    if (mebi__tokenizer_open(path, &t, &err) != MEBI_OK) fail_msg("%s", err.text);
    return t;
}

/* Numbers of a JSON list against what encoding gives; 1 if they are the same. */
static int same_ids(const mebi__tokenizer *t, const json_t *text, const json_t *expected) {
    mebi_error err = {0};
    int count = 0;
    mebi_status status = mebi__tokenizer_encode(t, json_string_value(text),
                                                json_string_length(text), ids, ROOM, &count, &err);
    int same = status == MEBI_OK && (size_t)count == json_array_size(expected);
    for (int i = 0; same && i < count; i++)
        same = json_integer_value(json_array_get(expected, (size_t)i)) == ids[i];
    if (!same) {
        char *shown = json_dumps(text, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        print_message("%s: ids differ %s\n", shown, err.text);
        free(shown);
    }
    return same;
}

static void compare_small(const char *path) {
    mebi__tokenizer *t = open_or_fail(path);
    json_t *strings =
        json_load_file(MEBI_FIXTURES "/tokenizer/small-strings.json", JSON_ALLOW_NUL, NULL);
    size_t wrong = 0, i;
    json_t *item;
    assert_true(json_array_size(strings) > 200);
    assert_int_equal(mebi__tokenizer_vocab(t), 512);
    json_array_foreach(strings, i, item) wrong +=
        !same_ids(t, json_object_get(item, "text"), json_object_get(item, "ids"));
    assert_int_equal(wrong, 0);
    json_decref(strings);
    mebi__tokenizer_close(&t);
    assert_null(t);
    mebi__tokenizer_close(&t);
}

static void ids_equal_reference(void **state) {
    (void)state;
    compare_small(SMALL);
    compare_small(SMALL "/tokenizer.json");
    compare_small(MEBI_FIXTURES "/models/tiny-original/tokenizer"); /* merges as "a b" */
    compare_small(MEBI_FIXTURES "/models/bf16/tokenizer");          /* vocab.json, merges.txt */
}

static void ids_equal_reference_full(void **state) {
    (void)state;
    const char *folder = getenv("MEBI_TOKENIZER_DIR"), *lines = getenv("MEBI_TOKENIZER_STRINGS");
    if (!folder || !lines) {
        print_message("the Qwen3 vocabulary is not here: run tests/run_tokenizer.sh\n");
        skip();
    }
    mebi__tokenizer *t = open_or_fail(folder);
    FILE *f = fopen(lines, "r");
    assert_non_null(f);
    char *line = NULL;
    size_t room = 0, total = 0, wrong = 0;
    for (ssize_t n; (n = getline(&line, &room, f)) > 0; total++) {
        json_t *item = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        assert_non_null(item);
        wrong += !same_ids(t, json_object_get(item, "text"), json_object_get(item, "ids"));
        json_decref(item);
    }
    print_message("%zu strings, %zu with other ids\n", total, wrong);
    assert_true(total >= 5000);
    assert_int_equal(wrong, 0);
    free(line);
    fclose(f);
    mebi__tokenizer_close(&t);
}

/* Added tokens' flags, ids as the tokenizers library gives them. */

static const char *const flagged[] = {
    "{\"id\":512,\"content\":\"<left>\",\"normalized\":false,\"lstrip\":true}",
    "{\"id\":513,\"content\":\"<right>\",\"normalized\":false,\"rstrip\":true}",
    "{\"id\":514,\"content\":\"<both>\",\"normalized\":false,\"lstrip\":true,\"rstrip\":true}",
    "{\"id\":515,\"content\":\"word\",\"normalized\":false,\"single_word\":true}",
    "{\"id\":516,\"content\":\"\u00e9t\u00e9\",\"normalized\":true}",
    "{\"id\":517,\"content\":\"e\\u0301e\",\"normalized\":true}",
    "{\"id\":518,\"content\":\"<nn>\"}",
    "{\"id\":519,\"content\":\"<ab\",\"normalized\":false}",
    "{\"id\":520,\"content\":\"<abc>\",\"normalized\":false}",
    "{\"id\":521,\"content\":\"<abcd\",\"normalized\":false}",
};

static const struct {
    const char *text;
    int32_t ids[9]; /* ends in 0 */
} flag_cases[] = {
    {"a <left> b", {64, 512, 263}},
    {"a\u3000\n<left><left>  <left>x", {64, 512, 512, 512, 87}},
    {"a <right> b", {64, 220, 513, 65}},
    {"<right>\u00a0\t<right>\n", {513, 513}},
    {"a  <both>  <both>  b", {64, 514, 514, 65}},
    {"<right>  <left>", {513, 512}},
    {"word", {515}},
    {"a word.", {64, 220, 515, 13}},
    {"words", {86, 78, 81, 67, 82}},
    {"swords", {82, 86, 78, 81, 67, 82}},
    {"word word", {515, 220, 515}},
    {"word_", {86, 78, 81, 67, 62}},
    {"\u00e9word", {462, 86, 78, 81, 67}},
    {"word\u0301", {86, 78, 81, 67, 136, 223}},
    {"\u24d0word", {158, 241, 238, 86, 78, 81, 67}},
    {"word\u200d", {86, 78, 81, 67, 158, 222, 235}},
    {"(word)", {7, 515, 8}},
    {"1word", {16, 86, 78, 81, 67}},
    {"word\u4e00", {86, 78, 81, 67, 256, 222}},
    {"\u00e9t\u00e9", {516}},
    {"e\u0301te\u0301", {516}},
    {"xe\u0301t\u00e9y", {87, 516, 88}},
    {"\u00e9e", {517}},
    {"e\u0301e\u0301", {462, 462}},
    {"<nn>\u0338", {27, 77, 77, 158, 231, 107}},
    {"<nn>", {518}},
    {"<n\u0338n>", {27, 77, 136, 116, 77, 29}},
    {"<abc", {519, 66}},
    {"<abcd>", {521, 29}},
    {"<abc><abcde", {520, 521, 68}},
    {"<ab<abc>", {519, 520}},
    {"<a", {27, 64}},
};

static json_t *small_json(void) {
    json_t *root = json_load_file(SMALL "/tokenizer.json", 0, NULL);
    assert_non_null(root);
    return root;
}

/* Loads a changed tokenizer.json; takes root. */
static mebi_status load_changed(json_t *root, mebi__tokenizer *t, mebi_error *err) {
    char *text = json_dumps(root, 0);
    assert_non_null(text);
    json_decref(root);
    *t = (mebi__tokenizer){0};
    mebi_status status =
        mebi__load_tokenizer_json(t, (mebi__text_file){"tokenizer.json", text, strlen(text)}, err);
    free(text);
    return status;
}

static void encodes_to(const mebi__tokenizer *t, const char *text, const int32_t *expected) {
    mebi_error err = {0};
    int count = 0;
    assert_int_equal(mebi__tokenizer_encode(t, text, strlen(text), ids, ROOM, &count, &err),
                     MEBI_OK);
    for (int i = 0; i < count; i++)
        if (ids[i] != expected[i])
            fail_msg("\"%s\": id %d is %d, not %d", text, i, ids[i], expected[i]);
    assert_int_equal(expected[count], 0);
}

static void added_tokens_obey_flags(void **state) {
    (void)state;
    json_t *root = small_json(), *list = json_object_get(root, "added_tokens");
    for (size_t i = 0; i < sizeof flagged / sizeof *flagged; i++)
        assert_int_equal(json_array_append_new(list, json_loads(flagged[i], 0, NULL)), 0);
    mebi__tokenizer t;
    mebi_error err = {0};
    if (load_changed(root, &t, &err) != MEBI_OK) fail_msg("%s", err.text);
    assert_int_equal(mebi__tokenizer_vocab(&t), 522);
    for (size_t i = 0; i < sizeof flag_cases / sizeof *flag_cases; i++)
        encodes_to(&t, flag_cases[i].text, flag_cases[i].ids);
    mebi__tokenizer_release(&t);
}

/* "zq" is in the vocabulary but no merge makes it. */
static void ignore_merges_takes_whole_words(void **state) {
    (void)state;
    for (int ignore = 0; ignore < 2; ignore++) {
        json_t *root = small_json(), *model = json_object_get(root, "model");
        json_object_set_new(model, "ignore_merges", json_boolean(ignore));
        json_object_set_new(json_object_get(model, "vocab"), "zq", json_integer(600));
        json_object_set_new(json_object_get(model, "vocab"), "\u0120zq\u0108", json_integer(601));
        json_object_set_new(json_object_get(model, "vocab"), "\u4e00", json_integer(602));
        mebi__tokenizer t;
        mebi_error err = {0};
        if (load_changed(root, &t, &err) != MEBI_OK) fail_msg("%s", err.text);
        encodes_to(&t, "zq", ignore ? (int32_t[]){600, 0} : (int32_t[]){89, 80, 0});
        encodes_to(&t, "zqz", (int32_t[]){89, 80, 89, 0});
        encodes_to(&t, "\u4e00", (int32_t[]){256, 222, 0}); /* not that character's bytes */
        assert_int_equal(mebi__tokenizer_vocab(&t), 603);
        mebi__tokenizer_release(&t);
    }
}

static void prompt_is_wrapped_and_cut(void **state) {
    (void)state;
    mebi__tokenizer *t = open_or_fail(SMALL);
    mebi_error err = {0};
    int32_t prompt[MEBI__PROMPT_TOKENS];
    int count = 0, whole = 0;
    const char text[] = "a red <|im_end|> apple";
    const char wrapped[] =
        "<|im_start|>user\na red <|im_end|> apple<|im_end|>\n<|im_start|>assistant\n";
    assert_int_equal(mebi__tokenizer_encode_prompt(t, text, sizeof text - 1, prompt, &count, &err),
                     MEBI_OK);
    assert_int_equal(
        mebi__tokenizer_encode(t, wrapped, sizeof wrapped - 1, ids, ROOM, &whole, &err), MEBI_OK);
    assert_int_equal(count, whole);
    assert_memory_equal(prompt, ids, (size_t)count * sizeof *ids);
    assert_int_equal(mebi__tokenizer_encode_prompt(t, NULL, 0, prompt, &count, &err), MEBI_OK);
    assert_true(count > 5 && count < 20);

    static char longest[MEBI__TEXT_BYTES];
    memset(longest, '7', sizeof longest);
    assert_int_equal(
        mebi__tokenizer_encode_prompt(t, longest, sizeof longest, prompt, &count, &err), MEBI_OK);
    assert_int_equal(count, MEBI__PROMPT_TOKENS);
    for (int limit = 0; limit < whole; limit++) { /* a cut is a prefix, nothing is written beyond */
        int32_t guard[64];
        memset(guard, 0x55, sizeof guard);
        assert_int_equal(
            mebi__tokenizer_encode(t, wrapped, sizeof wrapped - 1, guard, limit, &count, &err),
            MEBI_OK);
        assert_int_equal(count, limit);
        assert_memory_equal(guard, ids, (size_t)limit * sizeof *ids);
        assert_int_equal(guard[limit], 0x55555555);
    }
    mebi__tokenizer_close(&t);
}

static void bad_text_is_named(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
        const char *said;
    } cases[] = {
        {"a\xff", 2, "byte 2 (0xFF)"},
        {"\x80", 1, "byte 1 (0x80)"},
        {"ab\xc3", 3, "byte 3 (0xC3)"},
        {"\xc0\x80", 2, "byte 1 (0xC0)"},
        {"x\xe2\x82 ", 4, "byte 2 (0xE2)"},
        {"\xed\xa0\x80", 3, "byte 1 (0xED)"}, /* a surrogate */
        {"\xf4\x90\x80\x80", 4, "byte 1 (0xF4)"},
        {"\xe0\x80\x80", 3, "byte 1 (0xE0)"}, /* overlong */
        {"\0\0\xf8", 3, "byte 3 (0xF8)"},
    };
    mebi__tokenizer *t = open_or_fail(SMALL);
    int count = 7;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mebi_error err = {0};
        assert_int_equal(
            mebi__tokenizer_encode(t, cases[i].text, cases[i].bytes, ids, ROOM, &count, &err),
            MEBI_BAD_ARGUMENT);
        assert_non_null(strstr(err.text, cases[i].said));
        assert_int_equal(count, 0);
        mebi_error again = {0};
        assert_int_equal(
            mebi__tokenizer_encode_prompt(t, cases[i].text, cases[i].bytes, ids, &count, &again),
            MEBI_BAD_ARGUMENT);
        assert_string_equal(again.text, err.text);
    }
    mebi_error err = {0};
    char *huge = calloc(1, MEBI__TEXT_BYTES + 1);
    assert_int_equal(mebi__tokenizer_encode(t, huge, MEBI__TEXT_BYTES + 1, ids, ROOM, &count, &err),
                     MEBI_BAD_ARGUMENT);
    assert_non_null(strstr(err.text, "1048577"));
    free(huge);
    mebi__tokenizer_close(&t);
}

/* A megabyte of whatever takes longest if something is quadratic. */
static void long_texts_take_linear_time(void **state) {
    (void)state;
    static const char *const pieces[] = {
        "a",          "ab",
        "\u82f9",     " ",
        "\n",         " \n",
        "\u3000",     "!",
        "\u0301",     "\u0334\u0301\u0327", /* marks out of order */
        "e\u0301",    "\u1100\u1161\u11a8",
        "\u0390",     "\u0958\u0338",
        "<|",         "<|im_end|>",
        "'",          "'s",
        "\U0001d160", "red apple ",
        "<tool_call",
    };
    mebi__tokenizer *t = open_or_fail(SMALL);
    char *text = malloc(MEBI__TEXT_BYTES);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        mebi_error err = {0};
        size_t length = strlen(pieces[i]), bytes = 0;
        int count;
        for (; bytes + length <= MEBI__TEXT_BYTES; bytes += length)
            memcpy(text + bytes, pieces[i], length);
        double begin = mebi__now_seconds();
        assert_int_equal(mebi__tokenizer_encode(t, text, bytes, ids, ROOM, &count, &err), MEBI_OK);
        assert_true(count > 0);
        double seconds = mebi__now_seconds() - begin;
        if (seconds > 20) fail_msg("\"%s\" again and again took %.1f s", pieces[i], seconds);
    }
    free(text);
    mebi__tokenizer_close(&t);
}

/* Merging against the definition, on random rules and words. */

typedef struct rules {
    char token[40][64];
    mebi__merge_rule rule[36];
    int tokens, count;
} rules;

static uint32_t random_below(uint64_t *state, uint32_t n) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % n;
}

static void make_rules(rules *r, uint64_t *seed) {
    r->count = 0;
    r->tokens = 3;
    for (int i = 0; i < 3; i++) r->token[i][0] = (char)('a' + i), r->token[i][1] = 0;
    for (int tries = 0; tries < 200 && r->count < 36 && r->tokens < 40; tries++) {
        uint32_t a = random_below(seed, (uint32_t)r->tokens),
                 b = random_below(seed, (uint32_t)r->tokens);
        char joined[128];
        snprintf(joined, sizeof joined, "%s%s", r->token[a], r->token[b]);
        int id = 0, known = strlen(joined) > 40;
        for (int i = 0; i < r->count; i++) known |= r->rule[i].left == a && r->rule[i].right == b;
        if (known) continue;
        while (id < r->tokens && strcmp(r->token[id], joined) != 0) id++;
        if (id == r->tokens) memcpy(r->token[r->tokens++], joined, strlen(joined) + 1);
        r->rule[r->count++] = (mebi__merge_rule){a, b, (uint32_t)id};
    }
}

static int merge_by_definition(const rules *r, const char *word, int32_t *out) {
    int n = (int)strlen(word);
    for (int i = 0; i < n; i++) out[i] = word[i] - 'a';
    for (;;) {
        int best = r->count, at = 0;
        for (int i = 0; i + 1 < n; i++)
            for (int k = 0; k < best; k++)
                if ((int32_t)r->rule[k].left == out[i] && (int32_t)r->rule[k].right == out[i + 1])
                    best = k, at = i;
        if (best == r->count) return n;
        out[at] = (int32_t)r->rule[best].id;
        memmove(out + at + 1, out + at + 2, (size_t)(n - at - 2) * sizeof *out);
        n--;
    }
}

static void merging_follows_definition(void **state) {
    (void)state;
    uint64_t seed = 1;
    for (int set = 0; set < 300; set++) {
        rules r;
        make_rules(&r, &seed);
        mebi__bpe bpe = {.ids = (uint32_t)r.tokens};
        mebi__bpe_scratch scratch = {0};
        mebi_error err = {0};
        size_t duplicate;
        for (int b = 0; b < 256; b++) bpe.byte_id[b] = b - 'a';
        assert_int_equal(mebi__bpe_set_merges(&bpe, r.rule, (size_t)r.count, &duplicate, &err),
                         MEBI_OK);
        for (int w = 0; w < 60; w++) {
            char word[101] = "";
            int32_t expected[101];
            int length = 1 + (int)random_below(&seed, 100),
                letters = 1 + (int)random_below(&seed, 3);
            for (int i = 0; i < length; i++)
                word[i] = (char)('a' + random_below(&seed, (uint32_t)letters));
            int n = merge_by_definition(&r, word, expected), count = 0;
            assert_int_equal(
                mebi__bpe_encode(&bpe, &scratch, word, (size_t)length, ids, ROOM, &count, &err),
                MEBI_OK);
            assert_int_equal(count, n);
            assert_memory_equal(ids, expected, (size_t)n * sizeof *ids);
        }
        mebi__bpe_scratch_release(&scratch);
        mebi__bpe_release(&bpe);
    }
}

/* Patterns. */

static void pattern_cuts(const char *expression, const char *text, const char *words) {
    mebi_error err = {0};
    mebi__pattern *p = NULL;
    mebi__search search;
    char shown[256] = "";
    const char *word;
    size_t bytes;
    if (mebi__pattern_compile("x", expression, strlen(expression), &p, &err) != MEBI_OK)
        fail_msg("%s", err.text);
    assert_int_equal(mebi__search_begin(p, &search, &err), MEBI_OK);
    mebi__search_set(&search, text, strlen(text));
    for (;;) {
        assert_int_equal(mebi__search_next(&search, &word, &bytes, &err), MEBI_OK);
        if (!word) break;
        if (*shown) strcat(shown, "|");
        strncat(shown, word, bytes);
    }
    if (strcmp(shown, words) != 0) fail_msg("%s on \"%s\": %s", expression, text, shown);
    mebi__search_end(&search);
    mebi__pattern_free(&p);
    assert_null(p);
}

static void patterns_mean_what_oniguruma_means(void **state) {
    (void)state;
    /* White space has U+0085 and U+1680, not U+180E, U+200B, U+FEFF. */
    pattern_cuts("\\s+", "a\xc2\x85\u1680b\u180ec\u200bd\ufeffe",
                 "a|\xc2\x85\u1680|b\u180ec\u200bd\ufeffe");
    pattern_cuts("[\\s]+", "a\u180e b", "a\u180e| |b");
    pattern_cuts("\\S+", "a\u180eb c", "a\u180eb| |c");
    pattern_cuts("[\\S]+", "a\u180eb c", "a\u180eb| |c");
    pattern_cuts("[^\\S]+", "a\u180e b", "a\u180e| |b");
    pattern_cuts("[^\\s]+", "a\u180eb c", "a\u180eb| |c");
    /* Folding knows the long s and the Kelvin sign. */
    pattern_cuts("(?i:'s|'k)", "a's'S'\u017f'K'\u212a'", "a|'s|'S|'\u017f|'K|'\u212a|'");
    /* Letters and numbers up to Unicode 16, \d only decimal digits. */
    pattern_cuts("\\p{L}+", "1\u1c8a\U00016d40\U000323af2", "1|\u1c8a\U00016d40\U000323af|2");
    pattern_cuts("\\P{L}+", "a1\u1c8a2", "a|1|\u1c8a|2");
    pattern_cuts("[^\\p{L}]+", "a1\u1c8a2", "a|1|\u1c8a|2");
    pattern_cuts("\\p{N}", "x\U00010d41\u2163y", "x|\U00010d41|\u2163|y");
    pattern_cuts("\\d+", "1\u0663\u00b2", "1\u0663|\u00b2");
    /* What is between matches is a word of its own; an empty match cuts. */
    pattern_cuts("b", "abba", "a|b|b|a");
    pattern_cuts("x*", "axb", "a|x|b");
    pattern_cuts("(?=b)", "ab\u00e9bb", "a|b\u00e9|b|b");
    pattern_cuts("^a", "a\na\nb", "a|\n|a|\nb"); /* lines, as in Ruby */
    pattern_cuts(".+", "a\rb\nc", "a\rb|\n|c");
    pattern_cuts("[\\]\\-x\\x{82f9}]+", "-x]\u82f9y", "-x]\u82f9|y");
    pattern_cuts("a++|(?>b|c)(?<=b)(?<!x)(?!d)", "aaabcbd", "aaa|b|cbd");
    pattern_cuts(mebi__qwen2_pattern, "I'll  go\r\n\n 12!? \u82f9\u679c",
                 "I|'ll| | go|\r\n\n| |1|2|!?| \u82f9\u679c");
}

static void foreign_patterns_are_refused(void **state) {
    (void)state;
    static const char *const refused[] = {
        "\\w",         "\\b",
        "\\h",         "\\R",
        "\\X",         "\\K",
        "\\C",         "\\G",
        "\\A",         "\\z",
        "\\v",         "\\1",
        "\\k<a>",      "\\g<a>",
        "\\Qa\\E",     "\\N",
        "\\x41",       "\\p",
        "\\pL",        "\\p{L",
        "\\u0041",     "\\",
        "[\\w]",       "[\\h]",
        "[[:alpha:]]", "[a&&b]",
        "[]a]",        "[^]a]",
        "(?R)",        "(?1)",
        "(?<name>a)",  "(?i)a",
        "(?x:a)",      "(?#a)",
        "(?C1)",       "(?|a)",
        "(*UCP)a",     "(*LIMIT_MATCH=1)a",
        "(?",          "a{2}+",
        "a{2}?",       "a{2}*",
        "a{,2}",
    };
    static const char *const broken[] = {"(",
                                         ")",
                                         "[a",
                                         "a**b(",
                                         "(?<=a*)b",
                                         "[z-a]",
                                         "\\p{Nonsense}",
                                         "(((((a{999}){999}){999}){999}){999})",
                                         "x{99999}"};
    mebi_error err;
    mebi__pattern *p;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        memset(&err, 0, sizeof err);
        mebi_status s = mebi__pattern_compile("f.json", refused[i], strlen(refused[i]), &p, &err);
        if (s != MEBI_UNSUPPORTED) fail_msg("%s is taken", refused[i]);
        assert_null(p);
        assert_non_null(strstr(err.text, "f.json: the pre-tokenizer's pattern holds `"));
    }
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        memset(&err, 0, sizeof err);
        mebi_status s = mebi__pattern_compile("f.json", broken[i], strlen(broken[i]), &p, &err);
        if (s != MEBI_BAD_FILE) fail_msg("%s is taken", broken[i]);
        assert_non_null(strstr(err.text, "can't be compiled"));
    }
    char *big = calloc(1, 5000);
    memset(big, 'a', 4999);
    memset(&err, 0, sizeof err);
    assert_int_equal(mebi__pattern_compile("f", big, 4999, &p, &err), MEBI_UNSUPPORTED);
    assert_int_equal(mebi__pattern_compile("f", big, 0, &p, &err), MEBI_UNSUPPORTED);
    free(big);
}

/* Exponential backtracking ends in a sentence. */
static void hostile_pattern_ends(void **state) {
    (void)state;
    mebi_error err = {0};
    mebi__pattern *p = NULL;
    mebi__search search;
    const char *word;
    size_t bytes;
    char text[64];
    memset(text, 'a', sizeof text);
    assert_int_equal(mebi__pattern_compile("x", "(a+)+(a+)+(a+)+b|c", 18, &p, &err), MEBI_OK);
    assert_int_equal(mebi__search_begin(p, &search, &err), MEBI_OK);
    mebi__search_set(&search, text, sizeof text);
    mebi_status status = mebi__search_next(&search, &word, &bytes, &err);
    /* An engine that sees that there is no b at all may also say: no match. */
    if (status != MEBI_OK) {
        assert_int_equal(status, MEBI_UNSUPPORTED);
        assert_non_null(strstr(err.text, "too many steps"));
    }
    mebi__search_end(&search);
    mebi__pattern_free(&p);
}

/* NFC. */

static void normalizes(const char *text, const char *expected) {
    mebi_error err = {0};
    char *out;
    size_t bytes;
    assert_int_equal(mebi__nfc(text, strlen(text), &out, &bytes, &err), MEBI_OK);
    const char *result = out ? out : text;
    assert_int_equal(bytes, strlen(expected));
    assert_memory_equal(result, expected, bytes);
    mebi__free(out);
}

static void normalization_is_nfc(void **state) {
    (void)state;
    normalizes("", "");
    normalizes("plain \u00e9\u017f", "plain \u00e9\u017f");
    normalizes("e\u0301E\u0301\u0323", "\u00e9\u1eb8\u0301");
    normalizes("\u1112\u1161\u11ab\uac00\u11a8\u1100\u1161", "\ud55c\uac01\uac00");
    normalizes("\u212b\u2126\u212a", "\u00c5\u03a9K");
    normalizes("\u0958\u2adc", "\u0915\u093c\u2add\u0338"); /* composition exclusions */
    normalizes("q\u0307\u0323", "q\u0323\u0307");
    normalizes("\u0301a", "\u0301a");
    normalizes("a\u034f\u0301", "a\u034f\u0301");
    normalizes("\uf900\U0002f800", "\u8c48\u4e3d");
    normalizes("\u0344\U0001d15e", "\u0308\u0301\U0001d157\U0001d165");
    /* Later than Unicode 9: marks do not move, pairs stay apart. */
    normalizes("a\u0301\u08d3", "\u00e1\u08d3");
    normalizes("a\u08d3\u0301", "a\u08d3\u0301");
    normalizes("a\u1ac0\u0334", "a\u1ac0\u0334");
    normalizes("\U00011935\U00011930", "\U00011935\U00011930");
    normalizes("\U00011938", "\U00011938");
    normalizes("\uac00\u11a7\u11a8\u1100\u1161\u11a7", "\uac00\u11a7\u11a8\uac00\u11a7");
    /* A long run out of order comes out sorted, and its parts in their old order. */
    normalizes("a\u0316\u0334\u0317\u0334\u0316", "a\u0334\u0334\u0316\u0317\u0316");
}

/* Broken files. */

static const struct {
    const char *where; /* path into the small tokenizer.json, with / between keys and indices */
    const char *value; /* JSON; NULL: taken out */
    mebi_status status;
    const char *said;
} changes[] = {
    {"model", NULL, MEBI_UNSUPPORTED, "the model is not that of Qwen"},
    {"model", "[]", MEBI_UNSUPPORTED, "the model is not"},
    {"model/type", "\"WordPiece\"", MEBI_UNSUPPORTED, "the model (WordPiece)"},
    {"model/type", "\"Unigram\"", MEBI_UNSUPPORTED, "the model (Unigram)"},
    {"model/type", "7", MEBI_UNSUPPORTED, "the model"},
    {"model/dropout", "0.1", MEBI_UNSUPPORTED, "dropout"},
    {"model/end_of_word_suffix", "\"</w>\"", MEBI_UNSUPPORTED, "prefix or suffix"},
    {"model/continuing_subword_prefix", "\"##\"", MEBI_UNSUPPORTED, "prefix or suffix"},
    {"normalizer", "{\"type\":\"NFKC\"}", MEBI_UNSUPPORTED, "the normalizer (NFKC)"},
    {"normalizer",
     "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"Lowercase\"}]}",
     MEBI_UNSUPPORTED, "the normalizer (Sequence)"},
    {"normalizer", "5", MEBI_UNSUPPORTED, "the normalizer"},
    {"post_processor", "{\"type\":\"TemplateProcessing\"}", MEBI_UNSUPPORTED,
     "(TemplateProcessing)"},
    {"pre_tokenizer", "null", MEBI_UNSUPPORTED, "the pre-tokenizer"},
    {"pre_tokenizer", "{\"type\":\"Metaspace\"}", MEBI_UNSUPPORTED,
     "the pre-tokenizer (Metaspace)"},
    {"pre_tokenizer/pretokenizers/0/behavior", "\"Removed\"", MEBI_UNSUPPORTED,
     "the pre-tokenizer"},
    {"pre_tokenizer/pretokenizers/0/invert", "true", MEBI_UNSUPPORTED, "the pre-tokenizer"},
    {"pre_tokenizer/pretokenizers/0/pattern", "{\"String\":\" \"}", MEBI_UNSUPPORTED,
     "the pre-tokenizer"},
    {"pre_tokenizer/pretokenizers/0/pattern/Regex", "\"(?R)\"", MEBI_UNSUPPORTED,
     "a kind of group"},
    {"pre_tokenizer/pretokenizers/0/pattern/Regex", "\"(\"", MEBI_BAD_FILE, "can't be compiled"},
    {"pre_tokenizer/pretokenizers/1/use_regex", "true", MEBI_UNSUPPORTED, "the pre-tokenizer"},
    {"pre_tokenizer/pretokenizers/1/add_prefix_space", "true", MEBI_UNSUPPORTED,
     "the pre-tokenizer"},
    {"model/vocab", NULL, MEBI_BAD_FILE, "there is no vocabulary"},
    {"model/vocab", "[1,2]", MEBI_BAD_FILE, "there is no vocabulary"},
    {"model/vocab/a", "-1", MEBI_BAD_FILE, "the token \"a\" has no id from 0 to 1048575"},
    {"model/vocab/a", "1048576", MEBI_BAD_FILE, "the token \"a\" has no id"},
    {"model/vocab/a", "9223372036854775807", MEBI_BAD_FILE, "the token \"a\" has no id"},
    {"model/vocab/a\x1b[2J\u202e", "-1", MEBI_BAD_FILE, "the token \"a?[2J?\" has no id"},
    {"model/type", "\"a\\u0007\\u0085b\"", MEBI_UNSUPPORTED, "the model (a??b)"},
    {"model/vocab/a", "1.5", MEBI_BAD_FILE, "the token \"a\" has no id"},
    {"model/vocab/a", "\"x\"", MEBI_BAD_FILE, "the token \"a\" has no id"},
    {"model/vocab/a", "3", MEBI_BAD_FILE, "has id 3, which another token has too"},
    {"model/vocab/a", NULL, MEBI_UNSUPPORTED, "no token for the byte 0x61 (\"a\")"},
    {"model/vocab/\u0120", NULL, MEBI_UNSUPPORTED, "no token for the byte 0x20"},
    {"model/merges", NULL, MEBI_BAD_FILE, "the model has no merges"},
    {"model/merges", "{}", MEBI_BAD_FILE, "merges are not a list"},
    {"model/merges/3", "7", MEBI_BAD_FILE, "merge 4 is neither"},
    {"model/merges/3", "[\"a\"]", MEBI_BAD_FILE, "merge 4 is neither"},
    {"model/merges/3", "[\"a\",\"b\",\"c\"]", MEBI_BAD_FILE, "merge 4 is neither"},
    {"model/merges/3", "[\"a\",null]", MEBI_BAD_FILE, "merge 4 is neither"},
    {"model/merges/3", "[\"a\",\"\"]", MEBI_BAD_FILE, "merge 4 has parts of 1 and 0 bytes"},
    {"model/merges/3", "\"ab\"", MEBI_BAD_FILE, "merge 4 (\"ab\") is not two tokens"},
    {"model/merges/3", "\"a b c\"", MEBI_BAD_FILE, "is not two tokens"},
    {"model/merges/3", "\"a zz\"", MEBI_BAD_FILE, "merge 4 needs the token \"zz\""},
    {"model/merges/3", "\"zz a\"", MEBI_BAD_FILE, "merge 4 needs the token \"zz\""},
    {"model/merges/3", "\"~ ~\"", MEBI_BAD_FILE, "merge 4 needs the token \"~~\""},
    {"added_tokens", "{}", MEBI_BAD_FILE, "added_tokens is not a list"},
    {"added_tokens", "[]", MEBI_UNSUPPORTED, "no added token <|im_start|>"},
    {"added_tokens/2", NULL, MEBI_UNSUPPORTED, "no added token <|im_end|>"},
    {"added_tokens/0", "5", MEBI_BAD_FILE, "no text or no id"},
    {"added_tokens/0/id", "-5", MEBI_BAD_FILE, "\"<|endoftext|>\" has no text or no id from 0"},
    {"added_tokens/0/id", "99999999999", MEBI_BAD_FILE, "no text or no id"},
    {"added_tokens/0/id", "5", MEBI_BAD_FILE, "has id 5, which another token has too"},
    {"added_tokens/0/id", "487", MEBI_BAD_FILE, "has id 487, which another token has too"},
    {"added_tokens/0/content", "\"\"", MEBI_BAD_FILE, "has 0 bytes; 1 to 256"},
    {"added_tokens/0/content", "\"a\"", MEBI_BAD_FILE, "but the vocabulary gives it 64"},
    {"added_tokens/0/content", "\"<think>\"", MEBI_BAD_FILE, "\"<think>\" is listed twice"},
    {"added_tokens/0/lstrip", "1", MEBI_BAD_FILE, "neither true nor false"},
    {"added_tokens/0/normalized", "null", MEBI_BAD_FILE, "neither true nor false"},
};

static void change(json_t *root, const char *where, const char *value) {
    char path[128], *key = path, *slash;
    assert_true(strlen(where) < sizeof path);
    memcpy(path, where, strlen(where) + 1);
    for (; (slash = strchr(key, '/')); key = slash + 1) {
        *slash = 0;
        root = json_is_array(root) ? json_array_get(root, (size_t)atoi(key))
                                   : json_object_get(root, key);
        assert_non_null(root);
    }
    json_t *item = value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;
    assert_true(!value || item);
    if (json_is_array(root) && item) json_array_set_new(root, (size_t)atoi(key), item);
    else if (json_is_array(root)) json_array_remove(root, (size_t)atoi(key));
    else if (item) json_object_set_new(root, key, item);
    else json_object_del(root, key);
}

static void broken_json_is_refused(void **state) {
    (void)state;
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        json_t *root = small_json();
        mebi__tokenizer t;
        mebi_error err = {0};
        change(root, changes[i].where, changes[i].value);
        mebi_status status = load_changed(root, &t, &err);
        if (status != changes[i].status || !strstr(err.text, changes[i].said))
            fail_msg("%s = %s: %d %s", changes[i].where, changes[i].value, status, err.text);
        assert_non_null(strstr(err.text, "tokenizer.json: "));
        mebi__tokenizer_release(&t);
    }
    json_t *root = small_json(),
           *merges = json_object_get(json_object_get(root, "model"), "merges");
    json_array_append(merges, json_array_get(merges, 1));
    mebi__tokenizer t;
    mebi_error err = {0};
    assert_int_equal(load_changed(root, &t, &err), MEBI_BAD_FILE);
    assert_non_null(strstr(err.text, "is listed twice"));
    mebi__tokenizer_release(&t);
    assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
}

static void no_json_is_refused(void **state) {
    (void)state;
    static char deep[10000];
    memset(deep, '[', sizeof deep - 1);
    const char *const texts[] = {
        "",
        "{",
        "[]",
        "null",
        "{\"a\":1,}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\\u0000\":1}",
        "{\"a\":1} x",
        "\xef\xbb\xbf{}",
        deep,
        "{\"a\":1e999}",
        "{\"a\":99999999999999999999}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        mebi__tokenizer t = {0};
        mebi_error err = {0};
        mebi__text_file file = {"t.json", texts[i], strlen(texts[i])};
        assert_int_equal(mebi__load_tokenizer_json(&t, file, &err), MEBI_BAD_FILE);
        assert_non_null(strstr(err.text, "t.json "));
        mebi__tokenizer_release(&t);
    }
}

/* Files beside each other: (file, content or NULL to take it out, said). */
static const struct {
    const char *name, *text;
    mebi_status status;
    const char *said;
} pair_changes[] = {
    {"vocab.json", NULL, MEBI_IO, "holds no tokenizer: neither tokenizer.json nor both"},
    {"merges.txt", NULL, MEBI_IO, "holds no tokenizer"},
    {"vocab.json", "{}", MEBI_UNSUPPORTED,
     "vocab.json: the vocabulary has no token for the byte 0x00"},
    {"vocab.json", "{\"a\":", MEBI_BAD_FILE, "vocab.json is not JSON"},
    {"merges.txt", "#version: 0.2\na b c\n", MEBI_BAD_FILE, "merges.txt: merge 1 (\"a b c\")"},
    {"merges.txt", "ab\n", MEBI_BAD_FILE, "merges.txt: merge 1 (\"ab\") is not two tokens"},
    {"merges.txt", "a zz\n", MEBI_BAD_FILE, "needs the token \"zz\""},
    {"merges.txt", "\xff\x1b[2J\n", MEBI_BAD_FILE, "merge 1 (\"??[2J\")"},
    {"merges.txt", " a\n", MEBI_BAD_FILE, "parts of 0 and 1 bytes"},
    {"merges.txt", "r e\r\nr e\r\n", MEBI_BAD_FILE, "merge 2 is listed twice"},
    {"tokenizer_config.json", "[]", MEBI_BAD_FILE, "tokenizer_config.json holds no JSON object"},
    {"tokenizer_config.json", "{}", MEBI_UNSUPPORTED, "no added token <|im_start|>"},
    {"tokenizer_config.json", NULL, MEBI_UNSUPPORTED, "no added token <|im_start|>"},
    {"tokenizer_config.json", "{\"added_tokens_decoder\":7}", MEBI_BAD_FILE, "is not an object"},
    {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"x\":{}}}", MEBI_BAD_FILE,
     "the id \"x\""},
    {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"-1\":{}}}", MEBI_BAD_FILE,
     "the id \"-1\""},
    {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"99999999999999999999\":{}}}",
     MEBI_BAD_FILE, "the id \"99999999999999999999\""},
    {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"700\":{}}}", MEBI_BAD_FILE,
     "no text or no id"},
    {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"7\":{\"content\":\"x y\"}}}",
     MEBI_BAD_FILE, "which another token has too"},
};

static void broken_pairs_are_refused(void **state) {
    (void)state;
    path_text folder = make_folder();
    for (size_t i = 0; i < sizeof pair_changes / sizeof *pair_changes; i++) {
        path_text copy = path_of("%s/%zu", folder.text, i);
        link_folder(MEBI_FIXTURES "/models/bf16/tokenizer", copy.text);
        path_text file = path_of("%s/%s", copy.text, pair_changes[i].name);
        if (pair_changes[i].text) write_text(file.text, pair_changes[i].text);
        else remove_path(file.text);
        mebi__tokenizer *t;
        mebi_error err = {0};
        mebi_status status = mebi__tokenizer_open(copy.text, &t, &err);
        if (status != pair_changes[i].status || !strstr(err.text, pair_changes[i].said))
            fail_msg("%s = %s: %d %s", pair_changes[i].name, pair_changes[i].text, status,
                     err.text);
        assert_null(t);
    }
    mebi__tokenizer *t;
    mebi_error err = {0};
    assert_int_equal(mebi__tokenizer_open(path_of("%s/none", folder.text).text, &t, &err), MEBI_IO);
    assert_non_null(strstr(err.text, "/none can't be opened"));
    remove_path(folder.text);
}

/* added_tokens.json instead of tokenizer_config.json; CRLF and empty lines in merges.txt. */
static void older_pairs_are_read(void **state) {
    (void)state;
    path_text folder = make_folder(), copy = path_of("%s/t", folder.text);
    link_folder(MEBI_FIXTURES "/models/bf16/tokenizer", copy.text);
    path_text config = path_of("%s/tokenizer_config.json", copy.text);
    json_t *root = json_load_file(config.text, 0, NULL), *map = json_object(), *token;
    const char *id;
    json_object_foreach(json_object_get(root, "added_tokens_decoder"), id, token)
        json_object_set_new(map, json_string_value(json_object_get(token, "content")),
                            json_integer(atoi(id)));
    assert_int_equal(json_dump_file(map, path_of("%s/added_tokens.json", copy.text).text, 0), 0);
    write_text(config.text, "{\"model_max_length\": 131072}");
    path_text merges = path_of("%s/merges.txt", copy.text);
    size_t bytes, at = 0;
    unsigned char *text = read_bytes(merges.text, &bytes), *windows = malloc(3 * bytes);
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '\n') windows[at++] = '\r';
        windows[at++] = text[i];
        if (text[i] == '\n' && i % 5 == 0) windows[at++] = '\n';
    }
    write_bytes(merges.text, windows, at);
    compare_small(copy.text);
    free(text);
    free(windows);
    json_decref(root);
    json_decref(map);
    remove_path(folder.text);
}

/* Every allocation fails once: a sentence, and nothing kept. */

static void open_survives_short_memory(const char *path) {
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    uint64_t asked = 0;
    for (uint64_t n = 1; n == 1 || asked + 1 >= n; n++) {
        mebi__tokenizer *t = NULL;
        mebi_error err = {0};
        mebi__memory_fail_nth(n);
        mebi_status status = mebi__tokenizer_open(path, &t, &err);
        asked = mebi__memory_fail_nth(0);
        /* Without memory for compiled matching, matching is interpreted. */
        if (status != MEBI_OK) {
            assert_int_equal(status, MEBI_NO_MEMORY);
            assert_true(strlen(err.text) > 10);
            assert_null(t);
        }
        mebi__tokenizer_close(&t);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
        assert_true(n < 1000);
    }
}

static void memory_may_run_out(void **state) {
    (void)state;
    open_survives_short_memory(SMALL);
    open_survives_short_memory(MEBI_FIXTURES "/models/bf16/tokenizer");
    mebi__tokenizer *t = open_or_fail(SMALL);
    const char text[] = "e\u0301\u0323\u0316 <think>\u82f9\u679c antidisestablishmentarianism";
    int32_t prompt[MEBI__PROMPT_TOKENS], again[MEBI__PROMPT_TOKENS];
    int count, same;
    uint64_t asked = 0;
    mebi_error first = {0};
    size_t held = mebi__memory_held(MEBI__TAG_COUNT);
    assert_int_equal(
        mebi__tokenizer_encode_prompt(t, text, sizeof text - 1, prompt, &count, &first), MEBI_OK);
    for (uint64_t n = 1; n == 1 || asked + 1 >= n; n++) {
        mebi_error err = {0};
        mebi__memory_fail_nth(n);
        mebi_status status =
            mebi__tokenizer_encode_prompt(t, text, sizeof text - 1, again, &same, &err);
        asked = mebi__memory_fail_nth(0);
        assert_int_equal(status, asked < n ? MEBI_OK : MEBI_NO_MEMORY);
        assert_int_equal(same, asked < n ? count : 0);
        assert_int_equal(mebi__memory_held(MEBI__TAG_COUNT), held);
    }
    assert_memory_equal(prompt, again, (size_t)count * sizeof *prompt);
    mebi__tokenizer_close(&t);
}

/* Threads share a tokenizer. */

typedef struct worker {
    const mebi__tokenizer *tokenizer;
    const char *text;
    int32_t ids[64];
    int count, failures;
} worker;

static void *work(void *argument) {
    worker *w = argument;
    int32_t out[64];
    for (int i = 0; i < 500; i++) {
        int count = 0;
        mebi_error err = {0};
        mebi_status status =
            mebi__tokenizer_encode(w->tokenizer, w->text, strlen(w->text), out, 64, &count, &err);
        w->failures += status != MEBI_OK || count != w->count ||
                       memcmp(out, w->ids, (size_t)count * sizeof *out) != 0;
    }
    return NULL;
}

static void threads_may_share(void **state) {
    (void)state;
    static const char *const texts[] = {"a red cube", "\u7eaf\u767d\u80cc\u666f",
                                        "e\u0301<think> 'LL", "\n\n x"};
    mebi__tokenizer *t = open_or_fail(SMALL);
    worker workers[4];
    pthread_t thread[4];
    mebi_error err = {0};
    for (int i = 0; i < 4; i++) {
        workers[i] = (worker){.tokenizer = t, .text = texts[i]};
        assert_int_equal(mebi__tokenizer_encode(t, texts[i], strlen(texts[i]), workers[i].ids, 64,
                                                &workers[i].count, &err),
                         MEBI_OK);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work, &workers[i]), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(workers[i].failures, 0);
    }
    mebi__tokenizer_close(&t);
}

/* An argument names the tests to run, with * and ?. */
int main(int count, char **arguments) {
    if (count > 1) cmocka_set_test_filter(arguments[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_equal_reference),
        cmocka_unit_test(ids_equal_reference_full),
        cmocka_unit_test(added_tokens_obey_flags),
        cmocka_unit_test(ignore_merges_takes_whole_words),
        cmocka_unit_test(prompt_is_wrapped_and_cut),
        cmocka_unit_test(bad_text_is_named),
        cmocka_unit_test(long_texts_take_linear_time),
        cmocka_unit_test(merging_follows_definition),
        cmocka_unit_test(patterns_mean_what_oniguruma_means),
        cmocka_unit_test(foreign_patterns_are_refused),
        cmocka_unit_test(hostile_pattern_ends),
        cmocka_unit_test(normalization_is_nfc),
        cmocka_unit_test(broken_json_is_refused),
        cmocka_unit_test(no_json_is_refused),
        cmocka_unit_test(broken_pairs_are_refused),
        cmocka_unit_test(older_pairs_are_read),
        cmocka_unit_test(memory_may_run_out),
        cmocka_unit_test(threads_may_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Bad command lines: what is typed, the exit code, and words that the message must have. */
#ifndef MEBI_TESTS_CLI_BAD_H
#define MEBI_TESTS_CLI_BAD_H

#include <stddef.h>

#define G "generate", "-m", TINY
#define A G, "-p", "a"

typedef struct bad_line {
    const char *name;
    const char *words[14];
    int code;
    const char *says[3];
} bad_line;

static const char name_260[] = "aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaa"
                               "aaabbbbbbbbbbaaaaaaaaaabbbbbbbbbb"
                               "aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaa"
                               "aaabbbbbbbbbbaaaaaaaaaabbbbbbbbbb"
                               "aaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbbaaaaaaaaaabbbbbbbbbb.png";

static const bad_line bad_lines[] = {
    {"no command", {NULL}, 2, {"usage: mebi COMMAND", "generate"}},
    {"unknown command", {"genrate"}, 2, {"no command 'genrate'", "--help"}},
    {"option before the command", {"-p", "x"}, 2, {"command comes first"}},
    {"help on nothing known", {"help", "paint"}, 2, {"no command 'paint'"}},
    {"command with control characters", {"a\033[2Jb"}, 2, {"'a?[2Jb'"}},
    {"no prompt", {G}, 2, {"no prompt", "-p"}},
    {"prompt without argument", {G, "-p"}, 2, {"--prompt needs an argument"}},
    {"prompt followed by an option",
     {G, "-p", "--json"},
     2,
     {"--prompt", "followed by", "--prompt=--json"}},
    {"prompt followed by a short option", {G, "-p", "-q"}, 2, {"--prompt", "followed by"}},
    {"prompt not UTF-8", {G, "-p", "a\xff"}, 2, {"prompt", "UTF-8"}},
    {"prompt with surrogates", {G, "-p", "\xed\xa0\x80"}, 2, {"UTF-8"}},
    {"prompt with overlong bytes", {G, "-p", "\xc0\xaf"}, 2, {"UTF-8"}},
    {"negative prompt not UTF-8", {A, "-n", "\xfe"}, 2, {"negative prompt", "UTF-8"}},
    {"both prompts from input", {G, "-p", "-", "-n", "-"}, 2, {"Only one"}},
    {"prompt from empty input", {G, "-p", "-"}, 2, {"empty"}},
    {"prompt given twice", {A, "-p", "b"}, 2, {"--prompt is given twice"}},
    {"seed given twice", {A, "--seed", "1", "--seed=2"}, 2, {"--seed is given twice"}},
    {"prompt without -p", {G, "a red apple"}, 2, {"'a red apple'", "too many", "-p"}},
    {"word after --", {A, "--", "--json"}, 2, {"'--json'", "too many"}},
    {"unknown option", {A, "--widht", "64"}, 2, {"--widht", "--width meant"}},
    {"unknown option with a value", {A, "--colour=red"}, 2, {"no option --colour=red"}},
    {"unknown letter", {A, "-x"}, 2, {"no option -x"}},
    {"shortened option", {A, "--wid", "64"}, 2, {"no option --wid", "--width"}},
    {"flag with a value", {A, "--json=1"}, 2, {"--json takes no argument"}},
    {"letters in one word", {A, "-qh"}, 2, {"--quiet takes no argument"}},
    {"width 0", {A, "-W", "0"}, 2, {"--width", "1 to 16384", "'0'"}},
    {"width negative", {A, "-W", "-16"}, 2, {"--width", "'-16'"}},
    {"width huge", {A, "-W", "16400"}, 2, {"--width", "16384"}},
    {"width a fraction", {A, "-W", "64.5"}, 2, {"whole number", "'64.5'"}},
    {"width hexadecimal", {A, "-W", "0x40"}, 2, {"'0x40'"}},
    {"width with a unit", {A, "-W64px"}, 2, {"'64px'"}},
    {"width empty", {A, "--width="}, 2, {"--width", "''"}},
    {"width with a space", {A, "-W", " 64"}, 2, {"' 64'"}},
    {"width beyond 64 bits", {A, "-W", "99999999999999999999"}, 2, {"--width"}},
    {"width no multiple", {A, "-W", "65", "-H", "64"}, 2, {"multiples of 16", "nearest is 64x64"}},
    {"height not a number", {A, "-H", "tall"}, 2, {"--height", "'tall'"}},
    {"size and width", {A, "--size", "64", "-W", "64"}, 2, {"either --size or"}},
    {"size empty", {A, "--size", ""}, 2, {"not a size", "1024x768"}},
    {"size of words", {A, "--size", "big"}, 2, {"'big' is not a size"}},
    {"size without a height", {A, "--size", "64x"}, 2, {"not a size"}},
    {"size with a third side", {A, "--size", "64x64x64"}, 2, {"not a size"}},
    {"size negative", {A, "--size", "-64"}, 2, {"not a size"}},
    {"size 0", {A, "--size", "0x64"}, 2, {"not a size"}},
    {"size no multiple", {A, "--size", "100"}, 2, {"multiples of 16"}},
    {"size too large", {A, "--size", "99999x16"}, 2, {"99999x16", "16 to"}},
    {"size of too many digits", {A, "--size", "1000000"}, 2, {"not a size"}},
    {"ratio with 0", {A, "--size", "16:0"}, 2, {"not a size"}},
    {"ratio absurd", {A, "--size", "1000:1"}, 2, {"not a size"}},
    {"steps 0", {A, "--steps", "0"}, 2, {"--steps", "1 to 120"}},
    {"steps 121", {A, "--steps", "121"}, 2, {"--steps", "1 to 120"}},
    {"steps in scientific notation", {A, "--steps", "1e1"}, 2, {"'1e1'"}},
    {"cfg nan", {A, "--cfg", "nan"}, 2, {"--cfg", "0 to 100", "'nan'"}},
    {"cfg infinite", {A, "--cfg", "inf"}, 2, {"--cfg", "'inf'"}},
    {"cfg hexadecimal", {A, "--cfg", "0x1p2"}, 2, {"--cfg", "'0x1p2'"}},
    {"cfg overflow", {A, "--cfg", "1e999"}, 2, {"--cfg", "'1e999'"}},
    {"cfg negative", {A, "--cfg", "-1"}, 2, {"--cfg", "'-1'"}},
    {"cfg with a comma", {A, "--cfg", "1,5"}, 2, {"--cfg", "'1,5'"}},
    {"cfg empty", {A, "--cfg", ""}, 2, {"--cfg", "''"}},
    {"truncation above 1", {A, "--cfg-truncation", "1.01"}, 2, {"--cfg-truncation", "0 to 1"}},
    {"normalization negative",
     {A, "--cfg-normalization=-0.5"},
     2,
     {"--cfg-normalization", "'-0.5'"}},
    {"seed -2", {A, "--seed", "-2"}, 2, {"--seed", "from -1"}},
    {"seed beyond 64 bits", {A, "--seed", "18446744073709551616"}, 2, {"--seed"}},
    {"seed of words", {A, "--seed", "random"}, 2, {"--seed", "'random'"}},
    {"count 0", {A, "--count", "0"}, 2, {"--count", "1 to 64"}},
    {"count 65", {A, "--count", "65"}, 2, {"--count", "1 to 64"}},
    {"threads 0", {A, "--threads", "0"}, 2, {"--threads", "1 to 256"}},
    {"threads 257", {A, "--threads", "257"}, 2, {"--threads", "1 to 256"}},
    {"output without argument", {A, "-o"}, 2, {"--output needs an argument"}},
    {"output empty", {A, "-o", ""}, 2, {"empty name"}},
    {"output a folder to be", {A, "-o", "x/"}, 2, {"is a folder", "x/%seed.png"}},
    {"output a folder", {A, "-o", "."}, 2, {"is a folder", "file name"}},
    {"output a JPEG", {A, "-o", "x.JPG"}, 2, {"PNG", ".png"}},
    {"output with an unknown pattern", {A, "-o", "%d.png"}, 2, {"%d.png", "%seed, %i or %%"}},
    {"output ending in %", {A, "-o", "x%"}, 2, {"%seed, %i or %%"}},
    {"output one name for 2", {A, "--count", "2", "-o", "x.png"}, 2, {"2 pictures", "%i or %seed"}},
    {"output escaped pattern for 2", {A, "--count", "2", "-o", "%%i.png"}, 2, {"2 pictures"}},
    {"output name too long", {A, "-o", name_260}, 2, {"at most 236"}},
    {"output below a file", {A, "-o", "/etc/passwd/x.png"}, 2, {"/etc/passwd", "not a folder"}},
    {"output below a missing folder of a file",
     {A, "-o", "/etc/passwd/a/b/x.png"},
     2,
     {"not a folder"}},
    {"output unwritable", {A, "-o", "/proc/x.png"}, 1, {"/proc", "can't be written", "-o"}},
    {"output exists", {A, "-o", "/etc/passwd"}, 2, {"exists", "not overwritten"}},
    {"model missing", {"generate", "-m", "nowhere", "-p", "a"}, 1, {"nowhere"}},
    {"model empty", {"generate", "-m", "", "-p", "a"}, 2, {"--model", "empty"}},
    {"model a file", {"generate", "-m", "/etc/passwd", "-p", "a"}, 2, {"/etc/passwd"}},
    {"model an empty folder", {"generate", "-m", ".", "-p", "a"}, 1, {"transformer"}},
    {"part missing", {A, "--vae", "nowhere.safetensors"}, 1, {"nowhere.safetensors"}},
    {"part empty", {A, "--vae="}, 2, {"--vae", "empty"}},
    {"part not a safetensors file", {A, "--vae", "/etc/passwd"}, 1, {"/etc/passwd"}},
    {"tokenizer missing", {A, "--tokenizer", "nowhere.json"}, 1, {"nowhere.json"}},
    {"cfg above 100", {A, "--cfg", "101"}, 2, {"--cfg", "0 to 100"}},
    {"cfg with letters", {A, "--cfg", "3x"}, 2, {"--cfg", "'3x'"}},
    {"seed in scientific notation", {A, "--seed", "1e3"}, 2, {"--seed", "whole number"}},
    {"size beyond the model", {A, "-W", "16384", "-H", "16384"}, 2, {"16384x16384", "can have"}},
    {"model a part", {"generate", "-m", TINY "/vae", "-p", "a"}, 1, {"tiny/vae"}},
    {"part a JSON file", {A, "--vae", TINY "/model_index.json"}, 1, {"model_index.json"}},
    {"part of another kind", {A, "--vae", TINY "/transformer"}, 1, {"transformer"}},
    {"info without a file", {"info"}, 2, {"Which file", "FILE.png"}},
    {"info with two files", {"info", "a.png", "b.png"}, 2, {"'b.png'", "too many"}},
    {"info on nothing", {"info", "nowhere.png"}, 1, {"nowhere.png", "can't be opened"}},
    {"info on a folder", {"info", "."}, 1, {"it is a folder"}},
    {"info on text", {"info", "/etc/passwd"}, 1, {"/etc/passwd is not a PNG"}},
    {"info on an empty name", {"info", ""}, 1, {"can't be opened"}},
    {"cache with a word", {"cache", "clear"}, 2, {"'clear'", "too many"}},
    {"cache with an unknown option", {"cache", "--clean"}, 2, {"--clean", "--clear meant"}},
    {"info with an unknown option", {"info", "--jsn", "a.png"}, 2, {"--jsn", "--json meant"}},
};
enum { BAD_LINES = sizeof bad_lines / sizeof *bad_lines };

#undef G
#undef A
#endif

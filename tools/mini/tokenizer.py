"""Writes the small vocabulary in Qwen2's byte-level BPE format, with Qwen3's chat template.

Merges are learned on single words, never across them: Chinese is not split at spaces, and a token that
spans "red" and "apple" would hide the words from the encoder. Characters are put together first.
"""
import argparse
import json
import os
from collections import Counter

import artwork
import captions
import scenes

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")
ADDED = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = ("{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content"
            " + '<|im_end|>' + '\\n' }}{%- endfor %}"
            "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}")
MAX_TOKENS = 512
# Common words of prompts in general, so that any text is a moderate number of tokens.
GENERAL_EN = """the and of in with at on is are to for by from under over near behind before photo painting
portrait style light night day sky sun water sea river mountain forest garden city street room table chair
window door road bird horse dog rabbit bear tiger lion panda man woman girl boy child person people face hand
hair eyes dress hat glass gold silver gray grey black dark bright soft warm cold beautiful cute old new young
high low long short round square simple detailed realistic cartoon anime watercolor oil digital art quality
background foreground wooden stone metal paper cloud rain snow fire smoke spring summer autumn winter morning
evening two three four five many one some very happy sad smiling standing sitting running flying looking
holding wearing banana cherry lemon grape peach pear bread cake coffee tea book lamp clock phone train bus boat
ship plane bicycle bridge tower castle church temple field grass leaf rose""".split()
GENERAL_ZH = """的 在 和 有 是 上 下 左 右 中 里 前 后 边 个 只 条 张 朵 座 人 女孩 男孩 女人 男人 孩子 老人 照片 画
油画 水彩 插画 风格 动漫 写实 卡通 高清 细节 光 光线 阳光 夜晚 白天 天空 太阳 云 雨 雪 风 山 水 海 河 湖 森林 花园
城市 街道 房间 桌子 椅子 窗户 门 路 鸟 马 狗 兔子 熊 老虎 狮子 熊猫 龙 金色 银色 灰色 黑色 深色 浅色 明亮 柔和 温暖
寒冷 美丽 可爱 古老 年轻 高 低 长 短 圆 方 简单 木头 石头 金属 纸 火 烟 春天 夏天 秋天 冬天 早晨 黄昏 两 三 四 五
六 七 八 九 十 多 很 笑 站 坐 跑 飞 看 拿 穿 香蕉 樱桃 柠檬 葡萄 桃子 梨 面包 蛋糕 咖啡 茶 书 灯 钟 手机 火车 船
飞机 自行车 桥 塔 城堡 寺庙 草地 叶子 玫瑰 中国 世界 一 不 了 这 那 大 小 新 旧 好 美 旁边 下面 上面 里面 风景 人物
肖像 海报 文字 写着""".split()


def byte_letters():
    """The printable stand-in for each byte that byte-level BPE uses (GPT-2's table)."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in keep]
    return {**{b: chr(b) for b in keep}, **{b: chr(256 + i) for i, b in enumerate(other)}}


def add_english(out, phrase, count):
    for w in phrase.split():
        for v in (w, " " + w, w.capitalize()):
            out[v] += count


def words():
    """Each word with how much it counts."""
    out = Counter()
    for c in scenes.PLAIN:
        add_english(out, c, 60)
        out[captions.ZH_COLOUR[c] + "色"] += 60
    for _, en, zh in artwork.names():
        add_english(out, en, 40)
        add_english(out, captions.many(en), 20)
        out[zh] += 40
        for other in captions.ALSO.get(en, []):
            out[other] += 15
            if not captions.is_chinese(other):
                add_english(out, other, 15)
    for table in (captions.EN_PLACE, {0: captions.EN_SMALL}, {0: captions.EN_SPOT.values()}, {0: captions.EN_STYLE[0] + captions.EN_STYLE[1]}):
        for phrase in (p for ps in table.values() for p in ps):
            add_english(out, phrase, 20)
    for table in (captions.ZH_PLACE, {0: captions.ZH_SMALL}, captions.ZH_SPOT, {0: captions.ZH_STYLE[0] + captions.ZH_STYLE[1]}):
        for w in (w for ws in table.values() for w in ws):
            out[w.removeprefix("在")] += 20
    for m in set(captions.MEASURES.values()) | {"个"}:
        for number in "一两三":
            out[number + m] += 60
    add_english(out, "user assistant a an two three and with on of from to in at background plain pure gradient picture drawing "
                     "illustration emoji", 60)
    for w in ["纯白", "背景", "纯", "色", "的", "，", "和", "、", "渐变", "从", "到", "有", "上", "在", "橘猫"]:
        out[w] += 60
    for w in GENERAL_EN:
        add_english(out, w, 2)
    for w in GENERAL_ZH:
        out[w] += 4
    return out


def learn(limit):
    """(vocabulary, merges), at most `limit` base tokens."""
    letters = byte_letters()
    spell = lambda w: tuple(letters[b] for b in w.encode())
    text = [(spell(w), n) for w, n in sorted(words().items())]
    vocab = {letters[b]: i for i, b in enumerate(sorted(letters, key=lambda b: ord(letters[b])))}
    merges = []

    def merge(pair):
        nonlocal text
        merges.append(pair)
        vocab.setdefault(pair[0] + pair[1], len(vocab))
        joined = []
        for w, n in text:
            new, i = [], 0
            while i < len(w):
                step = 2 if w[i:i + 2] == pair else 1
                new.append("".join(w[i:i + step]))
                i += step
            joined.append((tuple(new), n))
        text = joined

    characters = sorted({spell(ch) for w in words() for ch in w if len(ch.encode()) == 3})
    for pair in sorted({c[:2] for c in characters}):
        merge(pair)
    for c in characters:
        merge((c[0] + c[1], c[2]))
    while len(vocab) < limit:
        pairs = Counter()
        for w, n in text:
            for pair in zip(w, w[1:]):
                pairs[pair] += n
        if not pairs:
            break
        merge(max(pairs, key=lambda p: (pairs[p], p)))
    return vocab, merges


def write(folder, limit=4093):
    """tokenizer.json, vocab.json, merges.txt and tokenizer_config.json; returns the number of ids."""
    vocab, merges = learn(limit)
    os.makedirs(folder, exist_ok=True)
    added = [dict(id=len(vocab) + i, content=t, single_word=False, lstrip=False, rstrip=False, normalized=False,
                  special=True) for i, t in enumerate(ADDED)]
    level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=False, use_regex=False)
    split = dict(type="Split", pattern=dict(Regex=PATTERN), behavior="Isolated", invert=False)
    whole = dict(
        version="1.0", truncation=None, padding=None, added_tokens=added, normalizer=dict(type="NFC"),
        pre_tokenizer=dict(type="Sequence", pretokenizers=[split, level]), post_processor=level, decoder=level,
        model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix="", end_of_word_suffix="",
                   fuse_unk=False, byte_fallback=False, ignore_merges=False, vocab=vocab,
                   merges=[list(m) for m in merges]))
    config = dict(
        add_bos_token=False, add_prefix_space=False, bos_token=None, chat_template=TEMPLATE,
        added_tokens_decoder={str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in added},
        clean_up_tokenization_spaces=False, eos_token="<|im_end|>", errors="replace", model_max_length=131072,
        pad_token="<|endoftext|>", split_special_tokens=False, tokenizer_class="Qwen2Tokenizer", unk_token=None)

    def put(name, text):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)

    put("tokenizer.json", json.dumps(whole, ensure_ascii=False, indent=1) + "\n")
    put("vocab.json", json.dumps(vocab, ensure_ascii=False) + "\n")
    put("merges.txt", "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    put("tokenizer_config.json", json.dumps(config, ensure_ascii=False, indent=2) + "\n")
    return len(vocab) + len(added)


def chat(prompt):
    return f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"


def check(folder):
    """The pipeline's ids equal those of the plain file; and the length of captions."""
    import random
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer
    plain = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    theirs = AutoTokenizer.from_pretrained(folder)
    rng = random.Random(0)
    texts = [captions.caption(scenes.random_scene(rng), rng) for _ in range(2000)]
    longest = 0
    for t in texts + ["", "纯白背景,一个红色苹果", "龘\u0301 é🙂\n\n x  y <|im_end|> it's 123"]:
        prompt = theirs.apply_chat_template([dict(role="user", content=t)], tokenize=False,
                                            add_generation_prompt=True, enable_thinking=True)
        assert prompt == chat(t), (prompt, t)
        ids = plain.encode(chat(t), add_special_tokens=False).ids
        assert theirs(prompt).input_ids == ids, t
        longest = max(longest, len(ids))
    return longest, plain


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True)
    a = p.parse_args()
    count = write(a.out)
    longest, plain = check(a.out)
    print(count, "ids, longest training caption", longest)
    for t in ("纯白背景，一个红色苹果", "a blue cube on a yellow background"):
        print([plain.decode([i]) for i in plain.encode(chat(t)).ids])


if __name__ == "__main__":
    main()

"""A byte-level BPE tokenizer of 512 tokens in the file formats of Qwen2/Qwen3.

The merges are learned from the few lines below, so that prompts of the test cases meet real merges
(also of Chinese characters, which are three bytes each), not only single bytes.
"""
import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SIZE = 512
SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
]
PLAIN = [
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
    "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>",
    "<think>", "</think>",
]
# A single user turn comes out exactly as with the published template.
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}"
    "{%- endif %}"
    "{%- endif %}"
)
COLOURS = ["red", "blue", "green", "yellow", "orange", "purple", "white", "black"]
THINGS = ["apple", "cube", "ball", "house", "tree", "fish", "star", "cup"]
COLOURS_ZH = ["红色", "蓝色", "绿色", "黄色", "橙色", "紫色", "白色", "黑色"]
THINGS_ZH = ["苹果", "方块", "球", "房子", "树", "鱼", "星星", "杯子"]


def corpus():
    for colour, colour_zh in zip(COLOURS, COLOURS_ZH):
        for thing, thing_zh in zip(THINGS, THINGS_ZH):
            yield f"a {colour} {thing} on a {COLOURS[len(thing) % 8]} background, it's a photo"
            yield f"纯白背景,一个{colour_zh}{thing_zh}。{colour_zh}的{thing_zh}在桌子上"
    yield "user\nassistant\nsystem\n    we'll  don't I'm they've you're he'd café naïve\n\n\n"


def added_tokens():
    first = SIZE - len(SPECIAL) - len(PLAIN)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return [
        {"id": first + i, "content": text, **flags, "special": text in SPECIAL}
        for i, text in enumerate(SPECIAL + PLAIN)
    ]


def train():
    """Returns (vocab: dict token -> id, merges: list of pairs)."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - len(SPECIAL) - len(PLAIN),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    assert len(model["vocab"]) == SIZE - len(SPECIAL) - len(PLAIN)
    vocab = dict(sorted(model["vocab"].items(), key=lambda item: item[1]))
    return vocab, [tuple(pair) for pair in model["merges"]]


def dump(path, value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    Path(path).write_text(text + "\n", encoding="utf-8")


def write(folder, style):
    """style: "all" (tokenizer.json, vocab.json, merges.txt), "json" (tokenizer.json alone, with
    merges as strings "a b", the older form), "text" (vocab.json and merges.txt alone)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocab, merges = train()
    added = added_tokens()
    if style in ("all", "json"):
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
                      "use_regex": False}
        dump(folder / "tokenizer.json", {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": {"type": "NFC"},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated",
                 "invert": False},
                byte_level,
            ]},
            "post_processor": byte_level,
            "decoder": byte_level,
            "model": {
                "type": "BPE", "dropout": None, "unk_token": None,
                "continuing_subword_prefix": "", "end_of_word_suffix": "", "fuse_unk": False,
                "byte_fallback": False, "ignore_merges": False, "vocab": vocab,
                "merges": [" ".join(m) for m in merges] if style == "json" else merges,
            },
        })
    if style in ("all", "text"):
        dump(folder / "vocab.json", vocab)
        lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
        (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    dump(folder / "tokenizer_config.json", {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(token["id"]): {k: v for k, v in token.items() if k != "id"} for token in added
        },
        "additional_special_tokens": SPECIAL[1:],
        "bos_token": None,
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    })

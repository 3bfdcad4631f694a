"""The objects: which pictures of the emoji sets are used, and their names in both languages.

objects.txt has a line for each: code point, English name, Chinese name. `python objects.py` writes it anew
from the short lists of labels and the names in emojibase-data.
"""
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGES = os.environ.get("MINI_PACKAGES", os.path.join(HERE, "node_modules"))


def load_json(*path):
    with open(os.path.join(PACKAGES, *path), encoding="utf-8") as f:
        return json.load(f)


def table():
    """[(code point, English, Chinese)] in the order of the file."""
    with open(os.path.join(HERE, "objects.txt"), encoding="utf-8") as f:
        return [tuple(line.rstrip("\n").split("\t")) for line in f if line.strip()]


def parse(text, labels):
    """Items are separated by blanks, and so are the words of a label: the longest known label wins."""
    words, i, out = text.replace("_", " ").split(), 0, []
    while i < len(words):
        for n in range(min(7, len(words) - i), 0, -1):
            piece = " ".join(words[i:i + n])
            label, _, rest = piece.partition("=")
            if not rest and "/" in label:
                label, _, zh = label.partition("/")
                rest = "/" + zh
            if label in labels and re.fullmatch(r"([^/]*/\S+)?", rest):
                break
        else:
            raise SystemExit(f"unknown: {words[i:i + 6]}")
        en, _, zh = rest.partition("/")
        out.append((label, en or label, zh))
        i += n
    return out

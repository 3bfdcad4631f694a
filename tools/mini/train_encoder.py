"""Teaches the text encoder what captions say, before there is a DiT: from its features a small reader has to tell the
things in their order, their colours and their codes (codes.py), the background, the size, the place and the style. Words that
name a thing start as its code.

A DiT that has to learn words and pictures at once learns colours and backgrounds, and for hours hardly anything of
shapes; what a thing looks like is told here for a hundredth of the work. The reader is thrown away afterwards; the
encoder stays as it is, for what a DiT that can't draw yet would teach it is noise.
"""
import argparse
import glob
import math
import os
import pickle
import random

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import artwork
import captions
import clock
import codes
import model
import scenes
import train

COLOURS = [None, *artwork.COLOURS]
GROUNDS = [*scenes.PLAIN, *scenes.PLACES]
SPOTS = [None, *scenes.SPOTS]
CODE_COUNTS = 4  # what a code's error counts, by the entropies


@torch.no_grad()
def named(encoder, tok, things):
    """Sets the vectors of the tokens that are a thing's whole name."""
    table = encoder.embed_tokens.weight
    for i, (_, english, chinese) in enumerate(artwork.names()):
        also = captions.ALSO.get(english, [])
        words = [w for w in (english, captions.many(english), *also) if not captions.is_chinese(w)]
        words = [v for w in words for v in (w, " " + w, w.capitalize())] + [chinese, *filter(captions.is_chinese, also)]
        for ids in (tok.encode(w, add_special_tokens=False).ids for w in words):
            if len(ids) == 1:
                table[ids[0], -codes.CODE:] = things[0, i, None]


class Reader(torch.nn.Module):
    """Four questions, three things and the rest, each looks once at all features; answers are linear in what it has seen."""

    def __init__(self, objects):
        super().__init__()
        self.width = width = model.DIT["cap_feat_dim"]
        self.questions = torch.nn.Parameter(torch.randn(4, 4, width // 4) * 0.3)  # heads, questions
        self.key, self.value = torch.nn.Linear(width, width), torch.nn.Linear(width, 2 * width)
        answers = dict(object=objects, colour=len(COLOURS), code=codes.CODE)
        rest = dict(count=3, ground=len(GROUNDS), other=len(GROUNDS), kind=3, size=len(scenes.SIZES), spot=len(SPOTS), style=len(artwork.STYLES))
        self.thing = torch.nn.ModuleDict({k: torch.nn.Linear(2 * width, n) for k, n in answers.items()})
        self.rest = torch.nn.ModuleDict({k: torch.nn.Linear(2 * width, n) for k, n in rest.items()})

    def forward(self, feats, own):
        x = F.rms_norm(feats, (self.width,))
        heads = lambda y: y.unflatten(-1, (4, -1)).transpose(1, 2)
        scores = self.questions @ heads(self.key(x)).mT
        seen = torch.softmax(scores.masked_fill(~own[:, None, None], -math.inf), -1) @ heads(self.value(x))
        seen = seen.transpose(1, 2).flatten(2)
        return {k: m(seen[:, :3]) for k, m in self.thing.items()} | {k: m(seen[:, 3]) for k, m in self.rest.items()}


def wanted(batch, things):
    """What the reader should say of these scenes; -100 where there is nothing to say."""
    out = {k: [] for k in ("object", "colour", "code", "count", "ground", "other", "kind", "size", "spot", "style")}
    nothing = torch.zeros(codes.CODE)
    for s in batch:
        free = [None] * (3 - len(s.things))
        out["object"].append([t.index for t in s.things] + [-100 for _ in free])
        out["colour"].append([COLOURS.index(t.colour) for t in s.things] + [-100 for _ in free])
        out["code"].append(torch.stack([things[s.style, t.index, t.colour] for t in s.things] + [nothing for _ in free]))
        out["count"].append(len(s.things) - 1)
        out["ground"].append(GROUNDS.index(s.background[0]))
        out["other"].append(GROUNDS.index(s.background[-1]))
        out["kind"].append(("plain", "gradient", "place").index(s.kind))
        out["size"].append(list(scenes.SIZES).index(s.size))
        out["spot"].append(SPOTS.index(s.spot))
        out["style"].append(s.style)
    return {k: torch.stack(v) if k == "code" else torch.tensor(v) for k, v in out.items()}


def judged(said, want):
    """(loss, share of right answers by question)."""
    loss, right = 0, {}
    for k, w in want.items():
        if k == "code":
            there = want["object"] >= 0
            loss = loss + CODE_COUNTS * (said[k] - w)[there].pow(2).mean()
            right[k] = 1 - ((said[k] - w)[there].pow(2).mean() / w[there].var(0).mean()).item()
        else:
            loss = loss + F.cross_entropy(said[k].flatten(0, -2), w.flatten())
            there = w >= 0
            right[k] = (said[k].argmax(-1) == w)[there].float().mean().item()
    return loss, right


def main():
    p = clock.options(__doc__, 14, 2e-3, 128)
    p.add_argument("--pool", required=True, help="folder of prepare.py: only its scenes are read")
    p.add_argument("--tokenizer", required=True, help="folder of tokenizer.py")
    p.add_argument("--codes", required=True, help="codes.pt of codes.py")
    p.add_argument("--out", required=True, help="encoder.pt")
    a = p.parse_args()
    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)
    tok = Tokenizer.from_file(os.path.join(a.tokenizer, "tokenizer.json"))
    everything = []
    for path in sorted(glob.glob(os.path.join(a.pool, "*.scenes"))):
        with open(path, "rb") as f:
            everything += pickle.load(f)
    encoder, reader, things = model.build_encoder(), Reader(len(artwork.names())), codes.load(a.codes)
    named(encoder, tok, things)
    inner, outer = train.parameters(encoder)
    outer += reader.parameters()
    muon, adam = train.Muon(inner, a.lr), torch.optim.AdamW(outer, a.lr, (0.9, 0.98), weight_decay=0.0)
    work = clock.Clock(a.out, a.minutes, dict(encoder=encoder, reader=reader, muon=muon, adam=adam))
    rng = random.Random(a.seed + work.steps)
    while not work.over():
        for opt in (muon, adam):
            opt.param_groups[0]["lr"] = a.lr * min(1, (work.steps - work.began + 1) / 100, 0.01 + 0.99 * (1 - work.share()) / 0.5)
        batch = rng.choices(everything, k=a.batch)
        ids, own = train.texts(batch, rng, tok, drop=0)
        loss, right = judged(reader(model.encode(encoder, ids), own), wanted(batch, things))
        for opt in (muon, adam):
            opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(outer, 1.0)
        muon.step()
        adam.step()
        work.step()
        if work.steps % 100 == 0 or work.over():
            print(f"step {work.steps} {work.spent:.0f} s loss {loss.item():.3f} " + " ".join(f"{k} {v:.3f}" for k, v in right.items()), flush=True)


if __name__ == "__main__":
    main()

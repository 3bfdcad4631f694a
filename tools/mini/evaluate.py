"""Does the model follow the prompt? Pictures for held-out combinations, judged without any model.

Background: median of the border, to the nearest colour. Object: what differs from the background; its colour
by the votes of its pixels for each colour's tones; its kind by the best match in silhouette and tones with the
drawings of all kinds. A match below a floor counts as no kind at all. True drawings go through the same judge.
"""
import argparse
import json
import os
import random
import subprocess

import numpy as np
import torch
from PIL import Image

import captions
import draw

NAMES = list(draw.PALETTE)
TABLE = np.array([draw.PALETTE[n] for n in NAMES], float)
GRID = 64      # silhouettes are compared at this size
FLOOR = 0.55   # least overlap (intersection over union) that counts as a kind


def border(image):
    return np.concatenate([image[:6].reshape(-1, 3), image[-6:].reshape(-1, 3), image[:, :6].reshape(-1, 3),
                           image[:, -6:].reshape(-1, 3)])


def foreground(image):
    return np.linalg.norm(image - np.median(border(image), axis=0), axis=2) > 36


def background_of(image):
    return NAMES[np.linalg.norm(TABLE - np.median(border(image), axis=0), axis=1).argmin()]


def tones():
    """(owner, colour, weight) of what object pixels may be: plain, lit and shaded tones of each colour, and
    details that say nothing."""
    out = []
    for n in draw.COLOURS:
        c = np.array(draw.PALETTE[n], float)
        out += [(n, c, 1.0), (n, c + (255 - c) * 0.35, 0.6), (n, c * 0.7, 0.6), (n, c * 0.88, 1.0)]
    details = (draw.DARK, draw.CREAM, draw.GLASS, draw.WHITE, draw.YOLK, draw.LEAF, draw.BARK)
    return out + [(None, np.array(c, float), 0.0) for c in details]


TONES = tones()


def colour_of(image, mask, background):
    px = image[mask]
    if len(px) < 50:
        return None
    d = np.linalg.norm(px[:, None] - np.array([t[1] for t in TONES])[None], axis=2)
    nearest, votes = d.argmin(1), dict.fromkeys(draw.COLOURS, 0.0)
    for i, n in zip(*np.unique(nearest, return_counts=True)):
        if TONES[i][0]:
            votes[TONES[i][0]] += n * TONES[i][2]
    votes.pop(background, None)  # edges blend towards it, and an object never has it
    return max(votes, key=votes.get)


def framed(image, mask):
    """Picture and silhouette cut to the object, centred on GRID x GRID, aspect kept."""
    ys, xs = np.nonzero(mask)
    (y0, y1), (x0, x1) = np.percentile(ys, [0.3, 99.7]), np.percentile(xs, [0.3, 99.7])
    half = max(y1 - y0, x1 - x0) / 2 + 1
    cy, cx = (y0 + y1) / 2, (x0 + x1) / 2
    box = (cx - half, cy - half, cx + half, cy + half)
    m = Image.fromarray((mask * 255).astype(np.uint8)).transform((GRID, GRID), Image.EXTENT, box, Image.BILINEAR)
    c = Image.fromarray(image.astype(np.uint8)).transform((GRID, GRID), Image.EXTENT, box, Image.BILINEAR)
    return np.asarray(c, float), np.asarray(m, float) / 255


TEMPLATES = {}


def template(kind, colour, background, size):
    key = (kind, colour, background, size)
    if key not in TEMPLATES:
        x = draw.render([captions.Scene(kind, colour, background)], random.Random(0), size, jitter=0.0)[0]
        image = np.asarray(draw.to_pil(x), float)
        TEMPLATES[key] = framed(image, foreground(image))
    return TEMPLATES[key]


def kind_of(image, mask, colour, background):
    """(kind or None, overlap)"""
    if colour is None:
        return None, 0.0
    c, m = framed(image, mask)
    scores = {}
    for kind in draw.KINDS:
        tc, tm = template(kind, colour, background, min(image.shape[:2]))
        overlap = np.minimum(m, tm).sum() / np.maximum(m, tm).sum()
        both = np.minimum(m, tm)
        apart = (np.abs(c - tc).mean(2) * both).sum() / max(both.sum(), 1) / 255
        scores[kind] = (overlap - apart, overlap)
    best = max(scores, key=lambda k: scores[k][0])
    return (best if scores[best][1] >= FLOOR else None), scores[best][1]


def judge(image):
    image = np.asarray(image.convert("RGB"), float)
    background, mask = background_of(image), foreground(image)
    colour = colour_of(image, mask, background)
    kind, overlap = kind_of(image, mask, colour, background)
    return dict(kind=kind, colour=colour, background=background, overlap=round(float(overlap), 3))


def score(cases):
    """cases: (scene, PIL image, extra fields) -> shares and a row for each."""
    rows = []
    for scene, image, extra in cases:
        seen = judge(image)
        right = {k: seen[k] == getattr(scene, k) for k in ("kind", "colour", "background")}
        rows.append(dict(**extra, want=dict(kind=scene.kind, colour=scene.colour, background=scene.background),
                         seen=seen, right=right))
    share = lambda f: round(sum(map(f, rows)) / max(1, len(rows)), 4)
    total = {k: share(lambda r: r["right"][k]) for k in ("kind", "colour", "background")}
    total["all"] = share(lambda r: all(r["right"].values()))
    return total, rows


def true_drawings(prompts, per_prompt, size):
    rng = random.Random(17)
    return [(s, draw.to_pil(draw.render([s], rng, size)[0]), dict(prompt=t)) for s, t in prompts
            for _ in range(per_prompt)]


def make(a, prompts):
    """Writes outputs that are not there yet; the name says prompt and seed."""
    os.makedirs(a.out, exist_ok=True)
    pipe = None
    if a.diffusers:
        from diffusers import ZImagePipeline
        pipe = ZImagePipeline.from_pretrained(a.model, torch_dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
    for i, (_, text) in enumerate(prompts):
        for seed in range(a.seeds):
            path = os.path.join(a.out, f"{i:03d}-{seed}.png")
            if os.path.exists(path):
                continue
            number = 1000 * i + seed
            if pipe:
                pipe(text, height=a.size, width=a.size, num_inference_steps=a.steps, guidance_scale=0.0,
                     generator=torch.Generator().manual_seed(number)).images[0].save(path)
            elif a.mebi:
                subprocess.run([a.mebi, "generate", "-m", a.model, "-p", text, "--seed", str(number), "--steps",
                                str(a.steps), "--size", f"{a.size}x{a.size}", "-o", path, "--quiet", "--precision",
                                a.precision], check=True, stdout=subprocess.DEVNULL)
        if i % 8 == 7:
            print(f"{i + 1} of {len(prompts)} prompts", flush=True)


def decibels(image, other):
    """PSNR of two pictures; 99 for equal ones."""
    square = np.mean((np.asarray(image, float) - np.asarray(other, float)) ** 2)
    return 99.0 if square == 0 else 10 * np.log10(255 ** 2 / square)


def compare(cases, folder):
    """PSNR of each picture against the one of its name in the folder."""
    each = sorted(decibels(image, Image.open(os.path.join(folder, extra["file"])).convert("RGB"))
                  for _, image, extra in cases)
    return dict(pictures=len(each), mean=round(float(np.mean(each)), 2), least=round(float(each[0]), 2),
                median=round(float(np.median(each)), 2))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    how = p.add_mutually_exclusive_group()
    how.add_argument("--mebi", help="make pictures with this program")
    how.add_argument("--diffusers", action="store_true", help="make pictures with ZImagePipeline")
    p.add_argument("--precision", default="auto", help="of mebi: auto, f32, bf16 or int8")
    p.add_argument("--compare", metavar="FOLDER", help="pictures of the same names, to tell the PSNR against")
    p.add_argument("--model", default="models/mini")
    p.add_argument("--out", required=True, help="folder of pictures; those already there are judged as they are")
    p.add_argument("--prompts", type=int, default=64)
    p.add_argument("--seeds", type=int, default=2)
    p.add_argument("--steps", type=int, default=8)
    p.add_argument("--size", type=int, default=256)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--bars", action="store_true", help="fail below colour 0.9, background 0.9, kind 0.8, drawings 0.97")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    prompts = captions.test_prompts(a.prompts)
    if len(prompts) < a.prompts:
        p.error(f"only {len(prompts)} held-out combinations")
    truth, missed = score(true_drawings(prompts, 2, a.size))
    print("true drawings", truth, [(r["want"], r["seen"]) for r in missed if not all(r["right"].values())])
    make(a, prompts)
    cases = []
    for i, (scene, text) in enumerate(prompts):
        for seed in range(a.seeds):
            name = f"{i:03d}-{seed}.png"
            if os.path.exists(os.path.join(a.out, name)):
                cases.append((scene, Image.open(os.path.join(a.out, name)).convert("RGB"), dict(file=name, prompt=text)))
    if not cases:
        return
    total, rows = score(cases)
    by = {lang: score([c for c in cases if c[2]["prompt"].isascii() == (lang == "english")])[0]
          for lang in ("chinese", "english")}
    print("model", len(cases), "pictures", total, by)
    psnr = compare(cases, a.compare) if a.compare else None
    if psnr:
        print("PSNR against", a.compare, psnr)
    with open(os.path.join(a.out, "scores.json"), "w") as f:
        json.dump(dict(pictures=len(cases), model=total, languages=by, psnr=psnr, true_drawings=truth,
                       rows=rows), f,
                  ensure_ascii=False, indent=1)
    small = [torch.from_numpy(np.array(c[1].resize((128, 128), Image.BOX))).permute(2, 0, 1) / 255 for c in cases]
    for x, r in zip(small, rows):  # a mark in the corner where the judge disagrees
        if not all(r["right"].values()):
            x[:, :10, :10] = torch.tensor([1.0, 0, 1.0]).view(3, 1, 1)
    draw.sheet(torch.stack(small), 16, os.path.join(a.out, "sheet.png"))
    if a.bars and (total["colour"] < 0.9 or total["background"] < 0.9 or total["kind"] < 0.8 or
                   min(truth[k] for k in ("kind", "colour", "background")) < 0.97):
        raise SystemExit("below the bars")


if __name__ == "__main__":
    main()

"""Does the model follow the prompt? Pictures for combinations that were never drawn for training, judged one by one.

Background: median of the border, to the nearest plain colour. Count: segments, that is what differs from the background,
loose parts put together. Object: the word of classifier.py on each segment. Colour: of a segment's pixels, where one was
asked. Pictures as they should be, drawn by scenes.py for the same prompts, go through the same judge.
"""
import argparse
import functools
import json
import os
import random
import subprocess

import numpy as np
from PIL import Image

import artwork
import captions
import classifier
import scenes
import segments

BARS = dict(object=0.75, colour=0.85, background=0.9, count=0.7)
TRUE_BARS = dict(object=0.97, count=0.97)
NAMES_BAR = 300
VISIBLE = 0.6  # least share of an object that differs from its background, for a prompt to be asked


@functools.lru_cache(None)
def visible(thing, style, background):
    a = artwork.picture(artwork.STYLES[style], thing.index, thing.colour, 64)
    ground = np.array(scenes.PLAIN[background]) / 255
    seen = a[..., 3] > 0.5
    return (np.linalg.norm(a[..., :3] + (1 - a[..., 3:]) * ground - ground, axis=2) > 0.2)[seen].mean() >= VISIBLE


def plain_scene(rng, count, held):
    """A scene on a plain background, of a combination that is held out, or is not."""
    while True:
        style = scenes.random_style(rng)
        background = rng.choice(list(scenes.PLAIN))
        def thing():
            return scenes.Thing(scenes.random_object(rng, style), rng.choice(list(artwork.COLOURS)) if rng.random() < 0.65 else None)
        same = count > 1 and rng.random() < 0.4
        things = (thing(),) * count if same else tuple(thing() for _ in range(count))
        s = scenes.Scene(things, "plain", (background,), "normal", None, style)
        if not any(t.colour for t in things) or scenes.held_out(s) != held or not same and len({t.index for t in things}) < count:
            continue
        name = artwork.STYLES[style]
        if not all(artwork.drawn(name, t.index) for t in things):
            continue
        if all((t.colour is None or artwork.can_have(name, t.index, t.colour)) and not scenes.clashes(t, style, (background,))
               and visible(t, style, background) for t in things):
            return s


def prompts(number, seed=4711, held=True):
    """[(scene, prompt)]: of ten five with one thing, three with two and two with three; every second one Chinese."""
    rng, out = random.Random(seed), []
    for i in range(number):
        s = plain_scene(rng, (1, 2, 1, 3, 1, 2, 1, 3, 1, 2)[i // 2 % 10], held)
        out.append((s, (captions.english if i % 2 else captions.chinese)(s, rng, plain=True)))
    return out


def name_prompts():
    """[(scene, prompt)]: each object once in each language, as it is, on the first background where it can be seen."""
    rng, out = random.Random(1), []
    for i in range(len(artwork.names())):
        style = 0 if artwork.drawn(artwork.STYLES[0], i) else 1
        thing = scenes.Thing(i)
        ground = next(b for b in ("white", "blue", "yellow", "black", "green") if visible(thing, style, b) and
                      not scenes.clashes(thing, style, (b,)))
        s = scenes.Scene((thing,), "plain", (ground,), "normal", None, style)
        out += [(s, captions.chinese(s, rng, plain=True)), (s, captions.english(s, rng, plain=True))]
    return out


def judge(image, net):
    """What is seen on an (high, wide, 3) uint8 picture: background, and word and colour of each thing."""
    image = np.asarray(image, float) / 255
    background, ground = segments.background_of(image)
    parts = segments.segments(image, ground)
    words = classifier.words(net, [segments.crop(image, p, ground) for p in parts])
    return dict(background=background, things=[
        dict(object=w, sure=round(sure, 3), colour=artwork.colour_of_pixels(image[p])[0], pixels=int(p.sum()))
        for p, (w, sure) in zip(parts, words)])


def matched(wanted, seen):
    """For each wanted thing the index of what is seen for it, or None: of its object first and then of its colour;
    what is left goes in turn, to those of the wanted that are left."""
    free, out = list(range(len(seen))), [None] * len(wanted)
    for test in (lambda t, v: v["object"] == t.index and t.colour in (None, v["colour"]), lambda t, v: v["object"] == t.index,
                 lambda t, v: True):
        for k, t in enumerate(wanted):
            j = next((j for j in free if test(t, seen[j])), None)
            if out[k] is None and j is not None:
                out[k] = j
                free.remove(j)
    return out


def row(scene, seen, extra):
    """What is right about a picture."""
    pairs = [(t, None if j is None else seen["things"][j]) for t, j in zip(scene.things, matched(scene.things, seen["things"]))]
    objects = [v is not None and v["object"] == t.index for t, v in pairs]
    colours = [v is not None and v["colour"] == t.colour for t, v in pairs if t.colour]
    right = dict(object=all(objects), colour=all(colours), background=seen["background"] == scene.background[0],
                 count=len(seen["things"]) == len(scene.things))
    name = lambda i: artwork.names()[i][1] if i < classifier.NONE else None
    return dict(extra, want=dict(things=[[name(t.index), t.colour] for t in scene.things], background=scene.background[0]),
                seen=dict(things=[[name(v["object"]), v["colour"], v["sure"]] for v in seen["things"]],
                          background=seen["background"]),
                right=right, objects=objects, colours=colours, style=scene.style)


def shares(rows):
    """Of pictures where all is right; and of things, `each`. Colours where one was asked."""
    mean = lambda values: round(sum(values) / len(values), 4) if values else None
    coloured = [r for r in rows if r["colours"]]
    return dict(pictures=len(rows), object=mean([r["right"]["object"] for r in rows]),
                colour=mean([r["right"]["colour"] for r in coloured]),
                background=mean([r["right"]["background"] for r in rows]), count=mean([r["right"]["count"] for r in rows]),
                all=mean([all(r["right"].values()) for r in rows]),
                each_object=mean([x for r in rows for x in r["objects"]]), each_colour=mean([x for r in rows for x in r["colours"]]))


def totals(rows):
    chinese = lambda r: captions.is_chinese(r["prompt"])
    out = dict(all=shares(rows), chinese=shares([r for r in rows if chinese(r)]),
               english=shares([r for r in rows if not chinese(r)]))
    for n in (1, 2, 3):
        out[f"things {n}"] = shares([r for r in rows if len(r["want"]["things"]) == n])
    for k, style in enumerate(artwork.STYLES):
        out[style] = shares([r for r in rows if r["style"] == k])
    return out


def table(title, parts):
    print(title)
    for name, s in parts.items():
        if s["pictures"]:
            print(f"  {name:18}", "  ".join(f"{k} {v if v is not None else '-'}" for k, v in s.items()), flush=True)


def make(a, asked):
    """Writes the pictures that are not there yet, the seeds of one prompt at once; names say prompt and seed."""
    if not a.mebi and not a.diffusers:
        return
    pipe = None
    if a.diffusers:
        import torch
        from diffusers import ZImagePipeline
        torch.set_num_threads(a.threads)
        pipe = ZImagePipeline.from_pretrained(a.model, torch_dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
    for i, (_, text) in enumerate(asked):
        missing = [k for k in range(a.seeds) if not os.path.exists(picture_path(a, i, k))]
        if pipe:
            for k in missing:
                image = pipe(text, height=a.size, width=a.size, num_inference_steps=a.steps, guidance_scale=a.cfg,
                             generator=torch.Generator().manual_seed(1000 * i + k)).images[0]
                image.save(picture_path(a, i, k))
        elif missing:
            for k in set(range(a.seeds)) - set(missing):
                os.remove(picture_path(a, i, k))  # mebi never writes over a file
            subprocess.run([a.mebi, "generate", "-m", a.model, "-p", text, "--seed", str(1000 * i), "--count", str(a.seeds),
                            "--steps", str(a.steps), "--cfg", str(a.cfg), "--size", f"{a.size}x{a.size}", "--quiet",
                            "--precision", a.precision, "--threads", str(a.threads),
                            "-o", os.path.join(a.out, f"{i:03d}-%i.png")], check=True, stdout=subprocess.DEVNULL)
        if i % 20 == 19:
            print(f"{i + 1} of {len(asked)} prompts", flush=True)


def picture_path(a, prompt, seed):
    return os.path.join(a.out, f"{prompt:03d}-{seed + 1}.png")


def keep_prompts(a, asked):
    """The pictures of a folder are of these prompts and of no others."""
    os.makedirs(a.out, exist_ok=True)
    path, mine = os.path.join(a.out, "prompts.json"), dict(steps=a.steps, cfg=a.cfg, size=a.size, prompts=[t for _, t in asked])
    if os.path.exists(path) and (a.mebi or a.diffusers):
        with open(path, encoding="utf-8") as f:
            if json.load(f) != mine:
                raise SystemExit(f"{a.out} has pictures of other prompts or settings: take another folder")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(mine, f, ensure_ascii=False, indent=1)


def true_pictures(asked):
    return [(s, (scenes.draw(s) * 255 + 0.5).clip(0, 255).astype(np.uint8), dict(prompt=t)) for s, t in asked]


def made_pictures(a, asked):
    out = []
    for i, (s, text) in enumerate(asked):
        for path in (picture_path(a, i, k) for k in range(a.seeds)):
            if os.path.exists(path):
                out.append((s, np.asarray(Image.open(path).convert("RGB")), dict(file=os.path.basename(path), prompt=text)))
    return out


MARKS = dict(object=(255, 0, 255), colour=(255, 140, 0), background=(0, 200, 255), count=(0, 0, 0))


def sheet(path, cases, rows, columns=20, side=128):
    """Small pictures; a mark in the upper left corner for each thing that is wrong, in the order of MARKS."""
    tiles = []
    for (_, image, _), r in zip(cases, rows):
        x = np.array(Image.fromarray(image).resize((side, side), Image.Resampling.BOX))
        for k, (name, colour) in enumerate(MARKS.items()):
            if not r["right"][name]:
                x[:12, 14 * k:14 * k + 12] = 255
                x[2:10, 14 * k + 2:14 * k + 10] = colour
        tiles.append(x)
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    Image.fromarray(np.concatenate([np.concatenate(tiles[k:k + columns], 1) for k in range(0, len(tiles), columns)])).save(path)


def decibels(image, other):
    """PSNR of two pictures; 99 for equal ones."""
    square = np.mean((np.asarray(image, float) - np.asarray(other, float)) ** 2)
    return 99.0 if square == 0 else 10 * np.log10(255 ** 2 / square)


def compare(cases, folder):
    """PSNR of each picture against the one of its name in the folder."""
    each = sorted(decibels(image, Image.open(os.path.join(folder, extra["file"])).convert("RGB")) for _, image, extra in cases)
    return dict(pictures=len(each), mean=round(float(np.mean(each)), 2), least=round(float(each[0]), 2),
                median=round(float(np.median(each)), 2))


def score(cases, net):
    return [row(s, judge(image, net), extra) for s, image, extra in cases]


def reached(rows):
    """Objects that every language's name gives: where the largest thing of the picture, or the only one, is it."""
    by = {}
    for r in rows:
        by.setdefault("chinese" if captions.is_chinese(r["prompt"]) else "english", {}).setdefault(
            r["want"]["things"][0][0], []).append(r["found"])
    good = {lang: {name for name, found in names.items() if any(found)} for lang, names in by.items()}
    both = set.intersection(*good.values()) if len(good) == 2 else set()
    every = {name for names in by.values() for name in names}
    return dict(**{lang: len(names) for lang, names in good.items()}, both=len(both), of=len(every), not_reached=sorted(every - both))


def names_score(cases, net):
    rows = []
    for scene, image, extra in cases:
        seen = judge(image, net)
        largest = max(seen["things"], key=lambda v: v["pixels"], default=None)
        rows.append(dict(row(scene, seen, extra), found=largest is not None and largest["object"] == scene.things[0].index))
    return rows


def save(a, report):
    with open(os.path.join(a.out, "scores.json"), "w", encoding="utf-8") as f:
        json.dump(report, f, ensure_ascii=False, indent=1)


def names_check(a, net):
    asked = name_prompts()
    keep_prompts(a, asked)
    truth = names_score(true_pictures(asked[::2]), net)
    print("pictures as they should be:", sum(r["found"] for r in truth), "of", len(truth), "objects;",
          "not seen:", ", ".join(r["want"]["things"][0][0] for r in truth if not r["found"]) or "none", flush=True)
    make(a, asked)
    cases = made_pictures(a, asked)
    rows = names_score(cases, net)
    report = dict(settings=settings(a), true_pictures=sum(r["found"] for r in truth), **reached(rows), rows=rows)
    if cases:
        print({k: v for k, v in report.items() if k not in ("rows", "settings")})
        sheet(os.path.join(a.out, "sheet.png"), cases, rows)
    save(a, report)
    return [] if report["both"] >= NAMES_BAR else [f"{report['both']} objects are reached in both languages, not {NAMES_BAR}"]


def settings(a):
    return {k: getattr(a, k) for k in ("model", "steps", "cfg", "size", "seeds", "precision", "seed")}


def main_check(a, net):
    asked = prompts(a.prompts, a.seed)
    keep_prompts(a, asked)
    truth_cases = true_pictures(asked)
    truth = score(truth_cases, net)
    sheet(os.path.join(a.out, "true.png"), truth_cases, truth)
    report = dict(settings=settings(a), true_pictures=totals(truth),
                  true_rows=[r for r in truth if not all(r["right"].values())])
    table("pictures as they should be", report["true_pictures"])
    below = [f"pictures as they should be: {k} {report['true_pictures']['all'][k]}, not {bar}" for k, bar in TRUE_BARS.items()
             if report["true_pictures"]["all"][k] < bar]
    make(a, asked)
    cases = made_pictures(a, asked)
    if cases:
        rows = score(cases, net)
        report.update(model=totals(rows), rows=rows, psnr=compare(cases, a.compare) if a.compare else None)
        table("the model's pictures", report["model"])
        if a.compare:
            print("PSNR against", a.compare, report["psnr"])
        sheet(os.path.join(a.out, "sheet.png"), cases, rows)
        below += [f"{k} {report['model']['all'][k]}, not {bar}" for k, bar in BARS.items() if report["model"]["all"][k] < bar]
    if len(cases) < len(asked) * a.seeds:
        below.append(f"only {len(cases)} of {len(asked) * a.seeds} pictures")
    save(a, report)
    return below


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    how = p.add_mutually_exclusive_group()
    how.add_argument("--mebi", help="make pictures with this program")
    how.add_argument("--diffusers", action="store_true", help="make pictures with ZImagePipeline")
    p.add_argument("--classifier", help="weights of classifier.py; default: $MINI_WORK/classifier.pt")
    p.add_argument("--names", action="store_true", help="ask for each object once in each language instead")
    p.add_argument("--precision", default="auto", help="of mebi: auto, f32, bf16 or int8")
    p.add_argument("--compare", metavar="FOLDER", help="pictures of the same names, to tell the PSNR against")
    p.add_argument("--model", default="models/mini")
    p.add_argument("--out", required=True, help="folder of pictures; those already there are judged as they are")
    p.add_argument("--prompts", type=int, default=200)
    p.add_argument("--seeds", type=int, help="pictures of each prompt; default 2, and 1 with --names")
    p.add_argument("--seed", type=int, default=4711, help="of the choice of prompts")
    p.add_argument("--steps", type=int, default=8)
    p.add_argument("--cfg", type=float, default=0.0)
    p.add_argument("--size", type=int, default=256)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--bars", action="store_true", help=f"fail below {BARS} or, of pictures as they should be, {TRUE_BARS}; "
                   f"with --names below {NAMES_BAR} objects")
    a = p.parse_args()
    a.seeds = a.seeds or (1 if a.names else 2)
    classifier.torch.set_num_threads(a.threads)
    net = classifier.load(a.classifier or os.path.join(os.environ["MINI_WORK"], "classifier.pt"))
    below = (names_check if a.names else main_check)(a, net)
    print("\n".join(below) or "all bars are reached")
    if a.bars and below:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""Scenes: what is in a picture, and the picture. A scene is drawn the same way every time.

Backgrounds are plain, a gradient from top to bottom, or one of a few simple places.
"""
import random
import zlib
from dataclasses import dataclass, field

import numpy as np

import artwork

PLAIN = dict(white=(255, 255, 255), gray=(168, 170, 176), black=(28, 28, 34), red=(222, 66, 66), orange=(248, 154, 72),
             yellow=(252, 222, 100), green=(112, 194, 112), blue=(98, 168, 238), purple=(158, 112, 208),
             pink=(250, 170, 198), brown=(146, 98, 66))
# Places, and the colours that can hardly be seen there.
PLACES = dict(grass=("green", "blue"), night=("blue", "purple", "black"), beach=("blue", "yellow"), snow=("white", "gray"),
              sea=("blue",), room=("brown", "yellow", "orange"))
SIZES = ("small", "normal")
TOKEN = 16  # pixels of a DiT's token, on a side
SIDES = dict(small=56, normal=120)  # of things
CELLS = dict(small=4, normal=8)  # tokens, on a side, of the cell that a thing is in the middle of
SECOND_STYLE = 6  # of so many objects one is drawn in the second style too
SPOTS = dict(left=(0, 0.5), right=(1, 0.5), top=(0.5, 0), bottom=(0.5, 1))  # where the cell is, of the room there is


@dataclass(frozen=True)
class Thing:
    index: int
    colour: str | None = None  # None: as it is


@dataclass(frozen=True)
class Scene:
    things: tuple  # one to three
    kind: str      # plain, gradient, place
    background: tuple  # of colour names, or the place's
    size: str = "normal"
    spot: str | None = None
    style: int = 0
    wide: int = 256
    high: int = 256


def held_out(scene):
    """About 15 % of the combinations of things, colours and background are never drawn for training."""
    if scene.kind != "plain" or not any(t.colour for t in scene.things):
        return False
    key = "|".join(f"{artwork.names()[t.index][1]}{t.colour}" for t in scene.things) + "|" + scene.background[0]
    return zlib.crc32(key.encode()) % 100 < 15


def cells(scene):
    """[(left, top, side)] in tokens. All normal ones start at an even row and at every fourth column where the picture is native,
    so that what a thing looks like has to be learned once, not for every place."""
    w, h, n, side = scene.wide // TOKEN, scene.high // TOKEN, len(scene.things), CELLS[scene.size]
    if n == 1:
        spots = [SPOTS.get(scene.spot, (0.5, 0.5))]
    elif w != h:
        spots = [(i / (n - 1), 0.5) if w > h else (0.5, i / (n - 1)) for i in range(n)]
    else:
        spots = [SPOTS["left"], SPOTS["right"]] if n == 2 else [(0.5, 0), (0, 1), (1, 1)]
    return [(round(x * (w - side)), round(y * (h - side)), side) for x, y in spots]


def fits(scene):
    """If its things have room beside each other."""
    n, w, h = len(scene.things), scene.wide // TOKEN, scene.high // TOKEN
    return n == 1 or max(w, h) >= CELLS[scene.size] * (2 if w == h else n)


def layout(scene):
    """[(left, top, side)] in pixels."""
    side = SIDES[scene.size]
    return [tuple(TOKEN * at + (TOKEN * c - side) // 2 for at in (x, y)) + (side,) for x, y, c in cells(scene)]


def ramp(stops, high, wide):
    y = np.linspace(0, 1, high)
    at = np.linspace(0, 1, len(stops))
    c = np.stack([np.interp(y, at, [s[k] for s in stops]) for k in range(3)], -1)
    return np.repeat(c[:, None].astype(np.float32), wide, 1)


def disc(im, x, y, rx, ry, colour):
    h, w, _ = im.shape
    x0, x1 = max(0, int(x - rx) - 1), min(w, int(x + rx) + 2)
    y0, y1 = max(0, int(y - ry) - 1), min(h, int(y + ry) + 2)
    if x0 >= x1 or y0 >= y1:
        return
    part = im[y0:y1, x0:x1]
    dx, dy = (np.arange(x0, x1) - x) / rx, (np.arange(y0, y1) - y) / ry
    d = np.sqrt(dx[None] ** 2 + dy[:, None] ** 2)
    a = np.clip((1 - d) * min(rx, ry) + 0.5, 0, 1)[..., None]
    part[:] = part * (1 - a) + np.array(colour, np.float32) * a


def place(name, w, h, rng):
    if name == "grass":
        im = ramp([(140, 205, 250), (206, 236, 255)], h, w)
        for x in (0.22, 0.8):
            disc(im, (x + rng.uniform(-.06, .06)) * w, 0.16 * h, 0.11 * w, 0.045 * h, (255, 255, 255))
        disc(im, 0.3 * w, 1.1 * h, 0.9 * w, 0.42 * h, (126, 200, 96))
        disc(im, 0.85 * w, 1.15 * h, 0.8 * w, 0.42 * h, (104, 184, 84))
    elif name == "night":
        im = ramp([(18, 22, 58), (50, 48, 110)], h, w)
        for _ in range(16):
            r = rng.uniform(0.006, 0.012) * min(w, h)
            disc(im, rng.uniform(0, w), rng.uniform(0, h), r, r, (255, 244, 200))
    elif name == "beach":
        im = ramp([(126, 206, 250), (214, 242, 255)], h, w)
        im[int(0.45 * h):int(0.66 * h)] = (64, 158, 216)
        disc(im, 0.5 * w, 1.1 * h, 1.1 * w, 0.48 * h, (246, 222, 168))
    elif name == "snow":
        im = ramp([(164, 196, 228), (222, 234, 246)], h, w)
        disc(im, 0.35 * w, 1.15 * h, w, 0.5 * h, (246, 250, 255))
        for _ in range(18):
            r = rng.uniform(0.008, 0.016) * min(w, h)
            disc(im, rng.uniform(0, w), rng.uniform(0, 0.7 * h), r, r, (255, 255, 255))
    elif name == "sea":
        im = ramp([(70, 176, 230), (20, 78, 160)], h, w)
        for _ in range(7):
            r = rng.uniform(0.012, 0.03) * min(w, h)
            disc(im, rng.uniform(0, w), rng.uniform(0, h), r, r, (150, 216, 246))
    else:
        im = ramp([(250, 232, 206), (250, 232, 206)], h, w)
        im[int(0.72 * h):] = (190, 132, 84)
        im[int(0.72 * h):int(0.72 * h) + max(2, h // 64)] = (150, 100, 62)
    return im


def backdrop(scene):
    """The same for all scenes of a size: what is to be learned is the word, and what differs are the things."""
    rng = random.Random(7)
    w, h = scene.wide, scene.high
    if scene.kind == "plain":
        return ramp([PLAIN[scene.background[0]]], h, w)
    if scene.kind == "gradient":
        return ramp([PLAIN[c] for c in scene.background], h, w)
    return place(scene.background[0], w, h, rng)


def draw(scene):
    """(high, wide, 3) float32 in [0, 1]."""
    im = (backdrop(scene) / 255).astype(np.float32)
    style = artwork.STYLES[scene.style]
    for t, (left, top, side) in zip(scene.things, layout(scene)):
        p, part = artwork.picture(style, t.index, t.colour, side), im[top:top + side, left:left + side]
        part[:] = part * (1 - p[..., 3:]) + p[..., :3]
    return im


def clashes(thing, style, background):
    """1 if the thing can hardly be seen on it."""
    own = artwork.nature(artwork.STYLES[style], thing.index)[0]
    return (thing.colour or own) in background


def random_style(rng):
    return 0 if rng.random() < 0.9 else 1


def random_object(rng, style):
    return rng.randrange(0, len(artwork.names()), SECOND_STYLE if style else 1)


def random_scene(rng, wide=256, high=256, style=None):
    while True:
        st = random_style(rng) if style is None else style
        if wide == high:
            n = rng.choices([1, 2, 3], [52, 28, 20])[0]
        else:
            n = rng.choices([1, 2, 3], [50, 30, 20])[0]
        kind = rng.choices(["plain", "gradient", "place"], [68, 10, 22])[0]
        if kind == "plain":
            background = (("white",) if rng.random() < 0.3 else (rng.choice(list(PLAIN)),))
        elif kind == "gradient":
            background = tuple(rng.sample(list(PLAIN)[3:], 2)) if rng.random() < 0.7 else (rng.choice(list(PLAIN)[3:]), "white")
        else:
            background = (rng.choice(list(PLACES)),)
        def thing():
            i = random_object(rng, st)
            colours = artwork.colours_for(artwork.STYLES[st], i)
            return Thing(i, rng.choice(colours) if colours and rng.random() < 0.5 else None)
        things = (thing(),) * n if n > 1 and rng.random() < 0.5 else tuple(thing() for _ in range(n))
        size = spot = None
        if n == 1:
            size = rng.choices(SIZES, [8, 92])[0]
            spot = rng.choice(list(SPOTS)) if size == "normal" and rng.random() < 0.12 else None
        s = Scene(things, kind, background, size or "normal", spot, st, wide, high)
        if not fits(s) or len(set(things)) != len(things) and len(set(things)) > 1:
            continue
        if not all(artwork.drawn(artwork.STYLES[st], t.index) for t in things):
            continue
        hidden = PLACES[background[0]] if kind == "place" else background
        if any(clashes(t, st, hidden) for t in things):
            continue
        if not held_out(s):
            return s

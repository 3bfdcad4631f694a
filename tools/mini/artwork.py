"""The artwork as arrays, and its colours: which one an object has, and which it can be given.

Pictures are RGBA of SIZE x SIZE in [0, 1], colours not multiplied by alpha. Hues are degrees.
"""
import functools
import os

import numpy as np
from PIL import Image

import objects

SIZE = 320
STYLES = ("fluent-emoji-flat", "noto")
# Name: the hues it means, and hue, saturation and value that an object is given with it.
BROWN = (8, 45)
DARK = 0.68  # of these hues what is darker is brown
COLOURS = dict(
    red=((345, 14), (358, 0.85, 0.93)), orange=((14, 40), (27, 0.88, 0.99)), yellow=((40, 66), (50, 0.82, 1.0)),
    green=((66, 170), (128, 0.72, 0.76)), blue=((170, 250), (212, 0.80, 0.94)), purple=((250, 300), (274, 0.62, 0.84)),
    pink=((300, 345), (329, 0.48, 1.0)), brown=(BROWN, (22, 0.58, 0.50)))
NEAR = 30         # degrees about the dominant hue that are moved
VIVID = 0.28      # least saturation of what counts as coloured
LEAST_SHARE = 0.4  # of an object's pixels, for a colour to be its own


def hsv(rgb):
    v = rgb.max(-1)
    c = v - rgb.min(-1)
    r, g, b = np.moveaxis(rgb, -1, 0)
    safe = np.where(c > 0, c, 1)
    h = np.where(v == r, (g - b) / safe % 6, np.where(v == g, (b - r) / safe + 2, (r - g) / safe + 4)) * 60
    return np.where(c > 0, h, 0), np.where(v > 0, c / np.where(v > 0, v, 1), 0), v


def rgb(h, s, v):
    k = (np.array([5, 3, 1]) + (h / 60)[..., None]) % 6
    return v[..., None] * (1 - s[..., None] * np.clip(np.minimum(k, 4 - k), 0, 1))


def between(h, span):
    a, b = span
    return (h >= a) & (h < b) if a < b else (h >= a) | (h < b)


def colour_of_pixels(pixels):
    """(name, share): of pixels (N, 3), what most of them are called."""
    h, s, v = hsv(pixels)
    vivid = (s >= VIVID) & (v >= 0.2)
    brown = vivid & between(h, BROWN) & (v < DARK)
    counts = {c: np.count_nonzero(brown if c == "brown" else vivid & ~brown & between(h, span)) for c, (span, _) in COLOURS.items()}
    best = max(counts, key=counts.get)
    return best, counts[best] / max(1, len(h))


@functools.cache
def pictures(style):
    path = os.path.join(os.environ["MINI_WORK"], f"{style}.rgba")
    return np.memmap(path, np.uint8, "r").reshape(-1, SIZE, SIZE, 4)


def drawn(style, index):
    """If the set has the picture."""
    return pictures(style)[index, ::16, ::16, 3].any()


@functools.cache
def names():
    return objects.table()


@functools.lru_cache(4096)
def nature(style, index):
    """(own colour or None, dominant hue, its mean saturation and value, share of the picture)."""
    a = pictures(style)[index].astype(np.float32) / 255
    px = a[..., :3][a[..., 3] > 0.5]
    h, s, v = hsv(px)
    vivid = (s >= VIVID) & (v >= 0.2)
    if not vivid.any():
        return None, 0.0, 0.0, 0.0, 0.0
    bins = np.bincount((h[vivid] // 5).astype(int) % 72, minlength=72)
    round_ = sum(np.roll(bins, k) for k in range(-3, 4))
    top = (round_.argmax() + 0.5) * 5
    near = vivid & (np.abs((h - top + 180) % 360 - 180) <= NEAR)
    name, share = colour_of_pixels(px)
    return (name if share >= LEAST_SHARE else None), float(top), float(s[near].mean()), float(v[near].mean()), \
        float(np.count_nonzero(near) / len(px))


def recoloured(style, index, colour):
    """RGBA with the dominant hue turned into the colour's."""
    a = pictures(style)[index].astype(np.float32) / 255
    own, top, s0, v0, _ = nature(style, index)
    if colour is None or colour == own:
        return a
    box = np.nonzero(a[..., 3].any(1))[0][[0, -1]], np.nonzero(a[..., 3].any(0))[0][[0, -1]]
    whole, a = a, a[box[0][0]:box[0][1] + 1, box[1][0]:box[1][1] + 1]
    h, s, v = hsv(a[..., :3])
    near = (s >= 0.12) & (np.abs((h - top + 180) % 360 - 180) <= NEAR + 8)
    hue, sat, val = COLOURS[colour][1]
    turned = rgb((hue + 0.35 * ((h - top + 180) % 360 - 180)) % 360, np.clip(s * sat / s0, 0, 1),
                 np.clip(v * val / v0, 0, 1))
    a[..., :3] = np.where(near[..., None], turned, a[..., :3])
    return whole


@functools.lru_cache(None)
def can_have(style, index, colour):
    """If the picture can have the colour, its own included; the pixels say the same."""
    own, _, _, _, share = nature(style, index)
    if colour == own or share < LEAST_SHARE:
        return colour == own
    a = recoloured(style, index, colour)
    name, part = colour_of_pixels(a[..., :3][a[..., 3] > 0.5])
    return name == colour and part >= 0.35


@functools.lru_cache(None)
def colours_for(style, index):
    """Names of the colours that the picture can have, its own first."""
    own = nature(style, index)[0]
    return tuple(c for c in ([own] if own else []) + [c for c in COLOURS if c != own] if can_have(style, index, c))


@functools.lru_cache(4096)
def scaled(style, index, colour, side):
    """(side, side, 4) uint8, colours multiplied by alpha."""
    a = recoloured(style, index, colour)
    a = a * np.concatenate([np.repeat(a[..., 3:], 3, -1), np.ones_like(a[..., 3:])], -1)
    im = np.stack([np.asarray(Image.fromarray(a[..., k], "F").resize((side, side), Image.Resampling.HAMMING if side < SIZE
                   else Image.Resampling.BICUBIC)) for k in range(4)], -1)
    return (im * 255 + 0.5).clip(0, 255).astype(np.uint8)


def picture(style, index, colour, side):
    """(side, side, 4) float32, colours multiplied by alpha."""
    return scaled(style, index, colour, side).astype(np.float32) / 255

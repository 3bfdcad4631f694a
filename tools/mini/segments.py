"""A picture taken apart, without any model: its background, and what stands on it.

Pictures are float arrays (high, wide, 3) in [0, 1]. For plain backgrounds only.
"""
import numpy as np
from PIL import Image

import scenes

EDGE = 5         # pixels of the border that tell the background
DIFFERS = 0.11   # least distance from the background, in RGB, of what stands on it
SPECK = 0.0006   # of the picture: what is smaller is no part of anything
SIDE = 64        # of the pictures that the classifier sees
MARGIN = 1.15    # of a crop about its object
NAMES = list(scenes.PLAIN)
TABLE = np.array([scenes.PLAIN[n] for n in NAMES]) / 255


def background_of(image):
    """(name, colour): the border's median, and the plain colour that is nearest."""
    parts = image[:EDGE], image[-EDGE:], image[:, :EDGE], image[:, -EDGE:]
    colour = np.median(np.concatenate([p.reshape(-1, 3) for p in parts]), axis=0)
    return NAMES[np.linalg.norm(TABLE - colour, axis=1).argmin()], colour


def components(mask):
    """Labels from 1 (0: not in the mask) and their number; neighbours also touch at corners.

    Runs of each row are joined with those above that they touch."""
    labels, parent = np.zeros(mask.shape, np.int32), [0]

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    above = []
    for y, row in enumerate(mask):
        turns = np.flatnonzero(np.diff(np.concatenate([[0], row.view(np.int8), [0]])))
        here = []
        for start, end in zip(turns[::2], turns[1::2]):
            mine = None
            for s, e, other in above:
                if s <= end and e >= start:
                    other = root(other)
                    if mine is None:
                        mine = other
                    else:
                        parent[max(mine, other)] = mine = min(mine, other)
            if mine is None:
                mine = len(parent)
                parent.append(mine)
            labels[y, start:end] = mine
            here.append((start, end, mine))
        above = here
    roots = np.array([root(i) for i in range(len(parent))])
    names, dense = np.unique(roots, return_inverse=True)
    return dense[labels], len(names) - 1


def crop(image, part, colour):
    """(SIDE, SIDE, 3) uint8: the segment in the middle of a square, all other things painted over."""
    ys, xs = np.nonzero(part)
    half = MARGIN * max(np.ptp(ys) + 1, np.ptp(xs) + 1) / 2
    cy, cx = (ys.min() + ys.max() + 1) / 2, (xs.min() + xs.max() + 1) / 2
    pad = int(half) + 2
    alone = np.where(near(part, 2)[..., None], image, colour)
    wide = np.empty((alone.shape[0] + 2 * pad, alone.shape[1] + 2 * pad, 3))
    wide[:] = colour
    wide[pad:-pad, pad:-pad] = alone
    box = (cx - half + pad, cy - half + pad, cx + half + pad, cy + half + pad)
    return np.asarray(Image.fromarray((wide * 255 + 0.5).clip(0, 255).astype(np.uint8)).resize(
        (SIDE, SIDE), Image.Resampling.HAMMING, box))


def near(mask, distance):
    """What is at most so many pixels from the mask, in steps to all eight sides."""
    out = mask
    for axis in (0, 1):
        grown = out.copy()
        for d in range(1, distance + 1):
            there, here = [slice(None)] * 2, [slice(None)] * 2
            there[axis], here[axis] = slice(d, None), slice(None, -d)
            grown[tuple(there)] |= out[tuple(here)]
            grown[tuple(here)] |= out[tuple(there)]
        out = grown
    return out

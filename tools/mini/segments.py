"""A picture taken apart, without any model: its background, and what stands on it.

Pictures are float arrays (high, wide, 3) in [0, 1]. For plain backgrounds only.
"""
import numpy as np
from PIL import Image

import scenes

EDGE = 5         # pixels of the border that tell the background
DIFFERS = 0.11   # least distance from the background, in RGB, of what stands on it
SPECK = 0.0006   # of the picture: what is smaller is no part of anything
MOST = 40        # components are looked at, the largest
LONGEST = 0.735  # of the picture's shorter side: no thing of normal size is longer
REACH = 0.09     # of that side: loose parts of one thing are that near
ALIKE = 0.35     # least share of the larger one of two parts of like size
APART = 0.4      # of the shorter side: middles of two things are farther from one another
CRUMB = 0.1      # of the largest thing: what is smaller is no thing
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


def box_of(part):
    """Top, bottom, left, right; the ends are not in it."""
    rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def extent(*boxes):
    """Of the longer side of what holds them all."""
    top, bottom, left, right = zip(*boxes)
    return max(max(bottom) - min(top), max(right) - min(left))


def cut(part, limit):
    """Two things that touch are longer than any one: they are cut where they are thinnest, near the middle."""
    top, bottom, left, right = box_of(part)
    if max(bottom - top, right - left) <= limit:
        return [part]
    across = bottom - top > right - left
    start, end = (top, bottom) if across else (left, right)
    count = part.sum(1 if across else 0)
    inner = np.arange(start + (end - start) * 3 // 8, start + (end - start) * 5 // 8 + 1)
    at = inner[(count[inner] + 0.02 * np.abs(inner - (start + end) / 2)).argmin()]
    first = np.zeros_like(part)
    if across:
        first[:at] = part[:at]
    else:
        first[:, :at] = part[:, :at]
    return cut(first, limit) + cut(part & ~first, limit)


def outline(part):
    """(N, 2) points of the edge, not more than some 400."""
    inside = np.zeros_like(part)
    inside[1:-1, 1:-1] = part[1:-1, 1:-1] & part[:-2, 1:-1] & part[2:, 1:-1] & part[1:-1, :-2] & part[1:-1, 2:]
    points = np.argwhere(part & ~inside)
    return points[::max(1, len(points) // 400)]


def gap(a, b):
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(2).min())


def apart(a, b):
    """Between the middles of two boxes."""
    return np.hypot(a[0] + a[1] - b[0] - b[1], a[2] + a[3] - b[2] - b[3]) / 2


def joined(parts, least):
    """Loose parts of one thing put together: what lies near and is together no longer than a thing can be, nearest
    first, and of two of like size only what is too close for two things; then crumbs, to what is nearest."""
    pieces = [(p, box_of(p), outline(p), int(p.sum())) for p in parts]

    def join(i, j):
        a, b = pieces[i], pieces[j]
        pieces[i] = a[0] | b[0], box_of(a[0] | b[0]), np.concatenate([a[2], b[2]]), a[3] + b[3]
        del pieces[j]

    def nearest(allowed):
        pairs = [(gap(pieces[i][2], pieces[j][2]), i, j) for j in range(len(pieces)) for i in range(j) if allowed(i, j)]
        return min(pairs, default=None)

    def one_thing(i, j):
        a, b = pieces[i], pieces[j]
        alike = min(a[3], b[3]) > ALIKE * max(a[3], b[3])
        return extent(a[1], b[1]) <= LONGEST * least and not (alike and apart(a[1], b[1]) > APART * least)

    while (best := nearest(one_thing)) and best[0] <= REACH * least:
        join(*best[1:])
    while True:
        most, longest = max(p[3] for p in pieces), max(extent(p[1]) for p in pieces)
        crumb = [p[3] < CRUMB * most and extent(p[1]) < 0.4 * longest for p in pieces]
        best = nearest(lambda i, j: crumb[i] or crumb[j])
        if not best:
            return [p[0] for p in pieces]
        join(*best[1:])


def segments(image, colour):
    """Masks of the things on a background of that colour, from the top and the left."""
    least = min(image.shape[:2])
    labels, count = components(np.linalg.norm(image - colour, axis=2) > DIFFERS)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    kept = [i for i in np.argsort(-sizes[1:]) + 1 if sizes[i] >= SPECK * labels.size][:MOST]
    if not kept:
        return []
    parts = [piece for i in kept for piece in cut(labels == i, LONGEST * least)]
    found = joined(parts, least)
    return sorted(found, key=lambda p: (box_of(p)[0] > 0.45 * image.shape[0], box_of(p)[2]))


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

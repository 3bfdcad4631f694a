"""Draws the training pictures: one coloured object on a plain background.

Objects are signed distance functions painted back to front, so a batch of pictures of any size is
one set of tensor operations and edges are smooth without supersampling. Run it to see all kinds.
"""
import argparse
import math

import torch

PALETTE = {
    "red": (214, 40, 40), "orange": (245, 140, 30), "yellow": (250, 214, 40),
    "green": (52, 160, 72), "blue": (40, 100, 220), "purple": (130, 60, 180),
    "pink": (250, 150, 190), "brown": (122, 72, 40), "white": (255, 255, 255),
}
COLOURS = [c for c in PALETTE if c != "white"]  # an object is never white
BACKGROUNDS = list(PALETTE)
DARK, CREAM, LEAF, BARK = (45, 42, 48), (242, 222, 184), (70, 150, 60), (110, 74, 44)
GLASS, WHITE, YOLK = (190, 225, 245), (255, 255, 255), (255, 226, 120)

# Centre and half extent of the object in units of half the canvas, by the words of a caption.
SIZES = {None: 0.66, "small": 0.36, "big": 0.86}
PLACES = {None: (0.0, 0.0), "left": (-0.42, 0.0), "right": (0.42, 0.0),
          "top": (0.0, -0.42), "bottom": (0.0, 0.42)}
PLACED_SIZE = 0.46  # an object moved aside without a size word


def rgb(c):
    return torch.tensor(c, dtype=torch.float32).div(255).view(1, 3, 1, 1)


class Canvas:
    """Pictures (B, 3, H, W) in 0..1 and the objects' local coordinates x, y (B, 1, H, W), y down."""

    def __init__(self, background, cx, cy, scale, height, width):
        unit = 2.0 / min(height, width)
        ys = (torch.arange(height) + 0.5 - height / 2) * unit
        xs = (torch.arange(width) + 0.5 - width / 2) * unit
        v = lambda a: a.view(-1, 1, 1, 1)
        self.x = (xs.view(1, 1, 1, -1) - v(cx)).div(v(scale)).expand(-1, 1, height, -1)
        self.y = (ys.view(1, 1, -1, 1) - v(cy)).div(v(scale)).expand(-1, 1, -1, width)
        self.pixel = unit / v(scale)
        self.image = background.view(-1, 3, 1, 1).expand(-1, 3, height, width).clone()

    def paint(self, distance, colour, shade=0.0, alpha=1.0):
        cover = (0.5 - distance / self.pixel).clamp(0, 1) * alpha
        colour = rgb(colour) if isinstance(colour, tuple) else colour
        if shade:  # lighter above, darker below
            colour = (colour * (1 - shade * self.y)).clamp(0, 1)
        self.image = self.image + cover * (colour - self.image)


def circle(x, y, cx, cy, r):
    return torch.hypot(x - cx, y - cy) - r


def ellipse(x, y, cx, cy, a, b, turn=0.0):
    c, s = math.cos(turn), math.sin(turn)
    u, v = (x - cx) * c + (y - cy) * s, (y - cy) * c - (x - cx) * s
    k0 = torch.hypot(u / a, v / b)
    k1 = torch.hypot(u / a**2, v / b**2).clamp_min(1e-4)
    return k0 * (k0 - 1) / k1


def box(x, y, cx, cy, hx, hy, r=0.0):
    qx, qy = (x - cx).abs() - hx + r, (y - cy).abs() - hy + r
    return torch.hypot(qx.clamp_min(0), qy.clamp_min(0)) + torch.maximum(qx, qy).clamp_max(0) - r


def polygon(x, y, points):
    """Exact signed distance to a simple polygon."""
    d = torch.full_like(x, 1e9)
    inside = torch.zeros_like(x, dtype=torch.bool)
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1]):
        ex, ey = bx - ax, by - ay
        wx, wy = x - ax, y - ay
        t = ((wx * ex + wy * ey) / (ex * ex + ey * ey)).clamp(0, 1)
        d = torch.minimum(d, (wx - ex * t) ** 2 + (wy - ey * t) ** 2)
        if ay != by:
            crosses = (y >= min(ay, by)) & (y < max(ay, by)) & ((x - ax - (y - ay) * (ex / ey)) < 0)
            inside ^= crosses
    return torch.where(inside, -d.sqrt(), d.sqrt())


def smooth_min(a, b, k):
    h = (0.5 + 0.5 * (b - a) / k).clamp(0, 1)
    return b + (a - b) * h - k * h * (1 - h)


def light(c, k=0.4):
    return c + (1 - c) * k


def dark(c, k=0.3):
    return c * (1 - k)


def apple(g, c):
    x, y = g.x, g.y
    body = smooth_min(circle(x, y, -0.36, 0.10, 0.56), circle(x, y, 0.36, 0.10, 0.56), 0.12)
    body = smooth_min(body, ellipse(x, y, 0, 0.42, 0.56, 0.52), 0.12)
    g.paint(body, c, 0.10)
    g.paint(ellipse(x, y, -0.48, -0.12, 0.12, 0.22, 0.5), light(c, 0.55))
    g.paint(polygon(x, y, [(-0.05, -0.26), (0.06, -0.26), (0.14, -0.86), (0.02, -0.88)]), BARK)
    g.paint(ellipse(x, y, 0.40, -0.72, 0.32, 0.14, -0.45), LEAF)


def cube(g, c):
    x, y, w, h = g.x, g.y, 0.84, 0.46
    g.paint(polygon(x, y, [(0, -0.95), (w, -h), (0, 0.03), (-w, -h)]), light(c, 0.35))
    g.paint(polygon(x, y, [(-w, -h), (0, 0.03), (0, 0.97), (-w, 0.48)]), c)
    g.paint(polygon(x, y, [(w, -h), (0, 0.03), (0, 0.97), (w, 0.48)]), dark(c, 0.3))


def ball(g, c):
    x, y = g.x, g.y
    g.paint(circle(x, y, 0, 0, 0.88), dark(c, 0.25))
    g.paint(torch.maximum(circle(x, y, 0, 0, 0.88), circle(x, y, -0.16, -0.18, 0.86)), c)
    g.paint(ellipse(x, y, -0.34, -0.38, 0.24, 0.16, -0.7), light(c, 0.65))


def star(g, c):
    p = [(r * math.sin(i * math.pi / 5), 0.08 - r * math.cos(i * math.pi / 5))
         for i in range(10) for r in ((1.04, 0.45)[i % 2],)]
    g.paint(polygon(g.x, g.y, p), c, 0.12)


def heart(g, c):
    x, y = g.x, g.y
    lobe = lambda s: circle(x, y, s * 0.45, -0.30, 0.49)
    tip = polygon(x, y, [(-0.83, 0.0), (0, -0.3), (0.83, 0.0), (0, 0.95)])
    g.paint(torch.minimum(torch.minimum(lobe(-1), lobe(1)), tip), c, 0.12)
    g.paint(ellipse(x, y, -0.50, -0.42, 0.18, 0.11, -0.7), light(c, 0.6))


def tree(g, c):
    x, y = g.x, g.y
    g.paint(box(x, y, 0, 0.78, 0.13, 0.22), BARK)
    g.paint(polygon(x, y, [(-0.76, 0.62), (0, -0.20), (0.76, 0.62)]), dark(c, 0.2))
    g.paint(polygon(x, y, [(-0.62, 0.20), (0, -0.58), (0.62, 0.20)]), dark(c, 0.05))
    g.paint(polygon(x, y, [(-0.46, -0.22), (0, -1.0), (0.46, -0.22)]), light(c, 0.12))


def house(g, c):
    x, y = g.x, g.y
    g.paint(box(x, y, 0, 0.38, 0.66, 0.52), c)
    g.paint(polygon(x, y, [(-0.92, -0.10), (0, -0.92), (0.92, -0.10)]), dark(c, 0.35))
    g.paint(box(x, y, -0.24, 0.56, 0.17, 0.34), DARK)
    g.paint(box(x, y, 0.32, 0.30, 0.18, 0.18), GLASS)


def car(g, c):
    x, y = g.x, g.y
    g.paint(polygon(x, y, [(-0.62, 0.05), (-0.38, -0.48), (0.30, -0.48), (0.62, 0.05)]), c)
    g.paint(polygon(x, y, [(-0.44, 0.0), (-0.28, -0.36), (-0.06, -0.36), (-0.06, 0.0)]), GLASS)
    g.paint(polygon(x, y, [(0.06, 0.0), (0.06, -0.36), (0.22, -0.36), (0.44, 0.0)]), GLASS)
    g.paint(box(x, y, 0, 0.20, 1.0, 0.24, 0.12), dark(c, 0.08))
    for wheel in (-0.56, 0.56):
        g.paint(circle(x, y, wheel, 0.44, 0.25), DARK)
        g.paint(circle(x, y, wheel, 0.44, 0.10), GLASS)


def fish(g, c):
    x, y = g.x, g.y
    g.paint(polygon(x, y, [(0.38, 0.0), (1.0, -0.46), (0.88, 0.0), (1.0, 0.46)]), dark(c, 0.2))
    g.paint(polygon(x, y, [(-0.35, -0.36), (0.05, -0.72), (0.30, -0.30)]), dark(c, 0.2))
    g.paint(ellipse(x, y, -0.20, 0, 0.78, 0.48), c, 0.25)
    g.paint(circle(x, y, -0.62, -0.12, 0.12), WHITE)
    g.paint(circle(x, y, -0.64, -0.12, 0.06), DARK)


def flower(g, c):
    x, y = g.x, g.y
    for i in range(6):
        a = i * math.pi / 3
        g.paint(ellipse(x, y, 0.58 * math.sin(a), -0.58 * math.cos(a), 0.30, 0.40, a), light(c, 0.12 * (i % 2)))
    g.paint(circle(x, y, 0, 0, 0.28), YOLK)


def cup(g, c):
    x, y = g.x, g.y
    g.paint(torch.maximum(circle(x, y, 0.52, 0.04, 0.40), -circle(x, y, 0.52, 0.04, 0.22)), dark(c, 0.2))
    g.paint(polygon(x, y, [(-0.76, -0.58), (0.56, -0.58), (0.40, 0.80), (-0.60, 0.80)]), c)
    g.paint(ellipse(x, y, -0.10, -0.58, 0.66, 0.18), light(c, 0.35))
    g.paint(ellipse(x, y, -0.10, -0.55, 0.54, 0.12), dark(c, 0.45))


def mushroom(g, c):
    x, y = g.x, g.y
    g.paint(box(x, y, 0, 0.46, 0.26, 0.46, 0.14), CREAM, 0.08)
    g.paint(torch.maximum(ellipse(x, y, 0, 0.12, 0.94, 0.98), y - 0.12), c, 0.10)
    for cx, cy, r in ((-0.48, -0.20, 0.13), (0.02, -0.52, 0.16), (0.46, -0.14, 0.12)):
        g.paint(circle(x, y, cx, cy, r), WHITE)


def moon(g, c):
    x, y = g.x, g.y
    g.paint(torch.maximum(circle(x, y, -0.05, 0, 0.92), -circle(x, y, 0.38, -0.18, 0.76)), c, 0.10)


def cat(g, c):
    x, y = g.x, g.y
    for s in (-1, 1):
        g.paint(polygon(x, y, [(s * 0.82, 0.10), (s * 0.78, -0.96), (s * 0.12, -0.46)]), c)
        g.paint(polygon(x, y, [(s * 0.68, -0.34), (s * 0.68, -0.74), (s * 0.36, -0.48)]), dark(c, 0.3))
    g.paint(ellipse(x, y, 0, 0.16, 0.88, 0.74), c)
    for s in (-1, 1):
        g.paint(ellipse(x, y, s * 0.36, 0.06, 0.12, 0.17), DARK)
        g.paint(circle(x, y, s * 0.36 + 0.04, 0.0, 0.05), WHITE)
    g.paint(polygon(x, y, [(-0.10, 0.34), (0.10, 0.34), (0, 0.46)]), DARK)


KINDS = dict(apple=apple, cube=cube, ball=ball, star=star, heart=heart, tree=tree, house=house, car=car,
             fish=fish, flower=flower, cup=cup, mushroom=mushroom, moon=moon, cat=cat)
NATURAL = dict(apple="red", cube="blue", ball="orange", star="yellow", heart="red", tree="green",
               house="brown", car="red", fish="orange", flower="pink", cup="blue", mushroom="red",
               moon="yellow", cat="orange")  # the colour when a caption names none


def place(scenes, rng, jitter=1.0):
    """Centre and scale of each scene (see captions.Scene) with a small random offset."""
    out = []
    for s in scenes:
        cx, cy = PLACES[s.place]
        scale = PLACED_SIZE if s.place and not s.size else SIZES[s.size] * (0.9 if s.place and s.size == "small" else 1)
        if s.place and s.size == "big":
            scale, cx, cy = 0.6, cx * 0.8, cy * 0.8
        j = 0.02 * jitter
        out.append((cx + rng.uniform(-j, j), cy + rng.uniform(-j, j), scale * (1 + 1.5 * rng.uniform(-j, j))))
    return out


def render(scenes, rng, height=256, width=None, jitter=1.0):
    """(B, 3, H, W) in 0..1. On a canvas that is not square the side offsets reach further out."""
    width = width or height
    spots = place(scenes, rng, jitter)
    image = torch.empty(len(scenes), 3, height, width)
    short = min(height, width)
    tone = lambda name, j: tuple(min(255, max(0, v + d)) for v, d in zip(PALETTE[name], j)) \
        if name != "white" else PALETTE[name]
    wobble = lambda: [jitter * rng.uniform(-5, 5)] * 3
    fore = torch.tensor([tone(s.colour, wobble()) for s in scenes]) / 255
    back = torch.tensor([tone(s.background, wobble()) for s in scenes], dtype=torch.float32) / 255
    spots = torch.tensor(spots) * torch.tensor([width / short, height / short, 1.0])
    for kind, fn in KINDS.items():
        rows = [i for i, s in enumerate(scenes) if s.kind == kind]
        if rows:
            g = Canvas(back[rows], *spots[rows].unbind(1), height, width)
            fn(g, fore[rows].view(-1, 3, 1, 1))
            image[rows] = g.image
    return image.clamp_(0, 1)


def to_pil(image):
    from PIL import Image
    return Image.fromarray((image.permute(1, 2, 0) * 255).round().byte().numpy())


def sheet(images, columns, path):
    """A contact sheet of (B, 3, H, W)."""
    b, _, h, w = images.shape
    rows = -(-b // columns)
    big = torch.ones(3, rows * h, columns * w)
    for i, im in enumerate(images):
        r, c = divmod(i, columns)
        big[:, r * h:(r + 1) * h, c * w:(c + 1) * w] = im
    to_pil(big).save(path)


def main():
    import random
    from captions import Scene
    p = argparse.ArgumentParser(description="draw every kind in a few colours on one sheet")
    p.add_argument("-o", "--output", default="kinds.png")
    p.add_argument("--size", type=int, default=128)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    rng = random.Random(a.seed)
    scenes = []
    for i in range(4):
        for j, k in enumerate(KINDS):
            c = COLOURS[(i * 3 + j) % 8]
            b = "white" if i == 0 else rng.choice([b for b in BACKGROUNDS if b != c])
            size, spot = (None, None) if i < 3 else (rng.choice(list(SIZES)), rng.choice(list(PLACES)))
            scenes.append(Scene(k, c, b, size, spot))
    sheet(render(scenes, rng, a.size), len(KINDS), a.output)


if __name__ == "__main__":
    main()

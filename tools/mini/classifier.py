"""Trains the judge of objects: a small network that says which object of objects.txt is on a 64 x 64 picture, or none.

It learns from the artwork alone, each time turned, tinted, blurred and cut in another way on another ground, and never
sees a scene. `--out` has the state after every 100 steps; it goes on from there, and comes out the same.
"""
import argparse
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import artwork
from segments import MARGIN, SIDE

BANK = 72       # side of the pictures that are kept
WIDTHS = (32, 48, 96, 160)
NONE = len(artwork.names())
NONE_SHARE = 0.08


class Block(torch.nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.a = torch.nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.b = torch.nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.na, self.nb = torch.nn.BatchNorm2d(cout), torch.nn.BatchNorm2d(cout)
        self.skip = torch.nn.Conv2d(cin, cout, 1, bias=False) if cin != cout else torch.nn.Identity()
        self.pool = torch.nn.AvgPool2d(2) if stride == 2 else torch.nn.Identity()
        torch.nn.init.zeros_(self.nb.weight)

    def forward(self, x):
        y = self.nb(self.b(F.relu(self.na(self.a(x)))))
        return F.relu(y + self.skip(self.pool(x)))


class Network(torch.nn.Module):
    """(B, 3, 64, 64) in [0, 1] -> (B, 354)."""

    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(WIDTHS[0])
        self.stem = torch.nn.Conv2d(3, WIDTHS[0], 5, 2, 2, bias=False)
        widths = (WIDTHS[0],) + WIDTHS
        self.stages = torch.nn.Sequential(*(Block(widths[i], widths[i + 1], 1 if i == 0 else 2) for i in range(4)))
        self.head = torch.nn.Linear(WIDTHS[-1] * 4, NONE + 1)

    def forward(self, x):
        x = self.stages(F.max_pool2d(F.relu(self.norm(self.stem(x * 2 - 1))), 2))
        return self.head(F.adaptive_avg_pool2d(x, 2).flatten(1))


def bank():
    """(pictures (N, 4, BANK, BANK) uint8, colours multiplied by alpha; objects (N,); hue, saturation, value (N, 3)).

    Each is cut to what is not transparent, in the middle of a square."""
    out, owners, nature = [], [], []
    for style in artwork.STYLES:
        for i in range(NONE):
            a = artwork.pictures(style)[i].astype(np.float32) / 255
            if not a[..., 3].any():
                continue
            ys, xs = np.nonzero(a[..., 3] > 0.3)
            half = max(np.ptp(ys), np.ptp(xs)) / 2 + 0.5
            cy, cx = (ys.min() + ys.max() + 1) / 2, (xs.min() + xs.max() + 1) / 2
            a[..., :3] *= a[..., 3:]
            pad = artwork.SIZE // 4
            a = np.pad(a, ((pad, pad), (pad, pad), (0, 0)))
            box = tuple(v + pad for v in (cx - half, cy - half, cx + half, cy + half))
            small = [np.asarray(Image.fromarray(a[..., k], "F").resize((BANK, BANK), Image.Resampling.HAMMING, box))
                     for k in range(4)]
            out.append((np.stack(small).clip(0, 1) * 255 + 0.5).astype(np.uint8))
            owners.append(i)
            nature.append(artwork.nature(style, i)[1:4])
    return torch.from_numpy(np.stack(out)), torch.tensor(owners), torch.tensor(nature, dtype=torch.float32)


class Chance:
    """Random numbers of one step, shaped for one number for each picture."""

    def __init__(self, seed, count):
        self.gen, self.count = torch.Generator().manual_seed(seed), count

    def between(self, a, b, *shape):
        return a + (b - a) * torch.rand(shape or (self.count, 1, 1, 1), generator=self.gen)

    def often(self, share):
        return torch.rand((self.count, 1, 1, 1), generator=self.gen) < share

    def index(self, n, *shape):
        return torch.randint(0, n, shape or (self.count,), generator=self.gen)


def tinted(x, nature, r):
    """Colours (B, 3, h, w), which may be multiplied by alpha, with the main hue or all hues turned."""
    v, low = x.amax(1), x.amin(1)
    c = v - low
    red, green, blue = x.unbind(1)
    safe = c.clamp(min=1e-4)
    h = torch.where(v == red, (green - blue) / safe % 6, torch.where(v == green, (blue - red) / safe + 2, (red - green) / safe + 4)) * 60
    s = c / v.clamp(min=1e-4)
    top, s0, v0 = (nature[:, k, None, None] for k in range(3))
    off = (h - top + 180) % 360 - 180
    one = lambda a, b: r.between(a, b)[:, 0]
    main, whole = r.often(0.6)[:, 0], r.often(0.15)[:, 0]
    turn = main & (off.abs() <= artwork.NEAR + 8) & (s >= 0.12)
    target = one(0, 360)
    h = torch.where(turn, target + 0.35 * off, torch.where(~main & whole, h + target, h)) % 360
    s = torch.where(turn, s * one(0.4, 0.95) / s0.clamp(min=0.2), s * one(0.75, 1.25)).clamp(0, 1)
    v = (torch.where(turn, v * one(0.45, 1.0) / v0.clamp(min=0.3), v)).clamp(0, 1)
    k = (torch.tensor([5.0, 3.0, 1.0]).view(1, 3, 1, 1) + (h / 60)[:, None]) % 6
    return v[:, None] * (1 - s[:, None] * torch.minimum(k, 4 - k).clamp(0, 1))


def placed(x, r):
    """Turned a little, scaled, moved, sometimes partly out of the picture: (B, 4, SIDE, SIDE)."""
    n = len(x)
    one = lambda a, b: r.between(a, b, n)
    angle = one(-1, 1) ** 3 * 0.35
    scale = MARGIN * one(0.86, 1.22)
    aspect = one(0.93, 1.07)
    far = torch.where(r.often(0.12).flatten(), 0.32, 0.09)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    theta = torch.stack([torch.stack([cos * aspect, -sin, one(-1, 1) * far], 1),
                         torch.stack([sin * aspect, cos, one(-1, 1) * far], 1)], 1)
    return F.grid_sample(x, F.affine_grid(theta, (n, 4, SIDE, SIDE), align_corners=False), align_corners=False)


def grounds(n, r):
    """Plain ones (a third of them white, gray or black), gradients, clouds and noise."""
    colour = r.between(0, 1, n, 3, 1, 1)
    gray = r.between(0, 1, n, 1, 1, 1).expand(-1, 3, -1, -1).clone()
    gray[r.often(0.5)[:, 0, 0, 0]] = 1
    plain = torch.where(r.often(0.35), gray, colour).expand(-1, -1, SIDE, SIDE)
    corners = torch.nn.functional.interpolate(r.between(0, 1, n, 3, 2, 2), SIDE, mode="bilinear", align_corners=True)
    clouds = F.interpolate(r.between(0, 1, n, 3, 5, 5), SIDE, mode="bicubic").clamp(0, 1)
    mixed = torch.where(r.often(0.15), corners, plain)
    mixed = torch.where(r.often(0.07), plain + 0.5 * (clouds - 0.5), mixed)
    return (mixed + torch.where(r.often(0.15), r.between(0, 0.2), 0) * r.between(-1, 1, n, 3, SIDE, SIDE)).clamp(0, 1)


def blurred(x, r):
    """A third is made small and large again, a third softened, all with a little noise and other contrast."""
    out = x.clone()
    third = r.index(3)
    for side in (16, 24, 32, 44):
        rows = ((third == 0) & (r.index(5) == side // 12 - 1)).nonzero().flatten()
        if len(rows):
            out[rows] = F.interpolate(F.interpolate(x[rows], side, mode="area"), SIDE, mode="bilinear", align_corners=False)
    rows = (third == 1).nonzero().flatten()
    soft = torch.tensor([1.0, 2.0, 1.0])
    kernel = (soft[:, None] * soft / 16).expand(3, 1, 3, 3)
    if len(rows):
        out[rows] = F.conv2d(F.pad(x[rows], (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    noise = torch.where(r.often(0.4), r.between(0, 0.07), 0)
    out = out * r.between(0.85, 1.1) + r.between(-0.06, 0.06)
    return (out + noise * torch.randn(x.shape, generator=r.gen)).clamp(0, 1)


def holes(x, ground, r):
    """In a quarter a rectangle of at most a sixth of the picture shows the ground."""
    at = torch.arange(SIDE)
    def span():
        start, length = r.index(SIDE)[:, None], (r.between(6, 26, len(x), 1)).long()
        return (at >= start) & (at < start + length)
    hole = (span()[:, None, :, None] & span()[:, None, None, :]) & r.often(0.25)
    return torch.where(hole, ground, x)


def nothing(rgba, r):
    """Things that are no object: blobs, pieces put together wrongly, two in one, what is blurred beyond knowing."""
    n = len(rgba)
    kind = r.index(5)
    other = rgba[torch.randperm(n, generator=r.gen)]
    blob = F.interpolate(r.between(-1, 1, n, 1, 4, 4), SIDE, mode="bicubic") - 0.15 + \
        0.6 * (1 - torch.linspace(-1.3, 1.3, SIDE).pow(2)[:, None] - torch.linspace(-1.3, 1.3, SIDE).pow(2))[None, None]
    alpha = (blob * 8).clamp(0, 1)
    tones = F.interpolate(r.between(0, 1, n, 3, 3, 3), SIDE, mode="bicubic").clamp(0, 1)
    blob = torch.cat([tones * alpha, alpha], 1)
    q = SIDE // 4
    order = torch.stack([torch.randperm(16, generator=r.gen) for _ in range(n)])
    tiles = rgba.reshape(n, 4, 4, q, 4, q).permute(0, 2, 4, 1, 3, 5).reshape(n, 16, 4, q, q)
    tiles = torch.gather(tiles, 1, order[:, :, None, None, None].expand_as(tiles))
    tiles = tiles.reshape(n, 4, 4, 4, q, q).permute(0, 3, 1, 4, 2, 5).reshape(n, 4, SIDE, SIDE)
    halves = rgba.clone()
    halves[:, :, SIDE // 2:] = other[:, :, SIDE // 2:]
    small, second = (F.interpolate(v, SIDE // 2, mode="area") for v in (rgba, other))
    pair = torch.zeros_like(rgba)
    pair[:, :, q:q + SIDE // 2, :SIDE // 2] = small
    pair[:, :, q:q + SIDE // 2, SIDE // 2:] = second
    dim = F.interpolate(F.interpolate(rgba, 5, mode="area"), SIDE, mode="bicubic").clamp(0, 1)
    out = torch.stack([blob, tiles, halves, pair, dim])[kind, torch.arange(n)]
    return torch.where(out[:, 3:].amax((1, 2, 3), keepdim=True) > 0.2, out, blob)


def batch(data, count, seed):
    """(B, 3, SIDE, SIDE), objects (B,)."""
    pictures, owners, nature = data
    r = Chance(seed, count)
    rows = r.index(len(pictures))
    x = pictures[rows].float() / 255
    x = placed(x, r)
    x = torch.cat([tinted(x[:, :3], nature[rows], r), x[:, 3:]], 1)
    want = owners[rows].clone()
    no = int(count * NONE_SHARE)
    x[:no] = nothing(x, r)[:no]
    want[:no] = NONE
    ground = grounds(count, r)
    flat = x[:, :3] + ground * (1 - x[:, 3:])
    return blurred(holes(flat, ground, r), r), want


def load(path):
    net = Network()
    net.load_state_dict(torch.load(path)["model"])
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def words(net, crops):
    """For (SIDE, SIDE, 3) uint8 crops: [(object, or NONE; its probability)]."""
    if not crops:
        return []
    x = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    p = torch.cat([net(b.contiguous(memory_format=torch.channels_last)).softmax(1) for b in x.split(64)])
    return [(int(i), float(v)) for v, i in zip(*p.max(1))]


def train(a):
    data, path = bank(), a.out
    torch.manual_seed(a.seed)
    net = Network().to(memory_format=torch.channels_last)
    opt = torch.optim.AdamW(net.parameters(), a.lr, weight_decay=0.02)
    step, spent = 0, 0.0
    if os.path.exists(path):
        ck = torch.load(path)
        net.load_state_dict(ck["model"])
        opt.load_state_dict(ck["opt"])
        step, spent = ck["step"], ck["spent"]
    print(f"{sum(p.numel() for p in net.parameters()) / 1e6:.2f} M parameters, {len(data[0])} pictures", flush=True)
    mark, right, seen, loss_sum = time.time(), 0, 0, 0.0
    while step < a.steps:
        for g in opt.param_groups:
            g["lr"] = a.lr * min(1, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * step / a.steps))
        x, want = batch(data, a.batch, a.seed * 1000003 + step)
        out = net(x.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(out, want, label_smoothing=0.05)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        opt.step()
        step += 1
        right, seen, loss_sum = right + int((out.argmax(1) == want).sum()), seen + len(want), loss_sum + loss.item()
        if step % 100 == 0 or step == a.steps:
            spent, mark = spent + time.time() - mark, time.time()
            print(f"step {step} of {a.steps} {spent:.0f} s loss {loss_sum * a.batch / seen:.3f} right {right / seen:.4f}", flush=True)
            right, seen, loss_sum = 0, 0, 0.0
            torch.save(dict(model=net.state_dict(), opt=opt.state_dict(), step=step, spent=spent), path + ".tmp")
            os.replace(path + ".tmp", path)


def sheet(path, seed):
    x, want = batch(bank(), 96, seed)
    x = (x.permute(0, 2, 3, 1) * 255 + 0.5).byte().numpy().reshape(6, 16, SIDE, SIDE, 3)
    Image.fromarray(x.transpose(0, 2, 1, 3, 4).reshape(6 * SIDE, 16 * SIDE, 3)).save(path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True, help="file of the weights")
    p.add_argument("--steps", type=int, default=3000)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--lr", type=float, default=3e-3)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--sheet", metavar="PNG", help="only draw what it would learn from")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)
    sheet(a.sheet, a.seed) if a.sheet else train(a)


if __name__ == "__main__":
    main()

"""Trains the DiT by flow matching on prepared latents; it starts reading what train_slots.py put into captions, as reading.py
says, and the caption's side stays as it is: a few pictures at a time would only blur what it has learned.

At first only some of a picture's tokens are shown, at their true places and hardly to be seen for noise: to learn more of
what the caption says about them takes a quarter of the work. Then pictures are whole. The time budget is shared out by
fractions, so a run can be cut to what there is; it goes on where it stopped.
"""
import argparse
import os
import random
import time

import torch
from tokenizers import Tokenizer

import numpy as np
from PIL import Image

import captions
import model
import pool
import reading
import tokenizer
import train_vae

# Up to this share of the time: tokens shown, or all; batch; least noise.
PHASES = ((0.12, 64, 24, 0.9), (1.0, None, 8, 0.0))
OTHER_SIZES = 0.15  # share of batches that are not 256 x 256
ADAM = 0.4  # AdamW's step size by Muon's
FADE = 0.4  # share of the time, at its end, in which steps become smaller


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal by Newton-Schulz, for matrices inside blocks; a few times fewer steps than Adam.
    Matrices of one shape are done together. Step size as AdamW's (root mean square 0.2 lr)."""

    def __init__(self, params, lr, momentum=0.95):
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault(p.shape, []).append(p)
            for (rows, cols), ps in shapes.items():
                for p in ps:
                    buf = self.state[p].setdefault("buf", torch.zeros_like(p))
                    buf.lerp_(p.grad, 1 - group["momentum"])
                x = torch.stack([p.grad.lerp(self.state[p]["buf"], group["momentum"]) for p in ps])
                x = (x.mT if rows > cols else x).to(model.FAST)
                x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-12)
                for _ in range(4):  # a fifth would make 5 % fewer steps
                    a = x @ x.mT
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                x = x.mT if rows > cols else x
                for p, u in zip(ps, x):
                    p.add_(u, alpha=-group["lr"] * 0.2 * max(rows, cols) ** 0.5)


SHOWN = ["纯白背景,一个红色苹果", "a cat on the grass", "一只蓝色的狗,黄色背景", "a green apple and a yellow lemon on a blue background",
         "three red cars on a white background", "夜空中的一个火箭", "two pink tulips", "海底的一只章鱼", "a panda", "一座城堡,粉色背景",
         "a purple dragon on a gray background", "沙滩上的一把雨伞", "a teapot, glossy style", "三颗草莓,白色背景", "a blue cube on a yellow background",
         "一只企鹅和一个雪人在雪地里"]


def parameters(both):
    """(matrices inside blocks, all else that is trained)."""
    inner, outer = [], []
    for name, q in both.named_parameters():
        if not q.requires_grad:
            continue
        if q.ndim == 2 and any(part in name for part in ("attention.to", "feed_forward", "_proj")):
            inner.append(q)
        else:
            outer.append(q)
    return inner, outer


def texts(scenes, rng, tok, drop=0.08):
    """ids and own for fresh captions, a share `drop` of them empty; short ones, that fit into 32 positions, if there are such."""
    out = []
    for s in scenes:
        for _ in range(12):
            c = captions.caption(s, rng, drop)
            if len(tok.encode(tokenizer.chat(c), add_special_tokens=False).ids) <= 32:
                break
        out.append(c)
    return model.tokenize(tok, out)


class Run:
    """What is trained, its optimisers, its moving average and its clock: kept in `out`/dit.pt, taken up from there."""

    def __init__(self, a, start):
        os.makedirs(a.out, exist_ok=True)
        torch.manual_seed(a.seed)
        torch.set_num_threads(a.threads)
        torch.set_flush_denormal(True)
        self.a, self.state = a, os.path.join(a.out, "dit.pt")
        self.tok = Tokenizer.from_file(os.path.join(a.tokenizer, "tokenizer.json"))
        self.vae = train_vae.load(a.vae)
        self.data = pool.Latents(a.pool)
        self.encoder, self.dit = model.build()
        self.both = model.together(self.encoder, self.dit)
        self.both.load_state_dict(start)
        for name, q in self.both.named_parameters():
            q.requires_grad_(q.requires_grad and not name.startswith(model.CAPTION_SIDE))
        inner, self.outer = parameters(self.both)
        self.muon, self.adam = Muon(inner, a.lr), torch.optim.AdamW(self.outer, a.lr, (0.9, 0.97), weight_decay=0.0)
        self.steps, self.spent, self.ema, self.sums = 0, 0.0, {k: v.clone() for k, v in self.both.state_dict().items()}, []
        if os.path.exists(self.state):
            ck = torch.load(self.state)
            self.both.load_state_dict(ck["model"])
            self.muon.load_state_dict(ck["muon"])
            self.adam.load_state_dict(ck["adam"])
            self.steps, self.spent, self.ema = ck["step"], ck["spent"], ck["ema"]
        self.rng = random.Random(a.seed + self.steps)
        self.gen = torch.Generator().manual_seed(a.seed + self.steps)
        self.began = self.steps
        self.mark = self.saved = self.shown = time.time()

    def share(self):
        """How much of the time is over, from 0 to 1."""
        return self.spent / (self.a.minutes * 60)

    def batch(self, count, whole=True):
        """Pictures of one size, native or another, if `whole` fewer where they are large: tokens (B, N, 64), high, wide, scenes."""
        x0, scenes = self.data.batch(self.rng, count, self.rng.random() >= OTHER_SIZES)
        high, wide = x0.shape[2] // 2, x0.shape[3] // 2
        fewer = min(count, max(4, count * 256 // (high * wide))) if whole else count
        return model.patches(torch.from_numpy(x0[:fewer])), high, wide, scenes[:fewer]

    def learn(self, loss, note=""):
        """One step of both optimisers; every so often a line, a checkpoint, a sheet."""
        f, a = self.share(), self.a
        lr = a.lr * min(1, (self.steps - self.began + 1) / 50, 0.01 + 0.99 * (1 - f) / FADE)
        self.muon.param_groups[0]["lr"], self.adam.param_groups[0]["lr"] = lr, lr * ADAM
        self.both.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.outer, 1.0)
        self.muon.step()
        self.adam.step()
        self.steps += 1
        decay = min(0.995, (self.steps - self.began + 1) / (self.steps - self.began + 12))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.values()), list(self.both.state_dict().values()), 1 - decay)
        self.sums.append(loss.item())
        now = time.time()
        self.spent, self.mark = self.spent + now - self.mark, now
        last = self.share() >= 1
        if self.steps % 20 == 0 or last:
            print(f"step {self.steps} {self.spent:.0f} s loss {sum(self.sums) / len(self.sums):.4f} lr {lr:.2e} {note}"
                  f"pool {self.data.count()}", flush=True)
            self.sums = []
            self.data.refresh()
        if last or now - self.saved > 300:
            print(f"foreseen at noise 0.95, 0.8, 0.5: {self.foreseen()}", flush=True)
            torch.save(dict(model=self.both.state_dict(), ema=self.ema, muon=self.muon.state_dict(), adam=self.adam.state_dict(),
                            step=self.steps, spent=self.spent), self.state + ".tmp")
            os.replace(self.state + ".tmp", self.state)
            self.mark = self.saved = time.time()
        if last or now - self.shown > a.sheet_minutes * 60:
            self.show(os.path.join(a.out, f"sheet-{self.steps:05d}.png"))
            self.mark = self.shown = time.time()

    @torch.no_grad()
    def foreseen(self, count=64):
        """How much of single things' shapes the moving average sees in noise: 1 is all, 0 a flat colour."""
        encoder, dit = model.loaded(self.ema)
        rng, x0, scenes = random.Random(3), [], []
        while len(scenes) < count:
            z, (scene,) = self.data.batch(rng, 1, True)
            if len(scene.things) == 1:
                x0.append(torch.from_numpy(z))
                scenes.append(scene)
        x0 = model.patches(torch.cat(x0))
        ids, own = texts(scenes, rng, self.tok, drop=0)
        noise, rotations = torch.randn(x0.shape, generator=torch.Generator().manual_seed(3)), model.rotations(16, 16, ids.shape[1])
        shape, feats, out = (x0 - x0.mean(1, keepdim=True)).pow(2).sum(), model.encode(encoder, ids), []
        for s in (0.95, 0.8, 0.5):
            x = (1 - s) * x0 + s * noise
            guess = x + s * model.denoise(dit, x, torch.full((count,), 1 - s), feats, own, *rotations)
            out.append(f"{1 - ((guess - x0).pow(2).sum() / shape).item():.3f}")
        return " ".join(out)

    @torch.no_grad()
    def show(self, path, seed=5):
        """Pictures of the moving average."""
        encoder, dit = model.loaded(self.ema)
        vae, mean, std = self.vae
        z = torch.cat([model.sample(encoder, dit, self.tok, [p], seed=seed + i) for i, p in enumerate(SHOWN)])
        x = torch.cat([vae.decode(b * std + mean).sample for b in z.split(4)])
        x = ((x / 2 + 0.5).clamp(0, 1) * 255 + 0.5).byte().permute(0, 2, 3, 1).numpy()
        Image.fromarray(np.concatenate([np.concatenate(list(x[k:k + 8]), 1) for k in (0, 8)])).save(path)


def shown(tokens, x0, high, wide, gen):
    """Which tokens of a batch are shown, or None for all."""
    if not tokens or high * wide <= tokens:
        return None
    # What is alive is shown somewhat more often than flat ground.
    return torch.multinomial(x0.std((0, 2)) + 0.3, tokens, generator=gen).sort().values


def options(doc, minutes, lr):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pool", required=True, help="folder of prepare.py and latents.py")
    p.add_argument("--vae", required=True, help="vae.pt, to show samples")
    p.add_argument("--tokenizer", required=True, help="folder of tokenizer.py")
    p.add_argument("--out", required=True, help="folder for dit.pt and sheets")
    p.add_argument("--minutes", type=float, default=minutes)
    p.add_argument("--lr", type=float, default=lr)
    p.add_argument("--sheet-minutes", type=float, default=15)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=0)
    return p


def main():
    p = options(__doc__, 240, 5e-3)
    p.add_argument("--slots", required=True, help="slots.pt of train_slots.py")
    a = p.parse_args()
    slots, reader = torch.load(a.slots), reading.Reader()
    encoder, dit = model.loaded(slots["weights"])
    reader.load_state_dict(slots["reader"])
    reading.install(dit, reader)
    run = Run(a, model.together(encoder, dit).state_dict())
    gen = run.gen
    while run.share() < 1:
        tokens, count, least = next(phase for until, *phase in PHASES if run.share() < until)
        x0, high, wide, scenes = run.batch(count, not tokens)
        ids, own = texts(scenes, run.rng, run.tok)
        rows = shown(tokens, x0, high, wide, gen)
        x0 = x0 if rows is None else x0[:, rows]
        cos, sin = model.rotations(high, wide, ids.shape[1], rows)
        noise = torch.randn(x0.shape, generator=gen)
        u = (torch.arange(len(x0)) + torch.rand(len(x0), generator=gen)) / len(x0)  # stratified
        s = (least + (1 - least) * u if least else model.shifted(u))[:, None, None]
        with model.mixed():
            out = model.denoise(run.dit, (1 - s) * x0 + s * noise, 1 - s[:, 0, 0], model.encode(run.encoder, ids), own, cos, sin)
        run.learn((out.float() - (x0 - noise)).pow(2).mean(), f"{x0.shape[1]} tokens, ")


if __name__ == "__main__":
    main()

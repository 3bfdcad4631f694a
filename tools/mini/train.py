"""Trains the DiT and the text encoder together by flow matching on prepared latents.

Most of the time only some of a picture's tokens are shown, at their true places: where things are and what
colour they have is learned at a quarter of the work. The last part sees whole pictures. The time budget is
shared out by fractions, so a run can be cut to what there is; it goes on where it stopped.
"""
import argparse
import math
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
import train_vae

# Up to this share of the budget: tokens shown (None: all), batch.
PHASES = ((0.55, 64, 64), (0.75, 128, 40), (1.0, None, 24))
OTHER_SIZES = 0.3  # share of batches that are not 256 x 256


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
                x = x.mT if rows > cols else x
                x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-12)
                for _ in range(5):
                    a = x @ x.mT
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                x = x.mT if rows > cols else x
                for p, u in zip(ps, x):
                    p.add_(u, alpha=-group["lr"] * 0.2 * max(rows, cols) ** 0.5)


def texts(scenes, rng, tok):
    """ids and own for fresh captions; short ones, that fit into 32 positions, if there are such."""
    out = []
    for s in scenes:
        for _ in range(12):
            c = captions.caption(s, rng)
            if len(tok.encode(model_chat(c), add_special_tokens=False).ids) <= 32:
                break
        out.append(c)
    return model.tokenize(tok, out)


def model_chat(text):
    from tokenizer import chat
    return chat(text)


SHOWN = ["纯白背景,一个红色苹果", "a cat on the grass", "一只蓝色的狗,黄色背景", "a green apple and a yellow lemon on a blue background",
         "three red cars on a white background", "夜空中的一个火箭", "two pink tulips", "海底的一只章鱼", "a panda", "一座城堡,粉色背景",
         "a purple dragon on a gray background", "沙滩上的一把雨伞", "a robot, glossy style", "三颗草莓,白色背景", "a blue cube on a yellow background",
         "一只企鹅和一个雪人在雪地里"]


@torch.no_grad()
def save_sheet(path, encoder, dit, tok, vae, mean, std, seed=5):
    z = torch.cat([model.sample(encoder, dit, tok, [p], seed=seed + i) for i, p in enumerate(SHOWN)])
    x = torch.cat([vae.decode(b * std + mean).sample for b in z.split(4)])
    x = ((x / 2 + 0.5).clamp(0, 1) * 255 + 0.5).byte().permute(0, 2, 3, 1).numpy()
    Image.fromarray(np.concatenate([np.concatenate(list(x[k:k + 8]), 1) for k in (0, 8)])).save(path)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--pool", required=True, help="folder of prepare.py and latents.py")
    p.add_argument("--vae", required=True, help="vae.pt, to show samples")
    p.add_argument("--tokenizer", required=True, help="folder of tokenizer.py")
    p.add_argument("--out", required=True)
    p.add_argument("--minutes", type=float, default=45)
    p.add_argument("--lr", type=float, default=3e-3)
    p.add_argument("--sheet-minutes", type=float, default=6)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)
    tok = Tokenizer.from_file(os.path.join(a.tokenizer, "tokenizer.json"))
    vae, mean, std = train_vae.load(a.vae)
    data = pool.Latents(a.pool)
    encoder, dit = model.build()
    both = torch.nn.ModuleDict(dict(encoder=encoder, dit=dit))
    inner, outer = [], []
    for name, q in both.named_parameters():
        if name.startswith("encoder.layers.3.") or name == "encoder.norm.weight":
            q.requires_grad_(False)  # what the pipeline never reads
        elif q.ndim == 2 and ("attention.to" in name or "feed_forward" in name or "_proj" in name):
            inner.append(q)
        else:
            outer.append(q)
    muon = Muon(inner, a.lr)
    adam = torch.optim.AdamW(outer, a.lr, (0.9, 0.97), weight_decay=0.0)
    step, spent, ema = 0, 0.0, {k: v.clone() for k, v in both.state_dict().items()}
    state = os.path.join(a.out, "dit.pt")
    if os.path.exists(state):
        ck = torch.load(state)
        both.load_state_dict(ck["model"])
        muon.load_state_dict(ck["muon"])
        adam.load_state_dict(ck["adam"])
        step, spent, ema = ck["step"], ck["spent"], ck["ema"]
    rng = random.Random(a.seed + step)
    gen = torch.Generator().manual_seed(a.seed + step)
    budget, mark, saved, shown, sums = a.minutes * 60, time.time(), time.time(), time.time(), []
    while spent < budget:
        f = spent / budget
        keep, count = next((k, b) for until, k, b in PHASES if f < until)
        lr = a.lr * min(1, (step + 1) / 50) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * max(0, f - 0.1) / 0.9)))
        for g in (*muon.param_groups, *adam.param_groups):
            g["lr"] = lr
        x0, scenes = data.batch(rng, count, rng.random() >= OTHER_SIZES)
        high, wide = x0.shape[2] // 2, x0.shape[3] // 2
        x0 = model.patches(torch.from_numpy(x0))
        if not keep and high * wide > 256:
            fewer = max(4, count * 256 // (high * wide))
            x0, scenes = x0[:fewer], scenes[:fewer]
        ids, own = texts(scenes, rng, tok)
        rows = None
        if keep and keep < high * wide:
            # What is alive is shown somewhat more often than flat ground.
            weight = x0.std((0, 2)) + 0.3
            rows = torch.multinomial(weight, keep, generator=gen).sort().values
            x0 = x0[:, rows]
        cos, sin = model.rotations(high, wide, ids.shape[1], rows)
        noise = torch.randn(x0.shape, generator=gen)
        u = (torch.arange(len(x0)) + torch.rand(len(x0), generator=gen)) / len(x0)  # stratified
        s = (model.SHIFT * u / (1 + (model.SHIFT - 1) * u))[:, None, None]
        out = model.denoise(dit, (1 - s) * x0 + s * noise, 1 - s[:, 0, 0], model.encode(encoder, ids), own, cos, sin)
        loss = (out - (x0 - noise)).pow(2).mean()
        both.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(outer, 1.0)
        muon.step()
        adam.step()
        step += 1
        decay = min(0.995, (step + 1) / (step + 12))
        with torch.no_grad():
            have = [v for v in both.state_dict().values()]
            torch._foreach_lerp_(list(ema.values()), have, 1 - decay)
        sums.append(loss.item())
        now = time.time()
        spent, mark = spent + now - mark, now
        last = spent >= budget
        if step % 20 == 0 or last:
            print(f"step {step} {spent:.0f} s loss {sum(sums) / len(sums):.4f} lr {lr:.2e} tokens {keep or 256} "
                  f"pool {data.count()}", flush=True)
            sums = []
            data.refresh()
        if last or now - saved > 120:
            torch.save(dict(model=both.state_dict(), ema=ema, muon=muon.state_dict(), adam=adam.state_dict(),
                            step=step, spent=spent), state + ".tmp")
            os.replace(state + ".tmp", state)
            saved = now
        if last or now - shown > a.sheet_minutes * 60:
            live = {k: v.clone() for k, v in both.state_dict().items()}
            both.load_state_dict(ema)
            save_sheet(os.path.join(a.out, f"sheet-{step:05d}.png"), encoder, dit, tok, vae, mean, std)
            both.load_state_dict(live)
            mark = shown = time.time()


if __name__ == "__main__":
    main()

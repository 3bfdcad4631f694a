"""Trains the autoencoder: Flux's structure, 16 latent channels, 8x smaller, on the artwork.

Mostly on 64x64 pieces where something is to be seen (cheap, all edges), later on larger ones and whole pictures;
never on the objects that are kept out to judge it. With --smooth a trained one goes on, its channels balanced before and
after, and learns to decode latents that are noisy or of half the size too: then what a DiT gets a little wrong is seen
less, and a picture's coarse parts are the latents' coarse parts. With --decoder-only the encoder, and so the latents,
stay as they are while the decoder gets better, at noisy latents too.
"""
import argparse
import math
import os
import random
import time

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

import numpy as np
from PIL import Image

import pool
import scenes

CONFIG = dict(
    in_channels=3, out_channels=3, latent_channels=16, block_out_channels=(24, 48, 80, 80), layers_per_block=1,
    down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, norm_num_groups=2,
    sample_size=256, use_quant_conv=False, use_post_quant_conv=False, force_upcast=False, scaling_factor=1.0,
    shift_factor=0.0)


@torch.no_grad()
def colour_path(vae):
    """Starts as a box blur: red, green, blue and their negatives in channels 0-2 and 8-10 of every layer,
    so colours are right from the first step. Residual branches are zero; constants in channels 3, 4, 11, 12
    keep the group norms' scale nearly the same whatever the picture.

    silu(v) - silu(-v) = v makes the norm's activation linear on the pairs.
    """
    enc, dec = vae.encoder, vae.decoder
    for name, m in vae.named_modules():
        if name.endswith("conv2") or name.endswith("to_out.0"):
            torch.nn.init.zeros_(m.weight)
            torch.nn.init.zeros_(m.bias)
        elif name.endswith("conv_shortcut") or name.endswith("samplers.0.conv"):
            m.weight[:16] = 0
            m.bias[:16] = 0
            for i in range(16):
                if name.endswith("conv_shortcut"):
                    m.weight[i, i] = 1
                elif "down" in name:
                    m.weight[i, i, :2, :2] = 0.25  # padded right and below
                else:
                    m.weight[i, i, 1, 1] = 1
    for conv in (enc.conv_in, dec.conv_in):
        conv.weight[:5] = conv.weight[8:13] = 0
        conv.bias[:5] = conv.bias[8:13] = 0
        for i in range(3):
            conv.weight[i, i, 1, 1], conv.weight[8 + i, i, 1, 1] = 1, -1
        for i, v in ((3, 2), (4, -2), (11, 2), (12, -2)):
            conv.bias[i] = v
    for conv in (enc.conv_out, dec.conv_out):
        conv.weight[:3] = 0
        conv.bias[:3] = 0
        for i in range(3):
            conv.weight[i, i, 1, 1], conv.weight[i, 8 + i, 1, 1] = 0.6, -0.6
    enc.conv_out.weight[16:] *= 0.1
    enc.conv_out.bias[16:] = -4


NOISE = 0.5  # most of a latent's deviation that --smooth adds
KEPT_OUT = 10  # every tenth object


def is_kept_out(scene):
    return any(t.index % KEPT_OUT == KEPT_OUT - 1 for t in scene.things)


def batch(data, rng, count, piece):
    """(count, 3, piece, piece) in [0, 1]: of three random pieces of a picture the liveliest."""
    out = []
    while len(out) < count:
        x, scene = data.picture(rng)
        if is_kept_out(scene) or min(x.shape[:2]) < piece:
            continue
        best = None
        for _ in range(3 if piece < 128 else 1):
            top, left = rng.randint(0, x.shape[0] - piece), rng.randint(0, x.shape[1] - piece)
            y = x[top:top + piece, left:left + piece]
            live = float(y[::4, ::4].astype(np.float32).std())
            if best is None or live > best[0]:
                best = live, y
        out.append(torch.from_numpy(best[1].copy()))
    return torch.stack(out).permute(0, 3, 1, 2).float() / 255


def difference(out, target):
    """Of pictures in [-1, 1]. Beyond pure white or black costs little: the picture is clamped, and white shall be white."""
    err = out - target
    err = torch.where((target.abs() > 0.999) & (err * target > 0), 0.1 * err, err)
    edges = (err[..., 1:] - err[..., :-1]).abs().mean() + (err[..., 1:, :] - err[..., :-1, :]).abs().mean()
    return err.abs().mean() + 2 * err.pow(2).mean() + 0.5 * edges


def loss_of(vae, x, kl_weight, smooth):
    target = x * 2 - 1
    post = vae.encode(target).latent_dist
    kl = 0.5 * (post.mean.pow(2) + post.var - 1 - post.logvar).mean()
    z = post.sample()
    if not smooth:
        return difference(vae.decode(z).sample, target) + kl_weight * kl, kl
    noisy = z + z.std() * NOISE * torch.rand(len(z), 1, 1, 1) * torch.randn_like(z)
    half = difference(vae.decode(F.avg_pool2d(z, 2)).sample, F.avg_pool2d(target, 2))
    return difference(vae.decode(noisy).sample, target) + 0.5 * half + kl_weight * kl, kl


def held_out_pictures(count, size):
    """Kept-out objects, one in each picture, in both styles, on plain and other backgrounds."""
    rng, out = random.Random(99), []
    while len(out) < count:
        scene = scenes.random_scene(rng, size, size)
        if len(scene.things) == 1 and is_kept_out(scene):
            out.append(torch.from_numpy(scenes.draw(scene)))
    return torch.stack(out).permute(0, 3, 1, 2)


@torch.no_grad()
def check(vae, size=256, count=24, path=None):
    """PSNR on kept-out objects, the mean latent decoded; and the level of pure white."""
    x = held_out_pictures(count, size)
    y = torch.cat([(vae.decode(vae.encode(b * 2 - 1).latent_dist.mode()).sample / 2 + 0.5).clamp(0, 1)
                   for b in x.split(4)])
    mse = (x - y).pow(2).flatten(1).mean(1)
    white = y.movedim(1, -1)[(x == 1).all(1)]
    if path:
        rows = torch.cat([torch.cat(list(z[:8]), 2) for z in (x, y)], 1)
        Image.fromarray((rows.permute(1, 2, 0) * 255 + 0.5).byte().numpy()).save(path)
    return (-10 * mse.log10()).mean().item(), white.mul(255).mean().item() if len(white) else float("nan")


@torch.no_grad()
def latent_statistics(vae, data, count=96):
    rng = random.Random(7)
    z = [vae.encode(batch(data, rng, 8, 128) * 2 - 1).latent_dist.mode() for _ in range(count // 8)]
    z = torch.cat(z)
    return z.mean().item(), z.std().item()


@torch.no_grad()
def balance(vae, data, count=256):
    """Turns the latent channels so that the strongest, the colours, are not so much stronger than the rest: deviations
    become their square roots. Noise then hides shapes and fine parts less long than it did. The decoder turns them back."""
    rng = random.Random(8)
    z = torch.cat([vae.encode(batch(data, rng, 8, 128) * 2 - 1).latent_dist.mode() for _ in range(count // 8)])
    values, axes = torch.linalg.eigh(torch.cov(z.permute(1, 0, 2, 3).flatten(1).double()))
    turn = axes @ torch.diag(values ** -0.25) @ axes.T
    out, into, n = vae.encoder.conv_out, vae.decoder.conv_in, len(values)
    out.weight[:n] = torch.einsum("ij,jkhw->ikhw", turn, out.weight[:n].double()).float()
    out.bias[:n] = (turn @ out.bias[:n].double()).float()
    out.weight[n:] = 0  # the spread, which only training reads: the same everywhere
    out.bias[n:] = -8
    into.weight[:] = torch.einsum("ikhw,kj->ijhw", into.weight.double(), torch.linalg.inv(turn)).float()


def load(path):
    """(autoencoder, mean, standard deviation of its latents) of a checkpoint; average weights, ready to use."""
    ck = torch.load(path)
    vae = AutoencoderKL(**CONFIG)
    vae.load_state_dict(ck["ema"])
    mean, std = ck["latents"] if "latents" in ck else (ck["mean"], ck["std"])
    return vae.eval().requires_grad_(False).to(memory_format=torch.channels_last), mean, std


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True, help="folder for the checkpoint, the log and the sheets")
    p.add_argument("--pool", required=True, help="folder of prepare.py")
    p.add_argument("--minutes", type=float, default=60)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--kl", type=float, default=3e-4)
    p.add_argument("--smooth", action="store_true")
    p.add_argument("--decoder-only", action="store_true")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    torch.manual_seed(a.seed)
    torch.set_num_threads(a.threads)
    state = os.path.join(a.out, "vae.pt")
    vae = AutoencoderKL(**CONFIG).to(memory_format=torch.channels_last)
    spent, step = 0.0, 0
    data = pool.Pictures(a.pool)
    colour_path(vae)
    ck = torch.load(state) if os.path.exists(state) else None
    if ck:
        vae.load_state_dict(ck["model"])
        step = ck["step"]
    stage = "smooth" if a.smooth else "decoder" if a.decoder_only else "plain"
    going_on = ck and not ck["done"]
    if going_on and ck.get("stage", stage) != stage:
        p.error(f"{state} is not at the end of its stage, {ck['stage']}; finish that first")
    if a.smooth and ck and not going_on:
        balance(vae, data)
    if a.decoder_only:
        vae.encoder.requires_grad_(False)
    opt = torch.optim.AdamW([q for q in vae.parameters() if q.requires_grad], a.lr, (0.9, 0.98), weight_decay=0.0)
    if going_on:
        opt.load_state_dict(ck["opt"])
        spent = ck["spent"]
    ema = {k: v.clone() for k, v in vae.state_dict().items()}
    rng = random.Random(a.seed + step)
    budget, mark, saved, first = a.minutes * 60, time.time(), time.time(), step
    while spent < budget:
        f = spent / budget
        lr = a.lr * min(1, (step - first + 1) / 40) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * f)))
        for g in opt.param_groups:
            g["lr"] = lr
        late = a.smooth or a.decoder_only or f > 0.6
        count, piece = rng.choice([(16, 64), (16, 64), (4, 128), (1, 256)] if late else [(16, 64), (16, 64), (4, 128)])
        x = batch(data, rng, count, piece).contiguous(memory_format=torch.channels_last)
        loss, kl = loss_of(vae, x, a.kl, a.smooth or a.decoder_only)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        opt.step()
        decay = min(0.99, (step - first + 1) / (step - first + 10))
        with torch.no_grad():
            for k, v in vae.state_dict().items():
                ema[k].lerp_(v, 1 - decay)
        step += 1
        now = time.time()
        spent, mark = spent + now - mark, now
        last = spent >= budget
        if step % 50 == 0 or last:
            data.refresh()
            print(f"step {step} {spent:.0f} s loss {loss.item():.4f} kl {kl.item():.3f} lr {lr:.2e}", flush=True)
        if now - saved > 300 or last:
            live = {k: v.clone() for k, v in vae.state_dict().items()}
            vae.load_state_dict(ema)
            if last and a.smooth:
                balance(vae, data)
                ema = {k: v.clone() for k, v in vae.state_dict().items()}
            psnr, white = check(vae, path=os.path.join(a.out, "vae.png"))
            mean, std = (ck["mean"], ck["std"]) if a.decoder_only else latent_statistics(vae, data)
            print(f"step {step}: PSNR {psnr:.2f} dB, white {white:.1f}, latent mean {mean:.3f} std {std:.3f}", flush=True)
            torch.save(dict(model=ema if last else live, ema=ema, opt=opt.state_dict(), step=step, spent=spent,
                            done=last, stage=stage, mean=mean, std=std, psnr=psnr), state + ".tmp")
            os.replace(state + ".tmp", state)
            vae.load_state_dict(live)
            mark = saved = time.time()


if __name__ == "__main__":
    main()

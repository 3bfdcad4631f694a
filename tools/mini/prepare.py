"""Draws training pictures and stores their latents, a file per 128 pictures, so that training never
waits for the autoencoder. Goes on where it stopped."""
import argparse
import os
import random

import torch

import captions
import draw


def load_vae(path):
    from diffusers import AutoencoderKL
    from train_vae import CONFIG
    ck = torch.load(path)
    vae = AutoencoderKL(**CONFIG)
    vae.load_state_dict(ck["ema"])
    return vae.eval().requires_grad_(False).to(memory_format=torch.channels_last), ck["mean"], ck["std"]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--vae", required=True, help="vae.pt of train_vae.py")
    p.add_argument("--out", required=True)
    p.add_argument("--count", type=int, default=3072)
    p.add_argument("--size", type=int, default=256)
    p.add_argument("--extras", type=float, default=0.15, help="share with size or place words")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    os.makedirs(a.out, exist_ok=True)
    vae, mean, std = load_vae(a.vae)
    scenes = captions.train_scenes(a.count, a.seed, a.extras)
    for i in range(0, a.count, 128):
        path = os.path.join(a.out, f"{i:06d}.pt")
        if os.path.exists(path):
            continue
        part, rng, z = scenes[i:i + 128], random.Random(a.seed * 1000003 + i), []
        for j in range(0, len(part), 8):
            with torch.no_grad():
                x = draw.render(part[j:j + 8], rng, a.size).contiguous(memory_format=torch.channels_last)
                z.append(((vae.encode(x * 2 - 1).latent_dist.mode() - mean) / std).half())
        torch.save(dict(latents=torch.cat(z), scenes=[vars(s) for s in part]), path + ".tmp")
        os.replace(path + ".tmp", path)
        print(f"{i + len(part)} of {a.count}", flush=True)


if __name__ == "__main__":
    main()

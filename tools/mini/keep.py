"""Packs the autoencoder that a run has made into a small folder, in bf16, for another machine to go on from, and unpacks it there."""
import argparse
import os

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file


def pack(work, path):
    vae = torch.load(os.path.join(work, "vae/vae.pt"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    save_file({k: v.bfloat16().contiguous() for k, v in vae["ema"].items()}, path,
              {k: repr(vae[k]) for k in ("step", "spent", "mean", "std", "psnr")})


def unpack(path, work):
    with safe_open(path, "pt") as f:
        about = {k: float(v) for k, v in f.metadata().items()}
    weights = {k: v.float() for k, v in load_file(path).items()}
    os.makedirs(os.path.join(work, "vae"), exist_ok=True)
    torch.save(dict(model=weights, ema=weights, done=True) | about | dict(step=int(about["step"])), os.path.join(work, "vae/vae.pt"))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("pack", "unpack"))
    p.add_argument("--work", required=True, help="folder of vae/vae.pt")
    p.add_argument("--folder", required=True, help="the small one")
    a = p.parse_args()
    path = os.path.join(a.folder, "vae.safetensors")
    pack(a.work, path) if a.what == "pack" else unpack(path, a.work)


if __name__ == "__main__":
    main()

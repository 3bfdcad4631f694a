"""Packs what a run that is not at its end has made into a small folder, for another machine to go on from, and unpacks it there:
the autoencoder in bf16; of the slots' training the caption's side, rows of matrices in LEVELS steps, which training soon forgets."""
import argparse
import os

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import model

LEVELS = 31  # on either side of nothing


def coarse(tensors):
    """name -> tensor as int8 and scales."""
    out = {}
    for name, w in tensors.items():
        rows = w.float().reshape(len(w), -1) if w.ndim > 1 else w.float().reshape(1, -1)
        scale = (rows.abs().amax(1, keepdim=True) / LEVELS).clamp_min(1e-12)
        out[name], out[name + " scale"] = (rows / scale).round().to(torch.int8).view(w.shape), scale.flatten()
    return out


def fine(tensors):
    out = {}
    for name, q in tensors.items():
        if not name.endswith(" scale"):
            out[name] = (q.float().reshape(len(tensors[name + " scale"]), -1) * tensors[name + " scale"][:, None]).view(q.shape)
    return out


def about(path):
    with safe_open(path, "pt") as f:
        return {k: int(v) if k == "step" else float(v) for k, v in f.metadata().items()}


def pack(work, folder):
    os.makedirs(folder, exist_ok=True)
    vae = torch.load(os.path.join(work, "vae/vae.pt"))
    save_file({k: v.bfloat16().contiguous() for k, v in vae["ema"].items()}, os.path.join(folder, "vae.safetensors"),
              {k: repr(vae[k]) for k in ("step", "spent", "mean", "std", "psnr")})
    path = os.path.join(work, "slots.pt")
    if os.path.exists(path):
        ck = torch.load(path)
        kept = {f"weights.{k}": v for k, v in ck["weights"].items() if k.startswith(model.CAPTION_SIDE)}
        kept |= {f"{part}.{k}": v for part in ("reader", "guide") for k, v in ck[part].items()}
        save_file(coarse(kept), os.path.join(folder, "slots.safetensors"), {k: repr(ck[k]) for k in ("step", "spent")})


def unpack(folder, work):
    path = os.path.join(folder, "vae.safetensors")
    weights = {k: v.float() for k, v in load_file(path).items()}
    os.makedirs(os.path.join(work, "vae"), exist_ok=True)
    torch.save(dict(model=weights, ema=weights, done=True) | about(path), os.path.join(work, "vae/vae.pt"))
    path = os.path.join(folder, "slots.safetensors")
    if os.path.exists(path):
        torch.manual_seed(0)
        ck = dict(weights=model.together(*model.build()).state_dict(), reader={}, guide={}) | about(path)
        for name, w in fine(load_file(path)).items():
            part, name = name.split(".", 1)
            ck[part][name] = w
        torch.save(ck, os.path.join(work, "slots.pt"))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("pack", "unpack"))
    p.add_argument("--work", required=True, help="folder of vae/vae.pt and slots.pt")
    p.add_argument("--folder", required=True, help="the small one")
    a = p.parse_args()
    pack(a.work, a.folder) if a.what == "pack" else unpack(a.folder, a.work)


if __name__ == "__main__":
    main()

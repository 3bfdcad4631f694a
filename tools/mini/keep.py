"""Packs what a run has made so far into a small folder, for another machine to go on from, and unpacks it there.

The autoencoder is finished when it is packed: in bf16, as the model's folder will have it; so is the text encoder as
train_encoder.py leaves it. The caption's side of train_slots.py is kept as whole numbers up to LEVELS with a scale for each
row, some 3 % off, which a few minutes of training mend.
"""
import argparse
import os

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import model

LEVELS = 31


def whole_numbers(weights):
    out = {}
    for name, w in weights.items():
        if w.ndim < 2:
            out[name] = w.half()
        else:
            scale = (w.flatten(1).abs().amax(1) / LEVELS).clamp(min=1e-6).half()
            out[name] = (w.flatten(1) / scale[:, None].float()).round().clamp(-LEVELS, LEVELS).to(torch.int8).view(w.shape)
            out[name + ".scale"] = scale
    return out


def from_whole_numbers(packed):
    out = {}
    for name, w in packed.items():
        if w.dtype == torch.int8:
            out[name] = (w.float().flatten(1) * packed[name + ".scale"].float()[:, None]).view(w.shape)
        elif not name.endswith(".scale"):
            out[name] = w.float()
    return out


def pack(work, folder):
    os.makedirs(folder, exist_ok=True)
    at = lambda name: os.path.join(folder, name + ".safetensors")
    half = lambda weights: {k: v.bfloat16().contiguous() for k, v in weights.items()}
    vae = torch.load(os.path.join(work, "vae/vae.pt"))
    save_file(half(vae["ema"]), at("vae"), {k: repr(vae[k]) for k in ("step", "spent", "mean", "std", "psnr")})
    save_file(half(torch.load(os.path.join(work, "encoder.pt"))["encoder"]), at("encoder"), dict(format="pt"))
    side = torch.load(os.path.join(work, "slots.pt"))["weights"]
    save_file(whole_numbers({k: v for k, v in side.items() if k.startswith(model.CAPTION_SIDE)}), at("slots"))


def unpack(folder, work):
    def read(name):
        path = os.path.join(folder, name + ".safetensors")
        with safe_open(path, "pt") as f:
            return load_file(path), {k: float(v) for k, v in f.metadata().items() if k != "format"}
    whole = lambda weights: {k: v.float() for k, v in weights.items()}
    os.makedirs(os.path.join(work, "vae"), exist_ok=True)
    weights, about = read("vae")
    torch.save(dict(model=whole(weights), ema=whole(weights), done=True) | about | dict(step=int(about["step"])),
               os.path.join(work, "vae/vae.pt"))
    encoder = whole(read("encoder")[0])
    torch.save(dict(encoder=encoder), os.path.join(work, "encoder.pt"))
    side = from_whole_numbers(load_file(os.path.join(folder, "slots.safetensors")))
    torch.save(dict(weights=model.together(*model.build()).state_dict() | side), os.path.join(work, "slots.pt"))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("pack", "unpack"))
    p.add_argument("--work", required=True, help="folder of vae/vae.pt, encoder.pt and slots.pt")
    p.add_argument("--folder", required=True, help="the small one")
    a = p.parse_args()
    pack(a.work, a.folder) if a.what == "pack" else unpack(a.folder, a.work)


if __name__ == "__main__":
    main()

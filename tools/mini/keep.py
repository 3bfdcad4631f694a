"""Keeps what a run has learned, small enough to travel: its averaged weights as whole numbers up to LEVELS with a scale
for each row, some 3 % off, which a few minutes of training mend. train.py --start goes on from there."""
import argparse

import torch
from safetensors import safe_open
from safetensors.torch import save_file

LEVELS = 31


def kept(weights):
    out = {}
    for name, w in weights.items():
        if w.ndim < 2:
            out[name] = w.half()
        else:
            scale = (w.flatten(1).abs().amax(1) / LEVELS).clamp(min=1e-6).half()
            out[name] = (w.flatten(1) / scale[:, None].float()).round().clamp(-LEVELS, LEVELS).to(torch.int8).view(w.shape)
            out[name + ".scale"] = scale
    return out


def given_back(path):
    """(weights, steps, seconds spent)."""
    with safe_open(path, "pt") as f:
        what = {k: f.get_tensor(k) for k in f.keys()}
        steps, spent = int(f.metadata()["steps"]), float(f.metadata()["spent"])
    weights = {}
    for name, w in what.items():
        if w.dtype == torch.int8:
            weights[name] = (w.float().flatten(1) * what[name + ".scale"].float()[:, None]).view(w.shape)
        elif not name.endswith(".scale"):
            weights[name] = w.float()
    return weights, steps, spent


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dit", required=True, help="dit.pt of train.py")
    p.add_argument("--out", required=True, help="a safetensors file")
    a = p.parse_args()
    ck = torch.load(a.dit)
    save_file(kept(ck["ema"]), a.out, dict(steps=str(ck["step"]), spent=f"{ck['spent']:.0f}"))
    back = given_back(a.out)[0]
    off = sum((back[k] - v).pow(2).sum() for k, v in ck["ema"].items()) / sum(v.pow(2).sum() for v in ck["ema"].values())
    print(f"{a.out}: step {ck['step']}, {off.sqrt():.4f} off")


if __name__ == "__main__":
    main()
